"""Averages in weights and in outputs.

Here are greedy soups, ensembles, magnified weights, and what may rescue a soup. A model is a state
dict of a `zoo` network with its classifier, `head.weight` and `head.bias`. `images` are pixels (n,
3, 32, 32), as `Net.prepare` makes them. A uniform soup is `merge.average`.
"""

from collections.abc import Callable, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mergehelpers import merge
from mergehelpers.backbones.base import hooked
from mergehelpers.states import State
from mergehelpers.zoo import Net

BIASES = ("all", "none", "layers")
GREEDY = ("best first", "halving", "counted")


def logits(net: Net, state: State, images: Tensor) -> Tensor:
    """Class scores of one model, (n, classes)."""
    return nn.functional.linear(net.embed(state, images), state["head.weight"], state["head.bias"])


def features(net: Net, models: Sequence[State], images: Tensor) -> Tensor:
    """What enters the classifiers, (models, n, width)."""
    return torch.stack([net.embed(state, images) for state in models])


def heads(models: Sequence[State]) -> tuple[Tensor, Tensor]:
    """The classifiers' weights (models, classes, width) and biases (models, classes)."""
    return tuple(
        torch.stack([state[key] for state in models]) for key in ("head.weight", "head.bias")
    )


def ensemble_logits(f: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean of the models' scores, (n, classes), from `features` and `heads`."""
    return (f @ weight.mT + bias.unsqueeze(1)).mean(0)


def ensemble_features(f: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean features through the mean classifier (Rethinking, supplement), (n, classes)."""
    return f.mean(0) @ weight.mean(0).T + bias.mean(0)


def greedy(
    models: Sequence[State], score: Callable[[State], float], rule: str = "best first"
) -> tuple[State, list[int]]:
    """A greedy soup and the indices of its members, in the order in which they joined.

    `best first` (Wortsman et al. 2022, Algorithm 1): models are tried from the best to the worst;
    one stays if the mean of all members scores no less. The other rules are those of Rethinking's
    released code, where models are tried in the given order and stay if the score rises. `halving`
    begins with the best, and a new member gets half of the weight; the best is tried once more.
    `counted` begins with the first; the i-th model gets the weight 1/i, whether or not those before
    it stayed. Raises `ValueError` for fewer than two models or another rule (lists them).
    """
    if rule not in GREEDY:
        raise ValueError(f"rule is {rule!r}; allowed: {', '.join(GREEDY)}")
    if len(models) < 2:
        raise ValueError(f"a soup needs 2 models or more, got {len(models)}")
    if rule == "counted":
        first, others, best = 0, range(1, len(models)), score(models[0])
    else:
        scores = [score(state) for state in models]
        first, *others = sorted(range(len(models)), key=lambda i: -scores[i])
        others, best = others if rule == "best first" else range(len(models)), scores[first]
    soup, kept = models[first], [first]
    for i in others:
        if rule == "best first":
            trial = merge.average([models[j] for j in (*kept, i)])
        else:
            share = 1 / 2 if rule == "halving" else 1 / (i + 1)
            trial = merge.average([soup, models[i]], [1 - share, share])
        reached = score(trial)
        if reached > best or (rule == "best first" and reached == best):
            soup, best = trial, reached
            kept.append(i)
    return soup, kept


def magnified(state: State, factor: float, biases: str = "all") -> State:
    """Every weight times `factor`.

    With `all` every other entry too, as in Rethinking's released code. `none` removes biases.
    `layers` multiplies the bias of the l-th layer by the factor's l-th power; the network then
    computes its old output times the factor to the power of its depth. Layers are counted in the
    order of the state, the classifier last, so this needs a plain chain of layers. Raises
    `ValueError` for a factor that is not finite and positive, or other `biases`.
    """
    if not 0 < factor < float("inf"):
        raise ValueError(f"the factor is {factor}; allowed: a finite number above 0")
    if biases not in BIASES:
        raise ValueError(f"biases is {biases!r}; allowed: {', '.join(BIASES)}")
    out, layer = {}, 0
    for key, value in state.items():
        layer += key.endswith("weight")
        power = {"all": 1, "none": None, "layers": layer}[biases] if key.endswith("bias") else 1
        out[key] = (
            value * 0
            if power is None
            else value * factor**power
            if value.is_floating_point()
            else value
        )
    return out


def permuted(net: Net, state: State, reference: State, sweeps: int = 50) -> State:
    """The same function, its hidden neurons in the order that fits the reference's weights best.

    One layer after another, by an optimal assignment, until nothing changes (weight matching,
    Ainsworth et al. 2023). Raises `ValueError` for a network that is no chain of convolutions,
    linear layers and BatchNorms.
    """
    units, state = _units(net), dict(state)
    for _ in range(sweeps):
        moved = False
        for (own, _), (_, following) in zip(units, [*units[1:], (None, "head")]):
            rows = [k for k in state if k.rpartition(".")[0] in own and state[k].ndim]
            after = f"{following}.weight"
            alike = sum(
                reference[k].flatten(1) @ state[k].flatten(1).T
                if state[k].ndim > 1
                else torch.outer(reference[k], state[k])
                for k in rows
            )
            alike = alike + torch.einsum("oa...,ob...->ab", reference[after], state[after])
            order = torch.as_tensor(linear_sum_assignment(alike.cpu(), maximize=True)[1])
            moved |= bool((order != torch.arange(len(order))).any())
            state |= {k: state[k][order] for k in rows} | {after: state[after][:, order]}
        if not moved:
            break
    return state


@torch.no_grad()
def repaired(net: Net, soup: State, models: Sequence[State], images: Tensor) -> State:
    """The soup with every channel's mean and spread set to the mean of its members'.

    This is REPAIR (Jordan et al. 2023). For chains without BatchNorm; with it, `recalibrated` does
    the same. Raises `ValueError` for other networks.
    """
    units = _units(net)
    if any(len(own) > 1 for own, _ in units):
        raise ValueError("the network has BatchNorm; use `recalibrated`")
    layers = [net.module.get_submodule(name) for _, name in units]
    wanted, changes = [_moments(net, state, images, layers) for state in models], []

    def mend(_, args, h):
        """Change a layer's output on its way, so that the next layer sees it mended."""
        (own_mean, own_spread), (mean, spread) = (
            _of_channels(h),
            torch.stack([w[len(changes)] for w in wanted]).mean(0),
        )
        gain = spread / own_spread.clamp(min=1e-6)
        changes.append((gain, mean - gain * own_mean))
        shape = (1, -1, *[1] * (h.ndim - 2))
        return h * changes[-1][0].view(shape) + changes[-1][1].view(shape)

    with hooked(layers, [mend] * len(layers)):
        net.embed(soup, images, batch=len(images))
    soup = dict(soup)
    for (_, name), (gain, shift) in zip(units, changes):
        weight = soup[f"{name}.weight"]
        soup[f"{name}.weight"] = weight * gain.view(-1, *[1] * (weight.ndim - 1))
        soup[f"{name}.bias"] = soup[f"{name}.bias"] * gain + shift
    return soup


@torch.no_grad()
def cancelled(net: Net, models: Sequence[State], images: Tensor) -> list[float]:
    """Share of the activation that is lost at each ReLU in an average.

    There, pre-activations are averaged instead of activations. 1 - mean of relu(mean over models of
    h) / mean of relu(h), each model running on its own weights; 0 where signs agree. One number a
    ReLU, in the order of the network; empty for a network without any.
    """
    relus, seen = [m for m in net.module.modules() if isinstance(m, nn.ReLU)], []
    for state in models:
        h = []
        with hooked(
            relus,
            [lambda _, args, h=h: h.append(args[0].clone())] * len(relus),
            "register_forward_pre_hook",
        ):
            net.embed(state, images, batch=len(images))
        seen.append(h)
    layers = [torch.stack(h) for h in zip(*seen)]
    return [1 - float(h.mean(0).relu().mean() / h.relu().mean().clamp(min=1e-12)) for h in layers]


def _units(net):
    """The hidden layers of a chain, as triples of names.

    The names are those of a layer and of its BatchNorm, and the layer's name once more.
    """
    if not isinstance(net.module, nn.Sequential) or any(
        len(list(m.children())) for m in net.module
    ):
        raise ValueError(
            f"{type(net.module).__name__} is no chain of layers; "
            "allowed: the networks vgg5 to vgg19"
        )
    units = []
    for name, module in net.module.named_children():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            units.append(([name], name))
        elif isinstance(module, nn.BatchNorm2d):
            units[-1][0].append(name)
    return units


def _of_channels(h):
    """Mean and spread of each channel, (2, channels)."""
    h = h.transpose(0, 1).flatten(1)
    return torch.stack([h.mean(1), h.std(1)])


def _moments(net, state, images, layers):
    """Mean and spread (2, channels) of what each of these layers puts out."""
    out = []
    with hooked(layers, [lambda _, args, h: out.append(_of_channels(h))] * len(layers)):
        net.embed(state, images, batch=len(images))
    return out
