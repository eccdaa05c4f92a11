"""The geomag kernels in NumPy: the specification that the other backends are tested against.

A position travels as the cartesian vector v in Earth-fixed axes; every coordinate system is a way to it and a way back.
Angles are reduced in degrees, where multiples of 90 are exact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern.geomag._dipole import parameters
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
from ecgkern.geomag._model import interpolate
from ecgkern.geomag._points import (
    BY_YEARS,
    CD,
    CD_RAY,
    ED,
    ED_RAY,
    ED_XYZ,
    FIXED,
    GEO_XYZ,
    GEOCENTRIC,
    GEODETIC,
    Coefficients,
    half_open,
)
from ecgkern.geomag._time import years_of

Floats = NDArray[np.float64]
Vector = tuple[Any, ...]

PIECE = 1024  # points at a time, so that all temporaries together stay below 1 MB

_DAY = 86_400_000_000  # microseconds


def convert(
    source: int, target: int, coefficients: Coefficients, a: Floats, b: Floats, c: Floats, epoch: NDArray[Any],
    p: Floats, q: Floats, r: Floats,
) -> None:  # fmt: skip
    """Write positions of one form in another; `ecgkern.geomag._points` numbers the forms."""
    _, rotation, offset = _dipole(coefficients, epoch)
    v = _to_cartesian(source, target, rotation, offset, a, b, c)
    p[:], q[:], r[:] = _from_cartesian(target, rotation, offset, v)


def field(
    eccentric: bool, geodetic: bool, coefficients: Coefficients, lat: Floats, lon: Floats, alt: Floats,
    epoch: NDArray[Any], north: Floats, east: Floats, down: Floats, horizontal: Floats, total: Floats,
    declination: Floats, inclination: Floats,
) -> None:  # fmt: skip
    """Write the elements of the field of a dipole."""
    b0, rotation, offset = _dipole(coefficients, epoch)
    v = _geographic(geodetic, lat, lon, alt)
    x, y, z = (component - d for component, d in zip(v, offset, strict=True)) if eccentric else v
    mx, my, mz = rotation[2]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        distance = np.sqrt(x * x + y * y + z * z)
        x, y, z = x / distance, y / distance, z / distance
        strength = b0 * (EARTH_RADIUS / distance) ** 3
        along = 3 * (mx * x + my * y + mz * z)
        bx, by, bz = strength * (mx - along * x), strength * (my - along * y), strength * (mz - along * z)
    sin_lat, cos_lat = _sincos(lat)
    sin_lon, cos_lon = _sincos(lon)
    outward = cos_lon * bx + sin_lon * by
    north[:] = cos_lat * bz - sin_lat * outward
    east[:] = cos_lon * by - sin_lon * bx
    down[:] = -(cos_lat * outward + sin_lat * bz)
    horizontal[:] = np.sqrt(north * north + east * east)
    total[:] = np.sqrt(horizontal * horizontal + down * down)
    declination[:] = half_open(_atan2(east, north))
    inclination[:] = _atan2(down, horizontal)


def subsolar(algorithm: int, time: NDArray[np.int64], lat: Floats, lon: Floats) -> None:
    """Write the subsolar point."""
    lat[:], lon[:], _ = _spherical(_sun(algorithm, time))


def tilt(
    algorithm: int, coefficients: Coefficients, time: NDArray[np.int64], epoch: NDArray[Any], tilts: Floats
) -> None:
    """Write the tilt of the dipole."""
    _, rotation, _ = _dipole(coefficients, epoch if coefficients.by == BY_YEARS else time)
    tilts[:], _, _ = _spherical(_turned(rotation, _sun(algorithm, time)))


def local_time(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, lat: Floats,
    lon: Floats, alt: Floats, time: NDArray[np.int64], epoch: NDArray[Any], hours: Floats,
) -> None:  # fmt: skip
    """Write the magnetic local time of positions at times."""
    _, rotation, offset = _dipole(coefficients, epoch if coefficients.by == BY_YEARS else time)
    position = _from_cartesian(_SPHERE[eccentric], rotation, offset, _geographic(geodetic, lat, lon, alt))
    sun = _sun(algorithm, time)
    if surface:
        sun = tuple(EARTH_RADIUS * component for component in sun)
    of_sun = _from_cartesian(_SPHERE[eccentric and surface], rotation, offset, sun)
    hours[:] = hours_from(position[1] - of_sun[1])


def local_time_outer(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, points_inner: bool,
    lat: Floats, lon: Floats, alt: Floats, time: NDArray[np.int64], hours: Floats,
) -> None:  # fmt: skip
    """Write the magnetic local time of every position at every time, (times, points) if points_inner."""
    flags, no_epoch = (eccentric, surface, geodetic, algorithm, coefficients), np.zeros(1)
    if points_inner:
        for i in range(time.size):
            local_time(*flags, lat, lon, alt, time[i : i + 1], no_epoch, hours[i])
    else:
        for i in range(lat.size):
            local_time(*flags, lat[i : i + 1], lon[i : i + 1], alt[i : i + 1], time, no_epoch, hours[i])


# ---- forms of a position ---------------------------------------------------------------------------------------------

_SPHERE = (CD, ED)


def _to_cartesian(source: int, target: int, rotation: Any, offset: Vector, a: Floats, b: Floats, c: Floats) -> Vector:
    if source in (GEODETIC, GEOCENTRIC):
        return _geographic(source == GEODETIC, a, b, c)
    if source == GEO_XYZ:
        return a, b, c
    spherical = source in (CD, ED)
    ray = source in (CD_RAY, ED_RAY)
    u = _sphere(a, b, c if spherical else np.ones(1)) if spherical or ray else (a, b, c)
    v = tuple(sum(rotation[i][j] * u[i] for i in range(3)) for j in range(3))
    centre = offset if source in (ED, ED_XYZ, ED_RAY) else (0.0, 0.0, 0.0)
    if ray:
        return _surface(target == GEODETIC, centre, v, c)
    return tuple(component + d for component, d in zip(v, centre, strict=True))


def _from_cartesian(target: int, rotation: Any, offset: Vector, v: Vector) -> Vector:
    if target == GEODETIC:
        return _geodetic(*v)
    if target == GEOCENTRIC:
        lat, lon, r = _spherical(v)
        return lat, lon, r - EARTH_RADIUS
    if target == GEO_XYZ:
        return v
    if target in (ED, ED_XYZ):
        v = tuple(component - d for component, d in zip(v, offset, strict=True))
    u = _turned(rotation, v)
    return _spherical(u) if target in (CD, ED) else u


def _turned(rotation: Any, v: Vector) -> Vector:
    return tuple(sum(rotation[i][j] * v[j] for j in range(3)) for i in range(3))


def _geographic(geodetic: bool, lat: Floats, lon: Floats, alt: Floats) -> Vector:
    if not geodetic:
        return _sphere(lat, lon, EARTH_RADIUS + alt)
    sin_lat, cos_lat = _sincos(lat)
    sin_lon, cos_lon = _sincos(lon)
    normal = WGS84_A / np.sqrt(1 - ECCENTRICITY2 * sin_lat * sin_lat)
    across = (normal + alt) * cos_lat
    return across * cos_lon, across * sin_lon, (normal * (1 - ECCENTRICITY2) + alt) * sin_lat


def _sphere(lat: Floats, lon: Floats, r: Floats) -> Vector:
    sin_lat, cos_lat = _sincos(lat)
    sin_lon, cos_lon = _sincos(lon)
    return r * cos_lat * cos_lon, r * cos_lat * sin_lon, r * sin_lat


def _spherical(v: Vector) -> Vector:
    x, y, z = v
    across = np.sqrt(x * x + y * y)
    return _atan2(z, across), half_open(_atan2(y, x)), np.sqrt(across * across + z * z)


def _geodetic(x: Floats, y: Floats, z: Floats) -> Vector:
    """Bowring's iteration: the latitude from the parametric latitude, starting at the geocentric one."""
    across = np.sqrt(x * x + y * y)
    sin_lat, cos_lat = _normal_of(across, z)
    alt = across * cos_lat + z * sin_lat - WGS84_A * np.sqrt(1 - ECCENTRICITY2 * sin_lat * sin_lat)
    return _atan2(sin_lat, cos_lat), half_open(_atan2(y, x)), alt


def _normal_of(across: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Return sine and cosine of the geodetic latitude; NaN near the centre, where there is none."""
    sine, cosine = z, AXIS_RATIO * across
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(GEODETIC_STEPS):
            length = np.sqrt(sine * sine + cosine * cosine)
            sine, cosine = sine / length, cosine / length  # of the parametric latitude
            up = z + ECCENTRICITY2 / AXIS_RATIO * WGS84_A * sine**3
            out = across - ECCENTRICITY2 * WGS84_A * cosine**3
            sine, cosine = AXIS_RATIO * up, out
        length = np.sqrt(up * up + out * out)
        length = np.where(across * across + z * z >= NEAREST**2, length, np.nan)
        return up / length, out / length


def _surface(geodetic: bool, centre: Any, u: Vector, alt: Floats) -> Vector:
    """Return where the ray from a centre in the direction u comes to an altitude."""
    wide = (WGS84_A if geodetic else EARTH_RADIUS) + alt
    high = (WGS84_A * AXIS_RATIO if geodetic else EARTH_RADIUS) + alt
    with np.errstate(divide="ignore"):
        scale = (1 / wide, 1 / wide, 1 / high)  # to the unit sphere
    d = [s * component for s, component in zip(scale, centre, strict=True)]
    w = [s * component for s, component in zip(scale, u, strict=True)]
    ww, dw, dd = (sum(i * j for i, j in zip(m, n, strict=True)) for m, n in ((w, w), (d, w), (d, d)))
    with np.errstate(invalid="ignore"):
        t = (np.sqrt(dw * dw - ww * (dd - 1)) - dw) / ww
        t = np.where(t >= 0, t, np.nan)
    for _ in range(RAY_STEPS if geodetic else 0):  # the surface of equal height is not quite an ellipsoid
        x, y, z = (component + t * direction for component, direction in zip(centre, u, strict=True))
        across = np.sqrt(x * x + y * y)
        sin_lat, cos_lat = _normal_of(across, z)
        height = across * cos_lat + z * sin_lat - WGS84_A * np.sqrt(1 - ECCENTRICITY2 * sin_lat * sin_lat)
        with np.errstate(divide="ignore", invalid="ignore"):
            outward = np.where(across > 0, (x * u[0] + y * u[1]) / across, np.sqrt(u[0] ** 2 + u[1] ** 2))
            step = (alt - height) / (outward * cos_lat + u[2] * sin_lat)
        t = t + step
    if geodetic:
        t = np.where(np.abs(step) <= RAY_TOLERANCE, t, np.nan)
    return tuple(component + t * direction for component, direction in zip(centre, u, strict=True))


# ---- epochs and the Sun ----------------------------------------------------------------------------------------------


def _dipole(coefficients: Coefficients, epoch: NDArray[Any]) -> tuple[Floats, list[list[Floats]], Vector]:
    """Return B0, the rows of the rotation, and the offset in km."""
    rows = coefficients.rows
    if coefficients.by != FIXED:
        years = epoch if coefficients.by == BY_YEARS else years_of(epoch.view("M8[us]"))
        rows = interpolate(rows, coefficients.first, coefficients.step, coefficients.rule, years)
    b0, rotation, delta = parameters(rows)
    return (
        b0,
        [[rotation[..., i, j] for j in range(3)] for i in range(3)],
        tuple(EARTH_RADIUS * delta[..., i] for i in range(3)),
    )


def _sun(algorithm: int, time: NDArray[np.int64]) -> Vector:
    """Return the direction to the Sun in Earth-fixed axes."""
    missing = time == np.iinfo(np.int64).min
    day = np.where(missing, np.nan, time // _DAY - 10_957)  # 10957 days from 1970 to 2000
    part = (time % _DAY) / _DAY
    longitude, obliquity, turned = (_almanac, _grena5)[algorithm](day, part)
    sin_longitude, cos_longitude = _sincos(longitude)
    sin_obliquity, cos_obliquity = _sincos(obliquity)
    sin_turned, cos_turned = _sincos(turned)
    x, y, z = cos_longitude, cos_obliquity * sin_longitude, sin_obliquity * sin_longitude
    return x * cos_turned + y * sin_turned, y * cos_turned - x * sin_turned, z


def _almanac(day: Floats, part: Floats) -> Vector:
    """Return ecliptic longitude of the Sun, obliquity and rotation of the Earth in degrees.

    `day` counts midnights from 2000-01-01. The almanac counts from the noon of that day; whole turns are taken out of
    the rates, a degree a day, before they cost digits.
    """
    n = day + (part - 0.5)
    whole = day % 360 + (part - 0.5)
    mean = 280.451 + whole - 0.0143526 * n
    anomaly = 357.528 + whole - 0.0143997 * n
    sine, cosine = _sincos(anomaly)
    longitude = mean + 1.915 * sine + 0.040 * sine * cosine
    return longitude, 23.439 - 4e-7 * n, mean + 180 + 360 * part


def _grena5(day: Floats, part: Floats) -> Vector:
    """Return ecliptic longitude of the Sun, obliquity and rotation of the Earth in degrees.

    Grena counts days t from 2060, with terrestrial time 69.2 s ahead, and writes radians. As above, the whole turns of
    rates close to a degree a day, or to a turn a day, are taken out.
    """
    ahead = 1.1574e-5 * 69.2
    t = day - 21_915 + part
    te = t + ahead
    whole = (day - 21_915) % 360 + part
    s1, c1 = np.sin(0.0172019715 * te), np.cos(0.0172019715 * te)
    s2, c2 = 2 * s1 * c1, (c1 + s1) * (c1 - s1)
    s3, c3 = s2 * c1 + c2 * s1, c2 * c1 - s2 * s1
    waves = (
        3.33024e-2 * s1 - 2.0582e-3 * c1 + 3.512e-4 * s2 - 4.07e-5 * c2 + 5.2e-6 * s3 - 9e-7 * c3
        - 8.23e-5 * s1 * np.sin(2.92e-5 * te)
        + sum(size * np.sin(rate * te + phase) for size, rate, phase in _GRENA5_WAVES)
    )  # fmt: skip
    nutation = 9.282e-4 * te - 0.8
    shift = 8.34e-5 * np.sin(nutation)
    obliquity = np.degrees(4.089567e-1 - 6.19e-9 * te + 4.46e-5 * np.cos(nutation))
    # 1.7202792159e-2 and 6.300388099 radians a day, less a degree a day and less a degree and a turn a day.
    longitude = np.degrees(1.7527901 + waves + shift) + 180 + whole + ahead - 0.014352613448554612 * te
    turned = np.degrees(1.7528311 + 0.92 * shift) + whole + 360 * part - 0.014352632848130741 * t
    return longitude, obliquity, turned


# rad, rad/day, rad
_GRENA5_WAVES = (
    (1.27e-5, 1.49e-3, -2.337),
    (1.21e-5, 4.31e-3, 3.065),
    (2.33e-5, 1.076e-2, -1.533),
    (3.49e-5, 1.575e-2, -2.358),
    (2.67e-5, 2.152e-2, 0.074),
    (1.28e-5, 3.152e-2, 1.547),
    (3.14e-5, 2.1277e-1, -0.488),
)


def hours_from(difference: Floats) -> Floats:
    """Return 12 + difference/15 in [0, 24)."""
    hours = np.mod(12 + difference / 15, 24)
    return np.where(hours >= 24, 0.0, hours)


# ---- angles in degrees -----------------------------------------------------------------------------------------------


def _sincos(degrees: Floats) -> tuple[Floats, Floats]:
    """Return sine and cosine, exact at multiples of 90 degrees."""
    quarter = np.rint(degrees / 90)
    rest = np.radians(degrees - 90 * quarter)
    sine, cosine = np.sin(rest), np.cos(rest)
    turn = np.mod(quarter, 4)
    odd = np.mod(quarter, 2) == 1
    sine, cosine = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    return np.where(turn >= 2, -sine, sine) + 0.0, np.where((turn == 1) | (turn == 2), -cosine, cosine) + 0.0


def _atan2(y: Floats, x: Floats) -> Floats:
    result: Floats = np.degrees(np.arctan2(y + 0.0, x + 0.0))  # zeros without a sign
    return result
