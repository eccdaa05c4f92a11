"""Build an old program, run it with its deck, keep everything it wrote, compare, and write down how it was done."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ecgkern
from ecgkern.legacy import _compare
from ecgkern.legacy._build import BuildError, build
from ecgkern.legacy._compilers import find
from ecgkern.legacy._process import Outcome, execute
from ecgkern.legacy._source import Finding, LegacyError, Source, read

__all__ = ["OUTPUT_LIMIT", "Run", "run"]

OUTPUT_LIMIT = 2 * 2**30
_HOME = "ecgkern-legacy"


@dataclass(frozen=True)
class Run:
    """What came of a run.

    Attributes
    ----------
    folder : pathlib.Path
        Holds all of it: listing, deck, source, units, build log and manifest.
    listing : pathlib.Path
        What was printed on unit 6, or on the unit asked for.
    outcome : Outcome
        How it ended.
    units : dict of str to pathlib.Path
        The files that it wrote, by name; unit 7 is "fort.7".
    comparison : Comparison or None
        With the golden listing.
    findings : tuple of Finding
        What was seen in the source, changed for the compiler, or noticed in the deck.
    manifest : dict
        Hashes of source, deck and listing, compiler, flags, host, times; as in manifest.json.
    """

    folder: Path
    listing: Path
    outcome: Outcome
    units: dict[str, Path]
    comparison: _compare.Comparison | None
    findings: tuple[Finding, ...]
    manifest: dict[str, Any]

    @property
    def ok(self) -> bool:
        """It ran to an END or a STOP, and agrees with the golden listing if there is one."""
        return self.outcome.ok and (self.comparison is None or self.comparison.agree)


def run(
    program: str | Path | Sequence[str | Path],
    *,
    deck: str | Path | None = None,
    units: Mapping[int | str, str | Path] | None = None,
    compiler: str = "gfortran",
    optimize: str = "-O2",
    retain: bool = True,
    f66: bool = False,
    extra: Sequence[str] = (),
    form: str | None = None,
    columns: str = "auto",
    compare: str | Path | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    printer: int = 6,
    out: str | Path | None = None,
    time_limit: float = 60.0,
    output_limit: int = OUTPUT_LIMIT,
) -> Run:
    """Build and run a Fortran program of any age, unchanged, in a new folder that keeps all that came of it.

    Locals keep their values from call to call and start as zero, text ends in column 72, argument lists need not match,
    and rounding is that of the source on every processor. What no compiler reads any more (`PUNCH`, files on a
    `PROGRAM` card, ...) is put into today's words in a copy; the findings tell each change.

    Parameters
    ----------
    program : str, pathlib.Path, or a sequence of them
        The source, or the several files of one program in the order they are to be compiled.
    deck : str or pathlib.Path, optional
        The cards: unit 5.
    units : mapping of int or str to path, optional
        Files that are copied to the program's folder: a number n as unit n (``fort.n``), a name under that name.
    compiler : str, optional
        "gfortran", "flang", "nvfortran", or the path of one.
    optimize : str, optional
        "-O0" to "-O3".
    retain : bool, optional
        Locals keep their values from call to call and start as zero.
    f66 : bool, optional
        FORTRAN 66: DO loops run at least once, and blanks in the numbers on cards are zeros.
    extra : sequence of str, optional
        Flags behind all others.
    form : {"fixed", "free"}, optional
        The source's form; else told by its name and lines.
    columns : {"auto", "72", "132"}, optional
        The last column that is read in fixed form.
    compare : str or pathlib.Path, optional
        The golden listing to compare with: see `ecgkern.legacy.compare`.
    rtol, atol : float, optional
        How far its numbers may be off; 0 is to the printed digits.
    printer : int, optional
        The unit of the listing.
    out : str or pathlib.Path, optional
        The folder to make; it must not exist, or be empty. By default the first free of
        ``ecgkern-legacy/<program>-001``, ``-002``, ...
    time_limit : float, optional
        Seconds after which the program is killed.
    output_limit : int, optional
        Bytes after which it is killed, of all that it writes.

    Returns
    -------
    Run
        What came of it. A program that fails is a result as well: see `Run.outcome`.

    Raises
    ------
    LegacyError
        If a file or the compiler is missing, or the program cannot be built (`BuildError`, with its ``log``).
    ValueError
        If an argument is none of those listed.

    Examples
    --------
    >>> from ecgkern import legacy
    >>> result = legacy.run("thesis.f", deck="run1.cards", compare="run1.lst", rtol=1e-6)  # doctest: +SKIP
    >>> print(result.outcome.message, result.comparison.verdict)  # doctest: +SKIP
    ran to its end rounding
    """
    if not time_limit > 0:
        raise ValueError(f"time_limit must be positive, not {time_limit}")
    if output_limit < 1:
        raise ValueError(f"output_limit must be positive, not {output_limit}")
    paths = [program] if isinstance(program, str | Path) else list(program)
    if not paths:
        raise ValueError("program must name at least one source")
    sources = tuple(read(path, form=form, columns=columns) for path in paths)
    inputs = {**({"deck": deck} if deck else {}), **({"compare": compare} if compare else {})}
    inputs.update({f"units[{name!r}]": path for name, path in (units or {}).items()})
    for argument, path in inputs.items():
        if not os.access(path, os.R_OK) or Path(path).is_dir():
            raise LegacyError(f"{argument} {path}: no such file, or it cannot be read")
    found = find(compiler)
    folder = _new_folder(out, sources[0].path.stem)
    begun = datetime.now(UTC)
    for source in sources:
        _copy(source.path, folder / "source" / source.path.name)
    manifest: dict[str, Any] = {
        "program": [{"file": source.path.name, "sha256": source.sha256, "form": source.form} for source in sources],
        "deck": _identified(deck) if deck else None,
        "units": {str(name): _identified(path) for name, path in (units or {}).items()},
        "compiler": {"name": found.name, "version": found.version},
        "host": {"machine": platform.machine(), "system": platform.platform(), "name": platform.node()},
        "time": begun.isoformat(timespec="seconds"),
        "ecgkern": ecgkern.__version__,
    }
    with tempfile.TemporaryDirectory(prefix="ecgkern-legacy-") as scratch:
        try:
            built = build(sources, found, Path(scratch), optimize=optimize, retain=retain, f66=f66, extra=extra)
        except BuildError as error:
            (folder / "build.log").write_text(error.log)
            _write(folder, manifest | {"ended": "not built", "message": str(error)})
            raise BuildError(f"{error}\n  the compiler's words: {folder / 'build.log'}", error.log) from None
        (folder / "build.log").write_text(built.log)
        findings = list(built.findings)
        deck = deck_of(sources, deck, folder)
        cards = _deck(deck, folder, f66, findings) if deck else None
        listing = folder / "listing.txt"
        outcome, written = _execute(built.path, folder / "units", units or {}, cards, listing, time_limit, output_limit)
    findings += _floating_point(outcome.stderr)
    if printer != 6:
        if f"fort.{printer}" in written:
            listing = written[f"fort.{printer}"]
        else:
            said = f"nothing was written on unit {printer}; the listing is that of unit 6"
            findings.append(Finding(None, "warning", said))
    manifest["compiler"]["command"] = " ".join([found.name, *built.command[1:]])
    manifest |= {
        "listing": _identified(listing) | {"bytes": listing.stat().st_size},
        "written": {name: _sha256(path) for name, path in written.items()},
        "ended": outcome.ended,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "message": outcome.message,
        "seconds": round(outcome.seconds, 3),
        "findings": [str(finding) for finding in findings],
        "golden": _identified(compare) | {"rtol": rtol, "atol": atol} if compare else None,
        "comparison": None,
    }
    _write(folder, manifest)  # already now: a listing that is no text cannot be compared
    comparison = None
    if compare:
        comparison = _compare.compare(listing, compare, rtol=rtol, atol=atol)
        manifest["comparison"] = comparison.as_dict()
        _write(folder, manifest)
    return Run(folder, listing, outcome, written, comparison, tuple(findings), manifest)


def _execute(
    program: Path,
    work: Path,
    units: Mapping[int | str, str | Path],
    cards: Path | None,
    listing: Path,
    time_limit: float,
    output_limit: int,
) -> tuple[Outcome, dict[str, Path]]:
    """Run the program in `work`; how it ended, and the files that it wrote there."""
    work.mkdir()
    for name, path in units.items():
        _copy(path, work / (f"fort.{name}" if str(name).isdigit() else str(name)))
    before = {path: _sha256(path) for path in _files(work)}
    outcome = execute([program], work, deck=cards, listing=listing, time_limit=time_limit, output_limit=output_limit)
    errors = listing.with_name(listing.name + ".stderr")
    if not errors.stat().st_size:
        errors.unlink()
    written = {str(path.relative_to(work)): path for path in _files(work) if before.get(path) != _sha256(path)}
    if not any(work.iterdir()):
        work.rmdir()
    return outcome, written


def _new_folder(out: str | Path | None, stem: str) -> Path:
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise LegacyError(f"out {folder}: is there already; nothing is overwritten, name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    number = 1
    while True:
        folder = Path(_HOME) / f"{stem}-{number:03}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def deck_of(sources: Sequence[Source], deck: str | Path | None, folder: Path) -> str | Path | None:
    """The deck, or the cards behind the program in its own file, written to the folder."""
    inside = next((source.cards for source in sources if source.cards), None)
    if deck is not None or inside is None:
        return deck
    path = folder / "deck-in-program.txt"
    path.write_text(inside, encoding="latin-1")
    return path


def _deck(deck: str | Path, folder: Path, f66: bool, findings: list[Finding]) -> Path:
    """The copy of the deck that goes to unit 5."""
    kept = _copy(deck, folder / "deck.txt")
    data = kept.read_bytes()
    cards = data
    end = data.rstrip(b"\r\n\x1a")
    if b"\x1a" in data[len(end) :]:
        findings.append(Finding(None, "note", "the deck ends in Ctrl-Z, the DOS end of file, which is left out"))
        cards = end + b"\n"
    if f66:  # a card has all its blanks, and there they are zeros
        cards = b"".join(card.ljust(80) + b"\n" for card in cards.splitlines())
    if cards == data:
        return kept
    read = folder / "deck-as-read.txt"
    read.write_bytes(cards)
    return read


def _floating_point(stderr: str) -> list[Finding]:
    """What gfortran says at a STOP of the arithmetic before it."""
    if "floating-point exceptions are signalling" not in stderr:
        return []
    meanings = {
        "IEEE_INVALID_FLAG": "an operation had no result (0/0, or the root of a negative number)",
        "IEEE_DIVIDE_BY_ZERO": "a division by zero",
        "IEEE_OVERFLOW_FLAG": "an overflow",
    }
    seen = [text for flag, text in meanings.items() if flag in stderr]
    where = ": --autopsy finds the line"
    return [Finding(None, "warning", f"the arithmetic went wrong on the way: {'; '.join(seen)}{where}")] if seen else []


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _identified(path: str | Path) -> dict[str, Any]:
    return {"file": Path(path).name, "sha256": _sha256(path)}


def _copy(source: str | Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def _sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    partial = folder / "manifest.json.part"
    partial.write_text(json.dumps(manifest, indent=2) + "\n")
    os.replace(partial, folder / "manifest.json")
