"""Statistics, merges, learner and losses, against hand-worked numbers and second ways."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from mergebook.ch3 import definitions, learning
from mergebook.claims import CORRECTED, FAILS, HOLDS, decider
from mergebook.page import OpenSuite
from mergehelpers import distil, merge, stats

# -------------------------------------------------------------------------------------- statistics


def test_a_wrong_singular_value_is_seen(pictures, monkeypatch):
    right = definitions.factored(pictures)
    assert right[["rebuilt", "squares", "helper"]].to_numpy().max() < 1e-12
    honest = stats.singular_values
    monkeypatch.setattr(stats, "singular_values", lambda w, r: 1.01 * honest(w, r))
    assert definitions.factored(pictures).helper.min() == pytest.approx(0.01)


def test_described_layers_have_their_moments_and_their_values(pictures):
    table = definitions.described(pictures, 3)
    layers = definitions.floats(pictures.experts["birds"])
    assert len(table) == 2 * len(layers)
    of = table[table.expert == "birds"].set_index("layer")
    for name, w in layers.items():
        assert of.entries[name] == w.numel()
        assert of["mean"][name] == pytest.approx(w.numpy().mean(), abs=1e-12)
        assert of.magnitude[name] == pytest.approx(np.linalg.norm(w.numpy().ravel()))
        assert of["values"][name] == (1 if w.ndim < 2 else min(len(w), w[0].numel()))
        assert of["values"][name] > 1 or of.s2[name] == 0


def test_a_model_has_as_many_statistics_as_counted_by_hand(pictures):
    table = definitions.task_vectors_of(pictures, 2)
    sides = [stats.as_matrix(w).shape for w in pictures.base.values()]
    assert set(table.concatenated) == {3 + sum(min(2, a) for a, _ in sides)}
    assert set(table.averaged) == {5} and table.error.max() < 1e-9
    assert decider("stats-eq2-taskwise-statistics")(table).verdict == CORRECTED


def test_spreads_by_hand():
    rows = [("a", "x", "v", 1.0), ("a", "y", "v", 3.0), ("a", "x", "w", 4.0), ("a", "y", "w", 4.0)]
    table = pd.DataFrame(rows, columns=["suite", "expert", "layer", "mean"])
    table = table.assign(variance=1.0, magnitude=table["mean"], s1=0.0)
    spread = definitions.relative_spreads(table).loc["mean"]
    assert spread["a, over experts"] == pytest.approx((math.sqrt(2) / 2 + 0) / 2)
    x, y = np.std([1, 4], ddof=1) / 2.5, np.std([3, 4], ddof=1) / 3.5
    assert spread["a, over layers"] == pytest.approx((x + y) / 2)


def test_the_operator_of_a_convolution_is_the_convolution():
    g = torch.Generator().manual_seed(0)
    kernel, image = torch.randn(2, 3, 3, 3, generator=g), torch.randn(3, 5, 5, generator=g)
    by_matrix = definitions.operator(kernel, 5, 2, 1) @ image.flatten()
    direct = F.conv2d(image[None], kernel, stride=2, padding=1).flatten()
    torch.testing.assert_close(by_matrix, direct)
    found = definitions.convolutions(0).set_index("kernel")
    assert found.operator["patches"] == pytest.approx(found.flattened["patches"])
    assert found.operator["3 x 3"] > 1.2 * found.flattened["3 x 3"]
    # At most as large as by adding the shifts of all places of the kernel.
    assert found.operator["3 x 3"] <= 3 * found.flattened["3 x 3"]


# ------------------------------------------------------------------------------------------ energy


def test_shares_by_hand_and_by_a_decomposition():
    squares, sums, needed = definitions.shares(torch.diag(torch.tensor([1.0, 3.0, 2.0, 1.0])))
    assert (squares, sums, needed) == (pytest.approx(14 / 15), pytest.approx(6 / 7), 4)
    assert definitions.shares(torch.ones(7)) == (1.0, 1.0, 1)
    w = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = torch.linalg.svdvals(w.flatten(1))
    assert definitions.shares(w, 2)[0] == pytest.approx(float((s[:2] ** 2).sum() / (s**2).sum()))
    assert definitions.shares(w, 2)[1] == pytest.approx(float(s[:2].sum() / s.sum()))
    assert definitions.shares(w, 2)[0] == pytest.approx(stats.energy(w, 2))


def test_random_matrices_hold_what_theory_says():
    found = definitions.random_shares(0)
    matrices = found[found["values"] > 1]
    for (a, b), share in zip(definitions.VIT_BLOCK, matrices.squares):
        assert share == pytest.approx(3 * (math.sqrt(a) + math.sqrt(b)) ** 2 / (a * b), rel=0.05)
    assert len(found) == 12 and (found[found["values"] == 1].squares == 1).all()


def test_what_did_not_move_has_no_energy_and_two_tasks_have_two_values(pictures):
    moved = dict(pictures.experts)
    name = next(n for n, w in pictures.base.items() if w.ndim == 2)
    moved["birds"] = moved["birds"] | {name: pictures.base[name]}
    still = {k: v | {name: pictures.base[name]} for k, v in moved.items()}
    for experts, count in ((moved, 1), (still, 0)):
        suite = replace(pictures.suite, experts=experts)
        found = definitions.energy_shares(OpenSuite(suite, "cpu")).set_index(["of", "layer"])
        assert [(of, name) in found.index for of in ("weights", "task vectors")] == [True, count]
    found = definitions.energy_shares(pictures)
    assert set(found[found.of == "tasks by entries"]["values"]) == {2}
    one = found[found.of == "weights"].set_index("layer").squares[name]
    pair = [stats.energy(e[name], 3) for e in pictures.experts.values()]
    assert one == pytest.approx(np.mean(pair), rel=1e-6)


def test_the_table_of_energies_by_hand():
    rows = [("a", "weights", "m", 9, s, s / 2, 5.0) for s in (0.96, 0.5, 0.95)]
    rows.append(("a", "weights", "v", 1, 1.0, 1.0, 1.0))
    table = definitions.energy_table(pd.DataFrame(rows, columns=definitions.ENERGY))
    assert table.layers.tolist() == [3, 4] and table["above 95 %"].tolist() == [1, 2]
    assert table.share[0] == 0.95 and table["of the sum"][0] == pytest.approx(0.475)


# --------------------------------------------------------------------------------------- the merge


def test_two_forms_of_a_merge_differ_by_the_base(pictures):
    table = learning.forms(pictures, 0, 4).set_index("coefficients")
    assert table.difference[["equal", "random, sum 1"]].max() < 1e-6
    experts = list(pictures.experts.values())
    models = learning.sum_of_models(experts, torch.tensor([0.3, 0.3]))
    largest = max(float(w.abs().max()) for w in models.values())
    by_hand = 0.4 * max(float(w.abs().max()) for w in pictures.base.values()) / largest
    assert table.difference["0.3 each"] == pytest.approx(by_hand, rel=1e-4)
    assert table["task vectors"]["equal"] == table.models["equal"]
    assert decider("stats-task-level-merge")(table.reset_index()).verdict == HOLDS


def test_a_merge_by_layer_takes_each_layers_own_coefficient(pictures, monkeypatch):
    assert learning.forms_by_layer(pictures, 0).difference.max() < 1e-6
    honest = merge.combine
    monkeypatch.setattr(merge, "combine", lambda b, s, c: honest(b, s, c.flip(-1)))
    assert learning.forms_by_layer(pictures, 0).difference[1] > 1e-3


def test_shapes_are_counted(pictures):
    table = learning.layer_shapes(pictures)
    assert table.layers.sum() == len(pictures.base)
    assert len(table) == len({tuple(w.shape) for w in pictures.base.values()})


# ------------------------------------------------------------------------------------- the learner


def test_one_network_for_all_knows_no_order_and_one_a_layer_does(pictures):
    table = learning.learners(pictures, 2, 0)
    outcome = decider("stats-eq4-taskwise-learner")(table)
    assert outcome.verdict == CORRECTED and outcome.values["other"] > 0.1
    named = {"one for all": "x", "one a layer, reads all experts": "one for all", "x": table}
    swapped = table.assign(learner=table.learner.map(named)).replace(
        "x", "one a layer, reads all experts"
    )
    assert decider("stats-eq4-taskwise-learner")(swapped).verdict == FAILS


# -------------------------------------------------------------------------------------- the losses


def test_lessons_need_labels(pictures):
    inputs, labels = learning.lessons(pictures, 3)
    assert {len(x) for x in inputs.values()} == {len(y) for y in labels.values()} == {3}
    task = pictures.suite.task("pets")
    hidden = task.labels | {"unlabelled": torch.full((4,), -1)}
    tasks = pictures.suite.tasks | {"pets": replace(task, labels=hidden)}
    blind = OpenSuite(replace(pictures.suite, tasks=tasks), "cpu")
    with pytest.raises(ValueError, match="pets of tiny needs labels"):
        learning.lessons(blind, 3)


def test_pseudo_labels_decide_and_another_loss_does_not_pass(pictures, monkeypatch):
    table = learning.pseudo_labels(pictures, 4)
    assert len(table) == 8 and set(table.right) == {True, False}
    answers = pictures.logits(pictures.experts["birds"], "birds", "unlabelled", 4).argmax(1)
    right = answers == pictures.labels("birds", "unlabelled", 4)
    assert table[table.task == "birds"].right.tolist() == right.tolist()
    z = pictures.logits(pictures.average, "birds", "unlabelled", 4)
    by_hand = -z.log_softmax(1)[torch.arange(4), answers]
    assert table[table.task == "birds"].hard.tolist() == pytest.approx(by_hand.tolist(), rel=1e-5)
    names = ("stats-eq7-eq33-pseudo-label-loss", "stats-eq32-soft-label-kl")
    assert [decider(n)(table).verdict for n in names] == [HOLDS, HOLDS]
    monkeypatch.setattr(distil, "hard", distil.oracle)
    monkeypatch.setattr(distil, "soft", distil.entropy)
    other = learning.pseudo_labels(pictures, 4)
    assert [decider(n)(other).verdict for n in names] == [FAILS, FAILS]
    assert learning.rightly(table) == {"tiny": 100 * table.right.mean()}


def test_the_loss_over_all_classes_by_hand(pictures):
    inputs, labels = learning.lessons(pictures, 3)
    scores = learning.union_logits(pictures, pictures.base, inputs)
    assert scores.shape == (6, 5)
    embedded = pictures.backbone.embed(pictures.base, inputs["birds"])
    parts = [pictures.head_logits(t, embedded, pictures.base) for t in ("pets", "birds")]
    torch.testing.assert_close(scores[3:], torch.cat(parts, 1))
    table = learning.supervised_losses(pictures, 3)
    lam = torch.full((2, 1), 0.3)
    stacks = merge.vectors_stacked(pictures.base, list(pictures.experts.values()))
    at = learning.union_logits(pictures, merge.combine(pictures.base, stacks, lam), inputs)
    truth = torch.cat([labels["pets"], labels["birds"] + 2])
    by_hand = F.cross_entropy(at, truth).item()
    assert table[table.over == "all classes"].value.iloc[0] == pytest.approx(by_hand, rel=1e-5)
    assert table[table.over == "own classes"].value.iloc[0] < by_hand
    assert decider("stats-eq6-supervised-loss")(table).verdict == HOLDS
    assert (table.others == 0).all() and len(table) == 4


def test_the_length_of_a_divergences_gradient_by_its_formula():
    table = learning.distillation_losses(0).set_index(["order", "T"])
    g = torch.Generator().manual_seed(0)
    z, teacher = (c * torch.randn(20, 5, generator=g, dtype=torch.float64) for c in (1, 2))
    for T in (1.0, 16.0):
        p, q = (teacher / T).softmax(1), (z / T).softmax(1)
        forward = ((q - p) / (20 * T)).norm()
        log = (q / p).log()
        backward = (q * (log - (q * log).sum(1, keepdim=True)) / (20 * T)).norm()
        for order, length in zip(learning.ORDERS, (forward, backward)):
            assert table.without[order, T] == pytest.approx(float(length))
            assert table.length[order, T] == pytest.approx(T**2 * float(length))
    assert table.mixture.max() < 1e-9


def test_another_weight_is_another_mixture(monkeypatch):
    honest = distil.student_loss
    monkeypatch.setattr(distil, "student_loss", lambda z, t, y, a, T: honest(z, t, y, 1 - a, T))
    assert learning.distillation_losses(0).mixture.max() > 0.1
