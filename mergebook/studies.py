"""Studies: results that take longer than a page may run.

A study is a table of rows, each with a key that names all it depends on. A chapter asks for a row
and says how to compute it. A row stored in `book/studies/` is taken from there, except that a share
of them, drawn by the chapter's seed, is computed again and compared; a row that is not stored is
computed. So a stored table can be checked by anyone, and other parameters or another suite just
take longer.
"""

import hashlib
import json
import math
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

MODES = ("stored", "full")


def fingerprint(states: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Eight hexadecimal digits that change with any weight of any of these models."""
    digest = hashlib.sha256()
    for name, state in states.items():
        for key, value in state.items():
            digest.update(f"{name}/{key}".encode())
            digest.update(
                value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
            )
    return digest.hexdigest()[:8]


class Study:
    """Rows by key, from `path` or computed; in mode `full` nothing is taken from `path`.

    `recheck` is the share of stored rows that are computed again; which ones, `seed` decides. How
    far a row is from the stored one, `difference` says. Progress shows on a terminal. Computed rows
    go to the file `journal` at once, if one is given, and a study that was interrupted takes them
    from there; `save` removes it.
    """

    def __init__(
        self,
        path: Path | str,
        mode: str = "stored",
        recheck: float = 0.0,
        seed: int = 0,
        journal: Path | str | None = None,
    ):
        if mode not in MODES:
            raise ValueError(f"study is {mode!r}; allowed: {', '.join(MODES)}")
        self.path, self.recheck, self.seed = Path(path), recheck, seed
        self.stored = {}
        if mode == "stored" and self.path.is_file():
            try:
                self.stored = json.loads(self.path.read_text(encoding="utf-8"))["rows"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{self.path} is not a stored study: {error}") from error
            if not isinstance(self.stored, dict):
                raise ValueError(f"{self.path} is not a stored study: its rows are no table")
        self.rows, self.computed, self.compared = {}, 0, {}
        self.journal, self.left = Path(journal) if journal else None, {}
        if self.journal and self.journal.is_file():
            # A line without its end was being written when the study was interrupted.
            lines = self.journal.read_text(encoding="utf-8").splitlines(keepends=True)
            self.left = dict(json.loads(line) for line in lines if line.endswith("\n"))
            self.journal.write_text(
                "".join(line for line in lines if line.endswith("\n")), encoding="utf-8"
            )
        self.bar = tqdm(desc=self.path.stem, unit="row", disable=None)

    def row(self, key: str, compute: Callable[[], object]):
        """The value of a row: numbers, packed answers, and lists and dicts of them."""
        if key in self.rows:
            return self.rows[key]
        if key in self.left:
            self.rows[key] = self.left[key]
            return self.rows[key]
        if key not in self.stored:
            self.rows[key] = json.loads(json.dumps(compute()))
            self.computed += 1
            self._note(key)
            self.bar.update()
        else:
            self.rows[key] = self.stored[key]
            if self._drawn(key):
                self.compared[key] = difference(self.stored[key], json.loads(json.dumps(compute())))
                self.bar.update()
        return self.rows[key]

    def _note(self, key):
        if self.journal:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            with open(self.journal, "a", encoding="utf-8") as file:
                file.write(json.dumps([key, self.rows[key]]) + "\n")

    def _drawn(self, key):
        return (
            int(hashlib.sha256(f"{self.seed} {key}".encode()).hexdigest()[:8], 16)
            < self.recheck * 2**32
        )

    def save(self, path: Path | str, command: str) -> None:
        """Write all rows of this run, one a line, with where they come from; or nothing."""
        provenance = {
            "command": command,
            "torch": version("torch"),
            "transformers": version("transformers"),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        }
        lines = ",\n".join(
            f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(self.rows.items())
        )
        temporary = Path(path).with_suffix(".part")
        try:
            temporary.write_text(
                f'{{"provenance": {json.dumps(provenance)},\n"rows": {{\n{lines}\n}}}}\n',
                encoding="utf-8",
            )
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if self.journal:
            self.journal.unlink(missing_ok=True)


def pack_answers(answers: Mapping[str, Tensor]) -> dict[str, str]:
    """Right or wrong for every input of a task, as hexadecimal text after the number of inputs."""
    return {
        task: f"{len(right)}:{np.packbits(right.cpu().numpy().astype(bool)).tobytes().hex()}"
        for task, right in answers.items()
    }


def unpack_answers(packed: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The boolean arrays that `pack_answers` was given."""
    out = {}
    for task, text in packed.items():
        count, digits = text.split(":")
        out[task] = np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))[
            : int(count)
        ].astype(bool)
    return out


def difference(a, b) -> float:
    """How far two values of a row are apart.

    The largest relative difference of numbers, or the largest share of differing answers.

    The numbers of a list are compared relative to the largest of them, so that a list may hold
    numbers near zero.
    """
    if isinstance(a, dict):
        return (
            max((difference(a[key], b[key]) for key in a), default=0.0)
            if a.keys() == b.keys()
            else float("inf")
        )
    if isinstance(a, list):
        if len(a) != len(b):
            return float("inf")
        if a and all(isinstance(x, (int, float)) and math.isfinite(x) for x in (*a, *b)):
            return max(abs(x - y) for x, y in zip(a, b)) / max(*map(abs, (*a, *b)), 1e-12)
        return max((difference(x, y) for x, y in zip(a, b)), default=0.0)
    if isinstance(a, str):
        x, y = unpack_answers({"": a})[""], unpack_answers({"": b})[""]
        return float((x != y).sum() / max(len(x), 1)) if len(x) == len(y) else float("inf")
    apart = abs(a - b) / max(abs(a), abs(b), 1e-12)
    return 0.0 if a == b or (a != a and b != b) else apart if math.isfinite(apart) else float("inf")
