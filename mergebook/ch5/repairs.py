"""FT-Classifier's set-ups and repairs as the paper defines them: Fig. 3, Eqs. 6 to 8 (page 05a)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import BertConfig, BertModel

from mergebook.ch5.definitions import MERGED
from mergebook.ch5.printed import TEXT, class_counts
from mergebook.page import OpenSuite
from mergebook.protocols import EXPERT, PROTOCOLS, Bench
from mergehelpers import alignment
from mergehelpers.alignment import Head, Plan

Table = pd.DataFrame
SET_UPS = {"a": "head", "b": "mean distance", "c": "aligned M", "d": "FT-Classifier"}  # Fig. 3
PLAN, MAP_PLAN = Plan(150, 3e-2), Plan(150, 3e-3)  # one step moves a large matrix much farther
TEACHER_FIRST, MERGED_FIRST = "teacher first", "merged first"  # order in the divergence
ALIGNED_M, FROM_W, FROM_RANDOM = "aligned M", "W' from W", "W' from random"


def consumed(r: OpenSuite, bench: Bench, seed: int) -> Table:
    """What each set-up of Fig. 3 uses, a row a task and set-up: `labels`, `teacher`.

    Found by giving it the labels, and then the teacher's answers, of other inputs: whether its
    scores change.
    """
    rows = []
    for task in bench.tasks:
        names = bench.suite.task(task).classes
        head, y = bench.head(task), bench.y(task)
        most = int(torch.bincount(y, minlength=len(names)).min())
        picked = alignment.draw_shots(y, min(2, most), names, seed)
        z = bench.z(MERGED, task)[None, picked]
        soft = head(bench.z(EXPERT, task)[picked]).softmax(-1)[None]
        hard = one_hot(y[picked], len(names)).double()[None]
        other = torch.arange(len(picked)).roll(len(picked) // len(names))  # of the next class
        given = {
            "right": (soft, hard),
            "labels": (soft, hard[:, other]),
            "teacher": (soft[:, other], hard),
        }
        for key, name in SET_UPS.items():
            scores = {
                what: PROTOCOLS[name].fit(z, *answers, head, Plan(5, 1e-2))(bench.z(MERGED, task))
                for what, answers in given.items()
            }
            uses = [not torch.equal(scores["right"], scores[w]) for w in ("labels", "teacher")]
            rows.append((r.name, task, key, *uses))
    return Table(rows, columns=["suite", "task", "set_up", "labels", "teacher"])


# ------------------------------------------------------------------------------ trainings, Eqs. 6-8


def divergence_of(logits: Tensor, teacher: Tensor, order: str) -> Tensor:
    """Mean Kullback-Leibler divergence of two sets of logits (inputs, classes), in either order.

    `order`: which distribution comes first, the teacher's as in the released script, or the
    merged model's as Eqs. 7 and 8 print it.
    """
    merged, target = logits.log_softmax(-1), teacher.log_softmax(-1)
    first, second = (target, merged) if order == TEACHER_FIRST else (merged, target)
    return (first.exp() * (first - second)).sum(-1).mean(-1)


def by_numpy(logits: Tensor, teacher: Tensor, order: str) -> float:
    """The same divergence, from probabilities in a loop."""
    total = 0.0
    for row in zip(logits.numpy(), teacher.numpy()):
        merged, target = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in row)
        first, second = (target, merged) if order == TEACHER_FIRST else (merged, target)
        total += sum(p * np.log(p / q) for p, q in zip(first, second) if p > 0)
    return total / len(logits)


def learning_set(bench: Bench, task: str) -> tuple[Tensor, Tensor, Head]:
    """Merged features of the unlabelled inputs of a task, the teacher's logits, and its head."""
    head = bench.head(task)
    return bench.z(MERGED, task, "unlabelled"), head(bench.z(EXPERT, task, "unlabelled")), head


def learnt_map(z, teacher, head: Head, order: str, loss: Callable = divergence_of) -> Tensor:
    """M (width, width) of Eq. 7 from the identity, with the head frozen."""
    eye = torch.eye(z.shape[1], dtype=z.dtype)
    found = alignment.minimise(
        {"matrix": eye}, lambda p: loss(head(z @ p["matrix"]), teacher, order), MAP_PLAN
    )
    return found["matrix"]


def learnt_head(z, teacher, start: Head, order: str, loss: Callable = divergence_of) -> Head:
    """W' of Eq. 8, bias included, from a head."""
    found = alignment.minimise(start._asdict(), lambda p: loss(Head(**p)(z), teacher, order), PLAN)
    return Head(**found)


def random_head(head: Head, seed: int) -> Head:
    """A head of the same size with normal weights as large as its own, and no bias."""
    g = torch.Generator().manual_seed(seed)
    drawn = torch.randn(head.weight.shape, generator=g, dtype=head.weight.dtype)
    return Head(head.weight.std() * drawn, torch.zeros_like(head.bias))


class Repaired(NamedTuple):
    """What the repairs of one task are trained on, and what they end at.

    Merged features `z` (inputs, width), the `teacher`'s logits, the old `head` as it was before,
    the `random` head; M, W' from the old head, and W' from the random one.
    """

    z: Tensor
    teacher: Tensor
    head: Head
    random: Head
    matrix: Tensor
    warm: Head
    cold: Head


Repairs = Mapping[tuple[str, str], Repaired]


def repair_all(bench: Bench, seed: int, loss: Callable = divergence_of) -> Repairs:
    """Eqs. 7 and 8 trained for every task and both orders of the divergence, `{(task, order)}`."""
    out = {}
    for task in bench.tasks:
        z, teacher, head = learning_set(bench, task)
        drawn = random_head(head, seed)
        for order in (TEACHER_FIRST, MERGED_FIRST):
            # A copy: a training that touched the old head would show in what comes out.
            before = Head(head.weight.clone(), head.bias.clone())
            matrix = learnt_map(z, teacher, head, order, loss)
            warm, cold = (learnt_head(z, teacher, h, order, loss) for h in (head, drawn))
            out[task, order] = Repaired(z, teacher, before, drawn, matrix, warm, cold)
    return out


def trainings(suite: str, repairs: Repairs) -> Table:
    """How the trainings went, a row a task, order and repair.

    `start` and `end`: the divergence before and after, by a loop over probabilities; `numbers`: how
    many numbers the repair moved. Inputs are those that trained it: this is about what is
    minimised.
    """
    rows = []
    for (task, order), d in repairs.items():
        width, classes = d.z.shape[1], len(d.head.bias)
        moved = int((d.matrix != torch.eye(width, dtype=d.z.dtype)).sum())
        ends = [by_numpy(d.head(x), d.teacher, order) for x in (d.z, d.z @ d.matrix)]
        found = [(ALIGNED_M, *ends, moved)]
        for name, start, new in ((FROM_W, d.head, d.warm), (FROM_RANDOM, d.random, d.cold)):
            ends = [by_numpy(h(d.z), d.teacher, order) for h in (start, new)]
            found.append((name, *ends, sum(int((a != b).sum()) for a, b in zip(new, start))))
        rows += [(suite, task, width, classes, order, *row) for row in found]
    names = ["suite", "task", "width", "classes", "order", "repair", "start", "end", "numbers"]
    return Table(rows, columns=names)


def objectives(suite: str, repairs: Repairs, loss: Callable = divergence_of) -> Table:
    """Eq. 6 with a head a task and two readings of g, a row a task and order.

    `expert`: the task's part of the sum for the expert itself; `merged`: for the merged encoder;
    `apart`: how far a head trained on the sum over all tasks is from one trained on its part
    alone, relative.
    """
    rows = []
    for order in (TEACHER_FIRST, MERGED_FIRST):
        sets = {task: d for (task, at), d in repairs.items() if at == order}

        def total(p, sets=sets, order=order):
            return sum(
                loss(Head(p[f"{t} weight"], p[f"{t} bias"])(d.z), d.teacher, order)
                for t, d in sets.items()
            )

        start = {f"{t} {n}": v for t, d in sets.items() for n, v in d.head._asdict().items()}
        heads = alignment.minimise(start, total, PLAN)
        for task, d in sets.items():
            parts = [float(loss(x, d.teacher, order)) for x in (d.teacher, d.head(d.z))]
            away = (heads[f"{task} weight"] - d.warm.weight).abs().max()
            rows.append((suite, task, order, *parts, float(away / d.warm.weight.abs().max())))
    return Table(rows, columns=["suite", "task", "order", "expert", "merged", "apart"])


# ---------------------------------------------------------------------------------- maps and heads


def heads_reached(suite: str, repairs: Repairs) -> Table:
    """Which heads an M in front of the old head W makes, a row a task.

    `rank` of W; `trained`, `random`: how far the nearest M W is from a trained W' and from a random
    one, relative; `loss_M`, `loss_W`: the divergences that Eqs. 7 and 8 end at.
    """
    rows = []
    for (task, order), d in repairs.items():
        if order != TEACHER_FIRST:
            continue
        w = d.head.weight
        # Rows z: z M gives logits z M W; the weight is kept as (classes, width), W transposed.
        nearest = [w @ torch.linalg.pinv(w) @ new.weight for new in (d.warm, d.random)]
        errors = [
            float((found - new.weight).abs().max() / new.weight.abs().max())
            for found, new in zip(nearest, (d.warm, d.random))
        ]
        logits = (d.head(d.z @ d.matrix), d.warm(d.z))
        losses = [float(divergence_of(x, d.teacher, order)) for x in logits]
        rows.append((suite, task, len(w), int(torch.linalg.matrix_rank(w)), *errors, *losses))
    names = ["suite", "task", "classes", "rank", "trained", "random", "loss_M", "loss_W"]
    return Table(rows, columns=names)


def deployed(suite: str, repairs: Repairs) -> Table:
    """Numbers that a task adds to the encoder when it is used, a row a task and order.

    With the `old` head; with the `new` one, W' (`shape`: whether it has the shape of the old); with
    M `kept` in front of the old head, and with M multiplied into it, `folded`. `answers`: the
    largest difference of the logits of the last two, relative.
    """
    rows = []
    for (task, order), d in repairs.items():
        folded, kept = Head(d.head.weight @ d.matrix.T, d.head.bias), d.head(d.z @ d.matrix)
        answers = float((kept - folded(d.z)).abs().max() / kept.abs().max())
        old, new, small = (sum(v.numel() for v in h) for h in (d.head, d.warm, folded))
        shape = all(a.shape == b.shape for a, b in zip(d.head, d.warm))
        rows.append((suite, task, order, old, new, shape, old + d.matrix.numel(), small, answers))
    names = ["suite", "task", "order", "old", "new", "shape", "kept", "folded", "answers"]
    return Table(rows, columns=names)


def bert_numbers() -> Table:
    """Numbers of M and of a head for BERT-base, a row a text task; and those of the encoder."""
    with torch.device("meta"):
        encoder = BertModel(BertConfig())  # the defaults are those of bert-base-uncased
    width, size = encoder.config.hidden_size, sum(p.numel() for p in encoder.parameters())
    counts = class_counts()
    table = counts[counts.field == TEXT][["task", "classes"]].reset_index(drop=True)
    head = (width + 1) * table.classes
    return table.assign(width=width, M=width**2, head=head, encoder=size)
