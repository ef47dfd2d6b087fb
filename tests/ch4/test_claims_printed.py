"""Made-up tables for the claims of page 04f; `tests/test_deciders.py` says what they are for."""

from functools import partial

import pandas as pd
from tables import frame

from mergebook import ledger
from mergebook.ch4 import printed
from mergebook.ch4.claims.printed import SCOPE
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


def networks(uniform=70.0, logits=72.0, count=20, last=None):
    """Rows of some architectures on CIFAR-100, greedy soups at 72; of `last` other uniform ones."""
    out = [(f"network {i}", SCOPE, m, uniform, logits) for i in range(count) for m in (2, 10)]
    out.append(("VGG19", "CIFAR-10", 2, 99.0, 99.0))
    names = ("architecture", "data", "models", "uniform", "greedy logits")
    found = frame(**dict(zip(names, zip(*out))), greedy=72.0, **{"greedy features": 72.0})
    if last is not None:
        found.loc[found.architecture == "network 0", ["uniform", "greedy logits"]] = last
    return (found,)


def by_size(soup):
    """Donors with these soups, from the smallest to the largest."""
    names = ["DermaMNIST", "CIFAR-10", "TinyImageNet", "PathMNIST", "ChestXRay", "Celeba"]
    return donors({(n, "soup"): s for n, s in zip(names, soup)})


def counts(parameters=0.0, others=0.0, flops=1.0, increments=(0.02, 0.02, 0.03, 0.03)):
    """The four VGG of Table 8, and twelve other networks.

    How far parameters of two VGG are off, and those of the others; FLOPs over multiply-adds,
    increments.
    """
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
    rest = plain.iloc[[1] * 12].assign(network=[f"net {i}" for i in range(12)])
    rest["parameters"] += others
    return (pd.concat([plain, plain.assign(**more), rest], ignore_index=True),)


def stated(patients=30_805):
    return (frame(what=["images", "patients", "labels"], number=[112_120, patients, 14]),)


def equations(number=9, says=printed.QUARTER_RULE):
    return (frame(number=[1, number], says=["another", says]),)


def scores(claim, models):
    """Cases of a table: as printed or mended; and with a score that no test set allows."""
    odd = {(f"PathMNIST {models}", "uniform"): 50.005}
    return {claim: {HOLDS: soups(MENDED), FAILS: soups(MENDED | odd)}}


FIRST = {(f"{n} models", "Ens Fts*"): 9.0 for n in (2, 3, 5, 7, 10)}
BEHIND = FIRST | {
    (f"{n} models", c): 9.0 for n in (2, 3, 5, 7, 10) for c in ("Ens Fts", "Grd Ens Fts")
}
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
        HOLDS: networks(),
        FAILS: networks(uniform=73.0),
        UNDECIDED: rows(),
    },
    "rethink-greedy-ensembles-comparable": {
        HOLDS: networks(),
        FAILS: rows({("CIFAR-100 2", "greedy logits"): 72.0}),
        UNDECIDED: rows(),
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
        CORRECTED: table10(FIRST),
        FAILS: table10(),
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
        FAILS: counts(others=0.15),
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
    (
        "rethink-table10-inferior-to-features",
        "in all rows but one",
        FAILS,
        table10(FIRST | {("2 models", "Ens Fts*"): 6.0}),
    ),
    ("rethink-greedy-beats-uniform", "of 19", UNDECIDED, networks(count=19)),
    ("rethink-greedy-beats-uniform", "one exception", HOLDS, networks(last=73.0)),
    ("rethink-greedy-ensembles-comparable", "of 19", UNDECIDED, networks(count=19)),
    ("rethink-greedy-ensembles-comparable", "one exception", FAILS, networks(last=70.0)),
    (
        "rethink-greedy-ensembles-comparable",
        "other data",
        UNDECIDED,
        rows({("Celeba 2", "greedy logits"): 80.0}),
    ),
    ("rethink-table2-datasets", "classes", FAILS, sizes({("CelebA", "classes"): "10"})),
    ("rethink-table2-datasets", "two", FAILS, sizes({("CelebA", "printed"): 162_770})),
    ("rethink-table8-parameters", "at the bound", CORRECTED, counts(parameters=0.11)),
    ("rethink-table8-parameters", "one more", FAILS, counts(parameters=0.15, others=0.11)),
    (
        "rethink-table8-bn-increment",
        "one decimal, perhaps",
        HOLDS,
        counts(increments=(0.02, 0.02, 0.07, 0.03)),
    ),
    ("rethink-table8-bn-increment", "none", HOLDS, counts(increments=(0.0, 0.0, 0.0, 0.0))),
]

SAID = {
    ("rethink-uniform-soup-worst", UNDECIDED): {"agree": 5, "rows": 5, "networks": 1, "every": 6},
    ("rethink-logit-ensemble-always-best", "as printed"): {"agree": 4, "rows": 4, "networks": 1},
    ("rethink-greedy-beats-uniform", UNDECIDED): {
        "all": 33,
        "every": 40,
        "agree": 5,
        "rows": 5,
        "exceptions.1": {"data": "TinyImageNet", "models": "7, 10"},
    },
    ("rethink-greedy-ensembles-comparable", UNDECIDED): {
        "agree": 5,
        "networks": 1,
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
    ("rethink-table6-five-models", "as printed"): {
        "apart": 10.7,
        "at": "CIFAR-10",
        "low": 0.8,
        "checked": 12,
        "entries": 42,
    },
    ("rethink-table3-best-donor", FAILS): {"best": "ChestXRay", "soup": 61.38, "named": 61.02},
    ("rethink-table3-size-effect", UNDECIDED): {
        "rho": -1 / 7,
        "p": 0.8028,
        "needed": 0.8857,
        "small.donor": "DermaMNIST",
    },
    ("rethink-table3-cifar10-small-scale", UNDECIDED): {"smaller": 1, "below": 5},
    ("rethink-table3-celeba-mediocre", HOLDS): {"rank": 5, "median": 55.0},
    ("rethink-table10-inferior-to-features", FAILS): {
        "pairs.0": {"behind": 4, "mean": 0.152},
        "pairs.1": {"behind": 0},
        "pairs.2": {"behind": 4},
        "pairs.3": {"behind": 2, "mean": 0.066},
        "pairs.5": {"behind": 3},
        "there": "none",
    },
    ("rethink-table2-datasets", CORRECTED): {"unlike.0.data": "TinyImageNet"},
    ("rethink-eq14-reference", CORRECTED): {"last": 9, "numbers": "9"},
    ("rethink-table8-parameters", CORRECTED): {"most": 0.15},
    ("rethink-table8-bn-increment", FAILS): {"networks.1": {"low": 7.5, "high": 18.5}},
}

ORDERED = set()
