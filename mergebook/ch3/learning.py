"""How StatsMerging gets from statistics to a merge: its two forms, the learner, the losses."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mergebook.ch3.definitions import floats, generator_of
from mergebook.page import OpenSuite
from mergehelpers import distil, evaluate, merge, states, stats
from mergehelpers.states import State

Table = pd.DataFrame
STEP = 2e-2  # of coefficients, for differences in single precision


# --------------------------------------------------------------------------------------- the merge


def sum_of_models(experts: list[State], coefficients: Tensor) -> State:
    """The merge as Section 3.1 prints it; `coefficients` (experts,) or (experts, layers)."""
    names = [n for n, w in experts[0].items() if w.is_floating_point()]
    tall = coefficients.reshape(len(experts), -1).expand(-1, len(names))
    made = {
        n: sum(float(c) * e[n] for c, e in zip(column, experts))
        for n, column in zip(names, tall.unbind(1))
    }
    return experts[0] | made


def farthest(a: State, b: State) -> float:
    """Largest difference of two models in a weight, over the largest weight."""
    names = [n for n, w in a.items() if w.is_floating_point()]
    return max(float((a[n] - b[n]).abs().max()) for n in names) / max(
        float(b[n].abs().max()) for n in names
    )


def forms(r: OpenSuite, seed: int, limit: int) -> Table:
    """One merge as a sum of models, and as the base with a sum of task vectors.

    `difference` as in `farthest`; `length` of the sum of models over the other; accuracies of both
    in percent, on `limit` inputs a task.
    """
    experts = list(r.experts.values())
    stacks, q = merge.vectors_stacked(r.base, experts), len(experts)
    drawn = torch.rand(q, generator=generator_of(seed))
    cases = {
        "equal": torch.full((q,), 1 / q),
        "random, sum 1": drawn / drawn.sum(),
        "0.3 each": torch.full((q,), 0.3),
    }
    rows = []
    for name, lam in cases.items():
        made = merge.combine(r.base, stacks, lam.to(r.device)), sum_of_models(experts, lam)
        percents = [evaluate.percent([r.answers(m, limit=limit)]) for m in made]
        length = states.norm(made[1]) / states.norm(made[0])
        rows.append((r.name, name, float(lam.sum()), farthest(*made), length, *percents))
    columns = ["suite", "coefficients", "sum", "difference", "length", "task vectors", "models"]
    return pd.DataFrame(rows, columns=columns)


def forms_by_layer(r: OpenSuite, seed: int) -> Table:
    """Merges with coefficients by layer, as base plus task vectors, against sums of models.

    `one in all layers`: against the merge by task; `own, sum 1`: layer by layer.
    """
    g, experts = generator_of(seed), list(r.experts.values())
    stacks = merge.vectors_stacked(r.base, experts)
    lam = torch.rand(len(experts), len(stacks), generator=g)
    lam = lam / lam.sum(0)
    cases = {"one in all layers": (lam[:, :1].expand_as(lam), lam[:, 0]), "own, sum 1": (lam, lam)}
    rows = [
        (
            r.name,
            name,
            farthest(merge.combine(r.base, stacks, a.to(r.device)), sum_of_models(experts, b)),
        )
        for name, (a, b) in cases.items()
    ]
    return pd.DataFrame(rows, columns=["suite", "coefficients", "difference"])


def layer_shapes(r: OpenSuite) -> Table:
    """The numbers of layers by their shape: a sum over layers needs one shape."""
    found = pd.Series([tuple(w.shape) for w in floats(r.base).values()]).value_counts()
    return pd.DataFrame({"suite": r.name, "shape": list(found.index), "layers": found.to_numpy()})


# ------------------------------------------------------------------------------------- the learner


def learners(r: OpenSuite, rank: int, seed: int) -> Table:
    """Eq. 4: one network for all experts, and one a layer that reads all experts (released).

    `order`: how far coefficients are from reordered ones after the experts were reordered;
    `twins`: how far apart are those of two experts with equal statistics. Both relative to the
    spread of the coefficients.
    """
    x = stats.standardise(torch.stack([stats.layer_wise(e, rank) for e in r.experts.values()]))
    twins = x.clone()
    twins[1] = twins[0]
    rows = []
    for name, shared in (("one for all", True), ("one a layer, reads all experts", False)):
        g = stats.Learner(x, form="free", shared=shared, seed=seed)
        noise = generator_of(seed)
        with torch.no_grad():
            for p in g.parameters():  # as after training: the last layer starts at zero
                p.add_(0.3 * torch.randn(p.shape, generator=noise))
            own, alike = g(), g.coefficients(twins)
            order = (g.coefficients(x.flip(0)) - own.flip(0)).abs().max() / own.std()
            apart = (alike[0] - alike[1]).abs().max() / own.std()
        size = sum(p.numel() for p in g.parameters())
        rows.append((r.name, name, size, float(order), float(apart)))
    return pd.DataFrame(rows, columns=["suite", "learner", "parameters", "order", "twins"])


# -------------------------------------------------------------------------------------- the losses


def lessons(r: OpenSuite, samples: int) -> tuple[dict, dict[str, Tensor]]:
    """The first unlabelled inputs of every task, and their labels, which only an oracle may see.

    Raises `ValueError` for inputs that have no labels, or fewer than two experts.
    """
    tasks = {name: r.suite.task(name) for name in r.experts}
    labels = {name: t.labels["unlabelled"][:samples] for name, t in tasks.items()}
    for name, y in labels.items():
        if (y < 0).any():
            raise ValueError(
                f"the task {name} of {r.name} needs labels for its unlabelled inputs; an oracle"
                " sees them"
            )
    return {name: t.inputs["unlabelled"][:samples] for name, t in tasks.items()}, labels


def pseudo_labels(r: OpenSuite, samples: int) -> Table:
    """Losses of the average of all experts, an input a row.

    `right`: whether the teacher is; `hard`: the helper's loss; `printed`: Eq. 7 written out;
    `labelled`: that of the true label; `gradient` and `split`: largest errors of Eq. 32's gradient
    as p - t, and of cross-entropy as KL and the teacher's entropy.
    """
    inputs, labels = lessons(r, samples)
    teachers, rows = distil.teach(r.suite, inputs, r.device), []
    for task, teacher in teachers.items():
        z = r.logits(r.average, task, "unlabelled", samples).double().requires_grad_()
        t, y = teacher.cpu().double(), labels[task].cpu()
        given, p, q = t.argmax(1), t.softmax(1), z.softmax(1)
        one_hot = torch.eye(t.shape[1], dtype=t.dtype)[given]
        printed = -(one_hot * q.log()).sum(1)
        soft = [distil.soft(z[i : i + 1], t[i : i + 1], y[i : i + 1], 1.0) for i in range(len(z))]
        slopes = torch.autograd.grad(sum(soft), z, retain_graph=True)[0]
        cross = -(p * q.log()).sum(1) + (p * t.log_softmax(1)).sum(1)
        for i in range(len(z)):
            one = slice(i, i + 1)
            hard = distil.hard(z[one], t[one], y[one], 1.0)
            labelled = cross_entropy(z[one], y[one])
            gradient = (slopes[i] - (q - p)[i]).abs().max()
            numbers = (hard, printed[i], labelled, gradient, (cross[i] - soft[i]).abs())
            numbers = [x.detach().item() for x in numbers]
            rows.append((r.name, task, bool(given[i] == y[i]), *numbers))
    columns = ["hard", "printed", "labelled", "gradient", "split"]
    return pd.DataFrame(rows, columns=["suite", "task", "right", *columns])


def union_logits(r: OpenSuite, state: State, inputs: dict) -> Tensor:
    """Class scores (inputs, classes of all tasks) of one model, task after task."""
    rows = []
    for x in inputs.values():
        embedded = r.backbone.encode(state, r.backbone.prepare(x))
        rows.append(torch.cat([r.suite.logits(t, embedded, state) for t in inputs], dim=1))
    return torch.cat(rows)


def supervised_losses(r: OpenSuite, each: int = 8) -> Table:
    """Eq. 6 over all classes of all tasks, and over those of an input's own task.

    For each expert's coefficient at 0.3: the loss's `slope` there, and by `difference`s; `others`
    counts the weights of experts that received a gradient.
    """
    inputs, labels = lessons(r, each)
    experts = [{n: w.detach() for n, w in e.items()} for e in r.experts.values()]
    stacks = merge.vectors_stacked(r.base, experts)
    place, q = r.device, len(experts)
    classes = [len(r.suite.task(t).classes) for t in inputs]
    starts = dict(zip(inputs, np.cumsum([0, *classes])))
    shifted = torch.cat([labels[t] + int(starts[t]) for t in inputs]).to(place)

    def loss(lam, over):
        state = merge.combine(r.base, stacks, lam)
        if over == "all classes":
            return cross_entropy(union_logits(r, state, inputs), shifted)
        scores = distil.logits(r.suite, state, inputs)
        return torch.cat(
            [cross_entropy(scores[t], labels[t].to(place), reduction="none") for t in inputs]
        ).mean()

    rows = []
    for over in ("all classes", "own classes"):
        lam = torch.full((q, 1), 0.3, device=place, requires_grad=True)
        value = loss(lam, over)
        slope = torch.autograd.grad(value, lam)[0].flatten().tolist()
        others = sum(w.requires_grad for model in (r.base, *experts) for w in model.values())
        for k, expert in enumerate(r.experts):
            step = torch.zeros_like(lam).index_fill(0, torch.tensor([k], device=place), STEP)
            with torch.no_grad():
                change = float(loss(lam + step, over) - loss(lam - step, over))
            found = (value.item(), slope[k], change / (2 * STEP), int(others))
            rows.append((r.name, over, expert, *found))
    columns = ["value", "slope", "difference", "others"]
    return pd.DataFrame(rows, columns=["suite", "over", "expert", *columns])


ORDERS = ("KL(teacher || student)", "KL(student || teacher)")


def distillation_losses(seed: int, weight: float = 0.7) -> Table:
    """Eq. 8 on random logits, in both orders of the divergence, by temperature.

    `length`: of the gradient of the divergence times T squared; `without`: without that factor;
    `mixture`: largest error of the loss as the weighted sum of its parts, for three
    weights, against `distil.student_loss`, which has the first order.
    """
    g, rows = generator_of(seed), []
    z = torch.randn(20, 5, generator=g, dtype=torch.float64)
    teacher = 2 * torch.randn(20, 5, generator=g, dtype=torch.float64)
    labels = torch.randint(5, (20,), generator=g)
    for order in ORDERS:
        for T in (1.0, 4.0, 16.0, 64.0, 256.0):
            logits = z.clone().requires_grad_()
            p, q = (teacher / T).log_softmax(1), (logits / T).log_softmax(1)
            first, second = (p, q) if order == ORDERS[0] else (q, p)
            divergence = (first.exp() * (first - second)).sum(1).mean()
            length = torch.autograd.grad(divergence, logits)[0].norm().item()
            errors = [0.0]
            if order == ORDERS[0]:
                for a in (0.0, weight, 1.0):
                    by_parts = a * cross_entropy(z, labels) + (1 - a) * T**2 * divergence
                    helper = distil.student_loss(z, teacher, labels, a, T)
                    errors.append((by_parts - helper).abs().item())
            rows.append((order, T, T**2 * length, length, max(errors)))
    return pd.DataFrame(rows, columns=["order", "T", "length", "without", "mixture"])


def rightly(table: Table) -> dict[str, float]:
    """By suite, the percentage of inputs that teachers label rightly."""
    return (100 * table.groupby("suite", sort=False).right.mean()).to_dict()
