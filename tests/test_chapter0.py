"""Chapter 0 on suites of one's own: tasks of several sizes, none out of domain, few sentences."""

from pathlib import Path

import numpy as np
import pages
import pytest
import tiny

PAGE = Path(__file__).parents[1] / "notebooks" / "00-suites.ipynb"


def images(folder):
    """Two tasks, with 9 and 12 test images."""
    content = tiny.vit_suite(folder)
    with np.load(folder / "pets.npz") as file:
        arrays = dict(file)
    few = {name: arrays[name][:9] for name in ("test_inputs", "test_labels")}
    np.savez(folder / "pets.npz", **arrays | few)
    return content


def texts(folder):
    """Two tasks, with 20 and 9 training sentences, one of them without a class among its tests."""
    content = tiny.text_suite(folder)
    tiny.bert(folder / "other", seed=2)
    task = content["tasks"]["moods"]
    content["tasks"]["films"] = task | {"expert": str(folder / "other"), "data": "films.csv"}
    for name, train, test in (("moods", 20, 7), ("films", 9, 1)):
        rows = [
            f"{split},{('sad', 'glad')[i % 2]},the cat {'and ' * i}a dog"
            for split, count in (("train", train), ("val", 6), ("test", test))
            for i in range(count)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["split,label,text", *rows]) + "\n")
    tiny.write_manifest(folder, content)


def test_the_page_runs_on_suites_of_ones_own(tmp_path):
    images(tmp_path / "images")
    texts(tmp_path / "texts")
    pages.writes(
        PAGE,
        tmp_path,
        {"image_suite": str(tmp_path / "images"), "text_suite": str(tmp_path / "texts")},
        {},
        {f"{name}.csv" for name in ("mini8", "merged", "text5")},
    )


def only_test(folder):
    content = images(folder)
    for name in content["tasks"]:
        with np.load(folder / f"{name}.npz") as file:
            arrays = {key: file[key] for key in ("test_inputs", "test_labels")}
        np.savez(folder / f"{name}.npz", **arrays)


def one_expert(folder):
    content = images(folder)
    tiny.write_manifest(folder, content | {"tasks": {"pets": content["tasks"]["pets"]}})


@pytest.mark.parametrize(
    "make, message",
    [
        (only_test, "the task pets of tiny has no val inputs; this needs 1 or more"),
        (one_expert, "suite tiny has 1 experts; this needs 2 or more"),
    ],
)
def test_a_suite_with_too_little_is_refused_as_it_is_opened(tmp_path, make, message):
    make(tmp_path / "images")
    pages.refuses(PAGE, {"image_suite": str(tmp_path / "images")}, message, cells=4)
