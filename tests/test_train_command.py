"""``ecgkern train``: the sine of the blog, made-up PTB-XL and MIT-BIH, resuming, and errors in one line."""

import argparse
import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wfdb = pytest.importorskip("wfdb")
pytest.importorskip("safetensors")
pytest.importorskip("neurokit2")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

from ecgkern.data import LEADS_12  # noqa: E402
from ecgkern.torch import models  # noqa: E402
from ecgkern.torch.data import Signals, SignalsError  # noqa: E402
from ecgkern.torch.training import Options  # noqa: E402
from ecgkern.train import _resolve, add_arguments, run  # noqa: E402
from ecgkern.train import models as command_models  # noqa: E402
from ecgkern.waveform import PHYSIO, gaussian_waves  # noqa: E402

FILES = {"MODEL_CARD.md", "checkpoints", "config.json", "curve.jsonl", "curve.png", "data", "metrics.json"}
FILES |= {"model.safetensors"}
SMALL = ["--set", "hidden=8", "--set", "latent=2", "--epochs", "2", "--batch-size", "8", "--threads", "1", "--quiet"]
STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH
"""
EXAMPLES = Path(__file__).parents[1] / "examples"
DAMAGED, FLAT, INVALID = 3, 11, 9  # ecg_ids


def command(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


def lines(out):
    found = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found]


def write(folder, name, signal, leads, fs):
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=signal,
        fmt=["16"] * len(leads),
        adc_gain=[1000.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
    )


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    """Records 1 to 40 of 20 patients: every fourth MI, the others NORM; folds 1 to 10 in turn, patient by patient."""
    root = tmp_path_factory.mktemp("data") / "ptb-xl"
    rng = np.random.default_rng(0)
    rows = ["ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr"]
    for ecg_id in range(1, 41):
        rr = rng.uniform(70, 100)
        lead = gaussian_waves([np.arange(40, 980, rr)], fs=100.0, length=1000, waves=PHYSIO)[0]
        signal = np.outer(lead, np.linspace(0.5, 1.5, 12)) + rng.normal(0, 0.01, (1000, 12))
        if ecg_id == FLAT:
            signal[:, 1] = 0.1
        if ecg_id == INVALID:
            signal[500, 1] = np.nan
        write(root / "records100", f"{ecg_id:05d}_lr", signal, LEADS_12, 100)
        patient = (ecg_id - 1) // 2
        codes = {"IMI" if patient % 4 == 3 else "NORM": 100.0}
        rows.append(f'{ecg_id},{patient}.0,"{codes}",{patient % 10 + 1},records100/{ecg_id:05d}_lr,missing/{ecg_id}')
    dat = root / "records100" / f"{DAMAGED:05d}_lr.dat"
    dat.write_bytes(dat.read_bytes()[:1000])
    (root / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    (root / "scp_statements.csv").write_text(STATEMENTS)
    return root


@pytest.fixture(scope="module")
def mitbih(tmp_path_factory):
    """Six records of a minute at 360 Hz, normal beats of 1 mV and wide ones of 2 mV; one without MLII."""
    root = tmp_path_factory.mktemp("data") / "mitdb"
    rng = np.random.default_rng(0)
    for name in ("100", "101", "106", "119", "200", "999"):
        places = np.arange(500, 21000, 301)
        symbols = np.array(["N", "V", "L", "A"])[np.arange(len(places)) % 4]
        t = np.arange(21600)[:, None] - places
        height, width = np.where(symbols == "V", 2.0, 1.0), np.where(symbols == "V", 16.0, 5.0)
        signal = (height * np.exp(-0.5 * (t / width) ** 2)).sum(axis=1) + rng.normal(0, 0.002, 21600)
        leads = ["V5", "V1"] if name == "999" else ["MLII", "V1"]
        write(root, name, np.stack([signal, -0.5 * signal], axis=1), leads, 360)
        wfdb.wrann(name, "atr", places, symbol=list(symbols), write_dir=str(root))
    return root


# --- the runs ---------------------------------------------------------------------------------------------------------


def test_the_sine_of_the_blog(tmp_path, capsys):
    assert command("sine-vae", "--out", tmp_path / "run", "--quiet") == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert "share_with_exact_frequency" in capsys.readouterr().out

    model = models.load(tmp_path / "run" / "model.safetensors")
    samples = model.sample(2000, generator=torch.Generator().manual_seed(7)).numpy()[:, :, 0]
    amplitude = np.abs(np.fft.rfft(samples, axis=1)) * 2 / 100
    assert (amplitude.argmax(axis=1) == 2).mean() > 0.999  # two cycles in a record
    # The prior has its middle inside the circle of phases, where any continuous decoder has to pass through 0.
    largest = amplitude.max(axis=1)
    assert np.median(largest) == pytest.approx(1, abs=0.05)
    assert (np.abs(largest - 1) <= 0.1).mean() > 0.75
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert told["amplitude_median"] == pytest.approx(np.median(largest), abs=0.02)
    assert "Not for clinical use" in (tmp_path / "run" / "MODEL_CARD.md").read_text()


def test_beats_of_ptbxl_from_a_file_of_settings_then_resumed_without_data(tmp_path, ptbxl):
    copy = tmp_path / "data"
    shutil.copytree(ptbxl, copy / "ptb-xl")
    (tmp_path / "beats.toml").write_text(
        'windows = "beats"\nwaveform = "physio"\nepochs = 3\nbatch_size = 8\nthreads = 1\n'
        "[model]\nhidden = 8\npatch = 10\n"
    )
    settings = ["--config", tmp_path / "beats.toml", "--set", "latent=2", "--epochs", "2", "--quiet"]
    assert command("lstm-vae", "--data", copy, "--out", tmp_path / "run", *settings) == 0
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["options"]["epochs"] == 2  # the command line counts more than the file
    assert told["model"]["config"] | {"hidden": 8, "patch": 10, "latent": 2, "length": 80} == told["model"]["config"]
    parts = [Signals.load(tmp_path / "run" / "data" / f"{name}.npz") for name in ("train", "validation", "test")]
    assert {int(float(owner)) % 10 for owner in parts[2].patients} == {9}  # fold 10
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text()
    for text in (
        "CC BY 4.0",
        "Not for clinical use",
        "1 unreadable",
        "1 with a constant lead",
        "1 with samples marked as invalid",
    ):
        assert text in card
    assert models.load(tmp_path / "run" / "model.safetensors").facts["fs"] == 100

    whole = lines(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "epoch-00002.pt").unlink()
    assert str(copy) not in card
    shutil.rmtree(copy)
    assert command("lstm-vae", "--out", tmp_path / "run", "--resume", "--quiet") == 0
    assert lines(tmp_path / "run") == whole


def test_classes_of_mitbih_become_conditions(tmp_path, mitbih):
    out = tmp_path / "run"
    assert command("lstm-vae", "--data", mitbih, "--dataset", "mit-bih", "--out", out, *SMALL, "--set", "patch=20") == 0
    model = models.load(out / "model.safetensors")
    assert model.config["n_classes"] == 2
    assert model.facts["classes"] == ["N", "V"]
    assert model.sample(3, condition=torch.tensor([0, 1, 0])).shape == (3, 80, 1)
    test = Signals.load(out / "data" / "test.npz")
    assert set(test.patients.tolist()) == {"100", "200"}  # of de Chazal's DS2
    assert "ODC-By 1.0" in (out / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("name", ["gan", "vae-gan"])
def test_adversarial_models(tmp_path, mitbih, name):
    out = tmp_path / "run"
    settings = ["--epochs", "2", "--set", "width=4", "--set", "latent=2", "--set", "patch=20", "--threads", "1"]
    assert command(name, "--data", mitbih, "--dataset", "mit-bih", "--out", out, *settings, "--quiet") == 0
    chosen = json.loads((out / "config.json").read_text())["options"]
    assert (chosen["average"], chosen["clip"]) == (0.998, 0.0)
    model = models.load(out / "model.safetensors")
    assert model.sample(3, condition=torch.tensor([0, 1, 0])).shape == (3, 80, 1)
    assert {"discriminator loss", "generator loss"} <= set(lines(out)[0]["train"])
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["mmd2_samples_against_test"] > metrics["mmd2_training_against_test"]
    assert ("test_r_amplitude_ratio" in metrics) == (name == "vae-gan")


def test_a_file_of_signals_is_data_too(tmp_path, mitbih, capsys):
    Signals.from_mitbih(mitbih, classes="N").save(tmp_path / "n.npz")
    settings = ["--data", tmp_path / "n.npz", *SMALL]
    assert command("lstm-vae", "--out", tmp_path / "run", *settings) == 0
    few = [*settings, "--at-most", "12"]
    assert command("lstm-vae", "--out", tmp_path / "few", *few) == 0
    parts = [Signals.load(tmp_path / "few" / "data" / f"{name}.npz") for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 12
    assert command("lstm-vae", "--out", tmp_path / "other", *settings, "--fs", "250") == 2
    assert "has 100 Hz, not 250; give --fs 100" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("train_*.toml")), ids=lambda path: path.stem)
def test_settings_of_the_examples_are_settings(path):
    model, _, windows = path.stem.removeprefix("train_").rpartition("_")
    model = model.replace("_", "-")
    chosen, table = _resolve(model, {}, path, {}, {})
    assert chosen["windows"] == windows
    options = {field.name for field in dataclasses.fields(Options)}
    Options(**{key: value for key, value in chosen.items() if key in options})
    command_models()[model](1000, **table)


# --- the data ---------------------------------------------------------------------------------------------------------


def test_records_of_ptbxl(ptbxl):
    signals = Signals.from_ptbxl(ptbxl, classes=["NORM", "MI"], leads=["V1", "II"])
    assert signals.x.shape == (37, 1000, 2)
    assert signals.left_out == {"unreadable": 1, "with a constant lead": 1, "with samples marked as invalid": 1}
    assert np.bincount(signals.labels).tolist() == [27, 10]
    assert set(signals.patients[signals.labels == 1].tolist()) == {f"{i}.0" for i in (3, 7, 11, 15, 19)}
    assert signals.parts[0] == "train"
    assert signals.parts[-1] == "test"
    for row, peaks in zip(signals.x[:, :, 1], signals.r_peaks.rows(), strict=True):
        assert len(peaks) >= 8
        assert (row[peaks.astype(int)] > 0.4).all()
    assert Signals.from_ptbxl(ptbxl, at_most=2).patients.tolist() == ["0.0", "18.0"]  # the first and the last


def test_beats_of_mitbih_are_resampled_around_their_peaks(mitbih):
    signals = Signals.from_mitbih(mitbih, classes=("V", "N"), leads=("V1", "MLII"), fs=100.0, before=0.31, after=0.5)
    assert signals.x.shape[1:] == (81, 2)
    assert (signals.x[:, :, 1].argmax(axis=1) == 31).all()
    heights = signals.x[:, 31, 1]
    np.testing.assert_allclose(heights[signals.labels == 0], 2.0, atol=0.02)
    # 14 ms wide: at 50 Hz, half the new rate, exp(-(2 pi 50 0.0139)**2 / 2) = 7e-5 of its spectrum is left to lose
    np.testing.assert_allclose(heights[signals.labels == 1], 1.0, atol=0.02)
    np.testing.assert_allclose(signals.x[:, :, 0], -0.5 * signals.x[:, :, 1], atol=2e-3)
    assert all(31.0 in row.tolist() for row in signals.r_peaks.rows())
    (reason,) = (text for text in signals.left_out if "999" in text)
    assert "no lead 'V1'" in reason or "no lead 'MLII'" in reason
    symbols = Signals.from_mitbih(mitbih, classes="L", by="symbol", fs=360.0)
    assert symbols.length == round(0.3 * 360) + round(0.5 * 360)
    assert (symbols.x[:, :, 0].argmax(axis=1) == 108).all()


@pytest.mark.realdata
@pytest.mark.skipif("ECGKERN_DATA" not in os.environ, reason="ECGKERN_DATA does not name recordings")
def test_real_recordings():
    records = Signals.from_ptbxl(at_most=60)
    split = records.split()
    assert sum(map(len, split)) == len(records) >= 55
    heights = records.beats().x[:, 30, 0]
    assert np.median(heights) > 0.4  # mV, lead II of healthy hearts
    beats = Signals.from_mitbih(at_most=500).split()
    assert all(set(part.labels.tolist()) == {0, 1} for part in beats)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_done_is_said_in_one_line(tmp_path, ptbxl, mitbih, capsys):
    (tmp_path / "wrong.toml").write_text("epoch = 3\n")
    (tmp_path / "no.toml").write_text("epochs == 3\n")
    (tmp_path / "file").write_text("")
    lstm = ["lstm-vae", "--out", tmp_path / "run"]
    cases = {
        "neither": [*lstm, "--data", tmp_path],
        "class 'HYP' is empty": [*lstm, "--data", ptbxl, "--classes", "HYP"],
        "'FOO' is not one of": [*lstm, "--data", ptbxl, "--classes", "FOO"],
        "leads: 'X9' is not one of I, II": [*lstm, "--data", ptbxl, "--leads", "X9"],
        "has no record at 500 Hz": [*lstm, "--data", ptbxl, "--fs", "500"],
        "fs must be 100 or 500 Hz": [*lstm, "--data", ptbxl, "--fs", "250"],
        "class 'F' is empty": [*lstm, "--data", mitbih, "--dataset", "mit-bih", "--classes", "N,F"],
        "no record of MIT-BIH can be used": [*lstm, "--data", mitbih, "--dataset", "mit-bih", "--leads", "II"],
        "at most the 360 Hz": [*lstm, "--data", mitbih, "--dataset", "mit-bih", "--fs", "500"],
        "windows must be beats": [*lstm, "--data", mitbih, "--dataset", "mit-bih", "--windows", "records"],
        "no setting 'epoch'": [*lstm, "--config", tmp_path / "wrong.toml"],
        "no TOML file": [*lstm, "--config", tmp_path / "no.toml"],
        "No such file": [*lstm, "--config", tmp_path / "absent.toml"],
        "epochs must be from 1": [*lstm, "--epochs", "0"],
        "--set must be KEY=VALUE": [*lstm, "--set", "latent"],
        "unexpected keyword argument 'depth'": ["sine-vae", "--out", tmp_path / "run", "--set", "depth=3"],
        "cannot write to the folder": ["sine-vae", "--out", tmp_path / "file"],
    }
    for message, arguments in cases.items():
        assert command(*arguments) == 2, message
        error = capsys.readouterr().err
        assert error.startswith("ecgkern train: "), error
        assert message in error, error
        assert "Traceback" not in error
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(SystemExit):
        command("perceptron", "--out", tmp_path / "run")
    assert "lstm-vae" in capsys.readouterr().err


def test_a_class_of_which_nothing_can_be_used_is_told(ptbxl, tmp_path):
    copy = tmp_path / "ptb-xl"
    shutil.copytree(ptbxl, copy)
    table = (copy / "ptbxl_database.csv").read_text().replace("IMI", "NORM")
    rows = [row.replace("NORM", "LVH") if row.startswith(f"{FLAT},") else row for row in table.splitlines()]
    (copy / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(SignalsError, match=r"class 'HYP' is empty: .*1 with a constant lead"):
        Signals.from_ptbxl(copy, classes=["NORM", "HYP"])


def test_a_finished_run_is_kept_and_a_stopped_one_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    small = ["--out", tmp_path, "--quiet", "--at-most", "300"]
    monkeypatch.setattr(models.SineVAE, "losses", _interrupting(models.SineVAE.losses, at=20))
    assert command("sine-vae", *small) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "model.safetensors").exists()
    monkeypatch.undo()
    assert command("sine-vae", *small) == 2
    assert "already holds a training: go on with --resume" in capsys.readouterr().err
    assert command("sine-vae", *small, "--resume", "--learning-rate", "0.5") == 2
    assert "learning_rate was 0.005, now 0.5" in capsys.readouterr().err
    assert command("sine-vae", "--out", tmp_path, "--quiet", "--resume") == 0
    resumed = lines(tmp_path)
    assert len(resumed) == 25
    assert command("sine-vae", "--out", tmp_path / "whole", *small[2:]) == 0
    assert lines(tmp_path / "whole") == resumed


def _interrupting(losses, at):
    calls = []

    def interrupt(*args, **more):
        calls.append(1)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)
        return losses(*args, **more)

    return interrupt
