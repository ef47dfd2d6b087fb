"""Claims about how many inputs, draws, layers and settings M-TIES needs (evidence page 02e)."""

from collections.abc import Sequence

import pandas as pd

from mergebook.ch2.models import UNEVEN, minus
from mergebook.ch2.nodes import late_layers
from mergebook.ch2.printed import least_lead, row_means
from mergebook.ch2.samples import (
    DRAWN,
    around_deviation,
    deviations,
    mean_gap,
    own_size,
    runs_with,
    size_gaps,
)
from mergebook.ch2.transfer import regrets_of_reuse, sensitivity
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.weighing import weighed

Table = pd.DataFrame
WITHIN = 0.5  # points; what we take "little change" and "almost no change" to mean
ALIKE = 0.9  # rank correlation of nodes
USED = 128  # inputs in all, by Section 6.1
FIG3 = "clip-vit-b-32"  # the network of Figure 3


def _all_equal(gaps: Sequence[Interval]) -> bool:
    """Whether there are gaps, and each is shown to be smaller than `WITHIN`."""
    return len(gaps) > 0 and all(gap.within(WITHIN) for gap in gaps)


def _some_other(gaps: Sequence[Interval]) -> bool:
    """Whether a gap is larger than `WITHIN`, its interval corrected for their number."""
    return any(gap.among(len(gaps)).beyond(WITHIN) for gap in gaps)


@claim("mloss-table2-sample-size")
def sample_size(table2: Table, answers: Table, agreement: Table) -> Outcome:
    """Averages are printed rightly; from the page's size up accuracy and ranks are those of all.

    Fails: an average is wrong, or accuracy clearly changes.
    """
    off, least, rows = row_means(table2).off.max(), own_size(answers), []
    for gap in size_gaps(answers).itertuples():
        ranks = agreement[(agreement.suite == gap.suite) & (agreement.inputs == gap.inputs)]
        rows.append(gap._asdict() | {"rank": ranks.correlation.min()})
    rows = [row for row in rows if row["inputs"] < row["most"]]
    decisive = [row for row in rows if row["inputs"] >= least]
    right = bool(off <= 0.001 + 1e-9)
    alike = all(row["rank"] > ALIKE for row in decisive)
    gaps = [row["gap"] for row in decisive]
    return weighed(
        right and alike and _all_equal(gaps),
        not right or _some_other(gaps),
        values={"off": off, "rows": rows, "least": int(least)},
    )


@claim("mloss-stability-over-draws")
def stability(table1: Table, answers: Table) -> Outcome:
    """Two deviations over draws of inputs are less than the least lead that Table 1 claims.

    Fails: in some suite they are clearly more, its interval corrected for the number of suites.
    """
    found, lead = deviations(answers), least_lead(table1)
    mine = found[found.model == "M-TIES"]
    return weighed(
        all(_steady(each, lead) for each in mine.deviation),
        _some_unsteady(mine, lead),
        values={
            "suites": mine,
            "count": len(mine),
            "lead": lead,
            "half": lead / 2,
            "rows": found[found.draws > 1],
        },
    )


def _steady(deviation: Interval, lead: float) -> bool:
    """Whether a lead is more than two deviations."""
    return 2 * deviation.high < lead


def _some_unsteady(rows: Table, lead: float) -> bool:
    """Whether in some row a lead is less than two deviations, corrected for their number."""
    strict = [around_deviation(r.deviation.value, r.draws, len(rows)) for r in rows.itertuples()]
    return any(2 * each.low > lead for each in strict)


@claim("mloss-summary-stability-across-seeds")
def steadier_than_ties(answers: Table, moved: Table) -> Outcome:
    """M-TIES varies less over draws than TIES, whose deviation is 0 if no draw moves its weights.

    Corrected: it varies less than DARE in every suite; the intervals of that are corrected for
    their number.
    Fails: in every suite it varies as much as TIES or more, and clearly more than DARE.
    """
    found = deviations(answers).set_index(["suite", "model"])
    still = moved.set_index(["suite", "model"]).moved == 0
    rows, steadier, wilder, among = [], [], [], 2 * answers.suite.nunique()
    for suite in answers.suite.unique():
        of = found.deviation[suite]
        ties = Interval(0, 0, 0) if still[suite, "TIES"] else of["TIES"]
        row = {"suite": suite, "mine": of["M-TIES"], "ties": ties}
        rows.append(row | {"random": of["random order"], "dare": of["DARE"]})
        mine, dare, drawn = (
            around_deviation(
                of[name].value, found.draws[suite, name], among, found.step[suite, name]
            )
            for name in ("M-TIES", "DARE", "TIES")
        )
        steadier.append(mine.high < dare.low)
        as_wild = mine.low >= (ties if still[suite, "TIES"] else drawn).high
        wilder.append(as_wild and dare.high < mine.low)
    return weighed(
        all(row["mine"].high < row["ties"].low for row in rows),
        all(wilder),
        all(steadier),
        {"suites": rows, "among": among},
    )


@claim("mloss-128-samples")
def enough_inputs(drawn: Table, answers: Table) -> Outcome:
    """128 inputs are what was drawn, and more inputs or an uneven draw give the same accuracy.

    Corrected: they give the same, and another number was drawn. Fails: they clearly do not.
    """
    rows, samples = [], own_size(answers)
    for suite, part in answers.groupby("suite", sort=False):
        mine = runs_with(part, **DRAWN["M-TIES"], samples=samples)
        whole = runs_with(part, **DRAWN["M-TIES"])[-1:]  # of all inputs there is one draw
        uneven = runs_with(part, order=f"released{UNEVEN}")
        gaps = {"whole": mean_gap(whole, mine), "uneven": mean_gap(uneven, mine)}
        rows.append({"suite": suite} | gaps)
    gaps = [row[name] for row in rows for name in ("whole", "uneven")]
    total = int((drawn.batches * drawn["size"]).sum())
    return weighed(
        _all_equal(gaps) and total == USED,
        _some_other(gaps),
        _all_equal([gap.among(len(gaps)) for gap in gaps]),
        {"suites": rows, "total": total, "count": len(gaps), "samples": int(samples)},
    )


def _few_gaps(answers: Table) -> list[dict]:
    """For each suite all layers minus each set of layers, with one draw of inputs."""
    rows, samples = [], own_size(answers)
    for suite, part in answers.groupby("suite", sort=False):
        every = runs_with(part, **DRAWN["M-TIES"], samples=samples, draw=0)[0]
        few = part[~part.scheduled.isin(["all"])].sort_values("scheduled")
        for name in few.scheduled:
            gap = minus(every, runs_with(few, scheduled=name)[0])
            rows.append({"suite": suite, "name": name, "gap": gap})
    return rows


@claim("mloss-few-layer-equivalent")
def few_layers_suffice(answers: Table) -> Outcome:
    """Rates by M-Loss in the first and last few layers, or the last, give accuracy as in all."""
    rows = _few_gaps(answers)
    gaps = [row["gap"] for row in rows if row["name"] in ("first, last", "last")]
    return weighed(_all_equal(gaps), _some_other(gaps), values={"rows": rows, "count": len(gaps)})


@claim("mloss-flat-tables")
def flat_without_score(table1: Table, answers: Table) -> Outcome:
    """Random orders are as good and as steady as M-TIES, and no schedule is as good as all layers.

    Each passes the test that the claim on Table 2, 3, 5 or 6 sets. It is not so: one clearly fails.
    """
    found, samples = deviations(answers), own_size(answers)
    chance, lead = found[found.model == "random order"], least_lead(table1)
    each = found.set_index(["suite", "model"]).deviation
    none = {row["suite"]: row["gap"] for row in _few_gaps(answers) if row["name"] == "none"}
    rows = []
    for suite, part in answers.groupby("suite", sort=False):
        mine = runs_with(part, **DRAWN["M-TIES"], samples=samples)
        row = {"suite": suite, "none": none[suite], "deviation": each[suite, "random order"]}
        row |= {"gap": mean_gap(mine, runs_with(part, **DRAWN["random order"]))}
        rows.append(row | {"own": each[suite, "M-TIES"]})
    gaps = [row[name] for row in rows for name in ("gap", "none")]
    return weighed(
        _all_equal(gaps) and all(_steady(row["deviation"], lead) for row in rows),
        _some_other(gaps) or _some_unsteady(chance, lead),
        values={"suites": rows, "count": len(gaps) + len(rows), "lead": lead},
    )


@claim("mloss-summary-few-layer-wording")
def few_layer_wording(layers: Table) -> Outcome:
    """Only the first and last layers are trimmed, or their changes are pruned away.

    Corrected: every layer is trimmed and moves; only those layers have rates of their own by node.
    """
    worded, fits = [], []
    for _, part in layers.groupby("suite", sort=False):
        named, others = part[part.named], part[~part.named]
        alone = len(others) > 0 and (named.trimmed > 0).all() and (others.trimmed == 0).all()
        worded.append(bool((named.moved == 0).all() or alone))
        by_node = len(others) > 0 and (named.rates > 1).all() and (others.rates == 1).all()
        fits.append(bool(by_node and (part.trimmed > 0).all() and (part.moved > 0).all()))
    undecided = layers.groupby("suite").named.all().any()
    counts = layers.groupby("suite", sort=False).agg(
        layers=("named", "size"),
        named=("named", "sum"),
        trimmed=("trimmed", lambda t: (t > 0).sum()),
    )
    values = {"suites": counts.reset_index()}
    return Outcome(None if undecided else all(worded), all(fits), values)


@claim("mloss-fig3-layer-profile")
def layer_profile(profile: Table) -> Outcome:
    """In ViT-B/32 the first layer and the last few before the last exceed the middle ones, raw.

    Fails: one of the two clearly does not. Other networks are shown and decide nothing.
    """
    rows = []
    for (suite, kind), part in profile.groupby(["suite", "kind"], sort=False):
        layers = part.pivot(index="draw", columns="layer", values="ratio").sort_index(axis=1)
        late = layers.iloc[:, late_layers(layers.shape[1])].mean(axis=1)
        found = {"first": of_mean(layers.iloc[:, 0] - 1), "late": of_mean(late - 1)}
        strict = [of_mean(x - 1, among=2) for x in (layers.iloc[:, 0], late)]
        text = {n: Interval(*(1 + v for v in gap)) for n, gap in found.items()}
        decides = suite == FIG3 and kind == "raw"
        row = {"suite": suite, "kind": kind, "gaps": found, "strict": strict}
        rows.append(row | {"decides": decides} | text)
    gaps = [gap for row in rows if row["decides"] for gap in row["gaps"].values()]
    strict = [gap for row in rows if row["decides"] for gap in row["strict"]]
    return weighed(
        bool(gaps) and all(gap.above for gap in gaps),
        any(gap.below for gap in strict),
        values={"rows": rows},
    )


@claim("mloss-hyperparameters-transfer")
def settings_reused(logs: Table) -> Outcome:
    """By the public logs, the printed rows of ViT-L/14 have the settings found on ViT-B/32."""
    agree = None if not len(logs) else bool((logs.relation == "agrees").all())
    return Outcome(agree, values={"logs": logs})


@claim("mloss-settings-carry-over")
def settings_carry_over(grids: Table, accuracies: Table) -> Outcome:
    """Settings of a small network cost a larger one less than families of networks differ."""
    worlds = regrets_of_reuse(grids)
    regret, families = of_mean(worlds.regret), worlds.own.std(ddof=1)
    on_suite = sensitivity(accuracies)
    return Outcome(
        bool(regret.high < families),
        values={
            "chosen": ", ".join(f"({k:g}, {e:g})" for k, e in sorted(set(worlds.narrow))),
            "regret": regret,
            "families": families,
            "worlds": len(worlds),
            "by_k": worlds.by_k.mean(),
            "by_e": worlds.by_e.mean(),
            "suite_k": on_suite["by_k"],
            "suite_e": on_suite["by_e"],
        },
    )
