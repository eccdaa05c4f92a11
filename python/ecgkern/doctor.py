"""`ecgkern doctor`: what is ready on this machine, and for each thing missing the line that installs it."""

import argparse
import importlib.util
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ecgkern
from ecgkern._dispatch import fortran_build

# What each optional package is for, and the extra that brings it.
_PACKAGES = {
    "torch": ("tensors in and out", "torch"),
    "wfdb": ("reads PhysioNet records", "ecg"),
    "neurokit2": ("finds R peaks", "ecg"),
    "pandas": ("PTB-XL metadata", "ecg"),
    "tqdm": ("progress bars", "ecg"),
    "matplotlib": ("pictures of the demo", "plot"),
    "pytest-benchmark": ("ecgkern bench", "bench"),
}


class Finding(NamedTuple):
    """One line of the table; `remedy` is the command that brings what is missing."""

    name: str
    ready: bool
    detail: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The doctor takes no options."""


def run(args: argparse.Namespace) -> int:
    """Print the table; return 0 if a CPU backend faster than plain numpy is ready, else 1."""
    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'yes' if finding.ready else 'NO':>3}  {finding.name:<{width}}  {finding.detail}")
        if finding.remedy:
            print(f"{'':{width + 5}}  install with:  {finding.remedy}")
    fast = any(f.ready for f in findings if f.name in ("backend fortran", "backend numba"))
    return 0 if fast else 1


def examine() -> list[Finding]:
    """Look at this machine.

    Returns
    -------
    list of Finding
        Backends, build, threads, CUDA, optional packages and the data folder, in this order.

    Examples
    --------
    >>> from ecgkern.doctor import examine
    >>> [finding.name for finding in examine()][:2]
    ['ecgkern', 'backend fortran']
    """
    head = f"{ecgkern.__version__}, Python {platform.python_version()}, numpy {np.__version__}, {platform.platform()}"
    return [
        Finding("ecgkern", True, head),
        *_backends(),
        *_build(),
        Finding("threads", True, f"{ecgkern.get_num_threads()} (OMP_NUM_THREADS or ecgkern.set_num_threads)"),
        _cuda_device(),
        *(_package(name, use, extra) for name, (use, extra) in _PACKAGES.items()),
        _data_folder(),
    ]


def _backends() -> list[Finding]:
    found = []
    for backend in ecgkern.backends().values():
        detail, _, remedy = backend.detail.partition("; ") if not backend.available else (backend.detail, "", "")
        found.append(Finding(f"backend {backend.name}", backend.available, detail, remedy))
    return found


def _build() -> list[Finding]:
    try:
        compiler, options, openmp = fortran_build()
    except ImportError:
        return []
    words = options.split()
    shown = [word for word in words if word.startswith(("-O", "-f", "-std", "-march", "-mtune", "-mprefer", "-tp"))]
    # gfortran spells -march=native out, one flag per processor feature; of those the widest vectors say enough.
    vectors = next((flag for flag in ("-mavx512f", "-mavx2", "-mavx") if flag in words), "")
    threads = f"OpenMP {openmp // 100}-{openmp % 100:02d}" if openmp else "no OpenMP: one thread"
    flags = " ".join(word for word in dict.fromkeys([*shown, vectors]) if not word.startswith("-fpre"))
    return [Finding("fortran build", True, f"{compiler}, {threads}, {flags}")]


def _cuda_device() -> Finding:
    driver = Path("/proc/driver/nvidia/version")
    if not driver.exists():
        return Finding("CUDA device", False, "no NVIDIA driver on this machine")
    return Finding("CUDA device", True, driver.read_text().splitlines()[0])


def _package(name: str, use: str, extra: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        if importlib.util.find_spec(name.replace("-", "_")) is None:
            return Finding(name, False, f"{use}: not installed", f'pip install "ecgkern[{extra}]"')
        found = "unknown version"
    return Finding(name, True, f"{found}, {use}")


def _data_folder() -> Finding:
    folder = os.environ.get("ECGKERN_DATA", "")
    if not folder:
        return Finding("ECGKERN_DATA", False, "not set: no real recordings; export ECGKERN_DATA=path/to/ptb-xl")
    if not Path(folder).is_dir():
        return Finding("ECGKERN_DATA", False, f"{folder} is no folder; export ECGKERN_DATA=path/to/ptb-xl")
    databases = [name for name in ("ptb-xl", "mitdb") if (Path(folder) / name).is_dir()]
    return Finding("ECGKERN_DATA", True, f"{folder} ({', '.join(databases) or 'one database'})")
