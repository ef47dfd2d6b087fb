"""What decides the claims of Chapter 2: pure functions, tables in, an `Outcome` out."""

from mergebook.ch2.claims import printed, rules

__all__ = ["printed", "rules"]
