"""Half-way between two models: what their mean scores, after attempts to mend it, and why.

`HALFWAY` has the scores of a pair's mean, of rescues and of controls; `APART` says how the two
models and their updates differ.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mergebook.ch4.groups import Workshop
from mergebook.ch4.moved import dealt_anew, flat_body, sign_conflict, weights_only
from mergebook.ch4.rescues import controls, parts_taken, rescued, same_start
from mergebook.ch4.soups import (
    CLOSE,
    EXACT,
    POINTS,
    FineTuned,
    classified_anew,
    group_at_hand,
    percent_score,
    score_on,
)
from mergebook.experiments import Experiment
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

PAIRS = 3
MATRIX = 100  # numbers that a tensor has more than, to count as a matrix


def neighbours(models: Sequence[State]) -> list[tuple[int, int]]:
    """The first three pairs of neighbours that share no model."""
    return [(i, i + 1) for i in range(0, len(models) - 1, 2)][:PAIRS]


def common_start(shop: Workshop, key: FineTuned, i: int, j: int) -> State | None:
    """The body that models i and j began with; None if they began with different ones."""
    first, second = shop.first(key.group, i), shop.first(key.group, j)
    return first if same_start(first, second) else None


def refit_score(net: zoo.Net, state: State, pool, test) -> float:
    """Test score with a classifier fitted anew to the features of the pool, in percent."""
    f, others = (net.embed(state, x) for x, _ in (pool, test))
    return percent_score(classified_anew(f, pool[1], others), test[1])


def treated(net: zoo.Net, key: FineTuned, a: State, b: State, start, pool: Tensor, number: int):
    """Models by what was done to a pair, `{name: models}`; a score is the mean over the models."""
    middle = merge.average([a, b])
    out = {"first": [a], "second": [b], "mean": [middle]}
    out |= {name: [state] for name, state in rescued(net, a, b, start, pool).items()}
    out |= controls(a, b, start, number)
    if key.network.startswith("vit"):
        out |= {f"{part} alone": [m] for part, m in parts_taken(a, middle).items()}
    return out


def halfway_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """The test score of each model that is made of a pair; `pair` is the first one's number.

    `first` and `second` are the ends, `mean` is the soup of two; `rescues` says what the others
    are. `PART alone` is the first model with that part of the soup's. `refitted` is the soup with a
    classifier fitted anew to its features of the training images, `refitted ends` the mean over
    both models with one.
    """
    shop, net, models = group_at_hand(key, sources, device)
    pool, test, rows = shop.data(key.task, "pool"), shop.data(key.task, "test"), []
    for i, j in neighbours(models):
        a, b = models[i], models[j]
        start, number = common_start(shop, key, i, j), 1000 * key.seed + i
        found = {
            name: float(np.mean([score_on(net, m, test) for m in states]))
            for name, states in treated(net, key, a, b, start, pool[0], number).items()
        }
        found["refitted"] = refit_score(net, merge.average([a, b]), pool, test)
        found["refitted ends"] = float(np.mean([refit_score(net, m, pool, test) for m in (a, b)]))
        rows += [{"pair": i, "model": n, "score": round(v, 4)} for n, v in found.items()]
    return rows


# ----------------------------------------------------------------------------- how they differ


def distance_between(x: Tensor, y: Tensor) -> float:
    """The length of a difference relative to the mean length."""
    return float((x - y).norm() / ((x.norm() + y.norm()) / 2))


def of_updates(a: State, b: State, starts: tuple[State, State]) -> dict[str, float]:
    """How two bodies and classifiers differ, and the updates that led to the bodies."""
    (x, y), (s, t) = map(flat_body, (a, b)), map(flat_body, starts)
    heads = [m["head.weight"].flatten() for m in (a, b)]
    return {
        "distance": distance_between(x, y),
        "moved": float(((x - s).norm() / s.norm() + (y - t).norm() / t.norm()) / 2),
        "cosine": float(F.cosine_similarity(x - s, y - t, dim=0)),
        "conflict": sign_conflict(x - s, y - t),
        "heads": float(F.cosine_similarity(*heads, dim=0)),
        "heads_distance": distance_between(*heads),
    }


def of_matrices(a: State, b: State) -> dict[str, float]:
    """The mean of two models against its parents, a mean over weight matrices of the body.

    `rho` is the correlation of the parents' numbers; `variance`, `peak` and `norm` are those of the
    mean relative to the parents' mean variance, larger peak and mean length.
    """
    keys = [k for k, v in weights_only(zoo.body(a)).items() if v.ndim > 1 and v.numel() > MATRIX]
    rows = []
    for k in keys:
        s, t = a[k].flatten(), b[k].flatten()
        m = (s + t) / 2
        row = {"rho": torch.corrcoef(torch.stack([s, t]))[0, 1]}
        row["variance"] = m.var() / ((s.var() + t.var()) / 2)
        row["peak"] = m.abs().max() / torch.stack([s, t]).abs().max()
        row["norm"] = m.norm() / ((s.norm() + t.norm()) / 2)
        rows.append({name: float(v) for name, v in row.items()})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def dealt_distance(a: State, b: State, start: State | None, number: int) -> float:
    """How far `a` is from `b` with its conflicts dealt anew, as `distance`; 0 without one start."""
    if start is None:
        return 0.0
    return distance_between(flat_body(a), flat_body(dealt_anew(start, a, b, number)))


def apart_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """How the two models of each pair differ.

    `cancelled` is the share of activation that an average loses at each ReLU, on a hundred test
    images; `dealt` is the distance of the control `conflict dealt anew`.
    """
    shop, net, models = group_at_hand(key, sources, device)
    x, rows = shop.data(key.task, "test")[0][:100], []
    for i, j in neighbours(models):
        a, b = models[i], models[j]
        starts = shop.first(key.group, i), shop.first(key.group, j)
        row = of_updates(a, b, starts) | of_matrices(a, b)
        start, number = common_start(shop, key, i, j), 1000 * key.seed + i
        row["dealt"] = dealt_distance(a, b, start, number)
        lost = averaging.cancelled(net, [a, b], x)
        row = {name: round(v, 9) for name, v in row.items()}
        rows.append({"pair": i} | row | {"cancelled": [round(v, 9) for v in lost]})
    return rows


HALFWAY = Experiment(
    "half-way between two",
    1,
    FineTuned,
    halfway_rows,
    {"pair": EXACT, "model": EXACT, "score": POINTS},
)
APART = Experiment(
    "two models apart",
    1,
    FineTuned,
    apart_rows,
    {"pair": EXACT, "conflict": CLOSE, "cancelled": CLOSE}
    | dict.fromkeys(("distance", "moved", "cosine", "heads", "heads_distance"), CLOSE)
    | dict.fromkeys(("rho", "variance", "peak", "norm", "dealt"), CLOSE),
)
