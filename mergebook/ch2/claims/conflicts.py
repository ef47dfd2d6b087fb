"""Claims about M-Loss as a mark of conflicts, and about the ensemble (evidence page 02g)."""

import pandas as pd

from mergebook.ch2.conflicts import FREE, LOSSES, correlations, spanned
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
WEAK = 0.5  # a rank correlation below this
ON_SHARED = ("shared input", "normalised", "released")  # readings on the input of M-TIES
LITTLE = 1.0  # percent of the distance to the ensemble
# Rivals on the card.
SAID = {name: name for name in ("TIES", "TIES as long")}
SAID |= {"even": "even rates", "random": "random orders"}
DECIDING = ("random", "even", "TIES", "TIES as long", "TIES from even")  # rivals that count


@claim("mloss-indicates-conflicts")
def marks_conflicts(nodes: Table) -> Outcome:
    """One reading of M-Loss ranks nodes by harm clearly better than both free numbers, everywhere.

    Corrected: one reading has a clearly positive rank correlation with harm in every suite. Fails:
    each reading has a suite where a free number is clearly better and its own correlation is not
    positive, even uncorrected. All others are corrected for their number, since a reading and a
    suite are looked for.
    """
    better, positive, useless, rows, every, shared = [], [], [], [], {}, set()
    found = correlations(nodes)
    count = len(LOSSES) * (len(FREE) + 1) * len(found)
    for reading in LOSSES:
        gaps = {s: {n: spanned(of[reading] - of[n]) for n in FREE} for s, of in found.items()}
        own = {s: spanned(of[reading]) for s, of in found.items()}
        strict = {s: {n: gap.among(count) for n, gap in of.items()} for s, of in gaps.items()}
        sure = {s: value.among(count) for s, value in own.items()}
        better.append(all(gap.above for of in strict.values() for gap in of.values()))
        positive.append(all(value.above for value in sure.values()))
        useless.append(
            any(any(g.below for g in strict[s].values()) and not own[s].above for s in found)
        )
        every[reading] = own
        if found:
            row = {"reading": reading, "own": min(own.values()), "sure": min(sure.values())}
            row |= {n: min(gaps[s][f] for s in found) for n, f in zip(("length", "variance"), FREE)}
            rows.append(row | {"strict": min(strict[s][FREE[1]] for s in found)})
        if reading in ON_SHARED:
            shared |= {s for s in found if sure[s].above}
    clear = [reading for reading, so in zip(LOSSES, positive) if so]
    values = {"readings": rows, "nodes": len(nodes), "count": count}
    values |= {"which": " and ".join(clear) or "none", "shared": len(shared), "suites": len(found)}
    of_clear = [value.value for reading in clear for value in every[reading].values()]
    values |= {"least": min(of_clear, default=0.0), "most": max(of_clear, default=0.0)}
    values["how"] = "weakly" if values["most"] < WEAK else "not weakly"
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
    M-TIES is closer than TIES by less than 1 %, and not clearly. All intervals that decide are
    corrected for their number, since a reading and a measure are looked for; one of no width shows
    nothing.
    """
    rows, shown, without, against = [], [], {}, []
    count = int(closeness.rival.isin(DECIDING).sum())
    for (reading, measure), part in closeness.groupby(["reading", "measure"]):
        suites = []
        for suite, group in part.groupby("suite"):
            of = {g.rival: Interval(g.value, g.low, g.high) for g in group.itertuples()}
            suites.append(of)
            names = {name.replace(" ", "_"): value for name, value in of.items()}
            rows.append({"suite": suite, "reading": reading, "measure": measure} | names)
        suites = [{name: gap.among(count) for name, gap in of.items()} for of in suites]
        little = all(of["random"].has_width and of["random"].high < LITTLE for of in suites)
        nearer = [of["TIES"].above and of["TIES as long"].above for of in suites]
        adds = all(of["random"].above and of["even"].above for of in suites)
        shown.append(all(nearer) and adds and not little)
        by_even = all(of["TIES from even"].above for of in suites)
        without[f"{reading}: {measure}"] = all(nearer) and little and by_even
        # Not shown to be closer is not enough: that it is closer by 1 % must be excluded.
        no_closer = [min(of["TIES"].high, of["TIES as long"].high) < LITTLE for of in suites]
        against.append(little and all(no_closer) and not any(nearer))
    spans = []
    for (reading, rival), part in closeness.groupby(["reading", "rival"], sort=True):
        if rival in SAID:
            gaps = [Interval(g.value, g.low, g.high) for g in part.itertuples()]
            spans.append(
                {"reading": reading, "rival": SAID[rival], "least": min(gaps), "most": max(gaps)}
            )
    by = "; ".join(name for name, so in without.items() if so)
    values = {"rows": rows, "by": by, "count": count, "spans": spans}
    excluded = bool(against) and all(against)
    return weighed(any(shown), excluded, any(without.values()), values)
