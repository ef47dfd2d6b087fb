"""What coefficients are learnt from: inputs of a task, the teachers' answers to them, wrong labels.

Teachers label inputs of a *pool*: the bundled training and unlabelled inputs. Experts have seen
them, as the paper's teachers have seen their training sets. Labels serve only trials that say so.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mergebook.page import OpenSuite
from mergehelpers import distil
from mergehelpers.states import State
from mergehelpers.suites.data import take

POOL = "pool"
HALVES, THIRDS = ("first half", "second half"), ("low", "middle", "high")


def pooled(a, b):
    """Two collections of inputs as one; `Items`, which open files when asked, cannot be joined."""
    if isinstance(a, np.ndarray):
        return np.concatenate([a, b])
    return a + b if isinstance(a, list) else a


@lru_cache(maxsize=256)
def lesson(r: OpenSuite, task: str, source: str) -> tuple[object, Tensor]:
    """Inputs of a task to learn from, with their labels.

    `source` is `pool`, a split, or a part of one after a comma: a half, or a third by the entropy
    of the teacher's answers. Raises `ValueError` for another part.
    """
    x, y = r.suite.task(task).inputs, r.suite.task(task).labels
    first, _, part = source.partition(", ")
    if first == POOL:
        inputs = pooled(x["unlabelled"], x.get("train", x["unlabelled"][:0]))
        labels = torch.cat([y["unlabelled"], y.get("train", y["unlabelled"][:0])])
        return inputs, labels[: len(inputs)]
    chosen = torch.arange(len(y[first]))
    if part in HALVES:
        chosen = chosen.chunk(2)[HALVES.index(part)]
    elif part in THIRDS:
        order = uncertainty(taught(r, task, first)).argsort()
        chosen = order.chunk(3)[THIRDS.index(part)]
    elif part:
        raise ValueError(f"part of {first} is {part!r}; allowed: {', '.join(HALVES + THIRDS)}")
    return take(x[first], chosen.tolist()), y[first][chosen]


def uncertainty(logits: Tensor) -> Tensor:
    """Entropy of the class probabilities of each input, (inputs,), in nats."""
    p = logits.softmax(1)
    return -(p * p.clamp(min=1e-12).log()).sum(1)


def teacher_of(r: OpenSuite, task: str, strength: float) -> State:
    """A task's teacher: `strength` 1 is its expert, 0 the base, between them a weaker model."""
    return {
        n: w + (strength - 1) * (w - r.base[n]) if w.is_floating_point() else w
        for n, w in r.experts[task].items()
    }


@lru_cache(maxsize=256)
def taught(r: OpenSuite, task: str, source: str, strength: float = 1.0) -> Tensor:
    """What a task's teacher answers to a lesson: logits (inputs, classes), on the CPU."""
    suite = replace(r.suite, experts={task: teacher_of(r, task, strength)})
    return distil.teach(suite, {task: lesson(r, task, source)[0]}, r.device)[task].cpu()


def misled(answer: Tensor, classes: int, share: float, g: torch.Generator) -> Tensor:
    """The answers (inputs,), a share of which is replaced by another class drawn at random."""
    other = (answer + torch.randint(1, classes, answer.shape, generator=g)) % classes
    return torch.where(torch.rand(answer.shape, generator=g) < share, other, answer)
