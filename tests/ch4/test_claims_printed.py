"""Made-up tables for the claims of page 04f; `tests/test_deciders.py` says what they are for."""

from functools import partial

import pandas as pd
from tables import frame

from mergebook import ledger
from mergebook.ch4 import printed
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def changed(table, index, changes=None):
    """A table with other cells, `{(row, column): value}`; rows by the columns `index`."""
    table = table.copy()
    for (row, column), value in (changes or {}).items():
        where = (table[index].astype(str).agg(" ".join, axis=1) == row).to_numpy()
        assert where.any() and column in table, (row, column)
        table.loc[where, column] = value
    return (table,)


SOUPS = printed.soup_tables()
EVERY = pd.concat([SOUPS, printed.deit_table()], ignore_index=True)
soups = partial(changed, SOUPS, ["data", "models"])
rows = partial(changed, EVERY, ["data", "models"])
donors = partial(changed, printed.donor_table(), ["donor"])
sizes = partial(changed, printed.size_table(), ["data"])
table10 = partial(changed, ledger.printed("rethinking_table10"), ["Model #"])
MENDED = {("CIFAR-10 5", "greedy logits"): 92.65}
ALIKE = {
    (f"{d} {m}", c): SOUPS.greedy[(SOUPS["data"] == d) & (SOUPS.models == m)].iloc[0]
    for d, m in zip(SOUPS["data"], SOUPS.models)
    for c in printed.GREEDY_ENSEMBLES
}
SAFE = {(f"PathMNIST {n}", "features"): 92.0 for n in (2, 3, 5, 7, 10)} | {
    (f"DermaMNIST {n}", "features"): 75.0 for n in (2, 3, 5, 7, 10)
}


def ends(data=("CIFAR-100",), networks=1, best="logits", last="uniform"):
    """Best and last of five numbers of models; in all but the first row logits and uniform."""
    out = [
        (f"network {i}", d, m, "logits", "uniform")
        for i in range(networks)
        for d in data
        for m in (2, 3, 5, 7, 10)
    ]
    out[0] = (*out[0][:3], best, last)
    out.append(("VGG19", "CIFAR-10", 2, "logits", "single"))
    names = ("architecture", "data", "models", "best", "last")
    return (frame(**dict(zip(names, zip(*out)))),)


def by_size(soup):
    """Donors with these soups, from the smallest to the largest."""
    names = ["DermaMNIST", "CIFAR-10", "TinyImageNet", "PathMNIST", "ChestXRay", "Celeba"]
    return donors({(n, "soup"): s for n, s in zip(names, soup)})


def counts(parameters=0.0, flops=1.0, increments=(0.02, 0.02, 0.03, 0.03)):
    """The four VGG of Table 8: how far parameters are off, FLOPs over multiply-adds, increments."""
    names = ["VGG11", "VGG13", "VGG16", "VGG19"]
    macs, entries = [7.6, 11.3, 15.5, 19.6], [0.01, 0.01, 0.015, 0.015]
    plain = frame(
        network=names,
        parameters=[132.9 + parameters, 133.0, 138.4, 143.7],
        printed=[132.9, 133.0, 138.4, 143.7],
        normalised=0.0,
        FLOPs=[flops * m for m in macs],
        **{"multiply-adds": macs},
    )
    more = {"network": [f"{n}_BN" for n in names], "normalised": entries}
    more["FLOPs"] = plain.FLOPs + list(increments)
    return (pd.concat([plain, plain.assign(**more)], ignore_index=True),)


def stated(patients=30_805):
    return (frame(what=["images", "patients", "labels"], number=[112_120, patients, 14]),)


def equations(number=9, says=printed.QUARTER_RULE):
    return (frame(number=[1, number], says=["another", says]),)


def scores(claim, models):
    """Cases of a table: as printed or mended; and with a score that no test set allows."""
    odd = {(f"PathMNIST {models}", "uniform"): 50.005}
    return {claim: {HOLDS: soups(MENDED), FAILS: soups(MENDED | odd)}}


FIRST = {(f"{n} models", "Ens Fts*"): 9.0 for n in (2, 3, 5, 7, 10)}
BEHIND = FIRST | {(f"{n} models", "Ens Fts"): 9.0 for n in (2, 3, 5, 7, 10)}
TINY = {("TinyImageNet", "printed"): 120_000}

CASES = {
    "rethink-uniform-soup-worst": {
        HOLDS: ends(networks=20),
        FAILS: ends(last="greedy"),
        UNDECIDED: ends(),
    },
    "rethink-logit-ensemble-always-best": {
        HOLDS: ends(networks=20),
        FAILS: ends(best="features"),
        UNDECIDED: ends(),
    },
    "rethink-greedy-beats-uniform": {
        HOLDS: rows(),
        FAILS: rows(
            {(f"{d} {m}", "uniform"): 99.0 for d in ("ChestXRay", "Celeba") for m in (2, 3, 5, 7)}
            | {(f"{d} 2", "uniform"): 99.0 for d in ("CIFAR-100", "PathMNIST", "DermaMNIST")}
        ),
    },
    "rethink-greedy-ensembles-comparable": {
        HOLDS: soups(ALIKE),
        CORRECTED: rows(),
        FAILS: rows({("Celeba 2", "greedy logits"): 90.0}),
    },
    "rethink-ensembling-more-stable": {
        HOLDS: soups(SAFE),
        CORRECTED: soups(),
        FAILS: soups({("Celeba 2", "logits"): 80.0}),
    },
    **scores("rethink-table1-ten-model-datasets", 10),
    **scores("rethink-table4-two-models", 2),
    **scores("rethink-table5-three-models", 3),
    **scores("rethink-table6-five-models", 5),
    **scores("rethink-table7-seven-models", 7),
    "rethink-table3-best-donor": {HOLDS: donors({("TinyImageNet", "soup"): 61.4}), FAILS: donors()},
    "rethink-table3-size-effect": {
        HOLDS: by_size([10, 20, 30, 40, 50, 60]),
        FAILS: by_size([60, 50, 40, 30, 20, 10]),
        UNDECIDED: donors(),
    },
    "rethink-table3-cifar10-small-scale": {
        HOLDS: donors({("DermaMNIST", "soup"): 40.0}),
        FAILS: donors({("CIFAR-10", "soup"): 70.0}),
        UNDECIDED: donors(),
    },
    "rethink-table3-celeba-mediocre": {HOLDS: donors(), FAILS: donors({("Celeba", "soup"): 62.0})},
    "rethink-table10-inferior-to-features": {
        HOLDS: table10(BEHIND),
        CORRECTED: table10(),
        FAILS: table10({("2 models", "Uni Soups"): 9.0}),
    },
    "rethink-table2-datasets": {
        HOLDS: sizes(TINY),
        CORRECTED: sizes(),
        FAILS: sizes({("CelebA", "printed"): 162_770}),
    },
    "rethink-large-scale-datasets": {
        HOLDS: sizes(TINY),
        CORRECTED: sizes(),
        FAILS: sizes({("ChestXRay", "published"): 100_000}),
    },
    "rethink-chestxray-patients": {HOLDS: stated(), FAILS: stated(30_806)},
    "rethink-eq14-reference": {
        HOLDS: equations(14),
        CORRECTED: equations(),
        FAILS: equations(says="another"),
    },
    "rethink-table8-parameters": {
        HOLDS: counts(),
        CORRECTED: counts(parameters=0.15),
        FAILS: counts(parameters=0.3),
    },
    "rethink-table8-flops": {
        HOLDS: counts(flops=2.0),
        CORRECTED: counts(),
        FAILS: counts(flops=1.5),
    },
    "rethink-table8-bn-increment": {
        HOLDS: counts(),
        FAILS: counts(increments=(0.13, 0.13, 0.02, 0.03)),
    },
}

NEAR = [
    ("rethink-uniform-soup-worst", "other data", UNDECIDED, ends(data=("CIFAR-100", "Celeba"))),
    ("rethink-uniform-soup-worst", "of 19", UNDECIDED, ends(networks=19)),
    ("rethink-logit-ensemble-always-best", "not last", FAILS, ends(last="greedy")),
    ("rethink-logit-ensemble-always-best", "as printed", UNDECIDED, (printed.extremes(EVERY),)),
    ("rethink-table6-five-models", "as printed", FAILS, soups()),
    ("rethink-table4-two-models", "far off", FAILS, soups({("Celeba 2", "greedy logits"): 85.0})),
    ("rethink-table3-size-effect", "one exchanged", HOLDS, by_size([10, 20, 30, 40, 60, 50])),
    ("rethink-table3-size-effect", "two", UNDECIDED, by_size([20, 10, 40, 30, 60, 10.5])),
    ("rethink-table3-celeba-mediocre", "last", FAILS, donors({("Celeba", "soup"): 20.0})),
    ("rethink-table10-inferior-to-features", "in some rows", CORRECTED, table10(FIRST)),
    ("rethink-table2-datasets", "classes", FAILS, sizes({("CelebA", "classes"): "10"})),
    ("rethink-table2-datasets", "two", FAILS, sizes({("CelebA", "printed"): 162_770})),
    ("rethink-table8-parameters", "at the bound", CORRECTED, counts(parameters=0.11)),
    ("rethink-table8-bn-increment", "none", HOLDS, counts(increments=(0.0, 0.0, 0.0, 0.0))),
]

SAID = {
    ("rethink-uniform-soup-worst", UNDECIDED): {"agree": 5, "rows": 5, "networks": 1, "every": 6},
    ("rethink-logit-ensemble-always-best", "as printed"): {"agree": 4, "rows": 4, "networks": 1},
    ("rethink-greedy-beats-uniform", HOLDS): {
        "over": 33,
        "rows": 40,
        "exceptions.1": {"data": "TinyImageNet", "models": "7, 10"},
        "always": 6,
        "settings": 8,
    },
    ("rethink-greedy-ensembles-comparable", CORRECTED): {
        "first": 10.7,
        "second": 1.63,
        "data": "CIFAR-10",
        "models": 5,
        "here": 0.35,
    },
    ("rethink-ensembling-more-stable", CORRECTED): {
        "methods.0.worst": -57.62,
        "methods.2": {"method": "logits", "worst": 0.16, "best": 5.02},
    },
    ("rethink-table6-five-models", "as printed"): {"apart": 10.7, "at": "CIFAR-10", "low": 0.8},
    ("rethink-table3-best-donor", FAILS): {"best": "ChestXRay", "soup": 61.38, "named": 61.02},
    ("rethink-table3-size-effect", UNDECIDED): {
        "rho": -1 / 7,
        "p": 0.8028,
        "needed": 0.8857,
        "small.donor": "DermaMNIST",
    },
    ("rethink-table3-cifar10-small-scale", UNDECIDED): {"smaller": 1, "below": 5},
    ("rethink-table3-celeba-mediocre", HOLDS): {"rank": 5, "median": 55.0},
    ("rethink-table10-inferior-to-features", CORRECTED): {
        "pairs.0": {"behind": 4, "mean": 0.152},
        "pairs.2": {"behind": 2, "mean": 0.066},
        "pairs.3": {"behind": 0},
    },
    ("rethink-table2-datasets", CORRECTED): {"unlike.0.data": "TinyImageNet"},
    ("rethink-eq14-reference", CORRECTED): {"last": 9, "numbers": "9"},
    ("rethink-table8-parameters", CORRECTED): {"most": 0.15},
    ("rethink-table8-bn-increment", FAILS): {"networks.0": {"low": 12.0, "high": 14.0}},
}

ORDERED = set()
