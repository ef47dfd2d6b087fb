"""Claims about what M-TIES costs (evidence page 02h)."""

import pandas as pd

from mergebook.ch2.costs import ARRAY, IMAGES, M_TIES, RELEASED, SLABS, TENSORS, formulas
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
# TIES in slabs is what M-TIES is built on, TIES in one array what public code has.
FORMS = {SLABS: "TIES in slabs", TENSORS: TENSORS, ARRAY: ARRAY}
PRINTED = 3.0  # 90 s against 30 s, and 3 minutes against one


@claim("mloss-cost-layer-count")
def layer_count(passes: Table) -> Outcome:
    """Layer k costs k - 1 + q, by hooks as by formula; so all cost less than from the start."""
    rows = passes.set_index("way")
    exact = bool((rows.counted == rows.formula).all())
    paper = formulas(12, 8)
    shared, alone = paper["shared input, a pass a layer"], paper["each model alone, from the start"]
    counted = rows.counted
    less = counted["shared input, a pass a layer"] < counted["each model alone, from the start"]
    values = {
        "exact": exact,
        "shared": shared,
        "alone": alone,
        "once": paper["each model alone, once"],
        "one_pass": paper["shared input, one pass"],
    }
    return Outcome(exact and bool(less), values=values)


@claim("mloss-few-layer-cost")
def few_layers(work: Table) -> Outcome:
    """A few scored layers save more than half of all that scoring and testing compute.

    Corrected: more than half of the scoring, in both variants that the paper prints.
    """
    rows = work.assign(
        times=work["all"] / work.few,
        share=100 * (work["all"] - work.few) / (work["all"] + work.test),
    )
    whole, scoring = rows.share > 50, rows.times > 2
    return Outcome(bool(whole.all()), bool(scoring.all()), {"towers": rows})


@claim("mloss-evaluation-dominates-time")
def evaluation(work: Table, spent: Table) -> Outcome:
    """By the printed times evaluation takes most, and by multiply-adds testing exceeds scoring.

    Fails: by neither.
    """
    times = work.test / work["all"]
    rows = work.assign(times=times, released=times * IMAGES / RELEASED).drop_duplicates("tower")
    total = spent.evaluation + spent.m_ties
    share = 100 * spent.evaluation / total
    printed, counted = bool((share > 50).all()), bool((rows.times > 1).all())
    values = {"towers": rows, "printed": spent.assign(share=share, total=total)}
    return weighed(printed and counted, not printed and not counted, values=values)


@claim("mloss-time-three-times-ties")
def time_ratio(card: Table) -> Outcome:
    """M-TIES takes about three times as long as TIES in each form, up to a factor of two.

    From the fastest and the slowest round. Corrected: so it is against one form, on both towers.
    Fails: against each form it is not, on some tower.
    """
    rows, slower = [], []
    for tower, part in card.groupby("tower", sort=True):
        of = part.set_index("name")
        mine = of.loc[M_TIES]
        slower.append({"tower": tower, "more": mine.seconds - of.seconds[SLABS]})
        for form in FORMS:
            ties = of.loc[form]
            ratio = Interval(
                mine.seconds / ties.seconds, mine.low / ties.high, mine.high / ties.low
            )
            rows.append((tower, form, ratio))
    table = pd.DataFrame(rows, columns=["tower", "form", "ratio"])
    least, most = PRINTED / 2, PRINTED * 2
    near = table.assign(near=[least < r.low and r.high < most for r in table.ratio])
    out = table.assign(out=[r.high < least or most < r.low for r in table.ratio])
    near, out = near.groupby("form").near.all(), out.groupby("form").out.any()
    named = " and ".join(FORMS[form] for form in FORMS if near.get(form))
    values = {"card": table.assign(form=table.form.map(FORMS)), "forms": named or "no form"}
    values |= {"least": least, "most": most, "slower": slower}
    return weighed(bool(near.all()), bool(out.all()), bool(near.any()), values)
