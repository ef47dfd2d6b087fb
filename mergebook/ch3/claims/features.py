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


def in_each(found: Sequence[str]) -> bool:
    """Whether each reading is among those for which something was found."""
    return set(READINGS) <= set(found)


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
    """In each reading a statistic that is added leads what came before, and random numbers.

    And on students of another architecture all statistics lead each smaller set. Corrected: in one
    reading, which is named, variance and magnitude lead so on the same architecture. Fails: in each
    reading one of the six is clearly below. Both by intervals corrected for their number.
    """
    of = rows_by_reading(leads)
    asked = len(QUESTIONS["features"])
    clear = [n for n, part in of.items() if len(part) == asked and (part.low > 0).all()]
    whole = [n for n in clear if on_students(students, n)]
    below = [n for n, part in of.items() if (part.all_high < 0).any()]
    first = {n: part[part.what.isin(PATH[1:3])] for n, part in of.items()}
    some = [n for n, part in first.items() if len(part) and (part.all_low > 0).all()]
    values = told_of_leads(leads) | {"some": " and ".join(some)}
    values |= {
        "students": students.to_dict("records"),
        "whole": " and ".join(whole) or "no reading",
    }
    return weighed(in_each(whole), in_each(below), bool(some), values)


@claim("stats-magnitude-is-redundant")
def magnitude_adds(leads: Table, norms: Table) -> Outcome:
    """In each reading the magnitude is missed when it is left out of all statistics.

    Corrected: in one it is, or it helps next to mean and variance alone. Fails: in each reading all
    statistics are clearly better without it. Both by intervals corrected for their number.
    """
    out = leads[leads.question == "next to all others"]
    alone = leads[leads.question == "next to mean and variance"]
    error = norms.error.max()
    values = told_of_leads(leads) | {"exact": below(norms.error, EXACT), "error": error}
    helped, missed = (list(part.reading[part.all_low > 0]) for part in (alone, out))
    values["helped"] = " and ".join(helped) or "no reading"
    values["missed"] = " and ".join(missed) or "no reading"
    holds, against = (in_each(list(out.reading[c])) for c in (out.low > 0, out.all_high < 0))
    return weighed(holds, against, bool(helped or missed), values)


@claim("stats-singular-values-gain")
def singular_values_add(leads: Table, students: Table) -> Outcome:
    """In each reading singular values lead their absence and themselves shuffled.

    And on students of another architecture their absence. Corrected: in one, which is named. Fails:
    in each reading one of both is clearly below. Both by intervals corrected for their number.
    """
    asked = leads[leads.question.isin(("with minus without", "true minus shuffled"))]
    of = rows_by_reading(asked)
    there = {n: part for n, part in of.items() if on_students(students, n, NESTED[-1:])}
    clear, sure = (
        [n for n, part in there.items() if len(part) == 2 and (part[low] > 0).all()]
        for low in ("low", "all_low")
    )
    below = [n for n, part in of.items() if (part.all_high < 0).any()]
    values = told_of_leads(leads) | {"students": students.to_dict("records")}
    values["some"] = " and ".join(sure) or "no reading"
    return weighed(in_each(clear), in_each(below), bool(sure), values)


@claim("stats-table6-rank-sweep")
def rank_three_best(leads: Table) -> Outcome:
    """In each reading rank 3 leads each other rank from 1 to 5.

    Corrected: in one, which is named. Fails: in each reading another rank leads it. Both by
    intervals corrected for their number.
    """
    of = rows_by_reading(leads[leads.over.isin([str(k) for k in RANKS])])
    clear, sure = (
        [n for n, part in of.items() if (part[low] > 0).all()] for low in ("low", "all_low")
    )
    below = [n for n, part in of.items() if (part.all_high < 0).any()]
    values = told_of_leads(leads) | {"some": " and ".join(sure) or "no reading"}
    return weighed(in_each(clear), in_each(below), bool(sure), values)
