"""M-Loss: how far a merged neuron is from the ensemble of the neurons it merges.

Definitions 3.3 to 3.6 of the M-Loss paper, our theorem on their expectation, and the Monte Carlo
estimator that checks it. Chapter 1 derives everything here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mergehelpers.device import all_finite, widest_float


@dataclass(frozen=True)
class Activation:
    """An elementwise activation `f`; `one_signed` says that f is convex or concave."""

    name: str
    f: Callable[[Tensor], Tensor]
    one_signed: bool

    def __call__(self, x: Tensor) -> Tensor:
        return self.f(x)

    @property
    def variation(self) -> float:
        """TV(f'), the total variation of the derivative over the real line."""
        return total_variation(self.f)


ACTIVATIONS = {
    a.name: a
    for a in (
        Activation("relu", F.relu, True),
        Activation("leaky_relu", partial(F.leaky_relu, negative_slope=0.01), True),
        Activation("elu", F.elu, True),
        Activation("softplus", F.softplus, True),
        Activation("gelu", F.gelu, False),
        Activation("gelu_tanh", partial(F.gelu, approximate="tanh"), False),
        Activation("silu", F.silu, False),
        Activation("quick_gelu", lambda x: x * torch.sigmoid(1.702 * x), False),
        Activation("tanh", torch.tanh, False),
        Activation("sigmoid", torch.sigmoid, False),
        Activation("identity", lambda x: x, True),
    )
}


def activation(name: str) -> Activation:
    """Look an activation up by name; raises `ValueError` that lists the known ones."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is {name!r}; allowed: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def derivative(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f'(x), elementwise, by automatic differentiation."""
    with torch.enable_grad():  # also within a caller's `no_grad`
        x = x.detach().clone().requires_grad_()
        return torch.autograd.grad(f(x).sum(), x)[0]


@cache
def total_variation(
    f: Callable[[Tensor], Tensor], reach: float = 40.0, points: int = 400_001
) -> float:
    """TV(f') over [-reach, reach]: the sum of |steps| of f' along a fine grid; a kink is a step."""
    grid = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return derivative(f, grid).diff().abs().sum().item()


def merging_weights(q: int, weights: Sequence[float] | Tensor | None = None) -> Tensor:
    """The merging weights alpha, shape (q,); 1/q each when none are given (Remark 1)."""
    if weights is None:
        return torch.full((q,), 1 / q, dtype=torch.float64)
    weights = torch.as_tensor(weights, dtype=torch.float64)
    if weights.shape != (q,):
        raise ValueError(f"{q} models need {q} merging weights, got shape {tuple(weights.shape)}")
    if not torch.isfinite(weights).all():
        raise ValueError(f"merging weights must be finite, got {weights.tolist()}")
    return weights


def _convex_weights(q, weights):
    weights = merging_weights(q, weights)
    if (weights < 0).any() or abs(weights.sum().item() - 1) > 1e-9:
        raise ValueError(f"the theorem needs weights >= 0 with sum 1, got {weights.tolist()}")
    return weights


def discrepancy(h: Tensor, f: Callable, weights=None) -> Tensor:
    """f(sum_p alpha_p h_p) - sum_p alpha_p f(h_p): merged minus ensemble, signed.

    `h` holds the pre-activations of the q models along its first axis; the result drops that axis.
    Raises `ValueError` when `h` holds NaN or infinity, or the weights do not fit.
    """
    if not all_finite(h):
        raise ValueError("the pre-activations hold NaN or infinity")
    alpha = merging_weights(len(h), weights).to(h)
    return f(torch.tensordot(alpha, h, 1)) - torch.tensordot(alpha, f(h), 1)


def node_mloss(h: Tensor, f: Callable, weights=None) -> Tensor:
    """M-Loss on node level (Eq. 4): (q, ..., nodes) -> (..., nodes)."""
    return discrepancy(h, f, weights).abs()


def layer_mloss(h: Tensor, f: Callable, weights=None) -> Tensor:
    """M-Loss on layer level (Eq. 3), the L2 norm over nodes: (q, ..., nodes) -> (...)."""
    return discrepancy(h, f, weights).norm(dim=-1)


def normalised_node_mloss(h: Tensor, f: Callable, weights=None, eps: float = 1e-4) -> Tensor:
    """Normalised M-Loss on node level (Eq. 7): (q, ..., nodes) -> (..., nodes)."""
    merged = torch.tensordot(merging_weights(len(h), weights).to(h), h, 1)
    return node_mloss(h, f, weights) / (f(merged).abs() + eps)


def normalised_layer_mloss(h: Tensor, f: Callable, weights=None, eps: float = 1e-4) -> Tensor:
    """Normalised M-Loss on layer level (Eq. 6): (q, ..., nodes) -> (...)."""
    merged = torch.tensordot(merging_weights(len(h), weights).to(h), h, 1)
    return layer_mloss(h, f, weights) / (f(merged).norm(dim=-1) + eps)


def covariance(q: int, sigma: float | Sequence[float], rho: float = 0.0) -> Tensor:
    """Covariance of q models' deviations: standard deviations `sigma`, one correlation `rho`."""
    sigma = torch.as_tensor(sigma, dtype=torch.float64)
    if sigma.shape not in ((), (q,)):
        raise ValueError(
            f"sigma has shape {tuple(sigma.shape)}; give one number, or one for each of {q} models"
        )
    if not ((sigma >= 0) & sigma.isfinite()).all():
        raise ValueError(f"sigma is {sigma.tolist()}; a standard deviation is finite and 0 or more")
    sigma = sigma.expand(q)
    if not (-1 / max(q - 1, 1) <= rho <= 1):
        raise ValueError(f"rho is {rho}; {q} models allow {-1 / max(q - 1, 1):.3g} to 1")
    return sigma.outer(sigma) * (rho + (1 - rho) * torch.eye(q, dtype=torch.float64))


def _shift(q, shift):
    mean = (
        torch.zeros(q, dtype=torch.float64)
        if shift is None
        else torch.as_tensor(shift, dtype=torch.float64)
    )
    if mean.shape != (q,) or not mean.isfinite().all():
        raise ValueError(f"shift is {mean.tolist()}; {q} models need {q} finite numbers")
    return mean


def spread(cov: Tensor, weights=None, shift=None) -> float:
    """V, the expected weighted variance of the deviations among the models.

    V = E sum_p alpha_p (d_p - d_mean)^2 = sum_{i<j} alpha_i alpha_j E (d_i - d_j)^2, for deviations
    of covariance `cov` (q, q) and mean `shift` (q,). Needs weights >= 0 with sum 1.
    """
    alpha = _convex_weights(len(cov), weights)
    mean = _shift(len(cov), shift)
    second = cov.double() + mean.outer(mean)
    return (alpha @ second.diagonal() - alpha @ second @ alpha).item()


def _check_half_range(k):
    if not 0 < k < math.inf:
        raise ValueError(f"k is {k}; the half-range must be above 0 and finite")


def expected_mloss(variation: float, k: float, v: float) -> float:
    """TV(f') V / (4k): the upper bound on the expected M-Loss, and its limit for small deviations.

    Theorem of Chapter 1, for x uniform on (-k, k). `variation` is TV(f'), `v` is `spread(...)`.
    """
    _check_half_range(k)
    if not v >= 0:
        raise ValueError(f"v is {v}; a spread is 0 or more")
    return variation * v / (4 * k)


def expected_mloss_relu(k: float, cov: Tensor, weights=None) -> float:
    """The exact expected M-Loss of ReLU at any k and any Gaussian deviations of mean zero.

    sum_p alpha_p A(s_p) - A(s_mean), where A(s) = E relu(x + s Z) and s_mean is the standard
    deviation of the weighted mean deviation (Chapter 1).
    """
    _check_half_range(k)
    alpha = _convex_weights(len(cov), weights)
    cov = cov.double()
    if k > 40 * cov.diagonal().max().sqrt().item():
        # The ends are out of reach: the limit is exact to rounding, and the difference below is
        # not.
        return expected_mloss(1.0, k, spread(cov, weights))

    def average_relu(variance: float) -> float:
        if variance <= 0:
            return k / 4
        ratio = k / math.sqrt(variance)
        inside = math.erf(ratio / math.sqrt(2))
        density = math.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
        return (inside * (k * k + variance) / 2 + math.sqrt(variance) * k * density) / (2 * k)

    each = sum(a * average_relu(v) for a, v in zip(alpha.tolist(), cov.diagonal().tolist()))
    return each - average_relu((alpha @ cov @ alpha).item())


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo mean with its standard error."""

    mean: float
    stderr: float
    draws: int

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """The normal interval mean +- z standard errors."""
        return self.mean - z * self.stderr, self.mean + z * self.stderr


def _square_root(cov: Tensor) -> Tensor:
    """R with R R^T = cov; by eigenvectors, since perfectly correlated models make cov singular."""
    if not torch.isfinite(cov).all() or not torch.allclose(cov, cov.T):
        raise ValueError(f"cov must be finite and symmetric, got {cov.tolist()}")
    values, vectors = torch.linalg.eigh(cov.double())
    if values.min() < -1e-9 * values.max().clamp(min=1):
        raise ValueError(f"cov is not a covariance: its smallest eigenvalue is {values.min():.3g}")
    return vectors * values.clamp(min=0).sqrt()


def _uniform(u: Tensor) -> Tensor:
    return 2 * u - 1


def _normal(u: Tensor) -> Tensor:
    return torch.special.ndtri(u)


STATISTICS = {"absolute": torch.abs, "squared": torch.square, "signed": lambda d: d}
BASES = {"uniform": _uniform, "normal": _normal}


def monte_carlo(
    f: Callable,
    k: float,
    cov: Tensor,
    *,
    weights=None,
    shift=None,
    statistic: str = "absolute",
    base: str | Callable[[Tensor], Tensor] = "uniform",
    draws: int = 1_000_000,
    seed: int = 0,
    sobol: bool = False,
    chunk: int = 2**17,
    device: torch.device | str = "cpu",
) -> Estimate:
    """Estimate the expected M-Loss of one node by simulation.

    x = k * base(u) with u uniform on (0, 1); `base` is "uniform" (x uniform on (-k, k)), "normal"
    (x normal with standard deviation k) or any inverse distribution function. The q deviations are
    normal with covariance `cov` and mean `shift`. `statistic` averages |D| ("absolute", the
    paper's), D^2 ("squared") or D ("signed").

    Works in chunks of `chunk` draws: memory does not grow with `draws`. With `sobol` the draws are
    sixteen independent scramblings of a Sobol sequence; their scatter gives the standard error.
    """
    _check_half_range(k)
    if statistic not in STATISTICS:
        raise ValueError(f"statistic is {statistic!r}; allowed: {', '.join(STATISTICS)}")
    if isinstance(base, str) and base not in BASES:
        raise ValueError(f"base is {base!r}; allowed: {', '.join(BASES)} or a function")
    for name, value, least in (("draws", draws, 32), ("chunk", chunk, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; allowed: a whole number, {least} or more")
    dtype, q = widest_float(device), len(cov)
    root = _square_root(cov).to(device, dtype)
    mean = _shift(q, shift).to(device, dtype)
    inverse = BASES[base] if isinstance(base, str) else base
    edge = torch.finfo(dtype).eps

    def inside(u: Tensor) -> Tensor:
        """Keep u off 0 and 1, where an inverse distribution function may be infinite."""
        return u.clamp(edge, 1 - edge)

    def values(u: Tensor, z: Tensor) -> Tensor:
        h = k * inverse(inside(u)) + mean.unsqueeze(1) + root @ z
        return STATISTICS[statistic](discrepancy(h, f, weights))

    if sobol:
        return _sobol(
            lambda u: values(u[0], torch.special.ndtri(inside(u[1:]))),
            q,
            draws,
            seed,
            chunk,
            device,
            dtype,
        )
    generator = torch.Generator(device).manual_seed(seed)
    count, total, squares = 0, 0.0, 0.0
    while count < draws:
        n = min(chunk, draws - count)
        u = torch.rand(n, generator=generator, device=device, dtype=dtype)
        z = torch.randn(q, n, generator=generator, device=device, dtype=dtype)
        d = values(u, z)
        # Chan's update keeps the sum of squared deviations exact to rounding at any number of
        # chunks.
        delta = d.mean().item() - (total / count if count else 0.0)
        squares += (d - d.mean()).square().sum().item() + (delta**2 * count * n / (count + n))
        total, count = total + d.sum().item(), count + n
    return Estimate(total / count, math.sqrt(squares / (count - 1) / count), count)


def _sobol(values, q, draws, seed, chunk, device, dtype, scramblings=16):
    means, n = [], 2 ** max(1, round(math.log2(draws / scramblings)))
    for r in range(scramblings):
        engine = torch.quasirandom.SobolEngine(q + 1, scramble=True, seed=seed * scramblings + r)
        total = 0.0
        for start in range(0, n, chunk):
            u = engine.draw(min(chunk, n - start), dtype=dtype).to(device)
            total += values(u.T).sum().item()
        means.append(total / n)
    means = torch.tensor(means, dtype=torch.float64)
    return Estimate(
        means.mean().item(), (means.std() / math.sqrt(scramblings)).item(), n * scramblings
    )
