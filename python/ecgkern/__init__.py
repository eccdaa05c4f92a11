"""Numerical kernels that give the same right answer on whatever machine is there.

Families of kernels are subpackages, loaded when first used:

conv
    Multi-scale dilated 1-D convolution fused with its ReLU and 1x1 merge, forward and backward.
geomag
    Geomagnetic coordinates, time and field in the centred and the eccentric dipole, 1900 to 2030.
stats
    How far two samples of signals are apart: MMD and its tests, Kolmogorov-Smirnov, and the metrics of the papers.
waveform
    Batches of ECGs as sums of P, Q, R, S, T, U Gaussian waves placed at R peaks, with exact gradients.

``ecgkern.torch`` has them as PyTorch operators, with layers and losses; ``ecgkern.data`` reads PTB-XL and MIT-BIH
recordings. ``ecgkern.backends()`` tells which backends are ready.

Examples
--------
>>> import ecgkern
>>> ecg = ecgkern.waveform.gaussian_waves([[50.0, 150.0], [60.0]], fs=100.0, length=200)
>>> ecg.shape, ecg.dtype
((2, 200), dtype('float32'))
"""

from importlib import import_module as _import_module

from ecgkern._dispatch import Backend, BackendUnavailableError, backends
from ecgkern._threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

_SUBPACKAGES = ("conv", "data", "geomag", "stats", "torch", "waveform")

__all__ = [
    "Backend",
    "BackendUnavailableError",
    "backends",
    "conv",
    "data",
    "geomag",
    "get_num_threads",
    "set_num_threads",
    "stats",
    "torch",
    "waveform",
]


def __getattr__(name: str) -> object:
    if name in _SUBPACKAGES:
        return _import_module(f"ecgkern.{name}")
    raise AttributeError(f"module 'ecgkern' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBPACKAGES])
