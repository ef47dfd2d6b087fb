"""Build the bundled suite `text4`: four experts fine-tuned from the real all-MiniLM-L6-v2.

`python -m mergehelpers.suites build text4 --sources DIR` rebuilds the files in
`mergehelpers/data/text4/` from two public archives placed in DIR:

* `vaderSentiment-3.3.2.tar.gz`, the source distribution on the Python package index (MIT);
* `data.noun` of WordNet 3.0, as in Debian's `wordnet-base` (WordNet licence).

Each expert takes about three minutes on two cores. A finished expert is kept in `--work`, so an
interrupted build resumes.
"""

import gzip
import io
import json
import random
import tarfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch.nn.functional import cross_entropy, linear
from tqdm import tqdm

from mergehelpers.suites import EXPERTS, SENTENCES, check_hash, load_minilm, sha256, write_atomically

SOURCES = {
    "vaderSentiment-3.3.2.tar.gz": "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    "data.noun": "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
}
SPLITS = {"train": 4000, "val": 250, "unlabelled": 128, "test": 400}
SENSES = ["act", "animal", "artifact", "attribute", "cognition", "communication", "food", "person", "plant", "substance"]
LEXNAME = dict(zip(SENSES, ["04", "05", "06", "07", "09", "10", "13", "18", "20", "27"]))
CORPORA = {
    "newspaper": "nytEditorialSnippets", "film": "movieReviewSnippets",
    "product": "amazonReviewSnippets", "tweet": "tweets",
}
RANK = 16


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
                        .read().decode("utf-8", "replace").splitlines()
                    )
                ]
                for name, stem in CORPORA.items()
            }


def _senses(path: Path) -> list[tuple[str, str]]:
    names = {number: sense for sense, number in LEXNAME.items()}
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line[:1].isdigit() and (sense := names.get(line.split()[1])):
            definition = line.split("| ", 1)[1].split(";")[0].split('"')[0].strip()
            if len(definition.split()) >= 4:
                pairs.append((sense, definition))
    return pairs


def examples(sources: Path) -> dict[str, list[tuple[str, str]]]:
    """All labelled sentences `{task: [(class, text), ...]}`, before splitting."""
    vader = _vader(sources / "vaderSentiment-3.3.2.tar.gz")
    polarity = {
        task: [("positive" if s > 0 else "negative", t) for s, t in vader[task] if abs(s) > 0.5]
        for task in ("film", "tweet")
    }
    return {
        "film": polarity["film"],
        "tweets": polarity["tweet"],
        "senses": _senses(sources / "data.noun"),
        "corpus": [(name, text) for name, rows in vader.items() for _, text in rows],
    }


def split(rows: list[tuple[str, str]], seed: int) -> dict[str, list[tuple[int, str]]]:
    """Class-balanced disjoint splits of unique sentences; labels are indices of the sorted classes."""
    rows = sorted({text: label for label, text in rows}.items())
    random.Random(seed).shuffle(rows)
    classes = sorted({label for _, label in rows})
    queues = {c: [text for text, label in rows if label == c] for c in classes}
    out = {}
    for name in ("test", "val", "unlabelled", "train"):
        out[name] = [
            (classes.index(c), queues[c].pop())
            for i in range(SPLITS[name])
            if queues[c := classes[i % len(classes)]]
        ]
        random.Random(seed).shuffle(out[name])
    return out


def is_trained(name: str) -> bool:
    """Everything inside the transformer blocks is fine-tuned; the token embeddings stay as they are."""
    return name.startswith("encoder.layer.")


def fine_tune(backbone, base, rows, classes, *, seed, label, steps=180, batch=32, lr=2e-4):
    """Train encoder and head on `rows`; returns the trained tensors and the head as one state dict."""
    generator = torch.Generator().manual_seed(seed)
    params = {n: p.clone().requires_grad_(is_trained(n)) for n, p in base.items()}
    head = {"weight": torch.zeros(classes, backbone.width), "bias": torch.zeros(classes)}
    head = {n: p.requires_grad_() for n, p in head.items()}
    optimiser = torch.optim.AdamW([
        {"params": [p for p in params.values() if p.requires_grad], "lr": lr, "weight_decay": 0.01},
        {"params": head.values(), "lr": 20 * lr, "weight_decay": 0.0},
    ])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1.0, (s + 1) / 20) * (1 - s / steps))
    bar = tqdm(range(steps), desc=label)
    for _ in bar:
        picked = [rows[i] for i in torch.randint(len(rows), (batch,), generator=generator).tolist()]
        logits = linear(backbone.encode(params, backbone.prepare([text for _, text in picked])), **head)
        loss = cross_entropy(logits, torch.tensor([y for y, _ in picked]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    trained = {f"enc.{n}": p.detach() for n, p in params.items() if is_trained(n)}
    return trained | {f"head.{n}": p.detach() for n, p in head.items()}


def compress(expert, base, rank=RANK):
    """Store an expert's change from the base: matrices as rank-`rank` factors, the rest whole, in float16."""
    out = {}
    for name, value in expert.items():
        if name.startswith("head."):
            out[name] = value.half()
            continue
        delta = value - base[name.removeprefix("enc.")]
        if delta.ndim == 2:
            u, s, vh = torch.linalg.svd(delta, full_matrices=False)
            root = s[:rank].sqrt()
            out[f"{name}.left"], out[f"{name}.right"] = (u[:, :rank] * root).half(), (root[:, None] * vh[:rank]).half()
        else:
            out[f"{name}.delta"] = delta.half()
    return {n: t.contiguous() for n, t in out.items()}


def build(sources: Path, work: Path, out: Path, seed: int = 0) -> None:
    """Write `experts.safetensors`, `sentences.jsonl.gz` and `suite.toml` to `out`."""
    for name, expected in SOURCES.items():
        check_hash(sources / name, expected)
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    backbone, base = load_minilm()
    stored, lines, tasks = {}, [], []
    for task, rows in examples(sources).items():
        parts, classes = split(rows, seed), sorted({label for label, _ in rows})
        kept = work / f"{task}.safetensors"
        if not kept.exists():
            write_atomically(kept, save(fine_tune(backbone, base, parts["train"], len(classes), seed=seed, label=task)))
        stored |= {f"{task}.{n}": t for n, t in compress(load_file(kept), base).items()}
        tasks.append(f"[tasks.{task}]\nclasses = {json.dumps(classes)}\n")
        lines += [json.dumps({"task": task, "split": name, "label": y, "text": text}, ensure_ascii=False)
                  for name in ("val", "unlabelled", "test") for y, text in parts[name]]
    write_atomically(out / EXPERTS, save(stored))
    write_atomically(out / SENTENCES, gzip.compress("\n".join(lines).encode(), mtime=0))
    hashes = "".join(f'"{n}" = "{sha256(out / n)}"\n' for n in (EXPERTS, SENTENCES))
    text = f'name = "text4"\nbackbone = "minilm"\nseed = {seed}\nrank = {RANK}\n\n[sha256]\n{hashes}\n' + "\n".join(tasks)
    write_atomically(out / "suite.toml", text.encode())
