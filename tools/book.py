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


# ------------------------------------------------------------------------------------- chapters


def chapters(root: Path, prefix: str = "") -> list[Path]:
    """The chapter notebooks in reading order, or those whose name starts with `prefix`."""
    found = sorted((root / "notebooks").glob("*.ipynb"))
    chosen = [path for path in found if path.name.startswith(prefix)]
    if not chosen:
        names = ", ".join(path.stem for path in found) or "none"
        raise BookError(f"no chapter starts with '{prefix}'; chapters are: {names}")
    return chosen


def execute(root: Path, prefix: str = "", params: str = "") -> list[Path]:
    """Run chapters with papermill into `_build/executed/`, two at a time; the folder then holds this run and no other."""
    if params and not prefix:
        raise BookError(
            f"parameters ({params}) belong to one chapter: name it, for example CHAPTER=01"
        )
    chosen = chapters(root, prefix)
    folder, unfinished = (root / "_build" / name for name in ("executed", "unfinished"))
    for place in (folder, unfinished):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    options = {path: params if prefix else this_run(path, folder) for path in chosen}
    # In a run of all, pages that read the run come after the pages that they read.
    readers = [path for path in chosen if options[path] and not prefix]
    pool, alone = ThreadPoolExecutor(2), len(chosen) == 1
    try:
        with tqdm(total=len(chosen), desc="pages", unit="page", disable=alone) as bar:
            for pages in ([path for path in chosen if path not in readers], readers):
                jobs = [
                    pool.submit(_execute_one, path, unfinished, folder, root, options[path], alone)
                    for path in pages
                ]
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(unfinished, ignore_errors=True)
    return [folder / path.name for path in chosen]


def this_run(path: Path, folder: Path) -> str:
    """papermill options for a page that reads the other chapters: in a run of all, it reads those of this run."""
    return (
        f"-p executed {shlex.quote(str(folder))}"
        if "executed" in inspect_notebook(str(path))
        else ""
    )


def _execute_one(
    source: Path, unfinished: Path, folder: Path, root: Path, params: str, alone: bool
) -> None:
    tqdm.write(f"Executing {source.relative_to(root)}")
    command = [
        sys.executable,
        "-m",
        "papermill",
        source,
        unfinished / source.name,
        "--kernel",
        "python3",
        "--cwd",
        source.parent,
    ]
    # Two bars would write over each other, so a page among others shows what it writes only if it
    # fails.
    quiet = {} if alone else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    threads = {} if alone else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2))}
    run = subprocess.run(
        [*command, *shlex.split(params)], cwd=root, env=threads | os.environ, **quiet
    )
    if run.returncode:
        tqdm.write(run.stdout or "", file=sys.stderr)
        raise BookError(f"{source.name} did not run to its end: see the error above")
    os.replace(unfinished / source.name, folder / source.name)


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
    """Store the first figure of Chapter 1 as the README's picture."""
    notebook = nbformat.read(chapters(root, "01")[0], as_version=4)
    images = (
        output.data["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    )
    (root / "book" / "_static" / "cover.png").write_bytes(base64.b64decode(next(images)))


def _tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


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
    if executed:
        for path in (root / "_build" / "executed").glob("*.ipynb"):
            shutil.copy2(path, site / "notebooks")
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
    run = commands.add_parser("execute", help="run chapters into _build/executed")
    run.add_argument("--chapter", default="", help="the beginning of a chapter's name, such as 01")
    run.add_argument("--params", default="", help='papermill options, such as "-p seed 1"')
    build = commands.add_parser("html", help="build the site into _build/html")
    build.add_argument("--executed", action="store_true", help="show the copies in _build/executed")
    store = commands.add_parser("refresh", help="re-execute chapters and store their outputs")
    store.add_argument(
        "--chapter", default="", help="the beginning of a chapter's name, such as 01"
    )
    commands.add_parser("links", help="try every link (needs the network)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "execute":
            execute(ROOT, options.chapter, options.params)
        elif options.command == "html":
            print(f"The book is at {html(ROOT, options.executed)}")
        elif options.command == "refresh":
            for path in chapters(ROOT, options.chapter):
                refresh(path)
            from mergebook.ledger import write_verdicts

            write_verdicts(chapters(ROOT), ROOT / "book" / "claims" / "verdicts.json")
            cover(ROOT)
        else:
            links(ROOT)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
