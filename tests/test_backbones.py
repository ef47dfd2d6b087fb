"""The text backbone: against transformers itself on MiniLM, and on a tiny random BERT made here."""

import pytest
import torch
from torch.nn import functional as F

from mergehelpers import states
from mergehelpers.backbones import TransformersText

TEXTS = ["the cat sat", "a dog", "the dog saw a cat and the cat sat", "a"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "cat", "dog", "sat", "saw", "and"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Backbone and state of a random two-layer BERT, read from a folder like any model's."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32, initializer_range=0.5,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return TransformersText(folder, max_length=16), states.load(folder / "model.safetensors")


@torch.no_grad()
def encoded(backbone, state):
    return backbone.encode(state, backbone.prepare(TEXTS))


def test_a_folder_made_by_hand_is_a_backbone(tiny):
    backbone, state = tiny
    assert (backbone.width, backbone.activation) == (16, "gelu")
    assert state.keys() == backbone.module.state_dict().keys()
    assert encoded(backbone, state).shape == (4, 16)


def test_minilm_embeds_as_transformers_does(text4):
    """Loaded and pooled by other code: AutoModel on the same folder, one sentence at a time."""
    from transformers import AutoModel, AutoTokenizer

    from mergehelpers import suites

    folder = suites.minilm_folder()
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = [text for task in text4.tasks.values() for text in task.texts["test"][:5]] + ["word " * 100]
    tokens = [tokenizer(text, truncation=True, max_length=40, return_tensors="pt") for text in texts]
    with torch.no_grad():
        expected = torch.stack([model(**each).last_hidden_state[0].mean(0) for each in tokens])
    torch.testing.assert_close(text4.backbone.embed(text4.base, texts), expected, rtol=0, atol=1e-5)


def test_embeddings_keep_the_order_and_ignore_the_batch(tiny):
    backbone, state = tiny
    texts = TEXTS * 5
    alone = torch.cat([backbone.embed(state, [text]) for text in texts])
    torch.testing.assert_close(backbone.embed(state, texts, batch=7), alone, rtol=0, atol=1e-5)
    assert (alone[0] - alone[1]).abs().max() > 0.01


def test_the_state_decides_not_the_module(tiny):
    backbone, state = tiny
    zero = {name: torch.zeros_like(value) for name, value in state.items()}
    before = encoded(backbone, state)
    assert not encoded(backbone, zero).any()
    assert torch.equal(encoded(backbone, state), before)


def test_long_texts_are_cut(tiny):
    backbone, _ = tiny
    inputs = backbone.prepare(["the " * 100, "a"])
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, 16)
    assert inputs["attention_mask"].sum(1).tolist() == [16, 3]


def test_preactivations_are_what_each_linear_layer_makes(tiny):
    backbone, state = tiny
    pairs = backbone.preactivations(state, backbone.prepare(TEXTS))
    assert backbone.sites() == [f"encoder.layer.{i}.intermediate.dense" for i in range(2)]
    assert len(pairs) == 2
    for site, (x, h) in zip(backbone.sites(), pairs):
        assert x.shape == (4, 11, 16) and h.shape == (4, 11, 24)
        torch.testing.assert_close(h, x @ state[f"{site}.weight"].T + state[f"{site}.bias"])


@torch.no_grad()
def test_replaced_activations_see_the_preactivations(tiny):
    backbone, state = tiny
    seen = []

    def gelu(h):
        seen.append(h)
        return F.gelu(h)

    with backbone.replaced([gelu, gelu]):
        out = encoded(backbone, state)
    torch.testing.assert_close(out, encoded(backbone, state), rtol=0, atol=1e-6)
    for h, (_, expected) in zip(seen, backbone.preactivations(state, backbone.prepare(TEXTS)), strict=True):
        torch.testing.assert_close(h, expected)


def test_replacing_only_lasts_for_the_block(tiny):
    backbone, state = tiny
    before = encoded(backbone, state)
    with backbone.replaced([torch.zeros_like, torch.zeros_like]):
        assert (encoded(backbone, state) - before).abs().max() > 0.01
    assert torch.equal(encoded(backbone, state), before)
    with pytest.raises(RuntimeError, match="on purpose"), backbone.replaced([torch.zeros_like] * 2):
        raise RuntimeError("on purpose")
    assert torch.equal(encoded(backbone, state), before)


def test_every_site_has_its_own_replacement(tiny):
    """A zeroed activation leaves that layer with the bias of its output layer."""
    backbone, state = tiny
    for site, functions in enumerate([(torch.zeros_like, F.gelu), (F.gelu, torch.zeros_like)]):
        silent = state | {f"encoder.layer.{site}.output.dense.weight": torch.zeros(16, 24)}
        with backbone.replaced(functions):
            torch.testing.assert_close(encoded(backbone, state), encoded(backbone, silent))


def test_replacing_minilms_gelu(text4):
    """By GELU nothing changes; by zero the embeddings do."""
    texts = text4.tasks["corpus"].texts["val"][:10]
    before = text4.backbone.embed(text4.base, texts)
    sites = len(text4.backbone.sites())
    assert sites == 6 and text4.backbone.activation == "gelu"
    with text4.backbone.replaced([F.gelu] * sites):
        torch.testing.assert_close(text4.backbone.embed(text4.base, texts), before, rtol=0, atol=1e-5)
    with text4.backbone.replaced([torch.zeros_like] * sites):
        assert (text4.backbone.embed(text4.base, texts) - before).abs().max() > 0.1


def test_a_wrong_number_of_replacements_is_refused_and_leaves_no_trace(tiny):
    backbone, state = tiny
    before = encoded(backbone, state)
    with pytest.raises(ValueError), backbone.replaced([torch.zeros_like]):
        pass
    assert torch.equal(encoded(backbone, state), before)
