"""Soups and ensembles of fine-tuned models: what each scores, by the number of models.

Networks are trained and run in double precision with weights on a grid, so that every processor
gets the same rows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from mergebook.ch4.groups import Group, Workshop
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

Labelled = tuple[Tensor, Tensor]  # pixels (n, 3, 32, 32), and labels (n,) or (n, labels)
COUNTS = (2, 3, 5, 7, 10)
RUNS = 3  # soups of one count, each of other models
BATCH = 64  # of images that share moments in train mode
EXACT = Tolerance()
# On the grid processors of other instructions train the same networks, so rows are the same but for
# the order of adding. One image that is answered otherwise is 0.06 points.
POINTS = Tolerance(absolute=0.005)
CLOSE = Tolerance(relative=1e-6)


@dataclass(frozen=True)
class FineTuned:
    """The key of a group of models fine-tuned on one task.

    `models` is the suite's mark; the other fields are those of `groups.Group`, `count` its number
    of models.
    """

    models: str
    network: str
    task: str
    start: str = "shared"
    head: str = "own"
    rate: float = 0.05
    decay: float = 0.0
    count: int = 10
    epochs: int = 12
    width: int = 16
    seed: int = 0

    @property
    def group(self) -> Group:
        """The group of models that the key names."""
        given = {f: getattr(self, f) for f in ("start", "head", "rate", "decay", "epochs", "width")}
        return Group(self.network, self.task, models=self.count, seed=self.seed, **given)


@lru_cache(2)
def double_workshop(r: OpenSuite) -> Workshop:
    """What trains groups on a suite's tasks in double precision, with weights on a grid."""
    return Workshop(r.suite, r.device, torch.float64)


def group_at_hand(key: FineTuned, sources: Mapping[str, str], device: str):
    """The workshop, the network and the models of a key."""
    shop = double_workshop(opened(key, sources, device))
    return shop, shop.net(key.group), shop.models(key.group)


def fine_tuned_keys(
    r: OpenSuite, networks: Iterable[str], tasks: Iterable[str], seeds: Iterable[int], **settings
) -> list[FineTuned]:
    """Keys of each network, task and seed, with the same settings."""
    each = [(n, t, s) for n in networks for t in tasks for s in seeds]
    return [FineTuned(r.mark, n, t, seed=s, **settings) for n, t, s in each]


# ------------------------------------------------------------------------------------- scores


def percent_score(z: Tensor, y: Tensor) -> float:
    """Accuracy of scores in percent; with several labels an image the mean AUROC times 100."""
    if y.ndim == 2:
        return 100 * float(roc_auc_score(y.cpu().numpy(), z.cpu().numpy(), average="macro"))
    return 100 * float((z.argmax(1) == y).double().mean())


def score_on(net: zoo.Net, state: State, images: Labelled) -> float:
    """The score of one model on labelled images, in percent."""
    return percent_score(averaging.logits(net, state, images[0]), images[1])


def in_train_mode(net: zoo.Net, state: State, x: Tensor) -> Tensor:
    """Class scores (n, classes) with the moments of each batch of 64 images themselves.

    The released scripts evaluate in train mode. Batches are of equal size, as nearly as may be.
    """
    parts = x.chunk(max(1, -(-len(x) // BATCH)))
    return torch.cat([averaging.logits(net, net.recalibrated(state, p), p) for p in parts])


def classified_anew(f: Tensor, y: Tensor, others: Tensor) -> Tensor:
    """Scores (m, classes) of features `others` by a classifier fitted to features `f` (n, width).

    Ridge regression on the labels, with a constant feature and a penalty of a thousandth of the
    features' mean square.
    """
    f, others = (F.pad(v.double(), (0, 1), value=1.0) for v in (f, others))
    target = y.double() if y.ndim == 2 else F.one_hot(y).double()
    penalty = 1e-3 * len(f) * f.square().mean() * torch.eye(f.shape[1], dtype=f.dtype)
    return others @ torch.linalg.solve(f.T @ f + penalty, f.T @ target)


# ----------------------------------------------------------------------------------- averages


def greedy_soups(
    models: Sequence[State], validated: Callable[[State], float]
) -> dict[str, tuple[State, list[int]]]:
    """The soup and the members of each greedy rule."""
    return {rule: averaging.greedy(models, validated, rule) for rule in averaging.GREEDY}


def soups_of(net: zoo.Net, models: Sequence[State], greedy, pool: Tensor) -> dict[str, State]:
    """Each average in weights by its name; with BatchNorm also with moments of `pool`, renewed."""
    out = {"uniform": merge.average(models)} | {rule: soup for rule, (soup, _) in greedy.items()}
    if zoo.has_batchnorm(net):
        out["recalibrated"] = net.recalibrated(out["uniform"], pool)
    return out


def ensembles_of(f: Tensor, models: Sequence[State], greedy) -> dict[str, Tensor]:
    """Class scores (n, classes) of each average in outputs, from the models' features `f`.

    Those named by a greedy rule have the members of its soup.
    """
    w, b = averaging.heads(models)
    out = {"first head": f.mean(0) @ w[0].T + b[0]}
    members = {"": list(range(len(models)))}
    members |= {f"{rule} ": list(greedy[rule][1]) for rule in ("best first", "counted")}
    for name, at in members.items():
        out[f"{name}logits"] = averaging.ensemble_logits(f[at], w[at], b[at])
        out[f"{name}features"] = averaging.ensemble_features(f[at], w[at], b[at])
    return out


def models_in(method: str, count: int, greedy) -> int:
    """How many different models a method has in it."""
    rule = next((r for r in greedy if method.startswith(r)), None)
    return len(set(greedy[rule][1])) if rule else count


def methods_compared(
    net, models, features: Mapping[str, Tensor], data, validated
) -> dict[str, dict]:
    """Of each method the test score, the validation score, and how many models it has in it.

    `features` and `data` have `val` and `test`, `data` also `pool`.
    """
    greedy = greedy_soups(models, validated)
    out = {}
    for name, soup in soups_of(net, models, greedy, data["pool"][0]).items():
        out[name] = {"score": score_on(net, soup, data["test"]), "val": validated(soup)}
    if zoo.has_batchnorm(net):
        z = {s: in_train_mode(net, merge.average(models), data[s][0]) for s in ("test", "val")}
        found = {s: percent_score(z[s], data[s][1]) for s in z}
        out["train mode"] = {"score": found["test"], "val": found["val"]}
    z = {split: ensembles_of(f, models, greedy) for split, f in features.items()}
    for name in z["test"]:
        found = {s: percent_score(z[s][name], data[s][1]) for s in ("test", "val")}
        out[name] = {"score": found["test"], "val": found["val"]}
    return {name: v | {"kept": models_in(name, len(models), greedy)} for name, v in out.items()}


def average_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """Scores of all methods with 2, 3, … models, a mean over up to three sets of other models.

    `single` has a row a model, `which` its number; of other methods `which` is 0.
    """
    shop, net, models = group_at_hand(key, sources, device)
    data = {split: shop.data(key.task, split) for split in ("pool", "val", "test")}
    features = {s: averaging.features(net, models, data[s][0]) for s in ("val", "test")}
    known = {id(m): score_on(net, m, data["val"]) for m in models}

    def validated(state):
        if (own := known.get(id(state))) is not None:
            return own
        return score_on(net, state, data["val"])

    rows = []
    for i, m in enumerate(models):
        row = {"score": score_on(net, m, data["test"]), "val": known[id(m)], "kept": 1}
        rows.append({"method": "single", "members": 1, "which": i} | row)
    for n in (c for c in COUNTS if c <= len(models)):
        runs = []
        for i in range(0, len(models) - n + 1, n)[:RUNS]:
            part = {split: f[i : i + n] for split, f in features.items()}
            runs.append(methods_compared(net, models[i : i + n], part, data, validated))
        for name in runs[0]:
            mean = {k: float(np.mean([run[name][k] for run in runs])) for k in runs[0][name]}
            rows.append({"method": name, "members": n, "which": 0} | mean)
    return [row | {k: round(float(row[k]), 4) for k in ("score", "val", "kept")} for row in rows]


AVERAGES = Experiment(
    "soups and ensembles",
    1,
    FineTuned,
    average_rows,
    dict.fromkeys(("method", "members", "which"), EXACT)
    | dict.fromkeys(("score", "val"), POINTS)
    | {"kept": EXACT},
)
