"""The training loop and its data: any kill and any number of processes give one curve, and errors lose nothing."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import nn  # noqa: E402

from ecgkern.data import RPeaks  # noqa: E402
from ecgkern.torch import WeightedMSELoss  # noqa: E402
from ecgkern.torch.data import Signals, SignalsError  # noqa: E402
from ecgkern.torch.models import LSTMVAE, SineVAE  # noqa: E402
from ecgkern.torch.training import Options, Stopped, TrainingError, fit, reconstruction  # noqa: E402
from ecgkern.waveform import PHYSIO  # noqa: E402

EPOCHS, BATCH = 4, 64


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the bits of a sum may follow from the number of threads
    yield
    torch.set_num_threads(before)


def parts():
    return Signals.sines(400, rng=0).split()[:2]


def begin(out, *, make=SineVAE, **options):
    """Train a new model that starts from the same weights every time."""
    torch.manual_seed(0)
    model = make()
    return model, fit(model, *parts(), out=out, **{"epochs": EPOCHS, "batch_size": BATCH} | options)


def curve(result):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in result.curve]


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def checkpoints(out):
    return sorted(path.name for path in (out / "checkpoints").iterdir())


class Constant(nn.Module):
    """One number, which learns to be the mean of the signals: without any random numbers."""

    def __init__(self, start=0.0):
        super().__init__()
        self.config = {"start": start}
        self.level = nn.Parameter(torch.tensor([start]))

    def phases(self):
        return {"model": [self.level]}

    def losses(self, phase, batch, *, beta):
        return {"loss": (batch["x"] - self.level).square().mean()}


class Noisy(Constant):
    """The same with random numbers, for signals of any length."""

    def losses(self, phase, batch, *, beta):
        noise = torch.randn_like(batch["x"]) if self.training else 0.0
        return {"loss": (batch["x"] + noise - self.level).square().mean()}


class Adversaries(nn.Module):
    """The least GAN: a level for all samples, and a critic of means."""

    config = {}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.level, self.critic = nn.Parameter(torch.zeros(1)), nn.Linear(1, 1)
        self.steps = {"discriminator": 0, "generator": 0}

    def phases(self):
        return {"discriminator": list(self.critic.parameters()), "generator": [self.level]}

    def losses(self, phase, batch, *, beta):
        self.steps[phase] += 1
        fake = self.level + 0.1 * torch.randn(len(batch["x"]), 1)
        if phase == "generator":
            return {"loss": -self.critic(fake).mean()}
        real = batch["x"].mean(dim=1).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(real).sum(), real, create_graph=True)  # fails without gradients
        penalty = (slope.norm(dim=1) - 1).square().mean()
        return {"loss": self.critic(fake.detach()).mean() - self.critic(real).mean() + penalty, "penalty": penalty}

    @torch.no_grad()
    def sample(self, n, *, condition=None, generator=None):
        return (self.level + 0.1 * torch.randn(n, 1, generator=generator))[:, :, None].expand(-1, 100, 1)


def level_signals(level, n=64, length=100):
    x = np.full((n, length, 1), level, np.float32) + np.random.default_rng(0).normal(0, 0.1, (n, 1, 1)).astype("f4")
    sines = Signals.sines(n, length=length)
    names = np.array([f"{level} {i}" for i in range(n)])
    return Signals(x, sines.r_peaks, names, sines.labels, 100.0, ("II",), ("N",), sines.parts, "levels")


# --- killed and resumed -----------------------------------------------------------------------------------------------

CHILD = """
    import os, signal, sys
    import torch
    from ecgkern.torch.data import Signals
    from ecgkern.torch.models import SineVAE
    from ecgkern.torch.training import fit

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    {hook}

    torch.set_num_threads(1)
    torch.manual_seed(0)
    fit(SineVAE(), *Signals.sines(400, rng=0).split()[:2], out=sys.argv[1], epochs=4, batch_size=64)
"""
IN_AN_EPOCH = """
    losses, calls = SineVAE.losses, []
    def count(*args, **more):
        calls.append(1)
        if len(calls) == 14:  # five steps and a validation an epoch: the second step of the third
            die()
        return losses(*args, **more)
    SineVAE.losses = count
"""
HALF_A_CHECKPOINT = """
    def fsync(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").find("epoch-00003") >= 0:
            os.ftruncate(descriptor, 10_000)
            die()
    os.fsync = fsync
"""
BEFORE_THE_RENAME = """
    replace = os.replace
    def rename(source, target):
        if str(target).endswith("epoch-00003.pt"):
            die()
        replace(source, target)
    os.replace = rename
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    torch.set_num_threads(1)
    return begin(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("hook", [IN_AN_EPOCH, HALF_A_CHECKPOINT, BEFORE_THE_RENAME])
def test_a_training_that_is_killed_and_resumed_ends_with_the_same_bits(tmp_path, hook, uninterrupted):
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD).replace("{hook}", textwrap.dedent(hook)))
    out = tmp_path / "run"
    killed = subprocess.run([sys.executable, script, out], capture_output=True, text=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = checkpoints(out)
    assert [name for name in left if not name.startswith(".")] == ["epoch-00001.pt", "epoch-00002.pt"]
    assert any(name.endswith(".part") for name in left) == (hook is not IN_AN_EPOCH)

    model, result = begin(out, resume=True)
    whole_model, whole = uninterrupted
    assert curve(result) == curve(whole)
    assert torch.equal(weights(model), weights(whole_model))
    assert checkpoints(out) == ["epoch-00003.pt", "epoch-00004.pt"]
    lines = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "plateau", "weight_decay": 0.1},
        {"mmd": 0.5, "beta_cycles": 0},
        {"precision": "bfloat16", "clip": 0},
        {"make": Noisy, "crop": 80, "passes": 2},
        {"make": Adversaries, "critic_steps": 2, "adam_betas": [0.5, 0.9]},
        {"average": 0.9},
    ],
    ids=["plateau", "mmd", "bfloat16", "crop", "gan", "average"],
)
def test_every_kind_of_training_resumes(tmp_path, options):
    whole_model, whole = begin(tmp_path / "whole", **options)
    make = options.get("make", SineVAE)
    losses, calls = make.losses, []

    def fails_once(*args, **more):
        calls.append(1)
        if len(calls) == 14:
            raise RuntimeError("power failure")
        return losses(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "losses", fails_once)
        with pytest.raises(RuntimeError, match="power failure"):
            begin(tmp_path / "cut", **options)
    assert len(checkpoints(tmp_path / "cut")) in (1, 2)
    model, resumed = begin(tmp_path / "cut", resume=True, **options)
    assert curve(resumed) == curve(whole)
    assert torch.equal(weights(model), weights(whole_model))


def test_resuming_a_finished_training_changes_nothing_and_more_epochs_go_on(tmp_path):
    model, first = begin(tmp_path)
    again, second = begin(tmp_path, resume=True)
    assert second.curve == first.curve
    assert torch.equal(weights(again), weights(model))
    _, longer = begin(tmp_path, resume=True, epochs=EPOCHS + 1)
    assert longer.curve[:EPOCHS] == first.curve
    assert len(longer.curve) == EPOCHS + 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_next_step_and_says_how_to_go_on(tmp_path, monkeypatch, signum, uninterrupted):
    losses, calls, before = SineVAE.losses, [], signal.getsignal(signum)

    def interrupt(*args, **more):
        calls.append(1)
        if len(calls) == 14:
            signal.raise_signal(signum)
        return losses(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SineVAE, "losses", interrupt)
        with pytest.raises(Stopped, match=r"epoch 3, step 2 of 5.*epoch-00002\.pt.*--resume") as stopped:
            begin(tmp_path)
    assert stopped.value.signum == signum
    assert len(calls) == 14
    assert signal.getsignal(signum) is before
    assert curve(begin(tmp_path, resume=True)[1]) == curve(uninterrupted[1])


def test_two_processes_have_the_curve_of_one(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        sys.path.insert(0, sys.argv[2])
        from test_training import Constant, level_signals
        from ecgkern.torch.training import fit

        fit(Constant(), level_signals(1.0, 61), level_signals(0.9, 17), out=sys.argv[1], epochs=3, batch_size=15,
            learning_rate=0.1)
        """)
    )
    fit(
        Constant(),
        level_signals(1.0, 61),
        level_signals(0.9, 17),
        out=tmp_path / "one",
        epochs=3,
        batch_size=15,
        learning_rate=0.1,
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, script, tmp_path / "two", os.path.dirname(__file__)], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert json.loads((tmp_path / "two" / "config.json").read_text())["processes"] == 2
    assert one[0]["score"] > 2 * one[-1]["score"]
    for ours, theirs in zip(two, one, strict=True):
        assert ours["train"]["loss"] == pytest.approx(theirs["train"]["loss"], rel=1e-5)
        assert ours["validation"]["loss"] == pytest.approx(theirs["validation"]["loss"], rel=1e-5)


# --- nothing is lost --------------------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(tmp_path, monkeypatch, uninterrupted):
    def full(descriptor, real=os.fsync):
        if "epoch-00003" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TrainingError, match=r"epoch 3 could not be written.*No space left.*epoch-00002\.pt.*room"):
            begin(tmp_path)
    assert checkpoints(tmp_path) == ["epoch-00001.pt", "epoch-00002.pt"]
    assert curve(begin(tmp_path, resume=True)[1]) == curve(uninterrupted[1])


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_no_number_stops_before_it_spoils_the_weights(tmp_path, monkeypatch, where):
    losses, calls = Constant.losses, []

    def breaks(self, *args, **more):
        calls.append(1)
        terms = losses(self, *args, **more)
        if len(calls) == 14:
            spoiled = torch.sqrt(self.level.detach() - self.level).sum()  # 0, of slope infinity
            terms["loss"] = terms["loss"] * torch.nan if where == "loss" else terms["loss"] + spoiled
        return terms

    monkeypatch.setattr(Constant, "losses", breaks)
    with pytest.raises(TrainingError, match=rf"{where}.* of model became .* epoch 3, step 2 of 5.*epoch-00002\.pt"):
        begin(tmp_path, make=Constant)
    assert checkpoints(tmp_path) == ["epoch-00001.pt", "epoch-00002.pt"]


def test_a_folder_with_a_training_is_not_overwritten(tmp_path):
    begin(tmp_path)
    before = (tmp_path / "curve.jsonl").read_bytes()
    with pytest.raises(TrainingError, match=r"already holds a training .*--resume"):
        begin(tmp_path)
    assert (tmp_path / "curve.jsonl").read_bytes() == before
    assert checkpoints(tmp_path) == ["epoch-00003.pt", "epoch-00004.pt"]


class Bomb:
    def __reduce__(self):
        return os.system, ("touch bomb",)


@pytest.mark.parametrize("kind", ["cut", "bit", "text", "pickle", "foreign", "bomb"])
def test_a_damaged_or_foreign_checkpoint_is_told_and_the_one_before_it_goes_on(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    _, whole = begin(out)
    newest = out / "checkpoints" / "epoch-00004.pt"
    if kind == "cut":
        newest.write_bytes(newest.read_bytes()[:10_000])
    elif kind == "bit":
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif kind == "text":
        newest.write_text("no checkpoint\n")
    else:
        torch.save({"pickle": Constant(), "foreign": {"model": {}}, "bomb": Bomb()}[kind], newest)
    with pytest.raises(TrainingError, match=r"epoch-00004\.pt is (damaged or )?no checkpoint"):
        begin(out, resume=True)
    assert not (tmp_path / "bomb").exists()
    newest.unlink()
    assert curve(begin(out, resume=True)[1]) == curve(whole)


def test_checkpoints_are_plain_tensors_numbers_and_text(tmp_path):
    begin(tmp_path, schedule="plateau")
    state = torch.load(tmp_path / "checkpoints" / "epoch-00004.pt", weights_only=True)
    assert {"model", "best", "optimisers", "plateaus", "curve", "identity"} < state.keys()
    told = json.loads((tmp_path / "config.json").read_text())
    assert told["data"]["train"]["sha256"] == parts()[0].facts()["sha256"]
    assert told["versions"]["torch"] == torch.__version__
    assert told["options"]["batch_size"] == BATCH


def test_resume_with_something_else_names_it(tmp_path):
    begin(tmp_path)
    with pytest.raises(TrainingError, match=r"another training: training learning_rate was 0\.001, now 0\.1"):
        begin(tmp_path, resume=True, learning_rate=0.1)
    with pytest.raises(TrainingError, match=r"model config latent was 2, now 3"):
        begin(tmp_path, resume=True, make=lambda: SineVAE(latent=3))
    train, validation, _ = Signals.sines(400, rng=0, fs=250.0).split()
    with pytest.raises(TrainingError, match=r"data train fs was 100\.0, now 250\.0"):
        fit(SineVAE(), train, validation, out=tmp_path, resume=True, epochs=EPOCHS, batch_size=BATCH)
    assert checkpoints(tmp_path) == ["epoch-00003.pt", "epoch-00004.pt"]


def test_training_and_validation_must_fit_together(tmp_path):
    train, validation = parts()
    with pytest.raises(TrainingError, match="share 40 patients"):
        fit(SineVAE(), train, train.take(range(40)), out=tmp_path)
    with pytest.raises(TrainingError, match=r"differ in fs: 100\.0 and 250\.0"):
        fit(SineVAE(), train, Signals.sines(40, fs=250.0, rng=1), out=tmp_path)
    with pytest.raises(TrainingError, match="mmd must be 0 for Constant"):
        fit(Constant(), train, validation, out=tmp_path, mmd=1.0)

    with pytest.raises(TrainingError, match="learns its prior"):
        fit(LSTMVAE(length=100, patch=20, hidden=4), train, validation, out=tmp_path, mmd=1.0)
    with pytest.raises(TrainingError, match="device must be"):
        fit(Constant(), train, validation, out=tmp_path, device="abacus")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "last", "patience": 3}, "patience must be 0 with the criterion 'last'"),
        ({"average": 1.0}, "average must be less than 1, got 1"),
        ({"average": -0.1}, "average must not be negative"),
        ({"epochs": 0}, "epochs must be from 1"),
        ({"learning_rate": -1.0}, "learning_rate must be finite and greater than 0"),
        ({"clip": -1.0}, "clip must not be negative"),
        ({"adam_betas": (0.9, 1.0)}, "adam_betas must be two numbers"),
        ({"beta_ratio": 1.5}, "beta_ratio must be at most 1"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


# --- what the loop does -----------------------------------------------------------------------------------------------


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path):
    model = Constant()  # on its way from 0 to 1 it passes the 0.3 of the validation set
    result = fit(
        model,
        level_signals(1.0),
        level_signals(0.3, 8),
        out=tmp_path,
        epochs=60,
        batch_size=64,
        learning_rate=0.05,
        schedule="constant",
        patience=3,
    )
    scores = [line["score"] for line in result.curve]
    assert result.best_epoch == np.argmin(scores) + 1
    assert len(result.curve) == result.best_epoch + 3
    assert model.level.item() == pytest.approx(float(level_signals(0.3, 8).x.mean()), abs=0.03)
    assert not model.training


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path):
    """The same way past the 0.3: the last level is that of the checkpoint."""
    model = Constant()
    options = {"epochs": 30, "batch_size": 64, "learning_rate": 0.05, "schedule": "constant"}
    result = fit(
        model, level_signals(1.0), level_signals(0.3, 8), out=tmp_path, criterion="last", device="cpu", **options
    )
    assert result.best_epoch == len(result.curve) == 30
    assert min(line["score"] for line in result.curve) < 0.1 * result.curve[-1]["score"]
    state = torch.load(tmp_path / "checkpoints" / "epoch-00030.pt", weights_only=True)
    assert float(model.level.detach()) == float(state["model"]["level"]) > 0.5


def test_schedules_of_learning_rate_and_beta_are_in_the_curve(tmp_path):
    result = begin(tmp_path / "cosine", beta=0.5, beta_cycles=2, epochs=4)[1]
    rates = [line["learning_rate"] for line in result.curve]
    steps = np.array([5, 10, 15, 20]) - 1
    np.testing.assert_allclose(rates, 0.5e-3 * (1 + np.cos(np.pi * steps / 20)), rtol=1e-12)
    assert [line["beta"] for line in result.curve] == pytest.approx([0.4, 0.5, 0.4, 0.5])
    still = fit(
        Constant(1.0),
        level_signals(1.0),
        level_signals(1.0 - 1e-6, 8),
        out=tmp_path / "plateau",
        epochs=20,
        schedule="plateau",
        learning_rate=1e-6,
    )
    assert still.curve[-1]["learning_rate"] < still.curve[0]["learning_rate"] == 1e-6


def test_a_gan_takes_its_steps_in_turn_and_is_judged_by_its_samples(tmp_path):
    model = Adversaries()
    result = fit(
        model,
        level_signals(1.0),
        level_signals(0.9, 32),
        out=tmp_path,
        epochs=8,
        batch_size=16,
        critic_steps=4,
        learning_rate=0.2,
        schedule="constant",
    )
    assert model.steps == {"discriminator": 32, "generator": 8}
    assert {"discriminator loss", "discriminator penalty", "generator loss"} == result.curve[0]["train"].keys()
    assert set(result.curve[0]["validation"]) == {"mmd2"}
    assert min(line["score"] for line in result.curve) < 0.5 * result.curve[0]["score"]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_crop_is_a_stretch_of_a_record_with_its_weights(tmp_path, monkeypatch):
    signals = beats_of(8)
    signals = dataclasses.replace(signals, x=np.random.default_rng(0).normal(size=signals.x.shape).astype(np.float32))
    train, validation = signals.take(range(6)), signals.take([6, 7])
    seen = []

    def look(self, phase, batch, *, beta):
        if self.training:
            seen.append(batch)
        return {"loss": (self.level - batch["x"]).square().mean()}

    monkeypatch.setattr(Constant, "losses", look)
    fit(Constant(), train, validation, out=tmp_path, epochs=1, passes=5, batch_size=4, crop=150)
    assert [batch["x"].shape for batch in seen] == [(4, 150, 1)] * 7  # 30 rows are 7 batches of 4, and 2 are left
    weights, starts = train.weights(), []
    for x, weight in ((x, w) for batch in seen for x, w in zip(batch["x"], batch["weight"], strict=True)):
        pieces = np.lib.stride_tricks.sliding_window_view(train.x[:, :, 0], 150, axis=1)
        ((row, start),) = np.argwhere((pieces == x[:, 0].numpy()).all(axis=2))
        np.testing.assert_array_equal(weight, weights[row, start : start + 150])
        starts.append(start)
    assert len(set(starts)) > 20
    with pytest.raises(TrainingError, match="crop must be at most the 1000 samples"):
        fit(Constant(), train, validation, out=tmp_path / "long", crop=1001)
    with pytest.raises(TrainingError, match=r"SineVAE, given signals of shape \(6, 1000, 1\): x must have shape"):
        fit(SineVAE(), train, validation, out=tmp_path / "short")


def test_the_gradient_is_clipped(tmp_path):
    def moved(clip):
        model = Constant()
        fit(
            model,
            level_signals(1e3),
            level_signals(1e3 - 1, 8),
            out=tmp_path / str(clip),
            epochs=1,
            clip=clip,
            # With both means gone Adam's step is the gradient over its own size, so only epsilon can tell.
            learning_rate=1.0,
            adam_betas=(0.0, 0.0),
        )
        return model.level.item()

    assert moved(1e-8) == pytest.approx(0.5, abs=0.01)  # 1e-8 / (1e-8 + epsilon), where epsilon is 1e-8
    assert moved(0) == pytest.approx(1.0, abs=1e-3)


def test_what_is_validated_and_kept_is_the_running_mean_of_the_weights(tmp_path):
    train, validation = level_signals(1.0), level_signals(2.0)
    after = []

    class Seen(Constant):
        def losses(self, phase, batch, *, beta):
            after.append(float(self.level.detach()))
            return super().losses(phase, batch, beta=beta)

    model = Seen()
    result = fit(model, train, validation, out=tmp_path, epochs=1, passes=10, batch_size=16, average=0.8, device="cpu")
    before_each_step, judged = after[:40], after[40]  # then come those of the validation
    state = torch.load(tmp_path / "checkpoints" / "epoch-00001.pt", weights_only=True)
    levels = [*before_each_step[1:], float(state["model"]["level"])]  # after each step
    mean = levels[0]
    for n, level in enumerate(levels[1:], start=1):
        decay = min(0.8, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * level
    assert mean == pytest.approx(judged, rel=1e-5)
    assert abs(mean - levels[-1]) > 1e-3 * abs(levels[-1])
    assert float(model.level.detach()) == judged
    assert result.curve[0]["score"] == pytest.approx(np.square(validation.x - judged).mean(), rel=1e-4)


def test_fit_leaves_the_random_numbers_of_the_caller_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(Constant(), *parts(), out=tmp_path, epochs=1)
    assert torch.equal(torch.rand(3), expected)


# --- signals ----------------------------------------------------------------------------------------------------------


def beats_of(n=6, fs=100.0, length=1000, seed=0):
    """Rows with waves at known R peaks, two rows for each patient, of two classes."""
    rng = np.random.default_rng(seed)
    peaks = RPeaks.from_list([np.arange(40.0, length - 60, rng.integers(60, 110)) for _ in range(n)])
    labels = np.arange(n) // 2 % 2
    blank = Signals(
        rng.normal(0, 0.01, (n, length, 1)).astype(np.float32),
        peaks,
        np.array([f"p{i // 2}" for i in range(n)]),
        labels,
        fs,
        ("II",),
        ("N", "V"),
        np.full(n, ""),
        "made up",
    )
    return blank.structured()


def test_beats_are_aligned_and_keep_what_belongs_to_them():
    signals = beats_of()
    beats = signals.beats(0.3, 0.5)
    assert beats.x.shape == (len(signals.r_peaks.values) - sum(signals.r_peaks.values < 30), 80, 1)
    assert (beats.x[:, :, 0].argmax(axis=1) == 30).all()
    assert all(30.0 in row for row in beats.r_peaks.rows())
    per_row = np.diff(signals.r_peaks.row_offsets)
    assert beats.patients.tolist() == np.repeat(signals.patients, per_row).tolist()
    assert beats.labels.tolist() == np.repeat(signals.labels, per_row).tolist()
    with pytest.raises(SignalsError, match="no R peak has"):
        signals.beats(6.0, 6.0)


def test_rows_taken_take_their_peaks_along():
    signals = beats_of()
    some = signals.take([4, 0, 4])
    for row, old in zip(some.r_peaks.rows(), (4, 0, 4), strict=True):
        np.testing.assert_array_equal(row, signals.r_peaks.rows()[old])
    np.testing.assert_array_equal(some.x[1], signals.x[0])
    assert len(signals.at_most(1)) == 2


def test_weights_are_those_of_the_weighted_loss():
    signals = beats_of()
    batch = signals.batch([3, 1])
    target = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    peaks = signals.take([3, 1]).r_peaks
    loss = WeightedMSELoss(fs=100.0)(batch["x"][..., 0], target, peaks.values, peaks.row_offsets)
    ours = (batch["weight"] * (batch["x"][..., 0] - target).square()).mean()
    torch.testing.assert_close(ours, loss)
    assert batch["condition"].tolist() == [1, 0]
    assert "weight" not in signals.batch([0], weighted=False)


@pytest.mark.parametrize("seed", range(5))
def test_a_split_shares_no_patient_and_every_part_has_every_class(seed):
    signals = beats_of(40)
    split = signals.split(seed=seed, validation=0.2, test=0.2)
    owners = [set(part.patients.tolist()) for part in split]
    assert sum(map(len, owners)) == len(set().union(*owners)) == 20
    assert [len(part) for part in split] == [24, 8, 8]
    assert all(set(part.labels.tolist()) == {0, 1} for part in split)


def test_recommended_parts_are_kept_and_missing_ones_drawn():
    signals = beats_of(40)
    given = np.where(np.arange(40) < 8, "test", "train")
    split = dataclasses.replace(signals, parts=given).split()
    np.testing.assert_array_equal(split.test.x, signals.x[:8])
    assert min(map(len, dataclasses.replace(signals, parts=np.full(40, "test")).split())) > 0
    assert len(split.validation) > 0
    leaking = dataclasses.replace(signals, parts=np.where(np.arange(40) < 7, "test", "validation"))
    leaking.parts[20:] = "train"
    with pytest.raises(SignalsError, match="share 1 patient, such as p3"):
        leaking.split()
    with pytest.raises(SignalsError, match="too few patients"):
        beats_of(4).split()


def test_signals_survive_their_file_and_damage_is_told(tmp_path):
    signals = beats_of().beats()
    signals.save(tmp_path / "a.npz")
    back = Signals.load(tmp_path / "a.npz")
    assert back.facts() == signals.facts()
    np.testing.assert_array_equal(back.parts, signals.parts)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:5000])
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", facts=np.array([Bomb()], dtype=object))
    for name in ("cut", "other", "pickle"):
        with pytest.raises(SignalsError, match=rf"{name}\.npz is damaged or no file of signals"):
            Signals.load(tmp_path / f"{name}.npz")


def test_signals_that_do_not_fit_together_are_told():
    signals = beats_of()
    spoiled = signals.x.copy()
    spoiled[2, 5] = np.nan
    for change, message in (
        ({"x": spoiled}, r"x must be finite, got nan in \[2\]"),
        ({"x": signals.x[..., [0, 0]]}, r"one column for each of the leads II; got float32 of shape \(6, 1000, 2\)"),
        ({"labels": signals.labels + 1}, "labels must be from 0 to 1, got 1 to 2"),
        ({"patients": signals.patients[:3]}, "patients must have one entry for each of 6 rows"),
        ({"fs": 0.0}, "fs must be finite and greater than 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(signals, **change)
    with pytest.raises(SignalsError, match="has no R peaks"):
        Signals.sines(3).structured(PHYSIO)


# --- models -----------------------------------------------------------------------------------------------------------


def test_the_sine_vae_rebuilds_itself_and_checks_shapes():
    model = SineVAE(length=50, n_leads=2, latent=3, hidden=(16,))
    twin = SineVAE(**model.config)
    twin.load_state_dict(model.state_dict())
    x = torch.randn(4, 50, 2)
    torch.testing.assert_close(twin.eval()(x).reconstruction, model.eval()(x).reconstruction)
    first, second = (model.sample(2, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (2, 50, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(n, 50, 2\)"):
        model(torch.randn(4, 51, 2))
    with pytest.raises(ValueError, match="latent must be from 1"):
        SineVAE(latent=0)


class Scaled(nn.Module):
    """An "autoencoder" that multiplies by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def encode(self, x):
        return x, torch.zeros_like(x)

    def decode(self, z):
        return self.factor * z


def test_reconstruction_measures_what_is_left_of_the_r_waves():
    pytest.importorskip("neurokit2")
    records = beats_of(4)
    for signals in (records, records.beats()):
        half = reconstruction(Scaled(0.5), signals)
        assert half["correlation"] == pytest.approx(1)
        assert half["r_amplitude_ratio"] == pytest.approx(0.5)
        assert half["r_peaks_found"] >= 0.95  # NeuroKit2 never finds one in the first 0.3 s
        assert half["rmse_mv"] == pytest.approx(0.5 * np.sqrt(np.square(signals.x, dtype=float).mean()), rel=1e-5)
        nothing = reconstruction(Scaled(0.0), signals)
        assert nothing["r_amplitude_ratio"] == nothing["correlation"] == 0
        assert nothing["r_peaks_found"] < 0.2
