"""Made-up tables for the claims about more inputs and about the teachers (page 03l)."""

import itertools

import pandas as pd
from tables import NAN

from mergebook.ch3.more_data import FITS, FROZEN, INPUTS, LEARNERS, RIVAL, STEPS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

SHARED, OWN = LEARNERS
B32, L14 = "clip-vit-b-32", "clip-vit-l-14"
BOUNDS = ["value", "low", "high", "all_low", "all_high"]
EXACT = {B32: (94.5, 10.0), L14: (94.1, 2.0)}


def bounds(value, half=0.5):
    """Half as wide again for all intervals together."""
    return value, value - half, value + half, value - 1.5 * half, value + 1.5 * half


def grown(excess=1.0, suites=("a",), exact=None, **other):
    """Gains of 1 to 80 %, `excess` over the rival's; `other` excesses by learner or change."""
    rows = []
    for suite, change, what in itertools.product(suites, (INPUTS, STEPS), LEARNERS):
        level, gain = (exact or {}).get(suite, (80.0, 1.0))
        name = f"{what}, {change}".replace(" ", "_").replace(",", "")
        more = other.get(name, other.get(what.replace(" ", "_"), excess))
        rows.append((suite, change, what, "", level, *bounds(gain)[:3], NAN, NAN))
        rows.append((suite, change, what, RIVAL, level, *bounds(more)))
    rows += [
        (s, INPUTS, what, "", 80.0, *bounds(gain)[:3], NAN, NAN)
        for s in suites
        for what, gain in ((RIVAL, 0.1), ("free coefficients", 0.2))
    ]
    columns = ["suite", "change", "what", "over", "accuracy", *BOUNDS]
    return pd.DataFrame(rows, columns=columns)


def ahead(lead=1.0, **other):
    """Leads at three sizes; `other` leads by learner, or by learner and size."""
    rows = []
    for what, size in itertools.product(LEARNERS, (16, 64, 320)):
        name = what.replace(" ", "_")
        rows.append(
            (what, RIVAL, size, *bounds(other.get(f"{name}_{size}", other.get(name, lead))))
        )
    return pd.DataFrame(rows, columns=["what", "over", "inputs", *BOUNDS])


def rates():
    names = ["LW AdaMerging", "LW StatsMerging++"]
    return pd.DataFrame(
        {
            "printed": [80.1, 94.5],
            "mean": [80.25, 94.5],
            "off": [True, False],
            "gain": [NAN, 5.1],
            "over": [NAN, 14.4],
        },
        index=names,
    )


def merges(lead=-5.0, suite=B32, **other):
    rows = []
    for what, change in itertools.product(LEARNERS, (INPUTS, STEPS)):
        value = other.get(what.replace(" ", "_"), lead)
        rows.append((f"{what}, more {change}", 90 + value, *bounds(value), int(value > 0), value))
    table = pd.DataFrame(rows, columns=["what", "accuracy", *BOUNDS, "tasks_above", "most"])
    return table.assign(suite=suite)


def controls():
    rows = [
        (f"{what}, {said}", 90 + value, *bounds(value), 8 if value > 0 else 0, value)
        for what in LEARNERS
        for said, value in zip((FROZEN, *FITS.values()), (-9, -5, -4, 7))
    ]
    return pd.DataFrame(rows, columns=["what", "accuracy", *BOUNDS, "tasks_above", "most"])


CASES = {
    "stats-plusplus-accuracies": {
        HOLDS: (grown(suites=(B32, L14), exact=EXACT),),
        FAILS: (grown(suites=(B32,)),),
        UNDECIDED: (grown(),),
    },
    "stats-table15-data-rate": {
        HOLDS: (grown(9.0, suites=(B32,)), rates()),
        FAILS: (grown(6.0, suites=(B32,)), rates()),
        UNDECIDED: (grown(0.0), rates()),
    },
    "stats-data-efficiency": {
        HOLDS: (grown(), ahead()),
        CORRECTED: (grown(one_a_layer=-1.0), ahead(-1.0)),
        FAILS: (grown(-1.0), ahead(-1.0)),
        UNDECIDED: (grown(0.0), ahead(0.0)),
    },
    "stats-plusplus-exceeds-teachers": {
        HOLDS: (merges(5.0), controls()),
        CORRECTED: (merges(one_a_layer=5.0), controls()),
        FAILS: (merges(), controls()),
        UNDECIDED: (merges(0.0), controls()),
    },
}

NEAR = [
    (
        "stats-plusplus-accuracies",
        "one network alone cannot confirm",
        UNDECIDED,
        (grown(suites=(B32,), exact=EXACT),),
    ),
    (
        "stats-plusplus-accuracies",
        "one network alone can refute",
        FAILS,
        (grown(suites=(B32, L14), exact={L14: EXACT[L14]}),),
    ),
    (
        "stats-plusplus-accuracies",
        "the gain without the level",
        UNDECIDED,
        (grown(suites=(B32, L14), exact=EXACT | {B32: (90.0, 10.0)}),),
    ),
    (
        "stats-plusplus-accuracies",
        "a smaller gain within the interval",
        UNDECIDED,
        (grown(suites=(B32,), exact={B32: (94.5, 7.6)}),),
    ),
    (
        "stats-table15-data-rate",
        "one reading is far",
        UNDECIDED,
        (grown(9.0, suites=(B32,), shared=6.0), rates()),
    ),
    (
        "stats-table15-data-rate",
        "only the uncorrected interval excludes it",
        UNDECIDED,
        (grown(7.0, suites=(B32,)), rates()),
    ),
    (
        "stats-data-efficiency",
        "larger gains of longer training alone do not correct",
        UNDECIDED,
        (grown(-1.0, shared_inputs_and_steps=1.0), ahead(-1.0)),
    ),
    (
        "stats-data-efficiency",
        "fewer inputs for one learner",
        CORRECTED,
        (grown(-1.0), ahead(-1.0, shared=1.0)),
    ),
    (
        "stats-data-efficiency",
        "ahead with most inputs alone",
        FAILS,
        (grown(-1.0), ahead(-1.0, shared_320=1.0)),
    ),
    ("stats-data-efficiency", "one lead is open", CORRECTED, (grown(), ahead(shared_16=0.0))),
    (
        "stats-data-efficiency",
        "a correction needs the corrected interval",
        UNDECIDED,
        (grown(0.6), ahead(0.0)),
    ),
    ("stats-data-efficiency", "no number", UNDECIDED, (grown(NAN), ahead(NAN))),
    (
        "stats-plusplus-exceeds-teachers",
        "one learner is level",
        UNDECIDED,
        (merges(shared=0.0), controls()),
    ),
    (
        "stats-plusplus-exceeds-teachers",
        "a refutation needs the corrected interval",
        UNDECIDED,
        (merges(-0.6), controls()),
    ),
    (
        "stats-plusplus-exceeds-teachers",
        "another network refutes nothing",
        UNDECIDED,
        (merges(suite="mini8"), controls()),
    ),
    (
        "stats-plusplus-exceeds-teachers",
        "another network shows nothing",
        UNDECIDED,
        (merges(5.0, suite="mini8"), controls()),
    ),
]

SAID = {
    ("stats-plusplus-accuracies", FAILS): {
        "rows.1": {"what": SHARED, "change": STEPS, "suite": B32, "accuracy": 80},
        "rows.1.lead.low": 0.5,
    },
    ("stats-table15-data-rate", UNDECIDED): {
        "rows.2": {"what": OWN, "change": INPUTS},
        "rival.value": 0.1,
        "gains.0.lead.value": 1,
        "off.0": {"row": "LW AdaMerging", "printed": 80.1, "mean": 80.25},
        "gain": 5.1,
        "over": 14.4,
    },
    ("stats-data-efficiency", CORRECTED): {"which": "shared, gains more", "free.value": 0.2},
    ("stats-data-efficiency", "fewer inputs for one learner"): {
        "which": "shared, needs fewer",
        "leads.1": {"what": SHARED, "inputs": 64},
        "leads.1.lead.value": 1,
    },
    ("stats-plusplus-exceeds-teachers", FAILS): {
        "above": 0,
        "among": 4,
        "fitted": 97,
        "fitted_above": 8,
        "rows.0.lead.high": -4.5,
    },
}

ORDERED = set()
