"""Networks whose every number is multiplied by a factor: what soups and ensembles answer then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mergebook.ch4.groups import Group, Workshop
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

PLAIN = tuple(f"vgg{depth}" for depth in zoo.VGG)
LAYERS = 19  # factors are given for as many layers
COUNTS = (2, 3, 5, 7, 10)
FORMATS = ("float32", "float64")
CONTROLLED = (1.0, 100.0)  # factors with other treatments of biases
BEYOND = 105.0  # no format but float64 has answers beyond this factor
EXACT = Tolerance()


@dataclass(frozen=True)
class Grown:
    """The key of a group of plain VGGs, fine-tuned on one task from one start.

    `models` is the suite's mark; `head` is `one` classifier for all or each model's `own`; `images`
    are the test images used.
    """

    models: str
    network: str
    task: str
    head: str = "one"
    count: int = 10
    epochs: int = 12
    images: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Curve(Grown):
    """The key of a group's curves over factors."""

    factors: tuple[float, ...] = ()


# ------------------------------------------------------------------------------ the models


@lru_cache(2)
def workshop(r: OpenSuite) -> Workshop:
    """What trains groups on a suite's tasks; raises `ValueError` for a suite that cannot."""
    return Workshop(r.suite, r.device)


def group_of(key: Grown) -> Group:
    """The group of models that a key names."""
    settings = {"head": key.head, "models": key.count, "epochs": key.epochs, "seed": key.seed}
    return Group(key.network, key.task, **settings)


@lru_cache(24)
def group_models(r: OpenSuite, group: Group) -> list[State]:
    """The models of a group; those of the last 24 groups stay at hand."""
    return workshop(r).models(group)


def members_and_images(key: Grown, sources: Mapping[str, str], device: str):
    """The network, the models, and test images with labels, all or the first `key.images`."""
    r = opened(key, sources, device)
    shop, group = workshop(r), group_of(key)
    x, y = shop.data(key.task, "test")
    return shop.net(group), group_models(r, group), x[: key.images], y[: key.images]


def numbers_factor(c: float, network: str) -> float:
    """What each number gets so that this depth's scores grow as 19 layers' do by `c`."""
    return c ** (LAYERS / int(network.removeprefix("vgg")))


def grown_keys(
    r: OpenSuite,
    networks: Sequence[str],
    seeds: Sequence[int],
    kind=Grown,
    tasks: Sequence[str] = (),
    **settings,
) -> list[Grown]:
    """Keys of each network, task and start; the tasks are the workshop's two unless given."""
    tasks = tasks or workshop(r).targets
    each = [(n, t, s) for n in networks for t in tasks for s in seeds]
    return [kind(r.mark, n, t, seed=s, **settings) for n, t, s in each]


# ------------------------------------------------------------------------------ magnified


def answered_right(z: Tensor, y: Tensor) -> float:
    """Accuracy of scores. As in torch, the largest of several scores is the first NaN if any."""
    return 100 * float((z.argmax(-1) == y).double().mean())


def cast(state: State, kind: torch.dtype) -> State:
    """The state in a number format; what is no floating-point number stays."""
    return {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}


def without_scores(z: Tensor) -> float:
    """Percent of the images with a score that is not finite."""
    return 100 * float((~z.isfinite()).any(-1).double().mean())


def grown_outputs(net: zoo.Net, models, x: Tensor, factor: float, kind, biases: str):
    """Features (models, n, width), and the classifiers' weights and biases, of grown models."""
    grown = [averaging.magnified(cast(m, kind), factor, biases) for m in models]
    return averaging.features(net, grown, x.to(kind)), *averaging.heads(grown)


def grown_soup(net: zoo.Net, models, x: Tensor, factor: float, kind, biases: str = "all"):
    """Scores of the average, magnified."""
    soup = averaging.magnified(cast(merge.average(models), kind), factor, biases)
    return averaging.logits(net, soup, x.to(kind))


def methods(net, models, x, y, factor, kind, biases="all", counts=COUNTS) -> list[dict]:
    """Accuracy of each method with the first 2, 3, … models, and what became of the scores."""
    f, w, b = grown_outputs(net, models, x, factor, kind, biases)
    z = f @ w.mT + b.unsqueeze(1)
    every = {
        "single": float(np.mean([answered_right(one, y) for one in z])),
        "single_lost": without_scores(z),
    }
    out = []
    for n in counts:
        added = z[:n].sum(0) / n  # as released: first added, then divided
        row = {
            "soup": answered_right(grown_soup(net, models[:n], x, factor, kind, biases), y),
            "logits": answered_right(added, y),
            "sum_lost": without_scores(added),
            "sum_nan": 100 * float(added.isnan().any(-1).double().mean()),
            "divided": answered_right((z[:n] / n).sum(0), y),
            "probabilities": answered_right(z[:n].softmax(-1).mean(0), y),
            "features": answered_right(averaging.ensemble_features(f[:n], w[:n], b[:n]), y),
            "first_head": answered_right(f[:n].mean(0) @ w[0].T + b[0], y),
        }
        out.append({"members": n} | {k: round(v, 2) for k, v in (every | row).items()})
    return out


def curve_rows(key: Curve, sources: Mapping[str, str], device: str) -> list[dict]:
    """Every method at every factor in both formats, as released: `biases` are multiplied, `all`.

    At factors 1 and 100 in float64 also with `none`, and with `layers`: the bias of layer l times
    the factor's l-th power, which keeps the function.
    """
    net, models, x, y = members_and_images(key, sources, device)
    counts = [n for n in COUNTS if n <= key.count]
    known, rows = begun(key, sources, device) | sizes(net, models, x), []
    for c in key.factors:
        asked = [(kind, "all", counts) for kind in FORMATS]
        asked += [("float64", b, counts[-1:]) for b in averaging.BIASES[1:] if c in CONTROLLED]
        for kind, biases, n in asked:
            by = numbers_factor(c, key.network)
            found = methods(net, models, x, y, by, getattr(torch, kind), biases, n)
            rows += [{"factor": c, "format": kind, "biases": biases} | known | m for m in found]
    return rows


def begun(key: Grown, sources: Mapping[str, str], device: str) -> dict[str, list[float]]:
    """By what a row is known: a score of the untrained network, with the first and last classifier.

    The score of the first class on the first test image.
    """
    shop = workshop(opened(key, sources, device))
    net, body = zoo.build(key.network, key.seed)
    x, found = shop.data(key.task, "test")[0][:1], []
    for i in (0, key.count - 1):
        head = 1000 * key.seed + (i if key.head == "own" else 0)
        state = zoo.with_head(body, net.width, shop.classes(key.task), head)
        found.append(round(float(averaging.logits(net, state, x)[0, 0]), 5))
    return {"begun": found}


def sizes(net: zoo.Net, models: Sequence[State], x: Tensor) -> dict[str, float]:
    """Logarithms to base 10 of the largest score, without biases: median over models and images.

    `added` is that of the sum over all models of each image's largest score.
    """
    f, w, _ = grown_outputs(net, models, x, 1.0, torch.float64, "none")
    largest = (f @ w.mT).abs().amax(-1)
    found = {"score": largest.median(), "added": largest.sum(0).median()}
    return {name: round(float(v.log10()), 4) for name, v in found.items()}


# ------------------------------------------------------------------------------ experiments


def in_points(**fields: float) -> dict[str, Tolerance]:
    """Tolerances of accuracies and shares, in points, beside those by which a row is known."""
    known = {"begun": Tolerance(relative=2e-3)}
    return known | {name: Tolerance(absolute=value) for name, value in fields.items()}


# Training in single precision ends elsewhere on another processor, the further the deeper the
# network. Measured for each field with one and two threads and with older instruction sets; beyond
# 100, what is left of sums of infinities depends on the order of adding.
ASKED = dict.fromkeys(("factor", "format", "biases", "members"), EXACT)


def curves_within(name: str, **points: float) -> Experiment:
    """An experiment of curves, with the tolerance of each result."""
    return Experiment(name, 1, Curve, curve_rows, ASKED | in_points(**points))


CURVES = curves_within(
    "magnified curves",
    **{"single": 4, "single_lost": 12, "soup": 12, "logits": 10, "sum_lost": 12, "sum_nan": 20},
    **{"divided": 12, "probabilities": 10, "features": 12, "first_head": 13},
    **{"score": 0.06, "added": 0.06},
)
DEEP_CURVES = curves_within(
    "deep magnified curves",
    **{"single": 12, "single_lost": 25, "soup": 26, "logits": 25, "sum_lost": 35, "sum_nan": 40},
    **{"divided": 25, "probabilities": 15, "features": 22, "first_head": 22},
    **{"score": 0.4, "added": 0.3},
)
DEBRIS = curves_within(
    "magnified beyond",
    **{"single": 20, "single_lost": 25, "soup": 30, "logits": 25, "sum_lost": 20, "sum_nan": 50},
    **{"divided": 25, "probabilities": 15, "features": 30, "first_head": 30},
    **{"score": 0.4, "added": 0.3},
)
