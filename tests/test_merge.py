"""Merging rules against brute force, entry by entry, and a worked example."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergehelpers import merge, states


def model(seed, **extra):
    g = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 4, generator=g), "b": torch.randn(3, generator=g), **extra}


def close(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def brute_ties(base, experts, keep, scale, scope):
    """TIES entry by entry, in plain Python."""
    keys = list(base)
    taus = [{k: (e[k] - base[k]).flatten().tolist() for k in keys} for e in experts]
    for tau in taus:
        for group in [keys] if scope == "global" else [[k] for k in keys]:
            sizes = sorted((abs(v) for k in group for v in tau[k]), reverse=True)
            threshold = sizes[max(1, round(keep * len(sizes))) - 1]
            for k in group:
                tau[k] = [v if abs(v) >= threshold else 0.0 for v in tau[k]]
    out = {}
    for k in keys:
        merged = []
        for column in zip(*(tau[k] for tau in taus)):
            up, down = sum(v for v in column if v > 0), -sum(v for v in column if v < 0)
            kept = [v for v in column if v * (up - down) > 0]
            merged.append(sum(kept) / len(kept) if kept else 0.0)
        out[k] = base[k] + scale * torch.tensor(merged).view_as(base[k])
    return out


@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0.05, 1), st.sampled_from(merge.SCOPES))
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


@pytest.mark.parametrize(("keep", "scope", "message"), [
    (0, "global", "keep is 0; allowed: above 0, at most 1"), (1.5, "global", "keep is 1.5"),
    (float("nan"), "global", "keep is nan"), (0.5, "layer", "scope is 'layer'; allowed: global, tensor")])
def test_settings_out_of_range_are_refused(keep, scope, message):
    with pytest.raises(ValueError, match=message):
        merge.ties(model(0), [model(1)], keep, 1.0, scope)


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [0.2, 0.3, 0.5]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="need one weight for each of 2 models"):
        merge.average([model(0), model(1)], weights)


def test_experts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expert lacks b"):
        merge.ties(model(0), [{"w": torch.zeros(3, 4)}], 0.5, 1.0)


def test_a_merge_of_two_experts_lies_between_their_task_vectors():
    base, a, b = model(0), model(1), model(2)
    merged = states.task_vector(base, merge.average([a, b]))
    assert states.cosine(merged, states.task_vector(base, a)) > 0 < states.cosine(merged, states.task_vector(base, b))
