"""Made-up tables for the claims about Tables 1 and 4 (page 02d)."""

import pandas as pd
from tables import NAN, packed

from mergebook.ch2.search import BASELINES, KINDS, READINGS
from mergebook.ch2.unseen import HELD_OUT, OUTSIDE
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

B32, L14 = "clip-vit-b-32", "clip-vit-l-14"
RELEASED, PAPER, ALL = READINGS
MERGES = [*BASELINES, *READINGS, *(c for own in READINGS.values() for c in own)]


def answers(suite="a", suites=None, kept=None, **right):
    """1,000 answers to each of two tasks: 700 right, the base 500, ensembles 600.

    `right` has other numbers by name, or by name and suite; `kept` other shares than M-TIES' 0.75,
    TIES' and DARE's 0.8 and 1 for the rest.
    """
    share = {"TIES": 0.8, "DARE": 0.8} | dict.fromkeys(READINGS, 0.75) | (kept or {})
    usual = {"base": 500} | dict.fromkeys(KINDS.values(), 600)
    rows = [
        {
            "suite": s,
            "name": name,
            "right": [packed(number(right, name, s, usual.get(name, 700)), 1000)] * 2,
            "kept": share.get(name, 1.0),
            "validation": NAN if name in ("base", "average") else 70.0 + (name == "TIES"),
        }
        for s in suites or (suite,)
        for name in ("base", *MERGES)
    ]
    rows += [
        {"suite": s, "name": name, "right": [packed(number(right, name, s, 600), 1000)] * 2}
        for s in suites or (suite,)
        for name in KINDS.values()
    ]
    return pd.DataFrame(rows)


def number(right, name, suite, usual):
    return next((right[n] for n in (f"{name}, {suite}", name) if n in right), usual)


def every(reading_right, **more):
    return dict.fromkeys(READINGS, reading_right) | more


def tried(suites=("a",), kept=0.75, labels=2000):
    """A try of each reading, and one of TIES that keeps less and is better."""
    rows = [
        {"suite": s, "name": n, "kept": k, "validation": v, "labels": labels}
        for s in suites
        for n, k, v in [*((r, kept, 70.0) for r in READINGS), ("TIES", 0.2, 71.0)]
    ]
    return pd.DataFrame(rows)


def untuned(**right):
    found = {"average": 500, "TIES": 700} | every(600) | right
    return pd.DataFrame(
        [{"suite": "a", "name": n, "right": [packed(c, 1000)] * 2} for n, c in found.items()]
    )


def alone(own=900, other=300, suite="a"):
    rows = [(suite, "x", 0, (own, other)), (suite, "y", 1, (other, own))]
    return pd.DataFrame(
        [(s, t, i, [packed(c, 1000) for c in counts]) for s, t, i, counts in rows],
        columns=["suite", "experts", "own", "right"],
    )


def both(**counts):
    return pd.concat([alone(**counts, suite=s) for s in "ab"], ignore_index=True)


def pairs(value=10.0, count=4):
    """Averages of two against their experts, ± 5, on two suites."""
    rows = [(s, f"x + {i}", value, value - 5, value + 5) for s in "ab" for i in range(count)]
    return pd.DataFrame(rows, columns=["suite", "pair", "value", "low", "high"])


def scores(apart=0.0, other=0.0):
    names = ["suite", "score", "nodes", "apart"]
    return (pd.DataFrame([("a", "x", 30, apart), ("a", "y", 30, other)], columns=names),)


ENOUGH = answers(suites="ab")
# Five of fourteen merges are worse than experts that answer 600 rightly; nine are no better.
BAD = dict.fromkeys(MERGES[-5:], 400)
FEW = dict.fromkeys(MERGES[-9:], 600)


LONG = [f"TIES, as long as {name}" for name in READINGS]


def unseen(kinds=(OUTSIDE, HELD_OUT), suites=("a",), **right):
    """1,000 answers of each model: 700 right of M-TIES, 600 of the others; or by name and kind."""
    rows = [
        (suite, kind, name, [packed(number(right, name, kind, usual), 1000)])
        for suite in suites
        for kind in kinds
        for name, usual in [
            *((n, 600) for n in ("base", *BASELINES, *LONG)),
            *((n, 700) for n in READINGS),
        ]
    ]
    return (pd.DataFrame(rows, columns=["suite", "kind", "name", "right"]),)


def best(suite):
    return {
        HOLDS: (answers(suite, **{PAPER: 800}),),
        CORRECTED: (answers(suite, **{PAPER: 800, "line 22, random order": 800}),),
        FAILS: (answers(suite, **every(600)),),
        UNDECIDED: (answers("mini8", **{PAPER: 800}),),
    }


CASES = {
    "mloss-table1-b32-best-merge": best(B32),
    "mloss-table1-l14-best-merge": best(L14),
    "mloss-optimal-trade-off": {
        HOLDS: (answers(kept={"TIES": 0.2}, **{PAPER: 800}), tried()),
        FAILS: (answers(suites="ab", kept={"TIES": 0.2}, TIES=800), tried("ab")),
        UNDECIDED: (answers(kept={"TIES": 0.2}), tried()),
    },
    "mloss-ensemble-not-always-above": {
        HOLDS: (answers(suites="ab"),),
        FAILS: (answers(suites="ab", **{"ensemble of features": 800}),),
    },
    "mloss-needs-no-labels": {
        HOLDS: (untuned(**{ALL: 800}), answers(), tried()),
        CORRECTED: (untuned(), answers(), tried()),
        FAILS: (untuned(**every(400)), answers(), tried()),
        UNDECIDED: (untuned(**every(400, **{ALL: 500})), answers(), tried()),
    },
    "mloss-merging-enhances-performance": {
        HOLDS: (ENOUGH, both(own=600), pairs()),
        CORRECTED: (ENOUGH, both(), pairs()),
        FAILS: (ENOUGH, both(own=900, other=800), pairs()),
        UNDECIDED: (ENOUGH, both(own=900, other=500), pairs()),
    },
    "mloss-score-needs-no-labels": {HOLDS: scores(), FAILS: scores(0.1), UNDECIDED: scores(NAN)},
    "mloss-ood-generalisation": {
        HOLDS: unseen(**{RELEASED: 600}),
        FAILS: unseen(TIES=800),
        UNDECIDED: unseen(**{f"TIES, {OUTSIDE}": 800}),
    },
}

NEAR = [
    (
        "mloss-table1-b32-best-merge",
        "another reading is level",
        UNDECIDED,
        (answers(B32, **every(600, **{ALL: 700})),),
    ),
    (
        "mloss-table1-b32-best-merge",
        "below a control alone",
        UNDECIDED,
        (answers(B32, **{"rows, random order": 800}),),
    ),
    (
        "mloss-table1-b32-best-merge",
        "another suite beside it does not count",
        HOLDS,
        (answers(suites=(B32, "a"), **{PAPER: 800, "TIES, a": 900}),),
    ),
    (
        "mloss-table1-l14-best-merge",
        "the other backbone",
        UNDECIDED,
        (answers(B32, **{PAPER: 800}),),
    ),
    (
        "mloss-optimal-trade-off",
        "all others keep more",
        UNDECIDED,
        (answers(TIES=800, DARE=800), tried()),
    ),
    (
        "mloss-optimal-trade-off",
        "an equal share counts",
        FAILS,
        (answers(suites="ab", kept={"DARE": 0.75}, DARE=800), tried("ab")),
    ),
    (
        "mloss-optimal-trade-off",
        "one suite alone does not refute",
        UNDECIDED,
        (answers(kept={"TIES": 0.2}, TIES=800), tried()),
    ),
    (
        "mloss-optimal-trade-off",
        "one reading is not beaten",
        UNDECIDED,
        (answers(kept={"TIES": 0.2}, TIES=800, **{ALL: 800}), tried()),
    ),
    (
        "mloss-optimal-trade-off",
        "a control does not refute",
        UNDECIDED,
        (
            answers(kept={"TIES": 0.2, "rows, all keep k": 0.1}, **{"rows, all keep k": 800}),
            tried(),
        ),
    ),
    (
        "mloss-ensemble-not-always-above",
        "on one suite of two",
        HOLDS,
        (answers(suites="ab", **{"ensemble of features, b": 800}),),
    ),
    (
        "mloss-ensemble-not-always-above",
        "level with one reading",
        FAILS,
        (answers(**{PAPER: 600}),),
    ),
    (
        "mloss-needs-no-labels",
        "only searched settings are better",
        CORRECTED,
        (untuned(), answers(**every(900)), tried()),
    ),
    (
        "mloss-merging-enhances-performance",
        "one suite is not often",
        UNDECIDED,
        (answers(), alone(), pairs()),
    ),
    (
        "mloss-merging-enhances-performance",
        "on their own tasks in one suite alone",
        CORRECTED,
        (
            ENOUGH,
            pd.concat([alone(own=600, suite="a"), alone(own=720, suite="b")], ignore_index=True),
            pairs(),
        ),
    ),
    (
        "mloss-merging-enhances-performance",
        "most merges are enough",
        HOLDS,
        (answers(suites="ab", **BAD), both(own=600), pairs()),
    ),
    (
        "mloss-merging-enhances-performance",
        "and few are not",
        CORRECTED,
        (answers(suites="ab", **FEW), both(own=600), pairs()),
    ),
    (
        "mloss-merging-enhances-performance",
        "pairs that are no better",
        CORRECTED,
        (ENOUGH, both(own=600), pairs(0)),
    ),
    (
        "mloss-merging-enhances-performance",
        "pairs that are better one by one alone",
        CORRECTED,
        (ENOUGH, both(own=600), pairs(5.5)),
    ),
    ("mloss-score-needs-no-labels", "the second score", FAILS, scores(0, 1e-3)),
    ("mloss-score-needs-no-labels", "rounding", HOLDS, scores(1e-8)),
    (
        "mloss-needs-no-labels",
        "above for one interval alone",
        UNDECIDED,
        (untuned(**every(502), average=500), answers(), tried()),
    ),
    (
        "mloss-table1-b32-best-merge",
        "above for one interval alone",
        UNDECIDED,
        (answers(B32, **{PAPER: 703}),),
    ),
    ("mloss-ood-generalisation", "below for one interval alone", UNDECIDED, unseen(**every(595))),
    (
        "mloss-ood-generalisation",
        "a shorter TIES does as well",
        UNDECIDED,
        unseen(**dict.fromkeys(LONG, 700)),
    ),
    ("mloss-ood-generalisation", "below the base alone", UNDECIDED, unseen(base=800)),
    ("mloss-ood-generalisation", "one kind alone", UNDECIDED, unseen((OUTSIDE,))),
    (
        "mloss-ood-generalisation",
        "below on one kind alone",
        UNDECIDED,
        unseen((HELD_OUT,), TIES=800),
    ),
    ("mloss-ood-generalisation", "nothing unseen", UNDECIDED, unseen(())),
    (
        "mloss-ood-generalisation",
        "one reading is not below",
        UNDECIDED,
        unseen(TIES=800, **{PAPER: 800}),
    ),
]

SAID = {
    ("mloss-table1-b32-best-merge", HOLDS): {
        "rows.1": {"suite": B32, "reading": PAPER},
        "rows.1.least.value": 10,
        "rows.1.control.value": 10,
        "suites.0.best": PAPER,
    },
    ("mloss-table1-b32-best-merge", CORRECTED): {"rows.1.control.value": 0},
    ("mloss-optimal-trade-off", FAILS): {
        "rows.0": {"kept": 75, "passed": 100},
        "rows.0.said": "TIES keeps 20 %, +10.0 [+8.7, +11.3] points",
    },
    ("mloss-optimal-trade-off", "all others keep more"): {"rows.0.said": "no other keeps less"},
    ("mloss-ensemble-not-always-above", HOLDS): {
        "suites.1": {"suite": "b", "features": 60, "confident": 60},
        "suites.1.ties.value": -10,
    },
    ("mloss-needs-no-labels", CORRECTED): {
        "rows.2": {"reading": ALL},
        "rows.2.over_ties.value": -10,
        "rows.2.gain.value": 10,
        "rows.2.tuned.value": 0,
        "labels": 2000,
    },
    ("mloss-merging-enhances-performance", CORRECTED): {
        "suites.1": {"merge": "TIES", "won": 0, "tasks": 2, "merges": 14, "aboves": 14},
        "suites.1.own_aboves": 0,
        "pairs.0": {"pairs": 4, "above": 4, "below": 0},
        "suites.0.on_own.value": -20,
        "suites.0.least.value": 10,
    },
    ("mloss-ood-generalisation", UNDECIDED): {
        "rows.3": {"kind": OUTSIDE, "reading": RELEASED},
        "rows.3.TIES.value": -10,
        "rows.3.long.value": 10,
    },
}

ORDERED = set()
