"""Chapter 3, StatsMerging: its experiments, and the functions that decide its claims."""
