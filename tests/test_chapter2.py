"""Chapter 2 runs on a suite made in the Hub's formats.

It has a CLIP folder, sharded experts, parquet images and zero-shot heads.
"""

from pathlib import Path

import pages
import pytest
import tiny
from test_formats import images_as_parquet

import book

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "02-mties.ipynb"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub-suite")
    model = tiny.clip(folder / "clip")
    data = images_as_parquet(folder) | {"classes": ["cat", "dog"]}
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


@pytest.fixture(scope="module")
def executed(suite):
    folder = suite
    parameters = {
        "suite": str(folder),
        "second_suite": "",
        "study": "full",
        "samples": 2,
        "budget": 2,
        "draws": 2,
        "test_samples": 4,
        "lab_seeds": [0, 1],
        "output": str(folder / "results"),
        "layers": "*.0.*,*.1.*",
    }
    # Copies of data in the home folder would outlive the test.
    executed = pages.run(
        NOTEBOOK, folder / "out.ipynb", parameters, {"HF_DATASETS_CACHE": folder / "cache"}
    )
    return executed, folder / "results"


RULES = {"test_samples": 4, "lab_seeds": [0, 1], "recheck": 0}
BAD = {
    "02a": ({"lab_seeds": [0]}, r"lab_seeds is \[0\]; allowed: a list of 2 or more"),
    "02h": ({"suite": "nowhere"}, "suite is 'nowhere'; allowed: one of .*, or a folder with a"),
    "02c": ({"output": "/dev/null/x"}, "output is '/dev/null/x'"),
}


def test_the_evidence_on_rules_runs_on_it(suite, tmp_path):
    expected = {"02a-identities.csv", "02a-harm.csv", "02a-toolkits.csv", "02a-costs.csv"}
    expected |= {"forms-of-AdaMerging.json", "conventions-of-toolkits.json"}
    cache = {"HF_DATASETS_CACHE": suite / "cache"}
    settings = RULES | {"suite": str(suite)}
    pages.writes(book.page(book.ROOT, "02a"), tmp_path, settings, cache, expected)


def test_the_evidence_on_cost_runs_on_it(suite, tmp_path):
    expected = {"02h-passes.csv", "02h-work.csv", "02h-card.csv"}
    cache = {"HF_DATASETS_CACHE": suite / "cache"}
    pages.writes(book.page(book.ROOT, "02h"), tmp_path, {"suite": str(suite)}, cache, expected)


def test_the_evidence_on_printed_tables_writes_them(tmp_path):
    expected = {"02c-leads.csv", "02c-spreads.csv", "02c-baselines.csv"}
    pages.writes(book.page(book.ROOT, "02c"), tmp_path, {}, {}, expected)


@pytest.mark.parametrize("page", BAD)
def test_bad_settings_stop_a_page_before_any_work(page):
    bad, message = BAD[page]
    pages.refuses(book.page(book.ROOT, page), bad, message, 3)


def test_the_chapter_runs_to_its_end(executed):
    notebook, _ = executed
    assert not pages.errors(notebook)


def test_it_writes_its_tables_and_its_archive(executed):
    _, results = executed
    written = {path.name for path in results.iterdir()}
    assert {"02-table1.csv", "02-pairs.csv", "02-verdicts.csv", "02-mties.json"} <= written
    assert not [name for name in written if name.endswith(".part")]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"keep": 0.3, "spread": 0.5}, "spread is 0.5; allowed: from 0 to keep, here 0.3"),
        ({"variant": "printed"}, "variant is 'printed'; allowed: one of paper, released"),
        (
            {"layers": "*.attn.*"},
            r"no site matches '\*.attn.\*'; there are transformer.resblocks.0.mlp.c_fc",
        ),
    ],
)
def test_bad_settings_stop_it_before_any_work(bad, message):
    pages.refuses(NOTEBOOK, bad, message, 5)
