"""Fisher traces of the layers of a suite's experts, as rows that are stored (evidence page 03h).

The trace of a layer's block of the Fisher matrix, with y from the model, is the mean of the squared
gradient of u'z, where z are the class scores and u = sqrt(p) v - p (sqrt(p)'v) for random signs v.
Signs of the inputs of a batch are independent, so one backward pass serves the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch3.definitions import floats, generator_of
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import states, stats
from mergehelpers.states import State

Table = pd.DataFrame
NAMES = ("mean", "variance", "magnitude", "singular 1", "singular 2", "singular 3")


def signed(p: Tensor, v: Tensor) -> Tensor:
    """Weights of the class scores (inputs, classes), with second moment diag(p) - pp'."""
    return p.sqrt() * v - p * (p.sqrt() * v).sum(1, keepdim=True)


def fisher_gradients(
    r: OpenSuite,
    state: State,
    task: str,
    inputs,
    g: torch.Generator,
    batch: int = 8,
    draws: int = 1,
) -> list[dict[str, Tensor]]:
    """For each batch of inputs a gradient whose second moment is their Fisher matrix, by layer.

    Or several, with `draws` draws of the signs.
    """
    moving = {
        n: w.detach().clone().requires_grad_() for n, w in state.items() if w.is_floating_point()
    }
    made, out = state | moving, []
    for i in range(0, len(inputs), batch):
        embedded = r.backbone.encode(made, r.backbone.prepare(inputs[i : i + batch]))
        z = r.suite.logits(task, embedded, made)
        p = z.detach().softmax(1)
        for draw in range(draws):
            v = (2.0 * torch.randint(2, p.shape, generator=g) - 1).to(p)
            total = (z * signed(p, v)).sum() / len(z) ** 0.5
            again = draw + 1 < draws
            found = torch.autograd.grad(
                total, list(moving.values()), retain_graph=again, allow_unused=True
            )
            out.append({n: x for n, x in zip(moving, found) if x is not None})
    return out


def halves(r: OpenSuite, task: str, most: int = 64) -> list:
    """Two halves of up to `2 * most` unlabelled inputs of a task."""
    every = r.suite.task(task).inputs["unlabelled"]
    size = min(most, len(every) // 2)
    return [every[:size], every[size : 2 * size]]


def layer_traces(gradients: list[dict[str, Tensor]], names: list[str]) -> list[float]:
    """The mean over batches of the squared gradient of each layer."""
    return [
        float(np.mean([float(x[n].double().square().sum()) if n in x else 0.0 for x in gradients]))
        for n in names
    ]


@dataclass(frozen=True)
class Curvature:
    """The key of the Fisher traces of a suite: inputs a half, draws of signs a batch."""

    models: str
    samples: int
    draws: int = 4
    seed: int = 0


RUNS = ("first", "second", "at base", "elsewhere")


def traces_of_experts(r: OpenSuite, inputs: int, draws: int, seed: int) -> list[dict]:
    """A row for each expert: its name, and Fisher traces of all layers for each of `RUNS`.

    `first` and `second`: on two halves of its own task's inputs; `at base`: the base's on the
    first; `elsewhere`: the expert's on the first half of the next task's.
    """
    g, names, tasks = generator_of(seed), list(floats(r.base)), list(r.experts)
    rows = []
    for i, (task, expert) in enumerate(r.experts.items()):
        one, two = halves(r, task, inputs)
        other = tasks[(i + 1) % len(tasks)]
        away = halves(r, other, inputs)[0]
        asked = ((expert, task, one), (expert, task, two), (r.base, task, one))
        found = {
            n: fisher_gradients(r, *run, g, draws=draws)
            for n, run in zip(RUNS, (*asked, (expert, other, away)))
        }
        rows.append({"expert": task} | {n: layer_traces(x, names) for n, x in found.items()})
    return rows


def curvature_rows(key: Curvature, sources: Mapping[str, str], device: str) -> list[dict]:
    """The stored rows: `traces_of_experts` of the suite that a key names."""
    return traces_of_experts(opened(key, sources, device), key.samples, key.draws, key.seed)


# Gradients are in single precision, and agree to a few thousandths of the largest.
EXPERIMENT = Experiment(
    "curvature",
    1,
    Curvature,
    curvature_rows,
    {"expert": Tolerance(), **dict.fromkeys(RUNS, Tolerance(relative=5e-3))},
)


def traces(r: OpenSuite, found: Table) -> Table:
    """Statistics and Fisher traces (`traces_of_experts`), a row for each expert and layer."""
    deep, names, parts = states.depths(r.base), list(floats(r.base)), []
    for row in found.to_dict("records"):
        part = {n: row[n] for n in RUNS}
        of_weights = stats.layer_wise(floats(r.experts[row["expert"]]), 3)
        part |= dict(zip(NAMES, of_weights.T.tolist()))
        part |= {
            "layer": names,
            "matrix": [r.base[n].ndim >= 2 for n in names],
            "size": [r.base[n].numel() for n in names],
            "depth": [deep[n] for n in names],
        }
        parts.append(pd.DataFrame(part).assign(suite=r.name, expert=row["expert"]))
    return pd.concat(parts, ignore_index=True)
