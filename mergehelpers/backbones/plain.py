"""Any `nn.Sequential`: perceptrons and small convolutional networks, for laboratories and tests."""

import torch
from torch import nn

from mergehelpers.backbones.base import ACTIVATIONS, Backbone


class Plain(Backbone):
    """A plain `nn.Sequential`; its output, of `width` numbers, is the embedding.

    A site is a linear layer or convolution followed by an activation, or an inner `nn.Sequential` that begins with
    one (a convolution with its BatchNorm).
    """

    def __init__(self, module: nn.Sequential, width: int):
        super().__init__(module, width)

    def prepare(self, inputs):
        """`x`: the inputs as a tensor of the network's own float type."""
        return {"x": torch.as_tensor(inputs).to(next(self.module.parameters()).dtype)}

    def encode(self, state, inputs):
        return self.call(state, inputs["x"])

    def weight_name(self, site):
        inner = isinstance(self.module.get_submodule(site), nn.Sequential)
        return f"{site}.0.weight" if inner else f"{site}.weight"

    def _mlps(self):
        names, parts = zip(*self.module.named_children())
        fed = [i for i, part in enumerate(parts[1:]) if type(part).__name__ in ACTIVATIONS]
        readers = [next((names[j] for j in range(i + 2, len(parts)) if list(parts[j].parameters())), "") for i in fed]
        return [(names[i], parts[i + 1], reader) for i, reader in zip(fed, readers)]
