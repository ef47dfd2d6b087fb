"""What M-TIES needs, and what merging gives: scores without labels, pairs on their own tasks."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from mergebook.ch1.encoders import PAIRS
from mergebook.ch2.models import SCORES, UNEVEN, minus, scored, unpacked
from mergebook.page import OpenSuite, stored

Table = pd.DataFrame


def relabelled(r: OpenSuite) -> OpenSuite:
    """The suite with a class too many for every label, of all splits and tasks."""

    def wrong(task):
        return replace(task, labels={s: 0 * y + len(task.classes) for s, y in task.labels.items()})

    suite = replace(
        r.suite,
        tasks={name: wrong(task) for name, task in r.suite.tasks.items()},
        out_of_domain={name: wrong(task) for name, task in r.suite.out_of_domain.items()},
    )
    return OpenSuite(suite, r.device, r.source)


def scores_relabelled(suites: Sequence[OpenSuite], samples: int, draw: int) -> Table:
    """By how much wrong labels change each score of nodes, relative to the largest of its layer."""
    rows = []
    for r in suites:
        other = relabelled(r)
        for how in (name for name in SCORES if not name.endswith(UNEVEN)):
            first, again = (scored(one, how, samples, draw) for one in (r, other))
            apart = max(
                ((again[s] - x).abs().max() / x.abs().max()).item() for s, x in first.items()
            )
            rows.append((r.name, how, sum(map(len, first.values())), apart))
    return pd.DataFrame(rows, columns=["suite", "score", "nodes", "apart"])


def pairs_on_own() -> Table:
    """Of the book's averages of two experts: how each answers both tasks, minus the two experts."""
    rows = []
    for pair in stored(PAIRS, 1).itertuples():
        merged, experts = (
            unpacked([getattr(pair, f"{who}_{place}") for place in ("first", "second")])
            for who in ("right", "expert")
        )
        rows.append((pair.suite, f"{pair.first} + {pair.second}", *minus(merged, experts)))
    return pd.DataFrame(rows, columns=["suite", "pair", "value", "low", "high"])
