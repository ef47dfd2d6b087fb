"""Audit of the papers' printed tables, with the freedom that rounding leaves.

A number printed with d decimals stands for an interval, ± 0.5·10^-d. A printed result is called off
only if its interval misses all that the cells allow. Arithmetic tells that numbers do not fit, not
which of them is wrong. The sentences that are compared with tables are in
`book/claims/sentences.csv`.
"""

import csv
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from mergebook.ledger import book_folder

FILES = {"m": "mloss", "s": "statsmerging", "r": "rethinking", "f": "ftclassifier"}
PAPERS = {"m": "M-Loss", "s": "StatsMerging", "r": "Rethinking", "f": "FT-Classifier"}
# Number of models: table; all five are called "r*".
SOUPS = {2: "r4", 3: "r5", 5: "r6", 7: "r7", 10: "r1"}
WAYS = (
    "data",
    "single",
    "uniform",
    "greedy",
    "logits",
    "features",
    "greedy logits",
    "greedy features",
)
NO_MERGE = "Pre-Trained|Individual|.*MTL|MTD|FT|Fine-tuned|.*Ensembling|Backbone|Std"
# Checks of other kinds are consistent, or off.
VERDICTS = {
    "granularity": ("possible", "impossible"),
    "above-teacher": ("none above", "some above"),
    "comparison": ("sentence agrees", "sentence disagrees"),
}
SIZES = {  # items of published test sets, where no other source is named
    "Cars": 8041,
    "MNIST": 10_000,
    "DTD": 1880,
    "GTSRB": 12_630,
    "SVHN": 26_032,
    "PathMNIST": 7180,
    "DermaMNIST": 2005,
    "Flowers102": 6149,
    "STL10": 8000,
    "SUN397": 19_850,  # 50 of each class in each split
    "RESISC45": 6300,
    "EuroSAT": 2700,  # no published split: those that task arithmetic was published with
    "QA": 894,
    "QR": 784,
    "QT": 784,
    "WS": 72,  # not in the paper: of TIES-Merging; all other rows fit
}
RATIOS = (
    ("s13", "4.2", "parameters of learner and model, in thousandths", "336", "10.99", "30.6"),
    ("s13", "4.2", "FLOPs of learner and model, in ten thousandths", "14.6", "2.95", "5"),
    ("s15", "4.2", "40 % more data, where 5 % follow 1 %", "5.00", "1.00", "1.4"),
)
VARIANCES = {"M-TIES": "172.22", "TIES": "203.27", "DARE": "197.61"}  # M-Loss, Section 6.3
# Lowest and highest value that a printed number may stand for; a minus b is a - b[::-1].
Span = np.ndarray


def span(cell: str) -> Span | None:
    """The interval of the number with which a cell begins; None for other cells."""
    found = re.fullmatch(r"([\d,]+(?:\.\d+)?)( .*)?", cell.strip())
    digits = found[1].replace(",", "") if found else ""
    return (
        float(digits) + np.array([-0.5, 0.5]) * 10.0 ** -len(digits.partition(".")[2])
        if digits
        else None
    )


def variances(cells: list[Span], ddof: int) -> Span:
    """Variances that cells allow: the smallest and the largest.

    The largest is at a corner of the box, the smallest where all values lie as near to their mean
    as they can.
    """
    low, high = np.transpose(cells)
    corners, near = np.array(np.meshgrid(*cells)).reshape(len(low), -1), (low + high) / 2
    for _ in range(200):
        near = np.clip(near.mean(), low, high)
    return np.array([near.var(ddof=ddof), corners.var(axis=0, ddof=ddof).max()])


def stem(key: str) -> str:
    """The file of a table from a short key: "s3_a" is StatsMerging's Table 3 of the appendix."""
    found = book_folder("paper_tables").glob(
        f"{FILES[key[0]]}_table{key[1:].replace('*', '1')}*.csv"
    )
    return min((path.stem for path in found), key=len)


@cache
def printed_cells(key: str) -> dict[str, dict[str, str]]:
    """{row: {column: cell}}, as printed.

    Blocks, headers inside a table and repeated names are told apart.
    """
    if key == "r*":
        return {
            f"{n}, {x}": dict(zip(WAYS, y.values()))
            for n, table in SOUPS.items()
            for x, y in printed_cells(table).items()
        }
    header, block, merge, out = [], "", "", {}
    text = (book_folder("paper_tables") / f"{stem(key)}.csv").read_text(encoding="utf-8")
    for i, line in enumerate(csv.reader(text.splitlines())):
        if i == 0 or "Avg Acc" in line[1:] or "8T" in line:
            header = [c + f" {line[:j].count(c) + 1}" * (c in line[:j]) for j, c in enumerate(line)]
            block = "2nd: " if i > 2 else ""  # the second group of StatsMerging's Table 2
        elif not any(line[1:]):
            block = line[0] + ": "
        else:
            end = next((j for j, c in enumerate(line) if j and span(c) is not None), len(line))
            label = " ".join(c for c in line[:end] if c)
            merge = merge if label[0] == "+" else label
            out[block + (f"{merge} {label}" if label[0] == "+" else label)] = dict(
                zip(header, line)
            )
    return out


def get(key: str, row: str, column: str) -> Span | None:
    """The interval of one cell; None where there is no such cell or no number in it."""
    return span(printed_cells(key).get(row, {}).get(column, ""))


def mean(key: str, row: str, column: str) -> Span | None:
    """The mean of what a column of averages averages.

    Those are the numbers after the label and any average before.
    """
    names = list(printed_cells(key)[row])
    end = names.index(column)
    start = max([0, *(i for i in range(end) if names[i].startswith("Av"))])
    cells = [c for n in names[start + 1 : end] if (c := get(key, row, n)) is not None]
    return (
        np.mean(cells, axis=0)
        if cells and re.match("Av(g|erage)", column) and row != "Std"
        else None
    )


def lead(key: str, row: str, column: str, rivals: str = "", cell: Callable = get) -> Span:
    """A row minus the best other merge of its block.

    Variants of StatsMerging are no rivals of each other.
    """
    no = NO_MERGE + r"|.*StatsMerging(?! \+)" * ("StatsMerging" in row)
    others = [
        x for x in printed_cells(key) if x != row and x.split(": ")[:-1] == row.split(": ")[:-1]
    ]
    rated = [cell(key, x, column) for x in others if re.match(rivals, x) and not re.match(no, x)]
    return cell(key, row, column) - np.max([c for c in rated if c is not None], axis=0)[::-1]


def differences_of(key: str, names: str, expression: str) -> dict[str, Span]:
    """The differences a sentence speaks of.

    An expression is "row", "row - row", "row > pattern of rivals" or ":column - :column". `names`
    are columns, or rows for an expression of columns. A * is anything, right of a minus the same as
    on its left; "key!row" is in another table, "a=b" column a here and b there. Several expressions
    are joined by "; ".
    """
    out: dict[str, Span] = {}
    for one in expression.split("; "):
        a, sign, b = re.fullmatch(r"(.+?)(?: ([->]) ?(.*))?", one).groups("")
        table, _, other = b.rpartition("!")
        pattern = re.escape(names if a[0] == ":" else a).replace(r"\*", "(.*)")
        for x, same in [
            (x, found.groups()) for x in printed_cells(key) if (found := re.fullmatch(pattern, x))
        ]:
            if a[0] == ":":
                out[f"{x}, {a[1:]} over {b[1:]}"] = get(key, x, a[1:]) - get(key, x, b[1:])[::-1]
                continue
            y = other.replace("*", same[-1]) if same else other
            for n in printed_cells(key)[x] if names == "*" else names.split("/"):
                c, _, d = n.partition("=")
                p, q = get(key, x, c), get(table or key, y, d or c)
                if p is not None and (sign != "-" or q is not None):
                    out[f"{x}, {n}"] = (
                        p - q[::-1] if sign == "-" else lead(key, x, c, b) if sign else p
                    )
    return out


def judge(
    kind: str, key: str, where: str, words: str, found: dict[str, Span], allowed: str
) -> dict:
    """One record: do the intervals `found` meet what is `allowed`?

    Allowed is a printed number, a range "a to b", a sign, or "same"; of all parts, or "most of
    them" or "some of them".
    """
    need, _, target = allowed.rpartition(" of them ")
    limits = {"+": [0, np.inf], "-": [-np.inf, 0], "same": [0, 0]}.get(target) or target.split(
        " to "
    )
    low, high = span(target) if len(limits) == 1 else map(float, limits)
    off = {k: p for k, p in found.items() if p[0] > high + 1e-9 or p[1] < low - 1e-9}
    fits = {"most": 2 * len(off) < len(found), "some": len(off) < len(found)}.get(need, not off)
    printed = f", printed {target}" * (len(limits) == 1)
    if len(found) == 1:
        arithmetic = f": {np.mean(next(iter(found.values()))):.5g}{printed}"
    else:
        arithmetic = f": {len(found) - len(off)} of {len(found)}" + "".join(
            f"; {k} {p.mean():.4g}" for k, p in off.items()
        )
    return {
        "paper": PAPERS[key[0]],
        "table": "1, 4-7" if key == "r*" else stem(key).partition("_table")[2],
        "kind": kind,
        "where": where,
        "verdict": VERDICTS.get(kind, ("consistent", "off by more than rounding"))[not fits],
        "printed": target if len(limits) == 1 else "",
        "low": min(p[0] for p in found.values()),
        "high": max(p[1] for p in found.values()),
        "arithmetic": words + arithmetic,
    }


def averages_and_gains(key: str) -> Iterator[dict]:
    """By rule: an average is the mean of its cells.

    A (+x) is the lead over the best other merge of the block.
    """
    for row, c, cell in [
        (x, c, cell) for x, cells in printed_cells(key).items() for c, cell in cells.items()
    ]:
        average, where = mean(key, row, c) if span(cell) is not None else None, f"{row}, {c}"
        if average is not None:
            yield judge("average", key, where, "mean of the cells", {c: average}, cell.split()[0])
        if plus := re.search(r"\(\+([\d.]+)\)", cell):
            rivals = {"s13": "2L MLP", "s5_main": f"{row[:-2]}$"}.get(
                key, "TW" * row.startswith("TW")
            )
            for words, of in [("printed results", get)] + [("means of cells", mean)] * (
                average is not None
            ):
                yield judge(
                    "gain", key, where, f"of {words}", {c: lead(key, row, c, rivals, of)}, plus[1]
                )


def granularity(keys: list[str]) -> Iterator[dict]:
    """By rule: an accuracy on n items is k/n.

    Checked where not every printable number is of this form.
    """
    for place, n in SIZES.items():
        found: dict[str, tuple[Span, int]] = {}
        for key, row in [(k, r) for k in keys for r in printed_cells(k)]:
            for c in [c for c in printed_cells(key)[row] if place in (c, row.partition(", ")[2])]:
                p = get(key, row, c)
                # "single" is a mean over models.
                runs = int(row.split(",")[0]) if c == "single" else 1
                if p is not None and row != "Std" and np.ptp(p) < 100 / n / runs - 1e-9:
                    found[f"{printed_cells(key)[row][c]} ({key[1:]}, {row}, {c})"] = p, runs
        if found:
            least = "" if _possible(found, n) else f", least for all {_least(found)}"
            yield judge(
                "granularity", keys[0], place, f"of {n}{least}", _away(found, n), "same"
            ) | {"table": "all"}


def _away(found, n):
    """How far each printed accuracy is from the nearest multiple of 1/n, as intervals."""
    return {k: p - 100 / n / m * round(p.mean() * n * m / 100) for k, (p, m) in found.items()}


def _possible(found, n):
    """Whether all accuracies can be whole numbers out of n."""
    return all(abs(p.sum()) <= np.ptp(p) + 1e-9 for p in _away(found, n).values())


def _least(found):
    """The least number of items that allows all accuracies."""
    return next((n for n in range(20, 10**6) if _possible(found, n)), "none")


def sentences() -> list[dict[str, str]]:
    """The rows of `book/claims/sentences.csv`.

    `tables` and `names` may be several, joined by / and &.
    """
    with open(book_folder("claims") / "sentences.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def audit() -> pd.DataFrame:
    """All checks, one a row.

    Columns are `paper`, `table`, `kind`, `where`, `verdict`, `printed`, what the cells allow
    (`low`, `high`), and the `arithmetic` in words.
    """
    files = sorted(path.stem for path in book_folder("paper_tables").glob("*.csv"))
    keys = [*(file[0] + file.split("_table")[1] for file in files), "r*"]
    out = [x for key in keys for x in averages_and_gains(key)]
    out += [x for paper in FILES for x in granularity([k for k in keys if k[0] == paper])]
    for row in sentences():
        not_these = f"{NO_MERGE}|.*, Av" if row["where"] == "teacher" else "$"
        for key, names in product(row["tables"].split("/"), row["names"].split("&")):
            found = {
                k: p
                for k, p in differences_of(key, names, row["expression"]).items()
                if not re.match(not_these, k)
            }
            kind = (
                "above-teacher"
                if row["where"] == "teacher"
                else "repeat"
                if row["allowed"] == "same"
                else "comparison"
            )
            out.append(judge(kind, key, row["where"], row["sentence"], found, row["allowed"]))
    for c, printed in list(printed_cells("m3")["Std"].items())[1:]:
        sd = variances([get("m3", seed, c) for seed in ("1", "2", "42")], 1) ** 0.5
        out.append(judge("sd", "m3", c, "of 3 seeds, over n - 1", {c: sd}, printed))
    for method, printed in VARIANCES.items():
        tasks = [get("m1", f"ViT-B/32 {method}", c) for c in list(printed_cells("m2")["128"])[1:-1]]
        out.append(
            judge(
                "variance",
                "m1",
                "6.3",
                "of 8 tasks, over n",
                {method: variances(tasks, 0)},
                printed,
            )
        )
    for key, where, words, a, b, printed in RATIOS:
        out.append(
            judge("ratio", key, where, words, {f"{a} / {b}": span(a) / span(b)[::-1]}, printed)
        )
    return pd.DataFrame(out)
