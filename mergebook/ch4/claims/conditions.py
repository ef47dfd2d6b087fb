"""Claims about how models are trained and read: one start, one classifier (page 04q)."""

import pandas as pd

from mergebook.ch4.claims.averages import interval_list
from mergebook.ch4.gaps import over_starts
from mergebook.claims import Outcome, claim
from mergebook.weighing import below, weighed

Table = pd.DataFrame
EXACT = 1e-9  # relative, in double precision
FIVE, TEN = 5, 10
WORKS = 2.0  # times the accuracy of chance, from which on a soup tells classes


@claim("rethink-feature-ensemble-merged-head")
def favours_none(orders: Table, scores: Table) -> Outcome:
    """Models can change places under the mean classifier, and not under the first one's."""
    ten = scores[scores.members == TEN]
    same, first = below(orders["mean"], EXACT), below(-orders["first"], -EXACT)
    values = {
        "draws": len(orders),
        "same": same,
        "first": orders["first"].min(),
        "covariance": below(orders.covariance, EXACT),
        "neutral": interval_list(over_starts(ten, "neutral")),
        "lent": interval_list(over_starts(ten, "lent")),
        "starts": ten.seed.nunique(),
        "intervals": 2 * ten.network.nunique(),
    }
    return Outcome(None if None in (same, first) else same and first, values=values)


@claim("rethink-identical-training-conditions")
def one_start(scores: Table, random: Table) -> Outcome:
    """Equal conditions suffice: soups of five work from one start and from random ones too.

    A soup works if it has more than twice the accuracy of chance. Corrected: if the start is among
    the conditions; from random starts soups lose clearly more, in each network. Fails: from one
    start soups do not work in most networks.
    """
    five, apart = (t[t.members == FIVE] for t in (scores, random))
    five = five[five.network.isin(apart.network)]
    networks = list(dict.fromkeys(apart.network))
    parts = {"one": five, "random": apart}
    over = {k: t.assign(over=t.uniform - WORKS * t.chance) for k, t in parts.items()}
    works = {k: over_starts(t, "over") for k, t in over.items()}
    among = 3 * max(1, len(networks))
    idle = over_starts(over["one"], "over", among)
    keys = ["network", "seed"]
    losses = {k: t.set_index(keys).gain for k, t in parts.items()}
    more = (losses["one"] - losses["random"]).dropna().rename("more").reset_index()
    more = over_starts(more.assign(images=scores.images.min()), "more")
    rows = [
        {"network": n, "more": more[n]}
        | {
            f"{k}_{c}": t[t.network == n][c].mean()
            for k, t in parts.items()
            for c in ("uniform", "single")
        }
        for n in networks
        if n in more
    ]
    values = {
        "rows": rows,
        "chance": scores.chance.mean(),
        "starts": apart.seed.nunique(),
        "intervals": among,
    }
    whole = bool(networks) and set(more) == set(networks)
    fine = {k: whole and all(x.above for x in v.values()) for k, v in works.items()}
    start = fine["one"] and all(x.above for x in more.values())
    against = whole and sum(x.below for x in idle.values()) > len(networks) / 2
    return weighed(fine["one"] and fine["random"] and not start, against, start, values)
