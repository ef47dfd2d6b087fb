"""The entropy of a teacher's answer as a measure of its errors, and what merges do by entropy."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mergebook.ch3.comparing import Trials, right_of
from mergebook.ch3.labels import READINGS, label_leads
from mergebook.ch3.printed import leading_number
from mergebook.ch3.teaching import THIRDS, lesson, taught, uncertainty
from mergebook.ch3.trials import ADAMERGING_PP, FREE, experiment
from mergebook.page import OpenSuite

Table = pd.DataFrame
EXPERIMENT = experiment("lessons by entropy", version=2)
METHODS = READINGS | {"free": FREE, "AdaMerging++": ADAMERGING_PP}
EDGES = (0.33, 0.66)  # the paper's, of entropy over its largest value
BINS = ("edges", "thirds")  # how inputs are dealt into low, middle and high
TAUGHT = ("low", "high")  # thirds of the validation inputs that coefficients are learnt from
LESSON = 80  # inputs a task to learn from, or all of a smaller third
OVERALL = {  # of the printed Table 15, at 5 % of the data and at 1 %
    "StatsMerging": ("LW StatsMerging", "1%"),
    "StatsMerging++": ("LW StatsMerging++", "5%"),
    "AdaMerging++": ("LW AdaMerging++", "5%"),
}


# -------------------------------------------------------------------------- what the paper prints


def least_overall(bins) -> float:
    """The least accuracy over all inputs, mean over tasks, that means of three bins allow.

    A task's accuracy is at least that of its worst bin, so it misses at most what its bins miss
    together; and so do the means over tasks, however many bins are empty.
    """
    return 100 - sum(100 - x for x in bins)


def printed_bins(table12: Table, table15: Table) -> Table:
    """Bins of Table 12 and overall accuracies they may belong to.

    `least` is the least overall accuracy that the bins allow, `thirds` the one if each has a third
    of the inputs; `fits` within rounding of four numbers.
    """
    overall, rows = table15.set_index(["Method", "Data"])["Avg Acc"], []
    bins = table12.set_index("Method").map(leading_number)
    for name, row in OVERALL.items():
        own = bins.loc[name if name in bins.index else "StatsMerging"]
        total, least = leading_number(overall[row]), least_overall(own)
        # The printed numbers are up to 0.05 from the true ones.
        rows.append((name, *own, least, own.mean(), total, least - 0.15 <= total + 0.05))
    columns = ["method", "low", "middle", "high", "least", "thirds", "overall", "fits"]
    return pd.DataFrame(rows, columns=columns)


# ---------------------------------------------------------------------- how teachers err by entropy


def entropy_parts(r: OpenSuite, task: str, split: str, by: str, limit: int | None = None) -> list:
    """Inputs of a task in three parts by the entropy of the teacher's answers, low to high."""
    answers = taught(r, task, split)[:limit]
    relative = uncertainty(answers) / np.log(answers.shape[1])
    if by == "thirds":
        return [part.numpy() for part in relative.argsort().chunk(3)]
    part = np.digitize(relative.numpy(), EDGES)
    return [np.flatnonzero(part == i) for i in range(3)]


def teacher_errors(r: OpenSuite, split: str = "test", limit: int | None = None) -> Table:
    """How many inputs each part has, and how many the teacher gets wrong, by task and binning."""
    rows = []
    for task in r.tasks:
        said = taught(r, task, split)[:limit].argmax(1)
        wrong = (said != r.labels(task, split, limit)).numpy()
        for by in BINS:
            for part, chosen in zip(THIRDS, entropy_parts(r, task, split, by, limit)):
                rows.append((task, by, part, len(chosen), int(wrong[chosen].sum())))
    return pd.DataFrame(rows, columns=["task", "by", "part", "inputs", "wrong"])


def teachers_error(r: OpenSuite, part: str) -> float:
    """Mean error of the teachers on a third of the validation inputs, as a share."""
    found = teacher_errors(r, "val")
    found = found[(found.by == "thirds") & (found.part == part)]
    return round(float((found.wrong / found.inputs).mean()), 3)


# ------------------------------------------------------------------------------ merges by entropy


def accuracy_by_entropy(r: OpenSuite, rows: Table, limit: int) -> Table:
    """Accuracy of methods in each part of the test inputs, mean over the tasks that have any.

    `tasks` counts these, `share` is the part's share of all inputs, both in percent but the count.
    """
    out = []
    for by in BINS:
        parts = {n: entropy_parts(r, n, "test", by, limit) for n in r.tasks}
        sizes = np.array([[len(p) for p in of_task] for of_task in parts.values()])
        for what in dict.fromkeys(rows.what):
            right = dict(zip(r.tasks, right_of(rows, what)))
            for i, part in enumerate(THIRDS):
                each = [right[n][:, parts[n][i]].mean() for n in r.tasks if len(parts[n][i])]
                mean = 100 * np.mean(each) if each else np.nan
                share = 100 * (sizes[:, i] / sizes.sum(1)).mean()
                out.append((by, what, part, mean, share, len(each)))
    return pd.DataFrame(out, columns=["by", "what", "part", "accuracy", "share", "tasks"])


def lessons_by_entropy(runs: Trials, settings: Mapping, count: int) -> tuple[Table, Table]:
    """What merges learn from a third of the validation inputs, and from as many wrong labels.

    The latter are true labels of random validation inputs, of which as many are replaced as the
    teachers get wrong in that third. Rows, and the lead of the former.
    """
    trials = {n: replace(t, **settings) for n, t in METHODS.items()}
    rates = runs.repeated(trials, count).groupby("what").rate.first()
    sizes = [len(lesson(runs.r, n, "val, high")[1]) for n in runs.r.tasks]
    each, pairs = {}, {}
    for n in READINGS:
        for part in TAUGHT:
            own = replace(trials[n], rate=float(rates[n]), count=min(LESSON, *sizes))
            noise = {"source": "val", "loss": "labels", "wrong": teachers_error(runs.r, part)}
            names = f"{n}: {part} third", f"{n}: as many wrong as in the {part} third"
            each[names[0]] = replace(own, source=f"val, {part}")
            each[names[1]] = replace(own, **noise)
            pairs[n, part] = names
    rows = runs.trained(each, count)
    return rows, label_leads(rows, pairs, ["reading", "part"])
