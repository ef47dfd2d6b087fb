"""Chapter 2: M-TIES, taken apart. `models` makes every merge that its pages compare."""
