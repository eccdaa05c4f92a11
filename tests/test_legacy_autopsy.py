"""Faults of old programs, each found and explained; builds compared, and rounding told from faults."""

import shutil

import pytest

from ecgkern.legacy._autopsy import autopsy
from ecgkern.legacy._matrix import flags_matrix
from ecgkern.legacy._source import LegacyError

pytestmark = pytest.mark.skipif(shutil.which("gfortran") is None, reason="gfortran is not installed")

PRINT = """\
      PROGRAM TEST
      DO 10 I = 1, 4
      CALL STEP(I, X)
   10 WRITE(6,20) I, X
   20 FORMAT(I4, F12.4)
      END
"""
RETAINED = (
    PRINT
    + """\
      SUBROUTINE STEP(I, X)
      IMPLICIT REAL (A-H,O-Z)
C     N AND B KEEP THEIR VALUES, C NEED NOT
      IF (I .EQ. 1) N = 3
      IF (I .EQ. 1) B = 1.
      N = N + 1
      B = 2.*B
      C = 7.
      X = N + B + C
      END
"""
)
ALIASED = """\
      PROGRAM TEST
      COMMON /C/ A
      A = 1.
      DO 10 I = 1, 5
      CALL S(A, B)
   10 WRITE(6,20) A, B
   20 FORMAT(2F10.4)
      END
      SUBROUTINE S(X, B)
      COMMON /C/ A
      A = 2.
      X = X + 1.
      B = A
      A = A*3.
      B = B + X
      END
"""


@pytest.fixture
def program(tmp_path):
    """Write a program to a file."""

    def write(text, name="test.f"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def step(*statements):
    """Return a program whose subroutine STEP has these statements."""
    lines = ["      SUBROUTINE STEP(I, X)", *(f"      {statement}" for statement in statements), "      END", ""]
    return PRINT + "\n".join(lines)


def only(result, **wanted):
    """Return the one finding that has these attributes."""
    found = [f for f in result.findings if all(getattr(f, name) == value for name, value in wanted.items())]
    assert len(found) == 1, result.report()
    return found[0]


# --- autopsy --------------------------------------------------------------------------------------


def test_a_sound_program_has_no_findings(program):
    result = autopsy(program(step("X = SQRT(FLOAT(I))")))
    assert result.ok
    assert result.findings == ()
    assert "nothing found.\nWith all checks on, the program ran to its end." in result.report()


def test_locals_that_nothing_sets_are_named_with_their_line(program):
    result = autopsy(program(step("X = I + TOTAL", "X = X + M")))
    assert not result.ok
    real = only(result, line=8)
    assert (real.kind, real.statement.strip(), real.found) == ("fault", "X = I + TOTAL", "while running")
    assert real.text.startswith("TOTAL is used here, and nothing has set it: it is zero only because")
    integer = only(result, line=9)
    assert (integer.kind, integer.found) == ("fault", "by the compiler")
    assert integer.text.startswith("M is used here, and nothing has set it before")
    assert "the listing changes at line 1" in only(result, line=None).text


def test_locals_that_must_be_kept_are_told_from_those_never_set(program):
    result = autopsy(program(RETAINED))
    assert result.ok
    kept = only(result)
    assert (kept.kind, kept.line, kept.found) == ("warning", 7, "by comparing runs")
    assert kept.text.startswith(
        "SUBROUTINE STEP counts on B, N keeping their values from one call to the next; without"
    )
    assert kept.advice.startswith("SAVE B, N in STEP")


def test_free_form_and_a_routine_with_entry(program):
    free = """\
program test
  do i = 1, 3
    call step(i, x)
    write(6, '(i4,f12.4)') i, x
  end do
end program
subroutine step(i, x)
  if (i == 1) n = 3
  if (i == 1) b = 1.
  n = n + 1
  b = 2*b
  x = n + b
end subroutine step
"""
    kept = only(autopsy(program(free, "test.f90")))
    assert (kept.kind, kept.line) == ("warning", 7)
    assert kept.text.startswith("SUBROUTINE STEP counts on B, N keeping their values")
    entry = RETAINED.replace("      N = N + 1\n", "      ENTRY MORE(I, X)\n      N = N + 1\n")
    kept = only(autopsy(program(entry)), line=None)
    assert kept.text.startswith("locals must keep their values from call to call; where they do not, the listing")
    assert "first of all in STEP with its ENTRY" in kept.advice


def test_common_that_nothing_sets(program):
    text = PRINT.replace("      DO", "      COMMON /USED/ P, Q\n      COMMON R\n      P = 2.\n      DO") + (
        "      SUBROUTINE STEP(I, X)\n      COMMON /USED/ P, Q\n      COMMON R\n      X = I*P + Q + R\n      END\n"
    )
    result = autopsy(program(text))
    fault = only(result, kind="fault")
    assert fault.line == 13
    assert "COMMON /USED/" in fault.text
    assert "blank COMMON" in fault.text
    assert "is used before anything sets it" in fault.text


def test_four_faults_in_one_program(program):
    """None hides the next: each check is taken away when it has told its fault."""
    text = step(
        "DIMENSION W(3)", "W(I) = I", "Z = 1./(X - X)", "Z = SQRT(Z - Z - 1.)", "V = 1.E30*I", "X = V*1.E30 + W(1)*Z"
    )
    result = autopsy(program(text.replace("      DO 10", "      X = 1.\n      DO 10")))
    assert not result.ok
    words = {finding.line: finding.text for finding in result.findings if finding.found == "while running"}
    assert words[10] == "index 4 in dimension 1 of W, whose bound is 3: something else in memory is used instead"
    assert words[11] == "division by zero"
    assert words[12].startswith("invalid operation: 0/0, the root or the logarithm of a negative number")
    assert words[14].startswith("overflow: the result is larger")
    assert "put that one right and ask again" in result.report()


def test_arrays_of_one_element_are_an_old_way_and_hide_no_fault(program):
    text = """\
      DIMENSION X(5)
      CALL FILL(X, 5)
      WRITE(6,*) X(5)
      END
      SUBROUTINE FILL(X, N)
      DIMENSION X(1), W(3)
      DO 10 I = 1, N
      X(I) = I
   10 W(I) = I
      IF (W(1) .GT. 2.) X(1) = W(2)
      END
"""
    result = autopsy(program(text))
    assert only(result, kind="note").text == "X is declared with one element, the way before X(*): no fault"
    fault = only(result, kind="fault", found="while running")
    assert (fault.line, fault.text.split(",")[0]) == (9, "index 4 in dimension 1 of W")


def test_what_the_compiler_alone_sees(program):
    text = """\
      PROGRAM TEST
      COMMON /B/ I, J
      DO 10 T = 0., 1., .1
   10 CALL S(2, 3.)
      WRITE(6,*) I, J, F(1)
      END
      SUBROUTINE S(X, K)
      COMMON /B/ I, D
      DOUBLE PRECISION D
      CHARACTER*4 NAME
      NAME = 'ABCDEF'
      D = 1/2
      I = K + X
      IF (NAME .EQ. 'ABCD') I = 2
      END
      FUNCTION F(K)
      J = K
      END
"""
    result = autopsy(program(text))
    said = {finding.line: finding for finding in result.findings}
    for line, words in {
        3: "counts in steps of REAL: how often it runs depends on rounding",
        8: "bytes free: a routine that declares the block otherwise",
        11: "6 characters go into a variable of 4: the rest is lost",
        12: "an integer divided by an integer, and the fraction is lost",
        16: "the function F never sets its result",
    }.items():
        assert words in said[line].text, line
    report = result.report()
    assert "the argument X is given as INTEGER and received as REAL: its bits are taken" in report
    assert "COMMON /B/ has " in report


def test_one_variable_under_two_names(program):
    result = autopsy(program(ALIASED))
    warning = only(result)
    assert (warning.kind, warning.line) == ("warning", 5)
    assert warning.text.startswith("A is known to S under two names, as X and as a variable of COMMON /C/")
    twice = autopsy(
        program("      X = 1.\n      CALL S(X, X)\n      END\n      SUBROUTINE S(A, B)\n      A = B\n      END\n")
    )
    assert only(twice).text.startswith("X is known to S under two names, as A and as B, and S sets one of them")


def test_text_past_column_72(program):
    text = step(f"{'X = I':66s}+ 1.")
    result = autopsy(program(text))
    cut = only(result, kind="fault", found="while reading")
    assert cut.line == 8
    assert "past column 72" in cut.text


def test_flang_says_what_it_cannot_do(program):
    if shutil.which("flang-new-19") is None:
        pytest.skip("flang is not installed")
    result = autopsy(program(RETAINED), compiler="flang")
    assert result.outcome.ok
    assert "flang has no traps; values never set are found with --compiler gfortran only" in result.report()


def test_inputs_that_are_not_there(program, tmp_path):
    with pytest.raises(LegacyError, match="no such file, or it cannot be read"):
        autopsy(program(PRINT), deck=tmp_path / "none")
    with pytest.raises(ValueError, match="program must name at least one source"):
        autopsy([])
    with pytest.raises(ValueError, match="time_limit must be positive"):
        flags_matrix(program(PRINT), time_limit=0)


# --- matrix ---------------------------------------------------------------------------------------

ONE = {"compilers": ["gfortran"]}


def verdicts(matrix):
    return {variant.name: variant.verdict for variant in matrix.variants}


def test_the_same_listing_in_every_build(program):
    matrix = flags_matrix(program(step("X = I/3.")))
    assert matrix.ok
    assert set(verdicts(matrix).values()) == {"same"}
    assert matrix.conclusion == f"same listing in all {len(matrix.variants)} builds"
    assert set(matrix.probes) == {"up", "down", "towards zero"}


def test_a_program_that_needs_retained_locals(program):
    matrix = flags_matrix(program(RETAINED), **ONE)
    assert matrix.ok
    assert {variant.verdict for variant in matrix.variants if variant.retain} == {"same"}
    # What is left on the stack may be right by chance, but hardly at every level.
    assert "different" in {variant.verdict for variant in matrix.variants if not variant.retain}
    assert matrix.conclusion.startswith(
        "the program relies on retained or zeroed locals: without them the listing changes at line "
    )
    table = matrix.report().splitlines()
    assert table[0] == "Compared with gfortran -O0; largest is the largest relative difference."
    assert len([row for row in table if row.startswith("gfortran")]) == 6


def test_a_long_sum_differs_by_rounding(program, tmp_path):
    """Single precision, 40000 terms: a listing of another machine differs by as much as other rounding does."""
    text = """\
      S = 0.
      DO 10 I = 1, 40000
   10 S = S + 1./I
      WRITE(6,20) S
   20 FORMAT(' SUM =', F12.7)
      END
"""
    path = program(text)
    golden = tmp_path / "golden"
    golden.write_text(" SUM =  11.1737700\n")  # 11.1738 is the sum; other rounding moves it by some 1E-3
    matrix = flags_matrix(path, compare=golden, **ONE)
    assert set(verdicts(matrix).values()) == {"rounding"}
    assert matrix.ok
    assert matrix.conclusion.startswith("rounding: last digits differ between the golden listing and gfortran -O0")
    assert 1e-5 < max(matrix.probes.values()) < 1e-1
    golden.write_text(" SUM =  12.1737700\n")
    matrix = flags_matrix(path, compare=golden, **ONE)
    assert set(verdicts(matrix).values()) == {"different"}
    assert not matrix.ok
    assert "every build differs from the golden listing, gfortran -O0 at line 1" in matrix.conclusion


def test_a_listing_that_depends_on_optimisation_is_a_fault(program):
    main, rest = ALIASED.split("      SUBROUTINE")  # in two files, as a routine that is inlined is compiled right
    matrix = flags_matrix([program(main, "main.f"), program("      SUBROUTINE" + rest, "s.f")], **ONE)
    assert not matrix.ok
    said = verdicts(matrix)
    assert said["gfortran -O0"] == "same"
    assert said["gfortran -O3"] == "different"
    assert matrix.conclusion.startswith(
        "a fault: the listing depends on optimisation far beyond rounding (gfortran -O2"
    )
    assert "rounding does not move it; first at line 1" in matrix.report()


def test_an_endless_loop_in_some_builds_is_a_row(program):
    """With optimisation X is kept in a register, and A, the same variable, never changes."""
    main = "      COMMON /C/ A\n      A = 0.\n      CALL S(A)\n      WRITE(6,*) A\n      END\n"
    loop = """\
      SUBROUTINE S(X)
      COMMON /C/ A
   10 X = X + 1.
      IF (A .LT. 5.) GOTO 10
      END
"""
    matrix = flags_matrix([program(main, "main.f"), program(loop, "s.f")], time_limit=0.5, **ONE)
    assert not matrix.ok
    said = verdicts(matrix)
    assert said["gfortran -O0"] == "same"
    assert said["gfortran -O2"] == "time limit"
    assert matrix.conclusion.startswith(
        "a fault: the program runs or fails by optimisation (gfortran -O2: time limit; gfortran -O3: time limit)"
    )
    assert "time limit of 0.5 s" in matrix.report()


def test_what_never_runs_and_what_cannot_be_built_are_rows(program):
    endless = flags_matrix(program("   10 GOTO 10\n      END\n"), time_limit=0.2, **ONE)
    assert set(verdicts(endless).values()) == {"time limit"}
    assert endless.conclusion.startswith("gfortran -O0, the plainest build, does not run: stopped")
    refused = flags_matrix(program(PRINT + "      SUBROUTINE STEP(I, X\n      END\n"), **ONE)
    assert set(verdicts(refused).values()) == {"not built"}
    assert "does not run: test.f:7: " in refused.conclusion


def test_without_a_listing_the_largest_file_is_compared(program):
    quiet = step("X = I/7.").replace("WRITE(6", "WRITE(9")
    matrix = flags_matrix(program(quiet), **ONE)
    assert matrix.ok
    assert matrix.reference == "gfortran -O0 (the file fort.9; the listing is empty)"


def test_a_golden_listing_that_is_not_there(program, tmp_path):
    with pytest.raises(LegacyError, match="there is no file"):
        flags_matrix(program(PRINT), compare=tmp_path / "none")


def test_a_division_of_integers_by_zero_is_told_and_ends_the_autopsy(program, tmp_path):
    deck = tmp_path / "deck"
    deck.write_text("\n")
    text = "      READ(5,1) N\n    1 FORMAT(I3)\n      M = 7/N\n      WRITE(6,1) M\n      END\n"
    result = autopsy(program(text), deck=deck)
    (fault,) = (finding for finding in result.findings if finding.kind == "fault")
    assert (fault.line, "INTEGER is divided by zero" in fault.text) == (3, True)
    assert "put that one right" in result.report()


def test_the_way_before_assumed_size_is_not_the_headline(program):
    text = """\
      DIMENSION A(3)
      CALL FILL(A,3)
      WRITE(6,1) A
    1 FORMAT(3F4.0)
      END
      SUBROUTINE FILL(A,N)
      DIMENSION A(1)
      DO 10 I=1,N
   10 A(I)=I
      END
"""
    result = autopsy(program(text))
    assert result.ok
    assert result.outcome.ended == "end"
