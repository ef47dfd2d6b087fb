"""Merges on spoilt inputs: blurred, or with noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from mergebook.ch3.baselines import Baseline, baseline_of
from mergebook.ch3.comparing import Trials, right_of
from mergebook.ch3.examined import IMPRINT, course, examined, relearnt, trial_of
from mergebook.ch3.trials import (
    ADAMERGING,
    ADAMERGING_PP,
    FREE,
    OWN,
    SHARED,
    Trial,
    combined,
    experiment,
    graded,
)
from mergebook.experiments import Experiment, Tolerance
from mergebook.intervals import of_runs
from mergebook.page import OpenSuite, opened
from mergebook.studies import unpack_answers
from mergehelpers.states import State
from mergehelpers.suites import Suite

Table = pd.DataFrame
READINGS = {"one network": SHARED, "one a layer": OWN}
WITHOUT, ARITHMETIC = "free coefficients", "Task arithmetic"
FOUR_TASKS = READINGS | {WITHOUT: FREE, "AdaMerging": ADAMERGING}
TWO_TASKS = READINGS | {WITHOUT: FREE, "AdaMerging++": ADAMERGING_PP}
CORRUPTIONS = {
    "motion blur": (3, 5, 7),  # pixels
    "impulse noise": (0.02, 0.05, 0.1),  # share of the pixels
    "Gaussian noise": (10, 15, 20, 40),  # of 255
}
TABLE_11 = (10, 15, 20)
GAUSSIAN = "Gaussian noise"
LINES = " + LiNeS"

EXPERIMENT = experiment("corruption and depth")


def some_tasks(r: OpenSuite) -> tuple[str, str]:
    """Four tasks and two of them, joined by spaces: counterparts of the paper's, or the first.

    Raises `ValueError` for a suite of fewer tasks or without images.
    """
    chosen = ("fashion", "street", "signs", "textures")
    if len(r.tasks) < 4:
        raise ValueError(f"{r.name} has {len(r.tasks)} tasks; this page needs four or more")
    for n in r.tasks:
        first = r.suite.task(n).inputs["test"][0]
        if not isinstance(first, (np.ndarray, Image.Image)):
            raise ValueError(f"{r.name} holds no images: {n} has {type(first).__name__}")
    if set(chosen) <= set(r.tasks):
        return " ".join(chosen), " ".join(chosen[2:])
    return " ".join(r.tasks[:4]), " ".join(r.tasks[:2])


# --------------------------------------------------------------------------- spoilt inputs


def spoil(images: np.ndarray, kind: str, level: float, draw: int) -> np.ndarray:
    """Images (n, height, width[, 3]) uint8 with a corruption of a level.

    Raises `ValueError` for an unknown kind.
    """
    rng, x = np.random.default_rng(draw), images.astype(float)
    if kind == "motion blur":  # the mean over `level` pixels in a row
        blurred = ndimage.uniform_filter1d(x, int(level), axis=2, mode="nearest")
        return blurred.round().astype(np.uint8)
    if kind == "impulse noise":  # pixels turn black or white
        hit, white = rng.random(x.shape[:3]), rng.random(x.shape[:3]) < 0.5
        shape = (..., *[None] * (x.ndim - 3))
        return np.where((hit < level)[shape], 255.0 * white[shape], x).astype(np.uint8)
    if kind != GAUSSIAN:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(CORRUPTIONS)}")
    return (x + level * rng.standard_normal(x.shape)).clip(0, 255).round().astype(np.uint8)


def spoilt_inputs(inputs, kind: str, level: float, draw: int):
    """Images as one array, or a list of pictures of any size, corrupted."""
    if isinstance(inputs, np.ndarray):
        return spoil(inputs, kind, level, draw)
    arrays = [np.asarray(image.convert("RGB"))[None] for image in inputs]
    return [Image.fromarray(spoil(a, kind, level, draw + i)[0]) for i, a in enumerate(arrays)]


def spoilt_suite(r: OpenSuite, tasks: Sequence[str], kind: str, level: float, key) -> Suite:
    """The suite with spoilt test inputs, the first `key.test_samples` of each task."""
    every = {n: r.suite.task(n).inputs["test"][: key.test_samples] for n in tasks}
    spoilt = {
        n: replace(r.suite.task(n), inputs={"test": spoilt_inputs(x, kind, level, key.draw)})
        for n, x in every.items()
    }
    return replace(r.suite, tasks=spoilt)


def on_spoilt(r: OpenSuite, key, state: State, tasks: Sequence[str]) -> list[str]:
    """Answers to spoilt test inputs, level after level, task by task; or to clean ones."""
    if not key.corruption:
        return graded(r, state, tasks, key.test_samples)
    return [
        answer
        for level in CORRUPTIONS[key.corruption]
        for answer in graded(
            r, state, tasks, key.test_samples, spoilt_suite(r, tasks, key.corruption, level, key)
        )
    ]


@dataclass(frozen=True)
class Spoilt(Trial):
    """The key of a trial's answers to inputs with a corruption; `draw` is the noise's seed."""

    corruption: str = GAUSSIAN
    draw: int = 0


def spoilt_row(key: Spoilt, sources: Mapping[str, str], device: str) -> dict:
    """The losses of the training, and answers: `on_spoilt`."""
    r = opened(key, sources, device)
    found = relearnt(r, trial_of(key))
    state = combined(r, key, found.coefficients)
    return {"losses": course(found), "spoilt": on_spoilt(r, key, state, found.tasks)}


@dataclass(frozen=True)
class SpoiltRule(Baseline):
    """The key of a rule's answers to inputs with a corruption, or none."""

    corruption: str = GAUSSIAN
    draw: int = 0


def spoilt_rule_row(key: SpoiltRule, sources: Mapping[str, str], device: str) -> dict:
    """The setting of a rule, chosen on clean inputs, and its answers: `on_spoilt`."""
    r = opened(key, sources, device)
    setting, state = baseline_of(r, key)
    answers = on_spoilt(r, key, state, key.tasks.split() or r.tasks)
    return {"setting": [float(v) for v in setting], "spoilt": answers}


ANSWERS = Tolerance(absolute=0.01)
SPOILT = Experiment(
    "corrupted inputs", 1, Spoilt, spoilt_row, {"losses": IMPRINT, "spoilt": ANSWERS}
)
SPOILT_RULES = Experiment(
    "corrupted inputs of rules",
    1,
    SpoiltRule,
    spoilt_rule_row,
    {"setting": Tolerance(), "spoilt": ANSWERS},
)


def with_spoilt(
    t: Trials, table: Table, kinds: Sequence[str] = tuple(CORRUPTIONS), draw: int = 0
) -> Table:
    """Rows of `SPOILT` of the trials in a table, with their names in `what`."""
    names = set(table[table.learner.notna()].what)  # not those of rules
    each = [k for c in kinds for k in examined(table, names, Spoilt, corruption=c, draw=draw)]
    context = {"sources": {t.r.mark: t.r.source}, "device": t.page.device}
    found = t.page.table(SPOILT, [key for _, key in each], **context)
    return found.assign(what=[name for name, _ in each])


def repeated_on(
    t: Trials, named: Mapping[str, Trial], trials: int, tasks: str = "", **settings
) -> Table:
    """`Trials.repeated` on some tasks, or all; `settings` are those of every trial."""
    each = {n: replace(trial, tasks=tasks, **settings) for n, trial in named.items()}
    return t.repeated(each, trials)


def rule_rows(t: Trials, scaled: Sequence[str], tasks: str, test_samples: int) -> Table:
    """Answers of task arithmetic to clean inputs, `scaled` by "" or `LINES` each."""
    keys = [
        SpoiltRule(t.r.mark, ARITHMETIC + how, tasks, test_samples=test_samples, corruption="")
        for how in scaled
    ]
    context = {"sources": {t.r.mark: t.r.source}, "device": t.page.device}
    found = t.page.table(SPOILT_RULES, keys, **context)
    return found.assign(what=found.rule, right=found.spoilt)


def beside(trained: Table, rules: Table) -> Table:
    """Rows of trials and of rules in one table."""
    return pd.concat([trained, rules], ignore_index=True)


def spoilt_rules(t: Trials, tasks: str, test_samples: int, draw: int = 0) -> Table:
    """Rows of `SPOILT_RULES`: task arithmetic under each corruption."""
    keys = [
        SpoiltRule(t.r.mark, ARITHMETIC, tasks, test_samples=test_samples, corruption=c, draw=draw)
        for c in CORRUPTIONS
    ]
    context = {"sources": {t.r.mark: t.r.source}, "device": t.page.device}
    return t.page.table(SPOILT_RULES, keys, **context).assign(what=ARITHMETIC)


def answers_under(spoilt: Table, what: str, corruption: str, level: float | None = None) -> list:
    """A method's answers under a corruption: for each task (repetitions, inputs).

    They are right or wrong at one level, or the share of all levels with a right answer, since the
    levels spoil the same inputs.
    """
    rows = spoilt[(spoilt.what == what) & (spoilt.corruption == corruption)].spoilt
    if not len(rows):
        raise ValueError(f"no rows of {what!r} under {corruption!r}")
    levels = CORRUPTIONS[corruption]
    each = [[unpack_answers({"": text})[""] for text in row] for row in rows]
    tasks, chosen = len(each[0]) // len(levels), range(len(levels))
    if level is not None:
        chosen = [levels.index(level)]
    return [
        np.array([np.mean([row[i * tasks + j] for i in chosen], axis=0) for row in each])
        for j in range(tasks)
    ]


def percent_of(answers: Sequence[np.ndarray]) -> float:
    """Accuracy, mean over tasks and repetitions, in percent."""
    return 100 * float(np.mean([x.mean() for x in answers]))


def spoilt_accuracies(clean: Table, spoilt: Table) -> Table:
    """Accuracy of each method on clean inputs and under each corruption at each level."""
    out = {}
    for what in dict.fromkeys(clean.what):
        own = {"clean": percent_of(right_of(clean, what))}
        for kind, levels in CORRUPTIONS.items():
            own |= {f"{kind} {x}": percent_of(answers_under(spoilt, what, kind, x)) for x in levels}
        out[what] = own
    return pd.DataFrame(out)


def share_lost(clean: Table, spoilt: Table) -> Table:
    """Percent of its own clean accuracy that each method loses, by kind, mean over levels."""
    out = {}
    for what in dict.fromkeys(clean.what):
        whole = percent_of(right_of(clean, what))
        out[what] = {
            kind: 100 - 100 * percent_of(answers_under(spoilt, what, kind)) / whole
            for kind in CORRUPTIONS
        }
    return pd.DataFrame(out).T.rename_axis("what").reset_index()


def spoilt_leads(
    spoilt: Table, over: Sequence[str], conditions: Sequence[tuple[str, float | None]]
) -> Table:
    """Leads of both readings over others under each condition, `(corruption, level or None)`.

    `low` and `high` have 95 % each, `all_low` and `all_high` 95 % for all rows of one reading.
    """
    out, among = [], len(over) * len(conditions)
    for reading in READINGS:
        for kind, level in conditions:
            for other in over:
                pair = [answers_under(spoilt, n, kind, level) for n in (reading, other)]
                one, together = of_runs(*pair), of_runs(*pair, among)
                where = kind if level is None else f"{kind} {level}"
                out.append((reading, other, where, *one, together.low, together.high))
    columns = ["reading", "over", "under", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)
