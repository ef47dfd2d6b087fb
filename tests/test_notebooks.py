"""What every stored chapter promises, read from the notebooks without running them."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

import book

ROOT = Path(__file__).parents[1]
PATHS = book.pages(ROOT)


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


@pytest.fixture
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def names(cells):
    return [cell.id for cell in cells]


def test_the_contents_list_every_chapter():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    chapters = [chapter for part in parts for chapter in part["chapters"]]
    files = [
        page["file"] for chapter in chapters for page in (chapter, *chapter.get("sections", []))
    ]
    notebooks = [ROOT / f"{file}.ipynb" for file in files if file.startswith("notebooks/")]
    assert notebooks == PATHS


def test_the_notebook_is_valid(notebook):
    nbformat.validate(notebook)


def test_one_cell_holds_the_parameters(code):
    assert len([cell for cell in code if "parameters" in cell.metadata.get("tags", [])]) == 1


def test_every_code_cell_was_run(code):
    assert not names(cell for cell in code if cell.execution_count is None)


def test_no_output_is_an_error_or_a_warning(code):
    assert not names(
        cell
        for cell in code
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    )


def has_image(cell):
    outputs = cell.get("outputs", [])
    return any(kind.startswith("image/") for out in outputs for kind in out.get("data", {}))


def shown(cell, what):
    """What the metadata say of the cell's `image` or `figure`."""
    return cell.metadata.get("mystnb", {}).get(what, {})


def test_every_image_has_alternative_text(code):
    pictured = [cell for cell in code if has_image(cell)]
    assert not names(cell for cell in pictured if len(shown(cell, "image").get("alt", "")) < 20)


def test_every_figure_of_an_evidence_page_has_a_caption_and_a_name_of_its_page():
    uncaptioned, misnamed = [], []
    for path in (path for path in PATHS if path.parent.name == "evidence"):
        prefix = f"fig-{path.stem.split('-')[0]}-"
        cells = nbformat.read(path, as_version=nbformat.NO_CONVERT).cells
        for cell in filter(has_image, cells):
            figure, where = shown(cell, "figure"), (path.stem, cell.id)
            if len(figure.get("caption", "")) < 20 or "\n" in figure["caption"]:
                uncaptioned.append(where)
            if not re.fullmatch(re.escape(prefix) + "[a-z0-9-]+", figure.get("name", "")):
                misnamed.append(where)
    assert not uncaptioned and not misnamed


def test_no_two_figures_have_one_name():
    cells = [c for path in PATHS for c in nbformat.read(path, nbformat.NO_CONVERT).cells]
    found = [shown(cell, "figure")["name"] for cell in cells if "name" in shown(cell, "figure")]
    assert found and len(set(found)) == len(found)


def test_nothing_is_stored_that_differs_from_run_to_run(notebook):
    assert not {"papermill", "widgets"} & set(notebook.metadata)
    assert notebook.metadata.language_info == {"name": "python"}
    assert not names(
        cell for cell in notebook.cells if {"execution", "papermill"} & set(cell.metadata)
    )
    assert not names(
        c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])
    )


def test_cell_ids_are_unique(notebook):
    ids = names(notebook.cells)
    assert len(set(ids)) == len(ids)


def test_code_cells_fit_on_a_screen(code):
    assert not names(cell for cell in code if len(cell.source.splitlines()) > 40)


def test_pages_that_moved_lead_to_pages_that_are_there_with_their_anchors():
    moved = sorted((ROOT / "book" / "_moved").rglob("*.html"))
    assert moved
    for path in moved:
        folder = ROOT / path.parent.relative_to(ROOT / "book" / "_moved")
        text = path.read_text()
        (target,) = set(re.findall(r"([\w/-]+)\.html", text))
        assert (folder / f"{target}.ipynb").is_file() and "+ location.hash" in text
        assert not (folder / f"{path.stem}.ipynb").exists()
