"""The subroutines of an old Fortran file as Python functions, in a process of their own.

f2py writes the border; everything that it would guess is settled here first. It reads no INTENT in FORTRAN 77, so it
passes copies and drops what the routine wrote whenever a dtype or an order is not the right one: here every argument is
converted by rules that lose nothing but rounding, and comes back as it is after the call. The types it has read are
checked against the compiler's, so that no wrong size reaches the routine. STOP, a crash, an endless loop and COMMON
stay in the other process (`_server`).
"""

import ast
import contextlib
import inspect
import itertools
import json
import keyword
import math
import operator
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import weakref
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ecgkern.legacy import _server
from ecgkern.legacy._build import BuildError, _compile
from ecgkern.legacy._compilers import Compiler, find, flags
from ecgkern.legacy._dialect import modernised, procedures
from ecgkern.legacy._process import _told
from ecgkern.legacy._source import LegacyError, Source, expanded, is_comment, read

__all__ = ["Library", "wrap"]

_START_LIMIT = 60.0  # s, for Python, NumPy and the routines to be loaded
_OUTPUT_LIMIT = 2 * 2**30  # bytes of the largest file that a routine may write, unit 6 included
_LETTERS = {"real": "f", "integer": "i", "logical": "i", "complex": "c"}
_LARGEST_EXACT = {4: 2**24, 8: 2**53}  # integers up to here are exact in a float of so many bytes
_FRESH = "The next call starts a new process: COMMON and retained locals are then as at the start"
_UNNAMED = "eckmain"
# The first statement of a unit, without blanks.
_HEADER = re.compile(
    r"(program|module|submodule|blockdata"
    r"|((real|integer|logical|complex|character|doubleprecision|doublecomplex|byte|type|recursive|pure|elemental|impure)"
    r"(\*\d+|\*?\([^)]*\))*)*(function|subroutine))[a-z(]|blockdata$"
)
_FLUSH = """
      SUBROUTINE ECKFLU
      LOGICAL ISOPEN
      INTEGER I
      DO 10 I = 0, 99
         INQUIRE(UNIT=I, OPENED=ISOPEN)
         IF (ISOPEN) FLUSH(I)
   10 CONTINUE
      END
"""


@dataclass(frozen=True)
class _Variable:
    """A dummy argument, a result or a member of COMMON."""

    name: str
    type: str
    size: int
    length: str | None
    dims: tuple[str, ...]
    intent: frozenset[str]

    @property
    def python_name(self) -> str:
        return self.name + "_" if keyword.iskeyword(self.name) else "arg" * self.name.startswith("_") + self.name

    @property
    def is_input(self) -> bool:
        return "hide" not in self.intent and ("out" not in self.intent or bool(self.intent & {"in", "inout"}))

    @property
    def is_output(self) -> bool:
        return "hide" not in self.intent and (not self.intent or bool(self.intent & {"out", "inout", "inplace"}))

    @property
    def assumed_size(self) -> bool:
        """Its last dimension is *, or the 1 that stood for it before there was a *."""
        return bool(self.dims) and bool(re.fullmatch(r"(.*:)?\s*\*|1", self.dims[-1]))

    def fortran(self, length: str | None = None) -> str:
        """The type as a declaration has it, as in REAL*8."""
        if self.type == "character":
            return f"CHARACTER*{length or (self.length if str(self.length).isdigit() else '(*)')}"
        return f"{self.type.upper()}*{self.size}"

    def __str__(self) -> str:
        dims = ",".join(self.dims).replace(" ", "").upper()
        return self.fortran() + (f" ({dims})" if dims else "")


@dataclass(frozen=True)
class _Routine:
    """A SUBROUTINE, FUNCTION or ENTRY; `number` names its wrapper."""

    number: int
    name: str
    module: str | None
    kind: str
    file: str
    arguments: tuple[_Variable, ...] = ()
    result: _Variable | None = None

    @property
    def has_wrapper(self) -> bool:
        """Whether Fortran code stands between it and f2py: for results, and for what needs an explicit interface."""
        return self.module is not None or self.result is not None

    @property
    def symbol(self) -> str:
        return f"eckw{self.number}" if self.has_wrapper else self.name

    def passed(self) -> list[tuple[_Variable, bool]]:
        """The arguments of what f2py calls, and whether each is an array."""
        found = [(argument, bool(argument.dims)) for argument in self.arguments]
        if self.module is not None:
            extent = _Variable("", "integer", 8, None, (), frozenset())
            found += [(extent, False) for argument in self.arguments for _ in argument.dims]
        return found + ([(self.result, False)] if self.result else [])


def wrap(
    program: str | Path | Sequence[str | Path],
    *,
    compiler: str = "gfortran",
    optimize: str = "-O2",
    retain: bool = True,
    extra: Sequence[str] = (),
    form: str | None = None,
    columns: str = "auto",
    time_limit: float | None = None,
    folder: str | Path | None = None,
) -> "Library":
    """Make the subroutines and functions of a Fortran file callable from Python.

    They run in a process of their own, so that STOP, a crash, an endless loop and COMMON cannot hurt the caller.

    Parameters
    ----------
    program : str, pathlib.Path, or a sequence of them
        The source, or several that belong together, in the order in which they are to be compiled.
    compiler : str, optional
        "gfortran", "flang", "nvfortran", or the path of one. gcc and the headers of Python are needed as well.
    optimize : str, optional
        "-O0" to "-O3".
    retain : bool, optional
        Locals keep their values from call to call and start as zero.
    extra : sequence of str, optional
        Flags behind all others; none that change the size of a type.
    form : {"fixed", "free"}, optional
        The source's form; else told by its name and lines.
    columns : {"auto", "72", "132"}, optional
        The last column that is read in fixed form.
    time_limit : float, optional
        Seconds after which a call is given up, with a `LegacyError`. None waits for ever.
    folder : str or pathlib.Path, optional
        A new or empty folder to build in, which is kept. By default a temporary one, which `Library.close` removes.

    Returns
    -------
    Library
        Its attributes are the routines, by their names in lower case.

    Raises
    ------
    LegacyError
        If a file, the compiler or a header is missing, if the source cannot be compiled (`BuildError`, with its
        ``log``), if it holds no routine, or none that can be called.
    ValueError
        If an argument is none of those listed.

    Notes
    -----
    A call passes the arguments in the order of the Fortran statement, or by name. It never changes the caller's arrays.

    - A FUNCTION returns its result. A SUBROUTINE returns a named tuple of all its arguments as they are after the call;
      where the source declares INTENT (or has ``CF2PY INTENT`` comments), of those that are OUT or INOUT, and an
      argument that is OUT alone is not passed.
    - ``None`` stands for zeros of the declared size, for arguments that the routine sets. For an INTEGER that is a
      dimension of an array, it stands for the size of that array.
    - REAL takes real numbers and rounds them to its size; a value too large for it is refused, and so is an integer
      that it cannot hold exactly. INTEGER takes whole numbers, LOGICAL truth values, CHARACTER strings, padded with
      blanks.
    - Arrays keep the order of Fortran's indices: ``a[i, j]`` is A(I+1, J+1). An array must have as many dimensions as
      the dummy argument and the sizes that it declares; the last dimension may be longer. X(*) and the older X(1)
      take any length, and a routine that writes beyond it is stopped. A dimension that is no argument (but in COMMON,
      say) is not checked otherwise.
    - Procedures as arguments, alternate returns, types that NumPy lacks: such routines are listed in
      `Library.refused`, each with its reason.

    The routines run in ``Library.folder / "scratch"``; units are found there. Unit 5 is empty.

    Examples
    --------
    >>> from ecgkern import legacy
    >>> with legacy.wrap("chapman.f", time_limit=10) as lib:  # doctest: +SKIP
    ...     print(lib.chap(300.0, 250.0, 50.0, None).xne)
    """
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit must be positive or None, not {time_limit}")
    paths = [program] if isinstance(program, str | Path) else list(program)
    if not paths:
        raise ValueError("program must name at least one source")
    sources = [read(path, form=form, columns=columns) for path in paths]
    found = find(compiler)
    home = Path(tempfile.mkdtemp(prefix="ecgkern-wrap-")) if folder is None else _new_folder(Path(folder))
    try:
        flagged = [[*flags(found, source, optimize=optimize, retain=retain), *extra] for source in sources]
        routines, refused, commons = _build(sources, found, flagged, home)
        names = ", ".join(source.path.name for source in sources)
        return Library(names, home, folder is None, routines, refused, commons, time_limit)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)  # it was new, or empty
        raise


class Library(AbstractContextManager["Library"]):
    """The routines of a Fortran file, in a process of their own: see `wrap`, which makes it.

    Usable from several threads, one call at a time. The process ends with `close`, at the end of a ``with`` block, and
    with the caller's own process, however that ends.

    Attributes
    ----------
    routines : dict of str to callable
        The functions, by name: also those whose names are methods of this class, as ``lib.routines["close"]``.
    refused : dict of str to str
        The routines that cannot be called, and why.
    common : dict of str to mapping
        The COMMON blocks; ``lib.common["LEGCNT"]["NCALL"]`` is read and may be set. Blank COMMON is "".
    folder : pathlib.Path
        Where all of it is: the routines run in its folder ``scratch``.
    """

    def __init__(
        self,
        files: str,
        folder: Path,
        temporary: bool,
        routines: list[_Routine],
        refused: dict[str, str],
        commons: dict[str, tuple[int, list[_Variable]]],
        time_limit: float | None,
    ) -> None:
        self.folder = folder
        self.refused = refused
        self._files = files
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._state = _State(folder, temporary)
        self._finalizer = weakref.finalize(self, self._state.close)
        self._known = {routine.name: routine for routine in routines}
        reference = weakref.ref(self)
        self.routines: dict[str, Callable[..., Any]] = {
            routine.name: _function(routine, reference) for routine in routines
        }
        self.common: Mapping[str, Common] = _Upper(
            {name: Common(name, number, members, reference) for name, (number, members) in commons.items()},
            "COMMON block",
        )
        with self._lock:
            try:
                self._state.start()  # so that what is missing is known now, not at the first call
            except BaseException:
                self._finalizer()
                raise

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Only for what is no attribute. A private name must not look for one: __init__ may not have come to it.
        if not name.startswith("_"):
            if name.lower() in self.routines:
                return self.routines[name.lower()]
            if name.lower() in self.refused:
                raise AttributeError(f"{name.upper()} of {self._files} cannot be called: {self.refused[name.lower()]}")
            raise AttributeError(f"{self._files} has no routine {name!r}, only {', '.join(self.routines)}")
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.routines]

    def __repr__(self) -> str:
        return f"<Library of {self._files}: {', '.join(self.routines)}>"

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def output(self) -> str:
        """What the routines have printed on unit 6 so far."""
        return self._state.printed.read_text(encoding="latin-1")

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a routine and return all of it: a FUNCTION's result and every argument as it is after the call.

        Parameters
        ----------
        name : str
            The routine.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        named tuple
            The result under the function's name, if it is one, and all arguments.
        """
        if name.lower() not in self._known:
            getattr(self, name.lower())  # says why
        return self._call(self._known[name.lower()], args, kwargs, everything=True)

    def restart(self) -> None:
        """End the process. The next call starts one in which COMMON and retained locals are as at the start."""
        with self._lock:
            self._state.stop()

    def close(self) -> None:
        """End the process and remove the temporary folder. Nothing can be called afterwards."""
        with self._lock:
            self._finalizer()

    def _call(self, routine: _Routine, args: tuple[Any, ...], kwargs: dict[str, Any], everything: bool) -> Any:
        signature = _signature(routine)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            hint = "; None stands for an argument that the routine sets" if "missing" in str(error) else ""
            raise TypeError(f"{routine.name}{signature}: {error}{hint}") from None
        sent = _converted(routine, given)
        wire = [array.ravel(order="F") if array.size else np.zeros(1, array.dtype) for array in sent]
        if routine.module is not None:
            extents = [extent for array in sent for extent in array.shape]
            wire += [np.array([extent], np.int64) for extent in extents]
        if routine.result is not None:
            wire.append(np.zeros(1, _dtype(routine.result, int(routine.result.length or 0))))
        passed = routine.passed()
        header = {"routine": f"r{routine.number}", "scalar": [not array for _, array in passed]}
        header["names"] = [variable.name.upper() for variable, _ in passed]
        received = self._ask(f"{routine.name.upper()} of {routine.file}", header, wire)
        after = {
            argument.python_name: _returned(array, argument, before.shape)
            for argument, before, array in zip(routine.arguments, sent, received, strict=False)
        }
        if routine.result is None:
            if not everything:
                after = {
                    argument.python_name: after[argument.python_name]
                    for argument in routine.arguments
                    if argument.is_output
                }
                if not after:
                    return None
            return _tuple(routine.name, tuple(after))(**after)
        result = _returned(received[-1], routine.result, ())
        if not everything:
            return result
        after = {routine.result.python_name: result} | after
        return _tuple(routine.name, tuple(after))(**after)

    def _ask(self, what: str, header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        with self._lock:
            if not self._finalizer.alive:
                raise LegacyError(f"{what} cannot be called: the library is closed")
            process = self._state.start()
            begun = process.said_until_now()
            start = time.monotonic()
            try:
                process.send(header, arrays)
                answer, received = process.receive(self._time_limit)
            except TimeoutError:
                self._state.kill()
                raise LegacyError(
                    f"{what} was stopped after the time limit of {self._time_limit:g} s. {_FRESH}"
                ) from None
            except (EOFError, BrokenPipeError):
                code = process.ended()
                self._state.kill()
                outcome = _told(code, process.said(begun), time.monotonic() - start, Path())
                message = outcome.message if outcome.ended != "end" else "ended by STOP or CALL EXIT"
                if outcome.signal == "SIGXFSZ":
                    message = f"was stopped: it has written a file of {_OUTPUT_LIMIT / 1e9:.1f} GB"
                raise LegacyError(f"{what} {message}. {_FRESH}") from None
            except BaseException:  # Ctrl-C: the answer that is on its way must not be taken for another's
                self._state.kill()
                raise
            if "spoilt" in answer:
                self._state.kill()
                raise LegacyError(f"{what} was stopped: {answer['spoilt']}. {_FRESH}")
        if "error" in answer:
            raise LegacyError(f"{what} was refused by f2py: {answer['error']}")
        return received


class Common(Mapping[str, Any]):
    """A COMMON block: its members by name, of either case. ``block["NCALL"] = 0`` sets one.

    An array is a copy; to change elements, change the copy and set the member.
    """

    def __init__(self, name: str, number: int, members: list[_Variable], library: "weakref.ref[Library]") -> None:
        self._name = name
        self._number = number
        self._members = {member.name.upper(): (index, member) for index, member in enumerate(members)}
        self._library = library

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        members = ", ".join(f"{name}: {member}" for name, (_, member) in self._members.items())
        return f"<COMMON /{self._name}/ {members}>"

    def __getitem__(self, name: str) -> Any:
        what, header, member, shape = self._find(name)
        return _returned(_alive(self._library)._ask(what, header, [])[0], member, shape)

    def __setitem__(self, name: str, value: Any) -> None:
        what, header, member, shape = self._find(name)
        array = _array(value, member, what, int(member.length or 0))
        if array.shape != shape:
            raise ValueError(f"{what} must have shape {shape}, got {array.shape}")
        _alive(self._library)._ask(what, header, [array.ravel(order="F")])

    def _find(self, name: str) -> tuple[str, dict[str, Any], _Variable, tuple[int, ...]]:
        if name.upper() not in self._members:
            raise KeyError(f"COMMON /{self._name}/ has no {name}, only {', '.join(self._members)}")
        index, member = self._members[name.upper()]
        header = {"common": _python_block(self._name), "member": f"v{index}", "scalar": not member.dims}
        return f"{name.upper()} of COMMON /{self._name}/", header, member, tuple(map(int, member.dims))


class _Upper(dict[str, Any]):
    """Names of either case."""

    def __init__(self, items: dict[str, Any], what: str) -> None:
        super().__init__(items)
        self._what = what

    def __missing__(self, name: str) -> Any:
        if name.upper() in self:
            return self[name.upper()]
        raise KeyError(f"there is no {self._what} {name}, only {', '.join(self) or 'none'}")


# --- the process ------------------------------------------------------------------------------------------------------


class _State:
    """The process of a library and its folder; it holds no reference to the library, which may go out of scope."""

    def __init__(self, folder: Path, temporary: bool) -> None:
        self.folder = folder
        self.printed = folder / "printed.txt"
        self._temporary = temporary
        self._process: _Process | None = None
        self._owner = os.getpid()

    def start(self) -> "_Process":
        """The process; a new one if there is none."""
        if self._owner != os.getpid():  # after a fork the pipes are the parent's: a process of one's own
            self._process, self._owner, self._temporary = None, os.getpid(), False
        if self._process is None:
            self._process = _Process(self.folder, self.printed, self._temporary)
        return self._process

    def kill(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
        self._process = None

    def stop(self) -> None:
        """Let it write its units and end."""
        if self._process is not None and self._owner == os.getpid():
            self._process.stop()
        self._process = None

    def close(self) -> None:
        self.stop()
        if self._temporary and self._owner == os.getpid():
            shutil.rmtree(self.folder, ignore_errors=True)


class _Process:
    """One process that serves the routines, with a pipe each way and one that only tells it that its caller lives."""

    def __init__(self, folder: Path, printed: Path, temporary: bool) -> None:
        self._errors = folder / "errors.txt"
        begun = self.said_until_now()
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        lifeline, self._lifeline = os.pipe()
        theirs = (requests, replies, lifeline)
        command = [sys.executable, "-P", _server.__file__, "serve", str(folder / f"{_server.MODULE}.so")]
        try:
            with open(printed, "ab") as out, open(self._errors, "ab") as err:
                self._popen = subprocess.Popen(
                    [*command, *map(str, theirs), str(_OUTPUT_LIMIT), str(folder) if temporary else ""],
                    cwd=folder / "scratch",
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    pass_fds=theirs,
                    start_new_session=True,
                )
        except BaseException:
            self._close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        try:
            self.receive(_START_LIMIT)
        except (EOFError, TimeoutError):
            self.kill()
            self._not_started(self.said(begun))
        except BaseException:
            self.kill()
            raise

    def _not_started(self, said: str) -> NoReturn:
        if missing := re.search(r"undefined symbol: (\w+?)_?\b", said):
            raise LegacyError(
                f"{missing[1].upper()} is called, and no file given has a SUBROUTINE or FUNCTION of that name: "
                "name its file as well"
            )
        raise LegacyError(f"the process of the routines does not start: {said.strip()[-2000:] or 'it says nothing'}")

    def send(self, header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> None:
        _server.send(self._requests, header, arrays)

    def receive(self, time_limit: float | None) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """The next message; TimeoutError after the limit, EOFError if the process has ended."""
        until = None if time_limit is None else time.monotonic() + time_limit
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)

        def read(buffer: Any) -> None:
            view = memoryview(buffer)
            while view:
                left = None if until is None else max(0.0, until - time.monotonic())
                # At most a day at a time: the argument of poll is a C int of milliseconds.
                if not poll.poll(None if left is None else math.ceil(1000 * min(left, 86400.0))):
                    if left is not None and left <= 86400.0:
                        raise TimeoutError
                    continue
                count = os.readv(self._replies, [view])
                if not count:
                    raise EOFError
                view = view[count:]

        return _server.receive(read)

    def said_until_now(self) -> int:
        """The bytes that it and those before it have printed on unit 0."""
        return self._errors.stat().st_size if self._errors.exists() else 0

    def said(self, begun: int) -> str:
        """What it has printed on unit 0 behind so many bytes: the last 64 KiB of it."""
        with open(self._errors, "rb") as file:
            file.seek(max(begun, self.said_until_now() - 2**16))
            return file.read().decode("latin-1")

    def ended(self) -> int:
        """The exit code of a process that has closed its pipes."""
        try:
            return self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._popen.returncode

    def kill(self) -> None:
        """End it and whatever it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._close()

    def stop(self) -> None:
        """Let it end by itself."""
        os.close(self._requests)
        self._requests = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5)
        self.kill()

    def _close(self) -> None:
        for descriptor in (self._requests, self._replies, self._lifeline):
            if descriptor >= 0:
                os.close(descriptor)
        self._requests = self._replies = self._lifeline = -1


# --- values -----------------------------------------------------------------------------------------------------------


def _converted(routine: _Routine, given: Mapping[str, Any]) -> list[NDArray[Any]]:
    """The arguments as arrays of the declared types and sizes."""
    values = {argument.name: given.get(argument.python_name) for argument in routine.arguments}
    integers: dict[str, int] = {}
    arrays: dict[str, NDArray[Any]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for argument in routine.arguments:
        value = values[argument.name]
        if value is None or argument.type == "character":
            if value is not None and argument.dims:
                shapes[argument.name] = _strings(value, argument, routine.name).shape
            continue
        array = _array(value, argument, f"{routine.name}: {argument.python_name}", 0)
        if array.ndim != len(argument.dims):
            wanted = f"have the {len(argument.dims)} dimensions of {argument}" if argument.dims else "be a scalar"
            raise ValueError(f"{routine.name}: {argument.python_name} must {wanted}, got shape {array.shape}")
        arrays[argument.name], shapes[argument.name] = array, array.shape
        if argument.type == "integer" and not argument.dims:
            integers[argument.name] = int(array)
    for argument in routine.arguments:
        if argument.type == "integer" and not argument.dims and argument.name not in integers:
            integers[argument.name] = _size_meant(argument, routine, shapes)
    for argument in routine.arguments:
        where = f"{routine.name}: {argument.python_name}"
        if argument.type == "character":
            length = _character_length(argument, values[argument.name], integers, where)
            value = values[argument.name]
            if value is not None:
                arrays[argument.name] = _array(value, argument, where, length)
            dtype = _dtype(argument, length)
        else:
            dtype = _dtype(argument, 0)
        declared = [_extent(dim, integers, shapes) for dim in argument.dims]
        if argument.name not in arrays:
            if argument.assumed_size or None in declared:
                raise ValueError(
                    f"{where} is {argument}: its size is not declared, so give an array of the size it shall have"
                )
            fill = b" " * length if argument.type == "character" else integers.get(argument.name, 0)
            arrays[argument.name] = np.full([size or 0 for size in declared], fill, dtype)
        _check_shape(arrays[argument.name].shape, declared, argument, integers, where)
    return [arrays[argument.name] for argument in routine.arguments]


def _size_meant(argument: _Variable, routine: _Routine, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The value of an INTEGER that was not given: the size of the array that it is a dimension of, or zero."""
    used = False
    for other in routine.arguments:
        for axis, dim in enumerate(other.dims):
            if dim == argument.name and other.name in shapes:
                return shapes[other.name][axis]
            used = used or bool(re.search(rf"\b{argument.name}\b", dim))
    if used and argument.is_input:
        raise ValueError(
            f"{routine.name}: {argument.python_name} must be given: it is a dimension, and no array tells its size"
        )
    return 0


def _check_shape(
    shape: tuple[int, ...],
    declared: list[int | None],
    argument: _Variable,
    integers: Mapping[str, int],
    where: str,
) -> None:
    for axis, (size, wanted) in enumerate(zip(shape, declared, strict=True)):
        last = axis == len(shape) - 1
        if wanted is None or (last and argument.assumed_size):
            continue
        if size < wanted or (size > wanted and not last):
            known = [f"{name.upper()} = {integers[name]}" for name in integers if _uses(argument, name)]
            least = "at least " if last else ""
            raise ValueError(
                f"{where} is {argument}{' with ' + ', '.join(known) if known else ''}: it must have {least}{wanted} "
                f"elements along dimension {axis + 1}, got shape {shape}"
            )


def _uses(argument: _Variable, name: str) -> bool:
    return any(re.search(rf"\b{name}\b", dim) for dim in argument.dims)


def _extent(text: str, integers: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The value of a dimension; None if it hangs on something that is no argument."""
    try:
        value = _value(ast.parse(text.replace("/", "//"), mode="eval").body, integers, shapes)
    except (KeyError, SyntaxError, ValueError, TypeError, ZeroDivisionError, IndexError, OverflowError):
        return None
    return max(0, value)


_OPERATORS: dict[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),  # Fortran cuts towards zero
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., int]] = {
    "max": max, "max0": max, "min": min, "min0": min, "abs": abs, "iabs": abs, "mod": lambda a, b: int(math.fmod(a, b)),
}  # fmt: skip


def _value(node: ast.AST, integers: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return integers[node.id]
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Pow):
            return int(pow(_value(node.left, integers, shapes), min(_value(node.right, integers, shapes), 64)))
        return _OPERATORS[type(node.op)](_value(node.left, integers, shapes), _value(node.right, integers, shapes))
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_value(node.operand, integers, shapes))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        first = node.args[0]
        if node.func.id in ("size", "shape") and isinstance(first, ast.Name):
            axes = [_value(argument, integers, shapes) for argument in node.args[1:]]
            if not axes:
                return math.prod(shapes[first.id])
            return shapes[first.id][axes[0] - (node.func.id == "size")]
        return _FUNCTIONS[node.func.id](*(_value(argument, integers, shapes) for argument in node.args))
    raise ValueError(ast.dump(node))


def _dtype(variable: _Variable, length: int) -> np.dtype[Any]:
    if variable.type == "character":
        return np.dtype(f"S{max(length, 1)}")
    return np.dtype(f"{_LETTERS[variable.type]}{variable.size}")


def _array(value: Any, variable: _Variable, where: str, length: int) -> NDArray[Any]:
    """The value as a new array of the declared type, or an error that says what is lost."""
    if variable.type == "character":
        strings = _strings(value, variable, where)
        longest = max((len(string) for string in strings.flat), default=0)
        if longest > max(length, 1):
            raise ValueError(f"{where} is {variable}: it must have at most {length} characters, got {longest}")
        padded = [string.ljust(max(length, 1)) for string in strings.flat]
        return np.array(padded, _dtype(variable, length)).reshape(strings.shape)
    if np.ma.is_masked(value):
        raise ValueError(f"{where} must not hold masked elements: fill them first")
    try:
        array = np.asarray(value)
        if array.dtype == object and variable.type in ("real", "complex"):  # large integers, fractions
            array = array.astype(np.float64)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{where} is {variable}: {error}") from None
    accepted = {"real": "fiu", "integer": "iuf", "complex": "cfiu", "logical": "biu"}[variable.type]
    if array.size == 0 and array.dtype == float:
        array = array.astype(_dtype(variable, 0))  # an empty list has no type yet
    if array.dtype.kind not in accepted:
        kinds = {"real": "real numbers", "integer": "whole numbers", "complex": "numbers", "logical": "truth values"}
        raise TypeError(f"{where} is {variable}: it must hold {kinds[variable.type]}, got {array.dtype}")
    dtype = _dtype(variable, 0)
    with np.errstate(all="ignore"):
        converted: NDArray[Any] = np.array(array, dtype=dtype, order="F")
        if variable.type == "logical":
            bad, why = (array != 0) & (array != 1), "hold truth values"
        elif dtype.kind == "i":
            limits = np.iinfo(dtype)
            bad = ~((array >= limits.min) & (array <= limits.max) & (array == np.trunc(array)))
            why = f"hold whole numbers from {limits.min} to {limits.max}"
        elif array.dtype.kind in "iu":
            exact = _LARGEST_EXACT[dtype.itemsize // (2 if dtype.kind == "c" else 1)]
            bad = (array > exact) | (array < -exact if array.dtype.kind == "i" else False)
            for index in zip(*np.nonzero(bad), strict=True) if array.ndim else ():
                bad[index] = int(converted[index].real) != int(array[index])
            if not array.ndim and bad:
                bad = np.asarray(int(converted.real) != int(array))
            why = f"hold integers that {variable.fortran()} holds exactly"
        else:
            bad, why = np.isinf(converted) & ~np.isinf(array), f"hold values within the range of {variable.fortran()}"
    bad = np.asarray(bad)
    if bad.any():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        place = f" at {list(index)}" if index else ""
        raise ValueError(f"{where} is {variable}: it must {why}, got {array[index]}{place}")
    return converted


def _strings(value: Any, variable: _Variable, where: str) -> NDArray[Any]:
    """The elements as bytes in an object array."""
    array = np.asarray(value)
    if array.dtype.kind not in "US" and not (array.size == 0 and array.ndim):
        raise TypeError(f"{where} is {variable}: it must be a string, got {type(value).__name__} of {array.dtype}")
    if array.ndim != len(variable.dims):
        wanted = f"have the {len(variable.dims)} dimensions of {variable}" if variable.dims else "be one string"
        raise ValueError(f"{where} must {wanted}, got shape {array.shape}")
    strings = np.empty(array.shape, object)
    try:
        for index, element in np.ndenumerate(array):
            strings[index] = element if isinstance(element, bytes) else str(element).encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} is {variable}: {error.object[error.start]!r} is no character of Latin-1") from None
    return strings


def _character_length(argument: _Variable, value: Any, integers: Mapping[str, int], where: str) -> int:
    """The declared length, or that of the longest string given for CHARACTER*(*)."""
    assert argument.length is not None
    if argument.length != "*" and (length := _extent(argument.length, integers, {})) is not None:
        return length
    if value is None:
        raise ValueError(f"{where} is {argument}: give a string of the length it shall have")
    return max((len(string) for string in _strings(value, argument, where).flat), default=1)


def _returned(array: NDArray[Any], variable: _Variable, shape: tuple[int, ...]) -> Any:
    """The value for Python: arrays in the shape they were given, scalars as scalars."""
    if variable.type == "logical":
        array = array != 0
    elif variable.type == "character":
        stripped = [element.rstrip(b" \0").decode("latin-1") for element in array]
        array = np.array(stripped, dtype=np.str_)
    if variable.dims:
        return array[: math.prod(shape)].reshape(shape, order="F")
    return array[0] if variable.type in ("real", "complex") else array[0].item()


# --- the functions ----------------------------------------------------------------------------------------------------


def _signature(routine: _Routine) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    inputs = [argument for argument in routine.arguments if argument.is_input]
    return inspect.Signature(
        [inspect.Parameter(argument.python_name, kind, annotation=_Text(str(argument))) for argument in inputs],
        return_annotation=_Text(str(routine.result)) if routine.result else inspect.Signature.empty,
    )


class _Text:
    """An annotation that is shown as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _alive(reference: "weakref.ref[Library]") -> Library:
    library = reference()
    if library is None:
        raise LegacyError("the library of this routine is gone: keep a reference to what legacy.wrap returns")
    return library


def _function(routine: _Routine, reference: "weakref.ref[Library]") -> Callable[..., Any]:
    # A weak reference: the library holds its functions, and its process is to end when it goes out of scope.
    def function(*args: Any, **kwargs: Any) -> Any:
        return _alive(reference)._call(routine, args, kwargs, everything=False)

    arguments = ", ".join(argument.name.upper() for argument in routine.arguments)
    module = f" of MODULE {routine.module.upper()}" if routine.module else ""
    lines = [f"{routine.kind.upper()} {routine.name.upper()}({arguments}){module}, {routine.file}.", ""]
    if routine.arguments:
        lines += ["Parameters", "----------"]
        for argument in routine.arguments:
            intent = ", ".join(sorted(argument.intent & {"in", "out", "inout", "hide"})).upper()
            lines.append(f"{argument.python_name} : {argument}{f', INTENT({intent})' if intent else ''}")
        lines.append("")
    outputs = [argument.python_name for argument in routine.arguments if argument.is_output]
    returns = str(routine.result) if routine.result else f"named tuple of {', '.join(outputs)}" if outputs else "None"
    lines += ["Returns", "-------", returns]
    function.__name__ = function.__qualname__ = routine.name
    function.__doc__ = "\n".join(lines) + "\n"
    function.__signature__ = _signature(routine)  # type: ignore[attr-defined]
    return function


def _tuple(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name + "_" if keyword.iskeyword(name) else name, fields)


# --- the build --------------------------------------------------------------------------------------------------------


def _build(
    sources: list[Source], compiler: Compiler, flagged: list[list[str]], folder: Path
) -> tuple[list[_Routine], dict[str, str], dict[str, tuple[int, list[_Variable]]]]:
    """Describe, compile, check and link; the routines, those refused with their reasons, and the COMMON blocks."""
    cc = _c_compiler()
    (folder / "scratch").mkdir()
    own = frozenset[str]().union(*map(procedures, sources))
    texts = [modernised(source, own=own)[0] for source in sources]
    described = [
        _described(source, text, folder, number)
        for number, (source, text) in enumerate(zip(sources, texts, strict=True))
    ]
    objects = []
    for number, (source, text, options) in enumerate(zip(sources, texts, flagged, strict=True)):
        home = folder / str(number)
        home.mkdir()
        # Its own name, so that what the compiler and the run-time library say names the user's file.
        (home / source.path.name).write_text(text, encoding="latin-1")
        objects.append(f"{number}.o")
        include = ["-I", str(source.path.resolve().parent)]
        command = [compiler.path, *options, "-fPIC", *include, "-c", f"{number}/{source.path.name}", "-o", objects[-1]]
        _compile(command, folder, source, 120.0)
    routines: list[_Routine] = []
    refused: dict[str, str] = {}
    counter = itertools.count(1)
    for source, text, options, description in zip(sources, texts, flagged, described, strict=True):
        here = []
        for entry in description["routines"]:
            if "reason" in entry:
                refused[entry["name"]] = entry["reason"]
                continue
            here.append(
                _Routine(
                    next(counter),
                    entry["name"],
                    entry["module"],
                    entry["kind"],
                    source.path.name,
                    tuple(map(_variable, entry["arguments"])),
                    _variable(entry["result"]) if entry["result"] else None,
                )
            )
        wrong = _mismatches(here, source, text, compiler, options, folder)
        for routine in here:
            if routine.name not in wrong and routine.has_wrapper:
                name = f"w{routine.number}"
                (folder / f"{name}.f90").write_text(_wrapper(routine))
                command = [compiler.path, "-O1", "-fPIC", "-c", f"{name}.f90", "-o", f"{name}.o"]
                try:
                    _compile(command, folder, source, 120.0)
                    objects.append(f"{name}.o")
                except BuildError as error:
                    said = re.search(r"[Ee]rror: ([^\n]*)", error.log)
                    wrong[routine.name] = said[1] if said else "the compiler refuses a call of it"
        refused |= {name: f"the compiler refuses its call: {reason}" for name, reason in wrong.items()}
        routines += [routine for routine in here if routine.name not in wrong]
    names = ", ".join(source.path.name for source in sources)
    if not routines:
        if refused:
            reasons = "; ".join(f"{name.upper()}: {reason}" for name, reason in refused.items())
            raise LegacyError(f"{names} has no routine that can be called: {reasons}")
        program = next((description["program"] for description in described if description["program"]), None)
        named = "a main program" if program == _UNNAMED else f"the program {program.upper()}" if program else ""
        only = f", only {named}: legacy.run runs it" if named else ""
        raise LegacyError(f"{names} has no SUBROUTINE or FUNCTION{only}")
    commons: dict[str, tuple[int, list[_Variable]]] = {}
    for description in described:
        for name, members in description["common"].items():
            key = "" if name == "_BLNK_" else name.upper()
            commons.setdefault(key, (len(commons), [_variable(member) for member in members]))
    _border(routines, commons, compiler, cc, folder)
    command = [compiler.path, "-shared", *objects, "flush.o", "border.o", "module.o", "fortranobject.o"]
    _compile([*command, "-o", f"{_server.MODULE}.so"], folder, sources[0], 120.0)
    return routines, refused, commons


def _described(source: Source, text: str, folder: Path, number: int) -> dict[str, Any]:
    """What f2py's parser reads, from a copy in which only what is code is left."""
    if source.form == "fixed":
        kept = [
            "" if is_comment(line) and not re.match(r"[cC*!][fF]2[pP][yY]", line) else expanded(line)[: source.columns]
            for line in text.split("\n")
        ]
        text = "\n".join(kept)
    text = _with_headers(text, source.form)
    copy = folder / f"described{number}{'.f' if source.form == 'fixed' else '.f90'}"
    copy.write_text(text, encoding="latin-1")
    command = [sys.executable, "-P", _server.__file__, "describe", str(source.path.resolve().parent), copy.name]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if said.returncode:
        reason = (said.stderr.strip() or "it says nothing").splitlines()[-1]
        raise LegacyError(f"{source.path.name}: f2py cannot read it: {reason}")
    result: dict[str, Any] = json.loads(said.stdout)
    return result


def _with_headers(text: str, form: str) -> str:
    """A PROGRAM statement where the main program has none, without which f2py's parser gives up."""
    lines: list[str] = []
    between = True
    for line in text.split("\n"):
        fixed = form == "fixed"
        continued = fixed and line[5:6] not in ("", " ", "0")
        statement = re.sub(r"\s", "", line[6:] if fixed else line).lower()
        if statement and not continued and statement[0] not in "!#":
            if between and not re.match(r"end|contains", statement):
                if not _HEADER.match(statement):
                    lines.append(f"      PROGRAM {_UNNAMED}")
                between = False
            between = between or bool(re.match(r"end(subroutine|function|program|blockdata|module|$)", statement))
        lines.append(line)
    return "\n".join(lines)


def _variable(entry: dict[str, Any]) -> _Variable:
    return _Variable(
        entry["name"],
        entry["type"],
        entry["size"],
        entry["length"],
        tuple(entry["dims"]),
        frozenset(entry["intent"]),
    )


def _mismatches(
    routines: list[_Routine], source: Source, text: str, compiler: Compiler, options: list[str], folder: Path
) -> dict[str, str]:
    """What the compiler says of a call of each routine with arguments of the types that f2py's parser has read.

    The calls stand behind the source, in one file with it: only there does a compiler compare them.
    """
    lines = text.rstrip("\n").split("\n")
    owners: dict[int, str] = {}
    for routine in routines:
        if routine.module is None:
            call = _checked_call(routine, source.form)
            owners |= dict.fromkeys(range(len(lines) + 1, len(lines) + len(call) + 1), routine.name)
            lines += call
    if compiler.name == "nvfortran" or not owners:  # it does not compare
        return {}
    home = folder / "check"
    home.mkdir(exist_ok=True)
    path = home / source.path.name
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    plain = ["-fno-diagnostics-show-caret"] if compiler.name == "gfortran" else []
    include = ["-I", "..", "-I", str(source.path.resolve().parent)]
    said = subprocess.run(
        [compiler.path, *options, *plain, *include, "-fsyntax-only", path.name],
        cwd=home,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    found: dict[str, str] = {}
    for match in re.finditer(rf"^\S*{re.escape(path.name)}:(\d+):\d+: (\w+): (.*)$", said.stderr, re.MULTILINE):
        owner = owners.get(int(match[1]))
        if owner is not None and "procedure's interface were explicit" not in match[3]:
            found.setdefault(owner, match[3])
    return found


def _checked_call(routine: _Routine, form: str) -> list[str]:
    """A unit that calls the routine, in the form of the source."""
    declarations = []
    for number, argument in enumerate(routine.arguments):
        known = [int(dim) for dim in argument.dims if dim.isdigit()]
        size = f"({max(10**6, math.prod(known))})" if argument.dims else ""
        length = argument.length if str(argument.length).isdigit() else "8"
        declarations.append(f"{argument.fortran(length)} A{number}{size}")
    begin = f"CALL {routine.name}"
    if routine.result:
        declarations += [f"{routine.result.fortran()} {routine.name}", f"{routine.result.fortran()} R"]
        begin = f"R = {routine.name}"
    first, second = ("      ", "     &") if form == "fixed" else ("", "&")
    more = "" if form == "fixed" else " &"
    names = [f"A{number}" for number in range(len(routine.arguments))]
    call = [f"{first}{begin}({more}"]
    call += [f"{second} {name}{',' if name != names[-1] else ''}{more}" for name in names]
    call += [f"{second} )"]
    head = [f"SUBROUTINE ECKC{routine.number}", *declarations, f"EXTERNAL {routine.name}"]
    return [*(first + line for line in head), *call, f"{first}END"]


def _wrapper(routine: _Routine) -> str:
    """A subroutine without results, assumed shapes or a module, which passes its arguments on."""

    def declared(variable: _Variable) -> str:
        if variable.type == "character":
            return f"character(len={variable.length if str(variable.length).isdigit() else '*'})"
        return f"{variable.type}({variable.size // (2 if variable.type == 'complex' else 1)})"

    arguments = [f"a{number}" for number in range(len(routine.arguments))]
    extents: list[str] = []
    lines = []
    for name, argument in zip(arguments, routine.arguments, strict=True):
        if argument.dims and routine.module is not None:
            own = [f"{name}_{axis}" for axis in range(len(argument.dims))]
            extents += own
            lines.append(f"{declared(argument)} :: {name}({', '.join(own)})")
        else:
            lines.append(f"{declared(argument)} :: {name}{'(*)' if argument.dims else ''}")
    if extents:
        lines.insert(0, f"integer(8) :: {', '.join(extents)}")
    target = "eckproc" if routine.module else routine.name
    call = f"call {target}({', '.join(arguments)})"
    passed = arguments + extents
    if routine.result:
        lines.append(f"{declared(routine.result)} :: eckres")
        if not routine.module:
            lines.append(f"{declared(routine.result)}, external :: {target}")
        call = f"eckres = {target}({', '.join(arguments)})"
        passed = [*passed, "eckres"]
    use = [f"use {routine.module}, only: eckproc => {routine.name}"] if routine.module else []
    head = f"subroutine {routine.symbol}({', '.join(passed)})"
    body = [head, *use, "implicit none", *lines, call, f"end subroutine {routine.symbol}"]
    return "\n".join(line.replace(", ", ", &\n  ") if len(line) > 100 else line for line in body) + "\n"


def _border(
    routines: list[_Routine],
    commons: dict[str, tuple[int, list[_Variable]]],
    compiler: Compiler,
    cc: str,
    folder: Path,
) -> None:
    """Have f2py write the border in C, and compile it: every argument one that may change, of a size that is said."""
    lines = [f"python module {_server.MODULE}", "interface", f"subroutine {_server.FLUSH}()", "end subroutine"]
    for routine in routines:
        passed = routine.passed()
        names = [f"a{number}" for number in range(len(passed))]
        lines += [f"subroutine r{routine.number}({','.join(names)})", f"fortranname {routine.symbol}", "threadsafe"]
        for name, (variable, array) in zip(names, passed, strict=True):
            dimension = ", dimension(*)" if array else ""
            lines.append(f"{variable.fortran().lower()}, intent(inout){dimension} :: {name}")
        lines.append("end subroutine")
    for name, (number, members) in commons.items():
        lines += [f"subroutine k{number}()", f"fortranname {_server.FLUSH}"]
        for index, member in enumerate(members):
            size = f"({','.join(member.dims)})" if member.dims else ""
            lines.append(f"{member.fortran().lower()} v{index}{size}")
        listed = ",".join(f"v{index}" for index in range(len(members)))
        lines += [f"common {f'/{name.lower()}/ ' if name else ''}{listed}", "end subroutine"]
    lines += ["end interface", "end python module"]
    pyf = folder / "border.pyf"
    pyf.write_text("\n".join(lines) + "\n")
    said = subprocess.run(
        [sys.executable, "-P", "-m", "numpy.f2py", "--lower", "--quiet", pyf.name],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    log = said.stdout + said.stderr
    generated = folder / f"{_server.MODULE}module.c"
    if said.returncode or "is mapped to C" in log or not generated.exists():
        raise LegacyError(f"f2py cannot write the border: {log.strip()[-2000:]}")
    from numpy import f2py

    support = Path(f2py.get_include())
    include = [f"-I{path}" for path in (sysconfig.get_path("include"), np.get_include(), support)]
    (folder / "flush.f").write_text(_FLUSH)
    wrappers = folder / f"{_server.MODULE}-f2pywrappers.f"
    wrappers.touch()  # f2py leaves it out where it would be empty
    _command([cc, "-O0", "-fPIC", "-w", *include, "-c", generated.name, "-o", "module.o"], folder)
    _command(
        [cc, "-O0", "-fPIC", "-w", *include, "-c", str(support / "fortranobject.c"), "-o", "fortranobject.o"], folder
    )
    for file, result in ((wrappers.name, "border.o"), ("flush.f", "flush.o")):
        _command([compiler.path, "-O1", "-fPIC", "-c", file, "-o", result], folder)


def _command(command: list[str], folder: Path) -> None:
    run = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if run.returncode:
        said = next((line for line in run.stderr.splitlines() if "error" in line.lower()), run.stderr.strip())
        raise LegacyError(f"the border to Python cannot be compiled: {said}\n  by: {' '.join(command)}")


def _c_compiler() -> str:
    """The C compiler; an error if it or Python's headers are not there."""
    for name in filter(None, (os.environ.get("CC"), "gcc", "cc", "clang")):
        if found := shutil.which(name):
            break
    else:
        raise LegacyError("a C compiler was not found on PATH: install it (sudo apt install gcc)")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise LegacyError("the headers of Python are missing: install them (sudo apt install python3-dev)")
    return found


def _new_folder(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LegacyError(f"folder {folder}: is there already; nothing is overwritten, name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LegacyError(f"folder {folder}: {error.strerror or error}") from error
    return folder.resolve()


def _python_block(name: str) -> str:
    return name.lower() or "_BLNK_"
