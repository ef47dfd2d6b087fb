"""Matrices and heads trained by answers (page 05c): by hand, and with wrong formulas."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mergebook import studies
from mergebook.ch5 import encoders, turning
from mergebook.ch5.encoders import BASE, Encoder
from mergebook.ch5.turning import EXACT, FEW, FREE, NEW_HEAD, PENALISED, RANDOM_HEAD, Repair
from mergehelpers import alignment

WIDTH = 6


@pytest.fixture(scope="module")
def key(small):
    return Repair(
        small.mark,
        "weight averaging",
        0.0,
        0.0,
        "photos",
        6,
        24,
        amount=60,
        draws=2,
        rates=(1e-1,),
        train_steps=300,
    )


@pytest.fixture
def rotated(monkeypatch):
    """An expert's random features, and a model's that a rotation brings there; three classes."""
    g = torch.Generator().manual_seed(0)
    y = {s: torch.randn(90, WIDTH, generator=g).double() for s in ("train", "val", "test")}
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=g).double()).Q
    x = {s: z @ turn.T for s, z in y.items()}
    head = alignment.Head(4 * torch.randn(3, WIDTH, generator=g).double(), torch.zeros(3).double())
    labels = {s: head(z).argmax(1) for s, z in y.items()}
    v = encoders.Views(x.get, y.get, labels.get, head, 3)
    monkeypatch.setattr(turning, "views", lambda *a: v)
    return v


def share(row):
    return [studies.unpack_answers({"": text})[""].mean() for text in row["right"]]


def test_every_repair_undoes_a_rotation(key, place, rotated):
    before = (rotated.head(rotated.model("test")).argmax(1) == rotated.labels("test")).double()
    for kind in (FREE, EXACT, NEW_HEAD, PENALISED):
        row = turning.train_repair(
            replace(key, kind=kind, alpha=0.01 * (kind == PENALISED)), **place
        )
        assert min(share(row)) > row["old_head"] / 100 + 0.3, kind
        assert row["old_head"] == pytest.approx(100 * float(before.mean()), abs=1e-4)
        assert row["cka"] == pytest.approx(1, abs=1e-4)  # a rotation changes no geometry
        assert (row["defect"] == 0) == (kind in (EXACT, NEW_HEAD))


def test_the_penalty_makes_m_orthogonal(key, place, rotated):
    free, firm = (
        turning.train_repair(replace(key, kind=k, alpha=a, rates=(3e-2,), train_steps=600), **place)
        for k, a in ((FREE, 0.0), (PENALISED, 0.1))
    )
    assert firm["defect"] < 0.02 < 0.2 < free["defect"]


def test_forms_of_an_orthogonal_m_keep_the_gram_matrix(key, rotated):
    v, plan = rotated, {"seed": 1, "rate": 3e-2}
    soft = v.head(v.expert("train")).softmax(-1)
    for kind, like in ((EXACT, v.head), (RANDOM_HEAD, turning.random_like(v.head, 1))):
        found, _ = turning.trained_once(
            replace(key, kind=kind), v.model("train"), soft, v.head, **plan
        )
        assert torch.allclose(found.weight @ found.weight.T, like.weight @ like.weight.T, atol=1e-9)
        assert torch.equal(found.bias, v.head.bias)
    drawn = turning.random_like(v.head, 1)
    assert torch.allclose(drawn.weight.norm(dim=1), v.head.weight.norm(dim=1))
    assert (drawn.weight - v.head.weight).abs().max() > 0.1


def test_a_free_m_is_the_head_it_makes(key, rotated):
    v = rotated
    soft = v.head(v.expert("train")).softmax(-1)
    found, defect = turning.trained_once(key, v.model("train"), soft, v.head, 0, 1e-2)
    by_hand = alignment.fit_map(v.model("train"), soft, v.head, alignment.Plan(300, 1e-2))
    z = v.model("test")
    assert torch.allclose(found(z), v.head(by_hand(z)), atol=1e-9)
    assert defect == alignment.defect(by_hand.matrix)


def test_inputs_that_train_a_repair(key, rotated):
    labels = torch.arange(30) % 3
    for seed in (0, 1):
        assert len(turning.drawn(replace(key, amount=12), labels, 3, seed)) == 12
        few = turning.drawn(replace(key, kind=FEW), labels, 3, seed)
        assert torch.bincount(labels[few]).tolist() == [5, 5, 5]
    assert not torch.equal(*(turning.drawn(key, labels, 3, seed) for seed in (0, 1)))
    scarce = torch.tensor([0, 0, 1, 1, 2])
    assert len(turning.drawn(replace(key, kind=FEW), scarce, 3, 0)) == 3


def test_the_first_draw_chooses_the_rate_on_validation_inputs(key, place, rotated):
    slow, both = (
        turning.train_repair(replace(key, kind=NEW_HEAD, rates=r), **place)
        for r in ((1e-9,), (1e-9, 1e-1))
    )
    assert np.mean(share(slow)) * 100 == pytest.approx(slow["old_head"], abs=1)
    assert min(share(both)) > slow["old_head"] / 100 + 0.3


# --------------------------------------------------------------------------- behind the encoder


def test_a_stretch_is_symmetric_and_makes_long_axes_short():
    g = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=g).double()).Q
    pool = torch.randn(400, 8, generator=g).double() * 3.0 ** -torch.arange(8) @ turn
    matrix = turning.spoilt(torch.eye(8, dtype=torch.float64), turning.STRETCHED, pool)
    assert torch.allclose(matrix, matrix.T, atol=1e-12)
    found = torch.linalg.eigvalsh(matrix)
    assert found[[0, -1]].tolist() == pytest.approx([0.25, 4])
    assert (found.log().diff() - found.log().diff()[0]).abs().max() < 1e-9
    longest = torch.linalg.svd(pool - pool.mean(0), full_matrices=False).Vh[0]
    assert torch.allclose(longest @ matrix, 0.25 * longest, atol=1e-9)


def test_a_random_network_is_no_linear_map_and_the_same_for_all_inputs():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 5, 8, generator=g).double()

    def through(z):
        return turning.spoilt(z, turning.SCRAMBLED, x)

    assert torch.allclose(through(torch.cat([x, y])), torch.cat([through(x), through(y)]))
    assert (through(x + y) - through(x) - through(y)).abs().max() > 0.1
    assert turning.spoilt(x, "", x) is x
    with pytest.raises(ValueError, match="through is 'fog'; allowed: '', stretched, random"):
        turning.spoilt(x, "fog", x)


# ----------------------------------------------------------------------------------- keys, rows


def test_keys_of_narrow_and_wide_encoders():
    one = Encoder("m", "TIES", 0.2, 1.0, "film", 320, 400)
    found = {
        width: turning.turned_keys([one, replace(one, model=BASE)], width, (0.1, 1.0), 900, draws=3)
        for width in (128, 384)
    }
    for keys in found.values():
        assert len(keys) == len(set(keys))
        assert sum(k.model == BASE for k in keys) == 4 + 2
    assert len(found[384]) == 12 and len(found[128]) == 12 + 6
    more = set(found[128]) - set(found[384])
    assert {k.through for k in more} == {"", turning.STRETCHED, turning.SCRAMBLED}
    [long] = [k for k in more if k.train_steps == 900]
    assert long.kind == PENALISED and long.alpha == 0.1


def rows_of(**right):
    """Rows of one task and model of 100 inputs, two draws each, by kind; 50 right before."""
    return pd.DataFrame(
        [
            {
                "suite": "s",
                "task": "t",
                "model": "a",
                "kind": kind.replace("_", " "),
                "alpha": 0.0,
                "through": "",
                "train_steps": 100,
                "right": [studies.pack_answers({"": torch.arange(100) < n})[""] for n in numbers],
                "defect": 0.5,
                "old_head": 50.0,
                "cka": 1.0,
            }
            for kind, numbers in right.items()
        ]
    )


def test_losses_and_the_table_by_hand():
    rows = rows_of(free_M=(80, 90), exactly_orthogonal_M=(70, 80), new_head=(60,))
    assert turning.loses(rows, "a", EXACT).value == pytest.approx(10)
    assert turning.loses(rows, "a", NEW_HEAD).value == pytest.approx(20)  # of the first draw
    assert turning.unrepaired(rows, "a").value == pytest.approx(35)
    assert turning.defect_of(rows, "a") == 0.5
    found = turning.table_2(rows)["a"]
    assert found.to_dict() == {
        ("s", "old head"): 50,
        ("s", FREE): 85,
        ("s", EXACT): 75,
        ("s", NEW_HEAD): 60,
    }
