"""A program over a table of parameters: one run a row, in parallel processes, one CSV out.

Every run works in a folder of its own, and its result is one rename of that folder: a run is either there whole or not
at all, so a sweep that was killed goes on where it stopped. The CSV is made at the end from what the folders hold, in
the order of the table and without times, and so has the same bytes however often the sweep was interrupted.
"""

import argparse
import contextlib
import csv
import fcntl
import hashlib
import io
import itertools
import json
import math
import mmap
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgkern._validate import outside, positive_integer
from ecgkern.legacy._build import build
from ecgkern.legacy._compilers import COMPILERS, find, flags
from ecgkern.legacy._process import execute
from ecgkern.legacy._run import OUTPUT_LIMIT
from ecgkern.legacy._source import COLUMNS, LegacyError, read

__all__ = ["sweep"]

STATUS = ("status", "exit_code")
MOST_NUMBERS = 200  # columns of a listing of which nothing was asked in particular
# Ended from outside, not by what the program does: the row is run again when the sweep goes on.
_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")

_PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*)(?::([^{}]*))?\}")
_DESCRIPTOR = re.compile(r"(?:([FEDG])(\d+)\.(\d+)(?:E\d+)?|([IAL])(\d+)(?:\.\d+)?)", re.IGNORECASE)
# A sign needs no blank before it: full fields stand side by side. Longer runs of stars are ornaments.
_NUMBER = re.compile(
    rb"(?:(?<![A-Za-z_])[+-]|(?<![\w.]))(?:"
    rb"(?:\d+\.?\d*|\.\d+)(?:[EDQedq][+-]?\d+|[+-]\d{3}(?![\d.]))?"  # 0.1234+100 is Fortran's 0.1234E+100
    rb"|(?:nan|inf(?:inity)?)\b)|(?<!\*)\*{2,25}(?!\*)",
    re.IGNORECASE,
)


# --- the public function ----------------------------------------------------------------------------------------------


def sweep(
    program: str | Path | Sequence[str | Path],
    template: str | Path,
    table: str | Path | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    out: str | Path,
    take: Mapping[str, str] | None = None,
    units: Mapping[int | str, str | Path] | None = None,
    jobs: int | None = None,
    compiler: str = "gfortran",
    optimize: str = "-O2",
    retain: bool = True,
    f66: bool = False,
    extra: Sequence[str] = (),
    form: str | None = None,
    columns: str = "auto",
    printer: int = 6,
    time_limit: float = 60.0,
    output_limit: int = OUTPUT_LIMIT,
    progress: bool = True,
) -> Path:
    """Run a Fortran program once for each row of a table, in parallel, and write one CSV.

    A sweep that was interrupted or killed goes on when it is called again with the same arguments.

    Parameters
    ----------
    program : str, pathlib.Path, or a sequence of them
        The source, or the several files of one program: see `ecgkern.legacy.run`.
    template : str or pathlib.Path
        The deck. ``{NAME:F8.3}`` stands for a value of the column NAME as the Fortran edit descriptor (I, F, E, D, G, A
        or L) writes it, in exactly as many columns; ``{NAME}`` for the value as it stands in the table. A file without
        such places whose first character is & or $ is a namelist: each column replaces the variable of its name, which
        is ``group.name`` where several groups have it.
    table : str, pathlib.Path, mapping of str to sequence, or sequence of mappings
        The parameters: a CSV file with a header, or the columns, or the rows. Every column must be in the template.
    out : str or pathlib.Path
        The CSV to write. Beside it, in ``<out>.runs``, the folders of the runs are kept: deck, listing and units.
    take : mapping of str to str, optional
        What to take from each listing: name of the column to "TEXT", the first number behind the first place where the
        text stands, on its line or below. "TEXT@3" is the third number behind it, "TEXT#2" the first behind its second
        place, "TEXT#-1" behind its last, "TEXT#2@3" both. "/EXPRESSION/" is a regular expression in place of a text;
        if it has a group, the value is the group. By default all numbers, if every listing has them in the same lines
        and they are at most 200.
    units : mapping of int or str to path, optional
        Files that are copied to each run's folder: see `ecgkern.legacy.run`.
    jobs : int, optional
        How many run at a time; by default as many as there are processors.
    compiler, optimize, retain, f66, extra, form, columns, printer
        See `ecgkern.legacy.run`.
    time_limit : float, optional
        Seconds after which a run is given up.
    output_limit : int, optional
        Bytes after which a run is given up.
    progress : bool, optional
        Show a bar, if stderr is a terminal and tqdm is installed.

    Returns
    -------
    pathlib.Path
        The CSV: the table's columns as they are; ``status`` ("end", "stop", "error", "crash", "time limit", "output
        limit"); ``exit_code``; then the values taken, with the digits of the listing and D exponents written with E.
        A value that is not in a listing is empty; one that did not fit its field there is left as its stars.

    Raises
    ------
    LegacyError
        If a file or the compiler is missing, the program cannot be built, a value does not fit its place, something
        other than the program ended a run, ``out`` is not this sweep's own, or another process is at work on it.
        What has been run is kept.
    ValueError
        If an argument is none of those listed.

    Examples
    --------
    >>> from ecgkern import legacy
    >>> legacy.sweep(  # doctest: +SKIP
    ...     "layer.f", "layer.deck", {"F107": [70.0, 150.0, 220.0]}, out="layer.csv", take={"NMF2": "NMF2 ="}
    ... )
    """
    for name, limit in (("time_limit", time_limit), ("output_limit", output_limit)):
        if not limit > 0:
            raise ValueError(f"{name} must be positive, not {limit}")
    jobs = len(os.sched_getaffinity(0)) if jobs is None else positive_integer(jobs, "jobs")
    paths = [program] if isinstance(program, str | Path) else list(program)
    if not paths:
        raise ValueError("program must name at least one source")
    takes = [_Take.parse(name, text) for name, text in (take or {}).items()]
    sources = [read(path, form=form, columns=columns) for path in paths]
    rows = _table(table)
    names = list(rows[0])
    for name in names:
        if name in STATUS or name in (take or {}):
            raise ValueError(f"table has a column {name}, which the results have as well: rename it")
    decks = _decks(Path(template), rows)
    for path in (units or {}).values():
        if not os.access(path, os.R_OK) or Path(path).is_dir():
            raise LegacyError(f"units {path}: no such file, or it cannot be read")
    found = find(compiler)
    options = [" ".join(flags(found, source, optimize=optimize, retain=retain)) for source in sources]
    identity = {
        "program": [source.sha256 for source in sources],
        "template": _sha256(Path(template).read_bytes()),
        "table": _sha256(json.dumps([names, [list(map(_plain, row.values())) for row in rows]]).encode()),
        "units": {str(name): _sha256(Path(path).read_bytes()) for name, path in (units or {}).items()},
        "compiler": f"{found.name}: {found.version}",
        "flags": [*options, *extra, "f66" if f66 else ""],
        "printer": printer,
        "limits": [float(time_limit), int(output_limit)],
    }
    target = Path(out)
    if target.is_dir():
        raise LegacyError(f"out {target}: is a folder; name the CSV file")
    home = target.with_name(target.name + ".runs")
    # What a CSV of someone else's would be overwritten with need not be computed.
    if target.exists() and not (home / "manifest.json").exists():
        raise LegacyError(f"out {target}: is there already, and not from this sweep; nothing is overwritten")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home):
            _check_manifest(home, identity)
            _check_csv(home, target, take)
            waiting = [row for row in range(len(rows)) if _result(home, row) is None]
            if waiting:
                program_folder = home.resolve() / "build"
                shutil.rmtree(program_folder, ignore_errors=True)  # of a sweep that was killed
                built = build(sources, found, program_folder, optimize=optimize, retain=retain, f66=f66, extra=extra)
                task = _Task(built.path, home, decks, dict(units or {}), float(time_limit), int(output_limit))
                _run_all(task, waiting, jobs, progress)
                shutil.rmtree(program_folder)
            _write_csv(home, target, rows, takes, printer, take)
    except OSError as error:
        raise LegacyError(f"the sweep cannot go on: {error}; what was run is kept") from error
    return target


# --- the table --------------------------------------------------------------------------------------------------------


def _table(table: Any) -> list[dict[str, Any]]:
    """The rows, each a value for each column."""
    if isinstance(table, str | Path):
        return _read_csv(Path(table))
    if hasattr(table, "items"):
        columns = {str(name): list(values) for name, values in table.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            found = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
            raise ValueError(f"table: its columns must be of the same length, got {found}")
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    else:
        rows = [{str(name): value for name, value in row.items()} for row in table]
        for number, row in enumerate(rows, 1):
            if list(row) != list(rows[0]):
                raise ValueError(f"table: row {number} has the columns {', '.join(row)}, row 1 {', '.join(rows[0])}")
    if not rows or not rows[0]:
        raise ValueError("table has no rows")
    return rows


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LegacyError(f"table {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise LegacyError(f"table {path}: not a text file in UTF-8") from error
    lines = [
        (number, [cell.strip() for cell in cells])
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline="")), 1)
        if any(cell.strip() for cell in cells)
    ]
    if len(lines) < 2:
        raise LegacyError(f"table {path}: it must have a header and at least one row")
    header = lines[0][1]
    if ";" in header[0] and len(header) == 1:
        raise LegacyError(f"table {path}: its columns must be separated by commas, not by semicolons")
    for name in header:
        if not name or header.count(name) > 1:
            raise LegacyError(f"table {path}: the header must name every column once, got {', '.join(header)}")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise LegacyError(f"table {path}: row {number - 1} has {len(cells)} cells, the header {len(header)}")
    return [dict(zip(header, cells, strict=True)) for _, cells in lines[1:]]


def _plain(value: Any) -> str:
    """A value as the CSV and a free-format card have it."""
    if hasattr(value, "item"):  # NumPy's scalars print as themselves, not as Python's
        value = value.item() if getattr(value, "dtype", None) != "float32" else float(str(value))
    if isinstance(value, bool):
        return "T" if value else "F"
    return str(value)


def _real(value: Any) -> float:
    """A finite number; text may have a D exponent."""
    if isinstance(value, bool):
        raise ValueError("is no number")
    text = re.sub(r"(?<=[\d.])[dDqQ](?=[+-]?\d)", "e", _plain(value))
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is no number") from None
    if not math.isfinite(number):
        raise ValueError("is not finite")
    return number


# --- decks ------------------------------------------------------------------------------------------------------------


def _decks(template: Path, rows: list[dict[str, Any]]) -> list[str]:
    """The deck of every row. All of them are made before anything runs."""
    try:
        text = template.read_bytes().decode("latin-1")
    except OSError as error:
        raise LegacyError(f"template {template}: {error.strerror or error}") from error
    places = list(_PLACEHOLDER.finditer(text))
    if places:
        return _filled(template, text, places, rows)
    if text.lstrip()[:1] in ("&", "$"):
        return _namelists(template, text, rows)
    raise LegacyError(f"template {template}: it has no place for a value, such as {{NAME:F8.3}}, and is no namelist")


def _filled(template: Path, text: str, places: list[re.Match[str]], rows: list[dict[str, Any]]) -> list[str]:
    by_name = {name.lower(): name for name in rows[0]}
    if len(by_name) < len(rows[0]):
        raise LegacyError("table: its columns must differ by more than upper and lower case")
    used = [by_name.get(place[1].lower()) for place in places]
    for place, name in zip(places, used, strict=True):
        if name is None:
            line = text.count("\n", 0, place.start()) + 1
            raise LegacyError(
                f"template {template}, line {line}: {place[0]} names no column of the table ({', '.join(rows[0])})"
            )
    for name in rows[0]:
        if name not in used:
            raise LegacyError(f"table: the column {name} is nowhere in the template; put {{{name}:F8.3}} there, say")
    columns = []
    for place, name in zip(places, used, strict=True):
        assert name is not None
        written = [_field(row[name], place, number, name) for number, row in enumerate(rows, 1)]
        _check_distinct([row[name] for row in rows], written, name, place[0])
        columns.append(written)
    pieces = []
    end = 0
    for place in places:
        pieces.append(text[end : place.start()])
        end = place.end()
    return [
        "".join(piece + column[row] for piece, column in zip(pieces, columns, strict=True)) + text[end:]
        for row in range(len(rows))
    ]


def _field(value: Any, place: re.Match[str], row: int, name: str) -> str:
    """The value as its edit descriptor writes it."""
    if _plain(value) == "":
        raise LegacyError(f"table, row {row}: {name} is empty")
    if place[2] is None:
        return _plain(value)
    descriptor = _DESCRIPTOR.fullmatch(place[2].strip())
    if descriptor is None:
        raise LegacyError(
            f"template: {place[0]}: {place[2]} is no edit descriptor; take I5, F8.3, E12.4, D12.4, G12.4, A4 or L1"
        )
    letter = (descriptor[1] or descriptor[4]).upper()
    width = int(descriptor[2] or descriptor[5])
    try:
        written = _EDITORS[letter](value, width, int(descriptor[3] or 0))
    except ValueError as error:
        raise LegacyError(f"table, row {row}: {name} = {_plain(value)} {error}, as {place[0]} asks") from None
    if len(written) > width:
        raise LegacyError(
            f"table, row {row}: {name} = {_plain(value)} does not fit the {width} columns of {place[0]}: it is "
            f"{written}"
        )
    # Characters begin where a person punches them; numbers and truth values end there.
    return written.ljust(width) if letter == "A" else written.rjust(width)


def _integer(value: Any, width: int, digits: int) -> str:
    try:
        return str(int(_plain(value)))
    except ValueError:
        number = _real(value)
    if number != int(number):
        raise ValueError("is no whole number")
    return str(int(number))


def _fixed(value: Any, width: int, digits: int) -> str:
    # The point is written even where no digit follows: without it, the reading format would put it elsewhere.
    return _short(f"{_real(value):#.{digits}f}", width)


def _exponential(letter: str) -> Callable[[Any, int, int], str]:
    def edit(value: Any, width: int, digits: int) -> str:
        number = _real(value)
        if digits < 1:
            raise ValueError("needs at least one digit")
        mantissa, _, power = f"{abs(number):.{digits - 1}e}".partition("e")
        exponent = int(power) + 1 if number else 0
        shown = f"{letter}{exponent:+03}" if abs(exponent) < 100 else f"{exponent:+04}"
        sign = "-" if math.copysign(1.0, number) < 0 else ""
        return _short(f"{sign}0.{mantissa.replace('.', '')}{shown}", width)

    return edit


def _general(value: Any, width: int, digits: int) -> str:
    """F where the number has no more digits before the point than there are in all, else E; as Fortran's G."""
    number = abs(_real(value))
    magnitude = math.floor(math.log10(number)) + 1 if number else 1
    if 0 <= magnitude <= digits:
        return _fixed(value, width, digits - magnitude)
    return _exponential("E")(value, width, digits)


def _short(text: str, width: int) -> str:
    """Without the zero before the point, if it does not fit otherwise."""
    return re.sub(r"^(-?)0(?=\.\d)", r"\1", text) if len(text) > width else text


def _text(value: Any, width: int, digits: int) -> str:
    text = _plain(value)
    if "\n" in text or not text.isascii():
        raise ValueError("is not one line of ASCII")
    return text


def _logical(value: Any, width: int, digits: int) -> str:
    text = _plain(value).strip(".").upper()
    if text not in ("T", "TRUE", "1", "F", "FALSE", "0"):
        raise ValueError("is no truth value (T or F)")
    return "T" if text[0] in "T1" else "F"


_EDITORS: dict[str, Callable[[Any, int, int], str]] = {
    "I": _integer,
    "F": _fixed,
    "E": _exponential("E"),
    "D": _exponential("D"),
    "G": _general,
    "A": _text,
    "L": _logical,
}


def _check_distinct(values: list[Any], written: list[str], name: str, place: str) -> None:
    """Rounding to the card's digits is what a card does; but a parameter that vanishes in it is not meant."""
    try:
        numbers = {float(f"{_real(value):.12g}") for value in values}
    except ValueError:  # words and truth values are not rounded
        return
    texts = set(written)
    if len(texts) == 1 and (len(numbers) > 1 or _real(written[0]) == 0 != max(numbers, key=abs)):
        raise LegacyError(f"table: {name} is always {written[0].strip()} in {place}: give it more digits there")
    if len(texts) < len(numbers):
        warnings.warn(
            f"table: the {len(numbers)} different values of {name} are rounded to {len(texts)} in {place}",
            stacklevel=outside("ecgkern.legacy"),
        )


def _namelists(template: Path, text: str, rows: list[dict[str, Any]]) -> list[str]:
    try:
        import f90nml
    except ImportError as error:
        raise LegacyError(f'template {template}: a namelist needs f90nml: pip install "ecgkern[legacy]"') from error

    def parsed(what: str, where: str) -> Any:
        try:
            return f90nml.Parser().reads(what)
        except Exception as error:  # f90nml raises all kinds, down to StopIteration
            raise LegacyError(f"template {template}: {where}: {type(error).__name__} {error}") from None

    given = parsed(text, "the namelist cannot be read")
    variables = {name: _namelist_variable(given, name, template) for name in rows[0]}
    decks = []
    with tempfile.TemporaryDirectory(prefix="ecgkern-sweep-") as scratch:
        before, after = Path(scratch) / "before", Path(scratch) / "after"
        before.write_text(text, encoding="utf-8")
        for number, row in enumerate(rows, 1):
            patch: dict[str, dict[str, Any]] = {}
            for name, (group, variable) in variables.items():
                value = _namelist_value(row[name], given[group][variable], number, name)
                patch.setdefault(group, {})[variable] = value
            f90nml.patch(str(before), patch, str(after))
            deck = after.read_text(encoding="utf-8")
            expected = {group: dict(given[group]) | patch.get(group, {}) for group in given}
            if parsed(deck, f"row {number} cannot be written") != expected:
                raise LegacyError(f"template {template}: the namelist is too unusual to be changed; use {{NAME}} in it")
            decks.append(deck)
    return decks


def _namelist_variable(given: Any, name: str, template: Path) -> tuple[str, str]:
    group, _, variable = name.lower().rpartition(".")
    found = [
        key
        for key, members in given.items()
        if isinstance(members, Mapping) and variable in members and key == (group or key)
    ]
    if not found:
        known = ", ".join(f"{key}.{member}" for key, members in given.items() for member in members)
        raise LegacyError(f"table: the column {name} is no variable of {template} ({known})")
    if len(found) > 1:
        choices = " or ".join(f"{key}.{variable}" for key in found)
        raise LegacyError(f"table: the column {name} is in several groups of {template}: name it {choices}")
    if isinstance(given[found[0]][variable], list | Mapping):
        raise LegacyError(f"table: {name} is an array in {template}: use {{NAME}} for its elements there")
    return found[0], variable


def _namelist_value(value: Any, present: Any, row: int, name: str) -> Any:
    """The value in the type that the namelist has there; a whole number may become a real one."""
    try:
        if _plain(value) == "":
            raise ValueError("is empty")
        if isinstance(present, bool):
            return _logical(value, 0, 0) == "T"
        if isinstance(present, str):
            return _text(value, 0, 0)
        if isinstance(present, complex):
            raise ValueError("is complex there, which is not supported: use {NAME}")
        if re.fullmatch(r"[+-]?\d+", _plain(value)):
            return int(_plain(value)) if isinstance(present, int) else float(_plain(value))
        return _real(value)
    except ValueError as error:
        raise LegacyError(f"table, row {row}: {name} = {_plain(value)} {error}; the namelist has {present!r}") from None


# --- the runs ---------------------------------------------------------------------------------------------------------


@dataclass
class _Task:
    """What every run needs, and the threads that have one under way."""

    program: Path
    home: Path
    decks: list[str]
    units: dict[int | str, str | Path]
    time_limit: float
    output_limit: int
    stop: threading.Event = field(default_factory=threading.Event)
    threads: set[int] = field(default_factory=set)

    def run(self, row: int) -> str | None:
        """Run a row and keep its result; or, if it was ended from outside, say so."""
        if self.stop.is_set():
            return None
        self.threads.add(threading.get_native_id())
        # A name that is never used again: a program that outlived a killed sweep cannot write into a later run.
        work = Path(tempfile.mkdtemp(prefix=f"{row + 1:06}-", dir=self.home / "unfinished"))
        inside = work / "units"
        inside.mkdir()
        for name, path in self.units.items():
            shutil.copyfile(path, inside / (f"fort.{name}" if str(name).isdigit() else str(name)))
        deck, listing = work / "deck.txt", work / "listing.txt"
        deck.write_bytes(self.decks[row].encode("latin-1"))
        outcome = execute(
            [self.program],
            inside,
            deck=deck,
            listing=listing,
            time_limit=self.time_limit,
            output_limit=self.output_limit,
        )
        if self.stop.is_set():
            return None
        if outcome.signal in _OUTSIDE or outcome.ended == "disk full":
            return f"row {row + 1} {outcome.message}"
        errors = listing.with_name(listing.name + ".stderr")
        for path in (errors,) if not errors.stat().st_size else ():
            path.unlink()
        with contextlib.suppress(OSError):  # where nothing was written
            inside.rmdir()
        result = {"status": outcome.ended, "exit_code": outcome.exit_code, "message": outcome.message}
        _write(work / "result.json", json.dumps(result).encode())
        os.rename(work, _folder(self.home, row))
        return None

    def kill(self) -> None:
        """End the programs that are under way."""
        self.stop.set()
        for thread in self.threads:
            with contextlib.suppress(OSError):
                for child in Path(f"/proc/self/task/{thread}/children").read_text().split():
                    os.killpg(int(child), signal.SIGKILL)


def _run_all(task: _Task, waiting: list[int], jobs: int, progress: bool) -> None:
    """Run the rows; LegacyError if some have no result."""
    unfinished = task.home / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(exist_ok=True)
    failures: list[str] = []
    total = len(task.decks)
    rows = iter(waiting)
    pending: set[Future[str | None]] = set()
    with _bar(total, total - len(waiting), progress) as advance, ThreadPoolExecutor(jobs) as pool:
        try:
            pending = {pool.submit(task.run, row) for row in itertools.islice(rows, 2 * jobs)}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    failure = future.result()
                    failures += [failure] if failure else []
                    advance()
                pending |= {pool.submit(task.run, row) for row in itertools.islice(rows, len(done))}
        except BaseException:
            while any(not future.done() for future in pending):
                for future in pending:
                    future.cancel()
                task.kill()
                time.sleep(0.01)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    if failures:
        raise LegacyError(
            f"{len(failures)} of {total} runs were ended from outside ({failures[0]}); the others are kept, and the "
            "same command runs these again"
        )


@contextlib.contextmanager
def _bar(total: int, done: int, wanted: bool) -> Iterator[Callable[[], object]]:
    try:
        if not (wanted and sys.stderr.isatty()):
            raise ImportError
        from tqdm import tqdm
    except ImportError:  # a bar is not worth an error
        yield lambda: None
    else:
        with tqdm(total=total, initial=done, unit="run", leave=False) as bar:
            yield bar.update


def _folder(home: Path, row: int) -> Path:
    return home / f"{row + 1:06}"


def _result(home: Path, row: int) -> dict[str, Any] | None:
    """The result of a row that was run. A folder without one, after a power cut say, is put away."""
    folder = _folder(home, row)
    if not folder.exists():
        return None
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
        return result
    except (OSError, ValueError):
        shutil.rmtree(folder)
        return None


# --- what is kept -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Only one process at a time; the lock goes with the process that holds it."""
    with open(home / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LegacyError(f"{home}: another sweep is at work there; wait for it, or give another out") from None
        yield


def _check_manifest(home: Path, identity: dict[str, Any]) -> None:
    """The sweep that the folder is of must be this one, if anything has come of it."""
    path = home / "manifest.json"
    begun = (home / "csv.json").exists() or any(home.glob("[0-9]*"))
    if not path.exists():
        others = [entry.name for entry in home.iterdir() if entry.name != "lock" and entry.suffix != ".part"]
        if others:
            raise LegacyError(f"{home}: holds {others[0]}, and is not the folder of a sweep; give another out")
    if not path.exists() or not begun:
        _write(path, json.dumps(identity, indent=2).encode())
        return
    try:
        before = json.loads(path.read_bytes())
    except ValueError:
        before = {}
    changed = [name for name, value in identity.items() if before.get(name) != value]
    if changed:
        what = " and ".join(changed)
        have = "has" if len(changed) == 1 else "have"
        raise LegacyError(
            f"{home}: {what} {have} changed since this sweep was begun; nothing is overwritten: put it back to go on, "
            "or give another out"
        )


def _check_csv(home: Path, target: Path, take: Mapping[str, str] | None) -> None:
    """A CSV that is there must be the one that this sweep wrote, of the same numbers."""
    if not target.exists():
        return
    try:
        written = json.loads((home / "csv.json").read_bytes())
    except (OSError, ValueError):
        written = {}
    if written.get("sha256") != _sha256(target.read_bytes()):
        raise LegacyError(f"out {target}: is not as this sweep wrote it; nothing is overwritten: move it away")
    if written["take"] != dict(take or {}):
        raise LegacyError(
            f"out {target}: take has changed since it was written; nothing is overwritten: move it away, and the "
            "values are taken from the listings that are kept"
        )


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, also after a power cut."""
    partial = path.with_name(path.name + ".part")
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- the CSV ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Take:
    """A number to take from a listing."""

    name: str
    text: str
    pattern: re.Pattern[bytes]
    occurrence: int
    number: int

    @classmethod
    def parse(cls, name: str, text: str) -> "_Take":
        parts = re.fullmatch(r"(.+?)(?:#(-?[1-9]\d*))?(?:@([1-9]\d*))?", text, re.DOTALL)
        if not name or parts is None:
            raise ValueError(f"take {name}={text}: it must be a name and a text, as in NMF2='NMF2 ='")
        what = parts[1]
        expression = len(what) > 2 and what[0] == what[-1] == "/"
        try:
            source = what[1:-1].encode("latin-1") if expression else re.escape(what.encode("latin-1"))
            pattern = re.compile(source, re.MULTILINE)
        except (re.error, UnicodeEncodeError) as error:
            raise ValueError(f"take {name}={text}: {error}") from None
        if pattern.groups > 1:
            raise ValueError(f"take {name}={text}: the expression may have one group, the value")
        return cls(name, text, pattern, int(parts[2] or 1), int(parts[3] or 1))

    def value(self, listing: Any) -> tuple[bool, str]:
        """Whether the text is there, and the number behind it; an empty one if there is none."""
        places = self.pattern.finditer(listing)
        found: re.Match[bytes] | None = None
        if self.occurrence > 0:
            found = next(itertools.islice(places, self.occurrence - 1, None), None)
        else:
            every = list(places)
            found = every[self.occurrence] if len(every) >= -self.occurrence else None
        if found is None:
            return self.pattern.search(listing) is not None, ""
        if self.pattern.groups:
            group = found[1] or b""
            return True, _tidy(group) if _NUMBER.fullmatch(group.strip()) else group.decode("latin-1").strip()
        numbers = _NUMBER.finditer(listing, found.end())
        number = next(itertools.islice(numbers, self.number - 1, None), None)
        return True, _tidy(number[0]) if number else ""


def _tidy(number: bytes) -> str:
    """A number with an E before its exponent and no plus sign, its digits as they are printed."""
    text = re.sub(r"[DdQqe]", "E", number.decode().strip()) if number[-1:].isdigit() else number.decode().strip()
    return re.sub(r"(?<=[\d.])(?=[+-]\d)", "E", text).removeprefix("+")


def _write_csv(
    home: Path,
    target: Path,
    rows: list[dict[str, Any]],
    takes: list[_Take],
    printer: int,
    take: Mapping[str, str] | None,
) -> None:
    results = [_result(home, row) for row in range(len(rows))]
    listings = [_listing(_folder(home, row), printer) for row in range(len(rows))]
    if takes:
        header, values = _taken(takes, listings)
    else:
        header, values = _all_numbers([result["status"] if result else "" for result in results], listings)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*rows[0], *STATUS, *header])
    for row, result, taken in zip(rows, results, values, strict=True):
        assert result is not None
        code = "" if result["exit_code"] is None else result["exit_code"]
        writer.writerow([*map(_plain, row.values()), result["status"], code, *taken])
    data = text.getvalue().encode()
    # Its checksum first: a sweep killed between the two finds its own CSV, or none.
    _write(home / "csv.json", json.dumps({"sha256": _sha256(data), "take": dict(take or {})}).encode())
    if not target.exists() or target.read_bytes() != data:
        _write(target, data)


def _listing(folder: Path, printer: int) -> Path:
    other = folder / "units" / f"fort.{printer}"
    return other if printer != 6 and other.exists() else folder / "listing.txt"


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[Any]:
    """The bytes of a file that may be larger than the memory."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def _taken(takes: list[_Take], listings: list[Path]) -> tuple[list[str], list[list[str]]]:
    rows = []
    somewhere = dict.fromkeys([take.name for take in takes], False)
    for listing in listings:
        with _mapped(listing) as data:
            found = [(take.name, *take.value(data)) for take in takes]
        for name, there, _ in found:
            somewhere[name] |= there
        rows.append([value for _, _, value in found])
    missing = [take for take in takes if not somewhere[take.name]]
    if missing:
        raise LegacyError(
            f"take {missing[0].name}: {missing[0].text!r} is in no listing (see {listings[0]}); the runs are kept: "
            "change take and call again"
        )
    return [take.name for take in takes], rows


def _all_numbers(statuses: list[str], listings: list[Path]) -> tuple[list[str], list[list[str]]]:
    """All numbers, if the listings of the runs that came to their end have them in the same lines."""
    shape: list[str] | None = None
    first = Path()
    rows: list[list[str]] = []
    for status, listing in zip(statuses, listings, strict=True):
        names: list[str] = []
        values: list[str] = []
        with _mapped(listing) as data:
            line, at, place = 1, 0, 0
            for match in itertools.islice(_NUMBER.finditer(data), MOST_NUMBERS + 1):
                breaks = data[at : match.start()].count(b"\n")
                place = 1 if breaks else place + 1
                line, at = line + breaks, match.end()
                names.append(f"line{line}_{place}")
                values.append(_tidy(match[0]))
        if status == "end":
            if len(names) > MOST_NUMBERS:
                raise LegacyError(
                    f"{listing} has more than {MOST_NUMBERS} numbers: say which to take, as in --take NMF2='NMF2 ='; "
                    "the runs are kept"
                )
            if shape is None:
                shape, first = names, listing
            elif names != shape:
                raise LegacyError(
                    f"{listing} has its numbers in other lines than {first}: say which to take, as in "
                    "--take NMF2='NMF2 ='; the runs are kept"
                )
        rows.append(values if names == shape else [])
    header = shape or []
    return header, [row if len(row) == len(header) else [""] * len(header) for row in rows]


# --- the command ------------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern legacy sweep`` to its parser."""
    parser.epilog = (
        "Exit code: 0 if all runs are done, whatever their status, 2 if not, 130 after Ctrl-C. The same command goes "
        "on with a sweep that was interrupted or killed. In the template, {NAME:F8.3} stands for a value of the column "
        "NAME, with a Fortran edit descriptor; or it is a namelist, and the columns are its variables. Decks and "
        "listings are kept in RESULTS.csv.runs."
    )
    add = parser.add_argument
    add("program", metavar="PROGRAM.f", nargs="+", type=Path, help="the source; several files make one program")
    add(
        "--template",
        metavar="DECK",
        type=Path,
        required=True,
        help="the deck with places for the values, or a namelist",
    )
    add("--table", metavar="PARAMS.csv", type=Path, required=True, help="the parameters, one run a row")
    add("--out", metavar="RESULTS.csv", type=Path, required=True, help="the CSV to write")
    add(
        "--take",
        metavar="NAME=TEXT",
        action="append",
        default=[],
        type=_named,
        help="the number behind TEXT in the listing, as column NAME; TEXT@2: the second number, TEXT#2: behind the "
        "second such text, TEXT#-1: the last, /EXPRESSION/: a regular expression; may be repeated (default: all)",
    )
    add("--unit", metavar="N=FILE", action="append", default=[], type=_named, help="a file for unit N, or by its name")
    add("--jobs", metavar="N", type=int, help="how many run at a time (default: one a processor)")
    add("--compiler", default="gfortran", help=f"{', '.join(COMPILERS)}, or the path of one (default: gfortran)")
    add("--printer", metavar="N", type=int, default=6, help="the unit of the listing (default: 6)")
    add("-O", dest="optimize", choices=("0", "1", "2", "3"), default="2", help="optimisation (default: 2)")
    add("--no-retain", dest="retain", action="store_false", help="locals neither keep their values nor start as zero")
    add("--f66", action="store_true", help="FORTRAN 66: loops run at least once, blanks on cards are zeros")
    add("--flag", metavar="FLAG", action="append", default=[], help="one more flag, as in --flag=-m32; may be repeated")
    add("--form", choices=("fixed", "free"), help="the source's form; else told from the file")
    add("--columns", choices=COLUMNS, default="auto", help="the last column read in fixed form (default: auto, 72)")
    add("--time-limit", metavar="S", type=float, default=60.0, help="seconds for a run (default: 60)")
    add("--output-limit", metavar="MB", type=float, default=OUTPUT_LIMIT / 2**20, help="of a run (default: 2048)")
    add("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Run ``ecgkern legacy sweep`` and return its exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
            target = sweep(
                arguments.program,
                arguments.template,
                arguments.table,
                out=arguments.out,
                take=dict(arguments.take),
                units=dict(arguments.unit),
                jobs=arguments.jobs,
                compiler=arguments.compiler,
                optimize=f"-O{arguments.optimize}",
                retain=arguments.retain,
                f66=arguments.f66,
                extra=arguments.flag,
                form=arguments.form,
                columns=arguments.columns,
                printer=arguments.printer,
                time_limit=arguments.time_limit,
                output_limit=int(arguments.output_limit * 2**20),
                progress=not arguments.quiet,
            )
    except KeyboardInterrupt:
        print("ecgkern legacy sweep: interrupted; what was run is kept, and the same command goes on", file=sys.stderr)
        return 130
    with open(target, newline="") as file:
        rows = list(csv.DictReader(file))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    print(f"{target}: {len(rows)} runs, {', '.join(f'{count} {status}' for status, count in counts.items())}")
    return 0


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=TEXT")
    return name, value
