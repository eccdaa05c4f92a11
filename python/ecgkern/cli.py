"""The `ecgkern` command. Each subcommand lives in a module of its own, imported only when it runs."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import ecgkern

_COMMANDS = {
    "doctor": "show what is ready on this machine, and how to install what is missing",
    "demo": "synthesise ECGs on the R peaks of real records and write a report",
    "evaluate": "compare synthetic ECGs with real ones and write a report",
    "train": "train a generative model on recordings: sine VAE, LSTM-VAE, GAN, VAE-GAN",
    "generate": "synthetic ECGs from a trained model: npz, WFDB records or CSV",
    "stream": "synthetic ECGs as they are made, in a window, a browser or a GIF",
    "export": "a trained model as ONNX, to run without PyTorch, or as safetensors",
    "geomag": "geomagnetic coordinates, local time, field and poles, for files and as maps",
    "legacy": "rerun old Fortran: build, run, compare with the listing of yesterday, find faults, sweep",
    "bench": "time the kernels against their peers and against the limits of this machine",
}
# Where it is not ecgkern.<name>, which is the library here.
_MODULES = {"geomag": "ecgkern.geomag._command", "legacy": "ecgkern.legacy._command"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `ecgkern` command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="ecgkern", description=(ecgkern.__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"ecgkern {ecgkern.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in arguments[:1]:
            _module(name).add_arguments(command)
    parsed = parser.parse_args(arguments)
    try:
        status = int(_module(parsed.command).run(parsed))
        if sys.stdout is not None:  # None: closed by the caller
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("ecgkern: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ImportError, OSError) as error:
        print(f"ecgkern {parsed.command}: {error}", file=sys.stderr)
        return 2


def _module(command: str) -> Any:
    return importlib.import_module(_MODULES.get(command, f"ecgkern.{command}"))
