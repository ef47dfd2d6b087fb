"""The manifest of a suite, `suite.toml`: what may stand in it, and errors that name the line."""

import difflib
import re
import tomllib
from pathlib import Path

from mergehelpers.states import PICKLED, SAFE
from mergehelpers.suites.data import SPLITS

HEADS = ("zero-shot", "expert", "words")
PLACES = ("base", "experts", "head", "model", "expert", "data")
TOP = {"name": str, "extends": str, "title": str, "base": str, "experts": str, "head": str, "templates": list, "seed": int,
       "backbone": dict, "tasks": dict, "out_of_domain": dict, "sha256": dict}
BACKBONE = {
    "open_clip": {"model": str, "pretrained": str, "architecture": dict, "mean": list, "std": list},
    "clip": {"model": str},
    "bert": {"model": str, "pooling": str, "max_length": int},
    "t5": {"model": str, "max_length": int},
}
TASK = {"expert": str, "classes": list, "head": str, "templates": list, "data": str, "input": str, "label": str,
        "prompt": str, "config": str, "splits": dict}


def read(path: Path, bundled: Path, seen: tuple[Path, ...] = ()) -> dict:
    """The checked manifest. Raises `ValueError` that names the file and, where it can, the line.

    `extends` names another manifest (a path, or a suite in the folder `bundled`): what is not said here is taken from
    there. A manifest that names tasks has only those, with what the other says of them.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    check = _Check(path, text)
    if "extends" in content:
        content = _extended(content, path, bundled, check, (*seen, path.resolve()))
    check.table(content, "", TOP, required=("name", "base", "backbone", "tasks"))
    backbone = content["backbone"]
    kind = backbone.get("kind")
    if kind not in list(BACKBONE):
        check.fail(f"[backbone] kind is {kind!r}; allowed: {', '.join(BACKBONE)}", "backbone", "kind")
    check.table(backbone, "backbone", {"kind": str} | BACKBONE[kind],
                required=() if "architecture" in backbone else ("model",))
    named = kind == "open_clip" and "model" in backbone and "architecture" not in backbone
    if content["base"].startswith("open_clip:") and not named:
        check.fail(f"base = {content['base']!r} needs a [backbone] of kind 'open_clip' with a model", "", "base")
    if not content["tasks"]:
        check.fail("[tasks] names no task", "tasks")
    packed = "experts" in content
    for group in ("tasks", "out_of_domain"):
        for name, task in content.get(group, {}).items():
            where = f"{group}.{name}"
            needs = ("classes", "data") + (("expert",) if group == "tasks" and not packed else ())
            check.table(task, where, TASK, required=needs)
            if packed and "expert" in task:
                check.fail(f"[{where}] has an expert, but experts = {content['experts']!r} holds them all", where, "expert")
            if len(set(task["classes"])) < max(2, len(task["classes"])):
                check.fail(f"[{where}] classes must be two or more different names", where, "classes")
            for split in task.get("splits", {}):
                if split not in SPLITS:
                    check.fail(f"[{where}] splits has {split!r}; allowed: {', '.join(SPLITS)}", where, "splits")
            _check_head(content, group, where, task, named, check)
    return content


def _check_head(content, group, where, task, named, check):
    kind, head = content["backbone"]["kind"], task.get("head", content.get("head"))
    fits = {"zero-shot": kind == "clip" or named, "expert": group == "tasks", "words": kind == "t5"}
    allowed = ", ".join([f"a weights file ({', '.join(SAFE + PICKLED)})", *(name for name in HEADS if fits[name])])
    if head is None:
        check.fail(f"[{where}] has no head, and the suite gives none; allowed: {allowed}", where)
    if not fits.get(head, head.endswith(SAFE + PICKLED)):
        check.fail(f"head is {head!r}; allowed for [{where}]: {allowed}", where if "head" in task else "", "head")
    if head == "zero-shot":
        templates = task.get("templates") or content.get("templates") or []
        if not templates or not all("{}" in template for template in templates):
            message = f"[{where}] has a zero-shot head, so it needs templates, each with {{}} for the class"
            check.fail(message, where, "templates")


def _extended(content, path, bundled, check, seen):
    named = bundled / str(content["extends"]) / "suite.toml"
    parent_path = named if named.is_file() else path.parent / str(content["extends"])
    if not parent_path.is_file() or parent_path.resolve() in seen:
        check.fail(f"extends names no other suite and no other manifest: {content['extends']!r}", "", "extends")
    parent = _absolute(read(parent_path, bundled, seen), parent_path.parent.resolve())
    out = parent | {key: value for key, value in content.items() if key != "extends"}
    groups = ("tasks", "out_of_domain", "sha256")
    own = {group: content[group] for group in groups if isinstance(content.get(group), dict)}
    if "sha256" in own:
        out["sha256"] = parent.get("sha256", {}) | own.pop("sha256")
    if "experts" in content:
        for task in parent["tasks"].values():
            task.pop("expert", None)
    elif any(isinstance(task, dict) and "expert" in task for task in own.get("tasks", {}).values()):
        out.pop("experts", None)
    for group, tasks in own.items():
        out[group] = {name: parent.get(group, {}).get(name, {}) | task if isinstance(task, dict) else task
                      for name, task in tasks.items()}
    return out


def _absolute(content, folder, key=""):
    """The same manifest with every name of a file or folder beside it made absolute."""
    if isinstance(content, dict):
        return {str(folder / name) if key == "sha256" else name: _absolute(value, folder, name)
                for name, value in content.items()}
    if key not in PLACES or content in HEADS:
        return content
    hub = "hub:" if content.startswith("hub:") else ""
    place = folder / content.removeprefix(hub)
    return hub + str(place) if place.exists() else content


class _Check:
    def __init__(self, path, text):
        self.path, self.lines = path, text.splitlines()

    def table(self, table, where, fields, required):
        if not isinstance(table, dict):
            self.fail(f"{where} must be a table", where)
        label = f"[{where}]" if where else "the top level"
        for key, value in table.items():
            if key not in fields:
                near = difflib.get_close_matches(key, fields, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                self.fail(f"unknown field {key!r} in {label}; {hint}allowed: {', '.join(fields)}", where, key)
            right = isinstance(value, fields[key]) and not isinstance(value, bool)
            if right and key in ("classes", "templates"):
                right = all(isinstance(entry, str) for entry in value)
            elif right and key in ("mean", "std"):
                right = len(value) == 3 and all(isinstance(entry, (int, float)) for entry in value)
            if not right:
                self.fail(f"{key} in {label} must be {WORDS.get(key) or NAMES[fields[key]]}, got {value!r}", where, key)
        if missing := [key for key in required if key not in table]:
            self.fail(f"{label} lacks the field {missing[0]!r}", where)

    def fail(self, message, where, key=None):
        line = self._line(where, key)
        raise ValueError(f"{self.path}{f', line {line}' if line else ''}: {message}")

    def _line(self, where, key):
        """The line of `key` in table `where`, else of the table's header."""
        current, header = "", None
        for number, line in enumerate(self.lines, 1):
            if match := re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line):
                current = match[1].replace('"', "").strip()
                header = number if current == where else header
            elif key and current == where and re.match(rf'\s*"?{re.escape(key)}"?\s*[=.]', line):
                return number
            elif key and re.match(rf"\s*{re.escape(where.split('.')[-1])}\s*=\s*\{{.*\b{re.escape(key)}\b", line):
                return number
        return header


NAMES = {str: "a text", int: "a whole number", dict: "a table"}
WORDS = {"classes": "a list of texts", "templates": "a list of texts",
         "mean": "a list of 3 numbers", "std": "a list of 3 numbers"}
