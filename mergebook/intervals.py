"""Numbers with their 95 % intervals, and how an interval lies."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """A value and its 95 % interval; `f"{x:+.1f}"` reads `+1.2 [+0.3, +2.1]`."""

    value: float
    low: float
    high: float

    def __format__(self, spec):
        value, low, high = (format(v + 0.0 if round(v, 9) else 0.0, spec) for v in self)
        return f"{value} [{low}, {high}]"

    @property
    def above(self) -> bool:
        """Whether all of it lies above zero."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether all of it lies below zero."""
        return self.high < 0


def of_mean(values: Sequence[float]) -> Interval:
    """The mean of independent repetitions, by Student's t; NaN bounds for fewer than two."""
    values = np.asarray(list(values), float)
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
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
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = rng.integers(len(data[0]), size=len(data[0]))
        drawn.append(statistic(*(column[rows] for column in data)))
    drawn = [value for value in drawn if not np.isnan(value)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    return Interval(float(statistic(*data)), float(low), float(high))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN if a column does not vary."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])
