"""What is no rule from models to one model: task vectors stacked and combined, EMR, LiNeS."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mergehelpers import states
from mergehelpers.merge.arithmetic import elect
from mergehelpers.states import State


def vectors_stacked(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> State:
    """The task vectors of all experts by tensor: `{name: (q, *shape)}`.

    Only floating-point tensors are there.
    """
    states.check_compatible(
        [base, *experts], ["base", *(f"expert {i}" for i in range(len(experts)))]
    )
    return {
        key: torch.stack([expert[key] for expert in experts]) - value
        for key, value in base.items()
        if value.is_floating_point()
    }


def combine(
    base: Mapping[str, Tensor], stacks: Mapping[str, Tensor], coefficients: Tensor
) -> State:
    """Base plus a linear combination of task vectors, differentiable in the coefficients.

    `stacks` is `vectors_stacked(base, experts)`. `coefficients` (q,) has one number for each
    expert, or (q, tensors) one for each expert and tensor, in the order of `stacks` (AdaMerging,
    Eqs. 5 and 6). Where those of a tensor sum to 1, this is the combination of the experts
    themselves (StatsMerging, Section 3.1). Raises `ValueError` for another shape.
    """
    tall, experts = coefficients.reshape(len(coefficients), -1), len(next(iter(stacks.values())))
    if len(tall) != experts or tall.shape[1] not in (1, len(stacks)):
        raise ValueError(
            f"coefficients have shape {tuple(coefficients.shape)}; "
            f"allowed: ({experts},) or ({experts}, {len(stacks)})"
        )
    columns = tall.expand(-1, len(stacks)).unbind(1)
    added = {
        key: torch.tensordot(column, stack, 1)
        for column, (key, stack) in zip(columns, stacks.items())
    }
    return {key: value + added[key] if key in added else value for key, value in base.items()}


def emr(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> list[State]:
    """EMR-Merging (Huang et al. 2024): one model a task.

    It is made from one shared vector, a mask and a scale for each task. The shared vector has the
    elected sign and the largest agreeing magnitude of each entry. A task's mask keeps the entries
    whose sign is that of its own task vector; its scale restores the mean magnitude of that vector.
    """
    stacks = vectors_stacked(base, experts)
    shared = {
        key: elect(stack).abs().amax(0) * stack.sum(0).sign() for key, stack in stacks.items()
    }
    out = []
    for i in range(len(experts)):
        masked = {key: shared[key] * (shared[key] * stack[i] > 0) for key, stack in stacks.items()}
        left = sum(value.abs().sum() for value in masked.values())
        scale = sum(stack[i].abs().sum() for stack in stacks.values()) / left if left else 1.0
        out.append(states.apply(base, masked, float(scale)))
    return out


def lines(
    vector: Mapping[str, Tensor], depths: Mapping[str, float], first: float, last: float
) -> State:
    """LiNeS (Wang et al. 2024): a task vector times a scale that grows linearly with depth.

    The scale goes from `first` at depth 0 to `last` at depth 1.
    """
    return {key: value * (first + (last - first) * depths[key]) for key, value in vector.items()}
