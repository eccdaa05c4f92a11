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
    cards : str or None
        The deck, where it stands behind the program in the same file.
    """

    path: Path
    text: str
    form: str
    card_numbers: bool
    columns: int
    findings: tuple[Finding, ...]
    sha256: str
    cards: str | None = None

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
    if b"\0" in data or sum(byte < 32 and byte not in b"\t\n\f\r\x1a" for byte in data) > len(data) / 20:
        raise LegacyError(f"program {path}: not a text file; give the Fortran source, not the compiled program")
    text = data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    findings: list[Finding] = []
    text, deck = _without_control_cards(text, findings) if _by_name(path) == "fixed" else (text, None)
    guessed = _form(path, text)
    if form is None and guessed != _by_name(path):
        findings.append(Finding(None, "note", f"named {path.suffix}, but written in {guessed} form"))
    form = form or guessed
    source = Source(path, text, form, False, 132, tuple(findings), hashlib.sha256(data).hexdigest(), deck)
    if form == "free":
        return source
    numbered, named, spilled = cards(text.split("\n"))
    last = 132 if columns == "132" else 72
    wide = "; if the program was written for wide lines, say --columns 132" if not numbered else ""
    if last == 72:
        if numbered:
            findings.append(Finding(None, "note", f"columns 73-80 hold card numbers ({numbered} cards)"))
        if named:
            lines = f"on {len(named)} lines, as on this" if len(named) > 1 else "here"
            about = f"{lines}: {named[0][1]!r} behind column 72 is taken for the identification of a card{wide}"
            findings.append(Finding(named[0][0], "warning", about))
        for number, tail in spilled:
            about = f"{tail!r} stands past column 72, where fixed form ends, and is not read{wide}"
            findings.append(Finding(number, "fault", about))
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


_CONTROL = re.compile(r"\$[A-Z]|//(?:\w|\*| +(?:EXEC|DD|JOB)\b|\s*$)|/\*(?:[A-Z]|\s*$)", re.IGNORECASE)
_ENTRY = re.compile(r"\$(ENTRY|DATA)\b|//(GO\.)?(SYSIN|FT05F001)\b.*\bDD\b", re.IGNORECASE)


def _without_control_cards(text: str, findings: list[Finding]) -> tuple[str, str | None]:
    """The source with comments in place of the cards for the operating system, and the deck that follows $ENTRY."""
    lines = text.split("\n")
    started = False
    for number, line in enumerate(lines):
        if not _CONTROL.match(line):
            started = started or not is_comment(line)
            continue
        findings.append(Finding(number + 1, "note", f"control card {line.split()[0]} left out"))
        if started and _ENTRY.match(line):
            deck = lines[number + 1 :]
            end = next((n for n, card in enumerate(deck) if _CONTROL.match(card)), len(deck))
            findings.append(
                Finding(number + 2, "note", "the cards behind it are the deck, unless another one is given")
            )
            return "\n".join(lines[:number]) + "\n", "\n".join(deck[:end]).rstrip("\n") + "\n"
        lines[number] = "C"
    return "\n".join(lines), None


_LITERAL = re.compile(r"'[^']*(?:'|$)|\"[^\"]*(?:\"|$)|(?<![a-z0-9_])(\d[\d ]*)h", re.IGNORECASE)
# REAL*8 HOUR and DO 10 H=1,3 hold no Hollerith constant.
_NO_COUNT = re.compile(r"\s*(?:(?:real|integer|logical|complex|character)\s*\*\s*\d+|do\s*\d+)", re.IGNORECASE)


def masked(text: str) -> str:
    """A statement, or a line of one, with a full stop for each character of its string and Hollerith constants."""
    start = _NO_COUNT.match(text)
    place = start.end() if start else 0
    parts = [text[:place]]
    while match := _LITERAL.search(text, place):
        end = min(match.end() + int((match[1] or "0").replace(" ", "")), len(text))
        parts += [text[place : match.start()], "." * (end - match.start())]
        place = end
    return "".join(parts) + text[place:]


def without_comment(line: str) -> str:
    """The line up to an exclamation mark outside constants, behind which stands a comment (not in column 6)."""
    place = masked(line[6:]).find("!")
    return line if place < 0 else line[: 6 + place]


def cards(lines: Iterable[str]) -> tuple[int, list[tuple[int, str]], list[tuple[int, str]]]:
    """What stands behind column 72: card numbers, other identifications of cards, and text that is cut off.

    Returns how many lines have a number, and the lines with the two others. Numbers are taken for card numbers only
    where they are the rule: on most statements, ending in the same column, behind statements that end before column
    72, mostly in rising order. Other words of up to eight letters and digits behind such statements are
    identifications as well; what a statement runs into, or holds an operator, is cut off.
    """
    tails = []
    statements = 0
    for number, line in enumerate(lines, 1):
        if is_comment(line):
            continue
        line = without_comment(expanded(line)).rstrip()
        statements += 1
        if len(line) > 72:
            tails.append((number, line[72:], len(line), line[71] == " "))
    shaped = [tail for tail in tails if tail[2] <= 81 and re.fullmatch(r" *[A-Za-z0-9./$-]*? *\d+", tail[1])]
    end = Counter(tail[2] for tail in shaped).most_common(1)[0][0] if shaped else 0
    numbers = [tail for tail in shaped if tail[2] == end]
    values = [int(re.findall(r"\d+$", tail[1])[0]) for tail in numbers]
    rising = sum(after > before for before, after in itertools.pairwise(values))
    apart = sum(tail[3] for tail in numbers)
    if len(numbers) < max(3, statements // 2) or apart < len(numbers) / 2 or rising < (len(values) - 1) * 2 / 3:
        numbers = []
    counted = {tail[0] for tail in numbers}
    named: list[tuple[int, str]] = []
    spilled: list[tuple[int, str]] = []
    for number, tail, length, blank in tails:
        if number not in counted:
            word = blank and length <= 81 and re.fullmatch(r" *[A-Za-z0-9]{1,8}(?: +[A-Za-z0-9/]{1,6})?", tail)
            (named if word else spilled).append((number, tail.strip()))
    return len(numbers), named, spilled


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
