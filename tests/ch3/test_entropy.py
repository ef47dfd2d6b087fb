"""Entropy of teachers: bounds by brute force, parts and errors counted by hand."""

import types
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mergebook import ledger, studies
from mergebook.ch3 import entropy
from mergebook.ch3.claims.entropy import error_gaps
from mergebook.ch3.comparing import Trials
from mergebook.ch3.teaching import taught
from mergebook.experiments import Store

SHORT = {"count": 4, "steps": 2, "test_samples": 12}


def test_no_model_has_less_than_the_bound_whatever_its_bins_hold():
    rng, least = np.random.default_rng(0), []
    for _ in range(2000):
        right = rng.uniform(0, 1, (4, 3)) ** rng.uniform(0, 1)
        share = rng.dirichlet(np.full(3, 0.3), 4) * (rng.uniform(size=(4, 3)) < 0.8)
        if (share.sum(1) == 0).any() or (share.sum(0) == 0).any():
            continue
        share /= share.sum(1, keepdims=True)
        kept = np.where(share > 0, right, np.nan)
        overall = 100 * (share * right).sum(1).mean()
        least.append(overall - entropy.least_overall(100 * np.nanmean(kept, axis=0)))
    assert len(least) > 500 and min(least) >= 0
    # It is reached: each task's worst bin is another one, has all inputs but few, and only it errs.
    right = 1 - 0.9 * np.eye(3)
    bound = entropy.least_overall(100 * right.mean(0))
    assert bound == pytest.approx(100 * right.min(1).mean())


def test_the_printed_bins_fit_plus_and_not_plain():
    found = entropy.printed_bins(
        ledger.printed("statsmerging_table12"), ledger.printed("statsmerging_table15")
    ).set_index("method")
    assert found.least.tolist() == pytest.approx([86.1, 86.1, 67.0])
    assert found.overall.tolist() == [84.5, 94.5, 81.0]
    assert found.fits.tolist() == [False, True, True]


def test_parts_hold_every_input_once_and_follow_the_entropy(pictures):
    for task in pictures.tasks:
        p = taught(pictures, task, "test").softmax(1).double().numpy()
        h = -(p * np.log(p)).sum(1) / np.log(p.shape[1])
        thirds = entropy.entropy_parts(pictures, task, "test", "thirds")
        assert [len(part) for part in thirds] == [4, 4, 4]
        edges = entropy.entropy_parts(pictures, task, "test", "edges")
        for parts in (thirds, edges):
            assert sorted(np.concatenate(parts)) == list(range(12))
            filled = [h[part] for part in parts if len(part)]
            assert all(a.max() <= b.min() + 1e-6 for a, b in zip(filled, filled[1:]))
        assert [len(x) for x in edges] == [
            int(((h >= a) & (h < b)).sum()) for a, b in ((0, 0.33), (0.33, 0.66), (0.66, 2))
        ]


def test_errors_of_the_parts_add_up_to_the_teachers_errors(pictures):
    found = entropy.teacher_errors(pictures, "test", 9)
    for (task, _), part in found.groupby(["task", "by"]):
        right = pictures.answers(pictures.experts[task], "test", [task], 9)[task]
        assert (part.inputs.sum(), part.wrong.sum()) == (9, 9 - int(right.sum()))


def test_gaps_of_errors_by_hand():
    table = pd.DataFrame(
        [("x", "b", part, 100, n) for part, n in zip(("low", "middle", "high"), (10, 0, 50))],
        columns=["task", "by", "part", "inputs", "wrong"],
    )
    row = error_gaps(table).iloc[0]
    half = 196 * np.sqrt(0.1 * 0.9 / 100 + 0.5 * 0.5 / 100)
    assert (row.tasks, row.value, row.low, row.high) == pytest.approx((1, 40, 40 - half, 40 + half))


@pytest.fixture(scope="module")
def runs(pictures):
    page = types.SimpleNamespace(device="cpu", table=Store("nowhere", "full").table)
    found = Trials(page, pictures, entropy.EXPERIMENT)
    found.repeated = lambda named, count: found.trained(
        {n: replace(t, rate=0.03) for n, t in named.items()}, count
    )
    return found


def test_accuracy_in_thirds_averages_to_all_inputs(pictures, runs):
    rows = runs.trained({"a": replace(entropy.FREE, rate=0.03, **SHORT)}, 2)
    found = entropy.accuracy_by_entropy(pictures, rows, 12).set_index(["by", "part"])
    every = [studies.unpack_answers({"": a})[""] for row in rows.right for a in row]
    assert found.accuracy["thirds"].mean() == pytest.approx(100 * np.mean(every))
    assert found.share["edges"].sum() == pytest.approx(100)
    assert (found.tasks["thirds"] == 2).all()


def test_a_third_and_as_many_wrong_labels_are_learnt_from(pictures, runs):
    rows, apart = entropy.lessons_by_entropy(runs, SHORT, 2)
    assert len(apart) == len(entropy.READINGS) * len(entropy.TAUGHT)
    of = rows.groupby("what")[["source", "loss", "wrong", "count", "rate"]].first()
    for n in entropy.READINGS:
        third = of.loc[f"{n}: high third"]
        noise = of.loc[f"{n}: as many wrong as in the high third"]
        assert (third.source, third.loss, third.wrong) == ("val, high", "hard", 0)
        assert (noise.source, noise.loss) == ("val", "labels")
        assert noise.wrong == entropy.teachers_error(pictures, "high")
        assert third["count"] == noise["count"] == 1 and third.rate == 0.03


def test_the_error_of_a_third_is_a_mean_over_tasks(pictures):
    each = []
    for task in pictures.tasks:
        part = entropy.entropy_parts(pictures, task, "val", "thirds")[2]
        said = taught(pictures, task, "val").argmax(1)[torch.as_tensor(part)]
        each.append((said != pictures.labels(task, "val")[torch.as_tensor(part)]).float().mean())
    assert entropy.teachers_error(pictures, "high") == pytest.approx(np.mean(each), abs=1e-3)
