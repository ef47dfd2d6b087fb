"""Arithmetic on the tables that the StatsMerging paper prints: averages, margins, order.

An entry with one decimal is up to 0.05 from its true value, and so is a mean of such entries. So
means of cells differ beyond rounding by more than two such errors, and a printed margin is off by
more than three.
"""

import math
import re

import numpy as np
import pandas as pd

from mergebook import audit

Table = pd.DataFrame
TASK = re.compile("[A-Z]{2}|CF[0-9]+")  # how the paper abbreviates a task
OWN = r"StatsMerging(?! \+)"  # its rows; with KnOTS it is a rival
LEAD, MARGIN = 0.1, 0.15  # points: the freedom of two means, and of a margin
SLACK = 1e-9  # of binary fractions
MARKS = {"✓": "with validation", "✗": "without validation", "–": ""}
CHARTS = {  # what Figures 4 and 7 draw
    "ViT-B/32": "table3_appendix_vitb32",
    "ViT-L/14": "table4_appendix_vitl14",
    "T5-base": "table5_appendix_t5base",
    "T5-large": "table6_appendix_t5large",
}
PLUS, WEMOE = "LW StatsMerging++", "WEMoE"
GROUPS = (("SU CA RE DT SV GT", "MN EU"), ("SU CA GT EU DT MN", "RE SV"))  # Table 2, seen, unseen
# Bold entries of the second group of Table 2, as our copy of the text has them.
BOLD = dict.fromkeys(["SU", "CA", "GT", "EU", "DT", "MN", "SV"], "StatsMerging") | {
    "RE": "TIES-Merging"
}


def leading_number(cell) -> float:
    """81.9 from "81.9 (+3.9)"; NaN from a cell that begins with no number."""
    found = re.match(r"[0-9]+\.?[0-9]*", str(cell))
    return float(found[0]) if found else math.nan


def _record(header: list[str], text: list[str], start: int, end: int) -> dict | None:
    """One printed average, in column `end`, of the tasks from column `start` on."""
    cells = {header[i]: leading_number(text[i]) for i in range(start, end)}
    cells = {t: v for t, v in cells.items() if TASK.fullmatch(t) and not math.isnan(v)}
    if not cells:
        return None
    printed = text[end].split(" ")[0]
    gain = re.search(r"\(\+([0-9.]+)\)", text[end])
    mean = math.fsum(cells.values()) / len(cells)
    digit = 10.0 ** -len(printed.partition(".")[2])
    return {
        "tasks": " ".join(cells),
        "cells": cells,
        "printed": float(printed),
        "mean": mean,
        "off": abs(float(printed) - mean) > digit + SLACK,
        "gain": float(gain[1]) if gain else math.nan,
    }


def averaged(table: Table) -> Table:
    """One row for each printed average: its mean, whether it is off, the gain beside it.

    A table may have a second header inside, two averages a row, or rows that name a block. The
    index is the name of the row, which may fill several columns, behind that of its block.
    """
    header, block, found = [], "", {}
    for row in [list(table.columns), *table.to_numpy().tolist()]:
        text = ["" if str(c) == "nan" else str(c) for c in row]
        if any(c.startswith("Avg") for c in text[1:]):
            header = text
            continue
        if not any(text[1:]):
            block = text[0] + ": "
        start, label = 1, ""
        for end, title in enumerate(header):
            if not title.startswith("Avg"):
                continue
            if record := _record(header, text, start, end):
                first = header.index(next(iter(record["cells"])))
                words = [MARKS.get(c, c) for c in text[:first] if c]
                label = label or block + " ".join(w for w in words if w)
                found[label, record["tasks"]] = record
            start = end + 1
    index = pd.Index([label for label, _ in found], name="row")
    return pd.DataFrame(list(found.values()), index)


def cells_by_task(table: Table) -> Table:
    """The entries of a table as numbers, rows × tasks."""
    return pd.DataFrame(averaged(table).cells.to_dict()).T


def merging(rows: Table) -> Table:
    """Rows of merging methods: neither single models nor multi-task training."""
    return rows[[not re.match(audit.NO_MERGE, name) for name in rows.index]]


def is_own(rows: Table) -> np.ndarray:
    """Which rows are the paper's own method."""
    return rows.index.str.contains(OWN).astype(bool)


def lead_of(rows: Table, of: str = "mean") -> float:
    """The paper's best row minus the best other merge."""
    merges = merging(rows)
    own = is_own(merges)
    return float(merges[of][own].max() - merges[of][~own].max())


def runner_up(rows: Table) -> str:
    """The merge with the highest recomputed average that is not the paper's."""
    merges = merging(rows)
    return str(merges["mean"][~is_own(merges)].idxmax())


def margin_fits(rows: Table) -> bool:
    """Whether the highest printed gain is the difference of the averages, up to rounding."""
    return bool(abs(rows.gain.max() - lead_of(rows)) <= MARGIN + SLACK)


def slips(rows: Table) -> str:
    """Printed averages that are not the means of their rows, in words."""
    wrong = [f"{i} {r.printed:.1f} for {r['mean']:.2f}" for i, r in rows[rows.off].iterrows()]
    return "; ".join(wrong) or "none"


def capped(scores: Table, method: str) -> float:
    """The average of a row whose entries are capped at the individual models."""
    return float(np.minimum(scores.loc[method], scores.loc["Individual"]).mean())


def printed_gains(table: Table) -> Table:
    """Each "(+x)" of a table, and what its entry minus the one above may be, `low` to `high`."""
    rows, above = [], {}
    for _, line in table.iterrows():
        for place, cell in enumerate(map(str, line)):
            now = audit.span(cell)
            if now is None:
                continue
            gain = re.search(r"\(\+([0-9.]+)\)", cell)
            if gain and place in above:
                low, high = now - above[place][::-1]
                least, most = audit.span(gain[1])
                fits = low <= most + SLACK and least <= high + SLACK
                found = {"printed": float(gain[1]), "low": low, "high": high, "fits": fits}
                rows.append({"column": table.columns[place], **found})
            above[place] = now
    return pd.DataFrame(rows, columns=["column", "printed", "low", "high", "fits"])


def by_network(table3: Table) -> Table:
    """Table 3 of the main text as numbers: methods × (network, number of tasks)."""
    rows = table3[table3.Method.notna()].set_index("Method").map(leading_number)
    tasks = ["8 tasks", "14 tasks", "20 tasks"]
    return rows.set_axis(pd.MultiIndex.from_product([["ViT-B/32", "ViT-L/14"], tasks]), axis=1)


def against_bounds(table: Table) -> dict[str, float | str]:
    """How many entries and averages of merges lie above multi-task training or below averaging.

    Averages are recomputed, and count if they differ by more than rounding allows.
    """
    scores, mean = cells_by_task(table), averaged(table)["mean"]
    upper = next(name for name in scores.index if name.endswith("MTL"))
    lower = next(name for name in scores.index if name.startswith("Weight Averaging"))
    merges = merging(scores).drop(index=lower)
    means = mean[merges.index]
    above, below = means > mean[upper] + LEAD, means < mean[lower] - LEAD
    return {
        "entries": merges.size,
        "entries above": int((merges > scores.loc[upper]).sum().sum()),
        "entries below": int((merges < scores.loc[lower]).sum().sum()),
        "averages": len(means),
        "above": ", ".join(means.index[above]),
        "below": ", ".join(means.index[below]),
        "outside": int((above | below).sum()),
    }
