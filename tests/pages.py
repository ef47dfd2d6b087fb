"""Running a page of the book from a test."""

import nbformat
import papermill
import pytest


def run(notebook, out, parameters, environment):
    """Execute a page with papermill under some environment variables; the executed notebook."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, str(value))
        papermill.execute_notebook(notebook, out, parameters, cwd=notebook.parent, kernel_name="python3", progress_bar=False)
    return nbformat.read(out, as_version=4)


def errors(executed):
    return [output for cell in executed.cells for output in cell.get("outputs", []) if output.output_type == "error"]


def writes(notebook, folder, parameters, environment, expected):
    """The page runs to its end and writes these files; nothing half-written is left."""
    executed = run(notebook, folder / "out.ipynb", parameters | {"output": str(folder / "results")}, environment)
    assert not errors(executed)
    written = {path.name for path in (folder / "results").iterdir()}
    assert expected <= written
    assert not [name for name in written if name.endswith((".part", ".jsonl"))]


def refuses(notebook, out, bad, message, cells):
    """The page stops with the message before its first `cells` code cells are over."""
    with pytest.raises(papermill.PapermillExecutionError, match=message) as caught:
        run(notebook, out, bad, {})
    assert caught.value.exec_count <= cells
