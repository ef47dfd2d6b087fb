"""What decides the claims of Chapter 4: pure functions, tables in, an `Outcome` out."""

from mergebook.ch4.claims import (
    algebra,
    bounds,
    conflicts,
    cost,
    counted,
    donated,
    kernels,
    magnified,
    printed,
    shapes,
    smoothed,
    templates,
    transformers,
)

__all__ = [
    "algebra",
    "bounds",
    "conflicts",
    "cost",
    "counted",
    "donated",
    "kernels",
    "magnified",
    "printed",
    "shapes",
    "smoothed",
    "templates",
    "transformers",
]
