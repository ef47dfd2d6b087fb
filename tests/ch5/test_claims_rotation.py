"""Made-up tables for the claims of page 05c; `tests/test_deciders.py` says what they are for."""

import pandas as pd
from tables import packed

from mergebook.ch5 import turning
from mergebook.ch5.encoders import AGAIN, BASE, MERGES
from mergebook.ch5.maps import FAMILIES
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED
from mergebook.protocols import EXPERT

TASKS, FEWER = "klmn", "klm"
SIZES = {"cka": 0.002, "shared": 0.002, "shift": 0.002, "silhouette": 0.002}
NAMES = ("told", "shift", "cka", "shared", "under_head", "silhouette", "five", "probe")


def features(suite, tasks=TASKS, **models):
    """Numbers of every model on every task, a little different from task to task.

    A model's numbers have the order of `NAMES`; underscores stand for blanks.
    """
    out = []
    for place, (model, numbers) in enumerate(models.items()):
        for i, task in enumerate(FEWER if model == AGAIN else tasks):
            row = {"suite": suite, "model": model, "task": task}
            for name, number in zip(NAMES, numbers):
                jitter = SIZES.get(name, 0.2) * (1 + place / 10)
                row[name] = number + jitter * (-1) ** (i + place)
            out.append(row)
    return out


def apart(
    told=99.0, again=85.0, shift=0.5, accurate=90.0, control=True, heads=(70, 78, 80), **more
):
    """Two suites; the first has a second fine-tuning. `more`: `cka`, `shared`, `other_told`."""
    cka, shared = more.get("cka", 0.95), more.get("shared", 0.4)
    tables = []
    for suite in "ab":
        own = more.get("other_told", told) if suite == "b" else told
        merges = {m: (own, shift, cka, shared, head, 0, 0, 0) for m, head in zip(MERGES, heads)}
        rest = {BASE: (99, 0.5, 0.3, 0.1, 60, 0, 0, 0), EXPERT: (50, 0, 1, 1, 90, 0, 0, 0)}
        second = {AGAIN: (again, 0.2, 0.95, 0.4, accurate, 0, 0, 0)} if suite == "a" else {}
        tables += features(suite, **merges, **rest, **(second if control else {}))
    return pd.DataFrame(tables)


def clusters(merges=(84.0, 84.0, 84.0), base=60.0, expert=86.0, probes=None, silhouette=0.28):
    """Neighbours and probes have one number, unless `probes` says another."""
    out = []
    for suite in "ab":
        numbers = {
            m: (0, 0, 0, 0, 0, silhouette, five, probe)
            for m, five, probe in zip(MERGES, merges, probes or merges)
        }
        ends = {BASE: (0.0, base), EXPERT: (0.3, expert)}
        numbers |= {m: (0, 0, 0, 0, 0, s, n, n) for m, (s, n) in ends.items()}
        out += features(suite, **numbers)
    return pd.DataFrame(out)


def maps(turn=0.1, linear=0.095, base=0.3, again=0.1, moved=0.4, gain=5.0):
    """Errors of maps: `moved` by means and scales; `gain`: points by a rotation."""
    out = []
    for suite in "ab":
        for model in (*MERGES, BASE, AGAIN):
            of = {BASE: base, AGAIN: again}.get(model, turn)
            errors = {"linear": linear, "rotation": of, "rotation alone": of, "similarity": of}
            for family in FAMILIES:
                for i, task in enumerate(FEWER if model == AGAIN else TASKS):
                    right = 70 + gain * (family in errors) + 0.2 * (-1) ** (i + (family in errors))
                    row = {"suite": suite, "model": model, "task": task, "family": family}
                    row |= {"mixed": False, "error": errors.get(family, moved), "se": 0.002}
                    out.append(row | {"repaired": right})
    return pd.DataFrame(out)


def turned(exact=358, old=75.0, defect=0.001, long=357, stretched=358, few=320, **more):
    """Right answers of 400, of two suites; the first has controls. A free M has 360 of them.

    `more`: `random`, the answers of a random head that is turned; `base`, those of the base.
    """
    out = []
    for suite in "ab":
        for model in (*MERGES, BASE):
            own = more.get("base", 358) if model == BASE else exact
            kinds = {
                (turning.FREE, 0.0, "", 100): 360,
                (turning.EXACT, 0.0, "", 100): own,
                (turning.RANDOM_HEAD, 0.0, "", 100): more.get("random", own - 1),
                (turning.NEW_HEAD, 0.0, "", 100): 360,
                (turning.PENALISED, 0.1, "", 100): 340,
            }
            if suite == "a" and model != BASE:
                kinds |= {
                    (turning.PENALISED, 0.1, "", 1000): long,
                    (turning.FREE, 0.0, turning.STRETCHED, 100): 360,
                    (turning.EXACT, 0.0, turning.STRETCHED, 100): stretched,
                    (turning.NEW_HEAD, 0.0, turning.SCRAMBLED, 100): 360,
                    (turning.FEW, 0.0, turning.SCRAMBLED, 100): few,
                    (turning.FEW, 0.0, "", 100): 350,
                }
            for (kind, alpha, through, steps), right in kinds.items():
                before = {turning.SCRAMBLED: 10.0, turning.STRETCHED: 20.0}.get(through, old)
                for i, task in enumerate(TASKS):
                    row = {"suite": suite, "model": model, "task": task, "kind": kind}
                    row |= {"alpha": alpha, "through": through, "train_steps": steps}
                    row |= {"right": [packed(right, 400)] * 2, "defect": defect, "cka": 0.9}
                    out.append(row | {"old_head": before + 0.5 * (-1) ** i})
    return pd.DataFrame(out)


CASES = {
    "ftc-representation-shift": {
        HOLDS: (apart(),),
        CORRECTED: (apart(told=85.0, again=99.0),),
        FAILS: (apart(told=52.0),),
        UNDECIDED: (apart(told=85.0),),
    },
    "ftc-clusters-look-alike": {
        HOLDS: (apart(), clusters()),
        CORRECTED: (apart(), clusters(base=83.0, expert=95.0)),
        FAILS: (apart(), clusters((60.0, 70.0, 84.0))),
        UNDECIDED: (apart(heads=(78, 79, 80)), clusters()),
    },
    "ftc-figs8-10-tsne": {
        HOLDS: (clusters(),),
        FAILS: (clusters((61.0, 61.0, 61.0), silhouette=0.02),),
        UNDECIDED: (clusters(silhouette=0.02),),
    },
    "ftc-manifold-preserved": {
        HOLDS: (apart(), maps()),
        FAILS: (apart(cka=0.5, shared=0.1), maps(turn=0.5)),
        UNDECIDED: (apart(), maps(turn=0.5)),
    },
    "ftc-shift-decomposition": {HOLDS: (maps(),), FAILS: (maps(moved=0.1),)},
    "ftc-misalignment-is-orthogonal": {
        HOLDS: (maps(), turned()),
        CORRECTED: (maps(turn=0.3), turned()),
        FAILS: (maps(turn=0.3), turned(exact=320)),
        UNDECIDED: (maps(turn=0.3), turned(old=89.0)),
    },
    "ftc-table2-orthogonal-vs-free": {
        HOLDS: (turned(),),
        FAILS: (turned(exact=320),),
        UNDECIDED: (turned(old=89.0),),
    },
    "ftc-eq9-orthogonal-penalty": {
        HOLDS: (turned(),),
        CORRECTED: (turned(long=320),),
        FAILS: (turned(long=320, exact=320),),
        UNDECIDED: (turned(long=352, exact=352),),
    },
    "ftc-orthogonal-acts-on-class-directions": {
        HOLDS: (turned(stretched=320, random=300, base=300),),
        FAILS: (turned(),),
        UNDECIDED: (turned(stretched=350),),
    },
    "ftc-few-samples-simple-map": {
        HOLDS: (turned(few=60),),
        FAILS: (turned(),),
        UNDECIDED: (turned(few=200),),
    },
}

NEAR = [
    ("ftc-representation-shift", "no control", UNDECIDED, (apart(control=False),)),
    ("ftc-representation-shift", "a weak control", UNDECIDED, (apart(accurate=80.0),)),
    ("ftc-representation-shift", "in one suite", UNDECIDED, (apart(other_told=52.0),)),
    ("ftc-representation-shift", "no more than again", CORRECTED, (apart(again=98.0, shift=0.2),)),
    ("ftc-representation-shift", "farther means", HOLDS, (apart(again=98.0),)),
    (
        "ftc-clusters-look-alike",
        "alike by neighbours only",
        UNDECIDED,
        (apart(), clusters(probes=(60.0, 70.0, 84.0))),
    ),
    ("ftc-manifold-preserved", "no control", UNDECIDED, (apart(control=False), maps())),
    ("ftc-manifold-preserved", "far, but alike", UNDECIDED, (apart(cka=0.5), maps(turn=0.5))),
    ("ftc-shift-decomposition", "no more answers", FAILS, (maps(gain=0.0),)),
    (
        "ftc-misalignment-is-orthogonal",
        "as near for the base",
        CORRECTED,
        (maps(base=0.1), turned()),
    ),
    ("ftc-misalignment-is-orthogonal", "not the answers", UNDECIDED, (maps(), turned(exact=320))),
    ("ftc-table2-orthogonal-vs-free", "at the bound", UNDECIDED, (turned(exact=350),)),
    ("ftc-eq9-orthogonal-penalty", "not orthogonal", CORRECTED, (turned(defect=0.5),)),
    ("ftc-eq9-orthogonal-penalty", "nothing to repair", UNDECIDED, (turned(old=89.0),)),
    (
        "ftc-orthogonal-acts-on-class-directions",
        "not for the base",
        UNDECIDED,
        (turned(stretched=320, random=300),),
    ),
]

SAID = {
    ("ftc-representation-shift", HOLDS): {
        "rows.0": {"suite": "a", "least": 99, "shift_high": 0.5},
        "controls.0": {"suite": "a", "tasks": 3},
    },
    ("ftc-clusters-look-alike", HOLDS): {"rows.1": {"gap": 10, "base": 60, "expert": 86}},
    ("ftc-figs8-10-tsne", HOLDS): {"rows.0": {"good": 9, "bad": 0, "places": 9}},
    ("ftc-manifold-preserved", FAILS): {"rows.0": {"most": 0.5, "again": 0.1, "tasks": 3}},
    ("ftc-shift-decomposition", HOLDS): {
        "rows.0": {"rotation_min": 75, "translation_max": 0, "points_min": 5}
    },
    ("ftc-misalignment-is-orthogonal", CORRECTED): {
        "rows.0": {"turn_low": 0.3, "ratio_high": 0.3 / 0.095, "base": 0.3},
        "drops.0.lost.value": 0.5,
    },
    ("ftc-table2-orthogonal-vs-free", HOLDS): {
        "rows.0.lost.value": 0.5,
        "alone.0": {"least": 15, "counts": "counted"},
    },
    ("ftc-table2-orthogonal-vs-free", UNDECIDED): {"alone.1": {"counts": "not counted"}},
    ("ftc-eq9-orthogonal-penalty", HOLDS): {"rows.0.lost.value": 0.75, "brief.0.lost.value": 5},
    ("ftc-orthogonal-acts-on-class-directions", FAILS): {
        "rows.2.lost.value": 0.5,
        "bases.1.lost.value": 0.5,
        "heads.0": {"least": 0.25, "most": 0.25},
    },
    ("ftc-few-samples-simple-map", FAILS): {
        "rows.0": {"old": 10, "few": 80, "many": 90, "own": 87.5, "own_old": 75}
    },
}
ORDERED = set()
