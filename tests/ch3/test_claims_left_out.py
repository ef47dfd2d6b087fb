"""Made-up tables for the claims about tasks left out and more tasks (page 03m)."""

import itertools

import pandas as pd
from tables import NAN

from mergebook.ch3.left_out import LEARNERS, RIVALS
from mergebook.ch3.more_tasks import LEARNT_TOO, PRINTED
from mergebook.ch3.printed import PLUS
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


def counted(usual=1.0, changes=None, sizes=(2, 4, 8), searched=True):
    rows = [
        (what, over, size, *bounds(found(changes or {}, usual, what, over, str(size))))
        for what, over, size in itertools.product(LEARNERS, (*LEARNT_TOO, *PRINTED), sizes)
    ]
    table = pd.DataFrame(rows, columns=["what", "over", "size", *BOUNDS])
    return table.assign(suite="a", searched=searched | (table["size"] == max(sizes)))


def sloped(usual=1.0, changes=None):
    return counted(usual, changes, (0,)).drop(columns="size")


def drops(own=(7.7, 5.2)):
    """Losses from 8 to 20 tasks, as printed."""
    rows = [("TIES-Merging", 11.7, 11.2), ("RegMean++", 7.4, 10.2), (PLUS, *own)]
    return pd.DataFrame(rows, columns=["method", "base", "large"])


def printed(least=2.9, **change):
    """What is printed: leads of at least so much; its own losses, as printed or not."""
    rows = [("TIES-Merging", "ViT-B/32", "14 tasks", 22.7), ("RegMean++", "ViT-L/14", "8", least)]
    return pd.DataFrame(rows, columns=["over", "network", "tasks", "value"]), drops(**change)


FLAT = printed(own=(7.0, 5.2))  # nothing loses less
ADA = "AdaMerging++"
CASES = {
    "stats-unseen-task-generalisation": {
        HOLDS: left(),
        CORRECTED: left(-1.0, {SHARED: 1.0}),
        FAILS: left(changes={"TIES, shared": -1.0, "AdaMerging, one a layer": -1.0}),
        UNDECIDED: left(0.0),
    },
    "stats-scaling-is-reliable": {
        HOLDS: (counted(), sloped(), *FLAT),
        CORRECTED: (counted(changes={ADA: -1.0}), sloped(changes={ADA: -1.0}), *printed()),
        FAILS: (counted(), sloped(), *printed(-0.2)),
        UNDECIDED: (counted(0.0), sloped(0.0), *printed()),
    },
    "stats-table3main-8-14-20": {
        HOLDS: (counted(sizes=(8, 20)), drops()),
        CORRECTED: (counted(changes={f"{SHARED}, 20": -1.0}, sizes=(8, 20)), drops()),
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
        (counted(), sloped(changes={"free coefficients": -1.0}), *FLAT),
    ),
    (
        "stats-scaling-is-reliable",
        "step sizes of all tasks for few of them",
        UNDECIDED,
        (counted(searched=False), sloped(), *FLAT),
    ),
    (
        "stats-scaling-is-reliable",
        "a printed row is above, whatever was searched",
        FAILS,
        (counted(searched=False), sloped(), *printed(-0.2)),
    ),
    (
        "stats-scaling-is-reliable",
        "losing more than one",
        CORRECTED,
        (counted(), sloped(changes={ADA: -1.0}), *FLAT),
    ),
    (
        "stats-scaling-is-reliable",
        "as printed one loses less",
        CORRECTED,
        (counted(), sloped(), *printed()),
    ),
    (
        "stats-scaling-is-reliable",
        "as printed one may lose less",
        HOLDS,
        (counted(), sloped(), *printed(own=(7.6, 5.2))),
    ),
    (
        "stats-scaling-is-reliable",
        "behind here, above as printed",
        CORRECTED,
        (counted(-1.0), sloped(), *printed()),
    ),
    (
        "stats-scaling-is-reliable",
        "level as printed",
        UNDECIDED,
        (counted(), sloped(), *printed(0.1)),
    ),
    (
        "stats-scaling-is-reliable",
        "the rules of Table 3 lose less here",
        UNDECIDED,
        (counted(), sloped(changes={"TIES": -1.0}), *printed()),
    ),
    ("stats-scaling-is-reliable", "no number", UNDECIDED, (counted(NAN), sloped(NAN), *FLAT)),
    (
        "stats-table3main-8-14-20",
        "one reading below, the other open",
        UNDECIDED,
        (counted(0.0, {"20, shared": -1.0}, sizes=(8, 20)), drops()),
    ),
]

SAID = {
    ("stats-unseen-task-generalisation", CORRECTED): {
        "which": SHARED,
        "among": 4,
        "ahead": "Average over one a layer; Base over one a layer;"
        " free coefficients over one a layer",
    },
    ("stats-scaling-is-reliable", CORRECTED): {
        "behind": "; ".join(
            f"{n} behind {ADA} with {k} tasks" for n in LEARNERS for k in (2, 4, 8)
        ),
        "intervals": 30,
        "slower": "RegMean++ (ViT-B/32)",
        "closest.value": 2.9,
        "few": 2,
        "most": 8,
        "least.lead.low": 0.5,
    },
    ("stats-table3main-8-14-20", HOLDS): {"tasks": 20, "drops.0": {"base": 11.7}},
}

ORDERED = set()
