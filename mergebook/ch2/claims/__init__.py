"""What decides the claims of Chapter 2: pure functions, tables in, an `Outcome` out."""

from mergebook.ch2.claims import (
    conflicts,
    controls,
    costs,
    printed,
    readings,
    rules,
    samples,
    search,
)

__all__ = ["conflicts", "controls", "costs", "printed", "readings", "rules", "samples", "search"]
