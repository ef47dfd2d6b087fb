"""Patterns of coefficients: by hand, by loops, and on a tiny suite."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tables import packed

from mergebook.ch3 import patterns
from mergebook.ch3.examined import examined, relearnt, trial_of
from mergebook.ch3.trials import FREE, OWN, SHARED, Trial, combined, graded, learn

QUICK = {"steps": 3, "count": 4, "batch": 2, "test_samples": 12}


def test_tensors_inside_blocks_are_known_by_their_names():
    names = ["embed", "h.0.a", "h.0.b", "h.1.a", "h.1.b", "norm"]
    assert patterns.in_blocks(names) == ([1, 2, 3, 4], 2)
    assert patterns.in_blocks(["a", "h.0.a"]) == ([1], 0)
    assert patterns.in_blocks([*names, "h.2.a"])[1] == 0
    assert patterns.in_blocks(["a", "b"]) == ([], 0)


def test_autocorrelation_is_the_correlation_of_shifted_rows():
    c = np.random.default_rng(0).standard_normal((2, 3, 12))
    found = patterns.autocorrelation(c, 4)
    expected = [[np.corrcoef(row[:-4], row[4:])[0, 1] for row in run] for run in c]
    assert found == pytest.approx(np.array(expected))
    assert patterns.autocorrelation(np.ones((2, 5)), 1).tolist() == [0, 0]


def test_a_table_that_repeats_recurs_and_noise_does_not():
    g = np.random.default_rng(1)
    inside, block = list(range(40)), 8
    motif = np.tile(g.standard_normal((3, 8)), 5)
    same = motif + 0.01 * g.standard_normal((5, 3, 40))
    found = patterns.recurrence(same, inside, block)
    assert found["value"] > 0.99 and found["low"] > 0.5 and found["least"] > 0.99
    noise = patterns.recurrence(g.standard_normal((5, 3, 40)), inside, block)
    assert noise["low"] < 0 < noise["high"] and abs(noise["chance"]) < 0.1
    levels = np.repeat(np.array([0.0, 1, 0, 1, 0]), 8) + 0.01 * g.standard_normal((5, 3, 40))
    flat = patterns.recurrence(levels, inside, block)
    assert abs(flat["excess"]) < 0.05 < abs(flat["chance"])  # blocks of two levels, no motif
    assert patterns.by_lag(same, inside, block)[7] == pytest.approx(found["value"])


def test_without_blocks_nothing_is_known():
    found = patterns.recurring({"x": np.ones((2, 3, 4))}, ["a", "b", "c", "d"])
    assert found.drop(columns="what").isna().all(axis=None)


def test_what_is_levelled_by_hand():
    c = torch.tensor([[0.0, 0, 0, 4], [1, 1, 2, 8]])
    far, rest = patterns.standing_out(c)
    assert far.tolist() == [3] and sorted(rest.tolist()) == [0, 1, 2]
    found = patterns.levelled(c, seed=0)
    assert found["experts"].tolist() == [[0.5, 0.5, 1, 6]] * 2
    assert found["farthest"].tolist() == [[0, 0, 0, 1], [1, 1, 2, 3]]
    changed = (found["others"] != c).any(0).tolist()
    assert sum(changed) == 1 and not changed[3]
    assert (patterns.levelled(c, seed=0)["others"] == found["others"]).all()


def test_spreads_over_tasks_and_seeds_by_loops():
    c = np.random.default_rng(2).standard_normal((4, 3, 30))
    c += np.array([-2.0, 0, 2])[:, None] * (np.arange(30) < 10)
    found = patterns.over_tasks_and_seeds({"x": c}).iloc[0]
    wider = 0
    for j in range(30):
        seeds = np.mean([np.var(c[:, k, j], ddof=1) for k in range(3)])
        wider += np.var(c[:, :, j].mean(0), ddof=1) - seeds / 4 > seeds
    assert found.wider == wider and 5 <= wider <= 12
    assert found["below zero"] == pytest.approx(100 * (c < 0).mean())
    assert patterns.over_tasks_and_seeds({"x": c[:1]}).wider[0] == 0  # no spread over one seed


def test_costs_are_differences_of_accuracies():
    def rows(experts, farthest, others):
        return {"experts": experts, "farthest": farthest, "others": others}

    table = pd.DataFrame([{"what": "a", "right": [packed(80), packed(60)]}] * 2)
    lower = rows([packed(70), packed(60)], [packed(20, 50), packed(30, 50)], [packed(50, 50)] * 2)
    level = pd.DataFrame([{"what": "a"} | lower] * 2)
    found = patterns.costs(table, level).set_index("levelled")
    assert found.value.round(6).to_dict() == {
        "experts": 5.0,
        "farthest": 50.0,
        "others": 0.0,
        "farthest less others": 50.0,
    }
    assert (found.all_low <= found.low).all() and found.all_low["experts"] < found.low["experts"]


def test_learners_before_training_differ_by_seed_and_read_what_they_read(pictures):
    found = patterns.before_training(pictures, SHARED, 2, seed=3)
    assert found.shape[:2] == (2, 2) and not np.allclose(found[0], found[1])
    again = patterns.before_training(pictures, SHARED, 1, seed=4)
    assert np.allclose(found[1], again[0])


def test_a_levelled_row_is_the_merge_of_means(pictures):
    r = pictures
    key = patterns.Levelled(r.mark, learner="free", reads="nothing", rate=0.1, **QUICK)
    row = patterns.levelled_row(key, {r.mark: r.source}, "cpu")
    found = learn(r, trial_of(key))
    c = found.coefficients
    c = c.mean(0, keepdim=True).expand_as(c)
    assert row["experts"] == graded(r, combined(r, key, c), found.tasks, 12)
    assert len(row["losses"]) == 3 and len(row["farthest"]) == 2
    assert relearnt(r, trial_of(key)) is relearnt(r, trial_of(replace(key)))


def test_keys_of_rows_are_their_trials(pictures):
    t = Trial(pictures.mark, rate=0.03, seed=1, **QUICK)
    table = pd.DataFrame([vars(t) | {"what": "a"}, vars(t) | {"what": "b"}])
    [(name, key)] = examined(table.astype({"seed": float}), ["b"], patterns.Levelled)
    assert name == "b" and trial_of(key) == t and type(key.seed) is int


def test_methods_are_both_readings_in_both_forms():
    assert patterns.FORM_FREE == {"one network": SHARED, "one a layer": OWN}
    assert [t.form for t in patterns.ON_SIMPLEX.values()] == ["simplex"] * 2
    assert patterns.SEARCHED[patterns.WITHOUT] == FREE
