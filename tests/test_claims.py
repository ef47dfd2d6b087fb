"""Claims as data: what a file may hold, who decides a claim, how sentences take their values."""

import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml

from mergebook import claims
from mergebook.claims import Outcome, read_claims, render

ENTRY = {
    "id": "water-is-wet",
    "where": "Sec. 1",
    "claim": "Water is wet.",
    "kind": "statement",
    "speaker": "paper",
    "strength": "small networks",
    "check": "Touch it.",
    "measured": "{wet:.1f} of {all}",
    "expected": "all",
    "note": "By hand.",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of claims in the book's place, with no function that decides any; returns it."""
    monkeypatch.setattr(claims, "book_folder", lambda name: tmp_path)
    monkeypatch.setattr(claims, "DECIDERS", {})
    claims.claims.cache_clear()
    yield tmp_path
    claims.claims.cache_clear()


def write(path, *entries):
    path.write_text(yaml.safe_dump(list(entries), allow_unicode=True), encoding="utf-8")
    return path


def without(name):
    return {key: value for key, value in ENTRY.items() if key != name}


def of(**changes):
    """One claim with these fields; None takes a field away."""
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    return claims.Claim(**{"chapter": 1} | entry)


# ----------------------------------------------------------------------------- what a file may hold


def test_an_entry_of_a_chapters_file_becomes_a_claim_of_that_chapter(tmp_path):
    [found] = read_claims(write(tmp_path / "ch3.yml", ENTRY | {"headline": True}))
    assert {key: getattr(found, key) for key in ENTRY} == ENTRY
    assert (found.chapter, found.paper, found.headline, found.moved) == (
        3,
        "StatsMerging",
        True,
        True,
    )
    assert found.tolerance == found.correction == found.changed == found.suspect == ""


def test_an_entry_of_the_common_file_says_its_chapter_and_needs_no_sentence(tmp_path):
    bare = {key: ENTRY[key] for key in list(ENTRY)[:7]} | {"chapter": 4}
    [found] = read_claims(write(tmp_path / "claims.yml", bare))
    assert (found.chapter, found.paper, found.moved) == (4, "Rethinking", False)


@pytest.mark.parametrize("text", ["", "3", "id: a\n", "- a\n- b\n", "- id: a\n- 3\n"], ids=repr)
def test_a_file_that_is_no_list_of_tables_is_named(tmp_path, text):
    (tmp_path / "ch1.yml").write_text(text)
    with pytest.raises(ValueError, match=f"{tmp_path}/ch1.yml must hold a list of claims"):
        read_claims(tmp_path / "ch1.yml")


@pytest.mark.parametrize("text", ["- [", "- id: 'a\n", "a: b: c", "- {a: 1\n- b"], ids=repr)
def test_a_file_that_is_no_yaml_is_named(tmp_path, text):
    (tmp_path / "ch1.yml").write_text(text)
    with pytest.raises(ValueError, match=f"(?s){tmp_path}/ch1.yml is not valid YAML: .*line"):
        read_claims(tmp_path / "ch1.yml")


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (ENTRY | {"mesured": "x"}, "mesured: Extra inputs are not permitted"),
        (without("where"), "where: Field required"),
        (without("strength"), "strength: Field required"),
        (ENTRY | {"claim": ""}, "claim: String should have at least 1 character"),
        (ENTRY | {"check": 3}, "check: Input should be a valid string"),
        (ENTRY | {"kind": "guess"}, "kind: Input should be 'definition', .*'observation'"),
        (ENTRY | {"speaker": "rumour"}, "speaker: Input should be 'paper', .*'third party'"),
        (ENTRY | {"strength": "strong"}, "strength: Input should be 'proof', .*'paper scale'"),
        (ENTRY | {"headline": "perhaps"}, "headline: Input should be a valid boolean"),
        (ENTRY | {"chapter": 2}, "chapter is given by the file's name"),
        (ENTRY | {"note": [{"each": "rows"}]}, r"note\..*text: Field required"),
        (ENTRY | {"note": [{"each": "r", "text": "t", "sep": ","}]}, r"note\..*sep: Extra inputs"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_file_and_claim(tmp_path, entry, fault):
    path = write(tmp_path / "ch1.yml", ENTRY | {"id": "first"}, entry)
    with pytest.raises(ValueError, match=f"^{path}, water-is-wet: .*{fault}"):
        read_claims(path)


@pytest.mark.parametrize(
    "bad_id", ["Water", "water is wet", "", "eau-d'été"], ids=["capital", "spaces", "empty", "é"]
)
def test_an_id_is_small_letters_digits_and_hyphens(tmp_path, bad_id):
    with pytest.raises(ValueError, match=f"ch1.yml, {bad_id}: id: String should"):
        read_claims(write(tmp_path / "ch1.yml", ENTRY | {"id": bad_id}))


def test_an_entry_without_an_id_is_named_by_its_place(tmp_path):
    with pytest.raises(ValueError, match="ch1.yml, entry 2: id: Field required"):
        read_claims(write(tmp_path / "ch1.yml", ENTRY, without("id")))


def test_all_faults_of_an_entry_come_in_one_error(tmp_path):
    entry = without("where") | {"kind": "guess", "odd": 1}
    with pytest.raises(ValueError) as caught:
        read_claims(write(tmp_path / "ch1.yml", entry))
    assert all(f"{name}: " in str(caught.value) for name in ("where", "kind", "odd"))


@pytest.mark.parametrize("name", ["measured", "expected", "note"])
@pytest.mark.parametrize("value", [None, "", []], ids=repr)
def test_an_entry_of_a_chapters_file_needs_its_sentences(tmp_path, name, value):
    entry = without(name) | ({} if value is None else {name: value})
    with pytest.raises(ValueError, match=f"ch1.yml, water-is-wet: .*{name} must not be empty"):
        read_claims(write(tmp_path / "ch1.yml", entry))


@pytest.mark.parametrize("name", ["measured", "expected", "tolerance", "correction", "note"])
@pytest.mark.parametrize("broken", ["{a", "a}", "{a:{b}", "{a!}"])
@pytest.mark.parametrize("listed", [False, True], ids=["text", "part"])
def test_a_broken_template_is_named_with_its_claim_and_field(tmp_path, name, broken, listed):
    sentence = ["fine", {"each": "rows", "text": broken}] if listed else broken
    with pytest.raises(ValueError, match=f"ch1.yml, water-is-wet: .*{name} is no template: "):
        read_claims(write(tmp_path / "ch1.yml", ENTRY | {name: sentence}))


def test_all_files_give_one_table_in_the_order_of_the_chapters(folder):
    bare = {key: ENTRY[key] for key in list(ENTRY)[:7]}
    rest = [bare | {"id": i, "chapter": n} for i, n in (("five", 5), ("three", 3), ("also-3", 3))]
    write(folder / "claims.yml", *rest)
    write(folder / "ch2.yml", ENTRY | {"id": "two"}, ENTRY | {"id": "a-2"})
    write(folder / "released.yml", {"id": "no-claim"})
    found = claims.claims()
    assert [(i, c.chapter) for i, c in found.items()] == [
        ("two", 2),
        ("a-2", 2),
        ("three", 3),
        ("also-3", 3),
        ("five", 5),
    ]


def test_a_claim_listed_twice_is_refused_also_in_two_files(folder):
    write(folder / "ch1.yml", ENTRY, ENTRY)
    with pytest.raises(ValueError, match="claim water-is-wet is listed twice"):
        claims.claims()
    write(folder / "ch1.yml", ENTRY)
    assert list(claims.claims()) == ["water-is-wet"]
    claims.claims.cache_clear()
    write(folder / "ch2.yml", ENTRY)
    with pytest.raises(ValueError, match="claim water-is-wet is listed twice"):
        claims.claims()


def test_a_folder_of_the_book_that_is_nowhere_is_named():
    assert (claims.book_folder("claims") / "claims.yml").is_file()
    with pytest.raises(FileNotFoundError, match="nonsense is neither in the installed package nor"):
        claims.book_folder("nonsense")


# --------------------------------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    ("holds", "corrected", "verdict"),
    [
        (True, False, "holds"),
        (True, True, "holds"),
        (False, True, "holds, corrected"),
        (False, False, "fails"),
        (None, False, "not decidable here"),
        (None, True, "not decidable here"),
        (np.float64(1) < 2, False, "holds"),
        (np.float64(1) > 2, np.float64(1) < 2, "holds, corrected"),
    ],
)
def test_an_outcome_is_one_of_four_verdicts(holds, corrected, verdict):
    assert Outcome(holds, corrected).verdict == verdict


@pytest.mark.parametrize("value", ["False", 0.3, 1, 0, np.float64(0), [False], np.array([True])])
@pytest.mark.parametrize("name", ["holds", "corrected"])
def test_what_is_no_boolean_decides_nothing(name, value):
    """A text or a number that is true by accident must not become a verdict."""
    with pytest.raises(ValueError, match=f"{name} is .*; give what code decided: a boolean"):
        Outcome(**{"holds": False} | {name: value})


def test_none_is_a_verdict_but_no_correction():
    with pytest.raises(ValueError, match="corrected is None; give"):
        Outcome(False, None)


# ------------------------------------------------------------------------------------ who decides


def test_the_decorator_registers_a_function_and_leaves_it_as_it_is(folder):
    write(folder / "ch1.yml", ENTRY)

    @claims.claim("water-is-wet")
    def wet(table):
        return Outcome(table > 1)

    assert claims.DECIDERS == {"water-is-wet": wet} and wet(2).verdict == "holds"


def test_a_function_for_a_claim_that_is_no_entry_is_refused(folder):
    bare = {key: ENTRY[key] for key in list(ENTRY)[:7]}
    write(folder / "ch1.yml", ENTRY)
    write(folder / "claims.yml", bare | {"id": "still-in-its-page", "chapter": 2})
    for unknown in ("water-is-dry", "still-in-its-page"):
        with pytest.raises(ValueError, match=f"'{unknown}' is no claim of book/claims/chN.yml"):
            claims.claim(unknown)(lambda: Outcome(True))
    assert claims.DECIDERS == {}


def test_a_second_function_for_a_claim_is_refused_and_the_same_one_anew_is_not(folder):
    write(folder / "ch1.yml", ENTRY)

    def made(holds):
        def wet():
            return Outcome(holds)

        return wet

    def dry():
        return Outcome(False)

    claims.claim("water-is-wet")(made(True))
    again = claims.claim("water-is-wet")(made(False))  # as a module that is loaded again does
    assert claims.DECIDERS["water-is-wet"] is again
    with pytest.raises(ValueError, match=r"two functions decide water-is-wet: .*\.wet and .*\.dry"):
        claims.claim("water-is-wet")(dry)
    assert claims.DECIDERS["water-is-wet"] is again


@pytest.fixture
def chapter(folder, monkeypatch):
    """Chapter 5 with a claim that a function decides, one that none does, and one of its page."""
    bare = {key: ENTRY[key] for key in list(ENTRY)[:7]}
    write(folder / "ch5.yml", ENTRY, ENTRY | {"id": "nobody-decides"})
    write(folder / "claims.yml", bare | {"id": "still-in-its-page", "chapter": 2})
    for name in ("mergebook.ch5", "mergebook.ch5.claims"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))

    @claims.claim("water-is-wet")
    def wet():
        return Outcome(True)

    return wet


def test_the_function_of_a_claim_is_found(chapter):
    assert claims.decider("water-is-wet") is chapter


def test_the_functions_of_a_chapter_are_imported_when_they_are_asked_for(folder, monkeypatch):
    """A page imports `page` only; the chapter's module registers its functions on import."""
    write(folder / "ch5.yml", ENTRY)
    package = ModuleType("mergebook.ch5")
    (folder / "claims.py").write_text(
        "from mergebook.claims import Outcome, claim\n"
        "@claim('water-is-wet')\n"
        "def wet(): return Outcome(False)\n"
    )
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "mergebook.ch5", package)
    monkeypatch.delitem(sys.modules, "mergebook.ch5.claims", raising=False)  # of another test
    try:
        assert claims.decider("water-is-wet")().verdict == "fails"
    finally:
        sys.modules.pop("mergebook.ch5.claims", None)


def test_an_unknown_claim_has_no_function(chapter):
    with pytest.raises(ValueError, match="'water-is-dry' is no claim of book/claims"):
        claims.decider("water-is-dry")


@pytest.mark.parametrize("claim_id", ["nobody-decides", "still-in-its-page"])
def test_a_claim_that_no_function_decides_is_named(chapter, claim_id):
    with pytest.raises(ValueError, match=f"no function decides {claim_id}; write one under"):
        claims.decider(claim_id)


# ------------------------------------------------------------------------------------- sentences


def test_a_sentence_takes_its_values_with_their_formats():
    assert render(of(), "measured", {"wet": 2.04, "all": 3}) == "2.0 of 3"
    assert render(of(measured="{{x}} = {x[a]:+d}"), "measured", {"x": {"a": 4}}) == "{x} = +4"
    assert render(of(), "note", {}) == "By hand."
    assert render(of(), "tolerance", {"unused": 1}) == ""


PARTS = [
    "in {unit}: ",
    {"each": "rows", "text": "{name} {value:.1f} {unit}"},
    " and ",
    {"each": "rows", "text": "{name}", "join": ""},
    ".",
]


@pytest.mark.parametrize(
    "rows",
    [
        [{"name": "a", "value": 1}, {"name": "b", "value": 2.25}],
        pd.DataFrame({"name": ["a", "b"], "value": [1, 2.25]}, index=[7, 7]),
    ],
    ids=["list", "table"],
)
def test_a_part_is_said_once_for_each_entry_of_a_list_or_row_of_a_table(rows):
    found = render(of(note=PARTS), "note", {"unit": "m", "rows": rows})
    assert found == "in m: a 1.0 m; b 2.2 m and ab."


def test_an_entrys_own_value_goes_before_one_of_the_same_name():
    sentence = ["{name}: ", {"each": "rows", "text": "{name}", "join": ", "}]
    rows = [{"name": "b"}, {"other": 1}, {"name": "c"}]
    assert render(of(note=sentence), "note", {"name": "a", "rows": rows}) == "a: b, a, c"


@pytest.mark.parametrize("rows", [[], pd.DataFrame({"name": []})], ids=["list", "table"])
def test_a_part_of_no_entries_says_nothing(rows):
    assert render(of(note=["none", *PARTS[3:]]), "note", {"rows": rows}) == "none."


@pytest.mark.parametrize(
    ("sentence", "values", "missing"),
    [
        ("{wet:.1f} of {all}", {"wet": 1.0}, "'all', which the outcome lacks; it has wet$"),
        ("{wet}", {}, "'wet', which the outcome lacks; it has nothing$"),
        (PARTS, {"unit": "m"}, "'rows', which the outcome lacks; it has unit$"),
        (PARTS, {"unit": "m", "rows": [{"name": "a"}]}, "'value', which the outcome lacks"),
    ],
)
def test_a_missing_value_is_named_with_its_claim_and_sentence(sentence, values, missing):
    with pytest.raises(ValueError, match=f"^water-is-wet: expected names {missing}"):
        render(of(expected=sentence), "expected", values)


@pytest.mark.parametrize(
    ("sentence", "values"),
    [
        ("{wet:.1f}", {"wet": "two"}),
        ("{wet:.1f}", {"wet": None}),
        ("{wet:.1f}", {"wet": [1.0]}),
        ("{wet.low}", {"wet": 1.0}),
        ("{}", {"wet": 1.0}),
        (PARTS, {"unit": "m", "rows": 3}),
        (PARTS, {"unit": "m", "rows": [1.0, 2.0]}),
    ],
    ids=["text", "none", "list", "attribute", "unnamed", "number", "numbers"],
)
def test_a_value_of_another_kind_is_named_with_its_claim_and_sentence(sentence, values):
    with pytest.raises(ValueError, match="^water-is-wet: measured does not fit the outcome: "):
        render(of(measured=sentence), "measured", values)


def test_a_chapter_without_a_paper_is_refused(tmp_path):
    bare = {key: ENTRY[key] for key in list(ENTRY)[:7]} | {"chapter": 9}
    with pytest.raises(
        ValueError, match="water-is-wet: chapter: .*no paper for chapter 9; allowed: 1"
    ):
        read_claims(write(tmp_path / "claims.yml", bare))
