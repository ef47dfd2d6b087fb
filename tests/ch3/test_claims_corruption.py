"""Made-up tables for the claims about spoilt inputs and LiNeS (page 03q)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.corruption import ARITHMETIC, CORRUPTIONS, READINGS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SHARED, OWN = READINGS


def row(value, half=1.0):
    return (value, value - half, value + half, value - 2 * half, value + 2 * half)


NUMBERS = ["value", "low", "high", "all_low", "all_high"]


def leads(over=("AdaMerging", ARITHMETIC), under=tuple(CORRUPTIONS), **value):
    """Leads of both readings, 3 where no other is named by the reading, or by it and the rival."""
    rows = [
        (n, other, kind, *row(value.get(f"{n}, {other}", value.get(n, value.get("rest", 3.0)))))
        for n in READINGS
        for kind in under
        for other in over
    ]
    return pd.DataFrame(rows, columns=["reading", "over", "under", *NUMBERS])


def lost():
    rows = [(n, 10.0, 20.0, 5.0) for n in (*READINGS, "AdaMerging", ARITHMETIC)]
    return pd.DataFrame(rows, columns=["what", *CORRUPTIONS])


def noise(**value):
    return leads(("AdaMerging++",), ("Gaussian noise 10", "Gaussian noise 20"), **value)


def gains(half=0.4, **value):
    """What LiNeS adds, 0.5 where no other is named by reading, or by it and when; 4 to the rule."""
    rows = [
        (n, when, *row(value.get(f"{n}, {when}", value.get(n, value.get("rest", 0.5))), half))
        for n in READINGS
        for when in ("before learning", "after learning")
    ]
    rows.append((ARITHMETIC, "no learning", *row(4.0)))
    return pd.DataFrame(rows, columns=["what", "when", *NUMBERS])


ROBUST, NOISE, LINES = (
    "stats-robust-to-corruptions",
    "stats-table11-noise-levels",
    "stats-lines-not-needed",
)
CASES = {
    ROBUST: {
        HOLDS: (leads(), lost()),
        CORRECTED: (leads(**{SHARED: -3.0}), lost()),
        FAILS: (leads(rest=-3.0), lost()),
        UNDECIDED: (leads(rest=0.5), lost()),
    },
    NOISE: {
        HOLDS: (noise(),),
        CORRECTED: (noise(**{SHARED: 0.0}),),
        FAILS: (noise(rest=-3.0),),
        UNDECIDED: (noise(rest=0.0),),
    },
    LINES: {
        HOLDS: (gains(),),
        CORRECTED: (gains(**{OWN: 5.0}),),
        FAILS: (gains(rest=2.0),),
        UNDECIDED: (gains(rest=0.7, half=1.0),),
    },
}
NEAR = [
    (
        ROBUST,
        "behind one rival alone",
        FAILS,
        (leads(**{f"{SHARED}, AdaMerging": -3.0, f"{OWN}, AdaMerging": -3.0}), lost()),
    ),
    (
        ROBUST,
        "behind one rival, one reading",
        UNDECIDED,
        (leads(**{f"{SHARED}, AdaMerging": -3.0, f"{OWN}, AdaMerging": 0.0}), lost()),
    ),
    (ROBUST, "behind by intervals of one", UNDECIDED, (leads(rest=-1.5), lost())),
    (ROBUST, "no number", UNDECIDED, (leads(rest=NAN), lost())),
    (NOISE, "no number", UNDECIDED, (noise(rest=NAN),)),
    (LINES, "clear, and little", FAILS, (gains(rest=1.0),)),
    (LINES, "clear by intervals of one, and little", HOLDS, (gains(rest=0.6),)),
    (
        LINES,
        "clear after learning in one reading",
        CORRECTED,
        (gains(**{f"{OWN}, after learning": 1.0}),),
    ),
    (LINES, "one repetition", UNDECIDED, (gains(rest=NAN),)),
]
SAID = {
    (ROBUST, CORRECTED): {"there": OWN, "leading": 6, "count": 12, "behind": 6},
    (LINES, HOLDS): {"rule": 4.0, "half": 1.55, "rows.0.value": 0.5},
}
ORDERED = set()
