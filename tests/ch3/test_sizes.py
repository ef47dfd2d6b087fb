"""What is counted without weights: networks by formula, learners by brute force, test sets."""

import itertools
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ch3.tables_of_the_paper import table
from mergebook import ledger
from mergebook.ch3 import quoted, sizes
from mergebook.ch3.printed import CHARTS

HALVES = (ROUND_HALF_UP, ROUND_HALF_DOWN)


@pytest.fixture(scope="module")
def costs():
    return sizes.network_costs().set_index("network")


def transformer(depth, tokens, width, out, patch):
    """Parameters of a CLIP image tower, its multiply-adds, and both without attention."""
    block = 12 * width**2 + 13 * width
    attention = 4 * width**2 + 4 * width
    others = width * 3 * patch**2 + width * (1 + tokens) + 4 * width + width * out
    work = depth * (12 * tokens * width**2 + 2 * tokens**2 * width)
    work += (tokens - 1) * width * 3 * patch**2 + width * out
    inside = depth * (4 * tokens * width**2 + 2 * tokens**2 * width)
    return np.array(
        [depth * block + others, work, depth * (block - attention) + others, work - inside]
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [("ViT-B/32", (12, 50, 768, 512, 32)), ("ViT-L/14", (24, 257, 1024, 768, 14))],
)
def test_costs_are_those_of_the_formula(costs, name, shape):
    expected = transformer(*shape) / [1e6, 1e9, 1e6, 1e9]
    assert costs.loc[name].to_numpy(float) == pytest.approx(expected, rel=1e-3)


def test_a_network_of_convolutions_has_no_attention(costs):
    row = costs.loc["ResNet50"]
    assert row["parameters"] == row["parameters, no attention"] == pytest.approx(25.557, rel=1e-4)
    assert row["multiply-adds"] == row["multiply-adds, no attention"] == pytest.approx(4.09, 1e-2)


def test_language_models_have_their_published_sizes(costs):
    assert costs.parameters["T5-base"] == pytest.approx(222.9, rel=1e-3)
    assert costs.parameters["T5-large"] == pytest.approx(737.7, rel=1e-3)


def test_counts_of_the_networks():
    found = sizes.network_counts().set_index(["network", "what"]).number
    vit = found["ViT-B/32"]
    # A patch matrix, two embeddings, a projection, two norms; twelve in each block.
    assert vit["parameter tensors"] == 4 + 4 + 12 * 12
    assert vit["tensors with two axes or more"] == 3 + 12 * 4
    assert vit["convolutions and linear layers"] == 1 + 12 * 3
    assert vit["with leftovers of the text tower"] == vit["parameter tensors"] + 6
    resnet = found["ResNet50"]
    convolutions = 1 + 16 * 3 + 4
    assert resnet["convolutions and linear layers"] == convolutions + 1
    assert resnet["parameter tensors"] == convolutions * 3 + 2
    assert resnet["entries of the state dict"] == convolutions * 6 + 2
    assert resnet["blocks, shortcuts, stem and classifier"] == 16 + 4 + 1 + 1


def test_learners_by_brute_force():
    """All networks of width and outputs up to 60, built and counted; a half may go either way."""

    def reads(value, text):
        exact = Decimal(value) / 10**6
        return Decimal(text) in {exact.quantize(Decimal(text), way) for way in HALVES}

    texts = ("0.0010", "0.0018", "0.0037")
    expected = []
    for width, outputs in itertools.product(range(3, 61), range(1, 61)):
        with torch.device("meta"):
            net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, outputs))
        parameters = sum(p.numel() for p in net.parameters())
        weights = sum(p.numel() for p in net.parameters() if p.ndim > 1)
        for n in range(1, 9):
            if all(map(reads, (parameters, n * weights, 2 * n * weights), texts)):
                expected.append((n, width, outputs))
    found = [f for f in sizes.two_layer_learners(*texts, widths=range(3, 61)) if f[2] <= 60]
    assert sorted(found) == sorted(expected) and expected


def test_the_printed_sizes_of_the_learner():
    found = sizes.learners_by_size().set_index("parameters")
    assert found.networks["0.336"] == 0 and found.networks["0.366"] > 1000
    assert found.inputs.tolist() == ["none", "2"]


def test_released_learners_by_building_them():
    layers = [nn.Linear(6, 256), nn.Linear(256, 256), nn.Linear(256, 8)]
    one = sum(p.numel() for p in nn.Sequential(*layers).parameters())
    assert sizes.released_learners(158) == pytest.approx(158 * one / 1e6)


@pytest.mark.parametrize("n", [7, 27, 72, 98])
def test_a_score_is_possible_if_some_share_is_printed_so(n):
    shares = [100 * k / n for k in range(n + 1)]
    printed = {f"{s:.1f}" for s in shares} | {f"{int(10 * s + 1e-9) / 10:.1f}" for s in shares}
    for tenth in range(1001):
        text = f"{tenth / 10:.1f}"
        assert sizes.possible_score(float(text), n) == (text in printed), text


def test_sizes_that_allow_scores():
    assert sizes.sizes_that_allow([33.3, 50.0], range(1, 13)) == [6, 12]
    assert sizes.sizes_that_allow([62.2, 66.2], [72, 74]) == [74]


def test_means_over_runs_are_shares_of_all_their_answers():
    """By brute force: the mean of k runs of n items, printed in either way."""
    n, k = 3, 4
    each = [sum(runs) / (k * n) for runs in itertools.product(range(n + 1), repeat=k)]
    printed = {f"{100 * m:.1f}" for m in each} | {f"{int(1000 * m + 1e-9) / 10:.1f}" for m in each}
    for score in (8.3, 25.0, 30.0, 58.4, 91.7):
        found = sizes.least_runs([score], [n], k)
        assert (found.get(n) is not None) == (f"{score:.1f}" in printed), score
    assert sizes.least_runs([62.2, 66.2], [72, 273, 27, 28]) == {72: 6, 273: 3, 27: 10}
    assert sizes.least_runs([0.2], [27, 28]) == {}


def test_winograd_scores_are_a_column_of_two_tables():
    found = sizes.winograd(table(CHARTS["T5-base"]), table(CHARTS["T5-large"]))
    assert len(found) == 22 and found.own.sum() == 2
    assert sorted(found.score[found.own]) == [62.2, 66.2]


def test_rows_that_another_paper_prints():
    theirs = ledger.printed("ftclassifier_table5b_vitb32")
    same = sizes.shared_rows(table(CHARTS["ViT-B/32"]), theirs)
    assert same.equal.tolist() == same.entries.tolist() == [8, 8, 8]
    other = sizes.shared_rows(table(CHARTS["ViT-B/32"], {("Individual", "SU"): "75.4"}), theirs)
    assert other.equal.tolist() == [7, 8, 8]


# ------------------------------------------------------------------------ what the text says


def points(*rows):
    return pd.DataFrame(rows, columns=["table", "percent", "score"])


@pytest.mark.parametrize(
    ("rows", "unit", "one"),
    [
        ([(15, 1, 80.0), (16, 5, 90.0)], 1, True),
        ([(15, 1, 80.0), (16, 5, 79.0)], 1, False),
        ([(15, 1, 80.0), (16, 5, 79.9)], 1, True),
        ([(15, 5, 80.0), (16, 5, 81.0)], 1, False),
        ([(15, 5, 80.0), (16, 5, 81.0)], 8, True),
        ([(15, 8, 82.0), (16, 5, 81.0)], 1, True),
        ([(15, 8, 82.0), (16, 5, 81.0)], 8, False),
        ([(15, 4, 82.0), (16, 5, 82.0)], 0.8, True),
    ],
)
def test_one_story_of_amounts(rows, unit, one):
    assert quoted.one_story(points(*rows), unit) == one
    assert quoted.one_story(points(*rows[::-1]), unit) == one


def test_amounts_are_those_of_two_tables():
    found = quoted.amounts(table("table15"), table("table16"))
    plain, plus = "LW StatsMerging", "LW StatsMerging++"
    assert found.method.tolist() == [plain, plus, *[plain] * 4]
    assert found.percent.tolist() == [1, 5, 5, 25, 50, 75]
    assert found.score.tolist() == [84.5, 94.5, 84.5, 86.6, 89.08, 89.14]


def test_pointers_find_a_word_among_headers_and_cells():
    main = {3: pd.DataFrame({"8T": ["20T"]}), 4: pd.DataFrame({"Individual Distilled": [1]})}
    found = quoted.pointed_at(main | {5: pd.DataFrame({"Rank": [1]})}).set_index("word").found
    assert found.to_dict() == {"Individual Distilled": [4], "20T": [3], "sigma'": [], "Rank": [5]}


def test_table_numbers_are_counted():
    found = quoted.table_numbers(["table3_main", "table3_appendix_vitb32", "table13"])
    assert found.set_index("number").times.to_dict() == {3: 2, 13: 1}


def test_quotes_stand_beside_the_tables():
    found = quoted.quoted_averages(table(CHARTS["ViT-B/32"]), table(CHARTS["ViT-L/14"]))
    assert found.text["WEMoE"] == (84.5, 93.6) and found.tables["WEMoE"] == (89.4, 93.6)
