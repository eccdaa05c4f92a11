"""CSV in, CSV out, of any size: rows are read, computed and written some ten thousand at a time.

The columns of the input are kept as they are and the new ones stand behind them. An empty cell is NaN, in both
directions. The delimiter (comma, semicolon or tab) is that of the header.
"""

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from ecgkern import _page
from ecgkern.geomag import decimal_year
from ecgkern.geomag._model import Floats

Times = NDArray[np.datetime64]

ROWS = 20_000  # of a chunk, some 10 MB of cells; from a thousand on, the number makes no difference to the speed
_DELIMITERS = ",;\t"
_YEARS = (1.0, 9999.0)  # what a time of ISO 8601 can say


class CommandError(ValueError):
    """What the command was asked for cannot be done; the message is for the user."""


# --- cells ----------------------------------------------------------------------------------------


def parse_number(text: str) -> float:
    """Return the number, NaN for an empty text."""
    if not text.strip():
        return np.nan
    if "_" in text:  # Python's own spelling of thousands, nobody else's
        raise ValueError(text)
    return float(text)


def parse_time(text: str) -> datetime | None:
    """Return a time of ISO 8601 as naive UTC; without an offset it is UTC. None for an empty text."""
    if not text.strip():
        return None
    time = datetime.fromisoformat(text.strip())
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def parse_epoch(text: str) -> float | datetime:
    """Return the decimal year that the text is, or else its time of ISO 8601."""
    try:
        year = parse_number(text)
    except ValueError:
        time = parse_time(text)
        assert time is not None  # an empty text is a number, NaN
        return time
    if year < _YEARS[0] or year > _YEARS[1]:
        raise ValueError(text)
    return year


def _plain_numbers(cells: Sequence[str]) -> Floats | None:
    """Return the numbers if every cell is one; several times faster than a call of `parse_number` for each."""
    if "_" in "".join(cells):
        return None
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        return None


# --- input ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chunk:
    """Some rows of the table, and the line on which each ends."""

    table: "Table"
    rows: Sequence[list[str]]
    lines: Sequence[int]

    def numbers(self, column: str) -> Floats:
        """Return a column of numbers."""
        values = _plain_numbers(self._cells(column))
        return np.array(self._parse(column, parse_number, "a number")) if values is None else values

    def epochs(self, column: str) -> Floats:
        """Return a column of decimal years or times as decimal years."""
        plain = _plain_numbers(self._cells(column))
        if plain is not None and not ((plain < _YEARS[0]) | (plain > _YEARS[1])).any():
            return plain
        parsed = self._parse(column, parse_epoch, "a year from 1 to 9999 or a time of ISO 8601")
        years = np.array([value if isinstance(value, float) else np.nan for value in parsed])
        times = [(row, value) for row, value in enumerate(parsed) if isinstance(value, datetime)]
        if times:
            rows, values = zip(*times, strict=True)
            years[list(rows)] = decimal_year(np.array(values, dtype="datetime64[us]"))
        return years

    def times(self, column: str) -> Times:
        """Return a column of times; NaT for empty cells."""
        return np.array(self._parse(column, parse_time, "a time of ISO 8601"), dtype="datetime64[us]")

    def _cells(self, column: str) -> list[str]:
        place = self.table.columns[column]
        return [row[place] for row in self.rows]

    def _parse(self, column: str, parse: Callable[[str], Any], what: str) -> list[Any]:
        values = []
        for cell, line in zip(self._cells(column), self.lines, strict=True):
            try:
                values.append(parse(cell))
            except (ValueError, OverflowError):  # OverflowError: the year 1 with an offset
                comma = self.table.delimiter != "," and re.fullmatch(r"\s*[-+]?\d*,\d*\s*", cell)
                hint = "; numbers have a point, not a comma" if comma else ""
                where = f"{self.table.name}, line {line}, column {column}"
                raise CommandError(f"{where}: {cell!r} is not {what}{hint}") from None
        return values

    def part(self, first: int, end: int) -> "Chunk":
        """Return some of the rows."""
        return Chunk(self.table, self.rows[first:end], self.lines[first:end])


class Table:
    """A CSV file that is being read.

    Parameters
    ----------
    name : str
        What errors call it.
    stream : binary file
        Its bytes: UTF-8, with or without a byte order mark. Bytes that are none pass through unchanged.
    renamed : mapping of str to str
        What the columns are called in this file, where that differs.
    """

    def __init__(self, name: str, stream: BinaryIO, renamed: Mapping[str, str]) -> None:
        self.name = name
        self._stream = stream
        self.size = os.fstat(stream.fileno()).st_size if stream.seekable() else None  # None: a pipe, which has no end
        # Kept, for it closes the stream when it goes, and the reader lets go of it at the end of the file.
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        first = self._text.readline()
        if "\0" in first or first.startswith("\x1f"):  # UTF-16, a workbook; gzip
            raise CommandError(f"{name} is not a UTF-8 text")
        self.newline = "\r\n" if first.endswith("\r\n") else "\n"
        self.delimiter = self._delimiter(first, renamed)
        self._reader = csv.reader(chain([first], self._text), delimiter=self.delimiter, strict=True)
        self.header = next(self._rows(), [])
        if not self.header:
            raise CommandError(f"{name} is empty: its first line must name the columns")
        self.renamed = renamed
        self.used: set[str | None] = set()  # what has been found
        self.columns = self._places(renamed)

    def _delimiter(self, header: str, renamed: Mapping[str, str]) -> str:
        """Return what cuts a latitude off the header, or else what cuts it into the most cells; quoted ones do not."""
        latitudes = {"lat", *(theirs.lower() for theirs in renamed.values())}

        def merit(mark: str) -> tuple[bool, int]:
            cells = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=mark), [])]
            return any(cell in latitudes or cell.endswith("_lat") for cell in cells), len(cells)

        try:
            return max(_DELIMITERS, key=merit)
        except csv.Error as error:  # megabytes without a line end, say
            raise CommandError(f"{self.name}, line 1: {error}") from None

    def _places(self, renamed: Mapping[str, str]) -> dict[str, int]:
        names = [cell.strip().lower() for cell in self.header]
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice:
            raise CommandError(f"{self.name} has two columns {twice}")
        places = {name: place for place, name in enumerate(names)}
        for theirs in renamed.values():
            if theirs.strip().lower() not in places:
                raise CommandError(f"{self.name} has no column {theirs}, which --columns names; {self._has()}")
        return places | {name: places[theirs.strip().lower()] for name, theirs in renamed.items()}

    def _has(self) -> str:
        return f"its first line is {self.delimiter.join(self.header).strip()!r:.200}"

    def find(self, *names: str) -> str | None:
        """Return the first of these columns that is there; those that --columns names go first."""
        there = [name for name in names if name in self.columns]
        found = next((name for name in there if name in self.renamed), there[0] if there else None)
        self.used.add(found)
        return found

    def need(self, *names: str) -> str:
        """Return the same, or say what is missing."""
        found = self.find(*names)
        if found is None:
            raise CommandError(f"{self.name} has no column {' or '.join(names)}; {self._has()}")
        return found

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows, some at a time."""
        rows: list[list[str]] = []
        lines: list[int] = []
        for row in self._rows():
            rows.append(row)
            lines.append(self._reader.line_num)
            if len(row) != len(self.header):
                cells = f"{len(row)} cells, the header has {len(self.header)}"
                raise CommandError(f"{self.name}, line {lines[-1]}: {cells}")
            if len(rows) == ROWS:
                yield Chunk(self, rows, lines)
                rows, lines = [], []
        if rows:
            yield Chunk(self, rows, lines)

    def _rows(self) -> Iterator[list[str]]:
        try:
            yield from (row for row in self._reader if row)  # csv gives no cells for an empty line
        except csv.Error as error:
            raise CommandError(f"{self.name}, line {self._reader.line_num}: {error}") from None

    def position(self) -> int:
        """Return how many bytes have been read."""
        return self._stream.tell()


@contextmanager
def open_table(path: str, renamed: Mapping[str, str]) -> Iterator[Table]:
    """Open a CSV file; - is the standard input."""
    if path == "-":
        if sys.stdin is None:
            raise CommandError("the standard input is closed")
        yield Table("<stdin>", sys.stdin.buffer, renamed)
        return
    try:
        stream = Path(path).expanduser().open("rb")
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    with stream:
        yield Table(path, stream, renamed)


# --- output ---------------------------------------------------------------------------------------


@contextmanager
def open_output(path: str) -> Iterator[TextIO]:
    """Open a file that appears whole when all went well and not at all otherwise; - is the standard output."""
    if path == "-":
        if sys.stdout is None:
            raise CommandError("the standard output is closed; --out names a file")
        sys.stdout.flush()
        text = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            yield text
            text.flush()
        finally:
            text.detach()  # or closing it would close stdout
        return
    target = Path(path).expanduser().resolve()
    replaced = target.is_file() or not target.exists()  # else a pipe or a device, which takes what comes
    with _page.replacing(target) if replaced else nullcontext(target) as part:
        try:
            file = part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror}") from error
        with file:
            yield file


def cells_of(values: Floats, digits: int | None) -> list[Any]:
    """Return what csv writes: nothing for NaN; floats, of which it writes all digits, or texts of so many decimals."""
    if digits is not None:
        return ["" if value != value else f"{value:z.{digits}f}" for value in values.tolist()]
    numbers: list[Any] = values.tolist()
    return ["" if value != value else value for value in numbers] if np.isnan(values).any() else numbers


def append_columns(
    table: Table, out: str, names: Sequence[str], compute: Callable[[Chunk], Sequence[Floats]], digits: int | None
) -> None:
    """Write the table with new columns behind its own."""
    there = next((name for name in names if name in table.columns), None)
    if there:
        raise CommandError(f"{table.name} has a column {there} already; rename it or leave it out")
    computed = ((chunk, _computed(chunk, compute)) for chunk in table.chunks())
    first = list(islice(computed, 1))  # before there is any output: errors of this kind are mostly in the first rows
    with open_output(out) as file, _progress(table, out) as advance:
        writer = csv.writer(file, delimiter=table.delimiter, lineterminator=table.newline)
        writer.writerow([*table.header, *names])
        for chunk, columns in chain(first, computed):
            new = zip(*(cells_of(column, digits) for column in columns), strict=True)
            writer.writerows([*row, *cells] for row, cells in zip(chunk.rows, new, strict=True))
            advance(table.position)


def _computed(chunk: Chunk, compute: Callable[[Chunk], Sequence[Floats]]) -> Sequence[Floats]:
    try:
        return compute(chunk)
    except CommandError:
        raise
    except ValueError as error:
        raise _blame(chunk, compute, error) from None


def _blame(chunk: Chunk, compute: Callable[[Chunk], Any], error: ValueError) -> CommandError:
    """Find the first row that cannot be computed: halving, for each call tells of one row of many at most."""
    good, bad = 0, len(chunk.rows)  # the first `good` rows can be computed, the first `bad` cannot
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            compute(chunk.part(0, middle))
            good = middle
        except ValueError:
            bad = middle
    try:
        compute(chunk.part(good, bad))
    except ValueError as one:
        error = one
    return CommandError(f"{chunk.table.name}, line {chunk.lines[good]}: {wording(error)}")


def wording(error: Exception) -> str:
    """Return what the library says in the words of the command line, where there is one row and no array."""
    message = re.sub(r" at \[0\]| \(1 such values\)", "", str(error))
    return message.replace('out_of_range="nan", "clip" or "extrapolate"', "--out-of-range nan, clip or extrapolate")


def _progress(table: Table, out: str) -> AbstractContextManager[Callable[[Callable[[], int]], None]]:
    """Return a bar on stderr if that is a terminal, the rows go from file to file, and tqdm is there."""
    if out == "-" or table.size is None or not (sys.stderr and sys.stderr.isatty()):
        return nullcontext(lambda _: None)
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext(lambda _: None)
    return _bar(table, tqdm)


@contextmanager
def _bar(table: Table, tqdm: Any) -> Iterator[Callable[[Callable[[], int]], None]]:
    with tqdm(total=table.size, unit="B", unit_scale=True, leave=False) as bar:
        yield lambda position: bar.update(position() - bar.n)
