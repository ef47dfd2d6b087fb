"""Made-up tables for the claims of Chapter 2; `tests/test_deciders.py` says what they are for."""

import pandas as pd
from tables import NAN, frame, packed, two

from mergebook import ledger
from mergebook.ch2 import costs as counts
from mergebook.ch2 import printed
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

B32, L14 = "ViT-B/32", "ViT-L/14"


def table(number, changes=None, labels=("Backbone", "Method")):
    """A printed table, some of its cells changed: `{(labels…): {column: value}}`."""
    found = ledger.printed(f"mloss_table{number}")
    keys = found.set_index([name for name in labels if name in found])
    for row, cells in (changes or {}).items():
        for column, value in cells.items():
            keys.loc[row, column] = value
    return keys.reset_index()


def table1(changes=None):
    return (table(1, changes),)


def numbered(number, label, changes=None):
    return (table(number, changes, (label,)),)


def every(method, value, backbones=(B32, L14)):
    """A row of one number."""
    return {(b, method): dict.fromkeys([*printed.TASKS, "Avg"], value) for b in backbones}


def far(*cells):
    rows = [("TIES", "StatsMerging", n, 0.4 + n) for n in cells]
    return (pd.DataFrame(rows, columns=["baseline", "paper", "cells", "largest"]),)


def type_faces(**wrong):
    """What a reader of the PDF would note, column by column; `wrong` marks another second best."""
    rows = []
    for backbone, part in printed.by_backbone(table(1)).items():
        for task in printed.TASKS:
            best, second = part[task].sort_values(ascending=False).index[:2]
            rows.append((backbone, task, best, wrong.get(task, second)))
    return pd.DataFrame(rows, columns=["backbone", "task", "bold", "underlined"])


LEAST = {"Avg": 73.24}


def identities(**errors):
    found = {"average: a": 1e-8, "average: b": 0.0, "task arithmetic: a": 1e-8} | errors
    return (frame(way=list(found), error=list(found.values())),)


def forms(apart=0.1, unit_same=True, added=(90, 80), summed=(50, 40)):
    row = {"sum": 2.5, "raw_sum": 1.1, "passes": 8.0, "apart": apart, "unit_same": unit_same}
    row |= {"added": [packed(n) for n in added], "summed": [packed(n) for n in summed]}
    row["raw"] = [packed(80), packed(82)]
    return (pd.DataFrame([row]),)


def moments(mean=1.001, variance=1.01, raw=0.301):
    return (
        frame(
            **{
                "k": [0.3, 0.3],
                "mean": [1.0, mean],
                "(1-k)/k": [7 / 3, 7 / 3],
                "variance": [7 / 3, variance * 7 / 3],
                "mean, not rescaled": [0.3, raw],
            }
        ),
    )


def harm(points=(8, 4, 2), whole=(50, 60, 70), spread=0.1):
    """Two worlds, three widths; `points` are lost at the mild drop rate, twice as many at 0.9."""
    rows = [
        {
            "world": world,
            "width": 16 * 2**i,
            "dropped": dropped,
            "whole": full,
            "dare": full - times * value,
            "noise": full - times,
            "whole_natural": full,
            "dare_natural": full - 1,
        }
        for i, (lost, full) in enumerate(zip(points, whole))
        for dropped, times in ((0.5, 1), (0.9, 2))
        for world, value in enumerate(two(lost, spread))
    ]
    return (pd.DataFrame(rows),)


def costs(storage=7.97):
    rows = [("B", 88, 4, storage, 8.0), ("L", 304, 81, 7.99, 8.0)]
    return (pd.DataFrame(rows, columns=["tower", "millions", "giga_macs", "storage", "compute"]),)


def passes(**counted):
    found = counts.formulas(5, 8)
    rows = [(way, counted.get(way.split(", ")[-1], n), n) for way, n in found.items()]
    return (pd.DataFrame(rows, columns=["way", "counted", "formula"]),)


def work(few=4000, every=13000, test=10**6):
    return (
        frame(
            tower=["B", "L"],
            layers=["8, 9", "20, 21"],
            few=[few, 5000],
            all=[every, 27000],
            test=[test, 2 * 10**6],
        ),
    )


def times(base=(1.0, 2.5, 1.5), large=(1.2, 5.0, 4.0), spread=1.05):
    """M-TIES over TIES in one array, in slabs and by tensor, on two towers; rounds differ."""
    names, parts = [counts.ARRAY, counts.SLABS, counts.TENSORS, counts.M_TIES], []
    for tower, ratios in {"B": base, "L": large}.items():
        part = frame(tower=tower, name=names, seconds=[*(60 / ratio for ratio in ratios), 60.0])
        parts.append(part.assign(low=part.seconds / spread, high=part.seconds * spread))
    return (pd.concat(parts, ignore_index=True),)


def spent(evaluation=300, m_ties=90):
    return frame(tower=["B", "L"], ties=30, m_ties=m_ties, evaluation=[evaluation, 900])


CASES = {
    "mloss-cost-layer-count": {HOLDS: passes(), FAILS: passes(**{"a pass a layer": 51})},
    "mloss-few-layer-cost": {
        HOLDS: (work(test=10)[0].assign(test=10),),
        CORRECTED: work(),
        FAILS: work(few=6600),
    },
    "mloss-evaluation-dominates-time": {
        HOLDS: (*work(), spent()),
        FAILS: (*work(test=12999), spent(evaluation=80)),
        UNDECIDED: (*work(test=12999), spent()),
    },
    "mloss-time-three-times-ties": {
        HOLDS: times((1.8, 2.5, 2.0), (3.0, 5.2, 4.0)),
        CORRECTED: times(),
        FAILS: times((1.3, 7.0, 1.0), (3.0, 20.0, 3.0)),
        UNDECIDED: times((1.3, 6.1, 1.5)),
    },
    "mloss-simple-average": {
        HOLDS: identities(),
        FAILS: identities(**{"average: b": 1e-3}),
        UNDECIDED: identities(**{"average: b": NAN}),
    },
    "mloss-task-arithmetic-lambda-over-n": {
        HOLDS: identities(),
        FAILS: identities(**{"task arithmetic: a": 1e-3}),
        UNDECIDED: identities(**{"task arithmetic: a": NAN}),
    },
    "mloss-adamerging-form": {
        HOLDS: forms(apart=1e-7),
        CORRECTED: forms(),
        FAILS: forms(unit_same=False),
        UNDECIDED: forms(apart=NAN, unit_same=False),
    },
    "mloss-ties-three-steps": {
        HOLDS: (frame(stacks=[20, 20], error=[0.0, 1e-15]),),
        FAILS: (frame(stacks=[20, 20], error=[0.0, 0.5]),),
        UNDECIDED: (frame(stacks=[20, 20], error=[0.0, NAN]),),
    },
    "mloss-dare-rescale": {
        HOLDS: moments(),
        FAILS: moments(mean=1.04),
        UNDECIDED: moments(variance=NAN),
    },
    "mloss-dare-needs-large-models": {
        HOLDS: harm(),
        CORRECTED: harm(points=(8, 8, 8), whole=(30, 60, 90)),
        FAILS: harm(points=(2, 4, 8)),
        UNDECIDED: harm(points=(8, 8, 8), whole=(60, 60, 60)),
    },
    "mloss-ensemble-cost": {HOLDS: costs(), FAILS: costs(storage=4.0)},
    "mloss-table1-averages": {HOLDS: table1(), FAILS: table1({(B32, "TIES"): {"Avg": 72.43}})},
    "mloss-table1-consistently-outperforms": {
        HOLDS: table1(every("M-TIES", 99.9)),
        CORRECTED: table1(),
        FAILS: table1({(L14, "DARE"): {"Avg": 85.29}}),
    },
    "mloss-table1-beats-ensembling-on-some": {
        HOLDS: table1(),
        FAILS: table1({(L14, "Ensembling"): dict.fromkeys(printed.TASKS, 99.9)}),
        UNDECIDED: table1({(L14, "Ensembling"): {"Avg": 86.5}}),
    },
    "mloss-table1-gap-to-ensembling": {
        HOLDS: table1(),
        FAILS: table1({(L14, "M-TIES"): {"Avg": 85.29}}),
    },
    "mloss-table1-marks": {
        HOLDS: (*table1(), type_faces()),
        FAILS: (*table1(), type_faces(MNIST="M-TIES")[:3]),
        UNDECIDED: (*table1(), type_faces()[:0]),
    },
    "mloss-task-variance": {HOLDS: table1(), FAILS: table1({(B32, "DARE"): {"SVHN": 84.06}})},
    "mloss-variance-means-fairness": {
        HOLDS: table1(every("M-TIES", 70.0)),
        CORRECTED: table1(),
        FAILS: table1(every("DARE", 70.0)),
    },
    "mloss-table3-seeds": {
        HOLDS: numbered(3, "Random Seed", {"1": {"Avg": 73.226}}),
        CORRECTED: numbered(3, "Random Seed"),
        FAILS: numbered(3, "Random Seed", {"Std": {"EuroSAT": 0.34}}),
    },
    "mloss-table4-averages": {
        HOLDS: numbered(4, "Method"),
        FAILS: numbered(4, "Method", {"TIES": {"Avg": 57.57}}),
    },
    "mloss-table5-few-layer-b32": {
        HOLDS: numbered(5, "Layer Index"),
        FAILS: numbered(5, "Layer Index", {"8,9,10": {"Avg": 73.223}}),
    },
    "mloss-table6-few-layer-l14": {
        HOLDS: numbered(6, "Layer Index"),
        FAILS: numbered(6, "Layer Index", {"All": {"Avg": 85.276}}),
    },
    "mloss-summary-close-to-ensembling": {
        HOLDS: table1({(B32, "M-TIES"): {"Avg": 77.57}}),
        CORRECTED: table1(),
        FAILS: table1({(L14, "M-TIES"): {"Avg": 84.55}}),
    },
    "mloss-xpaper-b32-baselines": {HOLDS: far(0, 3), FAILS: far(0, 0)},
}

OTHER_STD = {"Std": {"Avg": 0.04}}


def equal_marks():
    """On ViT-L/14, Cars, M-TIES and DARE are equal: the other one is underlined."""
    found = type_faces()
    at = (found.backbone == L14) & (found.task == "Cars")
    other = {"M-TIES": "DARE", "DARE": "M-TIES"}[found[at].underlined.iloc[0]]
    return found.assign(underlined=found.underlined.where(~at, other))


MINE = table(1).set_index(["Backbone", "Method"]).loc[(L14, "M-TIES")]
NEAR = [
    ("mloss-adamerging-form", "as good as learnt", FAILS, forms(summed=(90, 80))),
    (
        "mloss-dare-needs-large-models",
        "steps that are clear one by one alone",
        UNDECIDED,
        harm(points=(8, 8, 8), whole=(30, 60, 90), spread=4.0),
    ),
    (
        "mloss-evaluation-dominates-time",
        "half on one network",
        UNDECIDED,
        (*work(), spent(evaluation=90)),
    ),
    (
        "mloss-time-three-times-ties",
        "near in some rounds alone",
        UNDECIDED,
        times((1.0, 2.5, 1.5), (1.2, 5.6, 4.0)),
    ),
    (
        "mloss-time-three-times-ties",
        "each tower in another form",
        FAILS,
        times((1.0, 2.5, 1.0), (1.2, 7.0, 4.0)),
    ),
    ("mloss-table1-marks", "one column", UNDECIDED, (*table1(), type_faces()[:1])),
    ("mloss-table1-marks", "an equal", HOLDS, (*table1(), equal_marks())),
    ("mloss-table3-seeds", "of the average", FAILS, numbered(3, "Random Seed", OTHER_STD)),
    (
        "mloss-simple-average",
        "another rule's error",
        HOLDS,
        identities(**{"task arithmetic: a": 1}),
    ),
    ("mloss-dare-rescale", "another variance", FAILS, moments(variance=1.04)),
    ("mloss-dare-rescale", "a raw mean that is not k", FAILS, moments(raw=0.32)),
    (
        "mloss-dare-needs-large-models",
        "a narrowest that loses half a point",
        CORRECTED,
        harm(points=(0.5, 0.3, 0.1), spread=0.01),
    ),
    ("mloss-dare-needs-large-models", "one step up", UNDECIDED, harm(points=(8, 2, 4))),
    ("mloss-dare-needs-large-models", "one world", UNDECIDED, (harm()[0].query("world == 0"),)),
    ("mloss-ensemble-cost", "more than eight", FAILS, costs(storage=8.1)),
    ("mloss-table1-averages", "as rounding allows", HOLDS, table1({(B32, "M-TIES"): LEAST})),
    ("mloss-table1-averages", "a cell", FAILS, table1({(L14, "DARE"): {"Cars": 83.5}})),
    (
        "mloss-table1-consistently-outperforms",
        "a highest average that is shared",
        FAILS,
        table1({(L14, "DARE"): {"Avg": 85.28}}),
    ),
    (
        "mloss-table1-consistently-outperforms",
        "half of the tasks on ViT-L/14 too",
        CORRECTED,
        table1({(L14, "TIES"): {"Cars": 99.0, "MNIST": 99.9, "DTD": 99.0}}),
    ),
    (
        "mloss-table1-gap-to-ensembling",
        "as far above",
        FAILS,
        table1({(B32, "M-TIES"): {"Avg": 83.89}}),
    ),
    (
        "mloss-table1-beats-ensembling-on-some",
        "as good is not above",
        FAILS,
        table1({(L14, "Ensembling"): dict(MINE)}),
    ),
    (
        "mloss-variance-means-fairness",
        "lowest of three, not of five",
        CORRECTED,
        table1({(B32, "M-TIES"): dict.fromkeys(printed.TASKS, 70.0) | {"SVHN": 33.0}}),
    ),
    (
        "mloss-table3-seeds",
        "an average two digits off",
        FAILS,
        numbered(3, "Random Seed", {"2": {"Avg": 73.162}}),
    ),
    (
        "mloss-summary-close-to-ensembling",
        "one point is not less",
        CORRECTED,
        table1({(B32, "M-TIES"): {"Avg": 77.56}}),
    ),
]

SAID = {
    ("mloss-cost-layer-count", HOLDS): {"shared": 162, "alone": 624, "once": 96, "one_pass": 107},
    ("mloss-few-layer-cost", CORRECTED): {"towers.0.times": 3.25},
    ("mloss-evaluation-dominates-time", HOLDS): {
        "towers.0.times": 10**6 / 13000,
        "printed.0": {"tower": "B", "share": 100 * 300 / 390, "total": 390},
    },
    ("mloss-time-three-times-ties", CORRECTED): {
        "card.0": {"tower": "B", "form": "TIES in slabs"},
        "card.0.ratio.value": 2.5,
        "card.0.ratio.high": 2.5 * 1.05**2,
        "card.2.ratio.value": 1,
        "forms": "TIES in slabs",
        "slower.1.more": 48,
    },
    ("mloss-adamerging-form", CORRECTED): {
        "sum": 2.5,
        "added": 85,
        "summed": 45,
        "difference.value": -40,
    },
    ("mloss-ties-three-steps", HOLDS): {"stacks": 40},
    ("mloss-dare-needs-large-models", HOLDS): {
        "widths.0": {"width": 16, "points": 12, "share": 30, "noisy": 1.5},
        "mild.value": 8,
    },
    ("mloss-table1-averages", HOLDS): {"off": 0.005, "rows": 12},
    ("mloss-table1-consistently-outperforms", CORRECTED): {
        "backbones.0": {"won": 4, "tasks": "RESISC45, DTD, EuroSAT, GTSRB"},
        "backbones.1.won": 7,
    },
    ("mloss-table1-gap-to-ensembling", HOLDS): {"backbones.0.gap": 5.33, "backbones.1.gap": 0.28},
    ("mloss-table1-beats-ensembling-on-some", HOLDS): {
        "backbones.0": {"gap": 5.33, "mties": 2, "ties": 2, "dare": 2},
        "backbones.1": {"gap": 0.28, "mties": 5, "ties": 4, "dare": 5},
    },
    ("mloss-table1-marks", UNDECIDED): {
        "backbones.0.best": "TIES 2, Ensembling 6",
        "backbones.1.best": "M-TIES 5, Ensembling 3",
    },
    ("mloss-task-variance", HOLDS): {
        "methods.0": {"method": "M-TIES", "variance": 172.22, "printed": "172.22"},
        "methods.2.variance": 197.61,
    },
    ("mloss-table3-seeds", CORRECTED): {
        "off": 0.0004338,
        "mean_off": 0.001375,
        "fixed": 0.025146,
        "average": 0.036828,
        "wrong.0": {"seed": "1", "mean": 73.226375, "printed": 73.225},
    },
    ("mloss-table4-averages", HOLDS): {"off": 0.004, "ties": 5.91, "dare": 3.21},
    ("mloss-table6-few-layer-l14", HOLDS): {"spread": 0.022},
    ("mloss-summary-close-to-ensembling", CORRECTED): {
        "backbones.0.gap": 5.33,
        "backbones.1.gap": 0.28,
    },
}

ORDERED = ()
