"""Made-up tables for the claims about the shape of curves over factors (page 04h)."""

import pandas as pd
from tables import NAN

from ch4.test_claims_magnified import FORMATS, NETS, STARTS, contrasts, everywhere
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def counts(more=20.0, spread=1.0, double=0.0, **one):
    """What ensembles lose more, of two numbers of models, two tasks; `one` by task in float32."""
    rows = [
        (*(kind, n, t, s, m), value + spread * (s - 1), 95.0 - m)
        for kind in FORMATS
        for n in NETS
        for t in ("a", "b")
        for s in STARTS
        for m in (2, 10)
        for value in [one.get(t, more) if kind == "float32" else double]
    ]
    columns = ["format", "network", "task", "seed", "members", "more", "leaves"]
    return pd.DataFrame(rows, columns=columns)


def relations(spread=0.1, networks=NETS, below=100.0, **value):
    """Correlation and lead as the paper has them in both formats, but for those named.

    Names are `FORMAT, COLUMN, FACTOR`, or the first two, with the network in front or not.
    """
    paper = {1: (0.9, -2.0), 10: (0.9, -2.0), 50: (0.9, -2.0), 90: (0.5, 30.0), 110: (0.0, 0.0)}

    def of(n, kind, column, c, given):
        names = (f"{n}, {kind}, {column}, {c}", f"{kind}, {column}, {c}")
        return next((value[k] for k in names if k in value), given)

    rows = [
        (
            *(n, kind, float(c), s),
            of(n, kind, "r", c, r) + spread * (s - 1),
            of(n, kind, "ahead", c, ahead) + spread * (s - 1),
            below if c == 90 else 10.0,
        )
        for n in networks
        for kind in ("float32", "float64")
        for c, (r, ahead) in paper.items()
        for s in STARTS
    ]
    columns = ["network", "format", "factor", "seed", "r", "ahead", "below"]
    return pd.DataFrame(rows, columns=columns)


def shares(slope=0.0, spread=0.1):
    """The share kept changes by `slope` a doubling."""
    rows = [
        (n, s, 2**k, 99.0, 100 + (slope + spread * (s - 1)) * k)
        for n in NETS
        for s in STARTS
        for k in (1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "classes", "single", "soup"])


PEAK = "rethink-fig7c-fig24b-peak-gap"
ALIKE = "rethink-figs20-24-curves"
SCATTER = "rethink-fig4-scatter"
CLASSES = "rethink-tinyimagenet-less-effective"
BACK = {"float64, ahead, 90": -2.0}  # in float64 the soup stays behind
AHEAD = {"float32, ahead, 90": -20.0, "float64, ahead, 90": -20.0}
CASES = {
    PEAK: {
        HOLDS: (everywhere(),),
        CORRECTED: (contrasts(),),
        FAILS: (contrasts(rise=-30, fall=-30),),
        UNDECIDED: (contrasts(spread=40),),
    },
    ALIKE: {
        HOLDS: (counts(double=20.0),),
        CORRECTED: (counts(),),
        FAILS: (counts(b=-20.0),),
        UNDECIDED: (counts(b=0.5),),
    },
    SCATTER: {
        HOLDS: (relations(),),
        CORRECTED: (relations(**BACK),),
        FAILS: (relations(**AHEAD),),
        UNDECIDED: (relations(spread=5),),
    },
    CLASSES: {HOLDS: (shares(-5.0),), FAILS: (shares(5.0),), UNDECIDED: (shares(),)},
}
NEAR = [
    (PEAK, "a rise without a fall", UNDECIDED, (contrasts(fall=0.0),)),
    (PEAK, "no widening", UNDECIDED, (contrasts(widening=0.0),)),
    (PEAK, "a fall in float64 too", UNDECIDED, (contrasts(**{"fall, float64": 5.0}),)),
    (PEAK, "intervals of one network alone", UNDECIDED, (contrasts(spread=10),)),
    (PEAK, "no number", UNDECIDED, (contrasts(spread=NAN),)),
    (ALIKE, "behind, by an interval of one", UNDECIDED, (counts(b=-3.0),)),
    (ALIKE, "no number", UNDECIDED, (counts(spread=NAN),)),
    (SCATTER, "one batch for the ensemble", UNDECIDED, (relations(below=98.0),)),
    (SCATTER, "the sides alone, in float32 alone", CORRECTED, (relations(below=98.0, **BACK),)),
    (
        SCATTER,
        "in one network",
        CORRECTED,
        (relations(**BACK, **{"vgg19, float32, ahead, 90": 0.0}),),
    ),
    (SCATTER, "no relation at 90", UNDECIDED, (relations(**{"float32, r, 90": 0.0}),)),
    (SCATTER, "no relation at 1", UNDECIDED, (relations(**BACK, **{"float32, r, 1": 0.0}),)),
    (SCATTER, "a relation at 110", UNDECIDED, (relations(**{"float32, r, 110": 0.8}),)),
    (
        SCATTER,
        "the ensemble ahead at 90 in one network",
        UNDECIDED,
        (relations(**AHEAD, **{"vgg5, float32, ahead, 90": 0.0}),),
    ),
    (SCATTER, "no number", UNDECIDED, (relations(spread=NAN),)),
    (CLASSES, "no number", UNDECIDED, (shares(spread=NAN),)),
]
SAID = {
    (PEAK, CORRECTED): {"there": "vgg5, vgg19", "flat": 0.0, "intervals": 12},
    (ALIKE, CORRECTED): {
        "double.0.value": 0.0,
        "intervals": 8,
        "alone": 8,
        "of": 8,
        "few": 2,
        "many": 10,
        "first": 93.0,
        "last": 85.0,
    },
    (SCATTER, CORRECTED): {
        "there": "vgg5, vgg19",
        "lead": "2.0, 2.0",
        "related.0.r.value": 0.5,
        "double.0.ahead": -2.0,
    },
    (CLASSES, UNDECIDED): {"rows.0.value": 0.0, "gain.0.value": 1.0},
}
ORDERED = set()
