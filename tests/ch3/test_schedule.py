"""Trainings that are looked at on their way (page 03r), on a tiny suite and by hand."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

from mergebook.ch3 import schedule
from mergebook.ch3.schedule import A_BATCH, A_PASS, LATE, PRINTED, Course
from mergebook.ch3.trials import SHARED, combined, learn, lessons_of
from mergehelpers import evaluate

TINY = Course(**asdict(replace(SHARED, count=4, steps=10, batch=2, rate=0.03)), every=2)


@pytest.fixture(scope="module")
def course(pictures):
    key = replace(TINY, models=pictures.mark, drop=0.6, heads="too")
    return key, schedule.course_row(key, {pictures.mark: pictures.source}, "cpu")


def test_lessons_are_the_first_inputs_whatever_the_seed(pictures):
    other = replace(TINY, seed=1)
    first, again = (schedule.first_lessons(pictures, t)[0]["pets"] for t in (TINY, other))
    assert (first == again).all()
    assert (first == pictures.suite.task("pets").inputs["unlabelled"][:4]).all()
    drawn = [lessons_of(pictures, t)[0]["pets"] for t in (TINY, other)]
    assert (drawn[0] != drawn[1]).any()


def test_a_course_is_looked_at_with_the_heads_of_the_time(pictures, course):
    key, row = course
    assert len(row["learnt"]) == 6 and len(row["val"]) == 6
    lessons = schedule.first_lessons(pictures, key)
    found = learn(pictures, key, 0, lessons)
    state = combined(pictures, key, found.coefficients)
    right = evaluate.right(found.trained.suite, state, "val", list(found.tasks), 100, "cpu")
    assert row["val"][-1] == pytest.approx(evaluate.percent([right]))
    start = combined(pictures, key, learn(pictures, key, 2, lessons).trained.path[0])
    right = evaluate.right(pictures.suite, start, "val", list(found.tasks), 100, "cpu")
    assert row["val"][0] == pytest.approx(evaluate.percent([right]))


def test_heads_on_the_way_are_kept_as_they_were(pictures):
    lessons = schedule.first_lessons(pictures, TINY)
    found = learn(pictures, replace(TINY, heads="too"), 5, lessons).trained
    heads = [found.suites[step].task("pets").head["weight"] for step in (0, 5, 10)]
    torch.testing.assert_close(heads[0], pictures.suite.task("pets").head["weight"])
    torch.testing.assert_close(heads[2], found.suite.task("pets").head["weight"])
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[1], heads[2])
    assert learn(pictures, TINY, 5, lessons).trained.suites == {}


def test_after_the_drops_little_moves(pictures, course):
    _, row = course
    key = replace(TINY, models=pictures.mark, drop=0.1)
    stopped = schedule.course_row(key, {pictures.mark: pictures.source}, "cpu")
    assert stopped["moved late"] < 0.05 * stopped["moved"] < row["moved late"]


def test_shape_of_a_bowl():
    sides = torch.tensor([[3.0, 0.5], [1.0, 2.0]])

    def bowl(c):
        return (sides * c**2).sum() / 2

    c = torch.ones(2, 2)
    assert schedule.top_curvature(bowl, c) == pytest.approx(3, rel=1e-3)
    g = torch.Generator().manual_seed(0)
    moves = [0.1 * torch.randn(2, 2, generator=g) for _ in range(8)]
    by_hand = np.mean([float((sides * (c + m) ** 2).sum() / 2) for m in moves]) - 3.25
    assert schedule.rise_when_shaken(bowl, c) == pytest.approx(by_hand, rel=1e-4)


def test_the_plan_has_each_training_once():
    plan = schedule.planned("m", samples=10, epochs=50, trials=4, seed=7)
    found = pd.DataFrame(
        [asdict(key) | {f"{k}_": v for k, v in names.items()} for key, names in plan.items()]
    )
    by = found.groupby(["epoch_", "network_", "schedule_", "heads"]).size()
    assert (by == 4).all() and len(found) == len(found.drop_duplicates()) == 4 * 8
    for network in schedule.LEARNERS:
        kinds = by[A_BATCH, network].index.tolist()
        assert sorted(kinds) == sorted([(PRINTED, "frozen"), (LATE, "frozen"), (LATE, "too")])
    assert by[A_PASS].index.tolist() == [("one network", d, "frozen") for d in (PRINTED, LATE)]
    one, whole = (found[found.epoch_ == e].iloc[0] for e in (A_BATCH, A_PASS))
    assert (one.steps, one.every) == (50, 2) and (whole.steps, whole.every) == (150, 6)
    assert found.seed.min() == 7 and (found.rate == 0.001).all()


def test_a_window_by_hand():
    assert schedule.window([0, 0, 1, 3, 5, 7], at=3, width=2) == 4


def looks(drops, seed, learnt, end):
    return {
        "network": "one network",
        "epoch": A_BATCH,
        "schedule": drops,
        "heads": "frozen",
        "seed": seed,
        "steps": 500,
        "every": 20,
        "learnt": learnt,
        "val": [60.0, 70.0, 75.0, 75.0, 75.0, end],
        "moved": 2.0,
        "moved late": 0.1,
        "curvature": 2.0,
        "curvature at the end": 1.0,
        "sensitivity": 1.0,
        "sensitivity at the end": 1.1,
    }


def test_changes_by_hand():
    jump = [50.0] * 22 + [60.0] * 4
    early = [50.0] * 3 + [60.0] * 23
    between = [50.0] * 10 + [53.0] * 12 + [60.0] * 4
    rows = [looks(LATE, i, learnt, 78.0) for i, learnt in enumerate((jump, early, between))]
    found = schedule.changes(pd.DataFrame(rows))
    assert found.rise.tolist() == [18] * 3 and found.late.tolist() == [3] * 3
    assert found.gain.tolist() == [10, 0, 7]
    # Of ten windows before the third one's drop, five see its small rise: 2.25, 3, 2.25, 1.5, 0.75.
    assert found.elsewhere.tolist() == pytest.approx([0, 0, 0.975])
    assert found.largest.tolist() == [0, 0, 3]
    assert found.excess.tolist() == pytest.approx([10, 0, 6.025])
    assert found.stirred[0] == 5 and found.curvature[0] == -50
    assert found.sensitivity[0] == pytest.approx(10)


def test_late_minus_printed_is_paired_by_seed():
    flat = [50.0] * 26
    rows = [looks(PRINTED, 0, flat, 70.0), looks(PRINTED, 1, flat, 72.0)]
    rows += [looks(LATE, 1, flat, 75.0), looks(LATE, 0, flat, 72.0), looks(LATE, 2, flat, 99.0)]
    found = schedule.late_over_printed(schedule.changes(pd.DataFrame(rows)))
    assert found.seeds.tolist() == [2] and found.lead[0].value == 2.5
