"""Claims about sums: printed averages and margins (evidence page 03c). The arithmetic is exact.

An average is off if it is further from the mean of its row than rounding of both allows.
"""

import numpy as np
import pandas as pd

from mergebook.ch3.printed import (
    BOLD,
    GROUPS,
    LEAD,
    averaged,
    is_own,
    lead_of,
    margin_fits,
    merging,
    printed_gains,
    runner_up,
    slips,
)
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
QUOTED_LABELS = {"TW": (88.5, 81.2), "LW": (90.4, 83.5)}  # App. A.5.5: labels, pseudo-labels
LOSSES = {"GT": "GT CE", "KD": "KD CE"}  # the label study's names, and Table 14's


def _sums(table: Table) -> Outcome:
    """Every average is the mean of its row, and the printed margin, if any, their difference.

    Corrected: the paper's own rows are right, and its best row leads by recomputed averages.
    """
    rows = averaged(table)
    merges, lead = merging(rows), lead_of(rows)
    fits = bool(np.isnan(merges.gain.max())) or margin_fits(merges)
    own_fit = not merges.off[is_own(merges)].any()
    values = {
        "fit": int((~rows.off).sum()),
        "rows": len(rows),
        "off": int(rows.off.sum()),
        "slips": slips(rows),
        "lead": lead,
        "second": runner_up(rows),
        "mean": merges["mean"][is_own(merges)].max(),
    }
    return Outcome(not rows.off.any() and fits, own_fit and lead > LEAD, values)


@claim("stats-table3app-b32")
def table3_sums(b32: Table) -> Outcome:
    """App. Table 3: averages from their rows. Corrected: those of the paper's rows are."""
    outcome = _sums(b32)
    mtl = averaged(b32)["mean"]["Traditional MTL"]
    return Outcome(outcome.holds, outcome.corrected, {**outcome.values, "mtl": mtl})


@claim("stats-table4app-l14")
def table4_sums(l14: Table) -> Outcome:
    """App. Table 4: averages from their rows. Corrected: those of the paper's rows are."""
    return _sums(l14)


@claim("stats-table5app-t5base")
def table5_sums(t5base: Table) -> Outcome:
    """App. Table 5: averages from their rows. Corrected: those of the paper's rows are."""
    outcome, rows = _sums(t5base), averaged(t5base)
    others = merging(rows)[~is_own(merging(rows))].printed
    shared = " and ".join(sorted(others.index[others == others.max()]))
    return Outcome(outcome.holds, outcome.corrected, {**outcome.values, "shared": shared})


@claim("stats-table6app-t5large")
def table6_sums(t5large: Table) -> Outcome:
    """App. Table 6: averages from their rows. Corrected: the paper's row is, and still leads."""
    outcome, rows = _sums(t5large), averaged(t5large)
    second = rows.loc[outcome.values["second"]]
    excess = len(second.cells) * (second["mean"] - second.printed)
    return Outcome(outcome.holds, outcome.corrected, {**outcome.values, "excess": excess})


@claim("stats-table4main-averages")
def mixed_sums(table4: Table) -> Outcome:
    """Table 4: averages from their rows. Corrected: those of the paper's row are."""
    outcome, rows = _sums(table4), averaged(table4)
    cells = table4.set_index("Method").loc["Individual Distilled", ["CI", "CA", "EU"]]
    # The distilled model stands behind its teacher, where there is one.
    merged = [float([w for w in cell.split() if w != "-"][-1]) for cell in cells]
    values = {
        "averaging": rows["mean"]["Weight Averaging"],
        "arithmetic": rows.printed["LW StatsMerging"] - rows.printed["Task Arithmetic"],
        "teachers": rows.printed["Individual Distilled"],
        "merged": np.mean(merged),
    }
    return Outcome(outcome.holds, outcome.corrected, {**outcome.values, **values})


def _groups(table2: Table, group: int) -> dict[str, Table]:
    rows = averaged(table2)
    return {n: rows[rows.tasks == tasks] for n, tasks in zip(("seen", "unseen"), GROUPS[group])}


def _parts(parts: dict[str, Table]) -> list[dict]:
    return [
        {
            "part": name,
            "mean": rows["mean"]["StatsMerging"],
            "lead": lead_of(rows),
            "slips": slips(rows),
            "second": merging(rows).printed.drop("StatsMerging").idxmax(),
        }
        for name, rows in parts.items()
    ]


@claim("stats-table2-group1")
def first_group(table2: Table) -> Outcome:
    """The averages and both margins of the first group of Table 2."""
    parts = _groups(table2, 0)
    holds = all(margin_fits(rows) and not rows.off.any() for rows in parts.values())
    return Outcome(holds, values={"parts": _parts(parts)})


@claim("stats-table2-group2")
def second_group(table2: Table) -> Outcome:
    """Averages, margins, bold marks, and AdaMerging as the second, in the second group.

    Corrected: both margins, and the averages of the paper's row.
    """
    parts = _groups(table2, 1)
    said = _parts(parts)
    cells = pd.concat([pd.DataFrame(rows.cells.to_dict()).T for rows in parts.values()], axis=1)
    wrong = [
        {"task": t, "value": cells[t][row], "best": cells[t].max(), "method": cells[t].idxmax()}
        for t, row in BOLD.items()
        if cells[t][row] < cells[t].max()
    ]
    margins = all(margin_fits(rows) for rows in parts.values())
    sums = not any(rows.off.any() for rows in parts.values())
    own = not any(rows.off["StatsMerging"] for rows in parts.values())
    second = said[1]["second"]
    values = {
        "parts": said,
        "wrong": wrong,
        "second": second,
        "ties": cells.RE["TIES-Merging"],
        "own": cells.RE["StatsMerging"],
    }
    holds = sums and margins and not wrong and second == "AdaMerging"
    return Outcome(holds, margins and own, values)


@claim("stats-table10-averages")
def corruptions(table10: Table, table14: Table) -> Outcome:
    """The averages of Table 10, and the four margins over the best other method."""
    rows = averaged(table10)
    blocks, fits = [], []
    for name, part in rows.groupby(rows.index.str.split(":").str[0], sort=False):
        best = pd.DataFrame(part.cells.to_dict()).T.idxmax()
        lost = ", ".join(best.index[~best.str.contains("StatsMerging")]) or "none"
        blocks.append({"block": name, "lead": lead_of(part), "lost": lost})
        fits.append(margin_fits(part))
    clean = rows.cells["Clean Test Set: StatsMerging"]
    same = averaged(table14).cells["LW GT CE"] == clean
    values = {"fit": int((~rows.off).sum()), "rows": len(rows), "blocks": blocks, "same": same}
    return Outcome(not rows.off.any() and all(fits), values=values)


@claim("stats-table13-capacity")
def capacity(table13: Table) -> Outcome:
    """The averages of Table 13; corrected: but that of the smallest learner, which stays last."""
    rows = averaged(table13).drop("Individual Model")
    small, larger = rows.loc["2L MLP*"], rows.drop("2L MLP*")
    size = table13.set_index("SML Design Choice").loc[rows.index]
    counts = size[["#Params (M)", "MACs (M)", "FLOPs (M)"]].astype(float).to_numpy()
    # Two inputs: 1 : 2 : 4 for weights, multiply-adds and operations, as far as printed.
    twice = [abs(m - 2 * p) <= 0.006 and abs(f - 4 * p) <= 0.007 for p, m, f in counts]
    added = [
        {"learner": i, "mean": r["mean"], "more": r["mean"] - small["mean"], "printed": r.gain}
        for i, r in larger.iterrows()
    ]
    values = {
        "small": small["mean"],
        "added": added,
        "size": float(size["#Params (M)"]["2L MLP*"]),
        "twice": sum(twice),
        "slips": slips(rows),
    }
    only = list(rows.index[rows.off]) == ["2L MLP*"]
    return Outcome(
        not rows.off.any(), only and bool(larger["mean"].min() > small["mean"] + LEAD), values
    )


@claim("stats-table17-knots")
def with_knots(table17: Table) -> Outcome:
    """Averages and margin of Table 17; corrected: the order of the rows."""
    rows = averaged(table17)
    merges, over = merging(rows), {}
    for name in merges.index.drop("StatsMerging"):
        over[name] = merges["mean"]["StatsMerging"] - merges["mean"][name]
    values = {
        "mean": merges["mean"]["StatsMerging"],
        "over": [{"method": m, "points": v} for m, v in over.items()],
        "lead": min(over.values()),
    }
    holds = not rows.off.any() and margin_fits(merges)
    only = list(rows.index[rows.off]) == ["StatsMerging"]
    return Outcome(holds, only and min(over.values()) > LEAD, values)


@claim("stats-label-study-table")
def label_study(study: Table, table14: Table) -> Outcome:
    """The study repeats rows of Table 14, the text their averages, and these are the means.

    Corrected: all but that of pseudo-labels, layer-wise.
    """
    rows, fourteen = averaged(table14), table14.set_index(["GL", "Loss"]).astype(float)
    numbers = study.set_index(["Level", "Loss"]).rename(LOSSES, level="Loss").astype(float)
    same = all((fourteen.loc[row] == cells).all() for row, cells in numbers.iterrows())
    text = all(
        (rows.printed[f"{level} GT CE"], rows.printed[f"{level} KD CE"]) == pair
        for level, pair in QUOTED_LABELS.items()
    )
    gaps = {n: rows["mean"][f"{n} GT CE"] - rows["mean"][f"{n} KD CE"] for n in QUOTED_LABELS}
    labels, answers = QUOTED_LABELS["LW"]
    values = {
        "same": same,
        "text": text,
        "slips": slips(rows),
        "mean": rows["mean"]["LW KD CE"],
        "tw": gaps["TW"],
        "lw": gaps["LW"],
        "printed": labels - answers,
    }
    only = list(rows.index[rows.off]) == ["LW KD CE"]
    return Outcome(same and text and not rows.off.any(), same and text and only, values)


@claim("stats-margins-in-small-tables")
def small_margins(table5: Table, table9: Table, table11: Table, table12: Table) -> Outcome:
    """Every printed gain of Tables 5, 9, 11 and 12 is an entry minus the one above."""
    parts = {5: table5, 9: table9, 11: table11, 12: table12}
    gains = pd.concat({n: printed_gains(t) for n, t in parts.items()}, names=["table"])
    wrong = gains[~gains.fits].reset_index("table")
    said = [f"Table {r.table}, {r.printed:g}" for r in wrong.itertuples()]
    tables = [{"table": n, "gains": len(part)} for n, part in gains.groupby("table")]
    values = {"tables": tables, "gains": len(gains), "wrong": "; ".join(said) or "none"}
    return Outcome(wrong.empty, values=values)
