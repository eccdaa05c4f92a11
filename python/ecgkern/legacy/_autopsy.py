"""Why an old program goes wrong: built again with every check the compiler has, run, and explained line by line.

What the compiler alone can see is asked for first. Then the program runs with traps; each fault that stops it is
written down, its check is taken away and the program runs again, until it comes to its end. Last, its locals and its
COMMON blocks begin with other values than zero, or lose them between calls: what changes the listing relies on them.
"""

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ecgkern.legacy._build import BuildError, Executable, build
from ecgkern.legacy._compare import Comparison, compare
from ecgkern.legacy._compilers import Compiler, find
from ecgkern.legacy._matrix import Inputs, Trial, sources_of
from ecgkern.legacy._process import Outcome
from ecgkern.legacy._run import OUTPUT_LIMIT, deck_of
from ecgkern.legacy._source import LegacyError, Source

__all__ = ["Autopsy", "Diagnosis", "autopsy"]

Case = TypeVar("Case")

_ORDER = {"fault": 0, "warning": 1, "note": 2}
_STEPS = 30  # runs, each with one check less or one declaration changed
_UNITS = 40  # subprograms that are looked at one by one
_COMMON_BYTES = 2**22  # of a COMMON block that is filled; larger ones would be slow to compile
_ZEROES = ("-finit-integer=0", "-finit-real=zero", "-finit-logical=false", "-finit-character=0")
_CHECKED = ("-fcheck=all", "-fno-diagnostics-show-caret")
_POISON = ("-finit-integer=-1431655766", "-finit-real=snan", "-finit-logical=true", "-finit-character=63")
# A word of these is a large integer; the first is a signalling NaN as REAL, two of the second one as DOUBLE PRECISION.
_COMMON_POISON = (0x7FA0A0A0, 0x7FF4A0A0)


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is wrong, or that a reader should know.

    Attributes
    ----------
    file : str
        The name of the source.
    line : int or None
        Its line, from 1; None where it is about the whole.
    kind : {"fault", "warning", "note"}
        A "fault" makes numbers wrong; a "warning" may; a "note" does not.
    text : str
        What it means.
    advice : str
        What to try.
    statement : str
        The line of the source.
    found : str
        "by the compiler", "while running" or "by comparing runs".
    """

    file: str
    line: int | None
    kind: str
    text: str
    advice: str
    statement: str
    found: str

    def __str__(self) -> str:
        where = "" if self.line is None else f"{self.file}:{self.line}, "
        rows = [f"{self.kind}: {where}found {self.found}"]
        if self.statement:
            rows.append(f"    {self.statement}")
        rows.append(f"  {self.text}.")
        if self.advice:
            rows.append(f"  Try: {self.advice}.")
        return "\n".join(rows)


@dataclass(frozen=True)
class Autopsy:
    """What `autopsy` found.

    Attributes
    ----------
    findings : tuple of Diagnosis
        Faults first, then warnings and notes, each by line.
    outcome : Outcome
        How the first run with all checks ended.
    compiler : str
        What built it.
    limits : tuple of str
        What was not looked at, and why.
    """

    findings: tuple[Diagnosis, ...]
    outcome: Outcome
    compiler: str
    limits: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """No fault was found, and the program ran to its end."""
        return self.outcome.ok and not any(finding.kind == "fault" for finding in self.findings)

    def report(self) -> str:
        """Return all findings for a person, with the lines of the source."""
        counts = {kind: sum(finding.kind == kind for finding in self.findings) for kind in _ORDER}
        found = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items() if n) or "nothing found"
        ending = _of_program(self.outcome.message)
        parts = [f"Autopsy with {self.compiler}: {found}.\nWith all checks on, the program {ending}."]
        parts += [str(finding) for finding in self.findings]
        if self.limits:
            parts.append("Not looked at:\n" + "\n".join(f"  {limit}." for limit in self.limits))
        return "\n\n".join(parts) + "\n"


def _of_program(message: str) -> str:
    return message if message.startswith(("ran", "ended", "crashed", "stopped")) else f"ended: {message}"


def autopsy(
    program: str | Path | Sequence[str | Path],
    *,
    deck: str | Path | None = None,
    units: Mapping[int | str, str | Path] | None = None,
    compiler: str = "gfortran",
    f66: bool = False,
    extra: Sequence[str] = (),
    form: str | None = None,
    columns: str = "auto",
    time_limit: float = 60.0,
    output_limit: int = OUTPUT_LIMIT,
) -> Autopsy:
    """Build and run a program with every check the compiler has, and explain what is found.

    Of gfortran all is used: its warnings; traps for indices outside arrays, for invalid operations, divisions by
    zero and overflows; locals that begin with values nobody could mistake for results. An argument array declared
    with one element, the way before ``A(*)``, is told and passed over. Locals and COMMON blocks are also looked at by
    their effect on the listing: those that must keep their values from call to call, and those used before they are
    set. That takes some ten runs, and some more for each routine. nvfortran traps indices and floating-point errors;
    flang has no such checks.

    Parameters
    ----------
    program, deck, units, compiler, f66, extra, form, columns, output_limit
        See `ecgkern.legacy.run`.
    time_limit : float, optional
        Seconds for each of the runs.

    Returns
    -------
    Autopsy
        The findings, with ``ok`` and ``report()``.

    Raises
    ------
    LegacyError
        If a file or the compiler is missing, or the program cannot be built.
    """
    sources = sources_of(program, form, columns)
    found = find(compiler)
    with tempfile.TemporaryDirectory(prefix="ecgkern-legacy-") as scratch:
        inputs = Inputs.prepare(
            Path(scratch), deck_of(sources, deck, Path(scratch)), units, f66, time_limit, output_limit
        )
        table = _Table(sources, found, Path(scratch), inputs, f66, tuple(extra))
        return table.dissect()


# --- what the compiler says -----------------------------------------------------------------------

_Q = "[‘'`’]"
# The message, what it is, what it means, what to try. {0}, {1} are the groups, {other} is the line of the second place.
_WARNINGS: list[tuple[str, str, str, str]] = [
    (
        rf"{_Q}(\w+){_Q} is used uninitialized",
        "fault",
        "{0} is used here, and nothing has set it before, unless it keeps a value from the previous call",
        "set {0} first; if it is to keep its value from call to call, say SAVE {0} and DATA {0}/0/",
    ),
    (
        rf"{_Q}(\w+){_Q} may be used uninitialized",
        "warning",
        "there is a way through the program on which {0} is used here and was not set before",
        "set {0} on every way, or say SAVE {0} if it is to keep its value from call to call",
    ),
    (
        r"Array reference at \(1\) (?:is )?out of bounds \((-?\d+) > 1\) in dimension",
        "note",
        "element {0} of an array that is declared with one: as an argument, the way before A(*); no fault then",
        "",
    ),
    (
        r"Array reference at \(1\) out of bounds \((-?\d+) [<>] (-?\d+)\) in loop",
        "note",
        "the loop comes to index {0} of an array whose bound is {1}, unless a condition leaves that out",
        "look for the condition; the run with traps met no such index unless it is listed here",
    ),
    (
        r"Array reference at \(1\) is out of bounds \((-?\d+) [<>] (-?\d+)\)",
        "fault",
        "index {0} of an array whose bound is {1}: something else in memory is read or overwritten",
        "make the array larger",
    ),
    (
        rf"Type mismatch in argument {_Q}(\w+){_Q} at \(1\); passed (.+) to (.+)",
        "warning",
        "the argument {0} is given as {1} and received as {2}: its bits are taken for the other type, not converted",
        "harmless for work arrays and Hollerith text; else write the constant with a point, or declare it {2}",
    ),
    (
        r"Type mismatch between actual argument at \(1\) and actual argument at \(2\) \((.+)/(.+)\)",
        "warning",
        "the same routine is called with {0} here and with {1} in line {other}: one of the two is not what it expects",
        "look at the routine's declarations, and give both calls the same type",
    ),
    (
        r"(?:More|Fewer) actual (?:than formal )?arguments|Missing actual argument(?: for argument)?",
        "warning",
        "the number of arguments differs from that of the routine: those missing are whatever is in memory",
        "compare the call with the SUBROUTINE or FUNCTION statement",
    ),
    (
        rf"Actual argument contains too few elements for dummy argument {_Q}(\w+){_Q} \((\d+)/(\d+)\)",
        "fault",
        "the routine takes {2} elements for {0} and is given {1}: it can go past the end of the array",
        "make the array as large as the routine expects",
    ),
    (
        rf"Rank mismatch in argument {_Q}(\w+){_Q} at \(1\) \(scalar and",
        "warning",
        "{0} is an array in the routine and a single variable here",
        "harmless if the routine uses one element; else pass an array",
    ),
    (
        rf"Named COMMON block {_Q}(\w+){_Q} at \(1\) shall be of the same size as elsewhere \((\d+) vs (\d+)",
        "warning",
        "COMMON /{0}/ has {1} bytes here and {2} elsewhere: variables may not stand where the other routine looks",
        "write the block alike everywhere; a larger one in the main program is harmless if the order is the same",
    ),
    (
        rf"Padding of (\d+) bytes required before {_Q}(\w+){_Q} in COMMON {_Q}(\w+){_Q}",
        "warning",
        "before {1} in COMMON /{2}/ the compiler leaves {0} bytes free: a routine that declares the block otherwise, "
        "and EQUIVALENCE over it, see other places",
        "write the DOUBLE PRECISION variables first, or build with --flag=-fno-align-commons",
    ),
    (
        rf"Return value (?:of function )?{_Q}(\w+){_Q}.* not set",
        "fault",
        "the function {0} never sets its result",
        "assign to {0} before RETURN",
    ),
    (
        r"Integer division truncated to constant",
        "warning",
        "an integer divided by an integer, and the fraction is lost",
        "write one of the two with a decimal point, if it is not meant so",
    ),
    (
        r"DO loop at \(1\) will be executed zero times",
        "warning",
        "this loop runs not once; in FORTRAN 66 each loop ran at least once",
        "--f66, if the program is that old",
    ),
    (
        r"Loop variable at \(1\) must be integer",
        "warning",
        "a DO loop that counts in steps of REAL: how often it runs depends on rounding",
        "count with an INTEGER, and compute the variable from it",
    ),
    (
        r"CHARACTER expression will be truncated in assignment \((\d+)/(\d+)\)",
        "warning",
        "{1} characters go into a variable of {0}: the rest is lost",
        "make the variable longer",
    ),
    (
        r"Equality comparison for REAL",
        "note",
        "numbers with fractions are compared for equality, which depends on the last bit",
        "compare the difference with a small number, if listings differ from here on",
    ),
    (
        r"[Oo]verflow",
        "warning",
        "a constant is too large for its type",
        "look at the number of its digits; INTEGER*8 and DOUBLE PRECISION hold more",
    ),
]
_MESSAGE = re.compile(r"^(.+?):(\d+):\d+: (?:Warning|Error): (.*)$", re.MULTILINE)


def _warnings(log: str, names: Mapping[str, Source]) -> Iterator[Diagnosis]:
    """Turn the compiler's warnings into diagnoses, those that say something of the numbers."""
    pending = ""  # the line of (1) or (2), where a message speaks of two places: it is said first
    for place, line, message in _MESSAGE.findall(log):
        source = names.get(Path(place).name)
        if re.fullmatch(r"\([12]\)", message):
            pending = line
            continue
        for pattern, kind, text, advice in _WARNINGS:
            match = re.search(pattern, message)
            if match and source is not None:
                said = [_plain(group or "") for group in match.groups()]
                # The line of a message about a loop is that of the loop; the other one is the reference.
                number, other = int(pending or line) if "in loop beginning" in message else int(line), pending
                yield _diagnosis(
                    source,
                    number,
                    kind,
                    text.format(*said, other=other),
                    advice.format(*said, other=other),
                    "by the compiler",
                )
                break
        pending = ""


def _plain(text: str) -> str:
    """Return a type or a name in the words of the program."""
    for kind, name in (
        ("REAL(4)", "REAL"),
        ("REAL(8)", "DOUBLE PRECISION"),
        ("INTEGER(4)", "INTEGER"),
        ("LOGICAL(4)", "LOGICAL"),
        ("COMPLEX(4)", "COMPLEX"),
    ):
        text = text.replace(kind, name)
    return text.upper()


def _diagnosis(source: Source, line: int | None, kind: str, text: str, advice: str, found: str) -> Diagnosis:
    lines = source.text.split("\n")
    statement = lines[line - 1].rstrip() if line is not None and 0 < line <= len(lines) else ""
    return Diagnosis(source.path.name, line, kind, text, advice, statement, found)


# --- what stops a run -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stop:
    """What ended a run: a check of the run-time library, or a floating-point trap."""

    source: Source
    line: int
    check: str  # of -fcheck, or "fpe"
    message: str


# What the run-time library says, which check of -fcheck that is, what it means, what to try.
_CHECKS = [
    (
        r"Index '(-?\d+)' of dimension (\d+) of array '(\w+)' (above upper|below lower) bound of (-?\d+)",
        "bounds",
        "index {0} in dimension {1} of {2}, whose bound is {4}: something else in memory is used instead",
        "follow the index back, or make the array larger; if {2} stands last in its COMMON block, and the routine "
        "knows that it goes on, this is the old way to share memory and no fault",
    ),
    (
        r"Index '(-?\d+)' of dimension (\d+) of array '(\w+)' outside of expected range \((-?\d+):(-?\d+)\)",
        "bounds",
        "index {0} in dimension {1} of {2}, which goes from {3} to {4}: something else in memory is used instead",
        "follow the index back, or make the array larger",
    ),
    (
        r"Substring out of bounds[^\n]*",
        "bounds",
        "characters are taken from outside of a variable",
        "look at the two numbers behind the variable's name",
    ),
    (
        r"(?:Array bound mismatch|Actual string length)[^\n]*",
        "bounds",
        "two arrays, or two texts, that should be of one length are not",
        "look at their declarations on both sides of the call",
    ),
    (
        r"Recursive call to nonrecursive procedure '(\w+)'",
        "recursion",
        "{0} calls itself, directly or through others; its locals are overwritten by the inner call",
        "if it is meant so, build with --no-retain and --flag=-frecursive",
    ),
    (
        r"Loop variable has been modified[^\n]*|Loop iterates infinitely[^\n]*",
        "do",
        "the variable of a DO loop is changed inside it, perhaps by a routine that it is passed to",
        "work on a copy",
    ),
    (
        r"(?:Pointer|Allocatable)[^\n]*",
        "pointer",
        "an array is used that has no memory",
        "ALLOCATE it first",
    ),
    (
        r"[^\n]*(?:shift|SIZE argument|POS argument)[^\n]*",
        "bits",
        "a bit is asked for that the integer does not have",
        "look at the arguments of the intrinsic",
    ),
]
_TRAPS = {
    "zero": ("division by zero", "look at what sets the divisor, and print it before this line"),
    "overflow": (
        "overflow: the result is larger than its type can hold",
        "print the operands before this line; DOUBLE PRECISION goes to 1E308",
    ),
    "invalid": (
        "invalid operation: 0/0, the root or the logarithm of a negative number, or a NaN from an earlier one",
        "print the operands before this line",
    ),
}


def _stop(outcome: Outcome, names: Mapping[str, Source]) -> _Stop | None:
    """Return which check ended a run and where; None if it ended otherwise."""
    said = outcome.stderr
    match = re.search(r"At line (\d+) of file (\S+)[^\n]*\nFortran runtime error: ([^\n]*)", said)
    if match and Path(match[2]).name in names:
        for pattern, check, _, _ in _CHECKS:
            if re.match(pattern, match[3]):
                return _Stop(names[Path(match[2]).name], int(match[1]), check, match[3])
    if outcome.signal == "SIGFPE":
        for path, line in re.findall(r"^\s+at (\S+):(\d+)", said, re.MULTILINE):
            if Path(path).name in names:
                return _Stop(names[Path(path).name], int(line), "fpe", "")
    return None


def _one_element(stop: _Stop) -> tuple[str, Source] | None:
    """Return the array and the source with its declaration (1) turned into (*), if that is what the check met."""
    match = re.match(r"Index '-?\d+' of dimension \d+ of array '(\w+)' above upper bound of 1$", stop.message)
    if not match:
        return None
    name, lines = match[1].upper(), stop.source.text.split("\n")
    unit = next((u for u in _units(stop.source) if u.first <= stop.line <= u.last), None)
    if unit is None or name not in unit.arguments:
        return None
    declared = re.compile(rf"\b({name}\s*\((?:[^()]*,)?\s*)1(\s*\))", re.IGNORECASE)
    for number in range(unit.first, unit.last + 1):
        text = lines[number - 1]
        if declared.search(text) and re.match(
            r"\s*(?:DIMENSION|REAL|INTEGER|DOUBLE|LOGICAL|COMPLEX|CHARACTER)|     \S", text, re.IGNORECASE
        ):
            lines[number - 1] = declared.sub(r"\g<1>*\2", text)
            return name, replace(stop.source, text="\n".join(lines))
    return None


# --- subprograms ----------------------------------------------------------------------------------

_HEADER = re.compile(
    r"\s*(?:(?:INTEGER|REAL|DOUBLE\s*PRECISION|LOGICAL|COMPLEX|CHARACTER)\s*(?:\*\s*(?:\d+|\(\*\)))?\s+)?"
    r"(?:RECURSIVE\s+)?(SUBROUTINE|FUNCTION)\s+(\w+)\s*(.*)",
    re.IGNORECASE,
)
_OTHER_UNIT = re.compile(r"\s*(?:PROGRAM|BLOCK\s*DATA|MODULE)\b", re.IGNORECASE)
_END = re.compile(r"\s*END\s*(?:(?:SUBROUTINE|FUNCTION|PROGRAM)\b.*)?", re.IGNORECASE)
_BEFORE_SAVE = re.compile(r"\s*(?:IMPLICIT|USE|IMPORT)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Unit:
    """A program unit: its lines from 1, and behind which of them a SAVE may stand."""

    source: Source
    name: str
    word: str
    arguments: frozenset[str]
    first: int
    last: int
    save_at: int

    @property
    def has_entry(self) -> bool:
        """Whether there are several ways in."""
        return any(
            re.match(r"\s*ENTRY\s+\w", text, re.IGNORECASE)
            for first, last, text in _statements(self.source)
            if self.first <= first and last <= self.last
        )

    def candidates(self, statics: set[str]) -> list[str]:
        """Return those of some names that can be locals here."""
        text = "\n".join(self.source.text.upper().split("\n")[self.first - 1 : self.last])
        code = "\n".join(line for line in text.split("\n") if not re.match(r"[C*!D]", line))
        shared = set(self.arguments) | {self.name}
        for line in re.findall(r"^\s*(?:COMMON|SAVE|DATA|EQUIVALENCE)\b.*(?:\n     \S.*)*", code, re.MULTILINE):
            shared |= set(re.findall(r"[A-Z]\w*", line))
        return sorted(name for name in statics - shared if re.search(rf"\b{name}\b", code))


def _statements(source: Source) -> Iterator[tuple[int, int, str]]:
    """Yield the first and last line of each statement and its text, as far as it matters here."""
    lines = source.text.split("\n")
    first, text = 0, ""
    for number, line in enumerate(lines, 1):
        if source.form == "fixed":
            if not line.strip() or line[0] in "cC*!dD#":
                continue
            if len(line) > 5 and line[5] not in " 0" and not line[:5].strip():
                text += line[6:72]
                continue
            code = line[6:72] if "\t" not in line[:6] else line.split("\t", 1)[1]
        else:
            code = line.split("!")[0]
            if not code.strip():
                continue
            if text.rstrip().endswith("&"):
                text = text.rstrip()[:-1] + code.lstrip(" &")
                continue
        if first:
            yield first, number - 1, text
        first, text = number, code
    if first:
        yield first, len(lines), text


def _units(source: Source) -> list[_Unit]:
    """Return the main program, subroutines and functions of a source; none if it is written in modules."""
    statements = list(_statements(source))
    if any(re.match(r"\s*(?:MODULE|CONTAINS)\b", text, re.IGNORECASE) for _, _, text in statements):
        return []
    found: list[_Unit] = []
    inside: list[tuple[int, int, str]] = []
    for statement in statements:
        inside.append(statement)
        if not _END.fullmatch(statement[2]):
            continue
        head = inside[0][2]
        saved = any(re.fullmatch(r"\s*SAVE\s*", text, re.IGNORECASE) for _, _, text in inside)
        if not saved and not re.match(r"\s*BLOCK\s*DATA\b", head, re.IGNORECASE):
            match = _HEADER.match(head)
            word, name, rest = match.groups() if match else ("PROGRAM", "", "")
            # A main program need not have a header. Comments behind a statement are counted as its own: no harm.
            first = 0 if match or re.match(r"\s*PROGRAM\b", head, re.IGNORECASE) else -1
            before = max([first, *(i for i, (_, _, text) in enumerate(inside) if _BEFORE_SAVE.match(text))])
            save_at = inside[before + 1][0] - 1
            arguments = frozenset(re.findall(r"[A-Z]\w*", rest.upper()))
            found.append(_Unit(source, name.upper(), word.upper(), arguments, inside[0][0], statement[1], save_at))
        inside = []
    return found


def _loosened(sources: Sequence[Source], number: int, unit: _Unit, kept: Sequence[str]) -> tuple[Source, ...]:
    """Return the sources with one routine made RECURSIVE, whose locals are then not kept but for those named."""
    fixed = unit.source.form == "fixed"
    lines = unit.source.text.split("\n")
    if kept:
        lines.insert(unit.save_at, "      SAVE " + (",\n     &" if fixed else ", &\n").join(kept))
    head = lines[unit.first - 1]
    code = head.split("\t", 1)[1] if "\t" in head[:6] else head[6:]
    lines[unit.first - 1] = f"      RECURSIVE\n     &{code}" if fixed else f"recursive {head.lstrip()}"
    changed = replace(unit.source, text="\n".join(lines))
    return (*sources[:number], changed, *sources[number + 1 :])


@dataclass
class _Scope:
    """A program unit as far as it says which variables are the same memory."""

    source: Source
    dummies: list[str]
    blocks: dict[str, set[str]] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    calls: list[tuple[int, str, list[str]]] = field(default_factory=list)


def _scopes(sources: Sequence[Source]) -> dict[str, _Scope]:
    found: dict[str, _Scope] = {}
    for source in sources:
        scope = found.setdefault("", _Scope(source, []))
        for line, _, text in _statements(source):
            text = text.upper()
            if match := _HEADER.match(text):
                scope = found.setdefault(match[2], _Scope(source, re.findall(r"[A-Z]\w*", match[3])))
            elif _OTHER_UNIT.match(text):
                scope = found.setdefault(f" {line} of {source.name}", _Scope(source, []))
            elif re.match(r"\s*COMMON\b", text):
                plain = re.sub(r"\([^()]*\)", "", re.sub(r"^\s*COMMON", "", text))
                for block, names in re.findall(r"(?:/\s*(\w*)\s*/)?([^/]+)", plain):
                    scope.blocks.setdefault(block, set()).update(re.findall(r"[A-Z]\w*", names))
            elif match := re.search(r"\bCALL\s+(\w+)\s*\((.*)\)\s*$", text):
                scope.calls.append((line, match[1], [word.strip() for word in match[2].split(",")]))
            elif match := re.match(r"(?:\s*IF\s*\(.*\))?\s*([A-Z]\w*)\s*(?:\([^=]*\))?\s*=", text):
                scope.assigned.add(match[1])
    return found


def _aliases(sources: Sequence[Source]) -> Iterator[Diagnosis]:
    """Find calls that give a routine one variable under two names, one of which it changes, as is not allowed."""
    scopes = _scopes(sources)
    for scope in scopes.values():
        for line, name, given in scope.calls:
            routine = scopes.get(name)
            if routine is None:
                continue
            pairs = list(zip(given, routine.dummies, strict=False))
            for number, (actual, dummy) in enumerate(pairs):
                if not re.fullmatch(r"[A-Z]\w*", actual):
                    continue
                twins = [other for same, other in pairs[number + 1 :] if same == actual]
                for block, names in scope.blocks.items():
                    if actual in names and block in routine.blocks:
                        where = f"COMMON{f' /{block}/' if block else ''}"
                        twins += [f"a variable of {where}"] if routine.blocks[block] & routine.assigned else []
                        twins += [f"a variable of {where}"] if dummy in routine.assigned and not twins else []
                for twin in twins:
                    if twin.startswith("a variable") or {dummy, twin} & routine.assigned:
                        text = (
                            f"{actual} is known to {name} under two names, as {dummy} and as {twin}, and {name} sets "
                            "one of them: with optimisation the other may keep its old value"
                        )
                        advice = "pass a copy of it, or build with -O0"
                        yield _diagnosis(scope.source, line, "warning", text, advice, "while reading")


# --- the dissection -------------------------------------------------------------------------------


@dataclass
class _Table:
    sources: tuple[Source, ...]
    compiler: Compiler
    folder: Path
    inputs: Inputs
    f66: bool
    extra: tuple[str, ...]
    findings: list[Diagnosis] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    _made: Iterator[int] = field(default_factory=itertools.count)  # as builds are made in several threads

    def dissect(self) -> Autopsy:
        for source in self.sources:
            for seen in source.findings:
                self._add(_diagnosis(source, seen.line, seen.kind, seen.text, "", "while reading"))
        for finding in _aliases(self.sources):
            self._add(finding)
        if self.compiler.name == "gfortran":
            self._listen()
            outcome, traps = self._peel()
            self._try_locals()
            self._try_common(traps)
        else:
            outcome = self._run(self._build()).outcome
            has = "traps for indices and floating-point errors" if self.compiler.name == "nvfortran" else "no traps"
            self.limits.append(
                f"{self.compiler.name} has {has}; values never set are found with --compiler gfortran only"
            )
        order = sorted(self.findings, key=lambda f: (_ORDER[f.kind], f.line is None, f.file, f.line or 0))
        return Autopsy(tuple(order), outcome, str(self.compiler), tuple(self.limits))

    # ... building and running

    @property
    def _names(self) -> dict[str, Source]:
        return {source.name: source for source in self.sources}

    def _build(
        self,
        sources: Sequence[Source] | None = None,
        *,
        optimize: str = "-O0",
        retain: bool = True,
        extra: Sequence[str] = (),
    ) -> Executable:
        return build(
            self.sources if sources is None else sources,
            self.compiler,
            self.folder / f"build-{next(self._made)}",
            optimize=optimize,
            retain=retain,
            purpose="run" if self.compiler.name == "gfortran" else "autopsy",
            f66=self.f66,
            extra=(*self.extra, *extra),
        )

    def _run(self, built: Executable) -> Trial:
        return self.inputs.run(built, built.path.parent / "run")

    def _trial(self, sources: Sequence[Source] | None = None, *, retain: bool, extra: Sequence[str]) -> Trial | None:
        """Build at -O0 without any trap and run; None where that cannot be built."""
        try:
            return self._run(self._build(sources, retain=retain, extra=extra))
        except BuildError:
            return None

    def _add(self, finding: Diagnosis) -> None:
        same = [f for f in self.findings if (f.file, f.line, f.text) == (finding.file, finding.line, finding.text)]
        if not same:
            self.findings.append(finding)

    # ... the compiler

    def _listen(self) -> None:
        """Let the compiler look at the source.

        Without -fno-automatic, under which it takes every local for set; at -O1, since without optimisation it does
        not follow values; not inlining, so that what it says is about the routine that it names.
        """
        plain = ("-fno-diagnostics-show-caret", "-Wall", "-Wextra", "-fno-inline")
        built = self._build(optimize="-O1", retain=False, extra=plain)
        log = built.log
        # That a loop counts in REAL is said only under a standard that has no such loops any more.
        for number, source in enumerate(self.sources):
            file = built.path.parent / f"{number}" / source.name
            form = (
                ["-ffree-form"] if source.form == "free" else ["-ffixed-form", f"-ffixed-line-length-{source.columns}"]
            )
            command = [self.compiler.path, "-std=gnu", "-fallow-argument-mismatch", "-fsyntax-only", *form]
            said = subprocess.run(
                [*command, "-fno-diagnostics-show-caret", str(file)],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                cwd=built.path.parent,
                check=False,
            ).stderr.decode("utf-8", "replace")
            log += "\n".join(line for line in said.splitlines() if "Loop variable at (1) must be integer" in line)
        for finding in _warnings(log, self._names):
            self._add(finding)

    # ... traps

    def _peel(self) -> tuple[Outcome, list[str]]:
        """Run with all checks; after each fault without the check that met it, until the program ends by itself.

        First with locals that begin as values which trap, then with locals that begin as zero: a NaN hides what
        comes after it.
        """
        sources, off = list(self.sources), list[str]()
        first: Outcome | None = None
        for beginning in (_POISON, _ZEROES):
            traps = list(_TRAPS)
            for _ in range(_STEPS):
                try:
                    outcome = self._checked(sources, off, traps, beginning)
                except BuildError:
                    if first is None or "bounds" in off:
                        raise
                    sources = list(self.sources)  # (*) is not allowed everywhere that (1) is
                    off.append("bounds")
                    continue
                stop = _stop(outcome, {source.name: source for source in sources})
                changed = _one_element(stop) if stop is not None and stop.check != "fpe" else None
                if changed is None:  # the way before A(*) is no fault to tell of first
                    first = first or outcome
                if stop is None:
                    break
                if stop.check == "fpe":
                    if self._of_integers(sources, stop, off, beginning):
                        return first or outcome, traps
                    kind = self._explain_trap(sources, stop, off, traps)
                    traps.remove(kind)
                    continue
                if changed is not None:
                    sources[sources.index(stop.source)] = changed[1]
                    text = f"{changed[0]} is declared with one element, the way before {changed[0]}(*): no fault"
                    self._add(_diagnosis(stop.source, stop.line, "note", text, "", "while running"))
                    continue
                self._explain_check(stop)
                off.append(stop.check)
        assert first is not None
        if "bounds" in off:
            self.limits.append("indices behind the first that is outside its array; put that one right and ask again")
        return first, traps

    def _checked(
        self, sources: Sequence[Source], off: Sequence[str], traps: Sequence[str], beginning: Sequence[str]
    ) -> Outcome:
        """Run with the checks that are not off, with traps, and with what locals are to begin with."""
        checks = [*_CHECKED, *(f"-fcheck=no-{check}" for check in off)]
        # Said once: what a second -ffpe-trap names is added to the first.
        checks += [f"-ffpe-trap={','.join(traps)}"] if traps else []
        trial = self._run(self._build(sources, extra=(*checks, *beginning)))
        trial.listing.unlink()  # many of them could fill a disk
        return trial.outcome

    def _of_integers(
        self, sources: Sequence[Source], stop: _Stop, off: Sequence[str], beginning: Sequence[str]
    ) -> bool:
        """Whether it was a division of integers, which no flag lets pass; if so, say it."""
        outcome = self._checked(sources, off, [], beginning)
        again = _stop(outcome, {source.name: source for source in sources})
        if again is None or (again.check, again.line) != (stop.check, stop.line):
            return False
        text = "an INTEGER is divided by zero here, or taken MOD zero"
        advice = "look at how the divisor gets its value: a blank field of a card is zero"
        self._add(_diagnosis(stop.source, stop.line, "fault", text, advice, "while running"))
        self.limits.append("what comes behind the division of integers by zero; put that one right and ask again")
        return True

    def _explain_check(self, stop: _Stop) -> None:
        for pattern, _, text, advice in _CHECKS:
            match = re.match(pattern, stop.message)
            if match:
                said = [str(group).upper() for group in match.groups()]
                values = text.format(*said), advice.format(*said)
                self._add(_diagnosis(stop.source, stop.line, "fault", *values, "while running"))
                return

    def _explain_trap(self, sources: Sequence[Source], stop: _Stop, off: Sequence[str], traps: Sequence[str]) -> str:
        """Find out which of the traps it was, and whether it would be one if all locals began as zero."""

        def again(trap: str, beginning: Sequence[str] = _POISON) -> bool:
            outcome = self._checked(sources, off, [trap], beginning)
            other = _stop(outcome, {source.name: source for source in sources})
            return other is not None and (other.check, other.line) == (stop.check, stop.line)

        kind = next((trap for trap in traps if len(traps) == 1 or again(trap)), traps[0])
        if again(kind, _ZEROES):
            text, advice = _TRAPS[kind]
        else:
            what = self._unset(stop)
            text = f"{what} is used here, and nothing has set it: it is zero only because memory happens to be"
            advice = "set it before, in DATA if it is a constant"
        self._add(_diagnosis(stop.source, stop.line, "fault", text, advice, "while running"))
        return kind

    def _unset(self, stop: _Stop) -> str:
        """Return the name of what is not set in a line, if the compiler has told it, which need not be said twice."""
        for finding in self.findings:
            match = re.search(r"(\w+) is used here", finding.text)
            if match and (finding.file, finding.line) == (stop.source.path.name, stop.line):
                self.findings.remove(finding)
                return match[1]
        return "a variable of this line"

    # ... locals

    def _try_locals(self) -> None:
        """Compare runs whose locals begin otherwise, or are not kept."""
        zeroed = self._trial(retain=True, extra=_ZEROES)
        if zeroed is None or not zeroed.outcome.ok:
            self.limits.append("what locals begin with and keep: the program does not come to its end without traps")
            return
        unset = where = _change(self._trial(retain=True, extra=_POISON), zeroed)
        if where:
            named = any(f.kind == "fault" and " nothing has set it" in f.text for f in self.findings)
            text = f"a local variable is used before it is set; where locals begin with other values than zero, {where}"
            advice = (
                "see the variables that are named with a line"
                if named
                else "look for a variable that no statement sets first"
            )
            self._add(_diagnosis(self.sources[0], None, "fault", text, advice, "by comparing runs"))
        where = _change(self._trial(retain=False, extra=_ZEROES), zeroed)
        loose = _ZEROES
        if not where and not unset:
            loose = _POISON
            where = _change(self._trial(retain=False, extra=_POISON), zeroed)
        if where:
            self._who_retains(zeroed, loose, where)

    def _who_retains(self, zeroed: Trial, beginning: Sequence[str], where: str) -> None:
        """Find the routines whose locals must be kept, and these locals: one after the other they are not."""
        units = [(n, unit) for n, source in enumerate(self.sources) for unit in _units(source) if unit.name]
        if len(units) > _UNITS:
            self.limits.append(f"which routines count on retained locals: there are more than {_UNITS}")
            units = []

        def effect(case: tuple[int, _Unit, Sequence[str]]) -> str:
            return _change(self._trial(_loosened(self.sources, *case), retain=True, extra=beginning), zeroed)

        changes = _in_parallel(effect, [(*unit, ()) for unit in units])
        guilty = [(*unit, change) for unit, change in zip(units, changes, strict=True) if change]
        statics = self._statics() if guilty else set()
        for number, unit, change in guilty:
            kept = names = unit.candidates(statics)
            if 1 < len(names) <= _UNITS and not effect((number, unit, names)):
                changes = _in_parallel(effect, [(number, unit, [n for n in names if n != name]) for name in names])
                kept = [name for name, lost in zip(names, changes, strict=True) if lost]
            elif len(names) > 1:
                kept = []
            what = ", ".join(kept)
            who, keeping = f"{unit.word} {unit.name}", "its value" if len(kept) == 1 else "their values"
            text = (
                f"{who} counts on {what or 'its locals'} keeping {keeping} from one call to the next; without, {change}"
            )
            advice = f"SAVE{' ' + what if what else ''} in {unit.name}; ecgkern keeps locals unless told otherwise"
            self._add(_diagnosis(unit.source, unit.first, "warning", text, advice, "by comparing runs"))
        if not guilty:
            text = f"locals must keep their values from call to call; where they do not, {where}"
            # gfortran keeps the locals of a routine with ENTRY even where it is RECURSIVE.
            entries = [unit.name for _, unit in units if unit.has_entry]
            first = f", first of all in {' and '.join(entries)} with its ENTRY" if entries else ""
            advice = f"SAVE in each routine that counts on it{first}; ecgkern keeps locals unless told otherwise"
            self._add(_diagnosis(self.sources[0], None, "warning", text, advice, "by comparing runs"))

    def _statics(self) -> set[str]:
        """Return the names of all locals in memory of their own, as the object files have them."""
        built = self._build()
        return {
            match[1].upper()
            for _, kind, name in _symbols(built)
            if kind in "bd" and (match := re.fullmatch(r"([a-z]\w*)\.\d+", name))
        }

    # ... COMMON

    def _try_common(self, traps: Sequence[str]) -> None:
        """Let the COMMON blocks without DATA begin with other values than zero.

        The compiler does not do that; a BLOCK DATA of our own does, under the names that the linker knows them by.
        """
        try:
            built = self._build()
        except BuildError:
            return
        if shutil.which("nm") is None:
            self.limits.append("what COMMON blocks begin with: the command nm is not here (sudo apt install binutils)")
            return
        blocks: dict[str, int] = {}
        for size, kind, name in _symbols(built):
            if kind == "C":
                blocks[name] = max(size, blocks.get(name, 0))
        large = [name for name, size in blocks.items() if size > _COMMON_BYTES]
        blocks = {name: size for name, size in blocks.items() if name not in large}
        if large:
            self.limits.append(f"what the large COMMON blocks begin with: {', '.join(map(_block_name, large))}")
        zeroed = self._trial(retain=True, extra=_ZEROES)
        if not blocks or zeroed is None or not zeroed.outcome.ok:
            return
        for pattern in _COMMON_POISON:
            self._poison_common(blocks, pattern, traps, zeroed)

    def _poison_common(self, blocks: Mapping[str, int], pattern: int, traps: Sequence[str], zeroed: Trial) -> None:
        def begin_otherwise(some: Mapping[str, int], *flags: str) -> Trial | None:
            sources = (*self.sources, _block_data(some, pattern))
            try:
                return self._run(self._build(sources, extra=(*_ZEROES, "-fbacktrace", *flags)))
            except BuildError:
                return None

        def effect(some: Mapping[str, int]) -> str:
            return _change(begin_otherwise(some), zeroed)

        where = effect(blocks)
        if not where:
            return
        singles = [{name: size} for name, size in blocks.items()]
        changes = [where] if len(singles) == 1 else _in_parallel(effect, singles[:_UNITS])
        guilty = [next(iter(single)) for single, change in zip(singles, changes, strict=False) if change] or list(
            blocks
        )
        names = " and ".join(map(_block_name, guilty))
        trapped = begin_otherwise(blocks, f"-ffpe-trap={','.join(traps)}") if traps else None
        stop = _stop(trapped.outcome, self._names) if trapped else None
        known = any(f.text.startswith(f"a variable in {names} ") for f in self.findings)
        if known and stop is None:
            return
        text = f"a variable in {names} is used before anything sets it; where the block does not begin as zero, {where}"
        advice = f"set it first, or in a BLOCK DATA, which makes the zero of {names} official"
        source, line = (stop.source, stop.line) if stop else (self.sources[0], None)
        self.findings = [f for f in self.findings if not (f.text.startswith(f"a variable in {names} ") and not f.line)]
        self._add(_diagnosis(source, line, "fault", text, advice, "by comparing runs"))


def _in_parallel(task: Callable[[Case], str], cases: Sequence[Case]) -> list[str]:
    with ThreadPoolExecutor(max(len(os.sched_getaffinity(0)), 1)) as pool:
        return list(pool.map(task, cases))


def _symbols(built: Executable) -> list[tuple[int, str, str]]:
    """Return size, kind and name of what the object files hold; nothing where there is no nm."""
    nm = shutil.which("nm")
    objects = sorted(built.path.parent.glob("*.o"))
    if nm is None or not objects:
        return []
    said = subprocess.run([nm, "-S", *map(str, objects)], capture_output=True, text=True, check=False).stdout
    return [
        (int(size, 16), kind, name) for size, kind, name in re.findall(r"^\w+ (\w+) (\w) (\S+)$", said, re.MULTILINE)
    ]


def _block_name(symbol: str) -> str:
    return "blank COMMON" if symbol == "__BLNK__" else f"COMMON /{symbol.rstrip('_').upper()}/"


def _block_data(blocks: Mapping[str, int], pattern: int) -> Source:
    """Return a source that fills COMMON blocks."""
    lines = ["      BLOCK DATA ECGBEG", "      USE ISO_C_BINDING"]
    for number, (name, size) in enumerate(blocks.items()):
        lines += [
            f"      INTEGER(C_INT) W{number}({-(-size // 4)})",
            f"      COMMON /ECGB{number}/ W{number}",
            f"      BIND(C,NAME='{name}') :: /ECGB{number}/",
        ]
    lines += [f"      DATA W{number} /{-(-size // 4)}*{pattern}/" for number, size in enumerate(blocks.values())]
    text = "\n".join([*lines, "      END", ""])
    return Source(Path("ecgkern_common.f"), text, "fixed", card_numbers=False, columns=72, findings=(), sha256="")


def _change(trial: Trial | None, reference: Trial) -> str:
    """Return in which way a run differs from the reference, as the end of a sentence; nothing if it does not."""
    if trial is None:
        return ""
    try:
        return _difference(trial, reference)
    finally:
        trial.listing.unlink()  # many of them could fill a disk


def _difference(trial: Trial, reference: Trial) -> str:
    if not trial.outcome.ok:
        return f"the program {_of_program(trial.outcome.message)}"
    try:
        found: Comparison = compare(trial.listing, reference.listing)
    except LegacyError:
        sizes = trial.listing.stat().st_size, reference.listing.stat().st_size
        return "" if sizes == (0, 0) else "what it prints changes"
    if found.agree:
        return ""
    first = found.differences[0]
    return f"the listing changes at line {first.line}: {_former(first.sentence)}"


def _former(sentence: str) -> str:
    return sentence.replace("the golden listing has", "it was").replace("golden listing", "former listing")
