"""What decides the claims of Chapter 3: pure functions, tables in, an `Outcome` out."""

from mergebook.ch3.claims import (
    architectures,
    coefficients,
    definitions,
    expansion,
    leads,
    printed,
    quoted,
    sizes,
    standins,
)

__all__ = [
    "architectures",
    "coefficients",
    "definitions",
    "expansion",
    "leads",
    "printed",
    "quoted",
    "sizes",
    "standins",
]
