"""What page 05e reads from the printed tables, against the tables, and counts by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mergebook import ledger
from mergebook.ch5 import printed


def test_the_parts_of_the_tables_have_their_rows():
    first = printed.printed_part("1")
    assert list(first.index)[:4] == ["fine-tuned", "MTL", "averaging, before", "averaging, after"]
    assert first.loc["TIES, after", "DBpedia"] == 97.7 and first.loc["MTL", "average"] == 75.0
    for part, size in {"1": 8, "4a": 7, "4b": 7, "5a": 7, "5b": 7}.items():
        assert len(printed.printed_part(part)) == size
        names = ledger.printed(f"ftclassifier_{printed.PARTS[part]}").Method[-6:]
        assert [name.startswith("+FT") for name in names] == [False, True] * 3
        assert [name[0] for name in names[::2]] == ["W", "T", "T"]


def test_cells_before_and_after():
    cells = printed.tuned_cells()
    single = cells[cells.task != "average"]
    assert len(single) == 3 * (3 * 5 + 2 * 8) and len(cells) - len(single) == 15
    [row] = cells.query("table == '5b' and method == 'TIES' and task == 'DTD'").to_dict("records")
    assert (row["before"], row["after"], row["tuned"], row["classes"]) == (54.5, 68.1, 79.4, 47)
    assert row["gain"] == 13.6 and row["gap"] == 24.9
    assert row["share"] == pytest.approx(13.6 / 24.9) and row["field"] == "images"
    assert single.classes.notna().all()


def test_classes_are_those_of_the_data_sets():
    counts = printed.class_counts()
    assert list(counts.groupby("field", sort=False).size()) == [5, 8]
    assert counts.set_index("task").published[["SUN397", "GTSRB", "DBpedia"]].tolist() == [
        397,
        43,
        14,
    ]


def test_averages_and_what_rounding_makes_of_them():
    rows = printed.rounded_averages(0)
    assert len(rows) == 36 and rows.off.abs().max() == pytest.approx(0.08)
    [row] = rows.query("table == '1' and row == 'averaging, before'").to_dict("records")
    assert row["mean"] == pytest.approx((79.2 + 49.8 + 45.0 + 50.3 + 55.1) / 5)
    # A mean that lies at 0.04 or 0.06 of a digit: the chance that honest digits round it so far off
    # is that of a sum of five uniform numbers, by a grid.
    grid = np.linspace(-0.045, 0.045, 10)
    sums = np.array([sum(x) / 5 for x in itertools.product(grid, repeat=5)])
    [near] = rows.query("table == '4a' and row == 'fine-tuned'").to_dict("records")
    away = np.abs(np.round(near["mean"] + sums, 1) - near["mean"]) > 0.0501
    assert near["chance"] == pytest.approx(away.mean(), abs=0.03)


def test_a_count_of_independent_events():
    assert printed.at_least(0, [0.3, 0.2]) == pytest.approx(1)
    assert printed.at_least(2, [0.3, 0.2]) == pytest.approx(0.06)
    assert printed.at_least(1, [0.3, 0.2]) == pytest.approx(1 - 0.7 * 0.8)
    assert printed.at_least(3, [0.1] * 8) == pytest.approx(stats.binom.sf(2, 8, 0.1))


def test_tables_two_and_three_beside_table_one():
    table = printed.repeated_averages()
    assert len(table) == 9 and (table.printed == table["first"]).all()
    assert table.query("table == '3' and when == 'after'").printed.tolist() == [69.0, 72.3, 73.0]


def test_t5_large_minus_t5_base():
    table = printed.by_size_of_t5().set_index("row")
    assert table.loc[printed.TIES_TUNED].tolist() == [0.1, 0.1, 0.1, 0.0, 0.0]
    assert table.loc["TIES, before", "Yahoo"] == 22.5 and len(table) == 7


def test_three_papers_on_one_network():
    table = printed.three_papers().set_index(["paper", "method", "task"]).printed
    assert len(table) == 9 * (4 + 4 + 3)
    # M-Loss lists the tasks in another order, and the appendix shortens their names.
    for paper, sun, svhn, mean in (
        ("this paper", 65.0, 81.2, 72.9),
        ("StatsMerging", 59.8, 86.2, 72.4),
        ("M-Loss", 59.01, 86.2, 72.42),
    ):
        of = table[paper]["TIES"]
        assert (of["SUN397"], of["SVHN"], of["average"]) == (sun, svhn, mean)
    assert table["M-Loss"]["task arithmetic"]["Cars"] == 60.7


def test_rank_correlations_against_scipy():
    cells = printed.tuned_cells()
    found = printed.gains_follow(cells, 0, draws=200)
    text = cells[(cells.field == "text") & (cells.task != "average")]
    for of, by in (("gain", "gap"), ("share", "classes")):
        [row] = found.query(f"field == 'text' and of == '{of}' and `with` == '{by}'").to_dict(
            "records"
        )
        assert row["rank"] == pytest.approx(stats.spearmanr(text[of], text[by]).statistic)
        assert row["low"] < row["rank"] < row["high"]
    assert found.built_in.count() == 2 and len(found) == 8


def test_blocks_of_a_bootstrap_keep_the_three_merges_of_a_task_together():
    """With equal cells within each block an interval is that of the blocks alone."""
    cells = printed.tuned_cells()
    single = cells[(cells.task != "average") & (cells.field == "images")].copy()
    single["gap"] = single["gain"] = single.groupby(["table", "task"]).gain.transform("mean")
    found = printed.gains_follow(single, 0, draws=50).query("of == 'gain' and `with` == 'gap'")
    assert found[["rank", "low", "high"]].to_numpy() == pytest.approx(1)
