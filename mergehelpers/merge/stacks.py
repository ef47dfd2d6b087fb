"""Task vectors a slab at a time, and the exact threshold of a trim.

They serve models too large to hold or to sort. A *stack* has the task vectors of all experts along
its first axis. A *slab* is a part of it, small enough to stay in a processor's cache while a rule
works on it. Nothing larger is ever computed, so the models may lie in files that are mapped into
memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mergehelpers import device as devices
from mergehelpers import states

SLAB = 2**16  # entries of one model on a CPU; with eight models in float32, a slab has 2 MB
FEW = 2**22  # values of one model that a selection may hold, and more of a very large one
SAMPLE, MOST = 2**16, 2**22  # entries of one model by which the place of a threshold is guessed
SURE = 6  # standard deviations of a guess
# Magnitudes in order of size are in order of their bits, read as whole numbers: 31 bits or 63 (the
# sign is zero), cut into digits.
DIGITS = {
    torch.float32: (torch.int32, (31, 18, 9, 0)),
    torch.float64: (torch.int64, (63, 50, 40, 30, 20, 10, 0)),
}

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
            # The sum of what is not finite is not finite, and much cheaper than to look at every
            # entry.
            if not slab.sum().isfinite() and not slab.isfinite().all():
                for number, part in enumerate(parts):
                    if not part.isfinite().all():
                        raise NotFinite(self.name, number)
                if self.base and not self.base[i].isfinite().all():
                    raise NotFinite(self.name, None)
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


def kth_largest(slabs: Iterable[Tensor], k: int, entries: int) -> Tensor:
    """The k-th largest magnitude of each model, (q,), exactly.

    `slabs` (q, n, …), with so many `entries` of each model in all, are iterated over several times.
    A sample guesses two magnitudes that have the answer between them. One pass counts what is
    larger and collects what lies between, and a selection in memory ends it. Where the counts show
    that the guess was wrong, or too much lies between, digits are counted instead (`by_digits`). So
    memory hardly grows with the models (`held`).
    """
    found = _selected_between(slabs, k, held(entries), *_guessed(slabs, k, entries))
    return by_digits(slabs, k, entries) if found is None else found


def held(entries: int) -> int:
    """How many values of one model a selection may hold at once."""
    return max(1, FEW, entries // 256)


def _guessed(slabs, k, entries):
    """Two magnitudes of each model, (q,), between which the k-th largest most likely lies."""
    # What lies between is to fill half of `held` at most, wherever the threshold is.
    wanted = round((2 * SURE * entries / held(entries)) ** 2)
    sample = ascending(_sample(slabs, max(1, entries // min(max(SAMPLE, wanted), MOST))).abs())
    size = sample.shape[1]
    middle = size * (1 - k / entries)  # the place in ascending order
    wide = SURE * (middle * k / entries) ** 0.5 + 3  # as in a random sample
    first, last = int(middle - wide), int(middle + wide) + 1
    low = sample[:, first] if first >= 0 else torch.zeros_like(sample[:, 0])
    high = sample[:, last] if last < size else torch.full_like(sample[:, 0], torch.inf)
    return low, high


def _sample(slabs, step):
    """Entries of each model at a distance of `step`, (q, …)."""
    if isinstance(slabs, (Stack, Stacks)):
        return slabs.sample(step)
    return torch.cat([slab.detach().flatten(1)[:, ::step] for slab in slabs], 1)


def _selected_between(slabs, k, few, low, high):
    """The k-th largest magnitudes, if they lie from `low` to `high`, and not too much does."""
    above, kept, room = [0] * len(low), [[] for _ in low], few * len(low)
    for slab in slabs:
        counts, between = _sifted(slab.detach().flatten(1).abs(), low, high)
        for i, (count, values) in enumerate(zip(counts, between)):
            above[i] += count
            kept[i].append(values)
            room -= len(values)
        if room < 0:
            return None
    values = [torch.cat(parts) for parts in kept]
    places = [len(row) - (k - over) for row, over in zip(values, above)]
    if any(not 0 <= place < len(row) for place, row in zip(places, values)):
        return None
    return torch.stack([_at(row, place) for row, place in zip(values, places)]).to(slab.dtype)


def _sifted(rows, low, high):
    """Of each row how many values are above `high`, and those that lie from `low` to `high`."""
    if rows.device.type != "cpu":
        over = rows > high.unsqueeze(1)
        between = (rows >= low.unsqueeze(1)) ^ over
        above, sizes = torch.stack([over.sum(1), between.sum(1)]).tolist()
        return above, rows[between].split(sizes)
    above, kept = [], []
    for row, least, most in zip(rows.numpy(), low.numpy(), high.numpy()):
        over = row > most
        above.append(np.count_nonzero(over))
        # Four times as fast as torch.
        kept.append(torch.from_numpy(row[(row >= least) ^ over]))
    return above, kept


def _at(values, place):
    """The value at a place of the ascending order."""
    if values.device.type != "cpu":
        return values.sort().values[place]
    array = values.numpy()
    array.partition(place)  # five times as fast as torch.kthvalue
    return torch.from_numpy(array)[place]


def by_digits(slabs: Iterable[Tensor], k: int, entries: int) -> Tensor:
    """As `kth_largest`, by counting digits; on any device.

    Each pass counts the next digit of the values that begin as the answer does, and from the counts
    follows the answer's digit. When few values are left, one pass collects them.
    """
    first = next(iter(slabs))
    integers, edges = DIGITS[first.dtype]
    prefix, rank, left = ([start] * len(first) for start in (0, k, entries))

    def begins_alike():
        start = torch.tensor(prefix, dtype=integers, device=first.device).unsqueeze(1)
        for slab in slabs:
            bits = slab.detach().flatten(1).abs().view(integers)
            yield bits if high == edges[0] else _selected(bits, bits >> high, start)

    for high, low in pairwise(edges):
        if max(left) <= FEW:
            prefix = [
                int(_at(values, len(values) - k))
                for values, k in zip(_collected(begins_alike(), left), rank)
            ]
            break
        size = 2 ** (high - low)
        counts = torch.zeros(len(first), size, dtype=torch.int64, device=first.device)
        for rows in begins_alike():
            for count, row in zip(counts, rows):
                count += torch.bincount(row >> low & size - 1, minlength=size)
        for i, count in enumerate(counts.tolist()):
            digit = size - 1
            while count[digit] < rank[i]:
                rank[i] -= count[digit]
                digit -= 1
            prefix[i], left[i] = prefix[i] << high - low | digit, count[digit]
    return torch.tensor(prefix, dtype=integers, device=first.device).view(first.dtype)


def _selected(bits, begins, start):
    if bits.device.type != "cpu":
        return [row[alike] for row, alike in zip(bits, begins == start)]
    alike = begins.numpy() == start.numpy()
    # Four times as fast as torch.
    return [torch.from_numpy(row.compress(own)) for row, own in zip(bits.numpy(), alike)]


def _collected(parts, sizes):
    found, places = None, [0] * len(sizes)
    for rows in parts:
        found = found or [rows[0].new_empty(size) for size in sizes]
        for i, row in enumerate(rows):
            found[i][places[i] : places[i] + len(row)] = row
            places[i] += len(row)
    return found


def ascending(stack: Tensor) -> Tensor:
    """The stack with its last axis in ascending order, without gradients."""
    if stack.device.type != "cpu":
        return stack.detach().sort(dim=-1).values
    # Seven times as fast as torch.sort.
    return torch.from_numpy(np.sort(stack.detach().numpy(), axis=-1))


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
        if biases and (bias := f"{name.removesuffix('weight')}bias") in base
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
        if name not in base or base[name].ndim < 2 or not base[name].is_floating_point():
            raise ValueError(f"rates name {name}, which is no weight with rows of this model")
        if rate.shape != base[name].shape[:1] or not ((rate >= 0) & (rate <= 1)).all():
            raise ValueError(
                f"rates of {name} must be {len(base[name])} numbers from 0 to 1, "
                f"got shape {tuple(rate.shape)}"
                + (f" from {rate.min():.3g} to {rate.max():.3g}" if rate.numel() else "")
            )
