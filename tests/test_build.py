"""The scripts that rebuild the bundled suites.

A tiny slice is made from made-up packages, and parts agree with the bundle.
"""

import dataclasses
import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from builders import archives, drawings, images, mini8, text5
from PIL import Image

from mergehelpers import evaluate, states, suites

TINY = mini8.Recipe(
    train=dict.fromkeys(mini8.TASKS, 60),
    test=26,
    val=26,
    kept={"train": 8, "unlabelled": 4},
    mix=dict.fromkeys(mini8.TASKS, 2),
    base_steps=3,
    expert_steps=2,
    batch=4,
)


# ------------------------------------------------------------------------------- made-up packages


def picture(seed, mode="RGB", side=260, kind="PNG"):
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)).save(
        out, kind
    )
    return out.getvalue()


def tarred(files, mode="w:gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def debian(files):
    """A .deb: an ar archive of a version, an empty control part, and the data."""
    out = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        ("data.tar.xz", tarred(files, "w:xz")),
    ):
        out += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
            + content
            + b"\n" * (len(content) % 2)
        )
    return out


def idx(seed, count):
    rng = np.random.default_rng(seed)
    pixels = bytes(16) + rng.integers(0, 255, (count, 28, 28), dtype=np.uint8).tobytes()
    return gzip.compress(pixels), gzip.compress(
        bytes(8)
        + np.arange(count, dtype=np.uint8).tobytes().translate(bytes(i % 10 for i in range(256)))
    )


def emoji(vendor, seed):
    cells = [
        {"short_name": name, "sheet_x": i, "sheet_y": 0}
        for i, name in enumerate(images.VEHICLES.values())
    ]
    sheet = np.random.default_rng(seed).integers(0, 255, (66, 66 * len(cells), 4), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(sheet, "RGBA").save(out, "PNG")
    return tarred(
        {
            "package/emoji.json": json.dumps(cells).encode(),
            f"package/img/{vendor}/sheets-clean/64.png": out.getvalue(),
        }
    )


def wheel():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as files:
        for i, name in enumerate(images.PHOTOS.values()):
            files.writestr(
                f"skimage/data/{name}", picture(i, kind="JPEG" if name.endswith("jpg") else "PNG")
            )
        for i, name in enumerate(images.SURFACES):
            files.writestr(f"skimage/data/{name}.png", picture(100 + i, "L", 512))
    return out.getvalue()


def packages():
    font = (Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf").read_bytes()
    fashion = {
        f"{part}-{kind}-idx{n}-ubyte.gz": content
        for part, count, seed in (("train", 150, 1), ("t10k", 50, 2))
        for (kind, n), content in zip((("images", 3), ("labels", 1)), idx(seed, count))
    }
    return {
        "scikit-image": wheel(),
        "fashion-mnist": debian({f"./usr/share/{n}": c for n, c in fashion.items()}),
        "emoji-google": emoji("google", 3),
        "emoji-twitter": emoji("twitter", 4),
        **{key: debian({f"./fonts/{key}.ttf": font}) for key in images.FONTS},
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for key, content in packages().items():
        (folder / mini8.ARCHIVES[key].file).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def tiny(sources):
    """The archives' table with the hashes of the made-up packages."""
    return {
        key: dataclasses.replace(a, sha256=suites.sha256(sources / a.file))
        for key, a in mini8.ARCHIVES.items()
    }


@pytest.fixture
def build(sources, tiny, monkeypatch):
    monkeypatch.setattr(mini8, "ARCHIVES", tiny)
    return lambda work, out, seed=0: mini8.build(sources, work, out, seed, TINY)


# -------------------------------------------------------------------------------- the whole build


def test_a_tiny_build_is_a_suite_and_the_same_every_time(build, tmp_path):
    build(tmp_path / "work", tmp_path / "out")
    built = suites.load_suite(str(tmp_path / "out"))
    assert list(built.tasks) == list(mini8.TASKS) and list(built.out_of_domain) == list(
        mini8.OUT_OF_DOMAIN
    )
    assert {split: len(labels) for split, labels in built.tasks["signs"].labels.items()} == {
        "test": 26,
        "val": 26,
        "train": 8,
        "unlabelled": 4,
    }
    table = evaluate.accuracy(built, {"base": built.base}, device="cpu", progress=False)
    assert table["inputs"].eq(26).all()

    build(tmp_path / "work2", tmp_path / "out2")
    for file in (tmp_path / "out").iterdir():
        assert file.read_bytes() == (tmp_path / "out2" / file.name).read_bytes(), file.name


def test_an_interrupted_build_goes_on_where_it_stopped(build, tmp_path, monkeypatch):
    train, trained = mini8.train_expert, []

    def interrupted(base, data, task, seed, recipe):
        if task == "letters" and not trained.count("stop"):
            trained.append("stop")
            raise KeyboardInterrupt
        trained.append(task)
        return train(base, data, task, seed, recipe)

    monkeypatch.setattr(mini8, "train_expert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "work", tmp_path / "out")
    assert not (tmp_path / "out" / "suite.toml").exists()
    build(tmp_path / "work", tmp_path / "out")
    assert trained == ["mnist", "fashion", "stop", *list(mini8.TASKS)[2:]]
    assert suites.load_suite(str(tmp_path / "out")).name == "mini8"


def test_a_full_disk_leaves_nothing_half_written(build, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mini8, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        build(tmp_path / "work", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and not list((tmp_path / "work").iterdir())


def test_missing_sources_are_listed_with_their_commands(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        mini8.build(tmp_path, tmp_path / "work", tmp_path / "out")
    assert all(
        a.file in str(error.value) and a.command in str(error.value)
        for a in mini8.ARCHIVES.values()
    )
    assert not (tmp_path / "work").exists()


def test_a_changed_source_is_refused(sources, build, tmp_path, tiny, monkeypatch):
    wrong = tiny | {"fonts-lato": dataclasses.replace(tiny["fonts-lato"], sha256="0" * 64)}
    monkeypatch.setattr(mini8, "ARCHIVES", wrong)
    with pytest.raises(ValueError, match="fonts-lato.* is not the expected file"):
        mini8.build(sources, tmp_path / "work", tmp_path / "out", 0, TINY)


# ---------------------------------------------------------------------- agreement with the bundle


def bundled(task, split):
    with np.load(suites.DATA / "mini8" / f"{task}.npz") as arrays:
        return arrays[f"{split}_inputs"], arrays[f"{split}_labels"]


@pytest.mark.parametrize(
    ("task", "counts"), [("mnist", {"test": 500, "val": 250}), ("optdigits", {"test": 500})]
)
def test_real_digits_are_dealt_again_as_in_the_bundle(task, counts):
    for split, (pixels, labels) in getattr(images, task)(None, counts, 0).items():
        kept, kept_labels = bundled(task, split)
        assert np.array_equal(pixels[..., 0], kept) and np.array_equal(labels, kept_labels)


def test_patterns_are_drawn_again_as_in_the_bundle(sources, tiny):
    """The drawn surfaces must not differ.

    The photographed ones do (their photographs are made up here).
    """
    made = images.Sources(sources, {key: a.file for key, a in tiny.items()})
    pixels, labels = images.textures(made, {"test": 500}, 0)["test"]
    kept, kept_labels = bundled("textures", "test")
    drawn = labels < len(drawings.TEXTURES)
    assert np.array_equal(labels, kept_labels) and drawn.sum() > 300
    off = np.abs(pixels[drawn].astype(int) - kept[drawn])
    assert off.max() <= 8 and (off > 0).mean() < 0.01


def test_test_pieces_of_photographs_lie_in_tiles_of_their_own(sources, tiny):
    rng = np.random.default_rng(0)
    tiles = images._tiles((500, 640), {"test": 1, "val": 1, "train": 1}, rng, 64)
    flat = [corner for part in tiles.values() for corner in part]
    assert len(set(flat)) == len(flat) == (500 // 64) * (640 // 64)
    assert all(tiles.values())


def test_the_bundle_shares_no_image_between_splits():
    for task in mini8.TASKS:
        with np.load(suites.DATA / "mini8" / f"{task}.npz") as arrays:
            seen = [
                image.tobytes()
                for name in arrays.files
                if name.endswith("_inputs")
                for image in arrays[name]
            ]
        if task != "photos":  # black sky and black margins can repeat
            assert len(set(seen)) == len(seen), task


def test_an_expert_moves_away_from_the_base_and_the_class_vectors_stay(sources, tiny, tmp_path):
    made = images.Sources(sources, {key: a.file for key, a in tiny.items()})
    data = mini8.draw(made, tmp_path, 0, TINY)
    base = mini8.train_base(data, 0, TINY)
    expert = mini8.train_expert(base, data, "signs", 0, TINY)
    assert expert.keys() == base.keys() - {"names", "scale"}
    assert states.norm(states.task_vector({k: base[k] for k in expert}, expert)) > 0


# ------------------------------------------------------------------------------------------ text5


def test_r_character_vectors_are_read():
    """Written by hand in R's format, as version 3: header, native encoding, then the vector."""

    def record(words):
        body = b"X\n" + struct.pack(">iii", 3, 0x40000, 0x30500) + struct.pack(">i", 5) + b"UTF-8"
        body += struct.pack(">ii", 16, len(words))
        for word in words:
            body += struct.pack(">ii", 9, len(word.encode())) + word.encode()
        return struct.pack(">i", len(body)) + zlib.compress(body)

    assert text5.r_texts(record(["Emma", "", "naïve"]) + record(["Persuasion"])) == [
        ["Emma", "", "naïve"],
        ["Persuasion"],
    ]


def test_passages_keep_the_order_and_the_novel():
    novels = {"A": ["one two three.", "four five.", "six."], "B": ["seven eight nine ten."]}
    assert text5._passages(novels, words=4) == [
        ("A", "one two three. four five."),
        ("B", "seven eight nine ten."),
    ]


def test_exchanged_sentences_differ_in_two_words():
    words = [f"w{i}" for i in range(12)]
    novels = {"A": [" ".join(words[: 8 + i % 5]) + f" n{i}" for i in range(9000)]}
    rows = text5._order(novels, 0)
    originals = set(novels["A"])
    for label, text in rows:
        assert (text in originals) == (label == "natural")
    known = {s.split()[-1]: s.split() for s in originals}
    for label, text in rows:
        key = next(w for w in text.split() if w.startswith("n"))
        wrong = sum(a != b for a, b in zip(text.split(), known[key]))
        assert wrong == (2 if label == "exchanged" else 0)


def test_text_splits_are_disjoint_balanced_and_keep_labels():
    sizes = {"a": 2500, "b": 2500, "c": 1500}
    rows = [(label, f"{label} sentence {i}") for label, n in sizes.items() for i in range(n)]
    parts = text5.split(rows + rows[:500], seed=0)
    texts = [text for part in parts.values() for _, text in part]
    assert len(set(texts)) == len(texts)
    for name, part in parts.items():
        assert all(text.startswith("abc"[label]) for label, text in part)
        counts = [sum(label == c for label, _ in part) for c in range(3)]
        assert name == "train" or max(counts) - min(counts) <= 1
    assert text5.split(rows, 0) == text5.split(rows[::-1], 0) != text5.split(rows, 1)


def test_senses_reads_wordnets_format(tmp_path):
    content = (
        "  1 This software and database is being provided\n"
        "00001 05 n 01 dog 0 001 @ 00002 n 0000 | a domestic animal that barks; "
        '"he walked the dog"\n'
        "00002 03 n 01 thing 0 000 | an entity of no sense that we want\n"
        "00003 13 n 01 jam 0 000 | too short\n"
    )
    (tmp_path / "wordnet.deb").write_bytes(
        debian({"./usr/share/wordnet/data.noun": content.encode()})
    )
    assert text5._senses(tmp_path / "wordnet.deb") == [("animal", "a domestic animal that barks")]


def test_a_file_that_an_archive_lacks_is_named(tmp_path):
    (tmp_path / "a.deb").write_bytes(debian({"./x": b"1"}))
    assert archives.member(tmp_path / "a.deb", "/x") == b"1"
    with pytest.raises(KeyError, match="holds no file that ends with 'y'"):
        archives.member(tmp_path / "a.deb", "y")


def test_a_text_expert_trains_the_blocks_and_its_head():
    folder = str(suites.minilm_folder())
    backbone = text5.BertText(folder)
    base = backbone.adopt(backbone.read(folder), folder)
    rows = [(i % 2, f"{'good' if i % 2 else 'bad'} film {i}") for i in range(16)]
    first = text5.zero_head(2, backbone.width)
    expert = text5.fine_tune(backbone, base, rows, first, seed=0, label="tiny", steps=3, batch=8)
    assert {n for n in expert if n.startswith("head.")} == {"head.weight", "head.bias"}
    assert all(n.startswith(("enc.encoder.layer.", "head.")) for n in expert)
    assert (
        expert["head.weight"].shape == (2, backbone.width)
        and torch.isfinite(expert["head.weight"]).all()
    )
