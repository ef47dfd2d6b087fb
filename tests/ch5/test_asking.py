"""Protocols with a few inputs, repairs on halves and their controls, on a suite of tiny tasks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mergebook import studies
from mergebook.ch5 import asking, costs, encoders, leaking, uses
from mergebook.ch5.encoders import BASE, OTHERS, RANDOM, Encoder
from mergebook.protocols import EXPERT
from mergehelpers import evaluate, merge

AVERAGE = "weight averaging"


def encoder(small, model=AVERAGE, task="photos"):
    return Encoder(small.mark, model, 0.0, 0.0, task, 6, 24)


def hits(text):
    return studies.unpack_answers({"": text})[""]


@pytest.fixture(scope="module")
def ordinary(small):
    """Answers of the ordinary evaluation, by model."""
    experts = small.suite.experts
    states = {AVERAGE: merge.average(list(experts.values())), BASE: small.suite.base}
    states[OTHERS] = merge.average([e for t, e in experts.items() if t != "photos"])
    states[EXPERT] = experts["photos"]
    return {m: evaluate.right(small.suite, s, limit=24)["photos"] for m, s in states.items()}


@pytest.mark.parametrize("model", [AVERAGE, BASE, OTHERS, EXPERT])
def test_under_the_head_answers_are_those_of_the_ordinary_evaluation(small, place, ordinary, model):
    (key,) = asking.asked([encoder(small, model)], [asking.HEAD], ["k=2"], 5)
    row = asking.ask_protocol(key, **place)
    assert (hits(row["right"][0]) == ordinary[model].numpy()).all()
    assert len(row["right"]) == 1 and row["rate"] == 0 and row["used"] == 0
    truth = small.labels("photos", "test", 24)
    assert row["guess"] == pytest.approx(100 * torch.bincount(truth).max().item() / 24)


def test_anchors_and_heads_are_what_a_bench_makes_of_the_same_draws(small, place):
    key = encoder(small)
    bench = encoders.workbench(place["sources"][small.mark], "cpu", 6, 24)
    for way, amount in ((asking.ANCHORS, "k=1"), (asking.FT, "k=1"), (asking.LABELS, "u=1")):
        (one,) = asking.asked([key], [way], [amount], 2)
        one = replace(one, rates=one.rates[1:2])
        row = asking.ask_protocol(one, **place)
        y = bench.y("photos", "train")
        chosen = torch.stack([asking.drawn_inputs(amount, y, 3, s) for s in (0, 1)])
        plan = asking.Plan(asking.STEPS, 1e-2)
        expected = bench.right(key.named, "photos", way, chosen, plan)
        assert (np.array([hits(t) for t in row["right"]]) == expected.numpy()).all(), way
        assert row["used"] == 3 and (row["even"] == 1 or amount == "u=1")


def test_validation_inputs_choose_the_rate(small, place):
    (key,) = asking.asked([encoder(small)], [asking.FT], ["k=1"], 2)
    row = asking.ask_protocol(key, **place)
    alone = [asking.ask_protocol(replace(key, rates=(r,)), **place) for r in key.rates]
    assert row == next(x for x in alone if x["rate"] == row["rate"])


def test_draws_have_what_they_say():
    labels = torch.arange(60) % 3
    counts = {a: torch.bincount(labels[asking.drawn_inputs(a, labels, 3, 1)]) for a in AMOUNTS}
    assert counts["k=4"].tolist() == [4, 4, 4]
    assert counts["u=4"].sum() == 12 and counts["n=7"].sum() == 7
    assert counts["i=4"].max() > 6  # half of the inputs are of one class
    assert len(set(asking.drawn_inputs("n=60", labels, 3, 0).tolist())) == 60
    for bad in ("5", "k=", "z=3", "k=-1"):
        with pytest.raises(
            ValueError, match="amount is .*; allowed: k=, u=, i= or n= and a number"
        ):
            asking.drawn_inputs(bad, labels, 3, 0)
    with pytest.raises(ValueError, match="30 shots asked of the class 0, which has 20 samples"):
        asking.drawn_inputs("k=30", labels, 3, 0)


AMOUNTS = ("k=4", "u=4", "i=4", "n=7")


def test_the_random_encoder_has_the_bases_entries_in_another_order(small, place):
    bench = encoders.workbench(place["sources"][small.mark], "cpu", 6, 24)
    key = encoder(small, RANDOM)
    state = encoders.weights_of(key, bench)
    for name, value in bench.suite.base.items():
        assert torch.equal(state[name].flatten().sort().values, value.flatten().sort().values)
    again = encoders.weights_of(replace(key, seed=1), bench)
    assert any(not torch.equal(state[n], again[n]) for n in state)
    assert key.named != replace(key, seed=1).named


# ---------------------------------------------------------------------------------- halves


def test_own_and_other_are_the_answers_of_two_trainings(small, place):
    (key,) = leaking.leaked([encoder(small)], [asking.FT], [9], 8)
    key = replace(key, rates=(1e-2,))
    row = leaking.of_halves(key, **place)
    bench = encoders.workbench(place["sources"][small.mark], "cpu", 6, 24)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    first, second = order[:9], order[12:21]
    plan = asking.Plan(asking.STEPS, 1e-2)
    of = [
        bench.right(key.named, "photos", asking.FT, part[None], plan, "test")[0]
        for part in (first, second)
    ]
    expected = {
        "own": torch.cat([of[0][first], of[1][second]]),
        "other": torch.cat([of[1][first], of[0][second]]),  # the same inputs in the same order
    }
    for name, right in expected.items():
        assert (hits(row[name]) == right.numpy()).all(), name
    with pytest.raises(ValueError, match="amount is 13; half of the test inputs are 12"):
        leaking.of_halves(replace(key, amount=13), **place)


def test_a_lead_is_own_minus_other_and_a_share_lies_between_old_head_and_expert():
    texts = {n: studies.pack_answers({"": torch.arange(100) < k})[""] for n, k in PARTS.items()}
    rows = pd.DataFrame([{"model": "m", "way": "w", "task": t, "amount": 9} | texts for t in "kl"])
    assert leaking.lead_of_own(rows, "m", "w").value == pytest.approx(20)
    assert leaking.closed(rows, "m", "w", "other") == pytest.approx(25)
    assert leaking.beyond_share(rows, "m", "w", "own", 0.5).value == pytest.approx(10)
    assert np.isnan(leaking.closed(rows.assign(expert=rows.old), "m", "w", "own"))


PARTS = {"own": 80, "other": 60, "old": 60 - 10, "expert": 90}


def test_halves_too_large_for_a_task_are_refused(small):
    leaking.check_halves(small, 12, 24)
    with pytest.raises(ValueError, match="13 inputs asked of each half .* allowed: up to 12"):
        leaking.check_halves(small, 13, 24)
    assert leaking.longest_task(small, 6) == ["photos"]
    assert leaking.longest_task(small, 7) == []


# ------------------------------------------------------------------------------- other uses


def test_precision_counts_neighbours_of_an_inputs_class():
    z = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]).double()
    assert uses.precision(z, torch.tensor([0, 0, 0, 1, 1, 1]), 2) == 100
    assert uses.precision(z, torch.tensor([0, 1, 0, 1, 0, 1]), 2) == pytest.approx(100 / 3)
    with pytest.raises(ValueError, match="found is 6; allowed: less than the 6 inputs"):
        uses.precision(z, torch.zeros(6), 6)


def test_a_search_by_chance_finds_a_class_as_often_as_it_is_there(small, place):
    row = uses.searched(encoder(small), **place)
    labels = small.labels("photos", "test", 24)
    alike = (labels[:, None] == labels).double().fill_diagonal_(0).sum() / (24 * 23)
    assert row["by_chance"] == pytest.approx(100 * alike.item(), abs=1e-5)
    assert 0 <= row["precision"] <= 100


def test_weak_experts_that_go_the_whole_way_are_the_experts(small, place, ordinary):
    whole = uses.Weak(small.mark, "photos", 1.0, 1.0, 24)
    row = uses.weak_and_merged(whole, **place)
    assert (hits(row["own"]) == ordinary[EXPERT].numpy()).all()
    assert row["own"] == row["alone"]
    third = uses.weak_and_merged(replace(whole, scale=1 / 3), **place)
    assert (hits(third["merged"]) == ordinary[AVERAGE].numpy()).all()


def test_work_is_counted_for_encodings_and_training(small):
    table = costs.extra_work(small, 2, 24, 100)
    double = costs.extra_work(small, 4, 24, 100)
    assert table.encoding.tolist() == pytest.approx([100 * 2 * 6 / 24] * 3)
    assert double.training.to_numpy() == pytest.approx(2 * table.training.to_numpy())
    assert (table.enough == 20 * table.samples).all() and (table.training > 0).all()
    assert len(costs.of_suites([table, double])) == 6
