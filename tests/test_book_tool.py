"""tools/book.py on a tiny book of its own."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import book


@pytest.fixture
def chapter(tmp_path):
    """Make a chapter whose last cell holds `source`; returns its path."""

    def make(source):
        cells = [
            new_markdown_cell("# Tiny", id="title", metadata={"tags": ["lesson"]}),
            new_code_cell(
                "seed: int = 0  # The seed", id="parameters", metadata={"tags": ["parameters"]}
            ),
            new_code_cell(
                source, id="work", metadata={"execution": {"iopub.execute_input": "2020"}}
            ),
        ]
        path = tmp_path / "notebooks" / "01-tiny.ipynb"
        path.parent.mkdir()
        kernel = {"display_name": "Mine", "language": "python", "name": "python3"}
        metadata = {"kernelspec": kernel, "papermill": {"duration": 1.0}}
        nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
        return path

    return make


def test_execute_passes_parameters_and_spares_the_chapter(chapter, tmp_path):
    path = chapter("print('seed', seed)")
    before = path.read_bytes()
    [executed] = book.execute(tmp_path, "01", "-p seed 7")
    assert executed == tmp_path / "_build" / "executed" / "01-tiny.ipynb"
    assert nbformat.read(executed, as_version=4).cells[-1].outputs[0].text == "seed 7\n"
    assert path.read_bytes() == before


@pytest.fixture
def whole(tmp_path):
    """A book of five pages, each of which says what it is, and the reference what run it reads."""
    kernel = {"display_name": "Mine", "language": "python", "name": "python3"}
    for name, tags, source in (
        ("01-first", ["lesson"], "print('lesson')"),
        ("02-second", ["not-moved"], "print('old')"),
        ("02b-second", ["not-moved"], "print('old')"),
        ("06-ledger", ["reference"], "print([executed])"),
        ("evidence/01b-second", [], "print('evidence')"),
    ):
        cells = [
            new_markdown_cell("# Tiny", id="title", metadata={"tags": tags}),
            new_code_cell(
                "executed: str = ''  # A run" if "06" in name else "seed: int = 0  # Seed",
                metadata={"tags": ["parameters"]},
            ),
            new_code_cell(source),
        ]
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True, parents=True)
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return tmp_path


def names(paths):
    return [path.stem for path in paths]


def test_pages_have_their_kinds_and_numbers(whole):
    kinds = {path.stem: (book.kind(path), book.number(path)) for path in book.pages(whole)}
    assert kinds == {
        "01-first": ("lesson", "01"),
        "02-second": ("not-moved", "02"),
        "02b-second": ("not-moved", "02b"),
        "06-ledger": ("reference", "06"),
        "01b-second": ("evidence", "01b"),
    }


@pytest.mark.parametrize(
    ("name", "page", "chapter"),
    [
        ("01", "01-first", ["01-first", "01b-second"]),
        ("01b", "01b-second", ["01b-second"]),
        ("02", "02-second", ["02-second", "02b-second"]),
        ("02b-second", "02b-second", ["02b-second"]),
    ],
)
def test_a_name_means_a_page_and_two_digits_a_chapter(whole, name, page, chapter):
    assert book.page(whole, name).stem == page
    assert names(book.chapter(whole, name)) == chapter


def test_a_run_of_the_book_runs_lessons_and_what_reads_them(whole):
    done = book.execute(whole)
    assert names(done) == ["01-first", "06-ledger"]
    [output] = nbformat.read(done[-1], as_version=4).cells[-1].outputs
    assert output.text == f"{[str(whole / '_build' / 'executed')]}\n"


def test_a_run_of_the_evidence_runs_what_lessons_rest_on(whole):
    done = book.execute(whole, evidence=True)
    assert names(done) == ["02-second", "02b-second", "01b-second", "06-ledger"]
    assert (whole / "_build" / "executed" / "evidence" / "01b-second.ipynb").is_file()
    assert names(book.execute(whole, "01", evidence=True)) == ["01b-second"]


def test_one_page_runs_alone_with_its_parameters(whole):
    assert names(book.execute(whole, "01b", "-p seed 2")) == ["01b-second"]
    assert names(book.execute(whole, "06")) == ["06-ledger"]
    [output] = nbformat.read(book.execute(whole, "06")[0], as_version=4).cells[-1].outputs
    assert output.text == "['']\n"  # by itself it reads what is stored


def test_of_the_real_pages_those_that_read_others_are_given_the_run():
    given = {path.stem for path in book.pages(book.ROOT) if book.this_run(path, book.ROOT)}
    assert given == {"06-ledger", "06b-errata", "06d-practice"}
    assert all(book.kind(book.page(book.ROOT, name)) == book.REFERENCE for name in given)


def test_execute_leaves_nothing_when_a_chapter_fails(chapter, tmp_path):
    chapter("raise ValueError('on purpose')")
    with pytest.raises(book.BookError, match="01-tiny.ipynb did not run to its end"):
        book.execute(tmp_path)
    assert [path.name for path in (tmp_path / "_build").rglob("*")] == ["executed", "evidence"]


def test_a_page_that_fails_among_others_is_named_and_the_rest_do_not_begin(chapter, tmp_path):
    path = chapter("raise ValueError('on purpose')")
    for number in range(2, 9):
        (path.parent / f"0{number}-tiny.ipynb").write_bytes(
            path.read_bytes().replace(b"raise ValueError('on purpose')", b"print('fine')")
        )
    with pytest.raises(book.BookError, match="01-tiny.ipynb did not run to its end"):
        book.execute(tmp_path)
    assert len(list((tmp_path / "_build" / "executed").glob("*.ipynb"))) < 7


def test_an_unknown_chapter_is_answered_with_the_known_ones(chapter, tmp_path):
    chapter("")
    with pytest.raises(book.BookError, match="no page is called '07'; pages are: 01-tiny"):
        book.execute(tmp_path, "07")


def test_parameters_need_a_chapter(chapter, tmp_path):
    chapter("")
    with pytest.raises(book.BookError, match="belong to one page"):
        book.execute(tmp_path, params="-p seed 7")


def test_refresh_stores_the_same_bytes_every_time(chapter):
    path = chapter("print('one')\nprint('two', flush=True)\nprint('three')")
    book.refresh(path)
    first = path.read_bytes()
    book.refresh(path)
    assert path.read_bytes() == first
    assert first.endswith(b"}\n")
    notebook = nbformat.read(path, as_version=4)
    assert [cell.id for cell in notebook.cells] == ["title", "parameters", "work"]
    work = notebook.cells[-1]
    assert [output.text for output in work.outputs] == ["one\ntwo\nthree\n"]
    assert work.metadata == {}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize(
    "source, complaint",
    [
        ("import sys\nprint('careful', file=sys.stderr)", "cell work writes to stderr"),
        ("raise ValueError('on purpose')", "did not run to its end(.|\n)*on purpose"),
    ],
)
def test_refresh_refuses_warnings_and_errors_and_keeps_what_was_stored(chapter, source, complaint):
    path = chapter(source)
    before = path.read_bytes()
    with pytest.raises(book.BookError, match=complaint):
        book.refresh(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


REMOTE = [
    '<script src="https://host.example/a.js"></script>',
    '<script src="//host.example/a.js"></script>',
    '<link rel="stylesheet" href="https://host.example/a.css">',
    '<link rel="preconnect" href="https://host.example">',
    '<img src="http://host.example/a.png"/>',
    '<img srcset="https://host.example/a.png 2x" src="a.png">',
    '<iframe src="https://host.example"></iframe>',
    '<style>@import "https://host.example/a.css";</style>',
    '<p style="background: url(https://host.example/a.png)">text</p>',
]
LOCAL = [
    '<script src="_static/a.js"></script>',
    '<script>const docs = "https://host.example/a.js";</script>',
    '<link rel="canonical" href="https://host.example/page.html">',
    '<a href="https://host.example">a link is only followed when clicked</a>',
    '<img src="data:image/png;base64,AAAA">',
    "<p>url(https://host.example/a.png) in prose</p>",
]


@pytest.mark.parametrize("tag", REMOTE)
def test_a_page_that_loads_from_a_host_is_found(tag, tmp_path):
    (tmp_path / "page.html").write_text(f"<html><body>{tag}</body></html>")
    [load] = book.remote_loads(tmp_path)
    assert load.startswith("page.html: ") and "host.example" in load


def test_a_stylesheet_that_loads_from_a_host_is_found(tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url('https://host.example/a.woff2') }")
    assert book.remote_loads(tmp_path) == ["a.css: https://host.example/a.woff2"]


def test_a_page_that_needs_no_host_is_accepted(tmp_path):
    (tmp_path / "page.html").write_text(f"<html><body>{''.join(LOCAL)}</body></html>")
    (tmp_path / "a.css").write_text("@font-face { src: url('fonts/a.woff2') }")
    assert book.remote_loads(tmp_path) == []
