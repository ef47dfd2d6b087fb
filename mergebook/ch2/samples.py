"""Tables 2, 3, 5 and 6 and Figure 3: how many inputs, which draw, which layers, which settings."""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from mergebook import ledger
from mergebook.ch2.models import UNEVEN, Answers, Merge, experiment, model_of, rates, unpacked
from mergebook.ch2.rules import apart
from mergebook.intervals import Interval
from mergebook.page import OpenSuite
from mergehelpers import evaluate

Table = pd.DataFrame
RUNS = experiment("draws and layers")
FEW_DRAWS = 3  # of a sample size that is not the page's own
FEWEST, FOUR_TIMES = 2, 4  # inputs a task; Table 2 goes from a size to four times as many

# ------------------------------------------------------------------------------- what is merged


def most_inputs(r: OpenSuite) -> int:
    """The unlabelled inputs that each task has."""
    return min(len(r.suite.task(t).inputs["unlabelled"]) for t in r.tasks)


def sample_sizes(r: OpenSuite, samples: int) -> list[int]:
    """Unlabelled inputs a task: very few, the page's own, four times as many, and all."""
    most = most_inputs(r)
    return sorted({min(n, most) for n in (FEWEST, samples, FOUR_TIMES * samples, most)})


def drawn_sizes(r: OpenSuite, samples: int, draws: int) -> list[tuple[int, int]]:
    """Each size with the numbers of its draws; all inputs can be drawn in one way."""
    count = {samples: draws, most_inputs(r): 1}
    sizes = sample_sizes(r, samples)
    return [(n, draw) for n in sizes for draw in range(count.get(n, FEW_DRAWS))]


def layer_sets(r: OpenSuite) -> dict[str, list[str]]:
    """The paper's sets of scheduled layers by relative depth, a quarter each, and the middle."""
    sites = r.backbone.sites()
    width = max(1, round(len(sites) / 4))
    last, start = sites[-1 - width : -1] or sites[-1:], (len(sites) - width) // 2
    return {
        "all": sites,
        "first, last": list(dict.fromkeys((sites[0], *last))),
        "last": last,
        "middle": sites[start : start + width],
    }


def runs(
    r: OpenSuite, draws: int, inputs: int, keep: float, spread: float, scale: float, samples: int
) -> list[Merge]:
    """The keys of a suite: every size and draw, random orders, masks, sets of layers, and none."""
    model = partial(Merge, r.mark, keep=keep, scale=scale, inputs=inputs)
    rows = partial(model, "rows", spread=spread)
    keys = [rows("released", samples=n, draw=draw) for n, draw in drawn_sizes(r, samples, draws)]
    for draw in range(draws):
        keys += [rows("random", draw=draw), model("DARE", draw=draw)]
    keys.append(rows(f"released{UNEVEN}", samples=samples))
    for name, sites in layer_sets(r).items():
        if name != "all":
            keys.append(rows("released", samples=samples, layers=",".join(sites)))
    return [*dict.fromkeys(keys), model("TIES by tensor")]


def with_sets(answers: Table, suites: Sequence[OpenSuite]) -> Table:
    """The answers with the name of the set of scheduled layers; TIES by tensor has none."""
    name = {
        (r.name, ",".join(sites)): label
        for r in suites
        for label, sites in reversed(layer_sets(r).items())
    }
    found = [
        "none" if row.method == "TIES by tensor" else name.get((row.suite, row.layers), "all")
        for row in answers.itertuples()
    ]
    return answers.assign(scheduled=found)


KEEPS, SPREADS = (0.2, 0.4, 0.6, 0.8), (0.0, 0.1, 0.2)


def settings(r: OpenSuite, scale: float, samples: int, inputs: int) -> list[Merge]:
    """The keys of M-TIES on a grid of k and e."""
    return [
        Merge(r.mark, "rows", "released", k, e, scale, samples, inputs=inputs)
        for k in KEEPS
        for e in SPREADS
    ]


def setting_accuracies(answers: Table) -> Table:
    """Accuracy in percent at each k and e of the grid."""
    found = [evaluate.percent([unpacked(right)]) for right in answers.right]
    return pd.DataFrame({"k": answers.keep, "e": answers.spread, "accuracy": found})


def released_draws() -> Table:
    """What the released script draws for each scored layer: batches, and inputs in each."""
    fact = next(fact for fact in ledger.released() if fact["id"] == "mties-sample-draws")
    batches, size = re.search(r"(\d+) batches of (\d+) images", fact["code"]).groups()
    return pd.DataFrame({"batches": [int(batches)], "size": [int(size)]})


def released_settings() -> Table:
    """What the public logs say of the settings of the printed rows of ViT-L/14."""
    facts = [fact for fact in ledger.released() if fact["id"] == "mties-l14-settings"]
    return pd.DataFrame([(f["relation"], f["code"]) for f in facts], columns=["relation", "code"])


# -------------------------------------------------------------------------- what is read off them


def runs_with(answers: Table, **values) -> list[Answers]:
    """Answers of the rows with these values, by size and draw."""
    rows = answers.sort_values(["samples", "draw"])
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return [unpacked(right) for right in rows.right]


# What is drawn anew: the inputs of the score, the random order, the mask.
DRAWN = {
    "M-TIES": {"method": "rows", "order": "released", "scheduled": "all"},
    "random order": {"method": "rows", "order": "random"},
    "DARE": {"method": "DARE"},
    "TIES": {"method": "TIES by tensor"},
}


def own_size(answers: Table) -> int:
    """The inputs a task of the page: the uneven sample has as many on average."""
    return answers.samples[answers.order == f"released{UNEVEN}"].iloc[0]


def mean_gap(a: Sequence[Answers], b: Sequence[Answers], seed: int = 0) -> Interval:
    """Mean accuracy of some runs minus others', points; runs and inputs are resampled."""
    pairs = max(len(a), len(b))
    a, b = (list(runs) * (pairs if len(runs) == 1 else 1) for runs in (a, b))
    return Interval(*evaluate.compare_runs(a, b, seed))


def size_gaps(answers: Table, seed: int = 0) -> Table:
    """For every suite and size, accuracy over its draws, and all inputs minus it."""
    rows = []
    for suite, part in answers.groupby("suite", sort=False):
        mine = part[(part.order == "released") & (part.scheduled == "all")]
        whole = runs_with(mine, samples=mine.samples.max())
        for n in sorted(mine.samples.unique()):
            few = runs_with(mine, samples=n)
            each = [evaluate.percent([run]) for run in few]
            gap = mean_gap(whole[:1], few, seed)
            row = (suite, n, mine.samples.max(), len(few), min(each), np.mean(each), max(each), gap)
            rows.append(row)
    names = ["suite", "inputs", "most", "draws", "lowest", "mean", "highest", "gap"]
    return pd.DataFrame(rows, columns=names)


def random_accuracies(answers: Table, suite: str) -> np.ndarray:
    """Mean accuracy in percent of each random order on one suite."""
    found = runs_with(answers[answers.suite == suite], **DRAWN["random order"])
    return np.array([evaluate.percent([run]) for run in found])


def of_deviation(values: Sequence[float], step: float = 0.0) -> Interval:
    """The standard deviation of repetitions, by chi-square; NaN bounds for fewer than two."""
    values = np.asarray(list(values), float)
    found = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return around_deviation(found, len(values), 1, step)


def around_deviation(found: float, draws: int, among: int = 1, step: float = 0.0) -> Interval:
    """The deviation of so many draws with its interval, one of `among` (Bonferroni).

    Where draws change an answer or none the law is far from normal; so the upper end is no less
    than `step`, what one answer is worth.
    """
    free, tail = draws - 1, 0.025 / among
    if free < 1:
        return Interval(*[float("nan")] * 3)
    low, high = (found * np.sqrt(free / stats.chi2.ppf(p, free)) for p in (1 - tail, tail))
    return Interval(found, float(low), max(float(high), step))


def one_answer(runs: Sequence[Answers]) -> float:
    """What one answer of the smallest task is worth in the mean over tasks, in points."""
    return max(100 / len(run) / min(map(len, run.values())) for run in runs)


def noise_of_testing(runs: Sequence[Answers]) -> float:
    """The binomial standard error of the mean over tasks of one model, in points; mean of runs."""
    each = [
        np.sqrt(np.sum([np.var(np.asarray(a, float)) / len(a) for a in run.values()])) / len(run)
        for run in runs
    ]
    return 100 * float(np.mean(each))


def deviations(answers: Table) -> Table:
    """Standard deviation over draws of mean accuracy, for what is drawn anew, with test noise.

    `step` is what one answer is worth.
    """
    rows, samples = [], own_size(answers)
    for suite, part in answers.groupby("suite", sort=False):
        for name, values in DRAWN.items():
            size = {"samples": samples} if name == "M-TIES" else {}
            found = runs_with(part, **values, **size)
            step = one_answer(found)
            each = of_deviation([evaluate.percent([run]) for run in found], step)
            rows.append((suite, name, len(found), each, noise_of_testing(found), step))
    return pd.DataFrame(rows, columns=["suite", "model", "draws", "deviation", "noise", "step"])


def redrawn(r: OpenSuite, keep: float, scale: float) -> Table:
    """By how much a second draw moves the weights of TIES, and of DARE, largest entry."""
    rows = []
    for name in ("TIES", "DARE"):
        method = DRAWN[name]["method"]
        keys = [Merge(r.mark, method, keep=keep, scale=scale, draw=draw) for draw in (0, 1)]
        rows.append((r.name, name, apart(*(model_of(r, key) for key in keys))))
    return pd.DataFrame(rows, columns=["suite", "model", "moved"])


# ------------------------------------------------------------------------- what few layers change


def layer_changes(r: OpenSuite, keep: float, spread: float, scale: float, samples: int) -> Table:
    """What few-layer M-TIES does to each scored layer; `named` are the first and the last few.

    The number of its keep rates, the share of its entries that move from the base, and the share
    that would be others if nothing were trimmed.
    """
    first_last = layer_sets(r)["first, last"]
    few = ",".join(first_last)
    key = Merge(r.mark, "rows", "released", keep, spread, scale, samples, layers=few)
    made, whole = (model_of(r, k) for k in (key, Merge(r.mark, "no trimming", scale=scale)))
    given, rows = rates(r, key), []
    for site in r.backbone.sites():
        name = r.backbone.weight_name(site)
        count = given[name].unique().numel() if name in given else 1
        moved, trimmed = (
            (made[name] != other[name]).double().mean().item() for other in (r.base, whole)
        )
        rows.append((r.name, site in first_last, count, moved, trimmed))
    return pd.DataFrame(rows, columns=["suite", "named", "rates", "moved", "trimmed"])
