"""The one place that turns (array library, ``backend=``) into the module that does the work.

A call goes: public function, validation, `load(family, backend)`, one function of that backend with flat, contiguous,
checked arrays, result wrapped back into the caller's array library. Arrays on the host are NumPy's from validation on;
those on a GPU stay what and where they are, and `device` says where that is.
"""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ecgkern import _cuda, _threads, _validate

HOST_BACKENDS = ("fortran", "numba", "numpy")
BACKENDS = (*HOST_BACKENDS, "cuda")
_LEAST_CAPABILITY = (7, 5)


@dataclass(frozen=True)
class Backend:
    """One backend: whether it is ready here, what it is made of or why it is missing, and what to do in that case."""

    name: str
    available: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.detail}; {self.remedy}" if self.remedy else self.detail


class BackendUnavailableError(ImportError):
    """A backend that was asked for by name is not ready on this machine."""


def backends() -> dict[str, Backend]:
    """Return every backend by name, with whether it is ready here and why not.

    Returns
    -------
    dict of str to Backend
        In the order in which ``backend=None`` prefers them for host arrays, then ``cuda``.

    Examples
    --------
    >>> import ecgkern
    >>> ecgkern.backends()["numpy"].available
    True
    """
    return {name: _probe(name) for name in BACKENDS}


def is_available(name: str) -> bool:
    """Whether a backend is ready here."""
    return _probe(name).available


@functools.cache
def _probe(name: str) -> Backend:
    return {"fortran": _probe_fortran, "numba": _probe_numba, "numpy": _probe_numpy, "cuda": _probe_cuda}[name]()


def _probe_fortran() -> Backend:
    again = "from the source folder: apt install gfortran gcc python3-dev && pip install ."
    if importlib.util.find_spec("ecgkern._fortran") is None:
        return Backend("fortran", False, "not built", again)
    try:
        version, options, openmp = fortran_build()
    except ImportError as error:
        return Backend("fortran", False, f"the extension does not load: {error}", again)
    missing = _missing_cpu_features(options)
    if missing:
        return Backend("fortran", False, f"built for a processor with {', '.join(missing)}, unlike this one", again)
    return Backend("fortran", True, f"{version}, {f'OpenMP {openmp}' if openmp else 'one thread (no OpenMP)'}")


def fortran_build() -> tuple[str, str, int]:
    """Return compiler version, compiler options and OpenMP date (0: none) of the Fortran kernels."""
    _threads.leave_out_a_setting_that_is_no_number()
    import ecgkern._fortran as extension

    version, options, openmp = extension.build.compiler()
    return version.decode().strip(), options.decode().strip(), int(openmp)


def _missing_cpu_features(options: str) -> list[str]:
    """Return the processor features that the kernels were compiled for and this processor does not have."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as present
    except ImportError:  # a private table of numpy's: without it the check is left out
        return []
    spelled = {"FMA": "FMA3"}
    # gfortran spells -march=native out, a flag for each feature; the portable levels stand for theirs.
    flags = {word[2:].replace(".", "").upper() for word in options.split() if word.startswith("-m")}
    if flags & {"ARCH=X86-64-V3", "ARCH=X86-64-V4"}:
        flags |= {"AVX2", "FMA", "BMI2"} | ({"AVX512F", "AVX512VL"} if "ARCH=X86-64-V4" in flags else set())
    return sorted(flag for flag in flags if not present.get(spelled.get(flag, flag), True))


def _probe_numba() -> Backend:
    if importlib.util.find_spec("numba") is None:
        return Backend("numba", False, "not installed", 'pip install "ecgkern[numba]"')
    try:
        import numba
    except Exception as error:  # numba raises ImportError, SystemError or its own error when numpy is too new for it
        return Backend("numba", False, f"numba does not import: {error}", "pip install --upgrade numba")
    if numba.config.DISABLE_JIT:
        return Backend("numba", False, "NUMBA_DISABLE_JIT is set", "unset NUMBA_DISABLE_JIT")
    return Backend("numba", True, f"numba {numba.__version__}, kernels compiled at first use and cached")


def _probe_numpy() -> Backend:
    return Backend("numpy", True, f"numpy {np.__version__}, the reference: float64 inside, one thread, slow")


def _probe_cuda() -> Backend:
    install = 'pip install "ecgkern[cuda13]"   (or cuda12, as the driver has it)'
    if importlib.util.find_spec("cupy") is None:
        return Backend("cuda", False, "CuPy is not installed", install)
    try:
        import cupy

        if not cupy.cuda.is_available():
            return Backend("cuda", False, f"CuPy {cupy.__version__} finds no GPU")
        card = cupy.cuda.runtime.getDeviceProperties(0)
        version = cupy.cuda.runtime.runtimeGetVersion()
    except Exception as error:  # CuPy raises its own errors where driver and CUDA do not go together
        return Backend("cuda", False, f"CuPy does not start: {error}", install)
    name, capability = card["name"].decode(), (card["major"], card["minor"])
    detail = f"{name}, compute capability {capability[0]}.{capability[1]}"
    if capability < _LEAST_CAPABILITY:
        return Backend("cuda", False, f"{detail}: {_LEAST_CAPABILITY[0]}.{_LEAST_CAPABILITY[1]} or later is needed")
    cuda = f"CUDA {version // 1000}.{version % 1000 // 10}"
    return Backend("cuda", True, f"{detail}, CuPy {cupy.__version__}, {cuda}, kernels compiled at first use and cached")


@functools.cache
def _default_host_backend() -> str:
    for name in HOST_BACKENDS:
        if _probe(name).available:
            break
    if name == "numpy":
        warnings.warn(
            "ecgkern runs on plain numpy, which is slow: "
            + "; ".join(f"{b.name}: {b}" for b in backends().values() if not b.available and b.name != "cuda"),
            stacklevel=_validate.outside("ecgkern"),
        )
    return name


def load(family: str, backend: str | None, device: _cuda.Device | None = None) -> ModuleType:
    """Return the module of a family that computes on the given backend (None: the best one for the arrays)."""
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be None or one of {', '.join(BACKENDS)}; got {backend!r}")
    if backend is None:
        backend = _default_host_backend() if device is None else "cuda"
    if not _probe(backend).available:
        raise BackendUnavailableError(f"backend {backend!r} is not available: {_probe(backend)}")
    if (device is None) == (backend == "cuda"):
        where = "the host" if device is None else "a GPU"
        wanted = (
            "CuPy arrays or torch CUDA tensors" if device is None else "arrays on the host, such as x.get() of CuPy's"
        )
        raise TypeError(f"the arrays are on {where}, and backend {backend!r} takes {wanted}; or leave backend out")
    return importlib.import_module(f"ecgkern.{family}._{backend}")


def device(**arguments: Any) -> _cuda.Device | None:
    """Return the one card that the arrays among the arguments are on, or None if they are on the host.

    Plain numbers and lists fit either; arrays on the host beside arrays on a card are an error, as are two cards.
    """
    found: dict[int | None, tuple[str, _cuda.Device | None]] = {}
    for name, value in arguments.items():
        for member in _members(value):
            if hasattr(member, "dtype") and not isinstance(member, np.generic):
                card = _cuda.of(member)
                found.setdefault(None if card is None else card.index, (name, card))
    if len(found) > 1:
        where = ", ".join(
            f"{name} is on {'the host' if index is None else f'GPU {index}'}" for index, (name, _) in found.items()
        )
        raise TypeError(f"all arrays must be on one device, but {where}; move one of them")
    return next((card for _, card in found.values()), None)


def array_library(**arguments: Any) -> str:
    """Return the one array library among the arguments: "numpy", "torch" or "cupy"; plain numbers and lists fit any."""
    found: dict[str, str] = {}
    for name, value in arguments.items():
        for member in _members(value):
            library = type(member).__module__.split(".")[0]
            if library == "numpy" and isinstance(member, np.generic):
                continue
            if library in ("numpy", "torch", "cupy"):
                found.setdefault(library, name)
    if len(found) > 1:
        where = ", ".join(f"{argument} is {library}" for library, argument in found.items())
        raise TypeError(f"all arrays must come from one library, but {where}; convert one of them")
    return next(iter(found), "numpy")


def _members(value: Any) -> Iterable[Any]:
    """The value, or what a list holds; of long lists of NumPy arrays and numbers, one of each type says enough."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (value,)
    kinds = {type(member): member for member in value}
    anywhere = any(kind.__module__.split(".")[0] in ("torch", "cupy") for kind in kinds)
    return value if anywhere else kinds.values()


def to_numpy(value: Any, name: str) -> Any:
    """Return a NumPy view of a torch CPU tensor, without a copy; anything else that is on the host unchanged."""
    if isinstance(value, list | tuple):
        return [
            to_numpy(member, f"{name}[{i}]") if hasattr(member, "dtype") else member for i, member in enumerate(value)
        ]
    library = type(value).__module__.split(".")[0]
    if library == "torch":
        return _tensor_to_numpy(value, name)
    if library == "cupy":
        raise TypeError(f"{name} is a CuPy array, and this function computes on the host; pass {name}.get()")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; pass {name}.filled() or .compressed()")
    return value


def _tensor_to_numpy(tensor: Any, name: str) -> Any:
    if tensor.device.type == "cuda":
        raise TypeError(f"{name} is on {tensor.device}, and this function computes on the host; pass {name}.cpu()")
    if tensor.requires_grad:
        raise TypeError(
            f"{name} requires grad, which this function does not record; pass {name}.detach(), or use ecgkern.torch"
        )
    try:
        return tensor.numpy()
    except (RuntimeError, TypeError) as error:  # no memory to look at, or a type that NumPy does not have
        raise TypeError(
            f"{name} is a tensor that NumPy cannot read ({error}); make it dense float32 or float64"
        ) from None


def from_numpy(array: np.ndarray, library: str) -> Any:
    """Return the result in the caller's array library, without a copy."""
    if library == "torch":
        import torch

        return torch.from_numpy(array)
    return array


def scalar_or_array(array: np.ndarray, library: str) -> Any:
    """As `from_numpy`, but of no dimensions a NumPy scalar, as SciPy returns it."""
    return array[()] if library == "numpy" else from_numpy(np.asarray(array), library)


def require_scipy(module: str, what: str) -> Any:
    """Import a module of SciPy, which only some functions need."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f'{what} needs SciPy: pip install "ecgkern[stats]"') from None
