"""Chapter 3, StatsMerging: its experiments, and the functions that decide its claims.

It moves here page by page; what has not moved is decided in `notebooks/03-statsmerging.ipynb` and
`notebooks/03b-statsmerging-experiments.ipynb`.
"""
