"""The pages of Chapter 1 on tiny suites of two kinds, and with bad settings."""

import numpy as np
import pages
import pytest
import tiny

import book
from mergehelpers import suites

PAGES = {book.number(path): path for path in book.chapter(book.ROOT, "01")}
ONE_THREAD = {"OMP_NUM_THREADS": 1}
FEW = {"test_samples": 50, "second_suite": "", "recheck": 0}
# Rows of the laboratory are stored; those of the tiny suite are computed.
RUNS = {
    "01a": ({"second_suite": ""}, {"01a-scales.csv"}),
    "01d": ({"second_suite": "", "samples": 8, "recheck": 0}, {"blocks-of-encoders.json"}),
    "01e": (FEW | {"samples": 8, "lab_seeds": [0, 1]}, {"share-of-the-gap.json"}),
    "01g": (FEW | {"samples": 8, "lab_seeds": [0, 1]}, {"01g-pairs.csv", "pairs-of-experts.json"}),
    "01h": (FEW | {"lab_seeds": [0, 1]}, {"01h-contest.csv"}),
    "01i": (FEW, {"01i-parts.csv", "conflicts-after-pruning.json"}),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The tiny suite of two image tasks, with enough inputs for the pages."""
    folder = tmp_path_factory.mktemp("images")
    tiny.vit_suite(folder)
    for seed, (name, classes) in enumerate({"pets": 2, "birds": 3}.items()):
        arrays = {}
        for split, count in {"train": 30, "val": 20, "unlabelled": 12, "test": 60}.items():
            inputs, labels = tiny.images(100 * seed + count, count, classes=classes)
            arrays |= {f"{split}_inputs": inputs, f"{split}_labels": labels}
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


@pytest.mark.parametrize("page", RUNS)
def test_an_evidence_page_runs_on_a_suite_of_images(images, tmp_path, page):
    parameters, written = RUNS[page]
    pages.writes(PAGES[page], tmp_path, parameters | {"suite": str(images)}, ONE_THREAD, written)


def test_the_lesson_runs_on_a_suite_of_images(images, tmp_path):
    settings = {"suite": str(images), "samples": 8, "test_samples": 50, "draws": 20_000, "k": 3.0}
    executed = pages.run(PAGES["01"], tmp_path / "out.ipynb", settings, ONE_THREAD)
    assert not pages.errors(executed)


BAD = {
    "01": ({"suite": "nowhere"}, "suite is 'nowhere'; allowed: one of .*, or a folder with a"),
    "01b": ({"draws": 10}, "draws is 10; allowed: a whole number, 10,000 or more"),
    "01d": ({"samples": 500}, "samples is 500; allowed: a whole number from 8 to 128"),
    "01e": ({"lab_seeds": [0]}, r"lab_seeds is \[0\]; allowed: a list of 2 or more"),
    "01f": ({"study": "new"}, "study is 'new'; allowed: one of stored, full"),
    "01g": ({"recheck": 2}, "recheck is 2; allowed: a number from 0 to 1"),
    "01h": ({"workers": 0}, "workers is 0; allowed: a whole number from 1 to 64"),
}


@pytest.mark.parametrize("page", BAD)
def test_bad_settings_stop_a_page_before_any_work(page):
    bad, message = BAD[page]
    pages.refuses(PAGES[page], bad, message, 3)


def test_a_suite_that_lacks_what_a_page_needs_is_refused_by_name(images):
    suite = suites.load_suite(str(images))
    with pytest.raises(
        ValueError, match="the task pets of tiny has 12 unlabelled inputs; this needs 13"
    ):
        suites.require(suite, inputs=13)
    with pytest.raises(ValueError, match="the task pets of tiny has no spare inputs; this needs 1"):
        suites.require(suite, "spare")
    with pytest.raises(ValueError, match="suite tiny has 2 experts; this needs 9"):
        suites.require(suite, experts=9)
    assert suites.require(suite, inputs=8) is suite
