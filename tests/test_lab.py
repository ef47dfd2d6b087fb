"""The laboratory of small networks: stacks against ordinary networks, one at a time."""

import pytest
import tiny
import torch
from processors import printed_here_and_there
from torch import nn
from torch.nn import functional as F

from mergebook import lab

WIDTHS = (196, 8, 6, 10)


def network(stack, m, f=nn.ReLU):
    """Model m of a stack as an ordinary module."""
    linears = []
    for layer in range(len(stack) // 2):
        weight, bias = stack[f"layers.{layer}.weight"][m], stack[f"layers.{layer}.bias"][m]
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        linear.weight.data.copy_(weight)
        linear.bias.data.copy_(bias)
        linears += [linear, f()]
    return nn.Sequential(*linears[:-1])


def same(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], **tolerance)


def differ(a, b):
    return {name for name in a if not torch.equal(a[name], b[name])}


EXACT = {"rtol": 0, "atol": 0}


@pytest.fixture
def stack():
    """Three networks with biases that are not zero."""
    return tiny.three_networks(WIDTHS)


# ------------------------------------------------------------------------------------------- data


def test_there_are_eight_distinct_tasks_of_five_thousand_digits(digits):
    assert digits.inputs.shape == (8, 5000, 196) and digits.inputs.dtype == torch.float64
    assert len(lab.TASKS) == 8
    gaps = torch.cdist(digits.inputs.flatten(1), digits.inputs.flatten(1)) / 5000**0.5
    assert (gaps + 100 * torch.eye(8)).min() > 1


def test_every_class_has_five_hundred_digits(digits):
    assert digits.labels.shape == (5000,)
    assert torch.bincount(digits.labels).tolist() == [500] * 10


def test_tasks_show_the_same_image_in_their_own_way(digits):
    """Turning four times, or mirroring twice, gives the upright image again."""
    image = {name: inputs[:50].view(50, 14, 14) for name, inputs in zip(lab.TASKS, digits.inputs)}
    torch.testing.assert_close(image["turned 90"].rot90(3, (1, 2)), image["upright"])
    torch.testing.assert_close(image["turned 180"].flip(1, 2), image["upright"])
    torch.testing.assert_close(image["turned 270"].rot90(1, (1, 2)), image["upright"])
    torch.testing.assert_close(image["mirrored"].flip(2), image["upright"])
    torch.testing.assert_close(image["rolled"].roll(7, 2), image["upright"])
    grey = {name: 0.3 * shown + 0.13 for name, shown in image.items()}
    torch.testing.assert_close(grey["negative"], 1 - grey["upright"])
    assert all(-1e-9 < shown.min() and shown.max() < 1 + 1e-9 for shown in grey.values())
    assert (grey["checkered"] - grey["upright"] > -1e-9).all()


def test_splits_are_disjoint_and_cover_everything(digits):
    parts = [digits.split(name) for name in ("train", "val", "test")]
    torch.testing.assert_close(
        torch.cat([inputs for inputs, _ in parts], 1), digits.inputs, **EXACT
    )
    assert torch.equal(torch.cat([labels for _, labels in parts]), digits.labels)
    rows = [{row.numpy().tobytes() for row in inputs[0]} for inputs, _ in parts]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


def test_the_seed_shuffles_the_digits(digits):
    again, other = lab.load_digits(seed=0), lab.load_digits(seed=1)
    assert torch.equal(again.inputs, digits.inputs) and torch.equal(again.labels, digits.labels)
    assert not torch.equal(other.labels, digits.labels)
    rows = {row.numpy().tobytes() for row in digits.inputs[0]}
    assert {row.numpy().tobytes() for row in other.inputs[0]} == rows


# ----------------------------------------------------------------------------------------- stacks


def test_initial_networks_depend_on_their_own_seed_alone():
    together = lab.initial([4, 7, 4], WIDTHS)
    same(lab.take(together, 1), lab.initial([7], WIDTHS), **EXACT)
    assert torch.equal(together["layers.0.weight"][0], together["layers.0.weight"][2])
    assert not torch.equal(together["layers.0.weight"][0], together["layers.0.weight"][1])


def test_initial_weights_have_the_variance_of_he():
    stack = lab.initial(range(5))
    for layer, fan_in in enumerate((196, 64, 64, 64)):
        weights = stack[f"layers.{layer}.weight"]
        assert weights.var().item() == pytest.approx(
            2 / fan_in, rel=6 * (2 / weights.numel()) ** 0.5
        )
        assert not stack[f"layers.{layer}.bias"].any()
    first, second = stack["layers.1.weight"].flatten(), stack["layers.2.weight"].flatten()
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.05


@pytest.mark.parametrize("f, module", [(F.relu, nn.ReLU), (F.gelu, nn.GELU)])
def test_preactivations_are_those_of_an_ordinary_network(stack, f, module):
    x = torch.randn(5, 196, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    h = lab.preactivations(stack, x, f)
    assert lab.depth(stack) == len(h) == 3
    for m in range(3):
        net = network(stack, m, module)
        for layer in range(3):
            torch.testing.assert_close(h[layer][m], net[: 2 * layer + 1](x))
    torch.testing.assert_close(lab.logits(stack, x, f), h[-1])


def test_every_model_may_get_its_own_inputs(stack):
    x = torch.randn(3, 5, 196, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for m, out in enumerate(lab.logits(stack, x)):
        torch.testing.assert_close(out, network(stack, m)(x[m]))


def test_join_undoes_take(stack):
    same(lab.join([lab.take(stack, 0), lab.take(stack, [1, 2])]), stack, **EXACT)
    same(lab.take(lab.take(stack, [2, 0]), 1), lab.take(stack, 0), **EXACT)
    assert lab.take(stack, 1)["layers.0.weight"].shape == (1, 8, 196)


def test_average_by_hand(stack):
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    for name, p in stack.items():
        torch.testing.assert_close(lab.average(stack)[name], ((p[0] + p[1] + p[2]) / 3)[None])
        expected = (0.5 * p[0] + 0.3 * p[1] + 0.2 * p[2])[None]
        torch.testing.assert_close(lab.average(stack, weights)[name], expected)


def test_accuracies_by_brute_force(stack, digits):
    for split in ("val", "test"):
        inputs, labels = digits.split(split)
        counted = torch.zeros(3, 8, dtype=torch.float64)
        for m in range(3):
            for task in range(8):
                answers = network(stack, m)(inputs[task]).argmax(1)
                counted[m, task] = sum(
                    a == y for a, y in zip(answers.tolist(), labels.tolist())
                ) / len(labels)
        torch.testing.assert_close(lab.accuracy(stack, digits, split=split), counted)
        torch.testing.assert_close(lab.accuracy(stack, digits, [6, 2], split), counted[:, [6, 2]])
        own = torch.stack([counted[0, 5], counted[1, 5], counted[2, 1]])
        torch.testing.assert_close(lab.own_accuracy(stack, digits, [5, 5, 1], split), own)


# ------------------------------------------------------------------------------------ as a suite


@pytest.fixture
def made(stack, digits):
    """A base, an expert for each task that shares its readout, and the suite they make."""
    base, experts = lab.take(stack, 0), lab.take(stack, [1, 2] * 4)
    for place, value in enumerate(experts.values()):
        value += 0.1 * torch.randn(
            value.shape, generator=torch.Generator().manual_seed(place), dtype=torch.float64
        )
    experts |= {
        name: base[name].expand_as(experts[name]) for name in ("layers.2.weight", "layers.2.bias")
    }
    suite = lab.suite(base, experts, digits, "small")
    # A suite has its weights on the grid.
    base, experts = ({n: lab.gridded(p) for n, p in s.items()} for s in (base, experts))
    return base, experts, suite


@pytest.mark.parametrize("split", lab.SPLITS)
def test_a_suite_scores_as_its_networks_do(made, digits, split):
    base, experts, suite = made
    for t, task in enumerate(lab.TASKS):
        inputs = suite.task(task).inputs[split]
        expected = lab.logits(lab.join([base, lab.take(experts, t)]), digits.split(split)[0][t])
        for state, logits in zip((suite.base, suite.experts[task]), expected, strict=True):
            found = suite.logits(task, suite.backbone.embed(state, inputs))
            torch.testing.assert_close(found, logits, rtol=0, atol=1e-12)


def test_a_suite_has_the_tasks_with_their_splits_and_labels(made, digits):
    _, _, suite = made
    assert suite.name == "small" and list(suite.tasks) == list(suite.experts) == list(lab.TASKS)
    for t, (name, task) in enumerate(suite.tasks.items()):
        assert task.name == name and task.classes == tuple(map(str, range(10)))
        for split in lab.SPLITS:
            inputs, labels = digits.split(split)
            assert torch.equal(task.inputs[split], inputs[t]) and torch.equal(
                task.labels[split], labels
            )
        assert torch.equal(task.inputs["unlabelled"], digits.inputs[t, :128])


def test_the_sites_of_a_suite_are_the_hidden_layers(made, digits):
    base, _, suite = made
    backbone, x = suite.backbone, digits.inputs[0, :5]
    assert (
        backbone.sites() == ["0", "2"]
        and backbone.activation_at("0") == backbone.activation_at("2") == "relu"
    )
    assert suite.base.keys() == backbone.names().keys() == suite.experts["rolled"].keys()
    hidden = lab.preactivations(base, x)[:-1]
    for (_, h), expected in zip(
        backbone.preactivations(suite.base, backbone.prepare(x)), hidden, strict=True
    ):
        torch.testing.assert_close(h, expected[0], rtol=0, atol=1e-12)
    for layer, site in enumerate(backbone.sites()):
        assert torch.equal(
            suite.base[backbone.weight_name(site)], base[f"layers.{layer}.weight"][0]
        )


# --------------------------------------------------------------------------------------- training


@pytest.fixture
def one_image(digits):
    """With a single image, whatever is drawn gives the same batch.

    So stack and singles can be compared.
    """
    return lab.Digits(digits.inputs[:, :1], digits.labels[:1])


@pytest.mark.parametrize("f, module", [(F.relu, nn.ReLU), (torch.tanh, nn.Tanh)])
def test_a_stack_trains_as_its_models_one_by_one(stack, one_image, f, module):
    tasks, steps, lr = [[0], [5], [3]], 20, 3e-3
    trained = lab.train(stack, one_image, tasks, steps=steps, lr=lr, seed=0, f=f)[steps]
    for m, task in enumerate(tasks):
        alone = lab.train(lab.take(stack, m), one_image, [task], steps=steps, lr=lr, seed=9, f=f)[
            steps
        ]
        same(lab.take(trained, m), alone, rtol=1e-9, atol=1e-10)
        net = network(stack, m, module)
        adam = torch.optim.Adam(net.parameters(), lr=lr)
        for _ in range(steps):
            adam.zero_grad()
            F.cross_entropy(net(one_image.inputs[task[0]]), one_image.labels).backward()
            adam.step()
        ordinary = dict(zip(alone, (p.detach()[None] for p in net.parameters()), strict=True))
        same(alone, ordinary, rtol=1e-6, atol=1e-8)


def test_training_teaches_each_model_its_own_task(digits):
    start = lab.initial([0, 1], (196, 32, 10))
    trained = lab.train(start, digits, [[0], [1]], steps=150, lr=3e-3, seed=0)[150]
    assert lab.own_accuracy(start, digits, [0, 1]).max() < 0.35
    assert lab.own_accuracy(trained, digits, [0, 1]).min() > 0.75
    assert lab.own_accuracy(trained, digits, [1, 0]).max() < 0.5


def test_a_model_with_two_tasks_learns_both(digits):
    trained = lab.train(
        lab.initial([0], (196, 32, 10)), digits, [[0, 1]], steps=200, lr=3e-3, seed=0
    )[200]
    assert lab.accuracy(trained, digits, [0, 1]).min() > 0.7


def test_frozen_parameters_stay(stack, digits):
    frozen = ["layers.2.weight", "layers.0.bias"]
    trained = lab.train(stack, digits, [[0]] * 3, steps=3, lr=1e-2, seed=0, frozen=frozen)[3]
    assert differ(stack, trained) == stack.keys() - set(frozen)


def test_training_leaves_its_start_alone(stack, digits):
    before = {name: p.clone() for name, p in stack.items()}
    lab.train(stack, digits, [[0]] * 3, steps=2, lr=1e-2, seed=0)
    same(stack, before, **EXACT)


def test_snapshots_are_the_run_stopped_there(stack, digits):
    def run(steps, snapshots=()):
        return lab.train(
            stack, digits, [[0], [1], [2]], steps=steps, lr=1e-2, seed=0, snapshots=snapshots
        )

    kept = run(8, snapshots=[2, 5])
    assert list(kept) == [2, 5, 8]
    same(kept[2], run(2)[2], **EXACT)
    same(kept[5], run(5)[5], **EXACT)
    assert differ(kept[5], kept[8]) == stack.keys()


def test_training_is_the_same_bit_for_bit(stack, digits):
    def run(seed):
        return lab.train(stack, digits, [[0], [1], [2, 3]], steps=10, lr=1e-2, seed=seed)[10]

    same(run(0), run(0), **EXACT)
    assert differ(run(0), run(1)) == stack.keys()


def test_training_forgives_the_rounding_of_another_machine(digits):
    start, generator = lab.initial([0, 1]), torch.Generator().manual_seed(0)
    noise = {
        n: torch.randn(p.shape, generator=generator, dtype=torch.float64) for n, p in start.items()
    }
    moved = {n: p + 1e-15 * noise[n] for n, p in start.items()}
    assert differ(start, moved)
    one, other = (
        lab.train(s, digits, [[0], [1]], steps=50, lr=1e-3, seed=0)[50] for s in (start, moved)
    )
    same(one, other, rtol=0, atol=1e-9)


MERGED = """
import torch
from mergebook import studies
from mergebook.ch2 import families
from mergebook.ch2.models import Merge, model_of
from mergebook.page import OpenSuite
torch.set_num_threads(1)
for suite in (families.perceptrons(0), families.cnns(0, (30, 20))):
    r = OpenSuite(suite, "cpu")
    print(studies.fingerprint({"base": r.base, **r.experts}))
    made = model_of(r, Merge("", "rows", "shared input", 0.2, 0.1, samples=4))
    print(studies.fingerprint({"": {n: (v * 2**20).round() for n, v in made.items()}}))
"""


def test_older_instructions_train_and_trim_the_same_networks():
    """Weights that read alike pixels are alike, and no last digit decides which is trimmed."""
    here, there = printed_here_and_there(MERGED)
    assert len(here) == 4 and here == there


def test_the_grid_keeps_what_lies_on_it_and_has_no_negative_zero():
    p = torch.tensor([0.25, -lab.GRID / 4, 3 * lab.GRID, lab.GRID / 4], dtype=torch.float64)
    found = lab.gridded(p)
    assert found.tolist() == [0.25, 0, 3 * lab.GRID, 0]
    assert not torch.signbit(found).any() and torch.equal(lab.gridded(found), found)
