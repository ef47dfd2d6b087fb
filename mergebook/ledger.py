"""The ledger: the verdicts that pages made, from their cells' outputs to one file and one table.

A decided claim is a record in a cell's output, so that a rerun compares it; `write_verdicts`
gathers all records into `book/claims/verdicts.json`. What a claim is, and what decides it, is in
`claims`.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import yaml
from IPython.display import HTML, display

from mergebook.claims import (
    CORRECTED,
    FAILS,
    HOLDS,
    OBSERVATION,
    SENTENCES,
    UNDECIDED,
    Outcome,
    book_folder,
    claims,
    render,
)

MIME = "application/vnd.mergehelpers.verdict+json"
CSS = {
    HOLDS: "holds",
    CORRECTED: "corrected",
    FAILS: "fails",
    UNDECIDED: "undecided",
    OBSERVATION: "observation",
}
EVIDENCE = "evidence"  # the folder of evidence pages, beside the lessons
UNMET = "Not shown by this run: the rule of the observation is not met."


def printed(table: str) -> pd.DataFrame:
    """A table as a paper prints it, such as `mloss_table1`; raises `ValueError` that lists them."""
    folder = book_folder("paper_tables")
    if not (folder / f"{table}.csv").is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.csv")))
        raise ValueError(f"table is {table!r}; allowed: {names}")
    return pd.read_csv(folder / f"{table}.csv")


def released() -> list[dict]:
    """What the papers' public code does, at named commits: facts of `book/claims/released.yml`."""
    return yaml.safe_load((book_folder("claims") / "released.yml").read_text(encoding="utf-8"))


def where(found: Mapping[str, bool]) -> str:
    """In words, on which suites a rule holds; `found` is `{suite: whether it does}`."""
    yes, no = (
        [name for name, holds in found.items() if bool(holds) == wanted] for wanted in (True, False)
    )
    if not yes:
        return "holds on no suite"
    return f"holds on {', '.join(yes)}" + (f", not on {', '.join(no)}" if no else "")


# ----------------------------------------------------------------------------------- one verdict


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
    correction: str = ""

    def __repr__(self):
        tolerance = f" ({self.tolerance})" if self.tolerance else ""
        note = f"Corrected: {self.correction} {self.note}" if self.correction else self.note
        return (
            f"{self.id}: {self.verdict.upper()} | measured {self.measured} | "
            f"expected {self.expected}{tolerance} | {note}"
        )

    def record(self) -> dict:
        """What is stored; a correction only where there is one."""
        return {key: value for key, value in asdict(self).items() if value or key != "correction"}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": repr(self), "text/html": self._html(), MIME: self.record()}

    def _html(self):
        stated = claims()[self.id]
        tolerance = f" ({_rich(self.tolerance)})" if self.tolerance else ""
        said_by = "" if stated.speaker == "paper" else f" · said by: {stated.speaker}"
        lines = [
            f"<strong>{self.verdict}</strong> · {stated.strength} · <code>{self.id}</code>"
            f" · {escape(stated.where)}{said_by}",
            f"<em>{_rich(stated.claim)}</em>",
            f"<strong>Measured</strong> {_rich(self.measured)}<br>"
            f"<strong>Expected</strong> {_rich(self.expected)}{tolerance}",
        ]
        if self.correction:
            lines.append(f"<strong>Corrected</strong> {_rich(self.correction)}")
        lines.append(_rich(self.note))
        if stated.changed:
            lines.append(f"<small>Rule changed after a result: {_rich(stated.changed)}</small>")
        body = "".join(f"<p>{line}</p>" for line in lines)
        return f'<div class="verdict verdict-{CSS[self.verdict]}" id="{self.id}">{body}</div>'


def _rich(text: str) -> str:
    """HTML of a claim's sentence, with its `code` and *emphasis*."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"(?<![\w*])\*(?=\S)([^*]+)(?<=\S)\*(?![\w*])", r"<em>\1</em>", text)


def verdict(claim_id: str, outcome: Outcome) -> Verdict:
    """An outcome with the sentences of its claim; an observation is shown as one, and not judged.

    The note of an observation says so where the outcome does not bear it out.
    Raises `ValueError` if a sentence names a value that the outcome lacks, or is empty or not one
    line.
    """
    stated = claims()[claim_id]
    text = {name: render(stated, name, outcome.values).strip() for name in SENTENCES}
    decided = OBSERVATION if stated.kind == OBSERVATION else outcome.verdict
    if decided == UNDECIDED:
        text["note"] = f"{text['note']} To decide it: {stated.decides}"
    if decided == OBSERVATION and not outcome.holds:
        text["note"] = f"{text['note']} {UNMET}"
    if decided != CORRECTED:
        text["correction"] = ""
    elif not text["correction"]:
        raise ValueError(f"{claim_id} is {decided}, but its entry has no correction")
    for name, value in text.items():
        if "\n" in value or not value and name in ("measured", "expected", "note"):
            raise ValueError(f"{claim_id}: {name} is {value!r}; give a text of one line")
    return Verdict(claim_id, stated.chapter, decided, **text)


class Ledger:
    """The verdicts of a chapter whose notebook cells decide them: those without functions yet."""

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

        `holds` true: the claim stands as stated. `holds` false: it *fails*, or it *holds,
        corrected* if `corrected`, the check of the correction that the note states, is true; a
        `correction` given by itself is put in front of the note in that case alone. `holds` None:
        not decidable here; the note gives the command that would decide it. Running a cell again
        replaces its verdict. Raises `ValueError` for an unknown claim, another chapter's claim or
        an empty text.
        """
        if claim_id not in claims() or claims()[claim_id].chapter != self.chapter:
            raise ValueError(f"{claim_id!r} is no claim of chapter {self.chapter} in claims.yml")
        for name, decided in {"holds": holds, "corrected": corrected}.items():
            if not isinstance(decided, (bool, np.bool_)) and (name, decided) != ("holds", None):
                raise ValueError(
                    f"{claim_id}: {name} is {decided!r};"
                    " give True or False, or None for an undecided `holds`"
                )
        texts = {"measured": measured, "expected": expected, "note": note}
        for name, text in (texts | {"tolerance": tolerance or "none"}).items():
            if not isinstance(text, str) or not text.strip() or "\n" in text:
                raise ValueError(f"{claim_id}: {name} is {text!r}; give a text of one line")
        decided = Outcome(holds, corrected).verdict
        if correction and decided == CORRECTED:
            note = f"Corrected: {correction} {note}"
        self.verdicts[claim_id] = Verdict(
            claim_id, self.chapter, decided, measured, expected, tolerance, note
        )
        display(self.verdicts[claim_id])

    def missing(self) -> list[str]:
        """Claims that this chapter's notebook still has to decide."""
        own = [i for i, c in claims().items() if c.chapter == self.chapter and not c.moved]
        return [i for i in own if i not in self.verdicts]

    def table(self) -> pd.DataFrame:
        """One row a decided claim, in the order of the paper."""
        rows = [
            (
                i,
                c.where,
                self.verdicts[i].verdict,
                self.verdicts[i].measured,
                self.verdicts[i].expected,
            )
            for i, c in claims().items()
            if i in self.verdicts
        ]
        columns = ["claim", "where", "verdict", "measured", "expected"]
        return pd.DataFrame(rows, columns=columns).set_index("claim")


# ------------------------------------------------------------------------------ from pages to a
# table


def page_name(notebook: Path) -> str:
    """A page's address as seen from the lessons, without ending: `evidence/01b-theorem`."""
    notebook = Path(notebook)
    return f"{EVIDENCE}/{notebook.stem}" if notebook.parent.name == EVIDENCE else notebook.stem


def notebooks(executed: str = "") -> list[Path]:
    """The book's notebooks; where the folder `executed` of a run has a page, that of the run.

    Raises `FileNotFoundError` if there are none, or none in `executed`.
    """
    stored, run = Path(__file__).parents[1] / "notebooks", Path(executed).expanduser()
    found = {}
    for folder in (stored, run) if executed else (stored,):
        here = sorted([*folder.glob("*.ipynb"), *folder.glob(f"{EVIDENCE}/*.ipynb")])
        if executed and folder == run and not here:
            raise FileNotFoundError(f"{run} holds no notebooks; give the folder of a run")
        found |= {page_name(path): path for path in here}
    if not found:
        raise FileNotFoundError(f"{stored} holds no notebooks; run the book from a clone")
    return [found[name] for name in sorted(found)]


def records(notebook: Path) -> list[dict]:
    """The records stored in one notebook's outputs, in order."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    return [output["data"][MIME] for output in outputs if MIME in output.get("data", {})]


def gather(pages: Iterable[Path]) -> dict[str, dict]:
    """`{claim id: record}` over several notebooks, with the `page` that decided it.

    Raises `ValueError` if two cells decide one claim.
    """
    found: dict[str, dict] = {}
    for notebook in sorted(pages):
        for record in records(notebook):
            name = record.pop("id")
            if name in found:
                raise ValueError(f"claim {name} is decided twice, the second time in {notebook}")
            found[name] = record | {"page": page_name(notebook)}
    return dict(sorted(found.items()))


def everything(pages: Iterable[Path]) -> pd.DataFrame:
    """One row a claim of the four papers, in their order, with what `pages` decided.

    Columns: what a claim has (`paper`, `chapter`, `where`, `claim`, `kind`, `speaker`, `strength`,
    `headline`) and what a record has (`verdict`, `measured`, `expected`, `tolerance`, `correction`,
    `note`, `page`), empty where nothing decided. The index is the claim's id.
    """
    stated = ("paper", "chapter", "where", "claim", "kind", "speaker", "strength", "headline")
    decided = ("verdict", "measured", "expected", "tolerance", "correction", "note", "page")
    found = gather(pages)
    rows = {
        i: {key: getattr(c, key) for key in stated}
        | {key: found.get(i, {}).get(key, "") for key in decided}
        for i, c in claims().items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `everything` that count: what a paper, its supplement or its code says."""
    return table[(table.kind != OBSERVATION) & (table.speaker != "third party")]


def write_verdicts(pages: Iterable[Path], path: Path) -> None:
    """Write `gather(pages)` to `path` as JSON, by a temporary file and a rename."""
    text = json.dumps(gather(pages), indent=1, ensure_ascii=False) + "\n"
    temporary = Path(path).with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


# ------------------------------------------------------------------------------------------ as HTML


def address(page: str, claim_id: str, seen_from: str = "") -> str:
    """The link to a verdict's card from a page in the folder `seen_from` (`""` or `evidence`)."""
    up = "../" if seen_from and PurePosixPath(page).parent.name != seen_from else ""
    inside = PurePosixPath(page).name if PurePosixPath(page).parent.name == seen_from else page
    return f"{up}{inside}.html#{claim_id}"


def register(table: pd.DataFrame) -> str:
    """Rows of `everything` as one HTML table with an anchor a claim.

    `ledger.js` of the built book adds search and filters.
    """
    cells = []
    for i, row in table.iterrows():
        tolerance = f" ({_rich(row.tolerance)})" if row.tolerance else ""
        data = " ".join(
            f'data-{key}="{row[key]}"'
            for key in ("paper", "verdict", "kind", "strength", "speaker", "headline")
        )
        corrected = (
            f"<p><strong>Corrected</strong> {_rich(row.correction)}</p>" if row.correction else ""
        )
        link = f'<a href="{address(row.page, i)}">{row.page}</a>' if row.page else ""
        cells.append(
            f'<tr id="{i}" {data}>'
            f'<td><span class="verdict-{CSS.get(row.verdict, "undecided")}">'
            f"{row.verdict or 'no verdict'}</span><br><small>{row.strength}</small></td>"
            f"<td>{_rich(row.claim)}<br><small>{row.paper}, {escape(row['where'])} · "
            f'<a href="#{i}"><code>{i}</code></a></small>'
            f'<details><summary aria-label="evidence for {i}">evidence</summary>'
            f"<p><strong>Measured</strong> {_rich(row.measured)}</p>"
            f"<p><strong>Expected</strong> {_rich(row.expected)}{tolerance}</p>"
            f"{corrected}<p>{_rich(row.note)}</p></details></td>"
            f"<td>{link}</td></tr>"
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Verdict", "Claim", "Decided on"))
    body = "\n".join(cells)
    return f'<table class="register"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def says(chapter: int, executed: str = "") -> HTML:
    """What the ledger says of a chapter: its headline claims, and all others folded, with links.

    Each row has the claim's id as its anchor, so that a link to a verdict that was once on the
    lesson's page still leads to it; `ledger.js` goes on from there to the card.
    """
    table = everything(notebooks(executed))
    table = table[table.chapter == chapter]

    def line(i, row):
        link = address(row.page, i) if row.page else ""
        evidence = f' <a href="{link}">evidence</a>' if link else ""
        mended = row.correction if row.headline else ""
        told = f"<br><small>Corrected: {_rich(mended)}</small>" if mended else ""
        said_by = "" if row.speaker == "paper" else f"<br>said by: {row.speaker}"
        return (
            f'<tr id="{i}" data-evidence="{link}">'
            f'<td><span class="verdict-{CSS.get(row.verdict, "undecided")}">'
            f"{row.verdict or 'no verdict'}</span><br><small>{row.strength}{said_by}</small></td>"
            f"<td>{_rich(row.claim)}{evidence}{told}</td></tr>"
        )

    head = '<thead><tr><th scope="col">Verdict</th><th scope="col">Claim</th></tr></thead>'
    shown, folded = (
        "".join(line(i, row) for i, row in part.iterrows())
        for part in (table[table.headline], table[~table.headline])
    )
    return HTML(
        f'<table class="says">{head}<tbody>{shown}</tbody></table>'
        f"<details><summary>The chapter's other {(~table.headline).sum()} claims</summary>"
        f'<table class="says">{head}<tbody>{folded}</tbody></table></details>'
    )
