"""`ecgkern doctor`: what is ready on this machine, and for each thing missing the line that installs it."""

import argparse
import importlib.util
import os
import platform
import shutil
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ecgkern
from ecgkern._dispatch import fortran_build
from ecgkern.data import MITBIH, PTBXL, RecordError
from ecgkern.data._folder import ENVIRONMENT_VARIABLE

# What each optional package is for, and the extra that brings it.
_PACKAGES = {
    "torch": ("tensors in and out", "torch"),
    "wfdb": ("reads PhysioNet records", "ecg"),
    "neurokit2": ("finds R peaks", "ecg"),
    "pandas": ("PTB-XL metadata", "ecg"),
    "tqdm": ("progress bars", "ecg"),
    "matplotlib": ("pictures", "plot"),
    "cartopy": ("maps of ecgkern geomag", "plot"),
    "scipy": ("asymptotic p-values and spectra", "stats"),
    "f90nml": ("namelists of old Fortran programs", "legacy"),
    "safetensors": ("ecgkern train and generate", "train"),
    "bokeh": ("ecgkern stream --browser", "stream"),
    "onnxscript": ("ecgkern export --to onnx", "export"),
    "onnxruntime": ("python -m ecgkern.edge", "edge"),
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
    columns = shutil.get_terminal_size((120, 24)).columns
    for finding in findings:
        lines = textwrap.wrap(finding.detail, max(40, columns - width - 7), break_long_words=False) or [""]
        print(f"{'yes' if finding.ready else 'NO':>3}  {finding.name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            print(f"{'':{width + 7}}{line}")
        if finding.remedy:
            print(f"{'':{width + 5}}  do:  {finding.remedy}")
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
    return [Finding(f"backend {b.name}", b.available, b.detail, b.remedy) for b in ecgkern.backends().values()]


def _build() -> list[Finding]:
    if not ecgkern.backends()["fortran"].available:
        return []
    compiler, options, openmp = fortran_build()
    # What gfortran spells out of -march=native also names each feature that is off, and the folders it looked in.
    unsaid = ("-mno-", "--param", "-fpre", "-I", "-J")
    flags = [word for word in options.split() if word.startswith("-") and not word.startswith(unsaid)]
    threads = f"OpenMP {openmp // 100}-{openmp % 100:02d}" if openmp else "no OpenMP: one thread"
    return [
        Finding("fortran compiler", True, f"{compiler}, {threads}"),
        Finding("fortran flags", True, " ".join(dict.fromkeys(flags))),
    ]


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
    folder = os.environ.get(ENVIRONMENT_VARIABLE, "")
    set_it = f"export {ENVIRONMENT_VARIABLE}=path   (a folder with ptb-xl and mitdb, or one of them)"
    if not folder:
        return Finding(ENVIRONMENT_VARIABLE, False, "not set: no real recordings", set_it)
    databases = []
    for database in (PTBXL, MITBIH):
        try:
            databases.append(f"{database.database}: {len(database(folder))} records")
        except FileNotFoundError:
            pass
        except (OSError, ImportError, RecordError) as error:
            return Finding(ENVIRONMENT_VARIABLE, False, f"{folder}: {error}")
    if not databases:
        return Finding(ENVIRONMENT_VARIABLE, False, f"{folder} holds neither PTB-XL nor MIT-BIH", set_it)
    return Finding(ENVIRONMENT_VARIABLE, True, f"{folder} ({', '.join(databases)})")
