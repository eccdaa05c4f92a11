"""A Fortran source as it was found: its form, its card columns, its SHA-256, and what a reader should know of them.

A punched card has 80 columns: a label in 1-5, a continuation mark in 6, the statement in 7-72, and in 73-80 a number by
which a dropped deck was sorted again. Compilers do not read columns 73-80, so a statement that runs into them is cut
off without a word; `read` tells the two apart, file by file.
"""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

__all__ = ["Finding", "LegacyError", "Source", "read"]

FREE = {".f90", ".f95", ".f03", ".f08", ".f18", ".free"}
COLUMNS = ("auto", "72", "132")


class LegacyError(RuntimeError):
    """A program that could not be built or run, or a routine that ended the process it ran in."""


class Finding(NamedTuple):
    """Something that a reader should know, and the line it is about.

    Attributes
    ----------
    line : int or None
        The line of the source, from 1; None where it is about the whole.
    kind : str
        "fault" (a number may be wrong because of it), "warning" or "note".
    text : str
        A sentence.
    file : str
        The source's name, where there are several.
    """

    line: int | None
    kind: str
    text: str
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file and self.line else f"line {self.line}: " if self.line else ""
        return f"{self.kind}: {where}{self.text}"


@dataclass(frozen=True)
class Source:
    """A Fortran source.

    Attributes
    ----------
    path : pathlib.Path
        Where it was read.
    text : str
        Its text: Latin-1, lines ended by a line feed.
    form : str
        "fixed" or "free".
    card_numbers : bool
        Columns 73-80 hold the numbers of cards.
    columns : int
        The last column that is read, 72 or 132.
    findings : tuple of Finding
        What was seen while reading.
    sha256 : str
        Of the bytes of the file.
    """

    path: Path
    text: str
    form: str
    card_numbers: bool
    columns: int
    findings: tuple[Finding, ...]
    sha256: str

    @property
    def name(self) -> str:
        """The file's name as compilers are given it: with a suffix that they know."""
        known = FREE if self.form == "free" else {".f", ".for"}
        suffix = ".f90" if self.form == "free" else ".f"
        return self.path.name if self.path.suffix.lower() in known else self.path.name + suffix


def read(path: str | Path, *, form: str | None = None, columns: str = "auto") -> Source:
    """Read a Fortran source and look at its form and its columns.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    form : {"fixed", "free"}, optional
        The form; else told by the file's name and, where the name leaves it open, by its lines.
    columns : {"auto", "72", "132"}, optional
        The last column that is read in fixed form. "auto" is 72 and reports text beyond it that is no card number.

    Returns
    -------
    Source
        The source.

    Raises
    ------
    LegacyError
        If the file is missing, empty, or no text.
    """
    path = Path(path)
    if form not in (None, "fixed", "free"):
        raise ValueError(f"form must be 'fixed' or 'free', not {form!r}")
    if columns not in COLUMNS:
        raise ValueError(f"columns must be one of {', '.join(COLUMNS)}, not {columns!r}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LegacyError(f"program {path}: {error.strerror or error}") from error
    if not data.strip():
        raise LegacyError(f"program {path}: the file is empty")
    if b"\0" in data:
        raise LegacyError(f"program {path}: not a text file; give the Fortran source, not the compiled program")
    text = data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    findings = []
    guessed = _form(path, text)
    if form is None and guessed != _by_name(path):
        findings.append(Finding(None, "note", f"named {path.suffix}, but written in {guessed} form"))
    form = form or guessed
    source = Source(path, text, form, False, 132, tuple(findings), hashlib.sha256(data).hexdigest())
    if form == "free":
        return source
    numbered, spilled = cards(text.split("\n"))
    last = 132 if columns == "132" else 72
    if numbered and last == 72:
        findings.append(Finding(None, "note", f"columns 73-80 hold card numbers ({numbered} cards)"))
    for number, tail in spilled if last == 72 else ():
        about = f"{tail!r} stands past column 72, where fixed form ends, and is not read"
        remedy = "; if the program was written for wide lines, say --columns 132" if not numbered else ""
        findings.append(Finding(number, "fault", about + remedy))
    return replace(source, card_numbers=bool(numbered), columns=last, findings=tuple(findings))


def expanded(line: str) -> str:
    """The line with a tab among its first six columns turned into blanks, as compilers read the tab form."""
    head, tab, rest = line.partition("\t")
    if not tab or len(head) > 6:
        return line
    return f"{head:5}{rest}" if rest[:1] in set("123456789") else f"{head:6}{rest}"


def is_comment(line: str) -> bool:
    """Whether a line of fixed form holds no statement."""
    return line[:1] in set("cC*!dD#$%") or not line.strip() or (line.lstrip().startswith("!") and line.find("!") != 5)


def without_comment(line: str) -> str:
    """The line up to an exclamation mark outside quotes, behind which stands a comment (not in column 6)."""
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "!" and place != 5:
            return line[:place]
    return line


def cards(lines: Iterable[str]) -> tuple[int, list[tuple[int, str]]]:
    """How many lines hold a card number in columns 73-80, and the lines with other text there.

    Numbers are taken for card numbers only where they are the rule: on most statements, ending in the same column,
    mostly in rising order.
    """
    tails = []
    statements = 0
    for number, line in enumerate(lines, 1):
        if is_comment(line):
            continue
        line = without_comment(expanded(line)).rstrip()
        statements += 1
        if len(line) > 72:
            tails.append((number, line[72:], len(line)))
    shaped = [tail for tail in tails if tail[2] <= 80 and re.fullmatch(r" *[A-Za-z0-9./$-]*? *\d+", tail[1])]
    end = Counter(tail[2] for tail in shaped).most_common(1)[0][0] if shaped else 0
    numbers = [tail for tail in shaped if tail[2] == end]
    values = [int(re.findall(r"\d+$", tail[1])[0]) for tail in numbers]
    rising = sum(after > before for before, after in itertools.pairwise(values))
    if len(numbers) < max(3, statements // 2) or rising < (len(values) - 1) * 2 / 3:
        numbers = []
    counted = {tail[0] for tail in numbers}
    return len(numbers), [(number, tail.strip()) for number, tail, _ in tails if number not in counted]


def _by_name(path: Path) -> str:
    return "free" if path.suffix.lower() in FREE else "fixed"


def _form(path: Path, text: str) -> str:
    """The form by the name, unless many lines cannot be read in it."""
    by_name = _by_name(path)
    if by_name == "free":
        return by_name
    lines = [expanded(line) for line in text.split("\n") if not is_comment(line)]
    strange = sum(not re.fullmatch(r"[ \d]{0,5}", line[:5]) for line in lines)
    return "free" if strange > len(lines) / 3 else "fixed"
