"""The GPU as the families see it: arrays of the caller's library on one card, and the kernels of cuda/*.cu on them.

Kernels are C++ text, compiled at first use by NVRTC for the card at hand, through CuPy, which keeps the result on disk.
Their parameters are arrays, `long long` and `double`, nothing else, so that every launch passes NumPy-like arrays,
Python ints and floats. Arrays are passed by address: nothing is copied, and nothing waits for the GPU. Work goes to the
current stream of the library that the arrays came with, and what is allocated is of that library.
"""

import functools
import hashlib
import importlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _validate

# Each cuda/<name>.cu, and the module that lists its kernels, KERNELS, and launches them.
MODULES = {
    "waveform": "ecgkern.waveform._cuda",
    "stats": "ecgkern.stats._cuda",
    "ks": "ecgkern.stats._cuda_ks",
    "conv": "ecgkern.conv._cuda",
    "geomag": "ecgkern.geomag._cuda",
}
# What float32 may be computed with, in the words of torch.set_float32_matmul_precision.
PRECISIONS = ("highest", "high", "medium")
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_STATIC_SHARED = 48 * 1024  # bytes of shared memory that a block has without asking
_LARGEST_GRID = 2**31 - 1


class Device(ABC):
    """One card, with the array library that the arguments of a call came in."""

    library: str

    def __init__(self, index: int) -> None:
        self.index = index

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """An array on the card, not initialised."""

    @abstractmethod
    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """An array of zeros on the card."""

    @abstractmethod
    def upload(self, array: NDArray[Any]) -> Any:
        """A copy on the card, in the order of the stream."""

    @abstractmethod
    def download(self, array: Any) -> NDArray[Any]:
        """A copy on the host. Waits for the GPU: only where a public docstring says so."""

    @abstractmethod
    def contiguous(self, array: Any, dtype: Any = None) -> Any:
        """The array in C order and of the given type, itself if it is so already."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Any]) -> Any:
        """The arrays one after another along their first axis."""

    @abstractmethod
    def sort(self, array: Any) -> Any:
        """A copy with the last axis in ascending order."""

    @abstractmethod
    def dtype(self, array: Any) -> np.dtype[Any]:
        """The type of its values as NumPy knows it; TypeError for one that NumPy does not have."""

    @abstractmethod
    def is_contiguous(self, array: Any) -> bool:
        """Whether it is in C order."""

    def values(self, value: Any, name: str, ndim: tuple[int, ...] = (), dtype: Any = None) -> Any:
        """An array on this card, in C order and of `dtype`, from one or from plain numbers; checked but not read.

        Without `dtype`, float32 stays and every other real type becomes float64. An empty `ndim` takes any rank.
        """
        if of(value) is None:
            value = self.upload(_validate.real_values(value, name))
        if getattr(value, "requires_grad", False):
            raise TypeError(
                f"{name} requires grad, which this function does not record; pass {name}.detach(), or use ecgkern.torch"
            )
        if ndim and value.ndim not in ndim:
            ranks = " or ".join(str(n) for n in ndim)
            plural = "s" if ranks != "1" else ""
            raise ValueError(f"{name} must have {ranks} dimension{plural}, got shape {tuple(value.shape)}")
        found = self.dtype(value)
        if found.kind not in "fiu":
            raise TypeError(f"{name} must hold real numbers, got dtype {found}")
        return self.contiguous(value, dtype or (np.float32 if found == np.float32 else np.float64))

    def output(
        self, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: dict[str, Any], name: str = "out"
    ) -> Any:
        """Return `out`, or a new array for None, ready to be written: right shape and dtype, contiguous, no overlap."""
        if out is None:
            return self.empty(shape, dtype)
        if tuple(out.shape) != shape or self.dtype(out) != dtype:
            found = f"{tuple(out.shape)} and {self.dtype(out)}"
            raise ValueError(f"{name} must have shape {shape} and dtype {dtype}, got {found}")
        if not self.is_contiguous(out):
            raise ValueError(f"{name} must be C-contiguous; pass a new array and copy it back")
        first, end = self._extent(out)
        for other, array in inputs.items():
            if of(array) is not None and self.is_contiguous(array):
                start, stop = self._extent(array)
                if first < stop and start < end:
                    raise ValueError(f"{name} must not share memory with {other}")
        return out

    def _extent(self, array: Any) -> tuple[int, int]:
        """Addresses from the first byte of a contiguous array to its end."""
        start = self._address(array)
        return start, start + math.prod(array.shape) * self.dtype(array).itemsize

    @abstractmethod
    def _address(self, array: Any) -> int:
        """Where its values begin."""

    @abstractmethod
    def _stream(self, cupy: Any) -> AbstractContextManager[Any]:
        """The library's current stream, as a context of CuPy."""

    def launch(
        self,
        family: str,
        kernel: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        *arguments: Any,
        shared: int = 0,
    ) -> None:
        """Put a kernel such as "waves<float>" into the stream; `shared` bytes of dynamic shared memory a block."""
        grid, block = _three(grid), _three(block)
        if 0 in grid:
            return
        if grid[0] > _LARGEST_GRID or max(grid[1:]) > 65535:
            raise ValueError(f"the arrays are too large for one launch of {kernel}: a grid of {grid} blocks")
        import cupy

        with cupy.cuda.Device(self.index), self._stream(cupy):
            function = _function(family, kernel)
            if shared > _STATIC_SHARED and function.max_dynamic_shared_size_bytes < shared:
                function.max_dynamic_shared_size_bytes = shared
            function(grid, block, tuple(map(self._argument, arguments)), shared_mem=shared)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, int | np.integer):
            return np.int64(value)
        if isinstance(value, float | np.floating):
            return np.float64(value)
        return np.uintp(0 if value is None else self._address(value))


class CupyDevice(Device):
    """Arrays are cupy.ndarray, work goes to CuPy's current stream."""

    library = "cupy"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self._cupy = importlib.import_module("cupy")

    def _here(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._cupy.cuda.Device(self.index)
        return context

    def _stream(self, cupy: Any) -> AbstractContextManager[Any]:
        stream: AbstractContextManager[Any] = cupy.cuda.get_current_stream()
        return stream

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        with self._here():
            return self._cupy.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        with self._here():
            return self._cupy.zeros(shape, dtype)

    def upload(self, array: NDArray[Any]) -> Any:
        with self._here():
            return self._cupy.asarray(array)

    def download(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.get())

    def contiguous(self, array: Any, dtype: Any = None) -> Any:
        with self._here():
            return self._cupy.ascontiguousarray(array, dtype).reshape(array.shape)  # a single number too

    def concatenate(self, arrays: Sequence[Any]) -> Any:
        with self._here():
            return self._cupy.concatenate(list(arrays))

    def sort(self, array: Any) -> Any:
        with self._here():
            return self._cupy.sort(array, axis=-1)

    def dtype(self, array: Any) -> np.dtype[Any]:
        found: np.dtype[Any] = np.dtype(array.dtype)
        return found

    def is_contiguous(self, array: Any) -> bool:
        return bool(array.flags.c_contiguous)

    def _address(self, array: Any) -> int:
        return int(array.data.ptr)


class TorchDevice(Device):
    """Arrays are torch.Tensor, work goes to torch's current stream of the card."""

    library = "torch"

    def __init__(self, device: Any) -> None:
        super().__init__(device.index or 0)
        self._torch = importlib.import_module("torch")
        self._device = device

    def _stream(self, cupy: Any) -> AbstractContextManager[Any]:
        stream = self._torch.cuda.current_stream(self._device)
        context: AbstractContextManager[Any]
        if hasattr(cupy.cuda.Stream, "from_external") and hasattr(stream, "__cuda_stream__"):
            context = cupy.cuda.Stream.from_external(stream)
        else:  # before CuPy 14, or a torch whose streams do not say what they are
            context = cupy.cuda.ExternalStream(stream.cuda_stream, self.index)
        return context

    def _type(self, dtype: Any) -> Any:
        return getattr(self._torch, np.dtype(dtype).name)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        return self._torch.empty(shape, dtype=self._type(dtype), device=self._device)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        return self._torch.zeros(shape, dtype=self._type(dtype), device=self._device)

    def upload(self, array: NDArray[Any]) -> Any:
        host = np.require(array, requirements=["C", "W"])
        return self._torch.from_numpy(host).to(self._device, non_blocking=True, copy=True)

    def download(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.cpu().numpy())

    def contiguous(self, array: Any, dtype: Any = None) -> Any:
        # resolve_neg: views such as z.conj().imag have their sign still to come
        return (array if dtype is None else array.to(self._type(dtype))).contiguous().resolve_neg()

    def concatenate(self, arrays: Sequence[Any]) -> Any:
        return self._torch.cat(list(arrays))

    def sort(self, array: Any) -> Any:
        return self._torch.sort(array, dim=-1).values

    def dtype(self, array: Any) -> np.dtype[Any]:
        name = str(array.dtype).removeprefix("torch.")
        try:
            return np.dtype(name)
        except TypeError:
            raise TypeError(f"tensors of type {name} have no NumPy type") from None

    def is_contiguous(self, array: Any) -> bool:
        return bool(array.is_contiguous())

    def _address(self, array: Any) -> int:
        return int(array.data_ptr())


def of(array: Any) -> Device | None:
    """Return the device of a CuPy array or torch CUDA tensor, None for anything that is on the host."""
    library = type(array).__module__.split(".")[0]
    if library == "cupy" and hasattr(array, "data"):
        return CupyDevice(array.device.id)
    if library == "torch" and getattr(array, "device", None) is not None and array.device.type == "cuda":
        return TorchDevice(array.device)
    return None


def folder() -> Path:
    """The folder of the CUDA sources: in the installed package, else in the source tree."""
    installed = Path(str(files("ecgkern"))) / "cuda"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "cuda"


def digest(sources: Path) -> str:
    """A digest of all CUDA sources: CuPy's cache does not look into the files that are included."""
    every = hashlib.sha256()
    for path in sorted(sources.glob("*.cu*")):
        every.update(path.name.encode() + path.read_bytes())
    return every.hexdigest()[:16]


@functools.cache
def _sources() -> tuple[Path, str]:
    here = folder()
    return here, digest(here)


@functools.cache
def _function(family: str, kernel: str) -> Any:
    import cupy

    here, sources = _sources()
    if (here / f"{family}.json").exists():  # compiled at installation: ECGKERN_FATBIN=ON
        built = json.loads((here / f"{family}.json").read_text())
        if built["sources"] == sources:
            return cupy.RawModule(path=str(here / f"{family}.fatbin")).get_function(built["names"][kernel])
    expression = f"ecgkern::{kernel}"
    module = cupy.RawModule(
        code=(here / f"{family}.cu").read_text(),
        options=("-std=c++17", f"-I{here}", f"-DECGKERN_SOURCES={sources}"),
        name_expressions=(expression,),
    )
    return module.get_function(expression)


def _three(extent: int | tuple[int, ...]) -> tuple[int, int, int]:
    extent = (extent,) if isinstance(extent, int) else extent
    x, y, z = (*extent, 1, 1, 1)[:3]
    return int(x), int(y), int(z)
