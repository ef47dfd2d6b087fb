"""Stored experiments: when two values agree, what is computed, and what a recheck objects to."""

import json
import math
import os
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergebook import studies
from mergebook.experiments import Experiment, Store, Tolerance

NAN, INF = math.nan, math.inf


def packed(*right):
    return studies.pack_answers({"t": torch.tensor(right).bool()})["t"]


# ------------------------------------------------------------------------- when two values agree

AGREE = [
    (Tolerance(), 2, 2),
    (Tolerance(), 2, 2.0),
    (Tolerance(), 0.0, -0.0),
    (Tolerance(0.5), 1.0, 1.5),
    (Tolerance(0.5), -0.25, 0.25),
    (Tolerance(relative=0.1), 100.0, 90.0),
    (Tolerance(relative=0.1), -100.0, -90.0),
    (Tolerance(1.0, 0.1), 100.0, 89.0),
    (Tolerance(), NAN, NAN),
    (Tolerance(), INF, INF),
    (Tolerance(), [], []),
    (Tolerance(), [1, 2.5], [1.0, 2.5]),
    (Tolerance(), [NAN, INF, 1.0], [NAN, INF, 1.0]),
    (Tolerance(0.5), [1.0, NAN], [1.5, NAN]),
    (Tolerance(relative=0.01), [0.0, 100.0], [1.0, 100.0]),  # relative to the largest of the list
    (Tolerance(), "words", "words"),
    (Tolerance(), "", ""),
    (Tolerance(), None, None),
    (Tolerance(), True, True),
    (Tolerance(), [True, "a", None], [True, "a", None]),
    (Tolerance(), [[1.0, NAN], []], [[1.0, NAN], []]),
    (Tolerance(), packed(1, 0, 1), packed(1, 0, 1)),
    (Tolerance(), packed(), packed()),
    (Tolerance(0.25), packed(1, 0, 1, 0), packed(1, 0, 1, 1)),
    (Tolerance(0.1), packed(*[1, 0] * 10), packed(*[1, 0] * 9, 0, 1)),
    (Tolerance(0.5), [packed(1, 0), packed(1, 1, 0)], [packed(1, 1), packed(1, 0, 0)]),
]
DIFFER = [
    (Tolerance(), 2, 3),
    (Tolerance(), 1.0, 1.0 + 1e-15),
    (Tolerance(0.5), 1.0, 1.51),
    (Tolerance(0.5), -0.3, 0.3),
    (Tolerance(relative=0.1), 100.0, 89.0),
    (Tolerance(relative=0.9), 0.0, 1e-9),
    (Tolerance(1.0, 0.1), 100.0, 88.0),
    (Tolerance(9, 9), NAN, 1.0),
    (Tolerance(9, 9), INF, -INF),
    (Tolerance(9, 9), INF, 1e308),
    (Tolerance(9, 9), INF, NAN),
    (Tolerance(9, 9), [], [0]),
    (Tolerance(9, 9), [1.0], [1.0, 1.0]),
    (Tolerance(), [1.0, 2.0], [2.0, 1.0]),
    (Tolerance(0.5), [1.0, 5.0], [1.0, 5.6]),
    (Tolerance(9, 9), [1.0, NAN], [NAN, 1.0]),
    (Tolerance(9, 9), [INF, 1.0], [1.0, 1.0]),
    (Tolerance(relative=0.01), [0.0, 100.0], [1.1, 100.0]),
    (Tolerance(9, 9), "words", "word"),
    (Tolerance(9, 9), "words", "Words"),
    (Tolerance(9, 9), "", None),
    (Tolerance(9, 9), 0, None),
    (Tolerance(9, 9), NAN, None),
    (Tolerance(9, 9), True, False),
    (Tolerance(9, 9), True, 1),
    (Tolerance(9, 9), False, 0.0),
    (Tolerance(9, 9), 1, "1"),
    (Tolerance(9, 9), 1.0, [1.0]),
    (Tolerance(9, 9), [True], [1]),
    (Tolerance(9, 9), ["a", 1.0], ["b", 1.0]),
    (Tolerance(9, 9), [1.0, None], [1.0, 1.0]),
    (Tolerance(), [[1.0], [2.0]], [[1.0], [3.0]]),
    (Tolerance(), packed(1, 0, 1), packed(1, 1, 1)),
    (Tolerance(0.24), packed(1, 0, 1, 0), packed(1, 0, 1, 1)),
    (Tolerance(0.1), packed(*[1, 0] * 10), packed(*[1, 0] * 8, 0, 1, 0, 1)),
    (Tolerance(0.9), packed(1, 0), packed(1, 0, 0)),
    (Tolerance(0.9), packed(*[0] * 8), packed(*[0] * 9)),
    (Tolerance(0.9), packed(), packed(0)),
    (Tolerance(0.4), [packed(1, 0, 1), packed(1, 0)], [packed(1, 0, 1), packed(1, 1)]),
    (Tolerance(0.9), [packed(1, 0), packed(1)], [packed(1, 0)]),
    (Tolerance(0.9), [packed(1, 0), packed(1)], [packed(1), packed(1, 0)]),
    (Tolerance(0.9), packed(1, 0), [packed(1, 0)]),
    (Tolerance(0.9), packed(1, 0), "no answers"),
    (Tolerance(0.9), packed(1, 0), 2),
    # Texts that only look like answers: their counts do not go with their digits.
    (Tolerance(0.9), "8:a8", "9:a8"),
    (Tolerance(0.9), "8:a8", "8:a8f"),
    (Tolerance(0.9), "12:30", "12:31"),
    (Tolerance(0.9), "8:", "9:"),
]


@pytest.mark.parametrize(("tolerance", "a", "b"), AGREE, ids=repr)
def test_values_that_agree(tolerance, a, b):
    assert tolerance.accepts(a, b) is True and tolerance.accepts(b, a) is True


@pytest.mark.parametrize(("tolerance", "a", "b"), DIFFER, ids=repr)
def test_values_that_differ(tolerance, a, b):
    assert tolerance.accepts(a, b) is False and tolerance.accepts(b, a) is False


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.booleans(), max_size=20).map(lambda right: packed(*right)),
    st.lists(st.floats(), max_size=5),
)


@given(VALUES, st.floats(0, 1), st.floats(0, 1))
def test_every_value_agrees_with_its_own_copy_in_a_file(value, absolute, relative):
    stored = json.loads(json.dumps(value))
    assert Tolerance().accepts(stored, value)
    assert Tolerance(absolute, relative).accepts(stored, value)


# ------------------------------------------------------------------------------ one experiment


@dataclass(frozen=True)
class Key:
    model: str
    rate: float
    seed: int = 0


FIELDS = {
    "score": Tolerance(0.01),
    "loss": Tolerance(relative=1e-6),
    "answers": Tolerance(0.05),
    "curve": Tolerance(1e-9),
    "name": Tolerance(),
    "best": Tolerance(),
}


def compute(key, calls=None, **context):
    """A row of every kind of value; `calls` hears of each key that is computed."""
    if calls is not None:
        calls.append(key)
    rng = np.random.default_rng([key.seed, int(1000 * key.rate)])
    return {
        "score": rng.random(),
        "loss": rng.random() * 1e-3,
        "answers": studies.pack_answers({"": torch.tensor(rng.random(20) < 0.5)})[""],
        "curve": rng.random(3).tolist(),
        "name": f"ü {key.model}",
        "best": None,
    }


def made(compute=compute, tolerance=FIELDS, name="rates of ties", version=3):
    return Experiment(name, version, Key, compute, tolerance)


def keys(count=6):
    return [Key("mini", i / 10) for i in range(count)]


RATES = made()


@dataclass
class Loose:
    model: str


def test_a_key_that_is_no_frozen_dataclass_is_refused():
    for kind in (Loose, dict, str, None, Key("m", 0.5), {"model": str}):
        with pytest.raises(ValueError, match="the key of odd is .*; give a frozen dataclass"):
            Experiment("odd", 1, kind, compute, FIELDS)


def test_a_field_of_key_and_row_alike_is_refused():
    """The row's value would stand where the table has the key's."""
    with pytest.raises(ValueError, match=r"odd: \['rate'\] stand in the key and in the tolerances"):
        made(name="odd", tolerance=FIELDS | {"rate": Tolerance()})


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"rates of ties takes keys of Key, got Loose\("):
        RATES.label(Loose("m"))


def test_the_label_of_a_key_never_changes():
    """Stored rows lie under it: this text is in files."""
    assert RATES.label(Key("ü", 0.1, 7)) == '{"model": "\\u00fc", "rate": 0.1, "seed": 7}'

    @dataclass(frozen=True)
    class Turned:
        seed: int = 0
        rate: float = 0.5
        model: str = "m"

    turned = Experiment("turned", 1, Turned, compute, FIELDS)
    assert turned.label(Turned()) == RATES.label(Key("m", 0.5))


def test_keys_that_differ_anywhere_have_labels_that_differ():
    every = [Key("m", 0.5), Key("n", 0.5), Key("m", 0.25), Key("m", 0.5, 1), Key("m", -0.5)]
    assert len({RATES.label(key) for key in every}) == len(every)


def test_a_row_holds_what_a_file_would_hold():
    def odd(key):
        return {"a": (1, 2), "b": np.float64(0.1)}

    experiment = made(odd, {"a": Tolerance(), "b": Tolerance()})
    [row] = experiment.rows(Key("m", 0.5), {})
    assert row == {"a": [1, 2], "b": 0.1} and type(row["b"]) is float


@pytest.mark.parametrize(
    ("row", "odd"),
    [
        ({"a": 1}, r"\['b'\]"),
        ({"a": 1, "b": 2, "c": 3}, r"\['c'\]"),
        ({"a": 1, "bb": 2}, r"\['b', 'bb'\]"),
        ({}, r"\['a', 'b'\]"),
        ([{"a": 1, "b": 2}, {"b": 2}], r"\['a'\]"),
    ],
)
def test_a_row_and_its_tolerances_have_the_same_fields(tmp_path, row, odd):
    experiment = made(lambda key: row, {"a": Tolerance(), "b": Tolerance()})
    with pytest.raises(ValueError, match=f"rates of ties: {odd} stand in the row or"):
        Store(tmp_path).table(experiment, keys(1))


# -------------------------------------------------------------------------------- one table


def table_and_calls(store, experiment=RATES, of=None):
    """The table of six keys, and the keys that were computed for it."""
    calls = []
    return store.table(experiment, keys() if of is None else of, calls=calls), calls


@pytest.fixture
def stored(tmp_path):
    """A folder with the stored rows of six keys."""
    store = Store(tmp_path / "none")
    store.table(RATES, keys()[::-1])
    (tmp_path / "stored").mkdir()
    store.save(tmp_path / "stored", "make study")
    return tmp_path / "stored"


def test_the_first_columns_are_the_keys_and_then_come_the_fields(tmp_path):
    table, _ = table_and_calls(Store(tmp_path))
    assert list(table.columns) == ["model", "rate", "seed", *FIELDS]
    assert table.rate.tolist() == [key.rate for key in keys()]
    expected = [compute(key) for key in keys()]
    assert table[list(FIELDS)].to_dict("records") == expected


def test_a_key_may_have_several_rows_or_none(tmp_path):
    def several(key, **context):
        return [{"step": i, "value": key.rate + i} for i in range(key.seed)]

    experiment = made(several, {"step": Tolerance(), "value": Tolerance()})
    table = Store(tmp_path).table(experiment, [Key("m", 0.5, 2), Key("m", 0.5, 0), Key("n", 1, 1)])
    assert table.values.tolist() == [
        ["m", 0.5, 2, 0, 0.5],
        ["m", 0.5, 2, 1, 1.5],
        ["n", 1, 1, 0, 1],
    ]


def test_a_table_of_no_keys_has_its_columns(tmp_path):
    table, calls = table_and_calls(Store(tmp_path), of=[])
    assert list(table.columns) == ["model", "rate", "seed", *FIELDS] and not len(table) + len(calls)


def test_missing_keys_are_computed_once(tmp_path):
    store = Store(tmp_path)
    first, calls = table_and_calls(store)
    assert calls == keys() and (store.computed, store.rechecked) == (6, 0)
    again, calls = table_and_calls(store, of=keys(8))
    assert calls == keys(8)[6:] and store.computed == 8
    pd.testing.assert_frame_equal(again[:6], first)


def test_a_key_that_is_asked_for_twice_has_its_rows_once(tmp_path):
    table, calls = table_and_calls(Store(tmp_path), of=[*keys(2), *keys(3)])
    assert calls == keys(3) and table.rate.tolist() == [0, 0.1, 0.2]


def test_stored_rows_are_taken_without_computing(stored):
    store = Store(stored)
    table, calls = table_and_calls(store)
    assert calls == [] and (store.computed, store.rechecked) == (0, 0)
    pd.testing.assert_frame_equal(table, Store(stored / "none").table(RATES, keys()))
    part, calls = table_and_calls(Store(stored), of=[keys()[4], Key("mini", 0.9), keys()[1]])
    assert calls == [Key("mini", 0.9)] and part.rate.tolist() == [0.4, 0.9, 0.1]


def test_all_stored_rows_are_a_table_without_naming_their_keys(stored):
    store, (table, _) = Store(stored, recheck=1.0), table_and_calls(Store(stored))
    found = store.everything(RATES)
    assert list(found.columns) == list(table.columns) and store.rechecked == 0
    assert sorted(map(repr, found.to_dict("records"))) == sorted(
        map(repr, table.to_dict("records"))
    )


def test_full_mode_ignores_the_file(stored):
    store = Store(stored, "full", recheck=1.0)
    _, calls = table_and_calls(store)
    assert calls == keys() and (store.computed, store.rechecked) == (6, 0)
    (stored / "rates-of-ties.json").write_text("{")
    assert table_and_calls(Store(stored, "full"))[1] == keys()


def test_what_no_result_depends_on_does_not_enter_the_key(stored):
    """Another device or path takes the same stored rows."""
    calls = []
    Store(stored).table(RATES, keys(), calls=calls, device="cuda", path="/elsewhere")
    assert calls == []
    Store(stored, recheck=1.0).table(RATES, keys(), calls=calls, device="cuda", path="/elsewhere")
    assert len(calls) == 6


def test_two_experiments_of_one_store_do_not_mix(tmp_path):
    def other(key, **context):
        return {"double": 2 * key.rate}

    store, second = Store(tmp_path), made(other, {"double": Tolerance()}, "another one")
    store.table(RATES, keys(2))
    assert store.table(second, keys(2)).double.tolist() == [0, 0.2]
    store.save(tmp_path, "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "another-one.json",
        "rates-of-ties.json",
    ]


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="study is 'new'; allowed: stored, full"):
        Store(tmp_path, "new")


# ----------------------------------------------------------------------------- several processes


def late_first(key, **context):
    """The first keys take longest; a row says when it was done."""
    time.sleep(0.4 - key.rate if key.rate < 0.4 else 0)
    return {"done": time.monotonic()}


def threads(key, **context):
    return {"threads": os.environ["OMP_NUM_THREADS"], "process": os.getpid()}


def test_two_processes_give_the_table_of_one(tmp_path):
    one = Store(tmp_path).table(RATES, keys())
    two = Store(tmp_path, workers=2, journals=tmp_path).table(RATES, keys())
    pd.testing.assert_frame_equal(one, two)
    lines = (tmp_path / "rates-of-ties.jsonl").read_text().splitlines()
    assert len(lines) == 6


def test_rows_stand_in_the_order_of_the_keys_whenever_they_were_done(tmp_path):
    experiment = made(late_first, {"done": Tolerance()})
    table = Store(tmp_path, workers=2).table(experiment, keys())
    assert table.rate.tolist() == [key.rate for key in keys()]
    assert not table.done.is_monotonic_increasing


def test_each_of_several_processes_has_one_thread(tmp_path, monkeypatch):
    """Also where the variable of the parent says otherwise."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    experiment = made(threads, {"threads": Tolerance(), "process": Tolerance()})
    table = Store(tmp_path, workers=2).table(experiment, keys())
    assert set(table.threads) == {"1"} and os.getpid() not in set(table.process)
    here = Store(tmp_path).table(experiment, keys(1))
    assert here.threads.tolist() == ["3"] and here.process.tolist() == [os.getpid()]


# ----------------------------------------------------------------------------------- the recheck


def test_a_share_of_the_stored_rows_is_computed_again(stored):
    store = Store(stored, recheck=0.5)
    table, calls = table_and_calls(store)
    assert (
        len(calls) == 3 and set(calls) < set(keys()) and (store.computed, store.rechecked) == (0, 3)
    )
    pd.testing.assert_frame_equal(table, Store(stored).table(RATES, keys()))


@pytest.mark.parametrize(
    ("recheck", "count"), [(0.0, 0), (1e-9, 1), (0.17, 2), (0.34, 3), (1.0, 6)]
)
def test_at_least_one_row_is_computed_again_unless_none_is_asked_for(stored, recheck, count):
    assert len(table_and_calls(Store(stored, recheck=recheck))[1]) == count


def test_missing_keys_are_computed_beside_the_share(stored):
    store = Store(stored, recheck=0.1)
    _, calls = table_and_calls(store, of=keys(9))
    assert set(keys(9)[6:]) < set(calls) and (store.computed, store.rechecked) == (3, 1)
    assert table_and_calls(Store(stored, recheck=1.0), of=[Key("new", 1)])[1] == [Key("new", 1)]


def test_the_seed_decides_which_rows_are_computed_again(tmp_path):
    many = keys(60)
    store = Store(tmp_path / "none")
    store.table(RATES, many)
    store.save(tmp_path, "make study")

    def drawn(recheck, seed):
        return set(table_and_calls(Store(tmp_path, recheck=recheck, seed=seed), of=many)[1])

    assert drawn(0.25, 0) == drawn(0.25, 0) != drawn(0.25, 1)
    assert drawn(0.25, 0) < drawn(0.5, 0) and len(drawn(0.25, 0)) == 15
    seen = set().union(*(drawn(0.05, seed) for seed in range(100)))
    assert len(seen) > 50  # no row is out of reach


def test_tables_of_one_experiment_share_what_is_computed_again(stored):
    """A page that asks in many small tables does not compute a row of each."""
    store, found = Store(stored, recheck=0.34), []
    for i in range(6):
        found += table_and_calls(store, of=[keys()[i]])[1]
    assert len(found) == len(set(found)) == store.rechecked == 3  # of 1, of 3, of 6
    assert table_and_calls(store)[1] == []  # the same six keys once more
    every = Store(stored, recheck=1.0)
    assert [table_and_calls(every, of=[key])[1] for key in keys()] == [[key] for key in keys()]


def test_a_difference_within_the_tolerance_passes_and_the_stored_row_is_shown(stored):
    rewrite(stored, 0, lambda rows: rows[0].update(score=rows[0]["score"] + 0.009))
    table, calls = table_and_calls(Store(stored, recheck=1.0))
    assert len(calls) == 6
    assert table.score[0] == pytest.approx(compute(keys()[0])["score"] + 0.009)


def rewrite(folder, number, change):
    """Alter the stored rows of one key, in place."""
    path = folder / "rates-of-ties.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["rows"][RATES.label(keys()[number])])
    path.write_text(json.dumps(content), encoding="utf-8")


def flip(text, count=2):
    """Packed answers with the first few turned."""
    answers = studies.unpack_answers({"": text})[""]
    answers[:count] ^= True
    return studies.pack_answers({"": torch.tensor(answers)})[""]


GARBLED = {
    "score": [
        lambda v: v + 0.011,
        lambda v: -v,
        lambda v: NAN,
        lambda v: INF,
        lambda v: None,
        lambda v: str(v),
        lambda v: [v],
        lambda v: True,
    ],
    "loss": [lambda v: v * (1 + 2e-6), lambda v: 0, lambda v: v + 1e-8],
    "answers": [
        flip,
        lambda v: "0:",
        lambda v: "19:" + v.split(":")[1],
        lambda v: "24:" + v.split(":")[1],
        lambda v: v[:-1],
        lambda v: v + "0",
        lambda v: v.upper() + "x",
        lambda v: 20,
    ],
    "curve": [
        lambda v: v[::-1],
        lambda v: v[:2],
        lambda v: [*v, 0.0],
        lambda v: [v[0] + 2e-9, *v[1:]],
        lambda v: [*v[:2], None],
        lambda v: [],
    ],
    "name": [lambda v: v + " ", lambda v: v.upper(), lambda v: "", lambda v: None],
    "best": [lambda v: 0, lambda v: False, lambda v: "None", lambda v: []],
}


def test_every_field_is_garbled_below():
    assert GARBLED.keys() == FIELDS.keys() == compute(Key("m", 0.5)).keys()


@pytest.mark.parametrize(
    ("name", "garble"),
    [
        pytest.param(name, garble, id=f"{name} {i}")
        for name, several in GARBLED.items()
        for i, garble in enumerate(several)
    ],
)
def test_a_garbled_field_stops_the_run_and_all_is_named(stored, name, garble):
    true = compute(keys()[2])[name]
    rewrite(stored, 2, lambda rows: rows[0].update({name: garble(true)}))
    with pytest.raises(ValueError) as caught:
        table_and_calls(Store(stored, recheck=1.0))
    message = str(caught.value)
    assert message.startswith("rates-of-ties.json: a stored row differs from this run; with -p")
    assert RATES.label(keys()[2]) in message and not [
        key for key in keys() if key != keys()[2] and RATES.label(key) in message
    ]
    stored_value = json.loads(json.dumps(garble(true)))
    shown = [repr(v) if len(repr(v)) < 60 else repr(v)[:57] + "..." for v in (stored_value, true)]
    assert message.endswith(f"row 0, {name}: stored {shown[0]}, computed {shown[1]}")


def test_all_fields_that_differ_come_in_one_error(stored):
    rewrite(stored, 0, lambda rows: rows[0].update(score=9, best=1, name="x"))
    with pytest.raises(ValueError) as caught:
        table_and_calls(Store(stored, recheck=1.0))
    assert [n for n in FIELDS if f"row 0, {n}: stored" in str(caught.value)] == [
        "score",
        "name",
        "best",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.append(dict(rows[0])), "2 rows are stored, 1 were computed"),
        (lambda rows: rows.clear(), "0 rows are stored, 1 were computed"),
    ],
)
def test_another_number_of_rows_stops_the_run(stored, change, message):
    rewrite(stored, 3, change)
    with pytest.raises(ValueError, match=f"differs from this run.*{message}"):
        table_and_calls(Store(stored, recheck=1.0))


def test_a_row_that_was_not_drawn_cannot_object_and_one_that_was_does(stored):
    [drawn] = table_and_calls(Store(stored, recheck=0.1, seed=5))[1]
    other = next(i for i, key in enumerate(keys()) if key != drawn)
    rewrite(stored, other, lambda rows: rows[0].update(score=9))
    table_and_calls(Store(stored, recheck=0.1, seed=5))
    rewrite(stored, keys().index(drawn), lambda rows: rows[0].update(score=9))
    with pytest.raises(ValueError, match="row 0, score: stored 9, computed 0"):
        table_and_calls(Store(stored, recheck=0.1, seed=5))


def test_a_recheck_in_several_processes_objects_too(stored):
    rewrite(stored, 0, lambda rows: rows[0].update(score=9))
    with pytest.raises(ValueError, match="row 0, score: stored 9, computed 0"):
        Store(stored, recheck=1.0, workers=2).table(RATES, keys())


def test_code_that_computes_something_else_is_noticed(stored):
    """A rule that was altered a little, with its stored rows left as they were."""

    def altered(key, **context):
        row = compute(key, **context)
        return row | {"loss": row["loss"] * 1.00001}

    with pytest.raises(ValueError, match="row 0, loss: stored 0.000"):
        table_and_calls(Store(stored, recheck=0.1), made(altered))


# --------------------------------------------------------------------------------------- files


def test_rows_of_another_version_are_refused(stored):
    newer = made(version=4)
    with pytest.raises(
        ValueError,
        match=f"{stored}/rates-of-ties.json holds rows of rates of ties, version 3; this code"
        " computes version 4: run with -p study full and store its rows",
    ):
        Store(stored).table(newer, keys())
    assert len(Store(stored, "full").table(newer, keys())) == 6


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"version": 3}',
        b'{"rows": {}}',
        b'{"version": 3, "rows": []}',
        b'{"version": 3, "rows": ""}',
        b'{"version": 3, "rows": null}',
        b'{"version": 3, "rows": ["a"]}',
        b'{"version": 3, "rows": {"a": 5}}',
        b'{"version": 3, "rows": {"a": null}}',
        b'{"version": 3, "rows": {"a": [5]}}',
        b'{"version": 3, "rows": {"a": {"score": 5}}}',
    ],
    ids=repr,
)
def test_a_file_that_is_no_study_is_named(stored, content):
    (stored / "rates-of-ties.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"{stored}/rates-of-ties.json is not a stored study: "):
        table_and_calls(Store(stored))


@pytest.mark.parametrize(
    ("change", "odd"),
    [
        (lambda rows: rows[0].pop("loss"), r"\['loss'\]"),
        (lambda rows: rows[0].update(extra=1), r"\['extra'\]"),
        (lambda rows: rows[0].update(Loss=rows[0].pop("loss")), r"\['Loss', 'loss'\]"),
    ],
)
def test_stored_rows_of_other_fields_are_refused_without_a_recheck(stored, change, odd):
    """A field that is missing would be an empty column."""
    rewrite(stored, 3, change)
    with pytest.raises(ValueError, match=rf"rates-of-ties.json: {odd} stand in a stored .*0\.3"):
        table_and_calls(Store(stored, recheck=0.0))


def test_what_is_saved_is_read_back_equal(tmp_path):
    values = [0.1, 1e-17, -0.0, NAN, INF, -INF, 10**15, "ü 'x'\n", None, [0.1, NAN, INF], [], True]

    def odd(key, **context):
        return [{"value": values[key.seed], "text": "y"}, {"value": 0, "text": "z"}]

    experiment = made(odd, {"value": Tolerance(), "text": Tolerance()})
    every = [Key("m", 0.1, seed) for seed in range(len(values))]
    first = Store(tmp_path)
    table = first.table(experiment, every)
    first.save(tmp_path, "make study")
    second = Store(tmp_path)
    again = second.table(experiment, every)
    assert (second.computed, second.rechecked) == (0, 0)
    pd.testing.assert_frame_equal(table, again)
    assert repr(table.to_dict("list")) == repr(again.to_dict("list"))
    assert math.copysign(1, again.value[4]) == -1
    checked = Store(tmp_path, recheck=1.0)
    checked.table(experiment, every)
    assert checked.rechecked == len(values)
    second.save(tmp_path / "..", "again")
    one, two = ((f / "rates-of-ties.json").read_text() for f in (tmp_path, tmp_path / ".."))
    assert one.replace("make study", "again") == two


def test_a_file_has_one_line_a_key_and_says_where_it_comes_from(stored):
    [path] = stored.iterdir()
    lines = path.read_text(encoding="utf-8").splitlines()
    content = json.loads("\n".join(lines))
    assert (path.name, content["experiment"], content["version"], content["command"]) == (
        "rates-of-ties.json",
        "rates of ties",
        3,
        "make study",
    )
    assert content["torch"] in torch.__version__ and content["machine"] and content["transformers"]
    assert list(content["rows"]) == sorted(RATES.label(key) for key in keys())
    for key in keys():
        [line] = [line for line in lines if line.startswith(json.dumps(RATES.label(key)))]
        [(label, rows)] = json.loads("{" + line.rstrip(",") + "}").items()
        assert label == RATES.label(key) and rows == [compute(key)]
    assert len(lines) == 2 + 6 + 1


def test_rows_of_this_run_alone_are_saved(stored, tmp_path):
    store = Store(stored)
    store.table(RATES, [keys()[1], Key("new", 0.5)])
    store.save(tmp_path, "again")
    content = json.loads((tmp_path / "rates-of-ties.json").read_text())
    assert set(content["rows"]) == {RATES.label(keys()[1]), RATES.label(Key("new", 0.5))}


def test_a_failed_save_leaves_the_old_file_the_journal_and_nothing_else(stored, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = (stored / "rates-of-ties.json").read_bytes()
    store = Store(stored, journals=stored)
    store.table(RATES, keys(8))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupted)
        store.save(stored, "again")
    assert sorted(path.name for path in stored.iterdir()) == [
        "rates-of-ties.json",
        "rates-of-ties.jsonl",
    ]
    assert (stored / "rates-of-ties.json").read_bytes() == before
    store.save(stored, "again")
    assert [path.name for path in stored.iterdir()] == ["rates-of-ties.json"]
    assert table_and_calls(Store(stored), of=keys(8))[1] == []


# ------------------------------------------------------------------------------- interrupted runs


@dataclass
class Stopping:
    """Computes a few keys, then is interrupted."""

    left: int
    calls: list = field(default_factory=list)

    def __call__(self, key, **context):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.calls.append(key)
        return compute(key)


@pytest.fixture
def interrupted(tmp_path):
    """A folder with the journal of a run that was stopped after four of six keys."""
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path / "none", journals=tmp_path / "new" / "out").table(
            made(Stopping(4).__call__), keys()
        )
    return tmp_path / "new" / "out"


def test_an_interrupted_run_goes_on_from_its_journal(interrupted):
    journal = interrupted / "rates-of-ties.jsonl"
    assert len(journal.read_text().splitlines()) == 4
    for mode in ("full", "stored"):
        store = Store(interrupted / "none", mode, journals=interrupted)
        table, calls = table_and_calls(store)
        assert calls == (keys()[4:] if mode == "full" else [])
        pd.testing.assert_frame_equal(table, Store(interrupted / "none").table(RATES, keys()))
    store.save(interrupted, "make study")
    assert [path.name for path in interrupted.iterdir()] == ["rates-of-ties.json"]
    assert table_and_calls(Store(interrupted))[1] == []


def test_a_line_that_was_being_written_is_dropped(interrupted):
    journal = interrupted / "rates-of-ties.jsonl"
    whole = journal.read_text()
    for cut in (1, 2, 30):
        journal.write_text(whole[:-cut])
        table, calls = table_and_calls(Store(interrupted / "none", journals=interrupted))
        assert calls == keys()[3:]
        pd.testing.assert_frame_equal(table, Store(interrupted / "none").table(RATES, keys()))
        assert len(journal.read_text().splitlines()) == 6
        assert table_and_calls(Store(interrupted / "none", journals=interrupted))[1] == []


def test_the_journal_of_another_version_is_not_taken_up(interrupted):
    """Its rows were computed by code that has changed since."""
    newer = made(version=4)
    store = Store(interrupted / "none", journals=interrupted)
    assert table_and_calls(store, newer)[1] == keys()
    assert table_and_calls(Store(interrupted / "none", journals=interrupted), newer)[1] == []


def test_a_stored_row_goes_before_one_of_a_journal(stored, tmp_path):
    """Only stored rows are checked, so these are shown where there are both."""
    other = made(lambda key, **context: compute(key) | {"name": "of the journal"})
    Store(tmp_path / "none", journals=tmp_path).table(other, keys(2))
    table, _ = table_and_calls(Store(stored, journals=tmp_path))
    assert set(table.name) == {"ü mini"}


@pytest.mark.parametrize("text", ["{\n", "3\n", '["a", []]\n', "\n", "[1, 2\n"], ids=repr)
def test_a_file_that_is_no_journal_is_named(tmp_path, text):
    (tmp_path / "rates-of-ties.jsonl").write_text(text)
    with pytest.raises(ValueError, match=f"{tmp_path}/rates-of-ties.jsonl is not the journal"):
        table_and_calls(Store(tmp_path, journals=tmp_path))


def test_no_journal_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table_and_calls(Store(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_short_form_of_a_long_value_says_that_it_is_short():
    found = RATES.objections(
        [compute(Key("m", 0.5))], [compute(Key("m", 0.5)) | {"name": "x" * 500}]
    )
    assert len(found) == 1 and len(found[0]) < 120 and found[0].endswith("...")
