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
def structured(bodies: Table) -> Outcome:
    """A ResNet's large kernels are smoother and more alike than chance and than before training.

    And smoother than a VGG's; and than those of the same network with small kernels. Corrected: all
    but the last, which is the other way round.
    """

    def above(a, b, among=1) -> Interval:
        return of_mean(np.subtract(repeated(bodies, *a), repeated(bodies, *b)), among)

    pairs = {
        "smooth": ((RESNET, "smooth"), (RESNET, "smooth", False)),
        "alike": ((RESNET, "alike"), (RESNET, "alike", False)),
        "vgg": ((RESNET, "smooth"), (VGG, "smooth")),
        "size": ((RESNET, "smooth"), (SMALL, "smooth")),
    }
    found = {name: above(*pair) for name, pair in pairs.items()}
    strict = {name: above(*pair, among=len(pairs)) for name, pair in pairs.items()}
    values = found | {"intervals": len(pairs), "seeds": bodies.seed.nunique()}
    values |= {
        f"{name}_{body[0]}_{body[1]}": of_mean(repeated(bodies, body, name))
        for name in ("smooth", "alike")
        for body in (RESNET, SMALL, VGG)
    }
    shown = all(found[name].above for name in ("smooth", "alike", "vgg"))
    return weighed(
        shown and found["size"].above,
        any(strict[name].below for name in ("smooth", "alike", "vgg")),
        shown and strict["size"].below,
        values,
    )


@claim("rethink-shallow-low-deep-semantic")
def layers_differ(bodies: Table) -> Outcome:
    """In both networks the last stage tells classes better than the first, and low-level worse.

    Corrected: from first to last training adds to the classes, and low-level numbers get lost.
    """
    rows, among = [], 6
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
        }
        row = {name: of_mean(v) for name, v in found.items()}
        strict = {name: of_mean(v, among) for name, v in found.items()}
        untrained = {"random_classes": gains["classes", False].mean()}
        untrained |= {"random_low": -gains["low", False].mean()}
        shown = {name: v.above for name, v in row.items()}
        excluded = {name: v.below for name, v in strict.items()}
        rows.append({"network": body[0], "shown": shown, "excluded": excluded} | row | untrained)
    values = {"rows": rows, "seeds": bodies.seed.nunique(), "intervals": among}
    falls = all(row["shown"]["low"] for row in rows)
    return weighed(
        falls and all(row["shown"]["classes"] for row in rows),
        any(row["excluded"]["low"] for row in rows)
        or any(row["excluded"]["classes"] and row["excluded"]["learnt"] for row in rows),
        falls and all(row["shown"]["learnt"] for row in rows),
        values,
    )
