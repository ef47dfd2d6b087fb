"""Claims of Appendix A.4.1, Eqs. 17 to 20 and 23 to 26 (evidence page 03g)."""

import numpy as np
import pandas as pd

from mergebook.ch3.claims.definitions import both
from mergebook.ch3.claims.expansion import over, typical, under
from mergebook.ch3.coefficients import WAYS
from mergebook.claims import Outcome, claim
from mergebook.weighing import below, weighed

Table = pd.DataFrame
TINY = 1 + 1e-6


@claim("stats-eq17-eq18-difference-matrix")
def difference_matrix(differences: Table) -> Outcome:
    """On the simplex P lambda is the merge minus the reference."""
    values = {
        "on": below(differences[differences.on].left, 1e-12),
        "off": differences[~differences.on].left.max(),
        "extra": below(differences[~differences.on].extra, 1e-12),
    }
    return Outcome(values["on"], values=values)


@claim("stats-eq19-quadratic-in-lambda")
def quadratic_in_lambda(products: Table) -> Outcome:
    """A is P'FP by a second way, symmetric and positive semidefinite."""
    values = {
        "same": below(products.error, 1e-10),
        "symmetric": below(products.asymmetry, 1e-10),
        "semidefinite": below(-products.lowest, 1e-10),
    }
    lowest = products.lowest.min()
    return Outcome(
        both(*values.values()), values=values | {"toys": len(products), "lowest": lowest}
    )


@claim("stats-eq20-optimal-lambda")
def optimal(regrets: Table) -> Outcome:
    """At the base, the regret of Eq. 20 is below 5 % of the loss's range, for both kinds of models.

    Corrected: with the slope, and y from the model. Fails: neither, nor at a joint optimum.
    """
    base, joint = (regrets[regrets["at"] == name] for name in ("base", "joint"))
    found = {way: typical(base, way, "kind") for way in WAYS}
    printed, repaired = found["Eq. 20"], found[WAYS[-1]]
    settled = typical(joint, "Eq. 20", "kind")
    rows = [
        dict(row) | {"equal": equal["value"], "slope": slope["value"], "repaired": mended["value"]}
        for row, equal, slope, mended in zip(printed, *(found[w] for w in WAYS if w != "Eq. 20"))
    ]
    values = {
        "rows": rows,
        "joint": settled,
        "worse": 100 * (base["Eq. 20"] > base["equal"]).mean(),
        "least": 100 * base["least moved"].mean(),
        "cases": len(base),
    }
    return weighed(
        under(printed, 5),
        over(printed, 5) and over(settled, 5) and over(repaired, 5),
        under(repaired, 5),
        values,
    )


@claim("stats-eq23-eq24-fisher-perturbation")
def fisher_perturbation(draws: Table, own: Table) -> Outcome:
    """The Fisher matrix moves by at most 2 eps B^2, in the spectral and in Frobenius's norm."""
    ratios = pd.concat([draws.Fisher / draws.eps, draws.Frobenius / draws.eps])
    medians = own.groupby(["kind", "labels"], sort=False)[["mean TV", "largest TV"]].median()
    hard = medians.xs("hard", level="labels").reset_index()
    values = {
        "largest": ratios.max(),
        "sharper": below(draws.Fisher / draws["mean TV"], TINY),
        "pairs": len(draws),
        "rows": hard.rename(columns={"mean TV": "mean", "largest TV": "top"}),
    }
    return Outcome(below(ratios, 2 * TINY), values=values)


@claim("stats-eq25-quadratic-matrix-perturbation")
def matrix_perturbation(draws: Table) -> Outcome:
    """A moves by at most the square of P's norm times what F moves."""
    values = {"largest": draws.matrix.max(), "middle": draws.matrix.median(), "pairs": len(draws)}
    return Outcome(below(draws.matrix, TINY), values=values)


@claim("stats-eq26-lambda-perturbation")
def lambda_perturbation(draws: Table, twins: Table) -> Outcome:
    """Where A is strictly convex on the simplex, coefficients move by a constant times eps at most.

    The constant is B^2 |P|^2 / mu; for twins it is that of their own mu.
    """
    convex = draws[~(draws.mu <= 0)], twins[~(twins.mu <= 0)]
    bounds = zip(convex, ("by eps", "by norm"))
    gaps = np.concatenate([(t.moved - TINY * t[bound]).to_numpy() for t, bound in bounds])
    pairs = convex[1]
    values = {
        "obeyed": below(gaps, 1e-9),
        "cases": len(gaps),
        "outside": len(draws) + len(twins) - len(gaps),
        "ratio": (draws.moved / draws.eps).max(),
        "wide": pairs[pairs.delta == pairs.delta.max()].moved.median(),
        "near": pairs.groupby("delta").moved.median().max(),
        "growth": np.log10(pairs.mu.max() / pairs.mu.min()),
    }
    return Outcome(values["obeyed"], values=values)
