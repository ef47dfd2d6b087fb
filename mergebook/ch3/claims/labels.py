"""Claims about labels and their substitutes (page 03j): `READINGS` of StatsMerging decide."""

import pandas as pd

from mergebook.ch3.comparing import of_lead
from mergebook.ch3.labels import GIVEN, HARD, LABELS, READINGS, SOFT, printed_means
from mergebook.ch3.spoilt import BY_TASK, REAL, SPOILS
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
NEAR = 1.0  # points: what we call comparable
TWINS = 0.001  # the share of test inputs that may have a twin within their data set


def with_leads(table: Table) -> list[dict]:
    """The rows, each with its value and 95 % interval as one `lead`."""
    return [row._asdict() | {"lead": of_lead(row)} for row in table.itertuples(index=False)]


def readings_show(shown: pd.Series, excluded: pd.Series, of: pd.Series) -> dict:
    """Of comparisons: which readings show all of theirs, and whether each excludes one of its own.

    `of` names the reading of each comparison. If not all readings were tried, nothing is shown.
    """
    shows, tried = shown.groupby(of, sort=False).all(), set(READINGS) <= set(of)
    return {
        "holds": tried and bool(shows[list(READINGS)].all()),
        "against": tried and bool(excluded.groupby(of).any().all()),
        "corrected": tried and bool(shows.any()),
        "values": {"shows": " and ".join(n for n in READINGS if shows.get(n, False)) or "none"},
    }


def of_readings(table: Table) -> Table:
    """The rows of the readings of StatsMerging; the others are controls."""
    return table[table.reading.isin(READINGS)]


def outcome_of_readings(found: dict, **values) -> Outcome:
    """`weighed` of what `readings_show` found, with more values."""
    return weighed(**found | {"values": found["values"] | values})


@claim("stats-hard-labels-vs-truth")
def labels_or_hard(gaps: Table, printed: Table, teachers: Table) -> Outcome:
    """The printed rows differ by less than `NEAR` points, at both levels.

    Corrected: on these networks labels lead the teachers' hard answers by less than that, in each
    comparison of both readings. Fails: the printed rows differ by more.
    """
    means = printed_means(printed)
    paper = {level: means[level, LABELS] - means[level, HARD] for level in GIVEN}
    rows = of_readings(gaps)
    here = readings_show(rows.high < NEAR, rows.all_low > NEAR, rows.reading)
    values = {"gaps": with_leads(gaps), "count": len(rows), "right": teachers.right.mean(), **paper}
    far = any(gap >= NEAR for gap in paper.values())
    return Outcome(not far, here["holds"], values)


@claim("stats-soft-worse-than-hard")
def soft_answers(gaps: Table, printed: Table, warmer: Table) -> Outcome:
    """Hard answers lead soft ones, in each comparison; T = 1, as in the text."""
    means = printed_means(printed)
    paper = {level: means[level, HARD] - means[level, SOFT] for level in GIVEN}
    rows = of_readings(gaps)
    found = readings_show(rows.low > 0, rows.all_high < 0, rows.reading)
    layers = rows[rows.level == "layers"]
    values = {"gaps": with_leads(gaps), "warmer": with_leads(warmer), "most": layers.high.max()}
    return outcome_of_readings(found, count=len(rows), **values, **paper)


@claim("stats-pseudo-labels-sufficient")
def sufficient(near: Table, found: Table, lost: Table) -> Outcome:
    """The teachers' coefficients are nearer to those of labels than another seed's are.

    And the merge loses less than `NEAR` points; the correction is this alone.
    """
    rows, real = of_readings(near), of_readings(lost[lost.spoilt == REAL])
    close = readings_show(rows.low > 0, rows.all_high < 0, rows.reading)
    level = readings_show(real.high < NEAR, real.all_low > NEAR, real.reading)
    mean = found.groupby(["reading", "spoilt"], sort=False).distance.mean().rename("mean")
    shares = [s for s in SPOILS if s not in (LABELS, REAL)]
    values = {
        **close["values"],
        "near": with_leads(near),
        "lost": with_leads(lost[lost.spoilt == REAL]),
        "theory": ", ".join(f"{mean[BY_TASK, s]:.2f}" for s in (REAL, *shares)),
        "shares": ", ".join((REAL, *shares)),
        "growth": mean[BY_TASK, shares[-1]] / mean[BY_TASK, shares[0]],
        "times": float(shares[-1]) / float(shares[0]),
        "worst": with_leads(lost[lost.spoilt == shares[-1]]),
    }
    return weighed(
        close["holds"] and level["holds"],
        close["against"] or level["against"],
        level["holds"],
        values,
    )


@claim("stats-no-manual-labels")
def no_manual_labels(use: Table, choices: Table) -> Outcome:
    """Other labels change nothing, and choosing by labels gains less than `NEAR` points.

    Fails: a label changes the method, or choosing by labels gains more under both readings.
    """
    method, control = (use[use.loss == loss] for loss in (HARD, LABELS))
    enters = bool((method[["coefficients", "agreement"]] > 0).to_numpy().any())
    rows = of_readings(choices)
    found = readings_show(rows.high < NEAR, rows.all_low > NEAR, rows.reading)
    found["holds"] &= not enters
    found["corrected"] &= not enters
    found["against"] |= enters
    values = {"enters": method.coefficients.max(), "control": control.coefficients.min()}
    return outcome_of_readings(found, choices=with_leads(choices), **values)


@claim("stats-no-test-samples")
def no_test_inputs(both: Table, gains: Table) -> Outcome:
    """At most `TWINS` of the test inputs are among those that coefficients are learnt from.

    `gains` are shown: what learning from test inputs would add.
    """
    same, of = int(both["in both"].sum()), int(both.test.sum())
    return Outcome(same <= TWINS * of, values={"same": same, "of": of, "gains": with_leads(gains)})
