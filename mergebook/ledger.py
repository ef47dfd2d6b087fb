"""The claims ledger: what the papers claim, and what code that ran says about it.

`Ledger.check` decides one claim inside a notebook. The cell's output carries the record, so that a
rerun compares it, and `write_verdicts` gathers all records into `book/claims/verdicts.json`.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from IPython.display import display

HOLDS, CORRECTED, FAILS, UNDECIDED = "holds", "holds, corrected", "fails", "not decidable here"
MIME = "application/vnd.mergehelpers.verdict+json"
PAPERS = {
    1: "M-Loss",
    2: "M-Loss",
    3: "StatsMerging",
    4: "Rethinking",
    5: "FT-Classifier",
}  # by chapter
CSS = {HOLDS: "holds", CORRECTED: "corrected", FAILS: "fails", UNDECIDED: "undecided"}


def book_folder(name: str) -> Path:
    """The folder `book/NAME`, or its copy in the installed package; raises `FileNotFoundError` if it is in neither."""
    here = Path(__file__).parent
    folder = next((f for f in (here / name, here.parent / "book" / name) if f.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{name} is neither in the installed package nor in book/")
    return folder


def printed(table: str) -> pd.DataFrame:
    """A table as a paper prints it, such as `mloss_table1`; raises `ValueError` that lists them."""
    folder = book_folder("paper_tables")
    if not (folder / f"{table}.csv").is_file():
        raise ValueError(
            f"table is {table!r}; allowed: {', '.join(sorted(p.stem for p in folder.glob('*.csv')))}"
        )
    return pd.read_csv(folder / f"{table}.csv")


def notebooks(executed: str = "") -> list[Path]:
    """The notebooks in the folder `executed`, or those of the book; raises `FileNotFoundError` if there are none."""
    folder = Path(executed).expanduser() if executed else Path(__file__).parents[1] / "notebooks"
    found = sorted(folder.glob("*.ipynb"))
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no notebooks; run the book from a clone, or give the folder of a run"
        )
    return found


@cache
def claims() -> dict[str, dict]:
    """All claims of the four papers by id, from `book/claims/claims.yml`."""
    text = (book_folder("claims") / "claims.yml").read_text(encoding="utf-8")
    return {
        claim["id"]: claim
        for claim in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    }


def released() -> list[dict]:
    """What the papers' public code does, at named commits: the facts of `book/claims/released.yml`."""
    return yaml.safe_load((book_folder("claims") / "released.yml").read_text(encoding="utf-8"))


def where(found: Mapping[str, bool]) -> str:
    """For a rule checked on several suites, `{suite: whether it holds}`, the words that say where it holds."""
    yes, no = (
        [name for name, holds in found.items() if bool(holds) == wanted] for wanted in (True, False)
    )
    if not yes:
        return "holds on no suite"
    return f"holds on {', '.join(yes)}" + (f", not on {', '.join(no)}" if no else "")


@dataclass(frozen=True)
class Verdict:
    """One decided claim. `measured`, `expected` and `tolerance` are text, already rounded."""

    id: str
    chapter: int
    verdict: str
    measured: str
    expected: str
    tolerance: str
    note: str

    def __repr__(self):
        tolerance = f" ({self.tolerance})" if self.tolerance else ""
        return (
            f"{self.id}: {self.verdict.upper()} | measured {self.measured} | "
            f"expected {self.expected}{tolerance} | {self.note}"
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        claim = claims()[self.id]
        tolerance = f" ({escape(self.tolerance)})" if self.tolerance else ""
        html = (
            f'<div class="verdict verdict-{CSS[self.verdict]}" id="{self.id}">'
            f"<p><strong>{self.verdict}</strong> <code>{self.id}</code> · {escape(claim['where'])}</p>"
            f"<p><em>{escape(claim['claim'])}</em></p>"
            f"<p><strong>Measured</strong> {escape(self.measured)}<br><strong>Expected</strong> {escape(self.expected)}{tolerance}</p>"
            f"<p>{escape(self.note)}</p></div>"
        )
        return {"text/plain": repr(self), "text/html": html, MIME: asdict(self)}


class Ledger:
    """The verdicts of one chapter, as its cells decide them."""

    def __init__(self, chapter: int):
        self.chapter = chapter
        self.verdicts: dict[str, Verdict] = {}

    def check(
        self,
        claim_id: str,
        holds: bool | None,
        *,
        measured: str,
        expected: str,
        note: str,
        tolerance: str = "",
        corrected: bool = False,
        correction: str = "",
    ) -> None:
        """Decide a claim and show the verdict; give it booleans that code has computed.

        `holds` true: the claim stands as stated. `holds` false: it *fails*, or it *holds, corrected*
        if `corrected`, the check of the correction that the note states, is true; a `correction` given by
        itself is put in front of the note in that case alone. `holds` None: not
        decidable here; the note gives the command that would decide it. Running a cell again replaces
        its verdict. Raises `ValueError` for an unknown claim, another chapter's claim or an empty text.
        """
        if claim_id not in claims() or claims()[claim_id]["chapter"] != self.chapter:
            raise ValueError(f"{claim_id!r} is no claim of chapter {self.chapter} in claims.yml")
        for name, decided in {"holds": holds, "corrected": corrected}.items():
            if not isinstance(decided, (bool, np.bool_)) and (name, decided) != ("holds", None):
                raise ValueError(
                    f"{claim_id}: {name} is {decided!r}; give True or False, or None for an undecided `holds`"
                )
        for name, text in {
            "measured": measured,
            "expected": expected,
            "note": note,
            "tolerance": tolerance or "none",
        }.items():
            if not isinstance(text, str) or not text.strip() or "\n" in text:
                raise ValueError(f"{claim_id}: {name} is {text!r}; give a text of one line")
        verdict = (
            UNDECIDED if holds is None else HOLDS if holds else CORRECTED if corrected else FAILS
        )
        note = f"Corrected: {correction} {note}" if correction and verdict == CORRECTED else note
        self.verdicts[claim_id] = Verdict(
            claim_id, self.chapter, verdict, measured, expected, tolerance, note
        )
        display(self.verdicts[claim_id])

    def missing(self) -> list[str]:
        """Claims of this chapter without a verdict yet."""
        return [
            i
            for i, claim in claims().items()
            if claim["chapter"] == self.chapter and i not in self.verdicts
        ]

    def table(self) -> pd.DataFrame:
        """One row a decided claim, in the order of the paper."""
        rows = [
            (
                i,
                claim["where"],
                self.verdicts[i].verdict,
                self.verdicts[i].measured,
                self.verdicts[i].expected,
            )
            for i, claim in claims().items()
            if i in self.verdicts
        ]
        return pd.DataFrame(
            rows, columns=["claim", "where", "verdict", "measured", "expected"]
        ).set_index("claim")


def records(notebook: Path) -> list[dict]:
    """The records stored in one notebook's outputs, in order."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    return [output["data"][MIME] for output in outputs if MIME in output.get("data", {})]


def gather(notebooks: Iterable[Path]) -> dict[str, dict]:
    """`{claim id: record}` over several notebooks, with the `page` that decided it; raises `ValueError` if two cells did."""
    found: dict[str, dict] = {}
    for notebook in sorted(notebooks):
        for record in records(notebook):
            if record["id"] in found:
                raise ValueError(
                    f"claim {record['id']} is decided twice, the second time in {notebook}"
                )
            found[record["id"]] = {key: value for key, value in record.items() if key != "id"} | {
                "page": Path(notebook).stem
            }
    return dict(sorted(found.items()))


def everything(pages: Iterable[Path]) -> pd.DataFrame:
    """One row a claim of the four papers, in their order, with what `pages` decided; `verdict` is empty where nothing did.

    Columns: `paper`, `chapter`, `where`, `claim`, `kind`, `headline`, `verdict`, `measured`, `expected`, `tolerance`, `note`,
    `page`. The index is the claim's id.
    """
    decided, empty = (
        gather(pages),
        dict.fromkeys(("verdict", "measured", "expected", "tolerance", "note", "page"), ""),
    )
    rows = {
        i: {
            "paper": PAPERS[claim["chapter"]],
            **{key: claim[key] for key in ("chapter", "where", "claim", "kind")},
            "headline": bool(claim.get("headline")),
        }
        | {key: decided.get(i, empty)[key] for key in empty}
        for i, claim in claims().items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")


def register(table: pd.DataFrame) -> str:
    """Rows of `everything` as one HTML table with an anchor a claim; `ledger.js` of the built book adds search and filters."""
    cells = []
    for i, row in table.iterrows():
        tolerance = f" ({escape(row.tolerance)})" if row.tolerance else ""
        cells.append(
            f'<tr id="{i}" data-paper="{row.paper}" data-verdict="{row.verdict}" data-kind="{row.kind}" data-headline="{row.headline}">'
            f'<td><span class="verdict-{CSS.get(row.verdict, "undecided")}">{row.verdict or "no verdict"}</span></td>'
            f'<td>{escape(row.claim)}<br><small>{row.paper}, {escape(row["where"])} · <a href="#{i}"><code>{i}</code></a></small>'
            f'<details><summary aria-label="evidence for {i}">evidence</summary><p><strong>Measured</strong> {escape(row.measured)}</p>'
            f"<p><strong>Expected</strong> {escape(row.expected)}{tolerance}</p><p>{escape(row.note)}</p></details></td>"
            + (
                f'<td><a href="{row.page}.html#{i}">{row.page}</a></td></tr>'
                if row.page
                else "<td></td></tr>"
            )
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Verdict", "Claim", "Decided on"))
    return (
        f'<table class="register"><thead><tr>{head}</tr></thead><tbody>'
        + "\n".join(cells)
        + "</tbody></table>"
    )


def write_verdicts(notebooks: Iterable[Path], path: Path) -> None:
    """Write `gather(notebooks)` to `path` as JSON, by a temporary file and a rename."""
    text = json.dumps(gather(notebooks), indent=1, ensure_ascii=False) + "\n"
    temporary = Path(path).with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
