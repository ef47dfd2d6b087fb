"""Across architectures: Algorithm 1 from end to end, and coefficients moved to other networks.

In Algorithm 1 a student of the suite's own architecture, distilled from a convolutional expert,
takes an expert's place (`Turned`). In Table 9 coefficients that were learnt for the suite's experts
merge two convolutional ones, whose tasks they have not seen (`Moved`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.ch3.baselines import Baseline, baseline_of
from mergebook.ch3.comparing import lead, leads
from mergebook.ch3.reading import read
from mergebook.ch3.students import LABELS, answers_in, classroom, family_of, in_double, schooled
from mergebook.ch3.students_merged import ADA, ANSWERS, FREED, both_moments, by_moments
from mergebook.ch3.teaching import POOL, lesson
from mergebook.ch3.trials import (
    ADAMERGING,
    FREE,
    OWN,
    SHARED,
    TOLERANCES,
    Learnt,
    Trial,
    agreement_with_teachers,
    combined,
    experiment,
    graded,
    learn,
    stacked,
)
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import distil, merge

EXPERIMENT = experiment("architectures")  # trials on the suite's own experts: their step sizes


@dataclass(frozen=True)
class Turned(Trial):
    """A trial on the suite's experts, one of which is distilled from a convolutional network."""

    three: str = ""
    school: int = 100


@dataclass(frozen=True)
class TurnedRule(Baseline):
    """A rule without training on these experts."""

    three: str = ""
    school: int = 100


@dataclass(frozen=True)
class Moved(Trial):
    """A trial on the suite's `tasks`, whose coefficients merge two convolutional experts.

    These are of the first two tasks of `three`, taught by labels.
    """

    three: str = ""
    school: int = 100


# ------------------------------------------------------------------------------------ Algorithm 1


@lru_cache(maxsize=16)
def turned(r: OpenSuite, three: str, school: int, seed: int) -> OpenSuite:
    """The suite with a student of the convolutional native expert in its own expert's place."""
    native = three.split()[0]
    teacher = {native: schooled(r, three, LABELS, native, school, seed)}
    room = replace(classroom(r, seed), experts=teacher)
    z = distil.teach(room, {native: room.task(native).inputs["train"]}, "cpu")[native]
    student = distil.fit(
        r.suite,
        r.base,
        {native: lesson(r, native, POOL)[0]},
        {native: z.argmax(1)},
        {native: z},
        3 * school // 2,
        32,
        3e-4,
        seed,
        r.device,
        progress=False,
    )
    return OpenSuite(replace(r.suite, experts=r.suite.experts | {native: student}), r.device)


def turned_row(key: Turned, sources: Mapping[str, str], device: str) -> dict:
    """Agreement with the experts on validation inputs, losses and answers of a trial."""
    m = turned(in_double(opened(key, sources, device)), key.three, key.school, key.seed)
    found = learn(m, key)
    state = combined(m, key, found.coefficients)
    losses = np.array_split(found.trained.losses, min(10, len(found.trained.losses)))
    return {
        "agree": agreement_with_teachers(m, state, m.tasks, key.test_samples),
        "losses": [round(float(part.mean()), 5) for part in losses],
        "right": graded(m, state, m.tasks, key.test_samples),
    }


def turned_rule_row(key: TurnedRule, sources: Mapping[str, str], device: str) -> dict:
    """A rule's answers, and those of the student and of its teacher to the native task."""
    r, native = in_double(opened(key, sources, device)), key.three.split()[0]
    m = turned(r, key.three, key.school, key.seed)
    teacher = schooled(r, key.three, LABELS, native, key.school, key.seed)
    room = OpenSuite(classroom(r, key.seed), "cpu")
    setting, state = baseline_of(m, key)
    return {
        "setting": [float(v) for v in setting],
        "right": graded(m, state, m.tasks, key.test_samples),
        "student": graded(m, m.experts[native], [native], key.test_samples)[0],
        "teacher": graded(room, teacher, [native], key.test_samples)[0],
    }


TURNED = Experiment(
    "algorithm 1", 1, Turned, turned_row, {n: TOLERANCES[n] for n in ("agree", "losses", "right")}
)
TURNED_RULES = Experiment(
    "algorithm 1 by rules",
    1,
    TurnedRule,
    turned_rule_row,
    {"setting": Tolerance()} | {n: ANSWERS["right"] for n in ("right", "student", "teacher")},
)


def as_listed(models: Sequence[Tensor], learner) -> Tensor:
    """Lines 15 to 20 of Algorithm 1 as they are printed; the line numbers are the listing's.

    Raises `KeyError` where line 19 sums over coefficients that line 18 has not yet predicted.
    """
    merged, predicted = torch.zeros_like(models[0]), {}
    for k, theta in enumerate(models):  # 15
        predicted[k] = learner(theta)  # 17, 18
        merged = sum(predicted[i] * models[i] for i in range(len(models)))  # 19, the sum over all
    return merged


def merged_after_the_loop(models: Sequence[Tensor], learner) -> Tensor:
    """The same with line 19 after the loop."""
    predicted = [learner(theta) for theta in models]
    return sum(c * theta for c, theta in zip(predicted, models))


# ---------------------------------------------------------------------------------------- Table 9

MEAN, TWO = "mean of experts", "two experts"
NORMAL = ", sum 1"
SHUFFLED, LEVEL = "mean, shuffled", "mean, one level"
BY_LEARNER = "by the learner"


def moved_coefficients(c: OpenSuite, found: Learnt, key: Moved) -> dict[str, Tensor]:
    """Coefficients (2, layers) of the convolutional pair, by where they come from.

    A layer takes those of the layer at its relative place: their mean over the experts, or those of
    the first two experts; `, sum 1` scales them so that they sum to 1 in each layer. Controls are
    the mean in another order, and its mean over layers. A network that serves all layers can also
    read the pair's own statistics.
    """
    size = len(stacked(c, tuple(c.tasks)))
    place = torch.linspace(0, found.coefficients.shape[1] - 1, size).round().long()
    mean = found.coefficients.mean(0)[place].expand(2, -1)
    two = found.coefficients[:2, place]
    order = torch.randperm(size, generator=torch.Generator().manual_seed(key.seed))
    out = {MEAN: mean, TWO: two}
    out |= {SHUFFLED: mean[:, order], LEVEL: mean.mean(1, keepdim=True).expand(2, size)}
    if key.form == "simplex" or key.loss == "entropy":  # positive
        out |= {n + NORMAL: v / v.sum(0) for n, v in {MEAN: mean, TWO: two}.items()}
    if key.learner == SHARED.learner:
        own = read(c, key.reads, key.level, key.rank, key.seed)
        out[BY_LEARNER] = found.learner.coefficients(own.double()).detach()
    return out


def moved_rows(key: Moved, sources: Mapping[str, str], device: str) -> list[dict]:
    """A row for each way to move the coefficients: the answers of its merge."""
    r = in_double(opened(key, sources, device))
    pair = tuple(key.three.split()[:2])
    c = family_of(r, key.three, pair, LABELS, key.school, key.seed)
    ways = moved_coefficients(c, learn(r, key), key)
    merges = {n: merge.combine(c.base, stacked(c, pair), v.double()) for n, v in ways.items()}
    return [{"way": n, **both_moments(c, s, key.test_samples)} for n, s in merges.items()]


MOVED = Experiment("moved coefficients", 1, Moved, moved_rows, {"way": Tolerance()} | ANSWERS)

SIMPLEX = ", simplex"
TO_MOVE = {
    "one network": SHARED,
    "one a layer": OWN,
    f"one network{SIMPLEX}": replace(SHARED, form="simplex"),
    f"one a layer{SIMPLEX}": replace(OWN, form="simplex"),
    ADA: ADAMERGING,
    FREED: FREE,
}

# reading: who learnt, how the coefficients are moved, and how AdaMerging's are, beside them. Like
# meets like: what sums to 1 meets AdaMerging scaled to the sum 1. The mean over experts, scaled so,
# is the plain average on both sides, whatever was learnt: it is no reading.
MOVES = {
    f"{who}: {way}": (who, way, rival)
    for who, ways in {
        "one network": {MEAN: MEAN, TWO: TWO, BY_LEARNER: MEAN},
        "one a layer": {MEAN: MEAN, TWO: TWO},
        f"one network{SIMPLEX}": {TWO + NORMAL: TWO + NORMAL, BY_LEARNER: MEAN + NORMAL},
        f"one a layer{SIMPLEX}": {TWO + NORMAL: TWO + NORMAL},
    }.items()
    for way, rival in ways.items()
}


def moving(best: Mapping[str, Trial], three: str, seeds: Sequence[int], **same) -> dict:
    """`{method: its keys}`: each at its own step size, on the tasks that the pair does not have."""
    return {
        n: [Moved(**asdict(t) | {"three": three, "seed": s} | same) for s in seeds]
        for n, t in best.items()
        if n != FREED
    }


def moved_table(page, r: OpenSuite, named: Mapping[str, Sequence[Moved]]) -> pd.DataFrame:
    """The rows of these keys, with a method and a way as `what`."""
    parts = []
    for name, keys in named.items():
        rows = page.table(MOVED, keys, sources={r.mark: r.source}, device=page.device)
        parts.append(rows.assign(what=name + ": " + rows.way))
    return pd.concat(parts, ignore_index=True)


def moved_leads(table: pd.DataFrame, over: str = "") -> pd.DataFrame:
    """Leads of each reading over AdaMerging moved in its way, or over one merge, of both moments.

    `all_low` and `all_high` have 95 % for all rows together.
    """
    count, out = 2 * len(MOVES), []
    for moments, part in by_moments(table).items():
        for reading, (_, _, way) in MOVES.items():
            rival = over or f"{ADA}: {way}"
            one, together = (lead(part, reading, rival, k) for k in (1, count))
            out.append((reading, moments, rival, *one, together.low, together.high))
    columns = ["reading", "moments", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)


def listing() -> pd.DataFrame:
    """Whether lines 15 to 20 give the sum over models: as printed, and with line 19 moved."""
    rows = []
    for count in (1, 2, 3):
        models = list(torch.arange(1.0, 2 * count + 1).view(count, 2))
        wanted = sum(theta.mean() * theta for theta in models)
        versions = {"as printed": as_listed, "after the loop": merged_after_the_loop}
        for name, steps in versions.items():
            try:
                right = bool(torch.allclose(steps(models, torch.mean), wanted))
            except KeyError:
                right = False
            rows.append((name, count, right))
    return pd.DataFrame(rows, columns=["version", "models", "right"])


def order_or_level(table: pd.DataFrame) -> pd.DataFrame:
    """Leads of coefficients by place over the same shuffled, and over their mean, by moments."""
    parts = [
        leads(part, f"{who}: {MEAN}", [f"{who}: {n}" for n in (SHUFFLED, LEVEL)]).assign(
            moments=moments
        )
        for who in ("one network", "one a layer", ADA)
        for moments, part in by_moments(table).items()
    ]
    return pd.concat(parts, ignore_index=True)[["over", "moments", "value", "low", "high"]]


def turning(best: Mapping[str, Trial], three: str, **same) -> dict[str, Turned]:
    """StatsMerging and free coefficients at these step sizes, for Algorithm 1."""
    names = ("one network", "one a layer", FREED)
    return {n: Turned(**asdict(best[n]) | {"three": three} | same) for n in names}


def turned_rules(
    r: OpenSuite, three: str, seeds: Sequence[int], rules: Sequence[str], **same
) -> list[TurnedRule]:
    """These rules for Algorithm 1."""
    return [TurnedRule(r.mark, n, seed=s, three=three, **same) for n in rules for s in seeds]


def both_alone(rows: pd.DataFrame) -> str:
    """Accuracies of the convolutional teacher and of its student, in words."""
    mean = {n: np.mean([answers_in(x).mean() for x in rows[n]]) for n in ("teacher", "student")}
    return "native task alone: " + ", ".join(f"{n} {100 * v:.1f} %" for n, v in mean.items())
