"""Claims about the features of merges beside the experts': shift, clusters (evidence page 05c)."""

import itertools

import pandas as pd

from mergebook.ch5.encoders import AGAIN, BASE, MERGES
from mergebook.ch5.geometry import on_tasks
from mergebook.ch5.maps import error_of
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.protocols import EXPERT
from mergebook.weighing import weighed

Table = pd.DataFrame
APART, GUESS = 90.0, 50.0  # percent: clouds that do not overlap; a probe that guesses
GOOD = 2.0  # points by which a second fine-tuning may be less accurate than the expert
KEPT, MORE = 0.9, 1.25  # shares of what a second fine-tuning has in common, and of its error
GAP = 9.3 / 2  # half of what Table 1 has between averaging and TIES under the old heads
CLUSTERS, ALL_CLUSTERS = ("five", "probe"), ("silhouette", "five", "probe")
N = len(MERGES)


def suites(rows: Table):
    """`(name, its rows, its tasks)`, by name."""
    for suite, part in rows.groupby("suite"):
        yield suite, part, sorted(part[part.model == EXPERT].task)


def trusted(apart: Table):
    """As `suites`, where a second fine-tuning is about as accurate as the expert: its tasks."""
    for suite, part, _ in suites(apart):
        tasks = sorted(part[part.model == AGAIN].task)
        if tasks:
            expert, again = (on_tasks(part, m, "under_head", tasks) for m in (EXPERT, AGAIN))
            if again.mean() > expert.mean() - GOOD:
                yield suite, part, tasks


@claim("ftc-representation-shift")
def clouds_apart(apart: Table) -> Outcome:
    """A probe tells merges from experts in nearly all cases, in every suite; and more than two
    fine-tunings of one task, or their means lie farther apart, where there is such a control.

    Corrected: better than by guessing, in every suite, and as well two fine-tunings where there are
    such. Fails: in every suite some merge is hardly told from its expert (below 60 %).
    """
    told, more, again, rows = {}, [], [], []
    for suite, part, tasks in suites(apart):
        told[suite] = [of_mean(on_tasks(part, m, "told", tasks), N) for m in MERGES]
        means = [on_tasks(part, m, "shift", tasks).mean() for m in MERGES]
        found = [x.value for x in told[suite]]
        rows.append({"suite": suite, "least": min(found), "most": max(found)})
        rows[-1] |= {"shift_low": min(means), "shift_high": max(means)}
    controls = []
    for suite, part, tasks in trusted(apart):
        control = {name: on_tasks(part, AGAIN, name, tasks) for name in ("told", "shift")}
        again.append(float(control["told"].mean()))
        controls.append({"suite": suite, "tasks": len(tasks), "told": again[-1]})
        ratios = []
        for m in MERGES:
            own = {name: on_tasks(part, m, name, tasks) for name in control}
            gains = {name: of_mean(own[name] - control[name], N) for name in control}
            more.append(gains["told"].low > 10 or gains["shift"].above)
            ratios.append(own["shift"].mean() / control["shift"].mean())
        controls[-1] |= {"ratio_low": min(ratios), "ratio_high": max(ratios)}
    every = [x for found in told.values() for x in found]
    plain = bool(told) and all(x.low > APART for x in every)
    some = bool(told) and all(x.low > GUESS for x in every)
    hardly = [any(x.high < 60 for x in found) for found in told.values()]
    values = {"rows": rows, "controls": controls}
    retrained = bool(again) and all(x > APART for x in again)
    shown = plain and bool(more) and all(more)
    return weighed(shown, bool(hardly) and all(hardly), some and retrained, values)


@claim("ftc-clusters-look-alike")
def alike_in_clusters(apart: Table, clusters: Table) -> Outcome:
    """Where merges clearly differ under the heads, neighbours and probes differ by less than a
    third of that, and merges lie nearer the expert than the base, by both.

    Corrected: the first alone. Fails: in every such suite neighbours and probes of some two merges
    clearly differ by more than a third. Where no suite has such merges it is open.
    """
    pairs = list(itertools.combinations(MERGES, 2))
    alike, near, against, rows = [], [], [], []
    for suite, part, tasks in suites(apart):
        other = clusters[clusters.suite == suite]

        def gaps(table, measure, among, tasks=tasks):
            of = {m: on_tasks(table, m, measure, tasks) for m in MERGES}
            return [of_mean(of[a] - of[b], among) for a, b in pairs]

        gap = max(gaps(part, "under_head", len(pairs)), key=lambda x: abs(x.value))
        row = {"suite": suite, "gap": abs(gap.value)}
        row |= {c: max(abs(x.value) for x in gaps(other, c, 1)) for c in CLUSTERS}
        probes = {m: on_tasks(other, m, "probe", tasks).mean() for m in (*MERGES, BASE, EXPERT)}
        row |= {"base": probes[BASE], "expert": probes[EXPERT]}
        row |= {"least": min(probes[m] for m in MERGES), "most": max(probes[m] for m in MERGES)}
        rows.append(row | {"counts": "counted" if gap.beyond(GAP) else "not counted"})
        if gap.beyond(GAP):
            third = abs(gap.value) / 3
            within = [x.within(third) for c in CLUSTERS for x in gaps(other, c, 1)]
            strict = {c: gaps(other, c, 2 * len(pairs)) for c in CLUSTERS}
            alike.append(all(within))
            against.append(all(any(x.beyond(third) for x in found) for found in strict.values()))
            near += [nearer(other, m, c, tasks).above for m in MERGES for c in CLUSTERS]
    shown = bool(alike) and all(alike)
    values = {"rows": rows}
    return weighed(shown and all(near), bool(against) and all(against), shown, values)


def nearer(clusters: Table, model: str, measure: str, tasks) -> Interval:
    """A model's number minus the middle of the base's and the expert's, over tasks."""
    own, base, expert = (on_tasks(clusters, m, measure, tasks) for m in (model, BASE, EXPERT))
    return of_mean(own - (base + expert) / 2)


@claim("ftc-figs8-10-tsne")
def good_clusters(clusters: Table) -> Outcome:
    """By silhouette, neighbours and probe every merge is nearer the expert than the base, in every
    suite. Fails: every merge is nearer the base by all three, in every suite.
    """
    good, bad, rows = [], [], []
    for suite, part, tasks in suites(clusters):
        places = [nearer(part, m, c, tasks) for m in MERGES for c in ALL_CLUSTERS]
        of = {m: on_tasks(part, m, "silhouette", tasks).mean() for m in (*MERGES, BASE, EXPERT)}
        row = {"suite": suite, "base": of[BASE], "expert": of[EXPERT], "places": len(places)}
        row |= {"least": min(of[m] for m in MERGES), "most": max(of[m] for m in MERGES)}
        row |= {"good": sum(x.above for x in places), "bad": sum(x.below for x in places)}
        rows.append(row)
        good += [x.above for x in places]
        bad += [x.below for x in places]
    shown, against = (bool(found) and all(found) for found in (good, bad))
    return weighed(shown, against, values={"rows": rows})


@claim("ftc-manifold-preserved")
def arrangement_kept(apart: Table, maps: Table) -> Outcome:
    """After the best rotation, scale and shift a merge is as near its expert as a second
    fine-tuning is, within a quarter, and has nine tenths of its CKA and shared neighbours.

    Fails: in every suite that has the control some merge is clearly farther, and has less of both.
    """
    kept, less, rows = [], [], []
    for suite, part, tasks in trusted(apart):
        there = maps[(maps.suite == suite) & maps.task.isin(tasks)]
        control, se = error_of(there, AGAIN, "similarity")
        alike = {
            (m, name): on_tasks(part, m, name, tasks).mean()
            for m in (*MERGES, AGAIN, BASE)
            for name in ("cka", "shared")
        }
        farther = {}
        for m in MERGES:
            error, own_se = error_of(there, m, "similarity")
            both = (own_se**2 + (MORE * se) ** 2) ** 0.5
            gap = error - MORE * control
            farther[m] = Interval(gap, gap - 1.96 * both, gap + 1.96 * both).among(N)
        ratios = {m: [alike[m, n] / alike[AGAIN, n] for n in ("cka", "shared")] for m in MERGES}
        kept += [farther[m].below and min(ratios[m]) >= KEPT for m in MERGES]
        less.append(any(farther[m].above and max(ratios[m]) < KEPT for m in MERGES))
        errors = [error_of(there, m, "similarity")[0] for m in MERGES]
        row = {"suite": suite, "tasks": len(tasks), "again": control}
        row |= {"least": min(errors), "most": max(errors)}
        row["base"] = error_of(there, BASE, "similarity")[0]
        for name in ("cka", "shared"):
            found = [alike[m, name] for m in MERGES]
            row |= {f"{name}_low": min(found), f"{name}_high": max(found)}
            row |= {f"{name}_again": alike[AGAIN, name], f"{name}_base": alike[BASE, name]}
        rows.append(row)
    shown, against = (bool(found) and all(found) for found in (kept, less))
    return weighed(shown, against, values={"rows": rows})
