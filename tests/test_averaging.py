"""Soups, ensembles and magnified weights against brute force and hand-worked examples."""

import pytest
import torch
from torch import nn

from mergehelpers import averaging, merge, zoo

G = torch.Generator().manual_seed(0)
IMAGES = torch.randn(12, 3, 32, 32, generator=G)


def model(name="vgg5", seed=0, classes=4, width=4):
    net, state = zoo.build(name, seed, width)
    return net, zoo.with_head(state, net.width, classes, seed)


def models(name="vgg5", count=3):
    built = [model(name, seed) for seed in range(count)]
    return built[0][0], [state for _, state in built]


def test_ensembles_are_the_means_that_a_loop_gives():
    net, states = models()
    f, (w, b) = averaging.features(net, states, IMAGES), averaging.heads(states)
    by_hand = sum(averaging.logits(net, s, IMAGES) for s in states) / 3
    torch.testing.assert_close(averaging.ensemble_logits(f, w, b), by_hand)
    mean_head = merge.average(states)
    mean_features = sum(net.embed(s, IMAGES) for s in states) / 3
    torch.testing.assert_close(
        averaging.ensemble_features(f, w, b),
        nn.functional.linear(mean_features, mean_head["head.weight"], mean_head["head.bias"]),
    )


def number(value):
    return {"a": torch.tensor([float(value)])}


def test_greedy_tries_the_best_first_and_keeps_what_does_not_hurt():
    # The score is closeness to 1. Best first: 0.8, then 1.3 (mean 1.05, closer), then 2 (mean 1.37,
    # worse), then 0 (0.7, worse).
    soup, kept = averaging.greedy(
        [number(v) for v in (0, 1.3, 2, 0.8)], lambda s: -abs(float(s["a"]) - 1)
    )
    assert kept == [3, 1]
    assert float(soup["a"]) == pytest.approx(1.05)


def near_one(state):
    """The score of the toys below: closeness to 1."""
    return -abs(float(state["a"]) - 1)


def test_halving_gives_a_new_member_half_of_the_weight_in_the_given_order():
    # 0.8 first; 0 (0.4) is refused; 1.3 gives 1.05; 0.95 gives (1.05 + 0.95) / 2 = 1, not the mean
    # of three; 0.8 once more (0.9) is refused.
    soup, kept = averaging.greedy(
        [number(v) for v in (0, 1.3, 0.95, 0.8)],
        lambda s: near_one(s) - (float(s["a"]) == pytest.approx(0.95)),
        "halving",
    )
    assert kept == [3, 1, 2]
    assert float(soup["a"]) == pytest.approx(1.0)


def test_halving_may_take_the_best_twice():
    # 0.9 first; 1.5 (1.2) is refused, 1.2 gives 1.05, 0.9 again 0.975.
    soup, kept = averaging.greedy([number(v) for v in (1.5, 1.2, 0.9)], near_one, "halving")
    assert kept == [2, 1, 2] and float(soup["a"]) == pytest.approx(0.975)


def test_counted_weights_by_the_number_of_models_tried():
    # 0 first; 3 (1.5) scores more than 0; the third, 9, gives (2 * 1.5 + 9) / 3 = 4 and is refused;
    # the fourth, -1.3, counts as one of four: (3 * 1.5 - 1.3) / 4 = 0.8.
    soup, kept = averaging.greedy([number(v) for v in (0, 3, 9, -1.3)], near_one, "counted")
    assert kept == [0, 1, 3]
    assert float(soup["a"]) == pytest.approx(0.8)


def test_equal_scores_stay_by_the_first_rule_alone():
    states = [number(v) for v in (1, 2, 3)]
    kept = {rule: averaging.greedy(states, lambda s: 0.0, rule)[1] for rule in averaging.GREEDY}
    assert kept == {"best first": [0, 1, 2], "halving": [0], "counted": [0]}


def test_unknown_greedy_rules_are_listed():
    with pytest.raises(ValueError, match="is 'worst'; allowed: best first, halving, counted"):
        averaging.greedy([number(1)] * 2, near_one, "worst")


def test_greedy_never_falls_below_the_best_on_the_data_it_selects_on():
    net, states = models(count=5)
    labels = torch.randint(4, (12,), generator=G)

    def score(state):
        return float((averaging.logits(net, state, IMAGES).argmax(1) == labels).double().mean())

    soup, _ = averaging.greedy(states, score)
    assert score(soup) >= max(map(score, states))


def test_one_model_makes_no_soup():
    with pytest.raises(ValueError, match="a soup needs 2 models or more, got 1"):
        averaging.greedy([number(1)], float)


@pytest.mark.parametrize("name", ["vgg5", "vgg11"])
def test_biases_by_layer_multiply_the_output_by_a_power_of_the_factor(name):
    net, state = model(name)
    state = {k: v.double() + (0.1 if k.endswith("bias") else 0) for k, v in state.items()}
    depth = sum(k.endswith("weight") for k in state)
    assert depth == int(name[3:])
    x = IMAGES.double()
    torch.testing.assert_close(
        averaging.logits(net, averaging.magnified(state, 3, "layers"), x),
        3**depth * averaging.logits(net, state, x),
    )


def test_without_biases_the_answer_keeps_its_direction():
    net, state = model()
    state = {k: v.double() + (0.1 if k.endswith("bias") else 0) for k, v in state.items()}
    one, ten = (
        averaging.logits(net, averaging.magnified(state, c, "none"), IMAGES.double())
        for c in (1, 10)
    )
    torch.testing.assert_close(ten, 10**5 * one)
    assert not torch.allclose(one, averaging.logits(net, state, IMAGES.double()))


def test_all_multiplies_every_number_and_leaves_counters():
    state = {
        "a.weight": torch.ones(2),
        "a.bias": torch.ones(2),
        "a.running_var": torch.ones(2),
        "a.num_batches_tracked": torch.tensor(7),
    }
    out = averaging.magnified(state, 2)
    assert all(float(out[k].max()) == 2 for k in ("a.weight", "a.bias", "a.running_var"))
    assert out["a.num_batches_tracked"] == 7


@pytest.mark.parametrize("factor", [0, -1, float("inf"), float("nan")])
def test_factors_are_finite_and_positive(factor):
    with pytest.raises(ValueError, match="allowed: a finite number above 0"):
        averaging.magnified({}, factor)


def test_unknown_biases_are_listed():
    with pytest.raises(ValueError, match="biases is 'some'; allowed: all, none, layers"):
        averaging.magnified({}, 2, "some")


@pytest.mark.parametrize("name", ["vgg5", "vgg11_bn"])
def test_permuted_undoes_a_permutation_and_keeps_the_function(name):
    net, state = model(name, width=16)
    shuffled = dict(state)
    for (own, _), (_, following) in zip(
        averaging._units(net), [*averaging._units(net)[1:], (None, "head")]
    ):
        keys = [k for k in state if k.rpartition(".")[0] in own and state[k].ndim]
        order = torch.randperm(len(state[keys[0]]), generator=G)
        shuffled |= {k: shuffled[k][order] for k in keys}
        shuffled[f"{following}.weight"] = shuffled[f"{following}.weight"][:, order]
    torch.testing.assert_close(
        averaging.logits(net, shuffled, IMAGES),
        averaging.logits(net, state, IMAGES),
        rtol=1e-3,
        atol=1e-4,
    )
    found = averaging.permuted(net, shuffled, state)
    for key in state:
        torch.testing.assert_close(found[key], state[key], msg=key)


def test_permuted_brings_unrelated_networks_nearer_without_changing_them():
    net, (a, b) = models("vgg8", 2)
    found = averaging.permuted(net, b, a)
    torch.testing.assert_close(
        averaging.logits(net, found, IMAGES), averaging.logits(net, b, IMAGES), rtol=1e-3, atol=1e-4
    )

    def distance(x):
        return sum(float((a[k] - x[k]).square().sum()) for k in a)

    assert distance(found) < distance(b)


def test_repaired_channels_have_the_members_moments():
    net, states = models("vgg8", 3)
    soup = averaging.repaired(net, merge.average(states), states, IMAGES)
    layers = [net.module.get_submodule(name) for _, name in averaging._units(net)]
    wanted = [
        torch.stack(m).mean(0)
        for m in zip(*(averaging._moments(net, s, IMAGES, layers) for s in states))
    ]
    for own, want in zip(averaging._moments(net, soup, IMAGES, layers), wanted):
        torch.testing.assert_close(own, want, rtol=1e-3, atol=1e-4)


def test_repair_of_one_model_by_itself_changes_nothing():
    net, state = model("vgg8")
    found = averaging.repaired(net, state, [state, state], IMAGES)
    torch.testing.assert_close(
        averaging.logits(net, found, IMAGES),
        averaging.logits(net, state, IMAGES),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("resnet10", lambda net, s: averaging.permuted(net, s, s)),
        ("vit", lambda net, s: averaging.repaired(net, s, [s], IMAGES)),
    ],
)
def test_only_chains_can_be_permuted_or_repaired(name, call):
    net, state = model(name)
    with pytest.raises(
        ValueError, match="is no chain of layers; allowed: the networks vgg5 to vgg19"
    ):
        call(net, state)


def test_repair_points_to_recalibration_where_there_is_batchnorm():
    net, state = model("vgg5_bn")
    with pytest.raises(ValueError, match="has BatchNorm; use `recalibrated`"):
        averaging.repaired(net, state, [state], IMAGES)


def test_nothing_is_lost_between_equal_models_and_all_between_opposites():
    net, state = model("vgg5")
    assert averaging.cancelled(net, [state, state], IMAGES) == pytest.approx([0] * 4, abs=1e-6)
    opposite = {k: -v if k in ("0.weight", "0.bias") else v for k, v in state.items()}
    assert averaging.cancelled(net, [state, opposite], IMAGES)[0] == pytest.approx(1)
    assert averaging.cancelled(*[model("vit")[0], [model("vit")[1]] * 2, IMAGES]) == []
