"""The models that Chapter 2 compares: a method, an order of nodes and settings in, weights out.

M-TIES is taken apart here: a `method` says how rows are trimmed and added, an `order` says which
rows keep more. So each control is another order under the same method, or another method under the
same order. Both lists are frozen with the chapter's experiments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd
import torch
from torch import Tensor

from mergebook import studies
from mergebook.ch1.encoders import ANSWERS
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import Interval
from mergebook.page import OpenSuite, opened
from mergehelpers import evaluate, merge, mloss, mties, states
from mergehelpers.states import State

Answers = dict[str, Tensor]


@dataclass(frozen=True)
class Merge:
    """The key of a merged model's answers.

    `method` and `order` are names in `METHODS` and `ORDERS`. `keep`, `spread` and `scale` are k, e
    and the factor on the merged change; methods use those they have. `samples` unlabelled inputs a
    task are drawn by `draw`, and so are random orders and masks. Rows have rates at the sites that
    `layers` names. `inputs` of a split are answers_of for each task, all if it is 0. `experts` and
    `tasks` are names joined by ` + `; all of the suite's if they are empty.
    """

    models: str
    method: str
    order: str = ""
    keep: float = 1.0
    spread: float = 0.0
    scale: float = 1.0
    samples: int = 16
    draw: int = 0
    layers: str = "*"
    split: str = "test"
    inputs: int = 0
    experts: str = ""
    tasks: str = ""


def names(joined: str) -> tuple[str, ...]:
    """The names that a key joins by ` + `."""
    return tuple(joined.split(" + ")) if joined else ()


@lru_cache(maxsize=8)
def only_experts(r: OpenSuite, joined: str) -> OpenSuite:
    """The suite with some of its experts and their tasks."""
    chosen = names(joined)
    suite = replace(
        r.suite,
        tasks={t: r.suite.tasks[t] for t in chosen},
        experts={t: r.suite.experts[t] for t in chosen},
    )
    return OpenSuite(suite, r.device, r.source)


# ------------------------------------------------------------------------------ orders of nodes


def sample(r: OpenSuite, each: int, draw: int, shares: Sequence[float] | None = None) -> list:
    """Unlabelled inputs drawn at random: `each` of every task, times its share if there are some.

    Raises `ValueError` for a task that has none.
    """
    g, out = torch.Generator().manual_seed(draw), []
    for i, task in enumerate(r.tasks):
        pool = r.unlabelled(None, [task])
        count = each if shares is None else round(each * shares[i])
        out += [pool[j] for j in torch.randperm(len(pool), generator=g)[:count].sort().values]
    return out


def row_lengths(r: OpenSuite, site: str) -> Tensor:
    """How far fine-tuning moved each row of a site, the mean over experts: (nodes,)."""
    name = r.backbone.weight_name(site)
    moved = torch.stack([e[name] - r.base[name] for e in r.experts.values()])
    return moved.flatten(2).norm(dim=2).mean(0)


# M-Loss on unlabelled inputs: how a node is scored, by which activation, and whether all experts
# read the base's input. Of an uneven sample the first task gives twice its share, the last nothing.
UNEVEN = ", uneven sample"
SCORES = {
    "released": (mties.squared, "gelu_tanh", True),
    f"released{UNEVEN}": (mties.squared, "gelu_tanh", True),
    "shared input": (mloss.node_mloss, None, True),
    "own input": (mloss.node_mloss, None, False),
    "normalised": (mloss.normalised_node_mloss, None, True),
}


@lru_cache(maxsize=64)
def scored(r: OpenSuite, how: str, samples: int, draw: int, layers: str = "*") -> dict[str, Tensor]:
    """A score of every node, `{site: (nodes,)}`: the higher, the less its row keeps.

    Raises `ValueError` for an unknown name.
    """
    sites, experts = mties.pick_sites(r.backbone, layers), list(r.experts.values())
    if how.startswith("reversed "):
        first = scored(r, how.removeprefix("reversed "), samples, draw, layers)
        return {site: -score for site, score in first.items()}
    if how == "random":
        g = torch.Generator().manual_seed(10_000 + draw)
        return {s: torch.rand(len(r.base[r.backbone.weight_name(s)]), generator=g) for s in sites}
    if how == "short changes":
        return {site: row_lengths(r, site) for site in sites}
    if how not in SCORES:
        raise ValueError(f"order is {how!r}; allowed: {', '.join(ORDERS)}")
    measure, activation, shared = SCORES[how]
    shares = torch.linspace(2, 0, len(r.tasks)).tolist() if how.endswith(UNEVEN) else None
    return mties.node_scores(
        r.backbone,
        r.base if shared else None,
        experts,
        sample(r, samples, draw, shares),
        sites=sites,
        measure=measure,
        activation=activation,
    )


# `short changes` keep more of rows that moved little; `merged so far` is Algorithm 1, whose layers
# read the network merged up to them; `constant` and `even` order nothing: k, and k - e/2, the mean.
ORDERS = (
    *SCORES,
    *("merged so far", "random", "short changes", "constant", "even"),
    *("reversed released", "reversed merged so far", "reversed short changes"),
)


def rates(r: OpenSuite, key: Merge) -> dict[str, Tensor]:
    """The keep rate of every row that has one, `{weight: (rows,)}`."""
    if key.order.endswith("merged so far"):
        found = algorithm_1(r, key)[1]
        if key.order.startswith("reversed "):
            return {name: 2 * key.keep - key.spread - rate for name, rate in found.items()}
        return found
    if key.order in ("constant", "even"):
        rate = key.keep - (key.spread / 2 if key.order == "even" else 0)
        weights = map(r.backbone.weight_name, mties.pick_sites(r.backbone, key.layers))
        return {n: torch.full((len(r.base[n]),), rate, dtype=torch.float64) for n in weights}
    found = scored(r, key.order, key.samples, key.draw, key.layers)
    return mties.rates_of(r.backbone, found, key.keep, key.spread)


def algorithm_1(r: OpenSuite, key: Merge) -> tuple[State, dict[str, Tensor]]:
    """Algorithm 1 to the letter: its model, and the keep rates that it used."""
    return mties.m_ties(
        r.backbone,
        r.base,
        list(r.experts.values()),
        sample(r, key.samples, key.draw),
        key.keep,
        key.spread,
        key.scale,
        "everywhere" if key.method == "line 22 everywhere" else "paper",
        key.layers,
    )


# ------------------------------------------------------------------------------------- methods


def by_rows(**how) -> Callable[[OpenSuite, Merge], State]:
    """TIES with rates for rows; `how` goes to `merge.m_ties`."""

    def made(r, key):
        return merge.m_ties(
            r.base, list(r.experts.values()), rates(r, key), key.keep, key.scale, **how
        )

    return made


def of_states(rule: Callable[..., State]) -> Callable[[OpenSuite, Merge], State]:
    """A method of base, experts and key."""
    return lambda r, key: rule(r.base, list(r.experts.values()), key)


# `rows` is M-TIES as released, `line 22` as written, each but for its order. The scale of task
# arithmetic and of summed DARE stands on the mean task vector, the paper's λ.
METHODS: dict[str, Callable[[OpenSuite, Merge], State]] = {
    "base": lambda r, key: r.base,
    "average": lambda r, key: r.average,
    "expert": lambda r, key: r.experts[key.experts],
    "task arithmetic": of_states(lambda b, e, key: merge.task_arithmetic(b, e, key.scale / len(e))),
    "TIES": of_states(lambda b, e, key: merge.ties(b, e, key.keep, key.scale)),
    "TIES by tensor": of_states(lambda b, e, key: merge.ties(b, e, key.keep, key.scale, "tensor")),
    "TIES by tensor, line 22": of_states(
        lambda b, e, key: merge.m_ties(b, e, {}, key.keep, key.scale, elsewhere="weighted")
    ),
    "no trimming": of_states(lambda b, e, key: merge.ties(b, e, 1.0, key.scale)),
    "DARE": of_states(
        lambda b, e, key: merge.dare(b, e, key.keep, key.scale, key.draw, elect_signs=True)
    ),
    "DARE, summed": of_states(
        lambda b, e, key: merge.dare(b, e, key.keep, key.scale / len(e), key.draw)
    ),
    "rows": by_rows(),
    "line 22": by_rows(increment="weighted", biases=True),
    "line 22 everywhere": by_rows(increment="weighted", biases=True, elsewhere="weighted"),
    "M-DARE": lambda r, key: merge.m_dare(
        r.base, list(r.experts.values()), rates(r, key), key.keep, key.scale, key.draw
    ),
}


def model_of(r: OpenSuite, key: Merge) -> State:
    """The model that a key names; raises `ValueError` for an unknown method or order."""
    if key.method not in METHODS:
        raise ValueError(f"method is {key.method!r}; allowed: {', '.join(METHODS)}")
    return METHODS[key.method](r, key)


# Sums of weights in one order; a control that answers alike is over a hundred times as far away.
IMPRINT = Tolerance(relative=2e-5)


def imprint(base: State, state: State, waves: int = 4) -> list[float]:
    """Numbers by which a stored row knows its model, where others give nearly the same answers.

    Each is four lengths of the change from the base, plus its product with a wave of length √n.
    """
    change = states.task_vector(base, state)
    out = [4 * states.norm(change)] * waves
    for tau in change.values():
        flat = tau.detach().flatten().double().cpu()
        at = torch.arange(len(flat), dtype=torch.float64) % 9973
        for j in range(waves):
            out[j] += 2**0.5 * (flat @ torch.cos((j + 1.618) * at)).item()
    return [float(f"{v:.8g}") for v in out]


def answers_of(key: Merge, sources: Mapping[str, str], device: str) -> dict:
    """Which inputs the model answers rightly, packed, task by task."""
    r = opened(key, sources, device)
    part = only_experts(r, key.experts) if key.experts and key.method != "expert" else r
    state = model_of(part, key)
    right = r.answers(state, key.split, names(key.tasks) or None, key.inputs or None)
    packed = list(studies.pack_answers(right).values())
    return {"right": packed, "imprint": imprint(r.base, state)}


def experiment(name: str, version: int = 1) -> Experiment:
    """An experiment that asks merged models, its rows in a file of its own."""
    return Experiment(name, version, Merge, answers_of, {"right": ANSWERS, "imprint": IMPRINT})


def unpacked(row: Sequence[str]) -> Answers:
    """Answers of a row, {place of the task: (inputs,) bool}, as `evaluate.compare` takes them."""
    return {str(i): studies.unpack_answers({"": packed})[""] for i, packed in enumerate(row)}


def by_name(table: pd.DataFrame, *columns: str) -> dict:
    """Answers of each row under what some of its columns say, one text or a tuple of values."""
    keys = table[columns[0]] if len(columns) == 1 else table[list(columns)].itertuples(False, None)
    return {key: unpacked(row) for key, row in zip(keys, table.right)}


def minus(a: Answers, b: Answers, seed: int = 0) -> Interval:
    """Mean accuracy of one model minus that of another, in points, over test inputs."""
    return Interval(*evaluate.compare(a, b, seed))
