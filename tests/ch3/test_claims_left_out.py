"""Made-up tables for the claims about tasks left out and more tasks (page 03m)."""

import itertools

import pandas as pd
from tables import NAN

from mergebook.ch3.left_out import LEARNERS, RIVALS
from mergebook.ch3.more_tasks import LEARNT_TOO, PRINTED
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SHARED, OWN = LEARNERS
BOUNDS = ["value", "low", "high", "all_low", "all_high"]
CONTROLS = ("Base", "Average", "free coefficients")


def bounds(value, half=0.5):
    """Half as wide again for all intervals together."""
    return value, value - half, value + half, value - 1.5 * half, value + 1.5 * half


def found(changes, usual, *names):
    """The first of the changes whose words are all among the names."""
    return next((v for words, v in changes.items() if set(words.split(", ")) <= set(names)), usual)


def left(usual=1.0, changes=None, control=-1.0):
    rows = [
        (
            what,
            over,
            *bounds(found(changes or {}, usual if over in RIVALS else control, what, over)),
        )
        for what, over in itertools.product(LEARNERS, (*RIVALS, *CONTROLS))
    ]
    return (pd.DataFrame(rows, columns=["what", "over", *BOUNDS]),)


def counted(usual=1.0, changes=None, sizes=(2, 4, 8)):
    rows = [
        (what, over, size, *bounds(found(changes or {}, usual, what, over, str(size))))
        for what, over, size in itertools.product(LEARNERS, (*LEARNT_TOO, *PRINTED), sizes)
    ]
    return pd.DataFrame(rows, columns=["what", "over", "size", *BOUNDS])


def sloped(usual=1.0, changes=None):
    return counted(usual, changes, (0,)).drop(columns="size")


def drops():
    return pd.DataFrame({"method": ["TIES-Merging"], "base": [11.7], "large": [11.2]})


ADA = "AdaMerging++"
CASES = {
    "stats-unseen-task-generalisation": {
        HOLDS: left(),
        CORRECTED: left(-1.0, {SHARED: 1.0}),
        FAILS: left(changes={"TIES, shared": -1.0, "AdaMerging, one a layer": -1.0}),
        UNDECIDED: left(0.0),
    },
    "stats-scaling-is-reliable": {
        HOLDS: (counted(), sloped()),
        CORRECTED: (counted(changes={ADA: -1.0}), sloped(changes={ADA: -1.0})),
        FAILS: (counted(changes={"TIES, 4": -1.0}), sloped(0.0)),
        UNDECIDED: (counted(0.0), sloped(0.0)),
    },
    "stats-table3main-8-14-20": {
        HOLDS: (counted(sizes=(8, 20)), drops()),
        FAILS: (counted(changes={"20": -1.0}, sizes=(8, 20)), drops()),
        UNDECIDED: (counted(), drops()),
    },
}

NEAR = [
    ("stats-unseen-task-generalisation", "controls do not decide", HOLDS, left(control=-9.0)),
    (
        "stats-unseen-task-generalisation",
        "below for one learner alone",
        CORRECTED,
        left(changes={"TIES, shared": -1.0}),
    ),
    (
        "stats-unseen-task-generalisation",
        "one learner below, the other open",
        UNDECIDED,
        left(changes={"TIES, shared": -1.0, "TIES, one a layer": 0.0}),
    ),
    (
        "stats-unseen-task-generalisation",
        "a refutation needs the corrected interval",
        UNDECIDED,
        left(changes={"TIES": -0.6}),
    ),
    ("stats-unseen-task-generalisation", "no number", UNDECIDED, left(NAN)),
    (
        "stats-scaling-is-reliable",
        "free coefficients are no earlier method",
        HOLDS,
        (counted(changes={"free coefficients": -1.0}), sloped(changes={"free coefficients": -1.0})),
    ),
    (
        "stats-scaling-is-reliable",
        "ahead everywhere, losing more than one",
        CORRECTED,
        (counted(), sloped(changes={ADA: -1.0})),
    ),
    (
        "stats-scaling-is-reliable",
        "below for one learner alone",
        UNDECIDED,
        (counted(changes={"TIES, 4, shared": -1.0}), sloped(0.0)),
    ),
    (
        "stats-scaling-is-reliable",
        "level with a rule, which loses more",
        CORRECTED,
        (counted(changes={"TIES, 2": 0.0}), sloped()),
    ),
    (
        "stats-scaling-is-reliable",
        "the rules of Table 3 lose less",
        UNDECIDED,
        (counted(changes={"AdaMerging++, shared": -1.0}), sloped(changes={"TIES": -1.0})),
    ),
    ("stats-scaling-is-reliable", "no number", UNDECIDED, (counted(NAN), sloped(NAN))),
    (
        "stats-table3main-8-14-20",
        "one reading below",
        UNDECIDED,
        (counted(changes={"20, shared": -1.0}, sizes=(8, 20)), drops()),
    ),
]

SAID = {
    ("stats-unseen-task-generalisation", CORRECTED): {
        "which": SHARED,
        "among": 4,
        "ahead": "Average of one a layer; Base of one a layer; free coefficients of one a layer",
    },
    ("stats-scaling-is-reliable", CORRECTED): {
        "behind": "; ".join(f"{n}, by {ADA} with {k} tasks" for n in LEARNERS for k in (2, 4, 8)),
        "intervals": 30,
        "least.lead.low": 0.5,
    },
    ("stats-table3main-8-14-20", HOLDS): {"tasks": 20, "drops.0": {"base": 11.7}},
}

ORDERED = set()
