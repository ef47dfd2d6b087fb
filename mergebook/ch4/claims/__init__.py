"""What decides the claims of Chapter 4: pure functions, tables in, an `Outcome` out."""

from mergebook.ch4.claims import (
    algebra,
    averages,
    bounds,
    conditions,
    cost,
    counted,
    depth,
    gains,
    greedy,
    kernels,
    magnified,
    printed,
    shapes,
    templates,
)

__all__ = [
    "algebra",
    "averages",
    "bounds",
    "conditions",
    "cost",
    "counted",
    "depth",
    "gains",
    "greedy",
    "kernels",
    "magnified",
    "printed",
    "shapes",
    "templates",
]
