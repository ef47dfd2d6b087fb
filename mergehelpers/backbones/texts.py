"""Text encoders of BERT's kind, and T5, from Hugging Face."""

from collections.abc import Sequence

import torch

from mergehelpers.backbones.base import Backbone, Inputs, hf_config, hf_tokenizer
from mergehelpers.states import State

POOLINGS = ("mean", "cls", "pooler", "padded")


class _Texts(Backbone):
    """Sentences."""

    batch = 50
    padding: bool | str = True  # to the longest text of a batch

    def __init__(self, module, width, model, max_length):
        super().__init__(module, width)
        self.max_length = max_length
        self.tokenizer = hf_tokenizer(model)

    def prepare(self, inputs) -> Inputs:
        """Tokenise: `input_ids` and `attention_mask`, each (sentences, tokens)."""
        return dict(
            self.tokenizer(
                list(inputs),
                padding=self.padding,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
                return_token_type_ids=False,
            )
        )

    @torch.no_grad()
    def embed(self, state, inputs, batch=None, bar=None):
        """As `Backbone.embed`, in batches of similar length."""
        order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
        sorted_embeddings = super().embed(state, [inputs[i] for i in order], batch, bar)
        return sorted_embeddings[torch.tensor(order).argsort().to(sorted_embeddings.device)]


class BertText(_Texts):
    """A Hugging Face text encoder (BERT, MiniLM).

    `pooling` is mean, cls, pooler (BERT's own tanh layer), or padded: the mean over `max_length`
    positions, of which those behind a text are read like any other. FT-Classifier's script does so.
    """

    def __init__(self, model: str, pooling: str = "mean", max_length: int = 40):
        from transformers import AutoModel

        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}; allowed: {', '.join(POOLINGS)}")
        config = hf_config(model)
        try:
            module = AutoModel.from_config(config, add_pooling_layer=pooling == "pooler")
        except TypeError as error:
            raise ValueError(
                f"{model} is a model of type {config.model_type}, "
                "this backbone needs a text encoder such as bert or roberta"
            ) from error
        super().__init__(module, config.hidden_size, model, max_length)
        self.pooling = pooling
        if pooling == "padded":
            self.padding = "max_length"

    def prepare(self, inputs) -> Inputs:
        """Tokenise: `input_ids` and `attention_mask`, each (sentences, tokens)."""
        tokens = super().prepare(inputs)
        if self.pooling == "padded":
            tokens["attention_mask"] = torch.ones_like(tokens["attention_mask"])
        return tokens

    def encode(self, state, inputs):
        out = self.call(state, **inputs)
        if self.pooling == "pooler":
            return out.pooler_output
        if self.pooling == "cls":
            return out.last_hidden_state[:, 0]
        mask = inputs["attention_mask"].to(out.last_hidden_state).unsqueeze(-1)
        return (out.last_hidden_state * mask).sum(1) / mask.sum(1)

    def adopt(self, raw, source, base=None):
        """As `Backbone.adopt`; the oldest checkpoints call LayerNorm's tensors gamma and beta."""
        endings = {".gamma": ".weight", ".beta": ".bias"}
        renamed = {}
        for name, value in raw.items():
            old = next((ending for ending in endings if name.endswith("LayerNorm" + ending)), "")
            renamed[name.removesuffix(old) + endings.get(old, "")] = value
        return super().adopt(renamed, source, base)

    def _mlps(self):
        return [
            (
                f"encoder.layer.{i}.intermediate.dense",
                layer.intermediate.intermediate_act_fn,
                f"encoder.layer.{i}.output.dense",
            )
            for i, layer in enumerate(self.module.encoder.layer)
        ]


class T5Text(_Texts):
    """A Hugging Face T5.

    The embedding is the decoder's hidden state where the first answer token is predicted. Its
    `sites` are those of the encoder.
    """

    def __init__(self, model: str, max_length: int = 128):
        from transformers import T5ForConditionalGeneration

        config = hf_config(model, "t5")
        # transformers 5 keeps the file's tie_word_embeddings under this name, and says True under
        # the old one.
        config.tie_word_embeddings = getattr(
            config, "scale_decoder_outputs", config.tie_word_embeddings
        )
        module = T5ForConditionalGeneration(config)
        module.set_input_embeddings(module.shared)
        super().__init__(module, config.d_model, model, max_length)
        self.scale = config.d_model**-0.5 if config.tie_word_embeddings else 1.0
        self.start = config.decoder_start_token_id

    def encode(self, state, inputs):
        start = torch.full((len(inputs["input_ids"]), 1), self.start)
        out = self.call(
            state, **inputs, decoder_input_ids=start, output_hidden_states=True, use_cache=False
        )
        return out.decoder_hidden_states[-1][:, 0]

    def word_head(self, state: State, words: Sequence[str]) -> State:
        """The rows of the model's output layer that score each label word's first token."""
        first = [self.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words]
        if len(set(first)) < len(first):
            raise ValueError(
                f"label words must differ in their first token, got {', '.join(words)}"
            )
        weight = self.scale * state.get("lm_head.weight", state["shared.weight"])[first]
        return {
            "weight": weight,
            "bias": torch.zeros(len(first), dtype=weight.dtype, device=weight.device),
        }

    def _mlps(self):
        out = []
        for i, block in enumerate(self.module.encoder.block):
            path, dense = f"encoder.block.{i}.layer.1.DenseReluDense", block.layer[1].DenseReluDense
            out.append(
                (f"{path}.{'wi_0' if hasattr(dense, 'wi_0') else 'wi'}", dense.act, f"{path}.wo")
            )
        return out
