"""Settings tuned on narrow, shallow perceptrons and reused on wide, deep ones (Sec. 6.2)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergebook import lab
from mergebook.ch1.laboratory import COUNTED, EXACT, TASKS, digits, digits6
from mergebook.ch2.models import Merge, model_of
from mergebook.ch2.samples import KEEPS, SPREADS
from mergebook.experiments import Experiment
from mergebook.page import OpenSuite
from mergehelpers import evaluate
from mergehelpers.states import State

Table = pd.DataFrame
NARROW, DEEP = (32, 3), (64, 4)  # width and number of hidden layers


@dataclass(frozen=True)
class Family:
    """The key of a base and its eight experts: their world, width, depth; inputs of the score."""

    world: int
    width: int
    layers: int
    samples: int


def networks(world: int, width: int, layers: int) -> tuple[State, State]:
    """A base, a stack of one, and its experts, one for each task of the laboratory."""
    start = lab.initial([world], (lab.SIDE**2, *[width] * layers, 10))
    base = lab.train(start, digits(), [TASKS], steps=150, lr=2e-3, seed=world)[150]
    readout = tuple(f"layers.{layers}.{part}" for part in ("weight", "bias"))
    copies, tasks = lab.take(base, [0] * len(TASKS)), [[t] for t in TASKS]
    experts = lab.train(
        copies, digits(), tasks, steps=200, lr=1e-3, seed=100 + world, frozen=readout
    )
    return base, experts[200]


def grid(key: Family) -> list[dict]:
    """Accuracy of M-TIES at scale 1 on validation and test images, at each k and e."""
    base, experts = networks(key.world, key.width, key.layers)
    r = OpenSuite(lab.suite(base, experts, digits()), "cpu")
    rows = []
    for k in KEEPS:
        for e in SPREADS:
            made = model_of(r, Merge("", "rows", "shared input", k, e, samples=key.samples))
            found = {s: evaluate.percent([r.answers(made, s)]) for s in ("val", "test")}
            rows.append(digits6({"k": k, "e": e} | found))
    return rows


GRID = Experiment(
    "settings on narrow and deep networks",
    2,
    Family,
    grid,
    {"k": EXACT, "e": EXACT, "val": COUNTED, "test": COUNTED},
)


def families(worlds: list[int], samples: int) -> list[Family]:
    """The keys: in each world a narrow family and a deep one."""
    return [Family(world, *shape, samples) for world in worlds for shape in (NARROW, DEEP)]


def sensitivity(accuracies: Table) -> dict[str, float]:
    """By how much accuracy changes along k, the mean over e, and along e, the mean over k."""
    return {
        "by_k": float(np.ptp(accuracies.groupby("k").accuracy.mean())),
        "by_e": float(accuracies.groupby("k").accuracy.agg(np.ptp).mean()),
    }


def regrets_of_reuse(grids: Table) -> Table:
    """What the deep family's own best settings give more, on test images; a row a world.

    Settings are the best on validation images; of equals the smallest.
    """
    rows = []
    for world, part in grids.groupby("world"):
        best, deep = {}, {}
        for shape in (NARROW, DEEP):
            mine = part[(part.width == shape[0]) & (part.layers == shape[1])]
            mine = mine.sort_values(["k", "e"]).reset_index(drop=True)
            best[shape] = tuple(mine.loc[mine.val.idxmax(), ["k", "e"]])
            deep = mine.set_index(["k", "e"]).test
        row = {"world": world, "narrow": best[NARROW], "deep": best[DEEP]}
        row |= {"own": deep[best[DEEP]], "regret": deep[best[DEEP]] - deep[best[NARROW]]}
        rows.append(row | sensitivity(deep.rename("accuracy").reset_index()))
    return pd.DataFrame(rows)
