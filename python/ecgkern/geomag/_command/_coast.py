"""Coastlines for the maps, without a download.

Natural Earth's, if cartopy has its file already. Otherwise they are traced in the picture of the Earth that comes with
cartopy, which has a value every half degree: where it turns from blue to other colours.
"""

from pathlib import Path
from typing import Any

import cartopy
import contourpy
import numpy as np
from cartopy.io import Downloader
from matplotlib.image import imread
from numpy.typing import NDArray

Line = NDArray[np.float64]  # (n, 2): longitude and latitude in degrees

_PICTURE = Path("raster", "natural_earth", "50-natural-earth-1-downsampled.png")
_BLUE = 0.2  # blue minus red: ice has 0.1 at most, the palest sea 0.3
_SMALLEST = 8  # vertices; smaller lines are lakes and islets of a few values
_GET_FILE = (
    'run this once, with internet:  python -c "from cartopy.io.shapereader import natural_earth; natural_earth()"'
)


def coastlines() -> tuple[list[Line], str]:
    """Return the coastlines, and what to tell the user about them if they are not the best."""
    path = natural_earth_file()
    if path is not None:
        try:
            return _read(path), ""
        except Exception as error:  # whatever a damaged file makes of its reader
            return _traced(), f"{path} cannot be read ({error}): delete it, and {_GET_FILE}"
    lines = _traced()
    have = "coastlines to half a degree; for finer ones" if lines else "no coastlines on this machine; for them"
    return lines, f"{have} {_GET_FILE}"


def natural_earth_file() -> Path | None:
    """Return the file of coastlines, if cartopy has it in one of its folders; CARTOPY_DATA_DIR names another one."""
    what = {"resolution": "110m", "category": "physical", "name": "coastline"}
    source = Downloader.from_config(("shapefiles", "natural_earth", *what.values()))
    places = (find(what | {"config": cartopy.config}) for find in (source.pre_downloaded_path, source.target_path))
    return next((place for place in places if place is not None and place.exists()), None)


def _read(path: Path) -> list[Line]:
    from cartopy.io.shapereader import Reader

    reader = Reader(path)
    try:
        shapes = list(reader.geometries())
    finally:
        reader.close()
    return [np.asarray(line.coords)[:, :2] for shape in shapes for line in _parts(shape)]


def _parts(shape: Any) -> list[Any]:
    return list(shape.geoms) if hasattr(shape, "geoms") else [shape]


def _traced() -> list[Line]:
    path = Path(cartopy.config["repo_data_dir"]) / _PICTURE
    if not path.exists():
        return []
    colours = imread(path).astype(np.float64)
    blue = colours[..., 2] - colours[..., 0]
    rows, columns = blue.shape
    step = 360 / columns
    blue = np.concatenate([blue[:, -1:], blue, blue[:, :1]], axis=1)  # one value beyond the date line on each side
    lon = -180 + step * (np.arange(columns + 2) - 0.5)
    lat = 90 - 180 / rows * (np.arange(rows) + 0.5)
    lines = contourpy.contour_generator(lon, lat, blue).lines(_BLUE)
    return [np.asarray(line) for line in lines if len(line) >= _SMALLEST]
