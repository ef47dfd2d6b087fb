"""Claims about tasks left out, and about more tasks (evidence page 03m)."""

import pandas as pd

from mergebook.ch3.claims.more_data import told
from mergebook.ch3.left_out import LEARNERS, RIVALS
from mergebook.ch3.more_tasks import PRINTED
from mergebook.ch3.printed import LEAD, PLUS, SLACK
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame


def ordered(table: Table) -> Table:
    """Rows in the order of the learners, then of rivals and sizes."""
    rank = {name: i for i, name in enumerate((*LEARNERS, *RIVALS, *PRINTED))}
    by = [n for n in ("what", "size", "over") if n in table]
    return table.sort_values(
        by, key=lambda c: c if c.name == "size" else c.map(lambda v: rank.get(v, v)).astype(str)
    )


def per_learner(table: Table) -> list[Table]:
    """The rows of each reading of the learner."""
    return [table[table.what == name] for name in LEARNERS]


@claim("stats-unseen-task-generalisation")
def generalises(leads: Table) -> Outcome:
    """On tasks left out each learner is above the four baselines of Table 2.

    Fails if some baseline is above each learner; corrected: one learner is above the four.
    """
    against_four = ordered(leads[leads.over.isin(RIVALS)])
    parts = per_learner(against_four)
    holds = [set(part.over) == set(RIVALS) and bool((part.low > 0).all()) for part in parts]
    below = all(bool((part.all_high < 0).any()) for part in parts)
    controls = ordered(leads[~leads.over.isin(RIVALS)])
    sure = controls[controls.high < 0]
    names = [name for name, held in zip(LEARNERS, holds) if held]
    values = {
        "rows": told(against_four),
        "controls": told(controls),
        "ahead": "; ".join(f"{r.over} over {r.what}" for r in sure.itertuples()) or "none",
        "which": ", ".join(names) or "none",
        "among": len(RIVALS),
    }
    return weighed(all(holds), below, any(holds), values)


@claim("stats-scaling-is-reliable")
def reliable(leads: Table, slopes: Table, surpassed: Table, drops: Table) -> Outcome:
    """As printed StatsMerging++ is above each row of Table 3, and none loses less with more tasks.

    `surpassed` are its printed leads, `drops` what each row loses from 8 to 20 tasks; the second is
    also asked of each learner here. Fails if some printed row is above it. Corrected: it is above
    all, and here each learner loses less with each task than those rules, which learn nothing. Our
    runs count only where step sizes were searched for each number of tasks.
    """
    leads, slopes = (t[t.over != "free coefficients"] for t in (leads, slopes))
    above = bool((surpassed.value > LEAD + SLACK).all()) and len(surpassed) > 0
    beaten = bool((surpassed.value < -LEAD - SLACK).any())
    lost = drops.set_index("method").rename(columns={"base": "ViT-B/32", "large": "ViT-L/14"})
    less = lost.drop(PLUS) < lost.loc[PLUS] - 2 * LEAD - SLACK
    slower = [f"{row} ({n})" for n in less for row in less.index[less[n]]]
    kept = slopes[slopes.over.isin(PRINTED)]
    corrected = above and bool(len(kept)) and bool((kept.low > 0).all())
    rules = leads[leads.over.isin(PRINTED)]
    behind = ordered(leads[leads.high < 0])
    values = {
        "closest": surpassed.loc[surpassed.value.idxmin()].to_dict(),
        "slower": "; ".join(slower) or "none",
        "rows": told(ordered(leads[~leads.over.isin(PRINTED)])),
        "slopes": told(ordered(slopes)),
        "least": told(rules.nsmallest(1, "low"))[0] if len(rules) else {},
        "behind": "; ".join(
            f"{r.what} behind {r.over} with {r.size} tasks" for r in behind.itertuples()
        )
        or "none",
        "suite": leads.suite.iloc[0],
        "few": int(leads["size"].min()),
        "most": int(leads["size"].max()),
        "intervals": len(leads),
    }
    there = bool(leads.searched.all())
    few = leads["size"][~leads.searched]
    values["unsearched"] = ", ".join(str(n) for n in sorted(set(few))) or "none"
    holds = above and not slower and bool(len(slopes)) and bool((slopes.high >= 0).all())
    return weighed(holds and there, beaten, corrected and there, values)


@claim("stats-table3main-8-14-20")
def eight_to_twenty(leads: Table, printed: Table) -> Outcome:
    """Twenty tasks decide it: StatsMerging is above RegMean in both readings of the learner.

    Corrected: in one of them, which is named.
    """
    most = leads[leads["size"] == leads["size"].max()]
    here = ordered(most[most.over == "RegMean"])
    values = {
        "rows": told(here),
        "tasks": int(leads["size"].max()),
        "drops": printed.to_dict("records"),
    }
    twenty = values["tasks"] >= 20
    sure = list(here.what[here.all_low > 0])
    values["which"] = ", ".join(sure) or "none"
    return weighed(
        twenty and bool((here.low > 0).all()),
        twenty and bool((here.all_high < 0).all()),
        twenty and bool(sure),
        values,
    )
