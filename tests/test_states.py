"""State-dict algebra on models of two tensors, and what is loaded, saved and refused."""

import math
import resource

import pytest
import torch
from safetensors import safe_open
from tiny import same
from tiny import two_tensors as model

from mergehelpers import checkpoints, states


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


def test_whole_numbers_are_in_no_task_vector_and_keep_the_base():
    base = model(0, ids=torch.arange(3), seen=torch.tensor(True))
    expert = model(1, ids=torch.zeros(3).long(), seen=torch.tensor(False))
    vector = states.task_vector(base, expert)
    assert vector.keys() == {"weight", "bias"}
    same(states.apply(base, vector), expert | {"ids": torch.arange(3), "seen": torch.tensor(True)})


WRONG = {
    "missing": ({"weight": torch.zeros(2, 3)}, "model 1 lacks bias"),
    "extra": (model(1, head=torch.zeros(1)), "model 1 has an extra head"),
    "shape": (model(1, bias=torch.zeros(3)), r"bias: model 1 has shape \(3,\), model 0 has \(2,\)"),
    "dtype": (
        model(1, bias=torch.zeros(2).half()),
        r"bias: model 1 is torch.float16, model 0 is torch.float32",
    ),
    "NaN": (model(1, bias=torch.tensor([0, math.nan])), "bias: model 1 holds NaN or infinity"),
    "infinity": (
        model(1, weight=torch.full((2, 3), math.inf)),
        "weight: model 1 holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("other, message", WRONG.values(), ids=WRONG)
def test_models_that_do_not_fit_are_named(other, message):
    with pytest.raises(ValueError, match=message):
        states.check_compatible([model(0), other])
    with pytest.raises(
        ValueError, match=message.replace("model 1", "expert").replace("model 0", "base")
    ):
        states.task_vector(model(0), other)


def test_all_problems_come_in_one_error():
    shared = torch.ones(4)
    first = model(0, head=torch.ones(1), a=shared, b=shared)
    bad = {
        "base": first,
        "cat": model(1, head=torch.ones(1), bias=torch.zeros(3), a=shared, b=2 * shared),
        "dog": {
            "bias": torch.tensor([math.nan, 0]),
            "head": torch.ones(1).double(),
            "a": shared,
            "b": shared,
            "more": torch.ones(1),
        },
    }
    with pytest.raises(ValueError) as caught:
        states.check_compatible(list(bad.values()), list(bad))
    assert str(caught.value).splitlines() == [
        "these models cannot be merged:",
        "  a and b are tied in base but differ in cat",
        "  bias: cat has shape (3,), base has (2,)",
        "  bias: dog holds NaN or infinity",
        "  dog has an extra more",
        "  dog lacks weight",
        "  head: dog is torch.float64, base is torch.float32",
    ]


def test_tensors_that_are_tied_everywhere_fit():
    a, b = torch.ones(2), torch.zeros(2)
    states.check_compatible([{"in": a, "out": a}, {"in": b, "out": b.clone()}])


def test_tied_names_come_with_the_first_of_their_group():
    a, b = torch.ones(2, 2), torch.zeros(2)
    assert states.tied({"x": a, "y": b, "z": a, "w": a, "row": a[0]}) == [("x", "z"), ("x", "w")]
    assert states.tied({"x": torch.ones(2), "y": torch.ones(2)}) == []


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


def test_tied_and_transposed_tensors_are_saved_as_they_are(tmp_path):
    shared = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    state = {
        "in": shared,
        "out": shared,
        "turned": shared.T,
        "grown": shared[:1].expand(4, 3),
        "learned": torch.nn.Parameter(shared),
    }
    states.save(state, tmp_path / "model.safetensors", {"format": "pt"})
    same(
        checkpoints.load(tmp_path / "model.safetensors"),
        {key: value.detach() for key, value in state.items()},
    )
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_saved_file_may_be_read_by_whoever_may_read_its_neighbours(tmp_path):
    states.save(model(0), tmp_path / "model.safetensors")
    (tmp_path / "neighbour").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (
        tmp_path / "neighbour"
    ).stat().st_mode


@pytest.mark.parametrize("old", [None, model(0)], ids=["new", "old"])
def test_a_write_that_fails_leaves_nothing_behind_and_keeps_the_old_file(tmp_path, old):
    """The limit on the size of a file stands for a full disk."""
    path = tmp_path / "model.safetensors"
    if old:
        states.save(old, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            states.save({"weight": torch.zeros(1000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == ([path] if old else [])
    if old:
        same(checkpoints.load(path), old)


def test_an_interrupted_write_leaves_nothing_behind_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    states.save(model(0), path)

    def interrupted(file, content):
        file.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        states.save(model(1), path)
    assert list(tmp_path.iterdir()) == [path]
    same(checkpoints.load(path), model(0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            [
                "proj",
                "conv1.weight",
                "transformer.resblocks.0.a.weight",
                "transformer.resblocks.2.a.weight",
                "transformer.resblocks.4.mlp.c_fc.weight",
                "ln_post.bias",
            ],
            [1, 0, 0, 0.5, 1, 1],
        ),
        (
            [
                "embeddings.position_embeddings.weight",
                "encoder.layer.0.x.weight",
                "encoder.layer.1.x.weight",
                "pooler.dense.weight",
            ],
            [0, 0, 1, 1],
        ),
        (
            [
                "shared.weight",
                "encoder.block.1.layer.0.w",
                "decoder.block.0.layer.1.w",
                "decoder.block.1.layer.0.w",
            ],
            [0, 1, 0, 1],
        ),
        (["0.weight", "2.weight", "4.weight"], [0, 0.5, 1]),
        (["vision_model.embeddings.patch_embedding.weight", "visual_projection.weight"], [0, 1]),
    ],
)
def test_depths_go_from_the_input_to_the_output(names, expected):
    assert list(states.depths({name: torch.zeros(1) for name in names}).values()) == expected


# Prefixes, and reports of many

PREFIXES = {
    "taken off": (["module.a.b", "module.c"], ["a.b", "c"], ("module.", "")),
    "put before": (["a.b", "c"], ["model.a.b", "model.c", "head"], ("", "model.")),
    "two levels": (["base_model.model.q.w"], ["q.w"], ("base_model.model.", "")),
    "with one of its own": (["module.a", "module.more"], ["a", "b"], ("module.", "")),
    "the same": (["a", "b"], ["a", "b"], ("", "")),
    "some agree": (["a", "m.b"], ["a", "b"], ("", "")),
    "two towers": (["l.w"], ["text.l.w", "image.l.w"], ("", "")),
    "not of all": (["m.a", "m.b", "c"], ["a", "b"], ("", "")),
    "nothing in common": (["a.w"], ["b.v"], ("", "")),
    "no dot": (["xa"], ["a"], ("", "")),
    "nothing": ([], ["a"], ("", "")),
}


@pytest.mark.parametrize("names, wanted, expected", PREFIXES.values(), ids=PREFIXES)
def test_the_one_prefix_that_explains_a_difference(names, wanted, expected):
    assert states.prefix(names, wanted) == expected


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_names_are_brought_to_those_of_the_first_with_a_note(prefix):
    first, other = model(0), {f"{prefix}{key}": value for key, value in model(1).items()}
    found, note = states.named_as(first, other)
    assert note == f"begin with {prefix}, which is left out" and list(found) == list(first)
    same(found, model(1))
    found, note = states.named_as(other, first)
    assert note == f"lack {prefix}, which is put before" and list(found) == list(other)
    same(states.named_as(first, model(1))[0], model(1))
    assert states.named_as(first, model(1))[1] == ""


def test_what_all_names_begin_with():
    assert states.shared_prefix(["m.a.b", "m.a.c"]) == "m.a."
    assert states.shared_prefix(["model.a", "module.a"]) == states.shared_prefix([]) == ""


MANY = {f"layers.{i}.{j}.weight": torch.ones(2, 2) for i in range(28) for j in range(14)}
REPORTS = {
    "prefix": (
        {f"module.{key}": value for key, value in MANY.items()},
        "has names that all begin with module., unlike those of base",
    ),
    "another network": (
        {f"block.{key}x": value for key, value in MANY.items()},
        "lacks layers.0.0.weight, layers.0.1.weight, layers.0.10.weight, … (392 tensors)",
    ),
    "type": (
        {key: value.half() for key, value in MANY.items()},
        "layers.0.10.weight, … (392 tensors): ",
    ),
    "shape": ({key: torch.ones(i + 3) for i, key in enumerate(MANY)}, "389 more tensors: "),
    "NaN": (
        {key: torch.full((2, 2), math.nan) for key in MANY},
        "layers.0.0.weight, layers.0.1.weight, layers.0.10.weight, … (392 tensors): ",
    ),
}


@pytest.mark.parametrize("other, expected", REPORTS.values(), ids=REPORTS)
@pytest.mark.parametrize("count", [1, 8])
def test_a_report_of_thousands_of_differences_is_short_and_names_the_cause(other, expected, count):
    names = ["base", *(f"e{i}" for i in range(count))]
    with pytest.raises(ValueError) as caught:
        states.check_compatible([MANY, *[other] * count], names)
    report = str(caught.value)
    assert expected in report and len(report.splitlines()) <= 5 and len(report) < 600
    assert ("each of e0, e1, e2, … (8 models) " if count == 8 else "e0 ") in report
