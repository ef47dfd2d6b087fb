"""Labelled inputs of a task, from the formats people have.

Those are npz, CSV, folders of images, and Hugging Face data sets. Inputs are an array of images, a
list of texts, or `Items`, which open files only when asked.
"""

import csv
import gzip
import io
import operator
import string
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mergehelpers import checkpoints

SPLITS = ("train", "val", "test", "unlabelled")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
HELD_OUT = {"val": 500, "unlabelled": 256}


class Items:
    """A sequence that fetches its members when they are indexed.

    `fetch(indices)` gives them as a list.
    """

    def __init__(self, fetch: Callable[[list[int]], list], indices: Sequence[int]):
        self._fetch, self._indices = fetch, list(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, where):
        if isinstance(where, slice):
            return self._fetch(self._indices[where])
        return self._fetch([self._indices[where]])[0]

    def take(self, indices: Sequence[int]) -> "Items":
        return Items(self._fetch, [self._indices[i] for i in indices])


def take(inputs, indices: Sequence[int]):
    """The chosen members of an array, a list or `Items`, as the same kind of thing."""
    if isinstance(inputs, Items):
        return inputs.take(indices)
    if isinstance(inputs, np.ndarray):
        return inputs[np.asarray(indices, int)]
    return [inputs[i] for i in indices]


def read_splits(
    source: str, classes: Sequence[str], spec: dict
) -> dict[str, tuple[object, Tensor]]:
    """`{split: (inputs, labels)}` of one task.

    `source` is a `.npz` (arrays `train_inputs`, `train_labels`, …), a `.csv` or `.csv.gz` (columns
    `split`, `label`, and `text` or `image`), a folder `split/class/image.png`, or `hub:owner/name`.
    `spec` may give `input` and `label` (column names), `prompt` (a text made of several columns, as
    `"{question} {sentence}"`), `config`, and `splits` (our split: theirs). A missing `val` or
    `unlabelled` is cut from `train`. Raises `FileNotFoundError`, or `ValueError` that names the
    file.
    """
    if source.startswith("hub:"):
        splits = _hub(source.removeprefix("hub:"), spec)
    elif not Path(source).exists():
        raise FileNotFoundError(f"no data at {source}")
    elif Path(source).is_dir():
        splits = _image_folder(Path(source), classes)
    elif source.endswith(".npz"):
        splits = _npz(Path(source))
    elif source.endswith((".csv", ".csv.gz")):
        splits = _csv(Path(source), spec)
    else:
        raise ValueError(
            f"{source} is not a data format; "
            "allowed: .npz, .csv, .csv.gz, a folder of images, hub:owner/name"
        )
    theirs, found = spec.get("splits", {}), ", ".join(splits) or "none"
    splits = {
        ours: splits[theirs.get(ours, ours)] for ours in SPLITS if theirs.get(ours, ours) in splits
    }
    if "test" not in splits or not len(splits["test"][1]):
        raise ValueError(f"{source} has no test split, or an empty one; its splits: {found}")
    splits = {
        name: (inputs, _indices(labels, classes, f"{source}, {name}"))
        for name, (inputs, labels) in splits.items()
    }
    return _held_out(splits)


def _indices(labels, classes, where):
    """Labels as class indices; names are looked up in `classes`."""
    labels = list(labels)
    number = {name: i for i, name in enumerate(classes)}
    if labels and all(isinstance(label, str) for label in labels) and set(labels) <= number.keys():
        return torch.tensor([number[label] for label in labels])
    try:
        whole = [
            int(label) if isinstance(label, str) else operator.index(label) for label in labels
        ]
        out = torch.tensor(whole, dtype=torch.int64)
    except (ValueError, TypeError):
        unknown = list(dict.fromkeys(repr(label) for label in labels if label not in classes))[:3]
        known = ", ".join([*classes[:5], "…"][: len(classes)])
        raise ValueError(
            f"{where}: the labels {', '.join(unknown)} are neither whole numbers nor among the "
            f"{len(classes)} classes {known}"
        ) from None
    if len(out) and not (0 <= out.min() and out.max() < len(classes)):
        raise ValueError(
            f"{where}: labels run from {out.min()} to {out.max()}, "
            f"but there are {len(classes)} classes"
        )
    return out


def _held_out(splits):
    """Cut what is missing of val and unlabelled from train.

    The shuffle is fixed; each takes at most a fifth of train.
    """
    if "train" in splits and not splits.keys() >= set(HELD_OUT):
        inputs, labels = splits["train"]
        order = np.random.default_rng(0).permutation(len(labels)).tolist()
        for name, most in HELD_OUT.items():
            if name not in splits:
                cut, order = (
                    order[: min(most, len(labels) // 5)],
                    order[min(most, len(labels) // 5) :],
                )
                splits[name] = (take(inputs, cut), labels[cut])
        splits["train"] = (take(inputs, order), labels[order])
    return splits


def _npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a readable .npz of plain arrays: {error}") from error
    names = [name.removesuffix("_inputs") for name in arrays if name.endswith("_inputs")]
    if missing := [name for name in names if f"{name}_labels" not in arrays]:
        raise ValueError(f"{path}: no array {missing[0]}_labels beside {missing[0]}_inputs")
    splits = {name: (arrays[f"{name}_inputs"], arrays[f"{name}_labels"].tolist()) for name in names}
    for name, (inputs, labels) in splits.items():
        if len(inputs) != len(labels):
            raise ValueError(
                f"{path}: {len(inputs)} {name}_inputs, but {len(labels)} {name}_labels"
            )
    return splits


def _csv(path, spec):
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a readable CSV file in UTF-8: {error}") from error
    columns = list(rows[0]) if rows else []
    column = spec.get("input") or ("image" if "image" in columns else "text")
    label = spec.get("label", "label")
    if missing := [name for name in ("split", label, column) if name not in columns]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(columns) or 'no rows'}"
        )
    if short := [row for row in rows if None in (row["split"], row[label], row[column])]:
        raise ValueError(
            f"{path} has a row with fewer columns than its header: {list(short[0].values())}"
        )
    out = {}
    for name in dict.fromkeys(row["split"] for row in rows):
        chosen = [row for row in rows if row["split"] == name]
        inputs = [row[column] for row in chosen]
        if inputs[0].lower().endswith(PICTURES):
            inputs = _pictures([path.parent / entry for entry in inputs])
        out[name] = (inputs, [row[label] for row in chosen])
    return out


def _image_folder(folder, classes):
    out = {}
    for split in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(p for p in split.glob("*/*") if p.suffix.lower() in PICTURES)
        if unknown := sorted({p.parent.name for p in files} - set(classes)):
            raise ValueError(
                f"{split}: the folder {unknown[0]!r} is not one of the classes {', '.join(classes)}"
            )
        if files:
            out[split.name] = (_pictures(files), [p.parent.name for p in files])
    return out


def _pictures(files):
    from PIL import Image

    if missing := [file for file in files if not file.is_file()]:
        raise FileNotFoundError(f"no image at {missing[0]}")

    def fetch(indices):
        out = []
        for i in indices:
            with Image.open(files[i]) as image:
                out.append(image.convert("RGB"))
        return out

    return Items(fetch, range(len(files)))


def hub_package():
    """The package `datasets`; raises `ImportError` that says how to get it."""
    try:
        import datasets
    except ImportError:
        raise ImportError(
            "data from the Hugging Face Hub need the package datasets: pip install datasets"
        ) from None
    return datasets


def _hub(name, spec):
    datasets = hub_package()
    id, _, revision = (name, "", "") if Path(name).exists() else name.partition("@")
    with checkpoints.hub_errors(name):
        try:
            loaded = datasets.load_dataset(id, spec.get("config"), revision=revision or None)
        except datasets.exceptions.DatasetGenerationError as error:
            raise ValueError(error.__cause__ or error) from error
    theirs = spec.get("splits", {})
    out = {}
    for split in {theirs.get(ours, ours) for ours in SPLITS} & set(loaded):
        data = loaded[split]
        column = spec.get("input") or ("image" if "image" in data.column_names else "text")
        prompt, label = spec.get("prompt", ""), spec.get("label", "label")
        needed = (
            [name for _, name, _, _ in string.Formatter().parse(prompt) if name]
            if prompt
            else [column]
        )
        if missing := [name for name in (*needed, label) if name not in data.column_names]:
            raise ValueError(
                f"{name} has no column {missing[0]!r}; it has {', '.join(data.column_names)}"
            )

        def fetch(indices, data=data, column=column, prompt=prompt, needed=needed):
            rows = data[indices]
            if not prompt:
                return list(rows[column])
            return [
                prompt.format(**{name: rows[name][i] for name in needed})
                for i in range(len(indices))
            ]

        out[split] = (Items(fetch, range(len(data))), data[label])
    return out
