"""Gaps, parts and noise of transformers, from rows by hand."""

import pandas as pd
import pytest

from mergebook.ch4 import transformers

METHODS = ("uniform", "logits", "best first")


def averages():
    rows = []
    for n, start, soup in (("vgg5", "shared", 60.0), ("vit_stem", "own stem", 40.0)):
        for seed in (0, 1):
            at = {"network": n, "start": start, "seed": seed, "which": 0}
            rows += [at | {"method": "single", "members": 1, "score": 70.0 + i} for i in (0, 2)]
            for members, drop in ((2, 0.0), (10, 8.0)):
                for method, score in zip(METHODS, (soup - drop + seed, 75.0, 70.0)):
                    rows.append(at | {"method": method, "members": members, "score": score})
    return pd.DataFrame(rows)


@pytest.fixture
def scores():
    return transformers.merged_scores(averages(), 500)


def test_scores_are_those_of_all_and_of_two_by_network_and_start(scores):
    part = scores[(scores.network == "vit_stem, own stem") & (scores.seed == 1)]
    assert dict(zip(part.what, part.value)) == {
        "single": 71.0,
        "uniform": 33.0,
        "logits": 75.0,
        "best first": 70.0,
        "uniform of two": 41.0,
        "logits of two": 75.0,
    }
    assert set(scores.network) == {"vgg5", "vit_stem, own stem"}


def test_gaps_and_their_growth(scores):
    gaps = transformers.gap_of(scores).set_index(["network", "seed"]).value
    assert gaps["vgg5"].tolist() == [23.0, 22.0]
    assert transformers.gap_of(scores, " of two").value.tolist() == [15.0, 14.0, 35.0, 34.0]
    assert set(transformers.gap_growth(scores).value) == {8.0}


def test_leads_go_start_by_start_and_over_the_mean(scores):
    gaps = transformers.gap_of(scores)
    more = pd.concat([gaps, gaps[gaps.network == "vgg5"].assign(network="vgg8", value=3.0)])
    found = transformers.leads_over(more, "vit_stem, own stem", ["vgg5", "vgg8", "absent"])
    assert {n: x.value for n, x in found.items()} == {"vgg5": 20.0, "vgg8": 39.5, "mean": 29.75}
    assert transformers.leads_over(more, "absent", ["vgg5"]) == {}
    assert transformers.leads_over(more, "vgg5", ["absent"]) == {}


def test_noise_is_a_mean_over_sizes_and_parts_are_what_members_lose():
    rows = [("moved at random", size, score) for size, score in ((0.0, 70), (0.1, 66), (0.4, 40))]
    rows += [("attention from the soup", 1.0, 64), ("norms from the soup", 1.0, 70)]
    rows += [("between", 0.5, 0), ("logits", 0.5, 71)]
    table = pd.DataFrame(rows, columns=["what", "size", "score"]).assign(network="vit", seed=0)
    assert transformers.noise_losses(table, 500).value.tolist() == [17.0]
    soup = pd.DataFrame({"network": ["vit", "vgg5"], "seed": 0, "what": "uniform", "value": 60.0})
    found = transformers.part_losses(table, soup.assign(images=500), 500)
    assert dict(zip(found.what, found.value)) == {"attention": 6.0, "norms": 0.0, "all": 10.0}
    (half,) = transformers.half_of_all(found, "attention").value
    assert half == 1.0 and set(found.network) == {"vit"}
