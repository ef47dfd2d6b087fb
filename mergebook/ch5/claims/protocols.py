"""Claims about heads, anchors and FT-Classifier with a few inputs (evidence page 05b)."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from mergebook.ch5.asking import (
    ANCHORS,
    FT,
    HEAD,
    LABELS,
    PROTOTYPE,
    VOTE,
    accuracy_of,
    gain_over,
    over_guessing,
    right_after,
    where_it_counts,
)
from mergebook.ch5.encoders import BASE, MERGES
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_runs
from mergebook.protocols import EXPERT
from mergebook.weighing import weighed

Table = pd.DataFrame
N = len(MERGES)
FIVE, ONE = "k=5", "k=1"
HALF, THIRD = 0.5, 1 / 3  # of the gap to the expert; of a gain
POINT = 1.0
Found = dict[str, list[Interval]]  # by suite, an interval a merge


def all_pass(found: Found, test: Callable[[Interval], bool]) -> bool:
    """Whether all intervals of all suites pass, and there are any."""
    return bool(found) and all(test(x) for xs in found.values() for x in xs)


def some_in_each(found: Found, test: Callable[[Interval], bool]) -> bool:
    """Whether some interval of every suite passes, and there are suites."""
    return bool(found) and all(any(test(x) for x in xs) for xs in found.values())


def named_rows(rows: Table, measure: Callable[[Table, str], Interval]) -> list[dict]:
    """A measure of every merge in every suite, and whether the suite counts."""
    there = [suite for suite, _ in where_it_counts(rows)]
    return [
        {
            "suite": suite,
            "counts": "counted" if suite in there else "not counted",
            "model": m,
            "gain": measure(part, m),
        }
        for suite, part in rows.groupby("suite")
        for m in MERGES
    ]


def by_merge(rows: Table, measure: Callable[[Table, str], Interval]) -> Found:
    """A measure of every merge, in the suites that count."""
    return {suite: [measure(part, m) for m in MERGES] for suite, part in where_it_counts(rows)}


def starts(rows: Table) -> list[dict]:
    """Each suite's base under the experts' heads, in points over guessing."""
    return [
        {"suite": suite, "over": over_guessing(part), "base": accuracy_of(part, BASE, HEAD)}
        for suite, part in rows.groupby("suite")
    ]


@claim("ftc-fig2-knn-beats-head")
def anchors_ahead(asked: Table) -> Outcome:
    """Five anchors a class (Eq. 5) are clearly ahead of the experts' heads for every merge, where
    heads know nothing of the base.

    Corrected: so by the distance to their mean, or by a vote. Fails: by each of these rules some
    merge is clearly behind, in every such suite.
    """
    found = {
        rule: by_merge(
            asked, lambda part, m, rule=rule: gain_over(part, m, rule, FIVE, among=3 * N)
        )
        for rule in (ANCHORS, PROTOTYPE, VOTE)
    }
    ahead = {rule: all_pass(of, lambda x: x.above) for rule, of in found.items()}
    behind = all(some_in_each(of, lambda x: x.below) for of in found.values())
    other = [rule for rule in (PROTOTYPE, VOTE) if ahead[rule]]
    values = {"rows": named_rows(asked, lambda part, m: gain_over(part, m, ANCHORS, FIVE))}
    values |= {"other": " and ".join(other) or "neither other rule"}
    values["more"] = [
        {"suite": s, "rule": rule, "model": m, "gain": x}
        for rule in (PROTOTYPE, VOTE)
        for s, xs in found[rule].items()
        for m, x in zip(MERGES, xs)
    ]
    values["bases"] = [
        {"suite": s, "gain": gain_over(part, BASE, ANCHORS, FIVE)}
        for s, part in asked.groupby("suite")
    ]
    return weighed(ahead[ANCHORS], behind, bool(other), values)


@claim("ftc-knn-shows-quality")
def quality_kept(asked: Table) -> Outcome:
    """With five anchors a class every merge is clearly ahead of its heads, and nearer the expert
    under the same rule than the base. Fails: some merge is clearly nearer the base, in every suite
    that counts.
    """

    def nearer(part, m, among=2 * N):
        own, base, expert = (right_after(part, x, ANCHORS, FIVE) for x in (m, BASE, EXPERT))
        return of_runs(own, [(x + y) / 2 for x, y in zip(base, expert)], among)

    ahead = by_merge(asked, lambda part, m: gain_over(part, m, ANCHORS, FIVE, among=2 * N))
    near, rows = by_merge(asked, nearer), named_rows(asked, lambda p, m: nearer(p, m, 1))
    ends = []
    for suite, part in asked.groupby("suite"):
        of = {m: accuracy_of(part, m, ANCHORS, FIVE) for m in (*MERGES, BASE, EXPERT)}
        least, most = min(of[m] for m in MERGES), max(of[m] for m in MERGES)
        ends.append({"suite": suite, "base": of[BASE], "least": least, "most": most})
        ends[-1]["expert"] = of[EXPERT]
    holds = all_pass(near, lambda x: x.above) and all_pass(ahead, lambda x: x.above)
    against = some_in_each(near, lambda x: x.below)
    return weighed(holds, against, values={"rows": rows, "ends": ends})


@claim("ftc-table1-gains")
def five_samples_repair(asked: Table) -> Outcome:
    """FT-Classifier with five samples a class clearly gains for every merge, and clearly closes
    more than half of the gap to the expert, where heads know nothing of the base.

    Corrected: it clearly gains for every merge. Fails: some merge clearly loses, in every such
    suite.
    """

    def beyond_half(part, m):
        found, old, expert = (
            right_after(part, *of) for of in ((m, FT, FIVE), (m, HEAD), (EXPERT, HEAD))
        )
        half = [(1 - HALF) * x + HALF * y for x, y in zip(old, expert)]
        return of_runs(found, half, 2 * N)

    gained = by_merge(asked, lambda part, m: gain_over(part, m, FT, FIVE, among=2 * N))
    half = by_merge(asked, beyond_half)
    rows = named_rows(asked, lambda part, m: gain_over(part, m, FT, FIVE))
    for row in rows:
        part = asked[asked.suite == row["suite"]]
        gap = accuracy_of(part, EXPERT, HEAD) - accuracy_of(part, row["model"], HEAD)
        row["share"] = 100 * row["gain"].value / gap if gap > 0 else float("nan")
        row["labels"] = gain_over(part, row["model"], FT, FIVE, over=(LABELS, FIVE)).value
    gain = all_pass(gained, lambda x: x.above)
    holds, against = (
        gain and all_pass(half, lambda x: x.above),
        some_in_each(gained, lambda x: x.below),
    )
    return weighed(holds, against, gain, {"rows": rows, "starts": starts(asked)})


@claim("ftc-fig5-one-shot")
def one_sample_helps(asked: Table) -> Outcome:
    """One sample a class clearly gains for every merge, where heads know nothing of the base.

    Fails: it clearly costs some merge, in every such suite.
    """

    def gain(part, m, among=N):
        return gain_over(part, m, FT, ONE, among=among)

    found, rows = by_merge(asked, gain), named_rows(asked, lambda p, m: gain(p, m, 1))
    bases = [{"suite": s, "gain": gain(part, BASE, 1)} for s, part in asked.groupby("suite")]
    holds, against = all_pass(found, lambda x: x.above), some_in_each(found, lambda x: x.below)
    return weighed(holds, against, values={"rows": rows, "bases": bases})


def gains_by_draw(part: Table, m: str) -> np.ndarray:
    """What FT-Classifier gains by each draw, in points, (draws,)."""
    after, before = right_after(part, m, FT, FIVE), right_after(part, m, HEAD)
    return 100 * np.mean([x.mean(1) - y.mean() for x, y in zip(after, before)], axis=0)


@claim("ftc-five-seed-robustness")
def draws_agree(asked: Table) -> Outcome:
    """The standard deviation over draws is clearly below a third of the gain, for every merge.

    Corrected: no draw falls below the old head. Fails: it is clearly above a third of what the gain
    can be, and some draw falls below the old head, in every suite that counts.
    """
    steady, loose, kept, fell, rows = [], [], [], [], []
    for suite, part in asked.groupby("suite"):
        counts, of_suite = suite in [s for s, _ in where_it_counts(asked)], []
        for m in MERGES:
            each = gains_by_draw(part, m)
            sd, freedom = each.std(ddof=1), len(each) - 1
            tails = stats.chi2.ppf([1 - 0.025 / N, 0.025 / N], freedom)
            low, high = sd * np.sqrt(freedom / tails)
            top = max(gain_over(part, m, FT, FIVE, among=N).high, 0)
            of_suite.append((high < THIRD * each.mean(), low > THIRD * top, each.min() > 0))
            rows.append({"suite": suite, "model": m, "sd": sd, "gain": each.mean()})
            rows[-1] |= {"least": each.min(), "draws": len(each)}
            rows[-1]["counts"] = "counted" if counts else "not counted"
        if counts:
            tests = [*zip(*of_suite)]
            steady += tests[0]
            kept += tests[2]
            loose.append(any(tests[1]))
            fell.append(not all(tests[2]))
    shown, right = (bool(x) and all(x) for x in (steady, kept))
    against = bool(loose) and all(loose) and all(fell)
    return weighed(shown, against, right, {"rows": rows})


@claim("ftc-few-shot-needs-no-labels")
def labels_in_the_draw(asked: Table) -> Outcome:
    """Draws that ignore labels lose clearly less than a point, for every merge in every suite.

    Corrected: the protocol's draws have equally many of each class, which draws that ignore labels
    have not. Fails: draws that ignore labels clearly lose more than a point, in every suite.
    """
    moved = {
        suite: {
            kind: [
                gain_over(part, m, FT, f"{kind}=5", over=(FT, FIVE), among=2 * N) for m in MERGES
            ]
            for kind in "ui"
        }
        for suite, part in asked.groupby("suite")
    }
    uniform = {suite: of["u"] for suite, of in moved.items()}
    trained = asked[(asked.way == FT) & (asked.split == "train")]
    even = {kind: trained[trained.amount == f"{kind}=5"].even.mean() for kind in "ku"}
    rows = [
        {"suite": s, "uniform": min(of["u"]), "lopsided": min(of["i"])} for s, of in moved.items()
    ]
    holds = all_pass(uniform, lambda x: x.low > -POINT)
    against = some_in_each(uniform, lambda x: x.high < -POINT)
    values = {"rows": rows, "even": 100 * even["k"], "chance": 100 * even["u"]}
    return weighed(holds, against, even["k"] == 1 and even["u"] < 1, values)


@claim("ftc-aligned-vs-label-probe")
def teacher_or_labels(asked: Table) -> Outcome:
    """So, if the expert's answers are clearly better than the labels of the same samples, for every
    merge in every suite.
    """
    found = {
        suite: [gain_over(part, m, FT, FIVE, over=(LABELS, FIVE), among=N) for m in MERGES]
        for suite, part in asked.groupby("suite")
    }
    rows = [
        {"suite": s, "model": m, "gain": x} for s, xs in found.items() for m, x in zip(MERGES, xs)
    ]
    return Outcome(all_pass(found, lambda x: x.above), values={"rows": rows})
