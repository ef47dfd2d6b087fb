"""Soups and ensembles of tiny groups, against brute force."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mergebook.ch4 import closely, donors, groups, halfway, soups
from mergebook.ch4.groups import Group
from mergebook.ch4.soups import FineTuned
from mergebook.claims import book_folder
from mergehelpers import averaging, zoo


@pytest.fixture(scope="module")
def own(tiny_key, soup_context):
    """The network, the models, and the data of the tiny group."""
    shop, net, models = soups.group_at_hand(tiny_key, **soup_context)
    return net, models, {s: shop.data("fashion", s) for s in ("pool", "val", "test")}


@pytest.fixture(scope="module")
def rows(tiny_key, soup_context):
    return soups.AVERAGES.rows(tiny_key, soup_context)


def mean_state(states):
    """The average by hand."""
    return {k: sum(s[k] for s in states) / len(states) for k in states[0]}


def right(z, y):
    """Percent of images whose largest score is the label's, one by one."""
    return 100 * sum(int(np.argmax(one)) == int(t) for one, t in zip(z.numpy(), y)) / len(y)


def score_of(net, state, images):
    return right(averaging.logits(net, state, images[0]), images[1])


def row_of(rows, method, members):
    (row,) = [r for r in rows if (r["method"], r["members"]) == (method, members)]
    return row


def test_a_key_names_its_group():
    key = FineTuned("m", "vit", "a", "mixup", "one", 0.1, 0.2, 3, 4, 5, 6)
    assert key.group == Group("vit", "a", "mixup", "one", 0.1, 0.2, 3, 4, 5, 6)


def test_models_are_double_and_on_the_grid(own):
    _, models, data = own
    assert data["test"][0].dtype == torch.float64
    for v in models[0].values():
        assert v.dtype == torch.float64 and torch.equal(v, (v / groups.GRID).round() * groups.GRID)


def test_the_models_answer_some_images_and_not_all(rows):
    single = [r["score"] for r in rows if r["method"] == "single"]
    assert len(single) == 3 and len(set(single)) > 1 and 20 < min(single) < max(single) < 95


def test_scores_of_single_models(own, rows):
    net, models, data = own
    for i, row in enumerate(r for r in rows if r["method"] == "single"):
        assert row["which"] == i and row["kept"] == 1
        for split, name in (("test", "score"), ("val", "val")):
            assert row[name] == pytest.approx(score_of(net, models[i], data[split]), abs=1e-3)


@pytest.mark.parametrize("count", [2, 3])
def test_soups_and_ensembles_by_hand(own, rows, count):
    """With three models there is one set of two, the first, and one of three."""
    net, models, data = own
    part = models[:count]
    for split, name in (("test", "score"), ("val", "val")):
        x, y = data[split]
        f = [net.embed(m, x) for m in part]
        z = [averaging.logits(net, m, x) for m in part]
        w, b = (sum(m[f"head.{k}"] for m in part) / count for k in ("weight", "bias"))
        first = sum(f) / count @ part[0]["head.weight"].T + part[0]["head.bias"]
        by_hand = {
            "uniform": score_of(net, mean_state(part), data[split]),
            "logits": right(sum(z) / count, y),
            "features": right(sum(f) / count @ w.T + b, y),
            "first head": right(first, y),
        }
        for method, want in by_hand.items():
            assert row_of(rows, method, count)[name] == pytest.approx(want, abs=1e-3), method


def test_greedy_soups_by_their_definitions(own, rows):
    net, models, data = own

    def val(state):
        return score_of(net, state, data["val"])

    order = sorted(range(3), key=lambda i: -val(models[i]))
    kept = [order[0]]
    for i in order[1:]:
        grown = [*kept, i]
        if val(mean_state([models[j] for j in grown])) >= val(
            mean_state([models[j] for j in kept])
        ):
            kept = grown
    best = mean_state([models[j] for j in kept])
    halved, counted, joined, taken = models[order[0]], models[0], {order[0]}, {0}
    for i, m in enumerate(models):
        trial = mean_state([halved, m])
        if val(trial) > val(halved):
            halved, joined = trial, joined | {i}
        trial = {k: (i * v + m[k]) / (i + 1) for k, v in counted.items()}
        if i and val(trial) > val(counted):
            counted, taken = trial, taken | {i}
    wanted = {"best first": (best, kept), "halving": (halved, joined), "counted": (counted, taken)}
    for rule, (soup, members) in wanted.items():
        row = row_of(rows, rule, 3)
        assert row["kept"] == len(members)
        assert row["val"] == pytest.approx(val(soup), abs=1e-3)
        assert row["score"] == pytest.approx(score_of(net, soup, data["test"]), abs=1e-3)
    z = sum(averaging.logits(net, models[j], data["test"][0]) for j in kept)
    row = row_of(rows, "best first logits", 3)
    assert (row["score"], row["kept"]) == (pytest.approx(right(z, data["test"][1])), len(kept))


def test_only_networks_with_batchnorm_have_new_moments(tiny_key, soup_context, rows):
    key = replace(tiny_key, network="vgg5_bn", count=2, epochs=1)
    found = soups.AVERAGES.rows(key, soup_context)
    more = {r["method"] for r in found} - {r["method"] for r in rows}
    assert more == {"recalibrated", "train mode"}
    shop, net, models = soups.group_at_hand(key, **soup_context)
    pool, test = (shop.data("fashion", s) for s in ("pool", "test"))
    again = net.recalibrated(mean_state_of_floats(models), pool[0])
    want = score_of(net, again, test)
    assert row_of(found, "recalibrated", 2)["score"] == pytest.approx(want)


def mean_state_of_floats(states):
    first = states[0]
    return {
        k: sum(s[k] for s in states) / len(states) if v.is_floating_point() else v
        for k, v in first.items()
    }


def test_counts_have_the_mean_over_three_sets_of_other_models(own, monkeypatch, tiny_key):
    net, models, data = own
    seven = [models[i % 3] for i in range(7)]
    shop = type("Shop", (), {"data": staticmethod(lambda task, split: data[split])})
    monkeypatch.setattr(soups, "group_at_hand", lambda *_: (shop, net, seven))
    found = soups.average_rows(tiny_key, {}, "cpu")
    pairs = [seven[i : i + 2] for i in (0, 2, 4)]
    want = np.mean([score_of(net, mean_state(pair), data["test"]) for pair in pairs])
    assert row_of(found, "uniform", 2)["score"] == pytest.approx(want, abs=1e-3)
    assert {r["members"] for r in found} == {1, 2, 3, 5, 7}


def test_auroc_by_counting_pairs():
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(30, 2, generator=g), (torch.rand(30, 2, generator=g) < 0.4).double()
    z[:5] = z[5:10]  # ties count one half
    shares = []
    for label in range(2):
        yes, no = z[y[:, label] == 1, label], z[y[:, label] == 0, label]
        won = [float(a > b) + float(a == b) / 2 for a in yes for b in no]
        shares.append(np.mean(won))
    assert soups.percent_score(z, y) == pytest.approx(100 * np.mean(shares))


def test_a_classifier_fitted_anew_solves_its_equations():
    g = torch.Generator().manual_seed(0)
    f, y = torch.randn(20, 3, generator=g, dtype=torch.float64), torch.arange(20) % 4
    z = soups.classified_anew(f, y, f)
    w = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)  # features and a constant last
    one = torch.cat([f, torch.ones(20, 1, dtype=torch.float64)], 1)
    target = torch.nn.functional.one_hot(y).double()
    by = torch.optim.LBFGS([w], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16)
    penalty = 1e-3 * one.square().sum() / 4

    def loss():
        by.zero_grad()
        value = (one @ w - target).square().sum() + penalty * w.square().sum()
        value.backward()
        return value

    by.step(loss)
    torch.testing.assert_close(z, (one @ w).detach(), rtol=1e-5, atol=1e-6)


def test_train_mode_has_the_moments_of_its_batch():
    net, state = zoo.build("vgg5_bn", 0, 4)
    state = zoo.with_head(state, net.width, 3, 0)
    x = torch.randn(130, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = soups.in_train_mode(net, state, x)
    assert found.shape == (130, 3)
    size = len(x.chunk(3)[0])
    alone = averaging.logits(net, net.recalibrated(state, x[:size]), x[:size])
    torch.testing.assert_close(found[:size], alone)
    assert not torch.allclose(found, averaging.logits(net, state, x))


def test_boards_are_scored_by_auroc(tiny_key, soup_context):
    key = replace(tiny_key, task=groups.BOARDS, count=2)
    shop, net, models = soups.group_at_hand(key, **soup_context)
    found = soups.AVERAGES.rows(key, soup_context)
    x, y = shop.data(groups.BOARDS, "test")
    want = soups.percent_score(averaging.logits(net, mean_state(models), x), y)
    assert row_of(found, "uniform", 2)["score"] == pytest.approx(want, abs=1e-3)


def test_other_weights_than_the_key_names_are_refused(tiny_key, soup_context):
    (mark,) = soup_context["sources"]
    with pytest.raises(ValueError, match="the key names the models other; mini8 has"):
        soups.AVERAGES.rows(
            replace(tiny_key, models="other"), {"sources": {"other": "mini8"}, "device": "cpu"}
        )
    with pytest.raises(ValueError, match="network is 'alexnet'; allowed"):
        soups.AVERAGES.rows(replace(tiny_key, network="alexnet"), soup_context)


@pytest.mark.parametrize(
    "experiment",
    [soups.AVERAGES, halfway.HALFWAY, closely.CLOSELY, closely.SENSITIVE, donors.DONORS],
    ids=lambda experiment: experiment.file,
)
def test_one_image_answered_otherwise_by_one_of_three_models_meets_an_objection(experiment):
    path = book_folder("studies") / "ch4" / f"{experiment.file}.json"
    scores = [name for name, tolerance in experiment.tolerance.items() if tolerance.absolute]
    assert scores
    for label, rows in json.loads(path.read_text(encoding="utf-8"))["rows"].items():
        for row in rows:
            for name in scores:
                for moved in (row[name] + 100 / 500 / 3, row[name] - 100 / 500 / 3):
                    assert experiment.objections([row], [row | {name: moved}]), (label, name)
