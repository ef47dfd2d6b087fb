"""Merging from files to files gives what merging in memory gives.

It says what it will do, and leaves nothing half-written.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from mergehelpers import beside, checkpoints, merge, shards, specs, stream

SHAPES = {"ids": None, "a.weight": (5, 3), "a.bias": (5,), "half": (3,), "n": (7, 2), "one": ()}
RATES = {"a.weight": torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])}


def model(seed, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    drawn = {
        name: torch.randn(shape, generator=g).to(dtype)
        for name, shape in SHAPES.items()
        if shape is not None
    }
    return drawn | {
        "ids": torch.arange(3) + seed,
        "half": drawn["half"].half(),
        "flag": torch.tensor([True, False, True]),
    }


def spec(
    folder, rule="ties", settings="keep = 0.4\nscale = 0.7", top="", count=3, base='base = "base"\n'
):
    """A spec beside a base and experts, each in a folder."""
    for i, name in enumerate(["base", *(f"expert{i}" for i in range(count))]):
        if not (folder / name).exists():
            (folder / name).mkdir()
            save_file(model(i), folder / name / "model.safetensors")
    experts = json.dumps([f"expert{i}" for i in range(count)])
    path = folder / "spec.toml"
    path.write_text(f'rule = "{rule}"\n{base}experts = {experts}\n{top}\n[settings]\n{settings}\n')
    return path


def merged(folder, *args, **kwargs):
    stream.run(specs.read_spec(spec(folder, *args, **kwargs)), folder / "out")
    return checkpoints.load(folder / "out")


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (
            found[name].dtype == value.dtype
            and found[name].shape == value.shape
            and torch.equal(found[name], value)
        ), name


BASE, *EXPERTS = (model(i) for i in range(4))
NO_BASE = {"base": ""}


def in_file_order(state):
    """As a safetensors file lists it: wider types first.

    DARE draws for one tensor after the other.
    """
    return {
        name: state[name]
        for name in sorted(state, key=lambda name: (-state[name].element_size(), name))
    }


RULES = {
    "average": ("average", "", NO_BASE, lambda: merge.average(EXPERTS)),
    "weighted": (
        "average",
        "weights = [0.5, 0.25, 0.25]",
        NO_BASE,
        lambda: merge.average(EXPERTS, [0.5, 0.25, 0.25]),
    ),
    "task arithmetic": (
        "task_arithmetic",
        "scale = 0.3",
        {},
        lambda: merge.task_arithmetic(BASE, EXPERTS, 0.3),
    ),
    "ties": ("ties", "keep = 0.3\nscale = 1", {}, lambda: merge.ties(BASE, EXPERTS, 0.3, 1)),
    "by tensor": (
        "ties",
        'keep = 0.3\nscale = 1\nscope = "tensor"',
        {},
        lambda: merge.ties(BASE, EXPERTS, 0.3, 1, "tensor"),
    ),
    "dare": (
        "dare",
        "keep = 0.5\nscale = 0.4\nseed = 3\nelect_signs = true",
        {},
        lambda: merge.dare(in_file_order(BASE), EXPERTS, 0.5, 0.4, 3, True),
    ),
    "plain dare": (
        "dare",
        "keep = 0.5\nscale = 0.4\nseed = 3\nrescale = false",
        {},
        lambda: merge.dare(in_file_order(BASE), EXPERTS, 0.5, 0.4, 3, rescale=False),
    ),
    "m-dare": (
        "m_dare",
        'keep = 0.5\nscale = 0.4\nseed = 3\nrates = "rates.safetensors"',
        {},
        lambda: merge.m_dare(in_file_order(BASE), EXPERTS, RATES, 0.5, 0.4, 3),
    ),
    "m-ties": (
        "m_ties",
        'keep = 0.5\nrates = "rates.safetensors"\nbiases = true\nincrement = "weighted"',
        {},
        lambda: merge.m_ties(BASE, EXPERTS, RATES, 0.5, 1.0, "weighted", True),
    ),
}


@pytest.mark.parametrize("rule, settings, options, expected", RULES.values(), ids=RULES)
def test_every_rule_gives_the_bits_it_gives_in_memory(tmp_path, rule, settings, options, expected):
    save_file(RATES, tmp_path / "rates.safetensors")
    same(merged(tmp_path, rule, settings, **options), expected())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "merge.json",
        "model.safetensors",
    ]


def test_shards_have_an_index_and_the_sizes_that_were_asked_for(tmp_path):
    big = {f"layer{i}": torch.randn(300, 100) + i for i in range(7)} | {"ids": torch.arange(3)}
    for name in ("base", "expert0", "expert1"):
        (tmp_path / name).mkdir()
        save_file(
            {k: v + (name == "expert1") if v.is_floating_point() else v for k, v in big.items()},
            tmp_path / name / "model.safetensors",
        )
    path = spec(tmp_path, "average", "", 'shard = "0.25 MB"', 2, "")
    stream.run(specs.read_spec(path), tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert [file.name for file in files] == [
        f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4)
    ]
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in big.values())
    assert {
        name: load_file(tmp_path / "out" / file)[name].shape
        for name, file in index["weight_map"].items()
    } == {name: value.shape for name, value in big.items()}
    same(
        checkpoints.load(tmp_path / "out"),
        merge.average([checkpoints.load(tmp_path / name) for name in ("expert0", "expert1")]),
    )
    assert all(file.stat().st_size < 250_000 + 1000 for file in files)


def test_transformers_loads_what_was_written(tmp_path):
    from transformers import CLIPModel

    for i, name in enumerate(["base", "expert0", "expert1"]):
        tiny.clip(tmp_path / name, seed=i)
    stream.run(
        specs.read_spec(spec(tmp_path, "task_arithmetic", "scale = 0.5", 'shard = "0.01 MB"', 2)),
        tmp_path / "out",
    )
    loaded = CLIPModel.from_pretrained(tmp_path / "out").state_dict()
    base, *experts = (checkpoints.load(tmp_path / name) for name in ("base", "expert0", "expert1"))
    for name, value in merge.task_arithmetic(base, experts, 0.5).items():
        assert torch.equal(loaded[name], value)
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_models_in_every_kind_of_file_are_merged(tmp_path):
    torch.save(BASE, tmp_path / "base.bin")
    torch.save({"state_dict": EXPERTS[0]}, tmp_path / "expert0.ckpt")
    torch.save(EXPERTS[1], tmp_path / "expert1.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "spec.toml").write_text(
        'rule = "task_arithmetic"\nbase = "base.bin"\nexperts = ["expert0.ckpt", "expert1.pth"]\n'
        "[settings]\nscale = 0.5"
    )
    stream.run(specs.read_spec(tmp_path / "spec.toml"), tmp_path / "out")
    same(
        load_file(tmp_path / "out" / "model.safetensors"),
        merge.task_arithmetic(BASE, EXPERTS[:2], 0.5),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_stays_and_mixed_precision_is_refused_unless_asked_for(tmp_path, dtype):
    for name, state in {
        "base": model(0, dtype),
        "expert0": model(1, dtype),
        "expert1": model(2),
    }.items():
        (tmp_path / name).mkdir()
        save_file(state, tmp_path / name / "model.safetensors")
    found = merged(tmp_path, "task_arithmetic", "scale = 0.5", count=1)
    assert found["n"].dtype == dtype
    same(found, merge.task_arithmetic(model(0, dtype), [model(1, dtype)], 0.5))
    with pytest.raises(ValueError, match=f"n.*: expert1 is torch.float32, base is {dtype}"):
        specs.read_spec(spec(tmp_path, count=2))
    stream.run(specs.read_spec(spec(tmp_path, top="mixed = true", count=2)), tmp_path / "mixed")
    wide = [
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        for state in (model(0, dtype), model(1, dtype), model(2))
    ]
    expected = merge.ties(wide[0], wide[1:], 0.4, 0.7)
    same(
        checkpoints.load(tmp_path / "mixed"),
        {name: value.to(model(0, dtype)[name].dtype) for name, value in expected.items()},
    )


def test_the_record_names_the_spec_the_versions_and_the_hash_of_every_input(tmp_path):
    save_file(RATES, tmp_path / "rates.safetensors")
    merged(tmp_path, "m_ties", 'keep = 0.5\nrates = "rates.safetensors"', count=1)
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["spec"] == {
        "rule": "m_ties",
        "base": "base",
        "experts": ["expert0"],
        "settings": {"keep": 0.5, "rates": "rates.safetensors"},
    }
    files = ["base/model.safetensors", "expert0/model.safetensors", "rates.safetensors"]
    hashed = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in files}
    assert record["sha256"] == hashed
    written = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert record["merged"] == {"model.safetensors": hashlib.sha256(written).hexdigest()}
    assert record["torch"] == torch.__version__ and record["mergehelpers"]


@pytest.mark.parametrize("top", ["partial = true", "partial = true\nmixed = true"])
def test_what_no_expert_has_stays_as_in_the_base_and_counts_for_nothing(tmp_path, top):
    """An expert that is a part of its base, such as a tower of CLIP.

    The threshold is that of the part.
    """
    path = spec(tmp_path, top=top)
    rest = {
        "text.weight": torch.full((40, 2), 3.0),
        "text.ids": torch.arange(4),
        "mask": torch.full((3,), float("-inf")),
    }
    save_file(BASE | rest, tmp_path / "base" / "model.safetensors")
    job = specs.read_spec(path)
    assert "kept     3 tensors of base, as they are" in job.report()
    stream.run(job, tmp_path / "out")
    same(checkpoints.load(tmp_path / "out"), merge.ties(BASE, EXPERTS, 0.4, 0.7) | rest)
    lacking = {name: value for name, value in EXPERTS[1].items() if name != "n"}
    save_file(lacking, tmp_path / "expert1" / "model.safetensors")
    with pytest.raises(ValueError, match="expert1 lacks n"):
        specs.read_spec(path)
    save_file(EXPERTS[1] | {"more": torch.zeros(1)}, tmp_path / "expert1" / "model.safetensors")
    assert "note     left out of expert1: more" in specs.read_spec(path).report()
    lacking = {name: value for name, value in EXPERTS[1].items() if name != "ids"}
    save_file(lacking, tmp_path / "expert1" / "model.safetensors")
    assert "ids" in specs.read_spec(path).rest  # whole numbers that one lacks stay the base's


def test_only_and_except_choose_by_name_what_merges(tmp_path):
    path = spec(tmp_path, "task_arithmetic", "scale = 0.5", 'only = ["a.*"]\nexcept = ["*.bias"]')
    stream.run(specs.read_spec(path), tmp_path / "out")
    merged = merge.task_arithmetic(BASE, EXPERTS, 0.5)
    same(checkpoints.load(tmp_path / "out"), BASE | {"a.weight": merged["a.weight"]})


def test_what_is_tied_is_chosen_together(tmp_path):
    top = 'partial = true\nexcept = ["head"]'
    path = spec(tmp_path, "task_arithmetic", "scale = 0.5", top)
    torch.save(BASE | {"head": BASE["n"]}, tmp_path / "base.bin")
    path.write_text(path.read_text().replace('"base"', '"base.bin"'))
    with pytest.raises(ValueError, match="n and head are tied; only and except must choose both"):
        specs.read_spec(path)


def test_a_pattern_that_no_tensor_has_is_refused(tmp_path):
    path = spec(tmp_path, "task_arithmetic", "scale = 0.5", 'except = ["heads.*"]')
    with pytest.raises(ValueError, match=r"line 4: except names 'heads\.\*', which no tensor has"):
        specs.read_spec(path)


def test_experts_may_have_heads_of_their_own_if_these_are_left_out(tmp_path):
    path = spec(tmp_path, "task_arithmetic", "scale = 0.5", 'except = ["head.*"]')
    for i, expert in enumerate(EXPERTS):
        head = {"head.weight": torch.zeros(2 + i, 3)}
        save_file(expert | head, tmp_path / f"expert{i}" / "model.safetensors")
    stream.run(specs.read_spec(path), tmp_path / "out")
    same(checkpoints.load(tmp_path / "out"), merge.task_arithmetic(BASE, EXPERTS, 0.5))


def test_a_prefix_of_all_names_is_left_out_and_told(tmp_path):
    path = spec(tmp_path)
    wrapped = {f"module.{name}": value for name, value in EXPERTS[1].items()}
    save_file(wrapped, tmp_path / "expert1" / "model.safetensors")
    job = specs.read_spec(path)
    assert "note     all names of expert1 begin with module., which is left out" in job.report()
    stream.run(job, tmp_path / "out")
    same(checkpoints.load(tmp_path / "out"), merge.ties(BASE, EXPERTS, 0.4, 0.7))


def test_another_configuration_is_told_before_the_merge(tmp_path):
    path = spec(tmp_path)
    for name, activation in (("base", "gelu"), ("expert0", "gelu"), ("expert1", "relu")):
        (tmp_path / name / "config.json").write_text(json.dumps({"hidden_act": activation}))
    report = specs.read_spec(path).report()
    assert 'note     config.json of expert1 is not that of base: hidden_act "relu"' in report
    assert "expert0 is not" not in report


def test_torch_has_its_threads_back_after_a_merge(tmp_path):
    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(2)
    job = specs.read_spec(spec(tmp_path))

    def watched():
        seen.append(torch.get_num_threads())
        yield from job.merged()

    (tmp_path / "out").mkdir()
    shards.write(watched(), job.shards, tmp_path / "out")
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert seen == [1] and after == 2


def test_the_end_is_one_line_with_the_hash(tmp_path):
    said = stream.run(specs.read_spec(spec(tmp_path)), tmp_path / "out")
    digest = hashlib.sha256((tmp_path / "out" / "model.safetensors").read_bytes()).hexdigest()
    assert said.startswith("merged   7 tensors") and said.endswith(digest) and "\n" not in said


def test_a_disk_without_room_is_refused_by_the_dry_run_too(tmp_path, monkeypatch):
    job = specs.read_spec(spec(tmp_path))
    usage = beside.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(beside.shutil, "disk_usage", lambda folder: usage)
    for attempt in (stream.check_room, stream.run):
        with pytest.raises(OSError, match="has 0.00 GB free"):
            attempt(job, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kept", ["n", "head"])
@pytest.mark.parametrize("top", ["partial = true", ""])
def test_experts_that_have_one_of_two_tied_names_are_merged_under_both(tmp_path, kept, top):
    """Files of safetensors hold tied weights once: transformers keeps one name, torch another."""
    path = spec(tmp_path, "task_arithmetic", "scale = 0.5", top)
    torch.save(BASE | {"head": BASE["n"]}, tmp_path / "base.bin")
    path.write_text(path.read_text().replace('"base"', '"base.bin"'))
    for i, expert in enumerate(EXPERTS):
        own = {kept if name == "n" else name: value for name, value in expert.items()}
        save_file(own, tmp_path / f"expert{i}" / "model.safetensors")
    job = specs.read_spec(path)
    assert f"note     expert0 has {kept} alone of n, head, tied" in job.report()
    stream.run(job, tmp_path / "out")
    expected = merge.task_arithmetic(BASE, EXPERTS, 0.5)
    same(checkpoints.load(tmp_path / "out"), expected | {"head": expected["n"]})


def test_paths_are_relative_to_the_spec_and_not_to_the_folder_one_is_in(tmp_path, monkeypatch):
    path = spec(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "expert2" in specs.read_spec(path).report()
    (tmp_path / "expert2").rename(elsewhere / "expert2")
    with pytest.raises(
        FileNotFoundError,
        match=f"there is no {tmp_path / 'expert2'}; a model on the Hub is written hub:owner/name",
    ):
        specs.read_spec(path)


# What is refused, before anything is written

BAD = {
    "toml": (lambda f: (f / "spec.toml").write_text("rule = "), "spec.toml is not valid TOML"),
    "rule": (lambda f: spec(f, "tie"), "rule is 'tie'; allowed: average, "),
    "field": (
        lambda f: spec(f, top='shards = "1 GB"'),
        "spec.toml, line 4: unknown field 'shards' in the top level; did you mean 'shard'",
    ),
    "strange field": (
        lambda f: spec(f, top="x = 1"),
        "unknown field 'x' in the top level; allowed: rule, base, experts",
    ),
    "no experts": (lambda f: spec(f, count=0), "experts names no model"),
    "kind": (
        lambda f: spec(f, top="mixed = 1"),
        "mixed in the top level must be true or false, got 1",
    ),
    "no base": (lambda f: spec(f, base=""), "the rule ties needs a base"),
    "a base": (lambda f: spec(f, "average", ""), "the rule average takes no base"),
    "setting": (
        lambda f: spec(f, settings="keep = 0.1\nscale = 1\nkeeps = 3"),
        r"line 8: ties has no setting 'keeps'; did you mean 'keep'",
    ),
    "setting of another rule": (
        lambda f: spec(f, "task_arithmetic", "scale = 1\nseed = 3"),
        "task_arithmetic has no setting 'seed'; allowed: scale",
    ),
    "missing": (lambda f: spec(f, "dare", "scale = 1"), r"line 5: dare lacks the setting 'keep'"),
    "setting's kind": (
        lambda f: spec(f, settings='keep = "0.1"\nscale = 1'),
        "keep is '0.1'; allowed: a number above 0, 1 or less",
    ),
    "not finite": (
        lambda f: spec(f, settings="keep = 0.1\nscale = nan"),
        "scale is nan; allowed: a number",
    ),
    "a truth for a number": (
        lambda f: spec(f, settings="keep = 0.1\nscale = true"),
        "scale is True; allowed: a number",
    ),
    "range": (
        lambda f: spec(f, settings="keep = 1.5\nscale = 1"),
        "keep is 1.5; allowed: a number above 0, 1 or less",
    ),
    "scope": (lambda f: spec(f, settings='keep = 0.5\nscale = 1\nscope = "row"'), "scope is 'row'"),
    "weights": (
        lambda f: spec(f, "average", "weights = [0.5, 0.5]", base=""),
        "a number from 0 for each of 3 models",
    ),
    "a text among weights": (
        lambda f: spec(f, "average", 'weights = ["a"]', base=""),
        r"weights is \['a'\]; allowed: a list of 1 or more, each a number",
    ),
    "shard": (
        lambda f: spec(f, top='shard = "1 kB"'),
        "line 4: shard is '1 kB'; it must be a size such as",
    ),
    "partial": (
        lambda f: spec(f, "average", "", "partial = true", base=""),
        "partial needs a base, and the rule average takes none",
    ),
    "seed": (
        lambda f: spec(f, "dare", f"keep = 0.5\nscale = 1\nseed = {10**30}"),
        "seed is 10.*; allowed: a whole number from 0 to ",
    ),
    "huge": (
        lambda f: spec(f, settings=f"keep = 0.5\nscale = {10**400}"),
        "scale is 1000.*; allowed: a number",
    ),
    "no tensors": (
        lambda f: save_file({}, spec(f).parent / "base" / "model.safetensors"),
        "base holds no tensors",
    ),
    "no shard": (lambda f: spec(f, top='shard = "0 GB"'), "shard is '0 GB'"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_a_bad_spec_is_refused_with_what_is_allowed(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message):
        specs.read_spec(tmp_path / "spec.toml")


def test_models_that_do_not_fit_are_named_as_the_spec_names_them(tmp_path):
    path = spec(tmp_path)
    lacking = model(3)
    del lacking["a.bias"]
    save_file(lacking | {"n": torch.zeros(3)}, tmp_path / "expert2" / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"expert2 lacks a.bias\n  n: expert2 has shape \(3,\), base has \(7, 2\)"
    ):
        specs.read_spec(path)


def test_missing_models_and_rates_are_named(tmp_path, monkeypatch):
    path = spec(tmp_path, "m_ties", 'keep = 0.5\nrates = "rates.safetensors"')
    with pytest.raises(
        FileNotFoundError,
        match="there is no .*rates.safetensors; a model on the Hub is written hub:owner/name",
    ):
        specs.read_spec(path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path.write_text('rule = "average"\nexperts = ["hub:some/model"]')
    with pytest.raises(
        FileNotFoundError,
        match="some/model is not a local folder, and the Hugging Face Hub gave no copy",
    ):
        specs.read_spec(path)


def test_settings_are_refused_before_a_model_is_looked_for(tmp_path):
    (tmp_path / "spec.toml").write_text(
        'rule = "ties"\nbase = "nowhere"\nexperts = ["nowhere"]\n'
        "[settings]\nkeep = 1.5\nscale = 1\n"
    )
    with pytest.raises(
        ValueError, match="spec.toml, line 5: keep is 1.5; allowed: a number above 0, 1 or less"
    ):
        specs.read_spec(tmp_path / "spec.toml")


def test_a_type_that_no_file_of_ours_can_hold_is_named(tmp_path):
    with pytest.raises(ValueError, match="w is torch.float8_e4m3fn; allowed: torch.float64"):
        shards.layout({"w": torch.zeros(3).to(torch.float8_e4m3fn)})


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    for i in (1, 2):
        save_file({"w": torch.zeros(1)}, tmp_path / f"{i}.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"w": "1.safetensors", "v": "2.safetensors"}}'
    )
    with pytest.raises(
        ValueError, match="2.safetensors has w, and so has another file of this model"
    ):
        checkpoints.load(tmp_path)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("out"))


@pytest.mark.parametrize(
    "name, made, message",
    [
        ("out", "out", "out exists; give the name"),
        ("out", "out.part", "out.part exists: another merge writes it"),
        ("deep/out", "other", "deep is no folder, so out cannot be made in it"),
    ],
)
def test_what_exists_is_left_alone_and_no_folder_is_made_for_the_folder(
    tmp_path, name, made, message
):
    job = specs.read_spec(spec(tmp_path))
    (tmp_path / made).mkdir()
    (tmp_path / made / "mine").touch()
    with pytest.raises(OSError, match=message):
        stream.run(job, tmp_path / name)
    assert [path.name for path in (tmp_path / made).iterdir()] == ["mine"] and left(tmp_path) in (
        [made],
        [],
    )
    assert not (tmp_path / "deep").exists()


def test_values_that_are_no_numbers_are_named_and_nothing_is_left(tmp_path):
    path = spec(tmp_path)
    save_file(
        model(3) | {"n": torch.full((7, 2), float("nan"))},
        tmp_path / "expert2" / "model.safetensors",
    )
    with pytest.raises(ValueError, match="n: expert2 holds NaN or infinity"):
        stream.run(specs.read_spec(path), tmp_path / "out")
    assert not left(tmp_path)


def test_a_merge_that_overflows_half_precision_is_refused(tmp_path):
    path = spec(tmp_path, "task_arithmetic", "scale = 1000000")
    with pytest.raises(ValueError, match="half: merged values do not fit torch.float16"):
        stream.run(specs.read_spec(path), tmp_path / "out")
    assert not left(tmp_path)


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    job = specs.read_spec(spec(tmp_path))

    def interrupted(file):
        assert (tmp_path / "out.part" / "model.safetensors").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "sha256", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream.run(job, tmp_path / "out")
    assert not left(tmp_path)


def test_a_second_interrupt_waits_until_nothing_is_left(tmp_path, monkeypatch):
    job, remove = specs.read_spec(spec(tmp_path)), stream.shutil.rmtree

    def interrupted(*args):
        raise KeyboardInterrupt

    def disturbed(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        remove(*args, **kwargs)

    monkeypatch.setattr(stream, "sha256", interrupted)
    monkeypatch.setattr(stream.shutil, "rmtree", disturbed)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stream.run(job, tmp_path / "out")
    assert not left(tmp_path) and signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("name", ["checkpoint.ckpt", "run.pt", "weights.bin"])
def test_a_folder_may_be_named_as_a_file_is(tmp_path, name):
    path = spec(tmp_path)
    (tmp_path / "base").rename(tmp_path / name)
    (tmp_path / name / "config.json").write_text("{}")
    path.write_text(path.read_text().replace('"base"', f'"{name}"'))
    stream.run(specs.read_spec(path), tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


# The command


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mergehelpers", "merge", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )


def test_the_command_reports_merges_and_refuses(tmp_path):
    path = spec(tmp_path)
    dry = command(path, tmp_path / "out", "--dry-run")
    assert dry.returncode == 0 and not left(tmp_path)
    for line in (
        "rule     ties keep = 0.4, scale = 0.7",
        "expert   expert2",
        "tensors  7, of which 5 merge: 38 entries, float16, float32",
        "in 4 files",
        "memory",
    ):
        assert line in dry.stdout
    assert command(path, tmp_path / "out").returncode == 0
    same(checkpoints.load(tmp_path / "out"), merge.ties(BASE, EXPERTS, 0.4, 0.7))
    for dry in ([], ["--dry-run"]):
        again = command(path, tmp_path / "out", *dry)
        assert (
            again.returncode == 1
            and again.stderr.startswith("FileExistsError: ")
            and "Traceback" not in again.stderr
        )


@pytest.mark.parametrize(
    "rule, settings, share",
    [
        ("ties", "keep = 0.4\nscale = 0.7", "40.0%"),
        ("ties", "keep = 0.4\nscale = 0.7\nscope = 'tensor'", "40.0%"),
        ("breadcrumbs", "keep = 0.4\nscale = 0.7\noutliers = 0.1", "40.0%"),
        ("knots", "keep = 0.4\nscale = 0.7", "40.0%"),
        ("task_arithmetic", "scale = 0.7", None),
        ("dare", "keep = 0.4\nscale = 0.7\nseed = 0", None),
    ],
)
def test_the_last_line_tells_what_a_trim_kept(tmp_path, rule, settings, share):
    for i, name in enumerate(["base", "expert0", "expert1", "expert2"]):
        (tmp_path / name).mkdir()
        own = {"a": torch.randn(20, 10, generator=torch.Generator().manual_seed(i))}
        save_file(own | {"steps": torch.tensor([1, 2])}, tmp_path / name / "model.safetensors")
    said = stream.run(specs.read_spec(spec(tmp_path, rule, settings)), tmp_path / "out")
    assert (f"a trim kept {share} of the changes; " in said) if share else "kept" not in said


def test_of_equal_changes_more_are_kept_than_was_asked_and_that_is_told(tmp_path):
    """Two of twenty entries were asked for; four are as large as the second."""
    change = torch.tensor([5.0, 3, 3, 3, 1, 1, 1, 1, 1, 1])
    for i, name in enumerate(["base", "expert0", "expert1"]):
        (tmp_path / name).mkdir()
        state = {"a": change * bool(i), "frozen": torch.ones(10)}
        save_file(state, tmp_path / name / "model.safetensors")
    path = spec(tmp_path, settings="keep = 0.1\nscale = 1", count=2)
    said = stream.run(specs.read_spec(path), tmp_path / "out")
    assert "a trim kept 20.0% of the changes; " in said


WATCH = """
import sys, threading
from mergehelpers import specs, stream

def anonymous():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3

job = specs.read_spec(sys.argv[1])
before, peak, done = anonymous(), [0], threading.Event()

def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], anonymous())

thread = threading.Thread(target=watch, daemon=True)
thread.start()
stream.run(job, sys.argv[2])
done.set()
thread.join()
print(before, peak[0], job.memory() / 1e6)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's memory counters")
@pytest.mark.parametrize(
    "rule, settings, tensors",
    [("ties", "keep = 0.2\nscale = 1", 3), ("dare", "keep = 0.2\nscale = 1\nseed = 0", 1)],
)
def test_memory_does_not_grow_with_the_models_and_stays_within_the_estimate(
    tmp_path, rule, settings, tensors, count=8
):
    """Nine models of 96 MB are merged within the memory of two of their tensors.

    Memory of draws or of a selection comes on top.
    """
    entries = 24_000_000 // tensors
    for i, name in enumerate(["base", *(f"expert{i}" for i in range(count))]):
        (tmp_path / name).mkdir()
        g = torch.Generator().manual_seed(i)
        save_file(
            {f"w{j}": torch.randn(entries, generator=g) for j in range(tensors)},
            tmp_path / name / "model.safetensors",
        )
    path = spec(tmp_path, rule, settings, count=count)
    run = subprocess.run(
        [sys.executable, "-c", WATCH, path, tmp_path / "out"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    before, peak, estimate = map(float, run.stdout.split())
    assert peak - before < 2 * 4e-6 * entries + (
        count * 1e-6 * entries if rule == "dare" else 9 * 4e-6 * 2**22
    )
    assert estimate / 2 < peak < estimate


SLOWLY = """
import time
from mergehelpers import __main__, specs

merged = specs.Job.merged

def slowly(job):
    pairs = merged(job)
    yield next(pairs)
    print("begun", flush=True)
    time.sleep(60)

specs.Job.merged = slowly
__main__.main()
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_with_one_line_and_nothing_on_disk(tmp_path, sent):
    started = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, "merge", spec(tmp_path), tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background with some signals ignored.
        preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL),
    )
    while (line := started.stdout.readline()) and line != "begun\n":
        pass
    assert (tmp_path / "out.part").exists()
    started.send_signal(sent)
    _, stderr = started.communicate(timeout=30)
    assert (
        started.returncode == 1
        and "interrupted; nothing was written" in stderr
        and "Traceback" not in stderr
    )
    assert not left(tmp_path)
