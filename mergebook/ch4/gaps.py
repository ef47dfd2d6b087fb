"""How far soups lie behind ensembles: scores of all methods, a row a group and number of models."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from mergebook.ch4.soups import RUNS, FineTuned
from mergebook.intervals import Interval, of_mean
from mergehelpers import averaging, evaluate

Table = pd.DataFrame
GROUP = ["network", "task", "start", "head", "rate", "count", "seed"]
# The paper's methods beside ours; the greedy rule is that of the text.
PAPER = {
    "best first": "greedy",
    "best first logits": "greedy logits",
    "best first features": "greedy features",
}
SEVEN = ("single", "uniform", "greedy", "logits", "features", "greedy logits", "greedy features")
NORMED = {"uniform": "as averaged", "recalibrated": "new moments", "train mode": "train mode"}
MODELS = 6  # of random numbers; each of them comes first once


def models_used(count: int, members: int) -> int:
    """How many models of a group are in its averages of so many: three sets of others, or fewer."""
    return members * min(RUNS, count // members)


def scores_of_methods(rows: Table, images: int, classes: int) -> Table:
    """The scores of each group by number of models: a column a method, as the paper names them.

    `rows` are those of `soups.AVERAGES`. `single` is the mean over the models that are averaged,
    `best` the test score of the one that is best on validation images, a mean over sets. `kept` is
    how many models the greedy soup holds; `images` how many test images there are, `chance` the
    accuracy of guessing, in percent.
    """
    out = []
    for group, own in rows.groupby(GROUP, sort=False):
        alone = own[own.method == "single"].sort_values("which")
        averages = own[own.method != "single"]
        wide = averages.pivot(index="members", columns="method", values="score")
        kept = averages[averages.method == "best first"].set_index("members").kept
        count = len(alone)
        for n, row in wide.sort_index().iterrows():
            used = alone.iloc[: models_used(count, n)]
            sets = [used.iloc[i : i + n] for i in range(0, len(used), n)]
            best = np.mean([part.score.iloc[int(part.val.argmax())] for part in sets])
            found = {"members": n, "single": used.score.mean(), "best": best, "kept": kept[n]}
            out.append(dict(zip(GROUP, group)) | row.dropna().to_dict() | found)
    return pd.DataFrame(out).rename(columns=PAPER).assign(images=images, chance=100 / classes)


def with_margins(table: Table) -> Table:
    """The same with differences, in points.

    `lead`: logits minus the best other of the paper's seven; `trail`: the lowest other minus the
    uniform soup. `gap`: logits minus the uniform soup, `greedy gap` minus the greedy one, `better
    gap` minus the better of both. `gain`: uniform soup minus single models; `greedy gain` so.
    `neutral`: features minus logits; `lent`: features minus those by the first model's classifier.
    """
    others = table[[m for m in SEVEN if m != "logits"]].max(axis=1)
    above = table[[m for m in SEVEN if m != "uniform"]].min(axis=1)
    soups = table[["uniform", "greedy"]].max(axis=1)
    out = {"lead": table.logits - others, "trail": above - table.uniform}
    out |= {"gap": table.logits - table.uniform, "greedy gap": table.logits - table.greedy}
    out |= {"better gap": table.logits - soups, "gain": table.uniform - table.single}
    out |= {"greedy gain": table.greedy - table.single, "neutral": table.features - table.logits}
    return table.assign(**out, lent=table.features - table["first head"])


def over_starts(
    table: Table, column: str, among: int = 1, by: str = "network", **where
) -> dict[str, Interval]:
    """`{network: interval}` of a difference of scores: its mean over starts, for these images.

    Student's t over starts, and never narrower than answers allow that no image here shows
    (`evaluate.missed`); `among` many have 95 % together. NaN bounds for fewer than two starts.
    """
    for name, value in where.items():
        table = table[table[name] == value]
    found = {}
    for name, part in table.groupby(by, sort=False):
        x = of_mean(part.sort_values("seed")[column], among)
        found[name] = no_narrower(x, part.images.min(), among)
    return found


def no_narrower(x: Interval, images: int, among: int = 1) -> Interval:
    """An interval that is no narrower than so many images allow."""
    least = evaluate.missed([int(images)], 0.025 / among)
    return Interval(x.value, min(x.low, x.value - least), max(x.high, x.value + least))


def change(table: Table, column: str, few: int, many: int) -> Table:
    """A column with `many` models minus with `few`, by group, in a column of the same name."""
    each = [*GROUP, "images"]
    wide = table.pivot(index=each, columns="members", values=column)
    wide = wide.reindex(columns=[few, many])
    return (wide[many] - wide[few]).rename(column).reset_index()


def beside_each(table: Table, column: str, few: int, many: int, **where) -> Table:
    """Networks as rows: a column's mean over starts with `few` and with `many` models."""
    for name, value in where.items():
        table = table[table[name] == value]
    wide = table.pivot_table(column, "network", "members", sort=False)
    return wide[[few, many]].set_axis(["few", "many"], axis=1).reset_index()


def as_shown(table: Table, columns: Iterable[str], **where) -> Table:
    """Columns' means over starts with intervals as text, a row a network."""
    found = {c: over_starts(table, c, **where) for c in columns}
    return pd.DataFrame({c: {n: f"{x:+.1f}" for n, x in v.items()} for c, v in found.items()})


# ------------------------------------------------------------------------------- one classifier


def order_table(seed: int, models: int = MODELS, images: int = 40, width: int = 12) -> Table:
    """How much ensembles of random features change when models change places, a row a draw.

    `mean` with the mean classifier, `first` with the first model's, relative to the scores' length;
    `covariance` is how far mean scores minus scores of mean features are from the covariance of
    classifiers and features over models.
    """
    g, rows = torch.Generator().manual_seed(seed), []

    def drawn(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    f, w, b = drawn(models, images, width), drawn(models, 10, width), drawn(models, 10)
    features, logits = averaging.ensemble_features(f, w, b), averaging.ensemble_logits(f, w, b)
    joint = torch.einsum("nik,nck->ic", f - f.mean(0), w - w.mean(0)) / models
    covariance = float((logits - features - joint).norm() / joint.norm())
    first = f.mean(0) @ w[0].T + b[0]
    for draw in range(1, models):
        order = torch.arange(models).roll(draw)
        again = averaging.ensemble_features(f[order], w[order], b[order])
        lent = f[order].mean(0) @ w[order[0]].T + b[order[0]]
        row = {"mean": float((again - features).norm() / features.norm())}
        row["first"] = float((lent - first).norm() / first.norm())
        rows.append({"draw": draw, "covariance": covariance} | row)
    return pd.DataFrame(rows)


def random_keys(mark: str, networks: Iterable[str], task: str, seeds: Iterable[int], **settings):
    """Keys of groups that begin with random weights of each model's own, trained as starts are."""
    given = {"start": "random", "rate": 0.002, "decay": 0.05, "epochs": 30, "count": 5}
    return [FineTuned(mark, n, task, seed=s, **given | settings) for n in networks for s in seeds]
