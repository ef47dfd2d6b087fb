"""Chapter 2, M-TIES: its experiments, and the functions that decide its claims.

It moves here page by page; what has not moved is decided in `notebooks/02-mties.ipynb`.
"""
