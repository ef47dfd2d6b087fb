"""DARE: drop entries of task vectors at random."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mergehelpers.merge.arithmetic import disjoint_mean, dropped
from mergehelpers.merge.registry import Keep, Models, Pairs, Scale, Seed, Size, Weights, Yes, rule
from mergehelpers.merge.stacks import Stacks, by_tensor


def draws(size: Size) -> int:
    """The bytes of what is drawn for the largest tensor: one for each entry of each model."""
    return size.models * size.largest


@rule(memory=draws, ordered=True)
def dare(
    base: Mapping[str, Tensor],
    experts: Models,
    keep: Keep,
    scale: Scale,
    seed: Seed,
    elect_signs: Yes = False,
    rescale: Yes = True,
    weights: Weights = None,
) -> Pairs:
    """DARE (Yu et al. 2024): drop entries of the task vectors at random, divide the rest by `keep`.

    What is left is summed, as by task arithmetic, or with `elect_signs` merged as by TIES
    (DARE-TIES); `weights` multiply the task vectors before. The draws come from the CPU's
    generator, so that every device drops the same entries. Nothing is drawn for a tensor that no
    expert changed.
    """
    generator = torch.Generator().manual_seed(seed)

    def increment(stack):
        for slab in dropped(stack, keep, generator, rescale):
            yield disjoint_mean(slab, stack.weights) if elect_signs else slab.sum(0)

    return by_tensor(Stacks(base, experts, weights), increment, scale)
