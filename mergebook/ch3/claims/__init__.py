"""What decides the claims of Chapter 3: pure functions, tables in, an `Outcome` out."""

from mergebook.ch3.claims import definitions

__all__ = ["definitions"]
