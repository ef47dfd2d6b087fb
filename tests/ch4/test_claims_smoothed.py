"""Made-up tables for the claims about averaging as a regulariser (page 04n)."""

import pandas as pd
from tables import NAN

from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

NETS, STARTS = ("vgg11", "resnet10"), (0, 1, 2)
FIELDS = ("train", "test", "noisy", "slope", "length", "apart")
MEMBERS = {"train": 90.0, "test": 74.0, "noisy": 68.0, "slope": -70.0, "length": 350.0}
MEMBERS["apart"] = -110.0


def seen(spread=0.5, images=10_000, only=None, nets=NETS, **soup):
    """Members and soups; the soup differs from members by what is named, in `only` or in all.

    Members of its length are less steep by `shrunk` percent.
    """
    rows = []
    for n in nets:
        here = {"train": -8.0, "test": 0.0, "noisy": 3.0, "slope": -30.0, "apart": -40.0}
        here |= {"length": -0.1, "shrunk": -5.0}
        here |= soup if only in (None, n) else {}
        for s in STARTS:
            e = spread * (s - 1)
            for f in FIELDS:
                kinds = {"members": 0.0, "soup": here[f] + e, "moved members": 0.0}
                kinds["shrunk members"] = {"slope": here["shrunk"], "length": -0.1}.get(f, 0.0)
                for who, value in kinds.items():
                    rows.append((n, s, f"{who}: {f}", MEMBERS[f] + value))
    table = pd.DataFrame(rows, columns=["network", "seed", "what", "value"])
    return table.assign(images=images)


def decayed(slopes=(-1.0, -10.0), train=-3.0, spread=0.05, **given):
    """The same for one network, with members of two decays that change its slope so."""
    table = seen(nets=("vgg11",), **given)
    rows = []
    for d, slope in zip(("0.001", "0.003"), slopes):
        change = {"train": train, "slope": slope, "length": -2.0}
        rows += [
            ("vgg11", s, f"decay {d}: {f}", MEMBERS[f] + change.get(f, 0.0) + spread * (s - 1))
            for f in FIELDS
            for s in STARTS
        ]
    more = pd.DataFrame(rows, columns=["network", "seed", "what", "value"])
    return pd.concat([table, more.assign(images=10_000)], ignore_index=True)


def fitting(points):
    """The same with soups that answer so many training images more."""
    table = decayed()
    table.loc[table.what == "soup: train", "value"] += 8.0 + points
    return table


SMOOTHS, LIKE = "rethink-weight-averaging-regularises", "rethink-merging-like-l2"
CASES = {
    SMOOTHS: {
        HOLDS: (seen(),),
        CORRECTED: (seen(noisy=0.0),),
        FAILS: (seen(slope=20.0, noisy=0.0),),
        UNDECIDED: (seen(test=-20.0),),
    },
    LIKE: {
        HOLDS: (decayed(shrunk=-20.0),),
        CORRECTED: (decayed(),),
        FAILS: (decayed(slope=20.0),),
        UNDECIDED: (decayed(spread=0.1, slope=-0.5, shrunk=0.0),),
    },
}

NEAR = [
    (SMOOTHS, "better in one network", HOLDS, (seen(only="vgg11", noisy=0.0),)),
    (SMOOTHS, "smoother in one network alone", UNDECIDED, (seen(only="vgg11", slope=0.0),)),
    (SMOOTHS, "smoother and worse", CORRECTED, (seen(noisy=-3.0, test=-3.0),)),
    (SMOOTHS, "as steep and worse", FAILS, (seen(noisy=-3.0, test=-3.0, slope=-5.0),)),
    (SMOOTHS, "one network collapses", HOLDS, (seen(only="vgg11", test=-20.0, slope=0.0),)),
    (SMOOTHS, "few images", CORRECTED, (seen(images=50),)),
    (SMOOTHS, "starts differ much", UNDECIDED, (seen(spread=30.0),)),
    (SMOOTHS, "no number", UNDECIDED, (seen(slope=NAN),)),
    (LIKE, "decay does nothing", UNDECIDED, (decayed((0.0, 0.0), shrunk=-20.0),)),
    (LIKE, "decay does nothing, nor does length", CORRECTED, (decayed((0.0, 0.0)),)),
    (LIKE, "decay makes steeper", FAILS, (decayed((5.0, 5.0), shrunk=-20.0),)),
    (LIKE, "one decay makes steeper", HOLDS, (decayed((5.0, -5.0), shrunk=-20.0),)),
    (LIKE, "decay fits as well", UNDECIDED, (decayed(train=0.0, shrunk=-20.0),)),
    (LIKE, "the soup fits better", UNDECIDED, (fitting(3.0),)),
    (LIKE, "no number", UNDECIDED, (decayed(slope=NAN),)),
]

SAID = {
    (SMOOTHS, HOLDS): {
        "whole": "vgg11, resnet10",
        "smooth.0.value": -25,
        "noisy.1.value": 3,
        "better": "vgg11, resnet10",
    },
    (LIKE, CORRECTED): {
        "slope.0.value": -30,
        "half.0.value": 10,
        "rows.0": {"who": "soup", "slope": -30, "train": -8},
        "rows.3": {"who": "decay 0.003", "slope": -10, "length": -2},
        "decays.1.value": -10,
    },
}

ORDERED: set[str] = set()
