"""Chapter 3 runs on another suite, five tiny transformers in a folder, and refuses bad settings."""

import numpy as np
import pages
import pytest
import tiny

import book

PAGES = {book.number(path): path for path in book.chapter(book.ROOT, "03")}
TASKS = ("photos", "sketches", "stamps", "prints", "icons")
FEW = {"samples": 8, "steps": 2, "rates": [0.01], "trials": 2, "test_samples": 4}
FEW |= {"study": "full", "recheck": 0}
SHORT = {"samples": 8, "steps": 30, "trials": 2, "study": "full", "recheck": 0}
RUNS = {
    "03a": (FEW, {"03a-answers.csv", "03a-leads.csv", "03a-reach.csv", "comparison.json"}),
    "03b": (FEW, {"03b-accuracy.csv", "03b-new.csv", "guidance.json", "new-experts.json"}),
    "03i": (FEW, {"03i-accuracy.csv", "03i-ranks.csv", "features.json"}),
    "03j": (
        FEW | {"test_samples": 8},
        {"03j-truth.csv", "03j-gains.csv", "labels-or-teachers.json"},
    ),
    "03k": (
        FEW | {"test_samples": 8},
        {"03k-errors.csv", "03k-apart.csv", "lessons-by-entropy.json"},
    ),
    "03l": (FEW | {"steps": 10, "samples": 2}, {"03l-growth.csv", "more-inputs.json"}),
    "03m": (FEW | {"steps": 10}, {"03m-leads.csv", "03m-slopes.csv", "tasks-left-out.json"}),
    "03n": (FEW, {"03n-students.csv", "03n-merges.csv", "merged-students.json"}),
    "03o": (FEW, {"03o-recipe.csv", "03o-moved.csv", "moved-coefficients.json"}),
    "03p": (FEW, {"03p-recurring.csv", "03p-costs.csv", "coefficient-patterns.json"}),
    "03q": (FEW, {"03q-lost.csv", "03q-noise.csv", "corrupted-inputs.json"}),
    "03r": (SHORT, {"03r-changes.csv", "schedule.json"}),
    "03s": (SHORT | {"steps": 2, "test_samples": 4}, {"03s-settings.csv", "scripts.json"}),
    "03t": (FEW | {"text_suite": ""}, {"03t-work.csv", "price.json"}),
}
RATES = r"rates is \[0.0\]; allowed: a list of 1 or more, each a number above 0"
BAD = {
    "03": ({"merged": 1}, "merged is 1; allowed: a whole number from 2 to 50"),
    "03a": ({"rates": [0.0]}, RATES),
    "03b": ({"suite": "text5", "samples": 3}, "samples is 3; allowed: a whole number from 4 to"),
    "03c": ({"output": "/dev/null/x"}, "output is '/dev/null/x'"),
    "03e": ({"rank": 0}, "rank is 0; allowed: a whole number"),
    "03i": ({"steps": 1}, "steps is 1; allowed: a whole number from 2 to"),
    "03j": ({"trials": 1}, "trials is 1; allowed: a whole number from 2 to 20"),
    "03k": ({"samples": 0}, "samples is 0; allowed: a whole number, 1 or more"),
    "03l": ({"steps": 9}, "steps is 9; allowed: a whole number, 10 or more"),
    "03m": ({"study": "new"}, "study is 'new'; allowed: one of stored, full"),
    "03n": ({"samples": 7}, "samples is 7; allowed: a whole number from 8 to"),
    "03o": ({"suite": "nowhere"}, "suite is 'nowhere'; allowed: one of .*, or a folder with a"),
    "03p": ({"rates": [0.0]}, RATES),
    "03q": ({"device": "tpu"}, "device is 'tpu'; allowed: one of"),
    "03r": ({"steps": 24}, "steps is 24; allowed: a whole number, 25 or more"),
    "03s": ({"test_samples": 1}, "test_samples is 1; allowed: a whole number, 2 or more"),
    "03t": ({"recheck": 2.0}, "recheck is 2.0; allowed: a number from 0 to 1"),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("five-tasks")
    tiny.folder_of_tasks(
        folder, TASKS, ("cat", "dog"), {"train": 12, "val": 12, "unlabelled": 12, "test": 8}
    )
    return folder


@pytest.mark.parametrize("page", RUNS)
def test_an_evidence_page_runs_on_it(suite, tmp_path, page):
    parameters, written = RUNS[page]
    pages.writes(PAGES[page], tmp_path, parameters | {"suite": str(suite)}, {}, written)


def test_the_lesson_runs_on_it(suite):
    few = {"samples": 8, "steps": 2, "test_samples": 20, "merged": 3}
    pages.through(PAGES["03"], few | {"suite": str(suite)})


@pytest.mark.parametrize("page", BAD)
def test_bad_settings_stop_a_page_before_any_work(page):
    bad, message = BAD[page]
    pages.refuses(PAGES[page], bad, message, 3)


def test_the_oracle_of_a_page_asks_for_labels_of_unlabelled_inputs(tmp_path):
    tiny.folder_of_tasks(tmp_path, TASKS[:2], ("cat", "dog"), {"unlabelled": 16, "test": 8})
    with np.load(tmp_path / "photos.npz") as file:
        arrays = {name: file[name] for name in file if name != "unlabelled_labels"}
    np.savez(tmp_path / "photos.npz", **arrays)
    message = "the task photos of .* needs labels for its unlabelled inputs; an oracle sees them"
    pages.refuses(
        PAGES["03e"], {"suite": str(tmp_path), "second_suite": "", "samples": 8}, message, 2
    )
