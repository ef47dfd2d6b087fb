"""Chapter 4 runs on another suite, four tiny tasks in a folder, and refuses bad settings."""

import pages
import pytest
import tiny

import book

PAGES = {book.number(path): path for path in book.chapter(book.ROOT, "04")}
TASKS = ("photos", "sketches", "stamps", "prints")
# Threads only get in each other's way in networks as small as these.
ONE_THREAD = {"OMP_NUM_THREADS": 1}
SMALL = {
    "networks": ["vgg5", "vgg8"],
    "factors": [1, 2, 50, 90, 100, 150],
    "starts": 2,
    "epochs": 1,
}
FULL = {"study": "full", "recheck": 0}
RUNS = {
    "04a": ({}, {"04a-gaps.csv"}),
    # Its networks of digits, the same for every suite, come from the book's rows.
    "04b": (
        {"recheck": 0, "epochs": 5, "repetitions": 2, "draws": 2},
        {"04b-released.csv", "linear-templates.json"},
    ),
    "04d": (SMALL, {"04d-thresholds.csv"}),
    # Its rows of ImageNet's kernels are stored; to compute them needs another package.
    "04g": ({"epochs": 1, "repetitions": 2}, {"04g-kernels.csv", "first-kernels-and-layers.json"}),
    "04h": (SMALL | {"networks": ["vgg5"]}, {"04h-curves.csv"}),
    "04i": (
        FULL
        | {"known": ["vgg8"], "few": ["vgg5", "vgg5_bn"], "starts": 2, "models": 5, "epochs": 1},
        {"04i-changes.csv", "soups-and-ensembles.json"},
    ),
    "04j": ({"networks": ["ResNet18"], "images": 4}, {"04j-use.csv", "04j-making.csv"}),
    "04k": (
        FULL | {"networks": ["vgg5_bn", "vit"], "starts": 2, "models": 2, "epochs": 1},
        {"04k-losses.csv", "half-way-between-two.json"},
    ),
    "04l": (
        FULL
        | {"networks": ["vgg5"], "selected": ["vgg5"], "tasks": 5}
        | {"starts": 2, "models": 3, "epochs": 1},
        {"04l-tasks.csv", "greedy-selection.json"},
    ),
    "04m": (
        FULL | {"networks": ["vgg5"], "starts": 2, "models": 2, "epochs": 1},
        {"04m-scores.csv", "greedy-selection.json"},
    ),
    "04n": (
        FULL
        | {
            "networks": ["vgg5", "vit"],
            "decayed": ["vgg5"],
            "decays": [0.001],
            "starts": 2,
            "models": 2,
            "epochs": 1,
        },
        {"04n-seen.csv", "soups-seen-closely.json"},
    ),
    "04o": (
        FULL | {"networks": ["vgg5"], "starts": 2, "epochs": 1},
        {"04o-donors.csv", "donors-of-other-tasks.json"},
    ),
    "04q": (
        FULL | {"networks": ["vgg5", "vit"], "starts": 2, "epochs": 1, "scratch": 1},
        {"04q-scores.csv", "soups-and-ensembles.json"},
    ),
}
BAD = {
    "04": ({"models": 1}, "models is 1; allowed: a whole number from 2 to 20"),
    "04a": ({"device": "tpu"}, "device is 'tpu'; allowed: one of"),
    "04b": ({"decay": -1.0}, "decay is -1.0; allowed: a number"),
    "04d": ({"networks": ["vgg11_bn"]}, "networks is .*; allowed: .*vgg5"),
    "04e": ({"networks": 0}, "networks is 0; allowed: a whole number"),
    "04f": ({"output": "/dev/null/x"}, "output is '/dev/null/x'"),
    "04g": ({"study": "new"}, "study is 'new'; allowed: one of stored, full"),
    "04h": ({"factors": [1, 0]}, r"factors is \[1, 0\]; allowed: .* above 0"),
    "04i": ({"few": ["vit"]}, "few is .*; allowed: .*vgg5"),
    "04j": ({"networks": ["vgg11"]}, "networks is .*; allowed: .*ResNet18"),
    "04k": (
        {"controls": ["two"]},
        r"controls is .*; allowed: a list of 0 or more, each one of one",
    ),
    "04l": ({"starts": 1}, "starts is 1; allowed: a whole number from 2 to 20"),
    "04m": ({"networks": ["vit"]}, "networks is .*; allowed: .*vgg5"),
    "04n": ({"decays": [0.0]}, r"decays is \[0.0\]; allowed: .* above 0"),
    "04o": ({"starts": 1}, "starts is 1; allowed: a whole number from 2 to 20"),
    "04q": ({"models": 5}, "models is 5; allowed: a whole number from 10 to 20"),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four-tasks")
    tiny.folder_of_tasks(
        folder, TASKS, ("cat", "dog", "owl"), {"train": 12, "val": 12, "unlabelled": 12, "test": 24}
    )
    return folder


@pytest.mark.parametrize("page", RUNS)
def test_a_page_runs_on_it_and_writes_its_tables(suite, tmp_path, page):
    parameters, written = RUNS[page]
    pages.writes(PAGES[page], tmp_path, parameters | {"suite": str(suite)}, ONE_THREAD, written)


def test_the_lesson_runs_on_it(suite):
    few = {"network": "vgg5", "models": 2, "epochs": 1, "target": 2, "width": 2}
    pages.through(PAGES["04"], few | {"suite": str(suite)}, environment=ONE_THREAD)


@pytest.mark.parametrize("page", BAD)
def test_bad_settings_stop_a_page_before_any_work(page):
    bad, message = BAD[page]
    pages.refuses(PAGES[page], bad, message, 3)
