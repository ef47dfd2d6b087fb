"""Merging rules: pure functions from a base and its experts to one state dict.

`experts` is a sequence of state dicts like the base. Integer tensors keep the base's value. Each
rule is arithmetic on a *stack*: the task vectors of all experts along the first axis (`trim`,
`drop`, `elect`, `disjoint_mean`). A rule under `@streamed` works on slabs of the stack;
`ties.stream(…)` gives the tensors one by one, where `ties(…)` gives them all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from mergehelpers import states
from mergehelpers.stacks import (
    Pairs,
    Stack,
    Stacks,
    ascending,
    by_tensor,
    joined,
    kth_largest,
    streamed,
    widest,
)
from mergehelpers.states import State

SCOPES = ("global", "tensor")


@streamed
def average(
    models: Sequence[Mapping[str, Tensor]], weights: Sequence[float] | None = None
) -> Pairs:
    """The weighted mean of the models, by default with equal weights.

    Integer tensors are the first model's. Raises `ValueError` if the models do not fit each other
    or the weights are not one a model, with a sum of one.
    """
    states.check_compatible(models, values=False)
    weights = [1 / len(models)] * len(models) if weights is None else list(weights)
    if len(weights) != len(models) or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(
            f"need one weight for each of {len(models)} models, with the sum 1, got {weights}"
        )

    def mean(key, value):
        stack = Stack(key, None, [model[key].flatten() for model in models])
        return joined((sum(w * model for w, model in zip(weights, slab)) for slab in stack), value)

    return (
        (key, mean(key, value) if value.is_floating_point() else value)
        for key, value in models[0].items()
    )


@streamed
def task_arithmetic(
    base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], scale: float
) -> Pairs:
    """Base plus `scale` times the sum of the task vectors (Ilharco et al. 2023).

    With `scale` 1/q it is the average.
    """
    return by_tensor(Stacks(base, experts), lambda stack: (slab.sum(0) for slab in stack), scale)


@streamed
def ties(
    base: Mapping[str, Tensor],
    experts: Sequence[Mapping[str, Tensor]],
    keep: float,
    scale: float,
    scope: str = "global",
) -> Pairs:
    """TIES merging (Yadav et al. 2023): trim, elect signs, merge what agrees.

    Each task vector keeps its fraction `keep` in (0, 1] of largest entries, over the whole model
    (`global`) or over every tensor by itself (`tensor`). `scale` multiplies the disjoint mean.
    """
    check_keep(keep)
    if scope not in SCOPES:
        raise ValueError(f"scope is {scope!r}; allowed: {', '.join(SCOPES)}")
    if scope == "tensor":
        return m_ties.stream(base, experts, {}, keep, scale)
    stacks = Stacks(base, experts)
    threshold = cache(lambda: kth_largest(stacks, count_kept(keep, stacks.entries), stacks.entries))
    return by_tensor(
        stacks, lambda stack: (disjoint_mean(cut(slab, threshold())) for slab in stack), scale
    )


@streamed
def dare(
    base: Mapping[str, Tensor],
    experts: Sequence[Mapping[str, Tensor]],
    keep: float,
    scale: float,
    seed: int,
    elect_signs: bool = False,
    rescale: bool = True,
) -> Pairs:
    """DARE (Yu et al. 2024): drop entries of the task vectors at random, divide the rest by `keep`.

    What is left is summed, as by task arithmetic, or with `elect_signs` merged as by TIES
    (DARE-TIES). The draws come from the CPU's generator, so that every device drops the same
    entries.
    """
    check_keep(keep)
    generator = torch.Generator().manual_seed(seed)
    increment = disjoint_mean if elect_signs else lambda stack: stack.sum(0)
    return by_tensor(
        Stacks(base, experts),
        lambda stack: map(increment, dropped(stack, keep, generator, rescale)),
        scale,
    )


@streamed
def m_ties(
    base: Mapping[str, Tensor],
    experts: Sequence[Mapping[str, Tensor]],
    rates: Mapping[str, Tensor],
    keep: float,
    scale: float = 1.0,
    increment: str = "disjoint",
    biases: bool = False,
) -> Pairs:
    """M-TIES (M-Loss, Algorithm 1), given its keep rates.

    This is TIES tensor by tensor, some of them row by row. `rates[name]` (rows,) holds the keep
    rate of each row of the weight `name`; with `biases` the entry of the layer's bias belongs to
    its row. Other tensors keep the fraction `keep`. `increment` is `disjoint`, the mean of what
    agrees, or `weighted`, line 22 of the algorithm with weights 1/q. Without rates it is TIES per
    tensor.
    """
    check_keep(keep)
    merged = increments(increment)
    return by_tensor(
        Stacks(base, experts),
        lambda stack: map(merged, trimmed(stack, keep)),
        scale,
        rates,
        lambda stack, rate: map(merged, trimmed(stack, rate)),
        biases,
    )


@streamed
def m_dare(
    base: Mapping[str, Tensor],
    experts: Sequence[Mapping[str, Tensor]],
    rates: Mapping[str, Tensor],
    keep: float,
    scale: float,
    seed: int,
) -> Pairs:
    """DARE-TIES with keep rates of their own for the rows of the weights in `rates`.

    Each row is divided by its rate.
    """
    check_keep(keep)
    generator = torch.Generator().manual_seed(seed)
    return by_tensor(
        Stacks(base, experts),
        lambda stack: map(disjoint_mean, dropped(stack, keep, generator)),
        scale,
        rates,
        lambda stack, rate: map(disjoint_mean, dropped(stack, rate.unsqueeze(1), generator)),
    )


def vectors_stacked(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> State:
    """The task vectors of all experts by tensor: `{name: (q, *shape)}`.

    Only floating-point tensors are there.
    """
    states.check_compatible(
        [base, *experts], ["base", *(f"expert {i}" for i in range(len(experts)))]
    )
    return {
        key: torch.stack([expert[key] for expert in experts]) - value
        for key, value in base.items()
        if value.is_floating_point()
    }


def combine(
    base: Mapping[str, Tensor], stacks: Mapping[str, Tensor], coefficients: Tensor
) -> State:
    """Base plus a linear combination of task vectors, differentiable in the coefficients.

    `stacks` is `vectors_stacked(base, experts)`. `coefficients` (q,) has one number for each
    expert, or (q, tensors) one for each expert and tensor, in the order of `stacks` (AdaMerging,
    Eqs. 5 and 6). Where those of a tensor sum to 1, this is the combination of the experts
    themselves (StatsMerging, Section 3.1). Raises `ValueError` for another shape.
    """
    tall, experts = coefficients.reshape(len(coefficients), -1), len(next(iter(stacks.values())))
    if len(tall) != experts or tall.shape[1] not in (1, len(stacks)):
        raise ValueError(
            f"coefficients have shape {tuple(coefficients.shape)}; "
            f"allowed: ({experts},) or ({experts}, {len(stacks)})"
        )
    columns = tall.expand(-1, len(stacks)).unbind(1)
    added = {
        key: torch.tensordot(column, stack, 1)
        for column, (key, stack) in zip(columns, stacks.items())
    }
    return {key: value + added[key] if key in added else value for key, value in base.items()}


def fisher(
    models: Sequence[Mapping[str, Tensor]],
    fishers: Sequence[Mapping[str, Tensor]],
    floor: float = 1e-10,
) -> State:
    """The mean of the models, entry by entry, with weights `fishers` + `floor`.

    This is Fisher merging (Matena and Raffel 2022, Eq. 3). `fishers` are diagonals of the Fisher
    information, with the models' names and shapes (`curvature.diagonal_fisher`); the floor makes
    the plain mean where no model has any.
    """
    states.check_compatible(models)
    merged = dict(models[0])
    for key, value in models[0].items():
        if value.is_floating_point():
            weights = [f[key] + floor for f in fishers]
            merged[key] = sum(
                w * model[key] for w, model in zip(weights, models, strict=True)
            ) / sum(weights)
    return merged


def regmean(
    models: Sequence[Mapping[str, Tensor]],
    grams: Sequence[Mapping[str, Tensor]],
    shrink: float = 0.9,
) -> State:
    """RegMean (Jin et al. 2023): the least squares fit to all experts' outputs.

    It is made for each weight with Gram matrices. `grams[i][name]` (inputs, inputs) is X'X of what
    enters that weight in model i (`curvature.input_grams`); their entries off the diagonal are
    multiplied by `shrink`. Other tensors are averaged. Directions that no input has keep the
    average.
    """
    if not 0 <= shrink <= 1:
        raise ValueError(f"shrink is {shrink!r}; allowed: from 0 to 1")
    merged = average(models)
    for key in grams[0]:
        wide = [
            shrink * g[key].double() + (1 - shrink) * g[key].double().diag().diag() for g in grams
        ]
        off = [(model[key] - merged[key]).double() for model in models]
        step = torch.linalg.pinv(sum(wide), hermitian=True) @ sum(
            g @ d.T for g, d in zip(wide, off, strict=True)
        )
        merged[key] = merged[key] + step.T.to(merged[key])
    return merged


def emr(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> list[State]:
    """EMR-Merging (Huang et al. 2024): one model a task.

    It is made from one shared vector, a mask and a scale for each task. The shared vector has the
    elected sign and the largest agreeing magnitude of each entry. A task's mask keeps the entries
    whose sign is that of its own task vector; its scale restores the mean magnitude of that vector.
    """
    stacks = vectors_stacked(base, experts)
    shared = {
        key: elect(stack).abs().amax(0) * stack.sum(0).sign() for key, stack in stacks.items()
    }
    out = []
    for i in range(len(experts)):
        masked = {key: shared[key] * (shared[key] * stack[i] > 0) for key, stack in stacks.items()}
        left = sum(value.abs().sum() for value in masked.values())
        scale = sum(stack[i].abs().sum() for stack in stacks.values()) / left if left else 1.0
        out.append(states.apply(base, masked, float(scale)))
    return out


def align(stack: Tensor) -> tuple[Tensor, Tensor]:
    """Task matrices in one shared basis (KnOTS, Stoica et al. 2024): `(basis, parts)`.

    They are such that stack[k] = basis @ parts[k]. `stack` (q, rows, columns) gives `basis` (rows,
    r) with orthonormal columns and `parts` (q, r, columns), from the singular value decomposition
    of the matrices side by side. A rule applied to the parts acts on directions that experts share.
    """
    wide = stack.transpose(0, 1).reshape(stack.shape[1], -1)
    basis, values, right = torch.linalg.svd(wide, full_matrices=False)
    parts = (values.unsqueeze(1) * right).reshape(len(values), len(stack), -1)
    return basis, parts.transpose(0, 1)


def knots(
    base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], keep: float, scale: float
) -> State:
    """TIES, weight by weight, in the shared basis of `align` (KnOTS-TIES).

    Vectors are merged by plain TIES.
    """
    check_keep(keep)

    def merge(stack):
        basis, parts = align(stack.flatten(2)) if stack.ndim > 2 else (None, stack)
        merged = disjoint_mean(trim(parts.flatten(1), keep)).view_as(parts[0])
        return merged if basis is None else (basis @ merged).view_as(stack[0])

    return states.apply(
        base, {key: merge(stack) for key, stack in vectors_stacked(base, experts).items()}, scale
    )


def lines(
    vector: Mapping[str, Tensor], depths: Mapping[str, float], first: float, last: float
) -> State:
    """LiNeS (Wang et al. 2024): a task vector times a scale that grows linearly with depth.

    The scale goes from `first` at depth 0 to `last` at depth 1.
    """
    return {key: value * (first + (last - first) * depths[key]) for key, value in vector.items()}


def increments(name: str) -> Callable[[Tensor], Tensor]:
    """How a trimmed stack becomes one increment; raises `ValueError` for an unknown name."""
    known = {"disjoint": disjoint_mean, "weighted": lambda stack: elect(stack).mean(0)}
    if name not in known:
        raise ValueError(f"increment is {name!r}; allowed: {', '.join(known)}")
    return known[name]


def check_keep(keep: float) -> None:
    """Raise `ValueError` unless `keep` is a fraction above 0, at most 1."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep is {keep!r}; allowed: above 0, at most 1")


def count_kept(keep: float, size: int) -> int:
    """How many of `size` entries the fraction `keep` leaves: the nearest number, at least one."""
    return max(1, round(keep * size))


def trim(stack: Tensor, keep: float | Tensor) -> Tensor:
    """Zero all but the fraction `keep` of entries of largest magnitude.

    Entries equal to the last one kept stay too. `stack` (q, entries) has one `keep` for all;
    `stack` (q, rows, entries) has `keep` (rows,), and each row of each model is trimmed by itself.
    """
    if not isinstance(keep, Tensor):
        size = stack.shape[1]
        return (
            cut(stack, kth_largest([stack.to(widest([stack]))], count_kept(keep, size), size))
            if size
            else stack
        )
    size = stack.shape[-1]
    kept = (keep * size).round().long().to(stack.device).view(1, -1, 1).expand(len(stack), -1, 1)
    magnitude = stack.abs()
    threshold = ascending(magnitude.to(widest([stack]))).gather(
        -1, (size - kept).clamp(max=size - 1)
    )
    return stack * ((magnitude >= threshold) & (kept > 0))


def trimmed(stack: Stack, keep: float | Tensor) -> Iterator[Tensor]:
    """`trim`, slab by slab: one rate for the tensor, or for each of its rows."""
    if isinstance(keep, Tensor):
        return (trim(slab, rate) for slab, rate in zip(stack, keep.split(stack.rows)))
    threshold = kth_largest(stack, count_kept(keep, stack.entries), stack.entries)
    return (cut(slab, threshold) for slab in stack)


def cut(stack: Tensor, threshold: Tensor) -> Tensor:
    """Zero the entries of a magnitude below the threshold of their model, (q,)."""
    limits = threshold.view(-1, *[1] * (stack.ndim - 1))
    # Ones and zeros of the stack's own type multiply several times as fast as truth values do.
    return stack * torch.ge(stack.detach().abs(), limits, out=torch.empty_like(stack))


def drop(
    stack: Tensor, keep: float | Tensor, generator: torch.Generator, rescale: bool = True
) -> Tensor:
    """Zero each entry with probability 1 - `keep`; divide the others by `keep` (DARE).

    So the mean stays. `keep` is a number, or a tensor that broadcasts against one model's entries.
    """
    return thin(stack, draw(stack.shape, keep, generator), keep, rescale)


def dropped(
    stack: Stack, keep: float | Tensor, generator: torch.Generator, rescale: bool = True
) -> Iterator[Tensor]:
    """`drop`, slab by slab, with the draws that it makes for the whole tensor.

    Draws go model after model, a byte an entry.
    """
    rates = keep.split(stack.rows) if isinstance(keep, Tensor) else [keep] * len(stack.experts[0])
    stays = [
        [draw(part.shape, rate, generator) for part, rate in zip(parts, rates)]
        for parts in stack.experts
    ]
    return (
        thin(slab, torch.stack(kept), rate, rescale)
        for slab, rate, kept in zip(stack, rates, zip(*stays))
    )


def draw(shape: Sequence[int], keep: float | Tensor, generator: torch.Generator) -> Tensor:
    """Which entries stay, each with probability `keep`; drawn in double precision on the CPU."""
    return torch.rand(shape, generator=generator, dtype=torch.float64) < keep


def thin(stack: Tensor, stays: Tensor, keep: float | Tensor, rescale: bool) -> Tensor:
    """The stack where `stays`, divided by `keep` if that is asked for."""
    keep = torch.as_tensor(keep, dtype=torch.float64)
    # Where the rate is 0 nothing stays, and any divisor will do.
    return stack * stays.to(stack.device) / (keep.where(keep > 0, 1.0).to(stack) if rescale else 1)


def elect(stack: Tensor) -> Tensor:
    """Zero the entries whose sign is not that of the sum over models.

    Where the sum is zero, all of them are zeroed.
    """
    return stack * ((stack * stack.sum(0).sign()) > 0)


def disjoint_mean(stack: Tensor) -> Tensor:
    """The mean over models of the elected entries that are not zero; zero where there is none."""
    sign = stack.sum(0).sign()
    along = (stack * sign).relu()  # what agrees with the sign is positive
    return sign * along.sum(0) / along.sign().sum(0).clamp(min=1)
