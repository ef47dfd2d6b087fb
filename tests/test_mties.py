"""M-Loss of nodes and M-TIES in networks, against loops over inputs and nodes in plain Python."""

import math
from dataclasses import replace
from itertools import pairwise, permutations
from types import SimpleNamespace

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from test_backbones import MAKERS, TEXTS
from test_merge import brute_m_ties
from torch import nn
from torch.nn.functional import conv2d, linear

from mergehelpers import merge, mloss, mties
from mergehelpers.backbones import Plain, T5Text

FUNCTIONS = {
    "relu": lambda v: max(v, 0.0),
    "gelu": lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2,
    "gelu_tanh": lambda v: v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) / 2,
}
MEASURES = {
    mloss.node_mloss: lambda gaps: [abs(gap) for gap in gaps],
    mties.squared: lambda gaps: [gap * gap for gap in gaps],
    mloss.layer_mloss: lambda gaps: math.sqrt(sum(gap * gap for gap in gaps)),
}


def perceptron(*widths, activation=nn.GELU):
    """Its linear layers are `0`, `2`, `4`, …; all but the last feed an activation."""
    parts = [part for fan in pairwise(widths) for part in (nn.Linear(*fan), activation())]
    return Plain(nn.Sequential(*parts[:-1]).double(), widths[-1])


def noise(like, seed, spread):
    g = torch.Generator().manual_seed(seed)
    return {
        name: spread * torch.randn(value.shape, generator=g).to(value)
        for name, value in like.items()
    }


def around(base, count, spread=0.7):
    return [
        {name: base[name] + step for name, step in noise(base, 10 + i, spread).items()}
        for i in range(count)
    ]


def task(backbone, count=3, size=7, seed=0):
    """A base, experts around it, and inputs for a perceptron."""
    base = noise(backbone.names(), seed, 1.0)
    width = base["0.weight"].shape[1]
    inputs = torch.randn(
        size, width, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )
    return base, around(base, count), inputs


def close(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(
            torch.as_tensor(a[key]).double(), torch.as_tensor(b[key]).double()
        )


def differ(a, b):
    return any((torch.as_tensor(a[key]) - torch.as_tensor(b[key])).abs().max() > 1e-3 for key in a)


# By hand


def nodes(state, layer, x):
    weight, bias = state[f"{layer}.weight"].tolist(), state[f"{layer}.bias"].tolist()
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias)]


def entering(state, layer, x, f):
    for earlier in range(0, layer, 2):
        x = [f(h) for h in nodes(state, earlier, x)]
    return x


def scores_by_hand(reader, experts, inputs, layer, f, measure, g=None):
    """Input by input and node by node; the network's activation is `f`, that of the measure `g`."""
    g, total = g or f, 0
    for x in inputs.tolist():
        columns = zip(*(nodes(e, layer, entering(reader or e, layer, x, f)) for e in experts))
        gaps = [g(sum(h) / len(h)) - sum(map(g, h)) / len(h) for h in columns]
        total = total + torch.tensor(MEASURES[measure](gaps), dtype=torch.float64)
    return total / len(inputs)


def algorithm_1(base, experts, inputs, sites, keep, spread, scale, reading, synchronised, f="gelu"):
    """M-TIES of a perceptron, layer by layer: score, rank, trim, merge, hand on."""
    g, measure, increment, biases, elsewhere = {
        "paper": (f, mloss.node_mloss, "weighted", True, "disjoint"),
        "everywhere": (f, mloss.node_mloss, "weighted", True, "weighted"),
        "released": ("gelu_tanh", mties.squared, "disjoint", False, "disjoint"),
    }[reading]
    merged, rates = dict(base), {}
    for layer in sorted({int(name.split(".")[0]) for name in base}):
        own = [f"{layer}.weight", f"{layer}.bias"]
        here = {}
        if str(layer) in sites:
            reader = merged if synchronised else base
            losses = scores_by_hand(
                reader, experts, inputs, layer, FUNCTIONS[f], measure, FUNCTIONS[g]
            )
            rank = (rankdata(losses) - 1) / (len(losses) - 1)
            here = {own[0]: torch.tensor(keep - spread * rank)}
        merged |= brute_m_ties(
            {name: base[name] for name in own},
            [{name: e[name] for name in own} for e in experts],
            here,
            keep,
            scale,
            increment,
            biases,
            elsewhere,
        )
        rates |= here
    return merged, rates


# Ranks and rates


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
def test_ranks_are_those_of_scipy_from_zero_to_one(values):
    expected = (rankdata(values, method="average") - 1) / (len(values) - 1)
    assert mties.ranks(torch.tensor(values)).tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_ranks_are_in_double_precision():
    assert mties.ranks(torch.tensor([1.0, 2, 3, 4])).tolist() == [0, 1 / 3, 2 / 3, 1]


def test_scores_that_differ_in_the_last_digit_have_different_ranks():
    scores = torch.tensor([1.0, 1 + 1e-15, 1 - 1e-15], dtype=torch.float64)
    assert mties.ranks(scores).tolist() == [0.5, 1, 0]


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=8),
    st.floats(0.01, 1),
    st.sampled_from([0, 0.1, 0.5, 1]),
)
def test_keep_rates_fall_with_the_score_from_keep_by_at_most_spread(scores, keep, share):
    spread = keep * share
    rates = mties.keep_rates(torch.tensor(scores), keep, spread).tolist()
    assert all(0 <= rate and keep - spread - 1e-6 <= rate <= keep + 1e-6 for rate in rates)
    assert sum(rates) / len(rates) == pytest.approx(keep - spread / 2)
    for (a, rate), (b, other) in permutations(zip(scores, rates), 2):
        assert a > b or (rate > other if a < b and share else rate == other)
    if scores.count(min(scores)) == scores.count(max(scores)) == 1:
        assert (max(rates), min(rates)) == pytest.approx((keep, keep - spread), abs=1e-6)


def test_a_single_node_keeps_all_it_may():
    assert mties.keep_rates(torch.tensor([3.0]), 0.4, 0.3).tolist() == pytest.approx([0.4])


@pytest.mark.parametrize(
    "keep, spread, message",
    [
        (0.2, 0.3, "spread is 0.3; allowed: from 0 to keep, here 0.2"),
        (0.5, -0.1, "spread is -0.1; allowed: from 0"),
        (0.5, math.nan, "spread is nan"),
        (0, 0, "keep is 0; allowed: a number above 0, 1 or less"),
        (1.2, 0.1, "keep is 1.2"),
        (math.nan, 0.1, "keep is nan"),
    ],
)
def test_rates_out_of_range_are_refused_before_any_work(keep, spread, message):
    with pytest.raises(ValueError, match=message):
        mties.keep_rates(torch.ones(3), keep, spread)
    with pytest.raises(ValueError, match=message):
        mties.m_ties(perceptron(2, 3, 2), {}, [], None, keep, spread)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_have_no_ranks(value):
    with pytest.raises(ValueError, match="the scores hold NaN or infinity, so they have no ranks"):
        mties.ranks(torch.tensor([1.0, value, 2.0]))


# Sites


@pytest.mark.parametrize(
    "layers, expected",
    [
        ("*", ["0", "2", "4", "6"]),
        ("2", ["2"]),
        ("6,0", ["0", "6"]),
        ("[04] , 6", ["0", "4", "6"]),
        ("?,2", ["0", "2", "4", "6"]),
    ],
)
def test_sites_are_picked_by_patterns_in_the_order_of_the_network(layers, expected):
    assert mties.pick_sites(perceptron(2, 3, 3, 3, 3, 2), layers) == expected


@pytest.mark.parametrize("layers, pattern", [("8", "8"), ("0, 8*", "8*"), ("0,", ""), ("", "")])
def test_a_pattern_that_matches_nothing_lists_the_sites(layers, pattern):
    with pytest.raises(ValueError) as caught:
        mties.pick_sites(perceptron(2, 3, 3, 2), layers)
    assert str(caught.value) == f"layers: no site matches {pattern!r}; there are 0, 2"


def test_a_network_without_an_activation_has_nothing_to_measure():
    with pytest.raises(
        ValueError, match="Plain has no layer that feeds an activation, so M-Loss has nothing to"
    ):
        mties.pick_sites(Plain(nn.Sequential(nn.Linear(2, 3)), 3))


# Scores of nodes


@pytest.mark.parametrize("own", [False, True], ids=["one reader", "own inputs"])
@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize("activation", [None, "gelu_tanh", "relu"])
def test_scores_are_those_of_a_loop_over_inputs_and_nodes(own, measure, activation):
    backbone = perceptron(3, 4, 5, 2)
    base, experts, inputs = task(backbone)
    reader = None if own else base
    found = mties.node_scores(
        backbone, reader, experts, inputs, measure=measure, activation=activation
    )
    expected = {
        site: scores_by_hand(
            reader,
            experts,
            inputs,
            int(site),
            FUNCTIONS["gelu"],
            measure,
            FUNCTIONS[activation or "gelu"],
        )
        for site in ("0", "2")
    }
    close(found, expected)
    assert min(value.max() for value in found.values()) > 1e-3


def test_the_reader_matters_behind_the_first_site():
    backbone = perceptron(3, 4, 4, 2)
    base, experts, inputs = task(backbone)
    one, own = (mties.node_scores(backbone, reader, experts, inputs) for reader in (base, None))
    close({"0": one["0"]}, {"0": own["0"]})
    assert differ({"2": one["2"]}, {"2": own["2"]})


@pytest.mark.parametrize("own", [False, True], ids=["one reader", "own inputs"])
def test_scores_do_not_depend_on_the_batch(own):
    backbone = perceptron(3, 4, 4, 2)
    base, experts, inputs = task(backbone)
    for measure in MEASURES:
        one, few, whole, default = (
            mties.node_scores(
                backbone, None if own else base, experts, inputs, measure=measure, batch=batch
            )
            for batch in (1, 3, 100, None)
        )
        for found in (one, few, default):
            close(found, whole)


def test_the_bar_counts_inputs():
    backbone, steps = perceptron(3, 4, 4, 2), []
    base, experts, inputs = task(backbone)
    bar = SimpleNamespace(update=steps.append)
    mties.node_scores(backbone, base, experts, inputs, batch=3, bar=bar)
    assert steps == [3, 3, 1]
    mties.m_ties(backbone, base, experts, inputs, 0.5, 0.1, bar=bar)
    assert steps == [3, 3, 1, 7]
    mties.m_ties(backbone, base, experts, inputs, 0.5, 0.1, batch=4, bar=bar)
    assert steps == [3, 3, 1, 7] + [4, 3] * 2


def test_identical_experts_have_no_loss():
    backbone = perceptron(3, 4, 4, 2, activation=nn.ReLU)
    base, (expert, *_), inputs = task(backbone)
    found = mties.node_scores(backbone, base, [expert] * 4, inputs)
    assert max(value.max() for value in found.values()) < 1e-12


def t5_tied(folder):
    tiny.t5(folder, tied=True)
    return T5Text(str(folder), max_length=16), folder, TEXTS


@pytest.fixture(scope="module", params=[*MAKERS, "t5_tied"])
def made(request, tmp_path_factory):
    """A tiny backbone with its state, two experts and raw inputs."""
    backbone, source, inputs = (MAKERS | {"t5_tied": t5_tied})[request.param](
        tmp_path_factory.mktemp(request.param)
    )
    state = backbone.adopt(backbone.read(str(source)), str(source))
    return SimpleNamespace(
        backbone=backbone, state=state, experts=around(state, 2, 0.2), inputs=inputs
    )


@pytest.mark.parametrize("own", [False, True], ids=["one reader", "own inputs"])
def test_scores_in_every_network_come_from_what_enters_its_sites(made, own):
    """One input at a time, so that there is no padding."""
    backbone, f = made.backbone, mloss.ACTIVATIONS[made.backbone.activation].f
    gaps = {site: [] for site in backbone.sites()}
    for i in range(len(made.inputs)):
        piece = backbone.prepare(made.inputs[i : i + 1])
        seen = [backbone.preactivations(e if own else made.state, piece) for e in made.experts]
        for k, site in enumerate(gaps):
            h = torch.stack(
                [
                    linear(seen[p][k][0], e[f"{site}.weight"], e.get(f"{site}.bias"))[0]
                    for p, e in enumerate(made.experts)
                ]
            ).double()
            gaps[site].append((f(h.mean(0)) - f(h).mean(0)).abs())
    expected = {site: torch.cat(found).mean(0) for site, found in gaps.items()}
    for batch in (None, 2):
        found = mties.node_scores(
            backbone, None if own else made.state, made.experts, made.inputs, batch=batch
        )
        assert all(value.std() > 1e-4 for value in found.values())
        for site, value in found.items():
            torch.testing.assert_close(value, expected[site], rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_padding_is_left_out(tmp_path):
    """What enters each site, as BertModel computes it for one sentence at a time."""
    from transformers import AutoTokenizer, BertModel

    backbone, folder, texts = MAKERS["bert"](tmp_path)
    state = backbone.adopt(backbone.read(str(folder)), str(folder))
    experts = around(state, 3, 0.2)
    model, tokenizer, entered = (
        BertModel.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
        {},
    )
    for i, layer in enumerate(model.encoder.layer):
        entered[i] = []
        layer.intermediate.dense.register_forward_pre_hook(
            lambda m, args, i=i: entered[i].append(args[0][0])
        )
    for text in texts:
        model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
    for i, pieces in entered.items():
        assert len({len(piece) for piece in pieces}) > 2
        site, x = f"encoder.layer.{i}.intermediate.dense", torch.cat(pieces)
        h = torch.stack([linear(x, e[f"{site}.weight"], e[f"{site}.bias"]) for e in experts])
        gelu = nn.functional.gelu
        expected = (gelu(h.mean(0)) - gelu(h).mean(0)).abs().double().mean(0)
        found = mties.node_scores(backbone, state, experts, texts, sites=[site])[site]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def convolutional():
    """Convolutions with and without a BatchNorm; the inner pair is the site `0`."""
    inner = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3))
    backbone = Plain(
        nn.Sequential(
            inner,
            nn.ReLU(),
            nn.Conv2d(3, 4, 2, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 2),
        ).double(),
        2,
    )
    states = []
    for seed in range(4):
        state = {
            name: value if "tracked" in name else noise({name: value}, seed, 1.0)[name]
            for name, value in backbone.names().items()
        }
        states.append(state | {"0.1.running_var": state["0.1.running_var"].square() + 0.5})
    g = torch.Generator().manual_seed(9)
    return (
        backbone,
        states[0],
        states[1:],
        torch.randn(5, 2, 4, 4, generator=g, dtype=torch.float64),
    )


def normed(state, x):
    h = conv2d(x, state["0.0.weight"], padding=1)
    mean, variance, weight, bias = (
        state[f"0.1.{name}"].view(3, 1, 1)
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (h - mean) / (variance + 1e-5).sqrt() * weight + bias


@pytest.mark.parametrize("own", [False, True], ids=["one reader", "own inputs"])
def test_nodes_of_a_convolution_are_its_channels_and_its_norm_belongs_to_it(own):
    backbone, base, experts, inputs = convolutional()
    first = torch.stack([normed(e, inputs) for e in experts])
    second = torch.stack(
        [
            conv2d(
                normed(e if own else base, inputs).clamp(min=0),
                e["2.weight"],
                e["2.bias"],
                stride=2,
            )
            for e in experts
        ]
    )
    found = mties.node_scores(backbone, None if own else base, experts, inputs, batch=2)
    for site, h in {"0": first, "2": second}.items():
        gap = h.mean(0).clamp(min=0) - h.clamp(min=0).mean(0)
        torch.testing.assert_close(found[site], gap.abs().mean((0, 2, 3)))


def test_the_rows_of_a_convolution_are_trimmed_by_their_channels_rates():
    backbone, base, experts, inputs = convolutional()
    merged, rates = mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4, reading="released")
    assert list(rates) == ["0.0.weight", "2.weight"]
    assert [sorted(rate.tolist()) for rate in rates.values()] == [
        pytest.approx([0.1, 0.3, 0.5]),
        pytest.approx([0.1, 0.1 + 0.4 / 3, 0.5 - 0.4 / 3, 0.5]),
    ]
    close(merged, brute_m_ties(base, experts, rates, 0.5))
    merged, rates = mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4)
    close(merged, brute_m_ties(base, experts, rates, 0.5, increment="weighted", biases=True))


def test_nodes_of_a_convolution_of_sequences_are_its_channels():
    backbone = Plain(
        nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(15, 2)).double(), 2
    )
    base = noise(backbone.names(), 0, 1.0)
    found = mties.node_scores(backbone, base, around(base, 2), torch.randn(4, 2, 6).double())
    assert found["0"].shape == (3,)


def test_each_site_is_measured_by_the_activation_behind_it():
    backbone = Plain(
        nn.Sequential(
            nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)
        ).double(),
        2,
    )
    base, experts, inputs = task(backbone)
    relu, gelu = FUNCTIONS["relu"], FUNCTIONS["gelu"]
    expected = scores_by_hand(base, experts, inputs, 2, relu, mloss.node_mloss, gelu)
    torch.testing.assert_close(mties.node_scores(backbone, base, experts, inputs)["2"], expected)


def forbidden(*_):
    raise AssertionError("a later block was run")


@pytest.mark.parametrize("own", [False, True], ids=["one reader", "own inputs"])
def test_nothing_behind_the_last_site_is_run(made, own):
    first, second = made.backbone.sites()
    modules = [
        made.backbone.module.get_submodule(name) for name in (*made.backbone.readouts(), second)
    ]
    handles = [module.register_forward_pre_hook(forbidden) for module in modules]
    try:
        reader = None if own else made.state
        found = mties.node_scores(made.backbone, reader, made.experts, made.inputs, sites=[first])
        assert list(found) == [first]
        with pytest.raises(AssertionError, match="a later block was run"):
            mties.node_scores(made.backbone, reader, made.experts, made.inputs, sites=[second])
    finally:
        for handle in handles:
            handle.remove()


def test_no_inputs_and_unknown_sites_are_refused():
    backbone = perceptron(3, 4, 2)
    base, experts, inputs = task(backbone)
    with pytest.raises(ValueError, match="M-Loss needs unlabelled inputs; there are none"):
        mties.node_scores(backbone, base, experts, inputs[:0])
    with pytest.raises(ValueError, match="no site 7, 9; there are 0"):
        mties.node_scores(backbone, base, experts, inputs, sites=["9", "0", "7"])
    with pytest.raises(ValueError, match="activation is 'hump'; allowed: relu, "):
        mties.node_scores(backbone, base, experts, inputs, activation="hump")


def test_weights_that_overflow_are_refused():
    backbone = perceptron(3, 4, 2)
    base, experts, inputs = task(backbone)
    with pytest.raises(ValueError, match="the pre-activations hold NaN or infinity"):
        mties.node_scores(
            backbone,
            base,
            [*experts, {name: value * 1e308 for name, value in base.items()}],
            inputs,
        )


# M-TIES


@pytest.mark.parametrize(
    "keep, spread, scale", [(0.5, 0.4, 1.0), (0.7, 0.7, 0.6), (1.0, 0.5, 1.0), (0.3, 0.0, 1.5)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_papers_reading_is_algorithm_1_to_the_letter(keep, spread, scale, seed):
    backbone = perceptron(3, 5, 4, 2)
    base, experts, inputs = task(backbone, seed=seed)
    merged, rates = mties.m_ties(backbone, base, experts, inputs, keep, spread, scale)
    expected, expected_rates = algorithm_1(
        base, experts, inputs, ["0", "2"], keep, spread, scale, "paper", True
    )
    close(merged, expected)
    close(rates, expected_rates)


def test_later_layers_are_scored_behind_the_merged_ones(monkeypatch):
    """Seen from the base, the nodes of the second layer rank otherwise.

    The merge differs there and only there.
    """
    backbone = perceptron(3, 6, 6, 2)
    base, experts, inputs = task(backbone)
    merged, rates = mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4)
    apart, apart_rates = algorithm_1(
        base, experts, inputs, ["0", "2"], 0.5, 0.4, 1.0, "paper", False
    )
    assert differ({"2.weight": rates["2.weight"]}, {"2.weight": apart_rates["2.weight"]})
    assert {name for name in base if differ({"": merged[name]}, {"": apart[name]})} == {
        "2.weight",
        "2.bias",
    }
    monkeypatch.setitem(
        mties.VARIANTS, "paper", replace(mties.VARIANTS["paper"], synchronised=False)
    )
    close(mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4)[0], apart)


@pytest.mark.parametrize("keep, spread", [(0.5, 0.4), (0.3, 0.1)])
@pytest.mark.parametrize("activation", [nn.GELU, nn.ReLU])
def test_the_released_reading_is_m_ties_with_the_rates_that_the_base_gives(
    keep, spread, activation
):
    """It measures with the approximate GELU whatever the network's own activation."""
    backbone = perceptron(3, 12, 11, 2, activation=activation)
    base, experts, inputs = task(backbone)
    merged, rates = mties.m_ties(
        backbone, base, experts, inputs, keep, spread, 0.8, reading="released"
    )
    expected, expected_rates = algorithm_1(
        base, experts, inputs, ["0", "2"], keep, spread, 0.8, "released", False, backbone.activation
    )
    close(merged, expected)
    close(rates, expected_rates)
    scores = mties.node_scores(
        backbone, base, experts, inputs, measure=mties.squared, activation="gelu_tanh"
    )
    scored = {
        f"{site}.weight": mties.keep_rates(score, keep, spread) for site, score in scores.items()
    }
    close(merged, merge.m_ties(base, experts, scored, keep, 0.8))


def test_every_network_is_merged_by_both_readings(made):
    backbone, base, experts = made.backbone, made.state, made.experts
    for reading, options in (
        ("paper", {"increment": "weighted", "biases": True}),
        ("everywhere", {"increment": "weighted", "biases": True, "elsewhere": "weighted"}),
        ("released", {}),
    ):
        merged, rates = mties.m_ties(
            backbone, base, experts, made.inputs, 0.5, 0.4, reading=reading
        )
        assert list(rates) == [f"{site}.weight" for site in backbone.sites()]
        for rate in rates.values():
            # Silent nodes have equal losses, and share their mean rank.
            assert (
                rate.mean().item() == pytest.approx(0.3) and rate.unique().numel() > len(rate) / 2
            )
            assert 0.1 - 1e-9 <= rate.min() and rate.max() <= 0.5 + 1e-9
        close(merged, merge.m_ties(base, experts, rates, 0.5, **options))
        assert backbone.embed(merged, made.inputs).isfinite().all()


@pytest.mark.parametrize("reading", mties.VARIANTS)
def test_merging_weights_enter_the_scores_and_the_merge(reading):
    backbone = perceptron(3, 5, 4, 2)
    base, experts, inputs = task(backbone)
    how, alpha = mties.VARIANTS[reading], [0.5, 0.3, 0.2]
    merged, rates = mties.m_ties(
        backbone, base, experts, inputs, 0.5, 0.4, reading=reading, weights=[5, 3, 2]
    )
    scores = mties.node_scores(
        backbone,
        base,
        experts,
        inputs,
        sites=["0"],
        measure=lambda h, f: how.measure(h, f, alpha),
        activation=how.activation,
    )
    close({"0.weight": rates["0.weight"]}, mties.rates_of(backbone, scores, 0.5, 0.4))
    given = {"increment": how.increment, "biases": how.biases, "elsewhere": how.elsewhere}
    close(merged, merge.m_ties(base, experts, rates, 0.5, weights=[5, 3, 2], **given))
    even = mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4, reading=reading)[0]
    ones = [1] * 3
    again = mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4, reading=reading, weights=ones)[
        0
    ]
    close(again, even)
    assert differ(merged, even)
    with pytest.raises(ValueError, match="weights are .*; allowed: a number from 0"):
        mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4, weights=[0, 0, 0])


def test_another_measure_takes_the_place_of_the_score():
    backbone = perceptron(3, 5, 4, 2)
    base, experts, inputs = task(backbone)
    measure = mloss.normalised_node_mloss
    _, rates = mties.m_ties(
        backbone, base, experts, inputs, 0.5, 0.4, reading="released", measure=measure
    )
    scores = mties.node_scores(
        backbone, base, experts, inputs, measure=measure, activation="gelu_tanh"
    )
    close(rates, mties.rates_of(backbone, scores, 0.5, 0.4))


@pytest.mark.parametrize(
    "reading, options", [("paper", {"increment": "weighted", "biases": True}), ("released", {})]
)
def test_without_a_spread_all_rows_are_trimmed_alike(reading, options):
    backbone = perceptron(3, 5, 4, 2)
    base, experts, inputs = task(backbone)
    merged, rates = mties.m_ties(backbone, base, experts, inputs, 0.4, 0.0, reading=reading)
    constant = {
        "0.weight": torch.full((5,), 0.4).double(),
        "2.weight": torch.full((4,), 0.4).double(),
    }
    close(rates, constant)
    close(merged, brute_m_ties(base, experts, constant, 0.4, **options))


@pytest.mark.parametrize("reading", mties.VARIANTS)
def test_layers_restrict_which_rows_have_rates(reading):
    backbone = perceptron(3, 5, 4, 4, 2)
    base, experts, inputs = task(backbone)
    synchronised = reading != "released"
    for layers, sites in (("2", ["2"]), ("4,0", ["0", "4"])):
        merged, rates = mties.m_ties(
            backbone, base, experts, inputs, 0.5, 0.4, reading=reading, layers=layers
        )
        expected, expected_rates = algorithm_1(
            base, experts, inputs, sites, 0.5, 0.4, 1.0, reading, synchronised
        )
        assert list(rates) == [f"{site}.weight" for site in sites]
        close(rates, expected_rates)
        close(merged, expected)


@pytest.mark.parametrize("reading", mties.VARIANTS)
def test_the_order_of_the_experts_does_not_matter(reading):
    backbone = perceptron(3, 5, 4, 2)
    base, experts, inputs = task(backbone)
    for found, expected in zip(
        mties.m_ties(backbone, base, experts[::-1], inputs, 0.5, 0.4, reading=reading),
        mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4, reading=reading),
    ):
        close(found, expected)


@pytest.mark.parametrize("reading", mties.VARIANTS)
def test_identical_experts_of_which_all_is_kept_are_returned(reading):
    backbone = perceptron(3, 5, 4, 2)
    base, (expert, *_), inputs = task(backbone)
    close(mties.m_ties(backbone, base, [expert] * 3, inputs, 1.0, 0.0, reading=reading)[0], expert)


def test_what_m_ties_is_given_is_left_alone():
    backbone = perceptron(3, 5, 4, 2)
    base, experts, inputs = task(backbone)
    mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4)
    again, others, same = task(backbone)
    for found, expected in zip(
        [base, *experts, {"x": inputs}], [again, *others, {"x": same}], strict=True
    ):
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_unknown_reading_or_site_is_refused_with_those_there_are():
    backbone = perceptron(3, 4, 2)
    base, experts, inputs = task(backbone)
    with pytest.raises(
        ValueError, match="reading is 'printed'; allowed: paper, everywhere, released"
    ):
        mties.m_ties(backbone, base, experts, inputs, 0.5, 0.1, reading="printed")
    with pytest.raises(ValueError, match="layers: no site matches '4'; there are 0"):
        mties.m_ties(backbone, base, experts, inputs, 0.5, 0.1, layers="4")


# The cost


def evaluations(q, layers, batch=None):
    """How often each linear layer computes while the paper's reading scores these sites.

    The network is a perceptron of five layers.
    """
    backbone = perceptron(2, 3, 3, 3, 3, 2)
    base, experts, inputs = task(backbone, count=q)
    runs = []
    for site in ("0", "2", "4", "6", "8"):
        backbone.module.get_submodule(site).register_forward_hook(
            lambda *_, site=site: runs.append(site)
        )
    mties.m_ties(backbone, base, experts, inputs, 0.5, 0.4, layers=layers, batch=batch)
    return [runs.count(site) for site in ("0", "2", "4", "6", "8")]


@pytest.mark.parametrize("k, q", [(1, 2), (2, 3), (4, 2), (3, 1)])
def test_the_kth_pass_runs_each_earlier_layer_once_and_its_own_once_an_expert(k, q):
    counts = evaluations(q, layers=str(2 * k - 2))
    assert counts == [1] * (k - 1) + [q] + [0] * (5 - k) and sum(counts) == k - 1 + q


def test_one_batch_takes_one_pass_and_several_take_one_for_each_site():
    assert evaluations(3, layers="*") == [3 + 1] * 3 + [3, 0]
    assert evaluations(3, layers="*", batch=4) == [2 * (3 + later) for later in (3, 2, 1, 0)] + [0]


def test_one_pass_and_one_for_each_site_merge_alike(made):
    one, several = (
        mties.m_ties(made.backbone, made.state, made.experts, made.inputs, 0.5, 0.4, batch=batch)
        for batch in (None, 2)
    )
    for found, expected in zip(one, several):
        close(found, expected)
