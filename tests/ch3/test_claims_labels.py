"""Made-up tables for the claims about labels and their substitutes (page 03j)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.labels import HARD, LABELS, READINGS, TRIED
from mergebook.ch3.spoilt import ANOTHER, LEARNERS, REAL, SPOILS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SHARED, OWN = READINGS
BOUNDS = ["value", "low", "high", "all_low", "all_high"]


def printed(hard=84.0):
    """Rows of Table 14, with the accuracy of hard answers."""
    losses = (("GT CE", 90.0), ("KD CE", hard), ("KD KL-Div", 60.0))
    rows = [(level, loss, value, value) for level in ("TW", "LW") for loss, value in losses]
    return pd.DataFrame(rows, columns=["GL", "Loss", "CA", "Avg Acc"])


PRINTED = printed()
TEACHERS = pd.DataFrame({"task": ["x", "y"], "right": [90.0, 96.0]})


def around(value, half=0.5):
    """A lead with its interval, and a wider one for all."""
    return (value, value - half, value + half, value - 1.5 * half, value + 1.5 * half)


def gaps(value=0.0, half=0.5, **other):
    """Differences of Table 14, by reading; a name with `_tasks` has its own at that level."""
    rows = []
    for reading, level in TRIED:
        name = reading.replace(" ", "_")
        rows.append(
            (reading, level, *around(other.get(f"{name}_{level}", other.get(name, value)), half))
        )
    return pd.DataFrame(rows, columns=["reading", "level", *BOUNDS])


def hard(table=PRINTED, **settings):
    return gaps(**settings), table, TEACHERS


def soft(**settings):
    warmer = pd.DataFrame([("T = 2", *around(-1.0))], columns=["over", *BOUNDS])
    return gaps(**settings), PRINTED, warmer


def spoilt(near=0.2, lost=0.0, half=0.1, **other):
    """Three learners: nearness, distances and points lost."""
    own = {"one_network": SHARED, "one_a_layer": OWN}
    nears = {n: near for n in LEARNERS} | {own[k]: v for k, v in other.items()}
    table = pd.DataFrame(
        [(n, *around(v, half)) for n, v in nears.items()], columns=["reading", *BOUNDS]
    )
    found = pd.DataFrame(
        [
            (n, s, seed, 0.1 * i)
            for n in LEARNERS
            for i, s in enumerate((*[s for s in SPOILS if s != LABELS], ANOTHER), 1)
            for seed in (0, 1)
        ],
        columns=["reading", "spoilt", "seed", "distance"],
    )
    losses = pd.DataFrame(
        [(n, s, *around(lost)) for n in LEARNERS for s in SPOILS if s != LABELS],
        columns=["reading", "spoilt", *BOUNDS],
    )
    return table, found, losses


def leads(value=0.0, half=0.5, **other):
    """A lead of each reading, and of a control."""
    names = {"one_network": SHARED, "one_a_layer": OWN, "control": "AdaMerging"}
    rows = [(name, *around(other.get(key, value), half)) for key, name in names.items()]
    return pd.DataFrame(rows, columns=["reading", *BOUNDS])


def use(enters=0.0, agreement=0.0):
    rows = [(n, HARD, enters, agreement) for n in READINGS]
    rows += [(n, LABELS, 0.5, 1.0) for n in READINGS]
    return pd.DataFrame(rows, columns=["reading", "loss", "coefficients", "agreement"])


def both(same=0):
    return pd.DataFrame({"task": ["x", "y"], "test": [500, 500], "in both": [0, same]})


CASES = {
    "stats-hard-labels-vs-truth": {
        HOLDS: hard(printed(89.5), value=9.0),
        CORRECTED: hard(),
        FAILS: hard(value=3.0),
    },
    "stats-soft-worse-than-hard": {
        HOLDS: soft(value=1.0),
        CORRECTED: soft(value=1.0, one_network=0.0),
        FAILS: soft(value=-1.0),
        UNDECIDED: soft(),
    },
    "stats-pseudo-labels-sufficient": {
        HOLDS: spoilt(),
        CORRECTED: spoilt(near=0.0),
        FAILS: spoilt(lost=3.0),
        UNDECIDED: spoilt(lost=0.8),
    },
    "stats-no-manual-labels": {
        HOLDS: (use(), leads()),
        CORRECTED: (use(), leads(one_network=0.8)),
        FAILS: (use(), leads(3.0)),
        UNDECIDED: (use(), leads(1.0)),
    },
    "stats-no-test-samples": {HOLDS: (both(), leads(3.0)), FAILS: (both(2), leads())},
}
HARDLY, SOFTLY, ENOUGH, NONE, UNSEEN = CASES

NEAR = [
    (HARDLY, "one reading is not near", FAILS, hard(one_a_layer=3.0)),
    (HARDLY, "one level is not near", FAILS, hard(one_network_tasks=3.0)),
    (HARDLY, "the control does not count", CORRECTED, hard(free=9.0)),
    (HARDLY, "no number here", FAILS, hard(value=NAN)),
    (HARDLY, "one reading missing", FAILS, (hard()[0][:2], PRINTED, TEACHERS)),
    (HARDLY, "a point apart in print", FAILS, hard(printed(89.0), value=3.0)),
    (SOFTLY, "below zero, not corrected", UNDECIDED, soft(value=-0.6)),
    (SOFTLY, "below zero in one reading", UNDECIDED, soft(one_network=-1.0)),
    (SOFTLY, "the control does not count", UNDECIDED, soft(free=1.0)),
    (ENOUGH, "near in one reading", CORRECTED, spoilt(one_network=0.0)),
    (ENOUGH, "farther than another seed", CORRECTED, spoilt(near=-0.3)),
    (ENOUGH, "farther, and lost", FAILS, spoilt(near=-0.3, lost=0.8)),
    (ENOUGH, "no number", UNDECIDED, spoilt(near=NAN, lost=NAN)),
    (NONE, "a label enters", FAILS, (use(enters=1e-3), leads())),
    (NONE, "a label chooses", FAILS, (use(agreement=0.1), leads())),
    (NONE, "labels choose better under one reading", CORRECTED, (use(), leads(one_network=3.0))),
    (UNSEEN, "a twin within a data set", HOLDS, (both(1), leads())),
]
SAID = {
    (HARDLY, CORRECTED): {"tasks": 6.0, "layers": 6.0, "count": 3, "right": 93.0},
    (SOFTLY, HOLDS): {"layers": 24.0, "most": 1.5},
    (SOFTLY, CORRECTED): {"shows": OWN},
    (ENOUGH, "near in one reading"): {"shows": OWN},
    (ENOUGH, HOLDS): {"theory": "0.10, 0.20, 0.30, 0.40", "growth": 2.0, "times": 4.0},
    (NONE, "a label enters"): {"enters": 1e-3, "control": 0.5},
    (UNSEEN, HOLDS): {"same": 0, "of": 1000},
}
ORDERED = set()
assert REAL in SPOILS
