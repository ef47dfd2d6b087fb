"""Task vectors a slab at a time, for models too large to hold.

A *stack* has the task vectors of all experts along
its first axis. A *slab* is a part of it, small enough to stay in a processor's cache while a rule
works on it. Nothing larger is ever computed, so the models may lie in files that are mapped into
memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce

import torch
from torch import Tensor
from tqdm import tqdm

from mergehelpers import device as devices
from mergehelpers import states

SLAB = 2**16  # entries of one model on a CPU; with eight models in float32, a slab has 2 MB

Pairs = Iterator[tuple[str, Tensor]]


class NotFinite(ValueError):
    """A model holds NaN or infinity: in `tensor`, the expert of that number, or None for the base.

    `said(who)` is the message, with the model's name.
    """

    def __init__(self, tensor: str, expert: int | None):
        self.tensor, self.expert = tensor, expert
        super().__init__(self.said("base" if expert is None else f"expert {expert}"))

    def said(self, who: str) -> str:
        return f"these models cannot be merged: {self.tensor}: {who} holds NaN or infinity"


class Stack:
    """The task vectors of one tensor, as slabs (q, n, …).

    They are computed anew each time one iterates. `base` and `experts` (rows, …) are cut into whole
    rows; without a base, the slabs are the experts themselves. With `weights`, one for each expert,
    its task vector is multiplied by it; they are kept as a tensor (q, 1, …). Slabs are in the
    widest of their types, at least float32. Iterating raises `ValueError` at an entry that is NaN
    or infinite.
    """

    def __init__(
        self,
        name: str,
        base: Tensor | None,
        experts: Sequence[Tensor],
        weights: Sequence[float] | None = None,
    ):
        self.name, self.entries, self.dtype = (
            name,
            experts[0].numel(),
            widest([base, *experts] if base is not None else experts),
        )
        room = devices.at_once(SLAB, experts[0].device)
        self.rows = max(1, room // max(1, experts[0].shape[1:].numel()))
        self.whole = base, experts
        self.base = None if base is None else base.split(self.rows)
        self.experts = [expert.split(self.rows) for expert in experts]
        self.weights = None
        if weights is not None:
            shape = (-1, *[1] * experts[0].ndim)
            self.weights = experts[0].new_tensor(weights, dtype=self.dtype).view(shape)

    def __iter__(self) -> Iterator[Tensor]:
        for i, parts in enumerate(zip(*self.experts)):
            slab = torch.stack([part.to(self.dtype) for part in parts])
            if self.base:
                slab -= self.base[i].to(self.dtype)
            if not devices.all_finite(slab):
                check_numbers(self.name, self.base[i] if self.base else None, parts)
                raise ValueError(
                    f"these models cannot be merged: {self.name}: a change is too large"
                )
            yield slab if self.weights is None else slab * self.weights

    def sample(self, step: int) -> Tensor:
        """Entries at a distance of `step`, (q, …)."""
        base, experts = self.whole
        few = torch.stack([expert.flatten()[::step].to(self.dtype) for expert in experts])
        few = few if base is None else few - base.flatten()[::step].to(self.dtype)
        return few if self.weights is None else few * self.weights.view(-1, 1)

    def frozen(self) -> bool:
        """Whether no expert differs from the base anywhere."""
        return not any(slab.any() for slab in self)


class Stacks:
    """The stacks of a model's floating-point tensors, in every slab (q, n), one after the other.

    Of tied tensors only the first is among them; `twins` has the names of the others, {name:
    first}. Raises `ValueError` if the experts do not fit the base.
    """

    def __init__(
        self,
        base: Mapping[str, Tensor],
        experts: Sequence[Mapping[str, Tensor]],
        weights: Sequence[float] | None = None,
    ):
        names = ["base", *(f"expert {i}" for i in range(len(experts)))]
        states.check_compatible([base, *experts], names, values=False)
        if not experts:
            raise ValueError("need at least one expert, got none")
        if weights is not None:
            check_weights(weights, len(experts))
        self.base, self.experts, self.weights = base, experts, weights
        self.twins = {twin: name for name, twin in states.tied(base)}
        self.there = there = [states.where_it_lies(model) for model in (base, *experts)]
        self.names = [
            name
            for name, value in there[0].items()
            if value.is_floating_point() and name not in self.twins
        ]
        self.entries = sum(there[0][name].numel() for name in self.names)
        self.dtype = widest([model[name] for model in there for name in self.names])

    def __getitem__(self, name: str) -> Stack:
        return self._stack(name, self.base, *self.experts)

    def _stack(self, name, *models):
        base, *experts = [model[name].flatten() for model in models]
        return Stack(name, base, experts, self.weights)

    def sample(self, step: int) -> Tensor:
        """Entries at a distance of `step`, tensor after tensor, (q, …)."""
        few = [self._stack(name, *self.there).sample(step).to(self.dtype) for name in self.names]
        return torch.cat(few, 1).to(self.base[self.names[0]].device)

    def __iter__(self) -> Iterator[Tensor]:
        for name in tqdm(self.names, desc="threshold", unit="tensor", leave=False, disable=None):
            yield from (slab.to(self.dtype) for slab in self[name])


def check_numbers(name: str, base: Tensor | None, experts: Sequence[Tensor]) -> None:
    """Raise `NotFinite` for the first of a tensor's models that holds NaN or infinity."""
    for number, expert in enumerate(experts):
        if not devices.all_finite(expert):
            raise NotFinite(name, number)
    if base is not None and not devices.all_finite(base):
        raise NotFinite(name, None)


def check_weights(weights: Sequence[float], count: int) -> None:
    """Raise `ValueError` unless there is a number from 0 for each model, and one above 0."""
    if len(weights) != count or min(weights) < 0 or not max(weights) > 0:
        raise ValueError(
            f"weights are {list(weights)}; allowed: a number from 0 for each of {count} models, "
            "not all 0"
        )


def widest(tensors: Sequence[Tensor]) -> torch.dtype:
    """The type that holds all of these tensors, at least float32."""
    return reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)


def by_tensor(
    stacks: Stacks,
    rule: Callable[[Stack], Iterable[Tensor]],
    scale: float,
    rates: Mapping[str, Tensor] | None = None,
    row_rule: Callable[[Stack, Tensor], Iterable[Tensor]] | None = None,
    biases: bool = False,
) -> Pairs:
    """Pairs of base plus `scale` times the increment that `rule(stack)` makes, slab by slab.

    Weights with rates go to `row_rule(stack, rate)` as rows; with `biases` the layer's bias is
    their last column. A tensor tied to an earlier one comes out as that one does.
    """
    base, twins, rates = stacks.base, stacks.twins, rates or {}
    check_rates(rates, base)
    if again := sorted(rates.keys() & twins.keys()):
        raise ValueError(
            f"rates name {again[0]}, which is tied to {twins[again[0]]}; give the rates of that"
        )
    weight_of = {
        bias: name
        for name in rates
        if biases
        and (bias := f"{name.removesuffix('weight')}bias") in base
        and base[bias].is_floating_point()
        and base[bias].shape == base[name].shape[:1]  # a transposed convolution's has another
    }
    columns = {
        name: [name, *(bias for bias, weight in weight_of.items() if weight == name)]
        for name in rates
    }

    def moved(stack, rule, like):
        if stack.frozen():  # often the largest tensor; every rule leaves it alone
            return joined(stack.base, like)
        return joined(
            (own.to(added.dtype) + scale * added for own, added in zip(stack.base, rule(stack))),
            like,
        )

    def rows(name):
        own, *theirs = (
            _side_by_side([state[c] for c in columns[name]]) for state in (base, *stacks.experts)
        )
        stack = Stack(name, own, theirs, stacks.weights)
        merged = moved(stack, partial(row_rule, rate=rates[name]), own)
        parts = merged.split([base[c][0].numel() for c in columns[name]], 1)
        return {
            c: part.reshape(base[c].shape).to(base[c].dtype).contiguous()
            for c, part in zip(columns[name], parts)
        }

    def pairs():
        beside, firsts = {}, dict.fromkeys(twins.values())
        for key, value in base.items():
            name = weight_of.get(key, key)
            if key in twins:
                value = firsts[twins[key]]
            elif name in rates:
                if key not in beside:
                    beside |= rows(name)
                value = beside.pop(key)
            elif value.is_floating_point():
                value = moved(stacks[key], rule, value)
            if key in firsts:
                firsts[key] = value
            yield key, value

    return pairs()


def _side_by_side(tensors):
    wide = [tensor.flatten(1) if tensor.ndim > 1 else tensor.unsqueeze(1) for tensor in tensors]
    return torch.cat(wide, 1) if len(wide) > 1 else wide[0]


def joined(slabs: Iterable[Tensor], like: Tensor) -> Tensor:
    """Consecutive slabs as one tensor of the shape and the type of another."""
    out, start = torch.empty_like(like, memory_format=torch.contiguous_format), 0
    for slab in slabs:
        out.view(-1)[start : start + slab.numel()] = slab.flatten()
        start += slab.numel()
    return out


def check_rates(rates: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
    """Raise `ValueError` unless the rates fit the base.

    Each must be a fraction, one for each row of a weight that the base has.
    """
    for name, rate in rates.items():
        weight = base.get(name)
        if weight is None or weight.ndim < 2 or not weight.is_floating_point() or not len(weight):
            raise ValueError(f"rates name {name}, which is no weight with rows of this model")
        if rate.shape != base[name].shape[:1] or not ((rate >= 0) & (rate <= 1)).all():
            raise ValueError(
                f"rates of {name} must be {len(base[name])} numbers from 0 to 1, "
                f"got shape {tuple(rate.shape)}"
                + (f" from {rate.min():.3g} to {rate.max():.3g}" if rate.numel() else "")
            )
