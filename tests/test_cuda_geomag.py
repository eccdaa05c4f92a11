"""The geomag kernels on a GPU, or on the emulated one, against the numpy backend."""

import datetime

import numpy as np
import pytest

import ecgkern
from ecgkern.geomag import (
    Field,
    cd_to_geo,
    dip_latitude,
    dipole_field,
    dipole_tilt,
    ed_to_geo,
    geo_to_cd,
    geo_to_ed,
    magnetic_local_time,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
COORDS = pytest.mark.parametrize("coords", ["geodetic", "geocentric"])
CONVERSIONS = [geo_to_cd, geo_to_ed, cd_to_geo, ed_to_geo]
NAN, INF = float("nan"), float("inf")
# Latitudes and longitudes where quadrants and halves of quadrants meet, and any others.
CORNERS = [-90.0, -45.0, -0.0, 0.0, 22.5, 45.0, 67.5, 90.0]
TURNS = [-720.0, -180.0, -90.0, -0.0, 0.0, 45.0, 90.0, 135.0, 180.0, 270.0, 360.0, 1e6]


def places(n, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(-90, 90, n), rng.uniform(-360, 360, n)
    corners = np.array(np.meshgrid(CORNERS, TURNS)).reshape(2, -1)[:, : n // 2]
    lat[: corners.shape[1]], lon[: corners.shape[1]] = corners
    return lat.astype(dtype), lon.astype(dtype), rng.uniform(-6000, 40_000, n).astype(dtype)


def on_card(gpu, values):
    """Arrays to the card; what is not an array stays what it is, as do dates, of which a card has none."""
    return [gpu.array(v) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for v in values]


def assert_close(found, exact, dtype, scale):
    """Within 1e-11 of float64, 1e-7 of float32, of what the numbers are about."""
    np.testing.assert_allclose(found, exact, rtol=0, atol=scale * (1e-11 if dtype == np.float64 else 1e-7))


def assert_positions(gpu, found, exact, dtype):
    for array in found:
        assert type(array) is type(gpu.array(np.zeros(1)))
    lat, lon, r = map(gpu.get, found)
    assert lat.dtype == lon.dtype == r.dtype == dtype
    assert lat.shape == lon.shape == r.shape == np.shape(exact[0])
    np.testing.assert_array_equal(np.isnan([lat, lon, r]), np.isnan(np.array(exact)))
    assert_close(lat, exact[0], dtype, 1 if dtype == np.float64 else 90)
    east = (lon.astype(float) - exact[1] + 180) % 360 - 180
    assert_close(np.nan_to_num(east * np.cos(np.radians(exact[0]))), 0.0, dtype, 1 if dtype == np.float64 else 180)
    np.testing.assert_allclose(r, exact[2], rtol=1e-13 if dtype == np.float64 else 1e-7, atol=1e-9)
    lon = lon[~np.isnan(lon)]
    assert ((lon > -180) & (lon <= 180)).all()


@pytest.mark.parametrize("function", CONVERSIONS)
@COORDS
@DTYPES
def test_positions(gpu, function, coords, dtype):
    lat, lon, c = places(777, dtype)
    if function in (cd_to_geo, ed_to_geo):
        c = c + dtype(6371.2)
    options = {"epoch": 2025.3, "coords": coords}
    exact = function(lat.astype(float), lon.astype(float), c.astype(float), **options, backend="numpy")
    assert_positions(gpu, function(*on_card(gpu, (lat, lon, c)), **options), exact, dtype)


@pytest.mark.parametrize("function", [cd_to_geo, ed_to_geo])
@COORDS
@DTYPES
def test_where_a_direction_leaves_the_earth(gpu, function, coords, dtype):
    lat, lon, alt = places(201, dtype)
    alt[::3] = -6200  # below the eccentric dipole, where many directions do not come to
    options = {"epoch": 1990, "coords": coords}
    exact = function(lat.astype(float), lon.astype(float), alt=alt.astype(float), **options, backend="numpy")
    found = function(*on_card(gpu, (lat, lon)), alt=gpu.array(alt), **options)
    if coords == "geocentric":
        assert np.isnan(exact[0]).any() == (function is ed_to_geo)
    assert_positions(gpu, found, exact, dtype)


@pytest.mark.parametrize("kind", ["cd", "ed"])
@COORDS
@DTYPES
def test_field(gpu, kind, coords, dtype):
    lat, lon, alt = places(333, dtype)
    alt = abs(alt)
    options = {"epoch": 2010, "coords": coords, "kind": kind}
    exact = dipole_field(lat.astype(float), lon.astype(float), alt.astype(float), **options, backend="numpy")
    found = Field(*map(gpu.get, dipole_field(*on_card(gpu, (lat, lon, alt)), **options)))
    assert {part.dtype for part in found} == {np.dtype(dtype)}
    for name in ("north", "east", "down", "horizontal", "total"):
        assert_close(getattr(found, name) / exact.total, getattr(exact, name) / exact.total, dtype, 1)
    east = (found.declination.astype(float) - exact.declination + 180) % 360 - 180
    assert_close(east * exact.horizontal / exact.total, 0.0, dtype, 1 if dtype == np.float64 else 180)
    assert_close(found.inclination, exact.inclination, dtype, 1 if dtype == np.float64 else 90)


MOMENTS = np.array(["1901-01-01", "1999-12-31T23:59:59.999999", "2000-02-29T12:30", "2024-12-31T06:00"], "M8[us]")


@pytest.mark.parametrize("kind", ["cd", "ed"])
@pytest.mark.parametrize("sun", ["direction", "surface"])
@pytest.mark.parametrize("algorithm", ["almanac", "grena5"])
def test_local_time(gpu, kind, sun, algorithm):
    lat, lon, alt = places(101)
    lat = lat / 1.5
    options = {"kind": kind, "sun": sun, "algorithm": algorithm}
    of_each = MOMENTS[0] + np.random.default_rng(1).integers(0, 3.9e15, 101).astype("m8[us]")
    for time in (MOMENTS[1], MOMENTS[:, None], of_each, datetime.datetime(2005, 2, 3, tzinfo=datetime.UTC)):
        exact = magnetic_local_time(lat, lon, time, alt=alt, **options, backend="numpy")
        assert_hours(gpu, magnetic_local_time(*on_card(gpu, (lat, lon)), time, alt=gpu.array(alt), **options), exact)


def assert_hours(gpu, found, exact, tolerance=1e-11):
    hours = gpu.get(found)
    assert hours.shape == np.shape(exact)
    kept = hours[~np.isnan(hours)]
    assert ((kept >= 0) & (kept < 24)).all()
    np.testing.assert_allclose((hours - exact + 12) % 24 - 12, 0 * exact, rtol=0, atol=tolerance)


def test_local_time_with_epochs_and_missing_times(gpu):
    lat, lon, alt = places(len(MOMENTS), np.float32)
    lat = lat / 2
    times = MOMENTS.copy()
    times[1] = "NaT"
    years = np.linspace(1950, 2020, 3)[:, None]
    exact = magnetic_local_time(*map(np.float64, (lat, lon)), times, alt=alt, epoch=years, backend="numpy")
    for epoch in (gpu.array(years), years.tolist()):
        arrays = on_card(gpu, (lat, lon))
        found = magnetic_local_time(*arrays, times.astype("M8[ns]"), alt=gpu.array(alt), epoch=epoch, coords="geodetic")
        assert gpu.get(found).dtype == np.float32
        assert_hours(gpu, found, exact, 3e-6)


@pytest.mark.parametrize("function", [*CONVERSIONS, dipole_field])
@pytest.mark.parametrize("out_of_range", ["nan", "clip", "extrapolate"])
def test_epochs_of_each_point(gpu, function, out_of_range):
    lat, lon, c = places(64)
    c = abs(c) + 6500
    years = np.linspace(1890, 2040, 64)
    years[::5] = [1900, 1905, 1907.5, 2025, 2030, NAN, 1900, 2029, 1950, 2000, 2015, 2020, 2021]
    whole = np.floor(years[~np.isnan(years)]).astype(int)
    dates = np.full(64, "NaT", "M8[D]")
    dates[~np.isnan(years)] = [np.datetime64(f"{year}-05-17") for year in whole]
    for epoch in (years, dates):
        options = {"out_of_range": out_of_range}
        exact = function(lat, lon, c, epoch=epoch, **options, backend="numpy")
        found = function(*on_card(gpu, (lat, lon, c, epoch))[:3], epoch=on_card(gpu, [epoch])[0], **options)
        for mine, wanted in zip(map(gpu.get, found), exact, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-11, atol=1e-9)


def test_epochs_on_the_card_are_not_read(gpu):
    """The host cannot raise for them without waiting for the GPU: NaN in its place."""
    lat, lon, _ = on_card(gpu, places(4))
    found = geo_to_cd(lat, lon, epoch=gpu.array(np.array([1899.9, 1900, 2030, 2030.1])))
    np.testing.assert_array_equal(np.isnan(gpu.get(found.lat)), [True, False, False, True])
    with pytest.raises(ValueError, match=r"epoch must be from 1900.0 to 2030.0 .*got 2031"):
        geo_to_cd(lat, lon, epoch=2031)
    # A model of one epoch looks at none.
    found = geo_to_cd(lat, lon, epoch=gpu.array(np.array([1.0, NAN, 0.0, 1.0])), model="igrf1990-ramana")
    assert not np.isnan(gpu.get(found.lat)).any()


@pytest.mark.parametrize(
    ("lat", "lon", "alt", "epoch"),
    [
        ((5, 1), (7,), None, None),
        ((), (6,), (), None),
        ((3,), (2, 3), (4, 1, 3), None),
        ((4, 1, 3, 1), (2, 1, 5), (), (1,)),
        ((2, 1, 3, 1), (2, 1, 2), None, (3, 1, 1, 1, 1)),
        ((1, 1), (1,), (1, 1, 1), ()),
        ((0, 3), (3,), None, None),
        ((513,), (513,), None, (2, 1)),
        ((3, 5), (5,), None, (3, 1)),
    ],
)
@DTYPES
def test_shapes_broadcast(gpu, lat, lon, alt, epoch, dtype):
    rng = np.random.default_rng(5)
    given = [
        np.asarray(rng.uniform(low, high, shape), dtype)
        for shape, low, high in ((lat, -90, 90), (lon, 0, 360), (() if alt is None else alt, 0, 500))
    ]
    years = np.asarray(rng.uniform(1900, 2030, () if epoch is None else epoch))
    card = on_card(gpu, given)
    if alt is None:
        given[2], card[2] = 100.0, 100.0
    exact = geo_to_ed(*map(np.float64, given), epoch=years, backend="numpy")
    found = geo_to_ed(*card, epoch=float(years) if epoch is None else gpu.array(years))
    assert_positions(gpu, found, exact, dtype)


def test_views_and_odd_addresses(gpu):
    """Points are read two at a time only from addresses that allow it."""
    lat, lon, alt = places(300)
    for dtype in (np.float64, np.float32):
        whole = on_card(gpu, [v.astype(dtype) for v in (lat, lon, alt)])
        for cut in (slice(1, None), slice(0, 299), slice(2, 3), slice(1, None, 2)):
            exact = geo_to_cd(*(np.float64(v.astype(dtype)[cut]) for v in (lat, lon, alt)), epoch=2000, backend="numpy")
            assert_positions(gpu, geo_to_cd(*(v[cut] for v in whole), epoch=2000), exact, dtype)
            shifted = [whole[0][cut], whole[1][: len(exact.lat)], 7.0]
            exact = geo_to_cd(*(gpu.get(v).astype(float) for v in shifted[:2]), 7.0, epoch=2000, backend="numpy")
            assert_positions(gpu, geo_to_cd(*shifted, epoch=2000), exact, dtype)


@pytest.mark.parametrize("function", [*CONVERSIONS, dipole_field])
def test_what_is_out_of_range_is_nan(gpu, function):
    """Values on the card are not looked at before the kernels do, so they cannot raise."""
    good = (12.0, 88.0, 6500.0)
    bad = [(0, 90.000001), (0, -91.0), (0, INF), (0, NAN), (1, INF), (1, 1e17), (1, NAN), (2, NAN), (2, INF), (2, -7e3)]
    points = np.tile(good, (len(bad) + 1, 1))
    for i, (column, value) in enumerate(bad):
        points[i, column] = value
    found = np.array([gpu.get(part) for part in function(*on_card(gpu, points.T.copy()), epoch=2020)])
    assert np.isnan(found[:, :-1]).all()
    assert np.isfinite(found[:, -1]).all()
    with pytest.raises(ValueError, match=r"lat must be from -90 to 90 degrees, got 91"):
        function(91.0, gpu.array(points[:, 1].copy()), epoch=2020)


def test_the_corners(gpu):
    """Poles, the centre of the Earth, and no heights below it."""
    lat = np.array([90.0, -90.0, 0.0, 45.0, 45.0, 45.0, 45.0])
    alt = np.array([0.0, 0.0, 0.0, -6371.2, -6371.3, -6335.4, -6335.5])
    card = on_card(gpu, (lat, np.zeros(7), alt))
    found = geo_to_cd(*card, epoch=2020, coords="geocentric")
    np.testing.assert_array_equal(np.isnan(gpu.get(found.r)), [0, 0, 0, 0, 1, 0, 0])
    assert gpu.get(found.r)[3] == 0
    found = geo_to_cd(*card, epoch=2020)
    np.testing.assert_array_equal(np.isnan(gpu.get(found.r)), [0, 0, 0, 1, 1, 0, 1])
    found = cd_to_geo(*card[:2], gpu.array(np.array([59.0, 61.0, 0.0, -1.0, 1e99, 1e101, 6371.2])), epoch=2020)
    np.testing.assert_array_equal(np.isnan(gpu.get(found.alt)), [1, 0, 1, 1, 0, 1, 0])
    pole = ed_to_geo(gpu.array(np.array([90.0])), 0.0, epoch=2025, coords="geocentric")
    np.testing.assert_allclose([gpu.get(pole.lat), gpu.get(pole.lon)], [[84.920], [-100.498]], atol=6e-4)


def test_results_go_where_the_caller_says(gpu):
    lat, lon, alt = on_card(gpu, places(10))
    out = tuple(gpu.array(np.zeros(10)) for _ in range(3))
    found = geo_to_cd(lat, lon, alt, epoch=2020, out=out)
    assert all(mine is given for mine, given in zip(found, out, strict=True))
    np.testing.assert_array_equal(gpu.get(out[0]), gpu.get(geo_to_cd(lat, lon, alt, epoch=2020).lat))
    hours = gpu.array(np.zeros(10))
    assert magnetic_local_time(lat, lon, MOMENTS[0], out=hours) is hours
    assert gpu.get(hours).all()
    with pytest.raises(ValueError, match=r"out\[1\] must have shape \(10,\) and dtype float64, got \(9,\) and float64"):
        geo_to_cd(lat, lon, alt, epoch=2020, out=(out[0], out[1][:9], out[2]))
    with pytest.raises(TypeError, match="out must be a tuple of 3 arrays"):
        geo_to_cd(lat, lon, alt, epoch=2020, out=out[:2])


def test_integers_and_scalars_of_the_host(gpu):
    lat = gpu.array(np.array([10, 20]))
    found = geo_to_cd(lat, 30, np.float64(100), epoch=2020)
    exact = geo_to_cd(np.array([10, 20]), 30, 100, epoch=2020, backend="numpy")
    np.testing.assert_allclose(gpu.get(found.lat), exact.lat, atol=1e-11)
    found = geo_to_cd(lat, [30.0, 40.0], epoch=[2020, 2021])
    exact = geo_to_cd(np.array([10, 20]), [30.0, 40.0], epoch=[2020, 2021], backend="numpy")
    np.testing.assert_allclose(gpu.get(found.lon), exact.lon, atol=1e-10)
    single = geo_to_cd(gpu.array(np.float64(10)), 20.0, epoch=2020)
    assert single.lat.shape == ()


def test_errors_name_the_argument(gpu):
    lat, lon, _ = on_card(gpu, places(3))
    with pytest.raises(TypeError, match=r"all arrays must (come from one library|be on one device), but lat is"):
        geo_to_cd(lat, np.zeros(3), epoch=2020)
    with pytest.raises(ValueError, match=r"shapes of lat and lon .* must broadcast, got lat \(3,\), lon \(2,\)"):
        geo_to_cd(lat, lon[:2], epoch=2020)
    with pytest.raises(TypeError, match="lat must hold real numbers, got dtype bool"):
        geo_to_cd(gpu.array(np.array([True])), 0.0, epoch=2020)
    for backend in ("numpy", "numba"):
        with pytest.raises(TypeError, match=f"the arrays are on a GPU, and backend '{backend}' takes"):
            geo_to_cd(lat, lon, epoch=2020, backend=backend)
    with pytest.raises(TypeError, match="the arrays are on the host, and backend 'cuda' takes"):
        dipole_tilt(MOMENTS, backend="cuda")
    if gpu.name.endswith("cupy"):  # the emulated tensors are on the host
        with pytest.raises(TypeError, match="inclination is a CuPy array, and this function computes on the host"):
            dip_latitude(lat)
    assert ecgkern.backends()["cuda"].available
