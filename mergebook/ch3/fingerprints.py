"""Do statistics know a task? Trainings of one task again, and coefficients learnt without them.

A statistic can tell tasks apart if it differs more between tasks than between trainings of one. It
is a proxy for how much of an expert to take if it goes with the coefficients that are best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from mergebook.ch3.comparing import Trials, right_of
from mergebook.ch3.reading import statistics_of
from mergebook.ch3.teaching import POOL, lesson
from mergebook.ch3.trials import FREE
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import by_bootstrap, of_mean, rank_correlation
from mergebook.page import OpenSuite, opened
from mergehelpers import distil, states, stats

Table = pd.DataFrame
KINDS = ("weights", "changes")  # statistics of whom: the text's, the released scripts'
TRAININGS = 3


@dataclass(frozen=True)
class Retrained:
    """The key of a training of the base on the pool of a task; `seed` draws the order of inputs."""

    models: str
    task: str
    rank: int = 3
    steps: int = 150
    seed: int = 0


def retrained_row(key: Retrained, sources: Mapping[str, str], device: str) -> dict:
    """Each statistic of the weights of a new expert, and of their changes, layer by layer."""
    r = opened(key, sources, device)
    inputs, labels = ({key.task: part} for part in lesson(r, key.task, POOL))
    state = distil.fit(
        *(r.suite, r.base, inputs, labels, None, key.steps, 32, 3e-4, key.seed, r.device),
        progress=False,
    )
    base = {n: w.cpu() for n, w in r.base.items()}
    models = dict(zip(KINDS, (state, states.task_vector(base, state))))
    return {
        kind: [[float(f"{v:.8g}") for v in row] for row in stats.layer_wise(m, key.rank).T.tolist()]
        for kind, m in models.items()
    }


EXPERIMENT = Experiment(
    "fingerprints",
    1,
    Retrained,
    retrained_row,
    {"weights": Tolerance(relative=1e-3), "changes": Tolerance(relative=0.01)},
)


def retrainings(r: OpenSuite, seed: int, rank: int, steps: int) -> list[Retrained]:
    """The base trained again for every task, a few times, with one and a half times the steps."""
    return [
        Retrained(r.mark, task, rank, 3 * steps // 2, seed + i)
        for task in r.tasks
        for i in range(TRAININGS)
    ]


def fingerprint_spreads(table: Table, seed: int) -> Table:
    """Spread between tasks over spread between trainings of one task, of single trainings.

    The median over layers and statistics, the interval resamples layers.
    """
    out = []
    for kind in KINDS:
        x = np.array([list(part[kind]) for _, part in table.groupby("task", sort=False)])
        within = x.var(axis=1, ddof=1).mean(0)
        between = (x.mean(1).var(axis=0, ddof=1) - within / x.shape[1]).clip(min=0)
        ratio = np.sqrt(between / np.where(within > 0, within, np.nan))
        median = np.nanmedian(ratio[:, ~np.isnan(ratio).all(0)], axis=0)
        out.append((kind, *by_bootstrap(np.median, median, seed=seed)))
    return pd.DataFrame(out, columns=["kind", "value", "low", "high"])


def oracle_coefficients(trials: Trials, **settings) -> Table:
    """Coefficients learnt on the test inputs with their labels, at the step size best there.

    No method may do so. It takes four times the steps and twice the batch.
    """
    t = replace(FREE, **settings)
    more = {"steps": 4 * t.steps, "batch": 2 * t.batch, "count": t.test_samples}
    tried = [
        replace(t, loss="labels", source="test", rate=rate, seed=trials.seed, **more)
        for rate in trials.rates
    ]
    rows = trials.rows(tried).assign(what="oracle")
    scores = [
        np.mean([task[i].mean() for task in right_of(rows, "oracle")]) for i in range(len(rows))
    ]
    return rows.iloc[[int(np.argmax(scores))]]


def by_layer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation over experts at every layer of two tables (experts, layers)."""
    return np.array([rank_correlation(x, y) for x, y in zip(a.T, b.T)])


def mean_by_layer(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean at every layer, of what is a number there."""
    x = np.array(rows)
    known = (~np.isnan(x)).sum(0)
    return np.nansum(x, axis=0) / np.where(known, known, np.nan)


def proxy_ceilings(best: Table, free: Table) -> Table:
    """What a proxy can reach: coefficients learnt from teachers, against the best and each other.

    `value` is the rank correlation over experts, mean over layers; the interval is over layers.
    """
    target, each = stored_coefficients(best)[0], stored_coefficients(free)
    found = {
        "with the best": mean_by_layer([by_layer(c, target) for c in each]),
        "with each other": mean_by_layer([by_layer(a, b) for a, b in combinations(each, 2)]),
    }
    rows = [(name, *of_mean(x[~np.isnan(x)])) for name, x in found.items()]
    return pd.DataFrame(rows, columns=["coefficients", "value", "low", "high"])


def stored_coefficients(rows: Table) -> list[np.ndarray]:
    """Coefficients (experts, layers) of each row."""
    return [np.array(c) for c in rows.coefficients]


def proxies(r: OpenSuite, best: Table, free: Table, rank: int) -> Table:
    """How each statistic goes with the best coefficients, over experts: mean over layers.

    `over` is its size minus half of what coefficients from teachers reach (`proxy_ceilings`), taken
    layer by layer; `all_low` and `all_high` have 95 % for all statistics of a kind together, and so
    has `whole`, the upper bound of what it has over the whole ceiling.
    """
    target, out = stored_coefficients(best)[0], []
    half = mean_by_layer([by_layer(c, target) for c in stored_coefficients(free)]) / 2
    names = [*stats.STATISTICS[:3], *(f"singular {i + 1}" for i in range(rank))]
    for kind in KINDS:
        x = statistics_of(r, kind, "layers")[..., : 3 + rank].numpy()
        for k, name in enumerate(names):
            rho = by_layer(x[..., k], target)
            known = ~np.isnan(rho + half)
            sign = 1 if np.nanmean(rho) >= 0 else -1
            gap = sign * rho[known] - half[known]
            both = of_mean(gap, len(names))
            whole = of_mean(gap - half[known], len(names)).high
            found = (*of_mean(rho[~np.isnan(rho)]), both.value, both.low, both.high, whole)
            out.append((kind, name, *found))
    columns = ["kind", "statistic", "value", "low", "high", "over", "all_low", "all_high", "whole"]
    return pd.DataFrame(out, columns=columns)
