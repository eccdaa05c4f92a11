"""Listings compared with golden listings: every kind of difference, with its sentence."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecgkern.legacy import _compare
from ecgkern.legacy._compare import compare, number, tokens
from ecgkern.legacy._source import LegacyError

TABLE = (
    "1   DIPOLE FIELD AT 110 KM\n"
    "\n"
    " HEIGHT     FIELD    INCL\n"
    "   (KM)      (NT)   (DEG)\n"
    + "".join(f"{90 + 5 * i:7d} {31234.56 - 71.3 * i:10.2f} {-20 + 1.7 * i:7.2f}\n" for i in range(30))
    + " LAT = -12.50  ENERGY = 0.1234D+05  T\n"
)


@pytest.fixture
def against(tmp_path):
    """Compare two texts."""

    def compare_texts(listing, golden=TABLE, **tolerances):
        for name, text in (("listing", listing), ("golden", golden)):
            (tmp_path / name).write_bytes(text.encode("latin-1"))
        return compare(tmp_path / "listing", tmp_path / "golden", **tolerances)

    return compare_texts


def changed(old, new, text=TABLE):
    assert text.count(old) == 1
    return text.replace(old, new)


# --- numbers as Fortran prints them ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("+3", 3.0),
        ("0.1D+01", 1.0),
        ("1.0E-05", 1e-5),
        ("0.1234-100", 0.1234e-100),
        ("-.98765+123", -0.98765e123),
        ("9.876-101", 9.876e-101),
        ("1.0Q+02", 100.0),
        ("0.1E 02", 10.0),
        ("1E5", 1e5),
        ("NaN", math.nan),
        ("-Infinity", -math.inf),
        ("+Inf", math.inf),
        ("1.#QNAN", math.nan),
        ("-1.#INF", -math.inf),
    ],
)
def test_a_number_is_one_token(text, value):
    (token,) = tokens(f"  {text} ".encode())
    assert (token.kind, token.text, token.start) == ("number", text, 2)
    assert float(number(text)) == pytest.approx(value, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("-1.50-2.25", ["-1.50", "-2.25"]),
        ("12.5-100", ["12.5", "-100"]),
        ("1.50-225", ["1.50", "-225"]),
        ("0.1E+010.2E+01", ["0.1E+01", "0.2E+01"]),
        ("0.1234-1000.5", ["0.1234", "-1000.5"]),
        ("12.50******-3.", ["12.50", "******", "-3."]),
        ("LAT-12.50", ["LAT", "-12.50"]),
        ("LAT112.50", ["LAT", "112.50"]),
        ("CO2 = 3", ["CO2", "=", "3"]),
        ("(1.0,-2.0)", ["(", "1.0", ",", "-2.0", ")"]),
        ("T F .TRUE.", ["T", "F", ".", "TRUE", "."]),
        ("INFO NANO", ["INFO", "NANO"]),
        ("3*0.0", ["3", "*", "0.0"]),
    ],
)
def test_numbers_that_touch_are_told_apart_by_their_form(line, texts):
    assert [token.text for token in tokens(line.encode())] == texts


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "   \n"),
        lambda text: text.rstrip("\n"),
    ],
)
def test_line_ends_and_trailing_blanks_do_not_matter(against, rewrite):
    result = against(rewrite(TABLE))
    assert result.verdict == "identical"
    assert result.agree
    assert result.sentence() == "identical: all 35 lines are those of the golden listing"


@pytest.mark.parametrize(
    ("rewrite", "sentence"),
    [
        (lambda text: text.replace("D+05", "E+05"), "1 line writes them otherwise"),
        (lambda text: text.replace("0.1234D+05", "1.234E+04"), "1 line writes them otherwise"),
        (lambda text: text.replace("     95 ", "    95  "), "1 line has them in other columns"),
        (lambda text: text.replace("LAT =", "LAT    ="), "1 line has them in other columns"),
        (lambda text: text.replace("INCL", "   INCL"), "only blanks differ"),
        (lambda text: text.replace("\n LAT", "\n\n\n LAT"), "2 blank lines are more or fewer"),
        (
            lambda text: text.replace("1   DIP", "\f   DIP").replace("\n ", "\n"),
            "only one of the two has carriage control in column 1",
        ),
    ],
)
def test_the_same_numbers_in_another_layout(against, rewrite, sentence):
    result = against(rewrite(TABLE))
    assert (result.verdict, result.agree, result.differences) == ("same numbers", True, ())
    assert sentence in result.sentence()


def test_a_shift_is_noted_with_its_line(against):
    result = against(TABLE.replace("     95 ", "   95   "))
    (note,) = result.notes
    assert (note.kind, note.line) == ("columns", 6)
    assert "2 columns further to the left" in note.sentence
    assert note.sentence in result.report()


def test_lines_broken_at_other_places_are_the_same_numbers(against):
    golden = "".join(f"  {i / 7:.7f}" + "\n" * (i % 5 == 4) for i in range(40)) + "\n END\n"
    listing = "".join(f" {i / 7:.7f}" + "\n" * (i % 8 == 7 or i in (19, 39)) for i in range(40)) + " END\n"
    for first, second in ((golden, listing), (listing, golden)):
        result = against(first, second)
        assert (result.verdict, result.differences) == ("same numbers", ())
        assert "broken at" in result.sentence()
    changed_one = against(changed("1.5714286", "1.5714299", golden), listing)
    assert [d.text for d in changed_one.differences] == ["1.5714299"]
    assert changed_one.differences[0].line == 1  # where the numbers that belong together begin


def test_the_last_digit_is_rounding_and_still_no_agreement(against):
    result = against(changed("31163.26", "31163.27"))
    assert (result.verdict, result.agree) == ("rounding", False)
    (difference,) = result.differences
    assert (difference.line, difference.golden_line, difference.column) == (6, 6, 11)
    assert difference.units == pytest.approx(1)
    assert difference.sentence.endswith("differs by 1 in the last printed digit")
    within = against(changed("31163.26", "31163.27"), rtol=1e-6)
    assert (within.verdict, within.agree, within.differences) == ("within tolerance", True, ())
    assert within.largest_relative == pytest.approx(0.01 / 31163.26)


def test_a_whole_number_off_by_one_is_not_rounding(against):
    result = against(changed("    105 ", "    106 "))
    assert result.verdict == "different"
    assert result.differences[0].sentence == "106 where the golden listing has 105: differs by 1"


def test_both_lines_and_a_mark_stand_in_the_report(against):
    report = against(changed("31163.26", "31136.26")).report()
    assert report.startswith("different: 1 differing number (rtol 0, atol 0).")
    assert (
        "    golden  |     95   31163.26  -18.30\n"
        "            |          ^^^^^^^^\n"
        "    listing |     95   31136.26  -18.30\n"
        "            |          ^^^^^^^^"
    ) in report
    assert "FIELD (NT) (number 2 of the line, ending in column 18)" in report


def test_the_summary_tells_the_columns_apart(against):
    listing = TABLE.replace("  -18.30", "  -18.31").replace("  -16.60", "  -17.60").replace("-12.50", "-12.60")
    columns = {column.name.partition(" (number")[0]: column for column in against(listing, atol=0.05).columns}
    assert set(columns) == {"INCL (DEG)", "LAT"}
    incl = columns["INCL (DEG)"]
    assert (incl.differing, incl.beyond, incl.line, incl.place) == (2, 1, 7, 3)
    assert incl.largest_relative == pytest.approx(1 / 16.6)
    assert incl.largest_absolute == pytest.approx(1)
    assert incl.largest_units == pytest.approx(100)


@pytest.mark.parametrize(
    ("listing", "kind", "sentence"),
    [
        (
            changed("31163.26", "*" * 8),
            "overflow",
            "the field F8.2 is too narrow: stars where the golden listing has 31163.26",
        ),
        (
            changed("     95 ", "    *** "),
            "overflow",
            "the field I3 is too narrow: stars where the golden listing has 95",
        ),
        (changed("31163.26  -18.30", "*" * 16), "overflow", "stars where the golden listing has 31163.26 -18.30"),
        (changed("31163.26", "     NaN"), "not finite", "NaN where the golden listing has 31163.26: from an operation"),
        (
            changed("31163.26", "Infinity"),
            "not finite",
            "Infinity where the golden listing has 31163.26: from a division",
        ),
        (changed("-18.30", "18.30"), "value", "18.30 where the golden listing has -18.30: the sign differs"),
        (changed("-18.30", "-18.40"), "value", "relative difference 0.0055, 10 units of the last printed digit"),
        (changed("  T\n", "  F\n"), "text", "'F' where the golden listing has 'T'"),
        (changed(" ENERGY", ""), "text", "'=' where the golden listing has 'ENERGY'"),
        (changed("DIPOLE ", "DIPOLE FIELD "), "text", "'FIELD' where the golden listing has 'AT'"),
        (changed("AT 110 KM", "110 AT KM"), "text", "the same words and numbers stand in another order"),
        (changed("  T\n", "  T Z\n"), "text", "the golden listing has no 'Z' here"),
        (changed("  T\n", "\n"), "text", "'T' of the golden listing is missing here"),
        (changed(" -18.30\n", "\n"), "count", "2 numbers where the golden listing has 3"),
        (changed(" -18.30\n", " -18.30 7\n"), "count", "4 numbers where the golden listing has 3"),
        (changed("\n     95 ", "\n WARNING\n     95 "), "extra lines", "1 line that the golden listing does not have"),
        (
            TABLE + " 1 2\n 3 4\n",
            "extra lines",
            "2 lines that the golden listing does not have: the golden listing has",
        ),
    ],
)
def test_each_fault_has_its_own_sentence(against, listing, kind, sentence):
    result = against(listing, atol=0.01)
    assert (result.verdict, result.agree) == ("different", False)
    (difference,) = result.differences
    assert difference.kind == kind
    assert sentence in difference.sentence
    assert sentence in result.report()
    back = against(TABLE, listing, atol=0.01)
    assert not back.agree
    assert back.differences


def test_stars_in_both_are_noted_and_the_same(against):
    table = changed("31163.26", "********")
    result = against(changed("-18.30", "-18.31", table), table, atol=0.1)
    assert result.verdict == "within tolerance"
    assert [(note.kind, note.line) for note in result.notes] == [("stars", 6)]
    assert "a number too wide for its field" in result.report()


@pytest.mark.parametrize("noise", [0, 0.01], ids=["else equal", "else off by rounding"])
@pytest.mark.parametrize("gone", [1, 3, 40])
def test_the_comparison_goes_on_behind_missing_lines(against, noise, gone):
    golden = [f"{i:5d} {math.sin(i) * 100 + 500:10.2f}" for i in range(200)]
    listing = [f"{i:5d} {round(math.sin(i) * 100 + 500, 2) + noise:10.2f}" for i in range(200)]
    del listing[100 : 100 + gone]
    listing[150] = listing[150][:-4] + "9.99"
    result = against("\n".join(listing), "\n".join(golden), atol=0.02)
    assert {d.kind: (d.line, d.golden_line) for d in result.differences} == {
        "missing lines": (101, 101),
        "value": (151, 151 + gone),
    }
    assert result.counts["missing lines"] == gone
    turned = against("\n".join(golden), "\n".join(listing), atol=0.02)
    assert turned.counts["extra lines"] == gone
    assert turned.counts["value"] == 1


def test_two_listings_without_anything_in_common_are_told_so_in_time(against, monkeypatch):
    monkeypatch.setattr(_compare, "_ENOUGH", 500)
    result = against("\n".join(f"{i} 1.5" for i in range(3000)), "\n".join(f"{-i} 7.25" for i in range(3000)))
    assert result.verdict == "different"
    assert len(result.differences) == _compare.KEPT
    assert "not read on after line" in result.sentence()


def test_the_result_is_json(against):
    result = against(changed("31163.26", "     NaN"))
    tree = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert tree["verdict"] == "different"
    assert tree["differences"][0]["value"] == "NaN"
    assert tree["differences"][0]["golden_value"] == 31163.26


# --- what cannot be compared ----------------------------------------------------------------------


def test_files_that_are_no_listings(tmp_path):
    good, empty, binary = (tmp_path / name for name in ("good", "empty", "binary"))
    good.write_text(TABLE)
    empty.write_text("")
    binary.write_bytes(np.random.default_rng(1).normal(size=1000).tobytes())
    for path, words in (
        (tmp_path / "none", "golden: there is no file"),
        (tmp_path, "golden: .* cannot be read: Is a directory"),
        (empty, "golden: .* is empty"),
        (binary, "golden: .* is not a listing but binary data"),
    ):
        with pytest.raises(LegacyError, match=words):
            compare(good, path)
    with pytest.raises(LegacyError, match="listing: there is no file"):
        compare(tmp_path / "none", good)
    with pytest.raises(LegacyError, match="is not a listing but binary data; compare what"):
        compare(binary, good)


def test_a_program_that_prints_nothing_lacks_all_lines(against):
    result = against("")
    assert (result.verdict, result.counts["missing lines"]) == ("different", 34)
    assert result.differences[0].sentence == "34 lines of the golden listing are missing here: the listing is empty"


def test_many_lines_with_d_for_e(against):
    golden = "".join(f" {i:5d} {i / 7:12.4E}\n" for i in range(200))
    result = against(golden.replace("E", "D"), golden)
    assert (result.verdict, result.counts["spelling"]) == ("same numbers", 200)


@pytest.mark.parametrize("wrong", [{"rtol": -1.0}, {"atol": math.nan}, {"rtol": math.inf}])
def test_wrong_tolerances(against, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be finite and at least 0"):
        against(TABLE, **wrong)


def test_zero_bytes_of_unset_characters_are_blanks(against):
    assert against(changed("  T\n", "\0\0T\0\n")).agree


def test_memory_does_not_grow_with_the_listing(tmp_path):
    block = TABLE.encode() * 2500
    for name in ("listing", "golden"):
        with open(tmp_path / name, "wb") as file:
            for _ in range(8):
                file.write(block)
    tracemalloc.start()
    try:
        assert compare(tmp_path / "listing", tmp_path / "golden").verdict == "identical"
        assert tracemalloc.get_traced_memory()[1] < len(block) * 5
    finally:
        tracemalloc.stop()


# --- properties -----------------------------------------------------------------------------------

reals = st.floats(-1e6, 1e6, allow_nan=False)
formats = st.sampled_from(["{:12.4f}", "{:12.3E}", "{:10.1f}"])
words = st.sampled_from(["", " LAT =", " H2O", " (", " F10.7"])
cells = st.tuples(words, formats, reals).map(lambda cell: cell[0] + cell[1].format(cell[2]))
listings = st.lists(st.lists(cells, min_size=1, max_size=5).map("".join), min_size=1, max_size=12).map("\n".join)
many = settings(max_examples=40, deadline=None)


def compared(folder, listing, golden, **tolerances):
    (folder / "listing").write_text(listing)
    (folder / "golden").write_text(golden)
    return compare(folder / "listing", folder / "golden", **tolerances)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("listings")


@many
@given(listing=listings)
def test_a_listing_is_identical_with_itself(folder, listing):
    assert compared(folder, listing, listing).verdict == "identical"


@many
@given(listing=listings)
def test_d_and_e_exponents_are_the_same(folder, listing):
    rewritten = listing.replace("E+", "D+").replace("E-", "D-")
    assert compared(folder, rewritten, listing).agree


@many
@given(data=st.data(), listing=listings)
def test_a_changed_digit_is_always_found(folder, data, listing):
    place = data.draw(st.sampled_from([i for i, letter in enumerate(listing) if letter.isdigit()]))
    digit = data.draw(st.sampled_from("0123456789"))
    assume(digit != listing[place])
    rewritten = listing[:place] + digit + listing[place + 1 :]
    zero = listing[listing.rfind("\n", 0, place) + 1 :].split("\n")[0]
    result = compared(folder, rewritten, listing)
    if "0.000E" in zero:  # zero to any power of ten is zero
        assert result.verdict != "identical"
    else:
        assert not result.agree
        assert result.differences[0].golden_line == listing.count("\n", 0, place) + 1


@many
@given(x=reals, y=reals, close=st.booleans(), rtol=st.floats(0, 2), atol=st.floats(0, 10))
def test_tolerances_mean_what_numpy_means(folder, x, y, close, rtol, atol):
    x = y * (1 + x * 1e-6) if close else x
    x, y = float(f"{x:.6f}"), float(f"{y:.6f}")
    edge = abs(abs(x - y) - (atol + rtol * abs(y)))
    assume(edge > 1e-9 * (1 + abs(y)))  # on the edge the two round differently
    assert compared(folder, f"{x:.6f}", f"{y:.6f}", rtol=rtol, atol=atol).agree == np.isclose(x, y, rtol, atol)
