"""Trimming before the election, against the same election of everything, in large and small."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergebook.ch1.laboratory import COUNTED, EXACT, digits6
from mergebook.ch2.families import NETWORKS, opened_family
from mergebook.ch2.models import Merge, by_name, experiment, imprint, minus, model_of, unpacked
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, of_mean
from mergehelpers import evaluate

Table = pd.DataFrame
KEEPS = (0.2, 0.4, 0.6, 0.8)
SCALES = (0.5, 1.0, 2.0)
TRIMMED = {"TIES by tensor": "", "rows": "constant"}
WHOLE = "no trimming"
TRIMMING = experiment("trimming")
# Scale 1, as printed, and the one of `SCALES` that is best on validation inputs.
SCALED = {"scale 1": (1.0,), "best scale": SCALES}


def trim_grid(mark: str, **other) -> list[Merge]:
    """Every trim and every scale, and every scale without a trim."""
    return [
        Merge(mark, method, order, keep, scale=scale, **other)
        for scale in SCALES
        for method, order, keep in [
            *((m, o, k) for m, o in TRIMMED.items() for k in KEEPS),
            (WHOLE, "", 1.0),
        ]
    ]


def best(tried: Table) -> dict[tuple[str, str], dict]:
    """The settings of the best accuracy `val`, with and without a trim, at both scales.

    `tried` has a row of each setting of `trim_grid`; of equal ones the first of that list is taken.
    """
    out = {}
    for how, scales in SCALED.items():
        part = tried[tried.scale.isin(scales)]
        whole = part.method == WHOLE
        for name, rows in (("trimmed", part[~whole]), (WHOLE, part[whole])):
            found = rows.loc[rows.val.idxmax()]
            out[how, name] = {f: found[f] for f in ("method", "order", "keep", "scale")}
    return out


def chosen_trims(tried: Table, mark: str, **other) -> dict[tuple[str, str], Merge]:
    """The keys of the best settings of a suite, of rows of `TRIMMING` on validation inputs."""
    part = tried[tried.models == mark]
    val = [evaluate.percent([unpacked(right)]) for right in part.right]
    return {
        names: Merge(mark, **settings, **other)
        for names, settings in best(part.assign(val=val)).items()
    }


# ------------------------------------------------------------------------ the small networks


@dataclass(frozen=True)
class Grid:
    """The key of a family of small networks, and how many inputs a task choose and judge."""

    network: str
    seed: int
    val: int
    inputs: int


def family_trims(key: Grid) -> list[dict]:
    """Test accuracy of the best trim and of none, at scale 1 and at the best scale."""
    r = opened_family(key.network, key.seed)

    def percent(one, split, limit):
        return evaluate.percent([r.answers(model_of(r, one), split, limit=limit)])

    every = trim_grid(r.mark)
    tried = pd.DataFrame([vars(one) | {"val": percent(one, "val", key.val)} for one in every])
    rows = []
    for (how, name), settings in best(tried).items():
        one = Merge(r.mark, **settings)
        row = {"scaled": how, "treatment": name, "keep": one.keep, "scale": one.scale}
        row |= {"accuracy": percent(one, "test", key.inputs)}
        rows.append(digits6(row) | {"imprint": imprint(r.base, model_of(r, one))})
    return rows


SAID = dict.fromkeys(("scaled", "treatment", "keep", "scale"), Tolerance())
FAMILY_TRIMS = Experiment(
    "trimming in small networks",
    2,
    Grid,
    family_trims,
    SAID | {"accuracy": COUNTED, "imprint": EXACT},
)


def trim_keys(seeds: Sequence[int], val: int, inputs: int) -> list[Grid]:
    """A key of every family."""
    return [Grid(network, seed, val, inputs) for network in NETWORKS for seed in seeds]


# -------------------------------------------------------------------------------------- tables

COLUMNS = ["place", "kind", "scaled", "value", "low", "high", "freedom", "trimmed", "whole"]


def trim_gains(answers: Table, picks: dict[str, dict], families: Table, seed: int = 0) -> Table:
    """Points that the best trim gains over none, by place and by how the scale is chosen.

    `answers` are of test inputs, `picks[suite]` what `chosen_trims` gave. Intervals are bootstraps
    over test inputs, and Student's t over families, of `freedom`. `trimmed` and `whole` are
    accuracies in percent.
    """
    rows = []
    for suite, pick in picks.items():
        part = answers[answers.suite == suite]
        of = by_name(part, "method", "keep", "scale")
        for how in SCALED:
            mine, whole = (
                of[key.method, key.keep, key.scale]
                for key in (pick[how, "trimmed"], pick[how, WHOLE])
            )
            percents = evaluate.percent([mine]), evaluate.percent([whole])
            rows.append((suite, "suite", how, *minus(mine, whole, seed), np.inf, *percents))
    for (network, how), part in families.groupby(["network", "scaled"], sort=False):
        wide = part.pivot(index="seed", columns="treatment", values="accuracy")
        gain: Interval = of_mean(wide.trimmed - wide[WHOLE])
        percents = wide.trimmed.mean(), wide[WHOLE].mean()
        rows.append((network, "families", how, *gain, len(wide) - 1, *percents))
    return pd.DataFrame(rows, columns=COLUMNS)


def shown_trims(trims: Table) -> Table:
    """What `trim_gains` gives as text: a row of every place and scaling."""
    gains = [f"{Interval(t.value, t.low, t.high):+.1f}" for t in trims.itertuples()]
    percents = trims[["trimmed", "whole"]].map("{:.1f}".format)
    columns = {"trimmed": "best trim", "whole": "no trim"}
    table = percents.rename(columns=columns).assign(**{"best trim minus none": gains})
    return table.set_index(pd.MultiIndex.from_frame(trims[["place", "scaled"]]))
