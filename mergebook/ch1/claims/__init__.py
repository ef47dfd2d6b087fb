"""What decides the claims of Chapter 1: pure functions, tables in, an `Outcome` out."""

from mergebook.ch1.claims import definitions, encoders, ensembles, gaps, laboratory, theory

__all__ = ["definitions", "encoders", "ensembles", "gaps", "laboratory", "theory"]
