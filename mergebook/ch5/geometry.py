"""How far features of two encoders are apart, how alike, how well they cluster (page 05c)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from torch import Tensor

from mergebook.ch5.encoders import Encoder, views
from mergebook.experiments import Experiment, Tolerance
from mergehelpers import alignment

Table = pd.DataFrame
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # of the probe for classes; validation inputs choose
ANSWERED, EXACTLY = Tolerance(0.6), Tolerance(0.2)  # points; an answer of 400 is 0.25
MEASURED = Tolerance(1e-4, 4e-3)


def told_apart(x: Tensor, y: Tensor) -> float:
    """Accuracy in percent of a linear probe that tells two encoders' features of the same inputs.

    It learns from the first half of the inputs and is asked about the others.
    """
    half = len(x) // 2
    first = torch.cat([x[:half], y[:half]]).numpy(), np.repeat([0, 1], half)
    probe = LogisticRegression(C=1.0, max_iter=2000).fit(*first)
    right = [probe.predict(z[half:].numpy()) == i for i, z in enumerate((x, y))]
    return 100 * float(np.mean(right))


def beside_expert(key: Encoder, sources: Mapping[str, str], device: str) -> dict:
    """How a model's features of a task's test inputs differ from the expert's.

    `told` in percent; `shift`: distance of the means over the expert's spread; `size`: spread over
    the expert's; `cka`; `shared`: share of the ten nearest neighbours; `under_head` in percent.
    """
    v = views(key, sources, device)
    x, y = v.model("test"), v.expert("test")
    unit, own = ((z - z.mean(0)).square().sum(1).mean().sqrt() for z in (y, x))
    right = v.head(x).argmax(1) == v.labels("test")
    return {
        "told": round(told_apart(x / unit, y / unit), 6),
        "shift": round(float((x.mean(0) - y.mean(0)).norm() / unit), 6),
        "size": round(float(own / unit), 6),
        "cka": round(alignment.likeness(x, y), 6),
        "shared": round(alignment.shared_neighbours(x, y), 6),
        "under_head": round(100 * float(right.double().mean()), 6),
    }


APART = Experiment(
    "features beside the experts",
    1,
    Encoder,
    beside_expert,
    {"told": ANSWERED, "under_head": EXACTLY}
    | dict.fromkeys(("shift", "size", "cka", "shared"), MEASURED),
)


def clustered(key: Encoder, sources: Mapping[str, str], device: str) -> dict:
    """How well a model's own features of test inputs cluster by class.

    `silhouette`; `five`, `probe`: accuracy in percent of five labelled neighbours, and of logistic
    regression, which both learn from the pool.
    """
    v = views(key, sources, device)
    pool = v.model("train")
    centre, parts = pool.mean(0), {}
    unit = (pool - centre).square().sum(1).mean().sqrt()
    for split in ("train", "val", "test"):
        parts[split] = ((v.model(split) - centre) / unit).numpy(), v.labels(split).numpy()
    (x, y), (z, w) = parts["train"], parts["test"]
    tried = [LogisticRegression(C=c, max_iter=3000).fit(x, y) for c in STRENGTHS]
    best = max(tried, key=lambda p: p.score(*parts["val"]))
    votes = alignment.vote(*(torch.as_tensor(a) for a in (z, x, y)), v.classes, 5).argmax(1)
    return {
        "silhouette": round(float(silhouette_score(z, w)), 6),
        "five": round(100 * float((votes.numpy() == w).mean()), 6),
        "probe": round(100 * float(best.score(z, w)), 6),
    }


CLUSTERED = Experiment(
    "clusters of features",
    1,
    Encoder,
    clustered,
    {"silhouette": MEASURED, "five": ANSWERED, "probe": ANSWERED},
)


# ------------------------------------------------------------------------------------- from rows


def on_tasks(rows: Table, model: str, measure: str, tasks: Sequence[str]) -> np.ndarray:
    """One number of a model on each of these tasks, (tasks,)."""
    return rows[rows.model == model].set_index("task")[measure].loc[list(tasks)].to_numpy()


def means_over_tasks(rows: Table, controlled: str = "") -> Table:
    """Means over tasks, a row a suite and model; over tasks that the model `controlled` has."""
    if controlled:
        there = rows[rows.model == controlled][["suite", "task"]]
        rows = rows.merge(there)
    numbers = [name for name in rows.columns if rows[name].dtype == float]
    numbers = [name for name in numbers if name not in ("keep", "scale")]
    return rows.groupby(["suite", "model"], sort=False)[numbers].mean()
