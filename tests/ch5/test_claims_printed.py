"""Made-up tables for the claims of page 05e; `tests/test_deciders.py` says what they are for."""

from functools import partial

from tables import NAN

from mergebook.ch5 import printed
from mergebook.ch5.printed import TIES_TUNED
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

CELLS, ROWS = printed.tuned_cells(), printed.rounded_averages(0, 400)
RANKS = printed.gains_follow(CELLS, 0, 50)


def changed(table, index, changes=None):
    """A table with other cells, `{(row, column): value}`; rows by the columns `index`."""
    table = table.copy()
    for (row, column), value in (changes or {}).items():
        where = (table[index].astype(str).agg(" | ".join, axis=1) == row).to_numpy()
        assert where.any() and column in table, (row, column)
        table.loc[where, column] = value
    return (table,)


rows = partial(changed, ROWS, ["table", "row"])
cells = partial(changed, CELLS, ["table", "method", "task"])
by_size = partial(changed, printed.by_size_of_t5(), ["row"])
repeats = partial(changed, printed.repeated_averages(), ["table", "method", "when"])
papers = partial(changed, printed.three_papers(), ["paper", "method", "task"])


def off(part, value):
    """All rows as printed, but for one of a part that is so far off."""
    return rows({(f"{part} | TIES, before", "off"): value})


def near(value):
    """All averages within half a unit, but for so many rows of Table 1."""
    table = ROWS.assign(off=0.02)
    table.loc[table.index < value, "off"] = 0.06
    return (table.assign(chance=0.06),)


def no_gain(task, by):
    """All cells as printed but for Table 1's averaging on a task; and all the rank correlations."""
    return (*cells({(f"1 | averaging | {task}", "gain"): by}), RANKS)


def lower(field, by=-1.0):
    """Every cell and average gains a point, but for those of a task."""
    table = CELLS.assign(gain=1.0)
    table.loc[table.task == field, "gain"] = by
    return (table,)


def averages(claim, part):
    return {claim: {HOLDS: rows(), FAILS: off(part, 0.11), UNDECIDED: off(part, NAN)}}


CLOSE = {("averaging, after", c): 0.1 for c in ("AG News", "Yelp", "Amazon", "Yahoo", "DBpedia")}
# As many close cells as chance needs to make a row of them, none of which is close as a whole.
COMMON = {
    (row, column): 0.0
    for row in printed.by_size_of_t5().row
    for column in ("AG News", "Yelp", "Amazon")
}

CASES = {
    **averages("ftc-table1-averages", "1"),
    **averages("ftc-table4a-t5base", "4a"),
    **averages("ftc-table4b-t5large", "4b"),
    **averages("ftc-table5a-vitb16", "5a"),
    **averages("ftc-table5b-vitb32", "5b"),
    "ftc-averages-beyond-rounding": {HOLDS: rows(), FAILS: near(2)},
    "ftc-tables-2-3-repeat-table-1": {
        HOLDS: repeats(),
        FAILS: repeats({("3 | TIES | after", "printed"): 73.1}),
        UNDECIDED: repeats({("2 | TIES | before", "printed"): NAN}),
    },
    "ftc-thirty-point-gap-dbpedia": {
        HOLDS: cells(),
        FAILS: cells({("1 | averaging | DBpedia", "before"): 70.0}),
    },
    "ftc-table1-yelp-unchanged": {HOLDS: no_gain("Yelp", 0.0), FAILS: no_gain("Yelp", 0.1)},
    "ftc-table4b-protocol-hurts": {
        HOLDS: lower("average", 1.0),
        CORRECTED: cells(),
        FAILS: cells({("1 | TIES | average", "gain"): -0.1}),
    },
    "ftc-table4b-duplicated-row": {HOLDS: by_size(), FAILS: by_size({(TIES_TUNED, "Yahoo"): 0.2})},
    "ftc-xpaper-individual-rows": {
        HOLDS: papers(),
        FAILS: papers({("StatsMerging | averaging | DTD", "printed"): 50.2}),
    },
}

NEAR = [
    ("ftc-table1-averages", "a whole unit", HOLDS, off("1", 0.1)),
    ("ftc-table1-averages", "to the other side", FAILS, off("1", -0.11)),
    ("ftc-table1-averages", "off in another table", HOLDS, off("4a", 0.5)),
    ("ftc-averages-beyond-rounding", "six", FAILS, near(6)),
    ("ftc-averages-beyond-rounding", "nine", HOLDS, near(9)),
    (
        "ftc-thirty-point-gap-dbpedia",
        "25",
        HOLDS,
        cells({("1 | averaging | DBpedia", "before"): 58.4}),
    ),
    (
        "ftc-thirty-point-gap-dbpedia",
        "more than 30",
        FAILS,
        cells({("1 | averaging | DBpedia", "before"): 53.3}),
    ),
    ("ftc-table1-yelp-unchanged", "Amazon", FAILS, no_gain("Amazon", 1.9)),
    ("ftc-table4b-protocol-hurts", "an equal cell", HOLDS, lower("Yelp", 0.0)),
    ("ftc-table4b-protocol-hurts", "a whole task", CORRECTED, lower("Yelp")),
    ("ftc-table4b-duplicated-row", "two such rows", FAILS, by_size(CLOSE)),
    ("ftc-table4b-duplicated-row", "close cells are common", FAILS, by_size(COMMON)),
    (
        "ftc-xpaper-individual-rows",
        "another average",
        FAILS,
        papers({("StatsMerging | fine-tuned | average", "printed"): 90.6}),
    ),
    (
        "ftc-xpaper-individual-rows",
        "TIES alike",
        HOLDS,
        papers({("StatsMerging | TIES | average", "printed"): 72.9}),
    ),
]

SAID = {
    ("ftc-table1-averages", HOLDS): {
        "rows": 8,
        "off": 0.08,
        "beyond": 2,
        "gains.0": {"merge": "averaging", "printed": 13.2, "mean": 13.14},
    },
    ("ftc-averages-beyond-rounding", HOLDS): {"beyond": 10, "rows": 36, "above": 4, "below": 6},
    ("ftc-tables-2-3-repeat-table-1", HOLDS): {"numbers": 9, "unlike": 0},
    ("ftc-thirty-point-gap-dbpedia", HOLDS): {"gap": 28.3, "after": 1.2, "TIES": 83.4},
    ("ftc-table1-yelp-unchanged", HOLDS): {
        "rows.0": {"task": "Yelp", "gain": 0.0, "gap": 10.6},
        "ties": 2.5,
        "arithmetic": 1.2,
        "gap": 0.914,
    },
    ("ftc-table4b-protocol-hurts", CORRECTED): {
        "down": 4,
        "cells": 93,
        "up": 15,
        "means": 15,
        "doubtful": 3,
        "lower.3": {"network": "ViT-B/16", "method": "averaging", "task": "SVHN", "gain": -1.2},
    },
    ("ftc-table4b-duplicated-row", HOLDS): {"twin": 0.1, "low": 2.0, "high": 22.5, "close": 1},
    ("ftc-xpaper-individual-rows", HOLDS): {
        "tasks": 8,
        "rows.0": {"method": "TIES", "cells": 0},
        "m_loss": 4,
        "ties": 72.9,
        "other": 72.4,
    },
}

ORDERED = set()
