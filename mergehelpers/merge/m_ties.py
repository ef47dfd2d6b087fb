"""TIES and DARE with keep rates of their own for rows of weights, as M-Loss gives them."""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mergehelpers.merge.arithmetic import INCREMENTS, disjoint_mean, dropped, trimmed
from mergehelpers.merge.dare import draws
from mergehelpers.merge.registry import Keep, Models, Pairs, Rates, Scale, Seed, Weights, Yes, rule
from mergehelpers.merge.stacks import Stacks, by_tensor
from mergehelpers.merge.ties import selection
from mergehelpers.parameters import Choice

Increment = Annotated[str, Choice(tuple(INCREMENTS)), "disjoint"]


@rule(memory=selection)
def m_ties(
    base: Mapping[str, Tensor],
    experts: Models,
    rates: Rates,
    keep: Keep,
    scale: Scale = 1.0,
    increment: Increment = "disjoint",
    biases: Yes = False,
    weights: Weights = None,
    elsewhere: Increment = "disjoint",
) -> Pairs:
    """M-TIES (Wang et al. 2026, Algorithm 1), given its keep rates.

    This is TIES tensor by tensor, some of them row by row. `rates[name]` (rows,) holds the keep
    rate of each row of the weight `name`; with `biases` the entry of the layer's bias belongs to
    its row. Other tensors keep the fraction `keep`. `increment` is `disjoint`, the mean of what
    agrees, or `weighted`, line 22 of the algorithm, where all models divide; `elsewhere` is the
    same for tensors without rates. Without rates it is TIES per tensor, and `weights` are used as
    there.
    """

    def made(how, stack, rate):
        return (INCREMENTS[how](slab, stack.weights) for slab in trimmed(stack, rate))

    return by_tensor(
        Stacks(base, experts, weights),
        lambda stack: made(elsewhere, stack, keep),
        scale,
        rates,
        lambda stack, rate: made(increment, stack, rate),
        biases,
    )


@rule(memory=draws, ordered=True)
def m_dare(
    base: Mapping[str, Tensor],
    experts: Models,
    rates: Rates,
    keep: Keep,
    scale: Scale,
    seed: Seed,
    weights: Weights = None,
) -> Pairs:
    """DARE-TIES with a keep rate for each row of the weights in `rates` (Wang et al. 2026).

    Each row is divided by its rate. `weights` are used as in `dare`.
    """
    generator = torch.Generator().manual_seed(seed)

    def at(stack, rate):
        return (disjoint_mean(s, stack.weights) for s in dropped(stack, rate, generator))

    stacks = Stacks(base, experts, weights)
    return by_tensor(
        stacks,
        lambda stack: at(stack, keep),
        scale,
        rates,
        lambda stack, rate: at(stack, rate.unsqueeze(1)),
    )
