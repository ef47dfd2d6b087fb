"""Models moved, and pairs of tiny models half-way between, by hand and by counting."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mergebook.ch4 import halfway, moved, rescues, soups
from mergehelpers import averaging, merge, zoo


@pytest.fixture(scope="module")
def own(tiny_key, soup_context):
    """The network, two models, their start, and images by split."""
    shop, net, models = soups.group_at_hand(tiny_key, **soup_context)
    data = {s: shop.data("fashion", s) for s in ("pool", "test")}
    return net, models[0], models[1], shop.first(tiny_key.group, 0), data


@pytest.fixture(scope="module")
def rows(tiny_key, soup_context):
    return halfway.HALFWAY.rows(tiny_key, soup_context)


def bodies(*states):
    """The numbers of bodies one after another, name by name."""
    return [np.concatenate([zoo.body(s)[k].numpy().ravel() for k in zoo.body(s)]) for s in states]


def score(net, state, data):
    x, y = data["test"]
    return 100 * float((averaging.logits(net, state, x).argmax(1) == y).double().mean())


def model(name, seed=0, width=4):
    net, state = zoo.build(name, seed, width)
    return net, zoo.with_head(state, net.width, 3, seed)


# ------------------------------------------------------------------------------------- moved


def test_moved_models_are_as_far_as_asked_in_every_tensor(own):
    _, a, b, _, _ = own
    by = moved.lengths_of(moved.move_between(a, b))
    far = moved.displaced(a, by, 3)
    for k in a:
        want = float((b[k] - a[k]).norm()) / 2
        assert float((far[k] - a[k]).norm()) == pytest.approx(want)
    again, other = moved.displaced(a, by, 3), moved.displaced(a, by, 4)
    assert all(torch.equal(far[k], again[k]) for k in a)
    assert not torch.equal(far["0.weight"], other["0.weight"])


def test_moments_and_counters_are_no_weights():
    _, state = model("vgg5_bn")
    assert {k.rpartition(".")[2] for k in moved.weights_only(state)} == {"weight", "bias"}
    assert "head.weight" in moved.weights_only(state)
    lengths = moved.lengths_of(moved.weights_only(state), 0.1)
    far = moved.displaced(state, lengths, 0)
    assert torch.equal(far["1.running_var"], state["1.running_var"])


def test_leveled_tensors_have_the_other_length_and_the_same_direction(own):
    _, a, b, _, _ = own
    found = moved.leveled(a, b)
    for k in a:
        assert float(found[k].norm()) == pytest.approx(float(b[k].norm()))
        cosine = float((found[k] * a[k]).sum() / (found[k].norm() * a[k].norm()))
        assert cosine == pytest.approx(1)


def test_parts_divide_a_transformer():
    for name in ("vit", "vit_stem"):
        _, a = model(name)
        b = {k: v + 1 for k, v in a.items()}
        names, changed = moved.part_names(a), []
        assert ("stem" in names) == (name == "vit_stem")
        for part in names:
            mixed = moved.with_part(a, b, part)
            changed += [k for k in a if not torch.equal(mixed[k], a[k])]
        assert sorted(changed) == sorted(a)
    with pytest.raises(ValueError, match="the tensor layer3 is in no part of a transformer"):
        moved.part_of_tensor("layer3")


def test_signs_by_counting():
    u, v = torch.tensor([1.0, -2, 0, 3, 1]), torch.tensor([-1.0, -1, 5, 2, -4])
    assert moved.sign_conflict(u, v) == 2 / 5


def test_conflicts_dealt_anew_are_as_many_and_elsewhere(own):
    _, a, b, start, _ = own
    dealt = moved.dealt_anew(start, a, b, 0)
    elsewhere = 0
    for k, s in start.items():
        u, v, w = ((m[k] - s).numpy().ravel() for m in (a, b, dealt))
        before, after = (sum(x * y < 0 for x, y in zip(u, other)) for other in (v, w))
        assert before == after
        assert np.sort(np.abs(v)) == pytest.approx(np.sort(np.abs(w)), abs=1e-12)
        elsewhere += int(((u * v < 0) != (u * w < 0)).sum())
        assert (w[u == 0] == pytest.approx(v[u == 0], abs=1e-12)) and len(w) == len(v)
    assert elsewhere > 100
    assert torch.equal(dealt["head.weight"], b["head.weight"])


# ----------------------------------------------------------------------------------- rescues


def test_chains_are_the_vggs():
    found = {name: rescues.is_chain(zoo.build(name, 0, 4)[0]) for name in zoo.ARCHITECTURES}
    assert found == {name: name.startswith("vgg") for name in zoo.ARCHITECTURES}


def test_elected_signs_entry_by_entry(own):
    _, a, b, start, _ = own
    found = rescues.elected(start, a, b)
    for k in ("0.weight", "0.bias"):
        triples = zip(*(m[k].flatten().tolist() for m in (start, a, b, found)))
        for s, x, y, z in triples:
            u, v = x - s, y - s
            want = (u + v) / 2 if u * v > 0 else max(u, v, key=abs) if u + v else 0.0
            assert z == pytest.approx(s + want, abs=1e-12)
    mean = (a["head.weight"] + b["head.weight"]) / 2
    assert torch.allclose(found["head.weight"], mean)


def test_rescues_that_a_network_allows():
    x = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    names = {}
    for name in ("vgg5", "vgg5_bn", "resnet10", "vit"):
        (net, a), (_, b) = model(name), model(name, 1)
        start = zoo.body(a)
        names[name] = set(rescues.rescued(net, a, b, start, x))
        without = set(rescues.rescued(net, a, b, None, x))
        assert names[name] - without == {n for n in names[name] if n.startswith("elected")}
    assert names["vgg5"] == {"elected", "aligned", "repaired", "aligned, repaired"}
    normed = {"recalibrated", "elected", "elected, recalibrated"}
    assert names["resnet10"] == normed
    assert names["vgg5_bn"] == normed | {"aligned", "aligned, recalibrated"}
    assert names["vit"] == {"elected"}


def test_the_mean_is_undone_only_by_one_start(own):
    _, a, _, start, _ = own
    assert rescues.same_start(start, dict(start))
    other = start | {"0.weight": start["0.weight"] + 1}
    assert not rescues.same_start(start, other) and not rescues.same_start(zoo.body(a), start)


def test_controls_keep_what_they_say(own):
    _, a, b, start, _ = own
    out = rescues.controls(a, b, start, 0)
    middle = merge.average([a, b])
    for name, states in out.items():
        for state in states:
            if name != "moved at random":
                assert torch.equal(state["head.weight"], middle["head.weight"]), name
    for name in ("moved at random", "moved at random, mean classifier"):
        for k in start:
            far = float((out[name][0][k] - a[k]).norm())
            assert far == pytest.approx(float((middle[k] - a[k]).norm())), name
    back, ends = out["half-way back"][0], out["half-way back, ends"]
    for k, s in start.items():
        assert torch.allclose(back[k] - s, (middle[k] - s) / 2)
        assert torch.allclose(ends[1][k] - s, (b[k] - s) / 2)
    dealt = moved.dealt_anew(start, a, b, 0)
    for k in start:
        assert torch.allclose(out["conflict dealt anew"][0][k], (a[k] + dealt[k]) / 2)
    assert not {"conflict dealt anew", "half-way back"} & set(rescues.controls(a, b, None, 0))


# --------------------------------------------------------------------------------- the rows


def test_pairs_share_no_model():
    assert halfway.neighbours(range(10)) == [(0, 1), (2, 3), (4, 5)]
    assert halfway.neighbours(range(3)) == [(0, 1)] and halfway.neighbours(range(1)) == []


def test_half_way_by_direct_evaluation(own, rows):
    net, a, b, _, data = own
    found = {row["model"]: row["score"] for row in rows}
    assert len(found) == len(rows) and {row["pair"] for row in rows} == {0}
    middle = {k: (a[k] + b[k]) / 2 for k in a}
    head = {k: middle[k] for k in ("head.weight", "head.bias")}
    wanted = {
        "first": score(net, a, data),
        "second": score(net, b, data),
        "mean": score(net, middle, data),
        "classifier alone": (score(net, a | head, data) + score(net, b | head, data)) / 2,
        "repaired": score(net, averaging.repaired(net, middle, [a, b], data["pool"][0]), data),
    }
    for name, want in wanted.items():
        assert found[name] == pytest.approx(want, abs=1e-3), name
    assert found["first"] != found["mean"]


def test_the_classifier_fitted_anew(own, rows):
    net, a, b, _, data = own
    found = {row["model"]: row["score"] for row in rows}
    middle = {k: (a[k] + b[k]) / 2 for k in a}

    def anew(state):
        f, other = (net.embed(state, data[s][0]) for s in ("pool", "test"))
        z = soups.classified_anew(f, data["pool"][1], other)
        return 100 * float((z.argmax(1) == data["test"][1]).double().mean())

    assert found["refitted"] == pytest.approx(anew(middle), abs=1e-3)
    assert found["refitted ends"] == pytest.approx((anew(a) + anew(b)) / 2, abs=1e-3)


def test_transformers_have_parts_and_stems_of_their_own_no_election(tiny_key, soup_context):
    key = replace(tiny_key, network="vit_stem", start="own stem", count=2, epochs=1)
    found = {row["model"]: row["score"] for row in halfway.HALFWAY.rows(key, soup_context)}
    assert {"attention alone", "stem alone", "classifier alone"} <= found.keys()
    assert not {"elected", "conflict dealt anew"} & found.keys()
    shop, net, (a, b) = soups.group_at_hand(key, **soup_context)
    test = {"test": shop.data("fashion", "test")}
    mixed = dict(a) | {k: (a[k] + b[k]) / 2 for k in a if k.startswith("0.")}
    assert found["stem alone"] == pytest.approx(score(net, mixed, test), abs=1e-3)


def test_how_two_models_differ_by_hand(own, tiny_key, soup_context):
    net, a, b, start, data = own
    (row,) = halfway.APART.rows(tiny_key, soup_context)
    x, y, s = bodies(a, b, start)
    u, v = x - s, y - s
    norm = np.linalg.norm
    wanted = {
        "distance": 2 * norm(x - y) / (norm(x) + norm(y)),
        "moved": (norm(u) + norm(v)) / 2 / norm(s),
        "cosine": u @ v / norm(u) / norm(v),
        "conflict": np.mean([p * q < 0 for p, q in zip(u, v)]),
    }
    p, q = (m["head.weight"].numpy().ravel() for m in (a, b))
    wanted["heads"] = p @ q / norm(p) / norm(q)
    wanted["heads_distance"] = 2 * norm(p - q) / (norm(p) + norm(q))
    (z,) = bodies(moved.dealt_anew(start, a, b, 0))
    wanted["dealt"] = 2 * norm(x - z) / (norm(x) + norm(z))
    names = [k for k, value in zoo.body(a).items() if value.ndim > 1 and value.numel() > 100]
    each = {name: [] for name in ("rho", "variance", "peak", "norm")}
    for name in names:
        p, q = (m[name].numpy().ravel() for m in (a, b))
        each["rho"].append(np.corrcoef(p, q)[0, 1])
        each["variance"].append(np.var((p + q) / 2) / ((np.var(p) + np.var(q)) / 2))
        peak = np.abs((p + q) / 2).max() / max(np.abs(p).max(), np.abs(q).max())
        each["peak"].append(peak)
        each["norm"].append(norm((p + q) / 2) / ((norm(p) + norm(q)) / 2))
    wanted |= {name: np.mean(values) for name, values in each.items()}
    for name, want in wanted.items():
        assert row[name] == pytest.approx(want, rel=1e-6), name
    assert row["cancelled"] == pytest.approx(
        averaging.cancelled(net, [a, b], data["test"][0][:100])
    )


def test_unlike_starts_have_no_dealt_control(tiny_key, soup_context):
    key = replace(tiny_key, start="random", count=2, epochs=1)
    (row,) = halfway.APART.rows(key, soup_context)
    assert row["dealt"] == 0 and row["distance"] > 1
