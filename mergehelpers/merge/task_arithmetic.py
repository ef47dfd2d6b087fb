"""Task arithmetic: add up task vectors."""

from collections.abc import Mapping

from torch import Tensor

from mergehelpers.merge.registry import Models, Pairs, Scale, Weights, rule
from mergehelpers.merge.stacks import Stacks, by_tensor


@rule()
def task_arithmetic(
    base: Mapping[str, Tensor], experts: Models, scale: Scale, weights: Weights = None
) -> Pairs:
    """Base plus `scale` times the weighted sum of the task vectors (Ilharco et al. 2023).

    With `scale` 1/q and without weights it is the average.
    """
    stacks = Stacks(base, experts, weights)
    return by_tensor(stacks, lambda stack: (slab.sum(0) for slab in stack), scale)
