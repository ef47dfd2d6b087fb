"""What page 04f reads from the printed tables, against the tables and known counts."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from mergebook import ledger
from mergebook.ch4 import printed


def test_the_five_tables_are_one():
    table = printed.soup_tables()
    assert len(table) == 35 and not table.isna().any().any()
    row = table[(table["data"] == "CIFAR-10") & (table.models == 5)].iloc[0]
    assert (row.single, row.uniform, row["greedy logits"]) == (92.45, 92.90, 81.95)
    last = table[(table["data"] == "ChestXRay") & (table.models == 10)].iloc[0]
    assert (last.features, last["greedy features"]) == (81.07, 80.43)
    deit = printed.deit_table()
    assert list(deit.models) == [2, 3, 5, 7, 10] and deit.uniform.iloc[-1] == 8.91


def test_best_and_last_of_rows():
    ends = printed.extremes(printed.soup_tables())
    tiny = ends[ends["data"] == "TinyImageNet"].set_index("models")
    assert tiny.best[2] == "features" and tiny["last"][10] == "greedy"
    assert (ends.best == "logits").sum() == 28 and (ends["last"] == "uniform").sum() == 28
    gains = printed.over_single(printed.soup_tables())
    assert gains.uniform.min() == pytest.approx(32.42 - 90.04)
    assert "single" not in gains


@pytest.mark.parametrize(
    "value, size, can",
    [(50.0, 2, True), (33.33, 3, True), (33.34, 3, False), (66.67, 3, True), (12.5, 7, False)],
)
def test_scores_that_a_test_set_allows(value, size, can):
    assert printed.attainable(value, size) == can
    by_hand = {round(100 * k / size, 2) for k in range(size + 1)}
    assert (value in by_hand) == can


def test_the_exact_rank_test():
    assert printed.exact_rank_test([1, 2, 3, 4], [1, 2, 3, 4]) == (1.0, pytest.approx(2 / 24))
    value, p = printed.exact_rank_test([1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 6, 5])
    assert value == pytest.approx(stats.spearmanr(range(6), [2, 1, 3, 4, 6, 5]).statistic)
    assert 0.01 < p < 0.05
    # The tables of critical values of Spearman's rank correlation have 0.886 for six, two-sided.
    assert printed.least_clear(6) == pytest.approx(0.8857, abs=1e-4)
    assert math.isnan(printed.least_clear(4))


def test_donors_and_sizes():
    donors = printed.donor_table().set_index("donor")
    assert donors["size"]["Celeba"] == 202_599 and donors.soup["ChestXRay"] == 61.38
    sizes = printed.size_table().set_index("data")
    assert sizes.published["CelebA"] == 202_599 and sizes.published["TinyImageNet"] == 120_000
    assert printed.EQUATIONS.index(printed.QUARTER_RULE) == 8


class Small(nn.Module):
    """A convolution with 4 kernels of 3 x 3 x 3, BatchNorm, and a linear layer of 10."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


def build(name):
    with torch.device("meta"):
        return Small().eval()


def test_a_small_network_counted_by_hand():
    side = 8
    assert printed.counted_once(build(""), side) == (4 * 27 * side**2 + 40, 4 * side**2)
    [row] = printed.recounted(build, ("VGG11",), side).to_dict("records")
    assert row["parameters"] * 1e6 == pytest.approx(4 * 27 + 4 + 8 + 50)
    assert (row["printed"], row["FLOPs"]) == (132.9, 7.63)


def test_two_networks_of_the_table_have_their_known_sizes():
    table = printed.recounted(names=("ResNet18", "DeiT_Tiny")).set_index("network")
    assert table.parameters["ResNet18"] == pytest.approx(11.689512)
    assert table["multiply-adds"]["ResNet18"] == pytest.approx(1.814, abs=1e-3)
    assert table.normalised["DeiT_Tiny"] == 0 < table.normalised["ResNet18"]
    assert len(ledger.printed("rethinking_table8")) == 20
