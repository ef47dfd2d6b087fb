"""Running a page of the book from a test."""

import nbformat
import papermill
import pytest


def run(notebook, out, parameters, environment):
    """Execute a page with papermill under some environment variables; the executed notebook."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, str(value))
        papermill.execute_notebook(
            notebook,
            out,
            parameters,
            cwd=notebook.parent,
            kernel_name="python3",
            progress_bar=False,
        )
    return nbformat.read(out, as_version=4)


def errors(executed):
    return [
        output
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]


def writes(notebook, folder, parameters, environment, expected):
    """The page runs to its end and writes these files; nothing half-written is left."""
    executed = run(
        notebook,
        folder / "out.ipynb",
        parameters | {"output": str(folder / "results")},
        environment,
    )
    assert not errors(executed)
    written = {path.name for path in (folder / "results").iterdir()}
    assert expected <= written
    assert not [name for name in written if name.endswith((".part", ".jsonl"))]


def refuses(notebook, bad, message, cells):
    """The page stops with the message in its first `cells` code cells.

    They run in this process: a kernel for each bad setting would take minutes in all.
    """
    code = [
        cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"
    ]
    namespace = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Exception, match=message):
        patch.chdir(notebook.parent)
        for cell in code[:cells]:
            exec(cell.source, namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace |= bad
