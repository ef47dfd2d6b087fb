"""Made-up tables for the claims about the printed schedule (page 03r)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.schedule import A_BATCH, A_PASS, LEARNERS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED
from mergebook.intervals import Interval

ONE, OWN = LEARNERS
READINGS = ((ONE, A_BATCH), (ONE, A_PASS), (OWN, A_BATCH))
FOUR = (*READINGS, (OWN, A_PASS))
UP, DOWN, LEVEL = Interval(2, 1, 3), Interval(-2, -3, -1), Interval(0, -1, 1)
STILL = Interval(-0.2, -0.9, 0.4)
FURTHER = Interval(2, 1.5, 3)


def table(heads="frozen", readings=READINGS, **columns):
    """A row a reading; a column has one interval for all, or one for each."""
    rows = [{"network": n, "epoch": e, "heads": heads, "seeds": 3} for n, e in readings]
    for name, values in columns.items():
        for i, row in enumerate(rows):
            row[name] = values[i] if isinstance(values, list) else values
    return pd.DataFrame(rows)


def recipe(rise, readings=FOUR):
    return (table(readings=readings, rise=rise, late=LEVEL, start=UP, end=UP),)


def early(late=STILL, lead=UP, readings=READINGS):
    return table(late=late, rise=UP), table(readings=readings, lead=lead)


def drop(gain=UP, excess=LEVEL, heads="frozen", readings=READINGS):
    return (table(heads, readings, gain=gain, excess=excess),)


def shape(curvature, sensitivity, heads="frozen"):
    return (table(heads, curvature=curvature, sensitivity=sensitivity),)


CASES = {
    "stats-training-recipe": {
        HOLDS: recipe(UP),
        CORRECTED: recipe([LEVEL, UP, LEVEL, UP]),
        FAILS: recipe(DOWN),
        UNDECIDED: recipe([LEVEL, LEVEL, UP, UP]),
    },
    "stats-schedule-ends-early": {
        HOLDS: early(),
        FAILS: early(late=FURTHER),
        UNDECIDED: early(late=LEVEL),
    },
    "stats-fig8-lr-drop": {
        HOLDS: drop(excess=UP),
        CORRECTED: drop(),
        FAILS: drop(gain=LEVEL, excess=DOWN, heads="too"),
        UNDECIDED: drop(gain=LEVEL),
    },
    "stats-fig8-flatter-minimum": {
        HOLDS: shape(DOWN, DOWN),
        CORRECTED: shape([DOWN, LEVEL, UP], DOWN),
        FAILS: shape(UP, UP, heads="too"),
        UNDECIDED: shape(DOWN, LEVEL),
    },
}

NEAR = [
    (
        "stats-training-recipe",
        "one network alone",
        UNDECIDED,
        (table(readings=READINGS[:2], rise=UP, late=LEVEL),),
    ),
    ("stats-training-recipe", "one reading was not run", CORRECTED, recipe(UP, READINGS)),
    ("stats-training-recipe", "all that was run falls", UNDECIDED, recipe(DOWN, READINGS)),
    ("stats-training-recipe", "one seed", UNDECIDED, recipe(Interval(2, NAN, NAN))),
    (
        "stats-training-recipe",
        "it falls in one reading",
        UNDECIDED,
        recipe([LEVEL, LEVEL, DOWN, DOWN]),
    ),
    ("stats-schedule-ends-early", "a point", UNDECIDED, early(late=Interval(1, 0.9, 1.1))),
    ("stats-schedule-ends-early", "the late drop ends lower", FAILS, early(lead=DOWN)),
    ("stats-schedule-ends-early", "the late drop is level", UNDECIDED, early(lead=LEVEL)),
    ("stats-schedule-ends-early", "others do not count", HOLDS, early(lead=[UP, DOWN, DOWN])),
    ("stats-schedule-ends-early", "no batch an epoch", UNDECIDED, early(readings=READINGS[1:])),
    ("stats-fig8-lr-drop", "heads are frozen", UNDECIDED, drop(LEVEL, DOWN)),
    ("stats-fig8-lr-drop", "one reading rises more", CORRECTED, drop(excess=[UP, LEVEL, DOWN])),
    ("stats-fig8-lr-drop", "one reading does not rise", UNDECIDED, drop(gain=[UP, UP, LEVEL])),
    ("stats-fig8-lr-drop", "one network alone", UNDECIDED, drop(excess=UP, readings=READINGS[:2])),
    ("stats-fig8-flatter-minimum", "heads are frozen", UNDECIDED, shape(UP, UP)),
    ("stats-fig8-flatter-minimum", "one measure rises", UNDECIDED, shape(UP, LEVEL, "too")),
]

SAID = {
    ("stats-training-recipe", CORRECTED): {"works": A_PASS, "count": 4, "readings.1.rise.value": 2},
    ("stats-schedule-ends-early", HOLDS): {"over.2.lead.value": 2, "readings.1.late.value": -0.2},
    ("stats-fig8-lr-drop", CORRECTED): {"readings.0.gain.low": 1},
    ("stats-fig8-flatter-minimum", CORRECTED): {
        "where": f"{ONE}, {A_BATCH}, heads frozen",
        "count": 6,
    },
}

ORDERED = set()
