"""More inputs and fitted heads (page 03l), on the tiny suite and by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tables import packed

from mergebook.ch3 import more_data
from mergebook.ch3.comparing import Trials
from mergebook.ch3.more_data import INPUTS, LEARNERS, RIVAL, STEPS, TIMES
from mergebook.ch3.trials import SHARED, combined, learn
from mergebook.experiments import Store

SHARED_NAME, OWN_NAME = LEARNERS


class Shelf:
    """A page's rows, computed."""

    device = "cpu"

    def __init__(self, folder):
        self.store = Store(folder, "full")

    def table(self, experiment, keys, **context):
        return self.store.table(experiment, keys, **context)


@pytest.fixture(scope="module")
def swept(pictures, tmp_path_factory):
    page = Shelf(tmp_path_factory.mktemp("rows"))
    runs = Trials(page, pictures, more_data.EXPERIMENT, [0.01], 0)
    return page, more_data.swept(runs, samples=4, steps=10, trials=2, inputs=12)


def test_sizes_are_a_quarter_the_usual_and_five_times():
    assert more_data.sweep_sizes(64) == [16, 64, 320]
    assert more_data.sweep_sizes(1) == [1, 5]


def test_a_pool_that_is_too_small_is_refused_before_any_work(pictures):
    more_data.require_pool(pictures, 4)  # 24 inputs a task, of which 20 are needed
    with pytest.raises(ValueError, match="pets of tiny has 24 inputs to learn from; 5 samples"):
        more_data.require_pool(pictures, 5)


def test_every_method_learns_at_every_size_and_learners_for_longer(swept):
    _, table = swept
    counted = table.groupby(["what", "count", "steps"]).size()
    assert set(counted) == {2} and len(counted) == 4 * len(TIMES) + 2
    longer = table[table.steps == 50]
    assert set(longer.what) == set(LEARNERS) and set(longer["count"]) == {20}
    own = table[table.what == OWN_NAME]
    assert set(own.learner) == {"mlp2, one a layer"}


def answered(count, steps, **right):
    """Two repetitions of 100 answers to one task, by method."""
    names = {"shared": SHARED_NAME, "own": OWN_NAME, "rival": RIVAL}
    rows = [
        (names[n], count, steps, seed, [packed(k)], "a")
        for n, k in right.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["what", "count", "steps", "seed", "right", "suite"])


@pytest.fixture
def hand():
    parts = (
        answered(4, 10, shared=50, own=50, rival=60),
        answered(1, 10, shared=40, own=40, rival=40),
        answered(20, 10, shared=70, own=55, rival=65),
        answered(20, 50, shared=80, own=75),
    )
    return pd.concat(parts, ignore_index=True)


def test_gains_and_their_excess_are_those_worked_by_hand(hand):
    found = more_data.growth(hand, 4).set_index(["change", "what", "over"])
    assert found.value.to_dict() == pytest.approx(
        {
            (INPUTS, SHARED_NAME, ""): 20,
            (INPUTS, SHARED_NAME, RIVAL): 15,
            (INPUTS, OWN_NAME, ""): 5,
            (INPUTS, OWN_NAME, RIVAL): 0,
            (INPUTS, RIVAL, ""): 5,
            (STEPS, SHARED_NAME, ""): 30,
            (STEPS, SHARED_NAME, RIVAL): 25,
            (STEPS, OWN_NAME, ""): 25,
            (STEPS, OWN_NAME, RIVAL): 20,
        }
    )
    assert found.accuracy[STEPS, SHARED_NAME, ""] == pytest.approx(80)
    # The same 20 of 100 inputs gained in both repetitions: s² = 0.16 · 100 / 99 over 100 inputs.
    error = 100 * np.sqrt(0.16 / 99)
    assert found.high[INPUTS, SHARED_NAME, ""] - 20 == pytest.approx(1.984 * error, rel=1e-3)
    assert (found.all_high - found.high).dropna().min() > 0


def test_leads_are_taken_at_equal_numbers_of_inputs(hand):
    found = more_data.leads_by_inputs(hand, 4).set_index(["what", "inputs"])
    assert found.value.to_dict() == {
        (SHARED_NAME, 1): 0,
        (OWN_NAME, 1): 0,
        (SHARED_NAME, 4): -10,
        (OWN_NAME, 4): -10,
        (SHARED_NAME, 20): 5,
        (OWN_NAME, 20): -10,
    }
    apart = found[found.value != 0]
    assert ((apart.all_low < apart.low) & (apart.high < apart.all_high)).all()


def test_the_curve_has_means_over_repetitions(hand):
    found = more_data.curve(hand).set_index(["what", "inputs", "steps"])
    assert found.accuracy[RIVAL, 4, 10] == pytest.approx(60)
    assert (found.spread == 0).all()


def test_fewer_repetitions_go_with_the_first_ones(hand):
    hand.at[1, "right"] = [packed(0)]  # the second repetition before; after, only the first is left
    after = hand[(hand.steps == 50) & (hand.seed == 0)]
    before = hand[(hand["count"] == 4)]
    assert more_data.gained(before, after, SHARED_NAME)[0].sum() == 30


def test_heads_that_learn_the_test_inputs_know_them_best(swept, pictures):
    page, table = swept
    found = more_data.with_heads(page, pictures, table, 4, 1)
    teachers = more_data.teachers_of(page, pictures, 12)
    above = more_data.minus_teachers(found, teachers).set_index("what")
    assert len(above) == 2 * 4
    for learner in LEARNERS:
        kinds = above.accuracy[[f"{learner}, {said}" for said in more_data.FITS.values()]]
        assert kinds.iloc[-1] > kinds.iloc[:-1].max()  # heads that learn the test labels
        frozen = table[(table.what == learner) & (table["count"] == 4)].right.iloc[0]
        assert found.right[found.what == f"{learner}, {more_data.FROZEN}"].iloc[0] == frozen


def test_a_head_is_fitted_to_embeddings_and_follows_an_only_answer():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=g)
    y = (x[:, 0] > 0).long()
    fit = more_data.head_fitted(x, y, 1000.0)
    assert fit.score(x.double().numpy(), y.numpy()) == 1
    assert abs(fit.coef_[0, 0]) > 5 * abs(fit.coef_[0, 1:]).max()
    assert (more_data.head_fitted(x, torch.full((60,), 2), 1.0).predict(x.numpy()) == 2).all()


def test_almost_no_penalty_lets_a_head_learn_any_labels_by_heart():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 50, generator=g), torch.arange(40) % 3
    weak, strong = (more_data.head_fitted(x, y, c) for c in (more_data.WEAK, 1e-3))
    assert weak.score(x.numpy(), y.numpy()) == 1 > strong.score(x.numpy(), y.numpy())


def test_heads_learn_from_what_their_name_says(pictures, monkeypatch):
    """Each fit gets the pool or the test inputs, with the answers of its kind."""
    seen = []
    fitted = more_data.head_fitted

    def watched(x, y, strength):
        seen.append((len(x), tuple(y.tolist())))
        return fitted(x, y, strength)

    monkeypatch.setattr(more_data, "head_fitted", watched)
    key = replace(SHARED, models=pictures.mark, steps=10)
    state = combined(pictures, key, learn(pictures, key).coefficients)
    more_data.heads_of(pictures, state, "birds", 12)
    labels = more_data.lesson(pictures, "birds", "pool")[1]
    taught = more_data.taught(pictures, "birds", "pool").argmax(1)
    assert seen == [
        (24, tuple(taught.tolist())),
        (24, tuple(labels.tolist())),
        (12, tuple(pictures.labels("birds").tolist())),
    ]


def test_tasks_above_their_teacher_are_counted():
    merges = pd.DataFrame({"what": ["m"], "right": [[packed(90), packed(40)]]})
    teachers = pd.DataFrame({"what": ["teachers"], "right": [[packed(50), packed(50)]]})
    found = more_data.minus_teachers(merges, teachers).iloc[0]
    assert (found.tasks_above, found.most, found.value) == (1, 40, 15)


def test_more_extensive_merges_are_named_by_what_grew(hand):
    found = more_data.taught_merges(hand, 4)
    assert list(dict.fromkeys(found.what)) == [
        f"{learner}, more {change}" for change in (INPUTS, STEPS) for learner in LEARNERS
    ]


def test_table_15_as_printed():
    from mergebook import ledger

    found = more_data.printed_rates(ledger.printed("statsmerging_table15"))
    off = found[found.off]
    assert list(off.index) == ["LW AdaMerging 5%"] and off["mean"].iloc[0] == pytest.approx(80.25)
    plus = found.loc[found.gain.notna()].iloc[0]
    assert plus.gain == 5.1 and plus.over == pytest.approx(13.4)
