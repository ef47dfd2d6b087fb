"""SLERP: along the arc between two models."""

import math
from typing import Annotated

from mergehelpers import device as devices
from mergehelpers import states
from mergehelpers.merge.registry import Models, Pairs, rule
from mergehelpers.merge.stacks import Stack, joined
from mergehelpers.parameters import Float

NEARLY_PARALLEL = 0.9995  # cosine; then the arc is a line, and its sine divides by nearly nothing


@rule(count=2, ordered=True)
def slerp(experts: Models, t: Annotated[float, Float(minimum=0, maximum=1), 0.3]) -> Pairs:
    """Spherical interpolation of two models, tensor by tensor (Shoemake 1985).

    Each tensor is taken as one vector; the result lies at the part `t` of the angle from the first
    to the second. Where the two are nearly parallel, or one is zero, it lies on the straight line.
    """
    states.check_compatible(experts, values=False)

    def between(key, value):
        stack = Stack(key, None, [model[key].flatten() for model in experts])
        a, b = arc(stack, t)
        return joined((a * slab[0] + b * slab[1] for slab in stack), value)

    return (
        (key, between(key, value) if value.is_floating_point() else value)
        for key, value in experts[0].items()
    )


def arc(stack: Stack, t: float) -> tuple[float, float]:
    """The two factors of a point on the arc between two vectors."""
    squares, inner = [0.0, 0.0], 0.0
    for slab in stack:
        first, second = slab.to(devices.widest_float(slab.device))
        squares = [squares[0] + (first @ first).item(), squares[1] + (second @ second).item()]
        inner += (first @ second).item()
    lengths = (squares[0] * squares[1]) ** 0.5
    cosine = inner / lengths if lengths else 1.0
    if abs(cosine) > NEARLY_PARALLEL:
        return 1 - t, t
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
