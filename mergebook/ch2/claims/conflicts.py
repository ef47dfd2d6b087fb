"""Claims about M-Loss as a mark of conflicts, and about the ensemble (evidence page 02g)."""

import pandas as pd

from mergebook.ch2.conflicts import FREE, LOSSES, SIGNS, correlations, spanned
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
LITTLE = 1.0  # percent of the distance to the ensemble


@claim("mloss-indicates-conflicts")
def marks_conflicts(nodes: Table) -> Outcome:
    """One reading of M-Loss ranks nodes by harm clearly better than both free numbers, everywhere.

    Corrected: one reading has a clearly positive rank correlation with harm in every suite. Fails:
    each reading has a suite where a free number is clearly better and its own correlation is not
    clearly positive.
    """
    better, positive, useless, rows = [], [], [], []
    found = correlations(nodes)
    for reading in LOSSES:
        gaps = {s: {n: spanned(of[reading] - of[n]) for n in FREE} for s, of in found.items()}
        own = {s: spanned(of[reading]) for s, of in found.items()}
        better.append(all(gap.above for of in gaps.values() for gap in of.values()))
        positive.append(all(value.above for value in own.values()))
        useless.append(
            any(any(gap.below for gap in gaps[s].values()) and own[s].low <= 0 for s in found)
        )
        for suite in found:
            length, variance = (gaps[suite][name] for name in FREE)
            rows.append(
                {"suite": suite, "reading": reading, "own": own[suite]}
                | {"length": length, "variance": variance}
            )
    free = [
        {"suite": s, "name": n, "value": spanned(of[n])} for s, of in found.items() for n in FREE
    ]
    signs = [{"suite": s, "value": spanned(of[SIGNS])} for s, of in found.items()]
    values = {"rows": rows, "free": free, "signs": signs, "nodes": len(nodes)}
    if not found:
        return Outcome(None, values=values)
    return weighed(any(better), all(useless), any(positive), values)


@claim("mloss-alignment-with-ensemble")
def closer_to_ensemble(closeness: Table) -> Outcome:
    """In one reading M-TIES is clearly closer than TIES, even rates and random orders, everywhere.

    To be closer than TIES is to be closer than TIES of the same length as well, since a shorter
    change is nearer to the average. What is less than 1 % of the distance is not significant.
    Corrected: it is clearly closer than TIES in every suite, and so are even rates; the order by
    M-Loss adds less than 1 %. Fails: in each reading and suite the order adds less than 1 %, and
    M-TIES is not clearly closer than TIES.
    """
    rows, shown, without, against = [], [], {}, []
    for (reading, measure), part in closeness.groupby(["reading", "measure"]):
        suites = []
        for suite, group in part.groupby("suite"):
            of = {g.rival: Interval(g.value, g.low, g.high) for g in group.itertuples()}
            suites.append(of)
            names = {name.replace(" ", "_"): value for name, value in of.items()}
            rows.append({"suite": suite, "reading": reading, "measure": measure} | names)
        little = all(of["random"].high < LITTLE for of in suites)
        nearer = [of["TIES"].above and of["TIES as long"].above for of in suites]
        adds = all(of["random"].above and of["even"].above for of in suites)
        shown.append(all(nearer) and adds and not little)
        by_even = all(of["TIES from even"].above for of in suites)
        without[f"{reading}: {measure}"] = all(nearer) and little and by_even
        against.append(little and not any(nearer))
    values = {"rows": rows, "by": "; ".join(name for name, so in without.items() if so)}
    excluded = bool(against) and all(against)
    return weighed(any(shown), excluded, any(without.values()), values)
