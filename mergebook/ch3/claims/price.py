"""Claims about what a learnt merge costs (evidence page 03t)."""

import pandas as pd

from mergebook.ch3.price import HOURS, VIT
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame


@claim("stats-training-three-hours")
def three_hours(least: Table, timed: Table) -> Outcome:
    """Merging four ViT-B/32 takes about three hours: some timed training takes 1.5 to 6.

    It fails if the arithmetic alone, at the card's peak, takes more than 6 under each reading of an
    epoch. With no timed training it is not decidable.
    """
    about = ((timed.hours > HOURS / 2) & (timed.hours < 2 * HOURS)).any()
    values = {"least": least.to_dict("records"), "timed": len(timed)}
    return weighed(bool(about), bool((least.hours > 2 * HOURS).all()), values=values)


def all_names(names) -> str:
    """Names in words."""
    return " and ".join(map(str, names)) or "none"


@claim("stats-knots-ten-times-cost")
def dear_basis(times: Table, speed: Table) -> Outcome:
    """On ViT-B/32 decompositions at each step make it 5 to 20 times as dear, and it learns sooner.

    The first with each batch of the released scripts. Sooner: the mean loss, or what is left of its
    fall after the third tenth, is clearly lower with KnOTS in each reading. Corrected: as dear with
    one batch, which is named, and the losses settled: sooner, or in some reading clearly later and
    in none sooner. Fails: as dear with neither batch, or later by both losses in each reading.
    """
    large = times[times.network == VIT].set_index("batch").times
    tenfold = {n: bool(5 <= t <= 20) for n, t in large.items()}
    every = [*speed.area, *speed.left]
    sooner = all(x.below for x in speed.area) or all(x.below for x in speed.left)
    higher = speed.network[[x.above for x in speed.area]]
    later = len(higher) > 0 and not any(x.below for x in every)
    against = bool((large < 5).all() or (large > 20).all()) or all(x.above for x in every)
    values = {
        "times": times.to_dict("records"),
        "speed": speed.to_dict("records"),
        "count": len(every),
        "where": all_names(n for n in tenfold if tenfold[n]),
        "other": all_names(f"{t:.1f} times with {n}" for n, t in large.items() if not tenfold[n]),
        "sooner": "in each reading" if sooner else "not shown",
        "higher": all_names(higher),
    }
    corrected = any(tenfold.values()) and (sooner or later)
    return weighed(all(tenfold.values()) and sooner, against, corrected, values)


@claim("stats-knots-makes-worse")
def worse_with_basis(leads: Table) -> Outcome:
    """With KnOTS the merge is clearly worse under each reading of the learner.

    Corrected: under one, which is named.
    """
    worse, better = leads.high < 0, leads.all_low > 0
    values = {
        "leads": leads.to_dict("records"),
        "where": leads.network[worse].iloc[0] if worse.any() else "none",
        "count": len(leads),
    }
    both = len(leads) > 1
    return weighed(bool(both and worse.all()), bool(both and better.all()), worse.any(), values)
