"""Transformers of the suites: the theory's assumptions, what makes the gap, which parts matter."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from mergebook import studies
from mergebook.ch1.laboratory import digits6
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import merge, mloss, states
from mergehelpers.states import State

# Networks in float32 on another processor: numbers were up to 6e-4 apart, no answer changed.
CLOSE = Tolerance(relative=2e-3)
NODES = Tolerance(absolute=2e-3)  # one node of 512
ANSWERS = Tolerance(absolute=0.01)  # two of 200
SAME = Tolerance(absolute=0.0055)  # one of 200
ENTRIES = Tolerance(relative=1e-4)  # counts and sums of weights, with no network run


@dataclass(frozen=True)
class Sample:
    """The key of what is measured: the models, and the unlabelled inputs per task."""

    models: str
    samples: int


# ------------------------------------------------------------------ the model of Section 4, node by
# node


def half_ranges(x: Tensor) -> dict[str, Tensor]:
    """Three ways to read the half-range k of each node off its pre-activations (tokens, nodes)."""
    few = x[torch.linspace(0, len(x) - 1, min(len(x), 20_000)).long()]
    low, high = (torch.quantile(few, q, dim=0) for q in (0.005, 0.995))
    return {
        "range": (x.amax(0) - x.amin(0)) / 2,
        "central": (high - low) / 2,
        "deviation": 3**0.5 * x.std(0),
    }


def curvature(f, x: Tensor) -> Tensor:
    """|f''| of an activation, elementwise, by two automatic differentiations."""
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        slope = torch.autograd.grad(f(x).sum(), x, create_graph=True)[0]
        return torch.autograd.grad(slope.sum(), x)[0].abs()


def distance_to(column: np.ndarray, law: str) -> float:
    """Kolmogorov-Smirnov distance of a sample to the normal or uniform law that fits it."""
    if law == "uniform":
        low, high = column.min(), column.max()
        return stats.kstest(column, "uniform", (low, high - low)).statistic
    return stats.kstest((column - column.mean()) / column.std(), "norm").statistic


def block_row(f, x: Tensor, h: Tensor) -> dict[str, float]:
    """One block: how far its nodes are from the model of Section 4, and what the theorem predicts.

    `x` is the base's pre-activation (tokens, nodes), `h` the experts' (q, tokens, nodes).
    """
    delta, q = h - x, len(h)
    among = (delta - delta.mean(0)).square().mean(0)  # spread of the models at every token
    sigma2, v = delta.square().mean((0, 1)), among.mean(0)
    measured = mloss.node_mloss(h, f).mean(0)
    unit, bend = mloss.expected_mloss(f.variation, 1, 1), curvature(f, x)
    row = {
        "measured": measured.mean(),
        "sigma": sigma2.sqrt().median(),
        "shift": (delta.mean(1).square().mean(0) / sigma2).median(),
        "kurtosis": (delta.pow(4).mean((0, 1)) / sigma2.square()).median(),
        "correlation": (
            (delta.mean(0).square().mean(0) * q - sigma2) / ((q - 1) * sigma2)
        ).median(),
        "by density": (v * bend.mean(0) / 2).mean() / measured.mean(),
        "by curvature": (among * bend).mean() / 2 / measured.mean(),
    }
    for reading, k in half_ranges(x).items():
        row[f"k, {reading}"] = k.median()
        row[f"small, {reading}"] = (sigma2.sqrt() / k < 0.2).double().mean()
        row[f"printed, {reading}"] = (sigma2 / (4 * k)).mean() / measured.mean()
        row[f"independent, {reading}"] = (unit * (q - 1) / q * sigma2 / k).mean() / measured.mean()
        row[f"spread, {reading}"] = (unit * v / k).mean() / measured.mean()
    nodes = torch.linspace(0, x.shape[1] - 1, 12).long()
    for name, values, law in (
        ("x to uniform", x, "uniform"),
        ("x to normal", x, "normal"),
        ("deviation to normal", delta[0], "normal"),
    ):
        columns = values[:, nodes].double().cpu().numpy().T
        row[name] = float(np.median([distance_to(column, law) for column in columns]))
    return {name: float(value) for name, value in row.items()}


@torch.no_grad()
def both_inputs(
    r: OpenSuite, members: list[State], inputs: dict
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """For every block the base's pre-activation (tokens, nodes) and members' (q, tokens, nodes).

    The latter twice: with all members on the base's input (`shared`), and each on its own (`own`).
    """
    net = r.backbone
    ground = net.preactivations(r.base, inputs)
    seen = [net.preactivations(member, inputs) for member in members]
    for number, site in enumerate(net.sites()):
        entering, x = ground[number]
        shared = [net.rows(inputs, net.at_site(site, member, entering)) for member in members]
        own = [net.rows(inputs, record[number][1]) for record in seen]
        yield net.rows(inputs, x), {"shared": torch.stack(shared), "own": torch.stack(own)}


def blocks(key: Sample, sources: Mapping[str, str], device: str) -> list[dict]:
    """Every block of an encoder, all experts on the base's input, then each on its own."""
    r, rows = opened(key, sources, device), []
    f = mloss.activation(r.backbone.activation)
    inputs = r.backbone.prepare(r.unlabelled(key.samples))
    for number, (x, both) in enumerate(both_inputs(r, list(r.experts.values()), inputs)):
        losses = [mloss.node_mloss(h, f).mean(0).cpu() for h in both.values()]
        for kind, h in both.items():
            layer = mloss.layer_mloss(h, f) / f(h.mean(0)).norm(dim=-1)
            extra = {
                "block": number,
                "input": kind,
                "layer over norm": layer.mean().item(),
                "rank of own and shared": stats.spearmanr(*losses).statistic,
            }
            rows.append(digits6(extra | block_row(f, x, h)))
    return rows


READINGS = ("range", "central", "deviation")
BLOCKS = Experiment(
    "blocks of encoders",
    1,
    Sample,
    blocks,
    {"block": Tolerance(), "input": Tolerance()}
    | dict.fromkeys(("rank of own and shared", "correlation"), CLOSE)
    | dict.fromkeys(
        ("layer over norm", "measured", "sigma", "shift", "kurtosis", "by density", "by curvature"),
        CLOSE,
    )
    | dict.fromkeys(
        [f"{what}, {k}" for what in ("k", "printed", "independent", "spread") for k in READINGS],
        CLOSE,
    )
    | dict.fromkeys([f"small, {k}" for k in READINGS], NODES)
    | dict.fromkeys(("x to uniform", "x to normal", "deviation to normal"), CLOSE),
)

# ----------------------------------------------------------------------- what the gap is made of


def tangent(f, x0: Tensor):
    """The activation's tangent at the base's pre-activation x0, token by token: no M-Loss."""
    slope = mloss.derivative(f, x0)
    return lambda h: f(x0) + slope * (h - x0)


@torch.no_grad()
def merge_gap(r: OpenSuite, members: list[State], inputs: dict, straight: bool) -> Tensor:
    """Embedding of the average minus the mean embedding of the members, (inputs, width).

    With `straight` every activation is replaced by its tangent, the same in all models.
    """
    f = mloss.activation(r.backbone.activation)
    x0 = [x for _, x in r.backbone.preactivations(r.base, inputs)]
    functions = [tangent(f, x) if straight else f for x in x0]
    with r.backbone.replaced(functions):
        merged = r.backbone.encode(merge.average(members), inputs)
        return merged - torch.stack([r.backbone.encode(m, inputs) for m in members]).mean(0)


@torch.no_grad()
def ensembled_activations(r: OpenSuite, members: list[State], inputs: dict) -> Tensor:
    """Embeddings of the average with every activation ensembled over the members' own layers.

    All members' layers read the merged network's input: only M-Loss on a *shared* input is
    repaired.
    """
    entering, f = {}, mloss.activation(r.backbone.activation)

    def catch(site):
        return lambda module, args: entering.update({site: args[0]})

    def ensembled(site):
        return lambda h: torch.stack(
            [f(r.backbone.at_site(site, m, entering[site])) for m in members]
        ).mean(0)

    sites = r.backbone.sites()
    hooks = [
        r.backbone.module.get_submodule(site).register_forward_pre_hook(catch(site))
        for site in sites
    ]
    try:
        with r.backbone.replaced([ensembled(site) for site in sites]):
            return r.backbone.encode(merge.average(members), inputs)
    finally:
        for hook in hooks:
            hook.remove()


def shrunk(r: OpenSuite, t: float) -> list[State]:
    """The experts at t times their task vectors."""
    return [states.apply(r.base, states.task_vector(r.base, m), t) for m in r.experts.values()]


@dataclass(frozen=True)
class Step:
    """The key of a gap: the models, inputs per task, and the share `t` of each expert's step."""

    models: str
    samples: int
    t: float


@torch.no_grad()
def share_left(key: Step, sources: Mapping[str, str], device: str) -> dict:
    """Which share of the embedding's gap stays when no activation has any M-Loss."""
    r = opened(key, sources, device)
    members, every = shrunk(r, key.t), r.unlabelled(key.samples)
    share, size, mended = [], [], []
    for start in range(0, len(every), 32):
        inputs = r.backbone.prepare(every[start : start + 32])
        full, straight = (merge_gap(r, members, inputs, s) for s in (False, True))
        target = r.backbone.encode(merge.average(members), inputs) - full
        left = ensembled_activations(r, members, inputs) - target
        share += ((straight * full).sum(1) / full.square().sum(1)).tolist()
        size += (straight.norm(dim=1) / full.norm(dim=1)).tolist()
        mended += (left.norm(dim=1) / full.norm(dim=1)).tolist()
    low, high = spread_of_mean(share)
    row = {"share": float(np.mean(share)), "share_low": low, "share_high": high}
    return digits6(row | {"size": float(np.mean(size)), "repaired": float(np.mean(mended))})


def spread_of_mean(values: list[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean over inputs."""
    found = stats.bootstrap(
        (np.asarray(values),), np.mean, n_resamples=1000, rng=0, method="percentile"
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


SHARE = Experiment(
    "share of the gap",
    1,
    Step,
    share_left,
    dict.fromkeys(("share", "share_low", "share_high", "size", "repaired"), CLOSE),
)


@dataclass(frozen=True)
class Tested:
    """The key of what is measured on a task's test inputs: models, task, number of inputs."""

    models: str
    task: str
    test_samples: int


def outputs(key: Tested, sources: Mapping[str, str], device: str) -> dict:
    """Merged and ensembled logits of a task: their gap over the ensemble's spread, and answers.

    `features` is the ensemble of embeddings, under the head of the task.
    """
    r, n = opened(key, sources, device), key.test_samples
    models = {"average": r.average, "base": r.base, "expert": r.experts[key.task]}
    scores = {name: r.logits(state, key.task, limit=n) for name, state in models.items()}
    features = [r.embeddings(state, key.task, limit=n) for state in r.experts.values()]
    logits = [r.head_logits(key.task, z, m) for z, m in zip(features, r.experts.values())]
    scores["ensemble"] = torch.stack(logits).mean(0)
    mean = torch.stack(features).mean(0)  # the paper's released code ensembles these
    scores["features"] = r.head_logits(key.task, mean, r.experts[key.task])
    gap, y = scores["average"] - scores["ensemble"], r.labels(key.task, limit=n)
    same = scores["average"].argmax(1) == scores["ensemble"].argmax(1)
    row = {
        "gap": (gap.square().mean().sqrt() / scores["ensemble"].std()).item(),
        "same": same.float().mean().item(),
    }
    return digits6(row) | studies.pack_answers(
        {name: s.argmax(1) == y for name, s in scores.items()}
    )


OUTPUTS = Experiment(
    "merged and ensembled outputs",
    1,
    Tested,
    outputs,
    {"gap": CLOSE, "same": SAME}
    | dict.fromkeys(("average", "base", "expert", "ensemble", "features"), ANSWERS),
)

# --------------------------------------------------------------------------- which parts carry the
# gain

EVERYTHING, MATRICES, REST = "all", "matrices", "what is no matrix"
ALIKE = "as many entries of matrices"
SCORED, UNSCORED = "layers before an activation", "all but these layers"
CHOICES = (EVERYTHING, MATRICES, REST, ALIKE, SCORED, UNSCORED)


@dataclass(frozen=True)
class Part:
    """The key of a part of the average's task vector: models, part, test inputs per task."""

    models: str
    part: str
    test_samples: int


def part_of(r: OpenSuite, part: str) -> State:
    """The base moved by a part of the average's task vector; `ALIKE` draws its entries at random.

    Raises `ValueError` for an unknown part.
    """
    tau = states.task_vector(r.base, r.average)
    scored = {r.backbone.weight_name(site) for site in r.backbone.sites()}
    matrices = {n for n, v in tau.items() if v.ndim == 2}
    changed = {n: int((v != 0).sum()) for n, v in tau.items()}
    share = sum(changed[n] for n in tau if n not in matrices) / sum(changed[n] for n in matrices)
    generator = torch.Generator().manual_seed(0)
    names = {
        "none": set(),
        EVERYTHING: set(tau),
        MATRICES: matrices,
        REST: tau.keys() - matrices,
        ALIKE: matrices,
        SCORED: scored,
        UNSCORED: tau.keys() - scored,
    }
    if part not in names:
        raise ValueError(f"part is {part!r}; allowed: {', '.join(names)}")
    chosen = {n: tau[n] for n in tau if n in names[part]}
    if part == ALIKE:
        chosen = {
            n: v * (torch.rand(v.shape, generator=generator) < share).to(v)
            for n, v in chosen.items()
        }
    return chosen


def part_answers(key: Part, sources: Mapping[str, str], device: str) -> list[dict]:
    """Answers of the base moved by a part of the task vector, by task, and its share of entries."""
    r = opened(key, sources, device)
    chosen, whole = part_of(r, key.part), part_of(r, EVERYTHING)
    count, total = (sum(int((v != 0).sum()) for v in p.values()) for p in (chosen, whole))
    right = studies.pack_answers(r.answers(states.apply(r.base, chosen), limit=key.test_samples))
    return [
        digits6({"task": task, "entries": count / total, "right": packed})
        for task, packed in right.items()
    ]


PARTS = Experiment(
    "parts of the task vector",
    1,
    Part,
    part_answers,
    {"task": Tolerance(), "entries": ENTRIES, "right": ANSWERS},
)

# --------------------------------------------------------------------------- what predicts a pair's
# merge


@dataclass(frozen=True)
class Pair:
    """The key of a pair of experts: the models, the two tasks, and the numbers of inputs."""

    models: str
    first: str
    second: str
    samples: int
    test_samples: int


def pair(key: Pair, sources: Mapping[str, str], device: str) -> dict:
    """One pair of experts: predictors of its merge, and how many answers the merge keeps."""
    r, tasks = opened(key, sources, device), (key.first, key.second)
    f = mloss.activation(r.backbone.activation)
    members = [r.experts[task] for task in tasks]
    inputs = r.backbone.prepare(r.unlabelled(key.samples, tasks))
    losses = {"own_mloss": [], "shared_mloss": [], "preactivations": []}
    for _, both in both_inputs(r, members, inputs):
        losses["own_mloss"].append(mloss.node_mloss(both["own"], f).mean())
        losses["shared_mloss"].append(mloss.node_mloss(both["shared"], f).mean())
        apart = both["own"][0] - both["own"][1]
        losses["preactivations"].append(apart.square().mean().sqrt() / 2)
    a, b = (states.task_vector(r.base, m) for m in members)
    merged = merge.average(members)
    row = {name: torch.stack(values).mean().item() for name, values in losses.items()}
    row |= {"distance": states.norm({n: a[n] - b[n] for n in a}), "cosine": -states.cosine(a, b)}
    right = studies.pack_answers(r.answers(merged, tasks=tasks, limit=key.test_samples))
    expert = {
        task: r.answers(r.experts[task], tasks=(task,), limit=key.test_samples)[task]
        for task in tasks
    }
    return digits6(row) | {
        "right_first": right[key.first],
        "right_second": right[key.second],
        "expert_first": studies.pack_answers(expert)[key.first],
        "expert_second": studies.pack_answers(expert)[key.second],
    }


PAIRS = Experiment(
    "pairs of experts",
    1,
    Pair,
    pair,
    dict.fromkeys(("own_mloss", "shared_mloss", "preactivations", "distance", "cosine"), CLOSE)
    | dict.fromkeys(("right_first", "right_second", "expert_first", "expert_second"), ANSWERS),
)


def pair_keys(r: OpenSuite, samples: int, test_samples: int) -> list[Pair]:
    """All pairs of a suite's experts."""
    pairs = itertools.combinations(r.tasks, 2)
    return [Pair(r.mark, a, b, samples, test_samples) for a, b in pairs]


def lost(pairs: pd.DataFrame) -> pd.Series:
    """Accuracy that averaging a pair loses against its two experts, in points."""

    def accuracy(column):
        return pairs[column].map(lambda packed: studies.unpack_answers({"": packed})[""].mean())

    ends = ("first", "second")
    return 50 * sum(accuracy(f"expert_{end}") - accuracy(f"right_{end}") for end in ends)
