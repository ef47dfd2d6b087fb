"""The claims ledger: verdicts, their records in a notebook, and the collected file."""

import csv
import json
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mergebook import claims, ledger
from mergebook.claims import PAPERS, Outcome
from mergebook.ledger import Ledger

ROOT = Path(__file__).parents[1]
CHAPTERS = ledger.notebooks()
CLAIMS = ledger.claims()
IDS = [i for i, claim in CLAIMS.items() if claim.chapter == 5 and not claim.moved]
FIRST, SECOND, THIRD, FOURTH = IDS[:4]
FOREIGN = next(i for i, claim in CLAIMS.items() if claim.chapter == 1)
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
    book = Ledger(5)
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
    book = Ledger(5)
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
    book = Ledger(5)
    book.check(FIRST, np.float64(1) > 2, **TEXTS)
    book.check(SECOND, np.float64(1) < 2, **TEXTS)
    assert [verdict.verdict for verdict in book.verdicts.values()] == ["fails", "holds"]


@pytest.mark.parametrize("holds", ["False", 0.3, [False]], ids=repr)
def test_what_is_no_boolean_decides_nothing(holds):
    """A text or a number that is true by accident must not become a verdict."""
    book = Ledger(5)
    with pytest.raises((TypeError, ValueError), match=FIRST):
        book.check(FIRST, holds, **TEXTS)
    assert not book.verdicts


@pytest.mark.parametrize("claim_id", ["no-such-claim", FOREIGN, ""])
def test_a_claim_of_no_or_another_chapter_is_refused(claim_id, capsys):
    book = Ledger(5)
    with pytest.raises(ValueError, match=f"'{claim_id}' is no claim of chapter 5"):
        book.check(claim_id, True, **TEXTS)
    assert not book.verdicts and not capsys.readouterr().out


def test_running_a_cell_again_replaces_its_verdict():
    book = Ledger(5)
    book.check(FIRST, True, **TEXTS)
    book.check(FIRST, False, **TEXTS)
    assert list(book.verdicts) == [FIRST] and book.verdicts[FIRST].verdict == "fails"


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["", "  ", 0.5, None])
def test_a_text_that_is_empty_or_none_is_named(field, value):
    book = Ledger(5)
    with pytest.raises(ValueError, match=f"{FIRST}: {field} is {value!r}; give a text"):
        book.check(FIRST, True, **TEXTS | {field: value})
    assert not book.verdicts


def test_missing_and_table_follow_the_order_of_the_paper(capsys):
    book = Ledger(5)
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
    assert table.loc[FIRST, "where"] == CLAIMS[FIRST].where


def test_the_page_shows_a_verdict_with_its_texts_escaped():
    verdict = ledger.Verdict(FIRST, 3, "fails", "a < b", "b & c", "", "<i>")
    html = verdict._repr_mimebundle_()["text/html"]
    assert "verdict-fails" in html and f'id="{FIRST}"' in html
    assert "a &lt; b" in html and "b &amp; c" in html and "&lt;i&gt;" in html
    kinds = (ledger.HOLDS, ledger.CORRECTED, ledger.FAILS, ledger.UNDECIDED, ledger.OBSERVATION)
    assert len({ledger.CSS[v] for v in kinds}) == 5


# --------------------------------------------------------------------------- from notebooks to a
# file


def record(claim_id, verdict="holds"):
    return {"id": claim_id, "chapter": 2, "verdict": verdict, "tolerance": "", **TEXTS}


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
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells), tmp_path / name)
        return tmp_path / name

    return make


def test_records_of_a_run_notebook_reach_the_file(tmp_path):
    texts = "measured='½', expected='0.25', note='why'"
    cells = [
        new_code_cell("from mergebook.ledger import Ledger\nbook = Ledger(5)"),
        new_code_cell(f"book.check({SECOND!r}, False, tolerance='1 %', {texts})"),
        new_code_cell(f"book.check({FIRST!r}, None, {texts})"),
    ]
    run = NotebookClient(new_notebook(cells=cells), kernel_name="python3").execute()
    nbformat.write(run, tmp_path / "01.ipynb")
    decided = {
        SECOND: {
            "chapter": 5,
            "verdict": "fails",
            "tolerance": "1 %",
            **TEXTS,
            "measured": "½",
            "page": "01",
        },
        FIRST: {
            "chapter": 5,
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


def test_a_pages_name_says_its_folder_as_seen_from_the_lessons():
    for path, name in {
        "notebooks/02-mties.ipynb": "02-mties",
        "notebooks/evidence/01b-theorem.ipynb": "evidence/01b-theorem",
        "/run/03/evidence/01b-theorem.ipynb": "evidence/01b-theorem",
        "evidence/deeper/01b-theorem.ipynb": "01b-theorem",
    }.items():
        assert ledger.page_name(Path(path)) == ledger.page_name(path) == name


def test_the_page_of_a_claim_is_known_with_its_folder(notebook):
    paths = [notebook("01.ipynb", FIRST), notebook("evidence/01a.ipynb", SECOND)]
    found = ledger.gather(paths)
    assert {i: found[i]["page"] for i in found} == {FIRST: "01", SECOND: "evidence/01a"}


def test_everything_has_each_claim_once_with_what_was_decided(notebook):
    table = ledger.everything([notebook("01.ipynb", FIRST), notebook("01b-more.ipynb", THIRD)])
    assert list(table.index) == list(CLAIMS)
    assert list(table.paper.unique()) == list(dict.fromkeys(PAPERS.values()))
    assert list(table.index[table.verdict != ""]) == [FIRST, THIRD]
    assert table.loc[THIRD, ["page", "verdict", "measured", "note", "correction"]].tolist() == [
        "01b-more",
        "holds",
        "0.5",
        "why",
        "",
    ]
    assert table.loc[SECOND, ["page", "verdict", "claim"]].tolist() == [
        "",
        "",
        CLAIMS[SECOND].claim,
    ]
    for column in ("chapter", "where", "kind", "speaker", "strength", "headline"):
        assert table[column].tolist() == [getattr(c, column) for c in CLAIMS.values()]
    assert 0 < table.headline.sum() < len(table) and table.headline.dtype == bool


def test_the_register_has_an_anchor_a_link_and_escaped_texts(notebook):
    paths = [notebook("01.ipynb", FIRST), notebook("evidence/01a.ipynb", THIRD)]
    table = ledger.everything(paths).loc[[FIRST, SECOND, THIRD]]
    table.loc[FIRST, "measured"] = "a < b & c"
    html = ledger.register(table)
    assert [i for i in CLAIMS if f'<tr id="{i}"' in html] == [FIRST, SECOND, THIRD]
    assert f'href="01.html#{FIRST}"' in html and f'href="evidence/01a.html#{THIRD}"' in html
    assert "a &lt; b &amp; c" in html and "a < b" not in html
    stated = CLAIMS[FIRST]
    assert (
        f'data-paper="{stated.paper}" data-verdict="holds" data-kind="{stated.kind}"'
        f' data-strength="{stated.strength}" data-speaker="{stated.speaker}"'
    ) in html
    assert html.count("no verdict") == 1 and "Corrected" not in html


def test_a_folder_without_notebooks_is_named(tmp_path, notebook):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no notebooks"):
        ledger.notebooks(str(tmp_path))


def test_an_installed_package_without_the_book_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "__file__", str(tmp_path / "site" / "mergebook" / "ledger.py"))
    with pytest.raises(FileNotFoundError, match="holds no notebooks; run the book from a clone"):
        ledger.notebooks()


def test_the_notebooks_are_the_lessons_and_the_pages_of_evidence():
    found = [path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_" not in str(path)]
    assert sorted(found) == sorted(CHAPTERS)
    assert {path.parent.name for path in CHAPTERS} == {"notebooks", "evidence"}


def test_a_run_replaces_the_pages_that_it_has(notebook, tmp_path):
    """A page that the run lacks is taken from the book, so that every claim has its record."""
    lesson, evidence = (
        next(path for path in CHAPTERS if path.parent.name == name)
        for name in ("notebooks", "evidence")
    )
    ran = [notebook(lesson.name), notebook(f"evidence/{evidence.name}"), notebook("99-new.ipynb")]
    found = ledger.notebooks(str(tmp_path))
    assert set(found) == set(CHAPTERS) - {lesson, evidence} | set(ran)
    names = [ledger.page_name(path) for path in found]
    assert names == sorted(names) and len(names) == len(CHAPTERS) + 1


@pytest.mark.parametrize(
    ("page", "seen_from", "link"),
    [
        ("02-mties", "", "02-mties.html#x"),
        ("evidence/01b-theorem", "", "evidence/01b-theorem.html#x"),
        ("02-mties", "evidence", "../02-mties.html#x"),
        ("evidence/01b-theorem", "evidence", "01b-theorem.html#x"),
    ],
)
def test_the_address_of_a_card_leads_there_from_every_folder(page, seen_from, link):
    assert ledger.address(page, "x", seen_from) == link


# ---------------------------------------------------------------------------- claims with functions

ENTRY = {
    "id": "plain",
    "where": "Sec. <1>",
    "claim": "a < b.",
    "kind": "statement",
    "speaker": "paper",
    "strength": "small networks",
    "check": "Compare.",
    "measured": "{gap:.1f}",
    "expected": "above {zero}",
    "tolerance": "95 %",
    "correction": "by {gap:.0f} & more.",
    "note": "<b>",
}
VALUES = {"gap": 2.0, "zero": 0}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of few claims: entries by id, each with what differs from `ENTRY`."""
    monkeypatch.setattr(claims, "book_folder", lambda name: tmp_path)

    def make(**entries):
        listed = [ENTRY | {"id": name.replace("_", "-")} | e for name, e in entries.items()]
        (tmp_path / "ch3.yml").write_text(yaml.safe_dump(listed), encoding="utf-8")
        claims.claims.cache_clear()

    yield make
    claims.claims.cache_clear()


@pytest.mark.parametrize(
    ("outcome", "verdict", "correction"),
    [
        (Outcome(True, True, VALUES), "holds", ""),
        (Outcome(False, True, VALUES), "holds, corrected", "by 2 & more."),
        (Outcome(False, False, VALUES), "fails", ""),
        (Outcome(None, True, VALUES), "not decidable here", ""),
    ],
)
def test_an_outcome_becomes_a_verdict_with_the_sentences_of_its_claim(
    book, outcome, verdict, correction
):
    book(plain={"decides": "more rain."})
    found = ledger.verdict("plain", outcome)
    said = "<b> To decide it: more rain." if outcome.holds is None else "<b>"
    texts = {"measured": "2.0", "expected": "above 0", "tolerance": "95 %", "note": said}
    stored = {"id": "plain", "chapter": 3, "verdict": verdict} | texts
    assert found.record() == stored | ({"correction": correction} if correction else {})
    note = f"Corrected: {correction} <b>" if correction else said
    shown = f"plain: {verdict.upper()} | measured 2.0 | expected above 0 (95 %) | {note}"
    assert found._repr_mimebundle_()["text/plain"] == repr(found) == shown


@pytest.mark.parametrize("holds", [True, False, None])
def test_an_observation_is_shown_as_one_and_not_judged(book, holds):
    book(plain={"kind": "observation"})
    found = ledger.verdict("plain", Outcome(holds, True, VALUES))
    assert found.verdict == "observation" and found.correction == ""
    assert 'class="verdict verdict-observation"' in found._html()


def test_a_corrected_verdict_without_a_correction_is_refused(book):
    book(plain={"correction": ""})
    assert ledger.verdict("plain", Outcome(True, True, VALUES)).verdict == "holds"
    with pytest.raises(ValueError, match="plain is holds, corrected, but its entry has no correct"):
        ledger.verdict("plain", Outcome(False, True, VALUES))


@pytest.mark.parametrize("name", ["measured", "expected", "note"])
@pytest.mark.parametrize("text", ["", "  ", "two\nlines"])
def test_a_sentence_that_comes_out_empty_or_in_lines_is_named(book, name, text):
    book(plain={name: "{said}"})
    with pytest.raises(ValueError, match=f"plain: {name} is .*; give a text of one line"):
        ledger.verdict("plain", Outcome(True, values=VALUES | {"said": text}))


def test_a_value_that_the_outcome_lacks_is_named(book):
    book(plain={})
    with pytest.raises(ValueError, match="plain: expected names 'zero', which the outcome lacks"):
        ledger.verdict("plain", Outcome(True, values={"gap": 1.0}))


def test_the_card_says_how_strong_the_evidence_is_and_escapes_all_texts(book):
    book(plain={})
    html = ledger.verdict("plain", Outcome(False, True, VALUES))._html()
    head = (
        "<strong>holds, corrected</strong> · small networks · <code>plain</code> · Sec. &lt;1&gt;"
    )
    assert f'<div class="verdict verdict-corrected" id="plain"><p>{head}</p>' in html
    assert "a &lt; b." in html and "&lt;b&gt;" in html and "<b>" not in html
    assert "<strong>Corrected</strong> by 2 &amp; more." in html
    assert "said by" not in html and "changed after" not in html
    assert "Corrected" not in ledger.verdict("plain", Outcome(True, True, VALUES))._html()


def test_the_card_says_who_speaks_if_not_the_paper_and_which_rule_was_changed(book):
    book(plain={"speaker": "third party", "changed": "From 5 % to <6 %."})
    html = ledger.verdict("plain", Outcome(True, values=VALUES))._html()
    assert "Sec. &lt;1&gt; · said by: third party</p>" in html
    assert "Rule changed after a result: From 5 % to &lt;6 %.</small>" in html


@pytest.mark.parametrize(
    "text, html",
    {
        "see `a <b>`, *holds, so*.": "see <code>a &lt;b&gt;</code>, <em>holds, so</em>.",
        "(*fails*)": "(<em>fails</em>)",
        "2 * 3 * 4, W*W*W and k*e, a*": "2 * 3 * 4, W*W*W and k*e, a*",
    }.items(),
)
def test_code_and_emphasis_of_a_sentence_are_shown(text, html, book):
    book(plain={"changed": text})
    assert f": {html}</small>" in ledger.verdict("plain", Outcome(True, values=VALUES))._html()


def test_what_counts_leaves_out_observations_and_third_parties(book):
    book(
        plain={},
        seen={"kind": "observation"},
        summary={"speaker": "third party"},
        code={"speaker": "released code"},
        more={"speaker": "supplement"},
    )
    table = ledger.everything([])
    assert list(table.index) == ["plain", "seen", "summary", "code", "more"]
    assert list(ledger.counted(table).index) == ["plain", "code", "more"]


@pytest.fixture
def decided(book, tmp_path, monkeypatch):
    """A chapter of four claims; three are decided, on a lesson and on a page of evidence."""
    book(plain={"headline": True}, folded={}, second={"headline": True}, open_still={})

    def page(name, **outcomes):
        shown = [ledger.verdict(i, outcome)._repr_mimebundle_() for i, outcome in outcomes.items()]
        outputs = [new_output("display_data", data=bundle) for bundle in shown]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        notebook = new_notebook(cells=[new_code_cell("decide", outputs=outputs)])
        nbformat.write(notebook, tmp_path / name)
        return tmp_path / name

    paths = [
        page("evidence/03a-x.ipynb", plain=Outcome(False, True, VALUES)),
        page("03-lesson.ipynb", folded=Outcome(False, values=VALUES)),
        page("evidence/03b-y.ipynb", second=Outcome(True, values=VALUES)),
    ]
    asked = []
    monkeypatch.setattr(ledger, "notebooks", lambda executed="": asked.append(executed) or paths)
    return asked


def test_a_correction_goes_from_the_card_to_the_table_and_the_register(decided):
    table = ledger.everything(ledger.notebooks())
    assert table.correction.to_dict() == {
        "plain": "by 2 & more.",
        "folded": "",
        "second": "",
        "open-still": "",
    }
    html = ledger.register(table)
    assert html.count("<p><strong>Corrected</strong> by 2 &amp; more.</p>") == 1
    assert html.count("<strong>Corrected</strong>") == 1
    assert html.count('data-headline="True"') == html.count('data-headline="False"') == 2


def test_a_lesson_shows_its_headlines_and_folds_the_rest_with_an_anchor_for_each(decided):
    html = ledger.says(3, "a run").data
    assert decided == ["a run"]
    shown, folded = html.split("<details>")
    assert "<summary>The chapter's other 2 claims</summary>" in folded
    for part, ids in ((shown, ["plain", "second"]), (folded, ["folded", "open-still"])):
        assert [i for i in claims.claims() if f'<tr id="{i}"' in part] == ids
        assert part.count("<tr id=") == len(ids)
    assert "verdict-corrected" in shown and "small networks" in shown and "a &lt; b." in shown
    assert "<small>Corrected: by 2 &amp; more." in shown
    assert "verdict-fails" in folded and "verdict-undecided" in folded and "no verdict" in folded


def test_what_a_lesson_says_links_to_the_cards_of_the_evidence(decided):
    html = ledger.says(3).data
    for i, page in {"plain": "evidence/03a-x", "second": "evidence/03b-y"}.items():
        link = f"{page}.html#{i}"
        assert f'<tr id="{i}" data-evidence="{link}">' in html
        assert f'<a href="{link}">evidence</a>' in html
    assert '<a href="03-lesson.html#folded">evidence</a>' in html
    assert html.count("<a href=") == 3 and '<tr id="open-still" data-evidence="">' in html


def test_a_lesson_says_nothing_of_other_chapters(decided):
    html = ledger.says(4).data
    assert "<tr id=" not in html and "other 0 claims" in html


# ------------------------------------------------------------------------------------ the real
# files


def test_there_are_360_claims_with_unique_ids():
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "book" / "claims").glob("c*.yml")
    )
    written = [line for line in text.splitlines() if line.startswith("- id:")]
    assert len(written) == len(set(written)) == len(CLAIMS) == 360
    counts = Counter(claim.chapter for claim in CLAIMS.values())
    assert counts == {1: 37, 2: 53, 3: 113, 4: 96, 5: 61}
    assert Counter(claim.chapter for claim in CLAIMS.values() if claim.moved) == {
        1: 37,
        2: 53,
        3: 113,
        4: 96,
        5: 55,
    }


def test_every_claim_says_what_where_and_how_it_is_checked():
    for claim_id, claim in CLAIMS.items():
        for field in ("where", "claim", "kind", "speaker", "strength", "check"):
            value = getattr(claim, field)
            assert isinstance(value, str) and value.strip(), f"{claim_id} lacks {field}"
        assert claim.moved or claim.evidence.strip(), f"{claim_id} says not where it is decided"


@pytest.mark.parametrize("claim_id", [i for i, claim in CLAIMS.items() if claim.moved])
def test_every_claim_with_sentences_has_a_function(claim_id):
    assert callable(claims.decider(claim_id))


def test_the_stored_verdicts_are_those_of_the_notebooks():
    stored = json.loads((ROOT / "book" / "claims" / "verdicts.json").read_text(encoding="utf-8"))
    assert stored and stored == ledger.gather(CHAPTERS)


def test_stored_verdicts_answer_known_claims_of_their_chapter():
    for claim_id, found in ledger.gather(CHAPTERS).items():
        assert found["chapter"] == CLAIMS[claim_id].chapter
        assert found["verdict"] in ledger.CSS
        observed = CLAIMS[claim_id].kind == ledger.OBSERVATION
        assert observed == (found["verdict"] == ledger.OBSERVATION), claim_id


@pytest.mark.parametrize("chapter", sorted({int(path.stem[:2]) for path in CHAPTERS}))
def test_a_finished_chapter_decides_all_of_its_claims(chapter):
    """One in progress says so in two places: on its page and in the introduction.

    The ledger's own chapter, the sixth, has no claims; the suites' page is no chapter. A chapter
    may have several pages, 03-, 03b- and those of its evidence; it is in progress while any is.
    """
    pages = [path for path in CHAPTERS if int(path.stem[:2]) == chapter]
    decided = {found["id"] for path in pages for found in ledger.records(path)}
    open_claims = {i for i, claim in CLAIMS.items() if claim.chapter == chapter} - decided
    titles = [
        json.loads(path.read_text(encoding="utf-8"))["cells"][0]["metadata"].get("tags", [])
        for path in pages
    ]
    state = "in progress" if any("in-progress" in tags for tags in titles) else "finished"
    assert bool(open_claims) == (state == "in progress")


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
