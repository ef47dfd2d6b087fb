"""Training of coefficients.

Gradients by finite differences, losses by hand, what moves and what stays.
"""

from dataclasses import replace

import pytest
import tiny
import torch

from mergehelpers import distil, merge, stats
from mergehelpers.suites import load_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    tiny.vit_suite(folder)
    return load_suite(str(folder))


def inputs_of(suite, split="test"):
    return {task: suite.task(task).inputs[split] for task in suite.tasks}


def labels_of(suite, split="test"):
    return {task: suite.task(task).labels[split] for task in suite.tasks}


def value(suite, coefficients, teacher, loss):
    state = merge.combine(
        suite.base, merge.vectors_stacked(suite.base, list(suite.experts.values())), coefficients
    )
    found = distil.logits(suite, state, inputs_of(suite))
    return sum(
        distil.LOSSES[loss](found[t], teacher[t], labels_of(suite)[t], 1.0) for t in found
    ) / len(found)


# Losses


def test_losses_by_hand():
    z, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    q = torch.tensor([2.0, 0.0]).softmax(0)
    p = torch.tensor([0.0, 1.0]).softmax(0)
    label = torch.tensor([0])
    assert distil.hard(z, teacher, label, 1.0).item() == pytest.approx(-q[1].log().item())
    assert distil.oracle(z, teacher, label, 1.0).item() == pytest.approx(-q[0].log().item())
    assert distil.entropy(z, teacher, label, 1.0).item() == pytest.approx(
        -(q * q.log()).sum().item()
    )
    assert distil.soft(z, teacher, label, 1.0).item() == pytest.approx(
        (p * (p / q).log()).sum().item()
    )


def test_soft_labels_pull_the_probabilities_to_the_teachers():
    """The gradient at the logits is p_merged - p_teacher (Eq. 32), at temperature 1."""
    z, teacher = (
        torch.tensor([[2.0, 0.0, 1.0]], requires_grad=True),
        torch.tensor([[0.0, 1.0, 3.0]]),
    )
    distil.soft(z, teacher, None, 1.0).backward()
    torch.testing.assert_close(z.grad, z.detach().softmax(1) - teacher.softmax(1))


def test_the_student_loss_mixes_both_parts():
    z, teacher, label = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([1])
    whole = distil.student_loss(z, teacher, label)
    expected = 0.7 * distil.oracle(z, teacher, label, 1.0) + 0.3 * distil.soft(
        z, teacher, label, 4.0
    )
    torch.testing.assert_close(whole, expected)


# Teachers


def test_teachers_are_the_tasks_own_experts(suite):
    teacher = distil.teach(suite, inputs_of(suite))
    expert = suite.experts["birds"]
    expected = suite.logits(
        "birds", suite.backbone.embed(expert, inputs_of(suite)["birds"]), expert
    )
    torch.testing.assert_close(teacher["birds"], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: distil.teach(s, {"cars": [1]}), "cars has no teacher; there are pets, birds"),
        (lambda s: distil.teach(s, {"pets": []}), "pets has no unlabelled inputs"),
        (
            lambda s: distil.check_classes("pets", torch.zeros(4, 3), 2),
            "the teacher knows 3 classes, the student 2",
        ),
        (
            lambda s: distil.check_classes("pets", torch.full((4, 2), torch.nan), 2),
            "NaN or infinity",
        ),
    ],
)
def test_teachers_that_do_not_fit_are_refused(suite, change, message):
    with pytest.raises(ValueError, match=message):
        change(suite)


# Training


@pytest.mark.parametrize("loss", list(distil.LOSSES))
def test_one_step_follows_the_gradient_of_finite_differences(suite, loss):
    """With every input in the batch, Adam's first step is its rate against each slope's sign."""
    teacher, start = distil.teach(suite, inputs_of(suite)), torch.full((2, 1), 0.3)
    found = distil.train(
        suite,
        stats.Free(2),
        inputs_of(suite),
        teacher,
        distil.Training(loss, steps=1, batch=99, rate=1e-3),
        labels=labels_of(suite),
        progress=False,
    )
    assert found.losses[0] == pytest.approx(value(suite, start, teacher, loss).item(), rel=1e-5)
    for expert in range(2):
        nudge = torch.zeros(2, 1)
        nudge[expert] = 1e-2
        slope = value(suite, start + nudge, teacher, loss) - value(
            suite, start - nudge, teacher, loss
        )
        torch.testing.assert_close(
            found.coefficients[expert] - start[expert],
            -1e-3 * slope.sign().view(1),
            atol=1e-6,
            rtol=0,
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: stats.Free(2, 32, "simplex"),
        lambda: stats.Free(2),
        lambda: stats.Learner(torch.randn(2, 32, 6, generator=torch.Generator().manual_seed(0))),
    ],
)
def test_training_lowers_the_loss_and_moves_the_learner_alone(suite, make):
    teacher, learner = distil.teach(suite, inputs_of(suite)), make()
    before = {key: value.clone() for key, value in suite.base.items()}
    found = distil.train(
        suite,
        learner,
        inputs_of(suite),
        teacher,
        distil.Training("soft", 30, 99, 3e-2),
        watch=10,
        progress=False,
    )
    assert found.losses[-1] < found.losses[0]
    assert list(found.path) == [0, 10, 20, 30]
    torch.testing.assert_close(found.path[30], found.coefficients)
    assert all(torch.equal(before[key], suite.base[key]) for key in before)
    assert all(value.grad is None for value in suite.base.values())
    assert found.suite is suite


def test_the_seed_decides_the_batches(suite):
    teacher, plan = (
        distil.teach(suite, inputs_of(suite)),
        distil.Training(steps=5, batch=3, rate=1e-2),
    )
    runs = [
        distil.train(
            suite, stats.Free(2), inputs_of(suite), teacher, plan, seed=seed, progress=False
        )
        for seed in (0, 0, 1)
    ]
    assert runs[0].losses == runs[1].losses != runs[2].losses


def test_the_rate_falls_on_schedule(suite):
    """With drop 0.5 the second half moves by a tenth of the first.

    This is so since Adam's steps are of its rate's size.
    """
    teacher = distil.teach(suite, inputs_of(suite))
    path = distil.train(
        suite,
        stats.Free(2),
        inputs_of(suite),
        teacher,
        distil.Training("labels", 2, 99, 1e-3, drop=0.5),
        labels=labels_of(suite),
        watch=1,
        progress=False,
    ).path
    first, second = path[1] - path[0], path[2] - path[1]
    torch.testing.assert_close(second, first / 10, rtol=0.05, atol=1e-7)


def test_heads_are_trained_only_when_asked(suite):
    teacher = distil.teach(suite, inputs_of(suite))
    plan = distil.Training("labels", 20, 99, 1e-2)
    with_heads = distil.train(
        suite,
        stats.Free(2),
        inputs_of(suite),
        teacher,
        plan,
        labels_of(suite),
        heads=True,
        progress=False,
    )
    without = distil.train(
        suite, stats.Free(2), inputs_of(suite), teacher, plan, labels_of(suite), progress=False
    )
    assert with_heads.losses[-1] < without.losses[-1]
    new = with_heads.suite.task("pets").head
    assert not torch.equal(new["weight"], suite.task("pets").head["weight"])
    assert not new["weight"].requires_grad


def test_one_pass_gives_the_logits_of_every_task(suite):
    inputs = inputs_of(suite)
    together = distil.logits(suite, suite.base, inputs)
    for task in inputs:
        torch.testing.assert_close(
            together[task], suite.logits(task, suite.backbone.embed(suite.base, inputs[task]))
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mse"}, "loss is 'mse'; allowed: hard, soft, entropy, labels"),
        ({"steps": 0}, "steps is 0"),
        ({"rate": -1.0}, "rate is -1.0; allowed: above 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_plans_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        distil.Training(**settings)


def test_bad_training_is_refused_before_it_starts(suite):
    teacher = distil.teach(suite, inputs_of(suite))
    with pytest.raises(ValueError, match="needs labels"):
        distil.train(suite, stats.Free(2), inputs_of(suite), teacher, distil.Training("labels"))
    with pytest.raises(ValueError, match="pets has no unlabelled inputs"):
        distil.train(suite, stats.Free(2), inputs_of(suite) | {"pets": []}, teacher)
    wrong = replace(
        suite, tasks=suite.tasks | {"pets": replace(suite.task("pets"), classes=("a", "b", "c"))}
    )
    with pytest.raises(ValueError, match="the teacher knows 2 classes, the student 3"):
        distil.train(wrong, stats.Free(2), inputs_of(suite), teacher)
    words = replace(suite, tasks=suite.tasks | {"pets": replace(suite.task("pets"), head=None)})
    with pytest.raises(ValueError, match="pets has no head to train"):
        distil.train(words, stats.Free(2), inputs_of(suite), teacher, heads=True)


def test_coefficients_that_diverge_stop_the_training(suite):
    teacher = distil.teach(suite, inputs_of(suite))
    with pytest.raises(
        ValueError,
        match=r"the coefficients diverged: the loss is (nan|inf) at step \d+ with rate 1e\+30",
    ):
        distil.train(
            suite,
            stats.Free(2),
            inputs_of(suite),
            teacher,
            distil.Training(rate=1e30, steps=5),
            progress=False,
        )


# Whole networks


def test_fitting_learns_a_task_and_leaves_its_input_alone(suite):
    inputs, labels = inputs_of(suite, "train"), labels_of(suite, "train")
    before = {name: value.clone() for name, value in suite.base.items()}
    fitted = distil.fit(
        suite, suite.base, inputs, labels, steps=60, batch=20, rate=1e-2, progress=False
    )
    again = distil.fit(
        suite, suite.base, inputs, labels, steps=60, batch=20, rate=1e-2, progress=False
    )

    def loss(state):
        found = distil.logits(suite, state, inputs)
        return sum(distil.oracle(found[t], None, labels[t], 1.0).item() for t in found)

    assert loss(fitted) < 0.7 * loss(suite.base)
    assert all(torch.equal(before[name], suite.base[name]) for name in before)
    assert all(torch.equal(fitted[name], again[name]) for name in fitted)
    assert not suite.backbone.module.training


def test_a_head_is_trained_along_where_it_is_given(suite):
    """A head that may not move changes nothing for the encoder.

    One that may, in front of an encoder that does not, learns.
    """
    task = suite.tasks["pets"]
    inputs, labels = {"pets": task.inputs["train"]}, {"pets": task.labels["train"]}

    def run(rate, head_rate, steps):
        head = {name: value.clone().requires_grad_() for name, value in task.head.items()}
        own = replace(suite, tasks=suite.tasks | {"pets": replace(task, head=head)})
        state = distil.fit(
            own,
            suite.base,
            inputs,
            labels,
            steps=steps,
            batch=20,
            rate=rate,
            progress=False,
            also=[{"params": list(head.values()), "lr": head_rate, "weight_decay": 0.0}],
        )
        return state, distil.oracle(
            distil.logits(own, state, inputs)["pets"], None, labels["pets"], 1.0
        ).item()

    frozen = distil.fit(
        suite, suite.base, inputs, labels, steps=10, batch=20, rate=1e-3, progress=False
    )
    alike, _ = run(1e-3, 1e-12, 10)
    assert all(torch.allclose(frozen[name], alike[name], atol=1e-6) for name in frozen)
    still, learnt = run(1e-12, 1e-1, 60)
    assert all(torch.allclose(still[name], suite.base[name], atol=1e-6) for name in still)
    assert (
        learnt
        < 0.9
        * distil.oracle(
            distil.logits(suite, suite.base, inputs)["pets"], None, labels["pets"], 1.0
        ).item()
    )


def test_a_student_comes_to_answer_as_its_teacher(suite):
    inputs = inputs_of(suite, "train")
    teacher = distil.teach(suite, inputs)
    said = {task: z.argmax(1) for task, z in teacher.items()}
    fitted = distil.fit(
        suite, suite.base, inputs, said, teacher, steps=100, batch=20, rate=1e-2, progress=False
    )

    def agreement(state):
        found = distil.logits(suite, state, inputs)
        return sum((found[t].argmax(1) == said[t]).float().mean().item() for t in found) / len(
            found
        )

    assert agreement(fitted) > max(0.8, agreement(suite.base))


def test_bad_fits_are_refused(suite):
    inputs, labels = inputs_of(suite, "train"), labels_of(suite, "train")
    with pytest.raises(ValueError, match="pets has no inputs to learn from"):
        distil.fit(suite, suite.base, inputs | {"pets": []}, labels)
    with pytest.raises(ValueError, match="pets: the teacher knows 5 classes, the student 2"):
        distil.fit(suite, suite.base, inputs, labels, {task: torch.zeros(20, 5) for task in inputs})
    with pytest.raises(ValueError, match="the training diverged: the loss is nan at step 0"):
        broken = suite.base | {"proj": suite.base["proj"] * float("nan")}
        distil.fit(suite, broken, inputs, labels, steps=2, progress=False)
    assert not suite.backbone.module.training
