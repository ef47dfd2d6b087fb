"""Small versions of the networks that the Rethinking paper averages, and how to train them.

A model is a state dict: the tensors of a body, which makes features of images, and of its
classifier, `head.weight` and `head.bias`. VGG-like bodies keep the original's stages and count of
weight layers, with narrow ones.
"""

import copy
import math
import re
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mergehelpers import device as devices
from mergehelpers.backbones.images import Images
from mergehelpers.states import State

# Convolutions in each of five stages; three linear layers follow, the last of which is the head.
VGG = {
    5: (1, 1, 0, 0, 0),
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
RESNET = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2)}
DENSENET = {13: (1, 1, 1, 1), 21: (2, 2, 2, 2)}
ARCHITECTURES = (
    *(f"vgg{d}{bn}" for d in VGG for bn in ("", "_bn")),
    *(f"resnet{d}" for d in RESNET),
    *(f"densenet{d}" for d in DENSENET),
    "vit",
    "vit_stem",
)
SIDE = 32


class Net(Images):
    """A body for images of 32 × 32 pixels in three colours; `width` is the number of features.

    `prepare` makes `pixels` (images, 3, 32, 32) of bytes, with 0.5 subtracted and divided by 0.25;
    tensors stay as they are.
    """

    normalised = False

    def __init__(self, module: nn.Module, width: int):
        super().__init__(module, width, SIDE, mean=[0.5] * 3, std=[0.25] * 3)

    def prepare(self, inputs):
        return {"pixels": inputs} if isinstance(inputs, Tensor) else super().prepare(inputs)

    def encode(self, state, inputs):
        return self.call(body(state), inputs["pixels"])


def build(name: str, seed: int = 0, width: int = 16) -> tuple[Net, State]:
    """The body `name` and random first weights, drawn by `seed`.

    `width` is that of the first stage. `vit_stem` is a transformer behind a convolution of 3 × 3
    from colours to colours. Raises `ValueError` for another name (lists them).
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture is {name!r}; allowed: {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family, depth, extra = re.fullmatch(r"([a-z]+)(\d*)(.*)", name).groups()
        make = {"vgg": _vgg, "resnet": _resnet, "densenet": _densenet, "vit": _vit}[family]
        net = make(*([int(depth)] if depth else []), width, *([True] if extra else []))
    return net, {key: value.detach().clone() for key, value in net.module.state_dict().items()}


def has_batchnorm(net: Net) -> bool:
    """Whether a body normalises by moments of a batch."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.module.modules())


def with_head(state: State, width: int, classes: int, seed: int, like: int | None = None) -> State:
    """The body's state with a new random classifier, uniform within 1/sqrt(width), as in torch.

    Its numbers may be as small as if more features entered: `like` so many.
    """
    generator, bound = torch.Generator().manual_seed(seed), 1 / math.sqrt(like or width)

    def drawn(*shape):
        # Processors multiply and add in single precision with one rounding or two.
        share = torch.rand(shape, generator=generator, dtype=torch.float32).double()
        return ((2 * share - 1) * bound).float()

    return {**body(state), "head.weight": drawn(classes, width), "head.bias": drawn(classes)}


def body(state: State) -> State:
    """The state without its classifier."""
    return {key: value for key, value in state.items() if not key.startswith("head.")}


def train(
    net: Net,
    state: State,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    rate: float,
    seed: int = 0,
    batch: int = 32,
    decay: float = 0.0,
    mixup: float = 0.0,
    adam: bool = False,
    device: str = "auto",
    grid: float = 0.0,
) -> State:
    """Train a whole model; the new state, on the CPU.

    `labels` (n,) are class numbers, or (n, classes) zeros and ones of which several may be one. SGD
    with momentum 0.9, or AdamW with `adam`; gradients clipped at norm 1; the step size falls from
    `rate` to zero on a cosine. With `mixup` > 0 each batch is mixed with itself, by a Beta(mixup,
    mixup) share (Zhang 2018).

    With a `grid` every weight is rounded to a multiple of it after each step. Training is chaotic:
    where two processors round the last digit differently, the difference grows with every step,
    until they have other networks. In double precision a grid of 1e-5 takes it away before it
    grows. Raises `ValueError` for fewer than one epoch, and when the loss is no longer finite.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; allowed: a whole number, 1 or more")
    place = devices.pick(device)
    module = copy.deepcopy(net.module).to(place).requires_grad_(True).train()
    module.load_state_dict(body(state))
    head = {
        key: state[key].detach().clone().to(place).requires_grad_()
        for key in ("head.weight", "head.bias")
    }
    moving = [*module.parameters(), *head.values()]
    optimiser = (
        torch.optim.AdamW(moving, lr=rate, weight_decay=decay)
        if adam
        else torch.optim.SGD(moving, lr=rate, momentum=0.9, weight_decay=decay)
    )
    steps = epochs * math.ceil(len(images) / batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    loss_of = F.cross_entropy if labels.ndim == 1 else F.binary_cross_entropy_with_logits
    with tqdm(total=steps, desc="train", unit="step", leave=False, disable=None) as bar:
        for _ in range(epochs):
            for chosen in torch.randperm(len(images), generator=generator).split(batch):
                x, y = images[chosen].to(place), labels[chosen].to(place)
                share = rng.beta(mixup, mixup) if mixup else 1.0
                # Batches come in random order.
                x, other = share * x + (1 - share) * x.flip(0), y.flip(0)
                z = F.linear(module(x), head["head.weight"], head["head.bias"])
                loss = share * loss_of(z, y) + (1 - share) * loss_of(z, other)
                if not loss.isfinite():
                    raise ValueError(
                        f"the loss is {loss.item()} with rate {rate}; "
                        "try a smaller rate, or look for NaN in the inputs"
                    )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(moving, 1.0)
                optimiser.step()
                if grid:
                    on_grid(moving, grid)
                schedule.step()
                bar.update()
    return {key: value.detach().cpu() for key, value in {**module.state_dict(), **head}.items()}


@torch.no_grad()
def on_grid(weights: Iterable[Tensor], grid: float) -> None:
    """Round weights, in place, to multiples of `grid`."""
    for weight in weights:
        weight.div_(grid).round_().mul_(grid).add_(0.0)  # no negative zeros


def _vgg(depth, width, norm=False):
    layers, channels = [], 3
    for stage, count in enumerate(VGG[depth]):
        wide = width * min(2**stage, 4)
        for _ in range(count):
            layers += [
                nn.Conv2d(channels, wide, 3, padding=1),
                *([nn.BatchNorm2d(wide)] if norm else []),
                nn.ReLU(),
            ]
            channels = wide
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(channels, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return Net(nn.Sequential(*layers), 64)


def _resnet(depth, width):
    from timm.models.resnet import BasicBlock, ResNet

    channels = (width, 2 * width, 4 * width, 4 * width)
    return Net(
        ResNet(BasicBlock, RESNET[depth], num_classes=0, stem_width=width, channels=channels),
        4 * width,
    )


def _densenet(depth, width):
    from torchvision.models import DenseNet

    module = DenseNet(width // 2, DENSENET[depth], width)
    features = module.classifier.in_features
    module.classifier = nn.Identity()
    return Net(module, features)


def _vit(width, stem=False):
    from timm.models.vision_transformer import VisionTransformer

    module = VisionTransformer(
        img_size=SIDE, patch_size=8, embed_dim=4 * width, depth=4, num_heads=4, num_classes=0
    )
    return Net(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), module) if stem else module, 4 * width)
