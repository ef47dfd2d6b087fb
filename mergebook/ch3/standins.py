"""Do statistics of weights stand in for the curvature of the loss? On a suite's own experts."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch3.definitions import floats, generator_of
from mergebook.ch3.fisher import NAMES, fisher_gradients, halves
from mergebook.intervals import Interval, of_mean, ranked
from mergebook.page import OpenSuite
from mergehelpers import states, stats
from mergehelpers.states import State

Table = pd.DataFrame
ALL_SIX = "all six"
CONTROLS = ("size", "depth")  # of a layer: known without a look at its weights
LARGEST = 200_000  # entries of a layer whose Fisher directions are found


# ----------------------------------------------------------------------- second moments, Eqs. 27-31


def second_moments(r: OpenSuite) -> Table:
    """Relative error of mean square = variance + squared mean, in every layer of every model."""
    rows = []
    for model, state in {"base": r.base, **r.experts}.items():
        for name, w in floats(state).items():
            square = w.square().mean()
            error = (square - w.var(correction=0) - w.mean() ** 2).abs()
            rows.append((r.name, model, name, float(error / square.clamp(min=1e-300))))
    return pd.DataFrame(rows, columns=["suite", "model", "layer", "error"])


def with_shuffled(state: State, names: list[str], g: torch.Generator) -> State:
    """A model with the entries of some of its tensors in random order."""
    mixed = {}
    for n in names:
        order = torch.randperm(state[n].numel(), generator=g).to(state[n].device)
        mixed[n] = state[n].flatten()[order].view_as(state[n])
    return state | mixed


def shuffles(r: OpenSuite, seed: int, limit: int) -> Table:
    """The first expert with the matrices of one depth shuffled, then all: what it changes.

    `moments`: the largest relative change of mean, variance or norm; `top`: the median factor on
    the largest singular value; `percent`: accuracy on `limit` inputs of its task.
    """
    task, expert = next(iter(r.experts.items()))
    deep, g = states.depths(expert), generator_of(seed)
    matrices = [n for n, w in expert.items() if w.is_floating_point() and w.ndim >= 2 and w.any()]
    groups = {"none": []}
    for d in sorted({deep[n] for n in matrices}):
        groups[f"depth {d:.2f}"] = [n for n in matrices if deep[n] == d]
    groups["all"] = matrices
    rows = []
    for name, names in groups.items():
        state, changes, tops = with_shuffled(expert, names, g), [0.0], [1.0] if not names else []
        for n in names:
            new, old = (stats.of_layer(s[n], 1) for s in (state, expert))
            changes.append(float((new[:3] / old[:3] - 1).abs().max()))
            tops.append(float(new[3] / old[3]))
        right = r.answers(state, tasks=[task], limit=limit)[task].double().mean()
        row = (name, len(names), max(changes), float(np.median(tops)), 100 * float(right))
        rows.append((r.name, *row))
    return pd.DataFrame(
        rows, columns=["suite", "shuffled", "matrices", "moments", "top", "percent"]
    )


# -------------------------------------------------------------------------- statistics against it


def wide(table: Table, column: str) -> np.ndarray:
    """A column of `traces` as (experts, layers)."""
    return table.pivot(index="expert", columns="layer", values=column).to_numpy()


def standard_ranks(x: np.ndarray) -> np.ndarray:
    """Ranks over the first axis with mean 0 and spread 1; zeros where nothing varies."""
    ranks = ranked(x)
    spread = ranks.std(0)
    return (ranks - ranks.mean(0)) / np.where(spread > 0, spread, 1)


def correlation_by_layer(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation over experts of two columns (experts, layers), mean over layers."""
    return float((standard_ranks(x) * standard_ranks(y)).mean())


def of_all_six(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation of `y` (experts, layers) with what all statistics (..., six) say of it.

    They say it by least squares on ranks at a layer, with one slope each for all layers. The slopes
    for an expert come from the other experts alone.
    """
    told, ranks = np.zeros(y.shape), standard_ranks(x)
    for k in range(len(y)):
        others = np.delete(np.arange(len(y)), k)
        seen = standard_ranks(x[others]).reshape(-1, x.shape[-1])
        slopes = np.linalg.lstsq(seen, standard_ranks(y[others]).ravel(), rcond=1e-6)[0]
        told[k] = ranks[k] @ slopes
    return correlation_by_layer(told, y)


def by_leaving_out(
    statistic: Callable[[np.ndarray], float], count: int, among: int = 1
) -> Interval:
    """A statistic of some of `count` experts, by the jackknife: experts are left out in turn."""
    every = np.arange(count)
    whole = statistic(every)
    left = [statistic(np.delete(every, k)) for k in range(count)]
    return of_mean([count * whole - (count - 1) * value for value in left], among)


def across_tasks(table: Table) -> Table:
    """At a fixed layer: rank correlation over experts of each statistic with the Fisher trace.

    The mean over layers where the statistic varies, with its interval: experts are left out in
    turn (jackknife). `at`: the trace of the experts, or of the base. `ALL_SIX` is what a fit to all
    statistics of the matrices says, one expert left out. `halves` in the place of a statistic is
    the trace on other inputs: the ceiling. `over` is the size of a correlation minus half of the
    ceiling; its bounds `all_low` and `all_high` have 95 % for all rows together, and hold the noise
    of the ceiling.
    """
    matrix, rows = wide(table, "matrix")[0].astype(bool), []
    at = {"expert": wide(table, "first") + wide(table, "second"), "base": wide(table, "at base")}
    columns = {name: wide(table, name) for name in NAMES}
    six = np.stack([x[:, matrix] for x in columns.values()], -1)
    one, two = wide(table, "first"), wide(table, "second")
    varies = np.ptp(one, axis=0) > 0
    count, among = len(one), len(at) * (len(NAMES) + 1)

    def ceiling(chosen):
        return correlation_by_layer(one[chosen][:, varies], two[chosen][:, varies])

    def add(name, place, layers, correlation, over=True):
        interval = np.clip(by_leaving_out(correlation, count), -1, 1)
        # A statistic may go the other way; a fit that does has learnt nothing.
        sign = -1 if interval[0] < 0 and name != ALL_SIX else 1
        gap = (np.nan,) * 3
        if over:
            gap = by_leaving_out(lambda c: sign * correlation(c) - ceiling(c) / 2, count, among)
        rows.append((table.suite.iloc[0], name, place, *interval, layers, *gap))

    for place, y in at.items():
        for name, x in columns.items():
            kept = np.ptp(x, axis=0) > 0
            if name.startswith("singular"):
                kept &= matrix
            a, b = x[:, kept], y[:, kept]
            add(name, place, int(kept.sum()), lambda c, a=a, b=b: correlation_by_layer(a[c], b[c]))
        b = y[:, matrix]
        add(ALL_SIX, place, int(matrix.sum()), lambda c, b=b: of_all_six(six[c], b[c]))
    add("halves", "expert", int(varies.sum()), ceiling, over=False)
    found = ["suite", "statistic", "at", "value", "low", "high", "layers"]
    return pd.DataFrame(rows, columns=[*found, "over", "all_low", "all_high"])


def across_layers(table: Table, seed: int, resamples: int = 1000) -> Table:
    """Within an expert: rank correlation over its matrices with the Fisher trace, mean of experts.

    `low` and `high`: 95 % by resampling matrices, the same for all experts. `behind`: how far the
    size of the correlation is behind that of the better of `CONTROLS`, with its interval.
    """
    rng = np.random.default_rng(seed)
    some = table[table.matrix].assign(trace=table["first"] + table["second"])
    columns = {name: wide(some, name).T for name in (*NAMES, *CONTROLS)}
    fisher = wide(some, "trace").T

    def correlations(rows):
        y = standard_ranks(fisher[rows])
        return {n: float((standard_ranks(x[rows]) * y).mean()) for n, x in columns.items()}

    found = correlations(np.arange(len(fisher)))
    drawn = [correlations(rng.integers(len(fisher), size=len(fisher))) for _ in range(resamples)]
    drawn = pd.DataFrame(drawn)
    best = max(abs(found[n]) for n in CONTROLS)
    controls = drawn[list(CONTROLS)].abs().max(axis=1)
    rows = []
    for name, value in found.items():
        low, high = drawn[name].quantile([0.025, 0.975])
        gap = (drawn[name].abs() - controls).quantile([0.025, 0.975])
        rows.append((some.suite.iloc[0], name, value, low, high, abs(value) - best, *gap))
    columns = ["value", "low", "high", "behind", "behind, low", "behind, high"]
    return pd.DataFrame(rows, columns=["suite", "statistic", *columns])


def leading(gradients: Tensor, top: int = 3) -> Tensor:
    """The leading eigenvectors (top, entries) of the second moment of gradients (batches, ...)."""
    values, vectors = torch.linalg.eigh(gradients @ gradients.T)
    return (vectors[:, -top:] / values[-top:].sqrt()).T @ gradients


def directions(r: OpenSuite, seed: int, inputs: int = 64) -> Table:
    """For matrices of the first expert: what share of three directions lies in the first three
    Fisher directions. Directions: singular ones, random ones (in the mean), and the Fisher
    directions of the other half of the inputs."""
    g, (task, expert) = generator_of(seed), next(iter(r.experts.items()))
    layers = {n: w for n, w in floats(expert).items() if w.ndim >= 2 and w.numel() <= LARGEST}
    kept = [fisher_gradients(r, expert, task, x, g, 4) for x in halves(r, task, inputs)]
    rows = []
    for name, w in layers.items():
        flat = [[x[name].flatten().cpu().double() for x in half if name in x] for half in kept]
        if min(map(len, flat)) < 3 or min(stats.as_matrix(w).shape) < 3:
            continue
        u, _, vh = torch.linalg.svd(stats.as_matrix(w), full_matrices=False)
        singular = torch.stack([torch.outer(u[:, i], vh[i]).flatten() for i in range(3)])
        one, two = (leading(torch.stack(x)) for x in flat)
        of_singular, of_two = ((x @ one.T).square().sum().item() / 3 for x in (singular, two))
        rows.append((r.name, name, of_singular, 3 / w.numel(), of_two))
    return pd.DataFrame(rows, columns=["suite", "layer", "singular", "random", "other inputs"])
