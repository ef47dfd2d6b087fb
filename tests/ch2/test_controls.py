"""Pages 02f: orders of the same keep rates, families of small networks, trims; against loops."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from torch import nn
from torch.nn import functional as F

from mergebook import lab, studies
from mergebook.ch2 import controls, families, models, trimming
from mergebook.ch2.models import Merge
from mergebook.page import OpenSuite
from mergehelpers import evaluate, states


def packed(right, n=200):
    return [studies.pack_answers({"": torch.arange(n) < right})[""]]


# ------------------------------------------------------------------------------------- the orders


def test_orders_of_one_method_deal_the_same_rates(pictures):
    """But for even rates, a layer has one multiset of rates in all orders, and one mean in all."""
    for method in controls.DEALT:
        deals = controls.deals(pictures.mark, method, 0.6, 0.4, 3, samples=3)
        found = {(k.order, k.draw): models.rates(pictures, k) for k in deals}
        first = next(iter(found.values()))
        for names, rates in found.items():
            for layer, rate in rates.items():
                assert rate.mean().item() == pytest.approx(0.4)
                if names[0] != "even":
                    assert rate.sort().values.numpy() == pytest.approx(first[layer].sort()[0])
        layer = next(iter(first))
        dealt = {names: tuple(rates[layer].tolist()) for names, rates in found.items()}
        assert len(set(dealt.values())) == len(dealt)


def test_keys_of_a_suite(pictures):
    keys = controls.keys(pictures, 4, 3, 5)
    assert len(keys) == len(set(keys)) == 2 + 2 * (3 + 7 + 4 + 3 + 2)
    assert {(k.keep, k.spread) for k in keys if k.order == "random"} == set(
        controls.SETTINGS.values()
    )
    assert all(k.inputs == 5 for k in keys)
    for method, order in controls.READINGS.values():
        assert sum((k.method, k.order) == (method, order) for k in keys) == 2


def answers(**right):
    """Rows of CONTROLS on one suite: 100 of 200 right, or what `right` says by order and keep."""
    rows = []
    for method in controls.DEALT:
        every = [Merge("m", method, "constant", 1.0)]
        for keep, spread in controls.SETTINGS.values():
            every += controls.deals("m", method, keep, spread, 4)
        for key in every:
            name = key.order.replace(" ", "_")
            at = (f"{name}_{key.draw}_{key.keep:g}", f"{name}_{key.keep:g}", name)
            count = next((right[n] for n in at if n in right), 100)
            rows.append(vars(key) | {"right": packed(count), "suite": "s"})
    return pd.DataFrame(rows)


def test_a_table_of_orders():
    found = controls.table_of_orders(answers(constant=90))
    assert list(found) == ["suite", "setting", "method", "order", "draw", "accuracy"]
    whole = found[found.order == controls.UNTRIMMED]
    assert len(whole) == 4 and set(whole.accuracy) == {45.0}
    assert set(found[found.order != controls.UNTRIMMED].accuracy) == {50.0}
    assert len(found[(found.order == "random") & (found.method == "rows")]) == 8
    text = controls.accuracies_of(found)
    assert text.loc["rows, random: mean", ("s", "printed")] == "50.00"
    assert text.loc["line 22, no trimming", ("s", "wide")] == "45.00"


def test_gains_of_a_suite_by_hand():
    """Random orders have 98 to 104 right of 200: 50.5 % in the mean; M-Loss is above two."""
    chance = {f"random_{draw}_0.8": 98 + 2 * draw for draw in range(4)}
    gains = controls.suite_gains(answers(released=101, constant=81, **chance))
    printed = gains[(gains.setting == "printed") & (gains.reading == "released")]
    of = printed.set_index("rival")
    assert of.value["random"] == pytest.approx(50.5 - 50.5)
    assert of.value["even"] == pytest.approx(0.5)
    assert of.value["no trimming"] == pytest.approx(10)
    assert of.low["no trimming"] > 0
    assert set(of.percentile) == {50.0}
    assert of.low["random"] < 0 < of.high["random"]
    assert set(gains[gains.reading == "own input"].rival) == {"random", "even", "no trimming"}
    wide = gains[(gains.setting == "wide") & (gains.reading == "released")].set_index("rival")
    assert wide.value["random"] == pytest.approx(0.5)
    shown = controls.shown_gains(gains, "even")
    assert shown.loc[("released", "printed"), "s"].startswith("+0.50 [")


def test_the_interval_over_random_orders_holds_their_luck():
    """Orders that differ widely make it wider than any one of them does."""
    calm = controls.suite_gains(answers()).query("rival == 'random'").iloc[0]
    wild = {f"random_{draw}_0.8": 60 + 80 * (draw % 2) for draw in range(4)}
    loud = controls.suite_gains(answers(**wild)).query("rival == 'random'").iloc[0]
    assert calm.high == -calm.low == pytest.approx(evaluate.missed([200]))
    assert loud.high - loud.low > 10


def test_gains_of_families_by_hand():
    rows = []
    for seed, shift in enumerate((0.0, 2.0)):
        for method, orders in controls.DEALT.items():
            for setting in controls.SETTINGS.values():
                mine = dict.fromkeys(("released", "merged so far"), 50 + shift)
                for order in (*orders, "constant", "random", "random"):
                    value = mine.get(order, 48.0)
                    rows.append(("CNNs", seed, method, *setting, order, value))
    names = ["network", "seed", "method", "keep", "spread", "order", "accuracy"]
    gains = controls.family_gains(pd.DataFrame(rows, columns=names))
    part = gains[(gains.reading == "paper") & (gains.rival == "random")]
    assert part.value.tolist() == pytest.approx([3, 3])
    assert part.high.iloc[0] == pytest.approx(3 + 12.706, rel=1e-4)
    assert gains[gains.reading == "normalised"].value.tolist() == pytest.approx([0] * 6)
    assert set(gains.kind) == {"families"}


def test_the_figure_has_a_panel_for_each_suite_and_setting():
    two = pd.concat([controls.table_of_orders(answers()).assign(suite=name) for name in "ab"])
    fig = controls.strip(two)
    assert [ax.get_title() for ax in fig.axes] == [
        f"{name}: k = {k:g}, e = {e:g}" for name in "ab" for k, e in controls.SETTINGS.values()
    ]
    grey = [line for line in fig.axes[0].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in grey] == [4, 2]
    assert len(fig.legends[0].get_texts()) == 1 + len({m[0] for m in controls.MARKS.values()})
    plt.close(fig)


# --------------------------------------------------------------------------------------- families


@pytest.fixture(scope="module")
def cnns():
    return families.cnns(3, steps=(2, 2), batch=8)


def test_a_family_of_cnns(cnns):
    assert list(cnns.experts) == list(lab.TASKS)
    assert not any("num_batches" in name for name in cnns.base)
    for state in (cnns.base, *cnns.experts.values()):
        assert all(value.dtype == torch.float64 for value in state.values())
    moved = [states.norm(states.task_vector(cnns.base, e)) for e in cnns.experts.values()]
    assert min(moved) > 0 and len(set(moved)) == len(moved)
    again = families.cnns(3, steps=(2, 2), batch=8)
    tiny.same(again.experts["mirrored"], cnns.experts["mirrored"])


def test_a_merged_cnn_normalises_by_its_own_statistics(cnns):
    """What it answers is what the plain network in evaluation mode answers."""
    r = OpenSuite(cnns, "cpu")
    state = models.model_of(r, Merge(r.mark, "TIES by tensor", "", 0.5))
    net = families.convolutional().double().eval()
    net.load_state_dict(state, strict=False)
    task = cnns.tasks["negative"]
    x = task.inputs["test"][:20].double()
    with torch.no_grad():
        logits = F.linear(net(x), task.head["weight"], task.head["bias"])
    right = r.answers(state, tasks=["negative"], limit=20)["negative"]
    assert right.tolist() == (logits.argmax(1) == task.labels["test"][:20]).tolist()
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 2


@pytest.fixture
def small(monkeypatch, cnns):
    r = OpenSuite(cnns, "cpu")
    for module in (controls, trimming):
        monkeypatch.setattr(module, "opened_family", lambda network, seed: r)
    return r


def test_rows_of_a_family(small):
    key = controls.FamilyDeal("CNNs", 0, "rows", 0.4, 0.4, 2, 2, 10)
    rows = controls.family_rows(key)
    assert [row["order"] for row in rows] == [
        *controls.DEALT["rows"],
        "random",
        "random",
        "constant",
    ]
    one = Merge(small.mark, "rows", "random", 0.4, 0.4, draw=1, samples=2)
    state = models.model_of(small, one)
    percent = evaluate.percent([small.answers(state, limit=10)])
    assert rows[-2]["draw"] == 1 and rows[-2]["accuracy"] == pytest.approx(percent, rel=1e-4)
    assert rows[-2]["imprint"] == models.imprint(small.base, state)
    assert len({tuple(row["imprint"]) for row in rows}) == len(rows)
    keys = controls.family_keys([0, 1], 5, 2, 10)
    assert len(keys) == 2 * 2 * 2 * 2 and {k.draws for k in keys} == {2}


# ------------------------------------------------------------------------------------------ trims


def tried(values):
    """The grid with validation accuracies, 50 but for `values` by method, keep and scale."""
    return pd.DataFrame(
        [
            vars(key) | {"val": values.get((key.method, key.keep, key.scale), 50.0)}
            for key in trimming.trim_grid("m")
        ]
    )


def test_the_best_settings_are_those_of_validation():
    values = {
        ("rows", 0.4, 1.0): 55.0,
        ("rows", 0.2, 2.0): 70.0,
        ("no trimming", 1.0, 0.5): 60.0,
        ("no trimming", 1.0, 1.0): 40.0,
    }
    found = trimming.best(tried(values))
    assert found["scale 1", "trimmed"]["keep"] == 0.4
    assert found["scale 1", "no trimming"]["scale"] == 1.0
    assert found["best scale", "trimmed"] == {
        "method": "rows",
        "order": "constant",
        "keep": 0.2,
        "scale": 2.0,
    }
    assert found["best scale", "no trimming"]["scale"] == 0.5
    assert len(trimming.trim_grid("m")) == 27


def test_the_chosen_settings_are_those_of_the_suites_own_rows():
    rows = []
    for mark, keep in (("m", 0.2), ("n", 0.8)):
        for key in trimming.trim_grid(mark, split="val"):
            good = key.method == "rows" and key.keep == keep and key.scale == 1
            rows.append(vars(key) | {"right": packed(150 if good else 100)})
    for mark, keep in (("m", 0.2), ("n", 0.8)):
        picked = trimming.chosen_trims(pd.DataFrame(rows), mark, inputs=7)
        key = picked["best scale", "trimmed"]
        assert (key.models, key.keep, key.split, key.inputs) == (mark, keep, "test", 7)


def test_gains_of_trims_by_hand():
    trimmed = Merge("m", "rows", "constant", 0.4)
    pick = {(how, "trimmed"): trimmed for how in trimming.SCALED}
    whole = Merge("m", "no trimming", "", 1.0)
    pick["scale 1", "no trimming"] = whole
    pick["best scale", "no trimming"] = replace(whole, scale=2.0)
    rights = {trimmed: 120, whole: 100, replace(whole, scale=2.0): 140}
    rows = [vars(key) | {"right": packed(n), "suite": "s"} for key, n in rights.items()]
    small = [
        ("CNNs", how, seed, name, 50.0 + (seed + 1) * (name == "trimmed"))
        for how in trimming.SCALED
        for seed in (0, 1)
        for name in ("trimmed", "no trimming")
    ]
    names = ["network", "scaled", "seed", "treatment", "accuracy"]
    gains = trimming.trim_gains(pd.DataFrame(rows), {"s": pick}, pd.DataFrame(small, columns=names))
    assert gains.value.tolist() == pytest.approx([10, -10, 1.5, 1.5])
    assert gains.whole.tolist() == pytest.approx([50, 70, 50, 50])
    assert gains.low[2] == pytest.approx(1.5 - 12.706 / 2, rel=1e-4)


def test_a_family_is_judged_on_test_inputs(small):
    rows = trimming.family_trims(trimming.Grid("CNNs", 0, 10, 20))
    assert [(row["scaled"], row["treatment"]) for row in rows] == [
        (how, name) for how in trimming.SCALED for name in ("trimmed", "no trimming")
    ]
    whole = Merge(small.mark, "no trimming", "", 1.0)
    percent = evaluate.percent([small.answers(models.model_of(small, whole), limit=20)])
    assert rows[1]["accuracy"] == pytest.approx(percent, rel=1e-4) and rows[1]["scale"] == 1
    val = {
        key: evaluate.percent([small.answers(models.model_of(small, key), "val", limit=10)])
        for key in trimming.trim_grid(small.mark)
        if key.method != "no trimming" and key.scale == 1
    }
    best = max(val, key=val.get)
    assert rows[0]["keep"] == best.keep and np.isclose(rows[0]["scale"], 1)
