"""The Sun, the tilt of the dipole, local times and dates: published values, 40-digit values, every form of a time."""

import datetime
import json
from functools import cache
from pathlib import Path

import geomag_oracle as oracle
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgkern.geomag import (
    Dipole,
    _model,
    apparent_solar_time,
    decimal_year,
    dipole_tilt,
    geo_to_cd,
    geo_to_ed,
    magnetic_local_time,
    subsolar_point,
    transform_xyz,
    xyz_to_geo,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "geomag.json").read_text())
SUN_DEGREES = 1e-11
HOURS = SUN_DEGREES / 15
ALGORITHMS = ("almanac", "grena5")
ANY_BACKEND = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def half_a_digit(text):
    return 0.501 * 10.0 ** -len(text.partition(".")[2])


def seconds(clock):
    hours, minutes, rest = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def around(difference, turn):
    """The difference on a circle, either way."""
    return np.abs((np.asarray(difference, float) + turn / 2) % turn - turn / 2)


# --- published values -------------------------------------------------------------------------------------------------


def test_the_sun_of_apexpy_and_aacgm(backend):
    for row in GOLDEN["sun"]["almanac"]["rows"]:
        time, lat, lon = row.split(",")
        np.testing.assert_allclose(
            subsolar_point(np.datetime64(time), backend=backend), [float(lat), float(lon)], rtol=0, atol=1e-10
        )
    for row in GOLDEN["sun"]["aacgm"]["rows"]:
        time, lat, lon = row.split(",")
        found = subsolar_point(np.datetime64(time), backend=backend)
        assert abs(found.lat - float(lat)) <= half_a_digit(lat)
        assert abs(found.lon - float(lon)) <= half_a_digit(lon)


def test_both_suns_and_the_apparent_one(backend):
    for row in GOLDEN["sun"]["cross_check"]["rows"]:
        time, *printed = row.split(",")
        apparent = np.array(printed[4:], float)
        for algorithm, (lat, lon), tolerance in (("almanac", printed[:2], 0.01), ("grena5", printed[2:4], 0.001)):
            found = subsolar_point(np.datetime64(time), algorithm=algorithm, backend=backend)
            assert abs(found.lat - float(lat)) <= half_a_digit(lat)
            assert abs(found.lon - float(lon)) <= half_a_digit(lon)
            np.testing.assert_allclose(found, apparent, rtol=0, atol=tolerance)


def test_times_of_the_authors_toolkit(backend):
    case, station = GOLDEN["toolkit"]["times"], [float(x) for x in GOLDEN["toolkit"]["printed"]["station"]]
    utc = np.datetime64(case["utc"])
    options = {"coords": "geocentric", "model": "igrf1990-ramana", "backend": backend}
    ours = {
        "apparent": apparent_solar_time(station[1], utc, backend=backend),
        "cd": magnetic_local_time(*station, utc, **options),
        "ed_surface": magnetic_local_time(*station, utc, kind="ed", sun="surface", **options),
        "ed_direction": magnetic_local_time(*station, utc, kind="ed", **options),
    }
    for name, hours in ours.items():
        assert abs(3600 * hours - seconds(case[name])) <= half_a_digit(case[name]), name
    for name, clock in case["printed"].items():  # whole seconds, cut or rounded, with PyEphem's Sun
        assert abs(3600 * ours[name] - seconds(clock)) < 1, name


def test_tilts_of_the_peers(backend):
    for row in GOLDEN["tilt"]["rows"]:
        time, epoch, degrees, tolerance = row.split(",")
        found = dipole_tilt(np.datetime64(time), epoch=float(epoch) if epoch else None, backend=backend)
        assert found == pytest.approx(float(degrees), abs=float(tolerance)), row


@pytest.mark.parametrize("case", GOLDEN["mlt"]["cases"], ids=lambda case: "-".join(list(case.values())[:3]))
def test_published_magnetic_local_times(backend, case):
    golden = GOLDEN["mlt"]
    lat, lon = np.transpose(golden["points"])
    options = {name: case[name] for name in ("kind", "coords", "sun")}
    found = magnetic_local_time(lat, lon, np.datetime64(golden["time"]), **options, backend=backend)
    for hours, text in zip(found, case["hours"], strict=True):
        assert abs(hours - float(text)) <= half_a_digit(text)
    if options == {"kind": "cd", "coords": "geocentric", "sun": "direction"}:
        for peer, *theirs in golden["peers"]["cases"]:
            np.testing.assert_allclose(found, theirs, rtol=0, atol=golden["peers"]["tolerance"], err_msg=peer)


def test_the_toolkit_and_irbem_and_the_longitude_of_the_sun(backend):
    golden = GOLDEN["mlt"]
    lat, lon = np.transpose(golden["points"])
    options = {"coords": "geocentric", "backend": backend}
    for kind, *clocks in golden["toolkit"]:
        found = magnetic_local_time(
            lat, lon, np.datetime64(golden["time"]), kind=kind, sun="surface", model="igrf1990-ramana", **options
        )
        assert np.abs(3600 * found - [seconds(clock) for clock in clocks]).max() < 3  # another Sun, cut to seconds
    for time, printed in golden["cd_sun_longitude"]:
        sun = subsolar_point(np.datetime64(time), backend=backend)
        found = geo_to_cd(*sun, epoch=np.datetime64(time), **options).lon
        assert abs(found - float(printed)) <= half_a_digit(printed)
    case = GOLDEN["irbem"]
    time = np.datetime64(case["time"])
    lat, lon, alt = xyz_to_geo(6371.2 * np.array(case["geo"]), **options)
    found = magnetic_local_time(lat, lon, time, alt=alt, **options)
    assert found == pytest.approx(case["theirs"], abs=case["tolerance"])
    assert abs(found - float(case["ours"])) <= half_a_digit(case["ours"])


# --- 40 digits --------------------------------------------------------------------------------------------------------

AWKWARD = np.array(
    [
        *("1900-01-01T00:00", "1900-02-28T23:59:59.999999", "1900-03-01T00:00", "1904-02-29T12:00", "1970-01-01T00:00"),
        *("1969-12-31T23:59:59.999999", "1999-12-31T23:59:59.999999", "2000-01-01T12:00", "2000-02-29T06:00"),
        *("2024-12-31T00:00", "2025-03-20T12:00", "2024-06-21T00:00", "2029-12-31T23:59:59.999999", "2030-01-01T00:00"),
    ],
    "M8[us]",
)


@cache
def moments(n=500, seed=0):
    """From 1900 to 2030, to the microsecond: random ones and those at the edges of days, years and the calendar."""
    start, stop = np.array(["1900-01-01", "2030-01-01"], "M8[us]").astype(np.int64)
    random = np.random.default_rng(seed).integers(start, stop, n).astype("M8[us]")
    return np.concatenate([AWKWARD, random])


def nanoseconds(times):
    return [1000 * int(us) for us in times.astype("M8[us]").astype(np.int64)]


@cache
def frame_at(ns):
    table = _model.TABLES["igrf14"]
    year = oracle.exactly(oracle.decimal_year(ns))
    return oracle.dipole(oracle.coefficients_at(table.years.tolist(), table.coefficients.tolist(), year))


@cache
def exact_sun(algorithm):
    """Latitude, longitude and tilt at `moments`."""
    found = [
        (*oracle.subsolar(ns, algorithm), oracle.tilt(ns, frame_at(ns), algorithm)) for ns in nanoseconds(moments())
    ]
    return np.array(found, float).T


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_sun_is_exact(backend, algorithm):
    lat, lon, tilt = exact_sun(algorithm)
    found = subsolar_point(moments(), algorithm=algorithm, backend=backend)
    assert np.abs(found.lat - lat).max() <= SUN_DEGREES
    assert around(found.lon - lon, 360).max() <= SUN_DEGREES
    assert found.lon.min() > -180
    assert found.lon.max() <= 180
    assert np.abs(dipole_tilt(moments(), algorithm=algorithm, backend=backend) - tilt).max() <= SUN_DEGREES


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_apparent_solar_time_is_exact(backend, algorithm):
    lon = np.random.default_rng(1).uniform(-720, 720, moments().size)
    found = apparent_solar_time(lon, moments(), algorithm=algorithm, backend=backend)
    expected = [
        float(oracle.apparent_solar_time(*pair, algorithm))
        for pair in zip(lon.tolist(), nanoseconds(moments()), strict=True)
    ]
    assert around(found - expected, 24).max() <= HOURS
    assert found.min() >= 0
    assert found.max() < 24


@cache
def stations():
    """As many points as `moments`; the first are the poles, the date line and the signs of zero."""
    rng = np.random.default_rng(2)
    n = moments().size
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-720, 720, n)
    lat[:8], lon[:8] = [90, -90, 0, -0.0, 45, 45, 12, 12], [0, 30, 0, -0.0, 180, -180, 88, 448]
    return lat, lon, rng.uniform(-600, 40000, n)


@cache
def exact_hours(kind, sun, algorithm, coords):
    """Magnetic local times at `stations` and `moments`, and the cosine of the dipole latitude."""
    hours, cosines = [], []
    for lat, lon, alt, ns in zip(*(x.tolist() for x in stations()), nanoseconds(moments()), strict=True):
        v, frame = oracle.cartesian(lat, lon, alt, coords), frame_at(ns)
        hours.append(float(oracle.magnetic_local_time(v, ns, frame, kind, sun, algorithm)))
        u = oracle.into(v, frame, kind)
        cosines.append(float(oracle.mp.hypot(u[0], u[1]) / oracle.mp.sqrt(oracle.dot(u, u))))
    return np.array(hours), np.array(cosines)


@pytest.mark.parametrize(
    ("kind", "sun", "algorithm", "coords"),
    [
        ("cd", "direction", "almanac", "geodetic"),
        ("cd", "surface", "grena5", "geocentric"),
        ("ed", "direction", "almanac", "geodetic"),
        ("ed", "direction", "grena5", "geocentric"),
        ("ed", "surface", "almanac", "geocentric"),
        ("ed", "surface", "grena5", "geodetic"),
    ],
)
def test_magnetic_local_time_is_exact(backend, kind, sun, algorithm, coords):
    lat, lon, alt = stations()
    options = {"kind": kind, "sun": sun, "algorithm": algorithm, "coords": coords, "backend": backend}
    found = magnetic_local_time(lat, lon, moments(), alt=alt, **options)
    expected, cosines = exact_hours(kind, sun, algorithm, coords)
    assert (around(found - expected, 24) * cosines).max() <= HOURS
    assert found.min() >= 0
    assert found.max() < 24


# --- identities -------------------------------------------------------------------------------------------------------

latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, -0.0, 0.0, 90.0])
longitudes = st.floats(-720, 720) | st.sampled_from([-180.0, 180.0, -0.0, 360.0])
times = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2030, 1, 1))


@ANY_BACKEND
@given(latitudes, longitudes, times, st.sampled_from(["cd", "ed"]), st.sampled_from(["direction", "surface"]))
def test_an_hour_is_from_0_to_24(backend, lat, lon, time, kind, sun):
    found = magnetic_local_time(lat, lon, time, kind=kind, sun=sun, backend=backend)
    assert 0 <= found < 24
    assert 0 <= apparent_solar_time(lon, time, backend=backend) < 24


def test_midnight_is_0_and_not_24(backend):
    time = np.datetime64("2025-03-20T12:00:00")
    midnight = subsolar_point(time, backend=backend).lon - 180
    for ulp in range(-40, 41):
        assert 0 <= apparent_solar_time(midnight + ulp * np.spacing(midnight), time, backend=backend) < 24
    sun = transform_xyz(np.eye(3), "geo", "cd", epoch=time, backend=backend)
    assert sun.shape == (3, 3)
    opposite = -subsolar_point(time, backend=backend).lat
    for ulp in range(-40, 41):
        found = magnetic_local_time(
            opposite, midnight + ulp * np.spacing(midnight), time, coords="geocentric", backend=backend
        )
        assert 0 <= found < 24
        assert around(found, 24) < 1e-11


@ANY_BACKEND
@given(times, st.sampled_from(ALGORITHMS), st.floats(-180, 180))
def test_noon_is_under_the_sun(backend, time, algorithm, lon):
    sun = subsolar_point(time, algorithm=algorithm, backend=backend)
    assert apparent_solar_time(sun.lon, time, algorithm=algorithm, backend=backend) == pytest.approx(12, abs=1e-12)
    options = {"algorithm": algorithm, "coords": "geocentric", "backend": backend}
    assert magnetic_local_time(*sun, time, **options) == pytest.approx(12, abs=1e-12)
    assert magnetic_local_time(*sun, time, sun="surface", **options) == pytest.approx(12, abs=1e-12)
    assert magnetic_local_time(*sun, time, kind="ed", sun="surface", **options) == pytest.approx(12, abs=1e-12)
    later = apparent_solar_time(lon + 15, time, algorithm=algorithm, backend=backend)
    assert around(later - apparent_solar_time(lon, time, algorithm=algorithm, backend=backend) - 1, 24) < 1e-12


@ANY_BACKEND
@given(times)
def test_the_tilt_is_the_latitude_of_the_sun_in_the_dipole(backend, time):
    sun, tilt = subsolar_point(time, backend=backend), dipole_tilt(time, backend=backend)
    assert tilt == pytest.approx(geo_to_cd(*sun, epoch=time, coords="geocentric", backend=backend).lat, abs=SUN_DEGREES)
    pole = Dipole.at(time).pole
    vectors = [
        [np.cos(la) * np.cos(lo), np.cos(la) * np.sin(lo), np.sin(la)] for la, lo in (np.radians(sun), np.radians(pole))
    ]
    assert tilt == pytest.approx(90 - np.degrees(np.arccos(np.dot(*vectors))), abs=1e-10)


@ANY_BACKEND
@given(latitudes, longitudes, st.lists(times, min_size=2, max_size=5), st.floats(1900, 2030))
def test_eccentric_and_centred_time_differ_by_a_constant_of_the_station(backend, lat, lon, several, epoch):
    options = {"epoch": epoch, "backend": backend}
    cd, ed = (magnetic_local_time(lat, lon, several, kind=kind, **options) for kind in ("cd", "ed"))
    by_longitude = (geo_to_ed(lat, lon, **options).lon - geo_to_cd(lat, lon, **options).lon) / 15
    assert around(ed - cd - by_longitude, 24).max() < 1e-11


def test_the_surface_sun_moves_the_eccentric_time_by_up_to_0_4_hours(backend):
    year = np.arange("2025-01-01", "2026-01-01", np.timedelta64(97, "m"), "M8[m]")
    for kind, most in (("cd", 0.0), ("ed", 0.4)):
        direction, surface = (
            magnetic_local_time(12.9716, 77.5946, year, kind=kind, sun=sun, backend=backend)
            for sun in ("direction", "surface")
        )
        assert around(surface - direction, 24).max() == pytest.approx(most, abs=0.02 if most else 1e-11)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_backend_gives_the_same_time(backend, algorithm):
    rng = np.random.default_rng(7)
    n = 4000
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-400, 400, n)
    when = moments(n - AWKWARD.size, seed=9)
    suns = [np.stack(subsolar_point(when, algorithm=algorithm, backend=name)) for name in ("numpy", backend)]
    assert around(suns[0] - suns[1], 360).max() <= SUN_DEGREES
    tilts = [dipole_tilt(when, algorithm=algorithm, backend=name) for name in ("numpy", backend)]
    assert np.abs(tilts[0] - tilts[1]).max() <= SUN_DEGREES
    for kind, convert in (("cd", geo_to_cd), ("ed", geo_to_ed)):
        cosine = np.cos(np.radians(convert(lat, lon, epoch=when, backend="numpy").lat))
        for sun in ("direction", "surface"):
            options = {"kind": kind, "sun": sun, "algorithm": algorithm}
            hours = [magnetic_local_time(lat, lon, when, **options, backend=name) for name in ("numpy", backend)]
            assert (around(hours[0] - hours[1], 24) * cosine).max() <= HOURS


ARRANGEMENTS = [
    (n_points, n_times, epoch)
    for n_points, n_times in ((7, 300), (300, 7), (1, 5), (5, 1), (400, 600))
    for epoch in ("the time", 2011.3, "2011-04-20", "its own")
]


@pytest.mark.parametrize(
    ("n_points", "n_times", "epoch"), [*ARRANGEMENTS, (16_400, 3, "the time"), (66, 16_400, "the time")]
)
def test_points_by_times_in_every_arrangement(backend, n_points, n_times, epoch):
    rng = np.random.default_rng(n_points)
    lat, lon = rng.uniform(-90, 90, (n_points, 1)), rng.uniform(-180, 180, (n_points, 1))
    when, years = rng.choice(moments(), n_times), rng.uniform(1900, 2030, n_times)
    fixed = np.datetime64(epoch) if epoch == "2011-04-20" else epoch

    def at(lat, lon, when, years):
        own = {"the time": None, "its own": years}.get(epoch, fixed)
        return magnetic_local_time(lat, lon, when, alt=110.0, kind="ed", epoch=own, backend=backend)

    same = at(*np.broadcast_arrays(lat, lon, when, years))
    rows, columns = at(lat, lon, when, years), at(lat[:, 0], lon[:, 0], when[:, None], years[:, None])
    grid = at(lat[..., None], lon[:2], when, years)
    assert rows.shape == same.shape == (n_points, n_times)
    assert columns.shape == (n_times, n_points)
    assert grid.shape == (n_points, min(2, n_points), n_times)
    for found, expected in ((rows, same), (columns.T, same), (grid[0, 0], same[0])):
        assert around(found - expected, 24).max() <= HOURS


# --- forms of a time --------------------------------------------------------------------------------------------------

IST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
MOMENT = datetime.datetime(2025, 10, 7, 8, 50, 18, 250_000)


def uses_of_a_time(time, backend):
    """Everything that takes a time, with the shape of the time last."""
    return [
        decimal_year(time),
        *subsolar_point(time, backend=backend),
        dipole_tilt(time, backend=backend),
        apparent_solar_time(77.5946, time, backend=backend),
        magnetic_local_time(12.9716, 77.5946, time, backend=backend),
        magnetic_local_time(12.9716, 77.5946, np.datetime64("2025-01-01"), epoch=time, backend=backend),
        *geo_to_ed(12.9716, 77.5946, epoch=time, backend=backend),
        Dipole.at(time).b0,
    ]


def test_every_form_of_a_moment_is_that_moment(backend):
    pd = pytest.importorskip("pandas")
    expected = uses_of_a_time(np.datetime64(MOMENT), backend)
    assert all(np.ndim(value) == 0 for value in expected)
    utc = MOMENT.replace(tzinfo=datetime.UTC)
    stamp = pd.Timestamp(MOMENT)
    for form in (
        MOMENT,
        utc,
        utc.astimezone(IST),
        np.datetime64(MOMENT, "ms"),
        np.datetime64(MOMENT, "ns"),
        np.array(MOMENT, "M8[ns]"),
        stamp,
        stamp.tz_localize("UTC"),
        stamp.tz_localize("UTC").tz_convert("Asia/Kolkata"),
    ):
        for a, b in zip(uses_of_a_time(form, backend), expected, strict=True):
            assert np.ndim(a) == 0
            assert a == b, form
    other = MOMENT + datetime.timedelta(days=100, seconds=1.5)
    expected = uses_of_a_time(np.array([MOMENT, other], "M8[us]"), backend)
    index = pd.DatetimeIndex([MOMENT, other])
    for form in (
        [MOMENT, other],
        (utc, np.datetime64(other)),
        [utc.astimezone(IST), other.replace(tzinfo=datetime.UTC)],
        np.array([MOMENT, other], object),
        np.array([MOMENT, other], "M8[ms]"),
        np.array([MOMENT, other], "M8[ns]"),
        np.array([MOMENT, other], ">M8[us]"),
        np.array([MOMENT, MOMENT, other, other], "M8[us]")[::2],
        index,
        index.tz_localize("UTC"),
        index.tz_localize("UTC").tz_convert("Asia/Kolkata"),
        pd.Series(index),
        pd.Series(index.tz_localize("UTC")),
    ):
        for a, b in zip(uses_of_a_time(form, backend), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns"])
def test_every_unit_of_datetime64(backend, unit):
    coarse = np.array(["1970-01-01", "2005-06-09", "2028-02-29", "1901-12-31"], f"M8[{unit}]")
    for a, b in zip(uses_of_a_time(coarse, backend), uses_of_a_time(coarse.astype("M8[us]"), backend), strict=True):
        np.testing.assert_array_equal(a, b)
    assert decimal_year(np.datetime64("2000", "Y")) == 2000.0


def test_a_date_is_its_midnight(backend):
    date, midnight = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29)
    for a, b in zip(uses_of_a_time(date, backend), uses_of_a_time(midnight, backend), strict=True):
        assert a == b


def test_no_microsecond_is_lost(backend):
    first = np.datetime64("2025-10-07T08:50:18.000000")
    steps = first + np.arange(0, 2_000_000, 250_000).astype("m8[us]")
    turn = np.diff(subsolar_point(steps, backend=backend).lon)
    np.testing.assert_allclose(turn, -0.25 / 240, rtol=1e-3)
    one = (
        subsolar_point(first, backend=backend).lon
        - subsolar_point(first + np.timedelta64(1, "us"), backend=backend).lon
    )
    assert one == pytest.approx(1e-6 / 240, rel=1e-3)


def test_missing_times_give_nan(backend):
    pd = pytest.importorskip("pandas")
    for missing in (np.datetime64("NaT"), np.datetime64("NaT", "ns"), pd.NaT):
        assert np.isnan(uses_of_a_time(missing, backend)).all()
    present = np.datetime64(MOMENT)
    expected = uses_of_a_time(present, backend)
    for form in (
        np.array([present, "NaT"], "M8[us]"),
        np.array([present, "NaT"], "M8[ns]"),
        [MOMENT, pd.NaT],
        [present, np.datetime64("NaT")],
        pd.DatetimeIndex([MOMENT, pd.NaT]),
    ):
        for value, alone in zip(uses_of_a_time(form, backend), expected, strict=True):
            assert value[0] == pytest.approx(alone, rel=1e-12, abs=1e-9)
            assert np.isnan(value[1])
    assert np.isnan(geo_to_cd(12.0, [88.0, 80.0], epoch=[2020.0, np.nan], backend=backend).lat).tolist() == [0, 1]
    assert np.isnan(geo_to_cd(12.0, 88.0, epoch=np.nan, backend=backend)).all()


def test_decimal_years_are_exact():
    for text, year in (
        ("1900-01-01", 1900.0),
        ("2030-01-01", 2030.0),
        ("1900-07-02T12:00", 1900.5),  # 365 days: 1900 was no leap year
        ("1999-07-02T12:00", 1999.5),
        ("2000-07-02", 2000.5),  # 366 days
        ("2024-07-02", 2024.5),
        ("2023-03-15", 2023.2),
        ("1960-04-01T12:00", 1960.25),
        ("2024-12-31", 2024 + 365 / 366),
        ("2023-12-31", 2023 + 364 / 365),
        ("1601-01-01", 1601.0),
        ("2100-07-02T12:00", 2100.5),
    ):
        assert decimal_year(np.datetime64(text)) == year, text
    exact = np.array([float(oracle.exactly(oracle.decimal_year(ns))) for ns in nanoseconds(moments())])
    assert np.abs(decimal_year(moments()) - exact).max() <= np.spacing(2000.0)
    assert decimal_year(np.empty(0, "M8[s]")).shape == (0,)
    assert type(decimal_year(MOMENT)) is np.float64


@given(st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9998, 12, 31)))
def test_decimal_years_of_any_date(time):
    start, stop = (datetime.datetime(time.year + k, 1, 1) for k in (0, 1))
    assert decimal_year(time) == pytest.approx(time.year + (time - start) / (stop - start), rel=3e-16)


def test_times_outside_the_model(backend):
    late = np.datetime64("2031-07-01T12:00")
    for call in (
        lambda **options: magnetic_local_time(12, 88, late, **options),
        lambda **options: dipole_tilt(late, **options),
        lambda **options: magnetic_local_time(12, 88, [late, late], **options),
    ):
        with pytest.raises(ValueError, match=r"must be from 1900.0 to 2030.0 .*got 2031-07-01"):
            call(backend=backend)
        assert np.isnan(call(out_of_range="nan", backend=backend)).all()
        assert not np.isnan(call(out_of_range="extrapolate", backend=backend)).any()
        np.testing.assert_allclose(
            call(out_of_range="clip", backend=backend), call(epoch=2030.0, backend=backend), rtol=0, atol=1e-12
        )
        assert not np.isnan(call(model="igrf1990-ramana", backend=backend)).any()
    far = subsolar_point(np.datetime64("2100-12-31T23:59:59"), backend=backend)
    assert -23.5 < far.lat < -23
