"""Geomagnetic coordinates, field and poles: published values, 40-digit values and identities, on every backend."""

import json
from functools import cache
from pathlib import Path

import geomag_oracle as oracle
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecgkern.geomag import (
    Dipole,
    _model,
    cd_to_geo,
    dip_latitude,
    dipole_field,
    dipole_tilt,
    ed_to_geo,
    geo_to_cd,
    geo_to_ed,
    geo_to_xyz,
    invariant_latitude,
    l_shell,
    poles,
    subsolar_point,
    transform_xyz,
    xyz_to_geo,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "geomag.json").read_text())
RADIUS = 6371.2
FORWARD = {"cd": geo_to_cd, "ed": geo_to_ed}
INVERSE = {"cd": cd_to_geo, "ed": ed_to_geo}
DEGREES, NANOTESLA, KM = 1e-11, 1e-6, 1e-9  # how far a result may be from the exact one
COORDS = pytest.mark.parametrize("coords", ["geodetic", "geocentric"])
KINDS = pytest.mark.parametrize("kind", ["cd", "ed"])


def wrapped(difference):
    """Degrees from -180 to 180."""
    return (np.asarray(difference, float) + 180) % 360 - 180


def apart(lat, lon, exact_lat, exact_lon):
    """Degrees between places: of latitude and, on the circle of latitude, of longitude, whichever is more."""
    east = wrapped(np.asarray(lon) - exact_lon) * np.cos(np.radians(exact_lat))
    return np.maximum(np.abs(np.asarray(lat) - exact_lat), np.abs(east))


def half_a_digit(text):
    """Half a unit of the last printed digit, and a little for the binary form."""
    mantissa, _, power = text.lower().partition("e")
    return 0.501 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))


def assert_printed(got, printed, at_least=0.0):
    """Agreement to half a unit of the last printed digit, or to `at_least` where fewer digits are meant."""
    for value, text in zip(np.ravel(got), printed, strict=True):
        assert abs(value - float(text)) <= max(at_least, half_a_digit(text)), (value, text)


def rows(section):
    """The columns and the rows, a dictionary each, of a table of text."""
    names = section["columns"].split(",")
    return [dict(zip(names, row.split(","), strict=True)) for row in section["rows"]]


def numbers(text):
    return [float(value) for value in text.split(",")]


# --- published values -------------------------------------------------------------------------------------------------


def test_the_coefficients_are_those_of_the_published_files():
    published = np.array([numbers(row) for row in GOLDEN["coefficients"]["igrf14"]])
    ours = _model.TABLES["igrf14"]
    np.testing.assert_array_equal(ours.years, published[:, 0])
    np.testing.assert_array_equal(ours.coefficients, published[:, 1:])
    newest = np.array([numbers(row) for row in GOLDEN["coefficients"]["igrf13"]])
    published = np.concatenate([published[:-3], newest])  # up to 2015 the generations are one
    ours = _model.TABLES["igrf13"]
    np.testing.assert_array_equal(ours.years, published[:, 0])
    np.testing.assert_allclose(ours.coefficients, published[:, 1:], rtol=0, atol=KM)
    np.testing.assert_array_equal(Dipole.at(model="igrf1990-ramana").coefficients, GOLDEN["toolkit"]["coefficients"])


@pytest.mark.parametrize("row", rows(GOLDEN["parameters"]), ids=lambda row: row["epoch"])
def test_parameters_to_40_digits(row):
    found = Dipole.at(float(row["epoch"]))
    assert found.b0 == pytest.approx(float(row["b0"]), abs=1e-9)
    assert_printed([90 - found.pole.lat, found.pole.lon], [row["colatitude"], row["longitude"]], 1e-10)
    assert_printed(found.delta, [row[name] for name in ("eta", "zeta", "xi")], 1e-12)


@pytest.mark.parametrize("row", rows(GOLDEN["points"]), ids=lambda row: ",".join(list(row.values())[:5]))
def test_points_to_40_digits(backend, row):
    epoch, lat, lon, alt = (float(row[name]) for name in ("epoch", "lat", "lon", "alt"))
    options = {"epoch": epoch, "coords": {"gc": "geocentric", "gd": "geodetic"}[row["kind"]], "backend": backend}
    cd, ed = geo_to_cd(lat, lon, alt, **options), geo_to_ed(lat, lon, alt, **options)
    assert_printed([cd.lat, cd.lon], [row["cdlat"], row["cdlon"]], 1e-10)
    assert_printed([ed.lat, ed.lon, ed.r], [row["edlat"], row["edlon"], row["edr_km"]], 1e-10)
    for kind in ("cd", "ed"):
        found = dipole_field(lat, lon, alt, kind=kind, **options)
        assert_printed(found[:3], [row[f"{axis}_{kind}"] for axis in "xyz"], 1e-6)


@pytest.mark.parametrize("row", rows(GOLDEN["table"]), ids=lambda row: row["epoch"])
def test_the_table_of_dipoles_and_poles(row):
    epoch = float(row["epoch"])
    found, geocentric, geodetic = Dipole.at(epoch), poles(epoch), poles(epoch, coords="geodetic")
    lat, lon, distance = xyz_to_geo(found.offset_km, coords="geocentric")
    ours = [
        epoch,
        found.b0,
        geocentric.cd_north.lat,
        geodetic.cd_north.lat,
        geocentric.cd_north.lon,
        *found.offset_km,
        geocentric.eccentric_distance,
        lat,
        lon,
        *(value for pole in geocentric[2:6] for value in pole),
    ]
    assert_printed(ours, row.values())
    assert found.eccentric_distance == geocentric.eccentric_distance == pytest.approx(distance + RADIUS, abs=1e-9)
    assert apart(*geocentric.cd_north, -geocentric.cd_south.lat, geocentric.cd_south.lon + 180) < 1e-12


def test_the_toolkit_of_the_author(backend):
    printed, full = GOLDEN["toolkit"]["printed"], GOLDEN["toolkit"]["full"]
    found = Dipole.at(model="igrf1990-ramana")
    colatitude = 90 - found.pole.lat
    for values in (printed, full):
        assert_printed([found.b0, colatitude, found.pole.lon], [values["b0"], *values["pole"]])
    assert_printed(found.rotation, [text for row in printed["rotation"] for text in row])
    assert_printed(found.delta, printed["delta"])
    assert_printed([found.eccentric_distance], [printed["distance"]])
    assert_printed(xyz_to_geo(found.offset_km, coords="geocentric")[:2], printed["direction"])

    options = {"model": "igrf1990-ramana", "backend": backend}
    geo = geo_to_xyz(*map(float, printed["point"]), coords="geocentric", backend=backend)
    assert_printed(geo, printed["geo"])
    for kind in ("cd", "ed"):
        for values in (printed, full):
            assert_printed(transform_xyz(geo, "geo", kind, **options), values[kind])

    station = [float(text) for text in printed["station"]]
    for kind in ("ed", "cd"):
        field = dipole_field(*station, kind=kind, coords="geocentric", **options)
        names = full[f"field_{'' if kind == 'ed' else 'cd_'}columns"].split(",")
        assert_printed([getattr(field, name) for name in names], full[f"field_{kind}"].split(","))
    field = dipole_field(*station, coords="geocentric", **options)
    assert_printed([-field.down, -field.north, field.east], printed["field_r_theta_lambda"])
    assert_printed([field.inclination, field.declination], [printed["inclination"], printed["declination"]])

    ours = poles(model="igrf1990-ramana")
    assert_printed([*ours.ed_axial_north, *ours.ed_axial_south], full["axial_poles"])
    assert_printed([*ours.ed_dip_north, *ours.ed_dip_south], full["dip_poles"])


@pytest.mark.parametrize("case", GOLDEN["fraser_smith"]["cases"], ids=lambda case: str(case.get("epoch", "own")))
def test_fraser_smith(case):
    found = Dipole.at(case.get("epoch"), model=case.get("coefficients", "igrf14"))
    offset = {"offset_km": found.offset_km, "offset_cd_km": found.rotation @ found.offset_km}
    tolerance = GOLDEN["fraser_smith"]["tolerance"]
    for name, values in offset.items():
        if name in case:
            assert_printed(values, case[name], tolerance["km"])
        if f"ours_{name}" in case:
            assert_printed(values, case[f"ours_{name}"])
    if "pole" in case:
        assert apart(*found.pole, *map(float, case["pole"])) <= tolerance["degrees"]
        assert_printed([found.pole.lat, found.pole.lon % 360], [case["ours_pole"][0], _east(case["ours_pole"][1])])
    if "distance" in case:
        assert_printed([found.eccentric_distance], [case["distance"]])


def _east(text):
    """The same longitude from 0 to 360, with the same digits."""
    return f"{float(text) % 360:.{len(text.partition('.')[2])}f}"


def test_cole_and_simonow_for_1955():
    assert_printed(Dipole.at(1955).delta, GOLDEN["fraser_smith"]["delta_1955"])


@pytest.mark.parametrize("source", ["whoi", "spenvis", "igrf13_paper"])
def test_published_tables_of_the_centred_pole(source):
    section = GOLDEN[source]
    for row in rows(section):
        found = poles(float(row["epoch"]), coords="geodetic" if source == "igrf13_paper" else "geocentric").cd_north
        tolerance = section.get(f"tolerance_{row['epoch']}", section["tolerance"])
        assert abs(found.lat - float(row["lat"])) <= tolerance, row
        assert abs(wrapped(found.lon - float(row["lon"]))) <= tolerance, row


@pytest.mark.parametrize("case", GOLDEN["spacepy"]["cases"], ids=lambda case: case["epoch"])
def test_spacepy(case):
    found = Dipole.at(np.datetime64(case["epoch"]))
    assert_printed([found.b0], [case["b0"]], 1e-9)
    if "pole" in case:
        assert_printed([90 - found.pole.lat, found.pole.lon], case["pole"])


def test_lanlgeomag(backend):
    for row in GOLDEN["lgm"]["rows"]:
        time, *vectors = row.split(",")
        geo, mag = np.array(vectors, float).reshape(2, 3)
        options = {"epoch": np.datetime64(time), "backend": backend}
        tolerance = GOLDEN["lgm"]["tolerance"]
        np.testing.assert_allclose(transform_xyz(geo, "geo", "cd", **options), mag, rtol=0, atol=tolerance)
        np.testing.assert_allclose(transform_xyz(mag, "cd", "geo", **options), geo, rtol=0, atol=2 * tolerance)
    for row in rows(GOLDEN["lgm_eccentric"]):
        found = Dipole.at(float(row.pop("epoch")))
        assert_printed([90 - found.pole.lat], [row.pop("colatitude")], 1e-5)
        assert_printed([found.pole.lon, *found.delta], row.values())


def test_geopack(backend):
    case = GOLDEN["geopack"]
    geo = RADIUS * np.array(case["geo"])
    found = transform_xyz(geo, "geo", "cd", epoch=np.datetime64(case["time"]), backend=backend) / RADIUS
    np.testing.assert_allclose(found, case["theirs"], rtol=0, atol=case["tolerance"])
    assert_printed(found, case["ours"])


def test_sunpy_also_beyond_the_last_epoch():
    for row in GOLDEN["sunpy"]["rows"]:
        time, lon, lat = row.split(",")
        found = Dipole.at(np.datetime64(time), model="igrf13", out_of_range="extrapolate").pole
        assert_printed([found.lon, found.lat], [lon, lat])


def test_spedas_and_aacgm_axes():
    case = GOLDEN["spedas"]
    axis = Dipole.at(np.datetime64(case["time"]), model="igrf13").rotation[2]
    np.testing.assert_allclose(axis, case["theirs"], rtol=0, atol=case["tolerance"])
    case = GOLDEN["aacgm_axis"]
    np.testing.assert_allclose(Dipole.at(case["epoch"]).rotation[2], case["axis"], rtol=case["rtol"])


def test_magcoordpy(backend):
    case = GOLDEN["magcoordpy"]
    for row in rows(case):
        lat, lon = float(row["lat"]), float(row["lon"])
        found = geo_to_cd(lat, lon, epoch=case["epoch"], model="igrf13", backend=backend)
        assert_printed([found.lat, found.lon], [row["cd_lat"], row["cd_lon"]])


def test_eoxmagmod_axes(backend):
    case = GOLDEN["eoxmagmod"]
    lat, lon = np.radians(case["pole"])
    toward = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    model = [-3e4 * toward[2], -3e4 * toward[0], -3e4 * toward[1], 0, 0, 0, 0, 0]
    for lat, lon, *axis in case["rows"]:
        xyz = geo_to_xyz(lat, lon, coords="geocentric", backend=backend) / RADIUS
        for kind in ("cd", "ed"):
            found = transform_xyz(xyz, "geo", kind, model=model, backend=backend)
            np.testing.assert_allclose(found, axis, rtol=0, atol=1e-15)


def test_geodetic_latitudes_of_apexpy(backend):
    for geocentric, geodetic in GOLDEN["geodetic"]["rows"]:
        x, _, z = geo_to_xyz(geodetic, 0, backend=backend)
        assert np.degrees(np.arctan2(z, x)) == pytest.approx(geocentric, abs=GOLDEN["geodetic"]["tolerance"])
        on_sphere = xyz_to_geo([x, 0, z], coords="geocentric", backend=backend)
        assert on_sphere.lat == pytest.approx(geocentric, abs=GOLDEN["geodetic"]["tolerance"])


def test_the_cross_check_of_coordinates(backend):
    section = GOLDEN["cross_check"]
    for row in section["cartesian"]:
        epoch, lat, lon, *printed = row.split(",")
        geo = geo_to_xyz(float(lat), float(lon), coords="geocentric", backend=backend)
        options = {"epoch": float(epoch), "backend": backend}
        assert_printed(transform_xyz(geo, "geo", "cd", **options), printed[:3])
        assert_printed(transform_xyz(geo, "geo", "ed", **options), printed[3:])
    for row in rows(section["igrf13_2025"]):
        lat, lon, *theirs = map(float, row.values())
        found = geo_to_cd(lat, lon, epoch=2025.0, model="igrf13", coords="geocentric", backend=backend)
        np.testing.assert_allclose(found[:2], theirs, rtol=0, atol=section["igrf13_2025"]["tolerance"])
    sciapy = section["sciapy_gd_1990"]
    assert_printed(Dipole.at(1990).offset_km, sciapy["offset_km"])
    for row in rows(sciapy):
        lat, lon = float(row["lat"]), float(row["lon"])
        cd, ed = (to(lat, lon, epoch=1990, backend=backend) for to in (geo_to_cd, geo_to_ed))
        # Its last digit is cut off in places.
        assert_printed([cd.lat, cd.lon, ed.lon], [row["cd_lat"], row["cd_lon"], row["ed_lon"]], 1e-9)


def test_the_cross_check_of_the_field(backend):
    for case in GOLDEN["cross_check"]["field"]:
        field = dipole_field(
            *case["point"], epoch=case["epoch"], kind=case["kind"], coords="geocentric", backend=backend
        )
        assert_printed([getattr(field, name) for name in case["values"]], case["values"].values())
    irbem = GOLDEN["cross_check"]["irbem_field"]
    for lat, lon, *theirs in irbem["rows"]:
        field = dipole_field(lat, lon, epoch=1990, coords="geocentric", backend=backend)
        np.testing.assert_allclose(field[:3], theirs, rtol=0, atol=irbem["tolerance"])


# --- 40 digits --------------------------------------------------------------------------------------------------------

N_RANDOM = 500  # of each kind of geographic coordinates
AWKWARD = [
    *((lat, lon, 0.0, 2025.0) for lat in (90.0, -90.0) for lon in (0.0, -0.0, 123.4, 180.0, -180.0)),
    *((lat, lon, 120.0, 2011.3) for lat in (89.9999999, -89.999999999999) for lon in (10.0, -179.9999)),
    *((-0.0, lon, 0.0, 1990.0) for lon in (-0.0, 0.0, 90.0, -90.0, 180.0, -180.0, 360.0, 270.0)),
    *((10.0, lon, -0.0, 2024.47) for lon in (180.0, -180.0, 540.0, 179.99999999999997, -179.99999999999997)),
    *((-45.0, lon, 300.0, 1965.2) for lon in (360.0, 361.5, -725.5, 1079.999, 36000.25, -1e6)),
    *((33.3, -100.1, 10.0, float(year)) for year in range(1900, 2031, 5)),
    *((33.3, -100.1, 10.0, year) for year in (1900.0000001, 2029.9999999, 1954.9999999999998, 1955.0000000000002)),
    *((lat, 77.7, alt, 2000.0) for lat in (-60.1, 0.0, 1e-9, 1e-300) for alt in (-600.0, 40000.0, 1e6)),
    (80.78936073371896, -72.76282255384708, 0.0, 2025.0),  # the centred pole
    (-80.78936073371896, 107.23717744615292, 0.0, 2025.0),
    (84.91999657724634, -100.49830284727602, 0.0, 2025.0),  # the axial pole
    (82.26571802504063, 165.6203199167964, 0.0, 2025.0),  # the dip pole
]


@cache
def epoch_of(year):
    table = _model.TABLES["igrf14"]
    return oracle.dipole(oracle.coefficients_at(table.years.tolist(), table.coefficients.tolist(), year))


@cache
def points(coords):
    """Latitudes, longitudes, heights and epochs: random ones and those that trip up formulas."""
    rng = np.random.default_rng(len(coords))
    random = np.transpose(
        [
            np.degrees(np.arcsin(rng.uniform(-1, 1, N_RANDOM))),
            rng.uniform(-720, 720, N_RANDOM),
            rng.choice([-600, 0, 400, 40000], N_RANDOM) * rng.uniform(0, 1, N_RANDOM),
            rng.uniform(1900, 2030, N_RANDOM),
        ]
    )
    return np.concatenate([random, AWKWARD])


@cache
def exact(coords, kind, what):
    """The 40-digit results at `points`, rounded to float64."""
    found = []
    for lat, lon, alt, year in points(coords).tolist():
        frame = epoch_of(year)
        if what == "coordinates":
            row = oracle.spherical(oracle.into(oracle.cartesian(lat, lon, alt, coords), frame, kind))
        elif what == "field":
            row = oracle.field(lat, lon, alt, frame, kind, coords)
        elif what == "from r":  # the same numbers as latitude, longitude and distance in the dipole frame
            u = [(oracle.EARTH_RADIUS + oracle.mp.mpf(alt)) * x for x in oracle.direction(lat, lon)]
            row = oracle.geographic(oracle.out_of(u, frame, kind), coords)
        else:
            row = oracle.along_ray(lat, lon, alt, frame, kind, coords)
        found.append([float(value) for value in row])
    return np.array(found).T


@COORDS
@KINDS
def test_coordinates_are_exact(backend, kind, coords):
    lat, lon, alt, epoch = points(coords).T
    exact_lat, exact_lon, exact_r = exact(coords, kind, "coordinates")
    found = FORWARD[kind](lat, lon, alt, epoch=epoch, coords=coords, backend=backend)
    assert apart(found.lat, found.lon, exact_lat, exact_lon).max() <= DEGREES
    assert np.abs(found.r - exact_r).max() <= KM
    assert found.lon.min() > -180
    assert found.lon.max() <= 180


@COORDS
@KINDS
@pytest.mark.parametrize("given", ["r", "alt"])
def test_inverses_are_exact(backend, kind, coords, given):
    lat, lon, alt, epoch = points(coords).T
    exact_lat, exact_lon, exact_alt = exact(coords, kind, f"from {given}")
    height = {"alt": alt} if given == "alt" else {"r": (alt.astype("g") + np.longdouble("6371.2")).astype(float)}
    found = INVERSE[kind](lat, lon, **height, epoch=epoch, coords=coords, backend=backend)
    assert apart(found.lat, found.lon, exact_lat, exact_lon).max() <= DEGREES
    assert np.abs(found.alt - exact_alt).max() <= KM
    assert found.lon.min() > -180
    assert found.lon.max() <= 180


@COORDS
@KINDS
def test_the_field_is_exact(backend, kind, coords):
    lat, lon, alt, epoch = points(coords).T
    *components, declination, inclination = exact(coords, kind, "field")
    found = dipole_field(lat, lon, alt, epoch=epoch, kind=kind, coords=coords, backend=backend)
    for value, expected in zip(found[:5], components, strict=True):
        assert np.abs(value - expected).max() <= NANOTESLA
    horizontal, total = components[3], components[4]
    assert (np.abs(wrapped(found.declination - declination)) * horizontal / total).max() <= DEGREES
    assert np.abs(found.inclination - inclination).max() <= DEGREES


@COORDS
def test_cartesian_coordinates_are_exact(backend, coords):
    lat, lon, alt, _ = points(coords).T
    expected = np.array([[float(x) for x in oracle.cartesian(*row[:3], coords)] for row in points(coords).tolist()])
    found = geo_to_xyz(lat, lon, alt, coords=coords, backend=backend)
    assert np.abs(found - expected).max() <= KM
    back = np.array([[float(x) for x in oracle.geographic(row, coords)] for row in found.tolist()]).T
    ours = xyz_to_geo(found, coords=coords, backend=backend)
    assert apart(ours.lat, ours.lon, back[0], back[1]).max() <= DEGREES
    assert np.abs(ours.alt - back[2]).max() <= KM


def test_any_coefficients_are_exact(backend):
    """A dipole that points anywhere, with quadrupoles as large: no quadrant and no sign is special."""
    rng = np.random.default_rng(3)
    signs = [[g10, g11, h11] for g10 in (-3e4, 2e4) for g11 in (-9e3, 0, 8e3) for h11 in (-5e3, 0, 7e3)]
    for first in [*signs, [0, 1e4, 0], [0, 0, -1e4], [0, -2e4, 1e3]]:
        model = [*first, *rng.normal(0, 3e3, 5)]
        frame, ours = oracle.dipole(model), Dipole.at(model=model)
        np.testing.assert_allclose(ours.rotation, np.array(frame.axes, float), rtol=0, atol=1e-15)
        np.testing.assert_allclose(ours.offset_km, np.array(frame.offset, float), rtol=1e-14, atol=1e-11)
        for lat, lon, kind in ((33.3, -100.1, "cd"), (-61.7, 20.2, "ed")):
            place = oracle.spherical(oracle.into(oracle.cartesian(lat, lon, 0, "geocentric"), frame, kind))
            found = FORWARD[kind](lat, lon, model=model, coords="geocentric", backend=backend)
            assert apart(*found[:2], *map(float, place[:2])) <= DEGREES
            field = dipole_field(lat, lon, kind=kind, model=model, coords="geocentric", backend=backend)
            expected = oracle.field(lat, lon, 0, frame, kind, "geocentric")
            np.testing.assert_allclose(field[:5], np.array(expected[:5], float), rtol=0, atol=NANOTESLA)


def near_the_eccentric_dipole():
    """Displacements in km from it, down to nothing that float64 resolves."""
    rng = np.random.default_rng(8)
    directions = rng.normal(size=(60, 3))
    return directions * 10.0 ** rng.uniform(-6, 1, (60, 1)) / np.linalg.norm(directions, axis=1, keepdims=True)


def test_near_the_eccentric_dipole(backend):
    """There angles are those of the displacement as seen from the surface: a float64 place has so many digits."""
    epoch, frame = 2024.47, epoch_of(2024.47)
    places = Dipole.at(epoch).offset_km + near_the_eccentric_dipole()
    options = {"epoch": epoch, "backend": backend}
    moved = transform_xyz(places, "geo", "ed", **options)
    expected = [oracle.into(place, frame, "ed") for place in places.tolist()]
    np.testing.assert_allclose(moved, np.array(expected, float), rtol=0, atol=1e-12)
    np.testing.assert_allclose(transform_xyz(moved, "ed", "geo", **options), places, rtol=0, atol=1e-12)
    for coords in ("geodetic", "geocentric"):
        exact_lat, exact_lon, exact_r = np.array([oracle.spherical(u) for u in expected], float).T
        geo = np.array([oracle.geographic(place, coords) for place in places.tolist()], float).T
        back = ed_to_geo(exact_lat, exact_lon, exact_r, coords=coords, **options)
        share = np.linalg.norm(places, axis=1) / RADIUS
        assert (apart(back.lat, back.lon, geo[0], geo[1]) * share).max() <= DEGREES
        assert np.abs(back.alt - geo[2]).max() <= KM
        found = geo_to_ed(*geo, coords=coords, **options)
        assert (apart(found.lat, found.lon, exact_lat, exact_lon) * exact_r / RADIUS).max() <= DEGREES
        assert np.abs(found.r - exact_r).max() <= KM


def test_the_field_near_the_eccentric_dipole(backend):
    """Up to 1e22 nT, to 1e-11 of it: where the dipole is 100 km away, as many digits as the place has."""
    epoch, frame = 2024.47, epoch_of(2024.47)
    directions = near_the_eccentric_dipole()
    away = 100 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    lat, lon, alt = xyz_to_geo(Dipole.at(epoch).offset_km + away, coords="geocentric", backend=backend)
    found = dipole_field(lat, lon, alt, epoch=epoch, coords="geocentric", backend=backend)
    for i, place in enumerate(zip(lat.tolist(), lon.tolist(), alt.tolist(), strict=True)):
        expected = np.array(oracle.field(*place, frame, "ed", "geocentric")[:5], float)
        np.testing.assert_allclose([value[i] for value in found[:5]], expected, rtol=0, atol=1e-11 * expected[4])


def test_the_field_at_the_dipole_itself_is_not_finite_and_no_error(backend):
    with np.errstate(all="raise"):
        field = dipole_field(0.0, 0.0, -RADIUS, epoch=2025, kind="cd", coords="geocentric", backend=backend)
    assert not np.isfinite(field.total)
    assert not np.isfinite([field.north, field.down]).any()


def test_deep_inside_the_earth(backend):
    """Geodetic coordinates are exact down to 100 km from the centre, where they end at 43 km."""
    rng = np.random.default_rng(12)
    lat, lon, r = np.degrees(np.arcsin(rng.uniform(-1, 1, 80))), rng.uniform(-180, 180, 80), rng.uniform(100, 700, 80)
    frame, options = epoch_of(2024.47), {"epoch": 2024.47, "backend": backend}
    for how, height in (("r", {"r": r}), ("alt", {"alt": r - RADIUS})):
        expected = []
        for i in range(80):
            if how == "r":
                u = [float(r[i]) * x for x in oracle.direction(float(lat[i]), float(lon[i]))]
                expected.append(oracle.geographic(oracle.out_of(u, frame, "cd"), "geodetic"))
            else:
                expected.append(oracle.along_ray(*map(float, (lat[i], lon[i], r[i] - RADIUS)), frame, "cd", "geodetic"))
        exact_lat, exact_lon, exact_alt = np.array(expected, float).T
        found = cd_to_geo(lat, lon, **height, **options)
        assert (apart(found.lat, found.lon, exact_lat, exact_lon) * r / RADIUS).max() <= DEGREES
        assert np.abs(found.alt - exact_alt).max() <= KM
    for inside in ([0.0, 0.0, 0.0], [10.0, 5.0, 10.0], [-42.0, 0.0, 0.0], [0.0, 0.0, 42.0], [0.0, 1e-9, -1e-3]):
        found = xyz_to_geo(inside, backend=backend)
        assert np.isnan([found.lat, found.alt]).all()
        assert xyz_to_geo(inside, coords="geocentric", backend=backend).alt == np.linalg.norm(inside) - RADIUS


@COORDS
def test_a_ray_that_does_not_reach_its_height_is_nan(backend, coords):
    """From the eccentric dipole, 600 km from the centre of the Earth, to heights below it."""
    rng = np.random.default_rng(13)
    n = 2000
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)
    for alt in (-6200.0, -6000.0):
        found = ed_to_geo(lat, lon, alt=alt, epoch=2025, coords=coords, backend=backend)
        reached = np.isfinite(found.lat)
        assert 0 < reached.sum() < n // 2  # more than half of them lead away
        assert np.isnan(found.alt[~reached]).all()
        there = geo_to_ed(*(x[reached] for x in found), epoch=2025, coords=coords, backend=backend)
        assert apart(there.lat, there.lon, lat[reached], lon[reached]).max() < 1e-6


def test_poles_are_exact():
    years = points("geodetic")[:, 3]
    found = poles(years)
    geodetic = poles(years, coords="geodetic")
    expected = np.array([oracle.dipole_poles(epoch_of(year)) for year in years.tolist()], float)
    for pole, exact_pole in zip(found[2:6], np.moveaxis(expected, 1, 0), strict=True):
        assert apart(pole.lat, pole.lon, *exact_pole.T).max() <= DEGREES
    axes = np.array([[float(x) for x in oracle.spherical(epoch_of(year).axes[2])[:2]] for year in years.tolist()])
    assert apart(*found.cd_north, *axes.T).max() <= DEGREES
    distance = [float(oracle.mp.sqrt(oracle.dot(*[epoch_of(year).offset] * 2))) for year in years.tolist()]
    np.testing.assert_allclose(found.eccentric_distance, distance, rtol=0, atol=KM)
    for ours, theirs in zip(geodetic[:6], found[:6], strict=True):
        np.testing.assert_array_equal(ours.lon, theirs.lon)
        tangent = np.tan(np.radians(theirs.lat)) / (1 - float(oracle.ECCENTRICITY2))
        np.testing.assert_allclose(ours.lat, np.degrees(np.arctan(tangent)), rtol=0, atol=1e-10)


# --- identities -------------------------------------------------------------------------------------------------------

ANY_BACKEND = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the fixture is a name
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, -0.0, 0.0, 90.0])
longitudes = st.floats(-720, 720) | st.sampled_from([-180.0, 180.0, -0.0, 360.0])
heights = st.floats(-600, 40000)
years = st.floats(1900, 2030) | st.sampled_from([1900.0, 1945.0, 2030.0])
frames = st.sampled_from(["geodetic", "geocentric"])
kinds = st.sampled_from(["cd", "ed"])


@ANY_BACKEND
@given(latitudes, longitudes, heights, years, frames, kinds)
def test_there_and_back_again(backend, lat, lon, alt, epoch, coords, kind):
    options = {"epoch": epoch, "coords": coords, "backend": backend}
    there = FORWARD[kind](lat, lon, alt, **options)
    back = INVERSE[kind](*there, **options)
    assert apart(back.lat, back.lon, lat, lon) <= DEGREES
    assert abs(back.alt - alt) <= KM
    again = INVERSE[kind](there.lat, there.lon, alt=alt, **options)
    assert apart(again.lat, again.lon, lat, lon) <= DEGREES
    assert abs(again.alt - alt) <= KM
    xyz = geo_to_xyz(lat, lon, alt, coords=coords, backend=backend)
    turned = transform_xyz(xyz, "geo", kind, epoch=epoch, backend=backend)
    assert np.linalg.norm(turned) == pytest.approx(there.r, abs=KM)
    np.testing.assert_allclose(transform_xyz(turned, kind, "geo", epoch=epoch, backend=backend), xyz, rtol=0, atol=KM)


@ANY_BACKEND
@given(latitudes, longitudes, heights, years, frames, kinds)
def test_the_total_field_needs_no_frame(backend, lat, lon, alt, epoch, coords, kind):
    options = {"epoch": epoch, "coords": coords, "backend": backend}
    field = dipole_field(lat, lon, alt, kind=kind, **options)
    assert field.horizontal == pytest.approx(np.hypot(field.north, field.east), abs=NANOTESLA)
    assert field.total == pytest.approx(np.hypot(field.horizontal, field.down), abs=NANOTESLA)
    assert field.down == pytest.approx(field.total * np.sin(np.radians(field.inclination)), abs=NANOTESLA)
    assert field.north == pytest.approx(field.horizontal * np.cos(np.radians(field.declination)), abs=NANOTESLA)
    assert field.east == pytest.approx(field.horizontal * np.sin(np.radians(field.declination)), abs=NANOTESLA)
    place = FORWARD[kind](lat, lon, alt, **options)
    strength = Dipole.at(epoch).b0 * (RADIUS / place.r) ** 3
    assert field.total == pytest.approx(strength * np.sqrt(1 + 3 * np.sin(np.radians(place.lat)) ** 2), abs=NANOTESLA)
    other = "geodetic" if coords == "geocentric" else "geocentric"
    moved = xyz_to_geo(geo_to_xyz(lat, lon, alt, coords=coords, backend=backend), coords=other, backend=backend)
    turned = dipole_field(*moved, kind=kind, epoch=epoch, coords=other, backend=backend)
    assert turned.total == pytest.approx(field.total, abs=NANOTESLA)
    if coords == "geocentric" and kind == "cd":
        assert np.tan(np.radians(field.inclination)) * np.cos(np.radians(place.lat)) == pytest.approx(
            2 * np.sin(np.radians(place.lat)), abs=1e-9
        )
        assert dip_latitude(field.inclination) == pytest.approx(place.lat, abs=1e-10)


@ANY_BACKEND
@given(latitudes, longitudes, heights, years)
def test_the_centred_field_is_the_harmonics_of_degree_1(backend, lat, lon, alt, epoch):
    g10, g11, h11 = Dipole.at(epoch).coefficients[:3]
    colatitude, longitude = np.radians(90 - lat), np.radians(lon)
    s, c = np.sin(colatitude), np.cos(colatitude)
    equatorial = g11 * np.cos(longitude) + h11 * np.sin(longitude)
    strength = (RADIUS / (RADIUS + alt)) ** 3
    field = dipole_field(lat, lon, alt, epoch=epoch, kind="cd", coords="geocentric", backend=backend)
    assert field.north == pytest.approx(strength * (equatorial * c - g10 * s), abs=NANOTESLA)
    assert field.east == pytest.approx(strength * (g11 * np.sin(longitude) - h11 * np.cos(longitude)), abs=NANOTESLA)
    assert field.down == pytest.approx(-2 * strength * (g10 * c + equatorial * s), abs=NANOTESLA)


def field_vector(xyz, kind, epoch, backend):
    """The field in GEO axes at places in GEO axes."""
    lat, lon, alt = xyz_to_geo(xyz, coords="geocentric", backend=backend)
    field = dipole_field(lat, lon, alt, kind=kind, epoch=epoch, coords="geocentric", backend=backend)
    sin_lat, cos_lat, sin_lon, cos_lon = (f(np.radians(angle)) for angle in (lat, lon) for f in (np.sin, np.cos))
    zero = np.zeros_like(lat)
    north = np.stack([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat], -1)
    east = np.stack([-sin_lon, cos_lon, zero], -1)
    up = np.stack([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat], -1)
    return field.north[..., None] * north + field.east[..., None] * east - field.down[..., None] * up


@KINDS
def test_the_field_has_no_sources_and_no_currents(backend, kind):
    rng = np.random.default_rng(5)
    places = rng.normal(size=(40, 3))
    places *= rng.uniform(3000, 20000, (40, 1)) / np.linalg.norm(places, axis=1, keepdims=True)
    step = 1.0  # km
    gradient = np.stack(
        [
            (field_vector(places + h, kind, 2025, backend) - field_vector(places - h, kind, 2025, backend)) / (2 * step)
            for h in step * np.eye(3)
        ]
    )  # axis of the derivative, place, component
    scale = np.abs(gradient).max(axis=(0, 2))
    divergence = sum(gradient[i, :, i] for i in range(3))
    assert (np.abs(divergence) / scale).max() < 1e-5
    for i, j in ((0, 1), (1, 2), (2, 0)):
        assert (np.abs(gradient[i, :, j] - gradient[j, :, i]) / scale).max() < 1e-5


@ANY_BACKEND
@given(latitudes, longitudes, st.floats(-600, 40000), years)
def test_the_eccentric_field_is_the_centred_one_moved(backend, lat, lon, alt, epoch):
    place = geo_to_xyz(lat, lon, alt, coords="geocentric", backend=backend)
    moved = place - Dipole.at(epoch).offset_km
    eccentric, centred = (field_vector(xyz, kind, epoch, backend) for xyz, kind in ((place, "ed"), (moved, "cd")))
    np.testing.assert_allclose(eccentric, centred, rtol=0, atol=NANOTESLA)


@ANY_BACKEND
@given(latitudes, longitudes, heights, years, frames)
def test_without_a_quadrupole_the_dipole_is_centred(backend, lat, lon, alt, epoch, coords):
    model = [*Dipole.at(epoch).coefficients[:3], 0, 0, 0, 0, 0]
    options = {"model": model, "coords": coords, "backend": backend}
    assert not Dipole.at(model=model).offset_km.any()
    ed, cd = geo_to_ed(lat, lon, alt, **options), geo_to_cd(lat, lon, alt, **options)
    np.testing.assert_allclose(ed[:2], cd[:2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ed.r, cd.r, rtol=0, atol=KM)


@settings(max_examples=60, deadline=None)
@given(years)
def test_poles_are_where_they_are_defined(epoch):
    found = poles(epoch)
    for pole, kind, latitude in (
        (found.cd_north, "cd", 90),
        (found.cd_south, "cd", -90),
        (found.ed_axial_north, "ed", 90),
        (found.ed_axial_south, "ed", -90),
    ):
        place = FORWARD[kind](pole.lat, pole.lon, epoch=epoch, coords="geocentric")
        assert place.lat == pytest.approx(latitude, abs=DEGREES)
    for pole, sign in ((found.ed_dip_north, 1), (found.ed_dip_south, -1)):
        field = dipole_field(pole.lat, pole.lon, epoch=epoch, coords="geocentric")
        assert field.horizontal < NANOTESLA
        assert sign * field.down > 3e4
    field = dipole_field(*found.cd_north, epoch=epoch, kind="cd", coords="geocentric")
    assert field.horizontal < NANOTESLA
    assert field.down == pytest.approx(2 * Dipole.at(epoch).b0, abs=NANOTESLA)
    north = geo_to_cd(90, 0, epoch=epoch)
    assert (north.lat, abs(north.lon)) == (pytest.approx(found.cd_north.lat, abs=DEGREES), 180)
    assert found.eccentric_distance == Dipole.at(epoch).eccentric_distance


@settings(max_examples=60, deadline=None)
@given(st.lists(years, min_size=1, max_size=5))
@example([1934.866527389512])  # of which a square by a power rounded otherwise
def test_the_dipole_of_many_epochs_is_the_dipole_of_each(epochs):
    many = Dipole.at(epochs)
    for i, epoch in enumerate(epochs):
        one = Dipole.at(epoch)
        for name in ("epoch", "coefficients", "b0", "rotation", "offset_km", "delta", "moment", "eccentric_distance"):
            np.testing.assert_array_equal(getattr(many, name)[i], getattr(one, name))
        assert [value[i] for value in many.pole] == list(one.pole)
        np.testing.assert_allclose(one.rotation @ one.rotation.T, np.eye(3), rtol=0, atol=1e-15)
        assert np.linalg.det(one.rotation) == pytest.approx(1)
        assert one.model == "igrf14"
    assert Dipole.at(2025.0).moment == pytest.approx(7.69e22, rel=1e-3)


@ANY_BACKEND
@given(st.floats(-89, 89), st.floats(1, 20))
def test_field_lines(backend, lat, shell):
    r = shell * RADIUS * np.cos(np.radians(lat)) ** 2
    assert l_shell(lat, r) == pytest.approx(shell, rel=1e-12)
    foot = invariant_latitude(shell)
    assert l_shell(foot, RADIUS) == pytest.approx(shell, rel=1e-9)
    assert invariant_latitude(1.0) == 0
    assert np.isnan(invariant_latitude(0.999999))


def test_dip_latitude():
    assert dip_latitude(0.0) == 0
    np.testing.assert_allclose(dip_latitude([90, -90]), [90, -90], rtol=0, atol=1e-13)
    assert dip_latitude(45.0) == pytest.approx(np.degrees(np.arctan(0.5)))


# --- the same everywhere ----------------------------------------------------------------------------------------------


@COORDS
@KINDS
def test_every_backend_gives_the_same(backend, kind, coords):
    rng = np.random.default_rng(6)
    n = 5000
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-400, 400, n)
    alt, epoch = rng.uniform(-600, 40000, n), rng.uniform(1900, 2030, n)
    for when in (epoch, 2011.3):
        options = {"epoch": when, "coords": coords}
        place, again = (FORWARD[kind](lat, lon, alt, **options, backend=name) for name in ("numpy", backend))
        assert apart(again.lat, again.lon, place.lat, place.lon).max() <= DEGREES
        np.testing.assert_allclose(again.r, place.r, rtol=0, atol=KM)
        for height in ({"r": place.r}, {"alt": alt}):
            back, again = (INVERSE[kind](lat, lon, **height, **options, backend=name) for name in ("numpy", backend))
            assert apart(again.lat, again.lon, back.lat, back.lon).max() <= DEGREES
            np.testing.assert_allclose(again.alt, back.alt, rtol=0, atol=KM)
        field, again = (dipole_field(lat, lon, alt, kind=kind, **options, backend=name) for name in ("numpy", backend))
        for a, b in zip(again[:5], field[:5], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=NANOTESLA)
        assert (np.abs(wrapped(again.declination - field.declination)) * field.horizontal / field.total).max() <= 1e-11
        np.testing.assert_allclose(again.inclination, field.inclination, rtol=0, atol=DEGREES)


def test_the_date_line_is_one_line(backend):
    lat = np.array([90.0, 45.0, 0.0, -0.0, -45.0, -90.0])
    for to in (geo_to_cd, geo_to_ed, dipole_field, cd_to_geo, ed_to_geo):
        east, west, far = (to(lat, lon, epoch=2025.0, backend=backend) for lon in (180.0, -180.0, 540.0))
        for a, b, c in zip(east, west, far, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


def test_signs_of_zero_make_no_difference(backend):
    for to in (geo_to_cd, geo_to_ed, dipole_field, cd_to_geo, ed_to_geo):
        plain = to(0.0, 0.0, epoch=1900.0, backend=backend)
        for lat, lon in ((-0.0, 0.0), (0.0, -0.0), (-0.0, -0.0)):
            assert tuple(to(lat, lon, epoch=1900.0, backend=backend)) == tuple(plain)
    origin = geo_to_cd(-90.0, 0.0, model=[-3e4, 0, 0, 0, 0, 0, 0, 0], backend=backend)
    assert origin.lat == -90
    assert -180 < origin.lon <= 180


# --- outside the years of a model -------------------------------------------------------------------------------------


def test_out_of_range(backend):
    lat, lon = 12.0, 88.0

    def at(epoch, rule, model="igrf14"):
        return geo_to_ed(lat, lon, epoch=epoch, model=model, out_of_range=rule, backend=backend)

    for inside in (1900.0, 2030.0):
        assert tuple(at(inside, "raise")) == tuple(at(inside, "clip")) == tuple(at(inside, "nan"))
    assert np.isnan(at(1899.999, "nan")).all()
    assert np.isnan(at([2030.001, 2200.0], "nan")).all()
    assert not np.isnan(at([1899.0, 2020.0], "nan").lat[1])
    assert tuple(at(1800.0, "clip")) == tuple(at(1900.0, "raise"))
    np.testing.assert_array_equal(at([2500.0, 1000.0], "clip"), at([2030.0, 1900.0], "raise"))
    for rule in ("clip", "nan", "extrapolate"):
        np.testing.assert_allclose(at([2003.3], rule), at([2003.3], "raise"), rtol=0, atol=0)
    first, second, last, before = (_model.TABLES["igrf14"].coefficients[i] for i in (0, 1, -1, -2))
    for epoch, model in ((2035.0, 2 * last - before), (1895.0, 2 * first - second)):
        for when in (epoch, [epoch]):
            np.testing.assert_allclose(
                np.ravel(at(when, "extrapolate")), np.ravel(at(None, "raise", model)), rtol=0, atol=1e-8
            )
    np.testing.assert_array_equal(
        Dipole.at(2040.0, out_of_range="clip").coefficients, _model.TABLES["igrf14"].coefficients[-1]
    )
    assert np.isnan(Dipole.at([1890.0], out_of_range="nan").b0).all()
    assert tuple(at(1500.0, "raise", "igrf1990-ramana")) == tuple(at(None, "raise", "igrf1990-ramana"))


def test_a_time_is_its_decimal_year(backend):
    moments = np.array(["1900-01-01", "1904-02-29T12:34:56", "2000-07-02", "2029-12-31T23:59:59.999999"], "M8[us]")
    exact_years = [float(oracle.exactly(oracle.decimal_year(int(m.astype("M8[ns]").astype(int))))) for m in moments]
    for to in (geo_to_cd, geo_to_ed, dipole_field):
        by_time, by_year = (to(12.0, 88.0, epoch=epoch, backend=backend) for epoch in (moments, exact_years))
        for a, b in zip(by_time, by_year, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-30_000, 30_000), min_size=8, max_size=8))
@example([0.0, 5e-324, 5e-324, -4226.0, 0.0, 22346.0, 0.0, 0.0])
@example([0.0, 5e-324, 5e-324, 0.0, 0.0, 1.0, 0.0, 0.0])
def test_dip_poles_of_any_dipole_are_right_or_nan(model):
    if np.hypot(np.hypot(model[0], model[1]), model[2]) < 1000:
        model[0] += 20_000
    found = poles(model=model)
    for pole, sign in ((found.ed_dip_north, 1), (found.ed_dip_south, -1)):
        if np.isnan(pole.lat):
            continue
        field = dipole_field(pole.lat, pole.lon, model=model, coords="geocentric", backend="numpy")
        assert np.sign(field.down) == sign
        assert field.horizontal < 1e-6 * field.total


def test_dip_poles_close_to_the_centre_are_found():
    offsets = np.random.default_rng(0).normal(size=(50, 5)) * 1500
    for quadrupole in offsets:
        model = [-30_000, -2000, 5000, *quadrupole]
        if Dipole.at(model=model).eccentric_distance < 0.3 * RADIUS:
            found = poles(model=model)
            assert not np.isnan([found.ed_dip_north, found.ed_dip_south]).any()


def test_the_tilt_of_an_axis_that_points_at_the_sun(backend):
    for day in range(0, 365, 7):
        time = np.datetime64("2025-01-01") + np.timedelta64(day, "D")
        lat, lon = map(np.radians, subsolar_point(time, backend=backend))
        axis = -3e4 * np.array([np.sin(lat), np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon)])
        assert dipole_tilt(time, model=[*axis, 0, 0, 0, 0, 0], backend=backend) == pytest.approx(90, abs=1e-5)


def test_rays_below_the_dipole_are_right_or_nan(backend):
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 5000))), rng.uniform(-180, 180, 5000)
    for height in (-5700.0, -5800.0, -5900.0, -6250.0):
        found = ed_to_geo(lat, lon, alt=height, epoch=2025, backend=backend)
        reached = ~np.isnan(found.alt)
        assert reached.any()
        assert reached.all() or height < -5760
        np.testing.assert_allclose(found.alt[reached], height, rtol=0, atol=1e-6)
