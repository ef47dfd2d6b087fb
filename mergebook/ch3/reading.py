"""What a learner reads: statistics of weights or of their changes, true or spoilt, or names.

All are (experts, layers, numbers). The text standardises nothing; without it no learner of this
size trains, so ours are standardised over experts and layers together, or within each layer.
"""

from functools import lru_cache

import torch
from torch import Tensor

from mergebook.page import OpenSuite
from mergehelpers import states, stats
from mergehelpers.states import State

MOST = 10  # singular values kept at hand


def learnable(r: OpenSuite, state: State) -> State:
    """What coefficients act on: the parameters. BatchNorm's stored moments are no weights."""
    names = {n for n, _ in r.backbone.module.named_parameters()}
    return {n: w for n, w in state.items() if n in names}


@lru_cache(maxsize=32)
def statistics_of(r: OpenSuite, of: str, level: str) -> Tensor:
    """Statistics of all experts' `weights`, or of their `changes`: (experts, layers, 3 + MOST)."""
    models = [learnable(r, e) for e in r.experts.values()]
    if of == "changes":
        models = [states.task_vector(learnable(r, r.base), m) for m in models]
    if level == "tasks":
        return torch.stack([stats.task_wise(m, MOST) for m in models]).unsqueeze(1)
    return torch.stack([stats.layer_wise(m, MOST) for m in models])


def dealt_out(x: Tensor, change: str, g: torch.Generator) -> Tensor:
    """Statistics in wrong cells: all of them, those of a layer's experts, or only the singular."""
    n, m = x.shape[:2]
    if change == "experts shuffled":
        return torch.stack([x[torch.randperm(n, generator=g), j] for j in range(m)], 1)
    mixed = x.flatten(0, 1)[torch.randperm(n * m, generator=g)].view_as(x)
    return mixed if change == "shuffled" else torch.cat([x[..., :3], mixed[..., 3:]], -1)


def names_of_cells(n: int, m: int) -> Tensor:
    """Which expert, which layer: one-hot, (n, m, n + m)."""
    experts, layers = torch.eye(n)[:, None], torch.eye(m)[None]
    return torch.cat([experts.expand(n, m, n), layers.expand(n, m, m)], -1)


def read(r: OpenSuite, reads: str, level: str, rank: int, seed: int) -> Tensor:
    """What a learner reads of all experts of a suite, (experts, layers, numbers).

    `reads` begins with `statistics`, `changes` (the statistics of task vectors), names of
    statistics joined by `+`, `names` (of expert and layer), `noise`, `constant` or `nothing`. After
    a comma: `shuffled`, `experts shuffled`, `singular values shuffled`, `singular values of
    changes`, `within layers` or `both scales` (how it is standardised), `and noise 5` (as many
    random numbers beside it).
    """
    name, _, change = reads.partition(", ")
    x = statistics_of(r, "changes" if "changes" in reads else "weights", level)[..., : 3 + rank]
    g = torch.Generator().manual_seed(1000 + seed)
    noise = torch.randn(x.shape, generator=g)
    if name == "noise":
        return noise
    if name == "names":
        return names_of_cells(*x.shape[:2])
    if name in ("constant", "nothing"):
        return torch.ones_like(noise[..., :1])
    if change.endswith("shuffled"):
        x = dealt_out(x, change, g)
    if change == "singular values of changes":
        x = torch.cat([statistics_of(r, "weights", level)[..., :3], x[..., 3:]], -1)
    if name not in ("statistics", "changes"):
        x = stats.choose(x, name.split("+"))
    out = stats.standardise(x, (0,) if change == "within layers" else (0, 1))
    if change == "both scales":
        out = torch.cat([out, stats.standardise(x, (0,))], -1)
    if change.startswith("and noise "):
        out = torch.cat([out, noise[..., : int(change.split()[-1])]], -1)
    return out
