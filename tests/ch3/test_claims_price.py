"""Made-up tables for the claims about costs (page 03t)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.price import BATCHES, READINGS, VIT
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED
from mergebook.intervals import Interval

ONE, OWN = READINGS
FOUR = (16.0, 1.8)  # as dear as said with four inputs a task
UP, DOWN, LEVEL = Interval(2, 1, 3), Interval(-2, -3, -1), Interval(0, -1, 1)


def hours(least=(0.1, 3.0), timed=()):
    arithmetic = pd.DataFrame({"epoch": ["a batch", "a pass"], "hours": least})
    return arithmetic, pd.DataFrame({"hours": pd.Series(timed, dtype=float)})


def knots(large=(10.0, 10.0), area=DOWN, left=LEVEL):
    """How dear a step is with either batch on ViT-B/32, half so on another; and the losses."""
    rows = [(VIT, n, t) for n, t in zip(BATCHES, large)]
    rows += [("a", n, t / 2) for n, t in zip(BATCHES, large)]
    both = [x if isinstance(x, list) else [x, x] for x in (area, left)]
    speed = {"network": [ONE, OWN], "area": both[0], "left": both[1]}
    return pd.DataFrame(rows, columns=["network", "batch", "times"]), pd.DataFrame(speed)


def worse(*each, together=None):
    rows = [(n, *x, *(together or x[1:])) for n, x in zip(READINGS, each)]
    columns = ["network", "value", "low", "high", "all_low", "all_high"]
    return (pd.DataFrame(rows, columns=columns),)


CASES = {
    "stats-training-three-hours": {
        HOLDS: hours(timed=[0.2, 4.0]),
        FAILS: hours(least=(7.0, 9.0)),
        UNDECIDED: hours(),
    },
    "stats-knots-ten-times-cost": {
        HOLDS: knots(),
        CORRECTED: knots(FOUR, area=[UP, LEVEL]),
        FAILS: knots((2.0, 1.1)),
        UNDECIDED: knots(FOUR, area=LEVEL),
    },
    "stats-knots-makes-worse": {
        HOLDS: worse(DOWN, DOWN),
        CORRECTED: worse(LEVEL, DOWN),
        FAILS: worse(UP, UP),
        UNDECIDED: worse(LEVEL, UP),
    },
}
NEAR = [
    ("stats-training-three-hours", "one reading fits in", UNDECIDED, hours(least=(5.0, 9.0))),
    ("stats-training-three-hours", "timed far off", UNDECIDED, hours(timed=[1.5, 6.0])),
    ("stats-knots-ten-times-cost", "less is left to fall", HOLDS, knots(area=LEVEL, left=DOWN)),
    ("stats-knots-ten-times-cost", "sooner, one batch", CORRECTED, knots(FOUR)),
    ("stats-knots-ten-times-cost", "one reading alone", UNDECIDED, knots(area=[DOWN, LEVEL])),
    ("stats-knots-ten-times-cost", "higher, yet sooner", UNDECIDED, knots(FOUR, UP, [LEVEL, DOWN])),
    ("stats-knots-ten-times-cost", "later throughout", CORRECTED, knots(FOUR, UP, UP)),
    ("stats-knots-ten-times-cost", "never so and later", FAILS, knots((1.9, 1.2), UP, UP)),
    ("stats-knots-ten-times-cost", "far more than ten times", FAILS, knots((90.0, 21.0))),
    ("stats-knots-ten-times-cost", "a batch between the two", UNDECIDED, knots((21.0, 2.0))),
    ("stats-knots-ten-times-cost", "no number", UNDECIDED, knots((NAN, NAN))),
    ("stats-knots-makes-worse", "one network alone", CORRECTED, worse(DOWN)),
    ("stats-knots-makes-worse", "one network better", UNDECIDED, worse(UP)),
    ("stats-knots-makes-worse", "not together", UNDECIDED, worse(UP, UP, together=(-1, 4))),
]
SAID = {
    ("stats-knots-makes-worse", CORRECTED): {"where": OWN, "count": 2, "leads.0.value": 0},
    ("stats-knots-ten-times-cost", CORRECTED): {
        "times.0.times": 16,
        "speed.0.left.value": 0,
        "where": "4",
        "other": "1.8 times with 80",
        "sooner": "not shown",
        "higher": ONE,
    },
    ("stats-training-three-hours", UNDECIDED): {"least.1.hours": 3, "timed": 0},
}
ORDERED = set()
