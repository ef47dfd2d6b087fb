"""Does M-Loss mark the nodes that conflict, and does it bring the merge closer to the ensemble?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from mergebook.ch1.encoders import ENTRIES
from mergebook.ch1.laboratory import digits6
from mergebook.ch2.models import IMPRINT, Merge, imprint, model_of, scored
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval
from mergebook.page import OpenSuite, opened
from mergehelpers import mties, states
from mergehelpers.states import State

Table = pd.DataFrame
# ---------------------------------------------------------------------------- nodes in conflict
LOSSES = ("shared input", "own input", "normalised", "released")
FREE = ("length of the change", "activation variance")  # numbers that need no theory
SIGNS = "sign conflict"


@dataclass(frozen=True)
class Node:
    """The key of one node: where it is, and how many unlabelled inputs a task measure it."""

    models: str
    site: str
    node: int
    samples: int


def nodes_of(r: OpenSuite, each: int, samples: int, seed: int) -> list[Node]:
    """Keys of `each` random nodes of every site."""
    g, out = torch.Generator().manual_seed(seed), []
    for site in mties.pick_sites(r.backbone):
        width = len(r.base[r.backbone.weight_name(site)])
        chosen = torch.randperm(width, generator=g)[:each].sort().values
        out += [Node(r.mark, site, node, samples) for node in chosen.tolist()]
    return out


@torch.no_grad()
def answer_law(r: OpenSuite, state: State, task: str, inputs: Mapping) -> Tensor:
    """Log probabilities (inputs, classes) of a model, in float64."""
    out = r.suite.logits(task, r.backbone.encode(state, inputs), state)
    return out.double().log_softmax(-1)


@lru_cache(maxsize=2)
def own_laws(r: OpenSuite, samples: int) -> dict[str, tuple[Mapping, Tensor]]:
    """Prepared unlabelled inputs of every task, and what its own expert says of them."""
    out = {}
    for task in r.experts:
        inputs = r.backbone.prepare(r.unlabelled(samples, [task]))
        out[task] = inputs, answer_law(r, r.experts[task], task, inputs)
    return out


def harm(r: OpenSuite, site: str, node: int, samples: int) -> float:
    """How far an expert's answers move when the node's row alone is averaged: KL, mean of experts.

    Each expert is asked about its own task.
    """
    name, found = r.backbone.weight_name(site), []
    row = torch.stack([e[name][node] for e in r.experts.values()]).mean(0)
    for task, (inputs, before) in own_laws(r, samples).items():
        weight = r.experts[task][name].clone()
        weight[node] = row
        after = answer_law(r, r.experts[task] | {name: weight}, task, inputs)
        found.append((before.exp() * (before - after)).sum(-1).mean().item())
    return float(np.mean(found))


@lru_cache(maxsize=2)
def activation_variances(r: OpenSuite, samples: int) -> dict[str, Tensor]:
    """Variance of every node's activation in the base, `{site: (nodes,)}`."""
    both = mties.node_scores(
        r.backbone,
        r.base,
        [r.base],
        r.unlabelled(samples),
        measure=lambda h, f: torch.cat([f(h[0]), f(h[0]).square()], -1),
    )
    halves = {site: moments.chunk(2) for site, moments in both.items()}
    return {site: square - level.square() for site, (level, square) in halves.items()}


def measured(key: Node, sources: Mapping[str, str], device: str) -> dict:
    """The harm of averaging a node, and all that could tell it beforehand."""
    r = opened(key, sources, device)
    name = r.backbone.weight_name(key.site)
    change = torch.stack([e[name][key.node] - r.base[name][key.node] for e in r.experts.values()])
    change = change.flatten(1)
    row = {"harm": harm(r, key.site, key.node, key.samples)}
    for how in LOSSES:
        row[how] = scored(r, how, key.samples, 0)[key.site][key.node].item()
    row["length of the change"] = change.norm(dim=1).mean().item()
    row["activation variance"] = activation_variances(r, key.samples)[key.site][key.node].item()
    row[SIGNS] = (1 - change.sign().sum(0).abs() / len(change)).mean().item()
    return digits6(row)


# A divergence of answers in float32 that are nearly the same is less sure than a sum of weights.
# Neither this bound nor `APART` was measured on a second processor.
HARMED = Tolerance(relative=8e-3)
NODES = Experiment(
    "harm of averaged nodes",
    1,
    Node,
    measured,
    dict.fromkeys(("harm", *LOSSES, "activation variance"), HARMED)
    | dict.fromkeys(("length of the change", SIGNS), ENTRIES),
)


def correlations(nodes: Table, seed: int = 0, resamples: int = 1000) -> dict[str, dict]:
    """Rank correlation of each number with harm, `{suite: {number: values}}`.

    It is the mean over layers of Spearman's, for M-TIES compares nodes of one layer. The first
    value is that of all nodes; the others are of nodes resampled within their layers, the same for
    all numbers, so that differences are paired.
    """
    columns, out = (*LOSSES, *FREE, SIGNS), {}
    for suite, part in nodes.sort_values(["site", "node"]).groupby("suite"):
        rng, layers = np.random.default_rng(seed), []
        for _, layer in part.groupby("site"):
            drawn = rng.integers(len(layer), size=(resamples, len(layer)))
            rows = np.vstack([np.arange(len(layer)), drawn])
            ranks = {
                name: rankdata(layer[name].to_numpy()[rows], axis=1) for name in ("harm", *columns)
            }
            layers.append([_correlated(ranks[name], ranks["harm"]) for name in columns])
        out[suite] = dict(zip(columns, np.mean(layers, axis=0)))
    return out


def _correlated(a, b):
    """Correlation row by row; NaN where a row does not vary."""
    a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def spanned(values: np.ndarray) -> Interval:
    """The first value, and the 95 % interval of the others."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Interval(float(values[0]), float(low), float(high))


def shown_correlations(nodes: Table, seed: int = 0) -> Table:
    """The correlations as text: a row of each number, a column of each suite."""
    found = correlations(nodes, seed)
    return pd.DataFrame(
        {suite: {n: f"{spanned(v):.2f}" for n, v in of.items()} for suite, of in found.items()}
    )


# ---------------------------------------------------------------------- closer to the ensemble

GROUPS = 10  # a task's inputs are resampled in groups
MEASURES = ("KL, features", "KL, logits", "1 - cosine")
MINE = {"released": ("rows", "released"), "paper": ("line 22", "merged so far")}
RIVALS = {
    "average": ("average", ""),
    "TIES": ("TIES", ""),
    "TIES by tensor": ("TIES by tensor", ""),
    "rows, all keep k": ("rows", "constant"),
}


def aligned_keys(r: OpenSuite, keep: float, spread: float, draws: int, **other) -> list[Merge]:
    """What is compared with the ensemble: M-TIES in two readings, rivals and controls."""
    out = [Merge(r.mark, *names, keep, **other) for names in RIVALS.values()]
    for method, order in MINE.values():
        names = [(order, 0), ("even", 0), *(("random", draw) for draw in range(draws))]
        out += [Merge(r.mark, method, o, keep, spread, draw=d, **other) for o, d in names]
    return out


def as_long(r: OpenSuite, keep: float, spread: float, **other) -> dict[str, Merge]:
    """TIES with its change scaled to the length of each reading of M-TIES, `{reading: key}`."""

    def length(key):
        return states.norm(states.task_vector(r.base, model_of(r, key)))

    ties = Merge(r.mark, *RIVALS["TIES"], keep, **other)
    whole = length(ties)
    mine = {name: Merge(r.mark, *names, keep, spread, **other) for name, names in MINE.items()}
    return {n: replace(ties, scale=round(length(key) / whole, 4)) for n, key in mine.items()}


@lru_cache(maxsize=2)
def ensemble(r: OpenSuite, inputs: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The experts' mean features and mean logits on test inputs of every task."""
    out = {}
    for task in r.tasks:
        seen = [(r.embeddings(e, task, limit=inputs), e) for e in r.experts.values()]
        logits = torch.stack([r.head_logits(task, x, e) for x, e in seen]).mean(0)
        out[task] = torch.stack([x for x, _ in seen]).mean(0), logits
    return out


def aligned(key: Merge, sources: Mapping[str, str], device: str) -> dict:
    """How far a merged model is from the ensemble, by task and group of inputs."""
    r = opened(key, sources, device)
    state, out = model_of(r, key), {measure: [] for measure in MEASURES}
    for task, (features, logits) in ensemble(r, key.inputs).items():
        mine = r.embeddings(state, task, limit=key.inputs)
        mine_law = r.head_logits(task, mine, state).double().log_softmax(-1)
        for measure, joint in (
            ("KL, features", r.head_logits(task, features, state)),
            ("KL, logits", logits),
        ):
            law = joint.double().log_softmax(-1)
            out[measure].append((law.exp() * (law - mine_law)).sum(-1))
        cosine = torch.cosine_similarity(features.double(), mine.double(), dim=-1)
        out["1 - cosine"].append(1 - cosine.cpu())
    row = {
        measure: [[float(f"{g.mean():.5g}") for g in v.tensor_split(GROUPS)] for v in values]
        for measure, values in out.items()
    }
    return row | {"imprint": imprint(r.base, state)}


# Means of groups of inputs.
APART = Tolerance(relative=1e-3)
ALIGNED = Experiment(
    "distance to the ensemble",
    1,
    Merge,
    aligned,
    dict.fromkeys(MEASURES, APART) | {"imprint": IMPRINT},
)


def distances(rows: Table) -> Table:
    """Mean distance to the ensemble: a row of each model, random orders together, by suite.

    TIES at other scales is left out.
    """
    rows = rows[rows.scale == 1]
    part = rows.assign(model=(rows.method + ", " + rows.order).str.removesuffix(", "))
    for measure in MEASURES:
        part[measure] = [np.mean(values) for values in rows[measure]]
    wide = part.groupby(["model", "suite"], sort=False)[list(MEASURES)].mean()
    return wide.unstack().swaplevel(axis=1).sort_index(axis=1, level=0, sort_remaining=False)


def closer(
    rows: Table, long: Mapping[str, Mapping[str, Merge]], seed: int = 0, resamples: int = 2000
) -> Table:
    """How much closer to the ensemble M-TIES is than rivals, in percent of their distance.

    `long` has what `as_long` gives for each suite. Beside M-TIES the control with even rates.
    Groups of inputs are resampled within tasks; `random` is the mean of all random orders.
    """
    out = []
    for suite, part in rows.groupby("suite"):
        rng = np.random.default_rng(seed)
        for measure in MEASURES:
            of = {
                (k.method, k.order, k.draw, k.scale): np.array(values)
                for k, values in zip(part.itertuples(), part[measure])
            }
            shape = next(iter(of.values())).shape
            drawn = rng.multinomial(
                shape[1], np.full(shape[1], 1 / shape[1]), (resamples, shape[0])
            )
            for reading, (method, order) in MINE.items():
                chance = [v for k, v in of.items() if k[:2] == (method, "random")]
                mine, even = of[method, order, 0, 1], of[method, "even", 0, 1]
                pairs = {
                    "random": (mine, np.mean(chance, axis=0)),
                    "even": (mine, even),
                    "TIES": (mine, of["TIES", "", 0, 1]),
                    "TIES as long": (mine, of["TIES", "", 0, long[suite][reading].scale]),
                    "TIES by tensor": (mine, of["TIES by tensor", "", 0, 1]),
                    "TIES from even": (even, of["TIES", "", 0, 1]),
                }
                for rival, (one, other) in pairs.items():
                    gaps = 100 * (other - one) / other.mean()
                    again = (drawn * gaps).sum((1, 2)) / gaps.size
                    gap = spanned(np.append(gaps.mean(), again))
                    out.append((suite, reading, measure, rival, *gap))
    names = ["suite", "reading", "measure", "rival", "value", "low", "high"]
    return pd.DataFrame(out, columns=names)
