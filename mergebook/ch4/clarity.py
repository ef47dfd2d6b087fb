"""When templates are clear: with more images, more classes, or more various ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from mergebook import lab
from mergebook.ch4.templates import (
    EXACT,
    Pictures,
    class_means,
    linear_classifier,
    pixels_of,
    resemblance,
    without_mean,
)
from mergebook.claims import book_folder
from mergebook.experiments import Experiment
from mergebook.page import OpenSuite, opened

DIGITS = "digits"
LEVELS = {  # the first and the last are compared
    "images": (10, 30, 100, 250),  # of each of ten digits
    "shift": (0, 1, 2, 4),  # pixels, of 100 images of each digit
    "classes": (3, 6, 12),  # of a task, and all
}
SHIFTED = 100
LENGTHS = {  # long training alone makes rows less clear, so both ways of measuring it are tried
    "epochs": 100,  # for all levels, as in the released scripts: more images, more steps
    "steps": 400,  # for all levels: fewer images, more epochs
}


@dataclass(frozen=True)
class Clear:
    """The key of one classifier of digits or of a task's images; `change` is what `level` counts.

    `draw` chooses images or classes, shifts and batches; `equal` is the length of training that all
    levels share, of `LENGTHS`. `models` is empty for digits.
    """

    models: str
    task: str
    change: str
    level: int
    draw: int = 0
    decay: float = 0.1
    equal: str = "epochs"

    def __post_init__(self):
        for name, allowed in (("change", LEVELS), ("equal", LENGTHS)):
            if getattr(self, name) not in allowed:
                found = getattr(self, name)
                raise ValueError(f"{name} is {found!r}; allowed: {', '.join(allowed)}")


def digits_of(per_class: int, draw: int) -> Pictures:
    """As many digits of each of ten classes, drawn at random; pixels from 0 to 1, as rows."""
    x, y = lab.load_digits().split("train")
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(draw))
    x, y = x[0][order] * 0.3 + 0.13, y[order]
    chosen = torch.cat([torch.nonzero(y == c)[:per_class, 0] for c in range(10)])
    return x[chosen], y[chosen]


def shifted(x: Tensor, size: int, draw: int) -> Tensor:
    """Digits moved at random by up to `size` pixels each way, round the border."""
    g = torch.Generator().manual_seed(draw)
    moves = torch.randint(-size, size + 1, (len(x), 2), generator=g).tolist()
    images = x.view(-1, lab.SIDE, lab.SIDE)
    return torch.stack([i.roll(m, (0, 1)) for i, m in zip(images, moves)]).flatten(1)


def some_classes(x: Tensor, y: Tensor, count: int, draw: int) -> Pictures:
    """The images of `count` classes drawn at random, with new labels."""
    classes = int(y.max()) + 1
    chosen = torch.randperm(classes, generator=torch.Generator().manual_seed(draw))[:count]
    new = torch.full((classes,), -1).scatter(0, chosen, torch.arange(count))[y]
    return x[new >= 0], new[new >= 0]


def contrast_of_means(x: Tensor, y: Tensor) -> dict[str, float]:
    """How long class means are, the grand mean removed, relative to the images.

    `apparent`: root mean squares. An average of n images has noise of a variance of 1/n of the
    images' within their class, which makes means of few images look strong; `contrast` is without.
    """
    means, classes = class_means(x, y), int(y.max()) + 1
    counts = torch.bincount(y).double()
    whole = without_mean(x).square().sum(1).mean()
    squares = without_mean(means).square().sum(1).mean()
    within = torch.stack(
        [(x[y == c] - means[c]).square().sum() / (counts[c] - 1) for c in range(classes)]
    )
    noise = (1 - 1 / classes) * (within / counts).mean()
    return {
        "apparent": math.sqrt(squares / whole),
        "contrast": math.sqrt(max(0.0, squares - noise) / whole),
    }


def passes_over(images: int, equal: str, batch: int = 64) -> int:
    """Epochs of a classifier of so many images, if all levels have equal `epochs` or `steps`."""
    if equal == "epochs":
        return LENGTHS[equal]
    return math.ceil(LENGTHS[equal] / math.ceil(images / batch))


def clear_row(key: Clear, sources: Mapping[str, str], device: str) -> dict:
    """`clarity`, the mean correlation of rows with their class means, and `contrast_of_means`."""
    if key.task == DIGITS:
        x, y = digits_of(key.level if key.change == "images" else SHIFTED, key.draw)
        if key.change == "shift":
            x = shifted(x, key.level, key.draw)
    else:
        x, y = pixels_of(opened(key, sources, device), key.task)
        x, y = some_classes(x, y, key.level, key.draw)
    rows, _ = linear_classifier(x, y, key.decay, passes_over(len(x), key.equal), key.draw)
    own = resemblance(rows, class_means(x, y))["own"]
    return {"clarity": sum(own) / len(own), **contrast_of_means(x, y)}


CLEAR = Experiment(
    "clarity of templates",
    1,
    Clear,
    clear_row,
    dict.fromkeys(("clarity", "apparent", "contrast"), EXACT),
)


def clear_keys(r: OpenSuite, draws: range, decay: float) -> list[Clear]:
    """All levels of all changes, in both lengths; classes of the two tasks that have most."""
    classes = {task: len(r.suite.task(task).classes) for task in r.tasks}
    kinds = [
        ("", DIGITS, change, level) for change in ("images", "shift") for level in LEVELS[change]
    ]
    for task in sorted(classes, key=classes.get)[-2:]:
        levels = [k for k in LEVELS["classes"] if k < classes[task]] + [classes[task]]
        kinds += [(r.mark, task, "classes", k) for k in levels]
    return [Clear(*kind, d, decay, equal) for equal in LENGTHS for kind in kinds for d in draws]


def clear_table(page, r: OpenSuite, draws: range, decay: float) -> pd.DataFrame:
    """The rows of `clear_keys` of a page's suite."""
    context = {"sources": {r.mark: r.source}, "device": page.device}
    return page.table(CLEAR, clear_keys(r, draws, decay), **context)


def printed_sizes() -> pd.DataFrame:
    """Table 2: the images and classes of the two data sets whose templates are drawn."""
    table = pd.read_csv(book_folder("paper_tables") / "rethinking_table2.csv", thousands=",")
    table = table[table.Datasets.isin(["CIFAR-100", "TinyImageNet"])]
    numbers = {"images": table.Sizes.astype(int), "classes": table["Class #"].astype(int)}
    return pd.DataFrame({"dataset": table.Datasets} | numbers).reset_index(drop=True)
