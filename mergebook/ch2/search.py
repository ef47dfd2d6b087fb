"""Every method with the same number of tries on validation inputs, and its choice on test inputs.

A try is a point: keep rate k, spread e, scale of a mean, and λ, the scale of the mean task vector.
Every method tries the same points, and uses the coordinates that it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd
import torch

from mergebook import ledger, studies
from mergebook.ch1.encoders import ANSWERS
from mergebook.ch2.models import Merge, by_name, experiment, minus, unpacked
from mergebook.experiments import Experiment
from mergebook.intervals import Interval
from mergebook.page import OpenSuite, opened, stored
from mergehelpers import evaluate

Table = pd.DataFrame
Point = tuple[float, float, float, float]
SEARCH = experiment("search of settings")
CHOSEN = experiment("merges at chosen settings")
FIELDS = [f.name for f in fields(Merge)]

# Each reading of M-TIES with its controls: the same merge without its order of nodes.
READINGS = {
    "M-TIES, released": ("TIES by tensor", "rows, all keep k", "rows, random order"),
    "M-TIES, paper": ("line 22, all keep k", "line 22, random order"),
    "M-TIES, paper, all tensors": ("all tensors, all keep k", "all tensors, random order"),
}
BASELINES = ("average", "task arithmetic", "TIES", "DARE")  # the paper's merges
# What is searched: a name, its method and its order of nodes.
SEARCHED = {
    "task arithmetic": ("task arithmetic", ""),
    "TIES": ("TIES", ""),
    "TIES by tensor": ("TIES by tensor", ""),
    "DARE": ("DARE", ""),
    "DARE, summed": ("DARE, summed", ""),
    "M-DARE": ("M-DARE", "released"),
    "M-TIES, released": ("rows", "released"),
    "rows, all keep k": ("rows", "constant"),
    "rows, random order": ("rows", "random"),
    "M-TIES, paper": ("line 22", "merged so far"),
    "line 22, all keep k": ("line 22", "constant"),
    "line 22, random order": ("line 22", "random"),
    "M-TIES, paper, all tensors": ("line 22 everywhere", "merged so far"),
    "all tensors, all keep k": ("line 22 everywhere", "constant"),
    "all tensors, random order": ("line 22 everywhere", "random"),
}
NAMES = {found: name for name, found in SEARCHED.items()}
NAMES |= {("base", ""): "base", ("average", ""): "average"}
# The settings of Table 1 by the released logs; of task arithmetic there are none, λ is ours.
FIXED = {
    "task arithmetic": {"scale": 1.8},
    "TIES": {"keep": 0.2},
    "DARE": {"keep": 0.7},
    **{reading: {"keep": 0.8, "spread": 0.1} for reading in READINGS},
}


# --------------------------------------------------------------------------------- the search


def search_points(budget: int, seed: int) -> list[Point]:
    """`budget` quasi-random points, and M-TIES' and TIES' settings of `FIXED`."""
    drawn = torch.quasirandom.SobolEngine(3, scramble=True, seed=seed).draw(budget).double()
    found = []
    for k, e, c in drawn.tolist():
        keep = 0.05 ** (1 - k)
        # Rounded: a last digit that differs on another processor would name another row.
        found.append(tuple(round(v, 6) for v in (keep, e * keep, 0.5 * 6**c, 0.5 * 10**c)))
    return [*found, (0.8, 0.1, 1.0, 1.8), (0.2, 0.1, 1.0, 1.8)]


def at(method: str, order: str, point: Point) -> dict[str, float]:
    """The coordinates of a point that a method has, as fields of `Merge`."""
    keep, spread, scale, of_mean = point
    return {
        "keep": 1.0 if method == "task arithmetic" else keep,
        "spread": spread if order not in ("", "constant") else 0.0,
        "scale": of_mean if method in ("task arithmetic", "DARE, summed") else scale,
    }


def tries(r: OpenSuite, tried: Sequence[Point], **settings) -> list[Merge]:
    """The keys of all methods at all points; `settings` are further fields."""
    return [
        Merge(r.mark, method, order, **at(method, order, point), split="val", **settings)
        for method, order in SEARCHED.values()
        for point in tried
    ]


def scored_share(r: OpenSuite) -> float:
    """The share of a network's entries that lie in rows with a rate of their own."""
    rows = sum(r.base[r.backbone.weight_name(site)].numel() for site in r.backbone.sites())
    return rows / sum(value.numel() for value in r.base.values())


def keys_of(rows: Table) -> list[Merge]:
    """The keys of rows."""
    return [Merge(**row) for row in rows[FIELDS].to_dict("records")]


def with_names(rows: Table) -> Table:
    """Rows with the names of their models."""
    names = [NAMES[found] for found in zip(rows.method, rows.order)]
    return rows.assign(name=names)


def validated(rows: Table, suites: Sequence[OpenSuite]) -> Table:
    """The search with its accuracies (%), its labels, and the share of entries that it keeps.

    Rows by rates keep k - e/2 in the mean.
    """
    right = [unpacked(row) for row in rows.right]
    share = rows.suite.map({r.name: scored_share(r) for r in suites})
    return with_names(rows).assign(
        validation=[evaluate.percent([answers]) for answers in right],
        labels=[sum(map(len, answers.values())) for answers in right],
        kept=rows.keep - rows.spread / 2 * share,
    )


def chosen_tries(tried: Table) -> Table:
    """Of each method the first try that is best on validation inputs."""
    return tried.loc[tried.groupby(["suite", "name"], sort=False).validation.idxmax()]


def tests(r: OpenSuite, best: Table, inputs: int) -> list[Merge]:
    """The keys of the base, the average and every method's choice, on test inputs."""
    plain = [Merge(r.mark, name, inputs=inputs) for name in ("base", "average")]
    tuned = keys_of(best[best.suite == r.name])
    return plain + [replace(key, split="test", inputs=inputs) for key in tuned]


def untuned(r: OpenSuite, **settings) -> list[Merge]:
    """The keys of the average, TIES and M-TIES at the settings of `FIXED`, on test inputs."""
    names = {name: SEARCHED[name] for name in ("TIES", *READINGS)}
    plain = [Merge(r.mark, "average", inputs=settings["inputs"])]
    return plain + [Merge(r.mark, *of, **FIXED[name], **settings) for name, of in names.items()]


# ------------------------------------------------------------------------------- the ensembles

# What is averaged, and the name of the ensemble.
KINDS = {
    "features": "ensemble of features",
    "logits": "ensemble of logits",
    "probabilities": "ensemble of probabilities",
    "confident": "ensemble by confidence",
}


@dataclass(frozen=True)
class Ensemble:
    """The key of ensembles of all experts on one task: `inputs` of its test inputs, all if 0."""

    models: str
    task: str
    inputs: int = 0


def voted(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Scores (inputs, classes) of ensembles, from those of voters (voters, inputs, classes)."""
    law = logits.softmax(-1)
    sure = law.amax(-1, keepdim=True) ** 4
    return {
        "logits": logits.mean(0),
        "probabilities": law.mean(0),
        "confident": (law * sure).sum(0),
    }


def ensembled(key: Ensemble, sources: Mapping[str, str], device: str) -> dict[str, str]:
    """Right answers of four ensembles of all experts, packed.

    Of their features, by the base's head; of their logits; of their probabilities; and of these
    with the fourth power of the largest as weight.
    """
    r = opened(key, sources, device)
    limit = key.inputs or None
    each = [(e, r.embeddings(e, key.task, "test", limit)) for e in r.experts.values()]
    logits = torch.stack([r.head_logits(key.task, x, e) for e, x in each]).double()
    mean = torch.stack([x for _, x in each]).mean(0)
    scores = {"features": r.head_logits(key.task, mean, r.base), **voted(logits)}
    labels = r.labels(key.task, "test", limit)
    return studies.pack_answers({k: s.argmax(-1) == labels for k, s in scores.items()})


ENSEMBLES = Experiment(
    "ensembles of experts", 1, Ensemble, ensembled, dict.fromkeys(KINDS, ANSWERS)
)


def as_models(ensembles: Table) -> Table:
    """Ensembles as rows like those of merges: a suite, a name, the answers of all its tasks."""
    rows = [
        (suite, name, part[kind].tolist())
        for suite, part in ensembles.groupby("suite", sort=False)
        for kind, name in KINDS.items()
    ]
    return pd.DataFrame(rows, columns=["suite", "name", "right"])


# ---------------------------------------------------------------------------------- the tables


def side_by_side(rows: Table, best: Table, ensembles: Table) -> Table:
    """Test answers of all models, with what the search says of them."""
    more = best[["suite", "name", "validation", "kept"]]
    merges = with_names(rows).merge(more, on=["suite", "name"], how="left")
    merges["kept"] = merges.kept.fillna(1.0)
    return pd.concat([merges, as_models(ensembles)], ignore_index=True)


def alone(r: OpenSuite, inputs: int) -> list[Merge]:
    """The keys of each expert on all tasks."""
    return [Merge(r.mark, "expert", inputs=inputs, experts=task) for task in r.tasks]


def with_own(rows: Table, suites: Sequence[OpenSuite]) -> Table:
    """Experts' answers, and the place of each expert's own task among the suite's."""
    place = {(r.name, task): i for r in suites for i, task in enumerate(r.tasks)}
    return rows.assign(own=[place[found] for found in zip(rows.suite, rows.experts)])


def gaps_to(answers: Table, rival: str, seed: int = 0) -> Table:
    """Every model minus a rival, on each suite, in points; the rival minus itself is 0."""
    rows = []
    for suite, part in answers.groupby("suite", sort=False):
        of = by_name(part, "name")
        each = {name: minus(of[name], of[rival], seed) for name in of if name != rival}
        rows += [(suite, name, each.get(name, Interval(0.0, 0.0, 0.0))) for name in of]
    found = pd.DataFrame(rows, columns=["suite", "name", "gap"])
    ends = pd.DataFrame(found.gap.tolist(), columns=["value", "low", "high"])
    return found.join(ends)


def stored_gaps(
    rival: str, budget: int = 24, samples: int = 16, inputs: int = 500, seed: int = 0
) -> Table:
    """`gaps_to` of the chosen merges from the book's rows, for a page that opens no suite.

    The settings are those of the page that stored them.
    """
    searched, answers = stored(SEARCH, 2), stored(CHOSEN, 2)
    of = {
        name: dict(zip(keys_of(t), t.right)) for name, t in (("val", searched), ("test", answers))
    }
    rows = []
    for suite, mark in dict(zip(searched.suite, searched.models)).items():
        for name, (method, order) in SEARCHED.items():
            keys = [
                Merge(
                    mark,
                    method,
                    order,
                    **at(method, order, point),
                    split="val",
                    samples=samples,
                    draw=seed,
                )
                for point in search_points(budget, seed)
            ]
            # The first of those that are best, as in `chosen_tries`.
            best = max(keys, key=lambda key: evaluate.percent([unpacked(of["val"][key])]))
            rows.append((suite, name, of["test"][replace(best, split="test", inputs=inputs)]))
    return gaps_to(pd.DataFrame(rows, columns=["suite", "name", "right"]), rival, seed)


# Our names of the rows of Table 1.
IN_TABLE_1 = {
    "average": "Simple Avg.",
    "task arithmetic": "Task Arithmetic",
    "TIES": "TIES",
    "DARE": "DARE",
    "M-TIES, released": "M-TIES",
    "ensemble of features": "Ensembling",
}


def settings_table(answers: Table) -> Table:
    """What the search chose for each model, with its validation accuracy (%), for each suite."""
    out = {}
    tuned = answers[answers.validation.notna()]
    for suite, part in tuned.groupby("suite", sort=False):
        rows = part.set_index("name")
        shown = {
            "k": rows.keep.where(rows.method != "task arithmetic"),
            "e": rows.spread.where(rows.spread > 0),
            "scale": rows.scale,
        }
        shown = pd.DataFrame(shown).map("{:.2f}".format)
        shown["validation"] = rows.validation.map("{:.1f}".format)
        out[suite] = shown.replace("nan", "")
    return pd.concat(out, axis=1)


def search_table(answers: Table, seed: int = 0) -> Table:
    """Test accuracies (%) and each model minus TIES; beside them the paper's ViT-B/32."""
    paper = ledger.printed("mloss_table1").set_index(["Backbone", "Method"]).Avg["ViT-B/32"]
    out = {}
    for suite, part in answers.groupby("suite", sort=False):
        rows = part.set_index("name")
        gaps = gaps_to(part, "TIES", seed).set_index("name").gap
        shown = {"test": [f"{evaluate.percent([unpacked(row)]):.1f}" for row in rows.right]}
        shown["minus TIES"] = gaps.map("{:+.1f}".format).where(gaps.index != "TIES", "")
        out[suite] = pd.DataFrame(shown, index=rows.index)
    table = pd.concat(out, axis=1)
    table["paper", "ViT-B/32"] = [
        f"{paper[IN_TABLE_1[n]]:.1f}" if n in IN_TABLE_1 else "" for n in table.index
    ]
    return table
