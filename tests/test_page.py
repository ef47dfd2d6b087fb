"""The frame of an evidence page: what it opens, what it refuses, what it decides and writes."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from mergebook import claims, ledger
from mergebook import page as pages
from mergebook.claims import Outcome
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import DEVICE, SECOND_SUITE, STUDY, SUITE, OpenSuite, Page, RunFolder
from mergehelpers import checkpoints, states, suites
from mergehelpers.parameters import Int, Wrong, validate

OPEN_SUITE = pages.open_suite
ENTRY = {
    "id": "averages-win",
    "where": "Table 1",
    "claim": "Averages win.",
    "kind": "statement",
    "speaker": "paper",
    "strength": "small networks",
    "check": "Compare.",
    "measured": "{gap:+.1f} points",
    "expected": "above 0",
    "correction": "by less than {gap:.0f}.",
    "note": "On <two> tasks.",
}


@pytest.fixture(autouse=True)
def book(tmp_path, monkeypatch):
    """A book of a few made-up claims and no stored rows; what a page sets is set back."""
    for name in ("claims", "studies"):
        (tmp_path / "book" / name).mkdir(parents=True)
    seen = ENTRY | {"id": "what-we-saw", "kind": "observation"}
    write = (tmp_path / "book" / "claims" / "ch9.yml").write_text
    write(yaml.safe_dump([ENTRY, seen, ENTRY | {"id": "nobody-decides"}]))
    other = tmp_path / "book" / "claims" / "ch3.yml"
    other.write_text(yaml.safe_dump([ENTRY | {"id": "of-another-chapter"}]))
    for module in (claims, pages):
        monkeypatch.setattr(module, "book_folder", lambda name: tmp_path / "book" / name)
    monkeypatch.setattr(claims, "DECIDERS", {})
    monkeypatch.setitem(claims.PAPERS, 9, "A made-up paper")
    for name in ("mergebook.ch9", "mergebook.ch9.claims"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    claims.claims.cache_clear()

    for claim_id in ("averages-win", "what-we-saw"):
        claims.claim(claim_id)(wins)
    options = ("display.precision", "display.width")
    with plt.rc_context(), pd.option_context(*(x for o in options for x in (o, 80))):
        yield tmp_path / "book"
    claims.claims.cache_clear()
    OPEN_SUITE.cache_clear()


def wins(table, least=0.0):
    gap = float(table.gap.mean())
    return Outcome(gap > least, gap > -1, {"gap": gap})


@pytest.fixture
def shown(monkeypatch):
    """What a page displays, in order."""
    out = []
    monkeypatch.setattr(pages, "display", out.append)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A suite of two tasks, `pets` and `birds`, in a folder."""
    folder = tmp_path_factory.mktemp("suite")
    tiny.vit_suite(folder)
    return folder


@pytest.fixture(scope="module")
def suite(folder):
    return suites.load_suite(str(folder))


KINDS = {"seed": Int(0), "suite": SUITE, "second_suite": SECOND_SUITE, "device": DEVICE, **STUDY}
CELL = """\
seed: int = 0  # Seed of every draw
suite: str = "mini8"  # Suite
second_suite: str = ""  # Second suite
device: str = "cpu"  # Device
study: str = "stored"  # Stored rows or all anew
recheck: float = 0.0  # Share computed again
workers: int = 1  # Processes
output: str = ""  # Folder for tables"""


def namespace(*injected, **values):
    """What `globals()` holds behind a cell of parameters, and cells that papermill injects."""
    given = {}
    exec(CELL, given)
    given.pop("__builtins__")
    return given | {"In": ["", CELL, *injected]} | values


def opened(number="09a", **values):
    return Page(number, namespace(**values), **KINDS)


# ---------------------------------------------------------------------------------- its opening


def test_a_page_shows_its_parameters_with_their_comments(shown):
    page = opened(seed=7)
    [contract] = shown
    assert [row[0] for row in contract.rows] == [*KINDS, "output"]
    assert "seed = 7  (a whole number, 0 or more): Seed of every draw" in repr(contract)
    assert "output = ''  (a folder that can be written, or empty for none): Folder" in repr(
        contract
    )
    assert (page.number, page.chapter, page.device, page.output) == ("09a", 9, "cpu", None)
    assert page.given == {name: namespace(seed=7)[name] for name in (*KINDS, "output")}


def test_bad_parameters_are_refused_together_before_anything_is_opened(shown, monkeypatch):
    def too_early(*_, **__):
        raise AssertionError("opened before the parameters were checked")

    for module, name in (
        (pages, "open_suite"),
        (pages, "Store"),
        (suites, "load_suite"),
        (pages.devices, "pick"),
    ):
        monkeypatch.setattr(module, name, too_early)
    bad = {
        "seed": -1,
        "suite": "nope",
        "device": "tpu",
        "study": "new",
        "recheck": 1.5,
        "workers": 0,
        "output": os.devnull + "/x",
    }
    with pytest.raises(ValueError) as caught:
        Page("09a", namespace("# Parameters\nsuit = 'mini8'", **bad), **KINDS)
    for name, value in bad.items():
        assert re.search(rf"{name} is {value!r}.*; allowed: ", str(caught.value))
    assert "suit is not a parameter of this chapter (did you mean suite?)" in str(caught.value)
    assert not shown


def test_a_parameter_that_is_missing_is_named(shown):
    given = {name: value for name, value in namespace().items() if name not in ("output", "seed")}
    with pytest.raises(ValueError, match="seed is missing.*output is missing; allowed: a folder"):
        Page("09a", given, **KINDS)


def test_a_page_without_other_parameters_has_its_output(shown, tmp_path):
    """A page of proofs has no suite, no seed and no device."""
    page = Page("09b", {"output": str(tmp_path / "new")})
    assert page.output == tmp_path / "new" and not page.output.exists()
    page.close(proof=pd.DataFrame({"a": [1]}))
    assert [path.name for path in page.output.iterdir()] == ["09b-proof.csv"]


def test_the_suites_are_opened_once_and_the_same_one_is_not_opened_twice(
    shown, folder, monkeypatch
):
    loaded = []

    def load(name, real=suites.load_suite):
        loaded.append(name)
        return real(name)

    monkeypatch.setattr(suites, "load_suite", load)
    pages.open_suite.cache_clear()
    page = opened(suite=str(folder))
    [one] = page.suites
    assert (one.name, one.source, loaded) == ("tiny", str(folder), [str(folder)])
    twice = opened(suite=str(folder), second_suite=str(folder))
    assert twice.suites == [one] and page.suites == [one] and len(loaded) == 1


def test_a_suite_with_too_few_inputs_is_named(shown, folder):
    kinds = KINDS | {"samples": Int(1)}
    given = {"suite": str(folder), "In": [], "samples": 4}
    assert len(Page("09a", namespace(**given), **kinds).suites) == 1
    with pytest.raises(ValueError, match="the task pets of tiny has 4 unlabelled inputs; this"):
        Page("09a", namespace(**given | {"samples": 5}), **kinds)


# ------------------------------------------------------------------------------------- its rows


@dataclass(frozen=True)
class Key:
    models: str
    rate: float


def norms(calls):
    """An experiment that says in `calls` what it computes."""

    def norm(key, sources, device):
        calls.append((key.rate, sources[key.models], device))
        return {"gap": key.rate - 1}

    return Experiment("norms of rates", 1, Key, norm, {"gap": Tolerance()})


GIVEN = {"sources": {"m": "x"}, "device": "cpu"}


def test_rows_come_from_the_chapters_folder_with_the_parameters_of_the_page(shown, book):
    calls, keys = [], [Key("m", i / 10) for i in range(10)]
    page = opened()
    page.table(norms(calls), keys, **GIVEN)
    (book / "studies" / "ch9").mkdir()
    page.store.save(book / "studies" / "ch9", "c")

    def computed(**values):
        calls.clear()
        opened(**values).table(norms(calls), keys, **GIVEN)
        return [rate for rate, *_ in calls]

    assert computed() == [] and len(computed(study="full")) == 10
    some = computed(recheck=0.3)
    assert len(some) == 3 and computed(recheck=0.3) == some
    assert any(computed(recheck=0.3, seed=seed) != some for seed in range(1, 4))
    assert len(computed(number="03a")) == 10
    assert opened(workers=3).store.workers == 3


def test_every_suite_of_the_page_has_its_rows_and_its_name(shown, folder, tmp_path):
    calls, second = [], tmp_path / "other"
    second.mkdir()
    counts = dict.fromkeys(("train", "val", "unlabelled", "test"), 2)
    tiny.folder_of_tasks(second, ["a", "b", "c"], ["yes", "no"], counts)
    page = opened(suite=str(folder), second_suite=str(second))
    table = page.by_suite(norms(calls), lambda r: [Key(r.mark, len(r.tasks)), Key(r.mark, 0.5)])
    assert table.suite.tolist() == ["tiny", "tiny", "other", "other"]
    assert table.gap.tolist() == [1, -0.5, 2, -0.5]
    first, last = str(folder), str(second)
    assert calls == [(2, first, "cpu"), (0.5, first, "cpu"), (3, last, "cpu"), (0.5, last, "cpu")]


# ---------------------------------------------------------------------------------- its verdicts


def test_a_decision_shows_the_card_and_stores_the_record(shown):
    page = opened()
    page.decide("averages-win", pd.DataFrame({"gap": [1.0, 2.0]}))
    bundle = shown[-1]._repr_mimebundle_()
    assert bundle[ledger.MIME] == {
        "id": "averages-win",
        "chapter": 9,
        "verdict": "holds",
        "measured": "+1.5 points",
        "expected": "above 0",
        "tolerance": "",
        "note": "On <two> tasks.",
    }
    assert 'id="averages-win"' in bundle["text/html"] and "&lt;two&gt;" in bundle["text/html"]
    assert bundle["text/plain"].startswith("averages-win: HOLDS | measured +1.5 points | expected")


def test_a_decision_follows_its_tables_and_settings(shown):
    page, table = opened(), pd.DataFrame({"gap": [1.0]})
    page.decide("averages-win", table, least=0.5)
    page.decide("averages-win", table, least=1.5)
    page.decide("averages-win", table - 9, least=1.5)
    page.decide("what-we-saw", table)
    assert [card.verdict for card in shown[1:]] == [
        "holds",
        "holds, corrected",
        "fails",
        "observation",
    ]
    assert [card.record().get("correction") for card in shown[1:]] == [
        None,
        "by less than 1.",
        None,
        None,
    ]


def test_a_claim_of_another_chapter_is_refused(shown):
    page = opened()
    with pytest.raises(ValueError, match="of-another-chapter is a claim of chapter 3"):
        page.decide("of-another-chapter", pd.DataFrame({"gap": [1.0]}))
    assert len(shown) == 1 and page.decided == []


@pytest.mark.parametrize(
    ("claim_id", "message"),
    [
        ("averages-lose", "'averages-lose' is no claim of book/claims"),
        ("nobody-decides", "no function decides nobody-decides"),
    ],
)
def test_a_claim_that_nothing_decides_is_refused(shown, claim_id, message):
    page = opened()
    with pytest.raises(ValueError, match=message):
        page.decide(claim_id, pd.DataFrame({"gap": [1.0]}))
    assert len(shown) == 1 and page.decided == []


SETUP = """\
import sys
from pathlib import Path
from types import ModuleType
import pandas as pd
from mergebook import claims
from mergebook.page import Page
claims.book_folder = lambda name: Path({book!r}) / name
claims.PAPERS[9] = "A made-up paper"
sys.modules |= {{name: ModuleType(name) for name in ("mergebook.ch9", "mergebook.ch9.claims")}}
claims.claim("averages-win")(lambda table: claims.Outcome(bool(table.gap.min() > 0),
                                                         values={{"gap": table.gap.mean()}}))"""


def test_a_page_that_ran_holds_its_records_and_its_tables(book, tmp_path):
    cells = [
        f"output: str = {str(tmp_path / 'out')!r}  # Folder",
        SETUP.format(book=str(book)),
        "page = Page('09a', globals())",
        "table = pd.DataFrame({'gap': [1.0, -2.0]})\npage.decide('averages-win', table)",
        "page.close(gaps=table)",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    run = NotebookClient(notebook, kernel_name="python3").execute()
    assert [output.name for cell in run.cells for output in cell.outputs if "name" in output] == [
        "stdout"
    ]
    assert run.cells[-1].outputs[0].text == "decided 1 claims\n"
    (tmp_path / "evidence").mkdir()
    nbformat.write(run, tmp_path / "evidence" / "09a-gaps.ipynb")
    found = ledger.gather([tmp_path / "evidence" / "09a-gaps.ipynb"])
    assert found["averages-win"]["verdict"] == "fails"
    assert found["averages-win"]["page"] == "evidence/09a-gaps"
    assert (tmp_path / "out" / "09a-gaps.csv").read_text() == "gap\n1.0\n-2.0\n"


# ----------------------------------------------------------------------------------- its source


def of_angles(a):
    """A <b> & "c"."""
    return a < 3


def test_the_source_of_code_is_folded_and_escaped(shown):
    found = opened().source(of_angles, Key).data
    assert found.count("<details class='source'>") == found.count("</details>") == 2
    assert f"<code>{__name__}.of_angles</code>" in found and f"<code>{__name__}.Key</code>" in found
    assert "A &lt;b&gt; &amp; &quot;c&quot;." in found and "return a &lt; 3" in found
    assert "<b>" not in found and "rate: float" in found


def test_the_name_of_a_function_within_a_function_is_escaped_too(shown):
    def inner():
        pass

    found = opened().source(inner).data
    assert "&lt;locals&gt;.inner</code>" in found and "<locals>" not in found


# --------------------------------------------------------------------------------- its closing


def test_nothing_is_written_without_an_output(shown, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    page = opened()
    table = page.table(norms([]), [Key("m", 0.5), Key("m", 3)], **GIVEN)
    page.decide("averages-win", table)
    page.decide("averages-win", table)  # its cell was run again
    page.close(gaps=table)
    assert capsys.readouterr().out == "decided 1 claims, 2 keys\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_gets_tables_and_rows_and_keeps_no_journal(shown, capsys, tmp_path):
    page = opened(output=str(tmp_path / "new" / "out"), seed=3)
    table = page.table(norms([]), [Key("m", 0.5), Key("m", 3)], **GIVEN)
    assert [path.name for path in page.output.iterdir()] == ["norms-of-rates.jsonl"]
    page.close(gaps=table, other=table[:1])
    assert capsys.readouterr().out == "decided 0 claims, 2 keys\n"
    assert sorted(path.name for path in page.output.iterdir()) == [
        "09a-gaps.csv",
        "09a-other.csv",
        "norms-of-rates.json",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(page.output / "09a-gaps.csv"), table)
    stored = json.loads((page.output / "norms-of-rates.json").read_text())
    assert len(stored["rows"]) == 2
    assert stored["command"].startswith("page 09a -p seed 3 -p suite 'mini8'")


def test_a_close_that_fails_leaves_the_old_table_and_nothing_half_written(
    shown, tmp_path, monkeypatch
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "09a-gaps.csv").write_text("old\n")

    def full(*_):
        raise OSError("no space left on device")

    page = opened(output=str(tmp_path / "out"))
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        page.close(gaps=pd.DataFrame({"a": [1]}))
    assert [path.name for path in page.output.iterdir()] == ["09a-gaps.csv"]
    assert (page.output / "09a-gaps.csv").read_text() == "old\n"


# ---------------------------------------------------------------------------------- open suites


@pytest.fixture(scope="module")
def r(suite):
    return OpenSuite(suite, "cpu")


def changed(state, amount=1.0):
    """The state with one entry of its last tensor moved."""
    *_, name = state
    value = state[name].clone()
    value.view(-1)[-1] += amount
    return state | {name: value}


def test_the_mark_of_a_suite_from_files_is_its_name_and_their_digest(suite, r, tmp_path):
    assert re.fullmatch("tiny-[0-9a-f]{8}", r.mark)
    assert r.mark == OpenSuite(suite).mark == f"tiny-{suites.digest(suite)}"
    again = tmp_path / "again"
    content = tiny.vit_suite(again)

    def mark():
        return OpenSuite(suites.load_suite(str(again)), "cpu").mark

    marks = [mark()]
    assert marks[0] == r.mark
    for file in (again / "heads.safetensors", again / "birds.safetensors"):
        states.save(changed(checkpoints.load(file), 1e-3), file)
        marks.append(mark())
    arrays = dict(np.load(again / "birds.npz"))
    np.savez(again / "birds.npz", **arrays | {"test_inputs": 255 - arrays["test_inputs"]})
    marks.append(mark())
    tiny.write_manifest(again, content | {"name": "tiny2"})
    marks.append(mark())
    assert marks[-1].startswith("tiny2-") and len({each[-8:] for each in marks}) == 5


@pytest.fixture(scope="module")
def bare(suite):
    """The suite as one that was made in memory: it came from no files."""
    return dataclasses.replace(suite, files=())


def test_the_mark_of_a_suite_without_files_changes_with_any_weight(bare):
    mark = OpenSuite(bare, "cpu").mark
    assert mark == OpenSuite(bare).mark and re.fullmatch("tiny-[0-9a-f]{8}", mark)
    pets, birds = bare.experts.values()
    others = [
        dataclasses.replace(bare, base=changed(bare.base)),
        dataclasses.replace(bare, base=changed(bare.base, 1e-6)),
        dataclasses.replace(bare, experts={"pets": pets, "birds": changed(birds)}),
        dataclasses.replace(bare, experts={"pets": birds, "birds": pets}),
        dataclasses.replace(bare, experts={"pets": pets}),
        dataclasses.replace(bare, name="tiny2"),
    ]
    assert len({OpenSuite(other, "cpu").mark for other in others} | {mark}) == len(others) + 1


def test_a_suite_whose_tasks_have_no_head_has_a_mark(bare):
    """Where the model scores words, there is none."""
    tasks = {name: dataclasses.replace(task, head=None) for name, task in bare.tasks.items()}
    headless = OpenSuite(dataclasses.replace(bare, tasks=tasks), "cpu")
    assert re.fullmatch("tiny-[0-9a-f]{8}", headless.mark)


def test_the_average_is_that_of_all_experts(suite, r):
    for name, value in r.average.items():
        both = torch.stack([state[name] for state in suite.experts.values()])
        torch.testing.assert_close(value, both.mean(0))


def test_unlabelled_inputs_are_the_first_of_every_task(suite, r):
    first = {name: list(task.inputs["unlabelled"]) for name, task in suite.tasks.items()}
    for each in (1, 3, 4, 9):
        found = r.unlabelled(each)
        expected = [x for name in ("pets", "birds") for x in first[name][:each]]
        assert len(found) == len(expected) == 2 * min(each, 4)
        assert all((a == b).all() for a, b in zip(found, expected))
    [birds] = r.unlabelled(1, ["birds"])
    assert (birds == first["birds"][0]).all()


def test_a_task_without_unlabelled_inputs_is_named(suite):
    birds = suite.tasks["birds"]
    for inputs in (
        {k: v for k, v in birds.inputs.items() if k != "unlabelled"},
        {"unlabelled": []},
    ):
        poor = dataclasses.replace(birds, inputs=inputs)
        opened = OpenSuite(dataclasses.replace(suite, tasks=suite.tasks | {"birds": poor}), "cpu")
        with pytest.raises(ValueError, match="the task birds of tiny has no unlabelled inputs"):
            opened.unlabelled(2)
        assert len(opened.unlabelled(2, ["pets"])) == 2


@pytest.mark.parametrize(("split", "count"), [("test", 12), ("val", 5)])
@pytest.mark.parametrize("limit", [None, 3, 1, 99])
def test_answers_scores_and_labels_are_of_the_same_first_inputs(suite, r, split, count, limit):
    kept = min(limit or count, count)
    answers = r.answers(r.average, split, limit=limit)
    assert list(answers) == ["pets", "birds"]
    for name, right in answers.items():
        scores = r.logits(r.average, name, split, limit)
        labels = r.labels(name, split, limit)
        assert len(right) == len(labels) == kept
        assert scores.shape == (kept, len(suite.tasks[name].classes))
        assert (labels == suite.tasks[name].labels[split][:kept]).all()
        assert ((scores.argmax(1) == labels) == right).all()
        whole = r.logits(r.average, name, split)
        torch.testing.assert_close(scores, whole[:kept])
    assert list(r.answers(r.base, tasks=["birds"], limit=2)) == ["birds"]


@pytest.mark.parametrize(("split", "limit"), [("test", None), ("test", 3), ("val", 2)])
def test_scores_are_a_tasks_head_on_embeddings_of_its_inputs(suite, r, split, limit):
    for name, state in {"pets": r.experts["birds"], "birds": r.average}.items():
        task = suite.tasks[name]
        found = r.embeddings(state, name, split, limit)
        inputs = r.backbone.prepare(task.inputs[split][:limit])
        with torch.no_grad():
            torch.testing.assert_close(found, r.backbone.encode(state, inputs))
        assert len(found) == min(limit or 99, len(task.labels[split]))
        directions = found / found.norm(dim=1, keepdim=True)
        scores = directions @ task.head["weight"].T + task.head["bias"]
        torch.testing.assert_close(r.head_logits(name, found, state), scores)
        torch.testing.assert_close(r.logits(state, name, split, limit), scores)


def test_scores_carry_no_gradient(r):
    found = r.embeddings(r.base, "pets", limit=2)
    assert not found.requires_grad
    assert not r.head_logits("pets", found.clone().requires_grad_(), r.base).requires_grad
    assert not r.logits(r.base, "pets", limit=2).requires_grad


def test_where_the_model_scores_words_the_head_is_the_given_states(suite):
    """The words' vectors are rows of the state; the classes choose them."""
    words = {"cat": 0, "dog": 1}

    class Words:
        normalised = False

        def word_head(self, state, classes):
            rows = state["rows"][[words[name] for name in classes]]
            return {"weight": rows, "bias": torch.zeros(len(rows))}

        def embed(self, state, inputs):
            return state["embedding"].expand(len(inputs), -1)

    pets = dataclasses.replace(suite.tasks["pets"], head=None)
    made = dataclasses.replace(suite, backbone=Words(), tasks={"pets": pets})
    one, two = (
        {"rows": torch.tensor(rows), "embedding": torch.tensor([[1.0, 2.0]])}
        for rows in ([[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 5.0]])
    )
    opened = OpenSuite(made, "cpu")
    assert opened.logits(one, "pets", limit=2).tolist() == [[1, 2]] * 2
    assert opened.head_logits("pets", torch.tensor([[2.0, 1.0]]), two).tolist() == [[6, 5]]


def test_models_answer_differently(r):
    """Otherwise the tests above could not tell one state from another."""
    assert not torch.equal(r.logits(r.base, "birds"), r.logits(r.experts["birds"], "birds"))


def test_a_suite_is_opened_by_name_or_path_once_in_a_process(folder):
    one = pages.open_suite(str(folder), "cpu")
    assert pages.open_suite(str(folder), "cpu") is one
    assert (one.name, one.source, one.tasks, one.device) == (
        "tiny",
        str(folder),
        ("pets", "birds"),
        "cpu",
    )
    assert OpenSuite(one.suite).source == "tiny"


# ---------------------------------------------------------------------------- folders of a run


@pytest.mark.parametrize("place", ["01-lesson.ipynb", "evidence/01a-page.ipynb"])
def test_a_folder_with_executed_notebooks_is_allowed(tmp_path, place):
    path = tmp_path / "run" / place
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    RunFolder().check(str(tmp_path / "run"))
    assert path in ledger.notebooks(str(tmp_path / "run"))


def test_no_folder_means_the_stored_notebooks():
    RunFolder().check("")


@pytest.mark.parametrize("value", [3, None, ["x"], True])
def test_what_is_no_text_is_no_folder(value):
    with pytest.raises(Wrong):
        RunFolder().check(value)


def test_a_folder_without_notebooks_is_refused_with_what_is_allowed(tmp_path):
    """Also one whose notebooks lie where the ledger does not look."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "01.ipynb").write_text("{}")
    (tmp_path / "file.ipynb").write_text("{}")
    for value in ("nowhere", "deep", "file.ipynb"):
        path = str(tmp_path / value)
        with pytest.raises(ValueError) as caught:
            validate({"executed": path}, executed=RunFolder())
        assert str(caught.value) == (
            f"executed is {path!r} ({path} holds no notebooks; give the folder of a run);"
            " allowed: a folder with executed notebooks, or empty for the stored ones"
        )


@pytest.mark.parametrize("value", ["x" * 5000, "~no-such-user/x", "a\0b"])
def test_names_that_can_be_no_path_are_refused(value):
    with pytest.raises(Wrong):
        RunFolder().check(value)


def test_a_page_does_not_wait_for_what_most_pages_do_not_need():
    """Each of these takes half a second or more to import, on each of some sixty pages."""
    slow = {"transformers", "open_clip", "sklearn"}
    code = f"import sys, mergebook.page, mergebook.ch3.claims; print(*{slow} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
