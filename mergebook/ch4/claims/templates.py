"""Claims of the first perspective: weights of linear classifiers as templates (page 04b)."""

import numpy as np
import pandas as pd

from mergebook.ch4.clarity import DIGITS
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval, of_mean, of_runs
from mergebook.studies import unpack_answers
from mergebook.weighing import below, weighed

Table = pd.DataFrame
RESEMBLES, ALIGNED, VISIBLE, FADED = 0.5, 95.0, 0.5, 0.95


def by_task(table: Table, value) -> dict[str, np.ndarray]:
    """`value(row)`, a list, of each task, the mean over repetitions."""
    parts = table.groupby("task", sort=True)
    return {task: np.mean([value(row) for _, row in p.iterrows()], axis=0) for task, p in parts}


def task_intervals(table: Table, value, among: int = 1) -> dict[str, Interval]:
    """The mean of `by_task` over classes or pairs, with its interval."""
    return {task: of_mean(values, among) for task, values in by_task(table, value).items()}


def least_and_most(found: dict[str, Interval]) -> dict[str, Interval]:
    """The tasks with the smallest and the largest value."""
    order = sorted(found.values())
    return {"least": order[0], "most": order[-1]}


def answered_by(table: Table, field: str) -> list[np.ndarray]:
    """Packed answers: for each task (repetitions, inputs)."""
    return [
        np.array([unpack_answers({"": text})[""] for text in part.sort_values("seed")[field]])
        for _, part in table.groupby("task", sort=True)
    ]


def mean_of(table: Table, field: str) -> float:
    """The mean of a column of lists, over classes or pairs, repetitions and tasks."""
    return float(np.mean([np.mean(v) for v in table[field]])) if len(table) else float("nan")


def of_share(answers: np.ndarray, among: int = 1) -> Interval:
    """The percentage of right answers of one task, over repetitions and inputs."""
    return Interval(*(100 + v for v in of_runs([answers], [np.ones_like(answers)], among)))


@claim("rethink-templates-resemble-class-means")
def resembles(released: Table, controls: Table) -> Outcome:
    """In every task rows correlate above 0.5 with their class's average image, most with it.

    Corrected: they do if the mean of all classes is taken from both, but not as they are drawn.
    """
    fields = {
        "own": (lambda row: row.own, RESEMBLES),
        "lead": (lambda row: np.subtract(row.own, row.rival), 0.0),
        "displayed": (lambda row: row.displayed, RESEMBLES),
    }
    among = len(fields) * released.task.nunique()
    shown, excluded, values = {}, {}, {"intervals": among}
    for name, (value, bound) in fields.items():
        found = task_intervals(released, value)
        shown[name] = all(x.low > bound for x in found.values())
        excluded[name] = any(
            x.high < bound for x in task_intervals(released, value, among).values()
        )
        values[name] = least_and_most(found)
    values |= {"tasks": released.task.nunique(), "seeds": released.seed.nunique()}
    for name, part in {
        "free": controls[(controls.recipe == "released") & (controls.decay == 0)],
        "dealt": controls[controls.recipe == "shuffled"],
        "fisher": controls[controls.recipe == "Fisher"],
    }.items():
        values[name] = mean_of(part, "own")
    own = shown["own"] and shown["lead"]
    against = (excluded["own"] or excluded["lead"]) and excluded["displayed"]
    return weighed(own and shown["displayed"], against, own, values)


@claim("rethink-highest-activation-is-best-template")
def best_template(released: Table, random: Table) -> Outcome:
    """In every task, for more than 95 % of images, the highest score has the best aligned row.

    With the bias and without. Corrected: a row that is better aligned than most, if that is not
    as sure for `random` rows on random images.
    """
    tasks, among = sorted(released.task.unique()), 3 * released.task.nunique()
    shown, excluded, values = {}, {}, {"intervals": among, "tasks": len(tasks)}
    for name in ("best", "plain", "closer"):
        answers = answered_by(released, name)
        found = {task: of_share(a) for task, a in zip(tasks, answers)}
        shown[name] = all(x.low > ALIGNED for x in found.values())
        excluded[name] = any(of_share(a, among).high < ALIGNED for a in answers)
        values[name] = least_and_most(found)
    ratios = [max(v) / min(v) for v in released.lengths]
    values |= {"short": min(ratios), "long": max(ratios), "chance": random.closer.min()}
    values |= {"luck": random.best.min(), "luckiest": random.best.max()}
    best = shown["best"] and shown["plain"]
    says_something = bool((random.closer < ALIGNED).all())
    return weighed(best, all(excluded.values()), shown["closer"] and says_something, values)


@claim("rethink-fig2-fig10-merged-templates")
def mixtures(released: Table, vectors: Table) -> Outcome:
    """Averages correlate above 0.5 with their parents, and most with them, over pairs of all tasks.

    The fainter parent is nearer than any third row.
    """
    fields = {
        "kept": (lambda row: np.add(row["first"], row["second"]) / 2, VISIBLE),
        "lead": (lambda row: np.minimum(row["first"], row["second"]) - row["third"], 0.0),
    }
    shown, excluded, values = [], [], {"intervals": len(fields)}
    for name, (value, bound) in fields.items():
        pairs = np.concatenate(list(by_task(released, value).values()))
        values[name] = of_mean(pairs)
        shown.append(values[name].low > bound)
        excluded.append(of_mean(pairs, len(fields)).high < bound)
        values |= {"pairs": len(pairs), f"{name}_pairs": int((pairs > bound).sum())}
    values |= {"tasks": released.task.nunique(), "random": mean_of(vectors, "first")}
    return weighed(all(shown), any(excluded), values=values)


@claim("rethink-merged-templates-fade")
def fades(faded: Table) -> Outcome:
    """Averaged rows are shorter in every task, and full length returns most of the lost answers.

    Corrected: they are shorter, but lose answers at full length too, and it returns less than half:
    what is weaker is each parent's pattern beside the other's.
    """
    names = ("either", "averaged", "restored", "one", "two", "soup")
    either, averaged, restored, one, two, soup = (answered_by(faded, n) for n in names)

    def halfway(a, b):
        return [(x.astype(float) + y) / 2 for x, y in zip(a, b)]

    left = task_intervals(faded, lambda row: row.left)
    lost = of_runs(either, averaged)
    explained = of_runs(restored, halfway(either, averaged))
    turned = of_runs(either, restored)
    errors = [abs(np.subtract(row.left, row.formula)).max() for _, row in faded.iterrows()]
    among = faded.task.nunique() + 3
    long = task_intervals(faded, lambda row: row.left, among)
    values = {
        "left": least_and_most(left),
        "tasks": len(left),
        "seeds": faded.seed.nunique(),
        "intervals": among,
        "lost": lost,
        "back": of_runs(restored, averaged),
        "turned": turned,
        "formula": below(errors, 1e-6),
        "merged": of_runs(soup, halfway(one, two)),
        "halves": mean_of(faded, "halves_left"),
    }
    shorter = all(x.high < FADED for x in left.values())
    excluded = any(x.low > FADED for x in long.values()) or of_runs(either, averaged, among).below
    corrected = shorter and turned.above and explained.below
    return weighed(shorter and lost.above and explained.above, excluded, corrected, values)


@claim("rethink-mixup-analogy")
def like_mixup(blends: Table) -> Outcome:
    """Averaged weights give averaged scores: exactly in one layer, in deep networks nearly.

    Nearly is nearer than their members are, for networks of one start and of their own. Corrected:
    of one start.
    """
    one, own = (blends[blends.start == start] for start in ("one", "own"))
    exact = below(blends.layer, 1e-9)
    near, apart = (of_mean(part.member - part.soup) for part in (one, own))
    strict = of_mean(one.member - one.soup, 2)
    values = {"exact": exact, "near": near, "apart": apart, "rows": len(one)}
    values |= {name: one[name].mean() for name in ("soup", "member")}
    values |= {f"own_{name}": own[name].mean() for name in ("soup", "member", "accuracy_averaged")}
    return weighed(
        bool(exact) and near.above and apart.above,
        exact is False and strict.below,
        bool(exact) and near.above,
        values,
    )


@claim("rethink-mixup-on-images")
def half_of_mixup(blends: Table) -> Outcome:
    """On blends of images averaged networks of one start have less than half of Mixup's effect."""
    one = blends[blends.start == "one"]
    alone = one.departure_single
    share = of_mean((alone - one.departure_averaged) - (alone - one.departure_mixup) / 2)
    values = {"share": share, "rows": len(one)}
    for name in ("single", "averaged", "mixup"):
        values[name] = one[f"departure_{name}"].mean()
    return Outcome(share.below, values=values)


def change_of(clear: Table, task: str, change: str, field: str, among: int = 1) -> Interval:
    """A field at the last level minus at the first, over the draws of both."""
    part = clear[(clear.task == task) & (clear.change == change)]
    wide = part.pivot(index="draw", columns="level", values=field)
    return of_mean(wide[max(wide)] - wide[min(wide)], among)


@claim("rethink-fig6-tinyimagenet-less-clear")
def less_clear(clear: Table, sizes: Table, released: Table, normalised: Table) -> Outcome:
    """More images or classes, and more various images, each make templates and averages fainter.

    Whether levels are trained for equal steps or equal epochs. Corrected: more various images do,
    while more classes make templates clearer, and so do more images of a class, unless Tiny
    ImageNet has no more of them.
    """
    tasks = sorted(clear[clear.change == "classes"].task.unique())
    kinds = [(DIGITS, "images"), (DIGITS, "shift"), *((task, "classes") for task in tasks)]
    lengths = sorted(clear.equal.unique())
    among = 2 * len(kinds) * len(lengths)
    found, strict = (
        {
            (equal, *kind): {
                f: change_of(clear[clear.equal == equal], *kind, f, n)
                for f in ("clarity", "contrast")
            }
            for equal in lengths
            for kind in kinds
        }
        for n in (1, among)
    )
    per_class = (sizes.images / sizes.classes).set_axis(sizes.dataset)
    more = per_class["TinyImageNet"] > per_class["CIFAR-100"]
    size = [k for k in found if k[2] == "classes" or (k[2] == "images" and more)]
    shift = [k for k in found if k[2] == "shift"]
    fainter = {k: all(x.below for x in both.values()) for k, both in found.items()}
    clearer = {k: both["clarity"].above for k, both in strict.items()}
    change = task_intervals(normalised, lambda row: row.own)
    before = task_intervals(released, lambda row: row.own)
    values = {
        "rows": [
            {"equal": k[0], "task": k[1], "change": k[2], **both} for k, both in found.items()
        ],
        "intervals": among,
        "draws": clear.draw.nunique(),
        "tiny": per_class["TinyImageNet"],
        "cifar": per_class["CIFAR-100"],
        "before": np.mean([x.value for x in before.values()]),
        "after": np.mean([x.value for x in change.values()]),
        "tasks": len(change),
        "lower": sum(change[t].value < before[t].value for t in change),
    }
    various = all(fainter[k] for k in shift)
    not_by_size = all(clearer[k] for k in size)
    return weighed(
        various and all(fainter[k] for k in size),
        not_by_size and all(clearer[k] for k in shift),
        various and not_by_size,
        values,
    )
