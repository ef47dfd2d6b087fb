"""What may rescue the average of two models, and controls that are moved as far."""

import torch
from torch import Tensor

from mergebook.ch4.moved import (
    dealt_anew,
    displaced,
    lengths_of,
    move_between,
    part_names,
    weights_only,
    with_part,
)
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

HEAD = ("head.weight", "head.bias")


def is_chain(net: zoo.Net) -> bool:
    """Whether neurons can be permuted layer by layer: the VGGs."""
    layers = net.module.children() if isinstance(net.module, torch.nn.Sequential) else ()
    return bool(layers) and not any(list(layer.children()) for layer in layers)


def head_of(state: State) -> State:
    """The tensors of the classifier alone."""
    return {k: state[k] for k in HEAD}


def same_start(first: State, second: State) -> bool:
    """Whether two bodies begin with the same weights."""
    return all(torch.equal(v, second[k]) for k, v in weights_only(first).items())


def elected(start: State, a: State, b: State) -> State:
    """The start's body plus the updates of which the sign is elected, and the mean classifier.

    TIES without its trim: where two updates have opposite signs the larger one stands, elsewhere
    their mean.
    """
    bodies = [zoo.body(a), zoo.body(b)]
    return merge.ties(start, bodies, 1.0, 1.0) | head_of(merge.average([a, b]))


def rescued(
    net: zoo.Net, a: State, b: State, start: State | None, pool: Tensor
) -> dict[str, State]:
    """The mean of two models after each attempt to mend it that the network allows.

    With the start that both have, or None, sign election too. `pool` are the images (n, 3, 32, 32)
    that new moments are taken from.
    """
    middle, normed, out = merge.average([a, b]), zoo.has_batchnorm(net), {}
    if start is not None:
        out["elected"] = elected(start, a, b)
    if is_chain(net):
        moved = averaging.permuted(net, b, a)
        out["aligned"] = merge.average([a, moved])
    if normed:
        whole = {"recalibrated": middle} | {f"{k}, recalibrated": v for k, v in out.items()}
        out |= {name: net.recalibrated(state, pool) for name, state in whole.items()}
    elif is_chain(net):
        out["repaired"] = averaging.repaired(net, middle, [a, b], pool)
        out["aligned, repaired"] = averaging.repaired(net, out["aligned"], [a, moved], pool)
    return out


def controls(a: State, b: State, start: State | None, number: int) -> dict[str, list[State]]:
    """Models as far from `a` as the mean of `a` and `b` is, or with as many conflicting signs.

    `classifier alone`: both models with the mean classifier. `moved at random`: every tensor of `a`
    in a random direction; `moved at random, mean classifier`: those of its body alone. With the
    start that both have, or None, also two of equal conflict. `conflict dealt anew`: the mean of
    `a` and of `b` with an update that conflicts as often, elsewhere. `half-way back`: the mean of
    both bodies brought half of the way back to the start, where all conflicts stay; `half-way back,
    ends`: those two models. Their classifiers are the mean one. BatchNorm's running moments stay
    those of the models, also where their weights moved. `number` seeds the draws.
    """
    head = head_of(merge.average([a, b]))
    far = displaced(a, lengths_of(move_between(a, b)), number)
    out = {
        "classifier alone": [a | head, b | head],
        "moved at random": [far],
        "moved at random, mean classifier": [far | head],
    }
    if start is not None:
        dealt = dealt_anew(start, a, b, number)
        back = [m | move_back(start, m) | head for m in (a, b)]
        out["conflict dealt anew"] = [merge.average([a, dealt]) | head]
        out["half-way back"] = [merge.average(back)]
        out["half-way back, ends"] = back
    return out


def move_back(start: State, state: State) -> State:
    """The trained tensors of a body, half of the way back to the start."""
    return {k: (s + state[k]) / 2 for k, s in weights_only(zoo.body(start)).items()}


def parts_taken(a: State, middle: State) -> dict[str, State]:
    """A transformer with each part by itself from the mean of two models."""
    return {part: with_part(a, middle, part) for part in part_names(a)}
