"""What decides the claims of Chapter 5: pure functions, tables in, an `Outcome` out."""

from mergebook.ch5.claims import (
    controls,
    definitions,
    elsewhere,
    geometry,
    leaks,
    printed,
    protocols,
    rotation,
)

__all__ = [
    "controls",
    "definitions",
    "elsewhere",
    "geometry",
    "leaks",
    "printed",
    "protocols",
    "rotation",
]
