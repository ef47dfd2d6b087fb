"""Claims of Section 4 about one node: the model and its constants (evidence pages 01b and 01c)."""

import numpy as np
import pandas as pd
from scipy import stats

from mergebook.claims import Outcome, claim
from mergebook.weighing import below
from mergehelpers.mloss import activation

Table = pd.DataFrame


@claim("mloss-expected-setup")
def setup(cells: Table) -> Outcome:
    """Two independent estimators of the expected loss agree, so that it is well defined."""
    p = stats.chi2.sf((cells.z**2).sum(skipna=False), len(cells))
    values = {"cells": len(cells), "within": bool((cells.z.abs() < 4).all())}
    return Outcome(below([-p], -0.001), values=values)


@claim("mloss-two-model-restriction")
def many(theorem: Table, counts: Table) -> Outcome:
    """Observation: q models lose 2(q-1)/q times what two lose, as the theorem says."""
    eight = counts[counts.q == 8].ratio.mean() * (7 / 32) / (1 / 8)
    ratios = pd.concat([theorem[["ratio", "stderr"]], counts[["ratio", "stderr"]]])
    beyond = (ratios.ratio - 1).abs() - 4 * ratios.stderr
    confirmed = bool(below(beyond, 0.02) and below(ratios.stderr, 0.02))
    values = {
        "eight": eight,
        "cases": len(ratios),
        "most": int(counts.q.max()),
        "confirmed": confirmed,
    }
    return Outcome(confirmed and bool(abs(eight - 1) > 0.02), values=values)


@claim("mloss-small-when-k-dominates")
def small(units: Table) -> Outcome:
    """With k far above σ the expected loss is below a hundredth, whatever the unit."""
    values = {"loss": units.loss.max(), "relative": units["loss over σ"].max()}
    relative = below(units["loss over σ"], 0.01)
    return Outcome(below(units.loss, 0.01), bool(relative), values)


def _close(constants: Table, name: str) -> Table:
    """For each printed formula, its largest relative error where k is far above σ."""
    rows = constants[(constants.activation == name) & (constants.k >= 10 * constants["σ"])]
    return rows.groupby("printed")["over measured"].agg(lambda r: (r - 1).abs().max(skipna=False))


@claim("mloss-expected-relu")
def relu(constants: Table) -> Outcome:
    """A reading of the printed ReLU constant is within 2 % of the simulation."""
    rows = constants[constants.activation == "relu"]
    ranges = rows.groupby("printed", sort=False)["over measured"].agg(["min", "max"]).reset_index()
    values = {"readings": ranges, "ours": rows.ours.median()}
    close = _close(constants, "relu")
    return Outcome(below([close.min()], 0.02), values=values)


@claim("mloss-expected-gelu")
def gelu(constants: Table, curves: Table) -> Outcome:
    """At some σ the GELU constant is within 2 % of the printed one quarter."""
    found = curves[curves.activation == "gelu"].constant
    ratios = constants[constants.activation == "gelu"]["over measured"]
    values = {
        "low": ratios.min(),
        "high": ratios.max(),
        "variation": activation("gelu").variation / 8,
        "smallest": found.min(),
        "largest": found.max(),
    }
    return Outcome(bool(((found / 0.25 - 1).abs() < 0.02).any()), values=values)


@claim("mloss-expected-leakyrelu")
def leaky_relu(slopes: Table) -> Outcome:
    """LeakyReLU loses (1 - slope) times what ReLU loses, by a reading of the printed value.

    `constant` is k E|D| / (1 - slope) at σ = 1; the readings are those of the ReLU value.
    """
    exact = below(slopes.pathwise, 1e-12)
    readings = (1 / np.sqrt(2 * np.pi), np.sqrt(slopes.k / (2 * np.pi)))
    printed = [below((slopes.constant / reading - 1).abs(), 0.02) for reading in readings]
    ours = below((slopes.constant * 8 - 1).abs(), 0.02)
    values = {"exact": exact, "ours": ours}
    if exact is None or ours is None:
        return Outcome(None, values=values)
    return Outcome(exact and any(printed), exact and ours, values)


@claim("mloss-activation-ordering")
def ordering(curves: Table) -> Outcome:
    """Observation: at equal k and σ GELU loses more than ReLU, against what is printed."""
    wide = curves.pivot(index="σ", columns="activation", values="constant")
    above = wide.gelu > wide.relu
    values = {
        "above": int(above.sum()),
        "of": len(above),
        "ratio": (wide.gelu / wide.relu).iloc[0],
        "gelu": activation("gelu").variation / 8,
        "relu": activation("relu").variation / 8,
    }
    return Outcome(bool(above.all()), values=values)
