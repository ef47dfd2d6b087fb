"""The experiments of Chapter 4 run on another suite, and refuse bad settings.

The suite is of four tiny tasks in a folder.
"""

from pathlib import Path

import pages
import pytest
import tiny

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TASKS = ("photos", "sketches", "stamps", "prints")
# Threads only get in each other's way in networks as small as these.
ONE_THREAD = {"OMP_NUM_THREADS": 1}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four-tasks")
    tiny.folder_of_tasks(
        folder, TASKS, ("cat", "dog", "owl"), {"train": 12, "val": 12, "unlabelled": 12, "test": 24}
    )
    return folder


SMALL = {"n_models": 3, "epochs": 1, "repetitions": 2}
RUNS = {
    "04b-templates": (
        {"tasks": ["photos", "stamps"], "epochs": 5},
        {"04b-matches.csv", "04b-verdicts.csv", "04-templates.json"},
    ),
    "04c-soups": (
        {
            "architectures": ["vgg5", "vgg5_bn", "vit"],
            "batchnorm": "vgg5_bn",
            "n_models": 2,
            "epochs": 1,
            "repetitions": 2,
        },
        {"04c-networks.csv", "04c-verdicts.csv", "04-rethinking.json"},
    ),
    "04d-magnitudes": (
        SMALL | {"architectures": ["vgg5", "vgg8"], "magnitudes": [1, 2, 50, 100]},
        {"04d-thresholds.csv", "04d-verdicts.csv", "04-magnitudes.json"},
    ),
}


@pytest.mark.parametrize("page", RUNS)
def test_the_page_runs_on_another_suite_and_writes_its_tables(suite, tmp_path, page):
    parameters, expected = RUNS[page]
    pages.writes(
        NOTEBOOKS / f"{page}.ipynb",
        tmp_path,
        parameters | {"suite": str(suite), "device": "cpu"},
        ONE_THREAD,
        expected,
    )


@pytest.mark.parametrize(
    ("page", "bad", "message"),
    [
        (
            "04b-templates",
            {"tasks": ["fashion", "cats"]},
            r"tasks is \['fashion', 'cats'\]; allowed: a list of 2 or more, each one of mnist",
        ),
        ("04b-templates", {"decay": 0.0}, "decay is 0.0; allowed: a number above 0"),
        ("04c-soups", {"n_models": 1}, "n_models is 1; allowed: a whole number"),
        (
            "04c-soups",
            {"architectures": ["alexnet"]},
            r"architectures is \['alexnet'\]; allowed: .*vgg5",
        ),
        ("04c-soups", {"batchnorm": "vit"}, "batchnorm is 'vit'; allowed: one of vgg5_bn"),
        (
            "04c-soups",
            {"suite": "text5"},
            "suite text5 has 5 tasks, the first .*; soups need four tasks or more, of images",
        ),
        ("04d-magnitudes", {"magnitudes": [1, 0]}, r"magnitudes is \[1, 0\]; allowed: .* above 0"),
        (
            "04d-magnitudes",
            {"magnitudes": [1, float("inf")]},
            "magnitudes is .*; allowed: .* above 0",
        ),
        ("04d-magnitudes", {"architectures": ["vgg11_bn"]}, "architectures is .*; allowed: .*vgg5"),
        ("04d-magnitudes", {"dtype": "int8"}, "dtype is 'int8'; allowed: one of float16"),
    ],
)
def test_bad_settings_stop_it_before_any_work(page, bad, message):
    pages.refuses(NOTEBOOKS / f"{page}.ipynb", bad, message, 5)
