"""``ecgkern generate``: a small model whose records are ECGs with known beats, written and read back."""

import argparse
import csv
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wfdb = pytest.importorskip("wfdb")
pytest.importorskip("neurokit2")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("safetensors")

from ecgkern import generate as package  # noqa: E402
from ecgkern.data import LEADS_8, LEADS_12  # noqa: E402
from ecgkern.generate import _look, _pictures, _sampler, generate  # noqa: E402
from ecgkern.generate._sampler import GenerateError, Sampler, interpolate  # noqa: E402
from ecgkern.torch import models  # noqa: E402
from ecgkern.torch.data import Signals  # noqa: E402

FS, LENGTH = 100, 500


class Toy(torch.nn.Module):
    """ECGs of regular beats: the three latent numbers are rate, phase and size."""

    def __init__(self, length=LENGTH, n_leads=1, n_classes=0):
        super().__init__()
        self.config = {"length": length, "n_leads": n_leads, "n_classes": n_classes}
        # Amplitude in mV, place in the beat, width in beats: P, Q, R, S, T.
        waves = [[0.1, 0.3, 0.025], [-0.1, 0.475, 0.01], [1, 0.5, 0.012], [-0.2, 0.525, 0.01], [0.3, 0.75, 0.05]]
        self.waves = torch.nn.Parameter(torch.tensor(waves))
        self.gains = torch.nn.Parameter(torch.linspace(1, 0.5, n_leads))

    def decode(self, z, *, noise=None):
        seconds = torch.arange(self.config["length"]) / FS
        beat = torch.remainder(seconds / (0.85 + 0.1 * torch.tanh(z[:, :1])) + z[:, 1:2], 1)[..., None]
        amplitude, place, width = self.waves.unbind(1)
        ecg = (amplitude * torch.exp(-(((beat - place) / width) ** 2) / 2)).sum(-1) * (1 + 0.2 * torch.tanh(z[:, 2:3]))
        return ecg[..., None] * self.gains + 0.01 * noise

    @torch.no_grad()
    def sample(self, n, *, condition=None, generator=None):
        z = torch.randn(n, 3, generator=generator)
        noise = torch.randn((n, self.config["length"], self.config["n_leads"]), generator=generator)
        scale = 1 if condition is None else 1 + condition[:, None, None]
        return scale * self.decode(z, noise=noise)


@pytest.fixture
def toy_file(tmp_path, monkeypatch):
    """Write a Toy; return the path of the model."""
    monkeypatch.setitem(models._CLASSES, "Toy", Toy)

    def write(classes=(), **config):
        path = tmp_path / "model.safetensors"
        leads = LEADS_8 if config.get("n_leads") == 8 else ("II",)
        models.save(Toy(n_classes=len(classes), **config), path, fs=FS, leads=list(leads), classes=list(classes))
        return path

    return write


def command(*arguments):
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    return package.run(parser.parse_args([str(argument) for argument in arguments]))


# --- records by their numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        Toy(),
        models.SineVAE(length=60),
        models.LSTMVAE(length=60, hidden=8),
        models.LSTMVAE(length=60, hidden=8, preset="seed"),
    ],
    ids=lambda model: f"{type(model).__name__}{len(list(model.parameters()))}",
)
def test_a_record_is_the_same_in_any_batch_and_another_with_another_seed(model):
    facts = {"fs": FS, "leads": ["II"]}
    sampler = Sampler(model, facts, seed=3)
    together = sampler(range(5))
    assert together.dtype == np.float32
    assert together.shape == (5, sampler.length, 1)
    alone = np.concatenate([sampler([record]) for record in range(5)])
    np.testing.assert_allclose(alone, together, atol=2e-6)
    assert np.abs(Sampler(model, facts, seed=4)(range(5)) - together).max() > 1e-3
    assert len({record.tobytes() for record in together}) == 5


def test_numbers_drawn_from_a_generator_are_those_of_a_standard_normal_model():
    seen = Sampler(Toy(), {"fs": FS, "leads": ["II"]})
    assert seen.kinds == (("normal", (3,)), ("normal", (LENGTH, 1)))
    z, noise = seen.codes(range(200))
    assert abs(z.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.02
    uniform = Sampler(models.LSTMVAE(length=60, hidden=8), {"fs": FS, "leads": ["II"]})
    assert [kind for kind, _ in uniform.kinds] == ["normal", "uniform"]
    drawn = uniform.codes(range(200))[1]
    assert 0 <= drawn.min() < 0.05
    assert 0.95 < drawn.max() < 1


def test_the_condition_reaches_the_model():
    facts = {"fs": FS, "leads": ["II"], "classes": ["N", "V"]}
    one, two = (Sampler(Toy(n_classes=2), facts, condition=name)([0]) for name in "NV")
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)
    for condition, message in ((None, "one of N, V"), ("S", "one of N, V, got S")):
        with pytest.raises(ValueError, match=message):
            Sampler(Toy(), facts, condition=condition)
    with pytest.raises(ValueError, match="has no classes"):
        Sampler(Toy(), {"fs": FS, "leads": ["II"]}, condition="N")


class _Other(Toy):
    def sample(self, n, *, condition=None, generator=None):
        return torch.randn_like(torch.zeros(n, LENGTH, 1))


def test_models_that_cannot_be_used_are_refused():
    with pytest.raises(GenerateError, match="draws by randn_like"):
        Sampler(_Other(), {"fs": FS, "leads": ["II"]})
    with pytest.raises(GenerateError, match="does not say its fs"):
        Sampler(Toy(), {"leads": ["II"]})
    with pytest.raises(GenerateError, match="has 1 lead, but its file names I, II"):
        Sampler(Toy(), {"fs": FS, "leads": ["I", "II"]})


def test_what_is_left_of_a_draw_after_an_error_is_the_real_one():
    with pytest.raises(RuntimeError), _sampler.replacing_draws(lambda *_: torch.zeros(2)):
        raise RuntimeError
    assert torch.randn(2).abs().sum() > 0


# --- files -----------------------------------------------------------------------------------------------------------


def test_npz_holds_the_records_and_what_made_them(toy_file, tmp_path):
    model, out = toy_file(classes=["N", "V"]), tmp_path / "deep" / "o.npz"
    assert generate(model, out, n=7, batch=3, seed=5, condition="V", look=0, quiet=True) == out
    with np.load(out) as file:
        facts = json.loads(str(file["facts"]))
        assert file["x"].dtype == np.float32
        assert file["leads"].tolist() == ["II"]
        assert float(file["fs"]) == FS
        expected = Sampler.load(model, seed=5, condition="V")(range(7))
        np.testing.assert_allclose(file["x"], expected, atol=1e-6)
    assert (facts["seed"], facts["condition"], facts["n"]) == (5, "V", 7)
    assert "synthetic" in facts["source"]
    signals = Signals.load(out)
    assert signals.labels.tolist() == [1] * 7
    assert signals.classes == ("N", "V")
    assert len(signals.r_peaks.values) == 0


def test_wfdb_reads_the_records_back_with_all_twelve_leads(toy_file, tmp_path):
    out = tmp_path / "records"
    generate(toy_file(n_leads=8), out, n=3, batch=2, look=0, quiet=True)
    assert (out / "RECORDS").read_text().split() == [f"synthetic_{i:06d}" for i in range(3)]
    eight = Sampler.load(tmp_path / "model.safetensors")(range(3))
    for i in range(3):
        record = wfdb.rdrecord(str(out / f"synthetic_{i:06d}"))
        assert tuple(record.sig_name) == LEADS_12
        assert set(record.units) == {"mV"}
        assert set(record.fmt) == {"16"}
        assert record.fs == FS
        assert "synthetic" in record.comments[0]
        assert f"record {i}" in record.comments[-1]
        lead = dict(zip(record.sig_name, record.p_signal.T, strict=True))
        np.testing.assert_allclose(lead["III"], lead["II"] - lead["I"], atol=1.6e-3)
        np.testing.assert_allclose(lead["V6"], eight[i, :, 7], atol=5.1e-4)  # half a step of 1 µV


def test_a_wfdb_record_of_huge_values_is_not_cut(toy_file, tmp_path):
    model = Toy()
    with torch.no_grad():
        model.gains *= 200
    models.save(model, toy_file(), fs=FS, leads=["II"])
    generate(tmp_path / "model.safetensors", tmp_path / "r", n=1, look=0, quiet=True)
    signal = wfdb.rdrecord(str(tmp_path / "r" / "synthetic_000000")).p_signal
    expected = Sampler.load(tmp_path / "model.safetensors")([0])[0]
    assert expected.max() > 100
    np.testing.assert_allclose(signal, expected, atol=0.01)


def test_csv_has_a_line_for_each_sample(toy_file, tmp_path):
    out = tmp_path / "o.csv"
    generate(toy_file(), out, n=2, look=0, quiet=True)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["record", "time_s", "II_mV"]
    assert len(rows) == 2 * LENGTH
    assert (rows[0]["record"], rows[-1]["record"]) == ("synthetic_000000", "synthetic_000001")
    assert [float(row["time_s"]) for row in rows[:3]] == [0, 0.01, 0.02]
    written = np.array([float(row["II_mV"]) for row in rows]).reshape(2, LENGTH)
    expected = Sampler.load(tmp_path / "model.safetensors")(range(2))[:, :, 0]
    np.testing.assert_allclose(written, expected, atol=2e-6)


@pytest.mark.parametrize("name", ["o.npz", "o.csv", "records"])
def test_an_interruption_leaves_what_was_there(toy_file, tmp_path, monkeypatch, name, capsys):
    model, draw = toy_file(), Sampler.__call__
    if name != "records":
        (tmp_path / name).write_text("before")
    before = sorted(path.name for path in tmp_path.iterdir())

    def interrupted(self, records):
        if records[0] >= 4:
            raise KeyboardInterrupt
        return draw(self, records)

    monkeypatch.setattr(Sampler, "__call__", interrupted)
    assert command(model, "--out", tmp_path / name, "--n", 9, "--batch", 2, "--look", 0, "--quiet") == 130
    assert "no unfinished output" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert name == "records" or (tmp_path / name).read_text() == "before"


def test_a_model_that_has_come_apart_is_an_error(toy_file, tmp_path, capsys):
    model = Toy()
    with torch.no_grad():
        model.gains.fill_(torch.nan)
    models.save(model, toy_file(), fs=FS, leads=["II"])
    assert command(tmp_path / "model.safetensors", "--out", tmp_path / "o.npz", "--quiet") == 2
    assert "no numbers, in record 0" in capsys.readouterr().err
    assert not (tmp_path / "o.npz").exists()


def test_errors_name_the_option(toy_file, tmp_path, capsys):
    model = toy_file()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    torch.save({"a": torch.ones(1)}, tmp_path / "pickle.safetensors")
    slow = tmp_path / "slow.npz"
    Signals.sines(20, rng=0).save(slow)
    for arguments, message in (
        ((model, "--n", 0), "--n must be at least 1, got 0"),
        ((model, "--batch", 0), "--batch must be at least 1"),
        ((model, "--seed", -1), "--seed must be at least 0"),
        ((model, "--out", tmp_path / "o.mat"), "--out must be a .npz file, a .csv file or a folder"),
        ((model, "--out", tmp_path / "full", "--look", 0), "not empty"),
        ((model, "--condition", "N"), "has no classes"),
        ((model, "--device", "nonsense"), "--device nonsense cannot be used"),
        ((model, "--interpolate", 2, 2), "two different records, got 2 and 2"),
        ((model, "--reference", model), "is no file of signals"),
        ((tmp_path / "none.safetensors",), "there is no model"),
        ((tmp_path / "pickle.safetensors",), "pickle"),
    ):
        assert command(*arguments, "--quiet") == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


# --- what is said of them ---------------------------------------------------------------------------------------------


def test_the_table_and_pictures_of_a_run_with_a_reference(toy_file, tmp_path, capsys):
    model = toy_file()
    generate(model, tmp_path / "real.npz", n=12, seed=1, look=0, quiet=True)
    out = tmp_path / "o.npz"
    compared = ("--reference", tmp_path / "real.npz", "--interpolate", 0, 1, "--look", 10)
    status = command(model, "--n", 12, "--out", out, *compared, "--quiet")
    printed = capsys.readouterr().out
    assert status == 0
    rows = {line[:34].strip(): line[34:].split() for line in printed.splitlines()}
    assert rows["records looked at"] == ["10", "10"]
    assert sum(int(rows[label][0]) for label in _look.QUALITIES) == 10
    assert rows["with two R peaks"] == ["10", "10"]
    assert 700 < float(rows["RR, median (5 to 95 %), ms"][0]) < 1000
    assert 0 <= float(rows["RR, Kolmogorov-Smirnov"][0]) < 0.7
    for name in ("o-interpolation.png", "o-r-peaks.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert name in printed


def test_quality_labels_are_those_of_neurokit_and_a_flat_line_is_unacceptable():
    ecg = Sampler(Toy(length=1000), {"fs": FS, "leads": ["II"]})([0])[0, :, 0]
    noise = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    labels = _look.quality_labels(np.stack([ecg, noise, 0 * ecg]), FS)
    assert labels[0] in _look.QUALITIES[:2]
    assert labels[1] != "Excellent"
    assert labels[2] == "Unacceptable"


def test_comparison_of_known_rhythms():
    def rhythm(rr, first):
        return _look.Look(("Excellent",) * 3, [np.arange(first, 500, rr, dtype=float)] * 3, 500, FS)

    shifted = _look.compare(rhythm(90, 40), rhythm(80, 40))
    assert shifted.rr_ks == 1
    assert shifted.rr_wasserstein == pytest.approx(100)
    assert shifted.position_wasserstein > 0
    same = _look.compare(rhythm(80, 40), rhythm(80, 40))
    assert (same.rr_ks, same.rr_wasserstein, same.position_ks, same.position_wasserstein) == (0, 0, 0, 0)
    alone = _look.compare(rhythm(80, 40))
    assert "reference" not in str(alone)
    nothing = _look.Look(("Unacceptable",), [np.empty(0)], 500, FS)
    assert "nan" not in str(_look.compare(nothing, nothing))
    assert _pictures.r_peaks(_look.compare(nothing, nothing)) is not None


def test_single_beats_are_not_looked_at(toy_file, tmp_path, capsys):
    generate(toy_file(length=80), tmp_path / "o.npz", n=3, quiet=True)
    assert "looked at" not in capsys.readouterr().out


def test_interpolation_begins_and_ends_with_the_records_and_moves_in_between():
    sampler = Sampler(Toy(), {"fs": FS, "leads": ["II"]})
    z, named = sampler.latent([0, 1])
    assert z.shape == (2, 3)
    noise = named["noise"][:1]
    between = interpolate(sampler, 0, 1, steps=5)
    assert between.shape == (5, LENGTH, 1)
    ends = sampler.model.decode(z, noise=noise.expand(2, -1, -1)).detach().numpy()
    np.testing.assert_allclose(between[[0, -1]], ends, atol=1e-3)
    steps = np.abs(np.diff(between, axis=0)).max(axis=(1, 2))
    assert steps.min() > 1e-3
    assert not hasattr(sampler.model.decode, "assert_called")  # the real one is back
    with pytest.raises(GenerateError, match="has no decoder"):
        interpolate(Sampler(_NoDecoder(), {"fs": FS, "leads": ["II"]}), 0, 1)


class _NoDecoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def sample(self, n, *, condition=None, generator=None):
        return self.scale.detach() * torch.randn(n, 40, 1, generator=generator)
