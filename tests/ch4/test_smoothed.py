"""Soups against members, as differences of logarithms and of scores."""

import numpy as np
import pandas as pd
import pytest

from mergebook.ch4 import smoothed


def rows(decay=0.0, seed=0, **slopes):
    base = {"train": 90.0, "test": 74.0, "noisy": 68.0, "refit": 73.0, "length": 30.0, "apart": 0.0}
    return pd.DataFrame(
        [
            {"network": "vgg5", "seed": seed, "decay": decay, "who": who, "slope": slope} | base
            for who, slope in slopes.items()
        ]
    )


@pytest.fixture
def closely():
    table = rows(**{"members": 1.0, "soup": 0.5, "shrunk members": 0.8})
    table.loc[table.who == "soup", ["train", "apart"]] = 80.0, 0.2
    return table


def test_slopes_are_logarithms_and_scores_are_points(closely):
    seen = smoothed.seen_long(closely, 500)
    (slope,) = smoothed.seen_change(seen, "soup", "slope").value
    assert slope == pytest.approx(100 * np.log(0.5))
    assert smoothed.seen_change(seen, "soup", "train").value.tolist() == [-10.0]
    assert smoothed.seen_change(seen, "soup", "slope", "shrunk members").value[0] > slope
    assert len(smoothed.seen_change(seen, "soup", "apart")) == 0  # members' is 0 here
    assert (seen.images == 500).all()


def test_length_is_weighed_against_half_of_the_soup(closely):
    (value,) = smoothed.beyond_length(smoothed.seen_long(closely, 500)).value
    assert value == pytest.approx(100 * (np.log(0.8) - np.log(0.5) / 2))


def test_members_with_decay_stand_beside_those_without(closely):
    decayed = pd.concat([rows(decay=0.003, members=0.7, soup=9.0), rows(decay=0.0003, members=0.9)])
    seen = smoothed.with_decays(smoothed.seen_long(closely, 500), decayed, 500)
    assert smoothed.decays_of(seen) == ["decay 0.0003", "decay 0.003"]
    (value,) = smoothed.seen_change(seen, "decay 0.003", "slope").value
    assert value == pytest.approx(100 * np.log(0.7))


def test_a_table_of_means_has_slopes_as_they_are(closely):
    more = closely.assign(seed=1, slope=closely.slope * 4)
    seen = smoothed.seen_long(pd.concat([closely, more]), 500)
    found = smoothed.mean_table(seen, ["members", "soup", "nobody"], ["slope", "train"])
    assert found.loc[("vgg5", "soup")].tolist() == pytest.approx([1.0, 80.0])
    assert ("vgg5", "nobody") not in found.index
