"""``ecgkern geomag``: files, single points, maps, the example, and what is said of input that cannot be used.

Coordinates and fields are golden values of 40 digits (IGRF-14, geodetic) and times those of the almanac's Sun; the
functions themselves are tested in test_geomag.py.
"""

import csv
import fcntl
import io
import os
import re
import shlex
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

from ecgkern import geomag
from ecgkern.cli import main
from ecgkern.geomag._command import _csv

cartopy = pytest.importorskip("cartopy")
shapefile = pytest.importorskip("shapefile")
image = pytest.importorskip("matplotlib.image")

from ecgkern.geomag._command import _coast, _globe, _map  # noqa: E402

ROOT = Path(__file__).parents[1]

# epoch, lat, lon, alt: CD lat, lon; ED lat, lon, r
COORDINATES = [
    (1990, 12, 88, 0, 1.753715250, 159.58793826992, 0.8034250085, 155.70431358934, 6102.34067113),
    (2025, 12.9716, 77.5946, 0, 4.850298336, 151.06209173599, 3.665322051, 146.47976347649, 6055.35481311),
    (1990, -33.4, -70.6, 400, -22.3724896854, 0.4770427772, -21.9038091765, 2.912187394, 7203.01956249),
    (2025, 69.6, 18.9, 100, 67.3420886978, 114.53191929790, 66.0737168924, 101.41891952922, 6354.83885163),
]
# The field of the ED at the same points: north, east, down in nT.
FIELDS = [
    (34441.5787499, -2220.15060877, 345.076547884),
    (34582.3854630, -2224.63293910, 3640.58277880),
    (19632.6732928, 888.899032824, -15418.9448317),
    (14682.4868341, 1660.81154245, 54128.7343937),
]
# 2025-03-20T12:00Z at (12, 88) and at Bengaluru: CD; ED with the Sun as a direction, in hours.
TIMES = [(17.756968, 17.489809), (17.083571, 16.777975)]
STATIONS = ["epoch,lat,lon,alt,name", *(",".join(map(str, row[:4])) + ",x" for row in COORDINATES)]


def run(*arguments):
    return main(["geomag", *map(str, arguments)])


def write(path, *lines, newline="\n"):
    path.write_bytes("".join(line + newline for line in lines).encode("utf-8"))
    return path


def rows_of(text, delimiter=","):
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def column(rows, name):
    return np.array([float(row[name] or "nan") for row in rows])


def table_of(capsys, *arguments):
    """Run a subcommand that works; return the rows that it writes."""
    assert run(*arguments) == 0
    return rows_of(capsys.readouterr().out)


def error_of(capsys, *arguments):
    """Run what cannot be done; return the one line that says why."""
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith(f"ecgkern geomag {arguments[0]}: ")
    return error


# Whoever runs the tests in the background, or under nohup, hands down signals that are ignored.
SIGNALS = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


def start(*arguments, code="import sys; from ecgkern.cli import main; sys.exit(main())", **options):
    command = [sys.executable, "-c", SIGNALS + code, "geomag", *map(str, arguments)]
    return subprocess.Popen(command, **options)


def many_rows(n):
    return ["lat,lon,epoch", *(f"{i % 181 - 90},{i % 359},{1900 + i % 130}.25" for i in range(n))]


@pytest.fixture
def stations(tmp_path):
    return write(tmp_path / "stations.csv", *STATIONS)


# --- transform -------------------------------------------------------------------------------------------------------


def test_transform_appends_both_dipoles(capsys, stations):
    rows = table_of(capsys, "transform", stations)
    assert list(rows[0]) == [
        "epoch",
        "lat",
        "lon",
        "alt",
        "name",
        "cd_lat",
        "cd_lon",
        "cd_r",
        "ed_lat",
        "ed_lon",
        "ed_r",
    ]
    assert [row["name"] for row in rows] == ["x"] * 4
    for i, name in enumerate(("cd_lat", "cd_lon", "ed_lat", "ed_lon", "ed_r"), start=4):
        np.testing.assert_allclose(column(rows, name), [row[i] for row in COORDINATES], atol=2e-8, rtol=0)


@pytest.mark.parametrize("backend", ["numpy", None])
@pytest.mark.parametrize("frame", ["cd", "ed"])
def test_transform_there_and_back(capsys, tmp_path, stations, frame, backend):
    choice = ["--backend", backend] if backend else []
    assert run("transform", stations, "--to", frame, "--out", tmp_path / "there.csv", *choice) == 0
    rows = table_of(capsys, "transform", tmp_path / "there.csv", "--from", frame, "--to", "geo", *choice)
    for name in ("lat", "lon", "alt"):
        np.testing.assert_allclose(column(rows, f"geo_{name}"), column(rows, name), atol=1e-9)


def test_transform_from_one_dipole_to_the_other(capsys, tmp_path, stations):
    assert run("transform", stations, "--to", "cd", "--out", tmp_path / "cd.csv") == 0
    rows = table_of(capsys, "transform", tmp_path / "cd.csv", "--from", "cd", "--to", "ed")
    np.testing.assert_allclose(column(rows, "ed_r"), [row[8] for row in COORDINATES], atol=1e-7)


def test_what_is_written_is_what_the_function_returns_to_the_last_bit(capsys, tmp_path):
    file = write(tmp_path / "a.csv", "lat,lon", "12.3,45.6", "-7,8")
    rows = table_of(capsys, "transform", file, "--epoch", "2020-07-01T06:00Z", "--coords", "geocentric", "--alt", 300)
    epoch = np.datetime64("2020-07-01T06:00")
    cd = geomag.geo_to_cd([12.3, -7], [45.6, 8], 300.0, epoch=float(geomag.decimal_year(epoch)), coords="geocentric")
    for name in cd._fields:
        np.testing.assert_array_equal(column(rows, f"cd_{name}"), getattr(cd, name))


def test_digits(capsys, stations):
    rows = table_of(capsys, "transform", stations, "--to", "ed", "--digits", 3)
    assert [row["ed_lat"] for row in rows] == ["0.803", "3.665", "-21.904", "66.074"]


def test_third_coordinates(capsys, tmp_path):
    settings = ("--model", "igrf1990-ramana", "--coords", "geocentric")
    high = write(tmp_path / "alt.csv", "lat,lon,alt", "12,88,628.8")
    far = write(tmp_path / "r.csv", "lat,lon,r", "12,88,7000")
    assert (
        table_of(capsys, "transform", high, *settings)[0]["ed_lat"]
        == table_of(capsys, "transform", far, *settings)[0]["ed_lat"]
    )
    assert "need --coords geocentric" in error_of(capsys, "transform", far, "--epoch", 2000)
    ground = table_of(capsys, "transform", write(tmp_path / "ed.csv", "lat,lon", "10,20"), "--from", "ed", *settings)
    assert abs(column(ground, "geo_alt")[0]) < 1e-9


def test_columns_may_have_other_names(capsys, tmp_path):
    file = write(tmp_path / "a.csv", "Station Lat,LON,ALT,lat", "12,88,0,nothing")
    rows = table_of(capsys, "transform", file, "--epoch", 1990, "--columns", "lat=station lat", "--to", "ed")
    np.testing.assert_allclose(column(rows, "ed_lat"), COORDINATES[0][6], atol=2e-8)


def test_own_columns_of_a_frame_go_before_plain_ones(capsys, tmp_path):
    file = write(tmp_path / "a.csv", "lat,lon,cd_lat,cd_lon", "1,2,3,4")
    rows = table_of(capsys, "transform", file, "--from", "cd", "--epoch", 2000)
    back = geomag.geo_to_cd(*(column(rows, f"geo_{name}") for name in ("lat", "lon", "alt")), epoch=2000)
    np.testing.assert_allclose([back.lat[0], back.lon[0]], [3, 4], atol=1e-9)


# --- epochs ----------------------------------------------------------------------------------------------------------


def test_epochs_are_years_or_times_and_an_option_goes_before_them(capsys, tmp_path):
    lines = ["2020.5", "2020-07-02T00:00:00", "2020-07-02T05:30:00+05:30", "2020-07-02", ""]
    file = write(tmp_path / "a.csv", "lat,lon,epoch", *(f"10,20,{epoch}" for epoch in lines))
    years = column(table_of(capsys, "transform", file, "--to", "cd"), "cd_lat")
    exact = geomag.geo_to_cd(10.0, 20.0, epoch=2020.5).lat
    np.testing.assert_allclose(years[:4], exact, atol=1e-12)
    assert np.isnan(years[4])
    fixed = column(table_of(capsys, "transform", file, "--to", "cd", "--epoch", 1950), "cd_lat")
    np.testing.assert_array_equal(fixed, geomag.geo_to_cd(10.0, 20.0, epoch=1950).lat)


def test_an_epoch_beyond_the_model_is_named_by_its_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(_csv, "ROWS", 7)
    lines = [f"10,{i},2020" for i in range(30)]
    lines[23] = "10,23,2031.5"
    file = write(tmp_path / "a.csv", "lat,lon,epoch", *lines)
    error = error_of(capsys, "transform", file)
    assert f"{file}, line 25: epoch must be from 1900.0 to 2030.0" in error
    assert "got 2031.5; --out-of-range nan, clip or extrapolate" in error
    nan = column(table_of(capsys, "transform", file, "--out-of-range", "nan"), "cd_lat")
    assert np.flatnonzero(np.isnan(nan)).tolist() == [23]
    clipped = column(table_of(capsys, "transform", file, "--out-of-range", "clip"), "cd_lat")
    assert clipped[23] == geomag.geo_to_cd(10.0, 23.0, epoch=2030.0).lat


# --- the form of the file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_quotes_and_line_ends_are_kept(capfdbinary, tmp_path, delimiter, newline):
    cells = [["name", "lat", "lon"], [f'"a{delimiter} ""b"""', "12", "88"], ['"two\nlines"', " 12 ", "88"]]
    file = write(tmp_path / "a.csv", *(delimiter.join(row) for row in cells), newline=newline)
    assert run("transform", file, "--epoch", 1990, "--to", "ed") == 0
    written = capfdbinary.readouterr().out.decode()
    assert written.count("\r\n") == (3 if newline == "\r\n" else 0)
    rows = rows_of(written, delimiter)
    assert [row["name"] for row in rows] == [f'a{delimiter} "b"', "two\nlines"]
    np.testing.assert_allclose(column(rows, "ed_lat"), COORDINATES[0][6], atol=2e-8)


def test_a_byte_order_mark_empty_lines_and_bytes_that_are_not_text(capfdbinary, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"\xef\xbb\xbflat,lon,name\n\n12,88,K\xf8benhavn\n\n")
    assert run("transform", file, "--epoch", 1990, "--to", "cd", "--digits", 1) == 0
    assert capfdbinary.readouterr().out == b"lat,lon,name,cd_lat,cd_lon,cd_r\n12,88,K\xf8benhavn,1.8,159.6,6377.2\n"


def test_empty_cells_give_empty_cells(capsys, tmp_path):
    file = write(
        tmp_path / "a.csv", "lat,lon,time,alt", ",88,2020-01-01,0", "12,,2020-01-01,0", "12,88,,0", "12,88,2020-01-01,"
    )
    for command, new in (("transform", 6), ("field", 10), ("mlt", 1)):
        rows = table_of(capsys, command, file)
        # Neither longitudes in the dipole frame nor anything else may come of a missing value.
        assert all(list(row.values())[4:] == [""] * new for row in rows[:3])


def test_delimiters_within_quotes_do_not_count(capsys, tmp_path):
    file = write(tmp_path / "a.csv", '"a, b, c, d";lat;lon', "x;12;88")
    assert run("transform", file, "--epoch", 1990, "--to", "cd", "--digits", 1) == 0
    assert capsys.readouterr().out == "a, b, c, d;lat;lon;cd_lat;cd_lon;cd_r\nx;12;88;1.8;159.6;6377.2\n"


def test_a_header_alone(capsys, tmp_path):
    assert table_of(capsys, "transform", write(tmp_path / "a.csv", "lat,lon"), "--epoch", 2000) == []
    assert run("transform", write(tmp_path / "a.csv", "lat,lon"), "--epoch", 2000, "--to", "cd") == 0
    assert capsys.readouterr().out == "lat,lon,cd_lat,cd_lon,cd_r\n"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty: its first line must name the columns"),
        (["lat,lon," + "x" * 200_000], ", line 1: field larger than field limit"),
        (["12,88"], "has no column lat; its first line is '12,88'"),
        (["lat,longitude", "1,2"], "has no column lon; its first line is 'lat,longitude'"),
        (["lat,lon,LAT", "1,2,3"], "has two columns lat"),
        (["lat,lon,cd_lat", "1,2,3"], "has a column cd_lat already"),
        (["lat,lon", "1,2", "x,2"], ", line 3, column lat: 'x' is not a number"),
        (["lat,lon", "1,2", "1_0,2"], ", line 3, column lat: '1_0' is not a number"),
        (["lat;lon", "1;2,5"], ", line 2, column lon: '2,5' is not a number; numbers have a point, not a comma"),
        (["lat,lon", "1,2,3"], ", line 2: 3 cells, the header has 2"),
        (["lat,lon", "1"], ", line 2: 1 cells, the header has 2"),
        (["lat,lon", "1,2", "", '"1,2'], "unexpected end of data"),
        (["lat,lon", "1,2", "91,2"], ", line 3: lat must be from -90 to 90 degrees, got 91.0"),
        (["lat,lon", "1,inf"], ", line 2: lon must be finite degrees, got inf"),
        (["lat,lon,alt", "1,2,-6400"], ", line 2: alt must be"),
        (["lat,lon,epoch", "1,2,inf"], ", line 2, column epoch: 'inf' is not a year from 1 to 9999"),
        (["lat,lon,epoch", "1,2,20250101"], ", line 2, column epoch: '20250101' is not a year from 1 to 9999"),
        (
            ["lat,lon,epoch", "1,2,2020", "1,2,2020-13-01"],
            ", line 3, column epoch: '2020-13-01' is not a year from 1 to 9999",
        ),
    ],
)
def test_files_that_cannot_be_used(capsys, tmp_path, lines, said):
    file = write(tmp_path / "a.csv", *lines)
    epoch = [] if lines and "epoch" in lines[0] else ["--epoch", 2000]
    assert f"{file}" in (error := error_of(capsys, "transform", file, *epoch))
    assert said in error


def test_options_that_do_not_fit(capsys, tmp_path, stations):
    plain = write(tmp_path / "plain.csv", "lat,lon", "1,2")
    assert "no epoch: give --epoch, or name a column" in error_of(capsys, "transform", plain)
    assert "epoch must be from 1900.0 to 2025.0" in error_of(
        capsys, "field", plain, "--epoch", 2026, "--model", "igrf13"
    )
    assert "--from and --to are both cd" in error_of(capsys, "transform", stations, "--from", "cd", "--to", "cd")
    assert "give a CSV file" in error_of(capsys, "transform", "--epoch", 2000)
    assert "give a CSV file" in error_of(capsys, "transform", stations, "--at", 1, 2)
    assert "--at takes LAT LON" in error_of(capsys, "transform", "--at", 1, "--epoch", 2000)
    assert "both give the height" in error_of(capsys, "field", "--at", 1, 2, 3, "--alt", 4, "--epoch", 2000)
    assert "lat must be from -90 to 90 degrees" in error_of(capsys, "field", "--at", 95, 2, "--epoch", 2000)
    assert "no column GLAT, which --columns names" in error_of(capsys, "field", stations, "--columns", "lat=GLAT")
    assert "no epoch: give --epoch" in error_of(capsys, "field", "--at", 1, 2)
    assert "has no column time" in error_of(capsys, "mlt", plain)
    assert "no time: give --time" in error_of(capsys, "mlt", "--at", 1, 2)
    assert "No such file" in error_of(capsys, "transform", tmp_path / "none.csv")
    assert "cannot write" in error_of(capsys, "transform", stations, "--out", tmp_path / "none" / "a.csv")
    assert "--sun surface is for the eccentric dipole" in error_of(capsys, "mlt", plain, "--sun", "surface")
    assert "time must be from 1900.0" in error_of(capsys, "mlt", "--at", 1, 2, "--time", "1850-01-01")


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--epoch", "soon", "neither a year from 1 to 9999 nor a time"),
        ("--epoch", "nan", "neither a year"),
        ("--epoch", "inf", "neither a year"),
        ("--epoch", "1e9", "neither a year"),
        ("--model", "1,2", "is none of igrf14"),
        ("--digits", "-1", "is not a whole number from 0 to 17"),
        ("--digits", "two", "is not a whole number from 0 to 17"),
        ("--alt", "high", "'high' is not a finite number"),
        ("--out", "", "the name is empty"),
        ("--columns", "lat", "is not of the form lat=NAME"),
        ("--columns", "height=h", "'height' is none of lat, lon, alt, r, epoch, time, nor of the first four with geo_"),
        ("--columns", "lat=A,lat=B", "lat is named more than once"),
        ("--columns", "lat=a,lon=A", "a is named more than once"),
        ("--time", "2025-10-07 25:00", "is not a time of ISO 8601"),
    ],
)
def test_options_that_mean_nothing(capsys, option, text, said):
    with pytest.raises(SystemExit, match="2"):
        run("mlt", "--at", 1, 2, "--out-of-range", "clip", option, text)
    assert re.search(f"argument {option}: .*{re.escape(said)}", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("lat,lon,h", ["--columns", "alt=h", "--alt", 100, "--epoch", 2000]),
        ("lat,lon,y", ["--columns", "epoch=y", "--epoch", 2000]),
        ("lat,lon,x", ["--columns", "cd_lat=x", "--epoch", 2000]),
    ],
)
def test_columns_that_are_named_and_not_used(capsys, tmp_path, header, options):
    file = write(tmp_path / "a.csv", header, "1,2,2000")
    error = error_of(capsys, "transform", file, *options)
    assert f"--columns names {options[1].partition('=')[0]}, which is not used" in error


def test_coordinates_of_two_frames_are_not_mixed(capsys, tmp_path):
    one = write(tmp_path / "a.csv", "ed_lat,lat,lon,r", "1,2,3,7000")
    settings = ("--from", "ed", "--epoch", 2000)
    assert "has no column ed_lon" in error_of(capsys, "transform", one, *settings)
    chosen = table_of(capsys, "transform", one, *settings, "--columns", "lat=lat")
    back = geomag.geo_to_ed(*(column(chosen, f"geo_{name}") for name in ("lat", "lon", "alt")), epoch=2000)
    np.testing.assert_allclose(np.ravel(back), [2, 3, 7000], atol=1e-8)
    both = write(tmp_path / "b.csv", "lat,lon,r,ed_lat,ed_lon", "1,2,6500,3,4")
    assert "say --columns ed_r=r" in error_of(capsys, "transform", both, *settings)
    assert table_of(capsys, "transform", both, *settings, "--columns", "ed_r=r")[0]["geo_lat"]


def test_a_column_that_may_be_the_height_is_told_of(capsys, tmp_path):
    for name, told in (("Height (km)", True), ("alt_km", True), ("h", True), ("hour", False), ("alt", False)):
        assert run("field", write(tmp_path / "a.csv", f"lat,lon,{name}", "1,2,3"), "--epoch", 2000) == 0
        error = capsys.readouterr().err
        assert ("has no column alt: height 0" in error) == told, name
    assert run("field", tmp_path / "a.csv", "--epoch", 2000, "--alt", 5) == 0
    assert capsys.readouterr().err == ""


def test_what_is_no_text_is_named_so(capsys, tmp_path):
    text = "lat,lon\n1,2\n"
    for content in (text.encode("utf-16"), b"\x1f\x8b\x08\x00\n" + text.encode()):
        (tmp_path / "a.csv").write_bytes(content)
        assert "a.csv is not a UTF-8 text" in error_of(capsys, "transform", tmp_path / "a.csv", "--epoch", 2000)


def test_errors_of_the_library_are_told_in_the_words_of_the_command(capsys, tmp_path):
    wrong = {"lat": "91", "lon": "inf", "alt": "-9000", "epoch": "1850", "r": "-1"}
    for name, cell in wrong.items():
        cells = {"lat": "1", "lon": "2", "epoch": "2000"} | {name: cell}
        file = write(tmp_path / "a.csv", ",".join(cells), ",".join(cells.values()))
        error = error_of(capsys, "transform", file, *(["--from", "ed"] if name == "r" else []))
        assert f"line 2: {name} must be" in error
        assert not re.search(r'[\["=]|such values', error.replace(str(tmp_path), "")), error


def test_an_error_in_the_first_rows_leaves_the_output_empty(capfd, tmp_path):
    assert run("transform", write(tmp_path / "a.csv", "lat,lon", "95,2"), "--epoch", 2000) == 2
    assert capfd.readouterr().out == ""


# --- pipes, size, interruption ---------------------------------------------------------------------------------------


def test_standard_input_and_output():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    there = start("transform", "-", "--to", "cd", **pipes)
    out, err = there.communicate("\n".join(STATIONS) + "\n")
    assert (there.returncode, err) == (0, "")
    back = start("transform", "-", "--from", "cd", **pipes)
    rows = rows_of(back.communicate(out)[0])
    np.testing.assert_allclose(column(rows, "geo_lat"), [row[1] for row in COORDINATES], atol=1e-9)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    file = write(tmp_path / "a.csv", *many_rows(60_000))
    process = start("transform", file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_memory_does_not_grow_with_the_file(tmp_path):
    code = """
import re, sys
from ecgkern.cli import main
status = main()
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""
    peak = []
    for n in (40_000, 200_000):
        file, out = write(tmp_path / f"{n}.csv", *many_rows(n)), tmp_path / f"{n}.out.csv"
        process = start("transform", file, "--out", out, code=code, stderr=subprocess.PIPE)
        peak.append(int(process.communicate()[1]) / 1024)
        assert process.returncode == 0
        with out.open() as lines:
            assert sum(1 for _ in lines) == n + 1
    assert peak[1] - peak[0] < 10, f"{peak} MB; the rows of the larger file alone take 60 MB more"


def test_a_bad_row_leaves_no_file_and_the_old_one_as_it_was(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(_csv, "ROWS", 1000)
    lines = many_rows(5000)
    lines[3500] = "12,no,2000"
    file = write(tmp_path / "a.csv", *lines)
    assert f"{file}, line 3501, column lon: 'no' is not a number" in error_of(
        capsys, "transform", file, "--out", tmp_path / "new.csv"
    )
    old = write(tmp_path / "old.csv", "precious")
    error_of(capsys, "transform", file, "--out", old)
    assert old.read_text() == "precious\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "old.csv"]


def test_a_file_can_be_written_over_itself(stations):
    assert run("transform", stations, "--to", "cd", "--out", stations) == 0
    np.testing.assert_allclose(column(rows_of(stations.read_text()), "cd_lon")[0], COORDINATES[0][5], atol=2e-8)


def wait_for_rows(process, folder):
    """Give it more rows than it computes at once; return when it has written some of them."""
    process.stdin.write("".join(line + "\n" for line in many_rows(30_000)).encode())
    process.stdin.flush()
    until = time.monotonic() + 30
    while not any(path.stat().st_size for path in folder.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)


def test_ctrl_c_leaves_no_half_file(tmp_path):
    process = start("transform", "-", "--out", tmp_path / "out.csv", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_rows(process, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".out.csv.{process.pid}.part"]
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1].decode()
    assert process.returncode == 130
    assert error == "ecgkern geomag transform: interrupted; no file was left half written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_leave_no_half_file(tmp_path, number):
    process = start("transform", "-", "--out", tmp_path / "out.csv", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_rows(process, tmp_path)
    process.send_signal(number)
    assert process.communicate()[1] == b""
    assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_without_a_file(tmp_path):
    with (tmp_path / "rows.csv").open("wb") as file:
        process = start("transform", "-", stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE)
    wait_for_rows(process, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b"ecgkern geomag transform: interrupted\n"
    assert process.returncode == 130


def test_the_file_that_is_replaced_keeps_its_mode(tmp_path, stations):
    out = write(tmp_path / "out.csv", "old")
    for mode in (0o640, 0o604):
        out.chmod(mode)
        assert run("transform", stations, "--out", out) == 0
        assert stat.S_IMODE(out.stat().st_mode) == mode
    assert len(rows_of(out.read_text())) == 4


def test_closed_streams_and_terminals_of_other_encodings(tmp_path, stations):
    def shell(command, **environment):
        ecgkern = (
            f'{shlex.quote(sys.executable)} -c "import sys; from ecgkern.cli import main; sys.exit(main())" geomag'
        )
        options = {"shell": True, "capture_output": True, "env": os.environ | environment, "check": False}
        return subprocess.run(f"{ecgkern} {command}", **options)

    closed = shell("transform - --epoch 2000 <&-")
    assert (closed.returncode, closed.stderr) == (2, b"ecgkern geomag transform: the standard input is closed\n")
    for command in (f"transform {stations}", "poles --epoch 2000", "field --at 1 2 --epoch 2000"):
        closed = shell(f"{command} >&-")
        assert closed.returncode == 2
        assert b"the standard output is closed; --out names a file\n" in closed.stderr
    assert shell(f"transform {stations} --out {tmp_path / 'out.csv'} >&-").returncode == 0
    for command in ("transform --at 1 2 --epoch 2000", "poles --epoch 2000"):
        assert "°" in shell(command, PYTHONIOENCODING="ascii").stdout.decode("utf-8")


def test_pipes_are_written_to_and_not_replaced(tmp_path, stations):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
    assert run("transform", stations, "--out", fifo) == 0
    assert len(rows_of(reader.communicate()[0].decode())) == 4
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def on_a_terminal(*arguments, **options):
    """Run a subcommand with a terminal of 80 columns as its stderr; return what it shows there."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start(*arguments, stderr=theirs, **options)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown


def test_a_bar_from_file_to_file_on_a_terminal(tmp_path):
    pytest.importorskip("tqdm")
    file, out = write(tmp_path / "a.csv", *many_rows(30_000)), tmp_path / "out.csv"
    assert b"%|" in on_a_terminal("transform", file, "--out", out)
    assert on_a_terminal("transform", file, stdout=subprocess.DEVNULL) == b""
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat:
        assert on_a_terminal("transform", "-", "--out", out, stdin=cat.stdout) == b""
    process = start("transform", file, "--out", out, stderr=subprocess.PIPE)
    assert process.communicate()[1] == b""
    assert len(out.read_text().splitlines()) == 30_001


def test_files_and_points_need_numpy_alone(tmp_path, stations):
    code = """
import sys
for name in ("matplotlib", "cartopy", "tqdm", "pandas", "scipy"):
    sys.modules[name] = None
sys.stderr.isatty = lambda: True
from ecgkern.cli import main
sys.exit(main())
"""
    out = tmp_path / "out.csv"
    assert start("transform", stations, "--out", out, "--backend", "numpy", code=code).wait() == 0
    assert len(rows_of(out.read_text())) == 4
    process = start("map", "--out", tmp_path / "maps", code=code, stderr=subprocess.PIPE)
    assert b"the maps need" in (error := process.communicate()[1])
    assert b'pip install "ecgkern[plot]"' in error
    assert process.returncode == 2


# --- field, time, poles ----------------------------------------------------------------------------------------------


def test_field(capsys, stations):
    rows = table_of(capsys, "field", stations)
    north, east, down = np.array(FIELDS).T
    total, horizontal = np.sqrt(north**2 + east**2 + down**2), np.hypot(north, east)
    lat, r = np.radians([row[6] for row in COORDINATES]), np.array([row[8] for row in COORDINATES])
    l_shell = r / 6371.2 / np.cos(lat) ** 2
    expected = {
        "north": north,
        "east": east,
        "down": down,
        "horizontal": horizontal,
        "total": total,
        "declination": np.degrees(np.arctan2(east, north)),
        "inclination": np.degrees(np.arctan2(down, horizontal)),
        "dip_latitude": np.degrees(np.arctan2(down, 2 * horizontal)),
        "l_shell": l_shell,
        "invariant_latitude": np.degrees(np.arccos(np.sqrt(1 / np.where(l_shell < 1, np.nan, l_shell)))),
    }
    assert list(rows[0])[5:] == [f"ed_{name}" for name in expected]
    for name, values in expected.items():
        np.testing.assert_allclose(column(rows, f"ed_{name}"), values, rtol=1e-9, atol=1e-7)
    centred = table_of(capsys, "field", stations, "--kind", "cd")
    np.testing.assert_allclose(column(centred, "cd_down")[1], 4971.05249503, rtol=1e-9)


def test_local_time(capsys, tmp_path):
    times = ["2025-03-20T12:00:00", "2025-03-20T17:30:00+05:30"]
    file = write(tmp_path / "a.csv", "lat,lon,time", f"12,88,{times[0]}", f"12.9716,77.5946,{times[1]}")
    for kind, expected in zip(("cd", "ed"), np.transpose(TIMES), strict=True):
        rows = table_of(capsys, "mlt", file, "--kind", kind)
        np.testing.assert_allclose(column(rows, f"{kind}_mlt"), expected, atol=2e-6)
    surface = table_of(capsys, "mlt", file, "--kind", "ed", "--sun", "surface", "--coords", "geocentric")
    np.testing.assert_allclose(column(surface, "ed_mlt"), [17.736377, 17.024673], atol=2e-6)
    plain = write(tmp_path / "b.csv", "lat,lon", "12,88")
    option = table_of(capsys, "mlt", plain, "--time", "2025-03-20T12:00Z")
    assert option[0]["cd_mlt"] == table_of(capsys, "mlt", file)[0]["cd_mlt"]
    other = table_of(capsys, "mlt", plain, "--time", "2025-03-20T12:00Z", "--epoch", 1990, "--algorithm", "grena5")
    exact = geomag.magnetic_local_time(12.0, 88.0, np.datetime64("2025-03-20T12:00"), epoch=1990.0, algorithm="grena5")
    assert column(other, "cd_mlt")[0] == exact


def test_poles_as_csv(capsys, tmp_path):
    rows = table_of(capsys, "poles", "--from", 1900, "--to", 2030, "--step", 5, "--csv")
    assert column(rows, "epoch").tolist() == list(range(1900, 2031, 5))
    # 2025, computed by two methods
    expected = {
        "cd_north": (80.7894, -72.7628),
        "cd_south": (-80.7894, 107.2372),
        "ed_axial_north": (84.920, -100.498),
        "ed_axial_south": (-75.883, 116.964),
        "ed_dip_north": (82.266, 165.620),
        "ed_dip_south": (-65.228, 124.624),
    }
    for name, (lat, lon) in expected.items():
        np.testing.assert_allclose(float(rows[25][f"{name}_lat"]), lat, atol=6e-4)
        np.testing.assert_allclose(float(rows[25][f"{name}_lon"]), lon, atol=6e-4)
    assert float(rows[25]["eccentric_distance"]) == pytest.approx(604.559, abs=6e-4)
    assert float(rows[25]["b0"]) == pytest.approx(29733.36537, abs=1e-5)
    one = table_of(capsys, "poles", "--epoch", "2025-01-01", "--csv")
    assert one == [rows[25]]
    assert run("poles", "--epoch", 2025, "--csv", "--digits", 2, "--out", tmp_path / "a.csv") == 0
    assert rows_of((tmp_path / "a.csv").read_text())[0]["ed_dip_south_lat"] == "-65.23"


def test_poles_as_tables(capsys):
    assert run("poles", "--epoch", 2025) == 0
    text = capsys.readouterr().out
    assert "IGRF-14, epoch 2025.0" in text
    assert "84.9200° N, 100.4983° W" in text
    assert "604.559 km" in text
    assert "7.6897e+22 A m²" in text
    assert run("poles", "--epoch", 2025, "--coords", "geodetic") == 0
    assert "80.8500° N, 72.7628° W" in capsys.readouterr().out
    assert run("poles", "--from", 2000, "--to", 2030, "--step", 10) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[-4:]] == ["2000", "2010", "2020", "2030"]
    assert table[-1].split()[1:3] == ["80.99", "-72.96"]
    assert run("poles", "--model", "igrf1990-ramana") == 0
    assert "514.873 km" in capsys.readouterr().out


def test_headings_name_the_epoch_that_was_used(capsys):
    def heading(*arguments):
        assert run(*arguments) == 0
        return capsys.readouterr().out.splitlines()

    beyond = ("poles", "--epoch", 2050, "--out-of-range")
    assert heading(*beyond, "clip")[0] == "IGRF-14, epoch 2030.0 (2050.0 clipped)"
    assert heading(*beyond, "extrapolate")[0] == "IGRF-14, epoch 2050.0, outside the model"
    outside = heading(*beyond, "nan")
    assert outside[0] == "IGRF-14, epoch 2050.0, outside the model"
    assert "nan" not in "".join(outside)
    assert outside[4].split()[-2:] == ["none", "none"]
    several = heading("poles", "--from", 2020, "--to", 2040, "--step", 10, "--out-of-range", "nan")
    assert several[0] == "IGRF-14; epochs beyond 1900.0 to 2030.0: none"
    assert set(several[-1].split()) == {"2040", "none"}
    assert heading("poles", "--from", 2020, "--to", 2030)[0] == "IGRF-14"
    fixed = ("--model", "igrf1990-ramana", "--epoch", 2025)
    assert heading("poles", *fixed)[0] == "IGRF 1990, provisional (Ramana et al. 1998)"
    assert heading("transform", "--at", 1, 2, *fixed)[1] == "IGRF 1990, provisional (Ramana et al. 1998)"
    assert rows_of("\n".join(heading("poles", *fixed, "--csv")))[0]["epoch"] == ""
    for arguments, title in (
        (("--epoch", "2050", "--out-of-range", "clip"), "IGRF-14, epoch 2030.0 (2050.0 clipped)"),
        (("--model=-30000,0,0,0,0,0,0,0",), "eight coefficients of your own"),
    ):
        figure = _map.field(parse("map", *arguments), [])
        assert figure.get_suptitle().splitlines()[1] == title


def test_times_are_shown_as_they_were_given(capsys):
    for text in ("2025-10-07T08:50:18.900000", "2025-10-07T08:50:18"):
        assert run("mlt", "--at", 1, 2, "--time", text) == 0
        assert f"\n{text} UTC\n" in capsys.readouterr().out


def test_poles_that_cannot_be_listed(capsys):
    assert "--step goes with --from and --to" in error_of(capsys, "poles", "--epoch", 2000, "--step", 3)
    assert "the same at every epoch" in error_of(
        capsys, "poles", "--from", 1900, "--to", 2000, "--model", "igrf1990-ramana"
    )
    assert "no epoch" in error_of(capsys, "poles")
    assert "go together" in error_of(capsys, "poles", "--from", 1900)
    assert "not both" in error_of(capsys, "poles", "--from", 1900, "--to", 2000, "--epoch", 1950)
    assert "must not lie before" in error_of(capsys, "poles", "--from", 2000, "--to", 1900)
    assert "--step must be greater than 0" in error_of(capsys, "poles", "--from", 1900, "--to", 2000, "--step", 0)
    assert "choose a larger --step" in error_of(capsys, "poles", "--from", 1900, "--to", 2000, "--step", 1e-6)
    assert "epoch must be from 1900.0 to 2030.0" in error_of(capsys, "poles", "--from", 1890, "--to", 2000)


def test_one_point(capsys):
    assert run("transform", "--at", 12, 88, "--epoch", 1990) == 0
    text = capsys.readouterr().out
    assert "12.0000° N, 88.0000° E, 0 km above the WGS84 ellipsoid (geodetic latitude)\nIGRF-14, epoch 1990.0" in text
    assert re.search(r"centred dipole +1\.7537 +159\.5879 +distance from its centre 6377\.\d+ km", text)
    assert re.search(r"eccentric dipole +0\.8034 +155\.7043 +distance from its centre 6102\.341 km", text)
    assert run("transform", "--at", 0.8034250085, 155.70431358934, 6102.34067113, "--from", "ed", "--epoch", 1990) == 0
    assert re.search(r"geographic +12\.0000 +88\.0000 +height 0\.000 km", capsys.readouterr().out)
    assert run("field", "--at", 12.9716, 77.5946, "--model", "igrf1990-ramana", "--coords", "geocentric") == 0
    text = capsys.readouterr().out
    assert re.search(r"north +X, nT +30112\.2 +33224\.5", text)
    assert re.search(r"declination +D, ° +-5\.6333 +-5\.0278", text)
    assert "the sphere of 6371.2 km" in text
    assert run("field", "--at", "-33.4", "-70.6", 400, "--epoch", 1990, "--kind", "ed", "--digits", 6) == 0
    assert re.search(r"down +Z, nT +-15418\.944832\n", capsys.readouterr().out)
    assert (
        run(
            "mlt",
            "--at",
            12.9716,
            77.5946,
            "--time",
            "2025-10-07T14:20:18+05:30",
            "--model",
            "igrf1990-ramana",
            "--coords",
            "geocentric",
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "2025-10-07T08:50:18 UTC" in text
    # 14:12:53, 14:21:41 and 14:22:26 are what the author's toolkit prints, cutting the seconds.
    assert re.search(r"apparent solar time +14:12:54", text)
    assert re.search(r"centred dipole +14:21:41", text)
    assert re.search(r"Sun as a direction +14:04:4", text)
    assert re.search(r"Sun on the surface +14:22:26", text)


def test_a_point_can_be_written_to_a_file(capsys, tmp_path):
    assert run("field", "--at", 1, 2, "--epoch", 2000) == 0
    assert run("field", "--at", 1, 2, "--epoch", 2000, "--out", tmp_path / "a.txt") == 0
    assert (tmp_path / "a.txt").read_text("utf-8") == capsys.readouterr().out


def test_l_near_a_pole_and_large_heights_are_readable(capsys):
    assert run("field", "--at", 90, 0, 1234567.5, "--model=-30000,0,0,0,0,0,0,0", "--kind", "cd") == 0
    text = capsys.readouterr().out
    assert "1234567.5 km above" in text
    assert re.search(r"L shell .* \d\.\d+e\+\d\d\n", text)


def test_own_coefficients(capsys):
    assert run("transform", "--at", 12, 88, "--model=-29775,-1848,5406,-2131,3059,-2279,1686,-373") == 0
    assert "155.7043" in capsys.readouterr().out


# --- maps ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cartopy_folders(tmp_path, monkeypatch):
    """Empty folders of data for cartopy, and no network."""
    for name in ("pre_existing_data_dir", "data_dir"):
        monkeypatch.setitem(cartopy.config, name, tmp_path / name)

    def no_network(*_):
        raise AssertionError("cartopy went to the network")

    monkeypatch.setattr("cartopy.io.urlopen", no_network)
    return tmp_path


def write_coastline(folder, lines):
    """Write lines of longitudes and latitudes where cartopy keeps Natural Earth's."""
    path = folder / "shapefiles" / "natural_earth" / "physical" / "ne_110m_coastline.shp"
    path.parent.mkdir(parents=True)
    with shapefile.Writer(str(path), shapeType=shapefile.POLYLINE) as writer:
        writer.field("name", "C")
        for line in lines:
            writer.line([line])
            writer.record("a line")
    return path


def pictures(folder):
    found = {path.name: image.imread(path)[..., :3] for path in sorted(folder.iterdir())}
    for name, pixels in found.items():
        assert pixels.shape[0] > 500, name
        assert pixels.shape[1] > 800, name
        assert 0.01 < (pixels.min(axis=-1) < 0.9).mean() < 0.8, f"{name} is blank or black"
    return found


def test_maps_with_coastlines_that_come_with_cartopy(capsys, cartopy_folders):
    out = cartopy_folders / "maps"
    assert run("map", "--out", out) == 0
    assert sorted(pictures(out)) == ["drift.png", "field.png", "grids.png"]
    said = capsys.readouterr()
    assert said.out.split() == [str(out / name) for name in ("grids.png", "field.png", "drift.png")]
    assert said.err.count("\n") == 1
    assert "coastlines to half a degree; for finer ones run this once, with internet" in said.err


def test_maps_without_any_coastlines(capsys, cartopy_folders, monkeypatch):
    monkeypatch.setitem(cartopy.config, "repo_data_dir", cartopy_folders)
    out = cartopy_folders / "maps"
    assert run("map", "--model", "igrf1990-ramana", "--kind", "cd", "--alt", 350, "--out", out) == 0
    assert sorted(pictures(out)) == ["field.png", "grids.png"]  # one set of coefficients does not drift
    assert "no coastlines on this machine; for them run this once" in capsys.readouterr().err


def test_coastlines_of_natural_earth_are_taken_where_they_are(cartopy_folders):
    lines = [[[0.0, 0.0], [10.0, 10.0], [20.0, 0.0]], [[100.0, 50.0], [110.0, 50.0]]]
    path = write_coastline(cartopy_folders / "data_dir", lines)
    found, note = _coast.coastlines()
    assert note == ""
    assert [line.tolist() for line in found] == lines
    path.write_bytes(b"this is no shapefile")
    found, note = _coast.coastlines()
    assert len(found) > 100  # those that come with cartopy
    assert f"{path} cannot be read" in note


def test_traced_coastlines_lie_where_the_coasts_are(cartopy_folders):
    lines = np.concatenate(_coast.coastlines()[0])
    for lat, lon in (
        (-34.4, 18.4),
        (8.1, 77.5),
        (-54.9, -67.3),
        (71.2, 25.8),
        (-66.5, 110.5),
        (66.1, -169.7),
        (32.7, -117.2),
    ):
        assert np.hypot(lines[:, 1] - lat, (lines[:, 0] - lon) * np.cos(np.radians(lat))).min() < 0.7
    for lat, lon in ((0, -140), (50, 100), (-25, 135), (0, -62), (0, 23), (-80, 20), (75, -40), (33, 88)):
        assert np.hypot(lines[:, 1] - lat, (lines[:, 0] - lon) * np.cos(np.radians(lat))).min() > 2


def test_lines_of_the_grids_are_where_they_are_labelled(cartopy_folders):
    args = ["map", "--epoch", "2025", "--out", "unused"]
    parsed = parse(*args)
    figure = _map.grids(parsed, [])
    for ax, to_dipole in zip(figure.axes, (geomag.geo_to_cd, geomag.geo_to_ed), strict=True):
        (equator,) = [line for line in ax.lines if line.get_linewidth() == 1.8]
        x, y = (np.asarray(values)[np.isfinite(values)] for values in equator.get_data())
        lon, lat, _ = cartopy.crs.PlateCarree().transform_points(ax.projection, x, y).T
        np.testing.assert_allclose(to_dipole(lat, lon, epoch=2025.0).lat, 0, atol=1e-6)
        assert np.ptp(lon) > 359
    texts = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert {"60°", "-150°", "180°", "30°N", "120°W"} <= texts
    assert "ED axis, south\n75.97° S, 116.96° E" in texts


def test_poles_are_marked_where_the_axes_are_at_the_height_of_the_map():
    heights = {alt: _map._poles_at(parse("map", "--alt", str(alt))) for alt in (0, 400)}
    assert len(heights[0]) == 6
    assert sorted(heights[400]) == ["cd_north", "cd_south", "ed_axial_north", "ed_axial_south"]
    for name, pole in heights[400].items():
        to_dipole = geomag.geo_to_cd if name.startswith("cd") else geomag.geo_to_ed
        assert abs(to_dipole(pole.lat, pole.lon, 400.0, epoch=2025.0).lat) == pytest.approx(90, abs=1e-6)


def parse(*arguments):
    import argparse

    from ecgkern.geomag import _command

    parser = argparse.ArgumentParser()
    _command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_lines_break_where_they_leave_the_map():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot(projection=cartopy.crs.Robinson())
    _globe.draw_line(ax, [170.0, 175.0, -175.0, -170.0], 10.0)
    assert np.isnan(ax.lines[-1].get_xdata()).tolist() == [False, False, True, False, False]


def test_maps_that_cannot_be_drawn(capsys, tmp_path, stations):
    assert "epoch must be from 1900.0 to 2030.0" in error_of(capsys, "map", "--epoch", 1850, "--out", tmp_path / "a")
    assert "no field at this --epoch" in error_of(
        capsys, "map", "--epoch", 1850, "--out-of-range", "nan", "--out", tmp_path / "a"
    )
    assert "cannot write to the folder" in error_of(capsys, "map", "--out", stations)
    for alt in (-7000, -6000):  # km: below the centre of the Earth, and above it but below the eccentric dipole
        assert re.search("alt must be|no map encloses", error_of(capsys, "map", "--alt", alt, "--out", tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_a_drift_of_another_model_does_not_stay(capsys, cartopy_folders):
    out = cartopy_folders / "maps"
    out.mkdir()
    (out / "drift.png").write_bytes(b"of another model")
    assert run("map", "--model", "igrf1990-ramana", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["field.png", "grids.png"]


def test_maps_far_away_and_of_an_axial_dipole():
    figure = _map.field(parse("map", "--alt", "1000000"), [])
    assert figure.get_suptitle().startswith("Field of the eccentric dipole 1000000 km above")
    assert "Strength F, nT" in {ax.get_title() for ax in figure.axes}
    for ax in _map.grids(parse("map", "--model=-30000,0,0,0,0,0,0,0"), []).axes:
        assert "180°" not in {text.get_text() for text in ax.texts}  # the edge of the map
        marks = [line for line in ax.lines if line.get_marker() in _map.MARKERS.values()]
        assert len(marks) >= 2
        assert not any(mark.get_clip_on() for mark in marks)


def test_years_of_the_drift_do_not_overlap():
    figure = _map.drift(parse("map"), [])
    figure.draw_without_rendering()
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.texts if re.fullmatch(r"\d{4}", text.get_text())]
        assert len(boxes) > 6
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
        predicted = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert len(predicted) == 3


# --- example and documentation ---------------------------------------------------------------------------------------


def test_help_says_how_a_point_is_given(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("mlt", "--help")
    assert "[--at LAT LON [KM]]" in capsys.readouterr().out


def test_the_example_reproduces_the_published_numbers(tmp_path):
    picture = tmp_path / "picture.png"
    command = [sys.executable, ROOT / "examples" / "geomag_1998_paper.py", picture]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert process.returncode == 0, process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert pictures(tmp_path)
    agree = 0
    for line in process.stdout.splitlines():
        published, ours = line[30:59].split(), line[59:].split()
        if published == ours and published:
            agree += 1
        elif ":" in line[30:59]:  # times of the day, to the second
            seconds = [
                sum(float(s) * unit for s, unit in zip(t.split(":"), (3600, 60, 1), strict=True))
                for t in published + ours
            ]
            assert abs(seconds[0] - seconds[1]) < 1
            agree += 1
    assert agree == 9 + 3 + 5 + 3, process.stdout
    assert re.search(r"declination, ° +-174\.97 +-5\.03", process.stdout)


def documentation(kind):
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / "geomag.md").read_text("utf-8"), re.DOTALL)


def test_python_in_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert documentation("python")
    for block in documentation("python"):
        exec(compile(block, "geomag.md", "exec"), {})


def test_commands_in_the_documentation_print_what_it_says(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["station,lat,lon,time", "Bengaluru,12.9716,77.5946,2025-10-07T08:50:18Z"]
    stations = "\n".join([*lines, "Tromsø,69.6,18.9,2025-10-07T10:50:18+02:00", ""])
    Path("stations.csv").write_text(stations, encoding="utf-8")
    commands = 0
    for block in documentation("console"):
        for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            if command == "cat stations.csv":
                assert said == stations
                continue
            words = shlex.split(command)
            assert words[:2] == ["ecgkern", "geomag"]
            assert main(words[1:]) == 0
            assert capsys.readouterr().out == said
            commands += 1
    assert commands >= 5


def test_pictures_of_the_documentation_are_there_and_small():
    named = re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "docs" / "geomag.md").read_text("utf-8"))
    assert named
    for name in named:
        assert 10_000 < (ROOT / "docs" / name).stat().st_size < 250_000
