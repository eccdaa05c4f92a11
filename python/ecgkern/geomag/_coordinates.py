"""Positions: geographic, and in the frames of the centred (CD) and the eccentric dipole (ED).

The axes of both dipole frames are the rows of

.. math::
    R = \\begin{pmatrix}
      \\cos\\theta\\cos\\lambda & \\cos\\theta\\sin\\lambda & -\\sin\\theta \\\\
      -\\sin\\lambda & \\cos\\lambda & 0 \\\\
      \\sin\\theta\\cos\\lambda & \\sin\\theta\\sin\\lambda & \\cos\\theta
    \\end{pmatrix}

with :math:`\\theta, \\lambda` the colatitude and longitude of the north geomagnetic pole. The CD frame has its origin
at the centre of the Earth, the ED frame at the eccentric dipole, displaced by d: :math:`u = R v` and
:math:`U = R (v - d)`. Longitude 0 is the meridian through the geographic south pole.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern._cuda import Device
from ecgkern.geomag import _points

_GEOGRAPHIC = {"geodetic": _points.GEODETIC, "geocentric": _points.GEOCENTRIC}
_DIPOLE = {"cd": _points.CD, "ed": _points.ED}
_RAY = {"cd": _points.CD_RAY, "ed": _points.ED_RAY}
_XYZ = {"geo": _points.GEO_XYZ, "cd": _points.CD_XYZ, "ed": _points.ED_XYZ}


class Coordinates(NamedTuple):
    """Position in a dipole frame: latitude and longitude in degrees, distance from its centre in km."""

    lat: Any
    lon: Any
    r: Any


class GeographicCoordinates(NamedTuple):
    """Geographic latitude and longitude in degrees, altitude in km."""

    lat: Any
    lon: Any
    alt: Any


def geo_to_cd(
    lat: Any,
    lon: Any,
    alt: Any = 0.0,
    *,
    epoch: Any = None,
    coords: str = "geodetic",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    out: Any = None,
    backend: str | None = None,
) -> Coordinates:
    r"""Transform geographic positions to centred-dipole (geomagnetic) coordinates.

    .. math:: u = R\,v, \qquad \phi' = \operatorname{atan2}(u_z, \sqrt{u_x^2 + u_y^2}), \qquad
              \lambda' = \operatorname{atan2}(u_y, u_x)

    with R the rotation to the axes of the dipole, whose third is :math:`-(g_1^1, h_1^1, g_1^0)/B_0`, the direction of
    the north geomagnetic pole. Longitude 0 is the meridian through the geographic south pole.

    Parameters
    ----------
    lat, lon : float or array_like
        Geographic latitude (-90 to 90) and longitude (any) in degrees, positive north and east.
    alt : float or array_like, default 0
        Altitude in km, above what `coords` says.
    epoch : float, datetime, datetime64 or array_like of them
        When: a decimal year, or a date and time (aware ones are converted to UTC, naive ones are UTC); one for all
        points or one for each. Where `model` is a single set of coefficients it does not matter and may be left out.
    coords : {"geodetic", "geocentric"}, default "geodetic"
        Whether `lat` is the latitude of the WGS84 normal and `alt` the height above the ellipsoid, or `lat` the angle
        at the centre of the Earth and `alt` the height above the sphere of radius 6371.2 km. Taking one for the other
        costs up to 0.19 degrees.
    model : {"igrf14", "igrf13", "igrf1990-ramana"} or array_like, default "igrf14"
        The field: IGRF-14 (1900 to 2030) or IGRF-13 (1900 to 2025), linear between its epochs; the provisional set of
        1990 of Ramana, Murthy and Khan (1998); or eight coefficients g10, g11, h11, g20, g21, h21, g22, h22 in nT.
    out_of_range : {"raise", "nan", "clip", "extrapolate"}, default "raise"
        What to do with epochs outside the model: raise ValueError, return NaN, take the nearest epoch of the model, or
        go on linearly.
    out : tuple of 3 arrays, optional
        Arrays to write the results to and return: C-contiguous, of the shape and dtype of the results, and apart from
        the arguments and each other. Saves the time to get fresh memory, up to nearly half of the whole for a million
        points. An argument that is out of range may be found after they have been written to.
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default "cuda" for arrays on a GPU and else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    Coordinates
        ``lat``, ``lon`` in degrees, the longitude in (-180, 180], and ``r`` in km from the centre of the Earth, of the
        shape that the arguments broadcast to. float32 if `lat`, `lon` and `alt` are, else float64. NaN and NaT give
        NaN.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range, or if `epoch` is missing or out of range.
    BackendUnavailableError
        If the backend asked for is not ready.

    See Also
    --------
    cd_to_geo : the inverse.
    geo_to_ed : in the eccentric dipole.

    Notes
    -----
    Within 1e-11 degrees, and 1e-9 km or rounding, of the exact values of the formula on every backend (longitudes times
    the cosine of the latitude). At a geographic pole the longitude given does not matter; at a dipole pole the
    longitude returned has no meaning.

    Arrays on a GPU, CuPy's or torch's, stay there, and so do the results. Epochs may be decimal years there too; dates,
    which a GPU has not, are copied to it. Nothing waits for the GPU, so values there are not checked: where one is out
    of range (an epoch too, with `out_of_range` "raise"), the results are NaN.

    References
    ----------
    K. V. V. Ramana, K. S. R. N. Murthy, I. Khan, "Geomagnetic coordinates, time and field in centred and eccentric
    dipole approximations", Indian Journal of Radio and Space Physics 27 (1998) 35-42.
    K. M. Laundal, A. D. Richmond, "Magnetic coordinate systems", Space Science Reviews 206 (2017) 27-59.

    Examples
    --------
    >>> from ecgkern.geomag import geo_to_cd
    >>> bengaluru = geo_to_cd(12.9716, 77.5946, epoch=2025, coords="geocentric")
    >>> print(f"{bengaluru.lat:.6f} {bengaluru.lon:.6f} {bengaluru.r:.1f}")
    4.933961 151.068785 6371.2
    """
    return _from_geographic("cd", lat, lon, alt, epoch, coords, model, out_of_range, out, backend)


def geo_to_ed(
    lat: Any,
    lon: Any,
    alt: Any = 0.0,
    *,
    epoch: Any = None,
    coords: str = "geodetic",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    out: Any = None,
    backend: str | None = None,
) -> Coordinates:
    r"""Transform geographic positions to eccentric-dipole coordinates.

    .. math:: U = R\,(v - d), \qquad \Phi = \operatorname{atan2}(U_z, \sqrt{U_x^2 + U_y^2}), \qquad
              \Lambda = \operatorname{atan2}(U_y, U_x)

    with R as in :func:`geo_to_cd` and d the place of the dipole that fits the field to degree 2 best, in the sense of
    Schmidt (1934) and Bartels (1936); :attr:`Dipole.offset_km`.

    Parameters
    ----------
    lat, lon, alt, epoch, coords, model, out_of_range, out, backend
        As in :func:`geo_to_cd`.

    Returns
    -------
    Coordinates
        ``lat``, ``lon`` in degrees and ``r``, the distance from the eccentric dipole in km; otherwise as in
        :func:`geo_to_cd`.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`geo_to_cd`.

    Notes
    -----
    Accuracy as that of :func:`geo_to_cd`, for the direction as seen from the surface of the Earth: close to the dipole
    itself, which floats resolve to 1e-12 km, angles are less certain.

    References
    ----------
    A. C. Fraser-Smith, "Centered and eccentric geomagnetic dipoles and their poles, 1600-1985", Reviews of Geophysics
    25 (1987) 1-16. J. Bartels, "The eccentric dipole approximating the Earth's magnetic field", Terrestrial Magnetism
    and Atmospheric Electricity 41 (1936) 225-250.

    Examples
    --------
    >>> from ecgkern.geomag import geo_to_ed
    >>> bengaluru = geo_to_ed(12.9716, 77.5946, epoch=2025, coords="geocentric")
    >>> print(f"{bengaluru.lat:.6f} {bengaluru.lon:.6f} {bengaluru.r:.6f}")
    3.752291 146.481743 6049.257809
    """
    return _from_geographic("ed", lat, lon, alt, epoch, coords, model, out_of_range, out, backend)


def cd_to_geo(
    lat: Any,
    lon: Any,
    r: Any = None,
    *,
    alt: Any = None,
    epoch: Any = None,
    coords: str = "geodetic",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    out: Any = None,
    backend: str | None = None,
) -> GeographicCoordinates:
    r"""Transform centred-dipole coordinates to geographic positions: the inverse of :func:`geo_to_cd`.

    .. math:: v = R^\mathsf{T} u

    Parameters
    ----------
    lat, lon : float or array_like
        Centred-dipole latitude (-90 to 90) and longitude (any) in degrees.
    r : float or array_like, optional
        Distance from the centre of the dipole frame in km.
    alt : float or array_like, optional
        Instead of `r`: the altitude in km at which the direction (`lat`, `lon`) from that centre leaves the Earth,
        above the ellipsoid or the sphere as `coords` says. Without both it is 0, the surface.
    epoch, coords, model, out_of_range, out, backend
        As in :func:`geo_to_cd`.

    Returns
    -------
    GeographicCoordinates
        ``lat``, ``lon`` in degrees and ``alt`` in km, geodetic or geocentric as `coords` says; otherwise as in
        :func:`geo_to_cd`.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`geo_to_cd`; TypeError if both `r` and `alt` are given.

    Notes
    -----
    Accuracy as that of :func:`geo_to_cd`. Geodetic coordinates do not exist close to the centre of the Earth: NaN
    within 60 km of it. NaN also where a direction does not come to `alt`, which is only possible below the dipole.

    Examples
    --------
    >>> from ecgkern.geomag import cd_to_geo, geo_to_cd
    >>> lat, lon, alt = cd_to_geo(*geo_to_cd(12.9716, 77.5946, 300.0, epoch=2025), epoch=2025)
    >>> print(f"{lat:.6f} {lon:.6f} {alt:.6f}")
    12.971600 77.594600 300.000000
    """
    return _to_geographic("cd", lat, lon, r, alt, epoch, coords, model, out_of_range, out, backend)


def ed_to_geo(
    lat: Any,
    lon: Any,
    r: Any = None,
    *,
    alt: Any = None,
    epoch: Any = None,
    coords: str = "geodetic",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    out: Any = None,
    backend: str | None = None,
) -> GeographicCoordinates:
    r"""Transform eccentric-dipole coordinates to geographic positions: the inverse of :func:`geo_to_ed`.

    .. math:: v = R^\mathsf{T} U + d

    Parameters
    ----------
    lat, lon : float or array_like
        Eccentric-dipole latitude (-90 to 90) and longitude (any) in degrees.
    r, alt : float or array_like, optional
        Distance from the eccentric dipole in km, or the altitude at which the direction from it leaves the Earth, as in
        :func:`cd_to_geo`.
    epoch, coords, model, out_of_range, out, backend
        As in :func:`geo_to_cd`.

    Returns
    -------
    GeographicCoordinates
        As :func:`cd_to_geo`.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`cd_to_geo`.

    Examples
    --------
    >>> from ecgkern.geomag import ed_to_geo
    >>> pole = ed_to_geo(90, 0, epoch=2025, coords="geocentric")  # where the axis meets the Earth in the north
    >>> print(f"{pole.lat:.3f} {pole.lon:.3f}")
    84.920 -100.498
    """
    return _to_geographic("ed", lat, lon, r, alt, epoch, coords, model, out_of_range, out, backend)


def geo_to_xyz(lat: Any, lon: Any, alt: Any = 0.0, *, coords: str = "geodetic", backend: str | None = None) -> Any:
    """Return Earth-fixed cartesian positions (GEO, ECEF): x to 0 N 0 E, z to the north pole.

    Parameters
    ----------
    lat, lon, alt, coords, backend
        As in :func:`geo_to_cd`.

    Returns
    -------
    ndarray
        km, shape (..., 3).

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`geo_to_cd`.

    Examples
    --------
    >>> from ecgkern.geomag import geo_to_xyz
    >>> geo_to_xyz(12, 88, coords="geocentric").round(2).tolist()
    [217.49, 6228.18, 1324.65]
    """
    library = _dispatch.array_library(lat=lat, lon=lon, alt=alt)
    inputs = geographic(lat, lon, alt, coords)
    dtype = _points.result_type(lat, lon, alt)
    found = _to_xyz(_GEOGRAPHIC[coords], _XYZ["geo"], inputs, *_ANY_DIPOLE, backend, dtype)
    return _dispatch.from_numpy(found, library)


def xyz_to_geo(xyz: Any, *, coords: str = "geodetic", backend: str | None = None) -> GeographicCoordinates:
    """Return geographic positions of Earth-fixed cartesian ones: the inverse of :func:`geo_to_xyz`.

    Parameters
    ----------
    xyz : array_like
        km, shape (..., 3).
    coords : {"geodetic", "geocentric"}, default "geodetic"
        Of the result; see :func:`geo_to_cd`.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Returns
    -------
    GeographicCoordinates
        ``lat``, ``lon`` in degrees, ``alt`` in km, of the shape (...).

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`geo_to_cd`.

    Notes
    -----
    Geodetic latitudes come from Bowring's iteration on the parametric latitude (B. R. Bowring, Survey Review 23 (1976)
    323-327), to rounding. NaN within 60 km of the centre of the Earth, as they end at 43 km.

    Examples
    --------
    >>> from ecgkern.geomag import xyz_to_geo
    >>> lat, lon, alt = xyz_to_geo([0.0, 6478.137, 0.0])
    >>> print(f"{lat:.1f} {lon:.1f} {alt:.6f}")
    0.0 90.0 100.000000
    """
    library = _dispatch.array_library(xyz=xyz)
    _validate.choice(coords, "coords", _points.COORDS)
    dtype = _points.result_type(xyz)
    found = _convert(_XYZ["geo"], _GEOGRAPHIC[coords], lambda _: _cartesian(xyz), *_ANY_DIPOLE, backend, dtype)
    return GeographicCoordinates(*_points.returned(found, library))


def transform_xyz(
    xyz: Any,
    source: str,
    target: str,
    *,
    epoch: Any = None,
    model: Any = "igrf14",
    out_of_range: str = "raise",
    backend: str | None = None,
) -> Any:
    r"""Transform cartesian positions between the geographic and the dipole frames.

    .. math:: u = R\,v, \qquad U = R\,(v - d)

    Parameters
    ----------
    xyz : array_like
        km, shape (..., 3).
    source, target : {"geo", "cd", "ed"}
        The frames: Earth-fixed (x to 0 N 0 E, z to the north pole), centred dipole, eccentric dipole.
    epoch, model, out_of_range, backend
        As in :func:`geo_to_cd`; epochs broadcast against the shape (...).

    Returns
    -------
    ndarray
        km, shape (..., 3).

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`geo_to_cd`.

    Examples
    --------
    >>> from ecgkern.geomag import geo_to_xyz, transform_xyz
    >>> geo = geo_to_xyz(12, 88, coords="geocentric")
    >>> transform_xyz(geo, "geo", "ed", model="igrf1990-ramana").round(2).tolist()
    [-5555.14, 2509.13, 92.61]
    """
    library = _points.library(xyz=xyz, epoch=epoch)
    for name, frame in (("source", source), ("target", target)):
        _validate.choice(frame, name, tuple(_XYZ))
    inputs, dtype = _cartesian(xyz), _points.result_type(xyz)
    found = _to_xyz(_XYZ[source], _XYZ[target], inputs, epoch, model, out_of_range, backend, dtype)
    return _dispatch.from_numpy(found, library)


# ---- what they share -------------------------------------------------------------------------------------------------

_ANY_DIPOLE = (None, "igrf1990-ramana", "raise")  # nothing of it is used between geographic forms


def geographic(
    lat: Any, lon: Any, alt: Any, coords: str, device: Device | None = None, later: bool = False
) -> dict[str, Any]:
    """Return checked geographic positions; where the kernel looks at arrays (`later`), those are not."""
    return {
        "lat": _points.latitude(lat, device=device, later=later),
        "lon": _points.longitude(lon, device=device, later=later),
        "alt": _points.altitude(alt, coords, device=device, later=later),
    }


def _cartesian(xyz: Any) -> dict[str, Any]:
    checked = _points.cartesian(xyz)
    return {axis: checked[..., i] for i, axis in enumerate("xyz")}


def _from_geographic(
    kind: str, lat: Any, lon: Any, alt: Any, epoch: Any, coords: str, model: Any, out_of_range: str, out: Any,
    backend: str | None,
) -> Coordinates:  # fmt: skip
    library = _points.library(lat=lat, lon=lon, alt=alt, epoch=epoch, out=out)
    device = _points.device_of(lat=lat, lon=lon, alt=alt, epoch=epoch, out=out)
    _validate.choice(coords, "coords", _points.COORDS)
    inputs, dtype = partial(geographic, lat, lon, alt, coords, device), _points.result_type(lat, lon, alt)
    source, target = _GEOGRAPHIC[coords], _DIPOLE[kind]
    found = _convert(source, target, inputs, epoch, model, out_of_range, backend, dtype, out, device)
    return Coordinates(*_points.returned(found, library, out))


def _to_geographic(
    kind: str, lat: Any, lon: Any, r: Any, alt: Any, epoch: Any, coords: str, model: Any, out_of_range: str, out: Any,
    backend: str | None,
) -> GeographicCoordinates:  # fmt: skip
    library = _points.library(lat=lat, lon=lon, r=r, alt=alt, epoch=epoch, out=out)
    device = _points.device_of(lat=lat, lon=lon, r=r, alt=alt, epoch=epoch, out=out)
    _validate.choice(coords, "coords", _points.COORDS)
    if r is not None and alt is not None:
        raise TypeError("give r, the distance from the dipole, or alt, the altitude above the Earth, not both")
    height = 0.0 if alt is None else alt

    def inputs(later: bool) -> dict[str, Any]:
        found = {
            "lat": _points.latitude(lat, device=device, later=later),
            "lon": _points.longitude(lon, device=device, later=later),
        }
        if r is None:
            return found | {"alt": _points.altitude(height, coords, device=device, later=later)}
        return found | {"r": _points.radius(r, device=device, later=later)}

    source = (_RAY if r is None else _DIPOLE)[kind]
    dtype = _points.result_type(lat, lon, height if r is None else r)
    found = _convert(source, _GEOGRAPHIC[coords], inputs, epoch, model, out_of_range, backend, dtype, out, device)
    return GeographicCoordinates(*_points.returned(found, library, out))


def _convert(
    source: int, target: int, positions: Callable[[bool], dict[str, Any]], epoch: Any, model: Any, out_of_range: str,
    backend: str | None, dtype: Any, out: Any = None, device: Device | None = None,
) -> list[Any]:  # fmt: skip
    """Return latitude, longitude, and distance or altitude; `positions` checks now or, if told so, later."""
    module = _dispatch.load("geomag", backend, device)
    inputs = positions(_points.finds_outside(module))
    coefficients, inputs["epoch"] = _points.coefficients(epoch, model, out_of_range, device=device)
    results = _points.results_for(inputs, 3, dtype, out, device)
    if _points.evaluate(partial(module.convert, source, target, coefficients), inputs, results, module):
        positions(False)  # raises, and says where
    _points.close_longitudes(results[1])
    return results


def _to_xyz(
    source: int, target: int, inputs: dict[str, Any], epoch: Any, model: Any, out_of_range: str, backend: str | None,
    dtype: Any,
) -> NDArray[Any]:  # fmt: skip
    """Return cartesian positions (..., 3)."""
    coefficients, inputs["epoch"] = _points.coefficients(epoch, model, out_of_range)
    module = _dispatch.load("geomag", backend)
    shape = _validate.broadcast_shape(**{name: array.shape for name, array in inputs.items()})
    found = np.empty((*shape, 3), dtype)
    results = [found[..., axis] for axis in range(3)]
    _points.evaluate(partial(module.convert, source, target, coefficients), inputs, results, module)
    return found
