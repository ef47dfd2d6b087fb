"""Evaluation protocols of merged encoders.

A protocol says what it may use besides the encoder, and so which inputs are got right. A `Bench`
holds the models of one suite and computes the features of each once. A protocol turns features of a
few inputs, and what else it may know of them, into a classifier.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from mergebook.studies import fingerprint
from mergehelpers import alignment, merge, mties
from mergehelpers import device as devices
from mergehelpers.alignment import Head, Plan
from mergehelpers.states import State
from mergehelpers.suites import Suite, require

EXPERT = "fine-tuned"  # on a bench, each task's own expert
PLAN = Plan()  # of repairs, unless another is given


@dataclass(frozen=True)
class Protocol:
    """Whether a protocol needs labels or the teacher's answers, and how it makes a classifier.

    `fit(z, soft, hard, head, plan)` takes features (draws, inputs, width), the teacher's
    probabilities and one-hot labels (draws, inputs, classes), the expert's head and a plan; what it
    returns maps features (inputs, width) to scores (draws, inputs, classes). `trained(width,
    classes)` counts the numbers it trains.
    """

    labels: bool
    teacher: bool
    trained: Callable[[int, int], int]
    fit: Callable[[Tensor, Tensor, Tensor, Head, Plan], Callable[[Tensor], Tensor]]


def _anchored(rule):
    def fit(z, soft, hard, head, plan):
        return lambda x: torch.stack(
            [rule(x, a, y.argmax(-1), y.shape[-1]) for a, y in zip(z, hard)]
        )

    return Protocol(True, False, lambda d, c: 0, fit)


def _through(fit_map):
    """A map of the features in front of the expert's head."""

    def fit(z, soft, hard, head, plan):
        moved = fit_map(z, soft, head, plan)
        return lambda x: head(moved(x))

    return fit


def cold(head: Head) -> Head:
    """A head of zeros, to train from nothing."""
    return Head(torch.zeros_like(head.weight), torch.zeros_like(head.bias))


def _head(uses, from_zero=False, only_bias=False):
    """A head trained on the teacher's answers, on labels, or on the mean of both."""
    targets = {
        "teacher": lambda soft, hard: soft,
        "labels": lambda soft, hard: hard,
        "both": lambda soft, hard: (soft + hard) / 2,
    }

    def fit(z, soft, hard, head, plan):
        return alignment.fit_head(
            z, targets[uses](soft, hard), cold(head) if from_zero else head, plan, only_bias
        )

    return Protocol(
        uses != "teacher", uses != "labels", lambda d, c: c if only_bias else c * d + c, fit
    )


PROTOCOLS = {
    "head": Protocol(
        False,
        False,
        lambda d, c: 0,
        lambda z, soft, hard, head, plan: lambda x: head(x).expand(len(z), -1, -1),
    ),
    "mean distance": _anchored(alignment.mean_distance),
    "prototype": _anchored(alignment.prototype),
    "vote of 5": _anchored(alignment.vote),
    "bias only": _head("teacher", only_bias=True),
    "gain and shift": Protocol(False, True, lambda d, c: 2 * d, _through(alignment.fit_scale)),
    "same Gram": Protocol(
        False,
        True,
        lambda d, c: min(c, d) * d - min(c, d) * (min(c, d) + 1) // 2,
        lambda z, soft, hard, head, plan: alignment.fit_gram(z, soft, head, plan),
    ),
    "FT-Classifier": _head("teacher"),
    "FT-Classifier, from zero": _head("teacher", from_zero=True),
    "aligned M": Protocol(False, True, lambda d, c: d * d, _through(alignment.fit_map)),
    "labels": _head("labels"),
    "labels, bias only": _head("labels", only_bias=True),
    "labels, from zero": _head("labels", from_zero=True),
    "labels and teacher": _head("both"),
}


def check_protocol(name: str) -> Protocol:
    """The protocol of that name; raises `ValueError` that lists them."""
    if name not in PROTOCOLS:
        raise ValueError(f"protocol is {name!r}; allowed: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


METHODS = {
    "weight averaging": [()],
    "task arithmetic": [(scale,) for scale in (0.2, 0.3, 0.5, 0.7, 1.0, 1.4)],
    "TIES": [(keep, scale) for keep in (0.2, 0.5) for scale in (1.0, 1.5, 2.0)],
    "DARE": [(0.5, scale) for scale in (0.2, 0.3, 0.5, 0.7, 1.0, 1.4)],
    "M-TIES": [(keep, scale) for keep in (0.2, 0.5) for scale in (1.0, 1.5, 2.0)],
}


def merged(suite: Suite, method: str, setting: Sequence[float] = (), seed: int = 0) -> State:
    """The merge of a suite's experts by a method of `METHODS`, which lists the settings to try.

    M-TIES takes the reading of the released code, half of the possible spread, and the suite's
    unlabelled inputs (sixteen a task). Raises `ValueError` for an unknown method.
    """
    base, experts = suite.base, list(suite.experts.values())
    if method == "weight averaging":
        return merge.average(experts)
    if method == "task arithmetic":
        return merge.task_arithmetic(base, experts, *setting)
    if method == "TIES":
        return merge.ties(base, experts, *setting)
    if method == "DARE":
        return merge.dare(base, experts, *setting, seed=seed)
    if method == "M-TIES":
        keep, scale = setting
        inputs = [item for task in suite.tasks.values() for item in task.inputs["unlabelled"][:16]]
        return mties.m_ties(
            suite.backbone, base, experts, inputs, keep, min(keep, 1 - keep) / 2, scale, "released"
        )[0]
    raise ValueError(f"method is {method!r}; allowed: {', '.join(METHODS)}")


class Bench:
    """The models of one suite, by name, and their features.

    `base` and `fine-tuned`, the task's own expert, are always there. `limits` gives the number of
    inputs of a split that are used, from its first on; without one, all. Raises `ValueError` for a
    task that has no inputs in a split of `limits`.
    """

    def __init__(self, suite: Suite, limits: Mapping[str, int] | None = None, device: str = "auto"):
        self.suite, self.limits, self.device = suite, dict(limits or {}), device
        for split in self.limits:
            require(suite, split, experts=1)
        self.models: dict[str, Callable[[], State] | State] = {"base": suite.base}
        self._features, self.tasks = {}, list(suite.tasks)

    def add(self, name: str, model: State | Callable[[], State]) -> None:
        """A state, or a function that makes it when it is first needed."""
        self.models[name] = model

    def state(self, model: str, task: str) -> State:
        """The model's weights, made now if they were not yet.

        Raises `ValueError` for a name that was not added.
        """
        if model == EXPERT:
            return self.suite.experts[task]
        if model not in self.models:
            raise ValueError(
                f"model is {model!r}; on the bench: {', '.join((EXPERT, *self.models))}"
            )
        if callable(self.models[model]):
            self.models[model] = self.models[model]()
        return self.models[model]

    def z(self, model: str, task: str, split: str = "test") -> Tensor:
        """Features (inputs, width) of a split, in double precision on the CPU; computed once."""
        key = model, task, split
        if key not in self._features:
            inputs = self.suite.task(task).inputs[split][: self.limits.get(split)]
            self._features[key] = head_features(
                self.suite, self.state(model, task), inputs, self.device
            )
        return self._features[key]

    def forget(self, model: str) -> None:
        """Drop the features of a model that is not needed again."""
        self._features = {key: value for key, value in self._features.items() if key[0] != model}

    def y(self, task: str, split: str = "test") -> Tensor:
        """Labels (inputs,)."""
        return self.suite.task(task).labels[split][: self.limits.get(split)]

    def head(self, task: str) -> Head:
        """W_t of Eq. 4: the head the task's expert is used with.

        Raises `ValueError` for a task without an expert.
        """
        if task not in self.suite.experts:
            raise ValueError(
                f"{task} has no teacher: the suite {self.suite.name} has experts for "
                f"{', '.join(self.suite.experts) or 'no task'}"
            )
        own = self.suite.task(task)
        found = own.head or self.suite.backbone.word_head(self.suite.experts[task], own.classes)
        return Head(found["weight"].double(), found["bias"].double())

    @cached_property
    def mark(self) -> str:
        """The suite's name and a fingerprint of its base, experts and heads.

        A study row's key starts with it.
        """
        heads = {f"{task} head": self.head(task)._asdict() for task in self.tasks}
        parts = {"base": self.suite.base, **self.suite.experts, **heads}
        return f"{self.suite.name}-{fingerprint(parts)}"

    def on_validation(self, state: Mapping[str, Tensor]) -> float:
        """Mean validation accuracy in percent over tasks, under the experts' heads (Eq. 4)."""
        hits = []
        for task in self.tasks:
            z = head_features(self.suite, state, self.suite.task(task).inputs["val"], self.device)
            hits.append((self.head(task)(z).argmax(1) == self.y(task, "val")).double().mean())
        return 100 * float(torch.stack(hits).mean())

    def choose(self, method: str, row: Callable[[str, Callable], float]) -> tuple[tuple, float]:
        """The setting of a merging method with the best validation accuracy, and that accuracy.

        `row` is a study's.
        """
        tried = {
            setting: row(
                f"{self.mark} val {method} {setting}",
                lambda setting=setting: self.on_validation(merged(self.suite, method, setting)),
            )
            for setting in METHODS[method]
        }
        return max(tried, key=tried.get), max(tried.values())

    def drawn(self, task: str, shots: int, seeds: Sequence[int], split: str = "train") -> Tensor:
        """Indices (seeds, classes · shots) of class-balanced draws from a split.

        See `alignment.draw_shots`.
        """
        return torch.stack(
            [
                alignment.draw_shots(self.y(task, split), shots, self.suite.task(task).classes, s)
                for s in seeds
            ]
        )

    def classifier(
        self,
        model: str,
        task: str,
        protocol: str,
        chosen: Tensor,
        plan: Plan = PLAN,
        split: str = "train",
    ) -> Callable[[Tensor], Tensor]:
        """What the protocol makes of the chosen inputs (draws, inputs) of a split."""
        head, y = self.head(task), self.y(task, split)
        soft = head(self.z(EXPERT, task, split)).softmax(-1)[chosen]
        hard = one_hot(y[chosen], len(head.bias)).to(soft)
        return check_protocol(protocol).fit(
            self.z(model, task, split)[chosen], soft, hard, head, plan
        )

    def right(
        self,
        model: str,
        task: str,
        protocol: str,
        chosen: Tensor,
        plan: Plan = PLAN,
        split: str = "train",
        scored: str = "test",
    ) -> Tensor:
        """Which inputs of the split `scored` are right after each draw: (draws, inputs) bool."""
        scores = self.classifier(model, task, protocol, chosen, plan, split)(
            self.z(model, task, scored)
        )
        return scores.argmax(-1) == self.y(task, scored)


def head_features(
    suite: Suite, state: Mapping[str, Tensor], inputs, device: str = "auto"
) -> Tensor:
    """What a head sees of `inputs`: (inputs, width), in double precision on the CPU.

    Raises `ValueError` if one is not finite.
    """
    place = devices.pick(device)
    state = {key: value.to(place) for key, value in state.items()}
    z = devices.backing_off(
        lambda size: suite.backbone.embed(state, inputs, size), suite.backbone.batch
    )
    z = normalize(z, dim=-1) if suite.backbone.normalised else z
    alignment.check_finite(z, "the embeddings")
    return z.cpu().double()
