"""Claims about depth and BatchNorm (page 04i). Starts repeat, and test images are given."""

import pandas as pd

from mergebook.ch4.depths import NORMED, READINGS
from mergebook.ch4.gaps import over_starts
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
PLAIN = "vgg"
TEXT = next(iter(READINGS))  # how the text reads
WORSE = 2.0  # points of single accuracy from which a deeper network counts as the worse one
UNKNOWN = Interval(*[float("nan")] * 3)


def by_family(changes: Table, reading: str, column: str = "gap", among: int = 1) -> dict:
    """`{family: interval}` of a change from the shallowest to the deepest network."""
    return over_starts(changes, column, among, "family", reading=reading)


@claim("rethink-depth-shrinks-gap")
def falls_with_depth(changes: Table) -> Outcome:
    """The gap is smaller in the deepest than in the shallowest network, in most families.

    And clearly larger in none. Corrected: with new moments, or in train mode. Fails: under each
    reading clearly larger in most families, where the deepest is not the worse network.
    """
    sentence = changes[changes.family != NORMED]
    families = list(dict.fromkeys(sentence.family))
    among = len(READINGS) * max(1, len(families))
    found = {r: by_family(sentence, r) for r in READINGS}
    low = {r: by_family(sentence, r, "gap", among) for r in READINGS}
    single = by_family(sentence, TEXT, "single")
    fit = [n for n, x in single.items() if not x.high < -WORSE]

    def shown(reading):
        clear = sum(x.below for x in found[reading].values())
        return clear > len(families) / 2 and not any(x.above for x in low[reading].values())

    def against(reading):
        return sum(low[reading][n].above for n in fit) > len(families) / 2

    first = sentence.drop_duplicates("family").set_index("family")
    there = [r for r in READINGS if shown(r)]
    values = {
        "rows": [
            {"family": n, "shallow": first.shallow[n], "deep": first.deep[n], "single": single[n]}
            | {"gap": found[TEXT][n]}
            for n in families
        ],
        "others": [
            {"reading": r, "family": n, "x": x}
            for r in list(READINGS)[1:]
            for n, x in found[r].items()
            if n != PLAIN
        ],
        "there": " and ".join(there) or "no reading",
        "starts": changes.seed.nunique(),
        "intervals": among,
    }
    return weighed(shown(TEXT), all(map(against, READINGS)), bool(there), values)


@claim("rethink-batchnorm-disrupts-trend")
def norm_disrupts(changes: Table) -> Outcome:
    """In plain VGGs the gap falls with depth; with BatchNorm its change is clearly higher.

    Fails: plain it clearly falls, and with BatchNorm too, under each reading. Without a falling
    trend there is nothing to disrupt.
    """
    among = 1 + 2 * len(READINGS)
    plain = by_family(changes, TEXT).get(PLAIN, UNKNOWN)
    strict = by_family(changes, TEXT, "gap", among).get(PLAIN, UNKNOWN)
    pair = changes[changes.family.isin([PLAIN, NORMED])]
    wide = pair.pivot(index=["reading", "seed", "images"], columns="family", values="gap")
    wide = wide.reindex(columns=[PLAIN, NORMED])
    apart = (wide[NORMED] - wide[PLAIN]).rename("gap").reset_index().assign(family=NORMED)
    rows = [
        {"reading": r, "x": by_family(changes, r).get(NORMED, UNKNOWN)}
        | {"apart": by_family(apart, r).get(NORMED, UNKNOWN)}
        for r in READINGS
    ]
    falls = [by_family(changes, r, "gap", among).get(NORMED, UNKNOWN).below for r in READINGS]
    values = {"plain": plain, "rows": rows, "intervals": among}
    values["starts"] = changes.seed.nunique()
    disrupted = plain.below and rows[0]["apart"].above
    return weighed(disrupted, strict.below and all(falls), values=values)
