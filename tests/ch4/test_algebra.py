"""The algebra of page 04a on hand-worked numbers, and by second derivations."""

import numpy as np
import pytest
import torch

from mergebook.ch4 import algebra


def test_linear_networks_of_one_layer_have_no_gap_and_deeper_ones_do():
    table = algebra.linear_gaps(0, width=6, depths=3, repeats=4)
    every = table[table.differ == "all"].groupby("depth").gap
    assert every.max()[1] < 1e-12 and (every.min()[[2, 3]] > 0.1).all()
    assert (table[table.differ == "one"].gap < 1e-12).all()
    assert table.formula.count() == 2 * 4 and (table.formula.dropna() < 1e-12).all()


def test_the_gap_of_two_layers_by_hand():
    # 1 x 1 matrices: (1 + 3)/2 * (2 + 4)/2 - (1*2 + 3*4)/2 = 6 - 7, and -(3 - 1)(4 - 2)/4 = -1.
    v, w, x = ([torch.tensor([[float(k)]]) for k in pair] for pair in ((1, 3), (2, 4), (1, 1)))
    merged = algebra._through([(w[0] + w[1]) / 2, (v[0] + v[1]) / 2], x[0])
    mean = (algebra._through([w[0], v[0]], x[0]) + algebra._through([w[1], v[1]], x[0])) / 2
    assert float(merged - mean) == -1


def test_relu_has_a_gap_where_signs_differ_and_gelu_everywhere():
    table = algebra.activation_gaps(0, 2000).set_index("activation")
    assert table.unequal["ReLU"] == pytest.approx(50, abs=4)
    assert table.unequal["identity"] == 0 and table.unequal["GELU"] > 99
    assert table.agreeing["ReLU"] < 1e-12 < table.agreeing["tanh"]
    assert table.highest["ReLU"] <= 0 < table.highest["GELU"]  # GELU is not convex


def test_angles_follow_from_triangles():
    table = algebra.angles(0, templates=4, inputs=10, size=12)
    assert (table.error < 1e-12).all() and (table.reached > 1 - 1e-9).all()
    assert (table.other < 1).all() and table.other.max() > 0.3


@pytest.mark.parametrize("side, colours", [(32, 3), (4, 2)])
def test_wrapped_weights(side, colours):
    table = algebra.wrapped(side, colours, classes=5)
    assert (table.pixels == side * side * colours).all() and (table.inputs == table.pixels).all()
    assert table.place.all() and table.back.all() and len(table) == 2


def test_a_pair_of_tensors_by_hand():
    a, b = torch.tensor([1.0, -1.0, 3.0]).double(), torch.tensor([2.0, 0.0, -2.0]).double()
    found = algebra._pair(a, b)
    # Variances 8/3 and 8/3, covariance (0*2 - 2*0 + 2*-2)/3 = -4/3; averages 1.5, -0.5, 0.5.
    assert found["rho"] == pytest.approx(-0.5) and found["formula"] == pytest.approx(0.25)
    assert found["ratio"] == pytest.approx(0.25) and found["mean gap"] == 0
    assert found["peak"] == 0.5


def test_pairs_of_weights_of_a_suite(pictures):
    table = algebra.weight_pairs(pictures, 0)
    experts = table[table.of == algebra.EXPERTS]
    matrices = sum(w.ndim > 1 and w.is_floating_point() for w in pictures.base.values())
    count = len(pictures.experts)
    assert len(experts) == matrices * count * (count - 1) // 2
    assert (table.of == algebra.DRAWS).sum() == matrices
    first, second = list(pictures.experts.values())[:2]
    name = experts.layer.iloc[0]
    rho = np.corrcoef(first[name].flatten().numpy(), second[name].flatten().numpy())[0, 1]
    assert experts.rho.iloc[0] == pytest.approx(rho, abs=1e-5)
    assert (table.ratio - table.formula).abs().max() < 1e-9


def test_variances_along_a_sweep_and_on_a_grid():
    sweep = algebra.correlated(0, size=50_000, steps=5)
    assert (sweep.ratio - (1 + sweep.rho) / 2).abs().max() < 0.02
    grid = algebra.variance_grid(5)
    assert len(grid) == 125 and (grid.average <= grid.larger + 1e-12).all()
    assert (grid.average > grid.quarter).any() and (grid.quarter == grid.larger / 2).any()


def test_largest_entries_and_scaled_variances(pictures):
    table = algebra.largest_entries(0, pairs=20, width=5)
    equal = table[table.pair == "equal"]
    assert (equal.average == equal.larger).all()
    assert (table.average <= table["mean"]).all() and (table.average < table["mean"]).any()
    ratios = algebra.scaled_variances(pictures, (2, 3))
    assert ratios.ratio.to_numpy() == pytest.approx(ratios.factor.to_numpy() ** 2)
