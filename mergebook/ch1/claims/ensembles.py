"""Claims about ensembles and about pruning (evidence pages 01h and 01i)."""

import numpy as np
import pandas as pd

from mergebook import studies
from mergebook.ch1.ensembles import NOISE
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.weighing import below, weighed
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
    """The ensemble is better in the laboratory, nowhere clearly worse, and steadier over tasks.

    And it wins more than half of the columns of `printed`, the paper's Table 1. Corrected: better,
    so read; steadier is a clearly smaller spread over tasks, family by family. Fails: clearly worse
    in the laboratory, or in half of the printed columns.

    `contest` has a row for each task and family of experts: a world of the laboratory, or a suite.
    """
    experts = contest[contest.kind == "experts"]
    points = experts.assign(points=[g.value for g in gains(experts)])
    in_lab = points.family.str.startswith("lab ")
    worlds = points[in_lab].groupby("family").points.mean()
    lab = of_mean(worlds)
    suites = points[~in_lab]
    by_suite = [
        {"suite": name, "more": of_mean(part.points)}
        for name, part in suites.groupby("family", sort=False)
    ]
    less = of_mean(uneven(experts, "ensemble") - uneven(experts, "average"))
    tasks = [c for c in printed.columns if c not in ("Backbone", "Method", "Avg")]
    table = printed.set_index(["Backbone", "Method"])[tasks]
    backbones = list(dict.fromkeys(printed.Backbone))
    theirs = [table.loc[b, "Ensembling"] - table.loc[b, "Simple Avg."] for b in backbones]
    won = sum(int((more > 0).sum()) for more in theirs)
    spread = table.std(axis=1, ddof=0)
    controls = {
        kind: of_mean([g.value for g in gains(contest[contest.kind == kind])])
        for kind in ("one task", "different starts")
    }
    features = zip(suites.features, suites.average)
    values = {
        "features": of_mean([compared([answered(f)], [answered(a)]).value for f, a in features]),
        "lab": lab,
        "worlds": len(worlds),
        "suites": by_suite,
        "won": won,
        "columns": len(tasks) * len(backbones),
        "less": less,
        "families": experts.family.nunique(),
        "same": controls["one task"],
        "starts": controls["different starts"],
        "printed": [
            {
                "backbone": b,
                "more": more.mean(),
                "ens": spread[b, "Ensembling"],
                "avg": spread[b, "Simple Avg."],
            }
            for b, more in zip(backbones, theirs)
        ],
    }
    majority = won > values["columns"] / 2
    better = majority and lab.above and not any(s["more"].below for s in by_suite)
    return weighed(better and less.below, not majority or lab.below, better, values)


def _by_suite(conflicts: Table):
    """Of each suite the rows by how and how much was kept, and their answers by task."""
    for suite, part in conflicts.groupby("suite", sort=False):
        rows = {(row["how"], row["keep"]): row for _, row in part.iterrows()}
        yield suite, rows, {k: [answered(p) for p in row["right"]] for k, row in rows.items()}


WHOLE, LARGEST, RANDOM = ("largest", 1.0), ("largest", 0.2), ("random", 0.2)
ELECTED, AS_MANY = ("elected", 1.0), ("as many", 1.0)


@claim("mloss-pruning-resolves-conflicts")
def pruning(conflicts: Table) -> Outcome:
    """Trimming to the largest fifth leaves under 5 % of entries in conflict.

    Corrected: fewer than without. Fails: not fewer.
    """
    suites = []
    for suite, rows, right in _by_suite(conflicts):
        suites.append(
            {
                "suite": suite,
                "before": 100 * rows[WHOLE]["in conflict"],
                "after": 100 * rows[LARGEST]["in conflict"],
                "control": 100 * rows[RANDOM]["in conflict"],
                "gain": compared(right[LARGEST], right[WHOLE]),
                "against": compared(right[LARGEST], right[RANDOM]),
            }
        )
    resolved = all(s["after"] < 5 for s in suites)
    fewer = all(s["after"] < s["before"] for s in suites)
    return Outcome(resolved and fewer, fewer, {"suites": suites})


@claim("mloss-conflicts-degrade")
def degrade(conflicts: Table) -> Outcome:
    """The sum merges better once entries against the elected sign are dropped, and nothing else.

    Better than with them, and than with as many entries dropped at random. Fails: clearly worse
    than with them, in each suite.
    """
    suites = []
    for suite, rows, right in _by_suite(conflicts):
        suites.append(
            {
                "suite": suite,
                "before": 100 * rows[WHOLE]["in conflict"],
                "gain": compared(right[ELECTED], right[WHOLE]),
                "against": compared(right[ELECTED], right[AS_MANY]),
            }
        )
    better = all(s["gain"].above and s["against"].above for s in suites)
    return weighed(better, all(s["gain"].below for s in suites), values={"suites": suites})
