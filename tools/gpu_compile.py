"""Compiles every CUDA kernel for the card at hand, several at a time: python tools/gpu_compile.py"""

import importlib
import multiprocessing
import os
import time

from ecgkern import _cuda


def compile_one(kernel: tuple[str, str]) -> None:
    """Compile a kernel of a family; CuPy keeps it on disk."""
    _cuda._function(*kernel)


if __name__ == "__main__":
    start = time.perf_counter()
    families = {family: importlib.import_module(module).KERNELS for family, module in _cuda.MODULES.items()}
    kernels = [(family, kernel) for family, of_family in families.items() for kernel in of_family]
    with multiprocessing.get_context("spawn").Pool(min(12, os.cpu_count() or 1)) as pool:
        for _ in pool.imap_unordered(compile_one, kernels):
            pass
    print(f"{len(kernels)} kernels in {time.perf_counter() - start:.0f} s")
