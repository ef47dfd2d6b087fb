"""Merging rules: pure functions from a base and its experts to one state dict.

`experts` is a sequence of state dicts like the base. Integer tensors keep the base's value.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mergehelpers import states
from mergehelpers.states import State

SCOPES = ("global", "tensor")


def average(models: Sequence[Mapping[str, Tensor]], weights: Sequence[float] | None = None) -> State:
    """The weighted mean of the models, by default with equal weights; integer tensors are the first model's.

    Raises `ValueError` if the models do not fit each other or the weights are not one a model, with a sum of one.
    """
    states.check_compatible(models)
    weights = [1 / len(models)] * len(models) if weights is None else list(weights)
    if len(weights) != len(models) or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"need one weight for each of {len(models)} models, with the sum 1, got {weights}")
    return {key: sum(w * model[key] for w, model in zip(weights, models)) if value.is_floating_point() else value
            for key, value in models[0].items()}


def task_arithmetic(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], scale: float) -> State:
    """Base plus `scale` times the sum of the task vectors (Ilharco et al. 2023); `scale` 1/q is the average."""
    vectors = [states.task_vector(base, expert) for expert in experts]
    return states.apply(base, {key: sum(v[key] for v in vectors) for key in vectors[0]}, scale)


def ties(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], keep: float, scale: float,
         scope: str = "global") -> State:
    """TIES merging (Yadav et al. 2023): trim, elect signs, merge what agrees.

    Each task vector keeps its fraction `keep` in (0, 1] of largest entries, over the whole model (`global`) or over
    every tensor by itself. Per entry, the sign with the larger sum wins, and the kept entries of that sign are averaged.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep is {keep!r}; allowed: above 0, at most 1")
    if scope not in SCOPES:
        raise ValueError(f"scope is {scope!r}; allowed: {', '.join(SCOPES)}")
    vectors = [states.task_vector(base, expert) for expert in experts]
    groups = [list(vectors[0])] if scope == "global" else [[key] for key in vectors[0]]
    merged = {}
    for keys in groups:
        rows = torch.stack([torch.cat([vector[key].flatten() for key in keys]) for vector in vectors])
        pieces = _elect(_trim(rows, keep)).split([base[key].numel() for key in keys])
        merged |= {key: piece.view_as(base[key]) for key, piece in zip(keys, pieces)}
    return states.apply(base, merged, scale)


def _trim(rows, keep):
    """Zero all but the fraction `keep` of entries of largest magnitude in each row; ties with the last one stay."""
    kept = max(1, round(keep * rows.shape[1]))
    threshold = rows.abs().kthvalue(rows.shape[1] - kept + 1, dim=1, keepdim=True).values
    return rows * (rows.abs() >= threshold)


def _elect(rows):
    """Mean of the non-zero entries that have the sign of the column's sum; zero where there is none."""
    agree = (rows * rows.sum(0).sign()) > 0
    return (rows * agree).sum(0) / agree.sum(0).clamp(min=1)
