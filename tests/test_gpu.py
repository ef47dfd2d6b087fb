"""The checks of benchmarks/gpu.py, on each device of this machine; and that they can object."""

import gpu
import pytest
import torch

from mergehelpers import merge, states

THERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
DEVICES = [torch.device(name) for name, there in THERE.items() if there]
MODEL = {"a": torch.randn(6, 5), "b": torch.randn(4), "steps": torch.tensor(3)}


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_a_device_computes_what_the_cpu_does(device):
    rows = [*gpu.rules(device), *gpu.network(device)]
    assert len(rows) >= 2 * len(merge.RULES)
    assert [what for what, found, allowed in rows if not found <= allowed] == []


def test_the_checks_object_to_a_device_that_computes_otherwise(monkeypatch):
    """Here the device rounds what comes to it to ten bits, as TF32 does."""

    def rounded(value, device):
        if isinstance(value, list):
            return [rounded(part, device) for part in value]
        return {
            name: tensor.half().to(tensor) if tensor.is_floating_point() else tensor
            for name, tensor in value.items()
        }

    monkeypatch.setattr(gpu, "moved", rounded)
    there = [row for row in gpu.rules(torch.device("cpu")) if "streamed" not in row[0]]
    assert all(found > allowed for what, found, allowed in there if "knots" not in what)


def test_a_state_that_lacks_a_tensor_is_off_by_infinity():
    assert gpu.off({"a": torch.ones(2)}, {"a": torch.ones(2), "b": torch.ones(2)}) == float("inf")


def test_the_script_writes_its_table(tmp_path, monkeypatch, capsys):
    arguments = "gpu.py --device cpu --models small --experts 2 --images 4 --rounds 1 --out"
    monkeypatch.setattr("sys.argv", [*arguments.split(), str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 0
    (written,) = tmp_path.glob("*.md")
    lines = written.read_text().splitlines()
    assert sum(line.startswith("| M-TIES, paper |") for line in lines) == 1
    assert sum("| yes |" in line for line in lines) >= 2 * len(merge.RULES)


def test_a_difference_ends_the_script_with_its_name(monkeypatch):
    monkeypatch.setattr("sys.argv", "gpu.py --device cpu --experts 1 --images 1 --rounds 1".split())
    monkeypatch.setattr(gpu, "rules", lambda device: [("`ties`", 0.1, 1e-5), ("`dare`", 0.0, 0)])
    monkeypatch.setattr(gpu, "network", lambda device: [])
    with pytest.raises(SystemExit, match="^unlike the CPU: `ties`$"):
        gpu.main()


# A model lent to a device


def test_a_lent_model_is_asked_for_each_tensor_when_it_is_merged(monkeypatch):
    asked = []

    class Watched(states.OnDevice):
        def __getitem__(self, key):
            asked.append(key)
            return super().__getitem__(key)

    base = Watched(MODEL, "cpu")
    pairs = merge.task_arithmetic.stream(base, [Watched(MODEL, "cpu")], scale=1)
    assert not asked
    next(pairs)
    assert set(asked) == {"a"}


def test_a_lent_model_keeps_its_ties():
    tied = {"a": MODEL["a"], "twin": MODEL["a"], "b": MODEL["b"]}
    assert states.tied(states.OnDevice(tied, "cpu")) == [("a", "twin")]
    apart = {name: value.clone() for name, value in tied.items()}
    apart["twin"] += 1
    with pytest.raises(ValueError, match="a and twin are tied in base but differ in expert 0"):
        merge.task_arithmetic(states.OnDevice(tied, "cpu"), [states.OnDevice(apart, "cpu")], 1)


def test_a_lent_model_has_the_names_of_its_source():
    lent = states.OnDevice(MODEL, "cpu")
    assert list(lent) == list(MODEL) and len(lent) == 3
    assert all(torch.equal(lent[name], MODEL[name]) for name in MODEL)
