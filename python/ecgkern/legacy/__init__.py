"""Reruns of old Fortran: build an untouched program of any age, run it with its deck, compare its listing.

`run` does all of that and keeps what came of it. `autopsy` explains faults line by line, `flags_matrix` tells rounding
from faults, `sweep` runs a deck or a namelist over a table of parameters, `wrap` makes Python functions of subroutines.
The same from a shell: ``ecgkern legacy``.
"""

from ecgkern.legacy._autopsy import Autopsy, autopsy
from ecgkern.legacy._build import BuildError
from ecgkern.legacy._compare import Comparison, compare
from ecgkern.legacy._compilers import Compiler
from ecgkern.legacy._compilers import available as compilers
from ecgkern.legacy._matrix import Matrix, flags_matrix
from ecgkern.legacy._process import Outcome
from ecgkern.legacy._run import Run, run
from ecgkern.legacy._source import Finding, LegacyError
from ecgkern.legacy._sweep import sweep
from ecgkern.legacy._wrap import Library, wrap

__all__ = [
    "Autopsy",
    "BuildError",
    "Comparison",
    "Compiler",
    "Finding",
    "LegacyError",
    "Library",
    "Matrix",
    "Outcome",
    "Run",
    "autopsy",
    "compare",
    "compilers",
    "flags_matrix",
    "run",
    "sweep",
    "wrap",
]
