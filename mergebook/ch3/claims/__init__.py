"""What decides the claims of Chapter 3: pure functions, tables in, an `Outcome` out."""

from mergebook.ch3.claims import (
    coefficients,
    definitions,
    expansion,
    leads,
    left_out,
    more_data,
    printed,
    quoted,
    sizes,
    standins,
)

__all__ = [
    "coefficients",
    "definitions",
    "expansion",
    "leads",
    "left_out",
    "more_data",
    "printed",
    "quoted",
    "sizes",
    "standins",
]
