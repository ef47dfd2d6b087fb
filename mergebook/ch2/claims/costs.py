"""Claims about what M-TIES costs (evidence page 02h)."""

import pandas as pd

from mergebook.ch2.costs import ARRAY, IMAGES, M_TIES, RELEASED, SLABS, formulas
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
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
def evaluation(work: Table) -> Outcome:
    """To test needs more multiply-adds than to score all layers."""
    times = work.test / work["all"]
    rows = work.assign(times=times, released=times * IMAGES / RELEASED).drop_duplicates("tower")
    return Outcome(bool((rows.times > 1).all()), values={"towers": rows})


@claim("mloss-time-three-times-ties")
def time_ratio(card: Table) -> Outcome:
    """M-TIES takes about three times as long as TIES in either form, up to a factor of two.

    Corrected: "not significantly" longer than TIES in one array, less than one and a half times.
    """
    rows = []
    for tower, part in card.groupby("tower", sort=True):
        spent = part.set_index("name").seconds
        rows += [(tower, form, spent[M_TIES] / spent[form]) for form in (ARRAY, SLABS)]
    table = pd.DataFrame(rows, columns=["tower", "form", "ratio"])
    near = table.ratio.between(PRINTED / 2, PRINTED * 2)
    no_more = table[table.form == ARRAY].ratio < 1.5
    return Outcome(bool(near.all()), bool(no_more.all()), {"card": table})
