"""Made-up tables for the claims of page 03c; `tests/test_deciders.py` says what they are for."""

from ch3.tables_of_the_paper import table
from mergebook.ch3.printed import CHARTS
from mergebook.claims import CORRECTED, FAILS, HOLDS

B32, L14, T5B, T5L = CHARTS.values()
PLUS, MTL = "LW StatsMerging++", "Traditional MTL"


def charts(**changes):
    """The four tables behind Figures 4 and 7, some changed: `b32={...}`."""
    names = {"b32": B32, "l14": L14, "t5b": T5B, "t5l": T5L}
    return tuple(table(name, changes.get(short)) for short, name in names.items())


def bounded(changes=None, b32=None, l14=None):
    rest = (table(T5B), table(T5L), table("table4_main"))
    return (table("table3_main", changes), table(B32, b32), table(L14, l14), *rest)


def between(values=60.0):
    """Tables in which every merge lies between averaging and multi-task training."""
    out = []
    for part in bounded():
        part, label = part.copy(), part.columns[0]
        cells = [c for c in part.columns[1:] if c != "Val"]
        for i, name in part[label].items():
            if not isinstance(name, str) or name.startswith(("Backbone", "Individual", "Pre")):
                continue
            level = 90.0 if name.endswith("MTL") else 30.0 if name == "Weight Averaging" else values
            part.loc[i, cells] = level
        out.append(part)
    return tuple(out)


def studies(europe="91.6", cell="83.5", study_cell=None):
    """The label study and Table 14, with other cells in the row of pseudo-labels, layer-wise."""
    fourteen = table("table14")
    row = (fourteen.GL == "LW") & (fourteen.Loss == "KD CE")
    fourteen.loc[row, ["EU", "Avg Acc"]] = [europe, cell]
    mine = {("KD LW", "EU"): europe, ("KD LW", "Avg Acc"): study_cell or cell}
    return table("table4_appendix_labelstudy", mine), fourteen


def small(**changes):
    names = {"five": "table5_main", "nine": "table9", "eleven": "table11", "twelve": "table12"}
    return tuple(table(name, changes.get(short)) for short, name in names.items())


MENDED_14 = {
    (MTL, "Avg Acc"): "93.1",
    ("Fisher Merging", "Avg Acc"): "82.4",
    ("Task Arithmetic", "Avg Acc"): "84.1",
    ("TIES-Merging", "Avg Acc"): "85.3",
    ("WEMoE", "Avg Acc"): "93.7",
}
MENDED_T5L = {
    ("Task Arithmetic ✗", "Avg Acc"): "77.3",
    ("Task Arithmetic ✓", "Avg Acc"): "72.7",
    ("LW StatsMerging ✓", "Avg Acc"): "77.5 (+0.2)",
}
# Table 2, lower group: what makes its sums, its marks and its text right.
SUMS = {("Task Arithmetic", 10): "48.6"}
MARKS = {
    ("AdaMerging", 6): "97.0",
    ("AdaMerging", 7): "80.1",
    ("AdaMerging++", 6): "97.1",
    ("AdaMerging++", 7): "80.6",
    ("StatsMerging", 7): "84.3 (+3.7)",
}
TEXT = {
    ("AdaMerging", 9): "66.8",
    ("AdaMerging", 10): "58.5",
    ("AdaMerging++", 9): "63.9",
    ("AdaMerging++", 10): "58.0",
}


def groups(upper=None, lower=None):
    """Table 2 with other cells, `{(method, column number): cell}`, in one of its groups."""
    found = table("table2")
    for changes, rows in ((upper, range(6)), (lower, range(7, len(found)))):
        for (method, column), cell in (changes or {}).items():
            [row] = [i for i in rows if found.Method[i] == method]
            found.iloc[row, column] = cell
    return (found,)


EMR_ABOVE = {("EMR-MERGING", "SU"): "99.9", ("EMR-MERGING", "CA"): "99.9"}
CASES = {
    "stats-fig4-fig7-overview": {
        HOLDS: charts(),
        CORRECTED: charts(t5l={("Task Arithmetic ✗", "PA"): "80.5"}),
        FAILS: charts(b32={(PLUS, "SU"): "42.4", (PLUS, "Avg Acc"): "88.3"}),
    },
    "stats-plusplus-capped-average": {
        HOLDS: (table(B32),),
        FAILS: (table(B32, {("WEMoE", "SU"): "70.0"}),),
    },
    "stats-table7-granularity": {
        HOLDS: (table("table7"),),
        CORRECTED: (table("table7", {("EMR-MERGING", "Avg Acc"): "94.5"}),),
        FAILS: (table("table7", EMR_ABOVE | {("EMR-MERGING", "Avg Acc"): "94.5"}),),
    },
    "stats-table2-group1": {
        HOLDS: (table("table2"),),
        FAILS: groups(upper={("StatsMerging", 7): "81.9 (+4.1)"}),
    },
    "stats-table2-group2": {
        HOLDS: groups(lower=SUMS | MARKS | TEXT),
        CORRECTED: (table("table2"),),
        FAILS: groups(lower={("StatsMerging", 10): "60.7 (+2.4)"}),
    },
    "stats-table3app-b32": {
        HOLDS: (table(B32, {(MTL, "Avg Acc"): "89.1"}),),
        CORRECTED: (table(B32),),
        FAILS: (table(B32, {(PLUS, "Avg Acc"): "94.7 (+5.1)"}),),
    },
    "stats-table3app-tw-gain": {
        HOLDS: (table(B32, {("TW AdaMerging++", "Avg Acc"): "73.1"}),),
        CORRECTED: (table(B32),),
        FAILS: (table(B32, {("TW AdaMerging++", "Avg Acc"): "76.4"}),),
    },
    "stats-table4app-l14": {
        HOLDS: (table(L14, MENDED_14),),
        CORRECTED: (table(L14),),
        FAILS: (table(L14, {("LW StatsMerging", "Avg Acc"): "92.3"}),),
    },
    "stats-table5app-t5base": {
        HOLDS: (table(T5B, {("Task Arithmetic ✓", "Avg Acc"): "73.3"}),),
        CORRECTED: (table(T5B),),
        FAILS: (table(T5B, {("LW StatsMerging ✓", "Avg Acc"): "78.6 (+3.7)"}),),
    },
    "stats-table6app-t5large": {
        HOLDS: (table(T5L, MENDED_T5L),),
        CORRECTED: (table(T5L),),
        FAILS: (table(T5L, {("Task Arithmetic ✗", "PA"): "80.2"}),),
    },
    "stats-table4main-averages": {
        HOLDS: (table("table4_main", {("Weight Averaging", "Avg Acc"): "66.1"}),),
        CORRECTED: (table("table4_main"),),
        FAILS: (table("table4_main", {("WEMoE", "EU"): "90.3"}),),
    },
    "stats-table10-averages": {
        HOLDS: (table("table10"), table("table14")),
        FAILS: (table("table10", {("AdaMerging", "Avg Acc"): "88.2"}), table("table14")),
    },
    "stats-table13-capacity": {
        HOLDS: (table("table13", {("2L MLP*", "Avg Acc"): "97.0"}),),
        CORRECTED: (table("table13"),),
        FAILS: (table("table13", {("4L MLP", "Avg Acc"): "97.7 (+0.3)"}),),
    },
    "stats-table17-knots": {
        HOLDS: (table("table17", {("StatsMerging", "Avg Acc (%)"): "97.0 (+3.8)"}),),
        CORRECTED: (table("table17"),),
        FAILS: (table("table17", {("TIES-Merging", "EU"): "97.6"}),),
    },
    "stats-label-study-table": {
        HOLDS: studies(europe="84.6"),
        CORRECTED: studies(),
        FAILS: studies(study_cell="83.4"),
    },
    "stats-margins-in-small-tables": {
        HOLDS: small(),
        FAILS: small(twelve={("StatsMerging", "High"): "88.6 (+8.7)"}),
    },
    "stats-baseline-bounds": {HOLDS: between(), CORRECTED: bounded(), FAILS: between(95.0)},
    "stats-larger-backbone-inversion": {
        HOLDS: (table("table3_main"),),
        FAILS: (table("table3_main", {(PLUS, "ViT-L/14"): "99", (PLUS, "Unnamed: 5"): "99"}),),
    },
    "stats-t5large-wikiqa-drop": {
        HOLDS: (table(T5L),),
        FAILS: (table(T5L, {("Pre-Trained –", "WQ"): "65.3"}),),
    },
}

BETTER = {("WEMoE", "Avg Acc"): "94.5"}
NEAR = [
    ("stats-fig4-fig7-overview", "a shared first place as printed", CORRECTED, charts(b32=BETTER)),
    (
        "stats-fig4-fig7-overview",
        "neither reading",
        FAILS,
        charts(t5l={("TIES-Merging ✓", "Avg Acc"): "77.5", ("Task Arithmetic ✗", "PA"): "81"}),
    ),
    ("stats-table7-granularity", "as printed alone", CORRECTED, (table("table7", EMR_ABOVE),)),
    ("stats-table2-group1", "the other group", HOLDS, groups(lower={("StatsMerging", 10): "9"})),
    ("stats-table2-group1", "an average", FAILS, groups(upper={("AdaMerging", 10): "70.2"})),
    (
        "stats-table2-group1",
        "as rounding allows",
        HOLDS,
        groups({("StatsMerging", 7): "81.9 (+4.0)"}),
    ),
    ("stats-table2-group2", "sums alone", CORRECTED, groups(lower=SUMS)),
    ("stats-table2-group2", "sums and marks", CORRECTED, groups(lower=SUMS | MARKS)),
    ("stats-table2-group2", "sums and text", CORRECTED, groups(lower=SUMS | TEXT)),
    ("stats-table2-group2", "marks and text", CORRECTED, groups(lower=MARKS | TEXT)),
    (
        "stats-table3app-b32",
        "a margin",
        CORRECTED,
        (table(B32, {(MTL, "Avg Acc"): "89.1", (PLUS, "Avg Acc"): "94.5 (+5.3)"}),),
    ),
    (
        "stats-table3app-tw-gain",
        "a lead within rounding",
        FAILS,
        (table(B32, {("TW AdaMerging++", "Avg Acc"): "76.3"}),),
    ),
    (
        "stats-table3app-tw-gain",
        "a row that is 0.1 away",
        HOLDS,
        (table(B32, {("RegMean", "Avg Acc"): "73.2"}),),
    ),
    ("stats-table4app-l14", "no lead", FAILS, (table(L14, {("WEMoE", "SU"): "84.2"}),)),
    (
        "stats-table13-capacity",
        "another slip",
        FAILS,
        (table("table13", {("2L Transformer", "Avg Acc"): "97.9"}),),
    ),
    (
        "stats-table13-capacity",
        "no more than the smallest",
        FAILS,
        (table("table13", {("4L MLP", "RE"): "96.1", ("4L MLP", "Avg Acc"): "97.0"}),),
    ),
    (
        "stats-table17-knots",
        "another slip too",
        FAILS,
        (table("table17", {("TIES-Merging", "Avg Acc (%)"): "91.0"}),),
    ),
    (
        "stats-table17-knots",
        "a margin",
        FAILS,
        (table("table17", {("StatsMerging", "Avg Acc (%)"): "97.0 (+4.2)"}),),
    ),
    ("stats-label-study-table", "another number in the text", FAILS, studies(cell="85.2")),
    (
        "stats-margins-in-small-tables",
        "as rounding allows",
        HOLDS,
        small(eleven={("StatsMerging", "Low"): "57.3 (+1.4)"}),
    ),
    (
        "stats-margins-in-small-tables",
        "two decimals",
        FAILS,
        small(nine={("LW StatsMerging", "CF10"): "64.70 (+20.51)"}),
    ),
    (
        "stats-baseline-bounds",
        "one entry",
        CORRECTED,
        tuple(t if i != 1 else t.replace({"SU": {60.0: 29.0}}) for i, t in enumerate(between())),
    ),
    (
        "stats-larger-backbone-inversion",
        "another row too",
        FAILS,
        (table("table3_main", {("RegMean++", "ViT-L/14"): "1"}),),
    ),
    (
        "stats-larger-backbone-inversion",
        "equal",
        FAILS,
        (table("table3_main", {(PLUS, "ViT-L/14"): "94.5", (PLUS, "Unnamed: 5"): "90.7"}),),
    ),
]

SAID = {
    ("stats-fig4-fig7-overview", HOLDS): {
        "charts.0": {"network": "ViT-B/32", "printed": 5.1, "lead": 5.075, "beyond": 4.0},
        "charts.3": {"printed": 0.6, "lead": 1 / 7, "beyond": -11.3},
    },
    ("stats-fig4-fig7-overview", CORRECTED): {"reading": "as printed"},
    ("stats-plusplus-capped-average", HOLDS): {
        "plus": 89.025,
        "wemoe": 89.4,
        "above.1": {"task": "CA", "points": 17.7},
        "won": "SU, CA, RE, DT",
    },
    ("stats-table7-granularity", HOLDS): {"cap_emr": 88.75, "lead": 5.75, "layers": 81.1},
    ("stats-table2-group1", HOLDS): {"parts.0.lead": 3.85, "parts.1.second": "AdaMerging"},
    ("stats-table2-group2", CORRECTED): {
        "parts.1.slips": "Task Arithmetic 51.1 for 48.60",
        "wrong.0": {"task": "MN", "value": 97.2, "best": 98.7, "method": "AdaMerging++"},
        "second": "AdaMerging++",
        "ties": 58.7,
    },
    ("stats-table3app-tw-gain", CORRECTED): {"gain": 2.7, "needed": 73.1, "there": 0},
    ("stats-table3app-b32", CORRECTED): {"fit": 15, "rows": 16, "mtl": 89.0625, "lead": 5.075},
    ("stats-table4app-l14", CORRECTED): {"off": 5, "lead": 0.3875, "second": "WEMoE"},
    ("stats-table5app-t5base", CORRECTED): {"mean": 543.8 / 7, "off": 1},
    ("stats-table6app-t5large", CORRECTED): {"lead": 1 / 7, "excess": 26.9},
    ("stats-table4main-averages", CORRECTED): {"merged": 89.5667, "arithmetic": 7.6},
    ("stats-table10-averages", HOLDS): {"blocks.3.lost": "EU", "blocks.2.lead": 6.275},
    ("stats-table13-capacity", CORRECTED): {"small": 97, "added.1.more": 0.75, "twice": 2},
    ("stats-table17-knots", CORRECTED): {"lead": 3.85, "over.1.points": 5.2},
    ("stats-label-study-table", CORRECTED): {"tw": 7.35, "lw": 5.15, "printed": 6.9},
    ("stats-margins-in-small-tables", HOLDS): {"gains": 15, "tables.0.gains": 6},
    ("stats-margins-in-small-tables", FAILS): {"wrong": "Table 12, 8.7"},
    ("stats-baseline-bounds", CORRECTED): {
        "entries": 281,
        "above": 24,
        "below": 32,
        "outside": 5,
        "averages": 62,
        "under.0": {"row": "Task Arithmetic", "by": -0.5},
    },
    ("stats-larger-backbone-inversion", HOLDS): {"columns.1.points": -1.6, "least": 4.0},
    ("stats-t5large-wikiqa-drop", HOLDS): {"drop": 5.7, "best": 88.6, "risen": 6},
}

# Headers inside a table, names of blocks, and a row above another one.
ORDERED = {
    "stats-table7-granularity",
    "stats-table2-group1",
    "stats-table2-group2",
    "stats-table10-averages",
    "stats-margins-in-small-tables",
}
