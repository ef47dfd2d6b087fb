"""Eqs. 11 to 16 on toys: the objective, its slope, three Fisher matrices, Taylor's formula."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import optimize
from torch import Tensor

from mergebook.ch3.toys import (
    CLASSES,
    EACH,
    LABELS,
    REFERENCES,
    Toy,
    far,
    fisher_of,
    law_of,
    loss_of,
    named,
    scores_of,
    settle,
    slope_of,
    toys,
)

Table = pd.DataFrame
DRAWN = {"q": "the teacher", "p*": "the truth", "model": "the model"}  # who draws the label


def percent_apart(a: Tensor, b: Tensor) -> float:
    """Frobenius norm of a - b, in percent of that of b."""
    return 100 * float((a - b).norm() / b.norm())


def laws(toy: Toy, theta: Tensor, labels: str = "soft") -> dict[str, Tensor]:
    """The label law of each who may draw, in the order of `DRAWN`."""
    return {"q": getattr(toy, labels), "p*": toy.truth, "model": toy.law(theta)}


def scene(seed: int) -> Table:
    """Medians over toys: the loss of base, average and experts on all tasks, in nats; how long task
    vectors are; and how many percent of the inputs the teacher gets wrong."""
    rows = []
    for toy in toys(seed):
        wrong = (toy.soft.argmax(1) != toy.truth.argmax(1)).double().mean()
        losses = {n: toy.loss(getattr(toy, n), toy.soft) for n in ("base", "average")}
        losses["experts"] = torch.stack([toy.loss(e, toy.soft) for e in toy.experts]).mean()
        moved = (toy.experts - toy.base).norm(dim=1).mean()
        numbers = losses | {"task vectors": moved, "teacher wrong, %": 100 * wrong}
        rows.append(named(toy) | {name: float(v) for name, v in numbers.items()})
    return pd.DataFrame(rows).drop(columns="toy").groupby(["kind", "tasks"], sort=False).median()


def slopes(seed: int, small: float = 1e-5) -> Table:
    """At the base of every toy: errors of what must be equal.

    `parts`: the loss, against the teacher's entropy plus the divergence; `automatic` and
    `differences`: Eq. 12's slope, against automatic differentiation and central differences.
    """
    rows = []
    for toy in toys(seed):
        p, q = toy.law(toy.base), toy.soft
        entropy, divergence = (-(q * q.log()).sum(1).mean(), (q * (q / p).log()).sum(1).mean())
        slope = slope_of(toy.scores, q)
        loss = partial(toy.loss, law=q)
        automatic = torch.func.grad(loss)(toy.base)
        moves = small * torch.eye(len(toy.base), dtype=torch.float64)
        at = torch.func.vmap(loss)
        differences = (at(toy.base + moves) - at(toy.base - moves)) / (2 * small)
        errors = {
            "parts": loss(toy.base) - entropy - divergence,
            "automatic": slope - automatic,
            "differences": slope - differences,
        }
        rows.append(named(toy) | {name: float(e.abs().max()) for name, e in errors.items()})
    return pd.DataFrame(rows)


def free_minima(seed: int, count: int = 2) -> Table:
    """Laws chosen freely for each input, to minimise Eq. 11: how far from the teacher's.

    `wrong` and `repeated`: the teacher's errors, and how many of them the minimiser repeats.
    """
    rows = []
    for toy in [t for t in far(seed) if t.kind == "network"][:count]:

        def value(z, toy=toy):
            free = torch.from_numpy(z).view(-1, CLASSES)
            loss = loss_of(lambda theta, x: theta, free, toy.x, toy.soft)
            slope = (free.softmax(1) - toy.soft).flatten().numpy()
            return len(toy.x) * loss.item(), slope

        start, options = np.zeros(toy.soft.numel()), {"ftol": 0, "gtol": 1e-7}
        found = optimize.minimize(value, start, jac=True, method="L-BFGS-B", options=options)
        best = torch.from_numpy(found.x).view(-1, CLASSES).softmax(1)
        wrong = toy.soft.argmax(1) != toy.truth.argmax(1)
        repeated = (best.argmax(1) == toy.soft.argmax(1))[wrong]
        gap = (best - toy.soft).abs().max().item()
        rows.append(named(toy) | {"gap": gap, "wrong": int(wrong.sum())})
        rows[-1] |= {"repeated": int(repeated.sum())}
    return pd.DataFrame(rows)


def fishers(seed: int) -> Table:
    """How far Fisher matrices are from the standard one, in percent of its norm, by who draws.

    `at`: the base; or `p = p*`, where the model is task 1's hidden network and the inputs are task
    1's.
    """
    rows = []
    for toy in far(seed):
        standard = fisher_of(toy.scores, toy.law(toy.base))
        for labels in LABELS:
            apart = percent_apart(fisher_of(toy.scores, getattr(toy, labels)), standard)
            rows.append(named(toy) | {"at": "base", "drawn": f"q, {labels}", "apart": apart})
        apart = percent_apart(fisher_of(toy.scores, toy.truth), standard)
        rows.append(named(toy) | {"at": "base", "drawn": "p*", "apart": apart})
        theta, first = toy.own[0], toy.x[:EACH]
        scores = scores_of(toy.net, theta, first)
        own = fisher_of(scores, law_of(toy.net, theta, first))
        apart = percent_apart(fisher_of(scores, toy.truth[:EACH]), own)
        rows.append(named(toy) | {"at": "p = p*", "drawn": "p*", "apart": apart})
    return pd.DataFrame(rows)


def true_matrices(seed: int) -> Table:
    """Eqs. 21 and 22: errors of symmetry, the lowest eigenvalue of A over its norm, and the
    difference of the Fisher matrix from a sum over labels written out."""
    rows = []
    for toy in toys(seed):
        P, F = (toy.experts - toy.base).T, fisher_of(toy.scores, toy.truth)
        A = P.T @ F @ P
        written = sum(
            toy.scores[:, y].T @ (toy.truth[:, y, None] * toy.scores[:, y]) for y in range(CLASSES)
        ) / len(toy.x)
        lowest = torch.linalg.eigvalsh((A + A.T) / 2)[0] / A.norm()
        errors = ((A - A.T).abs().max() / A.norm(), lowest, (written - F).abs().max())
        names = ("asymmetry", "lowest", "written")
        rows.append(named(toy) | dict(zip(names, map(float, errors))))
    return pd.DataFrame(rows)


def hessians(seed: int) -> Table:
    """How far Fisher matrices are from the Hessian, in percent, by reference and who draws.

    `at`: base, average, joint; `own task`: the first expert on its own inputs, where the model is
    the teacher.
    """
    rows = []
    for toy in far(seed):
        for labels in LABELS:
            law = getattr(toy, labels)
            joint = toy.joint if labels == "soft" else settle(toy, law)
            for at, theta in zip(REFERENCES, (toy.base, toy.average, joint)):
                scores, H = toy.scores_at(theta), toy.hessian(theta, law)
                for who, drawn in laws(toy, theta, labels).items():
                    apart = percent_apart(fisher_of(scores, drawn), H)
                    row = {"labels": labels, "at": at, "drawn": who, "apart": apart}
                    rows.append(named(toy) | row)
        first = Toy(toy.kind, toy.reach, 0, toy.x[:EACH], toy.truth, toy.own, toy.base, toy.experts)
        theta, q = toy.experts[0], toy.soft[:EACH]
        apart = percent_apart(fisher_of(first.scores_at(theta), q), first.hessian(theta, q))
        row = {"labels": "soft", "at": "own task", "drawn": "q", "apart": apart}
        rows.append(named(toy) | row)
    return pd.DataFrame(rows)


def expansions(seed: int) -> Table:
    """Taylor's formula from each reference to each expert, of the loss with soft labels.

    `slope over bend`: the dropped term over the quadratic one; then errors in percent of the true
    loss: of a constant; with the Hessian, without and with the slope; of Eq. 16; of Eq. 16 with
    slope, with y from the teacher and from the model. `improves`: whether the expert beats the
    reference.
    """
    rows = []
    for toy in toys(seed):
        for at in REFERENCES:
            theta = getattr(toy, at)
            scores = toy.scores_at(theta)
            g, H = slope_of(scores, toy.soft), toy.hessian(theta, toy.soft)
            F, standard = (fisher_of(scores, law) for law in (toy.soft, toy.law(theta)))
            start = toy.loss(theta, toy.soft)
            for k, expert in enumerate(toy.experts):
                v, true = expert - theta, toy.loss(expert, toy.soft)
                first, bend, of_q, of_p = (g @ v, *(v @ M @ v / 2 for M in (H, F, standard)))
                guesses = {
                    "constant": start,
                    "Hessian": start + bend,
                    "Hessian, slope": start + first + bend,
                    "Eq. 16": start + of_q,
                    "slope": start + first + of_q,
                    "slope, y from the model": start + first + of_p,
                }
                errors = {n: 100 * float(abs(x - true) / true) for n, x in guesses.items()}
                row = {"at": at, "expert": k, "slope over bend": float(abs(first / bend))}
                row |= {"slope": float(g.norm()), "improves": bool(true < start)}
                rows.append(named(toy) | row | {f"error, {n}": e for n, e in errors.items()})
    return pd.DataFrame(rows)


def ellipses(seed: int, points: int = 241) -> Table:
    """Where v'Mv = 1 in the plane of two task vectors, for four matrices at base and joint."""
    toy = next(t for t in far(seed) if t.kind == "network")
    plane = torch.linalg.qr((toy.experts - toy.base)[:2].T).Q
    angle = torch.linspace(0, 2 * torch.pi, points, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()])
    ring, parts = plane @ circle, []
    for at in ("base", "joint"):
        theta = getattr(toy, at)
        scores = toy.scores_at(theta)
        matrices = {"Hessian": toy.hessian(theta, toy.soft)}
        for who, law in laws(toy, theta).items():
            matrices[f"y from {DRAWN[who]}"] = fisher_of(scores, law)
        for name, M in matrices.items():
            x, y = circle * (ring * (M @ ring)).sum(0).clamp(min=1e-3).rsqrt()
            parts.append(pd.DataFrame({"at": at, "matrix": name, "x": x.numpy(), "y": y.numpy()}))
    return pd.concat(parts, ignore_index=True)


def along(seed: int, points: int = 60) -> Table:
    """The loss on the way from the base through each expert, as it is and as quadratics say."""
    toy = next(t for t in far(seed) if t.kind == "network")
    t, parts = torch.linspace(0, 1.25, points, dtype=torch.float64), []
    g, start = slope_of(toy.scores, toy.soft), toy.loss(toy.base, toy.soft)
    F, standard = (fisher_of(toy.scores, law) for law in (toy.soft, toy.law(toy.base)))
    for k, expert in enumerate(toy.experts):
        v = expert - toy.base
        true = torch.stack([toy.loss(toy.base + s * v, toy.soft) for s in t])
        curves = {
            "true loss": true,
            "Eq. 16": start + t**2 * (v @ F @ v) / 2,
            "with slope, y from the model": start + t * (g @ v) + t**2 * (v @ standard @ v) / 2,
        }
        parts += [
            pd.DataFrame({"expert": k + 1, "curve": name, "way": t.numpy(), "loss": values.numpy()})
            for name, values in curves.items()
        ]
    return pd.concat(parts, ignore_index=True)
