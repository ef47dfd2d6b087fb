"""What holds for every merging rule of the registry: the tests that a new rule is under at once.

Settings are each rule's own examples. A setting that comes from a file of tensors is made by
`FROM_FILES`; a rule with a setting that is not there must say here how to make one.
"""

import json
import math
import re

import pytest
import torch
from safetensors.torch import save_file

from mergehelpers import checkpoints, merge, specs, stream
from mergehelpers.merge import stacks
from mergehelpers.merge.registry import Float, Tensors, rule, table

SHAPES = {"a.weight": (6, 5), "a.bias": (6,), "b.weight": (4, 6), "one": (), "none": (0,)}
RULES = pytest.mark.parametrize("found", merge.RULES.values(), ids=merge.RULES)
TYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


def model(seed, dtype=torch.float32, size=0.1):
    """A base (seed 0) or an expert near it, with an integer tensor."""
    drawn = {}
    for name, shape in SHAPES.items():
        first, own = (torch.Generator().manual_seed(1000 * s + len(name)) for s in (0, seed))
        value = torch.randn(shape, generator=first)
        drawn[name] = (value + size * torch.randn(shape, generator=own) * bool(seed)).to(dtype)
    return drawn | {"steps": torch.tensor([seed, 7])}


def gram(name, seed):
    x = torch.randn(20, SHAPES[name][1], generator=torch.Generator().manual_seed(seed))
    return x.T @ x


FROM_FILES = {
    "rates": lambda q: {"a.weight": torch.linspace(0.1, 1, 6)},
    "fishers": lambda q: [
        {n: v.float().square() for n, v in model(50 + i).items() if v.is_floating_point()}
        for i in range(q)
    ],
    "grams": lambda q: [
        {name: gram(name, i) for name in ("a.weight", "b.weight")} for i in range(q)
    ],
}


def settings(found, q):
    """A value for each setting that a rule needs."""
    return {
        name: FROM_FILES[name](q) if isinstance(s.kind, Tensors) else s.example
        for name, s in found.settings.items()
        if s.default is ...
    }


def crowd(found, q=3, dtype=torch.float32):
    """The models and the settings for a rule."""
    q = found.count or q
    experts = [model(1 + i, dtype) for i in range(q)]
    return ([model(0, dtype), experts] if found.needs_base else [experts]), settings(found, q)


def each(found, given, part):
    """Settings of which those with one value for every expert are cut or turned."""
    kinds = {name: found.settings[name].kind for name in given}
    per_expert = {n for n, kind in kinds.items() if isinstance(kind, Tensors) and kind.each}
    return {n: value[part] if n in per_expert else value for n, value in given.items()}


def close(a, b, tolerance=1e-5):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance, msg=name)


@RULES
def test_names_types_and_shapes_stay_and_no_model_changes(found):
    models, given = crowd(found)
    before = [{n: v.clone() for n, v in m.items()} for m in models[-1]]
    merged = found(*models, **given)
    first = models[0] if found.needs_base else models[0][0]
    assert {n: (v.dtype, v.shape) for n, v in merged.items()} == {
        n: (v.dtype, v.shape) for n, v in first.items()
    }
    assert all(v.isfinite().all() for v in merged.values())
    for old, new in zip(before, models[-1]):
        assert all(torch.equal(old[n], new[n]) for n in old)


@RULES
def test_integers_are_the_first_models(found):
    models, given = crowd(found)
    first = models[0] if found.needs_base else models[0][0]
    assert torch.equal(found(*models, **given)["steps"], first["steps"])


@RULES
def test_one_model_is_merged_where_a_rule_takes_one(found):
    models, given = crowd(found, q=1)
    if found.count is None:
        assert found(*models, **given).keys() == model(0).keys()
    else:
        with pytest.raises(ValueError, match=f"{found.name} merges {found.count} models, got 1"):
            found(*models[:-1], models[-1][:1], **given)


@RULES
def test_equal_models_merge_to_themselves(found):
    models, given = crowd(found)
    same = models[-1][0] | {"steps": torch.tensor([0, 7])}
    models = ([same] if found.needs_base else []) + [[same] * len(models[-1])]
    close(found(*models, **given), same)


@RULES
def test_the_order_of_models_matters_only_where_the_rule_says_so(found):
    models, given = crowd(found)
    turned = each(found, given, slice(None, None, -1))
    plain = [m | {"steps": torch.tensor([0, 7])} for m in models[-1]]
    one = found(*models[:-1], plain, **given)
    other = found(*models[:-1], plain[::-1], **turned)
    if found.ordered:
        assert any(not torch.equal(one[name], other[name]) for name in one)
    else:
        close(one, other)


@RULES
def test_small_slabs_give_what_large_ones_give(found, monkeypatch):
    models, given = crowd(found)
    whole = found(*models, **given)
    monkeypatch.setattr(stacks, "SLAB", 4)
    close(found(*models, **given), whole, 1e-6)


@TYPES
@RULES
def test_half_precision_is_computed_wider_and_rounded_once(found, dtype):
    models, given = crowd(found, dtype=dtype)
    merged = found(*models, **given)

    def wide(m):
        return {n: v.float() if v.is_floating_point() else v for n, v in m.items()}

    models = [[wide(m) for m in part] if isinstance(part, list) else wide(part) for part in models]
    expected = found(*models, **given)
    for name, value in merged.items():
        assert value.dtype == (dtype if value.is_floating_point() else torch.int64)
        step = torch.finfo(dtype).eps if value.is_floating_point() else 0
        apart = (value.double() - expected[name].double()).abs()
        assert (apart <= 1.01 * step * expected[name].double().abs().clamp(min=1e-4)).all(), name


@RULES
def test_weights_that_are_equal_change_nothing_and_a_zero_leaves_a_model_out(found):
    if "weights" not in found.settings:
        pytest.skip("the rule takes no weights")
    models, given = crowd(found)
    q = len(models[-1])
    share = 1 / q if found.name == "average" else 1.0
    close(found(*models, **given, weights=[share] * q), found(*models, **given))
    if found.ordered or found.name == "m_ties":
        return  # draws of the model that is left out; the mean of `weighted` counts it
    fewer = each(found, given, slice(-1))
    share = 1 / (q - 1) if found.name == "average" else 1.0
    left = found(*models, **given, weights=[share] * (q - 1) + [0])
    close(left, found(*models[:-1], models[-1][:-1], **fewer))


@RULES
def test_files_merge_to_the_bits_of_memory(found, tmp_path):
    models, given = crowd(found)
    named = dict(zip(["base", *"012"] if found.needs_base else "012", [*models[:-1], *models[-1]]))
    for name, state in named.items():
        save_file(state, tmp_path / f"{name}.safetensors")
    lines = [f"rule = {found.name!r}"]
    lines += ["base = 'base.safetensors'"] * found.needs_base
    lines += [f"experts = {[f'{n}.safetensors' for n in named if n != 'base']}", "[settings]"]
    for name, value in given.items():
        parts = value if isinstance(value, list) else [value]
        if isinstance(found.settings[name].kind, Tensors):
            files = [f"{name}{i}.safetensors" for i in range(len(parts))]
            for file, tensors in zip(files, parts):
                save_file(tensors, tmp_path / file)
            value = files if found.settings[name].kind.each else files[0]
        lines.append(f"{name} = {json.dumps(value)}")
    (tmp_path / "spec.toml").write_text("\n".join(lines))
    stream.run(specs.read_spec(tmp_path / "spec.toml"), tmp_path / "out")
    merged = checkpoints.load(tmp_path / "out")
    order = checkpoints.load(
        tmp_path / ("base.safetensors" if found.needs_base else "0.safetensors")
    )
    models = [{n: models[0][n] for n in order}, models[1]] if found.needs_base else models
    if not found.needs_base:
        models = [[{n: m[n] for n in order} for m in models[0]]]
    expected = found(*models, **given)
    assert merged.keys() == expected.keys()
    assert all(torch.equal(merged[n], expected[n]) for n in merged)


BAD = {
    float: ["0.1", math.nan, None, True],
    int: [0.5, -1, "1"],
    str: ["no such", 3],
    bool: [1, "yes"],
}


@RULES
def test_a_setting_that_is_unknown_missing_or_bad_is_one_clear_error(found):
    models, given = crowd(found)
    with pytest.raises(ValueError, match=f"{found.name} has no setting 'sede'; .*allowed: "):
        found.check(given | {"sede": 1})
    for name, setting in found.settings.items():
        if setting.default is ...:
            rest = {k: v for k, v in given.items() if k != name}
            with pytest.raises((ValueError), match=f"{found.name} lacks the setting '{name}': "):
                found(*models, **rest)
        for value in [*BAD.get(type(setting.example), ["text", 3]), object()]:
            if value is None and setting.default is None:
                continue
            with pytest.raises(
                ValueError, match=rf"{name} is .*; allowed: {re.escape(str(setting.kind))}"
            ):
                found(*models, **given | {name: value})


@RULES
def test_a_rule_names_its_source_and_stands_in_the_table(found):
    assert re.search(r"\(.*\d{4}.*\)", found.__doc__), "who published it, and when?"
    assert f"| `{found.name}` | " in table(merge.RULES)
    assert all(
        f"| `{name}` | {s.kind} |" in table(merge.RULES) for name, s in found.settings.items()
    )


def test_a_rule_takes_its_models_first():
    with pytest.raises(TypeError, match="the rule odd must take experts first"):

        @rule()
        def odd(scale: float, experts):
            pass


# ------------------------------------------------------------- rules against others, written apart


def breadcrumbs(base, experts, keep, outliers, scale):
    """By a sort of each tensor."""
    out = dict(base)
    for name, value in base.items():
        if value.is_floating_point() and value.numel():
            total = torch.zeros(value.numel())
            for expert in experts:
                tau = (expert[name] - value).flatten()
                order = tau.abs().argsort(descending=True)
                top = round(outliers * len(tau))
                chosen = order[top : top + max(1, round(keep * len(tau)))]
                total[chosen] += tau[chosen]
            out[name] = value + scale * total.view_as(value)
    return out


@pytest.mark.parametrize("keep, outliers", [(0.2, 0.1), (0.5, 0.0), (0.9, 0.3), (1.0, 0.0)])
def test_breadcrumbs_is_a_sort_without_both_ends(keep, outliers):
    base, experts = model(0), [model(i) for i in (1, 2, 3)]
    ours = merge.breadcrumbs(base, experts, keep, outliers, 0.7)
    close(ours, breadcrumbs(base, experts, keep, outliers, 0.7))


def test_breadcrumbs_without_outliers_is_a_trimmed_sum():
    base, experts = {"w": torch.zeros(4)}, [{"w": torch.tensor([1.0, -3.0, 2.0, 0.5])}]
    assert merge.breadcrumbs(base, experts, 0.5, 0.0, 1.0)["w"].tolist() == [0, -3, 2, 0]
    assert merge.breadcrumbs(base, experts, 0.5, 0.25, 1.0)["w"].tolist() == [1, 0, 2, 0]


def test_slerp_turns_by_a_part_of_the_angle_and_keeps_the_length():
    a, b = {"w": torch.tensor([2.0, 0.0])}, {"w": torch.tensor([0.0, 2.0])}
    for t in (0.0, 0.3, 0.5, 1.0):
        found = merge.slerp([a, b], t)["w"]
        expected = 2 * torch.tensor([math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)])
        torch.testing.assert_close(found, expected)


def test_slerp_in_many_dimensions_is_a_rotation():
    """Against a rotation in the plane of the two vectors, by the matrix exponential."""
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 7, generator=g, dtype=torch.float64)
    a, b = a / a.norm(), b / b.norm()
    plane = torch.outer(b, a) - torch.outer(a, b)
    angle = torch.acos(a @ b)
    turned = torch.linalg.matrix_exp(0.3 * angle / torch.sin(angle) * plane) @ a
    torch.testing.assert_close(merge.slerp([{"w": a}, {"w": b}], 0.3)["w"], turned)


@pytest.mark.parametrize("other", [[0.0, 0.0], [3.0, 0.0], [-1.0, 0.0]])
def test_slerp_is_the_line_where_there_is_no_arc(other):
    a, b = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor(other)}
    torch.testing.assert_close(merge.slerp([a, b], 0.25)["w"], 0.75 * a["w"] + 0.25 * b["w"])


def test_weights_count_before_signs_are_elected():
    """By hand: 3 × (+1) against 1 × (-2): the weighted sum is +1, so the sign is plus."""
    base, experts = {"w": torch.zeros(1)}, [{"w": torch.ones(1)}, {"w": torch.full((1,), -2.0)}]
    assert merge.ties(base, experts, 1.0, 1.0)["w"].item() == -2
    assert merge.ties(base, experts, 1.0, 1.0, weights=[3, 1])["w"].item() == 1


def test_a_weighted_disjoint_mean_divides_by_the_weights_that_agree():
    base = {"w": torch.zeros(1)}
    experts = [{"w": torch.tensor([v])} for v in (1.0, 4.0, -1.0)]
    found = merge.ties(base, experts, 1.0, 1.0, weights=[2, 1, 1])["w"].item()
    assert found == pytest.approx((2 * 1 + 1 * 4) / 3)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0, 0.0], [1.0, -1.0, 1.0], [1, 1, math.nan]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="weights (is|are) .*; allowed: "):
        merge.task_arithmetic(model(0), [model(i) for i in (1, 2, 3)], 0.3, weights)


def test_a_number_is_a_number_whatever_its_type():
    import numpy as np

    merge.ties(model(0), [model(1)], np.float32(0.5), np.float64(1))
    assert Float(above=0).check(np.float32(0.5)) is None
