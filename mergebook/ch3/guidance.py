"""What the learner reads, exchanged: true statistics, spoilt ones, other numbers, names, nothing.

Both readings of the learner: one network for all layers, and one a layer. Then experts that it has
not been trained on, and learners of other sizes.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from mergebook.ch3.comparing import Trials, lead, leads, right_of
from mergebook.ch3.trials import (
    COEFFICIENTS,
    FREE,
    OWN,
    SHARED,
    TOLERANCES,
    Trial,
    combined,
    graded,
    learn,
    learner_of,
    trial_row,
)
from mergebook.claims import book_folder
from mergebook.experiments import Experiment, Store, Tolerance
from mergebook.intervals import of_mean
from mergebook.page import OpenSuite, open_suite, opened
from mergehelpers import suites

Table = pd.DataFrame


def guidance_row(key: Trial, sources: Mapping[str, str], device: str) -> dict:
    """The row of a trial, with its coefficients if no network gives them."""
    return {"coefficients": []} | trial_row(key, sources, device, key.learner == "free")


# Statistics and those of shuffled experts differ by little more than a thousandth in their losses,
# two machines by a fifth of that.
CLOSER = {"losses": Tolerance(relative=1e-3)}
EXPERIMENT = Experiment("guidance", 1, Trial, guidance_row, TOLERANCES | COEFFICIENTS | CLOSER)

ONE, EACH = "one for all layers", "one a layer"
READINGS = {ONE: SHARED, EACH: OWN}
NO_NETWORK, TRUE = "no network", "statistics"
NAMES, RANDOM, NOTHING = "names of layer and expert", "random numbers", "one constant"
DEALT, DEALT_IN_LAYER = "statistics, all shuffled", "statistics, experts shuffled"
SCALES = ("statistics, both scales", "statistics, within layers", "statistics of the changes")
INPUTS = {  # how a trial names what stands in our tables
    NAMES: "names",
    TRUE: "statistics",
    DEALT_IN_LAYER: "statistics, experts shuffled",
    SCALES[2]: "changes",
    SCALES[0]: "statistics, both scales",
    SCALES[1]: "statistics, within layers",
    RANDOM: "noise",
    DEALT: "statistics, shuffled",
    NOTHING: "constant",
}
CONTROLS = (NO_NETWORK, NAMES, RANDOM, DEALT, DEALT_IN_LAYER, NOTHING)
READ_BY = {ONE: tuple(INPUTS), EACH: (NAMES, TRUE, RANDOM, NOTHING)}


def require_tasks(r: OpenSuite, tasks: int) -> None:
    """Raises `ValueError` if a suite lacks validation inputs, or has fewer tasks."""
    suites.require(r.suite, "val")
    if len(r.tasks) < tasks:
        raise ValueError(f"{r.name} has {len(r.tasks)} tasks; this page needs {tasks} or more")


def inputs_exchanged(trials: Trials, repetitions: int, **settings) -> Table:
    """Learners of both readings on each input, and no network; the reading in a column."""
    parts = []
    for reading, t in READINGS.items():
        named = {NO_NETWORK: FREE} | {n: replace(t, reads=INPUTS[n]) for n in READ_BY[reading]}
        named = {n: replace(t, **settings) for n, t in named.items()}
        parts.append(trials.repeated(named, repetitions).assign(reading=reading))
    return pd.concat(parts, ignore_index=True)


def leads_by_reading(table: Table, of: str, over: tuple[str, ...]) -> Table:
    """`leads` of a method in each reading, over those of `over` that the reading has."""
    parts = [
        leads(part, of, [n for n in over if n in set(part.what)]).assign(reading=reading)
        for reading, part in table.groupby("reading", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def accuracy_by_seed(table: Table) -> Table:
    """Test accuracy of every trained merge in percent: reading, what, seed, accuracy."""
    parts = []
    for _, part in table.groupby(["reading", "what"], sort=False):
        what = part.what.iloc[0]
        each = 100 * np.mean([task.mean(1) for task in right_of(part, what)], axis=0)
        parts.append(part[["reading", "what", "seed", "rate"]].assign(accuracy=each))
    return pd.concat(parts, ignore_index=True)


def stored_inputs(source: str = "mini8", repetitions: int = 5) -> Table:
    """Accuracies of the book's rows of the page, for a lesson: nothing is trained."""
    shelf = Store(book_folder("studies") / "ch3")
    trials = Trials(shelf, open_suite(source), EXPERIMENT)
    return accuracy_by_seed(inputs_exchanged(trials, repetitions))


# --------------------------------------------------------------------------------- new experts


APART = "coefficients, apart"


def new_expert_row(key: Trial, sources: Mapping[str, str], device: str) -> dict:
    """A learner trained without some experts gives coefficients to all; answers to their tasks.

    `read` are answers of the merge by its coefficients, `mean` of the same merge in which the new
    experts have, in each layer, the mean coefficient of the others. `APART`: how far the new
    experts' coefficients are apart, their standard deviation, mean over layers.
    """
    r = opened(key, sources, device)
    found, whole = learn(r, key), replace(key, tasks="")
    new = [n for n in r.tasks if n not in found.tasks]
    seen = torch.tensor([n in found.tasks for n in r.tasks])
    features = found.features.to(found.learner.features.device)
    c = found.learner.coefficients(features).detach().cpu()
    average = c.clone()
    average[~seen] = c[seen].mean(0)
    losses = np.array_split(found.trained.losses, min(10, len(found.trained.losses)))
    return {
        "losses": [round(float(part.mean()), 5) for part in losses],
        APART: round(c[~seen].std(0, correction=len(new) > 1).mean().item(), 5),
        "read": graded(r, combined(r, whole, c), new, key.test_samples),
        "mean": graded(r, combined(r, whole, average), new, key.test_samples),
    }


NEW = Experiment(
    "new experts",
    1,
    Trial,
    new_expert_row,
    {
        "losses": TOLERANCES["losses"],
        APART: Tolerance(absolute=1e-3, relative=0.05),
        "read": TOLERANCES["right"],
        "mean": TOLERANCES["right"],
    },
)
NEW_READ = (TRUE, SCALES[0], DEALT)


def pairs_left_out(r: OpenSuite, t: Trial) -> list[Trial]:
    """A trial on all tasks but two, for every pair of tasks, each with a seed of its own."""
    return [
        replace(t, tasks=" ".join(n for n in r.tasks if n not in pair), seed=t.seed + i)
        for i, pair in enumerate(combinations(r.tasks, 2))
    ]


def with_new_experts(trials: Trials, **settings) -> Table:
    """Every pair of tasks left out once, at the step size that is best with all tasks.

    A row a left-out task: what was read, task, accuracy by the learner's coefficients and by the
    layer's mean, share of equal answers (percent), and how far coefficients differ.
    """
    r, out = trials.r, []
    named = {n: replace(SHARED, reads=INPUTS[n], **settings) for n in NEW_READ}
    best = trials.searched(named)
    left_out = Trials(trials.page, r, NEW, seed=trials.seed)
    keys = [replace(t, seed=trials.seed) for t in best.values()]
    asked = [(n, pair) for n, t in zip(best, keys) for pair in pairs_left_out(r, t)]
    rows = left_out.rows([t for _, t in asked])
    for (what, t), row in zip(asked, rows.to_dict("records")):
        new = [n for n in r.tasks if n not in t.tasks.split()]
        table = pd.DataFrame(
            {"what": what, "right": [row["read"], row["mean"]]}, index=["read", "mean"]
        )
        read, mean = (right_of(table.loc[[name]], what) for name in table.index)
        for task, a, b in zip(new, read, mean):
            found = (100 * a.mean(), 100 * b.mean(), 100 * (a == b).mean())
            out.append((what, task, *found, row[APART]))
    return pd.DataFrame(out, columns=["what", "task", "read", "mean", "equal", "differ"])


def gains_of_new(table: Table) -> Table:
    """Accuracy of new experts, read minus the layer's mean, of each input of the learner.

    The interval is Student's t over tasks: pairs share them, so a task's gains are averaged first.
    """
    out = []
    for what, part in table.groupby("what", sort=False):
        gain = (part.read - part["mean"]).groupby(part.task).mean()
        columns = ("read", "mean", "equal", "differ")
        out.append((what, *(part[c].mean() for c in columns), *of_mean(gain), len(gain)))
    columns = ["what", "read", "mean", "equal", "differ", "value", "low", "high", "tasks"]
    return pd.DataFrame(out, columns=columns)


# --------------------------------------------------------------------------- learners of all sizes

TWO_LAYERS = "two layers"
DEEPER = ("four layers", "transformer")
SIZES = {
    ONE: {
        NO_NETWORK: FREE,
        "linear": replace(SHARED, learner="linear"),
        TWO_LAYERS: SHARED,
        "four layers": replace(SHARED, learner="mlp4"),
        "transformer": replace(SHARED, learner="transformer"),
    },
    EACH: {
        NO_NETWORK: FREE,
        TWO_LAYERS: OWN,
        "four layers": replace(OWN, learner="mlp4, one a layer"),
    },
}
ON_ALL = {
    ONE: {NO_NETWORK: FREE, TWO_LAYERS: SHARED, "512 wide": replace(SHARED, width=512)},
    EACH: {NO_NETWORK: FREE, TWO_LAYERS: OWN},
}


def learner_sizes(trials: Trials, few: str, repetitions: int, **settings) -> Table:
    """Learners of other sizes on the tasks `few`, and some on all; `numbers` are trained ones."""
    parts = []
    for where, named, tasks in (("few", SIZES, few), ("all", ON_ALL, "")):
        for reading, of in named.items():
            of = {n: replace(t, tasks=tasks, **settings) for n, t in of.items()}
            found = trials.repeated(of, repetitions).assign(reading=reading, tasks_merged=where)
            count = {
                n: sum(p.numel() for p in learner_of(trials.r, t)[0].parameters())
                for n, t in of.items()
            }
            parts.append(found.assign(numbers=found.what.map(count)))
    return pd.concat(parts, ignore_index=True)


def over_two_layers(table: Table) -> Table:
    """Each learner's accuracy minus that of two layers, and its mean loss in the first half.

    `early`: that loss minus the one of two layers, with an interval over seeds. `all_low` and
    `all_high` have 95 % for all rows of a reading.
    """
    out = []
    for reading, whole in table.groupby("reading", sort=False):
        among = len(whole.drop_duplicates(["what", "tasks_merged"])) - whole.tasks_merged.nunique()
        for where, part in whole.groupby("tasks_merged", sort=False):
            early = {n: early_loss(rows) for n, rows in part.groupby("what")}
            for what in dict.fromkeys(part.what[part.what != TWO_LAYERS]):
                one, both = (lead(part, what, TWO_LAYERS, k) for k in (1, among))
                sooner = of_mean(early[what] - early[TWO_LAYERS])
                numbers = part.numbers[part.what == what].iloc[0]
                out.append((reading, where, what, numbers, *one, both.low, both.high, *sooner))
    columns = ["reading", "tasks", "what", "numbers", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=[*columns, "early", "early_low", "early_high"])


def early_loss(rows: Table) -> np.ndarray:
    """Mean loss in the first half of the steps, of each repetition."""
    return np.array([np.mean(losses[: (len(losses) + 1) // 2]) for losses in rows.losses])
