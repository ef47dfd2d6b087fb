"""Made-up tables for the claims of page 05b; `tests/test_deciders.py` says what they are for."""

import pandas as pd
from asking_tables import TASKS, asked

from mergebook.ch5.encoders import BASE, MERGES
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED
from mergebook.protocols import EXPERT


def searched(precision=75.0, jitter=0.5):
    """Precision of merges on every task; the expert's is 80."""
    rows = []
    for suite in "abc":
        for model in (*MERGES, BASE, EXPERT):
            own = {EXPERT: 80.0, BASE: 50.0}.get(model, precision)
            for i, task in enumerate(TASKS):
                moved = jitter * (-1) ** i * (model in MERGES)
                rows.append((suite, model, task, own + moved, 30.0))
    return pd.DataFrame(rows, columns=["suite", "model", "task", "precision", "by_chance"])


def costs(first=5.0, second=5.0, training=0.5):
    """Percent of an evaluation on two suites."""
    rows = [("a", "k", first, training, 1000, 400), ("b", "k", second, training, 500, 400)]
    return pd.DataFrame(rows, columns=["suite", "task", "encoding", "training", "enough", "inputs"])


T5 = ("t5-base", "t5-large")
CASES = {
    "ftc-fig2-knn-beats-head": {
        HOLDS: (asked(),),
        CORRECTED: (asked(anchors=260, prototype=270),),
        FAILS: (asked(anchors=260, prototype=260, vote=260),),
        UNDECIDED: (asked(anchors=280, prototype=280, vote=260),),
    },
    "ftc-knn-shows-quality": {
        HOLDS: (asked(),),
        FAILS: (asked(anchors=220),),
        UNDECIDED: (asked(anchors=275),),
    },
    "ftc-table1-gains": {
        HOLDS: (asked(),),
        CORRECTED: (asked(ft=300),),
        FAILS: (asked(ft=265),),
        UNDECIDED: (asked(ft=280),),
    },
    "ftc-fig5-one-shot": {
        HOLDS: (asked(),),
        FAILS: (asked(one=270),),
        UNDECIDED: (asked(one=280),),
    },
    "ftc-five-seed-robustness": {
        HOLDS: (asked(spread=1),),
        CORRECTED: (asked(spread=20),),
        FAILS: (asked(ft=266, spread=40),),
        UNDECIDED: (asked(ft=281, spread=2),),
    },
    "ftc-few-shot-needs-no-labels": {
        HOLDS: (asked(even=1.0),),
        CORRECTED: (asked(uniform=320),),
        FAILS: (asked(uniform=320, even=1.0),),
        UNDECIDED: (asked(uniform=326, even=1.0),),
    },
    "ftc-aligned-vs-label-probe": {HOLDS: (asked(),), FAILS: (asked(labels=330),)},
    "ftc-fig6-t5-consistent": {
        HOLDS: (asked(suites=T5),),
        FAILS: (asked(suites=T5, ft=265),),
        UNDECIDED: (asked(suites=T5[:1]),),
    },
    "ftc-code-matches-paper": {
        HOLDS: (asked(),),
        FAILS: (asked(test=345),),
        UNDECIDED: (asked(test=334),),
    },
    "ftc-classification-benefits-less": {
        HOLDS: (asked(), searched()),
        FAILS: (asked(), searched(40.0)),
        UNDECIDED: (asked(), searched(62.0, 4.0)),
    },
    "ftc-protocol-is-cheap": {
        HOLDS: (costs(),),
        CORRECTED: (costs(first=50.0),),
        FAILS: (costs(first=150.0, second=101.0),),
        UNDECIDED: (costs(first=150.0),),
    },
}
NEAR = [
    ("ftc-table1-gains", "a base far above guessing", UNDECIDED, (asked(suites=("c",)),)),
    ("ftc-table1-gains", "images alone", UNDECIDED, (asked(suites=("b",)),)),
    ("ftc-fig2-knn-beats-head", "no suite that counts", UNDECIDED, (asked(suites=("c",)),)),
    ("ftc-fig6-t5-consistent", "no T5", UNDECIDED, (asked(),)),
    ("ftc-protocol-is-cheap", "training counts", CORRECTED, (costs(training=6.0),)),
]
SAID = {
    ("ftc-fig5-one-shot", HOLDS): {"rows.0.gain.value": 5.0, "rows.0.counts": "counted"},
    ("ftc-table1-gains", HOLDS): {"rows.0.share": 62.5, "rows.0.labels": 3.75},
    ("ftc-five-seed-robustness", CORRECTED): {"rows.0.least": 7.5, "rows.0.gain": 13.5},
    ("ftc-few-shot-needs-no-labels", CORRECTED): {"rows.0.uniform.value": -2.5, "even": 100},
    ("ftc-code-matches-paper", FAILS): {"rows.0.gain.value": 3.75},
    ("ftc-classification-benefits-less", HOLDS): {"rows.0.search": 6.25, "rows.0.head": 22.22},
    ("ftc-protocol-is-cheap", CORRECTED): {"rows.0.encoding": 50.0},
}
ORDERED = set()
