"""M-Loss, its expectation and its estimator, against hand work, quadrature and simulation."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from mergehelpers import mloss

# ------------------------------------------------------------------------- definitions, by hand

SIMPLE = {
    "relu": lambda x: max(x, 0.0),
    "tanh": math.tanh,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
}


def preactivations(q=3, batch=4, nodes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(q, batch, nodes, generator=generator, dtype=torch.float64)


def node_by_hand(h, f, weights):
    """|f(weighted mean) - weighted mean of f|, one entry at a time; also f(weighted mean)."""
    q, batch, nodes = h.shape
    loss, merged = np.zeros((batch, nodes)), np.zeros((batch, nodes))
    for b in range(batch):
        for n in range(nodes):
            merged[b, n] = f(sum(weights[p] * h[p, b, n].item() for p in range(q)))
            ensemble = sum(weights[p] * f(h[p, b, n].item()) for p in range(q))
            loss[b, n] = abs(merged[b, n] - ensemble)
    return loss, merged


@pytest.mark.parametrize("weights", [None, [0.5, 0.3, 0.2], [1.0, 1.0, -0.5]])
@pytest.mark.parametrize("name", SIMPLE)
def test_mloss_of_nodes_and_layers_by_hand(name, weights):
    """Weights need not sum to one, nor be positive, for the loss itself."""
    h, f = preactivations(), mloss.activation(name)
    loss, merged = node_by_hand(h, SIMPLE[name], weights or [1 / 3] * 3)
    layer, size = np.sqrt((loss**2).sum(1)), np.sqrt((merged**2).sum(1))
    np.testing.assert_allclose(mloss.node_mloss(h, f, weights), loss, atol=1e-14)
    np.testing.assert_allclose(mloss.layer_mloss(h, f, weights), layer, atol=1e-14)
    np.testing.assert_allclose(
        mloss.normalised_node_mloss(h, f, weights), loss / (abs(merged) + 1e-4), atol=1e-10
    )
    np.testing.assert_allclose(
        mloss.normalised_layer_mloss(h, f, weights), layer / (size + 1e-4), atol=1e-12
    )


@given(a=st.floats(-1e3, 1e3), b=st.floats(-1e3, 1e3))
def test_two_relus_lose_half_the_smaller_one_when_their_signs_differ(a, b):
    expected = min(abs(a), abs(b)) / 2 if a * b < 0 else 0.0
    h = torch.tensor([[a], [b]], dtype=torch.float64)
    assert mloss.node_mloss(h, mloss.activation("relu")).item() == pytest.approx(
        expected, abs=1e-12
    )


def test_signed_discrepancy_is_never_positive_for_a_convex_activation():
    """Jensen's inequality; and it is not always zero."""
    d = mloss.discrepancy(preactivations(batch=200), mloss.activation("relu"), [0.5, 0.3, 0.2])
    assert d.max() < 1e-12 and d.min() < -0.1


# --------------------------------------------------------------------- TV(f') for each activation

SLOPE = 0.01


def gelu_slope(x):
    return stats.norm.cdf(x) + x * stats.norm.pdf(x)


def silu_variation():
    """f' is largest where x tanh(x/2) = 2, and f'(-x) = 1 - f'(x): down, up and down again."""
    x = optimize.brentq(lambda x: x * np.tanh(x / 2) - 2, 1, 4)
    s = special.expit(x)
    return 4 * (s + x * s * (1 - s)) - 3


VARIATION = {
    "identity": 0.0,
    "relu": 1.0,
    "leaky_relu": 1 - SLOPE,
    "elu": 1.0,
    "softplus": 1.0,
    "gelu": 4 * gelu_slope(math.sqrt(2)) - 3,
    "silu": silu_variation(),
    "quick_gelu": silu_variation(),
    "tanh": 2.0,
    "sigmoid": 0.5,
}
FORMULA = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(0, x),
    "gelu": lambda x: x * stats.norm.cdf(x),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * special.expit(x),
    "quick_gelu": lambda x: x * special.expit(1.702 * x),
    "tanh": np.tanh,
    "sigmoid": special.expit,
}


def test_every_activation_has_its_variation_tested():
    assert set(mloss.ACTIVATIONS) == set(VARIATION) | set(FORMULA)


@pytest.mark.parametrize("name", VARIATION)
def test_variation_against_its_closed_form(name):
    assert mloss.activation(name).variation == pytest.approx(VARIATION[name], abs=1e-6)


@pytest.mark.parametrize("name", FORMULA)
def test_variation_against_the_integral_of_the_second_derivative(name):
    f, h = FORMULA[name], 1e-3
    x = np.linspace(-30, 30, 600_001)
    second = (f(x + h) - 2 * f(x) + f(x - h)) / h**2
    assert mloss.activation(name).variation == pytest.approx(
        integrate.simpson(abs(second), x=x), abs=2e-4
    )


@pytest.mark.parametrize("name", mloss.ACTIVATIONS)
def test_one_signed_means_convex_or_concave(name):
    """Then f' is monotone, so its variation is the difference of its values at the two ends."""
    ends = mloss.derivative(
        mloss.activation(name), torch.tensor([-40.0, 40.0], dtype=torch.float64)
    )
    monotone = abs(ends[1] - ends[0]).item() > mloss.activation(name).variation - 1e-6
    assert mloss.activation(name).one_signed == monotone


# ---------------------------------------------------------------------- random models of a node


@st.composite
def models(draw, largest=5):
    """Weights, covariance and shift of q models; some are exactly or nearly degenerate."""
    q = draw(st.integers(2, largest))
    numbers = st.floats(-1.5, 1.5)
    parts = draw(st.lists(st.floats(0.05, 1), min_size=q, max_size=q))
    factor = torch.tensor(
        draw(st.lists(numbers, min_size=q * q, max_size=q * q)), dtype=torch.float64
    )
    factor = factor.view(q, q)
    shift = torch.tensor(draw(st.lists(numbers, min_size=q, max_size=q)), dtype=torch.float64)
    return [part / sum(parts) for part in parts], factor @ factor.T, shift


@given(models())
def test_spread_equals_its_pairwise_form(model):
    weights, cov, shift = model
    pairs = sum(
        weights[i]
        * weights[j]
        * (cov[i, i] + cov[j, j] - 2 * cov[i, j] + (shift[i] - shift[j]) ** 2).item()
        for i in range(len(cov))
        for j in range(i)
    )
    assert mloss.spread(cov, weights, shift) == pytest.approx(pairs, abs=1e-10)


@given(models(), st.floats(-10, 10))
def test_spread_ignores_what_all_models_share(model, common):
    weights, cov, shift = model
    expected = mloss.spread(cov, weights, shift)
    assert mloss.spread(cov + common**2, weights, shift + common) == pytest.approx(
        expected, abs=1e-9
    )


def test_spread_is_the_expected_weighted_variance_of_samples():
    rng = np.random.default_rng(0)
    cov, mean, weights = (
        np.array([[1.0, 0.3, 0], [0.3, 2, -0.5], [0, -0.5, 0.5]]),
        [0.5, 0, -1],
        [0.2, 0.3, 0.5],
    )
    d = rng.multivariate_normal(mean, cov, size=200_000)
    values = ((d - (d @ weights)[:, None]) ** 2) @ weights
    spread = mloss.spread(torch.tensor(cov), weights, mean)
    assert abs(values.mean() - spread) < 4 * values.std() / math.sqrt(len(d))


@pytest.mark.parametrize("q", [2, 3, 8])
def test_spread_of_equal_models_has_the_textbook_factor(q):
    """V = sigma^2 (1 - 1/q)(1 - rho)."""
    cov = mloss.covariance(q, 1.5, rho=0.2)
    assert mloss.spread(cov) == pytest.approx(1.5**2 * (1 - 1 / q) * 0.8, rel=1e-12)


def test_covariance_entries_by_hand():
    expected = [[1.0, 0.5 * 2, 0.5 * 3], [1.0, 4, 3], [1.5, 3, 9]]
    np.testing.assert_allclose(mloss.covariance(3, [1, 2, 3], rho=0.5), expected, atol=1e-14)


# ----------------------------------------------------- expectations against numerical integration


def quadrature(f, k, cov, weights, shift=(0.0, 0.0), points=1601):
    """E|D| of two models for x uniform on (-k, k), as an integral over two variables.

    With m the weighted mean of the deviations and e their difference, the models sit at
    y + w2 e and y - w1 e for y = x + m. Given e, m is normal, so y has a density in closed form.
    """
    w = np.asarray(weights)
    cov, shift, contrast = np.asarray(cov), np.asarray(shift), np.array([1.0, -1.0])
    var_e, slope = contrast @ cov @ contrast, (w @ cov @ contrast) / (contrast @ cov @ contrast)
    s = math.sqrt(w @ cov @ w - slope**2 * var_e)
    sd = math.sqrt(var_e)
    mean_e = contrast @ shift
    e = np.linspace(mean_e - 9 * sd, mean_e + 9 * sd, points)[:, None]
    reach = k + 9 * (s + abs(slope) * sd) + np.abs(shift).max()
    y = np.linspace(-reach, reach, points)[None]
    from_mean = y - w @ shift - slope * (e - mean_e)
    density = (stats.norm.cdf((from_mean + k) / s) - stats.norm.cdf((from_mean - k) / s)) / (2 * k)
    loss = abs(f(y) - w[0] * f(y + w[1] * e) - w[1] * f(y - w[0] * e))
    over_y = integrate.trapezoid(loss * density, y, axis=1)
    return integrate.trapezoid(over_y * stats.norm.pdf(e[:, 0], mean_e, sd), e[:, 0])


SETTINGS = {
    "wide interval": (10.0, [[1.0, 0], [0, 1]], [0.5, 0.5]),
    "k equals sigma": (1.0, [[1.0, 0], [0, 1]], [0.5, 0.5]),
    "narrow interval": (0.2, [[1.0, 0], [0, 1]], [0.5, 0.5]),
    "correlated": (2.0, [[1.0, 0.6], [0.6, 1]], [0.5, 0.5]),
    "all unequal": (1.5, [[0.5, -0.4], [-0.4, 2]], [0.8, 0.2]),
}
settings_of_two = pytest.mark.parametrize("k, cov, weights", SETTINGS.values(), ids=SETTINGS)


@settings_of_two
def test_expected_mloss_of_relu_against_integration(k, cov, weights):
    exact = quadrature(lambda x: np.maximum(x, 0), k, cov, weights)
    assert mloss.expected_mloss_relu(k, torch.tensor(cov), weights) == pytest.approx(
        exact, rel=2e-4
    )


@settings_of_two
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.7, -0.4)], ids=["centred", "shifted"])
def test_simulated_gelu_against_integration(k, cov, weights, shift):
    """GELU is neither convex nor concave: no closed form, so this is the check at finite sigma."""
    exact = quadrature(FORMULA["gelu"], k, cov, weights, shift)
    f = mloss.activation("gelu")
    got = mloss.monte_carlo(f, k, torch.tensor(cov), weights=weights, shift=shift, draws=300_000)
    assert abs(got.mean - exact) < 4 * got.stderr
    assert got.stderr < 0.02 * exact


@pytest.mark.parametrize("sobol", [False, True])
@pytest.mark.parametrize(
    "q, sigma, rho, weights",
    [(2, 1.0, 0.0, None), (3, [0.5, 1.0, 2.0], 0.3, [0.5, 0.3, 0.2]), (8, 1.0, -0.1, None)],
)
@pytest.mark.parametrize("k", [0.3, 2.0, 10.0])
def test_expected_mloss_of_relu_against_simulation(k, q, sigma, rho, weights, sobol):
    cov = mloss.covariance(q, sigma, rho)
    got = mloss.monte_carlo(
        mloss.activation("relu"), k, cov, weights=weights, draws=100_000, seed=1, sobol=sobol
    )
    assert abs(got.mean - mloss.expected_mloss_relu(k, cov, weights)) < 4 * got.stderr


def test_relu_with_normal_input_has_the_textbook_mean():
    """Every pre-activation is normal then, and E relu(N(0, s^2)) = s / sqrt(2 pi)."""
    k, cov, weights = 2.0, mloss.covariance(3, [0.5, 1, 2], 0.3), [0.5, 0.3, 0.2]
    average = (cov.numpy() @ weights) @ weights
    mean = sum(a * math.sqrt(k**2 + v) for a, v in zip(weights, cov.diagonal().tolist()))
    exact = (mean - math.sqrt(k**2 + average)) / math.sqrt(2 * math.pi)
    got = mloss.monte_carlo(
        mloss.activation("relu"), k, cov, weights=weights, base="normal", draws=300_000
    )
    assert abs(got.mean - exact) < 4 * got.stderr


def test_base_may_be_any_inverse_distribution_function():
    """Laplace input: the ReLU integral over x is done by scipy, the rest in closed form."""

    def average(variance):
        s = math.sqrt(variance)
        return integrate.quad(
            lambda x: (
                stats.laplace.pdf(x, scale=2)
                * (x * stats.norm.cdf(x / s) + s * stats.norm.pdf(x / s))
            ),
            -60,
            60,
            limit=200,
        )[0]

    def inverse(u):
        return -torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs())

    got = mloss.monte_carlo(
        mloss.activation("relu"), 2.0, mloss.covariance(2, 1.0), base=inverse, draws=300_000
    )
    assert abs(got.mean - (average(1.0) - average(0.5))) < 4 * got.stderr


# ------------------------------------------------------------------------------------ the theorem


@given(
    models(), st.sampled_from(sorted(mloss.ACTIVATIONS)), st.floats(0.3, 10), st.integers(0, 10**6)
)
def test_the_theorem_bounds_the_expectation_everywhere(model, name, k, seed):
    weights, cov, shift = model
    f = mloss.activation(name)
    got = mloss.monte_carlo(f, k, cov, weights=weights, shift=shift, draws=20_000, seed=seed)
    bound = mloss.expected_mloss(f.variation, k, mloss.spread(cov, weights, shift))
    assert got.mean <= bound + 5 * got.stderr + 1e-9


@pytest.mark.parametrize(
    "name", [a.name for a in mloss.ACTIVATIONS.values() if a.name != "identity"]
)
def test_the_theorem_is_exact_in_its_limit(name):
    """Small deviations, unequal weights, correlation, a shift; k = 10 leaves out few bends."""
    f, k, cov, weights = (
        mloss.activation(name),
        10.0,
        0.03**2 * mloss.covariance(2, [1, 2], 0.3),
        [0.3, 0.7],
    )
    shift = torch.tensor([0.03, -0.01], dtype=torch.float64)
    got = mloss.monte_carlo(f, k, cov, weights=weights, shift=shift, draws=2**19, sobol=True)
    expected = mloss.expected_mloss(f.variation, k, mloss.spread(cov, weights, shift))
    assert abs(got.mean - expected) < 4 * got.stderr + 0.002 * expected
    assert got.stderr < 0.05 * expected


@pytest.mark.parametrize("sigma", [0.01, 1.0, 5.0])
def test_the_theorem_is_exact_for_relu_at_every_sigma_far_from_the_ends(sigma):
    k, cov = 12 * sigma, mloss.covariance(3, sigma, 0.2)
    expected = mloss.expected_mloss(1.0, k, mloss.spread(cov))
    assert mloss.expected_mloss_relu(k, cov) == pytest.approx(expected, rel=1e-9)


# ------------------------------------------------------------------------ the estimator can be
# trusted

RELU, COV, NAN = mloss.activation("relu"), mloss.covariance(2, 1.0), float("nan")
BROKEN = torch.tensor([[1.0, NAN], [0.0, 1.0]])


def simulate(**changes):
    arguments = {"k": 1.0, "cov": COV, "draws": 100} | changes
    return mloss.monte_carlo(RELU, arguments.pop("k"), arguments.pop("cov"), **arguments)


@pytest.mark.parametrize("sobol", [False, True])
def test_the_standard_error_is_honest(sobol):
    """Over many seeds the error in units of the standard error is like a standard normal number."""
    f, k, cov = mloss.activation("relu"), 2.0, mloss.covariance(2, 1.0)
    exact = mloss.expected_mloss_relu(k, cov)
    runs = [mloss.monte_carlo(f, k, cov, draws=4096, seed=seed, sobol=sobol) for seed in range(80)]
    z = np.array([(run.mean - exact) / run.stderr for run in runs])
    assert 0.7 < z.std(ddof=1) < 1.4
    assert abs(z.mean()) < 4 / math.sqrt(len(z))


def test_sobol_points_buy_precision():
    f, cov = mloss.activation("gelu"), mloss.covariance(2, 1.0)
    plain, sobol = (
        mloss.monte_carlo(f, 3.0, cov, draws=2**16, sobol=sobol) for sobol in (False, True)
    )
    assert plain.draws == sobol.draws == 2**16
    assert sobol.stderr < plain.stderr / 3


@pytest.mark.parametrize("statistic", ["absolute", "squared", "signed"])
@pytest.mark.parametrize("chunk", [1000, 7777, 2**17])
def test_chunks_add_up_to_one_pass(chunk, statistic):
    """The activation sees the ensemble's pre-activations; from those comes everything else."""
    seen = []

    def relu(h):
        seen.append(h.numpy())
        return h.clamp(min=0)

    weights, cov = np.array([0.5, 0.3, 0.2]), mloss.covariance(3, 1.0)
    got = mloss.monte_carlo(
        relu, 1.5, cov, weights=weights, statistic=statistic, draws=20_000, chunk=chunk
    )
    h = np.concatenate([h for h in seen if h.ndim == 2], axis=1)
    d = np.maximum(weights @ h, 0) - weights @ np.maximum(h, 0)
    values = {"absolute": abs(d), "squared": d**2, "signed": d}[statistic]
    assert got.draws == h.shape[1] == 20_000
    assert got.mean == pytest.approx(values.mean(), rel=1e-9)
    assert got.stderr == pytest.approx(values.std(ddof=1) / math.sqrt(len(values)), rel=1e-9)


@pytest.mark.parametrize("sobol", [False, True])
@pytest.mark.parametrize("chunk", [1000, 2**17])
def test_the_chunk_size_does_not_bias_the_estimate(chunk, sobol):
    k, cov = 2.0, mloss.covariance(2, 1.0)
    got = mloss.monte_carlo(
        mloss.activation("relu"), k, cov, draws=200_000, chunk=chunk, sobol=sobol
    )
    assert abs(got.mean - mloss.expected_mloss_relu(k, cov)) < 4 * got.stderr


def test_sobol_draws_are_the_same_in_any_chunks():
    def run(chunk):
        f, cov = mloss.activation("gelu"), mloss.covariance(2, 1.0)
        return mloss.monte_carlo(f, 2.0, cov, draws=2**14, sobol=True, chunk=chunk)

    small, large = run(100), run(2**17)
    assert small.mean == pytest.approx(large.mean, rel=1e-12)


@pytest.mark.parametrize("sobol", [False, True])
def test_the_seed_decides_the_estimate(sobol):
    def run(seed):
        return simulate(seed=seed, sobol=sobol)

    assert run(3) == run(3) != run(4)


def test_memory_does_not_grow_with_draws():
    """Twenty times the draws, held at once, would need 480 MB more."""
    code = """
from mergehelpers import device, mloss
def peak(draws):
    mloss.monte_carlo(mloss.activation("relu"), 1.0, mloss.covariance(2, 1.0), draws=draws)
    return device.peak_memory_gb()
print(-peak(10**6) + peak(2 * 10**7))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 <= float(run.stdout) < 0.15


def test_perfectly_correlated_models_lose_nothing():
    """Their covariance is singular; they move together."""
    cov = mloss.covariance(3, 1.0, rho=1.0)
    assert mloss.spread(cov) == pytest.approx(0, abs=1e-12)
    assert mloss.expected_mloss_relu(1.0, cov) == pytest.approx(0, abs=1e-12)
    assert mloss.monte_carlo(mloss.activation("gelu"), 1.0, cov, draws=10_000).mean < 1e-7


@pytest.mark.parametrize("sobol", [False, True])
def test_single_precision_gives_the_same_answer(monkeypatch, sobol):
    """What runs on a device without float64."""
    monkeypatch.setattr(mloss, "widest_float", lambda device: torch.float32)
    seen = []

    def relu(h):
        seen.append(h.dtype)
        return h.clamp(min=0)

    k, cov = 2.0, mloss.covariance(2, 1.0)
    got = mloss.monte_carlo(relu, k, cov, draws=100_000, sobol=sobol)
    assert set(seen) == {torch.float32}
    assert abs(got.mean - mloss.expected_mloss_relu(k, cov)) < 4 * got.stderr


class NothingWidened(torch.utils._python_dispatch.TorchDispatchMode):
    """Behaves like a device without float64: what is float32 cannot become float64."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        given = [a for a in args if isinstance(a, torch.Tensor)]
        if (
            given
            and given[0].dtype == torch.float32
            and getattr(out, "dtype", None) == torch.float64
        ):
            raise TypeError(f"{function} makes float64 of float32")
        return out


@pytest.mark.parametrize("sobol", [False, True])
def test_the_estimator_runs_where_float64_is_lacking(monkeypatch, sobol):
    monkeypatch.setattr(mloss, "widest_float", lambda device: torch.float32)
    shift = torch.tensor([0.5, -0.5], dtype=torch.float64)
    with NothingWidened():
        got = simulate(shift=shift, sobol=sobol)
    assert got.mean > 0


def test_single_precision_uniforms_at_an_end_stay_finite(monkeypatch):
    """A float32 uniform is 0 once in 2^24 draws, and a Sobol point may round to 1."""

    def zeros(n, dtype, **_):
        return torch.zeros(n, dtype=dtype)

    def nearly_ones(engine, n, dtype):
        return torch.full((n, engine.dimension), 1 - 2.0**-30, dtype=dtype)

    monkeypatch.setattr(mloss, "widest_float", lambda device: torch.float32)
    monkeypatch.setattr(torch, "rand", zeros)
    monkeypatch.setattr(torch.quasirandom.SobolEngine, "draw", nearly_ones)
    for sobol in (False, True):
        assert math.isfinite(simulate(base="normal", sobol=sobol).mean)


def test_an_interval_is_symmetric_about_the_mean():
    assert mloss.Estimate(2.0, 0.5, 100).interval(2) == (1.0, 3.0)


# -------------------------------------------------------------------------------------- bad input

BAD = {
    "unknown activation": (
        lambda: mloss.activation("rellu"),
        "'rellu'; allowed: relu, .*gelu, .*identity",
    ),
    "k zero": (lambda: simulate(k=0), "k is 0; .*above 0"),
    "k negative": (lambda: simulate(k=-2.5), "k is -2.5; .*above 0"),
    "k NaN": (lambda: simulate(k=NAN), "k is nan; .*above 0"),
    "k zero in the bound": (lambda: mloss.expected_mloss(1.0, 0, 1.0), "k is 0; .*above 0"),
    "k negative for ReLU": (lambda: mloss.expected_mloss_relu(-1, COV), "k is -1; .*above 0"),
    "sigma negative": (lambda: mloss.covariance(2, -1.0), r"sigma is .*-1.0.*0 or more"),
    "one sigma negative": (lambda: mloss.covariance(2, [1.0, -3.0]), r"sigma is .*-3.0.*0 or more"),
    "sigma NaN": (lambda: mloss.covariance(2, NAN), "sigma is .*nan"),
    "sigmas of wrong length": (lambda: mloss.covariance(3, [1.0, 2.0]), "sigma"),
    "rho too large": (lambda: mloss.covariance(2, 1.0, 1.5), "rho is 1.5; 2 models allow -1 to 1"),
    "rho too small": (
        lambda: mloss.covariance(3, 1.0, -0.6),
        "rho is -0.6; 3 models allow -0.5 to 1",
    ),
    "weights too few": (
        lambda: mloss.node_mloss(torch.ones(3, 1), RELU, [0.5, 0.5]),
        r"3 models need 3 .*\(2,\)",
    ),
    "weights too many": (lambda: simulate(weights=[0.5, 0.3, 0.2]), r"2 models need 2 .*\(3,\)"),
    "weights NaN": (
        lambda: mloss.layer_mloss(torch.ones(2, 1), RELU, [NAN, 1]),
        "finite, got .*nan",
    ),
    "NaN in node": (lambda: mloss.node_mloss(BROKEN, RELU), "pre-activations hold NaN"),
    "NaN in layer": (lambda: mloss.layer_mloss(BROKEN, RELU), "pre-activations hold NaN"),
    "NaN in normalised node": (
        lambda: mloss.normalised_node_mloss(BROKEN, RELU),
        "pre-activations hold NaN",
    ),
    "NaN in normalised layer": (
        lambda: mloss.normalised_layer_mloss(BROKEN, RELU),
        "pre-activations hold NaN",
    ),
    "infinity in node": (
        lambda: mloss.node_mloss(BROKEN.nan_to_num() / 0, RELU),
        "pre-activations hold NaN or inf",
    ),
    "weight negative in the theorem": (
        lambda: mloss.spread(COV, [1.5, -0.5]),
        r">= 0 with sum 1, got \[1.5, -0.5\]",
    ),
    "weights without sum 1": (
        lambda: mloss.expected_mloss_relu(1.0, COV, [0.5, 0.4]),
        "sum 1, got .*0.4",
    ),
    "unknown statistic": (
        lambda: simulate(statistic="mean"),
        "'mean'; allowed: absolute, squared, signed",
    ),
    "unknown base": (lambda: simulate(base="gauss"), "'gauss'; allowed: uniform, normal"),
    "draws too few": (lambda: simulate(draws=31), "draws is 31; .*32 or more"),
    "no covariance": (
        lambda: simulate(cov=torch.tensor([[1.0, 2], [2, 1]])),
        "smallest eigenvalue is -1",
    ),
    "covariance NaN": (lambda: simulate(cov=COV * NAN), "cov"),
    "shift of wrong length": (lambda: simulate(shift=[1.0, 2.0, 3.0]), "shift"),
    "shift too short": (lambda: simulate(shift=[1.0]), "shift"),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_chunk_of_nothing_is_refused():
    """Before any loop, which would never end; the activation raises to prove it was not reached."""

    def never(h):
        raise AssertionError("reached the loop")

    with pytest.raises(ValueError, match="chunk is 0"):
        mloss.monte_carlo(never, 1.0, COV, draws=100, chunk=0)
