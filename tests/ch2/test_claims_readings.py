"""Made-up tables for the claims about Algorithm 1 (page 02b)."""

import pandas as pd
import torch
from tables import NAN, frame

from mergebook import studies
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def nodes(rates=(0.8, 0.6, 0.6, 0.5), keep=0.8, spread=0.3, losses=(1, 2, 2, 3)):
    """A layer of four nodes of which two are equal; its mean rate is not k - e/2 by chance."""
    layer = frame(layer="a", loss=losses, rate=rates, keep=keep, spread=spread)
    return (layer,)


ALIKE = nodes((0.8, 0.65, 0.65, 0.5))


def errors(worst=1e-7):
    rows = [("paper", "e = 0", 0.0), ("paper", "order", 1e-8), ("released", "order", worst)]
    return (pd.DataFrame(rows, columns=["reading", "invariant", "error"]),)


MODELS = [
    ("rows", "merged so far"),
    ("rows", "shared input"),
    ("rows", "own input"),
    ("rows", "released"),
    ("rows", "even"),
    ("line 22", "merged so far"),
    ("line 22 everywhere", "merged so far"),
    ("M-DARE", "released"),
    ("M-DARE", "even"),
    ("base", ""),
]


def answers(suites=("a", "b"), alike=(), **right):
    """1,000 answers of each model on each suite, 700 of them right; the base has 500.

    On the suites `alike` models that are as good answer alike.
    `right` has other numbers, by method, by `method, order`, or by one of these and a suite.
    """
    rows = []
    for suite in suites:
        for method, order in MODELS:
            names = (f"{method}, {order}, {suite}", f"{method}, {order}", method)
            count = next((right[n] for n in names if n in right), 500 if method == "base" else 700)
            # One answer is another one, so that no two models answer alike.
            begin = 0 if suite in alike else int(order != "merged so far")
            found = (torch.arange(1000) - begin) % 1000 < count
            rows.append((suite, method, order, [studies.pack_answers({"": found})[""]]))
    return pd.DataFrame(rows, columns=["suite", "method", "order", "right"])


def made(disjoint=0.0, weighted=0.4):
    return frame(increment=["disjoint", "weighted"], error=[disjoint, weighted])


COSTLY = {"line 22": 650, "line 22 everywhere": 600}


def likeness(own=0.3, merged=0.98, sample=0.97, apart=0.01, layers=3):
    """Each layer's ranks by own inputs are `apart` from the one's before."""
    rows = [
        (name, draw, layer, value + (name == "own input") * apart * (layer - 1), suite)
        for suite in "ab"
        for layer in range(layers)
        for name, draw, value in (
            ("own input", 0, own),
            ("merged so far", 0, merged),
            ("another sample", 1, sample),
            ("another sample", 2, 0.99),
        )
    ]
    return pd.DataFrame(rows, columns=["ranked", "draw", "layer", "correlation", "suite"])


def points(*relations):
    names = [f"p{i}" for i in range(len(relations))]
    return frame(point=names, relation=relations, code="so")


CASES = {
    "mloss-alg1-keep-range": {
        HOLDS: ALIKE,
        FAILS: nodes((0.5, 0.65, 0.65, 0.8)),
        UNDECIDED: nodes((0.8, NAN, 0.65, 0.5)),
    },
    "mloss-alg1-mties": {HOLDS: errors(), FAILS: errors(0.01), UNDECIDED: errors(NAN)},
    "mloss-alg1-merge-increment": {
        HOLDS: (made(), answers(**{"line 22": 701, "line 22 everywhere": 600})),
        CORRECTED: (made(), answers(**COSTLY)),
        FAILS: (made(disjoint=0.1), answers(**COSTLY)),
        UNDECIDED: (made(disjoint=NAN), answers(**COSTLY)),
    },
    "mloss-alg1-layer-sync": {
        HOLDS: (likeness(), answers(**{"rows, own input": 650})),
        CORRECTED: (likeness(), answers()),
        FAILS: (likeness(own=0.99), answers()),
        UNDECIDED: (likeness(own=0.99), answers(**{"rows, own input, a": 650})),
    },
    "mloss-fig1-overview": {
        HOLDS: (answers(),),
        FAILS: (answers(**{"M-DARE, released, b": 400}),),
        UNDECIDED: (answers(**{"M-DARE, released, b": 501}),),
    },
    "mloss-code-matches-paper": {
        HOLDS: (points("agrees", "differs"), answers(**COSTLY)),
        FAILS: (points("agrees", "silent"), answers()),
        UNDECIDED: (points(), answers()),
    },
}

NEAR = [
    ("mloss-alg1-keep-range", "out of the interval", FAILS, nodes((0.85, 0.65, 0.65, 0.45))),
    ("mloss-alg1-keep-range", "equal losses apart", FAILS, nodes((0.8, 0.7, 0.6, 0.5))),
    ("mloss-alg1-keep-range", "another mean", FAILS, nodes()),
    (
        "mloss-alg1-merge-increment",
        "no cost in one suite",
        UNDECIDED,
        (made(), answers(**COSTLY, **{"line 22, merged so far, a": 700})),
    ),
    (
        "mloss-alg1-merge-increment",
        "both increments are TIES",
        FAILS,
        (made(weighted=0.0), answers(**COSTLY)),
    ),
    (
        "mloss-alg1-layer-sync",
        "clear in one suite alone",
        CORRECTED,
        (likeness(), answers(**{"rows, own input, a": 650})),
    ),
    ("mloss-alg1-layer-sync", "one layer", UNDECIDED, (likeness(layers=1), answers())),
    ("mloss-alg1-layer-sync", "in some layers alone", UNDECIDED, (likeness(apart=0.6), answers())),
    (
        "mloss-alg1-layer-sync",
        "the same answers in one suite",
        FAILS,
        (likeness(own=0.99), answers(alike="b")),
    ),
    (
        "mloss-alg1-merge-increment",
        "a cost that is clear for one interval alone",
        UNDECIDED,
        (made(), answers(**COSTLY, **{"line 22, merged so far, a": 695})),
    ),
    (
        "mloss-alg1-merge-increment",
        "the same answers in one suite",
        HOLDS,
        (made(), answers(alike="b", **{"line 22, merged so far, a": 701})),
    ),
]

SAID = {
    ("mloss-alg1-merge-increment", CORRECTED): {
        "rows.0": {"suite": "a", "reading": "line 22"},
        "rows.0.cost.value": -5,
        "rows.1.cost.value": -10,
    },
    ("mloss-alg1-layer-sync", CORRECTED): {
        "suites.0": {"merged": 0.98, "apart": 0.3, "sample": 0.97}
    },
    ("mloss-code-matches-paper", HOLDS): {
        "differs": 1,
        "agrees": 1,
        "names": "p1",
        "suites.1.cost.value": -5,
    },
    ("mloss-fig1-overview", HOLDS): {
        "rows.1": {"name": "M-DARE", "percent": 70},
        "rows.1.over_base.value": 20,
    },
}

ORDERED = set()
