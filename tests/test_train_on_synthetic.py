"""The example of training on synthetic beats, with made-up beats and models of which the outcome is known."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("pandas")
pytest.importorskip("tqdm")

from ecgkern.data import RPeaks  # noqa: E402
from ecgkern.torch import models  # noqa: E402
from ecgkern.torch.data import Signals  # noqa: E402

LENGTH, FS = 80, 100
WIDTHS = torch.tensor([2.0, 8.0])  # samples: of N and of V
CLASSIFIERS = ("linear", "convolutions")


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[1] / "examples" / "train_on_synthetic.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.STEPS, module.BATCH = 100, 16  # these classes are far apart
    return module


def beats(labels, noise):
    """Waves as wide as of their class, (n, length, 1)."""
    t = torch.arange(LENGTH) - 30
    return torch.exp(-0.5 * (t / WIDTHS[labels][:, None]) ** 2)[..., None] + 0.05 * noise


class Toy(torch.nn.Module):
    """Makes these beats, or those of the other class."""

    def __init__(self, swapped):
        super().__init__()
        self.config = {"swapped": swapped}
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    @torch.no_grad()
    def sample(self, n, *, condition=None, generator=None):
        labels = 1 - condition if self.config["swapped"] else condition
        return beats(labels, torch.randn(n, LENGTH, 1, generator=generator))


def signals(n, patient, seed, lookalikes=0):
    """n beats of each class; of V the last ones look like N."""
    labels = np.repeat([0, 1], n)
    shape = torch.from_numpy(np.where(np.arange(2 * n) < 2 * n - lookalikes, labels, 0))
    noise = torch.randn(2 * n, LENGTH, 1, generator=torch.Generator().manual_seed(100 + seed))
    return Signals(
        x=beats(shape, noise).numpy(),
        r_peaks=RPeaks.from_list([[30.0]] * (2 * n)),
        patients=np.full(2 * n, patient),
        labels=labels,
        fs=float(FS),
        leads=("II",),
        classes=("N", "V"),
        parts=np.full(2 * n, ""),
        source="made up",
    )


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """Write the folder of a run, with as many look-alikes in its test; return its path."""
    monkeypatch.setitem(models._CLASSES, "Toy", Toy)

    def write(name, *, swapped=False, lookalikes=0, seed=0, classes=("N", "V")):
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        for part, of_part in {
            "train": signals(50, "100", seed),
            "test": signals(40, "200", seed + 1, lookalikes),
        }.items():
            replace(of_part, classes=classes).save(folder / "data" / f"{part}.npz")
        models.save(Toy(swapped), folder / "model.safetensors", fs=FS, leads=["II"], classes=list(classes))
        return str(folder)

    return write


def test_classes_that_are_apart_are_told_apart_and_swapped_ones_are_mistaken(example, run_folder, tmp_path, capsys):
    good, swapped = run_folder("good"), run_folder("swapped", swapped=True)
    example.main([good, swapped, "--n", "60", "--seeds", "2", "--json", str(tmp_path / "numbers.json")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Tested on 80 real beats of other patients; V by patient: 200: 40 of 80"
    rows = {tuple(cells[:2]): cells[2:] for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in lines)}
    for classifier in CLASSIFIERS:
        right = ("real, 60 of each class", "real, all 100 beats", f"synthetic, {good}", f"real and synthetic, {good}")
        for trained_on in right:
            assert rows[classifier, trained_on] == ["1.000 ± 0.000"] * 5
        assert rows[classifier, f"synthetic, {swapped}"] == ["0.000 ± 0.000"] * 5

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["test"]["classes"] == {"N": 40, "V": 40}
    assert len(numbers["scores"]) == 2 * 2 * 6  # seeds, classifiers, training sets
    assert {row["AUROC"] for row in numbers["scores"] if row["trained on"] == f"synthetic, {swapped}"} == {0}
    # White noise of 0.05 mV on both: about sqrt(2) * 0.05 mV apart, the nearest of 50 somewhat less.
    assert all(0.04 < value < 0.071 for both in numbers["nearest"].values() for value in both.values())
    assert len(numbers["nearest"]) == 4


def test_one_in_four_that_cannot_be_found(example, run_folder, tmp_path, capsys):
    example.main([run_folder("run", lookalikes=10), "--n", "60", "--seeds", "1", "--json", str(tmp_path / "n.json")])
    for row in json.loads((tmp_path / "n.json").read_text())["scores"]:
        assert row["sensitivity V"] == 0.75
        assert row["positive predictivity V"] == 1
        assert row["balanced accuracy"] == 0.875
        assert row["F1 of V"] == pytest.approx(6 / 7)
        assert 0.75 < row["AUROC"] < 1  # the look-alikes are drawn among N by chance
    assert "0.750 ± 0.000" in capsys.readouterr().out


def test_distances_and_baselines(example):
    train = signals(20, "100", 0).x
    np.testing.assert_allclose(example.to_nearest(train[:5], train), 0, atol=1e-6)
    np.testing.assert_allclose(example.to_nearest(train[:1] + 0.01, train), 0.01, rtol=1e-3)
    assert example.to_nearest(train, train, rank=1)[0] > 0.04
    one, other = example.scaled(train, train[:3] + np.array([[[1]], [[-2]], [[0]]], np.float32))
    np.testing.assert_allclose(other, one[:3], atol=1e-5)
    np.testing.assert_allclose(one[0], example.scaled(3 * train, train)[0][0], atol=1e-5)


def test_what_does_not_fit_is_said_in_one_line(example, run_folder, tmp_path, capsys):
    run, other = run_folder("run"), run_folder("other", seed=5)
    three = run_folder("three", classes=("N", "V", "S"))
    for arguments, message in (
        ([run, other], f"{other} has other beats than {run}; train both on the same"),
        ([three], f"{three} has the classes N, V, S; train with two"),
        ([str(tmp_path / "none")], "No such file"),
    ):
        with pytest.raises(SystemExit, match=message):
            example.main(arguments)
    with pytest.raises(SystemExit):
        example.main([run, "--n", "0"])
    assert "--n and --seeds must be at least 1" in capsys.readouterr().err
