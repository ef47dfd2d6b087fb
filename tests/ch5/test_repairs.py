"""Set-ups and repairs of page 05a: by hand, and with wrong formulas, which must show."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from mergebook.ch5 import repairs
from mergebook.ch5.claims import definitions as claims
from mergebook.ch5.repairs import MERGED_FIRST, TEACHER_FIRST
from mergebook.claims import CORRECTED, FAILS, HOLDS
from mergehelpers.alignment import Head


@pytest.fixture(scope="module")
def repaired(bench):
    return repairs.repair_all(bench, 0)


def test_set_ups_use_what_the_figure_draws_and_others_are_found(small, bench, monkeypatch):
    found = repairs.consumed(small, bench, 0)
    assert len(found) == 2 * 4 and claims.four_set_ups(found).verdict == HOLDS
    monkeypatch.setitem(repairs.SET_UPS, "d", "labels and teacher")
    assert claims.four_set_ups(repairs.consumed(small, bench, 0)).verdict == FAILS
    monkeypatch.setitem(repairs.SET_UPS, "d", "labels")
    assert claims.four_set_ups(repairs.consumed(small, bench, 0)).verdict == FAILS


@pytest.mark.parametrize("order", [TEACHER_FIRST, MERGED_FIRST])
def test_the_divergence_in_both_orders_against_scipy(order):
    g = torch.Generator().manual_seed(0)
    merged, teacher = torch.randn(2, 7, 4, generator=g, dtype=torch.float64)
    p, q = (softmax(x.numpy(), axis=1) for x in (merged, teacher))
    first, second = (q, p) if order == TEACHER_FIRST else (p, q)
    expected = rel_entr(first, second).sum(1).mean()
    assert float(repairs.divergence_of(merged, teacher, order)) == pytest.approx(expected)
    assert repairs.by_numpy(merged, teacher, order) == pytest.approx(expected)


def test_repairs_lower_the_divergence_in_both_orders(small, bench, repaired):
    found = repairs.trainings(small.name, repaired)
    assert len(found) == 2 * 2 * 3
    assert claims.aligned_map(found).verdict == claims.aligned_head(found).verdict == HOLDS
    width = bench.suite.backbone.width
    sizes = found.groupby("repair").numbers.max()
    assert sizes.to_dict() == {
        "aligned M": width**2,
        "W' from W": 3 * (width + 1),
        "W' from random": 3 * (width + 1),
    }
    of = found[found.order == TEACHER_FIRST].set_index(["task", "repair"])
    z, teacher, head = repairs.learning_set(bench, "photos")
    start = repairs.by_numpy(head(z), teacher, TEACHER_FIRST)
    assert of.start["photos", "aligned M"] == of.start["photos", "W' from W"] == start
    assert of.start["photos", "W' from random"] != start


def test_a_training_of_another_loss_is_found(small, bench):
    def away(logits, teacher, order):
        return -repairs.divergence_of(logits, teacher, order).clamp(max=5)

    found = repairs.trainings(small.name, repairs.repair_all(bench, 0, away))
    assert claims.aligned_map(found).verdict == claims.aligned_head(found).verdict == FAILS


def test_the_sum_over_tasks_and_a_measure_that_has_its_least_elsewhere(small, repaired):
    found = repairs.objectives(small.name, repaired)
    assert claims.summed_over_tasks(found).verdict == HOLDS and len(found) == 4

    def cross_entropy(logits, teacher, order):
        return -(teacher.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean(-1)

    wrong = repairs.objectives(small.name, repaired, cross_entropy)
    assert claims.summed_over_tasks(wrong).verdict == FAILS and (wrong.expert > 0.1).all()


def test_heads_that_a_map_reaches(small, repaired):
    found = repairs.heads_reached(small.name, repaired)
    assert list(found["rank"]) == [3, 3]
    assert claims.one_family(found).verdict == HOLDS
    # Two rows that are one: a random head has no M, one of the same form has.
    one = {key: d for key, d in repaired.items() if key == ("photos", TEACHER_FIRST)}
    [(key, d)] = one.items()
    w = d.head.weight[:1]
    low = d.head._replace(weight=torch.cat([w, -w, 2 * w]))
    form = d.warm._replace(weight=torch.cat([3 * w, -3 * w, 6 * w]))
    [row] = repairs.heads_reached("a", {key: d._replace(head=low, warm=form)}).to_dict("records")
    assert row["rank"] == 1 and row["trained"] < 1e-12 < 0.1 < row["random"]


def test_numbers_in_use(small, bench, repaired):
    found = repairs.deployed(small.name, repaired)
    width = bench.suite.backbone.width
    assert (found.old == 3 * (width + 1)).all() and (found.kept - found.old == width**2).all()
    assert claims.same_size(found).verdict == HOLDS
    assert claims.m_adds(found).verdict == CORRECTED
    # One input by hand: z M W against z (M W).
    d = repaired["photos", TEACHER_FIRST]
    z, m, w = (x.numpy() for x in (d.z[0], d.matrix, d.head.weight))
    assert np.allclose((z @ m) @ w.T, z @ (m @ w.T), atol=1e-12)
    grown = Head(torch.cat([d.warm.weight, d.warm.weight[:1]]), torch.zeros(4))
    more = {("photos", TEACHER_FIRST): d._replace(warm=grown)}
    assert claims.same_size(repairs.deployed("a", more)).verdict == FAILS


def test_numbers_of_bert():
    table = repairs.bert_numbers().set_index("task")
    # The size that bert-base-uncased is published with.
    assert (table.encoder == 109_482_240).all() and (table.M == 768 * 768).all()
    assert table["head"]["AG News"] == 769 * 4 and table["head"]["DBpedia"] == 769 * 14
