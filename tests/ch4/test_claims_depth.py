"""Made-up tables for the claims about depth and BatchNorm (page 04i)."""

import pandas as pd
from tables import NAN

from mergebook.ch4.depths import READINGS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

FAMILIES = ("vgg", "vgg, BatchNorm", "resnet", "densenet")


def changes(spread=0.3, starts=3, gap=-8.0, single=3.0, families=FAMILIES, **given):
    """Changes from the shallowest to the deepest network.

    `given` are gaps of a family, or of a reading of all families with BatchNorm.
    """
    rows = []
    for family in families:
        for reading in READINGS:
            own = given.get(family, gap)
            if family != "vgg":
                own = given.get(reading, own)
            for s in range(starts):
                row = {"family": family, "reading": reading, "seed": s, "images": 5000}
                row |= {"shallow": 5, "deep": 11, "single": single + spread * (s - 1)}
                turn = (s + len(family)) % 3 - 1
                rows.append(row | {"gap": own + spread * turn})
    return (pd.DataFrame(rows),)


def read(averaged=None, moments=None, train=None, **given):
    """The same by reading."""
    parts = {"as averaged": averaged, "new moments": moments, "train mode": train}
    return changes(**given | {k: v for k, v in parts.items() if v is not None})


DEPTH, NORM = "rethink-depth-shrinks-gap", "rethink-batchnorm-disrupts-trend"
CASES = {
    DEPTH: {
        HOLDS: changes(),
        CORRECTED: read(averaged=6.0, moments=3.0, train=-5.0),
        FAILS: changes(gap=9.0),
        UNDECIDED: changes(spread=20.0),
    },
    NORM: {HOLDS: read(averaged=5.0), FAILS: changes(), UNDECIDED: changes(gap=9.0)},
}
NEAR = [
    (DEPTH, "one family clearly the other way", UNDECIDED, changes(resnet=9.0)),
    (DEPTH, "one family unclear", HOLDS, changes(resnet=0.0)),
    (DEPTH, "VGG with BatchNorm does not count", HOLDS, changes(**{"vgg, BatchNorm": 9.0})),
    (DEPTH, "larger, but the deeper are worse", UNDECIDED, changes(gap=9.0, single=-9.0)),
    (
        DEPTH,
        "larger in one reading",
        UNDECIDED,
        read(averaged=9.0, moments=0.0, train=0.0, vgg=9.0),
    ),
    (DEPTH, "one start", UNDECIDED, changes(starts=1)),
    (DEPTH, "no number", UNDECIDED, changes(gap=NAN)),
    (NORM, "falls less", HOLDS, read(averaged=-3.0)),
    (NORM, "falls again with new moments", HOLDS, read(averaged=5.0, moments=-8.0)),
    (NORM, "rises after new moments alone", UNDECIDED, read(moments=5.0)),
    (NORM, "no plain trend", UNDECIDED, changes(vgg=0.0)),
    (NORM, "no plain family", UNDECIDED, changes(families=FAMILIES[1:])),
    (NORM, "no number", UNDECIDED, changes(gap=NAN)),
]
SAID = {
    (DEPTH, HOLDS): {"rows.0.gap.value": -8.0, "rows.0.deep": 11, "there": " and ".join(READINGS)},
    (DEPTH, CORRECTED): {"there": "train mode", "others.0.x.value": 3.0},
    (NORM, HOLDS): {"plain.value": -8.0, "rows.0.x.value": 5.0, "rows.0.apart.value": 13.0},
}
ORDERED: set[str] = set()
