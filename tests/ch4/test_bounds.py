"""The bounds of page 04e: proofs tried by brute force, recursions written out, known norms."""

import math

import numpy as np
import pytest
import torch

from mergebook.ch4 import bounds


def test_the_constant_that_a_matrix_needs_by_hand():
    # Equal rows of length 2: spectral norm 2 sqrt(n), so (2 - 1)/4; the identity needs less than 0.
    equal = torch.full((9, 9), 2 / 3).double()
    assert float(bounds.constant_needed(equal)) == pytest.approx(0.25)
    assert float(bounds.constant_needed(torch.eye(4).double())) == pytest.approx(-0.5)


def test_no_matrix_of_small_integers_needs_more_than_a_quarter():
    every = torch.cartesian_prod(*[torch.arange(-2.0, 3.0)] * 4).view(-1, 2, 2).double()
    needed = [float(bounds.constant_needed(w)) for w in every if w.any()]
    assert max(needed) <= 0.25 + 1e-12 and max(needed) > 0.2


def test_steps_uphill_find_a_large_constant_and_none_above_the_proof():
    draw = bounds.Draw(0)
    start = float(bounds.constant_needed(torch.randn(4, 4, generator=draw.generator).double()))
    found = float(bounds.constant_needed(bounds.climbed(bounds.Draw(0), 4)))
    assert start + 0.05 < found <= 0.25 + 1e-12


def test_needed_constants_tell_the_readings_apart():
    table = bounds.needed_constants(0, (8, 32), repeats=2)
    assert (table.needed <= 0.25 + 1e-9).all() and (table.entries >= 1 - 1e-9).all()
    equal = table[table.kind == bounds.ALIGNED].groupby("width").fixed.max()
    assert equal[32] > 6 and (table.kind == bounds.SOUGHT).sum() == 2
    two = table[(table.kind == bounds.ALIGNED) & (table.length == 2)]
    assert two.needed.to_numpy() == pytest.approx(0.25)


def test_lengths_after_a_matrix():
    by = bounds.stretches(0, matrices=3, width=8).groupby("input").ratio
    assert by.max()["drawn"] < 1 and by.min()["rotation, drawn"] == pytest.approx(1)
    assert by.min()["first singular vector"] == pytest.approx(1)


@pytest.fixture(scope="module")
def within():
    return bounds.networks_within(0, networks=20, widths=(4,), taus=(0.1, 1.0))


def test_networks_with_value_zero_at_zero_are_within_and_others_are_not(within):
    enough = within[within.constant == 0.25]
    zero = enough[enough.input == "zero"].groupby("activation").inside.max()
    odd = enough.activation.isin([bounds.NO_ZERO, bounds.BIASED])
    assert (enough.inside == enough.networks)[~odd].all()
    # Four biases of a layer are all below zero, and ReLU's output then zero, once in 16 networks.
    assert zero[bounds.NO_ZERO] == 0 and zero[bounds.BIASED] < 10
    assert len(within) == 5 * 3 * 5 * 2 * 2 * 2


def test_a_smaller_constant_is_exceeded(within):
    less = within[(within.constant == 0.125) & (within.activation == "identity")]
    equal = less[(less.weights == "equal entries") & (less.input == "ones") & (less.tau == 0.1)]
    assert (equal.inside == 0).all() and len(equal) == 3


def test_slack_and_promise_by_hand(within):
    # Equal entries 2/sqrt(4) = 1: a layer of identity takes the length 1 to 2 sqrt(4) = 4.
    [row] = within[
        (within.weights == "equal entries")
        & (within.activation == "identity")
        & (within.input == "ones")
        & (within.depth == 2)
        & (within.tau == 1.0)
        & (within.constant == 0.25)
    ].to_dict("records")
    assert row["slack"] == pytest.approx(math.log10((2 + 0.25 * 4 * (2 + 1)) ** 2 / 4**2))
    assert row["promise"] == pytest.approx((1 - 2 / math.e) ** 2)


def test_growth_is_that_of_wide_layers():
    table = bounds.growths(0, networks=10, width=128, deepest=6)
    mean = table.groupby(["scale", "depth"])["log length"].mean().unstack(0)
    slopes = mean.diff().iloc[1:].mean()
    assert slopes[2.0] == pytest.approx(math.log(2) / 2, abs=0.03)
    assert slopes[1.0] == pytest.approx(-math.log(2) / 2, abs=0.03)


def test_the_recursion_and_the_closed_form_by_hand():
    given = ([1.0, 2.0], [0.5, 1.0], 3, 0.5, 2.0)
    # 3/4 (1*2 + 1/4) = 27/16; 3/4 (4 * 27/16 + 1) = 93/16.
    assert bounds.recursion(*given) == pytest.approx(93 / 16)
    assert bounds.closed_form(*given, 2) == pytest.approx(93 / 16)
    # With one layer less the sum is empty: 2 (3/4)^2 * 4 + 3/4.
    assert bounds.closed_form(*given, 1) == pytest.approx(21 / 4)
    table = bounds.closed_forms(0, repeats=2)
    assert (table.ratio[table.reading == "M = M_l"] - 1).abs().max() < 1e-12
    assert (table.ratio[table.reading != "M = M_l"] - 1).abs().min() > 1e-4


def test_the_variance_of_a_linear_network_meets_the_bound_and_a_mean_breaks_it():
    table = bounds.output_variances(0, networks=400, width=16)
    by = table.set_index(["activation", "depth", "bias", "mean"])
    exact = by.loc["identity", 2, 0.0, 0.0]
    assert exact.bound == pytest.approx(1) and exact.low < 1 < exact.high
    assert by.loc["identity", 3, 0.0, 0.05].low > by.loc["identity", 3, 0.0, 0.05].bound
    assert by.loc["sigmoid", 2, 0.0, 0.0].low > by.loc["sigmoid", 2, 0.0, 0.0].bound
    assert by.loc["ReLU", 3, 0.1, 0.0].high < by.loc["ReLU", 3, 0.1, 0.0].bound


def test_a_layer_s_variance_goes_with_its_outputs():
    table = bounds.layer_variances(0, layers=500).set_index("layer")
    assert ((table.low < table.outputs) & (table.outputs < table.high)).all()
    assert table.low["4 to 32"] > table.inputs["4 to 32"]
    assert table.high["32 to 4"] < table.inputs["32 to 4"]


def test_activations_contract_but_are_not_below_their_argument():
    table = bounds.contractions(0, 500)
    assert (table.ratio <= 1 + 1e-12).all() and table.ratio.max() == pytest.approx(1)
    by = table.groupby("activation").above.max()
    assert by["identity"] == 0 and (by[["ReLU", "tanh", "sigmoid"]] > 0.5).all()


def test_small_weights_leave_the_biases():
    by = bounds.shrunken(0, networks=3, width=8).groupby("scale")[["spread", "gradient"]].max()
    assert (by.loc[0.01] < 1e-4 * by.loc[1.0]).all()
    zero = bounds.shrunken(0, networks=3, width=8).groupby("scale").distance.max()
    assert zero[0.01] < 0.05 * zero[1.0]


def test_answers_of_scaled_networks_by_a_second_way():
    table = bounds.scaled_answers(0, networks=3, width=8, depth=3)
    assert (table[table.bias == 0].same == 100).all()
    assert (table[table.bias > 0].groupby("network").same.min() < 100).any()
    # Scaling all parameters by c is dividing the bias of layer m by c^(m - 1).
    draw = bounds.Draw(0)
    draw(8, 500), [(draw(8, 8), draw(8, 1)) for _ in range(3)]
    x = draw(8, 500)
    layers = [(draw(8, 8) / math.sqrt(8), 0.3 * draw(8, 1)) for _ in range(3)]
    answers = []
    for c in (1, 10):
        h = x
        for m, (w, b) in enumerate(layers):
            h = w @ h + b / c**m
            h = torch.relu(h) if m < 2 else h
        answers.append(h.argmax(0).numpy())
    [row] = table[(table.network == 0) & (table.bias > 0) & (table.factor == 10)].same
    assert row == pytest.approx(100 * np.mean(answers[0] == answers[1]))
