"""Repairs of heads and features against loops, scipy, scikit-learn and numbers by hand."""

import dataclasses
import math

import pytest
import scipy.linalg
import tiny
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import nn
from torch.nn.functional import kl_div, linear, one_hot

from mergebook import protocols
from mergehelpers import alignment, suites
from mergehelpers.alignment import FREEDOMS, Head, Map, Plan
from mergehelpers.backbones import Plain

LONG = Plan(400, 0.1)
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(width, seed=0):
    return torch.linalg.qr(normal(width, width, seed=seed))[0]


def turned(width, angle, seed=0):
    """A rotation, the farther from the identity the larger the angle."""
    skew = normal(width, width, seed=seed)
    return torch.linalg.matrix_exp(angle * (skew - skew.T))


def problem(inputs=60, width=5, classes=3, batch=()):
    """Features, soft targets that no head reaches exactly, and a head to start from."""
    z, targets = (
        normal(*batch, inputs, width, seed=1),
        normal(*batch, inputs, classes, seed=2).softmax(-1),
    )
    return z, targets, Head(normal(classes, width, seed=3), normal(classes, seed=4))


def kl(answers, targets):
    return float(alignment.divergence(answers, targets))


# Anchors


ANCHORS, QUERIES = normal(40, 3, seed=5), normal(30, 3, seed=6)
LABELS = torch.arange(40) % 7 % 3  # 17, 12 and 11 of a class


def test_mean_distance_is_what_a_loop_gives():
    found = alignment.mean_distance(QUERIES, ANCHORS, LABELS, 3)
    for i, z in enumerate(QUERIES):
        for c in range(3):
            distances = [math.dist(z, a) for a, label in zip(ANCHORS, LABELS) if label == c]
            assert float(found[i, c]) == pytest.approx(-sum(distances) / len(distances))


def test_mean_distance_and_prototype_by_hand():
    # From the origin, (3, 4) and (-3, 4) are 5 away, (0, 7) is 7 and (0, -1) is 1. The means are
    # (0, 4) and (0, 3).
    anchors, labels = (
        torch.tensor([[3.0, 4], [0, 7], [-3, 4], [0, -1]]).double(),
        torch.tensor([0, 1, 0, 1]),
    )
    origin = torch.zeros(1, 2).double()
    assert alignment.mean_distance(origin, anchors, labels, 2).tolist() == [[-5, -4]]
    assert alignment.prototype(origin, anchors, labels, 2).tolist() == [[-4, -3]]


def test_the_mean_squared_distance_is_that_to_the_prototype_plus_the_scatter_of_the_class():
    members = [ANCHORS[LABELS == c] for c in range(3)]
    squared = torch.stack([(QUERIES[:, None] - m).square().sum(-1).mean(1) for m in members], 1)
    scatter = torch.stack([(m - m.mean(0)).square().sum(1).mean() for m in members])
    torch.testing.assert_close(
        alignment.prototype(QUERIES, ANCHORS, LABELS, 3).square() + scatter, squared
    )
    assert (alignment.mean_distance(QUERIES, ANCHORS, LABELS, 3).square() <= squared).all()


def test_prototype_answers_as_the_nearest_centroid():
    expected = NearestCentroid().fit(ANCHORS, LABELS).predict(QUERIES)
    assert alignment.prototype(QUERIES, ANCHORS, LABELS, 3).argmax(1).tolist() == expected.tolist()


def test_votes_are_the_counts_of_the_nearest_neighbours():
    found = alignment.vote(QUERIES, ANCHORS, LABELS, 3)
    known = KNeighborsClassifier(5).fit(ANCHORS, LABELS)
    assert (5 * known.predict_proba(QUERIES)).round().tolist() == found.round().tolist()
    top = found.round().topk(2).values
    clear = top[:, 0] > top[:, 1]
    assert 10 < clear.sum() < 30
    assert found.argmax(1)[clear].tolist() == known.predict(QUERIES)[clear].tolist()


def line(*labels):
    """Votes at 0 of anchors at 1, 2, …, with these labels."""
    anchors = torch.arange(1, len(labels) + 1).double()[:, None]
    return alignment.vote(torch.zeros(1, 1).double(), anchors, torch.tensor(labels), 3)[0]


@pytest.mark.parametrize("labels", [(1, 0), (1, 0, 1, 0), (2, 1, 0), (2, 2, 1, 1, 0)])
def test_among_equal_counts_the_class_of_the_nearest_leads(labels):
    assert line(*labels).argmax() == labels[0]


@pytest.mark.parametrize("labels", [(1, 0, 0, 2, 1), (1, 0, 0, 1, 2)])
def test_among_equal_counts_the_class_of_the_nearest_leads_even_if_its_other_neighbours_are_far(
    labels,
):
    assert line(*labels).argmax() == labels[0]


def test_one_nearer_neighbour_never_beats_two():
    assert line(0, 1, 1).argmax() == 1 and line(0, 0, 1, 1, 1).argmax() == 1


def test_with_few_anchors_all_of_them_vote():
    assert line(0, 1, 1).round().tolist() == [1, 2, 0]


# Draws


def test_a_draw_has_the_shots_of_every_class_in_order_and_no_repeats():
    found = alignment.draw_shots(LABELS, 11, "abc", seed=0)
    assert LABELS[found].tolist() == [0] * 11 + [1] * 11 + [2] * 11
    assert len(set(found.tolist())) == 33


def test_a_seed_fixes_the_draw():
    first, again, other = (alignment.draw_shots(LABELS, 4, "abc", seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_seeds_reach_every_sample():
    seen = {i for seed in range(40) for i in alignment.draw_shots(LABELS, 2, "abc", seed).tolist()}
    assert seen == set(range(40))


def test_a_class_with_too_few_samples_is_named():
    with pytest.raises(ValueError, match="13 shots asked of the class 'dog', which has 12 samples"):
        alignment.draw_shots(LABELS, 13, ["cat", "dog", "owl"], seed=0)
    with pytest.raises(ValueError, match="'owl', which has 0 samples"):
        alignment.draw_shots(LABELS[LABELS < 2], 1, ["cat", "dog", "owl"], seed=0)


@pytest.mark.parametrize("shots", [0, -1])
def test_a_draw_needs_a_shot(shots):
    with pytest.raises(ValueError, match=f"shots is {shots}; allowed: a whole number, 1 or more"):
        alignment.draw_shots(LABELS, shots, "abc", seed=0)


# Training


def test_the_divergence_is_torchs():
    logits, targets = normal(2, 7, 3), normal(2, 7, 3, seed=1).softmax(-1)
    expected = [
        kl_div(a.log_softmax(-1), t, reduction="batchmean") for a, t in zip(logits, targets)
    ]
    torch.testing.assert_close(alignment.divergence(logits, targets), torch.stack(expected))
    assert kl(targets[0].log(), targets[0]) == pytest.approx(0, abs=1e-12)


def test_with_one_hot_targets_the_divergence_is_the_cross_entropy():
    # softmax of (log 3, 0) is (3/4, 1/4); 0 · log 0 counts as 0.
    logits = torch.tensor([[math.log(3), 0], [math.log(3), 0]]).double()
    labels = torch.tensor([[1, 0], [0, 1]])
    for targets in (labels, labels.double()):
        assert kl(logits, targets) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_a_head_and_a_map_act_on_rows():
    z, _, head = problem()
    torch.testing.assert_close(head(z), linear(z, *head))
    moved = Map(normal(5, 5), normal(5))
    torch.testing.assert_close(
        moved(z), torch.stack([row @ moved.matrix + moved.shift for row in z])
    )
    stacked = Head(torch.stack([head.weight, -head.weight]), torch.stack([head.bias, head.bias]))
    torch.testing.assert_close(
        stacked(z.expand(2, *z.shape))[1], linear(z, -head.weight, head.bias)
    )


def test_training_is_adam_on_a_cosine():
    # The loss is (x - 3)² / 2, whose gradient is x - 3.
    x, m, v = 0.0, 0.0, 0.0
    for t in range(20):
        gradient = x - 3
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.5 * (1 + math.cos(math.pi * t / 20)) / 2
        x -= rate * (m / (1 - 0.9 ** (t + 1))) / (math.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
    found = alignment.minimise(
        {"x": torch.zeros(1).double()}, lambda p: (p["x"] - 3).square() / 2, Plan(20, 0.5)
    )
    assert float(found["x"]) == pytest.approx(x)


@pytest.mark.parametrize("rate", [math.inf, 1e308])
def test_a_diverging_repair_says_so(rate):
    with pytest.raises(
        ValueError,
        match="the repair diverged: its loss is nan at step 1 with rate .*; try a smaller",
    ):
        alignment.fit_head(*problem(), Plan(5, rate))


FITS = {
    "head": alignment.fit_head,
    "bias": lambda *a: alignment.fit_head(*a, only_bias=True),
    "map": alignment.fit_map,
    "penalised map": lambda *a: alignment.fit_map(*a, penalty=0.1),
    "scale": alignment.fit_scale,
}
each_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)


@each_fit
def test_batched_fits_are_the_single_fits(fit):
    z, targets, start = problem(inputs=8, batch=(2, 3))
    found = fit(z, targets, start, Plan(20))
    for i in range(2):
        for j in range(3):
            for one, many in zip(fit(z[i, j], targets[i, j], start, Plan(20)), found, strict=True):
                torch.testing.assert_close(one, many[i, j])


@pytest.mark.parametrize("fit", [*FITS.values(), alignment.fit_gram], ids=[*FITS, "gram"])
def test_a_fit_changes_nothing_it_is_given(fit):
    z, targets, start = problem()
    given = (z, targets, *start)
    before = [value.clone() for value in given]
    fit(z, targets, start, Plan(5))
    assert all(torch.equal(a, b) for a, b in zip(given, before)) and not any(
        value.requires_grad for value in given
    )


@each_fit
def test_a_fit_without_steps_is_the_start(fit):
    z, targets, start = problem()
    found = fit(z, targets, start, Plan(0))
    torch.testing.assert_close(found(z) if isinstance(found, Head) else start(found(z)), start(z))


@each_fit
def test_a_fit_lowers_the_loss(fit):
    z, targets, start = problem()
    found = fit(z, targets, start)
    assert kl(found(z) if isinstance(found, Head) else start(found(z)), targets) < kl(
        start(z), targets
    )


def test_on_labels_the_head_is_logistic_regression():
    z, labels = normal(60, 4), torch.randint(3, (60,), generator=torch.Generator().manual_seed(0))
    known = LogisticRegression(C=math.inf, tol=1e-8, max_iter=1000).fit(z, labels)
    expected = -torch.from_numpy(known.predict_log_proba(z))[range(60), labels].mean()
    assert expected > 0.5  # far from separable
    targets = one_hot(labels, 3).double()
    found = alignment.fit_head(z, targets, Head(normal(3, 4), normal(3)), LONG)
    assert kl(found(z), targets) == pytest.approx(float(expected), abs=1e-6)
    torch.testing.assert_close(
        found(z).softmax(-1), torch.from_numpy(known.predict_proba(z)), rtol=0, atol=1e-3
    )


def test_only_the_bias_moves_if_asked():
    z, targets, start = problem()
    found = alignment.fit_head(z, targets, start, LONG, only_bias=True)
    assert torch.equal(found.weight, start.weight) and not torch.allclose(found.bias, start.bias)
    # At the optimum of the bias, the mean answer is the mean target.
    torch.testing.assert_close(found(z).softmax(-1).mean(0), targets.mean(0), **CLOSE)


def with_constant(z):
    return torch.cat([z[:, :-1], torch.ones_like(z[:, :1])], 1)


def test_a_free_map_reaches_what_the_head_reaches_if_a_feature_is_constant():
    z, targets, start = problem()
    z = with_constant(z)  # the map then moves the bias, too
    head, free = (fit(z, targets, start, LONG) for fit in (alignment.fit_head, alignment.fit_map))
    assert kl(start(free(z)), targets) == pytest.approx(kl(head(z), targets), abs=1e-6)
    assert not free.shift.any()


def test_a_map_of_fewer_features_than_classes_stays_behind_the_head():
    z, targets, start = problem(width=2, classes=6)
    head, free = (
        fit(with_constant(z), targets, start, LONG)
        for fit in (alignment.fit_head, alignment.fit_map)
    )
    assert kl(start(free(with_constant(z))), targets) > kl(head(with_constant(z)), targets) + 1e-3


def test_the_penalty_keeps_the_map_near_to_orthogonal():
    fits = [alignment.fit_map(*problem(), LONG, penalty).matrix for penalty in (0, 0.01, 10)]
    defects = [alignment.defect(m) for m in fits]
    assert defects[0] > defects[1] > defects[2] and defects[0] > 0.5 and defects[2] < 1e-2


def test_a_planted_gain_and_shift_are_undone():
    z, _, start = problem()
    targets = start(z * (1 + 0.5 * normal(5, seed=7)) + normal(5, seed=8)).softmax(-1)
    found = alignment.fit_scale(z, targets, start, LONG)
    assert kl(start(z), targets) > 0.1 and kl(start(found(z)), targets) < 1e-6
    assert torch.equal(found.matrix, found.matrix.diag().diag())


# Heads with the Gram matrix of the start


def test_a_gram_fit_keeps_gram_matrix_and_bias_and_lowers_the_loss():
    z, targets, start = problem()
    found = alignment.fit_gram(z, targets, start)
    torch.testing.assert_close(
        found.weight @ found.weight.T, start.weight @ start.weight.T, rtol=0, atol=1e-8
    )
    assert torch.equal(found.bias, start.bias)
    assert (
        kl(alignment.fit_head(z, targets, start, LONG)(z), targets)
        < kl(found(z), targets)
        < kl(start(z), targets)
    )


def test_a_gram_fit_is_an_orthogonal_map_before_the_old_head():
    z, targets, start = problem()
    found = alignment.fit_gram(z, targets, start)
    matrix = torch.from_numpy(scipy.linalg.orthogonal_procrustes(start.weight, found.weight)[0]).T
    assert alignment.defect(matrix) < 1e-12
    torch.testing.assert_close(start(z @ matrix), found(z))


def test_a_gram_fit_undoes_a_rotation():
    z, _, start = problem()
    targets = start(z @ turned(5, 0.3)).softmax(-1)
    found = alignment.fit_gram(z, targets, start, LONG)
    assert kl(start(z), targets) > 0.1 and kl(found(z), targets) < 1e-6


def test_no_orthogonal_map_near_to_a_gram_fit_is_better():
    z, targets, start = problem()
    found = alignment.fit_gram(z, targets, start, LONG)
    best = kl(found(z), targets)
    assert all(
        kl(found(z @ turned(5, angle, seed)), targets) > best
        for angle in (0.003, 0.03)
        for seed in range(20)
    )


def test_a_batched_gram_fit_keeps_every_gram_matrix_and_reaches_the_single_losses():
    z, targets, start = problem(batch=(2,))
    found = alignment.fit_gram(z, targets, start, LONG)
    torch.testing.assert_close(
        found.weight @ found.weight.mT, (start.weight @ start.weight.T).expand(2, 3, 3)
    )
    for i in range(2):
        single = alignment.fit_gram(z[i], targets[i], start, LONG)
        assert kl(found(z)[i], targets[i]) == pytest.approx(kl(single(z[i]), targets[i]), abs=1e-6)


def test_orthonormal_rows_have_the_span_of_the_matrix_and_a_gradient_where_they_are_orthonormal():
    matrix = normal(2, 3, 5)
    found = alignment.orthonormal_rows(matrix)
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double().expand(2, 3, 3))
    torch.testing.assert_close(matrix @ found.mT @ found, matrix)
    assert torch.autograd.gradcheck(
        alignment.orthonormal_rows, torch.eye(3, 5).double().requires_grad_()
    )


def test_a_head_with_orthonormal_rows_can_be_fitted():
    z, targets, start = problem()
    start = Head(torch.eye(3, 5).double(), start.bias)
    assert kl(alignment.fit_gram(z, targets, start)(z), targets) < kl(start(z), targets)


def test_batched_gram_fits_are_the_single_fits():
    z, targets, start = problem(inputs=8, batch=(2,))
    found = alignment.fit_gram(z, targets, start, Plan(20)).weight
    for i in range(2):
        torch.testing.assert_close(
            alignment.fit_gram(z[i], targets[i], start, Plan(20)).weight, found[i]
        )


@pytest.mark.parametrize("width", [2, 5])
def test_a_head_with_dependent_rows_can_be_fitted(width):
    z, targets, start = problem(width=width)
    if width > 2:
        start = Head(start.weight[:1] * torch.tensor([[1.0], [-1], [0.5]]), start.bias)
    found = alignment.fit_gram(z, targets, start)
    torch.testing.assert_close(found.weight @ found.weight.T, start.weight @ start.weight.T)
    assert kl(found(z), targets) < kl(start(z), targets)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_the_nearest_orthogonal_matrix_is_the_polar_factor(shape):
    matrix = normal(2, *shape)
    for found, wanted in zip(alignment.nearest_orthogonal(matrix), matrix):
        torch.testing.assert_close(found, torch.from_numpy(scipy.linalg.polar(wanted.numpy())[0]))


# Maps in closed form


Z, TARGET = normal(30, 4, seed=1) + 2, normal(30, 4, seed=2) - 1


def centred(x):
    return x - x.mean(0)


def trained(name, z=Z, target=TARGET):
    return alignment.error(FREEDOMS[name].fit(z, target, 0.0)(z), target)


def test_the_rotation_is_scipys():
    expected, _ = scipy.linalg.orthogonal_procrustes(Z, TARGET)
    found = alignment.rotation(Z, TARGET, centred=False)
    torch.testing.assert_close(found.matrix, torch.from_numpy(expected), **CLOSE)
    assert not found.shift.any()
    torch.testing.assert_close(FREEDOMS["rotation alone"].fit(Z, TARGET, 0.0), found)


def test_the_rotation_with_a_shift_and_the_similarity_are_scipys_on_centred_features():
    expected, scale = scipy.linalg.orthogonal_procrustes(centred(Z), centred(TARGET))
    factors = {alignment.rotation: 1, alignment.similarity: scale / centred(Z).square().sum()}
    for fit, factor in factors.items():
        found = fit(Z, TARGET)
        torch.testing.assert_close(found.matrix, factor * torch.from_numpy(expected), **CLOSE)
        torch.testing.assert_close(found(Z).mean(0), TARGET.mean(0))


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("nothing", lambda z: z),
        ("translation", lambda z: z + normal(4)),
        ("scale", lambda z: z * normal(4) + normal(4, seed=5)),
        ("rotation alone", lambda z: z @ orthogonal(4)),
        ("rotation", lambda z: z @ orthogonal(4) + normal(4)),
        ("similarity", lambda z: 3 * z @ orthogonal(4) + normal(4)),
        ("linear", lambda z: z @ normal(4, 4) + normal(4)),
    ],
)
def test_each_family_finds_a_map_of_its_own(name, plant):
    found, fresh = FREEDOMS[name].fit(Z, plant(Z), 0.0), normal(9, 4, seed=9)
    torch.testing.assert_close(found(fresh), plant(fresh), **CLOSE)


def test_with_few_inputs_the_rotation_turns_only_what_it_saw_and_is_still_the_best():
    z, target = normal(3, 10, seed=1), normal(3, 10, seed=2)
    found = alignment.rotation(z, target, centred=False).matrix
    unseen = torch.from_numpy(scipy.linalg.null_space(torch.cat([z, target]).numpy())).T
    assert unseen.shape == (4, 10) and alignment.defect(found) < 1e-12
    torch.testing.assert_close(unseen @ found, unseen, **CLOSE)
    scipys = torch.from_numpy(scipy.linalg.orthogonal_procrustes(z, target)[0])
    assert alignment.error(z @ found, target) == pytest.approx(
        alignment.error(z @ scipys, target), rel=1e-6
    )
    # Of all the best, this is the one nearest to the identity.
    eye = torch.eye(10).double()
    assert (found - eye).norm() < (scipys - eye).norm() - 0.1


@pytest.mark.parametrize("ridge", [0.1, 10, 1000])
def test_no_orthogonal_matrix_beats_the_rotation_at_what_it_minimises(ridge):
    weight, eye = ridge * Z.square().mean(), torch.eye(4).double()

    def objective(r):
        return float((Z @ r - TARGET).square().sum() + weight * (r - eye).square().sum())

    found = alignment.rotation(Z, TARGET, ridge, centred=False).matrix
    near = [found @ turned(4, angle, seed) for angle in (1e-3, 1e-2, 0.1) for seed in range(20)]
    assert objective(found) < min(
        map(objective, near + [orthogonal(4, seed) for seed in range(50)] + [eye])
    )


def test_the_linear_map_is_least_squares():
    expected = torch.linalg.lstsq(torch.cat([Z, torch.ones(30, 1)], 1), TARGET).solution
    found = alignment.linear(Z, TARGET)
    torch.testing.assert_close(torch.cat([found.matrix, found.shift[None]]), expected, **CLOSE)


def test_each_scale_is_a_line_through_one_feature():
    found = alignment.scaling(Z, TARGET)
    for i in range(4):
        x, y = Z[:, i], TARGET[:, i]
        slope = float(torch.cov(torch.stack([x, y]))[0, 1] / x.var())
        assert float(found.matrix[i, i]) == pytest.approx(slope)
        assert float(found.shift[i]) == pytest.approx(float(y.mean() - slope * x.mean()))
    assert torch.equal(found.matrix, found.matrix.diag().diag())


def test_the_ridge_of_a_shift_counts_inputs_that_are_in_place():
    there = normal(6, 4)
    both = alignment.translation(torch.cat([Z, there]), torch.cat([TARGET, there]))
    torch.testing.assert_close(alignment.translation(Z, TARGET, 6), both)


def test_the_ridge_of_scales_and_matrices_counts_inputs_that_are_in_place():
    a, b = centred(Z), centred(TARGET)
    there = (5 * a.square().mean()).sqrt() * torch.eye(4).double()
    z, target = torch.cat([a, there]), torch.cat([b, there])
    torch.testing.assert_close(
        alignment.linear(Z, TARGET, 5).matrix, torch.linalg.lstsq(z, target).solution
    )
    lines = [torch.linalg.lstsq(z[:, i : i + 1], target[:, i : i + 1]).solution for i in range(4)]
    torch.testing.assert_close(
        alignment.scaling(Z, TARGET, 5).matrix.diag(), torch.cat(lines).flatten()
    )


@pytest.mark.parametrize("name", FREEDOMS)
def test_a_huge_ridge_leaves_nothing_but_the_shift_of_the_means(name):
    found = FREEDOMS[name].fit(Z, TARGET, 1e9)
    torch.testing.assert_close(found.matrix, torch.eye(4).double(), **CLOSE)
    moves = name in ("scale", "rotation", "similarity", "linear")
    torch.testing.assert_close(found.shift, moves * (TARGET.mean(0) - Z.mean(0)), rtol=0, atol=1e-5)


def test_free_numbers_at_width_two_by_hand():
    # A rotation of the plane is one angle.
    assert {name: freedom.parameters(2) for name, freedom in FREEDOMS.items()} == {
        "nothing": 0,
        "translation": 2,
        "scale": 4,
        "rotation alone": 1,
        "rotation": 3,
        "similarity": 4,
        "linear": 6,
    }


@pytest.mark.parametrize("inputs", [3, 30])
@pytest.mark.parametrize(
    "names",
    [
        ("nothing", "translation", "rotation", "similarity", "linear"),
        ("translation", "scale", "linear"),
        ("nothing", "rotation alone", "rotation"),
    ],
)
def test_more_freedom_never_fits_worse(names, inputs):
    errors = [trained(name, Z[:inputs], TARGET[:inputs]) for name in names]
    assert all(more <= less + 1e-7 for less, more in zip(errors, errors[1:]))


# Measures


def test_the_error_of_the_mean_is_one_and_of_the_exact_answer_zero():
    assert alignment.error(TARGET.mean(0).expand_as(TARGET), TARGET) == pytest.approx(1)
    assert alignment.error(TARGET, TARGET) == 0
    assert alignment.error(torch.tensor([[1.0], [1]]), torch.tensor([[0.0], [2]])) == 1
    assert alignment.error(torch.tensor([[1.0], [4]]), torch.tensor([[0.0], [2]])) == 2.5


def test_the_defect_is_that_of_the_singular_values():
    assert alignment.defect(orthogonal(6)) < 1e-12
    assert alignment.defect(2 * torch.eye(5).double()) == pytest.approx(3)
    values = torch.linalg.svdvals(normal(6, 6))
    assert alignment.defect(normal(6, 6)) == pytest.approx(
        float((values.square() - 1).square().mean().sqrt())
    )


def test_likeness_is_the_normalised_hsic_of_gram_matrices():
    a, b = normal(12, 3), normal(12, 5, seed=1) + 1
    centre = torch.eye(12).double() - 1 / 12

    def hsic(x, y):
        return float(torch.trace(x @ x.T @ centre @ y @ y.T @ centre))

    assert alignment.likeness(a, b) == pytest.approx(
        hsic(a, b) / math.sqrt(hsic(a, a) * hsic(b, b))
    )
    assert alignment.likeness(a, a) == pytest.approx(1)
    assert alignment.likeness(3 * a @ orthogonal(3) + 1, b) == pytest.approx(
        alignment.likeness(a, b)
    )


def test_shared_neighbours_are_what_a_loop_gives():
    a, b = normal(15, 3), normal(15, 3) + normal(15, 3, seed=1)

    def nearest(z, i):
        return set(
            sorted((j for j in range(15) if j != i), key=lambda j: math.dist(z[i], z[j]))[:4]
        )

    expected = sum(len(nearest(a, i) & nearest(b, i)) for i in range(15)) / (4 * 15)
    assert 0.2 < expected < 0.9
    assert alignment.shared_neighbours(a, b, 4) == pytest.approx(expected)


def test_a_turned_copy_has_the_same_neighbours():
    a = normal(50, 3)  # enough rows for torch's fast distances
    assert (
        alignment.shared_neighbours(a, a)
        == alignment.shared_neighbours(a, 2 * a @ orthogonal(3) + 1)
        == 1
    )


def test_shuffling_keeps_the_entries_and_loses_their_places():
    state = {"a": normal(5, 7), "b": normal(9, seed=1), "c": torch.tensor(3)}
    before = {key: value.clone() for key, value in state.items()}
    found, again, other = (alignment.shuffled(state, seed) for seed in (0, 0, 1))
    for key, value in state.items():
        assert torch.equal(value, before[key]) and torch.equal(found[key], again[key])
        assert found[key].shape == value.shape and found[key].dtype == value.dtype
        assert torch.equal(found[key].flatten().sort().values, value.flatten().sort().values)
    assert not any(torch.equal(found[key], given[key]) for key in "ab" for given in (state, other))


# Suites


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    content = tiny.vit_suite(folder)
    far = {"data": "pets.npz", "classes": ["x", "y"], "head": "far.safetensors"}
    tiny.states.save({"head.weight": torch.ones(2, 6)}, folder / "far.safetensors")
    return suites.load_suite(
        str(tiny.write_manifest(folder, content | {"out_of_domain": {"far": far}}))
    )


def test_features_are_the_embeddings_on_the_unit_sphere(suite):
    inputs = suite.task("pets").inputs["test"]
    found = protocols.head_features(suite, suite.base, inputs, "cpu")
    embeddings = suite.backbone.embed(suite.base, inputs).double()
    assert found.dtype == torch.float64
    torch.testing.assert_close(
        found, embeddings / embeddings.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-6
    )


def test_features_keep_their_length_where_the_backbone_says_so():
    net, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double(), normal(6, 3)
    suite = suites.Suite("s", Plain(net, 2), net.state_dict(), {}, {})
    torch.testing.assert_close(
        protocols.head_features(suite, suite.base, x, "cpu"), net(x).detach()
    )


def test_the_head_answers_as_the_suite(suite):
    for task in ("pets", "birds"):
        inputs = suite.task(task).inputs["test"]
        z, head = (
            protocols.head_features(suite, suite.experts[task], inputs, "cpu"),
            protocols.Bench(suite).head(task),
        )
        expected = suite.logits(task, suite.backbone.embed(suite.experts[task], inputs))
        torch.testing.assert_close(head(z).float(), expected, rtol=1e-5, atol=1e-5)
        assert head(z).argmax(1).tolist() == expected.argmax(1).tolist()


def test_the_head_of_words_is_the_experts_own():
    class Words(Plain):
        def word_head(self, state, words):
            return {"weight": state["0.weight"], "bias": torch.zeros(len(words))}

    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    expert = {key: value + 1 for key, value in net.state_dict().items()}
    task = suites.Task("t", ("a", "b", "c"), None, {}, {})
    suite = suites.Suite("s", Words(net, 3), net.state_dict(), {"t": expert}, {"t": task})
    assert torch.equal(protocols.Bench(suite).head("t").weight, expert["0.weight"].double())


def test_a_task_without_an_expert_is_named(suite):
    with pytest.raises(
        ValueError, match="far has no teacher: the suite tiny has experts for pets, birds"
    ):
        protocols.Bench(suite).head("far")
    with pytest.raises(
        ValueError, match="pets has no teacher: the suite tiny has experts for no task"
    ):
        protocols.Bench(dataclasses.replace(suite, experts={})).head("pets")


def test_a_broken_state_is_refused(suite):
    broken = {key: value * math.nan for key, value in suite.base.items()}
    with pytest.raises(
        ValueError, match="the embeddings hold NaN or infinity, first in row 0; alignment needs"
    ):
        protocols.head_features(suite, broken, suite.task("pets").inputs["test"], "cpu")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_row_that_is_not_finite_is_named(value):
    z = normal(5, 3)
    alignment.check_finite(z, "mine")
    z[2, 1] = z[4, 0] = value
    with pytest.raises(ValueError, match="mine hold NaN or infinity, first in row 2;"):
        alignment.check_finite(z, "mine")
