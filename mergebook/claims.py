"""Claims: what a paper says, as data; what decides it, as a pure function of tables.

A claim and its sentences are an entry of `book/claims/chN.yml`. A function under `@claim(id)` takes
the tables of an experiment and returns an `Outcome`: whether the claim holds, and the numbers that
its sentences name. Code decides; text is data. Chapters that still decide in their notebooks have
their entries, without sentences, in `book/claims/claims.yml`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from string import Formatter
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

HOLDS, CORRECTED, FAILS = "holds", "holds, corrected", "fails"
UNDECIDED, OBSERVATION = "not decidable here", "observation"
PAPERS = {  # by chapter
    1: "M-Loss",
    2: "M-Loss",
    3: "StatsMerging",
    4: "Rethinking",
    5: "FT-Classifier",
}
KINDS = ("definition", "derivation", "theorem", "algorithm", "statement", "table", "figure", "cost")
SPEAKERS = ("paper", "supplement", "released code", "third party")
STRENGTHS = (
    "proof",
    "arithmetic",
    "released code",
    "earlier work",
    "small networks",
    "real networks",
    "paper scale",
)
SENTENCES = ("measured", "expected", "tolerance", "correction", "note")


class Each(BaseModel):
    """A part of a sentence that is said once for each entry of a list among the values."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    each: str
    text: str
    join: str = "; "


Sentence = str | list[str | Each]


class Claim(BaseModel):
    """One claim. The last five fields are templates: `{name:.1f}` takes a value of the outcome.

    `decides` says what would decide it, on a card that does not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern="^[a-z0-9-]+$")
    chapter: int
    where: str = Field(min_length=1)
    claim: str = Field(min_length=1)
    kind: Literal[(*KINDS, OBSERVATION)]
    speaker: Literal[SPEAKERS]
    strength: Literal[STRENGTHS]
    check: str = Field(min_length=1)
    evidence: str = ""
    suspect: str = ""
    headline: bool = False
    changed: str = ""
    decides: str = "The same page with more worlds, pairs or inputs would narrow the intervals."
    measured: Sentence = ""
    expected: Sentence = ""
    tolerance: Sentence = ""
    correction: Sentence = ""
    note: Sentence = ""

    @property
    def paper(self) -> str:
        """The paper that the claim's chapter is about."""
        return PAPERS[self.chapter]

    @property
    def moved(self) -> bool:
        """Whether a function decides it, rather than a cell of its chapter's notebook."""
        return bool(self.measured)

    @field_validator("chapter")
    @classmethod
    def _has_paper(cls, chapter):
        if chapter not in PAPERS:
            raise ValueError(
                f"no paper for chapter {chapter}; allowed: {', '.join(map(str, PAPERS))}"
            )
        return chapter

    @model_validator(mode="after")
    def _sentences(self):
        needed = ("measured", "expected", "note")
        if self.moved and (empty := [name for name in needed if not getattr(self, name)]):
            raise ValueError(f"{', '.join(empty)} must not be empty")
        for name in SENTENCES:
            try:
                for part in _parts(getattr(self, name)):
                    list(Formatter().parse(part if isinstance(part, str) else part.text))
            except ValueError as error:
                raise ValueError(f"{name} is no template: {error}") from error
        return self


def book_folder(name: str) -> Path:
    """The folder `book/NAME`, or its copy in the installed package.

    Raises `FileNotFoundError` if it is in neither.
    """
    here = Path(__file__).parent
    folder = next((f for f in (here / name, here.parent / "book" / name) if f.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{name} is neither in the installed package nor in book/")
    return folder


def read_claims(path: Path) -> list[Claim]:
    """The entries of one YAML file; in `chN.yml` the chapter is N.

    Raises `ValueError` that names the file, the claim and the field for an entry that does not fit.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path} must hold a list of claims, each a table of fields")
    number = path.stem.removeprefix("ch")
    shared = {"chapter": int(number)} if number.isdigit() else {}
    if shared and (own := next((e for e in entries if "chapter" in e), None)):
        raise ValueError(f"{path}, {own.get('id')}: chapter is given by the file's name")
    out = []
    for place, entry in enumerate(entries, 1):
        try:
            out.append(Claim(**shared | entry))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'entry'}: {fault['msg']}"
                for fault in error.errors()
            )
            raise ValueError(f"{path}, {entry.get('id', f'entry {place}')}: {faults}") from error
        if shared and not out[-1].moved:
            raise ValueError(f"{path}, {out[-1].id}: measured must not be empty")
    return out


@cache
def claims() -> dict[str, Claim]:
    """All claims of the four papers by id, in the order of the chapters and of the papers."""
    found: dict[str, Claim] = {}
    folder = book_folder("claims")
    every = [c for path in sorted(folder.glob("c*.yml")) for c in read_claims(path)]
    for entry in sorted(every, key=lambda c: c.chapter):
        if entry.id in found:
            raise ValueError(f"claim {entry.id} is listed twice")
        found[entry.id] = entry
    return found


# ----------------------------------------------------------------------------------- decisions


@dataclass(frozen=True)
class Outcome:
    """What tables say of a claim; `values` are the numbers that its sentences name.

    `holds` None: not decidable here. `corrected` is the test of the correction, which decides where
    `holds` is false.
    """

    holds: bool | None
    corrected: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name, allowed in {
            "holds": (bool, np.bool_, type(None)),
            "corrected": (bool, np.bool_),
        }.items():
            if not isinstance(getattr(self, name), allowed):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; give what code decided: a boolean"
                )

    @property
    def verdict(self) -> str:
        """One of the four verdicts."""
        if self.holds is None:
            return UNDECIDED
        return HOLDS if self.holds else CORRECTED if self.corrected else FAILS


DECIDERS: dict[str, Callable[..., Outcome]] = {}


def claim(claim_id: str) -> Callable:
    """Register a pure function, tables in and an `Outcome` out, as what decides a claim.

    Raises `ValueError` for an id that the files do not have, and for a second function of one
    claim.
    """

    def register(decide):
        if claim_id not in claims() or not claims()[claim_id].moved:
            raise ValueError(f"{claim_id!r} is no claim of book/claims/chN.yml")
        first = DECIDERS.get(claim_id, decide)
        if (first.__module__, first.__qualname__) != (decide.__module__, decide.__qualname__):
            raise ValueError(
                f"two functions decide {claim_id}: {first.__module__}.{first.__qualname__}"
                f" and {decide.__module__}.{decide.__qualname__}"
            )
        DECIDERS[claim_id] = decide
        return decide

    return register


def decider(claim_id: str) -> Callable[..., Outcome]:
    """The function that decides a claim; raises `ValueError` if there is none, or no such claim."""
    if claim_id not in claims():
        raise ValueError(f"{claim_id!r} is no claim of book/claims")
    if claims()[claim_id].moved:
        import_module(f"mergebook.ch{claims()[claim_id].chapter}.claims")
    if claim_id not in DECIDERS:
        raise ValueError(f"no function decides {claim_id}; write one under @claim({claim_id!r})")
    return DECIDERS[claim_id]


def _parts(sentence: Sentence) -> list[str | Each]:
    return [sentence] if isinstance(sentence, str) else sentence


def render(entry: Claim, name: str, values: Mapping[str, Any]) -> str:
    """The sentence `name` of a claim with its values filled in.

    Raises `ValueError` that names the claim, the sentence and the value that is missing, or what a
    value does not allow.
    """
    out = []
    for part in _parts(getattr(entry, name)):
        try:
            if isinstance(part, str):
                out.append(part.format(**values))
            else:
                entries = values[part.each]
                rows = entries.to_dict("records") if isinstance(entries, pd.DataFrame) else entries
                out.append(part.join.join(part.text.format(**values | row) for row in rows))
        except KeyError as error:
            raise ValueError(
                f"{entry.id}: {name} names {error.args[0]!r}, which the outcome lacks;"
                f" it has {', '.join(values) or 'nothing'}"
            ) from error
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{entry.id}: {name} does not fit the outcome: {error}") from error
    return "".join(out)
