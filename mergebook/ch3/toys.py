"""A laboratory with exact matrices: tiny models whose averages over inputs and labels are sums.

A *toy* has three tasks of 60 inputs each. Their true label laws come from hidden networks, a common
one plus a change for each task. The base learns the common law; three experts continue from it on
the exact law of their task. *Near* tasks change by 0.1 to 0.3 of the common network's size, *far*
ones by 0.1 to 0.6.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

INPUTS, CLASSES, HIDDEN, EACH, TASKS, TOYS = 4, 4, 12, 60, 3, 10
REACH = {"near": (0.1, 0.3), "far": (0.1, 0.6)}
LABELS = ("soft", "hard")  # what teachers give: a law, or its most likely class
REFERENCES = ("base", "average", "joint")  # where a loss is expanded


def softmax_regression(theta: Tensor, x: Tensor) -> Tensor:
    """Class scores (inputs, classes) of a linear model with 20 weights."""
    w = theta.view(CLASSES, INPUTS + 1)
    return x @ w[:, :-1].T + w[:, -1]


def two_layer(theta: Tensor, x: Tensor) -> Tensor:
    """Class scores (inputs, classes) of a network of one hidden layer with 112 weights."""
    split = HIDDEN * (INPUTS + 1)
    first, second = theta[:split].view(HIDDEN, -1), theta[split:].view(CLASSES, -1)
    hidden = torch.tanh(x @ first[:, :-1].T + first[:, -1])
    return hidden @ second[:, :-1].T + second[:, -1]


NETS = {"softmax regression": softmax_regression, "network": two_layer}
SIZES = {
    "softmax regression": CLASSES * (INPUTS + 1),
    "network": HIDDEN * (INPUTS + 1) + CLASSES * (HIDDEN + 1),
}


def law_of(net, theta: Tensor, x: Tensor) -> Tensor:
    """p(y|x), (inputs, classes)."""
    return net(theta, x).softmax(-1)


def loss_of(net, theta: Tensor, x: Tensor, law: Tensor) -> Tensor:
    """Eq. 11: cross-entropy with labels from `law`, exact in the label."""
    return -(law * net(theta, x).log_softmax(-1)).sum(-1).mean()


def scores_of(net, theta: Tensor, x: Tensor) -> Tensor:
    """Gradients of log p(y|x) by the weights: (inputs, classes, weights)."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda t, row: net(t, row[None])[0]), (None, 0))
    jacobian = jacobian(theta, x)
    return jacobian - (law_of(net, theta, x)[:, :, None] * jacobian).sum(1, keepdim=True)


def slope_of(scores: Tensor, law: Tensor) -> Tensor:
    """Eq. 12: the gradient of the loss, as the mean of minus the score."""
    return -(law[:, :, None] * scores).sum((0, 1)) / len(scores)


def fisher_of(scores: Tensor, law: Tensor) -> Tensor:
    """Eq. 13: the mean of score times score', with labels from `law`."""
    rows = (law.sqrt()[:, :, None] * scores).flatten(0, 1)
    return rows.T @ rows / len(scores)


@dataclass(frozen=True, eq=False)
class Toy:
    """One toy; `truth`, `soft` and `hard` are label laws (inputs, classes).

    `own` has the weights of the hidden networks of its tasks, `experts` those of its experts.
    """

    kind: str
    reach: str
    number: int
    x: Tensor
    truth: Tensor
    own: Tensor
    base: Tensor
    experts: Tensor

    @property
    def net(self):
        """Class scores from weights and inputs."""
        return NETS[self.kind]

    @cached_property
    def soft(self) -> Tensor:
        """The law that each expert gives on the inputs of its own task."""
        parts = zip(self.experts, self.x.split(EACH))
        return torch.cat([law_of(self.net, e, part) for e, part in parts])

    @cached_property
    def hard(self) -> Tensor:
        """Each expert's most likely class, one-hot."""
        return torch.eye(CLASSES, dtype=torch.float64)[self.soft.argmax(1)]

    @property
    def average(self) -> Tensor:
        """The mean of the experts."""
        return self.experts.mean(0)

    @cached_property
    def joint(self) -> Tensor:
        """A model trained on the soft labels of all tasks together."""
        return settle(self, self.soft)

    @cached_property
    def scores(self) -> Tensor:
        """The scores at the base."""
        return scores_of(self.net, self.base, self.x)

    def law(self, theta: Tensor) -> Tensor:
        """The model's own label law."""
        return law_of(self.net, theta, self.x)

    def loss(self, theta: Tensor, law: Tensor) -> Tensor:
        """Cross-entropy over all tasks, with labels from `law`."""
        return loss_of(self.net, theta, self.x, law)

    def scores_at(self, theta: Tensor) -> Tensor:
        """The scores at other weights."""
        return self.scores if theta is self.base else scores_of(self.net, theta, self.x)

    def hessian(self, theta: Tensor, law: Tensor) -> Tensor:
        """The second derivatives of the loss, by automatic differentiation."""
        return torch.func.jacrev(torch.func.grad(lambda t: self.loss(t, law)))(theta)


def descend(net, thetas: Tensor, xs: Tensor, laws: Tensor, steps: int) -> Tensor:
    """Gradient descent with step 0.5, many models at a time."""
    slopes = torch.func.vmap(torch.func.grad(lambda t, x, law: loss_of(net, t, x, law)))
    for _ in range(steps):
        thetas = thetas - 0.5 * slopes(thetas, xs, laws)
    return thetas


def settle(toy: Toy, law: Tensor, steps: int = 30, damping: float = 0.01) -> Tensor:
    """Joint training on all tasks, from the average: Newton steps with a damped Fisher matrix."""
    theta = toy.average
    for _ in range(steps):
        scores = toy.scores_at(theta)
        ridge = damping * torch.eye(len(theta), dtype=theta.dtype)
        step = torch.linalg.solve(fisher_of(scores, toy.law(theta)) + ridge, slope_of(scores, law))
        here = toy.loss(theta, law)
        while toy.loss(theta - step, law) > here and step.norm() > 1e-12:
            step = step / 2
        theta = theta - step
    return theta


def toy_family(kind: str, reach: str, seed: int, count: int = TOYS) -> list[Toy]:
    """The toys of one kind of model and one reach of its tasks."""
    g, net = torch.Generator().manual_seed(seed), NETS[kind]
    low, high = REACH[reach]

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    size = 0.5 if net is two_layer else 1.0
    centres = draw(count, TASKS, 1, INPUTS)  # a cloud of inputs for each task
    xs = centres + draw(count, TASKS, EACH, INPUTS)
    common = 2 * size * draw(count, 1, SIZES[kind])
    uniform = torch.rand(count, TASKS, 1, generator=g, dtype=torch.float64)
    own = common + (low + (high - low) * uniform) * 2 * size * draw(count, TASKS, SIZES[kind])
    laws = torch.func.vmap(lambda t, x: law_of(net, t, x))
    truth = laws(own.flatten(0, 1), xs.flatten(0, 1))
    start, pooled = size / 2 * draw(count, SIZES[kind]), xs.flatten(1, 2)
    base = descend(net, start, pooled, laws(common[:, 0], pooled), 300)
    experts = descend(net, base.repeat_interleave(TASKS, 0), xs.flatten(0, 1), truth, 200)
    truth, experts = truth.view(count, -1, CLASSES), experts.view(count, TASKS, -1)
    parts = zip(pooled, truth, own, base, experts)
    return [Toy(kind, reach, i, *part) for i, part in enumerate(parts)]


@lru_cache(maxsize=2)
def toys(seed: int, count: int = TOYS) -> tuple[Toy, ...]:
    """All toys: both kinds of models, near and far tasks, `count` of each."""
    return tuple(
        t for kind in NETS for reach in REACH for t in toy_family(kind, reach, seed, count)
    )


def far(seed: int, count: int = TOYS) -> list[Toy]:
    """The toys with far tasks."""
    return [toy for toy in toys(seed, count) if toy.reach == "far"]


def named(toy: Toy) -> dict[str, str | int]:
    """The columns that say which toy a row is of."""
    return {"kind": toy.kind, "tasks": toy.reach, "toy": toy.number}
