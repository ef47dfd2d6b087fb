"""Claims about averaging as a regulariser (page 04n). Starts are the repetitions."""

import pandas as pd

from mergebook.ch4.claims.shapes import listed
from mergebook.ch4.compared import score_intervals
from mergebook.ch4.curves import interval_of, network_rows
from mergebook.ch4.smoothed import beyond_length, decays_of, seen_change
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
DAMAGED = 5.0  # points that a soup loses; flat scores have short gradients


@claim("rethink-weight-averaging-regularises")
def averaging_regularises(seen: Table) -> Outcome:
    """Soups are smoother than members of their length, and in some network better for it.

    In networks whose soup loses at most 5 points: smoother in each, and in one of them better on
    test or noisy images, by intervals corrected for all that are looked through. Corrected:
    smoother. Fails: in each clearly not smoother, or in each clearly worse on both. Not decidable
    here if all soups lose more.
    """
    loss = score_intervals(seen_change(seen, "members", "test", "soup"))
    whole = [n for n, x in loss.items() if x.value <= DAMAGED]
    number = max(1, len(whole))
    slopes = seen_change(seen, "soup", "slope", "shrunk members")
    smooth, steep = interval_of(slopes), interval_of(slopes, number)
    gains = {f: seen_change(seen, "soup", f, "shrunk members") for f in ("test", "noisy")}
    plain = {f: score_intervals(t) for f, t in gains.items()}
    strict = {f: score_intervals(t, 2 * number) for f, t in gains.items()}
    better = [n for n in whole if any(x[n].low > 0 for x in strict.values())]
    values = {
        "loss": network_rows(loss),
        "smooth": network_rows(smooth),
        "test": network_rows(plain["test"]),
        "noisy": network_rows(plain["noisy"]),
        "moved": network_rows(interval_of(seen_change(seen, "moved members", "slope"))),
        "nearer": network_rows(interval_of(seen_change(seen, "soup", "apart"))),
        "train": network_rows(score_intervals(seen_change(seen, "soup", "train"))),
        "whole": listed(whole),
        "better": listed(better),
        "intervals": 3 * len(loss),
        "starts": seen.seed.nunique(),
    }
    if not whole:
        return Outcome(None, values=values)
    smoother = all(smooth[n].high < 0 for n in whole)
    worse = all(x[n].high < 0 for n in whole for x in strict.values())
    against = all(steep[n].low > 0 for n in whole) or worse
    return weighed(smoother and bool(better), against, smoother, values)


@claim("rethink-merging-like-l2")
def merging_like_decay(seen: Table) -> Outcome:
    """A soup is smoother and fits less, as with some weight decay, and its length does most of it.

    In networks that were also trained with decay. Corrected: smoother and fits less, but members
    brought to its length clearly have less than half of the effect. Fails: the soup, or members
    with any decay, are clearly less smooth.
    """
    kinds = decays_of(seen)
    networks = set(seen.network[seen.what.str.startswith("decay ")])
    seen = seen[seen.network.isin(networks)]
    number = max(1, len(kinds) * len(networks))

    def both(who, among=1):
        return (
            interval_of(seen_change(seen, who, "slope"), among),
            score_intervals(seen_change(seen, who, "train"), among),
        )

    soup, decayed = both("soup"), {kind: both(kind, number) for kind in kinds}
    half = interval_of(beyond_length(seen))
    shown = ("slope", "train", "test", "noisy", "length")
    rows = [
        {"who": who} | {f: seen_change(seen, who, f).value.mean() for f in shown}
        for who in ("soup", "shrunk members", *kinds)
    ]
    values = {
        "rows": rows,
        "slope": network_rows(soup[0]),
        "half": network_rows(half),
        "decays": network_rows(
            {f"{n}, {kind}": x for kind, (s, _) in decayed.items() for n, x in s.items()}
        ),
        "intervals": 3 * len(networks) + 2 * number,
        "starts": seen.seed.nunique(),
    }

    def less(pair):
        return bool(networks) and all(x[n].high < 0 for x in pair for n in networks)

    soup_less, some_decay = less(soup), any(less(pair) for pair in decayed.values())
    by_length = all(x.high < 0 for x in half.values())
    otherwise = all(x.low > 0 for x in half.values())
    steeper = bool(kinds) and all(x.low > 0 for s, _ in decayed.values() for x in s.values())
    rougher = both("soup", number)[0]
    against = bool(rougher) and all(x.low > 0 for x in rougher.values())
    return weighed(
        soup_less and some_decay and by_length, against or steeper, soup_less and otherwise, values
    )
