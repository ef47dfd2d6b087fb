"""Claims of Appendix A.4: what mean and variance determine, and stand in for (page 03h)."""

import pandas as pd

from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import below, weighed

Table = pd.DataFrame
CLOSE = 0.5  # the rank correlation that this chapter asks of a stand-in


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
    """At a fixed layer every statistic goes with the Fisher trace from expert to expert.

    Fails: no correlation reaches `CLOSE`, at the experts or at the base, though that of the trace
    on other inputs does.
    """
    found = of_rows(tasks)
    ceiling = [r["value"] for r in found if r["statistic"] == "halves"]
    experts, base = (
        [r for r in found if r["at"] == at and r["statistic"] != "halves"]
        for at in ("expert", "base")
    )
    every = [r["value"] for r in (*experts, *base)]
    of = {r["statistic"]: r["value"] for r in of_rows(layers)}
    own = (traces["first"] + traces["second"]) / 2
    ratios = (traces.elsewhere / own.where(own > 0)).groupby(traces.expert).median()
    values = {
        "experts": experts,
        "base": base,
        "ceiling": ceiling[0],
        "layers": [{"statistic": n, "value": v} for n, v in of.items()],
        "moved": ratios.median(),
        **{n.split()[0]: 100 * overlap[n].median() for n in ("singular", "random")},
        "others": 100 * overlap["other inputs"].median(),
    }
    holds = any(all(r["value"].above for r in rows) for rows in (experts, base))
    excluded = all(-CLOSE < x.low and x.high < CLOSE for x in every)
    return weighed(holds, excluded and ceiling[0].value > CLOSE, values=values)
