"""The tables of FT-Classifier, as tidy numbers, beside those of other papers (page 05e)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from mergebook import ledger

Table = pd.DataFrame
PARTS = {
    "1": "table1",
    "4a": "table4a_t5base",
    "4b": "table4b_t5large",
    "5a": "table5a_vitb16",
    "5b": "table5b_vitb32",
}
NETWORKS = {"1": "BERT", "4a": "T5-base", "4b": "T5-large", "5a": "ViT-B/16", "5b": "ViT-B/32"}
MERGES = ("averaging", "task arithmetic", "TIES")
BEFORE, AFTER = "before", "after"  # the head is fine-tuned again
TEXT, IMAGES = "text", "images"
# Classes as Sections 6.1.1 and 6.2.1 print them, and as published with each data set.
CLASSES = {
    TEXT: {
        "AG News": (4, 4),
        "Yelp": (5, 5),
        "Amazon": (5, 5),
        "Yahoo": (10, 10),
        "DBpedia": (14, 14),
    },
    IMAGES: {
        "SUN397": (397, 397),
        "Cars": (196, 196),
        "RESISC45": (45, 45),
        "EuroSAT": (10, 10),
        "SVHN": (10, 10),
        "GTSRB": (43, 43),
        "MNIST": (10, 10),
        "DTD": (47, 47),
    },
}
TIES_TUNED = "TIES, after"


def class_counts() -> Table:
    """A row a data set: its field, text or images, and its classes, printed and published."""
    rows = [(f, d, *counts) for f, sets in CLASSES.items() for d, counts in sets.items()]
    return Table(rows, columns=["field", "task", "classes", "published"])


def printed_part(part: str) -> Table:
    """One part of Tables 1, 4 and 5, its last column called `average`.

    A row a model: fine-tuned, others, and for each of `MERGES` before and after.
    """
    table = ledger.printed(f"ftclassifier_{PARTS[part]}")
    merges = [f"{m}, {when}" for m in MERGES for when in (BEFORE, AFTER)]
    others = table.Method[1 : len(table) - len(merges)]
    table.index = pd.Index(["fine-tuned", *others, *merges], name="row")
    table = table.drop(columns="Method").astype(float)
    return table.set_axis([*table.columns[:-1], "average"], axis=1)


def tuned_cells() -> Table:
    """A row a table, merge and task: accuracy `before` and `after`, and that of the expert.

    `gain` is after minus before, `gap` what is missing before, `share` gain over gap. Where `task`
    is `average`, the printed average.
    """
    rows = []
    for part in PARTS:
        table = printed_part(part)
        for merge in MERGES:
            cells = {
                "before": table.loc[f"{merge}, {BEFORE}"],
                "after": table.loc[f"{merge}, {AFTER}"],
                "tuned": table.loc["fine-tuned"],
            }
            found = Table(cells).rename_axis("task").reset_index()
            rows.append(found.assign(table=part, method=merge))
    cells = pd.concat(rows, ignore_index=True)
    cells["gain"] = (cells.after - cells.before).round(2)
    cells["gap"] = (cells.tuned - cells.before).round(2)
    cells["share"] = cells.gain / cells.gap
    counts = class_counts().set_index("task")
    return cells.assign(classes=cells.task.map(counts.classes), field=cells.task.map(counts.field))


def rounded_averages(seed: int, draws: int = 4000) -> Table:
    """A row a printed row: its `average`, the `mean` of its cells, and `off`, mean minus average.

    `chance`: how often the two roundings, of cells and of average, put them more than half a unit
    of the last digit apart, if what rounding removed from the cells is drawn at random.
    """
    rng, parts = np.random.default_rng(seed), []
    for part in PARTS:
        table = printed_part(part)
        cells = table.drop(columns="average").to_numpy()
        exact = cells + rng.uniform(-0.05, 0.05, (draws, *cells.shape))
        mean = cells.mean(axis=1)
        apart = np.abs(exact.mean(axis=2).round(1) - mean)
        off = (mean - table.average.to_numpy()).round(4)
        columns = {"table": part, "row": table.index, "average": table.average.to_numpy()}
        chance = (apart > 0.0501).mean(axis=0)
        parts.append(Table(columns | {"mean": mean, "off": off, "chance": chance}))
    return pd.concat(parts, ignore_index=True)


def at_least(counted: int, chances: Sequence[float]) -> float:
    """The probability that `counted` or more of independent events happen, given their chances."""
    spread = np.ones(1)
    for chance in chances:
        spread = np.convolve(spread, [1 - chance, chance])
    return float(spread[counted:].sum())


def repeated_averages() -> Table:
    """What Tables 2 and 3 print for the merges, a row a number, beside Table 1's averages."""
    first = printed_part("1").average
    methods = dict(zip(("WA", "TA", "Ties"), MERGES))
    second = ledger.printed("ftclassifier_table2").set_index("Method")["Unaligned"]
    third = ledger.printed("ftclassifier_table3").set_index("Method")
    rows = [("2", methods[m], BEFORE, value) for m, value in second.items()]
    for when, name in ((BEFORE, "Current Eval"), (AFTER, "FT-Classifier Eval")):
        rows += [("3", merge, when, third[m][name]) for m, merge in methods.items()]
    table = Table(rows, columns=["table", "method", "when", "printed"])
    return table.assign(first=[first[f"{r.method}, {r.when}"] for r in table.itertuples()])


def by_size_of_t5() -> Table:
    """T5-large minus T5-base, cell by cell; a row a row that both tables have."""
    cells = [printed_part(part).drop(columns="average") for part in ("4a", "4b")]
    return (cells[1] - cells[0]).round(2).reset_index()


def three_papers() -> Table:
    """ViT-B/32 on eight tasks: a row a paper, method and task, and the average as task `average`.

    `paper`: this one, the appendix of StatsMerging, or M-Loss; `printed`: the accuracy.
    """
    names = {
        "this paper": ("fine-tuned", *(f"{m}, {BEFORE}" for m in MERGES)),
        "StatsMerging": ("Individual", "Weight Averaging", "Task Arithmetic", "TIES-Merging"),
        "M-Loss": (None, "Simple Avg.", "Task Arithmetic", "TIES"),
    }
    own = printed_part("5b")
    appendix = ledger.printed("statsmerging_table3_appendix_vitb32").set_index("Method")
    first = ledger.printed("mloss_table1").query("Backbone == 'ViT-B/32'").set_index("Method")
    tables = {
        "this paper": own,
        # Both papers list the tasks in the same order; the appendix shortens their names.
        "StatsMerging": appendix.set_axis([*own.columns], axis=1),
        "M-Loss": first.drop(columns="Backbone").rename(columns={"Avg": "average"}),
    }
    rows = [
        (paper, method, task, float(tables[paper].loc[name, task]))
        for paper, rows in names.items()
        for method, name in zip(("fine-tuned", *MERGES), rows)
        for task in own.columns
        if name
    ]
    return Table(rows, columns=["paper", "method", "task", "printed"])


# ------------------------------------------------------------------------------------ correlations


def _spearman(pairs: np.ndarray) -> np.ndarray:
    """Rank correlation over the last axis but one; the last axis holds the pair."""
    ranks = stats.rankdata(pairs, axis=-2)
    ranks -= ranks.mean(axis=-2, keepdims=True)
    return ranks.prod(axis=-1).sum(axis=-1) / np.sqrt((ranks**2).sum(axis=-2).prod(axis=-1))


def gains_follow(cells: Table, seed: int, draws: int = 2000) -> Table:
    """Rank correlations of gain and of share with gap and with classes, in text and in images.

    With 95 % intervals `low` to `high` by a bootstrap over tables and tasks: three merges share a
    task's experts and test set, so they are drawn together. `built_in` is the mean correlation of
    gain with gap when the shares are dealt at random, which the arithmetic alone makes.
    """
    rows = []
    for field, part in cells[cells.task != "average"].groupby("field", sort=False):
        dealt = np.random.default_rng(seed).permuted(np.tile(part.share, (500, 1)), axis=1)
        gaps = np.broadcast_to(part.gap, dealt.shape)
        arithmetic = _spearman(np.stack([gaps, gaps * dealt], axis=-1)).mean()
        for of in ("gain", "share"):
            for by in ("gap", "classes"):
                blocks = np.stack([b[[by, of]] for _, b in part.groupby(["table", "task"])])
                shape = (draws, len(blocks))
                chosen = np.random.default_rng(seed).integers(len(blocks), size=shape)
                found = _spearman(blocks[chosen].reshape(draws, -1, 2))
                low, high = np.quantile(found, [0.025, 0.975])
                value = _spearman(blocks.reshape(-1, 2))
                plain = arithmetic if (of, by) == ("gain", "gap") else np.nan
                rows.append((field, of, by, float(value), low, high, plain))
    columns = ["field", "of", "with", "rank", "low", "high", "built_in"]
    return Table(rows, columns=columns)
