"""Made-up tables for the claims about greedy soups (page 04l)."""

import pandas as pd
from tables import NAN

from mergebook.ch4 import printed
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SIZES, NETS, STARTS = (50, 250), ("vgg11", "vit"), (0, 1, 2)


def selection(below=2.0, order=0.0):
    """Selections of which so many percent end below the best model on new images."""
    rows = []
    for network in NETS:
        for s in STARTS:
            for how, images, share in (
                *(("divided", n, below) for n in SIZES),
                ("shuffled labels", 250, 50.0),
                ("in order", 250, order),
                ("begun with 0", 250, 100.0),
            ):
                row = {"network": network, "seed": s, "how": how, "images": images, "below": share}
                rows.append(row | {"kept": 1.5, "gain": 0.2 + 0.1 * s})
    return pd.DataFrame(rows)


def promised(cited=0.4, counted=-3.0, only=None):
    """Greedy soups minus the best model on validation images; `only` one start may be short."""
    rows = [
        {"network": n, "seed": s, "rule": rule, "kept": 1.0, "test": -0.5}
        | {"validation": 0.0 if rule == "best first" and only not in (None, s) else v}
        for n in NETS
        for s in STARTS
        for rule, v in (("best first", cited), ("halving", 0.2), ("counted", counted))
    ]
    return pd.DataFrame(rows)


def tasks(gain=-30.0, greedy=0.5, kept=1.0, spread=1.0, few=(), images=500):
    """Four tasks, on which uniform soups gain so much; on `few` of them they lose little."""
    rows = [
        {"task": t, "seed": s, "images": images, "kept": kept}
        | {"gain": (-3.0 if t in few else gain) + spread * (s - 1)}
        | {"greedy gain": greedy + spread * (s - 1) / 2}
        for t in "abcd"
        for s in STARTS
    ]
    return pd.DataFrame(rows)


def soups(**by_data):
    """The printed tables, with greedy soups of a data set at another score."""
    table = printed.soup_tables()
    for name, score in by_data.items():
        table.loc[table["data"] == name, "greedy"] = score
    return table


PRINTED, SAFE = soups(), soups().assign(single=30.0)
PROMISE, COLLAPSE = "rethink-greedy-at-least-best-model", "rethink-pathmnist-celeba-collapse"

CASES = {
    PROMISE: {
        HOLDS: (selection(below=0.0), promised(), SAFE),
        CORRECTED: (selection(), promised(), PRINTED),
        FAILS: (selection(), promised(cited=-0.4), PRINTED),
        UNDECIDED: (selection()[:0], promised(), PRINTED),
    },
    COLLAPSE: {
        HOLDS: (PRINTED, tasks(kept=3.0)),
        CORRECTED: (PRINTED, tasks()),
        FAILS: (soups(Celeba=55.0), tasks(kept=3.0)),
        UNDECIDED: (PRINTED, tasks(gain=-3.0)),
    },
}

NEAR = [
    (PROMISE, "short in one group", FAILS, (selection(), promised(cited=-0.4, only=1), PRINTED)),
    (PROMISE, "never below, but in print", CORRECTED, (selection(below=0.0), promised(), PRINTED)),
    (PROMISE, "below in order alone", CORRECTED, (selection(0.0, 100.0), promised(), SAFE)),
    (
        PROMISE,
        "released rules promise nothing",
        CORRECTED,
        (selection(), promised(counted=-9), SAFE),
    ),
    (PROMISE, "no number", UNDECIDED, (selection(), promised(cited=NAN), PRINTED)),
    (COLLAPSE, "on one task", CORRECTED, (PRINTED, tasks(few=tuple("abc")))),
    (COLLAPSE, "starts differ", UNDECIDED, (PRINTED, tasks(spread=20.0))),
    (COLLAPSE, "greedy soups collapse too", FAILS, (PRINTED, tasks(greedy=-30.0))),
    (COLLAPSE, "between one model and two", UNDECIDED, (PRINTED, tasks(kept=1.7))),
    (COLLAPSE, "few images", UNDECIDED, (PRINTED, tasks(gain=-15.0, images=40))),
    (COLLAPSE, "no number", UNDECIDED, (PRINTED, tasks(gain=NAN))),
]

SAID = {
    (PROMISE, CORRECTED): {
        "groups": 6,
        "short": 21,
        "of": 35,
        "rows.0.below": 2.0,
        "shuffled": 50.0,
    },
    (COLLAPSE, CORRECTED): {
        "number": 4,
        "tasks": 4,
        "printed.1.uniform": 32.42,
        "rows.0.kept": 1.0,
    },
    (COLLAPSE, "on one task"): {"collapsed": "d", "number": 1},
}

ORDERED: set[str] = set()
