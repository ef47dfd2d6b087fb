"""Chapter 4, Rethinking weight averaging: its experiments, and the functions that decide its claims."""
