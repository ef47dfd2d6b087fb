"""Claims about order: who leads, and what lies above or below (evidence page 03c).

"As printed" and "as the means of the cells" are two readings of an average. Means of cells differ
if they differ by more than rounding of the cells allows.
"""

import pandas as pd

from mergebook.ch3.printed import (
    CHARTS,
    LEAD,
    PLUS,
    SLACK,
    WEMOE,
    against_bounds,
    averaged,
    by_network,
    capped,
    cells_by_task,
    lead_of,
    merging,
    slips,
)
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
EMR = "Parameter-wise: EMR-MERGING"


@claim("stats-table3app-tw-gain")
def task_wise_gain(b32: Table) -> Outcome:
    """Some row is as far below as the printed gain says; corrected: the task-wise row leads."""
    rows = averaged(b32)
    own = rows.loc["TW StatsMerging"]
    others = rows.printed[rows.index.str.startswith("TW")].drop("TW StatsMerging")
    needed = own.printed - own.gain
    there = (rows.printed - needed).abs() <= LEAD + SLACK
    gain = own.printed - others.max()
    values = {"own": own.printed, "best": others.max(), "method": others.idxmax()}
    values |= {"gain": gain, "needed": needed, "there": int(there.sum())}
    return Outcome(bool(there.any()), bool(gain > LEAD + SLACK), values)


@claim("stats-fig4-fig7-overview")
def on_top(b32: Table, l14: Table, t5base: Table, t5large: Table) -> Outcome:
    """The paper's best row leads on all four benchmarks, as printed and as means of the cells.

    Corrected: in one of these readings.
    """
    charts = []
    for name, table in zip(CHARTS, (b32, l14, t5base, t5large)):
        rows = averaged(table)
        beyond = merging(rows).printed.max() - rows.printed["Individual"]
        leads = {"printed": lead_of(rows, "printed"), "lead": lead_of(rows)}
        charts.append({"network": name, **leads, "beyond": beyond})
    readings = [all(c["printed"] > SLACK for c in charts), all(c["lead"] > LEAD for c in charts)]
    which = "as printed" if readings[0] else "as means of the cells"
    return Outcome(all(readings), any(readings), {"charts": charts, "reading": which})


@claim("stats-plusplus-capped-average")
def above_teachers(b32: Table) -> Outcome:
    """Observation: StatsMerging++ is not ahead of WEMoE when no entry may exceed its teacher."""
    scores = cells_by_task(b32)
    above = (scores.loc[PLUS] - scores.loc["Individual"]).round(1)
    best = merging(scores).idxmax()
    values = {
        "plus": capped(scores, PLUS),
        "wemoe": capped(scores, WEMOE),
        "lead": lead_of(averaged(b32)),
        "above": [{"task": t, "points": v} for t, v in above[above > 0].items()],
        "won": ", ".join(best.index[best == PLUS]),
    }
    return Outcome(bool(values["plus"] < values["wemoe"]), values=values)


@claim("stats-table7-granularity")
def layers_against_entries(table7: Table) -> Outcome:
    """StatsMerging++ is above EMR-Merging, as printed and as means of the cells.

    Corrected: in one of these readings.
    """
    rows, scores = averaged(table7), cells_by_task(table7)
    plus = f"Layer-wise: {PLUS}"
    printed = rows.printed[plus] - rows.printed[EMR]
    lead = rows["mean"][plus] - rows["mean"][EMR]
    layers = rows.printed[rows.index.str.startswith("Layer-wise: LW Ada")].max()
    readings = {"as printed": printed > SLACK, "as means of the cells": lead > LEAD}
    values = {
        "printed": printed,
        "lead": lead,
        "reading": next((n for n, above in readings.items() if above), "neither"),
        "cap_plus": capped(scores, plus),
        "cap_emr": capped(scores, EMR),
        "gain": rows.gain[plus],
        "layers": layers,
        "slips": slips(rows),
    }
    return Outcome(all(readings.values()), any(readings.values()), values)


@claim("stats-baseline-bounds")
def bounds(table3: Table, *tables: Table) -> Outcome:
    """No merge above multi-task training or below averaging, by entries or by averages.

    Corrected: most averages lie between the two. `tables` are those of Figures 4 and 7 and that
    of mixed networks; Table 3 has no multi-task row.
    """
    names = [*CHARTS, "ViT and ResNet"]
    found = pd.DataFrame([against_bounds(t) for t in tables], index=names)
    merges = merging(by_network(table3))
    gap = merges.drop("Weight Averaging") - merges.loc["Weight Averaging"]
    under = gap.stack([0, 1], future_stack=True).dropna()
    low = under[under < -SLACK]
    entries = found[["entries above", "entries below"]].to_numpy().any()
    outside, every = int(found.outside.sum()) + len(low), int(found.averages.sum()) + len(under)
    values = {
        "entries": int(found.entries.sum()),
        "above": int(found["entries above"].sum()),
        "below": int(found["entries below"].sum()),
        "outside": outside,
        "averages": every,
        "over": [{"network": n, "rows": r.above} for n, r in found.iterrows() if r.above],
        "under": [{"row": m, "network": n, "tasks": k, "by": v} for (m, n, k), v in low.items()],
    }
    return Outcome(not entries and outside == 0, outside < every / 2, values)


@claim("stats-larger-backbone-inversion")
def inverted(table3: Table) -> Outcome:
    """Observation: StatsMerging++ is lower on the larger network somewhere; no other row is."""
    rows = by_network(table3)
    growth = (rows["ViT-L/14"] - rows["ViT-B/32"]).round(1)
    own, others = growth.loc[PLUS], growth.drop(PLUS).stack().dropna()
    columns = [{"tasks": n, "points": v} for n, v in own.items()]
    values = {"columns": columns, "least": others.min(), "most": others.max()}
    return Outcome(bool((own < 0).any() and (others > 0).all()), values=values)


@claim("stats-t5large-wikiqa-drop")
def one_task_drops(t5large: Table) -> Outcome:
    """Observation: on WikiQA the merge is below the model that was never fine-tuned."""
    scores, own = cells_by_task(t5large), "LW StatsMerging with validation"
    change = scores.loc[own] - scores.loc["Pre-Trained"]
    values = {
        "own": scores.WQ[own],
        "pretrained": scores.WQ["Pre-Trained"],
        "best": merging(scores).WQ.max(),
        "method": merging(scores).WQ.idxmax(),
        "drop": -change.WQ,
        "risen": int((change > 0).sum()),
        "tasks": len(change),
        "lead": lead_of(averaged(t5large)),
    }
    return Outcome(bool(change.WQ < 0), values=values)
