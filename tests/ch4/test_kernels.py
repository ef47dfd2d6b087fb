"""Kernels and layers of small networks, against second derivations."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from mergebook.ch4 import kernels, layers
from mergehelpers import zoo


def random_kernels(n=8, side=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, side, side, generator=g, dtype=torch.float64)


def test_smoothness_of_a_ramp_and_of_a_board():
    ramp = torch.arange(7.0).expand(7, 7)
    assert kernels.smoothness((ramp + ramp.T).view(1, 1, 7, 7)) > 0.8
    board = torch.tensor([[(-1.0) ** (i + j) for i in range(7)] for j in range(7)])
    assert kernels.smoothness(board.view(1, 1, 7, 7)) == pytest.approx(-1, abs=0.01)


def test_alikeness_by_brute_force():
    k = random_kernels(4)
    flat = k.flatten(1).numpy()
    cosines = [
        (a @ b / np.linalg.norm(a) / np.linalg.norm(b)) ** 2
        for i, a in enumerate(flat)
        for j, b in enumerate(flat)
        if i != j
    ]
    assert kernels.alikeness(k) == pytest.approx(np.mean(cosines))


def test_shuffling_keeps_colours_and_chance_is_no_structure():
    k = random_kernels()
    mixed = kernels.places_shuffled(k, torch.Generator().manual_seed(0))
    colours, moved = (v.flatten(2).transpose(1, 2)[0].tolist() for v in (k, mixed))
    assert sorted(colours) == sorted(moved) and colours != moved
    for measure in (kernels.smoothness, kernels.alikeness):
        assert abs(kernels.beyond_shuffled(k, measure, 0)[1]) < 3
    smooth = k.cumsum(2).cumsum(3)
    excess, deviations = kernels.beyond_shuffled(smooth, kernels.smoothness, 0)
    assert excess > 0.3 and deviations > 5


def test_crops_of_a_ramp_are_less_smooth_than_the_whole():
    """The mean of all crops, by hand; one slope looks smoother in more pixels."""
    g = torch.Generator().manual_seed(0)
    slopes = torch.randn(16, 3, 2, generator=g, dtype=torch.float64)
    at = torch.arange(7.0, dtype=torch.float64)
    k = slopes[..., :1, None] * at[:, None] + slopes[..., 1:, None] * at
    k = k + torch.randn(16, 3, 7, 7, generator=g, dtype=torch.float64)
    row = {"kernels": k.flatten(1).tolist(), "seed": 0}
    found = kernels.crop_smoothness(pd.DataFrame([row])).smooth[0]
    crops = [k[..., i : i + 3, j : j + 3] for i in range(5) for j in range(5)]
    each = [kernels.beyond_shuffled(crop, kernels.smoothness, 0)[0] for crop in crops]
    assert len(crops) == 25 and found == pytest.approx(np.mean(each))
    assert found < kernels.beyond_shuffled(k, kernels.smoothness, 0)[0] - 0.1
    whole = kernels.crop_smoothness(pd.DataFrame([row]), side=7).smooth[0]
    assert whole == pytest.approx(kernels.beyond_shuffled(k, kernels.smoothness, 0)[0])


def test_another_side_changes_the_first_kernels_alone():
    net, state = kernels.body_of("resnet10", 3, 0)
    same, usual = kernels.body_of("resnet10", 7, 0)
    assert kernels.first_kernels(state).shape[-1] == 3
    assert kernels.first_kernels(usual).shape[-1] == 7
    assert all(torch.equal(state[k], usual[k]) for k in state if k != "conv1.weight")
    x = torch.zeros(2, 3, 32, 32)
    assert net.call(state, x).shape == same.call(usual, x).shape
    with pytest.raises(ValueError, match="no vgg11 with first kernels of 5 x 5"):
        kernels.body_of("vgg11", 5, 0)


@pytest.mark.parametrize("network", kernels.NETWORKS)
def test_stages_end_with_what_the_head_reads(network):
    net, state = zoo.build(network, 1)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = layers.stages(net, state, x)
    assert len(found) == 6
    torch.testing.assert_close(found[0], x.flatten(1).double())
    sizes = [v.shape[1] for v in found[1:]]
    assert sizes == sorted(sizes, reverse=True)
    if network == "resnet10":
        pooled = found[-1].view(3, 64, -1).mean(2).float()
        torch.testing.assert_close(pooled, net.call(state, x), rtol=1e-4, atol=1e-5)


def test_low_level_numbers_by_hand():
    x = torch.zeros(1, 3, 4, 4)
    x[:, 0] = 0.3
    x[:, :, :, 2:] += 1.0  # an edge from left to right
    found = layers.low_level(x)[0]
    assert found[:3].tolist() == pytest.approx([0.8, 0.5, 0.5])
    assert found[3:].tolist() == pytest.approx([1 / 3, 0])


def test_probes_are_ridge_regression():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 100, generator=g, dtype=torch.float64)
    y = x[:, :2] @ torch.randn(2, 2, generator=g, dtype=torch.float64)
    fit, choose = torch.arange(60) < 30, (torch.arange(60) >= 30) & (torch.arange(60) < 45)
    found = layers.probed(x, y, fit, choose)
    centred = x[fit] - x[fit].mean(0)
    mean = float(torch.linalg.eigvalsh(centred @ centred.T).mean())
    options = []
    for ridge in layers.RIDGES:
        model = Ridge(alpha=ridge * mean).fit(x[fit].numpy(), y[fit].numpy())
        guess = model.predict(x.numpy())
        options.append((np.square(guess - y.numpy())[choose.numpy()].mean(0), guess))
    for target in range(2):
        best = min(options, key=lambda o: o[0][target])[1]
        np.testing.assert_allclose(found[:, target], best[:, target], rtol=1e-6, atol=1e-9)


def test_kernels_of_rows_have_their_shape():
    assert kernels.as_kernels([[0.0] * 147] * 2).shape == (2, 3, 7, 7)
    assert kernels.as_kernels([[0.0] * 27]).shape == (1, 3, 3, 3)
    assert kernels.as_kernels([[0.0] * 25]).shape == (1, 1, 5, 5)
    assert kernels.as_kernels([[0.0] * 9]).shape == (1, 1, 3, 3)
