"""Weight statistics against numpy's full decomposition, and the learners' promises.

Those are symmetry, starts and shapes.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergehelpers import stats


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 500), st.integers(1, 9), st.integers(1, 9), st.data())
def test_singular_values_are_numpys(seed, rows, columns, data):
    weight = noise(seed, rows, columns)
    rank = data.draw(st.integers(1, min(rows, columns)))
    expected = np.linalg.svd(weight.double().numpy(), compute_uv=False)[:rank]
    np.testing.assert_allclose(
        stats.singular_values(weight, rank), expected, rtol=1e-10, atol=1e-12
    )


def test_large_layers_take_the_other_way_to_the_same_values():
    weight = noise(1, 200, 150)
    assert min(weight.shape) > stats.SMALL
    np.testing.assert_allclose(
        stats.singular_values(weight, 4),
        np.linalg.svd(weight.double(), compute_uv=False)[:4],
        rtol=1e-9,
    )


@pytest.mark.parametrize("rank", [0, 4, -1])
def test_a_rank_that_the_layer_does_not_allow_is_refused(rank):
    with pytest.raises(
        ValueError, match=rf"rank is {rank}; a layer of shape \(3, 5\) allows 1 to 3"
    ):
        stats.singular_values(noise(0, 3, 5), rank)


def test_convolutions_are_flattened_by_output_channel():
    kernel = noise(0, 4, 3, 2, 2)
    assert stats.as_matrix(kernel).shape == (4, 12)
    torch.testing.assert_close(stats.as_matrix(kernel)[2], kernel[2].flatten())
    assert stats.as_matrix(noise(0, 5)).shape == (1, 5)
    assert stats.as_matrix(torch.tensor(3.0)).shape == (1, 1)


@given(st.integers(0, 500), st.sampled_from([(7,), (), (3, 4), (4, 3, 2, 2)]), st.integers(0, 5))
def test_the_statistics_of_a_layer(seed, shape, rank):
    weight = noise(seed, *shape).double()
    found = stats.of_layer(weight, rank)
    assert found.shape == (3 + rank,)
    values = weight.flatten().tolist()
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    np.testing.assert_allclose(
        found[:3], [mean, variance, math.sqrt(sum(v * v for v in values))], atol=1e-12
    )
    there = min(rank, *stats.as_matrix(weight).shape)
    assert (found[3 : 3 + there] > 0).all()
    assert not found[3 + there :].any()


def test_magnitude_follows_from_mean_and_variance():
    weight = noise(3, 6, 5)
    mean, variance, magnitude = stats.of_layer(weight, 0)
    assert magnitude.item() == pytest.approx(math.sqrt(weight.numel() * (mean**2 + variance)))


def state(seed):
    return {
        "a": noise(seed, 4, 5),
        "b": noise(seed + 100, 4),
        "count": torch.tensor(3),
        "c": noise(seed + 200, 2, 4),
    }


def test_statistics_of_a_model_by_layer_and_whole():
    s = state(0)
    layers = stats.layer_wise(s, 3)
    assert layers.shape == (3, 6)
    torch.testing.assert_close(layers[0], stats.of_layer(s["a"], 3))
    whole = stats.task_wise(s, 2)
    together = torch.cat([s[key].flatten() for key in "abc"]).double()
    torch.testing.assert_close(
        whole[:3], torch.stack([together.mean(), together.var(correction=0), together.norm()])
    )
    torch.testing.assert_close(
        whole[3:], (stats.singular_values(s["a"], 2) + stats.singular_values(s["c"], 2)) / 2
    )


def test_a_rank_that_no_layer_allows_is_refused():
    with pytest.raises(ValueError, match="rank is 5; the layers of this model allow 0 to 4"):
        stats.layer_wise(state(0), 5)


def test_energy_is_the_share_of_the_squared_norm():
    weight = torch.diag(torch.tensor([3.0, 4.0, 0.0]))
    assert stats.energy(weight, 1) == pytest.approx(16 / 25)
    assert stats.energy(weight, 2) == pytest.approx(1)
    assert math.isnan(stats.energy(torch.zeros(2, 2), 1))


def test_statistics_are_chosen_by_name():
    features = torch.arange(12.0).view(1, 2, 6)
    assert stats.choose(features, ["singular", "mean"]).tolist() == [[[0, 3, 4, 5], [6, 9, 10, 11]]]
    with pytest.raises(
        ValueError, match="statistic is 'median'; allowed: mean, variance, magnitude, singular"
    ):
        stats.choose(features, ["mean", "median"])


def test_standardised_statistics_have_mean_zero_and_spread_one():
    features = torch.stack([noise(0, 3, 5), torch.full((3, 5), 0.1)], dim=-1).double() + 1e3
    found = stats.standardise(features)
    assert found[..., 0].mean().item() == pytest.approx(0, abs=1e-6)
    assert found[..., 0].std(correction=0).item() == pytest.approx(1)
    assert not found[..., 1].any()
    within = stats.standardise(features, over=[0])
    torch.testing.assert_close(within[..., 0].mean(0), torch.zeros(5), atol=1e-6, rtol=0)


# Learners


def learner(features, **settings):
    """A learner whose last layer is not zero, as after training."""
    made = stats.Learner(features, **settings)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return made


@pytest.mark.parametrize("kind", stats.KINDS)
@pytest.mark.parametrize(("form", "expected"), [("simplex", 1 / 3), ("free", 0.3)])
def test_all_learners_start_from_one_merge(kind, form, expected):
    for shared in [True] if kind == "transformer" else [True, False]:
        found = stats.Learner(noise(0, 3, 5, 6), kind, form=form, shared=shared)()
        torch.testing.assert_close(found, torch.full((3, 5), expected))
    torch.testing.assert_close(stats.Free(3, 5, form)(), torch.full((3, 5), expected))


@pytest.mark.parametrize("kind", stats.KINDS)
def test_reordering_experts_reorders_their_coefficients(kind):
    features, order = noise(0, 4, 5, 6), [2, 0, 3, 1]
    g = learner(features, kind=kind)
    torch.testing.assert_close(g.coefficients(features[order]), g()[order])


@pytest.mark.parametrize("kind", stats.KINDS)
def test_equal_statistics_get_equal_coefficients(kind):
    features = noise(0, 1, 5, 6).expand(3, 5, 6)
    found = learner(features, kind=kind, form="free")()
    torch.testing.assert_close(found[0], found[2])


def test_a_simplex_sums_to_one_in_every_layer():
    torch.testing.assert_close(learner(noise(0, 4, 5, 6))().sum(0), torch.ones(5))


def test_a_learner_reads_other_experts_than_it_was_made_with():
    g = learner(noise(0, 4, 5, 6), form="free")
    other = noise(1, 2, 9, 6)
    assert g.coefficients(other).shape == (2, 9)
    torch.testing.assert_close(g.coefficients(other)[1, 3], g.coefficients(other[1:2, 3:4])[0, 0])


def test_the_size_of_a_learner():
    """Two layers: 6 x 64 + 64, then 64 + 1; four: two more of 64 x 64 + 64."""
    sizes = {
        kind: sum(p.numel() for p in stats.Learner(noise(0, 3, 5, 6), kind).parameters())
        for kind in stats.KINDS
    }
    assert (sizes["linear"], sizes["mlp2"], sizes["mlp4"]) == (7, 513, 513 + 2 * (64 * 64 + 64))


@given(st.integers(0, 3))
def test_the_seed_decides_the_start_and_leaves_the_generator_alone(seed):
    before = torch.random.get_rng_state()
    first, second = (stats.Learner(noise(0, 2, 3, 6), seed=seed).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "cnn"}, "learner is 'cnn'; allowed: linear, mlp2, mlp4, transformer"),
        ({"form": "sum"}, "form is 'sum'; allowed: simplex, free"),
        ({"kind": "transformer", "shared": False}, "a transformer reads all layers together"),
    ],
)
def test_unknown_learners_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        stats.Learner(noise(0, 2, 3, 6), **settings)
