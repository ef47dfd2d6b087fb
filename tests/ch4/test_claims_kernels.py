"""Made-up tables for the claims about kernels and layers (page 04g)."""

import pandas as pd
from tables import NAN

from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def bodies(
    resnet=0.2,
    small=0.1,
    vgg=0.0,
    alike=0.01,
    gains=(20, 20),
    falls=(20, 20),
    noise=0.001,
    random=20,
):
    """Three networks of each kind; `gains` and `falls` are those of ResNet and VGG.

    Random ones are neither smooth nor alike, and lose 40 points of classes and `random` of
    low-level.
    """
    rows = []
    kinds = {("resnet10", 7): resnet, ("resnet10", 3): small, ("vgg11", 3): vgg}
    for (network, side), smooth in kinds.items():
        at = int(network == "vgg11")
        for trained in (True, False):
            for seed in range(3):
                e = noise * (seed - 1)
                gain, fall = (gains[at], falls[at]) if trained else (-40, random)
                row = {"network": network, "side": side, "trained": trained, "seed": seed}
                row |= {"smooth": (smooth if trained else 0.0) + e, "alike": alike * trained + e}
                row |= {"classes": [40.0, 50.0, 50.0 + gain + 100 * e]}
                rows.append(row | {"low": [90.0, 95.0, 95.0 - fall + 100 * e]})
    frame = pd.DataFrame(rows)
    frame.loc[~frame.trained, ["smooth", "alike"]] *= -1
    return (frame,)


def kernels(crops=None, **given):
    """The same, with crops of the large kernels, as smooth as whole ones unless given."""
    noise = 0.001 * (given.get("noise", 0.001) != 0)
    level = given.get("resnet", 0.2) if crops is None else crops
    found = {"seed": [0, 1, 2], "smooth": [level + noise * (s - 1) for s in range(3)]}
    return (*bodies(**given), pd.DataFrame(found))


KERNELS, LAYERS = "rethink-fig11-fig12-kernels", "rethink-shallow-low-deep-semantic"

CASES = {
    KERNELS: {
        HOLDS: kernels(),
        CORRECTED: kernels(crops=0.15),
        FAILS: kernels(small=0.4, vgg=0.4),
        UNDECIDED: kernels(crops=0.1),
    },
    LAYERS: {
        HOLDS: bodies(),
        CORRECTED: bodies(gains=(0, 20), random=5),
        FAILS: bodies(gains=(20, -60)),
        UNDECIDED: bodies(gains=(0, 20)),
    },
}

NEAR = [
    (KERNELS, "not smoother than before", FAILS, kernels(resnet=-0.2, small=-0.3, vgg=-0.4)),
    (KERNELS, "crops rougher than the VGG's alone", UNDECIDED, kernels(vgg=0.4)),
    (KERNELS, "not more alike", CORRECTED, kernels(alike=-0.01)),
    (KERNELS, "networks differ much", UNDECIDED, kernels(noise=0.2)),
    (KERNELS, "no number", UNDECIDED, kernels(resnet=NAN)),
    (LAYERS, "classes fall, less than random", CORRECTED, bodies(gains=(20, -20), random=5)),
    (LAYERS, "training keeps low-level numbers", UNDECIDED, bodies(gains=(0, 20), random=40)),
    (LAYERS, "low-level kept, but lost less than by chance", HOLDS, bodies(random=40)),
    (LAYERS, "networks differ much", UNDECIDED, bodies(noise=0.5)),
    (LAYERS, "low-level numbers get easier", FAILS, bodies(falls=(20, -20))),
    (LAYERS, "easier, less than random", CORRECTED, bodies(falls=(20, -20), random=-40)),
    (LAYERS, "no number", UNDECIDED, bodies(gains=(NAN, 20))),
]

SAID = {
    (KERNELS, CORRECTED): {
        "smooth.value": 0.2,
        "crop_size.value": 0.05,
        "crop_vgg.value": 0.15,
        "counted.value": 0.05,
    },
    (LAYERS, HOLDS): {
        "rows.0.classes.value": 20,
        "rows.1.low.value": 20,
        "rows.0.learnt.value": 60,
        "rows.0.random_low": 20,
        "rows.0.dropped.value": 0,
        "rows.0": {"best": 2, "peak": 70, "end": 70},
    },
}

ORDERED: set[str] = set()
