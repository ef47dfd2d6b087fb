"""A chapter's parameters as a contract: what papermill may inject, checked before any work starts.

papermill only warns about a name it does not know, and never looks at types or ranges. A chapter
therefore calls `validate` in the cell after its parameters; every problem is one `ValueError` that
names the parameter, what was given and what is allowed.
"""

import ast
import difflib
import io
import os
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import Any

INJECTED = "# Parameters"  # the comment papermill puts on top of the cell it injects


class Wrong(ValueError):
    """A value that a kind does not accept; the text says what is allowed."""


@dataclass(frozen=True)
class Int:
    """A whole number with `minimum <= value <= maximum`."""

    minimum: int | None = None
    maximum: int | None = None

    def __str__(self):
        return "a whole number" + _range(self.minimum, self.maximum)

    def check(self, value):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise Wrong
        if not (self.minimum is None or value >= self.minimum) or not (
            self.maximum is None or value <= self.maximum
        ):
            raise Wrong


@dataclass(frozen=True)
class Float:
    """A finite number, greater than `above`, at least `minimum`, at most `maximum`."""

    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    def __str__(self):
        above = "" if self.above is None else f" above {self.above:g}"
        return "a number" + above + _range(self.minimum, self.maximum)

    def check(self, value):
        value = value.item() if hasattr(value, "item") else value  # of numpy
        if (
            isinstance(value, bool)
            or not isinstance(value, Real)
            or not abs(value) <= sys.float_info.max
        ):
            raise Wrong
        if self.above is not None and value <= self.above:
            raise Wrong
        if (
            self.minimum is not None
            and value < self.minimum
            or self.maximum is not None
            and value > self.maximum
        ):
            raise Wrong


@dataclass(frozen=True)
class Choice:
    """One of a few names; or, with `folder_with`, a folder that holds a file of that name."""

    options: tuple[str, ...]
    folder_with: str = ""

    def __str__(self):
        folder = f", or a folder with a {self.folder_with}" if self.folder_with else ""
        return "one of " + ", ".join(name or "empty" for name in self.options) + folder

    def check(self, value):
        if not isinstance(value, str):
            raise Wrong
        if value not in self.options and not (
            self.folder_with and (_path(value) / self.folder_with).is_file()
        ):
            raise Wrong


@dataclass(frozen=True)
class Listed:
    """A list of at least `length` values, each of the kind `each`."""

    each: Any
    length: int = 1

    def __str__(self):
        return f"a list of {self.length} or more, each {self.each}"

    def check(self, value):
        if not isinstance(value, (list, tuple)) or len(value) < self.length:
            raise Wrong
        for item in value:
            self.each.check(item)


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def __str__(self):
        return "true or false"

    def check(self, value):
        if not isinstance(value, bool):
            raise Wrong


@dataclass(frozen=True)
class Text:
    """A text that is not empty."""

    def __str__(self):
        return "a text that is not empty"

    def check(self, value):
        if not isinstance(value, str) or not value.strip():
            raise Wrong


@dataclass(frozen=True)
class OutputFolder:
    """A folder that can be written, made when missing; empty means that nothing is written."""

    def __str__(self):
        return "a folder that can be written, or empty for none"

    def check(self, value):
        if not isinstance(value, str):
            raise Wrong
        if not value:
            return
        folder = _path(value)
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise Wrong(f"{existing} is not a folder this user can write")


def _path(text):
    """An absolute path; a text that no file system could hold is a wrong value."""
    try:
        path = Path(text).expanduser().absolute()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise Wrong(str(error)) from error
    return path


def _range(minimum, maximum):
    if minimum is None and maximum is None:
        return ""
    if maximum is None:
        return f", {minimum:,} or more"
    if minimum is None:
        return f", {maximum:,} or less"
    return f" from {minimum:,} to {maximum:,}"


@dataclass(frozen=True)
class Contract:
    """The validated parameters; shows itself as the table a chapter prints."""

    rows: tuple[tuple[str, str, str, str], ...]

    HEAD = ("parameter", "here", "allowed", "meaning")

    def __repr__(self):
        return "\n".join(
            f"{name} = {here}  ({allowed}): {meaning}" for name, here, allowed, meaning in self.rows
        )

    def _repr_html_(self):
        def line(cells, tag):
            return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(
            line(
                (
                    f"<code>{escape(name)}</code>",
                    f"<code>{escape(here)}</code>",
                    escape(allowed),
                    escape(meaning),
                ),
                "td",
            )
            for name, here, allowed, meaning in self.rows
        )
        head = line(self.HEAD, "th")
        return (
            "<details><summary>Parameters</summary>"
            f'<table class="params"><thead>{head}</thead><tbody>{body}</tbody></table></details>'
        )


def validate(namespace: Mapping[str, Any], **kinds) -> Contract:
    """Check every parameter in `namespace` (a notebook's `globals()`) against its kind.

    All problems are reported together in one `ValueError`. A name that papermill injected and that
    is no parameter is an error too, with the closest real name.
    """
    cells = namespace.get("In", [])
    problems = [_unknown(name, kinds) for name in _injected(cells) if name not in kinds]
    for name, kind in kinds.items():
        if name not in namespace:
            problems.append(f"{name} is missing; allowed: {kind}")
            continue
        try:
            kind.check(namespace[name])
        except Wrong as wrong:
            reason = f" ({wrong})" if str(wrong) else ""
            problems.append(f"{name} is {namespace[name]!r}{reason}; allowed: {kind}")
    if problems:
        raise ValueError("; ".join(problems))
    meaning = _comments(cells, kinds)
    return Contract(
        tuple(
            (name, repr(namespace[name]), str(kind), meaning.get(name, ""))
            for name, kind in kinds.items()
        )
    )


def _unknown(name, kinds):
    close = difflib.get_close_matches(name, kinds, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{name} is not a parameter of this chapter{hint}; allowed: {', '.join(kinds)}"


def _injected(cells):
    """Names that a cell written by papermill assigns."""
    for cell in cells:
        if cell.lstrip().startswith(INJECTED):
            for node in ast.parse(cell).body:
                if isinstance(node, ast.Assign):
                    yield from (
                        target.id for target in node.targets if isinstance(target, ast.Name)
                    )


def _comments(cells, kinds):
    """The comment behind each parameter's annotated assignment."""
    for cell in cells:
        declared = [line for line in cell.splitlines() if line.split(":")[0] in kinds]
        if len(declared) == len(kinds):
            return {line.split(":")[0]: _comment(line) for line in declared}
    return {}


def _comment(line):
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return next((t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT), "")
