"""The recipe for a new merging rule in `CONTRIBUTING.md`, followed to the letter in a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from safetensors.torch import load_file, save_file

from mergehelpers import merge

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The helper package with the rule of the recipe in it, run by `python -m …` there."""
    folder = tmp_path_factory.mktemp("recipe")
    ignore = shutil.ignore_patterns("data", "__pycache__")
    shutil.copytree(ROOT / "mergehelpers", folder / "mergehelpers", ignore=ignore)
    (folder / "mergehelpers" / "data").symlink_to(ROOT / "mergehelpers" / "data")
    section = TEXT[TEXT.index("## Adding a merging rule") :]
    [path] = re.findall(r"Write\s+`([^`]+)`:", section)[:1]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:1]
    (folder / path).write_text(code)

    def run(*command):
        path = os.pathsep.join([str(folder), str(ROOT / "tests"), str(ROOT / "tools")])
        return subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    return folder, run


def test_the_command_lists_it_and_merges_by_it(copied):
    folder, run = copied
    assert (
        "| `median` | Base plus `scale` times the median"
        in run("-m", "mergehelpers", "rules").stdout
    )
    models = {name: {"w": torch.randn(4, 3)} for name in ("base", "a", "b", "c")}
    for name, state in models.items():
        save_file(state, folder / f"{name}.safetensors")
    (folder / "spec.toml").write_text(
        "rule = 'median'\nbase = 'base.safetensors'\n"
        "experts = ['a.safetensors', 'b.safetensors', 'c.safetensors']\n[settings]\nscale = 0.5\n"
    )
    done = run("-m", "mergehelpers", "merge", "spec.toml", "out")
    assert done.returncode == 0, done.stderr
    base, *experts = (state["w"] for state in models.values())
    expected = base + 0.5 * (torch.stack(experts) - base).median(0).values
    torch.testing.assert_close(load_file(folder / "out" / "model.safetensors")["w"], expected)


def test_it_is_under_the_tests_of_every_rule(copied):
    _, run = copied
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", ROOT / "tests" / "test_rules.py"]
    done = run(*tests, "-k", "median")
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10


def test_pages_are_compared_while_a_rule_is_there_that_they_do_not_know(tmp_path):
    shutil.copy(ROOT / "notebooks" / "conftest.py", tmp_path)
    page = nbformat.v4.new_notebook()
    shown = nbformat.v4.new_output("stream", text=" ".join([*merge.RULES, "stranger"]) + "\n")
    page.cells = [
        nbformat.v4.new_code_cell(
            "from mergehelpers import merge\nprint(*merge.RULES)",
            outputs=[shown],
            execution_count=1,
        )
    ]
    nbformat.write(page, tmp_path / "page.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_no_experiment_and_no_page_reads_the_registry():
    """What an experiment runs is frozen with it, so a new rule moves no verdict."""
    sources = [*(ROOT / "mergebook").rglob("*.py"), *(ROOT / "notebooks").rglob("*.ipynb")]
    readers = re.compile(r"merge\.RULES|merge\.registry|import RULES|merge\.table")
    assert [p.name for p in sources if readers.search(p.read_text(encoding="utf-8"))] == []
