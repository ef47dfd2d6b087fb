"""Claims about spoilt inputs and about LiNeS (evidence page 03q).

Both readings of the learner; a sentence holds in one if each of its intervals shows it, and is
excluded if one does that is corrected for their number.
"""

import pandas as pd

from mergebook.ch3.corruption import ARITHMETIC, READINGS
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
LEAST_GAIN = 3.1  # points: the least that LiNeS adds to a rule in Table 18


def of_leads(leads: Table, lost: Table | None = None) -> Outcome:
    """Whether each reading leads in each row; corrected: one of the two does."""
    holds = {n: bool((leads[leads.reading == n].low > 0).all()) for n in READINGS}
    against = [bool((leads[leads.reading == n].all_high < 0).any()) for n in READINGS]
    values = {
        "rows": leads.to_dict("records"),
        "lost": [] if lost is None else lost.to_dict("records"),
        "there": "; ".join(n for n in READINGS if holds[n]) or "none",
        "leading": int((leads.low > 0).sum()),
        "count": len(leads),
        "behind": int((leads.all_high < 0).sum()),
    }
    return weighed(all(holds.values()), all(against), any(holds.values()), values)


@claim("stats-robust-to-corruptions")
def leads_on_spoilt_inputs(leads: Table, lost: Table) -> Outcome:
    """It leads task arithmetic and AdaMerging under each of three corruptions."""
    return of_leads(leads, lost)


@claim("stats-table11-noise-levels")
def leads_at_each_noise(leads: Table) -> Outcome:
    """It leads AdaMerging++ at each of three levels of noise."""
    return of_leads(leads)


@claim("stats-lines-not-needed")
def no_need_of_lines(gains: Table) -> Outcome:
    """LiNeS adds less than half of what it adds to a rule in the paper, and nothing clear.

    Before learning and after; corrected: so for one of the readings. Two gains that are clear, one
    for each reading, exclude it.
    """
    gains = gains.set_index("what")
    little = {
        n: bool(
            (gains.loc[[n]].high < LEAST_GAIN / 2).all() and (gains.loc[[n]].all_low <= 0).all()
        )
        for n in READINGS
    }
    against = [bool((gains.loc[[n]].all_low > 0).any()) for n in READINGS]
    rule = gains.loc[ARITHMETIC]
    values = {
        "rows": gains.loc[list(READINGS)].reset_index().to_dict("records"),
        "rule": rule.value,
        "rule_low": rule.low,
        "rule_high": rule.high,
        "half": LEAST_GAIN / 2,
        "there": "; ".join(n for n in READINGS if little[n]) or "none",
    }
    return weighed(all(little.values()), all(against), any(little.values()), values)
