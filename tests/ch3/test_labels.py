"""Labels against teachers: trials on a tiny suite, and tables worked out by hand."""

import types
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tables import packed

from mergebook import ledger, studies
from mergebook.ch3 import labels
from mergebook.ch3.comparing import Trials
from mergebook.ch3.teaching import POOL
from mergebook.experiments import Store
from mergebook.page import OpenSuite

SHORT = {"count": 4, "steps": 2, "test_samples": 12}


@pytest.fixture(scope="module")
def runs(pictures):
    """Trials that compute their rows, 0.03 the step size by teachers and 0.01 by labels."""
    store = Store("nowhere", "full")
    page = types.SimpleNamespace(device="cpu", table=store.table)
    found = Trials(page, pictures, labels.EXPERIMENT)

    def repeated(named, count, by="agree"):
        rate = 0.03 if by == "agree" else 0.01
        return found.trained({n: replace(t, rate=rate) for n, t in named.items()}, count)

    found.repeated = repeated
    return found


def answers(**right):
    """Rows of two repetitions and two tasks of 10 inputs, `right` of the first and second."""
    rows = [
        {"what": what, "seed": seed, "rate": 0.01, "right": [packed(n, 10) for n in counts[seed]]}
        for what, counts in right.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_the_printed_table_14_has_these_gaps():
    means = labels.printed_means(ledger.printed("statsmerging_table14"))
    assert means["tasks", "labels"] - means["tasks", "hard answers"] == pytest.approx(7.35)
    assert means["layers", "labels"] - means["layers", "hard answers"] == pytest.approx(5.15)


def test_trials_of_table_14_differ_in_loss_level_and_learner_alone(pictures):
    found = labels.table14(pictures, SHORT)
    assert {name.split(": ")[0] for name in found} == {", ".join(key) for key in labels.TRIED}
    for key, losses in labels.TRIED.items():
        every = {name.split(": ")[1] for name in found if name.split(": ")[0] == ", ".join(key)}
        assert every == set(losses) and {labels.LABELS, labels.HARD} <= every
    for name, t in found.items():
        reading, level = name.split(":")[0].split(", ")
        assert (t.learner, t.level, t.count) == (labels.METHODS[reading].learner, level, 4)
        assert t.loss == {"l": "labels", "h": "hard", "s": "soft"}[name.split(": ")[1][0]]
        assert t.tasks == "pets birds"
    warmed = labels.loss_name(*labels.WARMED, "soft answers, T = 4")
    assert found[warmed].temperature == 4


def test_leads_are_differences_and_all_of_the_readings_share_an_error():
    table = answers(a=[(9, 9), (7, 9)], b=[(5, 5), (5, 5)])
    pairs = {("one network",): ("a", "b"), ("one a layer",): ("a", "b"), ("free",): ("b", "a")}
    found = labels.label_leads(table, pairs, ["reading"]).set_index("reading")
    assert found.value.tolist() == pytest.approx([35, 35, -35])
    assert (found.all_low < found.low).all() and (found.all_high > found.high).all()
    alone = labels.label_leads(table, {("one network",): ("a", "b")}, ["reading"]).iloc[0]
    assert alone.all_low == pytest.approx(alone.low)


def test_a_change_is_tried_at_the_step_size_of_the_trial_itself(runs):
    trials = {"free": replace(labels.FREE, **SHORT)}
    rows = labels.at_own_rate(runs, trials, {"0": {}, "all": {"wrong": 1.0}}, 2)
    assert list(rows.what) == ["free: 0"] * 2 + ["free: all"] * 2
    assert set(rows.rate) == {0.03} and list(rows.wrong) == [0, 0, 1, 1]
    assert rows.losses[0] != rows.losses[2]


def test_labels_do_not_enter_but_where_the_loss_asks_for_them(pictures):
    found = labels.label_use(pictures, SHORT, limit=5)
    by = found.groupby("loss")[["coefficients", "agreement"]].max()
    assert (by.loc[labels.HARD] == 0).all()
    assert (found[found.loss == labels.LABELS].coefficients > 1e-3).all()


def test_other_labels_are_the_next_class_and_nothing_else_moves(pictures):
    other = labels.with_other_labels(pictures)
    for name, task in pictures.suite.tasks.items():
        moved = other.suite.task(name)
        assert moved.inputs is task.inputs
        for split, y in task.labels.items():
            assert ((moved.labels[split] - y) % len(task.classes) == 1).all()


def test_step_sizes_are_chosen_twice_and_labels_minus_teachers_is_shown(runs):
    rows, leads = labels.chosen_twice(runs, SHORT, 2)
    assert set(rows.rate[rows.what == "free: teachers"]) == {0.03}
    assert set(rows.rate[rows.what == "free: labels"]) == {0.01}
    assert list(leads.reading) == list(labels.METHODS)
    means = {
        what: np.mean([studies.unpack_answers({"": a})[""] for row in part.right for a in row])
        for what, part in rows.groupby("what")
    }
    gain = 100 * (means["one network: labels"] - means["one network: teachers"])
    assert leads.value[0] == pytest.approx(gain)


def test_the_second_half_of_the_answers_is_kept(pictures):
    right = torch.tensor([True] * 6 + [False, True, True, False, False, True])
    text = studies.pack_answers({"": right})[""]
    found = labels.second_half_of_test(pictures, pd.DataFrame({"right": [[text, text]]})).right[0]
    assert [studies.unpack_answers({"": t})[""].tolist() for t in found] == [right[6:].tolist()] * 2
    assert labels.half_of_test(pictures, "pets") == 6


def test_what_test_inputs_gain_is_counted_on_the_half_not_learnt_from(runs):
    leads = labels.gains_from_test(runs, SHORT, 2).set_index("reading")
    assert list(leads.index) == ["one network", "one a layer", "AdaMerging"]
    trials = {
        s: replace(labels.ADAMERGING, source=s, rate=0.03, **SHORT) for s in (labels.TEST, POOL)
    }
    rows = runs.trained(trials, 2)
    share = [
        np.mean([studies.unpack_answers({"": a})[""][6:] for row in part.right for a in row])
        for _, part in rows.groupby("what", sort=False)
    ]
    assert leads.value["AdaMerging"] == pytest.approx(100 * (share[0] - share[1]))


def test_an_input_in_both_places_is_counted(pictures):
    assert labels.inputs_in_both(pictures)["in both"].tolist() == [0, 0]
    task = pictures.suite.task("pets")
    test = np.concatenate([task.inputs["train"][:3], task.inputs["test"][3:]])
    tasks = {"pets": replace(task, inputs=task.inputs | {"test": test})}
    moved = OpenSuite(replace(pictures.suite, tasks=pictures.suite.tasks | tasks), "cpu")
    assert labels.inputs_in_both(moved)["in both"].tolist() == [3, 0]


def test_a_suite_that_lacks_inputs_is_refused(pictures):
    labels.suits_label_study(pictures, 24, 12)
    with pytest.raises(ValueError, match="pets of tiny needs 25 inputs"):
        labels.suits_label_study(pictures, 25, 12)
    with pytest.raises(ValueError, match="raise test_samples"):
        labels.suits_label_study(pictures, 4, 7)
    task = pictures.suite.task("birds")
    bare = replace(task, labels=task.labels | {"unlabelled": torch.full((4,), -1)})
    other = replace(pictures.suite, tasks=pictures.suite.tasks | {"birds": bare})
    with pytest.raises(ValueError, match="birds .* labels"):
        labels.suits_label_study(OpenSuite(other, "cpu"), 4, 12)


def test_teachers_are_right_as_often_as_they_say_the_label(pictures):
    found = labels.teachers_right(pictures).set_index("task").right
    for name in pictures.tasks:
        right = [
            pictures.answers(pictures.experts[name], split, [name])[name]
            for split in ("unlabelled", "train")
        ]
        assert found[name] == pytest.approx(100 * torch.cat(right).float().mean().item())
