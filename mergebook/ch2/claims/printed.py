"""Claims that the printed tables decide (evidence page 02c). The arithmetic is exact.

A printed number stands for an interval, half of its last digit on either side.
"""

import numpy as np
import pandas as pd

from mergebook import audit
from mergebook.ch2.printed import (
    ENSEMBLE,
    MERGES,
    TASKS,
    by_backbone,
    gap_spreads,
    row_means,
    seeds,
    spreads,
)
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
SLACK = 1e-9  # of binary fractions
CLOSE = 1.0  # points; what "close to ensembling" means here
COMPARED = ["M-TIES", "TIES", "DARE"]  # the "top-3" of Section 6.3
REDRAWN = ["EuroSAT", "SUN397"]  # their test sets are drawn anew by the released loaders
B32, L14 = "ViT-B/32", "ViT-L/14"
GAPS, DIGIT = {B32: 5.33, L14: 0.28}, 0.01  # points


def _means(table: Table, digits: int) -> Outcome:
    """Each printed average is the mean of its row's cells, as far as rounding of both allows."""
    off = row_means(table).off.max()
    values = {"off": off, "rows": len(table), "spread": table.Avg.max() - table.Avg.min()}
    return Outcome(bool(off <= 10.0**-digits + SLACK), values=values)


@claim("mloss-table1-averages")
def table1_means(table1: Table) -> Outcome:
    """The averages of Table 1 are the means of its rows."""
    return _means(table1, digits=2)


@claim("mloss-table4-averages")
def table4_means(table4: Table) -> Outcome:
    """The averages of Table 4 are the means of its rows."""
    outcome, mean = _means(table4, digits=2), table4.set_index("Method").Avg
    ahead = {name.lower(): mean["M-TIES"] - mean[name] for name in ("TIES", "DARE", ENSEMBLE)}
    return Outcome(outcome.holds, values={**outcome.values, **ahead})


def _few_layers(table: Table) -> Outcome:
    """As `_means`; and the task that changes most when few layers are scored."""
    outcome, rows = _means(table, digits=3), table.set_index("Layer Index")[TASKS]
    change = (rows - rows.loc["All"]).stack()
    (_, task), most = change.abs().idxmax(), change[change.abs().idxmax()]
    return Outcome(outcome.holds, values={**outcome.values, "task": task, "most": most})


@claim("mloss-table5-few-layer-b32")
def table5_means(table5: Table) -> Outcome:
    """The averages of Table 5 are the means of its rows."""
    return _few_layers(table5)


@claim("mloss-table6-few-layer-l14")
def table6_means(table6: Table) -> Outcome:
    """The averages of Table 6 are the means of its rows."""
    return _few_layers(table6)


@claim("mloss-table3-seeds")
def table3_seeds(table3: Table) -> Outcome:
    """Deviations (ddof 1) and averages of Table 3 are those of its cells.

    Corrected: the deviations are, and each average is within two of its last digit.
    """
    rows, printed = seeds(table3)
    deviation = rows[[*TASKS, "Avg"]].std(ddof=1)
    # Three cells, each off by half a digit at most, move a deviation by less than one digit.
    deviations = bool(((deviation - printed).abs() <= 0.0015 + SLACK).all())
    means = row_means(rows)
    wrong = means[means.off > 0.001 + SLACK].rename_axis("seed").reset_index()
    values = {
        "off": (deviation - printed).abs().max(),
        "average": deviation["Avg"],
        "mean_off": means.off.max(),
        "fixed": deviation.drop([*REDRAWN, "Avg"]).max(),
        "wrong": wrong,
    }
    near = bool(means.off.max() <= 0.002)
    return Outcome(deviations and wrong.empty, deviations and near, values)


@claim("mloss-table1-consistently-outperforms")
def outperforms(table1: Table) -> Outcome:
    """M-TIES is the best merge, or as good, on more than half of the tasks of both backbones.

    Corrected: its average over tasks is the highest on both.
    """
    rows, most, highest = [], [], []
    for backbone, table in by_backbone(table1).items():
        best = [t for t in TASKS if table.loc["M-TIES", t] >= table.loc[MERGES, t].max()]
        rows.append({"backbone": backbone, "won": len(best), "tasks": ", ".join(best)})
        most.append(len(best) > len(TASKS) / 2)
        highest.append(table.Avg["M-TIES"] > table.Avg[MERGES].drop("M-TIES").max())
    return Outcome(all(most), all(highest), {"backbones": rows, "of": len(TASKS)})


@claim("mloss-table1-beats-ensembling-on-some")
def beats_ensembling(table1: Table) -> Outcome:
    """Where M-TIES is within a point of the ensemble on average, it is above it on some task."""
    rows, above = [], []
    for backbone, table in by_backbone(table1).items():
        counts = (table.loc[COMPARED, TASKS] > table.loc[ENSEMBLE, TASKS]).sum(axis=1)
        gap = table.Avg[ENSEMBLE] - table.Avg["M-TIES"]
        numbers = {name.lower().replace("-", ""): int(n) for name, n in counts.items()}
        rows.append({"backbone": backbone, "gap": gap} | numbers)
        if gap < CLOSE:
            above.append(counts["M-TIES"] > 0)
    return Outcome(all(above) if above else None, values={"backbones": rows})


@claim("mloss-table1-gap-to-ensembling")
def gap_to_ensembling(table1: Table) -> Outcome:
    """On both backbones M-TIES' average is below the ensemble's, by what the claim says."""
    rows, below = [], []
    for backbone, table in by_backbone(table1).items():
        gap = table.Avg[ENSEMBLE] - table.Avg["M-TIES"]
        rows.append({"backbone": backbone, "gap": gap})
        below.append(abs(gap - GAPS[backbone]) < DIGIT / 2)
    return Outcome(all(below), values={"backbones": rows})


@claim("mloss-task-variance")
def variance(table1: Table) -> Outcome:
    """The variances that Section 6.3 prints are among those that the rounded cells allow."""
    table, rows, fits = by_backbone(table1)[B32], [], []
    for method, text in audit.VARIANCES.items():
        cells = [audit.span(f"{cell:.2f}") for cell in table.loc[method, TASKS]]
        (low, high), (least, most) = audit.variances(cells, ddof=0), audit.span(text)
        fits.append(low <= most and least <= high)
        found = np.var(table.loc[method, TASKS].to_numpy(float))
        rows.append({"method": method, "variance": found, "printed": text})
    return Outcome(all(fits), values={"methods": rows})


@claim("mloss-variance-means-fairness")
def fairness(table1: Table) -> Outcome:
    """M-TIES has the lowest variance over tasks of all merges, on both backbones.

    Corrected: the lowest of the three that the paper compares, on the backbone that it names.
    """
    wide, gaps, rows = spreads(table1), gap_spreads(table1), []
    for backbone in wide:
        order, to_ensemble = (
            ", ".join(f"{m} {v:.{digits}f}" for m, v in table[backbone].sort_values().items())
            for table, digits in ((wide, 0), (gaps, 1))
        )
        rows.append({"backbone": backbone, "order": order, "gaps": to_ensemble})
    everywhere = bool((wide.idxmin() == "M-TIES").all())
    named = bool(wide.loc[COMPARED, B32].idxmin() == "M-TIES")
    return Outcome(everywhere, named, {"backbones": rows})


@claim("mloss-summary-close-to-ensembling")
def close(table1: Table) -> Outcome:
    """M-TIES is less than one point below the ensemble on both; corrected: on ViT-L/14."""
    gaps = {b: t.Avg[ENSEMBLE] - t.Avg["M-TIES"] for b, t in by_backbone(table1).items()}
    rows = [{"backbone": b, "gap": gap} for b, gap in gaps.items()]
    return Outcome(max(gaps.values()) < CLOSE, bool(gaps[L14] < CLOSE), {"backbones": rows})


@claim("mloss-table1-marks")
def marks(table1: Table, type_faces: Table) -> Outcome:
    """The bold row of each task is the best, the underlined one the second best.

    `type_faces` has a row for each column that someone looked up in the PDF, with the methods whose
    entries are `bold` and `underlined`; of equal entries any will do. One wrong mark refutes; only
    all columns of both backbones show it.
    """
    tables, rows, right = by_backbone(table1), [], []
    for backbone, table in tables.items():
        best = table[TASKS].eq(table[TASKS].max()).sum(axis=1)
        counts = ", ".join(f"{m} {n}" for m, n in best.items() if n)
        rows.append({"backbone": backbone, "best": counts})
    for face in type_faces.itertuples():
        cells = tables[face.backbone][face.task]
        best = cells.sort_values(ascending=False).iloc[:2].tolist()
        right.append([cells[face.bold], cells[face.underlined]] == best)
    holds = None if all(right) and len(right) < len(TASKS) * len(tables) else all(right)
    return Outcome(holds, values={"backbones": rows})


@claim("mloss-xpaper-b32-baselines")
def same_baselines(apart: Table) -> Outcome:
    """Observation: rows of one name differ from paper to paper, in some cell by half a point."""
    return Outcome(bool((apart.cells > 0).any()), values={"rows": apart})
