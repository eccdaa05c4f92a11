"""A listing against the golden listing, line by line and number by number, as a person with both sheets would do it.

Lines that are the same bytes are passed over some thousands at a time; only the others are taken apart into numbers,
stars and words. The files are read in blocks and never held whole, so a listing may be larger than the memory.
"""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from functools import lru_cache
from itertools import compress, count
from operator import eq, ne
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

from ecgkern.legacy._source import LegacyError

__all__ = ["Column", "Comparison", "Difference", "compare"]

KEPT = 50  # differences and notes of which the details are kept
ROUNDING = 2  # units of the last printed digit that two ways of rounding may be apart
_BLOCK = 2**20  # bytes read at a time
_LONGEST = 2**24  # bytes of a line
_AHEAD = 5000  # lines looked through for the place where the two listings meet again
_NEAR = 200  # lines of those in which lines need not be equal, only alike
_ENOUGH = 200_000  # differences after which two listings that have nothing in common are not read on
_HISTORY = 100  # lines before the present one that are kept for the headings
_JOINED = 20  # lines over which list-directed output may have spread what is one line in the other listing
_COLUMNS = 1000  # columns in the summary; a listing of free text could have any number
_SHOWN = 400  # characters of a line that are kept for the report
_EXACT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One place where a listing differs from the golden listing.

    Attributes
    ----------
    kind : str
        "value", "overflow", "not finite", "text", "count", "extra lines", "missing lines"; of a note also "columns",
        "spelling" or "stars".
    line, golden_line : int
        Line numbers from 1 in the listing and in the golden listing.
    column : int or None
        Column in the listing at which the number or word begins, from 1.
    text, golden_text : str
        What stands there in the listing and in the golden listing.
    value, golden_value : float or None
        The two as numbers.
    relative : float or None
        The difference divided by the golden number; infinite where that is zero.
    units : float or None
        The difference in units of the last printed digit, if the number has a decimal point or an exponent.
    sentence : str
        What it means.
    line_text, golden_line_text : str
        The two lines.
    golden_column : int or None
        Column in the golden listing at which the number or word begins, from 1.
    """

    kind: str
    line: int
    golden_line: int
    column: int | None
    text: str
    golden_text: str
    value: float | None
    golden_value: float | None
    relative: float | None
    units: float | None
    sentence: str
    line_text: str
    golden_line_text: str
    golden_column: int | None = None

    def show(self) -> str:
        """Return the sentence with both lines below it, and a mark under the number."""
        place = f"line {self.line}" + (f" (golden {self.golden_line})" if self.line != self.golden_line else "")
        if self.column is not None:
            place += f", column {self.column}"
        rows = [f"{place}: {self.sentence}"]
        for name, line, column, text in (
            ("golden ", self.golden_line_text, self.golden_column, self.golden_text),
            ("listing", self.line_text, self.column, self.text),
        ):
            if line:
                rows.append(f"    {name} |{line}")
                if column is not None and column <= len(line):
                    rows.append(" " * 12 + "|" + " " * (column - 1) + "^" * max(len(text), 1))
        return "\n".join(rows)


@dataclass(frozen=True)
class Column:
    """The differences in one column of a table, or in the number behind one label.

    Attributes
    ----------
    key : str
        The same for the same column of another comparison with the same golden listing.
    name : str
        The heading or label, as far as it can be guessed.
    place : int
        The number's place among the numbers of its line, from 1.
    end : int
        Column of the golden listing in which the numbers end.
    differing : int
        How many numbers differ.
    beyond : int
        How many of them by more than the tolerances.
    largest_relative, largest_absolute, largest_units : float
        The largest differences: relative to the golden number, absolute, in units of the last printed digit.
    scale : float
        The largest golden number, without its sign, of the lines that differ.
    line : int
        The line of the listing with the largest relative difference.
    """

    key: str
    name: str
    place: int
    end: int
    differing: int
    beyond: int
    largest_relative: float
    largest_absolute: float
    largest_units: float
    scale: float
    line: int


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    agree : bool
        Whether the listing says the same as the golden listing, within the tolerances.
    verdict : str
        "identical" (but for line ends and blanks at the end), "same numbers" (in another layout), "within tolerance",
        "rounding" (beyond the tolerances, but by no more than 2 units of the last printed digit) or "different".
    differences : tuple of Difference
        The first 50 beyond the tolerances.
    notes : tuple of Difference
        The first 50 things that are no difference of values: numbers in other columns, stars in both listings.
    columns : tuple of Column
        Where the numbers differ, those within the tolerances too.
    counts : dict
        How many there are of each kind, lines and numbers.
    listing, golden : str
        The two files.
    rtol, atol : float
        The tolerances.
    """

    agree: bool
    verdict: str
    differences: tuple[Difference, ...]
    notes: tuple[Difference, ...]
    columns: tuple[Column, ...]
    counts: dict[str, int]
    listing: str
    golden: str
    rtol: float
    atol: float

    @property
    def largest_relative(self) -> float:
        """The largest relative difference of two numbers, 0 if none differ."""
        return max((column.largest_relative for column in self.columns), default=0.0)

    def sentence(self) -> str:
        """Return the verdict in one sentence."""
        n = self.counts
        tolerances = f"rtol {self.rtol:g}, atol {self.atol:g}"
        if self.verdict == "identical":
            return f"identical: all {n['lines']} lines are those of the golden listing"
        if self.verdict == "same numbers":
            changes = [
                f"{n[kind]} {what}" if n[kind] > 1 else f"1 {one}"
                for kind, what, one in (
                    ("columns", "lines have them in other columns", "line has them in other columns"),
                    ("spelling", "lines write them otherwise", "line writes them otherwise"),
                    ("blank lines", "blank lines are more or fewer", "blank line is more or fewer"),
                    ("line breaks", "lines are broken at other places", "line is broken at another place"),
                )
                if n[kind]
            ]
            if n["carriage control"]:
                changes.append("only one of the two has carriage control in column 1")
            return f"same numbers in another layout: {', '.join(changes) or 'only blanks differ'}"
        if self.verdict == "within tolerance":
            return (
                f"within tolerance: {_many(n['within tolerance'], 'differing number')}, all within {tolerances}; the "
                f"largest relative difference is {self.largest_relative:.2g}"
            )
        if self.verdict == "rounding":
            return (
                f"rounding: {_many(n['value'], 'differing number')} ({tolerances}), by no more than {ROUNDING} in the "
                "last printed digit"
            )
        faults = [
            _many(n[kind], what)
            for kind, what in (
                ("value", "differing number"),
                ("overflow", "field of stars in one of the two"),
                ("not finite", "NaN or infinity in one of the two"),
                ("text", "differing text"),
                ("count", "line with more or fewer numbers"),
                ("extra lines", "extra line"),
                ("missing lines", "missing line"),
            )
            if n[kind]
        ]
        end = f"; not read on after line {n['lines']}" if n["not read on"] else ""
        return f"different: {', '.join(faults)} ({tolerances}){end}"

    def report(self) -> str:
        """Return what a person reads: the verdict, the first differences with both lines, and the columns."""
        parts = [f"{self.sentence()}.\n  listing {self.listing}\n  golden  {self.golden}"]
        parts += [difference.show() for difference in self.differences]
        total = sum(self.counts[kind] for kind in FAULTS)
        if total > len(self.differences):
            parts.append(f"... and more: {total} in all.")
        if self.columns:
            parts.append(self._table())
        shown = self.notes[: 3 if self.differences else 10]
        parts += [note.show() for note in shown]
        if len(self.notes) > len(shown):
            parts.append("... and more lines like these.")
        return "\n\n".join(parts) + "\n"

    def _table(self) -> str:
        rows = ["Columns with differences:", "  differ  beyond  largest relative  last digits  at line  column"]
        for column in sorted(self.columns, key=lambda c: (-c.beyond, -c.largest_relative))[:20]:
            rows.append(
                f"  {column.differing:6d}  {column.beyond:6d}  {column.largest_relative:16.2e}  "
                f"{column.largest_units:11.3g}  {column.line:7d}  {column.name}"
            )
        if len(self.columns) > 20:
            rows.append(f"  ... and {len(self.columns) - 20} more columns")
        return "\n".join(rows)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it; numbers that are not finite are texts."""
        tree: dict[str, Any] = json.loads(json.dumps(asdict(self)), parse_constant=str)
        return tree


FAULTS = ("value", "overflow", "not finite", "text", "count", "extra lines", "missing lines")
_LAYOUT = ("columns", "spelling", "blanks", "blank lines", "line breaks", "carriage control")
_NOTES = ("not read on", *_LAYOUT, "stars", "within tolerance", "at most 2 units", "numbers")


def _many(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    for one, several in (("field of", "fields of"), ("line with", "lines with"), ("differing text", "differing texts")):
        if what.startswith(one):
            return f"{number} {what.replace(one, several, 1)}"
    return f"{number} {what}" if what.startswith("NaN") else f"{number} {what}s"


def compare(
    listing: str | os.PathLike[str], golden: str | os.PathLike[str], *, rtol: float = 0.0, atol: float = 0.0
) -> Comparison:
    """Compare a program's listing with the golden listing, number by number.

    Two numbers agree if ``abs(number - golden) <= atol + rtol * abs(golden)``, the difference being taken of the
    decimal numbers as they are printed. D and E exponents are the same; the letter may be missing, as Fortran leaves it
    out before three digits. Words must be the same, blanks between them need not. Where lines are missing or
    extra, the comparison goes on behind them. If one of the two still has the carriage control of a line printer
    in column 1 and the other has not, it is passed over.

    Parameters
    ----------
    listing, golden : path
        The new listing and the one to compare with: text files of any size, with any line ends.
    rtol, atol : float
        Relative and absolute tolerance.

    Returns
    -------
    Comparison
        With ``agree``, ``verdict``, ``differences`` and ``report()``.

    Raises
    ------
    LegacyError
        If a file is missing or is not text, or the golden listing is empty. (A listing that is empty lacks all lines.)
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"{name} must be finite and at least 0, got {tolerance}")
    with _Listing(listing, "listing") as mine, _Listing(golden, "golden") as theirs:
        _find_carriage_control(mine, theirs)
        return _Comparer(mine, theirs, float(rtol), float(atol)).run()


# --- tokens ---------------------------------------------------------------------------------------

# Numbers as Fortran prints them. Before a letterless exponent the mantissa has the form that E and D editing give it,
# 0.ddd or d.ddd: so `0.1234-100` is one number, and `-1.50-2.25`, `12.5-100` and `1.5-100` are two. An exponent has
# two digits if a decimal point follows them and the next digit, as in `0.1E+010.2E+01`, which is two numbers. Some
# compilers wrote a blank for the plus: `0.1E 02`. One star alone is more often a mark than a field of one column.
_TOKEN = re.compile(
    r"""
    (?P<special> [-+]? (?: \d\.\#(?:IND|INF|QNAN|SNAN)\d*
                         | (?<![A-Z]) (?:NAN[QS]?(?:\([^)\s]*\))? | INF(?:INITY)?) (?![A-Z]) ) )
  | (?P<number>  [-+]? (?: (?:0?\.\d+|\d\.\d{3,}) [-+][1-9]\d\d (?![\d.])
                         | (?:\d+\.\d*|\.\d+) [EDQ] (?: [-+]\d\d(?=\d+\.) | [-+]?\d{1,4}(?!\d) | [ ]\d\d(?![\d.]) )
                         | \d+ [EDQ] [-+]?\d{1,4}(?!\d)
                         | \d+\.\d* | \.\d+ | \d+ ) )
  | (?P<stars>   \*{2,} )
  | (?P<word>    [A-Z_]+ (?: \d+(?![\d.]) )? )
  | (?P<other>   ([^\s\0])\6* )
    """,
    re.VERBOSE | re.IGNORECASE,
)


class _Token(NamedTuple):
    kind: str  # "number" (special values too), "stars" or "word"
    text: str
    start: int
    end: int


_KINDS = {"special": "number", "number": "number", "stars": "stars", "word": "word", "other": "word"}
Tokens = list[_Token]


@lru_cache(1024)
def tokens(line: bytes) -> Tokens:
    """Take a line apart into numbers, runs of stars and words."""
    return [
        _Token(_KINDS[str(match.lastgroup)], match.group(), match.start(), match.end())
        for match in _TOKEN.finditer(line.decode("latin-1"))
    ]


def number(text: str) -> Decimal:
    """Return the number that Fortran printed as `text`, digit for digit."""
    try:
        return Decimal(text)
    except InvalidOperation:
        pass
    plain = text.upper()
    sign = "-" if plain[0] == "-" else ""
    if "N" in plain:  # not a number, in the words of some compiler
        return Decimal(f"{sign}Infinity" if "INF" in plain else "NaN")
    mantissa, exponent = re.fullmatch(r"(.[\d.]*)[EDQ]?(.*)", plain).groups()  # type: ignore[union-attr]
    return Decimal(f"{mantissa}E{exponent.strip()}")


def _is_real(text: str) -> bool:
    """Return whether a number is printed with a decimal point or an exponent; integers are not rounded."""
    return not text.lstrip("+-").isdigit()


# --- reading --------------------------------------------------------------------------------------

_BLANK = b" \t\r\f\v\0"
_CONTROL = re.compile(rb"(?:[ 01+]|-(?![\d.]))")
_NOT_TEXT = bytes(set(range(1, 32)) - set(b"\t\n\v\f\r") | set(range(127, 160)))
_STANDING_NUMBER = re.compile(rb"(?:^|\s)[-+]?\.?\d")
_EXPONENT = re.compile(rb"(?<=[\d.])[DdEe](?=[-+ ]?\d)")
_LETTER = re.compile(rb"[A-Za-z]")
_WORDS = re.compile(rb"\n[^\n\d]*[A-Za-z]{2}[^\n\d]*(?=\n)")


class _Listing:
    """The lines of a file, without line ends, of which a window is held: some behind the present one, many ahead."""

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self.path, self.name = Path(path), name
        self.lines: list[bytes] = []
        self.at = 0  # index of the present line
        self.base = 0  # lines of the file before lines[0]
        self.offset = 0  # columns that were taken off in front
        self.headings: list[bytes] = []  # the last heading before lines[0]
        self._joined = 0  # lines that were joined to the present one
        self._rest = b""
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Listing":
        try:
            self._file = open(self.path, "rb")
            head = self._file.read(_BLOCK)
        except FileNotFoundError:
            raise LegacyError(f"{self.name}: there is no file {self.path}; check its name") from None
        except OSError as error:
            raise LegacyError(f"{self.name}: {self.path} cannot be read: {error.strerror}") from None
        if not head and self.name == "golden":
            raise LegacyError(f"{self.name}: {self.path} is empty; there is nothing to compare")
        strange, zeros = len(head) - len(head.translate(None, _NOT_TEXT)), head.count(0)
        if strange > 0.05 * len(head) or zeros > 0.5 * len(head):
            raise LegacyError(
                f"{self.name}: {self.path} is not a listing but binary data; compare what the program wrote as text"
            )
        self._end = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
        self._take(head)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def line_number(self) -> int:
        return self.base + self.at + 1

    def _take(self, block: bytes) -> None:
        lines = (self._rest + block).split(self._end)
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST:
            raise LegacyError(
                f"{self.name}: {self.path} has a line of more than {_LONGEST >> 20} MiB; is it a listing?"
            )
        if not block and self._rest:
            lines.append(self._rest)
            self._rest = b""
        if self._end == b"\n" and b"\r" in block:
            lines = [line.removesuffix(b"\r") for line in lines]
        self.lines += map(self._without_control, lines) if self.offset else lines

    def _without_control(self, line: bytes) -> bytes:
        return line[1:] if _CONTROL.match(line) else line

    def take_control_off(self) -> None:
        """From now on pass over the carriage control in column 1."""
        self.offset = 1
        self.lines = [self._without_control(line) for line in self.lines]

    def fill(self) -> bool:
        """Hold at least `_AHEAD` lines ahead, if there are so many; return whether there is one."""
        assert self._file is not None
        while len(self.lines) - self.at <= _AHEAD:
            drop = self.at - _HISTORY
            if drop > 0:
                self._remember_heading(self.lines[:drop])
                del self.lines[:drop]
                self.at -= drop
                self.base += drop
            block = self._file.read(_BLOCK)
            if not block and not self._rest:
                break
            self._take(block)
        return self.at < len(self.lines)

    def _remember_heading(self, lines: Sequence[bytes]) -> None:
        text = b"\n".join(lines)
        ends = [words.end() for words in _WORDS.finditer(text)]  # much faster than to look at each line
        if ends:
            found = _last_heading(lines[: text.count(b"\n", 0, ends[-1]) + 1])
            self.headings = found or self.headings

    def heading(self) -> list[str]:
        """Return the lines of words that stand last before the present line."""
        return [line.decode("latin-1") for line in _last_heading(self.lines[: self.at]) or self.headings]

    def join(self, lines: int) -> None:
        """Make one line of the present one and those behind it."""
        self.lines[self.at : self.at + lines] = [_joined(self.lines[self.at : self.at + lines])]
        self._joined = lines - 1

    def step(self) -> None:
        """Go behind the present line, which may have been several."""
        self.at += 1
        self.base += self._joined
        self._joined = 0

    def text(self) -> str:
        """Return the present line for a person; a tab or a zero byte is one column, as in the tokens."""
        line = self.lines[self.at].rstrip(_BLANK).decode("latin-1")
        return " " * self.offset + re.sub(r"[\t\f\v\0]", " ", line)


def _joined(lines: Sequence[bytes]) -> bytes:
    return b" ".join([lines[0].rstrip(_BLANK), *(line.strip(_BLANK) for line in lines[1:])])


def _last_heading(lines: Sequence[bytes]) -> list[bytes]:
    """Return the last one to three lines, one below the other, that have letters and no number standing alone."""
    found: list[bytes] = []
    for line in reversed(lines):
        if not line.strip(_BLANK + b"-=_*"):
            if found and not line.strip(_BLANK):
                break
        elif _LETTER.search(line) and not _STANDING_NUMBER.search(line[1:]):
            found.insert(0, line)
            if len(found) == 3:
                break
        elif found:
            break
    return found


def _find_carriage_control(mine: _Listing, theirs: _Listing) -> None:
    """Take the carriage control off one listing if that alone makes its lines look like those of the other."""

    def shapes(listing: _Listing, control: bool) -> Counter[tuple[str, ...]]:
        head = (line for line in listing.lines[:500] if line.strip(_BLANK))
        return Counter(_shape(tokens(_CONTROL.sub(b"", line, count=1) if control else line)) for line in head)

    scores = {
        listing: (shapes(mine, listing is mine) & shapes(theirs, listing is theirs)).total()
        for listing in (None, mine, theirs)
    }
    best = max(scores, key=lambda listing: scores[listing])  # the first of equals: None
    if best is not None:
        best.take_control_off()


def _shape(line: Tokens) -> tuple[str, ...]:
    """Return the words of a line, and for each number or run of stars a mark."""
    return tuple(token.text if token.kind == "word" else "#" for token in line)


# --- comparing ------------------------------------------------------------------------------------


@dataclass
class _Tally:
    """A `Column` in the making."""

    name: str
    place: int
    end: int
    differing: int = 0
    beyond: int = 0
    largest_relative: float = -1.0
    largest_absolute: float = 0.0
    largest_units: float = 0.0
    scale: float = 0.0
    line: int = 0


@dataclass
class _Comparer:
    mine: _Listing
    theirs: _Listing
    rtol: float
    atol: float
    differences: list[Difference] = field(default_factory=list)
    notes: list[Difference] = field(default_factory=list)
    tallies: dict[str, _Tally] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _patience: int = 0  # lines to go before the next search, after searches without success
    _failed: int = 0

    def __post_init__(self) -> None:
        self._rtol, self._atol = Decimal(repr(self.rtol)), Decimal(repr(self.atol))  # as written: 0.1 is 0.1

    def run(self) -> Comparison:
        mine, theirs = self.mine, self.theirs
        self.counts["carriage control"] = mine.offset + theirs.offset
        while True:
            here, there = mine.fill(), theirs.fill()
            if not (here and there):
                self._ends()
                break
            if self._hopeless():
                break
            self._pass_equal_lines()
            if mine.at < len(mine.lines) and theirs.at < len(theirs.lines):
                self._differing_lines()
        self.counts["lines"], self.counts["golden lines"] = mine.line_number - 1, theirs.line_number - 1
        if self._faults():
            verdict = "rounding" if self._only_rounding() else "different"
        elif self.counts["within tolerance"]:
            verdict = "within tolerance"
        else:
            verdict = "same numbers" if any(self.counts[kind] for kind in _LAYOUT) else "identical"
        return Comparison(
            agree=verdict not in ("rounding", "different"),
            verdict=verdict,
            differences=tuple(self.differences),
            notes=tuple(self.notes),
            columns=tuple(Column(key, **vars(tally)) for key, tally in self.tallies.items()),
            counts={name: self.counts[name] for name in ("lines", "golden lines", *FAULTS, *_NOTES)},
            listing=str(mine.path),
            golden=str(theirs.path),
            rtol=self.rtol,
            atol=self.atol,
        )

    def _faults(self) -> int:
        return sum(self.counts[kind] for kind in FAULTS)

    def _only_rounding(self) -> bool:
        return self._faults() == self.counts["value"] == self.counts["at most 2 units"]

    def _hopeless(self) -> bool:
        """Return whether so much differs that the rest would say nothing new."""
        if self._faults() < _ENOUGH or self._only_rounding():
            return False
        self.counts["not read on"] = 1
        return True

    def _pass_equal_lines(self) -> None:
        mine, theirs = self.mine, self.theirs
        step = 1  # grows, so that neither a short run of equal lines nor a long one costs more than it must
        while True:
            pairs = map(ne, mine.lines[mine.at : mine.at + step], theirs.lines[theirs.at : theirs.at + step])
            n = min(step, len(mine.lines) - mine.at, len(theirs.lines) - theirs.at)
            equal = next(compress(count(), pairs), n)
            mine.at += equal
            theirs.at += equal
            if equal < step:
                return
            step *= 8

    def _differing_lines(self) -> None:
        """Compare the present lines, which are not the same bytes, and step behind them."""
        mine, theirs = self.mine, self.theirs
        a, b = mine.lines[mine.at].rstrip(_BLANK), theirs.lines[theirs.at].rstrip(_BLANK)
        if a == b:
            mine.at += 1
            theirs.at += 1
        elif not a or not b:  # blank lines are layout
            (mine if not a else theirs).at += 1
            self.counts["blank lines"] += 1
        elif len(self.notes) == KEPT and _EXPONENT.sub(b"E", a) == _EXPONENT.sub(b"E", b):
            self.counts["spelling"] += 1  # as the first ones, of which the details are kept
            mine.step()
            theirs.step()
        else:
            left, right = tokens(a), tokens(b)
            if not _same(left, right):
                if self._join():
                    left, right = tokens(mine.lines[mine.at]), tokens(theirs.lines[theirs.at])
                elif self._skip():
                    return
            self._compare_line(left, right)
            mine.step()
            theirs.step()

    def _join(self) -> bool:
        """Join lines of both listings until they look alike; return whether they then have the same numbers, about.

        List-directed output breaks lines at a width, and compilers do not agree on that of a number.
        """
        listings = self.mine, self.theirs
        shapes = [_shape(tokens(listing.lines[listing.at])) for listing in listings]
        n = [1, 1]
        while shapes[0] != shapes[1]:
            short = 0 if len(shapes[0]) < len(shapes[1]) else 1
            following = listings[short].at + n[short]
            size = len(shapes[short])
            if sum(n) > _JOINED or following >= len(listings[short].lines) or shapes[short] != shapes[1 - short][:size]:
                return False
            shapes[short] += _shape(tokens(listings[short].lines[following]))
            n[short] += 1
        if n == [1, 1]:
            return False
        parts = [listing.lines[listing.at : listing.at + k] for listing, k in zip(listings, n, strict=True)]
        if not _close(*(tokens(_joined(lines)) for lines in parts)):
            return False
        for listing, k in zip(listings, n, strict=True):
            listing.join(k)
        self.counts["line breaks"] += 1
        return True

    # ... lines that only one of the two has

    def _skip(self) -> bool:
        """Step behind lines that only one listing has; return whether there are such here."""
        if self._patience:
            self._patience -= 1
            return False
        extra, missing = self._meeting()
        if not extra and not missing:
            return False
        self._failed = 0
        for where, lines, kind in ((self.mine, extra, "extra lines"), (self.theirs, missing, "missing lines")):
            full = [line for line in where.lines[where.at : where.at + lines] if line.strip(_BLANK)]
            self.counts["blank lines"] += lines - len(full)
            if full:
                self._lines_of_one(kind, len(full), full[0])
            where.at += lines
        return True

    def _meeting(self) -> tuple[int, int]:
        """Return how many lines to pass over in the listing or in the golden one, so that they go on alike.

        (0, 0) says that the present lines belong together, or that no such place is near.
        """
        mine, theirs = self.mine, self.theirs
        a, b = (where.lines[where.at : where.at + 10] for where in (mine, theirs))
        together = _alike(a[0], b[0]) and _go_on(a, b, 1, 1, _alike, ended=True)
        if together and a[0] not in b and b[0] not in a:
            return 0, 0
        a, b = ([x.rstrip(_BLANK) for x in where.lines[where.at : where.at + _AHEAD]] for where in (mine, theirs))
        if _go_on(a, b, 1, 1, eq, ended=len(a) == len(b)):
            return 0, 0  # only these two differ
        here = _equal(a, b, 0, 0)
        for place, extra in sorted([(i, True) for i in _places(a, b[0])] + [(i, False) for i in _places(b, a[0])]):
            gap = (place, 0) if extra else (0, place)
            # More of what follows is the same behind the gap than without it: tables repeat their lines.
            if _go_on(a, b, gap[0] + 1, gap[1] + 1, eq, ended=True) and _equal(a, b, *gap) > here:
                return gap
        if together or _go_on(a, b, 1, 1, _alike, ended=False):
            return 0, 0
        for skipped in range(1, _NEAR):
            if skipped < len(a) and _alike(a[skipped], b[0]) and _go_on(a, b, skipped + 1, 1, _alike, ended=True):
                return skipped, 0
            if skipped < len(b) and _alike(a[0], b[skipped]) and _go_on(a, b, 1, skipped + 1, _alike, ended=True):
                return 0, skipped
        # A listing that is different throughout would be searched through at each line.
        self._failed += 1
        self._patience = min(max(self._failed - 10, 0), 200)
        return 0, 0

    def _ends(self) -> None:
        place = self.mine.line_number, self.theirs.line_number
        for listing, kind, ending in (
            (self.mine, "extra lines", ": the golden listing has ended"),
            (self.theirs, "missing lines", f": the listing {'has ended' if place[0] > 1 else 'is empty'}"),
        ):
            first, lines = b"", 0
            while listing.fill():
                rest = listing.lines[listing.at :]
                full = [line for line in rest if line.strip(_BLANK)]
                first = first or next(iter(full), b"")
                lines += len(full)
                self.counts["blank lines"] += len(rest) - len(full)
                listing.at = len(listing.lines)
            if lines:
                self._lines_of_one(kind, lines, first, ending, place)

    def _lines_of_one(
        self, kind: str, lines: int, first: bytes, ending: str = "", place: tuple[int, int] | None = None
    ) -> None:
        self.counts[kind] += lines
        some = "1 line" if lines == 1 else f"{lines} lines"
        text = first.decode("latin-1").rstrip()
        if kind == "extra lines":
            sentence, texts = f"{some} that the golden listing does not have", (text, "")
        else:
            sentence, texts = f"{some} of the golden listing {'is' if lines == 1 else 'are'} missing here", ("", text)
        self._keep(self.differences, kind, sentence + ending, lines_text=texts, place=place)

    # ... two lines

    def _compare_line(self, left: Tokens, right: Tokens) -> None:
        """Compare the numbers of two lines, then the words; note what else is different."""
        before = self._faults() + self.counts["within tolerance"]
        numbers = [t for t in left if t.kind != "word"], [t for t in right if t.kind != "word"]
        stars = self._compare_numbers(*numbers, right)
        words = [t for t in left if t.kind == "word"], [t for t in right if t.kind == "word"]
        self._compare_words(*words)
        if self._faults() + self.counts["within tolerance"] != before:
            return
        if not stars and _shape(left) != _shape(right):
            self._fault("text", left[0], right[0], "the same words and numbers stand in another order")
        elif [t.text for t in left] != [t.text for t in right]:
            a, b = next((a, b) for a, b in zip(*numbers, strict=True) if a.text != b.text)
            self.counts["spelling"] += 1
            self._note("spelling", a, b, f"{a.text} and {b.text} are the same number")
        elif ends(numbers[0], self.mine.offset) != ends(numbers[1], self.theirs.offset):
            a, b = next((a, b) for a, b in zip(*numbers, strict=True) if a.end != b.end)
            moved = a.end + self.mine.offset - b.end - self.theirs.offset
            columns = "1 column" if abs(moved) == 1 else f"{abs(moved)} columns"
            where = f"from here on {columns} further to the {'right' if moved > 0 else 'left'}"
            self.counts["columns"] += 1
            self._note("columns", a, b, f"the same numbers in other columns, {where}")
        else:
            self.counts["blanks"] += 1

    def _compare_words(self, left: Tokens, right: Tokens) -> None:
        for a, b in zip(left, right, strict=False):
            if a.text != b.text:
                self._fault("text", a, b, f"'{a.text}' where the golden listing has '{b.text}'")
                return
        if len(left) > len(right):
            extra = left[len(right)]
            self._fault("text", extra, None, f"the golden listing has no '{extra.text}' here")
        elif len(left) < len(right):
            missing = right[len(left)]
            self._fault("text", None, missing, f"'{missing.text}' of the golden listing is missing here")

    def _compare_numbers(self, left: Tokens, right: Tokens, line: Tokens) -> bool:
        """Compare numbers with numbers, and stars with all numbers of the fields that they fill."""
        i = j = 0
        stars = False
        while i < len(left) and j < len(right):
            a, b = left[i], right[j]
            i, j = i + 1, j + 1
            if a.kind == b.kind == "number":
                if a.text != b.text:
                    self._two_numbers(a, b, j, right, line)
            elif a.kind == b.kind:
                stars = True
                self.counts["stars"] += 1
                self._note("stars", a, b, "stars in both listings: a number too wide for its field")
            elif a.kind == "stars":
                stars = True
                first = j - 1
                while j < len(right) and right[j].kind == "number" and right[j].start < a.end:
                    j += 1
                self._overflow(a, b, [t.text for t in right[first:j]])
            else:
                stars = True
                first = i - 1
                while i < len(left) and left[i].kind == "number" and left[i].start < b.end:
                    i += 1
                self._overflow(a, b, [t.text for t in left[first:i]])
        if i < len(left) or j < len(right):
            a_more = left[i] if i < len(left) else None
            b_more = right[j] if j < len(right) else None
            have, want = len(left), len(right)
            self._fault("count", a_more, b_more, f"{have} numbers where the golden listing has {want}")
        return stars

    def _overflow(self, a: _Token, b: _Token, texts: list[str]) -> None:
        width = len(a.text if a.kind == "stars" else b.text)
        _, point, rest = texts[0].partition(".")
        decimals = len(re.split("[EDQedq+-]", rest)[0])
        if len(texts) > 1 or (point and width < decimals + 2):
            name = f"of {width} columns"
        elif not point:
            name = f"I{width}"
        else:
            name = f"{'F' if rest.isdigit() or not rest else 'E'}{width}.{decimals}"
        if a.kind == "stars":
            sentence = (
                f"the field {name} is too narrow: stars where the golden listing has {' '.join(texts)}; the number has "
                "become too large for its format"
            )
        else:
            sentence = (
                f"{' '.join(texts)} where the golden listing has stars: there the field {name} was too narrow for the "
                "number"
            )
        self._fault("overflow", a, b, sentence)

    def _two_numbers(self, a: _Token, b: _Token, place: int, numbers: Tokens, line: Tokens) -> None:
        """Compare two numbers that are not written the same."""
        self.counts["numbers"] += 1
        x, y = number(a.text), number(b.text)
        if x == y or (x.is_nan() and y.is_nan()):
            return
        if not (x.is_finite() and y.is_finite()):
            self._fault("not finite", a, b, _not_finite(a.text, x, b.text, y), values=(float(x), float(y)))
            return
        absolute = abs(_EXACT.subtract(x, y))
        allowed = _EXACT.fma(self._rtol, abs(y), self._atol)
        relative = float(_EXACT.divide(absolute, abs(y))) if y else math.inf
        units = None
        if _is_real(a.text) and _is_real(b.text):
            last = max(int(x.as_tuple().exponent), int(y.as_tuple().exponent))
            units = float(_EXACT.scaleb(absolute, -last))
        beyond = absolute > allowed
        self._tally(place, numbers, line, beyond, relative, float(absolute), units, float(abs(y)))
        if beyond:
            self.counts["at most 2 units"] += units is not None and units <= ROUNDING
            sentence = _values(a.text, x, b.text, y, float(absolute), relative, units)
            self._fault("value", a, b, sentence, (float(x), float(y)), relative, units)
        else:
            self.counts["within tolerance"] += 1

    def _tally(
        self,
        place: int,
        numbers: Tokens,
        line: Tokens,
        beyond: bool,
        relative: float,
        absolute: float,
        units: float | None,
        size: float,
    ) -> None:
        key = f"{crc32(' '.join(_shape(line)).encode()):08x}.{place}"
        tally = self.tallies.get(key)
        if tally is None:
            if len(self.tallies) >= _COLUMNS:
                key = "others"
            tally = self.tallies.setdefault(
                key, _Tally("other numbers", 0, 0) if key == "others" else self._new_tally(place, numbers, line)
            )
        tally.differing += 1
        tally.beyond += beyond
        if relative > tally.largest_relative:
            tally.largest_relative, tally.line = relative, self.mine.line_number
        tally.largest_absolute = max(tally.largest_absolute, absolute)
        tally.largest_units = max(tally.largest_units, units or 0.0)
        tally.scale = max(tally.scale, size)

    def _new_tally(self, place: int, numbers: Tokens, line: Tokens) -> _Tally:
        """Find the label in front of the number, or else the words of the heading above it."""
        this = numbers[place - 1]
        start = numbers[place - 2].end if place > 1 else 0
        label = " ".join(t.text for t in line if t.kind == "word" and start <= t.start < this.start)
        name = re.sub(r"[\s=:.,(]+$", "", re.sub(r"^[\s,;)]+", "", label))[-40:]
        if not re.search("[A-Za-z]", name):
            words = []
            for heading in self.theirs.heading():
                for word in re.finditer(r"\S+", heading):
                    if start < (word.start() + word.end()) / 2 <= this.end + 1 and re.search("[A-Za-z]", word.group()):
                        words.append(word.group())
            name = " ".join(words)[:40]
        ending = this.end + self.theirs.offset
        place_name = f"number {place} of the line, ending in column {ending}"
        return _Tally(f"{name} ({place_name})" if name else place_name, place, ending)

    # ... what is kept

    def _fault(
        self,
        kind: str,
        a: _Token | None,
        b: _Token | None,
        sentence: str,
        values: tuple[float | None, float | None] = (None, None),
        relative: float | None = None,
        units: float | None = None,
    ) -> None:
        self.counts[kind] += 1
        self._keep(self.differences, kind, sentence, a, b, values, relative, units)

    def _note(self, kind: str, a: _Token, b: _Token, sentence: str) -> None:
        self._keep(self.notes, kind, sentence, a, b)

    def _keep(
        self,
        kept: list[Difference],
        kind: str,
        sentence: str,
        a: _Token | None = None,
        b: _Token | None = None,
        values: tuple[float | None, float | None] = (None, None),
        relative: float | None = None,
        units: float | None = None,
        *,
        lines_text: tuple[str, str] | None = None,
        place: tuple[int, int] | None = None,
    ) -> None:
        if len(kept) >= KEPT:
            return
        mine, theirs = self.mine, self.theirs
        texts = lines_text or (mine.text(), theirs.text())
        numbers = place or (mine.line_number, theirs.line_number)
        kept.append(
            Difference(
                kind=kind,
                line=numbers[0],
                golden_line=numbers[1],
                column=None if a is None else a.start + 1 + mine.offset,
                text="" if a is None else a.text,
                golden_text="" if b is None else b.text,
                value=values[0],
                golden_value=values[1],
                relative=relative,
                units=units,
                sentence=sentence,
                line_text=texts[0][:_SHOWN],
                golden_line_text=texts[1][:_SHOWN],
                golden_column=None if b is None else b.start + 1 + theirs.offset,
            )
        )


def ends(numbers: Tokens, offset: int) -> list[int]:
    """Return the columns in which numbers end; Fortran sets them flush right."""
    return [token.end + offset for token in numbers]


def _same(left: Tokens, right: Tokens) -> bool:
    """Return whether two lines have the same words and the same numbers, however they are written."""
    if len(left) != len(right):
        return False
    return all(
        a.kind == b.kind and (a.text == b.text or (a.kind == "number" and number(a.text) == number(b.text)))
        for a, b in zip(left, right, strict=True)
    )


def _alike(a: bytes, b: bytes) -> bool:
    """Return whether two lines could be the same one: the same words, about the same first number and most others."""
    return _shape(tokens(a)) == _shape(tokens(b)) and _close(tokens(a), tokens(b))


def _close(left: Tokens, right: Tokens) -> bool:
    """Return whether in two lines with the same look the first numbers are close, and at least half of all."""
    pairs = [
        (_float(a.text), _float(b.text)) for a, b in zip(left, right, strict=False) if a.kind == b.kind == "number"
    ]
    close = [x == y or abs(x - y) <= 1e-4 * max(abs(x), abs(y)) for x, y in pairs]
    return bool(left) and (not close or (close[0] and 2 * sum(close) >= len(close)))


@lru_cache(1024)
def _float(text: str) -> float:
    return float(number(text))


def _places(lines: Sequence[bytes], wanted: bytes) -> list[int]:
    """Return where else a line stands, the first few times."""
    found: list[int] = []
    while len(found) < 20:
        try:
            found.append(lines.index(wanted, found[-1] + 1 if found else 1))
        except ValueError:
            break
    return found


def _equal(a: Sequence[bytes], b: Sequence[bytes], i: int, j: int) -> int:
    """Return how many of the next lines are equal, pair by pair."""
    return sum(map(eq, a[i : i + 10], b[j : j + 10]))


def _go_on(
    a: Sequence[bytes], b: Sequence[bytes], i: int, j: int, alike: Callable[[bytes, bytes], bool], *, ended: bool
) -> bool:
    """Return whether the next lines that are not blank are alike, or `ended` if there is none in one of the two."""
    while i < len(a) and not a[i].strip(_BLANK):
        i += 1
    while j < len(b) and not b[j].strip(_BLANK):
        j += 1
    return alike(a[i], b[j]) if i < len(a) and j < len(b) else ended


def _values(
    text: str, x: Decimal, golden: str, y: Decimal, absolute: float, relative: float, units: float | None
) -> str:
    where = f"{text} where the golden listing has {golden}"
    if x == -y:
        return f"{where}: the sign differs"
    if units is None:
        return f"{where}: differs by {absolute:g}"
    if units <= 0.5 and x.as_tuple().exponent != y.as_tuple().exponent:
        return f"{where}: the same as far as both are printed"
    if units <= ROUNDING:
        return f"{where}: differs by {units:.3g} in the last printed digit"
    share = f"relative difference {relative:.2g}" if y else "the golden number is zero"
    return f"{where}: {share}, {units:.4g} units of the last printed digit"


def _not_finite(text: str, x: Decimal, golden: str, y: Decimal) -> str:
    where = f"{text} where the golden listing has {golden}"
    if x.is_nan():
        return f"{where}: from an operation such as 0/0 or the root of a negative number, or a variable never set"
    if x.is_infinite() and not y.is_infinite():
        return f"{where}: from a division by zero or a number beyond the range of its type"
    return f"{where}, which is no finite number"
