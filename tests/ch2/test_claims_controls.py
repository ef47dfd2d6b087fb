"""Made-up tables for the claims about the gain of M-TIES (page 02f)."""

import itertools

import numpy as np
import pandas as pd
from tables import NAN, frame

from mergebook.ch2.controls import GAIN, READINGS
from mergebook.claims import CORRECTED as MENDED
from mergebook.claims import FAILS, HOLDS, UNDECIDED

PLACES = {"a": "suite", "b": "suite", "perceptrons": "families", "CNNs": "families"}


def gains(printed=0.05, wide=0.1, half=0.06, **other):
    """Gains over random orders, each ± `half`; `other` has values by reading, place and setting.

    Names are joined by `_`: `paper_a_wide`, or fewer of them. A rival that does not count is there
    too.
    """
    rows = []
    for reading, (place, kind), setting in itertools.product(
        READINGS, PLACES.items(), ("printed", "wide")
    ):
        value = printed if setting == "printed" else wide
        parts = (reading.replace(" ", ""), place, setting)
        for count in (1, 2, 3):
            for names in itertools.combinations(parts, count):
                value = other.get("_".join(names), value)
        for rival, shift in (("random", 0), ("even", 50)):
            span = (value + shift, value + shift - half, value + shift + half)
            freedom = np.inf if kind == "suite" else 9
            rows.append((place, kind, reading, setting, rival, *span, freedom, 50.0))
    return pd.DataFrame(rows, columns=GAIN)


def table1(*backbones):
    return frame(Backbone=backbones)


def trims(**other):
    """Trimming gains 1 ± 0.5 points everywhere; `other` by place, or by place and scaling."""
    rows = []
    for place, how in itertools.product(PLACES, ("scale 1", "best scale")):
        value = other.get(f"{place}_{how[:5].strip()}", other.get(place, 1.0))
        freedom = np.inf if PLACES[place] == "suite" else 9
        rows.append((place, how, value, value - 0.5, value + 0.5, freedom))
    return pd.DataFrame(rows, columns=["place", "scaled", "value", "low", "high", "freedom"])


CASES = {
    "mloss-low-loss-rows-kept": {
        HOLDS: (gains(released_printed=0.3),),
        MENDED: (gains(paper_wide=0.3),),
        FAILS: (gains(b_wide=-0.3),),
        UNDECIDED: (gains(),),
    },
    "mloss-summary-only-vits": {
        HOLDS: (table1("ViT-B/32", "ViT-L/14"), gains()),
        FAILS: (table1("ViT-B/32", "ResNet-50"), gains()),
        UNDECIDED: (table1(), gains()),
    },
    "mloss-trimming-before-election": {HOLDS: (trims(CNNs=-1.0),), FAILS: (trims(),)},
}

NEAR = [
    (
        "mloss-low-loss-rows-kept",
        "above in one suite alone",
        UNDECIDED,
        (gains(released_a_printed=0.3),),
    ),
    (
        "mloss-low-loss-rows-kept",
        "each suite in another reading",
        UNDECIDED,
        (gains(released_a_printed=0.3, paper_b_printed=0.3),),
    ),
    (
        "mloss-low-loss-rows-kept",
        "above in suites, not in CNNs",
        UNDECIDED,
        (gains(wide=0.3, CNNs_wide=0.05),),
    ),
    (
        "mloss-low-loss-rows-kept",
        "one reading nowhere below",
        UNDECIDED,
        (gains(b_wide=-0.3, paper_b_wide=0.0),),
    ),
    (
        "mloss-low-loss-rows-kept",
        "a quarter of the printed gain is possible",
        UNDECIDED,
        (gains(b_wide=-0.3, normalised_a_printed=0.11),),
    ),
    ("mloss-low-loss-rows-kept", "below in families alone", FAILS, (gains(CNNs_wide=-0.3),)),
    (
        "mloss-low-loss-rows-kept",
        "below as printed in families",
        UNDECIDED,
        (gains(CNNs_printed=-0.3),),
    ),
    (
        "mloss-low-loss-rows-kept",
        "above for one interval alone",
        UNDECIDED,
        (gains(released_printed=0.08),),
    ),
    (
        "mloss-low-loss-rows-kept",
        "above in families by a normal law alone",
        UNDECIDED,
        (gains(paper_wide=0.3, paper_CNNs_wide=0.11),),
    ),
    ("mloss-low-loss-rows-kept", "no number", UNDECIDED, (gains(b_wide=-0.3, a_printed=NAN),)),
    ("mloss-low-loss-rows-kept", "no rows", UNDECIDED, (gains().iloc[:0],)),
    ("mloss-trimming-before-election", "at the best scale alone", HOLDS, (trims(a_best=-1.0),)),
    (
        "mloss-trimming-before-election",
        "each at another scale",
        FAILS,
        (trims(**{f"{place}_scale": -1.0 for place in PLACES}),),
    ),
    (
        "mloss-trimming-before-election",
        "below for one interval alone",
        FAILS,
        (trims(a=-0.6, CNNs=-0.75),),
    ),
]

SAID = {
    ("mloss-low-loss-rows-kept", MENDED): {
        "spans.0": {"rates": "as printed"},
        "spans.1": {"rates": "rates from 0 to 0.4", "most_of": "b, paper"},
        "spans.1.most.value": 0.3,
        "small.1.most.value": 0.3,
        "intervals": 24,
    },
    ("mloss-summary-only-vits", HOLDS): {
        "backbones": "ViT-B/32, ViT-L/14",
        "places.3": {"place": "CNNs"},
        "places.3.gain.low": 0.04,
    },
    ("mloss-trimming-before-election", FAILS): {"rows.6.gain.value": 1.0, "count": 8},
}

ORDERED = set()
