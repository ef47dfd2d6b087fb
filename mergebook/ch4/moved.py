"""Models moved: in random directions, to another length, by parts, with conflicts dealt anew."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mergehelpers import zoo
from mergehelpers.states import State

# What is in the names of a transformer's tensors; of several marks the first counts.
PARTS = {
    "attention": ("attn",),
    "MLP": ("mlp",),
    "norms": ("norm",),
    "embeddings": ("patch_embed", "pos_embed", "cls_token"),
    "classifier": ("head.",),
    "stem": ("0.weight", "0.bias"),
}


def weights_only(state: State) -> State:
    """The trained tensors, without BatchNorm's running moments and counters."""
    return {k: v for k, v in state.items() if v.is_floating_point() and "running" not in k}


def flat_body(state: State) -> Tensor:
    """All trained numbers of a body, one after another, (numbers,)."""
    return torch.cat([v.flatten() for v in weights_only(zoo.body(state)).values()])


def move_between(a: State, b: State, share: float = 0.5) -> State:
    """Of each trained tensor the share of the way from `a` to `b`."""
    return {k: share * (b[k] - v) for k, v in weights_only(a).items()}


def lengths_of(move: Mapping[str, Tensor], share: float = 1.0) -> dict[str, Tensor]:
    """The length of every tensor, times `share`."""
    return {k: share * v.norm() for k, v in move.items()}


def displaced(state: State, lengths: Mapping[str, Tensor], number: int) -> State:
    """A model moved in a random direction, every tensor by its length in `lengths`.

    Tensors that `lengths` lacks stay. `number` seeds the direction.
    """
    g = torch.Generator().manual_seed(number)
    out = dict(state)
    for k, length in lengths.items():
        noise = torch.randn(state[k].shape, generator=g, dtype=torch.float64)
        out[k] = state[k] + noise * (length / noise.norm())
    return out


def leveled(state: State, like: State) -> State:
    """Every trained tensor brought to the length that it has in another model."""
    return state | {
        k: v * (like[k].norm() / v.norm().clamp(min=1e-12)) for k, v in weights_only(state).items()
    }


def part_names(state: State) -> tuple[str, ...]:
    """The parts of `PARTS` that a transformer's state has."""
    there = {part_of_tensor(k) for k in state}
    return tuple(part for part in PARTS if part in there)


def part_of_tensor(name: str) -> str:
    """The part that a transformer's tensor belongs to; raises `ValueError` for another name."""
    for part, marks in PARTS.items():
        if any(mark in name for mark in marks):
            return part
    raise ValueError(f"the tensor {name} is in no part of a transformer: {', '.join(PARTS)}")


def with_part(state: State, other: State, part: str) -> State:
    """A transformer with one part's tensors from another one."""
    return {k: other[k] if part_of_tensor(k) == part else v for k, v in state.items()}


def sign_conflict(u: Tensor, v: Tensor) -> float:
    """The share of entries in which two updates have opposite signs."""
    return float((u * v < 0).double().mean())


def dealt_anew(start: State, a: State, b: State, number: int) -> State:
    """Model `b` with another update from `start`, which conflicts with that of `a` equally often.

    Of each tensor the entries of b's update, given the sign relative to a's, change places at
    random. So the share of conflicting signs, the entries' sizes and the length are b's in every
    tensor; which entries conflict is chance. Entries that `a` has not moved stay as they are.
    `number` seeds the draws.
    """
    g, out = torch.Generator().manual_seed(number), dict(b)
    for k, s in weights_only(zoo.body(start)).items():
        u, v = (a[k] - s).flatten(), (b[k] - s).flatten()
        at = u.nonzero().flatten()
        order = at[torch.randperm(len(at), generator=g)]
        v[at] = (v * u.sign())[order] * u[at].sign()
        out[k] = s + v.view_as(s)
    return out
