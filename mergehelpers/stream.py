"""Merging from files to files, tensor by tensor, into a folder that Hugging Face tools read.

`specs.read_spec` gives the job. The models are mapped into memory, the output is written as it is
made, and a record of what went in (`merge.json`) lies beside it. `python -m mergehelpers merge` is
the command for it.
"""

import json
import os
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

import mergehelpers
from mergehelpers import beside, checkpoints, shards
from mergehelpers.jobs import Job
from mergehelpers.merge.arithmetic import counting
from mergehelpers.specs import expanded, is_folder
from mergehelpers.suites import sha256

RECORD = "merge.json"


def place(out: str | Path) -> Path:
    """The folder to work in until `out` is complete, `out.part`.

    Raises `FileExistsError` if there is one of the two, `FileNotFoundError` if there is no folder
    to make them in, `ValueError` if `out` names none.
    """
    out = expanded(out)
    if not out.name or out.name == "..":
        raise ValueError(f"out is {str(out)!r}; give the name of a folder to be made")
    part = out.with_name(f"{out.name}.part")
    for folder in (out, part):
        if os.path.lexists(folder):
            raise FileExistsError(
                f"{folder} exists"
                + (
                    "; give the name of a folder to be made"
                    if folder == out
                    else ": another merge writes it, or was killed; then delete it"
                )
            )
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent} is no folder, so {out.name} cannot be made in it")
    if not os.access(out.parent, os.W_OK):
        raise PermissionError(f"{out.parent} cannot be written, so {out.name} cannot be made in it")
    return part


def check_room(job: Job, out: str | Path) -> None:
    """Raise `OSError` unless the disk of the new folder `out` has room for what is written."""
    parent = expanded(out).absolute().parent
    beside.check_space(parent, sum(shard.size for shard in job.shards))


@contextmanager
def _undisturbed():
    """Signals that end a merge wait meanwhile, so that a second Ctrl-C leaves nothing behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [n for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
    before = {n: signal.signal(getattr(signal, n), signal.SIG_IGN) for n in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def run(job: Job, out: str | Path) -> str:
    """Merge into the new folder `out`, with the record; say in a line what was made.

    What lies beside the first model's weights (config, tokenizer) goes there too. Everything goes
    to `out.part`, which is renamed at the end, or deleted if the work fails or is interrupted.
    Raises what `place` raises, and `ValueError` for values that are not finite.
    """
    part, first = place(out), job.sources[0]
    try:
        part.mkdir()
        check_room(job, part)
        with counting() as counts:
            shards.write(
                tqdm(
                    job.merged(),
                    "merge",
                    len(job.models[0]) + len(job.rest),
                    unit="tensor",
                    leave=False,
                    disable=None,
                ),
                job.shards,
                part,
            )
        if is_folder(first):
            beside.copy(first.files[0].parent, part)
        read = {checkpoints.recorded(s.name, f): f for s in job.sources for f in s.files}
        bar = tqdm(sorted(read.items()), "hash", unit="file", leave=False, disable=None)
        record = {
            "spec": job.spec,
            "sha256": {name: sha256(file) for name, file in bar},
            "merged": {shard.name: sha256(part / shard.name) for shard in job.shards},
            "mergehelpers": mergehelpers.__version__,
            "torch": torch.__version__,
        }
        (part / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(part, expanded(out))
    except FileExistsError:
        # Another merge to `out` began meanwhile, and what it writes is not ours to delete.
        raise
    except BaseException:
        with _undisturbed():
            shutil.rmtree(part, ignore_errors=True)
        raise
    size, digest = sum(shard.size for shard in job.shards), next(iter(record["merged"].values()))
    share = f"a trim kept {sum(counts) / job.changes():.1%} of the changes; " if counts else ""
    return (
        f"merged   {len(job.models[0]) + len(job.rest)} tensors, {size / 1e9:.2f} GB, into {out}; "
        f"{share}sha256 of {job.shards[0].name} {digest}"
    )
