"""Tiny groups of models that a test can train."""

import pytest

from mergebook.ch4 import soups
from mergebook.page import open_suite


@pytest.fixture(scope="package")
def soup_context():
    """What experiments on groups need; their starts are random weights, not trained ones."""
    r = open_suite("mini8", "cpu")
    shop = soups.double_workshop(r)
    trained = shop.start
    shop.start = lambda network, tasks, mixup, number, width: shop.built(network, number, width)[1]
    yield {"sources": {r.mark: "mini8"}, "device": "cpu"}
    shop.start = trained
    shop.models.cache_clear()


@pytest.fixture(scope="package")
def tiny_key(soup_context):
    """Three small VGGs that tell some classes from others."""
    (mark,) = soup_context["sources"]
    return soups.FineTuned(mark, "vgg5", "fashion", count=3, epochs=4, width=8)
