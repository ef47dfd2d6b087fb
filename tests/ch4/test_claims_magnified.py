"""Made-up tables for the claims about magnified weights (page 04d)."""

import pandas as pd
from tables import NAN

from mergebook import ledger
from mergebook.ch4.curves import NAMED
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

NETS, STARTS = ("vgg5", "vgg19"), (0, 1, 2)
FORMATS = ("float32", "float64")
METHODS = ("logits", "features", "divided", "probabilities", "single")
NAMES = {
    **{f"more: {m} at {c:g}": FORMATS for m in METHODS for c in NAMED},
    **{f"features: at {c:g}": FORMATS for c in NAMED},
    **{f"format: at {c:g}": ("both",) for c in NAMED},
    "ahead: at 50": FORMATS,
    "rise": FORMATS,
    "fall": FORMATS,
    "widening": FORMATS,
    "broken: single": FORMATS,
    "broken: logits": FORMATS,
    "biases: none": ("float64",),
    "biases: layers": ("float64",),
}
AS_OVERFLOW = {
    "float32": 30,
    "both": 30,
    "float64": 0,
    "more: features, float32": 0,
    "ahead: at 50, float64": 5,
}


def contrasts(spread=0.3, starts=STARTS, **value):
    """Contrasts as overflow makes them, but for those named, as `what` or `what, format`."""
    value = AS_OVERFLOW | value

    def mean(what, kind):
        fits = [k for k in value if what.startswith(k.split(", ")[0])]
        fits = [k for k in fits if ", " not in k or k.endswith(kind)]
        return value[max(fits, key=len)] if fits else value[kind]

    rows = [
        (what, kind, n, s, mean(what, kind) + spread * (s - 1))
        for what, formats in NAMES.items()
        for kind in formats
        for n in NETS
        for s in starts
    ]
    return pd.DataFrame(rows, columns=["what", "format", "network", "seed", "value"])


def everywhere(**value):
    """The same in float64: a property of merging."""
    return contrasts(**{"float64": 30, "more: features, float32": 20, "biases": 9} | value)


def thresholds(ratio=1.0, spread=0.002, deep=95.0):
    """Observed factors near the prediction; what a number gets is `deep` with 19 layers."""
    rows = [
        {
            "network": n,
            "task": "a",
            "seed": s,
            "what": what,
            "predicted": 95.0,
            "observed": 95.0 * ratio,
            "ratio": ratio + spread * (s - 1),
            "real": 1e7 if n == "vgg5" else deep,
        }
        for n in NETS
        for s in STARTS
        for what in ("single", "sum")
    ]
    return pd.DataFrame(rows)


def full(**columns):
    row = {"network": "vgg19", "predicted": 125.0, "lost_below": 0.0, "lost_above": 100.0}
    return pd.DataFrame([row | {"lost_double": 0.0, "same": 100.0} | columns] * 2)


PRINTED = ledger.printed("rethinking_table10")


def table_10(**columns):
    return PRINTED.assign(**columns)


def heads(value=0.0, spread=0.2, deep=None, head="own"):
    """Mean classifier minus the first's, in points; of vgg19 `deep`."""
    rows = [
        (n, s, 50 + (value if deep is None or n != "vgg19" else deep) + spread * (s - 2), 50.0)
        for n in NETS
        for s in range(5)
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "mean_head", "head_1"])


def shared(value=0.0, spread=0.2):
    rows = [(n, s, value + spread * (s - 1)) for n in NETS for s in STARTS]
    return pd.DataFrame(rows, columns=["network", "seed", "value"])


def one(soup=0.0, logits=0.0, spread=0.5, before=20.0):
    """With none magnified soup and ensemble are `before` points ahead of the first model."""
    rows = [
        (
            *(w, "vgg5", s, 70.0, 70 + (before if w == "none" else soup) + spread * (s - 1)),
            70 + (before if w == "none" else logits),
        )
        for w in ("none", "first", "last")
        for s in STARTS
    ]
    return pd.DataFrame(rows, columns=["which", "network", "seed", "single", "soup", "logits"])


BREAK = "rethink-breakdown-threshold-is-overflow"
FASTER = "rethink-fig7b-accuracy-vs-factor"
ROBUST = "rethink-proposal3-merging-more-robust"
FEATURES = "rethink-feature-ensemble-more-robust"
TABLE = "rethink-table10-tinyimagenet-x100"
STAR = "rethink-ens-features-star"
CAUSE = "rethink-proposal3-smaller-weights"
ONE = "rethink-one-model-magnified"
BEHIND = {"more: logits": -30}
CASES = {
    BREAK: {
        HOLDS: (everywhere(), thresholds(), full()),
        CORRECTED: (contrasts(), thresholds(), full()),
        FAILS: (contrasts(**{"broken": 0.0}, spread=0.01), thresholds(), full()),
        UNDECIDED: (contrasts(spread=40), thresholds(), full()),
    },
    FASTER: {
        HOLDS: (everywhere(),),
        CORRECTED: (contrasts(),),
        FAILS: (contrasts(**BEHIND),),
        UNDECIDED: (contrasts(spread=40),),
    },
    ROBUST: {
        HOLDS: (everywhere(),),
        CORRECTED: (contrasts(),),
        FAILS: (contrasts(**BEHIND),),
        UNDECIDED: (contrasts(spread=40),),
    },
    FEATURES: {
        HOLDS: (everywhere(),),
        CORRECTED: (contrasts(),),
        FAILS: (contrasts(**{"features": -30}),),
        UNDECIDED: (contrasts(spread=40),),
    },
    CAUSE: {
        HOLDS: (everywhere(),),
        FAILS: (contrasts(**{"more: single": 0.0}, spread=0.1),),
        UNDECIDED: (contrasts(),),
    },
    TABLE: {HOLDS: (table_10(),), FAILS: (table_10(**{"Uni Soups": [6.0] * 5}),)},
    STAR: {
        HOLDS: (table_10(), heads(), shared()),
        CORRECTED: (table_10(), heads(deep=20.0), shared()),
        FAILS: (table_10(**{"Ens Fts*": [3.0] * 5}), heads(deep=20.0), shared()),
        UNDECIDED: (table_10(), heads(deep=5.0, spread=1.8), shared()),
    },
    ONE: {HOLDS: (one(),), FAILS: (one(soup=-8),)},
}
NEAR = [
    (BREAK, "a prediction 8 % off", UNDECIDED, (contrasts(), thresholds(1.08), full())),
    (BREAK, "no move with depth", UNDECIDED, (contrasts(), thresholds(deep=1e7), full())),
    (BREAK, "full size breaks early", UNDECIDED, (contrasts(), thresholds(), full(lost_below=50))),
    (BREAK, "full size other answers", UNDECIDED, (contrasts(), thresholds(), full(same=90))),
    (BREAK, "no full size", UNDECIDED, (contrasts(), thresholds(), full().iloc[:0])),
    (BREAK, "no number", UNDECIDED, (contrasts(spread=NAN), thresholds(), full())),
    (BREAK, "never lost", UNDECIDED, (contrasts(), thresholds(NAN), full())),
    (
        FASTER,
        "features too, in float32",
        CORRECTED,
        (contrasts(**{"more: features, float32": 20}),),
    ),
    (FASTER, "a decline without biases", UNDECIDED, (contrasts(biases=5.0),)),
    (FASTER, "in float64, logits alone", CORRECTED, (contrasts(**{"float64": 30, "biases": 0.0}),)),
    (FASTER, "no number", UNDECIDED, (contrasts(spread=NAN),)),
    (ROBUST, "behind in float32 alone", UNDECIDED, (contrasts(**{"more: logits, float32": -30}),)),
    (ROBUST, "the format does not matter", UNDECIDED, (contrasts(format=0.0),)),
    (ROBUST, "one start", UNDECIDED, (contrasts(starts=(0,)),)),
    (FEATURES, "no lead over soups", UNDECIDED, (contrasts(ahead=0.0),)),
    (FEATURES, "no number", UNDECIDED, (contrasts(spread=NAN),)),
    (CAUSE, "the order alone, in float64 too", UNDECIDED, (everywhere(**{"more: divided": 0.0}),)),
    (CAUSE, "no lead to explain", UNDECIDED, (contrasts(**{"more": 0.0}, spread=0.1),)),
    (CAUSE, "no number", UNDECIDED, (contrasts(spread=NAN),)),
    (TABLE, "other ensembles", FAILS, (table_10(**{"Ens Lgt": [1.0] * 5}),)),
    (TABLE, "none below chance", HOLDS, (table_10(**{"Ens Lgt": [1.59, 0.78, 0.6, 0.5, 0.45]}),)),
    (
        STAR,
        "clear by an interval of one",
        UNDECIDED,
        (table_10(), heads(deep=5, spread=1.3), shared()),
    ),
    (STAR, "another network", CORRECTED, (table_10(), heads(8.0), shared())),
    (
        STAR,
        "little here, more printed",
        UNDECIDED,
        (table_10(**{"Ens Fts*": 3.0}), heads(), shared()),
    ),
    (ONE, "the ensemble alone", FAILS, (one(logits=8),)),
    (ONE, "as near with none magnified", UNDECIDED, (one(before=2.0),)),
    (ONE, "no number", FAILS, (one(spread=NAN),)),
]
SAID = {
    (FASTER, CORRECTED): {"there": "logits", "kept": 0.0, "intervals": 16, "starts": 3},
    (ROBUST, CORRECTED): {"single.0.value": 30.0, "double.0.value": 0.0, "intervals": 12},
    (CAUSE, UNDECIDED): {"single.0.value": 30.0, "double.0.value": 0.0, "intervals": 16},
    (TABLE, HOLDS): {"low": "5 models; 7 models; 10 models", "count": 3, "fewest": 0.13},
    (STAR, CORRECTED): {"there": "vgg19", "least": 0.47, "most": 0.70, "share": 10.1156},
    (BREAK, CORRECTED): {"images": 2, "double": 0.0, "rows.1.real": 1e7},
}
ORDERED = {TABLE}
