"""Claims about averages of weights and of outputs (evidence page 04a)."""

import pandas as pd

from mergebook.ch4.algebra import DRAWS, EXPERTS
from mergebook.claims import Outcome, claim
from mergebook.weighing import below

Table = pd.DataFrame
EXACT = 1e-12  # relative, in double precision


def _all(*parts: bool | None) -> bool | None:
    """Whether all parts hold; None if one is no number."""
    return None if None in parts else all(parts)


@claim("rethink-eq1-eq2-linear-equivalence")
def one_layer(gaps: Table) -> Outcome:
    """One linear layer: the averaged layer's output is the mean of the outputs."""
    one = gaps[gaps.depth == 1]
    return Outcome(below(one.gap, EXACT), values={"pairs": len(one), "gap": one.gap.max()})


@claim("rethink-linear-layers-equivalence")
def deep_linear(gaps: Table) -> Outcome:
    """Linear networks of every depth: no gap. Corrected: none if one layer differs; and the gap of
    two layers is the product of the changes."""
    every, single = gaps[gaps.differ == "all"], gaps[gaps.differ == "one"]
    alike, formula = below(single.gap, EXACT), below(gaps.formula.dropna(), EXACT)
    depths = every.groupby("depth").gap.mean().rename("gap").reset_index()
    values = {"depths": depths, "alike": alike, "formula": formula}
    if _all(below(every.gap, EXACT), alike, formula) is None:
        return Outcome(None, values=values)
    return Outcome(below(every.gap, EXACT), alike and formula, values)


@claim("rethink-eq3-eq4-nonlinear")
def nonlinear(gaps: Table) -> Outcome:
    """With an activation the two orders differ for some pairs; without one for none."""
    by = gaps.set_index("activation")
    curved = by.drop(index="identity").sort_index()
    values = {
        "curved": curved.reset_index(),
        "never": below([by.highest["ReLU"]], EXACT),
        "agreeing": below([by.agreeing["ReLU"]], EXACT),
    }
    differ, same = below(-curved.unequal, 0), below([by.unequal["identity"]], EXACT)
    return Outcome(_all(differ, same), values=values)


@claim("rethink-inner-product-formula")
def inner_product(templates: Table) -> Outcome:
    """The score is the product of lengths and cosine, by the triangle of template and input."""
    values = {"templates": len(templates), "error": templates.error.max()}
    return Outcome(below(templates.error, EXACT), values=values)


@claim("rethink-alignment-maximises-score")
def alignment(templates: Table) -> Outcome:
    """The best input of fixed length points along the template; no input drawn reaches it."""
    found, others = below(1 - templates.reached, 1e-6), below(templates.other, 1 - 1e-6)
    values = {"reached": templates.reached.min(), "other": templates.other.max()}
    return Outcome(_all(found, others), values=values)


@claim("rethink-template-reshape")
def reshaped(layouts: Table) -> Outcome:
    """100 x 3072 weights, whose rows are images of 32 x 32 x 3."""
    first = layouts.iloc[0]
    size = bool((layouts.rows == 100).all() and (layouts.inputs == 3072).all())
    same = bool((layouts.inputs == layouts.pixels).all())
    values = {"rows": int(first.rows), "inputs": int(first.inputs), "pixels": int(first.pixels)}
    values |= {"place": bool(layouts.place.all()), "back": bool(layouts.back.all())}
    return Outcome(size and same and values["place"] and values["back"], values=values)


@claim("rethink-eq5-eq6-max-norm")
def largest_entry(pairs: Table) -> Outcome:
    """Average at most the mean of both, that at most the larger; equality for equal matrices."""
    first, second = (
        below(pairs[a] - pairs[b], EXACT) for a, b in (("average", "mean"), ("mean", "larger"))
    )
    equal = pairs[pairs.pair == "equal"]
    touched = below((equal.average - equal.larger).abs(), EXACT)
    values = {"pairs": len(pairs) - len(equal), "touched": touched}
    return Outcome(_all(first, second, touched), values=values)


@claim("rethink-eq7-mean")
def mean_weight(pairs: Table) -> Outcome:
    """The mean of the average is the average of the means."""
    experts = pairs[pairs.of == EXPERTS]
    return Outcome(below(experts["mean gap"], 1e-10), values={"pairs": len(experts)})


@claim("rethink-eq8-variance")
def variance_of_average(pairs: Table, sweep: Table) -> Outcome:
    """Half of the mean variance for independent draws, within 0.05, as the section has matrices.

    And with the covariance the formula is exact for all, experts too.
    """
    of = pairs.groupby("of")[["rho", "ratio", "peak"]].mean()
    exact = below((pairs.ratio - pairs.formula).abs(), 1e-9)
    line = below((sweep.ratio - (1 + sweep.rho) / 2).abs(), 0.01)
    half = below([abs(of.ratio[DRAWS] - 0.5)], 0.05)
    values = {"experts": of.ratio[EXPERTS], "rho": of.rho[EXPERTS], "draws": of.ratio[DRAWS]}
    values |= {"exact": exact, "line": line}
    return Outcome(_all(half, exact, line), values=values)


@claim("rethink-eq9-variance-bound")
def variance_bound(grid: Table) -> Outcome:
    """A quarter of the sum is at most the larger; so is the variance at any correlation."""
    printed = below(grid.quarter - grid.larger, EXACT)
    sharper = below(grid.quarter - grid.larger / 2, EXACT)
    any_rho = below(grid.average - grid.larger, EXACT)
    values = {"cases": len(grid), "sharper": sharper, "any": any_rho}
    return Outcome(_all(printed, any_rho), values=values)


@claim("rethink-scaling-variance-c2")
def scaled_variance(ratios: Table) -> Outcome:
    """Every matrix: the variance of c times the weights is c squared times theirs."""
    by = ratios.groupby("factor").ratio.mean().reset_index()
    error = (ratios.ratio / ratios.factor**2 - 1).abs()
    return Outcome(below(error, 1e-9), values={"factors": by, "matrices": ratios.layer.nunique()})
