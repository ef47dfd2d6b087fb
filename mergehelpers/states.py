"""State-dict algebra: a model is a `dict[str, Tensor]`, and merging is arithmetic on such dicts.

Checkpoints are read from safetensors, or from `torch.save` files by a loader that runs no code.
Only floating-point tensors merge; integer and boolean tensors (position ids, counters) keep the
base's value.
"""

import json
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

State = dict[str, Tensor]
SAFE, PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")
OUTPUT_SIDE = ("proj", "post", "pooler", "final", "head", "fc.")
BESIDE = ["*.json", "*.txt", "*.model", "*.jinja"]
HUB_FILES = [*BESIDE, "*.safetensors"]


def load(source: str | Path) -> State:
    """Load weights from a file, from a folder, or from a Hugging Face id.

    A folder holds one file, or shards with their index. Tensors stay in the file, mapped into
    memory, and are read when they are used. Raises `FileNotFoundError` if there is nothing there,
    `ValueError` if a file is corrupt or holds code.
    """
    return load_files(files(source))


def load_files(paths: Sequence[Path]) -> State:
    """As `load`, from the files of one model.

    Raises `ValueError` for a tensor that is in two of them.
    """
    state = {}
    for path in paths:
        part = _load_file(path)
        if twice := state.keys() & part.keys():
            raise ValueError(f"{path} has {min(twice)}, and so has another file of this model")
        state |= part
    return state


def files(source: str | Path) -> list[Path]:
    """The weights files that `load` reads for a source.

    Those of a Hugging Face id are downloaded if they are not there yet.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.is_file() or path.suffix in SAFE + PICKLED:
        return [path]
    return _in_folder(hub_folder(str(source)))


def save(
    state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file under a temporary name, then rename it.

    Tied tensors are written twice.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        tensors = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
        temporary.write_bytes(serialise(tensors, metadata=dict(metadata or {})))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _load_file(path):
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    if path.suffix not in SAFE + PICKLED:
        raise ValueError(f"{path} is not a weights file; allowed: {', '.join(SAFE + PICKLED)}")
    try:
        if path.suffix in SAFE:
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped(path))
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is corrupt, or holds Python objects, which could run code; "
            "so it was not opened. Where you trust it, load it with torch, take its state dict, "
            "and write that with safetensors.torch.save_file"
        ) from error
    except OSError:
        raise
    except Exception as error:  # of any kind, where torch reads bytes that it did not write
        raise ValueError(f"{path} is not a readable torch file: {error}") from error
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise ValueError(f"{path} does not hold a state dict (names with tensors)")
    return dict(content)


def mapped(path: Path) -> bool:
    """Whether the tensors of a weights file stay there until they are used.

    Files of PyTorch before 1.6 are read whole.
    """
    return path.suffix in SAFE or is_zipfile(path)


def _in_folder(folder):
    for whole in ("model.safetensors", "pytorch_model.bin"):
        if (folder / whole).is_file():
            return [folder / whole]
        index = folder / f"{whole}.index.json"
        if index.is_file():
            try:
                shards = sorted(
                    set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{index} is not an index of shards") from error
            return [folder / shard for shard in shards]
    raise FileNotFoundError(
        f"{folder} holds no model.safetensors, no pytorch_model.bin, and no index of shards"
    )


def hub_folder(name: str, files: Sequence[str] = HUB_FILES) -> Path:
    """The local copy of a Hugging Face model, downloaded when it is not there yet."""
    from huggingface_hub import snapshot_download

    with hub_errors(name):
        folder = Path(snapshot_download(name, allow_patterns=list(files)))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*files, "*.bin"]))
    return folder


@contextmanager
def hub_errors(name: str):
    """Turn a failed download into one `FileNotFoundError` that says how to work without a network.

    What is wrong with a local folder is a `ValueError` that names it.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if Path(name).expanduser().exists():
            raise ValueError(f"{name} could not be read: {error}") from error
        raise FileNotFoundError(
            f"{name} is not a local folder, and the Hugging Face Hub gave no copy "
            f"({type(error).__name__}: {error}). With no network, download it elsewhere, copy the "
            "folder here, and give its path; or use a bundled suite"
        ) from error


class Mixed(dict):
    """A model with which those of another precision may be compared and merged.

    See `check_compatible`.
    """


def check_compatible(
    states: Sequence[Mapping[str, Tensor]], names: Sequence[str] | None = None, values: bool = True
) -> None:
    """Raise one `ValueError` listing all that forbids merging these models.

    Compared with the first: missing and extra keys, shapes, dtypes (if the first is `Mixed`, only
    whether they are floating-point), tensors tied in one model and not in another; in every model,
    if `values` are to be read: NaN and infinity. `names` are used in the report.
    """
    if not states:
        raise ValueError("need at least one model, got none")
    names = names or [f"model {i}" for i in range(len(states))]
    first, problems = states[0], []
    for name, state in zip(names, states, strict=True):
        problems += [f"{name} lacks {key}" for key in first.keys() - state.keys()]
        problems += [f"{name} has an extra {key}" for key in state.keys() - first.keys()]
        for key in first.keys() & state.keys():
            mine, other = state[key], first[key]
            if mine.shape != other.shape:
                problems.append(
                    f"{key}: {name} has shape {tuple(mine.shape)}, "
                    f"{names[0]} has {tuple(other.shape)}"
                )
            elif mine.dtype != other.dtype and not (
                isinstance(first, Mixed) and mine.is_floating_point() and other.is_floating_point()
            ):
                problems.append(f"{key}: {name} is {mine.dtype}, {names[0]} is {other.dtype}")
            elif values and not torch.isfinite(mine).all():
                problems.append(f"{key}: {name} holds NaN or infinity")
        problems += [
            f"{a} and {b} are tied in {names[0]} but differ in {name}"
            for a, b in tied(first)
            if a in state and b in state and not torch.equal(state[a], state[b])
        ]
    if problems:
        raise ValueError("these models cannot be merged:\n  " + "\n  ".join(sorted(problems)))


def tied(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Pairs of names that share one tensor in memory (tied weights).

    Each name comes with the first of its group.
    """
    seen, pairs = {}, []
    for key, value in state.items():
        place = (value.data_ptr(), value.shape, value.stride())
        if value.numel() and place in seen:
            pairs.append((seen[place], key))
        seen.setdefault(place, key)
    return pairs


def task_vector(base: Mapping[str, Tensor], expert: Mapping[str, Tensor]) -> State:
    """The task vector: expert minus base, for every floating-point tensor."""
    check_compatible([base, expert], ["base", "expert"])
    return {key: expert[key] - value for key, value in base.items() if value.is_floating_point()}


def apply(base: Mapping[str, Tensor], vector: Mapping[str, Tensor], scale: float = 1.0) -> State:
    """Base plus `scale` times a task vector; keys absent from `vector` keep the base's value."""
    if unknown := vector.keys() - base.keys():
        raise ValueError(f"the task vector has keys the base lacks: {sorted(unknown)}")
    check_compatible([{key: base[key] for key in vector}, vector], ["base", "task vector"])
    return {key: base[key] + scale * vector[key] if key in vector else base[key] for key in base}


def norm(vector: Mapping[str, Tensor]) -> float:
    """Euclidean norm of all entries together."""
    return sum(v.double().square().sum().item() for v in vector.values()) ** 0.5


def cosine(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Cosine of the angle between two task vectors, over all entries together."""
    if not norm(a) or not norm(b):
        raise ValueError("the cosine with a task vector of zeros is not defined")
    inner = sum((a[key].double() * b[key].double()).sum().item() for key in a)
    return inner / (norm(a) * norm(b))


def depths(state: Mapping[str, Tensor]) -> dict[str, float]:
    """How deep each tensor lies, from 0 to 1, by the number of its block.

    That is the first number in its name. Of the tensors outside blocks, those whose name tells of
    the output side are at 1, embeddings and the rest at 0.
    """
    blocks = {key: re.match(r"(.*?)(?:^|\.)(\d+)\.", key) for key in state}
    last = {}
    for match in filter(None, blocks.values()):
        last[match[1]] = max(last.get(match[1], 0), int(match[2]))

    def at_the_end(key):
        return "embed" not in key and any(word in key for word in OUTPUT_SIDE)

    return {
        key: int(match[2]) / max(last[match[1]], 1) if match else float(at_the_end(key))
        for key, match in blocks.items()
    }
