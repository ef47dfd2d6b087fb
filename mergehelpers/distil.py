"""Learning from teachers: coefficients without labels, students of another architecture.

`train` fits any learner of `mergehelpers.stats` (StatsMerging's, or free coefficients) to what the
experts answer on unlabelled inputs. With the loss `entropy` and free coefficients it is AdaMerging;
`labels` is the oracle.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from tqdm import tqdm

from mergehelpers import device as devices
from mergehelpers import merge
from mergehelpers.states import State
from mergehelpers.suites import Suite
from mergehelpers.suites.data import take


@dataclass(frozen=True)
class Training:
    """How to train: `loss` is one of `LOSSES`, `batch` the number of inputs a task in each step.

    `rate` is Adam's step size; it falls by a factor of 10 after every `drop` of the steps. The
    paper trains for 500 epochs with 1e-3 and a drop after every 100 (Section 4.1), so `drop` is
    0.2.
    """

    loss: str = "hard"
    steps: int = 200
    batch: int = 16
    rate: float = 1e-3
    drop: float = 0.2
    temperature: float = 1.0

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise ValueError(f"loss is {self.loss!r}; allowed: {', '.join(LOSSES)}")
        for name in ("steps", "batch", "rate", "drop", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: above 0")


@dataclass(frozen=True)
class Trained:
    """What training found, and the way there.

    Coefficients (experts, layers), the loss of each step, coefficients on the way `{step: ...}`,
    the suite, whose heads may be new, and where they are, the suites on the way.
    """

    coefficients: Tensor
    losses: list[float]
    path: dict[int, Tensor]
    suite: Suite = field(repr=False)
    suites: dict[int, Suite] = field(repr=False, default_factory=dict)


def hard(z: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Cross-entropy against the teacher's answer (Eqs. 7 and 33)."""
    return cross_entropy(z, teacher.argmax(1))


def soft(z: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """KL(teacher || merged) of the class probabilities at a temperature, times its square.

    This is Eq. 32.
    """
    p, q = softmax(teacher / temperature, 1), log_softmax(z / temperature, 1)
    return temperature**2 * kl_div(q, p, reduction="batchmean")


def entropy(z: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Entropy of the merged model's own answer, which needs no teacher (AdaMerging, Eq. 4)."""
    return -(softmax(z, 1) * log_softmax(z, 1)).sum(1).mean()


def oracle(z: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Cross-entropy against the true labels (Eq. 6)."""
    return cross_entropy(z, labels)


LOSSES: dict[str, Callable] = {"hard": hard, "soft": soft, "entropy": entropy, "labels": oracle}


def student_loss(
    z: Tensor, teacher: Tensor, labels: Tensor, weight: float = 0.7, temperature: float = 4.0
) -> Tensor:
    """Eq. 8: `weight` times cross-entropy against `labels`, the rest times `soft`."""
    return weight * cross_entropy(z, labels) + (1 - weight) * soft(z, teacher, labels, temperature)


@torch.no_grad()
def teach(suite: Suite, inputs: Mapping[str, object], device: str = "auto") -> dict[str, Tensor]:
    """What each task's own expert answers on its inputs: `{task: logits (inputs, classes)}`.

    Raises `ValueError` for a task without an expert or without inputs, or an expert whose head has
    other classes.
    """
    place = devices.pick(device)
    out = {}
    for task, raw in inputs.items():
        if task not in suite.experts:
            raise ValueError(f"{task} has no teacher; there are {', '.join(suite.experts)}")
        if len(raw) == 0:
            raise ValueError(f"{task} has no unlabelled inputs to learn from")
        state = {key: value.to(place) for key, value in suite.experts[task].items()}
        out[task] = suite.logits(task, suite.backbone.embed(state, raw), state)
        check_classes(task, out[task], len(suite.task(task).classes))
    return out


def check_classes(task: str, logits: Tensor, classes: int) -> None:
    """Raise `ValueError` unless the logits (inputs, classes) are finite and of the right width.

    They must be as wide as the student has classes.
    """
    if logits.shape[1] != classes:
        raise ValueError(
            f"{task}: the teacher knows {logits.shape[1]} classes, the student {classes}"
        )
    if not devices.all_finite(logits):
        raise ValueError(f"{task}: the teacher answers with NaN or infinity")


def train(
    suite: Suite,
    learner: nn.Module,
    inputs: Mapping[str, object],
    teacher: Mapping[str, Tensor],
    plan: Training = Training(),
    labels: Mapping[str, Tensor] | None = None,
    heads: bool = False,
    stacks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    watch: int = 0,
    device: str = "auto",
    progress: bool | None = None,
) -> Trained:
    """Fit the learner so that one merged network answers as the teachers do.

    It does so on `inputs[task]`, each under its own head. The merge is `merge.combine(suite.base,
    stacks, learner())`; `stacks` are by default the task vectors of the suite's experts. Only the
    learner is trained, or with `heads` the tasks' heads too. `labels` are needed by the loss
    `labels` alone. `watch` > 0 keeps the coefficients of every `watch`-th step. Raises `ValueError`
    when the loss is no longer finite.
    """
    if plan.loss == "labels" and labels is None:
        raise ValueError("the loss `labels` needs labels; give them, or choose another loss")
    for task, raw in inputs.items():
        if len(raw) == 0:
            raise ValueError(f"{task} has no unlabelled inputs to learn from")
        check_classes(task, teacher[task], len(suite.task(task).classes))
    place = devices.pick(device)
    stacks = (
        merge.vectors_stacked(suite.base, list(suite.experts.values()))
        if stacks is None
        else stacks
    )
    stacks = {key: value.to(place) for key, value in stacks.items()}
    base = {key: value.to(place) for key, value in suite.base.items()}
    suite, learner = (
        _with_own_heads(suite, list(inputs), place) if heads else suite,
        learner.to(place),
    )
    own = [value for task in inputs for value in suite.task(task).head.values()] if heads else []
    optimiser = torch.optim.Adam([*learner.parameters(), *own], lr=plan.rate)
    schedule = torch.optim.lr_scheduler.StepLR(
        optimiser, max(1, round(plan.drop * plan.steps)), 0.1
    )
    generator, losses, path, suites = torch.Generator().manual_seed(seed), [], {}, {}
    for step in tqdm(
        range(plan.steps),
        desc="train",
        unit="step",
        disable=None if progress is None else not progress,
    ):
        if watch and step % watch == 0:
            path[step] = learner().detach().cpu()
            if heads:
                suites[step] = _frozen(suite, list(inputs))
        chosen = {
            task: torch.randperm(len(raw), generator=generator)[: plan.batch]
            for task, raw in inputs.items()
        }
        state = merge.combine(base, stacks, learner())
        # torch's BatchNorm takes no gradient through the moments it has stored.
        state |= {
            name: state[name].detach()
            for name, _ in suite.backbone.module.named_buffers()
            if name in state
        }
        scores = logits(
            suite, state, {task: take(inputs[task], chosen[task].tolist()) for task in inputs}
        )
        loss = torch.stack(
            [
                LOSSES[plan.loss](
                    scores[task],
                    teacher[task][i].to(place),
                    None if labels is None else labels[task][i].to(place),
                    plan.temperature,
                )
                for task, i in chosen.items()
            ]
        ).mean()
        if not loss.isfinite():
            raise ValueError(
                f"the coefficients diverged: the loss is {loss.item()} at step {step} "
                f"with rate {plan.rate}; try a smaller rate"
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    found = learner().detach().cpu()
    if watch:
        path[plan.steps] = found
    last = _frozen(suite, list(inputs)) if heads else suite
    return Trained(found, losses, path, last, suites | {plan.steps: last} if suites else {})


def fit(
    suite: Suite,
    state: Mapping[str, Tensor],
    inputs: Mapping[str, object],
    labels: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor] | None = None,
    steps: int = 200,
    batch: int = 16,
    rate: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    also: Sequence[Mapping] = (),
) -> State:
    """Train all weights of one network on one task or several, each under its own frozen head.

    Returns the new state, on the CPU. `also` are further parameter groups of a torch optimiser,
    such as heads of the suite, which then are trained along, in place. The loss is cross-entropy
    against `labels[task]`, or `student_loss` with the logits `teacher[task]`. Each step takes
    `batch` inputs of every task; AdamW with weight decay 0.05, gradients clipped at norm 1, the
    step size falling from `rate` to zero on a cosine. BatchNorms learn their moments. Raises
    `ValueError` when the loss is no longer finite.
    """
    for task, raw in inputs.items():
        if len(raw) == 0:
            raise ValueError(f"{task} has no inputs to learn from")
        if teacher is not None:
            check_classes(task, teacher[task], len(suite.task(task).classes))
    place, module = devices.pick(device), suite.backbone.module
    state = {key: value.detach().clone().to(place) for key, value in state.items()}
    moving = [
        state[name].requires_grad_() for name, _ in module.named_parameters() if name in state
    ]
    optimiser = torch.optim.AdamW([{"params": moving}, *also], lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    module.train()
    try:
        for step in tqdm(
            range(steps),
            desc="fit",
            unit="step",
            disable=None if progress is None else not progress,
        ):
            chosen = {
                task: torch.randint(len(raw), (min(batch, len(raw)),), generator=generator)
                for task, raw in inputs.items()
            }
            scores = logits(
                suite, state, {task: take(inputs[task], i.tolist()) for task, i in chosen.items()}
            )
            losses = [
                cross_entropy(scores[task], labels[task][i].to(place))
                if teacher is None
                else student_loss(
                    scores[task], teacher[task][i].to(place), labels[task][i].to(place)
                )
                for task, i in chosen.items()
            ]
            loss = torch.stack(losses).mean()
            if not loss.isfinite():
                raise ValueError(
                    f"the training diverged: the loss is {loss.item()} at step {step} "
                    f"with rate {rate}; try a smaller rate"
                )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(moving, 1.0)
            optimiser.step()
            schedule.step()
    finally:
        module.eval()
    return {key: value.detach().cpu() for key, value in state.items()}


def logits(suite: Suite, state: State, inputs: Mapping[str, object]) -> dict[str, Tensor]:
    """`{task: (inputs, classes)}` of one network, in one pass over all tasks' inputs.

    Differentiable in `state`.
    """
    pieces, backbone = list(inputs.values()), suite.backbone
    if all(isinstance(piece, np.ndarray) for piece in pieces):  # of one size once prepared
        each = [backbone.prepare(piece) for piece in pieces]
        prepared = {key: torch.cat([part[key] for part in each]) for key in each[0]}
    else:
        prepared = backbone.prepare([item for piece in pieces for item in piece])
    embeddings = backbone.encode(state, prepared).split([len(piece) for piece in pieces])
    return {task: suite.logits(task, e, state) for task, e in zip(inputs, embeddings)}


def _with_own_heads(suite: Suite, tasks: Sequence[str], place: torch.device) -> Suite:
    """The suite with copies of the tasks' heads that can be trained.

    Raises `ValueError` where the model scores words.
    """
    if words := [task for task in tasks if suite.task(task).head is None]:
        raise ValueError(
            f"{words[0]} has no head to train: the model itself scores its class names"
        )
    return _map_heads(suite, tasks, lambda value: value.detach().clone().to(place).requires_grad_())


def _frozen(suite: Suite, tasks: Sequence[str]) -> Suite:
    """The suite with copies of its heads as plain tensors on the CPU."""
    return _map_heads(suite, tasks, lambda value: value.detach().cpu().clone())


def _map_heads(suite, tasks, change):
    new = {
        task: replace(
            suite.tasks[task], head={k: change(v) for k, v in suite.tasks[task].head.items()}
        )
        for task in tasks
    }
    return replace(suite, tasks=suite.tasks | new)
