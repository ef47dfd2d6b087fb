"""Fisher merging."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from mergehelpers import device as devices
from mergehelpers import states
from mergehelpers.merge import stacks
from mergehelpers.merge.registry import Models, Pairs, Tensors, Weights, rule
from mergehelpers.merge.stacks import check_numbers, check_weights, joined, widest
from mergehelpers.parameters import Float

Fishers = Annotated[
    Sequence[Mapping[str, Tensor]],
    Tensors("the diagonal of its Fisher information, as tensors with the model's names", each=True),
    [],
]


@rule()
def fisher(
    experts: Models,
    fishers: Fishers,
    floor: Annotated[float, Float(above=0), 1e-6] = 1e-10,
    weights: Weights = None,
) -> Pairs:
    """The mean of the models, entry by entry, with weights `fishers` + `floor`.

    This is Fisher merging (Matena and Raffel 2022, Eq. 3). `fishers` are diagonals of the Fisher
    information, with the models' names and shapes (`curvature.diagonal_fisher`); the floor makes
    the plain mean where no model has any. `weights` multiply fishers and floor (their λ).
    """
    states.check_compatible(experts, values=False)
    if weights is not None:
        check_weights(weights, len(experts))
    check_fishers(fishers, experts)

    def mean(key, value):
        check_numbers(key, None, [model[key] for model in experts])
        room = devices.at_once(stacks.SLAB, value.device)
        kind = widest([model[key] for model in (*experts, *fishers)])
        flat = [[m[key].flatten().split(room) for m in part] for part in (experts, fishers)]
        slabs = zip(zip(*flat[0]), zip(*flat[1]))
        wide = ([[piece.to(kind) for piece in part] for part in parts] for parts in slabs)
        return joined((weighted(*parts) for parts in wide), value)

    def weighted(models, information):
        shares = [f + floor for f in information]
        if weights is not None:
            shares = [w * share for w, share in zip(weights, shares)]
        return sum(w * model for w, model in zip(shares, models)) / sum(shares)

    return (
        (key, mean(key, value) if value.is_floating_point() else value)
        for key, value in experts[0].items()
    )


def check_fishers(fishers: Sequence[Mapping[str, Tensor]], experts: Models) -> None:
    """Raise `ValueError` unless there is, for each model, a number from 0 for each entry."""
    if len(fishers) != len(experts):
        raise ValueError(f"need the fishers of {len(experts)} models, got {len(fishers)}")
    for number, (information, model) in enumerate(zip(fishers, experts)):
        for key, value in model.items():
            if not value.is_floating_point():
                continue
            if key not in information or information[key].shape != value.shape:
                raise ValueError(f"the fishers of model {number} do not fit {key}")
            if not torch.all(information[key] >= 0):
                raise ValueError(f"the fishers of model {number}, {key}, must be numbers from 0")
