"""Slabs change nothing but memory; the threshold is that of a sort."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergehelpers import merge, states
from mergehelpers.merge import stacks, thresholds

SHAPES = {
    "a.weight": (5, 3, 2),
    "a.bias": (5,),
    "b.bias": (4,),
    "b.weight": (4, 9),
    "n": (13,),
    "one": (),
    "none": (0,),
}
RATES = {
    "a.weight": torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0]),
    "b.weight": torch.tensor([0.3, 0.3, 0.7, 0.1]),
}
FROZEN = torch.linspace(-1, 1, 30).view(5, 6)


def model(seed, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=g).to(dtype) for name, shape in SHAPES.items()}
    return drawn | {"frozen": FROZEN.to(dtype, copy=True), "steps": torch.tensor(seed)}


def crowd(count=3, dtype=torch.float32):
    return model(0, dtype), [model(1 + i, dtype) for i in range(count)]


# Rules as `rule(base, experts)`, and what each needs
RULES = {
    "average": (merge.average, lambda base, experts: ((experts,), {})),
    "weighted average": (merge.average, lambda base, experts: ((experts, [0.5, 0.2, 0.3]), {})),
    "task arithmetic": (merge.task_arithmetic, lambda *m: (m, {"scale": 0.4})),
    "ties": (merge.ties, lambda *m: (m, {"keep": 0.3, "scale": 0.7})),
    "ties, all": (merge.ties, lambda *m: (m, {"keep": 1.0, "scale": 0.7})),
    "ties, one entry": (merge.ties, lambda *m: (m, {"keep": 1e-9, "scale": 0.7})),
    "ties by tensor": (merge.ties, lambda *m: (m, {"keep": 0.3, "scale": 0.7, "scope": "tensor"})),
    "dare": (merge.dare, lambda *m: (m, {"keep": 0.3, "scale": 0.7, "seed": 5})),
    "dare-ties": (
        merge.dare,
        lambda *m: (
            m,
            {"keep": 0.3, "scale": 0.7, "seed": 5, "elect_signs": True, "rescale": False},
        ),
    ),
    "m-ties": (
        merge.m_ties,
        lambda *m: (m, {"rates": RATES, "keep": 0.3, "increment": "weighted"}),
    ),
    "m-ties with biases": (
        merge.m_ties,
        lambda *m: (m, {"rates": RATES, "keep": 0.3, "biases": True}),
    ),
    "m-dare": (
        merge.m_dare,
        lambda *m: (m, {"rates": RATES, "keep": 0.3, "scale": 1.0, "seed": 2}),
    ),
}
every_rule = pytest.mark.parametrize("rule, needs", RULES.values(), ids=RULES)


@every_rule
@pytest.mark.parametrize("slab", [1, 4, 7, 50])
def test_the_size_of_a_slab_changes_no_bit(rule, needs, slab, monkeypatch):
    positional, named = needs(*crowd())
    whole = rule(*positional, **named)
    monkeypatch.setattr(stacks, "SLAB", slab)
    pieces = rule(*positional, **named)
    assert list(whole) == list(pieces) == list(model(0))
    assert all(torch.equal(whole[name], pieces[name]) for name in whole)


@every_rule
def test_a_stream_gives_the_same_tensors_in_the_order_of_the_base(rule, needs):
    positional, named = needs(*crowd())
    whole = rule(*positional, **named)
    for (name, value), expected in zip(rule.stream(*positional, **named), whole, strict=True):
        assert name == expected and torch.equal(value, whole[name])


@every_rule
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_merged_in_single_precision_and_rounded_once(rule, needs, dtype):
    positional, named = needs(*crowd(dtype=dtype))
    base, experts = crowd(dtype=dtype)
    found, (positional, named) = (
        rule(*positional, **named),
        needs(widened(base), [widened(expert) for expert in experts]),
    )
    expected = rule(*positional, **named)
    for name, value in found.items():
        assert (
            torch.equal(value, expected[name].to(value.dtype)) and value.dtype == base[name].dtype
        )


def widened(state):
    return {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }


@every_rule
def test_tensors_that_no_expert_changed_come_back_as_a_copy(rule, needs):
    base, experts = crowd()
    positional, named = needs(base, experts)
    found = rule(*positional, **named)["frozen"]
    torch.testing.assert_close(found, FROZEN)
    found.zero_()
    assert torch.equal(base["frozen"], FROZEN) and torch.equal(experts[0]["frozen"], FROZEN)


@every_rule
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_entries_that_are_no_numbers_are_named(rule, needs, value):
    for guilty in (-1, 1):
        base, experts = crowd()
        ([base] if guilty < 0 else [experts[guilty]])[0]["b.weight"][2, 3] = value
        if rule is merge.average and guilty < 0:
            continue
        positional, named = needs(base, experts)
        name = "base" if guilty < 0 else "expert 1"
        with pytest.raises(
            ValueError, match=f"cannot be merged: b.weight: {name} holds NaN or infinity"
        ):
            rule(*positional, **named)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda b, e: merge.ties.stream(b, e, 0, 1.0), "keep is 0"),
        (lambda b, e: merge.ties.stream(b, e, 0.5, 1.0, "layer"), "scope is 'layer'"),
        (lambda b, e: merge.m_ties.stream(b, e, {"n": torch.ones(13)}, 0.5), "rates name n"),
        (lambda b, e: merge.m_ties.stream(b, e, {}, 0.5, increment="mean"), "increment is 'mean'"),
        (lambda b, e: merge.dare.stream(b, e, 2, 1.0, 0), "keep is 2"),
        (lambda b, e: merge.average.stream(e, [1.0]), "a number from 0 for each of 3 models"),
        (
            lambda b, e: merge.task_arithmetic.stream(b, [{"n": e[0]["n"]}], 1.0),
            "expert 0 lacks a.bias",
        ),
    ],
)
def test_a_stream_refuses_bad_settings_before_its_first_tensor(call, message):
    with pytest.raises(ValueError, match=message):
        call(*crowd())


class Watched(dict):
    """A model that remembers which tensors were read."""

    def __init__(self, *args):
        super().__init__(*args)
        self.read = []

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


def test_a_stream_reads_what_it_needs_for_the_next_tensor_alone():
    base, experts = crowd()
    watched = Watched(experts[0])
    pairs = merge.ties.stream(base, [watched, *experts[1:]], 0.3, 1.0, "tensor")
    watched.read.clear()
    assert next(pairs)[0] == "a.weight" and set(watched.read) == {"a.weight"}


# The threshold

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.0000001, 2.5, 1e-45, -1e-40, 3e38]) | st.floats(
    -1e3, 1e3, width=32
)


@given(
    st.lists(VALUES, min_size=1, max_size=60),
    st.integers(1, 3),
    st.data(),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_the_kth_largest_magnitude_is_that_of_a_sort(values, models, data, dtype):
    stack = torch.tensor(
        [values[i:] + values[:i] if i else values for i in range(models)], dtype=dtype
    )
    stack = stack * torch.tensor([[2.0**-i] for i in range(models)], dtype=dtype)
    k, slab = data.draw(st.integers(1, len(values))), data.draw(st.integers(1, len(values)))
    expected = torch.stack([row.abs().sort(descending=True).values[k - 1] for row in stack])
    few = data.draw(st.integers(0, len(values)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "FEW", few)
        found = thresholds.kth_largest(stack.split(slab, dim=1), k, len(values))
    assert found.dtype == dtype and torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_threshold_of_many_entries_is_exact(dtype, monkeypatch):
    g = torch.Generator().manual_seed(0)
    stack = torch.randn(2, 200_000, generator=g, dtype=dtype) * 1e-3
    stack[1] = (stack[1] * 2000).round() / 2000  # few different values
    ordered = stack.abs().sort(dim=1, descending=True).values
    for few in (0, 3000, 10**6):
        monkeypatch.setattr(thresholds, "FEW", few)
        for k in (1, 2, 1000, 40_000, 199_999, 200_000):
            assert torch.equal(
                thresholds.kth_largest(stack.split(30_000, dim=1), k, 200_000), ordered[:, k - 1]
            )


@pytest.mark.parametrize("hidden", [0.0, 1e-3, 1e3])
def test_a_sample_that_misleads_is_found_out(hidden, monkeypatch):
    monkeypatch.setattr(thresholds, "SAMPLE", 10)
    stack = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    stack[:, ::100] = hidden  # all that the sample sees
    ordered = stack.abs().sort(dim=1, descending=True).values
    for k in (1, 5, 200, 999):
        assert torch.equal(thresholds.kth_largest([stack], k, 1000), ordered[:, k - 1])


def test_a_sample_is_of_task_vectors_with_their_weights():
    base, experts = crowd()
    found = stacks.Stacks(base, experts, [1, 2, 3])
    whole = torch.cat(list(found), 1)
    assert torch.equal(found.sample(1), whole)
    assert found.sample(4).shape[1] == sum(-(-base[n].numel() // 4) for n in found.names)


@given(
    st.lists(st.integers(-3, 3).map(float), min_size=12, max_size=12),
    st.sampled_from([1e-9, 0.1, 0.25, 0.5, 0.75, 1.0]),
)
def test_global_ties_keeps_equal_entries_in_every_tensor(values, keep):
    base = {"w": torch.zeros(2, 4), "v": torch.zeros(4)}
    expert = {"w": torch.tensor(values[:8]).view(2, 4), "v": torch.tensor(values[8:])}
    limit = sorted(map(abs, values), reverse=True)[max(1, round(keep * 12)) - 1]
    found = merge.ties(base, [expert], keep, 1.0)
    kept = torch.cat([found["w"].flatten(), found["v"]]).tolist()
    assert kept == [v if abs(v) >= limit else 0.0 for v in values]


def test_precision_that_differs_between_tensors_is_compared_in_the_widest():
    base = {"w": torch.zeros(3), "v": torch.zeros(3, dtype=torch.float64)}
    expert = {
        "w": torch.tensor([1.0, 2, 3]),
        "v": torch.tensor([2 + 1e-12, 2 - 1e-12, 0], dtype=torch.float64),
    }
    found = merge.ties(base, [expert], 0.5, 1.0)
    assert found["w"].tolist() == [0, 2, 3] and found["v"].tolist() == [2 + 1e-12, 0, 0]


# Draws


@pytest.mark.parametrize("slab", [1, 7, 64])
def test_dropping_by_slabs_draws_what_dropping_at_once_draws(slab, monkeypatch):
    monkeypatch.setattr(stacks, "SLAB", slab)
    g = torch.Generator().manual_seed(1)
    whole = torch.randn(3, 20, 5, generator=g)
    rates = torch.rand(20, 1, generator=g, dtype=torch.float64)
    for keep, tensors in ((0.4, whole.flatten(1)), (rates, whole)):
        stack = stacks.Stack("w", torch.zeros(tensors.shape[1:]), list(tensors))
        found = torch.cat(list(merge.dropped(stack, keep, torch.Generator().manual_seed(7))), dim=1)
        assert torch.equal(found, merge.drop(tensors, keep, torch.Generator().manual_seed(7)))


# Models of different precision


def test_without_being_asked_models_of_different_precision_are_refused():
    base, experts = crowd(2)
    experts[1]["n"] = experts[1]["n"].half()
    with pytest.raises(ValueError, match="n: expert 1 is torch.float16, base is torch.float32"):
        merge.ties(base, experts, 0.5, 1.0)
    base["n"] = torch.arange(13)
    with pytest.raises(ValueError, match="n: expert 0 is torch.float32, base is torch.int64"):
        merge.ties(states.Mixed(base), experts, 0.5, 1.0)


@every_rule
@pytest.mark.parametrize(
    "first, second, wide",
    [
        (torch.float32, torch.float16, torch.float32),
        (torch.float16, torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.float64, torch.float64),
    ],
    ids=str,
)
def test_mixed_models_are_merged_in_the_widest_type_and_rounded_once_to_the_first_ones(
    rule, needs, first, second, wide
):
    """Also within a layer: in one expert, weights and biases have different types."""
    base, experts = model(0, first), [model(i, second) for i in (1, 2, 3)]
    experts[1]["a.bias"] = experts[1]["a.bias"].to(first)
    wider = [
        {n: v.to(wide) if v.is_floating_point() else v for n, v in state.items()}
        for state in (base, *experts)
    ]
    positional, named = needs(wider[0], wider[1:])
    expected = rule(*positional, **named)
    base, experts[0] = states.Mixed(base), states.Mixed(experts[0])
    positional, named = needs(base, experts)
    for name, value in rule(*positional, **named).items():
        like = experts[0][name] if rule is merge.average else base[name]
        assert value.dtype == like.dtype and torch.equal(value, expected[name].to(value.dtype)), (
            name
        )


def test_a_weight_and_its_bias_keep_types_of_their_own():
    base = {"a.weight": torch.zeros(2, 3, dtype=torch.bfloat16), "a.bias": torch.zeros(2)}
    expert = {"a.weight": torch.ones(2, 3, dtype=torch.bfloat16), "a.bias": torch.full((2,), 1 / 3)}
    found = merge.m_ties(base, [expert], {"a.weight": torch.ones(2)}, 1.0, biases=True)
    assert all(
        torch.equal(found[name], expert[name]) and found[name].dtype == expert[name].dtype
        for name in base
    )


# Tied tensors


def tie(state):
    return state | {"twin": state["b.weight"]}


@every_rule
def test_tied_tensors_stay_tied_and_change_nothing_for_the_others(rule, needs):
    base, experts = crowd()
    alone, tied = (
        rule(*p, **n)
        for p, n in (needs(base, experts), needs(tie(base), [tie(expert) for expert in experts]))
    )
    assert all(torch.equal(tied[name], alone[name]) for name in alone) and torch.equal(
        tied["twin"], alone["b.weight"]
    )


def test_rates_belong_to_the_first_of_tied_tensors():
    base, experts = crowd()
    with pytest.raises(
        ValueError, match="rates name twin, which is tied to b.weight; give the rates of that"
    ):
        merge.m_ties(
            tie(base), [tie(expert) for expert in experts], {"twin": RATES["b.weight"]}, 0.5
        )


def test_a_tensor_without_entries_is_trimmed_to_itself():
    assert merge.trim(torch.zeros(2, 0), 0.5).shape == (2, 0)


def test_the_gradient_of_a_trim_is_one_where_it_keeps():
    for stack, keep in (
        (torch.tensor([[3.0, -1, 2]]), 2 / 3),
        (torch.tensor([[[3.0, -1, 2]]]), torch.tensor([2 / 3])),
    ):
        stack.requires_grad_()
        merge.trim(stack, keep).sum().backward()
        assert stack.grad.flatten().tolist() == [1, 0, 1]
