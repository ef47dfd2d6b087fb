"""Rules that learn nothing; settings are chosen as step sizes are, by agreement with teachers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mergebook.ch3.teaching import POOL, lesson
from mergebook.ch3.trials import agreement_with_teachers, graded, stacked
from mergebook.experiments import Experiment, Tolerance
from mergebook.page import OpenSuite, opened
from mergehelpers import curvature, merge, states
from mergehelpers.states import State
from mergehelpers.suites.data import take


@dataclass(frozen=True)
class Baseline:
    """The key of a rule's answers: its `tasks` joined by spaces, all if empty.

    `samples` inputs a task serve rules that read data, `seed` their draws.
    """

    models: str
    rule: str
    tasks: str = ""
    samples: int = 32
    seed: int = 0
    test_samples: int = 500


SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
KEEPS = [(keep, scale) for keep in (0.1, 0.2, 0.4) for scale in (1.0, 2.0)]
SLOPES = [(first, slope) for first in (0.1, 0.2) for slope in (0.3, 0.5, 0.7)]


def curvatures(r: OpenSuite, key: Baseline, tasks: Sequence[str]) -> list[dict[str, Tensor]]:
    """Fisher diagonals or Gram matrices of the experts of these tasks, from unlabelled inputs."""
    out = []
    for n in tasks:
        inputs = lesson(r, n, POOL)[0]
        inputs = take(inputs, range(min(key.samples, len(inputs))))
        out.append(
            curvature.input_grams(r.suite, r.experts[n], inputs, device=r.device)
            if key.rule == "RegMean"
            else curvature.diagonal_fisher(r.suite, r.experts[n], n, inputs, key.seed, r.device)
        )
    return out


def made_by(r: OpenSuite, key: Baseline, tasks: Sequence[str]) -> dict[tuple, Callable[[], State]]:
    """`{setting: its merge}` of a rule: six settings, or the one it has.

    Raises `ValueError` for an unknown rule.
    """
    experts, b = [r.experts[n] for n in tasks], r.base
    if key.rule == "Base":
        return {(): lambda: b}
    if key.rule == "Average":
        return {(): lambda: merge.average(experts)}
    if key.rule == "Task arithmetic":
        return {(s,): lambda s=s: merge.task_arithmetic(b, experts, s) for s in SCALES}
    if key.rule == "TIES":
        return {k: lambda k=k: merge.ties(b, experts, *k) for k in KEEPS}
    if key.rule == "KnOTS-TIES":
        return {k: lambda k=k: merge.knots(b, experts, *k) for k in KEEPS}
    if key.rule == "Task arithmetic + LiNeS":
        total = {n: stack.sum(0) for n, stack in stacked(r, tuple(tasks)).items()}
        depth = states.depths(b)
        return {k: lambda k=k: states.apply(b, merge.lines(total, depth, *k)) for k in SLOPES}
    if key.rule == "Fisher":
        found = curvatures(r, key, tasks)
        floors = (1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3)
        return {(f,): lambda f=f: merge.fisher(experts, found, f) for f in floors}
    if key.rule == "RegMean":
        found = curvatures(r, key, tasks)
        shares = (0.5, 0.7, 0.9, 0.95, 0.98, 1.0)
        return {(f,): lambda f=f: merge.regmean(experts, found, f) for f in shares}
    raise ValueError(f"rule is {key.rule!r}; allowed: {', '.join(UNTRAINED_RULES)}")


UNTRAINED_RULES = (
    *("Base", "Average", "Task arithmetic", "TIES", "Fisher", "RegMean"),
    *("Task arithmetic + LiNeS", "KnOTS-TIES"),
)


def baseline_of(r: OpenSuite, key: Baseline) -> tuple[tuple, State]:
    """The setting of a rule whose merge agrees most with the teachers, and that merge."""
    tasks = key.tasks.split() or r.tasks
    makers = made_by(r, key, tasks)
    if len(makers) == 1:
        return next((setting, make()) for setting, make in makers.items())
    tried = {
        s: agreement_with_teachers(r, make(), tasks, key.test_samples) for s, make in makers.items()
    }
    best = max(tried, key=tried.get)
    return best, makers[best]()


def baseline_row(key: Baseline, sources: Mapping[str, str], device: str) -> dict:
    """The setting, and the answers to the tasks that are merged and to those left out."""
    r = opened(key, sources, device)
    tasks = key.tasks.split() or list(r.tasks)
    setting, state = baseline_of(r, key)
    return {
        "setting": [float(v) for v in setting],
        "right": graded(r, state, tasks, key.test_samples),
        "unseen": graded(r, state, [n for n in r.tasks if n not in tasks], key.test_samples),
    }


def rules_asked(name: str, version: int = 1) -> Experiment:
    """An experiment that asks rules without training, its rows in a file of its own."""
    answers = Tolerance(absolute=0.01)
    return Experiment(
        name,
        version,
        Baseline,
        baseline_row,
        {"setting": Tolerance(), "right": answers, "unseen": answers},
    )


@dataclass(frozen=True)
class Alone:
    """The key of answers by each task's own model: `Individual`, its expert, or `EMR`."""

    models: str
    method: str
    test_samples: int = 500


def alone_row(key: Alone, sources: Mapping[str, str], device: str) -> dict:
    """Answers of each task's own model; EMR keeps a mask and a scale for each task."""
    r = opened(key, sources, device)
    experts = list(r.experts.values())
    models = experts if key.method == "Individual" else merge.emr(r.base, experts)
    each = [graded(r, state, [n], key.test_samples)[0] for n, state in zip(r.tasks, models)]
    return {"right": each}


def own_models(name: str, version: int = 1) -> Experiment:
    """An experiment that asks each task's own model."""
    return Experiment(name, version, Alone, alone_row, {"right": Tolerance(absolute=0.01)})
