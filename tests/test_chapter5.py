"""The pages of Chapter 5 run on another suite, tiny tasks in a folder, and refuse bad settings."""

import pages
import pytest
import tiny

import book

PAGES = {path.stem: path for path in book.chapter(book.ROOT, "05")}
TASKS = ("photos", "sketches", "stamps")
# Threads only get in each other's way in networks as small as these.
ONE_THREAD = {"OMP_NUM_THREADS": 1}
RUNS = {
    "05a-definitions": (
        {"second_suite": "", "tasks": 2, "samples": 8, "test_samples": 24},
        {"05a-merges.csv", "05a-trained.csv", "05a-deployed.csv"},
    ),
    "05b-protocols": (
        {"second_suite": "", "shots": [1], "draws": 2, "pool": 24, "test_samples": 24},
        {"05b-asked.csv", "05b-searched.csv", "answers-after-a-few-inputs.json"},
    ),
    "05c-rotation": (
        {
            "second_suite": "",
            "pool": 24,
            "test_samples": 24,
            "amount": 12,
            "draws": 2,
            "penalties": [0.1],
            "long_steps": 101,
            "control_tasks": 1,
            "control_steps": 2,
        },
        {"05c-apart.csv", "05c-maps.csv", "05c-turned.csv", "matrices-trained-by-answers.json"},
    ),
    "05f-leaks": (
        {
            "second_suite": "",
            "inputs": 12,
            "fewer": [6],
            "long": [6, 12],
            "pool": 24,
            "test_samples": 24,
        },
        {"05f-leaked.csv", "repairs-on-halves.json"},
    ),
    "05g-controls": (
        {"second_suite": "", "draws": 2, "inputs": 12, "pool": 24, "test_samples": 24},
        {"05g-asked.csv", "05g-weak.csv", "merges-of-weak-experts.json"},
    ),
    "05d-vision": (
        {
            "second_suite": "",
            "methods": ["weight averaging", "DARE"],
            "rates": [5, 50],
            "shots": 2,
            "seeds": [0, 1],
            "trainings": 2,
            "pool": 24,
            "test_samples": 24,
            "steps": 2,
        },
        {"05d-table5.csv", "05d-verdicts.csv", "05-vision.json"},
    ),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three-tasks")
    tiny.folder_of_tasks(
        folder, TASKS, ("cat", "dog", "owl"), {"train": 24, "val": 12, "unlabelled": 18, "test": 24}
    )
    return folder


@pytest.mark.parametrize("page", RUNS)
def test_the_page_runs_on_another_suite_and_writes_its_tables(suite, tmp_path, page):
    parameters, expected = RUNS[page]
    pages.writes(
        PAGES[page],
        tmp_path,
        parameters | {"suite": str(suite), "device": "cpu"},
        ONE_THREAD,
        expected,
    )


def test_the_lesson_runs_on_it(suite):
    few = {"shots": 2, "steps": 3, "test_samples": 20, "device": "cpu"}
    pages.through(PAGES["05-ft-classifier"], few | {"suite": str(suite)})


@pytest.mark.parametrize(
    ("page", "bad", "message"),
    [
        ("05-ft-classifier", {"scale": 0}, "scale is 0; allowed: a number above 0, 10 or less"),
        (
            "05-ft-classifier",
            {"shots": 90},
            "90 shots asked of the class 'act', which has 25 samples to draw from",
        ),
        ("05a-definitions", {"scale": 0.0}, "scale is 0.0; allowed: a number above 0"),
        ("05a-definitions", {"samples": 500}, "samples is 500; allowed: a whole number from 8"),
        ("05e-printed", {"output": "/dev/null/x"}, "output is '/dev/null/x'"),
        ("05b-protocols", {"draws": 1}, "draws is 1; allowed: a whole number from 2"),
        (
            "05b-protocols",
            {"suite": "mini8", "second_suite": "", "shots": [50]},
            "50 shots asked of the class '.*', which has .* samples",
        ),
        (
            "05f-leaks",
            {"suite": "mini8", "second_suite": "", "inputs": 300},
            "300 inputs asked of each half of the test inputs of .*; allowed: up to 200",
        ),
        ("05g-controls", {"seed": -1}, "seed is -1; allowed: a whole number, 0 or more"),
        (
            "05d-vision",
            {"methods": ["TIES", "soup"]},
            r"methods is \['TIES', 'soup'\]; allowed: .*one of weight averaging, .*M-TIES",
        ),
        (
            "05c-rotation",
            {"penalties": [1, -1]},
            r"penalties is \[1, -1\]; allowed: .* each a number above 0",
        ),
        (
            "05c-rotation",
            {"device": "tpu"},
            "device is 'tpu'; allowed: one of auto, cpu, cuda, mps",
        ),
        (
            "05d-vision",
            {"rates": [10, 100]},
            r"rates is \[10, 100\]; 100 % of 500 test inputs are 500, "
            "and there are 256 to draw from; allowed: up to 51",
        ),
        ("05d-vision", {"shots": 30}, "30 shots asked of the class '.*', which has .* samples"),
        ("05g-controls", {"suite": "mini9"}, "suite is 'mini9'; allowed: one of .*mini8"),
    ],
)
def test_bad_settings_stop_it_before_any_work(page, bad, message):
    pages.refuses(PAGES[page], bad, message, 5)
