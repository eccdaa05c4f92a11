"""The options that the subcommands share, and what they mean for a point, a file and the heading of a table."""

import argparse
import math
import sys
from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np

from ecgkern import _dispatch
from ecgkern.geomag import Dipole, decimal_year
from ecgkern.geomag._command._csv import CommandError, Table, parse_epoch, parse_time, wording
from ecgkern.geomag._model import RULES, TABLES
from ecgkern.geomag._points import COORDS

Model = str | tuple[float, ...]

FRAMES = {"geo": "geographic", "cd": "centred dipole", "ed": "eccentric dipole"}
_COORDINATES = ("lat", "lon", "alt", "r")
_COLUMNS = (*_COORDINATES, "epoch", "time", *(f"{frame}_{name}" for frame in FRAMES for name in _COORDINATES))

_MODEL_NAMES = {
    "igrf14": "IGRF-14",
    "igrf13": "IGRF-13",
    "igrf1990-ramana": "IGRF 1990, provisional (Ramana et al. 1998)",
}


class _Formatter(argparse.HelpFormatter):
    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:  # argparse has no "two or three"
        return "LAT LON [KM]" if action.dest == "at" else super()._format_args(action, default_metavar)


def add_points(parser: argparse.ArgumentParser) -> None:
    """Add where the points come from: a file or one point."""
    parser.formatter_class = _Formatter
    add = parser.add_argument
    file = "a file whose first line names the columns; - is the standard input"
    add("file", metavar="CSV", nargs="?", type=parse_name, help=file)
    add(
        "--at",
        nargs="+",
        type=parse_finite,
        help="one point instead, shown as a table; KM is its height, in the frames cd and ed the distance",
    )
    add_out(parser)
    add("--columns", metavar="NAMES", type=_renamed, default={}, help="as in lat=GDLAT,lon=GLON: the columns' names")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add where the text goes."""
    out = "the file to write (default: -, the standard output)"
    parser.add_argument("--out", metavar="FILE", type=parse_name, default="-", help=out)


def add_model(parser: argparse.ArgumentParser, epoch: str, *, default_epoch: float | None = None) -> None:
    """Add what chooses the dipole."""
    add = parser.add_argument
    add("--epoch", metavar="WHEN", type=_epoch, default=default_epoch, help=f"decimal year or ISO 8601 date; {epoch}")
    add(
        "--model",
        metavar="MODEL",
        type=_model,
        default="igrf14",
        help="igrf14 (default), igrf13, igrf1990-ramana, or --model=G10,G11,H11,G20,G21,H21,G22,H22 in nT",
    )
    add(
        "--out-of-range",
        choices=tuple(RULES),
        default="raise",
        help="epochs beyond the model's (default: raise, an error)",
    )


def add_numerics(parser: argparse.ArgumentParser) -> None:
    """Add coordinates, backend and digits."""
    add = parser.add_argument
    add(
        "--coords",
        choices=COORDS,
        default="geodetic",
        help="geographic latitude and height: geodetic (WGS84, default) or geocentric (above the sphere of 6371.2 km)",
    )
    add("--alt", metavar="KM", type=parse_finite, help="height of all points (default: the column alt or r, else 0)")
    add("--backend", choices=_dispatch.HOST_BACKENDS, help="what computes (default: the fastest)")
    add("--digits", metavar="N", type=parse_digits, help="decimals (default: as many as the number has)")


# --- texts to values ------------------------------------------------------------------------------


def parse_when(text: str) -> datetime:
    """Return the time that an option names."""
    try:
        time = parse_time(text)
    except (ValueError, OverflowError):
        time = None
    if time is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of ISO 8601, such as 2025-10-07T08:50:18Z")
    return time


def _epoch(text: str) -> float | datetime:
    try:
        epoch = parse_epoch(text)
    except (ValueError, OverflowError):
        epoch = math.nan
    if isinstance(epoch, float) and math.isnan(epoch):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a year from 1 to 9999 nor a time of ISO 8601")
    return epoch


def parse_year(text: str) -> float:
    """Return a decimal year."""
    epoch = _epoch(text)
    return epoch if isinstance(epoch, float) else float(decimal_year(epoch))


def parse_finite(text: str) -> float:
    """Return a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def parse_digits(text: str) -> int:
    """Return a number of decimals."""
    if not (text.isdecimal() and int(text) <= 17):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 17")
    return int(text)


def parse_name(text: str) -> str:
    """Return the name of a file or folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def _model(text: str) -> Model:
    if text in TABLES:
        return text
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 8:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(TABLES)} and not eight numbers with commas")
    return values


def _renamed(text: str) -> dict[str, str]:
    pairs = [(ours.strip().lower(), theirs.strip()) for ours, _, theirs in (p.partition("=") for p in text.split(","))]
    if not all(ours and theirs for ours, theirs in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form lat=NAME,lon=NAME")
    for names in ([ours for ours, _ in pairs], [theirs.lower() for _, theirs in pairs]):
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise argparse.ArgumentTypeError(f"{name} is named more than once")
    unknown = next((ours for ours, _ in pairs if ours not in _COLUMNS), None)
    if unknown:
        known = f"{', '.join(_COLUMNS[:6])}, nor of the first four with geo_, cd_ or ed_ in front"
        raise argparse.ArgumentTypeError(f"{unknown!r} is none of {known}")
    return dict(pairs)


# --- what is asked for ----------------------------------------------------------------------------


def check_source(args: argparse.Namespace) -> None:
    """Raise unless there is a file or a point, and the options fit it."""
    if (args.file is None) == (args.at is None):
        raise CommandError("give a CSV file (- for the standard input) or --at LAT LON, one of them")
    if args.at is not None and not 2 <= len(args.at) <= 3:
        raise CommandError(f"--at takes LAT LON or LAT LON and a height, got {len(args.at)} numbers")
    if args.at is not None and len(args.at) == 3 and args.alt is not None:
        raise CommandError("the third number of --at and --alt both give the height")
    if not needs_epoch(args):
        check_epoch(args)


def check_epoch(args: argparse.Namespace) -> None:
    """Raise if the model cannot be had at this epoch."""
    try:
        Dipole.at(args.epoch, model=args.model, out_of_range=args.out_of_range)
    except ValueError as error:
        raise CommandError(wording(error)) from None


def needs_epoch(args: argparse.Namespace) -> bool:
    """Whether the model changes with time and no option says when it is."""
    return args.epoch is None and not is_fixed(args.model)


def is_fixed(model: Model) -> bool:
    """Whether the model is the same at every epoch."""
    return not isinstance(model, str) or TABLES[model].fixed


def require_epoch(args: argparse.Namespace) -> None:
    """Raise if the model needs an epoch and no option says it."""
    if needs_epoch(args):
        raise CommandError("no epoch: give --epoch")


def dipole_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords that choose the dipole at an epoch."""
    return {"model": args.model, "out_of_range": args.out_of_range}


def point_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords that say how points are given and computed."""
    return dipole_settings(args) | {"coords": args.coords, "backend": args.backend}


def epoch_column(args: argparse.Namespace, table: Table) -> str | None:
    """Return the column of epochs, if the option does not say what holds for all rows."""
    if args.epoch is not None:
        return None
    column = table.find("epoch", "time")
    if column is None and needs_epoch(args):
        raise CommandError(f"no epoch: give --epoch, or name a column of {table.name} epoch or time")
    return column


# --- what is shown --------------------------------------------------------------------------------


def note(args: argparse.Namespace, text: str) -> None:
    """Tell the user something that is no error."""
    print(f"ecgkern geomag {args.subcommand}: {text}", file=sys.stderr)


def model_name(model: Model) -> str:
    """Return what people call the model."""
    return _MODEL_NAMES[model] if isinstance(model, str) else "eight coefficients of your own"


def when(args: argparse.Namespace, epoch: Any = None) -> str:
    """Return the model and the epoch for a heading."""
    name, epoch = model_name(args.model), args.epoch if epoch is None else epoch
    if epoch is None or not isinstance(args.model, str) or is_fixed(args.model):
        return name
    asked = epoch if isinstance(epoch, float) else float(decimal_year(epoch))
    used = float(np.clip(asked, *TABLES[args.model].years[[0, -1]]))
    if asked == used:
        return f"{name}, epoch {_year(used)}"
    if args.out_of_range == "clip":
        return f"{name}, epoch {_year(used)} ({_year(asked)} clipped)"
    return f"{name}, epoch {_year(asked)}, outside the model"


def _year(value: float) -> str:
    return np.format_float_positional(value, precision=3, trim="0")


def number(value: Any, form: str) -> str:
    """Write a number that there may not be."""
    return "none" if np.isnan(value) else f"{value:{form}}"


def plain(value: float) -> str:
    """Write a number that was given, with as many digits and no exponent."""
    return np.format_float_positional(value, trim="-")


def geographic_place(lat: float, lon: float, digits: int = 4) -> str:
    """Return a geographic latitude and longitude in words."""
    if np.isnan(lat):
        return "none"
    return f"{abs(lat):.{digits}f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.{digits}f}° {'E' if lon >= 0 else 'W'}"
