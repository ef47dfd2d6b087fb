"""Claims about what the learner reads, and how large it must be (evidence page 03b)."""

import pandas as pd

from mergebook.ch3.guidance import DEALT, DEEPER, NOTHING
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
POINT = 1.0  # a learner of two layers that is at most so far behind suffices
MOST_ADDED = 0.3  # what deeper learners add, as printed


@claim("stats-guidance-matters")
def statistics_guide(leads: Table, new: Table) -> Outcome:
    """In each reading statistics lead every other input and no network, and gain on new experts.

    Corrected: in one reading, which is named, they lead a constant, and themselves in wrong cells.
    Fails: in each reading some input, or no network, leads them. Both by intervals corrected for
    their number. A network a layer cannot be asked about new experts.
    """
    of = dict(tuple(leads.groupby("reading", sort=False)))
    clear = [name for name, part in of.items() if (part.low > 0).all()]
    behind = [name for name, part in of.items() if (part.all_high < 0).any()]
    against_none = {n: part[part.over.isin((NOTHING, DEALT))] for n, part in of.items()}
    helped = [n for n, part in against_none.items() if len(part) and (part.all_low > 0).all()]
    gain = bool((new.low[new.what != DEALT] > 0).any())
    more = pd.concat([of[n] for n in helped] or [leads[:0]])
    values = {
        "rows": leads.to_dict("records"),
        "new": new.to_dict("records"),
        "helped": " and ".join(helped),
        "open": "; ".join(dict.fromkeys(more.over[~(more.all_low > 0)])) or "none",
        "gain": "shown" if gain else "not shown",
        "intervals": ", ".join(f"{n}: {len(part)}" for n, part in of.items()),
    }
    return weighed(len(clear) == len(of) and gain, len(behind) == len(of), bool(helped), values)


@claim("stats-statistics-identify-tasks")
def statistics_know_tasks(spreads: Table, proxies: Table, ceilings: Table) -> Outcome:
    """Tasks differ more than trainings, and a statistic reaches half of the ceiling, clearly.

    Of weights, which the text reads, and of changes, which the released scripts read. Corrected: of
    one of these, which is named. Fails: of both, trainings differ as much, or each statistic stays
    clearly below half of the ceiling.
    """
    apart, half = spreads.set_index("kind"), dict(tuple(proxies.groupby("kind", sort=False)))
    holds = [k for k, part in half.items() if apart.low[k] > 1 and (part.all_low > 0).any()]
    fails = [k for k, part in half.items() if apart.high[k] < 1 or (part.all_high < 0).all()]
    best = [part.loc[part.value.abs().fillna(0).idxmax()].to_dict() for part in half.values()]
    values = {
        "spreads": spreads.to_dict("records"),
        "best": best,
        "statistics": len(proxies) // len(half),
        "short": int((proxies.whole < 0).sum()),
        "all": len(proxies),
        "kinds": " and ".join(holds) or "neither",
    }
    values |= {f"c{i}": row for i, row in enumerate(ceilings.to_dict("records"))}
    return weighed(len(holds) == len(half), len(fails) == len(half), bool(holds), values)


@claim("stats-two-layers-suffice")
def two_layers_suffice(sizes: Table) -> Outcome:
    """No other learner is more than a point better, and deeper ones learn faster, in each reading.

    Corrected: in one, which is named, or without the second half. Fails: in each reading some
    learner leads by more than what is printed, corrected for the number of intervals.
    """
    of = dict(tuple(sizes.groupby("reading", sort=False)))
    enough = [name for name, part in of.items() if (part.high < POINT).all()]
    more = [name for name, part in of.items() if (part.all_low > MOST_ADDED).any()]
    deeper = {name: part[part.what.isin(DEEPER)] for name, part in of.items()}
    fast = [n for n in enough if len(deeper[n]) and (deeper[n].early_high < 0).all()]
    values = {
        "rows": sizes.to_dict("records"),
        "deeper": sizes[sizes.what.isin(DEEPER)].to_dict("records"),
        "enough": " and ".join(enough),
        "faster": "learn faster there" if fast else "are not shown to learn faster",
    }
    return weighed(len(fast) == len(of), len(more) == len(of), bool(enough), values)
