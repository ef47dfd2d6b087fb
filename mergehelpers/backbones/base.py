"""What every network offers, and how a checkpoint's names are fitted to it."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mergehelpers import checkpoints, states
from mergehelpers.states import State

Inputs = dict[str, Tensor]
ACTIVATIONS = {
    "GELU": "gelu",
    "GELUActivation": "gelu",
    "QuickGELU": "quick_gelu",
    "QuickGELUActivation": "quick_gelu",
    "ReLU": "relu",
    "NewGELUActivation": "gelu_tanh",
    "GELUTanh": "gelu_tanh",
    "SiLU": "silu",
}
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


class Backbone:
    """What every network offers. A subclass writes the three methods that raise."""

    normalised = False
    batch = 100
    optional: tuple[str, ...] = ()

    def __init__(self, module: nn.Module, width: int):
        self.module, self.width = module.eval().requires_grad_(False), width

    def prepare(self, inputs) -> Inputs:
        """Raw inputs (sentences, images) as the tensors that `encode` takes."""
        raise NotImplementedError

    def encode(self, state: State, inputs: Inputs) -> Tensor:
        """Embeddings (inputs, width) under the weights `state`; differentiable in the weights."""
        raise NotImplementedError

    def _mlps(self) -> list[tuple[str, nn.Module, str]]:
        """For each block, the names of its activation and of the linear layers around it.

        First comes the layer that feeds the activation, then the activation, then the layer that
        reads it.
        """
        raise NotImplementedError

    def call(self, state: State, *args, **kwargs):
        """The module's forward pass under `state`, on the device where `state` lies."""
        device = next(iter(state.values())).device
        self.module.to(device)
        args = [a.to(device) if isinstance(a, Tensor) else a for a in args]
        kwargs = {k: a.to(device) if isinstance(a, Tensor) else a for k, a in kwargs.items()}
        return functional_call(self.module, state, tuple(args), kwargs)

    @torch.no_grad()
    def embed(self, state: State, inputs, batch: int | None = None, bar=None) -> Tensor:
        """Embeddings of many raw inputs, (inputs, width), on the device of `state`."""
        out, batch = [], batch or self.batch
        for start in range(0, len(inputs), batch):
            piece = inputs[start : start + batch]
            out.append(self.encode(state, self.prepare(piece)))
            if bar is not None:
                bar.update(len(piece))
        return torch.cat(out)

    @torch.no_grad()
    def recalibrated(self, state: State, inputs) -> State:
        """The state with every BatchNorm's mean and variance taken from raw inputs, in one batch.

        A merged network's activations have other moments than its parents'. Raises `ValueError` for
        fewer than two inputs.
        """
        if len(inputs) < 2:
            raise ValueError(f"BatchNorm needs 2 inputs or more for its moments, got {len(inputs)}")
        norms = [m for m in self.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        state, before = (
            {name: value.clone() for name, value in state.items()},
            [m.momentum for m in norms],
        )
        try:
            for norm in norms:
                norm.train()
                norm.momentum = 1.0  # only this batch counts
            self.encode(state, self.prepare(inputs))
        finally:
            for norm, momentum in zip(norms, before):
                norm.eval()
                norm.momentum = momentum
        return state

    def sites(self) -> list[str]:
        """Names of the linear layers that feed an elementwise activation, in order."""
        return [name for name, _, _ in self._mlps()]

    def readouts(self) -> list[str]:
        """Names of the linear layers that read those activations, in order."""
        return [name for _, _, name in self._mlps()]

    @property
    def activation(self) -> str:
        """Name of the first site's activation in `mergehelpers.mloss.ACTIVATIONS`."""
        return self.activation_at(self.sites()[0])

    def activation_at(self, site: str) -> str:
        """Name of a site's activation in `mergehelpers.mloss.ACTIVATIONS`."""
        return activation_name(
            next(activation for name, activation, _ in self._mlps() if name == site)
        )

    def visit(
        self, state: State, inputs: Inputs, sites: Sequence[str], see: Callable[[str, Tensor], None]
    ) -> None:
        """Run the network and call `see(site, x)` with what enters the layer of each of `sites`.

        The run ends before the last.
        """
        self._run(
            state,
            inputs,
            sites,
            lambda site, module, args: see(site, args[0]),
            "register_forward_pre_hook",
        )

    def preactivations(
        self, state: State, inputs: Inputs, sites: Sequence[str] | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """What enters and what leaves the layer of each site (of all by default), padding included.

        One pair a site: (inputs, tokens, width) and the pre-activation (inputs, tokens, nodes).
        """
        sites, seen = self.sites() if sites is None else list(sites), {}
        self._run(
            state,
            inputs,
            sites,
            lambda site, module, args, output: seen.setdefault(
                site, (args[0], self.nodes_last(site, output))
            ),
            "register_forward_hook",
        )
        return [seen[site] for site in sites]

    def _run(self, state, inputs, sites, see, register):
        """Run the network with `see(site, ...)` hung on each site's layer, once each.

        The run stops after the last.
        """
        left = list(sites)

        def hook(*args, site):
            if site not in left:  # `see` may call the layer itself, with other weights
                return
            left.remove(site)
            see(site, *args)
            if not left:
                raise _Enough

        with hooked(
            [self.module.get_submodule(site) for site in sites],
            [partial(hook, site=site) for site in sites],
            register,
        ):
            try:
                self.encode(state, inputs)
            except _Enough:
                pass

    def at_site(self, site: str, state: State, x: Tensor) -> Tensor:
        """The pre-activation (inputs, tokens, nodes) of the site's layer.

        The layer makes it of `x` under the weights `state`.
        """
        prefix = f"{site}."
        own = {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
        return self.nodes_last(site, functional_call(self.module.get_submodule(site), own, (x,)))

    def nodes_last(self, site: str, h: Tensor) -> Tensor:
        """A site's output with the nodes as its last axis.

        Channels (inputs, nodes, height, width) go there.
        """
        layer = self.module.get_submodule(site)
        layer = layer[0] if isinstance(layer, nn.Sequential) else layer
        return h.flatten(2).transpose(1, 2) if isinstance(layer, CONVOLUTIONS) else h

    def weight_name(self, site: str) -> str:
        """Name of the weight whose row j makes node j of the site."""
        return f"{site}.weight"

    def token_mask(self, inputs: Inputs, h: Tensor) -> Tensor | None:
        """Which tokens of `h` (inputs, tokens, nodes) are real.

        Answers (inputs, tokens) bool; None if all are.
        """
        mask = inputs.get("attention_mask")
        return mask.bool().to(h.device) if mask is not None and mask.shape == h.shape[:2] else None

    def rows(self, inputs: Inputs, h: Tensor) -> Tensor:
        """`h` (inputs, tokens, nodes) of all inputs with a row a token, padding left out.

        The result is (real tokens, nodes).
        """
        mask = self.token_mask(inputs, h)
        return h.flatten(0, -2) if mask is None else h[mask]

    @contextmanager
    def replaced(self, functions: Sequence[Callable[[Tensor], Tensor]]):
        """Within the block, the activation behind site l computes `functions[l](h)` instead."""
        with hooked(
            [activation for _, activation, _ in self._mlps()],
            [lambda module, args, output, f=f: f(args[0]) for f in functions],
        ):
            yield

    def adopt(self, raw: State, source: str, base: State | None = None) -> State:
        """The tensors of a checkpoint that this network has, under the network's own names.

        A prefix that all of them share (`visual.`, `bert.`, …) may be there or not. A tensor that
        is never fine-tuned (`optional`) is taken from `base`. Half precision becomes the network's
        float32. Raises `ValueError` that lists what is missing, or prefixes that fit equally well.
        """
        wanted = self.names()
        names = _rename(wanted.keys(), raw.keys(), source)
        out = {name: raw[names[name]] for name in wanted if name in names}
        for name in wanted.keys() - out.keys():
            if base is not None and name in self.optional:
                out[name] = base[name]
        problems = [f"no {name}" for name in wanted if name not in out]
        problems += [
            f"{name} has shape {tuple(out[name].shape)}, the network has {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in out and out[name].shape != value.shape
        ]
        problems += [
            f"{name} is {out[name].dtype}, the network has {value.dtype}"
            for name, value in wanted.items()
            if name in out and out[name].is_floating_point() != value.is_floating_point()
        ]
        if problems:
            shown = problems[:8] + (
                [f"… and {len(problems) - 8} more"] if len(problems) > 8 else []
            )
            raise ValueError(
                f"{source} does not fit the backbone {type(self).__name__}:\n  "
                + "\n  ".join(shown)
            )
        return {name: out[name].detach().to(value.dtype) for name, value in wanted.items()}

    def names(self) -> State:
        """The network's own tensors, by name.

        Of tied ones only the first is there (the call ties the others).
        """
        state = self.module.state_dict()
        twins = {second for _, second in states.tied(state)}
        return {name: value for name, value in state.items() if name not in twins}

    def read(self, source: str) -> State:
        """The raw tensors of a checkpoint: a weights file, a folder, or a Hugging Face id."""
        return checkpoints.load(source)


class _Enough(Exception):
    """Ends a forward pass of which the rest is not needed."""


def activation_name(module: nn.Module) -> str:
    """The book's name of an activation module; raises `ValueError` for one it has no name for."""
    kind = type(module).__name__
    if kind == "GELU" and module.approximate == "tanh":
        return "gelu_tanh"
    if kind not in ACTIVATIONS:
        raise ValueError(
            f"the activation {kind} has no name here; "
            f"known: {', '.join(sorted(set(ACTIVATIONS.values())))}"
        )
    return ACTIVATIONS[kind]


def _rename(wanted, raw, source):
    """`{wanted: raw}` under the one change of prefix, added or dropped, that fits most names."""
    wanted, raw = list(wanted), set(raw)
    added, dropped = states.prefixes(wanted, raw), states.prefixes(raw, wanted)
    changes = [lambda name: name]
    changes += [lambda name, p=p: p + name for p in added]
    changes += [lambda name, p=p: name.removeprefix(p) for p in dropped]
    fits = [sum(change(name) in raw for name in wanted) for change in changes]
    most = max(fits)
    if len(added) > 1 and fits[1] == most > fits[0] and 2 * most > len(wanted):
        raise ValueError(f"{source} holds several such networks: {', '.join(added)}; save one only")
    best = changes[fits.index(most)]
    return {name: key for name in wanted if (key := best(name)) in raw or (key := name) in raw}


def hf_config(model, kind=None):
    """The configuration of a Hugging Face model.

    Raises `ValueError` if it is of another type than `kind`.
    """
    from transformers import AutoConfig

    with checkpoints.hub_errors(str(model)):
        config = AutoConfig.from_pretrained(model)
    if kind and config.model_type != kind:
        raise ValueError(
            f"{model} is a model of type {config.model_type}, "
            f"this backbone needs one of type {kind}"
        )
    return config


def hf_tokenizer(model):
    """The tokenizer of a Hugging Face model; raises `ValueError` for a folder without one."""
    from transformers import AutoTokenizer

    folder = Path(model)
    if folder.is_dir() and not any(file for name in TOKENIZERS for file in folder.glob(name)):
        raise ValueError(f"{model} holds no tokenizer; looked for {', '.join(TOKENIZERS)}")
    with checkpoints.hub_errors(str(model)):
        return AutoTokenizer.from_pretrained(model)


@contextmanager
def hooked(
    modules: Sequence[nn.Module], hooks: Sequence[Callable], register: str = "register_forward_hook"
):
    """Within the block, `hooks[i]` hangs on `modules[i]`.

    `register` names the method that hangs it.
    """
    handles = []
    try:
        for module, hook in zip(modules, hooks, strict=True):
            handles.append(getattr(module, register)(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
