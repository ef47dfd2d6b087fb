"""Made-up tables for the claims about soups and ensembles by architecture (page 04q)."""

from functools import partial

import numpy as np
import pandas as pd
from tables import NAN

from mergebook.ch4 import printed
from mergebook.ch4.gaps import with_margins
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

CNNS = ("vgg11", "resnet10", "densenet13")
NETS = (*CNNS, "vit")
COUNTS = (2, 3, 5, 7, 10)
MEANS = {
    "single": 70.0,
    "best": 71.0,
    "uniform": lambda n: 60.0 - n,
    "greedy": 71.0,
    "logits": lambda n: 75.0 + 0.4 * n,
    "features": 73.0,
    "greedy logits": 72.0,
    "greedy features": 71.5,
    "first head": 65.0,
    "kept": 1.0,
}


def scores(spread=0.1, networks=NETS, starts=3, counts=COUNTS, only=None, **means):
    """Scores as the paper has them, but for those given: a number, or a function of the models.

    `only` names the networks that get what is given; others stay as the paper has them.
    """
    rows = []
    for network in networks:
        given = MEANS | means if only is None or network in only else MEANS
        for s in range(starts):
            for n in counts:
                row = {"network": network, "task": "t", "start": "shared", "head": "small"}
                row |= {"rate": 0.05, "count": 10, "seed": s, "members": n, "images": 5000}
                for j, (method, value) in enumerate(given.items()):
                    turns = np.random.default_rng([j, n]).permutation([-1.0, 0.0, 1.0])
                    noise = 0.0 if method == "kept" else spread * (1 + j / 9) * turns[s]
                    row[method] = (value(n) if callable(value) else value) + noise
                rows.append(row | {"chance": 10.0})
    return with_margins(pd.DataFrame(rows))


def soups(**change):
    """The printed tables with a column moved by so much, `{method: points}`."""
    table = printed.soup_tables()
    for method, points in change.items():
        table[method] += points
    return table


def steeper(table, method, points):
    """Printed scores that rise by so many points more from two to ten models."""
    return table.assign(**{method: table[method] + points * (table.models - 2) / 8})


PRINTED = soups()
NEARBY = PRINTED.assign(uniform=PRINTED.logits - 1.0, greedy=PRINTED.logits - 1.5)
ALIKE = scores(spread=4.0)
CONTROLS = (scores(), scores(starts=1))
random = partial(scores, networks=CNNS[:2], counts=(2, 3, 5))


def orders(mean=1e-15, first=0.5):
    rows = [{"draw": i, "mean": mean, "first": first, "covariance": 1e-14} for i in range(5)]
    return pd.DataFrame(rows)


FIG3, FIG17 = "rethink-fig3-ten-models", "rethink-figs17-18-architectures"
MORE, GROWS = "rethink-more-models-help", "rethink-fig7a-gap-grows-with-models"
GREEDY, AHEAD = "rethink-fig19-greedy-gap", "rethink-ensembling-beats-merging"
ABOVE, TRADE = "rethink-more-templates-better", "rethink-proposal2-tradeoff"
HEAD, START = "rethink-feature-ensemble-merged-head", "rethink-identical-training-conditions"

RISING = {
    "uniform": lambda n: 60.0 + n,
    "greedy": lambda n: 71.0 + 0.3 * n,
    "features": lambda n: 73.0 + 0.3 * n,
}
ALL_RISE = scores(**RISING)
PRINTED_RISE = steeper(steeper(PRINTED, "uniform", 60.0), "features", 10.0)
FLAT = {"uniform": 60.0, "logits": 75.0}
CLOSING = {"uniform": lambda n: 60.0 + n, "logits": 75.0}

CASES = {
    FIG3: {
        HOLDS: (scores(), *CONTROLS),
        CORRECTED: (scores(only=("vit",), uniform=lambda n: 69.9), *CONTROLS),
        FAILS: (scores(uniform=lambda n: 73.5), *CONTROLS),
        UNDECIDED: (ALIKE, *CONTROLS),
    },
    FIG17: {
        HOLDS: (scores(), *CONTROLS),
        CORRECTED: (scores(only=("vgg11",), features=75.9), *CONTROLS),
        FAILS: (scores(only=("vgg11",), features=80.0), *CONTROLS),
        UNDECIDED: (ALIKE, *CONTROLS),
    },
    MORE: {
        HOLDS: (ALL_RISE, PRINTED_RISE),
        CORRECTED: (scores(), PRINTED),
        FAILS: (scores(logits=lambda n: 75.0 - n), PRINTED),
        UNDECIDED: (ALIKE, PRINTED),
    },
    GROWS: {
        HOLDS: (scores(), PRINTED, *CONTROLS),
        CORRECTED: (scores(only=("vgg11",), **FLAT), PRINTED, *CONTROLS),
        FAILS: (scores(**CLOSING), PRINTED, *CONTROLS),
        UNDECIDED: (scores(**FLAT), PRINTED, *CONTROLS),
    },
    GREEDY: {
        HOLDS: (scores(), PRINTED),
        CORRECTED: (scores(kept=2.5), PRINTED),
        FAILS: (scores(logits=lambda n: 76.0 - 0.4 * n), PRINTED),
        UNDECIDED: (ALIKE, PRINTED),
    },
    AHEAD: {
        HOLDS: (PRINTED, scores()),
        CORRECTED: (soups(features=-3.0), scores()),
        FAILS: (soups(logits=-20.0), scores()),
        UNDECIDED: (PRINTED, ALIKE),
    },
    ABOVE: {
        HOLDS: (soups(uniform=80.0), scores(uniform=73.0), *CONTROLS),
        CORRECTED: (soups(greedy=5.0), scores(greedy=72.0), *CONTROLS),
        FAILS: (PRINTED, scores(), *CONTROLS),
        UNDECIDED: (soups(greedy=5.0), ALIKE, *CONTROLS),
    },
    TRADE: {
        HOLDS: (NEARBY, scores()),
        CORRECTED: (PRINTED, scores()),
        FAILS: (soups(logits=9.0), scores()),
        UNDECIDED: (soups(logits=NAN), scores()),
    },
    HEAD: {
        HOLDS: (orders(), scores()),
        FAILS: (orders(mean=1e-3), scores()),
        UNDECIDED: (orders(mean=NAN), scores()),
    },
    START: {
        HOLDS: (scores(), random(uniform=lambda n: 60.0 - n)),
        CORRECTED: (scores(), random(uniform=12.0)),
        FAILS: (scores(uniform=10.0), random(uniform=10.0)),
        UNDECIDED: (scores(), random(uniform=21.0, spread=15.0)),
    },
}

NEAR = [
    (
        FIG3,
        "logits beaten in one of four",
        UNDECIDED,
        (scores(only=("vit",), features=85.0), *CONTROLS),
    ),
    (FIG3, "logits beaten in most", FAILS, (scores(only=CNNS, features=85.0), *CONTROLS)),
    (
        FIG3,
        "soups clearly ahead of one in a network",
        UNDECIDED,
        (scores(only=("vit",), uniform=72.0), *CONTROLS),
    ),
    (FIG3, "one start", UNDECIDED, (scores(starts=1), *CONTROLS)),
    (FIG3, "no number", UNDECIDED, (scores(logits=NAN), *CONTROLS)),
    (FIG17, "soups not last once", FAILS, (scores(only=("vgg11",), uniform=73.5), *CONTROLS)),
    (
        FIG17,
        "the ViT's gap shrinks",
        FAILS,
        (scores(only=("vit",), uniform=lambda n: 50.0 + 2 * n), *CONTROLS),
    ),
    (FIG17, "the ViT's gap stays", UNDECIDED, (scores(only=("vit",), **FLAT), *CONTROLS)),
    (FIG17, "no ViT", UNDECIDED, (scores(networks=CNNS), *CONTROLS)),
    (FIG17, "no number", UNDECIDED, (scores(logits=NAN), *CONTROLS)),
    (MORE, "all rise here, printed soups do not", CORRECTED, (ALL_RISE, PRINTED)),
    (
        MORE,
        "greedy soups fall in print too",
        CORRECTED,
        (scores(), steeper(PRINTED, "greedy", -5.0)),
    ),
    (
        MORE,
        "logits clear in half of the networks",
        UNDECIDED,
        (scores(only=NETS[:2], logits=75.0), PRINTED),
    ),
    (
        GROWS,
        "down in one, up in others",
        UNDECIDED,
        (scores(only=("vgg11",), **CLOSING), PRINTED, *CONTROLS),
    ),
    (
        GROWS,
        "a transformer does not count",
        HOLDS,
        (scores(only=("vit",), **CLOSING), PRINTED, *CONTROLS),
    ),
    (
        GROWS,
        "a step down on the way",
        CORRECTED,
        (scores(only=("vgg11",), uniform=lambda n: 60.0 - n + 9 * (n == 7)), PRINTED, *CONTROLS),
    ),
    (
        GROWS,
        "printed it does not",
        UNDECIDED,
        (scores(), steeper(PRINTED, "logits", -5.0), *CONTROLS),
    ),
    (
        GREEDY,
        "greedy soups fall clearly in one",
        UNDECIDED,
        (scores(only=("vgg11",), greedy=lambda n: 71.0 - 0.5 * n), PRINTED),
    ),
    (GREEDY, "uniform soups lose nothing", UNDECIDED, (scores(uniform=60.0), PRINTED)),
    (GREEDY, "one network holds more", CORRECTED, (scores(only=("vgg11",), kept=1.5), PRINTED)),
    (AHEAD, "one network clearly below", UNDECIDED, (PRINTED, scores(only=("vit",), greedy=85.0))),
    (AHEAD, "no number", UNDECIDED, (PRINTED, scores(logits=NAN))),
    (ABOVE, "here greedy ones alone", CORRECTED, (soups(uniform=80.0), scores(), *CONTROLS)),
    (
        ABOVE,
        "printed, but not here",
        UNDECIDED,
        (soups(uniform=80.0), scores(greedy=69.0), *CONTROLS),
    ),
    (TRADE, "ensembles behind", FAILS, (soups(logits=-40.0), scores())),
    (HEAD, "the first is no favourite either", FAILS, (orders(first=0.0), scores())),
    (START, "both work, random ones less well", CORRECTED, (scores(), random(uniform=30.0))),
    (START, "a network without numbers", UNDECIDED, (scores(), random(uniform=NAN))),
]

SAID = {
    (FIG3, HOLDS): {
        "best": 4,
        "last": 4,
        "networks": 4,
        "lead.0.x.value": 6.0,
        "controls.0.there": 12,
    },
    (FIG3, CORRECTED): {"there": "vgg11, resnet10, densenet13"},
    (FIG17, HOLDS): {"first": 16, "of": 16, "widening.value": 7.0},
    (MORE, CORRECTED): {"rows.0.data": 2, "rows.2.data": 7, "others": "uniform, greedy, features"},
    (GROWS, HOLDS): {"rows.0.rise.value": 11.2, "printed.0.gap": 2.93, "there": ", ".join(CNNS)},
    (GREEDY, CORRECTED): {"most": 2.5, "rows.0.gap.value": 3.2, "few": 2.77},
    (AHEAD, HOLDS): {"pairs.0.rows": 35, "pairs.3.rows": 25, "of": 35},
    (ABOVE, FAILS): {"uniform": 10, "of": 35},
    (TRADE, CORRECTED): {"uniform": 12, "better": 24, "single": 22, "ahead": 35},
    (HEAD, HOLDS): {"neutral.0.x.value": -6.0, "lent.0.x.value": 8.0},
    (START, CORRECTED): {"rows.0.one_uniform": 55.0, "rows.0.random_uniform": 12.0, "chance": 10.0},
}

ORDERED: set[str] = set()
