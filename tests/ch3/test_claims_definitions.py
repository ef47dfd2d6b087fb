"""Made-up tables for the claims about definitions (page 03e)."""

import pandas as pd
from tables import NAN, frame

from mergebook.ch3.definitions import ENERGY
from mergebook.ch3.learning import ORDERS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def matrices(rebuilt=1e-15, squares=1e-15, helper=1e-15):
    rows = {"rebuilt": [0.0, rebuilt], "squares": [squares, 0.0], "helper": [0.0, helper]}
    return (frame(suite="a", layer=["v", "w"], **rows),)


def models(averaged=6, concatenated=6, error=1e-12, rank=3):
    return frame(
        suite="a",
        expert=["x", "y"],
        rank=rank,
        averaged=averaged,
        concatenated=[concatenated] * 2,
        error=[0.0, error],
    )


def layers(values=(8, 8), s3=(0.1, 0.2)):
    one = frame(layer=["v", "w"], entries=[64, 8], values=values, mean=0.0, variance=1.0)
    one = one.assign(magnitude=8.0, s1=2.0, s2=1.0, s3=s3, suite="a", rank=3)
    return (pd.concat([one.assign(expert=e) for e in ("x", "y")], ignore_index=True),)


def kernels(patches=8.0, norm=0.0):
    return frame(
        kernel=["patches", "3 x 3"], flattened=8.0, operator=[patches, 12.0], norm=[0.0, norm]
    )


def energies(matrix=0.1, change=0.3, stacked=0.4, vectors=45, count=20, suites=("a", "b")):
    """`count` matrices and some vectors; `matrix` and the others: what rank 3 holds of each."""
    rows = []
    for suite in suites:
        for of, share in (
            ("weights", matrix),
            ("task vectors", change),
            ("tasks by entries", stacked),
        ):
            rows += [(suite, of, f"m{i}", 64, share, share, 30.0) for i in range(count)]
            rows += [(suite, of, f"v{i}", 1, 1.0, 1.0, 1.0) for i in range(vectors)]
    rows += [("random", "weights", "m0", 64, 0.01, 0.01, 60.0)] * 4
    return (pd.DataFrame(rows, columns=ENERGY),)


def merges(difference=1e-7, total=1.0):
    return (
        frame(
            suite="a",
            coefficients=["equal", "0.3 each"],
            sum=[total, 2.4],
            difference=[difference, 0.6],
            length=[1.0, 2.4],
            **{"task vectors": [70.0, 80.0], "models": [70.0, 20.0]},
        ),
    )


def by_layer(shapes=2, difference=1e-7):
    found = frame(suite="a", shape=[f"({i},)" for i in range(shapes)], layers=1)
    return found, frame(suite="a", coefficients=["one", "own"], difference=[0.0, difference])


def learned(order=0.0, twins=0.0, released=3.0):
    names = ["one for all", "one a layer, reads all experts"]
    both = {"order": [order, 2 * released], "twins": [twins, released]}
    return (frame(suite="a", learner=names, parameters=[513, 9000], **both),)


def losses(hard=(0.5, 2.0), printed=(0.5, 2.0), labelled=(0.5, 3.0), gradient=0.0, split=0.0):
    return (
        frame(
            suite="a",
            task="t",
            right=[True, False],
            hard=hard,
            printed=printed,
            labelled=labelled,
            gradient=[gradient, 0.0],
            split=[0.0, split],
        ),
    )


def slopes(found=(0.1, -0.2), others=0):
    rows = [
        ("a", over, expert, value, slope, exact, others)
        for over, value in (("all classes", 2.1), ("own classes", 0.6))
        for expert, slope, exact in zip("xy", found, (0.1, -0.2))
    ]
    columns = ["suite", "over", "expert", "value", "slope", "difference", "others"]
    return (pd.DataFrame(rows, columns=columns),)


def divergences(first=1.0, second=1.0, mixture=0.0):
    rows = [
        (order, T, 0.5 * (growth if T == 256 else 1), 0.5 / T**2, mixture)
        for order, growth in zip(ORDERS, (first, second))
        for T in (1.0, 4.0, 64.0, 256.0)
    ]
    return (pd.DataFrame(rows, columns=["order", "T", "length", "without", "mixture"]),)


CASES = {
    "stats-eq1-svd": {
        HOLDS: matrices(),
        FAILS: matrices(squares=0.01),
        UNDECIDED: matrices(rebuilt=NAN),
    },
    "stats-eq2-taskwise-statistics": {
        HOLDS: (models(),),
        CORRECTED: (models(concatenated=117),),
        FAILS: (models(averaged=7, concatenated=117),),
        UNDECIDED: (models(error=NAN),),
    },
    "stats-eq3-layerwise-statistics": {
        HOLDS: layers(),
        CORRECTED: layers(values=(8, 1)),
        FAILS: layers(values=(8, 1), s3=(0.1, NAN)),
    },
    "stats-eq9-conv-reshape": {
        HOLDS: (kernels(), models()),
        CORRECTED: (kernels(), models(concatenated=117)),
        FAILS: (kernels(norm=0.1), models()),
        UNDECIDED: (kernels(norm=NAN), models()),
    },
    "stats-rank3-energy-95": {
        HOLDS: energies(matrix=0.96),
        CORRECTED: energies(),
        FAILS: energies(vectors=2),
        UNDECIDED: energies(vectors=20),
    },
    "stats-task-level-merge": {
        HOLDS: merges(),
        FAILS: merges(difference=0.1),
        UNDECIDED: merges(difference=NAN),
    },
    "stats-layer-level-merge": {
        HOLDS: by_layer(shapes=1),
        CORRECTED: by_layer(),
        FAILS: by_layer(difference=0.1),
        UNDECIDED: by_layer(difference=NAN),
    },
    "stats-eq4-taskwise-learner": {
        HOLDS: learned(released=1e-9),
        CORRECTED: learned(),
        FAILS: learned(twins=0.1),
        UNDECIDED: learned(order=NAN),
    },
    "stats-eq7-eq33-pseudo-label-loss": {
        HOLDS: losses(),
        FAILS: losses(labelled=(0.6, 3.0)),
        UNDECIDED: losses(printed=(NAN, 2.0)),
    },
    "stats-eq32-soft-label-kl": {
        HOLDS: losses(),
        FAILS: losses(split=0.1),
        UNDECIDED: losses(gradient=NAN),
    },
    "stats-eq6-supervised-loss": {
        HOLDS: slopes(),
        FAILS: slopes(found=(0.11, -0.2)),
        UNDECIDED: slopes(found=(NAN, -0.2)),
    },
    "stats-eq8-distillation-loss": {
        HOLDS: divergences(),
        CORRECTED: divergences(second=0.5),
        FAILS: divergences(first=1.1, second=0.9),
        UNDECIDED: divergences(first=NAN),
    },
}

NEAR = [
    ("stats-eq1-svd", "the helper is not the claim", HOLDS, matrices(helper=0.1)),
    ("stats-eq2-taskwise-statistics", "another number", FAILS, (models(error=0.1),)),
    ("stats-eq9-conv-reshape", "other values", FAILS, (kernels(patches=9.0), models(7, 117))),
    (
        "stats-rank3-energy-95",
        "one task vector's reading",
        UNDECIDED,
        energies(0.1, 0.96, vectors=2),
    ),
    ("stats-rank3-energy-95", "the released matrix", UNDECIDED, energies(stacked=0.96, vectors=2)),
    ("stats-rank3-energy-95", "95 is not above 95", FAILS, energies(0.95, vectors=2)),
    ("stats-rank3-energy-95", "few matrices", UNDECIDED, energies(vectors=2, count=4)),
    ("stats-rank3-energy-95", "no number", UNDECIDED, energies(matrix=NAN)),
    ("stats-task-level-merge", "no case sums to 1", UNDECIDED, merges(total=2.0)),
    ("stats-eq4-taskwise-learner", "order alone", FAILS, learned(order=0.1)),
    ("stats-eq7-eq33-pseudo-label-loss", "not as printed", FAILS, losses(printed=(0.5, 2.1))),
    ("stats-eq32-soft-label-kl", "another gradient", FAILS, losses(gradient=0.1)),
    ("stats-eq6-supervised-loss", "experts learn too", FAILS, slopes(others=3)),
    ("stats-eq8-distillation-loss", "another mixture", FAILS, divergences(mixture=0.1)),
]

SAID = {
    ("stats-rank3-energy-95", CORRECTED): {
        "rows.0": {"suite": "a", "of": "weights", "above": 0, "share": 10},
        "rows.0.percent": {2: 100 * (1 - 0.025 ** (1 / 20))},  # none of 20, by hand
        "layers.1": {"suite": "b", "above": 45, "layers": 65},
    },
    ("stats-eq3-layerwise-statistics", CORRECTED): {"short": 1, "layers": 2, "vectors": 1},
    ("stats-eq6-supervised-loss", FAILS): {"rows.0.error": 0.01 / 0.05**0.5, "rows.1.value": 0.6},
    ("stats-eq8-distillation-loss", CORRECTED): {"which": ORDERS[0]},
    ("stats-eq8-distillation-loss", HOLDS): {"falls": 16, "rows.0.four": 0.5},
    ("stats-eq7-eq33-pseudo-label-loss", HOLDS): {"wrong": 1, "suites.0.percent": 50},
}

ORDERED = set()
