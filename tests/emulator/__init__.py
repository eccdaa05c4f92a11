"""A GPU for tests on a machine without one: the kernels of cuda/*.cu compiled by g++, behind the part of CuPy in use.

`module` makes a module `cupy` whose arrays live in the memory of the host but, as those on a card, are no NumPy arrays:
whatever would copy one in silence fails. Kernels run in cuda_cpu.hpp.
"""

import ctypes
import hashlib
import importlib
import os
import struct
import subprocess
import types
import weakref
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from ecgkern._cuda import MODULES

ROOT = Path(__file__).parents[2]
HEADER = Path(__file__).parent / "cuda_cpu.hpp"


class ndarray:
    """An array "on the card"."""

    __module__ = "cupy"

    def __init__(self, host):
        self.host = host
        self.shape, self.ndim, self.dtype, self.size = host.shape, host.ndim, host.dtype, host.size
        self.device = types.SimpleNamespace(id=0)
        self.data = types.SimpleNamespace(ptr=host.ctypes.data)
        self.start = host.ctypes.data
        self.base_array = host
        while isinstance(self.base_array.base, np.ndarray):
            self.base_array = self.base_array.base
        _arrays.add(self)
        self.flags = types.SimpleNamespace(c_contiguous=host.flags.c_contiguous)

    def __len__(self):
        return len(self.host)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        return ndarray(self.host[index if ... in index else (*index, ...)])  # a view, of one value too

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def reshape(self, *shape):
        return ndarray(self.host.reshape(*shape))

    def astype(self, dtype):
        return ndarray(self.host.astype(dtype))

    def get(self):
        return self.host.copy()


class RawModule:
    """Compiles a .cu file of the source tree for the CPU."""

    def __init__(self, *, code, options, name_expressions):
        family = next(f for f in MODULES if _source(f) == code)
        self._library = library(family)

    def get_function(self, expression):
        return _Kernel(self._library, expression.removeprefix("ecgkern::"))


class _Kernel:
    max_dynamic_shared_size_bytes = 0

    def __init__(self, library, name):
        self._library, self._name = library, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert np.prod(block) <= 1024, f"{self._name}: a block of {block} threads"
        assert shared_mem <= max(48 * 1024, self.max_dynamic_shared_size_bytes) <= 227 * 1024
        values = [_C_TYPES[type(argument)](argument.item()) for argument in args]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        if _recording is not None:
            _recording.append(_recorded(self._name, grid, block, shared_mem, args))
        three = ctypes.c_uint * 3
        failed = self._library.emulate(
            self._name.encode(), three(*grid), three(*block), ctypes.c_size_t(shared_mem), len(values), pointers
        )
        assert not failed, f"{self._name}: {'no such kernel in KERNELS' if failed == 1 else f'{len(values)} arguments'}"


# What `record` has seen, for `REPLAY`: launches as text, arrays as bytes.
_recording = None
_arrays = weakref.WeakSet()


@contextmanager
def record(path):
    """Write the launches within the block to a file that a program with `REPLAY` runs again."""
    global _recording
    _recording = []
    try:
        yield
        path.write_bytes(b"".join(_recording))
    finally:
        _recording = None


def _recorded(name, grid, block, shared, args):
    parts = [struct.pack("<64s3q3q2q", name.encode(), *grid, *block, shared, len(args))]
    for argument in args:
        value = argument.item()
        if not isinstance(argument, np.uintp) or value == 0:
            parts.append(struct.pack("<q8s", -1, argument.tobytes()))
            continue
        host = next(a.base_array for a in list(_arrays) if a.start == value)
        parts.append(struct.pack("<2q", host.nbytes, value - host.ctypes.data) + host.tobytes())
    return b"".join(parts)


REPLAY = """
#include <fstream>
int main(int, char **argv) {
    std::ifstream file(argv[1], std::ios::binary);
    char name[64];
    long long numbers[8];
    while (file.read(name, 64) && file.read(reinterpret_cast<char *>(numbers), sizeof numbers)) {
        std::vector<std::vector<char>> arrays(numbers[7]);
        std::vector<long long> values(numbers[7]);
        std::vector<void *> arguments;
        for (int i = 0; i < numbers[7]; ++i) {
            long long bytes;
            file.read(reinterpret_cast<char *>(&bytes), 8).read(reinterpret_cast<char *>(&values[i]), 8);
            if (bytes >= 0) {
                arrays[i].resize(bytes + 1);
                file.read(arrays[i].data(), bytes);
                values[i] += reinterpret_cast<long long>(arrays[i].data());
            }
            arguments.push_back(&values[i]);
        }
        unsigned grid[3], block[3];
        for (int i = 0; i < 3; ++i) grid[i] = numbers[i], block[i] = numbers[3 + i];
        if (emulate(name, grid, block, numbers[6], numbers[7], arguments.data())) return 3;
    }
}
"""

_C_TYPES = {np.int64: ctypes.c_longlong, np.float64: ctypes.c_double, np.uintp: ctypes.c_void_p}


def _source(family):
    return (ROOT / "cuda" / f"{family}.cu").read_text()


def library(family, *options, source=None):
    """Compile cuda/<family>.cu, or the text `source` in its place, and load it."""
    return ctypes.CDLL(str(compiled(family, *options, source=source)))


def compiled(family, *options, source=None, main=""):
    """Return the path of the library, or with `main` of the program, that g++ makes of a family."""
    kernels = importlib.import_module(MODULES[family]).KERNELS
    source = source or _source(family)
    entries = ",\n".join(f'emulator::entry<&ecgkern::{name}>("{name}")' for name in kernels)
    text = f'#include "{HEADER}"\n{source}\nEMULATE({entries})\n{main}'
    flags = ["-std=c++20", "-O2", "-g1", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-Wall", "-Werror=return-type",
             f"-I{ROOT / 'cuda'}", *options]  # fmt: skip
    if not main:
        flags += ["-shared", "-fPIC"]
    included = "".join(path.read_text() for path in sorted((ROOT / "cuda").glob("*.cuh")))
    digest = hashlib.sha256("\0".join([text, HEADER.read_text(), included, *flags]).encode()).hexdigest()[:16]
    folder = ROOT / "build" / "emulator"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{family}-{digest}{'' if main else '.so'}"
    if not path.exists():
        (folder / f"{path.name}.cpp").write_text(text)
        part = folder / f"{path.name}.{os.getpid()}"
        command = ["g++", *flags, "-o", str(part), str(folder / f"{path.name}.cpp")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-8000:]}"
        part.replace(path)
    return path


def module():
    """Return the part of CuPy that ecgkern uses."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.0 (emulated)"
    cupy.ndarray, cupy.RawModule = ndarray, RawModule
    cupy.empty = lambda shape, dtype: ndarray(_poisoned(shape, dtype))
    cupy.zeros = lambda shape, dtype: ndarray(np.zeros(shape, dtype))
    cupy.asarray = lambda array: array if isinstance(array, ndarray) else ndarray(np.array(array, order="C"))
    cupy.ascontiguousarray = lambda array, dtype=None: _contiguous(array, dtype)
    cupy.concatenate = lambda arrays: ndarray(np.concatenate([array.host for array in arrays]))
    cupy.sort = lambda array, axis: ndarray(np.sort(array.host, axis=axis))
    cupy.cuda = types.SimpleNamespace(
        Device=lambda index: nullcontext(),
        Stream=types.SimpleNamespace(from_external=lambda stream: nullcontext()),
        get_current_stream=nullcontext,
        is_available=lambda: True,
        runtime=types.SimpleNamespace(
            getDeviceProperties=lambda index: {"name": b"emulated", "major": 9, "minor": 0},
            runtimeGetVersion=lambda: 13000,
            driverGetVersion=lambda: 13000,
        ),
    )
    return cupy


def _contiguous(array, dtype):
    host = np.ascontiguousarray(array.host, dtype)  # of one dimension at least, as CuPy's
    return array if host is array.host else ndarray(host)


def _poisoned(shape, dtype):
    host = np.empty(shape, dtype)
    host.reshape(-1).view(np.uint8)[:] = 0xFF  # NaN, or -1
    return host
