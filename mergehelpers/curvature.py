"""Second moments that some merging rules ask for.

They are those of gradients (Fisher merging) and of inputs (RegMean).
"""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import log_softmax

from mergehelpers import device as devices
from mergehelpers.backbones.base import hooked
from mergehelpers.states import State
from mergehelpers.suites import Suite


def diagonal_fisher(
    suite: Suite, state: State, task: str, inputs, seed: int = 0, device: str = "auto"
) -> State:
    """Diagonal of the Fisher information of a task's answers.

    It is made for every floating-point tensor of `state`. The mean over inputs of the squared
    gradient of log p(y | x), with y drawn from the model's own answer (Matena and Raffel 2022, Eq.
    5). One backward pass an input. Raises `ValueError` for no inputs.
    """
    if len(inputs) == 0:
        raise ValueError(f"the Fisher information of {task} needs inputs; there are none")
    place = devices.pick(device)
    state = {key: value.detach().to(place) for key, value in state.items()}
    moving = {
        key: value.clone().requires_grad_()
        for key, value in state.items()
        if value.is_floating_point()
    }
    sums = {key: torch.zeros_like(value) for key, value in moving.items()}
    generator = torch.Generator().manual_seed(seed)
    for i in range(len(inputs)):
        z = log_softmax(
            suite.logits(
                task,
                suite.backbone.encode(state | moving, suite.backbone.prepare(inputs[i : i + 1])),
                state | moving,
            ),
            dim=1,
        )[0]
        y = torch.multinomial(z.detach().exp().cpu(), 1, generator=generator).item()
        for key, gradient in zip(
            moving, torch.autograd.grad(z[y], moving.values(), allow_unused=True)
        ):
            if gradient is not None:
                sums[key] += gradient.square()
    return {key: value / len(inputs) for key, value in sums.items()}


@torch.no_grad()
def input_grams(
    suite: Suite, state: State, inputs, batch: int | None = None, device: str = "auto"
) -> State:
    """X'X / n of what enters every linear layer, by its weight's name: `{name: (width, width)}`.

    The n rows of X are inputs and tokens, padding left out. Attention that packs queries, keys and
    values into one weight counts as one layer; its output layer runs inside torch and is not seen.
    Raises `ValueError` for no inputs.
    """
    if len(inputs) == 0:
        raise ValueError("Gram matrices need inputs; there are none")
    backbone, place = suite.backbone, devices.pick(device)
    state = {key: value.to(place) for key, value in state.items()}
    layers = {
        name: module
        for path, module in backbone.module.named_modules()
        if (name := _weight(path, module)) in state
    }
    sums, rows, size = {}, dict.fromkeys(layers, 0), batch or backbone.batch

    def see(module, args, name, prepared):
        mask = backbone.token_mask(prepared, args[0])
        flat = args[0].flatten(0, -2) if mask is None else args[0][mask]
        wide = flat.to(devices.widest_float(flat.device))
        sums[name] = sums.get(name, 0) + wide.T @ wide
        rows[name] += len(flat)

    for start in range(0, len(inputs), size):
        prepared = backbone.prepare(inputs[start : start + size])
        with hooked(
            list(layers.values()),
            [partial(see, name=name, prepared=prepared) for name in layers],
            "register_forward_pre_hook",
        ):
            backbone.encode(state, prepared)
    return {name: (value / rows[name]).float() for name, value in sums.items()}


def _weight(path: str, module: nn.Module) -> str | None:
    """The name of the weight that multiplies this module's input, if the module is linear in it."""
    if isinstance(module, nn.MultiheadAttention):
        return f"{path}.in_proj_weight"
    return f"{path}.weight" if isinstance(module, nn.Linear) else None
