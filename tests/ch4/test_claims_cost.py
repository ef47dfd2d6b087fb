"""Made-up tables for the claims about costs (page 04j)."""

import pandas as pd
from tables import NAN

from mergebook.claims import FAILS, HOLDS, UNDECIDED

COUNTS = (1, 2, 10)


def use(body=100.0, head=10.0, counts=COUNTS, soup=0.0, square=0.0, shared=1.0):
    """Costs of two networks; a soup's grow by `soup` a model, an ensemble's by `square` n²."""
    rows = []
    for network, times in (("a", 1), ("b", 3)):
        for n in counts:
            costs = {
                "single": body + head,
                "soup": body + head + soup * n,
                "logits": n * (shared * body + head) + square * n**2,
                "features": n * body + head,
            }
            for method, cost in costs.items():
                kept = n if method in ("logits", "features") else 1
                row = {"network": network, "models": n, "method": method, "passes": kept}
                rows.append(row | {"operations": times * cost, "numbers": 7.0 * kept})
    return (pd.DataFrame(rows),)


def merged(same=True, operations=5.0, single=5.0, odd="permuted"):
    """Three merges of two networks; one, `odd`, is as said in both, the others are one model."""
    rows = []
    for network in ("a", "b"):
        for name in ("uniform", "elected", odd):
            row = {"network": network, "merge": name, "same": True, "operations": single}
            rows.append(row | {"single": single})
    found = pd.DataFrame(rows)
    found.loc[found["merge"] == odd, "same"] = same
    found.loc[found["merge"] == odd, "operations"] = operations
    return found


MAKING = pd.DataFrame(
    {"models": [2, 10] * 2, "soup": ["uniform"] * 2 + ["best first"] * 2, "passes": [0, 0, 3, 19.0]}
)
LINEAR, FREE = "rethink-ensemble-cost-linear", "rethink-merging-no-inference-cost"
DEAR = merged(same=False).assign(same=False)

CASES = {
    LINEAR: {HOLDS: use(), FAILS: use(soup=1.0), UNDECIDED: use(counts=(1, 10))},
    FREE: {HOLDS: (merged(), MAKING), FAILS: (DEAR, MAKING), UNDECIDED: (merged()[:0], MAKING)},
}

NEAR = [
    (LINEAR, "faster than a line", FAILS, use(square=1.0)),
    (LINEAR, "an ensemble for free", FAILS, use(shared=0.0, head=0.0)),
    (LINEAR, "most of the body shared", HOLDS, use(shared=0.5)),
    (LINEAR, "no number", UNDECIDED, use(body=NAN)),
    (FREE, "one that costs more", HOLDS, (merged(operations=6.0), MAKING)),
    (FREE, "two of three cost more", FAILS, (merged(operations=6.0, odd="elected"), MAKING)),
    (FREE, "no number", UNDECIDED, (merged(single=NAN), MAKING)),
]

SAID = {
    (LINEAR, HOLDS): {"rows.0": {"soup": 1.0, "logits": 10.0, "features": 1010 / 110, "kept": 10}},
    (FREE, HOLDS): {"free": 6, "of": 6, "making.1.passes": 19.0, "costly": "none"},
    (FREE, "one that costs more"): {"free": 4, "costly": "permuted (a), permuted (b)"},
}

ORDERED: set[str] = set()
