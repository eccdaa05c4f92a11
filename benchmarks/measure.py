"""What a comparison consists of: the peers, and the memory that a call needs beyond its input."""

import ctypes
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ecgkern


@dataclass(frozen=True)
class Peer:
    """Somebody else's call that does the work for `records` records.

    A peer too slow for every round has a smaller call to `warm` it up and is timed once.
    """

    call: Callable[[], Any]
    records: int = 1
    warm: Callable[[], Any] | None = None


def use_our_threads():
    """Give torch as many threads as the kernels have."""
    import torch

    torch.set_num_threads(ecgkern.get_num_threads())


def extra_mb(call, small, full):
    """How far call(*full()) raises the peak of the resident memory, in MB (10⁶ bytes), measured in a fresh process.

    call(*small()) comes first: libraries, thread pools and compiled kernels do not count. None where there is no /proc.
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(_growth, (call, small, full))


def _growth(call, small, full):
    use_our_threads()
    call(*small())
    arguments = full()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _resident("VmRSS")
    call(*arguments)
    return max(0, _resident("VmHWM") - before) * 1024 / 1e6


def _resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
