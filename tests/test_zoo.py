"""The small networks: counted, run and trained; a training step against one worked by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mergehelpers import zoo


@pytest.fixture
def images():
    return torch.randn(6, 3, zoo.SIDE, zoo.SIDE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_every_network_makes_finite_features_of_its_width(name, images):
    net, state = zoo.build(name, width=8)
    features = net.embed(zoo.with_head(state, net.width, 3, seed=0), images)
    assert features.shape == (6, net.width) and features.isfinite().all()
    assert zoo.has_batchnorm(net) == ("_bn" in name or name.startswith(("resnet", "densenet")))


@pytest.mark.parametrize("depth", zoo.VGG)
def test_a_vgg_has_as_many_weight_layers_as_its_name_says(depth):
    net, _ = zoo.build(f"vgg{depth}", width=4)
    # One more is the head.
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.module.modules()) + 1 == depth


def test_the_seed_decides_the_first_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    states = [zoo.build("vit", seed, width=4)[1] for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="architecture is 'alexnet'; allowed: vgg5, vgg5_bn, .*, vit, vit_stem"
    ):
        zoo.build("alexnet")


def test_grey_and_coloured_bytes_become_the_same_kind_of_tensor():
    grey = np.arange(2 * 32 * 32, dtype=np.uint8).reshape(2, 32, 32)
    net, _ = zoo.build("vgg5", width=4)
    x = net.prepare(grey)["pixels"]
    assert x.shape == (2, 3, 32, 32)
    assert torch.equal(x, net.prepare(np.repeat(grey[..., None], 3, axis=3))["pixels"])
    assert torch.allclose(x[0, 1, 0, 7], torch.tensor((7 / 255 - 0.5) / 0.25))


def test_one_step_on_one_batch_is_the_gradient_step_of_autograd(images):
    net, state = zoo.build("vgg5", width=4)
    start, labels = zoo.with_head(state, net.width, 3, seed=1), torch.tensor([0, 1, 2, 0, 1, 2])
    leaves = {key: value.clone().requires_grad_() for key, value in start.items()}
    F.cross_entropy(
        F.linear(
            net.encode(leaves, {"pixels": images}), leaves["head.weight"], leaves["head.bias"]
        ),
        labels,
    ).backward()
    clip = min(1.0, 1 / torch.cat([leaf.grad.flatten() for leaf in leaves.values()]).norm().item())
    trained = zoo.train(net, start, images, labels, epochs=1, rate=0.1)
    for key, leaf in leaves.items():
        assert torch.allclose(trained[key], start[key] - 0.1 * clip * leaf.grad, atol=1e-5), key


@pytest.mark.parametrize("options", [{}, {"mixup": 0.5}, {"adam": True, "rate": 1e-3}])
@pytest.mark.parametrize("several", [False, True])
def test_training_lowers_the_loss_and_repeats_itself(images, options, several):
    net, state = zoo.build("vgg5_bn", width=4)
    start, labels = zoo.with_head(state, net.width, 3, seed=1), torch.tensor([0, 1, 2, 0, 1, 2])
    labels = F.one_hot(labels, 3).float() if several else labels
    loss_of = F.binary_cross_entropy_with_logits if several else F.cross_entropy

    def loss(model):
        return loss_of(
            F.linear(net.embed(model, images), model["head.weight"], model["head.bias"]), labels
        )

    settings = {"epochs": 60, "rate": 0.02} | options
    trained, again = (zoo.train(net, start, images, labels, seed=3, **settings) for _ in range(2))
    assert loss(trained) < loss(start)
    assert all(torch.equal(trained[key], again[key]) for key in trained)
    assert not torch.equal(trained["1.running_mean"], start["1.running_mean"])
    assert not net.module.training


def test_a_loss_that_is_not_finite_is_named_with_the_rate(images):
    net, state = zoo.build("vgg5", width=4)
    start = zoo.with_head(state, net.width, 3, seed=1) | {
        "head.bias": torch.tensor([float("nan")] * 3)
    }
    with pytest.raises(ValueError, match="the loss is nan with rate 0.3"):
        zoo.train(net, start, images, torch.zeros(6, dtype=torch.long), epochs=1, rate=0.3)


def test_no_epoch_is_refused(images):
    net, state = zoo.build("vgg5", width=4)
    with pytest.raises(ValueError, match="epochs is 0; allowed: a whole number, 1 or more"):
        zoo.train(
            net,
            zoo.with_head(state, net.width, 3, seed=1),
            images,
            torch.zeros(6, dtype=torch.long),
            epochs=0,
            rate=0.3,
        )


@pytest.mark.parametrize("like", [None, 4096])
def test_a_classifier_is_the_one_that_torch_draws(like):
    """To the last digit where the bound is a power of two; elsewhere it may be rounded twice."""
    for width, near in ((64, 0), (17, 1e-7)):
        g, bound = torch.Generator().manual_seed(3), 1 / math.sqrt(like or width)
        state = zoo.with_head({}, width, 10, 3, like)
        for key, shape in (("head.weight", (10, width)), ("head.bias", (10,))):
            want = torch.empty(shape).uniform_(-bound, bound, generator=g)
            torch.testing.assert_close(state[key], want, rtol=0, atol=near)
