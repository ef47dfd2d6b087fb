"""What lies beside weights: what differs between models, what is copied, and what cannot be."""

import json
import os
import re

import pytest
import tiny

from mergehelpers import beside

CONFIG = {
    "model_type": "llama",
    "hidden_act": "silu",
    "num_attention_heads": 2,
    "rope_scaling": {"factor": 2.0, "type": "linear"},
    "vocab_size": 20,
}


def write(folder, **files):
    """Files in a folder: JSON of what is no text; `/` and `.` in names are written `__` and `_`."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def differing(tmp_path, first, second, file="config_json"):
    pair = {
        name: write(tmp_path / name, **{file: content})
        for name, content in {"base": first, "e1": second}.items()
    }
    return beside.mismatches(pair)


CONFIGS = {
    "activation": ({"hidden_act": "gelu"}, 'hidden_act "gelu" for "silu"'),
    "within": (
        {"rope_scaling": {"factor": 4.0, "type": "linear"}},
        "rope_scaling.factor 4.0 for 2",
    ),
    "a list": ({"sizes": [1, 2]}, "sizes [1, 2] for none"),
    "missing": ({"rope_scaling": None}, "rope_scaling.factor none for 2.0, rope_scaling.type none"),
    "many": (
        {f"x{i}": i + 1 for i in range(9)} | {"hidden_act": "relu"},
        "x2 3 for none and 6 more",
    ),
}


@pytest.mark.parametrize("change, expected", CONFIGS.values(), ids=CONFIGS)
def test_settings_that_differ_are_told_in_a_line(tmp_path, change, expected):
    [line] = differing(tmp_path, CONFIG, CONFIG | change)
    assert line.startswith("config.json of e1 is not that of base: ") and expected in line
    assert len(line) < 200


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"_name_or_path": "elsewhere", "transformers_version": "5", "torch_dtype": "float16"},
        {"num_labels": 7, "id2label": {"0": "cat"}, "architectures": ["Other"]},
        {"attention_dropout": 0.1, "tie_word_embeddings": False, "pruned_heads": {}, "more": None},
        {"vocab_size": 20.0},
    ],
    ids=str,
)
def test_settings_that_do_not_change_the_network_are_no_difference(tmp_path, change):
    assert differing(tmp_path, CONFIG, CONFIG | change) == []


BESIDE = {
    "padding": (
        "tokenizer_config_json",
        {"padding_side": "left", "tokenizer_file": "/a"},
        {"padding_side": "right", "tokenizer_file": "/b"},
        'tokenizer_config.json of e1 is not that of base: padding_side "right" for "left"',
    ),
    "a special token": (
        "special_tokens_map_json",
        {"eos_token": {"content": "</s>", "lstrip": False}},
        {"eos_token": "<|end|>"},
        'eos_token "<|end|>" for "</s>"',
    ),
    "pixels": (
        "preprocessor_config_json",
        {"image_mean": [0.5] * 3, "image_processor_type": "A"},
        {"image_mean": [0.48] * 3, "feature_extractor_type": "B"},
        "image_mean [0.48, 0.48, 0.48] for [0.5, 0.5, 0.5]",
    ),
    "the end": (
        "generation_config_json",
        {"eos_token_id": 1},
        {"eos_token_id": [1, 2]},
        "eos_token_id [1, 2] for 1",
    ),
    "a template": ("chat_template.jinja", "{{ a }}", "{{ b }}", "chat_template.jinja of e1"),
}


@pytest.mark.parametrize("file, first, second, expected", BESIDE.values(), ids=BESIDE)
def test_settings_of_tokenizers_and_processors_are_compared(
    tmp_path, file, first, second, expected
):
    [line] = differing(tmp_path, first, second, file)
    assert expected in line
    assert differing(tmp_path / "again", first, first, file) == []


def test_a_special_token_is_the_same_in_both_of_its_formats(tmp_path):
    whole = {"content": "</s>", "lstrip": False, "normalized": True}
    pair = [
        {"eos_token": token, "processor_class": c} for token, c in ((whole, "A"), ("</s>", "B"))
    ]
    assert differing(tmp_path, *pair, "special_tokens_map_json") == []


def tokenizer(**changes):
    vocab = {"a": 0, "b": 1, "c": 2}
    model = {"type": "BPE", "vocab": vocab, "merges": ["a b"]}
    return {
        "model": model,
        "added_tokens": [{"id": 3, "content": "<s>"}],
        "truncation": None,
    } | changes


MODEL = tokenizer()["model"]
TOKENIZERS = {
    "numbers": (
        {"model": MODEL | {"vocab": {"a": 1, "b": 0, "c": 2}}},
        "2 of 3 tokens have another",
    ),
    "more": (
        {"model": MODEL | {"vocab": MODEL["vocab"] | {"d": 3}}},
        "0 of 3 .* or none, 4 in all",
    ),
    "merges": ({"model": MODEL | {"merges": ["b c"]}}, "merges"),
    "added": ({"added_tokens": [{"id": 3, "content": "</s>"}]}, "added tokens"),
    "normalizer": ({"normalizer": {"type": "Lowercase"}}, "normalizer"),
    "unigrams": ({"model": {"vocab": [["a", 0.0], ["b", -1.0]]}}, "3 of 3 tokens have another"),
}


@pytest.mark.parametrize("change, expected", TOKENIZERS.values(), ids=TOKENIZERS)
def test_tokenizers_that_differ_are_told_by_what_they_number(tmp_path, change, expected):
    [line] = differing(tmp_path, tokenizer(), tokenizer(**change), "tokenizer_json")
    assert re.search(f"tokenizer.json of e1 is not that of base: {expected}", line)


@pytest.mark.parametrize(
    "change",
    [
        {"truncation": {"max_length": 8}, "padding": {"strategy": "longest"}, "version": "1.0"},
        {"model": MODEL | {"merges": [["a", "b"]]}},
    ],
    ids=["how texts are cut and padded", "merges as newer files write them"],
)
def test_tokenizers_that_give_the_same_numbers_are_no_difference(tmp_path, change):
    assert differing(tmp_path, tokenizer(), tokenizer(**change), "tokenizer_json") == []


def test_other_vocabularies_and_modules_are_compared_by_content(tmp_path):
    folders = {
        name: write(
            tmp_path / name,
            vocab_txt=text,
            modules_json=[{"path": ""}, {"path": "2_Dense"}],
            **{"2_Dense__config_json": {}, "2_Dense__weights_txt": text},
        )
        for name, text in {"base": "a\nb", "e1": "b\na", "e2": "a\nb"}.items()
    }
    (folders["e2"] / "vocab.txt").unlink()
    assert beside.mismatches(folders) == [
        "vocab.txt of e1 is not that of base: its content",
        "2_Dense/weights.txt of e1 is not that of base: its content",
    ]


def test_models_of_one_library_agree(tmp_path):
    for seed, name in enumerate(["base", "e1"]):
        tiny.bert(tmp_path / name, seed, classes=2 + seed)
    assert beside.mismatches({name: tmp_path / name for name in ("base", "e1")}) == []
    assert beside.mismatches({"base": tmp_path / "base"}) == []


UNREADABLE = {
    "no JSON": ("config_json", "{", "config.json is not a readable JSON file"),
    "too deep": ("config_json", "[" * 99999, "config.json is not a readable JSON file"),
    "a tokenizer of numbers": (
        "tokenizer_json",
        {"added_tokens": [3]},
        "is not what its name says",
    ),
    "a vocabulary of one": ("tokenizer_json", {"model": {"vocab": 3}}, "is not what its name says"),
}


@pytest.mark.parametrize("file, content, message", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_compared_is_named(tmp_path, file, content, message):
    good = tokenizer() if "tokenizer" in file else CONFIG
    with pytest.raises(ValueError, match=f"e1/.*{message}"):
        differing(tmp_path, good, content, file)


NEEDED = """config.json generation_config.json tokenizer.json vocab.txt spiece.model LICENSE.txt
chat_template.jinja modeling_x.py qwen.tiktoken modules.json config_sentence_transformers.json
1_Pooling/config.json 2_Dense/config.json 2_Dense/model.safetensors
additional_chat_templates/tool.jinja"""
OTHER = """model.safetensors pytorch_model.bin model.safetensors.index.json README.md README.txt
.hidden.json adapter_config.json merge.json trainer_state.json all_results.json optimizer.pt
1_Pooling/.cache.json checkpoint-5/config.json onnx/config.json"""


def whole(folder):
    for name in (NEEDED + " " + OTHER).split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    modules = [{"path": "", "type": "x"}, {"path": "1_Pooling"}, {"path": "2_Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def test_all_that_a_model_needs_is_copied_and_nothing_else(tmp_path):
    home, out = whole(tmp_path / "base"), tmp_path / "out"
    out.mkdir()
    found = [file.relative_to(home).as_posix() for file in beside.to_copy(home)]
    assert sorted(found) == sorted(NEEDED.split())
    beside.copy(home, out)
    copied = {file for file in out.rglob("*") if file.is_file()}
    assert {file.relative_to(out).as_posix() for file in copied} == set(NEEDED.split())
    assert (out / "modules.json").read_bytes() == (home / "modules.json").read_bytes()


def test_links_are_followed_as_the_cache_of_the_hub_has_them(tmp_path):
    (tmp_path / "blob").write_text("{}")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").symlink_to("../blob")
    (tmp_path / "out").mkdir()
    beside.copy(tmp_path / "base", tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").is_symlink()
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


def test_of_a_folder_of_nothing_else_nothing_is_copied(tmp_path):
    assert beside.to_copy(tmp_path) == []
    (tmp_path / "a.json").mkdir()
    assert beside.to_copy(tmp_path) == []


def link(name, target="gone"):
    return lambda folder: (folder / name).symlink_to(target)


def module(path):
    return lambda folder: write(folder, modules_json=[{"path": path}])


UNCOPIED = {
    "a link to nothing": (link("config.json"), "config.json is no file, or a link to one"),
    "a link to itself": (link("vocab.txt", "vocab.txt"), "vocab.txt is no file, or a link to one"),
    "a pipe": (lambda folder: os.mkfifo(folder / "a.json"), "a.json is no file"),
    "no such module": (module("1_Pooling"), "modules.json names 1_Pooling, which is not there"),
    "a module elsewhere": (module("../x"), "names '../x', which is no folder beside it"),
    "a module of the disk": (module("/etc"), "names '/etc', which is no folder beside it"),
    "a module of a number": (module(3), "names 3, which is no folder beside it"),
    "modules that are none": (
        lambda folder: write(folder, modules_json={}),
        "modules.json is not a list of modules",
    ),
    "modules that are texts": (
        lambda folder: write(folder, modules_json=["a"]),
        "modules.json is not a list of modules",
    ),
    "modules in no JSON": (
        lambda folder: write(folder, modules_json="["),
        "modules.json is not a readable JSON file",
    ),
}


@pytest.mark.parametrize("damage, message", UNCOPIED.values(), ids=UNCOPIED)
def test_what_cannot_be_copied_is_named_before_anything_is_written(tmp_path, damage, message):
    damage(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((OSError, ValueError), match=f"{tmp_path}.*{message}"):
        beside.to_copy(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path, config_json={})
    monkeypatch.setattr(
        os, "access", lambda path, mode: False
    )  # whoever runs the test may read all
    with pytest.raises(PermissionError, match="config.json cannot be read"):
        beside.to_copy(tmp_path)


def test_a_disk_without_room_is_named_with_what_is_needed(tmp_path):
    beside.check_space(tmp_path, 0)
    with pytest.raises(OSError, match=r"GB free, and 1000000000.00 GB are to be written"):
        beside.check_space(tmp_path, 10**18)
