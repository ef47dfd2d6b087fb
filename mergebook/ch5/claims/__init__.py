"""What decides the claims of Chapter 5: pure functions, tables in, an `Outcome` out."""

from mergebook.ch5.claims import definitions, geometry, printed, rotation

__all__ = ["definitions", "geometry", "printed", "rotation"]
