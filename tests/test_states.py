"""State-dict algebra on models of two tensors."""

import math

import pytest
import torch
from safetensors.torch import save_file

from mergehelpers import states


def model(seed, **changes):
    generator = torch.Generator().manual_seed(seed)
    state = {"weight": torch.randn(2, 3, generator=generator), "bias": torch.randn(2, generator=generator)}
    return state | changes


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def test_a_task_vector_leads_from_the_base_to_the_expert():
    base, expert = model(0), model(1)
    same(states.apply(base, states.task_vector(base, expert)), expert)


def test_half_a_task_vector_ends_in_the_middle():
    base, expert = model(0), model(1)
    middle = {key: (base[key] + expert[key]) / 2 for key in base}
    same(states.apply(base, states.task_vector(base, expert), 0.5), middle)


def test_task_vectors_of_two_experts_add_up_in_any_order():
    base, a, b = model(0), model(1), model(2)
    to_a, to_b = states.task_vector(base, a), states.task_vector(base, b)
    same(states.apply(states.apply(base, to_a), to_b), states.apply(states.apply(base, to_b), to_a))


def test_keys_without_a_change_keep_the_base():
    base, expert = model(0), model(1)
    merged = states.apply(base, {"bias": expert["bias"] - base["bias"]})
    same(merged, {"weight": base["weight"], "bias": expert["bias"]})


def test_inputs_are_left_alone():
    base, expert = model(0), model(1)
    states.apply(base, states.task_vector(base, expert), 3.0)
    same(base, model(0))
    same(expert, model(1))


def test_a_task_vector_with_foreign_keys_is_refused():
    with pytest.raises(ValueError, match=r"keys the base lacks: \['extra'\]"):
        states.apply(model(0), {"extra": torch.zeros(1)})


def test_a_task_vector_of_another_shape_is_refused():
    """Broadcasting would otherwise hide it."""
    with pytest.raises(ValueError, match="bias"):
        states.apply(model(0), {"bias": torch.ones(1)})


WRONG = {
    "missing": ({"weight": torch.zeros(2, 3)}, "model 1 lacks bias"),
    "extra": (model(1, head=torch.zeros(1)), "model 1 has an extra head"),
    "shape": (model(1, bias=torch.zeros(3)), r"bias: model 1 has shape \(3,\), model 0 has \(2,\)"),
    "NaN": (model(1, bias=torch.tensor([0, math.nan])), "bias: model 1 holds NaN or infinity"),
    "infinity": (model(1, weight=torch.full((2, 3), math.inf)), "weight: model 1 holds NaN or infinity"),
}


@pytest.mark.parametrize("other, message", WRONG.values(), ids=WRONG)
def test_models_that_do_not_fit_are_named(other, message):
    with pytest.raises(ValueError, match=message):
        states.check_compatible([model(0), other])
    with pytest.raises(ValueError, match=message):
        states.task_vector(model(0), other)


def test_all_problems_come_in_one_error():
    with pytest.raises(ValueError) as caught:
        states.check_compatible([model(0), model(1, bias=torch.zeros(3)), {"bias": torch.tensor([math.nan, 0])}])
    for part in ("bias: model 1 has shape", "bias: model 2 holds NaN", "model 2 lacks weight"):
        assert part in str(caught.value)


def test_the_first_model_is_checked_too():
    with pytest.raises(ValueError, match="bias: model 0 holds NaN"):
        states.check_compatible([model(0, bias=torch.tensor([math.nan, 0])), model(1)])


def test_models_that_fit_are_accepted_and_none_is_not():
    states.check_compatible([model(0), model(1), model(2, ids=torch.arange(2))][:2])
    states.check_compatible([{"ids": torch.arange(2)}] * 2)
    with pytest.raises(ValueError, match="at least one model"):
        states.check_compatible([])


def test_norm_and_cosine_by_hand():
    a = {"w": torch.tensor([[1.0, 2.0], [0.0, 2.0]]), "b": torch.tensor([4.0])}
    b = {"w": torch.tensor([[2.0, 0.0], [5.0, 1.0]]), "b": torch.tensor([-1.0])}
    assert states.norm(a) == pytest.approx(5)
    assert states.cosine(a, b) == pytest.approx((2 + 2 - 4) / 5 / math.sqrt(31))
    assert states.cosine(a, a) == pytest.approx(1)
    assert states.cosine(a, {key: -2 * value for key, value in a.items()}) == pytest.approx(-1)


def test_what_was_saved_is_loaded(tmp_path):
    save_file(model(0), tmp_path / "model.safetensors")
    same(states.load(tmp_path / "model.safetensors"), model(0))
    same(states.load(str(tmp_path / "model.safetensors")), model(0))


@pytest.mark.parametrize("damage", [lambda data: b"not a model", lambda data: data[:-3], lambda data: b""],
                         ids=["other", "cut", "empty"])
def test_a_corrupt_file_is_named(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    save_file(model(0), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="model.safetensors is not a readable safetensors file"):
        states.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file at .*absent.safetensors"):
        states.load(tmp_path / "absent.safetensors")
