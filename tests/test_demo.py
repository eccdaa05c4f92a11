"""``ecgkern demo``: made-up recordings with known R peaks, the simulation, and real recordings if there are any.

What the report says is compared with values computed here from the recordings, by other code.
"""

import argparse
import base64
import functools
import http.server
import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser

import numpy as np
import pytest

wfdb = pytest.importorskip("wfdb")
neurokit2 = pytest.importorskip("neurokit2")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

from ecgkern import _page  # noqa: E402
from ecgkern import demo as demo_package  # noqa: E402
from ecgkern.data import LEADS_12, RPeaks  # noqa: E402
from ecgkern.demo import _analysis, _input, _intervals, _pictures, _simulate, _timing, demo, run  # noqa: E402
from ecgkern.waveform import PHYSIO, SEED  # noqa: E402

FS, LENGTH = 100, 1000
PICTURES = {
    "overlay.png",
    "r_peak_histogram.png",
    "r_peak_boxplots.png",
    "rr_intervals.png",
    "intervals.png",
    "timing.png",
}
SIMULATED = "SIMULATED"
DAMAGED, ABSENT, INVALID, FLAT = 3, 4, 5, 6  # ecg_ids of records that cannot be used, each for its reason
USABLE = {1: 0.8, 2: 1.0, 7: 0.6, 8: 0.9}  # RR interval in seconds by ecg_id


# --- made-up recordings ----------------------------------------------------------------------------------------------


def beats(rr):
    """R peaks in seconds: none in the first 0.3 s, and one near the end, where NeuroKit2 else may find what is none."""
    return np.arange(9.7, 0.4, -rr)[::-1]


def lead(rr, *, length=LENGTH, fs=FS):
    """An ECG of P, Q, R, S and T in mV."""
    t = np.arange(length) / fs
    waves = ((0.12, -0.16, 0.025), (-0.12, -0.03, 0.01), (0.9, 0.0, 0.012), (-0.2, 0.03, 0.01), (0.25, 0.28, 0.04))
    clean = sum(h * np.exp(-0.5 * ((t - r - d) / s) ** 2) for r in beats(rr) for h, d, s in waves)
    return clean + 0.003 * np.random.default_rng(0).standard_normal(length)


def write_record(folder, name, signals, leads, fs=FS):
    folder.mkdir(parents=True, exist_ok=True)
    n = len(leads)
    wfdb.wrsamp(
        name, fs=fs, units=["mV"] * n, sig_name=leads, p_signal=np.column_stack(signals), fmt=["16"] * n,
        adc_gain=[1000.0] * n, baseline=[0] * n, write_dir=str(folder),
    )  # fmt: skip


def write_ptbxl(root, rr_by_id):
    """Write records in the shape of PTB-XL; lead II holds the ECG."""
    lines = ["ecg_id,scp_codes,strat_fold,filename_lr,filename_hr"]
    for ecg_id, rr in rr_by_id.items():
        name = f"{ecg_id:05d}_lr"
        signal = np.zeros(LENGTH) if rr is None else lead(rr)
        if ecg_id == INVALID:
            signal[100:110] = np.nan  # WFDB marks such samples as invalid
        leads = [signal if wanted == "II" else 0.1 * signal for wanted in LEADS_12]
        write_record(root / "records100" / "00000", name, leads, [wanted.upper() for wanted in LEADS_12])
        lines.append(f"{ecg_id},\"{{'NORM': 100.0}}\",1,records100/00000/{name},records500/00000/{ecg_id:05d}_hr")
    (root / "ptbxl_database.csv").write_text("\n".join(lines) + "\n")
    (root / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\nNORM,normal ECG,1.0,,,NORM,NORM\n"
    )
    return root


@pytest.fixture(scope="module")
def ptbxl_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "ptb-xl"
    write_ptbxl(root, {**dict.fromkeys((DAMAGED, ABSENT, INVALID), 0.8), FLAT: None, **USABLE})
    files = root / "records100" / "00000"
    (files / f"{ABSENT:05d}_lr.hea").unlink()
    flip(files / f"{DAMAGED:05d}_lr.dat", 500 * 12 * 2)
    return root


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


@pytest.fixture(autouse=True)
def no_network_and_no_data(monkeypatch, request):
    """No test may depend on what ECGKERN_DATA or PhysioNet gives, unless it says so."""
    if not request.node.get_closest_marker("realdata"):
        monkeypatch.delenv("ECGKERN_DATA", raising=False)
        monkeypatch.setattr(_input, "stream_record", offline)


def offline(ecg_id, fs):
    raise ConnectionError("Failed to resolve 'physionet.org'")


@pytest.fixture
def quick(monkeypatch):
    """Time next to nothing: the numbers are not looked at."""
    monkeypatch.setattr(_timing, "LEAST_BATCH", 1)
    monkeypatch.setattr(_timing, "_repeat", lambda call: [1e-3])


def nothing(done, total):
    """Progress that goes nowhere."""


def arguments(*words):
    parser = argparse.ArgumentParser()
    demo_package.add_arguments(parser)
    return parser.parse_args(words)


class Result:
    """What a run left behind."""

    def __init__(self, report, stdout=""):
        self.folder = report.parent
        self.html = report.read_text(encoding="utf-8")
        self.numbers = json.loads((report.parent / "report.json").read_text(encoding="utf-8"))
        self.stdout = stdout


@pytest.fixture(scope="module")
def recorded(ptbxl_folder, tmp_path_factory):
    """A run on made-up PTB-XL with everything in it, timing included."""
    return Result(demo(ptbxl_folder, tmp_path_factory.mktemp("out"), quiet=True))


@pytest.fixture
def simulated(tmp_path, quick, capsys):
    code = run(arguments("--out", str(tmp_path / "out"), "--records", "5", "--quiet"))
    assert code == 0
    return Result(tmp_path / "out" / "report.html", capsys.readouterr().out)


# --- recordings: what is in the report -------------------------------------------------------------------------------


def test_every_file_is_there_and_nothing_else(recorded):
    assert {path.name for path in recorded.folder.iterdir()} == PICTURES | {"report.html", "report.json"}
    for name in PICTURES:
        assert (recorded.folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_records_that_cannot_be_used_are_listed_with_their_reasons(recorded):
    given = recorded.numbers["input"]
    reasons = {entry["name"]: entry["reason"] for entry in given["left_out"]}
    assert reasons.keys() == {f"ecg_id {i}" for i in (DAMAGED, ABSENT, INVALID, FLAT)}
    assert "checksum" in reasons[f"ecg_id {DAMAGED}"]
    assert reasons[f"ecg_id {ABSENT}"] == "no 100 Hz file in this copy"
    assert reasons[f"ecg_id {INVALID}"] == "has samples marked as invalid"
    assert reasons[f"ecg_id {FLAT}"] == "NeuroKit2 finds fewer than two R peaks"
    assert given["records_left_out"] == 4
    assert given["records_used"] == len(USABLE)
    assert [record["name"] for record in recorded.numbers["records"]] == [f"ecg_id {i}" for i in USABLE]
    for name, reason in reasons.items():
        assert name in recorded.html
        assert reason in recorded.html


def test_r_peaks_are_those_that_neurokit_finds_in_lead_ii(recorded, ptbxl_folder):
    counts, tenths = np.zeros(LENGTH, int), np.zeros(10, int)
    for ecg_id in USABLE:
        record = wfdb.rdrecord(str(ptbxl_folder / "records100" / "00000" / f"{ecg_id:05d}_lr"))
        cleaned = neurokit2.ecg_clean(record.p_signal[:, 1], sampling_rate=FS)
        for peak in neurokit2.ecg_peaks(cleaned, sampling_rate=FS)[1]["ECG_R_Peaks"]:
            counts[peak] += 1
            tenths[peak // 100] += 1
    r_peaks = recorded.numbers["r_peaks"]
    assert r_peaks["at_each_sample"] == counts.tolist()
    assert [tenth["count"] for tenth in r_peaks["tenths"]] == tenths.tolist()
    assert r_peaks["count"] == counts.sum() == sum(len(beats(rr)) for rr in USABLE.values())


def test_tenths_describe_the_r_peaks_in_them(recorded):
    places = np.repeat(np.arange(LENGTH), recorded.numbers["r_peaks"]["at_each_sample"])
    for k, tenth in enumerate(recorded.numbers["r_peaks"]["tenths"]):
        inside = places[(places >= 100 * k) & (places < 100 * (k + 1))]
        assert (tenth["first_sample"], tenth["last_sample"]) == (100 * k, 100 * k + 99)
        assert tenth["median"] == np.median(inside)
        assert (tenth["min"], tenth["max"]) == (inside.min(), inside.max())


def test_heart_rates_are_those_put_in(recorded):
    for record, rr in zip(recorded.numbers["records"], USABLE.values(), strict=True):
        assert record["heart_rate_bpm"] == pytest.approx(60 / rr, rel=0.005)
        assert record["r_peaks"] == len(beats(rr))
    assert recorded.numbers["heart_rate_bpm"]["median"] == pytest.approx(np.median([60 / 0.8, 60 / 0.9]), rel=0.005)


def test_intervals_put_in_follow_from_the_preset(recorded):
    """PHYSIO: P 160 ms and Q 20 ms before R, S 20 and T 280 ms after it; widths 25, 10, 10 and 40 ms at 60 bpm."""
    pr, qrs, qt = [], [], []
    for rr in USABLE.values():
        root, q = rr**0.5, 2 * max(10.0, 10 * rr**0.5)  # no width is below the sample of 10 ms
        pr.append(160 * rr**0.75 + 50 * root - 20 * root - q)
        qrs.append(40 * root + 2 * q)
        qt.append(280 * rr**0.75 + 80 * root + 20 * root + q)
    rows = recorded.numbers["intervals_ms"]["rows"]
    for name, expected in (("PR", pr), ("QRS", qrs), ("QT", qt)):
        assert rows[name]["put in"]["median"] == pytest.approx(np.median(expected), abs=1)
        assert rows[name]["put in"]["n"] == len(USABLE)


def test_intervals_of_both_ecgs_are_measured(recorded):
    intervals = recorded.numbers["intervals_ms"]
    assert intervals["failed"] == []
    assert intervals["preset_at_60_bpm"] == pytest.approx({"PR": 170, "QRS": 80, "QT": 400, "RR": 1000})
    for kind in ("recorded", "synthetic"):
        # Both were made with T 280 ms after R (less at a higher rate), and beats as given.
        assert 300 < intervals["rows"]["QT"][kind]["median"] < 450
        assert 70 < intervals["rows"]["QRS"][kind]["median"] < 130
        assert intervals["rows"]["RR"][kind]["median"] == pytest.approx(850, abs=10)


def test_r_peaks_stand_as_high_in_the_synthetic_ecg(ptbxl_folder):
    synthesis = synthesis_of(_input.load(ptbxl_folder, None, None, nothing))
    for recording, synthetic, row in zip(
        synthesis.recordings.signals, synthesis.signals, synthesis.r_peaks.rows(), strict=True
    ):
        expected = np.median(recording[row.astype(int)]) - np.median(recording)
        assert np.median(synthetic[row.astype(int)]) - np.median(synthetic) == pytest.approx(expected, rel=1e-5)
    assert synthesis.share_found == 1.0
    assert synthesis.waves.width.min() >= 1 / FS


def test_correlation_is_pearson_s(recorded, ptbxl_folder):
    synthesis = synthesis_of(_input.load(ptbxl_folder, None, None, nothing))
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(synthesis.recordings.signals, synthesis.signals, strict=True)]
    assert [record["correlation"] for record in recorded.numbers["records"]] == pytest.approx(expected, abs=1e-5)


def test_timing_covers_every_backend_and_neurokit(recorded):
    timing = recorded.numbers["timing"]
    assert [row["name"] for row in timing] == [
        *(f"ecgkern, {name}" for name in _analysis.available_backends()),
        "NeuroKit2, ecg_simulate",
    ]
    for row in timing:
        assert 0 < row["fastest_seconds_per_record"] <= row["seconds_per_record"] < 10
        assert row["records_per_second"] == pytest.approx(1 / row["seconds_per_record"])
        assert row["threads"] >= 1
    assert all(row["records_per_run"] >= 2000 for row in timing[:-1])


def test_timing_is_per_record(ptbxl_folder, monkeypatch):
    monkeypatch.setattr(_timing, "LEAST_BATCH", 50)
    monkeypatch.setattr(_timing, "_repeat", lambda call: [3.0, 1.0, 2.0])
    synthesis = synthesis_of(_input.load(ptbxl_folder, 2, None, nothing))
    ours = _timing._backend(synthesis, "numpy")
    assert (ours.seconds, ours.fastest, ours.records_per_run) == (2.0 / 50, 1.0 / 50, 50)
    assert _timing._neurokit(synthesis).seconds == 2.0


@pytest.mark.parametrize("fs", [100, 360, 500])
def test_neurokit_ends_at_every_rate_of_the_demo(fs):
    code = f"from ecgkern.demo import _timing; _timing.simulate_one({10 * fs}, {fs})"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_what_made_the_report_is_in_it(recorded):
    numbers = recorded.numbers
    assert numbers["simulated"] is False
    assert numbers["source"]["name"] == "PTB-XL 1.0.3"
    assert numbers["source"]["doi"] == "10.13026/x4td-x982"
    assert numbers["software"].keys() >= {"ecgkern", "python", "numpy", "neurokit2", "wfdb", "matplotlib"}
    assert numbers["synthesis"]["backend"] == _analysis.available_backends()[0]
    assert numbers["synthesis"]["threads"] >= 1
    assert numbers["input"]["sampling_rate_hz"] == FS
    assert numbers["seconds"].keys() >= {"reading records", "timing", "drawing"}


# --- the page --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.unclosed = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_needs_no_other_file(recorded):
    page = Page(recorded.html)
    assert page.open == []
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base"})
    assert "url(" not in recorded.html
    assert "@import" not in recorded.html
    for tag, attributes in page.elements:
        assert "srcset" not in attributes
        assert "href" not in attributes or tag == "a"
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == len(PICTURES)
    prefix = "data:image/png;base64,"
    embedded = [base64.b64decode(image["src"].removeprefix(prefix), validate=True) for image in images]
    assert set(embedded) == {(recorded.folder / name).read_bytes() for name in PICTURES}
    assert all(image["alt"] for image in images)


def test_page_says_what_must_be_said(recorded):
    assert "Not for clinical use" in recorded.html
    assert "CC BY 4.0" in recorded.html
    assert "doi.org/10.13026/x4td-x982" in recorded.html
    assert "Wagner" in recorded.html
    assert 'name="viewport"' in recorded.html
    assert "prefers-color-scheme: dark" in recorded.html
    assert SIMULATED not in recorded.html


def test_names_are_escaped_in_the_page():
    assert _page.table(["<b>"], [["a & b", "<script>"]]).count("<b>") == 0
    assert "&lt;script&gt;" in _page.table(None, [["a & b", "<script>"]])


# --- simulated input -------------------------------------------------------------------------------------------------


def test_simulated_input_is_called_that_everywhere(simulated):
    assert simulated.stdout.splitlines()[0].startswith("Input: SIMULATED, not recorded")
    assert "Failed to resolve" in simulated.stdout.splitlines()[0]
    assert simulated.numbers["simulated"] is True
    assert SIMULATED in simulated.numbers["title"]
    assert re.search(rf"<title>[^<]*{SIMULATED}", simulated.html)
    assert re.search(rf"<h1>[^<]*{SIMULATED}", simulated.html)
    assert simulated.html.count('class="simulated"') == 2
    assert simulated.numbers["input"]["records_used"] == 5
    assert "CC BY" not in simulated.html


def synthesis_of(recordings):
    return _analysis.synthesise(*_analysis.find_beats(recordings, nothing), None)


def drawings(synthesis):
    intervals = _intervals.measure(synthesis, nothing)
    timings = [_timing.Timing("ecgkern, x", 1e-6, 9e-7, 3, 2000, 2), _timing.Timing("NeuroKit2", 0.04, 0.03, 3, 1, 1)]
    return [
        _pictures.overlay(synthesis),
        _pictures.r_peak_histogram(synthesis),
        _pictures.r_peak_boxplots(synthesis),
        _pictures.rr_intervals(synthesis),
        _pictures.wave_intervals(synthesis.recordings, intervals),
        _pictures.timing(synthesis.recordings, timings),
    ]


def test_every_picture_says_that_its_input_is_simulated():
    figures = drawings(synthesis_of(_input.load(None, 3, None, nothing)))
    assert len(figures) == len(PICTURES)
    for figure in figures:
        assert SIMULATED in figure.get_suptitle()


def test_pictures_of_recordings_name_their_source(ptbxl_folder):
    for figure in drawings(synthesis_of(_input.load(ptbxl_folder, 2, None, nothing))):
        assert SIMULATED not in figure.get_suptitle()
        assert "10.13026/x4td-x982" in figure.get_supxlabel()
        assert all(ax.get_xlabel() or ax.get_title() for ax in figure.axes)


def test_pictures_do_not_use_pyplot(ptbxl_folder):
    code = (
        "import sys; from ecgkern.demo import _pictures; from matplotlib.figure import Figure;"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.fixture
def drawn(ptbxl_folder):
    """Two records at known heart rates and the figures made of them."""
    synthesis = synthesis_of(_input.load(ptbxl_folder, 2, None, nothing))
    return synthesis, drawings(synthesis)


def test_overlay_shows_both_ecgs_and_the_peaks(drawn):
    synthesis, _ = drawn
    for i, ax in enumerate(_pictures.overlay(synthesis).axes):
        recorded, synthetic, peaks = (line.get_xydata() for line in ax.lines)
        signal = synthesis.recordings.signals[i]
        np.testing.assert_allclose(recorded[:, 1], signal - np.median(signal))
        np.testing.assert_allclose(synthetic[:, 1], synthesis.signals[i])
        np.testing.assert_allclose(peaks[:, 0] * synthesis.recordings.fs, synthesis.r_peaks.rows()[i], atol=1e-9)


def test_histogram_and_boxes_show_the_counts(drawn):
    synthesis, _ = drawn
    peaks = synthesis.r_peaks.values.astype(int)
    (bars,) = _pictures.r_peak_histogram(synthesis).axes[0].patches
    np.testing.assert_array_equal(bars.get_data().values, np.bincount(peaks, minlength=synthesis.recordings.length))
    written = [int(text.get_text()) for text in _pictures.r_peak_boxplots(synthesis).axes[0].texts]
    tenth = peaks * 10 // synthesis.recordings.length
    assert written == np.bincount(tenth, minlength=10).tolist()


def test_rr_picture_sets_each_interval_against_the_next(drawn):
    synthesis, _ = drawn
    right = _pictures.rr_intervals(synthesis).axes[1]
    shown = {tuple(np.round(xy, 6)) for line in right.lines for xy in line.get_xydata()}
    shown |= {tuple(np.round(xy, 6)) for dots in right.collections for xy in dots.get_offsets()}
    for row in synthesis.r_peaks.rows():
        rr = np.diff(row) * 1000 / synthesis.recordings.fs
        assert {tuple(np.round(pair, 6)) for pair in itertools.pairwise(rr)} <= shown


def test_every_file_goes_through_the_atomic_writer(ptbxl_folder, tmp_path, quick, monkeypatch):
    written = []
    original = _page.write_whole
    monkeypatch.setattr(_page, "write_whole", lambda path, data: (written.append(path.name), original(path, data)))
    demo(ptbxl_folder, tmp_path, records=2, quiet=True)
    assert sorted({*written} - {"probe"}) == sorted(path.name for path in tmp_path.iterdir())


def test_simulation_is_the_same_each_time_and_has_a_heart_rate():
    first, again = _simulate.ecgs(4, 100.0, 1000), _simulate.ecgs(4, 100.0, 1000)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (4, 1000)
    assert np.isfinite(first).all()


def test_simulated_rr_intervals_are_those_of_a_heart_at_rest():
    rng = np.random.default_rng(1)
    for _ in range(50):
        times = _simulate.beat_times(10.0, rng)
        rr = np.diff(times)
        assert times[0] <= 0
        assert times[-1] > 10
        assert 0.5 < rr.mean() < 1.1
        assert 0.005 < rr.std() / rr.mean() < 0.15


def test_silent_network_is_given_up(monkeypatch):
    monkeypatch.setattr(_input, "stream_record", lambda *_: threading.Event().wait(30))
    monkeypatch.setattr(_input, "PATIENCE", 0.2)
    start = time.monotonic()
    recordings = _input.load(None, 2, None, nothing)
    assert time.monotonic() - start < 5
    assert recordings.source.simulated
    assert "no answer within 0.2 s" in recordings.headline


def test_records_are_streamed_from_physionet(tmp_path, monkeypatch):
    """A server on this machine stands in for PhysioNet; one of the ten records is missing there."""
    monkeypatch.undo()  # the fixture's offline stream_record
    monkeypatch.delenv("ECGKERN_DATA", raising=False)
    root = write_ptbxl(tmp_path / "ptb-xl" / "1.0.3", {i: 0.8 for i in _input.STREAMED_IDS if i != 4})

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(wfdb.io.download.config, "db_index_url", f"http://127.0.0.1:{server.server_port}/")
        recordings = _input.load(None, None, None, nothing)
        server.shutdown()
    assert not recordings.source.simulated
    assert recordings.names == tuple(f"ecg_id {i}" for i in _input.STREAMED_IDS if i != 4)
    assert [name for name, _ in recordings.skipped] == ["ecg_id 4"]
    local = _input.load(root, None, None, nothing)
    np.testing.assert_allclose(recordings.signals, local.signals, atol=1e-6)


# --- choosing the input ----------------------------------------------------------------------------------------------


def test_parent_folder_environment_and_number_of_records(ptbxl_folder, monkeypatch):
    readable = [1, 2, INVALID, FLAT, 7, 8]
    by_parent = _input.load(ptbxl_folder.parent, None, None, nothing)
    assert sorted(by_parent.names) == [f"ecg_id {i}" for i in readable]
    monkeypatch.setenv("ECGKERN_DATA", str(ptbxl_folder.parent))
    by_environment = _input.load(None, None, None, nothing)
    assert by_environment.names == by_parent.names
    few = _input.load(None, 4, None, nothing)
    damaged = [name for name, reason in few.skipped if "checksum" in reason]
    assert len(few.names) + len(damaged) == 4
    assert set(few.names) < set(by_parent.names)


def test_mit_bih_is_cut_into_pieces(tmp_path):
    fs, minute = 360, 360 * 60
    long = np.tile(lead(0.75, length=10 * fs, fs=fs), 6)
    assert len(long) == minute
    for name, leads in (("100", ["MLII", "V5"]), ("102", ["V5", "V2"]), ("114", ["V5", "MLII"])):
        write_record(tmp_path / "mitdb", name, [long, long], leads, fs=fs)
    recordings = _input.load(tmp_path, 6, None, nothing)
    assert recordings.signals.shape == (6, 10 * fs)
    assert recordings.fs == fs
    assert recordings.names[:2] == ("record 100 at 00:00", "record 100 at 00:20")
    np.testing.assert_allclose(recordings.signals[0], long[: 10 * fs], atol=1e-3)
    assert [name for name, _ in recordings.skipped] == ["record 102"]
    assert "MLII" in recordings.skipped[0].reason
    assert "ODC-By" in recordings.source.licence


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "{empty}"], "ptbxl_database.csv"),
        (["--data", "{empty}/nowhere"], "ptbxl_database.csv"),
        (["--data", "{other}"], "has 250 Hz; MIT-BIH"),
        (["--data", "{ptbxl}", "--sampling-rate", "500"], "no record that can be read"),
        (["--data", "{other}", "--sampling-rate", "100"], "leave out the sampling rate"),
        (["--data", "{ptbxl}", "--records", "0"], "at least 1"),
        (["--data", "{ptbxl}", "--out", "{empty}/file"], "file"),
    ],
)
def test_wrong_input_is_a_clear_error(words, message, ptbxl_folder, tmp_path, capsys):
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    (empty / "file").write_text("no folder")
    write_record(other, "x", [lead(0.8)], ["MLII"], fs=250)
    places = {"empty": empty, "other": other, "ptbxl": ptbxl_folder}
    words = ["--out", str(tmp_path / "out"), "--quiet", *(word.format(**places) for word in words)]
    assert run(arguments(*words)) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("ecgkern demo: ")
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "out").exists()


def test_empty_paths_are_errors(ptbxl_folder, capsys):
    assert run(arguments("--data", "")) == 2
    assert "the data folder is an empty path; leave it out to use ECGKERN_DATA" in capsys.readouterr().err
    assert run(arguments("--data", str(ptbxl_folder), "--out", "")) == 2
    assert "the output folder is an empty path" in capsys.readouterr().err


def test_output_that_cannot_be_written_ends_the_run_before_the_work(ptbxl_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_analysis, "find_beats", None)
    file = tmp_path / "file"
    file.write_text("")
    assert run(arguments("--data", str(ptbxl_folder), "--out", str(file))) == 2
    assert f"cannot write to the folder {file} (--out): File exists" in capsys.readouterr().err


def test_share_found_counts_peaks_within_one_sample(ptbxl_folder):
    recordings = _input.load(ptbxl_folder, None, None, nothing)
    for moved, lost in ((1.0, 0), (2.0, 1)):
        synthesis = synthesis_of(recordings)
        assert synthesis.share_found == 1.0
        rows = [row.copy() for row in synthesis.found.rows()]
        rows[0][3] = synthesis.r_peaks.rows()[0][3] + moved
        again = synthesis_of(recordings)
        object.__setattr__(again, "found", RPeaks.from_list(rows))
        assert again.share_found == pytest.approx(1 - lost / synthesis.r_peaks.values.size)


def test_folder_without_beats_is_an_error(tmp_path):
    write_ptbxl(tmp_path, {1: None, 2: None})
    with pytest.raises(ValueError, match="fewer than two R peaks"):
        demo(tmp_path, tmp_path / "out", quiet=True)


# --- whole files -----------------------------------------------------------------------------------------------------


def test_files_are_replaced_and_others_stay(ptbxl_folder, tmp_path, quick):
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    demo(ptbxl_folder, tmp_path, records=3, backend="numpy", quiet=True)
    assert "<!DOCTYPE html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert json.loads((tmp_path / "report.json").read_text())["synthesis"]["backend"] == "numpy"


def test_interruption_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _page.write_whole(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_ends_with_a_line(ptbxl_folder, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_analysis, "find_r_peaks", lambda *_, **__: interrupted())
    assert run(arguments("--data", str(ptbxl_folder), "--out", str(tmp_path / "out"), "--quiet")) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_progress_shows_on_a_terminal_only(ptbxl_folder, tmp_path, quick, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = {}
    for kind in (Terminal, io.StringIO):
        monkeypatch.setattr(sys, "stderr", kind())
        demo(ptbxl_folder, tmp_path, records=2)
        shown[kind] = sys.stderr.getvalue()
    assert "finding R peaks" in shown[Terminal]
    assert "drawing" in shown[Terminal]
    assert shown[io.StringIO] == ""


# --- parts -----------------------------------------------------------------------------------------------------------


def test_importing_the_command_loads_nothing_heavy():
    heavy = ("matplotlib", "neurokit2", "pandas", "wfdb", "numba", "scipy", "tqdm")
    code = f"import sys, ecgkern.demo; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_r_peaks_at_the_first_and_last_sample_are_counted():
    r_peaks = RPeaks.from_list([[0, 50], [99], []])
    counts = _analysis.count_at_samples(r_peaks, 100)
    assert counts[[0, 50, 99]].tolist() == [1, 1, 1]
    assert len(counts) == 100
    assert [len(members) for members in _analysis.temporal_bins(r_peaks, 100)] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("length", [1000, 3600, 997])
def test_bin_edges_agree_with_the_bins(length):
    every = RPeaks.from_list([np.arange(length)])
    edges = _analysis.bin_edges(length)
    for k, members in enumerate(_analysis.temporal_bins(every, length)):
        assert (members[0], members[-1]) == (edges[k], edges[k + 1] - 1)


def test_intervals_of_waves_count_two_widths_to_each_side():
    """SEED: P 80 ms before R and 25 ms wide, Q and S 10 ms from R and 10 wide, T 150 ms after R and 40 wide."""
    np.testing.assert_allclose(_intervals.of_waves(SEED), [80 + 50 - 10 - 20, 2 * (10 + 20), 150 + 80 + 10 + 20])
    assert _intervals.of_waves(PHYSIO.at_heart_rate([60, 75])).shape == (2, 3)


def test_summary_leaves_out_what_is_not_finite():
    summary = _analysis.Summary.of(np.array([1.0, np.nan, 3.0, 2.0]))
    assert (summary.median, summary.n) == (2.0, 3)
    assert _analysis.Summary.of(np.array([np.nan])).n == 0
    assert _page.without_nan({"a": [np.nan, 1.0]}) == {"a": [None, 1.0]}


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s"), (0.0399, "39.9 ms"), (1.06e-6, "1.06 µs"), (4.2e-7, "420 ns")]
)
def test_durations_are_written_in_their_unit(seconds, text):
    assert _page.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1_483_211, "1,480,000"), (6652, "6,650"), (250.4, "250"), (25.06, "25.1")]
)
def test_numbers_are_written_with_three_digits(value, text):
    assert _page.number(value) == text


# --- real recordings -------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_recordings(tmp_path, quick):
    if not os.environ.get("ECGKERN_DATA"):
        pytest.skip("ECGKERN_DATA is not set")
    result = Result(demo(out=tmp_path, records=12, quiet=True))
    numbers = result.numbers
    assert numbers["simulated"] is False
    assert numbers["input"]["records_used"] + numbers["input"]["records_left_out"] >= 12
    assert 50 < numbers["heart_rate_bpm"]["median"] < 110
    assert numbers["r_peaks"]["count"] == sum(record["r_peaks"] for record in numbers["records"])
    rows = numbers["intervals_ms"]["rows"]
    for name, (low, high) in {"PR": (60, 240), "QRS": (60, 200), "QT": (250, 500)}.items():
        assert low < rows[name]["recorded"]["median"] < high
        assert low < rows[name]["synthetic"]["median"] < high
    assert numbers["synthesis"]["share_of_r_peaks_found_again"] > 0.98
    assert numbers["synthesis"]["correlation_with_input"]["median"] > 0.5
