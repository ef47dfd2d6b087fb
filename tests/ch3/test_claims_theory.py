"""Made-up tables for the claims about the theory (pages 03f, 03g and 03h)."""

import itertools

import numpy as np
import pandas as pd
from tables import NAN, frame

from mergebook.ch3.coefficients import WAYS
from mergebook.ch3.fisher import NAMES
from mergebook.ch3.standins import ALL_SIX
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

KINDS = ("softmax regression", "network")
SPREAD = (0.99, 1.0, 1.01)  # three toys about a median
WILD = (0.1, 1.0, 10.0)


def slopes(parts=0.0, automatic=0.0, differences=1e-9):
    return frame(toy=[0, 1], parts=[0.0, parts], automatic=[automatic, 0.0]).assign(
        differences=differences
    )


def minima(gap=1e-8, wrong=5, repeated=5):
    return frame(toy=[0, 1], gap=[1e-9, gap], wrong=[2, wrong], repeated=[2, repeated])


def fishers(base=70.0, exact=0.0, spread=SPREAD):
    rows = [
        (kind, toy, at, drawn, value * (times if at == "base" else 1))
        for kind in KINDS
        for toy, times in enumerate(spread)
        for at, drawn, value in (
            ("base", "p*", base),
            ("base", "q, soft", 60.0),
            ("p = p*", "p*", exact),
        )
    ]
    return (pd.DataFrame(rows, columns=["kind", "toy", "at", "drawn", "apart"]),)


def matrices(asymmetry=0.0, lowest=0.01, written=0.0):
    return (
        frame(
            toy=[0, 1], asymmetry=[0.0, asymmetry], lowest=[lowest, 0.02], written=[0.0, written]
        ),
    )


def hessians(teacher=50.0, model=3.0, exact=0.0, spread=SPREAD):
    rows = []
    for kind, labels, (toy, times) in itertools.product(KINDS, ("soft", "hard"), enumerate(spread)):
        for at, drawn, value in (
            ("joint", "q", teacher),
            ("joint", "model", model),
            ("base", "q", 90.0),
        ):
            rows.append((kind, toy, labels, at, drawn, value * times))
        rows.append((kind, toy, "soft", "own task", "q", exact))
    columns = ["kind", "toy", "labels", "at", "drawn", "apart"]
    return (pd.DataFrame(rows, columns=columns),)


def expansions(
    base=0.9, joint=0.01, error=40.0, settled=10.0, repaired=2.0, spread=SPREAD, average=0.3
):
    """Three toys of each kind and three experts: a median over experts, then over toys."""
    rows = []
    for kind, tasks, (toy, times) in itertools.product(KINDS, ("near", "far"), enumerate(spread)):
        for at, ratio, printed in (
            ("base", base, error),
            ("average", average, 15.0),
            ("joint", joint, settled),
        ):
            for expert, factor in enumerate((0.0, 1.0, 99.0)):
                many = times * factor
                row = (kind, tasks, toy, at, expert, ratio * many, 0.1, expert == 0)
                rows.append((*row, 5.0, printed * many, repaired * many))
    columns = ["kind", "tasks", "toy", "at", "expert", "slope over bend", "slope", "improves"]
    errors = ("constant", "Eq. 16", "slope, y from the model")
    return (pd.DataFrame(rows, columns=[*columns, *(f"error, {n}" for n in errors)]),)


def differences(left=0.0, extra=0.0):
    return (frame(on=[True, True, False], left=[0.0, left, 4.9], extra=[1.0, 1.0, extra]),)


def products(error=0.0, asymmetry=0.0, lowest=0.005):
    return (
        frame(toy=[0, 1], error=[0.0, error], asymmetry=[asymmetry, 0.0], lowest=[0.1, lowest]),
    )


def regrets(printed=22.0, repaired=0.5, joint=2.0, spread=SPREAD):
    rows = []
    for kind, tasks, labels, (toy, times) in itertools.product(
        KINDS, ("near", "far"), ("soft", "hard"), enumerate(spread)
    ):
        for at in ("base", *["joint"] * (labels == "soft" and tasks == "far")):
            value = printed if at == "base" else joint
            row = (4.0, value * times, 6.0, repaired * times)
            rows.append((kind, tasks, toy, labels, at, toy > 0, *row))
    columns = ["kind", "tasks", "toy", "labels", "at", "least moved", *WAYS]
    return (pd.DataFrame(rows, columns=columns),)


def draws(fisher=0.05, frobenius=0.06, matrix=0.5, moved=0.1, mu=0.1, by_eps=10.0):
    """Two pairs; all but `matrix` and `mu` in units of eps."""
    eps = np.array([1e-4, 0.1])
    return frame(
        eps=eps,
        Fisher=fisher * eps,
        Frobenius=frobenius * eps,
        matrix=[0.1, matrix],
        moved=moved * eps,
        mu=mu,
        **{"mean TV": eps, "by eps": by_eps * eps},
    )


def own():
    rows = [(k, labels, 0.1, 0.6) for k in KINDS for labels in ("soft", "hard")]
    return pd.DataFrame(rows, columns=["kind", "labels", "mean TV", "largest TV"])


def twins(near=0.4, bound=1e6, mu=1e-9):
    columns = {"delta": [1e-4, 1.0], "moved": [near, 0.006], "mu": [mu, 0.1]}
    return frame(**columns, **{"by norm": [bound, 0.1]})


def moments(error=1e-14):
    found = frame(layer=["v", "w"], error=[0.0, error])
    names = ["none", "depth 0.00", "all"]
    changes = {"moments": [0.0, 0.0, 1e-14], "top": [1.0, 0.6, 0.65]}
    return found, frame(shuffled=names, **changes, percent=[98.0, 50.0, 14.0])


def standins(value=0.1, half=0.2, base=0.0, ceiling=0.7, wide=0.3, fit=None):
    """Correlations of all and of a `fit` to all; then those over layers, directions and traces."""
    each = {"expert": value, "base": base}
    rows = [(n, at, v) for at, v in each.items() for n in NAMES]
    rows += [(ALL_SIX, at, v if fit is None else fit) for at, v in each.items()]
    rows = [(n, at, v, v - half, v + half, v - ceiling / 2) for n, at, v in rows]
    rows.append(("halves", "expert", ceiling, ceiling - wide, ceiling + wide, NAN))
    tasks = pd.DataFrame(rows, columns=["statistic", "at", "value", "low", "high", "over"])
    tasks = tasks.assign(all_low=tasks.over - half, all_high=tasks.over + half)
    layers = frame(statistic=[*NAMES, "size"], value=-0.3, low=-0.6, high=0.1)
    overlap = frame(singular=[0.001, 0.002], random=1e-4).assign(**{"other inputs": 0.02})
    traces = frame(expert=["x", "x", "y"], first=[1.0, 2.0, 0.0], second=[3.0, 2.0, 0.0])
    return tasks, layers, overlap, traces.assign(elsewhere=[8.0, 4.0, 5.0])


CASES = {
    "stats-eq11-pseudo-label-objective": {
        HOLDS: (slopes(), minima()),
        FAILS: (slopes(), minima(repeated=4)),
        UNDECIDED: (slopes(parts=NAN), minima()),
    },
    "stats-eq12-gradient": {
        HOLDS: (slopes(),),
        FAILS: (slopes(automatic=0.1),),
        UNDECIDED: (slopes(differences=NAN),),
    },
    "stats-eq13-pl-fisher": {
        HOLDS: fishers(base=0.5),
        CORRECTED: fishers(),
        FAILS: fishers(exact=5.0),
        UNDECIDED: fishers(base=1.0, exact=5.0),
    },
    "stats-eq21-eq22-true-fisher": {
        HOLDS: matrices(),
        FAILS: matrices(lowest=-0.1),
        UNDECIDED: matrices(written=NAN),
    },
    "stats-eq14-taylor": {
        HOLDS: expansions(base=0.05),
        CORRECTED: expansions(),
        FAILS: expansions(joint=0.5),
        UNDECIDED: expansions(joint=0.1),
    },
    "stats-eq15-hessian-fisher": {
        HOLDS: hessians(teacher=5.0),
        CORRECTED: hessians(),
        FAILS: hessians(model=20.0),
        UNDECIDED: hessians(model=10.0),
    },
    "stats-eq16-quadratic": {
        HOLDS: expansions(error=10.0),
        CORRECTED: expansions(),
        FAILS: expansions(settled=40.0, repaired=30.0),
        UNDECIDED: expansions(repaired=30.0),
    },
    "stats-eq17-eq18-difference-matrix": {
        HOLDS: differences(),
        FAILS: differences(left=0.1),
        UNDECIDED: differences(left=NAN),
    },
    "stats-eq19-quadratic-in-lambda": {
        HOLDS: products(),
        FAILS: products(error=0.1),
        UNDECIDED: products(asymmetry=NAN),
    },
    "stats-eq20-optimal-lambda": {
        HOLDS: regrets(printed=2.0),
        CORRECTED: regrets(),
        FAILS: regrets(repaired=9.0, joint=9.0),
        UNDECIDED: regrets(repaired=9.0),
    },
    "stats-eq23-eq24-fisher-perturbation": {
        HOLDS: (draws(), own()),
        FAILS: (draws(frobenius=2.1), own()),
        UNDECIDED: (draws(fisher=NAN), own()),
    },
    "stats-eq25-quadratic-matrix-perturbation": {
        HOLDS: (draws(),),
        FAILS: (draws(matrix=1.1),),
        UNDECIDED: (draws(matrix=NAN),),
    },
    "stats-eq26-lambda-perturbation": {
        HOLDS: (draws(), twins()),
        FAILS: (draws(moved=11.0), twins()),
        UNDECIDED: (draws(moved=NAN), twins()),
    },
    "stats-eq27-eq31-second-moment": {
        HOLDS: moments(),
        FAILS: moments(error=1e-3),
        UNDECIDED: moments(error=NAN),
    },
    "stats-statistics-preserve-curvature": {
        HOLDS: standins(value=0.6, base=0.6),
        CORRECTED: standins(value=0.6),
        FAILS: standins(),
        UNDECIDED: standins(half=0.4),
    },
}

NEAR = [
    ("stats-eq11-pseudo-label-objective", "another minimum", FAILS, (slopes(), minima(gap=0.01))),
    ("stats-eq12-gradient", "differences alone", FAILS, (slopes(differences=1e-3),)),
    ("stats-eq13-pl-fisher", "toys all over", CORRECTED, fishers(base=1.0, spread=WILD)),
    ("stats-eq13-pl-fisher", "no number", UNDECIDED, fishers(base=NAN, exact=5.0)),
    ("stats-eq21-eq22-true-fisher", "not symmetric", FAILS, matrices(asymmetry=0.1)),
    ("stats-eq21-eq22-true-fisher", "another sum", FAILS, matrices(written=0.1)),
    ("stats-eq14-taylor", "not at the average", UNDECIDED, expansions(joint=0.5, average=0.05)),
    ("stats-eq14-taylor", "toys all over", UNDECIDED, expansions(joint=0.05, spread=WILD)),
    ("stats-eq14-taylor", "no number", UNDECIDED, expansions(base=NAN, joint=0.5)),
    ("stats-eq15-hessian-fisher", "not exact anywhere", UNDECIDED, hessians(exact=1.0)),
    ("stats-eq15-hessian-fisher", "toys all over", UNDECIDED, hessians(model=5.0, spread=WILD)),
    ("stats-eq16-quadratic", "the bound is not below", CORRECTED, expansions(error=20.2)),
    ("stats-eq19-quadratic-in-lambda", "a saddle", FAILS, products(lowest=-0.1)),
    ("stats-eq20-optimal-lambda", "toys all over", UNDECIDED, regrets(repaired=2.0, spread=WILD)),
    ("stats-eq20-optimal-lambda", "no number", UNDECIDED, regrets(printed=NAN, repaired=NAN)),
    ("stats-eq23-eq24-fisher-perturbation", "at the bound", HOLDS, (draws(fisher=2.0), own())),
    ("stats-eq26-lambda-perturbation", "twins break it", FAILS, (draws(), twins(bound=0.3))),
    ("stats-eq26-lambda-perturbation", "out of its scope", HOLDS, (draws(), twins(bound=0, mu=0))),
    (
        "stats-eq26-lambda-perturbation",
        "nothing convex",
        UNDECIDED,
        (draws(mu=0.0), twins(mu=0.0).assign(mu=0.0)),
    ),
    ("stats-statistics-preserve-curvature", "at the base", CORRECTED, standins(base=0.6)),
    ("stats-statistics-preserve-curvature", "all together", HOLDS, standins(fit=0.6)),
    ("stats-statistics-preserve-curvature", "all together, open", UNDECIDED, standins(fit=0.3)),
    ("stats-statistics-preserve-curvature", "half is not above", UNDECIDED, standins(value=0.35)),
    ("stats-statistics-preserve-curvature", "no order to find", UNDECIDED, standins(wide=0.8)),
    ("stats-statistics-preserve-curvature", "no number", UNDECIDED, standins(value=NAN)),
]

SAID = {
    ("stats-eq13-pl-fisher", CORRECTED): {"rows.0.kind": KINDS[0], "rows.0.value.value": 70},
    ("stats-eq14-taylor", CORRECTED): {"rows.0.value.value": 0.9, "rows.0.tasks": "near"},
    ("stats-eq16-quadratic", CORRECTED): {
        "improves": 12,
        "experts": 36,
        "repaired.0.value.high": 2.02,
    },
    ("stats-eq20-optimal-lambda", CORRECTED): {
        "worse": 100,
        "least": 200 / 3,
        "cases": 24,
        "rows.0.value.low": 0.99 * 22,
        "rows.0.repaired.value": 0.5,
        "joint.1.value.value": 2,
    },
    ("stats-eq23-eq24-fisher-perturbation", HOLDS): {"largest": 0.06, "rows.0.top": 0.6},
    ("stats-eq26-lambda-perturbation", HOLDS): {
        "cases": 4,
        "outside": 0,
        "ratio": 0.1,
        "near": 0.4,
        "wide": 0.006,
        "growth": 8,
    },
    ("stats-statistics-preserve-curvature", FAILS): {
        "moved": 3,
        "singular": 0.15,
        "others": 2,
        "experts.0.value.high": 0.3,
        "experts.6.statistic": ALL_SIX,
        "best.over.value": -0.25,
        "short": 14,
        "intervals": 14,
    },
}

ORDERED = set()
