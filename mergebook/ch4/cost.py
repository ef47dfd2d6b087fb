"""What it costs to run soups and ensembles, counted: operations, passes, numbers (page 04j).

Networks of the paper are run without numbers (PyTorch's meta device), small ones with random ones:
what an operation costs does not depend on what it multiplies.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mergebook.ch4.printed import shapes_of
from mergebook.ch4.rescues import is_chain
from mergebook.ch4.soups import BATCH, greedy_soups
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

Table = pd.DataFrame
SMALL = ("vgg11", "vgg11_bn", "resnet10", "densenet13", "vit")
SIDE = 224  # of Table 8
ENSEMBLES = ("logits", "features")


@dataclass(frozen=True)
class Cost:
    """What one method costs for some images, of which `passes` went through a body."""

    operations: int  # multiply-adds
    passes: int
    numbers: int = 0  # that must be kept


def spent(net: zoo.Net, work: Callable, *given) -> Cost:
    """Multiply-adds, and passes of images through the body of `net`, while `work(*given)` runs."""
    passes = []
    hook = net.module.register_forward_hook(lambda _, inputs, out: passes.append(len(inputs[0])))
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            work(*given)
    finally:
        hook.remove()
    return Cost(counter.get_total_flops() // 2, sum(passes))


def numbers_in(states: Iterable[State]) -> int:
    """How many numbers must be kept to run some models, BatchNorm's moments among them."""
    return sum(v.numel() for state in states for v in state.values() if v.is_floating_point())


def without_classifier(module: nn.Module) -> tuple[zoo.Net, State]:
    """A network's body, and its tensors with the last linear layer as the classifier."""
    name = [n for n, part in module.named_modules() if isinstance(part, nn.Linear)][-1]
    head = module.get_submodule(name)
    module.set_submodule(name, nn.Identity())
    state = dict(module.state_dict()) | {"head.weight": head.weight, "head.bias": head.bias}
    return zoo.Net(module, head.in_features), state


def full_size_net(name: str) -> tuple[zoo.Net, State]:
    """A network of Table 8 without numbers."""
    return without_classifier(shapes_of(name))


def random_models(name: str, count: int, seed: int) -> tuple[zoo.Net, list[State]]:
    """A small network, and models of it with random numbers for ten classes."""
    out, net = [], None
    for i in range(count):
        net, state = zoo.build(name, 1000 * seed + i)
        out.append(zoo.with_head(state, net.width, 10, 1000 * seed + i))
    return net, out


# -------------------------------------------------------------------------------------- in use


def mean_state(models: Sequence[State]) -> State:
    """The uniform average, of tensors without numbers too."""
    return {
        k: torch.stack([m[k] for m in models]).mean(0) if v.is_floating_point() else v
        for k, v in models[0].items()
    }


def in_use(net: zoo.Net, models: Sequence[State], image: Tensor) -> dict[str, Cost]:
    """What each method costs for one image (1, 3, side, side), once it is made."""
    soup, own = mean_state(models), averaging.heads(models)

    def ensemble(of):
        return of(averaging.features(net, models, image), *own)

    runs = {
        "single": (averaging.logits, net, models[0], image),
        "soup": (averaging.logits, net, soup, image),
        "logits": (ensemble, averaging.ensemble_logits),
        "features": (ensemble, averaging.ensemble_features),
    }
    kept = {"single": models[:1], "soup": [soup]}
    found = {method: spent(net, *run) for method, run in runs.items()}
    return {
        m: Cost(c.operations, c.passes, numbers_in(kept.get(m, models))) for m, c in found.items()
    }


def use_table(names: Iterable[str], counts: Iterable[int]) -> Table:
    """Rows of networks of Table 8 by method and number of models, for one image of 224 × 224.

    `operations` are multiply-adds, `passes` images through a body, `numbers` those to be kept.
    """
    rows = []
    for name in names:
        net, state = full_size_net(name)
        image = torch.empty(1, 3, SIDE, SIDE, device="meta")
        for n in counts:
            for method, cost in in_use(net, [state] * n, image).items():
                rows.append({"network": name, "models": n, "method": method} | vars(cost))
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------------------ one model


def merged_models(net: zoo.Net, start: State, models, pool: Tensor, validated) -> dict[str, State]:
    """Every merge of the chapter that makes one model of several, by name.

    Uniform and greedy soups; elected signs (TIES); a soup of permuted models; new moments, or
    repaired channels. `pool` are images (n, 3, 32, 32) for the last two.
    """
    soup, head = merge.average(list(models)), ("head.weight", "head.bias")
    out = {"uniform": soup} | {k: s for k, (s, _) in greedy_soups(models, validated).items()}
    bodies = [zoo.body(m) for m in models]
    out["elected"] = merge.ties(start, bodies, 1.0, 1.0) | {k: soup[k] for k in head}
    if is_chain(net):
        first, *others = models
        out["permuted"] = merge.average(
            [first, *(averaging.permuted(net, m, first) for m in others)]
        )
    if zoo.has_batchnorm(net):
        out["recalibrated"] = net.recalibrated(soup, pool)
    elif is_chain(net):
        out["repaired"] = averaging.repaired(net, soup, models, pool)
    return out


def same_tensors(a: State, b: State) -> bool:
    """Whether two states have the same names, shapes and types."""
    return a.keys() == b.keys() and all(
        a[k].shape == b[k].shape and a[k].dtype == b[k].dtype for k in a
    )


def merged_rows(net: zoo.Net, models: Sequence[State], seed: int) -> list[dict]:
    """Of each merge: is it one model, and its multiply-adds for one image beside a member's."""
    start = zoo.body(models[0])
    g = torch.Generator().manual_seed(seed)
    pool = torch.randn(BATCH, 3, zoo.SIDE, zoo.SIDE, generator=g)
    known = {id(m): i for i, m in enumerate(models)}
    made = merged_models(net, start, models, pool, lambda m: known.get(id(m), len(models)))
    single, rows = spent(net, averaging.logits, net, models[0], pool[:1]).operations, []
    for name, state in made.items():
        row = {"merge": name, "same": same_tensors(state, models[0])}
        row["operations"] = spent(net, averaging.logits, net, state, pool[:1]).operations
        rows.append(row | {"single": single})
    return rows


def merged_table(names: Iterable[str], count: int, seed: int) -> Table:
    """Rows of small networks by merge of `count` models.

    `same` says whether the merge has the tensors of a single model; `operations` and `single` are
    multiply-adds for one image, of the merge and of a single model.
    """
    rows = []
    for name in names:
        for row in merged_rows(*random_models(name, count, seed), seed):
            rows.append({"network": name} | row)
    return pd.DataFrame(rows)


def making_passes(net: zoo.Net, models: Sequence[State], x: Tensor, y: Tensor) -> dict[str, float]:
    """Passes over the images `x` (n, 3, 32, 32) with labels `y` that it takes to make each soup."""

    def validated(state):
        return float((averaging.logits(net, state, x).argmax(1) == y).double().mean())

    passes = {"uniform": spent(net, merge.average, models).passes}
    for rule in averaging.GREEDY:
        passes[rule] = spent(net, averaging.greedy, models, validated, rule).passes
    passes["recalibrated"] = spent(net, net.recalibrated, merge.average(models), x).passes
    return {name: n / len(x) for name, n in passes.items()}


def making_table(name: str, counts: Iterable[int], images: int, seed: int) -> Table:
    """Rows of soups by number of models: passes over `images` images that making them takes.

    Greedy soups score on so many validation images; new moments take as many.
    """
    g, rows = torch.Generator().manual_seed(seed), []
    x = torch.randn(images, 3, zoo.SIDE, zoo.SIDE, generator=g)
    y = torch.randint(10, (images,), generator=g)
    for n in counts:
        for soup, passes in making_passes(*random_models(name, n, seed), x, y).items():
            rows.append({"models": n, "soup": soup, "passes": passes})
    return pd.DataFrame(rows)
