"""Ensembles in the laboratory, beside averages, and pruning against conflicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mergebook import lab, studies
from mergebook.ch1 import laboratory as L
from mergebook.ch1.encoders import ENTRIES
from mergebook.ch1.laboratory import ANSWERS, COUNTED, EXACT, EXPERT, TASKS, World, digits6
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import opened
from mergehelpers import merge, states
from mergehelpers.states import State

# ------------------------------------------------------------- networks from different starts

MEMBERS, SIZES = 16, (1, 2, 4, 8)
NOISE = (0.0, 0.5, 1.0, 1.5)  # standard deviation of the noise; pixels have about 1


@dataclass(frozen=True)
class Starts:
    """Sixteen networks of all eight tasks from different starts: the key is the group's number."""

    group: int


@lru_cache(maxsize=2)
def from_starts(group: int) -> State:
    """The networks of a group, trained as bases are."""
    start = lab.initial(range(1000 + MEMBERS * group, 1000 + MEMBERS * (group + 1)))
    tasks = [TASKS] * MEMBERS
    return lab.train(start, L.digits(), tasks, steps=150, lr=2e-3, seed=500 + group)[150]


def law(stack: State, split: str, noise: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Class probabilities (models, inputs, classes) on the upright task, and labels (inputs,)."""
    inputs, labels = L.digits().split(split)
    generator = torch.Generator().manual_seed(seed)
    x = inputs[0] + noise * torch.randn(inputs[0].shape, generator=generator, dtype=inputs.dtype)
    return lab.logits(stack, x).softmax(-1), labels


def error_correlation(p: Tensor, y: Tensor) -> float:
    """Mean correlation of two models' errors, over inputs and classes."""
    errors = (p - one_hot(y, p.shape[-1])).flatten(1)
    errors = errors - errors.mean(1, keepdim=True)
    second, q = errors @ errors.T, len(errors)
    mean = second.diagonal().mean()
    return ((second.sum() - second.diagonal().sum()) / (q * (q - 1)) / mean).item()


def ensembles(key: Starts) -> list[dict]:
    """Ensembles of n of sixteen networks, in disjoint groups: how much their predictions vary from
    group to group, their error variance beside the formula's, their accuracy under noise."""
    stack, rows = from_starts(key.group), []
    (p, y), (q, z) = law(stack, "test"), law(stack, "val")
    rho = error_correlation(q, z)
    noisy = {level: law(stack, "test", level, key.group)[0] for level in NOISE}
    single = (p - one_hot(y, 10)).flatten(1).var(1).mean()
    for n in SIZES:
        means = p.unflatten(0, (-1, n)).mean(1)
        row = {
            "n": n,
            "varies": means.var(0).mean().item() / p.var(0).mean().item(),
            "error": ((means - one_hot(y, 10)).flatten(1).var(1).mean() / single).item(),
            "formula": rho + (1 - rho) / n,
        }
        for level, part in noisy.items():
            joint = part.unflatten(0, (-1, n)).mean(1)
            row[f"noise {level}"] = 100 * (joint.argmax(-1) == y).double().mean().item()
        rows.append(digits6(row))
    return rows


ENSEMBLES = Experiment(
    "ensembles of starts",
    1,
    Starts,
    ensembles,
    {"n": Tolerance()}
    | dict.fromkeys(("varies", "error", "formula"), EXACT)
    | {f"noise {level}": COUNTED for level in NOISE},
)

# ---------------------------------------------------------------- ensemble against average, by task


def answers(stack: State, task: int) -> tuple[str, str]:
    """Right answers of the ensemble of a stack's logits and of the average of its weights."""
    x, y = L.digits().inputs[task, lab.SPLITS["test"]], L.digits().split("test")[1]
    joint = lab.logits(stack, x).mean(0).argmax(-1) == y
    merged = lab.logits(lab.average(stack), x)[0].argmax(-1) == y
    return studies.pack_answers({"": joint})[""], studies.pack_answers({"": merged})[""]


def contest(world: World) -> list[dict]:
    """Ensemble and average of a world's eight experts, of one task's models, of other starts."""
    origin, rows = L.pretrained(world.seed), []
    alike = L.fine_tuned(origin, [0] * 8, world.seed)[EXPERT]
    strangers = lab.take(from_starts(world.seed), range(8))
    groups = [("experts", t, L.experts(world.seed)[EXPERT]) for t in TASKS]
    groups += [("one task", 0, alike), ("different starts", 0, strangers)]
    for kind, task, stack in groups:
        joint, merged = answers(stack, task)
        rows.append({"kind": kind, "task": lab_task(task), "ensemble": joint, "average": merged})
    return rows


def lab_task(number: int) -> str:
    """The name of a laboratory task."""
    return list(lab.TASKS)[number]


CONTEST = Experiment(
    "ensemble against average",
    1,
    World,
    contest,
    {"kind": Tolerance(), "task": Tolerance(), "ensemble": ANSWERS, "average": ANSWERS},
)

# ------------------------------------------------------------------------- pruning against
# conflicts

# A sum of sparse or elected vectors needs a larger scale: the grid reaches 1 / 0.2 and beyond.
SCALES = (0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.5, 6.5)
VALIDATION = 100  # inputs per task that choose the scale


@dataclass(frozen=True)
class Pruned:
    """The key of a pruning: models, how entries are chosen, share kept, test inputs per task."""

    models: str
    how: str
    keep: float
    test_samples: int


def pruned(r, how: str, keep: float) -> list[State]:
    """Every expert's task vector with a part of the entries that it changed.

    `how`: the `largest` or `random` ones, a share `keep`; those of the sign that the sum `elected`;
    or `as many` as these, at random.
    """
    taus = [states.task_vector(r.base, m) for m in r.experts.values()]
    sizes = [v.numel() for v in taus[0].values()]
    stack = torch.stack([torch.cat([v.flatten() for v in tau.values()]) for tau in taus])
    agree = merge.elect(stack) != 0
    if (how, keep) != ("largest", 1.0):
        for number, flat in enumerate(stack):
            changed = flat != 0
            count = merge.count_kept(keep, int(changed.sum()))
            generator = torch.Generator().manual_seed(number)
            score = torch.rand(len(flat), generator=generator).to(flat) * changed
            if how == "largest":
                score = flat.abs()
            elif how in ("elected", "as many"):
                count = int(agree[number].sum())
            if how == "elected":
                flat *= agree[number]
            else:
                flat *= score >= score.kthvalue(len(flat) - count + 1).values if count else 0
    return [
        {n: v.view_as(taus[0][n]) for n, v in zip(taus[0], flat.split(sizes))} for flat in stack
    ]


def conflicts(key: Pruned, sources: Mapping[str, str], device: str) -> dict:
    """Conflicts of pruned task vectors, and answers of their sum at the best validation scale."""
    r = opened(key, sources, device)
    taus = pruned(r, key.how, key.keep)
    stack = {n: torch.stack([tau[n] for tau in taus]).double() for n in r.base}
    signs = {n: (v > 0).any(0) & (v < 0).any(0) for n, v in stack.items()}
    moved = {n: (v != 0).any(0) for n, v in stack.items()}
    total = sum(v.abs().sum().item() for v in stack.values())
    left = sum(v.sum(0).abs().sum().item() for v in stack.values())
    summed = {n: v.mean(0).to(r.base[n]) for n, v in stack.items()}
    tried = {}
    for scale in SCALES:
        merged = states.apply(r.base, summed, scale * len(taus))
        right = r.answers(merged, "val", limit=VALIDATION)
        tried[scale] = sum(a.double().mean().item() for a in right.values())
    best = max(tried, key=tried.get)
    merged = states.apply(r.base, summed, best * len(taus))
    right = studies.pack_answers(r.answers(merged, limit=key.test_samples))
    row = {
        "in conflict": sum(int(v.sum()) for v in signs.values())
        / sum(int(v.sum()) for v in moved.values()),
        "cancelled": 1 - left / total,
        "scale": best,
    }
    return digits6(row) | {"right": list(right.values())}


CONFLICTS = Experiment(
    "conflicts after pruning",
    2,
    Pruned,
    conflicts,
    {"in conflict": ENTRIES, "cancelled": ENTRIES, "scale": Tolerance(), "right": ANSWERS},
)
