"""The shape of the book: pages within bounds, packages that keep apart, one meaning a name."""

import ast
import re
import statistics
from collections import defaultdict
from pathlib import Path

import nbformat
import papermill
import pytest

import book

ROOT = Path(__file__).parents[1]
PAGES = book.pages(book.ROOT)
LESSONS = [path for path in PAGES if book.kind(path) == book.LESSON]
EVIDENCE = [path for path in PAGES if book.kind(path) == book.EVIDENCE]
MODULES = [
    path for package in ("mergehelpers", "mergebook") for path in (ROOT / package).rglob("*.py")
]


def own(path, kind):
    """Cells of a kind without those of solutions."""
    cells = nbformat.read(path, as_version=4).cells
    cells = [cell for cell in cells if "solution" not in cell.metadata.get("tags", [])]
    return [cell.source for cell in cells if cell.cell_type == kind]


def lines(source):
    return len([line for line in source.splitlines() if line.strip()])


def words(path):
    return sum(len(re.findall(r"\w+", source)) for source in own(path, "markdown"))


def test_every_page_is_of_a_kind():
    kinds = {path.stem: book.kind(path) for path in PAGES}
    assert set(kinds.values()) == {book.LESSON, book.EVIDENCE, book.REFERENCE, book.NOT_MOVED}
    assert kinds["01-expected-mloss"] == book.LESSON and kinds["06-ledger"] == book.REFERENCE
    for path in PAGES:
        tags = nbformat.read(path, as_version=4).cells[0].metadata.get("tags", [])
        named = {book.LESSON, book.REFERENCE, book.NOT_MOVED} & set(tags)
        assert len(named) == (path not in EVIDENCE), path.name


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_can_be_read(path):
    code = [lines(source) for source in own(path, "code")]
    assert len(code) <= 26 and sum(code) <= 300
    assert statistics.median(code) <= 9 and max(code) <= 25
    assert words(path) >= 8 * sum(code)
    assert len(papermill.inspect_notebook(str(path))) <= 8


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_shows_a_picture_first_and_decides_nothing(path):
    cells = nbformat.read(path, as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert any("image/png" in output.get("data", {}) for output in first.outputs)
    assert "parameters" not in first.metadata.get("tags", [])
    assert not any(re.search(r"\.(decide|check)\(", source) for source in own(path, "code"))
    assert any("ledger.says(" in source for source in own(path, "code"))


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda path: path.stem)
def test_an_evidence_page_is_thin_and_decides(path):
    code = [lines(source) for source in own(path, "code")]
    assert len(code) <= 20 and sum(code) <= 150 and max(code) <= 25
    assert re.match(r"# .*\?\n", own(path, "markdown")[0]), "its title is no question"
    joined = "\n".join(own(path, "code"))
    assert "page.decide(" in joined and "page.close(" in joined and "page.source(" in joined
    functions = [node for node in ast.walk(ast.parse(joined)) if isinstance(node, ast.FunctionDef)]
    assert len(functions) <= 1, "experiments live in mergebook"


@pytest.mark.parametrize("path", LESSONS + EVIDENCE, ids=lambda path: path.stem)
def test_lines_of_code_fit_the_column(path):
    long = [line for source in own(path, "code") for line in source.splitlines() if len(line) > 92]
    assert long == []


def test_the_thin_package_knows_no_ledger_no_claim_and_no_mergebook():
    for path in (ROOT / "mergehelpers").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(mergebook|ledger)\b", text, re.IGNORECASE), path


def public(path):
    """Names of public functions and classes that a module defines."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [n.name for n in body if isinstance(n, kinds) and not n.name.startswith("_")]


# One idea for several kinds of things; the module in front says which.
SAME = {
    "accuracy": "share of right answers: of a suite's models, of a laboratory's stack",
    "average": "the mean of models: of state dicts, of a stack",
    "experiment": "an experiment of a chapter's one kind: of merges, of trials",
    "lead": "accuracy of one method minus another's: printed, of trials",
    "leads": "a method's leads over others: printed, of trials",
    "learn": "coefficients learnt: AdaMerging in two forms, a trial",
    "Learnt": "what such a training found: AdaMerging in two forms, a trial",
    "logits": "class scores: of a merged state, of a soup's model, of a stack",
    "m_ties": "M-TIES: given its keep rates, and finding them",
    "take": "the chosen members: of inputs, of a stack",
    "train": "gradient steps: of coefficients, of a network, of a stack",
}


def test_no_two_public_functions_or_classes_share_a_name():
    where = defaultdict(list)
    for path in MODULES:
        for name in public(path):
            where[name].append(path.relative_to(ROOT).as_posix())
    shared = {name: paths for name, paths in where.items() if len(paths) > 1}
    assert {name: paths for name, paths in shared.items() if name not in SAME} == {}
    assert set(SAME) <= set(shared), "an exception that is none"
