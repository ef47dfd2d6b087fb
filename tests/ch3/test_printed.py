"""The arithmetic of printed tables: read against a second reader, hand-worked numbers, slips."""

import csv
import math

import numpy as np
import pandas as pd
import pytest

from ch3.tables_of_the_paper import table
from mergebook import audit, ledger
from mergebook.ch3 import printed
from mergebook.claims import book_folder

NAMES = sorted(
    path.stem.removeprefix("statsmerging_")
    for path in book_folder("paper_tables").glob("statsmerging_*.csv")
)


def every():
    return pd.concat({name: printed.averaged(table(name)) for name in NAMES}, names=["table"])


def test_every_average_is_found_and_flagged_as_a_reader_of_the_files_does():
    """`audit` reads the text of the files, and has intervals where this has limits."""
    keys = {name: f"s{name.removeprefix('table')}" for name in NAMES}
    found = {
        (name, f"{cells[column].split()[0]}", round(float(mean.mean()), 6)): abs(
            float(cells[column].split()[0]) - mean.mean()
        )
        > 0.05 + np.ptp(mean) / 2 + 1e-9
        for name, key in keys.items()
        for row, cells in audit.printed_cells(key).items()
        for column in cells
        if audit.span(cells[column]) is not None
        and (mean := audit.mean(key, row, column)) is not None
        and name != "table9"  # two decimals
    }
    mine = every().drop(index="table9")
    ours = {
        (name, f"{row.printed:.1f}", round(row["mean"], 6)): row.off
        for (name, _), row in mine.iterrows()
    }
    assert ours == found and sum(ours.values()) >= 15


def test_an_average_and_its_gain_by_hand():
    found = printed.averaged(
        pd.DataFrame(
            {"Method": ["a", "b ++"], "CA": [50.0, "60.0"]}
            | {"EU": [52.1, "61.1"], "Avg Acc": ["51.1", "60.7 (+9.5)"]}
        )
    )
    assert found.loc["a", "cells"] == {"CA": 50.0, "EU": 52.1}
    assert found["mean"].tolist() == pytest.approx([51.05, 60.55])
    assert found.off.tolist() == [False, True]
    assert math.isnan(found.gain["a"]) and found.gain["b ++"] == 9.5


@pytest.mark.parametrize(("last", "off"), [("51.2", False), ("51.3", True), ("51.25", True)])
def test_rounding_of_the_average_depends_on_its_digits(last, off):
    """The mean is 51.1: one decimal may be 0.1 away, two 0.01."""
    found = printed.averaged(pd.DataFrame({"Method": ["a"], "CA": [51.1], "Avg Acc": [last]}))
    assert found.off.tolist() == [off]


def test_honest_tables_are_never_flagged():
    rng = np.random.default_rng(0)
    cells = rng.uniform(20, 95, (200, 5))
    columns = dict(zip(["CA", "EU", "RE", "GT", "SU"], cells.round(1).T))
    text = [f"{v:.1f}" for v in cells.mean(axis=1)]
    found = printed.averaged(pd.DataFrame({"Method": np.arange(200), **columns, "Avg": text}))
    assert len(found) == 200 and not found.off.any()


def test_two_averages_a_row_and_a_header_inside():
    found = printed.averaged(table("table2"))
    assert len(found) == 20
    counts = found.tasks.value_counts()
    assert set(counts.index) == {tasks for group in printed.GROUPS for tasks in group}
    assert (counts == 5).all()


def test_rows_are_named_by_their_block_and_by_all_their_columns():
    assert "Motion Blur: AdaMerging" in printed.averaged(table("table10")).index
    assert "LW AdaMerging++ 100%" in printed.averaged(table("table15")).index
    t5 = printed.averaged(table(printed.CHARTS["T5-base"])).index
    assert {"TIES-Merging with validation", "Individual"} <= set(t5)


def test_leads_are_over_other_merges_alone():
    rows = pd.DataFrame(
        {"mean": [99.0, 98.0, 70.0, 71.0, 72.0, 60.0], "printed": 1.0, "gain": [math.nan] * 6},
        ["Individual", "Traditional MTL", "TIES", "StatsMerging + KnOTS", "LW StatsMerging", "TW"],
    )
    assert printed.lead_of(rows) == 1.0 and printed.runner_up(rows) == "StatsMerging + KnOTS"
    for gain, fits in ((1.15, True), (1.16, False), (0.85, True)):
        assert printed.margin_fits(rows.assign(gain=gain)) == fits


def test_leads_are_those_of_the_audit():
    for name in (*printed.CHARTS.values(), "table4_main"):
        rows = printed.averaged(table(name))
        own = [n for n in audit.printed_cells(f"s{name[5:]}") if "LW StatsMerging" in n][-1]
        span = audit.lead(f"s{name[5:]}", own, "Avg Acc", cell=audit.mean)
        assert printed.lead_of(rows) == pytest.approx(span.mean())


def test_capping_takes_what_is_above_the_individual_model():
    scores = pd.DataFrame({"CA": [80.0, 90.0], "EU": [70.0, 60.0]}, ["Individual", "merge"])
    assert printed.capped(scores, "merge") == 70


def test_gains_are_over_the_row_above():
    columns = ["Low", "High", "Low.1"]
    rows = [["50.0", "40.0", "–"], ["51.0 (+1.1)", "42.3 (+2.0)", "7.0 (+7.0)"]]
    found = printed.printed_gains(pd.DataFrame(rows, columns=columns))
    assert found.column.tolist() == ["Low", "High"]
    assert found[["low", "high"]].to_numpy().tolist() == [
        pytest.approx([0.9, 1.1]),
        pytest.approx([2.2, 2.4]),
    ]
    assert found.fits.tolist() == [True, False]


def test_bounds_count_what_lies_outside():
    rows = {"MTL": [90.0, 80.0], "Weight Averaging": [50.0, 60.0], "Individual": [99.0, 99.0]}
    rows |= {"A": [91.0, 70.0], "B": [49.0, 59.0], "C": [90.0, 80.4]}
    parts = pd.DataFrame(rows, ["CA", "EU"]).T
    whole = parts.assign(Avg=[f"{v:.1f}" for v in parts.mean(axis=1)]).rename_axis("Method")
    found = printed.against_bounds(whole.reset_index())
    assert found == {
        "entries": 6,
        "entries above": 2,
        "entries below": 2,
        "averages": 3,
        "above": "C",
        "below": "B",
        "outside": 2,
    }


def test_table_3_has_six_columns_of_numbers():
    found = printed.by_network(table("table3_main"))
    assert found.shape == (6, 6)
    assert found.loc["RegMean++"].isna().sum() == 2
    assert found.loc["LW StatsMerging++", ("ViT-L/14", "14 tasks")] == 89.1


def test_the_bold_marks_are_those_of_the_columns_of_the_second_group():
    assert set(printed.BOLD) == set(" ".join(printed.GROUPS[1]).split())


def test_no_table_was_left_out():
    lines = 0
    for name in NAMES:
        path = book_folder("paper_tables") / f"statsmerging_{name}.csv"
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        lines += sum(sum(c.startswith("Avg") for c in row[1:]) for row in rows)
    assert lines and set(every().index.get_level_values("table")) < set(NAMES)
    assert len(ledger.printed("statsmerging_table16")) == 1
