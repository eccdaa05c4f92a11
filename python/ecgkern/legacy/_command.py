"""``ecgkern legacy``: rerun old Fortran, compare listings, look for faults, sweep over tables of parameters."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from ecgkern.legacy import _autopsy, _compare, _matrix, _sweep
from ecgkern.legacy._compilers import COMPILERS, available
from ecgkern.legacy._run import OUTPUT_LIMIT, Run
from ecgkern.legacy._run import run as run_program
from ecgkern.legacy._source import COLUMNS, LegacyError

__all__ = ["add_arguments", "run"]

_SHOWN = 40  # lines of a listing
_QUICK = 10.0  # s; a program that took longer is not run again unasked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of ``ecgkern legacy`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="subcommand")
    for name, (add, summary) in {
        "run": (_add_run, "build and run a program of any age with its deck, and compare its listing"),
        "compare": (_add_compare, "compare two listings number by number"),
        "sweep": (_sweep.add_arguments, "run a program over a table of parameters, one CSV out"),
        "compilers": (lambda _: None, "list the Fortran compilers on this machine"),
    }.items():
        add(commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + "."))


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code: 0 if the program ran to an END or a STOP and agrees with the golden listing, 1 if not, 2 if it "
        "could not be built or run. Listing, deck, units, build log and manifest are kept in a new folder each time."
    )
    add = parser.add_argument
    add("program", metavar="PROGRAM.f", nargs="+", type=Path, help="the source; several files make one program")
    add("--deck", metavar="FILE", help="the cards, unit 5; - is the standard input")
    add(
        "--unit",
        metavar="N=FILE",
        action="append",
        default=[],
        type=_unit,
        help="a file for unit N, or under the name that the program opens; may be repeated",
    )
    names = ", ".join(COMPILERS)
    add("--compiler", default="gfortran", help=f"{names}, or the path of one (default: gfortran)")
    add("--compare", metavar="GOLDEN", type=Path, help="the listing of yesterday")
    _add_tolerances(parser)
    add("--printer", metavar="N", type=int, default=6, help="the unit of the listing (default: 6)")
    look = parser.add_mutually_exclusive_group()
    look.add_argument("--autopsy", action="store_true", help="build with traps instead, and explain each fault")
    look.add_argument("--flags-matrix", action="store_true", help="run every build, and tell rounding from faults")
    add("-O", dest="optimize", choices=("0", "1", "2", "3"), default="2", help="optimisation (default: 2)")
    add("--no-retain", dest="retain", action="store_false", help="locals neither keep their values nor start as zero")
    add("--f66", action="store_true", help="FORTRAN 66: loops run at least once, blanks on cards are zeros")
    add("--flag", metavar="FLAG", action="append", default=[], help="one more flag, as in --flag=-m32; may be repeated")
    add("--form", choices=("fixed", "free"), help="the source's form; else told from the file")
    add("--columns", choices=COLUMNS, default="auto", help="the last column read in fixed form (default: auto, 72)")
    add("--out", metavar="DIR", type=Path, help="the folder to make (default: ecgkern-legacy/PROGRAM-001, ...)")
    add("--time-limit", metavar="S", type=float, default=60.0, help="seconds (default: 60)")
    add("--output-limit", metavar="MB", type=float, default=OUTPUT_LIMIT / 2**20, help="of all output (default: 2048)")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code: 0 if they agree, 1 if not, 2 if one cannot be read."
    parser.add_argument("listing", metavar="LISTING", type=Path)
    parser.add_argument("golden", metavar="GOLDEN", type=Path)
    _add_tolerances(parser)


def _add_tolerances(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rtol", type=_tolerance, default=0.0, help="relative difference allowed (default: 0, the printed digits)")
    add("--atol", type=_tolerance, default=0.0, help="absolute difference allowed (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Run ``ecgkern legacy`` and return its exit code."""
    try:
        match arguments.subcommand:
            case "run":
                return _run(arguments)
            case "compare":
                comparison = _compare.compare(
                    arguments.listing, arguments.golden, rtol=arguments.rtol, atol=arguments.atol
                )
                print(comparison.report())
                return 0 if comparison.agree else 1
            case "sweep":
                return _sweep.run(arguments)
            case _:
                found = available()
                print("\n".join(f"{c.name:10} {c.version}   {c.path}" for c in found) or "no Fortran compiler on PATH")
                missing = [name for name in COMPILERS if name not in {compiler.name for compiler in found}]
                for name in missing:
                    print(f"{name:10} not here; install it: {COMPILERS[name]}")
                return 0
    except (LegacyError, ValueError, TypeError) as error:
        print(f"ecgkern legacy {arguments.subcommand}: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    common: dict[str, Any] = {
        "deck": _deck(arguments.deck),
        "units": dict(arguments.unit),
        "form": arguments.form,
        "columns": arguments.columns,
        "f66": arguments.f66,
        "extra": arguments.flag,
        "time_limit": arguments.time_limit,
    }
    limit = int(arguments.output_limit * 2**20)
    if arguments.autopsy:
        report = _autopsy.autopsy(arguments.program, compiler=arguments.compiler, output_limit=limit, **common)
        print(report.report())
        return 0 if report.ok else 1
    if arguments.flags_matrix:
        tolerances = {"compare": arguments.compare, "rtol": arguments.rtol, "atol": arguments.atol}
        matrix = _matrix.flags_matrix(arguments.program, output_limit=limit, **tolerances, **common)
        print(matrix.report())
        return 0 if matrix.ok else 1
    common |= {
        "compiler": arguments.compiler,
        "compare": arguments.compare,
        "rtol": arguments.rtol,
        "atol": arguments.atol,
        "printer": arguments.printer,
        "optimize": f"-O{arguments.optimize}",
        "retain": arguments.retain,
        "output_limit": limit,
    }
    result = run_program(arguments.program, out=arguments.out, **common)
    print(_told(result))
    if result.comparison is not None and not result.comparison.agree:
        print(_what_next(result, arguments.program, common))
    return 0 if result.ok else 1


def _what_next(result: Run, program: list[Path], options: dict[str, Any]) -> str:
    """What may explain a listing that differs: FORTRAN 66, which is tried, or else a fault."""
    if not options["f66"] and result.outcome.seconds < _QUICK:
        with tempfile.TemporaryDirectory(prefix="ecgkern-legacy-") as folder:
            try:
                again = run_program(program, out=folder, **options | {"f66": True})
            except LegacyError:
                again = None
        if again is not None and again.ok:
            return "with --f66, loops that run at least once and blanks that are zeros, it agrees"
    return "next: --flags-matrix tells rounding from faults, --autopsy looks for them"


def _told(result: Run) -> str:
    """What a person wants to know of a run, in the order in which it is asked."""
    lines = []
    with open(result.listing, encoding="latin-1", newline="\n") as file:
        head = [line.rstrip("\r\n") for _, line in zip(range(_SHOWN + 1), file, strict=False)]
    lines += head[:_SHOWN]
    size = result.listing.stat().st_size
    if len(head) > _SHOWN:
        lines.append(f"... the whole listing, {size:,} bytes, is in {result.listing}")
    if lines:
        lines.append("")
    errors = result.outcome.stderr.strip().splitlines()
    if errors:
        lines += ["on unit 0:", *(f"  {line}" for line in errors[-_SHOWN:]), ""]
    lines += [str(finding) for finding in result.findings]
    lines.append(f"program: {result.outcome.message} ({result.outcome.seconds:.2f} s)")
    if result.units:
        lines.append(f"written: {', '.join(f'{name} ({path})' for name, path in result.units.items())}")
    if result.comparison is not None:
        lines.append(result.comparison.report())
    lines.append(f"kept in {result.folder}: listing, source, build log, manifest")
    return "\n".join(lines)


def _deck(name: str | None) -> Path | None:
    if name != "-":
        return Path(name) if name else None
    with tempfile.NamedTemporaryFile("wb", prefix="deck-", suffix=".txt", delete=False) as file:
        file.write(sys.stdin.buffer.read())
    return Path(file.name)


def _unit(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 8=FILE or NAME=FILE")
    return name, path


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a tolerance: 0 or more, as in 1e-6")
    return value
