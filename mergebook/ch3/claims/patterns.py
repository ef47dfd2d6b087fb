"""Claims about what coefficients look like: Fig. 6 (evidence page 03p).

Four readings: one network for all layers, as the text has it, or one a layer, as the released
scripts have it; each with free coefficients, or on the simplex. A sentence *holds* if it does in
each; it *fails* only if in each an interval excludes it.
"""

import numpy as np
import pandas as pd

from mergebook.ch3.patterns import FORM_FREE, ON_SIMPLEX, READINGS, SHUFFLED, WITHOUT
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
VISIBLE = 0.2  # correlation: a pattern below it is not seen in a picture
AS_MUCH = 0.1  # correlation: what is less by that is less
NEEDED = 0.5  # points
UNTRAINED = "one network, not trained"


def in_words(readings) -> str:
    """Readings in words."""
    return "; ".join(readings) or "none"


def of_method(table: Table, what: str):
    """The row of a method."""
    return table[table.what == what].iloc[0]


@claim("stats-fig6-recurring-pattern")
def recurs_with_blocks(found: Table) -> Outcome:
    """Coefficients a block apart correlate, more than by chance and for each task.

    Corrected: for one network with free coefficients, and for no other reading: as much so before
    training, not with shuffled statistics, and with a network for each layer an interval excludes
    it, in either form.
    """
    rows = found.set_index("what")
    there = (rows.low > 0) & (rows.least > rows.chance) & (rows.excess > VISIBLE)
    absent = rows.high < VISIBLE
    (shared, own), (shared_simplex, own_simplex) = FORM_FREE, ON_SIMPLEX
    as_before = there[UNTRAINED] and rows.value[UNTRAINED] > rows.value[shared] - AS_MUCH
    corrected = (
        [n for n in READINGS if there[n]] == [shared]
        and as_before
        and absent[[own, own_simplex, SHUFFLED]].all()
    )
    simplex = rows.loc[shared_simplex]
    values = {
        "rows": [{"what": n} | r.to_dict() for n, r in rows.iterrows()],
        "there": in_words(n for n in READINGS if there[n]),
        "simplex": Interval(simplex.excess, simplex.low, simplex.high),
        "untrained": rows.value[UNTRAINED],
        "shuffled": rows.value[SHUFFLED],
        "repetitions": "each",
    }
    in_each = [bool(there[n]) for n in READINGS]
    return weighed(all(in_each), all(absent[list(READINGS)]), bool(corrected), values)


@claim("stats-fig6-nonuniform-layers")
def some_layers_matter(costs: Table, leads: Table) -> Outcome:
    """Tensors that stand out cost more to level than others, and layers lead whole models.

    The second is asked of free coefficients. Corrected: layers lead whole models.
    """
    more = costs[costs.levelled == "farthest less others"].set_index("what")
    lead = leads.set_index("what")
    holds = {
        n: bool(more.low[n] > 0 and (n not in lead.index or lead.low[n] > 0)) for n in READINGS
    }
    against = {
        n: bool(more.all_high[n] < 0 or (n in lead.index and lead.all_high[n] < 0))
        for n in READINGS
    }
    values = {
        "rows": [{"what": n, "cost": r.value} | r.to_dict() for n, r in more.iterrows()],
        "leads": leads.to_dict("records"),
        "there": in_words(n for n in READINGS if holds[n]),
        "free": more.value[WITHOUT],
        "free_low": more.low[WITHOUT],
        "free_high": more.high[WITHOUT],
    }
    return weighed(all(holds.values()), all(against.values()), bool((leads.low > 0).all()), values)


@claim("stats-fig6-task-specific")
def tasks_need_their_own(costs: Table, spreads: Table) -> Outcome:
    """Without a spread over tasks at least half a point is lost, and the spread is no noise.

    It is none if in some tensor it exceeds that over seeds. Corrected: so in some reading, which
    is named.
    """
    alike = costs[costs.levelled == "experts"].set_index("what")
    spread = spreads.set_index("what")
    holds = {n: bool(alike.low[n] > NEEDED and spread.wider[n] > 0) for n in READINGS}
    against = [bool(alike.all_high[n] < NEEDED) for n in READINGS]
    values = {
        "rows": [
            {"what": n} | r.to_dict() | {"wider": int(spread.wider[n])} for n, r in alike.iterrows()
        ],
        "tensors": int(np.max(spread.tensors)),
        "there": in_words(n for n in READINGS if holds[n]),
        "not": in_words(n for n in READINGS if not holds[n]),
        "some": in_words(n for n in READINGS if alike.low[n] > 0),
    }
    return weighed(all(holds.values()), all(against), any(holds.values()), values)
