"""Checkpoints as people have them become plain tensors: files, folders, shards, the Hub.

They are read from safetensors, or from `torch.save` files by a loader that runs no code. What is
no plain model (`unmergeable`), damaged, or not what it seems gets one error that names it.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor

from mergehelpers import beside, unmergeable
from mergehelpers.states import State

SAFE, PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")
WHOLE = (
    *("model.safetensors", "pytorch_model.bin"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
)
HUB_FILES = [*beside.FILES, "*.safetensors"]
SHARD = re.compile(r"(.+)-\d+-of-(\d+)(\.\w+)")
# What training writes beside weights, in files of the same kinds.
TRAINING = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")
# Words in names of what training scripts save beside a model.
NOT_THE_MODEL = re.compile(
    r"(?<![a-z])(optim|optimi[sz]ers?|sched|schedulers?|scalers?|rng)(?![a-z])", re.IGNORECASE
)
LOGGED = re.compile("loss|acc|metric|score|history|epoch|step|lr|time", re.IGNORECASE)
STRANGERS = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the file; fetch it with git lfs pull",
    b"<!doctype html": "is a web page, not the file; download it by its own link",
    b"<html": "is a web page, not the file; download it by its own link",
}


def load(source: str | Path, packed: bool = False) -> State:
    """Load weights from a file, from a folder, or from a Hugging Face id (`owner/name@revision`).

    A folder holds one file, or shards with their index. Tensors stay in the file, mapped into
    memory, and are read when they are used. Raises `FileNotFoundError` if there is nothing there,
    `ValueError` if a file is corrupt, holds code, or is no plain model; `packed` experts
    (`suites.packing`) are read all the same.
    """
    return load_files(files(source), packed)


def load_files(paths: Sequence[Path], packed: bool = False) -> State:
    """As `load`, from the files of one model.

    Raises `ValueError` for a tensor that is in two of them, or not where their index says.
    """
    state, held = {}, {}
    for path in paths:
        part = _load_file(path)
        if twice := state.keys() & part.keys():
            raise ValueError(f"{path} has {min(twice)}, and so has another file of this model")
        state |= part
        held[path.name] = part.keys()
    for index in {path.parent / f"{name}.index.json" for path in paths for name in WHOLE}:
        places = _places(index) if index.is_file() else {}
        if set(places.values()) == held.keys():
            absent = [name for name, shard in places.items() if name not in held[shard]]
            if absent:
                raise ValueError(f"{index}: {absent[0]} is not in {places[absent[0]]}")
    if not packed:
        unmergeable.check_plain(state, paths[0] if len(paths) == 1 else paths[0].parent)
    return state


def files(source: str | Path) -> list[Path]:
    """The weights files that `load` reads for a source.

    Those of a Hugging Face id are downloaded if they are not there yet.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.is_file() or path.suffix in SAFE + PICKLED:
        if (shard := SHARD.fullmatch(path.name)) and int(shard[2]) > 1:
            raise ValueError(f"{path} is one of {int(shard[2])} shards; give their folder")
        return [path]
    return _in_folder(hub_folder(str(source)))


def mapped(path: Path) -> bool:
    """Whether the tensors of a weights file stay there until they are used.

    Files of PyTorch before 1.6 are read whole.
    """
    return path.suffix in SAFE or is_zipfile(path)


def recorded(source: str, file: Path) -> str:
    """How a record names a weights file of a source: as the source names it, then the file.

    A model on the Hub has its commit, so that the record says which it was, and names no folder of
    this machine: `hub:owner/name@commit/model.safetensors`.
    """
    if not source.startswith("hub:"):
        path = Path(source)
        return (path if path.name == file.name else path / file.name).as_posix()
    name, _, revision = source.partition("@")
    commit = file.parent.name if file.parent.parent.name == "snapshots" else revision
    return f"{name}@{commit}/{file.name}" if commit else f"{name}/{file.name}"


def check_first_bytes(path: Path) -> None:
    """Raise `ValueError` if a file only stands for the one that is meant, by its first bytes."""
    with path.open("rb") as file:
        begin = file.read(64).lstrip().lower()
    for sign, what in STRANGERS.items():
        if begin.startswith(sign):
            raise ValueError(f"{path} {what}")
    if begin.startswith(b"gguf"):
        raise ValueError(unmergeable.quantised(path, "a GGUF file"))


def _load_file(path):
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    check_first_bytes(path)
    if path.stem == "adapter_model":  # as peft calls all of its files
        raise ValueError(unmergeable.adapter(path, "by its name"))
    if path.suffix not in SAFE + PICKLED:
        raise ValueError(f"{path} is not a weights file; allowed: {', '.join(SAFE + PICKLED)}")
    try:
        if path.suffix in SAFE:
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped(path))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is corrupt, or holds Python objects, which could run code; "
            "so it was not opened. Where you trust it, load it with torch, take its state dict, "
            "and write that with safetensors.torch.save_file"
        ) from error
    except OSError:
        raise
    except Exception as error:  # of any kind, where a library reads bytes that it did not write
        kind = "safetensors" if path.suffix in SAFE else "torch"
        raise ValueError(f"{path} is not a readable {kind} file: {error}") from error
    return _unwrapped(content, path)


def _unwrapped(content, path):
    """The state dict in what a file of `torch.save` holds: its content, or one value of it.

    Training scripts write {'model': …, 'optimizer': …, 'epoch': 3} under many names.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} does not hold a state dict; it holds a {type(content).__name__}")
    if _is_state(content):
        return dict(content)
    models = {
        key: value
        for key, value in content.items()
        if isinstance(value, Mapping)
        and any(isinstance(inner, Tensor) for inner in value.values())
        and not NOT_THE_MODEL.search(str(key))
    }
    if len(models) > 1:
        raise ValueError(
            f"{path} holds several models, {', '.join(map(str, models))}; "
            "save the one that is meant in a file of its own"
        )
    # Tensors beside the one mapping may be weights too, so that it is not the whole model.
    loose = any(
        isinstance(value, Tensor)
        and (value.ndim > 1 or value.ndim == 1 and value.is_floating_point())
        and not (value.ndim == 1 and LOGGED.search(str(key)))
        and not NOT_THE_MODEL.search(str(key))
        for key, value in content.items()
    )
    for state in models.values():
        if _is_state(state) and not loose:
            return dict(state)
    wrong = next(iter(models.values())) if models and not loose else content
    raise ValueError(
        f"{path} does not hold a state dict (names with tensors); it holds {_kinds(wrong)}"
    )


def _is_state(value):
    return bool(value) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    )


def _kinds(content, most=8):
    """What a mapping holds, in words; what is no tensor first."""
    items = sorted(content.items(), key=lambda item: isinstance(item[1], Tensor))
    words = [f"{key!r} ({type(value).__name__})" for key, value in items[:most]]
    more = [f"{len(items) - most} more"] if len(items) > most else []
    return ", ".join(words + more) or "nothing"


def _in_folder(folder):
    unmergeable.check_folder(folder)
    for whole in WHOLE:
        if (folder / whole).is_file():
            return [folder / whole]
        index = folder / f"{whole}.index.json"
        if index.is_file():
            return _shards(index)
    raise FileNotFoundError(
        f"{folder} holds no {WHOLE[0]}, no {WHOLE[1]}, and no index of shards{_instead(folder)}"
    )


def _instead(folder):
    """What a folder without a model of a usual name holds, and what to do about it."""
    found = sorted(
        file.relative_to(folder).as_posix()
        for pattern in ("*", "*/*")
        for file in folder.glob(pattern)
        if file.suffix in (*SAFE, *PICKLED, ".gguf") and not file.name.startswith(TRAINING)
    )
    if not found:
        return ""
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    if any((shard := SHARD.fullmatch(name)) and int(shard[2]) > 1 for name in found):
        return f"; it holds {shown}, shards without their index (*.index.json)"
    return f"; it holds {shown}: give the path of the file that is meant"


def _places(index):
    """Which shard holds which tensor, {name: shard}, by an index of shards."""
    content = beside.read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{index} is not an index of shards")
    for shard in places.values():
        if not isinstance(shard, str) or not shard or Path(shard).name != shard:
            raise ValueError(f"{index} is not an index of shards in its folder: it names {shard!r}")
    return places


def _shards(index):
    folder, names = index.parent, sorted(set(_places(index).values()))
    if absent := [name for name in names if not (folder / name).is_file()]:
        more = f" (nor are {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise FileNotFoundError(f"{index} names {absent[0]}, which is not there{more}")
    families = {(shard[1], shard[3]) for shard in map(SHARD.fullmatch, names) if shard}
    for file in sorted(folder.iterdir()):
        shard = SHARD.fullmatch(file.name)
        if shard and (shard[1], shard[3]) in families and file.name not in names:
            raise ValueError(f"{file} is a shard that {index.name} does not name; is it another's?")
    return [folder / name for name in names]


def hub_folder(name: str, files: Sequence[str] = HUB_FILES) -> Path:
    """The local copy of a Hugging Face model, downloaded when it is not there yet.

    `name` is `owner/name`, or `owner/name@revision` with a branch, a tag or a commit.
    """
    from huggingface_hub import snapshot_download

    model, _, revision = name.partition("@")
    with hub_errors(name):
        folder = Path(snapshot_download(model, revision=revision or None, allow_patterns=[*files]))
        if not any(folder.glob("*.safetensors")):
            patterns = [*files, "*.bin"]
            folder = Path(
                snapshot_download(model, revision=revision or None, allow_patterns=patterns)
            )
    return folder


@contextmanager
def hub_errors(name: str):
    """Turn a failed download into one `FileNotFoundError` that says how to work without a network.

    What is wrong with a local folder is a `ValueError` that names it.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # of any kind, where libraries read what they did not write
        if Path(name).expanduser().exists():
            raise ValueError(f"{name} could not be read: {error}") from error
        raise FileNotFoundError(
            f"{name} is not a local folder, and the Hugging Face Hub gave no copy "
            f"({type(error).__name__}: {error}). With no network, download it elsewhere, copy the "
            "folder here, and give its path; or use a bundled suite"
        ) from error
