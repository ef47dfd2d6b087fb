"""Sweeps: grids that are refused before any run, runs in processes of their own, their tables."""

import json
import signal
import subprocess
import sys
import threading
import time

import distributed
import nbformat
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from mergebook import ledger, sweep
from mergebook.sweep import SweepError

CHECK = """
if word not in ("a", "b"):
    raise ValueError(f"word is {word!r}; allowed: a, b")
if seed > size:
    raise ValueError(f"seed is {seed}; allowed: at most size, here {size}")
"""
WORK = """
from pathlib import Path
if word == "b" and seed == 1:
    1 / 0
if output:
    Path(output).mkdir(parents=True)
    Path(output, "tiny-sums.csv").write_text(f"size,sum\\n{size},{seed + size}\\n")
"""
CARD = f"""
from IPython.display import display

display({{"{ledger.MIME}": {{"id": "tiny", "verdict": "holds" if seed else "fails"}}}}, raw=True)
"""


@pytest.fixture
def page(tmp_path):
    """A page that adds its seed to its size, and stops in its third cell for one combination."""
    parameters = (
        'seed: int = 0  # Seed\nsize: int = 5  # Size\nword: str = "a"  # Word\noutput = ""'
    )
    cells = [
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, (CHECK, WORK, CARD)),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = tmp_path / "02z-tiny.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def grid(tmp_path):
    def make(text):
        path = tmp_path / "grid.yml"
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return path

    return make


def test_every_combination(page, grid):
    combinations = sweep.read_grid(grid({"seed": [0, 1], "size": 7, "word": ["a", "b"]}), page)
    assert len(combinations) == 4 and {c["size"] for c in combinations} == {7}
    assert {(c["seed"], c["word"]) for c in combinations} == {
        (0, "a"), (0, "b"), (1, "a"), (1, "b")
    }  # fmt: skip


@pytest.mark.parametrize(
    "given, message",
    [
        ({"sede": [1]}, r"sede is no parameter of 02z-tiny \(did you mean seed\?\); allowed: seed"),
        ({"output": ["x"]}, "output is set by the sweep; allowed: seed, size, word"),
        ({"seed": []}, "gives seed no value"),
        ({"seed": [1, 2, 1]}, "gives seed a value twice"),
        ("- seed", "no mapping of parameters"),
        ("", "no mapping of parameters"),
        ("seed: [1", "cannot be read"),
    ],
)
def test_a_bad_grid_is_refused(page, grid, given, message):
    with pytest.raises(SweepError, match=message):
        sweep.read_grid(grid(given), page)
    with pytest.raises(SweepError, match="absent.yml cannot be read"):
        sweep.read_grid(page.with_name("absent.yml"), page)


def test_the_page_refuses_combinations_before_any_run(page, grid, tmp_path):
    said = sweep.refused(str(page), [{"seed": 9}, {"seed": 2}, {"seed": 9, "word": "a"}])
    assert said == ["ValueError: seed is 9; allowed: at most size, here 5"]
    with pytest.raises(SweepError, match="02z-tiny refuses the grid: ValueError: word is 'c'"):
        sweep.sweep(page, grid({"word": ["a", "c"]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_sweep_and_how_it_goes_on(page, grid, tmp_path, monkeypatch):
    out, small = tmp_path / "out", grid({"seed": [0, 1], "word": ["a", "b"]})
    found = sweep.sweep(page, small, out, jobs=2)
    assert [run["state"] for run in found] == ["done", "done", "done", "failed"]
    assert found[3]["error"].startswith("cell [4]: ZeroDivisionError")  # [2]: what was injected
    table = pd.read_csv(out / "tiny-sums.csv")
    assert table[["p_seed", "p_word", "sum"]].values.tolist() == [
        [0, "a", 5], [0, "b", 5], [1, "a", 6]
    ]  # fmt: skip
    verdicts = pd.read_csv(out / "verdicts.csv")
    assert verdicts.verdict.tolist() == ["fails", "fails", "holds"]
    listed = (out / "index.html").read_text()
    assert listed.count("run.ipynb</a>") == 4 and "ZeroDivisionError" in listed
    left = sorted(path.name for path in (out / "runs" / found[0]["run"]).iterdir())
    assert left == ["run.ipynb", "state.json", "tables"]

    again = []
    monkeypatch.setattr(sweep, "execute", lambda run: again.append(run) or (found[0], {}))
    sweep.sweep(page, small, out, jobs=1)
    assert [run.parameters for run in again] == [{"seed": 1, "word": "b"}]  # the one that failed

    page.write_text(page.read_text().replace("1 / 0", "2 / 0"))
    with pytest.raises(SweepError, match="has runs of another text of 02z-tiny"):
        sweep.sweep(page, small, out)
    with pytest.raises(SweepError, match="is no folder of a sweep"):
        sweep.sweep(page, small, tmp_path)


@pytest.mark.parametrize(
    "bad, message", [({"jobs": -1}, "jobs is -1"), ({"limit": 0}, "limit is 0")]
)
def test_bad_settings_are_refused(page, grid, tmp_path, bad, message):
    with pytest.raises(SweepError, match=f"{message}; allowed: "):
        sweep.sweep(page, grid({"seed": 1}), tmp_path / "out", **bad)
    assert not (tmp_path / "out").exists()


def run_of(page, folder, limit=None, **parameters):
    return sweep.Run(page.read_text(), parameters, 1, limit, folder and str(folder))


def test_a_run_without_a_folder_sends_its_files(page):
    found, files = sweep.execute(run_of(page, None, seed=2))
    assert found["state"] == "done" and set(files) == {"run.ipynb", "tables/tiny-sums.csv"}
    assert files["tables/tiny-sums.csv"].splitlines()[1] == b"5,7"


def test_runs_that_take_too_long_or_never_begin(page, tmp_path, monkeypatch):
    calls = []

    def fake(command, timeout, **more):
        calls.append(timeout)
        if timeout:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, -signal.SIGKILL, stdout="a\nKernel died\n")

    monkeypatch.setattr(subprocess, "run", fake)
    found, _ = sweep.execute(run_of(page, tmp_path / "x", limit=3.0))
    assert found["error"] == "stopped after 3 s" and calls == [3.0]
    found, _ = sweep.execute(run_of(page, tmp_path / "y"))
    assert found["error"] == "Kernel died" and len(calls) == 1 + sweep.TRIES


def test_names_of_runs_are_their_parameters():
    a, b = (sweep.Run("", given, 1, None, None) for given in ({"x": 1, "y": 2}, {"y": 2, "x": 1}))
    assert a.name == b.name != sweep.Run("", {"x": 1, "y": 3}, 1, None, None).name


def test_workers_with_other_versions_are_refused():
    mine = {"torch": "2", "papermill": "1"}
    sweep.check_workers({"tcp://a": mine}, mine, "tcp://s")
    with pytest.raises(SweepError, match="the worker tcp://b has torch 1 "):
        sweep.check_workers({"tcp://a": mine, "tcp://b": mine | {"torch": "1"}}, mine, "tcp://s")
    with pytest.raises(SweepError, match="the scheduler at tcp://s has no workers"):
        sweep.check_workers({}, mine, "tcp://s")


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler and two workers on this machine: its address, and the workers."""
    told = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    where = ["--scheduler-file", told]
    start = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *where]
    work = [*dask, "worker", *where, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    running = [subprocess.Popen(start, **quiet)]
    try:
        for i in range(2):
            folder = ["--local-directory", tmp_path / f"worker{i}"]
            running.append(subprocess.Popen([*work, *folder], **quiet))
        deadline = time.monotonic() + 60
        while not told.is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(told.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, running[1:]
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_a_cluster_gives_the_same_and_loses_nothing(page, grid, tmp_path, cluster):
    address, workers = cluster
    small, out = grid({"seed": [0, 2, 3, 4]}), tmp_path / "there"

    def kill():
        while not list(out.glob("runs/*/state.json")):
            time.sleep(0.05)
        workers[0].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    found = sweep.sweep(page, small, out, scheduler=address)
    killer.join()
    assert [run["state"] for run in found] == ["done"] * 4 and workers[0].wait() != 0
    sweep.sweep(page, small, tmp_path / "here")
    for name in ("tiny-sums.csv", "verdicts.csv"):
        assert (out / name).read_text() == (tmp_path / "here" / name).read_text()


def test_a_scheduler_that_does_not_answer(page, grid, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "check", lambda *_: None)
    with pytest.raises(SweepError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        sweep.sweep(page, grid({"seed": 1}), tmp_path / "out", scheduler="tcp://127.0.0.1:9")
