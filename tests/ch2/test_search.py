"""The search of settings, the ensembles and the unseen tasks, by hand and by a second way."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from tables import packed

from mergebook import studies
from mergebook.ch2 import models, search, unseen
from mergebook.ch2.models import Merge
from mergebook.experiments import Store
from mergebook.page import OpenSuite
from mergehelpers import merge, states, suites

POINTS = [(0.5, 0.2, 1.5, 2.0), (0.3, 0.1, 1.0, 2.0)]


def opened(folder):
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    tiny.vit_suite(folder)
    return opened(folder)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    counts = {"train": 4, "val": 6, "unlabelled": 4, "test": 10}
    tiny.folder_of_tasks(folder, ["a", "b", "c", "d"], ["x", "y", "z"], counts)
    return opened(folder)


def table(experiment, r, keys):
    """Rows of a suite, computed, as a page's `by_suite` gives them."""
    found = Store("none").table(experiment, keys, sources={r.mark: r.source}, device="cpu")
    return found.assign(suite=r.name)


@pytest.fixture(scope="module")
def searched(two):
    keys = search.tries(two, POINTS, samples=3)
    return search.validated(table(search.SEARCH, two, keys), [two])


# --------------------------------------------------------------------------------- the search


def test_points_lie_in_their_box_and_a_larger_budget_begins_alike():
    few, many = (np.array(search.search_points(n, 3)) for n in (8, 64))
    assert np.array_equal(few[:-2], many[:8]) and np.array_equal(few[-2:], many[-2:])
    assert len(many) == 66 and not np.array_equal(few, np.array(search.search_points(8, 4)))
    keep, spread, scale, of_mean = many[:-2].T
    for values, low, high in ((keep, 0.05, 1), (scale, 0.5, 3), (of_mean, 0.5, 5)):
        assert low <= values.min() < 1.2 * low and 0.9 * high < values.max() <= high
    assert (spread < keep).all() and 0 < (spread / keep).min() < 0.1
    # Half of the keep rates lie below the geometric mean of 0.05 and 1.
    assert (keep < 0.05**0.5).mean() == pytest.approx(0.5, abs=0.02)


def test_a_method_has_its_own_coordinates():
    point = (0.5, 0.2, 1.5, 2.0)
    own = {name: tuple(search.at(*of, point).values()) for name, of in search.SEARCHED.items()}
    assert own["task arithmetic"] == (1.0, 0.0, 2.0)
    assert own["DARE, summed"] == (0.5, 0.0, 2.0)
    assert own["TIES"] == own["DARE"] == own["line 22, all keep k"] == (0.5, 0.0, 1.5)
    for name in (*search.READINGS, "rows, random order", "M-DARE"):
        assert own[name] == (0.5, 0.2, 1.5)


def test_every_method_tries_every_point(two):
    keys = search.tries(two, POINTS, samples=3)
    assert len(keys) == 2 * len(search.SEARCHED)
    assert {(k.split, k.samples, k.inputs) for k in keys} == {("val", 3, 0)}
    assert len(set(keys)) == len(keys) - 1  # both points have one λ
    controls = [c for own in search.READINGS.values() for c in own]
    assert {*search.READINGS, *controls, *search.BASELINES} - {"average"} <= set(search.SEARCHED)


def test_the_share_of_entries_with_a_rate_of_their_own(two):
    names = [n for n in two.base if "c_fc.weight" in n]
    counted = sum(two.base[n].nelement() for n in names) / sum(
        v.nelement() for v in two.base.values()
    )
    assert search.scored_share(two) == pytest.approx(counted) and 0.05 < counted < 0.5


def test_the_table_of_the_search(two, searched):
    rows = searched.set_index(["name", "keep"])
    assert set(rows.labels) == {10}
    share = search.scored_share(two)
    assert rows.kept["TIES", 0.3] == 0.3
    assert rows.kept["M-TIES, paper", 0.5] == pytest.approx(0.5 - 0.1 * share)
    state = merge.ties(two.base, list(two.experts.values()), 0.3, 1.0)
    mean = 100 * np.mean([a.double().mean() for a in two.answers(state, "val").values()])
    assert rows.validation["TIES", 0.3] == pytest.approx(mean)


def test_the_first_of_the_best_is_chosen():
    rows = [
        ("s", "TIES", 0.1, 70.0),
        ("s", "TIES", 0.2, 71.0),
        ("s", "DARE", 0.3, 69.0),
        ("s", "TIES", 0.4, 71.0),
        ("t", "TIES", 0.5, 60.0),
    ]
    tried = pd.DataFrame(rows, columns=["suite", "name", "keep", "validation"])
    assert search.chosen_tries(tried).keep.tolist() == [0.2, 0.3, 0.5]


def test_choices_answer_test_inputs(two, searched):
    best = search.chosen_tries(searched)
    keys = search.tests(two, best, 5)
    assert [k.method for k in keys[:2]] == ["base", "average"]
    assert len(keys) == 2 + len(search.SEARCHED)
    chosen = {(k.method, k.order): k for k in keys[2:]}
    for row, key in zip(best.itertuples(), search.keys_of(best)):
        mine = chosen[row.method, row.order]
        assert replace(mine, split="val", inputs=0) == key and mine.split == "test"
    rows = table(search.CHOSEN, two, keys)
    ensembles = table(
        search.ENSEMBLES, two, [search.Ensemble(two.mark, task, 5) for task in two.tasks]
    )
    answers = search.side_by_side(rows, best, ensembles).set_index("name")
    assert list(answers.index[:2]) == ["base", "average"] and len(answers) == 6 + len(keys) - 2
    assert answers.validation.notna().sum() == len(search.SEARCHED)
    assert answers.kept["average"] == 1
    assert answers.kept["TIES"] == best.set_index("name").kept["TIES"]
    shown = search.search_table(answers.reset_index())
    gaps = shown[two.name, "minus TIES"]
    assert gaps["TIES"] == "" and "[" in gaps["DARE"]
    assert shown["paper", "ViT-B/32"]["M-TIES, released"] == "73.2"
    assert shown["paper", "ViT-B/32"]["DARE, summed"] == ""
    shown = search.settings_table(answers.reset_index())
    assert "base" not in shown.index
    assert shown[two.name, "k"]["task arithmetic"] == shown[two.name, "e"]["TIES"] == ""


def test_fixed_settings(two):
    keys = {(k.method, k.order): k for k in search.untuned(two, samples=3, draw=1, inputs=5)}
    assert keys["TIES", ""].keep == 0.2 and keys["TIES", ""].scale == 1
    for reading in search.READINGS:
        key = keys[search.SEARCHED[reading]]
        assert (key.keep, key.spread, key.scale, key.draw) == (0.8, 0.1, 1.0, 1)


def test_differences_by_hand():
    rows = [("s", name, [packed(n)] * 2) for name, n in {"TIES": 50, "DARE": 40}.items()]
    gaps = search.gaps_to(pd.DataFrame(rows, columns=["suite", "name", "right"]), "TIES")
    assert gaps.set_index("name").value.to_dict() == pytest.approx({"TIES": 0, "DARE": -10})
    assert (gaps.low <= gaps.value).all() and (gaps.value <= gaps.high).all()


# ----------------------------------------------------------------- the ensembles, the experts


def test_ensembles_by_a_second_way(two):
    sources = {two.mark: two.source}
    for task in two.tasks:
        data, each = two.suite.task(task), list(two.experts.values())
        features = [two.backbone.embed(e, data.inputs["test"]).double().numpy() for e in each]
        weight, bias = (data.head[n].double().numpy() for n in ("weight", "bias"))
        unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in features]
        inside = unit if two.backbone.normalised else features
        logits = np.stack([f @ weight.T + bias for f in inside])
        law = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        mean = np.mean(features, axis=0)
        mean = mean / np.linalg.norm(mean, axis=1, keepdims=True) if unit is inside else mean
        sure = law.max(-1, keepdims=True) ** 4
        scores = {
            "features": mean @ weight.T + bias,
            "logits": logits.mean(0),
            "probabilities": law.mean(0),
            "confident": (law * sure).sum(0) / sure.sum(0),
        }
        row = search.ensembled(search.Ensemble(two.mark, task), sources, "cpu")
        for kind, score in scores.items():
            right = score.argmax(1) == data.labels["test"].numpy()
            assert np.array_equal(studies.unpack_answers({"": row[kind]})[""], right), kind


def test_votes_by_hand():
    """Voters of which one is surer: its probability enters with the fourth power of its largest."""
    law = torch.tensor([[[0.8, 0.2]], [[0.4, 0.6]]], dtype=torch.float64)
    found = search.voted(law.log() + 3)
    assert found["confident"].tolist()[0] == pytest.approx([0.37952, 0.15968])
    assert found["probabilities"].tolist()[0] == pytest.approx([0.6, 0.4])
    mean = law.log().mean(0) + 3
    assert torch.allclose(found["logits"], mean)


def test_ensembles_become_rows_of_models():
    rows = pd.DataFrame(
        [("s", task, *(f"{kind} {task}" for kind in search.KINDS)) for task in "xy"],
        columns=["suite", "task", *search.KINDS],
    )
    found = search.as_models(rows).set_index("name").right
    assert found["ensemble of logits"] == ["logits x", "logits y"] and len(found) == 4


def test_an_expert_knows_its_own_task(two):
    rows = search.with_own(table(search.CHOSEN, two, search.alone(two, 6)), [two])
    assert dict(zip(rows.experts, rows.own)) == {"pets": 0, "birds": 1}
    right = two.answers(two.experts["birds"], limit=6)
    found = models.unpacked(rows.set_index("experts").right["birds"])
    assert [a.tolist() for a in found.values()] == [a.tolist() for a in right.values()]


# ------------------------------------------------------------------------------- unseen tasks


def test_each_task_is_left_out_once():
    for count in range(3, 10):
        names = [f"t{i}" for i in range(count)]
        parts = unseen.left_out(names, 0)
        assert sorted(t for part in parts for t in part) == sorted(names)
        assert all(count - len(part) >= 2 for part in parts) and len(parts) == 3
    assert unseen.left_out("abcdef", 0) != unseen.left_out("abcdef", 1)
    assert unseen.left_out("ab", 0) == []


@pytest.fixture(scope="module")
def planned(four):
    keys = search.tries(four, POINTS[:1], samples=3)
    best = search.chosen_tries(search.validated(table(search.SEARCH, four, keys), [four]))
    made = unseen.plan(four, best, 0, samples=3, draw=0, inputs=6)
    lengths = table(unseen.LENGTHS, four, unseen.to_measure(made))
    return unseen.with_equal_lengths(made, lengths)


def test_held_out_tasks_are_answered_by_merges_of_the_others(four, planned):
    assert {kind for kind, _ in planned} == {unseen.HELD_OUT}
    for keys in planned.values():
        assert len(keys) == 3
        for key in keys:
            inside, tested = models.names(key.experts), models.names(key.tasks)
            assert sorted(inside + tested) == list(four.tasks)
            assert (key.split, key.inputs) == ("test", 6)
    assert planned[unseen.HELD_OUT, "DARE"][0].keep == 0.7
    found = table(search.CHOSEN, four, sum(planned.values(), []))
    answers = unseen.unseen_answers({four.name: planned}, found).set_index("name")
    mine = answers.right["average"]
    assert len(mine) == 4
    key = planned[unseen.HELD_OUT, "average"][0]
    state = merge.average([four.experts[t] for t in models.names(key.experts)])
    right = four.answers(state, "test", models.names(key.tasks), 6)
    assert mine[: len(right)] == list(studies.pack_answers(right).values())
    shown = unseen.percentages(answers.reset_index())
    assert shown.shape == (len(planned), 1)


def test_ties_gets_the_length_of_each_reading(four, planned):
    for reading in search.READINGS:
        pairs = zip(
            planned[unseen.HELD_OUT, f"TIES, as long as {reading}"],
            planned[unseen.HELD_OUT, reading],
        )
        for one, other in pairs:
            part = models.only_experts(four, one.experts)
            lengths = [
                states.norm(states.task_vector(four.base, models.model_of(part, key)))
                for key in (one, other)
            ]
            assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)
            assert one.keep == 0.2 and one.scale != 1


def test_out_of_domain_tasks_have_the_searched_settings(four):
    outside = replace(four.suite, out_of_domain={"e": four.suite.tasks["d"]})
    r = OpenSuite(outside, "cpu", four.source)
    rows = [
        {"suite": r.name, "name": n, **vars(Merge(r.mark, *of, keep=0.4, split="val"))}
        for n, of in search.SEARCHED.items()
    ]
    plan = unseen.plan(r, pd.DataFrame(rows), 0, samples=3, draw=0, inputs=6)
    (key,) = plan[unseen.OUTSIDE, "TIES"]
    assert (key.keep, key.tasks, key.split, key.experts) == (0.4, "e", "test", "")
    assert plan[unseen.OUTSIDE, "average"][0] == Merge(r.mark, "average", inputs=6, tasks="e")


def test_a_suite_without_unseen_tasks(two, searched):
    plan = unseen.plan(two, search.chosen_tries(searched), 0, samples=3, draw=0, inputs=6)
    assert plan == {} and unseen.to_measure(plan) == []
    empty = unseen.unseen_answers({two.name: plan}, table(search.CHOSEN, two, []))
    assert unseen.percentages(empty).empty


def test_the_books_rows_alone_give_the_gaps_of_the_page():
    """No suite is opened: each method's choice, its answers, and TIES against itself."""
    all_gaps, others = (search.stored_gaps(rival) for rival in ("TIES", "DARE"))
    assert list(all_gaps.suite.unique()) == ["mini8", "text5"]
    for suite in ("mini8", "text5"):
        gaps = all_gaps[all_gaps.suite == suite].set_index("name")
        assert list(gaps.index) == list(search.SEARCHED)
        assert gaps.loc["TIES", ["value", "low", "high"]].tolist() == [0, 0, 0]
        other = others[others.suite == suite].set_index("name")
        assert other.loc["TIES", "value"] == pytest.approx(-gaps.loc["DARE", "value"])
