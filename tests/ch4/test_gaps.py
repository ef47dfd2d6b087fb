"""Scores by number of models, against rows written by hand."""

import numpy as np
import pandas as pd
import pytest

from mergebook.ch4 import depths, gaps, guarantees, soups
from mergebook.intervals import Interval

KEY = {"network": "vgg5", "task": "a", "start": "shared", "head": "small", "rate": 0.05, "seed": 0}
ENDS = {
    "uniform": 50.0,
    "best first": 62.0,
    "halving": 61.0,
    "counted": 40.0,
    "logits": 70.0,
    "features": 66.0,
    "best first logits": 64.0,
    "best first features": 63.0,
    "first head": 55.0,
}


def rows(count=10, members=(2, 5), single=None, seed=0, network="vgg5", **ends):
    """Rows of `AVERAGES` of one group: single models score 60, 61, …, on validation in reverse."""
    group = KEY | {"count": count, "seed": seed, "network": network}
    out = []
    for i in range(count):
        score = 60.0 + i if single is None else single
        row = {"method": "single", "members": 1, "which": i, "score": score, "val": 80.0 - i}
        out.append(group | row | {"kept": 1})
    for n in members:
        for method, score in (ENDS | ends).items():
            kept = 1.5 if method.startswith("best") else n
            row = {"method": method, "members": n, "which": 0, "score": score + n, "val": 75.0}
            out.append(group | row | {"kept": kept})
    return pd.DataFrame(out)


@pytest.mark.parametrize(
    ("count", "members", "used"),
    [(10, 2, 6), (10, 3, 9), (10, 5, 10), (10, 7, 7), (10, 10, 10), (5, 2, 4), (5, 5, 5)],
)
def test_models_used_are_those_that_averages_are_made_of(count, members, used):
    firsts = range(0, count - members + 1, members)[: soups.RUNS]
    assert gaps.models_used(count, members) == len(firsts) * members == used


def test_a_row_has_the_scores_of_all_methods_by_the_papers_names():
    found = gaps.scores_of_methods(rows(), 500, 4).set_index("members")
    assert (
        list(found.index) == [2, 5] and (found.images == 500).all() and (found.chance == 25).all()
    )
    two = found.loc[2]
    assert two.single == np.mean([60, 61, 62, 63, 64, 65]) and found.single[5] == 64.5
    # On validation images the first of each set is the best.
    assert two.best == np.mean([60, 62, 64]) and found.best[5] == np.mean([60, 65])
    assert two.greedy == 64 and two["greedy logits"] == 66 and two.kept == 1.5
    assert two.uniform == 52 and two.halving == 63 and "recalibrated" not in found


def test_groups_and_orders_of_rows_do_not_mix():
    both = pd.concat([rows(), rows(seed=1, uniform=40.0)])
    found = gaps.scores_of_methods(both.sample(frac=1, random_state=0), 500, 4)
    by = found.set_index(["seed", "members"]).uniform
    assert (by[0, 2], by[1, 2], by[1, 5]) == (52, 42, 45)


def test_margins_are_differences_of_scores():
    found = gaps.with_margins(gaps.scores_of_methods(rows(), 500, 4))
    two = found[found.members == 2].iloc[0]
    assert two.lead == 72 - 68 and two.trail == 62.5 - 52
    assert two.gap == 20 and two["greedy gap"] == 8 and two["better gap"] == 8
    assert two.gain == 52 - 62.5 and two["greedy gain"] == 64 - 62.5
    assert two.neutral == -4 and two.lent == 68 - 57


def starts(*values, images=10_000, network="vgg5"):
    return pd.DataFrame(
        {"network": network, "seed": range(len(values)), "x": values, "images": images}
    )


def test_an_interval_is_that_of_the_mean_over_starts():
    found = gaps.over_starts(pd.concat([starts(1.0, 2.0, 3.0), starts(5.0, network="vit")]), "x")
    assert found["vgg5"].value == 2
    assert found["vgg5"].high == pytest.approx(2 + 4.3027 / np.sqrt(3), abs=1e-3)
    assert found["vit"].value == 5 and np.isnan(found["vit"].low)


def test_an_interval_is_never_narrower_than_the_images_allow():
    few = gaps.over_starts(starts(2.0, 2.0, 2.0, images=100), "x")["vgg5"]
    least = 100 * (1 - 0.025 ** (1 / 100))
    assert few == pytest.approx(Interval(2.0, 2 - least, 2 + least))
    assert gaps.over_starts(starts(2.0, 2.0, 2.0, images=100), "x", 4)["vgg5"].low < few.low
    many = gaps.over_starts(starts(1.0, 2.0, 3.0, images=1000), "x")["vgg5"]
    assert many.high == gaps.over_starts(starts(1.0, 2.0, 3.0), "x")["vgg5"].high


def test_changes_are_taken_within_a_group():
    table = pd.concat([rows(), rows(seed=1, network="vit", uniform=45.0)])
    table = gaps.scores_of_methods(table, 500, 4)
    found = gaps.change(table, "uniform", 2, 5).set_index("network")
    assert found.uniform.to_dict() == {"vgg5": 3, "vit": 3} and found.seed["vit"] == 1
    beside = gaps.beside_each(table, "uniform", 2, 5).set_index("network")
    assert beside.few.to_dict() == {"vgg5": 52, "vit": 47} and beside.many["vit"] == 50


def test_a_table_shows_means_with_their_intervals():
    shown = gaps.as_shown(starts(1.0, 2.0, 3.0), ["x"])
    assert shown.x["vgg5"].startswith("+2.0 [-0.5, +4.5]")


def test_models_change_places_under_the_mean_classifier_alone():
    found = gaps.order_table(0)
    assert len(found) == gaps.MODELS - 1
    assert (found["mean"] < 1e-12).all() and (found["first"] > 0.1).all()
    assert (found.covariance < 1e-12).all()


def test_random_starts_are_trained_as_starts_are():
    first, second = gaps.random_keys("m", ["vgg5"], "a", (0, 1), epochs=3)
    assert (first.start, first.count, first.epochs, first.seed) == ("random", 5, 3, 0)
    assert (first.rate, first.decay, second.seed) == (0.002, 0.05, 1)


# ------------------------------------------------------------------------------------------ depth


@pytest.mark.parametrize(
    ("network", "family"),
    [("vgg11", ("vgg", 11)), ("vgg8_bn", ("vgg, BatchNorm", 8)), ("densenet21", ("densenet", 21))],
)
def test_a_network_tells_its_family_and_its_layers(network, family):
    assert depths.family_and_depth(network) == family


def test_a_network_without_a_number_of_layers_is_named():
    with pytest.raises(ValueError, match="network is 'vit'; give one with its number"):
        depths.family_and_depth("vit")


def norms(network, gap, recalibrated=None, seed=0):
    row = KEY | {"network": network, "seed": seed, "members": 5, "images": 500, "single": 60.0}
    row |= {"logits": 70.0, "uniform": 70.0 - gap}
    row |= {"recalibrated": recalibrated, "train mode": recalibrated} if recalibrated else {}
    return row


def test_changes_go_from_the_shallowest_to_the_deepest_in_each_reading():
    nets = [("vgg11", 4.0), ("vgg5", 10.0), ("vgg8", 20.0), ("vgg5_bn", 9.0, 68.0)]
    nets += [("vgg11_bn", 12.0, 69.0), ("resnet18", 5.0)]
    table = pd.DataFrame([norms(*net) for net in nets])
    found = depths.from_shallow_to_deep(depths.by_depth(table))
    by = found.set_index(["family", "reading"])
    assert set(found.family) == {"vgg", depths.NORMED}
    assert [by.gap["vgg", r] for r in depths.READINGS] == [-6, -6, -6]
    assert [by.gap[depths.NORMED, r] for r in depths.READINGS] == [3, -1, -1]
    assert (by.shallow == 5).all() and (by.deep == 11).all() and (by.single == 0).all()


def test_other_numbers_of_models_are_left_out():
    table = pd.DataFrame([norms("vgg5", 1.0), norms("vgg5", 2.0) | {"members": 2}])
    assert depths.by_depth(table).gap.tolist() == [1.0] * 3


# -------------------------------------------------------------------------------------- selection


def test_greedy_soups_are_compared_with_the_model_that_is_best_on_validation_images():
    found = guarantees.on_selection(rows(members=(2, 10))).set_index("rule")
    assert set(found.index) == {"best first", "halving", "counted"}
    assert (found.validation == -5.0).all()  # 75 against the first model's 80
    assert found.test.to_dict() == {"best first": 12.0, "halving": 11.0, "counted": -10.0}
    assert found.kept["best first"] == 1.5
