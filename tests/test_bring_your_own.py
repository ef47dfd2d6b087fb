"""The worked example of `book/bring-your-own.md`, as a reader would run it, and its manifests."""

import re
from pathlib import Path

import pytest

from mergehelpers import suites
from mergehelpers.suites import manifest

PAGE = (Path(__file__).parents[1] / "book" / "bring-your-own.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make, look = blocks("python")
    exec(compile(make, "make", "exec"), {})
    (tmp_path / "mine" / "suite.toml").write_text(blocks("toml")[0])
    exec(compile(look.replace("(mine, models)", "(mine, models, limit=60)"), "look", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["mnist", "fashion", "mean"]
    assert [line.split()[0] for line in printed[2:]] == ["base", "average", "mnist", "fashion"]
    assert suites.load_suite("mine").name == "mine"


@pytest.mark.parametrize("text", blocks("toml")[1:])
def test_every_other_manifest_of_the_page_is_valid(tmp_path, text):
    (tmp_path / "suite.toml").write_text(text)
    assert manifest.read_manifest(tmp_path / "suite.toml", suites.DATA)["tasks"]


def test_the_page_names_every_field_and_no_other():
    tables = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    named = {name for cell in tables for name in re.findall(r"`([^`]+)`", cell)}
    fields = set(manifest.TOP) - {"backbone", "tasks", "out_of_domain", "seed"}
    fields |= {"kind", *(name for options in manifest.BACKBONE.values() for name in options)} | set(
        manifest.TASK
    )
    assert {name.strip("[]") for name in named} == fields
