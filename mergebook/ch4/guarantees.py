"""What greedy selection promises, where it selects and elsewhere (page 04l)."""

import pandas as pd

from mergebook.ch4.gaps import GROUP
from mergehelpers import averaging

Table = pd.DataFrame


def on_selection(rows: Table) -> Table:
    """Each greedy soup of all models minus the best single one, in points; `rows` of `AVERAGES`.

    The best is the one with the highest validation score. `validation`: on the images that select;
    `test`: on new ones.
    """
    out = []
    for group, own in rows.groupby(GROUP, sort=False):
        alone = own[own.method == "single"].sort_values("which")
        best = alone.loc[alone.val.idxmax()]
        soups = own[(own.members == len(alone)) & own.method.isin(averaging.GREEDY)]
        for soup in soups.to_dict("records"):
            row = {"rule": soup["method"], "kept": soup["kept"]}
            row |= {"validation": soup["val"] - best.val, "test": soup["score"] - best.score}
            out.append(dict(zip(GROUP, group)) | row)
    return pd.DataFrame(out)
