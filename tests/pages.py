"""Running a page of the book from a test."""

import matplotlib
import matplotlib.pyplot as plt
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


def through(notebook, parameters, cells=None, environment=None):
    """Execute the code of a page, or its first `cells` code cells, in this process.

    A kernel for each would take minutes in all. papermill itself is under test elsewhere.
    """
    code = [
        cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"
    ]
    namespace = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch, matplotlib.rc_context():
        for name, value in (environment or {}).items():
            patch.setenv(name, str(value))
        if cache := (environment or {}).get("HF_DATASETS_CACHE"):  # read once, at its import
            patch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
        patch.setattr("IPython.core.display_functions.display", lambda *shown, **how: None)
        patch.chdir(notebook.parent)
        for cell in code[:cells]:
            exec(cell.source, namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace |= parameters
    plt.close("all")


def writes(notebook, folder, parameters, environment, expected):
    """The page runs to its end and writes these files; nothing half-written is left."""
    through(notebook, parameters | {"output": str(folder / "results")}, None, environment)
    written = {path.name for path in (folder / "results").iterdir()}
    assert expected <= written
    assert not [name for name in written if name.endswith((".part", ".jsonl"))]


def refuses(notebook, bad, message, cells):
    """The page stops with the message in its first `cells` code cells."""
    with pytest.raises(Exception, match=message):
        through(notebook, bad, cells)
