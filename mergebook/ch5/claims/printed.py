"""Claims about the printed tables of the paper (evidence page 05e). The arithmetic is exact."""

import pandas as pd
from scipy import stats

from mergebook.ch5.printed import AFTER, BEFORE, MERGES, NETWORKS, TIES_TUNED, at_least
from mergebook.claims import Outcome, claim
from mergebook.weighing import below

Table = pd.DataFrame
UNIT = 0.1  # of the last printed digit; what two roundings, of cells and of average, can add up to
SLACK = 1e-6  # of binary fractions


# ------------------------------------------------------------------------------- averages and gains


def _averages(rows: Table, part: str) -> Outcome:
    """Every printed average of one part is that of its cells, as far as rounding allows."""
    of = rows[rows.table == part].set_index("row").sort_index()
    gains = []
    for merge in MERGES:
        before, after = (of.loc[f"{merge}, {when}"] for when in (BEFORE, AFTER))
        gain = {"printed": after.average - before.average, "mean": after["mean"] - before["mean"]}
        gains.append({"merge": merge} | gain)
    values = {
        "rows": len(of),
        "off": of.off.abs().max(),
        "beyond": int((of.off.abs() > UNIT / 2 + SLACK).sum()),
        "expected": of.chance.sum(),
        "gains": gains,
    }
    return Outcome(below(of.off.abs(), UNIT + SLACK), values=values)


@claim("ftc-table1-averages")
def bert_averages(rows: Table) -> Outcome:
    """Table 1: averages of the cells."""
    return _averages(rows, "1")


@claim("ftc-table4a-t5base")
def t5_base_averages(rows: Table) -> Outcome:
    """Table 4a: averages of the cells."""
    return _averages(rows, "4a")


@claim("ftc-table4b-t5large")
def t5_large_averages(rows: Table) -> Outcome:
    """Table 4b: averages of the cells."""
    return _averages(rows, "4b")


@claim("ftc-table5a-vitb16")
def b16_averages(rows: Table) -> Outcome:
    """Table 5a: averages of the cells."""
    return _averages(rows, "5a")


@claim("ftc-table5b-vitb32")
def b32_averages(rows: Table) -> Outcome:
    """Table 5b: averages of the cells."""
    return _averages(rows, "5b")


@claim("ftc-averages-beyond-rounding")
def beyond_rounding(rows: Table) -> Outcome:
    """So many averages are more than half a unit off as rounding makes in less than 1 of 1,000."""
    away = rows.off.abs() > UNIT / 2 + SLACK
    p = at_least(int(away.sum()), rows.chance)
    values = {
        "beyond": int(away.sum()),
        "rows": len(rows),
        "expected": rows.chance.sum(),
        "p": p,
        "above": int((rows.off[away] > 0).sum()),
        "below": int((rows.off[away] < 0).sum()),
    }
    return Outcome(bool(p < 0.001), values=values)


@claim("ftc-tables-2-3-repeat-table-1")
def same_averages(numbers: Table) -> Outcome:
    """Every average that Tables 2 and 3 have of Table 1's models is Table 1's."""
    other = (numbers.printed - numbers["first"]).abs()
    values = {"numbers": len(numbers), "unlike": int((other > SLACK).sum())}
    return Outcome(below(other, SLACK), values=values)


# ----------------------------------------------------------------------------------- single entries


@claim("ftc-thirty-point-gap-dbpedia")
def nearly_thirty(cells: Table) -> Outcome:
    """On DBpedia TIES is 25 to 30 points above averaging, before the protocol."""
    of = cells[(cells.table == "1") & (cells.task == "DBpedia")].set_index("method")
    gap, after = (of[when]["TIES"] - of[when]["averaging"] for when in ("before", "after"))
    values = {"gap": gap, "after": after}
    values |= {name: of.before[name] for name in ("averaging", "TIES")}
    return Outcome(bool(25 - SLACK <= gap <= 30 + SLACK), values=values)


@claim("ftc-table1-yelp-unchanged")
def unchanged(cells: Table, ranks: Table) -> Outcome:
    """Averaging gains 0 on Yelp and 1.8 on Amazon."""
    of = cells[(cells.table == "1") & (cells.task != "average")]
    plain = of[of.method == "averaging"].sort_values("gap").reset_index(drop=True)
    gain = plain.set_index("task").gain
    others = of[(of.method != "averaging") & (of.task == "Yelp")].set_index("method").gain
    text = ranks[(ranks.field == "text") & (ranks.of == "gain")].set_index("with")
    rows = [
        {"task": r.task, "gain": r.gain, "percent": 100 * r.share, "gap": r.gap}
        for r in plain.itertuples()
    ]
    values = {"rows": rows, "gap": text["rank"]["gap"], "classes": text["rank"]["classes"]}
    values |= {"ties": others["TIES"], "arithmetic": others["task arithmetic"]}
    values |= {"built_in": text.built_in["gap"]}
    right = abs(gain["Yelp"]) < SLACK and abs(gain["Amazon"] - 1.8) < SLACK
    return Outcome(bool(right), values=values)


@claim("ftc-table4b-protocol-hurts")
def improves(cells: Table) -> Outcome:
    """No cell is lower after the protocol. Corrected: no printed average is."""
    means, single = (cells[(cells.task == "average") == is_mean] for is_mean in (True, False))
    lower = single[single.gain < -SLACK].sort_values(["table", "method", "task"])
    values = {
        "lower": [
            {"network": NETWORKS[r.table], "method": r.method, "task": r.task, "gain": r.gain}
            for r in lower.itertuples()
        ]
        or [{"network": "none", "method": "", "task": "", "gain": 0.0}],
        "cells": len(single),
        "down": len(lower),
        "means": len(means),
        "up": int((means.gain > SLACK).sum()),
        "doubtful": int(((lower.table == "4b") & (lower.method == "TIES")).sum()),
    }
    return Outcome(lower.empty, bool((means.gain > SLACK).all()), values)


# --------------------------------------------------------------------------------------- rows alike


@claim("ftc-table4b-duplicated-row")
def twin_rows(by_size: Table) -> Outcome:
    """The two networks' tuned rows of TIES are within a unit in all cells, and no others are.

    And so close a row would come by chance in less than 1 of 100 pairs of tables, if cells were
    independent and as often close as the upper 95 % limit of the other rows says.
    """
    table = by_size.set_index("row").abs().sort_index()
    twin, others = table.loc[TIES_TUNED], table.drop(index=TIES_TUNED)
    close = (others <= UNIT + SLACK).to_numpy()
    limit = stats.binomtest(int(close.sum()), close.size).proportion_ci().high
    chance = min(1.0, len(table) * limit ** len(twin))
    values = {
        "twin": twin.max(),
        "low": others.max(axis=1).min(),
        "high": others.max(axis=1).max(),
        "rows": len(others),
        "close": int(close.sum()),
        "cells": close.size,
        "chance": 100 * chance,
    }
    alike = bool(twin.max() <= UNIT + SLACK)
    return Outcome(alike and not close.all(axis=1).any() and chance < 0.01, values=values)


@claim("ftc-xpaper-individual-rows")
def rows_in_two_papers(accuracies: Table) -> Outcome:
    """Fine-tuned, averaging and task arithmetic are StatsMerging's, in every cell and average.

    To the last digit of this paper's table.
    """
    wide = accuracies.pivot(index=["method", "task"], columns="paper", values="printed")
    rows = []
    for method, part in wide.groupby("method"):
        here = part["this paper"]
        equal = {p: (part[p] - here).abs() <= UNIT / 2 + SLACK for p in ("StatsMerging", "M-Loss")}
        counted = {p: int(e.drop((method, "average")).sum()) for p, e in equal.items()}
        mean = bool(equal["StatsMerging"][method, "average"])
        rows.append({"method": method, "mean": mean, "tasks": len(part) - 1} | counted)
    three = [row for row in rows if row["method"] != "TIES"]
    [ties] = [row for row in rows if row["method"] == "TIES"]
    same = all(row["StatsMerging"] == row["tasks"] and row["mean"] for row in three)
    average = wide.xs("average", level="task")
    values = {
        "rows": [{"method": r["method"], "cells": r["StatsMerging"]} for r in rows],
        "tasks": ties["tasks"],
        "m_loss": next(r["M-Loss"] for r in rows if r["method"] == "averaging"),
        "ties": average["this paper"]["TIES"],
        "other": average["StatsMerging"]["TIES"],
    }
    return Outcome(same, values=values)
