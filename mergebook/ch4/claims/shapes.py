"""Claims about the shape of curves over factors: peaks, batches, counts and classes (page 04h)."""

import pandas as pd

from mergebook.ch4.claims.magnified import all_above, interval_rows, one_below, seen, within
from mergebook.ch4.curves import class_slopes, interval_of
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.weighing import weighed

Table = pd.DataFrame
NO_FALL = 2.0  # points
PEAK = ("rise", "fall", "widening")
TOGETHER = (1.0, 10.0, 50.0)  # factors at which soups and ensembles go together
APART, UNRELATED = 90.0, 110.0


def listed(networks) -> str:
    """Networks as a sentence names them."""
    return ", ".join(networks) or "none"


@claim("rethink-fig7c-fig24b-peak-gap")
def gap_has_a_peak(contrasts: Table) -> Outcome:
    """Soup minus ensemble rises to 90, falls by 150, and rises more for more models; both formats.

    Corrected: in float32, in some networks, and nothing falls in float64. Networks are looked
    through, so those intervals are corrected for their number.
    """
    networks = list(dict.fromkeys(contrasts.network))
    single, double = (seen(contrasts, PEAK, kind) for kind in ("float32", "float64"))
    chosen = seen(contrasts, PEAK, "float32", len(networks))
    there = [n for n in networks if all_above([row for row in chosen if row[1] == n])]
    flat = seen(contrasts, ("fall",), "float64")
    values = {
        "single": interval_rows(single),
        "flat": max((abs(x.value) for _, _, x in flat), default=float("nan")),
        "there": listed(there),
        "plain": listed(n for n in networks if all_above([r for r in single if r[1] == n])),
        "intervals": len(single) + len(double),
        "starts": contrasts.seed.nunique(),
    }
    holds = all_above(single) and all_above(double)
    against = all(one_below(contrasts, [name], "float32") for name in PEAK[:2])
    return weighed(holds, against, bool(there) and within(flat, NO_FALL), values)


@claim("rethink-figs20-24-curves")
def alike_for_every_count(counts: Table) -> Outcome:
    """For every number of models, on both tasks, ensembles of logits lose more than soups by 100.

    In both formats. The mean over networks of a start is a repetition. Corrected: in float32.
    Fails if an interval excludes it there.
    """
    per_start = counts.groupby(["format", "members", "task", "seed"]).more.mean().reset_index()
    parts = list(per_start.groupby(["format", "members", "task"]))
    found = {key: of_mean(part.more) for key, part in parts}
    single, double = (
        {key: x for key, x in found.items() if key[0] == kind} for kind in ("float32", "float64")
    )
    strict = [of_mean(p.more, len(single)) for key, p in parts if key in single]
    there = counts[counts.format == "float32"]
    alone = [
        of_mean(part.sort_values("seed").more)
        for _, part in there.groupby(["members", "task", "network"])
    ]
    leaves = there.groupby("members").leaves.mean()
    shown = {
        name: pd.DataFrame([{"what": f"{n}, {t}", **x._asdict()} for (_, n, t), x in part.items()])
        for name, part in (("rows", single), ("double", double))
    }
    values = shown | {
        "networks": counts.network.nunique(),
        "alone": sum(x.low > 0 for x in alone),
        "of": len(alone),
        "few": int(leaves.index.min()),
        "many": int(leaves.index.max()),
        "first": leaves.loc[leaves.index.min()],
        "last": leaves.loc[leaves.index.max()],
        "intervals": len(found),
        "starts": counts.seed.nunique(),
    }
    in_single, in_double = (
        bool(part) and all(x.low > 0 for x in part.values()) for part in (single, double)
    )
    against = any(x.high < 0 for x in strict)
    return weighed(in_single and in_double, against, in_single, values)


def pattern(relations: Table, network: str, kind: str, among: int = 1) -> dict[str, bool]:
    """Which parts of the scatter's sentence intervals of a network show."""
    own = relations[(relations.network == network) & (relations.format == kind)]

    def of(c: float, column: str) -> Interval:
        return of_mean(own[own.factor == c].sort_values("seed")[column], among)

    beyond = of(UNRELATED, "r")
    return {
        "related": all(of(c, "r").low > 0 for c in TOGETHER),
        "ensemble": all(of(c, "ahead").high < 0 for c in TOGETHER),
        "soup": of(APART, "ahead").low > 0,
        "still": of(APART, "r").low > 0,
        "every": bool((own[own.factor == APART].below == 100).all()),
        "unrelated": beyond.low < 0 < beyond.high and beyond.high - beyond.low < 1,
        "behind": of(APART, "ahead").high < 0,
    }


SIDES = ("related", "ensemble", "soup")
PARTS = {
    "related": "together up to 50",
    "ensemble": "the ensemble ahead up to 50",
    "soup": "the soup ahead at 90",
    "still": "together at 90",
    "every": "every batch below at 90",
    "unrelated": "not together at 110",
}


@claim("rethink-fig4-scatter")
def scatter_of_batches(relations: Table) -> Outcome:
    """Batches as the paper has them, in each network and both formats.

    Together up to 50 and the ensemble ahead, still together at 90 and the soup ahead on every
    batch, no relation beyond 100. Corrected: in float32, in some networks, the sides of the
    diagonal; there the soup is behind at 90 in float64. Fails: in each network the ensemble is
    clearly ahead at 90, in float32 too.
    """
    networks = list(dict.fromkeys(relations.network))
    number = max(1, len(networks))
    plain = {(n, k): pattern(relations, n, k) for n in networks for k in ("float32", "float64")}
    strict = {key: pattern(relations, *key, number) for key in plain}
    whole = [all(v[part] for part in PARTS) for v in plain.values()]
    there = [
        n
        for n in networks
        if all(strict[n, "float32"][part] for part in SIDES) and plain[n, "float64"]["behind"]
    ]
    means = relations.groupby(["format", "network", "factor"], sort=False)[["r", "ahead", "below"]]
    shown = {n: [words for p, words in PARTS.items() if plain[n, "float32"][p]] for n in networks}
    related = relations[(relations.format == "float32") & (relations.factor >= APART)]
    values = {
        "shown": [{"network": n, "parts": ", ".join(v) or "nothing"} for n, v in shown.items()],
        "related": [
            {"network": n, "factor": c, "r": of_mean(part.sort_values("seed").r)}
            for (n, c), part in related.groupby(["network", "factor"], sort=False)
            if c in (APART, UNRELATED)
        ],
        "rows": means.mean().loc["float32"].reset_index().query("factor in (1, 50, 90, 110)"),
        "double": means.mean().loc["float64"].reset_index().query("factor == 90"),
        "there": listed(there),
        "lead": listed(f"{-means.mean().ahead['float32', n, TOGETHER[-1]]:.1f}" for n in there),
        "starts": relations.seed.nunique(),
        "intervals": 9 * len(plain),
    }
    against = bool(networks) and all(strict[n, "float32"]["behind"] for n in networks)
    return weighed(bool(whole) and all(whole), against, bool(there), values)


@claim("rethink-tinyimagenet-less-effective")
def less_with_more_classes(shares: Table) -> Outcome:
    """The share of accuracy that a soup keeps at 100 falls with the number of classes.

    In each network, in float64. Fails if in each it clearly rises.
    """
    found = interval_of(class_slopes(shares))
    number = max(1, len(found))
    strict = interval_of(class_slopes(shares), number)
    gain = shares[shares.classes == shares.classes.max()]
    gain = interval_of(gain.assign(value=gain.soup - gain.single))
    values = {
        "rows": pd.DataFrame([{"network": n, **x._asdict()} for n, x in found.items()]),
        "gain": pd.DataFrame([{"network": n, **x._asdict()} for n, x in gain.items()]),
        "intervals": len(found),
        "starts": shares.seed.nunique(),
    }
    holds = bool(found) and all(x.high < 0 for x in found.values())
    rises = bool(found) and all(x.low > 0 for x in strict.values())
    return weighed(holds, rises, False, values)
