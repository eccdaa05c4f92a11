"""Sweeps over tables of parameters: the same CSV however often they are killed, and no value that is not as meant."""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from ecgkern.legacy import _sweep
from ecgkern.legacy._source import LegacyError
from ecgkern.legacy._sweep import _NUMBER, _Take, _tidy, sweep

pytestmark = [pytest.mark.build, pytest.mark.skipif(not shutil.which("gfortran"), reason="gfortran is not installed")]

PROGRAM = """\
C     READS A CARD, PRINTS SOME NUMBERS, AND CAN END IN MANY WAYS
      PROGRAM LAYER
      CHARACTER*4 CODE
      DOUBLE PRECISION H
      DIMENSION X(2)
      READ(5,100) K, Z, H, CODE
  100 FORMAT(I4, F8.3, D12.4, A4)
      WRITE(6,200) CODE, Z, H, Z*H
  200 FORMAT(' STATION ', A4, ' Z = ', F8.3, ' H =', D12.4, /,
     1       ' NMF2 =', 1P, D14.6)
      IF (K .EQ. 1) STOP 7
      IF (K .EQ. 2) X(1 + 100000000*K) = 1
   10 IF (K .EQ. 3) GO TO 10
      IF (K .EQ. 4) READ(5,*) X
      IF (K .EQ. 5) WRITE(6,300) 1.E9
  300 FORMAT(' STARS =', F5.1)
      END
"""
DECK = "{K:I4}{Z:F8.3}{H:D12.4}{CODE:A4}\n"
TAKE = {"NMF2": "NMF2 =", "Z": "Z ="}
NAMELIST = """\
      PROGRAM READER
      CHARACTER*8 NAME
      LOGICAL ON
      NAMELIST /INPUT/ Z, N, NAME, ON
      NAMELIST /OTHER/ Z
      READ(5, INPUT)
      WRITE(6,*) Z, N
      WRITE(6,*) NAME, ON
      END
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "layer.f").write_text(PROGRAM)
    (tmp_path / "layer.deck").write_text(DECK)
    return tmp_path


def table(n, k=0):
    return {"K": [k] * n, "Z": np.linspace(1, 2, n), "H": [1e-3] * n, "CODE": ["AB"] * n}


def layer(folder, rows, name="out.csv", **options):
    options = {"take": {"NMF2": "NMF2 ="}} | options
    return sweep(folder / "layer.f", folder / "layer.deck", rows, out=folder / name, progress=False, **options)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


SWEEP = """
    import sys
    import numpy as np
    from ecgkern.legacy._sweep import sweep
    n = int(sys.argv[2])
    table = {"K": [int(sys.argv[3])] * n, "Z": np.linspace(1, 2, n), "H": [1e-3] * n, "CODE": ["AB"] * n}
    try:
        sweep("layer.f", "layer.deck", table, out=sys.argv[1], take={"NMF2": "NMF2 ="}, jobs=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def start(folder, out, n, k=0):
    (folder / "go.py").write_text(textwrap.dedent(SWEEP))
    command = [sys.executable, "go.py", out, str(n), str(k)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(folder, out):
    return len(list((folder / f"{out}.runs").glob("[0-9]*/result.json")))


def until(condition, seconds=30):
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come to that")


def running(folder):
    """The programs of sweeps in this folder that are under way."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(folder) in os.readlink(process) and "units" in os.readlink(process):
                found.append(process)
        except OSError:
            continue
    return found


def test_a_killed_sweep_of_500_runs_resumes_to_the_same_bytes(folder):
    whole = start(folder, "whole.csv", 500)
    assert whole.wait(60) == 0, whole.stderr.read()
    for at in (50, 250):
        process = start(folder, "killed.csv", 500)
        until(lambda at=at: finished(folder, "killed.csv") >= at)
        process.kill()
        process.wait()
        assert not (folder / "killed.csv").exists()
        assert at <= finished(folder, "killed.csv") < 500
    kept = {path: path.stat().st_mtime_ns for path in (folder / "killed.csv.runs").glob("[0-9]*/result.json")}
    assert start(folder, "killed.csv", 500).wait(60) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # none was run twice
    assert (folder / "killed.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    rows = rows_of(folder / "whole.csv")
    assert len(rows) == 500
    for row in rows:
        assert row["status"] == "end"
        assert float(row["NMF2"]) == pytest.approx(round(float(row["Z"]), 3) * 1e-3, rel=1e-6)
    assert sorted(path.name for path in (folder / "whole.csv.runs").iterdir())[-3:] == [
        "csv.json",
        "lock",
        "manifest.json",
    ]


def test_every_ending_is_a_result(folder):
    rows = [{"K": k, "Z": 1.5, "H": "2.D-3", "CODE": "XYZ"} for k in range(6)]
    take = {"NMF2": "NMF2 =", "H": "/H = *([^ ]*)$/", "STARS": "STARS ="}
    with pytest.raises(ValueError, match="table has a column H, which the results have as well"):
        layer(folder, rows, take=take)
    take["HH"] = take.pop("H")
    found = rows_of(layer(folder, rows, take=take, time_limit=1.0))
    assert [row["status"] for row in found] == ["end", "stop", "crash", "time limit", "error", "end"]
    assert [row["exit_code"] for row in found] == ["0", "7", "", "", "2", "0"]
    assert {row["NMF2"] for row in found} == {"3.000000E-03"}
    assert {row["HH"] for row in found} == {"0.2000E-02"}
    assert [row["STARS"] for row in found] == ["", "", "", "", "", "*****"]
    assert [row["H"] for row in found] == ["2.D-3"] * 6
    runs = folder / "out.csv.runs"
    assert (runs / "000002" / "deck.txt").read_text() == "   1   1.500  0.2000D-02XYZ \n"
    assert "STOP 7" in (runs / "000002" / "listing.txt.stderr").read_text()
    assert "STATION XYZ" in (runs / "000003" / "listing.txt").read_text()


def test_all_numbers_by_default(folder):
    found = rows_of(layer(folder, table(3), take=None))
    assert list(found[0]) == ["K", "Z", "H", "CODE", "status", "exit_code", "line1_1", "line1_2", "line2_1"]
    assert [row["line1_1"] for row in found] == ["1.000", "1.500", "2.000"]
    with pytest.raises(LegacyError, match=r"numbers in other lines than .*--take"):
        layer(folder, {**table(2), "K": [0, 5]}, name="other.csv", take=None)


def test_the_same_call_again_runs_nothing(folder):
    first = layer(folder, table(3))
    before, data = first.stat().st_mtime_ns, first.read_bytes()
    assert layer(folder, table(3)) == first
    assert (first.stat().st_mtime_ns, first.read_bytes()) == (before, data)
    first.unlink()
    assert layer(folder, table(3)).read_bytes() == data


@pytest.mark.parametrize("what", ["template", "program", "table", "flags", "limits"])
def test_a_changed_sweep_is_refused(folder, what):
    data = layer(folder, table(2)).read_bytes()
    options = {}
    if what == "template":
        (folder / "layer.deck").write_text(DECK + "\n")
    elif what == "program":
        (folder / "layer.f").write_text(PROGRAM + "\n")
    elif what == "flags":
        options = {"optimize": "-O0"}
    elif what == "limits":
        options = {"time_limit": 3.0}
    with pytest.raises(LegacyError, match=f"out.csv.runs: {what} (has|have) changed since this sweep was begun"):
        layer(folder, table(3 if what == "table" else 2), **options)
    assert (folder / "out.csv").read_bytes() == data


def test_a_program_that_was_not_built_may_be_mended(folder):
    (folder / "layer.f").write_text(PROGRAM.replace("READ(5,100)", "READ(5,100"))
    with pytest.raises(LegacyError, match=r"layer.f:6: "):
        layer(folder, table(2))
    (folder / "layer.f").write_text(PROGRAM)
    assert len(rows_of(layer(folder, table(2)))) == 2


def test_a_csv_of_someone_else_is_not_overwritten(folder):
    (folder / "out.csv").write_text("mine\n")
    with pytest.raises(LegacyError, match="is there already, and not from this sweep"):
        layer(folder, table(2))
    assert (folder / "out.csv").read_text() == "mine\n"
    assert not (folder / "out.csv.runs").exists()
    (folder / "out.csv").unlink()
    layer(folder, table(2))
    (folder / "out.csv").write_text("mine\n")
    with pytest.raises(LegacyError, match="is not as this sweep wrote it"):
        layer(folder, table(2))
    assert (folder / "out.csv").read_text() == "mine\n"


def test_other_values_are_taken_from_the_listings_that_are_kept(folder, monkeypatch):
    with pytest.raises(
        LegacyError, match=r"take A: 'FOF2 =' is in no listing \(see .*listing.txt\); the runs are kept"
    ):
        layer(folder, table(2), take={"A": "FOF2 ="})
    monkeypatch.setattr(_sweep, "build", None)  # nothing is built or run any more
    out = layer(folder, table(2), take={"A": "NMF2 ="})
    with pytest.raises(LegacyError, match="take has changed since it was written; nothing is overwritten"):
        layer(folder, table(2), take={"A": "Z =@2"})
    out.unlink()
    assert [row["A"] for row in rows_of(layer(folder, table(2), take={"A": "Z =@2"}))] == ["0.1000E-02"] * 2


def test_where_nothing_can_be_written(folder):
    (folder / "out.csv.runs").write_text("a file")
    with pytest.raises(LegacyError, match=r"the sweep cannot go on: .*out.csv.runs"):
        layer(folder, table(2))


def test_two_sweeps_at_once(folder):
    first = start(folder, "out.csv", 1, k=3)  # loops
    until(lambda: running(folder))
    second = start(folder, "out.csv", 1, k=3)
    assert second.wait(30) == 1
    assert "another sweep is at work there" in second.stderr.read()
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 130
    assert not running(folder)
    assert list((folder / "out.csv.runs" / "unfinished").glob("*")) == []


def test_programs_do_not_outlive_a_killed_sweep(folder):
    process = start(folder, "out.csv", 4, k=3)
    until(lambda: len(running(folder)) == 2)
    process.kill()
    process.wait()
    until(lambda: not running(folder))


def test_a_program_that_is_killed_from_outside_is_run_again(folder):
    process = start(folder, "out.csv", 1, k=3)
    until(lambda: running(folder))
    os.kill(int(running(folder)[0].parent.name), signal.SIGKILL)
    assert process.wait(30) == 1
    assert "1 of 1 runs were ended from outside (row 1 crashed (SIGKILL)" in process.stderr.read()
    assert finished(folder, "out.csv") == 0
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize(
    ("place", "value", "card"),
    [
        ("I5", 42, "   42"),
        ("I5", "7.0", "    7"),
        ("F8.3", -1.5, "  -1.500"),
        ("F5.3", -0.25, "-.250"),
        ("F8.0", 300, "    300."),
        ("E12.4", 123.456, "  0.1235E+03"),
        ("E10.4", -1.5e-7, "-.1500E-06"),
        ("D12.4", "1.5D-120", "  0.1500-119"),
        ("D14.6", np.float64(0.1), "  0.100000D+00"),
        ("D12.4", 0, "  0.0000D+00"),
        ("E12.4", 0.99999, "  0.1000E+01"),
        ("G10.3", 123.4, "      123."),
        ("G10.3", 12340.0, " 0.123E+05"),
        ("A6", "AB", "AB    "),
        ("L3", True, "  T"),
        ("L3", ".false.", "  F"),
    ],
)
def test_edit_descriptors(place, value, card):
    match = _sweep._PLACEHOLDER.fullmatch(f"{{X:{place}}}")
    written = _sweep._field(value, match, 1, "X")
    assert written == card


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"K": [0, 12345]}, r"row 2: K = 12345 does not fit the 4 columns of \{K:I4\}"),
        ({"Z": [1, 123456.0]}, r"row 2: Z = 123456.0 does not fit the 8 columns of \{Z:F8.3\}: it is 123456.000"),
        ({"Z": [1, -1e300]}, "row 2: Z = -1e.300 does not fit the 8 columns"),
        ({"CODE": ["A", "ABCDE"]}, "row 2: CODE = ABCDE does not fit the 4 columns"),
        ({"K": [0, 1.5]}, r"row 2: K = 1.5 is no whole number, as \{K:I4\} asks"),
        ({"Z": ["1", "x"]}, "row 2: Z = x is no number"),
        ({"Z": [1, np.nan]}, "row 2: Z = nan is not finite"),
        ({"Z": ["1", ""]}, "row 2: Z is empty"),
        ({"Z": [4e-4, 4e-4]}, r"table: Z is always 0.000 in \{Z:F8.3\}: give it more digits"),
        ({"Z": [1.0001, 1.0002]}, "Z is always 1.000"),
        ({"SPARE": [1, 2]}, "the column SPARE is nowhere in the template"),
    ],
)
def test_values_that_a_card_cannot_hold_are_refused_before_anything_runs(folder, rows, words):
    with pytest.raises(LegacyError, match=words):
        layer(folder, {**table(2), **rows})
    assert not (folder / "out.csv.runs").exists()


def test_values_that_become_the_same_on_the_card_are_told(folder):
    rows = {**table(3), "Z": [1.0001, 1.0002, 2]}
    with pytest.warns(UserWarning, match=r"the 3 different values of Z are rounded to 2 in \{Z:F8.3\}"):
        assert [row["NMF2"] for row in rows_of(layer(folder, rows))] == ["1.000000E-03", "1.000000E-03", "2.000000E-03"]


def test_a_column_that_is_missing_names_the_place(folder):
    rows = table(2)
    del rows["H"]
    with pytest.raises(
        LegacyError, match=r"layer.deck, line 1: \{H:D12.4\} names no column of the table \(K, Z, CODE\)"
    ):
        layer(folder, rows)


def test_tables_from_files(folder):
    path = folder / "table.csv"
    path.write_text('\ufeffk, z,H ,CODE\n0,1.0,1.D-3,AB\n\n0,1.5,1.D-3,"A,B"\n', encoding="utf-8")
    found = rows_of(layer(folder, path))
    assert [row["NMF2"] for row in found] == ["1.000000E-03", "1.500000E-03"]
    assert found[1]["CODE"] == "A,B"
    for text, words in {
        "K,Z\n1\n": "row 1 has 1 cells, the header 2",
        "K,K\n1,1\n": "must name every column once",
        "K;Z\n1;2\n": "not by semicolons",
        "K\n": "at least one row",
    }.items():
        path.write_text(text)
        with pytest.raises(LegacyError, match=words):
            layer(folder, path)
    with pytest.raises(LegacyError, match=r"table .*gone.csv: No such file"):
        layer(folder, folder / "gone.csv")
    with pytest.raises(ValueError, match="same length, got K 1, Z 2"):
        layer(folder, {"K": [1], "Z": [1, 2]})


def test_namelists(folder):
    pytest.importorskip("f90nml")
    (folder / "reader.f").write_text(NAMELIST)
    template = folder / "reader.nml"
    template.write_text(" $INPUT  ! the run\n  Z = 1.D0, N = 5,\n  NAME='ABC', ON=.TRUE. $END\n &OTHER Z=1 /\n")
    rows = {"input.z": [2, "1.5D-3"], "N": [7, 8], "NAME": ["it's", "XY"], "ON": ["F", True]}
    out = folder / "out.csv"
    sweep(folder / "reader.f", template, rows, out=out, take={"z_": "/^ +/", "n_": "/^ +/@2", "s": "/^ (.*) [TF]$/"})
    found = rows_of(out)
    assert [(float(row["z_"]), row["n_"], row["s"]) for row in found] == [
        (2, "7", "it's"),
        (pytest.approx(0.0015), "8", "XY"),
    ]
    deck = (folder / "out.csv.runs" / "000001" / "deck.txt").read_text()
    assert "! the run" in deck
    assert "&OTHER Z=1 /" in deck
    for wrong, words in {
        "Z": "is in several groups of .*: name it input.z or other.z",
        "QQ": r"QQ is no variable of .* \(input.z, input.n",
    }.items():
        with pytest.raises(LegacyError, match=words):
            sweep(folder / "reader.f", template, {wrong: [1]}, out=folder / "b.csv")
    with pytest.raises(LegacyError, match="row 1: N = abc is no number; the namelist has 5"):
        sweep(folder / "reader.f", template, {"N": ["abc"]}, out=folder / "b.csv")


def test_numbers_of_listings():
    text = b" F2 = 0.1D+01-2.5 .5 1.E5 0.1234-100 NaN -Infinity ***** 3) A-7 nano 1998-11-21 +4Q2\n" + b"*" * 72
    found = [_tidy(match[0]) for match in _NUMBER.finditer(text)]
    numbers = [
        "0.1E+01",
        "-2.5",
        ".5",
        "1.E5",
        "0.1234E-100",
        "NaN",
        "-Infinity",
        "*****",
        "3",
        "7",
        "1998",
        "-11",
        "-21",
    ]
    assert found == [*numbers, "4E2"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("B =", "1"),
        ("B =@2", "2"),
        ("B =#2", "3"),
        ("B =#-1@2", "6"),
        ("B =#9", ""),
        ("/B +=/", "1"),
        (r"/B = (\d+  \d)/", "1  2"),
    ],
)
def test_take(text, value):
    listing = b" A = 0\n B = 1  2\n B = 3  4\n B = 5\n  6\n"
    assert _Take.parse("X", text).value(listing) == (True, value)


def test_take_that_cannot_be():
    with pytest.raises(ValueError, match=r"take X=/\(/: missing"):
        _Take.parse("X", "/(/")
    with pytest.raises(ValueError, match="one group"):
        _Take.parse("X", "/(a)(b)/")


def test_the_command(folder, capsys):
    (folder / "table.csv").write_text("K,Z,H,CODE\n0,1.0,1.D-3,AB\n1,1.5,1.D-3,AB\n")
    parser = argparse.ArgumentParser()
    _sweep.add_arguments(parser)
    options = [str(folder / "layer.f"), "--template", str(folder / "layer.deck"), "--table", str(folder / "table.csv")]
    arguments = parser.parse_args([*options, "--out", str(folder / "out.csv"), "--take", "NMF2=NMF2 =", "--jobs", "1"])
    assert _sweep.run(arguments) == 0
    assert capsys.readouterr().out == f"{folder / 'out.csv'}: 2 runs, 1 end, 1 stop\n"
    manifest = json.loads((folder / "out.csv.runs" / "manifest.json").read_text())
    assert manifest["compiler"].startswith("gfortran: GNU Fortran")
    with pytest.raises(SystemExit):
        parser.parse_args([*options, "--out", "x", "--take", "NMF2"])
    assert "'NMF2' is not of the form NAME=TEXT" in capsys.readouterr().err
