"""Chapter 5, FT-Classifier: its experiments, and what decides its claims."""
