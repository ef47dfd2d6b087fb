"""What test modules share: expensive data, loaded once, and the settings of property tests."""

import matplotlib
import pytest
from hypothesis import settings

matplotlib.use("agg")
# The same examples on every run: a red test then means a change, never bad luck.
settings.register_profile("book", deadline=None, max_examples=40, derandomize=True, database=None)
settings.load_profile("book")


@pytest.fixture(scope="session")
def text5():
    from mergehelpers import suites

    return suites.load_suite("text5")


@pytest.fixture(scope="session")
def mini8():
    from mergehelpers import suites

    return suites.load_suite("mini8")


@pytest.fixture(scope="session")
def digits():
    from mergebook import lab

    return lab.load_digits(seed=0)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The tiny suite of two image tasks, opened."""
    import tiny

    from mergebook.page import OpenSuite
    from mergehelpers import suites

    folder = tmp_path_factory.mktemp("pictures")
    tiny.vit_suite(folder)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))
