"""Eqs. 17 to 26 on toys: the programme for the coefficients, and what teachers' errors do to it."""

import itertools
import math
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch3.toys import (
    CLASSES,
    LABELS,
    REFERENCES,
    TASKS,
    Toy,
    far,
    fisher_of,
    named,
    slope_of,
    toys,
)

Table = pd.DataFrame
FINE = 40  # the true loss is tabulated on a triangular grid of the simplex
WAYS = ("equal", "Eq. 20", "slope", "slope, y from the model")
EPSILONS = (1e-4, 1e-3, 1e-2, 0.1, 0.3)


# ------------------------------------------------------------------------ the quadratic, Eqs. 17-19


def merge_differences(seed: int, points: int = 20) -> Table:
    """Eq. 18 at random coefficients on and off the simplex, over the length of the base.

    `left`: theta(lambda) - theta_0 - P lambda; `extra`: that minus (sum - 1) theta_0.
    """
    g, rows = torch.Generator().manual_seed(seed), []
    for toy in toys(seed):
        P, size = (toy.experts - toy.base).T, toy.base.norm()
        drawn = torch.rand(points, TASKS, generator=g, dtype=torch.float64)
        for on, lams in ((True, drawn / drawn.sum(1, keepdim=True)), (False, 2 * drawn)):
            left = lams @ toy.experts - toy.base - lams @ P.T
            extra = left - (lams.sum(1, keepdim=True) - 1) * toy.base
            numbers = {
                "left": left.norm(dim=1).max() / size,
                "extra": extra.norm(dim=1).max() / size,
            }
            rows.append(named(toy) | {"on": on} | {n: float(v) for n, v in numbers.items()})
    return pd.DataFrame(rows)


def products(seed: int) -> Table:
    """Eq. 19: A = P'FP against A from derivatives of the logits along task vectors.

    `error` and `asymmetry` over the norm of A; `lowest`: its lowest eigenvalue over its highest.
    """
    rows = []
    for toy in toys(seed):
        moves = toy.experts - toy.base
        at = partial(toy.net, x=toy.x)
        pushed = [torch.autograd.functional.jvp(at, toy.base, v)[1] for v in moves]
        pushed = torch.stack(pushed, dim=-1)
        centred = pushed - (toy.law(toy.base)[:, :, None] * pushed).sum(1, keepdim=True)
        by_products = torch.einsum("xy,xyj,xyk->jk", toy.soft, centred, centred) / len(toy.x)
        full = moves @ fisher_of(toy.scores, toy.soft) @ moves.T
        values = torch.linalg.eigvalsh((full + full.T) / 2)
        numbers = {
            "error": (by_products - full).abs().max() / full.norm(),
            "asymmetry": (full - full.T).abs().max() / full.norm(),
            "lowest": values[0] / values[-1],
        }
        rows.append(named(toy) | {n: float(v) for n, v in numbers.items()})
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------- the programme, Eq. 20


def programme(A: Tensor, b: Tensor | None = None) -> Tensor:
    """The minimum of b'lambda + lambda'A lambda / 2 on the simplex, by trying every support."""
    K = len(A)
    b, best = A.new_zeros(K) if b is None else b, (math.inf, A.new_zeros(K))
    supports = (itertools.combinations(range(K), n) for n in range(1, K + 1))
    for taking_part in itertools.chain(*supports):
        s = list(taking_part)
        system = A.new_ones(len(s) + 1, len(s) + 1)
        system[:-1, :-1], system[-1, -1] = A[s][:, s], 0
        right = torch.cat([-b[s], A.new_ones(1)])
        solution = torch.linalg.lstsq(system, right, driver="gelsd").solution[:-1]
        coefficients = A.new_zeros(K)
        coefficients[s] = solution
        value = (b @ coefficients + coefficients @ A @ coefficients / 2).item()
        if solution.min() > -1e-12 and value < best[0] - 1e-15:
            best = (value, coefficients)
    return best[1]


@lru_cache
def simplex(fine: int = FINE) -> Tensor:
    """A triangular grid of coefficients (points, 3)."""
    places = [(i, j, fine - i - j) for i in range(fine + 1) for j in range(fine + 1 - i)]
    return torch.tensor(places, dtype=torch.float64) / fine


def true_losses(toy: Toy, law: Tensor) -> Tensor:
    """The loss of every merge of the grid."""
    return torch.func.vmap(lambda c: toy.loss(c @ toy.experts, law))(simplex())


def quadratic(toy: Toy, law: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slope and matrices in the coefficients at a reference: b = P'g, A with y from `law` (Eq. 19),
    and A with y from the model."""
    scores, P = toy.scores_at(theta), (toy.experts - theta).T
    with_law, standard = (P.T @ fisher_of(scores, who) @ P for who in (law, toy.law(theta)))
    return P.T @ slope_of(scores, law), with_law, standard


def chosen(toy: Toy, law: Tensor, theta: Tensor) -> dict[str, Tensor]:
    """The coefficients of each of `WAYS`, from the quadratic at a reference."""
    b, A, standard = quadratic(toy, law, theta)
    equal = torch.full((TASKS,), 1 / TASKS, dtype=torch.float64)
    return dict(zip(WAYS, (equal, programme(A), programme(A, b), programme(standard, b))))


def regrets(seed: int) -> Table:
    """For each reference and each of `WAYS`: the true loss of the chosen merge minus the lowest on
    the simplex, in percent of the loss's range there.

    `least moved`: whether Eq. 20 gives most to the expert that moved least.
    """
    rows = []
    for toy in toys(seed):
        for labels in LABELS:
            law = getattr(toy, labels)
            losses = true_losses(toy, law)
            # Joint training is on soft labels, and takes a while for each toy.
            references = REFERENCES if labels == "soft" and toy.reach == "far" else ("base",)
            for at in references:
                theta = getattr(toy, at)
                A, found = quadratic(toy, law, theta)[1], chosen(toy, law, theta)
                row = named(toy) | {"labels": labels, "at": at}
                row["least moved"] = bool(found["Eq. 20"].argmax() == A.diagonal().argmin())
                for way, c in found.items():
                    over = toy.loss(c @ toy.experts, law) - losses.min()
                    row[way] = float(100 * over / (losses.max() - losses.min()))
                rows.append(row)
    return pd.DataFrame(rows)


def landscape(seed: int) -> tuple[Table, Table]:
    """A network's loss over the simplex, true and by two quadratics at the base, by `panel`; and
    the coefficients that each has lowest."""
    toy = next(t for t in far(seed) if t.kind == "network")
    (b, A, standard), start = quadratic(toy, toy.soft, toy.base), toy.loss(toy.base, toy.soft)
    grid = simplex()
    half = {n: (grid @ M * grid).sum(1) / 2 for n, M in (("q", A), ("model", standard))}
    panels = {
        "true loss": true_losses(toy, toy.soft),
        "Eq. 20": start + half["q"],
        "slope, y from the model": start + grid @ b + half["model"],
    }
    columns = [f"expert {k + 1}" for k in range(TASKS)]
    every = [
        pd.DataFrame(grid.numpy(), columns=columns).assign(panel=name, loss=values.numpy())
        for name, values in panels.items()
    ]
    best = {"true loss": grid[panels["true loss"].argmin()], **chosen(toy, toy.soft, toy.base)}
    lowest = pd.DataFrame({n: best[n].tolist() for n in panels}, index=columns).T
    return pd.concat(every, ignore_index=True), lowest


def one_weight() -> Table:
    """A model with one weight w and loss (w - 2)^2 / 2, base 0, experts 1 and 3: what is chosen."""
    P = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    found = {"Eq. 20": programme(P.T @ P), "slope": programme(P.T @ P, -2 * P[0])}
    return pd.DataFrame({n: v.tolist() for n, v in found.items()}, index=["expert 1", "expert 2"]).T


# -------------------------------------------------------------------- teachers' errors, Eqs. 23-26


def spectral(M: Tensor) -> Tensor:
    """The largest singular value."""
    return torch.linalg.matrix_norm(M, 2)


def tangent_floor(A: Tensor) -> Tensor:
    """mu: the smallest eigenvalue of A on the vectors with sum zero."""
    columns = torch.cat([A.new_ones(len(A), 1), torch.eye(len(A), dtype=A.dtype)[:, 1:]], 1)
    basis = torch.linalg.qr(columns).Q[:, 1:]
    return torch.linalg.eigvalsh(basis.T @ A @ basis)[0]


def variation(a: Tensor, b: Tensor) -> Tensor:
    """The total variation of two laws, for each input."""
    return (a - b).abs().sum(1) / 2


def noisy_teacher(truth: Tensor, eps: float, g: torch.Generator) -> Tensor:
    """A teacher at total variation `eps` from the truth on every input, or as far as it goes."""
    towards = torch.eye(CLASSES, dtype=torch.float64)[
        torch.randint(CLASSES, (len(truth),), generator=g)
    ]
    room = variation(towards, truth)[:, None].clamp(min=1e-12)
    return truth + (eps / room).clamp(max=1) * (towards - truth)


def perturbed(A: Tensor, A_law: Tensor) -> dict[str, Tensor]:
    """How far the solution of Eq. 20 moves from one matrix to another, its two bounds, and mu."""
    lam, lam_law, floor = programme(A), programme(A_law), tangent_floor(A)
    pull = (A_law - A) @ lam_law
    by_pull, by_norm = (pull - pull.mean()).norm() / floor, spectral(A_law - A) / floor
    return {"moved": (lam_law - lam).norm(), "by pull": by_pull, "by norm": by_norm, "mu": floor}


def random_teachers(seed: int) -> Table:
    """Random teachers at known distances from the truth, on far toys at the base.

    `Fisher`: the change of the Fisher matrix over B^2, in the spectral norm, and `Frobenius`;
    `matrix`: the change of A over its bound; `moved` and its bounds, of the solution of Eq. 20,
    `by eps` being eps B^2 |P|^2 / mu; `repaired`: the repaired programme's move over its bound.
    """
    g, rows = torch.Generator().manual_seed(seed), []
    for toy in far(seed):
        P, B = (toy.experts - toy.base).T, toy.scores.norm(dim=2).max()
        standard = P.T @ fisher_of(toy.scores, toy.law(toy.base)) @ P
        random = torch.rand(toy.truth.shape, generator=g, dtype=torch.float64)
        laws = {"toy's": toy.truth, "random": random / random.sum(1, keepdim=True)}
        for (name, truth), eps in itertools.product(laws.items(), EPSILONS):
            law = noisy_teacher(truth, eps, g)
            F, F_law = (fisher_of(toy.scores, who) for who in (truth, law))
            A, change = P.T @ F @ P, F_law - F
            b, b_law = (P.T @ slope_of(toy.scores, who) for who in (truth, law))
            moved = programme(standard, b_law) - programme(standard, b)
            numbers = {
                "mean TV": variation(law, truth).mean(),
                "Fisher": spectral(change) / B**2,
                "Frobenius": change.norm() / B**2,
                "matrix": spectral(P.T @ change @ P) / (spectral(P) ** 2 * spectral(change)),
                **perturbed(A, A + P.T @ change @ P),
                "repaired": moved.norm() * tangent_floor(standard) / (2 * eps * B * spectral(P)),
            }
            numbers["by eps"] = eps * B**2 * spectral(P) ** 2 / numbers["mu"]
            row = named(toy) | {"truth": name, "eps": eps}
            rows.append(row | {n: float(v) for n, v in numbers.items()})
    return pd.DataFrame(rows)


def own_teachers(seed: int) -> Table:
    """The toys' own teachers against the truth, at the base; `Fisher` is a relative change."""
    rows = []
    for toy, labels in itertools.product(far(seed), LABELS):
        law, P = getattr(toy, labels), (toy.experts - toy.base).T
        F, F_law = (fisher_of(toy.scores, who) for who in (toy.truth, law))
        apart = variation(law, toy.truth)
        numbers = {
            "mean TV": apart.mean(),
            "largest TV": apart.max(),
            "Fisher": spectral(F_law - F) / spectral(F),
            "moved": (programme(P.T @ F_law @ P) - programme(P.T @ F @ P)).norm(),
        }
        rows.append(named(toy) | {"labels": labels} | {n: float(v) for n, v in numbers.items()})
    return pd.DataFrame(rows)


def twins(seed: int, eps: float = 0.01) -> Table:
    """One expert made two, `delta` apart, with a teacher at `eps`: what Eq. 20 does.

    The twins are theta_1 plus and minus delta/2 times u; u is as long as the task vector, and
    orthogonal to task vectors for the true Fisher matrix: with true labels they deserve the same.
    """
    g, rows = torch.Generator().manual_seed(seed), []
    for toy in [t for t in far(seed) if t.kind == "network"]:
        F = fisher_of(toy.scores, toy.truth)
        F_law = fisher_of(toy.scores, noisy_teacher(toy.truth, eps, g))
        T = (toy.experts - toy.base)[:2].T
        u = torch.randn(len(F), generator=g, dtype=torch.float64)
        u = u - T @ torch.linalg.solve(T.T @ F @ T, T.T @ F @ u)
        u = u * T[:, 0].norm() / u.norm()
        for delta in np.logspace(0, -4, 9):
            P = torch.stack([T[:, 0] + delta / 2 * u, T[:, 0] - delta / 2 * u, T[:, 1]], dim=1)
            found = perturbed(P.T @ F @ P, P.T @ F_law @ P)
            rows.append(named(toy) | {"delta": delta} | {n: float(v) for n, v in found.items()})
    return pd.DataFrame(rows)
