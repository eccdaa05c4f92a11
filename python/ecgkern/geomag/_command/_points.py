"""``transform``, ``mlt`` and ``field``: of every row of a CSV file, or of one point as a table to read."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgkern import geomag
from ecgkern.geomag._command._csv import Chunk, CommandError, Table, append_columns, open_output, open_table
from ecgkern.geomag._command._options import (
    FRAMES,
    check_source,
    dipole_settings,
    epoch_column,
    geographic_place,
    note,
    number,
    plain,
    point_settings,
    require_epoch,
    when,
)
from ecgkern.geomag._model import Floats
from ecgkern.geomag._points import KINDS

SUNS = ("direction", "surface")

# What `field` appends, with its symbol and unit.
FIELD = {
    "north": "X, nT",
    "east": "Y, nT",
    "down": "Z, nT",
    "horizontal": "H, nT",
    "total": "F, nT",
    "declination": "D, °",
    "inclination": "I, °",
    "dip_latitude": "atan(tan(I)/2), °",
    "l_shell": "r/(a cos² latitude)",
    "invariant_latitude": "°",
}

_CONVENTIONS = (
    ("cd", "direction", "magnetic local time, centred dipole"),
    ("ed", "direction", "magnetic local time, eccentric dipole, Sun as a direction"),
    ("ed", "surface", "magnetic local time, eccentric dipole, Sun on the surface"),
)

Compute = Callable[[Chunk], Sequence[Floats]]

_FROM_GEO = {"cd": geomag.geo_to_cd, "ed": geomag.geo_to_ed}
_TO_GEO = {"cd": geomag.cd_to_geo, "ed": geomag.ed_to_geo}
_HUGE = 1e6  # L near a pole of the axis, where more digits tell nothing
_THIRD = {"geo": "alt", "cd": "r", "ed": "r"}  # the third coordinate of each frame


def transform(args: argparse.Namespace) -> None:
    """Run ``ecgkern geomag transform``."""
    others = [frame for frame in FRAMES if (frame == "geo") != (args.source == "geo")]
    targets = list(dict.fromkeys(args.targets or others))
    if args.source in targets:
        raise CommandError(f"--from and --to are both {args.source}")
    if _is_point(args):
        _show(args, _transform_table(args, targets))
    else:
        _append(args, [f"{t}_{name}" for t in targets for name in ("lat", "lon", _THIRD[t])], _transformed, targets)


def field(args: argparse.Namespace) -> None:
    """Run ``ecgkern geomag field``."""
    if _is_point(args):
        _show(args, _field_table(args))
    else:
        kind = args.kind or "ed"
        _append(args, [f"{kind}_{name}" for name in FIELD], _fields, kind)


def mlt(args: argparse.Namespace) -> None:
    """Run ``ecgkern geomag mlt``."""
    kind = args.kind or ("cd" if args.at is None else None)
    if args.sun == "surface" and kind == "cd":
        raise CommandError("--sun surface is for the eccentric dipole: give --kind ed")
    if _is_point(args):
        _show(args, _mlt_table(args))
    else:
        _append(args, [f"{args.kind or 'cd'}_mlt"], _times)


def _is_point(args: argparse.Namespace) -> bool:
    check_source(args)
    return args.at is not None


def _append(args: argparse.Namespace, names: Sequence[str], prepare: Callable[..., Compute], *what: Any) -> None:
    """Append columns to the file; `prepare` says how they are computed, given the columns that there are."""
    with open_table(args.file, args.columns) as table:
        compute = prepare(args, table, *what)
        unused = [name for name in args.columns if name not in table.used]
        if unused:
            raise CommandError(
                f"--columns names {unused[0]}, which is not used: another column or option goes before it"
            )
        append_columns(table, args.out, names, compute, args.digits)


# --- what is computed -----------------------------------------------------------------------------


def convert(
    source: str, target: str, lat: Any, lon: Any, third: dict[str, Any], epoch: Any, settings: dict[str, Any]
) -> Sequence[Any]:
    """Return latitude, longitude and third coordinate in the target's frame; `third` is the alt or r of the source."""
    if source != "geo":
        lat, lon, alt = _TO_GEO[source](lat, lon, epoch=epoch, **third, **settings)
        if target == "geo":
            return lat, lon, alt
        third = {"alt": alt}
    return _FROM_GEO[target](lat, lon, epoch=epoch, **third, **settings)


def field_of(kind: str, lat: Any, lon: Any, alt: Any, epoch: Any, settings: dict[str, Any]) -> Sequence[Any]:
    """Return what `FIELD` lists."""
    found = geomag.dipole_field(lat, lon, alt, epoch=epoch, kind=kind, **settings)
    magnetic = _FROM_GEO[kind](lat, lon, alt, epoch=epoch, **settings)
    l_shell = geomag.l_shell(magnetic.lat, magnetic.r)
    return *found, geomag.dip_latitude(found.inclination), l_shell, geomag.invariant_latitude(l_shell)


# --- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Points:
    """The columns of the points in a frame; `third` is alt or r, and None means that all have the height `alt`."""

    frame: str
    lat: str
    lon: str
    third: str | None
    alt: float

    @classmethod
    def of(cls, args: argparse.Namespace, table: Table, frame: str) -> "_Points":
        """Find the columns: cd_lat and cd_lon before lat and lon in the frame cd, alt before r in that of the Earth."""
        own = table.find(f"{frame}_lat", f"{frame}_lon", "lat", "lon") or ""
        prefix = f"{frame}_" if own.startswith(frame) else ""
        lat, lon = table.need(f"{prefix}lat"), table.need(f"{prefix}lon")
        if args.alt is not None:
            return cls(frame, lat, lon, None, args.alt)
        names = ("alt", "r") if frame == "geo" else ("r", "alt")
        third = table.find(*(found for name in names for found in (f"{frame}_{name}", name)))
        if third is None:
            _note_height(args, table)
        elif third == "r" and prefix and third not in table.renamed:
            says = f"if r is the distance that goes with {lat}, say --columns {prefix}r=r"
            raise CommandError(f"{table.name}: {says}; --alt KM does without it")
        elif third.endswith("r") and frame == "geo" and args.coords == "geodetic":
            raise CommandError(
                f"{table.name}, column {third}: distances from the Earth's centre need --coords geocentric (--alt KM "
                "does without the column)"
            )
        return cls(frame, lat, lon, third, 0.0)

    def read(self, chunk: Chunk) -> tuple[Floats, Floats, dict[str, Any]]:
        """Return latitude, longitude, and alt or r."""
        return chunk.numbers(self.lat), chunk.numbers(self.lon), self._read_third(chunk)

    def _read_third(self, chunk: Chunk) -> dict[str, Any]:
        if self.third is None:
            return {"alt": self.alt}
        values = chunk.numbers(self.third)
        if self.third.endswith("alt"):
            return {"alt": values}
        return {"alt": values - geomag.EARTH_RADIUS} if self.frame == "geo" else {"r": values}


def _note_height(args: argparse.Namespace, table: Table) -> None:
    """Tell of a column that may be the height and is not called so."""
    like = next(
        (name for name in table.columns if re.match(r"(h|hgt|height|altitude|elev|elevation)\b|alt", name)), None
    )
    if like:
        note(args, f"{table.name} has no column alt: height 0 (--columns alt={like} takes that one)")


def _transformed(args: argparse.Namespace, table: Table, targets: Sequence[str]) -> Compute:
    points, epochs, settings = _Points.of(args, table, args.source), epoch_column(args, table), point_settings(args)

    def compute(chunk: Chunk) -> list[Floats]:
        point, epoch = points.read(chunk), chunk.epochs(epochs) if epochs else args.epoch
        return [column for target in targets for column in convert(args.source, target, *point, epoch, settings)]

    return compute


def _fields(args: argparse.Namespace, table: Table, kind: str) -> Compute:
    points, epochs, settings = _Points.of(args, table, "geo"), epoch_column(args, table), point_settings(args)

    def compute(chunk: Chunk) -> Sequence[Floats]:
        lat, lon, third = points.read(chunk)
        return field_of(kind, lat, lon, third["alt"], chunk.epochs(epochs) if epochs else args.epoch, settings)

    return compute


def _times(args: argparse.Namespace, table: Table) -> Compute:
    points, settings = _Points.of(args, table, "geo"), point_settings(args)
    settings |= {"kind": args.kind or "cd", "sun": args.sun or "direction", "algorithm": args.algorithm}
    times = None if args.time else table.need("time")
    epochs = None if args.epoch is not None else table.find("epoch")

    def compute(chunk: Chunk) -> list[Floats]:
        lat, lon, third = points.read(chunk)
        time = chunk.times(times) if times else args.time
        epoch = chunk.epochs(epochs) if epochs else args.epoch
        return [geomag.magnetic_local_time(lat, lon, time, **third, epoch=epoch, **settings)]

    return compute


# --- one point ------------------------------------------------------------------------------------


def _at(args: argparse.Namespace, frame: str = "geo") -> tuple[float, float, dict[str, float]]:
    """Return the point of --at: latitude, longitude, and alt or r."""
    lat, lon, *third = args.at
    return lat, lon, {_THIRD[frame]: third[0]} if third else {"alt": args.alt or 0.0}


def _show(args: argparse.Namespace, lines: Sequence[str]) -> None:
    with open_output(args.out) as file:
        file.writelines(line + "\n" for line in lines)


def _transform_table(args: argparse.Namespace, targets: Sequence[str]) -> list[str]:
    require_epoch(args)
    lat, lon, third = _at(args, args.source)
    rows = []
    for target in targets:
        found = convert(args.source, target, lat, lon, third, args.epoch, point_settings(args))
        height = f"{'height' if target == 'geo' else 'distance from its centre'} {_number(found[2], args, 3)} km"
        rows.append((FRAMES[target], *(_number(value, args) for value in found[:2]), height))
    return [_place(args), when(args), "", *_table("<>><", ("", "latitude °", "longitude °", ""), *rows)]


def _field_table(args: argparse.Namespace) -> list[str]:
    require_epoch(args)
    lat, lon, third = _at(args)
    kinds = (args.kind,) if args.kind else KINDS
    columns = [field_of(kind, lat, lon, third["alt"], args.epoch, point_settings(args)) for kind in kinds]
    rows = []
    for (name, unit), *values in zip(FIELD.items(), *columns, strict=True):
        digits = 1 if unit.endswith("nT") else 4
        cells = (f"{v:.4g}" if abs(v) >= _HUGE else _number(v, args, digits) for v in values)
        rows.append((name.replace("_", " ").replace("l shell", "L shell"), unit, *cells))
    header = ("", "", *(FRAMES[kind] for kind in kinds))
    return [_place(args), when(args), "", *_table("<<>>", header, *rows)]


def _mlt_table(args: argparse.Namespace) -> list[str]:
    if args.time is None:
        raise CommandError("no time: give --time, such as --time 2025-10-07T08:50:18Z")
    lat, lon, third = _at(args)
    time = np.datetime64(args.time, "us")
    epoch = time if args.epoch is None else args.epoch
    sun = geomag.subsolar_point(time, algorithm=args.algorithm, backend=args.backend)
    apparent = geomag.apparent_solar_time(lon, time, algorithm=args.algorithm, backend=args.backend)
    settings = dipole_settings(args) | {"algorithm": args.algorithm, "backend": args.backend, "epoch": args.epoch}
    tilt = geomag.dipole_tilt(time, **settings)
    rows = [("apparent solar time", *_hours(apparent, args))]
    settings |= {"coords": args.coords}
    for kind, where, name in _CONVENTIONS:
        if args.kind in (None, kind) and (kind == "cd" or args.sun in (None, where)):
            hours = geomag.magnetic_local_time(lat, lon, time, alt=third["alt"], kind=kind, sun=where, **settings)
            rows.append((name, *_hours(hours, args)))
    over = f"subsolar point {geographic_place(sun.lat, sun.lon)}, dipole tilt {_number(tilt, args)}°"
    heading = [_place(args), when(args, epoch), f"{args.time.isoformat()} UTC", "", over, ""]
    return [*heading, *_table("<>>", ("", "h:min:s", "hours"), *rows)]


def _place(args: argparse.Namespace) -> str:
    """Return the point of --at in words."""
    frame = getattr(args, "source", "geo")
    lat, lon, third = _at(args, frame)
    dipole = f"{FRAMES[frame]} latitude {plain(lat)}°, longitude {plain(lon)}°"
    if "r" in third:
        return f"{dipole}, {plain(third['r'])} km from its centre"
    surface = "the WGS84 ellipsoid" if args.coords == "geodetic" else "the sphere of 6371.2 km"
    height = f"{plain(third['alt'])} km above {surface}"
    if frame != "geo":
        return f"{dipole}, {height}"
    return f"{geographic_place(lat, lon)}, {height} ({args.coords} latitude)"


def _number(value: Any, args: argparse.Namespace, digits: int = 4) -> str:
    return number(value, f"z.{digits if args.digits is None else args.digits}f")


def _hours(hours: Any, args: argparse.Namespace) -> tuple[str, str]:
    """Return hours as on a clock, to the whole second, and as a number."""
    if np.isnan(hours):
        return "none", "none"
    seconds = int(np.rint(3600 * hours)) % 86400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}", _number(hours, args)


def _table(sides: str, *rows: Sequence[str]) -> list[str]:
    """Return lines of columns; `sides` says on which each is even: < names, > numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(f"{text:{side}{n}}" for text, side, n in zip(row, sides, widths, strict=False)) for row in rows)
    return [line.rstrip() for line in lines]
