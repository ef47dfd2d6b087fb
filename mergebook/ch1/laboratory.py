"""Perceptrons of the paper's Eq. 1: worlds of a base and eight experts, and what is measured there.

A world is a base, pretrained briefly on all eight tasks of `lab.TASKS`, and one expert per task,
fine-tuned from it with a frozen readout at five lengths of training. Worlds differ in their
initialisation and in all random draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from scipy import optimize
from torch import Tensor

from mergebook import lab
from mergebook.experiments import Tolerance
from mergehelpers import mloss, states
from mergehelpers.states import State

READOUT = ("layers.3.weight", "layers.3.bias")
LENGTHS = (25, 50, 100, 200, 400)
EXPERT = 200  # the length of training that we call an expert
TASKS = range(len(lab.TASKS))
RELU = mloss.activation("relu")
# Networks in float64 end alike on every processor that was tried, within 1e-11, and give the same
# answers. Six digits are stored, of which the last may flip.
EXACT = Tolerance(relative=1e-5)
COUNTED = Tolerance(absolute=2e-3)  # points of accuracy: no answer of 1,500, 0.07, may differ
ANSWERS = Tolerance(absolute=2 / 1500)  # two of a task's test images


def digits6(row: dict) -> dict:
    """The row with its numbers cut to six digits, which is what is stored."""
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}


@dataclass(frozen=True)
class World:
    """The key of a world: the seed of its initialisation and draws."""

    seed: int


@lru_cache(maxsize=1)
def digits() -> lab.Digits:
    """The laboratory's data, the same in every world."""
    return lab.load_digits(0)


@lru_cache(maxsize=8)
def pretrained(seed: int, tasks: tuple[int, ...] = tuple(TASKS), steps: int = 150) -> State:
    """A base, trained on a mixture of `tasks`: a stack of one."""
    start = lab.initial([seed])
    return lab.train(start, digits(), [tasks], steps=steps, lr=2e-3, seed=10 * seed, label="base")[
        steps
    ]


def fine_tuned(
    base: State, tasks: Sequence[int], seed: int, lengths: Sequence[int] = (EXPERT,)
) -> dict[int, State]:
    """Experts of `base`, one per task, at several lengths of training: `{steps: stack}`."""
    start = lab.take(base, [0] * len(tasks))
    return lab.train(
        start,
        digits(),
        [[t] for t in tasks],
        steps=max(lengths),
        lr=1e-3,
        seed=10 * seed + 1,
        frozen=READOUT,
        snapshots=lengths,
        label="experts",
    )


@lru_cache(maxsize=4)
def experts(seed: int) -> dict[int, State]:
    """The eight experts of a world at every length of training."""
    return fine_tuned(pretrained(seed), TASKS, seed, LENGTHS)


def images(tasks: Sequence[int] = TASKS, each: int = 125) -> Tensor:
    """Unlabelled images, `each` of every task, (images, pixels)."""
    return digits().split("train")[0][list(tasks), :each].flatten(0, 1)


# ------------------------------------------------------------------------------ what is measured


def own_mloss(stack: State, x: Tensor) -> float:
    """Mean node M-Loss over hidden layers, each model on its own input (Definition 3.4)."""
    hidden = lab.preactivations(stack, x)[:-1]
    return torch.stack([mloss.node_mloss(h, RELU).mean() for h in hidden]).mean().item()


def shared_mloss(stack: State, origin: State, x: Tensor) -> float:
    """Mean node M-Loss over hidden layers, all models on the base's input (as released)."""
    hidden = [x, *(h[0].relu() for h in lab.preactivations(origin, x)[:-2])]
    losses = []
    for layer, entering in enumerate(hidden):
        one = {f"layers.0.{part}": stack[f"layers.{layer}.{part}"] for part in ("weight", "bias")}
        losses.append(mloss.node_mloss(lab.preactivations(one, entering)[0], RELU).mean())
    return torch.stack(losses).mean().item()


def output_gap(stack: State, x: Tensor) -> Tensor:
    """Merged minus ensembled logits, (images, classes)."""
    return lab.logits(lab.average(stack), x)[0] - lab.logits(stack, x).mean(0)


def rms(z: Tensor) -> float:
    """Root mean square."""
    return z.square().mean().sqrt().item()


def relative(merged: State, members: State, tasks: Sequence[int]) -> float:
    """Accuracy of one model on tasks, in percent of each task's own expert; the mean over tasks."""
    own = lab.own_accuracy(members, digits(), tasks)
    return 100 * (lab.accuracy(merged, digits(), tasks)[0] / own).mean().item()


def moved_by(stack: State, origin: State, t: float, seed: int | None = None) -> State:
    """Every model at origin + t · its task vector, or t · a random direction as long."""
    out = {}
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for name, p in stack.items():
        tau = p - origin[name]
        if generator is not None:
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            length = [v.flatten(1).norm(dim=1).view(-1, *[1] * (p.ndim - 1)) for v in (tau, noise)]
            tau = noise * length[0] / length[1]
        out[name] = origin[name] + t * tau
    return out


def rescaled(stack: State, c: float) -> State:
    """The same function: the first hidden layer c times larger, the next weights smaller."""
    out = dict(stack)
    for name in ("layers.0.weight", "layers.0.bias"):
        out[name] = c * stack[name]
    out["layers.1.weight"] = stack["layers.1.weight"] / c
    return out


def distance(pair: State) -> float:
    """Euclidean distance of two models' weights."""
    return states.norm({name: p[0] - p[1] for name, p in pair.items()})


def reordered(stack: State, orders: Sequence[Tensor]) -> State:
    """The same function with the hidden units of layer l in the order `orders[l]`."""
    out = dict(stack)
    for layer, order in enumerate(orders):
        for name in (f"layers.{layer}.weight", f"layers.{layer}.bias"):
            out[name] = out[name][:, order]
        out[f"layers.{layer + 1}.weight"] = out[f"layers.{layer + 1}.weight"][:, :, order]
    return out


def matching(reference: State, stack: State, x: Tensor) -> list[Tensor]:
    """For each hidden layer, the order of `stack`'s units that fits the reference's best."""
    orders = []
    for a, b in zip(lab.preactivations(reference, x)[:-1], lab.preactivations(stack, x)[:-1]):
        z = [(h[0] - h[0].mean(0)) / (h[0].std(0) + 1e-9) for h in (a, b)]
        assigned = optimize.linear_sum_assignment(-(z[0].T @ z[1]).numpy())[1]
        orders.append(torch.from_numpy(assigned))
    return orders


def reach(origin: State, members: State, x: Tensor) -> tuple[float, float]:
    """k and sigma, means over hidden nodes.

    k is half the range of the base's pre-activation, sigma the root mean square deviation of the
    members' pre-activations from it, each on its own input.
    """
    base, own = lab.preactivations(origin, x)[:-1], lab.preactivations(members, x)[:-1]
    k = torch.stack([(h.amax(1) - h.amin(1)).mean() / 2 for h in base]).mean().item()
    sigma = torch.stack([(b - a).square().mean().sqrt() for a, b in zip(base, own)]).mean().item()
    return k, sigma
