"""Repairs trained on the inputs that they are scored on, and on others (page 05f)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from mergebook.ch5.asking import ALIGNED, FT, RATES, STEPS
from mergebook.ch5.encoders import Encoder, views
from mergebook.ch5.turning import WIDE
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, of_runs
from mergebook.page import OpenSuite
from mergebook.protocols import check_protocol
from mergebook.studies import pack_answers, unpack_answers
from mergehelpers.alignment import Plan

Table = pd.DataFrame
OWN, OTHER, OLD, EXPERTS = "own", "other", "old", "expert"
MAP_RATES = (3e-3,)  # of a matrix in wide encoders, as on page 05a
ANSWERS = Tolerance(0.012)  # of 400 answers, those that single precision may turn


@dataclass(frozen=True)
class Leaked(Encoder):
    """The key of one repair, trained on `amount` inputs of each half of a split.

    `split` is `test`; or `train`, where more inputs are wanted than there are to test.
    """

    way: str = FT
    amount: int = 200
    split: str = "test"
    rates: tuple[float, ...] = RATES
    train_steps: int = STEPS


def of_halves(key: Leaked, sources: Mapping[str, str], device: str) -> dict:
    """Right answers to the inputs of two trainings, packed: by the training that had them, `own`,
    and by that on the other half, `other`; under the old head, `old`, and by the expert, `expert`.

    So both trainings have as many inputs, of the same origin, and are scored on the same ones. The
    rate is the best on validation inputs. `width` is that of the features.
    """
    v, split = views(key, sources, device), key.split
    z, labels, logits = v.model(split), v.labels(split), v.head(v.expert(split))
    half = len(labels) // 2
    if key.amount > half:
        raise ValueError(f"amount is {key.amount}; half of the {split} inputs are {half}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(key.seed))
    chosen = torch.stack([order[: key.amount], order[half : half + key.amount]])
    hard = one_hot(labels[chosen], v.classes).to(z)
    fit = check_protocol(key.way).fit
    found = []
    for rate in key.rates:
        plan = Plan(key.train_steps, rate)
        answer = fit(z[chosen], logits.softmax(-1)[chosen], hard, v.head, plan)
        on_val = (answer(v.model("val")).argmax(-1) == v.labels("val")).double().mean()
        found.append((float(on_val), rate, answer))
    _, rate, answer = max(found, key=lambda of: of[0])
    right = [answer(z[part]).argmax(-1) == labels[part] for part in chosen]  # (2, amount) each
    both = chosen.flatten()
    parts = {
        OWN: torch.cat([right[0][0], right[1][1]]),
        OTHER: torch.cat([right[0][1], right[1][0]]),
        OLD: v.head(z[both]).argmax(1) == labels[both],
        EXPERTS: logits[both].argmax(1) == labels[both],
    }
    packed = {name: pack_answers({"": hits})[""] for name, hits in parts.items()}
    return packed | {"rate": rate, "width": z.shape[1]}


LEAKED = Experiment(
    "repairs on halves",
    1,
    Leaked,
    of_halves,
    dict.fromkeys((OWN, OTHER, OLD, EXPERTS), ANSWERS)
    | {"rate": Tolerance(), "width": Tolerance()},
)


def leaked(encoders, ways, amounts, width: int, split: str = "test") -> list[Leaked]:
    """Keys of these repairs with these numbers of inputs; `width` is that of the features.

    A matrix for wide features has one rate of training, since a training takes seconds.
    """
    rates = {way: MAP_RATES if way == ALIGNED and width >= WIDE else RATES for way in ways}
    return [
        Leaked(**vars(e), way=way, amount=n, split=split, rates=rates[way])
        for e in encoders
        for way in ways
        for n in amounts
    ]


def on_halves(encoders, amount: int, fewer: Sequence[int], width: int) -> list[Leaked]:
    """Both repairs of all models; FT-Classifier of the first and the last with fewer inputs too."""
    every = list(encoders)
    some = [e for e in every if e.model in (every[0].model, every[-1].model)]
    return leaked(every, [FT, ALIGNED], [amount], width) + leaked(some, [FT], fewer, width)


def check_halves(r: OpenSuite, amount: int, inputs: int) -> None:
    """Raise `ValueError` that names a task with fewer than twice `amount` test inputs to use."""
    for task in r.suite.tasks:
        there = len(r.labels(task, "test", inputs))
        if 2 * amount > there:
            raise ValueError(
                f"{amount} inputs asked of each half of the test inputs of {task}, of which"
                f" {there} are used; allowed: up to {there // 2}"
            )


def longest_task(r: OpenSuite, inputs: int) -> list[str]:
    """The task with most classes among those with so many training inputs; none, or one."""
    sizes = {t: len(task.inputs["train"]) for t, task in r.suite.tasks.items()}
    enough = [t for t in r.suite.experts if sizes[t] >= inputs]
    return sorted(enough, key=lambda t: -len(r.suite.task(t).classes))[:1]


def with_more(leaked: Table, more: Table, suite: str) -> Table:
    """Rows of all suites, and more rows of one."""
    return pd.concat([leaked, more.assign(suite=suite)] if len(more) else [leaked])


# ------------------------------------------------------------------------------------- from rows


def part_of_halves(rows: Table, model: str, way: str, part: str, amount: int | None = None) -> list:
    """Answers by task, each (1, inputs), for `intervals.of_runs`; the largest amount, or `amount`.

    `part` is `own`, `other`, `old` or `expert`.
    """
    of = rows[(rows.model == model) & (rows.way == way)]
    of = of[of.amount == (of.amount.max() if amount is None else amount)].sort_values("task")
    return [np.array([unpack_answers({"": text})[""]], float) for text in of[part]]


def lead_of_own(rows: Table, model: str, way: str, amount=None, among: int = 1) -> Interval:
    """Points by which a repair is better on the inputs that trained it than on others."""
    own, other = (part_of_halves(rows, model, way, part, amount) for part in (OWN, OTHER))
    return of_runs(own, other, among)


def beyond_share(rows: Table, model: str, way: str, part: str, share: float, among: int = 1):
    """Points by which a repair is above so large a share of the way from old head to expert."""
    found, old, expert = (part_of_halves(rows, model, way, p) for p in (part, OLD, EXPERTS))
    return of_runs(found, [(1 - share) * x + share * y for x, y in zip(old, expert)], among)


def closed(rows: Table, model: str, way: str, part: str) -> float:
    """Share of the way from old head to expert in percent; NaN where there is none to go."""
    found, old, expert = (
        np.mean([x.mean() for x in part_of_halves(rows, model, way, p)])
        for p in (part, OLD, EXPERTS)
    )
    return 100 * float((found - old) / (expert - old)) if expert > old else float("nan")


def lead_table(rows: Table) -> Table:
    """The lead on own inputs in points, a row a suite, split and model, a column an amount."""
    out = {}
    for (suite, split, model), part in rows.groupby(["suite", "split", "model"], sort=False):
        way = part.way.iloc[0]
        name = suite, split, f"{model}, {way}"
        found = {n: lead_of_own(part, model, way, n) for n in sorted(part.amount.unique())}
        out[name] = {f"{n}": f"{x:+.1f}" for n, x in found.items()}
    return Table(out).T.rename_axis(["suite", "inputs", "model"]).fillna("")
