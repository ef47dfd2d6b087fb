"""What decides the claims of Chapter 3: pure functions, tables in, an `Outcome` out."""

from mergebook.ch3.claims import (
    coefficients,
    corruption,
    definitions,
    expansion,
    leads,
    patterns,
    printed,
    quoted,
    sizes,
    standins,
)

__all__ = [
    "coefficients",
    "corruption",
    "definitions",
    "expansion",
    "leads",
    "patterns",
    "printed",
    "quoted",
    "sizes",
    "standins",
]
