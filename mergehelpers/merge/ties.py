"""TIES: trim, elect signs, merge what agrees."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from torch import Tensor

from mergehelpers.merge.arithmetic import count_kept, cut, disjoint_mean, trimmed
from mergehelpers.merge.registry import Keep, Models, Pairs, Scale, Size, Weights, rule
from mergehelpers.merge.stacks import Stacks, by_tensor, check_weights
from mergehelpers.merge.thresholds import held, kth_largest
from mergehelpers.parameters import Choice


def selection(size: Size) -> int:
    """The bytes in which the threshold of a trim is selected."""
    return (size.models + 1) * min(held(size.entries), size.entries) * size.width


@rule(memory=selection)
def ties(
    base: Mapping[str, Tensor],
    experts: Models,
    keep: Keep,
    scale: Scale,
    scope: Annotated[str, Choice(("global", "tensor")), "tensor"] = "global",
    weights: Weights = None,
) -> Pairs:
    """TIES merging (Yadav et al. 2023): trim, elect signs, merge what agrees.

    Each task vector keeps its fraction `keep` of largest entries, over the whole model (`global`)
    or over every tensor by itself (`tensor`). `scale` multiplies the disjoint mean. `weights`
    multiply the trimmed task vectors, before signs are elected; the mean is a weighted one.
    """
    if weights is not None:  # their ratios count, and the smallest are not to vanish
        check_weights(weights, len(experts))
        weights = [w / max(weights) for w in weights]
    stacks = Stacks(base, experts, weights)
    threshold = cache(lambda: kth_largest(stacks, count_kept(keep, stacks.entries), stacks.entries))

    def trim(stack):
        if scope == "tensor":
            return trimmed(stack, keep)
        return (cut(slab, threshold()) for slab in stack)

    return by_tensor(
        stacks, lambda stack: (disjoint_mean(slab, stack.weights) for slab in trim(stack)), scale
    )
