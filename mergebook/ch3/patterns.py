"""What coefficients look like: whether they recur with the blocks, and what their spread is worth.

Two readings of the learner, each with free coefficients and on the simplex, beside coefficients
without a learner.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mergebook.ch3.comparing import Trials, leads, right_of
from mergebook.ch3.examined import IMPRINT, course, examined, relearnt, trial_of
from mergebook.ch3.trials import FREE, OWN, SHARED, Trial, combined, experiment, graded, learner_of
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import of_mean, of_runs
from mergebook.page import OpenSuite, opened

Table = pd.DataFrame
FORM_FREE = {"one network": SHARED, "one a layer": OWN}
ON_SIMPLEX = {
    f"{name}, simplex": replace(t, form="simplex", rate=0.03) for name, t in FORM_FREE.items()
}
READINGS = (*FORM_FREE, *ON_SIMPLEX)
WITHOUT = "free coefficients"
SHUFFLED = "one network, shuffled statistics"
TASK_WISE = "one network, task-wise"
SEARCHED = FORM_FREE | {
    WITHOUT: FREE,
    SHUFFLED: replace(SHARED, reads="statistics, shuffled"),
    TASK_WISE: replace(SHARED, level="tasks"),
}
SHARE = 0.15  # of the tensors: those farthest from the rest
KINDS = ("experts", "farthest", "others")  # what `levelled` makes
ROUNDS, FEWER = 200, 200  # random orders; test inputs when some tensors are levelled

EXPERIMENT = experiment("coefficient patterns", coefficients=True)


def coefficients_of(table: Table) -> dict[str, np.ndarray]:
    """`{method: (repetitions, experts, layers)}`."""
    return {
        what: np.array(table[table.what == what].coefficients.tolist())
        for what in dict.fromkeys(table.what)
    }


def before_training(r: OpenSuite, t: Trial, count: int, seed: int) -> np.ndarray:
    """Coefficients (repetitions, experts, layers) of learners whose weights are drawn at random."""
    out = []
    for s in range(seed, seed + count):
        learner, _ = learner_of(r, replace(t, seed=s))
        g = torch.Generator().manual_seed(s)
        for p in learner.parameters():
            nn.init.normal_(p, std=0.3, generator=g)
        out.append(learner().detach().numpy())
    return np.array(out)


# ------------------------------------------------------------------------------- a pattern


def in_blocks(names: Sequence[str]) -> tuple[list[int], int]:
    """Which tensors lie inside blocks, and how many a block has.

    That is 0 unless there are two blocks or more, all of one size.
    """
    found = [re.search(r"\.(\d+)\.", n) for n in names]
    numbers = [m and m[1] for m in found]
    sizes = {numbers.count(k) for k in numbers if k}
    inside = [i for i, k in enumerate(numbers) if k]
    one_size = len(sizes) == 1 and len(inside) > min(sizes)
    return inside, min(sizes) if one_size else 0


def autocorrelation(c: np.ndarray, lag: int) -> np.ndarray:
    """Correlation of tables (…, tensors) with themselves `lag` tensors later; 0 where none vary."""
    a, b = (x - x.mean(-1, keepdims=True) for x in (c[..., :-lag], c[..., lag:]))
    length = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.where(length > 1e-12, (a * b).sum(-1) / np.maximum(length, 1e-12), 0.0)


def by_lag(c: np.ndarray, inside: Sequence[int], block: int) -> list[float]:
    """Autocorrelation at distances up to two blocks, mean over repetitions and experts."""
    most = min(2 * block, len(inside) - 2)
    return [float(autocorrelation(c[..., inside], lag).mean()) for lag in range(1, most + 1)]


def recurrence(
    c: np.ndarray, inside: Sequence[int], block: int, seed: int = 0, rounds: int = ROUNDS
) -> dict[str, float]:
    """Autocorrelation at one block's distance, less that with tensors of each block in any order.

    `value` is the mean over repetitions and experts, `least` that of one expert, `chance` the mean
    over random orders; `excess` is over that, with its 95 % interval over repetitions. Without
    blocks all are NaN.
    """
    names = ("value", "least", "chance", "excess", "low", "high")
    if not block:
        return dict.fromkeys(names, float("nan"))
    c, g = c[..., inside], np.random.default_rng(seed)
    starts = range(0, len(inside), block)
    orders = [np.concatenate([s + g.permutation(block) for s in starts]) for _ in range(rounds)]
    found = autocorrelation(c, block)
    chance = autocorrelation(c[..., np.array(orders)], block).mean(-1)
    each = found.mean(0)
    return dict(
        zip(names, (each.mean(), each.min(), chance.mean(), *of_mean((found - chance).mean(1))))
    )


def recurring(tables: Mapping[str, np.ndarray], names: Sequence[str], seed: int = 0) -> Table:
    """`recurrence` of each method, `{method: (repetitions, experts, layers)}`."""
    rows = [{"what": n} | recurrence(c, *in_blocks(names), seed) for n, c in tables.items()]
    return pd.DataFrame(rows)


# ------------------------------------------------------------------- what differences are worth


@dataclass(frozen=True)
class Levelled(Trial):
    """The key of a trial's merge with some of its coefficients replaced by means."""


def standing_out(c: Tensor) -> tuple[Tensor, Tensor]:
    """Tensors whose coefficients (experts, layers) lie farthest from each expert's own mean.

    And the others; the farthest are `SHARE` of all.
    """
    order = (c - c.mean(1, keepdim=True)).square().mean(0).argsort(descending=True)
    count = max(1, round(SHARE * c.shape[1]))
    return order[:count], order[count:]


def levelled(c: Tensor, seed: int) -> dict[str, Tensor]:
    """Coefficients (experts, layers) with means in some cells.

    `experts`: in each tensor the mean over experts. `farthest` and `others`: in tensors farthest
    from the rest, or in as many drawn from the others, each expert's mean over its tensors.
    """
    far, rest = standing_out(c)
    g = torch.Generator().manual_seed(seed)
    drawn = rest[torch.randperm(len(rest), generator=g)[: len(far)]]
    own = c.mean(1, keepdim=True).expand_as(c)

    def put(at):
        return c.index_copy(1, at, own[:, at])

    alike = c.mean(0, keepdim=True).expand_as(c)
    return {"experts": alike, "farthest": put(far), "others": put(drawn)}


def levelled_row(key: Levelled, sources: Mapping[str, str], device: str) -> dict:
    """Answers of the merges of `levelled`, task by task; of some tensors to fewer inputs."""
    r = opened(key, sources, device)
    found = relearnt(r, trial_of(key))
    row = {"losses": course(found)}
    for name, c in levelled(found.coefficients, key.seed).items():
        most = key.test_samples if name == "experts" else min(FEWER, key.test_samples)
        row[name] = graded(r, combined(r, key, c), found.tasks, most)
    return row


LEVELLED = Experiment(
    "levelled coefficients",
    1,
    Levelled,
    levelled_row,
    {"losses": IMPRINT} | dict.fromkeys(KINDS, Tolerance(absolute=0.01)),
)


def with_levelled(t: Trials, table: Table) -> Table:
    """The rows of `LEVELLED` for the readings and free coefficients of a table of trials."""
    each = examined(table, (*READINGS, WITHOUT), Levelled)
    context = {"sources": {t.r.mark: t.r.source}, "device": t.page.device}
    found = t.page.table(LEVELLED, [key for _, key in each], **context)
    return found.assign(what=[name for name, _ in each])


def costs(table: Table, level: Table) -> Table:
    """Points lost by each method, with intervals: `of_runs`.

    The kinds of `levelled`, and how much more `farthest` costs than `others`. `all_low` and
    `all_high` have 95 % for all readings together.
    """
    out, among = [], len(READINGS)
    for what in dict.fromkeys(level.what):
        found = {k: right_of(level.assign(right=level[k]), what) for k in KINDS}
        pairs = {k: (right_of(table, what), found[k]) for k in KINDS}
        pairs["farthest less others"] = found["others"], found["farthest"]
        for kind, (more, b) in pairs.items():
            a = [x[:, : y.shape[1]] for x, y in zip(more, b)]
            one, together = of_runs(a, b), of_runs(a, b, among)
            out.append((what, kind, *one, together.low, together.high))
    columns = ["what", "levelled", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)


def over_tasks_and_seeds(tables: Mapping[str, np.ndarray]) -> Table:
    """Of each method: in how many tensors coefficients spread more over experts than over seeds.

    The spread over experts is corrected for what seeds add to it. With it the mean coefficient and
    the share below zero.
    """
    rows = []
    for what, c in tables.items():
        seeds = c.var(0, ddof=1).mean(0) if len(c) > 1 else np.full(c.shape[2], np.nan)
        tasks = np.maximum(c.mean(0).var(0, ddof=1) - seeds / len(c), 0)
        rows.append((what, c.mean(), 100 * (c < 0).mean(), int((tasks > seeds).sum()), c.shape[2]))
    return pd.DataFrame(rows, columns=["what", "mean", "below zero", "wider", "tensors"])


def over_task_wise(table: Table) -> Table:
    """The lead of each reading with free coefficients over one network that reads whole models."""
    return pd.concat(leads(table, n, [TASK_WISE]) for n in FORM_FREE).reset_index(drop=True)


def all_trials(t: Trials, trials: int, **settings) -> Table:
    """Repetitions of all methods: with a searched step size, or, on the simplex, with 0.03.

    `settings` are those of every trial.
    """
    searched, given = (
        {n: replace(trial, **settings) for n, trial in named.items()}
        for named in (SEARCHED, ON_SIMPLEX)
    )
    return pd.concat([t.repeated(searched, trials), t.trained(given, trials)], ignore_index=True)
