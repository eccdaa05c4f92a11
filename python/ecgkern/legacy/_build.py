"""From a source to a program: what the compiler is given, what it says, and its first error in plain words."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgkern.legacy._compilers import Compiler, flags
from ecgkern.legacy._dialect import modernised, procedures
from ecgkern.legacy._source import Finding, LegacyError, Source, expanded

__all__ = ["BuildError", "Executable", "build"]


class BuildError(LegacyError):
    """A source that the compiler refuses.

    Attributes
    ----------
    log : str
        All that the compiler said.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Executable:
    """A program that was built.

    Attributes
    ----------
    path : pathlib.Path
        The program.
    command : list of str
        What built it.
    log : str
        What the compiler said.
    findings : tuple of Finding
        Those of the sources, and the changes made for the compiler.
    sources : tuple of Source
        What it was built from.
    compiler : Compiler
        What built it.
    """

    path: Path
    command: list[str]
    log: str
    findings: tuple[Finding, ...]
    sources: tuple[Source, ...]
    compiler: Compiler


def build(
    sources: Source | Sequence[Source],
    compiler: Compiler,
    folder: Path,
    *,
    optimize: str = "-O2",
    retain: bool = True,
    purpose: str = "run",
    f66: bool = False,
    extra: Sequence[str] = (),
    time_limit: float = 120.0,
) -> Executable:
    """Build a program in a folder.

    Parameters
    ----------
    sources : Source or sequence of Source
        The files of the program.
    compiler : Compiler
        The compiler.
    folder : pathlib.Path
        Where the program, the text given to the compiler and its modules go.
    optimize, retain, purpose
        See `flags`.
    f66 : bool, optional
        Loops run at least once and blanks in the numbers on cards are zeros.
    extra : sequence of str, optional
        Flags behind all others.
    time_limit : float, optional
        Seconds for each source.

    Returns
    -------
    Executable
        The program.

    Raises
    ------
    BuildError
        If the compiler refuses a source, or does not end in time.
    """
    sources = (sources,) if isinstance(sources, Source) else tuple(sources)
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "program"
    findings: list[Finding] = []
    objects: list[str] = []
    log = ""
    command: list[str] = []
    own = frozenset[str]().union(*map(procedures, sources))
    for number, source in enumerate(sources):
        text, changes = modernised(source, f66=f66, own=own)
        several = source.path.name if len(sources) > 1 else ""
        findings += [finding._replace(file=several) for finding in (*source.findings, *changes)]
        # Its own name, so that what the compiler and the run-time library say names the user's file.
        home = folder / f"{number}"
        home.mkdir()
        (home / source.name).write_text(text, encoding="latin-1")
        options = [*flags(compiler, source, optimize=optimize, retain=retain, purpose=purpose), *extra]
        objects.append(f"{number}.o")
        command = [compiler.path, *options, "-c", f"{number}/{source.name}", "-o", objects[-1]]
        log += _compile(command, folder, source, time_limit)
        if compiler.name == "gfortran" and retain:
            findings += _never_set(command, folder, several, time_limit)
    link = [compiler.path, *extra, *objects, "-o", "program"]
    log += _compile(link, folder, sources[0], time_limit)
    return Executable(program, command, log, tuple(findings), sources, compiler)


def _compile(command: list[str], folder: Path, source: Source, time_limit: float) -> str:
    said = " ".join(command) + "\n"
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=time_limit, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{source.path.name}: the compiler did not end within {time_limit:g} s", said) from None
    except OSError as error:
        raise BuildError(f"{source.path.name}: the compiler does not run: {error}", said) from error
    said += (run.stdout + run.stderr).decode("utf-8", "replace")
    if run.returncode:
        raise BuildError(_explained(said, source), said)
    return said


# The place where a local that stands nowhere before is declared is that of its use.
_UNSET = (
    r":(\d+):\d+: Warning: [‘']([a-z_]\w*)[’'] (is|may be) used uninitialized.*"
    r"(?:\n.*:\1:\d+: (note): .* declared)?"
)


def _never_set(command: list[str], folder: Path, name: str, time_limit: float) -> list[Finding]:
    """Locals that are used before anything sets them. The compiler sees them only where locals are not retained."""
    *loose, _, _ = (flag for flag in command if flag not in ("-fno-automatic", "-finit-local-zero"))  # without -o
    look = [*loose, "-O1", "-fno-inline", "-Wuninitialized", "-Wmaybe-uninitialized", "-fno-diagnostics-show-caret"]
    try:
        said = subprocess.run(
            [*look, "-o", os.devnull],
            cwd=folder, capture_output=True, text=True, timeout=time_limit, stdin=subprocess.DEVNULL
        ).stderr  # fmt: skip
    except subprocess.TimeoutExpired:
        return []
    findings = {}
    for line, local, sure, nowhere in re.findall(_UNSET, said):
        kind = "warning" if sure == "is" or nowhere else "note"
        text = "nothing sets it before" if kind == "warning" else "there is a way on which nothing sets it before"
        text = f"{local.upper()} is used here and {text}, unless an earlier call did; it starts as zero (see --autopsy)"
        findings[line, local] = Finding(int(line), kind, text, name)
    return list(findings.values())


# What compilers say, and what to do about it.
_REMEDIES = {
    r"not yet implemented: ([^\n]*)": "this flang does not have it yet ({0}): try gfortran",
    r"undefined (?:reference to|symbol:?) [`'‘]?(?:main|MAIN_*)\b": "there is no main program in the file: "
    "legacy.wrap is for a subroutine alone",
    r"undefined reference to [`'‘](\w+?)_?['’]": "{0} is called, and no file given has a SUBROUTINE or FUNCTION of "
    "that name: name its file as well",
    r"Unexpected end of file": "the END card of the last program unit is missing",
    r"multiple definition of [`'‘](\w+?)_?['’]": "{0} is in two of the files given",
    r"Unclassifiable statement|Non-numeric character in statement label|expected|Syntax error|Unexpected"
    r"|Invalid character": "if the statement looks right, look at its columns: label 1-5, continuation mark 6, "
    "text 7-72; ENCODE and DECODE are known to nvfortran alone",
}


def _explained(log: str, source: Source) -> str:
    """The first error, with the line of the source and what to do."""
    name = source.name
    errors = re.search(
        rf"{re.escape(name)}:(\d+):\d+:(?:\s*(?:fatal )?error: ([^\n]*)|.*?^(?:Fatal )?Error: ([^\n]*))"
        rf"|NVFORTRAN-[SF]-\d+-([^\n]*?)\({re.escape(name)}: (\d+)\)",
        log,
        re.MULTILINE | re.DOTALL,
    )
    for pattern, remedy in _REMEDIES.items():
        match = re.search(pattern, log)
        if match:
            remedy = remedy.format(*(group.upper() if group.isidentifier() else group for group in match.groups()))
            break
    else:
        remedy = ""
    if errors is None:
        last = log.strip().splitlines()[-1]
        return f"{name} cannot be built: {remedy or last}"
    line = int(errors[1] or errors[5])
    lines = source.text.split("\n")
    shown = lines[line - 1].rstrip() if 0 < line <= len(lines) else ""
    cut = [f.text for f in source.findings if f.line in (line - 1, line, line + 1) and "past column 72" in f.text]
    if cut:
        shown = expanded(shown)
        shown = f"{shown[:72]}|{shown[72:]}" if len(shown) > 72 else shown
        remedy = cut[0]
    said = (errors[2] or errors[3] or errors[4]).strip()
    return f"{name}:{line}: {said}\n    {shown}" + (f"\n  {remedy}" if remedy else "")
