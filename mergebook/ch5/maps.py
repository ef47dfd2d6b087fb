"""Maps of growing freedom from a model's features to the expert's (page 05c)."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mergebook.ch5.encoders import BASE, MERGES, Encoder, views
from mergebook.experiments import Experiment, Tolerance
from mergehelpers import alignment, plots

Table = pd.DataFrame
RIDGES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
# Frozen with the rows: a family of maps that is added to `alignment` is none of these.
FAMILIES = ("nothing", "translation", "scale", "rotation alone", "rotation", "similarity", "linear")


@dataclass(frozen=True)
class Mapped(Encoder):
    """The key of the maps from one model's features; `mixed` ones go with those of other inputs."""

    mixed: bool = False


def fitted(key: Mapped, sources: Mapping[str, str], device: str) -> list[dict]:
    """A row a family, fitted to pool and unlabelled inputs; its ridge is the best on validation.

    `error` is what is left on test inputs, over the expert's spread, `se` its standard error over
    them; `error_fit` the error on the inputs of the fit; `repaired` in percent the accuracy of
    the old head after the map.
    """
    v, rows = views(key, sources, device), []
    a, target = (torch.cat([side("train"), side("unlabelled")]) for side in (v.model, v.expert))
    if key.mixed:
        a = a[torch.randperm(len(a), generator=torch.Generator().manual_seed(key.seed))]
    x, y = v.model("test"), v.expert("test")
    for name in FAMILIES:
        tried = {r: alignment.FREEDOMS[name].fit(a, target, r) for r in RIDGES}
        on_val = {r: alignment.error(f(v.model("val")), v.expert("val")) for r, f in tried.items()}
        ridge = min(on_val, key=on_val.get)
        z = tried[ridge](x)
        each = (z - y).square().sum(1) / (y - y.mean(0)).square().sum(1).mean()
        right = v.head(z).argmax(1) == v.labels("test")
        rows.append(
            {
                "family": name,
                "error": round(alignment.error(z, y), 6),
                "se": round(float(each.std() / len(each) ** 0.5), 6),
                "error_fit": round(alignment.error(tried[ridge](a), target), 6),
                "repaired": round(100 * float(right.double().mean()), 6),
                "ridge": ridge,
            }
        )
    return rows


MAPS = Experiment(
    "maps to the experts",
    1,
    Mapped,
    fitted,
    {
        "family": Tolerance(),
        "error": Tolerance(1e-4, 4e-3),
        "se": Tolerance(1e-6, 4e-3),
        "error_fit": Tolerance(1e-4, 4e-3),
        "repaired": Tolerance(0.6),
        "ridge": Tolerance(),
    },
)


def map_keys(encoders, mixed: bool = False) -> list[Mapped]:
    """The keys of maps from these encoders."""
    return [Mapped(**vars(e), mixed=mixed) for e in encoders]


# ------------------------------------------------------------------------------------- from rows


def error_of(rows: Table, model: str, family: str, mixed: bool = False) -> tuple[float, float]:
    """The error of a family, the mean over tasks, and its standard error over test inputs."""
    of = rows[(rows.model == model) & (rows.family == family) & (rows.mixed == mixed)]
    return float(of.error.mean()), float(np.sqrt((of.se**2).sum()) / len(of))


def errors_and_accuracies(rows: Table) -> Table:
    """Error and accuracy of every family, means over tasks: a row a family, a column a model."""
    by = {"index": ["suite", "family"], "columns": "model", "sort": False}
    return rows[~rows.mixed].pivot_table(["error", "repaired"], **by)


def bars(rows: Table) -> Figure:
    """The error that each family leaves on test inputs, with its interval; a panel a suite."""
    suites, looks = (
        rows.suite.unique(),
        zip(("blue", "orange", "green", "grey"), ("", "//", "..", "xx")),
    )
    looks = dict(zip((*MERGES, BASE), looks))
    fig, axes = plt.subplots(len(suites), 1, figsize=(7, 3.2 * len(suites)), squeeze=False)
    for ax, suite in zip(axes[:, 0], suites):
        part = rows[(rows.suite == suite) & ~rows.mixed]
        for i, (model, (colour, hatch)) in enumerate(looks.items()):
            found = [error_of(part, model, f) for f in FAMILIES]
            at = np.arange(len(FAMILIES)) + 0.2 * (i - 1.5)
            look = {"color": plots.COLOURS[colour], "hatch": hatch, "edgecolor": "white"}
            ax.bar(at, *zip(*found), label=model, **look)
        ax.set_xticks(range(len(FAMILIES)), [f.replace(" ", "\n") for f in FAMILIES])
        ax.set(ylabel="error on test inputs", title=suite)
    axes[0, 0].legend(fontsize=9)
    return fig
