"""What donors of other tasks bring to a model: soups and ensembles by donor, one number a start."""

import pandas as pd

from mergebook.ch4.compared import START, start_interval

Table = pd.DataFrame
SAME_START, RANDOM = "same start", "start moved at random"
KEPT = {  # by what it is called: the donor or kind of donors, and what is read
    "soups": (SAME_START, "soup"),
    "alone": (SAME_START, "alone"),
    "random": (RANDOM, "soup"),
    "start": ("start", "soup"),
    "sister": ("same task", "soup"),
    "itself": ("itself", "alone"),
}


def donated_scores(donors: Table, images: int) -> Table:
    """Scores with donors of other tasks that share the start, and with controls.

    Columns network, seed, what, value, images, of a table of `donors.DONORS` tested on so many
    images. `soups` and `alone` are means over those donors; the others are named in `KEPT`.
    """
    parts = []
    for what, (source, column) in KEPT.items():
        chosen = donors[(donors.kind == source) | (donors.donor == source)]
        value = chosen.groupby(START, sort=False)[column].mean().rename("value")
        parts.append(value.reset_index().assign(what=what))
    return pd.concat(parts, ignore_index=True).assign(images=images)


def over_ensembles(donors: Table, images: int, among: int = 1) -> Table:
    """For each network and donor of another task: soup minus ensemble, with intervals over starts.

    `plain` is the ensemble of scores, `even` that of scores brought to equal deviations; `_low` and
    `_high` are the ends. `among` many donors have 95 % together.
    """
    rows = []
    real = donors[donors.kind != "control"]
    for (network, donor), part in real.groupby(["network", "donor"], sort=False):
        row = {"network": network, "donor": donor, "kind": part.kind.iloc[0]}
        for name, column in (("plain", "ensemble"), ("even", "even")):
            x = start_interval(part.soup - part[column], images, among)
            row |= {name: x.value, f"{name}_low": x.low, f"{name}_high": x.high}
        rows.append(row)
    return pd.DataFrame(rows)
