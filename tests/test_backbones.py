"""The kinds of network, on tiny random models and on MiniLM.

Each agrees with the library it comes from.
"""

import copy
from functools import partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from torch.nn.functional import linear, normalize

from mergehelpers import mloss, states, suites
from mergehelpers.backbones import BertText, ClipVision, OpenClipVision, Plain, T5Text
from mergehelpers.backbones.base import activation_name
from mergehelpers.suites.data import Items

TEXTS = ["the cat sat", "a dog", "the dog saw a cat and the cat sat", "a"]
SIZES = [(16, 16), (16, 19), (23, 16), (40, 21), (21, 40), (9, 13), (17, 33), (5, 5), (300, 200)]
CLASSES, TEMPLATES = ["cat", "dog", "the cat"], ["a photo of {}", "the {} sat", "{}"]


def open_clip(folder):
    states.save(tiny.vit(), folder / "base.safetensors")
    return OpenClipVision(architecture=tiny.VIT), folder / "base.safetensors", tiny.images(0, 5)[0]


def clip(folder):
    tiny.clip(folder)
    return ClipVision(str(folder)), folder, tiny.images(0, 5, size=16)[0]


def bert(folder):
    tiny.bert(folder)
    return BertText(str(folder), "pooler", max_length=16), folder, TEXTS


def t5(folder):
    tiny.t5(folder)
    return T5Text(str(folder), max_length=16), folder, TEXTS


MAKERS = {"open_clip": open_clip, "clip": clip, "bert": bert, "t5": t5}
PREFIXES = {"open_clip": "visual.", "clip": "model.", "bert": "bert.", "t5": "transformer."}


@pytest.fixture(scope="module")
def all_made(tmp_path_factory):
    """One of each kind: the backbone, its state, where its own files are, and raw inputs.

    The state was read from these files.
    """
    out = {}
    for kind, make in MAKERS.items():
        backbone, source, inputs = make(tmp_path_factory.mktemp(kind))
        state = backbone.adopt(backbone.read(str(source)), str(source))
        out[kind] = SimpleNamespace(
            kind=kind, backbone=backbone, state=state, source=source, inputs=inputs
        )
    return out


@pytest.fixture(params=MAKERS)
def made(request, all_made):
    return all_made[request.param]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return tiny.pair(folder), str(folder / "pair.safetensors")


@torch.no_grad()
def encoded(made, state=None):
    return made.backbone.encode(state or made.state, made.backbone.prepare(made.inputs))


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def differ(a, b):
    return (a - b).abs().max() > 0.01


# Agreement with the libraries


@torch.no_grad()
def test_open_clip_images_are_encoded_as_by_open_clip(all_made):
    from open_clip.transformer import VisionTransformer

    made = all_made["open_clip"]
    model = VisionTransformer(**tiny.VIT).eval()
    model.load_state_dict(tiny.vit())
    expected = model(made.backbone.prepare(made.inputs)["pixels"])
    assert expected.shape == (5, made.backbone.width) and differ(expected[0], expected[1])
    close(encoded(made), expected)


@torch.no_grad()
def test_clip_images_are_encoded_as_by_transformers(all_made):
    from transformers import CLIPModel

    made = all_made["clip"]
    features = CLIPModel.from_pretrained(made.source).get_image_features(**pixel_values(made))
    expected = getattr(features, "pooler_output", features)
    assert expected.shape == (5, made.backbone.width) and differ(expected[0], expected[1])
    close(encoded(made), expected)


def pixel_values(made):
    return {"pixel_values": made.backbone.prepare(made.inputs)["pixels"]}


@torch.no_grad()
def test_a_bert_classifier_is_its_pooled_embedding_and_its_head(all_made):
    from transformers import BertForSequenceClassification

    made = all_made["bert"]
    model = BertForSequenceClassification.from_pretrained(made.source).eval()
    raw = made.backbone.read(str(made.source))
    expected = model(**made.backbone.prepare(TEXTS)).logits
    assert differ(expected[0], expected[1])
    close(linear(encoded(made), raw["classifier.weight"], raw["classifier.bias"]), expected)


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
@torch.no_grad()
def test_padding_does_not_enter_the_pooling(all_made, pooling):
    """One sentence at a time, there is none."""
    from transformers import AutoTokenizer, BertModel

    folder = all_made["bert"].source
    backbone = BertText(str(folder), pooling)
    state = backbone.adopt(backbone.read(str(folder)), str(folder))
    model, tokenizer = (
        BertModel.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    outs = [
        model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)) for text in TEXTS
    ]
    expected = {
        "mean": [out.last_hidden_state[0].mean(0) for out in outs],
        "cls": [out.last_hidden_state[0, 0] for out in outs],
        "pooler": [out.pooler_output[0] for out in outs],
    }
    close(backbone.encode(state, backbone.prepare(TEXTS)), torch.stack(expected[pooling]))


@torch.no_grad()
def test_padded_pooling_reads_what_lies_behind_a_text(all_made):
    """As a BERT that gets no mask, on texts filled up to their longest length."""
    from transformers import BertModel

    folder = all_made["bert"].source
    backbone = BertText(str(folder), "padded", max_length=12)
    state = backbone.adopt(backbone.read(str(folder)), str(folder))
    model, pad = BertModel.from_pretrained(folder).eval(), backbone.tokenizer.pad_token_id
    ids = [backbone.tokenizer(text)["input_ids"][:12] for text in TEXTS]
    filled = torch.tensor([row + [pad] * (12 - len(row)) for row in ids])
    expected = model(input_ids=filled).last_hidden_state.mean(1)
    close(backbone.encode(state, backbone.prepare(TEXTS)), expected)
    one_by_one = torch.cat([backbone.embed(state, [text]) for text in TEXTS])
    close(backbone.embed(state, TEXTS), one_by_one)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@torch.no_grad()
def test_t5_scores_words_as_transformers_does(tmp_path, tied):
    from transformers import T5ForConditionalGeneration

    tiny.t5(tmp_path, tied=tied)
    backbone = T5Text(str(tmp_path))
    state = backbone.adopt(backbone.read(str(tmp_path)), str(tmp_path))
    assert ("lm_head.weight" in state) == (not tied)
    inputs = backbone.prepare(TEXTS)
    model = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    logits = model(**inputs, decoder_input_ids=torch.zeros(len(TEXTS), 1, dtype=torch.long)).logits[
        :, 0
    ]
    words = ["yes", "no", "cat"]
    expected = logits[:, [len(tiny.SPECIAL) + tiny.WORDS.index(word) for word in words]]
    assert differ(expected[0], expected[1])
    close(linear(backbone.encode(state, inputs), **backbone.word_head(state, words)), expected)


@torch.no_grad()
def test_a_t5_that_transformers_wrote_anew_is_the_same_model(all_made, tmp_path):
    from transformers import T5ForConditionalGeneration

    made = all_made["t5"]
    T5ForConditionalGeneration.from_pretrained(made.source).save_pretrained(tmp_path)
    tiny.tokenizer(tmp_path)
    backbone = T5Text(str(tmp_path))
    state = backbone.adopt(backbone.read(str(tmp_path)), str(tmp_path))
    inputs, words = backbone.prepare(TEXTS), ["yes", "no"]
    close(
        linear(backbone.encode(state, inputs), **backbone.word_head(state, words)),
        linear(encoded(made), **made.backbone.word_head(made.state, words)),
    )


def test_words_that_begin_alike_cannot_be_told_apart(all_made):
    made = all_made["t5"]
    with pytest.raises(ValueError, match="must differ in their first token, got cat, cat sat"):
        made.backbone.word_head(made.state, ["cat", "cat sat"])


@torch.no_grad()
def test_clip_zero_shot_logits_are_those_of_transformers(all_made):
    from transformers import AutoTokenizer, CLIPModel

    made = all_made["clip"]
    model, tokenizer = (
        CLIPModel.from_pretrained(made.source).eval(),
        AutoTokenizer.from_pretrained(made.source),
    )
    tokens = tokenizer(
        [f"a photo of {name}" for name in CLASSES],
        padding=True,
        return_tensors="pt",
        return_token_type_ids=False,
    )
    expected = model(**tokens, **pixel_values(made)).logits_per_image
    assert differ(expected[0], expected[1]) and differ(expected[:, 0], expected[:, 1])
    head = made.backbone.text_head(str(made.source), CLASSES, ["a photo of {}"])
    close(linear(normalize(encoded(made), dim=-1), **head), expected)


@torch.no_grad()
def test_open_clip_zero_shot_logits_are_those_of_open_clip(pair):
    import open_clip as library

    model, source = pair
    backbone = OpenClipVision("tiny-pair")
    state = backbone.adopt(backbone.read(source), source)
    pixels = backbone.prepare(tiny.images(0, 5)[0])
    tokens = library.get_tokenizer("tiny-pair")([f"a {name}." for name in CLASSES])
    images, texts, scale = model(pixels["pixels"], tokens)
    expected = scale * images @ texts.T
    assert differ(expected[0], expected[1]) and differ(expected[:, 0], expected[:, 1])
    head = backbone.text_head(source, CLASSES, ["a {}."])
    close(linear(normalize(backbone.encode(state, pixels), dim=-1), **head), expected)


@torch.no_grad()
def test_several_templates_are_averaged_as_directions(all_made, pair):
    made, (_, source) = all_made["clip"], pair
    for backbone, place in (
        (made.backbone, str(made.source)),
        (OpenClipVision("tiny-pair"), source),
    ):
        single = [
            backbone.text_head(place, CLASSES, [template])["weight"] for template in TEMPLATES
        ]
        mean = torch.stack([normalize(weight, dim=1) for weight in single]).mean(0)
        head = backbone.text_head(place, CLASSES, TEMPLATES)
        close(head["weight"], single[0].norm(dim=1, keepdim=True) * normalize(mean, dim=1))
        assert differ(head["weight"], single[0]) and not head["bias"].any()


def pictures(mode="RGB"):
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).convert(mode)
        for size in SIZES
    ]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_images_are_prepared_as_by_transformers(all_made, mode):
    """Its resizing and that of PIL round some values to a neighbouring grey level."""
    from transformers import AutoImageProcessor

    made = all_made["clip"]
    processor = AutoImageProcessor.from_pretrained(made.source)
    level = 1 / 255 / min(processor.image_std)
    for picture in pictures(mode):
        expected = processor(images=[picture], return_tensors="pt")["pixel_values"]
        found = made.backbone.prepare([picture])["pixels"]
        close(found, expected, atol=1.01 * level)
        assert (found - expected).abs().mean() < 0.05 * level


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_are_prepared_as_by_open_clip(all_made, mode):
    from open_clip import image_transform

    backbone = all_made["open_clip"].backbone
    mean, std = (tuple(value.flatten().tolist()) for value in (backbone.mean, backbone.std))
    transform = image_transform(backbone.size, is_train=False, mean=mean, std=std)
    for picture in pictures(mode):
        close(backbone.prepare([picture])["pixels"][0], transform(picture))


def test_arrays_and_pictures_are_prepared_alike(all_made):
    backbone = all_made["open_clip"].backbone
    for size in (8, 11):
        colour, grey = tiny.images(0, 4, size=size)[0], tiny.images(0, 4, size=size)[0][..., 0]
        for array, mode in ((colour, "RGB"), (grey, "L")):
            as_pictures = backbone.prepare([Image.fromarray(each, mode) for each in array])[
                "pixels"
            ]
            found = backbone.prepare(array)["pixels"]
            assert found.shape == as_pictures.shape == (4, 3, 8, 8)
            close(found, as_pictures)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 8, 8, 3)), np.zeros((2, 64), np.uint8)], ids=["floats", "rows"]
)
def test_arrays_that_are_no_images_are_refused(all_made, array):
    with pytest.raises(
        ValueError, match=r"must be uint8, 0 to 255, of shape \(n, height, width\) .* this one is"
    ):
        all_made["open_clip"].backbone.prepare(array)


def test_pretrained_weights_decide_between_quick_gelu_and_gelu(monkeypatch):
    for name in ("normal_", "trunc_normal_", "uniform_", "kaiming_uniform_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **options: tensor)
    for tag, activation in (("openai", "quick_gelu"), ("laion2b_s34b_b79k", "gelu")):
        backbone = OpenClipVision("ViT-B-32", tag)
        assert (backbone.activation, backbone.width, backbone.size) == (activation, 512, 224)


# Reading checkpoints


def test_all_tensors_come_under_the_networks_own_names(made):
    assert made.state.keys() == made.backbone.names().keys()
    raw = made.backbone.read(str(made.source))
    for name, value in made.state.items():
        assert value.dtype == torch.float32 and not value.requires_grad
        stored = raw[name] if name in raw else raw[f"bert.{name}"]
        assert torch.equal(value, stored)


@pytest.mark.parametrize("module", ["", "module."])
def test_a_prefix_may_be_there_or_not(made, module):
    same(made, made.state)
    same(made, {module + PREFIXES[made.kind] + name: value for name, value in made.state.items()})


def same(made, raw, base=None):
    found = made.backbone.adopt(raw, "a checkpoint", base)
    assert found.keys() == made.state.keys()
    assert all(torch.equal(found[name], value) for name, value in made.state.items())


def test_of_a_whole_open_clip_model_the_visual_tower_is_taken(pair):
    """The text tower has a `positional_embedding` of its own."""
    model, source = pair
    backbone = OpenClipVision("tiny-pair")
    found = backbone.adopt(backbone.read(source), source)
    for name, value in model.visual.state_dict().items():
        assert torch.equal(found[name], value)


def test_a_vision_tower_without_its_prefix_and_projection_takes_the_bases_projection(
    all_made, tmp_path
):
    from transformers import CLIPModel

    made = all_made["clip"]
    config = CLIPModel.from_pretrained(made.source).config.vision_config
    for name, options in (("whole", {}), ("shards", {"max_shard_size": "4KB"})):
        expert = tiny.clip_vision(tmp_path / name, config, **options)
        raw = made.backbone.read(str(tmp_path / name))
        found = made.backbone.adopt(raw, "the expert", made.state)
        assert torch.equal(
            found["visual_projection.weight"], made.state["visual_projection.weight"]
        )
        pixels = pixel_values(made)
        with torch.no_grad():
            expected = expert(**pixels).pooler_output @ made.state["visual_projection.weight"].T
        close(made.backbone.encode(found, {"pixels": pixels["pixel_values"]}), expected)
        with pytest.raises(
            ValueError, match="expert does not fit the backbone ClipVision:\n  no visual_projection"
        ):
            made.backbone.adopt(raw, "the expert")


def test_old_names_of_layer_norm_are_understood(all_made):
    made = all_made["bert"]
    old = {}
    for name, value in made.state.items():
        if "LayerNorm" in name:
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
        old[f"bert.{name}"] = value
    assert sum(name.endswith((".gamma", ".beta")) for name in old) == 10
    same(made, old)


def test_half_precision_becomes_single(made):
    half = {name: value.half() for name, value in made.state.items()}
    found = made.backbone.adopt(half, "a checkpoint")
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert all(torch.equal(found[name], value.float()) for name, value in half.items())
    close(encoded(made, found), encoded(made), atol=0.05)


def test_what_is_missing_or_of_another_shape_is_listed(made):
    names = list(made.state)
    raw = {name: value for name, value in made.state.items() if name != names[2]}
    raw[names[3]] = torch.zeros(7)
    with pytest.raises(ValueError) as caught:
        made.backbone.adopt(raw, "a checkpoint")
    assert str(caught.value).splitlines() == [
        f"a checkpoint does not fit the backbone {type(made.backbone).__name__}:",
        f"  no {names[2]}",
        f"  {names[3]} has shape (7,), the network has {tuple(made.state[names[3]].shape)}",
    ]


def test_a_long_list_of_what_is_missing_is_cut(made):
    with pytest.raises(ValueError) as caught:
        made.backbone.adopt({"other": torch.zeros(1)}, "a checkpoint")
    lines = str(caught.value).splitlines()
    assert len(lines) == 10 and lines[-1] == f"  … and {len(made.state) - 8} more"


# Use of the weights


def test_the_state_decides_not_the_module(made):
    zero = {name: torch.zeros_like(value) for name, value in made.state.items()}
    before = encoded(made)
    assert differ(encoded(made, zero), before)
    assert torch.equal(encoded(made), before)


def test_gradients_flow_to_the_weights(made):
    """The slope along a random direction, against a difference quotient.

    T5 keeps its norms in single precision.
    """
    generator, step, rtol = (
        torch.Generator().manual_seed(0),
        *((1e-4, 1e-3) if made.kind == "t5" else (1e-6, 1e-6)),
    )
    inputs = {
        name: value.double() if value.is_floating_point() else value
        for name, value in made.backbone.prepare(made.inputs).items()
    }
    state = {name: value.double() for name, value in made.state.items()}
    direction = {
        name: torch.randn(value.shape, generator=generator).double()
        for name, value in state.items()
    }

    def loss(state):
        return made.backbone.encode(state, inputs).square().sum()

    leaves = {name: value.clone().requires_grad_() for name, value in state.items()}
    loss(leaves).backward()
    slope = sum(
        (leaf.grad * direction[name]).sum()
        for name, leaf in leaves.items()
        if leaf.grad is not None
    )
    ends = [loss(states.apply(state, direction, sign * step)) for sign in (1, -1)]
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / (2 * step), rtol=rtol, atol=0)
    unused = {name for name, leaf in leaves.items() if leaf.grad is None}
    assert unused <= {"lm_head.weight"}


def test_embeddings_keep_the_order_and_ignore_the_batch(made):
    backbone, many = made.backbone, list(made.inputs) * 3
    alone = torch.cat([backbone.embed(made.state, many[i : i + 1]) for i in range(len(many))])
    assert alone.shape == (len(many), backbone.width) and differ(alone[0], alone[1])
    for batch in (1, 4, 7, None):
        close(backbone.embed(made.state, many, batch), alone)
    close(backbone.embed(made.state, many[::-1], 4), alone.flip(0))
    close(
        backbone.embed(
            made.state, Items(lambda indices: [many[i] for i in indices], range(len(many))), 4
        ),
        alone,
    )


def test_the_bar_counts_inputs(made):
    steps = []
    made.backbone.embed(made.state, made.inputs, 3, SimpleNamespace(update=steps.append))
    assert steps == [3, len(made.inputs) - 3]


def test_long_texts_are_cut(all_made):
    for kind in ("bert", "t5"):
        inputs = all_made[kind].backbone.prepare(["the " * 100, "a"])
        assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, 16)
        assert inputs["attention_mask"].sum(1).tolist() == [16, 3]


# Activations


SITES = {
    "open_clip": ("transformer.resblocks.{}.mlp.c_fc", "gelu", 32),
    "clip": ("vision_model.encoder.layers.{}.mlp.fc1", "quick_gelu", 24),
    "bert": ("encoder.layer.{}.intermediate.dense", "gelu", 24),
    "t5": ("encoder.block.{}.layer.1.DenseReluDense.wi_0", "gelu_tanh", 24),
}


def test_preactivations_are_what_each_linear_layer_makes(made):
    site, activation, nodes = SITES[made.kind]
    assert made.backbone.sites() == [site.format(i) for i in range(2)]
    assert made.backbone.activation == activation
    pairs = made.backbone.preactivations(made.state, made.backbone.prepare(made.inputs))
    assert len(pairs) == 2
    for name, (x, h) in zip(made.backbone.sites(), pairs):
        assert x.shape == (*h.shape[:2], 16) and h.shape == (len(made.inputs), h.shape[1], nodes)
        close(h, linear(x, made.state[f"{name}.weight"], made.state.get(f"{name}.bias")))
        assert made.backbone.activation_at(name) == activation


def test_preactivations_of_some_sites_are_those_among_all(made):
    inputs = made.backbone.prepare(made.inputs)
    first, second = made.backbone.sites()
    every = dict(zip((first, second), made.backbone.preactivations(made.state, inputs)))
    for sites in ([first], [second], [second, first], []):
        pairs = made.backbone.preactivations(made.state, inputs, sites)
        for site, (x, h) in zip(sites, pairs, strict=True):
            assert torch.equal(x, every[site][0]) and torch.equal(h, every[site][1])


def test_a_t5_of_the_older_kind_has_other_sites(tmp_path):
    tiny.t5(tmp_path, tied=True)
    backbone = T5Text(str(tmp_path))
    assert backbone.sites() == [f"encoder.block.{i}.layer.1.DenseReluDense.wi" for i in range(2)]
    assert backbone.activation == "relu"


@torch.no_grad()
def test_replaced_activations_see_the_preactivations(made):
    seen, function = [], mloss.ACTIVATIONS[made.backbone.activation].f

    def same_function(h):
        seen.append(h)
        return function(h)

    with made.backbone.replaced([same_function] * 2):
        found = encoded(made)
    close(found, encoded(made))
    pairs = made.backbone.preactivations(made.state, made.backbone.prepare(made.inputs))
    for h, (_, expected) in zip(seen, pairs, strict=True):
        close(h, expected)


OUTPUTS = {
    "open_clip": "transformer.resblocks.{}.mlp.c_proj.weight",
    "clip": "vision_model.encoder.layers.{}.mlp.fc2.weight",
    "bert": "encoder.layer.{}.output.dense.weight",
    "t5": "encoder.block.{}.layer.1.DenseReluDense.wo.weight",
}


def test_every_site_has_its_own_replacement(made):
    """A zeroed activation is as good as an output layer without weights."""
    function = mloss.ACTIVATIONS[made.backbone.activation].f
    for site, functions in enumerate([(torch.zeros_like, function), (function, torch.zeros_like)]):
        name = OUTPUTS[made.kind].format(site)
        silent = encoded(made, made.state | {name: torch.zeros_like(made.state[name])})
        with made.backbone.replaced(functions):
            found = encoded(made)
        close(found, silent)
        assert differ(found, encoded(made))


def test_replacing_only_lasts_for_the_block(made):
    before = encoded(made)
    with made.backbone.replaced([torch.zeros_like] * 2):
        assert differ(encoded(made), before)
    assert torch.equal(encoded(made), before)
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        made.backbone.replaced([torch.zeros_like] * 2),
    ):
        raise RuntimeError("on purpose")
    assert torch.equal(encoded(made), before)


def test_a_wrong_number_of_replacements_is_refused_and_leaves_no_trace(made):
    before = encoded(made)
    with pytest.raises(ValueError), made.backbone.replaced([torch.zeros_like]):
        pass
    assert torch.equal(encoded(made), before)


@pytest.mark.parametrize(
    "module, name",
    [
        (torch.nn.GELU(), "gelu"),
        (torch.nn.GELU("tanh"), "gelu_tanh"),
        (torch.nn.ReLU(), "relu"),
        (torch.nn.SiLU(), "silu"),
    ],
)
def test_an_activations_name_is_that_of_its_formula(module, name):
    h = torch.linspace(-4, 4, 81)
    assert activation_name(module) == name
    close(module(h), mloss.ACTIVATIONS[name].f(h))


def test_an_activation_without_a_name_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="the activation Hardtanh has no name here; known: gelu, "):
        activation_name(torch.nn.Hardtanh())


# What cannot be a backbone


def test_another_pooling_is_refused(all_made):
    with pytest.raises(ValueError, match="pooling is 'max'; allowed: mean, cls, pooler, padded"):
        BertText(str(all_made["bert"].source), "max")


def test_an_unknown_open_clip_model_is_refused_with_names_like_it():
    with pytest.raises(
        ValueError, match="open_clip has no model 'ViT-B-33'; the nearest of its names: ViT-B-32, "
    ):
        OpenClipVision("ViT-B-33")


def test_unknown_open_clip_weights_are_refused_with_those_there_are(pair):
    with pytest.raises(
        ValueError, match="open_clip has no weights 'openai' for tiny-pair; allowed: a file"
    ):
        OpenClipVision("tiny-pair").read("open_clip:openai")


@pytest.mark.parametrize(
    "change", [{"widht": 3}, {"heads": 3}, {"heads": "2"}, {"output_dim": None}], ids=str
)
def test_an_architecture_that_makes_no_network_is_refused(change):
    with pytest.raises(ValueError, match="the architecture makes no open_clip VisionTransformer: "):
        OpenClipVision(architecture=tiny.VIT | change)


@pytest.mark.parametrize(
    "build, kind, message",
    [
        (BertText, "t5", "is a model of type t5, this backbone needs a text encoder"),
        (ClipVision, "bert", "is a model of type bert, this backbone needs one of type clip"),
        (T5Text, "bert", "is a model of type bert, this backbone needs one of type t5"),
    ],
)
def test_a_folder_with_another_kind_of_model_is_refused(all_made, build, kind, message):
    with pytest.raises(ValueError, match=f"{all_made[kind].source.name} {message}"):
        build(str(all_made[kind].source))


@pytest.mark.parametrize(
    "build, file, content, message",
    [
        (BertText, "config.json", "{", "could not be read"),
        (BertText, "tokenizer.json", "{", "could not be read"),
        (BertText, "tokenizer.json", None, "holds no tokenizer"),
        (T5Text, "config.json", None, "could not be read"),
        (ClipVision, "preprocessor_config.json", None, "could not be read"),
    ],
)
def test_a_folder_that_is_not_whole_is_named(tmp_path, build, file, content, message):
    folder = tmp_path / "model"
    {BertText: tiny.bert, T5Text: tiny.t5, ClipVision: tiny.clip}[build](folder)
    (folder / file).unlink()
    if content:
        (folder / file).write_text(content)
    with pytest.raises(ValueError, match=f"{folder} {message}"):
        build(str(folder))


@pytest.mark.parametrize("build", [BertText, ClipVision, T5Text])
def test_without_a_network_an_unknown_id_says_how_to_go_on(monkeypatch, build):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match="(?s)nobody/nothing is not a local folder, .* copy the folder here"
    ):
        build("nobody/nothing")


# The real MiniLM


@pytest.fixture(scope="module")
def minilm():
    folder = str(suites.minilm_folder())
    backbone = BertText(folder)
    state = backbone.adopt(backbone.read(folder), folder)
    texts = [
        "What a lovely day!",
        "Interest rates fell again, and nobody had expected it.",
        "word " * 100,
        "a film",
    ]
    return SimpleNamespace(backbone=backbone, state=state, inputs=texts, source=folder)


def test_minilm_embeds_as_transformers_does(minilm):
    """Loaded and pooled by other code: AutoModel on the same folder, one sentence at a time."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(minilm.source).eval(),
        AutoTokenizer.from_pretrained(minilm.source),
    )
    tokens = [
        tokenizer(text, truncation=True, max_length=40, return_tensors="pt")
        for text in minilm.inputs
    ]
    with torch.no_grad():
        expected = torch.stack([model(**each).last_hidden_state[0].mean(0) for each in tokens])
    close(minilm.backbone.embed(minilm.state, minilm.inputs, 3), expected)


def test_replacing_minilms_gelu(minilm):
    """By GELU nothing changes; by zero the embeddings do."""
    before, sites = encoded(minilm), len(minilm.backbone.sites())
    assert sites == 6 and minilm.backbone.activation == "gelu"
    with minilm.backbone.replaced([torch.nn.functional.gelu] * sites):
        close(encoded(minilm), before)
    with minilm.backbone.replaced([torch.zeros_like] * sites):
        assert differ(encoded(minilm), before)


# Sites, one by one


def other(state, seed=1, spread=0.1):
    g = torch.Generator().manual_seed(seed)
    return {
        name: value + spread * torch.randn(value.shape, generator=g).to(value)
        for name, value in state.items()
    }


def seen_by(made, sites, state=None):
    seen = []
    made.backbone.visit(
        state or made.state,
        made.backbone.prepare(made.inputs),
        sites,
        lambda site, x: seen.append((site, x)),
    )
    return seen


def entering(made, site):
    """What the site's layer is given by the whole network."""
    seen = []
    handle = made.backbone.module.get_submodule(site).register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    try:
        encoded(made)
    finally:
        handle.remove()
    (x,) = seen
    return x


def hooks(backbone):
    return [
        hook
        for module in backbone.module.modules()
        for kind in (module._forward_hooks, module._forward_pre_hooks)
        for hook in kind.values()
    ]


@torch.no_grad()
def test_a_visit_shows_each_site_once_in_the_order_of_the_network(made):
    first, second = made.backbone.sites()
    for sites, expected in (
        ([first], [first]),
        ([second], [second]),
        ([second, first], [first, second]),
    ):
        seen = seen_by(made, sites)
        assert [site for site, _ in seen] == expected
        for site, x in seen:
            assert torch.equal(x, entering(made, site))


@torch.no_grad()
def layers_run(made, run):
    """Which of the layers that feed or read an activation compute during `run()`, in order."""
    ran, names = [], [*made.backbone.sites(), *made.backbone.readouts()]
    handles = [
        made.backbone.module.get_submodule(name).register_forward_hook(
            lambda *_, name=name: ran.append(name)
        )
        for name in names
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return ran


def test_a_visit_ends_before_the_layer_of_its_last_site(made):
    (first, second), (reader, _) = made.backbone.sites(), made.backbone.readouts()
    assert layers_run(made, lambda: seen_by(made, [first])) == []
    for sites in ([second], [second, first]):
        assert layers_run(made, lambda sites=sites: seen_by(made, sites)) == [first, reader]


def test_preactivations_end_behind_the_layer_of_their_last_site(made):
    (first, second), (reader, _) = made.backbone.sites(), made.backbone.readouts()
    inputs = made.backbone.prepare(made.inputs)
    for sites, expected in (
        ([first], [first]),
        ([second], [first, reader, second]),
        (None, [first, reader, second]),
    ):
        run = partial(made.backbone.preactivations, made.state, inputs, sites)
        assert layers_run(made, run) == expected


def test_a_visitor_may_run_the_site_with_other_weights(made):
    """What follows is not disturbed by it."""
    found, weights, inputs = [], other(made.state), made.backbone.prepare(made.inputs)

    def see(site, x):
        found.append(
            (x, *(made.backbone.at_site(site, state, x) for state in (weights, made.state)))
        )

    made.backbone.visit(made.state, inputs, made.backbone.sites(), see)
    for site, (x, h), (visited, changed, same) in zip(
        made.backbone.sites(), made.backbone.preactivations(made.state, inputs), found, strict=True
    ):
        assert torch.equal(visited, x) and torch.equal(same, h)
        close(changed, linear(x, weights[f"{site}.weight"], weights.get(f"{site}.bias")))
        assert differ(changed, h)


def test_a_visit_leaves_no_hooks_even_if_the_visitor_fails(made):
    def fail(*_):
        raise RuntimeError("on purpose")

    before, own = encoded(made), hooks(made.backbone)
    seen_by(made, made.backbone.sites())
    with pytest.raises(RuntimeError, match="on purpose"):
        made.backbone.visit(
            made.state, made.backbone.prepare(made.inputs), made.backbone.sites(), fail
        )
    assert hooks(made.backbone) == own and torch.equal(encoded(made), before)


def test_the_rows_of_a_sites_weight_are_its_nodes(made):
    """A weight row of zeros, and a bias of zero, make the node silent, and no other."""
    inputs = made.backbone.prepare(made.inputs)
    for site, (_, h) in zip(
        made.backbone.sites(), made.backbone.preactivations(made.state, inputs)
    ):
        name = made.backbone.weight_name(site)
        weight = made.state[name].clone()
        weight[3] = 0
        bias = (
            {f"{site}.bias": made.state[f"{site}.bias"].clone()}
            if f"{site}.bias" in made.state
            else {}
        )
        for value in bias.values():
            value[3] = 0
        ((_, changed),) = made.backbone.preactivations(
            made.state | {name: weight} | bias, inputs, [site]
        )
        assert not changed[..., 3].any() and h[..., 3].abs().max() > 0.01
        others = [node for node in range(h.shape[-1]) if node != 3]
        assert len(weight) == h.shape[-1] and torch.equal(changed[..., others], h[..., others])


def test_the_token_mask_is_that_of_the_real_tokens(made):
    inputs = made.backbone.prepare(made.inputs)
    for _, h in made.backbone.preactivations(made.state, inputs):
        mask = made.backbone.token_mask(inputs, h)
        if made.kind in ("open_clip", "clip"):
            assert mask is None
        else:
            assert mask.dtype == torch.bool and mask.sum(1).tolist() == [
                len(text.split()) + 2 for text in TEXTS
            ]
            assert all(torch.equal(row, row.sort(descending=True).values) for row in mask)
            assert made.backbone.token_mask(inputs, h[:, :1]) is None


@pytest.mark.parametrize("inner", [False, True], ids=["alone", "with its norm"])
@pytest.mark.parametrize(
    "convolution, size",
    [(torch.nn.Conv1d, (5,)), (torch.nn.Conv2d, (4, 5)), (torch.nn.Conv3d, (2, 4, 5))],
)
def test_the_channels_of_a_convolution_go_to_the_last_axis(convolution, size, inner):
    layer = convolution(2, 3, 1)
    layer = torch.nn.Sequential(layer, torch.nn.GroupNorm(1, 3)) if inner else layer
    backbone, h = Plain(torch.nn.Sequential(layer, torch.nn.ReLU()), 3), torch.randn(2, 3, *size)
    found = backbone.nodes_last("0", h)
    assert found.shape == (2, h[0, 0].numel(), 3)
    for n in range(2):
        for token, place in enumerate(product(*map(range, size))):
            assert found[n, token].tolist() == h[n, :, *place].tolist()


@pytest.mark.parametrize("shape", [(2, 3), (2, 5, 3), (2, 4, 5, 3)])
def test_the_nodes_of_a_linear_layer_are_last_already(shape):
    backbone = Plain(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()), 3)
    h = torch.zeros(shape)
    assert backbone.nodes_last("0", h) is h


# Plain networks


def plain():
    """Every kind of site: a linear layer, a convolution, and a convolution with its norm."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4)),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 5, 2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(20, 6),
        torch.nn.ReLU(),
        torch.nn.Linear(6, 2),
    )
    backbone = Plain(module, 2)
    count = "0.1.num_batches_tracked"
    state = other(
        {name: value for name, value in backbone.names().items() if name != count}, spread=0.5
    )
    state |= {"0.1.running_var": state["0.1.running_var"].abs() + 0.5, count: torch.tensor(4)}
    return backbone, state, tiny.images(0, 5)[0].transpose(0, 3, 1, 2) / 255


def test_a_plain_network_is_its_module_under_the_states_weights():
    backbone, state, inputs = plain()
    expected = copy.deepcopy(backbone.module)
    expected.load_state_dict(state)
    found = backbone.encode(state, backbone.prepare(inputs))
    close(found, expected(torch.tensor(inputs, dtype=torch.float32)))
    assert found.shape == (5, backbone.width) and differ(found[0], found[1])
    for batch in (1, 2, None):
        close(backbone.embed(state, inputs, batch), found)


def test_a_plain_networks_sites_feed_its_activations():
    backbone, state, inputs = plain()
    assert backbone.sites() == ["0", "3", "6"] and backbone.readouts() == ["3", "6", "8"]
    assert backbone.activation == "relu"
    assert [backbone.weight_name(site) for site in backbone.sites()] == [
        "0.0.weight",
        "3.weight",
        "6.weight",
    ]
    (x, first), (_, second), (_, third) = backbone.preactivations(state, backbone.prepare(inputs))
    assert x.shape == (5, 3, 8, 8)
    assert (first.shape, second.shape, third.shape) == ((5, 36, 4), (5, 4, 5), (5, 6))
    inner = copy.deepcopy(backbone.module[0])
    inner.load_state_dict(
        {name.removeprefix("0."): value for name, value in state.items() if name.startswith("0.")}
    )
    close(first[1, 7], inner(x)[1, :, 1, 1])
    close(
        backbone.encode(state, backbone.prepare(inputs)),
        linear(third.relu(), state["8.weight"], state["8.bias"]),
    )


def test_a_site_with_its_norm_runs_under_the_weights_of_both():
    backbone, state, inputs = plain()
    x = backbone.prepare(inputs)["x"]
    changed = state | {"0.1.running_mean": state["0.1.running_mean"] + 1}
    step = state["0.1.weight"] / (state["0.1.running_var"] + 1e-5).sqrt()
    close(backbone.at_site("0", changed, x), backbone.at_site("0", state, x) - step)


def test_a_plain_network_prepares_inputs_in_its_own_precision():
    backbone, _, inputs = plain()
    found = backbone.prepare(inputs)["x"]
    assert found.dtype == torch.float32
    for many in (list(torch.tensor(inputs)), tuple(torch.tensor(inputs)), torch.tensor(inputs)):
        assert torch.equal(backbone.prepare(many)["x"], found)
    assert backbone.token_mask(backbone.prepare(inputs), torch.zeros(5, 4, 6)) is None
    double = Plain(backbone.module.double(), 2)
    assert torch.equal(double.prepare(inputs)["x"], torch.tensor(inputs))


@pytest.mark.parametrize("kind", [np.ndarray.tolist, list], ids=["numbers", "arrays"])
def test_a_plain_network_prepares_lists(kind):
    backbone, _, inputs = plain()
    assert torch.equal(backbone.prepare(kind(inputs))["x"], backbone.prepare(inputs)["x"])


def test_replacing_a_plain_networks_activations():
    backbone, state, inputs = plain()
    with backbone.replaced([torch.relu, torch.relu, torch.zeros_like]):
        found = backbone.encode(state, backbone.prepare(inputs))
    close(found, state["8.bias"].expand(5, 2))


def test_the_last_activation_has_no_reader():
    backbone = Plain(
        torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GELU(), torch.nn.Dropout()), 3
    )
    assert (backbone.sites(), backbone.readouts(), backbone.activation) == (["0"], [""], "gelu")


def test_a_plain_network_without_activations_has_no_sites():
    assert Plain(torch.nn.Sequential(torch.nn.Linear(2, 3)), 3).sites() == []
    assert Plain(torch.nn.Sequential(), 3).sites() == []


def test_each_site_of_a_plain_network_has_its_own_activation():
    layers = [
        layer
        for activation in (torch.nn.SiLU(), torch.nn.ReLU(), torch.nn.GELU("tanh"))
        for layer in (torch.nn.Linear(3, 3), activation)
    ]
    backbone = Plain(torch.nn.Sequential(*layers), 3)
    assert [backbone.activation_at(site) for site in ("0", "2", "4")] == [
        "silu",
        "relu",
        "gelu_tanh",
    ]
    assert backbone.activation == "silu"


NO_LAYERS = [torch.nn.BatchNorm1d(3), torch.nn.Dropout(), torch.nn.LayerNorm(3), torch.nn.ReLU()]


@pytest.mark.parametrize("inner", [False, True], ids=["alone", "first of an inner one"])
@pytest.mark.parametrize("between", NO_LAYERS, ids=lambda module: type(module).__name__)
def test_what_feeds_an_activation_and_is_no_layer_is_refused(between, inner):
    kind = type(between).__name__
    between = torch.nn.Sequential(between, torch.nn.Linear(3, 3)) if inner else between
    with pytest.raises(
        ValueError, match=f"an activation follows 1, a {kind}; put .* into an inner nn.Sequential"
    ):
        Plain(torch.nn.Sequential(torch.nn.Linear(2, 3), between, torch.nn.ReLU()), 3)


@pytest.mark.parametrize("between", NO_LAYERS[:3], ids=lambda module: type(module).__name__)
def test_within_the_layers_own_part_it_is_welcome(between):
    inner = torch.nn.Sequential(torch.nn.Linear(2, 3), between)
    backbone = Plain(torch.nn.Sequential(inner, torch.nn.ReLU()), 3)
    assert backbone.sites() == ["0"] and backbone.weight_name("0") == "0.0.weight"


def test_recalibrated_moments_are_those_of_the_inputs():
    block = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    backbone = Plain(torch.nn.Sequential(block, torch.nn.ReLU(), torch.nn.Linear(4, 2)), 2)
    state = {name: value.clone() for name, value in backbone.module.state_dict().items()}
    before = {name: value.clone() for name, value in state.items()}
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    renewed = backbone.recalibrated(state, x)
    h = torch.nn.functional.linear(x, state["0.0.weight"], state["0.0.bias"])
    torch.testing.assert_close(renewed["0.1.running_mean"], h.mean(0))
    torch.testing.assert_close(renewed["0.1.running_var"], h.var(0))
    assert all(torch.equal(before[name], state[name]) for name in state)
    assert not backbone.module[0][1].training and backbone.module[0][1].momentum == 0.1
    with pytest.raises(ValueError, match="BatchNorm needs 2 inputs or more for its moments, got 1"):
        backbone.recalibrated(state, x[:1])
