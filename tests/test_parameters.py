"""Parameters as a contract: each kind by itself, one error for all, and papermill end to end."""

import ast
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

import book
from mergebook.page import STUDY
from mergehelpers.parameters import Choice, Float, Int, Listed, OutputFolder, Text, Wrong, validate

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHAPTERS = book.pages(book.ROOT)
NAN, INF = float("nan"), float("inf")

ACCEPTED = [
    (Int(), [0, -3, 10**30]),
    (Int(2), [2, 3]),
    (Int(2, 5), [2, 5]),
    (Int(maximum=5), [5, -100]),
    (Float(), [0, 0.5, -1e300]),
    (Float(above=0), [1e-300, 1]),
    (Float(minimum=0, maximum=1), [0, 0.0, 1, 1.0]),
    (Float(above=0, maximum=1), [0.5, 1]),
    (Choice(("a", "b")), ["a", "b"]),
    (Listed(Int(0, 9)), [[0], [9, 1], (3,)]),
    (Listed(Float(above=0), length=2), [[1, 2.5]]),
    (Listed(Int(), length=0), [[]]),
    (Text(), ["a", " a ", "*", "é"]),
    (OutputFolder(), [""]),
]
REJECTED = [
    (Int(), [True, False, 1.0, 0.5, "1", None, NAN, [1]]),
    (Int(2, 5), [1, 6, True]),
    (Int(maximum=5), [6]),
    (Float(), [True, False, "0.5", None, NAN, INF, -INF, [0.5]]),
    (Float(above=0), [0, 0.0, -1, NAN]),
    (Float(minimum=0, maximum=1), [-1e-9, 1.0001, NAN]),
    (Float(above=0, maximum=1), [0, 2]),
    (Choice(("a", "b")), ["c", "", "A", 1, None, ["a"]]),
    (Choice(("a",), folder_with="suite.toml"), ["no-such-folder", "b", 3]),
    (Listed(Int(0, 9)), [[], 3, "12", [10], [0, "1"], [True], None, {0: 1}]),
    (Listed(Float(), length=2), [[1.0], [1.0, NAN]]),
    (Text(), ["", " ", "\n\t", 3, True, None, ["a"], b"a"]),
    (OutputFolder(), [3, None, ["a"], os.devnull, os.devnull + "/x"]),
]


def pairs(table):
    cases = [
        pytest.param(kind, value, id=f"{kind} {value!r}")
        for kind, values in table
        for value in values
    ]
    return pytest.mark.parametrize("kind, value", cases)


@pairs(ACCEPTED)
def test_values_that_are_allowed(kind, value):
    assert validate({"p": value}, p=kind).rows[0][:2] == ("p", repr(value))


@pairs(REJECTED)
def test_values_that_are_not_allowed_are_named_with_what_is(kind, value):
    with pytest.raises(ValueError) as caught:
        validate({"p": value}, p=kind)
    assert str(caught.value).startswith(f"p is {value!r}")
    assert str(caught.value).endswith(f"; allowed: {kind}")


def test_a_whole_number_beyond_every_float_is_refused():
    with pytest.raises(Wrong):
        Float().check(10**400)


@pytest.mark.parametrize(
    "kind", [Choice(("a",), folder_with="suite.toml"), OutputFolder()], ids=["choice", "output"]
)
@pytest.mark.parametrize("value", ["x" * 5000, "~no-such-user/x"], ids=["too long", "unknown home"])
def test_names_that_can_be_no_path_are_refused(kind, value):
    with pytest.raises(Wrong):
        kind.check(value)


@pytest.mark.parametrize(
    "kind, text",
    [
        (Int(), "a whole number"),
        (Int(2), "a whole number, 2 or more"),
        (Int(0, 1000), "a whole number from 0 to 1,000"),
        (Int(maximum=3), "a whole number, 3 or less"),
        (Float(above=0), "a number above 0"),
        (Float(minimum=0, maximum=1), "a number from 0 to 1"),
        (Float(above=0, maximum=1), "a number above 0, 1 or less"),
        (Choice(("a", "b")), "one of a, b"),
        (Choice(("a",), folder_with="suite.toml"), "one of a, or a folder with a suite.toml"),
        (Listed(Int(0)), "a list of 1 or more, each a whole number, 0 or more"),
        (Text(), "a text that is not empty"),
        (Listed(Text()), "a list of 1 or more, each a text that is not empty"),
    ],
)
def test_what_is_allowed_reads_as_a_phrase(kind, text):
    assert str(kind) == text


def test_a_choice_may_be_a_folder_with_the_right_file(tmp_path):
    kind = Choice(("a",), folder_with="suite.toml")
    with pytest.raises(Wrong):
        kind.check(str(tmp_path))
    (tmp_path / "suite.toml").touch()
    kind.check(str(tmp_path))


def test_an_output_folder_is_checked_without_being_made(tmp_path):
    OutputFolder().check(str(tmp_path / "new" / "deeper"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(Wrong, match="file is not a folder"):
        OutputFolder().check(str(tmp_path / "file" / "below"))


def test_an_output_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    """The answer of the operating system is replaced: the superuser may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(Wrong, match="not a folder this user can write"):
        OutputFolder().check(str(tmp_path))


# --------------------------------------------------------------------------------------- validate


def test_all_problems_come_in_one_error():
    cells = ["# Parameters\nkep = 0.3\nzzz = 1\n"]
    with pytest.raises(ValueError) as caught:
        validate(
            {"In": cells, "k": -1, "draws": "abc"},
            k=Float(above=0),
            draws=Int(1),
            keep=Float(),
            seed=Int(),
        )
    message = str(caught.value)
    for part in (
        "kep is not a parameter of this chapter (did you mean keep?);"
        " allowed: k, draws, keep, seed",
        "zzz is not a parameter of this chapter; allowed",
        "k is -1; allowed: a number above 0",
        "draws is 'abc'; allowed: a whole number, 1 or more",
        "keep is missing; allowed: a number",
        "seed is missing",
    ):
        assert part in message


def test_names_from_other_cells_are_no_parameters():
    cells = ["", "k: float = 1.0  # The k", "other = 3"]
    assert validate({"In": cells, "k": 1.0, "other": 3}, k=Float()).rows[0][0] == "k"


def test_the_table_takes_its_text_from_the_comments():
    cell = """\
seed: int = 0  # Seed of everything
name: str = 'a'  # A <name>
rates: list[float] = [0.1]  # Rates & so on"""
    namespace = {"In": [cell, "# Parameters\nseed = 7"], "seed": 7, "name": "a", "rates": [0.1]}
    table = validate(namespace, seed=Int(0), name=Choice(("a",)), rates=Listed(Float()))
    assert [row[3] for row in table.rows] == ["Seed of everything", "A <name>", "Rates & so on"]
    assert (
        repr(table).splitlines()[0] == "seed = 7  (a whole number, 0 or more): Seed of everything"
    )
    html = table._repr_html_()
    assert html.count("<tr>") == 4 and "A &lt;name&gt;" in html and "Rates &amp; so on" in html
    assert "<code>7</code>" in html


# ------------------------------------------------------------------------------ papermill, end to
# end

TINY_CELLS = [
    """\
draws: int = 1000  # Draws
k: float = 10.0  # Half-range
keep: float = 0.5  # Keep rate
suite: str = "text5"  # Suite
output: str = ""  # Where tables go""",
    """\
from mergehelpers.parameters import Choice, Float, Int, OutputFolder, validate
validate(globals(), draws=Int(1), k=Float(above=0), keep=Float(above=0, maximum=1),
         suite=Choice(("text5",), folder_with="suite.toml"), output=OutputFolder())""",
    "print('work done with', draws, k, keep, suite, output)",
]
BAD = {
    "kep": ("0.3", "kep is not a parameter of this chapter.*; allowed: .*draws"),
    "draws": ("abc", "draws is 'abc'; allowed: a whole number"),
    "k": ("-1", "k is -1; allowed: a number above 0"),
    "suite": ("nope", "suite is 'nope'; allowed: one of .*text5.*, or a folder with a suite.toml"),
    "output": (
        os.devnull + "/x",
        f"output is '{os.devnull}/x' .*; allowed: a folder that can be written",
    ),
}


def run(notebook, target, *parameters):
    """papermill as a user calls it: its exit status, what it printed, and the executed copy."""
    options = ["--kernel", "python3", "--cwd", str(notebook.parent), "--no-progress-bar"]
    command = [sys.executable, "-m", "papermill", str(notebook), str(target), *options, *parameters]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr, nbformat.read(target, as_version=4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.ipynb"
    cells = [new_code_cell(source) for source in TINY_CELLS]
    cells[0].metadata.tags = ["parameters"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Chapter 1 with every bad value, two runs at a time: the error and the executed copy."""
    folder, chapter = tmp_path_factory.mktemp("runs"), NOTEBOOKS / "01-expected-mloss.ipynb"

    def attempt(name, value):
        target, options = (
            folder / f"{name}.ipynb",
            {"kernel_name": "python3", "progress_bar": False},
        )
        with pytest.raises(papermill.PapermillExecutionError) as caught:
            papermill.execute_notebook(chapter, target, {name: value}, cwd=NOTEBOOKS, **options)
        return str(caught.value), nbformat.read(target, as_version=4)

    with ThreadPoolExecutor(2) as pool:
        return {
            name: pool.submit(attempt, name, yaml.safe_load(value))
            for name, (value, _) in BAD.items()
            if name != "output"  # a lesson writes no files
        }


def assert_stopped_at_validation(notebook, pattern):
    """The one error is that of the validating cell, and no later cell has run."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    [(at, error)] = [
        (at, output)
        for at, cell in enumerate(code)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert "validate(" in code[at].source
    assert error.ename == "ValueError" and re.match(pattern, error.evalue), error.evalue
    later = code[at + 1 :]
    assert later and all(cell.execution_count is None and not cell.outputs for cell in later)


@pytest.mark.parametrize("name", [name for name in BAD if name != "output"])
def test_a_bad_parameter_stops_the_chapter_before_any_work(failed, name):
    printed, notebook = failed[name].result()
    assert_stopped_at_validation(notebook, BAD[name][1] + "[^;]*$")
    assert re.search(BAD[name][1], printed)


def test_all_bad_parameters_of_one_run_come_in_one_error(tiny, tmp_path):
    bad = [word for name, (value, _) in BAD.items() for word in ("-p", name, value)]
    status, printed, notebook = run(tiny, tmp_path / "out.ipynb", *bad)
    assert status != 0 and "k is -1; allowed" in printed
    assert_stopped_at_validation(notebook, ".*; ".join(pattern for _, pattern in BAD.values()))


def test_good_parameters_reach_the_work(tiny, tmp_path):
    parameters = ["-p", "k", "3", "-p", "output", str(tmp_path / "new")]
    status, _, notebook = run(tiny, tmp_path / "out.ipynb", *parameters)
    assert status == 0
    assert (
        notebook.cells[-1].outputs[0].text
        == f"work done with 1000 3 0.5 text5 {tmp_path / 'new'}\n"
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_parameter_has_a_help_text_and_is_validated(path):
    declared = papermill.inspect_notebook(str(path))
    assert declared
    assert not [name for name, known in declared.items() if len(known["help"]) < 10]
    assert not [
        name for name, known in declared.items() if known["inferred_type_name"] in ("", "None")
    ]
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    [at] = [i for i, cell in enumerate(code) if "parameters" in cell.metadata.get("tags", [])]
    calls = [
        node for node in ast.walk(ast.parse(code[at + 1].source)) if isinstance(node, ast.Call)
    ]
    [call] = [call for call in calls if getattr(call.func, "id", "") in ("validate", "Page")]
    named = [keyword.arg or "**STUDY" for keyword in call.keywords]
    if call.func.id == "Page":  # which adds the output, and has a group of parameters
        named = [n for name in named for n in (STUDY if name == "**STUDY" else [name])] + ["output"]
    assert named == list(declared)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_stored_table_has_every_parameter_and_its_comment(path):
    declared = papermill.inspect_notebook(str(path))
    cells = nbformat.read(path, as_version=4).cells
    [table] = [
        output.data["text/html"]
        for cell in cells
        for output in cell.get("outputs", [])
        if 'class="params"' in output.get("data", {}).get("text/html", "")
    ]
    for name, known in declared.items():
        assert f"<code>{name}</code>" in table and escape(known["help"]) in table
