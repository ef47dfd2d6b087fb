"""What pairs of models lose by averaging, what returns it, and how their weights conflict."""

import numpy as np
import pandas as pd

from mergebook.ch4.compared import START, ahead_of
from mergebook.intervals import rank_correlation

Table = pd.DataFrame
ENDS = ("first", "second")
# What is compared with other ends than the two models as they are.
OWN_ENDS = {"half-way back": "half-way back, ends", "refitted": "refitted ends"}
RENEWED = ", recalibrated"
EQUAL_MOVE = "moved at random, mean classifier"


def pair_losses(halfway: Table, images: int) -> Table:
    """Points that each model made of a pair lies below the mean of its ends, mean over pairs.

    Columns network, seed, what, value, images, of a table of `halfway.HALFWAY` tested on so many
    images. `half-way back` and `refitted` have ends of their own.
    """
    wide = halfway.pivot_table("score", [*START, "pair"], "model", sort=False)
    ends = wide[list(ENDS)].mean(axis=1)
    lost = {
        name: (wide[OWN_ENDS[name]] if name in OWN_ENDS else ends) - wide[name]
        for name in wide
        if name not in (*ENDS, *OWN_ENDS.values())
    }
    long = pd.concat(lost, names=["what"]).rename("value").dropna()
    return long.groupby(["what", *START], sort=False).mean().reset_index().assign(images=images)


def soups_of_two(losses: Table) -> Table:
    """What the soup of two loses, by network and start; with BatchNorm one with new moments."""
    return _best_moments(losses, "mean", RENEWED.removeprefix(", "))


def elected_losses(losses: Table) -> Table:
    """The same where opposite updates are settled by electing their sign."""
    return _best_moments(losses, "elected", f"elected{RENEWED}")


def _best_moments(losses, plain, renewed):
    networks = list(dict.fromkeys(losses.network))
    normed = set(losses.network[losses.what == renewed])
    wanted = losses.network.map(lambda n: renewed if n in normed else plain)
    found = losses[losses.what == wanted]
    return found.sort_values("network", key=lambda names: names.map(networks.index), kind="stable")


def resolved(losses: Table) -> Table:
    """What electing signs returns, and how far that is above half of what the soup loses.

    Columns network, seed, what (`returned`, `beyond half`), value, images. With BatchNorm both have
    new moments: it is what election returns beyond them.
    """
    both = soups_of_two(losses).merge(elected_losses(losses), on=[*START, "images"])
    soup, mended = both.value_x, both.value_y
    kinds = {"returned": soup - mended, "beyond half": soup / 2 - mended}
    tables = [both.assign(what=what, value=value) for what, value in kinds.items()]
    return pd.concat(tables, ignore_index=True)[[*START, "what", "value", "images"]]


def refit_returns(losses: Table) -> Table:
    """What a classifier fitted anew returns to soups, more than to their ends."""
    return ahead_of(losses, "mean", "refitted")


def as_rows(pairs: Table, halfway: Table) -> Table:
    """A table of `halfway.APART` with what each pair's soup loses (`loss`), in points.

    `lost` is the share of activation that cancels, in percent, a mean over ReLUs; NaN without any.
    """
    wide = halfway.pivot_table("score", [*START, "pair"], "model", sort=False)
    loss = (wide[list(ENDS)].mean(axis=1) - wide["mean"]).rename("loss").reset_index()
    lost = [100 * np.mean(c) if len(c) else np.nan for c in pairs.cancelled]
    return pairs.assign(lost=lost).merge(loss, on=[*START, "pair"])


def start_correlations(rows: Table, column: str) -> Table:
    """Of each start the rank correlation of a column with the loss, over pairs of all networks.

    Columns seed, value; pairs without the column are left out.
    """
    parts = rows.dropna(subset=column).groupby("seed", sort=False)
    found = [(seed, rank_correlation(p[column], p.loss)) for seed, p in parts]
    return pd.DataFrame(found, columns=["seed", "value"])


def size_ratios(pairs: Table) -> Table:
    """What averages keep, a mean over pairs: columns network, seed, and those of `APART`.

    `variance`, `peak` and `norm` relative to the parents', `rho` the parents' correlation,
    `expected` the variance that it predicts, (1 + rho) / 2.
    """
    columns = ["variance", "peak", "norm", "rho"]
    means = pairs.groupby(START, sort=False)[columns].mean().reset_index()
    return means.assign(expected=(1 + means.rho) / 2)
