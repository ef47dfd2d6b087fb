"""More of magnified groups: batches, fewer classes, the first classifier, one model magnified."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mergebook.ch4.magnified import (
    EXACT,
    FORMATS,
    Grown,
    answered_right,
    begun,
    cast,
    grown_outputs,
    grown_soup,
    in_points,
    members_and_images,
    numbers_factor,
    sizes,
)
from mergebook.experiments import Experiment
from mergehelpers import averaging, merge

SCATTER = (1, 10, 50, 90, 100, 110)
BATCH = 20


def batch_rows(key: Grown, sources: Mapping[str, str], device: str) -> list[dict]:
    """Accuracy of the soup and of the ensemble on each batch of twenty images."""
    net, models, x, y = members_and_images(key, sources, device)
    rows, own = [], begun(key, sources, device) | sizes(net, models, x)
    for kind in FORMATS:
        for c in SCATTER:
            by, number = numbers_factor(c, key.network), getattr(torch, kind)
            f, w, b = grown_outputs(net, models, x, by, number, "all")
            scores = {
                "soup": grown_soup(net, models, x, by, number),
                "logits": (f @ w.mT + b.unsqueeze(1)).sum(0) / len(models),
            }
            each = {
                f"{name}_batches": [answered_right(*p) for p in zip(z.split(BATCH), y.split(BATCH))]
                for name, z in scores.items()
            }
            rows.append({"format": kind, "factor": float(c)} | own | each)
    return rows


def kept_rows(key: Grown, sources: Mapping[str, str], device: str, draws: int = 20) -> list[dict]:
    """Accuracy at factors 1 and 100 in float64 among some of the classes, a mean over draws."""
    net, models, x, y = members_and_images(key, sources, device)
    z = {}
    for c, name in ((1, ""), (100, "_grown")):
        by = numbers_factor(c, key.network)
        f, w, b = grown_outputs(net, models, x, by, torch.float64, "all")
        each = f @ w.mT + b.unsqueeze(1)
        z |= {f"single{name}": each[0], f"ensemble{name}": each.mean(0)}
        z[f"soup{name}"] = grown_soup(net, models, x, by, torch.float64)
    total, rows, own = z["single"].shape[1], [], begun(key, sources, device)
    for k in sorted({k for k in (2, 4, 8, 16, total) if k <= total}):
        found = {name: [] for name in z}
        for draw in range(draws):
            order = np.random.default_rng(1000 * key.seed + draw).permutation(total)
            chosen = torch.as_tensor(order[:k])
            inside = torch.isin(y, chosen)
            for name, scores in z.items():
                answers = chosen[scores[inside][:, chosen].argmax(1)]
                found[name].append(100 * float((answers == y[inside]).double().mean()))
        rows.append(
            {"classes": k} | own | {n: round(float(np.mean(v)), 2) for n, v in found.items()}
        )
    return rows


def head_row(key: Grown, sources: Mapping[str, str], device: str) -> dict:
    """Accuracy of feature ensembles at factor 1, with the mean classifier and with the first's."""
    net, models, x, y = members_and_images(key, sources, device)
    f, (w, b) = averaging.features(net, models, x), averaging.heads(models)
    scores = {
        "mean_head": averaging.ensemble_features(f, w, b),
        "head_1": f.mean(0) @ w[0].T + b[0],
    }
    return begun(key, sources, device) | {
        n: round(answered_right(z, y), 4) for n, z in scores.items()
    }


@dataclass(frozen=True)
class OneGrown(Grown):
    """The key of a group of which one model is multiplied by `factor`, and no other."""

    factor: float = 100.0


def one_rows(key: OneGrown, sources: Mapping[str, str], device: str) -> list[dict]:
    """Accuracy, in float64, with none magnified, the first model, or the last.

    The released code's modes `1st_mag` and `last_no_mag` magnify the first and the last model.
    """
    net, models, x, y = members_and_images(key, sources, device)
    models, rows = [cast(m, torch.float64) for m in models], []
    own = begun(key, sources, device)
    for which, place in (("none", None), ("first", 0), ("last", len(models) - 1)):
        grown = list(models)
        if place is not None:
            grown[place] = averaging.magnified(models[place], key.factor)
        f, (w, b) = averaging.features(net, grown, x.double()), averaging.heads(grown)
        z = f @ w.mT + b.unsqueeze(1)
        row = {
            "which": which,
            "single": answered_right(z[place or 0], y),
            "soup": answered_right(averaging.logits(net, merge.average(grown), x.double()), y),
            "logits": answered_right(z.mean(0), y),
        }
        rows.append(own | row)
    return rows


BATCHES = Experiment(
    "magnified batches",
    1,
    Grown,
    batch_rows,
    {"format": EXACT, "factor": EXACT}
    | in_points(soup_batches=50, logits_batches=50, score=0.4, added=0.3),
)
KEPT = Experiment(
    "accuracy kept by classes",
    1,
    Grown,
    kept_rows,
    {"classes": EXACT}
    | in_points(single=25, soup=28, ensemble=15, single_grown=35, soup_grown=15, ensemble_grown=12),
)
HEADS = Experiment("first classifier", 1, Grown, head_row, in_points(mean_head=20, head_1=20))
ONE = Experiment(
    "one model magnified",
    1,
    OneGrown,
    one_rows,
    {"which": EXACT} | in_points(single=8, soup=8, logits=6),
)
