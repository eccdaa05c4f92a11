"""What a comparison consists of: the peers, and the memory that a call needs beyond its input."""

import ctypes
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import ecgkern

# Those that compute on the host, and are worth a time.
BACKENDS = [name for name in ("fortran", "numba") if ecgkern.backends()[name].available]


@dataclass(frozen=True)
class Peer:
    """Somebody else's call that does the work for `records` records.

    A peer too slow for every round has a smaller call to `warm` it up and is timed once. The call of one that is
    `timed` returns its own seconds and then its result.
    """

    call: Callable[[], Any]
    records: float = 1
    warm: Callable[[], Any] | None = None
    timed: bool = False


def use_our_threads():
    """Give torch as many threads as the kernels have."""
    import torch

    torch.set_num_threads(ecgkern.get_num_threads())


def process_with(variables):
    """A pool of one process with variables of its own in the environment: malloc reads its settings at the start."""
    with mock.patch.dict(os.environ, variables):
        return multiprocessing.get_context("spawn").Pool(1, use_our_threads)


def peer_in(process, prepare, *arguments):
    """A peer whose call, prepare(*arguments), is prepared, made and timed in another process."""
    return Peer(lambda: process.apply(_timed, (prepare, arguments)), timed=True)


def _timed(prepare, arguments):
    call = prepare(*arguments)
    time.sleep(0.01)  # OpenMP threads of whoever was timed before spin for a while
    call()  # as warm as ours
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def extra_mb(call, small, full, variables=()):
    """How far call(*full()) raises the peak of the resident memory, in MB (10⁶ bytes), measured in a fresh process.

    `variables`: of its environment. call(*small()) comes first: libraries, thread pools and compiled kernels do not
    count. None where there is no /proc.
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    with process_with(variables) as process:
        return process.apply(_growth, (call, small, full))


def _growth(call, small, full):
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
