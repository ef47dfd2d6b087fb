"""Made-up tables for the claims of page 05a; `tests/test_deciders.py` says what they are for."""

import pandas as pd
from tables import NAN, frame

from mergebook.ch5 import printed, repairs
from mergebook.ch5.definitions import RANDOM, TASK_VECTORS
from mergebook.ch5.repairs import MERGED_FIRST, TEACHER_FIRST
from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED

TINY = 1e-15


def merges(mean=TINY, total=TINY, at_one=TINY, other=0.1):
    """Errors of the comparisons of Eqs. 1 and 2, of one suite; another has none."""
    names = ["Eq. 1", "Eq. 2", "Eq. 2", "other"]
    ways = ["the mean", "the sum, λ", "λ = 1/T is Eq. 1", "the sum, λ/T"]
    one = {"equation": names, "way": ways, "matrices": 8, "experts": 5}
    tables = [
        frame(**one, suite=suite, error=errors)
        for suite, errors in (("a", [mean, total, at_one, other]), ("b", [TINY, TINY, TINY, 0.2]))
    ]
    return (pd.concat(tables, ignore_index=True),)


def sums(left=0.4, code=0.0):
    """What Eq. 3's sum leaves of the disjoint mean, and its difference from the disjoint sum."""
    return (
        frame(
            suite=["a", "a", "b", "b"],
            of=[TASK_VECTORS, RANDOM] * 2,
            code=[code, 0.0, 0.0, 0.0],
            left=left,
            at_few=1.0,
            at_many=[5.0, 4.0, 7.0, 5.0],
        ),
    )


def heads(by_suite=80.0):
    return (
        frame(
            task=["film", "tweets"],
            expert=[80.0, 90.0],
            by_suite=[by_suite, 90.0],
            bare=[78.0, 90.0],
            merged=[60.0, 70.0],
        ),
    )


def counts(text=(4, 5, 10), images=(10, 43), published=4):
    """Classes of tasks, by field; all as published but for the first."""
    fields = ["text"] * len(text) + ["images"] * len(images)
    tasks = [f"task {i}" for i in range(len(fields))]
    found = [*text, *images]
    return (frame(field=fields, task=tasks, classes=found, published=[published, *found[1:]]),)


def anchors(error=1e-8, same=100.0, lemma=TINY, width=2):
    rules = ["mean distance (Eq. 5)", "prototype", "vote of 5"]
    found = frame(
        task=["film", "tweets"],
        error=[error, 1e-8],
        same=[same, 100.0],
        prototype=[60.0, 90.0],
        vote=[70.0, 80.0],
        lemma=[lemma, TINY],
    )
    broad = frame(
        rule=rules * 2,
        width=[1] * 3 + [width] * 3,
        accuracy=[93.0, 93, 91, 57, 82, 73],
        narrow=[52.0, 51, 54, 93, 63, 77],
    )
    return found, broad


def consumed(**changes):
    """What four set-ups use on two tasks, `a="labels"` adding one to the second task."""
    rows = [
        (
            task,
            key,
            labels or changes.get(key) == "labels",
            teacher or changes.get(key) == "teacher",
        )
        if task == "tweets"
        else (task, key, labels, teacher)
        for task in ("film", "tweets")
        for key, labels, teacher in (
            ("a", False, False),
            ("b", True, False),
            ("c", False, True),
            ("d", False, True),
        )
    ]
    return (frame(**dict(zip(("task", "set_up", "labels", "teacher"), zip(*rows)))),)


def parts(expert=0.0, merged=0.2, apart=0.0):
    return (
        frame(
            suite="a",
            task=["film", "film", "tweets", "tweets"],
            expert=[expert, 0, 0, 0],
            merged=[merged, 0.4, 0.3, 0.8],
            apart=[apart, 0, 0, 0],
        ),
    )


def trained(**ends):
    """Divergences from 1 to 0.1; of one task and the first order, by repair, other ends."""
    short = {"aligned M": "m", "W' from W": "w", "W' from random": "cold"}
    rows = [
        ("a", task, order, name, 1.0, ends.get(key, 0.1) if task == "film" else 0.1)
        for task in ("film", "tweets")
        for order in (TEACHER_FIRST, MERGED_FIRST)
        for name, key in short.items()
    ]
    names = ("suite", "task", "order", "repair", "start", "end")
    return (frame(**dict(zip(names, zip(*rows))), width=16, classes=2, numbers=256),)


def reached(trained=TINY, random=TINY, short=0.8):
    """Heads that M W reaches, for one task of rank 1 and two classes, and two of full rank."""
    return (
        frame(
            suite="a",
            task=["film", "tweets", "senses"],
            classes=[2, 2, 10],
            rank=[1, 2, 10],
            trained=[TINY, trained, TINY],
            random=[short, random, TINY],
            loss_M=0.001,
            loss_W=0.002,
        ),
    )


def bert(width=768, M=768**2):
    return repairs.bert_numbers().assign(M=M, head=(width + 1) * 5)


def sizes(new=770, kept=148_226, folded=770, answers=TINY, shape=True):
    """Numbers of a head of 770 in two forms of use; another task has all right."""
    return frame(
        suite="a",
        task=["film", "senses"],
        old=[770, 3_850],
        new=[new, 3_850],
        shape=[shape, True],
        kept=[kept, 151_306],
        folded=[folded, 3_850],
        answers=[answers, TINY],
    )


CASES = {
    "ftc-eq1-weight-averaging": {
        HOLDS: merges(),
        FAILS: merges(mean=1e-3),
        UNDECIDED: merges(mean=NAN),
    },
    "ftc-eq2-task-arithmetic": {
        HOLDS: merges(),
        FAILS: merges(total=1e-3),
        UNDECIDED: merges(at_one=NAN),
    },
    "ftc-eq3-ties": {
        HOLDS: sums(left=1e-9),
        CORRECTED: sums(),
        FAILS: sums(code=0.1),
        UNDECIDED: sums(code=NAN),
    },
    "ftc-eq4-current-protocol": {
        HOLDS: heads(),
        FAILS: heads(by_suite=79.0),
        UNDECIDED: heads(by_suite=NAN),
    },
    "ftc-class-counts": {HOLDS: counts(), FAILS: counts(published=5)},
    "ftc-heads-cannot-be-merged": {
        HOLDS: counts(),
        CORRECTED: (printed.class_counts(),),
        FAILS: counts(images=(10, 10)),
    },
    "ftc-eq5-anchor-classifier": {
        HOLDS: anchors(),
        FAILS: anchors(error=0.1),
        UNDECIDED: anchors(lemma=NAN),
    },
    "ftc-fig3-variants": {HOLDS: consumed(), FAILS: consumed(a="labels")},
    "ftc-eq6-objective": {HOLDS: parts(), FAILS: parts(expert=0.5), UNDECIDED: parts(apart=NAN)},
    "ftc-eq7-aligned-mapping": {HOLDS: trained(), FAILS: trained(m=1.1)},
    "ftc-eq8-aligned-head": {HOLDS: trained(), FAILS: trained(w=1.1)},
    "ftc-mapping-and-head-same-family": {HOLDS: reached(), FAILS: reached(random=0.1)},
    "ftc-aligned-parameter-count": {
        HOLDS: (bert(M=3_000), sizes()),
        CORRECTED: (bert(), sizes()),
        FAILS: (bert(), sizes(new=771)),
    },
    "ftc-protocol-keeps-size": {HOLDS: (sizes(),), FAILS: (sizes(new=771),)},
    "ftc-aligned-m-adds-parameters": {
        HOLDS: (sizes(folded=800),),
        CORRECTED: (sizes(),),
        FAILS: (sizes(new=771),),
        UNDECIDED: (sizes(answers=NAN),),
    },
}

NEAR = [
    ("ftc-eq1-weight-averaging", "of another equation", HOLDS, merges(total=0.1)),
    ("ftc-eq2-task-arithmetic", "at 1/T", FAILS, merges(at_one=1e-3)),
    ("ftc-eq2-task-arithmetic", "the other symbol alike", HOLDS, merges(other=TINY)),
    ("ftc-eq3-ties", "the mean, but no sum", FAILS, sums(left=1e-9, code=0.1)),
    ("ftc-heads-cannot-be-merged", "one pair", CORRECTED, counts(text=(4, 5, 5))),
    ("ftc-eq5-anchor-classifier", "other answers", FAILS, anchors(same=99.0)),
    ("ftc-eq5-anchor-classifier", "lemma", FAILS, anchors(lemma=1e-3)),
    ("ftc-fig3-variants", "the teacher in b", FAILS, consumed(b="teacher")),
    ("ftc-fig3-variants", "labels in d", FAILS, consumed(d="labels")),
    ("ftc-eq6-objective", "nothing to bring together", FAILS, parts(merged=0.0)),
    ("ftc-eq6-objective", "coupled", FAILS, parts(apart=0.01)),
    ("ftc-eq7-aligned-mapping", "the head rises", HOLDS, trained(w=1.1)),
    ("ftc-eq7-aligned-mapping", "no number", UNDECIDED, trained(m=NAN)),
    ("ftc-eq8-aligned-head", "from random", FAILS, trained(cold=1.0)),
    ("ftc-eq8-aligned-head", "the map rises", HOLDS, trained(m=1.1)),
    ("ftc-mapping-and-head-same-family", "trained", FAILS, reached(trained=1e-6)),
    ("ftc-mapping-and-head-same-family", "of low rank", HOLDS, reached(short=2.0)),
    ("ftc-aligned-parameter-count", "many", FAILS, (bert(M=2_000_000), sizes())),
    ("ftc-aligned-parameter-count", "another shape", FAILS, (bert(), sizes(shape=False))),
    ("ftc-protocol-keeps-size", "another shape", FAILS, (sizes(shape=False),)),
    ("ftc-aligned-m-adds-parameters", "other answers", HOLDS, (sizes(answers=0.1),)),
    ("ftc-aligned-m-adds-parameters", "M of no numbers", FAILS, (sizes(kept=770),)),
]

SAID = {
    ("ftc-eq1-weight-averaging", HOLDS): {"matrices": 16, "suites": 2},
    ("ftc-eq3-ties", CORRECTED): {"rows.0": {"left": 40.0, "many": 5.0}, "random": 40.0},
    ("ftc-eq4-current-protocol", HOLDS): {"bias": 2.0, "merged": 65.0, "expert": 85.0},
    ("ftc-heads-cannot-be-merged", CORRECTED): {
        "rows.0": {"field": "images", "alike": 3, "pairs": 28, "of": "EuroSAT, MNIST, SVHN"},
        "rows.1": {"field": "text", "alike": 1, "pairs": 10, "of": "Amazon, Yelp", "sizes": 4},
    },
    ("ftc-eq5-anchor-classifier", HOLDS): {"prototype": 60.0, "width": 2, "narrow": 93.0},
    ("ftc-fig3-variants", FAILS): {"rows.0": {"set_up": "a", "labels": 1, "teacher": 0}},
    ("ftc-eq7-aligned-mapping", HOLDS): {"tasks": 2, "rows.0": {"start": 1.0, "end": 0.1}},
    ("ftc-mapping-and-head-same-family", HOLDS): {"full": 2, "short": "film", "random": 0.8},
    ("ftc-aligned-parameter-count", CORRECTED): {"M": 589_824, "share": 0.5387, "high": 153.4},
    ("ftc-aligned-m-adds-parameters", CORRECTED): {"least": 147_456, "folded": 0},
}

ORDERED = set()
