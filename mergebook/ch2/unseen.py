"""Merges on data of which no expert has seen any: tasks out of domain, and tasks held out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch

from mergebook.ch2.models import IMPRINT, Merge, model_of, only_experts, unpacked
from mergebook.ch2.search import BASELINES, FIXED, READINGS, SEARCHED, keys_of
from mergebook.experiments import Experiment
from mergebook.page import OpenSuite, opened
from mergehelpers import evaluate, states

Table = pd.DataFrame
Plan = dict[tuple[str, str], list[Merge]]
OUTSIDE, HELD_OUT = "out of domain", "held out"
COMPARED = ("base", *BASELINES, *READINGS)


def left_out(tasks: Sequence[str], seed: int, parts: int = 3) -> list[tuple[str, ...]]:
    """The tasks in disjoint parts, drawn at random: each is left out once.

    There are none for fewer than three tasks, since two experts must remain.
    """
    if len(tasks) < 3:
        return []
    order = torch.randperm(len(tasks), generator=torch.Generator().manual_seed(seed)).tolist()
    return [tuple(tasks[i] for i in sorted(order[part::parts])) for part in range(parts)]


def plan(r: OpenSuite, best: Table, seed: int, **settings) -> Plan:
    """The keys of all models, `{(kind, name): keys}`; `settings` are further fields.

    Out of domain, models have the settings that the search chose; where a third of the tasks is
    held out, the fixed ones, and one key for each third.
    """
    out, inputs = {}, {"inputs": settings["inputs"]}
    rows = best[best.suite == r.name]
    tuned = dict(zip(rows.name, keys_of(rows)))
    for name in COMPARED:
        plain = name in ("base", "average")
        if r.suite.out_of_domain:
            tasks = " + ".join(r.suite.out_of_domain)
            made = Merge(r.mark, name) if plain else tuned[name]
            out[OUTSIDE, name] = [replace(made, split="test", tasks=tasks, **inputs)]
        for part in left_out(r.tasks, seed):
            inside = " + ".join(t for t in r.tasks if t not in part)
            names = (name,) if plain else SEARCHED[name]
            given = {} if plain else FIXED[name] | settings
            made = Merge(r.mark, *names, **given, experts=inside, tasks=" + ".join(part))
            out.setdefault((HELD_OUT, name), []).append(replace(made, **inputs))
    return out


# ------------------------------------------------------------------------- TIES as long as M-TIES


def length(key: Merge, sources: Mapping[str, str], device: str) -> dict[str, float]:
    """The length of a merged change."""
    r = opened(key, sources, device)
    state = model_of(only_experts(r, key.experts) if key.experts else r, key)
    return {"length": states.norm(states.task_vector(r.base, state))}


LENGTHS = Experiment("lengths of merged changes", 1, Merge, length, {"length": IMPRINT})


def changed(key: Merge) -> Merge:
    """The key of the model alone, whatever it answers."""
    return replace(key, split="test", inputs=0, tasks="")


def to_measure(found: Plan) -> list[Merge]:
    """The keys of the changes whose lengths `with_equal_lengths` needs."""
    return [
        changed(k) for (_, name), keys in found.items() if name in ("TIES", *READINGS) for k in keys
    ]


def with_equal_lengths(found: Plan, lengths: Table) -> Plan:
    """The plan with TIES scaled to the length of each reading of M-TIES."""
    of = dict(zip(keys_of(lengths), lengths.length))
    more = {
        (kind, f"TIES, as long as {name}"): [
            replace(t, scale=round(t.scale * of[changed(m)] / of[changed(t)], 4))
            for t, m in zip(found[kind, "TIES"], keys)
        ]
        for (kind, name), keys in found.items()
        if name in READINGS
    }
    return found | more


def unseen_answers(plans: Mapping[str, Plan], rows: Table) -> Table:
    """Answers of each model to all inputs of a kind: columns `suite`, `kind`, `name`, `right`."""
    of = dict(zip(keys_of(rows), rows.right))
    found = [
        (suite, kind, name, [packed for key in keys for packed in of[key]])
        for suite, made in plans.items()
        for (kind, name), keys in made.items()
    ]
    return pd.DataFrame(found, columns=["suite", "kind", "name", "right"])


def percentages(answers: Table) -> Table:
    """Accuracy (%) of each model on each kind of unseen tasks, the mean over tasks."""
    accuracy = [evaluate.percent([unpacked(row)]) for row in answers.right]
    rows = answers.assign(accuracy=accuracy).set_index(["name", "suite", "kind"])
    return rows.accuracy.unstack(["suite", "kind"], sort=False).map("{:.1f}".format)
