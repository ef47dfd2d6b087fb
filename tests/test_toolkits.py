"""Merging rules against a published package: peft's TIES and DARE, tensor by tensor."""

import pytest
import torch
from peft.utils import merge_utils as peft

from mergehelpers import merge


def crowd(count):
    """A base and experts; no magnitudes are equal, and no sums are zero."""
    g = torch.Generator().manual_seed(count)
    return [
        {
            name: torch.randn(shape, generator=g, dtype=torch.float64)
            for name, shape in {"w": (6, 7), "b": (5,), "c": (4, 3, 2, 2)}.items()
        }
        for _ in range(1 + count)
    ]


def theirs(rule, base, experts, density, **options):
    """What peft makes of every tensor's task vectors, added to the base."""
    return {
        name: value
        + rule(
            [expert[name] - value for expert in experts],
            torch.ones(len(experts)),
            density(value),
            **options,
        )
        for name, value in base.items()
    }


def close(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("keep", [0.02, 0.2, 0.5, 0.85])
def test_ties_per_tensor_is_that_of_peft(keep, count):
    """It rounds the number of entries down, we round it to the nearest, and keep at least one."""

    def density(value):
        return (max(1, round(keep * value.numel())) + 0.5) / value.numel()

    base, *experts = crowd(count)
    found = merge.ties(base, experts, keep, 1.0, scope="tensor")
    close(found, theirs(peft.ties, base, experts, density, majority_sign_method="total"))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("elect_signs, rule", [(False, peft.dare_linear), (True, peft.dare_ties)])
def test_dare_is_that_of_peft_with_the_same_masks(monkeypatch, elect_signs, rule, keep, count):
    base, *experts = crowd(count)
    found, g = (
        merge.dare(base, experts, keep, 1.0, seed=5, elect_signs=elect_signs),
        torch.Generator().manual_seed(5),
    )
    masks = [
        mask
        for value in base.values()
        for mask in merge.drop(torch.ones(count, *value.shape), keep, g, rescale=False)
    ]
    monkeypatch.setattr(torch, "bernoulli", lambda chances: masks.pop(0))
    close(found, theirs(rule, base, experts, lambda value: keep))
    assert not masks
