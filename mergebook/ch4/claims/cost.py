"""Claims about the cost of soups and ensembles in use (page 04j): counts, no times."""

import numpy as np
import pandas as pd

from mergebook.ch4.cost import ENSEMBLES
from mergebook.claims import Outcome, claim

Table = pd.DataFrame


def _is_line(models: pd.Series, values: pd.Series) -> bool:
    """Whether whole numbers lie on one line over the number of models, exactly."""
    steps, rises = np.diff(models), np.diff(values)
    return bool((rises[1:] * steps[:-1] == rises[:-1] * steps[1:]).all())


@claim("rethink-ensemble-cost-linear")
def linear_cost(use: Table) -> Outcome:
    """Operations of both ensembles lie on a rising line over the number of models; a soup's stay.

    A line needs three numbers of models; with fewer it is not decidable here.
    """
    counts = sorted(use.models.unique())
    rows, lines, flat = [], [], []
    values = {"rows": rows, "most": int(max(counts, default=0))}
    values["counts"] = ", ".join(map(str, counts)) or "none"
    if use.operations.isna().any():
        return Outcome(None, values=values)
    each = ["network", "models"]
    by, numbers = (
        use.pivot(index=each, columns="method", values=v) for v in ("operations", "numbers")
    )
    for network in dict.fromkeys(use.network):
        own = by.loc[network].sort_index()
        models, single = own.index.to_series(), own.single.iloc[0]
        lines += [_is_line(models, own[m]) and own[m].is_monotonic_increasing for m in ENSEMBLES]
        lines += [bool(own[m].iloc[-1] > own[m].iloc[0]) for m in ENSEMBLES]
        flat.append(bool((own.soup == single).all()))
        row = {m: own[m].iloc[-1] / single for m in ("soup", *ENSEMBLES)}
        kept = numbers.loc[network].sort_index().iloc[-1]
        rows.append({"network": network, "kept": kept.logits / kept.soup} | row)
    if len(counts) < 3:
        return Outcome(None, values=values)
    return Outcome(all(lines) and all(flat), values=values)


@claim("rethink-merging-no-inference-cost")
def no_cost_in_use(merged: Table, making: Table) -> Outcome:
    """Most merges are one model with the tensors and the operations of a member, in each network.

    "Often" is the paper's word. `making` says what it takes to make them, which the note tells.
    """
    free = merged.same & (merged.operations == merged.single)
    most = making[making.models == making.models.max()].set_index("soup").passes
    costly = merged[~free]
    values = {
        "free": int(free.sum()),
        "of": len(merged),
        "networks": merged.network.nunique(),
        "merges": ", ".join(dict.fromkeys(merged["merge"])),
        "costly": ", ".join(f"{m} ({n})" for m, n in zip(costly["merge"], costly.network))
        or "none",
        "models": int(making.models.max()),
        "making": [{"soup": k, "passes": v} for k, v in most.items()],
    }
    if not len(merged) or merged[["operations", "single"]].isna().any(axis=None):
        return Outcome(None, values=values)
    return Outcome(bool((free.groupby(merged.network).mean() > 0.5).all()), values=values)
