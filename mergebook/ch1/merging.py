"""What merging does in a laboratory world: scales, kinds of pairs, bases, predictors, gaps."""

import itertools
from dataclasses import dataclass

import torch
from scipy import optimize
from torch import Tensor

from mergebook import lab
from mergebook.ch1 import laboratory as L
from mergebook.ch1.laboratory import COUNTED, EXACT, EXPERT, LENGTHS, RELU, TASKS, World, digits6
from mergebook.experiments import Experiment, Tolerance
from mergehelpers import mloss, states
from mergehelpers.states import State

# ------------------------------------------------------- larger steps: M-Loss, output gap, accuracy

SCALES = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0)


def at_scales(world: World) -> list[dict]:
    """The eight experts, and random directions as long, at `t` times their task vectors."""
    members, origin, x = L.experts(world.seed)[EXPERT], L.pretrained(world.seed), L.images()
    rows = []
    for kind, seed in (("experts", None), ("random directions", world.seed)):
        for t in SCALES:
            stack = L.moved_by(members, origin, t, seed)
            gap = L.output_gap(stack, x)
            row = {
                "kind": kind,
                "t": t,
                "mloss": L.own_mloss(stack, x),
                "shared_mloss": L.shared_mloss(stack, origin, x),
                "gap": gap.abs().mean().item(),
                "kept": L.relative(lab.average(stack), stack, TASKS),
            }
            rows.append(digits6(row))
    return rows


SCALING = Experiment(
    "scaling",
    1,
    World,
    at_scales,
    {
        "kind": Tolerance(),
        "t": Tolerance(),
        "mloss": EXACT,
        "shared_mloss": EXACT,
        "gap": EXACT,
        "kept": COUNTED,
    },
)

# --------------------------------------------------------------- a shared base, a permutation, a
# path


def barrier(pair: State, tasks: tuple[int, int]) -> float:
    """How far accuracy at a quarter and three quarters of the path lies below the line between its
    ends, in points, both tasks together; the midpoint is left out."""
    ends = lab.accuracy(pair, L.digits(), tasks).mean(1)
    below = []
    for share in (0.25, 0.75):
        weights = torch.tensor([1 - share, share], dtype=torch.float64)
        here = lab.accuracy(lab.average(pair, weights), L.digits(), tasks).mean()
        below.append((weights @ ends - here).item())
    return 100 * sum(below) / 2


def pair_kinds(world: World) -> list[dict]:
    """Pairs of experts of one task, one base, two bases; with permuted or rescaled units.

    A permutation and a rescale change no function: these pairs act as `shared base` does.
    """
    mine, foreign = L.experts(world.seed)[EXPERT], L.experts(world.seed + 1)[EXPERT]
    base, x, rows = L.pretrained(world.seed), L.images(), []
    generator = torch.Generator().manual_seed(world.seed)
    for t in TASKS:
        u = (t + 1) % len(TASKS)
        first, second = lab.take(mine, t), lab.take(mine, u)
        orders = [torch.randperm(64, generator=generator) for _ in range(3)]
        shuffled = L.reordered(second, orders)
        partners = {
            "same task": L.fine_tuned(base, [t], world.seed + 1000)[EXPERT],
            "shared base": second,
            "independent bases": lab.take(foreign, u),
            "units permuted": shuffled,
            "permutation undone": L.reordered(shuffled, L.matching(first, shuffled, x)),
            "one model rescaled": L.rescaled(second, 3),
        }
        pairs = {kind: lab.join([first, partner]) for kind, partner in partners.items()}
        pairs["both rescaled"] = L.rescaled(pairs["shared base"], 3)
        for kind, pair in pairs.items():
            tasks = (t, t if kind == "same task" else u)
            row = {
                "kind": kind,
                "task": t,
                "mloss": L.own_mloss(pair, L.images(tasks)),
                "barrier": barrier(pair, tasks),
                "kept": L.relative(lab.average(pair), pair, tasks),
                "base": L.relative(base, pair, tasks),
                "distance": L.distance(pair),
            }
            rows.append(digits6(row))
    return rows


KINDS = Experiment(
    "pair kinds",
    1,
    World,
    pair_kinds,
    {
        "kind": Tolerance(),
        "task": Tolerance(),
        "mloss": EXACT,
        "barrier": EXACT,
        "kept": COUNTED,
        "base": COUNTED,
        "distance": EXACT,
    },
)

# ------------------------------------------------------------------------------- more general bases

TARGETS, OTHERS = (1, 3, 5, 7), (0, 2, 4, 6)
MIXTURES = {
    "1 other": OTHERS[:1],
    "2 others": OTHERS[:2],
    "4 others": OTHERS,
    "4 targets": TARGETS,
    "4 targets, 4 others": tuple(TASKS),
}


@dataclass(frozen=True)
class Base:
    """A base by what it was pretrained on: a name of `MIXTURES`, and the number of steps."""

    seed: int
    mixture: str
    steps: int


def base_of(key: Base) -> dict:
    """Four experts of a base on the target tasks: the base's range, their spread, their merge."""
    origin = L.pretrained(key.seed, MIXTURES[key.mixture], key.steps)
    members = L.fine_tuned(origin, TARGETS, key.seed)[EXPERT]
    x = L.images(TARGETS)
    k, sigma = L.reach(origin, members, x)
    wide = L.reach(L.rescaled(origin, 10), L.rescaled(members, 10), x)[0]
    row = {
        "k": k,
        "sigma": sigma,
        "mloss": L.own_mloss(members, x),
        "own": 100 * lab.own_accuracy(members, L.digits(), TARGETS).mean().item(),
        "kept": L.relative(lab.average(members), members, TARGETS),
        "wide_k": wide,
        "wide_kept": L.relative(
            lab.average(L.rescaled(members, 10)), L.rescaled(members, 10), TARGETS
        ),
    }
    return digits6(row)


BASES = Experiment(
    "bases",
    1,
    Base,
    base_of,
    {
        "k": EXACT,
        "sigma": EXACT,
        "mloss": EXACT,
        "own": COUNTED,
        "kept": COUNTED,
        "wide_k": EXACT,
        "wide_kept": COUNTED,
    },
)

# ----------------------------------------------------------------------------- what predicts a
# merge

PREDICTORS = {  # in the order of the rows; a larger value should mean a worse merge
    "own_mloss": "M-Loss, own input",
    "shared_mloss": "M-Loss, shared input",
    "preactivations": "distance of pre-activations",
    "distance": "distance of weights",
    "cosine": "minus cosine of task vectors",
    "entropy": "entropy of the merge's output",
    "shift": "shift of features",
}


def predictors(stack: State, origin: State, x: Tensor) -> dict[str, float]:
    """What could tell, without labels, how well the members of a stack merge."""
    h, merged = lab.preactivations(stack, x), lab.preactivations(lab.average(stack), x)
    log_p = merged[-1].log_softmax(-1)
    taus = [{n: p[i] - origin[n][0] for n, p in stack.items()} for i in range(len(h[0]))]
    couples = list(itertools.combinations(range(len(taus)), 2))
    mean = len(couples)
    return {
        "own_mloss": L.own_mloss(stack, x),
        "shared_mloss": L.shared_mloss(stack, origin, x),
        "preactivations": sum((a - a.mean(0)).square().mean().sqrt().item() for a in h[:-1]) / 3,
        "distance": sum(L.distance(lab.take(stack, c)) for c in couples) / mean,
        "cosine": -sum(states.cosine(taus[i], taus[j]) for i, j in couples) / mean,
        "entropy": -(log_p.exp() * log_p).sum(-1).mean().item(),
        "shift": L.rms(merged[-2].relu() - h[-2].relu()),
    }


def groups(world: World) -> list[dict]:
    """Pairs and triples of experts at five lengths of training; pairs at three strengths."""
    origin, rows = L.pretrained(world.seed), []
    chosen = [(n, 1.0, size) for n in LENGTHS for size in (2, 3)]
    chosen += [(EXPERT, strength, 2) for strength in (0.5, 1.5)]
    for length, strength, size in chosen:
        stack = L.experts(world.seed)[length]
        for members in itertools.combinations(TASKS, size):
            own = lab.take(stack, members)
            moved = L.moved_by(own, origin, strength)
            x = L.images(members)
            row = {
                "length": length,
                "strength": strength,
                "size": size,
                **predictors(moved, origin, x),
                "layers": sum(
                    mloss.layer_mloss(h, RELU).mean().item()
                    for h in lab.preactivations(moved, x)[:-1]
                ),
                "gap": L.rms(L.output_gap(moved, x)),
                "kept": L.relative(lab.average(moved), own, members),
            }
            rows.append(digits6(row))
    return rows


GROUPS = Experiment(
    "groups of experts",
    1,
    World,
    groups,
    {name: Tolerance() for name in ("length", "strength", "size")}
    | dict.fromkeys((*PREDICTORS, "layers", "gap"), EXACT)
    | {"kept": COUNTED},
)

# -------------------------------------------------------------------------- whose gap is the
# output's


def switched_gap(stack: State, origin: State, x: Tensor) -> Tensor:
    """The output gap when every ReLU is the base's switch, on or off for each node and image."""
    switches = [(h[0] > 0).double() for h in lab.preactivations(origin, x)[:-1]]

    def logits(models):
        left = iter(switches)
        return lab.preactivations(models, x, f=lambda h: h * next(left))[-1]

    return logits(lab.average(stack))[0] - logits(stack).mean(0)


def repaired_gap(stack: State, x: Tensor) -> Tensor:
    """The output gap of the average with every activation ensembled on a shared input."""
    out = x
    for layer in range(lab.depth(stack)):
        one = {f"layers.0.{part}": stack[f"layers.{layer}.{part}"] for part in ("weight", "bias")}
        h = lab.preactivations(one, out)[0]
        out = h.relu().mean(0)
    return h.mean(0) - lab.logits(stack, x).mean(0)


def toward(first: State, foreign: State, step: float) -> State:
    """A model and what lies `step` of the way from it to another, as a stack of two."""
    moved = {name: p + step * (foreign[name] - p) for name, p in first.items()}
    return lab.join([first, moved])


def sigma_of(pair: State, x: Tensor) -> float:
    """Half the root mean square difference of a pair's pre-activations, over hidden layers."""
    hidden = lab.preactivations(pair, x)[:-1]
    return sum(L.rms(h[0] - h[1]) / 2 for h in hidden) / len(hidden)


def relative_gap(stack: State, x: Tensor) -> float:
    """Root mean square of merged minus ensembled logits, over the spread of the ensemble's."""
    return L.rms(L.output_gap(stack, x)) / lab.logits(stack, x).mean(0).std().item()


def gaps(world: World) -> dict:
    """Parts of the output gap of eight experts, at their full step and a tenth; gaps of pairs."""
    members, origin, x = L.experts(world.seed)[EXPERT], L.pretrained(world.seed), L.images()
    foreign, row = L.experts(world.seed + 1)[EXPERT], {}
    for name, t in (("", 1.0), ("small_", 0.1)):
        stack = L.moved_by(members, origin, t)
        whole, cut = L.output_gap(stack, x), switched_gap(stack, origin, x)
        row[f"{name}share"] = (cut * whole).sum().item() / whole.square().sum().item()
        row[f"{name}repaired"] = L.rms(repaired_gap(stack, x)) / L.rms(whole)
    pairs = {"two": [], "equal": [], "foreign": []}
    few = x[::4]
    for t in TASKS:
        first, second = lab.take(members, t), lab.take(members, (t + 1) % 8)
        stranger, pair = lab.take(foreign, (t + 1) % 8), lab.join([first, second])
        target = sigma_of(pair, few)
        step = optimize.brentq(
            lambda s, a=first, b=stranger, c=target: sigma_of(toward(a, b, s), few) - c, 0, 1
        )
        pairs["two"].append(relative_gap(pair, few))
        pairs["equal"].append(relative_gap(toward(first, stranger, step), few))
        pairs["foreign"].append(relative_gap(toward(first, stranger, 1.0), few))
    row |= {name: sum(values) / len(values) for name, values in pairs.items()}
    return digits6(row | {"eight": relative_gap(members, x)})


GAPS = Experiment(
    "parts of the gap",
    1,
    World,
    gaps,
    dict.fromkeys(
        ("share", "repaired", "small_share", "small_repaired", "two", "eight", "equal", "foreign"),
        EXACT,
    ),
)
