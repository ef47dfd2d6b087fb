"""Averages of weights beside Mixup: small networks of digits, trained with it and without."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mergebook import lab
from mergebook.ch4.templates import Pictures
from mergebook.experiments import Experiment, Tolerance
from mergehelpers.states import State

BEGINNINGS = ("one", "own")


@dataclass(frozen=True)
class Blend:
    """The key of five networks of the laboratory, from one start or each from its own."""

    start: str = "one"
    passes: int = 8
    seed: int = 0

    def __post_init__(self):
        if self.start not in BEGINNINGS:
            raise ValueError(f"start is {self.start!r}; allowed: {', '.join(BEGINNINGS)}")


def trained_with(
    start: State,
    pictures: Pictures,
    seeds: Sequence[int],
    passes: int,
    mixup: float = 0.0,
    rate: float = 0.002,
    batch: int = 64,
) -> State:
    """A stack of networks, each with its own order of batches; Adam.

    With `mixup` > 0 each batch is mixed with itself turned round, by a Beta(mixup, mixup) share,
    and its labels by the same.
    """
    x, y = pictures
    stack = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(stack.values(), lr=rate)
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    rng = np.random.default_rng(seeds[0])
    for _ in range(passes):
        orders = torch.stack([torch.randperm(len(x), generator=g) for g in draws])
        for chosen in orders.split(batch, dim=1):
            share = rng.beta(mixup, mixup) if mixup else 1.0
            here, labels = x[chosen], y[chosen]
            z = lab.logits(stack, share * here + (1 - share) * here.flip(1)).flatten(0, 1)
            loss = share * F.cross_entropy(z, labels.flatten())
            loss = loss + (1 - share) * F.cross_entropy(z, labels.flip(1).flatten())
            optimiser.zero_grad()
            (len(seeds) * loss).backward()
            optimiser.step()
    return {name: value.detach() for name, value in stack.items()}


def departure(stack: State, x: Tensor) -> float:
    """How far probabilities on a blend of two images are from the blend of theirs, 0 to 1.

    Half the sum of absolute differences, the mean over images, each blended with that at the same
    place from the end, and over networks. Mixup trains it to be small.
    """
    other = x.flip(0)
    whole, a, b = (lab.logits(stack, v).softmax(-1) for v in ((x + other) / 2, x, other))
    return float((whole - (a + b) / 2).abs().sum(-1).mean() / 2)


def distance_to_mean(out: Tensor, every: Tensor) -> float:
    """Mean distance of outputs (models, ...) from the mean of `every`, relative to its length."""
    mean = every.mean(0)
    return float(np.mean([float((o - mean).norm() / mean.norm()) for o in out]))


def one_layer_gap(stack: State, x: Tensor) -> float:
    """The largest difference of averaged weights' scores from averaged scores, of one layer.

    The layer is the last, which reads the first network's features.
    """
    last = f"layers.{lab.depth(stack) - 1}.weight"
    inner = torch.relu(lab.preactivations(stack, x)[-2])[0]
    averaged = inner @ lab.average(stack)[last][0].T
    return float((averaged - (inner @ stack[last].mT).mean(0)).abs().max())


def blend_row(key: Blend) -> dict:
    """What the average of five networks does to scores, and to blends of images.

    `layer`: `one_layer_gap`, to nine digits. `soup` and `member`: `distance_to_mean` of scores, of
    the average and of one network. `departure` of single networks, of the average, and of networks
    trained with Mixup; accuracies of the same.
    """
    digits, seeds = lab.load_digits(key.seed), [10 * key.seed + i for i in range(5)]
    (x, y), (tx, ty) = ((v[0], y) for v, y in (digits.split("train"), digits.split("test")))
    start = lab.initial(seeds[:1] * 5 if key.start == "one" else seeds)
    plain = trained_with(start, (x, y), seeds, key.passes)
    mixed = trained_with(start, (x, y), seeds, key.passes, mixup=1.0)
    soup = lab.average(plain)
    z = lab.logits(plain, tx)
    kinds = {"single": plain, "averaged": soup, "mixup": mixed}
    right = {name: (lab.logits(s, tx).argmax(-1) == ty) for name, s in kinds.items()}
    return {
        "layer": round(one_layer_gap(plain, tx), 9),
        "soup": distance_to_mean(lab.logits(soup, tx), z),
        "member": distance_to_mean(z, z),
        **{f"departure_{name}": departure(s, tx) for name, s in kinds.items()},
        **{f"accuracy_{name}": 100 * float(v.double().mean()) for name, v in right.items()},
    }


CLOSE = Tolerance(relative=2e-3)
BLEND = Experiment(
    "averaging and Mixup",
    1,
    Blend,
    blend_row,
    {"layer": Tolerance(absolute=1e-9)}
    | dict.fromkeys(
        ("soup", "member", *(f"departure_{n}" for n in ("single", "averaged", "mixup"))), CLOSE
    )
    | dict.fromkeys((f"accuracy_{n}" for n in ("single", "averaged", "mixup")), Tolerance(0.1)),
)
