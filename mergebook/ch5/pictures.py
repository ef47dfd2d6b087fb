"""Figures of the protocols and their controls (pages 05b, 05f and 05g)."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mergebook.ch5.asking import FT, HEAD, accuracy_of
from mergebook.ch5.encoders import BASE, MERGES
from mergebook.ch5.leaking import OTHER, OWN, lead_of_own, part_of_halves
from mergebook.protocols import EXPERT
from mergehelpers import plots

Table = pd.DataFrame
COLOURS = dict(zip((*MERGES, BASE, EXPERT), ("blue", "orange", "green", "grey", "black")))
LINES = dict(zip(COLOURS, ("-", "--", "-.", (0, (1, 1)), (0, (5, 1)))))


def panels(rows: Table, height: float = 3.6):
    """A figure with a panel a suite: `(figure, [(suite, its rows, axes)])`."""
    suites = list(rows.suite.unique())
    fig, axes = plt.subplots(1, len(suites), figsize=(2.9 * len(suites) + 1, height), squeeze=False)
    return fig, [(s, rows[rows.suite == s], ax) for s, ax in zip(suites, axes[0])]


def by_inputs(rows: Table, way: str, amounts: Sequence[str], split: str = "train") -> Figure:
    """Accuracy of a protocol by the number of inputs, with the old heads as thin dotted lines."""
    fig, parts = panels(rows)
    numbers = [int(a.partition("=")[2]) for a in amounts]
    for suite, part, ax in parts:
        for m, colour in COLOURS.items():
            shade = plots.COLOURS[colour]
            found = [accuracy_of(part, m, way, amount, split) for amount in amounts]
            ax.plot(numbers, found, color=shade, ls=LINES[m], marker="o", ms=4, label=m)
            ax.axhline(accuracy_of(part, m, HEAD), color=shade, lw=1, ls=":")
        ax.set(title=suite, xscale="log")
        ax.set_xticks(numbers, [str(n) for n in numbers])
        ax.minorticks_off()
    parts[0][2].set_ylabel("mean test accuracy, %")
    each = "inputs of each class" if amounts[0].startswith("k") else "inputs of a task"
    fig.supxlabel(each, fontsize=11)
    fig.legend(*parts[0][2].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def before_and_after(rows: Table, models: Sequence[str], amount: str = "k=5") -> Figure:
    """Accuracy under the old head and after FT-Classifier, a line a model, a panel a suite."""
    fig, parts = panels(rows, 3.2)
    for suite, part, ax in parts:
        there = [m for m in models if m in set(part.model)]
        for y, m in enumerate(there):
            old, new = accuracy_of(part, m, HEAD), accuracy_of(part, m, FT, amount)
            ax.plot([old, new], [y, y], color=plots.COLOURS["grey"], zorder=1)
            ax.plot(old, y, "s", color="black", label="old head" if not y else None)
            ax.plot(new, y, "o", color=plots.COLOURS["blue"], label=FT if not y else None)
        ax.axvline(accuracy_of(part, EXPERT, HEAD), color="black", ls="--", lw=1)
        ax.set_yticks(range(len(there)), there if ax is parts[0][2] else [""] * len(there))
        ax.invert_yaxis()
        ax.set_title(suite)
    fig.supxlabel("mean test accuracy, % (dashed: experts)", fontsize=11)
    fig.legend(*parts[0][2].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def own_and_others(rows: Table, models: Sequence[str], way: str) -> Figure:
    """Accuracy on inputs that trained a repair and on others, of the largest amount."""
    fig, parts = panels(rows, 3.2)
    looks = {
        "old": ("old head", "black", "s"),
        OTHER: ("other inputs", "blue", "o"),
        OWN: ("inputs that trained it", "red", "^"),
    }
    for suite, part, ax in parts:
        for name, (label, colour, marker) in looks.items():
            found = [
                100 * np.mean([x.mean() for x in part_of_halves(part, m, way, name)])
                for m in models
            ]
            shade = plots.COLOURS.get(colour, colour)
            ax.plot(found, range(len(models)), marker, color=shade, ms=8, label=label)
        top = 100 * np.mean([x.mean() for x in part_of_halves(part, models[0], way, "expert")])
        ax.axvline(top, color="black", ls="--", lw=1)
        ax.set_yticks(range(len(models)), models if ax is parts[0][2] else [""] * len(models))
        ax.invert_yaxis()
        ax.set_title(suite)
    fig.supxlabel("mean accuracy, % (dashed: experts)", fontsize=11)
    fig.legend(*parts[0][2].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def leads_by_share(rows: Table, way: str) -> Figure:
    """The lead on own inputs by inputs over dimensions, with its interval; a line a study."""
    fig, ax = plt.subplots(figsize=(6.6, 3.6))
    shades = [plots.COLOURS[c] for c in ("blue", "orange", "green", "red", "grey", "pink")]
    of = rows[rows.way == way]
    for i, ((suite, split, model), part) in enumerate(of.groupby(["suite", "split", "model"])):
        ns = sorted(part.amount.unique())
        found = [lead_of_own(part, model, way, n) for n in ns]
        at = [n / part.width.iloc[0] for n in ns]
        ends = [[x.value - x.low for x in found], [x.high - x.value for x in found]]
        look = {"color": shades[i % len(shades)], "marker": "osD^v"[i % 5], "capsize": 3}
        name = f"{suite}, {model}" + (", one task" if split == "train" else "")
        ax.errorbar(at, [x.value for x in found], ends, label=name, **look)
    ax.axhline(0, color="black", lw=1)
    ax.set(xscale="log", xlabel="inputs that train, over dimensions", ylabel="lead on own, points")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig
