"""The exact threshold of a trim, of models too large to hold or to sort."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mergehelpers.merge.stacks import Stack, Stacks

FEW = 2**22  # values of one model that a selection may hold, and more of a very large one
SAMPLE, MOST = 2**16, 2**22  # entries of one model by which the place of a threshold is guessed
SURE = 6  # standard deviations of a guess
# Magnitudes in order of size are in order of their bits, read as whole numbers: 31 bits or 63 (the
# sign is zero), cut into digits.
DIGITS = {
    torch.float32: (torch.int32, (31, 18, 9, 0)),
    torch.float64: (torch.int64, (63, 50, 40, 30, 20, 10, 0)),
}


def kth_largest(slabs: Iterable[Tensor], k: int, entries: int) -> Tensor:
    """The k-th largest magnitude of each model, (q,), exactly.

    `slabs` (q, n, …), with so many `entries` of each model in all, are iterated over several times.
    A sample guesses two magnitudes that have the answer between them. One pass counts what is
    larger and collects what lies between, and a selection in memory ends it. Where the counts show
    that the guess was wrong, or too much lies between, digits are counted instead (`by_digits`). So
    memory hardly grows with the models (`held`).
    """
    found = _selected_between(slabs, k, *_guessed(slabs, k, entries), min(held(entries), entries))
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


def _selected_between(slabs, k, low, high, few):
    """The k-th largest magnitudes, if they lie from `low` to `high`, and no more than few do."""
    above, count = [0] * len(low), [0] * len(low)
    # One block for all: small ones that stay would lie between the slabs that come and go.
    kept = low.new_empty(len(low), few)
    for slab in slabs:
        found = _sifted(slab.detach().flatten(1).abs(), low, high)
        for i, (over, values) in enumerate(zip(*found)):
            above[i] += over
            count[i] += len(values)
            if count[i] > few:
                return None
            kept[i, count[i] - len(values) : count[i]] = values
    places = [size - (k - over) for size, over in zip(count, above)]
    if any(not 0 <= place < size for place, size in zip(places, count)):
        return None
    return torch.stack([_at(row[:size], at) for row, size, at in zip(kept, count, places)])


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
