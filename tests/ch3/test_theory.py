"""The theory's experiments: hand-worked cases, automatic derivatives, other ways to the same."""

import itertools
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize
from scipy import stats as statistics

from mergebook.ch3 import coefficients, expansion, fisher, standins, toys
from mergebook.claims import CORRECTED, FAILS, HOLDS, decider

DOUBLE = {"dtype": torch.float64}


@pytest.fixture(scope="module")
def few():
    kinds = itertools.product(toys.NETS, toys.REACH)
    return [toy for kind, reach in kinds for toy in toys.toy_family(kind, reach, 1, 2)]


@pytest.fixture(autouse=True)
def small(monkeypatch, few):
    """The experiments on two toys of each kind."""
    for module in (expansion, coefficients):
        monkeypatch.setattr(module, "toys", lambda seed: few, raising=False)
        monkeypatch.setattr(module, "far", lambda seed: [t for t in few if t.reach == "far"])


# --------------------------------------------------------------------------------- the laboratory


def two_class(theta, x):
    """Scores (theta, 0) for every input."""
    return torch.stack([theta.expand(len(x)), torch.zeros(len(x), **DOUBLE)], dim=1)


def test_scores_slope_and_fisher_of_one_weight_by_hand():
    theta, x = torch.tensor([math.log(3.0)], **DOUBLE), torch.zeros(1, 1, **DOUBLE)
    p = 0.75
    scores = toys.scores_of(lambda t, rows: two_class(t[0], rows), theta, x)
    assert scores.flatten().tolist() == pytest.approx([1 - p, -p])
    law = torch.tensor([[0.5, 0.5]], **DOUBLE)
    assert toys.slope_of(scores, law).item() == pytest.approx(p - 0.5)
    by_hand = 0.5 * (1 - p) ** 2 + 0.5 * p**2
    assert toys.fisher_of(scores, law).item() == pytest.approx(by_hand)
    own = torch.tensor([[p, 1 - p]], **DOUBLE)
    assert toys.fisher_of(scores, own).item() == pytest.approx(p * (1 - p))


def test_a_network_in_words_of_torch():
    theta = torch.randn(toys.SIZES["network"], generator=torch.Generator().manual_seed(0), **DOUBLE)
    x = torch.randn(3, toys.INPUTS, generator=torch.Generator().manual_seed(1), **DOUBLE)
    first = torch.nn.Linear(toys.INPUTS, toys.HIDDEN).double()
    second = torch.nn.Linear(toys.HIDDEN, toys.CLASSES).double()
    parts = theta[:60].view(12, 5), theta[60:].view(4, 13)
    for layer, w in zip((first, second), parts):
        layer.load_state_dict({"weight": w[:, :-1], "bias": w[:, -1]})
    torch.testing.assert_close(toys.two_layer(theta, x), second(torch.tanh(first(x))))


def test_toys_have_what_they_promise(few):
    for toy in few:
        assert toy.x.shape == (180, 4) and toy.experts.shape[0] == toys.TASKS
        for law in (toy.truth, toy.soft, toy.hard):
            assert torch.allclose(law.sum(1), torch.ones(180, **DOUBLE))
        assert (toy.hard.sum(1) == toy.hard.max(1).values).all()
        assert toy.loss(toy.experts[1], toy.truth) > 0
        own = [toys.law_of(toy.net, toy.own[k], toy.x.split(60)[k]) for k in range(3)]
        torch.testing.assert_close(torch.cat(own), toy.truth)
        part, law = toy.x[:60], toy.truth[:60]
        at = partial(toys.loss_of, toy.net, x=part, law=law)
        assert at(toy.experts[0]) < at(toy.base)
    spread = {(t.kind, t.reach): float((t.own - t.own.mean(0)).norm()) for t in few}
    assert all(spread[k, "far"] > 0 for k in toys.NETS)
    again = toys.toy_family("network", "far", 1, 2)
    assert torch.equal(again[0].base, [t for t in few if t.kind == "network"][2].base)


def test_a_joint_optimum_is_stationary_and_better_than_the_average(few):
    for toy in few:
        slope = torch.func.grad(partial(toy.loss, law=toy.soft))(toy.joint)
        assert slope.norm() < (1e-6 if toy.kind != "network" else 0.05)
        assert toy.loss(toy.joint, toy.soft) < toy.loss(toy.average, toy.soft)


def test_a_hessian_by_differences_of_slopes(few):
    toy, small = few[-1], 1e-5
    H = toy.hessian(toy.base, toy.hard)
    for k in (0, 59, 111):
        move = small * torch.eye(len(toy.base), **DOUBLE)[k]
        ends = [toys.slope_of(toy.scores_at(toy.base + s * move), toy.hard) for s in (1, -1)]
        torch.testing.assert_close(H[k], (ends[0] - ends[1]) / (2 * small), rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------------------------- the expansion


def test_slopes_agree_and_a_wrong_one_does_not(few, monkeypatch):
    table = expansion.slopes(0)
    assert len(table) == len(few) and table[["parts", "automatic"]].to_numpy().max() < 1e-12
    assert decider("stats-eq12-gradient")(table).verdict == HOLDS
    monkeypatch.setattr(expansion, "slope_of", lambda s, law: -toys.slope_of(s, law))
    assert decider("stats-eq12-gradient")(expansion.slopes(0)).verdict == FAILS


def test_the_free_minimum_is_the_teacher():
    table = expansion.free_minima(0)
    assert len(table) == 2 and table.gap.max() < 1e-5
    assert (table.repeated == table.wrong).all()


def test_fisher_matrices_of_a_law_are_sums_over_labels(few):
    table = expansion.fishers(0)
    toy = next(t for t in few if t.reach == "far")
    by_labels = {
        name: sum(
            law[:, y, None, None] * toy.scores[:, y, :, None] * toy.scores[:, y, None, :]
            for y in range(4)
        ).mean(0)
        for name, law in (("p*", toy.truth), ("own", toy.law(toy.base)))
    }
    gap = (by_labels["p*"] - by_labels["own"]).norm() / by_labels["own"].norm()
    found = table[(table.toy == toy.number) & (table.kind == toy.kind) & (table["at"] == "base")]
    assert found.set_index("drawn").apart["p*"] == pytest.approx(100 * float(gap))
    assert table[table["at"] == "p = p*"].apart.max() < 1e-8
    assert decider("stats-eq13-pl-fisher")(table).verdict == CORRECTED
    assert decider("stats-eq21-eq22-true-fisher")(expansion.true_matrices(0)).verdict == HOLDS


def test_the_standard_matrix_is_the_hessian_of_a_linear_model_for_every_law():
    table = expansion.hessians(0)
    linear = table[(table.kind == "softmax regression") & (table.drawn == "model")]
    assert linear.apart.max() < 1e-8 and len(linear) == 12
    assert table[table["at"] == "own task"].apart.max() < 1e-8
    curved = table[(table.kind == "network") & (table.drawn == "model") & (table["at"] == "base")]
    assert curved.apart.min() > 1


def test_taylor_with_all_its_terms_is_nearest(few):
    table = expansion.expansions(0)
    base = table[table["at"] == "base"]
    columns = [c for c in table if c.startswith("error")]
    medians = base[columns].median()
    assert medians["error, Hessian, slope"] < medians["error, Hessian"] < 100
    toy, row = few[0], base.iloc[0]
    v, start = toy.experts[0] - toy.base, toy.loss(toy.base, toy.soft)
    true = toy.loss(toy.experts[0], toy.soft)
    slope = torch.func.grad(partial(toy.loss, law=toy.soft))(toy.base)
    bend = (toy.scores @ v).square()
    printed = start + (toy.soft * bend).sum(1).mean() / 2
    assert row["error, Eq. 16"] == pytest.approx(100 * float((printed - true).abs() / true))
    assert row["slope"] == pytest.approx(float(slope.norm()))
    assert row.improves == (true < start)
    joint = table[table["at"] == "joint"]
    assert joint["slope over bend"].max() < 0.2 and not joint.improves.any()
    assert expansion.scene(0).shape == (4, 5)


def test_figures_follow_the_loss(few):
    curves = expansion.along(0)
    start = curves[curves.way == 0].groupby("curve").loss.first()
    assert np.ptp(start) < 1e-12
    eq16 = curves[curves.curve == "Eq. 16"]
    assert (eq16.groupby("expert").loss.diff().dropna() >= 0).all()
    rings = expansion.ellipses(0)
    assert set(rings["at"]) == {"base", "joint"} and rings.matrix.nunique() == 4


# ------------------------------------------------------------------------------- the coefficients


def quadratic(A, b, c):
    return b @ c + c @ A @ c / 2


def test_the_programme_against_a_general_solver():
    g = torch.Generator().manual_seed(0)
    for K in (2, 3, 4):
        root, b = torch.randn(K, K, generator=g, **DOUBLE), torch.randn(K, generator=g, **DOUBLE)
        A = root @ root.T + 0.1 * torch.eye(K, **DOUBLE)
        found = coefficients.programme(A, b)
        best = optimize.minimize(
            partial(quadratic, A.numpy(), b.numpy()),
            np.full(K, 1 / K),
            bounds=[(0, 1)] * K,
            constraints={"type": "eq", "fun": lambda c: c.sum() - 1},
            options={"ftol": 1e-14},
        )
        assert found.tolist() == pytest.approx(best.x.tolist(), abs=1e-5)


def test_programmes_by_hand():
    lengths = torch.tensor([1.0, 2.0, 4.0], **DOUBLE)
    expected = [4 / 7, 2 / 7, 1 / 7]  # orthogonal: in proportion to 1 / A_kk
    assert coefficients.programme(lengths.diag()).tolist() == pytest.approx(expected)
    overlap = lengths.diag() + 0.5 * (1 - torch.eye(3, **DOUBLE))
    shares = 1 / (lengths - 0.5)
    assert coefficients.programme(overlap).tolist() == pytest.approx(
        (shares / shares.sum()).tolist()
    )
    assert coefficients.one_weight().loc["Eq. 20"].tolist() == pytest.approx([1, 0])
    assert coefficients.one_weight().loc["slope"].tolist() == pytest.approx([0.5, 0.5])


def test_the_grid_and_the_tangent_space():
    grid = coefficients.simplex(4)
    assert len(grid) == 15 and torch.allclose(grid.sum(1), torch.ones(15, **DOUBLE))
    A = torch.diag(torch.tensor([1.0, 1.0, 5.0], **DOUBLE))
    assert coefficients.tangent_floor(A).item() == pytest.approx(1)
    pair = torch.tensor([[2.0, 1.0], [1.0, 3.0]], **DOUBLE)
    assert coefficients.tangent_floor(pair).item() == pytest.approx((2 + 3 - 2) / 2)
    M = torch.tensor([[0.0, 3.0], [1.0, 0.0]], **DOUBLE)
    assert coefficients.spectral(M).item() == pytest.approx(3)


def test_merges_are_p_lambda_on_the_simplex_alone(monkeypatch):
    table = coefficients.merge_differences(0)
    assert table[table.on].left.max() < 1e-12 < 0.1 < table[~table.on].left.min()
    assert table[~table.on].extra.max() < 1e-12


def test_the_small_matrix_by_products_and_a_wrong_fisher(monkeypatch):
    assert coefficients.products(0).error.max() < 1e-10
    monkeypatch.setattr(coefficients, "fisher_of", lambda s, law: toys.fisher_of(s, law.flip(1)))
    assert decider("stats-eq19-quadratic-in-lambda")(coefficients.products(0)).verdict == FAILS


def test_regrets_are_shares_of_the_range(few):
    table = coefficients.regrets(0)
    assert table[list(coefficients.WAYS)].to_numpy().min() > -1
    toy = few[0]
    losses = coefficients.true_losses(toy, toy.soft)
    direct = torch.stack([toy.loss(c @ toy.experts, toy.soft) for c in coefficients.simplex()])
    torch.testing.assert_close(losses, direct)
    average = (toy.loss(toy.average, toy.soft) - direct.min()) / (direct.max() - direct.min())
    first = table[(table.labels == "soft") & (table["at"] == "base")].iloc[0]
    assert first.equal == pytest.approx(100 * float(average))
    at_average = table[table["at"] == "average"]
    assert (at_average["Eq. 20"] - at_average["equal"]).abs().max() < 1e-4
    grid, lowest = coefficients.landscape(0)
    assert len(grid) == 3 * len(coefficients.simplex()) and lowest.shape == (3, 3)
    assert lowest.sum(axis=1).tolist() == pytest.approx([1, 1, 1])


def test_a_blurred_teacher_is_as_far_as_it_says():
    g = torch.Generator().manual_seed(0)
    truth = torch.rand(50, 4, generator=g, **DOUBLE)
    truth = truth / truth.sum(1, keepdim=True)
    for eps in (1e-4, 0.1):
        law = coefficients.noisy_teacher(truth, eps, g)
        apart = coefficients.variation(law, truth)
        assert apart.tolist() == pytest.approx([eps] * 50) and law.min() >= 0
    assert coefficients.variation(truth, truth[:, [1, 0, 2, 3]])[0].item() == pytest.approx(
        float((truth[0, 0] - truth[0, 1]).abs())
    )


def test_bounds_hold_and_smaller_ones_do_not():
    table, twins = coefficients.random_teachers(0), coefficients.twins(0)
    for name in ("stats-eq25-quadratic-matrix-perturbation",):
        assert decider(name)(table).verdict == HOLDS
    own = coefficients.own_teachers(0)
    assert decider("stats-eq23-eq24-fisher-perturbation")(table, own).verdict == HOLDS
    decide = decider("stats-eq26-lambda-perturbation")
    assert decide(table, twins).verdict == HOLDS
    assert decide(table.assign(**{"by eps": table["by eps"] / 1e6}), twins).verdict == FAILS
    assert table.repaired.max() <= 1 and (table["by norm"] <= table["by eps"] * 1.001).all()
    assert (table["mean TV"] <= table.eps * (1 + 1e-9)).all()
    near, wide = (twins[twins.delta == d].mu.median() for d in (twins.delta.min(), 1.0))
    assert wide / near == pytest.approx(1e8, rel=0.01)  # mu falls with the square of delta


def test_the_spectral_constant_cannot_be_smaller():
    """One weight, scores 1 - p and -p: the ratio tends to 1 as p does."""
    p, eps = 0.999, 1e-3
    scores = torch.tensor([[[1 - p], [-p]]], **DOUBLE)
    laws = torch.tensor([[0.5, 0.5]], **DOUBLE), torch.tensor([[0.5 - eps, 0.5 + eps]], **DOUBLE)
    change = toys.fisher_of(scores, laws[1]) - toys.fisher_of(scores, laws[0])
    assert change.item() / (eps * p**2) == pytest.approx(1, abs=1e-3)


# ------------------------------------------------------------------------------------ stand-ins


def test_shuffled_entries_keep_their_moments(pictures):
    table = standins.shuffles(pictures, 0, 4)
    assert table.moments.max() < 1e-5 and table.shuffled.iloc[0] == "none"
    assert (table.top[1:] != 1).all() and table.matrices.iloc[-1] == table.matrices[1:-1].sum()
    g = torch.Generator().manual_seed(0)
    state = {"w": torch.arange(6.0).view(2, 3), "v": torch.arange(4.0)}
    mixed = standins.with_shuffled(state, ["w"], g)
    assert sorted(mixed["w"].flatten().tolist()) == [0, 1, 2, 3, 4, 5]
    assert torch.equal(mixed["v"], state["v"]) and not torch.equal(mixed["w"], state["w"])


def test_second_moments_of_every_layer(pictures):
    table = standins.second_moments(pictures)
    assert len(table) == 3 * len(pictures.base) and table.error.max() < 1e-10


def test_random_signs_have_the_fisher_matrix_as_their_second_moment(few):
    toy = few[-1]
    x = toy.x[:2]
    jacobian = torch.func.jacrev(lambda t: toy.net(t, x))(toy.base)
    p = toys.law_of(toy.net, toy.base, x)
    patterns = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=8)), **DOUBLE).view(-1, 2, 4)
    found = [torch.einsum("xy,xyi->i", fisher.signed(p, v), jacobian) for v in patterns]
    second = torch.stack(found).T @ torch.stack(found) / (2 * len(found))
    torch.testing.assert_close(second, toys.fisher_of(toy.scores[:2], p))


def test_fisher_traces_of_a_suite_against_all_labels(pictures):
    """The mean over many signs is the sum over labels of the squared gradient of log p."""
    task, name = "birds", next(n for n, w in pictures.base.items() if w.ndim == 2)
    state, (one, _) = pictures.experts[task], fisher.halves(pictures, task, 1)
    w = state[name].clone().requires_grad_()
    made = state | {name: w}
    embedded = pictures.backbone.encode(made, pictures.backbone.prepare(one))
    log = pictures.suite.logits(task, embedded, made).log_softmax(1)[0]
    squares = [
        torch.autograd.grad(log[y], w, retain_graph=True)[0].square().sum() for y in range(len(log))
    ]
    exact = (log.detach().exp() * torch.stack(squares)).sum().item()
    g = torch.Generator().manual_seed(0)
    many = [fisher.fisher_gradients(pictures, state, task, one, g)[0] for _ in range(200)]
    assert fisher.layer_traces(many, [name])[0] == pytest.approx(exact, rel=0.2)


def made_up(experts=12, layers=20, seed=0, noise=0.3):
    """Traces that follow the variance from expert to expert, and the size from layer to layer."""
    rng = np.random.default_rng(seed)
    rows = []
    size = 2.0 ** np.arange(layers)
    for e, k in itertools.product(range(experts), range(layers)):
        own = rng.normal()
        first, second = (size[k] * np.exp(own + noise * rng.normal()) for _ in range(2))
        row = {"expert": f"e{e}", "layer": f"l{k}", "first": first, "second": second}
        row |= {n: rng.normal() for n in fisher.NAMES} | {"variance": own}
        row |= {"size": size[k], "depth": (7 * k) % layers, "matrix": True, "suite": "a"}
        rows.append(row | {"at base": rng.uniform(), "elsewhere": 3 * first})
    return pd.DataFrame(rows)


def test_a_statistic_that_follows_the_trace_is_found():
    table = made_up()
    tasks = standins.across_tasks(table).set_index(["statistic", "at"])
    assert tasks.low["variance", "expert"] > 0.5 > tasks.high["mean", "expert"]
    assert tasks.low["halves", "expert"] > 0.5 > tasks.high["variance", "base"]
    wide = [table.pivot(index="expert", columns="layer", values=n) for n in ("variance", "first")]
    second = table.pivot(index="expert", columns="layer", values="second")
    by_scipy = [
        statistics.spearmanr(wide[0][k], wide[1][k] + second[k]).statistic for k in wide[0].columns
    ]
    x, y = wide[0].to_numpy(), (wide[1] + second).to_numpy()
    ours = (standins.standard_ranks(x) * standins.standard_ranks(y)).mean()
    assert ours == pytest.approx(np.mean(by_scipy))
    layers = standins.across_layers(table, 0, 200).set_index("statistic")
    assert layers.value["size"] > 0.5 > layers.high["singular 1"]
    assert layers.behind["mean"] == pytest.approx(abs(layers.value["mean"]) - layers.value["size"])
    outcome = decider("stats-statistics-preserve-curvature")(
        tasks.reset_index(),
        layers.reset_index(),
        pd.DataFrame({"singular": [0.1], "random": [0.1], "other inputs": [0.1]}),
        table,
    )
    assert outcome.corrected and outcome.values["moved"] == pytest.approx(3, rel=0.3)


def test_a_fit_to_all_statistics_finds_what_none_has_alone():
    """A trace that is the sum of all six; one that none tells; and no look at the expert."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 30, 6))
    told, other = x.sum(-1), rng.normal(size=(12, 30))
    alone = standins.correlation_by_layer(x[..., 0], told)
    assert standins.of_all_six(x, told) > 0.85 > alone + 0.3
    assert abs(standins.of_all_six(x, other)) < 0.2
    # With an expert's own trace among the data, six slopes for eight numbers would find anything.
    few = rng.normal(size=(8, 1, 6)), rng.normal(size=(8, 1))
    slopes = np.linalg.lstsq(
        standins.standard_ranks(few[0])[:, 0], standins.standard_ranks(few[1])[:, 0], rcond=None
    )[0]
    seen = (standins.standard_ranks(few[0])[:, 0] @ slopes)[:, None]
    assert standins.correlation_by_layer(seen, few[1]) > 0.7 > standins.of_all_six(*few)


def test_half_of_the_ceiling_and_its_noise():
    table = made_up()
    tasks = standins.across_tasks(table).set_index(["statistic", "at"])
    ceiling = tasks.value["halves", "expert"]
    assert tasks.over["variance", "expert"] == pytest.approx(
        tasks.value["variance", "expert"] - ceiling / 2, abs=0.01
    )
    assert tasks.all_low["variance", "expert"] > 0 > tasks.all_high["mean", "expert"]
    assert tasks.all_low[standins.ALL_SIX, "expert"] > 0 > tasks.over[standins.ALL_SIX, "base"]
    assert np.isnan(tasks.over["halves", "expert"]) and len(tasks) == 15


def test_leading_directions_by_a_decomposition():
    g = torch.Generator().manual_seed(0)
    gradients = torch.randn(5, 12, generator=g, **DOUBLE) * torch.arange(1, 13)
    found = standins.leading(gradients, 2)
    torch.testing.assert_close(found @ found.T, torch.eye(2, **DOUBLE))
    vh = torch.linalg.svd(gradients, full_matrices=False)[2][:2]
    assert (found @ vh.T).square().sum().item() == pytest.approx(2)


def test_traces_and_directions_of_a_suite(pictures):
    rows = fisher.traces_of_experts(pictures, 2, 4, 0)
    table = fisher.traces(pictures, pd.DataFrame(rows))
    assert len(table) == 2 * len(pictures.base) and (table[["first", "second"]] >= 0).all(axis=None)
    # A layer that no score depends on has no gradient, and a trace of zero.
    assert fisher.layer_traces([{"w": torch.ones(3)}], ["w", "v"]) == [3.0, 0.0]
    some = SimpleNamespace(**standins.directions(pictures, 0, 2))
    assert all(0 <= x <= 1 for x in some.singular)
