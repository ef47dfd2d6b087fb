"""The claims ledger: verdicts, their records in a notebook, and the collected file."""

import csv
import json
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mergebook import ledger
from mergebook.ledger import Ledger

ROOT = Path(__file__).parents[1]
INTRO = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
IDS = [claim_id for claim_id, claim in ledger.claims().items() if claim["chapter"] == 1]
FIRST, SECOND, THIRD, FOURTH = IDS[:4]
FOREIGN = next(i for i, claim in ledger.claims().items() if claim["chapter"] == 2)
TEXTS = {"measured": "0.5", "expected": "0.25", "note": "why"}


@pytest.mark.parametrize(
    "holds, corrected, verdict",
    [
        (True, False, "holds"),
        (True, True, "holds"),
        (False, True, "holds, corrected"),
        (False, False, "fails"),
        (None, False, "not decidable here"),
        (None, True, "not decidable here"),
    ],
)
def test_the_four_verdicts(holds, corrected, verdict, capsys):
    book = Ledger(1)
    book.check(FIRST, holds, corrected=corrected, tolerance="3 s.e.", **TEXTS)
    assert book.verdicts[FIRST].verdict == verdict
    line = f"{FIRST}: {verdict.upper()} | measured 0.5 | expected 0.25 (3 s.e.) | why\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(
    ("holds", "corrected", "note"),
    [
        (False, True, "Corrected: it is a half. why"),
        (True, True, "why"),
        (False, False, "why"),
        (None, True, "why"),
    ],
)
def test_a_correction_shows_only_where_the_verdict_is_one(holds, corrected, note):
    book = Ledger(1)
    book.check(FIRST, holds, corrected=corrected, correction="it is a half.", **TEXTS)
    assert book.verdicts[FIRST].note == note


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a": True, "b": True}, "holds on a, b"),
        ({"a": True, "b": False}, "holds on a, not on b"),
        ({"a": False}, "holds on no suite"),
    ],
)
def test_where_a_rule_holds_is_said_in_words(found, words):
    assert ledger.where(found) == words


def test_booleans_of_numpy_count_as_booleans(capsys):
    import numpy as np

    book = Ledger(1)
    book.check(FIRST, np.float64(1) > 2, **TEXTS)
    book.check(SECOND, np.float64(1) < 2, **TEXTS)
    assert [verdict.verdict for verdict in book.verdicts.values()] == ["fails", "holds"]


@pytest.mark.parametrize("holds", ["False", 0.3, [False]], ids=repr)
def test_what_is_no_boolean_decides_nothing(holds):
    """A text or a number that is true by accident must not become a verdict."""
    book = Ledger(1)
    with pytest.raises((TypeError, ValueError), match=FIRST):
        book.check(FIRST, holds, **TEXTS)
    assert not book.verdicts


@pytest.mark.parametrize("claim_id", ["no-such-claim", FOREIGN, ""])
def test_a_claim_of_no_or_another_chapter_is_refused(claim_id, capsys):
    book = Ledger(1)
    with pytest.raises(ValueError, match=f"'{claim_id}' is no claim of chapter 1"):
        book.check(claim_id, True, **TEXTS)
    assert not book.verdicts and not capsys.readouterr().out


def test_running_a_cell_again_replaces_its_verdict():
    book = Ledger(1)
    book.check(FIRST, True, **TEXTS)
    book.check(FIRST, False, **TEXTS)
    assert list(book.verdicts) == [FIRST] and book.verdicts[FIRST].verdict == "fails"


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["", "  ", 0.5, None])
def test_a_text_that_is_empty_or_none_is_named(field, value):
    book = Ledger(1)
    with pytest.raises(ValueError, match=f"{FIRST}: {field} is {value!r}; give a text"):
        book.check(FIRST, True, **TEXTS | {field: value})
    assert not book.verdicts


def test_missing_and_table_follow_the_order_of_the_paper(capsys):
    book = Ledger(1)
    book.check(THIRD, False, **TEXTS)
    book.check(FIRST, True, **TEXTS | {"measured": "1"})
    assert book.missing() == [i for i in IDS if i not in (FIRST, THIRD)]
    table = book.table()
    assert list(table.index) == [FIRST, THIRD]
    assert table.loc[THIRD, ["verdict", "measured", "expected"]].tolist() == [
        "fails",
        "0.5",
        "0.25",
    ]
    assert table.loc[FIRST, "where"] == ledger.claims()[FIRST]["where"]


def test_the_page_shows_a_verdict_with_its_texts_escaped():
    verdict = ledger.Verdict(FIRST, 1, "fails", "a < b", "b & c", "", "<i>")
    html = verdict._repr_mimebundle_()["text/html"]
    assert "verdict-fails" in html and f'id="{FIRST}"' in html
    assert "a &lt; b" in html and "b &amp; c" in html and "&lt;i&gt;" in html
    assert (
        len(
            {
                ledger.CSS[v]
                for v in (ledger.HOLDS, ledger.CORRECTED, ledger.FAILS, ledger.UNDECIDED)
            }
        )
        == 4
    )


# --------------------------------------------------------------------------- from notebooks to a
# file


def record(claim_id, verdict="holds"):
    return {"id": claim_id, "chapter": 1, "verdict": verdict, "tolerance": "", **TEXTS}


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook whose outputs hold the records of these claims; returns its path."""

    def make(name, *claim_ids):
        bundles = [{"text/plain": "line", ledger.MIME: record(i)} for i in claim_ids]
        outputs = [new_output("display_data", data=bundle) for bundle in bundles]
        other = [
            new_output("stream", text="words"),
            new_output("display_data", data={"text/plain": "figure"}),
        ]
        cells = [
            new_markdown_cell("text"),
            new_code_cell("a", outputs=other),
            new_code_cell("b", outputs=outputs),
        ]
        nbformat.write(new_notebook(cells=cells), tmp_path / name)
        return tmp_path / name

    return make


def test_records_of_a_run_notebook_reach_the_file(tmp_path):
    texts = "measured='½', expected='0.25', note='why'"
    cells = [
        new_code_cell("from mergebook.ledger import Ledger\nbook = Ledger(1)"),
        new_code_cell(f"book.check({SECOND!r}, False, tolerance='1 %', {texts})"),
        new_code_cell(f"book.check({FIRST!r}, None, {texts})"),
    ]
    run = NotebookClient(new_notebook(cells=cells), kernel_name="python3").execute()
    nbformat.write(run, tmp_path / "01.ipynb")
    decided = {
        SECOND: {
            "chapter": 1,
            "verdict": "fails",
            "tolerance": "1 %",
            **TEXTS,
            "measured": "½",
            "page": "01",
        },
        FIRST: {
            "chapter": 1,
            "verdict": "not decidable here",
            "tolerance": "",
            **TEXTS,
            "measured": "½",
            "page": "01",
        },
    }
    assert [found["id"] for found in ledger.records(tmp_path / "01.ipynb")] == [SECOND, FIRST]
    assert ledger.gather([tmp_path / "01.ipynb"]) == decided
    ledger.write_verdicts([tmp_path / "01.ipynb"], tmp_path / "verdicts.json")
    text = (tmp_path / "verdicts.json").read_text(encoding="utf-8")
    assert json.loads(text) == decided
    assert list(json.loads(text)) == sorted(decided) and "½" in text and text.endswith("}\n")
    line = run.cells[1].outputs[0].data["text/plain"]
    assert line == f"{SECOND}: FAILS | measured ½ | expected 0.25 (1 %) | why"


def test_several_notebooks_give_one_file_in_any_order(notebook, tmp_path):
    paths = [
        notebook("01.ipynb", FIRST, FOURTH),
        notebook("02.ipynb", SECOND),
        notebook("03.ipynb"),
    ]
    assert list(ledger.gather(paths)) == sorted([FIRST, SECOND, FOURTH])
    for order in (paths, paths[::-1]):
        ledger.write_verdicts(order, tmp_path / f"{order[0].stem}.json")
    assert (tmp_path / "01.json").read_bytes() == (tmp_path / "03.json").read_bytes()


def test_a_claim_decided_twice_is_named_with_its_notebook(notebook):
    paths = [notebook("01.ipynb", FIRST), notebook("02.ipynb", SECOND, FIRST)]
    with pytest.raises(
        ValueError, match=f"{FIRST} is decided twice, the second time in .*02.ipynb"
    ):
        ledger.gather(paths)
    with pytest.raises(ValueError, match="decided twice"):
        ledger.gather([notebook("03.ipynb", THIRD, THIRD)])


def test_an_interrupted_write_leaves_the_old_file(notebook, tmp_path, monkeypatch):
    target = tmp_path / "verdicts.json"
    ledger.write_verdicts([notebook("01.ipynb", FIRST)], target)
    before = target.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.write_verdicts([notebook("02.ipynb", SECOND)], target)
    assert target.read_bytes() == before


def test_everything_has_each_claim_once_with_what_was_decided(notebook):
    table = ledger.everything([notebook("01.ipynb", FIRST), notebook("01b-more.ipynb", THIRD)])
    assert list(table.index) == list(ledger.claims()) and list(table.paper.unique()) == list(
        dict.fromkeys(ledger.PAPERS.values())
    )
    assert list(table.index[table.verdict != ""]) == [FIRST, THIRD]
    assert table.loc[THIRD, ["page", "verdict", "measured", "note"]].tolist() == [
        "01b-more",
        "holds",
        "0.5",
        "why",
    ]
    assert table.loc[SECOND, ["page", "verdict", "claim"]].tolist() == [
        "",
        "",
        ledger.claims()[SECOND]["claim"],
    ]
    assert table.headline.sum() == sum(
        bool(claim.get("headline")) for claim in ledger.claims().values()
    )


def test_the_register_has_an_anchor_a_link_and_escaped_texts(notebook):
    table = ledger.everything([notebook("01.ipynb", FIRST)]).loc[[FIRST, SECOND]]
    table.loc[FIRST, "measured"] = "a < b & c"
    html = ledger.register(table)
    assert [i for i in ledger.claims() if f'<tr id="{i}"' in html] == [FIRST, SECOND]
    assert f'href="01.html#{FIRST}"' in html and "a &lt; b &amp; c" in html and "a < b" not in html
    assert (
        f'data-paper="M-Loss" data-verdict="holds" data-kind="{ledger.claims()[FIRST]["kind"]}"'
        in html
    )
    assert html.count("no verdict") == 1


def test_a_folder_without_notebooks_is_named(tmp_path, notebook):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no notebooks"):
        ledger.notebooks(str(tmp_path))
    assert ledger.notebooks(str(notebook("01.ipynb").parent)) == [tmp_path / "01.ipynb"]
    assert ledger.notebooks() == CHAPTERS


# ------------------------------------------------------------------------------------ the real
# files


def test_there_are_321_claims_with_unique_ids():
    text = (ROOT / "book" / "claims" / "claims.yml").read_text(encoding="utf-8")
    written = [line for line in text.splitlines() if line.startswith("- id:")]
    assert len(written) == len(set(written)) == len(ledger.claims()) == 321
    counts = Counter(claim["chapter"] for claim in ledger.claims().values())
    assert counts == {1: 30, 2: 46, 3: 106, 4: 83, 5: 56}


def test_every_claim_says_what_where_and_how_it_is_checked():
    for claim_id, claim in ledger.claims().items():
        for field in ("where", "claim", "kind", "evidence", "check"):
            assert isinstance(claim[field], str) and claim[field].strip(), (
                f"{claim_id} lacks {field}"
            )


def test_the_stored_verdicts_are_those_of_the_notebooks():
    stored = json.loads((ROOT / "book" / "claims" / "verdicts.json").read_text(encoding="utf-8"))
    assert stored and stored == ledger.gather(CHAPTERS)


def test_stored_verdicts_answer_known_claims_of_their_chapter():
    for claim_id, found in ledger.gather(CHAPTERS).items():
        assert found["chapter"] == ledger.claims()[claim_id]["chapter"]
        assert found["verdict"] in ledger.CSS


@pytest.mark.parametrize("chapter", sorted({int(path.stem[:2]) for path in CHAPTERS}))
def test_a_finished_chapter_decides_all_of_its_claims(chapter):
    """The ledger's own chapter, the sixth, has none; the suites' page is no chapter. One in progress says so in two places.

    A chapter may have several pages, 03- and 03b-; it is in progress while any of them is.
    """
    pages = [path for path in CHAPTERS if int(path.stem[:2]) == chapter]
    decided = {found["id"] for path in pages for found in ledger.records(path)}
    open_claims = {
        i for i, claim in ledger.claims().items() if claim["chapter"] == chapter
    } - decided
    titles = [
        json.loads(path.read_text(encoding="utf-8"))["cells"][0]["metadata"].get("tags", [])
        for path in pages
    ]
    state = "in progress" if any("in-progress" in tags for tags in titles) else "finished"
    assert bool(open_claims) == (state == "in progress")
    listed = [
        line.rsplit("|", 2)[1].strip()
        for line in INTRO.splitlines()
        if line.startswith(f"| {chapter} |")
    ]
    assert listed == ([state] if chapter else [])


# ------------------------------------------------------------------------------- the papers' tables

TABLES = sorted(path.stem for path in (ROOT / "book" / "paper_tables").glob("*.csv"))


@pytest.mark.parametrize("table", TABLES)
def test_a_printed_table_is_read_cell_by_cell(table):
    with open(
        ROOT / "book" / "paper_tables" / f"{table}.csv", encoding="utf-8", newline=""
    ) as file:
        header, *rows = csv.reader(file)
    found = ledger.printed(table)
    assert rows and found.shape == (len(rows), len(header))
    assert all(name.startswith(text or "Unnamed") for name, text in zip(found.columns, header))
    for row, cells in zip(rows, found.itertuples(index=False)):
        for text, cell in zip(row, cells, strict=True):
            assert (
                text == cell
                if isinstance(cell, str)
                else text == ""
                if cell != cell
                else float(text) == cell
            )


@pytest.mark.parametrize("table", ["mloss_table99", "", "mloss_table1.csv"])
def test_an_unknown_table_is_refused_with_those_there_are(table):
    with pytest.raises(ValueError, match=f"table is '{table}'; allowed: {', '.join(TABLES)}$"):
        ledger.printed(table)
