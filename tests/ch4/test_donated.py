"""Donors' soups by kind, and against their ensembles."""

import pandas as pd
import pytest

from mergebook.ch4 import donated

ROWS = [
    ("street", "same start", 20.0, 40.0, 60.0, 35.0),
    ("vehicles", "same start", 30.0, 60.0, 50.0, 55.0),
    ("photos", "another start", 10.0, 10.0, 50.0, 45.0),
    ("itself", "control", 70.0, 70.0, 70.0, 70.0),
    ("itself at 0.9", "control", 69.0, 71.0, 70.0, 70.0),
    ("same task", "control", 60.0, 69.0, 71.0, 71.0),
    ("start", "control", 20.0, 62.0, 45.0, 55.0),
    ("start moved at random", "control", 18.0, 64.0, 40.0, 53.0),
]


@pytest.fixture
def table():
    columns = ["donor", "kind", "alone", "soup", "ensemble", "even"]
    one = pd.DataFrame(ROWS, columns=columns).assign(network="vgg11")
    more = one.assign(seed=1, soup=one.soup + 2)
    return pd.concat([one.assign(seed=0), more], ignore_index=True)


def test_scores_are_means_over_donors_of_the_same_start_beside_controls(table):
    found = donated.donated_scores(table, 500)
    first = found[found.seed == 0].set_index("what").value
    assert first.to_dict() == {
        "soups": 50.0,
        "alone": 25.0,
        "random": 64.0,
        "start": 62.0,
        "sister": 69.0,
        "itself": 70.0,
    }
    assert found[found.seed == 1].set_index("what").value["soups"] == 52.0
    assert (found.images == 500).all()


def test_soups_are_set_against_both_ensembles_of_each_donor(table):
    found = donated.over_ensembles(table, 500).set_index("donor")
    assert list(found.index) == ["street", "vehicles", "photos"]
    assert found.plain.tolist() == [-19, 11, -39] and found.even.tolist() == [6, 6, -34]
    assert (found.plain_low < found.plain).all() and (found.even_high > found.even).all()
    strict = donated.over_ensembles(table, 500, among=3).set_index("donor")
    assert (strict.plain_low < found.plain_low).all()
