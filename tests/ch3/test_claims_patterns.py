"""Made-up tables for the claims about Fig. 6 (page 03p)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.claims.patterns import UNTRAINED
from mergebook.ch3.patterns import FORM_FREE, ON_SIMPLEX, READINGS, SHUFFLED, TASK_WISE, WITHOUT
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SHARED, OWN = FORM_FREE
SHARED_SIMPLEX, OWN_SIMPLEX = ON_SIMPLEX
EVERY = (*READINGS, WITHOUT, SHUFFLED, UNTRAINED)


def recurring(**value):
    """Correlations at one block's distance, 0.9 where no other is named; half width 0.05."""
    rows = []
    for what in EVERY:
        v = value.get(what, value.get("rest", 0.9))
        rows.append((what, v, v - 0.02, 0.0, v, v - 0.05, v + 0.05))
    columns = ["what", "value", "least", "chance", "excess", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def alone(**value):
    """The pattern with one network and free coefficients, trained or not, and nowhere else."""
    other = {SHARED_SIMPLEX: 0.13, OWN: 0.0, OWN_SIMPLEX: 0.0, SHUFFLED: 0.1}
    return (recurring(**other | value),)


def cost(levelled, half=0.2, **value):
    """Points that each method loses, 2 where no other is named."""
    rows = []
    for what in (*READINGS, WITHOUT):
        v = value.get(what, value.get("rest", 2.0))
        rows.append((what, levelled, v, v - half, v + half, v - 2 * half, v + 2 * half))
        rows.append((what, "others", -v, -v, -v, -v, -v))
    columns = ["what", "levelled", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


def stands_out(**value):
    return cost("farthest less others", **value)


def alike(**value):
    return cost("experts", **value)


def over(**value):
    rows = []
    for what in FORM_FREE:
        v = value.get(what, value.get("rest", 3.0))
        rows.append((what, TASK_WISE, v, v - 1, v + 1, v - 2, v + 2))
    columns = ["what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


def spreads(**wider):
    rows = [(what, wider.get(what, wider.get("rest", 9)), 68) for what in (*READINGS, WITHOUT)]
    return pd.DataFrame(rows, columns=["what", "wider", "tensors"])


RECUR, UNIFORM, OWN_ONES = (
    "stats-fig6-recurring-pattern",
    "stats-fig6-nonuniform-layers",
    "stats-fig6-task-specific",
)
CASES = {
    RECUR: {
        HOLDS: (recurring(),),
        CORRECTED: alone(),
        FAILS: (recurring(rest=0.05),),
        UNDECIDED: (recurring(rest=NAN),),
    },
    UNIFORM: {
        HOLDS: (stands_out(), over()),
        CORRECTED: (stands_out(**{OWN: 0.1}), over()),
        FAILS: (stands_out(rest=-1.0), over(rest=-3.0)),
        UNDECIDED: (stands_out(rest=0.1), over(rest=0.5)),
    },
    OWN_ONES: {
        HOLDS: (alike(), spreads()),
        CORRECTED: (alike(**{SHARED: 0.0}), spreads()),
        FAILS: (alike(rest=0.0), spreads()),
        UNDECIDED: (alike(rest=0.6), spreads()),
    },
}
NEAR = [
    (RECUR, "it recurs with shuffled statistics as well", UNDECIDED, alone(**{SHUFFLED: 0.5})),
    (RECUR, "training brings it about", UNDECIDED, alone(**{UNTRAINED: 0.1})),
    (RECUR, "training adds to it", UNDECIDED, alone(**{UNTRAINED: 0.75})),
    (RECUR, "on the simplex as well", UNDECIDED, alone(**{SHARED_SIMPLEX: 0.3})),
    (RECUR, "one network a layer has a little", UNDECIDED, alone(**{OWN: 0.17})),
    (RECUR, "one network a layer, simplex, too", UNDECIDED, alone(**{OWN_SIMPLEX: 0.17})),
    (RECUR, "on the simplex alone", UNDECIDED, alone(**{SHARED: 0.1, SHARED_SIMPLEX: 0.9})),
    (RECUR, "one task is no better than chance", UNDECIDED, (recurring().assign(least=-0.1),)),
    (UNIFORM, "no lead over task-wise", UNDECIDED, (stands_out(), over(rest=0.5))),
    (UNIFORM, "behind task-wise, one reading", UNDECIDED, (stands_out(), over(**{OWN: -3.0}))),
    (
        UNIFORM,
        "only the simplex is known",
        UNDECIDED,
        (stands_out(**{SHARED: NAN, OWN: NAN}), over(rest=0.5)),
    ),
    (
        UNIFORM,
        "costs less by an interval of one",
        UNDECIDED,
        (stands_out(rest=-0.3), over(rest=0.5)),
    ),
    (OWN_ONES, "no tensor spreads more", UNDECIDED, (alike(), spreads(rest=0))),
    (OWN_ONES, "below half a point by one interval", UNDECIDED, (alike(rest=0.2), spreads())),
    (OWN_ONES, "one repetition", UNDECIDED, (alike(rest=NAN), spreads(rest=0))),
]
SAID = {
    (RECUR, CORRECTED): {"untrained": 0.9, "shuffled": 0.1, "simplex.value": 0.13, "there": SHARED},
    (UNIFORM, CORRECTED): {"rows.1.value": 0.1, "free": 2.0, "leads.0.value": 3.0},
    (OWN_ONES, CORRECTED): {
        "rows.0": {"what": SHARED, "value": 0.0, "wider": 9},
        "tensors": 68,
        "not": SHARED,
    },
}
ORDERED = set()
