"""What protocols make of a few inputs: answers to test inputs (pages 05b and 05g)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mergebook.ch5.encoders import BASE, MERGES, Encoder, views
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, of_runs
from mergebook.page import OpenSuite
from mergebook.protocols import EXPERT, check_protocol
from mergebook.studies import pack_answers, unpack_answers
from mergehelpers import alignment
from mergehelpers.alignment import Plan

Table = pd.DataFrame
HEAD, FT, LABELS = "head", "FT-Classifier", "labels"
ANCHORS, PROTOTYPE, VOTE = "mean distance", "prototype", "vote of 5"
ALIGNED = "aligned M"
RATES, STEPS = (1e-3, 1e-2, 1e-1), 100  # of trainings; validation inputs choose the rate
NEAR_GUESSING = 5.0  # points above guessing; the base of Table 3 is 1.1 above


@dataclass(frozen=True)
class Asked(Encoder):
    """The key of one protocol on one task, with draws of few inputs from a split.

    `amount`: `k=5` draws five of each class, `u=5` as many whatever their class, `i=5` as many and
    lopsided (half of them of one class, half of the rest of a second, and so on), `n=12` twelve
    whatever their class.
    """

    way: str = HEAD
    amount: str = ""
    split: str = "train"
    draws: int = 1
    rates: tuple[float, ...] = ()
    train_steps: int = 0


def drawn_inputs(amount: str, labels: Tensor, classes: int, seed: int) -> Tensor:
    """Indices of the inputs that a protocol gets, (n,): see `Asked`.

    Raises `ValueError` for a class with too few inputs, and for an amount of another form.
    """
    kind, _, count = amount.partition("=")
    if kind not in ("k", "u", "i", "n") or not count.isdigit():
        raise ValueError(f"amount is {amount!r}; allowed: k=, u=, i= or n= and a number")
    if kind == "k":
        return alignment.draw_shots(labels, int(count), range(classes), seed)
    g = torch.Generator().manual_seed(seed)
    weights = torch.ones(len(labels))
    if kind == "i":
        weights = 0.5 ** torch.randperm(classes, generator=g)[labels]
    total = int(count) * (1 if kind == "n" else classes)
    return torch.multinomial(weights, min(total, len(labels)), generator=g)


def ask_protocol(key: Asked, sources: Mapping[str, str], device: str) -> dict:
    """Right answers to test inputs, a text a draw, at the rate that is best on validation inputs.

    `rate` is 0 where nothing is trained. `guess` is the accuracy in percent of the largest class,
    `used` the number of inputs drawn, `even` the share of draws with equally many of each class.
    """
    v, protocol = views(key, sources, device), check_protocol(key.way)
    truth, seeds = v.labels("test"), range(key.seed, key.seed + key.draws)
    row = {"guess": round(100 * float(torch.bincount(truth).max() / len(truth)), 6)}
    if key.way == HEAD:
        right, rate, used, even = (v.head(v.model("test")).argmax(1) == truth)[None], 0.0, 0, 0.0
    else:
        labels = v.labels(key.split)
        chosen = torch.stack([drawn_inputs(key.amount, labels, v.classes, s) for s in seeds])
        soft = v.head(v.expert(key.split)[chosen]).softmax(-1)
        hard = one_hot(labels[chosen], v.classes).to(soft)
        z = v.model(key.split)[chosen]
        plans = [Plan(key.train_steps, r) for r in key.rates] or [Plan()]
        fits = [protocol.fit(z, soft, hard, v.head, plan) for plan in plans]
        best, rate = fits[0], key.rates[0] if key.rates else 0.0
        if len(fits) > 1:
            x, y = v.model("val"), v.labels("val")
            scores = [float((f(x).argmax(-1) == y).double().mean()) for f in fits]
            best, rate = (of[int(np.argmax(scores))] for of in (fits, key.rates))
        right, counts = best(v.model("test")).argmax(-1) == truth, hard.sum(1)
        used, even = chosen.shape[1], float((counts == counts[:, :1]).all(1).double().mean())
    return row | {
        "right": [pack_answers({"": hits})[""] for hits in right],
        "rate": rate,
        "used": used,
        "even": round(even, 6),
    }


ASKED = Experiment(
    "answers after a few inputs",
    1,
    Asked,
    ask_protocol,
    {
        "right": Tolerance(0.004),  # one of 400 answers; other anchors turn two
        "guess": Tolerance(),
        "rate": Tolerance(),
        "used": Tolerance(),
        "even": Tolerance(),
    },
)


def asked(
    encoders: Iterable[Encoder],
    ways: Sequence[str],
    amounts: Sequence[str] = ("k=5",),
    draws: int = 5,
    split: str = "train",
) -> list[Asked]:
    """Keys of these protocols with these amounts; `head` takes no inputs."""
    out = []
    for encoder in encoders:
        for way in ways:
            if way == HEAD:
                out.append(Asked(**vars(encoder)))
                continue
            trains = check_protocol(way).trained(10, 2)
            how = {"rates": RATES, "train_steps": STEPS} if trains else {}
            one = Asked(**vars(encoder), way=way, split=split, draws=draws, **how)
            out += [replace(one, amount=amount) for amount in amounts]
    return out


def few_inputs(
    encoders: Iterable[Encoder], amounts: Sequence[str], draws: int, controls: Sequence[str] = ()
) -> list[Asked]:
    """The questions of page 05b, as models and controls get them.

    The old head and anchors are asked of all; trained repairs of all but experts; draws that ignore
    classes, and those of test inputs, of merges alone; controls get the old head and FT-Classifier.
    """
    every = list(encoders)
    main = [e for e in every if e.model not in controls]
    trained = [e for e in main if e.model != EXPERT]
    merges = [e for e in main if e.model in MERGES]
    out = asked(every, [HEAD]) + asked(main, [ANCHORS], amounts, draws)
    out += asked(main, [PROTOTYPE, VOTE], ["k=5"], draws) + asked(trained, [FT], amounts, draws)
    out += asked(trained, [LABELS], ["k=5"], draws) + asked(merges, [FT], ["u=5", "i=5"], draws)
    out += asked(merges, [FT], ["u=5"], draws, split="test")
    return out + asked([e for e in every if e.model in controls], [FT], ["k=5"], draws)


def check_shots(r: OpenSuite, shots: int, pool: int) -> None:
    """Raise `ValueError` that names a class with fewer than `shots` inputs in the pool."""
    for task in r.suite.tasks:
        labels = r.labels(task, "train", pool)
        alignment.draw_shots(labels, shots, r.suite.task(task).classes, 0)


def with_kinds(rows: Table, suites: Iterable[OpenSuite]) -> Table:
    """The rows with a column `texts`: whether the suite's encoders read text."""
    kinds = {r.name: hasattr(r.backbone, "tokenizer") for r in suites}
    return rows.assign(texts=rows.suite.map(kinds).astype(bool))


# ------------------------------------------------------------------------------------- from rows


def right_after(
    rows: Table, model: str, way: str, amount: str = "k=5", split: str = "train"
) -> list:
    """Answers to test inputs by task, each (draws, inputs), for `intervals.of_runs`."""
    of = rows[(rows.model == model) & (rows.way == way)]
    if way != HEAD:
        of = of[(of.amount == amount) & (of.split == split)]
    of = of.sort_values("task")
    return [np.array([unpack_answers({"": t})[""] for t in texts], float) for texts in of.right]


def accuracy_of(rows: Table, *how) -> float:
    """Mean accuracy in percent over tasks and draws; `how` as in `answers`."""
    found = right_after(rows, *how)
    return 100 * float(np.mean([x.mean() for x in found])) if found else float("nan")


def gain_over(rows: Table, model: str, *how, over: tuple = (HEAD,), among: int = 1) -> Interval:
    """Points by which a model under one protocol is better than under another."""
    return of_runs(right_after(rows, model, *how), right_after(rows, model, *over), among)


def lead_over(rows: Table, model: str, other: str, *how, among: int = 1) -> Interval:
    """Points by which one model is better than another under one protocol."""
    return of_runs(right_after(rows, model, *how), right_after(rows, other, *how), among)


def over_guessing(rows: Table) -> float:
    """Points by which the base is better under the experts' heads than the largest class."""
    guess = rows[rows.model == BASE].groupby("task").guess.first().mean()
    return accuracy_of(rows, BASE, HEAD) - float(guess)


def like_the_paper(rows: Table) -> list[str]:
    """Suites of texts whose base knows nothing of the experts' heads, as the paper's BERT.

    Elsewhere heads were fitted to the base's features, and there is no misalignment to repair.
    """
    return [
        suite
        for suite, part in rows.groupby("suite")
        if part.texts.all() and over_guessing(part) < NEAR_GUESSING
    ]


def where_it_counts(rows: Table):
    """`(suite, its rows)` where the paper's sentences on texts can be tried."""
    for suite in like_the_paper(rows):
        yield suite, rows[rows.suite == suite]


def accuracy_table(rows: Table) -> Table:
    """Mean accuracy in percent, a row a suite, protocol and amount, a column a model."""
    by = ["suite", "way", "amount", "split"]
    out = {}
    for (suite, way, amount, split), part in rows.groupby(by, sort=False):
        name = amount + (f" of {split}" if split != "train" else "")
        out[suite, way, name] = {
            m: accuracy_of(part, m, way, amount, split)
            for m in (*MERGES, BASE, *part.model.unique(), EXPERT)
            if m in set(part.model)
        }
    return Table(out).T.rename_axis(["suite", "protocol", "inputs"])
