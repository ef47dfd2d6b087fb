"""Claims of Appendix A.4: what mean and variance determine, and stand in for (page 03h)."""

import pandas as pd

from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import below, weighed

Table = pd.DataFrame


@claim("stats-eq27-eq31-second-moment")
def second_moment(moments: Table, shuffles: Table) -> Outcome:
    """The mean square is the variance plus the squared mean, in every layer."""
    of = shuffles.set_index("shuffled")
    values = {
        "same": below(moments.error, 1e-10),
        "layers": len(moments),
        "kept": below(shuffles.moments, 1e-9),
        "top": of.top["all"],
        "before": of.percent["none"],
        "after": of.percent["all"],
    }
    return Outcome(values["same"], values=values)


def of_rows(table: Table) -> list[dict]:
    """The rows with their value and its bounds as one `value`."""
    rows = table.to_dict("records")
    return [r | {"value": Interval(r["value"], r["low"], r["high"])} for r in rows]


@claim("stats-statistics-preserve-curvature")
def preserve_curvature(tasks: Table, layers: Table, overlap: Table, traces: Table) -> Outcome:
    """At a fixed layer a statistic, or a fit to all, reaches half of the ceiling over experts.

    At the experts and at the base; corrected: at one of both, which is named. The ceiling is the
    correlation of the traces on two halves of the inputs. It counts with its noise, in intervals
    that have 95 % together. Fails: each is clearly below half of it, at the experts and at the
    base, and the ceiling itself is clearly above zero.
    """
    found = of_rows(tasks)
    ceiling = next(r["value"] for r in found if r["statistic"] == "halves")
    asked = [r for r in found if r["statistic"] != "halves"]
    of = {r["statistic"]: r["value"] for r in of_rows(layers)}
    own = (traces["first"] + traces["second"]) / 2
    ratios = (traces.elsewhere / own.where(own > 0)).groupby(traces.expert).median()
    best = max(asked, key=lambda r: (r["over"] == r["over"], r["over"]))
    values = {
        "experts": [r for r in asked if r["at"] == "expert"],
        "base": [r for r in asked if r["at"] == "base"],
        "ceiling": ceiling,
        "best": best | {"over": Interval(best["over"], best["all_low"], best["all_high"])},
        "short": sum(r["all_high"] < 0 for r in asked),
        "intervals": len(asked),
        "layers": [{"statistic": n, "value": v} for n, v in of.items()],
        "moved": ratios.median(),
        **{n.split()[0]: 100 * overlap[n].median() for n in ("singular", "random")},
        "others": 100 * overlap["other inputs"].median(),
    }
    reached = {
        place: [r["statistic"] for r in asked if r["at"] == place and r["all_low"] > 0]
        for place in ("expert", "base")
    }
    where = [f"the {place} ({', '.join(names)})" for place, names in reached.items() if names]
    values["where"] = " and ".join(where) or "neither"
    excluded = all(r["all_high"] < 0 for r in asked)
    return weighed(all(reached.values()), excluded and ceiling.above, bool(where), values)
