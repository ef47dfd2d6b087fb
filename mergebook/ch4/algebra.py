"""The algebra of averages: outputs, templates, largest entries, variances (evidence page 04a)."""

import itertools
import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mergebook.page import OpenSuite

Table = pd.DataFrame
CURVES = {
    "identity": lambda u: u,
    "ReLU": torch.relu,
    "GELU": nn.functional.gelu,
    "tanh": torch.tanh,
}
EXPERTS, DRAWS = "experts", "independent draws"


def _draw(seed: int):
    """A function that draws standard normal numbers of a shape, in double precision."""
    g = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)


# ------------------------------------------------------------------------------ weights and outputs


def _through(layers: list[Tensor], x: Tensor) -> Tensor:
    for w in layers:
        x = w @ x
    return x


def linear_gaps(seed: int, width: int = 32, depths: int = 6, repeats: int = 20) -> Table:
    """Relative size of (averaged network minus mean of outputs) for pairs of linear networks.

    `differ`: in all layers, or in one. `formula`: with two layers, how far the difference is from
    -(V1 - V2)(W1 - W2)x/4, relative to the mean of outputs; NaN at other depths.
    """
    draw, rows = _draw(seed), []
    for depth, _ in itertools.product(range(1, depths + 1), range(repeats)):
        first, second = (
            [draw(width, width) / math.sqrt(width) for _ in range(depth)] for _ in range(2)
        )
        x = draw(width, 50)
        for differ, other in (("all", second), ("one", [*first[:-1], second[-1]])):
            mean = (_through(first, x) + _through(other, x)) / 2
            gap = _through([(a + b) / 2 for a, b in zip(first, other)], x) - mean
            row = {"depth": depth, "differ": differ, "gap": gap.norm(), "formula": math.nan}
            if depth == 2:
                changes = [a - b for a, b in zip(first, other)]
                row["formula"] = (gap + _through(changes, x) / 4).norm() / mean.norm()
            rows.append(row | {"gap": gap.norm() / mean.norm()})
    table = pd.DataFrame(rows)
    return table.astype({"gap": float, "formula": float})


def activation_gaps(seed: int, pairs: int = 20_000) -> Table:
    """Activation of the mean minus mean of activations, for pairs of normal pre-activations.

    `highest` gap; `agreeing`: the largest gap where signs agree; `unequal`: percent of the pairs
    whose gap is not zero.
    """
    u, rows = _draw(seed)(2, pairs), []
    agree = (u[0] > 0) == (u[1] > 0)
    for name, f in CURVES.items():
        gap = f(u.mean(0)) - f(u).mean(0)
        unequal = 100 * (gap.abs() > 1e-9).double().mean()
        numbers = (gap.max(), gap[agree].abs().max(), unequal)
        rows.append((name, *map(float, numbers)))
    return pd.DataFrame(rows, columns=["activation", "highest", "agreeing", "unequal"])


# ---------------------------------------------------------------------------------------- templates


def angles(seed: int, templates: int = 20, inputs: int = 200, size: int = 3072) -> Table:
    """Scores as angles, a row a template.

    `error`: the score against lengths times the cosine that the triangle of template and input has,
    relative to the lengths. `reached`: the cosine of the best input of length 1 that small steps
    uphill find; `other`: the largest cosine of the inputs drawn.
    """
    draw = _draw(seed)
    w, x = draw(templates, size), draw(inputs, size)
    a, b = w.norm(dim=1)[:, None], x.norm(dim=1)[None]
    c = torch.cdist(w, x, compute_mode="donot_use_mm_for_euclid_dist")
    error = (((a**2 + b**2 - c**2) / 2 - w @ x.T) / (a * b)).abs().max(1).values
    best = nn.functional.normalize(draw(templates, size), dim=1)
    for _ in range(100):
        best = best.requires_grad_()
        (slope,) = torch.autograd.grad((w * best).sum(), best)
        best = nn.functional.normalize((best + 0.1 * slope).detach(), dim=1)
    table = {
        "template": range(templates),
        "error": error,
        "reached": nn.functional.cosine_similarity(w, best),
        "other": (w @ x.T / (a * b)).max(1).values,
    }
    return pd.DataFrame(table)


def wrapped(side: int = 32, colours: int = 3, classes: int = 100) -> Table:
    """The weights of a linear classifier as images, in two layouts.

    `place`: every entry is where a count by hand puts it; `back`: flattened, the images are the
    weights again.
    """
    weight = nn.Linear(side * side * colours, classes).weight.detach()
    entry, rows = np.arange(weight.shape[1]), []
    for layout, axes in (("colour, row, column", (2, 0, 1)), ("row, column, colour", (0, 1, 2))):
        shape = tuple((side, side, colours)[axis] for axis in axes)
        image = weight.reshape(classes, *shape)
        strides = (shape[1] * shape[2], shape[2], 1)
        at = tuple(entry // stride % n for stride, n in zip(strides, shape))
        place = bool((image.numpy()[(slice(None), *at)] == weight.numpy()).all())
        back = torch.equal(image.flatten(1), weight)
        rows.append((layout, *weight.shape, math.prod(shape), place, back))
    return pd.DataFrame(rows, columns=["layout", "rows", "inputs", "pixels", "place", "back"])


# ------------------------------------------------------------------------------ sizes and variances


def _peak(w: Tensor) -> float:
    return float(w.abs().max())


def largest_entries(seed: int, pairs: int = 300, width: int = 40) -> Table:
    """Largest absolute entry of the average of two matrices, the mean of both, and the larger.

    `pair`: independent matrices of different size, or equal ones.
    """
    draw, rows = _draw(seed), []
    for i in range(pairs):
        a, b = draw(width, width), draw(width, width) * (1 + i % 3)
        for pair, (u, v) in (("independent", (a, b)), ("equal", (a, a))):
            peaks = _peak(u), _peak(v)
            rows.append((pair, _peak((u + v) / 2), sum(peaks) / 2, max(peaks)))
    return pd.DataFrame(rows, columns=["pair", "average", "mean", "larger"])


def _pair(a: Tensor, b: Tensor) -> dict[str, float]:
    a, b = a.flatten(), b.flatten()
    average = (a + b) / 2
    of = [float(x.var(correction=0)) for x in (a, b)]
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    mean = sum(of) / 2
    return {
        "rho": covariance / math.sqrt(of[0] * of[1]),
        "ratio": float(average.var(correction=0)) / mean,
        "formula": (sum(of) + 2 * covariance) / 4 / mean,
        "peak": _peak(average) / max(_peak(a), _peak(b)),
        "mean gap": abs(float(average.mean() - (a.mean() + b.mean()) / 2)),
    }


def weight_pairs(r: OpenSuite, seed: int) -> Table:
    """Every weight matrix of every two experts, and of two independent draws of its shape.

    `rho`: correlation of the two; `ratio`: variance of the average over the mean variance, and by
    the `formula` with covariance; `peak`: largest entry of the average over the larger of both;
    `mean gap`: mean of the average minus average of the means.
    """
    draw, rows = _draw(seed), []
    names = [n for n, w in r.base.items() if w.is_floating_point() and w.ndim > 1]
    for name, (a, b) in itertools.product(names, itertools.combinations(r.experts.values(), 2)):
        u, v = (state[name].cpu().double() for state in (a, b))
        if u.var() > 0 and v.var() > 0:
            rows.append({"of": EXPERTS, "layer": name} | _pair(u, v))
    for name in names:
        shape = r.base[name].shape
        rows.append({"of": DRAWS, "layer": name} | _pair(draw(*shape), draw(*shape)))
    return pd.DataFrame(rows)


def correlated(seed: int, size: int = 200_000, steps: int = 9) -> Table:
    """Variance of the average of two normal columns over theirs, by their correlation."""
    draw = _draw(seed)
    base, other = draw(size), draw(size)
    rows = []
    for rho in np.linspace(-1, 1, steps):
        second = rho * base + math.sqrt(max(0, 1 - rho**2)) * other
        rows.append((rho, float(((base + second) / 2).var() / base.var())))
    return pd.DataFrame(rows, columns=["rho", "ratio"])


def variance_grid(steps: int = 21) -> Table:
    """All combinations of two standard deviations in [0, 1] and a correlation: three variances.

    `quarter` of the sum; of the `average`, with the correlation; the `larger`.
    """
    deviations, rhos = np.linspace(0, 1, steps), np.linspace(-1, 1, steps)
    s, t, rho = (x.ravel() for x in np.meshgrid(deviations, deviations, rhos))
    table = {
        "quarter": (s**2 + t**2) / 4,
        "average": (s**2 + t**2 + 2 * rho * s * t) / 4,
        "larger": np.maximum(s, t) ** 2,
    }
    return pd.DataFrame(table)


def scaled_variances(r: OpenSuite, factors: tuple[int, ...] = (2, 50, 100)) -> Table:
    """The variance of every weight matrix of the first expert, times c over the original."""
    rows = []
    for name, w in next(iter(r.experts.values())).items():
        if w.is_floating_point() and w.ndim > 1 and w.double().var() > 0:
            w = w.cpu().double()
            rows += [(name, c, float((c * w).var() / w.var())) for c in factors]
    return pd.DataFrame(rows, columns=["layer", "factor", "ratio"])
