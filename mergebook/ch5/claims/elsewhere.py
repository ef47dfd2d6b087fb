"""Claims on other networks, other uses, and the released script (evidence page 05b)."""

import numpy as np
import pandas as pd

from mergebook.ch5.asking import FT, HEAD, gain_over, right_after
from mergebook.ch5.claims.protocols import FIVE, POINT, all_pass, by_merge, named_rows, some_in_each
from mergebook.ch5.encoders import MERGES
from mergebook.ch5.geometry import on_tasks
from mergebook.claims import Outcome, claim
from mergebook.intervals import of_mean
from mergebook.protocols import EXPERT
from mergebook.weighing import weighed

Table = pd.DataFrame
N = len(MERGES)
T5 = ("t5-base", "t5-large")
TENTH, WHOLE = 10.0, 100.0  # percent of an evaluation


@claim("ftc-fig6-t5-consistent")
def so_on_t5(asked: Table) -> Outcome:
    """On T5-base and T5-large FT-Classifier clearly gains for every merge; fails, if it clearly
    loses for some merge on each. Open where one of them is not among the suites.
    """
    found = {
        suite: [gain_over(part, m, FT, FIVE, among=2 * N) for m in MERGES]
        for suite, part in asked.groupby("suite")
    }
    of_t5 = {suite: found[suite] for suite in T5 if suite in found}
    there = len(of_t5) == len(T5)
    gain = [s for s, xs in found.items() if all(x.above for x in xs)]
    values = {"suites": ", ".join(found), "gain": ", ".join(gain) or "none"}
    holds, against = all_pass(of_t5, lambda x: x.above), some_in_each(of_t5, lambda x: x.below)
    return weighed(there and holds, there and against, values=values)


@claim("ftc-code-matches-paper")
def script_and_text(asked: Table) -> Outcome:
    """Samples drawn by label from training inputs repair as well, within a point, as test inputs
    drawn whatever their class. Fails: some merge clearly differs by more than a point, in every
    suite that counts.
    """
    test = (FT, "u=5", "test")

    def gap(part, m, among=N):
        return gain_over(part, m, *test, over=(FT, FIVE), among=among)

    found, rows = by_merge(asked, gap), named_rows(asked, lambda p, m: gap(p, m, 1))
    holds = all_pass(found, lambda x: x.within(POINT))
    against = some_in_each(found, lambda x: x.beyond(POINT))
    return weighed(holds, against, values={"rows": rows})


@claim("ftc-classification-benefits-less")
def heads_lose_more(asked: Table, searched: Table) -> Outcome:
    """Of the expert's score a merge clearly loses more under a head than in a search by features,
    for every merge in every suite. Fails: in every suite some merge clearly loses less.
    """
    found, rows = {}, []
    for suite, part in asked.groupby("suite"):
        other, found[suite] = searched[searched.suite == suite], []
        tasks = sorted(other[other.model == EXPERT].task)
        for m in MERGES:
            own, expert = (
                np.array([x.mean() for x in right_after(part, e, HEAD)]) for e in (m, EXPERT)
            )
            near, top = (on_tasks(other, e, "precision", tasks) for e in (m, EXPERT))
            lost = 100 * (1 - own / expert), 100 * (1 - near / top)
            found[suite].append(of_mean(lost[0] - lost[1], N))
            rows.append({"suite": suite, "model": m, "gap": found[suite][-1]})
            rows[-1] |= {"head": lost[0].mean(), "search": lost[1].mean()}
    holds, against = all_pass(found, lambda x: x.above), some_in_each(found, lambda x: x.below)
    return weighed(holds, against, values={"rows": rows})


@claim("ftc-protocol-is-cheap")
def little_work(costs: Table) -> Outcome:
    """The protocol adds less than a tenth of the work of an evaluation, on every task.

    Corrected: less than one evaluation. Fails: on some task of every suite it adds more.
    """
    added = costs.encoding + costs.training
    worst = added.groupby(costs.suite).max()
    rows = [
        {
            "suite": suite,
            "encoding": part.encoding.max(),
            "training": part.training.max(),
            "enough": int(part.enough.max()),
            "inputs": int(part.inputs.min()),
        }
        for suite, part in costs.groupby("suite")
    ]
    holds, corrected = bool((worst < TENTH).all()), bool((worst < WHOLE).all())
    return weighed(holds, bool((worst > WHOLE).all()), corrected, {"rows": rows})
