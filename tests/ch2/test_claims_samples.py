"""Made-up tables for the claims about inputs, draws, layers and settings (page 02e)."""

import pandas as pd
import torch
from tables import NAN, frame

from mergebook import studies
from mergebook.ch2.claims.samples import FIG3
from mergebook.ch2.models import UNEVEN
from mergebook.ch2.printed import MERGES
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SIZES = {2: 3, 16: 20, 64: 3, 128: 1}  # inputs a task, and how many draws
# Where the right answers begin: models that are as good do not all answer alike.
BEGIN = {"16 inputs": 0, "128 inputs": 1, "2 inputs": 2, "64 inputs": 2}
MODELS = [(f"{n} inputs", "rows", "released", n, "all", draws) for n, draws in SIZES.items()]
MODELS += [
    ("random", "rows", "random", 16, "all", 20),
    ("masks", "DARE", "", 16, "all", 20),
    ("uneven", "rows", f"released{UNEVEN}", 16, "all", 1),
    ("first, last", "rows", "released", 16, "first, last", 1),
    ("last", "rows", "released", 16, "last", 1),
    ("middle", "rows", "released", 16, "middle", 1),
    ("none", "TIES by tensor", "", 16, "none", 1),
]


def answered(begin, right):
    return studies.pack_answers({"": (torch.arange(1000) - begin) % 1000 < right})[""]


def table1(lead):
    """Averages of five merges on two backbones: M-TIES leads by `lead`, and by twice as much."""
    rows = [
        (backbone, name, 70.0 + (name == "M-TIES") * times * lead)
        for times, backbone in enumerate(("L", "B"), 1)
        for name in MERGES
    ]
    return pd.DataFrame(rows, columns=["Backbone", "Method", "Avg"])


def answers(right=None, swing=None, draws=None, alike=(), begin=None):
    """1,000 answers of each model on two suites, 700 of them right, a few of them other ones.

    On the suites `alike` all are the same; `begin` has other places than `BEGIN`. `right` has other
    numbers, by name, or by name and suite. `swing` is added to every even draw and taken from every
    odd one; `draws` are other numbers of draws.
    """
    right, swing, draws = right or {}, swing or {}, draws or {}
    rows = []
    for suite in "ab":
        for name, method, order, samples, scheduled, count in MODELS:
            own = f"{name}, {suite}"
            middle = right.get(own, right.get(name, 700))
            for draw in range(draws.get(name, count)):
                off = swing.get(own, swing.get(name, 0)) * (-1) ** draw
                first = (BEGIN | (begin or {})).get(name, 1)
                found = answered(0 if suite in alike else first, middle + off)
                rows.append((suite, method, order, samples, draw, scheduled, [found]))
    names = ["suite", "method", "order", "samples", "draw", "scheduled", "right"]
    return pd.DataFrame(rows, columns=names)


def printed(average=71.0):
    return frame(**{"Sample Size": [128, 256], "x": [70.0, 70], "y": [72.0, 72], "Avg": average})


def agreement(fewest=0.8, other=0.97):
    rows = [(s, n, fewest if n == 2 else other) for s in "ab" for n in SIZES]
    return pd.DataFrame(rows, columns=["suite", "inputs", "correlation"])


def drawn(batches=8, size=128):
    return frame(batches=[batches], size=[size])


def moved(ties=0.0):
    rows = [(s, m, ties if m == "TIES" else 0.1) for s in "ab" for m in ("TIES", "DARE")]
    return pd.DataFrame(rows, columns=["suite", "model", "moved"])


MINE = "16 inputs"


def logs(*relations):
    return frame(relation=list(relations), code="so")


def layers(named=(4, 0.9, 0.6), others=(1, 0.9, 0.6), suites="ab", count=2):
    """Rates, share moved and share trimmed of one named layer and of `count` others."""
    rows = [(s, i == 0, *(others if i else named)) for s in suites for i in range(1 + count)]
    return pd.DataFrame(rows, columns=["suite", "named", "rates", "moved", "trimmed"])


def profile(suite=FIG3, first=1.3, late=1.2, relative=0.8, noise=0.01, draws=3):
    """Five layers; late is the fourth. The output layer is high and does not count."""
    rows = [
        (suite, draw, kind, layer, value + noise * draw)
        for draw in range(draws)
        for kind, ends in {"raw": (first, late), "relative": (relative, relative)}.items()
        for layer, value in enumerate((ends[0], 1.0, 1.0, ends[1], 3.0))
    ]
    return pd.DataFrame(rows, columns=["suite", "draw", "kind", "layer", "ratio"])


FREE, SMALL, LARGE = (-0.5, 0.5, 0.0, 0.4, -0.4), (0.9, 1.0, 1.1, 1.0, 0.9), (9.0, 10, 11, 10, 9)


def grids(regrets, own=(60.0, 65, 70, 75, 80)):
    """Two settings: narrow families choose k = 0.2, deep ones 0.8, which on test gives `own`."""
    rows = []
    for world, (regret, best) in enumerate(zip(regrets, own)):
        rows += [
            (world, 32, 3, 0.2, 0.0, 50.0, 50.0),
            (world, 32, 3, 0.8, 0.0, 40.0, 90.0),
            (world, 64, 4, 0.2, 0.0, 40.0, best - regret),
            (world, 64, 4, 0.8, 0.0, 50.0, best),
        ]
    names = ["world", "width", "layers", "k", "e", "val", "test"]
    return pd.DataFrame(rows, columns=names)


def accuracies():
    """k moves accuracy by 2 points, e by 0.2."""
    rows = [(k, e, 70 + 10 * k + 2 * e) for k in (0.6, 0.8) for e in (0.0, 0.1)]
    return pd.DataFrame(rows, columns=["k", "e", "accuracy"])


EVEN_OWN = (70.0, 70.1, 70, 70.1, 70)

CASES = {
    "mloss-table2-sample-size": {
        HOLDS: (printed(), answers(), agreement()),
        FAILS: (printed(), answers({"64 inputs, b": 600}), agreement()),
        UNDECIDED: (printed(), answers({"16 inputs": 696}), agreement()),
    },
    "mloss-stability-over-draws": {
        HOLDS: (table1(3), answers(swing={MINE: 5})),
        FAILS: (table1(3), answers(swing={MINE: 40})),
        UNDECIDED: (table1(3), answers(swing={MINE: 14})),
    },
    "mloss-summary-stability-across-seeds": {
        HOLDS: (answers(swing={"none": 40, MINE: 5}, draws={"none": 20}), moved(0.1)),
        CORRECTED: (answers(swing={MINE: 5, "masks": 40}), moved()),
        FAILS: (answers(swing={MINE: 40, "masks": 5}), moved()),
        UNDECIDED: (answers(swing={"none": 14, MINE: 14}, draws={"none": 20}), moved(0.1)),
    },
    "mloss-128-samples": {
        HOLDS: (drawn(1), answers()),
        CORRECTED: (drawn(), answers()),
        FAILS: (drawn(), answers({"uneven": 600})),
        UNDECIDED: (drawn(), answers({"uneven": 704})),
    },
    "mloss-few-layer-equivalent": {
        HOLDS: (answers(),),
        FAILS: (answers({"last": 600}),),
        UNDECIDED: (answers({"last": 704}),),
    },
    "mloss-flat-tables": {
        HOLDS: (table1(3), answers(swing={"random": 2})),
        FAILS: (table1(3), answers({"none": 600})),
        UNDECIDED: (table1(3), answers({"none": 704}, swing={"random": 2})),
    },
    "mloss-summary-few-layer-wording": {
        HOLDS: (layers(others=(1, 0.9, 0.0)),),
        CORRECTED: (layers(),),
        FAILS: (layers(named=(1, 0.9, 0.6)),),
        UNDECIDED: (layers(count=0),),
    },
    "mloss-fig3-layer-profile": {
        HOLDS: (profile(),),
        FAILS: (profile(first=0.7),),
        UNDECIDED: (profile("mini8"),),
    },
    "mloss-hyperparameters-transfer": {
        HOLDS: (logs("agrees"),),
        FAILS: (logs("differs"),),
        UNDECIDED: (logs(),),
    },
    "mloss-settings-carry-over": {
        HOLDS: (grids(SMALL), accuracies()),
        FAILS: (grids(LARGE, EVEN_OWN), accuracies()),
    },
}

NEAR = [
    (
        "mloss-table2-sample-size",
        "a wrong average",
        FAILS,
        (printed(71.01), answers(), agreement()),
    ),
    (
        "mloss-table2-sample-size",
        "other accuracy from two inputs a task",
        HOLDS,
        (printed(), answers({"2 inputs": 600}), agreement()),
    ),
    (
        "mloss-table2-sample-size",
        "other ranks",
        UNDECIDED,
        (printed(), answers(), agreement(other=0.85)),
    ),
    (
        "mloss-table2-sample-size",
        "no ranks",
        UNDECIDED,
        (printed(), answers(), agreement(other=NAN)),
    ),
    (
        "mloss-table2-sample-size",
        "the same answers in one suite",
        HOLDS,
        (printed(), answers(alike="b"), agreement()),
    ),
    (
        "mloss-table2-sample-size",
        "clearly other without a correction for four intervals",
        UNDECIDED,
        (printed(), answers({"64 inputs, b": 691}), agreement()),
    ),
    ("mloss-stability-over-draws", "one draw", UNDECIDED, (table1(3), answers(draws={MINE: 1}))),
    ("mloss-stability-over-draws", "a larger lead", HOLDS, (table1(5), answers(swing={MINE: 14}))),
    (
        "mloss-stability-over-draws",
        "draws of one suite change no answer",
        HOLDS,
        (table1(3), answers(swing={f"{MINE}, a": 5})),
    ),
    (
        "mloss-stability-over-draws",
        "one answer is worth as much as the lead",
        UNDECIDED,
        (table1(0.15), answers()),
    ),
    (
        "mloss-stability-over-draws",
        "unsteady in one suite",
        FAILS,
        (table1(3), answers(swing={f"{MINE}, b": 40})),
    ),
    ("mloss-summary-stability-across-seeds", "nothing varies", UNDECIDED, (answers(), moved())),
    (
        "mloss-summary-stability-across-seeds",
        "steadier than DARE, where no draw changes an answer",
        CORRECTED,
        (answers(swing={f"{MINE}, a": 5, "masks": 40}), moved()),
    ),
    (
        "mloss-summary-stability-across-seeds",
        "as steady as DARE",
        UNDECIDED,
        (answers(swing={MINE: 5, "masks": 5}), moved()),
    ),
    (
        "mloss-summary-stability-across-seeds",
        "TIES draws, once",
        UNDECIDED,
        (answers(), moved(0.1)),
    ),
    (
        "mloss-128-samples",
        "the same answers in one suite",
        CORRECTED,
        (drawn(), answers(alike="b")),
    ),
    (
        "mloss-128-samples",
        "alike, but not for all four intervals together",
        UNDECIDED,
        (drawn(), answers(begin={"uneven": 2})),
    ),
    (
        "mloss-128-samples",
        "which the sentence itself does not need",
        HOLDS,
        (drawn(1), answers(begin={"uneven": 2})),
    ),
    (
        "mloss-128-samples",
        "128 drawn, and too few",
        FAILS,
        (drawn(1), answers({"128 inputs, a": 800})),
    ),
    (
        "mloss-few-layer-equivalent",
        "other sets do not decide",
        HOLDS,
        (answers({"middle": 600, "none": 600}),),
    ),
    ("mloss-few-layer-equivalent", "the same answers", HOLDS, (answers(alike="b"),)),
    ("mloss-few-layer-equivalent", "in one suite", FAILS, (answers({"first, last, b": 600}),)),
    ("mloss-flat-tables", "worse random orders", FAILS, (table1(3), answers({"random, a": 600}))),
    ("mloss-flat-tables", "unsteady orders", FAILS, (table1(3), answers(swing={"random": 40}))),
    ("mloss-summary-few-layer-wording", "pruned away", HOLDS, (layers(named=(4, 0.0, 1.0)),)),
    (
        "mloss-summary-few-layer-wording",
        "as worded in one suite",
        FAILS,
        (pd.concat([layers(suites="a"), layers(others=(1, 0.9, 0.0), suites="b")]),),
    ),
    ("mloss-fig3-layer-profile", "late layers alone", FAILS, (profile(late=0.9),)),
    ("mloss-fig3-layer-profile", "one draw", UNDECIDED, (profile(draws=1),)),
    ("mloss-fig3-layer-profile", "noisy", UNDECIDED, (profile(first=0.9, noise=0.2),)),
    (
        "mloss-fig3-layer-profile",
        "beside another network",
        HOLDS,
        (pd.concat([profile(), profile("mini8", first=0.5)]),),
    ),
    ("mloss-hyperparameters-transfer", "one of two", FAILS, (logs("agrees", "differs"),)),
    ("mloss-settings-carry-over", "one world", FAILS, (grids([1.0]), accuracies())),
    ("mloss-settings-carry-over", "no loss", HOLDS, (grids(FREE), accuracies())),
]

SAID = {
    ("mloss-table2-sample-size", HOLDS): {
        "rows.0": {"inputs": 2, "rank": 0.8},
        "rows.1": {"inputs": 16, "rank": 0.97},
        "off": 0,
    },
    ("mloss-table2-sample-size", FAILS): {"rows.5.gap.value": 10},
    ("mloss-stability-over-draws", HOLDS): {
        "suites.0.deviation.value": 0.5130,  # of ten values 0.5 above the mean and ten below
        "half": 1.5,
        "rows.2.model": "DARE",
    },
    ("mloss-128-samples", CORRECTED): {"total": 1024, "count": 4},
    ("mloss-128-samples", FAILS): {"suites.0.uneven.value": -10},
    ("mloss-few-layer-equivalent", FAILS): {
        "rows.1": {"name": "last", "suite": "a"},
        "rows.1.gap.value": 10,
    },
    ("mloss-summary-few-layer-wording", HOLDS): {
        "suites.1": {"layers": 3, "named": 1, "trimmed": 1}
    },
    ("mloss-fig3-layer-profile", HOLDS): {"rows.0.first.value": 1.31, "rows.0.late.value": 1.21},
    ("mloss-settings-carry-over", HOLDS): {
        "regret.value": 0.98,
        "families": 7.906,
        "chosen": "(0.2, 0)",
        "suite_k": 2,
        "suite_e": 0.2,
    },
}

ORDERED = set()
