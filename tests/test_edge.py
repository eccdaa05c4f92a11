"""``ecgkern export`` and ``python -m ecgkern.edge``: the same records without PyTorch."""

import argparse
import json
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from test_generate import FS, Toy  # noqa: E402

from ecgkern import export as package  # noqa: E402
from ecgkern.edge import OnnxModel  # noqa: E402
from ecgkern.edge.__main__ import main  # noqa: E402
from ecgkern.export import export, to_onnx  # noqa: E402
from ecgkern.generate._sampler import Sampler  # noqa: E402
from ecgkern.torch import models  # noqa: E402

MODELS = {
    "sine": (models.SineVAE, {"length": 50}, ()),
    "seed": (models.LSTMVAE, {"length": 12, "preset": "seed", "hidden": 8, "latent": 4}, ()),
    "classes": (
        models.LSTMVAE,
        {"length": 40, "hidden": 8, "latent": 4, "patch": 20, "n_leads": 2, "n_classes": 2},
        ("N", "V"),
    ),
    "gan": (models.GAN, {"length": 50, "width": 4, "n_classes": 2}, ("N", "V")),
    "gan by an lstm": (models.GAN, {"length": 40, "generator": "bilstm", "hidden": 8, "width": 4}, ()),
}
LEADS = ("I", "II")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a model once; return its two files, safetensors and ONNX."""
    folder = tmp_path_factory.mktemp("exported")

    def files(name):
        model, config, classes = MODELS[name]
        before, after = folder / f"{name}.safetensors", folder / f"{name}.onnx"
        if not after.exists():
            torch.manual_seed(1)
            leads = LEADS[: config.get("n_leads", 1)]
            models.save(model(**config), before, fs=FS, leads=list(leads), classes=list(classes))
            assert export(before, after) == after
        return before, after

    return files


@pytest.mark.parametrize("name", MODELS)
def test_onnx_makes_the_records_of_pytorch_for_any_batch(exported, name):
    before, after = exported(name)
    condition = "V" if MODELS[name][2] else None
    sampler, model = Sampler.load(before, seed=7, condition=condition), OnnxModel(after, threads=1)
    for n in (1, 2, 5, 40):
        records = model.sample(n, seed=7, condition=condition)
        assert records.dtype == np.float32
        np.testing.assert_allclose(records, sampler(range(n)), atol=1e-5)
    assert len({record.tobytes() for record in records}) == 40


def test_the_class_changes_the_records(exported):
    model = OnnxModel(exported("classes")[1])
    assert np.abs(model.sample(3, condition="N") - model.sample(3, condition="V")).max() > 1e-4
    for condition, message in ((None, "one of N, V"), ("S", "one of N, V, got S")):
        with pytest.raises(ValueError, match=message):
            model.sample(1, condition=condition)


def test_one_file_tells_all_there_is_to_know(exported):
    before, path = exported("classes")
    assert [p.name for p in path.parent.glob("classes.onnx*")] == ["classes.onnx"]
    model = OnnxModel(path)
    assert (model.fs, model.leads, model.classes, model.length) == (FS, LEADS, ("N", "V"), 40)
    assert (model.model, model.latent_shape) == ("LSTMVAE", (2, 4))
    assert model.codes == Sampler.load(before, condition="N").kinds
    assert {kind for kind, _ in model.codes} == {"normal", "uniform"}
    raw = path.read_bytes()
    assert os.getcwd().encode() not in raw  # where it was traced is nobody's business
    assert b"site-packages" not in raw
    props = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(props["leads"]) == list(LEADS)
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_noise_is_an_input_and_zero_noise_gives_the_mean(exported):
    before, after = exported("seed")
    model, sampler = OnnxModel(after), Sampler.load(before)
    z, noise = sampler.codes(range(3))
    quiet = model.decode((z, np.zeros_like(noise)))
    expected = sampler.model.decode(torch.from_numpy(z), noise=torch.zeros(noise.shape)).detach().numpy()
    np.testing.assert_allclose(quiet, expected, atol=1e-5)
    assert np.abs(model.decode((z, noise)) - quiet).max() > 1e-3
    with pytest.raises(ValueError, match="codes must have the shapes"):
        model.decode((z,))


_WITHOUT = """
import runpy, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "scipy", "onnx", "onnxscript", "matplotlib", "pandas"):
            raise ImportError(f"{name} is hidden")

sys.meta_path.insert(0, Hidden())
try:
    runpy.run_module("ecgkern.edge", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(end.code)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "scipy", "matplotlib", "pandas", "onnx"}))
"""


def test_the_command_runs_where_numpy_and_onnxruntime_are_all_there_is(exported, tmp_path):
    before, after = exported("seed")
    out = tmp_path / "x.npy"
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT, str(after), "--n", "3", "--seed", "2", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.splitlines()[-2:] == ["0", "[]"], run.stderr
    assert "3 synthetic records by LSTMVAE, 12 samples at 100 Hz of I" in run.stdout
    np.testing.assert_allclose(np.load(out), Sampler.load(before, seed=2)(range(3)), atol=1e-5)


def test_bench_prints_sizes_and_times(exported, capsys):
    assert main([str(exported("sine")[1]), "--bench"]) == 0
    rows = dict(line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines()[1:])
    rows = {name.strip(): value for name, value in rows.items()}
    assert set(rows) >= {"loading", "model file", "batch of 1, one thread", "batch of 5, one thread"}
    assert "median" in rows["batch of 5, one thread"]
    assert any(name.startswith("onnxruntime ") and value.endswith("MiB") for name, value in rows.items())


def test_what_is_no_model_of_ours_is_an_error(exported, tmp_path, capsys):
    foreign = tmp_path / "foreign.onnx"
    helper = onnx.helper
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab"]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", value[:1], value[1:])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), foreign)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported("sine")[1].read_bytes()[:500])
    good = str(exported("sine")[1])
    for arguments, message in (
        ([str(foreign)], "does not tell its model"),
        ([str(broken)], "is no ONNX model that can be run here"),
        ([str(tmp_path / "none.onnx")], "there is no file"),
        ([good, "--n", "0"], "n must be at least 1, got 0"),
        ([good, "--seed", "-1"], "seed must be at least 0, got -1"),
        ([good, "--threads", "0"], "--threads must be at least 1"),
        ([good, "--condition", "N"], "has no classes"),
        ([good, "--out", str(tmp_path / "none" / "x.npy")], "No such file"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


# --- the command that writes them ------------------------------------------------------------------------------------


def command(*arguments):
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    return package.run(parser.parse_args([str(argument) for argument in arguments]))


def test_safetensors_come_back_the_same(exported, tmp_path, capsys):
    before, _ = exported("seed")
    out = tmp_path / "weights"
    assert command(before, "--to", "safetensors", "--out", out) == 0
    assert "KiB" in capsys.readouterr().out
    one, two = models.load(before), models.load(out)
    assert one.facts == two.facts
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


class _FixedBatch(Toy):
    @torch.no_grad()
    def sample(self, n, *, condition=None, generator=None):
        z = torch.randn(n, 3, generator=generator)
        return self.gains[0] * z.reshape(len(z), 3, 1)  # len makes the size a constant of the trace


def test_what_does_not_come_out_the_same_is_not_written(tmp_path, monkeypatch, capsys):
    facts = {"fs": FS, "leads": ["II"]}
    with pytest.raises(ValueError, match=r"_FixedBatch can be exported for one size of batch only.*tensor\.shape"):
        to_onnx(_FixedBatch(), facts)
    monkeypatch.setattr(package, "TOLERANCE", -1.0)
    path, out = tmp_path / "m.safetensors", tmp_path / "m.onnx"
    models.save(models.SineVAE(length=20), path, **facts)
    out.write_text("before")
    assert command(path, "--out", out) == 2
    assert "ONNX Runtime makes other records than PyTorch of SineVAE" in capsys.readouterr().err
    assert out.read_text() == "before"


def test_errors_of_export_name_the_option(exported, tmp_path, capsys):
    torch.save({"a": torch.ones(1)}, tmp_path / "pickle.pt")
    good = exported("sine")[0]
    for arguments, message in (
        ((good, "--out", tmp_path / "m.pt"), "unknown ending"),
        ((good, "--out", tmp_path / "none" / "m.onnx"), "there is no folder"),
        ((tmp_path / "none", "--out", tmp_path / "m.onnx"), "there is no model"),
        ((tmp_path / "pickle.pt", "--out", tmp_path / "m.onnx"), "pickle"),
    ):
        assert command(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
