"""Rows of linear classifiers, drawn as images: what they resemble, and what averages of them keep.

All training is in double precision on the CPU, so that every machine gets the same pictures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor
from torch.nn import functional as F

from mergebook.ch4.groups import Workshop
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergebook.studies import pack_answers, unpack_answers

Table = pd.DataFrame
Pictures = tuple[Tensor, Tensor]  # images as rows (n, pixels), and their labels (n,)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONTROLS = {  # name: recipe, and weight decay if it is another
    "no decay": ("released", 0.0),
    "dealt labels": ("shuffled", None),
    "dealt, true means": ("shuffled, true means", None),
    "Fisher": ("Fisher", None),
}
RECIPES = ("released", "normalised", "shuffled", "shuffled, true means", "Fisher")


@lru_cache(maxsize=4)
def pictures_of(r: OpenSuite) -> Workshop:
    """The images of a suite's tasks; raises `ValueError` for a suite without, or of few tasks."""
    return Workshop(r.suite, "cpu")


def pixels_of(r: OpenSuite, task: str, split: str = "pool", normalised: bool = False) -> Pictures:
    """Images as rows, pixels from 0 to 1; or with ImageNet's mean and deviation, `normalised`."""
    x, y = pictures_of(r).data(task, split)
    x = (x * 0.25 + 0.5).double()
    if normalised:
        mean, std = (x.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        x = (x - mean) / std
    return x.flatten(1), y


# ---------------------------------------------------------------------------------- classifiers


def linear_classifier(
    x: Tensor, y: Tensor, decay: float, epochs: int, seed: int, rate=0.01, batch=64, momentum=0.9
) -> tuple[Tensor, Tensor]:
    """Rows (classes, pixels) and biases of a linear classifier, by the released recipe.

    SGD from zero; the step size falls to a tenth after each fifth of the epochs. `decay` is the
    weight decay, of rows and biases.
    """
    classes, g = int(y.max()) + 1, torch.Generator().manual_seed(seed)
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # the last column makes the biases
    w = x.new_zeros(classes, x.shape[1])
    speed = torch.zeros_like(w)
    for epoch in range(epochs):
        step = rate * 0.1 ** (5 * epoch // epochs)
        for chosen in torch.randperm(len(x), generator=g).split(batch):
            error = (x[chosen] @ w.T).softmax(1) - F.one_hot(y[chosen], classes)
            speed = momentum * speed + error.T @ x[chosen] / len(chosen) + decay * w
            w = w - step * speed
    return w[:, :-1], w[:, -1]


def class_means(x: Tensor, y: Tensor) -> Tensor:
    """The average image of each class, (classes, pixels)."""
    return torch.stack([x[y == c].mean(0) for c in range(int(y.max()) + 1)])


def without_mean(rows: Tensor) -> Tensor:
    """Rows without their mean: the same vector added to all rows changes no answer."""
    return rows - rows.mean(0)


def row_correlations(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of every row of `a` with every row of `b`, over pixels."""
    a, b = (F.normalize(v - v.mean(1, keepdim=True), dim=1) for v in (a, b))
    return a @ b.T


def fisher_rows(x: Tensor, y: Tensor) -> Tensor:
    """Fisher's directions: class means, whitened by the shrunk covariance within classes."""
    means = class_means(x, y)
    within = x - means[y]  # means and covariance meet in the span of the images
    basis = torch.linalg.svd(within, full_matrices=False)[2][: len(x) - len(means)]
    covariance = x.new_tensor(ledoit_wolf((within @ basis.T).numpy(), assume_centered=True)[0])
    return torch.linalg.solve(covariance, basis @ without_mean(means).T).T @ basis


def dealt(y: Tensor, seed: int) -> Tensor:
    """The labels, dealt out at random."""
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]


# ---------------------------------------------------------------------------- what a row is like


@dataclass(frozen=True)
class Linear:
    """The key of one linear classifier of one task's pool of training images."""

    models: str
    task: str
    recipe: str = "released"
    decay: float = 0.1
    epochs: int = 100
    seed: int = 0

    def __post_init__(self):
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe is {self.recipe!r}; allowed: {', '.join(RECIPES)}")


def classifier_of(r: OpenSuite, key: Linear) -> tuple[Tensor, Tensor, Pictures]:
    """Rows and biases of a key's classifier, and the images and labels whose means it may show."""
    x, y = pixels_of(r, key.task, normalised=key.recipe == "normalised")
    if key.recipe == "Fisher":
        rows = fisher_rows(x, y)
        return rows, rows.new_zeros(len(rows)), (x, y)
    z = dealt(y, key.seed) if "shuffled" in key.recipe else y
    rows, biases = linear_classifier(x, z, key.decay, key.epochs, key.seed)
    return rows, biases, (x, y if "true" in key.recipe else z)


def resemblance(rows: Tensor, means: Tensor) -> dict[str, list[float]]:
    """For each class, correlations of its row with average images.

    `own` and `rival`: with its own class, and the largest with another, the mean of all classes
    taken from rows and average images. `displayed`: with its own as they are drawn; stretching a
    picture changes no correlation.
    """
    apart = row_correlations(without_mean(rows), without_mean(means))
    own = apart.diagonal()
    rival = apart.masked_fill(torch.eye(len(apart), dtype=torch.bool), -2).amax(1)
    drawn = row_correlations(rows, means).diagonal()
    return {"own": own.tolist(), "rival": rival.tolist(), "displayed": drawn.tolist()}


def alignment_of(rows: Tensor, biases: Tensor, x: Tensor) -> dict[str, Tensor]:
    """Of each image, whether the class with the highest score has the best aligned row.

    `best`: no other row has a smaller angle to the image; `plain`: the same for scores without
    bias; `closer`: its angle is smaller than that of most rows.
    """
    cosine = F.normalize(x, dim=1) @ F.normalize(rows, dim=1).T
    plain = x @ rows.T
    top = (plain + biases).argmax(1)
    winner = cosine.gather(1, top[:, None])
    return {
        "best": top == cosine.argmax(1),
        "plain": plain.argmax(1) == cosine.argmax(1),
        "closer": (cosine < winner).double().mean(1) >= 0.5,
    }


def paired(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second half of the rows: pairs that Figs. 2 and 10 average."""
    half = len(rows) // 2
    return rows[:half], rows[half : 2 * half]


def blended(rows: Tensor) -> dict[str, list[float]]:
    """Of averages of `paired` rows, for each pair.

    `first`, `second`: correlation with the parents; `third`: the largest with another row; `left`:
    the average's length over the mean of the parents'; `formula`: the same from their lengths and
    angle.
    """
    a, b = paired(rows)
    mixed, alike = (a + b) / 2, row_correlations((a + b) / 2, rows)
    half, at = len(a), torch.arange(len(a))
    others = alike.clone()
    others[at, at] = others[at, half + at] = -2
    lengths = torch.stack([a.norm(dim=1), b.norm(dim=1)])
    cosine = F.cosine_similarity(a, b, dim=1)
    formula = (lengths.square().sum(0) + 2 * cosine * lengths.prod(0)).sqrt() / lengths.sum(0)
    found = {
        "first": alike[at, at],
        "second": alike[at, half + at],
        "third": others.amax(1),
        "left": mixed.norm(dim=1) / lengths.mean(0),
        "formula": formula,
    }
    return {name: value.tolist() for name, value in found.items()}


def rounded(lists: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Lists of numbers with seven digits, as rows store them."""
    return {name: [round(v, 7) for v in values] for name, values in lists.items()}


def linear_row(key: Linear, sources: Mapping[str, str], device: str) -> dict:
    """`resemblance`, `alignment_of` on test images, `blended`, and the rows' lengths."""
    r = opened(key, sources, device)
    rows, biases, (x, z) = classifier_of(r, key)
    tx, ty = pixels_of(r, key.task, "test", key.recipe == "normalised")
    answers = alignment_of(rows, biases, tx) | {"right": (tx @ rows.T + biases).argmax(1) == ty}
    numbers = resemblance(rows, class_means(x, z)) | blended(rows)
    return rounded(numbers | {"lengths": rows.norm(dim=1).tolist()}) | pack_answers(answers)


EXACT = Tolerance(absolute=1e-6, relative=1e-6)
ANSWERS = Tolerance(absolute=0.005)
NUMBERS = ("own", "rival", "displayed", "first", "second", "third", "left", "formula", "lengths")
LINEAR = Experiment(
    "linear templates",
    1,
    Linear,
    linear_row,
    dict.fromkeys(NUMBERS, EXACT) | dict.fromkeys(("best", "plain", "closer", "right"), ANSWERS),
)


def linear_keys(r: OpenSuite, recipe: str = "released", decay=0.1, epochs=100, seeds=(0,)):
    """Keys of one recipe on every task of a suite."""
    return [Linear(r.mark, task, recipe, decay, epochs, s) for task in r.tasks for s in seeds]


def control_keys(r: OpenSuite, decay: float, epochs: int, seed: int) -> list[Linear]:
    """Keys of all `CONTROLS` on every task of a suite."""
    return [
        key
        for recipe, own in CONTROLS.values()
        for key in linear_keys(r, recipe, decay if own is None else own, epochs, (seed,))
    ]


def resembling(table: Table) -> Table:
    """Mean correlations of each task in a table of `LINEAR`; `matches`: rows that have no rival."""
    rows = table.to_dict("records")
    found = {name: [np.mean(row[name]) for row in rows] for name in ("own", "rival", "displayed")}
    matches = [100 * np.mean(np.greater(row["own"], row["rival"])) for row in rows]
    wide = pd.DataFrame({"task": table.task, **found, "matches": matches})
    wide = wide.rename(columns={"displayed": "drawn", "matches": "matches, %"})
    return wide.groupby("task", sort=False).mean()


def beside_controls(released: Table, controls: Table) -> Table:
    """`resembling` of the released recipe, and `own` of each control."""
    own = {}
    for name, (recipe, decay) in CONTROLS.items():
        part = controls[controls.recipe == recipe]
        own[name] = resembling(part if decay is None else part[part.decay == decay]).own
    return resembling(released).assign(**own)


def aligning(table: Table) -> Table:
    """Percent of test images of each task that are `best`, `plain` and `closer` (`alignment_of`).

    And the longest row over the shortest, and test accuracy.
    """
    fields = ("best", "plain", "closer", "right")
    wide = {n: [100 * unpack_answers({"": v})[""].mean() for v in table[n]] for n in fields}
    wide["longest row / shortest"] = [max(v) / min(v) for v in table.lengths]
    return pd.DataFrame({"task": table.task, **wide}).groupby("task", sort=False).mean()


# ------------------------------------------------------------------------------------- pictures


def stretched(row: Tensor) -> Tensor:
    """A picture from its own smallest to its own largest number, 0 to 1, as the paper draws it."""
    return (row - row.min()) / (row.max() - row.min())


def on_scale(row: Tensor, scale: float) -> Tensor:
    """A picture with zero as grey, and black and white at minus and plus `scale`."""
    return (0.5 + 0.5 * row / scale).clamp(0, 1)


def as_picture(row: Tensor) -> Tensor:
    """A row of colours and pixels as an image (height, width, 3)."""
    side = round((len(row) // 3) ** 0.5)
    return row.view(3, side, side).permute(1, 2, 0)
