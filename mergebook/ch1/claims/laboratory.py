"""Claims about when averaging works, and what predicts it (evidence pages 01f and 01g)."""

import numpy as np
import pandas as pd

from mergebook.ch1.encoders import lost
from mergebook.ch1.merging import PREDICTORS
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, Permuted, by_relabelling, of_mean, rank_correlation
from mergebook.weighing import weighed

Table = pd.DataFrame


def exponent(rows: Table, column: str) -> float:
    """The power of t in a column."""
    return float(np.polyfit(np.log(rows.t), np.log(rows[column]), 1)[0])


@claim("mloss-scaling-in-sigma")
def in_sigma(table: Table) -> Outcome:
    """M-Loss grows as the square of the step t, within 0.3, and relative accuracy falls with t.

    By world; the rank correlation's interval must lie below zero, up to the experts' full step,
    beyond it, and along random directions as long. Corrected: up to the full step. Fails: if it
    lies above there, or the power's interval beyond the 0.3.
    """
    experts = table[table.kind == "experts"]
    random = table[table.kind != "experts"]
    worlds = [part for _, part in experts.groupby("seed")]
    powers = of_mean([exponent(part, "mloss") for part in worlds])

    def rank(part):
        return of_mean([rank_correlation(p.t, p.kept) for _, p in part.groupby("seed")])

    within, beyond, elsewhere = (
        rank(part) for part in (experts[experts.t <= 1], experts[experts.t >= 1], random)
    )
    values = {
        "within": within,
        "beyond": beyond,
        "elsewhere": elsewhere,
        "power": powers,
        "shared": of_mean([exponent(part, "shared_mloss") for part in worlds]),
        "gap": of_mean([exponent(part, "gap") for part in worlds]),
        "random": of_mean([exponent(part, "mloss") for _, part in random.groupby("seed")]),
        "random_kept": random[random.t == 1].kept.mean(),
        "kept": experts[experts.t == 1].kept.mean(),
        "worlds": len(worlds),
    }
    square = abs(powers.value - 2) <= 0.3
    mended = square and within.below
    against = powers.low > 2.3 or powers.high < 1.7 or within.above
    return weighed(mended and beyond.below and elsewhere.below, against, mended, values)


CONTRASTS = (("4 others", "1 other"), ("4 targets, 4 others", "4 targets"))
PER_TASK = "same steps per task"


@claim("mloss-scaling-in-k")
def generality(bases: Table) -> Outcome:
    """More general bases have a larger k and merge better, in each design.

    Fails: if, where all bases had as many steps per task, more general ones have clearly a smaller
    k or a worse merge. A rescale of base and experts changes k, σ and no merge: it decides nothing.
    """
    designs = []
    for budget, part in bases.groupby("budget", sort=False):
        wide = part.pivot(index="seed", columns="mixture", values=["k", "kept"])
        for more, less in CONTRASTS:
            k, kept = (of_mean(wide[name][more] - wide[name][less]) for name in ("k", "kept"))
            designs.append({"budget": budget, "more": more, "less": less, "k": k, "kept": kept})
    larger = (bases.wide_k / bases.k).min()
    change = (bases.wide_kept - bases.kept).abs().max()
    values = {
        "designs": designs,
        "larger": larger,
        "change": change,
        "worlds": bases.seed.nunique(),
        "rank": of_mean([rank_correlation(p.k, p.kept) for _, p in bases.groupby("seed")]),
        "ratio": of_mean(
            [rank_correlation(p.k / p.sigma, p.kept) for _, p in bases.groupby("seed")]
        ),
    }
    supported = all(d["k"].above and d["kept"].above for d in designs)
    fair = [d for d in designs if d["budget"] == PER_TASK]
    contrary = bool(fair) and all(d["k"].below or d["kept"].below for d in fair)
    return weighed(supported, contrary, values=values)


def by_world(kinds: Table, column: str) -> Table:
    """Means over a world's pairs: one row a world, one column a kind of pair."""
    return kinds.groupby(["seed", "kind"])[column].mean().unstack()


@claim("mloss-shared-backbone-mergeable")
def shared_backbone(kinds: Table, scaling: Table) -> Outcome:
    """Pairs of one base, also with a permutation undone, merge better than others.

    Pairs of one base, and all eight experts, merge to more than the base; M-Loss separates the two
    sorts in every world, and ranks the pairs: below -0.6.
    """
    four = ["shared base", "permutation undone", "independent bases", "units permuted"]
    chosen = kinds[kinds.kind.isin(four)]
    mloss, kept = by_world(chosen, "mloss"), by_world(chosen, "kept")
    separated = (mloss[four[:2]].max(axis=1) < mloss[four[2:]].min(axis=1)).all()
    better = of_mean(kept[four[:2]].min(axis=1) - kept[four[2:]].max(axis=1))
    over_base = of_mean((kept - by_world(chosen, "base"))["shared base"])
    full = scaling[(scaling.kind == "experts") & (scaling.t == 1)].set_index("seed").kept
    eight = of_mean(full - by_world(chosen, "base")["shared base"])
    ranks, distances = (
        of_mean([rank_correlation(p[name], p.kept) for _, p in chosen.groupby("seed")])
        for name in ("mloss", "distance")
    )
    values = {
        "kinds": [{"kind": k, "mloss": mloss[k].mean(), "kept": kept[k].mean()} for k in four],
        "over_base": over_base,
        "eight": eight,
        "rank": ranks,
        "distance": distances,
        "worlds": len(kept),
    }
    gains = (better, over_base, eight)
    holds = separated and all(gain.above for gain in gains) and ranks.high < -0.6
    against = not separated or any(gain.below for gain in gains) or ranks.low > -0.6
    return weighed(holds, against, values=values)


@claim("mloss-average-assumes-lmc")
def connected(kinds: Table) -> Outcome:
    """Averages that beat the base have no barrier on their path, and the others have one.

    The barrier is read at a quarter and three quarters of the path; the average is the middle.
    Not decidable: without pairs of both sorts.
    """
    flat, works = kinds.barrier < 5, kinds.kept > kinds.base
    agreement = of_mean([(flat == works)[part.index].mean() for _, part in kinds.groupby("seed")])
    both = kinds.groupby("kind").agg(barrier=("barrier", "mean"), kept=("kept", "mean"))
    values = {
        "agree": 100 * (flat == works).mean(),
        "pairs": len(kinds),
        "shared": both.loc["shared base"].barrier,
        "independent": both.loc["independent bases"].barrier,
    }
    both_sorts = works.any() and not works.all()
    return weighed(both_sorts and agreement.low > 0.9, agreement.high < 0.9, values=values)


@claim("mloss-average-challenged")
def challenged(kinds: Table) -> Outcome:
    """Averages keep less for two tasks than for one, and less still after two starts."""
    kept = by_world(kinds, "kept")
    tasks = of_mean(kept["same task"] - kept["shared base"])
    starts = of_mean(kept["shared base"] - kept["independent bases"])
    values = {
        "one": kept["same task"].mean(),
        "two": kept["shared base"].mean(),
        "strangers": kept["independent bases"].mean(),
        "tasks": tasks,
        "starts": starts,
    }
    return weighed(tasks.above and starts.above, tasks.below or starts.below, values=values)


def _ranks(groups: Table, column: str) -> Interval:
    return of_mean([rank_correlation(p[column], p.kept) for _, p in groups.groupby("seed")])


def _by_world(groups: Table, column: str) -> np.ndarray:
    """Rank correlations among groups of one size, length and strength, their mean in each world."""
    settings = ["length", "strength", "size"]
    return np.array(
        [
            np.mean([rank_correlation(p[column], p.kept) for _, p in world.groupby(settings)])
            for _, world in groups.groupby("seed")
        ]
    )


def _within(groups: Table, column: str) -> Interval:
    return of_mean(_by_world(groups, column))


def pair_ranks(pairs: Table, column: str, lost: pd.Series) -> Permuted:
    """Rank correlation over pairs of experts; pairs share experts, so experts are relabelled."""
    return by_relabelling(rank_correlation, pairs["first"], pairs["second"], pairs[column], lost)


@claim("mloss-weight-disparity-hurts")
def disparity(groups: Table, kinds: Table, pairs: Table) -> Outcome:
    """Averages of experts far apart can be poor, and the farther apart the less they keep.

    They can: those of two bases keep less than half. The farther the less: in perceptrons, over all
    groups and among groups of one size and length of training; and in the suites. Corrected: they
    can, and in perceptrons. Fails: they cannot, or in perceptrons the other way round.
    """
    overall, within = _ranks(groups, "distance"), _within(groups, "distance")
    distance, kept = by_world(kinds, "distance").mean(), by_world(kinds, "kept").mean()
    suites = [
        {"suite": suite, "rank": pair_ranks(part, "distance", lost(part))}
        for suite, part in pairs.groupby("suite", sort=False)
    ]
    controls = ["shared base", "one model rescaled", "both rescaled", "independent bases"]
    values = {
        "overall": overall,
        "within": within,
        "suites": suites,
        "kinds": [{"kind": k, "distance": distance[k], "kept": kept[k]} for k in controls],
        "worlds": groups.seed.nunique(),
    }
    can = kept["independent bases"] < 50 and distance["independent bases"] > distance["shared base"]
    perceptrons = can and overall.below and within.below
    everywhere = perceptrons and all(s["rank"].above for s in suites)
    return weighed(everywhere, not can or overall.above or within.above, perceptrons, values)


@claim("mloss-predicts-merged-accuracy")
def predicts(groups: Table, pairs: Table) -> Outcome:
    """M-Loss ranks merges by the accuracy they keep, better than the distance of weights does.

    Holds: below -0.6 in the laboratory, with each model on its own input and all on the base's, and
    clearly in each suite. Corrected: own input, in the laboratory. Fails: if for each reading the
    laboratory excludes it, or each suite does.
    """
    lab = {name: _ranks(groups, name) for name in PREDICTORS}
    within = {name: _within(groups, name) for name in PREDICTORS}
    own = _by_world(groups, "own_mloss")
    rivals = [
        {"name": label, "more": of_mean(own - _by_world(groups, name))}
        for name, label in PREDICTORS.items()
        if name in ("shift", "preactivations")
    ]
    suites = []
    for suite, part in pairs.groupby("suite", sort=False):
        loss = lost(part)
        suites.append(
            {"suite": suite, "pairs": len(part)}
            | {
                name: pair_ranks(part, name, loss)
                for name in ("own_mloss", "shared_mloss", "preactivations", "distance", "cosine")
            }
        )

    def in_lab(name):
        return within[name].high < -0.6 and within[name].high < within["distance"].low

    readings = {
        name: (in_lab(name), [suite[name].above for suite in suites])
        for name in ("own_mloss", "shared_mloss")
    }
    against = all(
        within[name].low > -0.6
        or within[name].low > within["distance"].high
        or all(suite[name].below for suite in suites)
        for name in readings
    )
    holds = all(lab_holds and all(clear) for lab_holds, clear in readings.values())
    values = {
        "predictors": [
            {"name": label, "overall": lab[name], "within": within[name]}
            for name, label in PREDICTORS.items()
        ],
        "rivals": rivals,
        "own": within["own_mloss"],
        "own_overall": lab["own_mloss"],
        "shared": within["shared_mloss"],
        "distance": within["distance"],
        "suites": suites,
        "groups": len(groups),
        "worlds": groups.seed.nunique(),
    }
    opposed = bool(suites) and all(suite["own_mloss"].below for suite in suites)
    return weighed(holds, against, readings["own_mloss"][0] and not opposed, values)
