"""Made-up tables for the claims of pages 05f, 05g and 05h; see `tests/test_deciders.py`."""

import pandas as pd
from asking_tables import asked, leaked
from tables import packed

from mergebook.ch5 import asking
from mergebook.ch5.encoders import BASE, MERGES
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

APART = asked(first=250, head=300)  # averaging under its heads, and the other merges


def cells(over=False):
    """Two printed cells of a merge."""
    rows = [(50.0, 60.0, 90.0), (70.0, 91.0 if over else 80.0, 90.0)]
    return pd.DataFrame(rows, columns=["before", "after", "tuned"])


def weak(merged=200, alone=205):
    """Right answers of 400 of a weak expert (200), of it alone scaled, and of the merge."""
    parts = {"own": 200, "alone": alone, "merged": merged}
    texts = {name: packed(n, 400) for name, n in parts.items()}
    return pd.DataFrame(
        [{"suite": "a", "task": t, "scale": s} | texts for t in "kl" for s in (1.0, 3.0)]
    )


def images(small=290, large=320, inputs=400, many=False, falls=0):
    """Answers on images: after 2 and 40 inputs, and after five of each class.

    `many`: tasks have 10 to 80 classes; `falls`: right answers that each doubling of them costs.
    """
    rows = []
    for model in (*MERGES, BASE):
        for i, task in enumerate("klmn"):
            classes = 10 * 2**i if many else 10 + i
            five = 320 - falls * i + (-1) ** i
            counts = {(asking.HEAD, "", "train"): 280, (asking.FT, "k=5", "train"): five}
            for split in ("train", "test"):
                counts |= {(asking.FT, "n=2", split): small, (asking.FT, "n=40", split): large}
            for (way, amount, split), right in counts.items():
                draws = 1 if way == asking.HEAD else 3
                row = {"suite": "b", "model": model, "task": task, "way": way, "amount": amount}
                row |= {"split": split, "used": 5 * classes, "texts": False}
                rows.append(row | {"right": [packed(right, inputs)] * draws})
    return pd.DataFrame(rows)


CASES = {
    "ftc-fig4-aligned-near-upper-bound": {
        HOLDS: (leaked(other=352), asked()),
        CORRECTED: (leaked(), asked()),
        FAILS: (leaked(own=330), asked()),
        UNDECIDED: (leaked(own=344), asked()),
    },
    "ftc-alignment-uses-test-inputs": {
        HOLDS: (leaked(own=330, other=330),),
        CORRECTED: (leaked(curve={25: 40, 2000: 1}),),
        FAILS: (leaked(first=(310, 310)),),
        UNDECIDED: (leaked(own=332, other=330),),
    },
    "ftc-methods-equal-after-alignment": {
        HOLDS: (leaked(), APART),
        CORRECTED: (leaked(first=(330, 300), second=(345, 312)), APART),
        FAILS: (leaked(first=(300, 250), second=(352, 302)), APART),
        UNDECIDED: (leaked(), asked()),
    },
    "ftc-table3-base-model": {
        HOLDS: (asked(suites=("bert-base",)),),
        FAILS: (asked(suites=("bert-base",), base_ft=240),),
        UNDECIDED: (asked(),),
    },
    "ftc-protocol-only-activates": {
        HOLDS: (asked(others=210),),
        FAILS: (asked(suites=("a", "b"), base_ft=240),),
        UNDECIDED: (asked(suites=("a", "b"), base_ft=200),),
    },
    "ftc-merged-beats-base": {
        HOLDS: (asked(suites=("a", "b")), leaked()),
        CORRECTED: (asked(suites=("a", "b"), base_anchors=310), leaked()),
        FAILS: (asked(suites=("a", "b"), base_ft=345), leaked()),
        UNDECIDED: (asked(suites=("a", "b"), base_ft=330), leaked()),
    },
    "ftc-finetuned-is-upper-bound": {
        HOLDS: (cells(), weak()),
        CORRECTED: (cells(), weak(merged=240)),
        FAILS: (cells(over=True), weak()),
    },
    "ftc-fig7-cv": {
        HOLDS: (images(),),
        CORRECTED: (images(small=280),),
        FAILS: (images(small=280, large=250),),
        UNDECIDED: (images(small=280, large=280),),
    },
    "ftc-cv-needs-more-samples": {
        HOLDS: (images(many=True, falls=10),),
        FAILS: (images(many=True, falls=-10),),
        UNDECIDED: (images(falls=10),),
    },
    "ftc-one-percent-suffices": {
        HOLDS: (images(inputs=2000),),
        FAILS: (images(inputs=2000, large=250),),
        UNDECIDED: (images(),),
    },
}
NEAR = [
    (
        "ftc-protocol-only-activates",
        "experts of other tasks gain as much",
        UNDECIDED,
        (asked(suites=("a", "b"), others=260),),
    ),
    ("ftc-protocol-only-activates", "no gain", UNDECIDED, (asked(ft=280),)),
    ("ftc-merged-beats-base", "aligned", CORRECTED, (asked(suites=("a", "b")), leaked(base=310))),
    (
        "ftc-fig4-aligned-near-upper-bound",
        "no suite that counts",
        UNDECIDED,
        (leaked(), asked(suites=("c", "b"))),
    ),
]
SAID = {
    ("ftc-alignment-uses-test-inputs", CORRECTED): {
        "rows.0.least.value": 11.25,
        "curve.0.lead.value": 10.0,
        "curve.1.n": 2000,
    },
    ("ftc-fig4-aligned-near-upper-bound", CORRECTED): {"rows.0.own_low": 93.75},
    ("ftc-table3-base-model", FAILS): {"rows.0.gain.value": 20.0},
    ("ftc-finetuned-is-upper-bound", CORRECTED): {"rows.1.own": 2, "rows.0.most.value": 10.0},
    ("ftc-cv-needs-more-samples", HOLDS): {"rows.0.most": 80},
    ("ftc-one-percent-suffices", HOLDS): {"rows.0.n": 40, "rows.0.counts": "counted"},
}
ORDERED = set()
