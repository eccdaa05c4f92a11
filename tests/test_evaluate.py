"""``ecgkern evaluate``: made-up records whose differences are known, and real recordings if there are any.

What the report says is compared with SciPy and with values computed here.
"""

import argparse
import base64
import functools
import inspect
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

wfdb = pytest.importorskip("wfdb")
scipy_stats = pytest.importorskip("scipy.stats")
pytest.importorskip("neurokit2")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

from scipy.spatial.distance import cdist  # noqa: E402

from ecgkern import evaluate as package  # noqa: E402
from ecgkern import stats  # noqa: E402
from ecgkern.cli import main  # noqa: E402
from ecgkern.data import LEADS_12, to_12_leads  # noqa: E402
from ecgkern.evaluate import _compare, _features, _input, _pictures, _report, _side_by_side, evaluate  # noqa: E402
from ecgkern.waveform import PHYSIO, gaussian_waves  # noqa: E402

FS, LENGTH, N = 100, 600, 16
ORDER = "I,II,III"
PICTURES = {
    "permutations.png",
    "yardstick.png",
    "least_realistic.png",
    "ks.png",
    "spectra.png",
    "rhythm.png",
    "amplitudes.png",
    "nearest.png",
}
SSSD_ORDER = "I,II,V1,V2,V3,V4,V5,V6,III,aVR,aVL,aVF"


# --- made-up records -------------------------------------------------------------------------------------------------


@functools.cache
def ecgs(seed, n=N, size=1.0, bpm=70.0):
    """ECGs of leads I, II and III = II - I, (n, 3, LENGTH), that begin at any point of a beat."""
    rng = np.random.default_rng(seed)
    rr = 60 / (bpm + rng.uniform(-8, 8, n))
    peaks = [np.arange(rng.uniform(0, r), LENGTH / FS, r) * FS for r in rr]
    two = gaussian_waves(peaks, fs=FS, length=LENGTH, waves=PHYSIO)
    two = two + 0.02 * rng.standard_normal(two.shape)
    one = rng.uniform(0.3, 0.6, (n, 1)) * two + 0.01 * rng.standard_normal(two.shape)
    return (size * np.stack([one, two, two - one], axis=1)).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    """Write arrays as REAL and SYNTHETIC; return their paths."""

    def write(real, synthetic):
        for name, array in (("real", real), ("synthetic", synthetic)):
            np.save(tmp_path / f"{name}.npy", array)
        return [str(tmp_path / "real.npy"), str(tmp_path / "synthetic.npy")]

    return write


@pytest.fixture
def unseen(monkeypatch):
    """Draw nothing: the pictures are not looked at."""
    monkeypatch.setattr(_pictures, "draw_all", lambda *_: {})


@pytest.fixture
def numbers_of(files, tmp_path, unseen):
    """Evaluate arrays and return the numbers of the report."""

    def run(real, synthetic, **options):
        options = {"lead_order": ORDER, "fs": FS, "n_resamples": 199, **options}
        report = evaluate(*files(real, synthetic), out=tmp_path / "out", quiet=True, **options)
        return json.loads((report.parent / "report.json").read_text())

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything in it, pictures included: synthetic records that are 1.5 times too large."""
    folder = tmp_path_factory.mktemp("whole")
    np.save(folder / "real.npy", ecgs(1))
    np.save(folder / "synthetic.npy", ecgs(2, size=1.5))
    paths = [str(folder / "real.npy"), str(folder / "synthetic.npy")]
    report = evaluate(*paths, lead_order=ORDER, fs=FS, n_resamples=199, out=folder / "out", quiet=True)
    return report, json.loads((report.parent / "report.json").read_text())


def write_ptbxl(root, patients, codes):
    """Write records of twelve leads in the shape of PTB-XL, one for each patient and code."""
    folder = root / "records100" / "00000"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr"]
    for ecg_id, (patient, code) in enumerate(zip(patients, codes, strict=True), start=1):
        beats = [np.arange(rng.uniform(30, 80), 1000, rng.uniform(70, 90))]
        two = gaussian_waves(beats, fs=FS, length=1000)[0] + 0.01 * rng.standard_normal(1000)
        chest = rng.uniform(0.5, 1.0, (6, 1)) * two
        signal = to_12_leads(np.concatenate([[0.5 * two, two], chest]), axis=0).T
        name = f"{ecg_id:05d}_lr"
        wfdb.wrsamp(
            name, fs=FS, units=["mV"] * 12, sig_name=[lead.upper() for lead in LEADS_12], p_signal=signal,
            fmt=["16"] * 12, adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(folder),
        )  # fmt: skip
        lines.append(f"{ecg_id},{patient},\"{{'{code}': 100.0}}\",1,records100/00000/{name},none")
    (root / "ptbxl_database.csv").write_text("\n".join(lines) + "\n")
    (root / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
        "NORM,normal ECG,1.0,,,NORM,NORM\nIMI,inferior infarction,1.0,,,MI,IMI\n"
        "LVH,hypertrophy,1.0,,,HYP,LVH\nSR,sinus rhythm,,,1.0,,\n"
    )
    return str(root)


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    patients = [1, 1, 2, 3, 3, 3, 4, 5, 6, 7]
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl"), patients, ["NORM"] * 6 + ["IMI"] * 3 + ["SR"])


# --- what the report finds -------------------------------------------------------------------------------------------


def test_samples_of_one_distribution_are_not_told_apart(numbers_of):
    numbers = numbers_of(ecgs(1), ecgs(3))
    assert all(test["pvalue"] > 0.05 for test in numbers["tests"].values())
    assert "cannot be told apart" in _report.verdict(numbers)
    assert numbers["distances"]["KS rejects at 5 %"]["value"] < 20
    assert numbers["distances"]["KS rejects, adjusted"]["value"] == 0
    assert numbers["rhythm"]["pvalues"]["heart rate"] > 0.05


def test_records_that_are_too_large_are_told_apart(whole):
    _, numbers = whole
    assert numbers["tests"]["spectra"]["pvalue"] == 1 / 200
    assert _report.verdict(numbers).startswith("The two samples can be told apart")
    assert numbers["distances"]["PSD distance"]["value"] == pytest.approx(20 * np.log10(1.5), abs=1)
    assert numbers["distances"]["PSD distance"]["splits_farther"] == _compare.N_SPLITS
    heights = [numbers["amplitudes_mv"][side]["II"]["peak_to_peak"]["median"] for side in ("real", "synthetic")]
    assert heights[1] / heights[0] == pytest.approx(1.5, rel=0.05)


def test_a_faster_heart_is_seen_in_the_rhythm(numbers_of):
    numbers = numbers_of(ecgs(1), ecgs(4, bpm=110.0))
    rates = [numbers["rhythm"][side]["heart rate"]["median"] for side in ("real", "synthetic")]
    assert rates == pytest.approx([70, 110], abs=5)
    assert numbers["rhythm"]["pvalues"]["heart rate"] < 1e-4


def test_distances_are_those_of_scipy(whole):
    x, y = (a.astype(float) for a in (ecgs(1), ecgs(2, size=1.5)))
    distances = {name: entry["value"] for name, entry in whole[1]["distances"].items()}
    pvalue = scipy_stats.ks_2samp(x, y, axis=0).pvalue
    assert distances["KS rejects at 5 %"] == pytest.approx(100 * (pvalue <= 0.05).mean())
    adjusted = scipy_stats.false_discovery_control(pvalue.ravel())
    assert distances["KS rejects, adjusted"] == pytest.approx(100 * (adjusted <= 0.05).mean())
    assert distances["Wasserstein distance"] == pytest.approx(np.abs(np.sort(x, 0) - np.sort(y, 0)).mean(), rel=1e-5)
    u, v = x.reshape(N, -1), y.reshape(N, -1)
    energy = 2 * cdist(u, v).mean() - cdist(u, u).mean() - cdist(v, v).mean()
    assert distances["energy distance"] == pytest.approx(np.sqrt(energy), rel=1e-4)
    sigma = whole[1]["tests"]["signals"]["bandwidth"]
    pooled = cdist(np.concatenate([u, v]), np.concatenate([u, v]))
    assert sigma == pytest.approx(np.median(pooled[np.triu_indices(2 * N, 1)]), rel=1e-5)
    k = np.exp(-(pooled**2) / (2 * sigma**2)) - np.eye(2 * N)
    mmd2 = (k[:N, :N].sum() + k[N:, N:].sum()) / (N * (N - 1)) - 2 * k[:N, N:].mean()
    assert distances["MMD², signals"] == pytest.approx(mmd2, abs=1e-5)
    assert whole[1]["tests"]["signals"]["mmd2"] == pytest.approx(mmd2, abs=1e-5)


def test_limb_leads_that_break_einthoven_s_law_are_seen(numbers_of):
    broken = ecgs(2).copy()
    broken[:, 2] += 0.1
    found = numbers_of(ecgs(1), broken)["limb_leads_mv"]
    assert found["real"]["III"]["median"] < 1e-6
    assert found["synthetic"]["III"]["median"] == pytest.approx(0.1, rel=1e-4)


def test_crowded_records_unlike_real_ones_are_the_least_realistic(numbers_of):
    odd = ecgs(2).copy()
    odd[[3, 7, 11, 12]] = np.sin(np.arange(LENGTH) * 0.9) + 0.001 * ecgs(5)[:4]
    numbers = numbers_of(ecgs(1), odd)
    assert {record["name"] for record in numbers["least_realistic"]} == {f"record {i}" for i in (3, 7, 11, 12)}
    assert max(record["witness"] for record in numbers["least_realistic"]) < -0.1


def test_copies_of_real_records_are_found(numbers_of):
    nearest = numbers_of(ecgs(1), ecgs(1)[::-1].copy())["nearest_real_dtw_mv"]
    assert nearest["synthetic"]["mean"] == 0
    assert nearest["real"]["min"] > 0
    assert nearest["synthetic_closer_than_any_two_real"] == N
    assert numbers_of(ecgs(1), ecgs(3))["nearest_real_dtw_mv"]["synthetic"]["min"] > 0


def test_halves_of_one_set_are_compared_with_themselves(whole, numbers_of):
    assert whole[1]["halves"] == {"splits": 10, "records": N // 2, "compared_with": N // 2}
    for entry in whole[1]["distances"].values():
        assert len(entry["real_half_to_real_half"]) == len(entry["real_half_to_synthetic"]) == 10
        pairs = zip(entry["real_half_to_synthetic"], entry["real_half_to_real_half"], strict=True)
        assert entry["splits_farther"] == sum(a > b for a, b in pairs)
    few = numbers_of(ecgs(1)[:3], ecgs(2)[:3])
    assert few["halves"]["records"] == 0
    assert few["tests"]["signals"]["method"] == "exact"
    assert _report.verdict(few).startswith("Nothing can be said")


def test_the_seed_decides_all_that_is_random(numbers_of):
    first, again, other = (numbers_of(ecgs(1), ecgs(3), seed=seed) for seed in (5, 5, 6))
    assert first["tests"] == again["tests"]
    assert first["distances"] == again["distances"]
    assert first["distances"] != other["distances"]


def test_backends_agree(numbers_of):
    found = {name: numbers_of(ecgs(1, 6), ecgs(2, 6), backend=name) for name in ("numpy", "numba")}
    for name, entry in found["numpy"]["distances"].items():
        assert entry["value"] == pytest.approx(found["numba"]["distances"][name]["value"], rel=1e-3, abs=1e-5)
    assert found["numba"]["settings"]["backend"] == "numba"


# --- several sets side by side --------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    """Write arrays as .npy files of the names given; return their paths."""

    def save(**arrays):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return [str(tmp_path / f"{name}.npy") for name in arrays]

    return save


@pytest.fixture
def table_of(write, tmp_path, unseen):
    """Evaluate several sets of arrays beside real ones; return the numbers of the report."""

    def run(real, **sets):
        paths = write(truth=real, **sets)
        options = {"lead_order": ORDER, "fs": FS, "n_resamples": 99, "quiet": True, "out": tmp_path / "out"}
        report = evaluate(paths[0], paths[1:], **options)
        return json.loads((report.parent / "report.json").read_text())

    return run


def rows_of(numbers):
    return {row["name"]: row for kind in ("distances", "records") for row in numbers[kind]}


def test_what_is_nearest_to_the_last_column_is_marked_in_every_row(table_of):
    numbers = table_of(ecgs(1), good=ecgs(3), large=ecgs(2, size=1.5), fast=ecgs(4, bpm=110.0))
    assert list(numbers["sets"]) == ["good", "large", "fast"]
    rows = rows_of(numbers)
    assert rows["PSD distance (dB)"]["nearest"] == ["good"]
    assert rows["MMD², spectra"]["nearest"] == ["good"]
    assert rows["MMD², spectra: p"]["nearest"] == rows["records"]["nearest"] == []
    assert rows["MMD², spectra: p"]["values"]["large"] == 0.01
    assert rows["heart rate, median (beats/min)"]["values"]["fast"] == pytest.approx(110, abs=5)
    assert rows["heart rate, median (beats/min)"]["real"] == pytest.approx(70, abs=5)
    assert rows["heart rate, median (beats/min)"]["nearest"] != ["fast"]
    heights = rows["peak to peak of lead II, median (mV)"]
    assert heights["values"]["large"] / heights["real"] == pytest.approx(1.5, rel=0.05)
    for name, entry in numbers["sets"]["good"]["distances"].items():
        row = rows[_report.with_unit(name, entry["unit"])]
        assert row["values"]["good"] == np.median(entry["real_half_to_synthetic"])
        assert row["real"] == np.median(entry["real_half_to_real_half"])
        off = {label: abs(value - row["real"]) for label, value in row["values"].items()}
        assert row["nearest"] == [label for label, value in off.items() if value == min(off.values())]
        for other in ("large", "fast"):
            assert (
                numbers["sets"][other]["distances"][name]["real_half_to_real_half"] == entry["real_half_to_real_half"]
            )


def test_copies_and_averages_and_nothing_are_not_marked_beside_real_records(table_of):
    real = ecgs(1, 40)
    average = real.mean(axis=0) + 0.02 * ecgs(5, 40)
    numbers = table_of(real, good=ecgs(3, 40), average=average, copies=real[::-1], flat=0.01 * ecgs(6, 40))
    rows = rows_of(numbers)
    energy, dtw = rows["energy distance (mV)"], rows["DTW to the nearest real record (mV)"]
    assert min(energy["values"], key=energy["values"].get) != "good"
    assert energy["nearest"] == dtw["nearest"] == ["good"]
    assert dtw["values"]["copies"] == 0
    assert "as good as real, varies less, or copies real records" in _side_by_side.terminal(numbers)


def test_sets_that_are_far_off_differ_by_mmd(table_of):
    rows = rows_of(table_of(ecgs(1), good=ecgs(3), far=ecgs(2, size=3.0), farther=ecgs(2, size=8.0)))
    values = rows["MMD², signals"]["values"]
    assert values["farther"] > 1.2 * values["far"] > 1.2 * values["good"]


def test_a_column_is_the_same_whatever_stands_beside_it(table_of):
    good, other, huge, many = ecgs(3), ecgs(4, bpm=110.0), 50 * ecgs(2), ecgs(5, 30)
    first, *more = (
        table_of(ecgs(1), **sets)
        for sets in (
            {"good": good, "other": other},
            {"huge": huge, "good": good},
            {"many": many, "other": other, "good": good, "huge": huge},
        )
    )
    for numbers in more:
        for row, again in zip(first["distances"], numbers["distances"], strict=True):
            assert row["values"]["good"] == again["values"]["good"]
            assert row["real"] == again["real"]


def test_what_makes_the_halves_a_worse_yardstick_is_said(table_of, tmp_path):
    notes = table_of(ecgs(1), good=ecgs(3), few=ecgs(2, 7))["notes"]
    assert "few has only 7 records, so every distance is from 7 records of each set." in notes
    assert not [line for line in table_of(ecgs(1), good=ecgs(3), few=ecgs(2, 8))["notes"] if "has only" in line]
    np.savez(tmp_path / "two.npz", x=ecgs(1), fs=FS, patients=np.arange(N) // 2)
    sets = [str(tmp_path / f"{name}.npy") for name in ("good", "few")]
    report = evaluate(tmp_path / "two.npz", sets, lead_order=ORDER, n_resamples=9, out=tmp_path / "out", quiet=True)
    notes = json.loads((report.parent / "report.json").read_text())["notes"]
    assert any(line.startswith("REAL has several records a patient (16 of 8)") for line in notes)


def test_distances_of_sets_of_any_size_are_of_equally_many_records(table_of, monkeypatch):
    sizes = set()
    taken = _features.Features.take
    monkeypatch.setattr(_features.Features, "take", lambda side, rows: sizes.add(len(rows)) or taken(side, rows))
    numbers = table_of(ecgs(1), good=ecgs(3), small=ecgs(2, 10))
    assert sizes == {8}
    assert numbers["halves"] == {"splits": 10, "records": 8, "compared_with": 8}
    assert rows_of(numbers)["records"] == {
        "name": "records", "values": {"good": 16, "small": 10}, "real": 16, "nearest": [],
    }  # fmt: skip
    few = table_of(ecgs(1), good=ecgs(3), few=ecgs(2, 5))
    assert few["halves"]["compared_with"] == 5
    assert all(
        len(of_set["distances"]["PSD distance"]["real_half_to_synthetic"]) == 10 for of_set in few["sets"].values()
    )


def test_few_real_records_have_no_yardstick(table_of):
    numbers = table_of(ecgs(1)[:3], good=ecgs(3), large=ecgs(2, size=1.5))
    rows = rows_of(numbers)
    assert rows["energy distance (mV)"]["real"] is None
    for label in ("good", "large"):
        value = numbers["sets"][label]["distances"]["energy distance"]["value"]
        assert rows["energy distance (mV)"]["values"][label] == value
    assert not any(row["nearest"] for row in numbers["distances"])
    assert "no yardstick" in _side_by_side.terminal(numbers)


def test_the_real_records_are_worked_on_once(table_of, monkeypatch):
    calls = []

    def counted(function):
        return lambda *args: calls.append(function.__name__) or function(*args)

    for module, name in ((_features, "rhythms"), (_compare, "halves")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    table_of(ecgs(1), good=ecgs(3), large=ecgs(2, size=1.5))
    assert calls == ["rhythms"] * 3 + ["halves"] * _compare.N_SPLITS


def test_one_set_in_a_list_is_one_set(files, tmp_path, unseen):
    real, synthetic = files(ecgs(1), ecgs(3))
    found = []
    for given in (synthetic, [synthetic]):
        report = evaluate(real, given, lead_order=ORDER, n_resamples=9, out=tmp_path / "out", quiet=True)
        found.append(json.loads((report.parent / "report.json").read_text()))
    assert found[0]["distances"] == found[1]["distances"]
    assert found[0]["title"] == "16 synthetic ECGs beside 16 real ones"


def test_sets_are_called_by_the_shortest_names_that_differ(tmp_path):
    def names(*paths):
        return [options.label for options in _input.synthetic_options([str(tmp_path / p) for p in paths], None, None)]

    assert names("run/gan.npz", "vae.npy") == ["gan", "vae"]
    assert names("run/both.npz:a", "both.npz:b", "vae.npz:x") == ["both:a", "both:b", "vae:x"]
    assert names("one/data/x.npz", "two/data/x.npz") == ["one/data/x.npz", "two/data/x.npz"]
    assert names("real.npz", "vae.npz:x") == ["real.npz", "vae.npz"]  # real is what REAL is called
    (tmp_path / "ptb-xl-1.0.3").mkdir()
    assert names("ptb-xl-1.0.3", "gan.npz") == ["ptb-xl-1.0.3", "gan"]
    (only,) = _input.synthetic_options(["gan.npz"], "NORM", None)
    assert (only.name, only.label, only.filter) == ("SYNTHETIC", "synthetic", "NORM")


def test_table_and_page_of_several_sets(write, tmp_path, capsys):
    out = tmp_path / "out"
    paths = write(truth=ecgs(1), good=ecgs(3), large=ecgs(2, size=1.5))
    arguments = ["evaluate", *paths, "--lead-order", ORDER, "--n-resamples", "99", "--quiet", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "real: 16 records of truth.npy; good: 16 records of good.npy; large: 16 records of large.npy; 3 leads"
    )
    assert re.search(r"^8 v 8 records +good +large +real halves$", printed, re.MULTILINE)
    assert re.search(r"^PSD distance \(dB\) +\S+\*  +\d\S+  +\S+$", printed, re.MULTILINE)
    assert re.search(r"^large: The two samples can be told apart", printed, re.MULTILINE)
    folders = {path.name for path in out.iterdir()}
    assert folders == {"report.html", "report.json", "yardstick.png", "1-good", "2-large"}
    html = (out / "report.html").read_text(encoding="utf-8")
    pictures = [out / "yardstick.png"]
    for folder in ("1-good", "2-large"):
        assert {path.name for path in (out / folder).iterdir()} == PICTURES - {"yardstick.png"}
        pictures += (out / folder).iterdir()
    embedded = {base64.b64decode(found) for found in re.findall(r'src="data:image/png;base64,([^"]+)"', html)}
    assert embedded == {path.read_bytes() for path in pictures}
    assert html.count("<details><summary><strong>") == 2
    assert not re.search(r"<script|<link|<iframe|@import|url\(", html)


@pytest.mark.parametrize(
    ("sets", "options", "message"),
    [
        (("good", "good"), [], "SYNTHETIC good.npy and SYNTHETIC good.npy are the same records"),
        (("good", "truth"), [], "REAL and SYNTHETIC truth are the same records; to compare two halves"),
        (("good", "other"), ["--split", "half"], "--split half takes one set of records"),
        (("good", "other"), ["--synthetic-filter", "NORM"], "--synthetic-filter is for one SYNTHETIC, got 2"),
        (("good", "other"), ["--patients-synthetic", "p.npy"], "--patients-synthetic is for one SYNTHETIC, got 2"),
        (("good", "short"), [], "REAL has 600 samples per record and SYNTHETIC short has 599"),
        (("good", "two"), [], "REAL has 3 leads and SYNTHETIC two has 2"),
        (("good", "absent"), [], "SYNTHETIC absent: there is no file or folder"),
        (("truth",), ["--split", "half", "--patients-synthetic", "p.npy"], "--split half takes --real-filter"),
    ],
)  # fmt: skip
def test_errors_name_the_set(write, tmp_path, capsys, sets, options, message):
    write(truth=ecgs(1), good=ecgs(2), other=ecgs(3), short=ecgs(3)[..., 1:], two=ecgs(3)[:, 1:])
    paths = [str(tmp_path / f"{name}.npy") for name in ("truth", *sets)]
    assert main(["evaluate", *paths, "--quiet", "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


# --- what cannot be computed ----------------------------------------------------------------------------------------


def test_flat_records_are_said_and_not_crashed_on(numbers_of):
    numbers = numbers_of(ecgs(1), np.zeros_like(ecgs(1)))
    assert numbers["rhythm"]["synthetic"]["heart rate"] == {"low": None, "median": None, "high": None, "n": 0}
    assert numbers["distances"]["heart rate, KS"]["reason"] == "fewer than 2 records have 3 R peaks"
    assert numbers["tests"]["signals"]["pvalue"] <= 0.05
    both = numbers_of(np.zeros((4, 3, LENGTH)), np.zeros((5, 3, LENGTH)))
    assert both["distances"]["PSD distance"]["value"] is None
    assert "no power" in both["distances"]["PSD distance"]["reason"]


def test_flat_and_short_records_are_drawn(files, tmp_path):
    for shape in ((4, 3, LENGTH), (2, 20), (3, 2, 3)):
        report = evaluate(*files(np.zeros(shape), np.zeros(shape)), out=tmp_path / "out", quiet=True)
        assert report.read_text().count("data:image/png") >= 5


def test_leads_without_names_have_no_rhythm(numbers_of):
    numbers = numbers_of(ecgs(1), ecgs(3), lead_order=None)
    assert numbers["leads"] == ["lead 0", "lead 1", "lead 2"]
    assert numbers["rhythm"] == {"pvalues": {}, "real": None, "synthetic": None}
    assert any("--lead-order" in note for note in numbers["notes"])
    assert numbers["distances"]["heart rate, KS"]["reason"] == "no lead II to find R peaks in"


def test_windows_around_beats_have_no_heart_rate(table_of, numbers_of, monkeypatch):
    monkeypatch.setattr(_features, "rhythms", None)  # R peaks are not even looked for
    windows = [ecgs(seed)[..., 100:180] for seed in (1, 2, 3)]
    reason = "records of 0.8 s are too short for heart rates"
    numbers = numbers_of(*windows[:2])
    assert numbers["rhythm"] == {"pvalues": {}, "real": None, "synthetic": None}
    assert numbers["distances"]["heart rate, KS"] | {"reason": reason} == numbers["distances"]["heart rate, KS"]
    assert numbers["nearest_real_dtw_mv"]["lead"] == "II"
    several = table_of(windows[0], one=windows[1], two=windows[2])
    assert not [name for name in rows_of(several) if "heart rate" in name or "SDNN" in name or "RMSSD" in name]
    assert rows_of(several)["peak to peak of lead II, median (mV)"]["real"] > 0
    assert f"Not computed: heart rate, KS; SDNN, KS; RMSSD, KS ({reason})." in _side_by_side.terminal(several)


def test_what_could_not_be_computed_names_the_sets(table_of):
    printed = _side_by_side.terminal(table_of(ecgs(1), good=ecgs(3), flat=np.zeros_like(ecgs(1))))
    assert (
        "Not computed for flat: heart rate, KS; SDNN, KS; RMSSD, KS (fewer than 2 records have 3 R peaks)." in printed
    )


# --- reading ---------------------------------------------------------------------------------------------------------


def load(real, synthetic, **options):
    settings = {"split": None, "fs": None, "leads": None, "lead_order": None, "records": None, **options}
    sides = (_input.Options("REAL", "real", str(real)), _input.synthetic_options([str(synthetic)], None, None))
    (pair,) = _input.load(*sides, rng=np.random.default_rng(0), advance=lambda *_: None, **settings)
    return pair


def test_leads_may_be_the_last_axis_and_one_lead_needs_none(files):
    for order in (None, ORDER):
        pair = load(*files(ecgs(1), np.moveaxis(ecgs(2), 1, 2)), lead_order=order)
        np.testing.assert_array_equal(pair.synthetic.signals, ecgs(2))
    np.testing.assert_array_equal(load(*files(ecgs(1)[:, 1], ecgs(2)[:, 1])).real.signals, ecgs(1)[:, 1:2])
    square = ecgs(2)[..., :3]
    with pytest.raises(_input.EvaluateError, match="does not tell leads from samples"):
        load(*files(square, 2 * square), lead_order=ORDER)


def test_one_array_of_several_in_npz(tmp_path):
    np.savez(tmp_path / "both.npz", a=ecgs(1), b=ecgs(2))
    np.savez(tmp_path / "one.npz", ecgs(2))
    pair = load(f"{tmp_path}/both.npz:b", tmp_path / "one.npz", lead_order=ORDER)
    np.testing.assert_array_equal(pair.real.signals, pair.synthetic.signals)
    with pytest.raises(_input.EvaluateError, match=r"holds a, b; name one as .*both.npz:NAME"):
        load(tmp_path / "both.npz", tmp_path / "one.npz")


@pytest.mark.parametrize("writer", ["Signals", "generate", "plain"])
def test_files_say_which_leads_and_rate_they_have(tmp_path, writer):
    two, path = ecgs(1)[:, 1:2].swapaxes(1, 2), tmp_path / "x.npz"
    if writer == "plain":
        np.savez(path, fs=250, x=two, leads=["ii"])
    else:
        data, generate = pytest.importorskip("ecgkern.torch.data"), pytest.importorskip("ecgkern.generate._files")
        facts = {"fs": 250.0, "leads": ["II"], "classes": ["NORM"], "condition": None}
        if writer == "generate":
            with generate.WRITERS["npz"](path, facts, N, LENGTH) as records:
                records(0, two)
        else:
            peaks = data.RPeaks(np.empty(0), np.zeros(N + 1, np.int64))
            patients, labels, parts = np.arange(N).astype(str), np.zeros(N, np.int64), np.full(N, "")
            data.Signals(two, peaks, patients, labels, 250.0, ("II",), ("NORM",), parts, "test").save(path)
    pair = load(path, shutil.copy(path, tmp_path / "copy.npz"))
    assert (pair.fs, pair.leads, pair.notes) == (250, ("II",), [])
    np.testing.assert_array_equal(pair.real.signals, ecgs(1)[:, 1:2])
    if writer == "plain":
        assert pair.real.patients is None
    else:
        assert np.unique(pair.real.patients).size == N


def test_what_files_say_must_fit(tmp_path):
    two = ecgs(1)[:, 1]

    def saved(name, **arrays):
        np.savez(tmp_path / f"{name}.npz", x=two, **arrays)
        return tmp_path / f"{name}.npz"

    slow, fast, silent = saved("slow", fs=100), saved("fast", fs=500.0), saved("silent")
    with pytest.raises(_input.EvaluateError, match="REAL says 100 Hz and SYNTHETIC says 500 Hz"):
        load(slow, fast)
    with pytest.raises(_input.EvaluateError, match="--fs says 250 Hz and REAL says 100 Hz"):
        load(slow, silent, fs=250)
    assert load(silent, fast).fs == load(silent, saved("one", fs=np.array([500]))).fs == 500
    with pytest.raises(_input.EvaluateError, match="REAL has II and SYNTHETIC has V5"):
        load(saved("two", leads=["II"]), saved("five", leads=["V5"]))
    for arrays, message in (
        ({"fs": -1.0}, "fs must be one rate above 0 Hz, got -1"),
        ({"fs": [100, 100]}, "fs must be one rate above 0 Hz"),
        ({"facts": json.dumps({"fs": "100 Hz"})}, "fs must be one rate above 0 Hz, got 100 Hz"),
        ({"leads": ["I", "II"]}, r"leads must name those of x, each once; got \('I', 'II'\) for shape \(16, 600\)"),
        ({"patients": [1, 2]}, "patients must have one label for each of 16 records"),
        ({"facts": "{"}, "is no .npy or .npz file of numbers"),
        ({"facts": "[1]"}, "is no .npy or .npz file of numbers"),
    ):
        with pytest.raises(_input.EvaluateError, match=f"SYNTHETIC: .*wrong.npz.*{message}"):
            load(silent, saved("wrong", **arrays))


def test_what_a_file_says_is_of_the_array_that_is_named_too(tmp_path):
    path = tmp_path / "both.npz"
    np.savez(path, a=ecgs(1), b=ecgs(2, 10), fs=250, leads=["I", "II", "III"], patients=np.arange(N))
    pair = load(f"{path}:a", f"{path}:b")
    assert (pair.fs, pair.leads, pair.synthetic.patients) == (250, ("I", "II", "III"), None)
    assert pair.real.patients.tolist() == list(range(N))


def test_the_leads_of_one_lead_beside_twelve_are_not_guessed(files):
    limbs = ecgs(1)
    twelve = to_12_leads(np.concatenate([limbs[:, :2], np.repeat(limbs[:, :1], 6, axis=1)], axis=1), axis=1)
    with pytest.raises(_input.EvaluateError, match="does not say which leads it has"):
        load(*files(twelve, limbs[:, 1]), leads="II")


def test_the_leads_of_ptbxl_are_known_by_einthoven_s_law(files):
    limbs = ecgs(1)
    twelve = to_12_leads(np.concatenate([limbs[:, :2], np.repeat(limbs[:, :1], 6, axis=1)], axis=1), axis=1)
    assert load(*files(twelve, 2 * twelve)).leads == LEADS_12
    order = [LEADS_12.index(lead) for lead in SSSD_ORDER.split(",")]
    pair = load(*files(twelve[:, order], 2 * twelve[:, order]))
    assert pair.leads[0] == "lead 0"
    named = load(*files(twelve[:, order], 2 * twelve[:, order]), lead_order=SSSD_ORDER, leads="aVF,II")
    assert named.leads == ("aVF", "II")
    np.testing.assert_array_equal(named.real.signals, twelve[:, [LEADS_12.index("aVF"), 1]])


def test_at_most_so_many_records_are_used(files):
    pair = load(*files(ecgs(1), ecgs(2)), records=5, lead_order=ORDER)
    assert pair.real.names == ("record 0", "record 4", "record 8", "record 11", "record 15")
    np.testing.assert_array_equal(pair.real.signals[1], ecgs(1)[4])
    assert "REAL: 5 of 16 records are used" in pair.notes[0]


@pytest.mark.parametrize("form", ["npy", "csv", "plain csv"])
def test_patients_are_read_and_kept_together(form, files, tmp_path, unseen):
    labels = np.repeat(np.arange(8), 2)
    path = tmp_path / f"patients.{form[-3:]}"
    if form == "npy":
        np.save(path, labels)
    elif form == "csv":
        path.write_text("age,patient_id\n" + "".join(f"50,{label}\n" for label in labels))
    else:
        path.write_text("".join(f"{label}\n" for label in labels))
    report = evaluate(
        *files(ecgs(1), ecgs(3)), lead_order=ORDER, patients_real=str(path), out=tmp_path / "out", quiet=True,
        n_resamples=99,
    )  # fmt: skip
    numbers = json.loads((report.parent / "report.json").read_text())
    assert numbers["real"]["patients"] == 8
    assert numbers["tests"]["signals"]["permuted"] == "patients"


def test_patients_on_both_sides_are_warned_of(files, tmp_path, unseen):
    np.save(tmp_path / "patients.npy", np.arange(N))
    options = dict.fromkeys(("patients_real", "patients_synthetic"), str(tmp_path / "patients.npy"))
    report = evaluate(*files(ecgs(1), ecgs(3)), lead_order=ORDER, out=tmp_path / "out", quiet=True, **options)
    notes = json.loads((report.parent / "report.json").read_text())["notes"]
    assert any(note.startswith("synthetic: 16 labels are in both") for note in notes)


def test_halves_have_equally_many_whole_patients():
    rng = np.random.default_rng(0)
    for _ in range(50):
        patients = rng.integers(0, rng.integers(2, 30), 40)
        if np.unique(patients).size < 2:
            continue
        first, second = _input.halves(patients, 40, rng)
        assert sorted([*first, *second]) == list(range(40))
        assert not set(patients[first]) & set(patients[second])
        assert np.unique(patients[first]).size - np.unique(patients[second]).size in (0, 1)
    assert [len(half) for half in _input.halves(None, 9, rng)] in ([4, 5], [5, 4])


def test_halves_of_patients_with_many_records_are_not_told_apart_too_often():
    """Halves of equally many records would be: the one with the large patients then has fewer of them."""
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(21), [20, *[1] * 20])
    values = rng.normal(size=(21, 2))[patients]
    told = 0
    for _ in range(400):
        first, second = _input.halves(patients, 40, rng)
        groups = {"groups_x": patients[first], "groups_y": patients[second]}
        p = stats.mmd_test(values[first], values[second], bandwidth=1.0, n_resamples=99, rng=rng, **groups).pvalue
        told += p <= 0.05
    assert 7 <= told <= 36  # 99.9 % of the binomial distribution


def test_same_number_of_whole_patients_is_drawn():
    patients = np.repeat([1, 2, 3, 4], 3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = np.bincount(patients[_compare._draw(patients, 12, 7, rng)], minlength=5)[1:]
        assert sorted(counts) == [0, 1, 3, 3]


# --- PTB-XL ----------------------------------------------------------------------------------------------------------


def test_halves_of_ptbxl_share_no_patient(ptbxl, tmp_path, unseen):
    report = evaluate(ptbxl, split="half", out=tmp_path, quiet=True, n_resamples=99)
    numbers = json.loads((report.parent / "report.json").read_text())
    assert numbers["real"]["records"] + numbers["synthetic"]["records"] == 10
    assert numbers["real"]["patients"] + numbers["synthetic"]["patients"] == 7
    assert numbers["sampling_rate_hz"] == 100
    assert numbers["leads"] == list(LEADS_12)
    assert numbers["title"] == "Two halves of 10 real ECGs"
    assert all(test["permuted"] == "patients" for test in numbers["tests"].values())


def test_records_of_ptbxl_are_chosen_by_class_and_statement(ptbxl):
    def side(name, codes):
        return _input.Options(name, name.lower(), ptbxl, codes)

    def names(codes):
        (pair,) = _input.load(
            side("REAL", codes), [side("SYNTHETIC", "NORM,IMI")], split=None, fs=None, leads="II", lead_order=None,
            records=None, rng=np.random.default_rng(0), advance=lambda *_: None,
        )  # fmt: skip
        return [int(name.removeprefix("ecg_id ")) for name in pair.real.names]

    assert names("MI") == names("IMI") == [7, 8, 9]
    assert names("MI, SR") == [7, 8, 9, 10]
    with pytest.raises(_input.EvaluateError, match="REAL: the filter 'XYZ' is no superclass"):
        names("XYZ")
    with pytest.raises(_input.EvaluateError, match=r"no record of .* is left"):
        names("HYP")


def test_a_file_beside_ptbxl_must_have_its_leads(ptbxl, tmp_path):
    np.save(tmp_path / "eight.npy", np.zeros((3, 8, 1000)))
    with pytest.raises(_input.EvaluateError, match=r"eight.npy does not say which leads it has"):
        load(ptbxl, tmp_path / "eight.npy")
    order = "I,II,V1,V2,V3,V4,V5,V6"
    with pytest.raises(_input.EvaluateError, match=f"--leads {order}"):
        load(ptbxl, tmp_path / "eight.npy", lead_order=order)
    pair = load(ptbxl, tmp_path / "eight.npy", lead_order=order, leads=order)
    assert pair.real.signals.shape == (10, 8, 1000)


# --- errors ----------------------------------------------------------------------------------------------------------


def with_nan():
    signals = ecgs(2).copy()
    signals[4, 1, 17] = np.nan
    return signals


@pytest.mark.parametrize(
    ("synthetic", "options", "message"),
    [
        (np.zeros((4, 5, 3, 2)), [], r"SYNTHETIC: synthetic.npy must have shape .*got \(4, 5, 3, 2\)"),
        (np.zeros((4, 50, 50)), ["--lead-order", ORDER], r"does not tell leads from samples"),
        (np.zeros((4, 500, 500 + 1)), [], r"neither 500 nor 501 can be the number of leads"),
        (with_nan, [], r"holds nan in record 4, lead 1, sample 17 .*1 record with such values"),
        (np.zeros((4, 2, LENGTH)), [], r"REAL has 3 leads and SYNTHETIC has 2"),
        (np.zeros((4, 3, LENGTH - 1)), [], r"REAL has 600 samples per record and SYNTHETIC has 599"),
        (np.zeros((1, 3, LENGTH)), [], r"SYNTHETIC must have at least 2 records, got 1"),
        (np.array(["a", "b"]), [], r"must hold numbers"),
        (np.array([{}, {}], dtype=object), [], r"is no \.npy or \.npz file of numbers"),
        (ecgs(2), ["--synthetic-filter", "NORM"], r"a filter needs a folder of PTB-XL"),
        (ecgs(2), ["--lead-order", "I,II"], r"has 3 leads, but --lead-order names 2"),
        (ecgs(2), ["--lead-order", "I,I"], r"--lead-order must be names of leads, each once"),
        (ecgs(2), ["--leads", "II"], r"--leads needs names"),
        (ecgs(2), ["--leads", "V1", "--lead-order", ORDER], r"REAL has no lead V1; it has I, II, III"),
        (ecgs(2), ["--records", "1"], r"--records must be at least 2, got 1"),
        (ecgs(2), ["--n-resamples", "0"], r"--n-resamples must be at least 1"),
        (ecgs(2), ["--seed", "-1"], r"--seed must be at least 0"),
        (ecgs(2), ["--fs", "0"], r"--fs must be above 0 Hz"),
        (ecgs(2), ["--patients-real", "none.npy"], r"--patients-real: there is no file none.npy"),
        (ecgs(2), ["--out", ""], r"the output folder is an empty path"),
        (ecgs(2), ["--split", "half"], r"--split half takes one set of records"),
    ],
)  # fmt: skip
def test_errors_are_one_line_that_says_what_is_wrong(files, tmp_path, capsys, synthetic, options, message):
    array = synthetic() if callable(synthetic) else synthetic
    out = [] if "--out" in options else ["--out", str(tmp_path / "out")]
    assert main(["evaluate", *files(ecgs(1), array), "--quiet", *out, *options]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"ecgkern evaluate: .*{message}.*\n", error)
    assert not (tmp_path / "out").exists()


def test_errors_of_paths(files, tmp_path, capsys, monkeypatch):
    real, synthetic = files(ecgs(1), ecgs(2))
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "taken").write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "2-few").write_text("")
    monkeypatch.setattr(_features, "measure", None)  # nothing is worked on before an error
    np.save(tmp_path / "patients.npy", np.arange(3))
    few = str(tmp_path / "few.npy")
    np.save(few, ecgs(1)[:3])
    one = str(tmp_path / "one.npz")
    np.savez(one, x=ecgs(1), fs=FS)
    for arguments, message in (
        ([real, str(tmp_path / "absent.npy")], "SYNTHETIC: there is no file or folder"),
        ([real, str(tmp_path / "text.npy")], "is no .npy or .npz file of numbers"),
        ([real, str(tmp_path)], "holds ptbxl_database.csv"),
        ([real, ""], "SYNTHETIC is an empty path"),
        ([real, synthetic, ""], "SYNTHETIC is an empty path"),
        ([real, synthetic, few, "--out", str(tmp_path / "out")], "2-few (--out): File exists"),
        ([few, few, "--split", "half"], "needs 2 records in each half, got "),
        ([real, real], "--split half"),
        ([one, f"{one}:x"], "REAL and SYNTHETIC are the same records"),
        ([one, few, "--fs", "250"], "--fs says 250 Hz and REAL says 100 Hz; leave out --fs"),
        ([real, synthetic, "--out", str(tmp_path / "taken" / "x")], "cannot write to the folder"),
        ([real, synthetic, "--patients-real", str(tmp_path / "patients.npy")], "one label for each of 16 records"),
    ):
        assert main(["evaluate", *arguments, "--quiet"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("library", ["scipy.signal", "neurokit2", "matplotlib.figure"])
def test_missing_libraries_are_named_with_what_installs_them(files, capsys, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["evaluate", *files(ecgs(1), ecgs(2)), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"evaluate needs {library}" in error
    assert 'pip install "ecgkern[all]"' in error


def test_ctrl_c_leaves_every_file_whole(files, tmp_path, unseen, monkeypatch, capsys):
    arguments = ["evaluate", *files(ecgs(1), ecgs(2)), "--lead-order", ORDER, "--n-resamples", "9", "--quiet"]
    out = tmp_path / "out"
    arguments += ["--out", str(out)]
    assert main(arguments) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert before.keys() == {"report.html", "report.json"}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for module, name in ((_compare, "compare"), (os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupt)
            assert main([*arguments, "--seed", "9"]) == 130
        assert "interrupted" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


# --- the outputs -----------------------------------------------------------------------------------------------------


def test_page_holds_its_pictures_and_needs_no_other_file(whole):
    report, numbers = whole
    html = report.read_text(encoding="utf-8")
    assert {path.name for path in report.parent.iterdir()} == PICTURES | {"report.html", "report.json"}
    embedded = {base64.b64decode(found) for found in re.findall(r'src="data:image/png;base64,([^"]+)"', html)}
    assert embedded == {(report.parent / name).read_bytes() for name in PICTURES}
    assert not re.search(r"<script|<link|<iframe|@import|url\(", html)
    assert _report.verdict(numbers) in html
    for name in numbers["distances"]:
        assert name in html


def test_table_and_json_on_the_terminal(files, tmp_path, unseen, capsys):
    arguments = ["evaluate", *files(ecgs(1), ecgs(3)), "--lead-order", ORDER, "--n-resamples", "99", "--quiet"]
    arguments += ["--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    numbers = json.loads((tmp_path / "out" / "report.json").read_text())
    assert printed.startswith(
        "real: 16 records of real.npy; synthetic: 16 records of synthetic.npy; 3 leads, 600 samples at 100 Hz"
    )
    assert "No sampling rate was given: 100 Hz is assumed" in printed
    for name in numbers["distances"]:
        assert re.search(rf"^{re.escape(name)} ", printed, re.MULTILINE)
    assert _report.verdict(numbers) in printed
    assert max(map(len, printed.split("\n\n")[1].splitlines())) <= 120
    assert main([*arguments, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["distances"] == numbers["distances"]


def test_importing_the_command_loads_nothing_heavy():
    heavy = ("matplotlib", "neurokit2", "pandas", "wfdb", "numba", "scipy", "tqdm", "ecgkern.stats")
    code = f"import sys, ecgkern.evaluate; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_options_of_the_command_are_those_of_the_function():
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    given = {action.dest: action.default for action in parser._actions if action.dest != "help"}
    taken = {name: parameter.default for name, parameter in inspect.signature(evaluate).parameters.items()}
    assert given.keys() == taken.keys()
    assert {name: value for name, value in given.items() if name not in ("real", "synthetic")} == {
        name: value for name, value in taken.items() if name not in ("real", "synthetic")
    }


# --- the example ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beats", [False, True])
def test_records_of_neurokit2_have_the_heart_rates_of_the_reference(tmp_path, monkeypatch, capsys, beats):
    rr = np.array([50.0, 60.0])  # samples: 120 and 100 beats/min
    peaks = [np.arange(0, LENGTH, step) for step in rr]
    np.savez(
        tmp_path / "reference.npz",
        r_peaks=np.concatenate(peaks),
        row_offsets=np.cumsum([0, *map(len, peaks)]),
        facts=json.dumps({"fs": FS, "leads": ["II"]}),
    )
    arguments = ["--n", "4", "--reference", str(tmp_path / "reference.npz"), "--out", str(tmp_path / "nk.npz")]
    script = Path(__file__).parents[1] / "examples" / "neurokit2_ecgs.py"
    monkeypatch.setattr(sys, "argv", [str(script), *arguments, *["--beats"] * beats])
    runpy.run_path(str(script), run_name="__main__")
    assert "lead II, heart rates 100 to 120 beats/min" in capsys.readouterr().out
    pair = load(tmp_path / "nk.npz", shutil.copy(tmp_path / "nk.npz", tmp_path / "copy.npz"))
    assert (pair.fs, pair.leads) == (FS, ("II",))
    assert pair.real.signals.shape == (4, 1, 80 if beats else 1000)
    if beats:
        assert (np.abs(pair.real.signals[:, 0].argmax(axis=1) - 30) <= 1).all()
    else:
        rates = _features.rhythms(pair.real.signals[:, 0], FS, lambda *_: None)[:, 0]
        assert ((rates > 95) & (rates < 125)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "--n must be at least 1, got 0"),
        (["--reference", "absent.npz"], "--reference absent.npz is no file of records"),
        (["--reference", "x.npz"], "--reference x.npz is no file of records"),
    ],
)
def test_errors_of_the_example(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=ecgs(1))
    script = Path(__file__).parents[1] / "examples" / "neurokit2_ecgs.py"
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(script), run_name="__main__")
    assert message in capsys.readouterr().err


# --- parts -----------------------------------------------------------------------------------------------------------


def test_a_set_far_off_does_not_squeeze_the_other_marks():
    metric = _compare.Metric("PSD distance", "dB", "", lambda x, y: 0.0)
    near = _compare.Measured(metric, 1.0, np.array([1.0, 1.5]), np.array([1.0, 2.0]))
    wild = _compare.Measured(metric, 1.0, np.array([900.0, 950.0]), np.array([1.0, 2.0]))
    assert _pictures._most_shown([near, wild]) == _pictures._most_shown([wild, near]) == 12
    assert _pictures._most_shown([near]) >= 2
    assert _pictures._most_shown([wild]) >= 950


def test_octaves_hold_every_frequency_once():
    frequencies = np.arange(1, 129) * 100 / 256
    bands = _features.octaves(frequencies)
    assert [int(band.sum()) for band in bands] == [1, 1, 2, 4, 8, 16, 32, 64]
    assert np.stack(bands).sum(axis=0).tolist() == [1] * 128


def test_band_powers_are_the_variance_of_a_sine():
    sine = 2.0 * np.sin(2 * np.pi * 10 * np.arange(1024) / FS)
    frequencies, spectra = _features.spectra_of(sine[None, None], FS)
    powers = 10 ** _features.band_powers(frequencies, spectra)
    assert powers.sum() == pytest.approx(2.0, rel=0.02)
    assert powers.max() > 0.99 * powers.sum()


def test_heart_rate_variability_of_given_intervals():
    rate, sdnn, rmssd = _features._rhythm(np.array([800.0, 820.0, 780.0]))
    assert rate == pytest.approx(75)
    assert sdnn == pytest.approx(20)
    assert rmssd == pytest.approx(np.sqrt((20**2 + 40**2) / 2))
    assert np.isnan(_features._rhythm(np.array([800.0]))).all()


def test_share_rejected_is_that_of_benjamini_and_hochberg():
    rng = np.random.default_rng(0)
    for power in (1, 4, 30):
        p = rng.uniform(size=200) ** power
        expected = (scipy_stats.false_discovery_control(p) <= 0.05).mean()
        assert _compare.share_rejected(p, adjusted=True) == expected
        assert _compare.share_rejected(p, adjusted=False) == (p <= 0.05).mean()


# --- real recordings -------------------------------------------------------------------------------------------------


def real_data(*parts):
    folder = os.environ.get("ECGKERN_DATA")
    if not folder:
        pytest.skip("ECGKERN_DATA is not set")
    return os.path.join(folder, *parts)


@pytest.mark.realdata
def test_halves_of_real_recordings_are_not_told_apart(tmp_path, unseen):
    report = evaluate(real_data("ptb-xl"), split="half", records=60, n_resamples=199, out=tmp_path, quiet=True)
    numbers = json.loads((report.parent / "report.json").read_text())
    assert numbers["real"]["records"] + numbers["synthetic"]["records"] == 120
    assert min(test["pvalue"] for test in numbers["tests"].values()) > 0.025
    assert numbers["limb_leads_mv"]["synthetic"]["III"]["high"] < 0.002
    assert 50 < numbers["rhythm"]["real"]["heart rate"]["median"] < 110


@pytest.mark.realdata
def test_real_records_are_nearer_than_generated_ones_side_by_side(tmp_path, unseen):
    """SSSD-ECG, and the real records that it was to be like, beside other real ones."""
    files = [real_data("sssd-ecg", f"samples_{kind}_22.npy") for kind in ("real", "synthetic")]
    options = {"lead_order": SSSD_ORDER, "leads": "II", "records": 60, "n_resamples": 199, "quiet": True}
    report = evaluate(real_data("ptb-xl"), files, out=tmp_path, **options)
    rows = rows_of(json.loads((report.parent / "report.json").read_text()))
    values = rows["MMD², spectra"]["values"]
    assert values["samples_real_22"] < values["samples_synthetic_22"]
    assert rows["SDNN, KS"]["nearest"] == ["samples_real_22"]


@pytest.mark.realdata
def test_generated_records_beside_recorded_ones(tmp_path, unseen):
    files = [real_data("sssd-ecg", f"samples_{kind}_22.npy") for kind in ("real", "synthetic")]
    report = evaluate(*files, lead_order=SSSD_ORDER, n_resamples=199, out=tmp_path, quiet=True)
    numbers = json.loads((report.parent / "report.json").read_text())
    assert max(test["pvalue"] for test in numbers["tests"].values()) < 0.05
    assert numbers["distances"]["PSD distance"]["splits_farther"] >= 9
    assert numbers["limb_leads_mv"]["synthetic"]["aVF"]["high"] < 0.001  # derived by the generator, not generated
