"""Breadcrumbs: drop the largest and the smallest changes."""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor

from mergehelpers.merge.arithmetic import count_kept, cut
from mergehelpers.merge.registry import Keep, Models, Pairs, Scale, Weights, rule
from mergehelpers.merge.stacks import Stacks, by_tensor
from mergehelpers.merge.thresholds import kth_largest
from mergehelpers.merge.ties import selection
from mergehelpers.parameters import Float


@rule(memory=selection)
def breadcrumbs(
    base: Mapping[str, Tensor],
    experts: Models,
    keep: Keep,
    outliers: Annotated[float, Float(minimum=0, maximum=1), 0.01],
    scale: Scale,
    weights: Weights = None,
) -> Pairs:
    """Model Breadcrumbs (Davari and Belilovsky 2024): no outliers, no small changes.

    Of each tensor of a task vector the fraction `outliers` of largest entries is dropped, and the
    next `keep` stays, as far as there are so many. What stays is multiplied by `weights` and
    summed. Entries equal to the last outlier go too, those equal to the last one kept stay.
    """

    def middle(stack):
        entries = stack.entries
        gone = round(outliers * entries)
        last = min(entries, gone + count_kept(keep, entries))
        low = kth_largest(stack, last, entries)
        high = kth_largest(stack, gone, entries) if gone else None
        return (cut(slab, low, high).sum(0) for slab in stack)

    return by_tensor(Stacks(base, experts, weights), middle, scale)
