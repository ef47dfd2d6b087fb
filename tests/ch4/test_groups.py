"""Groups of fine-tuned models: what they share, what they do not, and what is refused."""

import numpy as np
import pytest
import torch
from processors import printed_here_and_there

from mergebook import lab
from mergebook.ch4 import groups
from mergebook.ch4.groups import Group, Workshop
from mergehelpers import suites, zoo


@pytest.fixture(scope="module")
def shop():
    return Workshop(suites.load_suite("mini8"), "cpu")


@pytest.fixture(scope="module")
def quick(shop):
    """A workshop whose starts are random weights, so that a test need not train them."""
    fast = Workshop(shop.suite, "cpu")
    fast.start = lambda network, tasks, mixup, number, width: zoo.build(network, number, width)[1]
    return fast


def tiny(**changes):
    return Group(
        **{"network": "vgg5", "task": "fashion", "models": 2, "epochs": 1, "width": 2} | changes
    )


def test_a_start_has_never_seen_its_target(shop):
    for task in [*shop.tasks, groups.BOARDS]:
        assert task not in shop.sources(task)
    assert shop.sources("fashion") == ("mnist", "letters", "signs", "photos")
    assert "mnist" not in shop.sources(groups.BOARDS)


def test_both_targets_have_one_start(shop):
    first, second = shop.targets
    assert first != second and shop.sources(first) == shop.sources(second)


def test_the_pool_is_train_and_unlabelled_together(shop):
    x, y = shop.data("vehicles", "pool")
    assert x.shape == (384, 3, 32, 32) and y.shape == (384,)
    t = shop.suite.task("vehicles")
    assert torch.equal(y[256:], t.labels["unlabelled"])


def test_boards_show_the_digits_that_their_labels_name():
    x, y = groups.boards("test", 40, 3)
    assert x.shape == (40, 32, 32) and x.dtype == np.uint8 and y.shape == (40, 10)
    empty = (y.sum(1) == 0).numpy()
    assert (x[empty] == 0).all() and (x[~empty].reshape(len(x[~empty]), -1).max(1) > 0).all()
    cells = x[:, 2:30, 2:30].reshape(40, 2, 14, 2, 14).transpose(0, 1, 3, 2, 4).reshape(40, 4, -1)
    filled = (cells.max(2) > 0).sum(1)
    assert (y.sum(1).numpy() <= filled).all()  # a digit may be there twice
    images, labels = lab.load_digits().split("test")
    known = {
        tuple(((v * 0.3 + 0.13) * 255).round().byte().tolist()): int(k)
        for v, k in zip(images[0], labels)
    }
    assert all(y[0, known[tuple(c)]] == 1 for c in cells[0].tolist() if max(c) > 0)


@pytest.mark.parametrize(("head", "equal"), [("own", False), ("one", True)])
def test_classifiers_begin_apart_or_together(quick, monkeypatch, head, equal):
    seen = []
    monkeypatch.setattr(zoo, "train", lambda net, state, *a, **k: seen.append(state) or state)
    quick.models(tiny(head=head, seed=7))
    assert torch.equal(seen[0]["head.weight"], seen[1]["head.weight"]) == equal
    assert torch.equal(seen[0]["0.weight"], seen[1]["0.weight"])


def test_small_classifiers_have_the_numbers_of_a_vgg19(quick, monkeypatch):
    seen = []
    monkeypatch.setattr(zoo, "train", lambda net, state, *a, **k: seen.append(state) or state)
    quick.models(tiny(head="small", seed=7))
    quick.models(tiny(head="own", seed=7))
    small, own = seen[:2], seen[2:]
    assert not torch.equal(small[0]["head.weight"], small[1]["head.weight"])
    for a, b in zip(small, own):  # 64 features enter, as if they were 4,096: an eighth
        assert torch.allclose(a["head.weight"] * 8, b["head.weight"])
    assert max(float(m["head.weight"].abs().max()) for m in small) <= 1 / 64


def test_double_precision_stays_on_the_cpu_where_the_device_has_none(shop, monkeypatch):
    place = torch.device("mps")
    monkeypatch.setattr(groups.devices, "pick", lambda _: place)
    assert Workshop(shop.suite, "auto", torch.float64).device == "cpu"
    assert Workshop(shop.suite, "auto", torch.float32).device == "auto"


def test_random_starts_and_own_stems_differ_and_one_stem_does_not(quick):
    def firsts(**changes):
        g = tiny(**changes)
        return quick.first(g, 0), quick.first(g, 1)

    a, b = firsts(start="random")
    assert not torch.equal(a["0.weight"], b["0.weight"])
    a, b = firsts(network="vit_stem", start="own stem")
    assert not torch.equal(a["0.weight"], b["0.weight"]) and torch.equal(
        a["1.cls_token"], b["1.cls_token"]
    )
    a, b = firsts(network="vit_stem", start="one stem")
    assert torch.equal(a["0.weight"], b["0.weight"])


def test_training_a_group_again_gives_the_same_models(quick):
    a = quick.models(tiny())
    quick.models.cache_clear()
    b = quick.models(tiny())
    assert a is not b and all(torch.equal(a[0][k], b[0][k]) for k in a[0])
    assert not torch.equal(a[0]["0.weight"], a[1]["0.weight"])


def test_a_start_learns_all_classes_of_its_tasks(shop, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        zoo,
        "train",
        lambda net, state, x, y, **k: (
            seen.update(x=x, y=y, head=state["head.weight"], mixup=k["mixup"]) or state
        ),
    )
    shop.start("vgg5", ("mnist", "letters"), 0.2, 0, 2)
    assert len(seen["x"]) == 768 and seen["mixup"] == 0.2
    assert set(seen["y"].tolist()) == set(range(36)) and len(seen["head"]) == 36


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "alexnet"}, "network is 'alexnet'; allowed: vgg5"),
        ({"start": "imagenet"}, "start is 'imagenet'; allowed: shared, mixup"),
        ({"head": "two"}, "head is 'two'; allowed: own, small, one"),
        ({"start": "own stem"}, "vit_stem, and no other, takes own stem or one stem"),
        ({"network": "vit_stem"}, "vit_stem, and no other, takes own stem or one stem"),
    ],
)
def test_unknown_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


def test_texts_are_refused():
    with pytest.raises(
        ValueError,
        match="suite text5 has 5 tasks, the first .*; soups need four tasks or more, of images",
    ):
        Workshop(suites.load_suite("text5"))


TRAINED = """
import torch
from mergebook import studies
from mergebook.ch4.groups import Workshop
from mergehelpers import suites, zoo
torch.set_num_threads(1)
shop = Workshop(suites.load_suite("mini8"), "cpu", torch.float64)
x, y = shop.data("fashion", "pool")
for name, width in (("vgg5", 4), ("vit", 4), ("densenet13", 16)):  # 64, 16 and 17 features
    net, state = shop.built(name, 0, width)
    state = {k: v.double() for k, v in zoo.with_head(state, net.width, 10, 0).items()}
    for settings in ({"rate": 0.002, "adam": True}, {"rate": 0.05}):
        state = zoo.train(net, state, x[:128], y[:128], 3, device="cpu", grid=shop.grid, **settings)
    trained = {k: v for k, v in state.items() if "running" not in k}  # moments are no weights
    print(studies.fingerprint({name: trained}))
"""


def test_older_instructions_train_the_same_networks():
    """Threads and instructions round differently; on the grid that does not grow."""
    here, there = printed_here_and_there(TRAINED)
    assert len(here) == 3 and here == there
