"""Every function that decides a claim, on the made-up tables of its chapter: all verdicts can come.

`tests/chN/test_claims*.py` have, under these names: `CASES`, for each claim tables for each verdict
that its function can reach (of an observation, tables for which it is so, `holds`, and is not,
`fails`); `NEAR`, boundaries and what is no number; `SAID`, what the values of some cases must be,
by their path; `ORDERED`, claims whose tables come in an order that means something.
"""

import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from mergebook import ledger
from mergebook.claims import CORRECTED, FAILS, HOLDS, OBSERVATION, UNDECIDED, claims, decider

CHAPTERS = [
    import_module(f"{path.parent.name}.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("ch*/test_claims*.py"))
]
CASES = {i: by for chapter in CHAPTERS for i, by in chapter.CASES.items()}
NEAR = [case for chapter in CHAPTERS for case in chapter.NEAR]
SAID = {case: said for chapter in CHAPTERS for case, said in chapter.SAID.items()}
ORDERED = {i for chapter in CHAPTERS for i in chapter.ORDERED}
EVERY = {
    (i, verdict): (verdict, tables) for i, by in CASES.items() for verdict, tables in by.items()
}
PLAIN = list(EVERY)
EVERY |= {(i, name): (verdict, tables) for i, name, verdict, tables in NEAR}
each_case = pytest.mark.parametrize("case", EVERY, ids=": ".join)


@cache
def decided(case):
    return decider(case[0])(*EVERY[case][1])


def test_no_two_cases_of_a_claim_have_one_name():
    assert len(EVERY) == len(PLAIN) + len(NEAR)


# ---------------------------------------------------------------- every claim has its cases

OPEN = re.compile(r"\b(weighed|below)\(|\bNone\b")  # in a function that can leave a claim open


def without_cases(stated, cases, source):
    """What is missing, as `claim: verdict`; `source(claim)` is that of its function."""
    missing = []
    for i, entry in stated.items():
        needed = [HOLDS, FAILS] + [CORRECTED] * bool(entry.correction)
        needed += [UNDECIDED] * (entry.kind != OBSERVATION and bool(OPEN.search(source(i))))
        missing += [f"{i}: {verdict}" for verdict in needed if verdict not in cases.get(i, {})]
    return missing


def test_every_claim_that_a_function_decides_has_a_case_of_each_verdict_it_can_have():
    moved = {i: entry for i, entry in claims().items() if entry.moved}
    assert without_cases(moved, CASES, lambda i: inspect.getsource(decider(i))) == []
    assert sorted(CASES) == sorted(moved)


def test_a_claim_without_cases_is_named():
    entry = claims()["mloss-scaling-in-sigma"].model_copy(update={"correction": "so"})
    stated, cases = {"new": entry, "old": entry}, {"old": {HOLDS: (), CORRECTED: ()}}
    assert without_cases(stated, cases, lambda i: "return Outcome(True)") == [
        "new: holds",
        "new: fails",
        "new: holds, corrected",
        "old: fails",
    ]
    assert without_cases({"old": entry}, cases, lambda i: "return weighed(")[1:] == [
        "old: not decidable here"
    ]


# --------------------------------------------------------------------------- what the cases decide


@each_case
def test_a_case_decides_as_it_should(case):
    assert decided(case).verdict == EVERY[case][0]


@each_case
def test_the_sentences_of_a_case_can_be_said(case):
    card = ledger.verdict(case[0], decided(case))
    observed = claims()[case[0]].kind == OBSERVATION
    assert card.verdict == (OBSERVATION if observed else EVERY[case][0])
    if case in PLAIN and card.verdict != UNDECIDED:
        assert not re.search(r"\b(nan|None)\b", f"{card.measured} {card.note}"), card.measured


@each_case
def test_a_function_leaves_its_tables_as_they_are(case):
    tables = EVERY[case][1]
    before = [table.copy(deep=True) for table in tables]
    decider(case[0])(*tables)
    for old, new in zip(before, tables):
        pd.testing.assert_frame_equal(old, new)


@pytest.mark.parametrize("case", [c for c in EVERY if c[0] not in ORDERED], ids=": ".join)
def test_the_order_of_the_rows_does_not_decide(case):
    turned = [table[::-1].reset_index(drop=True) for table in EVERY[case][1]]
    assert decider(case[0])(*turned).verdict == EVERY[case][0]


def at(values, path):
    """What stands at a path such as `suites.0.gain.value`; of a table the row with that number."""
    for name in path.split("."):
        if isinstance(values, pd.DataFrame):
            values = values.to_dict("records")
        if hasattr(values, name):
            values = getattr(values, name)
        else:
            values = values[int(name)] if name.isdigit() else values[name]
    return values


def agrees(value, expected):
    if isinstance(expected, dict):
        return all(agrees(value[name], part) for name, part in expected.items())
    return value == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-3))


@pytest.mark.parametrize("case", SAID, ids=": ".join)
def test_a_card_says_what_its_tables_hold(case):
    for path, expected in SAID[case].items():
        value = at(decided(case).values, path)
        assert agrees(value, expected), f"{path} is {value}"
