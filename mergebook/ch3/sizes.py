"""What can be counted without weights: networks, learners, and the scores a test set allows.

Numbers in capitals are those of the StatsMerging paper, with the section they come from.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from mergebook.ch2.printed import SHORT
from mergebook.ch3.printed import cells_by_task

Table = pd.DataFrame
TOGETHER = (10.99, 2.95)  # Section 4.2: M parameters and G FLOPs of learner and merged model
LEARNER = ("0.336", "0.73", "1.46")  # Section 4.2: M parameters, multiply-adds, FLOPs
IN_TABLE_13 = "0.366"  # M parameters of the same learner
RATIOS = (0.0306, 0.0005)  # Section 4.2: parameters and compute, learner over merged model
COEFFICIENTS, SUBSAMPLED, NAMED_LAYER = 320, 22, 147  # App. A.5.2; Fig. 6
MOST_RUNS = 10  # over which a score may be a mean
WSC, WSC_TENTHS, TASKS = 273, (27, 28), 8  # App. A.1: problems; a tenth; vision tasks
STAGES = ("layer1", "layer2", "layer3", "layer4")  # of residual blocks
T5 = {"T5-base": (768, 3072, 12), "T5-large": (1024, 4096, 24)}  # widths, and depth


def _meta_networks() -> dict[str, nn.Module]:
    """The vision networks that the paper names, as shapes without weights."""
    # Here, for these take seconds, and all pages of the chapter import this module.
    import open_clip
    import torchvision

    with torch.device("meta"):
        clips = {
            "ViT-B/32": open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")),
            "ViT-L/14": open_clip.CLIP(**open_clip.get_model_config("ViT-L-14")),
        }
        return {**clips, "ResNet50": torchvision.models.resnet50()}


def network_costs() -> Table:
    """Millions of parameters and billions of multiply-adds of what the paper merges.

    For one image, whole and without attention, which tools that count by hooks can miss. Of T5 the
    parameters alone: its cost depends on the text.
    """
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    rows = {}
    for name, network in _meta_networks().items():
        tower = getattr(network, "visual", network)
        with FlopCounterMode(display=False) as counter:
            tower(torch.empty(1, 3, 224, 224, device="meta"))
        inside = sum(
            sum(c.values()) for n, c in counter.get_flop_counts().items() if n.endswith(".attn")
        )
        sizes = {n: p.numel() for n, p in tower.named_parameters()}
        plain = sum(s for n, s in sizes.items() if ".attn." not in n)
        total = counter.get_total_flops()
        rows[name] = [sum(sizes.values()) / 1e6, total / 2e9, plain / 1e6, (total - inside) / 2e9]
    for name, (width, hidden, depth) in T5.items():
        shape = {"d_model": width, "d_ff": hidden, "num_layers": depth, "num_heads": width // 64}
        with torch.device("meta"):
            network = transformers.T5ForConditionalGeneration(transformers.T5Config(**shape))
        rows[name] = [sum(p.numel() for p in network.parameters()) / 1e6] + [math.nan] * 3
    kinds = ["parameters", "multiply-adds"]
    columns = [*kinds, *(f"{kind}, no attention" for kind in kinds)]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return found.rename_axis("network").reset_index()


def network_counts() -> Table:
    """What of ViT-B/32 and ResNet50 comes in numbers: `network`, `what`, `number`."""
    networks = _meta_networks()
    clip, resnet = networks["ViT-B/32"], networks["ResNet50"]
    tower = clip.visual
    residual = [block for stage in STAGES for block in getattr(resnet, stage)]

    def layers(network: nn.Module) -> int:
        return sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in network.modules())

    shortcuts = sum(block.downsample is not None for block in residual)
    left = [n for n, _ in clip.named_parameters() if not n.startswith("transformer.")]
    rows = [
        ("ViT-B/32", "parameter tensors", len(list(tower.parameters()))),
        ("ViT-B/32", "with leftovers of the text tower", len(left)),
        ("ViT-B/32", "whole CLIP", len(list(clip.parameters()))),
        ("ViT-B/32", "tensors with two axes or more", sum(p.ndim > 1 for p in tower.parameters())),
        ("ViT-B/32", "convolutions and linear layers", layers(tower)),
        ("ViT-B/32", "blocks", len(tower.transformer.resblocks)),
        ("ResNet50", "parameter tensors", len(list(resnet.parameters()))),
        ("ResNet50", "entries of the state dict", len(resnet.state_dict())),
        ("ResNet50", "convolutions and linear layers", layers(resnet)),
        ("ResNet50", "blocks", len(residual)),
        ("ResNet50", "blocks, shortcuts, stem and classifier", len(residual) + shortcuts + 2),
    ]
    return pd.DataFrame(rows, columns=["network", "what", "number"])


def _prints(value: float, text: str) -> bool:
    """Whether a number, in millions, would be printed so."""
    return abs(value / 1e6 - float(text)) <= 0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-9


def two_layer_learners(
    parameters: str,
    macs: str,
    flops: str,
    statistics: int = 6,
    inputs: Iterable[int] = range(1, 9),
    widths: Iterable[int] = range(3, 4097),
) -> list[tuple[int, int, int]]:
    """Two-layer networks with biases whose counts, in millions, would be printed so.

    Each as (inputs at once, width, outputs). A weight makes one multiply-add for each input.
    """
    found, inputs = [], list(inputs)
    for width in widths:
        middle = (1e6 * float(parameters) - width * (statistics + 1)) / (width + 1)
        around = 500 / width
        for outputs in range(max(1, int(middle - around) - 1), int(middle + around) + 2):
            weights = width * (statistics + outputs)
            if _prints(weights + width + outputs, parameters):
                found += [
                    (n, width, outputs)
                    for n in inputs
                    if _prints(n * weights, macs) and _prints(2 * n * weights, flops)
                ]
    return found


def learners_by_size() -> Table:
    """How many two-layer learners fit either printed size, and on how many inputs at once."""
    rows = []
    for size in (LEARNER[0], IN_TABLE_13):
        found = two_layer_learners(size, *LEARNER[1:])
        inputs = ", ".join(str(n) for n in sorted({n for n, _, _ in found})) or "none"
        rows.append({"parameters": size, "networks": len(found), "inputs": inputs})
    return pd.DataFrame(rows)


def released_learners(tensors: int, tasks: int = TASKS) -> float:
    """Millions of parameters of the released learners, one a tensor: 6, 256, 256, `tasks`."""
    return tensors * sum((a + 1) * b for a, b in [(6, 256), (256, 256), (256, tasks)]) / 1e6


def possible_score(percent: float, items: int) -> bool:
    """Whether a share of so many items is printed so, rounded or cut off at one decimal."""
    shares = 100 * np.arange(items + 1) / items
    return bool(((shares >= percent - 0.05 - 1e-9) & (shares < percent + 0.1 - 1e-9)).any())


def winograd(t5base: Table, t5large: Table) -> Table:
    """Every printed score of the Winograd task: `network`, `row`, `score`, `own`."""
    parts = {"T5-base": cells_by_task(t5base).WS, "T5-large": cells_by_task(t5large).WS}
    found = pd.concat(parts, names=["network", "row"]).rename("score").reset_index()
    return found.assign(own=found.row.str.contains("StatsMerging"))


def sizes_that_allow(scores: Sequence[float], among: Iterable[int]) -> list[int]:
    """The numbers of test items, of those given, that allow all scores."""
    return [n for n in among if all(possible_score(p, n) for p in scores)]


def least_runs(
    scores: Sequence[float], among: Iterable[int], most: int = MOST_RUNS
) -> dict[int, int]:
    """`{number of test items: the fewest runs}` whose means allow all scores; others are left out.

    A mean over k runs of n items is a share of k n answers. A thousand allow every score.
    """
    found = {
        n: next((k for k in range(1, most + 1) if sizes_that_allow(scores, [k * n])), None)
        for n in among
    }
    return {n: k for n, k in found.items() if k}


def data_sets() -> Table:
    """Facts of App. A.1: `classes` times images of a class `each`, and the `total`."""
    rows = [("RESISC45", 45, 700, 31500), ("DTD", 47, 120, 5640), ("SUN397", 397, 100, 108754)]
    found = pd.DataFrame(rows, columns=["data", "classes", "each", "total"])
    # Of SUN397 the text gives a minimum.
    return found.assign(at_least=found.data == "SUN397")


def splits() -> Table:
    """Training and test items that App. A.1 gives; Cars is said to be halved."""
    rows = [("SVHN", 73257, 26032), ("MNIST", 60000, 10000), ("Cars", 1, 1)]
    return pd.DataFrame(rows, columns=["data", "train", "test"])


def cars() -> Table:
    """Images of Stanford Cars: the total of App. A.1, and the parts of the public data set."""
    return pd.DataFrame([{"total": 16185, "train": 8144, "test": 8041}])


def shared_rows(b32: Table, theirs: Table) -> Table:
    """How many entries of single models and simple merges equal those of FT-Classifier's table."""
    mine, other = (
        cells_by_task(b32),
        theirs.set_index("Method").rename(columns={full: short for short, full in SHORT.items()}),
    )
    names = {"Individual": "Fine-tuned", "Weight Averaging": "Weight Averaging"}
    names |= {"Task Arithmetic": "Task Arithmetic"}
    rows = [
        (m, int((mine.loc[m] == other.loc[n, mine.columns].astype(float)).sum()), mine.shape[1])
        for m, n in names.items()
    ]
    return pd.DataFrame(rows, columns=["method", "equal", "entries"])
