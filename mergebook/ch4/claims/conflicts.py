"""Claims about conflicts between weights, what cancels, and how small averages are (page 04k).

Starts are the repetitions. Networks that are looked through, and intervals that exclude, are
corrected for their number.
"""

import math

import pandas as pd

from mergebook.ch4.claims.shapes import listed
from mergebook.ch4.compared import ahead_of, score_intervals
from mergebook.ch4.conflicts import (
    EQUAL_MOVE,
    refit_returns,
    resolved,
    soups_of_two,
    start_correlations,
)
from mergebook.ch4.curves import interval_of, network_rows
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.weighing import weighed

Table = pd.DataFrame
COLLAPSE = 20.0  # points that a collapsed soup loses
NOTICED = 1.0  # percent of activation at a ReLU
HALF = 0.05  # around 0.5
EXACT = 0.01  # of a predicted variance
MATTERS, NOTHING = 5.0, 0.1  # percent of a largest entry
UNSEEN = Interval(math.nan, math.nan, math.nan)  # of a network without such models


def losses_called(losses: Table, what: str) -> Table:
    """The rows of one model made of pairs."""
    return losses[losses.what == what]


def mean_losses(losses: Table, *names: str) -> Table:
    """Mean points lost, a row a network, a column a model; 0 rows where a name is missing."""
    part = losses[losses.what.isin(names)]
    wide = part.pivot_table("value", "network", "what", sort=False).reindex(columns=names)
    return wide.dropna().reset_index()


@claim("rethink-proposal1-conflicts")
def resolving_mends(losses: Table) -> Outcome:
    """In each network whose soup of two loses, electing signs returns accuracy.

    Corrected: in some, by intervals corrected for the number of networks. Fails: in each of them
    clearly less than half of the loss. Not decidable here if no soup clearly loses.
    """
    soups, found = score_intervals(soups_of_two(losses)), resolved(losses)
    number = max(1, len(soups))
    returned = found[found.what == "returned"]
    plain, strict = score_intervals(returned), score_intervals(returned, number)
    half = score_intervals(found[found.what == "beyond half"], number)
    losing = [n for n, x in soups.items() if x.low > 0]
    there = [n for n in losing if strict.get(n, UNSEEN).low > 0]
    aligned = ahead_of(losses, "mean", "aligned")
    values = {
        "soups": network_rows(soups),
        "returned": network_rows(plain),
        "refit": network_rows(score_intervals(refit_returns(losses))),
        "aligned": aligned.value.abs().max() if len(aligned) else 0.0,
        "losing": listed(losing),
        "there": listed(there),
        "elsewhere": listed(n for n in losing if n not in there),
        "intervals": 3 * len(soups),
        "starts": losses.seed.nunique(),
    }
    if not losing:
        return Outcome(None, values=values)
    holds = all(plain.get(n, UNSEEN).low > 0 for n in losing)
    against = all(half.get(n, UNSEEN).high < 0 for n in losing)
    return weighed(holds, against, bool(there), values)


@claim("rethink-collapse-due-to-weight-conflicts")
def conflicts_collapse(losses: Table) -> Outcome:
    """In each collapsed soup conflicts cost more than an equal random move, and election mends.

    Corrected: they cost more. Fails: in each collapsed soup a random move as long clearly costs
    more, and election returns clearly less than half. Not decidable here if no soup collapses.
    """
    soups, found = score_intervals(losses_called(losses, "mean")), resolved(losses)
    number = max(1, len(soups))
    # What a random move keeps above what the average keeps, in points.
    move = ahead_of(losses, "mean", EQUAL_MOVE)
    beyond, strict = score_intervals(move), score_intervals(move, number)
    returned = score_intervals(found[found.what == "returned"])
    half = score_intervals(found[found.what == "beyond half"], number)
    there = [n for n, x in soups.items() if x.low > COLLAPSE]
    names = ("mean", EQUAL_MOVE, "conflict dealt anew", "half-way back")
    values = {
        "soups": network_rows(soups),
        "beyond": network_rows(beyond),
        "returned": network_rows(returned),
        "controls": mean_losses(losses, *names).rename(
            columns=dict(zip(names, ("mean", "move", "dealt", "back")))
        ),
        "there": listed(there),
        "intervals": 3 * len(soups),
        "starts": losses.seed.nunique(),
    }
    if not there:
        return Outcome(None, values=values)
    costs = all(beyond[n].low > 0 for n in there)
    mended = all(returned.get(n, UNSEEN).low > 0 for n in there)
    against = all(strict[n].high < 0 and half.get(n, UNSEEN).high < 0 for n in there)
    return weighed(costs and mended, against, costs, values)


@claim("rethink-relu-cancellation")
def cancelling_loses(rows: Table, kept: Table) -> Outcome:
    """Activation cancels, ensembles of features keep what soups lose, and one goes with the other.

    In each network with ReLUs; the relation is a mean rank correlation over pairs of all of them.
    Corrected: without the relation. Fails: in each of them hardly any activation cancels, or
    features are clearly below soups. `kept` is features minus soup, of two models.
    """
    rows = rows.dropna(subset="lost")
    networks = list(dict.fromkeys(rows.network))
    number = max(1, len(networks))
    by_start = rows.groupby(["network", "seed"], sort=False).lost.mean().reset_index()
    kept = kept[kept.network.isin(networks)]
    lost, gain = interval_of(by_start, column="lost"), score_intervals(kept)
    few, below = interval_of(by_start, number, "lost"), score_intervals(kept, number)
    related = of_mean(start_correlations(rows, "lost").sort_values("seed").value)
    values = {
        "lost": network_rows(lost),
        "gain": network_rows(gain),
        "related": related,
        "distance": of_mean(start_correlations(rows, "distance").sort_values("seed").value),
        "intervals": 2 * len(networks) + 1,
        "starts": rows.seed.nunique(),
    }
    there = bool(networks) and all(
        lost[n].low > NOTICED and n in gain and gain[n].low > 0 for n in networks
    )
    against = bool(networks) and all(
        few[n].high < NOTICED or (n in below and below[n].high < 0) for n in networks
    )
    return weighed(there and related.low > 0, against, there, values)


@claim("rethink-variance-halves")
def variance_halves(ratios: Table) -> Outcome:
    """The average of two fine-tuned models has half of their variance, in each network.

    Corrected: it has (1 + rho) / 2 of it, in each. Fails: not half, nor that, in some network.
    """
    number = max(1, ratios.network.nunique())
    off = ratios.assign(value=ratios.variance - ratios.expected)
    found, strict = (interval_of(ratios, m, "variance") for m in (1, number))
    exact, wrong = (interval_of(off, m) for m in (1, number))
    values = {
        "rows": ratios.groupby("network", sort=False)[["variance", "expected", "rho"]]
        .mean()
        .reset_index(),
        "worst": off.value.abs().max(),
        "intervals": 2 * len(found),
        "starts": ratios.seed.nunique(),
    }
    halved = bool(found) and all(
        abs(end - 0.5) < HALF for x in found.values() for end in (x.low, x.high)
    )
    predicted = all(-EXACT < x.low and x.high < EXACT for x in exact.values())
    away = any(x.low > 0.5 + HALF or x.high < 0.5 - HALF for x in strict.values())
    against = away and any(x.low > EXACT or x.high < -EXACT for x in wrong.values())
    return weighed(halved, against, away and predicted, values)


@claim("rethink-averaging-typically-reduces-magnitude")
def largest_entry_falls(ratios: Table) -> Outcome:
    """Averaging takes more than 5 % off the largest entry, in each network.

    Corrected: it takes something, in each. Fails: clearly below 0.1 % in more than half of them.
    """
    falls = ratios.assign(value=100 * (1 - ratios.peak), shorter=100 * (1 - ratios.norm))
    number = max(1, falls.network.nunique())
    found, strict = interval_of(falls), interval_of(falls, number)
    values = {
        "rows": network_rows(found),
        "least": min((x.value for x in found.values()), default=float("nan")),
        "most": max((x.value for x in found.values()), default=float("nan")),
        "shorter": falls.groupby("network").shorter.mean().max(),
        "intervals": len(found),
        "starts": falls.seed.nunique(),
    }
    much = bool(found) and all(x.low > MATTERS for x in found.values())
    some = bool(found) and all(x.low > 0 for x in found.values())
    none = sum(x.high < NOTHING for x in strict.values()) > len(strict) / 2
    return weighed(much, bool(found) and none, some, values)
