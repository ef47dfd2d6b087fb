"""Merging from files to files: the rules of `merge`, tensor by tensor, into a folder that Hugging Face tools read.

A *spec* is a TOML file that names a rule, its settings, and models. The models are mapped into memory, the output is written as
it is made, and a record of what went in (`merge.json`) lies beside it. `python -m mergehelpers merge` is the command for it.
"""

import inspect
import json
import math
import os
import re
import shutil
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import mergehelpers
from mergehelpers import merge, stacks, states
from mergehelpers.suites import sha256
from mergehelpers.toml import Document

RULES = {name: getattr(merge, name) for name in ("average", "task_arithmetic", "ties", "dare", "m_ties", "m_dare")}
FIELDS = {"rule": "a text", "base": "a text", "experts": "a list of texts", "settings": "a table", "shard": "a text",
          "promote": "true or false", "partial": "true or false"}
SETTINGS = {"keep": "a number", "scale": "a number", "scope": "a text", "seed": "a whole number", "increment": "a text",
            "elect_signs": "true or false", "rescale": "true or false", "biases": "true or false",
            "weights": "a list of numbers", "rates": "a text"}
UNITS = {"MB": 10**6, "GB": 10**9}
CODES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}
WEIGHTS, RECORD = "model.safetensors", "merge.json"


@dataclass(frozen=True)
class Job:
    """A spec whose fields and models were checked, and what it names: files by source, states, and the files to be written.

    `rest` holds tensors of the base that no expert has.
    """

    spec: dict
    settings: dict
    files: dict[str, list[Path]]
    models: list[Mapping[str, Tensor]]
    rest: dict[str, Tensor]
    shards: list["Shard"]

    def merged(self) -> Iterable[tuple[str, Tensor]]:
        """The merged tensors, one after the other, and the rest. Settings out of range raise `ValueError` at once."""
        models = (self.models[0], self.models[1:]) if "base" in self.spec else (self.models,)
        return chain(RULES[self.spec["rule"]].stream(*models, **self.settings), self.rest.items())

    def report(self) -> str:
        """What the merge will read, write and need, as lines of text."""
        first = self.models[0]
        floats = [value for value in first.values() if value.is_floating_point()]
        types = sorted({str(value.dtype).removeprefix("torch.") for value in floats})
        inputs = sum(file.stat().st_size for files in self.files.values() for file in files)
        return "\n".join([
            f"rule     {self.spec['rule']} " + ", ".join(f"{k} = {v!r}" for k, v in self.spec.get("settings", {}).items()),
            *(f"model    {source}" for source in self.files),
            f"tensors  {len(first)}, of which {len(floats)} merge: {sum(v.numel() for v in floats):,} entries, {', '.join(types)}",
            *([f"kept     {len(self.rest)} tensors of the base that no expert has"] if self.rest else []),
            f"read     {inputs / 1e9:.2f} GB in {sum(map(len, self.files.values()))} files, mapped into memory",
            f"write    {sum(shard.size for shard in self.shards) / 1e9:.2f} GB in {len(self.shards)} files",
            f"memory   {self.memory() / 1e9:.2f} GB beside mapped files"])

    def memory(self) -> int:
        """An upper estimate of the bytes needed beside mapped files: Python and torch, slabs, and copies of the largest tensors."""
        q, sizes = len(self.models), [v.numel() for v in self.models[0].values() if v.is_floating_point()]
        largest, width = max(sizes, default=0), max(v.element_size() for v in self.models[0].values())
        copies = 2 * width + q * (self.spec["rule"] in ("dare", "m_dare")) + q * width * self.spec.get("promote", False)
        joined = max((self.models[0][name].numel() for name in self.settings.get("rates", {})), default=0)
        return int(5e8) + 12 * q * stacks.SLAB * max(width, 4) + largest * copies + joined * q * width


def read(path: str | Path) -> Job:
    """The job of a spec, whose paths are relative to it.

    Raises one `ValueError` or `FileNotFoundError` that names what is wrong with the spec or with the models.
    """
    document = Document(path)
    spec, folder = document.content, document.path.parent
    document.check(spec, "", FIELDS, ("rule", "experts"))
    rule, settings = spec["rule"], dict(spec.get("settings", {}))
    if rule not in RULES:
        document.fail(f"rule is {rule!r}; allowed: {', '.join(RULES)}", "", "rule")
    parameters = inspect.signature(RULES[rule]).parameters
    if ("base" in parameters) != ("base" in spec):
        document.fail(f"the rule {rule} " + ("needs a base" if "base" in parameters else "takes no base"), "", "rule")
    taken = {name: parameter for name, parameter in parameters.items() if name in SETTINGS}
    document.check(settings, "settings", {name: SETTINGS[name] for name in taken},
                   [name for name, parameter in taken.items() if parameter.default is parameter.empty])
    if not spec["experts"]:
        document.fail("experts names no model", "", "experts")
    if spec.get("partial") and "base" not in spec:
        document.fail(f"partial needs a base, and the rule {rule} takes none", "", "partial")
    limit = _size(spec["shard"], document) if "shard" in spec else math.inf

    def place(name):
        beside = folder / Path(name).expanduser()
        return beside if beside.exists() or beside.suffix in states.SAFE + states.PICKLED else name.removeprefix("hub:")

    sources = [*([spec["base"]] if "base" in spec else []), *spec["experts"]]
    files = {source: states.files(place(source)) for source in sources}
    models, rest = [states.load(place(source)) for source in sources], {}
    if spec.get("partial"):
        rest = {name: value for name, value in models[0].items() if not any(name in expert for expert in models[1:])}
        models[0] = {name: value for name, value in models[0].items() if name not in rest}
    if "rates" in settings:
        files[settings["rates"]] = states.files(place(settings["rates"]))
        settings["rates"] = states.load(place(settings["rates"]))
    models = states.promoted(models) if spec.get("promote") else models
    states.check_compatible(models, sources, values=False)
    job = Job(spec, settings, files, models, rest, shards(ChainMap(models[0], rest), limit))
    job.merged()  # refuses settings out of range; nothing is read or computed before the first tensor is asked for
    return job


def run(job: Job, out: str | Path) -> None:
    """Merge into the new folder `out`, with the record, and with what lies beside the first model's weights (config, tokenizer).

    Everything goes to `out.part`, which is renamed at the end, or deleted if the work fails or is interrupted.
    Raises `FileExistsError` if there is an `out`, `ValueError` for values that are not finite.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists; give the name of a folder to be made")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write(tqdm(job.merged(), "merge", len(job.models[0]) + len(job.rest), unit="tensor", leave=False, disable=None), job.shards, part)
        first, (weights, *_) = next(iter(job.files.items()))
        for pattern in states.BESIDE if Path(first).suffix not in states.SAFE + states.PICKLED else ():
            for file in weights.parent.glob(pattern):
                if not file.name.endswith(".index.json"):
                    shutil.copyfile(file, part / file.name)
        bar = tqdm([file for files in job.files.values() for file in files], "hash", unit="file", leave=False, disable=None)
        record = {"spec": job.spec, "sha256": {str(file): sha256(file) for file in bar},
                  "mergehelpers": mergehelpers.__version__, "torch": torch.__version__}
        (part / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True)
class Shard:
    """A safetensors file to be written: its name, its header, the place of each tensor in the file, and the file's size."""

    name: str
    header: bytes
    places: Mapping[str, int]
    size: int


def shards(state: Mapping[str, Tensor], limit: float = math.inf) -> list[Shard]:
    """The files for tensors like those of a state, in its order, with at most `limit` bytes of tensors each (or one tensor)."""
    groups, size = [[]], 0
    for name, value in state.items():
        if groups[-1] and size + value.nbytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += value.nbytes
    if len(groups) == 1:
        return [_shard(WEIGHTS, state, groups[0])]
    return [_shard(f"model-{i:05d}-of-{len(groups):05d}.safetensors", state, group) for i, group in enumerate(groups, 1)]


def _shard(file, state, names):
    header, places, size = {"__metadata__": {"format": "pt"}}, {}, 0
    # Wider types first, so that each tensor begins at a multiple of its type's size, as readers expect.
    for name in sorted(names, key=lambda name: -state[name].element_size()):
        value = state[name]
        header[name] = {"dtype": CODES[value.dtype], "shape": list(value.shape), "data_offsets": [size, size + value.nbytes]}
        places[name], size = size, size + value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return Shard(file, len(text).to_bytes(8, "little") + text, {name: start + place for name, place in places.items()}, start + size)


def write(pairs: Iterable[tuple[str, Tensor]], shards: Sequence[Shard], folder: Path) -> None:
    """Write tensors to their places as they come, and for several files the index that Hugging Face tools read.

    Raises `ValueError` for a value that is not finite: a merge can overflow half precision.
    """
    # glibc gives memory that slabs leave back to the system, and asks for it again, unless it has seen a larger block freed.
    torch.empty(2**22 - 2**9, dtype=torch.float64)
    with ExitStack() as stack:
        places = {}
        for shard in shards:
            file = stack.enter_context((folder / shard.name).open("wb"))
            file.write(shard.header)
            places |= {name: (file, place) for name, place in shard.places.items()}
        for name, value in pairs:
            if not all(slab.isfinite().all() for slab in value.flatten().split(stacks.SLAB)):
                raise ValueError(f"{name}: merged values do not fit {value.dtype}")
            file, place = places[name]
            file.seek(place)
            file.write(value.cpu().flatten().view(torch.uint8).numpy())
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(shard.size - len(shard.header) for shard in shards)},
                 "weight_map": {name: shard.name for shard in shards for name in shard.places}}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _size(text, document):
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB)", text)
    if not match or float(match[1]) == 0:
        document.fail(f"shard is {text!r}; it must be a size such as '500 MB' or '5 GB'", "", "shard")
    return float(match[1]) * UNITS[match[2]]
