"""Time and peak memory of merging models from files to a file: ours and that of other tools.

`python benchmarks/merging.py` makes visual towers of ViT-B/32 with random weights, runs each
contender in a process of its own, several times in turn, and writes
`book/benchmarks/ViT-B-32-float32.md`; other sizes and precisions go to other files there.
Contenders whose package is not installed are left out. Nothing else should run meanwhile.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from mergehelpers import checkpoints, merge, mloss, mties, shards, specs, states
from mergehelpers.backbones import OpenClipVision
from mergehelpers.merge.registry import Tensors
from mergehelpers.suites import sha256

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS, RATES = "model.safetensors", "rates.safetensors"
KEEP, SCALE, SPREAD, INPUTS = 0.2, 0.3, 0.1, 128
SLOW = 30  # seconds
FLOOR, GLOBAL, TENSOR = "average", "TIES", "TIES per tensor"
BUSY = ", beside another program"
# A language model of 1.4 billion entries, in the shapes of its kind.
DECODER, LAYERS = "decoder-1.4B", 24
MATRICES = {"q": (2048, 2048), "k": (2048, 2048), "v": (2048, 2048), "o": (2048, 2048)} | {
    "up": (8192, 2048),
    "down": (2048, 8192),
}
SHARD = 10**9
NAMED = ("average", "task_arithmetic", "ties", "dare", "m_ties", "m_dare")


def make(work, count, model, dtype):
    """Models with random weights: a base, and experts a small step away.

    Keep rates for all MLPs of a visual tower come with them.
    """
    if model == DECODER:
        shapes = {"embed": (50_304, 2048), "head": (50_304, 2048)} | {
            f"layers.{i}.{name}": shape for i in range(LAYERS) for name, shape in MATRICES.items()
        }
    else:
        backbone = OpenClipVision(model=model)
        shapes = {name: value.shape for name, value in backbone.names().items()}
    for i, folder in enumerate(tqdm(folders(work, count), desc="models")):
        if not any(folder.glob("*.safetensors")):
            folder.mkdir(parents=True, exist_ok=True)
            first, own = (torch.Generator().manual_seed(seed) for seed in (0, i))
            empty = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}
            pairs = (
                (name, near(shape, first, own if i else None).to(dtype))
                for name, shape in shapes.items()
            )
            shards.write(pairs, shards.layout(empty, SHARD), folder)
    if model == DECODER:
        return
    g = torch.Generator().manual_seed(0)
    states.save(
        {
            backbone.weight_name(site): KEEP
            - SPREAD * torch.rand(shapes[backbone.weight_name(site)][:1], generator=g)
            for site in backbone.sites()
        },
        work / RATES,
    )


def near(shape, first, own):
    """A tensor of the base, or with a generator of its own an expert's."""
    value = 0.02 * torch.randn(shape, generator=first)
    return value if own is None else value + 1e-3 * torch.randn(shape, generator=own)


def folders(work, count):
    return [work / "base", *(work / f"expert{i}" for i in range(1, count + 1))]


# Contenders: `run(work, count, out)` reads the files and writes `out`; the time it returns is
# without the imports.


def ours(rule, base=True, **settings):
    def run(work, count, out):
        first, *experts = [folder.name for folder in folders(work, count)]
        spec = work / f"{out.stem}.toml"
        spec.write_text(
            f"rule = {rule!r}\n"
            + (f"base = {first!r}\n" if base else "")
            + f"experts = {experts}\n[settings]\n"
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        )
        start = time.perf_counter()
        job = specs.read_spec(spec)
        files = [replace(shard, name=f"{i}{out.name}") for i, shard in enumerate(job.shards)]
        shards.write(job.merged(), files, out.parent)
        for file in files:
            os.replace(out.parent / file.name, out)  # the last one is compared with others
        return {"seconds": time.perf_counter() - start}

    return run


def hashes(work, count, out):
    start = time.perf_counter()
    for folder in folders(work, count):
        for file in folder.glob("*.safetensors"):
            sha256(file)
    return {"seconds": time.perf_counter() - start}


def loop(work, count, out):
    """What one writes first: whole tensors, `topk` for each threshold."""
    start = time.perf_counter()
    base, *experts = [load_file(folder / WEIGHTS) for folder in folders(work, count)]
    merged = {}
    for name, value in base.items():
        stack = torch.stack([expert[name] - value for expert in experts])
        flat = stack.flatten(1).abs()
        kept = max(1, round(KEEP * flat.shape[1]))
        limit = flat.topk(kept, sorted=False).values.amin(1).view(-1, *[1] * value.ndim)
        stack = stack * (stack.abs() >= limit)
        stack = stack * (stack * stack.sum(0).sign() > 0)
        merged[name] = value + SCALE * stack.sum(0) / (stack != 0).sum(0).clamp(min=1)
    save_file(merged, out)
    return {"seconds": time.perf_counter() - start}


def peft(work, count, out):
    from peft.utils.merge_utils import ties

    start = time.perf_counter()
    base, *experts = [load_file(folder / WEIGHTS) for folder in folders(work, count)]
    weights = torch.ones(count)
    save_file(
        {
            name: value + SCALE * ties([expert[name] - value for expert in experts], weights, KEEP)
            for name, value in base.items()
        },
        out,
    )
    return {"seconds": time.perf_counter() - start}


def mergekit(work, count, out):
    from mergekit.scripts.merge_raw_pytorch import main

    base, *experts = [str(folder / WEIGHTS) for folder in folders(work, count)]
    config = work / "mergekit.yaml"
    config.write_text(
        json.dumps(
            {
                "merge_method": "ties",
                "base_model": base,
                "dtype": "float32",
                "models": [{"model": expert} for expert in experts],
                "parameters": {"density": KEEP, "weight": 1.0, "normalize": True, "lambda": SCALE},
            }
        )
    )
    start = time.perf_counter()
    main([str(config), str(out.with_suffix(""))], standalone_mode=False)
    seconds = time.perf_counter() - start
    os.replace(next(out.with_suffix("").glob("*.safetensors")), out)
    return {"seconds": seconds}


def fusion_bench(work, count, out):
    from fusion_bench.method.ties_merging.ties_merging_utils import (
        state_dict_to_vector,
        ties_merging,
        vector_to_state_dict,
    )

    start = time.perf_counter()
    base, *experts = [load_file(folder / WEIGHTS) for folder in folders(work, count)]
    flat = state_dict_to_vector(base)
    vectors = torch.vstack([state_dict_to_vector(expert) for expert in experts]) - flat
    merged = flat + SCALE * ties_merging(vectors, reset_thresh=KEEP, merge_func="mean")
    save_file(
        {name: value.clone() for name, value in vector_to_state_dict(merged, base).items()}, out
    )
    return {"seconds": time.perf_counter() - start}


class Timing:
    """A function or a rule, all else of it as before, that adds the seconds of a call to a part."""

    def __init__(self, function, spent, part):
        self.function, self.spent, self.part = function, spent, part

    def __call__(self, *args, **kwargs):
        start = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.spent[self.part] = self.spent.get(self.part, 0) + time.perf_counter() - start

    def __getattr__(self, name):
        return getattr(self.function, name)


def timed(owner, name, spent, part):
    """From now on, `owner.name` adds the seconds of its calls to `spent[part]`."""
    setattr(owner, name, Timing(getattr(owner, name), spent, part))


def m_ties(reading, images=INPUTS):
    def run(work, count, out):
        backbone, spent = OpenClipVision(model=work.name.rpartition("-")[0]), {}
        base, *experts = [checkpoints.load(folder / WEIGHTS) for folder in folders(work, count)]
        inputs = (
            torch.randint(0, 256, (images, 224, 224, 3), generator=torch.Generator().manual_seed(0))
            .byte()
            .numpy()
        )
        timed(backbone, "at_site", spent, "experts' layers")
        timed(mloss, "discrepancy", spent, "gaps")
        timed(merge, "m_ties", spent, "merge")
        start = time.perf_counter()
        merged, _ = mties.m_ties(
            backbone, base, experts, inputs, KEEP, SPREAD, SCALE, reading, batch=images
        )
        save_file(merged, out)
        return {"seconds": time.perf_counter() - start, "parts": spent}

    return run


# name: (run, package that it needs, what its output is compared with)
CONTENDERS = {
    FLOOR: (ours("average", base=False), None, None),
    "task arithmetic": (ours("task_arithmetic", scale=SCALE), None, None),
    GLOBAL: (ours("ties", keep=KEEP, scale=SCALE), None, None),
    TENSOR: (ours("ties", keep=KEEP, scale=SCALE, scope="tensor"), None, None),
    "DARE": (ours("dare", keep=KEEP, scale=SCALE, seed=0), None, None),
    "M-TIES, rates given": (ours("m_ties", keep=KEEP, scale=SCALE, rates=RATES), None, None),
    "M-TIES, released": (m_ties("released"), None, None),
    "M-TIES, paper": (m_ties("paper"), None, None),
    "M-TIES, released, 16 images": (m_ties("released", 16), None, None),
    "hashes of the inputs": (hashes, None, None),
    GLOBAL + BUSY: (ours("ties", keep=KEEP, scale=SCALE), None, None),
    TENSOR + BUSY: (ours("ties", keep=KEEP, scale=SCALE, scope="tensor"), None, None),
    "DARE" + BUSY: (ours("dare", keep=KEEP, scale=SCALE, seed=0), None, None),
    "a loop over tensors": (loop, None, TENSOR),
    "peft": (peft, "peft", TENSOR),
    "mergekit": (mergekit, "mergekit", TENSOR),
    "FusionBench": (fusion_bench, "fusion_bench", GLOBAL),
}
# Rules that the names above do not say, with their example settings, if these are no tensors.
for found in merge.RULES.values():
    given = {n: setting.example for n, setting in found.settings.items() if setting.default is ...}
    tensors = [n for n in given if isinstance(found.settings[n].kind, Tensors)]
    if found.name not in NAMED and not tensors and found.count is None:
        CONTENDERS[found.name] = (ours(found.name, found.needs_base, **given), None, None)


def limit():
    """Let a contender fail rather than the machine: it may have nine tenths of the memory."""
    most = int(0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def status(process):
    """Memory of a process in GB: beside mapped files, and in all; zeros when it has ended."""
    try:
        lines = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        )
        return [int(lines[field].split()[0]) * 1024 / 1e9 for field in ("RssAnon", "VmRSS")]
    except (OSError, KeyError):
        return [0.0, 0.0]


@contextmanager
def busy(wanted):
    """Meanwhile another program multiplies matrices on all processors, if that is wanted."""
    code = "import torch\na = torch.randn(2000, 2000)\nwhile True: a @ a"
    other = subprocess.Popen([sys.executable, "-c", code]) if wanted else None
    try:
        time.sleep(5 if wanted else 0)  # until it has begun
        yield
    finally:
        if other:
            other.kill()
            other.wait()


def measured(name, count, work):
    """One run in a process of its own: seconds, and peaks of memory; None if memory ran out."""
    # Read into the system's cache, from where another contender may have pushed it.
    for path in (path for folder in folders(work, count) for path in folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            while file.read(2**24):
                pass
    command = [
        sys.executable,
        __file__,
        "--work",
        str(work),
        "--experts",
        str(count),
        "--one",
        name,
    ]
    with (
        open(work / "answer", "w+") as answer,
        open(work / "log", "w+") as log,
        busy(name.endswith(BUSY)),
    ):
        process, peaks = (
            subprocess.Popen(command, stdout=answer, stderr=log, preexec_fn=limit),
            [0.0, 0.0],
        )
        while process.poll() is None:
            peaks = [max(pair) for pair in zip(peaks, status(process))]
            time.sleep(0.01)
        answer.seek(0)
        log.seek(0)
        lines, said = answer.read().splitlines(), log.read()
    if process.returncode == 0:
        return json.loads(lines[-1]) | dict(zip(("anonymous", "total"), peaks))
    if "memory" in said:
        return None
    raise RuntimeError(f"{name} failed:\n{said}")


def differing(work, ours, theirs):
    """The share of entries in which two outputs differ by more than rounding."""
    a, b = load_file(work / f"{ours}.safetensors"), load_file(work / f"{theirs}.safetensors")
    return sum(((a[name] - b[name]).abs() > 1e-6).sum().item() for name in a) / sum(
        value.numel() for value in a.values()
    )


def spread(values):
    """The median, and the range where there are several that differ."""
    middle, low, high = (
        f"{value:.1f}" for value in (statistics.median(values), min(values), max(values))
    )
    return middle if low == high else f"{middle} ({low}–{high})"


def seconds(runs):
    return "out of memory" if None in runs else spread([run["seconds"] for run in runs])


def table(rows, counts):
    """Results as Markdown; `rows[name][count]` lists the runs of a contender with so many experts.

    Ratios are those of the last count.
    """
    last = counts[-1]
    lines = [
        (
            f"| Seconds with | {' | '.join(f'{count} experts' for count in counts)} "
            "| × average | × TIES | × itself alone | Memory, GB | Unlike ours |"
        ),
        f"|{'---|' * (len(counts) + 6)}",
    ]
    for name, by_count in rows.items():
        cells, runs = [seconds(by_count[count]) for count in counts], by_count[last]
        if None not in runs:
            alone = name.removesuffix(BUSY)
            cells += [
                spread(
                    [
                        run["seconds"] / other["seconds"]
                        for run, other in zip(runs, rows[floor][last])
                    ]
                )
                for floor in (FLOOR, GLOBAL, alone)
            ]
            cells[-1] = "" if alone == name else cells[-1]
            cells += [
                " / ".join(f"{max(run[key] for run in runs):.2f}" for key in ("anonymous", "total"))
            ]
            cells += [f"{runs[0]['unlike']:.4%}" if "unlike" in runs[0] else ""]
        lines.append(f"| {' | '.join([name, *cells, *[''] * (len(counts) + 5 - len(cells))])} |")
    return "\n".join(lines)


def breakdown(rows, counts):
    """The parts of M-TIES in seconds, as Markdown.

    What is left goes to the network's own pass, and to reading and writing.
    """
    parts = ("experts' layers", "gaps", "merge")
    lines = [
        f"| Seconds of | {' | '.join(parts)} | the rest | in all |",
        "|---|---|---|---|---|---|",
    ]
    for name, by_count in rows.items():
        runs = by_count[counts[-1]]
        if "parts" in (runs[0] or ()):
            spent = [statistics.median(run["parts"][part] for run in runs) for part in parts]
            whole = statistics.median(run["seconds"] for run in runs)
            values = (*spent, whole - sum(spent), whole)
            lines.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} |")
    return "\n".join(lines) + "\n\n" if len(lines) > 2 else ""


def per_entry(rows, count, work, dtype):
    """Seconds of TIES for each entry of one model."""
    size = sum(file.stat().st_size for file in folders(work, 1)[0].glob("*.safetensors"))
    entries = size / torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    return statistics.median(run["seconds"] for run in rows[GLOBAL][count]) / entries


def machine(names):
    """Processor, memory and versions, in one line, with the packages that contenders needed."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ["torch", "safetensors", *filter(None, (CONTENDERS[name][1] for name in names))]
    return (
        f"{cpu or platform.processor()}, {torch.get_num_threads()} threads, "
        f"{memory:.0f} GB; Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + f"; {datetime.date.today()}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experts", type=int, nargs="+", default=[2, 4, 8], help="numbers of experts"
    )
    parser.add_argument(
        "--model",
        default="ViT-B-32",
        help=f"a model of open_clip, for its visual tower, or {DECODER}",
    )
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help=f"how often everything runs that takes less than {SLOW} seconds",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "_build" / "benchmarks",
        help="folder for models and outputs, 7 GB or more",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=CONTENDERS,
        default=list(CONTENDERS),
        help="contenders beside the average and TIES",
    )
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run, *_ = CONTENDERS[options.one]
        print(
            json.dumps(
                run(options.work, options.experts[0], options.work / f"{options.one}.safetensors")
            )
        )
        return
    title = f"{options.model}-{options.dtype}"
    work = options.work / title
    make(work, max(options.experts), options.model, getattr(torch, options.dtype))
    compared = {CONTENDERS[name][2] for name in options.only}
    compared |= {name.removesuffix(BUSY) for name in options.only}
    wanted = {
        name: contender
        for name, contender in CONTENDERS.items()
        if name in {FLOOR, GLOBAL, *options.only, *compared}
    }
    wanted = {
        name: contender
        for name, contender in wanted.items()
        if not contender[1] or find_spec(contender[1])
    }
    rows = {name: {count: [] for count in options.experts} for name in wanted}
    for number, count in tqdm(
        [(number, count) for number in range(options.rounds) for count in options.experts],
        desc="rounds",
    ):
        for name, (_, _, other) in wanted.items():
            before = rows[name][count]
            if None in before or before and before[0]["seconds"] > SLOW:
                continue
            before.append(measured(name, count, work))
            tqdm.write(f"{name}, {count}: {before[-1]}")
            if before[-1] and other and number == 0:
                before[-1]["unlike"] = differing(work, other, name)
    text = (
        f"{table(rows, options.experts)}\n\n{breakdown(rows, options.experts)}"
        f"{title}; {machine(wanted)}. {options.rounds} rounds;"
        f" what takes more than {SLOW} seconds ran once."
        f" TIES of {options.experts[-1]} experts takes"
        f" {1e9 * per_entry(rows, options.experts[-1], work, options.dtype):.1f} ns an entry.\n"
    )
    out = ROOT / "book" / "benchmarks" / f"{title}.md"
    out.parent.mkdir(exist_ok=True)
    out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
