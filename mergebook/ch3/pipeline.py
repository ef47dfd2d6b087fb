"""What a training of StatsMerging moves, what its coefficients are, and what they depend on."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch3.trials import FREE, Trial, combined, learn, learner_of, stacked, tasks_of
from mergebook.ch3.vision import ONE, READINGS, SIMPLEX
from mergebook.page import OpenSuite

Table = pd.DataFrame


def small_start(t: Trial, steps: int = 3) -> Trial:
    """The same training, of a few steps: enough to see what moves."""
    return replace(t, steps=steps, count=min(t.count, 16))


def inputs_and_parameters(r: OpenSuite, named: Mapping[str, Trial]) -> Table:
    """The four methods of Figure 1: what they read, what teaches them, how many numbers are learnt.

    `moves`: whether the coefficients, after a few steps, change when the experts' statistics are
    exchanged; those of a method without statistics cannot.
    """
    rows = [("Average", False, "nothing", 0, False), ("Task arithmetic", False, "trials", 1, False)]
    for name in ("AdaMerging", *READINGS):
        t = small_start(named[name])
        found = learn(r, t)
        numbers = sum(p.numel() for p in found.learner.parameters())
        signal = {"hard": "teachers", "entropy": "own certainty"}[t.loss]
        moves = False
        if t.learner != "free":
            with torch.no_grad():
                other = found.learner.coefficients(found.learner.features.flip(0)).cpu()
            moves = not torch.equal(other, found.coefficients)
        rows.append((name, name in READINGS, signal, numbers, moves))
    return pd.DataFrame(rows, columns=["method", "statistics", "signal", "numbers", "moves"])


def moved_by_training(r: OpenSuite, named: Mapping[str, Trial]) -> Table:
    """What a few steps of each reading change: its learner, and neither the base nor a head.

    `network`: whether the merge has the base's tensors and shapes. `heads too` is the released
    scripts' way, for comparison.
    """
    rows = []
    for name in READINGS:
        for heads in ("frozen", "too"):
            t = replace(small_start(named[name]), heads=heads)
            base = {n: w.clone() for n, w in r.base.items()}
            before = {n: w.clone() for n, w in learner_of(r, t)[0].state_dict().items()}
            found = learn(r, t)
            merged = combined(r, t, found.coefficients)
            after = found.learner.state_dict()
            rows.append({
                "reading": name,
                "heads": heads,
                "learner moves": any(not torch.equal(before[n], after[n].cpu()) for n in before),
                "base moves": any(not torch.equal(base[n], w) for n, w in r.base.items()),
                "heads move": heads_moved(r, found.trained.suite),
                "network": same_shapes(merged, r.base),
            })  # fmt: skip
    return pd.DataFrame(rows)


def time_of_one_image(r: OpenSuite, repeats: int = 50) -> Table:
    """Milliseconds (median) that a merge takes for one image, where there is a card to time.

    `network`: whether the merge has the base's tensors and shapes, so that no learner is left.
    """
    merged = combined(r, FREE, torch.full((len(r.tasks), 1), 0.3))
    card, taken = r.device, [float("nan")]
    if torch.device(r.device).type == "cuda":
        card, taken = torch.cuda.get_device_name(), []
        one = r.suite.task(r.tasks[0]).inputs["unlabelled"][:1]
        for _ in range(repeats):
            torch.cuda.synchronize()
            start = time.perf_counter()
            r.backbone.embed(merged, one)
            torch.cuda.synchronize()
            taken.append(1000 * (time.perf_counter() - start))
    millions = sum(w.numel() for w in r.base.values()) / 1e6
    row = (r.name, card, millions, float(np.median(taken)), same_shapes(merged, r.base))
    return pd.DataFrame([row], columns=["suite", "card", "millions", "ms", "network"])


def same_shapes(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two models have the same tensors, of the same shapes."""
    return {n: w.shape for n, w in a.items()} == {n: w.shape for n, w in b.items()}


def heads_moved(r: OpenSuite, suite) -> bool:
    """Whether a suite has other heads than the one it came from."""
    return any(
        not torch.equal(w.cpu(), suite.task(n).head[key].cpu())
        for n in r.tasks
        for key, w in (r.suite.task(n).head or {}).items()
    )


def shapes_of_coefficients(r: OpenSuite, table: Table, named: Mapping[str, Trial]) -> Table:
    """The coefficients of both readings, each trial a row.

    They are `down` × `across`; `spread`: the least one over the layers of an expert.
    """
    layers = len(stacked(r, tasks_of(r, named[ONE])))
    rows = [
        (name, len(r.tasks), layers, *c.shape, bool(c.isfinite().all()), float(c.std(1).min()))
        for name in READINGS
        for c in kept_coefficients(table, name)
    ]
    columns = ["reading", "experts", "layers", "down", "across", "finite", "spread"]
    return pd.DataFrame(rows, columns=columns)


def kept_coefficients(table: Table, what: str) -> list[Tensor]:
    """The trained coefficients (experts, layers) of a method, one tensor a repetition."""
    return [torch.tensor(c) for c in table[table.what == what].coefficients]


# ---------------------------------------------------------------------------- on the simplex or not


def convexity(r: OpenSuite, table: Table, named: Mapping[str, Trial]) -> Table:
    """How far trained coefficients, and the merges they make, are from convex combinations.

    `off`: the largest distance of a layer's sum from 1; `least`: the least coefficient; `outside`:
    the percentage of merged weights outside the range that the experts span, of one repetition.
    """
    rows = []
    for form in ("", SIMPLEX):
        for name in READINGS:
            every = kept_coefficients(table, name + form)
            off = max(float((c.sum(0) - 1).abs().max()) for c in every)
            least = min(float(c.min()) for c in every)
            merged = combined(r, named[name + form], exactly(every[0]) if form else every[0])
            rows.append((form == SIMPLEX, name, off, least, outside_experts(r, merged)))
    return pd.DataFrame(rows, columns=["softmax", "reading", "off", "least", "outside"])


def exactly(c: Tensor) -> Tensor:
    """Stored coefficients have four digits; those of a softmax sum to 1."""
    return c / c.sum(0)


def outside_experts(r: OpenSuite, merged: Mapping[str, Tensor], slack: float = 1e-4) -> float:
    """Percentage of a merge's weights outside the range of the experts' own.

    `slack` is allowed beyond both ends, as a share of the layer's widest range.
    """
    out = every = 0
    for n in stacked(r, r.tasks):
        weights = torch.stack([e[n] for e in r.experts.values()])
        low, high = weights.amin(0), weights.amax(0)
        room = slack * (high - low).max()
        out += int(((merged[n] < low - room) | (merged[n] > high + room)).sum())
        every += low.numel()
    return 100 * out / every
