"""Claims about repairs trained on test inputs (evidence page 05f)."""

import pandas as pd

from mergebook.ch5.asking import ALIGNED, FT, HEAD, like_the_paper, right_after
from mergebook.ch5.claims.protocols import all_pass, some_in_each
from mergebook.ch5.encoders import BASE, MERGES
from mergebook.ch5.leaking import OTHER, OWN, beyond_share, closed, lead_of_own, part_of_halves
from mergebook.claims import Outcome, claim
from mergebook.intervals import of_runs
from mergebook.weighing import weighed

Table = pd.DataFrame
BOTH = (ALIGNED, FT)
N = len(MERGES) * len(BOTH)
NEAR, HARM = 0.8, 0.5  # share of the gap; points
APART, IDENTICAL = 8.5 / 2, 2.0  # points: half of what Table 1 has between the two; nearly none
PRINTED = "test"


def on_test(leaked: Table) -> Table:
    """The trainings on test inputs; those on training inputs are for the curve alone."""
    return leaked[leaked.split == PRINTED]


@claim("ftc-fig4-aligned-near-upper-bound")
def near_the_expert(leaked: Table, asked: Table) -> Outcome:
    """Both alignments clearly close more than four fifths of the gap on inputs that did not train
    them, for every merge, where heads know nothing of the base.

    Corrected: on the inputs that trained them, and clearly more than on others. Fails: not even
    there, clearly, for some merge in every such suite.
    """
    held, trained, more, rows, there = {}, {}, {}, [], like_the_paper(asked)
    for suite, part in on_test(leaked).groupby("suite"):
        how = [(m, way) for way in BOTH for m in MERGES]
        row = {"suite": suite, "counts": "counted" if suite in there else "not counted"}
        for name, split in (("own", OWN), ("other", OTHER)):
            found = [closed(part, *h, split) for h in how]
            row |= {f"{name}_low": min(found), f"{name}_high": max(found)}
        rows.append(row | {"base": closed(part, BASE, ALIGNED, OWN)})
        if suite in there:
            held[suite], trained[suite] = (
                [beyond_share(part, *h, split, NEAR, 3 * N) for h in how] for split in (OTHER, OWN)
            )
            more[suite] = [lead_of_own(part, *h, among=3 * N) for h in how]
    corrected = all_pass(trained, lambda x: x.above) and all_pass(more, lambda x: x.above)
    against = some_in_each(trained, lambda x: x.below)
    return weighed(all_pass(held, lambda x: x.above), against, corrected, {"rows": rows})


@claim("ftc-alignment-uses-test-inputs")
def own_inputs_lead(leaked: Table) -> Outcome:
    """Trained on the test inputs themselves, repairs are within half a point of those trained on
    others, for every merge in every suite.

    Corrected: each is clearly better by more than half a point. Fails: some clearly are, in every
    suite.
    """
    found, rows = {}, []
    for suite, part in on_test(leaked).groupby("suite"):
        found[suite] = [lead_of_own(part, m, way, among=N) for way in BOTH for m in MERGES]
        row = {"suite": suite, "n": int(part.amount.max()), "width": int(part.width.max())}
        row |= {"least": min(found[suite]), "most": max(found[suite])}
        rows.append(row)
    curve = [
        {
            "suite": s,
            "n": n,
            "width": int(part.width.max()),
            "lead": lead_of_own(part, MERGES[0], FT),
        }
        for (s, n), part in leaked[leaked.split != PRINTED].groupby(["suite", "amount"])
    ]
    within, clear = all_pass(found, lambda x: x.within(HARM)), lambda x: x.low > HARM
    values = {"rows": rows, "curve": curve}
    return weighed(within, some_in_each(found, clear), all_pass(found, clear), values)


@claim("ftc-methods-equal-after-alignment")
def equal_at_the_end(leaked: Table, asked: Table) -> Outcome:
    """Where averaging is far below task arithmetic under the heads, of texts, they end within two
    points, by both alignments, on inputs that trained them and on others.

    Corrected: averaging gains clearly more by each. Fails: by each alignment they clearly end more
    than two points apart, on both kinds of inputs, in every such suite.
    """
    first, second = MERGES[:2]
    near, apart, gained, rows = [], [], [], []
    for suite, part in on_test(leaked).groupby("suite"):
        own = asked[asked.suite == suite]
        before = of_runs(right_after(own, first, HEAD), right_after(own, second, HEAD))
        counts = bool(own.texts.all() and before.below and before.value < -APART)
        ends = [
            of_runs(*(part_of_halves(part, m, way, split) for m in (first, second)), 2 * len(BOTH))
            for way in BOTH
            for split in (OWN, OTHER)
        ]
        row = {"suite": suite, "counts": "counted" if counts else "not counted", "before": before}
        rows.append(row | {"own": ends[0], "other": ends[1]})
        if counts:
            near += [x.within(IDENTICAL) for x in ends]
            apart.append(all(x.beyond(IDENTICAL) for x in ends))
            gained += [x.low > before.high for x in ends]
    shown, against, more = (bool(x) and all(x) for x in (near, apart, gained))
    return weighed(shown, against, more, {"rows": rows})
