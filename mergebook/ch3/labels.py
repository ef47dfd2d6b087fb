"""What a label is worth: losses on four tasks, choices by labels, other inputs.

A column `reading` has the two of StatsMerging, `READINGS`, or a control. Of rows of the readings
`all_low` and `all_high` have 95 % for all of them together.
"""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch

from mergebook import studies
from mergebook.ch3.comparing import Trials, lead, scores
from mergebook.ch3.teaching import POOL, lesson, taught
from mergebook.ch3.trials import (
    ADAMERGING,
    FREE,
    OWN,
    SHARED,
    Trial,
    agreement_with_teachers,
    combined,
    experiment,
    learn,
)
from mergebook.page import OpenSuite
from mergehelpers import suites

Table = pd.DataFrame
EXPERIMENT = experiment("labels or teachers")
READINGS = {"one network": SHARED, "one a layer": OWN}
CONTROLS = {"free": FREE, "AdaMerging": ADAMERGING}
METHODS = READINGS | CONTROLS
FOUR = "fashion street signs textures"  # of mini8, for the four tasks of Table 14
LABELS, HARD, SOFT = "labels", "hard answers", "soft answers"
WARMER = {f"{SOFT}, T = {t}": {"loss": "soft", "temperature": float(t)} for t in (2, 4)}
LOSSES = {LABELS: {"loss": "labels"}, HARD: {}, SOFT: {"loss": "soft"}} | WARMER
PRINTED = {LABELS: "GT CE", HARD: "KD CE", SOFT: "KD KL-Div"}  # their rows of Table 14
GIVEN = {"tasks": "TW", "layers": "LW"}
WARMED = ("one network", "layers")  # where other temperatures are tried
TEST = "test, first half"


def table14_tasks(r: OpenSuite) -> str:
    """The tasks that stand for the paper's four: those of mini8, or the first four of a suite."""
    return FOUR if set(FOUR.split()) <= set(r.tasks) else " ".join(r.tasks[:4])


def suits_label_study(r: OpenSuite, samples: int, test_samples: int) -> None:
    """Raise `ValueError` for a suite that lacks labels or inputs that the comparisons need."""
    suites.require(r.suite, "val", inputs=1)
    for name, task in r.suite.tasks.items():
        pool = len(lesson(r, name, POOL)[1])
        if pool < samples or min(int(y.min()) for y in task.labels.values() if len(y)) < 0:
            raise ValueError(f"{name} of {r.name} needs {samples} inputs to learn from, and labels")
        if min(test_samples, len(task.labels["test"])) - half_of_test(r, name) < 2:
            raise ValueError(f"{name} of {r.name}: raise test_samples above half its test inputs")


# ------------------------------------------------------------------------------------------ losses


# What was tried of Table 14. One network a layer is tried at layers, as in the released script of
# that kind.
TRIED = {
    ("one network", "tasks"): (LABELS, HARD, SOFT),
    WARMED: tuple(LOSSES),
    ("one a layer", "layers"): (LABELS, HARD, SOFT),
    ("free", "layers"): (LABELS, HARD, SOFT),
}


def loss_name(reading: str, level: str, loss: str) -> str:
    """The name of a trial of Table 14."""
    return f"{reading}, {level}: {loss}"


def table14(r: OpenSuite, settings: Mapping) -> dict[str, Trial]:
    """The trials of Table 14, by reading, level and loss."""
    return {
        loss_name(n, level, loss): replace(
            METHODS[n], level=level, tasks=table14_tasks(r), **LOSSES[loss], **settings
        )
        for (n, level), losses in TRIED.items()
        for loss in losses
    }


def table14_scores(rows: Table, printed: Table) -> Table:
    """Accuracy by loss, and what the paper prints: losses × (reading, level)."""
    found = scores(rows).set_index("what")
    each = {tuple(what.split(": ")): f"{row.accuracy:.1f}" for what, row in found.iterrows()}
    means = printed_means(printed)
    for level in GIVEN:
        each |= {(f"printed, {level}", x): f"{means[level, x]:.1f}" for x in PRINTED}
    return pd.Series(each).unstack(0).loc[list(LOSSES)].fillna("")


def printed_means(printed: Table) -> dict[tuple[str, str], float]:
    """Means of the rows of the printed Table 14, by level and loss."""
    rows = printed.set_index(["GL", "Loss"]).drop(columns="Avg Acc").astype(float).mean(axis=1)
    return {(lv, x): rows[GIVEN[lv], PRINTED[x]] for lv in GIVEN for x in PRINTED}


def label_leads(rows: Table, pairs: Mapping[tuple[str, ...], tuple[str, str]], columns) -> Table:
    """The lead of the first of each pair over the second; the first of `columns` is `reading`."""
    among = sum(key[0] in READINGS for key in pairs)
    out = []
    for key, (a, b) in pairs.items():
        one, together = lead(rows, a, b), lead(rows, a, b, max(1, among))
        out.append((*key, *one, together.low, together.high))
    return pd.DataFrame(out, columns=[*columns, "value", "low", "high", "all_low", "all_high"])


def loss_gaps(rows: Table, of: str, over: str) -> Table:
    """Accuracy learnt by one loss minus that by another, by reading and level."""
    pairs = {
        key: (loss_name(*key, of), loss_name(*key, over))
        for key, losses in TRIED.items()
        if {of, over} <= set(losses)
    }
    return label_leads(rows, pairs, ["reading", "level"])


def warmer_gaps(rows: Table) -> Table:
    """Accuracy learnt from hard answers minus that from soft ones of other temperatures."""
    pairs = {(x,): (loss_name(*WARMED, HARD), loss_name(*WARMED, x)) for x in WARMER}
    return label_leads(rows, pairs, ["over"])


def teachers_right(r: OpenSuite) -> Table:
    """How many of the inputs to learn from each teacher labels rightly, in percent."""
    rightly = {n: taught(r, n, POOL).argmax(1) == lesson(r, n, POOL)[1] for n in r.tasks}
    rows = [(n, 100 * float(x.float().mean())) for n, x in rightly.items()]
    return pd.DataFrame(rows, columns=["task", "right"])


# ------------------------------------------------------------------------- labels, and test inputs


def at_own_rate(runs: Trials, trials: Mapping[str, Trial], changes: Mapping, count: int) -> Table:
    """Rows of each trial at its own step size under each of `changes`; `what` is `trial: change`.

    No change may touch the step size, which was chosen for the teachers' own answers.
    """
    rates = runs.repeated(trials, count).groupby("what").rate.first()
    each = {
        f"{n}: {c}": replace(t, rate=float(rates[n]), **fields)
        for n, t in trials.items()
        for c, fields in changes.items()
    }
    return runs.trained(each, count)


def chosen_twice(runs: Trials, settings: Mapping, count: int) -> tuple[Table, Table]:
    """All methods with step sizes by teachers and by labels; the leads of the latter."""
    trials = {n: replace(t, **settings) for n, t in METHODS.items()}
    by = {"teachers": runs.repeated(trials, count), "labels": runs.repeated(trials, count, "val")}
    rows = pd.concat([t.assign(what=t.what + f": {name}") for name, t in by.items()])
    pairs = {(n,): (f"{n}: labels", f"{n}: teachers") for n in METHODS}
    return rows, label_leads(rows, pairs, ["reading"])


def with_other_labels(r: OpenSuite) -> OpenSuite:
    """The suite with every label replaced by the next class."""
    tasks = {
        n: replace(t, labels={s: (y + 1) % len(t.classes) for s, y in t.labels.items()})
        for n, t in r.suite.tasks.items()
    }
    return OpenSuite(replace(r.suite, tasks=tasks), r.device, r.source)


def label_use(r: OpenSuite, settings: Mapping, limit: int) -> Table:
    """What other labels change: coefficients (largest difference), agreement with the teachers.

    With the loss `labels`, as a control that they could.
    """
    other, out = with_other_labels(r), []
    for reading, t in READINGS.items():
        for loss in (HARD, LABELS):
            key = replace(t, tasks=table14_tasks(r), **LOSSES[loss], **settings)
            a, b = (learn(s, key).coefficients for s in (r, other))
            scored = [
                agreement_with_teachers(s, combined(r, key, a), key.tasks.split(), limit)
                for s in (r, other)
            ]
            out.append((reading, loss, float((a - b).abs().max()), abs(scored[0] - scored[1])))
    return pd.DataFrame(out, columns=["reading", "loss", "coefficients", "agreement"])


def half_of_test(r: OpenSuite, task: str) -> int:
    """How many test inputs the first half of a task has."""
    return (len(r.suite.task(task).labels["test"]) + 1) // 2


def second_half_of_test(r: OpenSuite, rows: Table) -> Table:
    """The rows with the answers to the second halves of the test inputs alone."""

    def cut(packed):
        every = [studies.unpack_answers({"": text})[""] for text in packed]
        kept = {n: torch.from_numpy(a[half_of_test(r, n) :]) for n, a in zip(r.tasks, every)}
        return list(studies.pack_answers(kept).values())

    return rows.assign(right=rows.right.map(cut))


def gains_from_test(runs: Trials, settings: Mapping, count: int) -> Table:
    """What methods gain on the second half of the test inputs if they learn from the first."""
    names = (*READINGS, "AdaMerging")
    trials = {n: replace(METHODS[n], **settings) for n in names}
    rows = at_own_rate(runs, trials, {s: {"source": s} for s in (POOL, TEST)}, count)
    pairs = {(n,): (f"{n}: {TEST}", f"{n}: {POOL}") for n in names}
    return label_leads(second_half_of_test(runs.r, rows), pairs, ["reading"])


def inputs_in_both(r: OpenSuite) -> Table:
    """How many test inputs of each task are, number by number, among those to learn from."""
    out = []
    for n in r.tasks:
        pool, test = ([as_comparable(x) for x in inputs] for inputs in pool_and_test(r, n))
        out.append((n, len(pool), len(test), len(set(test) & set(pool))))
    return pd.DataFrame(out, columns=["task", "to learn from", "test", "in both"])


def pool_and_test(r: OpenSuite, task: str) -> tuple:
    """What a task learns from, and what it is tested on."""
    return lesson(r, task, POOL)[0], r.suite.task(task).inputs["test"]


def as_comparable(x) -> bytes | str:
    """An input as something that can be compared."""
    return x.tobytes() if hasattr(x, "tobytes") else str(x)
