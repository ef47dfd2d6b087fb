"""Stored studies: what is computed, what is taken from the file, and how the two are compared."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergebook import studies
from mergebook.studies import Study

ROWS = {
    "a": 1.5,
    "b b": [1, 2.25, [3]],
    "c/0.1": {"x": 0.1, "y": [1e-17]},
    "d": {"task": "5:a8"},
    "ü": -0.0,
}


def counted(value, calls):
    def compute():
        calls.append(value)
        return value

    return compute


def filled(path, rows=ROWS, **options):
    """A study of these rows, and the values that had to be computed for it."""
    study, calls = Study(path, **options), []
    for key, value in rows.items():
        study.row(key, counted(value, calls))
    return study, calls


@pytest.fixture
def stored(tmp_path):
    filled(tmp_path / "new.json")[0].save(tmp_path / "study.json", "python study.py")
    return tmp_path / "study.json"


def test_a_row_that_is_missing_is_computed_once(tmp_path):
    study, calls = Study(tmp_path / "none.json"), []
    assert [study.row("a", counted(2.5, calls)) for _ in range(3)] == [2.5] * 3
    assert (
        calls == [2.5] and study.computed == 1 and study.rows == {"a": 2.5} and study.compared == {}
    )


def test_a_computed_row_is_what_a_stored_one_would_be(tmp_path):
    study = Study(tmp_path / "none.json")
    assert study.row("a", lambda: (1, {"x": (2, 3)})) == [1, {"x": [2, 3]}]


def test_a_stored_row_is_taken_without_computing(stored):
    study, calls = filled(stored, {key: None for key in ROWS} | {"new": 7})
    assert calls == [7] and study.computed == 1 and study.compared == {}
    assert study.rows == ROWS | {"new": 7}


def test_full_mode_ignores_the_file(stored):
    study, calls = filled(stored, {"a": 2.0, "d": 3.0}, mode="full", recheck=1.0)
    assert calls == [2.0, 3.0] and study.rows == {"a": 2.0, "d": 3.0} and study.compared == {}
    stored.write_text("{")
    assert filled(stored, mode="full")[0].rows == ROWS


@pytest.mark.parametrize("recheck, expected", [(0.0, {}), (1.0, {"a": 0.25, "b b": 0.0, "d": 0.4})])
def test_all_or_none_of_the_stored_rows_are_checked(stored, recheck, expected):
    again = {"a": 2.0, "b b": ROWS["b b"], "d": {"task": "5:c8"}, "d too": 1}
    study, calls = filled(stored, again, recheck=recheck)
    assert study.compared == pytest.approx(expected) and study.computed == 1
    assert len(calls) == len(expected) + 1
    assert study.rows == {key: ROWS.get(key, 1) for key in again}


def test_the_seed_draws_the_share_that_is_checked(tmp_path):
    rows = {f"row {i}": i for i in range(400)}
    filled(tmp_path / "new.json", rows)[0].save(tmp_path / "study.json", "c")
    drawn = [
        set(filled(tmp_path / "study.json", rows, recheck=0.25, seed=seed)[0].compared)
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(60 < len(each) < 140 for each in drawn)
    more = set(filled(tmp_path / "study.json", rows, recheck=0.5, seed=0)[0].compared)
    assert drawn[0] < more


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="study is 'new'; allowed: stored, full"):
        Study(tmp_path / "study.json", "new")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'{"row": {}}', b'"rows"', b"\xff\xfe"], ids=repr
)
def test_a_file_that_is_no_study_is_named(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"{tmp_path}/study.json is not a stored study: "):
        Study(tmp_path / "study.json")


@pytest.mark.parametrize("rows", ["5", "null", '["a"]', '"a"'])
def test_a_file_whose_rows_are_no_table_is_named(tmp_path, rows):
    (tmp_path / "study.json").write_text(f'{{"rows": {rows}}}')
    with pytest.raises(ValueError, match="is not a stored study"):
        filled(tmp_path / "study.json")


# Files


def test_what_is_saved_is_read_back_equal(stored):
    study, calls = filled(stored)
    assert study.rows == ROWS and calls == []
    assert math.copysign(1, study.rows["ü"]) == -1
    assert sorted(p.name for p in stored.parent.iterdir()) == ["study.json"]


def test_a_file_has_one_line_a_row_and_says_where_it_comes_from(stored, tmp_path):
    content, lines = (
        json.loads(stored.read_text(encoding="utf-8")),
        stored.read_text(encoding="utf-8").splitlines(),
    )
    assert content["rows"] == ROWS and list(content["rows"]) == sorted(ROWS)
    assert (
        content["provenance"]["command"] == "python study.py"
        and content["provenance"]["torch"] in torch.__version__
    )
    assert all(sum(line.startswith(json.dumps(key)) for line in lines) == 1 for key in ROWS)
    Study(tmp_path / "none.json").save(tmp_path / "empty.json", "c")
    assert Study(tmp_path / "empty.json").stored == {}


def test_only_the_rows_of_this_run_are_saved(stored):
    filled(stored, {"a": 0, "new": 7})[0].save(stored, "c")
    assert Study(stored).stored == {"a": ROWS["a"], "new": 7}


def test_a_failed_save_leaves_the_old_file_and_nothing_else(stored, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    before, (study, _) = stored.read_bytes(), filled(stored, {"new": 1})
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.save(stored, "c")
    assert [p.name for p in stored.parent.iterdir()] == [
        "study.json"
    ] and stored.read_bytes() == before


def test_a_folder_in_the_way_is_an_error_that_leaves_nothing(tmp_path):
    (tmp_path / "study.json").mkdir()
    with pytest.raises(OSError):
        Study(tmp_path / "none.json").save(tmp_path / "study.json", "c")
    assert [p.name for p in tmp_path.iterdir()] == ["study.json"]


# Answers and differences


@given(st.dictionaries(st.sampled_from("xyz"), st.lists(st.booleans(), max_size=40), max_size=3))
def test_unpack_undoes_pack(answers):
    packed = studies.pack_answers(
        {task: torch.tensor(right, dtype=torch.bool) for task, right in answers.items()}
    )
    found = studies.unpack_answers(json.loads(json.dumps(packed)))
    assert {task: right.tolist() for task, right in found.items()} == answers
    assert all(right.dtype == bool for right in found.values())


def test_packed_answers_are_eight_to_a_byte():
    packed = studies.pack_answers(
        {"t": torch.tensor([True, False, True, False, True, False, False, False, True])}
    )
    assert packed == {"t": "9:a880"}


def answers(*right):
    return studies.pack_answers({"t": torch.tensor(right).bool()})["t"]


@pytest.mark.parametrize(
    "a, b, expected",
    [
        (2, 2, 0),
        (2.0, 1.5, 0.25),
        (-1.0, 1.0, 2),
        (0, 0, 0),
        (0.0, 1e-12, 1),
        (0.0, 1e-15, 1e-3),
        (True, False, 1),
        ([1, 2, 4], [1, 2, 3], 0.25),
        ([1.0, 2], [2.0, 2], 0.5),
        ([], [], 0),
        ([1], [1, 2], math.inf),
        ([0.0, 10.0], [0.1, 10.0], 0.01),
        ([[0.0, 10.0], [1.0]], [[0.1, 10.0], [2.0]], 0.5),
        ({}, {}, 0),
        ({"x": 1, "y": [4, {"z": 8}]}, {"y": [3, {"z": 5}], "x": 1}, 0.375),
        ({"x": 1}, {"y": 1}, math.inf),
        ({"x": 1}, {"x": 1, "y": 1}, math.inf),
        (answers(1, 0, 1), answers(1, 0, 1), 0),
        (answers(*[1, 0, 1, 0] * 5), answers(*[1, 0, 1, 1] * 5), 0.25),
        (answers(1, 0), answers(1, 0, 0), math.inf),
        (answers(*[0] * 8), answers(*[0] * 9), math.inf),
        ({"t": answers(1, 0)}, {"t": answers(0, 1)}, 1),
    ],
)
def test_differences_are_relative_for_numbers_and_shares_for_answers(a, b, expected):
    assert studies.difference(a, b) == pytest.approx(expected)
    assert studies.difference(b, a) == pytest.approx(expected)


@pytest.mark.parametrize(
    "a, b", [([1.0, 2.0], [1.0, math.nan]), ({"x": 1.0, "y": 2.0}, {"x": 1.0, "y": math.nan})]
)
def test_a_number_that_became_nan_is_a_difference(a, b):
    assert studies.difference(a, b) == studies.difference(b, a) == math.inf
    assert studies.difference(b, b) == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_no_answers_do_not_differ():
    assert studies.difference("0:", "0:") == 0


# Fingerprints


def models():
    g = torch.Generator().manual_seed(0)
    return {
        name: {"w": torch.randn(3, 4, generator=g), "b": torch.arange(3)}
        for name in ("base", "expert")
    }


def test_a_fingerprint_is_that_of_every_copy():
    first = studies.fingerprint(models())
    assert len(first) == 8 and int(first, 16) >= 0
    copies = models()
    copies["base"]["w"] = copies["base"]["w"].T.contiguous().T
    copies["expert"]["w"] = copies["expert"]["w"].clone().requires_grad_()
    assert studies.fingerprint(copies) == first


@pytest.mark.parametrize("name", ["base", "expert"])
@pytest.mark.parametrize("key", ["w", "b"])
def test_a_fingerprint_changes_with_any_weight(name, key):
    first, changed = studies.fingerprint(models()), models()
    for place in range(changed[name][key].numel()):
        value = changed[name][key] = models()[name][key]
        value.view(-1)[place] = (
            torch.nextafter(value.view(-1)[place], torch.tensor(9.0)) if key == "w" else 7
        )
        assert studies.fingerprint(changed) != first


def test_a_fingerprint_changes_with_the_names():
    first, (base, expert) = studies.fingerprint(models()), models().values()
    for other in (
        {"base": expert, "expert": base},
        {"base": base},
        {"base": base, "other": expert},
        {"base": base, "expert": {"w": expert["w"], "bias": expert["b"]}},
    ):
        assert studies.fingerprint(other) != first
    halves = {name: value.half() for name, value in base.items()}
    assert studies.fingerprint({"base": halves, "expert": expert}) != first


def test_numbers_without_axes_belong_to_the_fingerprint():
    """A BatchNorm counts its batches in one."""
    assert len({studies.fingerprint({"m": {"n": torch.tensor(n)}}) for n in (1, 2, 1)}) == 2


def test_a_fingerprint_takes_a_column():
    column = torch.arange(6.0).view(3, 2)[:, 0]
    assert studies.fingerprint({"m": {"b": column}}) == studies.fingerprint(
        {"m": {"b": column.clone()}}
    )


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path):
    journal = tmp_path / "out" / "rows.jsonl"
    study = Study(tmp_path / "none.json", journal=journal)
    study.row("a", lambda: 1.5)
    study.row("ü", lambda: {"x": [1]})
    with pytest.raises(KeyboardInterrupt):
        study.row("b", interrupt)
    journal.write_text(
        journal.read_text(encoding="utf-8") + '["c", [1, 2', encoding="utf-8"
    )  # cut off while it was written
    again, calls = Study(tmp_path / "none.json", journal=journal), []
    assert [again.row(key, counted(9, calls)) for key in ("a", "b", "c")] == [1.5, 9, 9]
    assert calls == [9, 9] and again.computed == 2
    assert again.rows == {"a": 1.5, "b": 9, "c": 9}  # a row that nobody asks for is left out
    again.save(tmp_path / "study.json", "python study.py")
    assert not journal.exists()
    assert Study(tmp_path / "study.json").stored == again.rows


def test_without_a_journal_nothing_is_written(tmp_path):
    Study(tmp_path / "none.json").row("a", lambda: 1)
    assert not list(tmp_path.iterdir())
