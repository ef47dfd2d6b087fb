"""What would decide a claim: commands on cards name pages, and parameters that these have."""

import ast
import json
import re
import shlex
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from papermill.cli import papermill

from mergebook.claims import claims

BOOK = Path(__file__).parents[1]
PAGES = json.loads((BOOK / "book/claims/verdicts.json").read_text(encoding="utf-8"))
VALUE = r"""(?:'[^']*'|"[^"]*"|[\w/-]+(?:\.\w+)*)"""
COMMAND = re.compile(rf"papermill (notebooks/\S+\.ipynb \S+(?: -p \w+ {VALUE}| -y {VALUE})*)")
OPTIONS = re.compile(r"`(-[py] [^`]*)`")
PLACES = {"OUT", "FOLDER"}  # a reader's own
DECIDING = {i: c.decides for i, c in claims().items() if re.search(r"papermill|`-[py] ", c.decides)}


@cache
def declared(page):
    """The parameters of a page and their types, as its cell declares them."""
    cells = nbformat.read(BOOK / page, as_version=4).cells
    cell = next(c for c in cells if "parameters" in c.metadata.get("tags", ()))
    return {
        line.target.id: ast.unparse(line.annotation)
        for line in ast.parse(cell.source).body
        if isinstance(line, ast.AnnAssign)
    }


def commands(text, page):
    """The papermill commands in a text, as lists of words; bare options are of `page`."""
    whole = [shlex.split(found) for found in COMMAND.findall(text)]
    return whole + [[page, "out.ipynb", *shlex.split(found)] for found in OPTIONS.findall(text)]


def faults(words):
    """What is wrong with a command; papermill's own parser reads it."""
    given = papermill.make_context("papermill", list(words)).params
    known, out = declared(given["notebook_path"]), []
    values = dict(given["parameters"])
    for block in given["parameters_yaml"]:
        values |= yaml.safe_load(block)
    for name, value in values.items():
        if name not in known:
            out.append(f"{name} is no parameter")
        elif known[name].startswith("list") is not isinstance(value, list):
            out.append(f"{name} is {known[name]}, given {value!r}")
        elif known[name] in ("int", "float") and value not in PLACES:
            float(value)
    return out


@pytest.mark.parametrize("claim_id", DECIDING)
def test_what_would_decide_a_claim_is_a_command_that_runs(claim_id):
    page = f"notebooks/{PAGES[claim_id]['page']}.ipynb"
    found = commands(DECIDING[claim_id], page)
    assert found and [faults(words) for words in found] == [[]] * len(found)


def test_a_command_that_cannot_run_is_seen():
    page = "notebooks/evidence/02a-rules.ipynb"
    (words,) = commands(f"More: papermill {page} out.ipynb -p lab_seeds '[0, 1]'.", "")
    assert faults(words) == ["lab_seeds is list[int], given '[0, 1]'"]
    (words,) = commands(f"papermill {page} out.ipynb -y 'lab_seeds: [0, 1]' (an hour).", "")
    assert faults(words) == []
    (words,) = commands("This page (`-p worlds 3`).", page)
    assert faults(words) == ["worlds is no parameter"]
