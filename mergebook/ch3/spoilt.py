"""How far a teacher may err: coefficients from labels, from teachers, and from wrong answers.

A column `reading` has the two of StatsMerging, `labels.READINGS`, or a control.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mergebook.ch3.comparing import Trials
from mergebook.ch3.labels import LABELS, READINGS, at_own_rate, label_leads
from mergebook.ch3.trials import FREE, experiment
from mergebook.intervals import of_mean

Table = pd.DataFrame
EXPERIMENT = experiment("spoilt teachers", coefficients=True, version=2)
BY_TASK = "free, by task"
LEARNERS = {BY_TASK: replace(FREE, level="tasks")} | READINGS
REAL = "0"  # the share of answers that are replaced: none
SPOILS = {LABELS: {"loss": "labels"}, REAL: {}}
SPOILS |= {f"{e:g}": {"wrong": e} for e in (0.1, 0.2, 0.4)}
ANOTHER = "labels, another seed"


def spoilt_lessons(runs: Trials, settings: Mapping, count: int) -> Table:
    """Rows of all learners by labels, by their teachers, and by spoilt answers (`SPOILS`)."""
    trials = {n: replace(t, **settings) for n, t in LEARNERS.items()}
    return at_own_rate(runs, trials, SPOILS, count)


def root_mean_square(a, b) -> float:
    """Distance of two arrays of coefficients, a coefficient."""
    return float(np.sqrt(np.mean((np.array(a) - np.array(b)) ** 2)))


def distances_to_labels(rows: Table) -> Table:
    """How far coefficients are from those learnt from labels on the same inputs, by seed.

    `ANOTHER`: how far those from labels are, in the mean, from those of the other seeds.
    """
    kept, out = rows.set_index(["what", "seed"]).coefficients, []
    for learner in LEARNERS:
        seeds = list(kept[f"{learner}: {LABELS}"].index)
        for seed in seeds:
            true = kept[f"{learner}: {LABELS}", seed]
            others = [kept[f"{learner}: {LABELS}", s] for s in seeds if s != seed]
            between = [root_mean_square(true, other) for other in others]
            if between:
                out.append((learner, ANOTHER, seed, np.mean(between)))
            for spoilt in SPOILS:
                if spoilt != LABELS:
                    own = kept[f"{learner}: {spoilt}", seed]
                    out.append((learner, spoilt, seed, root_mean_square(own, true)))
    return pd.DataFrame(out, columns=["reading", "spoilt", "seed", "distance"])


def nearer_than_seeds(found: Table) -> Table:
    """How much nearer to labels the teachers' coefficients are than those of another seed."""
    wide, out = found.pivot(index=["reading", "seed"], columns="spoilt", values="distance"), []
    for reading in dict.fromkeys(found.reading):
        gaps = (wide[ANOTHER] - wide[REAL])[reading]
        one, together = of_mean(gaps), of_mean(gaps, len(READINGS))
        out.append((reading, *one, together.low, together.high))
    return pd.DataFrame(out, columns=["reading", "value", "low", "high", "all_low", "all_high"])


def losses_of_spoiling(rows: Table) -> Table:
    """Accuracy learnt from labels minus that from spoilt answers, by reading and share."""
    pairs = {
        (n, s): (f"{n}: {LABELS}", f"{n}: {s}") for n in LEARNERS for s in SPOILS if s != LABELS
    }
    return label_leads(rows, pairs, ["reading", "spoilt"])
