"""Build the bundled suite `text5-random-heads`: the tasks of text5, with heads that begin random.

`python tools/build_suite.py text5-random-heads` needs no sources: base and sentences are those of
the bundled text5. The heads of its experts begin with random rows, as new layers do in public
fine-tuning scripts, and learn at the rate of the encoder. So the encoder comes to the head.
"""

from pathlib import Path

import torch

from builders import text5
from mergehelpers import checkpoints, states
from mergehelpers.states import State
from mergehelpers.suites import load_suite, sha256, write_atomically

STEPS = 240
RATE = 2e-4


def random_head(classes: int, width: int, seed: int) -> State:
    """A linear head as torch begins one: uniform within 1/sqrt(width), here without a bias."""
    generator = torch.Generator().manual_seed(seed)
    weight = (2 * torch.rand(classes, width, generator=generator) - 1) / width**0.5
    return {"weight": weight, "bias": torch.zeros(classes)}


def build(sources: Path, work: Path, out: Path, seed: int = 0) -> None:
    """Write the suite's files to `out`; its manifest, which makes them a suite, last.

    `sources` is not read.
    """
    for folder in (work, out):
        folder.mkdir(parents=True, exist_ok=True)
    suite, packed = load_suite("text5"), {}
    for number, (name, task) in enumerate(suite.tasks.items()):
        kept = work / f"{name}.safetensors"
        if not kept.exists():
            expert = text5.fine_tune(
                suite.backbone,
                suite.base,
                list(zip(task.labels["train"].tolist(), task.inputs["train"])),
                random_head(len(task.classes), suite.backbone.width, 1000 * seed + number),
                seed=seed,
                label=name,
                steps=STEPS,
                lr=RATE,
                head_lr=RATE,
            )
            states.save(expert, kept)
        packed |= text5.packed_expert(name, checkpoints.load(kept), suite.base)
    states.save(packed, out / text5.EXPERTS)
    lines = [
        'name = "text5-random-heads"',
        'title = "The tasks of text5, experts whose heads began random"',
        'extends = "text5"',
        f'experts = "{text5.EXPERTS}"',
        f"seed = {seed}",
        "",
        "[sha256]",
        f'"{text5.EXPERTS}" = "{sha256(out / text5.EXPERTS)}"',
        "",
    ]
    write_atomically(out / "suite.toml", "\n".join(lines).encode())
