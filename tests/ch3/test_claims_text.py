"""Made-up tables for the claims of page 03d; `tests/test_deciders.py` says what they are for."""

from functools import cache

import pandas as pd
from tables import NAN, frame

from ch3.tables_of_the_paper import table
from mergebook.ch3 import sizes
from mergebook.ch3.printed import CHARTS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

B32, L14, T5B, T5L = CHARTS.values()
PLUS, PLAIN = "LW StatsMerging++", "LW StatsMerging"
AVG, HETERO = "Avg Acc", "Heterogeneous Architecture"


def vision(b32=None, l14=None):
    return table(B32, b32), table(L14, l14)


def language(t5base=None, t5large=None):
    return table(T5B, t5base), table(T5L, t5large)


def headline(b32=None, t5base=None):
    return table(B32, b32), table("table7"), table(T5B, t5base)


def ticks(changes=None, mixed=("WEMoE",)):
    return table("table1", changes), frame(Method=list(mixed))


def data(plus=94.5, at=5.0, sixteen=((5, 84.5), (25, 86.6), (75, 89.1))):
    """Scores by amount: plain and ++ in Table 15, the plain variant in Table 16."""
    rows = [(PLAIN, 15, 1.0, 84.5), (PLUS, 15, at, plus)]
    rows += [(PLAIN, 16, float(share), score) for share, score in sixteen]
    return (pd.DataFrame(rows, columns=["method", "table", "percent", "score"]),)


def costs(size=25.6, work=4.1, plain=20.0, plain_work=1.48):
    """A vision network as counted, another, and a language model of which the size is known."""
    columns = ["parameters", "multiply-adds"]
    columns += [f"{kind}, no attention" for kind in columns]
    rows = [[87.8, 4.4, 59.5, 2.2], [size, work, plain, plain_work], [223.0, NAN, NAN, NAN]]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(network=["ViT-B/32", "ResNet50", "T5-base"])


def counts(vit=160, resnet=22, extra=37):
    rows = [
        ("ViT-B/32", "with leftovers of the text tower", 158),
        ("ViT-B/32", "layers", vit),
        ("ViT-B/32", "modules", extra),
        ("ResNet50", "units", resnet),
        ("ResNet50", "entries", 320),
    ]
    return pd.DataFrame(rows, columns=["network", "what", "number"])


def learners(text=0, other=2427):
    return frame(parameters=["0.336", "0.366"], networks=[text, other], inputs=["none", "2"])


def scores(*own, others=(61.1, 62.5)):
    """Winograd scores of the paper's rows and of others."""
    rows = ["LW StatsMerging"] * len(own) + ["TIES"] * len(others)
    found = frame(row=rows, score=[*own, *others])
    return found.assign(own=found.row.str.contains("StatsMerging"))


def halves(mnist=(63000, 7000), equal=24):
    rows = [("MNIST", *mnist), ("Cars", 9, 1)]
    return pd.DataFrame(rows, columns=["data", "train", "test"]), frame(equal=[equal], entries=[24])


def split(own=(66.7, 59.3), others=(63.0,), **changes):
    """66.7 and 59.3 are 18 and 16 of 27; 0.2 is less than 1 of 280."""
    given, shared = halves(**changes)
    return given, scores(*own, others=others), shared


def facts(each=700, total=16186, train=8093, test=8093):
    found = frame(data=["A", "B"], classes=[45, 10], each=[each, 3], total=[31500, 40])
    return found.assign(at_least=[False, True]), frame(total=[total], train=[train], test=[test])


def pointing(*found):
    """Sentences that cite Table 3, and the tables that have what they describe."""
    rows = [(f"4.{i}", 3, "word", list(there)) for i, there in enumerate(found)]
    return pd.DataFrame(rows, columns=["section", "cites", "word", "found"]), frame(
        number=[3, 4], times=[2, 1]
    )


@cache
def of_the_paper():
    return sizes.network_costs(), sizes.network_counts(), sizes.winograd(table(T5B), table(T5L))


RIGHT = {("WEMoE", AVG): "84.5", ("LW AdaMerging", AVG): "81.1"}
CASES = {
    "stats-text-quotes-wemoe": {
        HOLDS: vision(RIGHT, {("LW AdaMerging", AVG): "91.0"}),
        CORRECTED: vision(),
        FAILS: vision(l14={("LW AdaMerging++", AVG): "91.1"}),
    },
    "stats-text-nlp-gains": {
        HOLDS: language(t5large={("TIES-Merging ✓", AVG): "74.4"}),
        CORRECTED: language(),
        FAILS: language(t5large={("TIES-Merging ✗", AVG): "74.5"}),
    },
    "stats-table18-lines": {
        HOLDS: (table("table18", {("Consensus Merging + LiNeS", AVG): 77.1}), table(B32)),
        CORRECTED: (table("table18"), table(B32)),
        FAILS: (table("table18", {("Consensus Merging + LiNeS", AVG): 84.5}), table(B32)),
    },
    "stats-headline-accuracies": {
        HOLDS: headline({(PLAIN, AVG): "94.5"}),
        CORRECTED: headline(),
        FAILS: headline({("WEMoE", AVG): "94.6"}),
    },
    "stats-table1-characteristics": {
        HOLDS: ticks(),
        CORRECTED: ticks(mixed=("AdaMerging",)),
        FAILS: ticks({("AdaMerging", "No TT Samples"): "✓"}, mixed=("AdaMerging",)),
    },
    "stats-forty-percent-more-data": {HOLDS: data(at=1.4), CORRECTED: data(), FAILS: data(at=4.0)},
    "stats-table16-training-size": {
        HOLDS: data(plus=84.5),
        CORRECTED: data(),
        FAILS: data(sixteen=((5, 83.0), (25, 82.0))),
    },
    "stats-sml-plus-model-cost": {
        HOLDS: (costs(plain=10.95), counts()),
        FAILS: (costs(), counts()),
    },
    "stats-sml-own-cost": {
        HOLDS: (learners(text=1), costs()),
        CORRECTED: (learners(), costs()),
        FAILS: (learners(other=0), costs()),
    },
    "stats-table8-22-of-320": {HOLDS: (counts(),), FAILS: (counts(vit=161),)},
    "stats-wsc-granularity": {
        HOLDS: (scores(62.5, 66.7),),
        CORRECTED: (scores(62.2, 62.6),),
        FAILS: (scores(62.2, 100.4),),
        UNDECIDED: (scores(62.2, 66.2),),
    },
    "stats-split-811": {
        HOLDS: split(),
        CORRECTED: split(mnist=(60000, 10000)),
        FAILS: split(own=(0.2, 59.3)),
        UNDECIDED: split(own=(62.2, 66.2)),
    },
    "stats-datasets-counts": {
        HOLDS: facts(),
        CORRECTED: facts(total=16185, train=8144, test=8041),
        FAILS: facts(each=701),
    },
    "stats-internal-cross-references": {
        HOLDS: pointing([3], [3, 5]),
        CORRECTED: pointing([3], [4]),
        FAILS: pointing([3], [4, 5]),
    },
}

NEAR = [
    ("stats-text-quotes-wemoe", "one pair", CORRECTED, vision({("WEMoE", AVG): "84.5"})),
    ("stats-text-quotes-wemoe", "another above", FAILS, vision({("WEMoE", AVG): "94.6"})),
    (
        "stats-text-nlp-gains",
        "another gain",
        CORRECTED,
        language({("LW StatsMerging ✓", AVG): "77.7 (+3.8)"}),
    ),
    (
        "stats-text-nlp-gains",
        "no gain",
        FAILS,
        language(t5large={("LW StatsMerging ✓", AVG): "77.0"}),
    ),
    (
        "stats-headline-accuracies",
        "not to be found",
        FAILS,
        headline(t5base={("LW StatsMerging ✓", AVG): "77.7"}),
    ),
    (
        "stats-headline-accuracies",
        "a better one in Table 7",
        FAILS,
        (table(B32), table("table7", {("EMR-MERGING", AVG): "94.6"}), table(T5B)),
    ),
    (
        "stats-table1-characteristics",
        "a second with five",
        FAILS,
        ticks({("AdaMerging", "No TT Samples"): "✓", ("AdaMerging", HETERO): "✓"}),
    ),
    ("stats-table16-training-size", "other amounts", HOLDS, data(plus=84.55, sixteen=())),
    ("stats-table16-training-size", "equal amounts", FAILS, data(sixteen=((5, 84), (5, 85)))),
    (
        "stats-table16-training-size",
        "the order of all",
        CORRECTED,
        data(sixteen=((1, 84.5), (9, 95))),
    ),
    ("stats-sml-plus-model-cost", "in FLOPs", HOLDS, (costs(size=10.99, work=1.475), counts())),
    (
        "stats-sml-plus-model-cost",
        "the size alone",
        FAILS,
        (costs(plain=10.95, plain_work=3), counts()),
    ),
    ("stats-sml-plus-model-cost", "the work alone", FAILS, (costs(work=2.95), counts())),
    ("stats-sml-plus-model-cost", "over one per cent", FAILS, (costs(plain=10.85), counts())),
    ("stats-sml-plus-model-cost", "the paper's", FAILS, of_the_paper()[:2]),
    ("stats-table8-22-of-320", "below the layers of Fig. 6", FAILS, (counts(vit=161, extra=40),)),
    ("stats-table8-22-of-320", "no 22", FAILS, (counts(resnet=21),)),
    ("stats-table8-22-of-320", "one task", HOLDS, (counts(vit=320),)),
    ("stats-table8-22-of-320", "the paper's", FAILS, of_the_paper()[1:2]),
    ("stats-wsc-granularity", "one of the two", UNDECIDED, (scores(62.5, 66.2),)),
    ("stats-wsc-granularity", "a tenth", CORRECTED, (scores(62.9, 66.6),)),
    ("stats-wsc-granularity", "the paper's", UNDECIDED, of_the_paper()[2:]),
    ("stats-split-811", "within half a per cent", CORRECTED, split(mnist=(63000, 7800))),
    ("stats-split-811", "rows of others are not asked", HOLDS, split(others=(0.2, 63.1))),
    ("stats-split-811", "one of the two is no mean", FAILS, split(own=(66.7, 0.2))),
    ("stats-datasets-counts", "a limit that is passed", FAILS, facts(each=700, total=16185)),
    ("stats-datasets-counts", "thirds", FAILS, facts(total=16185, train=10790, test=5395)),
    ("stats-internal-cross-references", "nowhere", FAILS, pointing([])),
]

SAID = {
    ("stats-text-quotes-wemoe", CORRECTED): {"wemoe": 89.4, "short": 4.9},
    ("stats-text-nlp-gains", CORRECTED): {"large_gain": 0.6, "without": 74.4, "lead": 1 / 7},
    ("stats-table18-lines", CORRECTED): {"best": 77.6, "lead": 6.9, "ties_there": 72.4},
    ("stats-headline-accuracies", CORRECTED): {
        "vision": PLUS,
        "language": PLAIN,
        "plain": 84.5,
        "best": 89.4,
        "rival": "WEMoE",
    },
    ("stats-headline-accuracies", HOLDS): {"vision": f"{PLAIN} and {PLUS}"},
    ("stats-table1-characteristics", CORRECTED): {
        "ran": "AdaMerging",
        "both": "StatsMerging, TIES-Merging",
    },
    ("stats-forty-percent-more-data", CORRECTED): {"ratio": 5, "more": 400},
    ("stats-table16-training-size", CORRECTED): {
        "fit": 0,
        "top": 89.1,
        "parts.1.scores": "5 % 84.5, 25 % 86.6, 75 % 89.1",
    },
    ("stats-sml-plus-model-cost", FAILS): {"tensors": 158, "learners": 10.99838, "least": 25.6},
    ("stats-sml-plus-model-cost", "the paper's"): {"plain": 2.947, "least": 25.557},
    ("stats-sml-own-cost", CORRECTED): {"size": 0.0306, "work": 0.000495, "of_tower": 0.417},
    ("stats-table8-22-of-320", HOLDS): {"ways": "2 x layers", "subsampled": "units"},
    ("stats-table8-22-of-320", "the paper's"): {
        "ways": "none",
        "most": 302,
        "elsewhere": "entries of the state dict",
    },
    ("stats-wsc-granularity", CORRECTED): {"fits": "273"},
    ("stats-wsc-granularity", "the paper's"): {
        "others": 20,
        "column": "72",
        "fits": "none",
        "smallest": 74,
        "means": "6 of 72, 3 of 273, 10 of 27",
    },
    ("stats-split-811", CORRECTED): {
        "shares.0.share": 100 / 7,
        "fits": "27",
        "scores": "59.3 and 66.7",
        "means": "1 of 27, 10 of 28",
    },
    ("stats-datasets-counts", CORRECTED): {"halves": "cannot", "total": 16185},
    ("stats-internal-cross-references", CORRECTED): {
        "wrong": 1,
        "astray.0": {"section": "4.1", "means": "4"},
        "twice.0": {"number": 3, "times": 2},
    },
}

ORDERED = {"stats-headline-accuracies"}  # names of blocks
