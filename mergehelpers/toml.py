"""TOML files that a user writes.

What may stand in them, and errors that name the file and the line.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn


def _whole(value):
    return type(value) is int and abs(value) < 2**63  # as TOML has them


def _number(value):
    return _whole(value) or type(value) is float and math.isfinite(value)


def _list_of(kind: Callable) -> Callable:
    return lambda value: isinstance(value, list) and all(map(kind, value))


def _text(value):
    return isinstance(value, str)


KINDS = {
    "a text": _text,
    "a number": _number,
    "a whole number": _whole,
    "true or false": lambda value: isinstance(value, bool),
    "a table": lambda value: isinstance(value, dict),
    "a list of texts": _list_of(_text),
    "a list of numbers": _list_of(_number),
    "a list of 3 numbers": lambda value: _list_of(_number)(value) and len(value) == 3,
}


class Document:
    """A TOML file: its `content`, and checks that raise `ValueError` with the line at fault.

    Raises `ValueError` if it is not valid TOML, `FileNotFoundError` if there is none.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            text = self.path.read_text(encoding="utf-8-sig")
            self.content = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid TOML: {error}") from error
        self.lines = text.splitlines()

    def check(
        self, table, where: str, fields: Mapping[str, str], required: Sequence[str] = ()
    ) -> None:
        """Raise unless `table` has only `fields`, and all that are required.

        The table goes under the name `where`; `fields` are {name: one of `KINDS`}.
        """
        if not isinstance(table, dict):
            self.fail(f"{where} must be a table", where)
        label = f"[{where}]" if where else "the top level"
        for key, value in table.items():
            if key not in fields:
                near = difflib.get_close_matches(key, fields, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                self.fail(
                    f"unknown field {key!r} in {label}; {hint}allowed: {', '.join(fields)}",
                    where,
                    key,
                )
            if not KINDS[fields[key]](value):
                self.fail(f"{key} in {label} must be {fields[key]}, got {value!r}", where, key)
        if missing := [key for key in required if key not in table]:
            self.fail(f"{label} lacks the field {missing[0]!r}", where)

    def fail(self, message: str, where: str = "", key: str | None = None) -> NoReturn:
        """Raise `ValueError` that names the file, and the line if it can be found.

        The line is that of `key` in the table `where`.
        """
        line = self._line(where, key)
        raise ValueError(f"{self.path}{f', line {line}' if line else ''}: {message}")

    def _line(self, where, key):
        """The line of `key` in table `where`, else of the table's header."""
        current, header = "", None
        for number, line in enumerate(self.lines, 1):
            if match := re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line):
                current = match[1].replace('"', "").strip()
                header = number if current == where else header
            elif key and current == where and re.match(rf'\s*"?{re.escape(key)}"?\s*[=.]', line):
                return number
            elif key and re.match(
                rf"\s*{re.escape(where.split('.')[-1])}\s*=\s*\{{.*\b{re.escape(key)}\b", line
            ):
                return number
        return header
