"""Made-up tables for the claims about donors of other tasks (page 04o)."""

import pandas as pd
from tables import NAN

from mergebook.ch4.printed import donor_table
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

PRINTED, STARTS = donor_table(), (0, 1, 2)


def printed(donor="CIFAR-10", **changed):
    table = PRINTED.copy()
    for column, value in changed.items():
        table.loc[table.donor == donor, column] = value
    return table


def scores(soups=60.0, spread=1.0, images=10_000, networks=("vgg11",), **others):
    """Scores with donors, of which `soups` vary from start to start."""
    usual = {"alone": 20.0, "random": 50.0, "start": 50.0, "sister": 65.0, "itself": 70.0}
    rows = [
        (n, s, what, value + spread * (s - 1) * (what == "soups"))
        for n in networks
        for s in STARTS
        for what, value in (usual | {"soups": soups} | others).items()
    ]
    table = pd.DataFrame(rows, columns=["network", "seed", "what", "value"])
    return table.assign(images=images)


def over(plain=-2.0, even=1.0):
    rows = [("vgg11", d, plain, plain - 1, even, even - 1.5) for d in ("a", "b")]
    columns = ["network", "donor", "plain", "plain_low", "even", "even_low"]
    return pd.DataFrame(rows, columns=columns)


CROSS = "rethink-table3-cross-task"
ONLY = "rethink-table3-tinyimagenet-soup-beats-ensemble"
CASES = {
    CROSS: {
        HOLDS: (printed(), scores()),
        CORRECTED: (printed(), scores(40.0)),
        FAILS: (printed(soup=5.0), scores()),
        UNDECIDED: (printed(), scores(50.5)),
    },
    ONLY: {HOLDS: (printed(), over()), FAILS: (printed(soup=69.99), over())},
}

NEAR = [
    (CROSS, "another range", FAILS, (printed("PathMNIST", soup=24.26), scores())),
    (CROSS, "a soup above the model", FAILS, (printed("ChestXRay", soup=70.4), scores())),
    (CROSS, "starts differ much", UNDECIDED, (printed(), scores(40.0, spread=20))),
    (CROSS, "few images", UNDECIDED, (printed(), scores(53.0, images=50))),
    (CROSS, "no number", UNDECIDED, (printed(), scores(NAN))),
    (ONLY, "another donor's alone", FAILS, (printed("TinyImageNet", soup=58.4), over())),
    (ONLY, "all soups here behind", HOLDS, (printed(), over(-5.0, -5.0))),
]

SAID = {
    (CROSS, CORRECTED): {
        "low": 24.25,
        "high": 61.38,
        "over_random.0.value": -10,
        "over_itself.0.value": -30,
        "over_donor.0.value": 20,
        "sister.0.value": 15,
    },
    (ONLY, HOLDS): {
        "ahead": "TinyImageNet",
        "others": 68.18,
        "best": 61.38,
        "plain": 0,
        "even": 2,
        "even_clear": 0,
    },
}

ORDERED: set[str] = set()
