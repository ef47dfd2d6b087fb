"""Made-up tables for the claims about other architectures: see `tests/test_deciders.py`."""

import pandas as pd

from mergebook.ch3.architectures import BY_LEARNER, MEAN, MOVES, NORMAL, SIMPLEX, listing
from mergebook.ch3.students import works
from mergebook.ch3.students_merged import EACH, ONE
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

MOMENTS = ("mean moments", "renewed moments")
COLUMNS = ["over", "value", "low", "high", "all_low", "all_high"]


def interval(value, half=1.0, wide=1.5):
    return value, value - half, value + half, value - wide, value + wide


def cells(cars="77.7 76.4", eurosat="99.7 94.5"):
    row = ("Individual Distilled", "97.8 -", cars, eurosat, "91.7 -")
    other = ("MTL", "96.4", "74.6", "96.2", "89.1")
    return pd.DataFrame([other, row], columns=["Method", "CI", "CA", "EU", "Avg Acc"])


def gaps():
    rows = [(t, f"teacher minus {w}", 9.0, 8.0, 10.0) for t in "ab" for w in ("distilled", "x")]
    return pd.DataFrame(rows, columns=["task", "over", "value", "low", "high"])


def merges(as_they_are=False, distilled=True):
    rows = [("as they are", as_they_are), ("distilled", distilled)]
    return pd.DataFrame(rows, columns=["models", "accepted"])


def only(*names):
    table = works()
    return table[table.own | table.work.isin(names)].reset_index(drop=True)


def leads(usual, over=("Average", "Task arithmetic"), moments=MOMENTS, **other):
    """Leads of `usual` points; `other` by network and moments, or with the method too."""
    short = {"one": ONE, "each": EACH}
    rows = []
    for name, what in short.items():
        for m in moments or ("",):
            for n in over:
                key = name + (f"_{m.split()[0]}" if m else "")
                value = other.get(f"{key}_{n.split()[0]}", other.get(key, other.get(name, usual)))
                rows.append((what, m, n, *interval(value)))
    table = pd.DataFrame(rows, columns=["what", "moments", *COLUMNS])
    return table if moments else table.drop(columns="moments")


def joint(usual, **other):
    return leads(usual, ("together, distilled",), **other)


def kept(*shares):
    return pd.DataFrame({"moments": MOMENTS, "share": shares})


def recipe(usual, **other):
    return leads(usual, ("Average", "Task arithmetic", "free coefficients"), (), **other)


def listed(printed=False, mended=True):
    table = listing()
    table["right"] = table.version.map({"as printed": printed, "after the loop": mended})
    return table


def moved(usual, **readings):
    """Leads of each reading; a number for both moments or a pair."""
    rows = []
    for reading in MOVES:
        values = readings.get(reading, usual)
        values = values if isinstance(values, tuple) else (values, values)
        rows += [(reading, m, "other", *interval(v)) for m, v in zip(MOMENTS, values)]
    return pd.DataFrame(rows, columns=["reading", "moments", *COLUMNS])


FIRST, LAST = list(MOVES)[0], list(MOVES)[-1]

CASES = {
    "stats-distilled-matches-teacher": {
        HOLDS: (cells(eurosat="99.7 98.5"), gaps()),
        CORRECTED: (cells(), gaps()),
        FAILS: (cells(cars="77.7 70.0"), gaps()),
    },
    "stats-hetero-no-identity-assumption": {
        HOLDS: (merges(True), only("MergeDistill")),
        CORRECTED: (merges(), only()),
        FAILS: (merges(), works()),
    },
    "stats-first-unseen-architecture": {
        HOLDS: (only("MergeDistill"),),
        CORRECTED: (works(),),
        FAILS: (works().assign(unseen=True),),
    },
    "stats-hetero-pipeline": {
        HOLDS: (leads(5),),
        CORRECTED: (leads(0, one_mean=5),),
        FAILS: (leads(-5),),
        UNDECIDED: (leads(0),),
    },
    "stats-distillation-below-merge": {
        HOLDS: (joint(5), kept(0.3, 0.3)),
        CORRECTED: (joint(0, each_renewed=5), kept(0.3, 0.3)),
        FAILS: (joint(-5), kept(0.4, 0.6)),
        UNDECIDED: (joint(-5), kept(0.3, 0.4)),
    },
    "stats-algorithm1": {
        HOLDS: (recipe(5), listed(True)),
        CORRECTED: (recipe(5), listing()),
        FAILS: (recipe(-5), listing()),
        UNDECIDED: (recipe(0), listing()),
    },
    "stats-table9-unseen-architecture": {
        HOLDS: (moved(5), moved(-5)),
        CORRECTED: (moved(-5, **{LAST: 5}), moved(-5)),
        FAILS: (moved(-5), moved(-5)),
        UNDECIDED: (moved(0), moved(-5)),
    },
    "stats-transfer-below-average": {HOLDS: (moved(-5),), FAILS: (moved(-5, **{FIRST: (-5, 5)}),)},
}

NEAR = [
    (
        "stats-hetero-no-identity-assumption",
        "the first for images",
        CORRECTED,
        (merges(), only("FuseChat", "AdaMMS")),
    ),
    (
        "stats-distilled-matches-teacher",
        "a gap of 1.5 is no match",
        FAILS,
        (cells("77.7 76.2", "99.7 98.2"), gaps()),
    ),
    (
        "stats-hetero-no-identity-assumption",
        "earlier, but of one student",
        CORRECTED,
        (merges(), only("MergeDistill")),
    ),
    (
        "stats-hetero-no-identity-assumption",
        "one earlier work is enough",
        FAILS,
        (merges(True), only("OTFusion")),
    ),
    (
        "stats-hetero-no-identity-assumption",
        "not even students can be merged",
        FAILS,
        (merges(distilled=False), only()),
    ),
    (
        "stats-hetero-pipeline",
        "below task arithmetic alone, under each reading",
        FAILS,
        (leads(5, **{f"{n}_{m}_Task": -5 for n in ("one", "each") for m in ("mean", "renewed")}),),
    ),
    (
        "stats-hetero-pipeline",
        "excluded by an interval of its own, not by all together",
        UNDECIDED,
        (leads(-1.2),),
    ),
    ("stats-hetero-pipeline", "one reading is level", UNDECIDED, (leads(-5, each_mean=0),)),
    ("stats-hetero-pipeline", "NaN decides nothing", UNDECIDED, (leads(float("nan")),)),
    ("stats-distillation-below-merge", "half is kept", FAILS, (joint(-5), kept(0.5, 0.1))),
    (
        "stats-distillation-below-merge",
        "one reading is level",
        UNDECIDED,
        (joint(-5, one_mean=0), kept(0.9, 0.9)),
    ),
    (
        "stats-algorithm1",
        "task arithmetic does not decide",
        CORRECTED,
        (recipe(-5, one_Average=5, each_Average=0), listing()),
    ),
    (
        "stats-algorithm1",
        "the mended loop is wrong too",
        UNDECIDED,
        (recipe(5), listed(False, False)),
    ),
    ("stats-algorithm1", "one network is level", UNDECIDED, (recipe(-5, one=0), listing())),
    (
        "stats-table9-unseen-architecture",
        "above with one kind of moments alone",
        CORRECTED,
        (moved(-5, **{LAST: (5, 0)}), moved(-5)),
    ),
    (
        "stats-table9-unseen-architecture",
        "below with one kind of moments alone",
        UNDECIDED,
        (moved(-5, **{FIRST: (-5, 0)}), moved(-5)),
    ),
    (
        "stats-table9-unseen-architecture",
        "above by one interval of its own, not by all together",
        UNDECIDED,
        (moved(-5, **{LAST: 1.2}), moved(-5)),
    ),
    ("stats-transfer-below-average", "level", HOLDS, (moved(0),)),
]

SAID = {
    ("stats-distilled-matches-teacher", CORRECTED): {
        "near": "CA",
        "far": "EU",
        "errors": 5.5 / 0.3,
        "gaps.1": {"task": "EU", "gap": 5.2},
    },
    ("stats-hetero-no-identity-assumption", FAILS): {"count": 4, "earlier.3.work": "AdaMMS"},
    ("stats-first-unseen-architecture", CORRECTED): {"count": 4, "asked": "none"},
    ("stats-hetero-pipeline", CORRECTED): {"shown": f"{ONE}, mean moments", "intervals": 8},
    ("stats-distillation-below-merge", FAILS): {"kept": 60, "least": 40},
    ("stats-algorithm1", CORRECTED): {
        "shown": f"{EACH}; {ONE}",
        "rows.0.leads": "Average +5.0 [+4.0, +6.0]; Task arithmetic +5.0 [+4.0, +6.0]; "
        "free coefficients +5.0 [+4.0, +6.0]",
    },
    ("stats-table9-unseen-architecture", CORRECTED): {
        "shown": f"{LAST}, mean moments; {LAST}, renewed moments",
        "intervals": 16,
        "best": -5,
    },
    ("stats-transfer-below-average", FAILS): {
        "best.value": 5,
        "reading": f"{FIRST}, renewed moments",
        "count": 16,
        "below": 15,
    },
}

ORDERED = set()


def test_the_readings_of_table_9_are_eight_and_like_meets_like():
    assert len(MOVES) == 8 and MEAN + NORMAL not in {way for _, way, _ in MOVES.values()}
    assert [r for r in MOVES if BY_LEARNER in r] == [
        f"one network{form}: {BY_LEARNER}" for form in ("", SIMPLEX)
    ]
    for who, way, rival in MOVES.values():
        assert rival.endswith(NORMAL) == (SIMPLEX in who)
        assert way in (rival, BY_LEARNER)
