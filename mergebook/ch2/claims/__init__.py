"""What decides the claims of Chapter 2: pure functions, tables in, an `Outcome` out."""

from mergebook.ch2.claims import costs, printed, readings, rules, samples, search

__all__ = ["costs", "printed", "readings", "rules", "samples", "search"]
