"""M-Loss inside a network, and M-TIES, which trims a node's weights by it.

Both are from Section 5 of the M-Loss paper. A *site* is a linear layer or convolution that feeds an
elementwise activation; its nodes are its output units or channels. Every expert reads the same
input there, so that a node's pre-activations differ by its weights alone. Chapter 2 derives and
tests everything here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

import torch
from torch import Tensor

from mergehelpers import device as devices
from mergehelpers import merge, mloss
from mergehelpers.backbones import Backbone
from mergehelpers.merge.stacks import check_weights
from mergehelpers.states import State

# Entries of what enters a site, on a CPU; the pre-activations that all experts make of them then
# stay in its cache.
AT_ONCE = 2**18
# Inputs, as many as the paper takes, that go through a network together while its layers are
# merged.
ONE_PASS = 128


def squared(h: Tensor, f: Callable, weights=None) -> Tensor:
    """The squared gap of each node, as in the released code: (q, ..., nodes) -> (..., nodes)."""
    return mloss.discrepancy(h, f, weights).square()


@dataclass(frozen=True)
class Variant:
    """One reading of M-TIES. `activation` None is the network's own; see `VARIANTS`.

    `increment` is that of scored layers, `elsewhere` that of all other tensors.
    """

    measure: Callable
    activation: str | None
    synchronised: bool
    increment: str
    biases: bool
    elsewhere: str = "disjoint"


PAPER = Variant(mloss.node_mloss, None, synchronised=True, increment="weighted", biases=True)
# `paper` is Algorithm 1 with plain TIES for other layers, as Section 6.1 has it; `everywhere` takes
# only the trimming of these layers from TIES, so that line 22 adds all of them. `released` is what
# m_ties.py of the authors' repository does at 11fb725.
VARIANTS = {
    "paper": PAPER,
    "everywhere": replace(PAPER, elsewhere="weighted"),
    "released": Variant(
        squared, "gelu_tanh", synchronised=False, increment="disjoint", biases=False
    ),
}


def variant(name: str) -> Variant:
    """The reading of that name; raises `ValueError` that lists them."""
    if name not in VARIANTS:
        raise ValueError(f"reading is {name!r}; allowed: {', '.join(VARIANTS)}")
    return VARIANTS[name]


def pick_sites(backbone: Backbone, layers: str = "*") -> list[str]:
    """The sites whose names match one of the patterns in `layers`.

    Patterns are separated by commas (`*` matches anything). Raises `ValueError` if the network has
    no site, or for a pattern that matches none, with the names there are.
    """
    sites = backbone.sites()
    if not sites:
        raise ValueError(
            f"{type(backbone).__name__} has no layer that feeds an activation, "
            "so M-Loss has nothing to measure"
        )
    patterns = [pattern.strip() for pattern in layers.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(site, pattern) for site in sites):
            raise ValueError(f"layers: no site matches {pattern!r}; there are {', '.join(sites)}")
    return [site for site in sites if any(fnmatchcase(site, pattern) for pattern in patterns)]


@torch.no_grad()
def node_scores(
    backbone: Backbone,
    reader: State | None,
    experts: Sequence[State],
    inputs,
    *,
    sites: Sequence[str] | None = None,
    measure: Callable = mloss.node_mloss,
    activation: str | None = None,
    batch: int | None = None,
    bar=None,
    then: Callable[[str, Tensor], None] | None = None,
) -> dict[str, Tensor]:
    """Mean M-Loss of every node over inputs and tokens, `{site: (nodes,)}`.

    All experts read what enters the site in the network `reader` (Algorithm 1); with `reader` None
    each reads its own activations. `measure(h, f)` maps pre-activations (q, tokens, nodes) to what
    is averaged over tokens: `mloss.node_mloss` (Eq. 4), `squared`, `mloss.layer_mloss` (Eq. 3), …
    Inputs come in batches and nothing is kept of them but sums; the pass stops behind the last
    site. When the last batch reaches a site, its scores are complete: `then(site, scores)` is
    called before the reader goes on, and may change the reader's weights in place. Raises
    `ValueError` for no inputs, or an unknown site.
    """
    check_inputs(inputs)
    sites = pick_sites(backbone) if sites is None else list(sites)
    if unknown := set(sites) - set(backbone.sites()):
        raise ValueError(
            f"no site {', '.join(sorted(unknown))}; there are {', '.join(backbone.sites())}"
        )
    sums, count = {}, dict.fromkeys(sites, 0)

    def add(site, h, mask):
        f = mloss.activation(activation or backbone.activation_at(site))
        loss = measure(h.flatten(1, -2) if mask is None else h[:, mask], f)
        sums[site] = sums.get(site, 0) + loss.to(devices.widest_float(loss.device)).sum(0)
        count[site] += len(loss)

    def done(site):
        if then and start + batch >= len(inputs):
            then(site, sums[site] / count[site])

    batch = batch or backbone.batch
    for start in range(0, len(inputs), batch):
        piece = backbone.prepare(inputs[start : start + batch])
        if reader is None:
            own = [backbone.preactivations(expert, piece, sites) for expert in experts]
            for i, site in enumerate(sites):
                h = torch.stack([records[i][1] for records in own])
                add(site, h, backbone.token_mask(piece, h[0]))
                done(site)
        else:

            def see(site, x, piece=piece):
                mask = backbone.token_mask(piece, x)
                few = max(1, devices.at_once(AT_ONCE, x.device) // x[0].numel())
                for i in range(0, len(x), few):
                    h = torch.stack(
                        [backbone.at_site(site, expert, x[i : i + few]) for expert in experts]
                    )
                    add(site, h, None if mask is None else mask[i : i + few])
                done(site)

            backbone.visit(reader, piece, sites, see)
        if bar is not None:
            bar.update(min(batch, len(inputs) - start))
    return {site: sums[site] / count[site] for site in sites}


def ranks(scores: Tensor) -> Tensor:
    """Ranks of the scores from 0 (lowest) to 1 (highest), float64.

    Equal scores share the mean of their ranks. Raises `ValueError` if a score is not finite.
    """
    values = scores.cpu().double()
    if not devices.all_finite(values):
        raise ValueError("the scores hold NaN or infinity, so they have no ranks")
    _, place, equal = values.unique(return_inverse=True, return_counts=True)
    below = equal.cumsum(0) - equal
    return (below + (equal - 1) / 2)[place].double() / max(len(values) - 1, 1)


def check_inputs(inputs) -> None:
    """Raise `ValueError` if there are no inputs."""
    if len(inputs) == 0:
        raise ValueError("M-Loss needs unlabelled inputs; there are none")


def check_spread(keep: float, spread: float) -> None:
    """Raise `ValueError` unless 0 < keep <= 1 and 0 <= spread <= keep."""
    merge.m_ties.check_value("keep", keep)
    if not 0 <= spread <= keep:
        raise ValueError(f"spread is {spread!r}; allowed: from 0 to keep, here {keep}")


def keep_rates(scores: Tensor, keep: float, spread: float) -> Tensor:
    """RankNorm (Algorithm 1, line 15): keep rates from the scores.

    They go from `keep` for the lowest score down to `keep - spread` for the highest.
    """
    check_spread(keep, spread)
    return keep - spread * ranks(scores)


def rates_of(
    backbone: Backbone, scores: Mapping[str, Tensor], keep: float, spread: float
) -> dict[str, Tensor]:
    """Keep rates under the names of the sites' weights, as `merge.m_ties` takes them."""
    return {
        backbone.weight_name(site): keep_rates(score, keep, spread)
        for site, score in scores.items()
    }


def m_ties(
    backbone: Backbone,
    base: State,
    experts: Sequence[State],
    inputs,
    keep: float,
    spread: float,
    scale: float = 1.0,
    reading: str = "paper",
    layers: str = "*",
    batch: int | None = None,
    bar=None,
    weights: Sequence[float] | None = None,
    measure: Callable | None = None,
) -> tuple[State, dict[str, Tensor]]:
    """M-TIES from unlabelled `inputs`: the merged state, and the keep rates it used.

    `reading` names one of `VARIANTS`; `measure` takes the place of its score, for example
    `mloss.normalised_node_mloss` (Eq. 7). The merging weights α are `weights` over their sum, in
    the scores and in the merge. A synchronised reading scores each site in the network merged so
    far. If all inputs fit one batch (by default the backbone's, at least `ONE_PASS`), a single pass
    does it: it merges each layer when it comes to it. Otherwise each site takes a pass of its own,
    through the layers before it. Raises `ValueError` for settings out of range, or no inputs.
    """
    how = variant(reading)
    check_spread(keep, spread)
    check_inputs(inputs)
    sites = pick_sites(backbone, layers)
    measure = measure or how.measure
    if weights is not None:
        check_weights(weights, len(experts))
        measure = partial(measure, weights=[w / sum(weights) for w in weights])
    options = {"measure": measure, "activation": how.activation, "bar": bar}
    settings = {
        "keep": keep,
        "scale": scale,
        "increment": how.increment,
        "biases": how.biases,
        "weights": weights,
        "elsewhere": how.elsewhere,
    }
    if not how.synchronised:
        scores = node_scores(backbone, base, experts, inputs, sites=sites, batch=batch, **options)
        rates = rates_of(backbone, scores, keep, spread)
        return merge.m_ties(base, experts, rates, **settings), rates
    merged, rates = merge.m_ties(base, experts, {}, **settings), {}
    batch = batch or max(backbone.batch, ONE_PASS)

    def settle(site, score):
        found = rates_of(backbone, {site: score}, keep, spread)
        own = [
            key
            for key, value in base.items()
            if key.startswith(f"{site}.") and value.is_floating_point()
        ]
        layer = merge.m_ties(
            {key: base[key] for key in own},
            [{key: e[key] for key in own} for e in experts],
            found,
            **settings,
        )
        for key, value in layer.items():
            merged[key].copy_(value)
        rates.update(found)

    for together in [sites] if len(inputs) <= batch else [[site] for site in sites]:
        node_scores(
            backbone, merged, experts, inputs, sites=together, batch=batch, then=settle, **options
        )
    return merged, rates
