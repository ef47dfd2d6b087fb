"""Adapters: one small interface over the networks the book merges.

A backbone holds a module for its code and never for its weights: every call takes the state dict
to use, so that many models share one module.
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

State = dict[str, Tensor]
Inputs = dict[str, Tensor]


class TransformersText:
    """A Hugging Face text encoder with mean pooling (BERT, MiniLM)."""

    def __init__(self, folder: str | Path, max_length: int = 40):
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        config = AutoConfig.from_pretrained(folder)
        self.module = AutoModel.from_config(config, add_pooling_layer=False).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.width = config.hidden_size
        self.activation = config.hidden_act
        self.max_length = max_length

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Tokenise: `input_ids` and `attention_mask`, each (sentences, tokens)."""
        return dict(self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.max_length,
                                   return_tensors="pt", return_token_type_ids=False))

    def encode(self, state: State, inputs: Inputs) -> Tensor:
        """Mean-pooled last hidden state, (sentences, width)."""
        hidden = functional_call(self.module, state, kwargs=inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)

    @torch.no_grad()
    def embed(self, state: State, texts: Sequence[str], batch: int = 50) -> Tensor:
        """Embeddings of many sentences, (sentences, width), in batches of similar length."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = torch.empty(len(texts), self.width)
        for start in range(0, len(texts), batch):
            index = order[start:start + batch]
            out[index] = self.encode(state, self.prepare([texts[i] for i in index]))
        return out

    def sites(self) -> list[str]:
        """Names of the linear layers that feed an elementwise activation, in order."""
        return [f"encoder.layer.{i}.intermediate.dense" for i in range(len(self.module.encoder.layer))]

    def preactivations(self, state: State, inputs: Inputs) -> list[tuple[Tensor, Tensor]]:
        """What enters and what leaves each site's linear layer, padding included.

        One pair a site: (sentences, tokens, width) and the pre-activation (sentences, tokens, nodes).
        """
        seen = []
        with _hooked([self.module.get_submodule(site) for site in self.sites()],
                     [lambda module, args, output: seen.append((args[0], output))] * len(self.sites())):
            self.encode(state, inputs)
        return seen

    @contextmanager
    def replaced(self, functions: Sequence[Callable[[Tensor], Tensor]]):
        """Within the block, the activation behind site l computes `functions[l](h)` instead."""
        activations = [layer.intermediate.intermediate_act_fn for layer in self.module.encoder.layer]
        with _hooked(activations, [lambda module, args, output, f=f: f(args[0]) for f in functions]):
            yield


@contextmanager
def _hooked(modules, hooks):
    handles = []
    try:
        for module, hook in zip(modules, hooks, strict=True):
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
