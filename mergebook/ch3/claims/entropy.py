"""Claims about entropy as a measure of wrong labels (page 03k)."""

import math

import pandas as pd

from mergebook.ch3.claims.labels import NEAR, with_leads
from mergebook.ch3.entropy import BINS
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
ONE_OF_ONE, ONE_OF_TWO = 1.96, 2.2414  # standard errors of a 95 % interval, and of two together


@claim("stats-table12-entropy-bins")
def entropy_bins(bins: Table, margins: Table, ours: Table) -> Outcome:
    """The bins of one model allow its overall accuracy: StatsMerging's, or that of ++ (corrected).

    Fails: the printed margins are no differences of the columns. If neither accuracy fits, there
    remains a reading without arithmetic: each bin has a model of its own.
    """
    of = bins.set_index("method")
    plain, plus, rival = (of.loc[n] for n in ("StatsMerging", "StatsMerging++", "AdaMerging++"))
    agree = bool(margins.fits.all())
    shares = ours[(ours.by == BINS[0]) & (ours.what == ours.what.iloc[0])].set_index("part")
    values = {
        "least": plain.least,
        "plain": plain.overall,
        "plus": plus.overall,
        "rival": rival.overall,
        "rival_least": rival.least,
        "thirds": plain.thirds,
        "rival_thirds": rival.thirds,
        "agree": agree,
        "share": shares.share["high"],
        "tasks": int(shares.tasks["high"]),
    }
    fits = bool(rival.fits)
    return weighed(agree and fits and plain.fits, not agree, agree and fits and plus.fits, values)


def error_gaps(errors: Table) -> Table:
    """The teachers' error in the high part minus that in the low, in points, by binning.

    Means over tasks that have both; the intervals hold the luck of inputs. `all_low` and `all_high`
    have 95 % for both binnings together.
    """
    rate = errors.assign(rate=errors.wrong / errors.inputs.where(errors.inputs > 0))
    rate["noise"] = rate.rate * (1 - rate.rate) / rate.inputs
    rows = []
    for by, part in rate.groupby("by", sort=False):
        wide = part.pivot(index="task", columns="part", values=["rate", "noise"])
        wide = wide[wide["rate"][["low", "high"]].notna().all(axis=1)]
        gap = 100 * (wide["rate"]["high"] - wide["rate"]["low"]).mean()
        spread = (wide["noise"]["high"] + wide["noise"]["low"]).sum() / max(1, len(wide)) ** 2
        error = 100 * math.sqrt(spread) if len(wide) else math.nan
        ends = [gap + sign * z * error for z in (ONE_OF_ONE, ONE_OF_TWO) for sign in (-1, 1)]
        rows.append((by, len(wide), gap, *ends))
    columns = ["by", "tasks", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


@claim("stats-entropy-as-label-noise")
def label_noise(errors: Table, apart: Table) -> Outcome:
    """Teachers err more where their entropy is higher, and learning there is like wrong labels.

    The first in thirds and at the printed edges; the second within `NEAR` points in each
    comparison. Corrected: the first alone, by one of both binnings, which is named. It fails if by
    both they err less there.
    """
    gaps = error_gaps(errors)
    ordered, sure = (list(gaps.by[gaps[low] > 0]) for low in ("low", "all_low"))
    reversed_ = bool((gaps.all_high < 0).all())
    like = bool(((apart.low > -NEAR) & (apart.high < NEAR)).all())
    unlike = bool(((apart.all_low > NEAR) | (apart.all_high < -NEAR)).any())
    thirds = errors[errors.by == BINS[1]]
    rate = 100 * (thirds.wrong / thirds.inputs).groupby(thirds.part).mean()
    values = {
        "gaps": [
            g | {"gap": Interval(g["value"], g["low"], g["high"])} for g in gaps.to_dict("records")
        ],
        "apart": with_leads(apart),
        "unlike": "yes" if unlike else "no",
        "by": " and ".join(sure) or "no binning",
        **{part: rate[part] for part in ("low", "middle", "high")},
    }
    return weighed(len(ordered) == len(gaps) and like, reversed_, bool(sure), values)
