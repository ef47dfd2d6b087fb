"""The models of Chapter 2: an order and a method, against the rules and loops of their own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata

from mergebook import studies
from mergebook.ch2 import models, readings
from mergebook.ch2.models import METHODS, ORDERS, Merge
from mergebook.ch2.rules import apart
from mergehelpers import evaluate, merge, mloss, mties, states


def key(r, method="rows", order="released", **settings):
    return Merge(r.mark, method, order, **{"keep": 0.6, "spread": 0.4, "samples": 3} | settings)


def weights(r):
    return [r.backbone.weight_name(site) for site in r.backbone.sites()]


def test_every_method_and_order_makes_a_model(pictures):
    for method in METHODS:
        named = {"experts": pictures.tasks[0]} if method == "expert" else {}
        state = models.model_of(pictures, key(pictures, method, **named))
        assert state.keys() == pictures.base.keys()
    for order in ORDERS:
        found = models.rates(pictures, key(pictures, order=order))
        assert list(found) == weights(pictures)
        flat = {"constant": 0.6, "even": 0.4}
        for rate in found.values():
            assert rate.mean().item() == pytest.approx(flat.get(order, 0.4))
            assert rate.unique().numel() == 1 or order not in flat


def test_a_reading_is_a_method_and_an_order(pictures):
    """What the helper makes in one call, taken apart."""
    experts = list(pictures.experts.values())
    pairs = {"released": "rows", "paper": "line 22", "everywhere": "line 22 everywhere"}
    for reading, method in pairs.items():
        order = "released" if reading == "released" else "merged so far"
        inputs = models.sample(pictures, 3, 0)
        whole, _ = mties.m_ties(
            pictures.backbone, pictures.base, experts, inputs, 0.6, 0.4, 0.7, reading
        )
        parts = models.model_of(pictures, key(pictures, method, order, scale=0.7))
        assert apart(whole, parts) < 1e-6


def test_reversed_orders_turn_the_rates_round(pictures):
    for order in ("released", "merged so far", "short changes"):
        one, other = (
            models.rates(pictures, key(pictures, order=name))
            for name in (order, f"reversed {order}")
        )
        for name in one:
            assert (one[name] + other[name]).numpy() == pytest.approx(0.8)
            assert one[name].unique().numel() > 1


def test_scores_of_one_layer_by_hand(pictures):
    site = pictures.backbone.sites()[0]
    name = pictures.backbone.weight_name(site)
    moved = [
        np.linalg.norm((e[name] - pictures.base[name]).numpy(), axis=1)
        for e in pictures.experts.values()
    ]
    rates = models.rates(pictures, key(pictures, order="short changes"))[name]
    rank = (rankdata(np.mean(moved, axis=0)) - 1) / (len(rates) - 1)
    assert rates.numpy() == pytest.approx(0.6 - 0.4 * rank)
    inputs = models.sample(pictures, 3, 0)
    found = mties.node_scores(
        pictures.backbone, None, list(pictures.experts.values()), inputs, measure=mloss.node_mloss
    )
    own = models.scored(pictures, "own input", 3, 0)
    assert torch.equal(own[site], found[site])
    with pytest.raises(ValueError, match="order is 'best'; allowed: released, "):
        models.scored(pictures, "best", 3, 0)


def test_samples_and_random_orders_are_drawn_anew(pictures):
    first, again, other = (models.sample(pictures, 2, draw) for draw in (0, 0, 1))
    assert len(first) == 2 * len(pictures.tasks)
    same = [torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(first, again)]
    assert all(same)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other))
    uneven = models.sample(pictures, 2, 0, [1.0] + [0.5] * (len(pictures.tasks) - 1))
    assert len(uneven) == 1 + len(pictures.tasks)
    one, two = (models.scored(pictures, "random", 2, draw) for draw in (0, 1))
    assert all(not torch.equal(one[site], two[site]) for site in one)


def test_layers_and_experts_restrict_a_merge(pictures):
    last = pictures.backbone.sites()[-1]
    found = models.rates(pictures, key(pictures, layers=last))
    assert list(found) == [pictures.backbone.weight_name(last)]
    few = models.only_experts(pictures, " + ".join(pictures.tasks[:2]))
    assert few.tasks == pictures.tasks[:2] and list(few.experts) == list(pictures.tasks[:2])
    state = models.model_of(few, key(pictures, "average"))
    by_hand = merge.average([pictures.experts[t] for t in pictures.tasks[:2]])
    assert apart(state, by_hand) == 0


def test_answers_are_those_of_the_model(pictures):
    sources = {pictures.mark: pictures.source}
    row = models.answers_of(key(pictures, "TIES", inputs=4), sources, "cpu")
    state = merge.ties(pictures.base, list(pictures.experts.values()), 0.6, 1.0)
    right = pictures.answers(state, limit=4)
    found = models.unpacked(row["right"])
    assert [a.tolist() for a in found.values()] == [a.tolist() for a in right.values()]
    some = models.answers_of(
        key(pictures, "TIES", inputs=4, tasks=pictures.tasks[1]), sources, "cpu"
    )
    assert some["right"] == row["right"][1:2]


def test_an_imprint_knows_its_model(pictures):
    """A row whose answers could be another's is known by the weights that gave it."""
    tolerance = models.IMPRINT
    prints = {
        (order, draw): models.imprint(
            pictures.base, models.model_of(pictures, key(pictures, order=order, draw=draw))
        )
        for order, draw in [("released", 0), ("random", 0), ("random", 1), ("even", 0)]
    }
    for one, a in prints.items():
        for other, b in prints.items():
            assert tolerance.accepts(a, b) == (one == other)
    change = states.task_vector(pictures.base, pictures.average)
    flat = torch.cat([v.flatten().double() for v in change.values()])
    assert abs(prints["released", 0][0]) > 0
    assert 4 * flat.norm().item() == pytest.approx(4 * states.norm(change), rel=1e-6)


def test_unknown_methods_are_refused(pictures):
    with pytest.raises(ValueError, match="method is 'best'; allowed: base, average"):
        models.model_of(pictures, replace(key(pictures), method="best"))


# ---------------------------------------------------------------------------------- the readings


def test_tables_of_the_readings(pictures):
    nodes = readings.losses_and_rates(pictures, 0.6, 0.4, 3)
    assert set(nodes.layer) == {*pictures.backbone.sites(), "by hand"}
    hand = nodes[nodes.layer == "by hand"]
    assert hand.rate.tolist() == pytest.approx(
        [0.2, 0.6 - 0.4 / 6, 0.6 - 0.4 / 6, 0.6 - 0.4 * 2 / 3]
    )
    errors = readings.invariants(pictures, 0.6, 0.4, 1.0, 3)
    assert len(errors) == 3 * len(mties.VARIANTS) and errors.error.max() < 1e-5
    made = readings.increments(0).set_index("increment").error
    assert made["disjoint"] < 1e-12 and made["weighted"] > 0.01
    key = readings.Ranked(pictures.mark, 0.6, 0.4, 3)
    alike = pd.DataFrame(readings.ranks_alike(key, {pictures.mark: pictures.source}, "cpu"))
    assert set(alike.groupby("layer").size()) == {5} and alike.correlation.between(-1, 1).all()
    points = readings.points()
    assert set(points.relation) <= {"agrees", "differs", "silent"} and len(points) > 5
    assert points.point.is_unique and points[["text", "code"]].map(len).min(axis=None) > 20


def test_rank_agreement_by_hand():
    a = {"x": torch.tensor([1.0, 2, 3]), "y": torch.tensor([1.0, 2, 3])}
    b = {"x": torch.tensor([1.0, 2, 3]), "y": torch.tensor([3.0, 2, 1])}
    assert readings.agreement(a, b) == pytest.approx([1, -1])


def test_a_table_of_accuracies():
    rows = [
        ("s", method, order, [studies.pack_answers({"": torch.arange(10) < 5})[""]])
        for method, order in readings.LADDER.values()
    ]
    table = pd.DataFrame(rows, columns=["suite", "method", "order", "right"])
    found = readings.ladder_table(table)
    assert list(found.index) == list(readings.LADDER)
    bound = evaluate.missed([10])
    assert set(found["s"]) == {"50.0"}
    assert set(found.iloc[:, 1]) == {"", f"+0.0 [-{bound:.1f}, +{bound:.1f}]"}
    assert found.iloc[:, 1]["M-TIES, released"] == ""
