"""The experiments of Chapter 3 run on another suite, and refuse bad settings.

The suite is of five tiny transformers in a folder.
"""

from pathlib import Path

import numpy as np
import pages
import pytest
import tiny

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "03b-statsmerging-experiments.ipynb"
TASKS = ("photos", "sketches", "stamps", "prints", "icons")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("five-tasks")
    tiny.folder_of_tasks(
        folder, TASKS, ("cat", "dog"), {"train": 12, "val": 12, "unlabelled": 12, "test": 8}
    )
    parameters = {
        "suite": str(folder),
        "text_suite": "",
        "study": "full",
        "samples": 8,
        "steps": 2,
        "batch": 2,
        "rates": [0.01],
        "trials": 2,
        "test_samples": 4,
        "output": str(folder / "results"),
    }
    # Threads only get in each other's way in networks as small as these.
    executed = pages.run(NOTEBOOK, folder / "out.ipynb", parameters, {"OMP_NUM_THREADS": 1})
    return executed, folder / "results"


def test_the_page_runs_to_its_end(executed):
    notebook, _ = executed
    assert not pages.errors(notebook)


def test_it_writes_its_tables_and_its_archive(executed):
    _, results = executed
    written = {path.name for path in results.iterdir()}
    assert {"03b-main.csv", "03b-verdicts.csv", "03-statsmerging.json"} <= written
    assert not [name for name in written if name.endswith((".part", ".jsonl"))]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            {"rates": []},
            r"rates is \[\]; allowed: a list of 1 or more, each a number above 0, 1 or less",
        ),
        ({"rank": 11}, "rank is 11; allowed: "),
        (
            {"suite": "text5"},
            "suite text5 has 5 tasks, the first film; "
            "this page needs five tasks or more, of images",
        ),
        ({"batch": 400}, "needs 400 unlabelled inputs or more; teachers have nothing to label"),
    ],
)
def test_bad_settings_stop_it_before_any_work(bad, message):
    pages.refuses(NOTEBOOK, bad, message, 6)


def test_the_oracle_of_a_page_asks_for_labels_of_unlabelled_inputs(tmp_path):
    tiny.folder_of_tasks(tmp_path, TASKS[:2], ("cat", "dog"), {"unlabelled": 16, "test": 8})
    with np.load(tmp_path / "photos.npz") as file:
        arrays = {name: file[name] for name in file if name != "unlabelled_labels"}
    np.savez(tmp_path / "photos.npz", **arrays)
    page = NOTEBOOK.parent / "evidence" / "03e-definitions.ipynb"
    message = "the task photos of .* needs labels for its unlabelled inputs; an oracle sees them"
    pages.refuses(page, {"suite": str(tmp_path), "second_suite": "", "samples": 8}, message, 2)
