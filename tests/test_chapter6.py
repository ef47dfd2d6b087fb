"""The ledger's pages: every claim has a verdict with code behind it, and links lead somewhere."""

import re
from pathlib import Path

import nbformat
import pages
import pytest

from mergebook import ledger
from mergebook.claims import PAPERS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
RELEASED = ledger.released()
CONCEPTS = (ROOT / "book" / "concepts.md").read_text(encoding="utf-8")


def test_no_claim_is_without_a_verdict():
    table = ledger.everything(ledger.notebooks())
    assert list(table.index[table.verdict == ""]) == []
    assert set(table.verdict) <= set(ledger.CSS)


def test_each_verdict_comes_from_a_cell_that_calls_the_check():
    """A record without code that decides it would be typed, not found."""
    for path in ledger.notebooks():
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                record = output.get("data", {}).get(ledger.MIME)
                calls = [call in cell.source for call in ("book.check(", "page.decide(")]
                assert record is None or any(calls), (path.name, cell.id)


@pytest.mark.parametrize(
    ("page", "parameters", "written"),
    [
        ("06-ledger", {"papers": ["Rethinking"]}, {"06-claims.csv"}),
        (
            "06b-errata",
            {"papers": ["M-Loss", "Rethinking"]},
            {"06b-errata-M-Loss.txt", "06b-errata-Rethinking.txt"},
        ),
        ("06c-audit", {"papers": ["FT-Classifier"]}, {"06c-audit.csv"}),
        ("06d-practice", {}, {"06d-bets.csv"}),
    ],
)
def test_a_page_runs_on_the_notebooks_of_a_folder(tmp_path, page, parameters, written):
    given = {} if page == "06c-audit" else {"executed": str(NOTEBOOKS)}
    pages.writes(NOTEBOOKS / f"{page}.ipynb", tmp_path, parameters | given, {}, written)


@pytest.mark.parametrize(
    ("page", "bad", "message"),
    [
        (
            "06-ledger",
            {"papers": ["TIES"]},
            r"papers is \['TIES'\]; allowed: "
            ".*one of M-Loss, StatsMerging, Rethinking, FT-Classifier",
        ),
        (
            "06-ledger",
            {"executed": "nowhere"},
            "executed is 'nowhere' .*; allowed: a folder with executed notebooks",
        ),
        ("06b-errata", {"papers": []}, r"papers is \[\]; allowed: a list of 1 or more"),
    ],
)
def test_bad_settings_stop_it_before_any_work(page, bad, message):
    pages.refuses(NOTEBOOKS / f"{page}.ipynb", bad, message, 6)


# ------------------------------------------------------------------------- what the pages point to


@pytest.mark.parametrize("fact", RELEASED, ids=[fact["id"] for fact in RELEASED])
def test_a_fact_about_released_code_names_its_commit_and_where_the_book_stands(fact):
    assert fact["paper"] in PAPERS.values() and fact["relation"] in (
        "absent",
        "agrees",
        "differs",
        "silent",
    )
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", fact["repository"]) and re.fullmatch(
        "[0-9a-f]{40}", fact["commit"]
    )
    assert all(fact[key].strip() for key in ("files", "lines", "code", "text", "verified"))
    for place in fact["book"]:
        assert (NOTEBOOKS / f"{place['page']}.ipynb").is_file()
        assert set(place["claims"]) <= set(ledger.claims())


def test_facts_have_one_name_each():
    assert len({fact["id"] for fact in RELEASED}) == len(RELEASED)


def test_a_fact_names_sections_that_the_pages_of_chapter_2_have():
    places = [p for fact in RELEASED for p in fact["book"] if p["page"].startswith("evidence/02")]
    headings = {
        page: {
            line.lstrip("# ")
            for cell in nbformat.read(NOTEBOOKS / f"{page}.ipynb", as_version=4).cells
            if cell.cell_type == "markdown"
            for line in cell.source.splitlines()
            if line.startswith("#")
        }
        for page in {place["page"] for place in places}
    }
    assert len(places) > 10
    assert [p for p in places if p["section"] not in headings[p["page"]]] == []


def sections(page):
    """Numbers of the headings of a notebook."""
    cells = nbformat.read(NOTEBOOKS / f"{page}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(re.findall(r"(?m)^##+ (\d+(?:\.\d+)?)\.? ", text))


def test_the_index_of_concepts_points_to_sections_that_exist():
    found = re.findall(r"<\.\./notebooks/([\w-]+)>`([^{]*)", CONCEPTS)
    named = [
        (page, number) for page, rest in found for number in re.findall(r"§(\d+(?:\.\d+)?)", rest)
    ]
    assert len(named) > 25
    assert [(page, number) for page, number in named if number not in sections(page)] == []
