"""``map``: the grids of both dipoles, their field, and the drift of their poles over the Earth."""

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cartopy.crs as ccrs
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ecgkern import _page, _style, geomag
from ecgkern.geomag._command import _globe
from ecgkern.geomag._command._coast import Line, coastlines
from ecgkern.geomag._command._csv import CommandError, open_output
from ecgkern.geomag._command._globe import BLACK, BLUE, GREEN, GREY, VERMILLION
from ecgkern.geomag._command._options import (
    FRAMES,
    dipole_settings,
    geographic_place,
    is_fixed,
    model_name,
    note,
    plain,
    when,
)
from ecgkern.geomag._model import TABLES, Floats
from ecgkern.geomag._points import KINDS

COLOURS = {"cd": BLUE, "ed": VERMILLION, "ed_axial": VERMILLION, "ed_dip": GREEN}
MARKERS = {"cd": "^", "ed_axial": "s", "ed_dip": "D"}
POLE_NAMES = {"cd": "CD axis", "ed_axial": "ED axis", "ed_dip": "ED field vertical"}
VERTICAL = {"cd": "cd", "ed": "ed_dip"}  # the poles where the field of the dipole is vertical

_LATITUDES_AT = -28.0  # geographic longitude where latitudes and levels are labelled: the Atlantic
_BETWEEN = 0.06  # two maps, in heights of one: the names of poles below the upper and above the lower
_LONGITUDES_AT = -10.0  # dipole latitude where longitudes are labelled: between two lines


def draw(args: argparse.Namespace) -> None:
    """Run ``ecgkern geomag map``."""
    if not np.isfinite(geomag.Dipole.at(args.epoch, **dipole_settings(args)).b0):
        raise CommandError("the model has no field at this --epoch")
    around, along = np.meshgrid(np.linspace(-180, 180, 37), np.linspace(-90, 90, 19))
    if not all(np.isfinite(_on_earth(kind, along, around, args)).all() for kind in KINDS):
        raise CommandError(f"--alt {plain(args.alt)} is so deep that no map encloses the dipole")
    folder = Path(args.out).expanduser()
    _page.make_writable(folder)
    coast, hint = coastlines()
    if hint:
        note(args, hint)
    drawings: dict[str, Callable[[], Figure]] = {
        "grids.png": functools.partial(grids, args, coast),
        "field.png": functools.partial(field, args, coast),
    }
    if is_fixed(args.model):  # nothing drifts, and the picture of another model would mislead
        (folder / "drift.png").unlink(missing_ok=True)
    else:
        drawings["drift.png"] = functools.partial(drift, args, coast)
    with open_output("-") as names:
        for name, content in _style.draw_all(drawings).items():
            _page.write_whole(folder / name, content)
            names.write(f"{folder / name}\n")


# --- grids ----------------------------------------------------------------------------------------


def grids(args: argparse.Namespace, coast: Sequence[Line]) -> Figure:
    """Latitude and longitude of both dipoles where their lines meet the ground, a map for each."""
    figure = _figure(f"Dipole coordinates {_height(args)}", when(args), 9.2)
    for place, kind in enumerate(KINDS, start=1):
        ax = _globe.world(figure, (2, 1, place), coast, GREY)
        ax.set_title(f"Latitude and longitude of the {FRAMES[kind]}", loc="center")
        _draw_grid(ax, kind, args)
        _mark_poles(ax, [pole for pole in MARKERS if pole.startswith(kind)], args)
    return figure


def _draw_grid(ax: Any, kind: str, args: argparse.Namespace) -> None:
    around, along = np.linspace(-180, 180, 1441), np.linspace(-80, 80, 641)
    for lat in range(-80, 81, 20):
        lons, lats = _on_earth(kind, np.full_like(around, lat), around, args)
        _globe.draw_line(ax, lons, lats, color=COLOURS[kind], linewidth=1.0 if lat else 1.8)
        if abs(lat) < 80:
            here = np.argmin(np.abs(lons - _LATITUDES_AT))
            _globe.label(ax, lons[here], lats[here], f"{lat}°", COLOURS[kind])
    for lon in range(-150, 181, 30):
        lons, lats = _on_earth(kind, along, np.full_like(along, lon), args)
        _globe.draw_line(ax, lons, lats, color=COLOURS[kind], linewidth=0.6)
        here = np.argmin(np.abs(along - _LONGITUDES_AT))
        _globe.label(ax, lons[here], lats[here], f"{lon}°", COLOURS[kind])


def _on_earth(kind: str, lat: Floats, lon: Floats, args: argparse.Namespace) -> tuple[Floats, Floats]:
    """Return the geographic longitude and latitude where dipole coordinates are at the height asked for."""
    convert = geomag.cd_to_geo if kind == "cd" else geomag.ed_to_geo
    found = convert(lat, lon, alt=args.alt, epoch=args.epoch, backend=args.backend, **dipole_settings(args))
    return found.lon, found.lat


def _poles_at(args: argparse.Namespace) -> dict[str, geomag.Pole]:
    """Return the poles by name; far above the ground, only where the axes are."""
    found = geomag.poles(args.epoch, coords="geodetic", **dipole_settings(args))
    if not args.alt:
        return {f"{kind}_{side}": getattr(found, f"{kind}_{side}") for kind in MARKERS for side in ("north", "south")}
    poles: dict[str, geomag.Pole] = {}
    for name, kind in {"cd": "cd", "ed_axial": "ed"}.items():
        lon, lat = _on_earth(kind, np.array([90.0, -90.0]), np.zeros(2), args)
        poles |= {f"{name}_{side}": geomag.Pole(lat[i], lon[i]) for i, side in enumerate(("north", "south"))}
    return poles


def _mark_poles(ax: Any, kinds: Sequence[str], args: argparse.Namespace) -> None:
    """Mark poles, and name them in the corners outside the map."""
    found = _poles_at(args)
    for side, corner, step in (("north", 1.02, 0.11), ("south", -0.02, -0.11)):
        poles = {kind: found[f"{kind}_{side}"] for kind in reversed(kinds) if f"{kind}_{side}" in found}
        for right in (False, True):
            here = {kind: pole for kind, pole in poles.items() if (pole.lon > 0) == right}
            for row, (kind, pole) in enumerate(here.items()):
                x, y = _globe.project(ax.projection, pole.lon, pole.lat)
                style = {"color": COLOURS[kind], "markersize": 7, "markeredgecolor": "white", "zorder": 6}
                ax.plot(x, y, MARKERS[kind], clip_on=False, **style)
                text = f"{POLE_NAMES[kind]}, {side}\n{geographic_place(pole.lat, pole.lon, 2)}"
                _globe.outside(ax, (x, y), text, COLOURS[kind], right=right, height=corner + step * row)


# --- field ----------------------------------------------------------------------------------------


def field(args: argparse.Namespace, coast: Sequence[Line]) -> Figure:
    """Strength and inclination of the field of one dipole."""
    figure = _figure(f"Field of the {FRAMES[args.kind]} {_height(args)}", when(args), 8.6)
    lat, lon = np.meshgrid(np.linspace(-90, 90, 181), np.linspace(-_globe.EDGE, _globe.EDGE, 361), indexing="ij")
    settings = dipole_settings(args) | {"kind": args.kind, "backend": args.backend}
    found = geomag.dipole_field(lat, lon, args.alt, epoch=args.epoch, **settings)
    unit, scale = ("µT", 1e-3) if found.total.max() >= 1000 else ("nT", 1.0)
    strength = found.total * scale
    levels = np.asarray(MaxNLocator(nbins=10, steps=[1, 2, 5, 10]).tick_values(strength.min(), strength.max()))
    angles = np.arange(-90.0, 91.0, 10.0)
    panels: tuple[tuple[str, Floats, Floats, Floats, str], ...] = (
        (f"Strength F, {unit}", strength, levels, levels, "viridis"),
        ("Inclination I, °, positive where the field points down", found.inclination, angles, angles[1::2], "PuOr"),
    )
    for place, (title, values, shown, labelled, colours) in enumerate(panels, start=1):
        ax = _globe.world(figure, (2, 1, place), coast, BLACK)
        ax.set_title(title, loc="center")
        x, y = _globe.project(ax.projection, lon, lat)
        filled = ax.contourf(x, y, values, shown, cmap=colours, zorder=0)
        widths = np.where(shown == 0, 1.8, 0.5)
        ax.contour(x, y, values, shown, colors=BLACK, linewidths=widths, linestyles="solid", zorder=2)
        _label_levels(ax, lat, lon, values, labelled)
        figure.colorbar(filled, ax=ax, shrink=0.85, pad=0.02, aspect=28)
        _mark_poles(ax, [VERTICAL[args.kind]], args)
    return figure


def _label_levels(ax: Any, lat: Floats, lon: Floats, values: Floats, levels: Floats) -> None:
    """Label the levels where they cross two meridians."""
    for meridian in (_LATITUDES_AT, _LATITUDES_AT + 180):
        column = np.argmin(np.abs(lon[0] - meridian))
        along = values[:, column]
        for level in levels:
            for row in np.flatnonzero((along[:-1] < level) != (along[1:] < level)):
                if abs(lat[row, column]) < 80:  # room for the text
                    part = (level - along[row]) / (along[row + 1] - along[row])
                    at = lat[row, column] + part * (lat[row + 1, column] - lat[row, column])
                    _globe.label(ax, lon[row, column], at, f"{level:g}", BLACK)


# --- drift ----------------------------------------------------------------------------------------


def drift(args: argparse.Namespace, coast: Sequence[Line]) -> Figure:
    """The poles at all epochs of the model."""
    years = TABLES[args.model].years
    figure = _figure(
        f"Drift of the geomagnetic poles, {years[0]:.0f} to {years[-1]:.0f}",
        f"{model_name(args.model)}; a mark every {TABLES[args.model].step:g} years, the last one (hollow) predicted; "
        "geodetic latitudes",
        5.4,
    )
    found = geomag.poles(years, model=args.model, coords="geodetic")
    views = {"north": ccrs.NorthPolarStereo(-130), "south": ccrs.SouthPolarStereo(120)}
    for place, (side, projection) in enumerate(views.items(), start=1):
        ax = figure.add_subplot(1, 2, place, projection=projection)
        poles = {kind: getattr(found, f"{kind}_{side}") for kind in MARKERS}
        tracks = {kind: _globe.project(projection, pole.lon, pole.lat) for kind, pole in poles.items()}
        _zoom(ax, np.concatenate([np.stack(track, axis=-1) for track in tracks.values()]))
        _globe.draw_coast(ax, coast, GREY)
        ax.text(0.02, 0.97, f"{side}ern hemisphere", transform=ax.transAxes, va="top", zorder=5)
        for kind, (x, y) in tracks.items():
            style = {"color": COLOURS[kind], "markersize": 3, "linewidth": 0.8, "zorder": 3}
            ax.plot(x[:-1], y[:-1], f"{MARKERS[kind]}-", label=POLE_NAMES[kind], markeredgewidth=0, **style)
            hollow = {"markevery": [1], "markerfacecolor": "white", "markeredgewidth": 0.6}
            ax.plot(x[-2:], y[-2:], f"{MARKERS[kind]}:", **hollow, **style)
        _label_years(ax, years, {COLOURS[kind]: np.stack(track, axis=-1) for kind, track in tracks.items()})
        ax.plot(0, 0, "+", color=BLACK, markersize=9, zorder=3)  # the geographic pole
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _zoom(ax: Any, places: Floats) -> None:
    """Show a square with all the places, and label latitudes and longitudes."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = 0.62 * (high - low).max()
    for centre, limits in zip((low + high) / 2, (ax.set_xlim, ax.set_ylim), strict=True):
        limits(centre - half, centre + half)
    grid = {"color": _globe.FAINT, "linewidth": 0.5, "xlocs": range(-180, 181, 30), "ylocs": range(-90, 91, 5)}
    lines = ax.gridlines(
        draw_labels=["x", "bottom", "top"], rotate_labels=False, x_inline=False, y_inline=False, **grid
    )
    lines.xlabel_style = {"size": 7, "color": GREY}
    _label_latitudes(ax, places, half)


def _label_latitudes(ax: Any, places: Floats, half: float) -> None:
    """Label the latitudes along the meridian, of those that three are seen on, that is farthest from the places."""
    centre = np.array([np.mean(ax.get_xlim()), np.mean(ax.get_ylim())])
    lats = np.arange(60.0, 90.0, 5.0) * np.sign(ax.projection.proj4_params["lat_0"])
    best: tuple[int, float, float] = (0, 0.0, 0.0)
    for lon in range(-180, 180, 30):
        at = np.stack(_globe.project(ax.projection, lon, lats), axis=-1)
        seen = at[(np.abs(at - centre) < 0.93 * half).all(axis=1)]
        if len(seen):
            distance = np.linalg.norm(seen[:, None] - places, axis=-1).min()
            best = max(best, (min(len(seen), 3), float(distance), float(lon)))
    for lat in lats:
        at = np.stack(_globe.project(ax.projection, best[2], lat))
        if (np.abs(at - centre) < 0.93 * half).all():
            _globe.label(ax, best[2], lat, _globe.degrees(lat, "NS"), GREY)


def _label_years(ax: Any, years: Floats, tracks: dict[str, Floats]) -> None:
    """Write the first and the last year beyond the ends of the tracks, and others on the side with more room."""
    length, room = 0.06 * np.ptp(ax.get_xlim()), 0.12 * np.ptp(ax.get_xlim())
    written: list[Floats] = []

    def write(colour: str, i: int, place: Floats, *directions: Floats) -> None:
        moves = [length * direction / np.linalg.norm(direction) for direction in directions]
        rooms = [min((float(np.linalg.norm(place + m - other)) for other in written), default=np.inf) for m in moves]
        if len(moves) == 1 or max(rooms) > room:
            move = moves[int(np.argmax(rooms))]
            written.append(place + move)
            style = {"fontsize": 7, "color": colour, "zorder": 5, "ha": "center", "va": "center"}
            offset = move / length * (16, 9)  # points: texts are wider than high
            _style.note(ax, f"{years[i]:.0f}", tuple(place), tuple(offset), **style)

    for colour, places in tracks.items():
        for i in (0, years.size - 1):
            write(colour, i, places[i], places[i] - places.mean(axis=0))
    for colour, places in tracks.items():
        for i in range(1, years.size - 1):
            x, y = places[i + 1] - places[i - 1]
            if years[i] % 20 == 0:
                write(colour, i, places[i], np.array([y, -x]), np.array([-y, x]))


def _height(args: argparse.Namespace) -> str:
    return f"{plain(args.alt)} km above the ellipsoid" if args.alt else "on the ground"


def _figure(title: str, subtitle: str, height: float) -> Figure:
    figure = Figure(figsize=(_style.WIDTH, height), layout=ConstrainedLayoutEngine(hspace=_BETWEEN))
    figure.suptitle(f"{title}\n{subtitle}", x=0.01, ha="left")
    return figure
