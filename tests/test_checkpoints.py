"""What is read from files, folders and the Hub, and what is refused, with its message."""

import json
import math
import os
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tiny import same
from tiny import two_tensors as model

from mergehelpers import checkpoints, specs, states, stream, unmergeable
from mergehelpers.suites import packing

STATE = model(0, ids=torch.arange(3), half=torch.ones(2, dtype=torch.float16))


def sharded(folder):
    files = {
        "model-1-of-2.safetensors": ["weight", "ids"],
        "model-2-of-2.safetensors": ["bias", "half"],
    }
    for file, keys in files.items():
        save_file({key: STATE[key] for key in keys}, folder / file)
    places = {key: file for file, keys in files.items() for key in keys}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places})
    )
    return folder


def old_shards(folder):
    torch.save({"weight": STATE["weight"]}, folder / "a.bin")
    torch.save({key: value for key, value in STATE.items() if key != "weight"}, folder / "b.bin")
    places = dict.fromkeys(STATE, "b.bin") | {"weight": "a.bin"}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def stored(save, name, folder_only=False):
    def make(folder):
        save(STATE, folder / name)
        return folder if folder_only else folder / name

    return make


STORED = {
    "safetensors": stored(save_file, "any.safetensors"),
    "folder": stored(save_file, "model.safetensors", folder_only=True),
    "shards": sharded,
    "pt": stored(torch.save, "any.pt"),
    "ckpt": stored(torch.save, "any.ckpt"),
    "pickled in a folder": stored(torch.save, "pytorch_model.bin", folder_only=True),
    "pickled shards": old_shards,
    "before torch 1.6": stored(
        lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False), "any.pth"
    ),
    "state_dict": stored(
        lambda s, path: torch.save({"state_dict": s, "epoch": 3}, path), "any.ckpt"
    ),
    "saved here": stored(states.save, "any.safetensors"),
}


@pytest.mark.parametrize("make", STORED.values(), ids=STORED)
def test_every_way_to_store_weights_is_read(tmp_path, make):
    source = make(tmp_path)
    for loaded in (checkpoints.load(source), checkpoints.load(str(source))):
        same(loaded, STATE)
        assert {key: value.dtype for key, value in loaded.items()} == {
            key: value.dtype for key, value in STATE.items()
        }


def test_safetensors_are_preferred_to_pickles_and_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "run.ckpt"
    folder.mkdir()
    torch.save(model(1), folder / "pytorch_model.bin")
    save_file(model(0), folder / "model.safetensors")
    same(checkpoints.load(folder), model(0))


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"not a model", lambda data: data[:-3], lambda data: b""],
    ids=["other", "cut", "empty"],
)
def test_a_corrupt_file_is_named(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    save_file(model(0), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="model.safetensors is not a readable safetensors file"):
        checkpoints.load(path)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-3], lambda data: data[: len(data) // 2], lambda data: b""],
    ids=["cut", "half", "empty"],
)
def test_a_corrupt_torch_file_is_named(tmp_path, damage):
    path = tmp_path / "model.bin"
    torch.save(model(0), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.bin is (not a readable torch file|corrupt)"):
        checkpoints.load(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_bytes_that_torch_did_not_write_are_refused_whatever_they_begin_with(tmp_path):
    path = tmp_path / "model.bin"
    for first in range(256):
        path.write_bytes(bytes([first]) + b" pointer to where the weights are\n")
        with pytest.raises(ValueError, match=r"model\.bin is (not a readable torch file|corrupt)"):
            checkpoints.load(path)


class Code:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_holds_code_is_refused_and_the_code_does_not_run(tmp_path, zipped):
    path, ran = tmp_path / "model.bin", tmp_path / "ran"
    torch.save(model(0, head=Code(ran)), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"model\.bin .* could run code; so it was not opened"):
        checkpoints.load(path)
    assert not ran.exists()
    torch.load(path, weights_only=False)
    assert ran.exists()


def test_a_missing_file_is_named(tmp_path):
    for suffix in checkpoints.SAFE + checkpoints.PICKLED:
        with pytest.raises(FileNotFoundError, match=f"no weights file at .*absent{suffix}"):
            checkpoints.load(tmp_path / f"absent{suffix}")


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_allowed(tmp_path):
    (tmp_path / "model.h5").touch()
    with pytest.raises(
        ValueError, match=r"model\.h5 is not a weights file; allowed: \.safetensors, \.bin, "
    ):
        checkpoints.load(tmp_path / "model.h5")


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path.name} holds no model.safetensors"):
        checkpoints.load(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    (sharded(tmp_path) / "model-2-of-2.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match="index.json names model-2-of-2.safetensors, which is"
    ):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": ["a"]}'])
def test_a_corrupt_index_of_shards_is_named(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="model.safetensors.index.json is not an? "):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model", "a/path/that/is/absent"])
def test_without_a_network_an_unknown_id_says_how_to_go_on(monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError) as caught:
        checkpoints.load(name)
    assert str(caught.value).startswith(
        f"{name} is not a local folder, and the Hugging Face Hub gave no copy"
    )
    assert "With no network, download it elsewhere, copy the folder here, and give its path" in str(
        caught.value
    )


def test_what_is_wrong_with_a_local_folder_is_not_blamed_on_the_network(tmp_path):
    for name, kind, message in (
        (str(tmp_path), ValueError, f"{tmp_path.name} could not be read: on purpose"),
        ("a/b", FileNotFoundError, "Hub gave no copy .OSError: on purpose"),
    ):
        with pytest.raises(kind, match=message), checkpoints.hub_errors(name):
            raise OSError("on purpose")


# What a file of torch.save may hold

NESTED = {
    "model": {"model": model(0), "epoch": 3, "best": torch.tensor(0.7)},
    "model_state_dict": {"model_state_dict": model(0), "args": {"lr": 0.1, "name": "run"}},
    "module": {"module": model(0), "rng_state": torch.arange(9, dtype=torch.uint8)},
    "net": {"net": model(0), "optimizer": {"weight": torch.zeros(2)}, "scheduler": {"last": 3}},
    "state_dict": {"state_dict": model(0), "optimizer_states": [{"state": {}}], "loops": None},
    "any name": {7: model(0)},
}


@pytest.mark.parametrize("content", NESTED.values(), ids=NESTED)
def test_the_one_model_in_a_file_of_other_things_is_taken(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    same(checkpoints.load(tmp_path / "model.pt"), model(0))


NOT_A_STATE = {
    "a list": ([torch.ones(1)], "holds a list"),
    "a tensor": (torch.ones(2), "holds a Tensor"),
    "a number": (3, "holds a int"),
    "nothing": ({}, "it holds nothing"),
    "a number among tensors": (model(0, epoch=3), r"it holds 'epoch' \(int\), 'weight' \(Tensor\)"),
    "no model": ({"epoch": 3, "loss": [1.0]}, r"it holds 'epoch' \(int\), 'loss' \(list\)"),
    "many things": ({f"x{i:02}": i for i in range(20)}, r"'x07' \(int\), 12 more"),
    "an empty model": ({"model": {}, "epoch": 3}, r"it holds 'model' \(dict\), 'epoch' \(int\)"),
    "numbers as names": ({0: torch.ones(1)}, r"it holds 0 \(Tensor\)"),
    "a model with a number": ({"model": model(0, step=3)}, r"it holds 'step' \(int\), 'weight'"),
    "two models": ({"model": model(0), "ema": model(1)}, "holds several models, model, ema; save"),
    "a student and a teacher": (
        {"student": model(0), "teacher": model(1), "optimizer": {"state": {}}},
        "holds several models, student, teacher;",
    ),
    "a model and another in pieces": (
        {"model": model(0, step=3), "model_ema": model(1)},
        "holds several models, model, model_ema",
    ),
    "weights beside a head": (
        {"encoder.weight": torch.ones(2, 2), "head": model(0)},
        r"it holds 'head' \(dict\), 'encoder.weight' \(Tensor\)",
    ),
    "two levels": ({"state": {"model": model(0)}}, r"it holds 'state' \(dict\)"),
    "an optimizer": ({"optimizer": model(0)}, r"it holds 'optimizer' \(dict\)"),
}


@pytest.mark.parametrize("content, message", NOT_A_STATE.values(), ids=NOT_A_STATE)
def test_a_torch_file_without_one_model_says_what_it_holds(tmp_path, content, message):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"model\.pt .*{message}"):
        checkpoints.load(tmp_path / "model.pt")


# Tensors that are no plain numbers

ODD = {
    "coo": (lambda: torch.ones(2, 3).to_sparse(), "is no dense tensor; make it one with"),
    "csr": (lambda: torch.ones(2, 3).to_sparse_csr(), "is no dense tensor"),
    "meta": (lambda: torch.empty(2, 3, device="meta"), "has no values .it is on the meta device"),
    "complex": (lambda: torch.ones(2, dtype=torch.complex64), "is complex64; no rule merges compl"),
    "float8": (lambda: torch.ones(2).to(torch.float8_e4m3fn), "is float8_e4m3fn; allowed: float64"),
    "another": (lambda: torch.ones(2).to(torch.float8_e5m2), "is float8_e5m2; allowed: .*bfloat16"),
    "unsigned": (lambda: torch.ones(2).to(torch.uint16), "is uint16; allowed"),
    "quantised": (
        lambda: torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8),
        "qint8.*dequantise",
    ),
    "by channel": (
        lambda: torch.quantize_per_channel(
            torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.quint8
        ),
        "quint8.*dequantise",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make, message", ODD.values(), ids=ODD)
def test_a_tensor_that_is_no_plain_number_is_named(tmp_path, make, message):
    torch.save(model(0, w=make()), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=f"model.pt.*w.*{message}"):
        checkpoints.load(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["__metadata__", "a\nb", "\udcff", "a\0"], ids=ascii)
def test_a_name_that_no_file_can_hold_is_refused(tmp_path, name):
    torch.save(model(0) | {name: torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="model.pt: no tensor can be stored under the name"):
        checkpoints.load(tmp_path / "model.pt")


def test_every_type_that_merges_or_is_copied_is_read(tmp_path):
    state = {str(kind): torch.ones(3, 2).to(kind) for kind in unmergeable.PLAIN}
    state |= {"embeddings.position_ids": torch.arange(4)[None], "attn.logit_scale": torch.ones(3)}
    state |= {"attn.relative_position_index": torch.arange(9).view(3, 3), "empty": torch.ones(0)}
    save_file(state, tmp_path / "model.safetensors")
    assert checkpoints.load(tmp_path / "model.safetensors").keys() == state.keys()


# Quantised weights and adapters, by the names that their libraries write

CODES = torch.ones(4, 2, dtype=torch.int32)
EIGHT, BYTES = CODES.to(torch.int8), CODES.to(torch.uint8)
ONE = torch.ones(4)
QUANTISED = {
    "GPTQ": {"l.qweight": CODES, "l.qzeros": CODES, "l.scales": ONE.half(), "l.g_idx": CODES[0]},
    "AWQ": {"l.qweight": CODES, "l.scales": ONE.half()},
    "GPTQ, zeros alone": {"l.qzeros": CODES},
    "bitsandbytes, 8 bits": {"l.weight": EIGHT, "l.SCB": ONE},
    "bitsandbytes, a format": {"l.weight": ONE, "l.weight_format": torch.tensor(0)},
    "bitsandbytes, 4 bits": {
        "l.weight": BYTES,
        "l.weight.absmax": ONE,
        "l.weight.quant_map": ONE,
        "l.weight.quant_state.bitsandbytes__nf4": BYTES[0],
    },
    "a state of 4 bits alone": {"l.weight.quant_state.bitsandbytes__fp4": BYTES[0]},
    "int8 without scales": {"l.weight": EIGHT},
    "int8 and a scale": {"l.w": EIGHT, "l.scale": ONE},
    "compressed-tensors": {"l.weight_packed": CODES, "l.weight_scale": ONE},
    "HQQ": {"l.W_q": BYTES, "l.scale": ONE, "l.zero": ONE},
    "quanto": {"l.weight._data": EIGHT, "l.weight._scale": ONE},
    "MXFP4": {"e.gate_blocks": BYTES, "e.gate_scales": BYTES},
    "EXL2": {"l.q_weight": CODES, "l.q_scale": CODES},
    "whole numbers": {"l.weight": CODES.long()},
}


@pytest.mark.parametrize("state", QUANTISED.values(), ids=QUANTISED)
def test_a_quantised_model_is_refused_by_its_tensors(tmp_path, state):
    states.save(model(0) | state, tmp_path / "model.safetensors")  # some share memory
    with pytest.raises(ValueError, match=r"model\.safetensors is quantised \([le]\..*dequantise"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": {"load_in_8bit": True}},
        {"compression_config": {"quant_method": "compressed-tensors"}},
        {"quantization_config": "int8"},
    ],
    ids=str,
)
def test_a_quantised_model_is_refused_by_its_configuration(tmp_path, config):
    save_file(model(0), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    with pytest.raises(ValueError, match="is quantised .config.json has .*_config.*dequantise"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("config", [{}, {"quantization_config": None}, []], ids=str)
def test_a_configuration_that_says_nothing_of_it_is_no_matter(tmp_path, config):
    save_file(model(0), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    same(checkpoints.load(tmp_path), model(0))


ADAPTERS = {
    "peft": "base_model.model.q.lora_A.weight",
    "peft, in a model": "layers.0.q.lora_B.default.weight",
    "DoRA": "base_model.model.q.lora_magnitude_vector",
    "embeddings": "base_model.model.e.lora_embedding_A",
    "kohya": "lora_unet_down.lora_down.weight",
    "diffusers": "unet.q.lora.up.weight",
    "IA3": "base_model.model.k.ia3_l",
    "LoHa": "base_model.model.k.hada_w1_a",
    "LoKr": "base_model.model.k.lokr_w1",
    "OFT": "base_model.model.k.oft_r",
    "prompts": "prompt_embeddings",
    "VeRA": "base_model.model.k.vera_lambda_b",
    "RandLoRA": "base_model.model.k.randlora_lambda",
    "HRA": "base_model.model.k.hra_u",
    "MiSS": "base_model.model.k.miss_block",
    "norms": "base_model.model.LayerNorm.ln_tuning_layers.bias",
}


@pytest.mark.parametrize("name", ADAPTERS.values(), ids=ADAPTERS)
def test_an_adapter_is_refused_by_its_names_with_the_way_to_a_full_model(tmp_path, name):
    save_file(model(0) | {name: torch.ones(2, 2)}, tmp_path / "adapter.safetensors")
    with pytest.raises(ValueError, match=f"adapter.safetensors is an adapter.*{name}.*merge_and_u"):
        checkpoints.load(tmp_path / "adapter.safetensors")


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_with_an_adapter_is_refused_even_beside_a_model(tmp_path, whole):
    if whole:
        save_file(model(0), tmp_path / "model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ValueError, match="is an adapter.*adapter_config.json.*save_pretrained"):
        checkpoints.load(tmp_path)
    if whole:
        same(checkpoints.load(tmp_path / "model.safetensors"), model(0))


def test_a_file_that_peft_wrote_is_an_adapter_whatever_it_holds(tmp_path):
    save_file(model(0), tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="adapter_model.safetensors is an adapter.*by its name"):
        checkpoints.load(tmp_path / "adapter_model.safetensors")


def test_names_that_only_resemble_adapters_are_those_of_models(tmp_path):
    names = ("l.w_lora.lora.0.weight", "road_signs.weight", "soft_r", "adapter.layers.0.weight")
    save_file({name: torch.ones(2, 2) for name in names}, tmp_path / "model.safetensors")
    assert checkpoints.load(tmp_path).keys() == set(names)


def test_experts_packed_for_a_suite_are_read_by_their_suite_alone(tmp_path):
    save_file(packing.pack({"w": torch.ones(3, 2)}), tmp_path / "experts.safetensors")
    assert checkpoints.load(tmp_path / "experts.safetensors", packed=True).keys()
    with pytest.raises(ValueError, match="experts.safetensors is quantised"):
        checkpoints.load(tmp_path / "experts.safetensors")


# Files that stand for others, and folders

STRANGERS = {
    "git-lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n",
        "is a pointer of Git LFS, not the file; fetch it with git lfs pull",
    ),
    "a web page": (b"\n<!DOCTYPE html><html>", "is a web page, not the file"),
    "another": (b"<html><body>Not found", "is a web page, not the file"),
    "gguf": (b"GGUF\3\0\0\0", "is quantised .a GGUF file"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".gguf"])
@pytest.mark.parametrize("content, message", STRANGERS.values(), ids=STRANGERS)
def test_a_file_that_stands_for_another_is_named(tmp_path, suffix, content, message):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"model{suffix} {message}"):
        checkpoints.load(path)


def folder(*names, index=None, whole="model.safetensors"):
    """A folder of files with one tensor each, called like the file; and an index of shards."""

    def make(path):
        for name in names:
            (path / name).parent.mkdir(exist_ok=True)
            save_file({name: torch.ones(1)}, path / name)
        if index is not None:
            text = index if isinstance(index, str) else json.dumps({"weight_map": index})
            (path / f"{whole}.index.json").write_text(text)

    return make


A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
FOLDERS = {
    "a part of a diffusers pipeline": (
        folder("unet/diffusion_pytorch_model.safetensors"),
        "no index of shards; it holds unet/diffusion_pytorch_model.safetensors: give the path",
    ),
    "half precision": (folder("model.fp16.safetensors"), "it holds model.fp16.safetensors: give"),
    "consolidated": (folder("consolidated.safetensors"), "it holds consolidated.safetensors: give"),
    "one shard": (
        folder("model-00001-of-00001.safetensors"),
        "it holds model-00001-of-00001.safetensors: give the path",
    ),
    "checkpoints of training": (
        folder("checkpoint-5/model.safetensors", "optimizer.pt", "training_args.bin"),
        "it holds checkpoint-5/model.safetensors: give the path",
    ),
    "many": (
        folder(*(f"{i}.safetensors" for i in range(9))),
        "3.safetensors, 4.safetensors and 4 more: give",
    ),
    "shards without an index": (folder(A, B), f"it holds {A}, {B}, shards without their index"),
    "gguf": (
        lambda path: (path / "m.gguf").write_bytes(b"GGUF"),
        "no index of shards; it holds m.gguf",
    ),
    "nothing": (
        folder(),
        "holds no model.safetensors, no pytorch_model.bin, and no index of shards",
    ),
    "a missing shard": (folder(A, index={A: A, B: B}), f"index.json names {B}, which is not there"),
    "three missing shards": (
        folder(index={"a": "1.bin", "b": "2.bin", "c": "3.bin"}),
        r"index.json names 1.bin, which is not there \(nor are 2 more\)",
    ),
    "a shard of another save": (
        folder(A, B, "model-00003-of-00003.safetensors", index={A: A, B: B}),
        "model-00003-of-00003.safetensors is a shard that .*index.json does not name",
    ),
    "a tensor in another shard": (
        folder(A, B, index={A: B, B: A}),
        f"index.json: {A} is not in {B}",
    ),
    "a tensor in no shard": (
        folder(A, B, index={A: A, B: B, "lost": A}),
        f"index.json: lost is not in {A}",
    ),
    "an index of nothing": (folder(index={}), "is not an index of shards"),
    "an index of numbers": (folder(index={"a": 1}), "not an index of shards in its folder: .* 1"),
    "an index of other folders": (folder(index={"a": "../x.bin"}), "in its folder: .*'../x.bin'"),
    "an index of the whole disk": (folder(index={"a": "/x.bin"}), "in its folder: .*'/x.bin'"),
    "an index of the folder": (folder(index={"a": ""}), "in its folder: .*''"),
    "an index that is a list": (folder(index="[]"), "is not an index of shards"),
    "an index that is a text": (folder(index='"a"'), "is not an index of shards"),
    "an index that is a pointer": (folder(index="version https"), "is not a readable JSON file"),
    "an index that goes too deep": (folder(index="[" * 99999), "is not a readable JSON file"),
    "a configuration that is none": (
        lambda path: (path / "config.json").write_text("{"),
        "config.json is not a readable JSON file",
    ),
}


@pytest.mark.parametrize("make, message", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_holds_no_whole_model_says_what_it_holds(tmp_path, make, message):
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ValueError, FileNotFoundError), match=f"{tmp_path}.*{message}"):
        checkpoints.load(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_shard_alone_is_no_model(tmp_path):
    folder(A, B, index={A: A, B: B})(tmp_path)
    with pytest.raises(ValueError, match=f"{A} is one of 2 shards; give their folder"):
        checkpoints.load(tmp_path / A)
    assert checkpoints.load(tmp_path).keys() == {A, B}


def test_a_model_of_open_clip_is_found_by_its_name(tmp_path):
    save_file(model(0), tmp_path / "open_clip_model.safetensors")
    same(checkpoints.load(tmp_path), model(0))
    save_file(model(1), tmp_path / "model.safetensors")
    same(checkpoints.load(tmp_path), model(1))


# The Hub


def hub(monkeypatch, folder):
    """A Hub that has copies in a folder, by commit; what was asked for is noted."""
    asked = []

    def snapshot_download(name, revision=None, allow_patterns=None):
        asked.append((name, revision))
        return folder / "models--o--m" / "snapshots" / (revision or "main")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_a_revision_of_a_model_on_the_hub_is_asked_for(tmp_path, monkeypatch):
    asked = hub(monkeypatch, tmp_path)
    for seed, revision in enumerate(["main", "v2"]):
        place = tmp_path / "models--o--m" / "snapshots" / revision
        place.mkdir(parents=True)
        save_file(model(seed), place / "model.safetensors")
    same(checkpoints.load("o/m"), model(0))
    same(checkpoints.load("o/m@v2"), model(1))
    assert asked == [("o/m", None), ("o/m", "v2")]


def test_a_record_names_files_as_the_source_does_and_a_commit_but_no_folder_of_the_machine(
    tmp_path,
):
    home = tmp_path / "cache" / "models--o--m" / "snapshots" / "c0ffee"
    for source, file, expected in (
        ("hub:o/m", home / "model.safetensors", "hub:o/m@c0ffee/model.safetensors"),
        ("hub:o/m@v2", home / "a.bin", "hub:o/m@c0ffee/a.bin"),
        ("hub:o/m@v2", tmp_path / "a.bin", "hub:o/m@v2/a.bin"),
        ("hub:o/m", tmp_path / "a.bin", "hub:o/m/a.bin"),
        ("models/base", tmp_path / "models/base/a.bin", "models/base/a.bin"),
        ("../e.safetensors", tmp_path / "e.safetensors", "../e.safetensors"),
        ("~/e", tmp_path / "e/model.safetensors", "~/e/model.safetensors"),
    ):
        assert checkpoints.recorded(source, file) == expected


# A good checkpoint, garbled


def cut(data, draw):
    return data[: draw(st.integers(0, len(data)))]


def flip(data, draw):
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]


def insert(data, draw):
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(min_size=1, max_size=9)) + data[at:]


WRITERS = {
    ".safetensors": save_file,
    ".bin": torch.save,
    ".pt": lambda state, path: torch.save({"model": state, "epoch": 3}, path),
    ".pth": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400)
@given(data=st.data())
def test_a_garbled_file_gives_plain_tensors_or_one_error(tmp_path_factory, data):
    """Bytes are cut, changed and put in. What is then read can be used; no bit of it is lost."""
    folder = tmp_path_factory.mktemp("garbled")
    suffix = data.draw(st.sampled_from(sorted(WRITERS)))
    path = folder / f"model{suffix}"
    WRITERS[suffix](STATE, path)
    good = path.read_bytes()
    content = data.draw(st.sampled_from([cut, flip, insert]))(good, data.draw)
    path.write_bytes(content)
    try:
        found = checkpoints.load(path)
    except (ValueError, FileNotFoundError) as error:
        assert str(path) in str(error)
    else:
        assert all(value.dtype in unmergeable.PLAIN for value in found.values())
        assert all(value.double().sum() is not None for value in found.values())
        if content == good:
            same(found, STATE)
    assert [file.name for file in folder.iterdir()] == [path.name]


def renamed(state, name, draw):
    return {draw(st.text(max_size=5)) if key == name else key: v for key, v in state.items()}


def dropped(state, name, draw):
    return {key: value for key, value in state.items() if key != name}


def retyped(state, name, draw):
    kind = draw(st.sampled_from([torch.float8_e5m2, torch.int8, torch.complex64, torch.bool]))
    return state | {name: state[name].to(kind)}


def reshaped(state, name, draw):
    return state | {name: state[name].reshape(-1)[: draw(st.integers(0, 3))].clone()}


def spoilt(state, name, draw):
    value = state[name].clone()
    return state | {name: value.fill_(math.nan) if value.is_floating_point() else value}


CHANGES = [renamed, dropped, retyped, reshaped, spoilt]


@settings(max_examples=150)
@given(data=st.data())
def test_changed_tensors_are_merged_rightly_or_named(tmp_path_factory, data):
    """One tensor of an expert gets another name, type, shape or value, or is left out."""
    path = tmp_path_factory.mktemp("changed") / "model.safetensors"
    name = data.draw(st.sampled_from(sorted(STATE)))
    change = data.draw(st.sampled_from(CHANGES))
    state = change(STATE, name, data.draw)
    save_file(state, path)
    try:
        found = checkpoints.load(path)
        states.check_compatible([STATE, found], ["base", "expert"])
    except ValueError as error:
        assert str(path) in str(error) or re.search("base|expert", str(error))
        assert len(str(error).splitlines()) <= 4
    else:
        same(found, STATE)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100)
@given(data=st.data())
def test_a_garbled_model_is_merged_whole_or_leaves_nothing(tmp_path_factory, data):
    """Through the spec, to a folder: there is the merged model, or one error and no folder."""
    folder = tmp_path_factory.mktemp("merge")
    suffix = data.draw(st.sampled_from(sorted(WRITERS)))
    base, expert = folder / f"base{suffix}", folder / f"expert{suffix}"
    for path, seed in ((base, 0), (expert, 1)):
        WRITERS[suffix](model(seed), path)
    victim = data.draw(st.sampled_from([base, expert]))
    good = victim.read_bytes()
    victim.write_bytes(data.draw(st.sampled_from([cut, flip, insert]))(good, data.draw))
    spec = f'rule = "task_arithmetic"\nbase = "{base.name}"\nexperts = ["{expert.name}"]\n'
    (folder / "spec.toml").write_text(spec + "[settings]\nscale = 0.5")
    try:
        stream.run(specs.read_spec(folder / "spec.toml"), folder / "out")
    except (ValueError, FileNotFoundError) as error:
        assert str(error)
        assert sorted(p.name for p in folder.iterdir()) == [base.name, expert.name, "spec.toml"]
    else:
        merged = checkpoints.load(folder / "out")
        assert merged.keys() == checkpoints.load(base).keys()
        assert all(value.isfinite().all() for value in merged.values())
