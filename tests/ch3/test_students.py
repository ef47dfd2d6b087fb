"""Students of another architecture, their merges, and coefficients that are moved to them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from mergebook import studies
from mergebook.ch3 import architectures as across
from mergebook.ch3 import students, students_merged
from mergebook.ch3.trials import Learnt, learn
from mergebook.page import OpenSuite
from mergehelpers import merge, suites

TASKS = ("ants", "bees", "cats", "dogs", "eels", "fish")
THREE = "ants bees cats"
SHORT = {"school": 4, "test_samples": 12}


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """A tiny suite of six tasks, opened."""
    folder = tmp_path_factory.mktemp("six")
    counts = {"train": 12, "val": 8, "unlabelled": 12, "test": 12}
    tiny.folder_of_tasks(folder, TASKS, ("a", "b", "c"), counts)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


@pytest.fixture(scope="module")
def exact(six):
    """The same in double precision."""
    return students.in_double(six)


@pytest.fixture(scope="module")
def where(six):
    return {"sources": {six.mark: six.source}, "device": "cpu"}


def packed(right, count=10):
    answers = torch.arange(count) < right
    return studies.pack_answers({"": answers})[""]


# --------------------------------------------------------------------------------------- students


def test_the_first_three_of_another_suite_have_students(six, pictures):
    assert students.three_tasks(six) == THREE
    with pytest.raises(ValueError, match="2 tasks.*five tasks or more, of images"):
        students.three_tasks(pictures)


def test_a_student_learns_what_it_is_taught(exact):
    room = students.classroom(exact, 0)
    x, y = room.task("ants").inputs["train"], room.task("ants").labels["train"]
    assert len(x) == 24 and torch.equal(y, torch.arange(12).repeat(2) % 3)
    state = students.schooled(exact, THREE, students.LABELS, "ants", 60, 0)
    z = room.logits("ants", room.backbone.embed(state, x))
    assert (z.argmax(1) == y).double().mean() > 0.9
    assert all(w.dtype == torch.float64 for w in state.values() if w.is_floating_point())


def test_ways_and_starts_are_what_they_say(exact, monkeypatch):
    calls = []

    def fit(suite, start, inputs, labels, teacher, steps, size, *rest, **named):
        calls.append((sorted(inputs), start, labels, teacher, steps, size))
        return start

    monkeypatch.setattr(students.distil, "fit", fit)
    students.schooled.cache_clear()
    ways = [(students.LABELS, "ants"), (students.DISTILLED, "bees"), (students.OWN_START, "bees")]
    try:
        for way, task in [*ways, (students.DISTILLED, "")]:
            students.schooled(exact, THREE, way, task, 100, 3)
    finally:
        students.schooled.cache_clear()
    base, native, taught, own, joint = calls
    assert base[0] == ["dogs", "eels", "fish"] and base[3] is None and base[4:] == (300, 12)
    assert native[0] == ["ants"] and native[3] is None and native[4:] == (200, 32)
    assert native[1] is taught[1] is joint[1] is students.classroom(exact, 3).base
    assert own[1] is students.classroom(exact, 103).base and own[4] == 300
    assert joint[0] == ["ants", "bees", "cats"] and joint[4:] == (200, 12)
    assert torch.equal(taught[2]["bees"], taught[3]["bees"].argmax(1))


def test_a_family_has_the_mean_of_its_moments_and_the_weights_of_its_base(exact):
    c = students.family_of(exact, THREE, ("ants", "bees"), "base", 4, 0)
    base = students.schooled(exact, THREE, "base", "", 4, 0)
    ants = students.schooled(exact, THREE, students.LABELS, "ants", 4, 0)
    tiny.same(c.experts["ants"], ants)
    one, two = c.experts.values()
    assert torch.allclose(
        c.base["0.1.running_var"], (one["0.1.running_var"] + two["0.1.running_var"]) / 2
    )
    assert torch.equal(c.base["0.0.weight"], base["0.0.weight"])
    level = students.with_mean_moments(c).experts["ants"]
    assert torch.equal(level["0.1.running_var"], c.base["0.1.running_var"])
    assert torch.equal(level["0.0.weight"], one["0.0.weight"])


def test_renewed_moments_are_those_of_the_merge(exact):
    c = students.family_of(exact, THREE, ("ants", "bees"), "base", 4, 0)
    new = students.renewed(c, c.base)
    images = torch.cat([c.suite.task(n).inputs["train"] for n in c.tasks])
    layer = torch.nn.functional.conv2d(images.double(), c.base["0.0.weight"], stride=2, padding=1)
    assert torch.allclose(new["0.1.running_mean"], layer.mean((0, 2, 3)), atol=1e-5)
    changed = {n for n in new if not torch.equal(new[n], c.base[n])}
    assert changed and all("running" in n or "num_batches" in n for n in changed)


def test_a_suite_in_double_precision_answers_as_it_does_in_single(six, exact):
    one, two = (s.logits(s.experts["ants"], "ants") for s in (six, exact))
    assert two.dtype == torch.float64 and torch.allclose(one, two.float(), atol=1e-5)
    assert one.dtype == torch.float32


def test_rounding_does_not_grow(exact):
    """What differs by a rounding error before a training differs by little more after it."""
    c = students.family_of(exact, THREE, tuple(TASKS[:3]), "base", 4, 0)
    nudged = {n: {k: w * (1 + 1e-15) for k, w in e.items()} for n, e in c.experts.items()}
    other = OpenSuite(replace(c.suite, experts=nudged), "cpu")
    t = students_merged.student_trials(THREE, steps=20, **SHORT)[students_merged.EACH]
    one, two = (learn(x, t).coefficients for x in (c, other))
    assert one.dtype == torch.float64
    assert (one - two).abs().max() < 1e-7 < (one - one.mean()).abs().max()


def test_rows_of_students(six, where):
    keys = students.student_keys(six, THREE, [0], **SHORT)
    assert len(keys) == 10 == len(set(keys))
    rows = {(k.way, k.task): students.student_row(k, **where)["right"] for k in keys[:4]}
    assert [len(x) for x in rows.values()] == [3, 1, 3, 3]
    assert len(studies.unpack_answers({"": rows["teacher", ""][0]})[""]) == 12
    again = students.student_row(keys[1], **where)["right"]
    students.schooled.cache_clear()
    assert students.student_row(keys[1], **where)["right"] == again


def made_up():
    """Students of two tasks beside the native one: of 10 answers as many are right."""
    three, rows = "a b c", []
    counts = {("teacher", ""): (9, 9, 9), ("labels", "a"): (8,), ("distilled", ""): (5, 6, 7)}
    counts |= {(w, n): (7 if w == "labels" else 6,) for w in ("distilled", "labels") for n in "bc"}
    for (way, task), right in counts.items():
        for seed in range(1 if way == "teacher" else 2):
            rows.append((three, way, task, seed, [packed(v) for v in right]))
    return pd.DataFrame(rows, columns=["three", "way", "task", "seed", "right"])


def test_gaps_and_accuracies_of_students_by_hand():
    gaps = students.student_gaps(made_up()).set_index(["task", "over"]).value
    assert gaps["b", "teacher minus distilled"] == pytest.approx(30)
    assert gaps["c", "distilled minus labels"] == pytest.approx(-10)
    assert set(gaps.index.get_level_values(0)) == {"b", "c"}
    table = students.student_table(made_up())
    assert table.loc["a", "labels"] == 80 and table.loc["c", "together, distilled"] == 70
    joint = students.together_rows(made_up(), "distilled")
    assert list(joint.what) == ["together, distilled"] * 2 and len(joint.right.iloc[0]) == 3


def test_what_the_average_keeps_by_hand():
    half = pd.DataFrame({"right": [[packed(4)] * 3], "renewed": [[packed(2)] * 3]})
    share = students.kept_by(half, made_up()).share
    assert list(share) == pytest.approx([40 / (200 / 3), 20 / (200 / 3)])


def test_a_merge_takes_one_architecture_alone(six):
    accepted = students.tried_merges(six, 0).set_index("models").accepted
    assert not accepted["as they are"] and accepted["distilled"]


def test_works_have_the_months_of_their_numbers():
    table = students.works().set_index("work")
    assert table.month["FuseChat"] == 2402 and table.own.sum() == 1


# ----------------------------------------------------------------------------------------- merges


def test_a_trial_on_students(six, where):
    named = students_merged.student_trials(THREE, models=six.mark, steps=3, **SHORT)
    rows = {n: students_merged.student_trial_row(t, **where) for n, t in named.items()}
    assert len(rows) == 6 and all(len(r["right"]) == len(r["renewed"]) == 3 for r in rows.values())
    losses = [tuple(r["losses"]) for r in rows.values()]
    assert len(set(losses)) == 6 and {len(x) for x in losses} == {3}
    elsewhere = students_merged.from_elsewhere(
        pd.DataFrame({"what": [students_merged.ONE], "rate": [0.1]}),
        {students_merged.ONE: named[students_merged.ONE]},
    )[students_merged.ONE]
    assert (elsewhere.start, elsewhere.rate) == ("own start", 0.1)
    assert students_merged.student_trial_row(elsewhere, **where)["losses"] != list(losses[0])


def test_a_rule_moves_weights_and_keeps_the_mean_of_the_moments(six, exact, where):
    (key,) = students_merged.rule_keys(six, THREE, [0], ["Average"], ["base"], **SHORT)
    row = students_merged.student_rule_row(key, **where)
    c = students.family_of(exact, THREE, tuple(TASKS[:3]), "base", 4, 0)
    state = merge.average(list(c.experts.values()))
    right = c.answers(state, "test", list(c.tasks), 12)
    assert row["setting"] == [] and row["right"] == list(studies.pack_answers(right).values())


def test_fewer_statistics_take_the_step_size_of_all():
    named = students_merged.student_trials(THREE)
    found = pd.DataFrame({"what": list(students_merged.NETWORKS), "rate": [0.1, 0.3]})
    fewer = students_merged.with_fewer(found, named)
    assert len(fewer) == 6 and {t.rate for t in fewer.values()} == {0.1, 0.3}
    assert fewer[f"{students_merged.EACH}: mean"].reads == "mean"


def test_all_statistics_are_held_against_fewer_in_the_stored_rows_too():
    rows = []
    for n in students_merged.NETWORKS:
        named = {n: 7} | {f"{n}: {reads}": k for k, reads in enumerate(students_merged.NESTED, 3)}
        rows += [(what, [packed(k)] * 3) for what, k in named.items() for _ in range(2)]
    table = students_merged.all_minus_fewer(pd.DataFrame(rows, columns=["what", "right"]))
    assert list(table.value) == pytest.approx([40, 30, 20] * 2)
    stored = students_merged.stored_all_minus_fewer()
    assert list(stored.network) == list(table.network) and list(stored.reads) == list(table.reads)
    assert (stored.low <= stored.value).all() and (stored.value <= stored.high).all()


def test_leads_on_students_have_four_readings():
    rows = [
        (what, [packed(n)] * 3, [packed(n - 1)] * 3)
        for what, n in {students_merged.ONE: 7, students_merged.EACH: 6, "Average": 5}.items()
        for _ in range(2)
    ]
    found = pd.DataFrame(rows, columns=["what", "right", "renewed"])
    leads = students_merged.student_leads(found, ["Average"])
    assert list(leads.value) == pytest.approx([20, 20, 10, 10])
    table = students_merged.student_scores(found)
    assert table["renewed moments"].accuracy["Average"] == pytest.approx(40)


# ---------------------------------------------------------------------------- across architectures


def test_the_listing_sums_before_it_has_predicted():
    table = across.listing().set_index(["version", "models"]).right
    assert table["as printed", 1] and not table["as printed", 2] and not table["as printed", 3]
    assert table["after the loop"].all()
    with pytest.raises(KeyError):
        across.as_listed([torch.ones(1), torch.ones(1)], torch.mean)


def test_one_expert_is_turned(exact):
    m = across.turned(exact, THREE, 4, 0)
    assert list(m.experts) == list(TASKS)
    for task, expert in m.experts.items():
        same = all(torch.equal(w, exact.experts[task][n]) for n, w in expert.items())
        assert same == (task != "ants")
    assert any(not torch.equal(w, exact.base[n]) for n, w in m.experts["ants"].items())


def test_rows_of_algorithm_1(six, exact, where):
    key = across.Turned(models=six.mark, three=THREE, steps=3, **SHORT)
    row = across.turned_row(key, **where)
    assert len(row["right"]) == 6 and len(row["losses"]) == 3
    rule = across.TurnedRule(six.mark, "Average", three=THREE, **SHORT)
    row = across.turned_rule_row(rule, **where)
    m = across.turned(exact, THREE, 4, 0)
    right = m.answers(merge.average(list(m.experts.values())), limit=12)
    assert row["right"] == list(studies.pack_answers(right).values())
    assert (
        row["student"]
        == list(
            studies.pack_answers(m.answers(m.experts["ants"], tasks=["ants"], limit=12)).values()
        )[0]
    )


class Fixed(torch.nn.Module):
    def coefficients(self, features):
        return features.new_full(features.shape[:2], 7.0)


def learnt(values):
    trained = type("T", (), {"coefficients": values})()
    return Learnt(Fixed(), ("dogs", "eels"), torch.zeros(1), trained)


def test_coefficients_move_by_relative_place(exact):
    c = students.family_of(exact, THREE, ("ants", "bees"), students.LABELS, 4, 0)
    size = len(across.stacked(c, c.tasks))
    values = torch.arange(3 * (2 * size - 1.0)).view(3, -1)
    key = across.Moved(learner="mlp2, one a layer", form="simplex")
    ways = across.moved_coefficients(c, learnt(values), key)
    assert torch.equal(ways[across.MEAN][0], values[:, ::2].mean(0))
    assert torch.equal(ways[across.TWO], values[:2, ::2])
    assert torch.equal(ways[across.SHUFFLED][0].sort().values, values[:, ::2].mean(0))
    assert not torch.equal(ways[across.SHUFFLED], ways[across.MEAN])
    assert ways[across.LEVEL].shape == (2, size) and len(ways[across.LEVEL].unique()) == 1
    assert torch.allclose(ways[across.MEAN + across.NORMAL], torch.full((2, size), 0.5))
    assert torch.allclose(ways[across.TWO + across.NORMAL].sum(0), torch.ones(size))
    assert across.BY_LEARNER not in ways


def test_free_coefficients_are_not_scaled_and_a_shared_network_reads_the_pair(exact):
    c = students.family_of(exact, THREE, ("ants", "bees"), students.LABELS, 4, 0)
    ways = across.moved_coefficients(c, learnt(torch.zeros(3, 9)), across.Moved())
    assert not [n for n in ways if n.endswith(across.NORMAL)]
    assert (ways[across.BY_LEARNER] == 7).all() and len(ways[across.BY_LEARNER]) == 2


def test_rows_of_moved_coefficients_and_their_leads(six, where):
    class Frame:
        device = "cpu"

        def table(self, experiment, keys, **context):
            parts = [pd.DataFrame(experiment.rows(key, context)) for key in keys]
            return pd.concat(parts, ignore_index=True)

    same = {"models": six.mark, "tasks": "cats dogs eels", "steps": 2, **SHORT}
    named = across.moving(across.TO_MOVE, THREE, range(2), **same)
    table = across.moved_table(Frame(), six, named)
    assert {len(x) for x in table.right} == {2}
    over = across.moved_leads(table)
    assert len(over) == 16 and set(over.reading) == set(across.MOVES)
    assert (over.all_low <= over.low).all() and np.isfinite(over.value).all()
    scaled = over[over.reading.str.contains(across.SIMPLEX)]
    assert scaled.over.str.endswith(across.NORMAL).all() and len(scaled) == 6
