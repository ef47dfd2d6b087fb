"""The rules that the paper compares with, each in two ways that must agree; what ensembles cost."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mergebook import studies
from mergebook.ch1.encoders import ANSWERS, CLOSE
from mergebook.ch1.laboratory import EXACT, digits6
from mergebook.experiments import Experiment
from mergebook.page import OpenSuite, opened
from mergehelpers import merge, states
from mergehelpers.states import State

Table = pd.DataFrame

# ---------------------------------------------------------------------------- averages, two ways


def apart(a: State, b: State) -> float:
    """The largest difference of two models in any weight."""
    return max((a[n] - b[n]).abs().max().item() for n in a if a[n].is_floating_point())


def identities(r: OpenSuite, times: float = 1.8) -> Table:
    """Each merge made in two ways, and the largest difference in a weight.

    `times` is the paper's λ, which stands on the mean task vector.
    """
    experts, q = list(r.experts.values()), len(r.experts)
    errors = {
        "average: base plus mean task vector": apart(r.average, added(r, [1 / q] * q)),
        "average: models in reverse": apart(r.average, merge.average(experts[::-1])),
        "task arithmetic: λ/n on each task vector": apart(
            merge.task_arithmetic(r.base, experts, times / q), added(r, [times / q] * q)
        ),
        "task arithmetic: λ = 1 is the average": apart(
            merge.task_arithmetic(r.base, experts, 1 / q), r.average
        ),
    }
    return pd.DataFrame({"way": list(errors), "error": list(errors.values())})


# -------------------------------------------------------------------------------------- AdaMerging


@dataclass(frozen=True)
class Learnt:
    """The key of learnt coefficients: the models, the steps, the test inputs a task."""

    models: str
    steps: int
    inputs: int


def learn(
    r: OpenSuite, steps: int, raw: bool = False, rate: float = 0.02, batch: int = 16
) -> tuple[Tensor, int, int]:
    """Task-wise AdaMerging: one coefficient a model, by the entropy of the merged model's answers.

    They multiply task vectors, and start at 0.3; or with `raw` the models, and start at the
    average. Returns the coefficients, and the numbers of merges and of forward passes.
    """
    changes = [states.task_vector(r.base, e) for e in r.experts.values()]
    start = 1 / len(changes) if raw else 0.3
    alpha = torch.full((len(changes),), start, device=next(iter(r.base.values())).device)
    optimiser, passes = torch.optim.Adam([alpha.requires_grad_()], rate), 0
    unlabelled = {t: r.suite.task(t).inputs["unlabelled"][:batch] for t in r.tasks}
    prepared = {t: r.backbone.prepare(raw) for t, raw in unlabelled.items()}
    for _ in range(steps):
        # A sum of models is the base times the sum of the coefficients, plus their task vectors.
        size = alpha.sum() if raw else 1.0
        state = r.base | {
            n: size * r.base[n] + sum(a * c[n] for a, c in zip(alpha, changes)) for n in changes[0]
        }
        entropy = 0.0
        for task, inputs in prepared.items():
            scores = r.suite.logits(task, r.backbone.encode(state, inputs), state).log_softmax(-1)
            entropy, passes = entropy - (scores.exp() * scores).sum(-1).mean(), passes + 1
        optimiser.zero_grad()
        entropy.backward()
        optimiser.step()
    return alpha.detach(), steps, passes


def summed(r: OpenSuite, weights: Sequence[float]) -> State:
    """The weighted sum of the experts themselves."""
    return {
        n: sum(w * e[n] for w, e in zip(weights, r.experts.values()))
        if v.is_floating_point()
        else v
        for n, v in r.base.items()
    }


def added(r: OpenSuite, weights: Sequence[float]) -> State:
    """The base plus the weighted sum of task vectors."""
    vectors = [states.task_vector(r.base, e) for e in r.experts.values()]
    return states.apply(
        r.base, {n: sum(w * v[n] for w, v in zip(weights, vectors)) for n in vectors[0]}
    )


def two_forms(key: Learnt, sources: Mapping[str, str], device: str) -> dict:
    """Learnt coefficients in both forms: how far apart the models are, and what they answer."""
    r = opened(key, sources, device)
    alpha, merges, passes = learn(r, key.steps)
    unit = alpha / alpha.sum()
    own, *_ = learn(r, key.steps, raw=True)
    both = {"added": added(r, alpha), "summed": summed(r, alpha), "raw": summed(r, own)}
    row = {
        "sum": alpha.sum().item(),
        "raw_sum": own.sum().item(),
        "passes": passes / merges,
        "apart": apart(both["added"], both["summed"]),
        "unit_same": apart(added(r, unit), summed(r, unit)) < 1e-5,
    }
    right = {n: r.answers(state, limit=key.inputs) for n, state in both.items()}
    packed = {n: list(studies.pack_answers(by_task).values()) for n, by_task in right.items()}
    return digits6(row) | packed


FORMS = Experiment(
    "forms of AdaMerging",
    2,
    Learnt,
    two_forms,
    {
        "sum": CLOSE,
        "raw_sum": CLOSE,
        "passes": EXACT,
        "apart": CLOSE,
        "unit_same": EXACT,
        "added": ANSWERS,
        "summed": ANSWERS,
        "raw": ANSWERS,
    },
)

# -------------------------------------------------------------------------------- TIES, once more


def plain_ties(rows: Sequence[Sequence[float]], keep: float) -> list[float]:
    """TIES entry by entry, on lists of numbers: one list a model."""
    trimmed = []
    for row in rows:
        largest = sorted((abs(v) for v in row), reverse=True)
        smallest = largest[max(1, round(keep * len(row))) - 1]
        trimmed.append([v if abs(v) >= smallest else 0.0 for v in row])
    merged = []
    for column in zip(*trimmed):
        winners = [v for v in column if v * sum(column) > 0]
        merged.append(sum(winners) / len(winners) if winners else 0.0)
    return merged


def second_opinion(seed: int, stacks: int = 20) -> Table:
    """The helper's TIES against `plain_ties` on random stacks, with ties and columns of zeros."""
    g, rows = torch.Generator().manual_seed(seed), []
    for models, keep in itertools.product([1, 2, 5], [0.1, 0.3, 0.8, 1.0]):
        error = 0.0
        for _ in range(stacks):
            stack = torch.randint(-4, 5, (models, 30), generator=g).double()
            stack[:, :3] = 0
            ours = merge.disjoint_mean(merge.trim(stack, keep))
            theirs = torch.tensor(plain_ties(stack.tolist(), keep), dtype=torch.float64)
            error = max(error, (ours - theirs).abs().max().item())
        rows.append({"models": models, "keep": keep, "stacks": stacks, "error": error})
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------ what ensembles cost

CLASSES = {"RESISC45": 45, "Cars": 196, "MNIST": 10, "DTD": 47, "EuroSAT": 10, "GTSRB": 43} | {
    "SUN397": 397,
    "SVHN": 10,
}


def ensemble_costs(models: Sequence[str] = ("ViT-B-32", "ViT-L-14"), q: int = 8) -> Table:
    """Parameters and multiply-adds of q towers over those of one, with the shared heads.

    They are counted on open_clip's architectures, without weights.
    """
    import open_clip
    from open_clip.transformer import VisionTransformer

    rows = []
    for name in models:
        config = open_clip.get_model_config(name)
        vision = config["vision_cfg"]
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            tower = VisionTransformer(
                image_size=vision["image_size"],
                patch_size=vision["patch_size"],
                width=vision["width"],
                layers=vision["layers"],
                heads=vision["width"] // vision.get("head_width", 64),
                mlp_ratio=vision.get("mlp_ratio", 4.0),
                output_dim=config["embed_dim"],
            )
            tower(torch.empty(1, 3, vision["image_size"], vision["image_size"]))
        parameters = sum(p.numel() for p in tower.parameters())
        macs, heads = counter.get_total_flops() / 2, sum(CLASSES.values()) * config["embed_dim"]
        rows.append(
            {
                "tower": name,
                "millions": parameters / 1e6,
                "giga_macs": macs / 1e9,
                "storage": (q * parameters + heads) / (parameters + heads),
                "compute": (q * macs + heads) / (macs + heads),
            }
        )
    return pd.DataFrame(rows)
