"""Greedy soups selected on other images, from other beginnings, and on labels without meaning."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mergebook.ch4.soups import EXACT, FineTuned, group_at_hand
from mergebook.experiments import Experiment
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

Answers = Callable[[frozenset[int]], Tensor]
SIZES = (50, 125, 250, 500)  # images that select
DIVISIONS = 200


def predictions_of(net: zoo.Net, models: Sequence[State], x: Tensor) -> Answers:
    """A function of a set of models: the classes (n,) that their soup sees. Each is made once."""
    known = {}

    def of(chosen):
        if chosen not in known:
            soup = merge.average([models[i] for i in sorted(chosen)])
            known[chosen] = averaging.logits(net, soup, x).argmax(1)
        return known[chosen]

    return of


def greedy_members(
    classes: Answers, y: Tensor, count: int, select: Tensor, begin: int | None = None
) -> tuple[frozenset[int], int]:
    """Members of the greedy soup that is selected on some images, and the model it begins with.

    That is the best one on the images `select` (indices), or `begin`. The others follow from the
    best to the worst, and stay if the soup answers no fewer. `y` (n,) are the labels.
    """

    def right(chosen):
        return int((classes(chosen)[select] == y[select]).sum())

    order = sorted(range(count), key=lambda i: -right(frozenset([i])))
    if begin is not None:
        order = [begin, *(i for i in order if i != begin)]
    kept = frozenset(order[:1])
    for i in order[1:]:
        if right(kept | {i}) >= right(kept):
            kept = kept | {i}
    return kept, order[0]


def summed_up(how: str, images: int, kept: Sequence[int], gains: Sequence[float]) -> dict:
    """A row: means over selections, and percent of them that merge, end below or above."""
    kept, gains = np.array(kept), np.array(gains)
    row = {
        "kept": kept.mean(),
        "merges": 100 * (kept > 1).mean(),
        "gain": gains.mean(),
        "below": 100 * (gains < 0).mean(),
        "above": 100 * (gains > 0).mean(),
    }
    return {"how": how, "images": images} | {k: round(float(v), 4) for k, v in row.items()}


def gain_on(classes: Answers, y: Tensor, rest: Tensor, kept: frozenset[int], first: int) -> float:
    """Points of the soup above the model that it begins with, on the images `rest`."""
    soup, one = (int((classes(c)[rest] == y[rest]).sum()) for c in (kept, frozenset([first])))
    return 100 * (soup - one) / len(rest)


def divided(classes: Answers, y: Tensor, count: int, images: int, seed: int, shuffled: bool):
    """Members kept and gains, over random divisions of all images into those to select on and rest.

    With `shuffled`, the labels of the images that select are dealt anew, so they say nothing.
    """
    rng, kept, gains = np.random.default_rng(seed), [], []
    for _ in range(DIVISIONS):
        mixed, told = torch.as_tensor(rng.permutation(len(y))), y.clone()
        select, rest = mixed[:images], mixed[images:]
        if shuffled:
            told[select] = y[select[torch.as_tensor(rng.permutation(images))]]
        chosen, first = greedy_members(classes, told, count, select)
        kept.append(len(chosen))
        gains.append(gain_on(classes, y, rest, chosen, first))
    return kept, gains


def selection_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """How many models greedy soups keep, and how far they end above their first one, in points.

    `divided`: over 200 random divisions of validation and test images, by how many select, as long
    as some are left to measure; `shuffled labels`: so, with labels that say nothing. `begun with`:
    a row for each model, selected on validation images and measured on test images; `in order` is
    the first of these rules with the best model. `seen`: selected on training images.

    `below` and `above` are percent of the selections. Raises `ValueError` for several labels an
    image.
    """
    shop, net, models = group_at_hand(key, sources, device)
    splits = {split: shop.data(key.task, split) for split in ("pool", "val", "test")}
    if splits["test"][1].ndim > 1:
        raise ValueError(f"the task {key.task} has several labels an image; selection needs one")
    x, y = (torch.cat([splits[s][i] for s in ("val", "test")]) for i in (0, 1))
    classes, count = predictions_of(net, models, x), len(models)
    val = torch.arange(len(splits["val"][1]))
    rest, rows = torch.arange(len(val), len(y)), []
    for images in (n for n in SIZES if n < len(y)):
        found = divided(classes, y, count, images, key.seed, shuffled=False)
        rows.append(summed_up("divided", images, *found))
    found = divided(classes, y, count, len(val), key.seed, shuffled=True)
    rows.append(summed_up("shuffled labels", len(val), *found))
    for how, begin in (("in order", None), *((f"begun with {i}", i) for i in range(count))):
        kept, first = greedy_members(classes, y, count, val, begin)
        gain = gain_on(classes, y, rest, kept, first)
        rows.append(summed_up(how, len(val), [len(kept)], [gain]))
    seen = predictions_of(net, models, splits["pool"][0])
    pool = torch.arange(len(splits["pool"][1]))
    kept, first = greedy_members(seen, splits["pool"][1], count, pool)
    gain = gain_on(classes, y, rest, kept, first)
    return [*rows, summed_up("seen", len(pool), [len(kept)], [gain])]


SELECTION = Experiment(
    "greedy selection",
    1,
    FineTuned,
    selection_rows,
    dict.fromkeys(("how", "images", "kept", "merges", "gain", "below", "above"), EXACT),
)
