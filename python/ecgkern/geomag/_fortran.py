"""The geomag kernels in Fortran: fortran/geomag.f90. C-order arrays pass as their transposes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern.geomag._points import CD, GEOCENTRIC, GEODETIC, Coefficients, limits, years_and_times

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_kernels = extension.geomag

FINDS_OUTSIDE = True  # the kernels look for values of positions that are out of range
WRITES_PARTS = True  # local_time_outer writes to a part of the results, and shares out its work among threads


def convert(
    source: int, target: int, coefficients: Coefficients, a: Floats, b: Floats, c: Floats, epoch: NDArray[Any],
    p: Floats, q: Floats, r: Floats,
) -> int:  # fmt: skip
    """Write positions of one form in another; `ecgkern.geomag._points` numbers the forms."""
    years, times = years_and_times(coefficients, epoch)
    by, rule, first, step, rows = _table(coefficients)
    outside: int = _kernels.convert(
        _threads_for(p), source, target, by, rule, first, step, limits(source, target).T, rows, a, b, c, years, times,
        p, q, r,
    )  # fmt: skip
    return outside


def field(
    eccentric: bool, geodetic: bool, coefficients: Coefficients, lat: Floats, lon: Floats, alt: Floats,
    epoch: NDArray[Any], *elements: Floats,
) -> int:  # fmt: skip
    """Write the elements of the field of a dipole."""
    years, times = years_and_times(coefficients, epoch)
    by, rule, first, step, rows = _table(coefficients)
    outside: int = _kernels.fields(
        _threads_for(elements[0]), eccentric, geodetic, by, rule, first, step, _geographic_limits(geodetic), rows, lat,
        lon, alt, years, times, *elements,
    )  # fmt: skip
    return outside


def subsolar(algorithm: int, time: Times, lat: Floats, lon: Floats) -> None:
    """Write the subsolar point."""
    _kernels.subsolar(_threads_for(lat), algorithm, time, lat, lon)


def tilt(algorithm: int, coefficients: Coefficients, time: Times, epoch: Floats, tilts: Floats) -> None:
    """Write the tilt of the dipole."""
    _kernels.tilts(_threads_for(tilts), algorithm, *_table(coefficients), epoch, time, tilts)


def local_time(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, lat: Floats,
    lon: Floats, alt: Floats, time: Times, epoch: Floats, hours: Floats,
) -> int:  # fmt: skip
    """Write the magnetic local time of positions at times."""
    by, rule, first, step, rows = _table(coefficients)
    outside: int = _kernels.local_times(
        _threads_for(hours), eccentric, surface, geodetic, algorithm, by, rule, first, step,
        _geographic_limits(geodetic), rows, lat, lon, alt, epoch, time, hours,
    )  # fmt: skip
    return outside


def local_time_outer(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, points_last: bool,
    lat: Floats, lon: Floats, alt: Floats, time: Times, hours: Floats, first: tuple[int, int] = (0, 0),
) -> int:  # fmt: skip
    """Write the magnetic local time of every position at every time, (times, points) if points_last.

    From ``first``, the numbers of a point and of a time, on.
    """
    by, rule, start, step, rows = _table(coefficients)
    outside: int = _kernels.local_times_outer(
        _threads.threads_for(lat.size * time.size), eccentric, surface, geodetic, algorithm, by, rule, start, step,
        _geographic_limits(geodetic), rows, points_last, *first, lat, lon, alt, time, hours.T,
    )  # fmt: skip
    return outside


def _threads_for(result: Floats) -> int:
    return _threads.threads_for(result.size)


def _geographic_limits(geodetic: bool) -> Floats:
    return limits(GEODETIC if geodetic else GEOCENTRIC, CD).T


def _table(coefficients: Coefficients) -> tuple[Any, ...]:
    return coefficients.by, coefficients.rule, coefficients.first, coefficients.step, coefficients.rows.T
