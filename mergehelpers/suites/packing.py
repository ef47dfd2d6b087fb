"""Small storage for experts: their change from the base, in 8 bits a number.

Every row of a matrix is stored as int8 with one float32 scale, so an entry is off by at most 1/254
of its row's largest entry. With a rank, a matrix is first cut to its best approximation of that
rank (Eckart and Young) and its two factors are stored so. Vectors are stored in float16.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mergehelpers.states import State


def pack(delta: Mapping[str, Tensor], rank: int | None = None) -> State:
    """Compact tensors, from which `unpack` restores the change `{name: tensor}`."""
    out = {}
    for name, value in delta.items():
        if value.ndim < 2:
            out[f"{name}|half"] = value.half()
        elif rank is None or min(value.flatten(1).shape) <= rank:
            out |= _quantise(f"{name}|", value.flatten(1))
        else:
            u, s, vh = torch.linalg.svd(value.flatten(1), full_matrices=False)
            root = s[:rank].sqrt()
            out |= _quantise(f"{name}|left.", (u[:, :rank] * root).T)
            out |= _quantise(f"{name}|right.", root[:, None] * vh[:rank])
    return {key: value.contiguous() for key, value in out.items()}


def unpack(stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> State:
    """The packed change from the base, in the shapes of `like`.

    Raises `ValueError` for one that fits nothing there.
    """
    out = {}
    for name in dict.fromkeys(key.split("|")[0] for key in stored if "|" in key):
        if f"{name}|half" in stored:
            change = stored[f"{name}|half"].float()
        elif f"{name}|int8" in stored:
            change = _restore(stored, f"{name}|")
        else:
            change = _restore(stored, f"{name}|left.").T @ _restore(stored, f"{name}|right.")
        if name not in like or change.numel() != like[name].numel():
            raise ValueError(
                f"the change of {name}, with {change.numel()} entries, fits no tensor of the base"
            )
        out[name] = change.view_as(like[name])
    return out


def _quantise(prefix, rows):
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / 127
    return {f"{prefix}int8": (rows / scale).round().to(torch.int8), f"{prefix}scale": scale}


def _restore(stored, prefix):
    return stored[f"{prefix}int8"].float() * stored[f"{prefix}scale"]
