"""What the gain of M-TIES is made of: the same keep rates, dealt to the rows in other orders."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mergebook.ch1.laboratory import COUNTED, EXACT, digits6
from mergebook.ch2.families import NETWORKS, opened_family
from mergebook.ch2.models import Merge, by_name, experiment, imprint, model_of, unpacked
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, of_mean
from mergebook.page import OpenSuite
from mergehelpers import evaluate, plots

Table = pd.DataFrame
# (k, e): those that the paper prints, and rates from 0 to 0.4, where an order has every chance.
SETTINGS = {"printed": (0.8, 0.1), "wide": (0.4, 0.4)}
# Whose M-Loss deals the rates, and how rows are added then: as released, as in Algorithm 1, and
# the released method with the scores of Definitions 3.4 and 3.6.
READINGS = {
    "released": ("rows", "released"),
    "paper": ("line 22", "merged so far"),
    "own input": ("rows", "own input"),
    "normalised": ("rows", "normalised"),
}
CHANGES = ("short changes", "reversed short changes")
DEALT = {
    "rows": ("released", "own input", "normalised", "reversed released", *CHANGES, "even"),
    "line 22": ("merged so far", "reversed merged so far", "even"),
}
# An answer of 1,000 is 0.1 points.
CONTROLS = experiment("controls")


def draws_of(method: str, draws: int) -> range:
    """Random orders: `draws` as released, half as many with line 22, which is the slower one."""
    return range(draws if method == "rows" else (draws + 1) // 2)


def deals(mark: str, method: str, keep: float, spread: float, draws: int, **other) -> list[Merge]:
    """One multiset of keep rates a layer, dealt in every order; `other` are fields of `Merge`."""

    def key(order, draw=0):
        return Merge(mark, method, order, keep, spread, draw=draw, **other)

    return [key(order) for order in DEALT[method]] + [
        key("random", draw) for draw in draws_of(method, draws)
    ]


def ladder_of_gain(mark: str, keep: float, **other) -> list[Merge]:
    """TIES, the same tensor by tensor, and row by row."""
    methods = [("TIES", ""), ("TIES by tensor", ""), ("rows", "constant")]
    return [Merge(mark, *names, keep, **other) for names in methods]


def keys(r: OpenSuite, draws: int, samples: int, inputs: int) -> list[Merge]:
    """All controls of a suite, at both settings, and no trimming at all in both methods."""
    other = {"samples": samples, "inputs": inputs}
    out = [Merge(r.mark, method, "constant", 1.0, **other) for method in DEALT]
    for keep, spread in SETTINGS.values():
        out += ladder_of_gain(r.mark, keep, **other)
        for method in DEALT:
            out += deals(r.mark, method, keep, spread, draws, **other)
    return out


# ------------------------------------------------------------------------ the small networks


@dataclass(frozen=True)
class FamilyDeal:
    """The key of all orders of one method at one setting in a family of small networks."""

    network: str
    seed: int
    method: str
    keep: float
    spread: float
    draws: int
    samples: int
    inputs: int


def family_rows(key: FamilyDeal) -> list[dict]:
    """Mean accuracy over tasks of every order, and of no trimming."""
    r, rows = opened_family(key.network, key.seed), []
    other = {"samples": key.samples, "inputs": key.inputs}
    every = deals(r.mark, key.method, key.keep, key.spread, key.draws, **other)
    for one in [*every, Merge(r.mark, key.method, "constant", 1.0, **other)]:
        state = model_of(r, one)
        percent = evaluate.percent([r.answers(state, limit=one.inputs)])
        row = {"order": one.order, "draw": one.draw, "accuracy": percent}
        rows.append(digits6(row) | {"imprint": imprint(r.base, state)})
    return rows


FAMILIES = Experiment(
    "controls in small networks",
    2,
    FamilyDeal,
    family_rows,
    {"order": Tolerance(), "draw": Tolerance(), "accuracy": COUNTED, "imprint": EXACT},
)


def family_keys(seeds: Sequence[int], draws: int, samples: int, inputs: int) -> list[FamilyDeal]:
    """A quarter of the random orders of suites: here families are the sample."""
    return [
        FamilyDeal(network, seed, method, *setting, (draws + 3) // 4, samples, inputs)
        for network in NETWORKS
        for seed in seeds
        for method in DEALT
        for setting in SETTINGS.values()
    ]


# -------------------------------------------------------------------------------------- tables

UNTRIMMED = "no trimming"
# Orders by length, in words.
BY_LENGTH = dict(zip(CHANGES, ("short changes keep more", "long changes keep more")))
# What the order by M-Loss is compared with. The control of the page is `random`.
REVERSED = {"released": "reversed released", "merged so far": "reversed merged so far"}


def table_of_orders(answers: Table) -> Table:
    """Accuracy in percent by `suite`, `setting`, `method`, `order` and `draw`, of rows of CONTROLS.

    No trimming stands in each setting as the order `no trimming`; TIES has no order.
    """
    rows = []
    for one in answers.itertuples():
        order = UNTRIMMED if one.keep == 1 else one.order
        percent = evaluate.percent([unpacked(one.right)])
        for setting, (keep, _) in SETTINGS.items():
            if one.keep in (keep, 1):
                rows.append((one.suite, setting, one.method, order, one.draw, percent))
    return pd.DataFrame(rows, columns=["suite", "setting", "method", "order", "draw", "accuracy"])


def accuracies_of(dealt: Table) -> Table:
    """A row of every order but the random ones, a column of every suite and setting.

    `dealt` is what `table_of_orders` gives. Random orders have their mean, and the range of 95 % of
    them.
    """
    named = dealt[dealt.order != "random"].assign(
        name=lambda t: (t.method + ", " + t.order.replace(BY_LENGTH)).str.removesuffix(", ")
    )
    wide = named.pivot(index="name", columns=["suite", "setting"], values="accuracy")
    wide = wide.loc[named.name.drop_duplicates()].map("{:.2f}".format)
    chance = dealt[dealt.order == "random"].groupby(["method", "suite", "setting"], sort=False)
    for (method, *column), values in chance.accuracy:
        low, high = values.quantile([0.025, 0.975])
        wide.loc[f"{method}, random: mean", tuple(column)] = f"{values.mean():.2f}"
        wide.loc[f"{method}, random: 95 %", tuple(column)] = f"{low:.2f} to {high:.2f}"
    return wide.rename_axis(None)


def rivals_of(order: str) -> dict[str, str]:
    """The order of each control of an order by M-Loss."""
    return {"reversed": REVERSED[order]} if order in REVERSED else {}


def suite_gains(answers: Table, seed: int = 0) -> Table:
    """Points that the order by M-Loss gains, on every suite, setting and reading, over each rival.

    `random` is the mean of the random orders, and its interval holds their luck too; `percentile`
    says how many of them M-Loss is above, an equal one being half. Intervals are bootstraps over
    test inputs.
    """
    rows = []
    for (suite, keep), part in answers[answers.keep < 1].groupby(["suite", "keep"], sort=False):
        of = by_name(part, "method", "order", "draw")
        whole = by_name(answers[(answers.suite == suite) & (answers.keep == 1)], "method")
        setting = next(name for name, (k, _) in SETTINGS.items() if k == keep)
        for reading, (method, order) in READINGS.items():
            mine = of[method, order, 0]
            chance = [a for (m, o, _), a in of.items() if (m, o) == (method, "random")]
            found = {
                "random": evaluate.compare_runs([mine] * len(chance), chance, seed),
                "even": evaluate.compare(mine, of[method, "even", 0], seed),
                UNTRIMMED: evaluate.compare(mine, whole[method], seed),
            }
            for name, other in rivals_of(order).items():
                found[name] = evaluate.compare(mine, of[method, other, 0], seed)
            mean, others = evaluate.percent([mine]), [evaluate.percent([a]) for a in chance]
            above = np.mean([(mean > other) + (mean == other) / 2 for other in others])
            rows += [
                (suite, "suite", reading, setting, rival, *gap, np.inf, 100 * above)
                for rival, gap in found.items()
            ]
    return pd.DataFrame(rows, columns=GAIN)


# `freedom` is that of the law behind an interval: Student's t over families, else the normal law.
INTERVAL = ["value", "low", "high", "freedom"]
GAIN = ["place", "kind", "reading", "setting", "rival", *INTERVAL, "percentile"]


def family_gains(rows: Table) -> Table:
    """The same in the small networks: intervals are over families, by Student's t."""
    out = []
    names = {(k, e): setting for setting, (k, e) in SETTINGS.items()}
    for (network, keep, spread), part in rows.groupby(["network", "keep", "spread"], sort=False):
        by_order = part.groupby(["method", "order", "seed"]).accuracy.mean().unstack()
        for reading, (method, order) in READINGS.items():
            rivals = {"random": "random", "even": "even", UNTRIMMED: "constant"}
            for rival, other in (rivals | rivals_of(order)).items():
                gains = by_order.loc[method, order] - by_order.loc[method, other]
                place = network, "families", reading, names[keep, spread], rival
                out.append((*place, *of_mean(gains), len(gains) - 1, np.nan))
    return pd.DataFrame(out, columns=GAIN)


def shown_gains(gains: Table, rival: str = "random") -> Table:
    """Gains over one rival as text: a row of every reading and setting, a column of every place."""
    part = gains[gains.rival == rival]
    text = [f"{Interval(g.value, g.low, g.high):+.2f}" for g in part.itertuples()]
    wide = part.assign(text=text).pivot(
        index=["reading", "setting"], columns="place", values="text"
    )
    order = part[["reading", "setting"]].drop_duplicates().itertuples(index=False)
    return wide.loc[[tuple(row) for row in order], part.place.unique()].rename_axis(columns=None)


# -------------------------------------------------------------------------------------- figure

LOSS, BACK = ("M-Loss", "o", "red"), ("M-Loss reversed", "s", "blue")
MARKS = {
    "released": LOSS,
    "merged so far": LOSS,
    "own input": ("M-Loss, own input", "P", "pink"),
    "normalised": ("M-Loss, normalised", "X", "sky"),
    "reversed released": BACK,
    "reversed merged so far": BACK,
    CHANGES[0]: (BY_LENGTH[CHANGES[0]], "v", "orange"),
    CHANGES[1]: (BY_LENGTH[CHANGES[1]], "^", "green"),
    "even": ("even rates", "D", "black"),
}
HOW = {"rows": "released", "line 22": "paper"}  # the method of a row of dots


def strip(dealt: Table, seed: int = 0) -> Figure:
    """Accuracy of every order minus the mean of the random ones, a panel a suite and setting.

    `dealt` is what `table_of_orders` gives. Random orders are grey dots, the others have marks.
    """
    suites, rng = dealt.suite.unique(), np.random.default_rng(seed)
    size = {"figsize": (7.2, 1.8 + 2.4 * len(suites)), "squeeze": False}
    fig, axes = plt.subplots(len(suites), len(SETTINGS), sharex="col", sharey=True, **size)
    for (suite, setting), part in dealt.groupby(["suite", "setting"], sort=False):
        ax = axes[list(suites).index(suite), list(SETTINGS).index(setting)]
        for y, method in enumerate(HOW):
            of = part[part.method == method]
            chance = of[of.order == "random"].accuracy
            noise = rng.uniform(-0.3, -0.1, len(chance))
            ax.plot(chance - chance.mean(), noise - y, ".", color=plots.COLOURS["grey"])
            for i, one in enumerate(of[of.order.isin(MARKS)].itertuples()):
                name, shape, colour = MARKS[one.order]
                at = one.accuracy - chance.mean(), 0.06 * i - y
                ax.plot(*at, shape, color=plots.COLOURS[colour], label=name)
        ax.axvline(0, color=plots.COLOURS["grey"], linewidth=1, zorder=0)
        ax.set(title=f"{suite}: k = {SETTINGS[setting][0]:g}, e = {SETTINGS[setting][1]:g}")
        ax.set_yticks([-y for y in range(len(HOW))], HOW.values())
    named = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels())))
    grey = plt.Line2D([], [], linestyle="", marker=".", color=plots.COLOURS["grey"])
    named = {"random": grey} | named
    fig.legend(named.values(), named, loc="outside lower center", ncols=2)
    for ax in axes[-1]:
        ax.set_xlabel("points above the mean\nof the random orders")
    return fig
