"""Claims about ensembles and about pruning (evidence pages 01h and 01i)."""

import numpy as np
import pandas as pd

from mergebook import studies
from mergebook.ch1.claims.weighing import below, weighed
from mergebook.ch1.ensembles import NOISE
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergehelpers import evaluate

Table = pd.DataFrame


@claim("mloss-linear-ensemble-def")
def lower_variance(ensembles: Table) -> Outcome:
    """An ensemble of eight varies less than one network, as much less as the formula says.

    The correlation of errors in the formula is estimated on other inputs than the error variance.
    Fails: it varies clearly more, or the formula is further off.
    """
    largest = ensembles[ensembles.n == ensembles.n.max()]
    varies = of_mean(largest.varies)
    off = (ensembles.error / ensembles.formula - 1).abs()
    values = {
        "n": int(ensembles.n.max()),
        "varies": varies,
        "ideal": 1 / ensembles.n.max(),
        "error": 100 * largest.error.mean(),
        "off": 100 * off.max(),
        "groups": ensembles.group.nunique(),
    }
    fits = below(off, 0.05)
    return weighed(bool(fits) and varies.high < 1, fits is False or varies.low > 1, values=values)


@claim("mloss-ensemble-robustness")
def robustness(ensembles: Table) -> Outcome:
    """Under each level of noise an ensemble of eight loses fewer points than one network."""
    wide = ensembles.set_index(["group", "n"])
    rows = []
    for level in NOISE[1:]:
        drop = (wide[f"noise {NOISE[0]}"] - wide[f"noise {level}"]).unstack("n")
        n = drop.columns.max()
        rows.append(
            {
                "level": level,
                "one": drop[1].mean(),
                "many": drop[n].mean(),
                "saved": of_mean(drop[1] - drop[n]),
            }
        )
    holds = all(row["saved"].above for row in rows)
    fails = all(row["saved"].below for row in rows)
    return Outcome(None if not holds and not fails else holds, values={"levels": rows})


def answered(packed: str) -> np.ndarray:
    """Packed answers as ones and zeros."""
    return studies.unpack_answers({"": packed})[""].astype(float)


def compared(a: list[np.ndarray], b: list[np.ndarray]) -> Interval:
    """Mean over tasks of the accuracy of `a` minus that of `b`, in points."""
    return Interval(*evaluate.compare(dict(enumerate(a)), dict(enumerate(b)), resamples=1000))


def gains(contest: Table) -> list[Interval]:
    """Ensemble minus average for each row."""
    pairs = zip(contest.ensemble, contest.average)
    return [compared([answered(joint)], [answered(merged)]) for joint, merged in pairs]


def uneven(contest: Table, column: str) -> pd.Series:
    """Standard deviation over tasks of the accuracy in points, for each family of experts."""
    accuracy = contest[column].map(lambda packed: 100 * answered(packed).mean())
    return accuracy.groupby(contest.family, sort=False).std(ddof=0)


@claim("mloss-ensemble-beats-averaging")
def beats(contest: Table, printed: Table) -> Outcome:
    """The ensemble is better on the mean over tasks, with clear wins on more than twice the tasks
    of clear losses, and steadier: clearly less spread over tasks. Corrected: better. Fails: clearly
    worse on the mean, or clear losses on half as many tasks as clear wins or more.

    `contest` has a row a task and family of experts; `printed` is the paper's Table 1.
    """
    experts = contest[contest.kind == "experts"]
    each = gains(experts)
    by_task = [
        np.mean([g.value for g, t in zip(each, experts.task) if t == task])
        for task in dict.fromkeys(experts.task)
    ]
    mean = of_mean(by_task)
    wins, losses = sum(g.above for g in each), sum(g.below for g in each)
    less = of_mean(uneven(experts, "ensemble") - uneven(experts, "average"))
    tasks = [c for c in printed.columns if c not in ("Backbone", "Method", "Avg")]
    spread = printed.set_index(["Backbone", "Method"])[tasks].std(axis=1, ddof=0)
    controls = {
        kind: of_mean([g.value for g in gains(contest[contest.kind == kind])])
        for kind in ("one task", "different starts")
    }
    suites = experts[experts.features.notna()]
    features = zip(suites.features, suites.average)
    values = {
        "features": of_mean([compared([answered(f)], [answered(a)]).value for f, a in features]),
        "mean": mean,
        "tasks": len(by_task),
        "wins": wins,
        "losses": losses,
        "rows": len(each),
        "less": less,
        "families": experts.family.nunique(),
        "same": controls["one task"],
        "starts": controls["different starts"],
        "printed": [
            {"backbone": b, "ens": spread[b, "Ensembling"], "avg": spread[b, "Simple Avg."]}
            for b in dict.fromkeys(printed.Backbone)
        ],
    }
    better = mean.above and wins > 2 * losses
    worse = mean.below or 0 < losses >= wins / 2
    return weighed(better and less.below, worse, better, values)


@claim("mloss-pruning-resolves-conflicts")
def pruning(conflicts: Table) -> Outcome:
    """Trimming to the largest fifth leaves under 5 % of entries in conflict, and merges better.

    Corrected: it lowers the share in conflict, and merges better. Fails: it does not lower the
    share, or merges worse.
    """
    suites, resolved, fewer, better, worse = [], [], [], [], []
    for suite, part in conflicts.groupby("suite", sort=False):
        rows = part.set_index(["how", "keep"])
        before, after, control = (
            rows.loc[key] for key in (("largest", 1.0), ("largest", 0.2), ("random", 0.2))
        )
        answers = [[answered(p) for p in row.right] for row in (after, before, control)]
        gain, against = (compared(answers[0], other) for other in answers[1:])
        resolved.append(after["in conflict"] < 0.05)
        fewer.append(after["in conflict"] < before["in conflict"])
        better.append(gain.above)
        worse.append(gain.below)
        suites.append(
            {
                "suite": suite,
                "before": 100 * before["in conflict"],
                "after": 100 * after["in conflict"],
                "control": 100 * control["in conflict"],
                "cancelled_before": 100 * before.cancelled,
                "cancelled_after": 100 * after.cancelled,
                "cancelled_control": 100 * control.cancelled,
                "gain": gain,
                "against": against,
            }
        )
    milder = all(fewer) and all(better)
    fails = any(worse) or not all(fewer)
    return weighed(all(resolved) and all(better), fails, milder, {"suites": suites})
