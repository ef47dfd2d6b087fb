"""Made-up tables for the claims of page 04a; `tests/test_deciders.py` says what they are for."""

from tables import NAN, frame

from mergebook.ch4.algebra import DRAWS, EXPERTS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED


def gaps(one=0.0, every=0.7, alike=0.0, formula=0.0):
    return (
        frame(
            depth=[1, 1, 2, 2, 3, 3],
            differ=["all", "one"] * 3,
            gap=[one, alike, every, alike, every, alike],
            formula=[NAN, NAN, formula, 0.0, NAN, NAN],
        ),
    )


def activations(relu=50.0, tanh=100.0, identity=0.0, highest=0.0):
    return (
        frame(
            activation=["identity", "ReLU", "tanh"],
            highest=[0.0, highest, 0.3],
            agreeing=[0.0, 0.0, 0.2],
            unequal=[identity, relu, tanh],
        ),
    )


def templates(error=0.0, reached=1.0, other=0.1):
    return (frame(template=[0, 1], error=[0.0, error], reached=[1.0, reached], other=[0.0, other]),)


def layouts(rows=100, inputs=3072, pixels=3072, place=True, back=True):
    both = {"layout": ["a", "b"], "rows": rows, "inputs": inputs, "pixels": pixels}
    return (frame(**both, place=[True, place], back=[True, back]),)


def peaks(average=1.0, mean=1.5, larger=2.0, equal=2.0):
    return (
        frame(
            pair=["independent", "equal"],
            average=[average, equal],
            mean=[mean, 2.0],
            larger=[larger, 2.0],
        ),
    )


def pairs(experts=0.997, draws=0.5, formula=None, gap=0.0):
    ratio = [experts, experts, draws]
    return frame(
        of=[EXPERTS, EXPERTS, DRAWS],
        layer=["v", "w", "v"],
        rho=[2 * r - 1 for r in ratio],
        ratio=ratio,
        formula=ratio if formula is None else formula,
        peak=0.9,
        **{"mean gap": [0.0, gap, 0.0]},
    )


def sweep(middle=0.5):
    return frame(rho=[-1.0, 0.0, 1.0], ratio=[0.0, middle, 1.0])


def grid(quarter=0.5, average=1.0, larger=1.0):
    return (frame(quarter=[0.0, quarter], average=[0.0, average], larger=[0.0, larger]),)


def ratios(hundred=10_000.0):
    return (frame(layer=["v", "v", "w", "w"], factor=[2, 100] * 2, ratio=[4.0, hundred] * 2),)


CASES = {
    "rethink-eq1-eq2-linear-equivalence": {
        HOLDS: gaps(),
        FAILS: gaps(one=1e-6),
        UNDECIDED: gaps(one=NAN),
    },
    "rethink-linear-layers-equivalence": {
        HOLDS: gaps(every=0.0),
        CORRECTED: gaps(),
        FAILS: gaps(alike=0.1),
        UNDECIDED: gaps(every=NAN),
    },
    "rethink-eq3-eq4-nonlinear": {
        HOLDS: activations(),
        FAILS: activations(tanh=0.0),
        UNDECIDED: activations(relu=NAN),
    },
    "rethink-inner-product-formula": {
        HOLDS: templates(),
        FAILS: templates(error=1e-6),
        UNDECIDED: templates(error=NAN),
    },
    "rethink-alignment-maximises-score": {
        HOLDS: templates(),
        FAILS: templates(reached=0.99),
        UNDECIDED: templates(reached=NAN),
    },
    "rethink-template-reshape": {HOLDS: layouts(), FAILS: layouts(inputs=1024, pixels=1024)},
    "rethink-eq5-eq6-max-norm": {
        HOLDS: peaks(),
        FAILS: peaks(average=1.6),
        UNDECIDED: peaks(average=NAN),
    },
    "rethink-eq7-mean": {
        HOLDS: (pairs(),),
        FAILS: (pairs(gap=1e-3),),
        UNDECIDED: (pairs(gap=NAN),),
    },
    "rethink-eq8-variance": {
        HOLDS: (pairs(), sweep()),
        FAILS: (pairs(draws=0.6), sweep()),
        UNDECIDED: (pairs(draws=NAN), sweep()),
    },
    "rethink-eq9-variance-bound": {
        HOLDS: grid(),
        FAILS: grid(quarter=1.1),
        UNDECIDED: grid(quarter=NAN),
    },
    "rethink-scaling-variance-c2": {HOLDS: ratios(), FAILS: ratios(100.0), UNDECIDED: ratios(NAN)},
}

NEAR = [
    ("rethink-linear-layers-equivalence", "another formula", FAILS, gaps(formula=0.01)),
    ("rethink-eq3-eq4-nonlinear", "a gap without activation", FAILS, activations(identity=1.0)),
    ("rethink-alignment-maximises-score", "an input as good", FAILS, templates(other=1.0)),
    ("rethink-template-reshape", "another place", FAILS, layouts(place=False)),
    ("rethink-template-reshape", "not back", FAILS, layouts(back=False)),
    ("rethink-template-reshape", "fewer pixels", FAILS, layouts(pixels=1024)),
    ("rethink-eq5-eq6-max-norm", "mean too large", FAILS, peaks(mean=2.1)),
    ("rethink-eq5-eq6-max-norm", "no equality", FAILS, peaks(equal=1.9)),
    ("rethink-eq8-variance", "no covariance", FAILS, (pairs(formula=0.5), sweep())),
    ("rethink-eq8-variance", "another line", FAILS, (pairs(), sweep(0.6))),
    ("rethink-eq8-variance", "no line", UNDECIDED, (pairs(), sweep(NAN))),
    ("rethink-eq9-variance-bound", "with correlation", FAILS, grid(average=1.1)),
    ("rethink-eq9-variance-bound", "not sharper", HOLDS, grid(quarter=0.9)),
]

SAID = {
    ("rethink-linear-layers-equivalence", CORRECTED): {
        "depths.1": {"depth": 2, "gap": 0.7},
        "alike": True,
        "formula": True,
    },
    ("rethink-eq3-eq4-nonlinear", HOLDS): {"curved.0.unequal": 50, "never": True},
    ("rethink-eq5-eq6-max-norm", HOLDS): {"pairs": 1, "touched": True},
    ("rethink-eq8-variance", HOLDS): {"experts": 0.997, "rho": 0.994, "draws": 0.5},
    ("rethink-eq9-variance-bound", "not sharper"): {"sharper": False, "any": True},
    ("rethink-scaling-variance-c2", HOLDS): {"factors.1.ratio": 10_000, "matrices": 2},
}

ORDERED = set()
