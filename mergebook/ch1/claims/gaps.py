"""Claims about what makes merging and ensembling differ (evidence page 01e)."""

import pandas as pd

from mergebook.claims import Outcome, claim
from mergebook.intervals import of_mean
from mergebook.weighing import below, weighed

Table = pd.DataFrame


@claim("mloss-gap-from-activations")
def activations(shares: Table, worlds: Table) -> Outcome:
    """Most of the gap goes when no activation has any M-Loss: in encoders and in perceptrons.

    Corrected: in perceptrons, the networks that Section 3.1 defines, and not in an encoder. Fails:
    not in perceptrons.
    """
    full, small = shares[shares.t == 1], shares[shares.t < 1]
    suites = [
        {
            "suite": row.suite,
            "share": 100 * row.share,
            "low": 100 * row.share_low,
            "high": 100 * row.share_high,
            "small": 100 * small[small.suite == row.suite].share.iloc[0],
            "repaired": 100 * row.repaired,
        }
        for row in full.itertuples()
    ]
    lab = of_mean(100 * worlds.share)
    values = {
        "suites": suites,
        "lab": lab,
        "lab_small": of_mean(100 * worlds.small_share),
        "lab_repaired": 100 * worlds.repaired.mean(),
    }
    encoders, not_encoders = (full.share_high < 0.5).all(), (full.share_low > 0.5).any()
    perceptrons = lab.high < 50
    return weighed(perceptrons and encoders, lab.low > 50, perceptrons and not_encoders, values)


@claim("mloss-accumulates-over-layers")
def accumulates(examples: Table, groups: Table) -> Outcome:
    """No network has an output gap where every layer's M-Loss is zero.

    Not decidable: without a network of no M-Loss.
    """
    none = examples[examples.loss < 1e-12]
    ratio = groups.gap / groups.layers
    ranks = groups.groupby("seed")[["gap", "layers"]].corr("spearman").iloc[::2, 1]
    values = {
        "examples": examples,
        "rank": ranks.mean(),
        "low": ratio.min(),
        "high": ratio.max(),
        "groups": len(groups),
    }
    return Outcome(below(none.gap, 1e-3), values=values)


@claim("mloss-feasibility-proved")
def feasible(blurred: Table, outputs: Table, worlds: Table) -> Outcome:
    """As node losses and σ/k fall, the outputs of merge and ensemble come together.

    To a tenth of the ensemble's size, or at least to half of where they were. Not decidable: if the
    networks do not meet the assumption ever better.
    """
    gap = blurred.apart / blurred.ensemble
    first, last = blurred.iloc[0], blurred.iloc[-1]
    ranges = outputs.groupby("suite", sort=False).agg(low=("gap", "min"), high=("gap", "max"))
    values = {
        "node": last.node,
        "over_k": last.over_k,
        "units": int(last.units),
        "first": first.node,
        "gap": gap.iloc[-1],
        "limit": last.limit,
        "merged": last.merged,
        "ensemble": last.ensemble,
        "suites": ranges.reset_index(),
        "same": 100 * outputs.same.mean(),
        "eight": of_mean(worlds.eight),
        "two": worlds.two.mean(),
        "equal": worlds.equal.mean(),
        "foreign": worlds.foreign.mean(),
    }
    falls = bool(last.node < 0.1 * first.node and last.over_k < 0.5 * first.over_k)
    together = below([gap.iloc[-1]], max(0.1, gap.iloc[0] / 2))
    return Outcome(together if falls else None, values=values)
