"""What M-TIES costs: layers evaluated, by hooks and by formula; seconds here; a card's table."""

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import pandas as pd
import torch

from mergebook import audit
from mergebook.ch2.printed import TASKS
from mergebook.claims import book_folder
from mergebook.page import OpenSuite
from mergehelpers import merge, mties, states
from mergehelpers.backbones.base import hooked
from mergehelpers.states import State

Table = pd.DataFrame
IMAGES, RELEASED = 128, 1024  # that the paper scores by, and its released code
# Blocks, tokens and width of the paper's networks, and the layers of its few-layer variants.
TOWERS = {
    "ViT-B/32": (12, 50, 768, ((0, 8, 9, 10), (8, 9, 10))),
    "ViT-L/14": (24, 257, 1024, ((0, 20, 21, 22), (20, 21, 22))),
}
ARRAY, SLABS, TENSORS = "TIES in one array", "TIES", "TIES per tensor"
M_TIES = "M-TIES, released"
# Section 6.3: seconds of merging by TIES and by M-TIES, and of the evaluation.
SPENT = {"ViT-B/32": (30, 90, 300), "ViT-L/14": (60, 180, 900)}


def count_layers(r: OpenSuite, run: Callable[[], object]) -> int:
    """How often a site's layer is evaluated while `run()` runs."""
    seen, sites = [], [r.backbone.module.get_submodule(s) for s in r.backbone.sites()]
    with hooked(sites, [lambda *_: seen.append(1)] * len(sites)):
        run()
    return len(seen)


def formulas(depth: int, models: int) -> dict[str, int]:
    """Layers evaluated in all, for the ways to score every layer of a network of that depth."""
    return {
        "shared input, a pass a layer": sum(k - 1 + models for k in range(1, depth + 1)),
        "shared input, one pass": depth - 1 + depth * models,
        "each model alone, from the start": sum(k * models for k in range(1, depth + 1)),
        "each model alone, once": depth * models,
    }


def passes(r: OpenSuite, inputs: Sequence, keep: float = 0.8, spread: float = 0.1) -> Table:
    """The layers that each way evaluates on a suite's network, counted and by formula."""
    net, experts, sites = r.backbone, list(r.experts.values()), r.backbone.sites()

    def scored(reader, chosen):
        return mties.node_scores(net, reader, experts, inputs, sites=chosen)

    ways = [
        lambda: [scored(r.base, [site]) for site in sites],
        lambda: mties.m_ties(net, r.base, experts, inputs, keep, spread),
        lambda: [scored(None, [site]) for site in sites],
        lambda: scored(None, sites),
    ]
    found = formulas(len(sites), len(experts))
    rows = [
        {"way": way, "counted": count_layers(r, run), "formula": found[way]}
        for way, run in zip(found, ways)
    ]
    return pd.DataFrame(rows)


def _scored(layers, block, layer, models):
    """Multiply-adds in billions: blocks before the last layer once, layers in each model."""
    return IMAGES * (max(layers) * block + models * len(layers) * layer) / 1e9


def multiply_adds(models: int = 8) -> Table:
    """Multiply-adds in billions: to score a few layers, to score all, and to test.

    A block of width w on n tokens makes 12 n w² + 2 n² w of them, its scored layer 4 n w². The
    input of every layer is shared, so that a few layers still need the blocks before them.
    """
    tested, rows = sum(audit.SIZES[task] for task in TASKS), []
    for tower, (depth, n, w, variants) in TOWERS.items():
        block, layer = 12 * n * w**2 + 2 * n**2 * w, 4 * n * w**2
        scored = partial(_scored, block=block, layer=layer, models=models)
        for variant in variants:
            rows.append(
                {
                    "tower": tower,
                    "layers": ", ".join(map(str, variant)),
                    "few": scored(variant),
                    "all": scored(range(depth)),
                    "test": tested * depth * block / 1e9,
                }
            )
    return pd.DataFrame(rows)


def in_one_array(base: State, experts: Sequence[State], keep: float) -> torch.Tensor:
    """The increment of TIES as one writes it first: all task vectors side by side, `kthvalue`."""
    vectors = [states.task_vector(base, expert).values() for expert in experts]
    tau = torch.stack([torch.cat([v.flatten() for v in vector]) for vector in vectors])
    place = tau.shape[1] - merge.count_kept(keep, tau.shape[1]) + 1
    return merge.disjoint_mean(tau * (tau.abs() >= tau.abs().kthvalue(place, 1, True).values))


def seconds(
    r: OpenSuite, inputs: Sequence, keep: float = 0.8, spread: float = 0.1, times: int = 3
) -> Table:
    """Median seconds of TIES in two forms, of M-TIES in two readings, and of its scores alone."""
    net, base, experts = r.backbone, r.base, list(r.experts.values())
    base_device = next(iter(base.values())).device

    def by(reading):
        return lambda: mties.m_ties(net, base, experts, inputs, keep, spread, reading=reading)

    works = {
        ARRAY: lambda: in_one_array(base, experts, keep),
        SLABS: lambda: merge.ties(base, experts, keep, 1.0),
        "the scores of M-TIES": lambda: mties.node_scores(net, base, experts, inputs),
        M_TIES: by("released"),
        "M-TIES, paper": by("paper"),
    }
    rows = []
    for name, work in works.items():
        taken = []
        for _ in range(times + 1):  # the first warms up
            start = time.perf_counter()
            work()
            if base_device.type != "cpu":
                torch.accelerator.synchronize()
            taken.append(time.perf_counter() - start)
        rows.append({"name": name, "seconds": median(taken[1:])})
    return pd.DataFrame(rows)


def on_a_card(card: str = "NVIDIA-H200") -> Table:
    """The stored times of `benchmarks/gpu.py`: of each row `tower`, `name` and `seconds`.

    These are medians of rounds; `low` and `high` are the fastest and the slowest.
    """
    text, rows, tower = (book_folder("benchmarks") / f"{card}.md").read_text("utf-8"), [], ""
    number = r"([\d.]+)"
    for line in text.splitlines():
        if found := re.match(r"\*\*(ViT-.*?)\*\*", line):
            tower = found[1]
        if tower and (found := re.match(rf"\| ([^|]+?) \| {number} \({number}–{number}\)", line)):
            median_, low, high = (float(found[i]) / 1000 for i in (2, 3, 4))
            rows.append((tower, found[1], median_, low, high))
    return pd.DataFrame(rows, columns=["tower", "name", "seconds", "low", "high"])


def printed_seconds() -> Table:
    """What Section 6.3 prints, in seconds: `ties`, `m_ties` and `evaluation` of each tower."""
    rows = [(tower, *spent) for tower, spent in SPENT.items()]
    return pd.DataFrame(rows, columns=["tower", "ties", "m_ties", "evaluation"])
