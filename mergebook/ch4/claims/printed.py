"""Claims about the printed tables of the paper (evidence page 04f). The arithmetic is exact."""

import numpy as np
import pandas as pd

from mergebook.ch4.printed import (
    ENSEMBLES,
    GREEDY_ENSEMBLES,
    MERGES,
    TESTED,
    attainable,
    exact_rank_test,
    least_clear,
    over_single,
)
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
SCOPE = "CIFAR-100"  # of Figures 3, 17 and 18
NETWORKS = 20  # architectures of these figures, counted in Table 8
SLACK = 1e-9  # of binary fractions


def _in_scope(rows: Table, agree: pd.Series, all_of: bool = True) -> tuple[bool | None, dict]:
    """Whether rows on the figures' data agree, for each architecture of the figures.

    None while some architectures are not printed and no printed row disagrees. If not `all_of`,
    more than half of them need to, once all architectures are printed.
    """
    here = rows[rows.data == SCOPE]
    agreed = agree[here.index]
    networks = here.architecture.nunique()
    values = {
        "agree": int(agreed.sum()),
        "rows": len(here),
        "networks": networks,
        "of": NETWORKS,
        "all": int(agree.sum()),
        "every": len(rows),
    }
    if not all_of:
        return (bool(agreed.mean() > 0.5) if networks >= NETWORKS else None), values
    if not agreed.all():
        return False, values
    return (True if networks >= NETWORKS else None), values


@claim("rethink-uniform-soup-worst")
def uniform_last(ends: Table) -> Outcome:
    """On CIFAR-100 uniform soups are last for every architecture; one that is not: fails."""
    holds, values = _in_scope(ends, ends["last"] == "uniform")
    return Outcome(holds, values=values)


@claim("rethink-logit-ensemble-always-best")
def logits_best(ends: Table) -> Outcome:
    """On CIFAR-100 logits are best and uniform soups last for every architecture, up to 7 models.

    One row that is otherwise: fails.
    """
    few = ends[ends.models <= 7]
    holds, values = _in_scope(few, (few.best == "logits") & (few["last"] == "uniform"))
    return Outcome(holds, values=values)


@claim("rethink-greedy-beats-uniform")
def greedy_over_uniform(rows: Table) -> Outcome:
    """On CIFAR-100 greedy soups are above uniform ones in most rows, of all architectures."""
    over = rows.greedy > rows.uniform
    exceptions = (
        rows[~over]
        .sort_values("models")
        .groupby("data")
        .models.apply(lambda m: ", ".join(map(str, m)))
        .reset_index()
    )
    holds, values = _in_scope(rows, over, all_of=False)
    return Outcome(holds, values=values | {"exceptions": exceptions})


@claim("rethink-greedy-ensembles-comparable")
def greedy_alike(rows: Table) -> Outcome:
    """On CIFAR-100 greedy ensembles are within 1 point of greedy soups for every architecture.

    One row that is not: fails.
    """
    apart = rows[list(GREEDY_ENSEMBLES)].sub(rows.greedy, axis=0).abs()
    worst = np.sort(apart.to_numpy().ravel())[::-1]
    here = apart[rows.data == SCOPE].to_numpy()
    at = rows.loc[apart.max(axis=1).idxmax()]
    holds, values = _in_scope(rows, apart.max(axis=1) <= 1 + SLACK)
    values |= {
        "mean": apart.to_numpy().mean(),
        "first": worst[0],
        "second": worst[1],
        "data": at["data"],
        "models": int(at.models),
        "here": here.max(),
        "entries": apart.size,
        "beyond": int((apart > 1 + SLACK).to_numpy().sum()),
    }
    return Outcome(holds, values=values)


@claim("rethink-ensembling-more-stable")
def more_stable(rows: Table) -> Outcome:
    """The worst and the best gain of both ensembles are above those of both soups.

    Corrected: those of ensembles of logits are.
    """
    gains = over_single(rows)[[*MERGES, *ENSEMBLES]]
    worst, best = gains.min(), gains.max()

    def above(kinds):
        return all(e[k] > e[list(MERGES)].max() for k in kinds for e in (worst, best))

    methods = [{"method": m, "worst": worst[m], "best": best[m]} for m in gains]
    return Outcome(above(ENSEMBLES), above(["logits"]), {"methods": methods, "rows": len(rows)})


def _plausible(rows: Table, models: int) -> Outcome:
    """Scores that the test sets allow, and greedy ensembles within 5 points of greedy soups."""
    part = rows[rows.models == models].set_index("data").sort_index()
    scores = part[[*MERGES, *ENSEMBLES, *GREEDY_ENSEMBLES]]
    fits = [
        {"data": d, "fits": all(attainable(v, size) for v in scores.loc[d])}
        for d, size in TESTED.items()
    ]
    apart = part[list(GREEDY_ENSEMBLES)].sub(part.greedy, axis=0).abs().max(axis=1)
    lead = part.logits - part.uniform
    checked = scores.loc[list(TESTED)].size
    values = {
        "fits": fits,
        "checked": checked,
        "entries": scores.size,
        "apart": apart.max(),
        "at": apart.idxmax(),
    }
    values |= {"low": lead.min(), "high": lead.max()}
    return Outcome(bool(all(f["fits"] for f in fits) and apart.max() < 5), values=values)


@claim("rethink-table1-ten-model-datasets")
def table1_scores(rows: Table) -> Outcome:
    """Table 1: scores that can be, and no entry far off its neighbours."""
    return _plausible(rows, 10)


@claim("rethink-table4-two-models")
def table4_scores(rows: Table) -> Outcome:
    """Table 4: scores that can be, and no entry far off its neighbours."""
    return _plausible(rows, 2)


@claim("rethink-table5-three-models")
def table5_scores(rows: Table) -> Outcome:
    """Table 5: scores that can be, and no entry far off its neighbours."""
    return _plausible(rows, 3)


@claim("rethink-table6-five-models")
def table6_scores(rows: Table) -> Outcome:
    """Table 6: scores that can be, and no entry far off its neighbours."""
    return _plausible(rows, 5)


@claim("rethink-table7-seven-models")
def table7_scores(rows: Table) -> Outcome:
    """Table 7: scores that can be, and no entry far off its neighbours."""
    return _plausible(rows, 7)


# ---------------------------------------------------------------------------------- Tables 3 and 10


@claim("rethink-table3-best-donor")
def best_donor(donors: Table) -> Outcome:
    """No soup is above Tiny ImageNet's."""
    by = donors.set_index("donor").soup
    values = {"best": by.idxmax(), "soup": by.max(), "named": by["TinyImageNet"]}
    return Outcome(bool(by["TinyImageNet"] >= by.max()), values=values)


@claim("rethink-table3-size-effect")
def size_effect(donors: Table) -> Outcome:
    """Larger donors have better soups: an exact rank test at 5 %; fails if it shows the reverse."""
    value, p = exact_rank_test(donors["size"], donors.soup)
    small, large = (donors.loc[i] for i in (donors["size"].idxmin(), donors["size"].idxmax()))
    values = {
        "rho": value,
        "p": p,
        "donors": len(donors),
        "needed": least_clear(len(donors)),
        "small": {"donor": small.donor, "soup": small.soup},
        "large": {"donor": large.donor, "soup": large.soup},
    }
    return Outcome(bool(value > 0) if p < 0.05 else None, values=values)


@claim("rethink-table3-cifar10-small-scale")
def small_scale(donors: Table) -> Outcome:
    """CIFAR-10's soup is below its ensemble, and every smaller donor's soup is below it.

    Fails: its soup is not below its ensemble. Open: it is, and a smaller donor does better.
    """
    by = donors.set_index("donor")
    own = by.loc["CIFAR-10"]
    smaller = by[by["size"] < own["size"]]
    better = smaller[smaller.soup >= own.soup].sort_values("soup")
    values = {
        "soup": own.soup,
        "logits": own.logits,
        "smaller": len(smaller),
        "better": better.reset_index(),
        "below": int((by.soup < by.logits).sum()),
        "donors": len(by),
    }
    if own.soup >= own.logits:
        return Outcome(False, values=values)
    return Outcome(None if len(better) or not len(smaller) else True, values=values)


@claim("rethink-table3-celeba-mediocre")
def mediocre(donors: Table) -> Outcome:
    """CelebA's soup is neither the best nor the worst of the column."""
    by = donors.set_index("donor").soup
    rank = int((by > by["Celeba"]).sum()) + 1
    values = {"soup": by["Celeba"], "rank": rank, "donors": len(by), "median": by.median()}
    return Outcome(bool(by.min() < by["Celeba"] < by.max()), values=values)


@claim("rethink-table10-inferior-to-features")
def behind_features(table10: Table) -> Outcome:
    """Both soups are below all feature ensembles in every row.

    Corrected: one soup is below one of them in every row.
    """
    pairs = []
    for soup in ("Uni Soups", "Grd Soups"):
        for features in ("Ens Fts", "Ens Fts*", "Grd Ens Fts"):
            gap = table10[features] - table10[soup]
            counts = {"behind": int((gap > SLACK).sum()), "mean": gap.mean()}
            pairs.append({"soup": soup, "features": features} | counts)
    every = [pair for pair in pairs if pair["behind"] == len(table10)]
    there = "; ".join(f"{pair['soup']} below {pair['features']}" for pair in every)
    values = {"pairs": pairs, "rows": len(table10), "there": there or "none"}
    return Outcome(len(every) == len(pairs), bool(every), values)
