"""Numbers with their 95 % intervals, and how an interval lies."""

from collections.abc import Sequence
from itertools import combinations, permutations
from math import factorial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from mergehelpers import evaluate


def unsigned_zero(value: float, spec: str) -> str:
    """A number as text; what rounds to zero has no sign, since rounding errors decide it."""
    return format(value + 0.0 if any(d in format(value, spec) for d in "123456789n") else 0.0, spec)


class Interval(NamedTuple):
    """A value and its 95 % interval; `f"{x:+.1f}"` reads `+1.2 [+0.3, +2.1]`."""

    value: float
    low: float
    high: float

    def __format__(self, spec):
        value, low, high = (unsigned_zero(v, spec) for v in self)
        return f"{value} [{low}, {high}]"

    @property
    def above(self) -> bool:
        """Whether all of it lies above zero."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether all of it lies below zero."""
        return self.high < 0

    @property
    def has_width(self) -> bool:
        """Whether it is more than a point, up to rounding.

        One of no width shows nothing: repetitions or answers that are all the same cannot tell how
        seldom others are.
        """
        return self.high - self.low > 1e-9

    def within(self, bound: float) -> bool:
        """Whether it has a width, and all of it is closer to zero than `bound`."""
        return self.has_width and -bound < self.low and self.high < bound

    def beyond(self, bound: float) -> bool:
        """Whether all of it is farther from zero than `bound`, on one side."""
        return self.low > bound or self.high < -bound

    def among(self, many: int, freedom: float = np.inf) -> "Interval":
        """This interval as one of `many` that have 95 % together (Bonferroni).

        Each side grows as that of Student's t with `freedom` degrees of freedom, or of the normal
        law, which suits a bootstrap over many inputs. What inputs can miss (`evaluate.missed`)
        would grow a little more, by log(40 `many`) / log(40): by 1.5 where `many` is 6, not 1.35.
        """
        times = t_quantile(freedom, many) / t_quantile(freedom)
        low, high = (self.value + times * (end - self.value) for end in (self.low, self.high))
        return Interval(self.value, float(low), float(high))


def t_quantile(freedom: float, among: int = 1) -> float:
    """Standard errors to each side of a 95 % interval by Student's t, of `among` (Bonferroni).

    scipy.special has it too, which opens far sooner than scipy.stats: pages wait for it.
    """
    share = 1 - 0.025 / among
    return float(special.ndtri(share) if np.isinf(freedom) else special.stdtrit(freedom, share))


def of_mean(values: Sequence[float], among: int = 1) -> Interval:
    """The mean of independent repetitions, by Student's t; NaN bounds for fewer than two.

    `among` many of them have 95 % together (Bonferroni).
    """
    values = np.asarray(list(values), float)
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = t_quantile(len(values) - 1, among) * values.std(ddof=1)
    half /= np.sqrt(len(values))
    return Interval(mean, float(mean - half), float(mean + half))


def of_runs(a: Sequence[np.ndarray], b: Sequence[np.ndarray], among: int = 1) -> Interval:
    """Accuracy of one method minus that of another, in points, from repetitions of both.

    `a` and `b` hold for each task the answers (repetitions, inputs), right or wrong; tasks count
    alike, repetition i of `a` goes with i of `b`, and one repetition stands for all. Repetitions
    and inputs are drawn both, so the variance is that of the mean over repetitions, s²/n, plus that
    of each task's mean over inputs, which counts their interaction twice and so is a little wide.
    The interval is Student's t with Satterthwaite's degrees of freedom, and never narrower than
    answers allow that no input here shows (`evaluate.missed`); `among` many of them have 95 %
    together (Bonferroni). With one repetition of both it holds the luck of inputs alone. Raises
    `ValueError` if tasks, inputs or repetitions differ.
    """
    gains, runs = [], {len(x) for x in (*a, *b)} - {1}
    if len(a) != len(b) or not a or len(runs) > 1:
        raise ValueError("the methods did not answer the same tasks in the same number of runs")
    for x, y in zip(a, b):
        if x.shape[1:] != y.shape[1:] or x.ndim != 2 or x.shape[1] < 2:
            raise ValueError(f"a task has {x.shape} and {y.shape} answers; give the same inputs")
        gains.append(100 * (np.asarray(x, float) - np.asarray(y, float)))
    per_run = np.mean([gain.mean(1) for gain in gains], axis=0)
    inputs = [gain.mean(0).var(ddof=1) / gain.shape[1] / len(gains) ** 2 for gain in gains]
    parts = [(v, gain.shape[1] - 1) for v, gain in zip(inputs, gains)]
    if len(per_run) > 1:
        parts.append((per_run.var(ddof=1) / len(per_run), len(per_run) - 1))
    variance, mean = sum(v for v, _ in parts), float(per_run.mean())
    half = evaluate.missed([gain.shape[1] for gain in gains], 0.025 / among)
    if variance > 0:
        freedom = variance**2 / sum(v**2 / df for v, df in parts)
        half = max(half, t_quantile(freedom, among) * np.sqrt(variance))
    return Interval(mean, float(mean - half), float(mean + half))


def by_bootstrap(
    statistic, *columns: Sequence[float], seed: int = 0, resamples: int = 2000
) -> Interval:
    """A statistic of paired columns, by resampling their rows.

    Resamples for which it is NaN are left out; the bounds are NaN if it is for all. Raises
    `ValueError` for columns of different lengths.
    """
    data = [np.asarray(list(column), float) for column in columns]
    if len(lengths := {len(column) for column in data}) != 1:
        raise ValueError(f"the columns have {sorted(lengths)} rows; give paired ones")
    rng, count = np.random.default_rng(seed), len(data[0])
    if statistic in (np.mean, np.median) and count:  # the same draws, all at once
        drawn = statistic(data[0][rng.integers(count, size=(resamples, count))], axis=1)
    else:
        each = (rng.integers(count, size=count) for _ in range(resamples))
        drawn = [statistic(*(column[rows] for column in data)) for rows in each]
    drawn = [value for value in drawn if not np.isnan(value)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    return Interval(float(statistic(*data)), float(low), float(high))


class Permuted(NamedTuple):
    """A statistic of pairs, and how often a relabelling of their members gives as much.

    `f"{x:.2f}"` reads `0.72 (p = 0.08)`, the two-sided p: twice the smaller of both sides, at most
    1. It is clear at 5 %.
    """

    value: float
    as_high: float
    as_low: float

    def __format__(self, spec):
        p = min(1.0, 2 * min(self.as_high, self.as_low))
        return f"{unsigned_zero(self.value, spec)} (p = {p:.2f})"

    @property
    def above(self) -> bool:
        """Whether it is clearly above zero."""
        return self.value > 0 and self.as_high <= 0.025

    @property
    def below(self) -> bool:
        """Whether it is clearly below zero."""
        return self.value < 0 and self.as_low <= 0.025


def by_relabelling(
    statistic,
    first: Sequence[str],
    second: Sequence[str],
    a: Sequence[float],
    b: Sequence[float],
    seed: int = 0,
    most: int = 5000,
) -> Permuted:
    """A statistic of two columns over unordered pairs of items, against relabelled items.

    Pairs that share an item are not independent, so items are permuted and not pairs (the quadratic
    assignment test of Hubert and Schultz 1976): `a` goes with the pair of the new labels. All
    permutations are taken, or `most` random ones and the identity. Raises `ValueError` if a pair of
    the items is missing or there twice.
    """
    places = {frozenset(pair): i for i, pair in enumerate(zip(first, second))}
    items = sorted({*first, *second})
    needed = {frozenset(pair) for pair in combinations(items, 2)}
    if places.keys() != needed or len(places) != len(first):
        raise ValueError(f"need each pair of {len(items)} items once, got {len(first)} pairs")
    a, b = (np.asarray(list(column), float) for column in (a, b))
    if factorial(len(items)) <= most:
        orders = list(permutations(items))
    else:
        rng = np.random.default_rng(seed)
        orders = [items, *(rng.permutation(items).tolist() for _ in range(most))]
    found = []
    for order in orders:
        name = dict(zip(items, order))
        rows = [places[frozenset((name[x], name[y]))] for x, y in zip(first, second)]
        found.append(statistic(a[rows], b))
    value = float(statistic(a, b))
    if np.isnan(value):
        return Permuted(value, 1.0, 1.0)
    high, low = (np.mean([sign * f >= sign * value - 1e-12 for f in found]) for sign in (1, -1))
    return Permuted(value, float(high), float(low))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN if a column does not vary."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(ranked(a), ranked(b))[0, 1])


def ranked(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 over the first axis; equal values share their mean rank."""
    flat = np.asarray(values, float).reshape(len(values), -1)
    return pd.DataFrame(flat).rank().to_numpy().reshape(np.shape(values))
