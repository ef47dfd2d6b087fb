"""What more inputs bring to coefficients, and what fitted heads bring (evidence page 03l)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook import studies
from mergebook.ch3.baselines import Alone, own_models
from mergebook.ch3.comparing import Trials, lead, right_of
from mergebook.ch3.printed import averaged
from mergebook.ch3.teaching import POOL, lesson, taught
from mergebook.ch3.trials import (
    ADAMERGING_PP,
    FREE,
    OWN,
    SHARED,
    Trial,
    combined,
    experiment,
    graded,
    learn,
    tasks_of,
)
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, of_runs
from mergebook.page import OpenSuite, Page, opened
from mergehelpers.states import State

Table = pd.DataFrame

EXPERIMENT = experiment("more inputs")
TEACHERS = own_models("teachers of more inputs")
LEARNERS = {"shared": SHARED, "one a layer": OWN}  # the text's, the released scripts'
RIVAL = "AdaMerging++"
SWEPT = LEARNERS | {"free coefficients": FREE, RIVAL: ADAMERGING_PP}
TIMES = (0.25, 1, 5)  # numbers of inputs, in the usual one: five times is 1 % to 5 %
LONG, LONG_RUNS = 5, 3  # times the steps, with so many repetitions
INPUTS, STEPS = "inputs", "inputs and steps"  # what grows from StatsMerging to its ++


def sweep_sizes(samples: int) -> list[int]:
    """The numbers of inputs a task: a quarter, as many, and five times as many."""
    return sorted({max(1, round(samples * times)) for times in TIMES})


def require_pool(r: OpenSuite, samples: int) -> None:
    """Raise `ValueError` unless each task's pool has as many inputs as the sweep asks for."""
    for name in r.tasks:
        if (found := len(lesson(r, name, POOL)[1])) < max(sweep_sizes(samples)):
            raise ValueError(
                f"the task {name} of {r.name} has {found} inputs to learn from; {samples} samples"
                f" need {max(sweep_sizes(samples))}"
            )


def swept(runs: Trials, samples: int, steps: int, trials: int, inputs: int) -> Table:
    """Trials of all methods at each size, and of both learners at the largest for longer.

    Step sizes are those of the usual number of inputs, `samples`. A column `inputs` has the size.
    """
    usual = {
        n: replace(t, count=samples, steps=steps, test_samples=inputs) for n, t in SWEPT.items()
    }
    found = [runs.repeated(usual, trials, count=size) for size in sweep_sizes(samples)]
    both = {n: usual[n] for n in LEARNERS}
    most = max(sweep_sizes(samples))
    repeats = min(trials, LONG_RUNS)
    found.append(runs.repeated(both, repeats, count=most, steps=LONG * steps))
    return pd.concat(found, ignore_index=True)


def at_size(table: Table, count: int, steps: int) -> Table:
    """The rows of one number of inputs and of steps."""
    return table[(table["count"] == count) & (table.steps == steps)]


def changes_of(table: Table, samples: int) -> dict[str, tuple[Table, Table]]:
    """`{what grows: (rows before, rows after)}`."""
    few, many, steps = samples, max(sweep_sizes(samples)), table.steps.min()
    before = at_size(table, few, steps)
    return {
        INPUTS: (before, at_size(table, many, steps)),
        STEPS: (before, at_size(table, many, LONG * steps)),
    }


def gained(before: Table, after: Table, what: str) -> list[np.ndarray]:
    """What each input gains with each repetition, task by task: (repetitions, inputs)."""
    pairs = zip(right_of(after, what), right_of(before, what))
    return [a.astype(float) - b[: len(a)] for a, b in pairs]


def growth(table: Table, samples: int) -> Table:
    """Gains from few inputs to five times as many, and by how much they exceed the rival's.

    `accuracy` is what a method ends with. Of the rows with `over` the intervals are `low` to `high`
    one by one, and `all_low` to `all_high` with 95 % for all of them together.
    """
    rows, changes = [], changes_of(table, samples)
    own = gained(*changes[INPUTS], RIVAL)
    excesses = len(LEARNERS) * len(changes)
    for change, (before, after) in changes.items():
        for what in dict.fromkeys(after.what):
            mine = gained(before, after, what)
            accuracy = 100 * np.mean([task.mean() for task in right_of(after, what)])
            zeros = [np.zeros_like(task) for task in mine]
            rows.append((change, what, "", accuracy, *of_runs(mine, zeros), np.nan, np.nan))
            if what not in LEARNERS:
                continue
            theirs = [task[: len(a)] for task, a in zip(own, mine)]
            one, all_ = (of_runs(mine, theirs, k) for k in (1, excesses))
            rows.append((change, what, RIVAL, accuracy, *one, all_.low, all_.high))
    columns = ["change", "what", "over", "accuracy", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns).assign(suite=table.suite.iloc[0])


def leads_by_inputs(table: Table, samples: int) -> Table:
    """Each learner minus AdaMerging++ with as many inputs, at each size."""
    sizes, steps = sweep_sizes(samples), table.steps.min()
    rows = []
    for size in sizes:
        part = at_size(table, size, steps)
        for what in LEARNERS:
            one, all_ = (lead(part, what, RIVAL, k) for k in (1, len(LEARNERS) * len(sizes)))
            rows.append((what, RIVAL, size, *one, all_.low, all_.high))
    columns = ["what", "over", "inputs", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


def curve(table: Table) -> Table:
    """Mean accuracy of each method by inputs and steps, and its spread over repetitions."""
    rows = []
    for (what, count, steps), part in table.groupby(["what", "count", "steps"], sort=False):
        each = 100 * np.mean([task.mean(1) for task in right_of(part, what)], axis=0)
        spread = each.std(ddof=1) if len(each) > 1 else np.nan
        rows.append((what, count, steps, each.mean(), spread))
    return pd.DataFrame(rows, columns=["what", "inputs", "steps", "accuracy", "spread"])


# ---------------------------------------------------------------------------- above the teachers


def teachers_of(page: Page, r: OpenSuite, inputs: int) -> Table:
    """Answers of each task's own expert, in a row named `teachers`."""
    key = Alone(r.mark, "Individual", inputs)
    found = page.table(TEACHERS, [key], sources={r.mark: r.source}, device=page.device)
    return found.assign(what="teachers", suite=r.name)


FITS = {  # what heads are fitted to
    "taught": "heads, teachers' answers",
    "labelled": "heads, labels",
    "tested": "heads, test labels",
}
FROZEN = "coefficients alone"


def head_fitted(x: Tensor, y: Tensor, strength: float) -> Any:
    """A head for embeddings (inputs, width): scikit-learn's multinomial regression.

    A teacher that gives one answer to all inputs is followed.
    """
    # Here, for it takes seconds, and all pages of the chapter import this module.
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=strength, max_iter=5000)
    if len(y.unique()) == 1:
        fit = DummyClassifier(strategy="most_frequent")
    return fit.fit(x.double().numpy(), y.numpy())


KNOWN, WEAK = 30.0, 1e5  # inverse penalties: of heads for other inputs, and all but none


def heads_of(r: OpenSuite, state: State, task: str, limit: int) -> dict[str, Tensor]:
    """Which test inputs of a task a merge answers rightly with each of three fitted heads.

    Heads learn all inputs of the pool, with the teacher's answers or with labels, or the test
    inputs with their labels.
    """

    def seen(inputs) -> Tensor:
        return torch.nn.functional.normalize(r.backbone.embed(state, inputs).cpu(), dim=1)

    pool, labels = lesson(r, task, POOL)
    pool, test = seen(pool), seen(r.suite.task(task).inputs["test"][:limit])
    answers = r.labels(task, limit=limit)
    fits = {
        "taught": head_fitted(pool, taught(r, task, POOL).argmax(1), KNOWN),
        "labelled": head_fitted(pool, labels, KNOWN),
        "tested": head_fitted(test, answers, WEAK),
    }
    said = {name: fit.predict(test.double().numpy()) for name, fit in fits.items()}
    return {name: torch.from_numpy(each) == answers for name, each in said.items()}


def heads_row(key: Trial, sources: Mapping[str, str], device: str) -> dict:
    """Answers of a trained merge to test inputs, with its own heads and with fitted ones."""
    r = opened(key, sources, device)
    state = combined(r, key, learn(r, key).coefficients)
    return refitted(r, state, key)


def refitted(r: OpenSuite, state: State, key: Trial) -> dict:
    """The row of a merge: its answers with its heads, and with each kind of fitted ones."""
    found = {task: heads_of(r, state, task, key.test_samples) for task in tasks_of(r, key)}
    out = {"right": graded(r, state, tasks_of(r, key), key.test_samples)}
    for name in FITS:
        packed = studies.pack_answers({task: fits[name] for task, fits in found.items()})
        out[name] = list(packed.values())
    return out


HEADS = Experiment(
    "heads fitted to a merge",
    1,
    Trial,
    heads_row,
    {name: Tolerance(absolute=0.01) for name in ("right", *FITS)},
)


def with_heads(page: Page, r: OpenSuite, table: Table, samples: int, trials: int) -> Table:
    """Merges of both learners with frozen and with fitted heads: `what` is learner and heads."""
    usual = at_size(table, samples, table.steps.min())
    keys = [
        replace(
            LEARNERS[row.what],
            models=r.mark,
            count=samples,
            steps=row.steps,
            rate=row.rate,
            seed=row.seed,
            test_samples=row.test_samples,
        )
        for row in usual[usual.what.isin(LEARNERS)].itertuples()
    ]
    chosen = [k for k in keys if k.seed in sorted({k.seed for k in keys})[:trials]]
    found = page.table(HEADS, chosen, sources={r.mark: r.source}, device=page.device)
    names = {k: n for n, k in LEARNERS.items()}
    named = [names[replace(SHARED, learner=learner)] for learner in found.learner]
    parts = [
        found.assign(what=[f"{n}, {said}" for n in named], right=found[field])
        for field, said in {"right": FROZEN, **FITS}.items()
    ]
    return pd.concat(parts, ignore_index=True)[["what", "seed", "right"]].assign(suite=r.name)


def minus_teachers(merges: Table, teachers: Table) -> Table:
    """Merges minus their teachers: on the mean of tasks, and on how many tasks clearly above.

    `all_low` and `all_high` have 95 % for all rows together; `tasks_above` counts tasks whose
    interval, corrected for the number of tasks, lies above zero; `most` is the largest lead.
    """
    names, rows = list(dict.fromkeys(merges.what)), []
    for name in names:
        one, all_ = (lead(merges, name, "teachers", k, teachers) for k in (1, len(names)))
        pairs = list(zip(right_of(merges, name), right_of(teachers, "teachers")))
        each: list[Interval] = [of_runs([a], [b], len(pairs)) for a, b in pairs]
        score = 100 * np.mean([a.mean() for a, _ in pairs])
        above = sum(v.above for v in each), max(v.value for v in each)
        rows.append((name, score, *one, all_.low, all_.high, *above))
    columns = ["what", "accuracy", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=[*columns, "tasks_above", "most"])


def taught_merges(table: Table, samples: int) -> Table:
    """What each learner makes of five times the inputs, in as many steps and in more."""
    found = changes_of(table, samples)
    parts = [
        after[after.what.isin(LEARNERS)].assign(what=lambda t, c=change: t.what + f", more {c}")
        for change, (_, after) in found.items()
    ]
    return pd.concat(parts, ignore_index=True)


def printed_rates(table15: Table) -> Table:
    """Table 15: each printed average beside the mean of its cells, and the gain beside it."""
    rows = averaged(table15)
    best = rows.printed[~rows.index.str.contains("StatsMerging")].max()
    over = np.where(rows.gain.notna(), rows.printed - best, np.nan)
    return rows.assign(over=over)[["printed", "mean", "off", "gain", "over"]]
