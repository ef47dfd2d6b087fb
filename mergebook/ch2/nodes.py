"""M-Loss of nodes by the sample that estimates it: ranks for Table 2, layers for Figure 3."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch2.models import sample
from mergebook.ch2.samples import FEW_DRAWS, drawn_sizes
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import rank_correlation
from mergebook.page import OpenSuite, opened
from mergehelpers import mloss, mties

Table = pd.DataFrame


@dataclass(frozen=True)
class Sampled:
    """The key of scores: `samples` unlabelled inputs a task, drawn by `draw`.

    A block of Figure 3 has `block` nodes; of `every` so many one keeps its own number.
    """

    models: str
    samples: int
    draw: int
    block: int = 50
    every: int = 8


def gap_and_size(h: Tensor, f: Callable, weights=None) -> Tensor:
    """M-Loss of each node (Eq. 4), then the size of its activation in the merged model."""
    return torch.cat([mloss.node_mloss(h, f), f(h.mean(0)).abs()], dim=-1)


def node_means(key: Sampled, sources: Mapping[str, str], device: str) -> list[dict]:
    """Of each layer, M-Loss and size of the activation: means of blocks, and of some nodes."""
    r = opened(key, sources, device)
    inputs, rows = sample(r, key.samples, key.draw), []
    found = mties.node_scores(
        r.backbone, r.base, list(r.experts.values()), inputs, measure=gap_and_size
    )
    for site, both in found.items():
        loss, size = both.cpu().chunk(2)
        row = {"loss": block_means(loss, key.block), "size": block_means(size, key.block)}
        row["nodes"] = loss[:: key.every]
        rows.append({"layer": site} | {name: digits5(values) for name, values in row.items()})
    return rows


def block_means(values: Tensor, size: int) -> list[Tensor]:
    """The mean of each `size` consecutive nodes; the last block may be smaller."""
    return [part.mean() for part in values.split(size)]


def digits5(values: Sequence[Tensor]) -> list[float]:
    """Numbers cut to five digits, which is what is stored."""
    return [float(f"{float(value):.5g}") for value in values]


# Sums in single precision; another sample's are a hundred times as far away.
SUMS = Tolerance(relative=1e-4)
NODES = Experiment(
    "M-Loss of nodes by sample",
    1,
    Sampled,
    node_means,
    {"layer": Tolerance(), "loss": SUMS, "size": SUMS, "nodes": SUMS},
)


def sampled(r: OpenSuite, samples: int) -> list[Sampled]:
    """The keys of a suite: every size, a few draws each."""
    return [Sampled(r.mark, n, draw) for n, draw in drawn_sizes(r, samples, FEW_DRAWS)]


def rank_agreement(nodes: Table) -> Table:
    """Rank correlation of nodes with those by all inputs, the mean over layers; a row a draw."""
    rows = []
    for suite, part in nodes.groupby("suite", sort=False):
        whole = part[part.samples == part.samples.max()].set_index("layer").nodes
        for (n, draw), few in part.groupby(["samples", "draw"]):
            each = [rank_correlation(row.nodes, whole[row.layer]) for row in few.itertuples()]
            rows.append((suite, n, draw, float(np.mean(each))))
    return pd.DataFrame(rows, columns=["suite", "inputs", "draw", "correlation"])


def heat_map(nodes: Table, relative: bool) -> np.ndarray:
    """Figure 3 of one suite from all inputs: a row a layer, a column a block of nodes."""
    whole = nodes[nodes.samples == nodes.samples.max()]
    scale = whole["size"] if relative else [1] * len(whole)
    return np.array([np.divide(loss, size) for loss, size in zip(whole.loss, scale)])


def late_layers(depth: int) -> range:
    """A quarter of the layers before the last, as the paper's 8, 9, 10 of 12."""
    return range(depth - 1 - max(1, round(depth / 4)), depth - 1)


def layer_ratios(nodes: Table, samples: int) -> Table:
    """Mean M-Loss of each layer over the median of the middle layers; a row a draw.

    Raw, and relative to the size of the activation. The middle is neither the first layer, nor late
    (`late_layers`), nor the last; ratios are NaN in a network that has none.
    """
    rows = []
    mine = nodes[nodes.samples == samples]
    for (suite, draw), part in mine.groupby(["suite", "draw"], sort=False):
        loss, size = (np.array([np.mean(v) for v in part[name]]) for name in ("loss", "size"))
        for kind, values in {"raw": loss, "relative": loss / size}.items():
            middle = values[1 : late_layers(len(values)).start]
            yardstick = np.median(middle) if len(middle) else np.nan
            for depth, value in enumerate(values / yardstick):
                rows.append((suite, draw, kind, depth, value))
    return pd.DataFrame(rows, columns=["suite", "draw", "kind", "layer", "ratio"])
