"""The small device helper: which device, its widest float, a batch that fits, peak memory."""

import resource
import sys
from collections.abc import Callable

import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
CARD = 16  # how many times what fills a processor's cache a card wants at once


def pick(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes cuda, then mps, then cpu.

    Raises `ValueError` for an unknown name and `RuntimeError` for a device this machine lacks.
    """
    if name not in DEVICES:
        raise ValueError(f"device is {name!r}; allowed: {', '.join(DEVICES)}")
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        raise RuntimeError(
            f"device is {name!r}, but this machine has no {name}; use 'auto' or 'cpu'"
        )
    torch.backends.cudnn.allow_tf32 = False  # convolutions as exact as products are by default
    return torch.device(name)


def widest_float(device: torch.device | str) -> torch.dtype:
    """float64, or float32 on mps, which has nothing wider."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def at_once(entries: int, device: torch.device) -> int:
    """How many entries to work on at once, where `entries` stay in a processor's cache.

    A card is idle between small pieces, so that its pieces are larger.
    """
    return entries if device.type == "cpu" else CARD * entries


def all_finite(x: torch.Tensor) -> bool:
    """Whether no entry of `x`, of any shape, is NaN or infinite.

    A sum is finite only if all its terms are, and ten times as fast as a look at each. A sum of
    finite terms can still overflow, so that where it is not finite, each is looked at.
    """
    return bool(x.sum().isfinite()) or bool(x.isfinite().all())


def peak_memory_gb() -> float:
    """Largest resident size of this process so far, in GB (Linux and macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def backing_off(work: Callable[[int], object], batch: int):
    """`work(batch)`, with half the batch each time memory runs out.

    The error passes when one input does not fit.
    """
    while True:
        try:
            return work(batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
