"""Made-up tables for the claims about kernels and layers (page 04g)."""

import pandas as pd
from tables import NAN

from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def bodies(resnet=0.2, small=0.1, vgg=0.0, alike=0.01, gains=(20, 20), falls=(20, 20), noise=0.001):
    """Three networks of each kind; `gains` and `falls` are those of ResNet and VGG.

    Random ones are neither smooth nor alike, and lose 40 points of classes and 20 of low-level.
    """
    rows = []
    kinds = {("resnet10", 7): resnet, ("resnet10", 3): small, ("vgg11", 3): vgg}
    for (network, side), smooth in kinds.items():
        at = int(network == "vgg11")
        for trained in (True, False):
            for seed in range(3):
                e = noise * (seed - 1)
                gain, fall = (gains[at], falls[at]) if trained else (-40, 20)
                row = {"network": network, "side": side, "trained": trained, "seed": seed}
                row |= {"smooth": (smooth if trained else 0.0) + e, "alike": alike * trained + e}
                row |= {"classes": [40.0, 50.0, 50.0 + gain + 100 * e]}
                rows.append(row | {"low": [90.0, 95.0, 95.0 - fall + 100 * e]})
    frame = pd.DataFrame(rows)
    frame.loc[~frame.trained, ["smooth", "alike"]] *= -1
    return (frame,)


KERNELS, LAYERS = "rethink-fig11-fig12-kernels", "rethink-shallow-low-deep-semantic"

CASES = {
    KERNELS: {
        HOLDS: bodies(),
        CORRECTED: bodies(small=0.4),
        FAILS: bodies(vgg=0.4),
        UNDECIDED: bodies(small=0.2),
    },
    LAYERS: {
        HOLDS: bodies(),
        CORRECTED: bodies(gains=(0, 20)),
        FAILS: bodies(gains=(20, -60)),
        UNDECIDED: bodies(falls=(0, 20)),
    },
}

NEAR = [
    (KERNELS, "not smoother than before", FAILS, bodies(resnet=-0.2, small=-0.3, vgg=-0.4)),
    (KERNELS, "networks differ much", UNDECIDED, bodies(noise=0.2)),
    (KERNELS, "no number", UNDECIDED, bodies(resnet=NAN)),
    (LAYERS, "classes fall, but less than in random networks", CORRECTED, bodies(gains=(20, -20))),
    (LAYERS, "networks differ much", UNDECIDED, bodies(noise=0.5)),
    (LAYERS, "low-level numbers get easier", FAILS, bodies(falls=(20, -20))),
    (LAYERS, "no number", UNDECIDED, bodies(gains=(NAN, 20))),
]

SAID = {
    (KERNELS, HOLDS): {"smooth.value": 0.2, "vgg.value": 0.2, "size.value": 0.1},
    (LAYERS, HOLDS): {
        "rows.0.classes.value": 20,
        "rows.1.low.value": 20,
        "rows.0.learnt.value": 60,
        "rows.0.random_low": 20,
    },
}

ORDERED: set[str] = set()
