"""Families of small networks as suites, one base and eight experts for each seed.

Perceptrons are the laboratory's. CNNs with BatchNorm are trained here on the same eight views of
the digits; their running means and variances are merged as weights are.
"""

from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

from mergebook import lab
from mergebook.ch1 import laboratory as L
from mergebook.page import OpenSuite
from mergehelpers.backbones import Plain
from mergehelpers.states import State
from mergehelpers.suites import Suite, Task

WIDTH = 64  # of the embedding


def perceptrons(seed: int) -> Suite:
    """A world of Chapter 1's laboratory."""
    base = L.pretrained(seed)
    return lab.suite(base, L.fine_tuned(base, L.TASKS, seed)[L.EXPERT], L.digits(), "perceptrons")


def convolutional() -> nn.Sequential:
    """Two convolutions with BatchNorm and a linear layer, each before a ReLU."""

    def block(a, b):
        return nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b))

    hidden = nn.Linear(32 * 16, WIDTH)
    front = nn.Unflatten(1, (1, lab.SIDE, lab.SIDE)), block(1, 16), nn.ReLU(), block(16, 32)
    return nn.Sequential(*front, nn.ReLU(), nn.Flatten(), hidden, nn.ReLU())


def cnns(seed: int, steps: tuple[int, int] = (150, 100), batch: int = 32) -> Suite:
    """A CNN trained on all views, and an expert for each; the readout is frozen for these."""
    # First weights are drawn in double precision: in single the last digit is the processor's.
    before = torch.get_default_dtype()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            net, head = convolutional(), nn.Linear(WIDTH, 10)
        finally:
            torch.set_default_dtype(before)
    x, y = L.digits().split("train")
    g = torch.Generator().manual_seed(seed)

    def trained(tasks, count, parts, lr) -> State:
        optimiser = torch.optim.Adam([p for part in parts for p in part.parameters()], lr)
        net.train()
        for _ in range(count):
            i = torch.randint(len(y), (batch,), generator=g)
            t = torch.tensor(tasks)[torch.randint(len(tasks), (batch,), generator=g)]
            optimiser.zero_grad()
            F.cross_entropy(head(net(x[t, i])), y[i]).backward()
            optimiser.step()
            # BatchNorm lets rounding grow, so that all steps stay on the grid.
            for v in (*net.state_dict().values(), *head.state_dict().values()):
                if v.is_floating_point():
                    v.copy_(lab.gridded(v))
        # A count of batches is no weight.
        return {n: v.clone() for n, v in net.state_dict().items() if v.is_floating_point()}

    base, experts = trained(list(L.TASKS), steps[0], [net, head], 2e-3), {}
    for t, name in enumerate(lab.TASKS):
        net.load_state_dict(base, strict=False)
        experts[name] = trained([t], steps[1], [net], 1e-3)
    frozen = {name: value.detach().clone() for name, value in head.state_dict().items()}
    views = {split: L.digits().split(split) for split in lab.SPLITS}
    tasks = {
        name: Task(
            name,
            tuple("0123456789"),
            frozen,
            {split: inputs[t] for split, (inputs, _) in views.items()} | {"unlabelled": x[t, :128]},
            {split: labels for split, (_, labels) in views.items()},
        )
        for t, name in enumerate(lab.TASKS)
    }
    return Suite("CNNs", Plain(net.eval(), WIDTH), base, experts, tasks)


NETWORKS = {"perceptrons": perceptrons, "CNNs": cnns}


@lru_cache(maxsize=2)
def opened_family(network: str, seed: int) -> OpenSuite:
    """The family of a kind of network with a seed, on the CPU."""
    return OpenSuite(NETWORKS[network](seed), "cpu")
