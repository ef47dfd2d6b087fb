"""Claims about greedy soups: their promise, and collapses that they repair (page 04l)."""

import pandas as pd

from mergebook.ch4.gaps import over_starts
from mergebook.claims import Outcome, claim
from mergebook.intervals import of_mean
from mergebook.weighing import weighed

Table = pd.DataFrame
TEXT = "best first"  # the rule that the text cites
SLACK = 1e-3  # of rounded scores
FAR, NEAR = 10.0, 2.0  # points below single models: a collapse; repaired
PRINTED = ("PathMNIST", "Celeba")
TEN = 10


@claim("rethink-greedy-at-least-best-model")
def at_least_the_best(selection: Table, promised: Table, printed: Table) -> Outcome:
    """Greedy soups are never below the best model: where they are selected, and on new images.

    Nor below the mean single model in print. Corrected: where they are selected. Fails: not there.
    """
    cited = promised[promised.rule == TEXT]
    new = selection[selection.how.isin(["divided", "in order"])]
    short = int((printed.greedy < printed.single).sum())
    at = selection[selection.how == "divided"].groupby(["network", "images"], sort=False)
    dealt = selection[selection.how == "shuffled labels"]
    values = {
        "groups": len(cited),
        "least": cited.validation.min(),
        "rows": [
            {"network": n, "images": k, "below": part.below.mean(), "gain": of_mean(part.gain)}
            for (n, k), part in at
        ],
        "short": short,
        "of": len(printed),
        "rules": [
            {"rule": rule, "validation": part.validation.min(), "test": part.test.mean()}
            for rule, part in promised.groupby("rule", sort=False)
        ],
        "shuffled": dealt.below.mean(),
        "starts": selection.seed.nunique(),
    }
    if not len(cited) or not len(new) or cited.validation.isna().any() or new.below.isna().any():
        return Outcome(None, values=values)
    kept = bool((cited.validation > -SLACK).all())
    never = bool((new.below == 0).all()) and short == 0
    return Outcome(kept and never, kept, values)


@claim("rethink-pathmnist-celeba-collapse")
def collapse_repaired(printed: Table, tasks: Table) -> Outcome:
    """Printed uniform soups collapse on both data sets and greedy ones do not; here alike.

    "By selecting the best models": greedy soups hold two models or more on most collapsed tasks.
    Corrected: they hold one. Fails: printed it is not so, or on most collapsed tasks here greedy
    soups clearly stay collapsed.
    """
    ten = printed[(printed.models == TEN) & printed["data"].isin(PRINTED)].set_index("data")
    fell = (ten.uniform < ten.single - FAR).all() and len(ten) == len(PRINTED)
    there = bool(fell and (ten.greedy > ten.single - NEAR).all())
    number = max(1, tasks.task.nunique())
    found = over_starts(tasks, "gain", number, "task")
    collapsed = [n for n, x in found.items() if x.high < -FAR]
    greedy = over_starts(tasks, "greedy gain", number, "task")
    kept = tasks.groupby("task", sort=False).kept.mean()
    repaired = [n for n in collapsed if greedy[n].low > -FAR]
    still = [n for n in collapsed if greedy[n].high < -FAR]
    several = [n for n in collapsed if kept[n] >= 2]
    alone = [n for n in collapsed if kept[n] < 1.5]
    values = {
        "printed": [
            {"data": n, "uniform": row.uniform, "greedy": row.greedy, "single": row.single}
            for n, row in ten.sort_index().iterrows()
        ],
        "rows": [
            {"task": n, "gain": x, "greedy": greedy[n], "kept": kept[n]} for n, x in found.items()
        ],
        "collapsed": ", ".join(collapsed) or "none",
        "number": len(collapsed),
        "tasks": len(found),
        "starts": tasks.seed.nunique(),
        "intervals": 2 * number,
    }
    half = len(collapsed) / 2
    fine = there and bool(collapsed) and len(repaired) == len(collapsed)
    against = not there or (bool(collapsed) and len(still) > half)
    return weighed(fine and len(several) > half, against, fine and len(alone) > half, values)
