"""Claims of kernels and layers of deep networks (page 04g)."""

import numpy as np
import pandas as pd

from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean
from mergebook.weighing import weighed

Table = pd.DataFrame
RESNET, SMALL, VGG = ("resnet10", 7), ("resnet10", 3), ("vgg11", 3)


def repeated(bodies: Table, body: tuple[str, int], field: str, trained: bool = True):
    """A field of one kind of network, in the order of seeds."""
    kind = (bodies.network == body[0]) & (bodies.side == body[1]) & (bodies.trained == trained)
    return bodies[kind].sort_values("seed")[field].to_list()


@claim("rethink-fig11-fig12-kernels")
def structured(bodies: Table, crops: Table) -> Outcome:
    """A ResNet's large kernels are smoother and more alike than chance and than before training.

    And smoother than a VGG's, and than those of the same network with small kernels, both whole
    and in `crops` of the small size. Corrected: smoother in crops too, with nothing asked of
    likeness. Fails: their crops are rougher than both, or they than before training.
    """

    def above(a, b, among=1) -> Interval:
        return of_mean(np.subtract(a, b), among)

    large, before = (repeated(bodies, RESNET, "smooth", trained) for trained in (True, False))
    likeness = (repeated(bodies, RESNET, "alike", trained) for trained in (True, False))
    cropped = crops.sort_values("seed").smooth.to_list()
    small, vgg = (repeated(bodies, body, "smooth") for body in (SMALL, VGG))
    pairs = {
        "smooth": (large, before),
        "alike": tuple(likeness),
        "vgg": (large, vgg),
        "size": (large, small),
        "crop_vgg": (cropped, vgg),
        "crop_size": (cropped, small),
    }
    found = {name: above(*pair) for name, pair in pairs.items()}
    strict = {name: above(*pair, among=len(pairs)) for name, pair in pairs.items()}
    values = found | {"intervals": len(pairs), "seeds": bodies.seed.nunique()}
    values |= {"large": of_mean(large), "small": of_mean(small), "of_vgg": of_mean(vgg)}
    values |= {"cropped": of_mean(cropped), "counted": above(large, cropped)}
    smoother = all(found[name].above for name in ("smooth", "crop_vgg", "crop_size"))
    rougher = strict["crop_vgg"].below and strict["crop_size"].below
    return weighed(
        all(x.above for x in found.values()) and not values["counted"].above,
        strict["smooth"].below or rougher,
        smoother,
        values,
    )


@claim("rethink-shallow-low-deep-semantic")
def layers_differ(bodies: Table) -> Outcome:
    """In both networks the last stage tells classes better than the first, and low-level worse.

    Corrected: both, beside random networks of the same shape. Fails: each reading is excluded.
    """
    rows, among = [], 8
    for body in (RESNET, VGG):
        of = {
            (field, trained): np.array(repeated(bodies, body, field, trained), float)
            for field in ("classes", "low")
            for trained in (True, False)
        }
        gains = {key: value[:, -1] - value[:, 1] for key, value in of.items()}
        found = {
            "classes": gains["classes", True],
            "low": -gains["low", True],
            "learnt": gains["classes", True] - gains["classes", False],
            "dropped": gains["low", False] - gains["low", True],
        }
        row = {name: of_mean(v) for name, v in found.items()}
        strict = {name: of_mean(v, among) for name, v in found.items()}
        untrained = {"random_classes": gains["classes", False].mean()}
        untrained |= {"random_low": -gains["low", False].mean()}
        best = of["classes", True].mean(0)
        untrained |= {"best": int(best[1:].argmax()) + 1, "peak": best[1:].max(), "end": best[-1]}
        shown = {name: v.above for name, v in row.items()}
        excluded = {name: v.below for name, v in strict.items()}
        rows.append({"network": body[0], "shown": shown, "excluded": excluded} | row | untrained)
    values = {"rows": rows, "seeds": bodies.seed.nunique(), "intervals": among}
    plain, beside = ("classes", "low"), ("learnt", "dropped")

    def against(names):
        return any(row["excluded"][name] for row in rows for name in names)

    return weighed(
        all(row["shown"][name] for row in rows for name in plain),
        against(plain) and against(beside),
        all(row["shown"][name] for row in rows for name in beside),
        values,
    )
