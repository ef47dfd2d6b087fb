"""Claims of Section 3 and A.3.1: statistics, merge, learner, losses (evidence page 03e)."""

import numpy as np
import pandas as pd
from scipy import special

from mergebook.ch3.definitions import energy_table
from mergebook.ch3.learning import ORDERS, rightly
from mergebook.claims import Outcome, claim
from mergebook.intervals import Interval
from mergebook.weighing import below, weighed

Table = pd.DataFrame


def both(*parts: bool | None) -> bool | None:
    """Whether all parts hold; None if one is undecided."""
    return None if None in parts else all(parts)


@claim("stats-eq1-svd")
def svd(matrices: Table) -> Outcome:
    """U S V' is the matrix, and its squared singular values sum to its squared norm."""
    values = {"matrices": len(matrices)}
    values |= {name: below(matrices[name], 1e-9) for name in ("rebuilt", "squares", "helper")}
    return Outcome(both(values["rebuilt"], values["squares"]), values=values)


@claim("stats-eq2-taskwise-statistics")
def taskwise_statistics(models: Table) -> Outcome:
    """A model has 3 + r statistics, whichever part of the text one follows.

    Corrected: it has, if the singular values of its layers are averaged.
    """
    asked = 3 + models["rank"]
    averaged, joined = (models[name] == asked for name in ("averaged", "concatenated"))
    right = below(models.error, 1e-9)
    first = models.iloc[0]
    values = {"asked": int(asked.iloc[0]), "models": len(models)}
    values |= {name: int(first[name]) for name in ("averaged", "concatenated")}
    if right is None:
        return Outcome(None, values=values)
    corrected = right and averaged.all()
    return Outcome(bool(corrected and joined.all()), bool(corrected), values)


@claim("stats-eq3-layerwise-statistics")
def layerwise_statistics(layers: Table) -> Outcome:
    """Every layer has r singular values.

    Corrected: where there are fewer, zeros fill the places, and all 3 + r numbers are finite.
    """
    columns = [
        "mean",
        "variance",
        "magnitude",
        *(c for c in layers if c.startswith("s") and c != "suite"),
    ]
    one = layers[layers.expert == layers.expert.iloc[0]]
    short = one["values"] < one["rank"]
    filled = bool(np.isfinite(layers[columns].to_numpy()).all())
    filled &= len(columns) == 3 + int(one["rank"].iloc[0])
    values = {
        "short": int(short.sum()),
        "layers": len(one),
        "rank": int(one["rank"].iloc[0]),
        "vectors": int((one["values"] == 1).sum()),
    }
    return Outcome(bool(filled and not short.any()), filled, values)


@claim("stats-eq9-conv-reshape")
def reshape(kernels: Table, models: Table) -> Outcome:
    """Flattening keeps the norm, and all singular values together fit Eqs. 2 and 3.

    Corrected: it keeps the norm, and for patches the singular values of the convolution.
    """
    of = kernels.set_index("kernel")
    ratio = of.operator / of.flattened
    kept = below(kernels.norm, 1e-9)
    exact = below([abs(ratio["patches"] - 1)], 1e-9)
    first = models.iloc[0]
    values = {
        "patches": ratio["patches"],
        "usual": ratio["3 x 3"],
        "joined": int(first.concatenated),
        "asked": int(3 + first["rank"]),
    }
    if both(kept, exact) is None:
        return Outcome(None, values=values)
    fits = bool((models.concatenated == 3 + models["rank"]).all())
    return Outcome(kept and fits, kept and exact, values)


def most(above: int, of: int) -> Interval:
    """The percentage of layers above 95 %, with the exact interval of Clopper and Pearson."""
    if not of:
        return Interval(np.nan, np.nan, np.nan)
    low = special.betaincinv(above, of - above + 1, 0.025) if above else 0.0
    high = special.betaincinv(above + 1, of - above, 0.975) if above < of else 1.0
    return Interval(100 * above / of, float(100 * low), float(100 * high))


@claim("stats-rank3-energy-95")
def rank3(found: Table) -> Outcome:
    """Rank 3 holds more than 95 % of the energy of most weight matrices of the experts.

    Corrected: of most layers, where a bias or a gain, a matrix of rank one, counts as one.
    Fails: neither, nor of task vectors.
    """
    rows = []
    for row in energy_table(found).to_dict("records"):
        row["percent"] = most(row["above 95 %"], row["layers"])
        rows.append(row | {"share": 100 * row["share"], "above": row["above 95 %"]})
    suites = found[found.of == "task vectors"].suite.unique()  # random weights have none
    of = {(row["of"], row["counted"], row["suite"]): row["percent"] for row in rows}

    def reading(what, counted):
        return [of[what, counted, suite] for suite in suites]

    plain, counted = reading("weights", "matrices"), reading("weights", "all layers")
    others = [x for kind in ("task vectors", "tasks by entries") for x in reading(kind, "matrices")]
    values = {
        "rows": [row for row in rows if row["counted"] == "matrices"],
        "layers": [r for r in rows if r["counted"] == "all layers" and r["of"] == "weights"],
    }
    if found.squares.isna().any():
        return Outcome(None, values=values)
    return weighed(
        all(x.low > 50 for x in plain),
        all(x.high < 50 for x in (*plain, *counted, *others)),
        all(x.low > 50 for x in counted),
        values,
    )


@claim("stats-task-level-merge")
def task_level(merges: Table) -> Outcome:
    """With coefficients that sum to 1, the sum of models is the base plus a sum of task vectors."""
    one = np.isclose(merges["sum"], 1, atol=1e-5)
    values = {"same": below(merges[one].difference, 1e-5), "cases": int(one.sum())}
    blown = merges[~one]
    return Outcome(
        values["same"], values=values | {"blown": blown.rename(columns={"task vectors": "vectors"})}
    )


@claim("stats-layer-level-merge")
def layer_level(shapes: Table, merges: Table) -> Outcome:
    """The sum over tasks and layers exists, and is the task-level merge where no layer differs.

    Corrected: one sum over tasks for each layer by itself is.
    """
    counts = shapes.groupby("suite").size()
    same = below(merges.difference, 1e-5)
    values = {"shapes": int(counts.max()), "same": same}
    if same is None:
        return Outcome(None, values=values)
    return Outcome(bool(same and (counts == 1).all()), same, values)


@claim("stats-eq4-taskwise-learner")
def taskwise_learner(learners: Table) -> Outcome:
    """Reorder experts, and coefficients follow; twins get the same: for each kind of learner.

    Corrected: for one network for all experts, as the text has it.
    """
    of = learners.set_index("learner")
    own, released = of.loc["one for all"], of.loc["one a layer, reads all experts"]
    values = {"order": below([own.order], 1e-5), "twins": below([own.twins], 1e-5)}
    values |= {"other": released.order, "apart": released.twins}
    text = both(values["order"], values["twins"])
    scripts = below([released.order, released.twins], 1e-5)
    if text is None:
        return Outcome(None, values=values)
    return Outcome(bool(text and scripts), text, values)


@claim("stats-eq7-eq33-pseudo-label-loss")
def pseudo_label_loss(losses: Table) -> Outcome:
    """The loss is Eq. 7 written out, and the labelled loss where the teacher is right."""
    right = losses[losses.right]
    values = {
        "printed": below((losses.hard - losses.printed).abs(), 1e-9),
        "labelled": below((right.hard - right.labelled).abs(), 1e-9),
        "inputs": len(losses),
        "wrong": int((~losses.right).sum()),
        "suites": [{"suite": s, "percent": v} for s, v in rightly(losses).items()],
    }
    return Outcome(both(values["printed"], values["labelled"]), values=values)


@claim("stats-eq32-soft-label-kl")
def soft_labels(losses: Table) -> Outcome:
    """Its gradient at the logits is p - t, and cross-entropy is it plus the teacher's entropy."""
    values = {name: below(losses[name], 1e-9) for name in ("gradient", "split")}
    return Outcome(both(*values.values()), values=values | {"inputs": len(losses)})


@claim("stats-eq6-supervised-loss")
def supervised(slopes: Table) -> Outcome:
    """The loss over all classes gives the coefficients their slopes, and experts none."""
    rows = []
    for (suite, over), part in slopes.groupby(["suite", "over"], sort=False):
        error = np.linalg.norm(part.slope - part.difference) / np.linalg.norm(part.difference)
        rows.append({"suite": suite, "over": over, "error": error, "value": part.value.iloc[0]})
    right = below([row["error"] for row in rows if row["over"] == "all classes"], 0.02)
    frozen = bool((slopes.others == 0).all())
    return Outcome(both(right, frozen), values={"rows": rows, "right": right, "frozen": frozen})


@claim("stats-eq8-distillation-loss")
def distillation(losses: Table) -> Outcome:
    """The gradient of the divergence keeps its length as T grows, in both orders of the arguments.

    And the loss is the weighted sum of its parts. Corrected: in one order, which is named.
    """
    wide = losses.pivot(index="T", columns="order", values="length")
    bare = losses.pivot(index="T", columns="order", values="without")
    change = (wide.loc[256] / wide.loc[64] - 1).abs()
    values = {
        "parts": below(losses.mixture, 1e-9),
        "steady": below(change, 0.02),
        "which": " and ".join(o for o in ORDERS if change[o] < 0.02) or "neither",
        "rows": [{"order": o, "four": wide[o][4], "many": wide[o][256]} for o in ORDERS],
        "falls": bare[ORDERS[0]][64] / bare[ORDERS[0]][256],
    }
    if None in (values["parts"], values["steady"]):
        return Outcome(None, values=values)
    one = values["parts"] and bool((change < 0.02).any())
    return Outcome(values["parts"] and values["steady"], one, values)
