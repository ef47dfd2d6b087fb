"""The experiments of Chapter 1 against plain loops, closed forms and second derivations."""

import dataclasses
import itertools
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from scipy import integrate, stats
from torch import nn
from torch.nn import functional as F

from mergebook import lab, studies
from mergebook.ch1 import counterexamples, definitions, encoders, ensembles, merging, theory
from mergebook.ch1 import laboratory as L
from mergebook.ch1.laboratory import World
from mergebook.claims import CORRECTED, FAILS, HOLDS, decider
from mergebook.page import OpenSuite
from mergehelpers import mloss, suites
from mergehelpers.backbones import Plain

WIDTHS = (12, 8, 8, 8, 5)
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def verdict(claim_id, *tables):
    return decider(claim_id)(*tables).verdict


def same(a, b, **tolerance):
    torch.testing.assert_close(
        torch.as_tensor(a).double(), torch.as_tensor(b).double(), **tolerance
    )


def relu(z):
    return np.maximum(z, 0)


@pytest.fixture
def stack():
    """Three small networks of three hidden layers, with biases."""
    return tiny.three_networks(WIDTHS)


@pytest.fixture
def origin():
    return lab.initial([9], WIDTHS)


@pytest.fixture
def x():
    return torch.randn(40, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def hidden_by_hand(stack, model, x):
    """Pre-activations of one model, layer by layer, in numpy."""
    out, found = x.numpy(), []
    for layer in range(len(stack) // 2):
        weight, bias = (
            stack[f"layers.{layer}.{part}"][model].numpy() for part in ("weight", "bias")
        )
        found.append(out @ weight.T + bias)
        out = relu(found[-1])
    return found


def mean_node_loss(each):
    """Mean node M-Loss of one layer; `each` holds the models' pre-activations (inputs, nodes)."""
    losses = []
    for h in np.moveaxis(np.stack(each), 0, -1).reshape(-1, len(each)):
        losses.append(abs(max(h.mean(), 0) - np.mean([max(value, 0) for value in h])))
    return np.mean(losses)


# ------------------------------------------------------------------------------------------ theory


@pytest.fixture
def fewer_draws(monkeypatch):
    """`theorem` and `many_models` with 65,536 draws an estimate."""
    monkeypatch.setattr(theory, "ratio", partial(theory.ratio, draws=2**16))


def test_the_theorem_predicts_what_fewer_draws_measure(fewer_draws):
    table, counts = theory.theorem(seed=1), theory.many_models(seed=1)
    assert len(table) == len(theory.NAMES) * len(theory.CASES)
    assert list(counts.q) == 2 * list(theory.COUNTS)
    for rows in (table, counts):
        assert ((rows.ratio - 1).abs() < 0.02 + 4 * rows.stderr).all()
    assert verdict("mloss-two-model-restriction", table, counts) == HOLDS


@pytest.mark.parametrize("factor", [0.8, 1.25, 4 / 7])
def test_a_wrong_constant_in_the_theorem_is_noticed(fewer_draws, monkeypatch, factor):
    right = mloss.expected_mloss
    monkeypatch.setattr(mloss, "expected_mloss", lambda *args: factor * right(*args))
    tables = theory.theorem(), theory.many_models()
    assert verdict("mloss-two-model-restriction", *tables) == FAILS
    assert verdict("mloss-expected-relu", theory.constants(2**12)) == FAILS


def average_relu(x, s):
    """E relu(x + s Z)."""
    return x * stats.norm.cdf(x / s) + s * stats.norm.pdf(x / s)


def test_the_loss_in_three_units_is_that_of_an_integral_over_x():
    table = theory.units()
    for row in table.itertuples():
        k, sigma = row.k, row.σ

        def gap(x, sigma=sigma):
            return average_relu(x, sigma) - average_relu(x, sigma / math.sqrt(2))

        area = integrate.quad(gap, -12 * sigma, 12 * sigma, epsabs=0, epsrel=1e-10)[0]
        assert row.loss == pytest.approx(area / (2 * k), rel=1e-6)
        assert k / sigma == pytest.approx(1000)
    assert np.allclose(table["loss over σ"] * table["σ"], table.loss)
    assert verdict("mloss-small-when-k-dominates", table) == CORRECTED


def test_leaky_relu_loses_its_share_of_what_relu_loses():
    table = theory.leaky_slopes(2**14)
    assert list(table.slope) == [0.0, 0.01, 0.2, 0.5] and (table.k == 10).all()
    assert table.pathwise.max() < 1e-14
    # Two models at k = 10, σ = 1: the same integral, over the slope's share.
    area = integrate.quad(
        lambda x: average_relu(x, 1) - average_relu(x, 1 / math.sqrt(2)), -10, 10
    )[0]
    assert table.constant.to_numpy() == pytest.approx(area / 2, rel=0.01)
    assert verdict("mloss-expected-leakyrelu", table) == CORRECTED


def test_another_factor_of_the_slope_is_noticed(monkeypatch):
    wrong = partial(F.leaky_relu, negative_slope=0.3)
    monkeypatch.setattr(theory.F, "leaky_relu", lambda z, negative_slope: wrong(z))
    assert verdict("mloss-expected-leakyrelu", theory.leaky_slopes(2**12)) == FAILS


def test_deviations_that_are_not_jointly_gaussian_lose_what_an_integral_says():
    """(Z, Z) loses nothing and (Z, -Z) loses (|Z| - |x|)+ / 2, each in half of the draws."""
    for row in theory.not_jointly().itertuples(index=False):
        k = row[0]
        beyond = integrate.quad(
            lambda u: 2 * (stats.norm.pdf(u) - u * stats.norm.sf(u)), 0, k, epsrel=1e-10
        )[0]
        measured = beyond / k / 4

        def gap(x):
            return average_relu(x, 1) - average_relu(x, 1 / math.sqrt(2))

        formula = integrate.quad(gap, -k, k)[0] / (2 * k)
        assert row[1] == pytest.approx(formula / measured, rel=0.02)


def test_the_printed_constants_over_the_true_ones():
    table = theory.constants(2**14).set_index(["activation", "printed"])
    assert ((table.low < table["over measured"]) & (table["over measured"] < table.high)).all()
    relu_rows = table.loc["relu", "σ²/(√(2π) k)"]["over measured"]
    assert relu_rows.to_numpy() == pytest.approx(8 / math.sqrt(2 * math.pi), rel=0.03)
    typeset = table.loc["relu", "σ²/√(2πk), as typeset"]
    ratio = (typeset["over measured"] / np.sqrt(typeset.k)).to_numpy()
    assert ratio == pytest.approx(8 / math.sqrt(2 * math.pi), rel=0.03)
    small = table.loc["gelu", "σ²/(4k)"].set_index("σ")["over measured"]
    assert small[0.1] == pytest.approx(0.25 / ((4 * bend(math.sqrt(2)) - 3) / 8), rel=0.03)
    assert table.ours.groupby("activation").first().to_numpy() == pytest.approx([1, 1], rel=0.03)


def bend(x):
    """GELU's derivative."""
    return stats.norm.cdf(x) + x * stats.norm.pdf(x)


def test_a_print_that_is_right_would_be_found_right(monkeypatch):
    prints = {("relu", "σ²/(8k)"): lambda k, s: s**2 / (8 * k)}
    rest = {key: value for key, value in theory.PRINTED.items() if key[0] == "gelu"}
    monkeypatch.setattr(theory, "PRINTED", prints | rest)
    monkeypatch.setattr(theory, "PLACES", ((10, 1), (30, 3)))
    assert verdict("mloss-expected-relu", theory.constants(2**16)) == HOLDS


def test_gelu_falls_from_its_variation_to_relus_constant():
    table = theory.curves(("relu", "gelu"))
    wide = table.pivot(index="σ", columns="activation", values="constant")
    assert wide.relu.to_numpy() == pytest.approx(1 / 8, rel=0.01)
    assert wide.gelu.iloc[0] == pytest.approx((4 * bend(math.sqrt(2)) - 3) / 8, rel=0.01)
    assert (wide.gelu.diff().dropna() < 0).all() and 0.125 < wide.gelu.iloc[-1] < 0.13
    assert verdict("mloss-activation-ordering", table) == HOLDS


def test_where_the_loss_is_it_does_not_matter_that_draws_are_kept_there():
    f = mloss.activation("gelu")
    everywhere = theory.ratio(f, {"cov": mloss.covariance(2, 0.3)}, 30.0, 0, "cpu")
    assert theory.focused(f, 30.0, 0.3) == pytest.approx(everywhere[0], abs=5 * everywhere[1])


def test_two_estimators_differ_by_their_errors_alone(monkeypatch):
    table = theory.two_estimators(20_000)
    assert len(table) == 12 and verdict("mloss-expected-setup", table) == HOLDS
    right = mloss.monte_carlo

    def biased(*args, **kwargs):
        found = right(*args, **kwargs)
        larger = found.mean * (1 if kwargs.get("sobol") else 1.2)
        return mloss.Estimate(larger, found.stderr, found.draws)

    monkeypatch.setattr(mloss, "monte_carlo", biased)
    assert verdict("mloss-expected-setup", theory.two_estimators(20_000)) == FAILS


def test_the_power_of_sigma_is_2_in_the_mean_and_3_or_4_in_the_square():
    found = theory.powers().set_index(["activation", "averaged"]).power
    expected = {("relu", "absolute"): 2, ("relu", "squared"): 3, ("gelu", "squared"): 4}
    for key, power in expected.items():
        assert found[key] == pytest.approx(power, abs=0.1)


def test_the_edges_of_the_theorem():
    assert theory.other_laws().ratio.to_numpy() == pytest.approx(1, abs=0.03)
    assert theory.beyond().ratio.to_numpy() == pytest.approx(1, abs=0.03)
    edges = theory.edges().set_index(["activation", "k", "σ"]).ratio
    assert (edges < 1.02).all() and edges["relu", 100, 0.1] == pytest.approx(1, abs=0.01)
    assert edges["relu", 1, 10] < 0.5
    slow = theory.slow(draws=20_000)
    assert (slow.ratio < 1.02).all() and len(slow) == 7


# ------------------------------------------------------------------------------------- definitions


def test_eq_2_and_hooks_agree_and_another_activation_does_not(monkeypatch):
    assert definitions.two_ways().error.max() < 1e-12
    right = lab.preactivations
    monkeypatch.setattr(lab, "preactivations", lambda stack, x: right(stack, x, F.gelu))
    table = definitions.two_ways()
    assert table.error[0] < 1e-12 and verdict("mloss-eq1-eq2-network", table) == FAILS


def test_a_nodes_derivatives_are_its_layers_input():
    table, by_weight, x1 = definitions.linearly_correlated()
    row = table.iloc[0]
    assert row.own_row < 1e-14 and row.other_rows == 0 and row.bias == 1 and row.moves
    assert row.dead == int((x1 == 0).sum()) > 0
    same(by_weight[5], x1, **CLOSE)
    assert by_weight.shape == (16, 16) and int((by_weight != 0).sum()) == 16 - row.dead
    assert verdict("mloss-def32-lcp", table) == CORRECTED


def test_the_right_definitions_have_all_properties():
    assert verdict("mloss-def33-eq3-layer", definitions.layer_properties()) == HOLDS
    values = definitions.node_values()
    assert verdict("mloss-def34-eq4-node", values) == HOLDS
    assert verdict("mloss-remark2-eq5-layer-node-identity", values) == HOLDS
    assert values.set_index("value").error["averaged"] > 0  # Jensen
    assert verdict("mloss-remark1-default-weights", definitions.weights()) == HOLDS
    assert verdict("mloss-def35-eq6-normalized-layer", definitions.scales()) == HOLDS
    assert definitions.weights().straight[0] == pytest.approx(0.2 * 0.5)


RIGHT = {"layer": mloss.layer_mloss, "node": mloss.node_mloss}
WRONG_LAYERS = {
    "sum of absolute values": lambda h, f, w=None: mloss.discrepancy(h, f, w).abs().sum(-1),
    "mean of squares": lambda h, f, w=None: mloss.discrepancy(h, f, w).square().mean(-1).sqrt(),
    "square": lambda h, f, w=None: RIGHT["layer"](h, f, w).square(),
    "a sign": lambda h, f, w=None: -RIGHT["layer"](h, f, w),
    "no weights": lambda h, f, w=None: RIGHT["layer"](h, f),
    "the first model's weight": lambda h, f, w=None: RIGHT["layer"](h[:2], f, w and w[:2]),
    "a little more": lambda h, f, w=None: RIGHT["layer"](h, f, w) + 1e-6,
}
WRONG_NODES = {
    "twice": lambda h, f, w=None: 2 * RIGHT["node"](h, f, w),
    "signed": mloss.discrepancy,
    "squared": lambda h, f, w=None: RIGHT["node"](h, f, w).square(),
}


@pytest.mark.parametrize("name", WRONG_LAYERS)
def test_a_wrong_layer_loss_is_noticed(monkeypatch, name):
    monkeypatch.setattr(mloss, "layer_mloss", WRONG_LAYERS[name])
    assert verdict("mloss-def33-eq3-layer", definitions.layer_properties()) == FAILS


@pytest.mark.parametrize("name", WRONG_NODES)
def test_a_wrong_node_loss_is_noticed(monkeypatch, name):
    monkeypatch.setattr(mloss, "node_mloss", WRONG_NODES[name])
    values = definitions.node_values()
    assert verdict("mloss-def34-eq4-node", values) == FAILS
    pointwise = verdict("mloss-remark2-eq5-layer-node-identity", values)
    assert pointwise == (HOLDS if name == "signed" else FAILS)


def test_wrong_weights_and_a_wrong_norm_are_noticed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(mloss, "merging_weights", lambda q, w=None: torch.full((q,), 1 / (q + 1)))
        assert verdict("mloss-remark1-default-weights", definitions.weights()) == FAILS
    monkeypatch.setattr(
        mloss, "normalised_layer_mloss", lambda h, f, eps: mloss.layer_mloss(h, f) / (1 + eps)
    )
    assert verdict("mloss-def35-eq6-normalized-layer", definitions.scales()) == FAILS


def test_the_normalised_node_loss_of_experts_by_a_plain_loop():
    table = definitions.node_eps().set_index("eps")
    hidden = [h.numpy() for h in lab.preactivations(L.experts(0)[L.EXPERT], L.images())[:-1]]
    scores, plain, alone = [], [], 0
    for h in hidden:
        merged = relu(h.mean(0))
        loss = np.abs(merged - relu(h).mean(0))
        scores += list((loss / (merged + 1e-2)).mean(0))
        plain += list(loss.mean(0))
        alone += ((merged == 0) & (loss > 0)).sum()
    assert table["mean"][1e-2] == pytest.approx(np.mean(scores))
    assert table.plain[1e-2] == pytest.approx(stats.spearmanr(scores, plain).statistic)
    assert table.decides[1e-2] == pytest.approx(alone / sum(h[0].size for h in hidden))
    assert table["rank"][1e-4] == 1


def test_a_rescale_moves_the_first_layers_raw_loss_alone():
    table = definitions.profiles(c=7.0)
    assert table.raw.to_numpy() == pytest.approx([7, 1, 1])
    assert table.normalised.to_numpy() == pytest.approx([1, 1, 1], rel=1e-4)


# --------------------------------------------------------------------------------- counterexamples


@pytest.fixture
def networks(monkeypatch):
    """The pairs of networks that `blurred` averages, as they come."""
    seen, average = [], lab.average
    monkeypatch.setattr(lab, "average", lambda stack: seen.append(stack) or average(stack))
    return seen


def parts_of(network, sigma):
    """Of two networks of `blurred`: the units' shifts, their deviations and their readout."""
    bias, readout = (network[name].numpy() for name in ("layers.0.bias", "layers.1.weight"))
    shift = sigma * np.repeat([-1, 0, 1], bias.shape[1] // 3)
    return shift, bias - shift, readout[0, 0]


def convolved(x, width, blur):
    """A triangle of height one, `width` to each side, under a Gaussian blur, by quadrature."""
    y = np.linspace(-width, width, 4001)
    return integrate.simpson((1 - abs(y) / width) * stats.norm.pdf(x[:, None] - y, scale=blur), x=y)


def test_a_bump_is_a_blurred_triangle():
    x = np.linspace(-1.2, 1.2, 49)
    for blur in (0.05, 0.2, 0.3):
        found = counterexamples.bump(x, 0.3, blur)
        assert found == pytest.approx(convolved(x, 0.3, blur), abs=1e-6)
        area = integrate.quad(lambda z, b=blur: counterexamples.bump(z, 0.3, b), -3, 3)[0]
        assert area == pytest.approx(0.3, abs=1e-6)
    sharp = counterexamples.bump(np.array([-0.3, -0.15, 0.0, 0.1, 0.3, 1.0]), 0.3, 1e-4)
    assert sharp == pytest.approx([0, 1 / 2, 1, 2 / 3, 0, 0], abs=1e-3)


def test_units_of_blurred_networks_deviate_as_in_section_4(networks):
    """Each by its own Gaussian, independent over units and models, around a base that is a bump."""
    table = counterexamples.blurred((0.3, 0.1), k=2.0)
    assert list(table.sigma) == [0.3, 0.1] and list(table.over_k) == [0.15, 0.05]
    for row, network in zip(table.itertuples(), networks):
        shift, delta, readout = parts_of(network, row.sigma)
        assert row.units == len(shift) == 3 * round(30 / row.sigma**2)
        assert (network["layers.0.weight"] == 1).all() and (network["layers.1.bias"] == 0).all()
        assert torch.equal(*network["layers.1.weight"])
        for one in delta:
            assert stats.kstest(one / row.sigma, "norm").pvalue > 0.01
            assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 3 / len(one) ** 0.5
            assert abs(np.corrcoef(one, shift)[0, 1]) < 3 / len(one) ** 0.5
        assert abs(np.corrcoef(*delta)[0, 1]) < 3 / len(shift) ** 0.5
        x = np.array([-2.0, -0.3, -0.06, 0.0, 0.02, 0.1, 1.0])
        base = relu(x[:, None] + shift) @ readout
        assert base == pytest.approx(relu(1 - abs(x) / row.sigma), abs=1e-9)


def test_without_deviations_merge_and_ensemble_are_the_base(monkeypatch):
    def none(*size, generator, dtype):
        return torch.zeros(size, dtype=dtype)

    monkeypatch.setattr(torch, "randn", none)
    [row] = counterexamples.blurred((0.1,)).itertuples()
    triangle = relu(1 - abs(np.linspace(-0.4, 0.4, 201)) / 0.1)
    assert (row.merged, row.ensemble) == pytest.approx((triangle.mean(), triangle.mean()))
    assert row.node == 0 and row.apart < 1e-12


def test_a_units_loss_is_what_section_4_expects(networks):
    table = counterexamples.blurred((0.3, 0.1), k=2.0)
    for row, network in zip(table.itertuples(), networks):
        shift, delta, _ = parts_of(network, row.sigma)
        losses = [
            abs(relu(x + shift + delta.mean(0)) - relu(x + shift + delta).mean(0)).mean()
            for x in np.linspace(-2, 2, 4001)
        ]
        assert row.node == pytest.approx(np.mean(losses), rel=1e-3)
        # The square of a Gaussian has a relative standard deviation of √2.
        expected = row.sigma**2 / (8 * 2.0)
        assert row.node == pytest.approx(expected, rel=3 * (2 / row.units) ** 0.5)


def test_outputs_of_blurred_networks_by_plain_loops(networks):
    """Within 4σ, or k where that is less."""
    table = counterexamples.blurred((0.3, 0.1), k=1.0)
    for row, network in zip(table.itertuples(), networks):
        shift, delta, readout = parts_of(network, row.sigma)
        reach = {0.3: 1.0, 0.1: 0.4}[row.sigma]
        outputs = [
            (
                relu(x + shift + delta.mean(0)) @ readout,
                (relu(x + shift + delta[0]) @ readout + relu(x + shift + delta[1]) @ readout) / 2,
            )
            for x in np.linspace(-reach, reach, 201)
        ]
        merged, ensemble = np.transpose(outputs)
        assert row.merged == pytest.approx(abs(merged).mean())
        assert row.ensemble == pytest.approx(abs(ensemble).mean())
        assert row.apart == pytest.approx(abs(merged - ensemble).mean())


def test_merge_and_ensemble_stay_apart_as_an_integral_says():
    """Over σ it is the same for each σ, so that it stays as node losses vanish."""
    table = counterexamples.blurred((0.3, 0.08), k=1.0)
    for row in table.itertuples():
        x = np.linspace(-1, 1, 1001) * min(1.0, 4 * row.sigma)
        one, both = (convolved(x, row.sigma, b) for b in (row.sigma, row.sigma / 2**0.5))
        apart, size = (integrate.trapezoid(abs(y), x) / np.ptp(x) for y in (both - one, one))
        assert row.limit == pytest.approx(apart / size, rel=5e-3)
        assert row.apart == pytest.approx(apart, rel=row.sigma / 2)  # noise, as one over √units
    assert table.limit.to_numpy() == pytest.approx([0.266, 0.267], abs=1e-3)
    assert feasible(table) == FAILS


def feasible(table):
    outputs = pd.DataFrame({"suite": ["a"], "gap": [0.1], "same": [0.9]})
    worlds = pd.DataFrame([dict.fromkeys(("eight", "two", "equal", "foreign"), 0.5)])
    return verdict("mloss-feasibility-proved", table, outputs, worlds)


def test_a_merge_that_is_the_ensemble_is_not_apart(monkeypatch):
    """A network of the units of both, each with half of its weight in the readout."""

    def joined(stack):
        return {
            "layers.0.weight": stack["layers.0.weight"].flatten(0, 1)[None],
            "layers.0.bias": stack["layers.0.bias"].flatten()[None],
            "layers.1.weight": stack["layers.1.weight"].flatten()[None, None] / 2,
            "layers.1.bias": stack["layers.1.bias"][:1],
        }

    monkeypatch.setattr(lab, "average", joined)
    table = counterexamples.blurred((0.3, 0.08))
    assert table.apart.max() < 1e-9 < table.ensemble.min()
    assert feasible(table) == HOLDS


def test_gaps_without_losses_and_losses_without_gaps():
    table = counterexamples.accumulation(seed=3).set_index("network")
    assert table.loss["two linear layers"] == 0 and table.loss["ReLU, all units on"] == 0
    assert table.gap["two linear layers"] == pytest.approx(table.gap["ReLU, all units on"])
    assert table.gap["two linear layers"] > 0.1
    assert table.gap["ReLU, a readout of zeros"] == 0 < table.loss["ReLU, a readout of zeros"]


def test_the_gap_of_two_linear_layers_is_a_product(monkeypatch):
    assert counterexamples.product_formula(seed=3) < 1e-12
    stack, x = counterexamples.two_layers(seed=3)
    (w1, v1), (w2, v2) = (stack[f"layers.{layer}.weight"].numpy() for layer in (0, 1))
    gaps = []
    for one in x.numpy():
        merged = (w2 + v2) / 2 @ ((w1 + v1) / 2 @ one)
        gaps.append(np.abs(merged - (w2 @ (w1 @ one) + v2 @ (v1 @ one)) / 2).max())
    largest = counterexamples.accumulation(seed=3).gap[0]
    assert largest == pytest.approx(max(gaps), rel=1e-12)
    monkeypatch.setattr(lab, "average", lambda stack: lab.take(stack, 0))
    assert counterexamples.product_formula(seed=3) > 0.1


def test_sigma_follows_the_inputs_and_the_units_too():
    table = counterexamples.differences().set_index("change")
    assert table.loc["half of each task vector"].to_numpy() == pytest.approx([0.5, 0.5])
    assert table.loc["layer 1 times 3, layer 2 over 3"].to_numpy() == pytest.approx([3, 3])
    members, origin = L.experts(0)[L.EXPERT], L.pretrained(0)
    before, after = (
        np.sqrt(
            np.mean(
                [
                    (hidden_by_hand(members, m, x)[0] - hidden_by_hand(origin, 0, x)[0]) ** 2
                    for m in range(8)
                ]
            )
        )
        for x in (L.images(), 2 * L.images())
    )
    assert table.sigma["inputs twice as large"] == pytest.approx(after / before)
    assert table.distance["inputs twice as large"] == 1
    assert verdict("mloss-sigma-parameter-difference", table.reset_index()) == CORRECTED


# -------------------------------------------------------------------------------------- laboratory


def test_a_rescale_changes_no_output_and_no_merge(stack, x):
    scaled = L.rescaled(stack, 3.0)
    same(lab.logits(scaled, x), lab.logits(stack, x), **CLOSE)
    same(lab.logits(lab.average(scaled), x), lab.logits(lab.average(stack), x), **CLOSE)
    same(lab.preactivations(scaled, x)[0], 3 * lab.preactivations(stack, x)[0], **CLOSE)


ORDERS = [torch.randperm(8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def test_another_order_of_units_changes_no_output(stack, x):
    shuffled = L.reordered(stack, ORDERS)
    same(lab.logits(shuffled, x), lab.logits(stack, x), **CLOSE)
    same(
        lab.preactivations(shuffled, x)[1], lab.preactivations(stack, x)[1][..., ORDERS[1]], **CLOSE
    )
    assert not torch.equal(shuffled["layers.0.weight"], stack["layers.0.weight"])


def test_matching_finds_an_order_and_undoes_it(stack, x):
    one = lab.take(stack, 0)
    shuffled = L.reordered(one, ORDERS)
    found = L.reordered(shuffled, L.matching(one, shuffled, x))
    for name, value in one.items():
        same(found[name], value, **CLOSE)
    another = lab.take(stack, 1)
    same(
        lab.logits(L.reordered(another, L.matching(one, another, x)), x),
        lab.logits(another, x),
        **CLOSE,
    )


def test_the_loss_on_own_inputs_by_a_plain_loop(stack, x):
    each = [hidden_by_hand(stack, model, x) for model in range(3)]
    losses = [mean_node_loss([h[layer] for h in each]) for layer in range(3)]
    assert L.own_mloss(stack, x) == pytest.approx(np.mean(losses))


def test_the_loss_on_the_bases_inputs_by_a_plain_loop(stack, origin, x):
    entering = [x.numpy(), *(relu(h) for h in hidden_by_hand(origin, 0, x)[:2])]
    losses = []
    for layer, inputs in enumerate(entering):
        weight, bias = (stack[f"layers.{layer}.{part}"].numpy() for part in ("weight", "bias"))
        losses.append(mean_node_loss([inputs @ w.T + b for w, b in zip(weight, bias)]))
    assert L.shared_mloss(stack, origin, x) == pytest.approx(np.mean(losses))
    assert L.shared_mloss(stack, origin, x) != pytest.approx(L.own_mloss(stack, x), rel=0.01)


def test_identical_models_have_no_loss_no_gap_and_no_distance(stack, origin, x):
    twins = lab.take(stack, [1, 1])
    assert L.own_mloss(twins, x) == L.shared_mloss(twins, origin, x) == L.distance(twins) == 0
    assert L.rms(L.output_gap(twins, x)) < 1e-14


def test_the_output_gap_by_a_plain_loop(stack, x):
    mean = {name: value.mean(0, keepdim=True) for name, value in stack.items()}
    each = [hidden_by_hand(stack, model, x)[-1] for model in range(3)]
    gap = hidden_by_hand(mean, 0, x)[-1] - np.mean(each, 0)
    same(L.output_gap(stack, x), gap, **CLOSE)
    assert L.rms(torch.from_numpy(gap)) == pytest.approx(np.sqrt((gap**2).mean()))


def test_models_move_along_their_task_vectors(stack, origin):
    for t in (0.0, 0.5, 1.0, -2.0):
        moved = L.moved_by(stack, origin, t)
        for name in stack:
            same(moved[name] - origin[name], t * (stack[name] - origin[name]), **CLOSE)


def test_random_directions_are_as_long_tensor_by_tensor_and_differ_by_seed(stack, origin):
    first, again, other = (L.moved_by(stack, origin, 2.0, seed) for seed in (0, 0, 1))
    for name in stack:
        for model in range(3):
            length = (stack[name][model] - origin[name][0]).norm()
            same((first[name][model] - origin[name][0]).norm(), 2 * length, **CLOSE)
        assert torch.equal(first[name], again[name])
        assert not torch.allclose(first[name], other[name])
    directions = first["layers.0.weight"] - origin["layers.0.weight"]
    assert not torch.allclose(
        directions[0] / directions[0].norm(), directions[1] / directions[1].norm()
    )


def test_the_distance_of_weights_by_a_plain_loop(stack):
    squares = sum(((p[0] - p[1]) ** 2).sum().item() for p in stack.values())
    assert L.distance(lab.take(stack, [0, 1])) == pytest.approx(math.sqrt(squares))


def test_k_and_sigma_by_plain_loops(stack, origin, x):
    base = hidden_by_hand(origin, 0, x)
    each = [hidden_by_hand(stack, model, x) for model in range(3)]
    k = np.mean([((h.max(0) - h.min(0)) / 2).mean() for h in base[:3]])
    deviations = [[own[layer] - base[layer] for own in each] for layer in range(3)]
    sigma = np.mean([np.sqrt(np.mean(np.square(d))) for d in deviations])
    assert L.reach(origin, stack, x) == pytest.approx((k, sigma))
    wide = L.reach(L.rescaled(origin, 10), L.rescaled(stack, 10), x)
    assert wide[0] > 2 * k and wide[1] > 2 * sigma


def test_accuracy_kept_is_in_percent_of_each_tasks_own_expert():
    tasks = (2, 5)
    members = lab.take(L.experts(0)[L.EXPERT], tasks)
    inputs, labels = L.digits().split("test")
    merged, shares = lab.average(members), []
    for place, task in enumerate(tasks):
        mine, own = (
            (hidden_by_hand(model, number, inputs[task])[-1].argmax(1) == labels.numpy()).mean()
            for model, number in ((merged, 0), (members, place))
        )
        shares.append(100 * mine / own)
    assert L.relative(merged, members, tasks) == pytest.approx(np.mean(shares))


def test_images_are_the_first_of_each_tasks_training_split():
    found = L.images((3, 1), each=2)
    same(found, L.digits().inputs[[3, 3, 1, 1], [0, 1, 0, 1]], **CLOSE)
    assert L.images().shape == (1000, 196)


def test_experts_share_the_bases_readout_and_differ_by_length_and_world():
    base, by_length = L.pretrained(0), L.experts(0)
    assert tuple(by_length) == L.LENGTHS
    for members in by_length.values():
        for name in L.READOUT:
            assert (members[name] == base[name]).all()
    lengths = [L.distance(lab.join([base, lab.take(m, 0)])) for m in by_length.values()]
    assert lengths == sorted(lengths) and lengths[0] > 0
    assert len({tuple(m["layers.0.bias"][0].tolist()) for m in by_length.values()}) == 5


def test_stored_numbers_have_six_digits_and_texts_and_counts_stay():
    row = {"a": 1 / 3, "b": "text", "c": 1234567, "d": 1234567.0, "e": -0.0}
    assert L.digits6(row) == {"a": 0.333333, "b": "text", "c": 1234567, "d": 1234570.0, "e": 0.0}


# ----------------------------------------------------------------------------------------- merging


def test_there_is_no_barrier_between_a_model_and_itself():
    twins = lab.take(L.experts(0)[L.EXPERT], [2, 2])
    assert merging.barrier(twins, (2, 3)) == pytest.approx(0, abs=1e-12)


def test_a_barrier_by_a_plain_loop():
    pair, tasks = lab.take(L.experts(0)[L.EXPERT], [1, 4]), (1, 4)
    inputs, labels = L.digits().split("test")

    def accuracy(weight):
        model = {n: ((1 - weight) * p[0] + weight * p[1])[None] for n, p in pair.items()}
        return np.mean(
            [
                (hidden_by_hand(model, 0, inputs[t])[-1].argmax(1) == labels.numpy()).mean()
                for t in tasks
            ]
        )

    line = {w: (1 - w) * accuracy(0) + w * accuracy(1) for w in (0.25, 0.75)}
    expected = 100 * np.mean([line[w] - accuracy(w) for w in line])
    assert merging.barrier(pair, tasks) == pytest.approx(expected)
    assert abs(expected) > 1


def test_predictors_by_plain_loops(stack, origin, x):
    found = merging.predictors(stack, origin, x)
    assert list(found) == list(merging.PREDICTORS)
    each = [hidden_by_hand(stack, model, x) for model in range(3)]
    mean = {name: value.mean(0, keepdim=True) for name, value in stack.items()}
    merged = hidden_by_hand(mean, 0, x)
    vectors = [
        np.concatenate([(p[m] - origin[n][0]).numpy().ravel() for n, p in stack.items()])
        for m in range(3)
    ]
    couples = list(itertools.combinations(range(3), 2))
    p = np.exp(merged[-1]) / np.exp(merged[-1]).sum(1, keepdims=True)
    apart = [np.stack([h[layer] for h in each]) for layer in range(3)]
    features = np.stack([relu(merged[2]) - relu(h[2]) for h in each])
    expected = {
        "own_mloss": L.own_mloss(stack, x),
        "shared_mloss": L.shared_mloss(stack, origin, x),
        "preactivations": np.mean([np.sqrt(((a - a.mean(0)) ** 2).mean()) for a in apart]),
        "distance": np.mean([np.linalg.norm(vectors[i] - vectors[j]) for i, j in couples]),
        "cosine": -np.mean(
            [
                vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
                for i, j in couples
            ]
        ),
        "entropy": -(p * np.log(p)).sum(1).mean(),
        "shift": np.sqrt((features**2).mean()),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_with_the_bases_switches_one_model_has_no_gap_and_several_have_one(stack, origin, x):
    assert merging.switched_gap(lab.take(stack, 0), origin, x).abs().max() < 1e-12
    assert merging.switched_gap(stack, origin, x).abs().max() > 1e-3
    switches = [h[:, :] > 0 for h in hidden_by_hand(origin, 0, x)[:3]]

    def by_hand(model):
        out = x.numpy()
        for layer in range(4):
            weight, bias = (model[f"layers.{layer}.{part}"].numpy() for part in ("weight", "bias"))
            h = out @ weight.T + bias
            out = h * switches[layer] if layer < 3 else h
        return h

    models = [{n: p[m] for n, p in stack.items()} for m in range(3)]
    mean = {n: p.mean(0) for n, p in stack.items()}
    expected = by_hand(mean) - np.mean([by_hand(model) for model in models], 0)
    same(merging.switched_gap(stack, origin, x), expected, **CLOSE)


def test_a_repair_by_a_plain_loop_and_none_is_needed_by_identical_models(stack, x):
    assert merging.repaired_gap(lab.take(stack, [1, 1]), x).abs().max() < 1e-12
    out = x.numpy()
    for layer in range(4):
        weight, bias = (stack[f"layers.{layer}.{part}"].numpy() for part in ("weight", "bias"))
        h = [out @ w.T + b for w, b in zip(weight, bias)]
        out = np.mean([relu(one) for one in h], 0)
    ensemble = np.mean([hidden_by_hand(stack, m, x)[-1] for m in range(3)], 0)
    same(merging.repaired_gap(stack, x), np.mean(h, 0) - ensemble, **CLOSE)


def test_a_repair_leaves_no_gap_behind_one_layer(stack, x):
    """With one hidden layer a shared input is the own input, and one readout has no product."""
    shallow = {name: value for name, value in lab.initial([0, 1], (12, 8, 5)).items()}
    shallow["layers.1.weight"] = shallow["layers.1.weight"][:1].expand(2, -1, -1)
    assert merging.repaired_gap(shallow, x).abs().max() < 1e-12
    assert L.rms(L.output_gap(shallow, x)) > 1e-2


def test_a_model_moved_towards_another(stack, x):
    first, other = lab.take(stack, 0), lab.take(stack, 1)
    for step, end in ((0.0, first), (1.0, other)):
        pair = merging.toward(first, other, step)
        for name, value in end.items():
            same(pair[name], torch.cat([first[name], value]), **CLOSE)
    pair = lab.take(stack, [0, 1])
    h, g = (hidden_by_hand(stack, model, x) for model in (0, 1))
    expected = np.mean([np.sqrt(((h[i] - g[i]) ** 2).mean()) / 2 for i in range(3)])
    assert merging.sigma_of(pair, x) == pytest.approx(expected)
    spread = np.mean([h[-1], g[-1]], 0).std(ddof=1)
    gap = np.sqrt((L.output_gap(pair, x).numpy() ** 2).mean())
    assert merging.relative_gap(pair, x) == pytest.approx(gap / spread)


def test_rows_of_steps_at_one_are_the_experts_own():
    table = pd.DataFrame(merging.at_scales(World(0))).set_index(["kind", "t"])
    members, origin, x = L.experts(0)[L.EXPERT], L.pretrained(0), L.images()
    row = table.loc["experts", 1.0]
    assert row.mloss == pytest.approx(L.own_mloss(members, x), rel=1e-5)
    assert row.shared_mloss == pytest.approx(L.shared_mloss(members, origin, x), rel=1e-5)
    assert row.gap == pytest.approx(L.output_gap(members, x).abs().mean().item(), rel=1e-5)
    assert row.kept == pytest.approx(L.relative(lab.average(members), members, L.TASKS), rel=1e-5)
    assert len(table) == 2 * len(merging.SCALES)
    assert table.loc["random directions", 1.0].mloss != row.mloss


def test_pairs_of_one_function_have_one_base_and_a_rescale_of_both_changes_no_merge():
    table = pd.DataFrame(merging.pair_kinds(World(0)))
    assert len(table) == 7 * 8
    wide = table.pivot(index="task", columns="kind", values=["base", "kept", "barrier", "mloss"])
    for kind in ("units permuted", "permutation undone", "one model rescaled", "both rescaled"):
        assert (wide["base"][kind] == wide["base"]["shared base"]).all()
    for column in ("kept", "barrier"):
        assert (wide[column]["both rescaled"] == wide[column]["shared base"]).all()
    assert (wide["mloss"]["both rescaled"] > wide["mloss"]["shared base"]).all()
    assert (wide["kept"]["units permuted"] < wide["kept"]["permutation undone"]).all()


def test_a_rescale_of_a_base_and_its_experts_moves_k_and_no_merge():
    """It cannot: merge and ensemble are rescaled alike. So it is not in the rule."""
    row = merging.base_of(merging.Base(0, "1 other", 40))
    assert row["wide_kept"] == row["kept"] and row["wide_k"] > 2 * row["k"]
    origin = L.pretrained(0, (0,), 40)
    members = L.fine_tuned(origin, merging.TARGETS, 0)[L.EXPERT]
    x = L.images(merging.TARGETS)
    assert row["mloss"] == pytest.approx(L.own_mloss(members, x), rel=1e-5)
    assert (row["k"], row["sigma"]) == pytest.approx(L.reach(origin, members, x), rel=1e-5)


def test_rows_of_groups_are_of_members_moved_and_their_own_accuracies(monkeypatch):
    monkeypatch.setattr(merging, "LENGTHS", (25,))
    monkeypatch.setattr(merging, "TASKS", range(3))
    table = pd.DataFrame(merging.groups(World(0)))
    sizes = table.groupby(["length", "strength", "size"], sort=False).size()
    assert sizes.to_dict() == {
        (25, 1.0, 2): 3,
        (25, 1.0, 3): 1,
        (L.EXPERT, 0.5, 2): 3,
        (L.EXPERT, 1.5, 2): 3,
    }
    row = table[table.strength == 1.5].iloc[1]  # the pair of tasks 0 and 2
    origin, x = L.pretrained(0), L.images((0, 2))
    own = lab.take(L.experts(0)[L.EXPERT], (0, 2))
    moved = {name: origin[name] + 1.5 * (p - origin[name]) for name, p in own.items()}
    for name, value in merging.predictors(moved, origin, x).items():
        assert row[name] == pytest.approx(value, rel=1e-5), name
    each = [hidden_by_hand(moved, model, x) for model in (0, 1)]
    losses = [relu((a + b) / 2) - (relu(a) + relu(b)) / 2 for a, b in zip(*each)][:3]
    layers = sum(np.linalg.norm(loss, axis=1).mean() for loss in losses)
    assert row.layers == pytest.approx(layers, rel=1e-5)
    assert row.gap == pytest.approx(L.rms(L.output_gap(moved, x)), rel=1e-5)
    kept = L.relative(lab.average(moved), own, (0, 2))
    assert row.kept == pytest.approx(kept, rel=1e-5)


def test_parts_of_the_gap_of_a_world(monkeypatch):
    """The share is a projection; a stranger is moved until σ is that of a pair of one base."""
    monkeypatch.setattr(merging, "TASKS", range(1))
    row = merging.gaps(World(0))
    members, origin, x = L.experts(0)[L.EXPERT], L.pretrained(0), L.images()
    whole = L.output_gap(members, x).numpy().ravel()
    cut = merging.switched_gap(members, origin, x).numpy().ravel()
    assert row["share"] == pytest.approx(cut @ whole / (whole @ whole), rel=1e-5)
    small = L.moved_by(members, origin, 0.1)
    left = merging.repaired_gap(small, x).numpy()
    size = np.sqrt((L.output_gap(small, x).numpy() ** 2).mean())
    assert row["small_repaired"] == pytest.approx(np.sqrt((left**2).mean()) / size, rel=1e-5)
    few = x[::4]
    first, second = (lab.take(members, t) for t in (0, 1))
    stranger = lab.take(L.experts(1)[L.EXPERT], 1)
    target = merging.sigma_of(lab.join([first, second]), few)
    steps = np.linspace(0, 1, 101)
    sigmas = [merging.sigma_of(merging.toward(first, stranger, s), few) for s in steps]
    near = np.interp(target, sigmas, steps)
    equal = merging.relative_gap(merging.toward(first, stranger, near), few)
    assert row["equal"] == pytest.approx(equal, rel=0.02)
    assert row["two"] == pytest.approx(
        merging.relative_gap(lab.join([first, second]), few), rel=1e-5
    )
    foreign = merging.relative_gap(lab.join([first, stranger]), few)
    assert row["foreign"] == pytest.approx(foreign, rel=1e-5)
    assert row["eight"] == pytest.approx(merging.relative_gap(members, x), rel=1e-5)


def test_mixtures_have_targets_or_none():
    assert set(merging.TARGETS) | set(merging.OTHERS) == set(L.TASKS)
    assert {name: len(tasks) for name, tasks in merging.MIXTURES.items()} == {
        "1 other": 1,
        "2 others": 2,
        "4 others": 4,
        "4 targets": 4,
        "4 targets, 4 others": 8,
    }
    assert not set(merging.MIXTURES["4 others"]) & set(merging.TARGETS)


# --------------------------------------------------------------------------------------- ensembles


def test_the_correlation_of_errors_by_plain_loops():
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(4, 30, 5, generator=generator, dtype=torch.float64).softmax(-1)
    y = torch.randint(5, (30,), generator=generator)
    errors = [(one.numpy() - np.eye(5)[y]).ravel() for one in p]
    covariance = np.cov(errors, ddof=0)
    off = [covariance[i, j] for i in range(4) for j in range(4) if i != j]
    expected = np.mean(off) / covariance.diagonal().mean()
    assert ensembles.error_correlation(p, y) == pytest.approx(expected)
    alike = p[:1].expand(4, -1, -1)
    assert ensembles.error_correlation(alike, y) == pytest.approx(1)


def test_ensembles_of_starts_by_plain_loops(monkeypatch):
    """On sixteen networks that were not trained."""
    stack = lab.initial(range(ensembles.MEMBERS))
    monkeypatch.setattr(ensembles, "from_starts", lambda group: stack)
    table = pd.DataFrame(ensembles.ensembles(ensembles.Starts(0))).set_index("n")
    assert table.loc[1, ["varies", "error", "formula"]].tolist() == [1, 1, 1]
    p, y = ensembles.law(stack, "test")
    q, z = ensembles.law(stack, "val")
    p, rho = p.numpy(), ensembles.error_correlation(q, z)
    right = np.eye(10)[y]
    single = np.mean([(one - right).var(ddof=1) for one in p])
    for n in (2, 8):
        joint = [p[start : start + n].mean(0) for start in range(0, 16, n)]
        varies = np.var(joint, axis=0, ddof=1).mean() / np.var(p, axis=0, ddof=1).mean()
        assert table.varies[n] == pytest.approx(varies, rel=1e-5)
        error = np.mean([(one - right).var(ddof=1) for one in joint]) / single
        assert table.error[n] == pytest.approx(error, rel=1e-5)
        assert table.formula[n] == pytest.approx(rho + (1 - rho) / n, rel=1e-5)
        accuracy = np.mean([100 * (one.argmax(1) == y.numpy()).mean() for one in joint])
        assert table["noise 0.0"][n] == pytest.approx(accuracy, rel=1e-5)


def test_networks_from_different_starts_are_trained_on_all_tasks(monkeypatch):
    asked = {}

    def train(start, digits, tasks, **settings):
        asked.update(settings, tasks=[list(t) for t in tasks], start=start)
        return {settings["steps"]: "trained"}

    ensembles.from_starts.cache_clear()
    monkeypatch.setattr(lab, "train", train)
    assert ensembles.from_starts(3) == "trained"
    ensembles.from_starts.cache_clear()
    assert asked["tasks"] == [list(L.TASKS)] * 16 and asked["seed"] == 503
    same(asked["start"]["layers.0.weight"][1], lab.initial([1049])["layers.0.weight"][0], **CLOSE)


def test_noise_has_its_seed_and_its_size():
    stack = lab.initial(range(2))
    clean, one, again, other = (
        ensembles.law(stack, "val", noise, seed)[0]
        for noise, seed in ((0, 0), (1, 0), (1, 0), (1, 1))
    )
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(one, clean)
    same(clean.sum(-1), torch.ones(clean.shape[:2]), **CLOSE)


def test_answers_of_ensemble_and_average_by_plain_loops():
    stack = L.experts(0)[L.EXPERT]
    inputs, labels = L.digits().split("test")
    each = np.stack([hidden_by_hand(stack, m, inputs[3])[-1] for m in range(8)])
    mean = {n: p.mean(0, keepdim=True) for n, p in stack.items()}
    found = [studies.unpack_answers({"": packed})[""] for packed in ensembles.answers(stack, 3)]
    assert (found[0] == (each.mean(0).argmax(1) == labels.numpy())).all()
    merged = hidden_by_hand(mean, 0, inputs[3])[-1].argmax(1) == labels.numpy()
    assert (found[1] == merged).all() and (found[0] != found[1]).any()


def test_the_contest_has_experts_of_every_task_and_two_controls(monkeypatch):
    monkeypatch.setattr(ensembles, "from_starts", lambda group: lab.initial(range(16)))
    monkeypatch.setattr(L, "fine_tuned", lambda *args: {L.EXPERT: lab.initial(range(8))})
    rows = ensembles.contest(World(0))
    assert [row["task"] for row in rows[:8]] == list(lab.TASKS)
    assert [row["kind"] for row in rows] == ["experts"] * 8 + ["one task", "different starts"]
    joint, merged = ensembles.answers(L.experts(0)[L.EXPERT], 3)
    assert (rows[3]["ensemble"], rows[3]["average"]) == (joint, merged)


def toy(vectors, answers=None):
    """What is open of a suite: a base of zeros and one expert for each vector of six entries."""

    def state(v):
        return {"a": torch.tensor(v[:4]).view(2, 2), "b": torch.tensor(v[4:])}

    experts = {f"t{i}": state(v) for i, v in enumerate(vectors)}
    return SimpleNamespace(base=state([0.0] * 6), experts=experts, answers=answers)


VECTORS = ([1.0, -2.0, 3.0, 0.5, 0.1, -4.0], [-1.0, -1.0, 0.0, 0.0, 0.3, 2.0])


@pytest.mark.parametrize(("keep", "left"), [(0.5, [-2.0, 3.0, -4.0]), (1 / 3, [3.0, -4.0])])
def test_pruning_keeps_the_largest_entries_of_the_whole_vector(keep, left):
    first, _ = ensembles.pruned(toy(VECTORS), "largest", keep)
    flat = torch.cat([value.flatten() for value in first.values()])
    assert flat[flat != 0].tolist() == left
    assert first["a"].shape == (2, 2) and list(first) == ["a", "b"]


@pytest.mark.parametrize(("keep", "left"), [(1 / 3, [3.0]), (2 / 3, [-2.0, 3.0])])
def test_pruning_keeps_a_share_of_what_an_expert_changed(keep, left):
    sparse, full = ensembles.pruned(
        toy(([1.0, -2.0, 0.0, 3.0, 0.0, 0.0], [6.0, 5.0, 4.0, -3.0, 2.0, 1.0])), "largest", keep
    )
    flat = torch.cat([value.flatten() for value in sparse.values()])
    assert flat[flat != 0].tolist() == left
    assert sum(int((value != 0).sum()) for value in full.values()) == 2 * len(left)


@pytest.mark.parametrize(
    ("how", "left"), [("largest", 3), ("random", 3), ("elected", 6), ("as many", 6)]
)
def test_an_expert_that_changed_nothing_has_nothing_to_keep(how, left):
    unchanged, moved = ensembles.pruned(toy(([0.0] * 6, VECTORS[0])), how, 0.5)
    assert not any(value.any() for value in unchanged.values())
    assert sum(int((value != 0).sum()) for value in moved.values()) == left


def test_elected_entries_have_the_sign_of_the_sum():
    """The sums of the entries are 0, -3, 3, 0.5, 0.4 and -2."""
    found = [
        torch.cat([value.flatten() for value in vector.values()]).tolist()
        for vector in ensembles.pruned(toy(VECTORS), "elected", 1.0)
    ]
    assert found[0] == pytest.approx([0, -2, 3, 0.5, 0.1, -4])
    assert found[1] == pytest.approx([0, -1, 0, 0, 0.3, 0])


def test_as_many_entries_as_are_elected_at_random_among_those_that_an_expert_changed():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 2000, generator=generator)
    vectors[0, :500] = 0
    r = SimpleNamespace(
        base={"a": torch.zeros(2000)}, experts={n: {"a": v} for n, v in zip("xyz", vectors)}
    )
    elected, drawn, again = (
        torch.stack([vector["a"] for vector in ensembles.pruned(r, how, 1.0)])
        for how in ("elected", "as many", "as many")
    )
    assert torch.equal(drawn, again)
    chosen = drawn != 0
    assert chosen.sum(1).tolist() == (elected != 0).sum(1).tolist()
    assert torch.equal(drawn[chosen], vectors[chosen]) and not torch.equal(drawn, elected)
    assert not torch.equal(chosen[1], chosen[2])
    for kept, agree, vector in zip(chosen, elected != 0, vectors):
        changed = vector != 0
        share = agree.sum() / changed.sum()  # as many of the agreeing as of the others
        assert abs((kept & agree).sum() / agree.sum() - share) < 0.05


def test_random_pruning_draws_among_the_entries_that_an_expert_changed():
    """Of 1,000 entries in which two experts changed 400, at two places, it keeps 100 of 400."""
    vector = torch.arange(1.0, 1001)
    experts = {"x": {"a": vector * (vector <= 400)}, "y": {"a": vector * (vector > 600)}}
    r = SimpleNamespace(base={"a": torch.zeros(1000)}, experts=experts)
    for expert, kept in zip(experts.values(), ensembles.pruned(r, "random", 0.25)):
        chosen = kept["a"] != 0
        assert chosen.sum() == 100 and torch.equal(kept["a"][chosen], expert["a"][chosen])
        mean = expert["a"].sum() / 400
        assert abs(kept["a"].sum() / 100 - mean) < 30  # nearly three standard errors


def test_random_pruning_keeps_as_many_entries_others_for_each_expert():
    vector = torch.arange(1.0, 1001).tolist()
    r = SimpleNamespace(
        base={"a": torch.zeros(1000)}, experts={name: {"a": torch.tensor(vector)} for name in "xy"}
    )
    first, second = (v["a"] for v in ensembles.pruned(r, "random", 0.2))
    assert (first != 0).sum() == (second != 0).sum() == 200
    assert not torch.equal(first, second)
    assert first[first != 0].tolist() == [v for i, v in enumerate(vector) if first[i]]
    assert abs(first[first != 0].mean() - 500) < 100
    assert torch.equal(ensembles.pruned(r, "random", 0.2)[0]["a"], first)


def test_keeping_all_is_the_task_vectors_themselves():
    for v, tau in zip(VECTORS, ensembles.pruned(toy(VECTORS), "largest", 1)):
        assert torch.cat([value.flatten() for value in tau.values()]).tolist() == pytest.approx(v)


def test_conflicts_of_two_vectors_by_hand(monkeypatch):
    """Entries 1 and 6 conflict, of six that move; 4.1 of 14.9 are left where signs cancel."""
    asked = []

    def answers(state, split="test", limit=None):
        asked.append((split, limit))
        best = abs(state["a"][0, 1].item() + 3.0 * 0.5) < 1e-6  # the sum of entry 2 is -3
        return {"t0": torch.tensor([True, best, False]), "t1": torch.tensor([True, False])}

    monkeypatch.setattr(ensembles, "opened", lambda *args: toy(VECTORS, answers))
    row = ensembles.conflicts(ensembles.Pruned("toy", "largest", 1.0, 2), {}, "cpu")
    assert row["in conflict"] == pytest.approx(2 / 6, abs=1e-6)
    total = np.abs(VECTORS).sum()
    left = np.abs(np.sum(VECTORS, 0)).sum()
    assert row["cancelled"] == pytest.approx(1 - left / total, rel=1e-5)
    assert row["scale"] == 0.5
    right = {"t0": torch.tensor([True, True, False]), "t1": torch.tensor([True, False])}
    assert row["right"] == list(studies.pack_answers(right).values())
    assert asked == [("val", ensembles.VALIDATION)] * len(ensembles.SCALES) + [("test", 2)]


def test_elected_entries_have_no_conflicts_and_as_many_others_have_some(monkeypatch):
    def answers(state, split="test", limit=None):
        return {"t0": torch.tensor([True])}

    vectors = torch.randn(3, 6, generator=torch.Generator().manual_seed(2)).tolist()
    monkeypatch.setattr(ensembles, "opened", lambda *args: toy(vectors, answers))
    rows = {
        how: ensembles.conflicts(ensembles.Pruned("toy", how, 1.0, 2), {}, "cpu")
        for how in ("largest", "elected", "as many")
    }
    assert rows["elected"]["in conflict"] == 0
    assert rows["elected"]["cancelled"] == pytest.approx(0, abs=1e-6)
    assert rows["as many"]["in conflict"] > 0 and rows["largest"]["in conflict"] > 0


def test_scales_reach_beyond_the_one_that_makes_up_for_four_fifths_dropped():
    assert len(ensembles.SCALES) == 10 and list(ensembles.SCALES) == sorted(ensembles.SCALES)
    assert ensembles.SCALES[-2] < 1 / 0.2 < ensembles.SCALES[-1]


# ---------------------------------------------------------------------------------------- encoders

SENTENCES = ["a cat sat and saw the dog", "yes", "the dog saw a photo of a cat", "no"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A tiny BERT with experts of two tasks, opened."""
    folder = tmp_path_factory.mktemp("texts")
    content = tiny.text_suite(folder)
    tiny.bert(folder / "other", seed=2)
    splits = ("train", "val", "test", "unlabelled")
    lines = [
        f"{s},{'sad' if i % 2 else 'glad'},{t}" for s in splits for i, t in enumerate(SENTENCES)
    ]
    (folder / "moods.csv").write_text("\n".join(["split,label,text", *lines]) + "\n")
    content["tasks"]["tempers"] = content["tasks"]["moods"] | {"expert": str(folder / "other")}
    tiny.write_manifest(folder, content)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A tiny vision transformer with experts of two tasks, opened."""
    folder = tmp_path_factory.mktemp("pictures")
    tiny.vit_suite(folder)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


def keyed(kind, r, *settings):
    """A key of the suite, and what else a run takes."""
    return kind(r.mark, *settings), {r.mark: r.source}, "cpu"


FLOATS = {"rtol": 1e-4, "atol": 1e-5}


def test_other_weights_than_the_keys_are_refused(texts, pictures):
    key = encoders.Sample(texts.mark, 2)
    assert encoders.opened(key, {texts.mark: texts.source}, "cpu").mark == texts.mark
    with pytest.raises(ValueError, match=f"names the models {texts.mark}; .* has {pictures.mark}"):
        encoders.opened(key, {texts.mark: pictures.source}, "cpu")


def test_rows_of_a_block_are_the_real_tokens_of_each_sentence_alone(texts):
    members = list(texts.experts.values())
    net = texts.backbone
    together = list(encoders.both_inputs(texts, members, net.prepare(SENTENCES)))
    alone = [list(encoders.both_inputs(texts, members, net.prepare([s]))) for s in SENTENCES]
    tokens = [len(s.split()) + 2 for s in SENTENCES]
    for number, (x, both) in enumerate(together):
        assert len(x) == sum(tokens) and both["own"].shape == (2, *x.shape)
        same(x, torch.cat([one[number][0] for one in alone]), **FLOATS)
        for kind in ("shared", "own"):
            expected = torch.cat([one[number][1][kind] for one in alone], 1)
            same(both[kind], expected, **FLOATS)


def test_shared_rows_have_the_bases_input_and_own_rows_each_models(pictures):
    r = pictures
    inputs, members = r.backbone.prepare(r.unlabelled(3)), list(r.experts.values())
    ground = r.backbone.preactivations(r.base, inputs)
    for number, (x, both) in enumerate(encoders.both_inputs(r, members, inputs)):
        site = r.backbone.sites()[number]
        same(x, ground[number][1].flatten(0, 1), **FLOATS)
        for place, member in enumerate(members):
            weight, bias = member[f"{site}.weight"], member[f"{site}.bias"]
            by_hand = F.linear(ground[number][0], weight, bias).flatten(0, 1)
            same(both["shared"][place], by_hand, **FLOATS)
            own = r.backbone.preactivations(member, inputs)[number][1].flatten(0, 1)
            same(both["own"][place], own, **FLOATS)
        assert not torch.allclose(both["shared"], both["own"]) or number == 0


def test_three_half_ranges_of_known_samples():
    line = torch.linspace(-3, 3, 10_001, dtype=torch.float64)
    x = torch.stack([line, 2 * line + 5], 1)
    found = encoders.half_ranges(x)
    for name, k in {"range": 3, "central": 2.97, "deviation": 3}.items():
        assert found[name].tolist() == pytest.approx([k, 2 * k], rel=1e-3), name
    outlier = torch.cat([x, torch.full((1, 2), 100.0)])
    after = encoders.half_ranges(outlier)
    assert after["range"][0] > 51 and after["central"][0] == pytest.approx(2.97, rel=1e-3)


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh", "quick_gelu", "softplus"])
def test_curvature_is_the_second_difference(name):
    f, x, step = mloss.activation(name), torch.linspace(-3, 3, 61, dtype=torch.float64), 1e-4
    expected = ((f(x + step) - 2 * f(x) + f(x - step)) / step**2).abs()
    same(encoders.curvature(f, x), expected, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        same(encoders.curvature(f, x), expected, rtol=1e-4, atol=1e-6)


def test_a_sample_is_near_its_own_law():
    rng = np.random.default_rng(0)
    flat, bell = rng.uniform(2, 5, 4000), rng.normal(2, 5, 4000)
    assert (
        encoders.distance_to(flat, "uniform") < 0.03 < 0.05 < encoders.distance_to(flat, "normal")
    )
    assert encoders.distance_to(bell, "normal") < 0.03 < 0.2 < encoders.distance_to(bell, "uniform")
    z = np.sort((bell - bell.mean()) / bell.std())
    steps = np.arange(4001) / 4000
    below = stats.norm.cdf(z)
    expected = max(np.abs(steps[1:] - below).max(), np.abs(below - steps[:-1]).max())
    assert encoders.distance_to(bell, "normal") == pytest.approx(expected)


def block(rho=0.0, shift=0.0, sigma=0.3, q=4, tokens=40_000):
    """A block that is as Section 4 has it, but for a correlation and a shift of the deviations."""
    generator = torch.Generator().manual_seed(0)
    x = 10 * (2 * torch.rand(tokens, 16, generator=generator, dtype=torch.float64) - 1)
    own = torch.randn(q, tokens, 16, generator=generator, dtype=torch.float64)
    common = torch.randn(tokens, 16, generator=generator, dtype=torch.float64)
    delta = sigma * (shift + math.sqrt(rho) * common + math.sqrt(1 - rho) * own)
    return encoders.block_row(mloss.activation("gelu"), x, x + delta)


def test_a_block_that_is_as_section_4_has_it_is_predicted_by_every_formula():
    row = block()
    for k in encoders.READINGS:
        assert row[f"k, {k}"] == pytest.approx(10, rel=0.02)
        assert row[f"independent, {k}"] == pytest.approx(1, abs=0.04)
        assert row[f"spread, {k}"] == pytest.approx(1, abs=0.04)
        # The paper's σ²/(4k), beside V = 3/4 σ² and the true constant.
        variation = mloss.activation("gelu").variation
        factor = row[f"printed, {k}"] / row[f"independent, {k}"]
        assert factor == pytest.approx(1 / (variation * 3 / 4), rel=1e-4)
        assert row[f"small, {k}"] == 1
    assert row["by density"] == pytest.approx(1, abs=0.04)
    assert row["by curvature"] == pytest.approx(1, abs=0.04)
    assert row["sigma"] == pytest.approx(0.3, rel=0.02)
    assert row["kurtosis"] == pytest.approx(3, abs=0.1) and row["shift"] < 1e-3
    assert abs(row["correlation"]) < 0.01
    assert row["x to uniform"] < 0.01 < 0.05 < row["x to normal"]
    assert row["deviation to normal"] < 0.02


def test_a_block_with_correlated_shifted_or_large_deviations_is_seen_as_such():
    correlated = block(rho=0.6)
    assert correlated["correlation"] == pytest.approx(0.6, abs=0.02)
    assert correlated["independent, range"] == pytest.approx(1 / 0.4, rel=0.05)
    assert correlated["spread, range"] == pytest.approx(1, abs=0.05)
    assert block(shift=1.0)["shift"] == pytest.approx(0.5, abs=0.02)
    assert block(sigma=2.5)["small, range"] == 0


def test_rows_of_blocks_are_those_of_one_block_at_a_time(texts):
    rows = encoders.blocks(*keyed(encoders.Sample, texts, 3))
    assert [(row["block"], row["input"]) for row in rows] == [
        (0, "shared"),
        (0, "own"),
        (1, "shared"),
        (1, "own"),
    ]
    inputs = texts.backbone.prepare(texts.unlabelled(3))
    both = list(encoders.both_inputs(texts, list(texts.experts.values()), inputs))
    f = mloss.activation("gelu")
    for row in rows:
        x, members = both[row["block"]]
        h = members[row["input"]]
        gap = f(h.mean(0)) - f(h).mean(0)
        assert row["measured"] == pytest.approx(gap.abs().mean().item(), rel=1e-4)
        layer = (gap.norm(dim=1) / f(h.mean(0)).norm(dim=1)).mean().item()
        assert row["layer over norm"] == pytest.approx(layer, rel=1e-4)
        expected = encoders.block_row(f, x, h)
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_a_tangent_touches_its_activation_and_has_no_loss():
    f, g = mloss.activation("gelu"), torch.Generator().manual_seed(0)
    x0, h = (torch.randn(2, 7, 5, generator=g, dtype=torch.float64) for _ in range(2))
    line = encoders.tangent(f, x0[0])
    same(line(x0[0]), f(x0[0]), **CLOSE)
    step = 1e-6
    same(
        (line(x0[0] + step) - line(x0[0])) / step, mloss.derivative(f, x0[0]), atol=1e-6, rtol=1e-6
    )
    assert mloss.node_mloss(h, line).max() < 1e-14


def perceptron(seed=0):
    """An opened suite of one hidden layer, in float64: a base and two members, and inputs."""
    g = torch.Generator().manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(6, 7, dtype=torch.float64), nn.GELU(), nn.Linear(7, 4, dtype=torch.float64)
    )

    def state():
        return {
            n: torch.randn(p.shape, generator=g, dtype=torch.float64)
            for n, p in module.state_dict().items()
        }

    base, *members = (state() for _ in range(3))
    r = SimpleNamespace(backbone=Plain(module, 4), base=base, experts=dict(zip("ab", members)))
    inputs = r.backbone.prepare(torch.randn(9, 6, generator=g, dtype=torch.float64))
    return r, members, inputs


def run(state, x, f):
    return f(x @ state["0.weight"].T + state["0.bias"]) @ state["2.weight"].T + state["2.bias"]


def test_the_gap_of_a_merge_by_hand():
    r, (a, b), inputs = perceptron()
    f, x = mloss.activation("gelu"), inputs["x"]
    mean = {name: (a[name] + b[name]) / 2 for name in a}
    expected = run(mean, x, f) - (run(a, x, f) + run(b, x, f)) / 2
    same(encoders.merge_gap(r, [a, b], inputs, straight=False), expected, **CLOSE)


def test_with_straight_activations_the_gap_is_the_product_of_what_changed():
    """-(W2a - W2b) f'(x0) (ΔW1 x + Δb1) / 4, with the base's slopes: no M-Loss takes part."""
    r, (a, b), inputs = perceptron()
    x, f = inputs["x"], mloss.activation("gelu")
    x0 = x @ r.base["0.weight"].T + r.base["0.bias"]
    slope = mloss.derivative(f, x0)
    change = x @ (a["0.weight"] - b["0.weight"]).T + a["0.bias"] - b["0.bias"]
    expected = -(slope * change) @ (a["2.weight"] - b["2.weight"]).T / 4
    same(encoders.merge_gap(r, [a, b], inputs, straight=True), expected, **CLOSE)
    one_readout = b | {name: a[name] for name in ("2.weight", "2.bias")}
    assert encoders.merge_gap(r, [a, one_readout], inputs, straight=True).abs().max() < 1e-12
    assert encoders.merge_gap(r, [a, one_readout], inputs, straight=False).abs().max() > 1e-2


def test_a_repair_ensembles_the_activations_of_the_members_layers():
    r, (a, b), inputs = perceptron()
    x, f = inputs["x"], mloss.activation("gelu")
    both = [f(x @ m["0.weight"].T + m["0.bias"]) for m in (a, b)]
    mean = {name: (a[name] + b[name]) / 2 for name in a}
    expected = sum(both) / 2 @ mean["2.weight"].T + mean["2.bias"]
    same(encoders.ensembled_activations(r, [a, b], inputs), expected, **CLOSE)
    same(run(mean, x, f), r.backbone.encode(mean, inputs), **CLOSE)  # and leaves no hook


def test_shrunk_experts_are_nearer_to_the_base():
    r, (a, _), _ = perceptron()
    half = encoders.shrunk(r, 0.5)[0]
    for name, value in r.base.items():
        same(half[name], (value + a[name]) / 2, **CLOSE)


@pytest.mark.parametrize("t", [1.0, 0.1])
def test_shares_of_the_gap_by_a_plain_loop(pictures, t):
    row = encoders.share_left(*keyed(encoders.Step, pictures, 3, t))
    r, base = pictures, pictures.base
    members = [{n: base[n] + t * (m[n] - base[n]) for n in m} for m in r.experts.values()]
    inputs = r.backbone.prepare(r.unlabelled(3))
    full, straight = (encoders.merge_gap(r, members, inputs, s).numpy() for s in (False, True))
    share = [(a @ b) / (a @ a) for a, b in zip(full, straight)]
    assert row["share"] == pytest.approx(np.mean(share), rel=1e-3)
    size = [np.linalg.norm(b) / np.linalg.norm(a) for a, b in zip(full, straight)]
    assert row["size"] == pytest.approx(np.mean(size), rel=1e-3)
    ensemble = np.mean([r.backbone.encode(m, inputs).numpy() for m in members], 0)
    left = encoders.ensembled_activations(r, members, inputs).numpy() - ensemble
    expected = np.mean(np.linalg.norm(left, axis=1) / np.linalg.norm(full, axis=1))
    assert row["repaired"] == pytest.approx(expected, rel=1e-3)
    low, high = encoders.spread_of_mean(share)
    assert low < np.mean(share) < high
    assert (row["share_low"], row["share_high"]) == pytest.approx((low, high), rel=1e-3)
    assert row.keys() == encoders.SHARE.tolerance.keys()


def entries(vector):
    return {
        (name, i) for name, v in vector.items() for i in v.flatten().nonzero().flatten().tolist()
    }


def test_parts_of_the_task_vector_share_its_entries(pictures):
    found = {part: encoders.part_of(pictures, part) for part in ("none", *encoders.CHOICES)}
    held = {part: entries(vector) for part, vector in found.items()}
    every = held[encoders.EVERYTHING]
    assert held["none"] == set() and every
    for part, rest in ((encoders.MATRICES, encoders.REST), (encoders.SCORED, encoders.UNSCORED)):
        assert held[part] | held[rest] == every and not held[part] & held[rest]
    assert {n for n, _ in held[encoders.SCORED]} == {
        f"transformer.resblocks.{block}.mlp.c_fc.weight" for block in (0, 1)
    }
    assert all(pictures.base[n].ndim == 2 for n, _ in held[encoders.MATRICES])
    assert held[encoders.ALIKE] < held[encoders.MATRICES]
    assert len(held[encoders.ALIKE]) == pytest.approx(len(held[encoders.REST]), rel=0.15)
    whole = found[encoders.EVERYTHING]
    for part in encoders.CHOICES:
        for name, value in found[part].items():
            moved = value != 0
            assert torch.equal(value[moved], whole[name][moved])
    with pytest.raises(ValueError, match="part is 'half'; allowed: none, all, matrices"):
        encoders.part_of(pictures, "half")


def test_rows_of_a_part_have_its_share_and_its_answers(pictures):
    rows = encoders.part_answers(*keyed(encoders.Part, pictures, encoders.SCORED, 7))
    held = {p: len(entries(encoders.part_of(pictures, p))) for p in encoders.CHOICES}
    assert [row["task"] for row in rows] == ["pets", "birds"]
    moved = {n: v.clone() for n, v in pictures.base.items()}
    for name, value in encoders.part_of(pictures, encoders.SCORED).items():
        moved[name] += value
    for row in rows:
        share = held[encoders.SCORED] / held[encoders.EVERYTHING]
        assert row["entries"] == pytest.approx(share, rel=1e-5)
        right = pictures.logits(moved, row["task"], limit=7).argmax(1) == pictures.labels(
            row["task"], limit=7
        )
        assert row["right"] == studies.pack_answers({"": right})[""]


def test_outputs_by_a_plain_loop(pictures):
    r = pictures
    row = encoders.outputs(*keyed(encoders.Tested, r, "birds", 9))
    y = r.labels("birds", limit=9)
    each = torch.stack([r.logits(m, "birds", limit=9) for m in r.experts.values()])
    mean = {n: sum(m[n] for m in r.experts.values()) / 2 for n in r.base}
    merged, joint = r.logits(mean, "birds", limit=9).numpy(), each.mean(0).numpy()
    gap = np.sqrt(((merged - joint) ** 2).mean()) / joint.std(ddof=1)
    assert row["gap"] == pytest.approx(gap, rel=1e-4)
    assert row["same"] == pytest.approx((merged.argmax(1) == joint.argmax(1)).mean(), rel=1e-5)
    scores = {
        "average": merged,
        "ensemble": joint,
        "base": r.logits(r.base, "birds", limit=9).numpy(),
    }
    scores["expert"] = r.logits(r.experts["birds"], "birds", limit=9).numpy()
    inputs = r.backbone.prepare(r.suite.tasks["birds"].inputs["test"][:9])
    features = np.mean([r.backbone.encode(m, inputs).detach() for m in r.experts.values()], 0)
    head = {part: value.numpy() for part, value in r.suite.tasks["birds"].head.items()}
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    scores["features"] = features @ head["weight"].T + head["bias"]
    assert row.keys() == encoders.OUTPUTS.tolerance.keys() == {"gap", "same", *scores}
    for name, score in scores.items():
        right = torch.from_numpy(score.argmax(1) == y.numpy())
        assert row[name] == studies.pack_answers({"": right})[""]


def test_the_ensemble_of_features_hears_an_expert_of_long_embeddings_alone(pictures, monkeypatch):
    """The ensemble of scores does not, as heads take embeddings without their lengths."""
    key = keyed(encoders.Tested, pictures, "birds", 9)
    before = encoders.outputs(*key)
    birds = pictures.experts["birds"]
    loud = pictures.suite.experts | {"birds": birds | {"proj": 1000 * birds["proj"]}}
    r = OpenSuite(dataclasses.replace(pictures.suite, experts=loud), "cpu")
    monkeypatch.setattr(encoders, "opened", lambda *args: r)
    after = encoders.outputs(*key)
    assert after["ensemble"] == before["ensemble"] != after["features"]
    assert after["features"] == before["expert"]


def test_a_pair_of_experts_by_a_plain_loop(texts):
    row = encoders.pair(*keyed(encoders.Pair, texts, "moods", "tempers", 3, 4))
    a, b = texts.experts.values()
    inputs = texts.backbone.prepare(texts.unlabelled(3, ("moods", "tempers")))
    blocks = list(encoders.both_inputs(texts, [a, b], inputs))
    f = mloss.activation("gelu")
    for kind in ("own", "shared"):
        each = [(f(both[kind].mean(0)) - f(both[kind]).mean(0)).abs().mean() for _, both in blocks]
        assert row[f"{kind}_mloss"] == pytest.approx(np.mean(each), rel=1e-4)
    apart = [(both["own"][0] - both["own"][1]).numpy() / 2 for _, both in blocks]
    expected = np.mean([np.sqrt((one**2).mean()) for one in apart])
    assert row["preactivations"] == pytest.approx(expected, rel=1e-4)
    first, second, base = (
        torch.cat([s[n].flatten() for n in s]).double() for s in (a, b, texts.base)
    )
    assert row["distance"] == pytest.approx((first - second).norm().item(), rel=1e-4)
    cosine = F.cosine_similarity(first - base, second - base, dim=0).item()
    assert row["cosine"] == pytest.approx(-cosine, rel=1e-3)
    mean = {n: (a[n] + b[n]) / 2 for n in a}
    for end, task in (("first", "moods"), ("second", "tempers")):
        for name, state in (("right", mean), ("expert", texts.experts[task])):
            right = texts.logits(state, task, limit=4).argmax(1) == texts.labels(task, limit=4)
            assert row[f"{name}_{end}"] == studies.pack_answers({"": right})[""]


def test_what_a_pair_loses_is_the_mean_over_its_two_tasks():
    def packed(right):
        return studies.pack_answers({"": torch.arange(10) < right})[""]

    table = pd.DataFrame(
        {
            "expert_first": [packed(9), packed(10)],
            "right_first": [packed(6), packed(10)],
            "expert_second": [packed(8), packed(5)],
            "right_second": [packed(7), packed(6)],
        }
    )
    assert encoders.lost(table).tolist() == pytest.approx([20, -5])


def test_every_pair_of_a_suite_has_one_key(texts):
    keys = encoders.pair_keys(texts, 3, 4)
    assert keys == [encoders.Pair(texts.mark, "moods", "tempers", 3, 4)]


def test_what_leaves_an_activation_is_f_of_what_entered_and_another_f_is_noticed(
    pictures, texts, monkeypatch
):
    for r in (pictures, texts):
        table = definitions.representations(r, samples=2)
        assert list(table.block) == [0, 1] and (table.different == 0).all()
        assert definitions.block_parts(r)["LayerNorm"] == 2  # the whole block, not its MLP
    monkeypatch.setattr(mloss, "activation", lambda name: mloss.ACTIVATIONS["relu"])
    table = definitions.representations(pictures, samples=2)
    assert verdict("mloss-def31-intermediate-representation", table) == FAILS
