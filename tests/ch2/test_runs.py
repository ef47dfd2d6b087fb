"""The experiments of Chapter 2, against hand-worked numbers and second implementations."""

import math

import pytest
import torch
from peft.utils import merge_utils as peft

from mergebook import ledger
from mergebook.ch2 import costs, dropping, printed, rules, toolkits
from mergehelpers import merge, states

# --------------------------------------------------------------------------------- printed tables


def test_the_mean_of_a_row_leaves_its_label_out():
    """Sample sizes are numbers too, and are no cells."""
    means = printed.row_means(ledger.printed("mloss_table2"))
    assert means.off.max() < 6e-4 and means["mean"][0] == pytest.approx(73.2316, abs=1e-4)


def test_leads_and_spreads_by_hand():
    table1 = ledger.printed("mloss_table1")
    leads = printed.leads(table1)
    assert leads.loc[("ViT-B/32", "TIES"), "SVHN"] == pytest.approx(83.06 - 86.20)
    assert leads.shape == (10, 8)
    values = [72.60, 61.07, 97.62, 54.84, 82.02, 72.44, 62.19, 83.06]
    mean = sum(values) / 8
    by_hand = sum((v - mean) ** 2 for v in values) / 8
    assert printed.spreads(table1).loc["M-TIES", "ViT-B/32"] == pytest.approx(by_hand)


def test_a_baseline_of_another_paper_is_counted_cell_by_cell():
    table1 = ledger.printed("mloss_table1")
    same = table1[table1.Backbone == "ViT-B/32"].drop(columns="Backbone")
    theirs = same.replace(
        {"Method": dict(zip(("Simple Avg.", "TIES"), ("Weight Averaging", "Ties")))}
    )
    other = theirs.replace({"Method": {"Ties": "TIES-Merging"}})
    assert printed.baselines(table1, other, theirs).cells.tolist() == [0] * 6
    theirs.loc[theirs.Method == "Ties", "Cars"] += 0.51
    theirs.loc[theirs.Method == "Ties", "DTD"] -= 0.49
    assert printed.baselines(table1, other, theirs).cells.tolist() == [0, 0, 0, 0, 0, 1]


# ------------------------------------------------------------------------------------------- rules


def test_two_ways_agree_and_another_factor_does_not(pictures):
    assert (rules.identities(pictures).error < 1e-6).all()
    experts = list(pictures.experts.values())
    wrong = merge.task_arithmetic(pictures.base, experts, 1.0)
    assert rules.apart(wrong, pictures.average) > 1e-3


def test_ties_by_hand():
    """Each keeps two of four. Of the third weight the signs cancel, of the first two models win."""
    rows = [[4.0, 1.0, 3.0, 0.0], [2.0, -1.0, -3.0, 0.5], [-5.0, 2.0, 0.1, 0.1]]
    assert rules.plain_ties(rows, 0.5) == [3.0, 2.0, 0.0, 0.0]
    assert (rules.second_opinion(1, stacks=3).error == 0).all()


def test_learnt_coefficients_lower_the_entropy(pictures):
    alpha, merges, passes = rules.learn(pictures, 12)
    assert (merges, passes) == (12, 24)

    def entropy(weights):
        state, total = rules.added(pictures, weights), 0.0
        for task in pictures.tasks:
            raw = pictures.suite.task(task).inputs["unlabelled"][:16]
            z = pictures.logits(state, task, "unlabelled", 16).log_softmax(-1)
            assert len(z) == len(raw)
            total -= (z.exp() * z).sum(-1).mean().item()
        return total

    assert entropy(alpha) < entropy([0.3, 0.3])
    assert all(value.requires_grad is False for value in pictures.base.values())


def test_the_two_forms_differ_by_the_base_times_the_sum_minus_one(pictures):
    weights = [0.7, 0.9]
    added, summed = rules.added(pictures, weights), rules.summed(pictures, weights)
    for name, base in pictures.base.items():
        if base.is_floating_point():
            torch.testing.assert_close(summed[name], added[name] + 0.6 * base, rtol=1e-4, atol=1e-5)


def test_an_ensemble_of_one_costs_what_one_costs():
    (row,) = rules.ensemble_costs(["ViT-B-32"], q=1).to_dict("records")
    assert row["storage"] == row["compute"] == 1
    assert row["millions"] == pytest.approx(87.85, abs=0.01)  # of OpenAI's visual tower


# ---------------------------------------------------------------------------------------- dropping


def test_moments_are_those_of_a_bernoulli_variable():
    for row in dropping.moments(0, draws=20_000).itertuples():
        assert row.mean == pytest.approx(1, abs=6 * math.sqrt((1 - row.k) / row.k / 20_000))


def test_task_vectors_are_scaled_to_one_length(monkeypatch):
    start = {"w": torch.tensor([[3.0, 4.0], [6.0, 8.0]])}
    assert dropping.lengths(start).tolist() == [5, 10]


def test_what_is_dropped_harms_more_the_more_is_dropped():
    rows = dropping.harmed(dropping.Width(0, 16))
    assert [row["dropped"] for row in rows] == list(dropping.DROPS)
    assert len({row["whole"] for row in rows}) == 1
    harm = [row["whole"] - row["dare"] for row in rows]
    assert harm == sorted(harm) and harm[-1] > 10
    assert rows == dropping.harmed(dropping.Width(0, 16))


# ---------------------------------------------------------------------------------------- toolkits


def crowd(r):
    return [states.task_vector(r.base, e) for e in r.experts.values()]


def test_the_formula_of_weights_after_the_vote_is_that_of_peft(pictures):
    """It rounds the number of entries down, so that a density half an entry larger gives ours."""
    vectors, q = crowd(pictures), len(pictures.experts)
    weights = torch.tensor([4.0] + [1.0] * (q - 1))
    for name, value in vectors[0].items():
        stack = torch.stack([v[name] for v in vectors]).double()
        kept = merge.count_kept(toolkits.KEEP, value.numel())
        theirs = peft.ties(list(stack), weights.double(), (kept + 0.5) / value.numel())
        ours = toolkits.vote_then_weigh(stack.flatten(1), weights.double().unsqueeze(1))
        torch.testing.assert_close(ours.view_as(theirs), theirs, rtol=0, atol=1e-12)


def test_the_formula_of_weights_before_the_vote_does_not_follow_their_size():
    stack = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([[4.0], [1.0], [1.0]], dtype=torch.float64)
    one = toolkits.weigh_then_vote(stack, weights)
    torch.testing.assert_close(one, toolkits.weigh_then_vote(stack, weights / 2))
    half = toolkits.vote_then_weigh(stack, weights / 2)
    torch.testing.assert_close(half, toolkits.vote_then_weigh(stack, weights) / 2)


def test_the_old_norm_comes_back_before_the_vote():
    stack = torch.randn(1, 5000, generator=torch.Generator().manual_seed(1))
    assert toolkits.old_norm(stack).abs().sum() == pytest.approx(stack.abs().sum().item(), rel=1e-4)


def test_the_whole_sum_is_ties_without_the_division(pictures):
    """Where one model alone agrees, the sum is the mean; elsewhere it is larger."""
    found = toolkits.whole_sum(pictures, 1.0)
    experts = list(pictures.experts.values())
    ties = merge.ties(pictures.base, experts, toolkits.KEEP, 1.0)
    ratios = torch.cat(
        [
            ((found[n] - v) / (ties[n] - v))[(ties[n] - v).abs() > 1e-3].flatten()
            for n, v in pictures.base.items()
            if v.is_floating_point()
        ]
    )
    near = ((ratios - 1).abs() < 1e-2) | ((ratios - 2).abs() < 1e-2)
    assert near.all() and 0 < ((ratios - 2).abs() < 1e-2).double().mean() < 1


@pytest.mark.parametrize("name", toolkits.TOOLKITS)
def test_every_toolkit_makes_a_model(pictures, name):
    made = toolkits.TOOLKITS[name](pictures)
    states.check_compatible([pictures.base, made])


def test_accuracies_are_compared_with_the_first():
    rows = [
        {"toolkit": "a", "right": ["4:f0", "4:c0"]},
        {"toolkit": "b", "right": ["4:80", "4:80"]},
    ]
    found = toolkits.accuracies(__import__("pandas").DataFrame(rows))
    assert found.accuracy.tolist() == ["75.0", "25.0"] and found["minus the first"]["a"] == ""
    assert found["minus the first"]["b"].startswith("-50.0 [")


# ------------------------------------------------------------------------------------------- costs


def test_layers_are_counted_as_by_formula(pictures):
    inputs = pictures.unlabelled(2)
    table = costs.passes(pictures, inputs)
    assert (table.counted == table.formula).all()
    assert table.counted.tolist() == [2 + 3, 1 + 4, 2 + 4, 4]  # two layers, two experts


def test_a_hook_that_counts_is_taken_off(pictures):
    ran = costs.count_layers(pictures, lambda: pictures.embeddings(pictures.base, "pets", limit=2))
    assert ran == 2
    layer = pictures.backbone.module.get_submodule(pictures.backbone.sites()[0])
    assert not layer._forward_hooks


def test_multiply_adds_are_those_of_the_architecture():
    """Counted on open_clip's tower, but for the patches, the projection and the head."""
    rows = costs.multiply_adds().to_dict("records")
    counted = dict(zip(("ViT-B/32", "ViT-L/14"), rules.ensemble_costs().giga_macs))
    sizes = {"RESISC45": 6300, "Cars": 8041, "MNIST": 10_000, "DTD": 1880, "EuroSAT": 2700}
    sizes |= {"GTSRB": 12_630, "SUN397": 19_850, "SVHN": 26_032}
    for row in rows:
        assert row["test"] == pytest.approx(sum(sizes.values()) * counted[row["tower"]], rel=0.03)
    block, layer = 12 * 50 * 768**2 + 2 * 50**2 * 768, 4 * 50 * 768**2
    assert rows[0]["few"] == pytest.approx(128 * (10 * block + 4 * 8 * layer) / 1e9)
    assert rows[1]["all"] == pytest.approx(128 * (11 * block + 12 * 8 * layer) / 1e9)


def test_the_paper_s_form_starts_at_the_average(pictures):
    alpha, *_ = rules.learn(pictures, 1, raw=True)
    assert alpha.tolist() == pytest.approx([0.5, 0.5], abs=0.021)  # one step of Adam


def test_ties_in_one_array_is_ties(pictures):
    experts = list(pictures.experts.values())
    ties = merge.ties(pictures.base, experts, 0.8, 1.0)
    moved = torch.cat([(ties[n] - v).flatten() for n, v in pictures.base.items()])
    torch.testing.assert_close(
        costs.in_one_array(pictures.base, experts, 0.8), moved, rtol=1e-4, atol=1e-5
    )


def test_seconds_are_of_every_contender(pictures):
    table = costs.seconds(pictures, pictures.unlabelled(2), times=1)
    assert {costs.ARRAY, costs.SLABS, costs.M_TIES} < set(table.name) and (table.seconds > 0).all()


def test_the_stored_table_of_a_card_is_read_row_by_row():
    table = costs.on_a_card()
    assert set(table.tower) == {"ViT-B-32", "ViT-L-14"}
    for tower, part in table.groupby("tower"):
        assert {costs.ARRAY, costs.SLABS, costs.TENSORS, costs.M_TIES} < set(part.name), tower
        assert part.name.is_unique and part.seconds.between(0.01, 60).all()
        assert part.seconds.between(part.low, part.high).all()


def test_the_printed_times_are_those_of_the_ratio():
    spent = costs.printed_seconds()
    assert (spent.m_ties / spent.ties == 3).all() and (spent.evaluation > spent.m_ties).all()
