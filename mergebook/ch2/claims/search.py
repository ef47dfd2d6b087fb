"""Claims about the comparison of Table 1 and of Table 4 (evidence page 02d)."""

import pandas as pd

from mergebook.ch2.models import by_name, minus
from mergebook.ch2.search import BASELINES, KINDS, READINGS
from mergebook.ch2.unseen import HELD_OUT, OUTSIDE
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import below, weighed
from mergehelpers import evaluate

Table = pd.DataFrame


def every(table: Table, column: str) -> dict[str, bool]:
    """For each reading whether a column is true of all its rows."""
    return table.groupby("reading")[column].all().to_dict()


# ------------------------------------------------------------------------------------- Table 1


def best_merge(answers: Table, backbone: str) -> Outcome:
    """A reading of M-TIES is above each merge of the paper and its own controls, on that suite.

    Corrected: above each merge of the paper. Fails: in each reading below one of these. Intervals
    are corrected for their number on a suite, since a reading is looked for.
    """
    rows, best = [], []
    count = sum(len(BASELINES) + len(controls) for controls in READINGS.values())
    for suite, part in answers.groupby("suite"):
        of = by_name(part, "name")
        test = {n: evaluate.percent([of[n]]) for n in part.name[part.validation.notna()]}
        best.append({"suite": suite, "best": max(sorted(test), key=test.get)})
        for reading, controls in READINGS.items():
            peers, own = ([minus(of[reading], of[n]) for n in m] for m in (BASELINES, controls))
            sure, surely = ([gap.among(count) for gap in gaps] for gaps in (peers, own))
            rows.append(
                {
                    "suite": suite,
                    "reading": reading,
                    "least": min(peers),
                    "control": min(own),
                    "above": all(gap.above for gap in sure),
                    "clear": all(gap.above for gap in sure + surely),
                    "below": any(gap.below for gap in sure),
                }
            )
    values = {"rows": rows, "suites": best, "count": count}
    mine = [row for row in rows if row["suite"] == backbone]
    if not mine:
        return Outcome(None, values=values)
    clear, above, below = ([row[c] for row in mine] for c in ("clear", "above", "below"))
    return weighed(any(clear), all(below), any(above), values)


@claim("mloss-table1-b32-best-merge")
def best_on_b32(answers: Table) -> Outcome:
    """As `best_merge`, on ViT-B/32 with the paper's experts."""
    return best_merge(answers, "clip-vit-b-32")


@claim("mloss-table1-l14-best-merge")
def best_on_l14(answers: Table) -> Outcome:
    """As `best_merge`, on ViT-L/14 with the paper's experts."""
    return best_merge(answers, "clip-vit-l-14")


@claim("mloss-optimal-trade-off")
def trade_off(answers: Table, tried: Table) -> Outcome:
    """A reading of M-TIES is above each merge of the paper that keeps no more entries; some do.

    Fails: in each reading, on two suites or more, one of these is clearly above it and keeps no
    more. Intervals are corrected for the number of readings and merges.
    """
    rows, count = [], len(READINGS) * len(BASELINES)
    for suite, part in answers.groupby("suite"):
        of, kept = by_name(part, "name"), part.set_index("name").kept
        for reading in READINGS:
            least = {n: kept[n] for n in BASELINES if kept[n] <= kept[reading] + 1e-9}
            gaps = {n: minus(of[n], of[reading]) for n in least}
            rival = max(gaps, key=gaps.get, default="")
            rows.append(
                {
                    "suite": suite,
                    "reading": reading,
                    "kept": 100 * kept[reading],
                    "beaten": any(gap.among(count).above for gap in gaps.values()),
                    "clear": bool(gaps) and all(g.among(count).below for g in gaps.values()),
                    "said": f"{rival} keeps {100 * kept[rival]:.0f} %, {gaps[rival]:+.1f} points"
                    if gaps
                    else "no other keeps less",
                    "passed": 100 * passed(tried[tried.suite == suite], reading),
                }
            )
    table = pd.DataFrame(rows)
    clear, beaten = (every(table, column) for column in ("clear", "beaten"))
    against = all(beaten.values()) and table.suite.nunique() > 1
    return weighed(any(clear.values()), against, values={"rows": rows, "count": count})


def passed(tried: Table, reading: str) -> float:
    """The share of a reading's tries that some try of the paper's merges passes on both counts.

    That is one that keeps no more and has the higher accuracy on validation inputs.
    """
    mine, others = tried[tried.name == reading], tried[tried.name.isin(BASELINES)]
    return float(
        sum(
            any((others.kept <= row.kept) & (others.validation > row.validation))
            for row in mine.itertuples()
        )
        / len(mine)
    )


@claim("mloss-ensemble-not-always-above")
def ensemble_below(answers: Table) -> Outcome:
    """Observation: on some suite the ensemble of features is below TIES and each M-TIES."""
    rows, below = [], []
    for suite, part in answers.groupby("suite"):
        of = by_name(part, "name")
        mean = of[KINDS["features"]]
        below.append(all(minus(mean, of[name]).below for name in ("TIES", *READINGS)))
        gaps = {"ties": minus(mean, of["TIES"]), "mties": minus(mean, of["M-TIES, released"])}
        percents = {kind: evaluate.percent([of[name]]) for kind, name in KINDS.items()}
        rows.append({"suite": suite} | gaps | percents)
    return Outcome(any(below), values={"suites": rows})


# ------------------------------------------------------------------------ what it needs and gives


@claim("mloss-needs-no-labels")
def no_labels(untuned: Table, answers: Table, tried: Table) -> Outcome:
    """A reading of M-TIES at fixed settings is above TIES at its fixed settings.

    Corrected: above the plain average. Fails: in each reading below the average. Intervals are
    corrected for their number, since a reading is looked for.
    """
    rows, count = [], 2 * len(READINGS) * untuned.suite.nunique()
    for suite, part in untuned.groupby("suite"):
        of, tuned = by_name(part, "name"), by_name(answers[answers.suite == suite], "name")
        for reading in READINGS:
            over_ties, gain = (minus(of[reading], of[n]) for n in ("TIES", "average"))
            row = {"suite": suite, "reading": reading, "over_ties": over_ties, "gain": gain}
            row["tuned"] = minus(tuned[reading], tuned["TIES"])
            sure, row["sure"] = (gap.among(count) for gap in (over_ties, gain))
            shown = {"holds": sure.above, "above": row["sure"].above, "below": row["sure"].below}
            rows.append(row | shown)
    table = pd.DataFrame(rows)
    holds, above, below = (every(table, column) for column in ("holds", "above", "below"))
    values = {"rows": rows, "labels": int(tried.groupby("suite").labels.max().max())}
    values["count"] = count
    return weighed(any(holds.values()), all(below.values()), any(above.values()), values)


@claim("mloss-score-needs-no-labels")
def score_without_labels(scores: Table) -> Outcome:
    """Wrong labels in place of all change no score of a node, in any reading."""
    values = {"nodes": int(scores.groupby("suite").nodes.first().sum())}
    same = below(scores.apart, 1e-6)
    return Outcome(same, values=values | {"scores": scores.score.nunique(), "same": same})


def against_experts(part: Table, found: Table) -> list[dict]:
    """Each merge of a suite: minus the experts on their own tasks, and minus each on all tasks.

    `sure` are the same intervals as ones of all.
    """
    of, experts = by_name(part, "name"), by_name(found, "experts")
    own = {str(i): experts[task][str(i)] for task, i in zip(found.experts, found.own)}
    merges = sorted(part.name[part.validation.notna() | (part.name == "average")])
    count, rows = len(merges) * (1 + len(experts)), []
    for name in merges:
        gaps = {task: minus(of[name], right) for task, right in experts.items()}
        rival, on_own = min(gaps, key=gaps.get), minus(of[name], own)
        sure = [gap.among(count) for gap in gaps.values()]
        rows.append(
            {
                "merge": name,
                "on_own": on_own,
                "won": sum(of[name][i].mean() > right.mean() for i, right in own.items()),
                "tasks": len(own),
                "rival": rival,
                "least": gaps[rival],
                "own_above": on_own.among(count).above,
                "own_below": on_own.among(count).below,
                "above": all(gap.above for gap in sure),
                "below": any(gap.below for gap in sure),
                "count": count,
            }
        )
    return rows


@claim("mloss-merging-enhances-performance")
def enhances(answers: Table, alone: Table, pairs: Table) -> Outcome:
    """More than half of the merges are above the experts, each on its own task, on two suites.

    Averages of pairs are merges as well. Corrected: more than half are above each expert on all
    tasks, on two suites or more. Fails: so many are below the experts on their own tasks, and below
    one of them on all. Intervals are corrected for their number on a suite.
    """
    rows, often = [], []
    for suite, part in answers.groupby("suite"):
        merges = pd.DataFrame(against_experts(part, alone[alone.suite == suite]))
        best = part.sort_values("name").set_index("name").validation.idxmax()
        shares = merges[["own_above", "own_below", "above", "below"]].mean()
        often.append({name: share > 0.5 for name, share in shares.items()})
        counts = {f"{name}s": int(merges[name].sum()) for name in ("above", "own_above")}
        row = merges[merges["merge"] == best].iloc[0].to_dict()
        rows.append({"suite": suite, "merges": len(merges)} | row | counts)
    two = []
    for suite, part in pairs.groupby("suite"):
        gaps = [Interval(p.value, p.low, p.high).among(len(part)) for p in part.itertuples()]
        row = {"suite": suite, "pairs": len(gaps), "above": sum(g.above for g in gaps)}
        two.append(row | {"below": sum(g.below for g in gaps), "highest": part.value.max()})
    enough = len(often) > 1
    return weighed(
        enough
        and all(of["own_above"] for of in often)
        and all(row["above"] > row["pairs"] / 2 for row in two),
        enough and all(of["own_below"] and of["below"] for of in often),
        enough and all(of["above"] for of in often),
        {"suites": rows, "pairs": two},
    )


# ------------------------------------------------------------------------------------- Table 4


@claim("mloss-ood-generalisation")
def unseen_tasks(unseen: Table) -> Outcome:
    """A reading of M-TIES is above every other merge and the base, on both kinds of unseen tasks.

    TIES at its length is among the others. Fails: in each reading and kind it is below TIES, DARE
    or the average. Intervals are corrected for their number, since a reading is looked for.
    """
    rows, groups = [], unseen.drop_duplicates(["suite", "kind"])
    count = len(groups) * len(READINGS) * (len(BASELINES) + 2)
    for (suite, kind), part in unseen.groupby(["suite", "kind"]):
        of = by_name(part, "name")
        for reading in READINGS:
            names = ("base", *BASELINES, f"TIES, as long as {reading}")
            gaps = {name: minus(of[reading], of[name]) for name in names}
            row = {"suite": suite, "kind": kind, "reading": reading}
            row |= {n: gaps[n] for n in ("base", "average", "TIES", "DARE")}
            row["long"] = gaps[names[-1]]
            sure = {name: gap.among(count) for name, gap in gaps.items()}
            row["clear"] = all(gap.above for gap in sure.values())
            row["below"] = any(sure[n].below for n in ("TIES", "DARE", "average"))
            rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["reading", "clear", "below"])
    both = {OUTSIDE, HELD_OUT} <= set(unseen.kind)
    clear, below = (list(every(table, column).values()) for column in ("clear", "below"))
    values = {"rows": rows, "count": count}
    return weighed(both and any(clear), both and all(below), values=values)
