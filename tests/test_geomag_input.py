"""Geomagnetism's manners: shapes, types and libraries of arrays, missing values, threads, memory, and bad input."""

import datetime
import subprocess
import sys
import threading

import numpy as np
import pytest

import ecgkern
from ecgkern.geomag import (
    Coordinates,
    Dipole,
    Field,
    GeographicCoordinates,
    SubsolarPoint,
    apparent_solar_time,
    cd_to_geo,
    decimal_year,
    dip_latitude,
    dipole_field,
    dipole_tilt,
    ed_to_geo,
    geo_to_cd,
    geo_to_ed,
    geo_to_xyz,
    invariant_latitude,
    l_shell,
    magnetic_local_time,
    poles,
    subsolar_point,
    transform_xyz,
    xyz_to_geo,
)

NAN, INF = float("nan"), float("inf")
NOON = np.datetime64("2025-03-20T12:00:00")


def by_place(function, **fixed):
    """The function of latitude, longitude, height and epoch, with its results in a list."""

    def call(lat, lon, alt, epoch, **options):
        found = function(lat, lon, alt, epoch=epoch, **fixed, **options)
        return list(found) if isinstance(found, tuple) else [found]

    return call


CALLS = {
    "geo_to_cd": by_place(geo_to_cd),
    "geo_to_ed": by_place(geo_to_ed, coords="geocentric"),
    "cd_to_geo": by_place(lambda lat, lon, alt, **options: cd_to_geo(lat, lon, alt=alt, **options)),
    "ed_to_geo": by_place(lambda lat, lon, alt, **options: ed_to_geo(lat, lon, abs(alt), **options)),
    "dipole_field": by_place(dipole_field),
    "magnetic_local_time": by_place(
        lambda lat, lon, alt, **options: magnetic_local_time(lat, lon, NOON, alt=alt, kind="ed", **options)
    ),
    "at its epoch": lambda lat, lon, alt, epoch, **options: [magnetic_local_time(lat, lon, epoch, alt=alt, **options)],
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
PLACES = {name: call for name, call in CALLS.items() if name != "at its epoch"}
EVERY_PLACE = pytest.mark.parametrize("call", PLACES.values(), ids=PLACES)


def places(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-360, 360, n), rng.uniform(-500, 30000, n)


def epochs(n, seed=1):
    start, stop = np.array(["1900-01-01", "2030-01-01"], "M8[us]").astype(np.int64)
    return np.random.default_rng(seed).integers(start, stop, n).astype("M8[us]")


def assert_same(found, expected, atol=1e-9):
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=atol)


# --- shapes -----------------------------------------------------------------------------------------------------------


@EVERY_CALL
def test_scalars_and_arrays(backend, call):
    lat, lon, alt = places(6)
    when = epochs(6)
    whole = call(lat, lon, alt, when, backend=backend)
    assert all(value.shape == (6,) and value.dtype == np.float64 for value in whole)
    for i in range(6):
        one = call(float(lat[i]), float(lon[i]), float(alt[i]), when[i], backend=backend)
        assert all(isinstance(value, np.float64) and np.ndim(value) == 0 for value in one)
        assert_same(one, [value[i] for value in whole])
        assert_same(call(*(x[i, ...] for x in (lat, lon, alt)), when[i, ...], backend=backend), one)
        assert_same(call(*(x[i : i + 1] for x in (lat, lon, alt, when)), backend=backend), [[v] for v in one])
    empty = call(lat[:0], lon[:0], alt[:0], when[:0], backend=backend)
    assert all(value.shape == (0,) for value in empty)
    assert all(value.shape == (3, 0) for value in call(np.ones((3, 0)), 5.0, 0.0, NOON, backend=backend))
    assert_same(call(lat.reshape(2, 3), lon.reshape(2, 3), alt.reshape(2, 3), when.reshape(2, 3), backend=backend),
                [value.reshape(2, 3) for value in whole])  # fmt: skip


@EVERY_CALL
def test_lists(backend, call):
    (lat, lon, alt), when = places(4), epochs(4)
    expected = call(lat, lon, alt, when, backend=backend)
    assert_same(call(lat.tolist(), tuple(lon), alt, list(when), backend=backend), expected)


@EVERY_CALL
def test_broadcasting(backend, call):
    lat, lon, alt, when = places(7)[0], places(5)[1], places(3)[2], epochs(3)
    for shaped in (
        (lat[:, None], lon[None, :], 300.0, NOON),
        (lat[:, None, None], lon[:, None], alt, NOON),
        (lat[:, None, None], lon[:, None], alt, when),
        (12.0, lon[:, None], 0.0, when),
        (12.0, 77.0, 0.0, when),
        (lat, 77.0, 0.0, NOON),
        (12.0, 77.0, alt, when[:1]),
        (lat[:, None], 77.0, 100.0, when),
    ):
        full = np.broadcast_arrays(*shaped)
        assert_same(call(*shaped, backend=backend), call(*full, backend=backend))


@EVERY_CALL
def test_memory_layouts(backend, call):
    lat, lon, alt = (x.reshape(40, 60) for x in places(2400))
    when = epochs(2400).reshape(40, 60)
    whole = call(lat, lon, alt, when, backend=backend)
    for view in (
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        lambda x: x.T.copy().T,
        lambda x: x.astype(x.dtype.newbyteorder(">")),
        lambda x: np.frombuffer(b"\0" * 3 + x.tobytes(), np.uint8)[3:].view(x.dtype).reshape(x.shape),  # not aligned
    ):
        arrays = [view(x) for x in (lat, lon, alt, when)]
        before = [x.copy() for x in arrays]
        for x in arrays:
            x.flags.writeable = False
        assert_same(call(*arrays, backend=backend), whole)
        assert_same(call(arrays[0], lon, alt, when, backend=backend), whole)
        for x, old in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(x, old)


def test_no_result_shares_memory_with_its_input(backend):
    xyz = np.array([[7000.0, 0, 0], [0, 8000.0, 0]])
    for frames in (("geo", "geo"), ("cd", "cd"), ("ed", "ed"), ("cd", "geo")):
        found = transform_xyz(xyz, *frames, epoch=2025, backend=backend)
        assert not np.shares_memory(found, xyz)
        assert found.flags.writeable
        if frames[0] == frames[1]:
            np.testing.assert_allclose(found, xyz, rtol=0, atol=1e-11)
    lat = np.zeros(3)
    for value in geo_to_cd(lat, lat, lat, epoch=2025, backend=backend):
        assert value.flags.writeable
        assert value.flags.c_contiguous
        assert not np.shares_memory(value, lat)


@EVERY_PLACE
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint8, np.uint32, np.float16, np.longdouble])
def test_every_real_type_is_taken(backend, call, dtype):
    lat, lon, alt = np.array([[12, 45, 80], [88, 100, 5], [0, 100, 120]], dtype)
    expected = call(*(x.astype(float) for x in (lat, lon, alt)), 2020.5, backend=backend)
    found = call(lat, lon, alt, 2020.5, backend=backend)
    assert all(value.dtype == np.float64 for value in found)
    assert_same(found, expected)
    assert_same(call(lat, lon, alt, np.array([2020, 1950, 2000]), backend=backend),
                call(lat, lon, alt, [2020.0, 1950.0, 2000.0], backend=backend))  # fmt: skip


@EVERY_CALL
def test_float32_in_float32_out(backend, call):
    single = [x.astype(np.float32) for x in places(5000)]
    for when in (NOON, epochs(5000)):
        found = call(*single, when, backend=backend)
        exact = call(*(x.astype(float) for x in single), when, backend=backend)
        for value, expected in zip(found, exact, strict=True):
            assert value.dtype == np.float32
            np.testing.assert_allclose(value, expected.astype(np.float32), rtol=2e-7, atol=1e-30)
    one = call(*(x[0] for x in single), NOON, backend=backend)
    assert all(isinstance(value, np.float32) for value in one)
    mixed = call(single[0], single[1].astype(float), single[2], NOON, backend=backend)
    assert all(value.dtype == np.float64 for value in mixed[:3])
    plain = call(single[0], 77.0, 0.0 if call is not CALLS["ed_to_geo"] else single[2], NOON, backend=backend)
    assert all(value.dtype == np.float32 for value in plain)  # numbers of Python take no part


def test_float32_of_the_small_functions():
    latitudes = np.array([-60.0, 0.0, 45.0], np.float32)
    for found in (
        dip_latitude(latitudes),
        l_shell(latitudes, np.array([7000.0, 8000.0, 9000.0], np.float32)),
        invariant_latitude(np.array([1.0, 2.0, 6.6], np.float32)),
        apparent_solar_time(latitudes, NOON),
    ):
        assert found.dtype == np.float32
        assert found.shape == (3,)


@EVERY_CALL
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_in_torch_out(backend, call, dtype):
    torch = pytest.importorskip("torch")
    arrays = [x.astype(dtype) for x in places(50)]
    tensors = [torch.from_numpy(x) for x in arrays]
    for value, expected in zip(
        call(*tensors, NOON, backend=backend), call(*arrays, NOON, backend=backend), strict=True
    ):
        assert isinstance(value, torch.Tensor)
        assert str(value.dtype) == f"torch.{dtype}"
        np.testing.assert_array_equal(value.numpy(), expected)
    several = [datetime.datetime(2000 + i % 25, 1, 1) for i in range(50)]
    for value in call(*tensors, several, backend=backend):
        assert value.shape == (50,)
    with pytest.raises(TypeError, match="one library, but lat is torch, lon is numpy"):
        call(tensors[0], arrays[1], tensors[2], NOON, backend=backend)
    with pytest.raises(TypeError, match="lat requires grad"):
        call(tensors[0].clone().requires_grad_(), *tensors[1:], NOON, backend=backend)


def test_torch_epochs_and_small_functions(backend):
    torch = pytest.importorskip("torch")
    lat = torch.tensor([12.0, 45.0], dtype=torch.float64)
    years = torch.tensor([1950.0, 2025.0], dtype=torch.float64)
    found = geo_to_ed(lat, lat, epoch=years, backend=backend)
    expected = geo_to_ed(lat.numpy(), lat.numpy(), epoch=years.numpy(), backend=backend)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    for value in (
        dip_latitude(lat),
        l_shell(lat, 7000 + lat),
        invariant_latitude(lat),
        apparent_solar_time(lat, NOON, backend=backend),
    ):
        assert isinstance(value, torch.Tensor)
    with pytest.raises(TypeError, match="one library, but lat is torch, epoch is numpy"):
        geo_to_cd(lat, lat, epoch=years.numpy(), backend=backend)


def test_results_have_names(backend):
    for found, kind, names in (
        (geo_to_cd(1, 2, epoch=2025, backend=backend), Coordinates, ("lat", "lon", "r")),
        (ed_to_geo(1, 2, epoch=2025, backend=backend), GeographicCoordinates, ("lat", "lon", "alt")),
        (xyz_to_geo([1e4, 0, 0], backend=backend), GeographicCoordinates, ("lat", "lon", "alt")),
        (subsolar_point(NOON, backend=backend), SubsolarPoint, ("lat", "lon")),
        (
            dipole_field(1, 2, epoch=2025, backend=backend),
            Field,
            ("north", "east", "down", "horizontal", "total", "declination", "inclination"),
        ),
    ):
        assert type(found) is kind
        assert found._fields == names
        assert all(type(value) is np.float64 for value in found)
    assert poles(2025)._fields == (
        *("cd_north", "cd_south", "ed_axial_north", "ed_axial_south", "ed_dip_north", "ed_dip_south"),
        "eccentric_distance",
    )
    assert poles([2000, 2025]).ed_dip_south.lon.shape == (2,)


def test_cartesian_arrays_of_every_shape_and_type(backend):
    xyz = np.random.default_rng(0).uniform(-9e3, 9e3, (6, 3))
    whole, when = transform_xyz(xyz, "geo", "ed", epoch=2020.5, backend=backend), epochs(6)
    places_of = xyz_to_geo(xyz, backend=backend)
    options = {"epoch": 2020.5, "backend": backend}
    assert transform_xyz(np.empty((0, 3)), "geo", "ed", **options).shape == (0, 3)
    assert xyz_to_geo(np.empty((0, 3)), backend=backend).lat.shape == (0,)
    assert geo_to_xyz(np.empty((2, 0)), 5.0, backend=backend).shape == (2, 0, 3)
    for i in range(6):
        assert_same([transform_xyz(xyz[i].tolist(), "geo", "ed", **options)], [whole[i]])
        one = xyz_to_geo(xyz[i], backend=backend)
        assert all(type(value) is np.float64 for value in one)
        assert_same(one, [value[i] for value in places_of])
        assert_same([geo_to_xyz(*one, backend=backend)], [xyz[i]])
    assert_same([geo_to_xyz(*places_of, backend=backend)], [xyz])
    grid = transform_xyz(xyz[:, None], "geo", "ed", epoch=when, backend=backend)
    assert grid.shape == (6, 6, 3)
    for i in range(6):
        assert_same([transform_xyz(xyz, "geo", "ed", epoch=when[i], backend=backend)], [grid[:, i]])
    for view in (
        np.asfortranarray(xyz),
        xyz.T.copy().T,
        np.repeat(xyz, 2, axis=0)[::2],
        np.pad(xyz, ((0, 0), (1, 2)))[:, 1:4],
        xyz.astype(">f8"),
        xyz[::-1].copy()[::-1],
    ):
        assert_same([transform_xyz(view, "geo", "ed", **options)], [whole])
        assert_same(xyz_to_geo(view, backend=backend), places_of)
    whole_km = np.rint(xyz)
    assert_same(
        [transform_xyz(whole_km.astype(np.int32), "geo", "cd", **options)],
        [transform_xyz(whole_km, "geo", "cd", **options)],
    )
    assert np.isnan(transform_xyz([NAN, 7e3, 0], "geo", "cd", **options)).all()
    assert np.isnan(xyz_to_geo([NAN, 7e3, 0], backend=backend).lat)
    single = xyz.astype(np.float32)
    found = transform_xyz(single, "geo", "ed", **options)
    assert found.dtype == np.float32
    exact_found = transform_xyz(single.astype(float), "geo", "ed", **options)
    np.testing.assert_allclose(found, exact_found.astype(np.float32), rtol=2e-7, atol=0)
    assert xyz_to_geo(single, backend=backend).alt.dtype == np.float32
    assert geo_to_xyz(single[:, 0] / 100, single[:, 1], backend=backend).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cartesian_tensors(backend, dtype):
    torch = pytest.importorskip("torch")
    xyz = np.random.default_rng(0).uniform(-9e3, 9e3, (6, 3)).astype(dtype)
    tensor = torch.from_numpy(xyz)
    found = transform_xyz(tensor, "cd", "geo", epoch=2020.5, backend=backend)
    expected = transform_xyz(xyz, "cd", "geo", epoch=2020.5, backend=backend)
    pairs = [
        (found, expected),
        *zip(xyz_to_geo(tensor, backend=backend), xyz_to_geo(xyz, backend=backend), strict=True),
    ]
    pairs.append((geo_to_xyz(tensor[:, 0] / 100, tensor[:, 1], backend=backend),
                  geo_to_xyz(xyz[:, 0] / 100, xyz[:, 1], backend=backend)))  # fmt: skip
    for value, wanted in pairs:
        assert isinstance(value, torch.Tensor)
        assert str(value.dtype) == f"torch.{dtype}"
        np.testing.assert_array_equal(value.numpy(), wanted)


# --- one epoch or many ------------------------------------------------------------------------------------------------


@EVERY_PLACE
def test_one_epoch_or_an_epoch_for_each(backend, call):
    lat, lon, alt = places(3000)
    for one in (2011.37, np.datetime64("2011-05-17T03:04:05")):
        each = np.full(lat.shape, one)
        assert_same(call(lat, lon, alt, one, backend=backend), call(lat, lon, alt, each, backend=backend), 1e-8)
        assert_same(call(lat, lon, alt, one, backend=backend), call(lat, lon, alt, each[:1], backend=backend), 1e-8)
    when = epochs(3000)
    assert_same(
        call(lat, lon, alt, when, backend=backend), call(lat, lon, alt, decimal_year(when), backend=backend), 1e-7
    )


# --- missing values ---------------------------------------------------------------------------------------------------


@EVERY_CALL
@pytest.mark.parametrize("which", range(4), ids=["lat", "lon", "alt", "epoch"])
def test_nan_gives_nan_there_and_only_there(backend, call, which):
    arguments = [*places(100), epochs(100)]
    whole = call(*arguments, backend=backend)
    missing = np.zeros(100, bool)
    missing[[0, 17, 99]] = True
    arguments[which] = np.where(missing, np.datetime64("NaT") if which == 3 else NAN, arguments[which])
    for value, expected in zip(call(*arguments, backend=backend), whole, strict=True):
        np.testing.assert_allclose(value[~missing], expected[~missing], rtol=1e-13, atol=1e-9)
        assert np.isnan(value[missing]).any()
    if which < 3:
        arguments = [*(x[1:2] for x in places(100)), NOON]
        arguments[which] = NAN
        assert all(np.isnan(value).all() for value in call(*arguments, backend=backend))


# --- threads and memory -----------------------------------------------------------------------------------------------


@EVERY_CALL
def test_same_bits_for_every_number_of_threads(backend, call):
    lat, lon, alt = places(20_011)
    when = epochs(20_011)
    for arguments in ((lat, lon, alt, NOON), (lat, lon, alt, when), (lat[:150, None], lon[:130], 0.0, NOON)):
        results = []
        for n in (1, 2, 3):
            ecgkern.set_num_threads(n)
            results.append(call(*arguments, backend=backend))
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_same_bits_of_the_sun_for_every_number_of_threads(backend):
    when = epochs(6_007)
    lat, lon, _ = places(31)
    results = []
    for n in (1, 2, 3):
        ecgkern.set_num_threads(n)
        results.append(
            [
                *subsolar_point(when, algorithm="grena5", backend=backend),
                dipole_tilt(when, backend=backend),
                magnetic_local_time(lat[:, None], lon[:, None], when, kind="ed", backend=backend),
                magnetic_local_time(lat, lon, when[:, None], kind="ed", sun="surface", backend=backend),
            ]
        )
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_calls_from_several_python_threads_agree(backend):
    lat, lon, alt = places(30_000)
    when = epochs(30_000)
    expected = geo_to_ed(lat, lon, alt, epoch=when, backend=backend)
    results = [None] * 4

    def work(i):
        results[i] = geo_to_ed(lat, lon, alt, epoch=when, backend=backend)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results:
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


MEMORY = """
import os, resource, sys, tracemalloc
import numpy as np
import ecgkern
from ecgkern.geomag import *

backend, n = {"backend": sys.argv[1]}, int(sys.argv[2])
side = int(n**0.5)
ecgkern.set_num_threads(2)
rng = np.random.default_rng(4)
lat, lon, alt, years = (rng.uniform(low, high, n) for low, high in ((-90, 90), (-180, 180), (0, 900), (1900, 2030)))
times = np.datetime64("2000-01-01", "us") + np.arange(n) * np.timedelta64(600, "s")
single, seconds = [x.astype("f4") for x in (lat, lon, alt)], times.astype("M8[s]")
xyz = rng.uniform(7000, 9000, (n, 3))
rows, now, each = lat[:side, None], {"epoch": 2025.0, **backend}, {"epoch": years, **backend}
cases = {
    "one epoch": lambda: geo_to_ed(lat, lon, alt, **now),
    "inverse": lambda: ed_to_geo(lat, lon, alt=alt, **now),
    "field": lambda: dipole_field(lat, lon, alt, **now),
    "a year for each": lambda: geo_to_ed(lat, lon, alt, **each),
    "a time for each": lambda: geo_to_ed(lat, lon, alt, epoch=times, **backend),
    "a time for each, in seconds": lambda: geo_to_ed(lat, lon, alt, epoch=seconds, **backend),
    "field, a year for each": lambda: dipole_field(lat, lon, alt, **each),
    "grid": lambda: geo_to_ed(rows, lon[:side], **now),
    "field on a grid": lambda: dipole_field(rows, lon[:side], **now),
    "float32": lambda: geo_to_ed(*single, **now),
    "float32, a time for each": lambda: geo_to_ed(*single, epoch=times, **backend),
    "every other": lambda: geo_to_cd(lat[::2], lon[::2], alt[::2], **now),
    "local time": lambda: magnetic_local_time(lat, lon, times, **backend),
    "points by times": lambda: magnetic_local_time(rows, rows, times[:side], **backend),
    "times by points": lambda: magnetic_local_time(lat[:side], lon[:side], times[:side, None], kind="ed", **backend),
    "few times, float32": lambda: magnetic_local_time(*(x[: n // 4] for x in single[:2]), times[:4, None], **backend),
    "cartesian": lambda: geo_to_xyz(lat, lon, alt, **backend),
    "from cartesian": lambda: xyz_to_geo(xyz, **backend),
    "turned": lambda: transform_xyz(xyz, "geo", "ed", **each),
}


def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


whole = lat, lon, alt, years, times, *single, seconds, xyz
lat, lon, alt, years, times, *single, seconds, xyz = (x[:900] for x in whole)
n, side, rows, each["epoch"] = 900, 30, lat[:30, None], years
for call in cases.values():
    call()  # starts threads, compiles
lat, lon, alt, years, times, *single, seconds, xyz = whole
n, each["epoch"] = len(lat), years
side = int(n**0.5)
rows = lat[:side, None]
with open("/proc/self/statm") as file:
    resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
ballast = np.ones(max(0, peak() - resident) + 2**20, np.uint8)  # from here on every page more raises the peak
tracemalloc.start()
keep = []
for name, call in cases.items():
    resident, (allocated, _) = peak(), tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    keep.append(call())
    size = sum(x.nbytes for x in (keep[-1] if isinstance(keep[-1], tuple) else [keep[-1]]))
    extra = tracemalloc.get_traced_memory()[1] - allocated - size
    print(f"{name}: {extra / 2**20:.2f} {(peak() - resident - size) / 2**20:.2f}")
"""


def test_a_call_takes_its_results_and_1_mb(backend):
    """What NumPy allocates, and what the process grows by; NumPy's own backend is slow and gets fewer points."""
    n = "250000" if backend == "numpy" else "1000000"
    run = subprocess.run([sys.executable, "-c", MEMORY, backend, n], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 19
    measured = np.array([line.rsplit(": ")[1].split() for line in lines], float)
    assert not [line for line, (allocated, _) in zip(lines, measured, strict=True) if allocated > 1.0]
    assert not [line for line, (_, grown) in zip(lines, measured, strict=True) if grown > 2.0]


# --- bad input --------------------------------------------------------------------------------------------------------

FUNCTIONS = {
    "geo_to_cd": (geo_to_cd, {"lat": 12.0, "lon": 88.0, "alt": 0.0, "epoch": 2020.0}),
    "geo_to_ed": (geo_to_ed, {"lat": 12.0, "lon": 88.0, "alt": 0.0, "epoch": 2020.0}),
    "cd_to_geo": (cd_to_geo, {"lat": 12.0, "lon": 88.0, "epoch": 2020.0}),
    "ed_to_geo": (ed_to_geo, {"lat": 12.0, "lon": 88.0, "epoch": 2020.0}),
    "dipole_field": (dipole_field, {"lat": 12.0, "lon": 88.0, "alt": 0.0, "epoch": 2020.0}),
    "magnetic_local_time": (magnetic_local_time, {"lat": 12.0, "lon": 88.0, "time": NOON, "alt": 0.0}),
    "geo_to_xyz": (geo_to_xyz, {"lat": 12.0, "lon": 88.0, "alt": 0.0}),
    "xyz_to_geo": (xyz_to_geo, {"xyz": [7000.0, 0.0, 0.0]}),
    "transform_xyz": (
        transform_xyz,
        {"xyz": [7000.0, 0.0, 0.0], "source": "geo", "target": "ed", "epoch": 2020.0},
    ),
    "subsolar_point": (subsolar_point, {"time": NOON}),
    "dipole_tilt": (dipole_tilt, {"time": NOON}),
    "apparent_solar_time": (apparent_solar_time, {"lon": 88.0, "time": NOON}),
}
WITH = {
    name: [f for f, (_, good) in FUNCTIONS.items() if name in good]
    for name in ("lat", "lon", "alt", "epoch", "time", "xyz")
}
WITH["coords"] = [*WITH["lat"], "xyz_to_geo"]
WITH["r"] = ["cd_to_geo", "ed_to_geo"]
WITH["model"] = [*WITH["epoch"], "magnetic_local_time", "dipole_tilt"]
WITH["kind"] = ["dipole_field", "magnetic_local_time"]
WITH["sun"] = ["magnetic_local_time"]
WITH["algorithm"] = WITH["time"]
WITH["source"] = WITH["target"] = ["transform_xyz"]
WITH["out_of_range"] = WITH["model"]
WITH["backend"] = list(FUNCTIONS)
MASKED = np.ma.array([1.0, 2.0], mask=[0, 1])

# The argument that the message names, the value, the error, the message.
BAD = [
    ("lat", 90.00000000000001, ValueError, "lat must be from -90 to 90 degrees, got 90.00000000000001"),
    ("lat", [[0.0, 80.0], [-91.5, 95.0]], ValueError, r"lat must be .* got -91.5 at \[1, 0\] \(2 such values\)"),
    ("lat", INF, ValueError, "lat must be from -90 to 90 degrees, got inf"),
    ("lat", [NAN, -INF], ValueError, r"lat must be from -90 to 90 degrees, got -inf at \[1\]"),
    ("lat", np.float32([90.5]), ValueError, r"lat must be from -90 to 90 degrees, got 90.5 at \[0\]"),
    ("lat", np.array([5, 200], np.uint8), ValueError, r"lat must be from -90 to 90 degrees, got 200 at \[1\]"),
    ("lat", "12", TypeError, "lat must hold real numbers, got dtype <U2"),
    ("lat", ["12"], TypeError, "lat must hold real numbers"),
    ("lat", True, TypeError, "lat must hold real numbers, got dtype bool"),
    ("lat", np.array([True]), TypeError, "lat must hold real numbers, got dtype bool"),
    ("lat", None, TypeError, "lat must hold real numbers, got dtype object"),
    ("lat", 1 + 0j, TypeError, "lat must hold real numbers, got dtype complex128"),
    ("lat", NOON, TypeError, "lat must hold real numbers, got dtype datetime64"),
    ("lat", [[1.0], [1.0, 2.0]], ValueError, "lat must be a rectangular array"),
    ("lat", MASKED, TypeError, "lat is a masked array"),
    ("lon", INF, ValueError, "lon must be finite degrees, got inf"),
    ("lon", [0.0, -INF], ValueError, r"lon must be finite degrees, got -inf at \[1\]"),
    ("lon", 1e300, ValueError, "lon must be finite degrees, got 1e\\+300"),
    ("lon", "88E", TypeError, "lon must hold real numbers"),
    ("lon", False, TypeError, "lon must hold real numbers, got dtype bool"),
    ("lon", MASKED, TypeError, "lon is a masked array"),
    ("lon", object(), TypeError, "lon must hold real numbers, got dtype object"),
    ("alt", INF, ValueError, "alt must be finite .* and above the centre of the Earth"),
    ("alt", [0.0, -INF], ValueError, r"alt must be finite .* got -inf at \[1\]"),
    ("alt", -6335.5, ValueError, r"alt must be .* above the centre of the Earth \(-6335.4 km\), got -6335.5"),
    ("alt", "0", TypeError, "alt must hold real numbers"),
    ("alt", None, TypeError, "alt must hold real numbers"),
    ("alt", True, TypeError, "alt must hold real numbers, got dtype bool"),
    ("alt", MASKED, TypeError, "alt is a masked array"),
    ("r", -1e-9, ValueError, "r must be finite .* and not negative"),
    ("r", [7000.0, INF], ValueError, r"r must be finite .* got inf at \[1\]"),
    ("r", "7000", TypeError, "r must hold real numbers"),
    ("r", True, TypeError, "r must hold real numbers, got dtype bool"),
    ("xyz", [7000.0, 0.0], ValueError, r"xyz must have 3 values along its last axis, got shape \(2,\)"),
    ("xyz", 7000.0, ValueError, r"xyz must have 3 values along its last axis, got shape \(\)"),
    ("xyz", np.ones((3, 2)), ValueError, r"xyz must have 3 values along its last axis, got shape \(3, 2\)"),
    ("xyz", [INF, 0.0, 0.0], ValueError, r"xyz must be finite .*, in km, got inf at \[0\]"),
    ("xyz", ["x", "y", "z"], TypeError, "xyz must hold real numbers"),
    ("xyz", [True, False, True], TypeError, "xyz must hold real numbers, got dtype bool"),
    ("epoch", None, TypeError, "epoch must be given for the model 'igrf14'"),
    ("epoch", "2020", TypeError, "epoch must be decimal years, datetime, datetime64 .*got str"),
    ("epoch", ["2020"], TypeError, "epoch must"),
    ("epoch", np.array(["2020"]), TypeError, "epoch must be decimal years"),
    ("epoch", True, TypeError, "epoch must be decimal years, .*got bool"),
    ("epoch", [True], TypeError, "epoch must"),
    ("epoch", 2020j, TypeError, "epoch must"),
    ("epoch", object(), TypeError, "epoch must"),
    ("epoch", np.timedelta64(5, "D"), TypeError, "epoch must"),
    ("epoch", datetime.time(12), TypeError, "epoch must"),
    ("epoch", 1899.99, ValueError, "epoch must be from 1900.0 to 2030.0 for the model 'igrf14', got 1899.99"),
    ("epoch", 2030.0000001, ValueError, "epoch must be from 1900.0 to 2030.0 .*got 2030.0000001"),
    ("epoch", [2020.0, 2031.0], ValueError, r"epoch must be from 1900.0 to 2030.0 .*got 2031.0 at \[1\]"),
    ("epoch", [NAN, 1800.0], ValueError, r"epoch must be from 1900.0 to 2030.0 .*got 1800.0 at \[1\]"),
    ("epoch", INF, ValueError, "epoch must be from 1900.0 to 2030.0 .*got inf"),
    (
        "epoch",
        np.datetime64("1899-12-31T23:59:59"),
        ValueError,
        "epoch must be from 1900.0 to .*got 1899-12-31T2",
    ),
    ("epoch", datetime.datetime(2030, 1, 1, 0, 0, 1), ValueError, "epoch must be .*got 2030-01-01T00:00:01"),
    ("epoch", np.array(["2020", "NaT", "2031"], "M8[Y]"), ValueError, r"epoch must be .*got 2031 at \[2\]"),
    ("epoch", np.datetime64(2**62, "s"), ValueError, "epoch must lie within"),
    ("epoch", [NOON, 2020.0], TypeError, r"epoch\[1\] must be datetime or datetime64"),
    ("time", 2020.5, TypeError, "time must be datetime, datetime64 or an array of them, got float"),
    ("time", 20200101, TypeError, "time must be datetime, datetime64 or an array of them, got int"),
    ("time", [2020.5], TypeError, "time must be datetime, datetime64 or an array of them, got list"),
    ("time", np.array([2020.5]), TypeError, "time must be .*got dtype float64"),
    ("time", "2020-01-01", TypeError, "time must be .*got str"),
    ("time", ["2020-01-01"], TypeError, "time must be .*got list"),
    ("time", True, TypeError, "time must be .*got bool"),
    ("time", None, TypeError, "time must be .*got NoneType"),
    ("time", datetime.time(12), TypeError, "time must be .*got time"),
    ("time", np.timedelta64(5, "D"), TypeError, "time must be"),
    ("time", [NOON, None], TypeError, r"time\[1\] must be datetime or datetime64"),
    ("time", np.datetime64(2**62, "s"), ValueError, "time must lie within"),
    ("coords", "geographic", ValueError, "coords must be one of 'geodetic', 'geocentric'; got 'geographic'"),
    ("coords", None, ValueError, "coords must be one of"),
    ("model", "igrf12", ValueError, "model must be one of 'igrf14', 'igrf13', 'igrf1990-ramana' or eight coefficients"),
    ("model", [1.0] * 7, ValueError, "model must hold the eight coefficients g10, g11, .* got 7"),
    ("model", [0.0] * 3 + [1.0] * 5, ValueError, "model must have a dipole"),
    ("model", [NAN] * 8, ValueError, "model must be finite"),
    ("model", np.ones((1, 8)), ValueError, "model must have 1 dimension"),
    ("model", ["1"] * 8, TypeError, "model must hold real numbers"),
    ("kind", "dipole", ValueError, "kind must be one of 'cd', 'ed'; got 'dipole'"),
    ("sun", "moon", ValueError, "sun must be one of 'direction', 'surface'; got 'moon'"),
    ("algorithm", "spa", ValueError, "algorithm must be one of 'almanac', 'grena5'; got 'spa'"),
    ("source", "gse", ValueError, "source must be one of 'geo', 'cd', 'ed'; got 'gse'"),
    ("target", None, ValueError, "target must be one of 'geo', 'cd', 'ed'; got None"),
    (
        "out_of_range",
        "wrap",
        ValueError,
        "out_of_range must be one of 'raise', 'nan', 'clip', .*got 'wrap'",
    ),
    ("out_of_range", None, ValueError, "out_of_range must be one of"),
    ("backend", "fpga", ValueError, "backend must be None or one of fortran, numba, numpy, cuda; got 'fpga'"),
    ("backend", "cuda", ecgkern.BackendUnavailableError, "backend 'cuda' is not available"),
]
BAD_CALLS = [(name, *case) for case in BAD for name in WITH[case[0]]]


@pytest.mark.parametrize(
    ("function", "argument", "value", "error", "message"),
    BAD_CALLS,
    ids=[f"{i}-{case[0]}-{case[1]}" for i, case in enumerate(BAD_CALLS)],
)
def test_bad_arguments(backend, function, argument, value, error, message):
    call, good = FUNCTIONS[function]
    with pytest.raises(error, match=message):
        call(**{"backend": backend, **good, argument: value})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lat": np.ones(3), "lon": np.ones(2)}, ValueError, r"shapes of lat and lon .* got lat \(3,\), lon \(2,\)"),
        ({"lat": np.ones(3), "alt": np.ones((2, 2))}, ValueError, r"must broadcast, got .*alt \(2, 2\)"),
        ({"lat": np.ones(3), "epoch": [2020.0, 2021.0]}, ValueError, r"must broadcast, got .*epoch \(2,\)"),
        ({"alt": -6371.3, "coords": "geocentric"}, ValueError, r"alt must be .*\(-6371.2 km\), got -6371.3"),
        (
            {"epoch": 2025.1, "model": "igrf13"},
            ValueError,
            "epoch must be .* 2025.0 for the model 'igrf13'",
        ),
        ({"epoch": None, "model": "igrf13"}, TypeError, "epoch must be given for the model 'igrf13'"),
        ({"epoch": "now", "model": "igrf1990-ramana"}, TypeError, "epoch must be decimal years"),
    ],
)
@pytest.mark.parametrize("function", [geo_to_cd, geo_to_ed, dipole_field])
def test_bad_combinations(backend, function, change, error, message):
    with pytest.raises(error, match=message):
        function(**{"lat": 12.0, "lon": 88.0, "epoch": 2020.0, "backend": backend, **change})


def test_the_lowest_heights_are_taken(backend):
    for function in (geo_to_cd, geo_to_ed, dipole_field):
        assert np.isfinite(function(45.0, 10.0, -6335.4, epoch=2020, backend=backend)).all()
        assert np.isfinite(function(45.0, 10.0, -6371.1, epoch=2020, coords="geocentric", backend=backend)).all()
    assert geo_to_cd(45.0, 10.0, -6371.2, epoch=2020, coords="geocentric", backend=backend).r == 0


def test_r_or_alt_but_not_both(backend):
    for function in (cd_to_geo, ed_to_geo):
        with pytest.raises(TypeError, match=r"give r, .* or alt, .* not both"):
            function(12.0, 88.0, 7000.0, alt=0.0, epoch=2020.0, backend=backend)
        with pytest.raises(ValueError, match=r"must broadcast, got .*r \(2,\)"):
            function(np.ones(3), 88.0, np.ones(2), epoch=2020.0, backend=backend)
        surface = function(12.0, 88.0, epoch=2020.0, backend=backend)
        assert tuple(surface) == tuple(function(12.0, 88.0, alt=0.0, epoch=2020.0, backend=backend))
        assert surface.alt == pytest.approx(0, abs=1e-9)
        with pytest.raises(ValueError, match=r"alt must be finite .* and above the centre of the Earth"):
            function(12.0, 88.0, alt=-6336.0, epoch=2020.0, backend=backend)


def test_bad_shapes_of_times(backend):
    when = np.full(3, NOON)
    with pytest.raises(ValueError, match=r"must broadcast, got .*time \(3,\)"):
        magnetic_local_time(np.ones(2), 88.0, when, backend=backend)
    with pytest.raises(ValueError, match=r"must broadcast, got .*epoch \(2,\)"):
        magnetic_local_time(12.0, 88.0, when, epoch=[2020.0, 2021.0], backend=backend)
    with pytest.raises(ValueError, match=r"must broadcast, got .*time \(3,\)"):
        apparent_solar_time(np.ones(2), when, backend=backend)
    with pytest.raises(ValueError, match=r"must broadcast, got .*epoch \(2,\)"):
        dipole_tilt(when, epoch=[2020.0, 2021.0], backend=backend)
    with pytest.raises(ValueError, match="must broadcast"):
        transform_xyz(np.ones((4, 3)), "geo", "cd", epoch=[2020.0, 2021.0], backend=backend)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Dipole.at(), TypeError, "epoch must be given for the model 'igrf14'"),
        (lambda: Dipole.at(1899.0), ValueError, "epoch must be from 1900.0 to 2030.0 .*got 1899.0"),
        (lambda: Dipole.at(2000.0, model="wmm"), ValueError, "model must be one of"),
        (lambda: Dipole.at(2000.0, out_of_range="ignore"), ValueError, "out_of_range must be one of"),
        (lambda: Dipole.at("2000"), TypeError, "epoch must be decimal years"),
        (lambda: poles(), TypeError, "epoch must be given"),
        (lambda: poles(2031.0), ValueError, "epoch must be from 1900.0 to 2030.0 .*got 2031.0"),
        (lambda: poles(2000.0, coords="gc"), ValueError, "coords must be one of"),
        (lambda: poles(2000.0, model=[1, 2]), ValueError, "model must hold the eight coefficients"),
        (lambda: decimal_year(2000.0), TypeError, "time must be datetime, datetime64 or an array of them, got float"),
        (lambda: decimal_year("2000-01-01"), TypeError, "time must be .*got str"),
        (lambda: dip_latitude(90.5), ValueError, "inclination must be from -90 to 90 degrees, got 90.5"),
        (lambda: dip_latitude("45"), TypeError, "inclination must hold real numbers"),
        (lambda: l_shell(91.0, 7000.0), ValueError, "lat must be from -90 to 90"),
        (lambda: l_shell(45.0, -1.0), ValueError, "r must be finite .* and not negative"),
        (lambda: l_shell(np.ones(2), np.ones(3)), ValueError, "shapes of lat and r must broadcast"),
        (lambda: l_shell(True, 7000.0), TypeError, "lat must hold real numbers"),
        (lambda: invariant_latitude(-1.0), ValueError, "l must be not negative"),
        (lambda: invariant_latitude([None]), TypeError, "l must hold real numbers"),
    ],
)
def test_bad_arguments_of_what_has_no_backend(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- where precision or range could be lost --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "f2", "f4", ">f4", "f8"])
def test_small_functions_compute_in_double_precision(dtype):
    tolerance = 1e-6 if np.dtype(dtype).itemsize == 4 else 1e-13  # of float32 results
    assert dip_latitude(np.array([60], dtype))[0] == pytest.approx(40.893394649130904, rel=tolerance)
    assert l_shell(np.array([60], dtype), np.array([7000], dtype if dtype[-1] != "1" else "i2"))[0] == pytest.approx(
        4 * 7000 / 6371.2, rel=tolerance
    )
    assert invariant_latitude(np.array([4], dtype))[0] == pytest.approx(60, rel=tolerance)
    if dtype != "u1":
        np.testing.assert_array_equal(dip_latitude(np.array([90, -90], dtype)), [90, -90])


def test_float32_keeps_half_open_ranges(backend):
    # Rounded to float32 these would be 24 hours and -180 degrees.
    time = np.datetime64("2025-03-20T22:40:38.050")
    times = time + np.arange(-300, 300) * np.timedelta64(1, "ms")
    lat, lon = np.float32([[10]]), np.float32([[20]])
    for shape in (times, times[:, None], times[None, :]):
        hours = magnetic_local_time(lat, lon, shape, backend=backend)
        assert hours.dtype == np.float32
        assert hours.min() < 0.01
        assert hours.max() < 24
    day = np.datetime64("2025-03-20T12:00") + np.arange(0, 86_400_000, 997) * np.timedelta64(1, "ms")
    assert apparent_solar_time(np.float32([-180]), day, backend=backend).max() < 24
    assert xyz_to_geo(np.float32([-6400, -1e-6, 0]), backend=backend).lon == 180


def test_apparent_solar_time_of_many_turns(backend):
    time = np.datetime64("2025-03-20T12:00")
    turned, once = (apparent_solar_time(lon, time, backend=backend) for lon in (1e15, np.fmod(1e15, 360)))
    assert turned == once


def test_numbers_beyond_what_squares_can_hold_are_errors(backend):
    with pytest.raises(ValueError, match=r"alt must be finite \(1e\+100 at most\).*got 1e\+160"):
        geo_to_cd(45.0, 0.0, 1e160, epoch=2025, backend=backend)
    with pytest.raises(ValueError, match="xyz must be finite"):
        xyz_to_geo([1e160, 0.0, 0.0], backend=backend)
    for size in (1e160, 1e-160):
        with pytest.raises(ValueError, match="model must have a dipole"):
            geo_to_cd(45.0, 0.0, model=[size * 3e4, 0, 0, 0, 0, 0, 0, 0], backend=backend)


def test_an_infinite_epoch_is_an_error():
    for rule in ("nan", "clip", "extrapolate"):
        with pytest.raises(ValueError, match="epoch must be finite or NaN, got inf"):
            geo_to_cd(1.0, 2.0, epoch=[2000.0, np.inf], out_of_range=rule)


@pytest.mark.parametrize("seconds", ["2020", "2021"])
def test_masked_times_are_refused(seconds):
    masked = np.ma.array(np.array(["2020", seconds], "M8[s]"), mask=[False, True])
    for call in (decimal_year, subsolar_point, lambda value: geo_to_cd(1.0, 2.0, epoch=value)):
        with pytest.raises(TypeError, match="masked array"):
            call(masked)


def test_times_that_do_not_fit_are_errors_wherever_they_stand():
    far = np.datetime64(584_544, "Y")
    for value in (far, [far, datetime.datetime(2000, 1, 1)], np.array([far, None], object)[:1]):
        with pytest.raises(ValueError, match=r"(time|epoch).* must lie within 290000 years"):
            geo_to_cd(1.0, 2.0, epoch=value)
    edge = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5)))
    with pytest.raises(ValueError, match="time must be a time that UTC can tell"):
        decimal_year(edge)


def test_empty_lists_are_empty_times(backend):
    assert decimal_year([]).shape == (0,)
    assert magnetic_local_time([], [], [], backend=backend).shape == (0,)
    assert geo_to_cd([], [], epoch=[], backend=backend).lat.shape == (0,)


def test_out_takes_arrays_only(backend):
    results = [np.empty(3), np.empty(3), None]
    with pytest.raises(TypeError, match=r"out\[2\] must be an array, got None"):
        geo_to_cd(np.zeros(3), np.zeros(3), epoch=2025, out=results, backend=backend)
    results[2] = results[0]
    with pytest.raises(ValueError, match=r"out\[2\] must not share memory with out\[0\]"):
        geo_to_cd(np.zeros(3), np.zeros(3), epoch=2025, out=results, backend=backend)


def test_out_is_written_and_returned(backend):
    lat, lon = np.linspace(-80, 80, 7), np.linspace(0, 300, 7)
    expected = dipole_field(lat, lon, epoch=2025, backend=backend)
    results = [np.full(7, np.nan) for _ in expected]
    found = dipole_field(lat, lon, epoch=2025, out=results, backend=backend)
    assert all(a is b for a, b in zip(found, results, strict=True))
    np.testing.assert_array_equal(found, expected)
    hours = np.empty((7, 2))
    times = np.array(["2025-01-01", "2026-01-01"], "M8[D]")
    assert magnetic_local_time(lat[:, None], lon[:, None], times, out=hours, backend=backend) is hours
    np.testing.assert_array_equal(hours, magnetic_local_time(lat[:, None], lon[:, None], times, backend=backend))


def test_one_compilation_serves_scalars_arrays_and_pieces():
    kernels = pytest.importorskip("ecgkern.geomag._numba")
    lat = np.linspace(-80, 80, 5)
    read_only = lat.copy()
    read_only.flags.writeable = False
    times = np.datetime64("2020-01-01", "us") + np.arange(5)
    for epoch in (2025, lat + 2000 - lat, times):
        for value in (1.0, lat, read_only, lat[::-1], lat.astype("f4")):
            geo_to_cd(value, lat, epoch=epoch, backend="numba")
            geo_to_cd(lat, 1.0, value, epoch=epoch, backend="numba")
    assert len(kernels._convert.signatures) == 1


def test_a_value_out_of_range_anywhere_in_large_arrays_is_found(backend):
    n = 70_001
    for at in (0, 63, 64, 40_000, n - 1):
        for name, bad, message in (
            ("lat", 90.000001, rf"lat must be from -90 to 90 degrees, got 90.000001 at \[{at}\] \(1 such values\)"),
            ("lat", -np.inf, "lat must be from -90"),
            ("lon", np.inf, rf"lon must be finite degrees, got inf at \[{at}\]"),
            ("alt", -6372.0, rf"alt must be finite .* and above the centre of the Earth .*got -6372.0 at \[{at}\]"),
        ):
            given = {"lat": np.zeros(n), "lon": np.full(n, np.nan), "alt": np.zeros(n)}
            given[name][at] = bad
            for call in (geo_to_cd, geo_to_ed, dipole_field):
                with pytest.raises(ValueError, match=message):
                    call(**given, epoch=2020, backend=backend)
            for time in (NOON, np.full(n, NOON), np.full((2, 1), NOON)):
                with pytest.raises(ValueError, match=message):
                    magnetic_local_time(**given, time=time, backend=backend)
            with pytest.raises(ValueError, match=message):  # in pieces
                geo_to_cd(**{k: np.stack([v, v], axis=1)[:, 0] for k, v in given.items()}, epoch=2020, backend=backend)
    for name, bad in (("lat", 91), ("lon", np.inf), ("r", -1e-9), ("alt", -6400)):
        given = {"lat": np.zeros(n), "lon": np.zeros(n)} | {"alt" if name == "alt" else "r": np.full(n, 7000.0)}
        given[name][n // 2] = bad
        for call in (cd_to_geo, ed_to_geo):
            with pytest.raises(ValueError, match=rf"{name} must be .* at \[{n // 2}\]"):
                call(**given, epoch=2020, backend=backend)
    for call in (geo_to_cd, dipole_field):
        assert call(np.zeros((2, 1)), np.zeros((1, 0)), epoch=2020, backend=backend)[0].shape == (2, 0)
        with pytest.raises(ValueError, match=r"lat must be .* got 91.0 at \[1, 0\]"):
            call(np.array([[0.0], [91.0]]), np.zeros((1, 0)), epoch=2020, backend=backend)
    no_times = np.zeros((0, 1), "M8[us]")
    assert magnetic_local_time([0.0, 1.0], 0.0, no_times, backend=backend).shape == (0, 2)
    with pytest.raises(ValueError, match=r"lat must be .* got 91.0 at \[1\]"):
        magnetic_local_time([0.0, 91.0], 0.0, no_times, backend=backend)


def test_nan_and_the_ends_of_the_ranges_are_no_error(backend):
    lat, lon = np.tile([90.0, -90.0, np.nan, 0.0], 20_000), np.tile([2.0**53, -(2.0**53), 0.0, np.nan], 20_000)
    found = geo_to_cd(
        lat, lon, np.tile([-6371.2, 1e100, 0.0, 0.0], 20_000), epoch=2020, coords="geocentric", backend=backend
    )
    assert np.isnan(found.lat).tolist() == [False, False, True, True] * 20_000
