"""The registry of merging rules: what each takes, and how it runs on models in files.

A rule is one function under `@rule`, in a file of this package. Its first parameters say whether it
needs a base: `(base, experts, …)` or `(experts, …)`. The others are its settings; each is annotated
`Annotated[type, kind, example]` with a kind of `mergehelpers.parameters` and a value to try it
with, and has a default or is required. The first paragraph of the docstring says what the rule does
and who published it. The function checks that its models fit, and returns pairs of a name and a
merged tensor, one after the other.
"""

import difflib
import inspect
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Annotated, Any, get_type_hints

from torch import Tensor

from mergehelpers.parameters import Flag, Float, Int, Listed, Wrong
from mergehelpers.states import State

Pairs = Iterator[tuple[str, Tensor]]
Models = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Tensors:
    """Tensors by name, from one file; or, with `each`, from one file for every expert."""

    meaning: str
    each: bool = False

    def __str__(self):
        return ("a list with, for every expert, " if self.each else "") + self.meaning

    def check(self, value):
        parts = value if self.each else [value]
        if not isinstance(parts, (list, tuple)) or not all(isinstance(p, Mapping) for p in parts):
            raise Wrong


Keep = Annotated[float, Float(above=0, maximum=1), 0.2]
Scale = Annotated[float, Float(), 0.3]
Seed = Annotated[int, Int(0, 2**63 - 1), 0]
Yes = Annotated[bool, Flag(), True]
Weights = Annotated[Sequence[float] | None, Listed(Float(minimum=0)), None]
Rates = Annotated[
    Mapping[str, Tensor], Tensors("tensors of keep rates, one for each row of some weights"), {}
]


# What other tools call our settings.
ELSEWHERE = {
    "density": "keep",
    "weight": "weights",
    "lambda": "scale",
    "gamma": "outliers",
    "random_seed": "seed",
}


class BadSetting(ValueError):
    """A setting that a rule does not take; `name` is its name, empty for one that is missing."""

    def __init__(self, name: str, text: str):
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class Setting:
    """A setting of a rule: what it may be, a value to try, and its default or `...` for none."""

    kind: Any
    example: Any
    default: Any


@dataclass(frozen=True)
class Size:
    """What is merged: models, entries in the largest tensor and in all, bytes an entry."""

    models: int
    largest: int
    entries: int
    width: int


class Rule:
    """A merging rule: called, it gives a state; `stream` gives its tensors one after the other.

    `name`; `needs_base`; `settings`, `{name: Setting}`; and what `rule` was told.
    """

    def __init__(self, function: Callable[..., Pairs], memory, count, ordered):
        update_wrapper(self, function)
        self.function, self.name = function, function.__name__
        self.memory, self.count, self.ordered = memory, count, ordered
        self.signature = inspect.signature(function)
        parameters, hints = self.signature.parameters, get_type_hints(function, include_extras=True)
        self.needs_base = "base" in parameters
        models = ("base", "experts") if self.needs_base else ("experts",)
        if tuple(parameters)[: len(models)] != models:
            raise TypeError(f"the rule {self.name} must take {' and '.join(models)} first")
        self.settings = {}
        for name, parameter in parameters.items():
            if name not in models:
                kind, example = hints[name].__metadata__
                default = ... if parameter.default is parameter.empty else parameter.default
                self.settings[name] = Setting(kind, example, default)

    def check(self, settings: Mapping[str, Any], kinds: Mapping[str, Any] | None = None) -> None:
        """Raise `BadSetting` for the first setting that is unknown, not allowed, or missing.

        `kinds` stand in for those of the settings of these names.
        """
        for name, value in settings.items():
            if name not in self.settings:
                near = difflib.get_close_matches(name, self.settings, 1)
                near = [ELSEWHERE[name]] if ELSEWHERE.get(name) in self.settings else near
                hint = f"did you mean {near[0]!r}? " if near else ""
                allowed = ", ".join(self.settings) or "none"
                raise BadSetting(
                    name, f"{self.name} has no setting {name!r}; {hint}allowed: {allowed}"
                )
            self.check_value(name, value, kinds)
        for name, setting in self.settings.items():
            if setting.default is ... and name not in settings:
                raise BadSetting("", f"{self.name} lacks the setting {name!r}: {setting.kind}")

    def check_value(self, name: str, value: Any, kinds: Mapping[str, Any] | None = None) -> None:
        """Raise `BadSetting` unless a setting may have this value."""
        setting = self.settings[name]
        kind = (kinds or {}).get(name, setting.kind)
        if value is None and setting.default is None:
            return
        try:
            kind.check(value)
        except Wrong:
            text = f"{name} is {reprlib.repr(value)}; allowed: {kind}"
            raise BadSetting(name, text) from None

    def stream(self, *args, **kwargs) -> Pairs:
        """The merged tensors by name; settings and models are checked before the first."""
        bound = self.signature.bind_partial(*args, **kwargs)
        given = bound.arguments
        self.check({k: v for k, v in given.items() if k not in ("base", "experts")})
        for name, setting in self.settings.items():
            if isinstance(setting.kind, Float) and isinstance(given.get(name), int):
                given[name] = float(given[name])  # torch takes no whole number above 2^63
        found = len(given["experts"])
        if not found or self.count not in (None, found):
            raise ValueError(
                f"{self.name} merges {self.count or 'one or more'} models, got {found}"
            )
        return self.function(*bound.args, **bound.kwargs)

    def __call__(self, *args, **kwargs) -> State:
        return dict(self.stream(*args, **kwargs))

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join(inspect.cleandoc(self.__doc__).split("\n\n")[0].split())


def rule(
    memory: Callable[[Size], int] = lambda size: 0, count: int | None = None, ordered: bool = False
) -> Callable[[Callable], Rule]:
    """Register a function as a merging rule.

    `memory(size)` is the bytes that it holds beside slabs and the tensor that it makes; `count` the
    number of models, if it takes no other; `ordered` says that their order matters.
    """
    return lambda function: Rule(function, memory, count, ordered)


def table(rules: Mapping[str, Rule]) -> str:
    """The rules as a table in Markdown: what each does, what it needs, its settings."""

    def told(name, setting):
        default = "" if setting.default is ... else f" ({setting.default!r})"
        return f"`{name}`{'' if setting.default is None else default}"

    rows = [
        f"| `{r.name}` | {r.summary} | {'a base' if r.needs_base else 'no base'} | "
        + ", ".join(told(*item) for item in r.settings.items())
        + " |"
        for r in rules.values()
    ]
    kinds = {name: s.kind for r in rules.values() for name, s in r.settings.items()}
    lines = [f"| `{name}` | {kinds[name]} |" for name in sorted(kinds)]
    return "\n".join(
        [
            "| `rule` | What it does | Needs | `[settings]`, with defaults |",
            "|---|---|---|---|",
            *rows,
            "",
            "| Setting | What it may be |",
            "|---|---|",
            *lines,
            "",
        ]
    )
