"""Any `nn.Sequential`: perceptrons and small convolutional networks, for laboratories and tests."""

import torch
from torch import nn

from mergehelpers.backbones.base import ACTIVATIONS, CONVOLUTIONS, Backbone


class Plain(Backbone):
    """A plain `nn.Sequential`, whose output of `width` numbers is the embedding.

    Heads take it `normalised` if asked. A site is a linear layer or convolution followed by an
    activation, or an inner `nn.Sequential` that begins with one (a convolution with its BatchNorm).
    Raises `ValueError` where anything else feeds an activation.
    """

    def __init__(self, module: nn.Sequential, width: int, normalised: bool = False):
        super().__init__(module, width)
        self.normalised = normalised
        for site in self.sites():
            if not isinstance(self._layer(site), (nn.Linear, *CONVOLUTIONS)):
                raise ValueError(
                    f"an activation follows {site}, a {type(self._layer(site)).__name__}; "
                    "put the linear layer or convolution and what comes between it and "
                    "its activation into an inner nn.Sequential"
                )

    def prepare(self, inputs):
        """`x`: the inputs as a tensor of the network's own float type."""
        x = torch.stack([torch.as_tensor(one) for one in inputs])
        return {"x": x.to(next(self.module.parameters()).dtype)}

    def encode(self, state, inputs):
        return self.call(state, inputs["x"])

    def weight_name(self, site):
        inner = isinstance(self.module.get_submodule(site), nn.Sequential)
        return f"{site}.0.weight" if inner else f"{site}.weight"

    def _layer(self, site):
        part = self.module.get_submodule(site)
        return part[0] if isinstance(part, nn.Sequential) else part

    def _mlps(self):
        names, parts = list(self.module._modules), list(self.module)
        fed = [i for i, part in enumerate(parts[1:]) if type(part).__name__ in ACTIVATIONS]
        readers = [
            next((names[j] for j in range(i + 2, len(parts)) if list(parts[j].parameters())), "")
            for i in fed
        ]
        return [(names[i], parts[i + 1], reader) for i, reader in zip(fed, readers)]
