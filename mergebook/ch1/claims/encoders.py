"""Claims about the model of Section 4 in real encoders, and about parts of networks (01d, 01i)."""

import numpy as np
import pandas as pd

from mergebook import studies
from mergebook.ch1.encoders import ALIKE, EVERYTHING, MATRICES, READINGS, REST, SCORED, UNSCORED
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import below, weighed

Table = pd.DataFrame
NAMES = {"range": "half the range", "central": "half the central 99 %", "deviation": "√3 · std"}


def _fits(blocks: Table, formula: str) -> Table:
    """Blocks that a formula predicts within 20 %, by suite, input and reading of k."""
    rows = []
    for (suite, kind), part in blocks.groupby(["suite", "input"], sort=False):
        for reading in READINGS:
            within = (part[f"{formula}, {reading}"] - 1).abs() < 0.2
            rows.append((suite, kind, reading, NAMES[reading], int(within.sum()), len(within)))
    return pd.DataFrame(rows, columns=["suite", "input", "k", "reading", "within", "blocks"])


@claim("mloss-assumption-independent-gaussian")
def model_of_section_4(blocks: Table) -> Outcome:
    """The model part by part, in the median block of each suite, all experts on the base's input.

    Independent: correlations within 0.1. Gaussian, centred, and x uniform: a Kolmogorov-Smirnov
    distance, or a constant's share of the mean square, below 0.1. Corrected: independent Gaussians,
    but not centred or not around a uniform x.
    """
    fits = _fits(blocks, "independent")
    on_base = blocks[blocks.input == "shared"].groupby("suite", sort=False)
    found = on_base[["correlation", "deviation to normal", "shift", "x to uniform"]].median()
    met = found.abs().max(skipna=False) < 0.1
    shared = fits[fits.input == "shared"].groupby("reading", sort=False)[["within", "blocks"]].sum()
    own = fits[fits.input == "own"].groupby("reading", sort=False)[["within", "blocks"]].sum()
    printed = _fits(blocks, "printed").groupby(["k", "input"]).within.sum()
    values = {
        "shared": shared.reset_index(),
        "own": own.reset_index(),
        "parts": found.rename(columns={"deviation to normal": "gauss", "x to uniform": "x"})
        .assign(shift=100 * found["shift"])
        .reset_index(),
        "normal": blocks["x to normal"].median(),
        "printed": int(printed["central", "shared"]),
        "printed_std": int(printed["deviation", "shared"]),
        "blocks": int(shared.blocks.iloc[0]),
    }
    gaussian = met["correlation"] and met["deviation to normal"]
    return Outcome(bool(met.all()), bool(gaussian), values)


@claim("mloss-assumption-k-much-larger-sigma")
def small_deviations(blocks: Table) -> Outcome:
    """σ/k is below 0.2 for 90 % of the nodes, for each reading of k and of the input.

    Corrected: for each reading of k, with all experts on the base's input.
    """
    columns = [f"small, {reading}" for reading in READINGS]
    shares = 100 * blocks.groupby(["suite", "input"], sort=False)[columns].mean()
    shares.columns = list(READINGS)
    own = shares.xs("own", level="input").reset_index()
    shared = shares.xs("shared", level="input")
    values = {"own": own, "shared": shared.min().min()}
    return Outcome(bool(shares.min().min() >= 90), bool(shared.min().min() >= 90), values)


@claim("mloss-sigma-parameter-difference")
def sigma_is_distance(changes: Table) -> Outcome:
    """σ changes as the distance of the parameters does, in each of four changes.

    Corrected: it does when the task vectors are scaled and the inputs stay.
    """
    apart = (changes.sigma / changes.distance - 1).abs()
    scaled = changes.change.str.contains("task vector")
    values = {"changes": changes}
    return Outcome(below(apart, 0.01), bool(below(apart[scaled], 0.01)), values)


def _shares(parts: Table, seed: int = 0) -> tuple[dict[str, Interval], bool]:
    """Share of the average's gain over the base that each part of its vector brings, in percent.

    And whether there is a gain to share. Intervals by resampling test inputs within tasks, the same
    for all parts.
    """
    rng, sums = np.random.default_rng(seed), {}
    answers = {
        (part, task): studies.unpack_answers({"": packed})[""].astype(float)
        for part, task, packed in zip(parts.part, parts.task, parts.right)
    }
    names, tasks = list(dict.fromkeys(parts.part)), list(dict.fromkeys(parts.task))
    for task in tasks:
        right = np.stack([answers[name, task] for name in names])
        n = right.shape[1]
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=1000) / n
        sums[task] = np.column_stack([right.mean(1), right @ drawn.T])
    mean = dict(zip(names, np.mean(list(sums.values()), axis=0)))
    gain = mean[EVERYTHING] - mean["none"]
    out = {}
    for name in names:
        with np.errstate(divide="ignore", invalid="ignore"):  # where there is no gain
            share = 100 * (mean[name] - mean["none"]) / gain
            out[name] = Interval(share[0], *np.quantile(share[1:], [0.025, 0.975]))
    return out, bool(np.quantile(gain[1:], 0.025) > 0)


@claim("mloss-linear-layers-matter-more")
def linear_layers(parts: Table) -> Outcome:
    """Linear layers bring more of the average's gain than the rest, for each reading of "linear".

    Corrected: all matrices together do, the layers before an activation alone bring clearly less
    than all others in a suite. Not decidable: where the average gains nothing.
    """
    suites, more, less = [], {"matrices": [], "scored": []}, {"matrices": [], "scored": []}
    for suite, part in parts.groupby("suite", sort=False):
        shares, gains = _shares(part)
        entries = 100 * part.groupby("part").entries.first()
        for reading, these, others in (("matrices", MATRICES, REST), ("scored", SCORED, UNSCORED)):
            more[reading].append(gains and shares[these].low > shares[others].high)
            less[reading].append(gains and shares[these].high < shares[others].low)
        suites.append(
            {
                "suite": suite,
                "matrices": shares[MATRICES],
                "rest": shares[REST],
                "alike": shares[ALIKE],
                "scored": shares[SCORED],
                "unscored": shares[UNSCORED],
                "share": entries[SCORED],
                "few": entries[REST],
            }
        )
    matrices, scored = all(more["matrices"]), all(more["scored"])
    not_matrices, not_scored = any(less["matrices"]), any(less["scored"])
    return weighed(
        matrices and scored,
        not_matrices and not_scored,
        matrices and not_scored,
        {"suites": suites},
    )
