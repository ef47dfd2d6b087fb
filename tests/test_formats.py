"""Suites of one's own: every kind of data, network and head, and of bad input.

Each kind of bad input gets one clear error.
"""

import copy
import csv
import gzip
import io
import re
import sys

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import normalize

from mergehelpers import backbones, checkpoints, evaluate, states, suites
from mergehelpers.suites import data, manifest, packing

CLASSES = ["sad", "glad"]
TEXTS = {  # Labels are sorted, as those of a folder of images are.
    "train": [(0, "the cat sat"), (0, "a dog"), (1, "the dog saw a cat"), (1, "yes")],
    "val": [(0, 'no, "no" and no'), (1, "a cat")],
    "unlabelled": [(1, "and a dog")],
    "test": [(0, "the dog sat"), (0, "a\nphoto"), (1, "yes and no"), (1, "caf\u00e9"), (1, "cat")],
}
SIZES = {"train": 4, "val": 2, "unlabelled": 1, "test": 5}


@pytest.fixture(scope="module")
def text_models(tmp_path_factory):
    return tiny.text_suite(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def texts(text_models):
    return copy.deepcopy(text_models)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The package `datasets`, which keeps its copies in a folder of the test."""
    package = pytest.importorskip("datasets")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    package.disable_progress_bars()
    return package


@pytest.fixture(scope="module")
def offline():
    """No test asks the Hub, whatever a garbled manifest names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


def load(folder, content):
    return suites.load_suite(str(tiny.write_manifest(folder, content)))


def runs(suite):
    """Every task can be scored, by the base and by its expert."""
    for name, task in {**suite.tasks, **suite.out_of_domain}.items():
        for state in (suite.base, suite.experts.get(name, suite.base)):
            logits = suite.logits(name, suite.backbone.embed(state, task.inputs["test"]), state)
            assert (
                logits.shape == (len(task.labels["test"]), len(task.classes))
                and logits.isfinite().all()
            )


def table(rows, names=("split", "label", "text")):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([names, *rows])
    return out.getvalue()


# Data


def as_csv(folder):
    rows = [
        (split, CLASSES[label], text) for split, pairs in TEXTS.items() for label, text in pairs
    ]
    (folder / "moods.csv").write_text(table(rows), encoding="utf-8")
    return {"data": "moods.csv"}


def as_csv_of_a_spreadsheet(folder):
    rows = [(label, split, "-", text) for split, pairs in TEXTS.items() for label, text in pairs]
    text = table(rows, ("mood", "split", "more", "said"))
    (folder / "moods.csv").write_text(text, encoding="utf-8-sig")
    return {"data": "moods.csv", "input": "said", "label": "mood"}


def as_csv_gz(folder):
    rows = [(split, label, text) for split, pairs in TEXTS.items() for label, text in pairs]
    (folder / "moods.csv.gz").write_bytes(gzip.compress(table(rows).encode()))
    return {"data": "moods.csv.gz"}


def as_npz(folder):
    arrays = {
        f"{split}_inputs": np.array([text for _, text in pairs]) for split, pairs in TEXTS.items()
    }
    arrays |= {
        f"{split}_labels": np.array([label for label, _ in pairs], np.uint8)
        for split, pairs in TEXTS.items()
    }
    np.savez_compressed(folder / "moods.npz", **arrays)
    return {"data": str(folder / "moods.npz")}


def parquet(folder, splits, names=None):
    """A data set as the Hub stores it, one file a split; `splits` gives the columns."""
    import datasets

    (folder / "hub/data").mkdir(parents=True)
    for split, columns in splits.items():
        file = f"hub/data/{(names or {}).get(split, split)}-00000-of-00001.parquet"
        datasets.Dataset.from_dict(columns).to_parquet(folder / file)


def columns(split, label=lambda label: label):
    return {
        "label": [label(each) for each, _ in TEXTS[split]],
        "text": [text for _, text in TEXTS[split]],
    }


def as_parquet(folder):
    parquet(folder, {split: columns(split) for split in TEXTS})
    return {"data": "hub:hub"}


def as_parquet_with_other_names(folder):
    theirs = {"train": "train", "val": "validation", "test": "heldout", "unlabelled": "test"}
    renamed = {
        split: dict(zip(("mood", "said"), columns(split, CLASSES.__getitem__).values()))
        for split in TEXTS
    }
    parquet(folder, renamed, theirs)
    (folder / "hub/README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split in theirs.values())
        + "---\n"
    )
    return {
        "data": "hub:hub",
        "config": "small",
        "input": "said",
        "label": "mood",
        "splits": theirs,
    }


TEXT_FORMATS = [
    as_csv,
    as_csv_of_a_spreadsheet,
    as_csv_gz,
    as_npz,
    as_parquet,
    as_parquet_with_other_names,
]


@pytest.mark.parametrize("write", TEXT_FORMATS, ids=lambda write: write.__name__)
def test_sentences_come_from(tmp_path, texts, hub, write):
    texts["tasks"]["moods"] |= write(tmp_path)
    suite = load(tmp_path, texts)
    task = suite.task("moods")
    assert task.inputs.keys() == task.labels.keys() == TEXTS.keys()
    for split, pairs in TEXTS.items():
        assert list(task.inputs[split]) == [text for _, text in pairs]
        assert (
            task.labels[split].tolist() == [label for label, _ in pairs]
            and task.labels[split].dtype == torch.int64
        )
    assert (
        list(task.inputs["test"][1:3]) == ["a\nphoto", "yes and no"]
        and task.inputs["test"][-1] == "cat"
    )
    runs(suite)


def test_a_prompt_is_made_of_columns(tmp_path, texts, hub):
    parquet(
        tmp_path, {"test": {"premise": ["a dog", "a cat"], "other": ["no", "yes"], "label": [1, 0]}}
    )
    texts["tasks"]["moods"] |= {"data": "hub:hub", "prompt": "Does '{premise}' mean {{{other}}}?"}
    task = load(tmp_path, texts).task("moods")
    assert list(task.inputs["test"]) == ["Does 'a dog' mean {no}?", "Does 'a cat' mean {yes}?"]
    assert task.labels["test"].tolist() == [1, 0]


def pictures():
    """For each split, images of one size and sorted labels."""
    return {
        split: (tiny.images(number, count, size=11)[0], np.sort(tiny.images(number, count)[1]))
        for number, (split, count) in enumerate(SIZES.items())
    }


def images_as_npz(folder):
    arrays = {}
    for split, (inputs, labels) in pictures().items():
        arrays |= {f"{split}_inputs": inputs, f"{split}_labels": labels}
    np.savez(folder / "images.npz", **arrays)
    return {"data": "images.npz"}


def images_as_csv(folder):
    rows = []
    (folder / "files").mkdir()
    for split, (inputs, labels) in pictures().items():
        for number, (image, label) in enumerate(zip(inputs, labels)):
            Image.fromarray(image).save(folder / f"files/{split}{number}.png")
            rows.append((split, label, f"files/{split}{number}.png"))
    (folder / "images.csv").write_text(table(rows, ("split", "label", "image")))
    return {"data": "images.csv"}


def images_as_folders(folder):
    for split, (inputs, labels) in pictures().items():
        for number, (image, label) in enumerate(zip(inputs, labels)):
            place = folder / "images" / split / ("cat", "dog")[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number}.PNG")
            (place / "notes.txt").touch()
    return {"data": "images"}


def images_as_parquet(folder):
    import datasets

    (folder / "hub").mkdir()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    theirs = {"train": "train", "val": "validation", "test": "test", "unlabelled": "extra"}
    for split, (inputs, labels) in pictures().items():
        rows = {"image": [Image.fromarray(image) for image in inputs], "label": labels.tolist()}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(
            folder / f"hub/{theirs[split]}.parquet"
        )
    (folder / "hub/README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {split}.parquet\n" for split in theirs.values())
        + "---\n"
    )
    return {"data": "hub:hub", "splits": {"val": "validation", "unlabelled": "extra"}}


IMAGE_FORMATS = [images_as_npz, images_as_csv, images_as_folders, images_as_parquet]


@pytest.mark.parametrize("write", IMAGE_FORMATS, ids=lambda write: write.__name__)
def test_images_come_from(tmp_path, hub, write):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= write(tmp_path)
    suite = load(tmp_path, content)
    task = suite.task("pets")
    for split, (inputs, labels) in pictures().items():
        assert task.labels[split].tolist() == labels.tolist()
        found = suite.backbone.prepare(task.inputs[split])["pixels"]
        assert torch.equal(found, suite.backbone.prepare(inputs)["pixels"])
    runs(suite)


def many(folder, count, splits=("train", "test")):
    """`count` different sentences a split, whose labels say whether their number is odd."""
    rows = [(split, number % 2, f"{split} {number}") for split in splits for number in range(count)]
    (folder / "moods.csv").write_text(table(rows))


@pytest.mark.parametrize("count, cut", [(3000, (500, 256)), (40, (8, 8)), (4, (0, 0))])
def test_what_is_missing_of_val_and_unlabelled_is_cut_from_train(tmp_path, count, cut):
    many(tmp_path, count)
    first, again = (data.read_splits(str(tmp_path / "moods.csv"), CLASSES, {}) for _ in range(2))
    assert {split: len(inputs) for split, (inputs, _) in first.items()} == {
        "train": count - sum(cut),
        "val": cut[0],
        "unlabelled": cut[1],
        "test": count,
    }
    together = [text for split in ("train", "val", "unlabelled") for text in first[split][0]]
    assert sorted(together) == sorted(f"train {number}" for number in range(count))
    for split, (inputs, labels) in first.items():
        assert labels.tolist() == [int(text.split()[1]) % 2 for text in inputs]
        assert again[split][0] == inputs


def test_only_what_is_missing_is_cut_from_train(tmp_path):
    many(tmp_path, 40, ("train", "val", "test"))
    splits = data.read_splits(str(tmp_path / "moods.csv"), CLASSES, {})
    assert {split: len(inputs) for split, (inputs, _) in splits.items()} == {
        "train": 32,
        "val": 40,
        "unlabelled": 8,
        "test": 40,
    }


def test_without_train_nothing_is_cut(tmp_path):
    many(tmp_path, 4, ("test",))
    assert list(data.read_splits(str(tmp_path / "moods.csv"), CLASSES, {})) == ["test"]


def test_images_are_cut_from_train_with_their_labels(tmp_path):
    inputs, labels = tiny.images(0, 30)
    labels = inputs[:, 0, 0, 0] % 2
    np.savez(
        tmp_path / "all.npz",
        train_inputs=inputs,
        train_labels=labels,
        test_inputs=inputs,
        test_labels=labels,
    )
    splits = data.read_splits(str(tmp_path / "all.npz"), CLASSES, {})
    assert [len(splits[split][0]) for split in ("train", "val", "unlabelled")] == [18, 6, 6]
    assert (
        len(
            np.unique(
                np.concatenate([splits[s][0] for s in ("train", "val", "unlabelled")]), axis=0
            )
        )
        == 30
    )
    for found, kept in splits.values():
        assert (found[:, 0, 0, 0] % 2).tolist() == kept.tolist()


LAYOUTS = {
    "channels first": lambda images: images.transpose(0, 3, 1, 2),
    "channels last": lambda images: images,
}
GREYS = {
    "no channel": lambda images: images,
    "channel first": lambda images: images[:, None],
    "channel last": lambda images: images[..., None],
}


@pytest.mark.parametrize("size", [8, 11])
@pytest.mark.parametrize("turn", [*LAYOUTS.values(), *GREYS.values()], ids=[*LAYOUTS, *GREYS])
def test_images_may_have_their_channels_first_or_last(tmp_path, turn, size):
    """The network of the suite takes 8 × 8, so those of 11 are resized."""
    content = tiny.vit_suite(tmp_path)
    inputs, labels = tiny.images(0, 12, size)
    inputs = inputs if turn in LAYOUTS.values() else inputs[..., 0]
    np.savez(tmp_path / "pets.npz", test_inputs=turn(inputs), test_labels=labels)
    suite = load(tmp_path, content)
    assert np.array_equal(suite.task("pets").inputs["test"], inputs)
    runs(suite)


def test_images_of_three_rows_are_read_as_they_were(tmp_path):
    """Where both layouts fit, channels are last."""
    inputs = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    np.savez(tmp_path / "a.npz", test_inputs=inputs, test_labels=[0, 1])
    splits = data.read_splits(str(tmp_path / "a.npz"), CLASSES, {})
    assert np.array_equal(splits["test"][0], inputs)


# Splits by other names, and without labels

NO_LABEL = {"nothing": "", "-1": "-1"}


@pytest.mark.parametrize("label", NO_LABEL.values(), ids=NO_LABEL)
def test_unlabelled_rows_of_a_table_need_no_label(tmp_path, texts, label):
    rows = [("test", "sad", "a"), ("unlabelled", label, "b"), ("unlabelled", "glad", "c")]
    (tmp_path / "moods.csv").write_text(table(rows))
    suite = load(tmp_path, texts)
    assert suite.task("moods").labels["unlabelled"].tolist() == [-1, 1]
    assert suite.task("moods").inputs["unlabelled"] == ["b", "c"]
    (tmp_path / "moods.csv").write_text(table([("test", label, "a")]))
    assert "moods.csv, test: " in refused(tmp_path, texts)


@pytest.mark.parametrize("labels", [None, np.full(4, -1)], ids=["no array", "-1"])
def test_unlabelled_arrays_need_no_labels(tmp_path, labels):
    content = tiny.vit_suite(tmp_path)
    arrays(unlabelled_labels=labels)(tmp_path)
    suite = load(tmp_path, content)
    assert suite.task("pets").labels["unlabelled"].tolist() == [-1] * 4
    assert len(suite.task("pets").inputs["unlabelled"]) == 4
    with pytest.raises(ValueError, match="pets of tiny does not have a label for each of its unl"):
        evaluate.accuracy(suite, {"base": suite.base}, "unlabelled")
    with pytest.raises(ValueError, match="pets of tiny does not have a label for each of its unl"):
        evaluate.right(suite, suite.base, "unlabelled")


def test_unlabelled_images_may_lie_in_no_class(tmp_path):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= images_as_folders(tmp_path)
    for name in ("one", "two"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"images/unlabelled/{name}.png")
    labels = load(tmp_path, content).task("pets").labels["unlabelled"].tolist()
    assert sorted(labels)[:2] == [-1, -1] and len(labels) == 3


def test_an_unlabelled_split_of_a_data_set_needs_no_label(tmp_path, texts, hub):
    columns = {"text": ["a cat", "a dog"], "label": [-1, -1]}
    parquet(tmp_path, {"test": {"text": ["a"], "label": [1]}, "validation": columns})
    texts["tasks"]["moods"] |= {"data": "hub:hub", "splits": {"unlabelled": "validation"}}
    assert load(tmp_path, texts).task("moods").labels["unlabelled"].tolist() == [-1, -1]


@pytest.mark.parametrize("ours, theirs", [("val", "validation"), ("unlabelled", "unlabeled")])
def test_a_split_may_have_its_other_usual_name(tmp_path, texts, ours, theirs):
    rows = [(split, "sad", f"{split} {i}") for split in ("train", "test", theirs) for i in range(9)]
    (tmp_path / "moods.csv").write_text(table(rows))
    task = load(tmp_path, texts).task("moods")
    assert task.inputs[ours] == [f"{theirs} {i}" for i in range(9)]
    assert len(task.inputs["train"]) < 9, "the other of the two is cut from train"
    (tmp_path / "moods.csv").write_text(table([*rows, (ours, "sad", "a")]))
    assert f"has the splits {ours} and {theirs}; choose by `splits`" in refused(tmp_path, texts)
    texts["tasks"]["moods"]["splits"] = {ours: theirs}
    assert len(load(tmp_path, texts).task("moods").inputs[ours]) == 9


def test_a_validation_split_of_a_data_set_is_taken(tmp_path, texts, hub):
    parquet(tmp_path, {"test": columns("test"), "validation": columns("val")})
    texts["tasks"]["moods"]["data"] = "hub:hub"
    assert list(load(tmp_path, texts).task("moods").inputs["val"]) == [x for _, x in TEXTS["val"]]


def test_a_revision_of_a_data_set_is_asked_for(tmp_path, texts, hub, monkeypatch):
    asked = []

    def load_dataset(name, config, revision):
        asked.append((name, config, revision))
        return {"test": hub.Dataset.from_dict(columns("test"))}

    monkeypatch.setattr(hub, "load_dataset", load_dataset)
    texts["tasks"]["moods"]["data"] = "hub:some/data@v2"
    load(tmp_path, texts)
    texts["tasks"]["moods"]["data"] = "hub:some/data"
    load(tmp_path, texts)
    assert asked == [("some/data", None, "v2"), ("some/data", None, None)]


def test_a_revision_of_a_model_is_fetched_for_a_suite(tmp_path, texts, monkeypatch):
    as_csv(tmp_path)
    places = {"o/base@v1": texts["base"], "o/expert@v2": texts["tasks"]["moods"]["expert"]}
    monkeypatch.setattr(checkpoints, "hub_folder", places.__getitem__)
    plain = load(tmp_path, texts)
    texts["base"] = texts["backbone"]["model"] = "hub:o/base@v1"
    texts["tasks"]["moods"]["expert"] = "hub:o/expert@v2"
    suite = load(tmp_path, texts)
    assert all(torch.equal(suite.base[name], value) for name, value in plain.base.items())
    expert = suite.experts["moods"]
    assert all(torch.equal(expert[name], v) for name, v in plain.experts["moods"].items())


def test_pictures_are_opened_only_when_asked_for(tmp_path):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= images_as_csv(tmp_path)
    inputs = load(tmp_path, content).task("pets").inputs["test"]
    (tmp_path / "files/test1.png").unlink()
    assert inputs[0].size == (11, 11) and len(inputs[2:]) == 3
    with pytest.raises(FileNotFoundError, match="test1.png"):
        inputs[1]


# Networks and heads


@torch.no_grad()
def expert_logits(suite, task):
    inputs = suite.task(task).inputs["test"]
    return suite.logits(
        task, suite.backbone.embed(suite.experts[task], inputs, 2), suite.experts[task]
    )


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@torch.no_grad()
def test_open_clip_with_heads_in_a_file(tmp_path):
    suite = load(tmp_path, tiny.vit_suite(tmp_path))
    heads = checkpoints.load(tmp_path / "heads.safetensors")
    for name in ("pets", "birds"):
        inputs = suite.backbone.prepare(suite.task(name).inputs["test"])
        expert = checkpoints.load(tmp_path / f"{name}.safetensors")
        embeddings = normalize(suite.backbone.encode(expert, inputs), dim=-1)
        close(
            expert_logits(suite, name),
            embeddings @ heads[f"{name}.weight"].T + heads[f"{name}.bias"],
        )
    runs(suite)


def test_a_file_may_hold_one_head_and_no_bias(tmp_path):
    content = tiny.vit_suite(tmp_path)
    states.save({"head.weight": torch.ones(2, 6).half()}, tmp_path / "one.safetensors")
    content["tasks"]["pets"]["head"] = "one.safetensors"
    suite = load(tmp_path, content)
    head = suite.task("pets").head
    assert torch.equal(head["weight"], torch.ones(2, 6)) and torch.equal(
        head["bias"], torch.zeros(2)
    )
    assert torch.equal(
        suite.task("birds").head["weight"],
        checkpoints.load(tmp_path / "heads.safetensors")["birds.weight"],
    )


def test_open_clip_with_heads_in_the_experts(tmp_path):
    content = tiny.vit_suite(tmp_path)
    for name in content["tasks"]:
        expert = {f"module.visual.{key}": value for key, value in tiny.vit(7).items()}
        head = {"head.weight": torch.full((len(content["tasks"][name]["classes"]), 6), 3.0)}
        states.save(expert | head, tmp_path / f"{name}.safetensors")
    suite = load(tmp_path, content | {"head": "expert"})
    assert torch.equal(suite.task("birds").head["weight"], torch.full((3, 6), 3.0))
    assert all(
        torch.equal(suite.experts["birds"][key], value) for key, value in tiny.vit(7).items()
    )
    runs(suite)


@torch.no_grad()
def test_open_clip_with_zero_shot_heads(tmp_path):
    import open_clip

    content = tiny.vit_suite(tmp_path)
    model = tiny.pair(tmp_path)
    content |= {
        "base": "pair.safetensors",
        "head": "zero-shot",
        "templates": ["a {}."],
        "backbone": {"kind": "open_clip", "model": "tiny-pair"},
    }
    for task in content["tasks"].values():
        expert = tiny.shaken(open_clip.create_model("tiny-pair"), seed=5).visual
        states.save(
            {f"visual.{key}": value for key, value in expert.state_dict().items()},
            tmp_path / task["expert"],
        )
    suite = load(tmp_path, content)
    model.visual = expert
    pixels = suite.backbone.prepare(suite.task("pets").inputs["test"])["pixels"]
    images, names, scale = model(pixels, open_clip.get_tokenizer("tiny-pair")(["a cat.", "a dog."]))
    close(expert_logits(suite, "pets"), scale * images @ names.T)
    runs(suite)


@torch.no_grad()
def test_clip_with_zero_shot_heads(tmp_path):
    from transformers import AutoTokenizer, CLIPModel

    model = tiny.clip(tmp_path / "clip")
    tiny.clip_vision(tmp_path / "expert", model.config.vision_config, max_shard_size="4KB")
    images_as_npz(tmp_path)
    suite = load(
        tmp_path,
        {
            "name": "own",
            "base": "clip",
            "head": "zero-shot",
            "templates": ["unused {}"],
            "backbone": {"kind": "clip", "model": "clip"},
            "tasks": {
                "pets": {
                    "expert": "expert",
                    "data": "images.npz",
                    "classes": ["cat", "dog"],
                    "templates": ["a {}"],
                }
            },
        },
    )
    whole = CLIPModel.from_pretrained(tmp_path / "clip").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "clip")
    expert = type(whole.vision_model).from_pretrained(tmp_path / "expert")
    whole.vision_model.load_state_dict(expert.state_dict())
    tokens = tokenizer(["a cat", "a dog"], return_tensors="pt", return_token_type_ids=False)
    pixels = suite.backbone.prepare(suite.task("pets").inputs["test"])["pixels"]
    close(expert_logits(suite, "pets"), whole(**tokens, pixel_values=pixels).logits_per_image)
    runs(suite)


@torch.no_grad()
def test_bert_with_heads_in_the_experts(tmp_path, texts):
    from transformers import BertForSequenceClassification

    as_csv(tmp_path)
    suite = load(tmp_path, texts)
    model = BertForSequenceClassification.from_pretrained(texts["tasks"]["moods"]["expert"]).eval()
    tokens = suite.backbone.prepare(suite.task("moods").inputs["test"])
    close(expert_logits(suite, "moods"), model(**tokens).logits)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_what_wraps_an_expert_for_training_matters_neither_to_it_nor_to_its_head(
    tmp_path, texts, prefix
):
    as_csv(tmp_path)
    plain = load(tmp_path, texts)
    expert = checkpoints.load(texts["tasks"]["moods"]["expert"])
    wrapped = {prefix + name: value for name, value in expert.items()}
    torch.save({"model": wrapped, "epoch": 3}, tmp_path / "wrapped.pt")
    texts["tasks"]["moods"]["expert"] = "wrapped.pt"
    suite = load(tmp_path, texts)
    assert torch.equal(suite.task("moods").head["weight"], plain.task("moods").head["weight"])
    for name, value in plain.experts["moods"].items():
        assert torch.equal(suite.experts["moods"][name], value)


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_t5_with_words_for_heads(tmp_path, tied):
    from transformers import T5ForConditionalGeneration

    tiny.t5(tmp_path / "base", seed=0, tied=tied)
    tiny.t5(tmp_path / "expert", seed=1, tied=tied)
    as_csv_gz(tmp_path)
    suite = load(
        tmp_path,
        {
            "name": "own",
            "base": "base",
            "head": "words",
            "backbone": {"kind": "t5", "model": "base", "max_length": 8},
            "tasks": {
                "moods": {"expert": "expert", "data": "moods.csv.gz", "classes": ["yes", "no"]}
            },
        },
    )
    assert suite.task("moods").head is None
    model = T5ForConditionalGeneration.from_pretrained(tmp_path / "expert").eval()
    tokens = suite.backbone.prepare(suite.task("moods").inputs["test"])
    logits = model(**tokens, decoder_input_ids=torch.zeros(5, 1, dtype=torch.long)).logits[:, 0]
    numbers = [len(tiny.SPECIAL) + tiny.WORDS.index(word) for word in ("yes", "no")]
    close(expert_logits(suite, "moods"), logits[:, numbers])
    runs(suite)


# Experts stored small


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CHANGE = {
    "matrix": random(6, 20) * torch.logspace(-6, 3, 6)[:, None],
    "conv": random(4, 3, 2, 2),
    "bias": random(7),
    "zeros": torch.zeros(3, 4),
    "scalar": torch.tensor(0.3),
}


def test_packed_entries_are_off_by_half_a_step_of_their_row():
    stored = packing.pack(CHANGE)
    assert stored["matrix|int8"].dtype == torch.int8 and stored["matrix|int8"].numel() == 120
    found = packing.unpack(stored, CHANGE)
    assert found.keys() == CHANGE.keys()
    for name, value in CHANGE.items():
        assert found[name].shape == value.shape and found[name].dtype == torch.float32
        if value.ndim > 1:
            bound = value.flatten(1).abs().amax(1) / 254
            assert ((found[name] - value).flatten(1).abs().amax(1) <= 1.0001 * bound).all()
        else:
            assert torch.equal(found[name], value.half().float())


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (8, 3, 4, 4)], ids=str)
def test_a_packed_matrix_of_low_rank_is_the_best_one_of_that_rank(shape):
    value, rank = random(*shape), 5
    stored = packing.pack({"w": value}, rank)
    assert sum(
        tensor.numel() for name, tensor in stored.items() if name.endswith("int8")
    ) == rank * sum(value.flatten(1).shape)
    found = packing.unpack(stored, {"w": value})["w"].flatten(1)
    u, s, vh = np.linalg.svd(value.flatten(1).double().numpy(), full_matrices=False)
    best = torch.from_numpy((u[:, :rank] * s[:rank]) @ vh[:rank]).float()
    assert np.linalg.matrix_rank(found.numpy(), tol=1e-4) == rank
    assert (found - best).norm() < 0.01 * best.norm()
    lost = (found - value.flatten(1)).norm().item()
    assert np.sqrt((s[rank:] ** 2).sum()) <= lost < 1.001 * np.sqrt((s[rank:] ** 2).sum())


def test_a_matrix_of_no_more_than_the_rank_is_stored_whole():
    small = random(3, 20)
    found = packing.unpack(packing.pack({"w": small}, 3), {"w": small})["w"]
    assert ((found - small).abs().amax(1) <= 1.0001 * small.abs().amax(1) / 254).all()


@pytest.mark.parametrize(
    "stored, message",
    [
        (
            {"other|half": torch.ones(2)},
            "the change of other, with 2 entries, fits no tensor of the base",
        ),
        ({"w|half": torch.ones(1)}, "the change of w, with 1 entries, fits no tensor of the base"),
        (
            packing.pack({"w": torch.ones(2, 3)}),
            "the change of w, with 6 entries, fits no tensor of the base",
        ),
        (
            packing.pack({"w": random(9, 9)}, 2),
            "the change of w, with 81 entries, fits no tensor of the base",
        ),
    ],
    ids=["unknown", "vector", "matrix", "low rank"],
)
def test_a_packed_change_that_fits_nothing_is_refused(stored, message):
    with pytest.raises(ValueError, match=message):
        packing.unpack(stored, {"w": torch.zeros(2, 2)})


def packed(folder, rank=None, damage=lambda stored: None):
    """The suite of `tiny.vit_suite`, its experts and heads in one packed file.

    The experts are without their projection's change.
    """
    content = tiny.vit_suite(folder)
    stored, heads = {}, checkpoints.load(folder / "heads.safetensors")
    for name, task in content["tasks"].items():
        change = states.task_vector(tiny.vit(0), checkpoints.load(folder / task.pop("expert")))
        del change["proj"]
        stored |= {f"{name}/{key}": value for key, value in packing.pack(change, rank).items()}
        stored |= {
            f"{name}/head.{part}": heads[f"{name}.{part}"].half() for part in ("weight", "bias")
        }
    damage(stored)
    states.save(stored, folder / "experts.safetensors")
    return content | {"experts": "experts.safetensors", "head": "expert"}


@pytest.mark.parametrize("rank", [None, 4])
def test_packed_experts_are_the_base_and_their_change(tmp_path, rank):
    suite = load(tmp_path, packed(tmp_path, rank))
    base, heads = tiny.vit(0), checkpoints.load(tmp_path / "heads.safetensors")
    for name in ("pets", "birds"):
        expert, found = checkpoints.load(tmp_path / f"{name}.safetensors"), suite.experts[name]
        assert found.keys() == base.keys() and torch.equal(found["proj"], base["proj"])
        change = {key: expert[key] - base[key] for key in base if key != "proj"}
        kept = packing.unpack(packing.pack(change, rank), base)
        assert all(torch.equal(found[key], base[key] + kept[key]) for key in change)
        assert torch.equal(suite.task(name).head["weight"], heads[f"{name}.weight"].half().float())
    runs(suite)


# One suite made from another


def moved(tmp_path, **content):
    """A suite in another folder that extends the one in `first`."""
    return load(tmp_path / "second", {"extends": "../first/suite.toml", **content})


def test_a_suite_that_extends_another_has_its_files_tasks_and_name(tmp_path):
    tiny.vit_suite(tmp_path / "first")
    first, second = suites.load_suite(str(tmp_path / "first")), moved(tmp_path)
    assert second.name == "tiny" and list(second.tasks) == list(first.tasks)
    for name in first.tasks:
        assert all(
            torch.equal(second.experts[name][key], value)
            for key, value in first.experts[name].items()
        )
        assert np.array_equal(second.task(name).inputs["test"], first.task(name).inputs["test"])
    runs(second)


def test_folders_beside_the_other_manifest_are_found_too(tmp_path, texts, hub):
    first = tmp_path / "first"
    first.mkdir()
    tiny.clip(first / "model")
    tiny.clip(first / "expert", seed=1)
    images_as_folders(first)
    images_as_parquet(first)
    task = {"expert": "hub:expert", "data": "images", "classes": ["cat", "dog"]}
    tiny.write_manifest(
        first,
        {
            "name": "own",
            "base": "model",
            "head": "zero-shot",
            "templates": ["a {}"],
            "backbone": {"kind": "clip", "model": "model"},
            "tasks": {"pets": task, "more": task | {"data": "hub:hub"}},
        },
    )
    suite = moved(tmp_path)
    assert [len(suite.task(name).inputs["test"]) for name in ("pets", "more")] == [5, 5]
    runs(suite)


def test_only_the_tasks_that_are_named_are_taken_and_what_is_said_of_them_is_replaced(tmp_path):
    content = tiny.vit_suite(tmp_path / "first")
    content["out_of_domain"] = {
        "far": {"data": "pets.npz", "classes": ["x", "y"], "head": "far.safetensors"}
    }
    states.save({"head.weight": torch.ones(2, 6)}, tmp_path / "first/far.safetensors")
    tiny.write_manifest(tmp_path / "first", content)
    tiny.write_manifest(tmp_path / "second", {})
    states.save(tiny.vit(9), tmp_path / "second/mine.safetensors")
    suite = moved(tmp_path, name="mine", tasks={"birds": {"expert": "mine.safetensors"}})
    assert (
        suite.name == "mine"
        and list(suite.tasks) == ["birds"]
        and list(suite.out_of_domain) == ["far"]
    )
    assert all(
        torch.equal(suite.experts["birds"][key], value) for key, value in tiny.vit(9).items()
    )
    assert suite.task("birds").classes == ("owl", "crow", "wren")
    whole = moved(tmp_path, name="mine", tasks={"birds": {}})
    assert torch.equal(whole.experts["birds"]["proj"], tiny.vit(2)["proj"])


def test_packed_experts_may_be_replaced_by_files_and_files_by_packed_ones(tmp_path):
    tiny.write_manifest(tmp_path / "first", packed(tmp_path / "first"))
    experts = {name: {"expert": f"../first/{name}.safetensors"} for name in ("pets", "birds")}
    heads = {"head": "../first/heads.safetensors"}
    suite = moved(tmp_path, tasks=experts, **heads)
    assert torch.equal(suite.experts["pets"]["proj"], tiny.vit(1)["proj"])
    tiny.vit_suite(tmp_path / "first")
    suite = moved(tmp_path, experts="../first/experts.safetensors", head="expert")
    assert torch.equal(suite.experts["pets"]["proj"], tiny.vit(0)["proj"])


def test_hashes_of_the_other_manifest_are_still_checked(tmp_path):
    content = tiny.vit_suite(tmp_path / "first")
    good = {
        f"{name}.npz": suites.sha256(tmp_path / f"first/{name}.npz") for name in ("pets", "birds")
    }
    tiny.write_manifest(tmp_path / "first", content | {"sha256": good})
    moved(tmp_path)
    mine = {"../first/heads.safetensors": suites.sha256(tmp_path / "first/heads.safetensors")}
    moved(tmp_path, sha256=mine)
    (tmp_path / "first/pets.npz").write_bytes((tmp_path / "first/birds.npz").read_bytes())
    for changes in ({}, {"sha256": mine}):
        with pytest.raises(ValueError, match="pets.npz is not the expected file: its SHA-256 is "):
            moved(tmp_path, **changes)


def test_a_bundled_suite_is_extended_by_its_name(tmp_path):
    tiny.clip(tmp_path / "model")
    tiny.clip(tmp_path / "expert", seed=1)
    inputs, labels = tiny.images(0, 12, size=16, classes=10)
    np.savez(tmp_path / "digits.npz", test_inputs=inputs, test_labels=labels)
    suite = load(
        tmp_path,
        {
            "name": "mine",
            "extends": "clip-vit-b-32",
            "base": "model",
            "backbone": {"kind": "clip", "model": "model"},
            "tasks": {"mnist": {"expert": "expert", "data": "digits.npz"}},
        },
    )
    assert list(suite.tasks) == ["mnist"] and suite.task("mnist").classes == tuple("0123456789")
    close(
        suite.task("mnist").head["weight"],
        suite.backbone.text_head(
            str(tmp_path / "model"), list("0123456789"), ['a photo of the number: "{}".']
        )["weight"],
    )
    runs(suite)


def test_tasks_out_of_domain_have_heads_and_data_but_no_expert(tmp_path):
    content = tiny.vit_suite(tmp_path)
    heads = checkpoints.load(tmp_path / "heads.safetensors")
    states.save(heads | {"far.weight": torch.ones(2, 6)}, tmp_path / "heads.safetensors")
    suite = load(
        tmp_path, content | {"out_of_domain": {"far": {"data": "pets.npz", "classes": ["x", "y"]}}}
    )
    assert list(suite.tasks) == list(suite.experts) == ["pets", "birds"] and list(
        suite.out_of_domain
    ) == ["far"]
    assert suite.task("far").classes == ("x", "y") and torch.equal(
        suite.task("far").head["weight"], torch.ones(2, 6)
    )
    with pytest.raises(ValueError, match="task is 'near'; allowed: pets, birds, far"):
        suite.task("near")
    runs(suite)


# Bad input


def refused(folder, content, kind=ValueError):
    with pytest.raises(kind) as caught:
        load(folder, content)
    return str(caught.value)


@pytest.mark.parametrize("name", ["mini9", "", "no/such/folder", "tests/test_formats.py"])
def test_an_unknown_suite_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError) as caught:
        suites.load_suite(name)
    known = ", ".join(suites.available())
    assert (
        str(caught.value) == f"suite is {name!r}; allowed: {known}, or a folder with a suite.toml"
    )
    assert "clip-vit-b-32" in suites.available()


@pytest.mark.parametrize(
    "text, message",
    [
        (b"name = 'x'\n[tasks\n", "at line 2"),
        (b"name = ", "Invalid value"),
        (b"name = '\xff'", "utf-8"),
    ],
    ids=["table", "value", "letters"],
)
def test_a_syntax_error_is_shown_with_its_line(tmp_path, text, message):
    (tmp_path / "suite.toml").write_bytes(text)
    with pytest.raises(ValueError, match=f"suite.toml is not valid TOML: .*{message}"):
        suites.load_suite(str(tmp_path))


def changed(content, where, value):
    """The manifest with one field set, or with it removed where the value is None."""
    *tables, key = where.split(".")
    for name in tables:
        content = content[name]
    if value is None:
        del content[key]
    else:
        content[key] = value


NUMBERED = {  # The text by which the line is found, and what is said of it.
    "misspelt in a task": (
        "tasks.birds.clases",
        ["x"],
        '"clases"',
        "unknown field 'clases' in [tasks.birds]; "
        "did you mean 'classes'? allowed: expert, classes, head,",
    ),
    "misspelt at the top": (
        "bsae",
        "x",
        '"bsae"',
        "unknown field 'bsae' in the top level; did you mean 'base'?",
    ),
    "misspelt in the backbone": (
        "backbone.maen",
        [0, 0, 0],
        '"maen"',
        "unknown field 'maen' in [backbone]; "
        "did you mean 'mean'? allowed: kind, model, pretrained, architecture",
    ),
    "unlike any": (
        "tasks.pets.zzz",
        1,
        '"zzz"',
        "unknown field 'zzz' in [tasks.pets]; allowed: expert",
    ),
    "missing in a task": (
        "tasks.birds.classes",
        None,
        '"birds"',
        "[tasks.birds] lacks the field 'classes'",
    ),
    "missing data": ("tasks.pets.data", None, '"pets"]', "[tasks.pets] lacks the field 'data'"),
    "missing expert": (
        "tasks.pets.expert",
        None,
        '"pets"]',
        "[tasks.pets] lacks the field 'expert'",
    ),
    "missing kind": (
        "backbone.kind",
        None,
        '["backbone"]',
        "[backbone] kind is None; allowed: open_clip, ",
    ),
    "unknown kind": (
        "backbone.kind",
        "gpt",
        '"kind"',
        "[backbone] kind is 'gpt'; allowed: open_clip, clip, bert, t5",
    ),
    "two kinds": ("backbone.kind", ["bert"], '"kind"', "[backbone] kind is ['bert']; allowed: "),
    "no model": (
        "backbone.architecture",
        None,
        '["backbone"]',
        "[backbone] lacks the field 'model'",
    ),
    "classes as text": (
        "tasks.pets.classes",
        "cat, dog",
        '"classes"',
        "classes in [tasks.pets] must be a list of texts, got 'cat, dog'",
    ),
    "classes as numbers": (
        "tasks.pets.classes",
        [0, 1],
        '"classes"',
        "classes in [tasks.pets] must be a list",
    ),
    "one class": (
        "tasks.pets.classes",
        ["cat"],
        '"classes"',
        "[tasks.pets] classes must be two or more",
    ),
    "twice": (
        "tasks.pets.classes",
        ["cat", "cat"],
        '"classes"',
        "[tasks.pets] classes must be two or more different",
    ),
    "mean": (
        "backbone.mean",
        [0.5],
        '"mean"',
        "mean in [backbone] must be a list of 3 numbers, got [0.5]",
    ),
    "seed": ("seed", True, '"seed"', "seed in the top level must be a whole number, got True"),
    "base": ("base", 3, '"base"', "base in the top level must be a text, got 3"),
    "tasks": ("tasks", "all", '"tasks"', "tasks in the top level must be a table, got 'all'"),
    "no tasks": ("tasks", {}, '["tasks"]', "[tasks] names no task"),
    "splits": (
        "tasks.pets.splits",
        {"tets": "val"},
        '"pets"]',
        "[tasks.pets] splits has 'tets'; allowed: train,",
    ),
    "unknown head": (
        "head",
        "zeroshot",
        '"head"',
        "head is 'zeroshot'; allowed for [tasks.pets]: a wei",
    ),
    "head of a task": (
        "tasks.birds.head",
        "word",
        '"head" = "word"',
        "head is 'word'; allowed for [tasks.birds]: ",
    ),
    "no text tower": (
        "head",
        "zero-shot",
        '"head"',
        "head is 'zero-shot'; allowed for [tasks.pets]: a weights file (",
    ),
    "no words": (
        "head",
        "words",
        '"head"',
        "head is 'words'; allowed for [tasks.pets]: a weights file (",
    ),
    "no head": (
        "head",
        None,
        '"pets"]',
        "[tasks.pets] has no head, and the suite gives none; allowed: a ",
    ),
    "expert twice": (
        "experts",
        "pets.safetensors",
        '"expert"',
        "[tasks.pets] has an expert, but experts = ",
    ),
    "weights of no model": (
        "base",
        "open_clip:openai",
        '"base"',
        "base = 'open_clip:openai' needs a [backb",
    ),
    "no other suite": (
        "extends",
        "mini9",
        '"extends"',
        "extends names no other suite and no other manifest: 'mini9'",
    ),
    "itself": (
        "extends",
        "suite.toml",
        '"extends"',
        "extends names no other suite and no other manifest: 'suite",
    ),
}


@pytest.mark.parametrize("where, value, found_by, message", NUMBERED.values(), ids=NUMBERED)
def test_a_wrong_field_is_named_with_its_line(tmp_path, where, value, found_by, message):
    content = tiny.vit_suite(tmp_path)
    changed(content, where, value)
    error = refused(tmp_path, content)
    lines = (tmp_path / "suite.toml").read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if found_by in line)
    assert error.startswith(f"{tmp_path / 'suite.toml'}, line {number}: {message}")


@pytest.mark.parametrize("field", ["name", "base", "backbone", "tasks"])
def test_a_field_that_is_missing_at_the_top_is_named(tmp_path, field):
    content = tiny.vit_suite(tmp_path)
    del content[field]
    assert (
        refused(tmp_path, content)
        == f"{tmp_path / 'suite.toml'}: the top level lacks the field {field!r}"
    )


def test_an_inline_table_has_its_line_too(tmp_path):
    tiny.vit_suite(tmp_path)
    text = """name = "x"
base = "base.safetensors"
head = "heads.safetensors"
backbone = { kind = "bert", model = "x", poolin = "mean" }
[tasks]
pets = { expert = "pets.safetensors", data = "pets.npz", classes = ["cat", "dog"] }
"""
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(
        ValueError, match="line 4: unknown field 'poolin' in .backbone.; did you mean 'pooling'"
    ):
        suites.load_suite(str(tmp_path))


@pytest.mark.parametrize("templates", [None, [], ["a photo"]], ids=str)
def test_zero_shot_heads_need_templates_with_a_place_for_the_class(tmp_path, templates):
    content = tiny.vit_suite(tmp_path) | {
        "head": "zero-shot",
        "backbone": {"kind": "clip", "model": "hub:no/matter"},
    }
    if templates is not None:
        content["templates"] = templates
    assert "[tasks.pets] has a zero-shot head, so it needs templates, each with {}" in refused(
        tmp_path, content
    )


def arrays(**changes):
    """A damage: the data file of `pets` with arrays replaced, or removed where they are None."""

    def damage(folder):
        with np.load(folder / "pets.npz") as file:
            content = dict(file) | changes
        np.savez(
            folder / "pets.npz",
            **{name: value for name, value in content.items() if value is not None},
        )

    return damage


def weights(file, name, value):
    def damage(folder):
        state = checkpoints.load(folder / file) | {name: value}
        states.save(
            {key: tensor for key, tensor in state.items() if tensor is not None}, folder / file
        )

    return damage


def bytes_of(file, change):
    def damage(folder):
        (folder / file).write_bytes(change((folder / file).read_bytes()))

    return damage


NAN = torch.full((16,), float("nan"))
DAMAGED = {
    "labels out of range": (
        arrays(test_labels=np.full(12, 2)),
        "pets.npz, test: labels run from 2 to 2, but ",
    ),
    "labels below 0": (
        arrays(val_labels=np.full(5, -1)),
        "pets.npz, val: labels run from -1 to -1, but ",
    ),
    "unknown labels": (
        arrays(test_labels=np.array(["cat", "cow"] * 6)),
        "pets.npz, test: the labels 'cow' are neither whole numbers "
        "nor among the 2 classes cat, dog",
    ),
    "labels between": (
        arrays(test_labels=np.full(12, 0.5)),
        "pets.npz, test: the labels 0.5 are neither ",
    ),
    "rows of labels": (
        arrays(test_labels=np.zeros((12, 2), int)),
        "pets.npz, test: the labels .0, 0. are ",
    ),
    "objects": (
        arrays(test_labels=np.array([None] * 12)),
        "pets.npz is not a readable .npz of plain arrays: Ob",
    ),
    "too few labels": (
        arrays(test_labels=np.zeros(5, int)),
        "pets.npz: 12 test_inputs, but 5 test_labels",
    ),
    "no labels": (arrays(test_labels=None), "pets.npz: no array test_labels beside test_inputs"),
    "no test split": (
        arrays(test_labels=None, test_inputs=None),
        "pets.npz has no test split, or an empty one; its splits: train, val, unlabelled",
    ),
    "empty test split": (
        arrays(test_labels=np.zeros(0, int), test_inputs=np.zeros((0, 8, 8, 3), np.uint8)),
        "pets.npz has no test split, or an empty one; its splits: train, val, unlabelled, test",
    ),
    "images of floats": (
        arrays(test_inputs=np.zeros((12, 8, 8, 3))),
        "suite.toml: .pets. the backbone cannot take the inputs of pets.npz: "
        ".* this one is float64",
    ),
    "images of floats in another split": (
        arrays(train_inputs=np.zeros((20, 8, 8, 3), np.float32)),
        "the backbone cannot take the inputs of pets.npz: .* this one is float32 .*multiply by 255",
    ),
    "images of four channels": (
        arrays(test_inputs=np.zeros((12, 8, 8, 4), np.uint8)),
        "cannot take the inputs of pets.npz: .* must be uint8, .* this one is uint8 .1, 8, 8, 4.",
    ),
    "two channels first": (
        arrays(test_inputs=np.zeros((12, 2, 8, 8), np.uint8)),
        "must be uint8, .* this one is uint8 .1, 2, 8, 8.",
    ),
    "one number": (
        arrays(test_inputs=np.array(3), test_labels=np.array(1)),
        "pets.npz: test_inputs and test_labels must have a row an input",
    ),
    "other arrays": (
        lambda folder: np.savez(folder / "pets.npz", x_test=np.zeros(3), y_test=np.zeros(3)),
        "pets.npz has no array test_inputs; it has x_test, y_test",
    ),
    "no arrays": (
        lambda folder: np.savez(folder / "pets.npz"),
        "no array test_inputs; it has none",
    ),
    "a capital letter": (
        arrays(Train_inputs=np.zeros((2, 8, 8), np.uint8), Train_labels=np.zeros(2, int)),
        "pets.npz has a split 'Train'; is it 'train'",
    ),
    "labels below -1 of unlabelled inputs": (
        arrays(unlabelled_labels=np.full(4, -2)),
        "pets.npz, unlabelled: labels run from -2 to -2",
    ),
    "unlabelled inputs with too few labels": (
        arrays(unlabelled_labels=np.zeros(3, int)),
        "pets.npz: 4 unlabelled_inputs, but 3 unlabelled_labels",
    ),
    "data that are a pointer of Git LFS": (
        bytes_of("pets.npz", lambda content: b"version https://git-lfs.github.com/spec/v1"),
        "pets.npz is a pointer of Git LFS, not the file",
    ),
    "data that are a web page": (
        bytes_of("pets.npz", lambda content: b"<!DOCTYPE html>"),
        "pets.npz is a web page",
    ),
    "sentences": (
        arrays(test_inputs=np.array(["a cat"] * 12)),
        ".pets. the backbone cannot take the inputs of pets",
    ),
    "cut data": (
        bytes_of("pets.npz", lambda content: content[:-30]),
        "pets.npz is not a readable .npz",
    ),
    "no data": (bytes_of("pets.npz", lambda content: b""), "pets.npz is not a readable .npz"),
    "other data": (
        bytes_of("pets.npz", lambda content: b"hello"),
        "pets.npz is not a readable .npz",
    ),
    "NaN in an expert": (
        weights("birds.safetensors", "class_embedding", NAN),
        "these models cannot be merged:\n  class_embedding: birds holds NaN or infinity",
    ),
    "NaN in the base": (
        weights("base.safetensors", "class_embedding", NAN),
        "class_embedding: base holds NaN or",
    ),
    "NaN in a head": (
        weights("heads.safetensors", "birds.bias", NAN[:3]),
        "bias: the head of birds holds NaN or",
    ),
    "shape of an expert": (
        weights("birds.safetensors", "class_embedding", torch.zeros(17)),
        "birds.safetensors does not fit .*\n  class_embedding has shape .17,., the network has .16",
    ),
    "whole numbers in an expert": (
        weights("birds.safetensors", "class_embedding", torch.ones(16, dtype=torch.int8)),
        "birds.safetensors does not fit .*\n  class_embedding is torch.int8, the network has",
    ),
    "an expert in 8 bits": (
        weights("birds.safetensors", "conv1.weight", torch.ones(16, 3, 4, 4, dtype=torch.int8)),
        "birds.safetensors is quantised .conv1.weight, int8",
    ),
    "an expert in float8": (
        weights("birds.safetensors", "proj", torch.ones(16, 6).to(torch.float8_e4m3fn)),
        "birds.safetensors: proj is float8_e4m3fn; allowed: ",
    ),
    "an adapter": (
        weights("birds.safetensors", "proj.lora_A.weight", torch.ones(2, 2)),
        "birds.safetensors is an adapter",
    ),
    "two networks in one file": (
        lambda folder: states.save(
            {f"{who}.{name}": value for who in "ab" for name, value in tiny.vit(1).items()},
            folder / "birds.safetensors",
        ),
        "birds.safetensors holds several such networks: a., b.; save one only",
    ),
    "a pointer of Git LFS": (
        bytes_of("birds.safetensors", lambda content: b"version https://git-lfs.github.com/spec"),
        "birds.safetensors is a pointer of Git LFS",
    ),
    "part of an expert": (
        weights("birds.safetensors", "proj", None),
        "birds.safetensors does not fit .*\n  no proj",
    ),
    "cut expert": (
        bytes_of("birds.safetensors", lambda content: content[:-3]),
        "birds.safetensors is not a readable",
    ),
    "width of a head": (
        weights("heads.safetensors", "pets.weight", torch.zeros(2, 5)),
        "the head of pets has weight .2, 5. .*; 2 classes and embeddings of width 6 need .2, 6.",
    ),
    "rows of a head": (
        weights("heads.safetensors", "pets.weight", torch.zeros(3, 6)),
        "head of pets has weight .3, 6",
    ),
    "bias of a head": (
        weights("heads.safetensors", "pets.bias", torch.zeros(3)),
        "head of pets has .* and bias .3,.",
    ),
    "no such head": (
        weights("heads.safetensors", "pets.weight", None),
        "heads.safetensors holds no head for pets: no pets.weight or head.weight",
    ),
}


@pytest.mark.parametrize("damage, message", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, damage, message):
    content = tiny.vit_suite(tmp_path)
    damage(tmp_path)
    assert re.search(message, refused(tmp_path, content))


@pytest.mark.parametrize("classes", [["cat", "dog", "cow"], ["cat", "dog", "cow", "hen"]], ids=len)
def test_classes_unlike_the_head_are_refused(tmp_path, classes):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"]["classes"] = classes
    assert f"the head of pets has weight (2, 6) and bias (2,); {len(classes)} classes" in refused(
        tmp_path, content
    )


def test_an_expert_without_a_head_is_named(tmp_path):
    content = tiny.vit_suite(tmp_path) | {"head": "expert"}
    assert refused(tmp_path, content) == (
        "the expert's checkpoint holds no head for pets: no classifier.weight or head.weight"
    )


@pytest.mark.parametrize(
    "file", ["base.safetensors", "pets.safetensors", "heads.safetensors", "birds.npz"]
)
def test_a_missing_file_is_named_before_anything_is_read_or_fetched(tmp_path, monkeypatch, file):
    content = tiny.vit_suite(tmp_path)
    (tmp_path / file).unlink()
    monkeypatch.setattr(checkpoints, "load", None)
    monkeypatch.setattr(checkpoints, "hub_folder", None)
    if file != "base.safetensors":
        content["base"] = "hub:nobody/nothing"
    assert refused(tmp_path, content, FileNotFoundError) == (
        f"{tmp_path / 'suite.toml'}: no file or folder at {tmp_path / file}; "
        "an id on the Hub starts with hub:"
    )


def test_a_file_with_another_hash_is_refused(tmp_path):
    content = tiny.vit_suite(tmp_path)
    good = {file.name: suites.sha256(file) for file in tmp_path.glob("*.npz")}
    load(tmp_path, content | {"sha256": good})
    (tmp_path / "birds.npz").write_bytes(b"other")
    assert re.search(
        "birds.npz is not the expected file: its SHA-256 is .*, expected ",
        refused(tmp_path, content | {"sha256": good}),
    )
    (tmp_path / "birds.npz").unlink()
    assert "no file at" in refused(tmp_path, content | {"sha256": good}, FileNotFoundError)


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda stored: stored.update({"pets/class_embedding|half": NAN}),
            "class_embedding: pets holds NaN or infinity",
        ),
        (
            lambda stored: stored.update({"pets/other|half": NAN}),
            "experts.safetensors, pets: the change of other, with 16 entries, "
            "fits no tensor of the base",
        ),
        (
            lambda stored: [stored.pop(key) for key in list(stored) if key.startswith("birds/")],
            "experts.safetensors holds no expert for the task birds",
        ),
        (
            lambda stored: stored.pop("birds/head.weight"),
            "the expert's checkpoint holds no head for birds",
        ),
    ],
    ids=["NaN", "unknown", "no expert", "no head"],
)
def test_packed_experts_that_do_not_fit_are_named(tmp_path, damage, message):
    assert message in refused(tmp_path, packed(tmp_path, damage=damage))


BAD_TABLES = {
    "no column": (
        "split,label,words\ntest,sad,a\n",
        "has no column 'text'; it has split, label, words",
    ),
    "no split": ("label,text\nsad,a\n", "has no column 'split'; it has label, text"),
    "nothing": ("", "has no column 'split'; it has no rows"),
    "short row": (
        "split,label,text\ntest,sad,a\ntest,glad\n",
        "moods.csv, line 3: a row with fewer columns than its header: .'test', 'glad'.",
    ),
    "long row": (
        "split,label,text\ntest,sad,a\ntest,glad,well, well\n",
        "moods.csv, line 3: a row with more columns than its header: .'test', 'glad', 'well', ' w",
    ),
    "columns of one name": (
        "split,label,text,text\ntest,sad,a,b\n",
        "moods.csv has 2 columns called 'text'",
    ),
    "columns without a name": ("split,label,text,,\ntest,sad,a,,\n", "has 2 columns called ''"),
    "an open quote": (
        'split,label,text\ntest,sad,"a\ntest,glad,b\n',
        "moods.csv is not a readable CSV file in UTF-8: unexpected end of data",
    ),
    "a quote within": (
        'split,label,text\ntest,sad,"a" b\ntest,glad,b\n',
        "moods.csv is not a readable CSV file in UTF-8: ',' expected",
    ),
    "zero bytes": ("split,label,text\ntest,sad,a\0b\n", "moods.csv .*: it holds zero bytes"),
    "two bytes a letter": (
        "split,label,text\ntest,sad,a\n".encode("utf-16"),
        "moods.csv is not a readable CSV file in UTF-8",
    ),
    "an empty text": (
        "split,label,text\ntest,sad,a\ntrain,sad,\n",
        "moods.csv, line 3: the text is empty",
    ),
    "a blank text": ("split,label,text\ntest,sad,  \n", "moods.csv, line 2: the text is empty"),
    "a space before a split": (
        "split,label,text\ntest,sad,a\n train,sad,b\n",
        "moods.csv has a split ' train'; is it 'train'",
    ),
    "a split in capitals": (
        "split,label,text\ntest,sad,a\nVAL,sad,b\n",
        "moods.csv has a split 'VAL'; is it 'val'",
    ),
    "semicolons": ("split;label;text\ntest;sad;a\n", "no column 'split'; it has split;label;text"),
    "a number with a line": ("split,label,text\ntest,1_0,a\n", "the labels '1_0' are neither"),
    "a part of a number": ("split,label,text\ntest,1.0,a\n", "the labels '1.0' are neither"),
    "names and numbers": (
        "split,label,text\ntest,sad,a\ntest,1,b\n",
        "the labels 'sad' are neither|the labels '1' are neither",
    ),
    "no label": ("split,label,text\ntest,,a\n", "moods.csv, test: the labels '' are neither"),
    "another picture": (
        "split,label,image\ntest,sad,a.gif\n",
        "moods.csv, line 2: 'a.gif' is no image; allowed: .png, .jpg",
    ),
    "a pointer of Git LFS": (
        "version https://git-lfs.github.com/spec/v1\n",
        "is a pointer of Git L",
    ),
    "a web page": ("<html><body>404", "moods.csv is a web page"),
    "no test": (
        "split,label,text\ntrain,sad,a\n",
        "has no test split, or an empty one; its splits: train",
    ),
    "unknown label": (
        "split,label,text\ntest,mad,a\ntest,sad,b\n",
        "test: the labels 'mad' are neither whole numbers nor among the 2 classes sad, glad",
    ),
    "no picture": ("split,label,image\ntest,sad,a.png\n", "no image at .*a.png"),
    "letters": (
        "split,label,text\ntest,sad,caf\u00e9\n".encode("latin-1"),
        "is not a readable CSV file in UTF-8",
    ),
}


@pytest.mark.parametrize("text, message", BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, texts, text, message):
    (tmp_path / "moods.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert re.search(message, refused(tmp_path, texts, (ValueError, FileNotFoundError)))


@pytest.mark.parametrize(
    "content",
    [b"hello", gzip.compress(b"split,label,text\ntest,sad,a\n")[:-9]],
    ids=["other", "cut"],
)
def test_a_damaged_archive_is_named(tmp_path, texts, content):
    (tmp_path / "moods.csv.gz").write_bytes(content)
    texts["tasks"]["moods"]["data"] = "moods.csv.gz"
    assert "moods.csv.gz is not a readable CSV file in UTF-8" in refused(tmp_path, texts)


def test_another_format_is_refused_with_those_there_are(tmp_path, texts):
    (tmp_path / "moods.json").touch()
    texts["tasks"]["moods"]["data"] = "moods.json"
    assert "moods.json is not a data format; allowed: .npz, .csv, .csv.gz, a folder" in refused(
        tmp_path, texts
    )


def test_a_folder_of_another_class_is_named(tmp_path):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= images_as_folders(tmp_path) | {"classes": ["cat", "cow"]}
    assert "the folder 'dog' is not one of the classes cat, cow" in refused(tmp_path, content)


def picture(name, mode="RGB", size=(9, 9)):
    def damage(folder):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size).save(path)

    return damage


BAD_FOLDERS = {
    "no class": (picture("test/7.png"), "7.png must lie in a class's folder"),
    "too deep": (picture("test/cat/more/7.png"), "7.png must lie in a class's folder"),
    "another class": (picture("train/cow/7.png"), "the folder 'cow' is not one of the classes cat"),
    "another kind": (picture("test/cat/7.gif", "L"), "7.gif is no image that is read; allowed: .p"),
    "16 bits": (picture("test/cat/!.png", "I;16"), "!.png is not a readable image: it has more"),
    "capitals": (picture("Val/cat/7.png"), "images has a split 'Val'; is it 'val'"),
    "cut": (
        lambda folder: (folder / "images/test/cat/!.png").write_bytes(b"\x89PNG\r\n\x1a\n cut"),
        "!.png is not a readable image",
    ),
    "a pointer": (
        lambda folder: (folder / "images/test/cat/!.png").write_bytes(b"version https://git-lfs"),
        "!.png is not a readable image",
    ),
}


@pytest.mark.parametrize("damage, message", BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_a_folder_of_images_that_would_be_misread_is_refused(tmp_path, damage, message):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= images_as_folders(tmp_path)
    damage(tmp_path)
    assert re.search(message, refused(tmp_path, content))


def test_hidden_files_and_folders_are_no_images(tmp_path):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= images_as_folders(tmp_path)
    for name in ("test/cat/._0.png", ".cache/cat/1.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"none")
    assert len(load(tmp_path, content).task("pets").inputs["test"]) == SIZES["test"]


def test_a_picture_that_is_damaged_is_named_when_it_is_opened(tmp_path):
    content = tiny.vit_suite(tmp_path)
    content["tasks"]["pets"] |= images_as_folders(tmp_path)
    suite = load(tmp_path, content)
    victim = sorted((tmp_path / "images/test/cat").glob("*.PNG"))[-1]
    victim.write_bytes(victim.read_bytes()[:60])
    with pytest.raises(ValueError, match=f"{victim.name} is not a readable image"):
        suite.backbone.embed(suite.base, suite.task("pets").inputs["test"])


def test_without_the_package_datasets_its_installation_is_told_before_anything_is_read(
    tmp_path, texts, monkeypatch
):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr(backbones.texts, "hf_config", None)
    texts["tasks"]["moods"]["data"] = "hub:nobody/nothing"
    assert refused(tmp_path, texts, ImportError) == (
        "data from the Hugging Face Hub need the package datasets: pip install datasets"
    )


def test_a_data_set_that_cannot_be_read_is_named(tmp_path, texts, hub):
    texts["tasks"]["moods"]["data"] = "hub:hub"
    parquet(tmp_path, {split: columns(split) for split in TEXTS})
    for field, value, message in (
        ("input", "said", "has no column 'said'; it has label, text"),
        ("label", "mood", "has no column 'mood'; it has label, text"),
        ("prompt", "{text} {more}", "has no column 'more'; it has label, text"),
        ("splits", {"test": "validation"}, "has no test split, or an empty one; its splits: "),
        ("config", "big", "hub could not be read: BuilderConfig 'big' not found"),
    ):
        changed_texts = copy.deepcopy(texts)
        changed_texts["tasks"]["moods"][field] = value
        assert message in refused(tmp_path, changed_texts)


@pytest.mark.parametrize(
    "damage", [lambda content: b"hello", lambda content: content[:-20]], ids=["other", "cut"]
)
def test_a_damaged_data_set_is_named(tmp_path, texts, hub, damage):
    texts["tasks"]["moods"]["data"] = "hub:hub"
    parquet(tmp_path, {"test": columns("test")})
    bytes_of("hub/data/test-00000-of-00001.parquet", damage)(tmp_path)
    assert f"{tmp_path / 'hub'} could not be read: " in refused(tmp_path, texts)


@pytest.mark.parametrize(
    "field", ["base", "tasks.moods.expert", "tasks.moods.data", "backbone.model"]
)
def test_a_hub_out_of_reach_says_how_to_go_on(tmp_path, texts, monkeypatch, hub, field):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    as_csv(tmp_path)
    changed(texts, field, "hub:nobody/nothing")
    error = refused(tmp_path, texts, FileNotFoundError)
    assert error.startswith(
        "nobody/nothing is not a local folder, and the Hugging Face Hub gave no copy"
    )
    assert (
        "With no network, download it elsewhere, copy the folder here, and give its path" in error
    )


def test_an_id_without_hub_is_refused_with_how_to_write_it(tmp_path, texts):
    as_csv(tmp_path)
    texts["base"] = "google-bert/bert-base-uncased"
    assert refused(tmp_path, texts, FileNotFoundError).endswith(
        "bert-base-uncased; an id on the Hub starts with hub:"
    )


def test_bundled_manifests_on_the_hub_are_valid():
    for name in ("clip-vit-b-32", "clip-vit-l-14", "t5-base", "bert-base"):
        content = manifest.read_manifest(suites.DATA / name / "suite.toml", suites.DATA)
        assert content["name"] == name and len(content["tasks"]) in (5, 7, 8)


# A good suite, garbled

GARBLED = ("suite.toml", "moods.csv", "base/config.json", "expert/model.safetensors")


@pytest.fixture(scope="module")
def good(text_models, tmp_path_factory):
    """A folder with a suite that loads, and the suite."""
    folder = tmp_path_factory.mktemp("good")
    content = copy.deepcopy(text_models)
    tiny.bert(folder / "base", seed=0)
    tiny.bert(folder / "expert", seed=1)
    content["base"] = content["backbone"]["model"] = "base"
    content["tasks"]["moods"] |= {"expert": "expert"} | as_csv(folder)
    return folder, load(folder, content)


def change(draw, content):
    """Bytes without a piece, with one byte changed, or with two lines exchanged."""
    at, size = draw(st.integers(0, len(content) - 1)), draw(st.integers(1, 40))
    kind = draw(st.sampled_from(["cut", "drop", "flip", "exchange"]))
    if kind == "cut":
        return content[:at]
    if kind == "drop":
        return content[:at] + content[at + size :]
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ size]) + content[at + 1 :]
    lines = content.split(b"\n")
    i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


@settings(max_examples=300)
@given(data=st.data())
def test_a_garbled_suite_loads_as_it_was_or_gives_one_error(good, offline, data):
    """Whatever a change makes of a manifest, a table, a configuration, or weights."""
    folder, suite = good
    path = folder / data.draw(st.sampled_from(GARBLED))
    before, files = path.read_bytes(), sorted(folder.rglob("*"))
    path.write_bytes(change(data.draw, before))
    try:
        found = suites.load_suite(str(folder))
    except (ValueError, FileNotFoundError) as error:
        assert str(error)
    else:
        task = found.task("moods") if "moods" in found.tasks else next(iter(found.tasks.values()))
        assert len(task.inputs["test"]) == len(task.labels["test"]) > 0
        assert all(value.isfinite().all() for value in found.base.values())
        if path.read_bytes() == before:
            assert list(task.inputs["test"]) == list(suite.task("moods").inputs["test"])
    finally:
        path.write_bytes(before)
    assert sorted(folder.rglob("*")) == files
