"""Averaged templates are shorter than their parents: what length has to do with lost answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch4.templates import (
    ANSWERS,
    EXACT,
    blended,
    linear_classifier,
    paired,
    pixels_of,
    rounded,
)
from mergebook.experiments import Experiment
from mergebook.page import OpenSuite, opened
from mergebook.studies import pack_answers, unpack_answers


@dataclass(frozen=True)
class Faded:
    """The key of averaged rows whose length is given back."""

    models: str
    task: str
    decay: float = 0.1
    epochs: int = 100
    seed: int = 0


def at_full_length(mixed: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Averaged rows at the mean length of their parents."""
    return mixed * ((a.norm(dim=1) + b.norm(dim=1)) / 2 / mixed.norm(dim=1))[:, None]


def faded_row(key: Faded, sources: Mapping[str, str], device: str) -> dict:
    """Answers on test images before averaging, after it, and at full length; no biases.

    *Pairs*: an averaged row stands for its two classes, and the right answer is the pair; before
    averaging the better of both rows answers. *Halves*: two classifiers, each trained on half of
    the images, are averaged, so that rows of one class meet. The grand mean of the training images
    is taken away, so that no bias is needed. `left` and `halves_left` are lengths left.
    """
    r = opened(key, sources, device)
    (x, y), (tx, ty) = (pixels_of(r, key.task, split) for split in ("pool", "test"))
    x, tx = x - x.mean(0), tx - x.mean(0)
    settings = key.decay, key.epochs, key.seed
    rows = linear_classifier(x, y, *settings)[0]
    a, b = paired(rows)
    inside = ty < 2 * len(a)
    pair, px = ty[inside] % len(a), tx[inside]
    mixed = (a + b) / 2
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(key.seed))
    one, two = (linear_classifier(x[part], y[part], *settings)[0] for part in order.chunk(2))
    soup = (one + two) / 2

    def answered(rows, inputs, labels):
        return (inputs @ rows.T).argmax(1) == labels

    answers = {
        "either": torch.stack([px @ a.T, px @ b.T]).amax(0).argmax(1) == pair,
        "averaged": answered(mixed, px, pair),
        "restored": answered(at_full_length(mixed, a, b), px, pair),
        "one": answered(one, tx, ty),
        "two": answered(two, tx, ty),
        "soup": answered(soup, tx, ty),
        "soup_restored": answered(at_full_length(soup, one, two), tx, ty),
    }
    lengths = soup.norm(dim=1) / ((one.norm(dim=1) + two.norm(dim=1)) / 2)
    numbers = {name: blended(rows)[name] for name in ("left", "formula")}
    return rounded(numbers | {"halves_left": lengths.tolist()}) | pack_answers(answers)


ANSWERED = ("either", "averaged", "restored", "one", "two", "soup", "soup_restored")
FADED = Experiment(
    "faded templates",
    1,
    Faded,
    faded_row,
    dict.fromkeys(("left", "formula", "halves_left"), EXACT) | dict.fromkeys(ANSWERED, ANSWERS),
)


def faded_keys(r: OpenSuite, decay: float, epochs: int, seeds) -> list[Faded]:
    """A key of every task of a suite."""
    return [Faded(r.mark, task, decay, epochs, s) for task in r.tasks for s in seeds]


def faded_accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Right answers of each task in a table of `FADED`, and the mean lengths left; percent."""
    wide = {n: [100 * unpack_answers({"": v})[""].mean() for v in table[n]] for n in ANSWERED}
    wide["single"] = np.mean([wide.pop("one"), wide.pop("two")], axis=0)
    lengths = {n: [100 * np.mean(v) for v in table[n]] for n in ("left", "halves_left")}
    order = ["either", "averaged", "restored", "left", "single", "soup", "soup_restored"]
    found = pd.DataFrame({"task": table.task, **wide, **lengths})
    return found.groupby("task", sort=False)[[*order, "halves_left"]].mean()
