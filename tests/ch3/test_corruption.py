"""Spoilt inputs and LiNeS: by hand, and on a tiny suite of four tasks."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
from PIL import Image
from tables import packed

from mergebook import ledger
from mergebook.ch3 import corruption, scaling
from mergebook.ch3.baselines import baseline_of
from mergebook.ch3.claims.corruption import LEAST_GAIN
from mergebook.ch3.corruption import ARITHMETIC, CORRUPTIONS, GAUSSIAN, LINES
from mergebook.ch3.examined import trial_of
from mergebook.ch3.trials import combined, graded, learn
from mergebook.page import OpenSuite, opened
from mergehelpers import suites

FREE = {"learner": "free", "reads": "nothing", "rate": 0.1}
QUICK = {"steps": 3, "count": 4, "batch": 2, "test_samples": 10}


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    counts = {"train": 6, "val": 5, "unlabelled": 4, "test": 10}
    tiny.folder_of_tasks(folder, ["a", "b", "c", "d"], ["x", "y"], counts)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


def test_four_tasks_and_two(four, pictures, text5, mini8):
    assert corruption.some_tasks(four) == ("a b c d", "a b")
    named = corruption.some_tasks(OpenSuite(mini8))
    assert named == ("fashion street signs textures", "signs textures")
    with pytest.raises(ValueError, match="has 2 tasks; this page needs four"):
        corruption.some_tasks(pictures)
    with pytest.raises(ValueError, match="holds no images"):
        corruption.some_tasks(OpenSuite(text5))


def test_blur_is_a_mean_along_rows():
    image = np.zeros((1, 3, 7), np.uint8)
    image[0, 1, 3] = 90
    found = corruption.spoil(image, "motion blur", 3, 0)
    assert found[0, 1].tolist() == [0, 0, 30, 30, 30, 0, 0] and found[0, [0, 2]].sum() == 0


def test_impulse_noise_blackens_and_whitens_a_share_of_the_pixels():
    image = np.full((4, 100, 100, 3), 120, np.uint8)
    found = corruption.spoil(image, "impulse noise", 0.1, 0)
    hit = (found != 120).all(-1)
    assert hit.mean() == pytest.approx(0.1, abs=0.01)
    assert set(np.unique(found)) == {0, 120, 255} and (found[hit] == 0).mean() > 0.4
    assert (hit == (found != 120).any(-1)).all()  # all channels of a pixel alike


def test_gaussian_noise_has_its_level_and_its_draw():
    image = np.full((2, 80, 80), 120, np.uint8)
    found = corruption.spoil(image, GAUSSIAN, 15, 0)
    assert found.astype(float).std() == pytest.approx(15, rel=0.03)
    assert (found == corruption.spoil(image, GAUSSIAN, 15, 0)).all()
    assert (found != corruption.spoil(image, GAUSSIAN, 15, 1)).any()
    with pytest.raises(ValueError, match="allowed: motion blur"):
        corruption.spoil(image, "fog", 1, 0)


def test_pictures_of_any_size_are_spoilt_as_well():
    given = [Image.new("L", (5, 4), 120), Image.new("RGB", (6, 3))]
    found = corruption.spoilt_inputs(given, "impulse noise", 0.5, 0)
    assert [(i.size, i.mode) for i in found] == [((5, 4), "RGB"), ((6, 3), "RGB")]


def test_a_spoilt_row_holds_answers_to_spoilt_inputs(four):
    r = four
    key = corruption.Spoilt(r.mark, corruption="impulse noise", tasks="a b", **FREE, **QUICK)
    row = corruption.spoilt_row(key, {r.mark: r.source}, "cpu")
    found = learn(r, trial_of(key))
    state = combined(r, key, found.coefficients)
    expected = []
    for level in CORRUPTIONS["impulse noise"]:
        tasks = {
            n: replace(
                r.suite.task(n),
                inputs={
                    "test": corruption.spoil(
                        r.suite.task(n).inputs["test"], "impulse noise", level, 0
                    )
                },
            )
            for n in ("a", "b")
        }
        suite = replace(r.suite, tasks=tasks)
        expected += graded(r, state, ["a", "b"], 10, suite)
    assert row["spoilt"] == expected and len(expected) == 6


def test_a_rule_is_chosen_on_clean_inputs(four):
    r = four
    key = corruption.SpoiltRule(r.mark, ARITHMETIC, "a b", test_samples=10)
    row = corruption.spoilt_rule_row(key, {r.mark: r.source}, "cpu")
    assert row["setting"] == list(baseline_of(r, key)[0]) and len(row["spoilt"]) == 8


def test_without_a_corruption_inputs_are_clean(four):
    r = four
    key = corruption.SpoiltRule(r.mark, ARITHMETIC, test_samples=10, corruption="")
    row = corruption.spoilt_rule_row(key, {r.mark: r.source}, "cpu")
    assert row["spoilt"] == graded(r, baseline_of(r, key)[1], r.tasks, 10)


def spoilt_rows(what, right, n=50):
    """Two repetitions; of each level of each corruption `right` answers to two tasks."""
    rows = []
    for kind, levels in CORRUPTIONS.items():
        texts = [packed(right - 5 * i, n) for i, _ in enumerate(levels) for _ in range(2)]
        rows += [{"what": what, "corruption": kind, "spoilt": texts}] * 2
    return rows


def test_levels_are_averaged_within_an_input():
    table = pd.DataFrame(spoilt_rows("m", 40))
    found = corruption.answers_under(table, "m", "motion blur")
    assert [x.shape for x in found] == [(2, 50)] * 2
    share = found[0][0]
    assert share[:30].tolist() == [1] * 30 and share[30] == pytest.approx(2 / 3)
    assert corruption.answers_under(table, "m", GAUSSIAN, 20)[1].sum() == 2 * 30
    with pytest.raises(ValueError, match="no rows of 'x'"):
        corruption.answers_under(table, "x", GAUSSIAN)


def test_leads_and_shares_lost_by_hand():
    names = [*corruption.READINGS, "AdaMerging"]
    spoilt = pd.DataFrame([row for i, n in enumerate(names) for row in spoilt_rows(n, 40 - i)])
    conditions = [(GAUSSIAN, None), (GAUSSIAN, 10)]
    leads = corruption.spoilt_leads(spoilt, ["AdaMerging"], conditions)
    assert leads.value.round(6).tolist() == [4, 4, 2, 2]
    assert leads.under.tolist() == [GAUSSIAN, f"{GAUSSIAN} 10"] * 2
    assert (leads.all_low < leads.low).all()
    clean = pd.DataFrame([{"what": n, "right": [packed(40, 50)] * 2} for n in names] * 2)
    lost = corruption.share_lost(clean, spoilt).set_index("what")
    assert lost["motion blur"]["one network"] == pytest.approx(12.5)
    levels = corruption.spoilt_accuracies(clean, spoilt)
    assert levels["one network"].loc[["clean", "motion blur 5"]].tolist() == [80, 70]


def test_scaling_by_depth_takes_the_slope_that_agrees_most(four):
    r = four
    key = scaling.ScaledByDepth(r.mark, **FREE, **QUICK)
    row = scaling.scaled_by_depth_row(key, {r.mark: r.source}, "cpu")
    assert row["slope"] in scaling.SLOPES and len(row["right"]) == 4
    if row["slope"] == 0:
        state = combined(r, key, learn(r, trial_of(key)).coefficients)
        assert row["right"] == graded(r, state, r.tasks, 10)


def test_slope_zero_leaves_the_merge_as_it_is(four, monkeypatch):
    r = opened(SimpleNamespace(models=four.mark), {four.mark: four.source}, "cpu")
    key = scaling.ScaledByDepth(r.mark, **FREE, **QUICK)
    monkeypatch.setattr(scaling, "SLOPES", (0.0,))
    row = scaling.scaled_by_depth_row(key, {r.mark: r.source}, "cpu")
    state = combined(r, key, learn(r, trial_of(key)).coefficients)
    assert row["right"] == graded(r, state, r.tasks, 10)


def test_what_lines_adds_by_hand():
    def rows(names, right):
        return pd.DataFrame([{"what": n, "right": [packed(right, 50)] * 2} for n in names] * 2)

    names = list(corruption.READINGS)
    scaled = [n + LINES for n in names]
    rules = pd.concat([rows([ARITHMETIC], 30), rows([ARITHMETIC + LINES], 40)])
    gains = scaling.line_gains(rows(names, 40), rows(scaled, 41), rows(scaled, 39), rules)
    assert gains.value.round(6).tolist() == [2, -2, 2, -2, 20]
    assert gains.when.tolist()[-2:] == ["after learning", "no learning"]


def test_least_gain_is_that_of_table_18():
    table = ledger.printed("statsmerging_table18").set_index("Method")["Avg Acc"]
    gains = [table[n] - table[n.removesuffix(LINES)] for n in table.index if LINES in n]
    assert min(gains) == pytest.approx(LEAST_GAIN) and len(gains) == 3
