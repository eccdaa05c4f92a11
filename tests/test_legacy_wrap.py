"""Subroutines of old Fortran as Python functions: nothing is lost on the way, and nothing there can hurt the caller."""

import gc
import inspect
import os
import pydoc
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ecgkern.legacy import _wrap
from ecgkern.legacy._compilers import available
from ecgkern.legacy._source import LegacyError
from ecgkern.legacy._wrap import wrap

pytestmark = [pytest.mark.build, pytest.mark.skipif(not shutil.which("gfortran"), reason="gfortran is not installed")]

OLD = """\
C     A FILE OF THE 1970S: IMPLICIT TYPES, CARD NUMBERS, COMMON                 OLD00010
      SUBROUTINE CHAP(Z, HM, H, XNE)                                            OLD00020
      IMPLICIT REAL*8 (A-H,O-Z)                                                 OLD00030
      COMMON /LEGCNT/ NCALL, XX(2,3), NAME, DONE                                OLD00040
      COMMON BLANK(3)                                                           OLD00050
      CHARACTER*8 NAME                                                          OLD00060
      LOGICAL DONE                                                              OLD00070
      NCALL = NCALL + 1                                                         OLD00080
      XX(2,3) = 23                                                              OLD00090
      NAME = 'CHAPMAN'                                                          OLD00100
      DONE = .TRUE.                                                             OLD00110
      X = (Z - HM)/H                                                            OLD00120
      XNE = DEXP(1.D0 - X - DEXP(-X))                                           OLD00130
      RETURN                                                                    OLD00140
      END                                                                       OLD00150
      REAL FUNCTION TWICE(X)                                                    OLD00160
C     X IS REAL*4 HERE: THE IMPLICIT ABOVE ENDED WITH ITS SUBROUTINE            OLD00170
      TWICE = 2*X                                                               OLD00180
      X = -1.                                                                   OLD00190
      RETURN                                                                    OLD00192
      ENTRY THRICE(X)                                                           OLD00194
      THRICE = 3*X                                                              OLD00196
      END                                                                       OLD00200
      SUBROUTINE TYPES(I2, I4, I8, R4, R8, C8, C16, L, CH, CHS, LL)             OLD00210
      INTEGER*2 I2                                                              OLD00220
      INTEGER I4                                                                OLD00230
      INTEGER*8 I8                                                              OLD00240
      REAL R4(*)                                                                OLD00250
      DOUBLE PRECISION R8(2,*)                                                  OLD00260
      COMPLEX C8                                                                OLD00270
      COMPLEX*16 C16                                                            OLD00280
      LOGICAL L                                                                 OLD00290
      LOGICAL*1 LL(3)                                                           OLD00300
      CHARACTER*(*) CH                                                          OLD00310
      CHARACTER*4 CHS(3)                                                        OLD00320
      I2 = I2 + 1                                                               OLD00330
      I4 = I4 + 1                                                               OLD00340
      I8 = I8 + 1                                                               OLD00350
      R4(2) = 9                                                                 OLD00360
      R8(2,1) = 21                                                              OLD00370
      C8 = C8*2                                                                 OLD00380
      C16 = C16*2                                                               OLD00390
      L = .NOT. L                                                               OLD00400
      LL(2) = .TRUE.                                                            OLD00410
      CH(2:2) = 'Z'                                                             OLD00420
      CHS(2) = 'ABCD'                                                           OLD00430
      WRITE(6,*) 'LENGTH', LEN(CH)                                              OLD00440
      END                                                                       OLD00450
      CHARACTER*4 FUNCTION MIDDLE(S)                                            OLD00460
      CHARACTER*(*) S                                                           OLD00470
      MIDDLE = S(2:3)                                                           OLD00480
      END                                                                       OLD00490
      COMPLEX*16 FUNCTION SQUARE(Z)                                             OLD00500
      COMPLEX*16 Z                                                              OLD00510
      SQUARE = Z*Z                                                              OLD00520
      END                                                                       OLD00530
      LOGICAL FUNCTION POS(X)                                                   OLD00540
      POS = X .GT. 0                                                            OLD00550
      END                                                                       OLD00560
      SUBROUTINE COPY(A, LDA, N, B, Y, W, LAMBDA)                               OLD00570
      PARAMETER (NMAX = 4, NW = 2*NMAX)                                         OLD00580
      DIMENSION A(LDA,*), B(LDA,N), Y(0:N), W(NW)                               OLD00590
      REAL LAMBDA                                                               OLD00600
      DO 10 J = 1, N                                                            OLD00610
      DO 10 I = 1, LDA                                                          OLD00620
   10 B(I,J) = LAMBDA*A(I,J)                                                    OLD00630
      Y(N) = 7                                                                  OLD00640
      W(NW) = 8                                                                 OLD00650
      RETURN                                                                    OLD00660
      ENTRY FIRST(B, LDA, N)                                                    OLD00670
      B(1,1) = 1                                                                OLD00680
      END                                                                       OLD00690
      SUBROUTINE SUM1(X, N, S)                                                  OLD00700
      DIMENSION X(1)                                                            OLD00710
      REAL*8 S                                                                  OLD00720
      S = 0                                                                     OLD00730
      DO 20 I = 1, N                                                            OLD00740
   20 S = S + X(I)                                                              OLD00750
      END                                                                       OLD00760
      SUBROUTINE KEPT(K)                                                        OLD00770
      N = N + 1                                                                 OLD00780
      K = N                                                                     OLD00790
      END                                                                       OLD00800
      SUBROUTINE DIES(K)                                                        OLD00810
      DIMENSION X(2)                                                            OLD00820
      IF (K .EQ. 1) STOP 7                                                      OLD00830
      IF (K .EQ. 2) STOP                                                        OLD00840
      IF (K .EQ. 3) X(1 + 100000000*K) = 1                                      OLD00850
      IF (K .EQ. 4) READ(5,*) X                                                 OLD00860
   30 IF (K .EQ. 7) WRITE(6,*) 'ON AND ON'                                      OLD00865
      IF (K .EQ. 5 .OR. K .EQ. 7) GO TO 30                                      OLD00870
      IF (K .EQ. 6) CALL EXIT(3)                                                OLD00880
      K = 0                                                                     OLD00890
      END                                                                       OLD00900
      SUBROUTINE SETS(X)                                                        OLD00910
CF2PY INTENT(OUT) X
      INTEGER X                                                                 OLD00930
      DATA I/4HABCD/                                                            OLD00940
      X = 5                                                                     OLD00950
      WRITE(9,*) 'NINE'                                                         OLD00960
      END                                                                       OLD00970
      SUBROUTINE ALT(X, *)                                                      OLD00980
      RETURN 1                                                                  OLD00990
      END                                                                       OLD01000
      SUBROUTINE QUADA(F, A, B, S)                                              OLD01010
      S = F(A) + F(B)                                                           OLD01020
      END                                                                       OLD01030
      SUBROUTINE QUADB(F, A)                                                    OLD01040
      EXTERNAL F                                                                OLD01050
      CALL F(A)                                                                 OLD01060
      END                                                                       OLD01070
      SUBROUTINE WIDE(Q)                                                        OLD01080
      REAL*16 Q                                                                 OLD01090
      Q = 1                                                                     OLD01100
      END                                                                       OLD01110
      PROGRAM MAINP                                                             OLD01120
      STOP                                                                      OLD01130
      END                                                                       OLD01140
"""

NEW = """\
module kinds
  implicit none
  integer, parameter :: dp = kind(1d0), sp = selected_real_kind(6)
end module kinds
module layers
  use kinds, only: dp, sp
  implicit none
  private
  public :: row_sums, cube, scaled
contains
  subroutine row_sums(x, y, n)
    real(dp), intent(in) :: x(:,:)
    real(dp), intent(out) :: y(size(x, 1))
    integer, intent(inout) :: n
    y = sum(x, 2)
    n = n + 1
  end subroutine row_sums
  real(sp) function cube(x) result(r)
    real(sp), intent(in) :: x
    r = hidden(x)
  end function cube
  pure subroutine scaled(x, by)
    real(dp), intent(inout) :: x(:)
    real(dp), value :: by
    x = by*x
  end subroutine scaled
  real(sp) function hidden(x)
    real(sp), intent(in) :: x
    hidden = x**3
  end function hidden
end module layers
"""


@pytest.fixture(scope="module", params=["gfortran", "flang"])
def old(request, tmp_path_factory):
    if request.param not in [compiler.name for compiler in available()]:
        pytest.skip(f"{request.param} is not installed")
    path = tmp_path_factory.mktemp("old") / "old.f"
    path.write_text(OLD)
    with wrap(path, compiler=request.param, time_limit=20) as lib:
        yield lib


@pytest.fixture
def fresh(old):
    old.restart()
    return old


def test_arguments_come_back_and_the_callers_stay(old):
    assert old.chap(250, 250.0, 50, None).xne == 1.0
    z = old.chap(300.0, 250.0, 50.0, None)
    assert z._fields == ("z", "hm", "h", "xne")
    assert z.xne == pytest.approx(np.exp(1 - 1 - np.exp(-1.0)), rel=1e-15)
    assert isinstance(z.xne, np.float64)
    r4, r8, names = np.zeros(3), np.arange(6.0).reshape(2, 3), np.array(["a", "b", "c"])
    out = old.types(1, 2, 3, r4, r8, 1j, 1j, True, "hello", names, [True, False, False])
    assert (out.i2, out.i4, out.i8, out.c8, out.c16, out.l, out.ch) == (2, 3, 4, 2j, 2j, False, "hZllo")
    assert out.r4.tolist() == [0, 9, 0]
    assert out.r4.dtype == np.float32
    assert out.r8.tolist() == [[0, 1, 2], [21, 4, 5]]
    assert out.chs.tolist() == ["a", "ABCD", "c"]
    assert out.ll.tolist() == [True, True, False]
    assert not r4.any()
    assert r8[1, 0] == 3
    assert names[1] == "b"


def test_functions_of_every_type(old):
    assert old.twice(1.5) == 3.0  # the parser's leaking IMPLICIT would pass REAL*8 here
    assert old.call("TWICE", 1.5)._asdict() == {"twice": 3.0, "x": -1.0}
    assert old.thrice(1.5) == 4.5
    assert old.middle("abcd") == "bc"
    assert old.square(2j) == -4
    assert old.pos(1.0) is True
    assert old.pos(-1.0) is False


@pytest.mark.parametrize("order", ["C", "F", "strided", "int"])
def test_any_layout_of_an_array(old, order):
    a = np.arange(6.0).reshape(2, 3)
    given = {"C": a, "F": np.asfortranarray(a), "strided": np.repeat(a, 2, axis=0)[::2], "int": a.astype(int)}[order]
    out = old.copy(given, 2, None, np.zeros((2, 3)), None, None, lambda_=2)
    np.testing.assert_array_equal(out.b, 2 * a)
    assert out.n == 3
    assert out.y.tolist() == [0, 0, 0, 7]
    assert out.w.shape == (8,)
    assert out.w[7] == 8
    assert old.first(np.zeros((2, 2)), None, None).b[0, 0] == 1  # an ENTRY


def test_assumed_size_takes_any_length(old):
    assert old.sum1(np.ones(1000), 1000, None).s == 1000  # X(1), the X(*) of its day
    assert old.sum1([], 0, None).s == 0
    x = np.ones(2**20, np.float32)
    assert old.sum1(x, x.size, None).s == x.size


def test_large_arrays(old):
    x = np.arange(8_000_000) % 7
    out = old.sum1(x, x.size, None)
    assert out.s == x.sum()
    np.testing.assert_array_equal(out.x, x)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: f.twice(1e39), ValueError, r"twice: x is REAL\*4: .*range.*got 1e\+39"),
        (lambda f: f.twice(2**24 + 1), ValueError, "holds exactly, got 16777217"),
        (lambda f: f.twice(1j), TypeError, r"x is REAL\*4: it must hold real numbers, got complex128"),
        (lambda f: f.twice("1"), TypeError, "real numbers"),
        (lambda f: f.twice([1.0]), ValueError, r"x must be a scalar, got shape \(1,\)"),
        (lambda f: f.twice(), TypeError, r"twice\(x: REAL\*4\).*missing.*None stands for"),
        (lambda f: f.twice(1, 2), TypeError, "too many positional"),
        (lambda f: f.kept(2.5), ValueError, "whole numbers from -2147483648 to 2147483647, got 2.5"),
        (lambda f: f.kept(2**31), ValueError, "got 2147483648"),
        (lambda f: f.kept(np.nan), ValueError, "got nan"),
        (lambda f: f.middle(3), TypeError, "must be a string"),
        (lambda f: f.middle("π"), ValueError, "Latin-1"),
        (
            lambda f: f.copy(np.ones((3, 3)), 2, 3, np.ones((2, 3)), None, None, 1),
            ValueError,
            r"LDA = 2: it must have 2",
        ),
        (lambda f: f.copy(np.ones((2, 3)), 2, 3, np.ones((2, 2)), None, None, 1), ValueError, "at least 3 elements"),
        (lambda f: f.copy(np.ones((2, 3)), 2, 3, np.ones(6), None, None, 1), ValueError, "2 dimensions"),
        (lambda f: f.copy(np.ones((2, 3)), 2, 3, np.ones((2, 3)), np.ones(3), None, 1), ValueError, "at least 4"),
        (lambda f: f.copy(np.ones((2, 3)), 2, 3, np.ones((2, 3)), None, np.ones(7), 1), ValueError, "at least 8"),
        (lambda f: f.sum1(None, 3, None), ValueError, "give an array of the size it shall have"),
        (lambda f: f.sum1([1.0, 1e39], 2, None), ValueError, r"got 1e\+39 at \[1\]"),
        (lambda f: f.sum1(np.ma.masked_less([1.0, 2.0], 2), 2, None), ValueError, "masked"),
        (lambda f: f.sum1([[1, 2], [3]], 2, None), TypeError, "inhomogeneous"),
        (lambda f: f.types(1, 2, 3, [1], np.ones((2, 1)), 1, 1, 2, "a", ["a"] * 3, [True] * 3), ValueError, "truth"),
        (lambda f: f.types(1, 2, 3, [1], np.ones((2, 1)), 1, 1, True, "a", ["abcde"] * 3, [True] * 3), ValueError, "4"),
    ],
)
def test_what_would_be_lost_is_refused(old, call, error, words):
    with pytest.raises(error, match=words):
        call(old)


def test_common_is_read_and_set(fresh):
    common = fresh.common["LEGCNT"]
    assert common["NCALL"] == 0
    fresh.chap(1.0, 2.0, 3.0, None)
    assert (common["NCALL"], common["name"], common["DONE"]) == (1, "CHAPMAN", True)
    assert common["XX"].tolist() == [[0, 0, 0], [0, 0, 23]]
    common["NCALL"] = 41
    common["XX"] = np.ones((2, 3))
    common["NAME"] = "OTHER"
    fresh.common[""]["BLANK"] = [1, 2, 3]
    assert (common["NAME"], fresh.common[""]["BLANK"].tolist()) == ("OTHER", [1, 2, 3])
    fresh.chap(1.0, 2.0, 3.0, None)
    assert common["NCALL"] == 42
    assert common["XX"].tolist() == [[1, 1, 1], [1, 1, 23]]
    with pytest.raises(KeyError, match="no Y, only NCALL"):
        common["Y"]
    with pytest.raises(KeyError, match="no COMMON block OTHER, only LEGCNT"):
        fresh.common["OTHER"]
    with pytest.raises(ValueError, match=r"XX of COMMON /LEGCNT/ must have shape \(2, 3\)"):
        common["XX"] = np.ones(6)


def test_locals_are_kept_until_the_restart(fresh):
    assert [fresh.kept(0).k for _ in range(3)] == [1, 2, 3]
    fresh.restart()
    assert fresh.kept(0).k == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [(1, "STOP 7"), (2, "STOP or|by STOP"), (3, "SIGSEGV"), (4, "[Ee]nd.of.file"), (6, "exit code 3")],
)
def test_what_ends_the_process_is_an_error_and_the_next_call_works(fresh, kind, words):
    assert fresh.kept(0).k == 1
    with pytest.raises(LegacyError, match=f"DIES of old.f .*({words}).*starts a new process: COMMON"):
        fresh.dies(kind)
    assert fresh.kept(0).k == 1
    assert fresh.dies(0).k == 0


def test_an_endless_loop_meets_the_time_limit(fresh, monkeypatch):
    monkeypatch.setattr(fresh, "_time_limit", 0.5)
    with pytest.raises(LegacyError, match=r"DIES of old.f was stopped after the time limit of 0.5 s"):
        fresh.dies(5)
    monkeypatch.setattr(fresh, "_time_limit", 20)
    assert fresh.kept(0).k == 1


def test_endless_printing_meets_the_limit_of_a_file(fresh, monkeypatch):
    monkeypatch.setattr(_wrap, "_OUTPUT_LIMIT", len(fresh.output) + 10**6)
    with pytest.raises(LegacyError, match=r"DIES of old.f was stopped: it has written a file of 0.0 GB"):
        fresh.dies(7)
    fresh.restart()  # with the limit of the others again
    monkeypatch.undo()
    assert fresh.kept(0).k == 1


def test_print_and_units(old):
    before = old.output
    old.types(1, 2, 3, [1, 1], np.ones((2, 1)), 1, 1, True, "four", ["a"] * 3, [True] * 3)
    assert old.output.removeprefix(before).split() == ["LENGTH", "4"]
    assert old.sets() == (5,)
    assert list(inspect.signature(old.sets).parameters) == []
    assert (old.folder / "scratch" / "fort.9").read_text().split()[-1] == "NINE"


def test_what_cannot_be_called_says_why(old):
    assert "alternate returns" in old.refused["alt"]
    assert "F is a procedure" in old.refused["quadb"]
    assert "procedure" in old.refused["quada"]
    assert "Q is REAL*16" in old.refused["wide"]
    assert "chap" in old.routines
    with pytest.raises(AttributeError, match=r"ALT of old.f cannot be called: it has alternate returns"):
        old.alt(1)
    with pytest.raises(AttributeError, match=r"old.f has no routine 'chop', only chap, twice"):
        old.chop(1)


def test_help_shows_the_fortran_types(old):
    text = pydoc.plain(pydoc.render_doc(old.copy))
    assert "copy(a: REAL*4 (LDA,*), lda: INTEGER*4, n: INTEGER*4, b: REAL*4 (LDA,N), y: REAL*4 (1+N)" in text
    assert "SUBROUTINE COPY(A, LDA, N, B, Y, W, LAMBDA), old.f." in text
    assert "copy" in dir(old)


def test_threads_share_it(fresh):
    got = []
    threads = [threading.Thread(target=lambda: got.append(fresh.kept(0).k)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 21))


def test_modules_kinds_and_assumed_shapes(tmp_path):
    path = tmp_path / "new.f90"
    path.write_text(NEW)
    with wrap(path, folder=tmp_path / "kept") as lib:
        assert set(lib.routines) == {"row_sums", "cube", "scaled"}
        x = np.arange(6).reshape(2, 3)
        out = lib.row_sums(x, 1)
        assert out._fields == ("y", "n")
        assert out.y.tolist() == [3, 12]
        assert out.n == 2
        assert lib.cube(2) == 8
        assert lib.scaled([1, 2, 3], 2).x.tolist() == [2, 4, 6]
        process = lib._state._process._popen
    assert process.returncode == 0
    with pytest.raises(LegacyError, match="the library is closed"):
        lib.cube(1)
    assert (tmp_path / "kept" / "scratch").is_dir()
    with pytest.raises(LegacyError, match="is there already; nothing is overwritten"):
        wrap(path, folder=tmp_path / "kept")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("      PROGRAM MAINP\n      END\n", "old.f has no SUBROUTINE or FUNCTION, only the program MAINP"),
        ("      X = 1\n      END\n", "old.f has no SUBROUTINE or FUNCTION, only a main program"),
        ("      SUBROUTINE S(X)\n      X = (1\n      END\n", "old.f:2: "),
        ("      SUBROUTINE S(X)\n      CALL FAR(X)\n      END\n", "FAR is called, and no file given has a SUBROUTINE"),
        ("      SUBROUTINE S(X,*)\n      RETURN 1\n      END\n", "no routine that can be called: S: it has alternate"),
    ],
)
def test_files_that_cannot_be_wrapped(tmp_path, source, words):
    path = tmp_path / "old.f"
    path.write_text(source)
    with pytest.raises(LegacyError, match=words):
        wrap(path)


def test_a_main_program_without_its_statement(tmp_path):
    path = tmp_path / "old.f"
    path.write_text("      SUBROUTINE S(X)\n      X = 1\n      END\n      PRINT *, 'MAIN'\n      END\n")
    (tmp_path / "more.f").write_text("      SUBROUTINE T(X)\n      CALL S(X)\n      END\n")
    with wrap([path, tmp_path / "more.f"]) as lib:
        assert list(lib.routines) == ["s", "t"]
        assert lib.T(None) == (1.0,)


def test_missing_things(tmp_path, monkeypatch):
    with pytest.raises(LegacyError, match=r"nowhere.f: No such file"):
        wrap(tmp_path / "nowhere.f")
    path = tmp_path / "s.f"
    path.write_text("      SUBROUTINE S(X)\n      X = 1\n      END\n")
    with pytest.raises(ValueError, match="time_limit must be positive"):
        wrap(path, time_limit=0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LegacyError, match="gfortran was not found"):
        wrap(path)


LEAVE = """
    import os, signal, sys, threading, time
    from ecgkern.legacy._wrap import wrap
    lib = wrap(sys.argv[1])
    print(lib._state._process._popen.pid, lib.folder, flush=True)
    lib.spin(0)
    if sys.argv[2] == "exit":
        sys.exit()
    if sys.argv[2] == "interrupt":
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    try:
        lib.spin(1)
    except KeyboardInterrupt:
        print(lib.spin(0).k, flush=True)
"""


@pytest.mark.parametrize("how", ["exit", "interrupt", "kill"])
def test_no_process_outlives_the_caller(tmp_path, how):
    path = tmp_path / "spin.f"
    path.write_text("      SUBROUTINE SPIN(K)\n   10 IF (K .EQ. 1) GO TO 10\n      K = 5\n      END\n")
    script = tmp_path / "leave.py"
    script.write_text(textwrap.dedent(LEAVE))
    run = subprocess.run([sys.executable, script, path, how], capture_output=True, text=True, timeout=60)
    assert run.returncode == (-signal.SIGKILL if how == "kill" else 0), run.stderr
    first, *more = run.stdout.splitlines()
    pid, folder = first.split()
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}") or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the process of the routines is still there")
    assert not os.path.exists(folder)
    assert more == (["5"] if how == "interrupt" else [])


def test_the_process_ends_with_the_last_reference(tmp_path):
    path = tmp_path / "s.f"
    path.write_text("      SUBROUTINE S(X)\n      X = 1\n      END\n")
    lib = wrap(path)
    routine, process = lib.s, lib._state._process._popen
    del lib
    gc.collect()
    assert process.returncode == 0
    with pytest.raises(LegacyError, match="keep a reference"):
        routine(1)


def test_a_routine_that_writes_beyond_an_array_of_unknown_length_is_stopped(tmp_path):
    source = tmp_path / "beyond.f"
    source.write_text(
        "      SUBROUTINE FILL(X,N)\n      DIMENSION X(1)\n      DO 10 I=1,N\n   10 X(I)=I\n      END\n",
        encoding="ascii",
    )
    with wrap(source) as lib:
        assert list(lib.fill(np.zeros(3), 3).x) == [1, 2, 3]
        with pytest.raises(LegacyError, match=r"FILL of beyond\.f was stopped: it wrote outside its argument X"):
            lib.fill(np.zeros(3), 4)
        assert list(lib.fill(np.zeros(3), 3).x) == [1, 2, 3]
