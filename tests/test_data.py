"""The ECG readers: made-up WFDB records everywhere, real ones where ECGKERN_DATA points to them."""

import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecgkern.data import (
    AAMI_CLASSES,
    LEADS_8,
    LEADS_12,
    MITBIH,
    PTBXL,
    Record,
    RecordError,
    RecordWarning,
    RPeaks,
    find_r_peaks,
    read_record,
    to_12_leads,
)
from ecgkern.data.peaks import METHODS

wfdb = pytest.importorskip("wfdb")

realdata = pytest.mark.realdata
MICROVOLT = 1e-3  # mV; PTB-XL stores whole microvolts
FLOAT32_ROUNDING = 1e-6  # mV, for signals of up to about 8 mV


# --- made-up records -----------------------------------------------------------------------------


def write_record(folder, name, counts, leads, *, fs=100, units="mV", gain=1000.0, fmt="16"):
    """Write a WFDB record of integer counts; the physical value is counts / gain."""
    folder.mkdir(parents=True, exist_ok=True)
    n_leads = len(leads)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=[units] * n_leads,
        sig_name=list(leads),
        d_signal=counts,
        fmt=[fmt] * n_leads,
        adc_gain=[gain] * n_leads,
        baseline=[0] * n_leads,
        write_dir=str(folder),
    )
    return folder / name


def made_up_counts(length, n_leads, seed=0):
    return np.random.default_rng(seed).integers(-2000, 2000, (length, n_leads))


@pytest.fixture
def record_path(tmp_path):
    return write_record(tmp_path, "rec", made_up_counts(1000, 3), ["i", "AVR", "MLII"])


# ecg_id: (scp_codes, fold). NORM, IMI, ILMI, ASMI, LVH are diagnostic statements; SR is not.
ROWS = {
    1: ({"NORM": 100.0, "SR": 0.0}, 1),
    2: ({"IMI": 15.0, "ASMI": 100.0, "LVH": 0.0}, 8),
    3: ({"SR": 0.0}, 9),
    4: ({"LVH": 50.0, "NORM": 80.0}, 10),
    5: ({"IMI": 100.0, "ILMI": 35.0}, 2),
}
STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
ILMI,inferolateral myocardial infarction,1.0,,,MI,IMI
ASMI,anteroseptal myocardial infarction,1.0,,,MI,AMI
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH
CRBBB,complete right bundle branch block,1.0,,,CD,CRBBB
SR,sinus rhythm,,,1.0,,
"""


def ptbxl_counts(ecg_id):
    return made_up_counts(1000, 12, seed=ecg_id)


@pytest.fixture
def ptbxl_folder(tmp_path):
    """Five made-up records at 100 Hz, none at 500 Hz, in the shape of PTB-XL."""
    root = tmp_path / "ptb-xl"
    upper = [lead.upper() for lead in LEADS_12]
    lines = ["ecg_id,scp_codes,strat_fold,filename_lr,filename_hr"]
    for ecg_id, (codes, fold) in ROWS.items():
        name = f"{ecg_id:05d}_lr"
        write_record(root / "records100", name, ptbxl_counts(ecg_id), upper)
        lines.append(f'{ecg_id},"{codes}",{fold},records100/{name},records500/{ecg_id:05d}_hr')
    (root / "ptbxl_database.csv").write_text("\n".join(lines) + "\n")
    (root / "scp_statements.csv").write_text(STATEMENTS)
    return root


def ids(data):
    return data.metadata.index.tolist()


@pytest.fixture
def mitbih_folder(tmp_path):
    """Two made-up records of 1000 samples at 100 Hz, the leads of the second the other way round.

    Each has beats at 40, 100, 500 and 960, and between them annotations that are no beats.
    """
    root = tmp_path / "mitdb"
    for name, leads in (("1", ["MLII", "V1"]), ("2", ["V5", "MLII"])):
        write_record(root, name, made_up_counts(1000, 2, seed=int(name)), leads)
        sample = np.array([10, 40, 100, 300, 500, 960])
        wfdb.wrann(name, "atr", sample, symbol=["+", "N", "V", "~", "A", "/"], write_dir=str(root))
    return root


# --- leads ---------------------------------------------------------------------------------------


@given(
    signal=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=1, max_dims=3).map(lambda shape: (*shape, 8)),
        elements=st.integers(-8000, 8000).map(float),
    )
)
def test_twelve_leads_obey_einthoven_and_goldberger(signal):
    lead = dict(zip(LEADS_12, np.moveaxis(to_12_leads(signal), -1, 0), strict=True))
    np.testing.assert_array_equal(lead["II"], lead["I"] + lead["III"])
    np.testing.assert_array_equal(lead["aVR"] + lead["aVL"] + lead["aVF"], 0)
    np.testing.assert_array_equal(lead["aVL"] - lead["aVF"], 1.5 * (lead["I"] - lead["II"]))
    for place, name in enumerate(LEADS_8):
        np.testing.assert_array_equal(lead[name], signal[..., place])
    assert all(values.dtype == signal.dtype for values in lead.values())


def test_leads_may_come_in_any_order_case_and_axis():
    signal = np.random.default_rng(0).normal(size=(3, 8, 50))
    expected = to_12_leads(signal, axis=1)
    order = np.random.default_rng(1).permutation(8)
    shuffled = to_12_leads(np.moveaxis(signal[:, order], 1, 0), [LEADS_8[k].lower() for k in order], axis=0)
    np.testing.assert_array_equal(np.moveaxis(shuffled, 0, 1), expected)


def test_given_limb_leads_are_copied_and_missing_chest_leads_left_out():
    limb = to_12_leads([[1, 3, 7]], leads=["I", "II", "III"])  # III is not II - I
    np.testing.assert_array_equal(limb, [[1, 3, 7, -2, -0.5, 2.5]])
    assert limb.dtype == np.float64


@pytest.mark.parametrize(
    ("shape", "leads", "axis", "message"),
    [
        ((5, 7), LEADS_8, -1, "7 leads along axis -1"),
        ((5, 8), LEADS_8, 2, "axis 2 is out of range"),
        ((5, 2), ["I", "V1"], -1, "leads I and II are needed"),
        ((5, 3), ["I", "II", "MLII"], -1, "unknown lead 'MLII'"),
        ((5, 3), ["I", "II", "ii"], -1, "must not repeat"),
    ],
)
def test_leads_that_do_not_fit_are_refused(shape, leads, axis, message):
    with pytest.raises(ValueError, match=message):
        to_12_leads(np.zeros(shape), leads, axis)


# --- one record ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_record_is_read_in_millivolts_with_canonical_leads(record_path, suffix):
    record = read_record(f"{record_path}{suffix}")
    assert (record.name, record.fs, record.duration) == ("rec", 100.0, 10.0)
    assert record.leads == ("I", "aVR", "MLII")
    assert record.signal.dtype == np.float32
    np.testing.assert_allclose(record.signal, made_up_counts(1000, 3) / 1000, rtol=1e-6)


def test_leads_are_chosen_by_name_in_the_order_asked_for(record_path):
    everything = read_record(record_path)
    record = read_record(record_path, leads=["mlii", "I"])
    assert record.leads == ("MLII", "I")
    np.testing.assert_array_equal(record.signal, everything.signal[:, [2, 0]])
    np.testing.assert_array_equal(everything.lead("avr"), everything.signal[:, 1])
    assert read_record(record_path, leads="I").signal.shape == (1000, 1)


def test_wrong_lead_lists_those_there_are(record_path):
    with pytest.raises(RecordError, match=r"^rec: no lead 'V9'; it has I, aVR, MLII$"):
        read_record(record_path, leads=["I", "V9"])
    with pytest.raises(RecordError, match="no lead 'II'"):
        read_record(record_path).lead("II")
    with pytest.raises(ValueError, match="at least one name"):
        read_record(record_path, leads=[])


@pytest.mark.parametrize(
    ("units", "millivolts"),
    [("mV", 1.0), ("uV", 1e-3), ("V", 1e3), ("\N{MICRO SIGN}V", 1e-3), ("\u03bcV", 1e-3)],
)
def test_units_become_millivolts(tmp_path, units, millivolts):
    counts = made_up_counts(200, 1)
    path = write_record(tmp_path, "rec", counts, ["II"], units=units, gain=2.0)
    np.testing.assert_allclose(read_record(path).signal, counts / 2 * millivolts, rtol=1e-6)


def test_a_latin_1_micro_sign_is_not_taken_for_volts(tmp_path):
    counts = made_up_counts(200, 2)
    path = write_record(tmp_path, "rec", counts, ["I", "II"], units="V", gain=2.0)
    header = path.with_suffix(".hea")
    header.write_bytes(b"# a comment\n" + header.read_bytes().replace(b"/V", b"/\xb5V", 1))
    np.testing.assert_allclose(read_record(path).signal, counts / 2 * [1e-3, 1e3], rtol=1e-6)


def test_a_record_of_several_segments_is_refused(record_path):
    header = record_path.with_name("joined.hea")
    header.write_text("joined/2 3 100 2000\nrec 1000\nrec 1000\n")
    with pytest.raises(RecordError, match=r"^joined: .*joined\.hea joins several segments"):
        read_record(header)


def test_a_lead_that_is_no_voltage_is_refused_only_if_wanted(tmp_path):
    path = write_record(tmp_path, "rec", made_up_counts(200, 2), ["II", "ABP"])
    header = path.with_suffix(".hea")
    first, second, third = header.read_text().splitlines()
    header.write_text("\n".join([first, second, third.replace("/mV", "/mmHg")]) + "\n")
    with pytest.raises(RecordError, match=r"^rec: lead ABP is in 'mmHg', which is no voltage"):
        read_record(path)
    assert read_record(path, leads="II").leads == ("II",)


def test_invalid_samples_are_nan(tmp_path):
    counts = made_up_counts(200, 1)
    counts[7] = -32768  # WFDB's invalid sample in format 16
    signal = read_record(write_record(tmp_path, "rec", counts, ["II"])).signal
    assert np.flatnonzero(np.isnan(signal)).tolist() == [7]


def cut(path, n_bytes):
    path.write_bytes(path.read_bytes()[:n_bytes])


DAMAGE = {
    "missing header": (lambda p: p.with_suffix(".hea").unlink(), r"rec\.hea is missing"),
    "missing signal": (lambda p: p.with_suffix(".dat").unlink(), r"rec\.dat is missing"),
    "half a signal": (lambda p: cut(p.with_suffix(".dat"), 3000), "damaged or truncated"),
    "a byte short": (lambda p: cut(p.with_suffix(".dat"), -1), "damaged or truncated"),
    "empty signal": (lambda p: cut(p.with_suffix(".dat"), 0), "damaged or truncated"),
    "empty header": (lambda p: cut(p.with_suffix(".hea"), 0), "damaged or truncated"),
    "half a header": (lambda p: cut(p.with_suffix(".hea"), 60), "damaged or truncated"),
    "binary header": (
        lambda p: p.with_suffix(".hea").write_bytes(bytes(range(256))),
        "damaged or truncated",
    ),
    "no leads": (
        lambda p: p.with_suffix(".hea").write_text("rec 0 100 1000\n"),
        "describes no signal",
    ),
    "no rate": (
        lambda p: p.with_suffix(".hea").write_text(p.with_suffix(".hea").read_text().replace("rec 3 100 ", "rec 3 0 ")),
        "sampling rate of 0 Hz",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("fmt", ["16", "212"])
def test_damage_is_reported_with_the_name_of_the_record(tmp_path, damage, fmt):
    path = write_record(tmp_path, "rec", made_up_counts(1000, 3), ["I", "II", "V1"], fmt=fmt)
    inflict, message = DAMAGE[damage]
    inflict(path)
    with pytest.raises(RecordError, match=message) as caught:
        read_record(path)
    assert str(caught.value).startswith("rec: ")
    assert str(path.parent) in caught.value.reason


def test_a_flipped_bit_is_found_by_the_checksum(record_path):
    dat = record_path.with_suffix(".dat")
    content = bytearray(dat.read_bytes())
    content[6 * 100 + 3] ^= 0x10  # sample 100 of the second lead
    dat.write_bytes(content)
    with pytest.raises(RecordError, match=r"^rec: .*lead aVR does not match the checksum"):
        read_record(record_path)
    unverified = read_record(record_path, verify=False).signal
    damaged = np.argwhere(np.abs(unverified - made_up_counts(1000, 3) / 1000) > MICROVOLT)
    assert damaged.tolist() == [[100, 1]]


def test_record_error_survives_pickling():
    error = pickle.loads(pickle.dumps(RecordError("rec", "is gone")))
    assert (str(error), error.record, error.reason) == ("rec: is gone", "rec", "is gone")


def test_import_is_light_and_missing_packages_are_named(record_path, monkeypatch):
    code = "import sys, ecgkern.data; print([m for m in ('pandas', 'wfdb', 'neurokit2', 'scipy') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert loaded.decode().strip() == "[]"
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(ImportError, match=r'needs wfdb: pip install "ecgkern\[ecg\]"'):
        read_record(record_path)


# --- PTB-XL --------------------------------------------------------------------------------------


def test_ptbxl_yields_records_named_by_ecg_id(ptbxl_folder):
    data = PTBXL(ptbxl_folder, leads=["ii", "avr"])
    assert len(data) == len(ROWS)
    assert [record.name for record in data] == ["1", "2", "3", "4", "5"]
    record = data[-1]
    assert isinstance(record, Record)
    assert (record.name, record.leads) == ("5", ("II", "aVR"))
    np.testing.assert_allclose(record.signal, ptbxl_counts(5)[:, [1, 3]] / 1000, rtol=1e-6)
    with pytest.raises(IndexError):
        data[5]


def test_ptbxl_signals_are_the_records_in_one_array(ptbxl_folder):
    data = PTBXL(ptbxl_folder)
    signals = data.signals()
    assert signals.dtype == np.float32
    np.testing.assert_array_equal(signals, [record.signal for record in data])


@pytest.mark.parametrize("inside", [True, False])
def test_ptbxl_folder_comes_from_the_environment(ptbxl_folder, monkeypatch, inside):
    monkeypatch.setenv("ECGKERN_DATA", str(ptbxl_folder if inside else ptbxl_folder.parent))
    assert PTBXL().root == ptbxl_folder


def test_missing_folder_says_how_to_get_the_data(tmp_path, monkeypatch):
    monkeypatch.delenv("ECGKERN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"ECGKERN_DATA is not set(.|\n)*dl_database"):
        PTBXL()
    with pytest.raises(FileNotFoundError, match=r"holds ptbxl_database.csv(.|\n)*physionet.org"):
        PTBXL(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"MIT-BIH(.|\n)*dl_database"):
        MITBIH(tmp_path)


def test_ptbxl_classes_are_aggregated_over_diagnostic_statements(ptbxl_folder):
    metadata = PTBXL(ptbxl_folder).metadata
    assert metadata["scp_codes"].tolist() == [codes for codes, _ in ROWS.values()]
    assert metadata["superclass"].tolist() == [
        ("NORM",),
        ("MI", "HYP"),
        (),
        ("HYP", "NORM"),
        ("MI",),
    ]
    assert metadata["subclass"].tolist() == [
        ("NORM",),
        ("IMI", "AMI", "LVH"),
        (),
        ("LVH", "NORM"),
        ("IMI",),
    ]


def test_ptbxl_classes_can_need_a_likelihood(ptbxl_folder):
    metadata = PTBXL(ptbxl_folder, min_likelihood=80).metadata
    assert metadata["subclass"].tolist() == [("NORM",), ("AMI",), (), ("NORM",), ("IMI",)]


def test_ptbxl_selections(ptbxl_folder):
    data = PTBXL(ptbxl_folder)
    assert ids(data.select(superclass="NORM")) == [1, 4]
    assert ids(data.select(superclass=["NORM", "MI"])) == [1, 2, 4, 5]
    assert ids(data.select(superclass="MI", exclusive=True)) == [5]
    assert ids(data.select(exclusive=True)) == [1, 5]
    assert ids(data.select(subclass="LVH")) == [2, 4]
    assert ids(data.select(folds=[1, 9])) == [1, 3]
    assert ids(data.select(folds=2)) == [5]
    assert ids(data.select(ecg_ids=[5, 2, 3], folds=range(2, 9))) == [5, 2]
    assert [ids(data.split(name)) for name in ("train", "validation", "test")] == [
        [1, 2, 5],
        [3],
        [4],
    ]
    assert len(data) == len(ROWS)


def test_ptbxl_tables_of_selections_are_their_own(ptbxl_folder):
    data = PTBXL(ptbxl_folder)
    view = data.select(superclass="MI")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas warns of writing to a slice
        view.metadata["note"] = "seen"
    assert "note" not in data.metadata


def test_ptbxl_selection_may_be_empty(ptbxl_folder):
    empty = PTBXL(ptbxl_folder).select(superclass="CD")  # exists, but no record has it
    assert len(empty.select(superclass="MI", subclass="IMI", exclusive=True, folds=1)) == 0
    assert empty.signals().shape == (0, 1000, 12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"superclass": "NRM"}, "superclass: 'NRM' is not one of NORM, MI, HYP, CD"),
        ({"subclass": ["IMI", "XYZ"]}, "subclass: 'XYZ' is not one of"),
        ({"folds": [1, 11]}, "folds: 11 is not one of 1, 2"),
        ({"ecg_ids": 6}, "ecg_ids: 6 is not one of 1, 2, 3, 4, 5"),
    ],
)
def test_ptbxl_wrong_selection_names_the_choices(ptbxl_folder, wrong, message):
    with pytest.raises(ValueError, match=message):
        PTBXL(ptbxl_folder).select(**wrong)


def test_ptbxl_wrong_arguments(ptbxl_folder):
    data = PTBXL(ptbxl_folder)
    with pytest.raises(ValueError, match="'val' is not one of train, validation, test"):
        data.split("val")
    with pytest.raises(ValueError, match="leads: 'MLII' is not one of I, II"):
        PTBXL(ptbxl_folder, leads=["I", "MLII"])
    with pytest.raises(ValueError, match="sampling_rate must be 100 or 500"):
        PTBXL(ptbxl_folder, sampling_rate=250)
    with pytest.raises(ValueError, match='on_error must be "raise" or "skip"'):
        PTBXL(ptbxl_folder, on_error="ignore")


def test_ptbxl_is_lazy(ptbxl_folder):
    shutil.rmtree(ptbxl_folder / "records100")
    data = PTBXL(ptbxl_folder).select(superclass="MI")
    with pytest.raises(RecordError, match=r"^2: .*00002_lr\.hea is missing"):
        next(iter(data))


def damage_two_and_four(root):
    cut(root / "records100" / "00002_lr.dat", 1001)
    (root / "records100" / "00004_lr.hea").unlink()


def test_ptbxl_raises_at_the_first_unreadable_record(ptbxl_folder):
    damage_two_and_four(ptbxl_folder)
    data = PTBXL(ptbxl_folder)
    with pytest.raises(RecordError, match=r"^2: .*00002_lr is damaged or truncated"):
        data.signals()
    read = []
    with pytest.raises(RecordError, match=r"^2: "):
        read.extend(record.name for record in data)
    assert data[2].name == "3"


def test_ptbxl_goes_on_without_unreadable_records(ptbxl_folder):
    damage_two_and_four(ptbxl_folder)
    data = PTBXL(ptbxl_folder, on_error="skip")
    with pytest.warns(RecordWarning, match=r"2 of 5 records left out. 2: .* \(and 1 more\)"):
        signals = data.signals()
    assert [skipped.name for skipped in data.skipped] == ["2", "4"]
    assert "00004_lr.hea is missing" in data.skipped[1].reason
    kept = data.without_skipped()
    assert ids(kept) == [1, 3, 5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(signals, kept.signals())
    assert kept.skipped == []
    with pytest.warns(RecordWarning, match="2 of 5"):
        assert [record.name for record in data] == ["1", "3", "5"]
    assert len(data.skipped) == 2
    with pytest.raises(RecordError, match=r"^2: "):
        data[1]


def test_ptbxl_records_listed_at_500_hz_but_absent_are_unreadable(ptbxl_folder):
    data = PTBXL(ptbxl_folder, sampling_rate=500, on_error="skip")
    with pytest.warns(RecordWarning, match="5 of 5"):
        assert data.signals().shape == (0, 5000, 12)


def test_ptbxl_record_of_another_length_is_unreadable(ptbxl_folder):
    name = "00003_lr"
    write_record(ptbxl_folder / "records100", name, made_up_counts(999, 12), LEADS_12)
    with pytest.raises(RecordError, match=r"^3: .* has 999 samples at 100 Hz, not 1000"):
        PTBXL(ptbxl_folder).signals()


def test_progress_counts_every_record(ptbxl_folder, capsys):
    damage_two_and_four(ptbxl_folder)
    calls = []
    data = PTBXL(ptbxl_folder, on_error="skip")
    with pytest.warns(RecordWarning):
        data.signals(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 5) for done in range(1, 6)]
    with pytest.warns(RecordWarning):
        data.signals(progress=True)
    assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ptbxl_database.csv: .* is damaged"),
        (bytes(range(128, 256)) * 20, "ptbxl_database.csv: .* is damaged"),
        (b"<html>\n<body>404, not found, sorry</body>\n", "ptbxl_database.csv: .* is damaged"),
        (b"ecg_id,strat_fold\n1,1\n", "has no column scp_codes, filename_lr"),
        (
            b"ecg_id,scp_codes,strat_fold,filename_lr,filename_hr\n1,{},1,a,b\n1,{},2,a,b\n",
            "ecg_id 1 occurs more than once",
        ),
        (
            b"ecg_id,scp_codes,strat_fold,filename_lr,filename_hr\n1,{},one,a,b\n",
            "column strat_fold holds more than integers",
        ),
        (
            b"ecg_id,scp_codes,strat_fold,filename_lr,filename_hr\n17,\"{'NORM': 1\",1,a,b\n",
            "17: scp_codes .* is no dict",
        ),
        (
            b"ecg_id,scp_codes,strat_fold,filename_lr,filename_hr\n17,,1,a,b\n",
            "17: scp_codes .* is no dict",
        ),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_ptbxl_garbage_metadata_is_an_error(ptbxl_folder, content, message, on_error):
    (ptbxl_folder / "ptbxl_database.csv").write_bytes(content)
    with pytest.raises(RecordError, match=message):
        PTBXL(ptbxl_folder, on_error=on_error)


def test_ptbxl_missing_statement_table_is_an_error(ptbxl_folder):
    (ptbxl_folder / "scp_statements.csv").unlink()
    with pytest.raises(RecordError, match=r"^scp_statements.csv: .* is missing; download"):
        PTBXL(ptbxl_folder)


def test_ptbxl_row_without_a_file_name_is_unreadable(ptbxl_folder):
    table = ptbxl_folder / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("records100/00003_lr", ""))
    data = PTBXL(ptbxl_folder, on_error="skip")
    with pytest.warns(RecordWarning, match=r"3: ptbxl_database.csv names no 100 Hz file"):
        assert len(data.signals()) == 4


# --- MIT-BIH -------------------------------------------------------------------------------------


def test_mitbih_records_and_beats(mitbih_folder):
    data = MITBIH(mitbih_folder)
    assert data.names == ("1", "2")
    assert [record.leads for record in data] == [("MLII", "V1"), ("V5", "MLII")]
    beats = data.beats("1")
    assert beats.sample.tolist() == [40, 100, 500, 960]
    assert beats.symbol.tolist() == ["N", "V", "A", "/"]
    assert beats.aami.tolist() == ["N", "V", "S", "Q"]
    with pytest.raises(RecordError, match=r"^3: no such record"):
        data["3"]


def test_mitbih_believes_the_records_file(mitbih_folder):
    (mitbih_folder / "RECORDS").write_text("2\n7\n")
    data = MITBIH(mitbih_folder, on_error="skip")
    with pytest.warns(RecordWarning, match=r"7: .* is missing"):
        assert [record.name for record in data] == ["2"]


def test_aami_classes_cover_the_beat_codes_of_wfdb():
    # wfdb's table of codes: those that mark a QRS complex, but for the flutter wave "!".
    from wfdb.io import annotation

    marks_qrs = {
        label.symbol for label in annotation.ann_labels if annotation.is_qrs[label.label_store] and label.symbol != "!"
    }
    assert set(AAMI_CLASSES) == marks_qrs
    assert set(AAMI_CLASSES.values()) == set("NSVFQ")


def test_windows_hold_the_signal_about_each_beat(mitbih_folder):
    data = MITBIH(mitbih_folder)
    windows = data.windows(before=0.4, after=0.6)
    # The beat at 960 would end at 1020; the one at 40 begins just at the start of the record.
    assert windows.n_dropped == 2
    assert windows.sample.tolist() == [40, 100, 500] * 2
    assert windows.record.tolist() == ["1"] * 3 + ["2"] * 3
    assert windows.aami.tolist() == ["N", "V", "S"] * 2
    assert windows.symbol.tolist() == ["N", "V", "A"] * 2
    assert windows.signal.shape == (6, 100)
    assert windows.signal.dtype == np.float32
    for signal, name, sample in zip(windows.signal, windows.record, windows.sample, strict=True):
        lead = data[str(name)].lead("MLII")
        np.testing.assert_array_equal(signal, lead[sample - 40 : sample + 60])


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (0.40, 0.40, [40, 100, 500, 960]),  # both ends just fit
        (0.41, 0.40, [100, 500, 960]),
        (0.40, 0.41, [40, 100, 500]),
        (0.0, 0.01, [40, 100, 500, 960]),
        (6.0, 6.0, []),
    ],
)
def test_windows_at_the_ends_of_a_record(mitbih_folder, before, after, kept):
    windows = MITBIH(mitbih_folder).windows("1", before=before, after=after)
    assert windows.sample.tolist() == kept
    assert windows.n_dropped == 4 - len(kept)
    assert windows.signal.shape == (len(kept), round(100 * before) + round(100 * after))


def test_windows_of_several_leads_have_a_lead_axis(mitbih_folder):
    data = MITBIH(mitbih_folder)
    windows = data.windows("1", before=0.1, after=0.1, lead=["V1", "MLII"])
    assert windows.signal.shape == (4, 20, 2)
    one = data.windows("1", before=0.1, after=0.1, lead="V1")
    np.testing.assert_array_equal(windows.signal[..., 0], one.signal)


def test_windows_skip_records_that_lack_the_lead_or_the_labels(mitbih_folder):
    data = MITBIH(mitbih_folder, on_error="skip")
    with pytest.warns(RecordWarning, match="2: no lead 'V1'; it has V5, MLII"):
        windows = data.windows(before=0.1, after=0.1, lead="V1")
    assert set(windows.record) == {"1"}
    (mitbih_folder / "1.atr").unlink()
    with pytest.warns(RecordWarning, match=r"1: .*1\.atr is missing"):
        windows = data.windows(before=0.1, after=0.1)
    assert set(windows.record) == {"2"}
    with pytest.raises(RecordError, match=r"^1: "):
        MITBIH(mitbih_folder).windows(before=0.1, after=0.1)


def test_windows_refuse_what_cannot_be_cut(mitbih_folder):
    data = MITBIH(mitbih_folder, on_error="skip")
    with pytest.raises(ValueError, match=r"seconds >= 0, got -0.1"):
        data.windows(before=-0.1, after=0.5)
    with pytest.raises(ValueError, match=r"seconds >= 0, got 0.1 and nan"):
        data.windows(before=0.1, after=np.nan)
    with pytest.raises(ValueError, match="less than a sample at 100 Hz"):
        data.windows(before=0.0, after=0.001)
    with pytest.warns(RecordWarning), pytest.raises(ValueError, match="no record is left"):
        data.windows(before=0.1, after=0.1, lead="aVF")
    write_record(mitbih_folder, "2", made_up_counts(1000, 1), ["MLII"], fs=250)
    with pytest.raises(RecordError, match=r"^2: sampled at 250 Hz, those before it at 100 Hz"):
        data.windows(before=0.1, after=0.1)


@pytest.mark.parametrize("n_bytes", [0, 1, 4, 7, -1, -2])
def test_a_cut_annotation_file_is_an_error(mitbih_folder, n_bytes):
    # wfdb itself reads what is left of it without a word.
    cut(mitbih_folder / "1.atr", n_bytes)
    with pytest.raises(RecordError, match=r"^1: .*1\.atr is (truncated|damaged)"):
        MITBIH(mitbih_folder).beats("1")


def test_garbage_annotations_are_an_error_or_beats_in_order(mitbih_folder):
    rng = np.random.default_rng(0)
    for _ in range(50):
        (mitbih_folder / "1.atr").write_bytes(rng.bytes(200) + b"\0\0")
        try:
            beats = MITBIH(mitbih_folder).beats("1")
        except RecordError:
            continue
        assert np.all(np.diff(beats.sample) >= 0)


def test_an_undefined_annotation_code_is_no_beat(mitbih_folder):
    # A word is code << 10 | interval, little endian: code 45, which WFDB leaves open, then N.
    words = np.array([45 << 10 | 20, 1 << 10 | 30, 0], dtype="<u2")
    (mitbih_folder / "1.atr").write_bytes(words.tobytes())
    beats = MITBIH(mitbih_folder).beats("1")
    assert (beats.sample.tolist(), beats.symbol.tolist()) == ([50], ["N"])


# --- R peaks -------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=5), max_size=6))
def test_ragged_peaks_round_trip(rows):
    peaks = RPeaks.from_list(rows)
    assert peaks.values.dtype == np.float64
    assert peaks.row_offsets.dtype == np.int64
    assert peaks.n_records == len(rows)
    assert [row.tolist() for row in peaks.rows()] == rows
    for i, row in enumerate(rows):
        begin, end = peaks.row_offsets[i : i + 2]
        assert peaks.values[begin:end].tolist() == row


def test_ragged_peaks_refuse_rows_that_are_not_flat():
    with pytest.raises(ValueError, match=r"rows\[1\] must have 1 dimension, got shape \(1, 2\)"):
        RPeaks.from_list([[1], [[1, 2]]])


def spikes(places, length):
    """QRS-like Gaussians of 1 mV, 10 ms wide at 250 Hz, with a slow T wave after each."""
    time = np.arange(length)[:, None] - np.asarray(places)
    return (np.exp(-0.5 * (time / 2.5) ** 2) + 0.2 * np.exp(-0.5 * ((time - 70) / 15) ** 2)).sum(1)


@pytest.fixture(scope="module")
def neurokit():
    return pytest.importorskip("neurokit2")


def test_peaks_are_found_where_they_are(neurokit):
    places = [np.arange(100, 2400, 200), np.arange(150, 1900, 250)]
    found = find_r_peaks([spikes(places[0], 2500), spikes(places[1], 2000)], 250)
    for row, expected in zip(found.rows(), places, strict=True):
        np.testing.assert_allclose(row, expected, atol=1)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_heart_rate(neurokit, method):
    ecg = neurokit.ecg_simulate(duration=20, sampling_rate=250, heart_rate=70, random_state=3)
    peaks = find_r_peaks(ecg[np.newaxis].astype(np.float32), 250.0, method=method).values
    assert np.median(np.diff(peaks)) / 250 == pytest.approx(60 / 70, rel=0.03)


BAD_SIGNALS = {
    "NaN": (np.where(np.arange(2500) == 17, np.nan, 0.0), "sample 17 is nan"),
    "infinite": (np.where(np.arange(2500) == 9, -np.inf, 0.0), "sample 9 is -inf"),
    "flat": (np.ones(2500), "NeuroKit2 finds no R peak"),
    "too short": (np.ones(10), "NeuroKit2 fails with"),
    "empty": (np.ones(0), "NeuroKit2 fails with"),
}


@pytest.mark.parametrize("kind", BAD_SIGNALS)
def test_a_record_without_peaks_is_named_by_its_index(neurokit, kind):
    good = spikes(np.arange(100, 2400, 200), 2500)
    bad, reason = BAD_SIGNALS[kind]
    with pytest.raises(ValueError, match=f"^record 1: {reason}"):
        find_r_peaks([good, bad, good], 250)
    with pytest.warns(RecordWarning) as caught:
        peaks = find_r_peaks([good, bad, good, bad], 250, on_error="skip")
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("R peaks, records 1, 3: 2 of 4 records left out.")
    assert reason in message
    assert np.diff(peaks.row_offsets).tolist() == [12, 0, 12, 0]


def test_neurokits_own_warnings_are_not_passed_on(neurokit):
    # At 100 Hz NeuroKit2 warns of the mains filter of this method, and then fails.
    signal = spikes(np.arange(40, 900, 80), 1000)
    with pytest.warns() as caught:
        find_r_peaks([signal], 100, method="engzeemod2012", on_error="skip")
    assert [warning.category for warning in caught] == [RecordWarning]


def test_peaks_of_no_record(neurokit):
    assert find_r_peaks(np.empty((0, 1000)), 100).row_offsets.tolist() == [0]


def test_wrong_peak_arguments(neurokit):
    signal = np.zeros(1000)
    with pytest.raises(ValueError, match=r"record 0 has shape \(\)"):
        find_r_peaks(signal, 100)
    with pytest.raises(ValueError, match=r"record 0 has shape \(1000, 12\)"):
        find_r_peaks(np.zeros((2, 1000, 12)), 100)
    with pytest.raises(ValueError, match="fs must be finite and greater than 0 Hz"):
        find_r_peaks([signal], 0)
    with pytest.raises(ValueError, match="method must be one of neurokit"):
        find_r_peaks([signal], 100, method="guess", on_error="skip")
    with pytest.raises(ValueError, match="on_error must be"):
        find_r_peaks([signal], 100, on_error="warn")


# --- real recordings -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_folder():
    folder = os.environ.get("ECGKERN_DATA")
    if not folder:
        pytest.skip("ECGKERN_DATA is not set: it names the folder of real recordings")
    return Path(folder)


@pytest.fixture(scope="module")
def real_100(real_folder):
    """PTB-XL ecg_id 1 to 400 at 100 Hz."""
    return PTBXL(real_folder, sampling_rate=100).select(ecg_ids=range(1, 401))


@pytest.fixture(scope="module")
def real_signals(real_100):
    signals = real_100.signals()
    signals.flags.writeable = False
    return signals


@realdata
def test_real_ptbxl_100_hz(real_100, real_signals):
    assert real_signals.shape == (400, 1000, 12)
    assert np.isfinite(real_signals).all()
    np.testing.assert_array_equal(real_100[399].signal, real_signals[399])
    lead_1, lead_2, lead_3 = np.moveaxis(real_signals.astype(np.float64), -1, 0)[:3]
    assert np.abs(lead_2 - (lead_1 + lead_3)).max() <= 2 * MICROVOLT + FLOAT32_ROUNDING


@realdata
def test_real_ptbxl_signals_need_no_memory_beside_the_result(real_100):
    data = real_100.select(ecg_ids=range(1, 101))
    data[0]  # imports
    tracemalloc.start()
    signals = data.signals()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_record = 1000 * 12 * 8  # wfdb reads int64 and float64
    assert peak - signals.nbytes < 10 * one_record


@realdata
def test_real_ptbxl_500_hz(real_folder):
    data = PTBXL(real_folder, sampling_rate=500, on_error="skip")
    present = [ecg_id for ecg_id, name in data.metadata["filename_hr"].items() if (data.root / f"{name}.dat").exists()]
    assert len(present) >= 56
    chosen = data.select(ecg_ids=present)
    signals = chosen.signals().astype(np.float64)
    assert signals.shape == (len(present), 5000, 12)
    assert chosen.skipped == []
    residual = signals[..., 1] - signals[..., 0] - signals[..., 2]
    assert np.abs(residual).max() <= 2 * MICROVOLT + FLOAT32_ROUNDING


@realdata
def test_real_ptbxl_metadata(real_100):
    metadata = real_100.metadata
    # Read off the table by hand: ecg_id 1 is NORM with LVOLT and SR, 8 is an inferior infarction.
    assert metadata.loc[1, "scp_codes"] == {"NORM": 100.0, "LVOLT": 0.0, "SR": 0.0}
    assert metadata.loc[1, "superclass"] == ("NORM",)
    assert metadata.loc[8, "superclass"] == ("MI",)
    assert metadata.loc[8, "subclass"] == ("IMI",)
    assert sum(len(real_100.split(part)) for part in ("train", "validation", "test")) == 400


@realdata
def test_real_limb_leads_follow_from_eight(real_signals):
    derived = to_12_leads(real_signals[..., [LEADS_12.index(lead) for lead in LEADS_8]])
    assert derived.dtype == np.float32
    worst = np.abs(derived.astype(np.float64) - real_signals).max(axis=(0, 1))
    # III is a difference of two rounded leads, the others are half that far off.
    bound = dict.fromkeys(LEADS_12, 0.0) | {"III": 2 * MICROVOLT + FLOAT32_ROUNDING}
    bound |= dict.fromkeys(("aVR", "aVL", "aVF"), 1.5 * MICROVOLT + FLOAT32_ROUNDING)
    assert np.all(worst <= list(bound.values()))


@realdata
def test_real_mitbih(real_folder):
    data = MITBIH(real_folder)
    assert len(data) >= 12
    for record in data:
        assert (record.fs, record.signal.shape) == (360.0, (650000, 2))
        assert np.isfinite(record.signal).all()
    assert len(data.beats("100").sample) == 2273
    # Beat types of whole records as in the MIT-BIH Arrhythmia Database Directory.
    for name, expected in {
        "100": {"N": 2239, "S": 33, "V": 1},
        "208": {"N": 1586, "S": 2, "V": 992, "F": 373, "Q": 2},
    }.items():
        classes, counts = np.unique(data.beats(name).aami, return_counts=True)
        assert dict(zip(classes.tolist(), counts.tolist(), strict=True)) == expected


@realdata
def test_real_mitbih_windows(real_folder):
    data = MITBIH(real_folder)
    windows = data.windows(["100", "114"], before=0.25, after=0.25)
    assert windows.signal.shape == (len(windows.sample), 180)
    assert len(windows.sample) + windows.n_dropped == 2273 + len(data.beats("114").sample)
    for i in (0, -1):
        record, sample = data[str(windows.record[i])], windows.sample[i]
        expected = record.lead("MLII")[sample - 90 : sample + 90]
        np.testing.assert_array_equal(windows.signal[i], expected)


@realdata
def test_real_peaks_are_the_annotated_beats(real_folder, neurokit):
    data = MITBIH(real_folder)
    record, beats = data["100"], data.beats("100")
    found = find_r_peaks([record.lead("MLII")], record.fs).values
    nearest = np.abs(beats.sample[:, np.newaxis] - found).min(axis=1)
    assert np.mean(nearest <= 0.05 * record.fs) > 0.995


@realdata
def test_real_ptbxl_peaks(real_signals, neurokit):
    peaks = find_r_peaks(real_signals[..., LEADS_12.index("II")], 100, on_error="skip")
    assert peaks.n_records == 400
    rates = np.array([6 * len(row) for row in peaks.rows()])  # 10 s records, beats a minute
    assert np.mean((rates >= 36) & (rates <= 180)) > 0.98
