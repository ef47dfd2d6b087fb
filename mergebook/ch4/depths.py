"""The gap between ensemble and soup by depth, in families of networks (page 04i)."""

import re

import pandas as pd

Table = pd.DataFrame
READINGS = {"as averaged": "uniform", "new moments": "recalibrated", "train mode": "train mode"}
NORMED = "vgg, BatchNorm"
MEMBERS = 5  # models in a soup, which all groups have


def family_and_depth(network: str) -> tuple[str, int]:
    """The family of a network, such as `vgg` or `vgg, BatchNorm`, and its number of layers.

    Raises `ValueError` for a name without a number.
    """
    found = re.fullmatch(r"([a-z]+)(\d+)(_bn)?", network)
    if found is None:
        raise ValueError(f"network is {network!r}; give one with its number of layers, like vgg11")
    name, depth, norm = found.groups()
    return name + (", BatchNorm" if norm else ""), int(depth)


def by_depth(scores: Table) -> Table:
    """Gaps by family, depth and reading of a soup, and single models' scores.

    `scores` are those of `gaps.scores_of_methods`, of which soups of five are taken.
    The moments of BatchNorm in a soup are the mean ones, `as averaged`; or `new moments` of the
    training images; or those of each test batch, `train mode`, as in the released scripts. In
    networks without BatchNorm all three are one soup.
    """
    rows = []
    for row in scores[scores.members == MEMBERS].to_dict("records"):
        family, depth = family_and_depth(row["network"])
        for reading, method in READINGS.items():
            soup = row.get(method, float("nan"))
            soup = row["uniform"] if soup != soup else soup
            own = {"family": family, "depth": depth, "reading": reading}
            own |= {k: row[k] for k in ("network", "seed", "single", "images")}
            rows.append(own | {"gap": row["logits"] - soup})
    return pd.DataFrame(rows)


def from_shallow_to_deep(depths: Table) -> Table:
    """Of each family, reading and start: gap and single accuracy of the deepest minus shallowest.

    Families with one depth are left out.
    """
    rows = []
    for (family, reading, seed), own in depths.groupby(["family", "reading", "seed"], sort=False):
        own = own.sort_values("depth")
        if own.depth.nunique() > 1:
            low, high = own.iloc[0], own.iloc[-1]
            row = {"family": family, "reading": reading, "seed": seed, "images": own.images.min()}
            row |= {"shallow": int(low.depth), "deep": int(high.depth)}
            rows.append(row | {c: high[c] - low[c] for c in ("gap", "single")})
    return pd.DataFrame(rows)
