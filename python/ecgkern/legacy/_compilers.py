"""The Fortran compilers on this machine, and the flags with which each builds a program of another time.

What old programs rely on and standards never promised: locals keep their values from call to call and start as zero;
text ends in column 72; argument lists need not match. One table says which flags give that in each compiler.
"""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgkern.legacy._source import LegacyError, Source

__all__ = ["COMPILERS", "Compiler", "available", "find", "flags"]

COMPILERS = {
    "gfortran": "sudo apt install gfortran",
    "flang": "sudo apt install flang-19",
    "nvfortran": "NVIDIA's HPC SDK, or the dev container: docs/fortran.md",
}
_NAMES = {
    "gfortran": r"gfortran(-\d+)?",
    "flang": r"flang(-new)?(-\d+)?",
    "nvfortran": r"nvfortran",
}
# Rounding is that of the source on every processor: no fused multiply-adds, no x87 registers, no flushing to zero.
_FLAGS = {
    ("gfortran", "run"): [
        *("-std=legacy", "-fdec", "-fallow-invalid-boz", "-fno-range-check", "-ffp-contract=off", "-g", "-fbacktrace"),
        # Or a division of integers by zero would be an illegal instruction, somewhere else.
        "-fno-isolate-erroneous-paths-dereference",
    ],
    ("gfortran", "retain"): ["-fno-automatic", "-finit-local-zero"],
    ("gfortran", "fixed"): ["-ffixed-form", "-ffixed-line-length-{columns}"],
    ("gfortran", "free"): ["-ffree-form", "-ffree-line-length-none"],
    ("flang", "run"): ["-ffp-contract=off", "-g"],
    ("flang", "retain"): ["-fno-automatic"],
    ("flang", "fixed"): ["-ffixed-form", "-ffixed-line-length={columns}"],
    ("flang", "free"): ["-ffree-form"],
    ("flang", "autopsy"): ["-O0"],
    ("nvfortran", "run"): ["-Kieee", "-Mnofma", "-Mbackslash", "-g"],
    ("nvfortran", "retain"): ["-Msave"],
    ("nvfortran", "fixed"): ["-Mfixed"],
    ("nvfortran", "free"): ["-Mfree"],
    ("nvfortran", "autopsy"): ["-O0", "-Mbounds", "-Mchkptr", "-Ktrap=fp", "-traceback"],
}


@dataclass(frozen=True)
class Compiler:
    """A Fortran compiler.

    Attributes
    ----------
    name : {"gfortran", "flang", "nvfortran"}
        Its family.
    path : str
        The command.
    version : str
        The first line that it says of itself.
    """

    name: str
    path: str
    version: str

    def __str__(self) -> str:
        return self.version


def find(name: str) -> Compiler:
    """The compiler of that name, or the one at that path.

    Raises
    ------
    LegacyError
        If it is not on this machine; the message tells how to install it.
    """
    command = Path(name)
    family = next((known for known, form in _NAMES.items() if re.fullmatch(form, command.name)), None)
    if family is None:
        raise ValueError(f"compiler must be one of {', '.join(COMPILERS)}, or the path of one, not {name!r}")
    if name != family:  # a path, or a version as in gfortran-13
        found = shutil.which(name)
        if found is None:
            raise LegacyError(f"compiler {name} was not found: install it ({COMPILERS[family]})")
        return Compiler(family, found, _version(found))
    newest = _newest(family)
    if newest is None:
        others = [compiler.name for compiler in available() if compiler.name != family]
        instead = f"; here there is {' and '.join(others)}" if others else ""
        raise LegacyError(f"compiler {family} was not found on PATH: install it ({COMPILERS[family]}){instead}")
    return newest


def available() -> list[Compiler]:
    """Every compiler family that is on this machine, its newest version, in the order gfortran, flang, nvfortran."""
    return [compiler for compiler in map(_newest, COMPILERS) if compiler is not None]


def flags(
    compiler: Compiler, source: Source, *, optimize: str = "-O2", retain: bool = True, purpose: str = "run"
) -> list[str]:
    """The flags that build a source of another time.

    Parameters
    ----------
    compiler : Compiler
        The compiler.
    source : Source
        The source: its form and its last column decide.
    optimize : str, optional
        The level, as in "-O2"; an "autopsy" is at -O0.
    retain : bool, optional
        Locals keep their values from call to call and start as zero.
    purpose : {"run", "autopsy"}, optional
        "autopsy" adds the checks that flang and nvfortran have; those of gfortran are taken one by one by `autopsy`.
    """
    chosen = [flag.format(columns=source.columns) for flag in _FLAGS[compiler.name, source.form]]
    if compiler.name == "nvfortran" and source.form == "fixed" and source.columns > 72:
        chosen.append("-Mextend")
    chosen += _FLAGS[compiler.name, "run"]
    # A name in capitals is a name of its time, not a wish for the C preprocessor.
    if compiler.name != "nvfortran" and not re.search(r"^#\s*(if|include|define)", source.text, re.MULTILINE):
        chosen.append("-nocpp")
    if retain:
        chosen += _FLAGS[compiler.name, "retain"]
    return chosen + (_FLAGS.get((compiler.name, "autopsy"), []) if purpose == "autopsy" else [optimize])


def _newest(family: str) -> Compiler | None:
    """The preferred compiler of a family, of those that run."""
    for path in sorted(_candidates(family), key=_number, reverse=True):
        try:
            return Compiler(family, str(path), _version(str(path)))
        except LegacyError:
            continue
    return None


def _candidates(family: str) -> Iterator[Path]:
    """The commands of a family on PATH, and where NVIDIA's SDK puts itself."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    if family == "nvfortran":
        folders += sorted(Path("/opt/nvidia/hpc_sdk").glob("*/*/compilers/bin"))
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        yield from (folder / name for name in names if re.fullmatch(_NAMES[family], name))


def _number(path: Path) -> tuple[int, int]:
    """Order of preference: the plain name, then the newest."""
    number = re.search(r"-(\d+)$", path.name)
    return (number is None and "-new" not in path.name, int(number[1]) if number else 0)


@functools.cache
def _version(path: str) -> str:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LegacyError(f"compiler {path} does not run: {error}") from error
    lines = [line.strip() for line in said.stdout.splitlines() if line.strip()]
    if said.returncode or not lines:
        raise LegacyError(f"compiler {path} does not run: {said.stderr.strip() or 'it says nothing'}")
    return lines[0]
