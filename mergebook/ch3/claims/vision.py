"""Claims about the comparison on images (evidence page 03a).

Tables of leads have a pair of methods a row, with its 95 % interval, and one for all rows together
(`all_low`, `all_high`). A sentence with several comparisons holds if each interval shows it, and
fails only if a corrected one excludes it under both readings of StatsMerging.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mergebook.ch3.comparing import of_lead
from mergebook.ch3.vision import CONTROL, EACH, NETWORKS, ONE, READINGS, RIVALS, TASKS
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
SAID = {ONE: "one network for all layers", EACH: "one network a layer"}
CARD, TIME, MILLIONS = "A6000", 5.26, 10.99  # of Section 4.2
ZERO = 1e-3  # of coefficients, stored with four digits


def spoken(rows: Table) -> list[dict]:
    """Rows of leads as a sentence takes them: `what`, `over`, and the interval `lead`."""
    return [{"what": r.what, "over": r.over, "lead": of_lead(r)} for r in rows.itertuples()]


def shown_in(rows: Table) -> bool:
    """Whether there are rows, and the interval of each lies above zero."""
    return bool(len(rows) and (rows.low > 0).all())


def shown_together(rows: Table) -> bool:
    """Whether there are rows, and all intervals lie above zero when corrected for their number."""
    return bool(len(rows) and (rows.all_low > 0).all())


def excluded(rows: Table) -> bool:
    """Whether the interval of a row, corrected for their number, lies below zero."""
    return bool((rows.all_high < 0).any())


def of_reading(rows: Table, reading: str) -> Table:
    """The rows whose first method is this reading of StatsMerging."""
    return rows[rows.what == reading]


def named_readings(which) -> str:
    """The readings, in words, for which something is so."""
    return " and ".join(SAID[name] for name in READINGS if which(name)) or "neither reading"


def by_readings(shown: Mapping[str, bool], others: bool = True) -> Outcome:
    """What is no matter of intervals: it holds if each reading shows it, and `others` is so.

    Corrected: one of both readings shows it, named as `reading`. If not both were tried, and one
    might show it, it is not decidable.
    """
    tried = [bool(shown[n]) for n in READINGS if n in shown]
    values = {"reading": named_readings(lambda n: bool(shown.get(n, False)))}
    if others and len(tried) < len(READINGS):
        return Outcome(None, values=values)
    return Outcome(others and all(tried), others and any(tried), values)


def with_values(found: Outcome, **values) -> Outcome:
    """An outcome with more values."""
    return replace(found, values={**found.values, **values})


@claim("stats-weight-averaging-fails-vision")
def averaging(leads: Table, printed: Table) -> Outcome:
    """The average is worse than the base. Corrected: it is worse than the experts.

    The correction asks it of the printed averages too.
    """
    rows = leads.set_index(["what", "over"])
    gain, missing = rows.loc[("Average", "Base")], rows.loc[("Individual", "Average")]
    lost = bool((printed.Individual > printed.Average).all())
    values = {
        "gain": of_lead(gain),
        "missing": of_lead(missing),
        "printed": printed.reset_index().to_dict("records"),
    }
    short = bool(missing.low > 0) and lost
    return weighed(bool(gain.high < 0), bool(missing.all_high < 0), short, values)


@claim("stats-fig1-method-comparison")
def reads_statistics(methods: Table) -> Outcome:
    """Coefficients depend on statistics for StatsMerging, in both readings, and for no other.

    Corrected: in one reading.
    """
    rows = methods.set_index("method")
    others = not rows.moves[~rows.statistics].any()
    found = by_readings(rows.moves[rows.statistics].to_dict(), others)
    moved = ", ".join(rows.index[rows.moves]) or "none"
    return with_values(found, rows=methods.to_dict("records"), moved=moved)


@claim("stats-eq5-layerwise-learner")
def a_coefficient_each(shapes: Table, leads: Table) -> Outcome:
    """Both readings give each expert a finite coefficient in each layer, not one for all layers.

    Corrected: one of them does.
    """
    fits = (shapes.down == shapes.experts) & (shapes.across == shapes.layers) & shapes.finite
    first = shapes.iloc[0]
    over = leads[(leads.what == EACH) & (leads.over == CONTROL)].iloc[0]
    each = (fits & (shapes.spread > 0)).groupby(shapes.reading).all()
    return with_values(
        by_readings(each.to_dict()),
        experts=int(first.experts),
        layers=int(first.layers),
        trials=len(shapes),
        spread=float(shapes.spread.min()),
        control=of_lead(over),
    )


@claim("stats-fig2-fig3-pipeline")
def learner_alone(moved: Table) -> Outcome:
    """Training with frozen heads moves the learner and nothing else; the merge is one network.

    Both readings; corrected: one. Trained heads, which the released scripts have, must be seen to
    move.
    """
    frozen, too = (moved[moved.heads == kind] for kind in ("frozen", "too"))
    still = ~(frozen["base moves"] | frozen["heads move"])
    right = (frozen["learner moves"] & still & frozen.network).groupby(frozen.reading).all()
    return with_values(
        by_readings(right.to_dict()),
        learner=bool(frozen["learner moves"].all()),
        still=bool(still.all()),
        network=bool(frozen.network.all()),
        released=bool(too["heads move"].any()),
    )


@claim("stats-inference-latency")
def time_of_an_image(timed: Table) -> Outcome:
    """The time of one image, on the card and with the network that the paper names.

    It holds within a fifth, and fails beyond. Elsewhere it is not decidable.
    """
    row = timed.iloc[0]
    there = CARD in row.card and abs(row.millions - MILLIONS) < 0.1 and np.isfinite(row.ms)
    close = bool(abs(row.ms / TIME - 1) <= 0.2)
    values = {"network": bool(row.network), "card": row.card, "millions": row.millions}
    return weighed(bool(there and close), bool(there and not close), values=values)


@claim("stats-layerwise-beats-taskwise")
def finer_is_better(leads: Table) -> Outcome:
    """Layers minus tasks: AdaMerging, AdaMerging++ and both readings of StatsMerging are above 0.

    Corrected: so it is under one reading.
    """
    rivals = leads[leads.what.isin(RIVALS)]
    shown = {n: shown_in(of_reading(leads, n)) for n in READINGS}
    rivals_too = len(rivals) == len(RIVALS) and shown_in(rivals)
    against = all(excluded(of_reading(leads, n)) for n in READINGS) or excluded(rivals)
    values = {"rows": spoken(leads), "count": len(leads), "reading": named_readings(shown.get)}
    holds, one = rivals_too and all(shown.values()), rivals_too and any(shown.values())
    return weighed(holds, against, one, values)


@claim("stats-teachers-beat-entropy")
def stronger_signal(leads: Table) -> Outcome:
    """Teachers minus entropy is above zero: free coefficients at both levels, and both learners.

    Corrected: by layers, corrected for the number of intervals. It fails if it is excluded for
    each: by tasks, and by layers for the free coefficients and for both learners.
    """
    free, by_tasks = (leads[leads.what == CONTROL + level] for level in ("", TASKS))
    learners = [of_reading(leads, name) for name in READINGS]
    by_layers = (free, *learners)
    layers, surely = (all(map(shown, by_layers)) for shown in (shown_in, shown_together))
    beaten = all(excluded(rows) for rows in (by_tasks, *by_layers))
    values = {"rows": spoken(leads), "count": len(leads)}
    return weighed(layers and shown_in(by_tasks), beaten, surely, values)


@claim("stats-vision-plain-accuracies")
def plain_accuracies(reached: Table, leads: Table) -> Outcome:
    """On the paper's network both readings reach the printed accuracy. Corrected: one does.

    It fails if both stay below. On other networks it is not decidable; the order is shown.
    """
    known = reached.suite.isin(NETWORKS) & reached.printed.notna()
    there = (reached.high >= reached.printed) & known
    below = (reached.high < reached.printed) & known
    rows = []
    for name in READINGS:
        own = of_reading(leads, name)
        at = reached[reached.what == name].iloc[0]
        rivals = shown_in(own[own.over.isin(RIVALS)])
        said = "leads both rivals" if rivals else "does not lead both rivals clearly"
        over = {r.over: of_lead(r) for r in own.itertuples()}
        rows.append({
            "reading": SAID[name], "percent": of_lead(at), "said": said,
            "ada": over[RIVALS[0]], "plus": over[RIVALS[1]], "control": over[CONTROL],
        })  # fmt: skip
    which = dict(zip(reached.what, there))
    values = {"suite": reached.suite.iloc[0], "rows": rows, "count": len(leads)}
    values["reading"] = named_readings(lambda n: which.get(n, False))
    return weighed(bool(there.all()), bool(below.all()), bool(there.any()), values)


@claim("stats-eq10-simplex")
def convex(table: Table, cost: Table) -> Outcome:
    """All trained coefficients lie on the simplex, and all merged weights between the experts'.

    Corrected: with a softmax over experts.
    """
    on = (table.off < 10 * ZERO) & (table.least > -ZERO) & (table.outside < 1e-3)
    soft = table.softmax.astype(bool)
    free = table[~soft]
    values = {
        "off": free.off.max(),
        "least": free.least.min(),
        "outside": free.outside.to_list(),
        "soft": table[soft].off.max(),
        "rows": spoken(cost),
        "count": len(cost),
    }
    return Outcome(bool(on.all()), bool(soft.any() and on[soft].all()), values)


@claim("stats-linear-merge-ceiling")
def ceiling(found: Table) -> Outcome:
    """Observation: even coefficients fitted to the test inputs stay below the experts."""
    rows = {r.what.removeprefix("oracle, "): of_lead(r) for r in found.itertuples()}
    return Outcome(bool((found.high < 0).all()), values=rows)
