"""Chapter 4, Rethinking weight averaging: its experiments, and what decides its claims."""
