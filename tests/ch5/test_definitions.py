"""Merges, heads and anchors of page 05a: by hand, and with wrong formulas, which must show."""

import pytest
import torch

from mergebook.ch5 import definitions
from mergebook.ch5.claims import definitions as claims
from mergebook.claims import CORRECTED, FAILS, HOLDS
from mergehelpers import alignment, merge


def test_a_bench_has_the_first_tasks_and_the_average(small, bench):
    assert bench.tasks == ["photos", "sketches"] and len(bench.y("photos")) == 24
    for name, w in small.base.items():
        if w.is_floating_point():
            mean = sum(e[name] for e in small.experts.values()) / 3
            assert torch.allclose(bench.state(definitions.MERGED, "photos")[name], mean)


def test_only_matrices_that_an_expert_changed_are_compared(small):
    base, experts = definitions.moved_matrices(small, most=3)
    assert len(base) == 3 and len(experts) == 3
    assert all(w.dim() == 2 and w.dtype == torch.float64 for w in base.values())


def test_rules_are_the_equations_and_wrong_rules_are_found(small):
    assert claims.the_mean(definitions.written_out(small, 0.3)).verdict == HOLDS
    assert claims.the_sum(definitions.written_out(small, 0.3)).verdict == HOLDS

    def heavier(experts):
        return merge.average([experts[0], *experts])

    wrong = definitions.written_out(small, 0.3, average=heavier)
    assert claims.the_mean(wrong).verdict == FAILS and claims.the_sum(wrong).verdict == HOLDS

    def divided(base, experts, scale):
        return merge.task_arithmetic(base, experts, scale / len(experts))

    wrong = definitions.written_out(small, 0.3, arithmetic=divided)
    assert claims.the_sum(wrong).verdict == FAILS and claims.the_mean(wrong).verdict == HOLDS
    other = definitions.written_out(small, 0.3).set_index("equation").error["other"]
    assert other > 1e-3


def test_ties_entry_by_entry():
    stack = torch.tensor([[3.0, -1.0, 0.5, 2.0], [1.0, -2.0, 4.0, -5.0], [-5.0, 0.1, 3.0, 1.0]])
    # Of each vector the two largest entries stay: 3, ., ., 2; ., ., 4, -5; -5, ., 3, . .
    assert definitions.entry_by_entry(stack, 0.5).tolist() == [-5.0, 0.0, 7.0, -5.0]
    assert definitions.entry_by_entry(stack, 0.5, 2).tolist() == [-5.0, 7.0]
    assert definitions.entry_by_entry(stack, 1.0).tolist() == [-5.0, -3.0, 7.5, -5.0]
    assert stack[0, 1] == -1.0, "the vectors are left as they were"


def test_the_sum_is_one_form_of_ties_and_a_wrong_one_is_found(small):
    found = definitions.ties_sums(small, 0, keep=0.5, entries=500)
    assert claims.ties_adds(found).verdict == CORRECTED
    # A sum of two is twice the mean of two, and a sum of one the mean of one.
    assert found.at_few.tolist() == pytest.approx(found.few)
    assert found.at_many.tolist() == pytest.approx(found.many)
    assert (found.left > 0.05).all() and found.many.max() == 3

    def without_election(stack, keep):
        return merge.trim(stack, keep).sum(0)

    wrong = definitions.ties_sums(small, 0, keep=0.5, entries=500, added_up=without_election)
    assert claims.ties_adds(wrong).verdict == FAILS

    def disjoint_mean(stack, keep):
        return merge.disjoint_mean(merge.trim(stack, keep))

    other = definitions.ties_sums(small, 0, keep=0.5, entries=500, added_up=disjoint_mean)
    assert claims.ties_adds(other).verdict == FAILS and (other.left < 1e-9).all()


def test_accuracies_under_the_old_head(small, bench):
    found = definitions.head_accuracies(small, bench)
    assert list(found.task) == ["photos", "sketches"]
    assert claims.under_the_old_head(found).verdict == HOLDS
    z, head = bench.z(definitions.MERGED, "photos"), bench.head("photos")
    answers = [int((row @ head.weight.T + head.bias).argmax()) for row in z]
    right = [a == y for a, y in zip(answers, bench.y("photos").tolist())]
    assert found.merged[0] == pytest.approx(100 * sum(right) / 24)


def test_anchors_and_rules_that_are_others(small, bench):
    found = definitions.anchor_rules(small, bench, 0)
    broad = definitions.broad_classes(0, (1, 2), 400)
    assert claims.nearest_on_average(found, broad).verdict == HOLDS
    for rule in (alignment.prototype, alignment.vote):
        wrong = definitions.anchor_rules(small, bench, 0, rule=rule)
        assert claims.nearest_on_average(wrong, broad).verdict == FAILS


def test_broad_classes_lose_inputs_to_narrow_ones():
    found = definitions.broad_classes(0, (1, 2), 2000).set_index(["rule", "width"])
    eq5, plain = "mean distance (Eq. 5)", "prototype"
    assert abs(found.accuracy[eq5, 1] - found.accuracy[plain, 1]) < 3
    assert found.narrow[eq5, 2] > 80 > found.narrow[plain, 2] > 50
    assert found.accuracy[eq5, 2] < found.accuracy[plain, 2] - 10
