"""Claims about costs, counts and test sets (evidence page 03d)."""

from collections.abc import Mapping

import pandas as pd

from mergebook.ch3.sizes import (
    COEFFICIENTS,
    IN_TABLE_13,
    LEARNER,
    MOST_RUNS,
    NAMED_LAYER,
    RATIOS,
    SUBSAMPLED,
    TASKS,
    TOGETHER,
    WSC,
    WSC_TENTHS,
    least_runs,
    released_learners,
    sizes_that_allow,
)
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
WHOLE, REST = ("parameters", "multiply-adds"), ", no attention"


def in_runs(means: Mapping[int, int]) -> str:
    """`{items: runs}` in words."""
    return ", ".join(f"{k} of {n}" for n, k in means.items()) or "none"


@claim("stats-sml-plus-model-cost")
def whole_cost(costs: Table, counts: Table) -> Outcome:
    """A network that the paper names has 10.99 M parameters, and 2.95 G multiply-adds or FLOPs.

    Each whole or without attention, within one per cent.
    """
    size, work = WHOLE
    costs = costs.set_index("network")
    sizes = pd.concat([costs[size], costs[size + REST]], axis=1)
    works = pd.concat([k * costs[work + kind] for k in (1, 2) for kind in ("", REST)], axis=1)
    near = [((t / said - 1).abs() < 0.01).any(axis=1) for t, said in zip((sizes, works), TOGETHER)]
    tensors = counts.set_index(["network", "what"]).number
    tensors = int(tensors["ViT-B/32", "with leftovers of the text tower"])
    vision = costs.dropna()
    values = {
        "networks": [
            {"network": n, "size": r[size], "work": r[work]} for n, r in vision.iterrows()
        ],
        "least": costs[size].min(),
        "plain": costs[work + REST]["ViT-B/32"],
        "plain_size": costs[size + REST]["ViT-B/32"],
        "flops": 2 * costs[work]["ViT-B/32"],
        "tensors": tensors,
        "learners": released_learners(tensors),
    }
    return Outcome(bool((near[0] & near[1]).any()), values=values)


@claim("stats-sml-own-cost")
def learner_cost(learners: Table, costs: Table) -> Outcome:
    """One two-layer network has all three printed counts, and the printed ratios follow.

    Corrected: one with the size of Table 13 has.
    """
    fits = learners.set_index("parameters").networks
    inputs = learners.set_index("parameters").inputs
    parameters, flops = float(LEARNER[0]), float(LEARNER[2])
    shares = parameters / TOGETHER[0], flops / (1000 * TOGETHER[1])
    right = all(abs(a - b) < 5e-5 for a, b in zip(shares, RATIOS))
    tower = costs.set_index("network").loc["ViT-B/32"]
    values = {
        "size": shares[0],
        "work": shares[1],
        "text": int(fits[LEARNER[0]]),
        "table": int(fits[IN_TABLE_13]),
        "inputs": inputs[IN_TABLE_13],
        "of_tower": 100 * float(IN_TABLE_13) / tower["parameters"],
        "of_work": 100 * flops / (2000 * tower["multiply-adds"]),
    }
    return Outcome(bool(fits[LEARNER[0]] > 0 and right), bool(fits[IN_TABLE_13] > 0), values)


@claim("stats-table8-22-of-320")
def coefficients(counts: Table) -> Outcome:
    """A count of ViT-B/32, for one to eight tasks, gives 320, and a count of ResNet50 22.

    Fig. 6 names a layer 147, so that a count below that is none of its layers.
    """
    vit, resnet = (counts[counts.network == n] for n in ("ViT-B/32", "ResNet50"))
    ways = [
        f"{tasks} x {row.what}"
        for row in vit.itertuples()
        for tasks in range(1, TASKS + 1)
        if tasks * row.number == COEFFICIENTS and row.number >= NAMED_LAYER
    ]
    values = {
        "vit": [{"what": r.what, "number": r.number} for _, r in vit.iterrows()],
        "resnet": [{"what": r.what, "number": r.number} for _, r in resnet.iterrows()],
        "most": int(vit.number.max()),
        "each": COEFFICIENTS // TASKS,
        "elsewhere": ", ".join(resnet.what[resnet.number == COEFFICIENTS]) or "none",
        "subsampled": ", ".join(resnet.what[resnet.number == SUBSAMPLED]) or "none",
        "ways": ", ".join(sorted(ways)) or "none",
    }
    return Outcome(bool(ways) and values["subsampled"] != "none", values=values)


@claim("stats-wsc-granularity")
def winograd_scores(found: Table) -> Outcome:
    """The paper's two scores of the Winograd task are possible with the number of test items.

    That is the number that all other scores of the column allow. Corrected: with another that the
    text names, all 273 problems of App. A.1 or a tenth. Fails: with none of them, not even as means
    over runs.
    """
    own, others = found[found.own].score, found[~found.own].score
    column = sizes_that_allow(others, range(20, 100))
    named = list(dict.fromkeys([*column, WSC, *WSC_TENTHS]))
    fits = sizes_that_allow(own, named)
    means = least_runs(own, named)
    values = {
        "others": len(others),
        "column": ", ".join(map(str, column)) or "none",
        "tried": ", ".join(map(str, named)),
        "fits": ", ".join(map(str, fits)) or "none",
        "scores": " and ".join(f"{p:.1f}" for p in sorted(own)),
        "smallest": next((n for n in range(1, 1000) if sizes_that_allow(own, [n])), 0),
        "most": MOST_RUNS,
        "means": in_runs(means),
    }
    return weighed(bool(set(fits) & set(column)), not means, bool(fits), values)


@claim("stats-split-811")
def tenths(given: Table, found: Table, shared: Table) -> Outcome:
    """A tenth of every data set is its test set.

    Corrected: of those for which App. A.1 gives no split; the Winograd task is one, and the paper's
    own scores are asked. Fails: a tenth allows them not even as means over runs.
    """
    share = given.test / (given.train + given.test)
    stated = bool(((share - 0.1).abs() < 0.005).all())
    own = found[found.own].score
    allowed, means = sizes_that_allow(own, WSC_TENTHS), least_runs(own, WSC_TENTHS)
    values = {
        "shares": [{"data": d, "share": 100 * s} for d, s in zip(given.data, share)],
        "tenth": " or ".join(map(str, WSC_TENTHS)),
        "scores": " and ".join(f"{p:.1f}" for p in sorted(own)),
        "fits": ", ".join(map(str, allowed)) or "none",
        "most": MOST_RUNS,
        "means": in_runs(means),
        "equal": int(shared.equal.sum()),
        "entries": int(shared.entries.sum()),
    }
    return weighed(stated and bool(allowed), not means, bool(allowed), values)


@claim("stats-datasets-counts")
def data_set_facts(facts: Table, images: Table) -> Outcome:
    """Classes times images are the totals, and the cars can be halved; corrected: nearly."""
    product = facts.classes * facts.each
    right = (product == facts.total) | (facts.at_least & (product <= facts.total))
    total, train, test = images.iloc[0][["total", "train", "test"]]
    values = {
        "facts": [{"data": d, "fits": bool(f)} for d, f in zip(facts.data, right)],
        "total": int(total),
        "halves": "can" if total % 2 == 0 else "cannot",
        "train": int(train),
        "test": int(test),
    }
    nearly = train + test == total and abs(train / test - 1) < 0.02
    return Outcome(bool(right.all() and total % 2 == 0), bool(right.all() and nearly), values)
