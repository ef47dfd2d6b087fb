"""Soups seen closely against their members: scores, and how steep and how long, as differences."""

import numpy as np
import pandas as pd

from mergebook.ch4.compared import START, ahead_of

Table = pd.DataFrame
SCORES = ("train", "test", "noisy", "refit")
LOGARITHMIC = ("slope", "length", "apart")


def seen_long(closely: Table, images: int) -> Table:
    """What was measured of each kind of model, named `KIND: FIELD`, for each network and start.

    Columns network, seed, what, value, images, of a table of `closely.CLOSELY` tested on so many
    images. Slopes, lengths and distances are 100 times their logarithms, so that differences are
    percent, nearly; 0 of something stays out.
    """
    parts = []
    for field in (*SCORES, *LOGARITHMIC):
        part = closely[[*START]].assign(what=closely.who + f": {field}", value=closely[field])
        if field in LOGARITHMIC:
            part = part[part.value > 0].assign(value=lambda t: 100 * np.log(t.value))
        parts.append(part)
    return pd.concat(parts, ignore_index=True).assign(images=images)


def with_decays(seen: Table, decayed: Table, images: int) -> Table:
    """The same table with members that were trained with weight decay, named `decay D: FIELD`.

    `decayed` is a table of `closely.CLOSELY` with several decays.
    """
    parts = [seen]
    for decay, part in decayed.groupby("decay"):
        members = part[part.who == "members"].assign(who=f"decay {decay:g}")
        parts.append(seen_long(members, images))
    return pd.concat(parts, ignore_index=True)


def seen_change(seen: Table, who: str, field: str, against: str = "members") -> Table:
    """What one kind of model has more of a field than another, by network and start."""
    return ahead_of(seen, f"{who}: {field}", f"{against}: {field}")


def decays_of(seen: Table) -> list[str]:
    """The kinds of models with weight decay, from the least decay on."""
    kinds = {what.split(": ")[0] for what in seen.what if what.startswith("decay ")}
    return sorted(kinds, key=lambda kind: float(kind.split()[1]))


def beyond_length(seen: Table) -> Table:
    """How much less steep, in percent, the soup's length makes members than half of what soups are.

    Positive where members of the soup's length have less than half of its effect.
    """
    shrunk, soup = (
        seen_change(seen, who, "slope").set_index(START) for who in ("shrunk members", "soup")
    )
    value = shrunk.value - soup.value / 2
    return value.rename("value").reset_index()


def mean_table(seen: Table, kinds, fields) -> Table:
    """Means over starts, a row a network and kind, a column a field; logarithms undone."""
    rows = []
    for network in dict.fromkeys(seen.network):
        part = seen[seen.network == network].groupby("what").value.mean()
        for kind in kinds:
            row = {"network": network, "who": kind}
            for field in fields:
                value = part.get(f"{kind}: {field}", float("nan"))
                row[field] = np.exp(value / 100) if field in LOGARITHMIC else value
            rows.append(row)
    return pd.DataFrame(rows).set_index(["network", "who"]).dropna(how="all")
