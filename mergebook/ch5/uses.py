"""Uses of encoders without a head, and merges of weak experts (pages 05b and 05g)."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from mergebook import protocols
from mergebook.ch5.encoders import Encoder, views, workbench
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergebook.studies import pack_answers
from mergehelpers import merge

Table = pd.DataFrame
FOUND = 10  # inputs that a search shows
SHARE, SCALE = 0.1, 3.0  # of weak experts: how far they went, and what multiplies their sum


def precision(z: Tensor, labels: Tensor, found: int = FOUND) -> float:
    """Share in percent of an input's `found` nearest others that have its class; means over inputs.

    `z` (inputs, width), `labels` (inputs,). Raises `ValueError` for too few inputs.
    """
    if found >= len(z):
        raise ValueError(f"found is {found}; allowed: less than the {len(z)} inputs")
    nearest = torch.cdist(z, z).fill_diagonal_(torch.inf).topk(found, largest=False).indices
    return 100 * float((labels[nearest] == labels[:, None]).double().mean())


def searched(key: Encoder, sources: Mapping[str, str], device: str) -> dict:
    """A search among test inputs by nearness of features: precision at ten, in percent.

    `by_chance` is that of a search that shows any others.
    """
    v = views(key, sources, device)
    labels = v.labels("test")
    counts, n = torch.bincount(labels).double(), len(labels)
    by_chance = float((counts * (counts - 1)).sum()) / (n * (n - 1))
    found = precision(v.model("test"), labels, min(FOUND, n - 1))
    return {"precision": round(found, 6), "by_chance": round(100 * by_chance, 6)}


SEARCHED = Experiment(
    "searches by features",
    1,
    Encoder,
    searched,
    {"precision": Tolerance(0.04), "by_chance": Tolerance(1e-6)},
)


@dataclass(frozen=True)
class Weak:
    """The key of weak experts: each goes the `share` of the way from the base to the real one."""

    models: str
    task: str
    share: float
    scale: float
    inputs: int


def weak_and_merged(key: Weak, sources: Mapping[str, str], device: str) -> dict:
    """Right answers to test inputs, packed, under the task's head.

    `own`: of the weak expert; `alone`: of its task vector times `scale`; `merged`: of the sum of
    all weak experts' task vectors times `scale`.
    """
    r = opened(key, sources, device)
    bench, base = workbench(r.source, device, 1, key.inputs), r.suite.base
    mixed = [1 - key.share, key.share]
    weak = {t: merge.average([base, e], mixed) for t, e in r.suite.experts.items()}
    inputs = r.suite.task(key.task).inputs["test"][: key.inputs]
    states = {
        "own": weak[key.task],
        "alone": merge.task_arithmetic(base, [weak[key.task]], key.scale),
        "merged": merge.task_arithmetic(base, list(weak.values()), key.scale),
    }
    out = {}
    for name, state in states.items():
        z = protocols.head_features(r.suite, state, inputs, device)
        right = bench.head(key.task)(z).argmax(1) == bench.y(key.task)
        out[name] = pack_answers({"": right})[""]
    return out


WEAK = Experiment(
    "merges of weak experts",
    1,
    Weak,
    weak_and_merged,
    dict.fromkeys(("own", "alone", "merged"), Tolerance(0.012)),
)


def weak_keys(r: OpenSuite, inputs: int) -> list[Weak]:
    """A key a task."""
    return [Weak(r.mark, t, SHARE, SCALE, inputs) for t in r.suite.experts]
