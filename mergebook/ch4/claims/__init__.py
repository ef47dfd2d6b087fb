"""What decides the claims of Chapter 4: pure functions, tables in, an `Outcome` out."""

from mergebook.ch4.claims import kernels, templates

__all__ = ["kernels", "templates"]
