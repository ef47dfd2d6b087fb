"""Groups of fine-tuned models compared: one number a start, in points of accuracy.

Starts are the repetitions. Test images are the same for all of them, so intervals over starts say
nothing of other images but this: none is narrower than images that the test does not have allow.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from mergebook.ch4.gaps import no_narrower
from mergebook.ch4.soups import FineTuned, fine_tuned_keys
from mergebook.intervals import Interval, of_mean
from mergebook.page import OpenSuite
from mergehelpers import zoo

Table = pd.DataFrame
START = ["network", "seed"]
ONE_START = tuple(n for n in zoo.ARCHITECTURES if n != "vit_stem")  # that can share their start
SCRATCH = ("vgg11", "vgg11_bn", "resnet10", "vit")  # networks also trained from random weights
# Groups beside those of small classifiers of each model's own, which decide.
CONTROLS = {
    "one": {"head": "one"},
    "own": {"head": "own"},
    "random": {"head": "own", "start": "random", "rate": 0.002, "decay": 0.05},
}
LONG = {"epochs": 30, "count": 5}  # of models that begin with random weights


def beside_keys(
    r: OpenSuite, networks: Iterable[str], task: str, seeds: Sequence[int], control: str, **settings
) -> list[FineTuned]:
    """Keys of a control's groups: `one` classifier for all, large `own` ones, or `random` starts.

    Random starts take the five models and thirty passes that they need, whatever the settings, and
    only some networks.
    """
    settings |= CONTROLS[control]
    if control == "random":
        settings |= LONG
        networks = [n for n in networks if n in SCRATCH]
    return fine_tuned_keys(r, networks, [task], seeds, **settings)


def start_interval(values: Iterable[float], images: int, among: int = 1) -> Interval:
    """The mean of accuracies or their differences, in points, over starts, by Student's t.

    Never narrower than `images` test images allow (`evaluate.missed`): starts share them. `among`
    many of them have 95 % together (Bonferroni). NaN bounds for fewer than two starts.
    """
    return no_narrower(of_mean(values, among), images, among)


def score_intervals(table: Table, among: int = 1) -> dict[str, Interval]:
    """`{network: interval}` of a table with a `value` in points and `images` for each start."""
    parts = table.sort_values("seed").groupby("network", sort=False)
    return {n: start_interval(p.value, int(p.images.min()), among) for n, p in parts}


def ahead_of(table: Table, first: str, second: str) -> Table:
    """Points by which `first` is above `second`, by network and start, where both are there.

    `table` has a `value` and `images` for each network, start and `what`.
    """
    one, other = (table[table.what == what] for what in (first, second))
    both = one.merge(other[[*START, "value"]], on=START, suffixes=("", "_other"))
    return both.assign(value=both.value - both.value_other)[[*START, "value", "images"]]


def method_scores(averages: Table, members: int, images: int) -> Table:
    """Scores of methods with so many members; `single` is the mean of all single models.

    Columns network, seed, what, value, images, of a table of `soups.AVERAGES`.
    """
    part = averages[averages.members.isin([1, members])]
    found = part.groupby([*START, "method"], sort=False).score.mean().reset_index()
    found = found.rename(columns={"method": "what", "score": "value"})
    return found.assign(images=images)
