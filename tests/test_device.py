"""The device helper; the other kinds of device are simulated, so that any machine can run this."""

import math
from types import SimpleNamespace

import pytest
import torch

from mergehelpers import device


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with these devices."""

    def make(*kinds):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return make


@pytest.mark.parametrize(
    "kinds, best", [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")]
)
def test_auto_takes_the_best_there_is(machine, kinds, best):
    machine(*kinds)
    assert device.pick() == device.pick("auto") == torch.device(best)


def test_cpu_can_be_asked_for_on_any_machine(machine):
    machine("cuda", "mps")
    assert device.pick("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_this_machine_lacks_is_refused(machine, name):
    machine()
    with pytest.raises(RuntimeError, match=f"'{name}'.*no {name}; use 'auto' or 'cpu'"):
        device.pick(name)


def test_an_unknown_device_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'gpu'; allowed: auto, cpu, cuda, mps"):
        device.pick("gpu")


def test_only_mps_lacks_float64():
    widths = {name: device.widest_float(name) for name in ("cpu", "cuda", "cuda:1", "mps")}
    assert widths == dict.fromkeys(("cpu", "cuda", "cuda:1"), torch.float64) | {
        "mps": torch.float32
    }
    assert device.widest_float(torch.device("mps")) == torch.float32


@pytest.mark.parametrize("platform, counted", [("linux", 3 * 1024**2), ("darwin", 3 * 1024**3)])
def test_peak_memory_is_in_gigabytes(monkeypatch, platform, counted):
    """Linux counts in KiB, macOS in bytes; 3 GiB are 3.2 GB."""
    monkeypatch.setattr(device.sys, "platform", platform)
    monkeypatch.setattr(
        device.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=counted)
    )
    assert device.peak_memory_gb() == pytest.approx(3.2, rel=0.05)


def test_this_process_has_a_plausible_peak():
    assert 0.05 < device.peak_memory_gb() < 50


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_finite_numbers_of_any_size_are_finite(dtype):
    largest = torch.iinfo if dtype == torch.int64 else torch.finfo
    assert device.all_finite(torch.full((3, 4), largest(dtype).max, dtype=dtype))
    assert device.all_finite(torch.zeros(0, 4, dtype=dtype))


@pytest.mark.parametrize("wild", [[math.nan], [math.inf], [-math.inf], [math.inf, -math.inf]])
def test_one_wild_entry_is_found(wild):
    x = torch.zeros(5, 6)
    x[2, : len(wild)] = torch.tensor(wild)
    assert not device.all_finite(x)
    assert not device.all_finite(x.half().t())
