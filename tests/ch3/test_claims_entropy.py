"""Made-up tables for the claims about entropy (page 03k)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.entropy import BINS, printed_bins
from mergebook.ch3.labels import READINGS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SHARED = next(iter(READINGS))
PARTS = ("low", "middle", "high")


def table12(plain=84.5, plus=94.5, rival=81.0, fits=True):
    """The bins of the paper with other overall accuracies."""
    bins = pd.DataFrame(
        [("AdaMerging++", 95.5, 91.4, 80.1), ("StatsMerging", 99.9, 97.6, 88.6)],
        columns=["Method", "Low", "Middle", "High"],
    )
    overall = pd.DataFrame(
        [
            ("LW StatsMerging", "1%", plain),
            ("LW StatsMerging++", "5%", plus),
            ("LW AdaMerging++", "5%", rival),
        ],
        columns=["Method", "Data", "Avg Acc"],
    )
    ours = pd.DataFrame(
        [(by, SHARED, part, 90.0, 1.0, 2) for by in BINS for part in PARTS],
        columns=["by", "what", "part", "accuracy", "share", "tasks"],
    )
    return printed_bins(bins, overall), pd.DataFrame({"fits": [True, fits]}), ours


def errors(low=0, high=40, empty=False, edges=None):
    """Two tasks with 100 inputs a part; `empty`: at the edges one has none in the high part.

    `edges`: how many more are wrong there in the high part than in the low.
    """
    rows = [
        (task, by, part, *((0, 0) if (empty and by, task, part) == ("edges", "x", "high") else n))
        for task in "xy"
        for by in BINS
        for part, n in zip(PARTS, ((100, low), (100, 10), (100, high)))
    ]
    table = pd.DataFrame(rows, columns=["task", "by", "part", "inputs", "wrong"])
    if edges is not None:
        there = table.by == BINS[0]
        table.loc[there & (table.part == "low"), "wrong"] = 10 + max(0, -edges)
        table.loc[there & (table.part == "high"), "wrong"] = 10 + max(0, edges)
    return table


def apart(value=0.0, half=0.5):
    rows = [
        (SHARED, part, value, value - half, value + half, value - 2 * half, value + 2 * half)
        for part in ("low", "high")
    ]
    columns = ["reading", "part", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


CASES = {
    "stats-table12-entropy-bins": {
        HOLDS: table12(plain=90.0),
        CORRECTED: table12(),
        FAILS: table12(fits=False),
        UNDECIDED: table12(plus=80.0),
    },
    "stats-entropy-as-label-noise": {
        HOLDS: (errors(), apart()),
        CORRECTED: (errors(), apart(5.0)),
        FAILS: (errors(40, 0), apart()),
        UNDECIDED: (errors(10, 10), apart()),
    },
}
TWELVE, NOISE = CASES
NEAR = [
    (TWELVE, "within rounding", HOLDS, table12(plain=85.9)),
    (TWELVE, "below rounding", CORRECTED, table12(plain=85.8)),
    (TWELVE, "the rival does not fit", UNDECIDED, table12(plain=90.0, rival=60.0)),
    (NOISE, "an empty bin", CORRECTED, (errors(empty=True), apart(5.0))),
    (NOISE, "wide intervals", CORRECTED, (errors(), apart(half=3.0))),
    (NOISE, "one binning", CORRECTED, (errors(edges=0), apart())),
    (NOISE, "one binning reversed", UNDECIDED, (errors(0, 0, edges=-40), apart())),
    (NOISE, "no number", UNDECIDED, (errors(NAN, NAN), apart())),
]
SAID = {
    (TWELVE, CORRECTED): {"least": 86.1, "thirds": 95.3667, "share": 1.0, "tasks": 2},
    (NOISE, HOLDS): {"gaps.0.value": 40.0, "high": 40.0, "unlike": "no"},
    (NOISE, CORRECTED): {"unlike": "yes", "by": " and ".join(BINS)},
    (NOISE, "one binning"): {"by": BINS[1]},
    (NOISE, "an empty bin"): {"gaps.0.tasks": 1, "gaps.1.tasks": 2},
    (NOISE, "wide intervals"): {"unlike": "no"},
}
ORDERED = set()
