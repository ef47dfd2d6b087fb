"""Experiments whose rows are stored: settings in, rows out, a share of them computed again.

An `Experiment` says how one key, a frozen dataclass of all settings, becomes a row or a few. A
`Store` takes rows from its file, computes those that are missing, and computes a share of the
stored ones again: one that differs beyond its field's tolerance stops the run.
"""

import hashlib
import json
import math
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from mergebook.studies import unpack_answers
from mergehelpers.suites import write_atomically

MODES = ("stored", "full")
PACKED = re.compile(r"(\d+):([0-9a-f]*)")  # answers, as `studies.pack_answers` writes them


@dataclass(frozen=True)
class Tolerance:
    """How far two values of a field may be apart: `absolute` plus `relative` times the larger.

    For packed answers `absolute` is the share that may differ. Numbers of a list are compared one
    by one, relative to the largest of the list.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def accepts(self, a: Any, b: Any) -> bool:
        """Whether two values count as the same result."""
        if _is_packed(a) and _is_packed(b):
            x, y = (unpack_answers({"": text})[""] for text in (a, b))
            return a == b or len(x) == len(y) and bool(np.mean(x != y) <= self.absolute)
        if isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            if not all(map(_is_number, (*a, *b))):
                return all(self.accepts(x, y) for x, y in zip(a, b))
            scale = max((abs(v) for v in (*a, *b) if math.isfinite(v)), default=0.0)
            return all(self._near(x, y, scale) for x, y in zip(a, b))
        if not _is_number(a) or not _is_number(b):
            return type(a) is type(b) and a == b
        return self._near(a, b, max(abs(a), abs(b)))

    def _near(self, a, b, scale):
        if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
            return a == b or (math.isnan(a) and math.isnan(b))
        return abs(a - b) <= self.absolute + self.relative * scale


def _is_packed(value):
    """Whether a value is packed answers, with as many digits as its count of inputs needs."""
    found = PACKED.fullmatch(value) if isinstance(value, str) else None
    return bool(found) and len(found[2]) == 2 * math.ceil(int(found[1]) / 8)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Experiment:
    """`compute(key, **context)` returns one row, `{field: value}`, or a list of rows.

    `key` is a frozen dataclass that names all that a row depends on: fingerprints of models,
    settings, seeds. `version` changes with the code that computes. `tolerance` has an entry for
    every field. Values are numbers, texts, packed answers, or lists of these.
    """

    name: str
    version: int
    key: type
    compute: Callable[..., dict | list[dict]]
    tolerance: Mapping[str, Tolerance] = field(hash=False)

    def __post_init__(self):
        is_kind = isinstance(self.key, type) and is_dataclass(self.key)
        if not (is_kind and self.key.__dataclass_params__.frozen):
            raise ValueError(f"the key of {self.name} is {self.key!r}; give a frozen dataclass")
        if both := {f.name for f in fields(self.key)} & self.tolerance.keys():
            raise ValueError(f"{self.name}: {sorted(both)} stand in the key and in the tolerances")

    @property
    def file(self) -> str:
        """The name of the file of its stored rows, without ending."""
        return self.name.replace(" ", "-")

    def label(self, key) -> str:
        """The text that rows are stored under; raises `ValueError` for another kind of key."""
        if not isinstance(key, self.key):
            raise ValueError(f"{self.name} takes keys of {self.key.__name__}, got {key!r}")
        return json.dumps(asdict(key), sort_keys=True)

    def rows(self, key, context: Mapping[str, Any]) -> list[dict]:
        """The rows of one key, computed now, as JSON would hold them."""
        out = self.compute(key, **context)
        out = json.loads(json.dumps([out] if isinstance(out, dict) else list(out)))
        for row in out:
            if row.keys() != self.tolerance.keys():
                odd = sorted(row.keys() ^ self.tolerance.keys())
                raise ValueError(f"{self.name}: {odd} stand in the row or in the tolerances only")
        return out

    def objections(self, stored: list[dict], computed: list[dict]) -> list[str]:
        """In words, each field in which two results of one key differ beyond its tolerance."""
        if len(stored) != len(computed):
            return [f"{len(stored)} rows are stored, {len(computed)} were computed"]
        found = []
        for number, (old, new) in enumerate(zip(stored, computed)):
            if old.keys() != self.tolerance.keys():
                found.append(f"row {number} has the fields {', '.join(old)}")
                continue
            found += [
                f"row {number}, {name}: stored {_short(old[name])}, computed {_short(new[name])}"
                for name, tolerance in self.tolerance.items()
                if not tolerance.accepts(old[name], new[name])
            ]
        return found


def _short(value):
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


class Store:
    """Rows of experiments, from files of `folder` or computed by `workers` processes.

    `mode` is `stored`, or `full`: nothing is taken from files. Of an experiment's stored keys the
    share `recheck`, and at least one of an experiment unless it is 0, is computed again; which
    ones, `seed` decides.
    Computed rows go to journals in the folder `journals` at once, if one is given, and a run that
    was interrupted goes on from there.
    """

    def __init__(
        self,
        folder: Path | str,
        mode: str = "stored",
        recheck: float = 0.0,
        seed: int = 0,
        workers: int = 1,
        journals: Path | str | None = None,
    ):
        if mode not in MODES:
            raise ValueError(f"study is {mode!r}; allowed: {', '.join(MODES)}")
        self.folder, self.mode, self.recheck, self.seed = Path(folder), mode, recheck, seed
        self.workers, self.journals = workers, Path(journals) if journals else None
        self.rows: dict[Experiment, dict[str, list[dict]]] = {}
        self.computed = self.rechecked = 0
        self.asked: dict[Experiment, set[str]] = {}  # stored keys that tables have asked for
        self.checked: dict[Experiment, set[str]] = {}  # those of them that were computed again

    def table(self, experiment: Experiment, keys: Iterable, **context) -> pd.DataFrame:
        """One tidy table: a row of each key after the other, the key's fields as first columns.

        `context` is what `compute` needs and no result depends on: a path, a device. Raises
        `ValueError` for a file of another version, and if a row differs from the one computed
        again.
        """
        labels = {experiment.label(key): key for key in keys}
        path, journal = self.folder / f"{experiment.file}.json", self._journal(experiment)
        stored = _read(path, experiment) if self.mode == "stored" and path.is_file() else {}
        known = {label: rows for label, rows in stored.items() if label in labels}
        left = _read_journal(journal, experiment) if journal and journal.is_file() else {}
        here = self.rows.setdefault(experiment, {})
        here |= {label: left[label] for label in labels if label in left} | known
        missing = [label for label in labels if label not in here]
        chosen = self._drawn(experiment, known) + missing
        for label, rows in self._compute(experiment, labels, chosen, context):
            if label in known:
                self.rechecked += 1
                if objections := experiment.objections(known[label], rows):
                    raise ValueError(
                        f"{path.name}: a stored row differs from this run; with -p study full"
                        f" all rows are your own. {label}: {'; '.join(objections)}"
                    )
            else:
                self.computed += 1
                here[label] = rows
                if journal:
                    journal.parent.mkdir(parents=True, exist_ok=True)
                    with open(journal, "a", encoding="utf-8") as file:
                        file.write(json.dumps([experiment.version, label, rows]) + "\n")
        names = [f.name for f in fields(experiment.key)]
        tidy = [asdict(key) | row for label, key in labels.items() for row in here[label]]
        return pd.DataFrame(tidy, columns=[*names, *experiment.tolerance])

    def everything(self, experiment: Experiment) -> pd.DataFrame:
        """All stored rows of an experiment, as `table` gives them; nothing is computed again."""
        rows = _read(self.folder / f"{experiment.file}.json", experiment)
        tidy = [json.loads(label) | row for label, of_one in rows.items() for row in of_one]
        names = [f.name for f in fields(experiment.key)]
        return pd.DataFrame(tidy, columns=[*names, *experiment.tolerance])

    def _journal(self, experiment):
        return self.journals and self.journals / f"{experiment.file}.jsonl"

    def _drawn(self, experiment: Experiment, labels: Iterable[str]) -> list[str]:
        """The stored keys to compute again: the first by a hash of seed and key.

        What earlier tables of the experiment had computed again counts towards the share.
        """
        asked = self.asked.setdefault(experiment, set())
        checked = self.checked.setdefault(experiment, set())
        asked |= set(labels)
        wanted = math.ceil(self.recheck * len(asked)) - len(checked)
        order = sorted(
            set(labels) - checked,
            key=lambda label: hashlib.sha256(f"{self.seed} {label}".encode()).digest(),
        )
        drawn = order[: max(0, wanted)]
        checked |= set(drawn)
        return drawn

    def _compute(self, experiment, labels, chosen, context):
        """`(label, rows)` of the chosen keys, as they are done, in any order."""
        import joblib  # here, for most pages compute nothing

        work = (joblib.delayed(_one)(experiment, label, labels[label], context) for label in chosen)
        # Processes of one thread: those that share the cores would wait for each other's threads.
        with joblib.parallel_config("loky", inner_max_num_threads=1 if self.workers > 1 else None):
            parallel = joblib.Parallel(n_jobs=self.workers, return_as="generator_unordered")
        yield from tqdm(
            parallel(work), experiment.name, len(chosen), False, unit="row", disable=None
        )

    def save(self, folder: Path | str, command: str) -> None:
        """Write the rows of this run, a file an experiment, a key a line; or nothing of a file."""
        for experiment, rows in self.rows.items():
            head = {
                "experiment": experiment.name,
                "version": experiment.version,
                "command": command,
                "torch": version("torch"),
                "transformers": version("transformers"),
                "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            }
            lines = ",\n".join(
                f"{json.dumps(label)}: {json.dumps(rows[label])}" for label in sorted(rows)
            )
            text = json.dumps(head)[:-1] + f',\n"rows": {{\n{lines}\n}}}}\n'
            write_atomically(Path(folder) / f"{experiment.file}.json", text.encode())
            if journal := self._journal(experiment):
                journal.unlink(missing_ok=True)


def _one(experiment, label, key, context):
    return label, experiment.rows(key, context)


def _read(path, experiment):
    """The rows of a file; raises `ValueError` for one of another version, or that is no study."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, found = content["rows"], content["version"]
        if not isinstance(rows, dict) or not all(
            isinstance(row, dict) for of_one in rows.values() for row in of_one
        ):
            raise TypeError("its rows are no tables")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a stored study: {error!r}") from error
    if found != experiment.version:
        raise ValueError(
            f"{path} holds rows of {experiment.name}, version {found}; this code computes version"
            f" {experiment.version}: run with -p study full and store its rows"
        )
    for label, of_one in rows.items():
        for row in of_one:
            if odd := sorted(row.keys() ^ experiment.tolerance.keys()):
                raise ValueError(
                    f"{path}: {odd} stand in a stored row or in the tolerances only: {label}"
                )
    return rows


def _read_journal(path, experiment):
    """The rows of an interrupted run of this version of the experiment.

    A line without its end was being written when the run stopped.
    """
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_atomically(path, whole.encode())
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
        return {label: rows for found, label, rows in lines if found == experiment.version}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the journal of a run: {error}; remove it") from error
