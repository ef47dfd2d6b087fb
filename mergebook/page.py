"""The frame of an evidence page: open, decide, close.

page = Page("01d", globals(), seed=Int(0), suite=SUITE)
table = page.table(GAPS, keys)
page.decide("mloss-gap-from-activations", table)
page.close(gaps=table)
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from IPython.display import HTML, display
from torch import Tensor

from mergebook import studies
from mergebook.claims import book_folder, claims, decider
from mergebook.experiments import Experiment, Store
from mergebook.ledger import notebooks, verdict
from mergehelpers import device as devices
from mergehelpers import evaluate, merge, plots, suites
from mergehelpers.parameters import Choice, Contract, Float, Int, OutputFolder, Wrong, validate
from mergehelpers.states import State

# Parameters that many pages have.
SUITE = Choice(suites.available(), folder_with="suite.toml")
SECOND_SUITE = Choice(("", *suites.available()), folder_with="suite.toml")
DEVICE = Choice(devices.DEVICES)
STUDY = {
    "study": Choice(("stored", "full")),
    "recheck": Float(minimum=0, maximum=1),
    "workers": Int(1, 64),
}


@dataclass(frozen=True)
class RunFolder:
    """A folder with executed notebooks, or empty for those that are stored in the book."""

    def __str__(self):
        return "a folder with executed notebooks, or empty for the stored ones"

    def check(self, value):
        """Raise `Wrong` for a folder without notebooks."""
        if not isinstance(value, str):
            raise Wrong
        try:
            if value:
                notebooks(value)
        except (OSError, RuntimeError, ValueError) as error:
            raise Wrong(str(error)) from error


class OpenSuite:
    """A suite with its weights on a device, and what pages ask of it.

    `source` is the name or path that it was opened by. Where a method takes `limit`, it uses the
    first `limit` inputs of each task, or all.
    """

    def __init__(self, suite: suites.Suite, device: str = "auto", source: str = ""):
        place = devices.pick(device)

        def moved(state: State) -> State:
            return {name: value.to(place) for name, value in state.items()}

        self.suite, self.name, self.backbone = suite, suite.name, suite.backbone
        self.base = moved(suite.base)
        self.experts = {name: moved(state) for name, state in suite.experts.items()}
        self.tasks, self.device, self.source = tuple(suite.tasks), device, source or suite.name

    @cached_property
    def mark(self) -> str:
        """The suite's name and a fingerprint of its files, or of its weights: what a key names."""
        if self.suite.files:
            return f"{self.name}-{suites.digest(self.suite)}"
        return f"{self.name}-{studies.fingerprint({'base': self.base, **self.experts})}"

    @cached_property
    def average(self) -> State:
        """The uniform average of all experts."""
        return merge.average(list(self.experts.values()))

    def unlabelled(self, each: int, tasks: Sequence[str] | None = None) -> list:
        """The first `each` unlabelled inputs of every task, one task after the other.

        Raises `ValueError` for a task that has none.
        """
        out = []
        for name in tasks or self.tasks:
            inputs = self.suite.task(name).inputs
            if not len(inputs.get("unlabelled", ())):
                raise ValueError(f"the task {name} of {self.name} has no unlabelled inputs")
            out += list(inputs["unlabelled"][:each])
        return out

    def answers(
        self,
        state: State,
        split: str = "test",
        tasks: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> dict[str, Tensor]:
        """Which inputs of a split the model answers rightly, `{task: (inputs,) bool}`."""
        return evaluate.right(self.suite, state, split, tasks, limit, self.device)

    def embeddings(self, state: State, task: str, split: str = "test", limit: int | None = None):
        """Embeddings (inputs, width) of a task's inputs."""
        return self.backbone.embed(state, self.suite.task(task).inputs[split][:limit])

    def head_logits(self, task: str, embeddings: Tensor, state: State) -> Tensor:
        """Class scores (inputs, classes) of a task's head, on the CPU."""
        with torch.no_grad():
            return self.suite.logits(task, embeddings, state).cpu()

    def logits(self, state: State, task: str, split: str = "test", limit: int | None = None):
        """Class scores (inputs, classes) of a model on a task, on the CPU."""
        return self.head_logits(task, self.embeddings(state, task, split, limit), state)

    def labels(self, task: str, split: str = "test", limit: int | None = None) -> Tensor:
        """The labels of the inputs that `answers` and `logits` use."""
        return self.suite.task(task).labels[split][:limit]


@lru_cache(maxsize=4)
def open_suite(source: str, device: str = "auto") -> OpenSuite:
    """A suite by name or path, loaded and moved to the device once in a process."""
    return OpenSuite(suites.load_suite(source), device, source)


def opened(key, sources: Mapping[str, str], device: str) -> OpenSuite:
    """The suite that a key names, of those at `sources`, `{mark: name or path}`.

    Raises `ValueError` if the weights there are others.
    """
    found = open_suite(sources[key.models], device)
    if found.mark != key.models:
        raise ValueError(f"the key names the models {key.models}; {found.source} has {found.mark}")
    return found


def stored(experiment: Experiment, chapter: int) -> pd.DataFrame:
    """The book's rows of an experiment, for a lesson that shows what an evidence page computed.

    A column `suite` has the name in front of the mark, where rows name `models`.
    """
    table = Store(book_folder("studies") / f"ch{chapter}").everything(experiment)
    if "models" not in table:
        return table
    return table.assign(suite=table.models.str.rsplit("-", n=1).str[0])


def be_quiet() -> None:
    """No warnings and progress bars of transformers in stored outputs.

    It is imported only where a network needs it: a page without one would wait for nothing.
    """
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if "transformers" in sys.modules:  # which read the settings when it was imported
        logging = sys.modules["transformers"].utils.logging
        logging.set_verbosity_error()
        logging.disable_progress_bar()


class Page:
    """One evidence page: its parameters checked, its stored rows, and the claims that it decides.

    `number` is the page's, such as `01d`; stored rows of Chapter 1 are in `book/studies/ch1/`, a
    file an experiment. Parameters named `device`, `study`, `recheck`, `workers`, `seed` and
    `output` have their meaning everywhere. `suites` are those of the parameters `suite`,
    `second_suite` and `third_suite`, opened on the device. Raises `ValueError` for bad parameters,
    and for a suite that lacks what the page needs, before any work.
    """

    def __init__(self, number: str, namespace: Mapping[str, Any], **kinds):
        kinds = {**kinds, "output": OutputFolder()}
        self.contract: Contract = validate(namespace, **kinds)
        self.number, self.chapter = number, int(number[:2])
        self.given = {name: namespace[name] for name in kinds}
        self.output = Path(self.given["output"]).expanduser() if self.given["output"] else None
        self.device = devices.pick(self.given.get("device", "auto")).type
        self.decided: list[str] = []
        plots.use_style()
        be_quiet()
        pd.options.display.precision = 3
        pd.options.display.width = 140
        display(self.contract)
        names = [self.given.get(n, "") for n in ("suite", "second_suite", "third_suite")]
        self.suites = [open_suite(name, self.device) for name in dict.fromkeys(names) if name]
        for r in self.suites:
            suites.require(r.suite, inputs=self.given.get("samples", 1))

    @cached_property
    def store(self) -> Store:
        """The chapter's stored rows."""
        return Store(
            book_folder("studies") / f"ch{self.chapter}",
            self.given["study"],
            self.given["recheck"],
            self.given["seed"],
            self.given["workers"],
            self.output,
        )

    def table(self, experiment: Experiment, keys, **context) -> pd.DataFrame:
        """The rows of an experiment, stored or computed: see `Store.table`."""
        return self.store.table(experiment, keys, **context)

    def by_suite(
        self, experiment: Experiment, keys: Callable[[OpenSuite], Iterable]
    ) -> pd.DataFrame:
        """The rows of an experiment on every suite of the page, with its name in a column `suite`.

        `keys(suite)` gives the keys of a suite; they name its mark as `models`.
        """
        every = [key for r in self.suites for key in keys(r)]
        sources = {r.mark: r.source for r in self.suites}
        table = self.table(experiment, every, sources=sources, device=self.device)
        return table.assign(suite=table.models.map({r.mark: r.name for r in self.suites}))

    def decide(self, claim_id: str, *tables, **settings) -> None:
        """Show the card of a claim, as its function decides it from tables, and store the record.

        Raises `ValueError` for a claim of another chapter, or one that no function decides.
        """
        if claim_id in claims() and claims()[claim_id].chapter != self.chapter:
            raise ValueError(f"{claim_id} is a claim of chapter {claims()[claim_id].chapter}")
        display(verdict(claim_id, decider(claim_id)(*tables, **settings)))
        if claim_id not in self.decided:
            self.decided.append(claim_id)

    def source(self, *things) -> HTML:
        """The source of functions or classes, folded, so that a reader can open it on the page.

        The functions that decided the page's claims come last.
        """
        parts = []
        for thing in (*things, *dict.fromkeys(decider(i) for i in self.decided)):
            name = escape(f"{thing.__module__}.{thing.__qualname__}")
            code = escape(inspect.getsource(thing))
            parts.append(
                f"<details class='source'><summary>Source of <code>{name}</code></summary>"
                f"<pre>{code}</pre></details>"
            )
        return HTML("".join(parts))

    def close(self, **tables: pd.DataFrame) -> None:
        """Say what was decided; write tables and rows if the page has an output."""
        experiments = self.store.rows if "store" in self.__dict__ else {}
        keys = sum(map(len, experiments.values()))
        print(f"decided {len(self.decided)} claims" + (f", {keys} keys" if keys else ""))
        if not self.output:
            return
        self.output.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            path = self.output / f"{self.number}-{name}.csv"
            suites.write_atomically(path, table.to_csv(index=False).encode())
        if experiments:
            told = {name: value for name, value in self.given.items() if name != "output"}
            given = " ".join(f"-p {name} {value!r}" for name, value in told.items())
            self.store.save(self.output, f"page {self.number} {given}")
