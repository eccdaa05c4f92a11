"""`ecgkern bench`: runs the benchmarks of the source tree; their last lines are the table of ratios."""

import argparse
import subprocess
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ecgkern bench`."""
    parser.add_argument("--folder", type=Path, default=Path("benchmarks"), help="where the benchmarks are")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="also write the table to FILE as JSON; it joins one of the same day"
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="only the cases whose names match, as in pytest")
    parser.add_argument("--large", action="store_true", help="also the cases that take minutes")


def run(args: argparse.Namespace) -> int:
    """Run the benchmarks and return pytest's exit code."""
    if not (args.folder / "conftest.py").is_file():
        raise FileNotFoundError(f"no benchmarks in {args.folder}: run this in the source folder of ecgkern")
    command = [sys.executable, "-m", "pytest", str(args.folder), "-q", "--benchmark-columns=median,iqr,rounds"]
    command += ["-k", args.k] if args.k else []
    command += ["--save-table", str(args.save)] if args.save else []
    command += ["--large"] if args.large else []
    return subprocess.run(command, check=False).returncode
