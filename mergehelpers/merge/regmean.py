"""RegMean."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from mergehelpers import device as devices
from mergehelpers.merge.average import average
from mergehelpers.merge.registry import Models, Pairs, Size, Tensors, Weights, rule
from mergehelpers.merge.stacks import check_weights
from mergehelpers.parameters import Float

Grams = Annotated[
    Sequence[Mapping[str, Tensor]],
    Tensors("tensors (inputs, inputs), the Gram matrix of what enters some weights", each=True),
    [],
]


def matrices(size: Size) -> int:
    """The bytes of the largest weight of all models in double precision."""
    return 8 * (size.models + 2) * size.largest


@rule(memory=matrices)
def regmean(
    experts: Models,
    grams: Grams,
    shrink: Annotated[float, Float(minimum=0, maximum=1), 0.9] = 0.9,
    weights: Weights = None,
) -> Pairs:
    """RegMean (Jin et al. 2023): the least squares fit to all experts' outputs.

    It is made for each weight with Gram matrices. `grams[i][name]` (inputs, inputs) is X'X of what
    enters that weight in model i (`curvature.input_grams`); their entries off the diagonal are
    multiplied by `shrink`. Other tensors are averaged. Directions that no input has keep the
    average. `weights` multiply the Gram matrices; the averages are weighted alike.
    """
    if weights is not None:
        check_weights(weights, len(experts))
        weights = [w / sum(weights) for w in weights]
    check_grams(grams, experts)

    def fitted(key, mean):
        kind = devices.widest_float(mean.device)
        wide = [g[key].to(mean.device, kind) for g in grams]
        wide = [shrink * g + (1 - shrink) * g.diag().diag() for g in wide]
        if weights is not None:
            wide = [w * g for w, g in zip(weights, wide)]
        models = [model[key].to(kind) for model in experts]
        mean = sum(w * m for w, m in zip(weights or [1 / len(models)] * len(models), models))
        off = [model - mean for model in models]
        step = torch.linalg.pinv(sum(wide), hermitian=True) @ sum(
            g @ d.T for g, d in zip(wide, off)
        )
        return (mean + step.T).to(experts[0][key].dtype)

    means = average.stream(experts, weights)
    return ((key, fitted(key, mean) if key in grams[0] else mean) for key, mean in means)


def check_grams(grams: Sequence[Mapping[str, Tensor]], experts: Models) -> None:
    """Raise `ValueError` unless there are, for each model, Gram matrices of the same weights."""
    if len(grams) != len(experts):
        raise ValueError(f"need the grams of {len(experts)} models, got {len(grams)}")
    for number, found in enumerate(grams):
        if found.keys() != grams[0].keys():
            key = min(found.keys() ^ grams[0].keys())
            raise ValueError(f"the grams of model {number} and of model 0 differ in {key}")
        for key, gram in found.items():
            weight = experts[0].get(key)
            if weight is None or weight.ndim != 2 or gram.shape != (weight.shape[1],) * 2:
                raise ValueError(f"the grams of model {number} do not fit {key}")
            if not devices.all_finite(gram):
                raise ValueError(f"the grams of model {number}, {key}, hold NaN or infinity")
