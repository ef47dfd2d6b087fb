"""Inputs and labels by split, from the formats people have: npz, CSV, folders of images, the Hub.

Inputs are an array of images, a list of texts, or `Items`, which open files only when asked. Each
reader gives {split: (inputs, labels)}, labels as they stand there, and raises `ValueError` that
names the file, and the line or image, for what would be misread without a word.
"""

import csv
import gzip
import io
import string
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from mergehelpers import checkpoints

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
OTHER_PICTURES = (".gif", ".tif", ".tiff", ".heic", ".avif")
UNKNOWN = -1  # the label of an unlabelled input


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


def from_npz(path: Path, may_lack: Collection[str]) -> Mapping:
    """Arrays `train_inputs`, `train_labels`, …; a split that `may_lack` labels needs none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # of any kind, where a library reads bytes that it did not write
        raise ValueError(f"{path} is not a readable .npz of plain arrays: {error}") from error
    names = [name.removesuffix("_inputs") for name in arrays if name.endswith("_inputs")]
    if not names:
        raise ValueError(f"{path} has no array test_inputs; it has {', '.join(arrays) or 'none'}")
    splits = {}
    for name in names:
        inputs, labels = arrays[f"{name}_inputs"], arrays.get(f"{name}_labels")
        if labels is None and name in may_lack:
            labels = np.full(inputs.shape[:1], UNKNOWN)
        if labels is None:
            raise ValueError(f"{path}: no array {name}_labels beside {name}_inputs")
        if not inputs.ndim or not labels.ndim:
            raise ValueError(f"{path}: {name}_inputs and {name}_labels must have a row an input")
        if len(inputs) != len(labels):
            raise ValueError(
                f"{path}: {len(inputs)} {name}_inputs, but {len(labels)} {name}_labels"
            )
        splits[name] = (_channels_last(inputs), labels.tolist())
    return splits


def _channels_last(inputs):
    """Images (n, channels, height, width), as PyTorch has them, as (n, height, width[, 3])."""
    if inputs.ndim == 4 and inputs.shape[3] not in (1, 3) and inputs.shape[1] in (1, 3):
        inputs = inputs.transpose(0, 2, 3, 1)
    return inputs[..., 0] if inputs.ndim == 4 and inputs.shape[3] == 1 else inputs


def from_csv(path: Path, spec: Mapping) -> Mapping:
    """A CSV file with the columns `split`, `label`, and `text` or `image`, or those of `spec`."""
    rows = _rows(path)
    columns = list(rows[0][1]) if rows else []
    column = spec.get("input") or ("image" if "image" in columns else "text")
    label = spec.get("label", "label")
    if missing := [name for name in ("split", label, column) if name not in columns]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(columns) or 'no rows'}"
        )
    for line, row in rows:
        if not row[column].strip():
            raise ValueError(f"{path}, line {line}: the {column} is empty")
        if column == "image" and not row[column].lower().endswith(PICTURES):
            raise ValueError(
                f"{path}, line {line}: {row[column]!r} is no image; allowed: {', '.join(PICTURES)}"
            )
    pictures = all(row[column].lower().endswith(PICTURES) for _, row in rows)
    out = {}
    for name in dict.fromkeys(row["split"] for _, row in rows):
        chosen = [row for _, row in rows if row["split"] == name]
        inputs = [row[column] for row in chosen]
        if pictures:
            inputs = _pictures([path.parent / entry for entry in inputs])
        out[name] = (inputs, [row[label] for row in chosen])
    return out


def _rows(path):
    """The rows of a CSV file with a header, as (line, {column: entry}).

    Raises `ValueError` for what would be misread without a word: rows that are longer or shorter
    than the header, columns of one name, quotes that do not close.
    """
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        if "\0" in text:
            raise csv.Error("it holds zero bytes")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader if row]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a readable CSV file in UTF-8: {error}") from error
    header = lines[0][1] if lines else []
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise ValueError(f"{path} has {Counter(header)[twice[0]]} columns called {twice[0]!r}")
    for line, row in lines[1:]:
        if len(row) != len(header):
            fewer = "fewer" if len(row) < len(header) else "more"
            raise ValueError(
                f"{path}, line {line}: a row with {fewer} columns than its header: {row}"
            )
    return [(line, dict(zip(header, row))) for line, row in lines[1:]]


def from_folder(folder: Path, classes: Sequence[str], may_lack: Collection[str]) -> Mapping:
    """Images `split/class/image.png`; in a split that `may_lack` labels, also `split/image.png`."""
    out = {}
    for split in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        files = sorted(p for p in split.rglob("*") if p.is_file() and p.name[0] != ".")
        if other := [p for p in files if p.suffix.lower() in OTHER_PICTURES]:
            raise ValueError(f"{other[0]} is no image that is read; allowed: {', '.join(PICTURES)}")
        files = [p for p in files if p.suffix.lower() in PICTURES]
        labels = [p.relative_to(split).parts[:-1] for p in files]
        for file, label in zip(files, labels):
            if len(label) > 1 or not label and split.name not in may_lack:
                raise ValueError(f"{file} must lie in a class's folder, {split}/class/image")
            if label and label[0] not in classes:
                known = ", ".join(classes)
                raise ValueError(
                    f"{split}: the folder {label[0]!r} is not one of the classes {known}"
                )
        if files:
            out[split.name] = (_pictures(files), ["".join(label) for label in labels])
    return out


def _pictures(files):
    if missing := [file for file in files if not file.is_file()]:
        raise FileNotFoundError(f"no image at {missing[0]}")
    return Items(lambda indices: [_picture(files[i]) for i in indices], range(len(files)))


def _picture(file):
    """An image in three channels. Raises `ValueError` for one that is damaged, or has 16 bits."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            # Pillow would cut values above 255 off.
            if image.mode.startswith(("I", "F")):
                raise ValueError("it has more than 8 bits a channel")
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except Exception as error:  # of any kind, where a library reads bytes that it did not write
        raise ValueError(f"{file} is not a readable image: {error}") from error


def hub_package():
    """The package `datasets`; raises `ImportError` that says how to get it."""
    try:
        import datasets
    except ImportError:
        raise ImportError(
            "data from the Hugging Face Hub need the package datasets: pip install datasets"
        ) from None
    return datasets


def from_hub(
    name: str, spec: Mapping, wanted: Collection[str], may_lack: Collection[str]
) -> Mapping:
    """The `wanted` splits of a data set on the Hub (`owner/name@revision`), or of a local copy."""
    datasets = hub_package()
    id, _, revision = (name, "", "") if Path(name).exists() else name.partition("@")
    with checkpoints.hub_errors(name):
        try:
            loaded = datasets.load_dataset(id, spec.get("config"), revision=revision or None)
        except datasets.exceptions.DatasetGenerationError as error:
            raise ValueError(error.__cause__ or error) from error
    out = {}
    for split in [split for split in loaded if split in wanted]:
        data = loaded[split]
        column = spec.get("input") or ("image" if "image" in data.column_names else "text")
        prompt, label = spec.get("prompt", ""), spec.get("label", "label")
        needed = (
            [name for _, name, _, _ in string.Formatter().parse(prompt) if name]
            if prompt
            else [column]
        )
        lacks_labels = label not in data.column_names and split in may_lack
        columns = needed if lacks_labels else [*needed, label]
        if missing := [name for name in columns if name not in data.column_names]:
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

        labels = [UNKNOWN] * len(data) if lacks_labels else data[label]
        out[split] = (Items(fetch, range(len(data))), labels)
    return out
