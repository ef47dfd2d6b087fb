"""What StatsMerging's text says of its tables: quotes, amounts of data, pointers.

Numbers in capitals are those of the text, with the section they come from.
"""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from mergebook.ch3.printed import averaged, leading_number

Table = pd.DataFrame
# Section 4.2: averages on ViT-B/32 and ViT-L/14, then on T5-base and T5-large with their gains.
QUOTED = {"WEMoE": (84.5, 93.6), "AdaMerging": (81.1, 91.0)}
QUOTED_TIES, QUOTED_GAINS = (73.9, 74.4), (3.7, 3.1)
QUOTED_LINES = 77.2  # App. A.6: the best row with LiNeS
HEADLINES = (94.5, 77.6)  # abstract: vision, language
MORE_DATA, TIMES = 1.4, 5.0  # Section 4.2: 40 % more; App. A.5.6: 5 % for 1 %
# What turns per cent of Table 16 into per cent of Table 15, with the 8:1:1 split of App. A.3.
UNITS = {
    "the same set": 1,
    "training part, and all data": 0.8,
    "training part, and validation part": 8,
}
POINTERS = (  # a section, the table it cites, a word of what it describes
    ("4.2, different architectures", 3, "Individual Distilled"),
    ("4.2, scaling", 3, "20T"),
    ("4.3, ablation", 4, "sigma'"),
    ("4.3, rank", 4, "Rank"),
)


def quoted_averages(b32: Table, l14: Table) -> Table:
    """The averages of ViT-B/32 and ViT-L/14 that Section 4.2 quotes, and those of the tables."""
    rows = {"WEMoE": "WEMoE", "AdaMerging": "LW AdaMerging", "AdaMerging++": "LW AdaMerging++"}
    rows |= {"StatsMerging": "LW StatsMerging", "StatsMerging++": "LW StatsMerging++"}
    pairs = [tuple(float(averaged(t).printed[row]) for t in (b32, l14)) for row in rows.values()]
    return pd.DataFrame({"text": pd.Series(QUOTED), "tables": pd.Series(pairs, list(rows))})


def amounts(table15: Table, table16: Table) -> Table:
    """The paper's scores by amount of data: `method`, `table`, `percent`, `score`."""
    rows = []
    for row in table15[table15.Method.str.contains("StatsMerging")].itertuples():
        rows.append((row.Method, 15, leading_number(row.Data), leading_number(row[-1])))
    for share, score in table16.iloc[0, 1:].items():
        rows.append(("LW StatsMerging", 16, leading_number(share), float(score)))
    return pd.DataFrame(rows, columns=["method", "table", "percent", "score"])


def one_story(found: Table, unit: float) -> bool:
    """Whether equal amounts have equal scores, and more data never a lower one, within 0.1.

    `unit` turns the per cent of Table 16 into those of Table 15.
    """
    share = found.percent.where(found.table != 16, unit * found.percent)
    points = sorted(zip(share, found.score))
    return all(
        b >= a - 0.1 and (y > x or b <= a + 0.1) for (x, a), (y, b) in zip(points, points[1:])
    )


def pointed_at(main: Mapping[int, Table]) -> Table:
    """Where the text points, and which tables of the main text have what it describes."""
    words = {n: {str(c) for c in [*t.columns, *t.to_numpy().flat]} for n, t in main.items()}
    rows = [
        {
            "section": where,
            "cites": cited,
            "word": word,
            "found": [n for n in words if word in words[n]],
        }
        for where, cited, word in POINTERS
    ]
    return pd.DataFrame(rows)


def table_numbers(names: Iterable[str]) -> Table:
    """How often each number of a table is used; `names` begin with "table" and the number."""
    found = [int(re.match("table([0-9]+)", name)[1]) for name in names]
    return pd.Series(found).value_counts().rename_axis("number").reset_index(name="times")
