"""What decides the claims of Chapter 4: pure functions, tables in, an `Outcome` out."""

from mergebook.ch4.claims import algebra, bounds, counted, magnified, printed, shapes

__all__ = ["algebra", "bounds", "counted", "magnified", "printed", "shapes"]
