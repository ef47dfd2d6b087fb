"""What lies beside weights: configurations, tokenizers, code; where they differ, what is copied.

Merged weights are used under the first model's configuration and tokenizer. Where those of another
model differ, shapes may agree and meanings not, so a merge says so.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

FILES = ["*.json", "*.txt", "*.model", "*.spm", "*.codes", "*.jinja", "*.py", "*.tiktoken"]
INSIDE = ("additional_chat_templates", "custom_generate")
# Names, training and the classifier's labels: two models may differ in them and have one network.
HARMLESS = {
    *("_name_or_path", "_commit_hash", "transformers_version", "architectures", "auto_map"),
    *("torch_dtype", "dtype", "use_cache", "gradient_checkpointing", "finetuning_task"),
    *("num_labels", "id2label", "label2id", "problem_type", "task_specific_params"),
    # Of tokenizers and processors: where they were, and what newer versions call their classes.
    *("name_or_path", "tokenizer_file", "special_tokens_map_file", "tokenizer_class"),
    *("processor_class", "image_processor_type", "feature_extractor_type", "is_local", "backend"),
    *("_valid_processor_keys", "_from_model_config", "extra_special_tokens"),
}
# What training and merging write of their own runs.
RUNS = ("merge.json", "trainer_state.json", "adapter_config.json")
SETTINGS = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("preprocessor_config.json", "processor_config.json"),
)
TOKENIZERS = (
    *("vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken", "added_tokens.json"),
    "*.jinja",
)
SHOWN = 4


def mismatches(folders: Mapping[str, Path]) -> list[str]:
    """How configurations, tokenizers and modules differ from those of the first model, a line each.

    `folders` are {name: folder}; models that are bare files are left out of it. A file that a
    model lacks is no difference. Raises `ValueError` for a file that cannot be read.
    """
    (first, home), *others = folders.items()
    lines = []
    for name, folder in others:
        pairs = [(home / file, folder / file) for file in _comparable(home)]
        for mine, theirs in pairs:
            if not theirs.is_file():
                continue
            file = mine.relative_to(home).as_posix()
            what = _unlike(mine, theirs)
            if what:
                lines.append(f"{file} of {name} is not that of {first}: {what}")
    return lines


def to_copy(folder: Path) -> list[Path]:
    """The files beside a folder's weights that `from_pretrained` needs.

    Those are configurations, tokenizers, templates, code, and the folders of modules that
    sentence-transformers names in modules.json, whose weights no rule merges. Raises `OSError` for
    a file that cannot be copied, such as a link to nothing.
    """
    found = {file for pattern in FILES for file in folder.glob(pattern) if _wanted(file)}
    for inner in (*INSIDE, *_modules(folder)):
        found |= {file for file in (folder / inner).rglob("*") if not file.is_dir()}
    found = sorted(file for file in found if not file.name.startswith("."))
    for file in found:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is no file, or a link to one that is not there")
        if not os.access(file, os.R_OK):
            raise PermissionError(f"{file} cannot be read: its permissions forbid it")
    return found


def copy(folder: Path, out: Path) -> None:
    """Copy what `to_copy` finds into a folder that is there, under the same names."""
    for file in to_copy(folder):
        target = out / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def check_space(folder: Path, size: int) -> None:
    """Raise `OSError` unless a folder's disk has room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"the disk of {folder.absolute()} has {free / 1e9:.2f} GB free, "
            f"and {size / 1e9:.2f} GB are to be written"
        )


def read_json(path: Path):
    """The content of a JSON file; raises `ValueError` that names one that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a readable JSON file: {error}") from error


def _wanted(file):
    """Whether a file beside weights is part of the model, and not of how it was made."""
    own = file.name.startswith("README") or file.name.endswith((".index.json", "_results.json"))
    return not own and file.name not in RUNS and not file.is_dir()


def _modules(folder):
    """The folders that modules.json names, but for the one of the model itself."""
    listed = folder / "modules.json"
    content = read_json(listed) if listed.is_file() else []
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise ValueError(f"{listed} is not a list of modules")
    names = [part.get("path", "") for part in content]
    for name in names:
        inside = isinstance(name, str) and ".." not in Path(name).parts
        if not inside or Path(name).is_absolute():
            raise ValueError(f"{listed} names {name!r}, which is no folder beside it")
        if not (folder / name).is_dir():
            raise FileNotFoundError(f"{listed} names {name}, which is not there")
    return [name for name in names if name not in ("", ".")]


def _comparable(folder):
    """The files, relative to a folder, by which another model may differ in more than weights."""
    names = [*SETTINGS, "tokenizer.json", *TOKENIZERS]
    found = [file for name in names for file in sorted(folder.glob(name)) if file.is_file()]
    for module in _modules(folder):
        found += [file for file in sorted((folder / module).rglob("*")) if file.is_file()]
    return [file.relative_to(folder) for file in found]


def _unlike(mine, theirs):
    """What differs between two files of one name, in words; nothing if they mean the same."""
    if mine.name not in COMPARE:
        return "" if mine.read_bytes() == theirs.read_bytes() else "its content"
    contents = read_json(mine), read_json(theirs)
    try:
        return COMPARE[mine.name](*contents)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{mine} or {theirs} is not what its name says: {error}") from error


def _config(mine, theirs):
    """The settings that differ, in words; a setting that is nothing or false may be missing."""
    mine, theirs = _flat(mine), _flat(theirs)
    # Settings that only one has come last: versions of a library add some.
    keys = sorted(mine | theirs, key=lambda key: (key not in mine) + (key not in theirs))
    words = [
        f"{key} {_value(theirs, key)} for {_value(mine, key)}"
        for key in keys
        if mine.get(key) != theirs.get(key)
    ]
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if words[SHOWN:] else "")


def _flat(content, start=""):
    """{setting: value} of nested settings, without those that are harmless, nothing, or false."""
    if isinstance(content, dict) and {"content", "lstrip"} <= content.keys():
        content = content["content"]  # a special token, which other versions write as its text
    if not isinstance(content, dict):
        return {start.rstrip("."): content}
    out = {}
    for key, value in content.items():
        if key not in HARMLESS and "dropout" not in key and value not in (None, "", [], {}):
            out |= {} if value is False else _flat(value, f"{start}{key}.")
    return out


def _value(settings, key):
    return json.dumps(settings[key])[:40] if key in settings else "none"


def _tokenizer(mine, theirs):
    """What differs between two tokenizers, in words; how they cut and pad texts does not count."""
    mine, theirs = _parts(mine), _parts(theirs)
    ours, others = mine.pop("vocab"), theirs.pop("vocab")
    if ours != others:
        moved = sum(others.get(token) != number for token, number in ours.items())
        return f"{moved} of {len(ours)} tokens have another number or none, {len(others)} in all"
    return ", ".join(key for key in mine if mine[key] != theirs.get(key))


def _parts(content):
    """A tokenizer's content by part; tokens as {token: number} in every format."""
    content = content if isinstance(content, dict) else {}
    model = content.get("model") if isinstance(content.get("model"), dict) else {}
    vocab = model.get("vocab", {})
    if isinstance(vocab, list):  # unigrams: pairs of a token and its score, in the order of numbers
        vocab = {json.dumps(pair): number for number, pair in enumerate(vocab)}
    # Older files write a merge as one text, newer ones as two.
    merges = [" ".join(m) if isinstance(m, list) else m for m in model.get("merges") or []]
    added = [(t.get("id"), t.get("content")) for t in content.get("added_tokens") or []]
    return {
        "vocab": vocab,
        "merges": merges,
        "added tokens": added,
        **{key: content.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor")},
    }


COMPARE = dict.fromkeys(SETTINGS, _config) | {"tokenizer.json": _tokenizer}
