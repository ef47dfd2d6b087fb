"""Claims about the printed schedule and the late drop of Fig. 8 (evidence page 03r).

A reading is a learner (one network, or one a layer) with an epoch (a batch, or a pass) and heads
that are frozen or learn too. The tables are those of `schedule.by_reading`, with the intervals of a
schedule's changes over seeds.
"""

import pandas as pd

from mergebook.ch3.schedule import A_BATCH, ONE
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
POINT = 1.0  # of accuracy: less is no change


def readings_of(table: Table) -> list[dict]:
    """The rows of a table of intervals as entries of a sentence."""
    return table.to_dict("records")


def both_networks(table: Table) -> bool:
    """Whether one network and a network a layer were tried."""
    return table.network.nunique() > 1


def each_reading(table: Table) -> bool:
    """Whether both networks were tried with both kinds of epoch."""
    return len(table[["network", "epoch"]].drop_duplicates()) == 4


@claim("stats-training-recipe")
def printed_schedule(printed: Table) -> Outcome:
    """By the printed schedule validation accuracy rises clearly from start to end.

    Under each of four readings; corrected: with both networks where an epoch is a pass, or where it
    is a batch.
    """
    up = [rise.above for rise in printed.rise]
    down = [rise.high <= 0 for rise in printed.rise]
    each = {epoch: part for epoch, part in printed.groupby("epoch", sort=False)}
    works = [
        epoch
        for epoch, part in each.items()
        if both_networks(part) and all(rise.above for rise in part.rise)
    ]
    values = {
        "readings": readings_of(printed),
        "count": len(printed),
        "works": works[0] if works else "no epoch",
    }
    tried = each_reading(printed)
    return weighed(tried and all(up), tried and all(down), bool(works), values)


@claim("stats-schedule-ends-early")
def ends_early(printed: Table, over_late: Table) -> Outcome:
    """Observation: after two fifths the printed schedule changes no accuracy by a point.

    And with one network and a batch an epoch, one late drop ends clearly higher. Fails: one change
    clearly is larger, or the late drop clearly ends lower.
    """
    still = all(-POINT < late.low and late.high < POINT for late in printed.late)
    moves = any(late.low > POINT or late.high < -POINT for late in printed.late)
    chosen = (over_late.epoch == A_BATCH) & (over_late.network == ONE)
    higher = chosen.any() and all(lead.above for lead in over_late.lead[chosen])
    lower = any(lead.below for lead in over_late.lead[chosen])
    values = {"readings": readings_of(printed), "over": readings_of(over_late)}
    return weighed(bool(still and higher), bool(moves or lower), values=values)


@claim("stats-fig8-lr-drop")
def sudden_rise(late: Table) -> Outcome:
    """Accuracy on the inputs learnt from rises at the drop by more than it does on average before.

    Under each reading of a drop after 84 %. Corrected: it rises in each, as elsewhere. It fails
    only if heads are trained as well in some rows, as in the script of the figure, and the rise is
    clearly smaller than the mean elsewhere in all rows.
    """
    most = all(excess.above for excess in late.excess)
    less = all(excess.below for excess in late.excess)
    whole = (late.heads != "frozen").any() and both_networks(late)
    rises = all(gain.above for gain in late.gain)
    values = {"readings": readings_of(late), "count": len(late)}
    tried = both_networks(late)
    return weighed(tried and most, bool(whole and less), tried and rises, values)


@claim("stats-fig8-flatter-minimum")
def flatter(late: Table) -> Outcome:
    """From the drop to the end both the curvature and the sensitivity of the loss fall clearly.

    Under each reading; corrected: under one, which is named. It fails only if heads are trained as
    well in some rows, and both measures rise clearly in all rows.
    """
    measures = list(zip(late.curvature, late.sensitivity))
    falls = [all(change.below for change in pair) for pair in measures]
    rises = [all(change.above for change in pair) for pair in measures]
    whole = (late.heads != "frozen").any() and both_networks(late)
    first = late[falls].iloc[0] if any(falls) else None
    values = {
        "readings": readings_of(late),
        "count": 2 * len(late),
        "where": "none"
        if first is None
        else f"{first.network}, {first.epoch}, heads {first.heads}",
    }
    return weighed(both_networks(late) and all(falls), whole and all(rises), any(falls), values)
