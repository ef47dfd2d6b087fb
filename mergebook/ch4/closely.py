"""The soup of all models seen closely, beside its members, and how sensitive weights are.

`CLOSELY` compares soup, members and ensembles on training, test and noisy images; `SENSITIVE` moves
members at random, exchanges parts of transformers, and walks from one model to the next.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mergebook.ch4.moved import (
    displaced,
    flat_body,
    lengths_of,
    leveled,
    move_between,
    part_names,
    weights_only,
    with_part,
)
from mergebook.ch4.rescues import is_chain
from mergebook.ch4.soups import (
    CLOSE,
    EXACT,
    POINTS,
    FineTuned,
    Labelled,
    classified_anew,
    group_at_hand,
    percent_score,
    score_on,
)
from mergebook.experiments import Experiment
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

SOME = 3  # members that are measured one by one
NOISE = 0.5  # of images, whose pixels have the deviation 1
LOOKED = 100  # images whose gradients are taken
TOLD_APART = 1e-3  # noise under which gradients are taken
RELATIVE = (0.05, 0.1, 0.2, 0.4)
SHARES = tuple(round(0.1 * i, 1) for i in range(11))


def noisy_images(images: Labelled, number: int, size: float = NOISE) -> Labelled:
    """Images with normal noise of the deviation `size` (pixels have 1); `number` seeds it."""
    g, (x, y) = torch.Generator().manual_seed(number), images
    return x + size * torch.randn(x.shape, generator=g, dtype=torch.float64).to(x.dtype), y


def input_gradient(scores: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """The mean length of the gradient of an image's loss in its pixels.

    Where equal pixels make the largest of a pool there is none, and processors choose differently:
    so the images get a little noise.
    """
    x, y = noisy_images((x, y), 0, TOLD_APART)
    x = x.clone().requires_grad_()
    loss = F.cross_entropy if y.ndim == 1 else F.binary_cross_entropy_with_logits
    total = loss(scores(x), y if y.ndim == 1 else y.to(x.dtype), reduction="sum")
    return float(torch.autograd.grad(total, x)[0].flatten(1).norm(dim=1).mean())


def seen_closely(net, states: Sequence[State], data, ensemble: Tensor | None, mean_head=False):
    """What is measured on one model, or on an ensemble of several.

    `data` has labelled images `train`, `test` and `noisy`; `ensemble` are the scores of the
    ensemble of all on the test images, or None if these are it.
    """

    of = averaging.ensemble_features if mean_head else averaging.ensemble_logits
    heads = averaging.heads(states)
    f = {s: averaging.features(net, states, x) for s, (x, _) in data.items()}
    z = {s: of(f[s], *heads) for s in data}
    anew = classified_anew(f["train"].mean(0), data["train"][1], f["test"].mean(0))

    def scores(x):  # unlike `averaging.features` with gradients
        return of(torch.stack([net.encode(state, {"pixels": x}) for state in states]), *heads)

    of_all = z["test"] if ensemble is None else ensemble
    return {s: percent_score(z[s], data[s][1]) for s in data} | {
        "refit": percent_score(anew, data["test"][1]),
        "slope": input_gradient(scores, *(v[:LOOKED] for v in data["test"])),
        "length": float(np.mean([float(flat_body(state).norm()) for state in states])),
        "apart": float((z["test"] - of_all).norm() / of_all.norm()),
    }


def soup_and_others(net, models: Sequence[State], pool: Tensor, number: int):
    """The soup of all models and the models that it is compared with, `{name: models}`.

    `members` are the first three; `shrunk members` have the soup's length in every tensor, `moved
    members` are as far from themselves as the soup is, in random directions. `repaired` and
    `recalibrated` are the soup with new moments.
    """
    soup, some = merge.average(models), models[:SOME]
    out = {
        "soup": [soup],
        "members": some,
        "shrunk members": [leveled(m, soup) for m in some],
        "moved members": [
            displaced(m, lengths_of(move_between(m, soup, 1.0)), 1000 * number + i)
            for i, m in enumerate(some)
        ],
    }
    if zoo.has_batchnorm(net):
        out["recalibrated"] = [net.recalibrated(soup, pool)]
    elif is_chain(net):
        out["repaired"] = [averaging.repaired(net, soup, models, pool)]
    return out


def closely_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """Of the soup, its members, and ensembles: scores on three sets of images, and more.

    `train`, `test` and `noisy` are scores; `refit` is the test score with a classifier fitted anew;
    `slope` is the length of the loss's gradient in the pixels, `length` that of the body; `apart`
    is how far the test scores are from those of the ensemble, relative to their length. `ensemble`
    averages scores, `features` what enters the classifiers, of all models; others are means.
    """
    shop, net, models = group_at_hand(key, sources, device)
    pool, test = shop.data(key.task, "pool"), shop.data(key.task, "test")
    data = {"train": pool, "test": test, "noisy": noisy_images(test, key.seed)}
    w, b = averaging.heads(models)
    of_all = averaging.ensemble_logits(averaging.features(net, models, test[0]), w, b)
    rows = [{"who": "ensemble"} | seen_closely(net, models, data, None)]
    rows.append({"who": "features"} | seen_closely(net, models, data, of_all, mean_head=True))
    for who, states in soup_and_others(net, models, pool[0], key.seed).items():
        each = [seen_closely(net, [state], data, of_all) for state in states]
        rows.append({"who": who} | {k: float(np.mean([e[k] for e in each])) for k in each[0]})
    return [{k: v if k == "who" else round(v, 9) for k, v in row.items()} for row in rows]


# --------------------------------------------------------------------------------- sensitivity


def sensitive_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """Test scores of moved models, by what moves them and by how much.

    `moved at random`: a mean over the first three members, every tensor moved by the share `size`
    of its length; 0 is the members themselves. `between`: the share `size` of the way from the
    first model to the second. `logits` and `features`: the ensembles of these two. `PART from the
    soup`: a mean over the first three transformers with that part of the soup of all.
    """
    shop, net, models = group_at_hand(key, sources, device)
    test, some, rows = shop.data(key.task, "test"), models[:SOME], []

    def add(what, size, states):
        score = float(np.mean([score_on(net, m, test) for m in states]))
        rows.append({"what": what, "size": size, "score": round(score, 4)})

    add("moved at random", 0.0, some)
    for size in RELATIVE:
        by = [lengths_of(weights_only(m), size) for m in some]
        moved = [displaced(m, d, 1000 * key.seed + i) for i, (m, d) in enumerate(zip(some, by))]
        add("moved at random", size, moved)
    two = models[:2]
    for share in SHARES:
        add("between", share, [merge.average(two, [1 - share, share])])
    f, (w, b) = averaging.features(net, two, test[0]), averaging.heads(two)
    for what, of in (
        ("logits", averaging.ensemble_logits),
        ("features", averaging.ensemble_features),
    ):
        score = round(percent_score(of(f, w, b), test[1]), 4)
        rows.append({"what": what, "size": 0.5, "score": score})
    if key.network.startswith("vit"):
        soup = merge.average(models)
        for part in part_names(soup):
            add(f"{part} from the soup", 1.0, [with_part(m, soup, part) for m in some])
    return rows


CLOSELY = Experiment(
    "soups seen closely",
    1,
    FineTuned,
    closely_rows,
    {"who": EXACT}
    | dict.fromkeys(("train", "test", "noisy", "refit"), POINTS)
    | dict.fromkeys(("slope", "length", "apart"), CLOSE),
)
SENSITIVE = Experiment(
    "sensitivity of weights",
    1,
    FineTuned,
    sensitive_rows,
    {"what": EXACT, "size": EXACT, "score": POINTS},
)
