"""Linear templates: classifiers, correlations, averages and clarity, against second derivations."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

from mergebook import lab
from mergebook.ch4 import blending, chance, clarity, fading, templates
from mergebook.page import open_suite
from mergebook.studies import unpack_answers


def random_images(n=40, pixels=12, classes=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centres = torch.randn(classes, pixels, generator=g, dtype=torch.float64)
    return centres[y] + torch.randn(n, pixels, generator=g, dtype=torch.float64), y


def test_linear_is_sgd_of_torch():
    x, y = random_images()
    w, b = templates.linear_classifier(x, y, decay=0.1, epochs=10, seed=3, batch=16)
    layer = nn.Linear(12, 4, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    steps = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 4, 6, 8], 0.1)
    g = torch.Generator().manual_seed(3)
    for _ in range(10):
        for chosen in torch.randperm(40, generator=g).split(16):
            optimiser.zero_grad()
            nn.functional.cross_entropy(layer(x[chosen]), y[chosen]).backward()
            optimiser.step()
        steps.step()
    torch.testing.assert_close(w, layer.weight.detach())
    torch.testing.assert_close(b, layer.bias.detach())
    assert w.sum(0).abs().max() < 1e-12  # rows add up to zero


def test_correlations_are_those_of_numpy():
    x, _ = random_images()
    expected = np.corrcoef(x[:3].numpy(), x[3:7].numpy())[:3, 3:]
    np.testing.assert_allclose(templates.row_correlations(x[:3], x[3:7]), expected)


def test_fisher_is_the_direction_of_a_library():
    x, y = random_images(n=60, pixels=8)
    found = templates.without_mean(templates.fisher_rows(x, y))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.0, priors=[0.25] * 4)
    means = templates.class_means(x, y).numpy()
    within = (x.numpy() - means[y]).T @ (x.numpy() - means[y]) / 60
    amount = templates.ledoit_wolf(x.numpy() - means[y], assume_centered=True)[1]
    shrunk = (1 - amount) * within + amount * np.trace(within) / 8 * np.eye(8)
    expected = np.linalg.solve(shrunk, (means - means.mean(0)).T).T
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert model.fit(x, y).score(x, y) > 0.9


def test_resemblance_by_hand():
    means = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.float64)
    found = templates.resemblance(means * 5 + 3, means)
    assert found["own"] == pytest.approx([1, 1]) and found["rival"] == pytest.approx([-1, -1])
    assert found["displayed"] == pytest.approx([1, 1])
    swapped = templates.resemblance(means.flip(0), means)
    assert swapped["own"] == pytest.approx([-1, -1])
    assert swapped["displayed"] == pytest.approx([-1 / 3, -1 / 3])


def test_alignment_by_hand():
    rows = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.1], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    found = templates.alignment_of(rows, torch.zeros(3, dtype=torch.float64), x)
    assert found["best"].tolist() == found["plain"].tolist() == [False, False, True]
    bias = torch.tensor([5.0, 0, 0], dtype=torch.float64)
    found = templates.alignment_of(rows, bias, x)
    assert found["best"].tolist() == [True, False, False]
    assert found["plain"].tolist() == [False, False, True]
    assert found["closer"].tolist() == [True, False, False]


def test_blended_by_hand_and_of_random_vectors():
    rows = torch.tensor([[3.0, -3, 0, 0], [0, 0, 4, -4]], dtype=torch.float64)
    found = templates.blended(rows)
    assert found["first"] == pytest.approx([0.6]) and found["second"] == pytest.approx([0.8])
    assert found["left"] == found["formula"] == pytest.approx([5 / 7])
    assert found["third"] == [-2]  # there is no third
    of_random = chance.random_blend(50, 4000, 0)
    assert np.mean(of_random["first"][0]) == pytest.approx(1 / math.sqrt(2), abs=0.01)


def test_random_rows_are_closer_than_most_and_best_if_their_lengths_are_alike():
    table = pd.DataFrame({"task": ["alike", "apart"], "lengths": [[1.0] * 6, [1.0, 1, 1, 2, 2, 2]]})
    found = chance.random_alignment(table, 2000, 300, 0).set_index("task")
    assert found.rows.tolist() == [6, 6] and (found.closer > 99.5).all()
    assert found.best["alike"] > 97 and found.best["apart"] < 90
    assert (found.best == found.plain).all()  # no row has a bias


def test_how_long_a_classifier_is_trained():
    assert [clarity.passes_over(n, "epochs") for n in (10, 64, 2500)] == [100, 100, 100]
    # A batch has 64 images: 1, 1, 2, 6 and 40 steps an epoch.
    found = [clarity.passes_over(n, "steps") for n in (10, 64, 65, 384, 2500)]
    assert found == [400, 400, 200, 67, 10]


def test_full_length_and_pairs():
    rows = torch.tensor([[1.0, 0], [0, 1], [0, 3], [5, 5], [7, 7]], dtype=torch.float64)
    a, b = templates.paired(rows)
    assert a.tolist() == [[1, 0], [0, 1]] and b.tolist() == [[0, 3], [5, 5]]
    full = fading.at_full_length((a + b) / 2, a, b)
    expected = (a.norm(dim=1) + b.norm(dim=1)) / 2
    torch.testing.assert_close(full.norm(dim=1), expected)


@pytest.fixture(scope="module")
def suite():
    return open_suite("mini8", "cpu")


def test_a_row_of_each_experiment(suite):
    context = {"sources": {suite.mark: suite.source}, "device": "cpu"}
    task = suite.tasks[1]
    rows = {
        recipe: templates.linear_row(
            templates.Linear(suite.mark, task, recipe, epochs=5), **context
        )
        for recipe in templates.RECIPES
    }
    own = {recipe: np.mean(row["own"]) for recipe, row in rows.items()}
    assert own["released"] > 0.5 and own["shuffled"] > 0.5
    assert abs(own["shuffled, true means"]) < 0.2 and own["normalised"] != own["released"]
    assert all(np.allclose(row["left"], row["formula"], atol=1e-6) for row in rows.values())
    faded = fading.faded_row(fading.Faded(suite.mark, task, epochs=5), **context)
    answers = unpack_answers({n: faded[n] for n in fading.ANSWERED})
    assert len(answers["one"]) == 500 and answers["either"].mean() > 0.3
    assert max(faded["halves_left"]) <= 1


def test_pixels_are_those_of_the_suite(suite):
    task = suite.tasks[-1]
    x, y = templates.pixels_of(suite, task, "test")
    assert 0 <= x.min() and x.max() <= 1 and len(x) == len(y)
    z, _ = templates.pixels_of(suite, task, "test", normalised=True)
    by_hand = (x[0, 1024:2048] - 0.456) / 0.224  # green
    torch.testing.assert_close(z[0, 1024:2048], by_hand)


def test_contrast_has_no_noise_of_few_images():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 30, generator=g, dtype=torch.float64)
    few, y = x[:40], torch.arange(40) % 10
    found = clarity.contrast_of_means(few, y)
    assert found["apparent"] > 0.4  # four images a class: the noise alone
    squares = []
    for i in range(50):
        part = x[40 * i : 40 * i + 40]
        found = clarity.contrast_of_means(part, y)
        squares.append(found["contrast"] ** 2)
    assert np.mean(squares) < 0.02  # cut off at zero, else its mean is zero
    centres = 3 * torch.randn(10, 30, generator=g, dtype=torch.float64)
    truth = templates.without_mean(centres).square().sum(1).mean()
    many = clarity.contrast_of_means(x + centres[torch.arange(2000) % 10], torch.arange(2000) % 10)
    assert many["contrast"] == pytest.approx(math.sqrt(truth / (truth + 30)), rel=0.01)


def test_choosing_and_moving_digits():
    x, y = clarity.digits_of(3, 0)
    assert y.tolist() == [c for c in range(10) for _ in range(3)] and x.shape[1] == lab.SIDE**2
    assert torch.equal(clarity.shifted(x, 0, 1), x)
    moved = clarity.shifted(x, 3, 1)
    torch.testing.assert_close(moved.sum(1), x.sum(1))
    assert not torch.equal(moved, x)
    some, labels = clarity.some_classes(*random_images(), 2, 0)
    assert sorted(set(labels.tolist())) == [0, 1] and len(some) == 20


def test_printed_sizes():
    table = clarity.printed_sizes().set_index("dataset")
    assert table.loc["CIFAR-100"].tolist() == [60000, 100]
    assert table.loc["TinyImageNet"].tolist() == [100000, 200]


def test_departure_and_distance_by_hand():
    z = torch.tensor([[[1.0, 0]], [[3, 0]]])
    assert blending.distance_to_mean(z, z) == pytest.approx(0.5)
    linear = {
        "layers.0.weight": torch.zeros(1, 2, 3, dtype=torch.float64),
        "layers.0.bias": torch.zeros(1, 2, dtype=torch.float64),
    }
    x = torch.randn(6, 3, dtype=torch.float64)
    assert blending.departure(linear, x) == 0
    linear["layers.0.weight"] += 50 * torch.eye(2, 3, dtype=torch.float64)
    pair = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    assert blending.departure(linear, pair) == pytest.approx(0)  # both are half and half
    uneven = torch.tensor([[1.0, 0, 0], [0, 0.5, 0]], dtype=torch.float64)
    assert blending.departure(linear, uneven) == pytest.approx(0.5, abs=1e-4)


def test_mixup_of_share_one_is_plain_and_one_layer_blends_exactly():
    pictures = random_images(n=32, pixels=6)
    start = lab.initial([0, 1], widths=(6, 5, 4))
    plain = blending.trained_with(start, pictures, [0, 1], passes=2, batch=8)
    mixed = blending.trained_with(start, pictures, [0, 1], passes=2, mixup=1.0, batch=8)
    tiny = blending.trained_with(start, pictures, [0, 1], passes=2, mixup=1e-9, batch=8)
    gap = max(float((plain[k] - mixed[k]).abs().max()) for k in plain)
    assert gap > 1e-3 and all(plain[k].shape == tiny[k].shape for k in plain)
    assert blending.one_layer_gap(plain, pictures[0]) < 1e-12
    alone = blending.trained_with(lab.take(start, [1]), pictures, [1], passes=2, batch=8)
    torch.testing.assert_close(alone["layers.0.weight"][0], plain["layers.0.weight"][1])


def test_wrong_keys_are_refused():
    for make, words in (
        (lambda: templates.Linear("m", "t", "none"), "recipe is 'none'; allowed: released"),
        (lambda: clarity.Clear("m", "t", "none", 1), "change is 'none'; allowed: images"),
        (lambda: clarity.Clear("m", "t", "shift", 1, equal="x"), "equal is 'x'; allowed: epochs"),
        (lambda: blending.Blend("none"), "start is 'none'; allowed: one, own"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
