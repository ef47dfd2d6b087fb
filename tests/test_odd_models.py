"""Models and settings that once merged into wrong numbers, or ended in a traceback."""

import pytest
import torch
from safetensors.torch import save_file
from tiny import same

from mergehelpers import checkpoints, merge, shards, specs

G = torch.Generator().manual_seed(0)
W = torch.randn(9, 7, generator=G)
NAN = W.clone()
NAN[0, 0] = torch.nan


def saved(path, content):
    torch.save(content, path)
    return path


# Files of training scripts


@pytest.mark.parametrize("names", [("optimal_model", "last_model"), ("rescaler", "net")])
def test_a_word_inside_a_name_makes_no_optimiser_of_a_model(tmp_path, names):
    path = saved(tmp_path / "x.pt", {name: {"w": W + i} for i, name in enumerate(names)})
    with pytest.raises(ValueError, match=f"x.pt holds several models, {', '.join(names)}"):
        checkpoints.load(path)


@pytest.mark.parametrize(
    "beside", ["optimizer", "optimizer_state_dict", "lr_schedulers", "grad_scaler", "rng", "optim0"]
)
def test_what_training_saves_beside_a_model_is_passed_over(tmp_path, beside):
    path = saved(tmp_path / "x.pt", {"model": {"w": W}, beside: {"w": W + 1}, "epoch": 3})
    same(checkpoints.load(path), {"w": W})


def test_a_vector_beside_the_mapping_may_be_a_weight_and_a_log_is_none(tmp_path):
    with pytest.raises(ValueError, match="it holds 'policy' .dict., 'log_std' .Tensor."):
        checkpoints.load(saved(tmp_path / "x.pt", {"policy": {"w": W}, "log_std": W[0]}))
    logged = {"net": {"w": W}, "train_losses": W[0], "seen": torch.arange(3)}
    same(checkpoints.load(saved(tmp_path / "y.pt", logged)), {"w": W})


@pytest.mark.parametrize(
    "value",
    [torch.arange(6)[::2], W[:, 0], torch.ones(1).expand(4), torch.tensor([True, False] * 3)[::2]],
    ids=["integers", "a column", "expanded", "truth values"],
)
def test_strided_vectors_are_written_as_they_are(tmp_path, value):
    state = {"a": value, "b": W.T}
    shards.write(state.items(), shards.layout(state), tmp_path)
    same(checkpoints.load(tmp_path), state)


# Rules


def test_fisher_is_computed_wider_than_its_fishers_are():
    model = {"w": W.bfloat16()}
    fishers = [{"w": torch.rand(9, 7, generator=G).bfloat16()} for _ in range(2)]
    same(merge.fisher([model, model], fishers), model)
    half = [{"w": (W + i).half()} for i in range(2)]
    none = [{"w": torch.zeros(9, 7).half()}] * 2
    same(merge.fisher(half, none), {"w": (W.half().float() / 2 + (W + 1).half() / 2).half()})


def test_regmean_rounds_once():
    experts = [{"w": torch.randn(9, 7, generator=G).bfloat16()} for _ in range(2)]
    grams = [{"w": (x.T @ x)} for x in torch.randn(2, 20, 7, generator=G)]
    wide = [{"w": e["w"].double()} for e in experts]
    same(merge.regmean(experts, grams), {"w": merge.regmean(wide, grams)["w"].bfloat16()})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_rate_in_half_precision_keeps_the_entries_that_it_says(dtype):
    change = torch.stack([torch.randperm(100_000, generator=G).float() + 1] * 2)
    rate = torch.full((2,), 0.7).to(dtype)
    merged = merge.m_ties({"w": 0 * change}, [{"w": change}], {"w": rate}, 0.2)["w"]
    assert (merged != 0).sum(1).tolist() == [round(rate[0].item() * 100_000)] * 2


def test_a_bias_of_whole_numbers_or_of_other_length_is_no_part_of_a_row():
    for bias in (torch.arange(9), torch.randn(7, generator=G)):
        base = {"c.weight": W, "c.bias": bias}
        expert = {"c.weight": W + 1, "c.bias": bias + 10}
        merged = merge.m_ties(base, [expert], {"c.weight": torch.ones(9)}, 1.0, biases=True)
        moved = 0 if bias.dtype == torch.int64 else 10
        same(merged, {"c.weight": W + 1, "c.bias": bias + moved})


def test_of_weights_that_nearly_vanish_the_ratio_counts():
    base, experts = {"w": 0 * W}, [{"w": W}, {"w": W.flip(0)}]
    same(
        merge.ties(base, experts, 0.5, 1.0, weights=[1e-46, 2e-46]),
        merge.ties(base, experts, 0.5, 1.0, weights=[1, 2]),
    )


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), ()])
def test_knots_leaves_what_is_empty_alone(shape):
    model = {"w": W, "e": torch.zeros(shape)}
    same(merge.knots(model, [model], 0.2, 1.0), model)


def test_knots_merges_tied_tensors_once():
    base = {"a": W, "b": W}
    expert = {"a": W + 1, "b": W + 1}
    merged = merge.knots(base, [expert], 1.0, 1.0)
    assert merged["a"] is merged["b"]


@pytest.mark.parametrize("place", ["base", "expert 0", "expert 1"])
def test_knots_and_fisher_name_the_model_that_holds_no_numbers(place):
    models = {"base": W, "expert 0": W, "expert 1": W} | {place: NAN}
    base, *experts = ({"w": value} for value in models.values())
    message = f"w: {place} holds NaN or infinity"
    with pytest.raises(ValueError, match=message):
        merge.knots(base, experts, 0.2, 1.0)
    if place != "base":
        with pytest.raises(ValueError, match=message):
            merge.fisher(experts, [{"w": torch.ones(9, 7)}] * 2)


def test_a_gram_that_holds_no_numbers_is_named():
    bad = torch.eye(7)
    bad[0, 0] = torch.inf
    with pytest.raises(ValueError, match="the grams of model 1, w, hold NaN or infinity"):
        merge.regmean([{"w": W}] * 2, [{"w": torch.eye(7)}, {"w": bad}])


def test_a_large_whole_number_is_a_number():
    merged = merge.task_arithmetic({"w": 0 * W}, [{"w": W}], scale=10**30)
    same(merged, merge.task_arithmetic({"w": 0 * W}, [{"w": W}], scale=1e30))


def test_rates_of_a_weight_without_rows_are_refused():
    empty = {"w": torch.zeros(0, 5)}
    with pytest.raises(ValueError, match="rates name w, which is no weight with rows"):
        merge.m_ties(empty, [empty], {"w": torch.zeros(0)}, 0.2)


# Specs


def test_a_home_that_is_not_there_is_named(tmp_path):
    (tmp_path / "s.toml").write_text('rule = "average"\nexperts = ["~nosuchuser/x.pt"]\n')
    with pytest.raises(FileNotFoundError, match="~nosuchuser/x.pt: there is no such home folder"):
        specs.read_spec(tmp_path / "s.toml")


def test_a_prefix_that_a_head_hides_is_named(tmp_path):
    save_file({"emb.w": W}, tmp_path / "base.safetensors")
    save_file({"bert.emb.w": W, "classifier.w": W + 1}, tmp_path / "own.safetensors")
    (tmp_path / "s.toml").write_text(
        'rule = "task_arithmetic"\nbase = "base.safetensors"\nexperts = ["own.safetensors"]\n'
        "partial = true\n[settings]\nscale = 1\n"
    )
    with pytest.raises(ValueError, match="own.safetensors has no name of .*; without bert. its"):
        specs.read_spec(tmp_path / "s.toml")


def test_entries_that_do_not_change_are_not_counted_as_kept():
    change = torch.zeros(10, 10)
    change[0] = torch.arange(1.0, 11)
    with merge.arithmetic.counting() as counts:
        merge.ties({"w": 0 * change}, [{"w": change}], 0.5, 1.0)
    assert sum(counts) == 10
