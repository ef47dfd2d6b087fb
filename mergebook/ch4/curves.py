"""What curves over factors say: losses, thresholds, the scatter of batches, by network and start.

Accuracies are means over the tasks of a start; starts are the repetitions.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mergebook.ch4.magnified import (
    BEYOND,
    CURVES,
    DEBRIS,
    DEEP_CURVES,
    LAYERS,
    Curve,
    grown_keys,
    numbers_factor,
)
from mergebook.experiments import Experiment
from mergebook.intervals import Interval, of_mean
from mergebook.page import OpenSuite, Page

Table = pd.DataFrame
NAMED = (90.0, 100.0)  # factors at which the paper sees ensembles fall and everything fall
MODERATE, LAST = 50.0, 150.0
DEEP = 11  # layers
LIMIT = float(np.log10(torch.finfo(torch.float32).max))


def curves_of(network: str) -> Experiment:
    """The experiment of a network's curves; rows of deep ones differ more between processors."""
    return DEEP_CURVES if int(network.removeprefix("vgg")) >= DEEP else CURVES


def curve_table(
    page: Page, r: OpenSuite, networks: Sequence[str], seeds: Sequence[int], factors, **settings
) -> Table:
    """Rows at all factors: those that have answers, and those beyond.

    Raises `ValueError` unless the factors have 1, 50, 90, 100 and 150 among them.
    """
    factors = tuple(sorted(map(float, factors)))
    if missing := {1.0, MODERATE, *NAMED, LAST} - set(factors):
        raise ValueError(f"factors must have {sorted(missing)} among them")
    context = {"sources": {r.mark: r.source}, "device": page.device}
    tables = []
    low, high = (tuple(c for c in factors if (c > BEYOND) == up) for up in (False, True))
    for network in networks:
        for experiment, each in ((curves_of(network), low), (DEBRIS, high)):
            keys = grown_keys(r, [network], seeds, Curve, factors=each, **settings)
            tables.append(page.table(experiment, keys, **context).drop(columns="factors"))
    return pd.concat(tables, ignore_index=True)


def by_factor(curves: Table, method: str, members: int | None = None, biases: str = "all"):
    """Accuracy by format, network and start (rows) and factor (columns), mean over tasks.

    With all models, or the first `members`.
    """
    members = members or curves.members.max()
    part = curves[(curves.members == members) & (curves.biases == biases)]
    rows = ["format", "network", "seed"]
    return part.pivot_table(method, rows, "factor", aggfunc="mean", sort=False)


def mean_lines(curves: Table, network: str, kind: str, method: str, members: int | None = None):
    """Mean accuracy over tasks and starts by factor."""
    return by_factor(curves, method, members).loc[kind, network].mean()


def between_classifiers(curves: Table) -> Table:
    """Features with the mean classifier minus with the first model's, at factor 1, by start."""
    mean, first = (by_factor(curves, m).loc["float32"][1.0] for m in ("features", "first_head"))
    return (mean - first).rename("value").reset_index()


def loss(curves: Table, method: str, factor: float, **part) -> pd.Series:
    """Points lost from factor 1 on, by format, network and start."""
    found = by_factor(curves, method, **part)
    return found[1.0] - found[factor]


def contrasts(curves: Table) -> Table:
    """Columns what, format, network, seed, value: the comparisons that decide, a start a row.

    `more: METHOD at c`: what a method loses from factor 1 to c minus what the soup loses;
    `format: …` the same in float32 minus in float64. `features: at c`: what logits lose minus what
    features lose; `ahead: at 50`: features minus soup there. `rise`, `fall`, `widening`: of soup
    minus ensemble, from 1 to 90, from 90 to 150, and the rise with all models minus with two.
    `broken: METHOD`: accuracy at 50 minus at 150. `biases: …`: the largest change from 1 to 100 of
    any method.
    """
    found, most, few = {}, curves.members.max(), curves.members.min()
    for c in NAMED:
        soup = loss(curves, "soup", c)
        for method in ("logits", "features", "divided", "probabilities", "single"):
            found[f"more: {method} at {c:g}"] = loss(curves, method, c) - soup
        found[f"features: at {c:g}"] = loss(curves, "logits", c) - loss(curves, "features", c)
        more = found[f"more: logits at {c:g}"]
        change = more["float32"] - more["float64"]
        found[f"format: at {c:g}"] = pd.concat({"both": change}, names=["format"])
    features, soup = (by_factor(curves, m)[MODERATE] for m in ("features", "soup"))
    found[f"ahead: at {MODERATE:g}"] = features - soup
    gap = {n: by_factor(curves, "soup", n) - by_factor(curves, "logits", n) for n in (few, most)}
    rise = {n: g[NAMED[0]] - g[1.0] for n, g in gap.items()}
    found |= {"rise": rise[most], "fall": gap[most][NAMED[0]] - gap[most][LAST]}
    found["widening"] = rise[most] - rise[few]
    for method in ("single", "logits"):
        own = by_factor(curves, method)
        found[f"broken: {method}"] = own[MODERATE] - own[LAST]
    for biases in ("none", "layers"):
        changes = [
            loss(curves, m, 100.0, biases=biases).abs()
            for m in ("single", "soup", "logits", "features")
        ]
        found[f"biases: {biases}"] = pd.concat(changes, axis=1).max(axis=1)
    tables = [v.rename("value").reset_index().assign(what=name) for name, v in found.items()]
    columns = ["what", "format", "network", "seed", "value"]
    return pd.concat(tables, ignore_index=True)[columns]


def as_text(values: pd.Series) -> str:
    """The mean of some repetitions with its interval, as a table shows it."""
    return f"{of_mean(values):.1f}"


def lost_between(curves: Table, kind: str, factors: Sequence[float]) -> Table:
    """Points lost in a format from each factor to the next, with intervals, by network."""
    rows = {}
    for method in ("single", "logits", "soup"):
        own = by_factor(curves, method).loc[kind]
        for a, b in zip(factors, factors[1:]):
            fallen = (own[a] - own[b]).groupby("network", sort=False)
            rows[f"{method}, {a:g} to {b:g}"] = fallen.agg(as_text)
    return pd.DataFrame(rows).T


def single_losses(curves: Table) -> Table:
    """Points that single models lose from factor 1 to 100 in float64, by network and start.

    With biases as released, `all`, and with `none`.
    """
    kinds = ("all", "none")
    parts = [loss(curves, "single", 100.0, biases=b).loc["float64"] for b in kinds]
    tables = [p.rename("value").reset_index().assign(biases=b) for p, b in zip(parts, kinds)]
    return pd.concat(tables, ignore_index=True)


def interval_of(table: Table, among: int = 1, column: str = "value", **where) -> dict:
    """`{network: interval}` of rows with these values, over starts."""
    for name, value in where.items():
        table = table[table[name] == value]
    parts = table.sort_values("seed").groupby("network", sort=False)
    return {network: of_mean(part[column], among) for network, part in parts}


def network_rows(intervals: dict[str, Interval]) -> Table:
    """Intervals of networks as a table."""
    rows = [{"network": network, **x._asdict()} for network, x in intervals.items()]
    return pd.DataFrame(rows, columns=["network", *Interval._fields])


# ------------------------------------------------------------------------- where scores are lost


def crossing(factors: Sequence[float], shares: Sequence[float], level: float = 50.0) -> float:
    """The factor at which a rising share crosses a level, by interpolation in its logarithm.

    NaN if it never does.
    """
    each = list(zip(factors, shares))
    for (c, v), (d, w) in zip(each, each[1:]):
        if v < level <= w:
            return float(np.exp(np.log(c) + (level - v) / (w - v) * np.log(d / c)))
    return float("nan")


def thresholds(curves: Table) -> Table:
    """For each group the factors at which half of the images leave float32.

    Predicted from the largest score at factor 1 and the depth alone, and observed; of a `single`
    model's scores, and of the `sum` of all. `real` is what each number gets at the observed one.
    """
    part = curves[(curves.format == "float32") & (curves.biases == "all")]
    part, rows = part[part.members == part.members.max()], []
    for (network, task, seed), own in part.groupby(["network", "task", "seed"], sort=False):
        own = own.sort_values("factor")
        for what, size, field in (("single", "score", "single_lost"), ("sum", "added", "sum_lost")):
            predicted = 10 ** ((LIMIT - own[size].iloc[0]) / LAYERS)
            observed = crossing(own.factor, own[field])
            row = {"predicted": predicted, "observed": observed, "ratio": observed / predicted}
            row["real"] = numbers_factor(observed, network)
            rows.append({"network": network, "task": task, "seed": seed, "what": what} | row)
    return pd.DataFrame(rows)


def by_count(curves: Table) -> Table:
    """For each group, format and number of models: what logits lose more than the soup.

    From factor 1 to 100; and the factor at which half of the added scores leave the format.
    """
    part, rows = curves[curves.biases == "all"], []
    names = ["format", "network", "task", "seed", "members"]
    for group, own in part.groupby(names, sort=False):
        own = own.sort_values("factor").set_index("factor")
        gap = own.soup - own.logits
        row = dict(zip(names, group))
        leaves = crossing(own.index, own.sum_lost)
        rows.append(row | {"more": gap[NAMED[1]] - gap[1.0], "leaves": leaves})
    return pd.DataFrame(rows)


# ---------------------------------------------------------------------- batches, classes


def correlation_of(a: Sequence[float], b: Sequence[float]) -> float:
    """The correlation of two lists; 0 if one does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0


def relations(batches: Table) -> Table:
    """Of each group at each factor: the correlation of batches, soup minus ensemble, and below.

    `below` is the share of batches on which the soup is strictly better. Means over the tasks of a
    start.
    """
    table = batches.assign(
        r=[correlation_of(a, b) for a, b in zip(batches.soup_batches, batches.logits_batches)],
        ahead=[
            np.mean(a) - np.mean(b) for a, b in zip(batches.soup_batches, batches.logits_batches)
        ],
        below=[
            100 * np.mean(np.greater(a, b))
            for a, b in zip(batches.soup_batches, batches.logits_batches)
        ],
    )
    by = ["network", "format", "factor", "seed"]
    return table.groupby(by, sort=False)[["r", "ahead", "below"]].mean().reset_index()


def shares_kept(kept: Table) -> Table:
    """Percent of its accuracy at factor 1 that each method keeps at 100, by number of classes."""
    out = kept[["network", "seed", "classes"]].copy()
    for name in ("single", "soup", "ensemble"):
        out[name] = 100 * kept[f"{name}_grown"] / kept[name]
    return out


def class_slopes(shares: Table, method: str = "soup") -> Table:
    """Change of the share kept per doubling of the classes, by network and start."""
    rows = []
    for (network, seed), own in shares.groupby(["network", "seed"], sort=False):
        slope = np.polyfit(np.log2(own.classes), own[method], 1)[0]
        rows.append({"network": network, "seed": seed, "value": float(slope)})
    return pd.DataFrame(rows)
