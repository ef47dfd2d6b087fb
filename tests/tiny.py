"""Makers of tiny random models in the formats people have, and of a small suite around them."""

import json

import numpy as np
import torch

from mergehelpers import states

WORDS = ("a", "the", "photo", "of", "cat", "dog", "sat", "saw", "and", "yes", "no")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
VIT = {
    "image_size": 8,
    "patch_size": 4,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "mlp_ratio": 2,
    "output_dim": 6,
}


def tokenizer(folder):
    """One number a word, between [CLS] and [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
    ).save_pretrained(folder)


def shaken(model, seed, spread=0.3):
    """The model, in evaluation mode, with every floating-point tensor drawn anew.

    So none is 0 or 1.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(spread * torch.randn(value.shape, generator=generator))
    return model.eval()


def clip(folder, seed=0):
    """A CLIP of both towers, with its image processor; returns the model."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    text = {
        "vocab_size": 20,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    model = shaken(
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)), seed
    )
    model.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)
    tokenizer(folder)
    return model


def clip_vision(folder, config, seed=1, **options):
    """A vision tower without the projection, as Hub experts are stored; returns the model."""
    from transformers import CLIPVisionModel

    model = shaken(CLIPVisionModel(config), seed)
    model.save_pretrained(folder, **options)
    return model


def bert(folder, seed=0, classes=2):
    """A BERT with its classifier; returns the model."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        num_labels=classes,
    )
    model = shaken(BertForSequenceClassification(config), seed)
    model.save_pretrained(folder)
    tokenizer(folder)
    return model


def t5(folder, seed=0, tied=False):
    """A T5 as published: of the older kind (tied), or of the newer.

    The newer's output layer has weights of its own.
    """
    from transformers import AutoConfig, T5ForConditionalGeneration

    config = {
        "model_type": "t5",
        "vocab_size": 20,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
        "feed_forward_proj": "relu" if tied else "gated-gelu",
        "tie_word_embeddings": tied,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    state = shaken(
        T5ForConditionalGeneration(AutoConfig.from_pretrained(folder)), seed
    ).state_dict()
    own = {} if tied else {"lm_head.weight": state["shared.weight"].flip(0)}
    stored = {
        name: value
        for name, value in state.items()
        if "embed_tokens" not in name and name != "lm_head.weight"
    }
    states.save(stored | own, folder / "model.safetensors", {"format": "pt"})
    tokenizer(folder)


def vit(seed=0):
    """Weights of a tiny open_clip vision transformer of the architecture `VIT`."""
    from open_clip.transformer import VisionTransformer

    return {
        name: value.detach().clone()
        for name, value in shaken(VisionTransformer(**VIT), seed).state_dict().items()
    }


def pair(folder):
    """An open_clip model of both towers, known to open_clip by the name `tiny-pair`.

    Returns the model.
    """
    import open_clip

    vision = {"image_size": 8, "layers": 2, "width": 16, "head_width": 8, "patch_size": 4}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    (folder / "tiny-pair.json").write_text(
        json.dumps({"embed_dim": 6, "vision_cfg": vision, "text_cfg": text})
    )
    open_clip.add_model_config(folder)
    model = shaken(open_clip.create_model("tiny-pair"), seed=0)
    states.save(model.state_dict(), folder / "pair.safetensors")
    return model


def write_manifest(folder, content):
    """`suite.toml` in the folder, of nested dicts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.toml").write_text("\n".join(_toml(content)) + "\n", encoding="utf-8")
    return folder


def _toml(content, table=""):
    for key, value in content.items():
        if not isinstance(value, dict):
            yield f"{json.dumps(key)} = {json.dumps(value)}"
    for key, value in content.items():
        if isinstance(value, dict):
            inner = f"{table}.{json.dumps(key)}" if table else json.dumps(key)
            yield from ("", f"[{inner}]", *_toml(value, inner))


def images(seed, count, size=8, classes=2):
    """Random images (count, size, size, 3) uint8 and labels."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, size, size, 3), np.uint8), generator.integers(
        0, classes, count
    )


def vit_suite(folder):
    """A complete suite of two image tasks, `pets` and `birds`.

    Returns its manifest, which a test may change.
    """
    folder.mkdir(parents=True, exist_ok=True)
    states.save(vit(0), folder / "base.safetensors")
    heads = {}
    for seed, (name, classes) in enumerate(
        {"pets": ["cat", "dog"], "birds": ["owl", "crow", "wren"]}.items(), 1
    ):
        states.save(vit(seed), folder / f"{name}.safetensors")
        generator = torch.Generator().manual_seed(seed)
        heads[f"{name}.weight"] = torch.randn(len(classes), VIT["output_dim"], generator=generator)
        heads[f"{name}.bias"] = torch.randn(len(classes), generator=generator)
        arrays = {}
        for number, (split, count) in enumerate(
            {"train": 20, "val": 5, "unlabelled": 4, "test": 12}.items()
        ):
            inputs, labels = images(10 * seed + number, count, classes=len(classes))
            arrays |= {f"{split}_inputs": inputs, f"{split}_labels": labels}
        np.savez(folder / f"{name}.npz", **arrays)
    states.save(heads, folder / "heads.safetensors")
    content = {
        "name": "tiny",
        "base": "base.safetensors",
        "head": "heads.safetensors",
        "backbone": {"kind": "open_clip", "architecture": VIT},
        "tasks": {
            "pets": {"expert": "pets.safetensors", "data": "pets.npz", "classes": ["cat", "dog"]},
            "birds": {
                "expert": "birds.safetensors",
                "data": "birds.npz",
                "classes": ["owl", "crow", "wren"],
            },
        },
    }
    write_manifest(folder, content)
    return content


def text_suite(folder):
    """The manifest of a suite of one task, `moods`.

    It names a BERT, an expert with its head, and `moods.csv`, yet unwritten.
    """
    bert(folder / "base", seed=0)
    bert(folder / "expert", seed=1)
    return {
        "name": "texts",
        "base": str(folder / "base"),
        "head": "expert",
        "backbone": {"kind": "bert", "model": str(folder / "base"), "pooling": "pooler"},
        "tasks": {
            "moods": {
                "expert": str(folder / "expert"),
                "data": "moods.csv",
                "classes": ["sad", "glad"],
            }
        },
    }


def folder_of_tasks(folder, tasks, classes, counts):
    """A suite of tiny transformers, one expert a task.

    There are `counts` images in each split and labels in turn.
    """
    states.save(vit(0), folder / "base.safetensors")
    heads, described = {}, {}
    for seed, task in enumerate(tasks, 1):
        states.save(vit(seed), folder / f"{task}.safetensors")
        weight = torch.randn(
            len(classes), VIT["output_dim"], generator=torch.Generator().manual_seed(seed)
        )
        heads |= {f"{task}.weight": weight, f"{task}.bias": torch.zeros(len(classes))}
        arrays = {}
        for i, (split, count) in enumerate(counts.items()):
            arrays |= {
                f"{split}_inputs": images(10 * seed + i, count)[0],
                f"{split}_labels": np.arange(count) % len(classes),
            }
        np.savez(folder / f"{task}.npz", **arrays)
        described[task] = {
            "expert": f"{task}.safetensors",
            "data": f"{task}.npz",
            "classes": list(classes),
        }
    states.save(heads, folder / "heads.safetensors")
    write_manifest(
        folder,
        {
            "name": folder.name,
            "base": "base.safetensors",
            "head": "heads.safetensors",
            "backbone": {"kind": "open_clip", "architecture": VIT},
            "tasks": described,
        },
    )


def two_tensors(seed, **changes):
    """A model of a weight and a bias."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        "weight": torch.randn(2, 3, generator=generator),
        "bias": torch.randn(2, generator=generator),
    }
    return state | changes


def same(a, b):
    """Assert that two states are the same."""
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def three_networks(widths):
    """A stack of three small networks of `lab`, with biases that are not zero."""
    from mergebook import lab

    stack = lab.initial([0, 1, 2], widths)
    generator = torch.Generator().manual_seed(0)
    for value in stack.values():
        value += 0.1 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return stack
