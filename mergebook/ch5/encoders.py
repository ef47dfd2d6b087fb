"""The encoders that Chapter 5 looks at, by key: merges, the base, experts, and controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import pandas as pd
from torch import Tensor

from mergebook import protocols
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, open_suite, opened
from mergebook.protocols import EXPERT, Bench
from mergehelpers import alignment, distil, merge
from mergehelpers.alignment import Head
from mergehelpers.states import State

Table = pd.DataFrame
BASE, AGAIN = "base", "fine-tuned again"
# The base with the entries of each tensor dealt anew; the average of all experts but the task's.
RANDOM, OTHERS = "random encoder", "experts of other tasks"
# Merges, and the (keep, scale) to choose from by validation inputs. Frozen with the rows.
GRIDS = {
    "weight averaging": [(0.0, 0.0)],
    "task arithmetic": [(0.0, scale) for scale in (0.2, 0.3, 0.5, 0.7, 1.0, 1.4)],
    "TIES": [(keep, scale) for keep in (0.2, 0.5) for scale in (1.0, 1.5, 2.0)],
}
MERGES = tuple(GRIDS)
RATE, BATCH = 3e-4, 32  # of a task fine-tuned once more


@dataclass(frozen=True)
class Encoder:
    """What features depend on: a model of a suite, a task, and how many inputs of it.

    `keep` and `scale` are the settings of a merge, those that it has; `steps` are those of a
    fine-tuning once more, with batches drawn by `seed`, which also deals the random encoder.
    `pool` training inputs are used, and `inputs` test inputs.
    """

    models: str
    model: str
    keep: float
    scale: float
    task: str
    pool: int
    inputs: int
    steps: int = 0
    seed: int = 0

    @property
    def named(self) -> str:
        """The model's name on a bench."""
        merge = f"{self.model}, {self.keep:g}, {self.scale:g}"
        once_more = f"{self.model}, {self.task}, {self.steps}, {self.seed}"
        own = {BASE: BASE, EXPERT: EXPERT, AGAIN: once_more}
        own |= {RANDOM: f"{RANDOM}, {self.seed}", OTHERS: f"{OTHERS}, {self.task}"}
        return own.get(self.model, merge)


class Views(NamedTuple):
    """Features (inputs, width) of a model and of the expert by split; labels, and the head."""

    model: Callable[[str], Tensor]
    expert: Callable[[str], Tensor]
    labels: Callable[[str], Tensor]
    head: Head
    classes: int


@lru_cache(maxsize=4)
def workbench(source: str, device: str, pool: int, inputs: int) -> Bench:
    """A bench of a suite that keeps the features of all its models."""
    return Bench(open_suite(source, device).suite, {"train": pool, "test": inputs}, device)


def views(key: Encoder, sources: Mapping[str, str], device: str) -> Views:
    """What a key's model and the expert of its task make of the task's inputs."""
    r = opened(key, sources, device)
    bench = workbench(r.source, device, key.pool, key.inputs)
    if key.named not in bench.models and key.model != EXPERT:
        bench.add(key.named, lambda: weights_of(key, bench))
    return Views(
        lambda split: bench.z(key.named, key.task, split),
        lambda split: bench.z(EXPERT, key.task, split),
        lambda split: bench.y(key.task, split),
        bench.head(key.task),
        len(bench.suite.task(key.task).classes),
    )


def settings_of(key) -> tuple[float, ...]:
    """The settings that a key's merging method takes, for `protocols.merged`."""
    both = {"weight averaging": (), "task arithmetic": (key.scale,)}
    return both.get(key.model, (key.keep, key.scale))


def weights_of(key: Encoder, bench: Bench) -> State:
    """The weights of a merge or a control, or the base fine-tuned again under the expert's head."""
    if key.model == RANDOM:
        return alignment.shuffled(bench.suite.base, key.seed)
    if key.model == OTHERS:
        return merge.average([e for t, e in bench.suite.experts.items() if t != key.task])
    if key.model != AGAIN:
        return protocols.merged(bench.suite, key.model, settings_of(key))
    own = bench.suite.task(key.task)
    return distil.fit(
        bench.suite,
        bench.suite.base,
        {key.task: own.inputs["train"]},
        {key.task: own.labels["train"]},
        steps=key.steps,
        batch=BATCH,
        rate=RATE,
        seed=key.seed,
        device=bench.device,
        progress=False,
    )


# ------------------------------------------------------------------------------ choice of settings


@dataclass(frozen=True)
class Tried:
    """The key of a merge's validation accuracy under the old heads."""

    models: str
    model: str
    keep: float
    scale: float


def on_validation(key: Tried, sources: Mapping[str, str], device: str) -> dict:
    """Mean accuracy in percent over tasks, on all validation inputs (Eq. 4)."""
    bench = Bench(opened(key, sources, device).suite, None, device)
    state = protocols.merged(bench.suite, key.model, settings_of(key))
    return {"val": round(bench.on_validation(state), 6), "tasks": len(bench.tasks)}


# An answer of 250 on one of five tasks is 0.08 points: none may change.
SETTINGS = Experiment(
    "settings of merges", 1, Tried, on_validation, {"val": Tolerance(0.04), "tasks": Tolerance()}
)


def settings_to_try(r: OpenSuite) -> list[Tried]:
    """All settings to try on a suite."""
    return [Tried(r.mark, model, *pair) for model, grid in GRIDS.items() for pair in grid]


def best_settings(tried: Table) -> dict[tuple[str, str], tuple[float, float]]:
    """`{(models, method): (keep, scale)}`, the best on validation inputs; ties go to the first."""
    best = tried.loc[tried.groupby(["models", "model"], sort=False).val.idxmax()]
    return {(b.models, b.model): (b.keep, b.scale) for b in best.itertuples()}


def scan_of_scales(tried: Table) -> Table:
    """Validation accuracy in percent of task arithmetic, a row a suite, a column a scale."""
    of = tried[tried.model == "task arithmetic"]
    return of.pivot(index="suite", columns="scale", values="val").round(1)


def encoders(
    r: OpenSuite,
    picked: Mapping[tuple[str, str], tuple[float, float]],
    models: Sequence[str],
    pool: int,
    inputs: int,
) -> list[Encoder]:
    """A key a model and task; merges at the settings picked for them."""
    sizes = pool, inputs
    return [
        Encoder(r.mark, model, *picked.get((r.mark, model), (0.0, 0.0)), task, *sizes)
        for model in models
        for task in r.suite.experts
    ]


def once_more(r: OpenSuite, tasks: int, steps: int, pool: int, inputs: int, seed: int):
    """Keys of the first tasks, fine-tuned once more."""
    return [
        Encoder(r.mark, AGAIN, 0.0, 0.0, task, pool, inputs, steps, seed)
        for task in list(r.suite.experts)[:tasks]
    ]
