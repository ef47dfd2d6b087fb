"""Merging rules: pure functions from a base and its experts to one state dict.

`experts` is a sequence of state dicts like the base. Integer tensors keep the base's value. Each rule is arithmetic on a
*stack*: the task vectors of all experts along the first axis (`trim`, `drop`, `elect`, `disjoint_mean`).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mergehelpers import states
from mergehelpers.states import State

SCOPES = ("global", "tensor")


def average(models: Sequence[Mapping[str, Tensor]], weights: Sequence[float] | None = None) -> State:
    """The weighted mean of the models, by default with equal weights; integer tensors are the first model's.

    Raises `ValueError` if the models do not fit each other or the weights are not one a model, with a sum of one.
    """
    states.check_compatible(models)
    weights = [1 / len(models)] * len(models) if weights is None else list(weights)
    if len(weights) != len(models) or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"need one weight for each of {len(models)} models, with the sum 1, got {weights}")
    return {key: sum(w * model[key] for w, model in zip(weights, models)) if value.is_floating_point() else value
            for key, value in models[0].items()}


def task_arithmetic(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], scale: float) -> State:
    """Base plus `scale` times the sum of the task vectors (Ilharco et al. 2023); `scale` 1/q is the average."""
    return _by_tensor(base, experts, lambda stack: stack.sum(0), scale)


def ties(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], keep: float, scale: float,
         scope: str = "global") -> State:
    """TIES merging (Yadav et al. 2023): trim, elect signs, merge what agrees.

    Each task vector keeps its fraction `keep` in (0, 1] of largest entries, over the whole model (`global`) or over
    every tensor by itself (`tensor`). `scale` multiplies the disjoint mean.
    """
    check_keep(keep)
    if scope not in SCOPES:
        raise ValueError(f"scope is {scope!r}; allowed: {', '.join(SCOPES)}")
    if scope == "tensor":
        return m_ties(base, experts, {}, keep, scale)
    vectors = [states.task_vector(base, expert) for expert in experts]
    flat = disjoint_mean(trim(torch.stack([torch.cat([v.flatten() for v in vector.values()]) for vector in vectors]), keep))
    pieces = flat.split([value.numel() for value in vectors[0].values()])
    return states.apply(base, {key: piece.view_as(base[key]) for key, piece in zip(vectors[0], pieces)}, scale)


def dare(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], keep: float, scale: float, seed: int,
         elect_signs: bool = False, rescale: bool = True) -> State:
    """DARE (Yu et al. 2024): drop entries of the task vectors at random, divide the rest by `keep`.

    What is left is summed, as by task arithmetic, or with `elect_signs` merged as by TIES (DARE-TIES). The draws come
    from the CPU's generator, so that every device drops the same entries.
    """
    check_keep(keep)
    generator = torch.Generator().manual_seed(seed)
    combine = disjoint_mean if elect_signs else lambda stack: stack.sum(0)
    return _by_tensor(base, experts, lambda stack: combine(drop(stack, keep, generator, rescale)), scale)


def m_ties(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], rates: Mapping[str, Tensor], keep: float,
           scale: float = 1.0, increment: str = "disjoint", biases: bool = False) -> State:
    """M-TIES (M-Loss, Algorithm 1), given its keep rates: TIES tensor by tensor, some of them row by row.

    `rates[name]` (rows,) holds the keep rate of each row of the weight `name`; with `biases` the entry of the layer's
    bias belongs to its row. Other tensors keep the fraction `keep`. `increment` is `disjoint`, the mean of
    what agrees, or `weighted`, line 22 of the algorithm with weights 1/q. Without rates it is TIES per tensor.
    """
    check_keep(keep)
    combine = increments(increment)
    return _by_tensor(base, experts, lambda stack: combine(trim(stack.reshape(len(stack), -1), keep).view_as(stack)), scale,
                      rates, lambda stack, rate: combine(trim(stack, rate)), biases)


def m_dare(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], rates: Mapping[str, Tensor], keep: float,
           scale: float, seed: int) -> State:
    """DARE-TIES with keep rates of their own for the rows of the weights in `rates`; each row is divided by its rate."""
    check_keep(keep)
    generator = torch.Generator().manual_seed(seed)
    return _by_tensor(base, experts, lambda stack: disjoint_mean(drop(stack, keep, generator)), scale,
                      rates, lambda stack, rate: disjoint_mean(drop(stack, rate.unsqueeze(1), generator)))


def vectors_stacked(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> State:
    """The task vectors of all experts by tensor: `{name: (q, *shape)}`, floating-point tensors only."""
    states.check_compatible([base, *experts], ["base", *(f"expert {i}" for i in range(len(experts)))])
    return {key: torch.stack([expert[key] for expert in experts]) - value
            for key, value in base.items() if value.is_floating_point()}


def combine(base: Mapping[str, Tensor], stacks: Mapping[str, Tensor], coefficients: Tensor) -> State:
    """Base plus a linear combination of task vectors, differentiable in the coefficients.

    `stacks` is `vectors_stacked(base, experts)`. `coefficients` (q,) has one number for each expert, or (q, tensors) one
    for each expert and tensor, in the order of `stacks` (AdaMerging, Eqs. 5 and 6). Where those of a tensor sum to 1, this is
    the combination of the experts themselves (StatsMerging, Section 3.1). Raises `ValueError` for another shape.
    """
    tall, experts = coefficients.reshape(len(coefficients), -1), len(next(iter(stacks.values())))
    if len(tall) != experts or tall.shape[1] not in (1, len(stacks)):
        raise ValueError(f"coefficients have shape {tuple(coefficients.shape)}; "
                         f"allowed: ({experts},) or ({experts}, {len(stacks)})")
    columns = tall.expand(-1, len(stacks)).unbind(1)
    added = {key: torch.tensordot(column, stack, 1) for column, (key, stack) in zip(columns, stacks.items())}
    return {key: value + added[key] if key in added else value for key, value in base.items()}


def fisher(models: Sequence[Mapping[str, Tensor]], fishers: Sequence[Mapping[str, Tensor]], floor: float = 1e-10) -> State:
    """The mean of the models, entry by entry, with weights `fishers` + `floor` (Matena and Raffel 2022, Eq. 3).

    `fishers` are diagonals of the Fisher information, with the models' names and shapes (`curvature.diagonal_fisher`);
    the floor makes the plain mean where no model has any.
    """
    states.check_compatible(models)
    merged = dict(models[0])
    for key, value in models[0].items():
        if value.is_floating_point():
            weights = [f[key] + floor for f in fishers]
            merged[key] = sum(w * model[key] for w, model in zip(weights, models, strict=True)) / sum(weights)
    return merged


def regmean(models: Sequence[Mapping[str, Tensor]], grams: Sequence[Mapping[str, Tensor]], shrink: float = 0.9) -> State:
    """RegMean (Jin et al. 2023): for each weight with Gram matrices, the least squares fit to all experts' outputs.

    `grams[i][name]` (inputs, inputs) is X'X of what enters that weight in model i (`curvature.input_grams`); their entries
    off the diagonal are multiplied by `shrink`. Other tensors are averaged. Directions that no input has keep the average.
    """
    if not 0 <= shrink <= 1:
        raise ValueError(f"shrink is {shrink!r}; allowed: from 0 to 1")
    merged = average(models)
    for key in grams[0]:
        wide = [shrink * g[key].double() + (1 - shrink) * g[key].double().diag().diag() for g in grams]
        off = [(model[key] - merged[key]).double() for model in models]
        step = torch.linalg.pinv(sum(wide), hermitian=True) @ sum(g @ d.T for g, d in zip(wide, off, strict=True))
        merged[key] = merged[key] + step.T.to(merged[key])
    return merged


def emr(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> list[State]:
    """EMR-Merging (Huang et al. 2024): one model a task, from one shared vector, a mask and a scale for each task.

    The shared vector has the elected sign and the largest agreeing magnitude of each entry. A task's mask keeps the
    entries whose sign is that of its own task vector; its scale restores the mean magnitude of that vector.
    """
    stacks = vectors_stacked(base, experts)
    shared = {key: elect(stack).abs().amax(0) * stack.sum(0).sign() for key, stack in stacks.items()}
    out = []
    for i in range(len(experts)):
        masked = {key: shared[key] * (shared[key] * stack[i] > 0) for key, stack in stacks.items()}
        left = sum(value.abs().sum() for value in masked.values())
        scale = sum(stack[i].abs().sum() for stack in stacks.values()) / left if left else 1.0
        out.append(states.apply(base, masked, float(scale)))
    return out


def align(stack: Tensor) -> tuple[Tensor, Tensor]:
    """Task matrices in one shared basis (KnOTS, Stoica et al. 2024): `(basis, parts)` with stack[k] = basis @ parts[k].

    `stack` (q, rows, columns) gives `basis` (rows, r) with orthonormal columns and `parts` (q, r, columns), from the singular
    value decomposition of the matrices side by side. A rule applied to the parts acts on directions that experts share.
    """
    wide = stack.transpose(0, 1).reshape(stack.shape[1], -1)
    basis, values, right = torch.linalg.svd(wide, full_matrices=False)
    parts = (values.unsqueeze(1) * right).reshape(len(values), len(stack), -1)
    return basis, parts.transpose(0, 1)


def knots(base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], keep: float, scale: float) -> State:
    """TIES, weight by weight, in the shared basis of `align` (KnOTS-TIES); vectors are merged by plain TIES."""
    check_keep(keep)

    def merge(stack):
        basis, parts = align(stack.flatten(2)) if stack.ndim > 2 else (None, stack)
        merged = disjoint_mean(trim(parts.flatten(1), keep)).view_as(parts[0])
        return merged if basis is None else (basis @ merged).view_as(stack[0])

    return _by_tensor(base, experts, merge, scale)


def lines(vector: Mapping[str, Tensor], depths: Mapping[str, float], first: float, last: float) -> State:
    """LiNeS (Wang et al. 2024): a task vector times a scale that grows linearly from `first` to `last` with depth 0 to 1."""
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


def trim(stack: Tensor, keep: float | Tensor) -> Tensor:
    """Zero all but the fraction `keep` of entries of largest magnitude; entries equal to the last one kept stay too.

    `stack` (q, entries) has one `keep` for all; `stack` (q, rows, entries) has `keep` (rows,), and each row of each
    model is trimmed by itself.
    """
    size, magnitude = stack.shape[-1], stack.abs()
    if not isinstance(keep, Tensor):
        threshold = magnitude.kthvalue(size - max(1, round(keep * size)) + 1, dim=-1, keepdim=True).values
        return stack * (magnitude >= threshold)
    kept = (keep * size).round().long().to(stack.device).view(1, -1, 1).expand(len(stack), -1, 1)
    threshold = magnitude.sort(dim=-1, descending=True).values.gather(-1, (kept - 1).clamp(min=0))
    return stack * ((magnitude >= threshold) & (kept > 0))


def drop(stack: Tensor, keep: float | Tensor, generator: torch.Generator, rescale: bool = True) -> Tensor:
    """Zero each entry with probability 1 - `keep`; divide the others by `keep`, so that the mean stays (DARE).

    `keep` is a number, or a tensor that broadcasts against one model's entries.
    """
    keep = torch.as_tensor(keep, dtype=torch.float64)
    stays = (torch.rand(stack.shape, generator=generator, dtype=torch.float64) < keep).to(stack.device)
    # Where the rate is 0 nothing stays, and any divisor will do.
    return stack * stays / keep.where(keep > 0, 1.0).to(stack) if rescale else stack * stays


def elect(stack: Tensor) -> Tensor:
    """Zero the entries whose sign is not that of the sum over models; where the sum is zero, all of them."""
    return stack * ((stack * stack.sum(0).sign()) > 0)


def disjoint_mean(stack: Tensor) -> Tensor:
    """The mean over models of the elected entries that are not zero; zero where there is none."""
    elected = elect(stack)
    return elected.sum(0) / (elected != 0).sum(0).clamp(min=1)


def _by_tensor(base, experts, merge, scale, rates=None, merge_rows=None, biases=False):
    """Apply `merge(stack)` to every tensor's stack, and `merge_rows(stack, rate)` to those with rates."""
    vectors = [states.task_vector(base, expert) for expert in experts]
    check_rates(rates or {}, base)
    merged = {}
    for key in vectors[0]:
        stack = torch.stack([vector[key] for vector in vectors])
        if not stack.any():  # a frozen tensor, often the largest: every rule leaves it alone
            merged[key] = stack[0]
            continue
        if not rates or key not in rates:
            merged.setdefault(key, merge(stack))
            continue
        rows, bias = stack.flatten(2), f"{key.removesuffix('weight')}bias"
        if biases and bias in vectors[0]:
            rows = torch.cat([rows, torch.stack([vector[bias] for vector in vectors]).unsqueeze(-1)], dim=-1)
        out = merge_rows(rows, rates[key])
        merged[key] = out[:, :stack[0, 0].numel()].view_as(base[key])
        if biases and bias in vectors[0]:
            merged[bias] = out[:, -1]
    return states.apply(base, merged, scale)


def check_rates(rates: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
    """Raise `ValueError` unless each rate is a fraction, one for each row of a weight that the base has."""
    for name, rate in rates.items():
        if name not in base or base[name].ndim < 2 or not base[name].is_floating_point():
            raise ValueError(f"rates name {name}, which is no weight with rows of this model")
        if rate.shape != base[name].shape[:1] or not ((rate >= 0) & (rate <= 1)).all():
            raise ValueError(f"rates of {name} must be {len(base[name])} numbers from 0 to 1, got shape {tuple(rate.shape)}"
                             + (f" from {rate.min():.3g} to {rate.max():.3g}" if rate.numel() else ""))
