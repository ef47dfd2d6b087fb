"""Magnified networks: by hand, by brute force, and the recheck of their rows."""

import json
import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mergebook.ch4 import curves, full_size, grown, magnified
from mergebook.ch4.grown import OneGrown
from mergebook.ch4.magnified import Curve, Grown
from mergebook.claims import book_folder
from mergehelpers import averaging, merge, zoo

QUICK = {"count": 3, "images": 40}


@pytest.fixture(scope="module")
def trained():
    """Three models of one start that tell four noisy patterns apart, not all; test images."""
    net, body = zoo.build("vgg5", 0)
    g = torch.Generator().manual_seed(1)
    patterns = torch.randn(4, 3, 4, 4, generator=g).repeat_interleave(8, 2).repeat_interleave(8, 3)

    def images(count):
        y = torch.arange(count) % 4
        return patterns[y] + torch.randn(count, 3, 32, 32, generator=g), y

    x, y = images(80)
    start, rest = zoo.with_head(body, net.width, 4, 5), {"adam": True, "device": "cpu"}
    states = [zoo.train(net, start, x, y, 8, 0.002, seed, **rest) for seed in range(3)]
    return net, states, *images(40)


@pytest.fixture
def models(trained, monkeypatch):
    """The trained models in place of fine-tuned ones."""
    net, states, x, y = trained
    states = list(states)
    for module in (magnified, grown):
        monkeypatch.setattr(module, "members_and_images", lambda *_: (net, states, x, y))
        monkeypatch.setattr(module, "begun", lambda *_: {"begun": [0.0, 0.0]})
    return net, states, x, y


def test_the_models_answer_some_images_and_not_all(models):
    net, states, x, y = models
    right = [share(z, y) for z in brute(net, states, x, 1.0, torch.float64)]
    assert 30 < min(right) and max(right) < 100 and len(set(right)) > 1


def rows_at(rows, **where):
    return [row for row in rows if all(row[k] == v for k, v in where.items())]


# ---------------------------------------------------------------------------- by hand


def test_what_each_number_gets():
    assert magnified.numbers_factor(90, "vgg19") == 90
    assert magnified.numbers_factor(90, "vgg5") == pytest.approx(90**3.8)
    assert 2.6e7 < magnified.numbers_factor(90, "vgg5") < 2.7e7


def test_right_answers_and_scores_that_are_lost():
    inf, nan = math.inf, math.nan
    z = torch.tensor([[1.0, 2.0], [inf, 0.0], [nan, 3.0], [0.0, 1.0]])
    y = torch.tensor([1, 0, 1, 1])
    assert magnified.answered_right(z, y) == 75  # the first NaN counts as the largest
    assert magnified.without_scores(z) == 50


def test_a_state_in_another_format_keeps_its_whole_numbers():
    found = magnified.cast({"a": torch.ones(2), "n": torch.tensor(3)}, torch.float64)
    assert found["a"].dtype == torch.float64 and found["n"].dtype == torch.int64


def test_where_a_share_crosses_a_level():
    assert curves.crossing([1, 10, 100], [0, 0, 100]) == pytest.approx(10 * 10**0.5)
    assert curves.crossing([1, 10], [60, 70]) != curves.crossing([1, 10], [60, 70])  # NaN
    assert curves.crossing([1, 10, 100], [0, 50, 100]) == pytest.approx(10)


def test_a_correlation_without_variation_is_zero():
    assert curves.correlation_of([1, 2, 4], [2, 4, 8]) == pytest.approx(1)
    assert curves.correlation_of([1, 1, 1], [2, 4, 8]) == 0


# ------------------------------------------------------------------------------- the runs


def brute(net, states, x, factor, kind):
    """Scores of each model, one multiplication after another, in numpy's order."""
    multiplied = [{k: v.to(kind) * factor for k, v in s.items()} for s in states]
    return torch.stack([averaging.logits(net, s, x.to(kind)) for s in multiplied])


def share(z, y):
    return 100 * np.mean([int(np.argmax(row)) == int(t) for row, t in zip(z.numpy(), y)])


def test_curves_are_those_of_models_multiplied_one_by_one(models):
    net, states, x, y = models
    key = Curve("m", "vgg5", "a", factors=(1.0, 3.0), **QUICK)
    rows = magnified.curve_rows(key, {}, "cpu")
    for c in (1.0, 3.0):
        z = brute(net, states, x, c**3.8, torch.float64)
        (row,) = rows_at(rows, factor=c, format="float64", biases="all", members=3)
        assert row["single"] == pytest.approx(np.mean([share(one, y) for one in z]), abs=0.01)
        assert row["logits"] == row["divided"] == pytest.approx(share(z.mean(0), y), abs=0.01)
        mixed = z.softmax(-1).mean(0)
        assert row["probabilities"] == pytest.approx(share(mixed, y), abs=0.01)
        soup = {k: torch.stack([s[k].double() for s in states]).mean(0) for k in states[0]}
        one = brute(net, [soup], x, c**3.8, torch.float64)[0]
        assert row["soup"] == pytest.approx(share(one, y), abs=0.01)
        assert row["single_lost"] == row["sum_lost"] == row["sum_nan"] == 0
    assert {row["members"] for row in rows if row["biases"] == "all"} == {2, 3}
    assert len(rows) == 2 * 2 * 2 + 2  # and two treatments of biases at factor 1


def test_biases_that_keep_the_function_change_no_answer(models):
    net, states, x, y = models
    key = Curve("m", "vgg5", "a", factors=(1.0, 100.0), **QUICK)
    rows = magnified.curve_rows(key, {}, "cpu")
    for biases in ("none", "layers"):
        one, hundred = rows_at(rows, biases=biases)
        for name in ("single", "soup", "logits", "features"):
            assert one[name] == hundred[name]


def test_sums_leave_the_format_before_single_scores_and_where_predicted(models):
    """With biases none: the factor from the largest score, against a search by halving."""
    net, states, x, y = models
    found = magnified.sizes(net, states, x)
    for name, lost in (("score", "single_lost"), ("added", "sum_lost")):
        low, high = 1.0, 1000.0
        for _ in range(25):
            middle = (low * high) ** 0.5
            by = magnified.numbers_factor(middle, "vgg5")
            (row,) = magnified.methods(net, states, x, y, by, torch.float32, "none", (3,))
            low, high = (low, middle) if row[lost] >= 50 else (middle, high)
        predicted = 10 ** ((curves.LIMIT - found[name]) / 19)
        assert low == pytest.approx(predicted, rel=0.06)


def test_added_first_overflows_and_divided_first_does_not(models):
    net, states, x, y = models
    s = magnified.sizes(net, states, x)["score"]
    c = 10 ** ((curves.LIMIT - s - 0.25) / 19)  # scores 0.56 of the limit: three do not fit
    by = magnified.numbers_factor(c, "vgg5")
    (row,) = magnified.methods(net, states, x, y, by, torch.float32, "none", (3,))
    (double,) = magnified.methods(net, states, x, y, by, torch.float64, "none", (3,))
    assert row["sum_lost"] > 60 and row["single_lost"] < 40
    assert double["sum_lost"] == double["single_lost"] == 0


def test_batches_have_the_mean_of_all_images(models):
    net, states, x, y = models
    rows = grown.batch_rows(Grown("m", "vgg5", "a", **QUICK), {}, "cpu")
    key = Curve("m", "vgg5", "a", factors=(1.0, 90.0), **QUICK)
    whole = magnified.curve_rows(key, {}, "cpu")
    for kind in magnified.FORMATS:
        for c in (1.0, 90.0):
            (batch,) = rows_at(rows, format=kind, factor=c)
            (row,) = rows_at(whole, format=kind, factor=c, biases="all", members=3)
            assert len(batch["soup_batches"]) == 2
            assert np.mean(batch["soup_batches"]) == pytest.approx(row["soup"])
            assert np.mean(batch["logits_batches"]) == pytest.approx(row["logits"])


def test_among_all_classes_accuracy_is_that_of_all(models):
    net, states, x, y = models
    rows = grown.kept_rows(Grown("m", "vgg5", "a", **QUICK), {}, "cpu", draws=3)
    assert [row["classes"] for row in rows] == [2, 4]
    z = brute(net, states, x, 1.0, torch.float64)
    assert rows[-1]["ensemble"] == pytest.approx(share(z.mean(0), y))
    assert rows[-1]["single"] == pytest.approx(share(z[0], y))
    hundred = brute(net, states, x, 100**3.8, torch.float64)
    assert rows[-1]["ensemble_grown"] == pytest.approx(share(hundred.mean(0), y))
    assert rows[0]["single"] > rows[-1]["single"]  # of two classes more are guessed


def test_the_first_classifier(models):
    net, states, x, y = models
    row = grown.head_row(Grown("m", "vgg5", "a", **QUICK), {}, "cpu")
    assert row["mean_head"] == pytest.approx(row["head_1"], abs=15)  # trained from one classifier
    states[2] = zoo.with_head(states[2], net.width, 4, 9)
    states[1] = zoo.with_head(states[1], net.width, 4, 8)
    row = grown.head_row(Grown("m", "vgg5", "a", **QUICK), {}, "cpu")
    f = averaging.features(net, states, x).mean(0)
    z = f @ states[0]["head.weight"].T + states[0]["head.bias"]
    assert row["head_1"] == pytest.approx(share(z, y)) != row["mean_head"]


def test_one_model_magnified_outweighs_the_others(models):
    net, states, x, y = models
    rows = grown.one_rows(OneGrown("m", "vgg5", "a", factor=1e6, **QUICK), {}, "cpu")
    none, first, last = rows
    for row in (first, last):
        assert row["logits"] == row["single"] and abs(row["soup"] - row["single"]) <= 5
    soup = merge.average([{k: v.double() for k, v in s.items()} for s in states])
    z = averaging.logits(net, soup, x.double())
    assert none["soup"] == pytest.approx(share(z, y))


def test_a_full_size_network_breaks_where_predicted():
    """The smallest of torchvision's, against the largest score that a search finds finite."""
    key = full_size.FullSize("vgg11", 11, classes=4, images=2)
    row = full_size.full_size_row(key)
    assert (row["lost_below"], row["lost_above"], row["lost_double"], row["same"]) == (
        0,
        100,
        0,
        100,
    )
    assert row["predicted"] == pytest.approx((3.4028e38 / 10 ** row["size"]) ** (1 / 11), rel=1e-3)
    with pytest.raises(ValueError, match="vgg11 has 11 weight layers, not 19"):
        full_size.full_size_row(replace(key, depth=19))


# ------------------------------------------------------------------------------- the tables


def made_up(soup, logits):
    """Curves of one group, by factor, from accuracies of soup and of logits."""
    rows = []
    for kind in magnified.FORMATS:
        for seed in (0, 1):
            for task in ("a", "b"):
                for members in (2, 10):
                    for c, s, z in zip((1.0, 50.0, 90.0, 100.0, 150.0), soup, logits):
                        row = {"format": kind, "biases": "all", "network": "vgg19", "seed": seed}
                        row |= {"task": task, "factor": c, "members": members}
                        move = (members == 10) * (kind == "float32") + seed + 2 * (task == "b")
                        row |= dict.fromkeys(("single", "divided", "probabilities"), 50.0)
                        row |= {"soup": s + move, "logits": z, "features": z + 1, "first_head": z}
                        row |= {"sum_lost": 100.0 * (c > 60), "single_lost": 100.0 * (c > 95)}
                        row |= {"score": 1.0, "added": 2.0}
                        rows.append(row)
                        if c in (1.0, 100.0) and members == 10 and kind == "float64":
                            rows += [row | {"biases": b} for b in ("none", "layers")]
    return pd.DataFrame(rows)


def test_contrasts_by_hand():
    table = curves.contrasts(made_up((60, 58, 50, 30, 10), (70, 69, 20, 10, 8)))

    def of(what, kind="float32"):
        return table[(table.what == what) & (table.format == kind)].value.tolist()

    assert of("more: logits at 90") == [40, 40]  # 70 - 20 minus 60 - 50
    assert of("features: at 100") == [0, 0]
    assert of("ahead: at 50") == [69 + 1 - 58 - 2, 69 + 1 - 58 - 3]  # tasks and starts moved
    assert of("rise") == [40, 40] and of("fall") == [28, 28] and of("widening") == [0, 0]
    assert of("broken: logits") == [61, 61] and of("format: at 90", "both") == [0, 0]
    assert of("biases: none", "float64") == [60, 60]


def test_thresholds_and_counts_by_hand():
    table = made_up((60, 58, 50, 30, 10), (70, 69, 20, 10, 8))
    found = curves.thresholds(table)
    single = found[found.what == "single"].iloc[0]
    assert single.predicted == pytest.approx(10 ** ((38.5318 - 1) / 19), rel=1e-3)
    assert single.observed == pytest.approx((90 * 100) ** 0.5)
    assert single.ratio == pytest.approx(single.observed / single.predicted)
    counts = curves.by_count(table)
    assert len(counts) == 16 and set(counts.more) == {30.0}
    assert counts.groupby("format").size().to_dict() == {"float32": 8, "float64": 8}
    assert counts.leaves.iloc[0] == pytest.approx((50 * 90) ** 0.5)


def test_losses_by_hand():
    table = made_up((60, 58, 50, 30, 10), (70, 69, 20, 10, 8))
    table["single"] = 50.0 - 5 * (table.factor == 100) * (table.biases == "all") * (1 + table.seed)
    found = curves.single_losses(table)
    assert found[found.biases == "all"].value.tolist() == [5, 10]
    assert found[found.biases == "none"].value.tolist() == [0, 0]
    lost = curves.lost_between(table, "float32", (1.0, 50.0, 100.0)).vgg19
    assert lost["logits, 1 to 50"] == "1.0 [1.0, 1.0]"
    assert lost["soup, 50 to 100"] == "28.0 [28.0, 28.0]"
    assert lost["single, 1 to 50"] == "0.0 [0.0, 0.0]"


def test_relations_and_shares_by_hand():
    batches = pd.DataFrame(
        {
            "network": ["n"] * 2,
            "format": ["float32"] * 2,
            "factor": [1.0] * 2,
            "seed": [0] * 2,
            "soup_batches": [[10, 20, 30], [10, 10, 10]],
            "logits_batches": [[20, 30, 20], [0, 0, 20]],
        }
    )
    (row,) = curves.relations(batches).to_dict("records")
    assert row["r"] == 0 and row["ahead"] == pytest.approx((-10 / 3 + 10 / 3) / 2)
    assert row["below"] == pytest.approx((100 / 3 + 200 / 3) / 2)
    kept = {"network": ["n"] * 2, "seed": [0] * 2, "classes": [2, 8]}
    kept |= {f"{m}{g}": [50.0, 40.0] for m in ("single", "ensemble") for g in ("", "_grown")}
    kept |= {"soup": [50.0, 40.0], "soup_grown": [50.0, 20.0]}
    shares = curves.shares_kept(pd.DataFrame(kept))
    assert shares.soup.tolist() == [100, 50] and shares.single.tolist() == [100, 100]
    assert curves.class_slopes(shares).value.tolist() == pytest.approx([-25])


def test_factors_that_the_sentences_name_must_be_there():
    with pytest.raises(ValueError, match=r"factors must have \[90.0\]"):
        curves.curve_table(None, None, [], [], [1, 50, 100, 150])


# ---------------------------------------------------------------------------- the recheck


@cache
def kept_rows_of(experiment):
    path = book_folder("studies") / "ch4" / f"{experiment.file}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def by_results(experiment, one, other):
    """Objections but those to what a row is known by."""
    found = experiment.objections(one, other)
    return [text for text in found if ", begun:" not in text]


def labels(experiment, **where):
    return [
        label
        for label in kept_rows_of(experiment)
        if all(json.loads(label)[k] == v for k, v in where.items())
    ]


BOTH = (magnified.CURVES, magnified.DEEP_CURVES)


def test_rows_of_other_networks_do_not_pass_by_their_results_alone():
    """A row of vgg5 against any other, vgg11 against vgg19; all pairs differ in `begun`."""
    shallow, deep = (kept_rows_of(e) for e in BOTH)
    vgg11, vgg19 = (labels(magnified.DEEP_CURVES, network=n) for n in ("vgg11", "vgg19"))
    pairs = [(magnified.CURVES, a, b) for a in shallow.values() for b in deep.values()]
    pairs += [(magnified.DEEP_CURVES, deep[a], deep[b]) for a in vgg11 for b in vgg19]
    assert len(pairs) == 6 * 12 + 6 * 6
    assert all(by_results(experiment, a, b) for experiment, a, b in pairs)


@pytest.mark.parametrize("experiment", BOTH, ids=lambda e: e.name)
def test_numbers_of_the_other_format_do_not_pass(experiment):
    for label, own in kept_rows_of(experiment).items():
        double = {
            (r["factor"], r["members"]): r
            for r in own
            if r["format"] == "float64" and r["biases"] == "all"
        }
        swapped = [
            double[r["factor"], r["members"]] | {"format": "float32"}
            if r["format"] == "float32"
            else r
            for r in own
        ]
        assert by_results(experiment, own, swapped), label


def test_each_accuracy_that_moves_by_more_than_its_tolerance_meets_an_objection():
    rows = next(iter(kept_rows_of(magnified.CURVES).values()))
    for experiment in (*BOTH, magnified.DEBRIS):
        for name, tolerance in experiment.tolerance.items():
            if isinstance(rows[0][name], float) and tolerance.absolute:
                moved = [rows[0] | {name: rows[0][name] + 1.1 * tolerance.absolute}]
                assert experiment.objections(rows[:1], moved), name
                moved = [rows[0] | {name: rows[0][name] + 0.9 * tolerance.absolute}]
                assert not experiment.objections(rows[:1], moved), name


def test_a_row_is_known_by_its_start_and_classifiers(mini8):
    from mergebook.page import OpenSuite

    r = OpenSuite(mini8, "cpu")
    context = SimpleNamespace(sources={r.mark: "mini8"}, device="cpu")
    base = Grown(r.mark, "vgg5", "fashion")
    known = {
        key: magnified.begun(key, context.sources, context.device)["begun"]
        for key in (base, replace(base, head="own"), replace(base, seed=1))
    }
    one, own, other = known.values()
    assert one[0] == one[1] and own[0] == one[0] and own[1] != own[0] and other != one
    stored = kept_rows_of(magnified.CURVES)
    (label,) = labels(magnified.CURVES, network="vgg5", task="fashion", seed=0)
    assert stored[label][0]["begun"] == pytest.approx(one, rel=1e-3)
