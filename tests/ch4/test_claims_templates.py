"""Made-up tables for the claims about templates (page 04b)."""

import pandas as pd
from tables import NAN, frame, packed

from mergebook.ch4.clarity import DIGITS
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

TASKS, SEEDS = ("a", "b"), (0, 1)


def around(value, spread=0.01, n=6):
    return [value + spread * (-1) ** i for i in range(n)]


def linear(
    own=0.9,
    rival=0.1,
    displayed=0.8,
    best=99,
    plain=99,
    closer=100,
    first=0.7,
    second=0.7,
    third=0.1,
    spread=0.01,
    n=1000,
):
    """Rows of two tasks and two repetitions; answers in percent."""
    lists = {"own": own, "rival": rival, "displayed": displayed}
    lists |= {"first": first, "second": second, "third": third}
    row = {name: around(value, spread) for name, value in lists.items()}
    shares = {"best": best, "plain": plain, "closer": closer, "right": 60}
    row |= {name: packed(round(v * n / 100), n) for name, v in shares.items()}
    row |= {"lengths": [1.0, 2.0], "left": around(0.7), "formula": around(0.7)}
    rows = [
        row | {"models": "m", "task": t, "recipe": "released", "decay": 0.1, "seed": s}
        for t in TASKS
        for s in SEEDS
    ]
    return pd.DataFrame(rows)


def controls():
    parts = [linear().assign(decay=0.0)]
    parts += [linear().assign(recipe=name) for name in ("shuffled", "Fisher")]
    return pd.concat(parts, ignore_index=True)


def aligned(chance=100, **given):
    """Rows, and the control: how many of random images have the winner closer than most."""
    random = {"task": TASKS, "rows": 2, "best": [80.0, 90.0], "plain": 85.0}
    return linear(**given), frame(**random, closer=[100.0, chance])


def pictures(**given):
    return linear(**given), controls()


def blends(**given):
    return linear(**given), frame(first=[around(0.7)], second=[around(0.7)], third=[around(0.1)])


def faded(either=80, averaged=60, restored=60, left=0.7, formula=0.7, soup=62, n=1000):
    shares = {"either": either, "averaged": averaged, "restored": restored}
    shares |= {"one": 60, "two": 60, "soup": soup, "soup_restored": soup}
    row = {name: packed(round(v * n / 100), n) for name, v in shares.items()}
    row |= {"left": around(left), "formula": around(formula), "halves_left": around(0.9)}
    return (pd.DataFrame([row | {"task": t, "seed": s} for t in TASKS for s in SEEDS]),)


def mixed(layer=1e-14, soup=0.1, own=0.9, member=0.2, averaged=0.43, mixup=0.27, spread=0.001):
    """Three repetitions of both starts."""
    rows = []
    for start, far in (("one", soup), ("own", own)):
        for i in range(3):
            e = spread * (i - 1)
            row = {"layer": layer, "soup": far + e, "member": member, "departure_single": 0.44}
            row |= {"departure_averaged": averaged + e, "departure_mixup": mixup}
            row |= {f"accuracy_{k}": 90.0 for k in ("single", "averaged", "mixup")}
            rows.append(row | {"start": start, "passes": 8, "seed": i})
    return (pd.DataFrame(rows),)


def clear(
    images=(0.01, 0.01),
    shift=(-0.03, -0.3),
    classes=(0.1, 0.05),
    tiny=500,
    cifar=600,
    spread=0.001,
    epochs=None,
):
    """Changes of clarity and contrast from the first level to the last, four draws.

    With equal steps, and with equal epochs, where classes have the change `epochs` if it is given.
    """
    kinds = {(DIGITS, "images"): images, (DIGITS, "shift"): shift}
    kinds |= {(t, "classes"): classes for t in TASKS}
    kinds = {(equal, *k): v for equal in ("steps", "epochs") for k, v in kinds.items()}
    if epochs:
        kinds |= {("epochs", t, "classes"): epochs for t in TASKS}
    rows = []
    for (equal, task, change), (clarity, contrast) in kinds.items():
        for draw in range(4):
            e = spread * (-1) ** draw
            for level, part in ((1, 0.0), (2, 0.5), (3, 1.0)):
                row = {"clarity": 0.8 + part * (clarity + e), "apparent": 0.5}
                row |= {"contrast": 0.5 + part * (contrast + e), "draw": draw}
                row |= {"equal": equal, "task": task, "change": change}
                rows.append(row | {"level": level})
    sizes = frame(
        dataset=["CIFAR-100", "TinyImageNet"], images=[100 * cifar, 200 * tiny], classes=[100, 200]
    )
    return pd.DataFrame(rows), sizes, linear(), linear(own=0.5)


RESEMBLE, BEST = (
    "rethink-templates-resemble-class-means",
    "rethink-highest-activation-is-best-template",
)
VISIBLE, FADE = "rethink-fig2-fig10-merged-templates", "rethink-merged-templates-fade"
MIXUP, IMAGES = "rethink-mixup-analogy", "rethink-mixup-on-images"
FIG6 = "rethink-fig6-tinyimagenet-less-clear"
CHANCE = frame(task=TASKS, rows=2, best=50.0, plain=50.0, closer=60.0)

CASES = {
    RESEMBLE: {
        HOLDS: pictures(),
        CORRECTED: pictures(displayed=0.4),
        FAILS: pictures(own=0.3, displayed=0.2),
        UNDECIDED: pictures(own=0.5, displayed=0.2, spread=0.1),
    },
    BEST: {
        HOLDS: aligned(),
        CORRECTED: (linear(best=80), CHANCE),
        FAILS: aligned(best=80, plain=85, closer=90),
        UNDECIDED: aligned(best=80),
    },
    VISIBLE: {
        HOLDS: blends(),
        FAILS: blends(first=0.3, second=0.3),
        UNDECIDED: blends(first=0.5, second=0.5, spread=0.05),
    },
    FADE: {
        HOLDS: faded(restored=75),
        CORRECTED: faded(),
        FAILS: faded(left=1.0),
        UNDECIDED: faded(restored=70),
    },
    MIXUP: {
        HOLDS: mixed(own=0.1),
        CORRECTED: mixed(),
        FAILS: mixed(layer=0.5, soup=0.4),
        UNDECIDED: mixed(soup=0.2, spread=0.01),
    },
    IMAGES: {HOLDS: mixed(), FAILS: mixed(averaged=0.3)},
    FIG6: {
        HOLDS: clear(images=(-0.1, -0.1), classes=(-0.1, -0.1)),
        CORRECTED: clear(),
        FAILS: clear(shift=(0.05, 0.05)),
        UNDECIDED: clear(classes=(0.1, 0.05), spread=0.2),
    },
}

NEAR = [
    (RESEMBLE, "rows that match another class", FAILS, pictures(rival=0.95, displayed=0.2)),
    (RESEMBLE, "not drawn alike, but nearest to another", UNDECIDED, pictures(rival=0.95)),
    (RESEMBLE, "no number", UNDECIDED, pictures(own=NAN)),
    (BEST, "best only without the bias", UNDECIDED, aligned(best=80, plain=99)),
    (BEST, "random rows in one task alone", UNDECIDED, aligned(chance=50, best=80)),
    (BEST, "just at the bound", UNDECIDED, (linear(best=95, plain=95, closer=95), CHANCE)),
    (VISIBLE, "one parent alone", FAILS, blends(first=0.95, second=0.05)),
    (VISIBLE, "no number", UNDECIDED, blends(first=NAN)),
    (FADE, "nothing lost", UNDECIDED, faded(either=60)),
    (FADE, "averages answer more", FAILS, faded(either=50)),
    (FADE, "no number", UNDECIDED, faded(left=NAN)),
    (MIXUP, "as far as its members", UNDECIDED, mixed(soup=0.2)),
    (MIXUP, "not exact, yet near", UNDECIDED, mixed(layer=0.5)),
    (IMAGES, "just half", FAILS, mixed(averaged=0.355)),
    (IMAGES, "one repetition", FAILS, (mixed()[0].query("seed == 0"),)),
    (MIXUP, "no number", UNDECIDED, mixed(layer=NAN)),
    (FIG6, "only images count", CORRECTED, clear(images=(0.05, 0.0), tiny=700)),
    (FIG6, "more images of a class, fainter", UNDECIDED, clear(images=(-0.1, -0.1), tiny=700)),
    (FIG6, "clearer by equal steps alone", UNDECIDED, clear(epochs=(-0.02, 0.03))),
    (FIG6, "fainter by equal steps alone", UNDECIDED, clear(classes=(-0.1, -0.1), epochs=(0.1, 0))),
    (FIG6, "shifts leave contrast alone", UNDECIDED, clear(shift=(-0.03, 0.0))),
    (FIG6, "no number", UNDECIDED, clear(classes=(NAN, NAN))),
]

SAID = {
    (RESEMBLE, HOLDS): {"own.least.value": 0.9, "lead.most.value": 0.8, "intervals": 6},
    (BEST, CORRECTED): {"best.least.value": 80, "closer.most.value": 100, "long": 2.0},
    (BEST, UNDECIDED): {"luck": 80, "luckiest": 90, "chance": 100},
    (VISIBLE, HOLDS): {"kept.value": 0.7, "lead.value": 0.6, "pairs": 12, "random": 0.7},
    (FADE, CORRECTED): {"lost.value": 20, "back.value": 0, "merged.value": 2, "halves": 0.9},
    (MIXUP, CORRECTED): {"near.value": 0.1, "apart.value": -0.7, "own_soup": 0.9},
    (IMAGES, HOLDS): {"share.value": 0.01 - 0.085, "mixup": 0.27},
    (FIG6, CORRECTED): {
        "draws": 4,
        "intervals": 16,
        "tiny": 500,
        "cifar": 600,
        "before": 0.9,
        "after": 0.5,
        "lower": 2,
    },
}

ORDERED: set[str] = set()
