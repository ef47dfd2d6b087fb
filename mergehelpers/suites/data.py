"""Labelled inputs of a task: splits by their names, labels as class indices, what is held out.

`readers` reads the formats that people have.
"""

import operator
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mergehelpers import checkpoints
from mergehelpers.suites import readers
from mergehelpers.suites.readers import UNKNOWN, Items

SPLITS = ("train", "val", "test", "unlabelled")
OTHER_NAMES = {"val": "validation", "unlabelled": "unlabeled"}
HELD_OUT = {"val": 500, "unlabelled": 256}


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
    `"{question} {sentence}"`), `config`, and `splits` (our split: theirs). A `validation` is taken
    for `val`; a missing `val` or `unlabelled` is cut from `train`. Only `unlabelled` may lack
    labels (none, an empty text, or -1), which are then -1. Raises `FileNotFoundError`, or
    `ValueError` that names the file.
    """
    given = spec.get("splits", {})
    may_lack = {given.get("unlabelled", "unlabelled"), OTHER_NAMES["unlabelled"]}
    splits = _read(source, classes, spec, may_lack)
    found, theirs = ", ".join(splits) or "none", _their_names(source, splits, given)
    splits = {ours: splits[name] for ours, name in theirs.items() if name in splits}
    if "test" not in splits or not len(splits["test"][1]):
        raise ValueError(f"{source} has no test split, or an empty one; its splits: {found}")
    splits = {
        name: (inputs, _indices(labels, classes, f"{source}, {name}", name == "unlabelled"))
        for name, (inputs, labels) in splits.items()
    }
    return _held_out(splits)


def _read(source, classes, spec, may_lack):
    """The splits of a source by their names there; those that `may_lack` labels need none."""
    if source.startswith("hub:"):
        wanted = {*SPLITS, *OTHER_NAMES.values(), *spec.get("splits", {}).values()}
        return readers.from_hub(source.removeprefix("hub:"), spec, wanted, may_lack)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no data at {source}")
    if path.is_dir():
        return readers.from_folder(path, classes, may_lack)
    checkpoints.check_first_bytes(path)
    if source.endswith(".npz"):
        return readers.from_npz(path, may_lack)
    if source.endswith((".csv", ".csv.gz")):
        return readers.from_csv(path, spec)
    raise ValueError(
        f"{source} is not a data format; "
        "allowed: .npz, .csv, .csv.gz, a folder of images, hub:owner/name"
    )


def _their_names(source, splits, given):
    """{our split: theirs}. Raises `ValueError` for a name that is nearly one of ours.

    Its rows would be left out without a word.
    """
    theirs = {ours: ours for ours in SPLITS} | given
    for ours, other in OTHER_NAMES.items():
        if ours not in given and other in splits.keys() - given.values():
            if ours in splits:
                raise ValueError(f"{source} has the splits {ours} and {other}; choose by `splits`")
            theirs[ours] = other
    for name in splits:
        near = name.strip().lower()
        if near in SPLITS and name not in (*SPLITS, *theirs.values()):
            raise ValueError(f"{source} has a split {name!r}; is it {near!r}?")
    return theirs


def _indices(labels, classes, where, may_lack=False):
    """Labels as class indices; names are looked up in `classes`.

    Where they `may_lack`, a label that is nothing, empty or -1 is `UNKNOWN`.
    """
    labels, number = list(labels), {name: i for i, name in enumerate(classes)}
    known = [
        i for i, label in enumerate(labels) if not (may_lack and label in (None, "", -1, "-1"))
    ]
    given = [labels[i] for i in known]
    if given and all(isinstance(label, str) for label in given) and set(given) <= number.keys():
        whole = [number[label] for label in given]
    else:
        whole = _whole(given, classes, where)
    out = np.full(len(labels), UNKNOWN)
    out[known] = whole
    return torch.from_numpy(out)


def _whole(labels, classes, where):
    """Labels that are whole numbers, as texts or not, in the range of the classes."""
    try:
        whole = [
            _number(label) if isinstance(label, str) else operator.index(label) for label in labels
        ]
    except (ValueError, TypeError):
        unknown = list(dict.fromkeys(repr(label) for label in labels if label not in classes))[:3]
        known = ", ".join([*classes[:5], "…"][: len(classes)])
        raise ValueError(
            f"{where}: the labels {', '.join(unknown)} are neither whole numbers nor among the "
            f"{len(classes)} classes {known}"
        ) from None
    if whole and not (0 <= min(whole) and max(whole) < len(classes)):
        raise ValueError(
            f"{where}: labels run from {min(whole)} to {max(whole)}, "
            f"but there are {len(classes)} classes"
        )
    return whole


def _number(text):
    """A text as a whole number; Python would read 1_0 as 10."""
    if not re.fullmatch(r"\s*[+-]?\d+\s*", text):
        raise ValueError(text)
    return int(text)


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
