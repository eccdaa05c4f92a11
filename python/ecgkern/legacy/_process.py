"""One run of a program that is not trusted to end: in its own folder and process group, within limits, nothing lost.

Output goes straight to files, unbuffered, so that whatever was printed before a crash or a limit is there. How it ended
is told in a sentence, from the exit code, the signal and what the run-time libraries of the compilers print.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "execute"]

_POLL = 0.02  # s
# A full disk would take more with it than this run.
_DISK_RESERVE = 256 * 2**20


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    exit_code : int or None
        None if it was killed.
    signal : str or None
        The signal's name, as in "SIGSEGV".
    seconds : float
        Wall time.
    ended : {"end", "stop", "error", "crash", "time limit", "output limit", "disk full"}
        "end": by END or STOP; "stop": by STOP with a number or text; "error": the run-time library, ERROR STOP, or
        another exit code; "crash": a signal; the last three: killed at the limit.
    message : str
        A sentence on it.
    stderr : str
        What was printed on unit 0 and by the run-time library: the last 64 KiB of it.
    """

    exit_code: int | None
    signal: str | None
    seconds: float
    ended: str
    message: str
    stderr: str

    @property
    def ok(self) -> bool:
        """It ran to an END or a STOP."""
        return self.ended in ("end", "stop")


def execute(
    command: Sequence[str | Path],
    folder: Path,
    *,
    deck: Path | None,
    listing: Path,
    time_limit: float,
    output_limit: int,
) -> Outcome:
    """Run a program with a deck on unit 5 and its unit 6 in a file.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    folder : pathlib.Path
        Where it runs.
    deck : pathlib.Path or None
        The standard input; None is an empty one.
    listing : pathlib.Path
        The file that the standard output goes to; it must not exist.
    time_limit : float
        Seconds of wall time after which it is killed.
    output_limit : int
        Bytes, of the listing and of all files in the folder together, after which it is killed.
    """
    errors = listing.with_name(listing.name + ".stderr")
    environment = {**os.environ, "GFORTRAN_UNBUFFERED_ALL": "y", "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    # A program must not outlive a parent that was killed.
    leash = [found, "--pdeathsig", "KILL"] if (found := shutil.which("setpriv")) else []
    start = time.monotonic()
    with open(deck or os.devnull, "rb") as cards, open(listing, "xb") as out, open(errors, "xb") as err:
        process = subprocess.Popen(
            [*leash, *map(str, command)],
            cwd=folder,
            stdin=cards,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )
        try:
            stopped = _watch(process, folder, listing, time_limit, output_limit)
        finally:
            _kill(process)
    seconds = time.monotonic() - start
    with open(errors, "rb") as file:
        file.seek(max(0, errors.stat().st_size - 2**16))
        said = file.read().decode("latin-1")
    if stopped is not None:
        ended, reason = stopped
        return Outcome(None, None, seconds, ended, f"stopped: {reason}; what it printed until then is kept", said)
    return _told(process.returncode, said, seconds, deck)


def _watch(
    process: "subprocess.Popen[bytes]", folder: Path, listing: Path, time_limit: float, output_limit: int
) -> tuple[str, str] | None:
    """Wait for the end; which limit was passed, and a sentence on it."""
    until = time.monotonic() + time_limit
    wait = 0.001
    while True:
        try:
            process.wait(wait)
            return None
        except subprocess.TimeoutExpired:
            wait = min(2 * wait, _POLL)
        if time.monotonic() > until:
            printed = listing.stat().st_size
            so_far = f", and had printed {printed / 1e6:.0f} MB: --time-limit gives it longer" if printed > 1e6 else ""
            return "time limit", f"it ran for the time limit of {time_limit:g} s{so_far}"
        inside = listing.is_relative_to(folder)
        size = _size(folder) + (0 if inside else listing.stat().st_size)
        if size > output_limit:
            return "output limit", f"it wrote {size / 1e9:.3g} GB, the output limit is {output_limit / 1e9:.3g} GB"
        if shutil.disk_usage(folder).free < _DISK_RESERVE:
            return "disk full", f"the disk of {folder} is full but for {_DISK_RESERVE >> 20} MB"


def _size(folder: Path) -> int:
    total = 0
    for entry in os.scandir(folder):
        try:
            total += _size(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else entry.stat().st_size
        except FileNotFoundError:  # deleted by the program in the meantime
            continue
    return total


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The process and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# What the run-time libraries of gfortran, flang and nvfortran say, and what it means.
_MEANINGS = {
    r"past ENDFILE|after the EOF": "it goes on behind the end of the file that END= told it of",
    r"end of file|FIO-F-217": "it read beyond the last card of its input{cards}",
    r"bad (integer|real|logical|repeat|value)|bad character|FIO-F-2(25|28|31)": "a field of the "
    "input is not the number that the FORMAT expects",
    r"no such file|FIO-F-209": "it opens a file that is not there: give it with --unit NAME=FILE",
    r"Expected .* for item .* in formatted transfer": "the FORMAT's edit descriptor does not fit the variable's type",
    r"array bound|out of bounds|index .* of dimension": "an index is outside its array",
    r"allocate|out of memory": "there is not enough memory",
}
_SIGNALS = {
    "SIGSEGV": "it touched memory that is not its own: an index outside its array, a wrong argument list, a full stack",
    "SIGBUS": "it touched memory that is not there",
    "SIGFPE": "an arithmetic error: division by zero, overflow, or an operation without a result",
    "SIGILL": "a trap of the compiler where it knew the statement to be wrong, or an instruction that is not there",
    "SIGABRT": "the run-time library gave up",
    "SIGKILL": "something else killed it; was there enough memory?",
}


def _told(code: int, said: str, seconds: float, deck: Path | None) -> Outcome:
    runtime = re.search(r"Fortran runtime error[^\n]*|FIO-F-[^\n]*", said)
    place = re.search(r"At line (\d+) of file (\S+)(?: \(unit = (-?\d+))?|runtime error\((.*?):(\d+)\)", said)
    unit = place[3] if place else None
    if unit not in (None, "5"):
        cards = f": if it is to read a file there, --unit {unit}=FILE gives it"
    else:
        cards = "" if deck else ": no deck was given, --deck FILE is its unit 5"
    where = ""
    if place:
        line, file = (place[1], place[2]) if place[1] else (place[5], place[4])
        where = f", at line {line} of {Path(file or '').name}" + (f", unit {place[3]}" if place[3] else "")
    if runtime:
        words = runtime[0].split("): ")[-1].removeprefix("Fortran runtime error: ").strip()
        meaning = next((text for pattern, text in _MEANINGS.items() if re.search(pattern, words, re.IGNORECASE)), "")
        about = f"; {meaning.format(cards=cards)}" if meaning else ""
        return Outcome(code, None, seconds, "error", f"run-time error{where}: {words}{about}", said)
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        where = _backtrace(said)
        return Outcome(None, name, seconds, "crash", f"crashed ({name}){where}: {_SIGNALS.get(name, name)}", said)
    stop = re.search(r"^ *(?:Fortran )?(ERROR STOP|STOP|FORTRAN STOP)\b:? *(?:code )?(.*)$", said, re.MULTILINE)
    text = f"{stop[1]} {stop[2]}".strip() if stop else ""
    if code and text.startswith("ERROR"):
        return Outcome(code, None, seconds, "error", f"ended by {text} (exit code {code})", said)
    if stop and (code or stop[2].strip()):
        return Outcome(code, None, seconds, "stop", f"ended by {text} (exit code {code})", said)
    if code:
        return Outcome(code, None, seconds, "error", f"ended with exit code {code}", said)
    return Outcome(0, None, seconds, "end", "ran to its end", said)


def _backtrace(said: str) -> str:
    """The first line of the backtrace that is in a Fortran source."""
    place = re.search(r"^#\d+ .*?\n?\s+at (\S+\.f\w*):(\d+)", said, re.MULTILINE | re.IGNORECASE)
    return f" at line {place[2]} of {Path(place[1]).name}" if place else ""
