"""Claims about StatsMerging++: more inputs, and scores above the teachers (evidence page 03l)."""

import pandas as pd

from mergebook.ch3.comparing import of_lead
from mergebook.ch3.more_data import FITS, INPUTS, LEARNERS, RIVAL, STEPS
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
NEAR = 2.0  # points
PRINTED = {"clip-vit-b-32": (94.5, 10.0), "clip-vit-l-14": (94.1, 2.0)}  # level, gain
PRINTED_EXCESS = 9.6  # of StatsMerging's gain over AdaMerging++'s, Table 15


def rows_of(table: Table, **columns) -> Table:
    """The rows that have these values, in the order of the learners, inputs first."""
    for name, value in columns.items():
        table = table[table[name] == value]
    rank = {name: i for i, name in enumerate((*LEARNERS, INPUTS, STEPS))}
    by = [n for n in ("what", "change", "inputs") if n in table]
    return table.sort_values(by, key=lambda c: c.map(lambda v: rank.get(v, v)))


def told(table: Table) -> list[dict]:
    """Rows with their intervals as one value, `lead`."""
    return [row._asdict() | {"lead": of_lead(row)} for row in table.itertuples(index=False)]


def of_learners(table: Table) -> Table:
    """The rows of StatsMerging."""
    return table[table.what.isin(LEARNERS)]


@claim("stats-plusplus-accuracies")
def plusplus_levels(growth: Table) -> Outcome:
    """On each of the paper's networks the printed level and gain, up to 2 points."""
    own = rows_of(of_learners(growth), over="")
    seen = own[own.suite.isin(PRINTED)]
    close, far = [], []
    for row in seen.itertuples():
        level, gain = PRINTED[row.suite]
        close.append(abs(row.accuracy - level) <= NEAR and abs(row.value - gain) <= NEAR)
        far.append(row.high < gain - NEAR)
    every = set(seen.suite) == set(PRINTED)
    wrong = [s for s in PRINTED if len(part := seen.suite == s) and part.any()]
    against = any(all(f for f, s in zip(far, seen.suite) if s == suite) for suite in wrong)
    return weighed(every and all(close), against, values={"rows": told(own)})


@claim("stats-table15-data-rate")
def data_rate(growth: Table, printed: Table) -> Outcome:
    """On ViT-B/32 the printed difference of both gains, up to 2 points."""
    own = rows_of(of_learners(growth), over=RIVAL)
    seen = own[own.suite == "clip-vit-b-32"]
    close = bool(len(seen)) and bool(((seen.value - PRINTED_EXCESS).abs() <= NEAR).all())
    against = bool(len(seen)) and bool((seen.all_high < PRINTED_EXCESS - NEAR).all())
    rates = rows_of(growth[growth.what == RIVAL], over="", change=INPUTS)
    plus = printed.loc[printed.gain.notna()].iloc[0]
    off = printed[printed.off]
    values = {
        "rows": told(own),
        "gains": told(rows_of(of_learners(growth), over="")),
        "rival": of_lead(next(rates.itertuples())),
        "off": [{"row": i, "printed": r.printed, "mean": r["mean"]} for i, r in off.iterrows()],
        "gain": plus.gain,
        "over": plus.over,
    }
    return weighed(close, against, values=values)


@claim("stats-data-efficiency")
def data_efficiency(growth: Table, leads: Table) -> Outcome:
    """More is gained by five times the inputs (the text's sense), and fewer are needed.

    Fewer: ahead with as many inputs, at each size. Fails if both senses are excluded for both
    learners; corrected: one of them holds for one learner, all trained for the same steps.
    """
    gains = rows_of(of_learners(growth), over=RIVAL)
    ahead = rows_of(leads)
    more = {n: gains[gains.what == n] for n in LEARNERS}
    fewer = {n: ahead[ahead.what == n] for n in LEARNERS}
    holds = bool((gains.low > 0).all() and (ahead.low > 0).all())
    senses = {f"{n}, gains more": m[m.change == INPUTS].all_low > 0 for n, m in more.items()} | {
        f"{n}, needs fewer": f.all_low > 0 for n, f in fewer.items()
    }
    which = [name for name, above in senses.items() if len(above) and above.all()]
    against = all(
        (more[n].all_high < 0).all() and (fewer[n].all_high < 0).any() and len(more[n])
        for n in LEARNERS
    )
    free = growth[(growth.what == "free coefficients") & (growth.change == INPUTS)]
    values = {"gains": told(gains), "leads": told(ahead), "which": "; ".join(which) or "none"}
    values["free"] = of_lead(next(free.itertuples()))
    return weighed(holds, bool(against), bool(which), values)


@claim("stats-plusplus-exceeds-teachers")
def exceeds_teachers(merges: Table, controls: Table) -> Outcome:
    """On ViT-B/32, coefficients taught by teachers are above them on the mean of tasks.

    The sentence is of that network alone: no other suite decides it.
    """
    by_learner = [merges[merges.what.str.startswith(f"{n},")] for n in LEARNERS]
    there = bool((merges.suite == "clip-vit-b-32").all())
    holds = [there and len(part) > 0 and bool((part.low > 0).all()) for part in by_learner]
    against = [there and len(part) > 0 and bool((part.all_high < 0).all()) for part in by_learner]
    fitted = controls[controls.what.str.endswith(FITS["tested"])]
    values = {
        "suite": merges.suite.iloc[0],
        "rows": told(merges.sort_values("what", ascending=False)),
        "controls": told(controls.sort_values("what", ascending=False)),
        "among": len(merges),
        "above": int(merges.tasks_above.max()),
        "fitted": float(fitted.accuracy.min()),
        "fitted_above": int(fitted.tasks_above.min()),
    }
    return weighed(all(holds), all(against), any(holds), values)
