"""Made-up answers to a few inputs, and of repairs on halves, for the claims of Chapter 5."""

import pandas as pd
from tables import packed

from mergebook.ch5 import asking
from mergebook.ch5.encoders import BASE, MERGES, OTHERS
from mergebook.protocols import EXPERT

TASKS, INPUTS = "klmn", 400
OLD = (asking.HEAD, "", "train")
# Right answers of 400 of each merge, of the base and of the expert, by (way, amount, split).
RIGHT = {
    OLD: (280, 160, 360),
    (asking.FT, "k=5", "train"): (330, 175, None),
    (asking.FT, "k=1", "train"): (300, 165, None),
    (asking.ANCHORS, "k=5", "train"): (310, 200, 340),
    (asking.PROTOTYPE, "k=5", "train"): (310, 200, 340),
    (asking.VOTE, "k=5", "train"): (310, 200, 340),
    (asking.LABELS, "k=5", "train"): (315, 172, None),
    (asking.FT, "u=5", "train"): (330, None, None),
    (asking.FT, "i=5", "train"): (320, None, None),
    (asking.FT, "u=5", "test"): (330, None, None),
}
KEYS = {
    "head": OLD,
    "ft": (asking.FT, "k=5", "train"),
    "one": (asking.FT, "k=1", "train"),
    "anchors": (asking.ANCHORS, "k=5", "train"),
    "prototype": (asking.PROTOTYPE, "k=5", "train"),
    "vote": (asking.VOTE, "k=5", "train"),
    "labels": (asking.LABELS, "k=5", "train"),
    "uniform": (asking.FT, "u=5", "train"),
    "test": (asking.FT, "u=5", "test"),
}


def asked(suites=("a", "b", "c"), spread=0, even=0.0, others=None, first=None, **counts):
    """Suites of texts `a`, where the base is at guessing, and `c`, where it is not; of images, `b`.

    `counts`: right answers of the merges by the names of `KEYS`, and of the base by `base_NAME`;
    `spread`: by how many FT-Classifier's draws go up and down; `even`: of draws that ignore
    classes; `others`: right answers of the other tasks' experts after the repair; `first`: the
    first merge under its heads.
    """
    right = dict(RIGHT)
    for name, count in counts.items():
        key, base = KEYS[name.removeprefix("base_")], name.startswith("base_")
        own, other, top = right[key]
        right[key] = (own, count, top) if base else (count, other, top)
    rows = []
    for suite in suites:
        for (way, amount, split), (own, base, top) in right.items():
            by_model = dict.fromkeys(MERGES, own) | {BASE: base, EXPERT: top}
            if first is not None and way == asking.HEAD:
                by_model[MERGES[0]] = first
            if suite == "c" and way == asking.HEAD:
                by_model[BASE] = 250
            if others is not None and (way, amount) in ((asking.HEAD, ""), (asking.FT, "k=5")):
                by_model[OTHERS] = 200 if way == asking.HEAD else others
            for model, count in by_model.items():
                if count is None or (split == "test" and model not in MERGES):
                    continue
                moved = spread if (way, amount) == (asking.FT, "k=5") else 0
                draws = 1 if way == asking.HEAD else 5
                texts = [packed(count + moved * (-1) ** d, INPUTS) for d in range(draws)]
                for task in TASKS:
                    row = {"suite": suite, "model": model, "task": task, "way": way}
                    row |= {"amount": amount, "split": split, "right": texts, "guess": 40.0}
                    row |= {"used": 25, "even": 1.0 if amount.startswith("k") else even}
                    rows.append(row | {"texts": suite != "b"})
    return pd.DataFrame(rows)


def leaked(own=355, other=310, old=280, expert=360, suites=("a", "b"), base=200, **more):
    """Right answers of 400 after repairs on halves. `more`: `first`, (own, other) of the first
    merge; `second`, of the second; `curve`, leads on 400 more inputs by amount.
    """
    rows = []
    for suite in suites:
        for model in (*MERGES, BASE):
            of = {MERGES[0]: more.get("first"), MERGES[1]: more.get("second")}.get(model)
            mine, others = of or ((base, base) if model == BASE else (own, other))
            for way in (asking.ALIGNED, asking.FT):
                for task in TASKS:
                    row = {"suite": suite, "model": model, "task": task, "way": way}
                    row |= {"amount": 200, "split": "test", "width": 128}
                    parts = {"own": mine, "other": others, "old": old, "expert": expert}
                    rows.append(row | {name: packed(n, INPUTS) for name, n in parts.items()})
    for amount, lead in more.get("curve", {}).items():
        row = {"suite": "a", "model": MERGES[0], "task": "k", "way": asking.FT, "width": 128}
        parts = {"own": 300 + lead, "other": 300, "old": 280, "expert": 360}
        row |= {name: packed(n, INPUTS) for name, n in parts.items()}
        rows.append(row | {"amount": amount, "split": "train"})
    return pd.DataFrame(rows)
