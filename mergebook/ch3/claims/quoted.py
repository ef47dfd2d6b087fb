"""Claims of the text about tables: quotes, amounts of data, pointers (evidence page 03d)."""

import pandas as pd

from mergebook.ch3.printed import LEAD, PLUS, SLACK, averaged, lead_of, merging, runner_up
from mergebook.ch3.quoted import (
    HEADLINES,
    MORE_DATA,
    QUOTED_GAINS,
    QUOTED_LINES,
    QUOTED_TIES,
    TIMES,
    UNITS,
    one_story,
    quoted_averages,
)
from mergebook.claims import Outcome, claim

Table = pd.DataFrame
PLAIN = "LW StatsMerging"
WITH, WITHOUT = "with validation", "without validation"
SAME = 0.051  # points: half of the last digit of a printed difference, with a binary fraction


@claim("stats-text-quotes-wemoe")
def averages_quoted(b32: Table, l14: Table) -> Outcome:
    """Section 4.2 quotes WEMoE and AdaMerging as the tables have them.

    Corrected: the second pair is that of AdaMerging++, and StatsMerging++ is above all of them.
    """
    found = quoted_averages(b32, l14)
    text, tables = found.text.dropna(), found.tables
    others = [tables[name] for name in ("WEMoE", "AdaMerging", "AdaMerging++")]
    above = all(p > max(pair) for p, *pair in zip(tables["StatsMerging++"], *others))
    values = {
        "rows": [{"method": m, "b32": b, "l14": large} for m, (b, large) in tables.items()],
        "wemoe": tables["WEMoE"][0],
        "plain": tables["StatsMerging"][0],
        "short": tables["WEMoE"][0] - tables["StatsMerging"][0],
    }
    renamed = text["AdaMerging"] == tables["AdaMerging++"]
    return Outcome(all(text[n] == tables[n] for n in text.index), renamed and above, values)


@claim("stats-text-nlp-gains")
def gains_quoted(t5base: Table, t5large: Table) -> Outcome:
    """Section 4.2 quotes TIES with validation on T5, and the gains over it, as the tables do.

    Corrected: the second number is TIES without; with validation there is still a gain.
    """
    rows = [averaged(t5base), averaged(t5large)]
    ties = tuple(float(r.printed[f"TIES-Merging {WITH}"]) for r in rows)
    without = float(rows[1].printed[f"TIES-Merging {WITHOUT}"])
    gains = [r.printed[f"{PLAIN} {WITH}"] - t for r, t in zip(rows, ties)]
    same = all(abs(a - b) < SAME for a, b in zip(gains, QUOTED_GAINS))
    values = {
        "base": ties[0],
        "large": ties[1],
        "base_gain": gains[0],
        "large_gain": gains[1],
        "without": without,
        "second": runner_up(rows[1]),
        "lead": lead_of(rows[1]),
    }
    corrected = all(g > LEAD + SLACK for g in gains) and QUOTED_TIES[1] == without
    return Outcome(ties == QUOTED_TIES and same, corrected, values)


@claim("stats-table18-lines")
def best_with_lines(table18: Table, b32: Table) -> Outcome:
    """The best row with LiNeS is the quoted one; corrected: StatsMerging is above the best."""
    rows, other = table18.set_index("Method")["Avg Acc"], averaged(b32).printed
    lines = rows[rows.index.str.contains("LiNeS")]
    values = {
        "best": lines.max(),
        "method": lines.idxmax(),
        "lead": rows[PLAIN] - lines.max(),
        "arithmetic": rows["Task Arithmetic"],
        "arithmetic_there": other["Task Arithmetic"],
        "ties": rows["Ties-Merging"],
        "ties_there": other["TIES-Merging"],
    }
    return Outcome(bool(lines.max() == QUOTED_LINES), bool(values["lead"] > LEAD + SLACK), values)


@claim("stats-headline-accuracies")
def headlines(b32: Table, table7: Table, t5base: Table) -> Outcome:
    """One variant has both averages of the abstract, the highest of their tables.

    Corrected: two variants have, and both are the highest of their tables.
    """
    vision, language = (merging(averaged(t)).printed for t in (b32, t5base))
    other = merging(averaged(table7)).printed
    variants = [
        {name.removesuffix(f" {WITH}") for name in rows.index[rows == value] if PLAIN in name}
        for rows, value in zip((vision, language), HEADLINES)
    ]
    best = max(vision.max(), other.max()) == HEADLINES[0] and language.max() == HEADLINES[1]
    named = [" and ".join(sorted(names)) or "no variant" for names in variants]
    rivals = vision[~vision.index.str.contains("StatsMerging")]
    values = {
        "vision": named[0],
        "language": named[1],
        "plain": vision[PLAIN],
        "best": rivals.max(),
        "rival": rivals.idxmax(),
        "emr": other["Parameter-wise: EMR-MERGING"],
    }
    one = bool(variants[0] & variants[1])
    return Outcome(one and best, all(map(bool, variants)) and best, values)


@claim("stats-table1-characteristics")
def properties(table1: Table, table4: Table) -> Outcome:
    """StatsMerging alone has five ticks, and no method without the last was run as if it had it.

    Corrected: it alone has the three that test time and different architectures do not touch.
    """
    ticks = table1.set_index("Method").eq("✓")
    ticks = ticks.rename(index={"StatsMerging (Ours)": "StatsMerging"})
    five = list(ticks.index[ticks.all(axis=1)])
    both = list(ticks.index[ticks["No TT Samples"] & ticks["TT Adaptability"]])
    mixed = ticks["Heterogeneous Architecture"]
    ran = [m for m in ticks.index if m in set(table4.Method) and not mixed[m]]
    sure = ticks[["No Manual Label", "No TT Samples", "Layer Level"]].all(axis=1)
    said = {"five": five, "both": both, "ran": ran}
    values = {name: ", ".join(sorted(methods)) or "none" for name, methods in said.items()}
    alone = five == ["StatsMerging"]
    corrected = alone and list(ticks.index[sure]) == ["StatsMerging"]
    return Outcome(alone and not ran, corrected, values)


@claim("stats-forty-percent-more-data")
def more_data(found: Table) -> Outcome:
    """The ++ variant has 1.4 times the data in Table 15; corrected: five times, as App. A.5.6."""
    percent = found[found.table == 15].set_index("method").percent
    ratio = percent[PLUS] / percent[PLAIN]
    values = {"one": percent[PLAIN], "five": percent[PLUS], "ratio": ratio, "said": TIMES}
    values |= {"more": 100 * (ratio - 1)}
    return Outcome(bool(abs(ratio - MORE_DATA) < 0.05), bool(ratio == TIMES), values)


@claim("stats-table16-training-size")
def training_sizes(found: Table) -> Outcome:
    """Tables 15 and 16 tell one story if ++ is StatsMerging with more data.

    Under each meaning of the per cent; corrected: under one, or if ++ is another variant, and its
    row is left out.
    """
    plain = found[found.method == PLAIN]
    stories = {n: (one_story(found, u), one_story(plain, u)) for n, u in UNITS.items()}
    parts = [
        {"table": n, "scores": ", ".join(f"{r.percent:g} % {r.score:g}" for r in part.itertuples())}
        for n, part in found.groupby("table")
    ]
    values = {
        "parts": parts,
        "readings": len(UNITS),
        "fit": sum(together for together, _ in stories.values()),
        "together": "; ".join(n for n, (whole, _) in stories.items() if whole) or "none",
        "apart": "; ".join(n for n, (_, alone) in stories.items() if alone) or "none",
        "top": plain.score.max(),
        "plus": found[found.method == PLUS].score.max(),
    }
    together = all(whole for whole, _ in stories.values())
    return Outcome(together, any(map(any, stories.values())), values)


@claim("stats-internal-cross-references")
def pointers(found: Table, numbers: Table) -> Outcome:
    """Sentences cite the tables that have what they describe.

    Corrected: one table of the main text has, in each case.
    """
    astray = found[[cited not in there for cited, there in zip(found.cites, found.found)]]
    twice = numbers[numbers.times > 1].sort_values("number")
    values = {
        "pointers": len(found),
        "astray": [
            {"section": r.section, "cites": r.cites, "means": ", ".join(map(str, r.found))}
            for r in astray.itertuples()
        ],
        "wrong": len(astray),
        "twice": [{"number": r.number, "times": r.times} for r in twice.itertuples()],
    }
    return Outcome(astray.empty, bool((astray.found.map(len) == 1).all()), values)
