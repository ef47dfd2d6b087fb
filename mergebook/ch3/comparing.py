"""Trials by name: step sizes searched, trainings repeated, methods compared.

Every method searches its step size by the same rule, on validation inputs and without a label. Then
it is trained again with other seeds, which draw other inputs, another order and another start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mergebook import studies
from mergebook.ch3.trials import OWN, Trial
from mergebook.experiments import Experiment, Store
from mergebook.intervals import Interval, of_runs
from mergebook.page import OpenSuite, Page

Table = pd.DataFrame
RATES = (0.003, 0.01, 0.03)
FINEST, COARSEST = 3e-4, 0.3  # the search goes no further
UNSTABLE = 20.0  # points of agreement between repetitions of one step size


def stepped(rate: float, up: bool) -> float:
    """The next step size of the series 0.001, 0.003, 0.01, 0.03, …"""
    exponent = round(2 * np.log10(rate)) + (1 if up else -1)
    return float(f"{10 ** (exponent // 2) * (3 if exponent % 2 else 1):.1g}")


class Trials:
    """A page's trials on one suite, or those of stored rows, as rows of one experiment.

    Each trial searches `rates` with `searches` seeds, and goes on outwards while the best lies at
    an edge. The best is the one whose merges agree most with the teachers on validation inputs. A
    network a layer for some of the tasks begins one step size lower as well: it has two good ones,
    with worse ones between, and a search from above may miss the lower one. For all tasks of mini8
    the lower one was tried as well: it agrees as often, 87.0 %, as those from 0.003 to 0.03, 86.7
    to 87.2 % (one seed).
    """

    def __init__(
        self,
        page: Page | Store,
        r: OpenSuite,
        experiment: Experiment,
        rates: Sequence[float] = RATES,
        seed: int = 0,
        searches: int = 2,
    ):
        self.page, self.r, self.experiment = page, r, experiment
        self.rates, self.seed, self.searches = tuple(rates), seed, searches

    def rows(self, trials: Sequence[Trial]) -> Table:
        """The rows of these trials on the suite, one each, in their order."""
        keys = [replace(t, models=self.r.mark) for t in trials]
        return self.page.table(
            self.experiment, keys, sources={self.r.mark: self.r.source}, device=self.r.device
        )

    def first_rates(self, t: Trial) -> list[float]:
        """The step sizes with which the search of a trial begins, in order."""
        lower = [stepped(min(self.rates), False)] if t.learner == OWN.learner and t.tasks else []
        return sorted({*self.rates, *(v for v in lower if v >= FINEST)})

    def searched(
        self, named: Mapping[str, Trial], by: str = "agree", places: Sequence[Mapping] = ()
    ) -> dict[str, Trial]:
        """Each trial at its best step size; of equal ones the smallest.

        `places` are the changes of a trial with which each step size is tried; without them, other
        seeds.
        """
        seeds = range(self.seed, self.seed + self.searches)
        places, best = [*places] or [{"seed": s} for s in seeds], {}
        rates = {name: self.first_rates(replace(t, **places[0])) for name, t in named.items()}
        while left := [name for name in named if name not in best]:
            tried = {
                name: [replace(named[name], rate=v, **at) for v in rates[name] for at in places]
                for name in left
            }
            table = self.rows([t for each in tried.values() for t in each])
            scores = iter(table[by])
            for name in left:
                means = [np.mean([next(scores) for _ in places]) for _ in rates[name]]
                at = int(np.argmax(means))
                further = {0: stepped(rates[name][0], False)}
                further[len(means) - 1] = stepped(rates[name][-1], True)
                if at in further and FINEST <= further[at] <= COARSEST:
                    rates[name] = sorted([*rates[name], further[at]])
                else:
                    best[name] = replace(named[name], rate=rates[name][at])
        return {name: best[name] for name in named}

    def repeated(
        self, named: Mapping[str, Trial], trials: int, by: str = "agree", **change
    ) -> Table:
        """Rows of each trial at its own step size, with `trials` seeds; its name in `what`.

        `change` is applied to all trials after the search. Two seeds may miss that a step size is
        too large: while the repetitions of one agree with their teachers by more than `UNSTABLE`
        points more or less, the next smaller one takes its place.
        """
        best = {n: replace(t, **change) for n, t in self.searched(named, by).items()}
        while True:
            found = self.trained(best, trials)
            unstable = [
                name
                for name, agree in found.groupby("what").agree
                if np.ptp(agree) > UNSTABLE and stepped(best[name].rate, False) >= FINEST
            ]
            if not unstable:
                return found
            for name in unstable:
                best[name] = replace(best[name], rate=stepped(best[name].rate, False))

    def trained(self, named: Mapping[str, Trial], trials: int) -> Table:
        """Rows of each trial as it is, with `trials` seeds; its name in the column `what`."""
        seeds = range(self.seed, self.seed + trials)
        each = [(n, replace(t, seed=s)) for n, t in named.items() for s in seeds]
        # Two names may stand for one trial: a row is asked for once, and shown under both.
        distinct = list(dict.fromkeys(t for _, t in each))
        table = self.rows(distinct)
        found = table.iloc[[distinct.index(t) for _, t in each]].reset_index(drop=True)
        found.insert(0, "what", [n for n, _ in each])
        return found.assign(suite=self.r.name)


def right_of(table: Table, what: str) -> list[np.ndarray]:
    """Which inputs a method answers rightly: for each task (repetitions, inputs) bool.

    Raises `ValueError` for a name that is not in the table.
    """
    rows = table[table.what == what].right
    if not len(rows):
        raise ValueError(f"no rows of {what!r}; there are {', '.join(dict.fromkeys(table.what))}")
    each = [[studies.unpack_answers({"": text})[""] for text in row] for row in rows]
    return [np.array(answers) for answers in zip(*each)]


def lead(table: Table, a: str, b: str, among: int = 1, other: Table | None = None) -> Interval:
    """Accuracy of method `a` minus that of `b` (of table `other`), in points: `of_runs`.

    `among` many intervals together have 95 % (Bonferroni).
    """
    return of_runs(right_of(table, a), right_of(table if other is None else other, b), among)


def leads(table: Table, of: str, over: Sequence[str], other: Table | None = None) -> Table:
    """Leads of one method over others: `value`, `low`, `high` with 95 % each.

    `all_low` and `all_high` have 95 % for all rows together.
    """
    out = []
    for name in over:
        one, together = (lead(table, of, name, k, other) for k in (1, len(over)))
        out.append((of, name, *one, together.low, together.high))
    columns = ["what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)


def scores(table: Table) -> Table:
    """Mean test accuracy of each method, its spread over repetitions, and its step size."""
    out = {}
    for what in dict.fromkeys(table.what):
        each = 100 * np.mean([task.mean(1) for task in right_of(table, what)], axis=0)
        rows = table[table.what == what]
        out[what] = {
            "accuracy": each.mean(),
            "spread": each.std(ddof=1) if len(each) > 1 else np.nan,
            "repetitions": len(each),
            "step size": rows.rate.iloc[0] if "rate" in rows else np.nan,
        }
    return pd.DataFrame(out).T.rename_axis("what").reset_index()


def of_lead(row) -> Interval:
    """The interval of a row of `leads`."""
    return Interval(row.value, row.low, row.high)
