"""Axes of cartopy, and lines, labels and coastlines on them.

Everything is projected here, as arrays; cartopy gives the projections and the outline of the map.
"""

from collections.abc import Sequence
from typing import Any

import cartopy.crs as ccrs
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ecgkern.geomag._command._coast import Line
from ecgkern.geomag._model import Floats

# Colours of Okabe and Ito, which colour-blind eyes tell apart.
BLUE, VERMILLION, GREEN = "#0072b2", "#d55e00", "#009e73"
BLACK, GREY, FAINT = "#222222", "#666666", "#d0d0d0"
EDGE = 180 - 1e-6  # degrees of longitude, where the map ends; 180 itself may be on either side
_LAST_LABEL = 176  # degrees of longitude; beyond, half of a label would lie outside the map

_PLAIN = ccrs.PlateCarree()
_RIM = [withStroke(linewidth=2.5, foreground="white")]


def project(projection: Any, lon: Any, lat: Any) -> tuple[Floats, Floats]:
    """Return where points are on the map."""
    lon, lat = np.broadcast_arrays(np.asarray(lon, float), np.asarray(lat, float))
    points = projection.transform_points(_PLAIN, np.atleast_1d(lon), np.atleast_1d(lat))
    return points[..., 0].reshape(lon.shape), points[..., 1].reshape(lon.shape)


def draw_line(ax: Any, lon: Any, lat: Any, **style: Any) -> None:
    """Draw a line, with a gap where it leaves the map on one side and comes back on another."""
    x, y = project(ax.projection, lon, lat)
    west, east = ax.projection.x_limits
    gaps = np.flatnonzero(np.abs(np.diff(x)) > (east - west) / 8) + 1
    ax.plot(np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan), scalex=False, scaley=False, **style)


def draw_coast(ax: Any, coast: Sequence[Line], colour: str) -> None:
    """Draw the coastlines."""
    for line in coast:
        draw_line(ax, *line.T, color=colour, linewidth=0.5, zorder=1)


def world(figure: Figure, place: tuple[int, int, int], coast: Sequence[Line], colour: str) -> Any:
    """Add a map of the whole Earth with its coasts and faint geographic coordinates."""
    ax = figure.add_subplot(*place, projection=ccrs.Robinson())
    ax.set_global()
    draw_coast(ax, coast, colour)
    faint = {"color": FAINT, "linewidth": 0.5, "zorder": 1}
    for lat in range(-60, 61, 30):
        draw_line(ax, np.linspace(-EDGE, EDGE, 181), lat, **faint)
        _beside(ax, -EDGE, lat, degrees(lat, "NS"), (-4, 0), ha="right", va="center")
    for lon in range(-120, 121, 60):
        draw_line(ax, lon, np.linspace(-90, 90, 181), **faint)
        _beside(ax, lon, -90, degrees(lon, "EW"), (0, -4), ha="center", va="top")
    return ax


def _beside(ax: Any, lon: float, lat: float, text: str, offset: tuple[float, float], **style: Any) -> None:
    at = project(ax.projection, lon, lat)
    ax.annotate(text, at, offset, textcoords="offset points", fontsize=7, color=GREY, annotation_clip=False, **style)


def degrees(value: float, letters: str) -> str:
    """Write a latitude (letters NS) or a longitude (EW)."""
    return f"{abs(value):g}°{'' if value == 0 else letters[int(value < 0)]}"


def label(ax: Any, lon: float, lat: float, text: str, colour: str) -> None:
    """Write on a line, with a white rim, unless that is at the edge of the map."""
    if abs(lon) > _LAST_LABEL and isinstance(ax.projection, ccrs.Robinson):
        return
    x, y = project(ax.projection, lon, lat)
    ax.text(x, y, text, color=colour, fontsize=7, ha="center", va="center", path_effects=_RIM, zorder=5)


def outside(ax: Any, at: tuple[Floats, Floats], text: str, colour: str, *, right: bool, height: float) -> None:
    """Write beside the map, in one of its corners, with a line to a place on it."""
    ax.annotate(
        text,
        at,
        xytext=(float(right), height),
        textcoords="axes fraction",
        ha="right" if right else "left",
        va="center",
        fontsize=8,
        color=colour,
        annotation_clip=False,
        path_effects=_RIM,
        zorder=6,
        arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 4},
    )
