"""Groups of models fine-tuned on one task, which Chapter 4 averages.

The paper's models start from ImageNet weights, each with its own random classifier. Here a start is
trained on every second task of a suite and fine-tuned on a task that it has not seen.
"""

from dataclasses import astuple, dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from mergebook import lab, studies
from mergehelpers import device as devices
from mergehelpers import zoo
from mergehelpers.states import State
from mergehelpers.suites import Suite

BOARDS = "boards"
STARTS = ("shared", "mixup", "random", "own stem", "one stem")
HEADS = ("own", "small", "one")
GRID = 2.0**-16  # of weights in double precision
WIDE = 4096  # what enters the classifier of a VGG19 of full size
RECIPE = {"epochs": 20, "rate": 0.002, "batch": 64, "adam": True, "decay": 0.05}


@dataclass(frozen=True)
class Group:
    """Models of one architecture fine-tuned on one task with SGD.

    The fields are what a stored row is named by.

    `start`: the same trained weights for all (`shared`; `mixup` if they were trained with Mixup),
    other `random` weights for each, which are then trained by the recipe of starts; for `vit_stem`
    a trained transformer behind a random stem of each model's own (`own stem`) or the same for all
    (`one stem`). `head`: a random classifier of each model's own, or `one` for all. Random rows are
    long if few features enter; a `small` classifier of each model's own has the numbers of a VGG19
    of full size, where 4,096 do.
    """

    network: str
    task: str
    start: str = "shared"
    head: str = "own"
    rate: float = 0.05
    decay: float = 0.0
    models: int = 10
    epochs: int = 12
    width: int = 16
    seed: int = 0

    def __post_init__(self):
        for name, allowed in {"network": zoo.ARCHITECTURES, "start": STARTS, "head": HEADS}.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        if ("stem" in self.start) != (self.network == "vit_stem"):
            raise ValueError(
                f"start is {self.start!r} and network {self.network!r}; "
                "vit_stem, and no other, takes own stem or one stem"
            )

    def __str__(self):
        return " ".join(map(str, astuple(self)))


class Workshop:
    """Data and training for groups of one suite of images.

    The last group and all starts stay at hand. In double precision (`dtype`), with weights on a
    grid (`zoo.train`), other instructions train the same networks; in single precision rounding
    sends each on a way of its own. Devices without double precision (MPS) leave such groups to the
    CPU. Raises `ValueError` for a suite of fewer than four tasks, of texts, or without training
    images.
    """

    def __init__(self, suite: Suite, device: str = "auto", dtype: torch.dtype = torch.float32):
        self.suite, self.tasks, self.dtype = suite, list(suite.tasks), dtype
        self.grid = GRID if dtype == torch.float64 else 0.0
        lacks_double = self.grid and devices.pick(device).type == "mps"
        self.device = "cpu" if lacks_double else device
        if len(self.tasks) < 4 or isinstance(suite.task(self.tasks[0]).inputs["test"][0], str):
            raise ValueError(
                f"suite {suite.name} has {len(self.tasks)} tasks, the first {self.tasks[0]}; "
                "soups need four tasks or more, of images"
            )
        for task in self.tasks:
            if not {"train", "val"} <= suite.task(task).inputs.keys():
                raise ValueError(
                    f"the task {task} of {suite.name} needs train and val images; "
                    f"it has {', '.join(suite.task(task).inputs)}"
                )
        self.data = lru_cache(None)(self._data)
        self.start = lru_cache(None)(self._start)
        self.models = lru_cache(1)(self._models)

    @property
    def targets(self) -> tuple[str, str]:
        """Two tasks of the same start: fashion and vehicles of mini8.

        In other suites they are the second, and the last that shares its start.
        """
        return (
            ("fashion", "vehicles")
            if self.suite.name == "mini8"
            else (self.tasks[1], self.tasks[1::2][-1])
        )

    @cached_property
    def mark(self) -> str:
        """The suite's name and a fingerprint of its training images, for stored rows' names."""
        pools = {task: {"pool": self.data(task, "pool")[0]} for task in self.tasks}
        return f"{self.suite.name} {studies.fingerprint(pools)}"

    def _data(self, task: str, split: str) -> tuple[Tensor, Tensor]:
        """Pixels (n, 3, 32, 32) and labels of a split.

        The split `pool` is the suite's `train` and labelled `unlabelled` images together.
        """
        prepare = zoo.build("vgg5")[0].prepare
        if task == BOARDS:
            count, number = {"pool": (768, 0), "val": (250, 1), "test": (500, 2)}[split]
            x, y = boards("train" if split == "pool" else split, count, number)
            return prepare(x)["pixels"].to(self.dtype), y
        t = self.suite.task(task)
        parts = (
            [p for p in ("train", "unlabelled") if p in t.labels and (t.labels[p] >= 0).all()]
            if split == "pool"
            else [split]
        )
        x = torch.cat([prepare(t.inputs[part])["pixels"] for part in parts])
        return x.to(self.dtype), torch.cat([t.labels[part] for part in parts])

    def built(self, network: str, number: int, width: int) -> tuple[zoo.Net, State]:
        """A body and its random first weights (`zoo.build`), of the type of the workshop."""
        # Random numbers in single precision differ in the last digit from processor to processor.
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            net, state = zoo.build(network, number, width)
        finally:
            torch.set_default_dtype(before)
        if self.grid:
            zoo.on_grid((v for v in state.values() if v.is_floating_point()), self.grid)
        return net, state

    def _typed(self, state):
        return {k: v.to(self.dtype) if v.is_floating_point() else v for k, v in state.items()}

    def classes(self, task: str) -> int:
        """How many classes, or labels, a task has."""
        return 10 if task == BOARDS else len(self.suite.task(task).classes)

    def sources(self, task: str) -> tuple[str, ...]:
        """The tasks of a start that has not seen this one: every second of the suite."""
        return tuple(
            self.tasks[0::2] if task != BOARDS and self.tasks.index(task) % 2 else self.tasks[1::2]
        )

    def _start(
        self,
        network: str,
        tasks: tuple[str, ...],
        mixup: float = 0.0,
        number: int = 0,
        width: int = 16,
    ) -> State:
        """A body trained on all classes of several tasks together."""
        net, state = self.built(network, number, width)
        pools = [self.data(task, "pool") for task in tasks]
        before = np.cumsum([0] + [self.classes(task) for task in tasks])
        x, y = (
            torch.cat([x for x, _ in pools]),
            torch.cat([y + int(n) for (_, y), n in zip(pools, before)]),
        )
        state = self._typed(zoo.with_head(state, net.width, int(before[-1]), number))
        return zoo.body(
            zoo.train(
                net,
                state,
                x,
                y,
                seed=number,
                mixup=mixup,
                device=self.device,
                grid=self.grid,
                **RECIPE,
            )
        )

    def first(self, g: Group, i: int) -> State:
        """The body with which model i of a group begins."""
        number = 1000 * g.seed + i
        if g.start == "random":
            return self.built(g.network, number, g.width)[1]
        if "stem" in g.start:
            own = g.start == "own stem"
            stem = self.built(g.network, number if own else 1000 * g.seed, g.width)[1]
            inner = self.start("vit", self.sources(g.task), 0.0, g.seed, g.width)
            return {k: v for k, v in stem.items() if k.startswith("0.")} | {
                f"1.{k}": v for k, v in inner.items()
            }
        mixup = 0.2 if g.start == "mixup" else 0.0
        return self.start(g.network, self.sources(g.task), mixup, g.seed, g.width)

    def net(self, g: Group) -> zoo.Net:
        """The network of a group, which runs its states."""
        return self.built(g.network, 0, g.width)[0]

    def _models(self, g: Group) -> list[State]:
        """The fine-tuned models of a group, on the CPU."""
        net, (x, y) = self.net(g), self.data(g.task, "pool")
        recipe = {k: RECIPE[k] for k in ("batch", "adam")} if g.start == "random" else {}
        out = []
        for i in tqdm(
            range(g.models), desc=f"{g.network}, {g.task}", unit="model", leave=False, disable=None
        ):
            head = 1000 * g.seed + (0 if g.head == "one" else i)
            like = WIDE if g.head == "small" else None
            state = zoo.with_head(self.first(g, i), net.width, self.classes(g.task), head, like)
            state = self._typed(state)
            out.append(
                zoo.train(
                    net,
                    state,
                    x,
                    y,
                    g.epochs,
                    g.rate,
                    1000 * g.seed + i,
                    decay=g.decay,
                    device=self.device,
                    grid=self.grid,
                    **recipe,
                )
            )
        return out


def boards(split: str, count: int, number: int) -> tuple[np.ndarray, Tensor]:
    """A task with several labels: boards of 2 × 2 cells with a digit or nothing in each.

    Images (count, 32, 32) of bytes, and for each of ten digits whether it is on the board, (count,
    10) zeros and ones. Digits come from a split of the laboratory's; `number` seeds the draws.
    """
    x, y = lab.load_digits().split(split)
    images = ((x[0] * 0.3 + 0.13) * 255).round().byte().view(-1, lab.SIDE, lab.SIDE)
    g = torch.Generator().manual_seed(number)
    chosen = torch.randint(len(y), (count, 2, 2), generator=g)
    there = torch.rand(count, 2, 2, generator=g) < 0.6
    cells = images[chosen] * there[..., None, None]
    board = F.pad(cells.permute(0, 1, 3, 2, 4).reshape(count, 28, 28), (2, 2, 2, 2))
    shown = torch.zeros(count, 11).scatter_(1, torch.where(there, y[chosen], 10).flatten(1), 1.0)
    return board.numpy(), shown[:, :10]
