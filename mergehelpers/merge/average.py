"""Averages of whole models."""

from mergehelpers import states
from mergehelpers.merge.registry import Models, Pairs, Weights, rule
from mergehelpers.merge.stacks import Stack, check_weights, joined


@rule()
def average(experts: Models, weights: Weights = None) -> Pairs:
    """The weighted mean of the models, by default with equal weights (Wortsman et al. 2022).

    The weights have the sum 1. Integer tensors are the first model's. Raises `ValueError` if the
    models do not fit each other, or the weights do not fit them.
    """
    states.check_compatible(experts, values=False)
    if weights is not None:
        check_weights(weights, len(experts))
        if abs(sum(weights) - 1) > 1e-6:
            raise ValueError(f"weights are {list(weights)}; their sum must be 1")
    weights = [1 / len(experts)] * len(experts) if weights is None else list(weights)

    def mean(key, value):
        stack = Stack(key, None, [model[key].flatten() for model in experts])
        return joined((sum(w * model for w, model in zip(weights, slab)) for slab in stack), value)

    return (
        (key, mean(key, value) if value.is_floating_point() else value)
        for key, value in experts[0].items()
    )
