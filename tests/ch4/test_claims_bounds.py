"""Made-up tables for the claims of page 04e; `tests/test_deciders.py` says what they are for."""

import itertools

from tables import NAN, frame

from mergebook.ch4.bounds import ACTIVATIONS, ALIGNED, BIASED, NO_ZERO, SOUGHT
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def constants(needed=0.2, mean_one=(0.4, 0.9), signs=(0.9, 1.0), entries=1.5):
    kinds = ["Gaussian", "random signs", "mean one", ALIGNED]
    by_entry = [(0.1, 0.08), signs, mean_one, (1.5, mean_one[1] * 1.5 / mean_one[0])]
    rows = [(k, w, v) for k, both in zip(kinds, by_entry) for w, v in zip((16, 64), both)]
    rows.append((SOUGHT, 16, 0.5))
    return (
        frame(
            kind=[r[0] for r in rows],
            width=[r[1] for r in rows],
            length=2.0,
            needed=[0.1] * (len(rows) - 1) + [needed],
            fixed=1.0,
            entries=[entries] * len(rows),
            **{"by entry": [r[2] for r in rows]},
        ),
    )


def ratios(drawn=0.5, rotation=1.0):
    return (frame(input=["first", "drawn", "rotation"], ratio=[1.0, drawn, rotation]),)


def networks(sound=200, odd=0, less=0, biased=200, taus=(0.5, 0.9, 1.5), promise=None):
    """`sound`, `odd`, `biased`: how many of 200 are within; `less`: with the smaller constant."""
    promises = dict(zip(taus, promise or (-0.56, 0.11, 0.79)))
    inside = dict.fromkeys(ACTIVATIONS, sound) | {NO_ZERO: odd, BIASED: biased}
    rows = [
        (name, tau, constant, promises[tau], k if constant == 0.25 else min(k, less))
        for (name, k), tau, constant in itertools.product(inside.items(), taus, (0.125, 0.25))
    ]
    columns = list(zip(*rows))
    return (
        frame(
            weights="variance 1/N",
            activation=columns[0],
            input="ones",
            width=8,
            depth=1,
            tau=columns[1],
            constant=columns[2],
            promise=columns[3],
            networks=200,
            inside=columns[4],
            slack=[0.1 * (1 + t) for t in columns[1]],
        ),
    )


def lengths(slopes=(-0.4, 0.0, 0.3), spread=0.01, bend=0.0):
    rows = [
        (scale, n, depth, (slope + spread * (n - 1)) * depth + bend * (depth == 2))
        for (scale, slope), n, depth in itertools.product(
            zip((1.0, 1.5, 2.0), slopes), range(3), (1, 2, 3, 4)
        )
    ]
    names = ("scale", "network", "depth", "log length")
    return (frame(**dict(zip(names, zip(*rows)))),)


def variances(sound=0.9, moved=2.0, sigmoid=3.0):
    middle = [sound, moved, sigmoid]
    return (
        frame(
            activation=["ReLU", "ReLU", NO_ZERO],
            depth=2,
            bias=0.0,
            mean=[0.0, 0.05, 0.0],
            variance=middle,
            low=[v - 0.05 for v in middle],
            high=[v + 0.05 for v in middle],
            bound=1.0,
        ),
    )


def forms(same=1.0, less=0.8):
    return (
        frame(
            reading=["M = M_l", "M = M_l - 1"] * 2,
            layers=[2, 2, 3, 3],
            ratio=[1.0, less, same, less],
        ),
    )


def layers(wide=(31.0, 33.0), narrow=(3.9, 4.1)):
    """Layers from 4 to 32 and from 32 to 4 neurons, of variance 1 each."""
    ends = [wide, narrow]
    return (
        frame(
            layer=["4 to 32", "32 to 4"],
            value=[sum(e) / 2 for e in ends],
            low=[e[0] for e in ends],
            high=[e[1] for e in ends],
            inputs=[4.0, 32.0],
            outputs=[32.0, 4.0],
            largest=[32.0, 32.0],
        ),
    )


def samples(above=1.0, ratio=0.9):
    return (
        frame(activation=["ReLU", "tanh"], law="normal", above=[0.0, above], ratio=[0.5, ratio]),
    )


def shrunk(last=1e-4):
    at = [1.0, 0.1, 0.01] * 2
    return (
        frame(
            network=[0] * 3 + [1] * 3,
            scale=at,
            spread=[s**2 for s in at],
            gradient=[s**2 for s in at],
            distance=[1.0, 0.05, 1e-3, 1.0, 0.05, last],
        ),
    )


def answers(plain=100.0, biased=30.0, spread=5.0):
    rows = [
        (n, bias, c, level if level == 100 else level + spread * (n - 1))
        for n, (bias, level), c in itertools.product(
            range(3), ((0.0, plain), (0.3, biased)), (2, 10, 100)
        )
    ]
    return (frame(**dict(zip(("network", "bias", "factor", "same"), zip(*rows)))), trained())


def trained(deep=15.0, shallow=0.2, without=0.0, spread=0.5):
    """Points lost by two trained networks, three starts, with biases and without."""
    rows = [
        (name, s, value + spread * (s - 1), "all")
        for name, value in (("vgg5", shallow), ("vgg19", deep))
        for s in range(3)
    ]
    rows += [(name, s, without, "none") for name in ("vgg5", "vgg19") for s in range(3)]
    return frame(**dict(zip(("network", "seed", "value", "biases"), zip(*rows))))


CASES = {
    "rethink-lemma1-spectral-norm": {
        HOLDS: constants(),
        FAILS: constants(needed=0.3),
        UNDECIDED: constants(needed=NAN),
    },
    "rethink-property1-max-entry": {
        HOLDS: constants(mean_one=(0.4, 0.4)),
        CORRECTED: constants(),
        FAILS: constants(signs=(0.5, 1.0)),
    },
    "rethink-property1-proof-norm": {
        HOLDS: ratios(drawn=1.0),
        CORRECTED: ratios(),
        FAILS: ratios(rotation=1.1),
        UNDECIDED: ratios(drawn=NAN),
    },
    "rethink-property1-eq10": {
        HOLDS: networks(odd=200),
        CORRECTED: networks(),
        FAILS: networks(sound=199),
    },
    "rethink-property1-probability": {
        HOLDS: networks(odd=200),
        CORRECTED: networks(),
        FAILS: networks(sound=100),
        UNDECIDED: networks(sound=199),
    },
    "rethink-exponential-growth-with-depth": {
        HOLDS: lengths(),
        FAILS: lengths(slopes=(-0.4, -0.3, -0.2)),
        UNDECIDED: lengths(slopes=(-0.4, 0.0, 0.01)),
    },
    "rethink-theorem1-eq11": {
        HOLDS: variances(moved=0.9, sigmoid=0.9),
        CORRECTED: variances(),
        FAILS: variances(sound=1.1),
        UNDECIDED: variances(moved=NAN),
    },
    "rethink-theorem1-iteration": {
        HOLDS: forms(less=1.0),
        CORRECTED: forms(),
        FAILS: forms(same=1.1),
        UNDECIDED: forms(same=NAN),
    },
    "rethink-theorem1-layer-width": {
        HOLDS: layers(wide=(3.8, 4.0)),
        CORRECTED: layers(),
        FAILS: layers(wide=(33.0, 35.0)),
        UNDECIDED: layers(wide=(NAN, NAN)),
    },
    "rethink-theorem1-proof-lipschitz-step": {
        HOLDS: samples(above=0.0),
        CORRECTED: samples(),
        FAILS: samples(ratio=1.1),
        UNDECIDED: samples(above=NAN),
    },
    "rethink-zero-weights-constant-output": {
        HOLDS: shrunk(),
        FAILS: shrunk(last=0.02),
        UNDECIDED: shrunk(last=NAN),
    },
    "rethink-fig5-decision-boundary": {
        HOLDS: answers(plain=50.0),
        CORRECTED: answers(),
        FAILS: (answers(biased=100.0)[0], trained(0.0)),
        UNDECIDED: answers(biased=90.0, spread=20.0),
    },
}

NEAR = [
    ("rethink-lemma1-spectral-norm", "a quarter", HOLDS, constants(needed=0.25)),
    ("rethink-property1-max-entry", "beyond N entries", FAILS, constants(entries=0.9)),
    ("rethink-property1-eq10", "a bias", CORRECTED, networks(odd=200, biased=100)),
    # A promise of nothing is kept by no network within.
    (
        "rethink-property1-probability",
        "an empty promise",
        UNDECIDED,
        networks(sound=0, odd=0, biased=0, taus=(0.1, 0.5), promise=(-0.98, -0.56)),
    ),
    ("rethink-exponential-growth-with-depth", "bent", FAILS, lengths(bend=2.0)),
    ("rethink-exponential-growth-with-depth", "reversed", FAILS, lengths((0.3, 0.2, 0.1))),
    ("rethink-exponential-growth-with-depth", "no number", UNDECIDED, lengths((NAN, 0.0, 0.3))),
    ("rethink-theorem1-eq11", "touches the bound", CORRECTED, variances(sound=1.04)),
    ("rethink-fig5-decision-boundary", "no intervals", UNDECIDED, answers(spread=NAN)),
    ("rethink-fig5-decision-boundary", "no accuracy lost", UNDECIDED, (answers()[0], trained(0.0))),
    (
        "rethink-fig5-decision-boundary",
        "trained ones lose without biases",
        UNDECIDED,
        (answers()[0], trained(without=3.0)),
    ),
    ("rethink-fig5-decision-boundary", "only without biases", UNDECIDED, answers(50.0, 100.0)),
]

SAID = {
    ("rethink-lemma1-spectral-norm", HOLDS): {"most": 0.2, "aligned": True},
    ("rethink-property1-max-entry", CORRECTED): {
        "kinds.2": {"kind": "mean one", "narrow": 0.4, "wide": 0.9}
    },
    ("rethink-property1-eq10", CORRECTED): {
        "over.0": {"activation": NO_ZERO, "share": 100, "nonzero": 100},
        "cases": 9,
        "sound": 0,
        "less": 9,
    },
    ("rethink-property1-probability", CORRECTED): {"broken": 2, "vacuous": 3, "of": 9},
    ("rethink-exponential-growth-with-depth", HOLDS): {"slopes.2.slope.value": 0.3},
    ("rethink-theorem1-eq11", CORRECTED): {"over": 2, "sound": 0, "of": 1, "low": 90},
    ("rethink-theorem1-iteration", CORRECTED): {"low": 0.8, "high": 0.8, "cases": 2},
    ("rethink-theorem1-layer-width", CORRECTED): {"layers.1": {"layer": "4 to 32", "percent": 800}},
    ("rethink-zero-weights-constant-output", HOLDS): {"scales.0.distance": 1e-3, "networks": 2},
    ("rethink-fig5-decision-boundary", CORRECTED): {
        "biased.0.same.value": 30,
        "fixed": True,
        "there": "vgg19",
        "lost.1.value": 15,
        "of": 2,
    },
}

ORDERED = set()
