"""A page at every combination of a grid of parameters, each run in a process of its own.

    grid.yml            python tools/book.py sweep --chapter 02d --grid grid.yml --output results
    seed: [0, 1, 2]
    budget: [12, 24]

All combinations are checked by the page's own check before the first run. The folder `results` then
has a folder a run, tables of all runs with the parameters as columns `p_seed`, …, the verdicts
of each run, and `index.html`. The same command goes on where it was interrupted. Runs are shared
out by joblib: to this machine's cores, or to a Dask cluster.
"""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from html import escape
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import nbformat
import pandas as pd
import yaml
from papermill import inspect_notebook
from tqdm import tqdm

from mergebook import ledger
from mergehelpers.suites import write_atomically

Parameters = dict[str, Any]
OWN = "output"  # the parameter that a sweep sets itself: a folder for each run
TRIES = 3  # of a run that no cell stopped: its kernel did not start, or was killed


class SweepError(ValueError):
    """A sweep that cannot begin; the message says what to change."""


# ------------------------------------------------------------------------------- before any run


def read_grid(path: Path, page: Path) -> list[Parameters]:
    """All combinations of a YAML file's lists, of parameters that the notebook `page` has.

    A value that is no list stands for itself; a parameter that is a list needs a list of lists.
    Raises `SweepError` for what is no grid, an unknown name, or a value given twice.
    """
    try:
        grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SweepError(f"the grid {path} cannot be read: {error}") from None
    if not isinstance(grid, dict) or not grid:
        raise SweepError(f"the grid {path} is no mapping of parameters to lists of values")
    known = [name for name in inspect_notebook(str(page)) if name != OWN]
    values = {}
    for name, given in grid.items():
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            own = " is set by the sweep" if name == OWN else f" is no parameter of {page.stem}"
            raise SweepError(f"{name}{own}{hint}; allowed: {', '.join(known)}")
        values[name] = given if isinstance(given, list) else [given]
        texts = [json.dumps(value, default=str) for value in values[name]]
        if not texts or len(set(texts)) < len(texts):
            what = "no value" if not texts else "a value twice"
            raise SweepError(f"the grid {path} gives {name} {what}")
    return [dict(zip(values, chosen)) for chosen in product(*values.values())]


def refused(page: str, combinations: Sequence[Parameters]) -> list[str]:
    """What the page's own check says of bad combinations, each message once.

    It runs the cell of parameters and the one behind it, in this process.
    """
    cells = nbformat.read(page, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    first = next(i for i, c in enumerate(code) if "parameters" in c.metadata.get("tags", []))
    said = {}
    for given in combinations:
        space = {"__name__": "__main__"}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code[first].source, space)
            space |= given
            try:
                exec(code[first + 1].source, space)
            except Exception as error:
                said[f"{type(error).__name__}: {error}"] = None
    return list(said)


def check(page: Path, combinations: Sequence[Parameters]) -> None:
    """Raise `SweepError` with all that the page refuses, before anything runs."""
    spawn = multiprocessing.get_context("spawn")  # a page's imports stay out of this process
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        said = pool.submit(refused, str(page), combinations).result()
    if said:
        raise SweepError(f"{page.stem} refuses the grid: " + "; ".join(said))


# ---------------------------------------------------------------------------------------- a run


@dataclass(frozen=True)
class Run:
    """One run: the notebook's text, its parameters, threads, and seconds until it is stopped.

    It lies in `folder`; without one, on another machine, its files are sent back.
    """

    source: str
    parameters: Parameters
    threads: int
    limit: float | None
    folder: str | None

    @property
    def name(self) -> str:
        """The run's folder: the same parameters of the same page have the same."""
        text = json.dumps(self.parameters, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def execute(run: Run) -> tuple[dict, dict[str, bytes]]:
    """Run it by papermill. Returns what came of it, and its files if it has no folder here."""
    if run.folder:
        return _execute(run, Path(run.folder)), {}
    with tempfile.TemporaryDirectory() as place:
        found = _execute(run, Path(place))
        files = [path for path in Path(place).rglob("*") if path.is_file()]
        return found, {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def _execute(run, folder):
    folder.mkdir(parents=True, exist_ok=True)
    page, target, given = (folder / n for n in ("page.ipynb", "run.ipynb", "parameters.yml"))
    page.write_text(run.source, encoding="utf-8")
    own = {OWN: str(folder / "tables")} if OWN in inspect_notebook(str(page)) else {}
    given.write_text(yaml.safe_dump(run.parameters | own), encoding="utf-8")
    command = [sys.executable, "-m", "papermill", page, target, "-f", given]
    started, error = time.monotonic(), ""
    for _ in range(TRIES):
        target.unlink(missing_ok=True)  # of an earlier try, whose error is not this one's
        try:
            done = subprocess.run(
                [*command, "--kernel", "python3", "--no-progress-bar"],
                env={"OMP_NUM_THREADS": str(run.threads)} | os.environ,
                timeout=run.limit,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except subprocess.TimeoutExpired:
            error = f"stopped after {run.limit:g} s"
            break
        error = "" if done.returncode == 0 else stopped_at(target)
        if done.returncode == 0 or error:
            break
        error = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
    for path in (page, given):
        path.unlink()
    seconds = round(time.monotonic() - started, 1)
    return {"state": "failed" if error else "done", "seconds": seconds, "error": error}


def stopped_at(notebook: Path) -> str:
    """The cell that stopped an executed notebook, and its error; empty if none did."""
    if not notebook.is_file():
        return ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"cell [{cell.execution_count}]: {output.ename}: {output.evalue}"
    return ""


# ------------------------------------------------------------------------------------- the sweep


def sweep(
    page: Path,
    grid: Path,
    output: Path,
    jobs: int = 0,
    scheduler: str = "",
    limit: float | None = None,
) -> list[dict]:
    """Run `page` at every combination of `grid`; returns what came of each run.

    `jobs` runs at a time, as many as there are cores for 0; `scheduler` is the address of a Dask
    scheduler, such as `tcp://host:8786`, whose workers take the runs instead. Runs of `output` that
    are done are kept. Raises `SweepError` for what cannot begin.
    """
    if jobs < 0:
        raise SweepError(f"jobs is {jobs}; allowed: 0 for one a core, or more")
    if limit is not None and not limit > 0:
        raise SweepError(f"limit is {limit:g}; allowed: above 0, in seconds")
    combinations = read_grid(grid, page)
    source = page.read_text(encoding="utf-8")
    check(page, combinations)
    _claim(output, page, source)
    cores = joblib.cpu_count()
    jobs = jobs or cores
    threads = max(1, cores // jobs)
    folder = output.resolve() / "runs"
    runs = [Run(source, given, threads, limit, None) for given in combinations]
    ready = [run for run in runs if _state(folder / run.name)["state"] == "done"]
    left = [run for run in runs if run not in ready]
    if not scheduler:
        left = [replace(run, folder=str(folder / run.name)) for run in left]
    with (
        _engine(jobs, scheduler) as parallel,
        tqdm(total=len(runs), initial=len(ready), desc=page.stem, unit="run") as bar,
    ):
        for run, found, files in parallel(joblib.delayed(_one)(run) for run in left):
            told = json.dumps(found | {"parameters": run.parameters}, indent=1, default=str)
            for name, content in (files | {"state.json": told.encode()}).items():
                place = folder / run.name / name
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(place, content)
            bar.update()
    return summarise(output, page, runs)


def _one(run):
    return run, *execute(run)


def _state(folder):
    try:
        return json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"state": "not run", "seconds": None, "error": ""}


def _claim(output, page, source):
    """Take a folder for this page, or see that it was taken for the same text of it."""
    mine = {"page": page.stem, "sha256": hashlib.sha256(source.encode()).hexdigest()}
    record = output / "sweep.json"
    if record.is_file():
        theirs = json.loads(record.read_text(encoding="utf-8"))
        if theirs != mine:
            raise SweepError(
                f"{output} has runs of another text of {theirs['page']}; choose another folder"
            )
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SweepError(f"{output} exists and is no folder of a sweep; choose another")
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(record, json.dumps(mine).encode())


@contextlib.contextmanager
def _engine(jobs: int, scheduler: str) -> Iterator[joblib.Parallel]:
    """joblib's own threads, each of which waits for a process; or the workers of a Dask cluster."""
    how = {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "all"}
    if not scheduler:
        yield joblib.Parallel(jobs, backend="threading", **how)
        return
    try:
        from distributed import Client
    except ImportError:
        raise SweepError("a scheduler needs dask: pip install 'mergehelpers[cluster]'") from None
    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise SweepError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        check_workers(client.run(versions), versions(), scheduler)
        with joblib.parallel_config("dask", client=client):
            yield joblib.Parallel(**how)


PACKAGES = ("mergehelpers", "torch", "transformers", "papermill")


def versions() -> dict[str, str]:
    """The versions that decide a run's numbers, on the machine that calls it."""
    return {name: version(name) for name in PACKAGES}


def check_workers(
    workers: Mapping[str, Mapping[str, str]], mine: Mapping[str, str], scheduler: str
) -> None:
    """Raise `SweepError` if there is no worker, or one with other versions than `mine`."""
    if not workers:
        raise SweepError(f"the scheduler at {scheduler} has no workers")
    for address, theirs in workers.items():
        if other := [f"{n} {theirs[n]} (here {mine[n]})" for n in mine if theirs[n] != mine[n]]:
            raise SweepError(f"the worker {address} has {', '.join(other)}")


# ------------------------------------------------------------------------------------ what came


def summarise(output: Path, page: Path, runs: Sequence[Run]) -> list[dict]:
    """Write tables of all runs that are done, their verdicts, and an index; returns the runs."""
    found, tables, verdicts = [], {}, []
    for run in runs:
        folder = output / "runs" / run.name
        state = _state(folder)
        columns = {"run": run.name} | {f"p_{n}": _plain(v) for n, v in run.parameters.items()}
        found.append(columns | {name: state[name] for name in ("state", "seconds", "error")})
        if state["state"] != "done":
            continue
        for path in sorted((folder / "tables").glob("*.csv")):
            table = pd.read_csv(path).assign(**columns)
            tables.setdefault(path.name, []).append(table)
        for record in ledger.records(folder / "run.ipynb"):
            verdicts.append(columns | {"claim": record["id"], "verdict": record["verdict"]})
    for name, parts in tables.items():
        _write(output / name, pd.concat(parts, ignore_index=True))
    if verdicts:
        _write(output / "verdicts.csv", pd.DataFrame(verdicts))
    _write(output / "runs.csv", pd.DataFrame(found))
    write_atomically(output / "index.html", index(page.stem, found).encode())
    return found


def _plain(value):
    return value if isinstance(value, (int, float, str)) else json.dumps(value, default=str)


def _write(path, table):
    write_atomically(path, table.to_csv(index=False).encode())


def index(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    """A page of HTML with a row a run: parameters, state, seconds, error, and its notebook."""
    heads = [*found[0], "notebook"]
    rows = []
    for row in found:
        link = f'<a href="runs/{row["run"]}/run.ipynb">run.ipynb</a>'
        cells = [escape("" if v is None else str(v)) for v in row.values()]
        rows.append([*cells, link if row["state"] != "not run" else ""])
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Sweep of {escape(name)}'
        f"</title><h1>Sweep of {escape(name)}</h1><table><thead><tr>"
        + "".join(f"<th>{escape(head)}</th>" for head in heads)
        + "</tr></thead><tbody>"
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</tbody></table></html>\n"
    )
