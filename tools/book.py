"""Execute, refresh, build and check the book. `make help` lists the usual ways to call this."""

import argparse
import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from papermill import inspect_notebook
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]


class BookError(Exception):
    """A problem the caller can solve; its message is all they need to see."""


# ---------------------------------------------------------------------------------------- pages

EVIDENCE = "evidence"  # pages that run experiments, in a folder of their own
NOT_MOVED = "not-moved"  # chapters that are lesson and evidence in one, until they move
LESSON, REFERENCE = "lesson", "reference"


def pages(root: Path) -> list[Path]:
    """All notebooks, in reading order, evidence last."""
    folder = root / "notebooks"
    return [*sorted(folder.glob("*.ipynb")), *sorted((folder / EVIDENCE).glob("*.ipynb"))]


def kind(path: Path) -> str:
    """`evidence` for a page in that folder, else the kind that the title cell's tags name."""
    if path.parent.name == EVIDENCE:
        return EVIDENCE
    first = nbformat.read(path, as_version=nbformat.NO_CONVERT).cells[0]
    return next((k for k in (LESSON, REFERENCE, NOT_MOVED) if k in _tags(first)), NOT_MOVED)


def number(path: Path) -> str:
    """A page's number, such as `01` or `01b`: its name up to the first hyphen."""
    return path.stem.split("-")[0]


def page(root: Path, name: str) -> Path:
    """The page of that number or name; raises `BookError` that lists them."""
    found = [path for path in pages(root) if name in (number(path), path.stem)]
    if not found:
        names = ", ".join(path.stem for path in pages(root)) or "none"
        raise BookError(f"no page is called '{name}'; pages are: {names}")
    return found[0]


def chapter(root: Path, name: str) -> list[Path]:
    """All pages of a chapter for a number of two digits, else the one page of that name."""
    found = [path for path in pages(root) if number(path)[:2] == name]
    return found or [page(root, name)]


def execute(root: Path, name: str = "", params: str = "", evidence: bool = False) -> list[Path]:
    """Run pages with papermill into `_build/executed/`, two at a time.

    One page by its name, with papermill options; or all lessons; or, with `evidence`, all evidence
    or that of a chapter. The folder then holds this run and no other.
    """
    if params and (not name or evidence):
        raise BookError(f"parameters ({params}) belong to one page: name it, as in CHAPTER=01b")
    if evidence:
        chosen = [p for p in (chapter(root, name) if name else pages(root)) if _long(p)]
        readers = [p for p in pages(root) if kind(p) == REFERENCE and not name]
    else:
        chosen = [page(root, name)] if name else [p for p in pages(root) if kind(p) == LESSON]
        readers = [p for p in pages(root) if kind(p) == REFERENCE and not name]
    folder, unfinished = (root / "_build" / part for part in ("executed", "unfinished"))
    for place in (folder, unfinished):
        shutil.rmtree(place, ignore_errors=True)
        (place / EVIDENCE).mkdir(parents=True)
    options = {p: params for p in chosen} | {p: this_run(p, folder) for p in readers}
    pool, alone = ThreadPoolExecutor(2), len(options) == 1
    try:
        with tqdm(total=len(options), desc="pages", unit="page", disable=alone) as bar:
            # Pages that read the run come after the pages that they read.
            for part in (chosen, readers):
                jobs = [
                    pool.submit(_execute_one, path, unfinished, folder, root, options[path], alone)
                    for path in part
                ]
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(unfinished, ignore_errors=True)
    return [folder / _place(path) for path in options]


def _long(path):
    return kind(path) in (EVIDENCE, NOT_MOVED)


def _place(path):
    """Where a page lies, seen from the lessons."""
    return Path(EVIDENCE) / path.name if path.parent.name == EVIDENCE else Path(path.name)


def this_run(path: Path, folder: Path) -> str:
    """papermill options for a page that reads other pages: it reads those of this run."""
    reads = "executed" in inspect_notebook(str(path))
    return f"-p executed {shlex.quote(str(folder))}" if reads else ""


def _execute_one(
    source: Path, unfinished: Path, folder: Path, root: Path, params: str, alone: bool
) -> None:
    tqdm.write(f"Executing {source.relative_to(root)}")
    target = unfinished / _place(source)
    where = ["--kernel", "python3", "--cwd", source.parent]
    command = [sys.executable, "-m", "papermill", source, target, *where]
    # Two bars would write over each other: a page among others shows its output if it fails.
    quiet = {} if alone else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    threads = {} if alone else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2))}
    run = subprocess.run(
        [*command, *shlex.split(params)], cwd=root, env=threads | os.environ, **quiet
    )
    if run.returncode:
        tqdm.write(run.stdout or "", file=sys.stderr)
        raise BookError(f"{source.name} did not run to its end: see the error above")
    os.replace(target, folder / _place(source))


# --------------------------------------------------------------------------------------- refresh


def refresh(path: Path) -> None:
    """Re-execute the notebook at `path` and store its outputs, the same bytes on every run."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in _tags(cell)]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tqdm(total=len(code), desc=path.name, unit="cell") as progress:
        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            on_cell_executed=lambda **_: progress.update(),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise BookError(f"{path.name} did not run to its end:\n{error}") from error
    for cell in code:
        if any(output.get("name") == "stderr" for output in cell.outputs):
            raise BookError(
                f"{path.name}: cell {cell.id} writes to stderr; remove the cause:\n{cell.source}"
            )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("papermill", None)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    partial = path.with_name(f".{path.name}.partial")
    try:
        nbformat.write(notebook, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def cover(root: Path) -> None:
    """Store the first figure of Chapter 1's lesson as the README's picture."""
    notebook = nbformat.read(page(root, "01"), as_version=4)
    images = (
        output.data["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    )
    (root / "book" / "_static" / "cover.png").write_bytes(base64.b64decode(next(images)))


def _tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


# ----------------------------------------------------------------------------------------- sweep


def sweep(page: Path, output: Path, **settings) -> None:
    """`mergebook.sweep.sweep`, and how it went; raises `BookError` unless all runs are done."""
    from mergebook import sweep as sweeps  # here, for other commands need not wait for it

    try:
        runs = sweeps.sweep(page=page, output=output, **settings)
    except sweeps.SweepError as error:
        raise BookError(str(error)) from None
    print(f"Tables and runs are in {output}; {output / 'index.html'} lists them")
    if failed := [run for run in runs if run["state"] != "done"]:
        told = "\n".join(f"  runs/{run['run']}: {run['error']}" for run in failed)
        raise BookError(f"{len(failed)} of {len(runs)} runs failed:\n{told}")


# ------------------------------------------------------------------------------------------ HTML


def html(root: Path, executed: bool = False) -> Path:
    """Build the site into `_build/html`, warnings being errors; return its first page."""
    site, built = _stage(root, executed), root / "_build" / "html"
    # A page read earlier would not repeat its warnings, so every build starts from nothing.
    for folder in (built, root / "_build" / ".doctrees"):
        shutil.rmtree(folder, ignore_errors=True)
    if _jupyter_book(site, root):
        raise BookError("the HTML build failed: see the warnings above")
    if loads := remote_loads(built):
        raise BookError("these pages would not work offline:\n" + "\n".join(loads))
    # Jupyter Book's own first page is a redirect to the root of the table of contents.
    return built / "index.html"


def links(root: Path) -> None:
    """Try every link of the book; needs the network."""
    if _jupyter_book(_stage(root, executed=False), root, "--builder", "linkcheck"):
        raise BookError("some links are broken: see above")


def _stage(root: Path, executed: bool) -> Path:
    """Lay out what the site is made of in `_build/site`, apart from the rest of the repository."""
    site = root / "_build" / "site"
    shutil.rmtree(site, ignore_errors=True)
    ignore = shutil.ignore_patterns(".*", "__pycache__")
    for folder in ("book", "notebooks"):
        shutil.copytree(root / folder, site / folder, ignore=ignore)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(root / name, site)
    from mergehelpers import merge  # here, for it takes seconds that other commands need not wait

    # Two tables that a page includes: what the registry of rules says of itself.
    (site / "book" / "rules.md").write_text(merge.table(merge.RULES), encoding="utf-8")
    if executed:
        for path in (root / "_build" / "executed").rglob("*.ipynb"):
            shutil.copy2(path, site / "notebooks" / _place(path))
    return site


def _jupyter_book(site: Path, root: Path, *options: str) -> int:
    program = Path(sys.executable).with_name("jupyter-book")
    strict = ["-W", "-n", "--keep-going"]
    command = [program, "build", site, "--path-output", root, *strict, *options]
    return subprocess.run(command, cwd=root).returncode


_REMOTE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
_CSS_LOAD = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
_LOADING_ATTRIBUTES = {
    "script": {"src"},
    "img": {"src", "srcset"},
    "source": {"src", "srcset"},
    "iframe": {"src"},
    "embed": {"src"},
    "audio": {"src"},
    "video": {"src", "poster"},
    "track": {"src"},
    "object": {"data"},
    "image": {"href", "xlink:href"},
    "use": {"href", "xlink:href"},
}
# Other relations, such as canonical, name an address without loading it.
_LOADING_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
    "apple-touch-icon",
}


class _Loads(HTMLParser):
    def __init__(self):
        super().__init__()
        self.remote, self.in_style = [], False

    def handle_starttag(self, tag, attributes):
        self.in_style = tag == "style"
        names = set(_LOADING_ATTRIBUTES.get(tag, ()))
        if tag == "link" and _LOADING_LINKS & set(
            (dict(attributes).get("rel") or "").lower().split()
        ):
            names = {"href"}
        for name, value in attributes:
            if name in names and _REMOTE.match(value or ""):
                self.remote.append(f"<{tag} {name}={value}>")
            elif name == "style":
                self.remote += _CSS_LOAD.findall(value or "")

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.in_style:
            self.remote += _CSS_LOAD.findall(data)

    def handle_endtag(self, tag):
        self.in_style = False


def remote_loads(site: Path) -> list[str]:
    """Every script, stylesheet, font or image that a page of the built site takes from a host."""
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = _Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.relative_to(site)}: {load}" for load in parser.remote]
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        found += [f"{sheet.relative_to(site)}: {load}" for load in _CSS_LOAD.findall(text)]
    return found


# ---------------------------------------------------------------------------------- command line


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("execute", help="run lessons, or one page, into _build/executed")
    run.add_argument("--chapter", default="", help="a page by its number, such as 01 or 01b")
    run.add_argument("--params", default="", help='papermill options, such as "-p seed 1"')
    run.add_argument("--evidence", action="store_true", help="run evidence instead of lessons")
    build = commands.add_parser("html", help="build the site into _build/html")
    build.add_argument("--executed", action="store_true", help="show the copies in _build/executed")
    store = commands.add_parser("refresh", help="re-execute pages and store their outputs")
    store.add_argument(
        "--chapter", default="", help="a chapter, such as 01, or a page, such as 01b"
    )
    many = commands.add_parser("sweep", help="run a page at every combination of a grid")
    many.add_argument("--chapter", required=True, help="a page by its number, such as 02 or 02d")
    many.add_argument("--grid", required=True, type=Path, help="YAML: lists of values by name")
    many.add_argument("--output", required=True, type=Path, help="folder for runs and tables")
    many.add_argument("--jobs", type=int, default=0, help="runs at a time; 0: one a core")
    many.add_argument("--scheduler", default="", help="of a Dask cluster: tcp://host:8786")
    many.add_argument("--limit", type=float, help="seconds after which a run is stopped")
    commands.add_parser("links", help="try every link (needs the network)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "execute":
            execute(ROOT, options.chapter, options.params, options.evidence)
        elif options.command == "html":
            print(f"The book is at {html(ROOT, options.executed)}")
        elif options.command == "refresh":
            chosen = chapter(ROOT, options.chapter) if options.chapter else pages(ROOT)
            # Lessons quote evidence, and reference pages quote both.
            for path in sorted(chosen, key=lambda p: (not _long(p), kind(p) == REFERENCE)):
                refresh(path)
            from mergebook import ledger

            ledger.write_verdicts(ledger.notebooks(), ROOT / "book" / "claims" / "verdicts.json")
            cover(ROOT)
        elif options.command == "sweep":
            given = vars(options) | {"page": page(ROOT, options.chapter)}
            sweep(**{n: v for n, v in given.items() if n not in ("command", "chapter")})
        else:
            links(ROOT)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
