"""Specs: TOML files that say what to merge, and by which rule; read and checked before any work."""

import fnmatch
import math
import re
from pathlib import Path

import torch

from mergehelpers import beside, checkpoints, merge, shards, states
from mergehelpers.jobs import Job, Source
from mergehelpers.merge.registry import BadSetting, Tensors
from mergehelpers.parameters import Listed, Text
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
# What other tools call our rules.
ELSEWHERE = {
    "linear": "average",
    "dare_linear": "dare",
    "dare_ties": "dare, with elect_signs = true",
}
UNITS = {"MB": 10**6, "GB": 10**9}


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
    notes += _ties_completed(models, sources)
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
    folders = {s.name: s.files[0].parent for s in sources[: len(models)] if is_folder(s)}
    if len(folders) > 1 and sources[0].name in folders:
        notes += beside.mismatches(folders)
    job = Job(spec, settings, sources, models, rest, shards.layout(models[0] | rest, limit), notes)
    # Refuses rates that do not fit; nothing is computed before the first tensor is asked for.
    job.merged()
    if is_folder(sources[0]):
        beside.to_copy(sources[0].files[0].parent)  # what cannot be copied is an error now
    return job


def is_folder(source):
    """Whether a source is a folder, whose configuration and tokenizer belong to it."""
    return Path(source.name).name != source.files[0].name


def _models(sources):
    """The models of sources under the names of the first, and a note for each that had others."""
    models = [checkpoints.load_files(source.files) for source in sources]
    notes = []
    for i, source in enumerate(sources[1:], 1):
        models[i], note = states.named_as(models[0], models[i])
        notes += [f"all names of {source.name} {note}"] if note else []
    return models, notes


def _ties_completed(models, sources):
    """Give each model that has some of the first one's tied names the others too; notes of it.

    A file of safetensors holds tied weights once, under any of their names.
    """
    groups, notes = {}, []
    for name, twin in states.tied(models[0]):
        groups.setdefault(name, [name]).append(twin)
    for model, source in zip(models[1:], sources[1:]):
        for group in groups.values():
            there = [name for name in group if name in model]
            if there and len(there) < len(group):
                model |= {name: model[there[0]] for name in group if name not in model}
                notes.append(f"{source.name} has {there[0]} alone of {', '.join(group)}, tied")
    return notes


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
            if not model.keys() & first.keys():
                before = [p for p in states.prefixes(first, model) if p]
                hint = f"; without {before[0]} its names would fit" if len(before) == 1 else ""
                document.fail(
                    f"{source.name} has no name of {sources[0].name}{hint}", "", "partial"
                )
            if extra := sorted((model.keys() & chosen) - first.keys()):
                more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
                notes.append(f"left out of {source.name}: {', '.join(extra[:3])}{more}")
        chosen = set(there) - lacked
    rest = {name: value for name, value in first.items() if name not in chosen}
    for i, model in enumerate(models):
        models[i] = {name: value for name, value in model.items() if name in chosen}
    return rest, notes


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
        hint = f"that is {ELSEWHERE[name]} here; " if name in ELSEWHERE else ""
        document.fail(f"rule is {name!r}; {hint}allowed: {', '.join(merge.RULES)}", "", "rule")
    rule = merge.RULES[name]
    if rule.needs_base != ("base" in spec):
        needs = "needs a base" if rule.needs_base else "takes no base"
        document.fail(f"the rule {name} {needs}", "", "rule")
    if spec.get("partial") and "base" not in spec:
        document.fail(f"partial needs a base, and the rule {name} takes none", "", "partial")
    files = _from_files(rule)
    names = {
        key: Listed(Text(), len(spec["experts"])) if kind.each else Text()
        for key, kind in files.items()
    }
    try:
        rule.check(settings, names)
    except BadSetting as error:
        document.fail(str(error), "settings", error.name)
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
    path = document.path.parent / expanded(name)
    if not path.exists():
        raise FileNotFoundError(
            f"{document.path}: there is no {path.absolute()}; "
            "a model on the Hub is written hub:owner/name"
        )
    return checkpoints.files(path)


def expanded(path: str | Path) -> Path:
    """A path with its `~` written out; raises `FileNotFoundError` for a user that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{path}: there is no such home folder") from error


def _size(text, document):
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB)", text)
    if not match or float(match[1]) == 0:
        document.fail(
            f"shard is {text!r}; it must be a size such as '500 MB' or '5 GB'", "", "shard"
        )
    return float(match[1]) * UNITS[match[2]]
