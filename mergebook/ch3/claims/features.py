"""Claims about single statistics, Tables 5 and 6 (evidence page 03i)."""

from collections.abc import Sequence

import pandas as pd

from mergebook.ch3.features import PATH, QUESTIONS, RANKS
from mergebook.ch3.guidance import READINGS
from mergebook.ch3.students_merged import NESTED, NETWORKS
from mergebook.claims import Outcome, claim
from mergebook.weighing import below, weighed

Table = pd.DataFrame
EXACT = 1e-9
ON_STUDENTS = dict(zip(READINGS, NETWORKS))  # how the page on students names a reading


def rows_by_reading(table: Table) -> dict[str, Table]:
    """The rows of each reading."""
    return dict(tuple(table.groupby("reading", sort=False)))


def told_of_leads(table: Table) -> dict:
    """The values of a table of leads: its rows, and how many there are in each reading."""
    counts = ", ".join(f"{name}: {len(part)}" for name, part in rows_by_reading(table).items())
    return {"rows": table.to_dict("records"), "intervals": counts}


def on_students(table: Table, reading: str, fewer: Sequence[str] = NESTED) -> bool:
    """Whether all statistics clearly lead each of these smaller sets, on another architecture."""
    part = table[(table.network == ON_STUDENTS[reading]) & table.reads.isin(fewer)]
    return len(part) == len(fewer) and bool((part.low > 0).all())


@claim("stats-table5-feature-ablation")
def features_add(leads: Table, students: Table) -> Outcome:
    """In a reading each added statistic leads what came before, and as many random numbers.

    And on students of another architecture all statistics lead each smaller set. Corrected:
    variance and magnitude lead so on the same architecture. Fails: in each reading one of the six
    is clearly below. Both by intervals corrected for their number.
    """
    of = rows_by_reading(leads)
    asked = len(QUESTIONS["features"])
    clear = [n for n, part in of.items() if len(part) == asked and (part.low > 0).all()]
    clear = [n for n in clear if on_students(students, n)]
    below = [n for n, part in of.items() if (part.all_high < 0).any()]
    first = {n: part[part.what.isin(PATH[1:3])] for n, part in of.items()}
    some = [n for n, part in first.items() if len(part) and (part.all_low > 0).all()]
    values = told_of_leads(leads) | {"some": " and ".join(some)}
    values["students"] = students.to_dict("records")
    return weighed(bool(clear), len(below) == len(READINGS), bool(some), values)


@claim("stats-magnitude-is-redundant")
def magnitude_adds(leads: Table, norms: Table) -> Outcome:
    """In a reading the magnitude is missed when it is left out of all statistics.

    Corrected: it helps next to mean and variance alone. Fails: in each reading all statistics are
    clearly better without it. Both by intervals corrected for their number.
    """
    out = leads[leads.question == "next to all others"]
    alone = leads[leads.question == "next to mean and variance"]
    error = norms.error.max()
    values = told_of_leads(leads) | {"exact": below(norms.error, EXACT), "error": error}
    values["helped"] = " and ".join(alone.reading[alone.all_low > 0])
    against = len(out) == len(READINGS) and bool((out.all_high < 0).all())
    return weighed(bool((out.low > 0).any()), against, bool((alone.all_low > 0).any()), values)


@claim("stats-singular-values-gain")
def singular_values_add(leads: Table, students: Table) -> Outcome:
    """In a reading singular values lead their absence and themselves shuffled.

    And on students of another architecture their absence. Fails: in each reading one of both is
    clearly below, corrected for the number of intervals.
    """
    asked = leads[leads.question.isin(("with minus without", "true minus shuffled"))]
    of = rows_by_reading(asked)
    clear = [n for n, part in of.items() if len(part) == 2 and (part.low > 0).all()]
    clear = [n for n in clear if on_students(students, n, NESTED[-1:])]
    below = [n for n, part in of.items() if (part.all_high < 0).any()]
    values = told_of_leads(leads) | {"students": students.to_dict("records")}
    return weighed(bool(clear), len(below) == len(READINGS), values=values)


@claim("stats-table6-rank-sweep")
def rank_three_best(leads: Table) -> Outcome:
    """In a reading rank 3 leads each other rank from 1 to 5.

    Fails: in each reading another rank leads it, corrected for the number of intervals.
    """
    of = rows_by_reading(leads[leads.over.isin([str(k) for k in RANKS])])
    clear = [n for n, part in of.items() if (part.low > 0).all()]
    below = [n for n, part in of.items() if (part.all_high < 0).any()]
    return weighed(bool(clear), len(below) == len(READINGS), values=told_of_leads(leads))
