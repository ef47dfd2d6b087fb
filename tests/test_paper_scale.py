"""The worked example of `book/paper-scale.md`, run as a reader would; its tables name what is."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from mergehelpers import checkpoints, merge, specs
from mergehelpers.states import OnDevice

PAGE = (Path(__file__).parents[1] / "book" / "paper-scale.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, look, lend = blocks("python")
    exec(compile(make, "make", "exec"), {})
    [spec], [commands] = blocks("toml"), blocks("bash")
    Path("spec.toml").write_text(spec)
    for line in commands.splitlines():
        python, *arguments = shlex.split(line)
        assert (
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL).returncode == 0
            and python == "python"
        )
        assert Path("merged").exists() == ("--dry-run" not in arguments)
    found = {}
    exec(compile(look, "look", "exec"), found)
    base, *experts = (checkpoints.load(f"models/{name}") for name in ("base", "digits", "clothes"))
    expected = merge.ties(base, experts, 0.2, 1.0)
    assert all(torch.equal(found["merged"][name], value) for name, value in expected.items())
    lent = {"base": base, "experts": experts, "merge": merge, "merged": {}}
    lent["OnDevice"] = lambda model, device: OnDevice(model, "cpu")
    exec(compile(lend, "lend", "exec"), lent)
    expected = merge.ties(base, experts, 0.2, 0.3)
    assert all(torch.equal(lent["merged"][name], value) for name, value in expected.items())


def rows(header):
    table = PAGE[PAGE.index(f"| {header} |\n") :].split("\n\n")[0].splitlines()[2:]
    return {
        re.findall(r"`([^`]+)`", row.split("|")[1])[0]: set(
            re.findall(r"`(\w+)`", row.split("|")[2])
        )
        for row in table
    }


def test_the_table_names_every_field():
    assert rows("Field | Meaning").keys() == specs.FIELDS.keys() - {"settings"}


def test_the_page_includes_what_the_command_prints():
    assert "```{include} rules.md\n```" in PAGE
    command = [sys.executable, "-m", "mergehelpers", "rules"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == merge.table(merge.RULES).strip()
