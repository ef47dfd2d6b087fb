"""The comparison on images: its methods, tables, what training moves, convexity, the oracle."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from tables import packed

from mergebook.ch3 import pipeline, vision
from mergebook.ch3.comparing import Trials, lead, right_of, scores
from mergebook.ch3.trials import OWN, SHARED, combined, stacked
from mergebook.ch3.vision import CONTROL, EACH, ENTROPY, MAIN, ONE, SIMPLEX, TASKS
from mergebook.experiments import Store
from mergebook.page import OpenSuite
from mergehelpers import merge, suites


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    counts = {"train": 6, "val": 6, "unlabelled": 5, "test": 10}
    tiny.folder_of_tasks(folder, ["a", "b", "c", "d"], ["x", "y", "z"], counts)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


@pytest.fixture(scope="module")
def page():
    store = Store("none")
    return SimpleNamespace(device="cpu", table=store.table, store=store)


@pytest.fixture(scope="module")
def named():
    return vision.compared_methods(4, 4, 10)


@pytest.fixture(scope="module")
def trained(four, page, named):
    few = {n: named[n] for n in named if ENTROPY not in n and TASKS not in n}
    return Trials(page, four, vision.EXPERIMENT).trained(few, 2)


@pytest.fixture(scope="module")
def models(four, page):
    return vision.untaught(page, four, 10, 0)


# --------------------------------------------------------------------------------------- methods


def test_every_comparison_changes_one_thing(named):
    assert len(named) == 2 * len(MAIN) + 5
    change = {"count": 4, "steps": 4, "test_samples": 10}
    assert named[ONE] == replace(SHARED, **change) and named[EACH] == replace(OWN, **change)
    for name in MAIN:
        assert named[name + TASKS] == replace(named[name], level="tasks")
    for name in (ONE, EACH, CONTROL):
        assert named[name + SIMPLEX] == replace(named[name], form="simplex")
    for name in (ONE, EACH):
        assert named[name + ENTROPY] == replace(named[name], loss="entropy")
    assert named["AdaMerging"] == replace(named[CONTROL], loss="entropy")
    assert named["AdaMerging++"] == replace(named["AdaMerging"], vectors="trimmed")
    assert len(set(named.values())) == len(named)


def test_the_oracle_sees_the_test_inputs_and_their_labels():
    free, simplex = vision.oracles(100, 500).values()
    assert (free.source, free.loss, free.count, free.steps, free.batch) == (
        *("test", "labels", 500, 400, 8),
    )
    assert simplex == replace(free, form="simplex") and free.learner == "free"


# ---------------------------------------------------------------------------------------- tables


def made_up(**right):
    """Two repetitions of each method on two tasks of 100 inputs: so many right, and two more."""
    rows = [
        {"what": n, "right": [packed(k + i, 100)] * 2, "rate": 0.01, "suite": "clip-vit-b-32"}
        for n, k in right.items()
        for i in (0, 2)
    ]
    return pd.DataFrame(rows)


def test_printed_averages_are_the_papers():
    b32, l14 = (vision.published(name) for name in vision.NETWORKS.values())
    assert (b32[ONE], b32[EACH], b32["AdaMerging++"], b32["AdaMerging" + TASKS]) == (
        *(84.5, 84.5, 81.1, 71.1),
    )
    assert (l14[ONE], l14["Base"], l14["Individual"]) == (92.1, 64.9, 94.1)
    assert ONE + TASKS in b32 and ONE + TASKS not in l14
    table = vision.printed_averages()
    assert table.loc["clip-vit-b-32"].to_list() == [48.0, 65.8, 90.5]


def test_leads_of_pairs_are_each_its_lead():
    table = made_up(**{n: 60 + 5 * i for i, n in enumerate(MAIN)}, **{n + TASKS: 50 for n in MAIN})
    rows = vision.layers_over_tasks(table)
    assert list(rows.what) == list(MAIN) and list(rows.over) == [n + TASKS for n in MAIN]
    assert rows.value.to_list() == [10, 15, 20, 25, 30]
    row = rows.iloc[2]
    assert (row.value, row.low, row.high) == lead(table, ONE, ONE + TASKS)
    assert (row.value, row.all_low, row.all_high) == lead(table, ONE, ONE + TASKS, 5)
    over = vision.over_rivals(table)
    assert len(over) == 8 and not (over.what == over.over).any()
    assert over.set_index(["what", "over"]).value[EACH, "AdaMerging"] == 15


def test_teachers_and_entropy_are_compared_four_times():
    every = {n: 60 for n in vision.compared_methods(1, 1, 1)} | {
        ONE: 70,
        ONE + ENTROPY: 50,
        CONTROL: 65,
    }
    rows = vision.teachers_over_entropy(made_up(**every)).set_index("what")
    assert rows.value.to_dict() == {CONTROL: 5, CONTROL + TASKS: 0, ONE: 20, EACH: 0}
    cost = vision.free_over_simplex(made_up(**every)).set_index("what")
    assert cost.value.to_dict() == {ONE: 10, EACH: 0, CONTROL: 5}


def test_what_is_reached_is_the_accuracy_beside_what_is_printed():
    table = made_up(**{ONE: 84, EACH: 90})
    rows = vision.reached(table).set_index("what")
    assert rows.value.to_dict() == {ONE: 85, EACH: 91} and set(rows.printed) == {84.5}
    assert (rows.low < rows.value).all() and (rows.value < rows.high).all()
    assert vision.reached(table.assign(suite="mini8")).printed.isna().all()


def test_the_rules_and_models_stand_beside_the_trained(four, models, trained):
    assert list(models.what) == [*vision.UNTRAINED_RULES, "Individual", "EMR"]
    base = four.answers(four.base, limit=10)
    for n, found in zip(four.tasks, right_of(models, "Base")):
        assert np.array_equal(found[0], base[n])
    order = vision.order_of_rows(pd.concat([trained, models], ignore_index=True))
    assert order["ViT-B/32"].Average == 65.8 and np.isnan(order["ViT-B/32"].EMR)
    assert order.accuracy[ONE] == scores(trained).set_index("what").accuracy[ONE]
    assert (vision.around_average(models).over == ["Base", "Average"]).all()


# ------------------------------------------------------------------------------ what training moves


def test_statistics_move_the_learners_alone(four, named):
    table = pipeline.inputs_and_parameters(four, named).set_index("method")
    assert table.moves.to_dict() == {
        "Average": False,
        "Task arithmetic": False,
        "AdaMerging": False,
        ONE: True,
        EACH: True,
    }
    layers = len(stacked(four, four.tasks))
    assert table.numbers["AdaMerging"] == 4 * layers
    assert table.numbers[ONE] == 6 * 64 + 64 + 64 + 1
    assert table.numbers[EACH] == layers * (24 * 64 + 64 + 4 * 64 + 4)


def test_training_moves_the_learner_and_with_trained_heads_the_heads(four, named):
    table = pipeline.moved_by_training(four, named)
    assert table["learner moves"].all() and not table["base moves"].any() and table.network.all()
    assert (table["heads move"] == (table.heads == "too")).all() and len(table) == 4


def test_a_head_that_moved_is_seen(four):
    task = four.suite.task("c")
    head = {key: w.clone() for key, w in task.head.items()}
    head["bias"][1] += 1e-3
    other = replace(four.suite, tasks=four.suite.tasks | {"c": replace(task, head=head)})
    assert pipeline.heads_moved(four, other) and not pipeline.heads_moved(four, four.suite)


def test_models_of_other_shapes_are_not_the_same_network(four):
    name = next(iter(four.base))
    assert pipeline.same_shapes(four.base, four.experts["a"])
    assert not pipeline.same_shapes(four.base, four.base | {"learner": torch.zeros(1)})
    assert not pipeline.same_shapes(four.base, four.base | {name: torch.zeros(1)})


def test_without_a_card_nothing_is_timed(four):
    row = pipeline.time_of_one_image(four).iloc[0]
    assert row.card == "cpu" and np.isnan(row.ms) and row.network
    assert row.millions == sum(w.numel() for w in four.base.values()) / 1e6


def test_coefficients_of_each_trial(four, trained, named):
    table = pipeline.shapes_of_coefficients(four, trained, named)
    layers = len(stacked(four, four.tasks))
    assert (table[["experts", "down"]] == 4).all(axis=None)
    assert (table[["layers", "across"]] == layers).all(axis=None)
    assert list(table.reading) == [ONE, ONE, EACH, EACH] and (table.spread > 0).all()
    flat = trained.assign(coefficients=[[[0.3] * layers] * 4] * len(trained))
    assert (pipeline.shapes_of_coefficients(four, flat, named).spread == 0).all()


# ------------------------------------------------------------------------------ simplex and oracle


def test_weights_outside_the_experts(four):
    weights = {n: torch.stack([e[n] for e in four.experts.values()]) for n in four.base}
    average = {n: w.mean(0) for n, w in weights.items()}
    assert pipeline.outside_experts(four, average) == 0
    assert pipeline.outside_experts(four, {n: w.amax(0) for n, w in weights.items()}) == 0
    name = next(iter(average))
    above = {n: w.amax(0) for n, w in weights.items()}
    above[name] = above[name] + 1
    every = sum(w.numel() for w in average.values())
    share = 100 * average[name].numel() / every
    assert pipeline.outside_experts(four, above) == pytest.approx(share)


def test_a_softmax_is_convex_and_free_coefficients_are_not(four, trained, named):
    table = pipeline.convexity(four, trained, named).set_index(["softmax", "reading"])
    assert (table.off[True] < 1e-3).all() and (table.least[True] >= 0).all()
    assert (table.outside[True] == 0).all()
    assert (table.off[False] > 0.01).all() and (table.outside[False] > 0).all()
    c = torch.tensor(trained[trained.what == ONE].coefficients.iloc[0])
    state = combined(four, named[ONE], c)
    brute = {
        n: four.base[n]
        + sum(c[k, j] * (e[n] - four.base[n]) for k, e in enumerate(four.experts.values()))
        for j, n in enumerate(merge.vectors_stacked(four.base, list(four.experts.values())))
    }
    tiny.same(state, brute)
    assert table.outside[False, ONE] == pipeline.outside_experts(four, brute)


class MadeUp(vision.Oracles):
    """Oracles of a test accuracy by step size; their agreement is its opposite."""

    def __init__(self, right):
        super().__init__(SimpleNamespace(device="cpu"), None, None, searches=1)
        self.r, self.right = SimpleNamespace(name="x", mark="x", source="", device="cpu"), right
        self.page.table = self.made

    def made(self, experiment, keys, **context):
        return pd.DataFrame(
            [
                {
                    "rate": t.rate,
                    "right": [packed(self.right[t.rate])],
                    "agree": -self.right[t.rate],
                }
                for t in keys
            ]
        )


def test_an_oracle_takes_the_step_size_that_is_best_on_test_inputs_and_searches_outward():
    found = MadeUp({0.003: 50, 0.01: 60, 0.03: 70, 0.1: 65})
    table = found.repeated({"oracle, free": SHARED}, 1, by="test")
    assert list(table.rate) == [0.03] and list(table.test) == [70]
    found = MadeUp({0.003: 50, 0.01: 60, 0.03: 70, 0.1: 75, 0.3: 80})
    assert list(found.repeated({"a": SHARED}, 1, by="test").rate) == [0.3]


def test_oracles_against_the_experts(four, page, models):
    bench = vision.Oracles(page, four, vision.EXPERIMENT, (0.03,), searches=1)
    found = bench.trained(vision.oracles(2, 10), 1)
    rows = vision.below_experts(found, models).set_index("what")
    assert rows.index.to_list() == ["oracle, free", "oracle, simplex"]
    own = lead(found, "oracle, free", "Individual", other=models)
    assert (rows.value["oracle, free"], rows.low["oracle, free"]) == own[:2]
    # It is fitted to these inputs, so it answers more of them than the average does.
    longer = bench.trained({"oracle, free": vision.oracles(20, 10)["oracle, free"]}, 1)
    assert longer.test[0] > scores(models).set_index("what").accuracy["Average"]
