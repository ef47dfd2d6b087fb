"""Claims about Algorithm 1, as written and as released (evidence page 02b)."""

import numpy as np
import pandas as pd

from mergebook.ch2.models import by_name, minus
from mergebook.ch2.readings import BY_HAND
from mergebook.claims import Outcome, claim
from mergebook.intervals import of_mean
from mergebook.weighing import below, weighed
from mergehelpers import evaluate

Table = pd.DataFrame
READ = ("shared", "own")  # whose input, beside that of the network merged so far
WITHIN = 0.5  # points; what we take for the same accuracy
AS_ALIKE = 0.1  # of rank correlations that differ by less we say that they are as high


@claim("mloss-alg1-keep-range")
def keep_range(nodes: Table) -> Outcome:
    """Rates lie in [k - e, k], fall as the loss rises, and are k - e/2 in the mean of a layer."""
    inside = below([*(nodes.rate - nodes.keep), *(nodes.keep - nodes.spread - nodes.rate)], 1e-6)
    layers = [part.sort_values("loss") for _, part in nodes.groupby("layer")]
    steps = np.concatenate([np.diff(part.rate) for part in layers])
    rises = np.concatenate([np.diff(part.loss) for part in layers])
    falling = below(np.where(rises > 0, steps, np.abs(steps)), 1e-9)
    ends = below([abs(p.rate.mean() - (p.keep - p.spread / 2).mean()) for p in layers], 1e-6)
    by_hand = int((nodes.layer == BY_HAND).sum())
    values = {"inside": inside, "falling": falling, "mean": ends}
    values |= {"nodes": len(nodes) - by_hand, "by_hand": by_hand}
    parts = (inside, falling, ends)
    return Outcome(None if None in parts else all(parts), values=values)


@claim("mloss-alg1-mties")
def algorithm(errors: Table) -> Outcome:
    """Every invariant is met, in every reading."""
    kept = below(errors.error, 1e-5)
    values = {"count": len(errors), "readings": errors.reading.nunique()}
    return Outcome(kept, values=values | {"largest": errors.error.max()})


@claim("mloss-alg1-merge-increment")
def increment(made: Table, answers: Table) -> Outcome:
    """Line 22, in one reading, is less than a point from the mean of those that agree.

    Corrected: that mean is TIES, by a second implementation, line 22 is not, and costs accuracy in
    each reading and suite, by intervals corrected for their number. Fails: the mean is not TIES, or
    line 22 is.
    """
    rows = []
    for suite, part in answers.groupby("suite"):
        of = by_name(part, "method", "order")
        mean = of["rows", "merged so far"]
        for reading in ("line 22", "line 22 everywhere"):
            cost = minus(of[reading, "merged so far"], mean)
            near = cost.within(1)
            rows.append({"suite": suite, "reading": reading, "cost": cost, "near": near})
    for row in rows:
        row["all"] = row["cost"].among(len(rows))
    errors = made.set_index("increment").error
    is_ties, other_is = (below([errors[how]], 1e-12) for how in ("disjoint", "weighted"))
    near = pd.DataFrame(rows).groupby("reading").near.all()
    dear = bool(rows) and all(row["all"].below for row in rows)
    corrected = is_ties and other_is is False and dear
    return weighed(near.any(), is_ties is False or other_is, corrected, {"rows": rows})


@claim("mloss-alg1-layer-sync")
def layer_sync(likeness: Table, answers: Table) -> Outcome:
    """Whose input a layer reads changes accuracy, in every suite.

    Corrected: if each model reads its own, nodes are ranked less alike than by any other sample, in
    every suite, by layers. Fails: in every suite accuracies are the same, and ranks as alike. All
    intervals are corrected for their number.
    """
    rows, many = [], answers.suite.nunique()
    for suite, part in answers.groupby("suite"):
        of = by_name(part, "method", "order")
        gaps = {n: minus(of["rows", "merged so far"], of["rows", f"{n} input"]) for n in READ}
        found = likeness[likeness.suite == suite]
        layers = found.groupby(["layer", "ranked"]).correlation.min().unstack()
        lost = layers["another sample"] - layers["own input"]
        strict = {f"{n} all": gap.among(len(READ) * many) for n, gap in gaps.items()}
        row = {"suite": suite, "lost": of_mean(lost, many)} | gaps | strict
        means = found.groupby(["ranked", "draw"]).correlation.mean().groupby("ranked").min()
        names = {"merged": "merged so far", "apart": "own input", "sample": "another sample"}
        rows.append(row | {short: means[name] for short, name in names.items()})
    strict = [[row[f"{n} all"] for n in READ] for row in rows]
    clear = [any(gap.above or gap.below for gap in gaps) for gaps in strict]
    same = [all(gap.within(WITHIN) for gap in gaps) for gaps in strict]
    return weighed(
        all(clear),
        all(same) and all(row["lost"].high < AS_ALIKE for row in rows),
        all(row["lost"].above for row in rows),
        {"suites": rows, "count": len(READ) * many},
    )


@claim("mloss-fig1-overview")
def overview(answers: Table) -> Outcome:
    """One schedule drives TIES and DARE, and both merges are better than the base.

    Fails: one of them is worse, by intervals corrected for their number.
    """
    rows, over_base = [], []
    for suite, part in answers.groupby("suite"):
        of = by_name(part, "method", "order")
        base = of["base", ""]
        for name, method in {"M-TIES": "rows", "M-DARE": "M-DARE"}.items():
            made, flat = of[method, "released"], of[method, "even"]
            over_base.append(minus(made, base))
            row = {"suite": suite, "name": name, "percent": evaluate.percent([made])}
            rows.append(row | {"over_base": over_base[-1], "gain": minus(made, flat)})
    return weighed(
        all(gap.above for gap in over_base),
        any(gap.among(len(over_base)).below for gap in over_base),
        values={"rows": rows},
    )


@claim("mloss-code-matches-paper")
def code_matches(points: Table, answers: Table) -> Outcome:
    """By reading it, some point of the released script differs from the text."""
    found = points.relation.value_counts()
    of = {name: by_name(part, "method", "order") for name, part in answers.groupby("suite")}
    rows = [
        {"suite": suite, "cost": minus(a["line 22", "merged so far"], a["rows", "released"])}
        for suite, a in of.items()
    ]
    values = {name: int(found.get(name, 0)) for name in ("agrees", "differs", "silent")}
    names = ", ".join(points[points.relation == "differs"].point)
    return Outcome(
        None if not len(points) else values["differs"] > 0,
        values=values | {"names": names, "suites": rows},
    )
