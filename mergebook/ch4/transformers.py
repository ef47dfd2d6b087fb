"""Gaps, parts and noise of transformers beside networks of convolutions, one number a start."""

from collections.abc import Iterable

import pandas as pd

from mergebook.ch4.compared import START, ahead_of, method_scores, start_interval
from mergebook.intervals import Interval

Table = pd.DataFrame
PLAIN, OWN_STEM, ONE_STEM = "vit", "vit_stem, own stem", "vit_stem, one stem"
MIXUP = "vit, mixup"
FROM_SOUP = " from the soup"


def named_starts(table: Table) -> Table:
    """Networks that do not share one start of their own kind, with its name after theirs."""
    name = table.network.where(table.start == "shared", table.network + ", " + table.start)
    return table.assign(network=name)


def is_transformer(network: str) -> bool:
    """Whether a network, with or without the name of its start, is a transformer."""
    return network.startswith("vit")


def merged_scores(averages: Table, images: int) -> Table:
    """What soups and ensembles score, with two and with all models, by network and start.

    Columns network, seed, what, value, images. `single`, `uniform`, `logits`, `best first` (the
    greedy soup) are with all; `uniform of two` and `logits of two` with two. Networks have the
    names of their starts (`named_starts`).
    """
    most, few = averages.members.max(), averages[averages.members > 1].members.min()
    named = named_starts(averages)
    kinds = ["single", "uniform", "logits", "best first"]
    every = method_scores(named, most, images)
    two = method_scores(named, few, images).query("what in ['uniform', 'logits']")
    parts = [every[every.what.isin(kinds)], two.assign(what=two.what + " of two")]
    return pd.concat(parts, ignore_index=True)


def gap_growth(scores: Table) -> Table:
    """How much farther the soup of all is below the ensemble than that of two, in points."""
    every, two = gap_of(scores), gap_of(scores, " of two")
    tables = [t.assign(what=what) for t, what in ((every, "all"), (two, "two"))]
    return ahead_of(pd.concat(tables, ignore_index=True), "all", "two")


def gap_of(scores: Table, few: str = "") -> Table:
    """The ensemble of logits minus the uniform soup, with all models or ` of two`."""
    return ahead_of(scores, f"logits{few}", f"uniform{few}")


def leads_over(table: Table, name: str, others: Iterable[str], among: int = 1) -> dict:
    """`{network: interval}` of what a network has more than others, start by start.

    `mean` is over the mean of the others. `table` has a `value` and `images` for each network and
    start; networks that it lacks give no interval.
    """
    wide = table.pivot(index="seed", columns="network", values="value").sort_index()
    others = [n for n in others if n in wide]
    if name not in wide or not others:
        return {}
    images = int(table.images.min())
    found = {n: wide[name] - wide[n] for n in others}
    found["mean"] = wide[name] - wide[others].mean(axis=1, skipna=False)
    return {n: start_interval(v, images, among) for n, v in found.items()}


def noise_losses(sensitive: Table, images: int) -> Table:
    """Points that noise costs members, a mean over its sizes, by network and start."""
    part = sensitive[sensitive.what == "moved at random"]
    wide = part.pivot_table("score", START, "size", sort=False)
    sizes = [c for c in wide if c > 0]
    lost = wide[sizes].rsub(wide[0.0], axis=0).mean(axis=1)
    return lost.rename("value").reset_index().assign(images=images)


def part_losses(sensitive: Table, scores: Table, images: int) -> Table:
    """Points that members of a transformer lose with one part of the soup's, and with `all`.

    Columns network, seed, what, value, images, of those that have parts.
    """
    parts = sensitive[sensitive.what.str.endswith(FROM_SOUP)]
    whole = scores[scores.what == "uniform"][[*START, "value"]].rename(columns={"value": "score"})
    whole = whole.merge(parts[START].drop_duplicates(), on=START).assign(what=f"all{FROM_SOUP}")
    still = sensitive[(sensitive.what == "moved at random") & (sensitive["size"] == 0)]
    rows = pd.concat([parts[[*START, "what", "score"]], whole], ignore_index=True)
    rows = rows.merge(still[[*START, "score"]], on=START, suffixes=("", "_before"))
    value = rows.score_before - rows.score
    names = rows.what.str.removesuffix(FROM_SOUP)
    return rows[START].assign(what=names, value=value, images=images)


def half_of_all(parts: Table, part: str) -> Table:
    """What one part costs above half of what the whole soup costs, by network and start."""
    halved = parts.assign(value=parts.value.where(parts.what != "all", parts.value / 2))
    return ahead_of(halved, part, "all")


def interval_lines(intervals: dict[str, Interval]) -> Table:
    """Intervals by name as rows that a sentence says."""
    return pd.DataFrame(
        [{"name": name, **x._asdict()} for name, x in intervals.items()],
        columns=["name", *Interval._fields],
    )
