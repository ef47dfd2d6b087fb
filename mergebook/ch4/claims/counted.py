"""Claims about data sets, parameters and operations (evidence page 04f): exact arithmetic."""

import pandas as pd

from mergebook.ch4.printed import CHEST, QUARTER_RULE
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
SLACK = 1e-9  # of binary fractions


@claim("rethink-table2-datasets")
def data_sizes(sizes: Table) -> Outcome:
    """Sizes are all published images, and classes as published.

    Corrected: but for one set, of which the training images alone are counted.
    """
    off = sizes[sizes.printed != sizes.published]
    classes = bool((sizes.classes == sizes["published classes"]).all())
    values = {"unlike": off, "sets": len(sizes), "classes": classes}
    trained = len(off) == 1 and bool((off.printed == off.training).all())
    return Outcome(classes and not len(off), classes and trained, values)


@claim("rethink-large-scale-datasets")
def over_a_hundred_thousand(sizes: Table) -> Outcome:
    """Tiny ImageNet and ChestXRay have over 100,000 images, in Table 2 and as published.

    Corrected: as published, with validation and test images.
    """
    named = sizes.set_index("data").loc[["TinyImageNet", "ChestXRay"]]
    values = {"sets": named.reset_index()}
    printed, published = ((named[n] > 100_000).all() for n in ("printed", "published"))
    return Outcome(bool(printed and published), bool(published), values)


@claim("rethink-chestxray-patients")
def chest_counts(stated: Table) -> Outcome:
    """Images, patients and labels of ChestXRay14 as stated are as published."""
    given = stated.set_index("what").number
    off = [{"what": n, "stated": given[n], "published": v} for n, v in CHEST.items()]
    values = {"counts": off, "wrong": sum(r["stated"] != r["published"] for r in off)}
    return Outcome(values["wrong"] == 0, values=values)


@claim("rethink-eq14-reference")
def reference(equations: Table) -> Outcome:
    """Eq. 14 is the rule that the supplement proves. Corrected: one of another number is."""
    found = equations[equations.says == QUARTER_RULE].number
    values = {"last": int(equations.number.max()), "numbers": ", ".join(map(str, sorted(found)))}
    return Outcome(bool((found == 14).any()), len(found) == 1, values)


@claim("rethink-table8-parameters")
def parameters(counts: Table) -> Outcome:
    """Parameters within 0.1 million for all. Corrected: for nine in ten."""
    off = (counts.parameters - counts.printed).abs()
    far = counts[off >= 0.1].sort_values("network")
    far = far.assign(off=off[far.index])
    values = {"networks": len(counts), "far": far, "some": len(far), "most": off.max()}
    return Outcome(not len(far), len(far) <= len(counts) / 10, values)


@claim("rethink-table8-flops")
def operations_printed(counts: Table) -> Outcome:
    """Printed FLOPs are two operations a multiply-add, within 5 %. Corrected: multiply-adds."""
    ratio = counts.FLOPs / counts["multiply-adds"]
    values = {"low": ratio.min(), "high": ratio.max(), "median": ratio.median()}
    values |= {"networks": len(counts)}
    twice, once = (bool(((ratio / n - 1).abs() < 0.05).all()) for n in (2, 1))
    return Outcome(twice, once, values)


def _rounding(printed: float) -> float:
    """How far off a number of two decimals may be; of one, if its second is a zero."""
    return 0.05 if abs(printed * 10 - round(printed * 10)) < 1e-6 else 0.005


@claim("rethink-table8-bn-increment")
def norm_increments(counts: Table) -> Outcome:
    """One number of operations an entry gives all four printed increments, up to rounding.

    A printed number that ends in a zero may have one decimal.
    """
    by, rows = counts.set_index("network"), []
    for name in ("VGG11", "VGG13", "VGG16", "VGG19"):
        added = by.FLOPs[f"{name}_BN"] - by.FLOPs[name]
        entries = by.normalised[f"{name}_BN"]
        free = sum(_rounding(by.FLOPs[n]) for n in (name, f"{name}_BN"))
        row = {"network": name, "added": added, "twice": 2 * entries}
        rows.append(row | {"low": (added - free) / entries, "high": (added + free) / entries})
    low, high = max(r["low"] for r in rows), min(r["high"] for r in rows)
    return Outcome(bool(low <= high + SLACK), values={"networks": rows})
