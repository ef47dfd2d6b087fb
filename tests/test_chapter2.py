"""Chapter 2 runs on a suite made in the Hub's formats.

It has a CLIP folder, sharded experts, parquet images and zero-shot heads.
"""

import pages
import pytest
import tiny
from test_formats import images_as_parquet

import book

PAGES = {book.number(path): path for path in book.chapter(book.ROOT, "02")}
FEW = {"test_samples": 4, "recheck": 0}
ALONE = FEW | {"second_suite": ""}
RUNS = {
    "02a": (
        FEW | {"lab_seeds": [0, 1]},
        {"02a-identities.csv", "02a-toolkits.csv", "forms-of-AdaMerging.json"},
    ),
    "02b": (ALONE | {"samples": 1}, {"02b-answers.csv", "readings-of-M-TIES.json"}),
    "02c": ({}, {"02c-leads.csv", "02c-spreads.csv", "02c-baselines.csv"}),
    "02d": (
        ALONE | {"samples": 1, "budget": 2},
        {"02d-answers.csv", "search-of-settings.json", "ensembles-of-experts.json"},
    ),
    "02e": (
        ALONE | {"samples": 1, "draws": 4, "lab_seeds": [0, 1]},
        {"02e-sizes.csv", "draws-and-layers.json"},
    ),
    "02f": (
        ALONE | {"samples": 1, "draws": 2, "val_samples": 2, "lab_seeds": [0, 1]},
        {"02f-controls.csv", "controls.json"},
    ),
    "02g": (
        ALONE | {"samples": 1, "nodes": 3, "draws": 2, "test_samples": 20, "second_samples": 20},
        {"02g-nodes.csv", "harm-of-averaged-nodes.json"},
    ),
    "02h": ({}, {"02h-passes.csv", "02h-work.csv", "02h-card.csv"}),
}
BAD = {
    "02": ({"keep": 0.3, "spread": 0.5}, "spread is 0.5; allowed: from 0 to keep, here 0.3"),
    "02a": ({"lab_seeds": [0]}, r"lab_seeds is \[0\]; allowed: a list of 2 or more"),
    "02b": ({"keep": 0.3, "spread": 0.5}, "spread is 0.5; allowed: from 0 to keep, here 0.3"),
    "02d": ({"budget": 0}, "budget is 0; allowed: a whole number from 1 to"),
    "02e": ({"draws": 2}, "draws is 2; allowed: a whole number, 4 or more"),
    "02f": ({"study": "new"}, "study is 'new'; allowed: one of stored, full"),
    "02g": ({"nodes": 1}, "nodes is 1; allowed: a whole number, 3 or more"),
    "02h": ({"suite": "nowhere"}, "suite is 'nowhere'; allowed: one of .*, or a folder with a"),
    "02c": ({"output": "/dev/null/x"}, "output is '/dev/null/x'"),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub-suite")
    model = tiny.clip(folder / "clip")
    data = images_as_parquet(folder) | {"classes": ["cat", "dog"]}
    data["splits"] = {"val": "validation", "unlabelled": "train"}  # a few, to draw samples from
    tasks = {}
    for seed, task in enumerate(("photos", "sketches", "stamps"), 1):
        tiny.clip_vision(folder / task, model.config.vision_config, seed, max_shard_size="4KB")
        tasks[task] = {
            "expert": task,
            "templates": [f"a {('photo', 'cat', 'dog')[seed - 1]} of the {{}}"],
        } | data
    tiny.write_manifest(
        folder,
        {
            "name": "hub-like",
            "base": "clip",
            "head": "zero-shot",
            "templates": ["a {}"],
            "backbone": {"kind": "clip", "model": "clip"},
            "tasks": tasks,
        },
    )
    return folder


@pytest.mark.parametrize("page", RUNS)
def test_an_evidence_page_runs_on_it(suite, tmp_path, page):
    parameters, written = RUNS[page]
    own = {} if page == "02c" else {"suite": str(suite)}
    # Copies of data in the home folder would outlive the test.
    cache = {"HF_DATASETS_CACHE": suite / "cache"}
    pages.writes(PAGES[page], tmp_path, parameters | own, cache, written)


def test_the_lesson_runs_on_it(suite):
    settings = {"suite": str(suite), "samples": 1, "test_samples": 20, "draws": 2}
    settings |= {"keep": 0.4, "spread": 0.4}  # both settings are one: one panel
    cache = {"HF_DATASETS_CACHE": suite / "cache"}
    pages.through(PAGES["02"], settings, environment=cache)


@pytest.mark.parametrize("page", BAD)
def test_bad_settings_stop_a_page_before_any_work(page):
    bad, message = BAD[page]
    pages.refuses(PAGES[page], bad, message, 5 if page == "02" else 3)
