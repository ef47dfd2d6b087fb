"""The manifest of a suite, `suite.toml`: what may stand in it, and errors that name the line."""

from pathlib import Path

from mergehelpers.checkpoints import PICKLED, SAFE
from mergehelpers.suites.data import SPLITS
from mergehelpers.toml import Document

HEADS = ("zero-shot", "expert", "words")
PLACES = ("base", "experts", "head", "model", "expert", "data")
TOP = {
    **dict.fromkeys(("name", "extends", "title", "base", "experts", "head"), "a text"),
    "templates": "a list of texts",
    "seed": "a whole number",
    **dict.fromkeys(("backbone", "tasks", "out_of_domain", "sha256"), "a table"),
}
BACKBONE = {
    "open_clip": {
        "model": "a text",
        "pretrained": "a text",
        "architecture": "a table",
        "mean": "a list of 3 numbers",
        "std": "a list of 3 numbers",
    },
    "clip": {"model": "a text"},
    "bert": {"model": "a text", "pooling": "a text", "max_length": "a whole number"},
    "t5": {"model": "a text", "max_length": "a whole number"},
}
TASK = {
    "expert": "a text",
    "classes": "a list of texts",
    "head": "a text",
    "templates": "a list of texts",
    **dict.fromkeys(("data", "input", "label", "prompt", "config"), "a text"),
    "splits": "a table",
}


def read_manifest(path: Path, bundled: Path, seen: tuple[Path, ...] = ()) -> dict:
    """The checked manifest. Raises `ValueError` that names the file and, where it can, the line.

    `extends` names another manifest (a path, or a suite in the folder `bundled`): what is not said
    here is taken from there. A manifest that names tasks has only those, with what the other says
    of them.
    """
    path, document = Path(path), Document(path)
    content = document.content
    if "extends" in content:
        content = _extended(content, path, bundled, document, (*seen, path.resolve()))
    document.check(content, "", TOP, required=("name", "base", "backbone", "tasks"))
    backbone = content["backbone"]
    kind = backbone.get("kind")
    if kind not in list(BACKBONE):
        document.fail(
            f"[backbone] kind is {kind!r}; allowed: {', '.join(BACKBONE)}", "backbone", "kind"
        )
    document.check(
        backbone,
        "backbone",
        {"kind": "a text"} | BACKBONE[kind],
        required=() if "architecture" in backbone else ("model",),
    )
    named = kind == "open_clip" and "model" in backbone and "architecture" not in backbone
    if content["base"].startswith("open_clip:") and not named:
        document.fail(
            f"base = {content['base']!r} needs a [backbone] of kind 'open_clip' with a model",
            "",
            "base",
        )
    if not content["tasks"]:
        document.fail("[tasks] names no task", "tasks")
    packed = "experts" in content
    for group in ("tasks", "out_of_domain"):
        for name, task in content.get(group, {}).items():
            where = f"{group}.{name}"
            needs = ("classes", "data") + (("expert",) if group == "tasks" and not packed else ())
            document.check(task, where, TASK, required=needs)
            if packed and "expert" in task:
                document.fail(
                    f"[{where}] has an expert, but experts = {content['experts']!r} holds them all",
                    where,
                    "expert",
                )
            if len(set(task["classes"])) < max(2, len(task["classes"])):
                document.fail(
                    f"[{where}] classes must be two or more different names", where, "classes"
                )
            for split in task.get("splits", {}):
                if split not in SPLITS:
                    document.fail(
                        f"[{where}] splits has {split!r}; allowed: {', '.join(SPLITS)}",
                        where,
                        "splits",
                    )
            _check_head(content, group, where, task, named, document)
    return content


def _check_head(content, group, where, task, named, document):
    kind, head = content["backbone"]["kind"], task.get("head", content.get("head"))
    fits = {"zero-shot": kind == "clip" or named, "expert": group == "tasks", "words": kind == "t5"}
    allowed = ", ".join(
        [f"a weights file ({', '.join(SAFE + PICKLED)})", *(name for name in HEADS if fits[name])]
    )
    if head is None:
        document.fail(f"[{where}] has no head, and the suite gives none; allowed: {allowed}", where)
    if not fits.get(head, head.endswith(SAFE + PICKLED)):
        document.fail(
            f"head is {head!r}; allowed for [{where}]: {allowed}",
            where if "head" in task else "",
            "head",
        )
    if head == "zero-shot":
        templates = task.get("templates") or content.get("templates") or []
        if not templates or not all("{}" in template for template in templates):
            message = (
                f"[{where}] has a zero-shot head, so it needs templates, "
                "each with {} for the class"
            )
            document.fail(message, where, "templates")


def _extended(content, path, bundled, document, seen):
    named = bundled / str(content["extends"]) / "suite.toml"
    parent_path = named if named.is_file() else path.parent / str(content["extends"])
    if not parent_path.is_file() or parent_path.resolve() in seen:
        document.fail(
            f"extends names no other suite and no other manifest: {content['extends']!r}",
            "",
            "extends",
        )
    parent = _absolute(read_manifest(parent_path, bundled, seen), parent_path.parent.resolve())
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
        out[group] = {
            name: parent.get(group, {}).get(name, {}) | task if isinstance(task, dict) else task
            for name, task in tasks.items()
        }
    return out


def _absolute(content, folder, key=""):
    """The same manifest with every name of a file or folder beside it made absolute."""
    if isinstance(content, dict):
        return {
            str(folder / name) if key == "sha256" else name: _absolute(value, folder, name)
            for name, value in content.items()
        }
    if key not in PLACES or content in HEADS:
        return content
    hub = "hub:" if content.startswith("hub:") else ""
    place = folder / content.removeprefix(hub)
    return hub + str(place) if place.exists() else content
