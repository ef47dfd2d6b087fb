"""What decides the claims of Chapter 4: pure functions, tables in, an `Outcome` out."""

from mergebook.ch4.claims import (
    algebra,
    averages,
    bounds,
    conditions,
    conflicts,
    cost,
    counted,
    donated,
    gains,
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
    "averages",
    "bounds",
    "conditions",
    "conflicts",
    "cost",
    "counted",
    "donated",
    "gains",
    "kernels",
    "magnified",
    "printed",
    "shapes",
    "smoothed",
    "templates",
    "transformers",
]
