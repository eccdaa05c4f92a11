"""The dipole approximations of the geomagnetic field at 40 digits, point by point, to test the kernels against.

The formulas are those of the textbooks (Schmidt 1934, Bartels 1936, Fraser-Smith 1987, Laundal & Richmond 2017), taken
another way than the kernels take wherever there is one: the axes from cross products, the field from its spherical
components, the geodetic latitude and the heights along a ray from Newton's method, the dates from integers.
"""

from fractions import Fraction
from typing import NamedTuple

import mpmath

mp = mpmath.mp.clone()  # a context of our own: the digits of anybody else's mpmath stay what they are
mp.dps = 40

EARTH_RADIUS = mp.mpf("6371.2")
EQUATORIAL_RADIUS = mp.mpf("6378.137")  # WGS84
ECCENTRICITY2 = mp.mpf("0.00669437999014")
DAY = 86_400_000_000_000  # ns
J2000 = 10957 * DAY + DAY // 2  # 2000-01-01T12:00 in ns since 1970


class Dipole(NamedTuple):
    """Reduced moment in nT, the axes of the dipole frame in GEO, and the eccentric centre in km."""

    b0: object
    axes: tuple
    offset: tuple


def dot(a, b):
    return mp.fsum(x * y for x, y in zip(a, b, strict=True))


def cross(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def unit(a):
    length = mp.sqrt(dot(a, a))
    return tuple(x / length for x in a)


def degrees(latitude, longitude):
    longitude = mp.degrees(longitude)
    return mp.degrees(latitude), longitude + 360 if longitude <= -180 else longitude


def direction(lat, lon):
    lat, lon = mp.radians(mp.mpf(lat)), mp.radians(mp.mpf(lon))
    return (mp.cos(lat) * mp.cos(lon), mp.cos(lat) * mp.sin(lon), mp.sin(lat))


def spherical(v):
    """Latitude and longitude in degrees, and the distance."""
    return *degrees(mp.atan2(v[2], mp.hypot(v[0], v[1])), mp.atan2(v[1], v[0])), mp.sqrt(dot(v, v))


# --- the dipole -------------------------------------------------------------------------------------------------------


def coefficients_at(years, table, epoch):
    """Each coefficient on the straight line between the nodes around the epoch; beyond the ends, on the last line."""
    epoch = mp.mpf(epoch)
    last = max(1, sum(1 for year in years[:-1] if mp.mpf(year) <= epoch))
    start, stop = mp.mpf(years[last - 1]), mp.mpf(years[last])
    share = (epoch - start) / (stop - start)
    return [mp.mpf(a) + share * (mp.mpf(b) - mp.mpf(a)) for a, b in zip(table[last - 1], table[last], strict=True)]


def dipole(coefficients):
    g10, g11, h11, g20, g21, h21, g22, h22 = map(mp.mpf, coefficients)
    root3 = mp.sqrt(3)
    b02 = g10**2 + g11**2 + h11**2
    north = unit((-g11, -h11, -g10))
    east = (mp.mpf(0), mp.mpf(1), mp.mpf(0)) if g11 == h11 == 0 else unit(cross((0, 0, 1), north))
    l0 = 2 * g10 * g20 + root3 * (g11 * g21 + h11 * h21)
    l1 = -g11 * g20 + root3 * (g10 * g21 + g11 * g22 + h11 * h22)
    l2 = -h11 * g20 + root3 * (g10 * h21 - h11 * g22 + g11 * h22)
    e = (l0 * g10 + l1 * g11 + l2 * h11) / (4 * b02)
    offset = tuple(
        EARTH_RADIUS * (term - g * e) / (3 * b02) for term, g in zip((l1, l2, l0), (g11, h11, g10), strict=True)
    )
    return Dipole(mp.sqrt(b02), (cross(east, north), east, north), offset)


def into(v, frame, kind):
    """GEO to the dipole frame, km."""
    moved = [x - d for x, d in zip(v, frame.offset, strict=True)] if kind == "ed" else v
    return tuple(dot(axis, moved) for axis in frame.axes)


def out_of(u, frame, kind):
    """The dipole frame to GEO, km."""
    turned = [mp.fsum(u[k] * frame.axes[k][i] for k in range(3)) for i in range(3)]
    return tuple(x + d for x, d in zip(turned, frame.offset, strict=True)) if kind == "ed" else tuple(turned)


def dipole_poles(frame):
    """Geocentric latitude and longitude of both axial and both dip poles of the eccentric dipole: n, s, n, s."""
    along = [dot(axis, frame.offset) / EARTH_RADIUS for axis in frame.axes]
    across = mp.hypot(along[0], along[1])
    height = mp.sqrt(1 - across**2)
    found = [(along[0], along[1], height), (along[0], along[1], -height)]
    away = unit((along[0], along[1], mp.mpf(0)))  # the dip poles lie in the plane of the axis and the Earth's centre

    def sideways(angle):
        """The field across the radius at this angle from the axis, in that plane."""
        x, z = mp.sin(angle) - across, mp.cos(angle) - along[2]
        r2 = x**2 + z**2
        bx, bz = -3 * z * x, r2 - 3 * z * z
        return bx * mp.cos(angle) - bz * mp.sin(angle)

    for start in (mp.asin(across), mp.pi - mp.asin(across)):
        angle = mp.findroot(sideways, start)
        found.append((away[0] * mp.sin(angle), away[1] * mp.sin(angle), mp.cos(angle)))
    return [spherical(out_of(u, frame, "cd"))[:2] for u in found]


# --- the Earth --------------------------------------------------------------------------------------------------------


def cartesian(lat, lon, alt, coords):
    up = direction(lat, lon)
    alt = mp.mpf(alt)
    if coords == "geocentric":
        return tuple((EARTH_RADIUS + alt) * x for x in up)
    normal = EQUATORIAL_RADIUS / mp.sqrt(1 - ECCENTRICITY2 * up[2] ** 2)
    return ((normal + alt) * up[0], (normal + alt) * up[1], (normal * (1 - ECCENTRICITY2) + alt) * up[2])


def geographic(v, coords):
    lat, lon, r = spherical(v)
    if coords == "geocentric":
        return lat, lon, r - EARTH_RADIUS
    p, z = mp.hypot(v[0], v[1]), v[2]
    a, e2 = EQUATORIAL_RADIUS, ECCENTRICITY2
    angle = mp.atan2(z, p * (1 - e2 * a / r))
    for _ in range(60):  # Newton: the normal through (p, z) meets the ellipsoid at this latitude
        sine, cosine = mp.sin(angle), mp.cos(angle)
        root = mp.sqrt(1 - e2 * sine**2)
        miss = p * sine - z * cosine - a * e2 * sine * cosine / root
        slope = p * cosine + z * sine - a * e2 * (cosine**2 - sine**2 + e2 * sine**4) / root**3
        step = miss / slope
        angle -= step
        if abs(step) < mp.mpf(10) ** -36:
            break
    else:
        raise ArithmeticError(f"no geodetic latitude for {v}")
    return mp.degrees(angle), lon, p * mp.cos(angle) + z * mp.sin(angle) - a * mp.sqrt(1 - e2 * mp.sin(angle) ** 2)


def along_ray(lat, lon, alt, frame, kind, coords):
    """Where the ray (lat, lon) from the centre of the dipole frame reaches the height alt, from outside inwards."""
    ray = direction(lat, lon)
    alt = mp.mpf(alt)
    t = 2 * (EARTH_RADIUS + alt)
    for _ in range(60):
        place = geographic(out_of([t * x for x in ray], frame, kind), coords)
        step = (place[2] - alt) / dot(direction(place[0], place[1]), out_of(ray, frame, "cd"))
        t -= step
        if abs(step) < mp.mpf(10) ** -32 * (1 + abs(t)):
            return geographic(out_of([t * x for x in ray], frame, kind), coords)
    raise ArithmeticError(f"the ray {lat}, {lon} does not reach {alt} km")


def field(lat, lon, alt, frame, kind, coords):
    """north, east, down, horizontal, total, declination, inclination, from the spherical components of the dipole."""
    u = into(cartesian(lat, lon, alt, coords), frame, kind)
    r, flat = mp.sqrt(dot(u, u)), mp.hypot(u[0], u[1])
    strength = frame.b0 * (EARTH_RADIUS / r) ** 3
    outwards = tuple(x / r for x in u)
    southwards = (u[0] * u[2] / (r * flat), u[1] * u[2] / (r * flat), -flat / r) if flat else (0, 0, 0)
    b_r, b_theta = -2 * strength * u[2] / r, -strength * flat / r
    b = out_of([b_r * x + b_theta * y for x, y in zip(outwards, southwards, strict=True)], frame, "cd")
    eastwards, upwards = direction(0, mp.mpf(lon) + 90), direction(lat, lon)
    north, east, down = dot(b, cross(upwards, eastwards)), dot(b, eastwards), -dot(b, upwards)
    horizontal = mp.hypot(north, east)
    total = mp.hypot(horizontal, down)
    return (
        north,
        east,
        down,
        horizontal,
        total,
        mp.degrees(mp.atan2(east, north)),
        mp.degrees(mp.atan2(down, horizontal)),
    )


# --- time and the Sun -------------------------------------------------------------------------------------------------


def days_before(year):
    """Days from 1970 to the first of January, by the rule of the leap years."""
    y = year - 1
    return 365 * (year - 1970) + (y // 4 - y // 100 + y // 400) - (1969 // 4 - 1969 // 100 + 1969 // 400)


def year_of(ns):
    day = ns // DAY
    year = 1970 + day // 366 - 1
    while days_before(year + 1) <= day:
        year += 1
    return year


def decimal_year(ns):
    """The year and the exact part of it that has gone by, from the ns since 1970."""
    year = year_of(ns)
    start, stop = days_before(year) * DAY, days_before(year + 1) * DAY
    return year + Fraction(ns - start, stop - start)


def exactly(fraction):
    return mp.mpf(fraction.numerator) / fraction.denominator


def subsolar(ns, algorithm):
    """Latitude and longitude where the Sun is overhead, in degrees."""
    ecliptic, obliquity, turned = (almanac if algorithm == "almanac" else grena5)(ns)
    across = mp.cos(obliquity) * mp.sin(ecliptic)
    latitude = mp.asin(mp.sin(obliquity) * mp.sin(ecliptic))
    longitude = mp.degrees(mp.atan2(across, mp.cos(ecliptic)) - turned) % 360
    return mp.degrees(latitude), longitude - 360 if longitude > 180 else longitude


def almanac(ns):
    """Ecliptic longitude of the Sun, obliquity, rotation of the Earth in radians: Astronomical Almanac 1996, p. C24."""
    n = exactly(Fraction(ns - J2000, DAY))
    mean = mp.mpf("280.451") + mp.mpf("0.9856474") * n
    anomaly = mp.radians(mp.mpf("357.528") + mp.mpf("0.9856003") * n)
    ecliptic = mean + mp.mpf("1.915") * mp.sin(anomaly) + mp.mpf("0.020") * mp.sin(2 * anomaly)
    obliquity = mp.mpf("23.439") - mp.mpf("4e-7") * n
    universal_time = exactly(Fraction(24 * (ns % DAY), DAY))  # hours; the mean Sun is opposite at midnight
    return mp.radians(ecliptic), mp.radians(obliquity), mp.radians(mean + 15 * universal_time - 180)


GRENA_FIXED = tuple(map(mp.mpf, ("1.7527901", "1.7202792159e-2", "0.0172019715")))
GRENA_ANNUAL = (("3.33024e-2", "-2.0582e-3"), ("3.512e-4", "-4.07e-5"), ("5.2e-6", "-9e-7"))  # sine, cosine; rad
GRENA_WAVES = (
    *(("1.27e-5", "1.49e-3", "-2.337"), ("1.21e-5", "4.31e-3", "3.065"), ("2.33e-5", "1.076e-2", "-1.533")),
    *(("3.49e-5", "1.575e-2", "-2.358"), ("2.67e-5", "2.152e-2", "0.074"), ("1.28e-5", "3.152e-2", "1.547")),
    ("3.14e-5", "2.1277e-1", "-0.488"),
)  # rad, rad/day, rad


def grena5(ns):
    """The same from algorithm 5 of Grena, Solar Energy 86 (2012) 1323-1337: days since 2060, 69.2 s to terrestrial."""
    t = exactly(Fraction(ns - days_before(2060) * DAY, DAY))
    te = t + mp.mpf("1.1574e-5") * mp.mpf("69.2")
    start, rate, annual = GRENA_FIXED
    longitude = start + rate * te - mp.mpf("8.23e-5") * mp.sin(annual * te) * mp.sin(mp.mpf("2.92e-5") * te)
    for k, (sine, cosine) in enumerate(GRENA_ANNUAL, 1):
        longitude += mp.mpf(sine) * mp.sin(k * annual * te) + mp.mpf(cosine) * mp.cos(k * annual * te)
    for size, speed, phase in GRENA_WAVES:
        longitude += mp.mpf(size) * mp.sin(mp.mpf(speed) * te + mp.mpf(phase))
    node = mp.mpf("9.282e-4") * te - mp.mpf("0.8")
    nutation = mp.mpf("8.34e-5") * mp.sin(node)
    obliquity = mp.mpf("4.089567e-1") - mp.mpf("6.19e-9") * te + mp.mpf("4.46e-5") * mp.cos(node)
    turned = mp.mpf("1.7528311") + mp.mpf("6.300388099") * t + mp.mpf("0.92") * nutation
    return longitude + mp.pi + nutation, obliquity, turned


def hours(longitude_difference):
    return (longitude_difference / 15 + 12) % 24


def apparent_solar_time(lon, ns, algorithm):
    return hours(mp.mpf(lon) - subsolar(ns, algorithm)[1])


def tilt(ns, frame, algorithm):
    return 90 - mp.degrees(mp.acos(dot(frame.axes[2], direction(*subsolar(ns, algorithm)))))


def magnetic_local_time(v, ns, frame, kind, sun, algorithm):
    """From the dipole longitudes of the point and of the Sun, a direction or its subsolar point on the sphere."""
    towards = direction(*subsolar(ns, algorithm))
    overhead = [EARTH_RADIUS * x for x in towards]
    there = into(overhead, frame, kind if sun == "surface" else "cd")
    return hours(spherical(into(v, frame, kind))[1] - spherical(there)[1])
