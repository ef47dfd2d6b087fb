"""Claims about soups and ensembles in general, which printed rows decide (page 04q).

Small networks stand beside them: starts are the repetitions, and their test images are given.
"""

import pandas as pd

from mergebook.ch4.claims.averages import MOST, clear_in, controls_told, interval_list, most_of
from mergebook.ch4.gaps import over_starts
from mergebook.ch4.printed import METHODS
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
CLOSE = 2.0  # points behind an ensemble that are called competitive


@claim("rethink-ensembling-beats-merging")
def ensembles_ahead(printed: Table, scores: Table) -> Outcome:
    """Printed ensembles of both kinds are above soups of both kinds in most rows, each pair.

    And here logits are clearly above the better soup in most networks, clearly below in none.
    Corrected: so ensembles of logits. Fails: printed logits are not, for both kinds of soups.
    """
    shares = {
        (e, m): int((printed[e] > printed[m]).sum())
        for e in ("logits", "features")
        for m in ("uniform", "greedy")
    }
    ten = scores[scores.members == MOST]
    networks = list(dict.fromkeys(ten.network))
    found = over_starts(ten, "better gap")
    low = over_starts(ten, "better gap", max(1, len(networks)))
    here = most_of(clear_in(found), networks) and not any(x.below for x in low.values())
    half = len(printed) / 2
    lead = {e: all(v > half for (k, _), v in shares.items() if k == e) for e, _ in shares}
    values = {
        "pairs": [{"ensemble": e, "soup": m, "rows": v} for (e, m), v in shares.items()],
        "of": len(printed),
        "rows": interval_list(found),
        "clear": len(clear_in(found)),
        "networks": len(networks),
        "starts": ten.seed.nunique(),
        "intervals": max(1, len(networks)),
    }
    never = all(shares["logits", m] <= half for m in ("uniform", "greedy"))
    return weighed(all(lead.values()) and here, never, lead["logits"] and here, values)


@claim("rethink-more-templates-better")
def above_components(printed: Table, scores: Table, one: Table, own: Table) -> Outcome:
    """Merged models are above their single ones: in most printed rows, and most networks here.

    Uniform soups, greedy ones, or the better of both. Holds: uniform ones. Corrected: the better of
    both. Fails: printed, none of the three is in more than half of the rows.
    """
    better = printed[["uniform", "greedy"]].max(axis=1)
    above = {
        "uniform": int((printed.uniform > printed.single).sum()),
        "greedy": int((printed.greedy > printed.single).sum()),
        "better": int((better > printed.single).sum()),
    }
    ten = scores[scores.members == MOST]
    networks, half = list(dict.fromkeys(ten.network)), len(printed) / 2
    gains = {m: over_starts(ten, c) for m, c in (("uniform", "gain"), ("greedy", "greedy gain"))}
    shown = {m: most_of(clear_in(found), networks) for m, found in gains.items()}
    values = above | {
        "of": len(printed),
        "rows": interval_list(gains["uniform"]),
        "some": interval_list(gains["greedy"]),
        "starts": ten.seed.nunique(),
        "intervals": 2 * len(networks),
        "controls": controls_told(one, own, "gain"),
    }
    against = all(v <= half for v in above.values())
    corrected = above["better"] > half and any(shown.values())
    return weighed(above["uniform"] > half and shown["uniform"], against, corrected, values)


@claim("rethink-proposal2-tradeoff")
def competitive(printed: Table, scores: Table) -> Outcome:
    """Ensembles of logits are above both soups, and soups within 2 points of them, in most rows.

    Holds: uniform soups are within. Corrected: the better of uniform and greedy soup is. Fails:
    ensembles are not ahead in most printed rows, or neither soup is within.
    """
    better = printed[["uniform", "greedy"]].max(axis=1)
    behind = {
        "uniform": printed.logits - printed.uniform,
        "better": printed.logits - better,
        "single": printed.logits - printed.single,
    }
    near = {k: int((v <= CLOSE).sum()) for k, v in behind.items()}
    half, ten = len(printed) / 2, scores[scores.members == MOST]
    ahead = int((behind["better"] > 0).sum())
    found = {c: over_starts(ten, c) for c in ("gap", "better gap")}
    values = near | {
        "of": len(printed),
        "ahead": ahead,
        "rows": [
            {"network": n, "gap": x, "better": found["better gap"][n]}
            for n, x in found["gap"].items()
        ],
        "starts": ten.seed.nunique(),
        "intervals": 2 * ten.network.nunique(),
    }
    if printed[list(METHODS[:5])].isna().any(axis=None) or not len(printed):
        return Outcome(None, values=values)
    strong = ahead > half
    return Outcome(strong and near["uniform"] > half, strong and near["better"] > half, values)
