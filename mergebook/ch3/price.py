"""What a learnt merge costs: operations, counted; a shared basis at every step (page 03t).

Operations are those of matrix products and convolutions, two for a multiply-add.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from mergebook.ch3.baselines import Alone, Baseline, own_models, rules_asked
from mergebook.ch3.comparing import leads, of_lead, scores
from mergebook.ch3.teaching import POOL, lesson
from mergebook.ch3.trials import FREE, OWN, SHARED, Trial, experiment, learn, learner_of, stacked
from mergebook.experiments import Tolerance
from mergebook.intervals import of_mean
from mergebook.page import OpenSuite, Page
from mergehelpers import distil, merge

Table = pd.DataFrame
# Two tasks are learnt to a loss that is small beside the first; so the losses are compared closer.
PRICE = experiment("price")
PRICE = replace(PRICE, tolerance=PRICE.tolerance | {"losses": Tolerance(relative=1e-3)})
RULES, ALONE = rules_asked("price rules"), own_models("price alone")
TWO_OF = {"mini8": "signs textures"}  # in place of RESISC45 and EuroSAT
ONE, FREELY = "one network", "free coefficients"
READINGS = {ONE: SHARED, "one network a layer": OWN}
VIT = "ViT-B/32"
HOURS, EPOCHS, VITS = 3, 500, 4  # Section 4.1
BATCH = 4  # inputs a task in a step of the released scripts
BATCHES = (BATCH, 80)  # and in one of the script of StatsMerging++
TESTED = 8041 + 2700 + 6300 + 12630  # test images of Cars, EuroSAT, RESISC45 and GTSRB
PEAK = 3.87e13  # operations a second of an RTX A6000 in single precision
STEP, OTHER_STEP, EPOCH = "a step, one network", "a step, one network a layer", "an epoch of MTL"
LEARNER, TWO_STEP, BASES = "the learner alone", "a step, two tasks", "decompositions, two tasks"


def two_of(r: OpenSuite) -> str:
    """The two tasks of a suite that stand for those of Table 17."""
    return TWO_OF.get(r.name, " ".join(r.tasks[:2]))


def operations(action: Callable[[], object]) -> int:
    """Operations of whatever `action()` runs."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops()


def of_decomposition(rows: int, columns: int) -> float:
    """Operations of a thin singular value decomposition: 6 m n² + 20 n³, the shorter side n.

    It is the count for both factors that Golub and Van Loan give (Matrix Computations, 8.6).
    """
    m, n = max(rows, columns), min(rows, columns)
    return 6 * m * n**2 + 20 * n**3


def of_shared_basis(shapes: Sequence[tuple[int, ...]], experts: int) -> float:
    """Operations to decompose all matrices of so many experts side by side, as `merge.align`."""
    return sum(of_decomposition(s[0], experts * math.prod(s[1:])) for s in shapes if len(s) > 1)


def tower() -> nn.Module:
    """ViT-B/32 as a shape without weights."""
    import open_clip  # here, for it takes seconds, and all pages of the chapter import this

    with torch.device("meta"):
        return open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")).visual


def of_vit_step(images: int) -> int:
    """Operations of one pass of ViT-B/32 forward and backward."""
    module = tower()
    size = torch.empty(images, 3, 224, 224, device="meta")
    return operations(lambda: module(size).sum().backward())


def multi_task(r: OpenSuite, batch: int = 8) -> tuple[Callable[[int], object], int]:
    """Multi-task training for so many steps, and how many are an epoch of the bundled inputs."""
    lessons = {n: lesson(r, n, POOL) for n in r.tasks}
    inputs, labels = ({n: both[i] for n, both in lessons.items()} for i in range(2))
    longest = max(map(len, labels.values()))

    def train(steps: int) -> object:
        given = {"steps": steps, "batch": batch, "device": r.device, "progress": False}
        return distil.fit(r.suite, r.base, inputs, labels, **given)

    return train, math.ceil(longest / batch)


def work(r: OpenSuite, samples: int = 64) -> Table:
    """`network`, `what` and its `operations`, on a suite and on ViT-B/32."""
    found = []
    for name, t in ((STEP, SHARED), (OTHER_STEP, OWN)):
        once = replace(t, steps=1, count=samples)
        learn(r, once)  # teachers and statistics are ready before anything is counted
        found.append((r.name, name, operations(partial(learn, r, once))))
        found.append((r.name, f"{LEARNER}, {name}", operations(learner_of(r, once)[0])))
    pair = two_of(r)
    once = replace(SHARED, steps=1, count=samples, tasks=pair)
    shapes = [s.shape[1:] for s in stacked(r, tuple(pair.split())).values()]
    found.append((r.name, TWO_STEP, operations(lambda: learn(r, once))))
    found.append((r.name, BASES, of_shared_basis(shapes, 2)))
    train, steps = multi_task(r)
    found.append((r.name, EPOCH, steps * operations(lambda: train(1))))
    shapes = [tuple(p.shape) for p in tower().parameters()]
    found.append((VIT, STEP, of_vit_step(VITS * BATCH)))
    found.append((VIT, TWO_STEP, of_vit_step(2 * BATCH)))
    found.append((VIT, BASES, of_shared_basis(shapes, 2)))
    return pd.DataFrame(found, columns=["network", "what", "operations"])


def times_the_cost(done: Table) -> Table:
    """How many times a step of two tasks costs with decompositions at it: `network`, `times`.

    For each batch of the released scripts: `batch`, inputs a task. A step's operations are counted
    with `BATCH`, and go with the inputs; those of the learner, which do not, are few.
    """
    by = done.pivot(index="network", columns="what", values="operations")
    once = by[BASES] / by[TWO_STEP]
    parts = [(1 + once * BATCH / n).reset_index(name="times").assign(batch=n) for n in BATCHES]
    return pd.concat(parts, ignore_index=True)


def least_hours(done: Table) -> Table:
    """Hours of arithmetic alone for four ViT-B/32, on the paper's card at its peak.

    An epoch is a batch, or a pass over the test images of four tasks, which the public loader of
    the released scripts reads.
    """
    step = done.set_index(["network", "what"]).operations[VIT, STEP]
    steps = {"a batch": 1, "a pass over the test images": TESTED / (VITS * BATCH)}
    rows = [(name, EPOCHS * each * step / PEAK / 3600) for name, each in steps.items()]
    return pd.DataFrame(rows, columns=["epoch", "hours"])


def fastest(action: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of a few runs."""
    found = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        found.append(time.perf_counter() - begin)
    return min(found)


def seconds_here(r: OpenSuite, samples: int = 64) -> Table:
    """What takes how long on this machine: seconds."""
    train, steps = multi_task(r)
    pair = tuple(two_of(r).split())
    wide = [s.flatten(2) for s in stacked(r, pair).values() if s.ndim > 2]
    ten = {n: replace(t, steps=10, count=samples) for n, t in READINGS.items()}
    two = replace(SHARED, steps=10, count=samples, tasks=two_of(r))
    found = {f"100 steps, {n}": 10 * fastest(partial(learn, r, t), 1) for n, t in ten.items()}
    found |= {
        "TIES": fastest(lambda: merge.ties(r.base, list(r.experts.values()), 0.2, 1.0)),
        EPOCH: steps / 2 * fastest(lambda: train(2), 1),
        TWO_STEP: fastest(lambda: learn(r, two), 1) / 10,
        BASES: fastest(lambda: [merge.align(stack) for stack in wide]),
    }
    return pd.DataFrame(found.items(), columns=["what", "seconds"])


def trainings_on_two(tasks: str, samples: int = 64, steps: int = 100) -> dict[str, Trial]:
    """The trainings on two tasks: both readings with KnOTS and without, and free coefficients."""
    made = {name: replace(t, tasks=tasks) for name, t in READINGS.items()}
    made |= {f"{name} + KnOTS": replace(t, vectors="knots") for name, t in made.items()}
    made[FREELY] = replace(FREE, tasks=tasks)
    return {name: replace(t, count=samples, steps=steps) for name, t in made.items()}


def knots_leads(table: Table) -> Table:
    """With KnOTS minus without, for each reading: `leads`, and the reading in `network`."""
    parts = [leads(table, f"{name} + KnOTS", [name]) for name in READINGS]
    return pd.concat(parts, ignore_index=True).assign(network=list(READINGS))


def convergence(table: Table) -> Table:
    """How losses fall with KnOTS minus without, for each reading: intervals over repetitions.

    `area` is the mean loss of the training; `left` what it falls after the third tenth, in percent
    of the whole fall.
    """

    def numbers(name):
        losses = np.array(table[table.what == name].losses.tolist())
        fall = losses[:, 0] - losses[:, -1]
        third = min(2, losses.shape[1] - 1)
        return losses.mean(1), 100 * (losses[:, third] - losses[:, -1]) / fall

    rows = []
    for name in READINGS:
        (area, left), (plain, plain_left) = numbers(f"{name} + KnOTS"), numbers(name)
        each = {"area": of_mean(area - plain), "left": of_mean(left - plain_left)}
        rows.append({"network": name, "repetitions": len(area)} | each)
    return pd.DataFrame(rows)


def require_texts(r: OpenSuite) -> OpenSuite:
    """The suite, if its inputs are texts; raises `ValueError` that names it if they are not."""
    if not isinstance(first := r.suite.task(r.tasks[0]).inputs["test"][0], str):
        raise ValueError(f"{r.name} holds no texts: {r.tasks[0]} has {type(first).__name__}")
    return r


def on_texts(samples: int = 64, steps: int = 24, rate: float = 0.03) -> dict[str, Trial]:
    """The trainings on a suite of texts, at one step size, for few steps: each takes long there.

    One of a network a layer takes many minutes, and is left out.
    """
    given = {"count": samples, "steps": min(24, steps), "rate": rate, "test_samples": 200}
    return {ONE: replace(SHARED, **given), FREELY: replace(FREE, **given)}


def beside_rules(page: Page, r: OpenSuite, rows: Table, tasks: str, names: Sequence[str]) -> Table:
    """Rows of trainings, with those of rules that learn nothing and of each task's own model."""
    given = {"sources": {r.mark: r.source}, "device": page.device}
    limit = int(rows.test_samples.iloc[0])
    keys = [Baseline(r.mark, name, tasks, test_samples=limit) for name in names]
    rules = page.table(RULES, keys, **given)
    own = page.table(ALONE, [Alone(r.mark, "Individual", limit)], **given)
    kept = [r.tasks.index(n) for n in tasks.split() or r.tasks]
    own["right"] = [[right[i] for i in kept] for right in own.right]
    parts = [own.assign(what="experts"), rules.assign(what=rules.rule), rows]
    return pd.concat([part[["what", "right"]] for part in parts], ignore_index=True)


def summary(every: Table, against: Sequence[str]) -> Table:
    """Mean accuracy of each method, and the leads of some over it with their intervals."""
    out = scores(every).set_index("what")[["accuracy"]].round(1)
    for name in against:
        over = [n for n in out.index if n != name]
        led = leads(every, name, over).set_index("over")
        out[f"{name} leads by"] = pd.Series({n: f"{of_lead(led.loc[n]):+.1f}" for n in over})
    return out.fillna("")
