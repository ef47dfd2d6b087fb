"""Accuracy of models on a suite's tasks, as a tidy table with its uncertainty."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest, t
from torch import Tensor
from tqdm import tqdm

from mergehelpers import device as devices
from mergehelpers.states import State
from mergehelpers.suites import Suite
from mergehelpers.suites.data import SPLITS, UNKNOWN

COLUMNS = ["model", "task", "inputs", "correct", "accuracy", "low", "high", "normalised"]


@torch.no_grad()
def predictions(
    suite: Suite,
    state: State,
    task: str,
    split: str = "test",
    limit: int | None = None,
    batch: int | None = None,
    bar=None,
) -> Tensor:
    """Predicted class of the first `limit` inputs of a split, (inputs,) int64 on the CPU.

    The computation runs where `state` lies. When memory runs out the batch is halved, down to one
    input.
    """
    inputs = suite.task(task).inputs[split][:limit]
    embeddings = devices.backing_off(
        lambda size: suite.backbone.embed(state, inputs, size, bar), batch or suite.backbone.batch
    )
    return suite.logits(task, embeddings, state).argmax(dim=1).cpu()


def right(
    suite: Suite,
    state: State,
    split: str = "test",
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    device: str = "auto",
) -> dict[str, Tensor]:
    """Which answers of one model are right: `{task: (inputs,) bool}`.

    Of each task the first `limit` inputs are answered. Raises what `accuracy` raises for a split.
    """
    _check_limit(limit)
    place = devices.pick(device)
    state = {key: value.to(place) for key, value in state.items()}
    labels = {
        task: _labels(suite, task, split)[:limit]
        for task in (suite.tasks if tasks is None else tasks)
    }
    return {task: predictions(suite, state, task, split, limit) == labels[task] for task in labels}


def compare(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], seed: int = 0, resamples: int = 2000
) -> tuple[float, float, float]:
    """Mean accuracy of `a` minus that of `b` over tasks, in points, with its 95 % interval.

    The interval is a bootstrap's, and never narrower than answers allow that no input here shows
    (`missed`). `a` and `b` are the right answers of two models to the same inputs, `{task:
    (inputs,) bool}`. Inputs are resampled within each task, for both models alike. Raises
    `ValueError` if tasks or numbers of inputs differ.
    """
    sizes = {t: len(x) for t, x in a.items()}
    if sizes != {t: len(x) for t, x in b.items()}:
        raise ValueError("the two models did not answer the same inputs of the same tasks")
    rng, means = np.random.default_rng(seed), []
    for task in a:
        gain = 100 * (np.asarray(a[task], float) - np.asarray(b[task], float))
        # A resample is decided by how often it draws each of the three values that a gain can have.
        values, counts = np.unique(gain, return_counts=True)
        drawn = rng.multinomial(len(gain), counts / len(gain), size=resamples) @ values / len(gain)
        means.append(np.append(gain.mean(), drawn))
    return _with_interval(np.mean(means, axis=0), sizes.values())


def compare_runs(
    a: Sequence[Mapping[str, Tensor]],
    b: Sequence[Mapping[str, Tensor]],
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[float, float, float]:
    """As `compare`, for two methods that were run several times: run i of `a` against run i of `b`.

    Both runs and inputs are resampled, so that the 95 % interval holds the luck of both. With few
    runs it is a little too narrow. Raises `ValueError` if the numbers of runs, tasks or inputs
    differ.
    """
    shapes = {tuple((t, len(x)) for t, x in sorted(run.items())) for run in (*a, *b)}
    if len(a) != len(b) or len(shapes) != 1:
        raise ValueError(
            "the two methods did not answer the same inputs of the same tasks "
            "in the same number of runs"
        )
    rng, means = np.random.default_rng(seed), []
    runs = rng.multinomial(len(a), np.full(len(a), 1 / len(a)), size=resamples) / len(a)
    for task in a[0]:
        gain = 100 * np.stack(
            [np.asarray(x[task], float) - np.asarray(y[task], float) for x, y in zip(a, b)]
        )
        n = gain.shape[1]
        inputs = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
        means.append(np.append(gain.mean(), ((runs @ gain) * inputs).sum(1)))
    return _with_interval(np.mean(means, axis=0), [len(x) for x in a[0].values()])


def missed(sizes: Iterable[int], tail: float = 0.025) -> float:
    """The largest share of inputs, in percent, of which tests of these sizes may hold none.

    A share p of all inputs is missing among n with probability (1 - p)^n; at a probability of
    `tail` this gives p = 1 - tail^(1/n), Clopper and Pearson's bound for none of n. Tasks count
    alike, so n is their number times the smallest.
    """
    sizes = list(sizes)
    return 100 * (1 - tail ** (1 / (len(sizes) * min(sizes))))


def _with_interval(means, sizes):
    """The first mean, and what 95 % of the others leave, or more where inputs are few.

    A resample holds only what the sample has: where no answer differs, a bootstrap's interval has
    no width at all.
    """
    value, (low, high) = float(means[0]), np.quantile(means[1:], [0.025, 0.975])
    least = missed(sizes)
    return value, float(min(low, value - least)), float(max(high, value + least))


def shown(difference: tuple[float, float, float]) -> str:
    """A difference and its interval as text: `+1.2 [+0.3, +2.1]`.

    It takes what `compare` and `compare_runs` give.
    """
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*difference)


def percent(runs: Sequence[Mapping[str, Tensor]]) -> float:
    """Mean accuracy in percent over tasks and runs; `runs` are as for `compare_runs`."""
    return 100 * float(
        np.mean([np.mean(np.asarray(right, float)) for run in runs for right in run.values()])
    )


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of repetitions, and half the width of its 95 % interval by Student's t.

    The width is NaN for fewer than two.
    """
    values = np.asarray(list(values), float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(
        t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    )


def accuracy(
    suite: Suite,
    models: Mapping[str, State],
    split: str = "test",
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> pd.DataFrame:
    """Accuracy of every model on every task, one row each.

    Columns: `model`, `task`, `inputs`, `correct`, `accuracy` in percent, its 95 % Wilson interval
    `low` and `high`, and `normalised`, the accuracy in percent of the accuracy of the task's own
    expert (NaN for a task with no expert; the experts are evaluated on the same inputs, unless they
    are among `models` under their task's name). Raises `ValueError` for an unknown task or split, a
    split that is empty or has no labels, a limit below 1, or weights that are not finite.
    """
    _check_limit(limit)
    tasks = list(suite.tasks) if tasks is None else list(tasks)
    labels = {task: _labels(suite, task, split)[:limit] for task in tasks}
    for name, state in models.items():
        if bad := [
            key
            for key, value in state.items()
            if value.is_floating_point() and not devices.all_finite(value)
        ]:
            raise ValueError(f"the model {name} holds NaN or infinity in {bad[0]}")
    place = devices.pick(device)
    sizes = {task: len(labels[task]) for task in tasks}
    extra = [
        task
        for task in tasks
        if task in suite.experts and suite.experts[task] is not models.get(task)
    ]
    total = len(models) * sum(sizes.values()) + sum(sizes[task] for task in extra)
    correct = {}
    with tqdm(
        total=total,
        desc="evaluate",
        unit="input",
        disable=None if progress is None else not progress,
    ) as bar:

        def count(state, task):
            found = predictions(suite, state, task, split, limit, bar=bar)
            return int((found == labels[task]).sum())

        for name, state in models.items():
            state = {key: value.to(place) for key, value in state.items()}
            correct |= {(name, task): count(state, task) for task in tasks}
        own = {
            task: correct[task, task]
            for task in tasks
            if task in suite.experts and task not in extra
        }
        for task in extra:
            own[task] = count(
                {key: value.to(place) for key, value in suite.experts[task].items()}, task
            )
    rows = []
    for (name, task), hits in correct.items():
        interval = binomtest(hits, sizes[task]).proportion_ci(method="wilson")
        rows.append(
            {
                "model": name,
                "task": task,
                "inputs": sizes[task],
                "correct": hits,
                "accuracy": 100 * hits / sizes[task],
                "low": 100 * interval.low,
                "high": 100 * interval.high,
                "normalised": 100 * hits / own[task] if own.get(task) else float("nan"),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)  # also where there is no task


def _labels(suite, task, split):
    """The labels of a split; raises `ValueError` unless there are some, one for every input."""
    known = suite.task(task).labels
    if split not in known:
        raise ValueError(
            f"split is {split!r}; {task} has {', '.join(s for s in SPLITS if s in known)}"
        )
    if not len(known[split]) or (known[split] == UNKNOWN).any():
        lack = "a label for each of its" if len(known[split]) else "any"
        raise ValueError(f"the task {task} of {suite.name} does not have {lack} {split} inputs")
    return known[split]


def _check_limit(limit):
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; allowed: a whole number, 1 or more")


def matrix(table: pd.DataFrame, column: str = "accuracy") -> pd.DataFrame:
    """One row a model, one column a task, in the table's order, and the tasks' `mean` last."""
    wide = table.pivot(index="model", columns="task", values=column)
    wide = wide.loc[table["model"].drop_duplicates(), table["task"].drop_duplicates()]
    return wide.assign(mean=wide.mean(axis=1)).rename_axis(columns=None)
