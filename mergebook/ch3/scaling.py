"""Merges with LiNeS, before or after the coefficients are learnt.

LiNeS scales a change more in deep layers than in shallow ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from mergebook.ch3.comparing import Trials, right_of
from mergebook.ch3.corruption import ANSWERS, ARITHMETIC, LINES, READINGS
from mergebook.ch3.examined import IMPRINT, course, examined, relearnt, trial_of
from mergebook.ch3.trials import Trial, agreement_with_teachers, combined, graded
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import of_runs
from mergebook.page import opened
from mergehelpers import merge, states

Table = pd.DataFrame
SCALED_BEFORE = {n + LINES: replace(t, vectors="lines") for n, t in READINGS.items()}
SLOPES = (-0.2, -0.1, 0.0, 0.1, 0.2)


@dataclass(frozen=True)
class ScaledByDepth(Trial):
    """The key of a trial's merge whose change is scaled by depth afterwards, as LiNeS does."""


def scaled_by_depth_row(key: ScaledByDepth, sources: Mapping[str, str], device: str) -> dict:
    """The slope that agrees most with the teachers on validation inputs, and its answers."""
    r = opened(key, sources, device)
    found = relearnt(r, trial_of(key))
    change = states.task_vector(r.base, combined(r, key, found.coefficients))
    depth = states.depths(r.base)
    made = {
        s: states.apply(r.base, merge.lines(change, depth, 1 - s, 1 + s))  # s = 0 leaves it
        for s in SLOPES
    }
    agree = {
        s: agreement_with_teachers(r, m, found.tasks, key.test_samples) for s, m in made.items()
    }
    best = max(agree, key=agree.get)
    answers = graded(r, made[best], found.tasks, key.test_samples)
    return {"losses": course(found), "slope": best, "right": answers}


DEPTH = Experiment(
    "scaled by depth after learning",
    1,
    ScaledByDepth,
    scaled_by_depth_row,
    {"losses": IMPRINT, "slope": Tolerance(), "right": ANSWERS},
)


def with_depth(t: Trials, table: Table) -> Table:
    """Rows of `DEPTH` of both readings; ` + LiNeS` is added to their names in `what`."""
    each = examined(table, READINGS, ScaledByDepth)
    context = {"sources": {t.r.mark: t.r.source}, "device": t.page.device}
    found = t.page.table(DEPTH, [key for _, key in each], **context)
    return found.assign(what=[name + LINES for name, _ in each])


def line_gains(plain: Table, before: Table, after: Table, rules: Table) -> Table:
    """What LiNeS adds, in points: to both readings before and after learning, and to a rule.

    `all_low` and `all_high` have 95 % for all rows of the readings.
    """
    scaled = {"before learning": before, "after learning": after}
    pairs = [(n, when, plain, found) for n in READINGS for when, found in scaled.items()]
    out, among = [], len(pairs)
    for name, when, without, found in [*pairs, (ARITHMETIC, "no learning", rules, rules)]:
        pair = right_of(found, name + LINES), right_of(without, name)
        one, together = of_runs(*pair), of_runs(*pair, among)
        out.append((name, when, *one, together.low, together.high))
    columns = ["what", "when", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)
