"""The geomag kernels in Numba: the steps of fortran/geomag_kernels.f90, where their comments stand.

A block of points goes through its steps in one array of rows, each at an offset that is a constant: that is how LLVM
sees that the rows are apart, and turns the loops into vector instructions.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ecgkern import _threads
from ecgkern._numba_math import jit_in_order
from ecgkern.geomag._earth import (
    AXIS_RATIO,
    EARTH_RADIUS,
    ECCENTRICITY2,
    GEODETIC_STEPS,
    NEAREST,
    RAY_STEPS,
    RAY_TOLERANCE,
    WGS84_A,
)
from ecgkern.geomag._points import (
    BY_YEARS,
    CD,
    CD_RAY,
    CD_XYZ,
    ED,
    ED_RAY,
    ED_XYZ,
    FIXED,
    GEO_XYZ,
    GEOCENTRIC,
    GEODETIC,
    NO_YEARS,
    Coefficients,
    years_and_times,
)

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_f64, _i64 = np.float64, np.int64

_BLOCK = 256
# Rows of a block.
_ACROSS, _DISTANCE, _C, _X, _Y, _Z, _SIN_LAT, _COS_LAT, _SIN_LON, _COS_LON = (row * _BLOCK for row in range(10))
_B0, _COS_COL, _SIN_COL, _COS_POLE, _SIN_POLE, _DX, _DY, _DZ = (row * _BLOCK for row in range(10, 18))
_YEAR, _DAY, _PART, _LONGITUDE, _OBLIQUITY, _TURNED, _OF_POINT, _OF_SUN = (row * _BLOCK for row in range(18, 26))
_LENGTH, _STEP = _OF_POINT, _OF_SUN  # of a ray
_NORTH, _EAST, _DOWN, _HORIZONTAL = (row * _BLOCK for row in range(26, 30))
_G10, _G11, _H11, _G20, _G21, _H21, _G22, _H22, _ROW, _WEIGHT = (row * _BLOCK for row in range(30, 40))
_ROWS = 40 * _BLOCK

_RADIAN = 57.295779513082320877
_SHIFTER = 6755399441055744.0  # 1.5 * 2**52
_MISSING = np.iinfo(np.int64).min


# ---- what Python calls -----------------------------------------------------------------------------------------------


def convert(
    source: int, target: int, coefficients: Coefficients, a: Floats, b: Floats, c: Floats, epoch: NDArray[Any],
    p: Floats, q: Floats, r: Floats,
) -> None:  # fmt: skip
    """Write positions of one form in another; `ecgkern.geomag._points` numbers the forms."""
    _run(p, _convert, source, target, *_table(coefficients), a, b, c, *years_and_times(coefficients, epoch), p, q, r)


def field(
    eccentric: bool, geodetic: bool, coefficients: Coefficients, lat: Floats, lon: Floats, alt: Floats,
    epoch: NDArray[Any], *elements: Floats,
) -> None:  # fmt: skip
    """Write the elements of the field of a dipole."""
    _run(
        elements[0], _field, eccentric, geodetic, *_table(coefficients), lat, lon, alt,
        *years_and_times(coefficients, epoch), *elements,
    )  # fmt: skip


def subsolar(algorithm: int, time: Times, lat: Floats, lon: Floats) -> None:
    """Write the subsolar point."""
    _run(lat, _subsolar, algorithm, time, lat, lon)


def tilt(algorithm: int, coefficients: Coefficients, time: Times, epoch: Floats, tilts: Floats) -> None:
    """Write the tilt of the dipole."""
    _run(tilts, _tilt, algorithm, *_table(coefficients), epoch, time, tilts)


def local_time(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, lat: Floats,
    lon: Floats, alt: Floats, time: Times, epoch: Floats, hours: Floats,
) -> None:  # fmt: skip
    """Write the magnetic local time of positions at times."""
    _run(
        hours, _local_time, eccentric, surface, geodetic, algorithm, *_table(coefficients), lat, lon, alt, epoch,
        time, hours,
    )  # fmt: skip


def local_time_outer(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, points_inner: bool,
    lat: Floats, lon: Floats, alt: Floats, time: Times, hours: Floats,
) -> None:  # fmt: skip
    """Write the magnetic local time of every position at every time, (times, points) if points_inner."""
    points, frames = np.empty((3, lat.size)), np.empty((8, time.size))
    _place_points(geodetic, lat, lon, alt, points)
    _place_frames(eccentric, surface, algorithm, *_table(coefficients), NO_YEARS, time, frames)
    (_outer_by_points if points_inner else _outer_by_times)(points, frames, hours)


def _run(result: Floats, kernel: Callable[..., None], *arguments: Any) -> None:
    """Call the kernel on ranges of blocks, on several threads."""
    n_blocks = -(-result.size // _BLOCK)
    _threads.run_ranges(
        n_blocks, _threads.threads_for(result.size), lambda first, end: kernel(first, end, np.empty(_ROWS), *arguments)
    )


def _table(coefficients: Coefficients) -> tuple[Any, ...]:
    rows = coefficients.rows.view()
    rows.flags.writeable = False
    return coefficients.by, coefficients.rule, coefficients.first, coefficients.step, rows


# ---- blocks of points ------------------------------------------------------------------------------------------------


@jit_in_order
def _convert(first, end, w, source, target, by, rule, year, step, rows, a, b, c, years, micros, p, q, r):  # type: ignore[no-untyped-def]
    _dipole_for_all(rows, w)
    for i in range(first, end):
        start = i * _BLOCK
        n = min(_BLOCK, p.size - start)
        _dipole_of_each(n, start, by, rule, year, step, rows, years, micros, w)
        if source in (GEO_XYZ, CD_XYZ, ED_XYZ):
            _take(n, start, a, w[_X:])
            _take(n, start, b, w[_Y:])
            _take(n, start, c, w[_Z:])
        else:
            _angles(n, start, a, b, w)
            _take(n, start, c, w[_C:])
            if source == GEODETIC:
                _on_ellipsoid(n, w)
            else:
                ray = source in (CD_RAY, ED_RAY)
                _on_sphere(n, EARTH_RADIUS if source == GEOCENTRIC else 0.0, ray, w)
        if source >= CD:
            _turn_back(n, w)
        if source in (CD_RAY, ED_RAY):
            _meet(n, target == GEODETIC, source == ED_RAY, w)
        if source in (ED, ED_XYZ):
            _move(n, 1.0, w)
        if target in (ED, ED_XYZ):
            _move(n, -1.0, w)
        if target >= CD:
            _turn(n, w)
        else:
            _from_axis(n, w)
        if target == GEODETIC:
            _to_geodetic(n, w, p[start:], q[start:], r[start:])
        elif target in (GEO_XYZ, CD_XYZ, ED_XYZ):
            _put(n, w[_X:], p[start:])
            _put(n, w[_Y:], q[start:])
            _put(n, w[_Z:], r[start:])
        else:
            if source == GEOCENTRIC and target == CD:  # a rotation
                _of_sphere(n, w)
            else:
                _from_centre(n, w)
            _to_sphere(n, w, p[start:], q[start:])
            _less(n, EARTH_RADIUS if target == GEOCENTRIC else 0.0, w, r[start:])


@jit_in_order
def _field(  # type: ignore[no-untyped-def]
    first, end, w, eccentric, geodetic, by, rule, year, step, rows, lat, lon, alt, years, micros,
    north, east, down, horizontal, total, declination, inclination,
):  # fmt: skip
    _dipole_for_all(rows, w)
    for i in range(first, end):
        start = i * _BLOCK
        n = min(_BLOCK, north.size - start)
        _dipole_of_each(n, start, by, rule, year, step, rows, years, micros, w)
        _positions(n, start, eccentric, geodetic, lat, lon, alt, w)
        _field_at(n, w)
        _write_field(
            n, w, north[start:], east[start:], down[start:], horizontal[start:], total[start:], declination[start:],
            inclination[start:],
        )  # fmt: skip


@jit_in_order
def _subsolar(first, end, w, algorithm, micros, lat, lon):  # type: ignore[no-untyped-def]
    for i in range(first, end):
        start = i * _BLOCK
        n = min(_BLOCK, lat.size - start)
        _direction_of_sun(n, start, algorithm, micros, w)
        _from_axis(n, w)
        _from_centre(n, w)
        _to_sphere(n, w, lat[start:], lon[start:])


@jit_in_order
def _tilt(first, end, w, algorithm, by, rule, year, step, rows, years, micros, tilts):  # type: ignore[no-untyped-def]
    _dipole_for_all(rows, w)
    for i in range(first, end):
        start = i * _BLOCK
        n = min(_BLOCK, tilts.size - start)
        _dipole_of_each(n, start, by, rule, year, step, rows, years, micros, w)
        _direction_of_sun(n, start, algorithm, micros, w)
        _turn(n, w)
        _from_centre(n, w)
        _to_sphere(n, w, tilts[start:], w[_OF_SUN:])


@jit_in_order
def _local_time(  # type: ignore[no-untyped-def]
    first, end, w, eccentric, surface, geodetic, algorithm, by, rule, year, step, rows, lat, lon, alt, years, micros,
    hours,
):  # fmt: skip
    _dipole_for_all(rows, w)
    for i in range(first, end):
        start = i * _BLOCK
        n = min(_BLOCK, hours.size - start)
        _dipole_of_each(n, start, by, rule, year, step, rows, years, micros, w)
        _positions(n, start, eccentric, geodetic, lat, lon, alt, w)
        _dipole_longitude(n, w, w[_OF_POINT:])
        _longitude_of_sun(n, start, algorithm, eccentric and surface, micros, w)
        part = hours[start:]
        for j in range(n):
            part[j] = _hours_from(w[_OF_POINT + j] - w[_OF_SUN + j])


@jit_in_order
def _place_points(geodetic, lat, lon, alt, points):  # type: ignore[no-untyped-def]
    w = np.empty(_ROWS)
    for start in range(0, lat.size, _BLOCK):
        n = min(_BLOCK, lat.size - start)
        _positions(n, start, False, geodetic, lat, lon, alt, w)
        _put(n, w[_X:], points[0, start:])
        _put(n, w[_Y:], points[1, start:])
        _put(n, w[_Z:], points[2, start:])


@jit_in_order
def _place_frames(eccentric, surface, algorithm, by, rule, year, step, rows, years, micros, frames):  # type: ignore[no-untyped-def]
    w = np.empty(_ROWS)
    _dipole_for_all(rows, w)
    for start in range(0, micros.size, _BLOCK):
        n = min(_BLOCK, micros.size - start)
        _dipole_of_each(n, start, by, rule, year, step, rows, years, micros, w)
        _longitude_of_sun(n, start, algorithm, eccentric and surface, micros, w)
        for i in range(n):
            k = start + i
            frames[0, k] = w[_COS_COL + i] * w[_COS_POLE + i]
            frames[1, k] = w[_COS_COL + i] * w[_SIN_POLE + i]
            frames[2, k] = -w[_SIN_COL + i]
            frames[3, k] = -w[_SIN_POLE + i]
            frames[4, k] = w[_COS_POLE + i]
            frames[5, k] = 0.0
            frames[6, k] = 0.0
            if eccentric:
                frames[5, k] = frames[0, k] * w[_DX + i] + frames[1, k] * w[_DY + i] + frames[2, k] * w[_DZ + i]
                frames[6, k] = frames[3, k] * w[_DX + i] + frames[4, k] * w[_DY + i]
            frames[7, k] = w[_OF_SUN + i]


@jit_in_order
def _outer_by_points(points, frames, hours):  # type: ignore[no-untyped-def]
    x, y, z = points[0], points[1], points[2]
    for j in range(hours.shape[0]):
        xx, xy, xz, yx, yy = frames[0, j], frames[1, j], frames[2, j], frames[3, j], frames[4, j]
        x0, y0, of_sun = frames[5, j], frames[6, j], frames[7, j]
        row = hours[j]
        for i in range(row.size):
            aside, along = yx * x[i] + yy * y[i] - y0, xx * x[i] + xy * y[i] + xz * z[i] - x0
            angle = _arc_tangent(aside, along, np.sqrt(aside * aside + along * along))
            row[i] = _hours_from(angle - of_sun)


@jit_in_order
def _outer_by_times(points, frames, hours):  # type: ignore[no-untyped-def]
    n = hours.shape[1]
    y_of, x_of = np.empty(n), np.empty(n)
    for j in range(hours.shape[0]):
        x, y, z = points[0, j], points[1, j], points[2, j]
        for i in range(n):
            y_of[i] = frames[3, i] * x + frames[4, i] * y - frames[6, i]
        for i in range(n):
            x_of[i] = frames[0, i] * x + frames[1, i] * y + frames[2, i] * z - frames[5, i]
        row, of_sun = hours[j], frames[7]
        for i in range(n):
            angle = _arc_tangent(y_of[i], x_of[i], np.sqrt(y_of[i] * y_of[i] + x_of[i] * x_of[i]))
            row[i] = _hours_from(angle - of_sun[i])


# ---- angles in degrees -----------------------------------------------------------------------------------------------


@numba.njit(inline="always")
def _sine_cosine(angle):  # type: ignore[no-untyped-def]
    shifted = angle * (1 / 90.0) + _SHIFTER
    quarters = _f64(shifted).view(_i64)
    s, c = _small_sine_cosine(angle - 90.0 * (shifted - _SHIFTER))
    swapped = (quarters & _i64(1)) != 0
    sine, cosine = (c, s) if swapped else (s, c)
    sine = -sine if (quarters & _i64(2)) != 0 else sine
    cosine = -cosine if ((quarters + _i64(1)) & _i64(2)) != 0 else cosine
    return sine, cosine


@numba.njit(inline="always")
def _latitude_sine_cosine(angle):  # type: ignore[no-untyped-def]
    size = abs(angle)
    rest = 90.0 - size
    far = rest < size
    s, c = _small_sine_cosine(rest if far else size)
    return math.copysign(c if far else s, angle), s if far else c


@numba.njit(inline="always")
def _small_sine_cosine(angle):  # type: ignore[no-untyped-def]
    z = angle * angle
    s = 4.141266586411592577e-22 + z * (-1.1467583906159288234e-27 + z * 2.2167476722412486436e-33)
    s = 1.3496016231614883821e-11 + z * (-9.7883848559676911503e-17 + z * s)
    s = angle * (0.017453292519943295769 + z * (-8.8609615570129617291e-7 + z * s))
    c = -7.2278738866983470396e-25 + z * (1.6678997791031742616e-30 - z * 2.7647055196514924252e-36)
    c = -3.9258319857389259627e-14 + z * (2.1354943025535618416e-19 + z * c)
    c = 1.0 + z * (-0.00015230870989335429967 + z * (3.8663238515629874678e-9 + z * c))
    return s, c


@numba.njit(inline="always")
def _arc_tangent(y, x, distance):  # type: ignore[no-untyped-def]
    angle = _elevation(y, abs(x), distance)
    return math.copysign(180.0, y) - angle if x < 0 else angle


@numba.njit(inline="always")
def _elevation(y, x, distance):  # type: ignore[no-untyped-def]
    ay = abs(y)
    steep = ay > x
    t = (x if steep else ay) / (distance + (ay if steep else x) + 2.2250738585072014e-308)
    z = t * t
    w = z * z
    even = 8.8144533510464039823 + w * (6.7013246200433110862 + w * 4.3634548768918843716)
    even = 114.59155902616464175 + w * (22.918311805180310199 + w * (12.732395074957947285 + w * even))
    odd = -7.6353735290871855497 + w * (-5.7752377608465637757 - w * 2.0537428527078769152)
    odd = -38.197186342054727796 + w * (-16.37022271176015681 + w * (-10.417401560233164003 + w * odd))
    angle = t * (even + z * odd)
    return math.copysign(90.0 - angle if steep else angle, y) + 0.0


@numba.njit(inline="always")
def _longitude(y, x, across):  # type: ignore[no-untyped-def]
    angle = _arc_tangent(y, x, across)
    return 180.0 if angle <= -180.0 else angle


@numba.njit(inline="always")
def _rounded_down(x):  # type: ignore[no-untyped-def]
    whole = (x + _SHIFTER) - _SHIFTER
    return whole - (1.0 if whole > x else 0.0)


@numba.njit(inline="always")
def _hours_from(difference):  # type: ignore[no-untyped-def]
    hours = 12.0 + difference * (1 / 15.0)
    hours = hours + (24.0 if hours < 0 else 0.0)
    return hours - (24.0 if hours >= 24 else 0.0)


# ---- steps -----------------------------------------------------------------------------------------------------------


@jit_in_order
def _take(n, start, given, values):  # type: ignore[no-untyped-def]
    if given.size == 1:
        value = given[0]
        for i in range(n):
            values[i] = value
    else:
        part = given[start:]  # an index that is a sum would be looked at for being negative, one by one
        for i in range(n):
            values[i] = part[i]


@jit_in_order
def _put(n, values, result):  # type: ignore[no-untyped-def]
    for i in range(n):
        result[i] = values[i]


@jit_in_order
def _positions(n, start, eccentric, geodetic, lat, lon, alt, w):  # type: ignore[no-untyped-def]
    _angles(n, start, lat, lon, w)
    _take(n, start, alt, w[_C:])
    if geodetic:
        _on_ellipsoid(n, w)
    else:
        _on_sphere(n, EARTH_RADIUS, False, w)
    if eccentric:
        _move(n, -1.0, w)


@jit_in_order
def _angles(n, start, lat, lon, w):  # type: ignore[no-untyped-def]
    if lat.size == 1:
        s, c = _latitude_sine_cosine(lat[0])
        for i in range(n):
            w[_SIN_LAT + i], w[_COS_LAT + i] = s, c
    else:
        part = lat[start:]
        for i in range(n):
            w[_SIN_LAT + i], w[_COS_LAT + i] = _latitude_sine_cosine(part[i])
    if lon.size == 1:
        s, c = _sine_cosine(lon[0])
        for i in range(n):
            w[_SIN_LON + i], w[_COS_LON + i] = s, c
    else:
        part = lon[start:]
        for i in range(n):
            w[_SIN_LON + i], w[_COS_LON + i] = _sine_cosine(part[i])


@jit_in_order
def _on_ellipsoid(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        normal = WGS84_A / np.sqrt(1.0 - ECCENTRICITY2 * w[_SIN_LAT + i] * w[_SIN_LAT + i])
        across = (normal + w[_C + i]) * w[_COS_LAT + i]
        w[_X + i] = across * w[_COS_LON + i]
        w[_Y + i] = across * w[_SIN_LON + i]
        w[_Z + i] = (normal * (1.0 - ECCENTRICITY2) + w[_C + i]) * w[_SIN_LAT + i]


@jit_in_order
def _on_sphere(n, radius, as_directions, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        r = 1.0 if as_directions else radius + w[_C + i]
        across = r * w[_COS_LAT + i]
        w[_X + i] = across * w[_COS_LON + i]
        w[_Y + i] = across * w[_SIN_LON + i]
        w[_Z + i] = r * w[_SIN_LAT + i]


@jit_in_order
def _turn(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        along = w[_COS_POLE + i] * w[_X + i] + w[_SIN_POLE + i] * w[_Y + i]
        y = w[_COS_POLE + i] * w[_Y + i] - w[_SIN_POLE + i] * w[_X + i]
        z = w[_Z + i]
        x = w[_COS_COL + i] * along - w[_SIN_COL + i] * z
        w[_X + i], w[_Y + i], w[_Z + i] = x, y, w[_SIN_COL + i] * along + w[_COS_COL + i] * z
        w[_ACROSS + i] = np.sqrt(x * x + y * y)


@jit_in_order
def _turn_back(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        along = w[_COS_COL + i] * w[_X + i] + w[_SIN_COL + i] * w[_Z + i]
        across = w[_Y + i]
        w[_Z + i] = w[_COS_COL + i] * w[_Z + i] - w[_SIN_COL + i] * w[_X + i]
        w[_X + i] = w[_COS_POLE + i] * along - w[_SIN_POLE + i] * across
        w[_Y + i] = w[_SIN_POLE + i] * along + w[_COS_POLE + i] * across


@jit_in_order
def _move(n, sense, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        w[_X + i] += sense * w[_DX + i]
        w[_Y + i] += sense * w[_DY + i]
        w[_Z + i] += sense * w[_DZ + i]


@jit_in_order
def _from_axis(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        w[_ACROSS + i] = np.sqrt(w[_X + i] * w[_X + i] + w[_Y + i] * w[_Y + i])


@jit_in_order
def _from_centre(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        w[_DISTANCE + i] = np.sqrt(w[_ACROSS + i] * w[_ACROSS + i] + w[_Z + i] * w[_Z + i])


@jit_in_order
def _of_sphere(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        w[_DISTANCE + i] = EARTH_RADIUS + w[_C + i]


@jit_in_order
def _to_sphere(n, w, lat, lon):  # type: ignore[no-untyped-def]
    for i in range(n):
        lat[i] = _elevation(w[_Z + i], w[_ACROSS + i], w[_DISTANCE + i])
    for i in range(n):
        lon[i] = _longitude(w[_Y + i], w[_X + i], w[_ACROSS + i])


@jit_in_order
def _less(n, less, w, r):  # type: ignore[no-untyped-def]
    for i in range(n):
        r[i] = w[_DISTANCE + i] - less


@jit_in_order
def _to_geodetic(n, w, lat, lon, height):  # type: ignore[no-untyped-def]
    for i in range(n):
        w[_SIN_LAT + i], w[_COS_LAT + i], height[i] = _normal_and_height(w[_ACROSS + i], w[_Z + i])
    for i in range(n):
        lat[i] = _elevation(w[_SIN_LAT + i], w[_COS_LAT + i], 1.0)
    for i in range(n):
        lon[i] = _longitude(w[_Y + i], w[_X + i], w[_ACROSS + i])


@numba.njit(inline="always")
def _normal_and_height(across, z):  # type: ignore[no-untyped-def]
    s, c = z, AXIS_RATIO * across
    up, out = 0.0, 0.0
    for _ in range(GEODETIC_STEPS):
        inverse = 1.0 / np.sqrt(s * s + c * c)
        s, c = s * inverse, c * inverse
        up = z + (ECCENTRICITY2 / AXIS_RATIO * WGS84_A) * s * s * s
        out = across - (ECCENTRICITY2 * WGS84_A) * c * c * c
        s, c = AXIS_RATIO * up, out
    inverse = 1.0 / np.sqrt(up * up + out * out if across * across + z * z >= NEAREST * NEAREST else -1.0)
    s, c = up * inverse, out * inverse
    return s, c, across * c + z * s - WGS84_A * np.sqrt(1.0 - ECCENTRICITY2 * s * s)


@jit_in_order
def _meet(n, geodetic, eccentric, w):  # type: ignore[no-untyped-def]
    sense = 1.0 if eccentric else 0.0
    equatorial = WGS84_A if geodetic else EARTH_RADIUS
    polar = WGS84_A * AXIS_RATIO if geodetic else EARTH_RADIUS
    for i in range(n):
        dx, dy, dz = sense * w[_DX + i], sense * w[_DY + i], sense * w[_DZ + i]
        x, y, z = w[_X + i], w[_Y + i], w[_Z + i]
        wide, high = 1.0 / (equatorial + w[_C + i]), 1.0 / (polar + w[_C + i])
        wide, high = wide * wide, high * high
        ww = wide * (x * x + y * y) + high * z * z
        dw = wide * (dx * x + dy * y) + high * dz * z
        dd = wide * (dx * dx + dy * dy) + high * dz * dz
        t = (np.sqrt(dw * dw - ww * (dd - 1.0)) - dw) / ww
        w[_LENGTH + i] = t if t >= 0 else np.nan
    if geodetic:
        for _ in range(RAY_STEPS):
            _approach(n, sense, w)
        for i in range(n):
            w[_LENGTH + i] = w[_LENGTH + i] if abs(w[_STEP + i]) <= RAY_TOLERANCE else np.nan
    for i in range(n):
        w[_X + i] = sense * w[_DX + i] + w[_LENGTH + i] * w[_X + i]
        w[_Y + i] = sense * w[_DY + i] + w[_LENGTH + i] * w[_Y + i]
        w[_Z + i] = sense * w[_DZ + i] + w[_LENGTH + i] * w[_Z + i]


@jit_in_order
def _approach(n, sense, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        x, y, z, t = w[_X + i], w[_Y + i], w[_Z + i], w[_LENGTH + i]
        px, py = sense * w[_DX + i] + t * x, sense * w[_DY + i] + t * y
        across = np.sqrt(px * px + py * py)
        s, c, height = _normal_and_height(across, sense * w[_DZ + i] + t * z)
        outward = (px * x + py * y) / (across + 2.2250738585072014e-308)
        step = (w[_C + i] - height) / (outward * c + z * s)
        w[_LENGTH + i] = t + step
        w[_STEP + i] = step


@jit_in_order
def _field_at(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        x, y, z = w[_X + i], w[_Y + i], w[_Z + i]
        inverse = 1.0 / np.sqrt(x * x + y * y + z * z)
        x, y, z = x * inverse, y * inverse, z * inverse
        mx, my, mz = w[_SIN_COL + i] * w[_COS_POLE + i], w[_SIN_COL + i] * w[_SIN_POLE + i], w[_COS_COL + i]
        inverse = EARTH_RADIUS * inverse
        strength = w[_B0 + i] * inverse * inverse * inverse
        along = 3.0 * (mx * x + my * y + mz * z)
        bx, by, bz = strength * (mx - along * x), strength * (my - along * y), strength * (mz - along * z)
        outward = w[_COS_LON + i] * bx + w[_SIN_LON + i] * by
        north = w[_COS_LAT + i] * bz - w[_SIN_LAT + i] * outward
        east = w[_COS_LON + i] * by - w[_SIN_LON + i] * bx
        down = -(w[_COS_LAT + i] * outward + w[_SIN_LAT + i] * bz)
        w[_NORTH + i], w[_EAST + i], w[_DOWN + i] = north, east, down
        w[_HORIZONTAL + i] = np.sqrt(north * north + east * east)


@jit_in_order
def _write_field(n, w, north, east, down, horizontal, total, declination, inclination):  # type: ignore[no-untyped-def]
    # At most three results a loop: LLVM looks whether they overlap, but not at any number of pairs.
    for i in range(n):
        north[i] = w[_NORTH + i]
        declination[i] = _longitude(w[_EAST + i], w[_NORTH + i], w[_HORIZONTAL + i])
    for i in range(n):
        east[i] = w[_EAST + i]
        horizontal[i] = w[_HORIZONTAL + i]
        w[_DISTANCE + i] = np.sqrt(w[_HORIZONTAL + i] * w[_HORIZONTAL + i] + w[_DOWN + i] * w[_DOWN + i])
    for i in range(n):
        down[i] = w[_DOWN + i]
        total[i] = w[_DISTANCE + i]
        inclination[i] = _elevation(w[_DOWN + i], w[_HORIZONTAL + i], w[_DISTANCE + i])


# ---- epochs and the Sun ----------------------------------------------------------------------------------------------


@jit_in_order
def _dipole_of(n, w):  # type: ignore[no-untyped-def]
    root3 = 1.7320508075688772935
    for i in range(n):
        g10, g11, h11 = w[_G10 + i], w[_G11 + i], w[_H11 + i]
        s = np.sqrt(g11 * g11 + h11 * h11)
        b0 = np.sqrt(g10 * g10 + g11 * g11 + h11 * h11)
        inverse = 1.0 / (s if s > 0 else 1.0)
        w[_COS_POLE + i] = -g11 * inverse if s > 0 else 1.0
        w[_SIN_POLE + i] = -h11 * inverse
        inverse = 1.0 / b0
        w[_COS_COL + i] = -g10 * inverse
        w[_SIN_COL + i] = s * inverse
        w[_B0 + i] = b0
        g20, g21, h21, g22, h22 = w[_G20 + i], w[_G21 + i], w[_H21 + i], w[_G22 + i], w[_H22 + i]
        l0 = 2.0 * g10 * g20 + root3 * (g11 * g21 + h11 * h21)
        l1 = -g11 * g20 + root3 * (g10 * g21 + g11 * g22 + h11 * h22)
        l2 = -h11 * g20 + root3 * (g10 * h21 - h11 * g22 + g11 * h22)
        inverse = inverse * inverse
        e = (l0 * g10 + l1 * g11 + l2 * h11) * inverse * 0.25
        inverse = (EARTH_RADIUS / 3.0) * inverse
        w[_DX + i] = (l1 - g11 * e) * inverse
        w[_DY + i] = (l2 - h11 * e) * inverse
        w[_DZ + i] = (l0 - g10 * e) * inverse


@jit_in_order
def _dipole_for_all(rows, w):  # type: ignore[no-untyped-def]
    for k in range(8):
        w[_G10 + k * _BLOCK] = rows[0, k]
    _dipole_of(1, w)
    for i in range(_B0, _DZ + 1, _BLOCK):
        w[i : i + _BLOCK] = w[i]


@jit_in_order
def _dipole_of_each(n, start, by, rule, first, step, rows, years, micros, w):  # type: ignore[no-untyped-def]
    if by == FIXED:
        return
    if by == BY_YEARS:
        _take(n, start, years, w[_YEAR:])
    else:
        _split_time(n, start, micros, w)
        _decimal_years(n, w)
    _interpolate(n, rule, first, step, rows, w)


@jit_in_order
def _interpolate(n, rule, first, step, rows, w):  # type: ignore[no-untyped-def]
    last = rows.shape[0] - 1.0
    for i in range(n):
        position = (w[_YEAR + i] - first) / step
        if rule == 1:
            position = 0.0 if position < 0 else (last if position > last else position)
        if rule == 2:
            position = position if (position >= 0) & (position <= last) else np.nan
        row = _rounded_down(position)
        row = row if row > 0 else 0.0
        row = row if row < last - 1 else last - 1
        w[_ROW + i] = row
        w[_WEIGHT + i] = position - row
    for i in range(n):
        row, v = _i64(w[_ROW + i]), w[_WEIGHT + i]
        u = 1.0 - v
        w[_G10 + i] = u * rows[row, 0] + v * rows[row + 1, 0]
        w[_G11 + i] = u * rows[row, 1] + v * rows[row + 1, 1]
        w[_H11 + i] = u * rows[row, 2] + v * rows[row + 1, 2]
        w[_G20 + i] = u * rows[row, 3] + v * rows[row + 1, 3]
        w[_G21 + i] = u * rows[row, 4] + v * rows[row + 1, 4]
        w[_H21 + i] = u * rows[row, 5] + v * rows[row + 1, 5]
        w[_G22 + i] = u * rows[row, 6] + v * rows[row + 1, 6]
        w[_H22 + i] = u * rows[row, 7] + v * rows[row + 1, 7]
    _dipole_of(n, w)


@jit_in_order
def _split_time(n, start, micros, w):  # type: ignore[no-untyped-def]
    single = micros.size == 1
    part = micros[:1] if single else micros[start:]
    for i in range(n):
        moment = part[0] if single else part[i]
        ticks = _f64(moment >> 13)
        day = _rounded_down(ticks / 10546875.0)
        w[_PART + i] = ((ticks - day * 10546875.0) + _f64(moment & 8191) / 8192.0) / 10546875.0
        w[_DAY + i] = np.nan if moment == _MISSING else day - 10957.0


@numba.njit(inline="always")
def _new_year(y):  # type: ignore[no-untyped-def]
    return (
        365.0 * y + _rounded_down((y + 3.0) / 4.0) - _rounded_down((y + 99.0) / 100.0)
        + _rounded_down((y + 399.0) / 400.0)
    )  # fmt: skip


@jit_in_order
def _decimal_years(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        day = w[_DAY + i]
        since_2000 = _rounded_down((day + 0.5) * (1 / 365.2425))
        since_2000 = since_2000 - (1.0 if day < _new_year(since_2000) else 0.0)
        since_2000 = since_2000 + (1.0 if day >= _new_year(since_2000 + 1.0) else 0.0)
        start = _new_year(since_2000)
        length = _new_year(since_2000 + 1.0) - start
        w[_YEAR + i] = 2000.0 + since_2000 + (day - start + w[_PART + i]) / length


@jit_in_order
def _direction_of_sun(n, start, algorithm, micros, w):  # type: ignore[no-untyped-def]
    _split_time(n, start, micros, w)
    if algorithm == 0:
        _almanac(n, w)
    else:
        _grena5(n, w)
    for i in range(n):
        s, c = _sine_cosine(w[_LONGITUDE + i])
        sin_obliquity, cos_obliquity = _sine_cosine(w[_OBLIQUITY + i])
        w[_X + i], w[_Y + i], w[_Z + i] = c, cos_obliquity * s, sin_obliquity * s
    for i in range(n):
        s, c = _sine_cosine(w[_TURNED + i])
        x, y = w[_X + i], w[_Y + i]
        w[_X + i] = x * c + y * s
        w[_Y + i] = y * c - x * s


@jit_in_order
def _almanac(n, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        noon = w[_PART + i] - 0.5
        days = w[_DAY + i] + noon
        whole = w[_DAY + i] - 360.0 * _rounded_down(w[_DAY + i] * (1 / 360.0)) + noon
        mean = 280.451 + whole - 0.0143526 * days
        s, c = _sine_cosine(357.528 + whole - 0.0143997 * days)
        w[_LONGITUDE + i] = mean + 1.915 * s + 0.040 * s * c
        w[_OBLIQUITY + i] = 23.439 - 4e-7 * days
        w[_TURNED + i] = mean + 180.0 + 360.0 * w[_PART + i]


@jit_in_order
def _grena5(n, w):  # type: ignore[no-untyped-def]
    ahead = 1.1574e-5 * 69.2
    for i in range(n):
        te = w[_DAY + i] - 21915.0 + w[_PART + i] + ahead
        s1, c1 = _sine_cosine(_RADIAN * (0.0172019715 * te))
        s2, c2 = 2.0 * s1 * c1, (c1 + s1) * (c1 - s1)
        s3, c3 = s2 * c1 + c2 * s1, c2 * c1 - s2 * s1
        s, _ = _sine_cosine(_RADIAN * (2.92e-5 * te))
        w[_LONGITUDE + i] = (
            3.33024e-2 * s1 - 2.0582e-3 * c1 + 3.512e-4 * s2 - 4.07e-5 * c2 + 5.2e-6 * s3 - 9e-7 * c3
            - 8.23e-5 * s1 * s
        )  # fmt: skip
    _add_wave(n, 1.27e-5, 1.49e-3, -2.337, ahead, w)
    _add_wave(n, 1.21e-5, 4.31e-3, 3.065, ahead, w)
    _add_wave(n, 2.33e-5, 1.076e-2, -1.533, ahead, w)
    _add_wave(n, 3.49e-5, 1.575e-2, -2.358, ahead, w)
    _add_wave(n, 2.67e-5, 2.152e-2, 0.074, ahead, w)
    _add_wave(n, 1.28e-5, 3.152e-2, 1.547, ahead, w)
    _add_wave(n, 3.14e-5, 2.1277e-1, -0.488, ahead, w)
    for i in range(n):
        t = w[_DAY + i] - 21915.0 + w[_PART + i]
        te = t + ahead
        whole = w[_DAY + i] - 21915.0
        whole = whole - 360.0 * _rounded_down(whole * (1 / 360.0)) + w[_PART + i]
        s, c = _sine_cosine(_RADIAN * (9.282e-4 * te - 0.8))
        shift = 8.34e-5 * s
        longitude = _RADIAN * (1.7527901 + w[_LONGITUDE + i] + shift) + 180.0 + whole + ahead
        w[_LONGITUDE + i] = longitude - 0.014352613448554612499 * te
        w[_OBLIQUITY + i] = _RADIAN * (4.089567e-1 - 6.19e-9 * te + 4.46e-5 * c)
        turned = _RADIAN * (1.7528311 + 0.92 * shift) + whole + 360.0 * w[_PART + i]
        w[_TURNED + i] = turned - 0.014352632848130740522 * t


@jit_in_order
def _add_wave(n, size, rate, phase, ahead, w):  # type: ignore[no-untyped-def]
    for i in range(n):
        te = w[_DAY + i] - 21915.0 + w[_PART + i] + ahead
        s, _ = _sine_cosine(_RADIAN * (rate * te + phase))
        w[_LONGITUDE + i] += size * s


@jit_in_order
def _longitude_of_sun(n, start, algorithm, on_surface, micros, w):  # type: ignore[no-untyped-def]
    _direction_of_sun(n, start, algorithm, micros, w)
    if on_surface:
        for i in range(n):
            w[_X + i] = EARTH_RADIUS * w[_X + i] - w[_DX + i]
            w[_Y + i] = EARTH_RADIUS * w[_Y + i] - w[_DY + i]
            w[_Z + i] = EARTH_RADIUS * w[_Z + i] - w[_DZ + i]
    _dipole_longitude(n, w, w[_OF_SUN:])


@jit_in_order
def _dipole_longitude(n, w, longitudes):  # type: ignore[no-untyped-def]
    for i in range(n):
        x, y, z = w[_X + i], w[_Y + i], w[_Z + i]
        along, aside = w[_COS_POLE + i] * x + w[_SIN_POLE + i] * y, w[_COS_POLE + i] * y - w[_SIN_POLE + i] * x
        along = w[_COS_COL + i] * along - w[_SIN_COL + i] * z
        longitudes[i] = _arc_tangent(aside, along, np.sqrt(aside * aside + along * along))
