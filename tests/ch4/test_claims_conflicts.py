"""Made-up tables for the claims about conflicts, cancelling and sizes (page 04k)."""

import pandas as pd
from tables import NAN

from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

NETS, NORMED, STARTS = ("vgg11", "resnet10", "vit"), ("resnet10",), (0, 1, 2)
IMAGES = 10_000
MOVE = "moved at random, mean classifier"


def losses(spread=0.2, images=IMAGES, only=None, **lost):
    """Points lost by each model made of pairs; `only` is the one network that loses as `lost` says.

    Others lose as the defaults do. With BatchNorm new moments halve the losses.
    """
    usual = {"mean": 8.0, "elected": 2.0, "aligned": 8.0, "refitted": 4.0, MOVE: 3.0}
    usual |= {"conflict dealt anew": 12.0, "half-way back": 2.0}
    rows = []
    for n in NETS:
        here = usual | (lost if only in (None, n) else {})
        if n in NORMED:
            here["recalibrated"], here["elected, recalibrated"] = here["mean"], here["elected"]
        if n != "vgg11":
            here.pop("aligned")
        rows += [(n, s, what, v + spread * (s - 1)) for what, v in here.items() for s in STARTS]
    table = pd.DataFrame(rows, columns=["network", "seed", "what", "value"])
    return table.assign(images=images)


def noisy(size, **given):
    """Losses of which what is elected varies from start to start by so many points."""
    (table,) = (losses(**given),)
    up = table.what.str.startswith("elected") | (table.what == MOVE)
    table.loc[up, "value"] += size * (table.seed[up] - 1)
    return table


def pairs(lost=4.0, together=1.0, spread=0.1, only=None):
    """Three pairs of each start: activation lost in percent, and accuracy that goes with it."""
    rows = []
    for i, n in enumerate(NETS):
        for s in STARTS:
            for p in range(3):
                share = lost + i + 0.2 * p + spread * (s - 1)
                loss = together * share if together else [3.0, 1.0, 2.0][(p + i + s) % 3]
                if n == "vit":
                    share = NAN
                rows.append((n, s, p, share, 0.05 + 0.01 * p, loss))
    return pd.DataFrame(rows, columns=["network", "seed", "pair", "lost", "distance", "loss"])


def kept(value=3.0, spread=0.2, images=IMAGES):
    rows = [(n, s, value + spread * (s - 1), images) for n in NETS for s in STARTS]
    return pd.DataFrame(rows, columns=["network", "seed", "value", "images"])


def ratios(rho=0.99, off=0.0, peak=0.99, spread=0.0005, only=None):
    rows = []
    for n in NETS:
        r, o = (rho, off) if only in (None, n) else (0.99, 0.0)
        for s in STARTS:
            e = spread * (s - 1)
            expected = (1 + r) / 2
            row = {"network": n, "seed": s, "rho": r, "expected": expected}
            rows.append(row | {"variance": expected + o + e, "peak": peak + e, "norm": 0.999})
    return pd.DataFrame(rows)


RESOLVE = "rethink-proposal1-conflicts"
COLLAPSE = "rethink-collapse-due-to-weight-conflicts"
CANCEL = "rethink-relu-cancellation"
HALVES = "rethink-variance-halves"
LARGEST = "rethink-averaging-typically-reduces-magnitude"
DEEP = {"mean": 40.0, "elected": 30.0, MOVE: 20.0}
CASES = {
    RESOLVE: {
        HOLDS: (losses(),),
        CORRECTED: (losses(only="vit", elected=8.0),),
        FAILS: (losses(elected=8.0),),
        UNDECIDED: (losses(mean=0.1, elected=0.1),),
    },
    COLLAPSE: {
        HOLDS: (losses(**DEEP),),
        CORRECTED: (losses(**DEEP | {"elected": 40.0}),),
        FAILS: (losses(**DEEP | {"elected": 40.0, MOVE: 60.0}),),
        UNDECIDED: (losses(),),
    },
    CANCEL: {
        HOLDS: (pairs(), kept()),
        CORRECTED: (pairs(together=0.0), kept()),
        FAILS: (pairs(), kept(-3.0)),
        UNDECIDED: (pairs(), kept(0.1)),
    },
    HALVES: {
        HOLDS: (ratios(rho=0.0),),
        CORRECTED: (ratios(),),
        FAILS: (ratios(off=-0.2),),
        UNDECIDED: (ratios(spread=0.2),),
    },
    LARGEST: {
        HOLDS: (ratios(peak=0.8),),
        CORRECTED: (ratios(),),
        FAILS: (ratios(peak=1.0, spread=0.00001),),
        UNDECIDED: (ratios(peak=0.99, spread=0.02),),
    },
}

NEAR = [
    (RESOLVE, "returned, too little to be clear", CORRECTED, (losses(only="vit", elected=7.98),)),
    (RESOLVE, "less than half everywhere, clearly something", HOLDS, (losses(elected=6.0),)),
    (RESOLVE, "starts differ much", UNDECIDED, (noisy(20.0),)),
    (RESOLVE, "few images", UNDECIDED, (losses(mean=3.0, elected=2.5, images=100),)),
    (RESOLVE, "election costs", FAILS, (losses(elected=12.0),)),
    (RESOLVE, "no number", UNDECIDED, (losses(mean=NAN),)),
    (RESOLVE, "no number of what is elected", UNDECIDED, (losses(elected=NAN),)),
    (COLLAPSE, "no number of what is elected", CORRECTED, (losses(**DEEP | {"elected": NAN}),)),
    (COLLAPSE, "one network collapses", HOLDS, (losses(only="vit", **DEEP),)),
    (COLLAPSE, "just no collapse", UNDECIDED, (losses(**DEEP | {"mean": 20.0}),)),
    (
        COLLAPSE,
        "the move alone costs more",
        UNDECIDED,
        (losses(**DEEP | {MOVE: 60.0, "elected": 15.0}),),
    ),
    (COLLAPSE, "starts differ much", UNDECIDED, (noisy(30.0, **DEEP),)),
    (CANCEL, "hardly anything cancels", FAILS, (pairs(lost=-2.0, together=0.0), kept())),
    (CANCEL, "just above the bound", HOLDS, (pairs(lost=1.5), kept())),
    (CANCEL, "features no better, starts differ", UNDECIDED, (pairs(), kept(0.1, 5.0))),
    (CANCEL, "few images", UNDECIDED, (pairs(), kept(2.0, images=100))),
    (CANCEL, "less lost where more cancels", CORRECTED, (pairs(together=-1.0), kept())),
    (HALVES, "one network keeps more", CORRECTED, (ratios(rho=0.0, only="vit"),)),
    (HALVES, "one network is off", FAILS, (ratios(off=-0.2, only="vit"),)),
    (HALVES, "no number", UNDECIDED, (ratios(rho=NAN),)),
    (LARGEST, "exactly the bound", CORRECTED, (ratios(peak=0.95),)),
    (LARGEST, "no number", UNDECIDED, (ratios(peak=NAN),)),
]

SAID = {
    (RESOLVE, CORRECTED): {"there": "vgg11, resnet10", "elsewhere": "vit", "aligned": 0.0},
    (RESOLVE, HOLDS): {"returned.0.value": 6, "soups.1.value": 8, "refit.2.value": 4},
    (COLLAPSE, HOLDS): {"beyond.0.value": 20, "controls.0": {"move": 20, "dealt": 12, "back": 2}},
    (CANCEL, HOLDS): {"lost.1.value": 5.2, "related.value": 1.0, "gain.0.value": 3},
    (HALVES, CORRECTED): {"rows.0": {"variance": 0.995, "expected": 0.995}, "worst": 0.0005},
    (LARGEST, CORRECTED): {"least": 1, "most": 1, "shorter": 0.1},
}

ORDERED: set[str] = set()
