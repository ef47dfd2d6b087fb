"""Protocols on a bench of tiny models: what they give, what they count, what they refuse."""

from dataclasses import replace

import pytest
import tiny
import torch

from mergebook import protocols
from mergebook.protocols import EXPERT, METHODS, PROTOCOLS, Bench
from mergehelpers import alignment, evaluate, merge, states, suites
from mergehelpers.alignment import Plan

TASKS, CLASSES = ("photos", "stamps"), ("cat", "dog", "owl")
COUNTS = {"train": 12, "val": 12, "unlabelled": 12, "test": 24}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    tiny.folder_of_tasks(folder, TASKS, CLASSES, COUNTS)
    return suites.load_suite(str(folder))


@pytest.fixture
def bench(suite):
    bench = Bench(suite, {"test": 20}, "cpu")
    bench.add("average", lambda: merge.average(list(suite.experts.values())))
    return bench


def test_the_head_protocol_gives_the_answers_of_the_ordinary_evaluation(bench, suite):
    for model in ("base", "average"):
        expected = evaluate.right(suite, bench.state(model, "photos"), limit=20, device="cpu")
        for task in TASKS:
            found = bench.right(model, task, "head", torch.zeros(2, 1, dtype=torch.long))
            assert found.shape == (2, 20) and (found == expected[task]).all()


def test_the_expert_is_each_tasks_own_and_its_head_gives_its_logits(bench, suite):
    for task in TASKS:
        own = suite.backbone.embed(suite.experts[task], suite.task(task).inputs["test"][:20])
        torch.testing.assert_close(
            bench.head(task)(bench.z(EXPERT, task)).float(),
            suite.logits(task, own),
            rtol=1e-5,
            atol=1e-5,
        )


def test_features_are_computed_once_and_a_model_only_when_needed(bench):
    made = []
    bench.add("late", lambda: made.append(1) or bench.suite.base)
    assert not made
    assert bench.z("late", "photos") is bench.z("late", "photos")
    bench.z("late", "stamps")
    assert made == [1]
    kept = bench.z("base", "photos")
    bench.forget("late")
    assert bench.z("base", "photos") is kept and len(bench.z("late", "photos")) == 20


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_scores_every_input_for_every_draw(bench, name):
    chosen = bench.drawn("photos", 2, (0, 1, 2))
    scores = bench.classifier("average", "photos", name, chosen, Plan(3))(
        bench.z("average", "photos")
    )
    assert scores.shape == (3, 20, 3) and scores.isfinite().all()
    single = bench.classifier("average", "photos", name, chosen[1:2], Plan(3))(
        bench.z("average", "photos")
    )
    torch.testing.assert_close(single[0], scores[1])


@pytest.mark.parametrize("name", [n for n, p in PROTOCOLS.items() if not p.labels])
def test_a_protocol_that_says_so_uses_no_labels(suite, bench, name):
    wrong = {
        t: replace(task, labels={s: (y + 1) % 3 for s, y in task.labels.items()})
        for t, task in suite.tasks.items()
    }
    other = Bench(replace(suite, tasks=wrong), {"test": 20}, "cpu")
    chosen = bench.drawn("photos", 2, (0,))
    given = [
        b.classifier("base", "photos", name, chosen, Plan(3))(b.z("base", "photos"))
        for b in (bench, other)
    ]
    assert torch.equal(*given)


@pytest.mark.parametrize("name", [n for n, p in PROTOCOLS.items() if not p.teacher])
def test_a_protocol_that_says_so_asks_no_teacher(suite, bench, name):
    shaken = replace(suite, experts={t: alignment.shuffled(e, 5) for t, e in suite.experts.items()})
    other = Bench(shaken, {"test": 20}, "cpu")
    chosen = bench.drawn("photos", 2, (0,))
    given = [
        b.classifier("base", "photos", name, chosen, Plan(3))(b.z("base", "photos"))
        for b in (bench, other)
    ]
    assert torch.equal(*given)


def test_the_counts_of_trained_numbers():
    assert {n: p.trained(4, 3) for n, p in PROTOCOLS.items()} == {
        "head": 0,
        "mean distance": 0,
        "prototype": 0,
        "vote of 5": 0,
        "bias only": 3,
        "gain and shift": 8,
        "same Gram": 6,
        "FT-Classifier": 15,
        "FT-Classifier, from zero": 15,
        "aligned M": 16,
        "labels": 15,
        "labels, bias only": 3,
        "labels, from zero": 15,
        "labels and teacher": 15,
    }


def test_the_merges_are_those_of_the_package(suite):
    base, experts = suite.base, list(suite.experts.values())
    for method, setting, wanted in (
        ("weight averaging", (), merge.average(experts)),
        ("task arithmetic", (0.3,), merge.task_arithmetic(base, experts, 0.3)),
        ("TIES", (0.2, 1.5), merge.ties(base, experts, 0.2, 1.5)),
        ("DARE", (0.5, 0.3), merge.dare(base, experts, 0.5, 0.3, seed=0)),
    ):
        found = protocols.merged(suite, method, setting)
        assert all(torch.equal(found[key], wanted[key]) for key in base)
    assert states.norm(states.task_vector(base, protocols.merged(suite, "M-TIES", (0.2, 1.0)))) > 0


def test_the_setting_with_the_best_validation_accuracy_is_chosen(bench, suite):
    asked = []
    scores = iter([50.0, 70.0, 70.0, 60.0, 10.0, 20.0])
    setting, value = bench.choose(
        "task arithmetic", lambda key, compute: asked.append(key) or next(scores)
    )
    assert (setting, value) == (METHODS["task arithmetic"][1], 70.0)
    assert len(set(asked)) == 6 and all(key.startswith(bench.mark) for key in asked)
    table = evaluate.accuracy(suite, {"base": suite.base}, "val", device="cpu", progress=False)
    assert bench.on_validation(suite.base) == pytest.approx(table["accuracy"].mean())


def test_the_mark_knows_the_heads(suite):
    task = suite.tasks["photos"]
    other = replace(
        suite,
        tasks=suite.tasks
        | {"photos": replace(task, head={k: v + 1 for k, v in task.head.items()})},
    )
    assert Bench(suite).mark == Bench(suite).mark != Bench(other).mark


def test_what_is_unknown_or_missing_is_named(bench, suite):
    with pytest.raises(
        ValueError, match="protocol is 'knn'; allowed: head, mean distance, .*FT-Classifier"
    ):
        bench.right("base", "photos", "knn", torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(
        ValueError,
        match="method is 'soup'; allowed: weight averaging, task arithmetic, TIES, DARE, M-TIES",
    ):
        protocols.merged(suite, "soup")
    with pytest.raises(ValueError, match="5 shots asked of the class 'cat', which has 4 samples"):
        bench.drawn("photos", 5, (0,))
    with pytest.raises(ValueError, match="model is 'sum'; on the bench: fine-tuned, base, average"):
        bench.z("sum", "photos")
