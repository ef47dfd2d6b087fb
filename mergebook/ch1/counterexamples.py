"""Small networks, built by hand, in which a sentence of the paper comes out wrong."""

import pandas as pd
import torch

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


def echoes(epsilons: tuple[float, ...] = (0.3, 0.1, 0.03), k: float = 1.0) -> pd.DataFrame:
    """Networks of Eq. 1 with one hidden layer that satisfy Section 4 ever better as ε falls.

    One input x, uniform on (-k, k). Two models have m = 1/ε² units with pre-activations x + ε and x
    - ε, and m more with x in both; the readout adds the first and subtracts the others. The merged
    network is zero everywhere. The ensemble is m times the gap of one unit. Columns: `epsilon`,
    `units`, `over_k` (σ/k of a moved unit), `node` (mean M-Loss over units and inputs), `merged`,
    `ensemble` and `apart` (mean absolute outputs, and their mean absolute difference).
    """
    x = torch.linspace(-k, k, 2_001, dtype=torch.float64).unsqueeze(1)
    rows = []
    for epsilon in epsilons:
        m = round(1 / epsilon**2)
        shift = torch.tensor([[epsilon], [-epsilon]], dtype=torch.float64).expand(2, m)
        bias = torch.cat([shift, torch.zeros(2, m, dtype=torch.float64)], 1)
        sign = torch.cat([torch.ones(m), -torch.ones(m)]).double()
        networks = {
            "layers.0.weight": torch.ones(2, 2 * m, 1, dtype=torch.float64),
            "layers.0.bias": bias,
            "layers.1.weight": sign.expand(2, 1, -1),
            "layers.1.bias": torch.zeros(2, 1, dtype=torch.float64),
        }
        hidden = lab.preactivations(networks, x)[0]
        merged, each = lab.logits(lab.average(networks), x)[0], lab.logits(networks, x).mean(0)
        rows.append(
            (
                epsilon,
                2 * m,
                epsilon / k,
                mloss.node_mloss(hidden, L.RELU).mean().item(),
                merged.abs().mean().item(),
                each.abs().mean().item(),
                (merged - each).abs().mean().item(),
            )
        )
    columns = ["epsilon", "units", "over_k", "node", "merged", "ensemble", "apart"]
    return pd.DataFrame(rows, columns=columns)


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
