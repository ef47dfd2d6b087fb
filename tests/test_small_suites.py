"""Every page, on the smallest suite that *Bring your own* allows: it says what it lacks.

The suite has two tasks and their `test` splits, and nothing else.
"""

import nbformat
import numpy as np
import pages
import pytest
import tiny

import book

LACKS = r"the task pets( of tiny)? (has no|needs \d+) {} inputs"
SOUPS = "suite tiny has 2 tasks, the first pets; soups need four tasks or more"
LACKING = {
    "val": "00 05",
    "unlabelled": "01 01a 01d 01e 01g 01h 01i 02 02a 02b 02d 02e 02f 02g 02h 03e 03h "
    "03a 03b 03i 03j 03k 03l 03m 03n 03o 03p 03q 03r 03s 03t 04a 04b 04d 04g "
    "04h 04i 04k 04l 04m 04n 04o 04q 05a 05b 05c 05f 05g",
    "train": "05d",
}
REFUSED = {page: LACKS.format(split) for split, own in LACKING.items() for page in own.split()} | {
    "03": "suite tiny has 2 experts; this needs 4 or more",
    "04": SOUPS,
}
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


def test_every_page_with_a_suite_is_here(smallest):
    found = {book.number(page) for page in book.pages(book.ROOT) if own(page, smallest)}
    assert found == REFUSED.keys()
