"""Tasks left out, and more tasks (page 03m), on a tiny suite of four tasks and by hand."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import tiny
from scipy import stats
from tables import packed

from mergebook import ledger
from mergebook.ch3 import left_out, more_tasks
from mergebook.ch3.baselines import Baseline, baseline_row
from mergebook.ch3.comparing import Trials
from mergebook.ch3.left_out import AS_LONG, LEARNERS, UNTRAINED
from mergebook.ch3.trials import OWN, SHARED, combined, learn, trial_row
from mergebook.experiments import Store
from mergebook.page import open_suite
from mergehelpers import states

TASKS = ("ants", "bees", "cats", "dogs")


class Shelf:
    """A page's rows, computed."""

    device = "cpu"

    def __init__(self, folder):
        self.store = Store(folder, "full")

    def table(self, experiment, keys, **context):
        return self.store.table(experiment, keys, **context)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    counts = {"train": 8, "val": 6, "unlabelled": 8, "test": 10}
    tiny.folder_of_tasks(folder, TASKS, ["yes", "no"], counts)
    return open_suite(str(folder), "cpu")


@pytest.fixture(scope="module")
def runs(four, tmp_path_factory):
    page = Shelf(tmp_path_factory.mktemp("rows"))
    return Trials(page, four, left_out.EXPERIMENT, [0.01], 0)


@pytest.fixture(scope="module")
def methods():
    """Without a search, as it would be found."""
    given = {"steps": 10, "count": 8, "test_samples": 10}
    return {n: replace(t, **given) for n, t in left_out.LEARNT.items()}


def keyed(four, **change):
    return replace(SHARED, models=four.mark, steps=10, count=8, test_samples=10, **change)


def context(four):
    return {"sources": {four.mark: four.source}, "device": "cpu"}


def test_every_pair_is_left_out_once(four, pictures):
    assert left_out.pairs_of(four) == list(combinations(TASKS, 2))
    assert left_out.without_pair(four, 0) == "cats dogs"
    with pytest.raises(ValueError, match="tiny has 2 tasks; to leave out two, this needs 4"):
        left_out.pairs_of(pictures)


def test_the_tasks_left_out_are_answered_by_the_merge_of_the_others(four):
    key = keyed(four, tasks="cats dogs")
    row = left_out.left_out_row(key, **context(four))
    same = trial_row(key, **context(four))
    assert {n: row[n] for n in ("agree", "losses", "right")} == {
        n: same[n] for n in ("agree", "losses", "right")
    }
    merged = combined(four, key, learn(four, key).coefficients)
    right = four.answers(merged, tasks=["ants", "bees"], limit=10)
    assert row["unseen"] == list(left_out.graded(four, merged, ["ants", "bees"], 10))
    assert len(row["unseen"]) == len(right) == 2


def test_the_sum_is_as_long_as_the_merge(four):
    key = keyed(four, tasks="cats dogs")
    row = left_out.same_length_row(key, **context(four))
    merged = combined(four, key, learn(four, key).coefficients)
    moved = states.task_vector(four.base, merged)
    summed = {
        n: sum(four.experts[t][n] - four.base[n] for t in ("cats", "dogs")) for n in four.base
    }
    learnable = {n for n, _ in four.backbone.module.named_parameters()}
    length = np.sqrt(sum(float((summed[n] ** 2).sum()) for n in learnable))
    assert row["scale"] * length == pytest.approx(states.norm(moved), rel=1e-4)
    by_hand = {n: w + row["scale"] * summed[n] for n, w in four.base.items()}
    assert row["unseen"] == left_out.graded(four, by_hand, ["ants", "bees"], 10)


def test_all_methods_answer_all_splits(four, runs, methods):
    found = left_out.Splits(runs.page, four, methods, 0).answers(10)
    names = [*left_out.LEARNT, *(AS_LONG.format(n) for n in LEARNERS), *UNTRAINED]
    assert list(dict.fromkeys(found.what)) == names
    assert set(found.groupby("what").size()) == {6}
    pair = found[(found.what == "one a layer") & (found.pair == "ants cats")].iloc[0]
    key = replace(methods["one a layer"], models=four.mark, tasks="bees dogs", seed=1)
    assert key.learner == OWN.learner
    row = left_out.left_out_row(key, **context(four))
    assert pair.right == row["right"] and pair.unseen == row["unseen"]
    rule = Baseline(four.mark, "TIES", "bees dogs", test_samples=10)
    ties = found[(found.what == "TIES") & (found.pair == "ants cats")].iloc[0]
    assert ties.unseen == baseline_row(rule, **context(four))["unseen"]
    scores = left_out.accuracy_of_splits(found)
    leads = left_out.split_leads(scores)
    assert len(leads) == 2 * (len(names) - 3)  # neither learners nor a sum as long as the other's
    table = left_out.split_table(scores, leads, left_out.split_leads(scores, "merged"))
    assert list(table.index) == names and table.loc["shared", "shared, left out"] == ""


def test_step_sizes_are_searched_on_all_tasks(four, runs, monkeypatch):
    asked = []
    monkeypatch.setattr(Trials, "searched", lambda self, named: asked.append(named) or named)
    left_out.searched_methods(runs, 10, 8, 10)
    assert {t.tasks for t in asked[0].values()} == {""}
    assert {(t.steps, t.count, t.test_samples) for t in asked[0].values()} == {(10, 8, 10)}


def test_scores_are_means_over_tasks():
    answers = pd.DataFrame(
        {"what": ["m"], "pair": ["a b"], "right": [[packed(50), packed(100)]]}
    ).assign(unseen=[[packed(10), packed(30)]])
    found = left_out.accuracy_of_splits(answers).iloc[0]
    assert (found.merged, found["left out"]) == (75, 20)


# ----------------------------------------------------------------------- intervals over pairs


def all_pairs(items):
    return [" ".join(pair) for pair in combinations(items, 2)]


def test_values_that_belong_to_tasks_have_the_interval_of_the_tasks():
    """If a pair's value is the mean of its tasks' own, the jackknife is Student's t over tasks."""
    own = dict(zip("abcdefgh", (3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0)))
    pairs = all_pairs(own)
    found = left_out.of_item_pairs(pairs, [np.mean([own[t] for t in p.split()]) for p in pairs])
    values = np.array(list(own.values()))
    half = stats.t.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8)
    assert found == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))
    naive = stats.sem([np.mean([own[t] for t in p.split()]) for p in pairs])
    assert found.high - found.value > 1.5 * stats.t.ppf(0.975, 27) * naive


def test_the_interval_over_pairs_covers_as_often_as_it_says():
    """Pairs share their tasks' effects: 95 % cover zero, of the naive interval far fewer."""
    rng, pairs = np.random.default_rng(0), all_pairs("abcdefgh")
    covers = naive = 0
    for _ in range(400):
        task = dict(zip("abcdefgh", rng.normal(size=8)))
        values = [sum(task[t] for t in p.split()) / 2 + 0.5 * rng.normal() for p in pairs]
        found = left_out.of_item_pairs(pairs, values)
        covers += found.low < 0 < found.high
        half = stats.t.ppf(0.975, 27) * stats.sem(values)
        naive += abs(np.mean(values)) < half
    assert 0.93 < covers / 400 < 0.985 and naive / 400 < 0.85


def test_an_interval_over_two_tasks_is_refused():
    with pytest.raises(ValueError, match="needs three, got 2"):
        left_out.of_item_pairs(["a b"], [1.0])


def test_many_intervals_are_wider_together():
    pairs = all_pairs("abcd")
    one, four_ = (left_out.of_item_pairs(pairs, range(6), k) for k in (1, 4))
    freedom = stats.t.ppf(1 - 0.025 / 4, 3) / stats.t.ppf(0.975, 3)
    assert four_.high - four_.value == pytest.approx(freedom * (one.high - one.value))


# --------------------------------------------------------------------------------- more tasks


def test_sets_are_drawn_alike_and_all_tasks_come_last(four):
    sets = more_tasks.sets_of_tasks(four, 0, 3)
    assert sets == more_tasks.sets_of_tasks(four, 0, 3) != more_tasks.sets_of_tasks(four, 1, 3)
    assert list(sets) == [2, 4] and sets[4] == [""] * 3  # four tasks are all that there are
    assert all(len(names.split()) == 2 for names in sets[2])


def test_every_method_answers_every_set(four, runs, methods):
    sets = {2: ["ants bees", "cats dogs"], 4: ["", ""]}
    found = more_tasks.Growing(runs.page, runs, methods, sets).answers(10)
    assert set(found.groupby("what").size()) == {4}
    row = found[(found.what == "shared") & (found["size"] == 2) & (found["set"] == 1)].iloc[0]
    key = replace(methods["shared"], models=four.mark, tasks="cats dogs", seed=1)
    assert row.right == trial_row(key, **context(four))["right"]
    rule = found[(found.what == "RegMean") & (found["size"] == 4)]
    expected = baseline_row(Baseline(four.mark, "RegMean", test_samples=10), **context(four))
    assert rule.right.tolist() == [expected["right"]] * 2


def counted(**right):
    """100 answers to one task: of a method with 2, 4 and 8 tasks, in three sets each."""
    names = [*LEARNERS, *more_tasks.LEARNT_TOO, *more_tasks.PRINTED]
    rows = [
        (size, i, n, [packed(at[k] + (i if n == "shared" else 0))])
        for n in names
        for at in [right.get(n, (50, 50, 50))]
        for k, size in enumerate((2, 4, 8))
        for i in range(3)
    ]
    return pd.DataFrame(rows, columns=["size", "set", "what", "right"])


def test_leads_by_number_of_tasks_are_those_worked_by_hand():
    found = more_tasks.leads_by_count(counted(shared=(60, 58, 54)))
    rows = found[(found.what == "shared") & (found.over == "TIES")].set_index("size")
    assert rows.value.to_dict() == pytest.approx({2: 11, 4: 9, 8: 5})
    half = stats.t.ppf(0.975, 2) / np.sqrt(3)  # leads of 10, 11 and 12
    assert rows.high[2] - 11 == pytest.approx(half)
    among = 3 * (len(more_tasks.LEARNT_TOO) + len(more_tasks.PRINTED))
    assert rows.all_high[2] - 11 == pytest.approx(stats.t.ppf(1 - 0.025 / among, 2) / np.sqrt(3))
    # With all tasks the inputs count too: wider than over the three repetitions alone.
    assert rows.high[8] - 5 > half


def test_the_slope_of_a_lead_is_what_a_line_has():
    found = more_tasks.slopes_of_leads(counted(shared=(60, 58, 54)))
    row = found[(found.what == "shared") & (found.over == "TIES")].iloc[0]
    assert row.value == pytest.approx(-1)
    x = np.repeat([2, 4, 8], 3) - 14 / 3
    error = np.sqrt(6 / 7 / (x @ x))  # residuals of -1, 0 and 1 in each of three sets
    assert row.high + 1 == pytest.approx(stats.t.ppf(0.975, 7) * error)
    assert row.all_low < row.low < row.high < row.all_high


def test_one_set_has_no_interval():
    found = more_tasks.widened([1.0], 4)
    assert found.value == 1 and np.isnan([found.low, found.high]).all()


def test_printed_losses_from_8_to_20_tasks():
    found = more_tasks.printed_drops(ledger.printed("statsmerging_table3_main"))
    lost = found.set_index("method").base
    assert lost["LW StatsMerging++"] == pytest.approx(7.7)
    assert lost["RegMean++"] == pytest.approx(7.4) and "Pre-Trained" not in lost


def test_printed_leads_of_every_column():
    found = more_tasks.printed_leads(ledger.printed("statsmerging_table3_main"))
    by = found.set_index(["over", "network", "tasks"]).value
    assert by["RegMean++", "ViT-B/32", "8 tasks"] == pytest.approx(94.5 - 84.4)
    assert by["TIES-Merging", "ViT-L/14", "14 tasks"] == pytest.approx(89.1 - 79.5)
    # Four other merges in six columns; RegMean++ has no entry for 14 tasks.
    assert len(found) == 4 * 6 - 2 and "Pre-Trained" not in set(found.over)


def test_a_fitted_slope_is_that_of_scipy():
    g = np.random.default_rng(0)
    x, y = np.arange(12.0) % 4, g.normal(size=12)
    fit = stats.linregress(x, y)
    assert more_tasks.fitted_slope(x, y) == pytest.approx((fit.slope, fit.stderr))
