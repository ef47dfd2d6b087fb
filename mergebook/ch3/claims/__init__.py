"""What decides the claims of Chapter 3: pure functions, tables in, an `Outcome` out."""

from mergebook.ch3.claims import (
    coefficients,
    corruption,
    definitions,
    entropy,
    expansion,
    labels,
    leads,
    patterns,
    price,
    printed,
    quoted,
    schedule,
    scripts,
    sizes,
    standins,
    vision,
)

__all__ = [
    "coefficients",
    "corruption",
    "definitions",
    "entropy",
    "expansion",
    "labels",
    "leads",
    "patterns",
    "price",
    "printed",
    "quoted",
    "schedule",
    "scripts",
    "sizes",
    "standins",
    "vision",
]
