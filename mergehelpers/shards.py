"""Safetensors files written as their tensors come: one file, or shards with their index."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

WEIGHTS = "model.safetensors"
# The types of plain tensors, as safetensors calls them.
CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Shard:
    """A safetensors file to be written.

    It has its name, its header, the place of each tensor in the file, and the file's size.
    """

    name: str
    header: bytes
    places: Mapping[str, int]
    size: int


def layout(state: Mapping[str, Tensor], limit: float = math.inf) -> list[Shard]:
    """The files for tensors like those of a state, in its order.

    Each has at most `limit` bytes of tensors (or one tensor). Raises `ValueError` for a type that
    is not in `CODES`.
    """
    groups, size = [[]], 0
    for name, value in state.items():
        if groups[-1] and size + value.nbytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += value.nbytes
    if len(groups) == 1:
        return [_file(WEIGHTS, state, groups[0])]
    return [
        _file(f"model-{i:05d}-of-{len(groups):05d}.safetensors", state, group)
        for i, group in enumerate(groups, 1)
    ]


def _file(file, state, names):
    header, places, size = {"__metadata__": {"format": "pt"}}, {}, 0
    # Wider types first, so that each tensor begins at a multiple of its type's size, as readers
    # expect.
    for name in sorted(names, key=lambda name: -state[name].element_size()):
        value = state[name]
        if value.dtype not in CODES:
            raise ValueError(f"{name} is {value.dtype}; allowed: {', '.join(map(str, CODES))}")
        header[name] = {
            "dtype": CODES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [size, size + value.nbytes],
        }
        places[name], size = size, size + value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return Shard(
        file,
        len(text).to_bytes(8, "little") + text,
        {name: start + place for name, place in places.items()},
        start + size,
    )


def write(pairs: Iterable[tuple[str, Tensor]], shards: Sequence[Shard], folder: Path) -> None:
    """Write tensors to their places as they come.

    For several files, the index that Hugging Face tools read is written too.
    """
    # glibc gives memory that slabs leave back to the system, and asks for it again, unless it has
    # seen a larger block freed.
    torch.empty(2**22 - 2**9, dtype=torch.float64)
    with ExitStack() as stack:
        stack.enter_context(_one_thread())
        places = {}
        for shard in shards:
            file = stack.enter_context((folder / shard.name).open("wb"))
            file.write(shard.header)
            places |= {name: (file, place) for name, place in shard.places.items()}
        for name, value in pairs:
            file, place = places[name]
            file.seek(place)
            file.write(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(shard.size - len(shard.header) for shard in shards)},
            "weight_map": {name: shard.name for shard in shards for name in shard.places},
        }
        (folder / f"{WEIGHTS}.index.json").write_text(
            json.dumps(index, indent=2) + "\n", encoding="utf-8"
        )


@contextmanager
def _one_thread():
    """Torch works in one thread meanwhile.

    At slabs of this size more threads bring nothing, and on a machine that others use too they wait
    busily for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
