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
            new_markdown_cell("# Tiny", id="title"),
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


def test_the_ledger_reads_the_run_of_all_chapters_or_what_is_stored(chapter, tmp_path):
    chapter("")
    cells = [
        new_code_cell("executed: str = ''  # A run", metadata={"tags": ["parameters"]}),
        new_code_cell("print([executed])"),
    ]
    kernel = {"display_name": "Mine", "language": "python", "name": "python3"}
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}),
        tmp_path / "notebooks" / "06-tiny.ipynb",
    )
    for prefix, run in (("", str(tmp_path / "_build" / "executed")), ("06", "")):
        executed = book.execute(tmp_path, prefix)[-1]
        assert nbformat.read(executed, as_version=4).cells[-1].outputs[0].text == f"{[run]}\n"


def test_of_the_real_pages_those_that_read_chapters_are_given_the_run():
    given = {path.stem for path in book.chapters(book.ROOT) if book.this_run(path, book.ROOT)}
    assert given == {"06-ledger", "06b-errata", "06d-practice"}


def test_execute_leaves_nothing_when_a_chapter_fails(chapter, tmp_path):
    chapter("raise ValueError('on purpose')")
    with pytest.raises(book.BookError, match="01-tiny.ipynb did not run to its end"):
        book.execute(tmp_path)
    assert [path.name for path in (tmp_path / "_build").rglob("*")] == ["executed"]


def test_a_page_that_fails_among_others_is_named_and_the_rest_do_not_begin(chapter, tmp_path):
    path = chapter("raise ValueError('on purpose')")
    for number in range(2, 9):
        (path.parent / f"0{number}-tiny.ipynb").write_bytes(
            path.read_bytes().replace(b"raise ValueError('on purpose')", b"print('fine')")
        )
    with pytest.raises(book.BookError, match="01-tiny.ipynb did not run to its end"):
        book.execute(tmp_path)
    assert len(list((tmp_path / "_build" / "executed").iterdir())) < 7


def test_an_unknown_chapter_is_answered_with_the_known_ones(chapter, tmp_path):
    chapter("")
    with pytest.raises(book.BookError, match="no chapter starts with '07'; chapters are: 01-tiny"):
        book.execute(tmp_path, "07")


def test_parameters_need_a_chapter(chapter, tmp_path):
    chapter("")
    with pytest.raises(book.BookError, match="belong to one chapter"):
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
