"""Made-up tables for the claims about costs (page 03t)."""

import pandas as pd

from mergebook.ch3.price import READINGS, VIT
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED
from mergebook.intervals import Interval

ONE, OWN = READINGS
UP, DOWN, LEVEL = Interval(2, 1, 3), Interval(-2, -3, -1), Interval(0, -1, 1)


def hours(least=(0.1, 3.0), timed=()):
    arithmetic = pd.DataFrame({"epoch": ["a batch", "a pass"], "hours": least})
    return arithmetic, pd.DataFrame({"hours": pd.Series(timed, dtype=float)})


def knots(large=10.0, small=10.0, area=DOWN, left=LEVEL):
    times = pd.DataFrame({"network": ["a", VIT], "times": [small, large]})
    both = [x if isinstance(x, list) else [x, x] for x in (area, left)]
    speed = {"network": [ONE, OWN], "area": both[0], "left": both[1]}
    return times, pd.DataFrame(speed)


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
        CORRECTED: knots(area=LEVEL),
        FAILS: knots(small=1.5, area=UP),
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
    ("stats-knots-ten-times-cost", "one reading alone", CORRECTED, knots(area=[DOWN, LEVEL])),
    ("stats-knots-ten-times-cost", "far more than ten times", CORRECTED, knots(large=21.0)),
    ("stats-knots-ten-times-cost", "twice", FAILS, knots(small=2.0, area=LEVEL)),
    ("stats-knots-makes-worse", "one network alone", CORRECTED, worse(DOWN)),
    ("stats-knots-makes-worse", "one network better", UNDECIDED, worse(UP)),
    ("stats-knots-makes-worse", "not together", UNDECIDED, worse(UP, UP, together=(-1, 4))),
]
SAID = {
    ("stats-knots-makes-worse", CORRECTED): {"where": OWN, "count": 2, "leads.0.value": 0},
    ("stats-knots-ten-times-cost", CORRECTED): {"times.1.times": 10, "speed.0.left.value": 0},
    ("stats-training-three-hours", UNDECIDED): {"least.1.hours": 3, "timed": 0},
}
ORDERED = set()
