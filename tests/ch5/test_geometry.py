"""Encoders by key, features beside the experts', clusters and maps of page 05c; by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from mergebook.ch5 import encoders, geometry, maps
from mergebook.ch5.encoders import AGAIN, BASE, Encoder
from mergebook.protocols import EXPERT
from mergehelpers import alignment, merge

POOL, INPUTS = 6, 24


@pytest.fixture(scope="module")
def base_key(small):
    return Encoder(small.mark, BASE, 0.0, 0.0, "photos", POOL, INPUTS)


def features(r, state, task, split):
    z = r.embeddings(state, task, split)
    return (normalize(z, dim=-1) if r.backbone.normalised else z).double()


# ------------------------------------------------------------------------------------- encoders


@pytest.mark.parametrize(
    ("model", "keep", "scale"),
    [("weight averaging", 0.0, 0.0), ("task arithmetic", 0.0, 0.7), ("TIES", 0.5, 1.5)],
)
def test_the_features_of_a_merge_are_those_of_the_rule(small, place, base_key, model, keep, scale):
    experts = list(small.experts.values())
    state = {
        "weight averaging": lambda: merge.average(experts),
        "task arithmetic": lambda: merge.task_arithmetic(small.base, experts, scale),
        "TIES": lambda: merge.ties(small.base, experts, keep, scale),
    }[model]()
    key = replace(base_key, model=model, keep=keep, scale=scale)
    v = encoders.views(key, **place)
    for split in ("train", "test"):
        assert torch.allclose(v.model(split), features(small, state, "photos", split), atol=1e-6)
    expert = features(small, small.experts["photos"], "photos", "test")
    assert torch.allclose(v.expert("test"), expert, atol=1e-6)
    assert v.classes == 3 and len(v.labels("test")) == INPUTS


def test_a_second_fine_tuning_starts_at_the_base_and_depends_on_steps_and_seed(small, place):
    [one] = encoders.once_more(small, 1, 2, POOL, INPUTS, 0)
    assert one.model == AGAIN and one.task == "photos"
    found = [
        encoders.views(k, **place).model("test")
        for k in (one, replace(one, seed=1), replace(one, steps=3), replace(one, model=BASE))
    ]
    for i, a in enumerate(found):
        for b in found[:i]:
            assert (a - b).abs().max() > 1e-6


def test_the_best_setting_is_chosen_and_the_first_of_equal_ones():
    table = pd.DataFrame(
        [("m", "TIES", 0.2, 1.0, 70.0), ("m", "TIES", 0.5, 1.0, 71.0), ("m", "TIES", 0.5, 2.0, 71)],
        columns=["models", "model", "keep", "scale", "val"],
    )
    assert encoders.best_settings(table) == {("m", "TIES"): (0.5, 1.0)}


def test_validation_accuracy_of_a_setting(small, place):
    key = encoders.Tried(small.mark, "weight averaging", 0.0, 0.0)
    right = small.answers(small.average, "val")
    expected = 100 * np.mean([x.double().mean() for x in right.values()])
    assert encoders.on_validation(key, **place)["val"] == pytest.approx(expected, abs=1e-4)
    tried = encoders.settings_to_try(small)
    assert len(tried) == len(set(tried)) == 13


# ------------------------------------------------------------------------------------- features


def test_features_of_the_expert_beside_themselves_and_moved(place, base_key):
    row = geometry.beside_expert(replace(base_key, model=EXPERT), **place)
    assert row["shift"] == 0 and row["size"] == row["cka"] == row["shared"] == 1
    assert row["told"] == pytest.approx(50)
    v = encoders.views(base_key, **place)
    x, y = v.model("test").numpy(), v.expert("test").numpy()
    row = geometry.beside_expert(base_key, **place)
    spread = np.sqrt(((y - y.mean(0)) ** 2).sum(1).mean())
    assert row["shift"] == pytest.approx(np.linalg.norm(x.mean(0) - y.mean(0)) / spread, abs=1e-5)
    own = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    assert row["size"] == pytest.approx(own / spread, abs=1e-5)
    right = (v.head(v.model("test")).argmax(1) == v.labels("test")).double().mean()
    assert row["under_head"] == pytest.approx(100 * float(right), abs=1e-4)


def test_a_probe_tells_far_clouds_and_guesses_about_one():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 400, 3, generator=g).double()
    assert geometry.told_apart(x, y + 8) == 100
    assert geometry.told_apart(x, y) == pytest.approx(50, abs=8)


def test_clusters_of_separate_classes_are_perfect(place, base_key, monkeypatch):
    labels = {s: torch.arange(n) % 3 for s, n in (("train", 30), ("val", 12), ("test", 24))}
    g = torch.Generator().manual_seed(0)
    z = {s: 20.0 * torch.eye(3)[y] + torch.randn(len(y), 3, generator=g) for s, y in labels.items()}
    v = encoders.Views(lambda s: z[s].double(), None, labels.get, None, 3)
    monkeypatch.setattr(geometry, "views", lambda *a: v)
    row = geometry.clustered(base_key, **place)
    assert row["five"] == row["probe"] == 100 and row["silhouette"] > 0.7
    mixed = {s: x[torch.randperm(len(x), generator=g)] for s, x in z.items()}
    v = v._replace(model=lambda s: mixed[s].double())
    monkeypatch.setattr(geometry, "views", lambda *a: v)
    row = geometry.clustered(base_key, **place)
    assert row["five"] < 80 and row["silhouette"] < 0.1


def test_means_over_the_tasks_of_a_control():
    rows = pd.DataFrame(
        [("s", "a", 1, 2.0), ("s", "a", 2, 4.0), ("s", "again", 1, 8.0)],
        columns=["suite", "model", "task", "cka"],
    )
    assert geometry.means_over_tasks(rows).cka.to_dict() == {("s", "a"): 3.0, ("s", "again"): 8.0}
    assert geometry.means_over_tasks(rows, "again").cka["s", "a"] == 2.0


# ----------------------------------------------------------------------------------------- maps


def views_of(move, noise=0.0, width=4, inputs=60):
    """An expert's random features, a model's from which `move` leads there, up to noise."""
    g = torch.Generator().manual_seed(0)
    y = {
        s: torch.randn(inputs, width, generator=g).double()
        for s in ("train", "unlabelled", "val", "test")
    }
    x = {s: move(z) + noise * torch.randn(*z.shape, generator=g) for s, z in y.items()}
    labels = {s: z[:, 0].gt(0).long() for s, z in y.items()}
    weight = torch.zeros(2, width, dtype=torch.float64)
    weight[1, 0] = 1.0
    head = alignment.Head(weight, torch.zeros(2, dtype=torch.float64))
    return encoders.Views(x.get, y.get, labels.get, head, 2)


def turn(z):
    g = torch.Generator().manual_seed(5)
    return z @ torch.linalg.qr(torch.randn(z.shape[1], z.shape[1], generator=g).double()).Q


@pytest.mark.parametrize(
    ("move", "exact", "far"),
    [
        (lambda z: z + 3, {"translation", "scale", "rotation", "similarity", "linear"}, "nothing"),
        (turn, {"rotation alone", "rotation", "similarity", "linear"}, "scale"),
        (lambda z: 2 * turn(z) + 1, {"similarity", "linear"}, "rotation"),
        (lambda z: z * torch.tensor([0.8, 1, 1.25, 1.5]), {"scale", "linear"}, "similarity"),
    ],
    ids=("moved", "turned", "turned and larger", "stretched"),
)
def test_each_family_finds_the_map_it_has(place, base_key, monkeypatch, move, exact, far):
    monkeypatch.setattr(maps, "views", lambda *a: views_of(move))
    rows = {r["family"]: r for r in maps.fitted(maps.Mapped(**vars(base_key)), **place)}
    assert {name for name, row in rows.items() if row["error"] < 1e-3} == exact
    assert rows[far]["error"] > 0.02
    for name in exact:
        assert rows[name]["repaired"] >= 98 and rows[name]["se"] < 1e-3


def test_errors_of_a_fit_by_hand_and_of_mixed_inputs(place, base_key, monkeypatch):
    v = views_of(turn, noise=0.2)
    monkeypatch.setattr(maps, "views", lambda *a: v)
    rows = {r["family"]: r for r in maps.fitted(maps.Mapped(**vars(base_key)), **place)}
    x, y = v.model("test").numpy(), v.expert("test").numpy()
    left = ((x - y) ** 2).sum(1) / ((y - y.mean(0)) ** 2).sum(1).mean()
    assert rows["nothing"]["error"] == pytest.approx(left.mean(), abs=1e-5)
    assert rows["nothing"]["se"] == pytest.approx(left.std(ddof=1) / len(x) ** 0.5, abs=1e-5)
    [key] = maps.map_keys([base_key], mixed=True)
    mixed = {r["family"]: r for r in maps.fitted(key, **place)}
    assert mixed["rotation"]["error"] > 3 * rows["rotation"]["error"]


def test_the_error_over_tasks_and_its_standard_error():
    rows = pd.DataFrame(
        {"model": "a", "family": "scale", "mixed": False, "error": [0.2, 0.4], "se": [0.03, 0.04]}
    )
    assert maps.error_of(rows, "a", "scale") == pytest.approx((0.3, 0.025))
