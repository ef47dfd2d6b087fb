"""The tables of Rethinking, as tidy numbers; networks of Table 8, counted again (page 04f)."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import timm
import torch
import torchvision
from scipy import stats
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mergebook import ledger

Table = pd.DataFrame
COUNTS = {2: "table4", 3: "table5", 5: "table6", 7: "table7", 10: "table1"}
MERGES, ENSEMBLES = ("uniform", "greedy"), ("logits", "features")
GREEDY_ENSEMBLES = ("greedy logits", "greedy features")
METHODS = ("single", *MERGES, *ENSEMBLES, *GREEDY_ENSEMBLES)
TESTED = {"DermaMNIST": 2005, "PathMNIST": 7180}  # test images, as published
# Training, validation and test images as published with each set, and classes.
PUBLISHED = {
    "Cifar10": ((50_000, 10_000), "10"),
    "CIFAR-100": ((50_000, 10_000), "100"),
    "PathMNIST": ((89_996, 10_004, 7_180), "9"),
    "DermaMNIST": ((7_007, 1_003, 2_005), "7"),
    "CelebA": ((162_770, 19_867, 19_962), "2"),
    "TinyImageNet": ((100_000, 10_000, 10_000), "200"),
    "ChestXRay": ((112_120,), "14×2"),
}
# ChestX-ray14, as published with it (Wang et al. 2017; the file that lists its images).
CHEST = {"images": 112_120, "patients": 30_805, "labels": 14}
QUARTER_RULE = "a quarter of the sum of variances is at most the larger"
# The numbered equations of the main text, in order.
EQUATIONS = (
    "weights averaged, one linear layer",
    "outputs averaged, one linear layer",
    "weights averaged, with an activation",
    "outputs averaged, with an activation",
    "the average's largest entry is at most the mean of both",
    "the mean of both is at most the larger",
    "the mean of the average",
    "the variance of the average",
    QUARTER_RULE,
    "Property 1",
    "Theorem 1",
)
SMALL_NAMES = {
    "DeiT_Tiny": "deit_tiny_patch16_224",
    "ViT_Tiny": "vit_tiny_patch16_224",
    "ViT_B_16": "vit_base_patch16_224",
}


def soup_tables() -> Table:
    """Tables 1 and 4 to 7 as one, a row for each data set and number of models; all of VGG19."""
    parts = []
    for models, name in COUNTS.items():
        # Our copy of Table 1 has its last column twice.
        part = ledger.printed(f"rethinking_{name}").iloc[:, :8]
        part.columns = ["data", *METHODS]
        parts.append(part.assign(models=models, architecture="VGG19"))
    return pd.concat(parts, ignore_index=True)


def deit_table() -> Table:
    """Table 9 in the same form: DeiT on Tiny ImageNet."""
    part = ledger.printed("rethinking_table9")
    models = part["Model #"].str.extract(r"(\d+)")[0].astype(int)
    part = part.iloc[:, 1:].set_axis(list(METHODS), axis=1)
    return part.assign(models=models, architecture="DeiT", data="TinyImageNet")


def extremes(rows: Table) -> Table:
    """The best and the last method of each row; single models only count as best."""
    best = rows[list(METHODS)].idxmax(axis=1)
    last = rows[list(METHODS[1:])].idxmin(axis=1)
    return rows[["architecture", "data", "models"]].assign(best=best, last=last)


def over_single(rows: Table) -> Table:
    """Points above the mean single model, by method; with data set and number of models."""
    gains = rows[list(METHODS[1:])].sub(rows.single, axis=0)
    return rows[["data", "models"]].join(gains)


def attainable(value: float, size: int) -> bool:
    """Whether a percentage with two decimals is a whole number out of `size`, rounded."""
    return round(100 * round(value * size / 100) / size, 2) == round(value, 2)


def donor_table() -> Table:
    """Table 3 with sizes as numbers: a row a donor, its soup with the CIFAR-100 model."""
    part = ledger.printed("rethinking_table3")
    part.columns = ["donor", "size", "alone", "soup", "logits", "features"]
    return part.assign(size=part["size"].astype(str).str.replace(",", "").astype(int))


def exact_rank_test(a, b) -> tuple[float, float]:
    """Spearman's correlation and its exact two-sided p, over all orders of `b` (at most 8 rows)."""
    found = stats.spearmanr(a, b).statistic
    orders = [stats.spearmanr(a, order).statistic for order in itertools.permutations(b)]
    return float(found), float(np.mean(np.abs(orders) >= abs(found) - 1e-9))


def least_clear(rows: int, level: float = 0.05) -> float:
    """The least absolute rank correlation of so many rows, without ties, whose p is below a level.

    NaN if there is none.
    """
    first = range(rows)
    every = np.array(
        [abs(stats.spearmanr(first, o).statistic) for o in itertools.permutations(first)]
    )
    clear = [v for v in np.unique(every.round(9)) if (every >= v - 1e-9).mean() < level]
    return float(min(clear, default=math.nan))


def size_table() -> Table:
    """Table 2 beside the published sizes and numbers of classes."""
    part = ledger.printed("rethinking_table2")
    printed = part.Sizes.astype(str).str.replace(",", "").astype(int)
    splits = [PUBLISHED[name][0] for name in part.Datasets]
    return Table(
        {
            "data": part.Datasets,
            "printed": printed,
            "training": [s[0] for s in splits],
            "published": [sum(s) for s in splits],
            "classes": part["Class #"].astype(str),
            "published classes": [PUBLISHED[name][1] for name in part.Datasets],
            "link": part.Links,
        }
    )


# ------------------------------------------------------------------------------------------ Table 8


def shapes_of(name: str) -> nn.Module:
    """A network of Table 8 without numbers, for 1,000 classes."""
    with torch.device("meta"):
        if name in SMALL_NAMES:
            return timm.create_model(SMALL_NAMES[name], num_classes=1000).eval()
        return getattr(torchvision.models, name.lower())().eval()


def counted_once(module: nn.Module, side: int) -> tuple[int, int]:
    """Multiply-adds for one image, and entries that BatchNorms normalise in it."""
    seen = []
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_forward_hook(lambda _, inputs, output: seen.append(output.numel()))
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        module(torch.empty(1, 3, side, side))
    return counter.get_total_flops() // 2, sum(seen)


def recounted(
    build: Callable[[str], nn.Module] = shapes_of, names: tuple[str, ...] = (), side: int = 224
) -> Table:
    """Table 8 beside a count: parameters in millions, multiply-adds in billions, entries that
    BatchNorm normalises in billions. `names` are some of its networks, or empty for all."""
    table, rows = ledger.printed("rethinking_table8").set_index("Models"), []
    for name in names or table.index:
        module = build(name)
        multiply_adds, normalised = counted_once(module, side)
        counts = {
            "parameters": sum(p.numel() for p in module.parameters()) / 1e6,
            "multiply-adds": multiply_adds / 1e9,
            "normalised": normalised / 1e9,
        }
        printed = {"printed": table["Param # (M)"][name], "FLOPs": table["FLOPs (G)"][name]}
        rows.append({"network": name} | counts | printed)
    return pd.DataFrame(rows)
