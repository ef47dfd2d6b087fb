"""Runs of page 02e: inputs, draws and layers on a tiny suite, settings on perceptrons."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from scipy.stats import chi2, spearmanr
from tables import packed

from mergebook import lab
from mergebook.ch2 import models, nodes, samples, transfer
from mergebook.ch2.models import Merge
from mergebook.page import OpenSuite
from mergehelpers import merge, mties, suites

SETTINGS = {"keep": 0.6, "spread": 0.4, "scale": 1.0, "samples": 3}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A suite of four layers, two tasks and four unlabelled inputs a task."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.VIT, "layers", 4)
        tiny.vit_suite(folder)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


@pytest.fixture(scope="module")
def answers(pictures):
    keys = samples.runs(pictures, 4, 0, **SETTINGS)
    sources = {pictures.mark: pictures.source}
    rows = [vars(key) | models.answers_of(key, sources, "cpu") for key in keys]
    return samples.with_sets(pd.DataFrame(rows).assign(suite=pictures.name), [pictures])


# -------------------------------------------------------------------------------- what is merged


def test_sizes_and_their_draws(pictures):
    assert samples.most_inputs(pictures) == 4
    assert samples.sample_sizes(pictures, 3) == [2, 3, 4]
    found = samples.drawn_sizes(pictures, 3, 5)
    assert found == [(2, 0), (2, 1), (2, 2), *((3, i) for i in range(5)), (4, 0)]
    assert samples.drawn_sizes(pictures, 4, 5)[-1] == (4, 0)


@pytest.mark.parametrize(
    ("count", "last", "middle"), [(12, [8, 9, 10], [4, 5, 6]), (4, [2], [1]), (1, [0], [0])]
)
def test_sets_of_layers_are_the_papers(count, last, middle):
    """Of twelve layers 0, 8, 9, 10 and 8, 9, 10, as Table 5 has them."""

    class Backbone:
        def sites(self):
            return list(range(count))

    found = samples.layer_sets(type("Suite", (), {"backbone": Backbone()})())
    assert found["all"] == list(range(count)) and found["last"] == last
    assert found["first, last"] == list(dict.fromkeys([0, *last])) and found["middle"] == middle


def test_every_key_is_there_once_and_has_its_set(pictures, answers):
    keys = samples.runs(pictures, 4, 0, **SETTINGS)
    assert len(keys) == len(set(keys)) == 3 + 4 + 1 + 4 + 4 + 1 + 3 + 1
    assert answers.scheduled.value_counts().to_dict() == {
        "all": 17,
        "first, last": 1,
        "last": 1,
        "middle": 1,
        "none": 1,
    }


def test_an_uneven_sample_has_as_many_inputs_from_other_tasks(pictures):
    """Two tasks: twice the inputs of the first, none of the second."""
    uneven = models.scored(pictures, f"released{models.UNEVEN}", 2, 0)
    inputs = models.sample(pictures, 2, 0, [2, 0])
    assert len(inputs) == 4
    by_hand = mties.node_scores(
        pictures.backbone,
        pictures.base,
        list(pictures.experts.values()),
        pictures.unlabelled(4, ["pets"]),
        measure=mties.squared,
        activation="gelu_tanh",
    )
    for site, score in uneven.items():
        assert torch.allclose(score, by_hand[site])
        assert not torch.allclose(score, models.scored(pictures, "released", 2, 0)[site])


def test_what_the_script_draws_is_read_from_the_facts():
    assert samples.released_draws().to_dict("records") == [{"batches": 8, "size": 128}]


def test_the_grid_has_every_setting_once(pictures):
    keys = samples.settings(pictures, 1.0, 3, 0)
    found = {(key.keep, key.spread) for key in keys}
    assert len(found) == len(keys) == len(samples.KEEPS) * len(samples.SPREADS)
    rows = [{"keep": 0.2, "spread": 0.1, "right": [packed(30), packed(50)]}]
    table = samples.setting_accuracies(pd.DataFrame(rows))
    assert table.to_dict("records") == [{"k": 0.2, "e": 0.1, "accuracy": pytest.approx(40)}]


# -------------------------------------------------------------------------- what is read off them


def table_of(*rows):
    """Answers of one suite and two tasks of ten inputs; a row says how many are right."""
    made = [
        ("s", method, order, size, draw, scheduled, [packed(x, 10), packed(y, 10)])
        for method, order, size, draw, scheduled, x, y in rows
    ]
    names = ["suite", "method", "order", "samples", "draw", "scheduled", "right"]
    return pd.DataFrame(made, columns=names)


MADE = table_of(
    ("rows", "released", 2, 0, "all", 5, 5),
    ("rows", "released", 3, 0, "all", 6, 8),
    ("rows", "released", 3, 1, "all", 8, 8),
    ("rows", "released", 4, 0, "all", 9, 9),
    ("rows", "released", 3, 0, "last", 1, 1),
    ("rows", f"released{models.UNEVEN}", 3, 0, "all", 2, 2),
    ("rows", "random", 16, 0, "all", 4, 4),
    ("rows", "random", 16, 1, "all", 7, 5),
    ("DARE", "", 16, 0, "all", 3, 3),
    ("DARE", "", 16, 1, "all", 3, 9),
    ("TIES by tensor", "", 16, 0, "none", 7, 7),
)


def test_gaps_are_all_inputs_minus_few():
    table = samples.size_gaps(MADE)
    assert table.inputs.tolist() == [2, 3, 4] and table.draws.tolist() == [1, 2, 1]
    assert table.lowest.tolist() == pytest.approx([50, 70, 90])
    assert table["mean"].tolist() == pytest.approx([50, 75, 90])
    assert table.highest.tolist() == pytest.approx([50, 80, 90])
    assert [gap.value for gap in table.gap] == pytest.approx([40, 15, 0])
    assert table.gap[2].low == -table.gap[2].high < 0 and table.gap[0].above


def test_deviations_are_those_of_the_draws_of_one_size():
    """M-TIES 70 and 80, random 40 and 60, DARE 30 and 60 percent; TIES draws nothing."""
    table = samples.deviations(MADE).set_index("model")
    found = [table.deviation[name].value for name in ("M-TIES", "random order", "DARE")]
    assert found == pytest.approx([50**0.5, 200**0.5, 450**0.5])
    assert table.draws.tolist() == [2, 2, 2, 1] and np.isnan(table.deviation["TIES"].value)
    noise = [100 * ((x + 0.16) / 10) ** 0.5 / 2 for x in (0.24, 0.16)]
    assert table.noise["M-TIES"] == pytest.approx(np.mean(noise))
    assert samples.random_accuracies(MADE, "s") == pytest.approx([40, 60])
    assert samples.own_size(MADE) == 3


def test_noise_and_deviation_by_hand():
    run = {"a": np.arange(100) < 50, "b": np.arange(400) < 80}
    by_hand = 100 * np.sqrt(0.5 * 0.5 / 100 + 0.2 * 0.8 / 400) / 2
    assert samples.noise_of_testing([run, run]) == pytest.approx(by_hand)
    found = samples.of_deviation([1.0, 3.0, 2.0])
    assert found == pytest.approx(
        (1, np.sqrt(2 / chi2.ppf(0.975, 2)), np.sqrt(2 / chi2.ppf(0.025, 2)))
    )
    # Draws that change no answer: another answer may be one away.
    assert samples.one_answer([run, run]) == 0.5
    assert samples.of_deviation([2.0, 2.0], 0.5) == (0, 0, 0.5)
    assert samples.around_deviation(1.0, 3, 1, 0.5) == found
    assert np.isnan(samples.of_deviation([2.0])).all()


def test_the_interval_of_a_deviation_covers_it_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        found = samples.of_deviation(rng.normal(0, 2, 20))
        hits += found.low <= 2 <= found.high
    assert 930 <= hits <= 970


def test_a_gap_of_one_run_and_many():
    one, two = {"0": np.arange(100) < 60}, {"0": np.arange(100) < 50}
    assert samples.mean_gap([one], [two, one]).value == pytest.approx(5)
    assert samples.mean_gap([two, two], [one]).value == pytest.approx(-10)


def test_a_second_draw_moves_dare_and_not_ties(pictures):
    moved = samples.redrawn(pictures, 0.6, 1.0).set_index("model").moved
    assert moved["TIES"] == 0 and moved["DARE"] > 0


def test_few_layers_trim_all_and_rank_few(pictures):
    """The last layer's rate in plain terms: one rate, most entries moved, some trimmed."""
    table = samples.layer_changes(pictures, **SETTINGS)
    assert table.named.tolist() == [True, False, True, False]
    assert (table.rates > 1).tolist() == table.named.tolist()
    assert (table.moved > 0.5).all() and (table.trimmed > 0).all()
    name = pictures.backbone.weight_name(pictures.backbone.sites()[1])
    experts = list(pictures.experts.values())
    plain = merge.ties(pictures.base, experts, 0.6, 1.0, "tensor")[name]
    assert table.moved[1] == pytest.approx((plain != pictures.base[name]).double().mean().item())


# ------------------------------------------------------------------------------- scores of nodes


def node_rows(r, keys):
    sources = {r.mark: r.source}
    rows = [vars(k) | row for k in keys for row in nodes.node_means(k, sources, "cpu")]
    return pd.DataFrame(rows).assign(suite=r.name)


def test_node_means_are_those_of_the_scores(pictures):
    table = node_rows(pictures, [nodes.Sampled(pictures.mark, 2, 1, block=5, every=3)])
    scores = models.scored(pictures, "shared input", 2, 1)
    for row in table.itertuples():
        score = scores[row.layer]
        assert row.nodes == pytest.approx(score[::3].tolist(), rel=1e-4)
        assert row.loss[0] == pytest.approx(score[:5].mean().item(), rel=1e-4)
        assert row.loss[-1] == pytest.approx(score[len(score) // 5 * 5 :].mean().item(), rel=1e-4)


def test_size_is_that_of_the_merged_activation():
    h = torch.tensor([[[1.0, -2.0]], [[3.0, 0.0]]])
    both = nodes.gap_and_size(h, torch.relu)
    assert both.tolist() == [[0, 0, 2, 0]]
    h = torch.tensor([[[1.0]], [[-3.0]]])
    assert nodes.gap_and_size(h, torch.relu).tolist() == [[0.5, 0]]


def test_agreement_of_ranks(pictures):
    table = node_rows(pictures, nodes.sampled(pictures, 3))
    found = nodes.rank_agreement(table)
    assert found.inputs.value_counts().to_dict() == {2: 3, 3: 3, 4: 1}
    assert found[found.inputs == 4].correlation.tolist() == pytest.approx([1])
    one, whole = (
        table[(table.samples == n) & (table.draw == 0)].set_index("layer").nodes for n in (2, 4)
    )
    by_hand = np.mean([spearmanr(one[layer], whole[layer]).statistic for layer in whole.index])
    row = found[(found.inputs == 2) & (found.draw == 0)]
    assert row.correlation.item() == pytest.approx(by_hand)


def test_late_layers_are_the_papers():
    assert list(nodes.late_layers(12)) == [8, 9, 10] and list(nodes.late_layers(5)) == [3]


def test_profiles_and_heat_maps_by_hand():
    rows = [
        {"suite": "s", "samples": 2, "draw": 0, "layer": name, "loss": loss, "size": size}
        for name, loss, size in [
            ("w", [1.0, 3.0], [1.0, 1.0]),
            ("x", [4.0, 4.0], [4.0, 4.0]),
            ("y", [6.0, 6.0], [2.0, 2.0]),
            ("z", [8.0, 8.0], [2.0, 2.0]),
        ]
    ]
    table = pd.DataFrame(rows)
    found = nodes.layer_ratios(table, 2)
    assert found[found.kind == "raw"].ratio.tolist() == [0.5, 1, 1.5, 2]
    assert found[found.kind == "relative"].ratio.tolist() == [2, 1, 3, 4]
    assert nodes.layer_ratios(table[:3], 2).ratio.isna().all()  # no middle
    assert nodes.heat_map(table, False).tolist() == [[1, 3], [4, 4], [6, 6], [8, 8]]
    assert nodes.heat_map(table, True).tolist() == [[1, 3], [1, 1], [3, 3], [4, 4]]


# -------------------------------------------------------------------------------------- settings


def test_a_family_has_its_shape_and_a_shared_readout():
    base, experts = transfer.networks(0, 8, 2)
    assert [len(experts[f"layers.{i}.bias"][0]) for i in range(3)] == [8, 8, 10]
    assert len(experts["layers.2.bias"]) == len(lab.TASKS)
    assert (experts["layers.2.weight"] == base["layers.2.weight"]).all()
    assert (experts["layers.1.weight"] != base["layers.1.weight"]).any()


def test_the_grid_of_a_family_is_that_of_its_merges(monkeypatch):
    monkeypatch.setattr(transfer, "KEEPS", (0.5,))
    monkeypatch.setattr(transfer, "SPREADS", (0.0, 0.5))
    rows = transfer.grid(transfer.Family(0, 8, 2, 4))
    assert [(row["k"], row["e"]) for row in rows] == [(0.5, 0.0), (0.5, 0.5)]
    base, experts = transfer.networks(0, 8, 2)
    suite = lab.suite(base, experts, transfer.digits())
    r = OpenSuite(suite, "cpu")
    flat = {r.backbone.weight_name(site): 0.5 for site in r.backbone.sites()}
    rates = {name: torch.full((8,), rate) for name, rate in flat.items()}
    state = merge.m_ties(r.base, list(r.experts.values()), rates, 0.5, 1.0)
    right = [a.double().mean().item() for a in r.answers(state, "test").values()]
    assert rows[0]["test"] == pytest.approx(100 * np.mean(right), abs=1e-3)
    assert rows[0]["val"] != rows[0]["test"]


def test_regrets_by_hand():
    """Narrow chooses (0.2, 0), deep (0.8, 0.1); on test these give 60 and 63.5."""
    settings = [(0.2, 0.0), (0.2, 0.1), (0.8, 0.0), (0.8, 0.1)]
    val = {(32, 3): (9, 8, 7, 6), (64, 4): (1, 2, 3, 4)}
    rows = [
        (0, *shape, k, e, value, test)
        for shape, values in val.items()
        for (k, e), value, test in zip(settings, values, (60.0, 61.0, 62.0, 63.5))
    ]
    names = ["world", "width", "layers", "k", "e", "val", "test"]
    found = transfer.regrets_of_reuse(pd.DataFrame(rows, columns=names)).iloc[0]
    assert (found.narrow, found.deep) == ((0.2, 0.0), (0.8, 0.1))
    assert (found.own, found.regret) == (63.5, 3.5)
    assert (found.by_k, found.by_e) == (pytest.approx(2.25), pytest.approx(1.25))


def test_families_are_narrow_and_deep_in_each_world():
    keys = transfer.families([0, 3], 16)
    assert [(k.world, k.width, k.layers) for k in keys] == [
        (0, 32, 3),
        (0, 64, 4),
        (3, 32, 3),
        (3, 64, 4),
    ]


def test_a_key_of_this_page_names_its_draw(pictures):
    one, two = (Merge(pictures.mark, "rows", "random", 0.6, 0.4, draw=d) for d in (0, 1))
    prints = [models.imprint(pictures.base, models.model_of(pictures, key)) for key in (one, two)]
    assert not models.IMPRINT.accepts(*prints)
