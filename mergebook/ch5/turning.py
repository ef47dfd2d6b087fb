"""Matrices and heads trained by the expert's answers: Eq. 9, Table 2, and controls (page 05c)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch5.encoders import BASE, Encoder, views
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, of_mean, of_runs
from mergebook.studies import pack_answers, unpack_answers
from mergehelpers import alignment
from mergehelpers.alignment import Head, Plan

Table = pd.DataFrame
# What stands between the features and the old head.
FREE, EXACT, PENALISED = "free M", "exactly orthogonal M", "penalised M"
RANDOM_HEAD, NEW_HEAD, FEW = "orthogonal M, random head", "new head", "new head, few samples"
RATES = (3e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
BRIEF, LONG_ALPHAS = 100, (0.1,)  # steps of a brief training; penalties of long ones
FEW_RATES, LONG_RATES = (1e-3, 1e-2, 1e-1), (3e-3,)  # of controls, and of long trainings
WIDE = 256  # from this width on no long trainings, and no controls with a map behind the encoder
SHOTS = 5  # of each class, where samples are few
# What is put behind an encoder: nothing; a stretch, which is no rotation at all; a random network.
STRETCHED, SCRAMBLED = "stretched", "random network"
STRETCH, LAYER = 4.0, 4  # longest factor; hidden units of the network for each feature


@dataclass(frozen=True)
class Repair(Encoder):
    """The key of one repair of one model on one task.

    `amount` inputs of the pool train it, drawn anew for each of `draws`; `through` names what was
    put behind the encoder, `alpha` is the weight of Eq. 9's penalty.
    """

    kind: str = FREE
    alpha: float = 0.0
    through: str = ""
    amount: int = 200
    draws: int = 5
    rates: tuple[float, ...] = RATES
    train_steps: int = BRIEF


def spoilt(z: Tensor, through: str, pool: Tensor, seed: int = 0) -> Tensor:
    """Features (inputs, width) sent through one fixed map, the same for all inputs.

    `stretched`: along the principal axes of the features `pool`, by factors from 1/4 for the
    longest axis to 4 for the shortest, evenly on a log scale; a symmetric matrix. (Along random
    axes the factors would even out.) `random network`: one hidden layer of ReLUs, random weights.
    """
    if not through:
        return z
    g, d = torch.Generator().manual_seed(seed), z.shape[1]
    if through == STRETCHED:
        axes = torch.linalg.eigh(torch.cov(pool.T)).eigenvectors  # the shortest first
        return z @ (axes * STRETCH ** torch.linspace(1, -1, d, dtype=z.dtype)) @ axes.T
    if through != SCRAMBLED:
        raise ValueError(f"through is {through!r}; allowed: '', {STRETCHED}, {SCRAMBLED}")
    first = torch.randn(d, LAYER * d, generator=g, dtype=z.dtype)
    second = torch.randn(LAYER * d, d, generator=g, dtype=z.dtype)
    return (z @ first).relu() @ second / (LAYER**0.5 * d)


def random_like(head: Head, seed: int) -> Head:
    """A head of random directions, each row as long as the real one, and its bias."""
    g = torch.Generator().manual_seed(seed)
    drawn = torch.randn(head.weight.shape, generator=g, dtype=head.weight.dtype)
    lengths = head.weight.norm(dim=1) / drawn.norm(dim=1)
    return head._replace(weight=drawn * lengths[:, None])


def trained_once(key: Repair, z: Tensor, soft: Tensor, head: Head, seed: int, rate: float):
    """`(classifier, defect of its M)` after one training; a head has no M."""
    plan = Plan(key.train_steps, rate)
    if key.kind in (FREE, PENALISED):
        found = alignment.fit_map(z, soft, head, plan, key.alpha)
        return Head(head.weight @ found.matrix.T, head.bias), alignment.defect(found.matrix)
    if key.kind in (EXACT, RANDOM_HEAD):
        start = head if key.kind == EXACT else random_like(head, seed)
        return alignment.fit_gram(z, soft, start, plan), 0.0
    return alignment.fit_head(z, soft, head, plan), 0.0


def drawn(key: Repair, labels: Tensor, classes: int, seed: int) -> Tensor:
    """Indices of the inputs that train a repair; few samples are as many of each class."""
    if key.kind == FEW:
        most = int(torch.bincount(labels, minlength=classes).min())
        return alignment.draw_shots(labels, min(SHOTS, most), range(classes), seed)
    g = torch.Generator().manual_seed(seed)
    return torch.randperm(len(labels), generator=g)[: key.amount]


def numbers_of(kind: str, classes: int, width: int) -> int:
    """How many numbers a repair trains: those of M, of orthonormal rows, or of a head."""
    if kind in (FREE, PENALISED):
        return width**2
    return classes * width + (0 if kind in (EXACT, RANDOM_HEAD) else classes)


def train_repair(key: Repair, sources: Mapping[str, str], device: str) -> dict:
    """Test answers after the repair, a text a draw, and the mean defect of M over draws.

    The first draw chooses the rate, by right answers to validation inputs. `numbers` is how many
    are trained, `old_head` the accuracy in percent before any repair, `cka` how like the expert's
    the features are.
    """
    v, right, away = views(key, sources, device), [], []
    z = {s: v.model(s) for s in ("train", "val", "test")}
    z = {s: spoilt(x, key.through, z["train"], key.seed) for s, x in z.items()}
    soft, rates = v.head(v.expert("train")).softmax(-1), list(key.rates)
    for seed in range(key.seed, key.seed + key.draws):
        i = drawn(key, v.labels("train"), v.classes, seed)
        tried = {r: trained_once(key, z["train"][i], soft[i], v.head, seed, r) for r in rates}
        on_val = {
            rate: (answer(z["val"]).argmax(1) == v.labels("val")).double().mean()
            for rate, (answer, _) in tried.items()
        }
        rates = [max(on_val, key=on_val.get)]
        answer, defect = tried[rates[0]]
        found = answer(z["test"]).argmax(1) == v.labels("test")
        right.append(pack_answers({"": found})[""])
        away.append(defect)
    before = v.head(z["test"]).argmax(1) == v.labels("test")
    return {
        "right": right,
        "defect": round(float(np.mean(away)), 6),
        "numbers": numbers_of(key.kind, *v.head.weight.shape),
        "old_head": round(100 * float(before.double().mean()), 6),
        "cka": round(alignment.likeness(z["test"], v.expert("test")), 6),
    }


TURNED = Experiment(
    "matrices trained by answers",
    1,
    Repair,
    train_repair,
    {
        "right": Tolerance(0.012),
        "defect": Tolerance(1e-3, 4e-3),
        "numbers": Tolerance(),
        "old_head": Tolerance(0.6),
        "cka": Tolerance(1e-4, 4e-3),
    },
)


def turned_keys(
    encoders: Iterable[Encoder], width: int, alphas: Sequence[float], long: int, **sizes
) -> list[Repair]:
    """All repairs of a suite's merges and of its base; `sizes` are `amount` and `draws`.

    In narrow encoders merges also get controls: a map behind the encoder, few samples, and `long`
    steps with a penalty.
    """
    out = []
    for encoder in encoders:
        one = Repair(**vars(encoder), **sizes)
        out += [replace(one, kind=kind) for kind in (FREE, EXACT, RANDOM_HEAD, NEW_HEAD)]
        out += [replace(one, kind=PENALISED, alpha=a) for a in alphas]
        if encoder.model != BASE and width < WIDE:
            less = replace(one, draws=min(2, one.draws), rates=FEW_RATES)
            stretched = replace(one, rates=FEW_RATES, through=STRETCHED)
            out += [replace(stretched, kind=kind) for kind in (FREE, EXACT)]
            kinds = ((SCRAMBLED, NEW_HEAD), (SCRAMBLED, FEW))
            out += [replace(less, kind=kind, through=name) for name, kind in (*kinds, ("", FEW))]
            longer = replace(less, kind=PENALISED, draws=1, rates=LONG_RATES, train_steps=long)
            out += [replace(longer, alpha=a) for a in LONG_ALPHAS]
    return out


# ------------------------------------------------------------------------------------- from rows


def right_answers(rows: Table, model: str, kind: str, alpha=0.0, through="", long=False) -> list:
    """Answers to test inputs by task, each (draws, inputs), for `intervals.of_runs`.

    `long` trainings are those of the most steps.
    """
    of = rows[(rows.model == model) & (rows.kind == kind) & (rows.alpha == alpha)]
    of = of[(of.through == through) & ((of.train_steps > BRIEF) == long)].sort_values("task")
    return [np.array([unpack_answers({"": t})[""] for t in texts], float) for texts in of.right]


def loses(rows: Table, model: str, worse: str, among: int = 1, **more) -> Interval:
    """Points by which a free M is better than another repair; `more` are those of `right_answers`.

    Where the other has fewer draws, as many of the free M's count.
    """
    free = right_answers(rows, model, FREE, through=more.get("through", ""))
    other = right_answers(rows, model, worse, **more)
    draws = min(len(x) for x in (*free, *other))
    return of_runs([x[:draws] for x in free], [x[:draws] for x in other], among)


def old_head(rows: Table, model: str, through: str = "") -> np.ndarray:
    """Accuracy in percent under the old head by task, (tasks,), before any repair."""
    of = rows[(rows.model == model) & (rows.through == through)]
    return of.groupby("task").old_head.first().to_numpy()


def unrepaired(rows: Table, model: str, among: int = 1) -> Interval:
    """Points by which a free M is better than the old head as it stands, over tasks."""
    free = np.array([100 * x.mean() for x in right_answers(rows, model, FREE)])
    return of_mean(free - old_head(rows, model), among)


def defect_of(rows: Table, model: str, alpha: float = 0.0, long: bool = False) -> float:
    """The mean defect over tasks of the free M, or of the penalised one."""
    of = rows[(rows.model == model) & (rows.alpha == alpha) & (rows.through == "")]
    of = of[(of.kind == (PENALISED if alpha else FREE)) & ((of.train_steps > BRIEF) == long)]
    return float(of.defect.mean())


def table_2(rows: Table) -> Table:
    """Accuracy in percent, a row a suite and repair, a column a model: Table 2 and its controls."""
    out = {}
    by = ["suite", "model", "kind", "alpha", "through", "train_steps"]
    for (suite, model, kind, alpha, through, steps), part in rows.groupby(by, sort=False):
        name = kind + f", α = {alpha:g}" * bool(alpha) + f", {through}" * bool(through)
        name += f", {steps} steps" * (steps > BRIEF)
        right = right_answers(part, model, kind, alpha, through, steps > BRIEF)
        first = out.setdefault((suite, "old head"), {})
        first.setdefault(model, old_head(part, model, through).mean())
        out.setdefault((suite, name), {})[model] = 100 * np.mean([x.mean() for x in right])
    return Table(out).T.rename_axis(["suite", "repair"])
