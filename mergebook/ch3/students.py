"""Students: small convolutional networks, taught by labels or by the suite's own experts.

They are counterparts of the paper's ResNet50, whose teachers are vision transformers (Section 4.2).
Three tasks of the suite have students: the first, the *native* one, by labels; the two others are
distilled from the suite's experts (Eq. 8). Their base has learnt the suite's other tasks.

All of it, and what is learnt from students, is computed in double precision on the processor
(`in_double`). In single precision a rounding error grows in training until one answer in twenty is
another, and no run would repeat those of another processor.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mergebook import studies
from mergebook.ch3.comparing import lead
from mergebook.ch3.reading import learnable
from mergebook.ch3.teaching import POOL, lesson, taught
from mergebook.ch3.trials import graded
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import backbones, distil, merge
from mergehelpers.states import State
from mergehelpers.suites import Suite

COUNTERPARTS = {"mini8": ("photos", "vehicles", "textures")}  # CIFAR10, Cars and EuroSAT
TEACHER, LABELS, DISTILLED = "teacher", "labels", "distilled"
OWN_START = f"{DISTILLED}, own start"
STARTS = {"base": DISTILLED, "own start": OWN_START, "labels": LABELS}  # the two others' way


Table = pd.DataFrame


@dataclass(frozen=True)
class Student:
    """The key of a student's answers: of one `task`, or of one network for all `three` if empty.

    `way` is `labels`, `distilled` from the suite's expert, `distilled, own start`: from random
    weights, with half as many steps again; or `teacher`, the expert itself. `school` is the number
    of steps that a student's way has doubled, its base's trebled.
    """

    models: str
    three: str
    way: str
    task: str = ""
    school: int = 100
    seed: int = 0
    test_samples: int = 500


def three_tasks(r: OpenSuite) -> str:
    """The tasks that have students, joined by spaces.

    Raises `ValueError` for a suite of fewer than five tasks, or of texts.
    """
    if len(r.tasks) < 5 or isinstance(r.suite.task(r.tasks[0]).inputs["test"][0], str):
        raise ValueError(
            f"{r.name} has {len(r.tasks)} tasks, the first {r.tasks[0]}; students of another"
            " architecture need five tasks or more, of images: three for them, others for a base"
        )
    return " ".join(COUNTERPARTS.get(r.name, r.tasks[:3]))


def small_convolutional(width: int) -> nn.Sequential:
    """A small convolutional network with BatchNorm, whose output has `width` numbers."""

    def block(a, b, stride=1):
        layer = nn.Conv2d(a, b, 3, stride, padding=1, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(b))

    sizes = [(3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64)]
    blocks = [part for size in sizes for part in (block(*size), nn.ReLU())]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, width))


def doubled(state: Mapping[str, Tensor]) -> State:
    """The tensors in double precision, on the processor; integers as they are."""
    return {n: w.cpu().double() if w.is_floating_point() else w.cpu() for n, w in state.items()}


@lru_cache(maxsize=4)
def in_double(r: OpenSuite) -> OpenSuite:
    """The suite in double precision, on the processor."""
    backbone = copy.copy(r.backbone)
    backbone.prepare = lambda inputs: doubled(r.backbone.prepare(inputs))
    experts = {n: doubled(e) for n, e in r.experts.items()}
    suite = replace(r.suite, backbone=backbone, base=doubled(r.base), experts=experts)
    return OpenSuite(suite, "cpu", r.source)


@lru_cache(maxsize=2)
def as_pixels(r: OpenSuite) -> dict:
    """The suite's tasks with images as the tensors that its networks see; the same frozen heads."""
    out = {}
    for n in r.tasks:
        task = r.suite.task(n)
        inputs, labels = lesson(r, n, POOL)
        x = {"train": inputs} | {s: task.inputs[s] for s in ("val", "test")}
        y = {"train": labels} | {s: task.labels[s] for s in ("val", "test")}
        x = {s: next(iter(r.backbone.prepare(images).values())) for s, images in x.items()}
        out[n] = replace(task, inputs=x, labels=y)
    return out


@lru_cache(maxsize=64)
def classroom(r: OpenSuite, start: int) -> Suite:
    """The suite's tasks for a convolutional network with random weights."""
    width, normalised = r.backbone.width, r.backbone.normalised
    with torch.random.fork_rng():
        torch.manual_seed(start)
        net = backbones.Plain(small_convolutional(width).double(), width, normalised)
    state = {n: w.clone() for n, w in net.module.state_dict().items()}
    return Suite("students", net, state, {}, as_pixels(r))


@lru_cache(maxsize=128)
def schooled(r: OpenSuite, three: str, way: str, task: str, school: int, seed: int) -> State:
    """A student, or the `base`: see `Student`."""
    room, tasks = classroom(r, seed), three.split()
    if way == "base":
        names, start = [n for n in r.tasks if n not in tasks], room.base
        steps, size = 3 * school, 12
    else:
        names, own = [task] if task else tasks, way == OWN_START
        first = schooled(r, three, "base", "", school, seed)
        start = classroom(r, seed + 100).base if own else first
        steps, size = (3 if own else 2) * school, 32 if task else 12
    labels = {n: room.task(n).labels["train"] for n in names}
    teacher = None
    if way.startswith(DISTILLED):
        teacher = {n: taught(r, n, POOL) for n in names}
        labels = {n: z.argmax(1) for n, z in teacher.items()}
    inputs = {n: room.task(n).inputs["train"] for n in names}
    return distil.fit(
        room, start, inputs, labels, teacher, steps, size, 2e-3, seed, "cpu", progress=False
    )


@lru_cache(maxsize=64)
def family_of(
    r: OpenSuite, three: str, tasks: tuple[str, ...], start: str, school: int, seed: int
) -> OpenSuite:
    """The students of these tasks as a suite of its own; `start` is one of `STARTS`.

    BatchNorm's stored moments are no weights. The base has the mean of the students', and merges
    keep it.
    """
    native = three.split()[0]
    ways = {n: LABELS if n == native else STARTS[start] for n in tasks}
    experts = {n: schooled(r, three, way, n, school, seed) for n, way in ways.items()}
    room = classroom(r, seed)
    base = schooled(r, three, "base", "", school, seed)
    moving = {n for n, _ in room.backbone.module.named_parameters()}
    base = merge.average(list(experts.values())) | {n: base[n] for n in moving}
    suite = replace(room, base=base, experts=experts, tasks={n: room.task(n) for n in tasks})
    return OpenSuite(suite, "cpu")


def with_mean_moments(c: OpenSuite) -> OpenSuite:
    """The family with the base's moments in every student: rules then move weights alone."""
    experts = {n: c.base | learnable(c, e) for n, e in c.experts.items()}
    return OpenSuite(replace(c.suite, experts=experts), "cpu")


def renewed(c: OpenSuite, state: State) -> State:
    """The state with BatchNorm's moments from 128 unlabelled images a task."""
    images = torch.cat([c.suite.task(n).inputs["train"][:128] for n in c.tasks])
    return c.backbone.recalibrated(state, images)


def student_row(key: Student, sources: Mapping[str, str], device: str) -> dict:
    """Right answers to test inputs, task by task."""
    r = in_double(opened(key, sources, device))
    names = [key.task] if key.task else key.three.split()
    if key.way == TEACHER:
        each = [graded(r, r.experts[n], [n], key.test_samples)[0] for n in names]
        return {"right": each}
    state = schooled(r, key.three, key.way, key.task, key.school, key.seed)
    room = OpenSuite(classroom(r, key.seed), "cpu")
    return {"right": graded(room, state, names, key.test_samples)}


STUDENTS = Experiment("students", 1, Student, student_row, {"right": Tolerance(absolute=0.01)})


def student_keys(
    r: OpenSuite, three: str, seeds: Sequence[int], school: int, test_samples: int
) -> list[Student]:
    """All students and their controls, and once their teachers."""
    native, *others = three.split()
    ways = [(LABELS, native), (LABELS, ""), (DISTILLED, "")]
    ways += [(way, n) for n in others for way in (DISTILLED, LABELS, OWN_START)]
    same = Student(r.mark, three, TEACHER, "", school, 0, test_samples)
    each = [replace(same, way=way, task=task, seed=s) for way, task in ways for s in seeds]
    return [same, *each]


# ------------------------------------------------------------------------ what the page compares


def answers_in(text: str) -> np.ndarray:
    """Packed answers as (inputs,) bool."""
    return studies.unpack_answers({"": text})[""]


def by_student(rows: Table) -> Table:
    """The rows one task each: `what` says the way, and whether one network has all three."""
    out = []
    for row in rows.itertuples():
        tasks = [row.task] if row.task else row.three.split()
        together = "" if row.task or row.way == TEACHER else "together, "
        out += [(together + row.way, n, [x]) for n, x in zip(tasks, row.right)]
    return pd.DataFrame(out, columns=["what", "task", "right"])


def student_gaps(rows: Table) -> Table:
    """Teacher minus distilled student, and distilled minus taught by labels, task by task."""
    table, out = by_student(rows), []
    for task in dict.fromkeys(table.task[table.what == DISTILLED]):
        part = table[table.task == task]
        for over in (DISTILLED, LABELS):
            of = TEACHER if over == DISTILLED else DISTILLED
            out.append((task, f"{of} minus {over}", *lead(part, of, over)))
    return pd.DataFrame(out, columns=["task", "over", "value", "low", "high"])


def student_table(rows: Table) -> Table:
    """Accuracies in percent, mean over families; a column for each way."""
    table = by_student(rows)
    percent = table.right.map(lambda x: 100 * answers_in(x[0]).mean())
    mean = table.assign(percent=percent).groupby(["task", "what"], sort=False).percent.mean()
    return mean.unstack()


def together_rows(rows: Table, way: str) -> Table:
    """The answers of one network for all three tasks, as a method beside merges."""
    part = rows[(rows.way == way) & (rows.task == "")]
    return part.assign(what=f"together, {way}", renewed=part.right)


def kept_by(average: Table, rows: Table) -> Table:
    """The average's accuracy as a share of the students', with either kind of moments."""
    alone = student_table(rows)
    native = alone[LABELS][alone[DISTILLED].isna()]
    mean = pd.concat([native, alone[DISTILLED].dropna()]).mean()
    answers = {"mean moments": average.right, "renewed moments": average.renewed}
    out = []
    for moments, column in answers.items():
        each = [np.mean([answers_in(x).mean() for x in row]) for row in column]
        out.append((moments, 100 * float(np.mean(each)) / mean))
    return pd.DataFrame(out, columns=["moments", "share"])


def tried_merges(r: OpenSuite, seed: int) -> Table:
    """Whether a merge takes networks of two architectures, as they are and distilled into one.

    It asks for names and shapes alone, so that the convolutional networks need no training.
    """
    one, other = (classroom(r, seed + i).base for i in (0, 1))
    out = []
    for name, pair in {"as they are": [doubled(r.base), one], "distilled": [one, other]}.items():
        try:
            merge.average(pair)
            out.append((name, True))
        except ValueError:
            out.append((name, False))
    return pd.DataFrame(out, columns=["models", "accepted"])


def works() -> Table:
    """Merges of several architectures before the paper's, as their abstracts describe them.

    `weights`: it merges these; `images`: models of images; `unseen`: its coefficients are asked of
    an architecture that it did not learn from. MergeDistill and AdaMMS are among the paper's own
    references.
    """
    rows = [
        ("StatsMerging", "2506.04567", True, True, True, True, True),
        ("OTFusion", "1910.05653", False, True, True, True, False),
        ("CLAFusion", "2110.15538", False, True, True, True, False),
        ("MergeDistill", "2106.02834", False, True, False, False, False),
        ("FuseChat", "2402.16107", False, True, True, False, False),
        ("AdaMMS", "2503.23733", False, True, True, False, False),
    ]
    kinds = ["own", "architectures", "weights", "images", "unseen"]
    table = pd.DataFrame(rows, columns=["work", "arxiv", *kinds])
    return table.assign(month=table.arxiv.str[:4].astype(int))
