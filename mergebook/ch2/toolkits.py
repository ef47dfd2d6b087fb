"""What toolkits mean by TIES and DARE-TIES with keep 0.2: their formulas, on one suite's models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from mergebook import studies
from mergebook.ch1.encoders import ANSWERS
from mergebook.experiments import Experiment
from mergebook.page import OpenSuite, opened
from mergehelpers import evaluate, merge, states
from mergehelpers.states import State

Table = pd.DataFrame
KEEP = 0.2


def per_tensor(r: OpenSuite, rule: Callable[[Tensor], Tensor], times: float = 1.0) -> State:
    """A model whose every tensor is the base's plus what a rule makes of its stack of changes."""
    stacks = merge.vectors_stacked(r.base, list(r.experts.values()))
    new = {n: rule(stack.flatten(1)).view_as(r.base[n]) for n, stack in stacks.items()}
    return states.apply(r.base, new, times)


def vote_then_weigh(stack: Tensor, weights: Tensor) -> Tensor:
    """peft: the vote is on unweighted changes; the sum is divided by the number that agree."""
    won = merge.elect(merge.trim(stack, KEEP))
    return (won * weights).sum(0) / (won != 0).sum(0).clamp(min=1)


def weigh_then_vote(stack: Tensor, weights: Tensor) -> Tensor:
    """mergekit: the vote is on weighted changes; the sum is divided by the weights that agree."""
    won = merge.elect(merge.trim(stack, KEEP) * weights)
    return won.sum(0) / ((won != 0) * weights).sum(0).clamp(min=1e-9)


def old_norm(stack: Tensor) -> Tensor:
    """mergekit's dare_ties: what is left is scaled to the old L1 norm, elected, and summed."""
    thin = merge.drop(stack, KEEP, torch.Generator().manual_seed(0), rescale=False)
    back = stack.abs().sum(1, keepdim=True) / thin.abs().sum(1, keepdim=True).clamp(min=1e-12)
    return merge.elect(thin * back).sum(0)


def whole_sum(r: OpenSuite, times: float) -> State:
    """fusion-bench's default: trimmed over the whole model, elected, summed."""
    stacks = merge.vectors_stacked(r.base, list(r.experts.values()))
    flat = torch.cat([stack.flatten(1) for stack in stacks.values()], 1)
    parts = (
        merge.elect(merge.trim(flat, KEEP)).sum(0).split([s[0].numel() for s in stacks.values()])
    )
    new = {n: part.view_as(r.base[n]) for n, part in zip(stacks, parts)}
    return states.apply(r.base, new, times)


def four_to_one(stack: Tensor) -> Tensor:
    """Weights of which the first model's is four times the others', (q, 1)."""
    weights = torch.ones(len(stack), 1).to(stack)
    weights[0] = 4.0
    return weights


def plain(stack: Tensor) -> Tensor:
    """TIES on one tensor."""
    return merge.disjoint_mean(merge.trim(stack, KEEP))


TOOLKITS = {
    "TIES: original; fusion-bench with mean": lambda r: merge.ties(
        r.base, list(r.experts.values()), KEEP, 1.0
    ),
    "TIES: fusion-bench as configured": lambda r: whole_sum(r, 0.3),
    "TIES: peft, weights 1; mergekit, equal weights": lambda r: per_tensor(r, plain),
    "TIES: peft, weights 1/q": lambda r: per_tensor(r, plain, 1 / len(r.experts)),
    "TIES, one model weighs 4: peft": lambda r: per_tensor(
        r, lambda s: vote_then_weigh(s, four_to_one(s))
    ),
    "TIES, one model weighs 4: mergekit": lambda r: per_tensor(
        r, lambda s: weigh_then_vote(s, four_to_one(s))
    ),
    "DARE-TIES: peft, weights 1": lambda r: merge.dare(
        r.base, list(r.experts.values()), KEEP, 1.0, 0, elect_signs=True
    ),
    "DARE-TIES: mergekit, weights 1": lambda r: per_tensor(r, old_norm),
}


@dataclass(frozen=True)
class Toolkit:
    """The key of a toolkit's merge: the models, the name in `TOOLKITS`, the test inputs a task."""

    models: str
    toolkit: str
    inputs: int


def by_toolkit(key: Toolkit, sources: Mapping[str, str], device: str) -> dict:
    """What a merge by a toolkit's formulas answers, packed, task by task."""
    r = opened(key, sources, device)
    right = r.answers(TOOLKITS[key.toolkit](r), limit=key.inputs)
    return {"right": list(studies.pack_answers(right).values())}


CONVENTIONS = Experiment("conventions of toolkits", 1, Toolkit, by_toolkit, {"right": ANSWERS})


def accuracies(rows: Table, seed: int = 0) -> Table:
    """Mean accuracy of each toolkit, and its difference from the first with a 95 % interval."""

    def unpacked(packed):
        return dict(enumerate(studies.unpack_answers({"": p})[""] for p in packed))

    answered = {row.toolkit: unpacked(row.right) for row in rows.itertuples()}
    first = next(iter(answered))
    out = {}
    for name, right in answered.items():
        mean = 100 * sum(a.mean() for a in right.values()) / len(right)
        difference = evaluate.compare(right, answered[first], seed)
        out[name] = {
            "accuracy": f"{mean:.1f}",
            "minus the first": "" if name == first else evaluate.shown(difference),
        }
    return pd.DataFrame(out).T
