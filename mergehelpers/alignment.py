"""Repairs between a merged encoder and the heads of its experts.

They are those of the FT-Classifier paper, and their rivals. Features are (inputs, width) and logits
(inputs, classes). Where a function says *batched*, leading dimensions hold independent problems,
such as several draws of few-shot samples, solved at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mergehelpers.device import all_finite
from mergehelpers.states import State


class Head(NamedTuple):
    """A linear classifier: `weight` (classes, width) and `bias` (classes,).

    Calling it gives logits.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return z @ self.weight.mT + self.bias.unsqueeze(-2)


class Map(NamedTuple):
    """An affine map of features: `matrix` (width, width), `shift` (width,).

    Calling it moves features (rows).
    """

    matrix: Tensor
    shift: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return z @ self.matrix + self.shift.unsqueeze(-2)


@dataclass(frozen=True)
class Plan:
    """How a repair is trained: full-batch Adam.

    The step size falls from `rate` to zero on a cosine.
    """

    steps: int = 150
    rate: float = 1e-2


def check_finite(z: Tensor, name: str) -> None:
    """Raise `ValueError` that names the first row of (inputs, width) with NaN or infinity."""
    if not all_finite(z):
        row = int((~z.isfinite()).any(-1).nonzero()[0, -1])
        raise ValueError(
            f"{name} hold NaN or infinity, first in row {row}; alignment needs finite numbers"
        )


def draw_shots(labels: Tensor, shots: int, classes: Sequence[str], seed: int) -> Tensor:
    """Indices of `shots` inputs of every class, (classes · shots,), in the order of the classes.

    Raises `ValueError` that names the class with fewer inputs.
    """
    if shots < 1:
        raise ValueError(f"shots is {shots}; allowed: a whole number, 1 or more")
    generator, chosen = torch.Generator().manual_seed(seed), []
    for number, name in enumerate(classes):
        there = (labels == number).nonzero().flatten()
        if len(there) < shots:
            raise ValueError(
                f"{shots} shots asked of the class {name!r}, "
                f"which has {len(there)} samples to draw from"
            )
        chosen.append(there[torch.randperm(len(there), generator=generator)[:shots]])
    return torch.cat(chosen)


def mean_distance(z: Tensor, anchors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The paper's KNN (Eq. 5): minus the mean distance to each class's anchors, (inputs, classes).

    `anchors` (anchors, width) with `labels` (anchors,). Raises `ValueError` for a class without
    anchors.
    """
    return -torch.cdist(z, anchors) @ _shares(labels, classes).to(z)


def prototype(z: Tensor, anchors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Minus the distance to the mean of each class's anchors, (inputs, classes).

    Raises as `mean_distance`.
    """
    return -torch.cdist(z, _shares(labels, classes).to(z).T @ anchors)


def vote(z: Tensor, anchors: Tensor, labels: Tensor, classes: int, neighbours: int = 5) -> Tensor:
    """Votes of the nearest anchors, (inputs, classes).

    Among equal counts the class with the nearest anchor leads.
    """
    nearest = torch.cdist(z, anchors).topk(min(neighbours, len(anchors)), largest=False).indices
    voices = one_hot(labels[nearest], classes).to(z)
    rank = torch.arange(voices.shape[1], dtype=z.dtype)
    return voices.sum(1) + (voices / (3 + rank[:, None])).amax(1)


def _shares(labels, classes):
    """One column a class: the share of each of its anchors in their mean."""
    members = one_hot(labels, classes)
    if not members.any(0).all():
        raise ValueError(
            f"class number {int(members.sum(0).argmin())} has no anchors; every class needs one"
        )
    return members / members.sum(0)


ANCHORED = {"mean distance (Eq. 5)": mean_distance, "prototype": prototype, "vote of 5": vote}


def divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean KL(targets || softmax(logits)) over inputs, batched.

    `targets` are probabilities, or one-hot labels.
    """
    return (torch.xlogy(targets, targets) - targets * logits.log_softmax(-1)).sum(-1).mean(-1)


def minimise(
    start: Mapping[str, Tensor], loss: Callable[[dict[str, Tensor]], Tensor], plan: Plan
) -> dict[str, Tensor]:
    """The tensors at the end of training; `loss` gives one number a batched problem.

    Raises `ValueError` when it is no longer finite.
    """
    moving = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(moving.values(), lr=plan.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    for step in range(plan.steps):
        value = loss(moving).sum()
        if not value.isfinite():
            raise ValueError(
                f"the repair diverged: its loss is {value.item()} at step {step} "
                f"with rate {plan.rate}; try a smaller rate"
            )
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    if bad := [name for name, value in moving.items() if not all_finite(value)]:
        raise ValueError(
            f"the repair diverged: {bad[0]} is not finite after {plan.steps} steps "
            f"with rate {plan.rate}; try a smaller rate"
        )
    return {name: value.detach() for name, value in moving.items()}


def fit_head(
    z: Tensor, targets: Tensor, start: Head, plan: Plan = Plan(), only_bias: bool = False
) -> Head:
    """FT-Classifier, or Aligned W' (Eq. 8): train the head to answer as the targets do. Batched.

    Training begins at `start`. `targets` are the teacher's probabilities; one-hot labels make it
    few-shot logistic regression. `only_bias` leaves the weight as it is.
    """
    start = _spread(start, z)
    moving = {"bias": start.bias} | ({} if only_bias else {"weight": start.weight})
    found = minimise(moving, lambda p: divergence(Head(**(start._asdict() | p))(z), targets), plan)
    return Head(**(start._asdict() | found))


def fit_map(
    z: Tensor, targets: Tensor, head: Head, plan: Plan = Plan(), penalty: float = 0.0
) -> Map:
    """Aligned M (Eq. 7), from the identity; regularised (Eq. 9) with `penalty` > 0. Batched.

    The penalty is `penalty` times the sum of absolute entries of MᵀM - I, as Eq. 9 prints it.
    """
    eye = torch.eye(z.shape[-1], dtype=z.dtype)

    def loss(p):
        away = (p["matrix"].mT @ p["matrix"] - eye).abs().sum((-2, -1)) if penalty else 0.0
        return divergence(head(z @ p["matrix"]), targets) + penalty * away

    matrix = minimise({"matrix": eye.expand(*z.shape[:-2], *eye.shape)}, loss, plan)["matrix"]
    return Map(matrix, torch.zeros(matrix.shape[:-1], dtype=z.dtype))


def fit_scale(z: Tensor, targets: Tensor, head: Head, plan: Plan = Plan()) -> Map:
    """One factor and one shift a feature, trained like Aligned M. Batched.

    This is what the gain and bias of a last LayerNorm could do.
    """
    zeros = torch.zeros(*z.shape[:-2], z.shape[-1], dtype=z.dtype)
    found = minimise(
        {"gain": zeros, "shift": zeros},
        lambda p: divergence(
            head(z * (1 + p["gain"]).unsqueeze(-2) + p["shift"].unsqueeze(-2)), targets
        ),
        plan,
    )
    return Map(torch.diag_embed(1 + found["gain"]), found["shift"])


def fit_gram(z: Tensor, targets: Tensor, start: Head, plan: Plan = Plan()) -> Head:
    """The best head W' with W'W'ᵀ = WWᵀ and the bias of `start`. Batched.

    This is all that an exactly orthogonal M can do to a head. With W = USVᵀ it is US times a matrix
    of orthonormal rows, and training starts at Vᵀ.
    """
    start = _spread(start, z)
    u, sizes, rows = torch.linalg.svd(start.weight, full_matrices=False)
    kept = u * sizes.unsqueeze(-2)
    free = minimise(
        {"rows": rows},
        lambda p: divergence(Head(kept @ orthonormal_rows(p["rows"]), start.bias)(z), targets),
        plan,
    )
    return Head(kept @ orthonormal_rows(free["rows"]), start.bias)


def orthonormal_rows(matrix: Tensor) -> Tensor:
    """L⁻¹·matrix with LLᵀ = matrix·matrixᵀ: orthonormal rows of the same span. Batched.

    It has a gradient everywhere. (The gradient of the polar factor, by SVD, does not exist where
    singular values are equal.)
    """
    return torch.linalg.solve_triangular(
        torch.linalg.cholesky(matrix @ matrix.mT), matrix, upper=False
    )


def _spread(head, z):
    """One copy of the head for each batched problem."""
    return Head(*(value.expand(*z.shape[:-2], *value.shape[-n:]) for value, n in zip(head, (2, 1))))


def nearest_orthogonal(matrix: Tensor) -> Tensor:
    """The polar factor UVᵀ of `matrix`, batched.

    It is the matrix with orthonormal rows (or columns) that is nearest to `matrix`.
    """
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u @ vt


def nothing(z: Tensor, target: Tensor, ridge: float = 0.0) -> Map:
    """The identity: no repair."""
    return Map(torch.eye(z.shape[1], dtype=z.dtype), torch.zeros(z.shape[1], dtype=z.dtype))


def translation(z: Tensor, target: Tensor, ridge: float = 0.0) -> Map:
    """The shift that brings the mean of `z` to the mean of `target`.

    It is shrunk as if `ridge` inputs were in place already.
    """
    share = len(z) / (len(z) + ridge)
    return Map(torch.eye(z.shape[1], dtype=z.dtype), share * (target.mean(0) - z.mean(0)))


def _weight(a, ridge):
    """The ridge in the units of the inputs.

    It is never zero, so that what no input shows stays as it is.
    """
    return max(ridge, 1e-9 * len(a)) * a.square().mean().clamp_min(1e-30)


def scaling(z: Tensor, target: Tensor, ridge: float = 0.0) -> Map:
    """A factor and a shift for each feature: least squares, the factor shrunk towards 1."""
    a, b = z - z.mean(0), target - target.mean(0)
    weight = _weight(a, ridge)
    factor = ((a * b).sum(0) + weight) / (a.square().sum(0) + weight)
    return Map(factor.diag(), target.mean(0) - z.mean(0) * factor)


def rotation(z: Tensor, target: Tensor, ridge: float = 0.0, centred: bool = True) -> Map:
    """Orthogonal Procrustes: R = UVᵀ of the SVD of zᵀ·target + w·I.

    R minimises ‖zR - target‖² + w‖R - I‖², w > 0. With `centred`, z and target lose their means
    before, and the shift puts them right after. With fewer inputs than dimensions the best R is not
    unique: a tiny w picks the one nearest to the identity, which turns nothing that the inputs did
    not show (partial Procrustes).
    """
    a, b = (z - z.mean(0), target - target.mean(0)) if centred else (z, target)
    eye = torch.eye(z.shape[1], dtype=z.dtype)
    matrix = nearest_orthogonal(a.T @ b + _weight(a, ridge) * eye)
    return Map(
        matrix,
        target.mean(0) - z.mean(0) @ matrix if centred else torch.zeros(z.shape[1], dtype=z.dtype),
    )


def similarity(z: Tensor, target: Tensor, ridge: float = 0.0) -> Map:
    """A rotation, one factor for all features, and a shift."""
    turn = rotation(z, target, ridge).matrix
    a, b = (z - z.mean(0)) @ turn, target - target.mean(0)
    weight = _weight(a, ridge)
    matrix = turn * ((a * b).sum() + weight) / (a.square().sum() + weight)
    return Map(matrix, target.mean(0) - z.mean(0) @ matrix)


def linear(z: Tensor, target: Tensor, ridge: float = 0.0) -> Map:
    """Least squares over all matrices, shrunk towards the identity, and a shift."""
    a, b = z - z.mean(0), target - target.mean(0)
    weight = _weight(a, ridge) * torch.eye(z.shape[1], dtype=z.dtype)
    matrix = torch.linalg.solve(a.T @ a + weight, a.T @ b + weight)
    return Map(matrix, target.mean(0) - z.mean(0) @ matrix)


@dataclass(frozen=True)
class Freedom:
    """A family of maps: how it is fitted, and how free it is.

    Its fit is `(features, target features, ridge) -> Map`; its free numbers are those at a given
    width.
    """

    fit: Callable[[Tensor, Tensor, float], Map]
    parameters: Callable[[int], int]


FREEDOMS = {
    "nothing": Freedom(nothing, lambda d: 0),
    "translation": Freedom(translation, lambda d: d),
    "scale": Freedom(scaling, lambda d: 2 * d),
    "rotation alone": Freedom(
        lambda z, target, ridge=0.0: rotation(z, target, ridge, centred=False),
        lambda d: d * (d - 1) // 2,
    ),
    "rotation": Freedom(rotation, lambda d: d * (d - 1) // 2 + d),
    "similarity": Freedom(similarity, lambda d: d * (d - 1) // 2 + d + 1),
    "linear": Freedom(linear, lambda d: d * d + d),
}


def error(mapped: Tensor, target: Tensor) -> float:
    """‖mapped - target‖² over ‖target - its mean‖².

    0 is exact, 1 is as good as answering the mean.
    """
    return float((mapped - target).square().sum() / (target - target.mean(0)).square().sum())


def defect(matrix: Tensor) -> float:
    """How far from orthogonal: ‖MᵀM - I‖_F / √width.

    This is the root mean square of the singular values' squares minus 1.
    """
    return float(
        (matrix.T @ matrix - torch.eye(len(matrix), dtype=matrix.dtype)).norm() / len(matrix) ** 0.5
    )


def likeness(a: Tensor, b: Tensor) -> float:
    """Linear CKA of two sets of features of the same inputs, from 0 to 1.

    See Kornblith et al. (2019).
    """
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a.T @ b).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm()))


def shared_neighbours(a: Tensor, b: Tensor, neighbours: int = 10) -> float:
    """Mean share of an input's nearest neighbours that two sets of features have in common.

    Both are features of the same inputs. Raises `ValueError` for as many neighbours as inputs, or
    more.
    """
    if neighbours >= len(a):
        raise ValueError(f"neighbours is {neighbours}; allowed: less than the {len(a)} inputs")

    def nearest(z):
        distance = torch.cdist(z, z)
        return one_hot(
            distance.fill_diagonal_(torch.inf).topk(neighbours, largest=False).indices, len(z)
        ).sum(1)

    return float((nearest(a) * nearest(b)).sum(1).to(a).mean() / neighbours)


def shuffled(state: Mapping[str, Tensor], seed: int) -> State:
    """A control: the entries of every tensor in a random order.

    So their sizes stay and what they learnt goes.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        key: value.reshape(-1)[torch.randperm(value.numel(), generator=generator)].reshape(
            value.shape
        )
        for key, value in state.items()
    }
