"""Merging from files to files: the rules of `merge`, tensor by tensor.

The output is a folder that Hugging Face tools read. A *spec* is a TOML file that names a rule, its
settings, and models. The models are mapped into memory, the output is written as it is made, and a
record of what went in (`merge.json`) lies beside it. `python -m mergehelpers merge` is the command
for it.
"""

import difflib
import fnmatch
import json
import math
import os
import re
import reprlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import mergehelpers
from mergehelpers import beside, checkpoints, merge, states
from mergehelpers.merge.registry import Rule, Size, Tensors
from mergehelpers.merge.stacks import SLAB
from mergehelpers.parameters import Listed, Text, Wrong
from mergehelpers.suites import sha256
from mergehelpers.toml import Document

FIELDS = {
    "rule": "a text",
    "base": "a text",
    "experts": "a list of texts",
    "settings": "a table",
    "shard": "a text",
    "mixed": "true or false",
    "partial": "true or false",
    "only": "a list of texts",
    "except": "a list of texts",
}
# What other tools call our rules and settings.
SYNONYMS = {
    "linear": "average",
    "dare_linear": "dare",
    "dare_ties": "dare, with elect_signs = true",
    "density": "keep",
    "weight": "weights",
    "lambda": "scale",
    "gamma": "outliers",
    "random_seed": "seed",
}
UNITS = {"MB": 10**6, "GB": 10**9}
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
WEIGHTS, RECORD = "model.safetensors", "merge.json"


@dataclass(frozen=True)
class Source:
    """A model or a file of rates that a spec names: its role, its name there, and its files."""

    role: str
    name: str
    files: list[Path]


@dataclass(frozen=True)
class Job:
    """A spec whose fields and models were checked, and what it names.

    It names sources, models, and the files to be written. `rest` holds tensors of the first model
    that stay as they are; `notes` says what a user should know before the merge.
    """

    spec: dict
    settings: dict
    sources: list[Source]
    models: list[Mapping[str, Tensor]]
    rest: dict[str, Tensor]
    shards: list["Shard"]
    notes: list[str]

    @property
    def rule(self) -> Rule:
        return merge.RULES[self.spec["rule"]]

    def merged(self) -> Iterable[tuple[str, Tensor]]:
        """The merged tensors, one after the other, and the rest.

        A value that is not finite raises `ValueError`.
        """
        models = (self.models[0], self.models[1:]) if "base" in self.spec else (self.models,)
        pairs = self.rule.stream(*models, **self.settings)
        return chain(_named(_finite(pairs), self.sources, "base" in self.spec), self.rest.items())

    def report(self) -> str:
        """What the merge will read, write and need, as lines of text."""
        floats = [value for value in self.models[0].values() if value.is_floating_point()]
        types = sorted({str(value.dtype).removeprefix("torch.") for value in floats})
        files = [file for source in self.sources for file in source.files]
        settings = ", ".join(
            f"{name} = {value!r}" for name, value in self.spec.get("settings", {}).items()
        )
        return "\n".join(
            [
                f"rule     {self.spec['rule']} {settings}".rstrip(),
                *(f"{source.role:<8} {source.name}" for source in self.sources),
                (
                    f"tensors  {len(self.models[0])}, of which {len(floats)} merge: "
                    f"{sum(v.numel() for v in floats):,} entries, {', '.join(types)}"
                ),
                *(
                    [f"kept     {len(self.rest)} tensors of {self.sources[0].name}, as they are"]
                    if self.rest
                    else []
                ),
                (
                    f"read     {sum(file.stat().st_size for file in files) / 1e9:.2f} GB "
                    f"in {len(files)} files"
                ),
                (
                    f"write    {sum(shard.size for shard in self.shards) / 1e9:.2f} GB "
                    f"in {len(self.shards)} files"
                ),
                f"memory   {self.memory() / 1e9:.2f} GB beside mapped files",
                *(f"note     {note}" for note in self.notes),
            ]
        )

    def memory(self) -> int:
        """An upper estimate of the bytes needed beside mapped files."""
        floats = [
            value for model in self.models for value in model.values() if value.is_floating_point()
        ]
        q, entries = (
            len(self.models),
            [v.numel() for v in floats[: len(floats) // len(self.models)]],
        )
        width = max(4, *(value.element_size() for value in floats), 0)
        size = Size(q, max(entries, default=0), sum(entries), width)
        rows = [self.models[0][name].numel() for name in self.settings.get("rates", {})]
        unmapped = [
            file.stat().st_size
            for source in self.sources
            for file in source.files
            if not checkpoints.mapped(file)
        ]
        copied = [v.nbytes for v in floats if v.numel() == size.largest and not v.is_contiguous()]
        return sum(
            (
                int(4e8),  # Python and torch
                12 * q * SLAB * width,
                2 * size.largest * width,  # a merged tensor, as it is made and as it is written
                self.rule.memory(size),
                q * width * max(rows, default=0),
                *copied,
                *unmapped,
            )
        )


def read_spec(path: str | Path) -> Job:
    """The job of a spec, whose paths are relative to it.

    Raises one `ValueError` or `FileNotFoundError` that names what is wrong with the spec or with
    the models.
    """
    document = Document(path)
    spec, settings = document.content, _settings(document)
    limit = _size(spec["shard"], document) if "shard" in spec else math.inf
    if not spec["experts"]:
        document.fail("experts names no model", "", "experts")
    roles = [("base", spec["base"])] if "base" in spec else []
    sources = [
        Source(role, name, _files(name, document))
        for role, name in roles + [("expert", name) for name in spec["experts"]]
    ]
    models, notes = _models(sources)
    if not models[0]:
        document.fail(f"{sources[0].name} holds no tensors")
    rest, left = _chosen(document, models, sources)
    notes += left
    if not any(value.is_floating_point() for value in models[0].values()):
        document.fail(f"{sources[0].name} has no floating-point tensor to merge")
    for name, kind in _from_files(merge.RULES[spec["rule"]]).items():
        if name in settings:
            found = [settings[name]] if not kind.each else settings[name]
            own = [Source(name, path, _files(path, document)) for path in found]
            sources += own
            loaded = [checkpoints.load_files(source.files) for source in own]
            settings[name] = loaded if kind.each else loaded[0]
    if spec.get("mixed"):
        models[0] = states.Mixed(models[0])
    names = [source.name for source in sources[: len(models)]]
    try:
        states.check_compatible(models, names, values=False)
    except ValueError as error:
        some = " lacks " in str(error) or " extra " in str(error)
        hint = "\n  partial = true, only or except skip or keep what only some models have"
        raise ValueError(f"{error}{hint * some}") from None
    folders = {s.name: s.files[0].parent for s in sources[: len(models)] if _is_folder(s)}
    if len(folders) > 1 and sources[0].name in folders:
        notes += beside.mismatches(folders)
    job = Job(spec, settings, sources, models, rest, shards(models[0] | rest, limit), notes)
    # Refuses rates that do not fit; nothing is computed before the first tensor is asked for.
    job.merged()
    if _is_folder(sources[0]):
        beside.to_copy(sources[0].files[0].parent)  # what cannot be copied is an error now
    return job


def _is_folder(source):
    """Whether a source is a folder, whose configuration and tokenizer belong to it."""
    return Path(source.name).suffix not in checkpoints.SAFE + checkpoints.PICKLED


def _models(sources):
    """The models of sources under the names of the first, and a note for each that had others."""
    models = [checkpoints.load_files(source.files) for source in sources]
    notes = []
    for i, source in enumerate(sources[1:], 1):
        models[i], note = states.named_as(models[0], models[i])
        notes += [f"all names of {source.name} {note}"] if note else []
    return models, notes


def _chosen(document, models, sources):
    """Cut models to the tensors that merge; the rest of the first model, and notes.

    `only` and `except` hold patterns of names. With `partial`, what no expert has stays the
    base's, as do tensors of whole numbers that some lack; what the base lacks is left out.
    """
    spec, first, notes = document.content, models[0], []
    everything = {name for model in models for name in model}
    for field in ("only", "except"):
        for pattern in spec.get(field, ()):
            if not fnmatch.filter(everything, pattern):
                document.fail(f"{field} names {pattern!r}, which no tensor has", "", field)

    def matches(name, field):
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in spec[field])

    chosen = {
        name
        for name in everything
        if ("only" not in spec or matches(name, "only"))
        and not ("except" in spec and matches(name, "except"))
    }
    for name, twin in states.tied(first):
        if (name in chosen) != (twin in chosen):
            document.fail(f"{name} and {twin} are tied; only and except must choose both or none")
    if not chosen & first.keys():
        document.fail(f"only and except leave no tensor of {sources[0].name} to merge", "", "only")
    if spec.get("partial"):
        there = [name for name in chosen & first.keys() if any(name in m for m in models[1:])]
        whole = [n for n in there if not first[n].is_floating_point()]
        lacked = {n for n in whole if any(n not in m for m in models[1:])}
        for model, source in zip(models[1:], sources[1:]):
            if extra := sorted((model.keys() & chosen) - first.keys()):
                more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
                notes.append(f"left out of {source.name}: {', '.join(extra[:3])}{more}")
        chosen = set(there) - lacked
    # A tensor that is tied to one that merges comes out as that one does.
    ties = {twin for name, twin in states.tied(first) if name in chosen and "partial" in spec}
    rest = {name: value for name, value in first.items() if name not in chosen | ties}
    for i, model in enumerate(models):
        models[i] = {name: value for name, value in model.items() if name in chosen}
    return rest, notes


def place(out: str | Path) -> Path:
    """The folder to work in until `out` is complete, `out.part`.

    Raises `FileExistsError` if there is one of the two, `FileNotFoundError` if there is no folder
    to make them in, `ValueError` if `out` names none.
    """
    out = Path(out).expanduser()
    if not out.name or out.name == "..":
        raise ValueError(f"out is {str(out)!r}; give the name of a folder to be made")
    part = out.with_name(f"{out.name}.part")
    for folder in (out, part):
        if os.path.lexists(folder):
            raise FileExistsError(
                f"{folder} exists"
                + (
                    "; give the name of a folder to be made"
                    if folder == out
                    else ": another merge writes it, or was killed; then delete it"
                )
            )
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent} is no folder, so {out.name} cannot be made in it")
    if not os.access(out.parent, os.W_OK):
        raise PermissionError(f"{out.parent} cannot be written, so {out.name} cannot be made in it")
    return part


def check_room(job: Job, out: str | Path) -> None:
    """Raise `OSError` unless the disk of the new folder `out` has room for what is written."""
    parent = Path(out).expanduser().absolute().parent
    beside.check_space(parent, sum(shard.size for shard in job.shards))


def run(job: Job, out: str | Path) -> str:
    """Merge into the new folder `out`, with the record; say in a line what was made.

    What lies beside the first model's weights (config, tokenizer) goes there too. Everything goes
    to `out.part`, which is renamed at the end, or deleted if the work fails or is interrupted.
    Raises what `place` raises, and `ValueError` for values that are not finite.
    """
    part, first = place(out), job.sources[0]
    try:
        part.mkdir()
        check_room(job, part)
        write(
            tqdm(
                job.merged(),
                "merge",
                len(job.models[0]) + len(job.rest),
                unit="tensor",
                leave=False,
                disable=None,
            ),
            job.shards,
            part,
        )
        if _is_folder(first):
            beside.copy(first.files[0].parent, part)
        read = {checkpoints.recorded(s.name, f): f for s in job.sources for f in s.files}
        bar = tqdm(sorted(read.items()), "hash", unit="file", leave=False, disable=None)
        record = {
            "spec": job.spec,
            "sha256": {name: sha256(file) for name, file in bar},
            "merged": {shard.name: sha256(part / shard.name) for shard in job.shards},
            "mergehelpers": mergehelpers.__version__,
            "torch": torch.__version__,
        }
        (part / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(part, Path(out).expanduser())
    except FileExistsError:
        # Another merge to `out` began meanwhile, and what it writes is not ours to delete.
        raise
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    size, digest = sum(shard.size for shard in job.shards), next(iter(record["merged"].values()))
    return (
        f"merged   {len(job.models[0]) + len(job.rest)} tensors, {size / 1e9:.2f} GB, into {out}; "
        f"sha256 of {job.shards[0].name} {digest}"
    )


@dataclass(frozen=True)
class Shard:
    """A safetensors file to be written.

    It has its name, its header, the place of each tensor in the file, and the file's size.
    """

    name: str
    header: bytes
    places: Mapping[str, int]
    size: int


def shards(state: Mapping[str, Tensor], limit: float = math.inf) -> list[Shard]:
    """The files for tensors like those of a state, in its order.

    Each has at most `limit` bytes of tensors (or one tensor).
    """
    groups, size = [[]], 0
    for name, value in state.items():
        if groups[-1] and size + value.nbytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += value.nbytes
    if len(groups) == 1:
        return [_shard(WEIGHTS, state, groups[0])]
    return [
        _shard(f"model-{i:05d}-of-{len(groups):05d}.safetensors", state, group)
        for i, group in enumerate(groups, 1)
    ]


def _shard(file, state, names):
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
            file.write(value.cpu().flatten().view(torch.uint8).numpy())
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


def _named(pairs, sources, has_base):
    """The pairs; an error in between names a model by its source, and not by its number."""
    names = {"base": sources[0].name} if has_base else {}
    experts = [source.name for source in sources if source.role == "expert"]
    names |= {f"{who} {i}": name for i, name in enumerate(experts) for who in ("expert", "model")}
    try:
        yield from pairs
    except ValueError as error:
        pattern = r"\b(base|(?:expert|model) \d+)(?= holds)"
        raise ValueError(re.sub(pattern, lambda m: names.get(m[0], m[0]), str(error))) from None


def _finite(pairs):
    for name, value in pairs:
        if not all(slab.isfinite().all() for slab in value.flatten().split(SLAB)):
            raise ValueError(f"{name}: merged values do not fit {value.dtype}")
        yield name, value


def _from_files(rule):
    """The settings of a rule that a spec gives as names of files, with their kinds."""
    kinds = {name: setting.kind for name, setting in rule.settings.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, Tensors)}


def _settings(document):
    """The settings of a checked spec; its rule has tried them on models of one number."""
    spec = document.content
    table = spec.get("settings")
    for field in FIELDS.keys() & table.keys() if isinstance(table, dict) else ():
        document.fail(f"{field} stands under [settings]; write it above", "settings", field)
    document.check(spec, "", FIELDS, ("rule", "experts"))
    name, settings = spec["rule"], dict(spec.get("settings", {}))
    if name not in merge.RULES:
        hint = f"that is {SYNONYMS[name]} here; " if name in SYNONYMS else ""
        document.fail(f"rule is {name!r}; {hint}allowed: {', '.join(merge.RULES)}", "", "rule")
    rule = merge.RULES[name]
    if rule.needs_base != ("base" in spec):
        needs = "needs a base" if rule.needs_base else "takes no base"
        document.fail(f"the rule {name} {needs}", "", "rule")
    if spec.get("partial") and "base" not in spec:
        document.fail(f"partial needs a base, and the rule {name} takes none", "", "partial")
    files = _from_files(rule)
    for key, value in settings.items():
        if key not in rule.settings:
            near = difflib.get_close_matches(key, rule.settings, 1)
            near = [SYNONYMS[key]] if SYNONYMS.get(key) in rule.settings else near
            hint = f"did you mean {near[0]!r}? " if near else ""
            allowed = ", ".join(rule.settings) or "none"
            document.fail(
                f"unknown field {key!r} in [settings]; {hint}allowed: {allowed}", "settings", key
            )
        kind = rule.settings[key].kind
        if key in files:
            kind = Listed(Text(), len(spec["experts"])) if kind.each else Text()
        try:
            kind.check(value)
        except Wrong:
            document.fail(f"{key} is {reprlib.repr(value)}; allowed: {kind}", "settings", key)
    for key, setting in rule.settings.items():
        if setting.default is ... and key not in settings:
            document.fail(f"[settings] lacks the field {key!r}: {setting.kind}", "settings")
    if not any(kind.each for kind in files.values()):
        one = {"one": torch.zeros(1)}
        experts = [one] * max(1, len(spec["experts"]))
        tried = settings | {key: {} for key in files}
        try:
            rule.stream(*([one, experts] if rule.needs_base else [experts]), **tried)
        except ValueError as error:
            document.fail(str(error), "settings")
    return settings


def _files(name, document):
    if name.startswith("hub:"):
        return checkpoints.files(checkpoints.hub_folder(name.removeprefix("hub:")))
    path = document.path.parent / Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{document.path}: there is no {path.absolute()}; "
            "a model on the Hub is written hub:owner/name"
        )
    return checkpoints.files(path)


def _size(text, document):
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB)", text)
    if not match or float(match[1]) == 0:
        document.fail(
            f"shard is {text!r}; it must be a size such as '500 MB' or '5 GB'", "", "shard"
        )
    return float(match[1]) * UNITS[match[2]]
