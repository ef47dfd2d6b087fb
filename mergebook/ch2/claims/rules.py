"""Claims about the rules that the paper compares with (evidence page 02a)."""

import pandas as pd

from mergebook import studies
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.weighing import below, weighed
from mergehelpers import evaluate

Table = pd.DataFrame
CHANCE = 10.0  # percent; the laboratory has ten classes


def _same(identities: Table, rule: str) -> Outcome:
    """Every way to make a merge gives the same weights, up to 1e-6."""
    errors = identities[identities.way.str.startswith(rule)].error
    same = below(errors, 1e-6)
    return Outcome(same, values={"ways": len(errors), "same": same})


@claim("mloss-simple-average")
def mean_of_models(identities: Table) -> Outcome:
    """The average is the base plus the mean task vector, in any order of models."""
    return _same(identities, "average")


@claim("mloss-task-arithmetic-lambda-over-n")
def convention(identities: Table) -> Outcome:
    """λ/n on each task vector is the usual λ, n times as large; λ = 1 is the average."""
    return _same(identities, "task arithmetic")


@claim("mloss-adamerging-form")
def form(forms: Table) -> Outcome:
    """A sum of models with the learnt coefficients is the base plus that sum of task vectors.

    Corrected: it is once the coefficients are scaled to the sum 1, and as learnt it is clearly
    worse; both differences on the card are corrected for their number.
    """
    row = forms.iloc[0]
    right = {
        name: {i: studies.unpack_answers({"": p})[""] for i, p in enumerate(row[name])}
        for name in ("summed", "added", "raw")
    }
    accuracy = {n: 100 * sum(a.mean() for a in r.values()) / len(r) for n, r in right.items()}
    values = {
        "sum": row["sum"],
        "raw_sum": row["raw_sum"],
        "raw": accuracy["raw"],
        "gap": Interval(*evaluate.compare(right["raw"], right["added"], resamples=1000)),
        "passes": row["passes"],
        "added": accuracy["added"],
        "summed": accuracy["summed"],
        "difference": Interval(*evaluate.compare(right["summed"], right["added"], resamples=1000)),
        "unit": bool(row["unit_same"]),
    }
    worse = values["difference"].among(2).below
    return Outcome(below([row["apart"]], 1e-6), values["unit"] and worse, values)


@claim("mloss-ties-three-steps")
def three_steps(opinions: Table) -> Outcome:
    """Two implementations that share no code give the same merge."""
    same = below(opinions.error, 1e-12)
    return Outcome(same, values={"stacks": int(opinions.stacks.sum()), "same": same})


@claim("mloss-dare-rescale")
def rescale(moments: Table) -> Outcome:
    """Dropped and divided by k, an entry keeps its mean, and its variance is (1-k)/k."""
    mean = below((moments["mean"] - 1).abs(), 0.03)
    variance = below((moments["variance"] / moments["(1-k)/k"] - 1).abs(), 0.03)
    raw = below((moments["mean, not rescaled"] - moments["k"]).abs(), 0.01)
    values = {"mean": mean, "variance": variance, "raw": raw}
    parts = (mean, variance, raw)
    return Outcome(None if None in parts else all(parts), values=values)


@claim("mloss-dare-needs-large-models")
def large(harm: Table) -> Outcome:
    """Every doubling of the width makes the harm smaller, and half dropped harms the narrowest.

    Harm is accuracy lost, the mean over drop rates; to harm the narrowest is to cost it more than a
    point. Corrected: so it is for the share of the accuracy above chance that is lost, its steps
    corrected for their number. Fails: the widest is harmed clearly more than the narrowest, in
    points and as a share.
    """
    lost = harm.assign(
        points=harm.whole - harm.dare,
        noisy=harm.whole - harm.noise,
        natural=harm.whole_natural - harm.dare_natural,
    )
    lost["share"] = 100 * lost.points / (harm.whole - CHANCE)
    columns = ["points", "share", "noisy", "natural"]
    wide = lost.groupby(["world", "width"])[columns].mean().unstack()
    widths = sorted(harm.width.unique())

    def falls(column, among=1):
        pairs = zip(widths, widths[1:])
        return [of_mean(wide[column, a] - wide[column, b], among) for a, b in pairs]

    narrowest = lost[(lost.width == widths[0]) & (lost.dropped == lost.dropped.min())]
    mild = of_mean(narrowest.groupby("world").points.mean())
    rows = [{"width": w, **{c: wide[c, w].mean() for c in columns}} for w in widths]
    ends = [of_mean(wide[c, widths[-1]] - wide[c, widths[0]], 2) for c in ("points", "share")]
    noise = of_mean((wide["points"] - wide["noisy"]).mean(axis=1))
    steps = len(widths) - 1
    strict = falls("share", steps)
    values = {"widths": rows, "mild": mild, "noise": noise, "worlds": harm.world.nunique()}
    values |= {"count": steps}
    values["steps"] = [
        {"from": a, "to": b, "step": step} for a, b, step in zip(widths, widths[1:], strict)
    ]
    return weighed(
        all(step.above for step in falls("points")) and mild.low > 1,
        all(end.above for end in ends),
        all(step.above for step in strict),
        values,
    )


@claim("mloss-ensemble-cost")
def ensemble_cost(costs: Table) -> Outcome:
    """Eight towers with shared heads need eight times the storage and compute of one."""
    ratios = [*costs.storage, *costs.compute]
    return Outcome(bool(all(7.9 < r <= 8 for r in ratios)), values={"towers": costs})
