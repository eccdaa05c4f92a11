"""ecgkern.legacy.run and the command: sources of every age, what compilers no longer read, and runs that fail."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecgkern import legacy
from ecgkern.cli import main
from ecgkern.legacy import _compilers
from ecgkern.legacy._dialect import modernised
from ecgkern.legacy._source import cards, read

HERE = Path(__file__).parent / "legacy"
COMPILERS = ("gfortran", "flang")


@pytest.fixture(params=COMPILERS)
def compiler(request):
    if request.param not in {found.name for found in legacy.compilers()}:
        pytest.skip(f"no {request.param} on PATH: {_compilers.COMPILERS[request.param]}")
    return request.param


@pytest.fixture
def gfortran():
    if "gfortran" not in {found.name for found in legacy.compilers()}:
        pytest.skip(f"no gfortran on PATH: {_compilers.COMPILERS['gfortran']}")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def source(text, name="prog.f"):
    """A source in fixed form from lines of which those without a label start in column 7."""
    lines = []
    for line in text.strip("\n").split("\n"):
        label, bar, statement = line.partition("|")
        lines.append(f"{label.strip():>5} {statement}" if bar else line if line[:1] == "*" else " " * 6 + line)
    path = Path(name)
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    return path


def listing(text, **options):
    result = legacy.run(source(text), **options)
    assert result.outcome.ok, result.outcome
    return [line.rstrip() for line in result.listing.read_text("latin-1").splitlines()]


# ---- programs of their time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", ["-O0", "-O2", "-O3"])
def test_a_program_of_1972_runs_unchanged_and_matches_its_listing(gfortran, optimize):
    # Computed and assigned GO TO, arithmetic IF, Hollerith constants, EQUIVALENCE, ENTRY, retained locals, a format
    # read from an array, unit 5 and 6, PUNCH, PAUSE, STOP with a number. The listing was worked out by hand.
    before = (HERE / "decay.f").read_bytes()
    result = legacy.run(HERE / "decay.f", deck=HERE / "decay.deck", compare=HERE / "decay.lst", optimize=optimize)
    assert result.comparison.verdict == "identical"
    assert result.ok
    assert (result.outcome.ended, result.outcome.exit_code) == ("stop", 12)
    assert result.units["fort.7"].read_text() == "    4\n"  # punched
    assert "PAUSE 7" in result.outcome.stderr
    assert (HERE / "decay.f").read_bytes() == before == (result.folder / "source/decay.f").read_bytes()


def test_what_no_compiler_reads_any_more_is_told_line_by_line(gfortran):
    result = legacy.run(HERE / "decay.f", deck=HERE / "decay.deck")
    assert [(finding.line, finding.kind) for finding in result.findings] == [
        (2, "note"), (34, "note"), (36, "note"), (40, "note"), (41, "warning")]  # fmt: skip
    told = "\n".join(map(str, result.findings))
    assert all(
        word in told for word in ("PROGRAM card", "PUNCH writes unit 7", "PAUSE does not wait", "GAMMA", "SUM is used")
    )


def test_retained_locals_keep_their_values_and_start_as_zero(compiler):
    text = """
      DO 10 I=1,3
   10 |CALL COUNT
      END
      SUBROUTINE COUNT
      N=N+1
      WRITE(6,20) N
   20 |FORMAT(1X,I3)
      END"""
    text = "\n".join(line.strip() for line in text.splitlines())
    for optimize in ("-O0", "-O2"):
        assert listing(text, compiler=compiler, optimize=optimize) == ["   1", "   2", "   3"]


def test_the_programs_own_procedure_is_called_and_not_a_later_intrinsic_of_its_name(compiler):
    text = """
DIMENSION SIZE(2)
SIZE(1)=GAMMA(2.)
CALL SECOND(SIZE(2))
WRITE(6,10) SIZE
10|FORMAT(2F8.2)
CALL USER(5.)
END
FUNCTION GAMMA(X)
GAMMA=X+100.
END
SUBROUTINE SECOND(T)
T=7.
END
SUBROUTINE USER(GAMMA)
WRITE(6,10) GAMMA
10|FORMAT(F8.2)
END"""
    assert listing(text, compiler=compiler) == ["  102.00    7.00", "    5.00"]


def test_fortran_ii_and_dec_input_output(compiler):
    deck = Path("deck")
    deck.write_text("  1.5\n  2.5\n  3.5\n")
    text = """
READ INPUT TAPE 5, 10, A
ACCEPT 10, B
READ 10, C
IF (A.LT.B) PUNCH 10, A
WRITE OUTPUT TAPE 6, 20, A, B
TYPE 20, C
PRINT 20, C
10|FORMAT(F5.1)
20|FORMAT(1X,2F6.1)
END"""
    assert listing(text, compiler=compiler, deck=deck) == ["    1.5   2.5", "    3.5", "    3.5"]


def test_fortran_66_loops_and_blanks(compiler):
    deck = Path("deck")
    deck.write_text("    3 2    12 5\n")  # a card has all its 80 columns: " 12 5 " is 12050
    text = """
READ(5,10) N,M,X
10|FORMAT(2I5,F6.2)
K=0
DO 20 I=N,1
K=K+1
20|CONTINUE
DO 30 I=1,2
DO 30 J=I,2
30|K=K+10
WRITE(6,40) N,M,X,K
40|FORMAT(1X,2I6,F9.2,I5)
END"""
    assert listing(text, compiler=compiler, deck=deck) == ["      3     2     1.25   30"]
    assert listing(text, compiler=compiler, deck=deck, f66=True) == ["      3  2000   120.50   31"]


def test_a_loop_that_fortran_66_would_have_run_is_told(gfortran):
    result = legacy.run(source("DO 10 I=4,3\n10|CONTINUE\nEND"))
    assert [(f.line, f.kind) for f in result.findings] == [(1, "warning")]
    assert "--f66" in result.findings[0].text


def test_line_numbers_stay_those_of_the_source(gfortran):
    # Lines are put in (EXTERNAL, OPEN) and statements grow before the line that fails.
    text = """
PUNCH 10, GAMMA(1.), GAMMA(2.), GAMMA(3.), GAMMA(4.), GAMMA(5.678)
PUNCH 10, GAMMA(1.), GAMMA(2.), GAMMA(3.), GAMMA(4.), GA
+MMA(6.)
*
READ(5,10) Y
10|FORMAT(5F8.2)
END
FUNCTION GAMMA(X)
GAMMA=X
END"""
    path = source(text)
    path.write_text(path.read_text().replace("      +MMA", "     +MMA"))
    result = legacy.run(path, f66=True)
    assert result.outcome.ended == "error"
    assert "line 5 of prog.f" in result.outcome.message


def test_ibm_namelists_octal_and_halfwords(gfortran):
    deck = Path("deck")
    deck.write_text(" &IN A=1.5,B=2.5D0,\n N=7 &END\nYES\n")
    text = """
REAL*8 B,NAME,YES
INTEGER*2 N
LOGICAL*1 L
NAMELIST /IN/ A,B,N
DATA YES/'YES'/,L/.TRUE./
READ(5,IN)
READ(5,10) NAME
10|FORMAT(A8)
IF(NAME.EQ.YES) A=A+1.
WRITE(6,20) A,B,N,NAME,L,Z'FF',6.AND.3
20|FORMAT(1X 2F8.3,I5,1X,A8,L3,2I4)
END"""
    assert listing(text, deck=deck) == ["    2.500   2.500    7 YES       T 255   2"]


def test_constants_are_left_as_they_are(gfortran):
    text = """
CALL MSG(12H(&10, &20)! ,3)
IF(I.EQ.0) WRITE(6,10)
10|FORMAT(19H PUNCH 10, X ! $20,,7H CALL( ,1H')
END
SUBROUTINE MSG(M,N)
DIMENSION M(N)
WRITE(6,20) M
20|FORMAT(1X,3A4)
END"""
    assert listing(text) == [" (&10, &20)!", " PUNCH 10, X ! $20, CALL( '"]


def test_a_procedure_of_another_file_is_called_and_not_the_intrinsic(compiler):
    program = source("WRITE(6,10) GAMMA(3.),MIN(1,2),BESJ0(1.)\n10|FORMAT(F8.2,I5,F8.2)\nREALY=BESJ0(2.)\nEND")
    others = source("FUNCTION GAMMA(X)\nGAMMA=X*100.\nEND\nFUNCTION MIN(I,J)\nMIN=9\nEND\n"
                    "FUNCTION BESJ0(X)\nBESJ0=7.\nEND", "others.f")  # fmt: skip
    result = legacy.run([program, others], compiler=compiler)
    assert result.listing.read_text() == "  300.00    9    7.00\n"


def test_words_of_cdc_ibm_and_watfor(gfortran):
    deck = Path("deck")
    deck.write_text("  1.5\n2\n")
    text = """
PROGRAM CDC(INPUT,OUTPUT,TAPE1=INPUT,TAPE3=OUTPUT)
DATA MASK/ZFF/,IOCT/O17/
READ(1,10) X
READ, N
WRITE(3,10) X
10|FORMAT(F6.2)
WRITE(3,20) N,MASK,IOCT
20|FORMAT(* N = *,3I5)
IF(X.GT.0.) WRITE(3,10) X
WRITE(6,30)
30|FORMAT(' LAST')
REWIND 8
WRITE TAPE 8, X
PRINT, N
END"""
    assert listing(text, deck=deck) == ["  1.50", " N =     2  255   15", "  1.50", " LAST", "           2"]


def test_control_cards_and_a_deck_behind_the_program(compiler):
    cards = "$JOB   SMITH\n//STEP EXEC FORTG\n      READ(5,10) X\n      WRITE(6,10) X\n   10 FORMAT(F6.2)\n      END\n"
    Path("job.f").write_text(cards + "$ENTRY\n  4.50\n$STOP\n")
    result = legacy.run("job.f", compiler=compiler)
    assert result.listing.read_text().split() == ["4.50"]
    assert [finding.line for finding in result.findings] == [1, 2, 7, 8]
    Path("deck").write_text("  5.50\n")
    assert legacy.run("job.f", deck="deck", compiler=compiler).listing.read_text().split() == ["5.50"]


def test_fortran_66_leaves_loops_over_reals(gfortran):
    assert listing("DO 10 X=0.,.2,.1\nK=K+1\n10|CONTINUE\nWRITE(6,20) K\n20|FORMAT(I3)\nEND", f66=True) == ["  3"]


def test_decks_and_sources_of_dos_vax_and_card_punches(compiler):
    tabs = "\tPROGRAM T\r\nC\tcomment \xe9\r\n\x0c\r\nD\tWRITE(6,*) 'DEBUG'\r\n\tREAD(5,20) X\r\n\tX=X+\r\n\t1 2.0\r\n"
    tabs += "10\tWRITE(6,20) X\r\n20\tFORMAT(1X,F5.1)\r\n\tEND\r\n\x1a"
    Path("OLD.FOR").write_bytes(tabs.encode("latin-1"))
    Path("deck").write_bytes(b"  1.5\r\n\x1a")
    result = legacy.run("OLD.FOR", deck="deck", compiler=compiler)
    assert result.listing.read_text().split() == ["3.5"]
    assert any("Ctrl-Z" in finding.text for finding in result.findings)


def test_free_form_and_several_files(compiler):
    Path("main.f90").write_text("program main\n  use numbers\n  print '(i4)', seven\nend program main\n")
    Path("numbers.f90").write_text("module numbers\n  integer, parameter :: seven = 7\nend module numbers\n")
    result = legacy.run(["numbers.f90", "main.f90"], compiler=compiler)
    assert result.listing.read_text().split() == ["7"]
    Path("free.f").write_text("program main\nprint '(i4)', 8\nend\n")
    result = legacy.run("free.f", compiler=compiler)
    assert result.listing.read_text().split() == ["8"]
    assert "free form" in result.findings[0].text


def test_files_of_other_units_and_another_printer(gfortran):
    Path("tape").write_text("4.5\n")
    text = """
READ(8,*) X
OPEN(9,FILE='COEFS')
READ(9,*) Y
WRITE(3,10) X+Y
10|FORMAT(1X,F6.2)
WRITE(6,10) X
END"""
    Path("golden").write_text("   9.00\n")
    result = legacy.run(source(text), units={8: "tape", "COEFS": "tape"}, printer=3, compare="golden")
    assert result.ok
    assert result.listing.name == "fort.3"
    assert list(result.units) == ["fort.3"]


# ---- columns --------------------------------------------------------------------------------------------------------


def card(statement, number):
    return f"{'      ' + statement:72}{number:>8}"


def test_card_numbers_are_known_from_text_past_column_72(gfortran):
    statements = ["X=1.", "Y=2.", "Z=X+Y", "WRITE(6,10) Z", "END"]
    deck = [card(statement, f"ABC{10 * n:05}") for n, statement in enumerate(statements, 1)]
    deck.insert(4, f"   10 FORMAT(1X,F5.1){'':51}ABC00045")
    Path("cards.f").write_text("\n".join(deck) + "\n")
    result = legacy.run("cards.f")
    assert result.listing.read_text().split() == ["3.0"]
    assert [str(finding) for finding in result.findings] == ["note: columns 73-80 hold card numbers (6 cards)"]
    deck[2] = f"{'      Z=X+Y':69}+10.0"  # runs into the numbers: +10 is read, .0 is not
    Path("cards.f").write_text("\n".join(deck) + "\n")
    faults = [finding for finding in legacy.run("cards.f").findings if finding.kind == "fault"]
    assert [(fault.line, "'.0'" in fault.text) for fault in faults] == [(3, True)]


def test_text_past_column_72_is_told_and_read_if_asked(compiler):
    path = source("X=1.\nWRITE(6,10) X\n10|FORMAT(1X,F5.1)\nEND")
    lines = path.read_text().splitlines()
    lines[0] = f"{'      X=1.':72}+5."
    path.write_text("\n".join(lines) + "\n")
    result = legacy.run(path, compiler=compiler)
    assert result.listing.read_text().split() == ["1.0"]
    (fault,) = result.findings
    assert (fault.line, fault.kind) == (1, "fault")
    assert "'+5.' stands past column 72" in fault.text
    assert "--columns 132" in fault.text
    result = legacy.run(path, compiler=compiler, columns="132")
    assert result.listing.read_text().split() == ["6.0"]
    assert result.findings == ()


@pytest.mark.parametrize(
    ("lines", "numbered", "spilled"),
    [
        ([card(f"X={n}", 10 * n) for n in range(1, 9)], 8, []),
        ([card(f"X={n}", f"{n:08}") for n in range(1, 9)], 8, []),
        ([f"{'      X=' + str(n):72}{10 * n:>4}" for n in range(1, 9)], 8, []),  # 73-76
        ([card(f"X={n}", 10 * n) for n in range(1, 9)] + ["      END"], 8, []),
        (["      X=1", f"{'      Y=2':71}+33"], 0, [(2, "33")]),  # one number is no numbering
        ([f"{'      X=1':71}+{n}{n}" for n in (5, 3, 1, 4)], 0, [(n, 2 * d) for n, d in enumerate("5314", 1)]),
        (["C" + 90 * "-", f"{'      X=1  ! a long':90}remark", "      Y='!" + 70 * "A" + "'"], 0, [(3, 8 * "A" + "'")]),
    ],
)
def test_cards(lines, numbered, spilled):
    assert cards(lines) == (numbered, [], spilled)


@pytest.mark.parametrize(
    ("lines", "numbered", "named"),
    [
        ([f"{f'      X={n}':72}MAIN" for n in range(9)], 0, 9),  # a name on every card
        ([card("X=1", 10)] + 9 * ["      X=2"] + [card("X=3", 110)], 0, 2),  # some cards numbered
        ([card(f"X={n}", 10 * n) for n in range(1, 9)] + [f"{'      END':72}IONO  3A"], 8, 1),
        ([card("X=1", "ADDED")[:-8] + "ADDED 6/71"[:9]], 0, 1),
        ([f"{f'      X={n}':73}{f'ABC{n:05}'}" for n in range(1, 9)], 8, 0),  # a column late
    ],
)
def test_other_identifications_of_cards_are_no_faults(lines, numbered, named):
    found = cards(lines)
    assert (found[0], len(found[1]), found[2]) == (numbered, named, [])


def test_long_lines_that_end_in_numbers_are_no_card_numbers():
    lines = [f"{'      X=':68}+10.01234{n}" for n in (5, 6, 7)]  # columns 69-79
    assert cards(lines)[0] == 0
    assert len(cards(lines)[2]) == 3


def test_a_cut_line_that_does_not_compile_is_told_to_be_cut(gfortran):
    path = source("WRITE(6,10)\n10|FORMAT(" + 57 * " " + "25H THIS IS A LONG HEADING.)\nEND")
    with pytest.raises(legacy.BuildError, match="past column 72") as caught:
        legacy.run(path)
    assert "|" in str(caught.value)


def test_modern_text_is_left_alone(tmp_path):
    path = source("PUNCHX=5.\nTYPE1=2.\nDO10I=1.5\nPAUSE1=1.\nREAL=3.\nEND")
    text, findings = modernised(read(path), f66=False)
    assert text == path.read_text()
    assert findings == ()


def test_a_local_that_nothing_sets_is_told(gfortran):
    text = """
CALL SUMUP(1.)
END
SUBROUTINE SUMUP(X)
S=X+OFFSET
WRITE(6,10) S
10|FORMAT(F5.1)
END"""
    result = legacy.run(source(text))
    assert result.listing.read_text().split() == ["1.0"]
    (warning,) = result.findings
    assert (warning.line, warning.kind) == (4, "warning")
    assert "OFFSET is used here and nothing sets it before" in warning.text


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "ended", "sentence"),
    [
        ("STOP 7", "stop", "STOP 7"),
        ("STOP", "end", "ran to its end"),
        ("CALL EXIT(3)", "error", "exit code 3"),
        ("READ(5,*) X", "error", "no deck was given"),
        ("CALL ABORT", "crash", "SIGABRT"),
        ("READ(5,*,END=10) X\n10|READ(5,*) X", "error", "behind the end of the file"),
        ("READ(1,*) X", "error", "--unit 1=FILE"),
        ("WRITE(6,*) 7/N", "crash", "SIGFPE"),
        ("READ(9,*) X", "error", "--unit 9=FILE"),
        ("OPEN(9,FILE='NONE',STATUS='OLD')", "error", "--unit NAME=FILE"),
        ("X=1.\n10|X=-X\nGO TO 10", "time limit", "the time limit of 1 s"),
    ],
)
def test_how_a_run_ended_is_told_and_what_it_printed_is_kept(gfortran, statements, ended, sentence):
    result = legacy.run(source(f"WRITE(6,90)\n90|FORMAT(7H BEFORE)\n{statements}\nEND"), time_limit=1)
    assert result.outcome.ended == ended
    assert sentence in result.outcome.message
    assert result.listing.read_text() == " BEFORE\n"
    assert result.ok == (ended in ("stop", "end"))
    assert json.loads((result.folder / "manifest.json").read_text())["ended"] == ended


def test_a_field_that_is_no_number_and_a_crash_are_placed(compiler):
    Path("deck").write_text("  abc\n")
    result = legacy.run(source("READ(5,*) X\nEND"), deck="deck", compiler=compiler)
    assert "line 1 of prog.f" in result.outcome.message
    assert "not the number that the FORMAT expects" in result.outcome.message
    crash = legacy.run(source("DIMENSION A(3)\nI=200000000\nA(I)=A(I-1)+1.\nWRITE(6,*) A(I)\nEND"), compiler=compiler)
    assert (crash.outcome.ended, crash.outcome.signal, crash.outcome.exit_code) == ("crash", "SIGSEGV", None)
    assert "an index outside its array" in crash.outcome.message


def test_a_listing_without_end_is_stopped_and_kept(gfortran):
    result = legacy.run(source("10|WRITE(6,20)\n20|FORMAT(1X,99(1H.))\nGO TO 10\nEND"), output_limit=3_000_000)
    assert result.outcome.ended == "output limit"
    assert result.listing.stat().st_size >= 3_000_000
    lines = result.listing.read_bytes().splitlines()
    assert set(lines[:-1]) == {b" " + 99 * b"."}


def test_a_binary_listing_cannot_be_compared_and_keeps_its_manifest(gfortran):
    Path("golden").write_text("1\n")
    with pytest.raises(legacy.LegacyError, match="listing"):
        legacy.run(source("WRITE(6,10) CHAR(0),CHAR(1)\n10|FORMAT(1X,2A1)\nEND"), compare="golden")
    (folder,) = Path("ecgkern-legacy").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["ended"] == "end"


def test_children_of_the_program_end_with_it(gfortran):
    result = legacy.run(source("CALL SYSTEM('(sleep 0.4; echo late > late) &')\nEND"))
    assert result.outcome.ok
    subprocess.run(["sleep", "0.6"], check=True)
    assert not (result.folder / "units").exists()


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"program": "none.f"}, legacy.LegacyError, "program none.f: No such file"),
        ({"deck": "none"}, legacy.LegacyError, "deck none: no such file"),
        ({"compare": "none"}, legacy.LegacyError, "compare none: no such file"),
        ({"units": {8: "none"}}, legacy.LegacyError, r"units\[8\] none"),
        ({"compiler": "f2c"}, ValueError, "compiler must be one of"),
        ({"form": "tabs"}, ValueError, "form must be"),
        ({"columns": "80"}, ValueError, "columns must be"),
        ({"time_limit": 0}, ValueError, "time_limit must be positive"),
        ({"out": "."}, legacy.LegacyError, "nothing is overwritten"),
    ],
)
def test_arguments_that_cannot_be(change, error, sentence):
    with pytest.raises(error, match=sentence):
        legacy.run(**{"program": source("END"), **change})


def test_a_missing_compiler_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setenv("PATH", str(Path("empty").absolute()))
    for name, remedy in _compilers.COMPILERS.items():
        if name != "nvfortran":  # may stand under /opt
            with pytest.raises(legacy.LegacyError, match="was not found") as caught:
                legacy.run(source("END"), compiler=name)
            assert remedy in str(caught.value)
    with pytest.raises(legacy.LegacyError, match="gfortran-99 was not found"):
        legacy.run(source("END"), compiler="gfortran-99")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("X=3+*2\nEND", r"prog.f:1: (.|\n)*X=3\+\*2"),
        ("CALL NOSUCH(X)\nEND", "NOSUCH is called, and no file"),
        ("SUBROUTINE A\nEND", "no main program"),
        ("X=1.", "END card of the last program unit is missing"),
        ("ENCODE(4,10,A) I\n10|FORMAT(I4)\nEND", "nvfortran"),
    ],
)
def test_a_source_that_does_not_compile_is_explained_and_its_log_kept(gfortran, text, sentence):
    with pytest.raises(legacy.BuildError, match=sentence) as caught:
        legacy.run(source(text))
    (folder,) = Path("ecgkern-legacy").iterdir()
    assert caught.value.log == (folder / "build.log").read_text()
    assert json.loads((folder / "manifest.json").read_text())["ended"] == "not built"


@pytest.mark.parametrize("data", [b"", b" \n", b"\x7fELF\0\0"])
def test_no_source(data):
    Path("prog.f").write_bytes(data)
    with pytest.raises(legacy.LegacyError, match=r"program prog\.f"):
        legacy.run("prog.f")


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_the_manifest_says_how_it_was_done_and_nothing_is_overwritten(gfortran):
    program = source("READ(5,*) X\nWRITE(6,*) X\nEND")
    Path("deck").write_text("2.5\n")
    runs = [legacy.run(program, deck="deck") for _ in range(3)]
    assert [str(run.folder) for run in runs] == [f"ecgkern-legacy/prog-00{n}" for n in (1, 2, 3)]
    manifest = json.loads((runs[0].folder / "manifest.json").read_text())
    assert manifest == runs[0].manifest
    assert manifest["program"][0]["sha256"] == hashlib.sha256(program.read_bytes()).hexdigest()
    assert manifest["deck"]["sha256"] == hashlib.sha256(b"2.5\n").hexdigest()
    assert manifest["listing"]["sha256"] == hashlib.sha256(runs[0].listing.read_bytes()).hexdigest()
    assert "GNU Fortran" in manifest["compiler"]["version"]
    assert "-fno-automatic" in manifest["compiler"]["command"]
    assert manifest["host"]["name"]
    assert manifest["time"].endswith("+00:00")
    assert manifest["exit_code"] == 0
    assert {path.name for path in runs[0].folder.iterdir()} == {
        "listing.txt", "deck.txt", "source", "build.log", "manifest.json"}  # fmt: skip


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_the_listing_and_the_verdict(gfortran, capsys):
    arguments = ["legacy", "run", str(HERE / "decay.f"), "--deck", str(HERE / "decay.deck")]
    assert main([*arguments, "--compare", str(HERE / "decay.lst")]) == 0
    shown = capsys.readouterr().out
    for text in ("1DECAY CHAIN TEST", "STOP 12", "fort.7", "identical", "ecgkern-legacy/decay-001", "PAUSE 7"):
        assert text in shown
    changed = (HERE / "decay.lst").read_text().replace("206.000", "206.001")
    Path("changed").write_text(changed)
    assert main([*arguments, "--compare", "changed"]) == 1
    assert "206.001" in capsys.readouterr().out
    assert main([*arguments, "--compare", "changed", "--rtol", "1e-5"]) == 0


def test_a_listing_of_fortran_66_is_known(gfortran, capsys):
    program = source("N=0\nDO 10 I=1,N\n10|WRITE(6,20) I\n20|FORMAT(I3)\nEND")
    Path("golden").write_text("  1\n")
    assert main(["legacy", "run", str(program), "--compare", "golden"]) == 1
    assert "with --f66" in capsys.readouterr().out
    assert main(["legacy", "run", str(program), "--compare", "golden", "--f66"]) == 0
    Path("golden").write_text("  2\n")
    assert main(["legacy", "run", str(program), "--compare", "golden"]) == 1
    assert "--autopsy looks for them" in capsys.readouterr().out


def test_the_command_words_errors(gfortran, capsys):
    assert main(["legacy", "run", "none.f"]) == 2
    assert capsys.readouterr().err == "ecgkern legacy run: program none.f: No such file or directory\n"
    assert main(["legacy", "run", str(source("READ(5,*) X\nEND"))]) == 1
    assert "--deck FILE" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["legacy", "run", "prog.f", "--unit", "8"])
    assert "8=FILE" in capsys.readouterr().err


def test_a_deck_from_the_standard_input():
    program = source("READ(5,*) X\nWRITE(6,*) X\nEND")
    command = [
        sys.executable,
        "-c",
        "import sys; from ecgkern.cli import main; sys.exit(main())",
        "legacy",
        "run",
        str(program),
        "--deck",
        "-",
    ]
    done = subprocess.run(command, input="4.5\n", capture_output=True, text=True, env=os.environ, check=True)
    assert "4.5" in done.stdout
    assert Path("ecgkern-legacy/prog-001/deck.txt").read_text() == "4.5\n"


def test_compilers_are_listed(capsys):
    assert main(["legacy", "compilers"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in _compilers.COMPILERS)


# ---- the programs of fortran/legacy ---------------------------------------------------------------------------------

PROGRAMS = Path(__file__).parents[1] / "fortran" / "legacy"
DECKS = sorted(path.stem for path in PROGRAMS.glob("*.deck"))


@pytest.mark.parametrize("deck", DECKS)
@pytest.mark.parametrize(("name", "optimize"), [("gfortran", "-O0"), ("gfortran", "-O2"), ("flang", "-O2")])
def test_the_legacy_programs_print_their_listings(name, optimize, deck):
    if name not in {found.name for found in legacy.compilers()}:
        pytest.skip(f"no {name} on PATH: {_compilers.COMPILERS[name]}")
    program = PROGRAMS / f"{deck.partition('_')[0]}.f"
    golden = PROGRAMS / f"{deck}.lst"
    result = legacy.run(program, deck=PROGRAMS / f"{deck}.deck", compare=golden, compiler=name, optimize=optimize)
    assert result.outcome.ended == "end"
    assert result.comparison.verdict == "identical"
    assert {finding.kind for finding in result.findings} <= {"note"}


@pytest.mark.parametrize(
    ("old", "new", "agrees", "sentence"),
    [
        ("1.380649d-23", "1.380648d-23", False, "in the last printed digit"),  # a digit
        (" - 5.92d-19*t + 8.6d-20*t**2", f"{'- 5.92d-19*t':>44} + 8.6d-20*t**2", False, "stands past column 72"),
        ("+ 8.6d-20*t**2", "+ 8.6d-20*t**2 + ak0", True, "AK0 is used here and nothing sets it before"),
    ],
)
def test_a_broken_copy_of_a_legacy_program_is_caught(gfortran, capsys, old, new, agrees, sentence):
    text = (PROGRAMS / "f2line.f").read_text()
    assert text.count(old) == 1
    Path("broken.f").write_text(text.replace(old, new))
    deck, golden = (str(PROGRAMS / f"f2line_ahmedabad.{kind}") for kind in ("deck", "lst"))
    assert main(["legacy", "run", "broken.f", "--deck", deck, "--compare", golden]) == (0 if agrees else 1)
    assert sentence in capsys.readouterr().out
    if agrees:  # for zero is what it happens to start as
        assert main(["legacy", "run", "broken.f", "--deck", deck, "--autopsy"]) == 1
        assert "AK0" in capsys.readouterr().out
