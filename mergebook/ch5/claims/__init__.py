"""What decides the claims of Chapter 5: pure functions, tables in, an `Outcome` out."""

from mergebook.ch5.claims import definitions, printed

__all__ = ["definitions", "printed"]
