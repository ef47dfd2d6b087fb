"""Claims about magnified weights: what breaks, and for whom first (page 04d).

Starts are the repetitions. A sentence holds if each 95 % interval shows it; intervals that exclude
are corrected for their number.
"""

import pandas as pd
from scipy import stats

from mergebook.ch4.curves import NAMED, interval_of, network_rows
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
SAME, NEAR = 1.0, 0.06  # points that count as no change; how near a prediction must be
CHANCE, IMAGES = 0.5, 10_000  # of Tiny ImageNet's test
LITTLE = 2.0  # points between two classifiers of features
TIE = 5.0  # points from the model that is magnified


def seen(table: Table, names, kind: str, among: int = 1) -> list[tuple[str, str, Interval]]:
    """`(what, network, interval)` of some contrasts in a format."""
    return [
        (name, network, x)
        for name in names
        for network, x in interval_of(table, among, what=name, format=kind).items()
    ]


def interval_rows(found: list[tuple[str, str, Interval]]) -> Table:
    """The same as a table, whose rows a sentence can say."""
    rows = [
        {"what": what.split(": ")[-1], "network": network, **x._asdict()}
        for what, network, x in found
    ]
    return pd.DataFrame(rows, columns=["what", "network", *Interval._fields])


def all_above(found, bound: float = 0.0) -> bool:
    """Whether there are intervals, and each lies above a bound."""
    return bool(found) and all(x.low > bound for _, _, x in found)


def within(found, bound: float) -> bool:
    """Whether there are intervals, and each lies within ± a bound."""
    return bool(found) and all(-bound < x.low and x.high < bound for _, _, x in found)


def one_below(table: Table, names, kind: str, bound: float = 0.0) -> bool:
    """Whether an interval, corrected for their number, lies below a bound."""
    number = len(seen(table, names, kind))
    return any(x.high < bound for _, _, x in seen(table, names, kind, max(1, number)))


@claim("rethink-breakdown-threshold-is-overflow")
def breaks_by_overflow(contrasts: Table, thresholds: Table, full: Table) -> Outcome:
    """Accuracy breaks beyond 100, in both formats.

    Corrected: in float32 alone, where the largest score predicts, at every depth.
    """
    names = ("broken: single", "broken: logits")
    single, double = (seen(contrasts, names, kind) for kind in ("float32", "float64"))
    by_start = thresholds.groupby(["what", "network", "seed"], sort=False)[["ratio", "real"]].mean()
    ratio = {
        what: interval_of(by_start.loc[what].reset_index(), column="ratio")
        for what in dict.fromkeys(thresholds.what)
    }
    exact = all(
        1 - NEAR < x.low and x.high < 1 + NEAR for found in ratio.values() for x in found.values()
    )
    real = thresholds[thresholds.what == "single"].groupby("network").real.mean()
    at_full_size = (
        len(full) > 0
        and (full.lost_below == 0).all()
        and (full[["lost_above", "same"]] == 100).all(axis=None)
        and (full.lost_double == 0).all()
    )
    means = thresholds.groupby(["network", "what"], sort=False)[["predicted", "observed", "real"]]
    values = {
        "rows": means.mean().reset_index(),
        "full": full.groupby("network", sort=False).predicted.mean().reset_index(),
        "images": len(full),
        "double": max((abs(x.value) for _, _, x in double), default=float("nan")),
        "intervals": len(single) + len(double) + sum(map(len, ratio.values())),
        "starts": thresholds.seed.nunique(),
    }
    moves = len(real) > 1 and bool(real.max() > 2 * real.min())
    corrected = all_above(single) and within(double, SAME) and exact and moves and at_full_size
    against = one_below(contrasts, names, "float32", SAME)
    return weighed(all_above(single) and all_above(double), against, bool(corrected), values)


def factors_of(*methods: str) -> tuple[str, ...]:
    """The contrasts of methods' losses with the soup's, at the factors that the paper names."""
    return tuple(f"more: {method} at {c:g}" for method in methods for c in NAMED)


@claim("rethink-fig7b-accuracy-vs-factor")
def ensembles_fall_faster(contrasts: Table) -> Outcome:
    """Ensembles of logits and of features lose more than soups, in both formats.

    Corrected: of those methods that do in float32, if in float64 nothing changes once biases keep
    the function.
    """
    methods = ("logits", "features")
    found = {
        (m, k): seen(contrasts, factors_of(m), k) for m in methods for k in ("float32", "float64")
    }
    there = [m for m in methods if all_above(found[m, "float32"])]
    double = {m: all_above(found[m, "float64"]) for m in methods}
    kept = seen(contrasts, ("biases: none", "biases: layers"), "float64")
    values = {
        "single": interval_rows(found["logits", "float32"] + found["features", "float32"]),
        "double": interval_rows(found["logits", "float64"]),
        "kept": max((abs(x.value) for _, _, x in kept), default=float("nan")),
        "there": " and ".join(there) or "none",
        "intervals": sum(map(len, found.values())),
        "starts": contrasts.seed.nunique(),
    }
    holds = there == list(methods) and all(double.values())
    against = one_below(contrasts, factors_of("logits"), "float32")
    return weighed(holds, against, bool(there) and within(kept, SAME), values)


@claim("rethink-proposal3-merging-more-robust")
def soups_lose_less(contrasts: Table) -> Outcome:
    """Ensembles of logits lose more than soups, in both formats.

    Corrected: in float32, and clearly more than in float64.
    """
    single, double = (seen(contrasts, factors_of("logits"), k) for k in ("float32", "float64"))
    formats = seen(contrasts, [f"format: at {c:g}" for c in NAMED], "both")
    values = {
        "single": interval_rows(single),
        "double": interval_rows(double),
        "divided": interval_rows(seen(contrasts, factors_of("divided"), "float32")),
        "formats": interval_rows(formats),
        "intervals": len(single) + len(double) + len(formats),
        "starts": contrasts.seed.nunique(),
    }
    against = all(one_below(contrasts, factors_of("logits"), k) for k in ("float32", "float64"))
    holds = all_above(single) and all_above(double)
    return weighed(holds, against, all_above(single) and all_above(formats), values)


@claim("rethink-proposal3-smaller-weights")
def by_smaller_weights(contrasts: Table) -> Outcome:
    """An average lasts longer than its members, single models, whose weights are larger.

    By that ensembles could fall first, whatever the order of their sums. Holds: single models, and
    ensembles that divide first, lose more than soups in both formats. Fails: in both formats single
    models lose what soups lose, though ensembles of logits lose more in float32.
    """
    both = ("float32", "float64")
    names = factors_of("single", "divided")
    found = {kind: seen(contrasts, names, kind) for kind in both}
    alone = [row for kind in both for row in seen(contrasts, factors_of("single"), kind)]
    values = {
        "single": interval_rows(seen(contrasts, factors_of("single"), "float32")),
        "double": interval_rows(seen(contrasts, factors_of("single"), "float64")),
        "divided": interval_rows(seen(contrasts, factors_of("divided"), "float32")),
        "intervals": sum(map(len, found.values())),
        "starts": contrasts.seed.nunique(),
    }
    lead = all_above(seen(contrasts, factors_of("logits"), "float32"))
    holds = all(map(all_above, found.values()))
    return weighed(holds, lead and within(alone, SAME), values=values)


@claim("rethink-feature-ensemble-more-robust")
def features_last_longer(contrasts: Table) -> Outcome:
    """Logits lose more than features in both formats; features lead soups at 50 somewhere.

    Corrected: in float32. The networks among which features lead are looked through, so that lead
    is corrected for their number.
    """
    names = [f"features: at {c:g}" for c in NAMED]
    single, double = (seen(contrasts, names, kind) for kind in ("float32", "float64"))
    ahead = seen(contrasts, ["ahead: at 50"], "float32", contrasts.network.nunique())
    lead = any(x.low > 0 for _, _, x in ahead)
    values = {
        "single": interval_rows(single),
        "double": interval_rows(double),
        "ahead": interval_rows(ahead),
        "intervals": len(single) + len(double) + len(ahead),
        "starts": contrasts.seed.nunique(),
    }
    against = one_below(contrasts, names, "float32")
    holds = all_above(single) and all_above(double) and lead
    return weighed(holds, against, all_above(single) and lead, values)


@claim("rethink-table10-tinyimagenet-x100")
def numbers_of_table_10(printed: Table) -> Outcome:
    """Printed soups and ensembles have the ranges of the sentence, soups ahead in each row.

    Which ensembles are below chance is said, by exact binomial intervals, corrected for all.
    """
    soups, ensembles = printed["Uni Soups"], printed["Ens Lgt"]
    ranges = (soups.min(), soups.max(), ensembles.max()) == (6.68, 7.15, 1.59)
    there = ranges and bool((soups > ensembles).all())
    low = [name for name, high in zip(printed["Model #"], upper_ends(ensembles)) if high < CHANCE]
    values = {
        "least": soups.min(),
        "most": soups.max(),
        "fewest": ensembles.min(),
        "highest": ensembles.max(),
        "low": "; ".join(low) or "none",
        "count": len(low),
        "of": len(printed),
    }
    return Outcome(there, values=values)


def upper_ends(percents) -> list[float]:
    """Upper ends of exact 95 % intervals of printed accuracies, corrected for their number."""
    ends = []
    for value in percents:
        right = round(value / 100 * IMAGES)
        ends.append(100 * stats.beta.ppf(1 - 0.025 / len(percents), right + 1, IMAGES - right))
    return ends


@claim("rethink-ens-features-star")
def first_classifier_does(printed: Table, heads: Table, shared: Table) -> Outcome:
    """The mean classifier and the first model's differ by little, printed and here at factor 1.

    Corrected: as printed, where all accuracies are low; with own classifiers a network clearly
    loses more, by an interval corrected for their number. `shared` has the same with one
    classifier to begin with.
    """
    apart = (printed["Ens Fts"] - printed["Ens Fts*"]).abs()
    own = interval_of(heads.assign(value=heads.mean_head - heads.head_1))
    one = interval_of(shared)
    every = [("", network, x) for found in (own, one) for network, x in found.items()]
    strict = interval_of(
        heads.assign(value=heads.mean_head - heads.head_1), max(1, heads.network.nunique())
    )
    there = [network for network, x in strict.items() if x.low > LITTLE]
    as_printed = bool((apart < 1).all())
    values = {
        "least": apart.min(),
        "most": apart.max(),
        "share": (100 * apart / printed["Ens Fts"]).max(),
        "own": network_rows(own),
        "one": network_rows(one),
        "starts": heads.seed.nunique(),
        "intervals": len(every),
        "strict": network_rows(strict),
        "there": ", ".join(there) or "none",
    }
    clear = bool(there)
    holds = as_printed and within(every, LITTLE)
    return weighed(holds, not as_printed and clear, as_printed and clear, values)


@claim("rethink-one-model-magnified")
def answers_as_the_magnified_one(one: Table) -> Outcome:
    """With one of all models magnified, soup and ensemble stay within 5 points of that model.

    Not decidable here if they do with none magnified: then their accuracy tells nothing.
    """
    found, plain = [], []
    for name in ("soup", "logits"):
        per_start = one.assign(value=one[name] - one.single)
        per_start = per_start.groupby(["which", "network", "seed"]).value.mean().reset_index()
        for which in ("first", "last", "none"):
            each = interval_of(per_start, which=which)
            to = plain if which == "none" else found
            to += [(f"{name}, {which}", network, x) for network, x in each.items()]
    values = {
        "rows": interval_rows(found + plain),
        "networks": ", ".join(dict.fromkeys(one.network)),
        "starts": one.seed.nunique(),
        "intervals": len(found) + len(plain),
    }
    tells = all(x.low > TIE or x.high < -TIE for _, _, x in plain)
    return Outcome(within(found, TIE) if tells or not within(found, TIE) else None, values=values)
