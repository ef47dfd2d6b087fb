"""Algorithm 1 as the paper writes it and as its code runs it: rates, invariants, answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from mergebook import ledger
from mergebook.ch2.models import Merge, by_name, experiment, minus, rates, sample, scored
from mergebook.ch2.rules import apart, plain_ties
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import evaluate, merge, mties

Table = pd.DataFrame
READINGS = experiment("readings of M-TIES")
BY_HAND = "by hand"  # a layer of equal losses that no network has
# What the page compares: a name, its method and its order of nodes.
LADDER = {
    "TIES": ("TIES", ""),
    "TIES by tensor": ("TIES by tensor", ""),
    "rows, all keep k": ("rows", "constant"),
    "rows, all keep k - e/2": ("rows", "even"),
    "M-TIES, released": ("rows", "released"),
    "released, layers read the merged network": ("rows", "merged so far"),
    "released, models read their own input": ("rows", "own input"),
    "released, shared input, mean of the gap": ("rows", "shared input"),
    "M-TIES, paper": ("line 22", "merged so far"),
    "paper, line 22 for all tensors": ("line 22 everywhere", "merged so far"),
    "M-DARE": ("M-DARE", "released"),
    "DARE, all keep k - e/2": ("M-DARE", "even"),
    "base": ("base", ""),
}


def ladder(r: OpenSuite, **settings) -> list[Merge]:
    """The keys of all models of `LADDER`; `settings` are fields of `Merge`."""
    return [Merge(r.mark, *names, **settings) for names in LADDER.values()]


def ladder_table(answers: Table, seed: int = 0) -> Table:
    """Accuracy of each model of `LADDER`, and M-TIES as released minus it, for each suite."""
    out = {}
    for suite, part in answers.groupby("suite", sort=False):
        of = by_name(part, "method", "order")
        mine = of[LADDER["M-TIES, released"]]
        for name, names in LADDER.items():
            out[name, suite] = f"{evaluate.percent([of[names]]):.1f}"
            gap = "" if of[names] is mine else f"{minus(mine, of[names], seed):+.1f}"
            out[name, f"{suite}: released minus it"] = gap
    return pd.Series(out).unstack()[[*dict.fromkeys(c for _, c in out)]].loc[list(LADDER)]


# -------------------------------------------------------------------------------- losses to rates


def losses_and_rates(r: OpenSuite, keep: float, spread: float, samples: int) -> Table:
    """M-Loss and keep rate of every node of a suite, and of a layer with equal losses by hand."""
    rows, losses = [], scored(r, "released", samples, 0)
    given = rates(r, Merge(r.mark, "rows", "released", keep, spread, samples=samples))
    layers = {site: (losses[site], given[r.backbone.weight_name(site)]) for site in losses}
    equal = torch.tensor([3.0, 1.0, 1.0, 2.0])
    layers[BY_HAND] = equal, mties.keep_rates(equal, keep, spread)
    for site, (loss, rate) in layers.items():
        rows += [(site, x, y, keep, spread) for x, y in zip(loss.tolist(), rate.tolist())]
    return pd.DataFrame(rows, columns=["layer", "loss", "rate", "keep", "spread"])


# --------------------------------------------------------------------------- what must be the case


def invariants(r: OpenSuite, keep: float, spread: float, scale: float, samples: int) -> Table:
    """What is true of any correct M-TIES, in each reading, and by how much it is missed."""
    experts, inputs = list(r.experts.values()), sample(r, samples, 0)

    def made(models, k, e, times, reading):
        return mties.m_ties(r.backbone, r.base, models, inputs, k, e, times, reading)

    rows = []
    for reading in mties.VARIANTS:
        flat = made(experts, keep, 0.0, scale, reading)[1]
        off = max((rate - keep).abs().max().item() for rate in flat.values())
        rows.append((reading, "e = 0 keeps k in every row", off))
        same = made(experts[:1] * 3, 1.0, 0.0, 1.0, reading)[0]
        rows.append((reading, "equal experts, k = 1", apart(same, experts[0])))
        ways = [made(m, keep, spread, scale, reading)[0] for m in (experts, experts[::-1])]
        rows.append((reading, "the order of models", apart(*ways)))
    return pd.DataFrame(rows, columns=["reading", "invariant", "error"])


# ------------------------------------------------------------------------------------ the increment


def increments(seed: int, models: int = 3, width: int = 40) -> Table:
    """Both increments of random changes, against TIES in plain Python: largest differences."""
    g = torch.Generator().manual_seed(seed)
    small = torch.randn(models, width, generator=g, dtype=torch.float64)
    zero = {"w": torch.zeros(1, width, dtype=torch.float64)}
    experts = [{"w": row[None]} for row in small]
    by_hand = torch.tensor(plain_ties(small.tolist(), 0.5), dtype=torch.float64)
    found = {
        how: merge.m_ties(zero, experts, {}, 0.5, 1.0, elsewhere=how)["w"][0]
        for how in ("disjoint", "weighted")
    }
    errors = [(how, (made - by_hand).abs().max().item()) for how, made in found.items()]
    return pd.DataFrame(errors, columns=["increment", "error"])


# ---------------------------------------------------------------------------- whose input is read


def agreement(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[float]:
    """The rank correlation of two scores of the nodes of each layer."""
    return [float(stats.spearmanr(a[n].cpu(), b[n].cpu()).statistic) for n in a]


@dataclass(frozen=True)
class Ranked:
    """The key of compared rankings: rates from `keep` and `spread`, `samples` inputs a task.

    `draws` more samples of one reading say how far a ranking is noise.
    """

    models: str
    keep: float
    spread: float
    samples: int
    draws: int = 3


def ranks_alike(key: Ranked, sources: Mapping[str, str], device: str) -> list[dict]:
    """Rank correlations of nodes by whose input the layers read, and of samples of one reading.

    A row of each comparison and layer; `draw` tells the samples apart.
    """
    r = opened(key, sources, device)

    def ranked(order, draw=0):
        return rates(
            r, Merge(r.mark, "rows", order, key.keep, key.spread, samples=key.samples, draw=draw)
        )

    shared = ranked("shared input")
    others = [(order, 0, ranked(order)) for order in ("merged so far", "own input")]
    for draw in range(1, key.draws + 1):
        others.append(("another sample", draw, ranked("shared input", draw)))
    return [
        {"ranked": name, "draw": draw, "layer": layer, "correlation": round(value, 5)}
        for name, draw, found in others
        for layer, value in enumerate(agreement(found, shared))
    ]


RANKS = Experiment(
    "ranks by whose input is read",
    1,
    Ranked,
    ranks_alike,
    # Near ties may swap on another processor; another sample's ranks differ in the second digit.
    {"correlation": Tolerance(relative=0.002)}
    | dict.fromkeys(("ranked", "draw", "layer"), Tolerance()),
)


# ------------------------------------------------------------------------ by reading the code


def points() -> Table:
    """What the text says and what the released m_ties.py does, point by point."""
    columns = ["point", "text", "code", "relation"]
    found = [
        tuple(fact[name] for name in columns)
        for fact in ledger.released()
        if any("mloss-code-matches-paper" in place["claims"] for place in fact["book"])
    ]
    return pd.DataFrame(found, columns=columns)
