"""Long trainings by the printed schedule, looked at on their way, and by one late drop (page 03r).

An epoch is one batch in the released scripts of StatsMerging. Read literally it is a pass over all
inputs. Drops divide the step size by ten.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mergebook.ch3.teaching import POOL, lesson, taught
from mergebook.ch3.trials import OWN, SHARED, Trial, combined, learn, tasks_of
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import of_mean
from mergebook.page import OpenSuite, Page, opened
from mergehelpers import distil, evaluate
from mergehelpers.suites.data import take

Table = pd.DataFrame
FEW, VALIDATION = 16, 100  # inputs a task: for the shape of the loss, for accuracies


@dataclass(frozen=True)
class Course(Trial):
    """The key of a training that is looked at every `every` steps.

    It learns from the first `count` inputs of the pool, whatever its seed.
    """

    every: int = 20


def first_lessons(r: OpenSuite, t: Trial) -> tuple[dict, dict, dict]:
    """The first `count` inputs of each task's pool, teachers' answers to them, and labels."""
    inputs, teacher, labels = {}, {}, {}
    for n in tasks_of(r, t):
        every, truth = lesson(r, n, POOL)
        labels[n], teacher[n] = truth[: t.count], taught(r, n, POOL)[: t.count]
        inputs[n] = take(every, range(len(labels[n])))
    return inputs, teacher, labels


def loss_by_coefficients(r: OpenSuite, t: Trial, lessons: tuple) -> Callable[[Tensor], Tensor]:
    """The loss on a few inputs a task, as a function of the coefficients alone."""
    inputs, teacher, _ = lessons
    few = {n: take(x, range(min(FEW, len(x)))) for n, x in inputs.items()}
    said = {n: z[:FEW].argmax(1) for n, z in teacher.items()}

    def loss(c: Tensor) -> Tensor:
        z = distil.logits(r.suite, combined(r, t, c), few)
        return torch.stack([cross_entropy(z[n], said[n].to(z[n].device)) for n in z]).mean()

    return loss


def top_curvature(loss: Callable, c: Tensor, rounds: int = 12, eps: float = 0.02) -> float:
    """The largest second derivative in any direction, by power iteration from a random one.

    Derivatives are differences of gradients.
    """

    def gradient(at):
        at = at.clone().requires_grad_()
        return torch.autograd.grad(loss(at), at)[0]

    v, value = torch.randn(c.shape, generator=torch.Generator().manual_seed(0)), 0.0
    for _ in range(rounds):
        v = v / v.norm()
        w = (gradient(c + eps * v) - gradient(c - eps * v)) / (2 * eps)
        value, v = float((v * w).sum()), w
    return value


@torch.no_grad()
def rise_when_shaken(loss: Callable, c: Tensor, size: float = 0.1, draws: int = 8) -> float:
    """Mean rise of the loss when each coefficient moves by `size` times a normal number."""
    g = torch.Generator().manual_seed(0)
    shaken = [loss(c + size * torch.randn(c.shape, generator=g)) for _ in range(draws)]
    return float(np.mean(shaken) - loss(c))


def course_row(key: Course, sources: Mapping[str, str], device: str) -> dict:
    """What is stored of a training that is looked at on its way.

    `learnt`: agreement with teachers on the inputs learnt from, at each look; `val`: accuracy on
    validation inputs at the start and after each fifth, both in percent. `moved` is how far the
    layers' mean coefficients move (root mean square), in the first two fifths and in the others.
    `curvature` and `sensitivity` are taken before the first drop and at the end, with the suite's
    own heads.
    """
    r = opened(key, sources, device)
    lessons = first_lessons(r, key)
    inputs, teacher, _ = lessons
    found = learn(r, key, key.every, lessons).trained
    steps = np.array(list(found.path))
    fifths = [int(np.abs(steps - part * key.steps / 5).argmin()) for part in range(6)]
    learnt, val = [], []
    for number, (step, c) in enumerate(found.path.items()):
        suite, state = found.suites.get(step, r.suite), combined(r, key, c)
        with torch.no_grad():
            z = distil.logits(suite, state, inputs)
        said = [(z[n].argmax(1).cpu() == teacher[n].argmax(1)).float().mean() for n in z]
        learnt.append(100 * float(np.mean(said)))
        if number in fifths:
            right = evaluate.right(suite, state, "val", list(z), VALIDATION, device)
            val.append(evaluate.percent([right]))
    means = np.array([c.mean(0).tolist() for c in found.path.values()])
    moved = np.sqrt((np.diff(means[fifths], axis=0) ** 2).mean(1))
    drop = int(steps[steps <= key.drop * key.steps].max())
    loss, shape = loss_by_coefficients(r, key, lessons), {}
    for step in {drop, key.steps}:
        c = found.path[step]
        shape[step] = top_curvature(loss, c), rise_when_shaken(loss, c)
    return {
        "learnt": learnt,
        "val": val,
        "moved": float(np.hypot(*moved[:2])),
        "moved late": float(np.linalg.norm(moved[2:])),
        "curvature": shape[drop][0],
        "curvature at the end": shape[key.steps][0],
        "sensitivity": shape[drop][1],
        "sensitivity at the end": shape[key.steps][1],
    }


# Numbers are printed with two digits or three; a row of another schedule differs by more.
NEAR = dict.fromkeys(("moved", "moved late", "curvature", "curvature at the end"), 0.008)
NEAR |= dict.fromkeys(("sensitivity", "sensitivity at the end"), 0.008)
COURSES = Experiment(
    "schedule",
    1,
    Course,
    course_row,
    dict.fromkeys(("learnt", "val"), Tolerance(absolute=0.5))
    | {name: Tolerance(relative=share) for name, share in NEAR.items()},
)

EPOCHS, RATE = 500, 1e-3  # as printed
LOOKS, BATCH = 25, 4  # looks at a training; inputs a task in a step, as in the released scripts
A_BATCH, A_PASS = "an epoch is a batch", "an epoch is a pass"
PRINTED, LATE = "a drop every 100 epochs", "one drop after 84 %"
DROPS = {PRINTED: 0.2, LATE: 0.84}
LEARNERS = {"one network": SHARED, "one network a layer": OWN}
ONE, EACH = LEARNERS
# The trainings of the page: learner, epoch, and what becomes of the heads. They learn `too` in the
# script of Fig. 8; here with the late drop alone. A network a layer is left out with a pass an
# epoch, where one training takes an hour.
PLAN = (
    (ONE, A_BATCH, "frozen"),
    (ONE, A_PASS, "frozen"),
    (EACH, A_BATCH, "frozen"),
    (ONE, A_BATCH, "too"),
    (EACH, A_BATCH, "too"),
)


def planned(
    mark: str, samples: int = 64, epochs: int = EPOCHS, trials: int = 3, seed: int = 0
) -> dict[Course, dict]:
    """The trainings of the page and what they are: learner, epoch and schedule."""
    out = {}
    for learner, epoch, heads in PLAN:
        each = 1 if epoch == A_BATCH else math.ceil(samples / BATCH)
        for drop in (PRINTED, LATE) if heads == "frozen" else (LATE,):
            for number in range(trials):
                t = replace(
                    LEARNERS[learner],
                    models=mark,
                    count=samples,
                    rate=RATE,
                    steps=epochs * each,
                    batch=BATCH,
                    drop=DROPS[drop],
                    heads=heads,
                    seed=seed + number,
                )
                key = Course(**asdict(t), every=max(1, epochs // LOOKS) * each)
                out[key] = {"network": learner, "epoch": epoch, "schedule": drop}
    return out


def looked_at(page: Page, r: OpenSuite, plan: Mapping[Course, Mapping]) -> Table:
    """One row a training: what it is in `network`, `epoch`, `schedule`, and what was seen."""
    rows = page.table(COURSES, plan, sources={r.mark: r.source}, device=page.device)
    names = pd.DataFrame(list(plan.values()))
    return pd.concat([names, rows], axis=1)


def window(learnt: Sequence[float], at: int, width: int) -> float:
    """Mean of the looks after number `at` minus mean of as many up to it."""
    after, before = learnt[at + 1 : at + 1 + width], learnt[at + 1 - width : at + 1]
    return float(np.mean(after) - np.mean(before))


def changes(table: Table) -> Table:
    """What changed in each training: accuracies in points, the loss's shape in percent.

    `rise` is that of validation accuracy in all, `late` its part after two fifths, `stirred` the
    movement after two fifths, in percent of that before. `gain` is the mean agreement on the inputs
    learnt from after the share 0.84 of the steps, minus the mean of as many looks before;
    `elsewhere` is the mean of such gains after the first fifth that do not reach the drop,
    `largest` the largest of them, and `excess` what the first is above their mean.
    """
    out = table[["network", "epoch", "schedule", "heads", "seed"]].copy()
    val = np.array(table.val.tolist())
    out["start"], out["end"] = val[:, 0], val[:, -1]
    out["rise"], out["late"] = val[:, -1] - val[:, 0], val[:, -1] - val[:, 2]
    out["stirred"] = 100 * table["moved late"] / table.moved
    rows = []
    for learnt, steps, every in zip(table.learnt, table.steps, table.every):
        drop = round(DROPS[LATE] * steps / every)
        width = len(learnt) - 1 - drop
        first = round(0.2 * steps / every) + width - 1
        others = [window(learnt, at, width) for at in range(first, drop - width + 1)] or [np.nan]
        rows.append((window(learnt, drop, width), np.mean(others), max(others)))
    out[["gain", "elsewhere", "largest"]] = rows
    out["excess"] = out.gain - out.elsewhere
    for name in ("curvature", "sensitivity"):
        out[name] = 100 * (table[f"{name} at the end"] / table[name] - 1)
    return out


def by_reading(changed: Table, columns: Sequence[str], schedule: str) -> Table:
    """Means over seeds with their 95 % intervals, a row a reading; NaN bounds for one seed."""
    part = changed[changed.schedule == schedule]
    rows = []
    for (network, epoch, heads), each in part.groupby(["network", "epoch", "heads"], sort=False):
        found = {name: of_mean(each[name]) for name in columns}
        row = {"network": network, "epoch": epoch, "heads": heads, "seeds": len(each)}
        rows.append(row | found)
    return pd.DataFrame(rows, columns=["network", "epoch", "heads", "seeds", *columns])


def late_over_printed(changed: Table) -> Table:
    """Final validation accuracy with one late drop minus that with the printed ones, paired."""
    named = ["network", "epoch", "heads", "seed"]
    ends = {d: changed[changed.schedule == d].set_index(named).end for d in (LATE, PRINTED)}
    gaps = (ends[LATE] - ends[PRINTED]).dropna().reset_index(name="lead")
    return by_reading(gaps.assign(schedule=LATE), ["lead"], LATE)
