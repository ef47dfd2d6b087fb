"""What learners read, new experts, sizes, fingerprints and features, on suites of a few images."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file
from tables import packed

from mergebook.ch3 import comparing, features, fingerprints, guidance
from mergebook.ch3.guidance import DEALT, EACH, NO_NETWORK, NOTHING, ONE, TRUE, TWO_LAYERS
from mergebook.ch3.reading import statistics_of
from mergebook.ch3.teaching import POOL, lesson
from mergebook.ch3.trials import SHARED, combined, graded, learn, stacked
from mergebook.experiments import Store
from mergebook.page import OpenSuite
from mergehelpers import distil, merge, states, stats, suites

QUICK = {"steps": 3, "count": 4, "batch": 2, "test_samples": 12}


@pytest.fixture(scope="module")
def r(tmp_path_factory):
    """The tiny suite of images, with two more tasks."""
    folder = tmp_path_factory.mktemp("four")
    content = tiny.vit_suite(folder)
    heads = load_file(folder / "heads.safetensors")
    for seed, (name, like) in enumerate({"toys": "pets", "fish": "birds"}.items(), 3):
        states.save(tiny.vit(seed), folder / f"{name}.safetensors")
        heads |= {f"{name}.{part}": -heads[f"{like}.{part}"] for part in ("weight", "bias")}
        content["tasks"][name] = content["tasks"][like] | {"expert": f"{name}.safetensors"}
    states.save(heads, folder / "heads.safetensors")
    tiny.write_manifest(folder, content)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


@pytest.fixture
def trials(r):
    """Trials whose rows are computed anew, of experiments by need."""
    store = Store("nowhere", "full")
    page = SimpleNamespace(
        device="cpu", table=lambda experiment, keys, **given: store.table(experiment, keys, **given)
    )
    return lambda experiment: comparing.Trials(page, r, experiment, (0.1, 0.3), searches=1)


def computed(r, t):
    """The row of new experts."""
    key = replace(t, models=r.mark, **QUICK)
    return guidance.new_expert_row(key, {r.mark: r.source}, "cpu")


# --------------------------------------------------------------------------------------- inputs


def test_each_input_is_learnt_in_each_reading(trials, monkeypatch):
    monkeypatch.setattr(guidance, "READ_BY", {ONE: (TRUE, NOTHING), EACH: (NOTHING,)})
    table = guidance.inputs_exchanged(trials(guidance.EXPERIMENT), 2, **QUICK)
    rows = table.groupby(["reading", "what"], sort=False)[["learner", "reads"]].first()
    assert rows.to_dict("index") == {
        (ONE, NO_NETWORK): {"learner": "free", "reads": "nothing"},
        (ONE, TRUE): {"learner": "mlp2", "reads": "statistics"},
        (ONE, NOTHING): {"learner": "mlp2", "reads": "constant"},
        (EACH, NO_NETWORK): {"learner": "free", "reads": "nothing"},
        (EACH, NOTHING): {"learner": "mlp2, one a layer", "reads": "constant"},
    }
    assert (table.groupby(["reading", "what"]).seed.nunique() == 2).all()
    free = table.what == NO_NETWORK
    assert all(np.ptp(c) > 0 for c in table.coefficients[free])
    assert all(c == [] for c in table.coefficients[~free])
    leads = guidance.leads_by_reading(table[table.reading == ONE], TRUE, guidance.CONTROLS)
    assert list(leads.over) == [NO_NETWORK, NOTHING]
    found = guidance.accuracy_by_seed(table)
    mean = found[found.reading == ONE].groupby("what").accuracy.mean()
    assert leads.value[1] == pytest.approx(mean[TRUE] - mean[NOTHING])


def test_all_inputs_stand_for_what_a_learner_can_read(r):
    for reading, names in guidance.READ_BY.items():
        for name in names:
            t = replace(guidance.READINGS[reading], reads=guidance.INPUTS[name])
            guidance.learner_of(r, t)
    assert set(guidance.CONTROLS) - {NO_NETWORK} <= set(guidance.INPUTS)


def test_a_suite_needs_tasks_and_validation_inputs(r):
    guidance.require_tasks(r, 4)
    with pytest.raises(ValueError, match="has 4 tasks; this page needs 5"):
        guidance.require_tasks(r, 5)


# ---------------------------------------------------------------------------------- new experts


def test_new_experts_get_what_the_learner_says_or_the_layers_mean(r):
    t = replace(SHARED, tasks="pets birds fish", rate=0.3, models=r.mark, **QUICK)
    row, found = computed(r, t), learn(r, t)
    c = found.learner.coefficients(found.features).detach()
    stacks = stacked(r, r.tasks)
    assert r.tasks == ("pets", "birds", "toys", "fish") and c.shape[0] == 4
    assert torch.equal(c[[0, 1, 3]], found.coefficients)
    assert row["read"] == graded(r, merge.combine(r.base, stacks, c), ["toys"], 12)
    c[2] = (c[0] + c[1] + c[3]) / 3
    assert row["mean"] == graded(r, combined(r, replace(t, tasks=""), c), ["toys"], 12)


def test_an_input_without_experts_gives_new_ones_the_layers_mean(r):
    row = computed(r, replace(SHARED, reads="constant", tasks="pets fish", rate=0.3))
    assert row[guidance.APART] == 0 and row["read"] == row["mean"] and len(row["read"]) == 2
    other = computed(
        r, replace(SHARED, reads="statistics, within layers", tasks="pets fish", rate=0.3)
    )
    assert other[guidance.APART] > 0.01 and other["losses"] != row["losses"]


def test_every_pair_is_left_out_once(r):
    left = guidance.pairs_left_out(r, replace(SHARED, seed=5))
    assert len({t.tasks for t in left}) == len(left) == 6
    assert [t.seed for t in left] == list(range(5, 11))
    assert left[0].tasks == "toys fish" and left[-1].tasks == "pets birds"


def test_gains_of_new_experts_are_averaged_by_task(trials, monkeypatch):
    monkeypatch.setattr(guidance, "NEW_READ", (TRUE, DEALT))
    table = guidance.with_new_experts(trials(guidance.EXPERIMENT), **QUICK)
    assert table.groupby(["what", "task"]).size().to_dict() == {
        (what, task): 3 for what in (TRUE, DEALT) for task in ("pets", "birds", "toys", "fish")
    }
    gains = guidance.gains_of_new(table)
    assert list(gains.what) == [TRUE, DEALT] and gains.value[1] != 0
    each = (table["read"] - table["mean"]).groupby(table.what).mean()
    assert list(gains.value) == pytest.approx([each[TRUE], each[DEALT]])
    made = pd.DataFrame(
        [("a", task, 50.0 + gain, 50.0, 90.0, 0.1) for task, gain in zip("xxyy", (1, 3, 5, 7))],
        columns=["what", "task", "read", "mean", "equal", "differ"],
    )
    found = guidance.gains_of_new(made).iloc[0]
    assert (found.value, found.tasks) == (4, 2)  # two gains, 2 and 6: t with one degree of freedom
    assert found.high - found.value == pytest.approx(12.7062 * 2, rel=1e-4)


# ----------------------------------------------------------------------------------------- sizes


def test_learners_of_all_sizes_are_counted(trials, r, monkeypatch):
    sizes = {ONE: {n: guidance.SIZES[ONE][n] for n in (NO_NETWORK, "linear", TWO_LAYERS)}}
    monkeypatch.setattr(guidance, "SIZES", sizes)
    monkeypatch.setattr(guidance, "ON_ALL", {ONE: {TWO_LAYERS: SHARED, NO_NETWORK: guidance.FREE}})
    table = guidance.learner_sizes(trials(guidance.EXPERIMENT), "pets birds", 2, **QUICK)
    layers = statistics_of(r, "weights", "layers").shape[1]
    numbers = table.groupby(["tasks_merged", "what"]).numbers.first().to_dict()
    assert numbers == {
        ("few", NO_NETWORK): 2 * layers,
        ("few", "linear"): 7,
        ("few", TWO_LAYERS): 6 * 64 + 64 + 64 + 1,
        ("all", TWO_LAYERS): 513,
        ("all", NO_NETWORK): 4 * layers,
    }


def answers(right, what, losses, reading=ONE, where="few"):
    """Two repetitions of a learner, of 100 answers to one task."""
    return [
        {"reading": reading, "tasks_merged": where, "what": what, "numbers": 1, "seed": seed}
        | {"right": [packed(n)], "losses": [loss, loss, loss, 0.1, 0.1]}
        for seed, (n, loss) in enumerate(zip(right, losses))
    ]


def test_sizes_are_compared_with_two_layers_of_the_same_tasks():
    table = pd.DataFrame(
        answers((50, 50), TWO_LAYERS, (1.0, 2.0))
        + answers((60, 60), "four layers", (0.5, 1.5))
        + answers((50, 50), TWO_LAYERS, (1.0, 1.0), where="all")
        + answers((40, 40), NO_NETWORK, (3.0, 3.0), where="all")
    )
    found = guidance.over_two_layers(table).set_index(["tasks", "what"])
    assert found.value.to_dict() == {("few", "four layers"): 10, ("all", NO_NETWORK): -10}
    deeper = found.loc[("few", "four layers")]
    assert (deeper.early, deeper.early_low, deeper.early_high) == (-0.5, -0.5, -0.5)
    assert deeper.all_low < deeper.low < 10 < deeper.high < deeper.all_high
    early = guidance.early_loss(pd.DataFrame({"losses": [[3.0, 1.0], [4.0, 2.0, 9.0]]}))
    assert list(early) == [3.0, 3.0]


# ----------------------------------------------------------------------------------- fingerprints


def test_a_training_again_gives_its_statistics(r):
    key = fingerprints.Retrained(r.mark, "birds", 2, 2, 1)
    row = fingerprints.retrained_row(key, {r.mark: r.source}, "cpu")
    inputs, labels = ({"birds": part} for part in lesson(r, "birds", POOL))
    state = distil.fit(r.suite, r.base, inputs, labels, None, 2, 32, 3e-4, 1, "cpu", progress=False)
    assert torch.tensor(row["weights"]).T == pytest.approx(stats.layer_wise(state, 2), rel=1e-5)
    moved = torch.tensor(row["changes"])[2]  # norms
    assert len(row["changes"]) == 5 and (moved > 0).all()
    assert len(fingerprints.retrainings(r, 3, 2, 10)) == 4 * fingerprints.TRAININGS
    assert {k.steps for k in fingerprints.retrainings(r, 3, 2, 10)} == {15}


def test_the_spread_between_tasks_is_over_that_of_trainings():
    x = {"a": (0.0, 2.0), "b": (10.0, 12.0)}
    rows = [
        {"task": task, "weights": [[v, v]], "changes": [[2 * v, v * v]]}
        for task, each in x.items()
        for v in each
    ]
    found = fingerprints.fingerprint_spreads(pd.DataFrame(rows), 0).set_index("kind")
    # Within, variance 2; between means 1 and 11, variance 50, of which 2 / 2 is trainings'.
    assert tuple(found.loc["weights"]) == pytest.approx((24.5**0.5,) * 3)
    assert found.low["changes"] < found.value["changes"] < found.high["changes"]


def frames(*coefficients):
    return pd.DataFrame({"coefficients": [c.tolist() for c in coefficients]})


def test_a_statistic_that_is_the_coefficient_is_a_perfect_proxy(r):
    x = statistics_of(r, "changes", "layers").numpy()
    best = frames(-x[..., 2])
    found = fingerprints.proxies(r, best, best, 1).set_index(["kind", "statistic"])
    assert len(found) == 8
    norm = found.loc[("changes", "magnitude")]
    assert norm.value == pytest.approx(-1) and norm.over == pytest.approx(0.5)
    assert norm.all_low == pytest.approx(0.5) and norm.whole == pytest.approx(0)
    assert found.value.abs().max() <= 1 + 1e-9 and found.value.abs().min() < 0.9
    ceiling = fingerprints.proxy_ceilings(best, frames(-x[..., 2], x[..., 2], -x[..., 2]))
    assert list(ceiling.value.round(9)) == [pytest.approx(1 / 3), pytest.approx(-1 / 3)]


def test_layers_without_a_number_are_left_out():
    a, b = np.array([[1.0, 1.0], [2.0, 1.0]]), np.array([[5.0, 3.0], [9.0, 4.0]])
    one, none = fingerprints.by_layer(a, b)
    assert one == pytest.approx(1) and np.isnan(none)
    mean = fingerprints.mean_by_layer([np.array([1, np.nan]), np.array([0, np.nan])])
    assert mean[0] == 0.5 and np.isnan(mean[1])


def test_the_oracle_learns_from_test_labels_and_is_the_best_step_size(trials):
    found = fingerprints.oracle_coefficients(trials(guidance.EXPERIMENT), **QUICK)
    row = found.iloc[0]
    assert len(found) == 1 and (row.loss, row.source, row.steps, row["count"]) == (
        *("labels", "test"),
        *(12, 12),
    )
    tried = [replace(guidance.FREE, rate=rate, **QUICK) for rate in (0.1, 0.3)]
    more = {"loss": "labels", "source": "test", "steps": 12, "batch": 4, "count": 12}
    rows = trials(guidance.EXPERIMENT).rows([replace(t, **more) for t in tried]).assign(what="x")
    scores = [comparing.scores(rows.iloc[[i]]).accuracy[0] for i in range(2)]
    assert row.rate == (0.1, 0.3)[int(np.argmax(scores))]


# -------------------------------------------------------------------------------------- features


def test_the_paths_of_table_5_and_their_random_counterparts_have_equal_sizes(r):
    sizes = [guidance.learner_of(r, replace(SHARED, reads=n))[1].shape[-1] for n in features.PATH]
    random = [
        guidance.learner_of(r, replace(SHARED, reads=n))[1].shape[-1]
        for n in features.RANDOM_BESIDE
    ]
    assert sizes == [1, 2, 3, 6] and random == sizes[1:]
    assert len({*features.SUBSETS, features.ALL}) == 15


def test_parts_of_the_statistics_are_learnt_in_each_reading(trials, monkeypatch):
    monkeypatch.setattr(features, "READ_BY", {ONE: ("mean", features.ALL), EACH: ("mean",)})
    table = features.with_features(trials(features.EXPERIMENT), "pets fish", 2, **QUICK)
    assert table.groupby("reading", sort=False).what.unique().map(list).to_dict() == {
        ONE: [NO_NETWORK, "mean", features.ALL],
        EACH: [NO_NETWORK, "mean"],
    }
    assert set(table.tasks) == {"pets fish"} and set(table.steps) == {3}


def test_a_reading_answers_the_questions_that_it_has_rows_for():
    table = pd.DataFrame(
        answers((60, 70), "all", (1.0, 1.0))
        + answers((50, 60), "some", (1.0, 1.0))
        + answers((50, 50), "all", (1.0, 1.0), EACH)
    )
    asked = [("more", "all", "some"), ("less", "some", "all"), ("none", "all", "other")]
    found = features.feature_contrasts(table, asked)
    assert list(found.reading) == [ONE, ONE] and list(found.value) == [10, -10]
    assert (found.all_high - found.value > found.high - found.value).all()
    alone = features.feature_contrasts(table, asked[:1]).iloc[0]
    assert alone.all_low == alone.low  # one question needs no correction


def test_mean_variance_and_size_give_the_norm(r, monkeypatch):
    assert features.norm_errors(r).error.max() < 1e-9
    wrong = statistics_of(r, "weights", "layers").clone()
    wrong[1, 0, 2] *= 1.01
    monkeypatch.setattr(features, "statistics_of", lambda *given: wrong)
    assert list(features.norm_errors(r).error > 1e-3) == [False, True, False, False]


def test_all_ranks_have_the_step_size_of_rank_three(trials, monkeypatch):
    monkeypatch.setattr(features, "READINGS", {ONE: SHARED})
    t = trials(features.EXPERIMENT)
    table = features.with_ranks(t, 2, **QUICK)
    assert set(table.reading) == {ONE}
    best = t.searched({"": replace(SHARED, **QUICK)})[""].rate
    assert set(table.rate) == {best}
    reads = table.groupby("what").reads.first().to_dict()
    assert reads == dict.fromkeys("12345", "statistics") | {
        "0": "mean+variance+magnitude",
        "random": "mean+variance+magnitude, and noise 3",
    }
    assert table[table.what == "2"]["rank"].unique() == [2]
    over = features.over_ranks(table)
    assert list(over.over) == ["1", "2", "4", "5", "0", "random"] and set(over.what) == {"3"}
