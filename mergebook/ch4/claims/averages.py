"""Claims about soups and ensembles of small networks of several architectures (page 04q).

Starts are the repetitions, and their test images are given. A sentence holds if each interval shows
it; intervals that exclude are corrected for their number. The models that decide begin with small
classifiers of their own, as the paper's do; tables of other classifiers are controls, which notes
tell.
"""

from collections.abc import Iterable

import pandas as pd

from mergebook.ch4.gaps import beside_each, change, over_starts
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
Seen = dict[str, Interval]
MOST, FEW, UP_TO = 10, 2, (2, 3, 5, 7)
ONE_KIND = "vit"  # the other networks are convolutional
SCOPE = "CIFAR-100"


def interval_list(found: Seen) -> list[dict]:
    """Intervals as rows that a sentence can say."""
    return [{"network": n, "x": x} for n, x in found.items()]


def cnns_of(table: Table) -> Table:
    """The rows of networks that are no transformers."""
    return table[table.network != ONE_KIND]


def clear_in(found: Seen) -> list[str]:
    """The networks whose interval lies above zero."""
    return [n for n, x in found.items() if x.above]


def most_of(names: Iterable[str], every: Iterable[str]) -> bool:
    """Whether more than half are named."""
    return len(set(names)) > len(set(every)) / 2


def counted_control(control: Table, column: str, members: int) -> dict:
    """In how many groups of a control a difference is above zero, of how many."""
    own = control[control.members == members]
    return {"there": int((own[column] > 0).sum()), "all": len(own), "mean": own[column].mean()}


def controls_told(one: Table, own: Table, column: str, members: int = MOST) -> list[dict]:
    """The same of both controls: one classifier for all, and large ones of their own."""
    parts = {"one classifier for all": one, "large classifiers of their own": own}
    return [{"kind": k} | counted_control(t, column, members) for k, t in parts.items()]


# --------------------------------------------------------------------------- best and worst method


@claim("rethink-fig3-ten-models")
def best_and_worst(scores: Table, one: Table, own: Table) -> Outcome:
    """With ten models logits are best in most networks and beaten in none, and soups last in all.

    Corrected: soups are last in most networks, clearly above another method in none. Fails: logits
    are beaten in most networks, or soups not last in most of them.
    """
    ten = scores[scores.members == MOST]
    networks = list(dict.fromkeys(ten.network))
    lead, trail = (over_starts(ten, column) for column in ("lead", "trail"))
    among = max(1, 2 * len(networks))
    low = {c: over_starts(ten, c, among) for c in ("lead", "trail")}
    beaten, passed = ([n for n, x in low[c].items() if x.below] for c in ("lead", "trail"))
    best = most_of(clear_in(lead), networks) and not beaten
    last = clear_in(trail)
    values = {
        "lead": interval_list(lead),
        "trail": interval_list(trail),
        "best": len(clear_in(lead)),
        "last": len(last),
        "networks": len(networks),
        "there": ", ".join(last) or "none",
        "starts": ten.seed.nunique(),
        "intervals": among,
        "controls": controls_told(one, own, "trail"),
    }
    holds = best and set(last) == set(networks)
    against = most_of(beaten, networks) or most_of(passed, networks)
    return weighed(holds, against, best and most_of(last, networks) and not passed, values)


@claim("rethink-figs17-18-architectures")
def same_order_for_few(scores: Table, one: Table, own: Table) -> Outcome:
    """With 2 to 7 models logits are best and soups last in every network; the ViT's gap grows.

    Corrected: soups are last in every network and the gap grows, and logits are beaten in none.
    Fails: logits are clearly beaten, soups clearly not last, or the gap clearly shrinks.
    """
    few = scores[scores.members.isin(UP_TO)]
    each = [(n, c) for n in UP_TO for c in ("lead", "trail")]
    among = 2 * few.network.nunique() * len(UP_TO) + 1
    plain = {key: over_starts(few, key[1], members=key[0]) for key in each}
    low = {key: over_starts(few, key[1], among, members=key[0]) for key in each}
    grown = change(few[few.network == ONE_KIND], "gap", min(UP_TO), max(UP_TO))
    widening = over_starts(grown, "gap").get(ONE_KIND)
    narrowing = over_starts(grown, "gap", among).get(ONE_KIND)
    found = {c: [x for (_, k), v in plain.items() if k == c for x in v.values()] for _, c in each}
    below = {
        c: [x.below for (_, k), v in low.items() if k == c for x in v.values()] for _, c in each
    }
    values = {
        "first": sum(x.above for x in found["lead"]),
        "last": sum(x.above for x in found["trail"]),
        "of": len(found["lead"]),
        "least": min((x.value for x in found["lead"]), default=float("nan")),
        "behind": min((x.value for x in found["trail"]), default=float("nan")),
        "widening": widening or Interval(*[float("nan")] * 3),
        "starts": few.seed.nunique(),
        "intervals": among,
        "controls": controls_told(one, own, "trail", max(UP_TO)),
    }
    there = bool(found["lead"]) and widening is not None
    last = there and all(x.above for x in found["trail"]) and widening.above
    first = there and all(x.above for x in found["lead"])
    against = any(below["lead"] + below["trail"]) or (there and narrowing.below)
    return weighed(first and last, against, last and not any(below["lead"]), values)


# ------------------------------------------------------------------------------------- more models


def rising_data(printed: Table, method: str) -> int:
    """Of how many printed data sets a method's score with ten models is above that with two."""
    wide = printed.pivot(index="data", columns="models", values=method)
    return int((wide[MOST] > wide[FEW]).sum())


@claim("rethink-more-models-help")
def more_models(scores: Table, printed: Table) -> Outcome:
    """From 2 to 10 models soups and ensembles rise, on most printed data sets and here.

    In general: on more than half of the data sets, clearly in most networks here and clearly down
    in none. Corrected: so for ensembles of logits, and uniform soups do not
    rise on most data sets. Fails: logits do not either, or clearly fall in a network.
    """
    kinds = ("uniform", "greedy", "logits", "features")
    data = {m: rising_data(printed, m) for m in kinds}
    half, networks = printed["data"].nunique() / 2, list(dict.fromkeys(scores.network))
    found = {m: over_starts(change(scores, m, FEW, MOST), m) for m in kinds}
    among = len(kinds) * max(1, len(networks))
    low = {m: over_starts(change(scores, m, FEW, MOST), m, among) for m in kinds}
    shown = {
        m: data[m] > half
        and most_of(clear_in(found[m]), networks)
        and not any(x.below for x in low[m].values())
        for m in kinds
    }
    rows = [
        {"method": m, "data": data[m], "clear": len(clear_in(found[m]))}
        | {"falls": sum(x.below for x in low[m].values())}
        | {"mean": sum(x.value for x in found[m].values()) / max(1, len(networks))}
        for m in kinds
    ]
    values = {"rows": rows, "sets": printed["data"].nunique(), "networks": len(networks)}
    values |= {"starts": scores.seed.nunique(), "intervals": among}
    values["others"] = ", ".join(m for m in kinds if not shown[m]) or "none"
    against = data["logits"] <= half or any(x.below for x in low["logits"].values())
    return weighed(
        all(shown.values()), against, shown["logits"] and data["uniform"] <= half, values
    )


@claim("rethink-fig7a-gap-grows-with-models")
def gap_grows(scores: Table, printed: Table, one: Table, own: Table) -> Outcome:
    """In each CNN the gap grows from 2 to 10 models, and no step between is clearly down.

    Printed, VGG19 on CIFAR-100: it grows from 2 to 10. Corrected: in some CNNs, whose intervals are
    corrected for the number of CNNs, and clearly down in none. Fails: clearly down in most.
    """
    table = cnns_of(scores)
    networks, counts = list(dict.fromkeys(table.network)), sorted(table.members.unique())
    number, steps = max(1, len(networks)), list(zip(counts, counts[1:]))
    rise = change(table, "gap", FEW, MOST)
    found, chosen = over_starts(rise, "gap"), over_starts(rise, "gap", number)
    among = number * (len(steps) + 1)
    down = [
        (n, a, b)
        for a, b in steps
        for n, x in over_starts(change(table, "gap", a, b), "gap", among).items()
        if x.below
    ]
    fallen = [n for n, x in over_starts(rise, "gap", among).items() if x.below]
    own_rows = printed[printed["data"] == SCOPE].set_index("models")
    gap = own_rows.logits - own_rows.uniform
    values = {
        "rows": [
            row | {"rise": found[row["network"]]}
            for row in beside_each(table, "gap", FEW, MOST).to_dict("records")
        ],
        "printed": [{"models": n, "gap": v} for n, v in gap.sort_index().items()],
        "there": ", ".join(n for n in networks if n in clear_in(chosen)) or "none",
        "starts": table.seed.nunique(),
        "intervals": among,
        "controls": controls_told(
            *(change(cnns_of(t), "gap", FEW, MOST).assign(members=MOST) for t in (one, own)), "gap"
        ),
    }
    holds = (
        bool(networks)
        and set(clear_in(found)) == set(networks)
        and not down
        and gap[MOST] > gap[FEW]
    )
    corrected = bool(clear_in(chosen)) and not fallen and bool(gap[MOST] > gap[FEW])
    return weighed(bool(holds), most_of(fallen, networks), corrected, values)


@claim("rethink-fig19-greedy-gap")
def greedy_gap(scores: Table, printed: Table) -> Outcome:
    """Logits minus greedy soups generally grows; these lose less than uniform ones, by one model.

    Generally: clear in most CNNs, clearly the reverse in none. By one model: greedy soups of ten
    hold one. Corrected: gap and loss are so, but some greedy soups hold more than one. Fails: the
    gap clearly shrinks, or greedy soups clearly lose more than uniform ones, in most CNNs.
    """
    table = cnns_of(scores)
    table = table.assign(spared=table.greedy - table.uniform)
    networks = list(dict.fromkeys(table.network))
    columns, among = ("greedy gap", "spared", "greedy"), 3 * max(1, len(networks))
    rises = {c: change(table, c, FEW, MOST) for c in columns}
    found = {c: over_starts(v, c) for c, v in rises.items()}
    low = {c: [n for n, x in over_starts(v, c, among).items() if x.below] for c, v in rises.items()}
    general = all(most_of(clear_in(found[c]), networks) for c in columns[:2])
    general &= not any(low.values())
    kept = table[table.members == MOST].groupby("network", sort=False).kept.mean()
    rows = [
        {"network": n, "gap": found["greedy gap"][n], "greedy": found["greedy"][n], "kept": kept[n]}
        for n in networks
    ]
    own = printed[printed["data"] == SCOPE].set_index("models")
    gap = own.logits - own.greedy
    values = {"rows": rows, "few": gap[FEW], "many": gap[MOST], "most": kept.max()}
    values |= {
        "clear": len(clear_in(found["greedy gap"])),
        "spared": len(clear_in(found["spared"])),
    }
    values |= {"networks": len(networks), "starts": table.seed.nunique(), "intervals": among}
    alone = bool((kept == 1).all())
    against = any(most_of(low[c], networks) for c in columns[:2])
    return weighed(general and alone, against, general and not alone, values)
