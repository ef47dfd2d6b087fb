"""A model averaged with models of other tasks, and with bodies that have learnt nothing of use."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from mergebook.ch4.groups import Workshop
from mergebook.ch4.moved import displaced, lengths_of, move_between
from mergebook.ch4.rescues import head_of
from mergebook.ch4.soups import EXACT, POINTS, FineTuned, group_at_hand, percent_score, score_on
from mergebook.experiments import Experiment
from mergehelpers import averaging, merge, zoo
from mergehelpers.states import State

SHRUNK = 0.9


def bodies_given(shop: Workshop, key: FineTuned, own: State, sister: State) -> dict[str, State]:
    """The bodies that a model is averaged with, by donor.

    Other tasks' first models; and controls: `itself`, itself at 0.9 of its size, a sister of the
    `same task`, the `start`, and the start moved in a random direction, in every tensor as far as
    the donors of the same start are from it on average.
    """
    start, given, far = shop.first(key.group, 0), {}, []
    for task in (t for t in shop.tasks if t != key.task):
        donor = zoo.body(shop.models(replace(key.group, task=task, models=1))[0])
        given[task] = donor
        if shop.sources(task) == shop.sources(key.task):
            far.append(lengths_of(move_between(start, donor, 1.0)))
    lengths = {k: torch.stack([of_one[k] for of_one in far]).mean() for k in far[0]}
    shrunk = {k: SHRUNK * v if v.is_floating_point() else v for k, v in zoo.body(own).items()}
    return given | {
        "itself": zoo.body(own),
        "itself at 0.9": shrunk,
        "same task": zoo.body(sister),
        "start": start,
        "start moved at random": displaced(start, lengths, key.seed),
    }


def donor_rows(key: FineTuned, sources: Mapping[str, str], device: str) -> list[dict]:
    """Test scores on the group's task: of each donor's body, of the soup with it, of ensembles.

    The donor's body is read by the first model's classifier, as is the soup's. `kind` tells a
    donor of the `same start` or `another start` from a `control`. `even` is the ensemble of scores
    brought to equal deviations. Raises `ValueError` for a group of fewer than two models.
    """
    if key.count < 2:
        raise ValueError(f"count is {key.count}; donors need a sister: 2 models or more")
    shop, net, (own, sister, *_) = group_at_hand(key, sources, device)
    x, y = test = shop.data(key.task, "test")
    head, z, rows = head_of(own), averaging.logits(net, own, x), []
    for donor, body in bodies_given(shop, key, own, sister).items():
        other = averaging.logits(net, body | head, x)
        kind = "control"
        if donor in shop.tasks:
            same = shop.sources(donor) == shop.sources(key.task)
            kind = "same start" if same else "another start"
        row = {
            "alone": percent_score(other, y),
            "soup": score_on(net, merge.average([own, body | head]), test),
            "ensemble": percent_score(z + other, y),
            "even": percent_score(z + other * (z.std() / other.std()), y),
        }
        rows.append({"donor": donor, "kind": kind} | {k: round(v, 4) for k, v in row.items()})
    return rows


DONORS = Experiment(
    "donors of other tasks",
    1,
    FineTuned,
    donor_rows,
    dict.fromkeys(("donor", "kind"), EXACT)
    | dict.fromkeys(("alone", "soup", "ensemble", "even"), POINTS),
)
