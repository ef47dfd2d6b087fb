"""From two tasks to all of a suite: who stays ahead, and who loses more (evidence page 03m)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mergebook.ch3.baselines import Baseline
from mergebook.ch3.comparing import Trials, lead
from mergebook.ch3.left_out import LEARNERS, RULES, percent_right
from mergebook.ch3.printed import PLUS, by_network
from mergebook.ch3.trials import Trial
from mergebook.intervals import Interval, of_mean, t_quantile
from mergebook.page import OpenSuite, Page

Table = pd.DataFrame

PRINTED = ("Average", "Task arithmetic", "TIES", "RegMean")  # rules as in Table 3
LEARNT_TOO = ("free coefficients", "AdaMerging++")
TASK_COUNTS = (2, 4, 6)


def sets_of_tasks(r: OpenSuite, seed: int, sets: int) -> dict[int, list[str]]:
    """`{number of tasks: random sets of so many}`, and all tasks of the suite, `sets` times."""
    g, count = np.random.default_rng(seed), len(r.tasks)
    drawn = {
        size: [
            " ".join(r.tasks[j] for j in sorted(g.choice(count, size, replace=False)))
            for _ in range(sets)
        ]
        for size in TASK_COUNTS
        if size < count
    }
    return drawn | {count: [""] * sets}


@dataclass(frozen=True)
class Growing:
    """All methods on the same sets of tasks.

    With all tasks, what learns has the step size of `methods`. With fewer it is searched by the
    same rule on the first sets of that size, as many as the search has seeds.
    """

    page: Page
    runs: Trials
    methods: Mapping[str, Trial]
    sets: Mapping[int, Sequence[str]]

    def searched(self) -> dict[int, dict[str, Trial]]:
        """What learns at its step size, by the number of tasks."""
        named, found = {n: self.methods[n] for n in (*LEARNERS, *LEARNT_TOO)}, {}
        for size, each in self.sets.items():
            places = [
                {"tasks": names, "seed": self.runs.seed + i}
                for i, names in enumerate(each[: self.runs.searches])
            ]
            found[size] = self.runs.searched(named, places=places) if each[0] else named
        return found

    def answers(self, inputs: int) -> Table:
        """A row a method, number of tasks and set: `size`, `set`, `what`, `rate`, `right`."""
        r, parts, best = self.runs.r, [], self.searched()
        places = [(size, i, s) for size, each in self.sets.items() for i, s in enumerate(each)]
        index = pd.DataFrame(places, columns=["size", "set", "names"])
        for what in (*LEARNERS, *LEARNT_TOO):
            keys = [
                replace(best[size][what], tasks=names, seed=self.runs.seed + i)
                for size, i, names in places
            ]
            rows = self.runs.rows(keys)
            parts.append(index.assign(what=what, rate=rows.rate, right=rows.right))
        for rule in PRINTED:
            keys = [Baseline(r.mark, rule, names, test_samples=inputs) for _, _, names in places]
            known = self.page.table(
                RULES, keys, sources={r.mark: r.source}, device=self.page.device
            ).set_index("tasks")
            right = [known.right[names] for _, _, names in places]
            parts.append(index.assign(what=rule, right=right))
        return pd.concat(parts, ignore_index=True)


def scores_by_count(answers: Table) -> Table:
    """Accuracy in percent of each method on each set."""
    return answers.assign(accuracy=[percent_right(right) for right in answers.right])


def leads_by_count(answers: Table) -> Table:
    """Each learner minus every other method for each number of tasks, in points.

    Of random sets: Student's t over sets. Of all tasks, the same in each repetition: over
    repetitions and inputs, as `comparing.lead`. `all_low` and `all_high` have 95 % for all rows of
    a learner. `searched`: whether step sizes were searched for that number of tasks.
    """
    scores, rows = scores_by_count(answers), []
    sizes, others = list(dict.fromkeys(scores["size"])), [*LEARNT_TOO, *PRINTED]
    wide = scores.pivot(index=["size", "set"], columns="what", values="accuracy")
    among = len(sizes) * len(others)
    for what in LEARNERS:
        for over in others:
            for size in sizes:
                if size == max(sizes):
                    part = answers[answers["size"] == size]
                    one, all_ = (lead(part, what, over, k) for k in (1, among))
                else:
                    gaps = (wide[what] - wide[over])[size]
                    one, all_ = of_mean(gaps), widened(gaps, among)
                rows.append((what, over, size, *one, all_.low, all_.high, True))
    columns = ["what", "over", "size", "value", "low", "high", "all_low", "all_high", "searched"]
    return pd.DataFrame(rows, columns=columns)


def widened(values: Sequence[float], among: int) -> Interval:
    """`of_mean`, as one of `among` intervals that have 95 % together."""
    mean, low, high = of_mean(values)
    if np.isnan(low):
        return Interval(mean, low, high)
    freedom = len(values) - 1
    times = t_quantile(freedom, among) / t_quantile(freedom)
    return Interval(mean, mean - times * (mean - low), mean + times * (high - mean))


def fitted_slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of y over x by least squares, and its standard error."""
    from_mean = x - x.mean()
    slope = from_mean @ y / (from_mean @ from_mean)
    left = y - y.mean() - slope * from_mean
    return slope, np.sqrt(left @ left / (len(x) - 2) / (from_mean @ from_mean))


def slopes_of_leads(answers: Table) -> Table:
    """What each learner gains on every other method with one more task, in points.

    Least squares over all sets, with Student's t; above zero the rival loses more. `all_low` and
    `all_high` have 95 % for all rows of a learner.
    """
    scores, rows = scores_by_count(answers), []
    wide = scores.pivot(index=["size", "set"], columns="what", values="accuracy")
    others = [*LEARNT_TOO, *PRINTED]
    sizes = wide.index.get_level_values("size").to_numpy(float)
    for what in LEARNERS:
        for over in others:
            slope, error = fitted_slope(sizes, (wide[what] - wide[over]).to_numpy())
            halves = [t_quantile(len(sizes) - 2, k) * error for k in (1, len(others))]
            bounds = [slope + sign * half for half in halves for sign in (-1, 1)]
            rows.append((what, over, slope, *bounds))
    columns = ["what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


def printed_leads(table3: Table) -> Table:
    """What the paper's own row of Table 3 is above each other merge: `over`, `network`, `value`.

    `tasks` is their number; a method that a column lacks has no row there.
    """
    rows = by_network(table3).drop("Pre-Trained")
    own = rows.loc[PLUS]
    gaps = (own - rows.drop(PLUS)).rename_axis(columns=["network", "tasks"])
    found = gaps.rename_axis("over").stack(["network", "tasks"], future_stack=True).dropna()
    return found.rename("value").reset_index()


def printed_drops(table3: Table) -> Table:
    """What each method of the paper's Table 3 loses from 8 to 20 tasks, on both networks."""
    rows = by_network(table3)
    lost = rows.xs("8 tasks", axis=1, level=1) - rows.xs("20 tasks", axis=1, level=1)
    lost = lost.rename(columns={"ViT-B/32": "base", "ViT-L/14": "large"})
    return lost.drop("Pre-Trained").rename_axis("method").reset_index()
