"""Dipole coordinates, field and local time of 10⁶ points or pairs, float64; the truth is in long double.

Calls make their results themselves, as a user's do, and the peers' as well; what two threads bring is measured on
results made beforehand, as fresh memory is handed out by one thread at a time.
"""

import datetime
import functools
import math

import numpy as np
import peers_geomag as peers
import pytest
from measure import Peer, extra_mb, use_our_threads
from threadpoolctl import threadpool_limits

import ecgkern
from ecgkern.geomag import dipole_field, geo_to_cd, geo_to_ed, magnetic_local_time, subsolar_point

N = 10**6
FEW = 10_000  # points of one call of a slow peer
EPOCH, TIME = 2010.0, datetime.datetime(2010, 1, 1)
B0, ROTATION, OFFSET = (np.array(part).tolist() for part in peers.dipole(EPOCH))  # numbers, which suit torch as well
NANOSECONDS = "nanoseconds per point"


@pytest.fixture(autouse=True)
def one_thread():
    """Also for the peers."""
    before = ecgkern.get_num_threads()
    ecgkern.set_num_threads(1)
    use_our_threads()
    with threadpool_limits(1, user_api="blas"):
        yield
    ecgkern.set_num_threads(before)
    use_our_threads()


@functools.cache
def points(n=N):
    """Latitudes and longitudes all over the sphere, altitudes from 0 to 1000 km, times of twenty years."""
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)
    microseconds = rng.integers(20 * 365 * 86_400 * 10**6, size=n)
    return lat, lon, rng.uniform(0, 1000, n), np.datetime64("1995-01-01", "us") + microseconds


def horizontal(n=N):
    return points(n)[:2]


def places(n=N):
    return points(n)[:3]


def moments(n=N):
    return points(n)[3:]


def grid(n=N):
    """As many places as times, shaped so that each place meets each time."""
    side = math.isqrt(n)
    lat, lon, _, times = points()
    return lat[:side], lon[:side], times[:side, None]


# ---- ours ------------------------------------------------------------------------------------------------------------


def our_cd(lat, lon, backend, out=None):
    return geo_to_cd(lat, lon, epoch=EPOCH, coords="geocentric", out=out, backend=backend)


def our_geodetic_cd(lat, lon, alt, backend):
    return geo_to_cd(lat, lon, alt, epoch=EPOCH, backend=backend)


def our_ed_and_field(lat, lon, alt, backend, epoch=EPOCH, out=None):
    field = dipole_field(lat, lon, alt, epoch=epoch, kind="ed", out=out and out[3:10], backend=backend)
    return *geo_to_ed(lat, lon, alt, epoch=epoch, out=out and out[:3], backend=backend), *field


def our_ed_field_and_time(lat, lon, alt, times, backend, out=None):
    found = our_ed_and_field(lat, lon, alt, backend, epoch=times, out=out)
    last = out and out[10]
    return *found, magnetic_local_time(lat, lon, times, alt=alt, kind="ed", out=last, backend=backend)


def our_local_times(lat, lon, times, backend, out=None):
    return magnetic_local_time(lat, lon, times, out=out and out[0].reshape(len(times), -1), backend=backend)


def our_subsolar_point(times, algorithm, backend):
    return subsolar_point(times, algorithm=algorithm, backend=backend)


# ---- peers and truth -------------------------------------------------------------------------------------------------


def cd(lat, lon, xp=np):
    return peers.geocentric_to_cd(lat, lon, ROTATION, xp)


def geodetic_cd(lat, lon, alt, xp=np):
    return peers.geodetic_to_cd(lat, lon, alt, ROTATION, xp)


def ed_and_field(lat, lon, alt, xp=np):
    return peers.ed_and_field(lat, lon, alt, B0, ROTATION, OFFSET, xp)


def cd_of_one_point(lat, lon):
    return peers.geocentric_to_cd_math(lat, lon, ROTATION)


def vectorised(function, arrays):
    """The same formulas by several means."""
    means = {
        "numpy": function,
        "torch": functools.partial(peers.by_torch, function),
        "torch.compile": functools.partial(peers.by_torch_compiled, function),
    }
    return {name: Peer(functools.partial(mean, *arrays), N) for name, mean in means.items()}


@functools.cache
def truth(function, arguments):
    """In long double, but for the times."""
    return function(*(a if a.dtype.kind == "M" else np.longdouble(a) for a in arguments()))


def radians_apart(lat, lon, true_lat, true_lon):
    """Largest angle between directions; where there are fewer of them, these are the first."""
    n = len(lat)
    north, east = lat - true_lat[:n], peers.wrapped(lon - true_lon[:n]) * np.cos(np.deg2rad(true_lat[:n]))
    return np.deg2rad(np.max(np.hypot(north, east)))


def error_of_direction(found, true):
    return radians_apart(*found[:2], *true[:2])


def error_of_field(found, true):
    """Of the ED position and of the field, each relative to its length."""
    *true_field, true_total, true_declination, true_inclination = true[3:10]
    *field, total, declination, inclination = found[3:10]
    return max(
        error_of_direction(found, true),
        np.max(np.abs(found[2] - true[2]) / true[2]),
        *(np.max(np.abs(f - t) / true_total) for f, t in zip((*field, total), (*true_field, true_total), strict=True)),
        radians_apart(inclination, declination, true_inclination, true_declination),
    )


def error_of_hours(found, true):
    return np.deg2rad(np.max(np.abs(peers.wrapped(15 * (found - true)))))


def error_of_field_and_hours(found, true):
    return max(error_of_field(found[:10], true[:10]), error_of_hours(found[10], true[10]))


# ---- cases -----------------------------------------------------------------------------------------------------------


def compare_kernel(compare, ours, arguments, n_results, *, size="1e6 points", **options):
    """Compare ours(*arguments()) and see that it needs at most 1 MB more than its results, of N values each."""
    inputs = arguments()
    row = compare(
        lambda: ours(*inputs),
        N,
        floor=peers.copy([values.ravel() for values in inputs], n_results, N),
        unit=NANOSECONDS,
        size=f"{size}, 1 thread",
        memory=lambda name: (
            extra_mb(ours, functools.partial(arguments, N // 10), arguments) if name == "ours" else None
        ),
        **options,
    )
    assert row.get("extra_mb", 0) < n_results * N * 8 / 1e6 + 1
    return row


def bench_geo_to_cd(compare, backend):
    lat, lon = horizontal()
    some = lat[:FEW], lon[:FEW]
    row = compare_kernel(
        compare,
        functools.partial(our_cd, backend=backend),
        horizontal,
        3,
        peers={
            **vectorised(cd, (lat, lon)),
            "SpacePy ctrans": Peer(lambda: peers.geocentric_to_cd_ctrans(lat, lon, TIME), N),
            "SpacePy Coords": Peer(lambda: peers.geocentric_to_cd_coords(*some, TIME), FEW),
            "math, point by point": Peer(lambda: peers.one_by_one(cd_of_one_point, *some), FEW),
            "numpy, point by point": Peer(lambda: peers.one_by_one(cd, *some), FEW),
        },
        error=lambda found: error_of_direction(found, truth(cd, horizontal)),
    )
    assert row["rel_error"] < 1e-13


def bench_geo_to_cd_geodetic(compare, backend):
    row = compare_kernel(
        compare,
        functools.partial(our_geodetic_cd, backend=backend),
        places,
        3,
        peers={
            **vectorised(geodetic_cd, places()),
            "magcoordpy": Peer(lambda: peers.geodetic_to_cd_magcoordpy(*places(), EPOCH), N),
        },
        error=lambda found: error_of_direction(found, truth(geodetic_cd, places)),
    )
    assert row["rel_error"] < 1e-13


def bench_ed_and_field(compare, backend):
    row = compare_kernel(
        compare,
        functools.partial(our_ed_and_field, backend=backend),
        places,
        10,
        peers=vectorised(ed_and_field, places()),
        error=lambda found: error_of_field(found, truth(ed_and_field, places)),
    )
    assert row["rel_error"] < 1e-13


def bench_ed_field_and_time(compare, backend):
    row = compare_kernel(
        compare,
        functools.partial(our_ed_field_and_time, backend=backend),
        points,
        11,
        size="1e6 points, an epoch each",
        peers={
            "numpy": Peer(lambda: peers.ed_field_and_time(*points()), N),
            "numpy in blocks": Peer(lambda: peers.in_blocks(peers.ed_field_and_time, *points()), N),
        },
        error=lambda found: error_of_field_and_hours(found, truth(peers.ed_field_and_time, points)),
        rounds=7,
    )
    assert row["rel_error"] < 1e-12


def bench_magnetic_local_time(compare, backend):
    row = compare_kernel(
        compare,
        functools.partial(our_local_times, backend=backend),
        grid,
        1,
        size="1000 points x 1000 times",
        peers={
            "numpy": Peer(lambda: peers.local_times(*grid()), N),
            "magcoordpy": Peer(lambda: peers.local_times_magcoordpy(*grid()), N),
        },
        error=lambda found: error_of_hours(found, truth(peers.local_times, grid)),
    )
    assert row["rel_error"] < 1e-12


@pytest.mark.parametrize("algorithm", peers.SUN)
def bench_subsolar_point(compare, backend, algorithm):
    sun = peers.SUN[algorithm]
    row = compare_kernel(
        compare,
        functools.partial(our_subsolar_point, algorithm=algorithm, backend=backend),
        moments,
        2,
        size=f"1e6 times, {algorithm}",
        peers={
            "numpy": Peer(lambda: sun(*moments()), N),
            **({"magcoordpy": Peer(lambda: peers.almanac_magcoordpy(*moments()), N)} if algorithm == "almanac" else {}),
        },
        error=lambda found: error_of_direction(found, truth(sun, moments)),
    )
    assert row["rel_error"] < 1e-12


KERNELS = {
    "geo_to_cd": (our_cd, horizontal, 3),
    "geo_to_ed + dipole_field": (our_ed_and_field, places, 10),
    "geo_to_ed + dipole_field + MLT, an epoch each": (our_ed_field_and_time, points, 11),
    "MLT, 1000 points x 1000 times": (our_local_times, grid, 1),
}


@pytest.mark.parametrize("kernel", KERNELS)
def bench_two_threads(compare, backend, kernel):
    """The ratio is what the second thread brings; the results must be the same bits."""
    ours, arguments, n_results = KERNELS[kernel]
    inputs = arguments()

    def on_threads(n, call):
        ecgkern.set_num_threads(n)
        return call()

    made_beforehand = [np.zeros(N) for _ in range(n_results)]
    call = functools.partial(ours, *inputs, backend=backend, out=made_beforehand)
    alone = functools.partial(on_threads, 1, call)
    expected = [np.array(result) for result in alone()]
    floor = peers.copy([values.ravel() for values in inputs], n_results, N)
    row = compare(
        functools.partial(on_threads, 2, call),
        N,
        floor=functools.partial(on_threads, 2, floor),
        peers={"ours on 1 thread": Peer(alone, N)},
        unit=NANOSECONDS,
        size=f"{kernel}, out=, 2 threads",
        error=lambda found: not all(map(np.array_equal, found, expected)),
    )
    assert row["rel_error"] == 0
