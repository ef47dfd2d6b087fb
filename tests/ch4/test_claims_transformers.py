"""Made-up tables for the claims about transformers (page 04m)."""

import pandas as pd
from tables import NAN

from mergebook.ch4.printed import deit_table
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

STARTS, DEIT = (0, 1, 2), deit_table()
OWN, ONE = "vit_stem, own stem", "vit_stem, one stem"
KINDS = ("single", "uniform", "logits", "uniform of two", "logits of two")


def scores(spread=0.2, images=10_000, stems=True, growth=2.0, cnn=5.0, **gaps):
    """Single models at 70, ensembles at 74; gaps of all models, and by `growth` less with two.

    `vit`, `own` and `one` are the gaps of transformers without and with stems.
    """
    names = {"vit": "vit", "own": OWN, "one": ONE} if stems else {"vit": "vit"}
    every = {"vgg11": cnn, "resnet10": cnn}
    every |= {
        names[k]: v
        for k, v in ({"vit": 5.0, "own": 40.0, "one": 10.0} | gaps).items()
        if k in names
    }
    rows = []
    for n, gap in every.items():
        for s in STARTS:
            soup = 74 - gap + spread * (s - 1) * (1 + n.startswith("vit"))
            values = (70.0, soup, 74.0, soup + growth, 74.0)
            rows += [(n, s, what, v, images) for what, v in zip(KINDS, values)]
    return pd.DataFrame(rows, columns=["network", "seed", "what", "value", "images"])


def noise(vit=20.0, spread=0.2):
    every = {"vgg11": 10.0, "resnet10": 12.0, "vit": vit}
    rows = [
        (n, s, v + spread * (s - 1) * (n == "vit"), 10_000)
        for n, v in every.items()
        for s in STARTS
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "value", "images"])


def parts(spread=0.1, **lost):
    usual = {"attention": 6.0, "MLP": 2.0, "classifier": 1.0, "all": 8.0}
    rows = [
        ("vit", s, what, v + spread * (s - 1) * (what == "attention"), 10_000)
        for what, v in (usual | lost).items()
        for s in STARTS
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "what", "value", "images"])


def printed(models=10, **changed):
    table = DEIT.copy()
    for column, value in changed.items():
        table.loc[table.models == models, column.replace("_", " ")] = value
    return table


def selection(merged=3, spread=1):
    """Of ten beginnings so many merge, from start to start `spread` more."""
    rows = [
        (s, f"begun with {i}", 3.0 if i < merged + spread * (s - 1) else 1.0, -0.5)
        for s in STARTS
        for i in range(10)
    ]
    rows += [(s, "in order", 1.0, 0.0) for s in STARTS]
    table = pd.DataFrame(rows, columns=["seed", "how", "kept", "gain"])
    return table.assign(merges=100.0 * (table.kept > 1))


GAP, WHY = "rethink-vit-larger-gap", "rethink-attention-explains-vit-gap"
TABLE, GREEDY = "rethink-table9-deit", "rethink-table9-greedy-constant"
UNSUITED = "rethink-vits-unsuited-to-merging"
FEW = {"attention": 1.0, "classifier": 6.0}
CASES = {
    GAP: {
        HOLDS: (scores(vit=40.0),),
        CORRECTED: (scores(),),
        FAILS: (scores(vit=1.0, own=1.0),),
        UNDECIDED: (scores(stems=False),),
    },
    WHY: {
        HOLDS: (noise(), parts()),
        CORRECTED: (noise(5.0), parts()),
        FAILS: (noise(5.0), parts(**FEW)),
        UNDECIDED: (noise(), parts(**FEW)),
    },
    TABLE: {HOLDS: (printed(), scores()), FAILS: (printed(uniform=9.0), scores())},
    GREEDY: {
        HOLDS: (printed(), selection(0, 0)),
        CORRECTED: (printed(), selection()),
        FAILS: (printed(greedy=66.2), selection()),
        UNDECIDED: (printed(), selection(2, 5)),
    },
    UNSUITED: {
        HOLDS: (printed(), scores(vit=40.0)),
        CORRECTED: (printed(), scores()),
        FAILS: (printed(uniform=66.9), scores()),
        UNDECIDED: (printed(), scores(own=10.0)),
    },
}

NEAR = [
    (GAP, "larger, not clearly wider", UNDECIDED, (scores(vit=40.0, growth=0.0),)),
    (GAP, "larger, shrinking", FAILS, (scores(vit=40.0, growth=-2.0),)),
    (GAP, "larger than one CNN alone", UNDECIDED, (scores(cnn=40.0, vit=40.0, own=40.0),)),
    (GAP, "starts differ much", UNDECIDED, (scores(vit=40.0, spread=60.0),)),
    (GAP, "few images", UNDECIDED, (scores(vit=8.0, own=8.0, images=50),)),
    (GAP, "no number", UNDECIDED, (scores(vit=NAN, own=NAN),)),
    (WHY, "noise as in one CNN", UNDECIDED, (noise(12.0), parts())),
    (WHY, "another part costs as much", UNDECIDED, (noise(), parts(MLP=7.0))),
    (WHY, "no soup loses", UNDECIDED, (noise(5.0), parts(all=0.0))),
    (WHY, "starts differ much", UNDECIDED, (noise(20.0, spread=40), parts())),
    (WHY, "no number", UNDECIDED, (noise(NAN), parts())),
    (TABLE, "an end is another", FAILS, (printed(logits=73.94), scores())),
    (TABLE, "a step up", FAILS, (printed(5, uniform=30.0), scores())),
    (TABLE, "no stems here", HOLDS, (printed(), scores(stems=False))),
    (GREEDY, "another ensemble", FAILS, (printed(greedy_features=65.78), selection())),
    (GREEDY, "single models below", FAILS, (printed(single=65.9), selection())),
    (UNSUITED, "greedy above", FAILS, (printed(greedy=66.9), scores())),
    (UNSUITED, "loses as CNNs do", UNDECIDED, (printed(), scores(vit=8.0, cnn=8.0, own=10.0))),
    (UNSUITED, "no stems here", UNDECIDED, (printed(), scores(stems=False))),
]

SAID = {
    (GAP, CORRECTED): {
        "gaps.2.value": 5,
        "plain.0.value": 0,
        "stem.0.value": 35,
        "growth.0.value": 2,
    },
    (WHY, HOLDS): {"noise.0.value": 10, "half.0.value": 2, "whole.0.value": 8},
    (TABLE, HOLDS): {"first": 61.75, "last": 8.91, "step": 31.82, "soups.0.value": -2},
    (GREEDY, CORRECTED): {"merges.value": 30, "kept": 1.6, "gain.value": -0.5, "least": 66.08},
    (UNSUITED, CORRECTED): {
        "near": -5.02,
        "far": -57.88,
        "stem.0.value": 30,
        "gains.2.value": -1,
        "lead.0.value": 0,
    },
}

ORDERED: set[str] = set()
