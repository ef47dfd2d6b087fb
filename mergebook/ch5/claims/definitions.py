"""Claims about the definitions: merges, heads, anchors, set-ups, repairs (evidence page 05a)."""

import itertools

import pandas as pd

from mergebook.ch5.definitions import TASK_VECTORS
from mergebook.ch5.repairs import ALIGNED_M, FROM_RANDOM, FROM_W, TEACHER_FIRST
from mergebook.claims import Outcome, claim
from mergebook.weighing import below

Table = pd.DataFrame
EXACT = 1e-12  # relative, in double precision
CLOSE = 1e-6  # relative, where distances are roots of differences of squares
FEW = 1.0  # percent of the encoder's numbers
USES = {  # labels, teacher's answers: what Fig. 3 draws
    "a": (False, False),
    "b": (True, False),
    "c": (False, True),
    "d": (False, True),
}


def _all(*parts: bool | None) -> bool | None:
    """Whether all parts hold; None if one is no number."""
    return None if None in parts else all(parts)


# ---------------------------------------------------------------------------------- merges, heads


@claim("ftc-eq1-weight-averaging")
def the_mean(rows: Table) -> Outcome:
    """Eq. 1 written out is the average."""
    of = rows[rows.equation == "Eq. 1"]
    values = {"matrices": int(of.matrices.sum()), "suites": len(of)}
    values["same"] = below(of.error, EXACT)
    return Outcome(values["same"], values=values)


@claim("ftc-eq2-task-arithmetic")
def the_sum(rows: Table) -> Outcome:
    """Eq. 2 written out is task arithmetic, and is Eq. 1 where the scale is 1/T."""
    of = rows[rows.equation == "Eq. 2"]
    every = {way: below(part.error, EXACT) for way, part in of.groupby("way")}
    other = rows[rows.equation == "other"]
    values = {"sum": every["the sum, λ"], "mean": every["λ = 1/T is Eq. 1"]}
    values |= {"other": below(-other.error, -EXACT), "suites": len(other)}
    return Outcome(_all(*every.values()), values=values)


@claim("ftc-eq3-ties")
def ties_adds(sums: Table) -> Outcome:
    """Eq. 3's sum is TIES with the disjoint mean, up to a scale. Corrected: with a disjoint sum."""
    mean, code = below(sums.left, CLOSE), below(sums.code, EXACT)
    real = sums[sums.of == TASK_VECTORS].sort_values("suite")
    rows = [
        {"suite": r.suite, "left": 100 * r.left, "few": r.at_few, "many": r.at_many}
        for r in real.itertuples()
    ]
    values = {"rows": rows, "code": code}
    values["random"] = 100 * sums[sums.of != TASK_VECTORS].left.min()
    if _all(mean, code) is None:
        return Outcome(None, values=values)
    return Outcome(mean and code, code, values)


@claim("ftc-eq4-current-protocol")
def under_the_old_head(heads: Table) -> Outcome:
    """The head on the expert's own features gives the expert's accuracy."""
    values = {
        "tasks": len(heads),
        "bias": (heads.expert - heads.bare).abs().max(),
        "merged": heads.merged.mean(),
        "expert": heads.expert.mean(),
    }
    values["same"] = below((heads.expert - heads.by_suite).abs(), 1e-9)
    return Outcome(values["same"], values=values)


@claim("ftc-class-counts")
def classes_as_published(counts: Table) -> Outcome:
    """Every data set has as many classes as it was published with."""
    unlike = counts[counts.classes != counts.published]
    values = {"sets": len(counts), "unlike": len(unlike)}
    values["named"] = ", ".join(sorted(unlike.task)) or "none"
    return Outcome(unlike.empty, values=values)


@claim("ftc-heads-cannot-be-merged")
def heads_of_other_shapes(counts: Table) -> Outcome:
    """No two tasks of a field have equally many classes. Corrected: not all of them have."""
    rows = []
    for field, part in counts.groupby("field"):
        pairs = list(itertools.combinations(part.sort_values("task").itertuples(), 2))
        alike = [(a, b) for a, b in pairs if a.classes == b.classes]
        of = dict.fromkeys(name.task for pair in alike for name in pair)
        row = {"field": field, "alike": len(alike), "pairs": len(pairs)}
        rows.append(row | {"of": ", ".join(of) or "none", "sizes": part.classes.nunique()})
    values = {"rows": rows}
    none, differ = all(not r["alike"] for r in rows), all(r["sizes"] > 1 for r in rows)
    return Outcome(none, differ, values)


@claim("ftc-eq5-anchor-classifier")
def nearest_on_average(anchors: Table, broad: Table) -> Outcome:
    """The rule's scores are Eq. 5 in loops, and its answers those of the smallest mean distance.

    And the mean squared distance is the squared distance to the mean plus the scatter.
    """
    right = below(anchors.error, CLOSE), below(100 - anchors["same"], 1e-9)
    wide = broad[broad.width == broad.width.max()].set_index("rule")
    values = {
        "rule": _all(*right),
        "lemma": below(anchors.lemma, EXACT),
        "prototype": anchors.prototype.min(),
        "vote": anchors.vote.min(),
        "width": wide.width.iloc[0],
        "rows": [{"rule": r, "accuracy": a} for r, a in sorted(wide.accuracy.items())],
        "narrow": wide.narrow["mean distance (Eq. 5)"],
    }
    return Outcome(_all(values["rule"], values["lemma"]), values=values)


# ------------------------------------------------------------------------------- set-ups, trainings


@claim("ftc-fig3-variants")
def four_set_ups(consumed: Table) -> Outcome:
    """Set-ups a to d use what Fig. 3 draws, on every task: nothing; labels; teacher; teacher."""
    rows = []
    for set_up, part in consumed.groupby("set_up"):
        counted = {name: int(part[name].sum()) for name in ("labels", "teacher")}
        rows.append({"set_up": set_up, "tasks": len(part)} | counted)
    used = consumed.set_index("set_up")[["labels", "teacher"]]
    right = all((bool(r.labels), bool(r.teacher)) == USES[r.Index] for r in used.itertuples())
    return Outcome(right, values={"rows": rows})


@claim("ftc-eq6-objective")
def summed_over_tasks(parts: Table) -> Outcome:
    """Each part is zero for the expert and not for the merge, and heads of a task train apart."""
    values = {
        "zero": below(parts.expert.abs(), 1e-9),
        "least": parts.merged.min(),
        "alone": below(parts.apart, 1e-9),
        "tasks": len(parts[["suite", "task"]].drop_duplicates()),
    }
    more = below(-parts.merged, -1e-6)
    return Outcome(_all(values["zero"], more, values["alone"]), values=values)


def _lowered(found: Table, repairs: tuple[str, ...]) -> Outcome:
    """The divergence falls on every task, in both orders, in every one of these repairs."""
    of = found[found.repair.isin(repairs)]
    rows = [
        {"order": order, "repair": repair, "start": part.start.mean(), "end": part.end.mean()}
        for (repair, order), part in of.groupby(["repair", "order"])
    ]
    moved = of[of.order == TEACHER_FIRST].sort_values(["suite", "task", "repair"]).iloc[0]
    values = {"rows": rows, "numbers": int(moved.numbers), "width": int(moved.width)}
    values |= {"classes": int(moved.classes), "tasks": len(of.groupby(["suite", "task"]))}
    return Outcome(below(of.end - of.start, 0), values=values)


@claim("ftc-eq7-aligned-mapping")
def aligned_map(found: Table) -> Outcome:
    """M in front of the frozen head lowers the divergence on every task and order."""
    return _lowered(found, (ALIGNED_M,))


@claim("ftc-eq8-aligned-head")
def aligned_head(found: Table) -> Outcome:
    """A head lowers the divergence on every task and order, from W and from a random start."""
    return _lowered(found, (FROM_W, FROM_RANDOM))


# ----------------------------------------------------------------------------------- maps and heads


@claim("ftc-mapping-and-head-same-family")
def one_family(reached: Table) -> Outcome:
    """Where W has full column rank, trained and random heads are M W for an M."""
    full = reached[reached["rank"] == reached.classes]
    short = reached[reached["rank"] < reached.classes].sort_values(["suite", "task"])
    same = [below(full[name], 1e-9) for name in ("trained", "random")]
    values = {
        "full": len(full),
        "tasks": len(reached),
        "loss": (reached.loss_M - reached.loss_W).abs().max(),
        "short": ", ".join(short.task) or "none",
        "random": short.random.max() if len(short) else 0.0,
        "trained": below(short.trained, 1e-9) if len(short) else True,
    }
    return Outcome(_all(*same) is True, values=values)


@claim("ftc-aligned-parameter-count")
def few_parameters(bert: Table, deployed: Table) -> Outcome:
    """W' has the head's numbers; M and heads are below 1 % of the encoder, and M within a head.

    Corrected: all but the last.
    """
    equal = bool((deployed["new"] == deployed.old).all() and deployed["shape"].all())
    share = {name: 100 * bert[name] / bert.encoder for name in ("M", "head")}
    few = all((part < FEW).all() for part in share.values())
    times = bert.M / bert["head"]
    values = {
        "M": int(bert.M.max()),
        "least": int(bert["head"].min()),
        "most": int(bert["head"].max()),
        "low": times.min(),
        "high": times.max(),
        "share": share["M"].max(),
        "share_head": share["head"].max(),
        "equal": equal,
    }
    return Outcome(equal and few and bool((times <= 1).all()), equal and few, values)


@claim("ftc-protocol-keeps-size")
def same_size(deployed: Table) -> Outcome:
    """A new head has the number and the shape of the old one, on every task."""
    same = (deployed["new"] == deployed.old) & deployed["shape"]
    tasks = deployed.drop_duplicates(["suite", "task"]).sort_values(["suite", "task"])
    rows = [{"task": r.task, "old": r.old, "after": r.new} for r in tasks.itertuples()]
    return Outcome(bool(same.all()), values={"rows": rows})


@claim("ftc-aligned-m-adds-parameters")
def m_adds(deployed: Table) -> Outcome:
    """W' adds no numbers to the old head, and M does: kept in front of it, and folded into it.

    Corrected: kept in front of it M does; folded into the head it adds none and answers the same.
    """
    none = (deployed["new"] == deployed.old).all()
    kept, folded = (deployed[name] > deployed.old for name in ("kept", "folded"))
    exact = below(deployed.answers, 1e-9)
    values = {
        "least": int((deployed.kept - deployed.old).min()),
        "most": int((deployed.kept - deployed.old).max()),
        "folded": int((deployed.folded - deployed.old).max()),
        "exact": exact,
        "tasks": len(deployed[["suite", "task"]].drop_duplicates()),
    }
    if exact is None:
        return Outcome(None, values=values)
    needed = bool(none and kept.all())
    free = exact and bool((~folded).all())
    return Outcome(needed and not free, needed and free, values)
