"""State-dict algebra on models of two tensors, and what is loaded, saved and refused."""

import json
import math
import os
import resource

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mergehelpers import states


def model(seed, **changes):
    generator = torch.Generator().manual_seed(seed)
    state = {
        "weight": torch.randn(2, 3, generator=generator),
        "bias": torch.randn(2, generator=generator),
    }
    return state | changes


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def test_a_task_vector_leads_from_the_base_to_the_expert():
    base, expert = model(0), model(1)
    same(states.apply(base, states.task_vector(base, expert)), expert)


def test_half_a_task_vector_ends_in_the_middle():
    base, expert = model(0), model(1)
    middle = {key: (base[key] + expert[key]) / 2 for key in base}
    same(states.apply(base, states.task_vector(base, expert), 0.5), middle)


def test_task_vectors_of_two_experts_add_up_in_any_order():
    base, a, b = model(0), model(1), model(2)
    to_a, to_b = states.task_vector(base, a), states.task_vector(base, b)
    same(states.apply(states.apply(base, to_a), to_b), states.apply(states.apply(base, to_b), to_a))


def test_keys_without_a_change_keep_the_base():
    base, expert = model(0), model(1)
    merged = states.apply(base, {"bias": expert["bias"] - base["bias"]})
    same(merged, {"weight": base["weight"], "bias": expert["bias"]})


def test_inputs_are_left_alone():
    base, expert = model(0), model(1)
    states.apply(base, states.task_vector(base, expert), 3.0)
    same(base, model(0))
    same(expert, model(1))


def test_a_task_vector_with_foreign_keys_is_refused():
    with pytest.raises(ValueError, match=r"keys the base lacks: \['extra'\]"):
        states.apply(model(0), {"extra": torch.zeros(1)})


def test_a_task_vector_of_another_shape_is_refused():
    """Broadcasting would otherwise hide it."""
    with pytest.raises(ValueError, match="bias"):
        states.apply(model(0), {"bias": torch.ones(1)})


def test_whole_numbers_are_in_no_task_vector_and_keep_the_base():
    base = model(0, ids=torch.arange(3), seen=torch.tensor(True))
    expert = model(1, ids=torch.zeros(3).long(), seen=torch.tensor(False))
    vector = states.task_vector(base, expert)
    assert vector.keys() == {"weight", "bias"}
    same(states.apply(base, vector), expert | {"ids": torch.arange(3), "seen": torch.tensor(True)})


WRONG = {
    "missing": ({"weight": torch.zeros(2, 3)}, "model 1 lacks bias"),
    "extra": (model(1, head=torch.zeros(1)), "model 1 has an extra head"),
    "shape": (model(1, bias=torch.zeros(3)), r"bias: model 1 has shape \(3,\), model 0 has \(2,\)"),
    "dtype": (
        model(1, bias=torch.zeros(2).half()),
        r"bias: model 1 is torch.float16, model 0 is torch.float32",
    ),
    "NaN": (model(1, bias=torch.tensor([0, math.nan])), "bias: model 1 holds NaN or infinity"),
    "infinity": (
        model(1, weight=torch.full((2, 3), math.inf)),
        "weight: model 1 holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("other, message", WRONG.values(), ids=WRONG)
def test_models_that_do_not_fit_are_named(other, message):
    with pytest.raises(ValueError, match=message):
        states.check_compatible([model(0), other])
    with pytest.raises(
        ValueError, match=message.replace("model 1", "expert").replace("model 0", "base")
    ):
        states.task_vector(model(0), other)


def test_all_problems_come_in_one_error():
    shared = torch.ones(4)
    first = model(0, head=torch.ones(1), a=shared, b=shared)
    bad = {
        "base": first,
        "cat": model(1, head=torch.ones(1), bias=torch.zeros(3), a=shared, b=2 * shared),
        "dog": {
            "bias": torch.tensor([math.nan, 0]),
            "head": torch.ones(1).double(),
            "a": shared,
            "b": shared,
            "more": torch.ones(1),
        },
    }
    with pytest.raises(ValueError) as caught:
        states.check_compatible(list(bad.values()), list(bad))
    assert str(caught.value).splitlines() == [
        "these models cannot be merged:",
        "  a and b are tied in base but differ in cat",
        "  bias: cat has shape (3,), base has (2,)",
        "  bias: dog holds NaN or infinity",
        "  dog has an extra more",
        "  dog lacks weight",
        "  head: dog is torch.float64, base is torch.float32",
    ]


def test_tensors_that_are_tied_everywhere_fit():
    a, b = torch.ones(2), torch.zeros(2)
    states.check_compatible([{"in": a, "out": a}, {"in": b, "out": b.clone()}])


def test_tied_names_come_with_the_first_of_their_group():
    a, b = torch.ones(2, 2), torch.zeros(2)
    assert states.tied({"x": a, "y": b, "z": a, "w": a, "row": a[0]}) == [("x", "z"), ("x", "w")]
    assert states.tied({"x": torch.ones(2), "y": torch.ones(2)}) == []


def test_the_first_model_is_checked_too():
    with pytest.raises(ValueError, match="bias: model 0 holds NaN"):
        states.check_compatible([model(0, bias=torch.tensor([math.nan, 0])), model(1)])


def test_models_that_fit_are_accepted_and_none_is_not():
    states.check_compatible([model(0), model(1), model(2, ids=torch.arange(2))][:2])
    states.check_compatible([{"ids": torch.arange(2)}] * 2)
    with pytest.raises(ValueError, match="at least one model"):
        states.check_compatible([])


def test_norm_and_cosine_by_hand():
    a = {"w": torch.tensor([[1.0, 2.0], [0.0, 2.0]]), "b": torch.tensor([4.0])}
    b = {"w": torch.tensor([[2.0, 0.0], [5.0, 1.0]]), "b": torch.tensor([-1.0])}
    assert states.norm(a) == pytest.approx(5)
    assert states.cosine(a, b) == pytest.approx((2 + 2 - 4) / 5 / math.sqrt(31))
    assert states.cosine(a, a) == pytest.approx(1)
    assert states.cosine(a, {key: -2 * value for key, value in a.items()}) == pytest.approx(-1)


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
    for loaded in (states.load(source), states.load(str(source))):
        same(loaded, STATE)
        assert {key: value.dtype for key, value in loaded.items()} == {
            key: value.dtype for key, value in STATE.items()
        }


def test_safetensors_are_preferred_to_pickles_and_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "run.ckpt"
    folder.mkdir()
    torch.save(model(1), folder / "pytorch_model.bin")
    save_file(model(0), folder / "model.safetensors")
    same(states.load(folder), model(0))


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
        states.load(path)


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
        states.load(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_bytes_that_torch_did_not_write_are_refused_whatever_they_begin_with(tmp_path):
    path = tmp_path / "model.bin"
    for first in range(256):
        path.write_bytes(bytes([first]) + b" pointer to where the weights are\n")
        with pytest.raises(ValueError, match=r"model\.bin is (not a readable torch file|corrupt)"):
            states.load(path)


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
        states.load(path)
    assert not ran.exists()
    torch.load(path, weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize(
    "content",
    [[torch.ones(1)], model(0, epoch=3), {"state_dict": 3}],
    ids=["list", "mixed", "number"],
)
def test_a_torch_file_of_other_things_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="model.pt does not hold a state dict"):
        states.load(tmp_path / "model.pt")


def test_a_missing_file_is_named(tmp_path):
    for suffix in states.SAFE + states.PICKLED:
        with pytest.raises(FileNotFoundError, match=f"no weights file at .*absent{suffix}"):
            states.load(tmp_path / f"absent{suffix}")


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_allowed(tmp_path):
    (tmp_path / "model.h5").touch()
    with pytest.raises(
        ValueError, match=r"model\.h5 is not a weights file; allowed: \.safetensors, \.bin, "
    ):
        states.load(tmp_path / "model.h5")


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path.name} holds no model.safetensors"):
        states.load(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    (sharded(tmp_path) / "model-2-of-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no weights file at .*model-2-of-2.safetensors"):
        states.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": ["a"]}'])
def test_a_corrupt_index_of_shards_is_named(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="model.safetensors.index.json is not an index of shards"):
        states.load(tmp_path)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model", "a/path/that/is/absent"])
def test_without_a_network_an_unknown_id_says_how_to_go_on(monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError) as caught:
        states.load(name)
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
        with pytest.raises(kind, match=message), states.hub_errors(name):
            raise OSError("on purpose")


def test_tied_and_transposed_tensors_are_saved_as_they_are(tmp_path):
    shared = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    state = {
        "in": shared,
        "out": shared,
        "turned": shared.T,
        "grown": shared[:1].expand(4, 3),
        "learned": torch.nn.Parameter(shared),
    }
    states.save(state, tmp_path / "model.safetensors", {"format": "pt"})
    same(
        states.load(tmp_path / "model.safetensors"),
        {key: value.detach() for key, value in state.items()},
    )
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_saved_file_may_be_read_by_whoever_may_read_its_neighbours(tmp_path):
    states.save(model(0), tmp_path / "model.safetensors")
    (tmp_path / "neighbour").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (
        tmp_path / "neighbour"
    ).stat().st_mode


@pytest.mark.parametrize("old", [None, model(0)], ids=["new", "old"])
def test_a_write_that_fails_leaves_nothing_behind_and_keeps_the_old_file(tmp_path, old):
    """The limit on the size of a file stands for a full disk."""
    path = tmp_path / "model.safetensors"
    if old:
        states.save(old, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            states.save({"weight": torch.zeros(1000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == ([path] if old else [])
    if old:
        same(states.load(path), old)


def test_an_interrupted_write_leaves_nothing_behind_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    states.save(model(0), path)

    def interrupted(file, content):
        file.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        states.save(model(1), path)
    assert list(tmp_path.iterdir()) == [path]
    same(states.load(path), model(0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            [
                "proj",
                "conv1.weight",
                "transformer.resblocks.0.a.weight",
                "transformer.resblocks.2.a.weight",
                "transformer.resblocks.4.mlp.c_fc.weight",
                "ln_post.bias",
            ],
            [1, 0, 0, 0.5, 1, 1],
        ),
        (
            [
                "embeddings.position_embeddings.weight",
                "encoder.layer.0.x.weight",
                "encoder.layer.1.x.weight",
                "pooler.dense.weight",
            ],
            [0, 0, 1, 1],
        ),
        (
            [
                "shared.weight",
                "encoder.block.1.layer.0.w",
                "decoder.block.0.layer.1.w",
                "decoder.block.1.layer.0.w",
            ],
            [0, 1, 0, 1],
        ),
        (["0.weight", "2.weight", "4.weight"], [0, 0.5, 1]),
        (["vision_model.embeddings.patch_embedding.weight", "visual_projection.weight"], [0, 1]),
    ],
)
def test_depths_go_from_the_input_to_the_output(names, expected):
    assert list(states.depths({name: torch.zeros(1) for name in names}).values()) == expected
