"""What ecgkern.geomag is compared with: the same work as a user would do it today, and the limits of the machine.

The formulas stand here once, for any library of arrays `xp` (NumPy, torch) and precision; in long double they are the
truth. Angles in degrees, lengths in km, fields in nT, times UTC.
"""

import functools
import itertools
import math
import os
import shutil
import tempfile

import numpy as np

from ecgkern import get_num_threads

RADIUS = 6371.2
SEMIMAJOR, E2 = 6378.137, 0.00669437999014  # WGS84
# Definitive coefficients (DGRF) in nT, the same in IGRF-13 and -14.
YEARS = (1995, 2000, 2005, 2010, 2015)
DGRF = {
    "g10": (-29692, -29619.4, -29554.63, -29496.57, -29441.46),
    "g11": (-1784, -1728.2, -1669.05, -1586.42, -1501.77),
    "h11": (5306, 5186.1, 5077.99, 4944.26, 4795.99),
    "g20": (-2200, -2267.7, -2337.24, -2396.06, -2445.88),
    "g21": (3070, 3068.4, 3047.69, 3026.34, 3012.20),
    "h21": (-2366, -2481.6, -2594.50, -2708.54, -2845.41),
    "g22": (1681, 1670.9, 1657.76, 1668.17, 1676.35),
    "h22": (-413, -458.0, -515.43, -575.73, -642.17),
}
J2000 = np.datetime64("2000-01-01T12:00")
J2060 = np.datetime64("2060-01-01T00:00")
DAY = np.timedelta64(1, "D")


# ---- the dipoles -----------------------------------------------------------------------------------------------------


def dipole(epoch):
    """Reduced moment, rotation from GEO to the dipole axes (rows) and offset at a decimal year or an array of them."""
    g10, g11, h11, g20, g21, h21, g22, h22 = (np.interp(epoch, YEARS, values) for values in DGRF.values())
    b0 = np.sqrt(g10**2 + g11**2 + h11**2)
    equatorial = np.hypot(g11, h11)
    ct, st, cl, sl = -g10 / b0, equatorial / b0, -g11 / equatorial, -h11 / equatorial
    rotation = (ct * cl, ct * sl, -st), (-sl, cl, 0.0), (st * cl, st * sl, ct)
    root = math.sqrt(3)
    l0 = 2 * g10 * g20 + root * (g11 * g21 + h11 * h21)
    l1 = -g11 * g20 + root * (g10 * g21 + g11 * g22 + h11 * h22)
    l2 = -h11 * g20 + root * (g10 * h21 - h11 * g22 + g11 * h22)
    e = (l0 * g10 + l1 * g11 + l2 * h11) / (4 * b0**2)
    scale = RADIUS / (3 * b0**2)
    return b0, rotation, (scale * (l1 - g11 * e), scale * (l2 - h11 * e), scale * (l0 - g10 * e))


def decimal_year(times):
    year = times.astype("M8[Y]")
    start, end = year.astype(times.dtype), (year + 1).astype(times.dtype)
    return 1970 + year.astype(int) + (times - start) / (end - start)


# ---- positions and fields --------------------------------------------------------------------------------------------


def rotate(rotation, v):
    x, y, z = v
    return [a * x + b * y + c * z for a, b, c in rotation]


def angles(x, y, z, xp):
    return xp.rad2deg(xp.atan2(z, xp.sqrt(x * x + y * y))), xp.rad2deg(xp.atan2(y, x))


def geocentric_to_cd(lat, lon, rotation, xp=np):
    lat, lon = xp.deg2rad(lat), xp.deg2rad(lon)
    v = xp.cos(lat) * xp.cos(lon), xp.cos(lat) * xp.sin(lon), xp.sin(lat)
    return angles(*rotate(rotation, v), xp)


def geodetic_to_xyz(sin_lat, cos_lat, sin_lon, cos_lon, alt, xp):
    n = SEMIMAJOR / xp.sqrt(1 - E2 * sin_lat * sin_lat)
    return (n + alt) * cos_lat * cos_lon, (n + alt) * cos_lat * sin_lon, (n * (1 - E2) + alt) * sin_lat


def geodetic_to_cd(lat, lon, alt, rotation, xp=np):
    lat, lon = xp.deg2rad(lat), xp.deg2rad(lon)
    v = geodetic_to_xyz(xp.sin(lat), xp.cos(lat), xp.sin(lon), xp.cos(lon), alt, xp)
    return angles(*rotate(rotation, v), xp)


def ed_and_field(lat, lon, alt, b0, rotation, offset, xp=np):
    """Geodetic positions in ED coordinates, then the seven elements of the field there."""
    lat, lon = xp.deg2rad(lat), xp.deg2rad(lon)
    sin_lat, cos_lat, sin_lon, cos_lon = xp.sin(lat), xp.cos(lat), xp.sin(lon), xp.cos(lon)
    v = geodetic_to_xyz(sin_lat, cos_lat, sin_lon, cos_lon, alt, xp)
    v = [component - shift for component, shift in zip(v, offset, strict=True)]
    x, y, z = rotate(rotation, v)
    r2 = x * x + y * y + z * z
    r = xp.sqrt(r2)
    strength, along = b0 * (RADIUS / r) ** 3, 3 * z / r2
    bx, by, bz = (strength * (m - along * component) for m, component in zip(rotation[2], v, strict=True))
    outward = cos_lon * bx + sin_lon * by
    north, east, down = cos_lat * bz - sin_lat * outward, cos_lon * by - sin_lon * bx, -cos_lat * outward - sin_lat * bz
    horizontal2 = north * north + east * east
    horizontal, total = xp.sqrt(horizontal2), xp.sqrt(horizontal2 + down * down)
    declination, inclination = xp.rad2deg(xp.atan2(east, north)), xp.rad2deg(xp.atan2(down, horizontal))
    return *angles(x, y, z, xp), r, north, east, down, horizontal, total, declination, inclination


# ---- the Sun and local time ------------------------------------------------------------------------------------------


def almanac(times):
    """Subsolar latitude and longitude by the Astronomical Almanac for 1996, page C24."""
    days = (times - J2000) / DAY
    mean_longitude, anomaly = 280.451 + 0.9856474 * days, np.deg2rad(357.528 + 0.9856003 * days)
    longitude = np.deg2rad(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.deg2rad(23.439 - 4e-7 * days)
    ascension = np.rad2deg(np.atan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude)))
    turned = 360 * ((times - times.astype("M8[D]")) / DAY)
    lat = np.rad2deg(np.asin(np.sin(obliquity) * np.sin(longitude)))
    return lat, wrapped(ascension - mean_longitude + 180 - turned)


def grena5(times):
    """The same by algorithm 5 of Grena, Solar Energy 86 (2012) 1323, with TT - UT = 69.2 s."""
    days = (times - J2060) / DAY
    t = days + 1.1574e-5 * 69.2
    w = 0.0172019715 * t
    s1, c1 = np.sin(w), np.cos(w)
    s2, c2 = 2 * s1 * c1, (c1 + s1) * (c1 - s1)
    s3, c3 = s2 * c1 + c2 * s1, c2 * c1 - s2 * s1
    longitude = 1.7527901 + 1.7202792159e-2 * t + 3.33024e-2 * s1 - 2.0582e-3 * c1 + 3.512e-4 * s2 - 4.07e-5 * c2
    longitude += 5.2e-6 * s3 - 9e-7 * c3 - 8.23e-5 * s1 * np.sin(2.92e-5 * t)
    for amplitude, rate, phase in (
        (1.27e-5, 1.49e-3, -2.337),
        (1.21e-5, 4.31e-3, 3.065),
        (2.33e-5, 1.076e-2, -1.533),
        (3.49e-5, 1.575e-2, -2.358),
        (2.67e-5, 2.152e-2, 0.074),
        (1.28e-5, 3.152e-2, 1.547),
        (3.14e-5, 2.1277e-1, -0.488),
    ):
        longitude += amplitude * np.sin(rate * t + phase)
    node = 9.282e-4 * t - 0.8
    nutation = 8.34e-5 * np.sin(node)
    longitude += np.pi + nutation
    obliquity = 4.089567e-1 - 6.19e-9 * t + 4.46e-5 * np.cos(node)
    ascension = np.atan2(np.sin(longitude) * np.cos(obliquity), np.cos(longitude))
    # 6.300388099 a day, the turn apart: whole turns would cost digits.
    turned = 1.7528311 + 2 * np.pi * ((times - times.astype("M8[D]")) / DAY) + 0.017202791820413523 * days
    lon = np.rad2deg(ascension - turned - 0.92 * nutation)
    return np.rad2deg(np.asin(np.sin(longitude) * np.sin(obliquity))), wrapped(lon)


SUN = {"almanac": almanac, "grena5": grena5}


def wrapped(degrees):
    return (degrees + 180) % 360 - 180


def noon(times, rotation):
    """Dipole longitude of the Sun as a direction."""
    return geocentric_to_cd(*almanac(times), rotation)[1]


def ed_field_and_time(lat, lon, alt, times):
    """ed_and_field at the epoch of each point, and the magnetic local time there."""
    b0, rotation, offset = dipole(decimal_year(times))
    found = ed_and_field(lat, lon, alt, b0, rotation, offset)
    return *found, ((found[1] - noon(times, rotation)) / 15 + 12) % 24


def local_times(lat, lon, times):
    """Magnetic local time (CD) of geodetic points of shape (m,) at times of shape (n, 1)."""
    _, rotation, _ = dipole(decimal_year(times))
    lat, lon = np.deg2rad(lat), np.deg2rad(lon)
    v = geodetic_to_xyz(np.sin(lat), np.cos(lat), np.sin(lon), np.cos(lon), 0.0, np)
    x, y = (np.hstack(np.broadcast_arrays(*row)) @ np.stack(v) for row in rotation[:2])
    return ((np.rad2deg(np.atan2(y, x)) - noon(times, rotation)) / 15 + 12) % 24


# ---- other ways to run them ------------------------------------------------------------------------------------------


def in_blocks(function, *arrays, size=8192):
    """Fewer trips to the memory: some points at a time, so that what is between stays in the cache."""
    results = None
    for start in range(0, len(arrays[0]), size):
        some = slice(start, start + size)
        found = function(*(array[some] for array in arrays))
        if results is None:
            results = np.empty((len(found), len(arrays[0])))
        for result, values in zip(results, found, strict=True):
            result[some] = values
    return results


def one_by_one(function, *arrays):
    """One point at a time, as numbers of Python."""
    return np.transpose([function(*point) for point in zip(*(array.tolist() for array in arrays), strict=True)])


def by_torch(function, *arrays):
    """function(*tensors, xp=torch), on as many threads as the kernels use."""
    import torch

    torch.set_num_threads(get_num_threads())
    return [tensor.numpy() for tensor in function(*map(torch.from_numpy, arrays), xp=torch)]


@functools.cache
def compiled(function):
    """The function as one loop of C++, written by torch."""
    import torch

    if not shutil.which(os.environ.get("CXX", "g++")):
        raise ModuleNotFoundError("torch.compile needs a C++ compiler")
    return torch.compile(function, dynamic=False)


def by_torch_compiled(function, *arrays):
    return by_torch(compiled(function), *arrays)


def geocentric_to_cd_math(lat, lon, rotation):
    """One point, with the functions of Python's math."""
    lat, lon = math.radians(lat), math.radians(lon)
    v = math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
    x, y, z = rotate(rotation, v)
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


# ---- other people's libraries ----------------------------------------------------------------------------------------


def geodetic_to_cd_magcoordpy(lat, lon, alt, year):
    """Rounds to 0.01 degrees."""
    from magcoordpy.coord_transforms import geodetic2cd

    return geodetic2cd(lat, lon, alt, year=year)[:2]


def local_times_magcoordpy(lat, lon, times):
    """Takes one time a call, and the dipole of 2021 for the Sun."""
    from magcoordpy.coord_transforms import geodetic2cd, mlon2mlt

    _, cd_lon, _ = geodetic2cd(lat, lon, np.zeros(len(lat)))
    return np.array([mlon2mlt(cd_lon, time) for time in times.ravel().tolist()])


def almanac_magcoordpy(times):
    """Drops microseconds."""
    from magcoordpy.helpers import subsol

    return subsol(times)


@functools.cache
def _spacepy_folder():
    """An empty folder, which goes when Python ends, for what SpacePy writes to the home folder at import."""
    folder = tempfile.TemporaryDirectory()
    os.environ["SPACEPY"] = folder.name
    return folder


def geocentric_to_cd_ctrans(lat, lon, time):
    """SpacePy's rotation for one time; angles by NumPy."""
    _spacepy_folder()
    from spacepy.ctrans import CTrans

    lat, lon = np.deg2rad(lat), np.deg2rad(lon)
    v = np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
    frames = CTrans(time)
    frames.calcCoreTransforms()
    frames.calcMagTransforms()
    return angles(*frames.convert(v, "GEO", "CDMAG").T, np)


def geocentric_to_cd_coords(lat, lon, time):
    """SpacePy's positions, angles in and angles out, which it converts point by point."""
    _spacepy_folder()
    from spacepy.coordinates import Coords
    from spacepy.time import Ticktock

    positions = np.column_stack((np.ones(len(lat)), lat, lon))
    geo = Coords(positions, "GEO", "sph", use_irbem=False, ticks=Ticktock([time] * len(lat)))
    return geo.convert("CDMAG", "sph").data[:, 1:].T


# ---- the limits of the machine ---------------------------------------------------------------------------------------


def copy(inputs, n_results, n):
    """The floor: every input read and every result of n values written once, by as many threads.

    The results are there beforehand, which takes their first touch out of it.
    """
    import torch

    inputs = [torch.from_numpy(values.view(np.int64)) for values in inputs]
    results = torch.zeros(n_results, n, dtype=torch.int64).unbind()

    def run():
        torch.set_num_threads(get_num_threads())
        for result, values in itertools.zip_longest(results, inputs):
            if result is None:
                values.sum()
            elif values is None or len(values) < n:
                result.fill_(0)
            else:
                result.copy_(values)

    return run
