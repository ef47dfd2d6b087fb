"""What FT-Classifier defines before it repairs: merges, heads, anchors (evidence page 05a)."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergebook.page import OpenSuite
from mergebook.protocols import EXPERT, Bench
from mergehelpers import alignment, merge

Table = pd.DataFrame
MERGED = "weight averaging"  # the merge that heads, anchors and repairs are looked at on
TASK_VECTORS, RANDOM = "task vectors", "random vectors"


def bench_of(r: OpenSuite, tasks: int, samples: int, test_samples: int) -> Bench:
    """The experts and their average, on the first tasks and inputs of a suite."""
    found = Bench(r.suite, {"test": test_samples, "unlabelled": samples}, r.device)
    found.tasks = found.tasks[:tasks]
    found.add(MERGED, r.average)
    return found


# -------------------------------------------------------------------------------- merges, Eqs. 1-3


def moved_matrices(r: OpenSuite, most: int = 8) -> tuple[dict, list[dict]]:
    """The base's last weight matrices that an expert changed, and the experts', as double."""
    experts = list(r.experts.values())
    names = [
        name
        for name, w in r.base.items()
        if w.is_floating_point() and w.dim() == 2 and any((e[name] != w).any() for e in experts)
    ][-most:]
    states = [{name: state[name].cpu().double() for name in names} for state in (r.base, *experts)]
    return states[0], states[1:]


def _apart(a: dict, b: dict) -> float:
    """Largest difference of two states, over the largest entry of the first."""
    largest = max(float(w.abs().max()) for w in a.values())
    return max(float((a[name] - b[name]).abs().max()) for name in a) / largest


def written_out(
    r: OpenSuite,
    scale: float,
    average: Callable = merge.average,
    arithmetic: Callable = merge.task_arithmetic,
) -> Table:
    """Eqs. 1 and 2 written out, against a rule of each; `error` is relative, a row a comparison.

    The third row is Eq. 2 with its scale divided by the number of experts, as M-Loss has it: what
    another meaning of the one symbol makes of the same number.
    """
    base, experts = moved_matrices(r)
    q = len(experts)
    mean = {n: sum(e[n] for e in experts) / q for n in base}
    added = {n: base[n] + scale * sum(e[n] - base[n] for e in experts) for n in base}
    errors = {
        ("Eq. 1", "the mean"): _apart(mean, average(experts)),
        ("Eq. 2", "the sum, λ"): _apart(added, arithmetic(base, experts, scale)),
        ("Eq. 2", "λ = 1/T is Eq. 1"): _apart(mean, arithmetic(base, experts, 1 / q)),
        ("other", "the sum, λ/T"): _apart(added, arithmetic(base, experts, scale / q)),
    }
    rows = [(r.name, *key, len(base), q, error) for key, error in errors.items()]
    return Table(rows, columns=["suite", "equation", "way", "matrices", "experts", "error"])


def entry_by_entry(stack: Tensor, keep: float, step: int = 1) -> Tensor:
    """TIES with a sum, one entry at a time, of every `step`-th entry: trim, elect, add it up.

    `stack` (vectors, entries). The elected sign is the one with the larger sum.
    """
    found = stack.clone().numpy()
    for vector in found:
        kept = max(1, round(keep * len(vector)))
        vector[np.abs(vector) < np.partition(np.abs(vector), -kept)[-kept]] = 0
    out = []
    for entries in found.T[::step]:
        up, down = entries[entries > 0].sum(), -entries[entries < 0].sum()
        out.append(up if up > down else -down)
    return torch.tensor(np.array(out))


def ties_sums(
    r: OpenSuite,
    seed: int,
    keep: float = 0.2,
    entries: int = 10_000,
    added_up: Callable = lambda stack, keep: merge.elect(merge.trim(stack, keep)).sum(0),
) -> Table:
    """Eq. 3, the sum of processed task vectors, against two forms of TIES, a row a set of vectors.

    `code`: its largest difference from TIES with a disjoint sum, found entry by entry, relative.
    `left`: the share of the length of the disjoint mean, the form of the TIES paper, that the best
    multiple `best` of the sum leaves. `at_few`, `at_many`: the mean ratio of sum to mean among
    entries in which as many vectors agree as `few` and `many` say.
    """
    base, experts = moved_matrices(r)
    real = torch.stack([torch.cat([(e[n] - base[n]).flatten() for n in base]) for e in experts])
    g, rows = torch.Generator().manual_seed(seed), []
    drawn = torch.randn(len(experts), entries, generator=g, dtype=torch.float64)
    for of, stack in ((TASK_VECTORS, real), (RANDOM, drawn)):
        added, processed = added_up(stack, keep), merge.trim(stack, keep)
        mean, count = merge.disjoint_mean(processed), (merge.elect(processed) != 0).sum(0)
        step = max(1, stack.shape[1] // entries)
        by_hand = entry_by_entry(stack, keep, step)
        code = float((by_hand - added[::step]).abs().max() / added.abs().max())
        best = float(added @ mean / (added @ added))
        left = float((mean - best * added).norm() / mean.norm())
        there = [n for n in range(1, len(experts) + 1) if (count == n).any()]
        ratios = [float((added[count == n] / mean[count == n]).mean()) for n in there]
        rows.append((r.name, of, code, left, best, there[0], ratios[0], there[-1], ratios[-1]))
    names = ["few", "at_few", "many", "at_many"]
    return Table(rows, columns=["suite", "of", "code", "left", "best", *names])


# --------------------------------------------------------------------------------- the head, Eq. 4


def _percent(head: Callable, bench: Bench, model: str, task: str) -> float:
    right = head(bench.z(model, task)).argmax(1) == bench.y(task)
    return 100 * float(right.double().mean())


def head_accuracies(r: OpenSuite, bench: Bench) -> Table:
    """Accuracy in percent under the expert's head, a row a task.

    Of the `expert`, and of it as the rest of the book counts (`suite`); without the `bias`, which
    Eq. 4 does not have; and of the `merged` encoder.
    """
    rows = []
    for task in bench.tasks:
        head = bench.head(task)
        bare = head._replace(bias=0 * head.bias)
        right = r.answers(r.experts[task], "test", [task], bench.limits["test"])[task]
        by_suite = 100 * float(right.double().mean())
        numbers = [_percent(h, bench, EXPERT, task) for h in (head, bare)]
        rows.append(
            (r.name, task, numbers[0], by_suite, numbers[1], _percent(head, bench, MERGED, task))
        )
    return Table(rows, columns=["suite", "task", "expert", "by_suite", "bare", "merged"])


# --------------------------------------------------------------------------------- anchors, Eq. 5


def anchor_rules(
    r: OpenSuite, bench: Bench, seed: int, shots: int = 5, rule: Callable = alignment.mean_distance
) -> Table:
    """A rule's scores of merged features against Eq. 5 in two loops, a row a task.

    `error`: the largest difference, relative. `same`, `prototype`, `vote`: percent of inputs to
    which the rule, the distance to the mean anchor, and a vote of five neighbours give the class
    of the loops. `lemma`: the largest difference of the mean squared distance from the squared
    distance to the mean plus the scatter, relative.
    """
    rows = []
    for task in bench.tasks:
        z, y, names = bench.z(MERGED, task), bench.y(task), bench.suite.task(task).classes
        most = int(torch.bincount(y, minlength=len(names)).min())
        chosen = alignment.draw_shots(y, min(shots, most), names, seed)
        a, of = z[chosen], y[chosen]
        members = [a[of == c] for c in range(len(names))]
        # Eq. 5: for every input and class the mean of the distances to the class's anchors.
        points = [m.numpy() for m in members]
        loops = np.array(
            [[np.mean([np.linalg.norm(p - q) for q in m]) for m in points] for p in z.numpy()]
        )
        squares = torch.stack([((z[:, None] - m) ** 2).sum(2).mean(1) for m in members])
        centres = [(m.mean(0), ((m - m.mean(0)) ** 2).sum(1).mean()) for m in members]
        split = torch.stack([((z - centre) ** 2).sum(1) + scatter for centre, scatter in centres])
        rules = (rule, alignment.prototype, alignment.vote)
        scores = [f(z, a, of, len(names)).numpy() for f in rules]
        shares = [100 * (s.argmax(1) == loops.argmin(1)).mean() for s in scores]
        error = np.abs(-scores[0] - loops).max() / loops.max()
        lemma = (squares - split).abs().max() / squares.max()
        rows.append((r.name, task, float(error), *shares, float(lemma)))
    return Table(rows, columns=["suite", "task", "error", "same", "prototype", "vote", "lemma"])


def broad_classes(
    seed: int, widths=(1, 1.25, 1.5, 2), inputs: int = 2000, shots: int = 20
) -> Table:
    """Two Gaussian classes in 8 dimensions, the second so many times as wide.

    A row a rule and width: `accuracy`, and the percentage of inputs given to the `narrow` class;
    half of them belong there.
    """
    rows = []
    for width in widths:
        g = torch.Generator().manual_seed(seed)
        y = torch.arange(inputs) % 2
        centre = torch.zeros(2, 8, dtype=torch.float64)
        centre[1, 0] = 3.0
        spread = torch.where(y == 1, float(width), 1.0)[:, None]
        z = centre[y] + spread * torch.randn(inputs, 8, generator=g, dtype=torch.float64)
        chosen = alignment.draw_shots(y, shots, ("narrow", "broad"), seed)
        rest = torch.ones(inputs, dtype=torch.bool).index_fill(0, chosen, False)
        for name, rule in alignment.ANCHORED.items():
            found = rule(z[rest], z[chosen], y[chosen], 2).argmax(1)
            right, narrow = (found == y[rest]).double(), (found == 0).double()
            rows.append((name, width, 100 * float(right.mean()), 100 * float(narrow.mean())))
    return Table(rows, columns=["rule", "width", "accuracy", "narrow"])
