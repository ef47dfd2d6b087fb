"""What the layers of a network tell of an image: linear probes of its stages."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mergebook.ch4.templates import pictures_of
from mergebook.page import OpenSuite
from mergehelpers import zoo
from mergehelpers.states import State

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the mean variance of features
FITTED = 250  # test images a task that fit a probe; the others are scored


def stages(net: zoo.Net, state: State, x: Tensor) -> list[Tensor]:
    """What comes out of each stage, (images, numbers), the pixels first.

    Stages are those of a ResNet, or end at the poolings of a VGG.
    """
    module = net.module
    module.load_state_dict(zoo.body(state))
    module.eval()
    found, hooks = [x.flatten(1)], []
    ends = (
        [m for m in module if isinstance(m, nn.MaxPool2d)]
        if isinstance(module, nn.Sequential)
        else [module.maxpool, module.layer1, module.layer2, module.layer3, module.layer4]
    )
    for end in ends:
        hooks.append(end.register_forward_hook(lambda m, i, out: found.append(out.flatten(1))))
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return [v.double() for v in found]


def low_level(x: Tensor) -> Tensor:
    """Of each image: its three mean colours, and the energies of its two gradients."""
    grey = x.mean(1)
    across, down = grey.diff(dim=2).square().mean((1, 2)), grey.diff(dim=1).square().mean((1, 2))
    return torch.stack([*x.mean((2, 3)).T, across, down], 1).double()


def probed(features: Tensor, targets: Tensor, fit: Tensor, choose: Tensor) -> Tensor:
    """Ridge regression of targets on features, for all inputs.

    Fitted on the inputs `fit`; for each target the ridge is the best on the inputs `choose`.
    """
    v = features - features[fit].mean(0)
    gram, mean = v @ v[fit].T, targets[fit].mean(0)
    values, vectors = torch.linalg.eigh(gram[fit])
    values = values.clamp(min=0)
    turned, seen = vectors.T @ (targets[fit] - mean), gram @ vectors
    guesses = [
        seen @ (turned / (values + ridge * values.mean())[:, None]) + mean for ridge in RIDGES
    ]
    errors = torch.stack([(g[choose] - targets[choose]).square().mean(0) for g in guesses])
    return torch.stack(guesses)[errors.argmin(0), :, torch.arange(targets.shape[1])].T


def stages_read(net: zoo.Net, state: State, r: OpenSuite) -> dict[str, list[float]]:
    """What a linear probe reads from each stage: `classes`, right in %, and `low`, R² in %.

    The images are test images of the tasks that the network is trained on; `low` is the mean over
    `low_level`.
    """
    shop = pictures_of(r)
    parts, before = [], 0
    for task in shop.tasks[0::2]:
        for split in ("val", "test"):
            x, y = shop.data(task, split)
            place = torch.arange(len(x)) if split == "test" else torch.full((len(x),), -1)
            parts.append((x, y + before, place))
        before += shop.classes(task)
    x, y, place = (torch.cat([p[i] for p in parts]) for i in range(3))
    choose, fit = place < 0, (place >= 0) & (place < FITTED)
    test = place >= FITTED
    low = low_level(x)
    low = (low - low[fit].mean(0)) / low[fit].std(0)
    both = torch.cat([F.one_hot(y, before).double(), low], 1)
    out = {"classes": [], "low": []}
    for features in stages(net, state, x):
        guess = probed(features, both, fit, choose)[test]
        right = guess[:, :before].argmax(1) == y[test]
        out["classes"].append(100 * float(right.double().mean()))
        error = (guess[:, before:] - low[test]).square().mean(0)
        out["low"].append(100 * float((1 - error / low[test].var(0, unbiased=False)).mean()))
    return out
