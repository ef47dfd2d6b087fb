"""Trials: one training of merging coefficients, whose settings are the key of a stored row.

A learner reads numbers and gives a coefficient for each expert and layer. The coefficients make a
merge, the merge answers a few inputs of each task, and the gradient of the loss flows back into the
learner (`distil.train`). What the learner reads, what it is and what teaches it are the fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mergebook import studies
from mergebook.ch3.reading import learnable, read
from mergebook.ch3.teaching import POOL, lesson, misled, taught
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import distil, evaluate, merge, states, stats
from mergehelpers.states import State
from mergehelpers.suites import Suite
from mergehelpers.suites.data import take


@dataclass(frozen=True)
class Trial:
    """The key of one training of coefficients.

    `reads` is what the learner reads (`reading.read`). `learner` is a kind of network, `mlp2, one a
    layer` for a network of each layer, as in the released scripts, or `free`: the coefficients
    themselves. `form` is `free` (0.3 plus what the learner says) or `simplex` (a softmax over
    experts). `vectors` are the task vectors, `whole`, `trimmed` (TIES), `lines`, or `knots`,
    trimmed in a shared basis. `tasks` are those whose experts are merged, joined by spaces, all if
    empty. `count` inputs a task come from `source` (`teaching.lesson`); `wrong` is the share of
    answers replaced by another class; a `teacher` lies this far from the base to its expert.
    `heads` are `frozen`, trained `too`, or trained alone (`only`). The rate falls to a tenth after
    the share `drop` of the steps.
    """

    models: str = ""
    reads: str = "statistics"
    learner: str = "mlp2"
    width: int = 64
    level: str = "layers"
    loss: str = "hard"
    temperature: float = 1.0
    form: str = "free"
    vectors: str = "whole"
    tasks: str = ""
    source: str = POOL
    count: int = 64
    wrong: float = 0.0
    teacher: float = 1.0
    heads: str = "frozen"
    rank: int = 3
    rate: float = 0.01
    steps: int = 100
    batch: int = 4
    drop: float = 0.7
    seed: int = 0
    test_samples: int = 500


SHARED = Trial()  # StatsMerging as the text has it: one network for all layers
OWN = Trial(learner="mlp2, one a layer")  # StatsMerging as the released scripts have it
FREE = Trial(learner="free", reads="nothing")  # its teachers, with AdaMerging's coefficients
ADAMERGING = replace(FREE, loss="entropy")
ADAMERGING_PP = replace(ADAMERGING, vectors="trimmed")


@dataclass(frozen=True)
class Learnt:
    """A trained learner: its names of tasks, what it reads of all experts, and the training."""

    learner: nn.Module
    tasks: tuple[str, ...]
    features: Tensor
    trained: distil.Trained

    @property
    def coefficients(self) -> Tensor:
        """(experts, layers)"""
        return self.trained.coefficients


def trimmed_in_shared_basis(stack: Tensor) -> Tensor:
    """Task matrices trimmed as by TIES in the basis of KnOTS; vectors are trimmed as they are."""
    if stack.ndim < 3:
        return merge.elect(merge.trim(stack.flatten(1), 0.2)).view_as(stack)
    basis, parts = merge.align(stack.flatten(2))
    return (basis @ merge.elect(merge.trim(parts.flatten(1), 0.2)).view_as(parts)).view_as(stack)


@lru_cache(maxsize=16)
def stacked(r: OpenSuite, tasks: tuple[str, ...], vectors: str = "whole") -> dict[str, Tensor]:
    """The task vectors to combine, `{layer: (experts, ...)}`; raises `ValueError` for no kind."""
    experts = [learnable(r, r.experts[n]) for n in tasks]
    stacks = merge.vectors_stacked(learnable(r, r.base), experts)
    if vectors == "whole":
        return stacks
    if vectors == "lines":
        depth = states.depths(r.base)
        return {n: stack * (0.5 + depth[n]) for n, stack in stacks.items()}
    if vectors == "knots":
        return {n: trimmed_in_shared_basis(stack) for n, stack in stacks.items()}
    if vectors != "trimmed":
        raise ValueError(f"vectors are {vectors!r}; allowed: whole, lines, knots, trimmed")
    flat = torch.cat([stack.flatten(1) for stack in stacks.values()], dim=1)
    flat = merge.elect(merge.trim(flat, 0.2))
    pieces = flat.split([stack[0].numel() for stack in stacks.values()], dim=1)
    return {n: piece.reshape(stacks[n].shape) for n, piece in zip(stacks, pieces)}


def tasks_of(r: OpenSuite, t: Trial) -> tuple[str, ...]:
    """The tasks whose experts a trial merges."""
    return tuple(t.tasks.split()) or tuple(r.tasks)


def learner_of(r: OpenSuite, t: Trial) -> tuple[nn.Module, Tensor]:
    """The learner of a trial, and what it reads of all experts, (experts, layers, numbers)."""
    rows = [r.tasks.index(n) for n in tasks_of(r, t)]
    x = read(r, t.reads, t.level, t.rank, t.seed)
    if t.learner == "free":
        return stats.Free(len(rows), x.shape[1], t.form), x
    kind, _, own = t.learner.partition(", ")
    return stats.Learner(x[rows], kind, t.width, t.form, shared=not own, seed=t.seed), x


def lessons_of(r: OpenSuite, t: Trial) -> tuple[dict, dict[str, Tensor], dict[str, Tensor]]:
    """Inputs, teachers' answers and labels of a trial, `{task: ...}`."""
    # Two generators, so that trials with wrong answers learn from the inputs of those without.
    g, errors = (torch.Generator().manual_seed(n + t.seed) for n in (2000, 4000))
    inputs, teacher, labels = {}, {}, {}
    for n in tasks_of(r, t):
        every, truth = lesson(r, n, t.source)
        chosen = torch.randperm(len(truth), generator=g)[: t.count]
        inputs[n], labels[n] = take(every, chosen.tolist()), truth[chosen]
        teacher[n] = taught(r, n, t.source, t.teacher)[chosen]
        if t.wrong:
            classes = len(r.suite.task(n).classes)
            labels[n] = misled(labels[n], classes, t.wrong, errors)
            said = misled(teacher[n].argmax(1), classes, t.wrong, errors)
            teacher[n] = one_hot(said, classes).float()
    return inputs, teacher, labels


def learn(r: OpenSuite, t: Trial, watch: int = 0, lessons: tuple | None = None) -> Learnt:
    """Train the coefficients of a trial, on its `lessons_of` or others; `watch` as in `train`."""
    learner, x = learner_of(r, t)
    inputs, teacher, labels = lessons or lessons_of(r, t)
    if t.heads == "only":
        learner.requires_grad_(False)
    stacks = stacked(r, tasks_of(r, t), t.vectors)
    # A learner computes in single precision, or in double where the weights are.
    learner.to(torch.promote_types(torch.float32, next(iter(stacks.values())).dtype))
    trained = distil.train(
        r.suite,
        learner,
        inputs,
        teacher,
        distil.Training(t.loss, t.steps, t.batch, t.rate, t.drop, t.temperature),
        labels,
        t.heads != "frozen",
        stacks,
        t.seed,
        watch,
        device=r.device,
        progress=False,
    )
    return Learnt(learner, tasks_of(r, t), x, trained)


def combined(r: OpenSuite, t: Trial, coefficients: Tensor) -> State:
    """The merge that coefficients (experts, layers) make of a trial's task vectors."""
    stacks = stacked(r, tasks_of(r, t), t.vectors)
    return merge.combine(r.base, stacks, coefficients.to(r.device))


def agreement_with_teachers(
    r: OpenSuite, state: State, tasks: Sequence[str], limit: int, suite: Suite | None = None
) -> float:
    """Share of validation inputs on which a merge answers as the task's own expert, in percent."""
    return said_as_experts(r, said_on_validation(suite or r.suite, state, tasks, limit))


def said_on_validation(
    suite: Suite, state: State, tasks: Sequence[str], limit: int
) -> dict[str, Tensor]:
    """A model's answers to the first `limit` validation inputs of each task."""
    return {n: evaluate.predictions(suite, state, n, "val", limit) for n in tasks}


def said_as_experts(r: OpenSuite, said: Mapping[str, Tensor]) -> float:
    """The share of these answers that the task's own expert gives too, in percent."""
    same = [x == taught(r, n, "val")[: len(x)].argmax(1) for n, x in said.items()]
    return 100 * float(np.mean([x.float().mean().item() for x in same]))


def graded(
    r: OpenSuite, state: State, tasks: Sequence[str], limit: int, suite: Suite | None = None
) -> list[str]:
    """Which test inputs a model answers rightly, packed, task by task."""
    right = evaluate.right(suite or r.suite, state, "test", list(tasks), limit, r.device)
    return list(studies.pack_answers(right).values())


def trial_row(
    key: Trial, sources: Mapping[str, str], device: str, coefficients: bool = False
) -> dict:
    """What is stored of a trial.

    `agree`: agreement with teachers on validation inputs, and `val`, accuracy there, in percent;
    `losses`: means of ten parts of the training; `right`: answers to test inputs, task by task.
    """
    r = opened(key, sources, device)
    found = learn(r, key)
    state, suite = combined(r, key, found.coefficients), found.trained.suite
    said = said_on_validation(suite, state, found.tasks, key.test_samples)
    right = {n: x == r.labels(n, "val", key.test_samples) for n, x in said.items()}
    losses = np.array_split(found.trained.losses, min(10, len(found.trained.losses)))
    row = {
        "val": evaluate.percent([right]),
        "agree": said_as_experts(r, said),
        "losses": [round(float(part.mean()), 5) for part in losses],
        "right": graded(r, state, found.tasks, key.test_samples, suite),
    }
    if coefficients:
        row["coefficients"] = [[round(v, 4) for v in c] for c in found.coefficients.tolist()]
    return row


# Ten times what differed between one thread and two, and between two machines: losses by 2e-4, an
# answer of 500, agreement by 0.05 points, coefficients by 3 % of the largest. The losses know a
# row: those of two treatments differ by more than their tolerance.
TOLERANCES = {
    "val": Tolerance(absolute=0.5),
    "agree": Tolerance(absolute=0.5),
    "losses": Tolerance(relative=2e-3),
    "right": Tolerance(absolute=0.01),
}
COEFFICIENTS = {"coefficients": Tolerance(relative=0.1)}


def experiment(name: str, coefficients: bool = False, version: int = 1) -> Experiment:
    """An experiment that runs trials, its rows in a file of its own, with `coefficients` or not."""
    return Experiment(
        name,
        version,
        Trial,
        partial(trial_row, coefficients=coefficients),
        TOLERANCES | (COEFFICIENTS if coefficients else {}),
    )
