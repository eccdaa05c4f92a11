"""``ecgkern geomag``: geomagnetic coordinates, local time, field and poles for files, for single points and as maps."""

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ecgkern import _dispatch
from ecgkern.geomag._command import _options, _points, _poles
from ecgkern.geomag._command._csv import wording
from ecgkern.geomag._local_time import ALGORITHMS
from ecgkern.geomag._points import COORDS, KINDS

__all__ = ["add_arguments", "run"]

_INSTALL = 'pip install "ecgkern[plot]"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of ``ecgkern geomag`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="subcommand")
    for name, (add, summary) in {
        "transform": (_add_transform, "convert between geographic, centred dipole and eccentric dipole coordinates"),
        "mlt": (_add_mlt, "compute magnetic local time"),
        "field": (_add_field, "compute the field of the centred or the eccentric dipole, L and invariant latitude"),
        "poles": (_add_poles, "list the poles of both dipoles"),
        "map": (_add_map, "draw maps: coordinate grids, the field, the drift of the poles"),
    }.items():
        add(commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + "."))


def _add_transform(parser: argparse.ArgumentParser) -> None:
    frames = tuple(_options.FRAMES)
    parser.epilog = (
        "The file has columns lat and lon, and may have alt (height, km) or r (distance from the centre of the frame, "
        "km), and epoch (decimal year) or time (ISO 8601). In the frame cd, columns cd_lat, cd_lon, cd_r go before "
        "those; in ed likewise. Its columns are kept, and behind them come such as cd_lat, cd_lon, cd_r, or geo_lat, "
        "geo_lon, geo_alt. Empty cells give empty cells. An option overrides a column."
    )
    _options.add_points(parser)
    parser.add_argument("--from", dest="source", choices=frames, default="geo", help="(default: geo)")
    parser.add_argument(
        "--to", dest="targets", choices=frames, action="append", help="may be repeated (default: cd and ed, or geo)"
    )
    _options.add_model(parser, "else the column epoch or time")
    _options.add_numerics(parser)


def _add_field(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        f"Columns as for transform; behind them come, with cd_ or ed_ in front, {', '.join(_points.FIELD)}. North, "
        "east and down are those of the --coords: of the ellipsoid's normal or of the radius."
    )
    _options.add_points(parser)
    parser.add_argument("--kind", choices=KINDS, help="the dipole (default: ed; both for --at)")
    _options.add_model(parser, "else the column epoch or time")
    _options.add_numerics(parser)


def _add_mlt(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The file has columns lat, lon and time (ISO 8601; without an offset it is UTC), and may have alt, and epoch. "
        "Behind them comes cd_mlt or ed_mlt, in hours."
    )
    _options.add_points(parser)
    add = parser.add_argument
    add("--time", metavar="WHEN", type=_options.parse_when, help="ISO 8601 time of all points; else the column time")
    add("--kind", choices=KINDS, help="the dipole (default: cd; both for --at)")
    add(
        "--sun",
        choices=_points.SUNS,
        help="where the Sun is in the eccentric frame: a direction (default), or the subsolar point on the surface",
    )
    add("--algorithm", choices=ALGORITHMS, default="almanac", help="of the Sun (default: %(default)s)")
    _options.add_model(parser, "else the column epoch, else the time itself")
    _options.add_numerics(parser)


def _add_poles(parser: argparse.ArgumentParser) -> None:
    _options.add_model(parser, "or --from and --to")
    add = parser.add_argument
    add("--from", dest="first", metavar="YEAR", type=_options.parse_year, help="the first of several epochs")
    add("--to", dest="last", metavar="YEAR", type=_options.parse_year, help="the last of them")
    add("--step", metavar="YEARS", type=_options.parse_finite, help="between them (default: 5)")
    add("--coords", choices=COORDS, default="geocentric", help="of the latitudes (default: %(default)s)")
    add("--csv", dest="as_csv", action="store_true", help="comma separated values instead of a table")
    add("--digits", metavar="N", type=_options.parse_digits, help="decimals (CSV: as many as the number has)")
    _options.add_out(parser)


def _add_map(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The files are grids.png, field.png and, unless the model is the same at every epoch, drift.png. Nothing is "
        "downloaded."
    )
    _options.add_model(parser, "default: %(default)s", default_epoch=2025.0)
    add = parser.add_argument
    add("--kind", choices=KINDS, default="ed", help="the dipole of the field (default: %(default)s)")
    add("--alt", metavar="KM", type=_options.parse_finite, default=0.0, help="height above WGS84 (default: 0)")
    add("--backend", choices=_dispatch.HOST_BACKENDS, help="what computes (default: the fastest)")
    where = "where to write (default: %(default)s)"
    add("--out", metavar="DIR", type=_options.parse_name, default="ecgkern-geomag", help=where)


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern geomag`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0, 2 if the options, the input or the output do not work (one line on stderr says why), 130 after
        Ctrl-C.

    Raises
    ------
    SystemExit
        With status 143 or 129 on SIGTERM or SIGHUP.
    """
    commands = {
        "transform": _points.transform,
        "mlt": _points.mlt,
        "field": _points.field,
        "poles": _poles.poles,
        "map": _draw_maps,
    }
    try:
        with _exit_on_signals():
            commands[args.subcommand](args)
    except BrokenPipeError:  # the reader, `head` say, has seen enough: no error of files
        raise
    except (ValueError, ImportError, OSError) as error:  # ValueError: from here, or from the library for a point
        _options.note(args, wording(error))
        return 2
    except KeyboardInterrupt:
        _options.note(args, "interrupted" + ("; no file was left half written" if args.out != "-" else ""))
        return 130
    return 0


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Turn the signals that would end the process as it is, with a half written file, into an exit."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    numbers: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        # nohup has SIGHUP ignored, and that stays.
        numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _draw_maps(args: argparse.Namespace) -> None:
    try:
        from ecgkern.geomag._command import _map
    except ImportError as error:
        raise ImportError(f"the maps need {error.name or error}: {_INSTALL}") from error
    _map.draw(args)
