"""Made-up tables for the claims about what the learner reads (pages 03b and 03i)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.features import ALL, PATH, QUESTIONS, RANKS, SHUFFLED
from mergebook.ch3.guidance import CONTROLS, DEALT, EACH, NO_NETWORK, NOTHING, ONE, RANDOM, SCALES
from mergebook.ch3.students_merged import NESTED, NETWORKS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

CLEAR, SLIGHT, LEVEL = (1.0, 0.6), (1.0, 1.2), (0.0, 1.0)  # a value, half of its interval
AGAINST, BARELY, BARE = (-2.0, 1.0), (-1.0, 0.8), (1.0, 0.8)  # two are not clear once corrected


def interval(value, half):
    """An interval, and a corrected one that is half as wide again."""
    bounds = {"value": value, "low": value - half, "high": value + half}
    return bounds | {"all_low": value - 1.5 * half, "all_high": value + 1.5 * half}


def leads(one=None, each=None, usual=LEVEL):
    """Statistics over each control; `one` and `each` give what is not as usual, by control."""
    own = [n for n in CONTROLS if not n.startswith("statistics")]
    rows = [
        {"reading": reading, "what": "statistics", "over": n}
        | interval(*(found or {}).get(n, usual))
        for reading, names, found in ((ONE, CONTROLS, one), (EACH, own, each))
        for n in names
    ]
    return pd.DataFrame(rows)


def new(true=LEVEL, both=LEVEL, shuffled=LEVEL):
    """Gains on new experts, of what reads statistics in two scales and of statistics shuffled."""
    rows = [
        {"what": n, "read": 80.0, "mean": 79.0, "equal": 99.0, "differ": 0.1} | interval(*found)
        for n, found in zip(("statistics", SCALES[0], DEALT), (true, both, shuffled))
    ]
    return pd.DataFrame(rows)


def apart(weights=(2.0, 0.5), changes=(3.0, 0.5)):
    rows = [
        {"kind": kind} | {"value": v, "low": v - half, "high": v + half}
        for kind, (v, half) in {"weights": weights, "changes": changes}.items()
    ]
    return pd.DataFrame(rows)


def rhos(weights=(0.0, 0.1), changes=(0.0, 0.1), first=None):
    """Two statistics a kind; what they are over half of the ceiling, and half its interval."""
    rows = []
    for kind, (v, half) in {"weights": weights, "changes": changes}.items():
        for name in ("mean", "variance"):
            over, wide = first if first and kind == "weights" and name == "mean" else (v, half)
            both = interval(over, wide / 1.5)
            rho = {"value": 0.2 + over, "low": 0.1, "high": 0.3, "over": over, "whole": over - 0.1}
            both = {name: both[name] for name in ("all_low", "all_high")}
            rows.append({"kind": kind, "statistic": name} | rho | both)
    return pd.DataFrame(rows)


CEILINGS = pd.DataFrame(
    [
        {"coefficients": name, "value": v, "low": v - 0.1, "high": v + 0.1}
        for name, v in {"with the best": 0.4, "with each other": 0.5}.items()
    ]
)


def sizes(one=LEVEL, each=LEVEL, early=(0.0, 0.1), half=0.5, deeper_only=False):
    """Four layers and no network over two layers; their leads, and the deeper one's early loss."""
    rows = []
    for reading, (v, _) in ((ONE, one), (EACH, each)):
        for what in ("four layers", NO_NETWORK):
            lead = v if what == "four layers" or not deeper_only else 0.0
            soon = {"early": early[0], "early_low": early[0] - early[1]}
            soon |= {"early_high": early[0] + early[1]}
            rows.append(
                {"reading": reading, "tasks": "few", "what": what, "numbers": 8}
                | interval(lead, half)
                | soon
            )
    return pd.DataFrame(rows)


def asked(about, one=LEVEL, each=LEVEL, **found):
    """The comparisons of a claim; `found` by a number of a row, in both readings, such as `at0`."""
    rows = [
        {"reading": reading, "question": question, "what": a, "over": b}
        | interval(*found.get(f"at{i}", usual))
        for reading, usual in ((ONE, one), (EACH, each))
        for i, (question, a, b) in enumerate(QUESTIONS[about])
    ]
    return pd.DataFrame(rows)


def ranks(one=LEVEL, each=LEVEL, other=None):
    """Rank 3 over the others; `other` is its lead over rank 0 and over random numbers."""
    rows = [
        {"reading": reading, "question": f"rank {n}", "what": "3", "over": n}
        | interval(*((other or usual) if n in ("0", "random") else usual))
        for reading, usual in ((ONE, one), (EACH, each))
        for n in ("1", "2", "4", "5", "0", "random")
    ]
    return pd.DataFrame(rows)


def students(one=CLEAR, each=CLEAR):
    """All statistics minus fewer on another architecture; a lead for each kind of learner."""
    rows = [
        {"network": network, "reads": reads} | interval(*found)
        for network, found in zip(NETWORKS, (one, each))
        for reads in NESTED
    ]
    return pd.DataFrame(rows)


STUDENTS = students()
NORMS = pd.DataFrame({"task": ["a", "b"], "error": [1e-16, 1e-15]})
GUIDES, TELL = "stats-guidance-matters", "stats-statistics-identify-tasks"
TWO, TABLE5 = "stats-two-layers-suffice", "stats-table5-feature-ablation"
NORM, SINGULAR = "stats-magnitude-is-redundant", "stats-singular-values-gain"
TABLE6 = "stats-table6-rank-sweep"
EVERY = dict.fromkeys(CONTROLS, CLEAR)
NONE = {NOTHING: CLEAR, DEALT: CLEAR}
ALMOST = {NOTHING: CLEAR, DEALT: BARE}

CASES = {
    GUIDES: {
        HOLDS: (leads(EVERY, EVERY), new(both=CLEAR)),
        CORRECTED: (leads(NONE), new()),
        FAILS: (leads({NO_NETWORK: AGAINST}, {RANDOM: AGAINST}), new(both=CLEAR)),
        UNDECIDED: (leads(), new()),
    },
    TELL: {
        HOLDS: (apart(), rhos((0.2, 0.1), (0.2, 0.1)), CEILINGS),
        CORRECTED: (apart(), rhos(first=(0.2, 0.1)), CEILINGS),
        FAILS: (apart(), rhos((-0.2, 0.1), (-0.2, 0.1)), CEILINGS),
        UNDECIDED: (apart(), rhos(), CEILINGS),
    },
    TWO: {
        HOLDS: (sizes(early=(-0.2, 0.1)),),
        CORRECTED: (sizes(each=(2, 0)),),
        FAILS: (sizes((2, 0), (2, 0)),),
        UNDECIDED: (sizes((0.8, 0), (0.8, 0)),),
    },
    TABLE5: {
        HOLDS: (asked("features", CLEAR, CLEAR), STUDENTS),
        CORRECTED: (asked("features", CLEAR, at2=LEVEL), STUDENTS),
        FAILS: (asked("features", at4=AGAINST), STUDENTS),
        UNDECIDED: (asked("features"), STUDENTS),
    },
    NORM: {
        HOLDS: (asked("magnitude", at0=CLEAR), NORMS),
        CORRECTED: (asked("magnitude", at1=CLEAR), NORMS),
        FAILS: (asked("magnitude", at0=AGAINST), NORMS),
        UNDECIDED: (asked("magnitude"), NORMS),
    },
    SINGULAR: {
        HOLDS: (asked("singular values", CLEAR, CLEAR), STUDENTS),
        CORRECTED: (asked("singular values", CLEAR), STUDENTS),
        FAILS: (asked("singular values", at0=AGAINST), STUDENTS),
        UNDECIDED: (asked("singular values"), STUDENTS),
    },
    TABLE6: {
        HOLDS: (ranks(CLEAR, CLEAR),),
        CORRECTED: (ranks(CLEAR),),
        FAILS: (ranks(AGAINST, AGAINST),),
        UNDECIDED: (ranks(),),
    },
}

NEAR = [
    (GUIDES, "wrong cells are worse, uncorrected", UNDECIDED, (leads(ALMOST), new())),
    (GUIDES, "one reading alone", CORRECTED, (leads(EVERY), new(both=CLEAR))),
    (GUIDES, "nothing on new experts", CORRECTED, (leads(EVERY, EVERY), new())),
    (
        GUIDES,
        "a gain of what is shuffled alone",
        CORRECTED,
        (leads(EVERY, EVERY), new(shuffled=CLEAR)),
    ),
    (GUIDES, "all but one input", CORRECTED, (leads(EVERY | {RANDOM: SLIGHT}), new(CLEAR))),
    (GUIDES, "a constant alone", UNDECIDED, (leads({NOTHING: CLEAR}), new())),
    (GUIDES, "one network a layer alone", CORRECTED, (leads(None, EVERY), new())),
    (GUIDES, "behind in one reading", UNDECIDED, (leads({NO_NETWORK: AGAINST}), new())),
    (
        GUIDES,
        "behind, uncorrected",
        UNDECIDED,
        (leads({NO_NETWORK: BARELY}, {NO_NETWORK: BARELY}), new()),
    ),
    (
        GUIDES,
        "behind and ahead",
        CORRECTED,
        (leads(NONE | {NO_NETWORK: AGAINST}, {RANDOM: AGAINST}), new()),
    ),
    (GUIDES, "no numbers", UNDECIDED, (leads(usual=(NAN, NAN)), new((NAN, NAN)))),
    (TELL, "changes alone", CORRECTED, (apart((0.5, 0.2)), rhos(changes=(0.2, 0.1)), CEILINGS)),
    (TELL, "one kind below half", UNDECIDED, (apart(), rhos((-0.2, 0.1)), CEILINGS)),
    (
        TELL,
        "one statistic may reach it",
        UNDECIDED,
        (apart(), rhos((-0.2, 0.1), (-0.2, 0.1), first=(-0.1, 0.2)), CEILINGS),
    ),
    (
        TELL,
        "tasks are not apart",
        FAILS,
        (apart((0.5, 0.2), (0.5, 0.2)), rhos(first=(0.2, 0.1)), CEILINGS),
    ),
    (TELL, "tasks may be apart", UNDECIDED, (apart((1.2, 0.5)), rhos(first=(0.2, 0.1)), CEILINGS)),
    (TELL, "no numbers", UNDECIDED, (apart((NAN, NAN)), rhos((NAN, NAN), (NAN, NAN)), CEILINGS)),
    (TWO, "in one reading", CORRECTED, (sizes(each=(2, 0), early=(-0.2, 0.1)),)),
    (TWO, "one reading alone leads", UNDECIDED, (sizes((2, 0), (0.8, 0)),)),
    (TWO, "more than printed, uncorrected", UNDECIDED, (sizes((1, 0), (1, 0)),)),
    (TWO, "a free one may be better", UNDECIDED, (sizes(half=1.1),)),
    (TWO, "no numbers", UNDECIDED, (sizes((NAN, 0), (NAN, 0)),)),
    (TABLE5, "one network a layer alone", CORRECTED, (asked("features", each=CLEAR), STUDENTS)),
    (
        TABLE5,
        "one network a layer alone, uncorrected",
        UNDECIDED,
        (asked("features", each=BARE), STUDENTS),
    ),
    (
        TABLE5,
        "magnitude no more than noise",
        UNDECIDED,
        (asked("features", CLEAR, at4=LEVEL), STUDENTS),
    ),
    (
        TABLE5,
        "magnitude adds, uncorrected",
        UNDECIDED,
        (asked("features", BARE, at2=LEVEL), STUDENTS),
    ),
    (TABLE5, "below, uncorrected", UNDECIDED, (asked("features", at4=BARELY), STUDENTS)),
    (TABLE5, "below in one reading", UNDECIDED, (asked("features", AGAINST), STUDENTS)),
    (TABLE5, "not on students", CORRECTED, (asked("features", CLEAR), students(LEVEL))),
    (TABLE5, "no numbers", UNDECIDED, (asked("features", (NAN, NAN), (NAN, NAN)), STUDENTS)),
    (NORM, "missed in one reading", CORRECTED, (asked("magnitude", each=CLEAR), NORMS)),
    (NORM, "missed in one reading, uncorrected", UNDECIDED, (asked("magnitude", BARE), NORMS)),
    (NORM, "missed in both, uncorrected", HOLDS, (asked("magnitude", BARE, BARE), NORMS)),
    (NORM, "it helps, uncorrected", UNDECIDED, (asked("magnitude", at1=BARE), NORMS)),
    (NORM, "without it better, uncorrected", UNDECIDED, (asked("magnitude", at0=BARELY), NORMS)),
    (NORM, "without it better once", UNDECIDED, (asked("magnitude", AGAINST), NORMS)),
    (NORM, "no numbers", UNDECIDED, (asked("magnitude", (NAN, NAN), (NAN, NAN)), NORMS)),
    (
        SINGULAR,
        "as good when shuffled",
        UNDECIDED,
        (asked("singular values", CLEAR, CLEAR, at1=LEVEL), STUDENTS),
    ),
    (
        SINGULAR,
        "better of changes",
        HOLDS,
        (asked("singular values", CLEAR, CLEAR, at2=AGAINST), STUDENTS),
    ),
    (SINGULAR, "not on students", UNDECIDED, (asked("singular values", CLEAR), students(LEVEL))),
    (SINGULAR, "one reading, uncorrected", UNDECIDED, (asked("singular values", BARE), STUDENTS)),
    (SINGULAR, "behind in one reading", UNDECIDED, (asked("singular values", AGAINST), STUDENTS)),
    (
        SINGULAR,
        "shuffled not asked",
        UNDECIDED,
        (asked("singular values", CLEAR).iloc[[0]], STUDENTS),
    ),
    (TABLE6, "no better than random", HOLDS, (ranks(CLEAR, CLEAR, other=AGAINST),)),
    (TABLE6, "one reading, uncorrected", UNDECIDED, (ranks(each=BARE),)),
    (TABLE6, "behind rank 0 alone", UNDECIDED, (ranks(other=AGAINST),)),
    (TABLE6, "behind, uncorrected", UNDECIDED, (ranks(BARELY, BARELY),)),
    (TABLE6, "behind in one reading", UNDECIDED, (ranks(AGAINST),)),
    (TABLE6, "no numbers", UNDECIDED, (ranks((NAN, NAN), (NAN, NAN)),)),
]

SAID = {
    (GUIDES, CORRECTED): {
        "helped": ONE,
        "open": "; ".join(n for n in CONTROLS if n not in NONE),
        "gain": "not shown",
        "intervals": f"{ONE}: 6, {EACH}: 4",
        "rows.5": {"reading": ONE, "over": NOTHING, "value": 1},
        "new.1.what": SCALES[0],
    },
    (TELL, CORRECTED): {
        "kinds": "weights",
        "best.0": {"kind": "weights", "statistic": "mean"},
        **{"statistics": 2, "short": 3, "all": 4},
    },
    (TWO, CORRECTED): {"enough": ONE, "deeper.1": {"reading": EACH, "value": 2}},
    (TABLE5, "one network a layer alone"): {"some": EACH, "whole": EACH},
    (TABLE5, CORRECTED): {
        "some": ONE,
        "whole": "no reading",
        "rows.1.what": PATH[2],
        "intervals": f"{ONE}: 6, {EACH}: 6",
    },
    (NORM, CORRECTED): {
        "helped": f"{ONE} and {EACH}",
        "missed": "no reading",
        "exact": True,
        "rows.0.what": ALL,
    },
    (SINGULAR, CORRECTED): {"some": ONE},
    (TABLE6, CORRECTED): {"some": ONE},
    (SINGULAR, HOLDS): {"rows.1": {"over": SHUFFLED, "value": 1}, "students.5.reads": NESTED[2]},
    (TABLE6, HOLDS): {"rows.0": {"over": str(RANKS[0]), "value": 1}},
}

ORDERED = set()
