"""What StatsMerging's learner reads: statistics of weights, and the energy of three of them."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.page import OpenSuite
from mergehelpers import stats
from mergehelpers.states import State

Table = pd.DataFrame
VIT_BLOCK = ((2304, 768), (768, 768), (3072, 768), (768, 3072))  # matrices of a block of ViT-B/32
VIT_VECTORS = 8  # and its biases and gains
RANDOM = "random, a block of ViT-B/32"


def generator_of(seed: int) -> torch.Generator:
    """A generator of random draws on the CPU."""
    return torch.Generator().manual_seed(seed)


def floats(state: State) -> State:
    """The layers of a model: its floating-point tensors, in double precision on the CPU."""
    return {n: w.cpu().double() for n, w in state.items() if w.is_floating_point()}


# -------------------------------------------------------------------------------------- statistics


def factored(r: OpenSuite) -> Table:
    """Eq. 1 on every matrix of the first expert: relative errors of what must be so.

    `rebuilt`: of U S V'; `squares`: of the sum of squared singular values, against the squared
    norm; `helper`: of the three largest, as `stats.singular_values` finds them.
    """
    rows = []
    for name, w in floats(next(iter(r.experts.values()))).items():
        if w.ndim >= 2 and w.any():
            flat = stats.as_matrix(w)
            u, s, vt = torch.linalg.svd(flat, full_matrices=False)
            few = min(3, len(s))
            rebuilt = ((u * s) @ vt - flat).abs().max() / s[0]
            squares = abs(s.square().sum() / flat.square().sum() - 1)
            helper = (s[:few] - stats.singular_values(w, few)).abs().max() / s[0]
            rows.append((r.name, name, *map(float, (rebuilt, squares, helper))))
    return pd.DataFrame(rows, columns=["suite", "layer", "rebuilt", "squares", "helper"])


def described(r: OpenSuite, rank: int) -> Table:
    """Eq. 3: the statistics of every layer of every expert.

    `entries` and `values` are a layer's numbers of entries and of singular values.
    """
    columns = ["mean", "variance", "magnitude", *(f"s{i + 1}" for i in range(rank))]
    parts = []
    for expert, state in r.experts.items():
        layers = floats(state)
        part = pd.DataFrame(stats.layer_wise(layers, rank).numpy(), columns=columns)
        part.insert(0, "values", [min(stats.as_matrix(w).shape) for w in layers.values()])
        part.insert(0, "entries", [w.numel() for w in layers.values()])
        part.insert(0, "layer", list(layers))
        parts.append(part.assign(suite=r.name, expert=expert, rank=rank))
    return pd.concat(parts, ignore_index=True)


def task_vectors_of(r: OpenSuite, rank: int) -> Table:
    """Eq. 2: how long an expert's statistics are if the layers' singular values are averaged, and
    if they are concatenated as A.3.1 says; `error` of the averaged ones against NumPy's."""
    rows = []
    for expert, state in r.experts.items():
        layers = floats(state)
        whole = stats.task_wise(layers, rank)
        every = np.concatenate([w.numpy().ravel() for w in layers.values()])
        tops = []
        for w in layers.values():
            if w.ndim >= 2:
                gram = stats.as_matrix(w).numpy()
                gram = gram @ gram.T if gram.shape[0] < gram.shape[1] else gram.T @ gram
                found = np.sqrt(np.linalg.eigvalsh(gram)[::-1][:rank].clip(0))
                tops.append(np.pad(found, (0, rank - len(found))))
        by_numpy = [every.mean(), every.var(), np.sqrt((every**2).sum()), *np.mean(tops, axis=0)]
        error = np.abs(whole.numpy() - by_numpy).max() / np.abs(by_numpy).max()
        concatenated = 3 + sum(min(rank, *stats.as_matrix(w).shape) for w in layers.values())
        rows.append((r.name, expert, rank, len(whole), concatenated, float(error)))
    columns = ["suite", "expert", "rank", "averaged", "concatenated", "error"]
    return pd.DataFrame(rows, columns=columns)


def relative_spreads(layers: Table) -> Table:
    """How far statistics differ over experts at a layer, and over layers of an expert.

    Standard deviations over the mean size, as medians; for each suite.
    """
    out = {}
    for suite, part in layers.groupby("suite", sort=False):
        for over, at in (("experts", "layer"), ("layers", "expert")):
            for name in ("mean", "variance", "magnitude", "s1"):
                groups = part.groupby(at, sort=False)[name]
                sizes = part[name].abs().groupby(part[at], sort=False).mean()
                spread = groups.std() / sizes.where(sizes > 0)
                out[name, f"{suite}, over {over}"] = spread.median()
    return pd.Series(out).unstack(sort=False)


def operator(kernel: Tensor, side: int, stride: int, padding: int) -> Tensor:
    """The matrix (outputs, inputs) of a convolution on images of a side, from all unit images."""
    units = torch.eye(kernel.shape[1] * side**2, dtype=kernel.dtype)
    images = units.view(-1, kernel.shape[1], side, side)
    return torch.conv2d(images, kernel, stride=stride, padding=padding).flatten(1).T


def convolutions(seed: int) -> Table:
    """Eq. 9: the largest singular value of a flattened kernel, and of the convolution itself."""
    g, rows = generator_of(seed), []
    kinds = {"patches": ((6, 3, 4, 4), 4, 0), "3 x 3": ((6, 4, 3, 3), 1, 1)}
    for name, (shape, stride, padding) in kinds.items():
        kernel = torch.randn(shape, generator=g, dtype=torch.float64)
        flat = stats.as_matrix(kernel)
        tops = [torch.linalg.svdvals(m)[0] for m in (flat, operator(kernel, 8, stride, padding))]
        rows.append((name, *map(float, tops), abs(float(flat.norm() / kernel.norm()) - 1)))
    return pd.DataFrame(rows, columns=["kernel", "flattened", "operator", "norm"])


# ------------------------------------------------------------------------------------------ energy


def shares(weight: Tensor, rank: int = 3) -> tuple[float, float, int]:
    """Of a tensor as a matrix: what its `rank` largest singular values hold of the sum of squares,
    what they hold of the plain sum, and how many of them hold 95 % of the squares."""
    flat = stats.as_matrix(weight.cpu().double())
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    squares = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0)
    held = squares.cumsum(0) / squares.sum()
    values = squares.sqrt()
    at = min(rank, len(held)) - 1
    return (
        float(held[at]),
        float(values[: at + 1].sum() / values.sum()),
        int((held < 0.95).sum()) + 1,
    )


FEW = 2
ENERGY = ["suite", "of", "layer", "values", "squares", "sums", "needed"]


def energy_shares(r: OpenSuite) -> Table:
    """What rank 3 holds of every layer that is not zero; `values` counts its singular values.

    `of` says of what: the experts' weights; their task vectors; or the task vectors of all experts
    of a layer as the rows of one matrix, which the released scripts decompose. The first two are
    means over the first `FEW` experts.
    """
    rows = []
    for name, start in floats(r.base).items():
        weights = [floats({name: state[name]})[name] for state in r.experts.values()]
        changes = [w - start for w in weights]
        stacked = [torch.stack(changes).flatten(1)]
        of = {"weights": weights[:FEW], "task vectors": changes[:FEW], "tasks by entries": stacked}
        for what, found in of.items():
            if found := [w for w in found if w.any()]:
                values = min(stats.as_matrix(found[0]).shape)
                row = np.mean([shares(w) for w in found], axis=0)
                rows.append((r.name, what, name, values, *row))
    return pd.DataFrame(rows, columns=ENERGY)


def random_shares(seed: int) -> Table:
    """The same of random weights with the shapes of a block of ViT-B/32; a vector has rank 1."""
    g = generator_of(seed)
    found = [(min(s), *shares(torch.randn(s, generator=g))) for s in VIT_BLOCK]
    found += [(1, 1.0, 1.0, 1)] * VIT_VECTORS
    rows = [(RANDOM, "weights", f"layer {i}", *row) for i, row in enumerate(found)]
    return pd.DataFrame(rows, columns=ENERGY)


def energy_table(found: Table) -> Table:
    """For each suite, what is decomposed, and matrices or all layers: how many are above 95 %.

    `share` and `of the sum` are medians of what rank 3 holds of squares and of the plain sum;
    `needed` is the median rank that holds 95 % of the squares.
    """
    rows = []
    for (suite, what), part in found.groupby(["suite", "of"], sort=False):
        for layers, some in (("matrices", part[part["values"] > 3]), ("all layers", part)):
            above = int((some.squares > 0.95).sum())
            medians = [some[name].median() for name in ("squares", "sums", "needed")]
            rows.append((suite, what, layers, len(some), above, *medians))
    columns = ["layers", "above 95 %", "share", "of the sum", "needed"]
    return pd.DataFrame(rows, columns=["suite", "of", "counted", *columns])
