"""Small networks, built by hand, in which a sentence of the paper comes out wrong."""

import numpy as np
import pandas as pd
import torch
from scipy import stats

from mergebook import lab
from mergebook.ch1 import laboratory as L
from mergehelpers import mloss
from mergehelpers.states import State


def two_layers(seed: int = 0, width: int = 8) -> tuple[State, torch.Tensor]:
    """Two networks of two layers from different starts, and fifty inputs between -1 and 1."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(50, width, generator=generator, dtype=torch.float64) - 1
    return lab.initial([2 * seed, 2 * seed + 1], (width, width, width)), x


def accumulation(seed: int = 0) -> pd.DataFrame:
    """Networks whose output gap is not the sum of their layers' M-Losses: too large, or none.

    Columns: `network`; `loss`, the largest node M-Loss; `gap`, the largest output gap.
    `all units on` is a ReLU network whose biases keep every unit positive on all inputs.
    """
    stack, x = two_layers(seed)
    lifted = stack | {"layers.0.bias": torch.full_like(stack["layers.0.bias"], 20.0)}
    deaf = stack | {"layers.1.weight": torch.zeros_like(stack["layers.1.weight"])}
    rows = []
    for name, network, f in (
        ("two linear layers", stack, lambda z: z),
        ("ReLU, all units on", lifted, L.RELU),
        ("ReLU, a readout of zeros", deaf, L.RELU),
    ):
        hidden = lab.preactivations(network, x, f)[0]
        merged, each = lab.logits(lab.average(network), x, f)[0], lab.logits(network, x, f)
        rows.append(
            (
                name,
                mloss.node_mloss(hidden, f).max().item(),
                (merged - each.mean(0)).abs().max().item(),
            )
        )
    return pd.DataFrame(rows, columns=["network", "loss", "gap"])


def product_formula(seed: int = 0) -> float:
    """Largest error of -(W2a - W2b)(W1a - W1b)x/4 as the gap of two linear layers without bias."""
    stack, x = two_layers(seed)
    w1, w2 = stack["layers.0.weight"], stack["layers.1.weight"]
    gap = lab.logits(lab.average(stack), x, lambda z: z)[0] - lab.logits(
        stack, x, lambda z: z
    ).mean(0)
    return (gap + x @ (w1[0] - w1[1]).T @ (w2[0] - w2[1]).T / 4).abs().max().item()


def blurred(
    sigmas: tuple[float, ...] = (0.3, 0.1, 0.05), k: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Networks of Eq. 1 with one hidden layer, each unit in Section 4's model, ever better.

    One input x, uniform on (-k, k). ReLU units see x - σ, x and x + σ, a third of them each, plus a
    deviation of their own, Gaussian and independent over units and over the two models. The readout
    gives them 1, -2 and 1, so the base is a bump as wide as σ. Averaged over many units, deviations
    blur a model's kinks by σ, and the merge's by σ/√2.

    Columns: `sigma`; `units`; `over_k`, σ/k; `node`, the mean M-Loss of a unit; `merged`,
    `ensemble` and `apart`, mean absolute outputs within 4σ and their mean absolute difference;
    `limit`, apart over ensemble with endless units.
    """
    generator, rows = torch.Generator().manual_seed(seed), []
    for sigma in sigmas:
        m = round(30 / sigma**2)
        shift = sigma * torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64).repeat_interleave(m)
        readout = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64).repeat_interleave(m)
        delta = sigma * torch.randn(2, 3 * m, generator=generator, dtype=torch.float64)
        networks = {
            "layers.0.weight": torch.ones(2, 3 * m, 1, dtype=torch.float64),
            "layers.0.bias": shift + delta,
            "layers.1.weight": (readout / (sigma * m)).expand(2, 1, -1),
            "layers.1.bias": torch.zeros(2, 1, dtype=torch.float64),
        }
        x = torch.linspace(-1, 1, 201, dtype=torch.float64).unsqueeze(1) * min(k, 4 * sigma)
        merged, each = lab.logits(lab.average(networks), x)[0], lab.logits(networks, x).mean(0)
        one, both = (bump(x.numpy(), sigma, blur) for blur in (sigma, sigma / 2**0.5))
        rows.append(
            {
                "sigma": sigma,
                "units": 3 * m,
                "over_k": sigma / k,
                "node": (delta[0] - delta[1]).square().mean().item() / (16 * k),
                "merged": merged.abs().mean().item(),
                "ensemble": each.abs().mean().item(),
                "apart": (merged - each).abs().mean().item(),
                "limit": np.abs(both - one).mean() / np.abs(one).mean(),
            }
        )
    return pd.DataFrame(rows)


def bump(x: np.ndarray, width: float, blur: float) -> np.ndarray:
    """The second difference of ReLU, over `width`, after a Gaussian blur of its kinks."""

    def ramp(z):
        return z * stats.norm.cdf(z / blur) + blur * stats.norm.pdf(z / blur)

    return (ramp(x + width) - 2 * ramp(x) + ramp(x - width)) / width


def differences(seed: int = 0) -> pd.DataFrame:
    """How σ of the first hidden layer, and the distance of weights, follow four changes.

    Columns: `change`, and how many times larger `distance` and `sigma` become.
    """
    origin, members = L.pretrained(seed), L.experts(seed)[L.EXPERT]
    x = L.images()

    def measured(stack, base, inputs):
        own, before = (lab.preactivations(s, inputs)[0] for s in (stack, base))
        change = {n: p - base[n] for n, p in stack.items() if n.startswith("layers.0")}
        return (
            sum(v.square().sum() for v in change.values()).sqrt().item(),
            (own - before).square().mean().sqrt().item(),
        )

    distance, sigma = measured(members, origin, x)
    rows = []
    for name, found in {
        "half of each task vector": measured(L.moved_by(members, origin, 0.5), origin, x),
        "inputs twice as large": measured(members, origin, 2 * x),
        "layer 1 times 3, layer 2 over 3": measured(
            L.rescaled(members, 3), L.rescaled(origin, 3), x
        ),
        "images of one task only": measured(members, origin, L.images([5])),
    }.items():
        rows.append((name, found[0] / distance, found[1] / sigma))
    return pd.DataFrame(rows, columns=["change", "distance", "sigma"])
