"""Merges of all tasks but two, asked about the two (evidence page 03m)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from mergebook.ch3.baselines import Baseline, rules_asked
from mergebook.ch3.comparing import Trials, right_of
from mergebook.ch3.trials import (
    ADAMERGING,
    ADAMERGING_PP,
    FREE,
    OWN,
    SHARED,
    Trial,
    agreement_with_teachers,
    combined,
    experiment,
    graded,
    learn,
    stacked,
    tasks_of,
)
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval, t_quantile
from mergebook.page import OpenSuite, Page, opened
from mergehelpers import states

Table = pd.DataFrame

EXPERIMENT = experiment("more tasks")  # the search of step sizes, and sets of tasks
RULES = rules_asked("rules on some of the tasks")
LEARNERS = {"shared": SHARED, "one a layer": OWN}  # the text's, the released scripts'
LEARNT = LEARNERS | {
    "shared, shuffled": replace(SHARED, reads="statistics, shuffled"),
    "free coefficients": FREE,
    "AdaMerging": ADAMERGING,
    "AdaMerging++": ADAMERGING_PP,
}
UNTRAINED = ("Base", "Average", "Task arithmetic", "TIES")
RIVALS = ("Task arithmetic", "TIES", "AdaMerging", "AdaMerging++")  # those of Table 2
AS_LONG = "task arithmetic as long as {}"  # the plain sum of task vectors, scaled
COUNTERPARTS = {  # in mini8, of the pairs that Table 2 leaves out
    "MNIST and EuroSAT": ("mnist", "photos"),
    "RESISC45 and SVHN": ("street", "textures"),
}


def pairs_of(r: OpenSuite) -> list[tuple[str, str]]:
    """Every pair of tasks of a suite; raises `ValueError` if less than two would be merged."""
    if len(r.tasks) < 4:
        raise ValueError(f"suite {r.name} has {len(r.tasks)} tasks; to leave out two, this needs 4")
    return list(combinations(r.tasks, 2))


def without_pair(r: OpenSuite, number: int) -> str:
    """The names of all tasks but the pair of this number."""
    return " ".join(n for n in r.tasks if n not in pairs_of(r)[number])


def on_others(r: OpenSuite, key: Trial, state: states.State) -> dict[str, list[str]]:
    """Answers of a merge to the tasks of a trial, and to those left out."""
    seen = tasks_of(r, key)
    others = [n for n in r.tasks if n not in seen]
    return {
        "right": graded(r, state, seen, key.test_samples),
        "unseen": graded(r, state, others, key.test_samples),
    }


def left_out_row(key: Trial, sources: Mapping[str, str], device: str) -> dict:
    """A trial on some tasks: agreement and losses as in `trial_row`, and answers to all tasks."""
    r = opened(key, sources, device)
    found = learn(r, key)
    state = combined(r, key, found.coefficients)
    losses = np.array_split(found.trained.losses, min(10, len(found.trained.losses)))
    return {
        "agree": agreement_with_teachers(r, state, found.tasks, key.test_samples),
        "losses": [round(float(part.mean()), 5) for part in losses],
        **on_others(r, key, state),
    }


def same_length_row(key: Trial, sources: Mapping[str, str], device: str) -> dict:
    """Answers of the sum of task vectors, scaled to the length of a trial's merged change."""
    r = opened(key, sources, device)
    state = combined(r, key, learn(r, key).coefficients)
    total = {n: each.sum(0) for n, each in stacked(r, tasks_of(r, key), key.vectors).items()}
    scale = states.norm(states.task_vector(r.base, state)) / states.norm(total)
    return {"scale": scale, **on_others(r, key, states.apply(r.base, total, scale))}


ANSWERS = {"right": Tolerance(absolute=0.01), "unseen": Tolerance(absolute=0.01)}
LEFT_OUT = Experiment(
    "tasks left out",
    1,
    Trial,
    left_out_row,
    {"agree": Tolerance(absolute=0.5), "losses": Tolerance(relative=2e-3), **ANSWERS},
)
SAME_LENGTH = Experiment(
    "as long as a merge", 1, Trial, same_length_row, {"scale": Tolerance(relative=5e-3), **ANSWERS}
)


@dataclass(frozen=True)
class Splits:
    """All splits of a suite's tasks, each learnt with a seed of its own.

    `methods` are at the step sizes that are best for all tasks together.
    """

    page: Page
    r: OpenSuite
    methods: Mapping[str, Trial]
    seed: int = 0

    def keys(self, trial: Trial) -> list[Trial]:
        """The trial on each split."""
        return [
            replace(trial, models=self.r.mark, tasks=without_pair(self.r, i), seed=self.seed + i)
            for i in range(len(pairs_of(self.r)))
        ]

    def rows(self, kind: Experiment, keys: Sequence) -> Table:
        """Rows of an experiment, in the order of the keys."""
        sources = {self.r.mark: self.r.source}
        return self.page.table(kind, keys, sources=sources, device=self.page.device)

    def answers(self, inputs: int) -> Table:
        """Answers of every method on every split: `what`, `pair`, `right` and `unseen`."""
        numbers = range(len(pairs_of(self.r)))
        parts = {n: self.rows(LEFT_OUT, self.keys(t)) for n, t in self.methods.items()}
        for n in LEARNERS:
            keys = self.keys(self.methods[n])
            parts[AS_LONG.format(n)] = self.rows(SAME_LENGTH, keys)
        for rule in UNTRAINED:
            keys = [
                Baseline(self.r.mark, rule, without_pair(self.r, i), test_samples=inputs)
                for i in numbers
            ]
            parts[rule] = self.rows(RULES, keys)
        pairs = [" ".join(pair) for pair in pairs_of(self.r)]
        named = [t.assign(what=n, pair=pairs)[["what", "pair", *ANSWERS]] for n, t in parts.items()]
        return pd.concat(named, ignore_index=True)


def searched_methods(runs: Trials, steps: int, samples: int, inputs: int) -> dict[str, Trial]:
    """The trained methods at the step sizes that suit all tasks of the suite best."""
    given = {"steps": steps, "count": samples, "test_samples": inputs}
    best = runs.searched({n: replace(t, **given) for n, t in LEARNT.items()})
    return {n: best[n] for n in LEARNT}


def accuracy_of_splits(answers: Table) -> Table:
    """Accuracies in percent: what × pair, on the tasks merged and on those left out."""
    rows = [
        (row.what, row.pair, *(percent_right(getattr(row, part)) for part in ANSWERS))
        for row in answers.itertuples()
    ]
    return pd.DataFrame(rows, columns=["what", "pair", "merged", "left out"])


def percent_right(packed: Sequence[str]) -> float:
    """Mean accuracy over tasks, in percent, of one row's packed answers."""
    table = pd.DataFrame({"what": [""], "right": [list(packed)]})
    return 100 * float(np.mean([task.mean() for task in right_of(table, "")]))


def of_item_pairs(pairs: Sequence[str], values: Sequence[float], among: int = 1) -> Interval:
    """The mean of values of pairs of items, with an interval that knows which pairs share an item.

    It is the jackknife over items: each is left out with all its pairs. Student's t with one less
    than the number of items; `among` many intervals have 95 % together (Bonferroni). Raises
    `ValueError` for fewer than three items.
    """
    values, split = np.asarray(values, float), [set(pair.split()) for pair in pairs]
    items = sorted(set().union(*split))
    if len(items) < 3:
        raise ValueError(f"a jackknife over items needs three, got {len(items)}")
    left = np.array([values[[item not in pair for pair in split]].mean() for item in items])
    count, mean = len(items), float(values.mean())
    error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    half = t_quantile(count - 1, among) * error
    return Interval(mean, float(mean - half), float(mean + half))


def split_leads(scores: Table, part: str = "left out") -> Table:
    """Each learner minus every method beside it over all splits, with intervals over tasks.

    `all_low` and `all_high` have 95 % for a learner's rows against `RIVALS` together.
    """
    wide = scores.pivot(index="pair", columns="what", values=part)
    others = [n for n in dict.fromkeys(scores.what) if n not in LEARNERS]
    rows = []
    for what in LEARNERS:
        foreign = [AS_LONG.format(n) for n in LEARNERS if n != what]  # as long as the other's merge
        for over in (n for n in others if n not in foreign):
            gaps = wide[what] - wide[over]
            one, all_ = (of_item_pairs(list(wide.index), gaps, k) for k in (1, len(RIVALS)))
            rows.append((what, over, *one, all_.low, all_.high))
    columns = ["what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


def split_table(scores: Table, leads: Table, merged: Table) -> Table:
    """Mean accuracies over splits, and the learners' leads on the tasks left out, as text."""
    means = scores.groupby("what", sort=False)[["merged", "left out"]].mean().round(1)
    for part, table in (("merged", merged), ("left out", leads)):
        for learner, rows in table.groupby("what", sort=False):
            said = {
                row.over: f"{Interval(row.value, row.low, row.high):+.1f}"
                for row in rows.itertuples()
            }
            means[f"{learner}, {part}"] = means.index.map(said).fillna("")
    return means
