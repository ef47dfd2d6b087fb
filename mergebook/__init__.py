"""mergebook: the code behind the book's evidence.

What all pages share (`page`, `claims`, `ledger`, `studies`, `lab`), and a folder a chapter with its
experiments and its claims. What a reader takes home is in `mergehelpers`, which knows nothing of
this.
"""
