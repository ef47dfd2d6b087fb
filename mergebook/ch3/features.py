"""Which statistics help the learner, and how many singular values: both readings, with controls."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pandas as pd
import torch

from mergebook.ch3.comparing import Trials, lead
from mergebook.ch3.guidance import EACH, NO_NETWORK, ONE, READINGS
from mergebook.ch3.reading import learnable, statistics_of
from mergebook.ch3.trials import FREE, experiment
from mergebook.page import OpenSuite
from mergehelpers import stats

Table = pd.DataFrame
EXPERIMENT = experiment("features")

ALL = "statistics"
PATH = ("mean", "mean+variance", "mean+variance+magnitude", ALL)  # as Table 5 adds them
NO_MAGNITUDE, NO_SINGULAR = "mean+variance+singular", PATH[2]
RANDOM_BESIDE = tuple(f"mean, and noise {n}" for n in (1, 2, 5))  # as many numbers as PATH has
SHUFFLED = "statistics, singular values shuffled"
OF_CHANGES = "statistics, singular values of changes"
SUBSETS = tuple(
    "+".join(names)
    for count in range(1, len(stats.STATISTICS))
    for names in combinations(stats.STATISTICS, count)
)
READ_BY = {
    ONE: (*SUBSETS, ALL, "constant", *RANDOM_BESIDE, SHUFFLED, OF_CHANGES),
    EACH: (*PATH, *RANDOM_BESIDE),  # what a network a layer reads is a constant to it
}
STEP, BEYOND_NOISE = "over what came before", "over as many random numbers"
ADDED = ("variance", "magnitude", "singular values")
QUESTIONS = {  # what is asked, and which input is to lead which
    "features": [
        *((f"{n}, {STEP}", b, a) for n, a, b in zip(ADDED, PATH, PATH[1:])),
        *((f"{n}, {BEYOND_NOISE}", b, a) for n, a, b in zip(ADDED, RANDOM_BESIDE, PATH[1:])),
    ],
    "magnitude": [
        ("next to all others", ALL, NO_MAGNITUDE),
        ("next to mean and variance", PATH[2], PATH[1]),
    ],
    "singular values": [
        ("with minus without", ALL, NO_SINGULAR),
        ("true minus shuffled", ALL, SHUFFLED),
        ("of weights minus of changes", ALL, OF_CHANGES),
    ],
}
RANKS = (1, 2, 3, 4, 5)
PEAK = 3


def with_features(trials: Trials, tasks: str, repetitions: int, **settings) -> Table:
    """Learners of both readings that read parts of the statistics, and no network."""
    parts = []
    for reading, t in READINGS.items():
        named = {NO_NETWORK: FREE} | {n: replace(t, reads=n) for n in READ_BY[reading]}
        named = {n: replace(t, tasks=tasks, **settings) for n, t in named.items()}
        parts.append(trials.repeated(named, repetitions).assign(reading=reading))
    return pd.concat(parts, ignore_index=True)


def feature_contrasts(table: Table, asked: Sequence[tuple[str, str, str]]) -> Table:
    """Leads of one input over another, in each reading that has both.

    `all_low` and `all_high` have 95 % for all of a reading's rows together.
    """
    out = []
    for reading, part in table.groupby("reading", sort=False):
        there = [q for q in asked if {q[1], q[2]} <= set(part.what)]
        for question, a, b in there:
            one, both = (lead(part, a, b, k) for k in (1, len(there)))
            out.append((reading, question, a, b, *one, both.low, both.high))
    columns = ["reading", "question", "what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)


def norm_errors(r: OpenSuite) -> Table:
    """How far each expert's norms are from what mean, variance and size of a layer give.

    As a share of the norm; the largest over its layers.
    """
    mean, variance, norm = statistics_of(r, "weights", "layers")[..., :3].unbind(-1)
    sizes = torch.tensor([w.numel() for w in learnable(r, r.base).values()])
    error = ((sizes * (mean**2 + variance)).sqrt() / norm - 1).abs().amax(1)
    return pd.DataFrame({"task": r.tasks, "error": error.tolist()})


def with_ranks(trials: Trials, repetitions: int, **settings) -> Table:
    """Learners of both readings with 0 to 5 singular values, and random numbers for three.

    All of a reading have the step size that is best for three; `rank` is the number of singular
    values.
    """
    parts = []
    for reading, t in READINGS.items():
        best = trials.searched({reading: replace(t, **settings)})[reading]
        bare = replace(best, reads=NO_SINGULAR)
        named = {"0": bare} | {str(k): replace(best, rank=k) for k in RANKS}
        named["random"] = replace(bare, reads=f"{NO_SINGULAR}, and noise {PEAK}")
        parts.append(trials.trained(named, repetitions).assign(reading=reading))
    return pd.concat(parts, ignore_index=True)


def over_ranks(table: Table) -> Table:
    """Rank 3 minus each other rank, and minus random numbers in the place of singular values."""
    asked = [(f"3 minus {n}", str(PEAK), str(n)) for n in (*RANKS, 0) if n != PEAK]
    return feature_contrasts(table, [*asked, ("3 minus random numbers", str(PEAK), "random")])
