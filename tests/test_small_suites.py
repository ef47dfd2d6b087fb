"""Every page, on the smallest suite that *Bring your own* allows: it says what it lacks, or runs.

The suite has two tasks and their `test` splits, and nothing else.
"""

import nbformat
import numpy as np
import pages
import pytest
import tiny

import book

LACKS = r"the task pets( of tiny)? (has no|needs \d+) {split} inputs"
REFUSED = {
    "00": LACKS.format(split="val"),
    "01": LACKS.format(split="unlabelled"),
    "02": LACKS.format(split="unlabelled"),
    "02a": LACKS.format(split="unlabelled"),
    "02h": LACKS.format(split="unlabelled"),
    "03": LACKS.format(split="unlabelled"),
    "03b": LACKS.format(split="unlabelled"),
    "04b": r"tasks is \[.*\]; allowed: a list of 2 or more, each one of pets, birds",
    "04c": "suite tiny has 2 tasks, the first pets; soups need four tasks or more",
    "04d": "suite tiny has 2 tasks, the first pets; soups need four tasks or more",
    "05": "task is 'senses'; allowed: pets, birds",
    "05b": LACKS.format(split="train"),
    "05c": LACKS.format(split="train"),
    "05d": LACKS.format(split="train"),
    "01a": LACKS.format(split="unlabelled"),
    "01d": LACKS.format(split="unlabelled"),
    "01e": LACKS.format(split="unlabelled"),
    "01g": LACKS.format(split="unlabelled"),
    "01h": LACKS.format(split="unlabelled"),
    "01i": LACKS.format(split="unlabelled"),
}
RUNS = {"04"}
PARAMETERS = ("image_suite", "suite", "second_suite")


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smallest")
    content = tiny.vit_suite(folder)
    for name in content["tasks"]:
        with np.load(folder / f"{name}.npz") as file:
            arrays = {key: file[key] for key in ("test_inputs", "test_labels")}
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def own(page, folder):
    """The page's parameters that name suites: this one, and no second."""
    cells = nbformat.read(page, as_version=4).cells
    (cell,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    there = [name for name in PARAMETERS if f"\n{name}:" in f"\n{cell.source}"]
    return {name: "" if name == "second_suite" else str(folder) for name in there}


@pytest.mark.parametrize("name", REFUSED)
def test_a_page_refuses_a_suite_that_lacks_what_it_needs(name, smallest):
    page = book.page(book.ROOT, name)
    first = 2 if book.kind(page) == book.EVIDENCE else 9
    pages.refuses(page, own(page, smallest), REFUSED[name], first)


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_page_that_needs_no_more_runs(name, smallest, tmp_path):
    page = book.page(book.ROOT, name)
    parameters = own(page, smallest)
    assert not pages.errors(pages.run(page, tmp_path / "out.ipynb", parameters, {}))


def test_every_page_with_a_suite_is_here(smallest):
    found = {book.number(page) for page in book.pages(book.ROOT) if own(page, smallest)}
    assert found == REFUSED.keys() | RUNS
