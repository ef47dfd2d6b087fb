"""Checks of Definitions 3.1 to 3.6: small tables of differences that should be zero."""

from functools import partial

import pandas as pd
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from mergebook import lab
from mergebook.ch1 import laboratory as L
from mergebook.page import OpenSuite
from mergehelpers import mloss
from mergehelpers.backbones.base import hooked

GELU = mloss.activation("gelu")


def generator(seed: int) -> torch.Generator:
    """A generator of random draws."""
    return torch.Generator().manual_seed(seed)


def two_ways(seed: int = 0) -> pd.DataFrame:
    """Eqs. 1 and 2: each layer's pre-activation by the formula and by hooks; `error` by `layer`."""
    stack = lab.initial([seed])
    x = torch.randn(5, 196, generator=generator(seed), dtype=torch.float64)
    linears = []
    for layer in range(lab.depth(stack)):
        weight, bias = (stack[f"layers.{layer}.{part}"][0] for part in ("weight", "bias"))
        linears.append(torch.nn.Linear(*reversed(weight.shape), dtype=torch.float64))
        linears[-1].load_state_dict({"weight": weight, "bias": bias + 0.1})
        stack[f"layers.{layer}.bias"] += 0.1
    parts = [part for linear in linears for part in (linear, torch.nn.ReLU())]
    seen = []
    with hooked(linears, [lambda module, inputs, out: seen.append(out.detach())] * len(linears)):
        torch.nn.Sequential(*parts[:-1])(x)
    pairs = zip(lab.preactivations(stack, x), seen, strict=True)
    return pd.DataFrame({"error": [(a[0] - b).abs().max().item() for a, b in pairs]}).rename_axis(
        "layer"
    )


def block_parts(r: OpenSuite) -> pd.Series:
    """Kinds of modules in the first block of an encoder, with their numbers."""
    path = r.backbone.sites()[0].split(".")
    number = next((place for place, name in enumerate(path) if name.isdigit()), len(path) - 1)
    block = r.backbone.module.get_submodule(".".join(path[: number + 1]))
    kinds = [type(m).__name__ for m in block.modules() if not list(m.children())]
    return pd.Series(kinds).value_counts().rename("in one block")


@torch.no_grad()
def representations(r: OpenSuite, samples: int = 8) -> pd.DataFrame:
    """Definition 3.1 in an encoder: entries in which what leaves an activation is not f of what
    entered, by `block`, as read by hooks before it and after it."""
    inputs, after = r.backbone.prepare(r.unlabelled(1)[:samples]), []
    readers = [r.backbone.module.get_submodule(name) for name in r.backbone.readouts()]
    f = mloss.activation(r.backbone.activation)
    before = r.backbone.preactivations(r.base, inputs)
    with hooked(readers, [lambda module, args, out: after.append(args[0])] * len(readers)):
        r.backbone.encode(r.base, inputs)
    rows = [
        (r.name, block, int((f(h) != x).sum()))
        for block, ((_, h), x) in enumerate(zip(before, after, strict=True))
    ]
    return pd.DataFrame(rows, columns=["suite", "block", "different"])


def linearly_correlated(
    seed: int = 0, width: int = 16, node: int = 5
) -> tuple[pd.DataFrame, Tensor, Tensor]:
    """Definition 3.2: derivatives of a second-layer node, by automatic differentiation.

    Returns one row (`own_row` and `other_rows`: largest differences from x_1 and from zero, `bias`:
    the derivative by the bias, `moves`: whether the derivatives move with the first layer's
    weights, `dead`: weights with derivative zero), the derivatives (rows, entries), and x_1.
    """
    p = {n: v[0].requires_grad_() for n, v in lab.initial([seed], (12, width, width, 3)).items()}
    x = torch.randn(12, generator=generator(seed + 1), dtype=torch.float64)

    def second(first):
        x1 = F.relu(first @ x + p["layers.0.bias"])
        return x1, p["layers.1.weight"] @ x1 + p["layers.1.bias"]

    x1, h = second(p["layers.0.weight"])
    by_weight, by_bias = torch.autograd.grad(h[node], [p["layers.1.weight"], p["layers.1.bias"]])
    others = by_weight[torch.arange(width) != node]
    x1 = x1.detach()
    row = {
        "own_row": (by_weight[node] - x1).abs().max().item(),
        "other_rows": others.abs().max().item(),
        "bias": by_bias[node].item(),
        "moves": not torch.allclose(second(p["layers.0.weight"] + 0.1)[0], x1),
        "dead": int((x1 == 0).sum()),
        "width": width,
    }
    return pd.DataFrame([row]), by_weight, x1


def layer_properties(seed: int = 0) -> pd.DataFrame:
    """Definition 3.3: what any right implementation must satisfy; `error` by `property`."""
    g = generator(seed)
    h = torch.randn(4, 1000, 32, generator=g, dtype=torch.float64)
    order = torch.randperm(4, generator=g)
    loss = mloss.layer_mloss
    merged, ensemble = GELU(h.mean(0)), GELU(h).mean(0)
    rows = {
        "the norm of merged minus ensemble": loss(h, GELU) - (merged - ensemble).norm(dim=-1),
        "never negative": (-loss(h, GELU)).clamp(min=0),
        "zero for equal models": loss(h[:1].expand(4, -1, -1), GELU),
        "zero for a one-hot weight": loss(h, GELU, [0, 1, 0, 0]),
        "zero for a straight activation": loss(h, lambda z: 3 * z + 1),
        "order of models does not matter": loss(h, GELU) - loss(h[order], GELU),
        "ReLU: scales with the pre-activations": loss(7 * h, L.RELU) - 7 * loss(h, L.RELU),
    }
    rows = [(name, error.abs().max().item()) for name, error in rows.items()]
    return pd.DataFrame(rows, columns=["property", "error"])


def node_values(seed: int = 0) -> pd.DataFrame:
    """Definition 3.4 and Eq. 5: node losses against a hand-worked value and against layer losses.

    `by hand`: ReLU of two models, min(|a|, |b|)/2 where signs differ, else 0; `one node`: Eq. 3
    with one node; `pointwise`: Eq. 5 input by input; `averaged`: how much larger, relatively, the
    root of the summed mean squares is than the mean layer loss.
    """
    g = generator(seed)
    a, b = torch.randn(2, 100_000, generator=g, dtype=torch.float64)
    by_hand = torch.where(a * b < 0, torch.minimum(a.abs(), b.abs()) / 2, 0.0)
    h = torch.randn(4, 1000, 32, generator=g, dtype=torch.float64)
    nodes, whole = mloss.node_mloss(h, L.RELU), mloss.layer_mloss(h, L.RELU)
    one = mloss.layer_mloss(h[..., :1], L.RELU) - nodes[..., 0]
    rows = {
        "by hand": (mloss.node_mloss(torch.stack([a, b]), L.RELU) - by_hand).abs().max(),
        "one node": one.abs().max(),
        "pointwise": (whole - nodes.square().sum(-1).sqrt()).abs().max(),
        "averaged": nodes.square().mean(0).sum().sqrt() / whole.mean() - 1,
    }
    return pd.DataFrame([(n, v.item()) for n, v in rows.items()], columns=["value", "error"])


def weights(seed: int = 0) -> pd.DataFrame:
    """Remark 1: the default weights against 1/q, their sum, and a loss where weights sum to 1.2."""
    h = torch.randn(4, 1000, 32, generator=generator(seed), dtype=torch.float64)
    default = mloss.node_mloss(h, GELU) - mloss.node_mloss(h, GELU, [0.25] * 4)
    row = {
        "default": default.abs().max().item(),
        "sum": mloss.merging_weights(7).sum().item(),
        "straight": mloss.node_mloss(h, lambda z: z + 0.5, [0.3] * 4).mean().item(),
    }
    return pd.DataFrame([row])


def scales(eps: tuple[float, ...] = (1e-4, 1e-9), seed: int = 0) -> pd.DataFrame:
    """Definition 3.5: the normalised layer loss when pre-activations are multiplied by a scale."""
    h = torch.randn(4, 1000, 32, generator=generator(seed), dtype=torch.float64)
    rows = [
        (
            name,
            e,
            c,
            mloss.normalised_layer_mloss(c * h, mloss.activation(name), eps=e).mean().item(),
        )
        for name in ("relu", "gelu")
        for e in eps
        for c in (0.01, 1.0, 100.0)
    ]
    return pd.DataFrame(rows, columns=["activation", "eps", "scale", "value"])


def node_eps(seed: int = 0) -> pd.DataFrame:
    """Definition 3.6 on eight trained experts: the normalised node loss for several ε.

    Columns: `eps`; `mean` over nodes and images; `rank`, the rank correlation of the nodes with
    those at ε = 1e-4; `plain`, that with the plain loss; `decides`, the share of (node, image)
    pairs whose denominator is ε alone.
    """
    hidden = lab.preactivations(L.experts(seed)[L.EXPERT], L.images())[:-1]

    def nodes(loss):
        return torch.cat([loss(h, L.RELU).mean(0) for h in hidden])

    plain = nodes(mloss.node_mloss)
    by_eps = {e: nodes(partial(mloss.normalised_node_mloss, eps=e)) for e in (1e-2, 1e-4, 1e-6)}
    alone = [(h.mean(0) <= 0) & (mloss.node_mloss(h, L.RELU) > 0) for h in hidden]
    decides = torch.cat([a.flatten() for a in alone]).double().mean().item()
    rows = [
        (
            e,
            values.mean().item(),
            stats.spearmanr(values, by_eps[1e-4]).statistic,
            stats.spearmanr(values, plain).statistic,
            decides,
        )
        for e, values in by_eps.items()
    ]
    return pd.DataFrame(rows, columns=["eps", "mean", "rank", "plain", "decides"])


def profiles(seed: int = 0, c: float = 10.0) -> pd.DataFrame:
    """Layer losses after a rescale that changes no output, over those before, by `layer`."""
    members, x = L.experts(seed)[L.EXPERT], L.images()
    rows = []
    for a, b in zip(lab.preactivations(L.rescaled(members, c), x), lab.preactivations(members, x)):
        raw, normal = (
            loss(a, L.RELU).mean().item() / loss(b, L.RELU).mean().item()
            for loss in (mloss.layer_mloss, mloss.normalised_layer_mloss)
        )
        rows.append((raw, normal))
    return pd.DataFrame(rows[:-1], columns=["raw", "normalised"]).rename_axis("layer")
