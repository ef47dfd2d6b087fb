"""Claims about repairs for images (evidence page 05d)."""

import numpy as np
import pandas as pd
from scipy import stats

from mergebook.ch5.asking import FT, HEAD, answers, gains
from mergebook.ch5.encoders import BASE, MERGES
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import weighed

Table = pd.DataFrame
N = len(MERGES)
MANY = 40  # classes; the paper's image tasks have 10 to 397
ONE_PERCENT = 19  # of the smallest of its test sets, 1,880 images (DTD, as usually split)


def numbers(asked: Table) -> list[int]:
    """The numbers of inputs that trained a repair whatever their class, in order."""
    found = asked[asked.amount.str.startswith("n=")].amount.str[2:].astype(int)
    return sorted(found.unique())


def at(part: Table, m: str, n: int, split: str, among: int = 1) -> Interval:
    """What FT-Classifier gains with so many inputs from a split."""
    return gains(part, m, FT, f"n={n}", split, among=among)


@claim("ftc-fig7-cv")
def gains_at_every_rate(asked: Table) -> Outcome:
    """Drawn from the scored inputs, as the paper does, or from others, FT-Classifier clearly gains
    for every merge at every rate, in every suite of images.

    Corrected: from some number of inputs on, drawn from others. Fails: with the most inputs some
    merge clearly loses, in every suite.
    """
    images, ns = asked[~asked.texts], numbers(asked)
    clear, lost, rows = {}, [], []
    for suite, part in images.groupby("suite"):
        worse = []
        for split in ("test", "train"):
            found = {n: [at(part, m, n, split, N * len(ns)) for m in MERGES] for n in ns}
            clear |= {(suite, split, n): all(x.above for x in xs) for n, xs in found.items()}
            worse += [x.below for x in found[ns[-1]]]
            for n, xs in found.items():
                row = {"suite": suite, "split": split, "n": n, "least": min(xs), "most": max(xs)}
                rows.append(row | {"base": at(part, BASE, n, split)})
        lost.append(any(worse))
    held = {
        n: [ok for (_, split, k), ok in clear.items() if split == "train" and k == n] for n in ns
    }
    good = [n for n in ns if all(all(held[k]) for k in ns if k >= n) and held[n]]
    values = {"rows": rows, "first": good[0] if good else 0}
    holds = bool(clear) and all(clear.values())
    return weighed(holds, bool(lost) and all(lost), bool(good), values)


@claim("ftc-cv-needs-more-samples")
def fewer_for_many_classes(asked: Table) -> Outcome:
    """With five samples a class the gain clearly falls with the number of classes, over image tasks
    with up to forty classes or more. Fails: it clearly rises. Open with fewer classes.
    """
    rows, falls, rises, wide = [], [], [], []
    for suite, part in asked[~asked.texts].groupby("suite"):
        five = part[(part.way == FT) & (part.amount == "k=5") & (part.model == MERGES[0])]
        classes = five.sort_values("task").used.to_numpy() / 5
        gain = np.mean(
            [
                [
                    100 * (x.mean() - y.mean())
                    for x, y in zip(answers(part, m, FT, "k=5"), answers(part, m, HEAD))
                ]
                for m in MERGES
            ],
            axis=0,
        )
        fit = stats.linregress(np.log2(classes), gain)
        half = stats.t.ppf(0.975, len(gain) - 2) * fit.stderr
        slope = Interval(fit.slope, fit.slope - half, fit.slope + half)
        rows.append({"suite": suite, "slope": slope, "tasks": len(gain)})
        rows[-1] |= {"fewest": int(classes.min()), "most": int(classes.max())}
        falls.append(slope.below)
        rises.append(slope.above)
        wide.append(classes.max() >= MANY)
    scope = bool(wide) and all(wide)
    return weighed(scope and all(falls), scope and all(rises), values={"rows": rows})


@claim("ftc-one-percent-suffices")
def one_percent(asked: Table) -> Outcome:
    """With the smallest rate above one per cent of the test inputs FT-Classifier clearly gains for
    every merge, where one per cent is as many inputs as of the paper's smallest test set.

    Fails: some merge clearly loses there, in every such suite.
    """
    good, bad, rows = [], [], []
    for suite, part in asked[~asked.texts].groupby("suite"):
        inputs = answers(part, BASE, HEAD)[0].shape[1]
        n = min(n for n in numbers(part) if n > inputs / 100)
        found = [at(part, m, n, "train", N) for m in MERGES]
        counts = inputs >= 100 * ONE_PERCENT
        rows.append({"suite": suite, "n": n, "inputs": inputs, "percent": 100 * n / inputs})
        rows[-1] |= {"least": min(found), "most": max(found)}
        rows[-1]["counts"] = "counted" if counts else "not counted"
        if counts:
            good += [x.above for x in found]
            bad.append(any(x.below for x in found))
    shown, against = (bool(x) and all(x) for x in (good, bad))
    return weighed(shown, against, values={"rows": rows})
