"""The Sun over the Earth, and local times from it."""

import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _threads, _validate
from ecgkern._cuda import Device
from ecgkern.geomag import _points, _time
from ecgkern.geomag._coordinates import geographic
from ecgkern.geomag._numpy import hours_from

ALGORITHMS = ("almanac", "grena5")
_TILE = (64, 512)  # outer by inner loop: a quarter of a MB
_PIECE = 1 << 14  # points, or times, that are copied at a time: half a MB


class SubsolarPoint(NamedTuple):
    """Where the Sun is overhead: geocentric latitude and longitude in degrees."""

    lat: Any
    lon: Any


def subsolar_point(time: Any, *, algorithm: str = "almanac", backend: str | None = None) -> SubsolarPoint:
    r"""Return the place where the Sun is overhead.

    With n the days since 2000-01-01T12:00 UTC, the mean longitude L and anomaly g of the Sun,

    .. math:: L = 280.451 + 0.9856474 n, \quad g = 357.528 + 0.9856003 n, \quad
              \lambda = L + 1.915 \sin g + 0.020 \sin 2g, \quad \varepsilon = 23.439 - 4\cdot10^{-7} n,

    .. math:: \alpha = \operatorname{atan2}(\cos\varepsilon \sin\lambda, \cos\lambda), \quad
              \mathrm{lat} = \arcsin(\sin\varepsilon \sin\lambda), \quad
              \mathrm{lon} = \alpha - L + 180 - 15\,\mathrm{UT}

    in degrees: the low-precision formulas of the Astronomical Almanac for 1996, page C24.

    Parameters
    ----------
    time : datetime, datetime64 or array_like of them
        Aware datetimes are converted to UTC, naive ones are UTC.
    algorithm : {"almanac", "grena5"}, default "almanac"
        The formulas above, or algorithm 5 of Grena (2012), with 69.2 s between UTC and terrestrial time.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Returns
    -------
    SubsolarPoint
        ``lat`` and ``lon`` in degrees, of the shape of `time`; NaN for NaT.

    Raises
    ------
    ValueError, TypeError
        If `time` holds anything but dates and times.
    BackendUnavailableError
        If the backend asked for is not ready.

    Notes
    -----
    Against the apparent Sun of the IAU, 1900 to 2050: within 0.011 degrees (almanac), which is 2.6 s of local time, and
    0.007 degrees (0.004 from 1950 on; grena5). UTC stands for UT1, which differs by less than 0.9 s (0.004 degrees).
    Backends agree to 1e-11 degrees.

    References
    ----------
    The Astronomical Almanac for the Year 1996, page C24; in the form of A. D. Richmond's subroutine SUBSOL.
    R. Grena, "Five new algorithms for the computation of sun position from 2010 to 2110", Solar Energy 86 (2012)
    1323-1337.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.geomag import subsolar_point
    >>> lat, lon = subsolar_point(np.datetime64("2005-02-03T04:05:06"))
    >>> print(f"{lat:.6f} {lon:.6f}")
    -16.505392 122.177682
    """
    _validate.choice(algorithm, "algorithm", ALGORITHMS)
    inputs = {"time": _time.times(time, "time")}
    module = _dispatch.load("geomag", backend)
    results = _points.results_for(inputs, 2, np.float64)
    _points.evaluate(partial(module.subsolar, ALGORITHMS.index(algorithm)), inputs, results, module)
    return SubsolarPoint(*_points.returned(results, "numpy"))


def dipole_tilt(
    time: Any,
    *,
    epoch: Any = None,
    algorithm: str = "almanac",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    backend: str | None = None,
) -> Any:
    r"""Return the tilt of the dipole: how far its axis leans towards the Sun.

    .. math:: \psi = \arcsin(\hat s \cdot \hat m)

    with :math:`\hat s` the direction of the Sun and :math:`\hat m` that of the north geomagnetic pole.

    Parameters
    ----------
    time, algorithm, backend
        As in :func:`subsolar_point`.
    epoch : optional
        When to take the dipole; by default at `time`. As in :func:`geo_to_cd`.
    model, out_of_range
        As in :func:`geo_to_cd`.

    Returns
    -------
    float or ndarray
        Degrees, positive when the northern end leans towards the Sun; NaN for NaT.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`subsolar_point` and :func:`geo_to_cd`.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.geomag import dipole_tilt
    >>> print(f"{dipole_tilt(np.datetime64('2024-06-21T00:00')):.4f}")
    20.4895
    """
    _validate.choice(algorithm, "algorithm", ALGORITHMS)
    inputs = {"time": _time.times(time, "time")}
    coefficients, inputs["epoch"] = _coefficients(inputs["time"], epoch, model, out_of_range)
    module = _dispatch.load("geomag", backend)
    results = _points.results_for(inputs, 1, np.float64)
    _points.evaluate(partial(module.tilt, ALGORITHMS.index(algorithm), coefficients), inputs, results, module)
    return _points.returned(results, "numpy")[0]


def apparent_solar_time(lon: Any, time: Any, *, algorithm: str = "almanac", backend: str | None = None) -> Any:
    r"""Return the hour that a sundial shows.

    .. math:: t = 12 + (\mathrm{lon} - \mathrm{lon}_s)/15 \pmod{24}

    with :math:`\mathrm{lon}_s` of the subsolar point.

    Parameters
    ----------
    lon : float or array_like
        Geographic longitude in degrees, positive east.
    time, algorithm, backend
        As in :func:`subsolar_point`; `lon` and `time` broadcast.

    Returns
    -------
    float or ndarray
        Hours in [0, 24).

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`subsolar_point`.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.geomag import apparent_solar_time
    >>> print(f"{apparent_solar_time(77.5946, np.datetime64('2025-10-07T08:50:18')):.4f}")
    14.2149
    """
    library = _points.library(lon=lon, time=time)
    _validate.choice(algorithm, "algorithm", ALGORITHMS)
    inputs = {"lon": _points.longitude(lon), "time": _time.times(time, "time")}
    module = _dispatch.load("geomag", backend)
    subsolar = partial(module.subsolar, ALGORITHMS.index(algorithm))

    def kernel(longitude: NDArray[Any], micros: NDArray[Any], hours: NDArray[Any]) -> None:
        of_sun = np.empty((2, micros.size))
        subsolar(micros, *of_sun)
        hours[:] = hours_from(np.fmod(longitude, 360) - of_sun[1])

    results = _points.results_for(inputs, 1, _points.result_type(lon))
    _points.evaluate(kernel, inputs, results, module, whole=False)
    _points.close_hours(results[0])
    return _points.returned(results, library)[0]


def magnetic_local_time(
    lat: Any,
    lon: Any,
    time: Any,
    *,
    alt: Any = 0.0,
    kind: str = "cd",
    sun: str = "direction",
    algorithm: str = "almanac",
    epoch: Any = None,
    coords: str = "geodetic",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    out: Any = None,
    backend: str | None = None,
) -> Any:
    r"""Return magnetic local time in the centred or the eccentric dipole.

    .. math:: \mathrm{MLT} = 12 + (\lambda' - \lambda'_s)/15 \pmod{24}

    with the dipole longitudes :math:`\lambda'` of the position and :math:`\lambda'_s` of the Sun.

    Parameters
    ----------
    lat, lon : float or array_like
        Geographic latitude and longitude in degrees.
    time : datetime, datetime64 or array_like of them
        Aware datetimes are converted to UTC, naive ones are UTC. Points and times broadcast: ``time[:, None]`` with
        ``lat`` of shape (n,) gives every point at every time, with the Sun computed once for each time.
    alt : float or array_like, default 0
        Altitude in km.
    kind : {"cd", "ed"}, default "cd"
        Centred or eccentric dipole.
    sun : {"direction", "surface"}, default "direction"
        What the longitude of the Sun in the dipole's frame is that of: the direction to the Sun, which is the same in
        both frames (Cole and Simonow 1963; Laundal and Richmond 2017, eq. 93), or the subsolar point on the sphere of
        radius 6371.2 km (Ramana, Murthy and Khan 1998). For the centred dipole they are the same; for the eccentric one
        they differ by up to 0.4 hours.
    algorithm : {"almanac", "grena5"}, default "almanac"
        As in :func:`subsolar_point`.
    epoch : optional
        When to take the dipole; by default at `time`. As in :func:`geo_to_cd`.
    coords, model, out_of_range, out, backend
        As in :func:`geo_to_cd`, `out` being one array.

    Returns
    -------
    float or ndarray
        Hours in [0, 24); float32 if `lat`, `lon` and `alt` are, else float64. NaN for NaN and NaT.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`subsolar_point` and :func:`geo_to_cd`.

    Notes
    -----
    Within 1e-11 hours of the formula on every backend, for dipole latitudes below 89 degrees; the formulas for the Sun
    are good to 9e-4 hours. For points on a GPU the times are copied to it, where each takes 72 bytes; otherwise as in
    :func:`geo_to_cd`.

    References
    ----------
    K. D. Cole, G. V. Simonow, Nature 199 (1963) 1279. K. M. Laundal, A. D. Richmond, Space Science Reviews 206 (2017)
    27-59. K. V. V. Ramana, K. S. R. N. Murthy, I. Khan, Indian Journal of Radio and Space Physics 27 (1998) 35-42.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.geomag import magnetic_local_time
    >>> time = np.datetime64("2025-03-20T12:00")
    >>> print(f"{magnetic_local_time(12.9716, 77.5946, time, coords='geocentric'):.6f}")
    17.084017
    """
    library = _points.library(lat=lat, lon=lon, alt=alt, time=time, epoch=epoch, out=out)
    device = _points.device_of(lat=lat, lon=lon, alt=alt, epoch=epoch, out=out)
    _validate.choice(kind, "kind", _points.KINDS)
    _validate.choice(sun, "sun", ("direction", "surface"))
    _validate.choice(algorithm, "algorithm", ALGORITHMS)
    module = _dispatch.load("geomag", backend, device)
    inputs = geographic(lat, lon, alt, coords, device, _points.finds_outside(module))
    inputs["time"] = _time.times(time, "time")
    coefficients, inputs["epoch"] = _coefficients(inputs["time"], epoch, model, out_of_range, device)
    options = (
        kind == "ed",
        sun == "surface",
        coords == "geodetic",
        ALGORITHMS.index(algorithm),
        coefficients,
    )
    (hours,) = _points.results_for(inputs, 1, _points.result_type(lat, lon, alt), out, device)
    order = None if inputs["epoch"].ndim or device is not None else _outer_order(inputs)
    if order:
        in_parts = getattr(module, "WRITES_PARTS", False)
        again = _outer(partial(module.local_time_outer, *options), inputs, order, hours, in_parts)
    else:
        again = _points.evaluate(partial(module.local_time, *options), inputs, [hours], module)
    if again:
        geographic(lat, lon, alt, coords)  # raises, and says where
    _points.close_hours(hours)
    return _points.returned([hours], library, out)[0]


# ---- what they share -------------------------------------------------------------------------------------------------


def _coefficients(
    moments: NDArray[Any], epoch: Any, model: Any, out_of_range: str, device: Device | None = None
) -> tuple[_points.Coefficients, Any]:
    """Return the coefficients and their epochs: decimal years, or nothing that counts if the times are the epochs."""
    if epoch is None:
        return _points.coefficients(moments, model, out_of_range, "time")[0], _points.NO_EPOCH
    coefficients, epochs = _points.coefficients(epoch, model, out_of_range, device=device)
    if coefficients.by == _points.BY_MICROSECONDS:  # the kernels take times for the Sun, so these must be years
        return _points.by_years(coefficients), _points.years_of(epochs)
    return coefficients, epochs


def _outer_order(inputs: dict[str, NDArray[Any]]) -> str | None:
    """Return "points first" or "times first" if they lie along different axes, None if they share axes."""
    shapes = {name: array.shape for name, array in inputs.items()}
    ndim = len(_validate.broadcast_shape(**shapes))
    times = shapes.pop("time")
    points = _validate.broadcast_shape(**shapes)
    time_axes = {ndim - len(times) + i for i, n in enumerate(times) if n != 1}
    point_axes = {ndim - len(points) + i for i, n in enumerate(points) if n != 1}
    if not time_axes or not point_axes:
        return None
    if max(time_axes) < min(point_axes):
        return "times first"
    return "points first" if max(point_axes) < min(time_axes) else None


def _outer(
    kernel: _points.Kernel, inputs: dict[str, NDArray[Any]], order: str, hours: NDArray[Any], in_parts: bool
) -> bool:
    """Write the hours of every point at every time, by tiles whose longer side is the inner loop of the kernel.

    A kernel that writes to parts of the results (`in_parts`) makes the tiles itself. Returns, as
    :func:`ecgkern.geomag._points.evaluate`, whether there may be values out of range.
    """
    moments = inputs["time"].reshape(-1)
    points = np.broadcast_arrays(*(np.atleast_1d(inputs[name]) for name in ("lat", "lon", "alt")))
    shape = points[0].size, moments.size
    points_last = order == "times first"
    table = hours.reshape(shape[::-1] if points_last else shape)
    outside: list[int | None] = []

    def given(block: slice, span: slice) -> list[NDArray[Any]]:
        position = [np.ascontiguousarray(axis.flat[block], np.float64) for axis in points]
        return [*position, moments[span].astype("M8[us]").view(np.int64)]

    if in_parts and table.dtype == np.float64:
        for block, span in itertools.product(_blocks(shape[0], _PIECE), _blocks(shape[1], _PIECE)):
            outside.append(kernel(points_last, *given(block, span), table, (block.start, span.start)))
        return any(outside) or not outside

    by_point = table.T if points_last else table
    points_inner = shape[0] >= shape[1]
    sides = reversed(_TILE) if points_inner else _TILE
    tiles = list(itertools.product(*map(_blocks, shape, sides)))

    def work(first: int, end: int) -> None:
        scratch = np.empty(_TILE[0] * _TILE[1])
        for block, span in tiles[first:end]:
            target = by_point[block, span].T if points_inner else by_point[block, span]
            written = scratch[: target.size].reshape(target.shape)
            outside.append(kernel(points_inner, *given(block, span), written))
            target[...] = written

    _threads.run_ranges(len(tiles), _threads.threads_for(hours.size), work)
    return any(outside) or not tiles


def _blocks(n: int, side: int) -> list[slice]:
    return [slice(first, min(first + side, n)) for first in range(0, n, side)]
