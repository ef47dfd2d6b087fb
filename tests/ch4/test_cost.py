"""Costs that are counted, against sums by hand."""

import pytest
import torch
from torch import nn

from mergebook.ch4 import cost
from mergehelpers import averaging, zoo


class Tiny(nn.Module):
    """One convolution without padding, one mean, two linear layers; and what is called after it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.hidden = nn.Linear(4, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x):
        return self.last(self.hidden(self.first(x).mean((2, 3))).relu())


CONVOLUTION, HIDDEN, LAST = 4 * 3 * 9 * 30 * 30, 4 * 5, 5 * 2
NUMBERS = 4 * 27 + 4 + 20 + 5 + 10 + 2


@pytest.fixture(params=["cpu", "meta"])
def tiny(request):
    with torch.device(request.param):
        net, state = cost.without_classifier(Tiny())
        return net, state, torch.zeros(1, 3, 32, 32)


def test_a_network_is_parted_into_body_and_classifier(tiny):
    net, state, _ = tiny
    assert net.width == 5 and state["head.weight"].shape == (2, 5)
    assert not any(k.startswith("last") for k in state)


def test_costs_are_those_of_a_sum_by_hand(tiny):
    net, state, image = tiny
    found = cost.in_use(net, [state] * 3, image)
    body = CONVOLUTION + HIDDEN
    assert vars(found["single"]) == {"operations": body + LAST, "passes": 1, "numbers": NUMBERS}
    assert found["soup"] == found["single"]
    assert vars(found["logits"]) == {
        "operations": 3 * (body + LAST),
        "passes": 3,
        "numbers": 3 * NUMBERS,
    }
    assert vars(found["features"]) == vars(found["logits"]) | {"operations": 3 * body + LAST}


def test_the_parts_together_compute_what_the_network_computes():
    torch.manual_seed(0)
    whole = Tiny()
    x = torch.randn(2, 3, 32, 32)
    before = whole(x)
    net, state = cost.without_classifier(whole)
    assert torch.allclose(averaging.logits(net, state, x), before)


def test_a_network_of_the_table_has_its_printed_cost():
    rows = cost.use_table(["ResNet18"], [1, 2])
    of = rows.set_index(["models", "method"])
    assert of.operations[1, "single"] / 1e9 == pytest.approx(1.82, abs=0.01)
    assert of.operations[2, "logits"] == 2 * of.operations[1, "single"]
    assert of.numbers[2, "logits"] == 2 * of.numbers[2, "soup"]


def test_work_that_stops_leaves_no_hook_behind():
    net, _ = zoo.build("vgg5", 0, 8)
    with pytest.raises(ZeroDivisionError):
        cost.spent(net, lambda a: a / 0, 1)
    assert not net.module._forward_hooks


def test_every_merge_is_one_model():
    rows = cost.merged_table(["vgg5", "vgg5_bn"], 3, 0)
    assert rows.same.all() and (rows.operations == rows.single).all()
    common = {"uniform", "best first", "halving", "counted", "elected", "permuted"}
    by = rows.groupby("network")["merge"].agg(set)
    assert by["vgg5"] == common | {"repaired"} and by["vgg5_bn"] == common | {"recalibrated"}


@pytest.mark.parametrize("change", ["name", "shape", "type"])
def test_tensors_that_are_others_are_seen(change):
    _, [state] = cost.random_models("vgg5", 1, 0)
    other = dict(state)
    weight = other.pop("head.weight")
    name = "head.scale" if change == "name" else "head.weight"
    weight = weight[:-1] if change == "shape" else weight
    other[name] = weight.double() if change == "type" else weight
    assert cost.same_tensors(state, dict(state)) and not cost.same_tensors(state, other)


def test_making_a_soup_takes_as_many_scores_as_its_rule():
    found = cost.making_table("vgg5_bn", [2, 4], 6, 0).set_index(["soup", "models"]).passes
    for n in (2, 4):
        assert found["uniform", n] == 0 and found["recalibrated", n] == 1
        assert found["best first", n] == n + (n - 1) and found["counted", n] == n
        assert found["halving", n] == 2 * n
