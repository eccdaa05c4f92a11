"""The fixtures `backend` and `gpu`, and ECGKERN_NO_SKIPS=1, under which a skipped test or module fails.

So no missing backend, library or recording can hide behind a skip where all of them must be there.
"""

import importlib.util
import os
import signal
import sys
from contextlib import nullcontext

import emulator
import numpy as np
import pytest

import ecgkern
from ecgkern import _cuda, _dispatch

CPU_BACKENDS = ("numpy", "numba", "fortran")


def pytest_configure():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts deaf to Ctrl-C


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    _no_skips((yield).get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    _no_skips((yield).get_result())


def _no_skips(report):
    if report.skipped and os.environ.get("ECGKERN_NO_SKIPS") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, which ECGKERN_NO_SKIPS=1 forbids: {report.longrepr}"


def pytest_report_header():
    return [f"ecgkern backend {b.name}: {b if b.available else f'NO, {b}'}" for b in ecgkern.backends().values()]


@pytest.fixture(params=CPU_BACKENDS)
def backend(request):
    found = ecgkern.backends()[request.param]
    if not found.available:
        pytest.skip(f"backend {request.param}: {found}")
    return request.param


class Card:
    """A GPU, or the emulated one, and an array library: `array` puts values there, `get` brings them back."""

    def __init__(self, name, array, get):
        self.name, self.array, self.get = name, array, get

    def __repr__(self):
        return self.name


def _gpu_libraries():
    """The emulated libraries everywhere, and where there is a GPU those that drive it."""
    real = ecgkern.backends()["cuda"].available
    torch = importlib.util.find_spec("torch") is not None
    names = ["emulated-cupy"] + ["emulated-torch"] * torch
    if real:
        names = ["cupy"] + ["torch"] * torch  # what the emulator shows, the card shows as well
    return names


@pytest.fixture(params=_gpu_libraries())
def gpu(request, monkeypatch):
    """A card on which the CUDA backend computes; tests over it run on the emulator and on any GPU there is."""
    name = request.param
    if name.startswith("emulated"):
        cupy = emulator.module()
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(_dispatch, "_probe_cuda", lambda: _dispatch.Backend("cuda", True, "emulated"))
        _dispatch._probe.cache_clear()
        _cuda._function.cache_clear()
    if name.endswith("cupy"):
        import cupy

        yield Card(name, cupy.asarray, lambda array: array.get())
    else:
        import torch

        where = "cuda" if name == "torch" else "cpu"
        if where == "cpu":  # tensors of the host stand for those on the card

            def of(array):
                return _cuda.TorchDevice(array.device) if isinstance(array, torch.Tensor) else None

            monkeypatch.setattr(_cuda, "of", of)
            monkeypatch.setattr(_cuda.TorchDevice, "_stream", lambda self, cupy: nullcontext())
        yield Card(
            name,
            lambda array: torch.from_numpy(np.array(array)).to(where),
            lambda tensor: tensor.detach().cpu().numpy(),
        )
    if name.startswith("emulated"):
        _dispatch._probe.cache_clear()
        _cuda._function.cache_clear()


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = ecgkern.get_num_threads()
    yield
    ecgkern.set_num_threads(before)
