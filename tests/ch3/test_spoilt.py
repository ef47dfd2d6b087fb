"""Teachers that err: trials on a tiny suite, and distances of coefficients worked out by hand."""

import itertools
import types
from dataclasses import replace

import pandas as pd
import pytest

from mergebook.ch3 import spoilt
from mergebook.ch3.comparing import Trials
from mergebook.ch3.labels import LABELS
from mergebook.experiments import Store

SHORT = {"count": 4, "steps": 2, "test_samples": 12}


def test_every_learner_has_labels_and_its_teachers(pictures):
    page = types.SimpleNamespace(device="cpu", table=Store("nowhere", "full").table)
    runs = Trials(page, pictures, spoilt.EXPERIMENT, (0.003,), searches=1)
    runs.searched = lambda named, by="agree": {n: replace(t, rate=3e-4) for n, t in named.items()}
    rows = spoilt.spoilt_lessons(runs, SHORT, 2)
    for learner, share in itertools.product(spoilt.LEARNERS, spoilt.SPOILS):
        part = rows[rows.what == f"{learner}: {share}"]
        assert list(part.seed) == [0, 1]
        assert set(part.loss) == {"labels" if share == LABELS else "hard"}
        assert set(part.wrong) == {0 if share == LABELS else float(share)}


def coefficients():
    """Coefficients of two seeds, one expert and two layers."""
    rows = []
    for learner in spoilt.LEARNERS:
        for share, shift in zip(spoilt.SPOILS, (0.0, 0.1, 0.3, 0.4, 0.5)):
            for seed in (0, 1):
                own = [[seed + shift, seed - shift]]
                rows.append((f"{learner}: {share}", seed, own))
    return pd.DataFrame(rows, columns=["what", "seed", "coefficients"])


def test_distances_to_labels_and_between_seeds_by_hand():
    found = spoilt.distances_to_labels(coefficients())
    wide = found[found.reading == spoilt.BY_TASK].pivot(
        index="spoilt", columns="seed", values="distance"
    )
    for share, shift in (("0", 0.1), ("0.1", 0.3), ("0.4", 0.5), (spoilt.ANOTHER, 1.0)):
        assert wide.loc[share].tolist() == pytest.approx([shift, shift])
    near = spoilt.nearer_than_seeds(found)
    assert list(near.reading) == list(spoilt.LEARNERS)
    assert near.value.tolist() == pytest.approx([0.9] * 3)


def test_nearness_has_the_interval_of_its_seeds():
    rows = [
        ("x", name, seed, value)
        for seed, pair in enumerate(((1.0, 3.0), (1.0, 2.0)))
        for name, value in zip(("0", spoilt.ANOTHER), pair)
    ]
    found = pd.DataFrame(rows, columns=["reading", "spoilt", "seed", "distance"])
    row = spoilt.nearer_than_seeds(found).iloc[0]
    half = 12.7062 * 0.5  # Student's t with one degree of freedom times the standard error
    assert (row.value, row.low) == pytest.approx((1.5, 1.5 - half), rel=1e-4)
    assert row.all_low < row.low
