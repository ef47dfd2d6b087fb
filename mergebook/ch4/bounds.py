"""From weights to outputs: Lemma 1, Property 1 and Theorem 1 on random networks (page 04e)."""

import itertools
import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mergebook.intervals import of_mean

Table = pd.DataFrame
ACTIVATIONS = {  # with their Lipschitz constants
    "ReLU": (torch.relu, 1.0),
    "tanh": (torch.tanh, 1.0),
    "identity": (lambda u: u, 1.0),
    "sigmoid": (torch.sigmoid, 0.25),
}
NO_ZERO = "sigmoid"  # the one whose value at 0 is not 0
BIASED = "ReLU, biases"
CONSTANTS = (1 / 8, 1 / 4)  # tried as C_s; a quarter is the least that always does
ALIGNED, SOUGHT = "equal rows", "sought"


class Draw:
    """Draws standard normal numbers of a shape, in double precision."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)


# ------------------------------------------------------------------------------------------ Lemma 1


def matrix_families(draw: Draw, n: int) -> dict[str, Tensor]:
    """Square matrices of several kinds, one of each."""
    return {
        "Gaussian": draw(n, n),
        "random signs": draw(n, n).sign(),
        "mean one": 1 + draw(n, n),
        ALIGNED: draw(1, n).expand(n, n),
        "one column": nn.functional.pad(draw(n, 1), (0, n - 1)),
    }


def constant_needed(w: Tensor) -> Tensor:
    """The least C_s with which Lemma 1 holds for every tau, by the largest length of a row."""
    root = math.sqrt(len(w))
    return (torch.linalg.matrix_norm(w, 2) / root - 1) / w.norm(dim=1).max() ** 2


def climbed(draw: Draw, n: int, steps: int = 400) -> Tensor:
    """A matrix for which small steps uphill found a large constant."""
    w = draw(n, n).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=0.05, maximize=True)
    for _ in range(steps):
        optimizer.zero_grad()
        constant_needed(w).backward()
        optimizer.step()
    return w.detach()


def needed_constants(seed: int, widths: tuple[int, ...] = (16, 64), repeats: int = 10) -> Table:
    """The least C_s for matrices of a kind, scaled to a largest row length.

    `needed`: with K_s the largest row length, as printed; `by entry`: with the largest entry in its
    place; `fixed`: with K_s = 1, as for a norm that does not grow with the width; `entries`: N
    times the largest entry over the spectral norm.
    """
    draw, rows = Draw(seed), []
    for width, repeat in itertools.product(widths, range(repeats)):
        kinds = matrix_families(draw, width)
        if width == widths[0] and repeat < 3:
            kinds[SOUGHT] = climbed(draw, width)
        for kind, w in kinds.items():
            longest = w.norm(dim=1).max()
            lengths = [float(longest)] + [0.5, 1, 2, 4, 8] * (kind != SOUGHT)
            for length in lengths:
                scaled = w * (length / longest)
                excess = torch.linalg.matrix_norm(scaled, 2) / math.sqrt(width) - 1
                entry = scaled.abs().max()
                numbers = {
                    "length": length,
                    "needed": excess / length**2,
                    "by entry": excess / entry**2,
                    "fixed": excess,
                    "entries": width * entry / torch.linalg.matrix_norm(scaled, 2),
                }
                numbers = {name: float(value) for name, value in numbers.items()}
                rows.append({"kind": kind, "width": width} | numbers)
    return pd.DataFrame(rows)


def stretches(seed: int, matrices: int = 20, width: int = 32) -> Table:
    """How long Ax is, over the largest singular value times the length of x."""
    draw, rows = Draw(seed), []
    for _ in range(matrices):
        w = draw(width, width)
        _, s, vt = torch.linalg.svd(w)
        q = torch.linalg.qr(w).Q
        cases = {"first singular vector": (w, vt[0]), "drawn": (w, draw(width))}
        for what, (a, x) in (cases | {"rotation, drawn": (q, draw(width))}).items():
            top = s[0] if a is w else 1.0
            rows.append((what, float((a @ x).norm() / (top * x.norm()))))
    return pd.DataFrame(rows, columns=["input", "ratio"])


# --------------------------------------------------------------------------------------- Property 1

WEIGHTS = {
    "variance 1/N": lambda draw, m, n: draw(m, n, n) / math.sqrt(n),
    "variance 1": lambda draw, m, n: draw(m, n, n),
    "variance 16": lambda draw, m, n: 4 * draw(m, n, n),
    "random signs": lambda draw, m, n: draw(m, n, n).sign(),
    "equal entries": lambda draw, m, n: torch.full((m, n, n), 2 / math.sqrt(n)).double(),
}


def networks_within(
    seed: int,
    networks: int = 200,
    widths: tuple[int, ...] = (8, 32),
    taus: tuple[float, ...] = (0.1, 0.5, 0.9, 1.5, 3.0),
) -> Table:
    """How many random networks keep Property 1's bound, by tau and the constant C_s.

    `promise`: the printed probability; `slack`: the median bound over the output's length, as a
    power of ten. The input is a vector of ones of length 1, or zero.
    """
    draw, rows = Draw(seed), []
    for (kind, make), width, depth in itertools.product(WEIGHTS.items(), widths, (1, 2, 4)):
        layers = [make(draw, networks, width) for _ in range(depth)]
        longest = torch.stack([w.norm(dim=2).amax(1) for w in layers]).amax(0)
        ones = torch.full((networks, width, 1), 1 / math.sqrt(width)).double()
        for name, inputs in itertools.product([*ACTIVATIONS, BIASED], ("ones", "zero")):
            f, lipschitz = ACTIVATIONS[name.split(",")[0]]
            h = ones if inputs == "ones" else 0 * ones
            for w in layers:
                h = f(w @ h + (0.1 * draw(networks, width, 1) if name == BIASED else 0))
            length = h.flatten(1).norm(dim=1)
            for tau, constant in itertools.product(taus, CONSTANTS):
                root = math.sqrt(width)
                lam = root + constant * longest**2 * (root + tau)
                bound = (lipschitz * lam) ** depth * (inputs == "ones")
                inside = int((length <= bound * (1 + 1e-12)).sum())
                slack = float((bound / length).log10().nanmedian())
                promise = (1 - 2 * math.exp(-(tau**2))) ** depth
                settings = (kind, name, inputs, width, depth, tau, constant)
                rows.append((*settings, promise, networks, inside, slack))
    columns = ["weights", "activation", "input", "width", "depth", "tau", "constant"]
    return pd.DataFrame(rows, columns=[*columns, "promise", "networks", "inside", "slack"])


def growths(seed: int, networks: int = 50, width: int = 32, deepest: int = 16) -> Table:
    """Log length of the output of bias-free ReLU networks, after each layer, by weight scale."""
    draw, rows = Draw(seed), []
    for scale in (1.0, 1.5, 2.0):
        h = torch.full((networks, width, 1), 1 / math.sqrt(width)).double()
        for depth in range(1, deepest + 1):
            h = torch.relu(scale / math.sqrt(width) * draw(networks, width, width) @ h)
            for network, length in enumerate(h.flatten(1).norm(dim=1).log().tolist()):
                rows.append((scale, network, depth, length))
    return pd.DataFrame(rows, columns=["scale", "network", "depth", "log length"])


# ---------------------------------------------------------------------------------------- Theorem 1


def recursion(weights: list[float], biases: list[float], n: int, lipschitz: float, v: float):
    """The bound of the layer inequality, iterated: v becomes L²N(s_w² v + s_b²); `v` is |x|²."""
    for sw, sb in zip(weights, biases):
        v = lipschitz**2 * n * (sw**2 * v + sb**2)
    return v


def closed_form(
    weights: list[float], biases: list[float], n: int, lipschitz: float, v: float, last: int
):
    """Eq. 11 as printed, with M = `last` and M_l the number of layers, which is also its power."""
    layers, step = len(weights), lipschitz**2 * n
    bound = v * step**layers * math.prod(w**2 for w in weights) + step * biases[-1] ** 2
    for m in range(1, last):
        bound += step * biases[m - 1] ** 2 * math.prod(step * w**2 for w in weights[m:last])
    return bound


def closed_forms(seed: int, repeats: int = 20) -> Table:
    """Eq. 11 over the iterated inequality, for random settings of 2 to 6 layers, by what M is."""
    rng, rows = np.random.default_rng(seed), []
    for layers, _ in itertools.product(range(2, 7), range(repeats)):
        w, b = rng.uniform(0.2, 1.5, (2, layers))
        given = (list(w), list(b), int(rng.integers(2, 40)), rng.uniform(0.2, 2), rng.uniform(0, 2))
        for reading, last in (("M = M_l", layers), ("M = M_l - 1", layers - 1)):
            rows.append((reading, layers, closed_form(*given, last) / recursion(*given)))
    return pd.DataFrame(rows, columns=["reading", "layers", "ratio"])


def output_variances(seed: int, networks: int = 1000, width: int = 32) -> Table:
    """Summed variance of the outputs of random networks, with the bound of Eq. 11.

    `low` and `high` are an interval; all of them have 95 % together. `mean`: that of the weights.
    """
    draw, rows = Draw(seed), []
    settings = ((2, 0.0, 0.0), (3, 0.1, 0.0), (3, 0.0, 0.05))
    among = len(ACTIVATIONS) * len(settings)
    for (name, (f, lipschitz)), (depth, bias, mean) in itertools.product(
        ACTIVATIONS.items(), settings
    ):
        h = torch.full((networks, width, 1), 1 / math.sqrt(width)).double()
        for _ in range(depth):
            w = mean + draw(networks, width, width) / math.sqrt(width)
            h = f(w @ h + bias * draw(networks, width, 1))
        far = (h - h.mean(0)).square().sum((1, 2)) * networks / (networks - 1)
        bound = recursion([width**-0.5] * depth, [bias] * depth, width, lipschitz, 1.0)
        rows.append((name, depth, bias, mean, *of_mean(far, among), bound))
    columns = ["activation", "depth", "bias", "mean", "variance", "low", "high", "bound"]
    return pd.DataFrame(rows, columns=columns)


def layer_variances(seed: int, layers: int = 2000) -> Table:
    """Summed variance of one linear layer's outputs, from a fixed input, by its two widths.

    Bounds have in place of N: the number of `inputs`, as N^(m-1) says; of `outputs`; the `largest`.
    """
    draw, rows, shapes = Draw(seed), [], ((4, 32), (16, 16), (32, 4))
    for inputs, outputs in shapes:
        f, sw, sb = draw(inputs), 1 / math.sqrt(inputs), 0.5
        y = sw * draw(layers, outputs, inputs) @ f + sb * draw(layers, outputs)
        far = (y - y.mean(0)).square().sum(1) * layers / (layers - 1)
        neuron = float(sw**2 * f.square().sum() + sb**2)
        counts = {"inputs": inputs, "outputs": outputs, "largest": max(inputs, outputs)}
        bounds = {name: n * neuron for name, n in counts.items()}
        name = f"{inputs} to {outputs}"
        rows.append({"layer": name, **of_mean(far, len(shapes))._asdict()} | bounds)
    return pd.DataFrame(rows)


def contractions(seed: int, size: int = 20_000) -> Table:
    """The steps of the proof, on samples: `above` is the largest f(u) - L u; `ratio` is the
    variance of f(U) over L² times that of U."""
    u, rows = Draw(seed)(size), []
    laws = {"normal": u, "normal around 2": u + 2, "cubed": u**3, "squared": u**2}
    for (name, (f, lipschitz)), (law, v) in itertools.product(ACTIVATIONS.items(), laws.items()):
        above = float((f(v) - lipschitz * v).max())
        ratio = float(f(v).var() / (lipschitz**2 * v.var()))
        rows.append((name, law, above, ratio))
    return pd.DataFrame(rows, columns=["activation", "law", "above", "ratio"])


# --------------------------------------------------------------------------------- scaled networks


def shrunken(seed: int, networks: int = 20, width: int = 32) -> Table:
    """ReLU networks of three layers whose weights, not biases, are scaled, on 100 inputs.

    `spread` of outputs over inputs, mean length of the `gradient` with respect to the input, and
    mean `distance` of the outputs from those of zero weights.
    """
    draw, rows = Draw(seed), []
    for network, x in ((i, draw(100, width)) for i in range(networks)):
        shapes = [(width, width), (width, width), (10, width)]
        layers = [(draw(*s) / math.sqrt(width), 0.3 * draw(s[0])) for s in shapes]
        for scale in (1.0, 0.1, 0.01):
            h = at = x.clone().requires_grad_()
            for m, (w, b) in enumerate(layers):
                h = h @ (scale * w).T + b
                h = torch.relu(h) if m < 2 else h
            (slope,) = torch.autograd.grad(h.sum(), at)
            y = h.detach()
            numbers = (y.std(0).mean(), slope.norm(dim=1).mean(), (y - b).norm(dim=1).mean())
            rows.append((network, scale, *map(float, numbers)))
    return pd.DataFrame(rows, columns=["network", "scale", "spread", "gradient", "distance"])


def scaled_answers(seed: int, networks: int = 20, width: int = 32, depth: int = 6) -> Table:
    """Percent of 500 inputs whose answer a ReLU network keeps if all parameters are times c."""
    draw, rows = Draw(seed), []
    for network, bias in itertools.product(range(networks), (0.0, 0.3)):
        x = draw(width, 500)
        layers = [
            (draw(width, width) / math.sqrt(width), bias * draw(width, 1)) for _ in range(depth)
        ]
        answers = {}
        for c in (1, 2, 10, 100):
            h = x
            for m, (w, b) in enumerate(layers):
                h = c * (w @ h) + c * b
                h = torch.relu(h) if m < depth - 1 else h
            answers[c] = h.argmax(0)
            same = 100 * float((answers[c] == answers[1]).double().mean())
            rows += [(network, bias, c, same)] * (c > 1)
    return pd.DataFrame(rows, columns=["network", "bias", "factor", "same"])
