"""Weight statistics, and the learner that makes merging coefficients of them.

Both are from StatsMerging, Section 3.2. A *layer* is a parameter tensor. A learner is a module
whose call gives the coefficients (experts, layers), as `merge.combine` takes them; `distil.train`
fits it.
"""

from collections.abc import Mapping, Sequence

import torch
from scipy.sparse.linalg import svds
from torch import Tensor, nn

STATISTICS = ("mean", "variance", "magnitude", "singular")
FORMS = ("simplex", "free")
KINDS = ("linear", "mlp2", "mlp4", "transformer")
SMALL = 128  # up to this side a full decomposition is the quicker one


def as_matrix(weight: Tensor) -> Tensor:
    """The tensor as a matrix.

    A convolution (out, in, ...) is taken as (out, in times ...) (A.3.1, Eq. 9), a vector as one
    row.
    """
    return weight.reshape(1, -1) if weight.ndim < 2 else weight.flatten(1)


def singular_values(weight: Tensor, rank: int) -> Tensor:
    """The `rank` largest singular values of `as_matrix(weight)`, largest first, float64 on the CPU.

    Large matrices go to Lanczos' method, which finds these alone. Raises `ValueError` if there are
    fewer.
    """
    flat = as_matrix(weight).detach().cpu().double()
    if not 1 <= rank <= min(flat.shape):
        raise ValueError(
            f"rank is {rank}; a layer of shape {tuple(weight.shape)} allows 1 to {min(flat.shape)}"
        )
    if min(flat.shape) <= max(SMALL, rank):
        return torch.linalg.svdvals(flat)[:rank]
    found = svds(flat.numpy(), k=rank, return_singular_vectors=False, rng=0)
    return torch.from_numpy(found.copy()).sort(descending=True).values


def energy(weight: Tensor, rank: int) -> float:
    """Share of the squared norm of `as_matrix(weight)` in its `rank` largest singular values.

    The norm is Frobenius's; NaN for zeros.
    """
    return float(
        singular_values(weight, rank).square().sum() / weight.detach().cpu().double().square().sum()
    )


def of_layer(weight: Tensor, rank: int = 3) -> Tensor:
    """The statistics of a tensor, (3 + rank,) float64 (Eq. 3).

    They are its mean, population variance, norm and `rank` largest singular values. Where there are
    fewer singular values, zeros take their place.
    """
    w = weight.detach().cpu().double()
    top = singular_values(w, min(rank, *as_matrix(w).shape)) if rank else w.new_zeros(0)
    return torch.cat(
        [
            torch.stack([w.mean(), w.var(correction=0), w.norm()]),
            top,
            top.new_zeros(rank - len(top)),
        ]
    )


def layer_wise(state: Mapping[str, Tensor], rank: int = 3) -> Tensor:
    """The statistics of every floating-point tensor, (layers, 3 + rank) (Eq. 3).

    Raises `ValueError` for a rank that no layer allows.
    """
    weights = [value for value in state.values() if value.is_floating_point()]
    most = max(min(as_matrix(weight).shape) for weight in weights)
    if not 0 <= rank <= most:
        raise ValueError(f"rank is {rank}; the layers of this model allow 0 to {most}")
    return torch.stack([of_layer(weight, rank) for weight in weights])


def task_wise(state: Mapping[str, Tensor], rank: int = 3) -> Tensor:
    """The statistics of a whole model, (3 + rank,) (Eq. 2).

    A model is no matrix, so its singular values are the mean of its weight matrices'; the other
    statistics are those of all entries together.
    """
    layers = layer_wise(state, rank)
    weights = [value for value in state.values() if value.is_floating_point()]
    matrices = torch.tensor([weight.ndim >= 2 for weight in weights])
    together = torch.cat([weight.flatten() for weight in weights])
    return torch.cat([of_layer(together, 0), layers[matrices, 3:].mean(0)])


def choose(features: Tensor, names: Sequence[str]) -> Tensor:
    """The columns of the named statistics (`STATISTICS`); raises `ValueError` that lists them."""
    if unknown := [name for name in names if name not in STATISTICS]:
        raise ValueError(f"statistic is {unknown[0]!r}; allowed: {', '.join(STATISTICS)}")
    width = features.shape[-1]
    columns = {"mean": [0], "variance": [1], "magnitude": [2], "singular": range(3, width)}
    return features[..., [i for name in STATISTICS if name in names for i in columns[name]]]


def standardise(features: Tensor, over: Sequence[int] = (0, 1)) -> Tensor:
    """Each statistic with mean 0 and spread 1 over the axes `over`; constants become 0.

    `features` are (experts, layers, statistics).
    """
    centred = features - features.mean(dim=tuple(over), keepdim=True)
    spread = centred.square().mean(dim=tuple(over), keepdim=True).sqrt()
    # What is left of a constant is rounding, and its spread would blow it up.
    tiny = spread <= 1e-12 * features.abs().amax(dim=tuple(over), keepdim=True)
    return torch.where(tiny, 0.0, centred / spread.where(~tiny, 1.0)).float()


class Free(nn.Module):
    """Coefficients (experts, layers) that are learnt as they are, with no statistics.

    They are the control, and AdaMerging's own.
    """

    def __init__(self, experts: int, layers: int = 1, form: str = "free", start: float = 0.3):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(experts, layers))
        self.form, self.start = _form(form), start

    def forward(self) -> Tensor:
        return shaped(self.raw, self.form, self.start)


class Learner(nn.Module):
    """StatsMergeLearner: coefficients from statistics (Eqs. 4 and 5).

    It reads `features` (experts, layers, statistics). One network g serves all experts and layers;
    with `shared` false every layer has its own, which reads the statistics of all experts and gives
    all their coefficients. `kind` is one of `KINDS`; a transformer looks at all layers of an expert
    together. The last layer starts at zero, so that all learners start from the same merge: the
    average of the experts (`simplex`), or task arithmetic with `start` (`free`). Raises
    `ValueError` for an unknown kind or form.
    """

    def __init__(
        self,
        features: Tensor,
        kind: str = "mlp2",
        width: int = 64,
        form: str = "simplex",
        start: float = 0.3,
        shared: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        experts, layers, size = features.shape
        if kind == "transformer" and not shared:
            raise ValueError(
                "a transformer reads all layers together; one for each layer makes no sense"
            )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.networks = nn.ModuleList(
                [_network(kind, size, width, 1)]
                if shared
                else [_network(kind, size * experts, width, experts) for _ in range(layers)]
            )
        self.register_buffer("features", features.float())
        self.form, self.start, self.shared = _form(form), start, shared

    def forward(self) -> Tensor:
        return self.coefficients(self.features)

    def coefficients(self, features: Tensor) -> Tensor:
        """Coefficients (experts, layers) for other experts' statistics."""
        if self.shared:
            raw = self.networks[0](features).squeeze(-1)
        else:
            raw = torch.stack(
                [g(x.flatten()) for g, x in zip(self.networks, features.unbind(1), strict=True)],
                dim=1,
            )
        return shaped(raw, self.form, self.start)


def shaped(raw: Tensor, form: str, start: float) -> Tensor:
    """Coefficients from raw scores (experts, layers).

    They are a softmax over experts, or `start` plus the score.
    """
    return raw.softmax(0) if form == "simplex" else start + raw


def _form(name):
    if name not in FORMS:
        raise ValueError(f"form is {name!r}; allowed: {', '.join(FORMS)}")
    return name


def _network(kind, size, width, out):
    """A network from the last axis (size) to the last axis (out)."""
    if kind not in KINDS:
        raise ValueError(f"learner is {kind!r}; allowed: {', '.join(KINDS)}")
    last = nn.Linear(size if kind == "linear" else width, out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    if kind == "linear":
        return last
    if kind == "transformer":
        block = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, batch_first=True
        )
        return nn.Sequential(
            nn.Linear(size, width),
            nn.TransformerEncoder(block, 2, enable_nested_tensor=False),
            last,
        )
    hidden = [nn.Linear(size, width), nn.ReLU()]
    for _ in range({"mlp2": 0, "mlp4": 2}[kind]):
        hidden += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, last)
