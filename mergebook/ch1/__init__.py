"""Chapter 1, the expected M-Loss: its experiments, and the functions that decide its claims."""
