"""The audit of printed tables: brute-force intervals, honest tables never flagged, slips found."""

import numpy as np
import pandas as pd
import pytest

from mergebook import audit
from mergebook.claims import PAPERS


@pytest.mark.parametrize(
    ("cell", "low", "high"),
    [
        ("82.0", 81.95, 82.05),
        ("5", 4.5, 5.5),
        ("100,000", 99_999.5, 100_000.5),
        ("77.6 (+3.7)", 77.55, 77.65),
        ("0.336", 0.3355, 0.3365),
    ],
)
def test_a_printed_number_stands_for_an_interval(cell, low, high):
    assert audit.span(cell) == pytest.approx([low, high])


@pytest.mark.parametrize("cell", ["", "–", "ViT-B/32", "-1.2", "1.2.3"])
def test_other_cells_have_none(cell):
    assert audit.span(cell) is None


@pytest.mark.parametrize("ddof", [0, 1])
def test_the_variances_that_cells_allow_hold_every_draw_and_are_reached(ddof):
    rng = np.random.default_rng(0)
    cells = [c + np.array([-0.5, 0.5]) for c in rng.uniform(0, 4, 5)]
    draws = rng.uniform(*np.transpose(cells), size=(200_000, 5)).var(axis=1, ddof=ddof)
    low, high = audit.variances(cells, ddof)
    assert low <= draws.min() and draws.max() <= high
    assert draws.min() - low < 0.15 and high - draws.max() < 0.3
    assert audit.variances([np.array([1.0, 2.0]), np.array([1.5, 3.0])], 0)[0] == pytest.approx(0)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Put a table of one's own in the place of M-Loss's first; returns the writer."""
    monkeypatch.setattr(audit, "book_folder", lambda name: tmp_path)
    audit.printed_cells.cache_clear()
    yield lambda text: (tmp_path / "mloss_table1.csv").write_text(text, encoding="utf-8")
    audit.printed_cells.cache_clear()


def test_honest_averages_and_leads_are_never_flagged_and_slips_are(tables):
    rng = np.random.default_rng(1)
    values = rng.uniform(20, 95, (40, 6))
    rows = [
        ",".join([f"method {i}", *(f"{x:.1f}" for x in v), f"{v.mean():.1f}"])
        for i, v in enumerate(values)
    ]
    head = "Method," + ",".join("ABCDEF") + ",Avg\n"
    tables(head + "\n".join(rows))
    assert {x["verdict"] for x in audit.averages_and_gains("m1")} == {"consistent"}
    audit.printed_cells.cache_clear()
    means = np.sort(values.mean(1))
    best = int(values.mean(1).argmax())
    rows[best] += f" (+{means[-1] - means[-2]:.1f})"
    rows[(best + 1) % 40] = rows[(best + 1) % 40].rsplit(",", 1)[0] + ",12.3"
    tables(head + "\n".join(rows))
    found = pd.DataFrame(audit.averages_and_gains("m1"))
    assert found[found.verdict != "consistent"]["where"].tolist() == [
        f"method {(best + 1) % 40}, Avg"
    ]
    gains = found[found.kind == "gain"]
    assert len(gains) == 2 and (gains.verdict == "consistent").all()


def test_a_score_that_is_no_whole_number_of_items_is_named(tables):
    tables("Method,DTD,Avg\n" + "\n".join(f"m{k},{100 * k / 1880:.2f},1" for k in (7, 901, 1333)))
    [honest] = audit.granularity(["m1"])
    assert honest["verdict"] == "possible"
    audit.printed_cells.cache_clear()
    tables(f"Method,DTD,Avg\nm,{100 * 900.5 / 1880:.2f},1\nother,50.00,1\n")
    [wrong] = audit.granularity(["m1"])
    assert (
        wrong["verdict"] == "impossible"
        and "47.90" in wrong["arithmetic"]
        and "1 of 2" in wrong["arithmetic"]
    )


def test_sentences_are_read_as_they_are_written(tables):
    tables("Method,A,B,Avg\nours,50.0,70.0,60.0\nfirst,48.0,71.0,59.5\nsecond,49.0,60.0,54.5\n")
    assert audit.differences_of("m1", "Avg", "ours > ")["ours, Avg"] == pytest.approx([0.4, 0.6])
    assert list(audit.differences_of("m1", "A/B", "ours - first")) == ["ours, A", "ours, B"]
    assert audit.differences_of("m1", "ours", ":B - :A")["ours, B over A"] == pytest.approx(
        [19.9, 20.1]
    )
    found = audit.differences_of("m1", "*", "ours > ")
    verdicts = {
        need: audit.judge("comparison", "m1", "1", "above", found, need)["verdict"]
        for need in ("+", "most of them +", "some of them +", "-")
    }
    assert verdicts == {
        "+": "sentence disagrees",
        "most of them +": "sentence agrees",
        "some of them +": "sentence agrees",
        "-": "sentence disagrees",
    }
    assert (
        audit.judge("gain", "m1", "1", "lead", {"x": np.array([0.4, 0.6])}, "0.7")["verdict"]
        == "off by more than rounding"
    )
    assert (
        audit.judge("gain", "m1", "1", "lead", {"x": np.array([0.4, 0.66])}, "0.7")["verdict"]
        == "consistent"
    )


def test_the_audit_of_the_papers_covers_their_tables_and_agrees_with_hand_sums():
    found = audit.audit()
    assert (
        set(found.paper) == set(PAPERS.values()) and not found.arithmetic.str.contains("nan").any()
    )
    assert (found.low <= found.high).all()
    row = found[(found.table == "4_main") & (found["where"] == "Weight Averaging, Avg Acc")].iloc[0]
    assert row.printed == "59.4" and row.verdict == "off by more than rounding"
    assert row.low == pytest.approx((77.1 + 56.4 + 64.9) / 3 - 0.05) and row.high == pytest.approx(
        row.low + 0.1
    )
    assert (
        found[(found.paper == "FT-Classifier") & (found.kind == "average")].verdict == "consistent"
    ).all()


def test_each_sentence_names_a_table_and_finds_cells_in_it():
    for row in audit.sentences():
        assert all(
            row[key].strip()
            for key in ("tables", "names", "where", "sentence", "expression", "allowed")
        ), row
        assert any(
            audit.differences_of(key, names, row["expression"])
            for key in row["tables"].split("/")
            for names in row["names"].split("&")
        )
