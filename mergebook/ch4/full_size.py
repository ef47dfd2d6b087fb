"""Networks of full size with random weights, magnified: where they leave single precision."""

from dataclasses import dataclass

import torch
from torch import nn
from torchvision import models as torchvision_models

from mergebook.experiments import Experiment, Tolerance

NEAR = 0.03  # how far below and above the prediction the network is run


@dataclass(frozen=True)
class FullSize:
    """The key of a network of torchvision by name, with random weights and images.

    `depth` is its number of weight layers.
    """

    network: str = "vgg19"
    depth: int = 19
    classes: int = 100
    images: int = 8
    seed: int = 0


@torch.no_grad()
def multiply(net: nn.Module, factor: float) -> None:
    """Multiply all parameters of a network, in place."""
    for parameter in net.parameters():
        parameter.mul_(factor)


@torch.no_grad()
def full_size_row(key: FullSize) -> dict:
    """The predicted factor, and percent of images with a score lost just below and above it.

    In float32; above it the network runs in float64 too: `lost_double`, and `same`, the percent of
    answers that are those at factor 1. Raises `ValueError` for another depth than the network's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key.seed)
        net = getattr(torchvision_models, key.network)(weights=None, num_classes=key.classes).eval()
        x = torch.randn(key.images, 3, 32, 32)
    depth = sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in net.modules())
    if depth != key.depth:
        raise ValueError(f"{key.network} has {depth} weight layers, not {key.depth}")
    first = net(x)
    size = first.abs().amax(1).double().median().log10()
    limit = torch.tensor(torch.finfo(torch.float32).max).double().log10()
    predicted = float(10 ** ((limit - size) / depth))

    def gone(z):
        return 100 * float((~z.isfinite()).any(1).double().mean())

    row = {"size": float(size), "predicted": predicted}
    multiply(net, predicted * (1 - NEAR))
    row["lost_below"] = gone(net(x))
    multiply(net, (1 + NEAR) / (1 - NEAR))
    row["lost_above"] = gone(net(x))
    z = net.double()(x.double())
    same = 100 * float((z.argmax(1) == first.argmax(1)).double().mean())
    return row | {"lost_double": gone(z), "same": same}


FULL_SIZE = Experiment(
    "full size overflow",
    1,
    FullSize,
    full_size_row,
    {
        "size": Tolerance(absolute=1e-4),
        "predicted": Tolerance(relative=1e-4),
        "lost_below": Tolerance(),
        "lost_above": Tolerance(),
        "lost_double": Tolerance(),
        "same": Tolerance(),
    },
)
