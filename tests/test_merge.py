"""Merging rules against brute force, entry by entry, and a worked example."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergehelpers import merge, states

SIGNED = st.integers(-3, 3).map(float)


def model(seed, **extra):
    g = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 4, generator=g), "b": torch.randn(3, generator=g), **extra}


def close(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def trimmed(values, kept):
    """The `kept` numbers of largest magnitude and those equal to the last of them.

    The others are zero.
    """
    threshold = sorted(map(abs, values), reverse=True)[kept - 1] if kept else math.inf
    return [v if abs(v) >= threshold else 0.0 for v in values]


def elected(column):
    up, down = sum(v for v in column if v > 0), -sum(v for v in column if v < 0)
    return [v if v * (up - down) > 0 else 0.0 for v in column]


def disjoint(column):
    agreeing = [v for v in elected(column) if v]
    return sum(agreeing) / len(agreeing) if agreeing else 0.0


def weighted(column):
    return sum(elected(column)) / len(column)


INCREMENTS = {"disjoint": disjoint, "weighted": weighted}


def brute_ties(base, experts, keep, scale, scope):
    """TIES entry by entry, in plain Python."""
    keys = list(base)
    taus = [{k: (e[k] - base[k]).flatten().tolist() for k in keys} for e in experts]
    for tau in taus:
        for group in [keys] if scope == "global" else [[k] for k in keys]:
            together = [v for k in group for v in tau[k]]
            left = iter(trimmed(together, max(1, round(keep * len(together)))))
            tau |= {k: [next(left) for _ in tau[k]] for k in group}
    merged = {k: [disjoint(column) for column in zip(*(tau[k] for tau in taus))] for k in keys}
    return {
        k: base[k] + scale * torch.tensor(merged[k], dtype=base[k].dtype).view_as(base[k])
        for k in keys
    }


def brute_m_ties(
    base, experts, rates, keep, scale=1.0, increment="disjoint", biases=False, elsewhere="disjoint"
):
    """M-TIES entry by entry.

    A group of cells (tensor, place) is trimmed together, each with its own number to keep.
    """
    groups = []
    for key, rate in rates.items():
        width, bias = base[key][0].numel(), key.replace("weight", "bias")
        for row, share in enumerate(rate.tolist()):
            cells = [(key, row * width + place) for place in range(width)]
            cells += [(bias, row)] if biases and bias in base else []
            groups.append((cells, round(share * len(cells)), increment))
    taken = {key for cells, *_ in groups for key, _ in cells}
    for key, value in base.items():
        if value.is_floating_point() and key not in taken:
            groups.append(
                (
                    [(key, place) for place in range(value.numel())],
                    max(1, round(keep * value.numel())),
                    elsewhere,
                )
            )
    out = {key: value.flatten().tolist() for key, value in base.items()}
    flat = [{key: value.flatten().tolist() for key, value in expert.items()} for expert in experts]
    start = {key: list(values) for key, values in out.items()}
    for cells, kept, how in groups:
        taus = [
            trimmed([expert[key][place] - start[key][place] for key, place in cells], kept)
            for expert in flat
        ]
        for (key, place), column in zip(cells, zip(*taus)):
            out[key][place] += scale * INCREMENTS[how](column)
    return {
        key: torch.tensor(values, dtype=base[key].dtype).view_as(base[key])
        for key, values in out.items()
    }


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.floats(0.05, 1),
    st.sampled_from(("global", "tensor")),
)
def test_ties_agrees_with_plain_python(seed, count, keep, scope):
    base, experts = model(seed), [model(seed + 1 + i) for i in range(count)]
    close(merge.ties(base, experts, keep, 0.7, scope), brute_ties(base, experts, keep, 0.7, scope))


def test_ties_worked_by_hand():
    """Two task vectors (4, -1, 2) and (-1, -3, 3): half keeps two entries of each."""
    base = {"w": torch.zeros(3)}
    experts = [{"w": torch.tensor([4.0, -1, 2])}, {"w": torch.tensor([-1.0, -3, 3])}]
    assert merge.ties(base, experts, 2 / 3, 1.0)["w"].tolist() == [4.0, -3.0, 2.5]


def test_task_arithmetic_at_one_over_q_is_the_average():
    base, experts = model(0), [model(1), model(2), model(3)]
    close(merge.task_arithmetic(base, experts, 1 / 3), merge.average(experts))


def test_one_expert_is_recovered_by_every_rule():
    base, expert = model(0), model(1)
    close(merge.average([expert]), expert)
    close(merge.task_arithmetic(base, [expert], 1.0), expert)
    close(merge.ties(base, [expert], 1.0, 1.0), expert)


def test_weights_move_the_average():
    a, b = model(1), model(2)
    close(merge.average([a, b], [0.25, 0.75]), {key: 0.25 * a[key] + 0.75 * b[key] for key in a})


def test_integer_tensors_keep_the_base():
    base = model(0, steps=torch.tensor(3))
    experts = [model(1, steps=torch.tensor(5)), model(2, steps=torch.tensor(7))]
    for merged in (merge.task_arithmetic(base, experts, 0.5), merge.ties(base, experts, 0.5, 1.0)):
        assert merged["steps"].item() == 3
    assert merge.average([base, *experts])["steps"].item() == 3


def test_inputs_are_left_alone():
    base, experts = model(0), [model(1), model(2)]
    merge.ties(base, experts, 0.2, 1.0)
    merge.task_arithmetic(base, experts, 0.4)
    close(base, model(0))
    close(experts[1], model(2))


@pytest.mark.parametrize(
    ("keep", "scope", "message"),
    [
        (0, "global", "keep is 0; allowed: a number above 0, 1 or less"),
        (1.5, "global", "keep is 1.5"),
        (float("nan"), "global", "keep is nan"),
        (0.5, "layer", "scope is 'layer'; allowed: one of global, tensor"),
    ],
)
def test_settings_out_of_range_are_refused(keep, scope, message):
    with pytest.raises(ValueError, match=message):
        merge.ties(model(0), [model(1)], keep, 1.0, scope)


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [0.2, 0.3, 0.5]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(
        ValueError,
        match="weights are .*; (allowed: a number from 0 for each of 2 models|their sum must be 1)",
    ):
        merge.average([model(0), model(1)], weights)


def test_experts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expert 0 lacks b"):
        merge.ties(model(0), [{"w": torch.zeros(3, 4)}], 0.5, 1.0)


def test_a_merge_of_two_experts_lies_between_their_task_vectors():
    base, a, b = model(0), model(1), model(2)
    merged = states.task_vector(base, merge.average([a, b]))
    assert (
        states.cosine(merged, states.task_vector(base, a))
        > 0
        < states.cosine(merged, states.task_vector(base, b))
    )


# The parts: trim, drop, elect


def stacks(axes):
    """Small whole numbers, so that many magnitudes are equal and many sums are zero."""
    return st.tuples(*[st.integers(1, 4)] * axes).flatmap(
        lambda shape: st.lists(SIGNED, min_size=math.prod(shape), max_size=math.prod(shape)).map(
            lambda v: torch.tensor(v).view(shape)
        )
    )


@given(stacks(2), st.floats(0.01, 1))
def test_trim_keeps_the_largest_of_each_model_and_their_equals(stack, keep):
    kept = max(1, round(keep * stack.shape[1]))
    assert merge.trim(stack, keep).tolist() == [trimmed(values, kept) for values in stack.tolist()]


@given(stacks(3), st.data())
def test_trim_gives_every_row_its_own_rate(stack, data):
    rows, size = stack.shape[1:]
    rates = data.draw(st.lists(st.floats(0, 1), min_size=rows, max_size=rows))
    expected = [
        [trimmed(row, round(rate * size)) for row, rate in zip(each, rates)]
        for each in stack.tolist()
    ]
    assert merge.trim(stack, torch.tensor(rates, dtype=torch.float64)).tolist() == expected


def test_a_rate_of_zero_empties_a_row_and_a_rate_of_one_keeps_it():
    stack = torch.tensor([[[1.0, -2, 3], [1, -2, 3], [2, -2, 1]]])
    found = merge.trim(stack, torch.tensor([0.0, 1.0, 1 / 3]))
    assert found.tolist() == [[[0, 0, 0], [1, -2, 3], [2, -2, 0]]]


def test_one_keep_for_all_never_empties_a_tensor():
    assert merge.trim(torch.tensor([[3.0, -4, 1]]), 0.01).tolist() == [[0, -4, 0]]


@given(stacks(2))
def test_elect_and_the_disjoint_mean_agree_with_plain_python(stack):
    columns = stack.T.tolist()
    assert merge.elect(stack).T.tolist() == [elected(column) for column in columns]
    torch.testing.assert_close(
        merge.disjoint_mean(stack), torch.tensor([disjoint(column) for column in columns])
    )


def test_columns_without_a_sign_merge_to_zero():
    stack = torch.tensor([[2.0, 0, 5, -1], [-2, 0, -3, -2], [0, 0, 0, 0]])
    assert merge.elect(stack).tolist() == [[0, 0, 5, -1], [0, 0, 0, -2], [0, 0, 0, 0]]
    assert merge.disjoint_mean(stack).tolist() == [0, 0, 5, -1.5]


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("rescale", [True, False])
def test_drop_has_the_mean_and_the_variance_of_its_two_values(
    keep, rescale, delta=-0.7, draws=200_000
):
    """Within 4.5 standard errors.

    This is for a value that is 0 or, with probability `keep`, `delta` / `keep`.
    """
    stack = torch.full((1, draws), delta, dtype=torch.float64)
    found = merge.drop(stack, keep, random(), rescale)[0]
    value = delta / keep if rescale else delta
    mean, variance = (
        (delta, delta**2 * (1 - keep) / keep)
        if rescale
        else (keep * delta, delta**2 * keep * (1 - keep))
    )
    fourth = value**4 * keep * (1 - keep) * (keep**3 + (1 - keep) ** 3)
    torch.testing.assert_close(
        found.unique(), torch.tensor([0, value], dtype=torch.float64).sort().values
    )
    assert found.mean().item() == pytest.approx(mean, abs=4.5 * math.sqrt(variance / draws))
    assert found.var().item() == pytest.approx(
        variance, abs=4.5 * math.sqrt((fourth - variance**2) / draws)
    )


def test_drop_divides_each_row_by_its_own_rate(draws=50_000):
    rates = torch.tensor([0.2, 0.5, 1.0])
    found = merge.drop(torch.ones(2, 3, draws), rates.unsqueeze(1), random())
    for row, rate in enumerate(rates.tolist()):
        assert all(
            value in (0, pytest.approx(1 / rate)) for value in found[:, row].unique().tolist()
        )
        error = math.sqrt(rate * (1 - rate) / (2 * draws))
        assert (found[:, row] > 0).float().mean().item() == pytest.approx(
            rate, abs=4.5 * error + 1e-6
        )


def test_the_seed_decides_what_is_dropped():
    stack = torch.ones(2, 500)
    assert torch.equal(merge.drop(stack, 0.5, random(3)), merge.drop(stack, 0.5, random(3)))
    assert not torch.equal(merge.drop(stack, 0.5, random(3)), merge.drop(stack, 0.5, random(4)))
    a, b = merge.drop(stack, 0.5, random(3))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_in_half_precision_keeping_all_drops_nothing(dtype):
    assert (merge.drop(torch.ones(1, 100_000, dtype=dtype), 1.0, random()) == 1).all()


def test_in_double_precision_what_stays_is_divided_in_double_precision():
    assert (
        merge.drop(torch.ones(1, 100, dtype=torch.float64), 0.4, random()).max().item() == 1 / 0.4
    )


# DARE


def test_dare_that_drops_nothing_is_task_arithmetic_or_untrimmed_ties():
    base, experts = (
        model(0, steps=torch.tensor(3)),
        [model(i, steps=torch.tensor(9)) for i in (1, 2, 3)],
    )
    close(merge.dare(base, experts, 1.0, 0.4, seed=5), merge.task_arithmetic(base, experts, 0.4))
    close(
        merge.dare(base, experts, 1.0, 0.4, seed=5, elect_signs=True),
        merge.ties(base, experts, 1.0, 0.4, scope="tensor"),
    )
    assert merge.dare(base, experts, 0.5, 0.4, seed=5)["steps"].item() == 3


@pytest.mark.parametrize("elect_signs", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_every_entry_of_dare_comes_from_some_subset_of_the_experts(
    elect_signs, rescale, keep=0.4, scale=0.5
):
    """Each entry of the increment is what the rule makes of one of the four subsets.

    All four occur.
    """
    g = random(1)
    base, *experts = (
        {"w": torch.randn(20, 30, generator=g, dtype=torch.float64)} for _ in range(3)
    )
    found = (
        merge.dare(base, experts, keep, scale, seed=2, elect_signs=elect_signs, rescale=rescale)[
            "w"
        ]
        - base["w"]
    )
    combine, seen = disjoint if elect_signs else sum, set()
    columns = torch.stack([expert["w"] - base["w"] for expert in experts]).flatten(1).T.tolist()
    for (a, b), entry in zip(columns, found.flatten().tolist()):
        a, b = (a / keep, b / keep) if rescale else (a, b)
        matching = [
            (x, y)
            for x in (0, 1)
            for y in (0, 1)
            if math.isclose(scale * combine([x * a, y * b]), entry, rel_tol=1e-6, abs_tol=1e-12)
        ]
        assert matching
        seen |= {matching[0]}
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_dare_repeats_itself_with_its_seed():
    base, experts = model(0), [model(1), model(2)]
    first = merge.dare(base, experts, 0.5, 1.0, seed=7)
    close(merge.dare(base, experts, 0.5, 1.0, seed=7), first)
    assert not torch.equal(merge.dare(base, experts, 0.5, 1.0, seed=8)["w"], first["w"])


# M-TIES and M-DARE, given their rates


SHAPES = {
    "a.bias": (3,),
    "a.weight": (3, 4),
    "c.weight": (2, 3, 2, 2),
    "c.bias": (2,),
    "d.weight": (4, 2),
    "n.weight": (5,),
}
WEIGHTS = ["a.weight", "c.weight", "d.weight"]


def layered(seed):
    """Layers whose bias comes first, last and not at all, one of them a convolution.

    There are a norm and a counter too.
    """
    g = random(seed)
    drawn = {
        name: torch.randn(shape, generator=g, dtype=torch.float64) for name, shape in SHAPES.items()
    }
    return drawn | {"steps": torch.tensor(seed)}


def crowd(seed, count):
    return layered(seed), [layered(seed + 1 + i) for i in range(count)]


def constant(rate):
    return {name: torch.full((SHAPES[name][0],), rate, dtype=torch.float64) for name in WEIGHTS}


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.floats(0.05, 1),
    st.tuples(*[st.sampled_from(list(INCREMENTS))] * 2),
    st.booleans(),
    st.sets(st.sampled_from(WEIGHTS)),
    st.data(),
)
def test_m_ties_agrees_with_plain_python(seed, count, keep, increments, biases, names, data):
    base, experts = crowd(seed, count)
    rates = {
        name: torch.tensor(
            data.draw(st.tuples(*[st.floats(0, 1)] * SHAPES[name][0])), dtype=torch.float64
        )
        for name in names
    }
    first, elsewhere = increments
    found = merge.m_ties(base, experts, rates, keep, 0.7, first, biases, elsewhere=elsewhere)
    close(found, brute_m_ties(base, experts, rates, keep, 0.7, first, biases, elsewhere))
    assert list(found) == list(base) and found["steps"] is base["steps"]


def test_a_bias_is_trimmed_within_its_row():
    """Half of five entries is two.

    In the first row the bias is one of them, in the second it is not.
    """
    base = {"l.weight": torch.zeros(2, 4), "l.bias": torch.zeros(2)}
    expert = {
        "l.weight": torch.tensor([[4.0, 3, 2, 1], [8, 7, 6, 5]]),
        "l.bias": torch.tensor([3.5, 4]),
    }
    found = merge.m_ties(base, [expert], {"l.weight": torch.tensor([0.4, 0.4])}, 1.0, biases=True)
    assert found["l.weight"].tolist() == [[4, 0, 0, 0], [8, 7, 0, 0]] and found[
        "l.bias"
    ].tolist() == [3.5, 0]
    apart = merge.m_ties(base, [expert], {"l.weight": torch.tensor([0.4, 0.4])}, 0.5, biases=False)
    assert apart["l.weight"].tolist() == [[4, 3, 0, 0], [8, 7, 0, 0]] and apart[
        "l.bias"
    ].tolist() == [0, 4]


@pytest.mark.parametrize("biases", [False, True])
def test_m_ties_without_rates_is_ties_per_tensor(biases):
    base, experts = crowd(0, 3)
    for keep in (0.1, 0.45, 1.0):
        found = merge.m_ties(base, experts, {}, keep, 0.6, biases=biases)
        close(
            found,
            brute_ties(
                {k: v for k, v in base.items() if k != "steps"}, experts, keep, 0.6, "tensor"
            )
            | {"steps": base["steps"]},
        )
        close(found, merge.ties(base, experts, keep, 0.6, scope="tensor"))


def test_constant_rates_trim_row_by_row_which_is_not_ties():
    base, experts = crowd(4, 3)
    found = merge.m_ties(base, experts, constant(0.25), 0.25)
    close(found, brute_m_ties(base, experts, constant(0.25), 0.25))
    assert not torch.equal(
        found["a.weight"], merge.ties(base, experts, 0.25, 1.0, scope="tensor")["a.weight"]
    )
    for expert in experts:
        alone = merge.m_ties(base, [expert], constant(0.25), 0.25)
        assert ((alone["c.weight"] != base["c.weight"]).flatten(1).sum(1) == 3).all()


@pytest.mark.parametrize("increment", INCREMENTS)
def test_the_order_of_the_experts_does_not_matter(increment):
    base, experts = crowd(7, 3)
    first = merge.m_ties(base, experts, constant(0.4), 0.3, 0.8, increment, biases=True)
    for order in permutations(experts):
        close(merge.m_ties(base, order, constant(0.4), 0.3, 0.8, increment, biases=True), first)


@pytest.mark.parametrize("increment", INCREMENTS)
@pytest.mark.parametrize("biases", [False, True])
def test_identical_experts_are_returned(increment, biases):
    base, (expert,) = crowd(11, 1)
    found = merge.m_ties(base, [expert] * 3, constant(1.0), 1.0, increment=increment, biases=biases)
    close(found, expert | {"steps": base["steps"]})


def test_line_22_takes_merging_weights_with_the_sum_one():
    """Two thirds and a third, after an election of the weighted changes, on numbers by hand."""
    base = {"l.weight": torch.zeros(1, 3)}
    experts = [{"l.weight": torch.tensor([[3.0, 3.0, 6.0]])}]
    experts.append({"l.weight": torch.tensor([[6.0, -9.0, -9.0]])})
    rates = {"l.weight": torch.ones(1)}
    for weights in ([2.0, 1.0], [4.0, 2.0]):
        found = merge.m_ties(base, experts, rates, 1.0, increment="weighted", weights=weights)
        assert found["l.weight"].tolist() == [[4.0, -3.0, 4.0]]


def test_increments_differ_by_the_share_of_the_experts_that_agree():
    base = {"l.weight": torch.zeros(1, 2)}
    experts = [{"l.weight": torch.tensor([row])} for row in ([6.0, 3], [-3.0, 3], [3.0, 6])]
    rates = {"l.weight": torch.ones(1)}
    assert merge.m_ties(base, experts, rates, 1.0)["l.weight"].tolist() == [[4.5, 4]]
    assert merge.m_ties(base, experts, rates, 1.0, increment="weighted")["l.weight"].tolist() == [
        [3, 4]
    ]


def test_m_dare_that_drops_nothing_is_untrimmed_ties():
    base, experts = crowd(2, 3)
    found = merge.m_dare(base, experts, constant(1.0), 1.0, 0.6, seed=1)
    close(found, merge.ties(base, experts, 1.0, 0.6, scope="tensor"))


def test_m_dare_drops_each_row_at_its_rate_and_the_rest_at_keep(entries=20_000):
    base = {name: torch.zeros(2, entries) for name in ("a.weight", "b.weight")}
    experts = [{name: torch.ones(2, entries) for name in base}]
    rates = {"a.weight": torch.tensor([0.1, 0.8])}
    found = merge.m_dare(base, experts, rates, 0.5, 1.0, seed=0)
    for values, rate in zip([*found["a.weight"], *found["b.weight"]], [0.1, 0.8, 0.5, 0.5]):
        error = math.sqrt(rate * (1 - rate) / entries)
        torch.testing.assert_close(values.unique(), torch.tensor([0, 1 / rate]))
        assert values.count_nonzero().item() / entries == pytest.approx(rate, abs=4.5 * error)
    close(merge.m_dare(base, experts, rates, 0.5, 1.0, seed=0), found)


@pytest.mark.parametrize("keep, width", [(0.7, 45), (0.14, 75), (0.3, 95)])
def test_one_row_at_the_rate_keep_is_trimmed_as_a_tensor_is(keep, width):
    base, expert = ({"l.weight": torch.randn(1, width, generator=random(seed))} for seed in (0, 1))
    rates = {"l.weight": torch.tensor([keep], dtype=torch.float64)}
    close(merge.m_ties(base, [expert], rates, keep), merge.m_ties(base, [expert], {}, keep))


def test_m_dare_empties_a_row_of_rate_zero():
    base, experts = crowd(2, 2)
    rates = {"a.weight": torch.tensor([0.0, 0.5, 1.0])}
    assert torch.equal(
        merge.m_dare(base, experts, rates, 0.5, 1.0, seed=0)["a.weight"][0], base["a.weight"][0]
    )


@pytest.mark.parametrize(
    "rule",
    [
        lambda *models: merge.ties(*models, 0.5, 1.0, scope="tensor"),
        lambda *models: merge.m_ties(*models, {}, 0.5),
    ],
    ids=["ties", "m_ties"],
)
def test_a_number_without_axes_is_merged_like_a_tensor_of_one_entry(rule):
    base, experts = (
        {"scale": torch.tensor(1.0)},
        [{"scale": torch.tensor(2.0)}, {"scale": torch.tensor(4.0)}],
    )
    assert rule(base, experts)["scale"].item() == 3.0


RULES = {
    "dare": lambda base, experts, keep, rates: merge.dare(base, experts, keep, 1.0, seed=0),
    "m_ties": lambda base, experts, keep, rates: merge.m_ties(base, experts, rates, keep),
    "m_dare": lambda base, experts, keep, rates: merge.m_dare(
        base, experts, rates, keep, 1.0, seed=0
    ),
}


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, math.nan])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_refuses_a_keep_out_of_range(rule, keep):
    base, experts = crowd(0, 2)
    with pytest.raises(ValueError, match=f"keep is {keep!r}; allowed: a number above 0, 1 or less"):
        RULES[rule](base, experts, keep, {})


@pytest.mark.parametrize(
    "name, rate, message",
    [
        ("z.weight", [0.5] * 3, "rates name z.weight, which is no weight with rows of this model"),
        ("n.weight", [0.5] * 5, "rates name n.weight, which is no weight with rows"),
        ("steps", [0.5], "rates name steps, which is no weight with rows"),
        (
            "a.weight",
            [0.5] * 4,
            r"rates of a.weight must be 3 numbers from 0 to 1, got shape \(4,\) from 0.5 to 0.5",
        ),
        ("a.weight", [[0.5]] * 3, r"rates of a.weight must be 3 numbers .* shape \(3, 1\)"),
        ("a.weight", [], r"rates of a.weight must be 3 numbers .* shape \(0,\)"),
        ("a.weight", [0.5, 0.1, -0.25], "rates of a.weight must be 3 numbers .* from -0.25 to 0.5"),
        ("a.weight", [0.5, 0.1, 1.5], "rates of a.weight must be 3 numbers .* from 0.1 to 1.5"),
        ("a.weight", [0.5, math.nan, 1], "rates of a.weight must be 3 numbers"),
    ],
)
@pytest.mark.parametrize("rule", ["m_ties", "m_dare"])
def test_rates_that_do_not_fit_are_refused(rule, name, rate, message):
    base, experts = crowd(0, 2)
    with pytest.raises(ValueError, match=message):
        RULES[rule](base, experts, 0.5, {name: torch.tensor(rate)})


@pytest.mark.parametrize("rule", ["m_ties", "m_dare"])
def test_rates_that_name_an_integer_tensor_are_refused(rule):
    base, experts = crowd(0, 2)
    table = {"table": torch.ones(2, 3, dtype=torch.long)}
    with pytest.raises(
        ValueError, match="rates name table, which is no weight with rows of this model"
    ):
        RULES[rule](
            base | table, [expert | table for expert in experts], 0.5, {"table": torch.ones(2)}
        )


def test_an_unknown_increment_is_refused_with_those_there_are():
    base, experts = crowd(0, 2)
    with pytest.raises(ValueError, match="increment is 'mean'; allowed: one of disjoint, weighted"):
        merge.m_ties(base, experts, {}, 0.5, increment="mean")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_refuses_experts_with_other_keys(rule):
    base, (expert, other) = crowd(0, 2)
    del other["c.bias"]
    with pytest.raises(ValueError, match="expert 1 lacks c.bias"):
        RULES[rule](base, [expert, other], 0.5, {})
    with pytest.raises(ValueError, match="expert 1 has an extra z"):
        RULES[rule](base, [expert, expert | {"z": torch.ones(1)}], 0.5, {})


# Rules with coefficients, and those that weigh entries or fit outputs


def test_combine_with_one_number_an_expert_is_weighted_task_arithmetic():
    base, experts = (
        model(0, steps=torch.tensor(3)),
        [model(i, steps=torch.tensor(i)) for i in (1, 2, 3)],
    )
    found = merge.combine(
        base, merge.vectors_stacked(base, experts), torch.tensor([0.5, -1.0, 2.0])
    )
    expected = {
        key: base[key]
        + 0.5 * (experts[0][key] - base[key])
        - (experts[1][key] - base[key])
        + 2 * (experts[2][key] - base[key])
        for key in ("w", "b")
    }
    close(found, expected | {"steps": torch.tensor(3)})


def test_combine_gives_every_tensor_its_own_numbers():
    base, experts = model(0), [model(1), model(2)]
    found = merge.combine(
        base, merge.vectors_stacked(base, experts), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    )
    close(found, {"w": experts[0]["w"], "b": experts[1]["b"]})


def test_coefficients_that_sum_to_one_combine_the_experts_themselves():
    base, experts = model(0), [model(1), model(2)]
    close(
        merge.combine(base, merge.vectors_stacked(base, experts), torch.tensor([0.3, 0.7])),
        merge.average(experts, [0.3, 0.7]),
    )


def test_the_gradient_of_a_coefficient_is_the_task_vector():
    base, experts = model(0), [model(1), model(2)]
    alpha = torch.tensor([0.3, 0.1], requires_grad=True)
    merge.combine(base, merge.vectors_stacked(base, experts), alpha)["w"].sum().backward()
    torch.testing.assert_close(
        alpha.grad, torch.stack([(e["w"] - base["w"]).sum() for e in experts])
    )


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 3)])
def test_coefficients_of_another_shape_are_refused(shape):
    base = model(0)
    with pytest.raises(
        ValueError, match=r"coefficients have shape \(.*\); allowed: \(2,\) or \(2, 2\)"
    ):
        merge.combine(base, merge.vectors_stacked(base, [model(1), model(2)]), torch.zeros(shape))


def test_fisher_merging_weighs_entry_by_entry():
    models = [{"w": torch.tensor([1.0, 2, 5])}, {"w": torch.tensor([3.0, 6, 7])}]
    fishers = [{"w": torch.tensor([1.0, 0, 0])}, {"w": torch.tensor([3.0, 2, 0])}]
    torch.testing.assert_close(merge.fisher(models, fishers)["w"], torch.tensor([2.5, 6.0, 6.0]))


def test_equal_fishers_average():
    models, same = (
        [model(1), model(2), model(3)],
        {key: torch.ones_like(value) for key, value in model(0).items()},
    )
    close(merge.fisher(models, [same] * 3), merge.average(models))


def regression(seed, rows=30, width=4):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=g, dtype=torch.float64)
    return x, x.T @ x / rows


def test_regmean_is_the_least_squares_fit_to_all_outputs():
    models = [{key: value.double() for key, value in model(seed).items()} for seed in (1, 2)]
    inputs, grams = zip(*(regression(seed) for seed in (5, 6)))
    found = merge.regmean(models, [{"w": gram} for gram in grams], shrink=1.0)
    wanted = torch.cat([x @ m["w"].T for x, m in zip(inputs, models)])
    fit = torch.linalg.lstsq(torch.cat(inputs), wanted).solution.T
    torch.testing.assert_close(found["w"], fit)
    torch.testing.assert_close(found["b"], (models[0]["b"] + models[1]["b"]) / 2)


def test_regmean_with_equal_inputs_or_without_correlations_is_a_mean():
    models, gram = [model(1), model(2)], regression(5)[1].float()
    close(merge.regmean(models, [{"w": gram}] * 2), merge.average(models))
    diagonals = [torch.tensor([1.0, 2, 3, 0]), torch.tensor([3.0, 2, 0, 0])]
    found = merge.regmean(models, [{"w": d.diag()} for d in diagonals])["w"]
    # A direction that no input has keeps the average.
    shares = [[0.25, 0.5, 1, 0.5], [0.75, 0.5, 0, 0.5]]
    torch.testing.assert_close(found, sum(torch.tensor(s) * m["w"] for s, m in zip(shares, models)))


@pytest.mark.parametrize("shrink", [-0.1, 1.1, float("nan")])
def test_regmean_refuses_a_shrink_out_of_range(shrink):
    with pytest.raises(ValueError, match="shrink is"):
        merge.regmean([model(1)], [{}], shrink)


@given(st.integers(0, 1000), st.integers(1, 4))
def test_emr_agrees_with_plain_python(seed, count):
    base, experts = model(seed), [model(seed + 1 + i) for i in range(count)]
    flat = [[v for key in base for v in (e[key] - base[key]).flatten().tolist()] for e in experts]
    shared = []
    for column in zip(*flat):
        total = sum(column)
        shared.append(
            max((abs(v) for v in column if v * total > 0), default=0.0) * (1 if total > 0 else -1)
        )
    for own, found in zip(flat, merge.emr(base, experts)):
        masked = [s if s * v > 0 else 0.0 for s, v in zip(shared, own)]
        scale = sum(map(abs, own)) / sum(map(abs, masked))
        expected = torch.tensor([scale * v for v in masked])
        got = torch.cat([(found[key] - base[key]).flatten() for key in base])
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_emr_of_one_expert_is_that_expert():
    close(merge.emr(model(0), [model(1)])[0], model(1))


def test_lines_scales_by_depth():
    vector = {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(2)}
    found = merge.lines(vector, {"a": 0.0, "b": 0.5, "c": 1.0}, 0.2, 1.0)
    close(found, {"a": torch.full((2,), 0.2), "b": torch.full((2,), 0.6), "c": torch.ones(2)})


# KnOTS


def test_aligned_parts_rebuild_the_task_matrices_in_an_orthonormal_basis():
    stack = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis, parts = merge.align(stack)
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(torch.stack([basis @ part for part in parts]), stack)
    weights = torch.tensor([0.2, -1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(
        basis @ torch.tensordot(weights, parts, 1), torch.tensordot(weights, stack, 1)
    )


def test_knots_without_trimming_of_one_expert_is_that_expert():
    g = torch.Generator().manual_seed(0)
    base = {"w": torch.randn(4, 6, generator=g), "b": torch.randn(4, generator=g)}
    expert = {name: value + torch.randn(value.shape, generator=g) for name, value in base.items()}
    merged = merge.knots(base, [expert], 1.0, 1.0)
    for name in base:
        torch.testing.assert_close(merged[name], expert[name])


def test_knots_elects_signs_in_the_shared_basis():
    """By hand: one number decides for the whole matrix.

    Both changes lie along one direction of outputs.
    """
    base = {"w": torch.zeros(2, 1)}
    direction = torch.tensor([[0.6], [-0.8]])
    merged = merge.knots(base, [{"w": 3 * direction}, {"w": -direction}], 1.0, 1.0)
    torch.testing.assert_close(merged["w"], 3 * direction)
