"""Simulations of one node: the theorem, its edges, and the paper's printed constants."""

import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mergehelpers import mloss
from mergehelpers.mloss import Activation, covariance

NAMES = ("relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "quick_gelu", "tanh")
CASES = {
    "two models": {"cov": covariance(2, 1.0)},
    "three": {"cov": covariance(3, 1.0)},
    "eight": {"cov": covariance(8, 1.0)},
    "weights .7 .3": {"cov": covariance(2, 1.0), "weights": [0.7, 0.3]},
    "variances .2 .8": {"cov": covariance(2, [0.2, 0.8])},
    "correlation .9": {"cov": covariance(2, 1.0, rho=0.9)},
    "mean shift .8": {"cov": covariance(2, 1.0), "shift": [0.0, 0.8]},
    "three, all at once": {
        "cov": covariance(3, [0.2, 0.5, 0.7], rho=0.6),
        "weights": [0.5, 0.3, 0.2],
        "shift": [0.1, 0.0, -0.2],
    },
}
COUNTS = (2, 3, 4, 8, 20, 64)
# Section 3 of the paper asks for k >> sigma; both readings of the ReLU print are tried.
PRINTED = {
    ("relu", "σ²/√(2πk), as typeset"): lambda k, s: s**2 / math.sqrt(2 * math.pi * k),
    ("relu", "σ²/(√(2π) k)"): lambda k, s: s**2 / (math.sqrt(2 * math.pi) * k),
    ("gelu", "σ²/(4k)"): lambda k, s: s**2 / (4 * k),
}
PLACES = ((10, 0.1), (10, 1), (100, 1), (1000, 10))  # (k, sigma)


def scaled(case: dict, size: float) -> dict:
    """The same case with every deviation multiplied by `size`."""
    shift = [size * s for s in case["shift"]] if "shift" in case else None
    return dict(case, cov=size**2 * case["cov"], shift=shift)


def small_for(f: Activation) -> float:
    """Large deviations where the theorem is exact, small ones where it is a limit."""
    return 1.0 if f.one_signed else 0.1


def ratio(f: Activation, case: dict, k: float, seed: int, device: str, draws: int = 2**17):
    """Measured over predicted expected M-Loss, and its standard error."""
    estimate = mloss.monte_carlo(f, k, **case, draws=draws, seed=seed, device=device, sobol=True)
    predicted = mloss.expected_mloss(f.variation, k, mloss.spread(**case))
    return estimate.mean / predicted, estimate.stderr / predicted


def theorem(seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """Measured over predicted loss for every activation and case, at k = 10."""
    rows = [
        (name, label, *ratio(f, scaled(case, small_for(f)), 10.0, seed, device))
        for name in NAMES
        for f in [mloss.activation(name)]
        for label, case in CASES.items()
    ]
    return pd.DataFrame(rows, columns=["activation", "case", "ratio", "stderr"])


def many_models(seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """Measured over predicted loss for q independent models, q up to 64."""
    rows = [
        (name, q, *ratio(f, {"cov": covariance(q, small_for(f))}, 10.0, seed, device))
        for name in ("relu", "gelu")
        for f in [mloss.activation(name)]
        for q in COUNTS
    ]
    return pd.DataFrame(rows, columns=["activation", "q", "ratio", "stderr"])


def other_laws(seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """Base pre-activations that are not uniform: measured over ½ V ∫ p |df'|, three models."""
    laws = {  # name: (inverse distribution function, density)
        "normal": (torch.special.ndtri, lambda t: torch.exp(-t * t / 2) / math.sqrt(2 * math.pi)),
        "logistic": (torch.logit, lambda t: torch.exp(-t) / (1 + torch.exp(-t)) ** 2),
        "Gumbel": (lambda u: -torch.log(-torch.log(u)), lambda t: torch.exp(-t - torch.exp(-t))),
    }
    fine, cov, rows = torch.linspace(-12, 12, 240_001, dtype=torch.float64), covariance(3, 0.1), []
    for name in ("relu", "gelu", "silu", "tanh"):
        f = mloss.activation(name)
        steps = mloss.derivative(f, fine).diff().abs()  # |df'| on the grid
        for law, (inverse, density) in laws.items():
            mass = (steps * density((fine[1:] + fine[:-1]) / 2)).sum().item()
            predicted = mloss.spread(cov) / 2 * mass
            e = mloss.monte_carlo(
                f, 1.0, cov, base=inverse, draws=2**18, seed=seed, sobol=True, device=device
            )
            rows.append((name, law, e.mean / predicted, e.stderr / predicted))
    return pd.DataFrame(rows, columns=["activation", "law", "ratio", "stderr"])


def beyond(seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """Activations whose f' has no bounded variation on the line: measured over the local limit.

    Part 1 of the theorem says nothing of them; with deviations that are small beside k the limit,
    with the variation of f' over (-k, k), holds all the same.
    """
    k, rows = 10.0, []
    for name, f in (("squared ReLU", lambda z: F.relu(z) ** 2), ("sine", torch.sin)):
        e = mloss.monte_carlo(
            f, k, covariance(2, 0.05), draws=2**18, seed=seed, sobol=True, device=device
        )
        grid = torch.linspace(-k, k, 400_001, dtype=torch.float64)
        variation = mloss.derivative(f, grid).diff().abs().sum().item()
        predicted = mloss.expected_mloss(variation, k, mloss.spread(covariance(2, 0.05)))
        rows.append((name, variation, e.mean / predicted, e.stderr / predicted))
    return pd.DataFrame(rows, columns=["activation", "variation on (-k, k)", "ratio", "stderr"])


def slow(seed: int = 0, draws: int = 1_000_000) -> pd.DataFrame:
    """Where the limit is still far: kinks and bends at σ = 0.05, heavy tails at k = 10, σ = 1."""
    smooth = {"selu": F.selu, "softsign": F.softsign, "hard swish": F.hardswish, "gelu": F.gelu}
    rows = []
    for name, f in smooth.items():
        case = {"cov": covariance(2, 0.05)}
        e = mloss.monte_carlo(f, 10.0, **case, draws=2**18, seed=seed, sobol=True)
        predicted = mloss.expected_mloss(mloss.total_variation(f), 10.0, mloss.spread(**case))
        rows.append((name, "Gaussian, σ = 0.05", e.mean / predicted, e.stderr / predicted))
    rng = np.random.default_rng(seed)
    for degrees in (5, 3, 2.2):
        tail = rng.standard_t(degrees, (2, draws)) / math.sqrt(degrees / (degrees - 2))
        h = rng.uniform(-10, 10, draws) + tail
        d = mloss.node_mloss(torch.from_numpy(h), F.relu)
        predicted = mloss.expected_mloss(1.0, 10.0, 0.5)
        error = d.std().item() / math.sqrt(draws)
        rows.append(
            (
                "relu",
                f"Student, {degrees:g} degrees, σ = 1",
                d.mean().item() / predicted,
                error / predicted,
            )
        )
    return pd.DataFrame(rows, columns=["activation", "deviations", "ratio", "stderr"])


def not_jointly(seed: int = 0, draws: int = 400_000) -> pd.DataFrame:
    """Deviations Z and ±Z with a random sign: each is Gaussian, the pair is not.

    Columns: `k`, and what the exact formula for ReLU, which needs a joint Gaussian, gives over what
    is measured.
    """
    rng, rows = np.random.default_rng(seed), []
    for k in (0.5, 1.0, 10.0):
        z, sign = rng.standard_normal(draws), rng.choice([-1.0, 1.0], draws)
        h = torch.from_numpy(rng.uniform(-k, k, draws) + np.stack([z, sign * z]))
        measured = mloss.node_mloss(h, F.relu).mean().item()
        rows.append((k, mloss.expected_mloss_relu(k, covariance(2, 1.0)) / measured))
    return pd.DataFrame(rows, columns=["k", "formula over measured"])


def edges(seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """Measured over predicted loss of ReLU and GELU on a grid of k and σ."""
    rows = [
        (name, k, s, focused(mloss.activation(name), k, s, seed, device))
        for name in ("relu", "gelu")
        for k in (1.0, 3.0, 10.0, 30.0, 100.0)
        for s in (0.1, 0.3, 1.0, 3.0, 10.0)
    ]
    return pd.DataFrame(rows, columns=["activation", "k", "σ", "ratio"])


def focused(f: Activation, k: float, sigma: float, seed: int = 0, device: str = "cpu") -> float:
    """`ratio` of two models with all draws where the loss is: out of reach of kinks, D is 0."""
    reach = 8 * sigma + (0 if f.name in ("relu", "leaky_relu") else 8)
    return ratio(f, {"cov": covariance(2, sigma)}, min(k, reach), seed, device)[0]


def two_estimators(draws: int, seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """Section 4's model by random draws and by Sobol points; `z` is their difference in errors."""
    rows = []
    for name in ("relu", "leaky_relu", "gelu"):
        f, cov = mloss.activation(name), covariance(2, 1.0)
        for k in (3.0, 10.0, 30.0, 100.0):
            plain = mloss.monte_carlo(f, k, cov, draws=draws, seed=seed, device=device)
            even = mloss.monte_carlo(f, k, cov, draws=2**18, seed=seed, sobol=True, device=device)
            z = (plain.mean - even.mean) / math.hypot(plain.stderr, even.stderr)
            rows.append((name, k, even.mean, z))
    return pd.DataFrame(rows, columns=["activation", "k", "mean", "z"])


def constants(draws: int, seed: int = 0, device: str = "cpu") -> pd.DataFrame:
    """The printed values over the measured ones, with 95 % bounds, and ours over the measured."""
    rows = []
    for (name, formula), value in PRINTED.items():
        f = mloss.activation(name)
        for k, s in PLACES:
            cov = covariance(2, s)
            e = mloss.monte_carlo(f, k, cov, draws=draws, seed=seed, sobol=True, device=device)
            ours = mloss.expected_mloss(f.variation, k, mloss.spread(cov))
            low, high = e.interval()
            bounds = [value(k, s) / v for v in (e.mean, high, low)]
            rows.append((name, formula, k, s, *bounds, ours / e.mean))
    columns = ["activation", "printed", "k", "σ", "over measured", "low", "high", "ours"]
    return pd.DataFrame(rows, columns=columns)


def leaky_slopes(draws: int, seed: int = 0) -> pd.DataFrame:
    """LeakyReLU by slope: its loss against (1 - slope) times ReLU's, by draw and on average.

    Columns: `slope`; `k`, with σ = 1; `pathwise`, the largest difference from (1 - slope) times
    ReLU's loss in one draw; `constant`, k E|D| / (1 - slope).
    """
    g = torch.Generator().manual_seed(seed)
    h = 3 * torch.randn(2, 100_000, generator=g, dtype=torch.float64)
    rows = []
    for slope in (0.0, 0.01, 0.2, 0.5):
        f = partial(F.leaky_relu, negative_slope=slope)
        apart = mloss.node_mloss(h, f) - (1 - slope) * mloss.node_mloss(h, F.relu)
        e = mloss.monte_carlo(f, 10.0, covariance(2, 1.0), draws=draws, seed=seed, sobol=True)
        rows.append((slope, 10.0, apart.abs().max().item(), 10 * e.mean / (1 - slope)))
    return pd.DataFrame(rows, columns=["slope", "k", "pathwise", "constant"])


def curves(names: tuple[str, ...] = NAMES[:-1], seed: int = 0) -> pd.DataFrame:
    """k E|D| / σ² of two models against σ, with k out of reach."""
    rows = [
        (name, s, f.variation / 8 * focused(f, 1e9, s, seed))
        for name in names
        for f in [mloss.activation(name)]
        for s in np.geomspace(0.05, 10, 9)
    ]
    return pd.DataFrame(rows, columns=["activation", "σ", "constant"])


def units() -> pd.DataFrame:
    """ReLU at k/σ = 1,000 in three units: the expected loss, and the loss over σ."""
    rows = []
    for sigma in (0.001, 1.0, 1000.0):
        e = mloss.expected_mloss_relu(1000 * sigma, covariance(2, sigma))
        rows.append((1000 * sigma, sigma, e, e / sigma))
    return pd.DataFrame(rows, columns=["k", "σ", "loss", "loss over σ"])


def powers(seed: int = 0) -> pd.DataFrame:
    """The power of σ in the mean of |D| and of D², for ReLU and GELU."""
    sigmas, rows = np.array([0.05, 0.1, 0.2]), []
    for name in ("relu", "gelu"):
        for statistic in ("absolute", "squared"):
            means = [
                mloss.monte_carlo(
                    mloss.activation(name),
                    10.0,
                    covariance(2, s),
                    statistic=statistic,
                    draws=2**19,
                    seed=seed,
                    sobol=True,
                ).mean
                for s in sigmas
            ]
            rows.append((name, statistic, np.polyfit(np.log(sigmas), np.log(means), 1)[0]))
    return pd.DataFrame(rows, columns=["activation", "averaged", "power"])
