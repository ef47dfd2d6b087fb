"""Made-up tables for the claims about the comparison on images (page 03a)."""

import pandas as pd
from tables import NAN

from mergebook.ch3.vision import CONTROL, EACH, ENTROPY, MAIN, ONE, RIVALS, SIMPLEX, TASKS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

B32 = "clip-vit-b-32"


def leads(pairs, half=0.5, **other):
    """Leads of 1 ± `half` point a pair, half as wide again together; `other` by the first name."""
    rows = []
    for a, b in pairs:
        v = other.get(a, 1.0)
        rows.append((a, b, v, v - half, v + half, v - 1.5 * half, v + 1.5 * half))
    columns = ["what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(rows, columns=columns)


def around(gain=10.0, missing=20.0):
    return leads([("Average", "Base"), ("Individual", "Average")], Average=gain, Individual=missing)


def printed(average=65.8):
    index = pd.Index(["clip-vit-b-32"], name="network")
    return pd.DataFrame({"Base": 48.0, "Average": average, "Individual": 90.5}, index=index)


def methods(**moves):
    rows = [
        (name, name in (ONE, EACH), "", number, moves.get(name, name in (ONE, EACH)))
        for name, number in [("Average", 0), ("AdaMerging", 16), (ONE, 513), (EACH, 99)]
    ]
    return pd.DataFrame(rows, columns=["method", "statistics", "signal", "numbers", "moves"])


def shapes(**change):
    row = {"experts": 8, "layers": 5, "down": 8, "across": 5, "finite": True, "spread": 0.2}
    return pd.DataFrame([{"reading": ONE} | row, {"reading": EACH} | row | change])


def over(**other):
    pairs = [(a, b) for a in (ONE, EACH, CONTROL) for b in (*RIVALS, CONTROL) if a != b]
    return leads(pairs, **other)


def moved(**change):
    frozen = {
        "heads": "frozen",
        "learner moves": True,
        "base moves": False,
        "heads move": False,
        "network": True,
    }
    too = frozen | {"heads": "too", "heads move": True}
    rows = [{"reading": ONE} | frozen, {"reading": EACH} | frozen | change]
    return pd.DataFrame([*rows, *({"reading": n} | too for n in (ONE, EACH))])


def timed(card="NVIDIA RTX A6000", millions=10.99, ms=5.3):
    return pd.DataFrame(
        [("x", card, millions, ms, True)], columns=["suite", "card", "millions", "ms", "network"]
    )


def levels(**other):
    return leads([(name, name + TASKS) for name in MAIN], **other)


def signals(**other):
    pairs = [(CONTROL, "AdaMerging"), (CONTROL + TASKS, "AdaMerging" + TASKS)]
    return leads([*pairs, *((name, name + ENTROPY) for name in (ONE, EACH))], **other)


def reached(suite=B32, known=84.5, **percent):
    rows = [
        (suite, n, v, v - 0.5, v + 0.5, known)
        for n, v in ((n, percent.get(n, 85.0)) for n in (ONE, EACH))
    ]
    return pd.DataFrame(rows, columns=["suite", "what", "value", "low", "high", "printed"])


def simplex(free=False, soft=True, **change):
    """Four rows: convex or not, without and with a softmax."""
    good, bad = (0.0004, 0.0, 0.0), (3.0, -1.0, 40.0)
    rows = [
        (softmax, name, *(good if (soft if softmax else free) else bad))
        for softmax in (False, True)
        for name in (ONE, EACH)
    ]
    table = pd.DataFrame(rows, columns=["softmax", "reading", "off", "least", "outside"])
    return table.assign(**change)


def cost():
    return leads([(n, n + SIMPLEX) for n in (ONE, EACH, CONTROL)])


def oracle(free=-5.0, simplex=-15.0):
    rows = [(f"oracle, {n}", v, v - 1, v + 1) for n, v in dict(free=free, simplex=simplex).items()]
    return pd.DataFrame(rows, columns=["what", "value", "low", "high"])


CASES = {
    "stats-weight-averaging-fails-vision": {
        HOLDS: (around(-1.0), printed()),
        CORRECTED: (around(), printed()),
        FAILS: (around(missing=-1.0), printed()),
        UNDECIDED: (around(missing=0.2), printed()),
    },
    "stats-fig1-method-comparison": {
        HOLDS: (methods(),),
        CORRECTED: (methods(**{EACH: False}),),
        FAILS: (methods(AdaMerging=True),),
        UNDECIDED: (methods()[methods().method != EACH],),
    },
    "stats-eq5-layerwise-learner": {
        HOLDS: (shapes(), over()),
        CORRECTED: (shapes(across=1), over()),
        FAILS: (shapes().assign(across=1), over()),
        UNDECIDED: (shapes()[:1], over()),
    },
    "stats-fig2-fig3-pipeline": {
        HOLDS: (moved(),),
        CORRECTED: (moved(**{"heads move": True}),),
        FAILS: (moved().assign(**{"heads move": True}),),
        UNDECIDED: (moved()[moved().reading == ONE],),
    },
    "stats-inference-latency": {
        HOLDS: (timed(),),
        FAILS: (timed(ms=9.0),),
        UNDECIDED: (timed("cpu", 1.0, NAN),),
    },
    "stats-layerwise-beats-taskwise": {
        HOLDS: (levels(),),
        CORRECTED: (levels(**{ONE: -5.0}),),
        FAILS: (levels(**{ONE: -1.0, EACH: -1.0}),),
        UNDECIDED: (levels(AdaMerging=0.4),),
    },
    "stats-teachers-beat-entropy": {
        HOLDS: (signals(),),
        CORRECTED: (signals(**{CONTROL + TASKS: -5.0}),),
        FAILS: (signals(**dict.fromkeys((CONTROL, CONTROL + TASKS, ONE, EACH), -1.0)),),
        UNDECIDED: (signals(**{CONTROL: 0.4}),),
    },
    "stats-vision-plain-accuracies": {
        HOLDS: (reached(), over()),
        CORRECTED: (reached(**{ONE: 80.0}), over()),
        FAILS: (reached(**{ONE: 80.0, EACH: 83.9}), over()),
        UNDECIDED: (reached("mini8", NAN), over()),
    },
    "stats-eq10-simplex": {
        HOLDS: (simplex(free=True), cost()),
        CORRECTED: (simplex(), cost()),
        FAILS: (simplex(soft=False), cost()),
    },
    "stats-linear-merge-ceiling": {HOLDS: (oracle(),), FAILS: (oracle(free=-0.5),)},
}

NEAR = [
    (
        "stats-weight-averaging-fails-vision",
        "the printed average is above the experts",
        UNDECIDED,
        (around(), printed(91.0)),
    ),
    (
        "stats-weight-averaging-fails-vision",
        "perhaps above the base",
        CORRECTED,
        (around(gain=-0.4), printed()),
    ),
    ("stats-fig1-method-comparison", "both ignore", FAILS, (methods(**{ONE: False, EACH: False}),)),
    (
        "stats-fig1-method-comparison",
        "one reading is missing, and another method moves",
        FAILS,
        (methods(AdaMerging=True)[lambda t: t.method != EACH],),
    ),
    (
        "stats-eq5-layerwise-learner",
        "one for all layers",
        FAILS,
        (shapes().assign(spread=0.0), over()),
    ),
    ("stats-eq5-layerwise-learner", "no number", FAILS, (shapes().assign(spread=NAN), over())),
    ("stats-eq5-layerwise-learner", "infinite", FAILS, (shapes().assign(finite=False), over())),
    ("stats-fig2-fig3-pipeline", "the base moves", CORRECTED, (moved(**{"base moves": True}),)),
    (
        "stats-fig2-fig3-pipeline",
        "one learner does not",
        CORRECTED,
        (moved(**{"learner moves": False}),),
    ),
    ("stats-fig2-fig3-pipeline", "two networks", FAILS, (moved().assign(network=False),)),
    ("stats-inference-latency", "another network", UNDECIDED, (timed(millions=87.8),)),
    ("stats-inference-latency", "another card", UNDECIDED, (timed("NVIDIA H100"),)),
    ("stats-inference-latency", "too fast", FAILS, (timed(ms=2.0),)),
    (
        "stats-layerwise-beats-taskwise",
        "a rival is worse by layers",
        FAILS,
        (levels(AdaMerging=-1.0),),
    ),
    (
        "stats-layerwise-beats-taskwise",
        "a rival's single interval alone is below",
        UNDECIDED,
        (levels(AdaMerging=-0.6),),
    ),
    (
        "stats-layerwise-beats-taskwise",
        "one reading excluded, the other open",
        UNDECIDED,
        (levels(**{ONE: -1.0, EACH: 0.2}),),
    ),
    (
        "stats-layerwise-beats-taskwise",
        "the control does not count",
        HOLDS,
        (levels(**{CONTROL: -5.0}),),
    ),
    ("stats-layerwise-beats-taskwise", "no number", UNDECIDED, (levels(half=NAN),)),
    ("stats-layerwise-beats-taskwise", "a rival is missing", UNDECIDED, (levels()[1:],)),
    (
        "stats-teachers-beat-entropy",
        "both learners and by tasks worse",
        UNDECIDED,
        (signals(**{CONTROL + TASKS: -1.0, ONE: -1.0, EACH: -1.0}),),
    ),
    (
        "stats-teachers-beat-entropy",
        "one learner is worse",
        UNDECIDED,
        (signals(**{CONTROL + TASKS: -1.0, ONE: -1.0}),),
    ),
    (
        "stats-teachers-beat-entropy",
        "worse by layers alone",
        UNDECIDED,
        (signals(**{CONTROL: -1.0, ONE: -1.0, EACH: -1.0}),),
    ),
    (
        "stats-teachers-beat-entropy",
        "by tasks it was not run",
        CORRECTED,
        (signals()[signals().what != CONTROL + TASKS],),
    ),
    ("stats-teachers-beat-entropy", "no number", UNDECIDED, (signals(half=NAN),)),
    (
        "stats-teachers-beat-entropy",
        "by layers, uncorrected",
        UNDECIDED,
        (signals(half=0.8, **{CONTROL + TASKS: -5.0}),),
    ),
    (
        "stats-vision-plain-accuracies",
        "both lead, on small networks",
        UNDECIDED,
        (reached("mini8", 84.5), over()),
    ),
    (
        "stats-vision-plain-accuracies",
        "the interval touches the number",
        HOLDS,
        (reached(**{ONE: 84.0}), over()),
    ),
    (
        "stats-eq10-simplex",
        "one weight in a hundred is outside",
        FAILS,
        (simplex(outside=1.0), cost()),
    ),
    ("stats-eq10-simplex", "no softmax was run", FAILS, (simplex()[:2], cost())),
    ("stats-eq10-simplex", "a negative coefficient", FAILS, (simplex(least=-0.01), cost())),
    ("stats-linear-merge-ceiling", "the simplex reaches them", FAILS, (oracle(simplex=0.0),)),
    ("stats-linear-merge-ceiling", "no number", FAILS, (oracle(free=NAN),)),
]

SAID = {
    ("stats-weight-averaging-fails-vision", CORRECTED): {
        "gain.value": 10,
        "missing.low": 19.5,
        "printed.0.Average": 65.8,
    },
    ("stats-fig1-method-comparison", CORRECTED): {"reading": "one network for all layers"},
    ("stats-eq5-layerwise-learner", CORRECTED): {"reading": "one network for all layers"},
    ("stats-fig2-fig3-pipeline", CORRECTED): {"reading": "one network for all layers"},
    ("stats-fig1-method-comparison", HOLDS): {"moved": f"{ONE}, {EACH}", "rows.2.numbers": 513},
    ("stats-eq5-layerwise-learner", HOLDS): {"experts": 8, "layers": 5, "control.value": 1},
    ("stats-layerwise-beats-taskwise", CORRECTED): {
        "reading": "one network a layer",
        "count": 5,
        "rows.0.lead.low": 0.5,
    },
    ("stats-vision-plain-accuracies", CORRECTED): {
        "reading": "one network a layer",
        "rows.0.percent.value": 80,
        "rows.1.said": "leads both rivals",
        "rows.1.control.value": 1,
    },
    ("stats-eq10-simplex", CORRECTED): {"off": 3, "least": -1, "rows.1.lead.value": 1},
    ("stats-linear-merge-ceiling", HOLDS): {"free.value": -5, "simplex.high": -14},
}

ORDERED = set()
