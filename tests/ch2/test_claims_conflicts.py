"""Made-up tables for the claims about conflicts and the ensemble (page 02g)."""

import itertools

import numpy as np
import pandas as pd
from tables import NAN

from mergebook.ch2.conflicts import FREE, LOSSES, MEASURES, MINE, SIGNS
from mergebook.claims import CORRECTED as MENDED
from mergebook.claims import FAILS, HOLDS, UNDECIDED

COLUMNS = (*LOSSES, *FREE, SIGNS)


def nodes(suites="ab", count=40, **follows):
    """Two layers of each suite; numbers are noise, but for those that follow harm.

    `follows` says how far each is from it: 0 is harm itself, by name (with `_` for a blank) or by
    name and suite. All readings are `loss`, both free numbers `free`.
    """
    rng, parts = np.random.default_rng(0), []
    for suite, site in itertools.product(suites, ("x", "y")):
        part = {"suite": suite, "site": site, "node": range(count), "harm": rng.normal(size=count)}
        for name in COLUMNS:
            short = name.replace(" ", "_")
            kind = "loss" if name in LOSSES else "free" if name in FREE else "signs"
            wanted = (f"{short}_{suite}", f"{kind}_{suite}", short, kind)
            noise = rng.normal(size=count)
            far = next((follows[n] for n in wanted if n in follows), None)
            part[name] = noise if far is None else part["harm"] + far * noise
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def closeness(**other):
    """M-TIES beside rivals, in percent of their distance, each ± 0.1; 0 unless `other` says else.

    `other` is by rival, reading and suite, joined by `_`, or by fewer of them; rivals are `random`,
    `even`, `TIES` and `control`, which is even rates against TIES. `half_random` is another half
    width.
    """
    rows = []
    rivals = {"random": "random", "even": "even", "TIES": "TIES", "control": "TIES from even"}
    rivals |= {"tensor": "TIES by tensor", "long": "TIES as long"}
    for suite, reading, measure, rival in itertools.product("ab", MINE, MEASURES, rivals):
        value = 0.0
        for names in ((rival,), (rival, reading), (rival, suite), (rival, reading, suite)):
            value = other.get("_".join(names), value)
        half = other.get(f"half_{rival}", 0.1)
        rows.append((suite, reading, measure, rivals[rival], value, value - half, value + half))
    names = ["suite", "reading", "measure", "rival", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names)


CLOSE = {"TIES": 5.0, "long": 5.0, "control": 5.0}

CASES = {
    "mloss-indicates-conflicts": {
        HOLDS: (nodes(own_input=0.1),),
        MENDED: (nodes(own_input=0.5, free=0.5),),
        FAILS: (nodes(free=0.1),),
        UNDECIDED: (nodes(),),
    },
    "mloss-alignment-with-ensemble": {
        HOLDS: (closeness(random=2.0, even=2.0, TIES=5.0, long=5.0),),
        MENDED: (closeness(random=0.5, even=0.5, **CLOSE),),
        FAILS: (closeness(),),
        UNDECIDED: (closeness(random=2.0),),
    },
}

NEAR = [
    ("mloss-indicates-conflicts", "better in one suite alone", UNDECIDED, (nodes(loss_a=0.1),)),
    (
        "mloss-indicates-conflicts",
        "each suite has another reading",
        UNDECIDED,
        (nodes(own_input_a=0.1, normalised_b=0.1),),
    ),
    (
        "mloss-indicates-conflicts",
        "useless in one suite",
        FAILS,
        (nodes(loss_a=0.1, activation_variance_b=0.1),),
    ),
    (
        "mloss-indicates-conflicts",
        "one reading is of some use",
        UNDECIDED,
        (nodes(loss_a=0.1, activation_variance_b=0.1, normalised_b=0.5, normalised_a=3),),
    ),
    (
        "mloss-indicates-conflicts",
        "useless by intervals that are not corrected",
        UNDECIDED,
        (nodes(free=3.0),),
    ),
    ("mloss-indicates-conflicts", "no nodes", UNDECIDED, (nodes().iloc[:0],)),
    (
        "mloss-alignment-with-ensemble",
        "closer than TIES in one suite alone",
        UNDECIDED,
        (closeness(TIES_paper_a=5.0, long_paper_a=5.0),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "closer in the paper's reading alone",
        MENDED,
        (closeness(TIES_paper=5.0, long_paper=5.0, control_paper=5.0),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "no closer than TIES of its length",
        FAILS,
        (closeness(TIES=5.0, control=5.0),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "closer than TIES of its length in one suite alone",
        UNDECIDED,
        (closeness(**CLOSE | {"long": 0.0, "long_b": 5.0}),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "even rates are no closer than TIES",
        UNDECIDED,
        (closeness(TIES=5.0, long=5.0),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "more than even rates, not than random orders",
        UNDECIDED,
        (closeness(even=2.0, random=1.0, random_a=0.0, **CLOSE),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "closer by less than one percent",
        MENDED,
        (closeness(random=0.8, even=0.8, **CLOSE),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "clear for one interval alone",
        UNDECIDED,
        (closeness(random=0.5, even=0.5, half_long=3.0, **CLOSE),),
    ),
    (
        "mloss-alignment-with-ensemble",
        "the same as random orders",
        UNDECIDED,
        (closeness(**CLOSE, half_random=0.0),),
    ),
    ("mloss-alignment-with-ensemble", "no number", UNDECIDED, (closeness(random_b=NAN),)),
    ("mloss-alignment-with-ensemble", "no rows", UNDECIDED, (closeness().iloc[:0],)),
]

SAID = {
    ("mloss-indicates-conflicts", HOLDS): {"nodes": 160, "readings.1": {"reading": "own input"}},
    ("mloss-indicates-conflicts", MENDED): {"which": "own input", "shared": 0, "suites": 2},
    ("mloss-alignment-with-ensemble", MENDED): {
        "rows.0": {"suite": "a", "reading": "paper"},
        "rows.0.TIES.value": 5,
        "rows.0.random.high": 0.6,
        "spans.0": {"reading": "paper", "rival": "TIES"},
        "spans.0.least.value": 5,
        "by": "; ".join(f"{r}: {m}" for r in sorted(MINE) for m in sorted(MEASURES)),
    },
}

ORDERED = set()
