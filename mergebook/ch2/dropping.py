"""DARE: its mean and variance, and the harm that dropping does to networks of four widths."""

import math
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from torch import Tensor

from mergebook import lab
from mergebook.ch1.laboratory import COUNTED, EXACT, READOUT, TASKS, digits, digits6
from mergebook.experiments import Experiment
from mergehelpers import merge
from mergehelpers.states import State

Table = pd.DataFrame


def moments(seed: int, draws: int = 200_000) -> Table:
    """Mean and variance of one entry of size 1 under DARE, beside what theory says."""
    one, rows = torch.ones(draws, dtype=torch.float64), []
    for keep in (0.1, 0.3, 0.7, 0.9):
        scaled, raw = (
            merge.drop(one, keep, torch.Generator().manual_seed(seed), rescale)
            for rescale in (True, False)
        )
        rows.append(
            {
                "k": keep,
                "mean": scaled.mean().item(),
                "variance": scaled.var().item(),
                "(1-k)/k": (1 - keep) / keep,
                "mean, not rescaled": raw.mean().item(),
            }
        )
    return pd.DataFrame(rows)


WIDTHS, DROPS = (16, 32, 64, 128), (0.5, 0.8, 0.9, 0.95, 0.99)
LENGTH = 0.14  # of a task vector over that of its base: about what the widest networks have


@dataclass(frozen=True)
class Width:
    """The key of a family of perceptrons: the seed of its world, the width of its three layers."""

    world: int
    width: int


@lru_cache(maxsize=2)
def family(world: int, width: int) -> tuple[State, State]:
    """A base, eight times, and its eight experts, one for each task of the laboratory."""
    start = lab.initial([world], (lab.SIDE**2, width, width, width, 10))
    base = lab.train(start, digits(), [TASKS], steps=150, lr=2e-3, seed=world)[150]
    copies = lab.take(base, [0] * len(TASKS))
    tasks = [[t] for t in TASKS]
    experts = lab.train(
        copies, digits(), tasks, steps=200, lr=1e-3, seed=100 + world, frozen=READOUT
    )
    return copies, experts[200]


def lengths(stack: State) -> Tensor:
    """The Euclidean length of each model of a stack, (models,)."""
    return sum(p.flatten(1).square().sum(1) for p in stack.values()).sqrt()


def harmed(key: Width) -> list[dict]:
    """Mean accuracy of experts on their own tasks, their changes whole, dropped, and disturbed.

    Every task vector is scaled to `LENGTH` times its base, or has its natural length. The noise is
    Gaussian, of the variance that DARE adds.
    """
    start, experts = family(key.world, key.width)
    natural = {n: experts[n] - start[n] for n in start}
    factor = LENGTH * lengths(start) / lengths(natural)
    change = {n: c * factor.view(-1, *[1] * (c.ndim - 1)) for n, c in natural.items()}
    g, rows = torch.Generator().manual_seed(key.world), []

    def accuracy(new):
        model = {n: start[n] + new[n] for n in start}
        return 100 * lab.own_accuracy(model, digits(), TASKS).mean().item()

    def noise(c, size):
        return c + size * c * torch.randn(c.shape, generator=g, dtype=c.dtype)

    def without(share, changes):
        return {n: merge.drop(c, 1 - share, g) for n, c in changes.items()}

    for share in DROPS:
        size = math.sqrt(share / (1 - share))
        row = {
            "dropped": share,
            "whole": accuracy(change),
            "dare": accuracy(without(share, change)),
            "noise": accuracy({n: noise(c, size) for n, c in change.items()}),
            "whole_natural": accuracy(natural),
            "dare_natural": accuracy(without(share, natural)),
        }
        rows.append(digits6(row))
    return rows


HARM = Experiment(
    "harm of dropping by width",
    2,
    Width,
    harmed,
    {"dropped": EXACT}
    | dict.fromkeys(("whole", "dare", "noise", "whole_natural", "dare_natural"), COUNTED),
)
