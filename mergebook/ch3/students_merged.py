"""Merges of students: coefficients that are learnt for them, and rules without training.

Trials and rules are those of all pages of the chapter; the models are a family of students.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mergebook.ch3.baselines import Baseline, made_by
from mergebook.ch3.comparing import leads, scores
from mergebook.ch3.students import family_of, in_double, renewed, with_mean_moments
from mergebook.ch3.trials import TOLERANCES, Trial, agreement_with_teachers, combined, graded, learn
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened, stored
from mergehelpers.states import State


@dataclass(frozen=True)
class StudentTrial(Trial):
    """A training of coefficients for students: see `Student` and `family_of`.

    Its seed is also that of the family.
    """

    three: str = ""
    start: str = "base"
    school: int = 100
    source: str = "train"


@dataclass(frozen=True)
class StudentRule(Baseline):
    """A rule without training, asked of students; its seed is that of the family."""

    three: str = ""
    start: str = "base"
    school: int = 100


def family_named(key, sources: Mapping[str, str], device: str) -> OpenSuite:
    """The family of students that a key names, of its `tasks` or of all three."""
    tasks = tuple((key.tasks or key.three).split())
    r = in_double(opened(key, sources, device))
    return family_of(r, key.three, tasks, key.start, key.school, key.seed)


def both_moments(c: OpenSuite, state: State, limit: int) -> dict[str, list[str]]:
    """Answers of a merge with the mean of the stored moments (`right`), and with `renewed` ones."""
    return {
        "right": graded(c, state, c.tasks, limit),
        "renewed": graded(c, renewed(c, state), c.tasks, limit),
    }


def student_trial_row(key: StudentTrial, sources: Mapping[str, str], device: str) -> dict:
    """Agreement with the students on validation inputs, losses and answers of a trial."""
    c = family_named(key, sources, device)
    found = learn(c, key)
    state = combined(c, key, found.coefficients)
    losses = np.array_split(found.trained.losses, min(10, len(found.trained.losses)))
    return {
        "agree": agreement_with_teachers(c, state, c.tasks, key.test_samples),
        "losses": [round(float(part.mean()), 5) for part in losses],
        **both_moments(c, state, key.test_samples),
    }


def student_rule_row(key: StudentRule, sources: Mapping[str, str], device: str) -> dict:
    """The setting of a rule that agrees most with the students, and its answers."""
    c = family_named(key, sources, device)
    made = made_by(with_mean_moments(c), key, c.tasks)
    tried = {
        s: agreement_with_teachers(c, make(), c.tasks, key.test_samples) for s, make in made.items()
    }
    best = max(tried, key=tried.get)
    return {"setting": [float(v) for v in best], **both_moments(c, made[best](), key.test_samples)}


ANSWERS = {"right": Tolerance(absolute=0.01), "renewed": Tolerance(absolute=0.01)}
TRIALS = Experiment(
    "merged students",
    1,
    StudentTrial,
    student_trial_row,
    {n: TOLERANCES[n] for n in ("agree", "losses")} | ANSWERS,
)
RULES_ON_STUDENTS = Experiment(
    "students by rules", 1, StudentRule, student_rule_row, {"setting": Tolerance()} | ANSWERS
)

# ------------------------------------------------------------------------ what the page compares

ONE, EACH = "StatsMerging, one network", "StatsMerging, one a layer"
NETWORKS = {ONE: "mlp2", EACH: "mlp2, one a layer"}
RANDOM = {ONE: "random numbers, one network", EACH: "random numbers, one a layer"}
FREED, ADA = "free coefficients", "AdaMerging"
STUDENT_RULES = ("Average", "Task arithmetic", "TIES")
NESTED = ("mean", "mean+variance", "mean+variance+magnitude")


def student_trials(three: str, **same) -> dict[str, StudentTrial]:
    """The learnt merges that are compared: each with its step size yet to be searched."""
    plain = StudentTrial(three=three, **same)
    free = replace(plain, learner="free", reads="nothing")
    own = {n: replace(plain, learner=kind) for n, kind in NETWORKS.items()}
    noise = {RANDOM[n]: replace(t, reads="noise") for n, t in own.items()}
    return own | noise | {FREED: free, ADA: replace(free, loss="entropy")}


def with_fewer(found: pd.DataFrame, named: Mapping[str, StudentTrial]) -> dict[str, StudentTrial]:
    """StatsMerging with some of its statistics, at the step size that it has with all."""
    fewer = {}
    for what in NETWORKS:
        at_best = replace(named[what], rate=rate_of(found, what))
        fewer |= {f"{what}: {reads}": replace(at_best, reads=reads) for reads in NESTED}
    return fewer


def all_minus_fewer(found: pd.DataFrame) -> pd.DataFrame:
    """Leads of StatsMerging with all statistics over fewer, by `network` and what it `reads`."""
    parts = []
    for what in NETWORKS:
        fewer = {f"{what}: {reads}": reads for reads in NESTED}
        each = leads(found, what, list(fewer))
        parts.append(each.assign(network=what, reads=each.over.map(fewer)))
    table = pd.concat(parts, ignore_index=True)
    return table[["network", "reads", "value", "low", "high"]]


def stored_all_minus_fewer() -> pd.DataFrame:
    """The same of the book's students, from the rows of their page: nothing is trained."""
    rows = stored(TRIALS, 3)
    parts = []
    for what, learner in NETWORKS.items():
        mine = rows[(rows.learner == learner) & (rows.start == "base")]
        # With fewer statistics the step size is that of all, so it is the only one.
        mine = mine[mine.rate == mine[mine.reads.isin(NESTED)].rate.iloc[0]]
        named = {reads: f"{what}: {reads}" for reads in NESTED} | {"statistics": what}
        mine = mine.assign(what=mine.reads.map(named))
        parts.append(mine.dropna(subset="what"))
    return all_minus_fewer(pd.concat(parts, ignore_index=True))


def from_elsewhere(
    found: pd.DataFrame, named: Mapping[str, StudentTrial]
) -> dict[str, StudentTrial]:
    """The same trials on students that began elsewhere, at the step sizes that they had."""
    return {n: replace(t, start="own start", rate=rate_of(found, n)) for n, t in named.items()}


def rate_of(found: pd.DataFrame, what: str) -> float:
    """The step size with which a method was repeated."""
    return float(found[found.what == what].rate.iloc[0])


def rule_keys(
    r: OpenSuite,
    three: str,
    seeds: Sequence[int],
    rules: Sequence[str] = STUDENT_RULES,
    starts: Sequence[str] = ("base", "own start"),
    **same,
) -> list[StudentRule]:
    """These rules on families of these starts and seeds."""
    return [
        StudentRule(r.mark, rule, seed=s, three=three, start=start, **same)
        for rule in rules
        for start in starts
        for s in seeds
    ]


def by_moments(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The same rows under both kinds of moments, answers in the column `right`."""
    return {"mean moments": found, "renewed moments": found.assign(right=found.renewed)}


def student_leads(found: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Leads of StatsMerging over these methods, by network (`what`) and by `moments`."""
    parts = [
        leads(rows, what, over).assign(moments=moments)
        for what in NETWORKS
        for moments, rows in by_moments(found).items()
    ]
    return pd.concat(parts, ignore_index=True)


def student_scores(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of merges in percent, mean and spread over families, by moments."""
    parts = {n: scores(rows).set_index("what") for n, rows in by_moments(found).items()}
    return pd.concat({n: t[["accuracy", "spread"]] for n, t in parts.items()}, axis=1)
