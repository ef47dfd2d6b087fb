"""Arithmetic on a stack, the task vectors of all experts along the first axis."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from mergehelpers.merge.stacks import Stack, widest
from mergehelpers.merge.thresholds import ascending, kth_largest

_counts: ContextVar[list[int] | None] = ContextVar("counts", default=None)


@contextmanager
def counting() -> Iterator[list[int]]:
    """Within the block, each trim appends to the list how many entries it kept."""
    token = _counts.set(counts := [])
    try:
        yield counts
    finally:
        _counts.reset(token)


def _masked(stack, mask):
    """The stack where a mask of ones and zeros is one; entries that are zero are not kept."""
    kept = stack * mask
    if (counts := _counts.get()) is not None:
        counts.append(int(kept.detach().sign().abs_().sum()))
    return kept


def count_kept(keep: float, size: int) -> int:
    """How many of `size` entries the fraction `keep` leaves: the nearest number, at least one."""
    return max(1, round(keep * size))


def trim(stack: Tensor, keep: float | Tensor) -> Tensor:
    """Zero all but the fraction `keep` of entries of largest magnitude.

    Entries equal to the last one kept stay too. `stack` (q, entries) has one `keep` for all;
    `stack` (q, rows, entries) has `keep` (rows,), and each row of each model is trimmed by itself.
    """
    if not isinstance(keep, Tensor):
        size = stack.shape[1]
        return (
            cut(stack, kth_largest([stack.to(widest([stack]))], count_kept(keep, size), size))
            if size
            else stack
        )
    size = stack.shape[-1]
    # In double precision, so that a rate in half precision says how many entries it means.
    kept = (keep.cpu().double() * size).round().long().to(stack.device)
    kept = kept.view(1, -1, 1).expand(len(stack), -1, 1)
    magnitude = stack.abs()
    threshold = ascending(magnitude.to(widest([stack]))).gather(
        -1, (size - kept).clamp(max=size - 1)
    )
    return _masked(stack, (magnitude >= threshold) & (kept > 0))


def trimmed(stack: Stack, keep: float | Tensor) -> Iterator[Tensor]:
    """`trim`, slab by slab: one rate for the tensor, or for each of its rows."""
    if isinstance(keep, Tensor):
        return (trim(slab, rate) for slab, rate in zip(stack, keep.split(stack.rows)))
    threshold = kth_largest(stack, count_kept(keep, stack.entries), stack.entries)
    return (cut(slab, threshold) for slab in stack)


def cut(stack: Tensor, low: Tensor, high: Tensor | None = None) -> Tensor:
    """Zero the entries of a magnitude below `low`, or from `high` on: (q,), one for each model."""

    def reached(limits):
        limits = limits.view(-1, *[1] * (stack.ndim - 1))
        # Ones and zeros of the stack's own type multiply several times as fast as truth values do.
        return torch.ge(stack.detach().abs(), limits, out=torch.empty_like(stack))

    return _masked(stack, reached(low) if high is None else reached(low) - reached(high))


def drop(
    stack: Tensor, keep: float | Tensor, generator: torch.Generator, rescale: bool = True
) -> Tensor:
    """Zero each entry with probability 1 - `keep`; divide the others by `keep` (DARE).

    So the mean stays. `keep` is a number, or a tensor that broadcasts against one model's entries.
    """
    return thin(stack, draw(stack.shape, keep, generator), keep, rescale)


def dropped(
    stack: Stack, keep: float | Tensor, generator: torch.Generator, rescale: bool = True
) -> Iterator[Tensor]:
    """`drop`, slab by slab, with the draws that it makes for the whole tensor.

    Draws go model after model, a byte an entry.
    """
    rates = keep.split(stack.rows) if isinstance(keep, Tensor) else [keep] * len(stack.experts[0])
    stays = [
        [draw(part.shape, rate, generator) for part, rate in zip(parts, rates)]
        for parts in stack.experts
    ]
    return (
        thin(slab, torch.stack(kept), rate, rescale)
        for slab, rate, kept in zip(stack, rates, zip(*stays))
    )


def draw(shape: Sequence[int], keep: float | Tensor, generator: torch.Generator) -> Tensor:
    """Which entries stay, each with probability `keep`; drawn in double precision on the CPU."""
    keep = keep.cpu() if isinstance(keep, Tensor) else keep
    return torch.rand(shape, generator=generator, dtype=torch.float64) < keep


def thin(stack: Tensor, stays: Tensor, keep: float | Tensor, rescale: bool) -> Tensor:
    """The stack where `stays`, divided by `keep` if that is asked for."""
    keep = torch.as_tensor(keep, dtype=torch.float64, device="cpu")
    # Where the rate is 0 nothing stays, and any divisor will do.
    return stack * stays.to(stack.device) / (keep.where(keep > 0, 1.0).to(stack) if rescale else 1)


def elect(stack: Tensor) -> Tensor:
    """Zero the entries whose sign is not that of the sum over models.

    Where the sum is zero, all of them are zeroed.
    """
    return stack * ((stack * stack.sum(0).sign()) > 0)


def disjoint_mean(stack: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over models of the elected entries that are not zero; zero where there is none.

    `weights` (q, 1, …) are those that the stack was multiplied by: the sum of what agrees is then
    divided by the sum of its weights.
    """
    sign = stack.sum(0).sign()
    along = (stack * sign).relu()  # what agrees with the sign is positive
    if weights is None:
        return sign * along.sum(0) / along.sign().sum(0).clamp(min=1)
    total = (along.sign() * weights).sum(0)
    return sign * along.sum(0) / total.where(total > 0, 1.0)


def weighted_sum(stack: Tensor, weights: Tensor | None = None) -> Tensor:
    """The sum over models of the elected entries times α = weights / their sum, or 1/q.

    So an entry that few models share stays small. `weights` are as in `disjoint_mean`.
    """
    return elect(stack).sum(0) / (len(stack) if weights is None else weights.sum())


# How a trimmed stack, with its weights, becomes one increment.
INCREMENTS = {"disjoint": disjoint_mean, "weighted": weighted_sum}
