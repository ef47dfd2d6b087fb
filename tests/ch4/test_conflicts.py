"""Pairs and groups compared: losses, what returns them, correlations, intervals."""

import math

import pandas as pd
import pytest

from mergebook.ch4 import compared, conflicts
from mergebook.intervals import of_mean
from mergebook.page import open_suite


def halfway(scores, network="vgg5", seed=0):
    """Rows of `halfway.HALFWAY` from `{model: scores of the pairs}`."""
    rows = [
        {"network": network, "seed": seed, "pair": 2 * i, "model": model, "score": score}
        for model, each in scores.items()
        for i, score in enumerate(each)
    ]
    return pd.DataFrame(rows)


PLAIN = {
    "first": (70.0, 80.0),
    "second": (74.0, 80.0),
    "mean": (68.0, 77.0),
    "elected": (70.0, 79.0),
    "half-way back": (50.0, 50.0),
    "half-way back, ends": (55.0, 53.0),
    "refitted": (71.0, 79.0),
    "refitted ends": (72.0, 82.0),
}
NORMED = PLAIN | {"recalibrated": (70.0, 78.0), "elected, recalibrated": (71.0, 79.5)}


@pytest.fixture(scope="module")
def losses():
    tables = [halfway(NORMED, "resnet10"), halfway(PLAIN, "vgg5"), halfway(NORMED, "vgg5_bn")]
    return conflicts.pair_losses(pd.concat(tables, ignore_index=True), 500)


def value(table, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    (found,) = table.value
    return found


def test_losses_are_below_the_ends_and_some_models_have_ends_of_their_own(losses):
    lost = {what: value(losses, network="vgg5", what=what) for what in ("mean", "elected")}
    assert lost == {"mean": 3.5, "elected": 1.5}
    assert value(losses, network="vgg5", what="half-way back") == 4.0
    assert value(losses, network="vgg5", what="refitted") == 2.0
    assert set(losses.what) == {
        *("mean", "elected", "half-way back", "refitted"),
        *("recalibrated", "elected, recalibrated"),
    }
    assert len(losses) == 4 + 6 + 6 and (losses.images == 500).all()


def test_networks_with_batchnorm_are_compared_with_new_moments(losses):
    soups, mended = conflicts.soups_of_two(losses), conflicts.elected_losses(losses)
    assert soups.network.tolist() == mended.network.tolist() == ["resnet10", "vgg5", "vgg5_bn"]
    assert soups.value.tolist() == [2.0, 3.5, 2.0]
    assert mended.value.tolist() == [0.75, 1.5, 0.75]


def test_what_election_returns_is_set_beside_half_of_the_loss(losses):
    found = conflicts.resolved(losses)
    assert value(found, network="vgg5", what="returned") == 2.0
    assert value(found, network="vgg5", what="beyond half") == 0.25
    assert value(found, network="vgg5_bn", what="returned") == 1.25
    assert value(conflicts.refit_returns(losses), network="vgg5") == 1.5


def test_pairs_get_their_loss_and_the_mean_share_that_cancels():
    apart = pd.DataFrame(
        {"network": "vgg5", "seed": 0, "pair": [0, 2], "cancelled": [[0.1, 0.3], []]}
    )
    rows = conflicts.as_rows(apart, halfway(PLAIN))
    assert rows.loss.tolist() == [4.0, 3.0]
    assert rows.lost[0] == pytest.approx(20) and math.isnan(rows.lost[1])


def test_correlations_are_those_of_each_start_by_itself():
    rows = pd.DataFrame(
        {
            "seed": [0, 0, 0, 1, 1, 1],
            "lost": [1, 2, 3, 1, 2, float("nan")],
            "loss": [9, 10, 11, 5, 4, 0],
        }
    )
    assert conflicts.start_correlations(rows, "lost").value.tolist() == [1.0, pytest.approx(-1)]


def test_sizes_are_means_over_pairs_with_the_variance_that_is_expected():
    pairs = pd.DataFrame({"network": "vgg5", "seed": [0, 0, 1], "rho": [0.2, 0.4, 1.0]})
    found = conflicts.size_ratios(pairs.assign(variance=0.7, peak=0.9, norm=0.8))
    assert found.rho.tolist() == pytest.approx([0.3, 1.0])
    assert found.expected.tolist() == pytest.approx([0.65, 1.0])


# ------------------------------------------------------------------------------------- compared


def test_intervals_over_starts_are_those_of_t_unless_images_are_few():
    wide = [1.0, 5.0, 9.0]
    assert compared.start_interval(wide, 500) == of_mean(wide)
    same = compared.start_interval([2.0, 2.0, 2.0], 100)
    least = 100 * (1 - 0.025**0.01)
    assert (same.low, same.high) == pytest.approx((2 - least, 2 + least))
    three = compared.start_interval([2.0, 2.0, 2.0], 100, among=3)
    assert three.high - 2 == pytest.approx(100 * (1 - (0.025 / 3) ** 0.01))
    assert math.isnan(compared.start_interval([2.0], 100).low)


def test_a_difference_takes_starts_that_have_both():
    table = pd.DataFrame(
        {
            "network": ["vgg5", "vgg5", "vit"],
            "seed": 0,
            "what": ["soup", "logits", "soup"],
            "value": [3.0, 5.0, 1.0],
            "images": 500,
        }
    )
    found = compared.ahead_of(table, "logits", "soup")
    assert found.network.tolist() == ["vgg5"] and found.value.tolist() == [2.0]
    assert compared.score_intervals(found).keys() == {"vgg5"}
    assert len(compared.ahead_of(table, "logits", "features")) == 0


def test_scores_of_methods_have_the_mean_single_model():
    rows = [("single", 1, 60.0), ("single", 1, 70.0), ("uniform", 2, 50.0), ("uniform", 3, 40.0)]
    averages = pd.DataFrame(rows, columns=["method", "members", "score"])
    found = compared.method_scores(averages.assign(network="vgg5", seed=0), 2, 500)
    assert dict(zip(found.what, found.value)) == {"single": 65.0, "uniform": 50.0}


def test_controls_are_groups_of_other_classifiers_or_starts():
    r, usual = open_suite("mini8", "cpu"), {"count": 10, "epochs": 12, "head": "small"}

    def keys(control):
        return compared.beside_keys(r, ["vgg11", "vgg5"], "fashion", (0, 1), control, **usual)

    assert [(k.head, k.start, k.count) for k in keys("one")] == [("one", "shared", 10)] * 4
    assert {k.head for k in keys("own")} == {"own"} and len(keys("own")) == 4
    free = keys("random")
    assert {k.network for k in free} == {"vgg11"}
    assert {(k.start, k.head, k.count, k.epochs) for k in free} == {("random", "own", 5, 30)}
