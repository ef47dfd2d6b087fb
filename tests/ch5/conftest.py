"""A suite of three tiny tasks, on a bench."""

import pytest
import tiny

from mergebook.ch5 import definitions
from mergebook.page import OpenSuite
from mergehelpers import suites


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    counts = {"train": 6, "val": 6, "unlabelled": 12, "test": 24}
    tiny.folder_of_tasks(folder, ("photos", "sketches", "stamps"), ("cat", "dog", "owl"), counts)
    return folder


@pytest.fixture(scope="session")
def small(small_folder):
    return OpenSuite(suites.load_suite(str(small_folder)), "cpu")


@pytest.fixture(scope="session")
def bench(small):
    return definitions.bench_of(small, 2, 12, 24)


@pytest.fixture(scope="session")
def place(small, small_folder):
    """What opens the small suite again, for experiments."""
    return {"sources": {small.mark: str(small_folder)}, "device": "cpu"}
