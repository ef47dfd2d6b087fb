"""The soup seen closely, moved weights, selection and donors, by brute force on tiny groups."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mergebook.ch4 import closely, donors, moved, selecting, soups
from mergebook.ch4.groups import BOARDS
from mergehelpers import averaging, zoo


@pytest.fixture(scope="module")
def own(tiny_key, soup_context):
    """The workshop, the network and the three models."""
    return soups.group_at_hand(tiny_key, **soup_context)


@pytest.fixture(scope="module")
def seen(tiny_key, soup_context):
    return {row["who"]: row for row in closely.CLOSELY.rows(tiny_key, soup_context)}


def mean_state(states, weights=None):
    weights = weights or [1 / len(states)] * len(states)
    return {k: sum(w * s[k] for w, s in zip(weights, states)) for k in states[0]}


def right(z, y):
    return 100 * float((z.argmax(1) == y).double().mean())


def score(net, state, images):
    return right(averaging.logits(net, state, images[0]), images[1])


# ------------------------------------------------------------------------------ seen closely


def test_scores_on_three_sets_of_images(own, seen, tiny_key):
    shop, net, models = own
    test = shop.data("fashion", "test")
    sets = {"train": shop.data("fashion", "pool"), "test": test}
    sets["noisy"] = closely.noisy_images(test, tiny_key.seed)
    soup = mean_state(models)
    for name, (x, y) in sets.items():
        z = sum(averaging.logits(net, m, x) for m in models) / 3
        f = sum(net.embed(m, x) for m in models) / 3
        wanted = {
            "soup": score(net, soup, (x, y)),
            "ensemble": right(z, y),
            "features": right(f @ soup["head.weight"].T + soup["head.bias"], y),
            "members": np.mean([score(net, m, (x, y)) for m in models]),
            "shrunk members": np.mean([score(net, moved.leveled(m, soup), (x, y)) for m in models]),
        }
        for who, want in wanted.items():
            assert seen[who][name] == pytest.approx(want, abs=1e-3), (who, name)
    assert {"moved members", "repaired"} == seen.keys() - wanted.keys()


def test_noise_has_half_a_deviation_and_its_seed(own):
    images = own[0].data("fashion", "test")
    noise = closely.noisy_images(images, 0)[0] - images[0]
    assert float(noise.std()) == pytest.approx(0.5, abs=2e-3) and abs(float(noise.mean())) < 2e-3
    assert not torch.equal(noise, closely.noisy_images(images, 1)[0] - images[0])


def test_lengths_and_distances_from_the_ensemble(own, seen):
    shop, net, models = own
    x, _ = shop.data("fashion", "test")
    z = sum(averaging.logits(net, m, x) for m in models) / 3
    soup = mean_state(models)
    apart = (averaging.logits(net, soup, x) - z).norm() / z.norm()
    assert seen["soup"]["apart"] == pytest.approx(float(apart), rel=1e-6)
    assert seen["ensemble"]["apart"] == 0 < seen["features"]["apart"]

    def length(state):
        return sum(float(v.square().sum()) for v in zoo.body(state).values()) ** 0.5

    assert seen["soup"]["length"] == pytest.approx(length(soup))
    assert seen["members"]["length"] == pytest.approx(np.mean([length(m) for m in models]))
    assert seen["shrunk members"]["length"] == pytest.approx(seen["soup"]["length"])


def test_members_are_moved_as_far_as_the_soup_is(own):
    shop, net, models = own
    found = closely.soup_and_others(net, models, shop.data("fashion", "pool")[0], 0)
    (soup,) = found["soup"]
    for m, far in zip(models, found["moved members"], strict=True):
        for k in m:
            want = float((soup[k] - m[k]).norm())
            assert float((far[k] - m[k]).norm()) == pytest.approx(want)


def test_gradients_by_differences(own, seen):
    shop, net, models = own
    x, y = (v[:2] for v in shop.data("fashion", "test"))

    def scores(x):
        f = net.encode(models[0], {"pixels": x})
        return f @ models[0]["head.weight"].T + models[0]["head.bias"]

    def loss(image, label):
        return float(torch.nn.functional.cross_entropy(scores(image[None]), label[None]))

    lengths = []
    for image, label in zip(*closely.noisy_images((x, y), 0, 1e-3)):
        total = 0.0
        for at in range(image.numel()):
            step = torch.zeros(image.numel(), dtype=image.dtype)
            step[at] = 1e-6
            step = step.view_as(image)
            total += ((loss(image + step, label) - loss(image - step, label)) / 2e-6) ** 2
        lengths.append(total**0.5)
    found = closely.input_gradient(scores, x, y)
    assert found == pytest.approx(np.mean(lengths), rel=1e-4) and seen["soup"]["slope"] > 0


def test_one_model_is_its_own_ensemble(own, tiny_key):
    shop, net, models = own
    images = shop.data("fashion", "test")
    data = dict.fromkeys(("train", "test", "noisy"), images)
    both = [closely.seen_closely(net, models[:1], data, None, head) for head in (False, True)]
    assert both[0] == pytest.approx(both[1]) and both[0]["apart"] == 0


def test_several_labels_have_gradients_too():
    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y = torch.ones(2, 4, dtype=torch.float64), torch.ones(2, 3)
    found = closely.input_gradient(lambda v: v @ w, x, y)
    by_hand = (torch.sigmoid(x[0] @ w) - 1) @ w.T
    assert found == pytest.approx(float(by_hand.norm()), rel=1e-2)


# ------------------------------------------------------------------------------- sensitivity


def test_moves_ways_and_the_ensemble_of_two(own, tiny_key, soup_context):
    shop, net, models = own
    rows = closely.SENSITIVE.rows(tiny_key, soup_context)
    found = {(row["what"], row["size"]): row["score"] for row in rows}
    assert len(found) == len(rows)
    x, y = test = shop.data("fashion", "test")
    single = [score(net, m, test) for m in models]
    assert found["moved at random", 0] == pytest.approx(np.mean(single), abs=1e-3)
    assert found["between", 0] == pytest.approx(single[0])
    assert found["between", 1] == pytest.approx(single[1])
    way = mean_state(models[:2], [0.7, 0.3])
    assert found["between", 0.3] == pytest.approx(score(net, way, test), abs=1e-3)
    z = averaging.logits(net, models[0], x) + averaging.logits(net, models[1], x)
    assert found["logits", 0.5] == pytest.approx(right(z, y), abs=1e-3)
    g, m, far = torch.Generator().manual_seed(0), models[0], {}
    for k, v in m.items():
        noise = torch.randn(v.shape, generator=g, dtype=torch.float64)
        far[k] = v + noise / noise.norm() * v.norm() * 0.4
    lengths = moved.lengths_of(moved.weights_only(m), 0.4)
    by_helper = moved.displaced(m, lengths, 0)
    assert all(torch.allclose(by_helper[k], far[k]) for k in m)


def test_transformers_take_parts_from_the_soup(tiny_key, soup_context):
    key = replace(tiny_key, network="vit", count=2, epochs=1)
    rows = closely.SENSITIVE.rows(key, soup_context)
    shop, net, models = soups.group_at_hand(key, **soup_context)
    soup, test = mean_state(models), shop.data("fashion", "test")
    mixed = [m | {k: soup[k] for k in m if "attn" in k} for m in models]
    (row,) = [row for row in rows if row["what"] == "attention from the soup"]
    assert row["score"] == pytest.approx(np.mean([score(net, m, test) for m in mixed]), abs=1e-3)


# --------------------------------------------------------------------------------- selection


def made_up(answers):
    """Answers of soups from a table `{members: classes}`."""
    return lambda chosen: torch.tensor(answers[tuple(sorted(chosen))])


SETS = made_up(
    {
        (0,): [0, 0, 1, 1],
        (1,): [0, 0, 0, 1],
        (2,): [1, 1, 0, 0],
        (0, 1): [0, 0, 0, 0],
        (1, 2): [0, 1, 1, 1],
        (0, 1, 2): [1, 1, 1, 1],
        (0, 2): [1, 1, 1, 1],
    }
)


def test_greedy_members_by_hand():
    y, all_four = torch.zeros(4, dtype=torch.long), torch.arange(4)
    # 1 has three right, 0 has two and 2 has two: with 0 four, with both none.
    assert selecting.greedy_members(SETS, y, 3, all_four) == ({0, 1}, 1)
    # From 2: 1 would leave one of two, 0 none.
    assert selecting.greedy_members(SETS, y, 3, all_four, 2) == ({2}, 2)
    # The last two images alone: 2 has both, and nothing keeps both.
    assert selecting.greedy_members(SETS, y, 3, all_four[2:]) == ({2}, 2)


def test_gains_by_hand():
    y = torch.zeros(4, dtype=torch.long)
    found = selecting.gain_on(SETS, y, torch.tensor([2, 3]), frozenset([0, 1]), 1)
    assert found == 50  # two of two instead of one


def test_summed_up_by_hand():
    row = selecting.summed_up("x", 9, [1, 2, 3, 2], [0.0, -1.0, 2.0, 3.0])
    assert row == {"how": "x", "images": 9, "kept": 2, "merges": 75, "gain": 1} | {
        "below": 25,
        "above": 50,
    }


def test_selection_agrees_with_the_greedy_soup(own, tiny_key, soup_context):
    shop, net, models = own
    rows = selecting.SELECTION.rows(tiny_key, soup_context)
    (row,) = [row for row in rows if row["how"] == "in order"]
    val, test = (shop.data("fashion", s) for s in ("val", "test"))
    soup, kept = averaging.greedy(models, lambda m: score(net, m, val))
    assert row["kept"] == len(kept) and row["images"] == len(val[1])
    gain = score(net, soup, test) - score(net, models[kept[0]], test)
    assert row["gain"] == pytest.approx(gain, abs=1e-3)
    begun = [row for row in rows if row["how"].startswith("begun with")]
    assert begun[kept[0]] == row | {"how": f"begun with {kept[0]}"} and len(begun) == 3
    pool = shop.data("fashion", "pool")
    soup, kept = averaging.greedy(models, lambda m: score(net, m, pool))
    (row,) = [row for row in rows if row["how"] == "seen"]
    gain = score(net, soup, test) - score(net, models[kept[0]], test)
    assert row["kept"] == len(kept) and row["gain"] == pytest.approx(gain, abs=1e-3)


def test_labels_without_meaning_are_those_of_the_images_that_select():
    """With shuffled labels the model that is right is chosen no more often than another."""
    y = torch.arange(400) % 2
    answers = {(0,): y, (1,): 1 - y, (0, 1): 1 - y}
    for shuffled in (False, True):
        _, gains = selecting.divided(
            lambda chosen: answers[tuple(sorted(chosen))], y, 2, 100, 0, shuffled
        )
        first = [gain == 0 for gain in gains]
        assert np.mean(first) == 1 if not shuffled else 0.3 < np.mean(first) < 0.9


def test_several_labels_cannot_select(tiny_key, soup_context):
    with pytest.raises(ValueError, match="the task boards has several labels an image"):
        selecting.SELECTION.rows(replace(tiny_key, task=BOARDS, count=2), soup_context)


# ------------------------------------------------------------------------------------ donors


@pytest.fixture(scope="module")
def given(tiny_key, soup_context):
    key = replace(tiny_key, count=2, epochs=2)
    return key, {row["donor"]: row for row in donors.DONORS.rows(key, soup_context)}


def test_donors_by_hand(given, soup_context):
    key, rows = given
    shop, net, (own, sister) = soups.group_at_hand(key, **soup_context)
    x, y = test = shop.data("fashion", "test")
    group = replace(key.group, task="vehicles", models=1)
    other = zoo.body(shop.models(group)[0]) | {k: own[k] for k in ("head.weight", "head.bias")}
    z, w = averaging.logits(net, own, x), averaging.logits(net, other, x)
    wanted = {
        "alone": right(w, y),
        "soup": score(net, mean_state([own, other]), test),
        "ensemble": right(z + w, y),
        "even": right(z / z.std() + w / w.std(), y),
    }
    for name, want in wanted.items():
        assert rows["vehicles"][name] == pytest.approx(want, abs=1e-3), name
    both = mean_state([own, sister])
    alone = both | {k: own[k] for k in ("head.weight", "head.bias")}
    assert rows["same task"]["soup"] == pytest.approx(score(net, alone, test), abs=1e-3)


def test_kinds_of_donors_and_controls(given):
    _, rows = given
    kinds = {}
    for donor, row in rows.items():
        kinds.setdefault(row["kind"], set()).add(donor)
    assert len(kinds["same start"]) == 3 and "vehicles" in kinds["same start"]
    assert len(kinds["another start"]) == 4 and "mnist" in kinds["another start"]
    own = [rows["itself"][k] for k in ("alone", "soup", "ensemble", "even")]
    assert len(set(own)) == 1
    assert len(kinds["control"]) == 5


def test_the_start_is_moved_as_far_as_donors_of_its_start_are(given, soup_context):
    key, _ = given
    shop, _, (own, sister) = soups.group_at_hand(key, **soup_context)
    bodies = donors.bodies_given(shop, key, own, sister)
    same = [t for t in shop.tasks if t != "fashion" and shop.sources(t) == shop.sources("fashion")]
    for k, s in bodies["start"].items():
        want = np.mean([float((bodies[t][k] - s).norm()) for t in same])
        assert float((bodies["start moved at random"][k] - s).norm()) == pytest.approx(want)
        assert torch.allclose(bodies["itself at 0.9"][k], 0.9 * own[k])


def test_donors_need_a_sister(tiny_key, soup_context):
    with pytest.raises(ValueError, match="count is 1; donors need a sister"):
        donors.DONORS.rows(replace(tiny_key, count=1), soup_context)
