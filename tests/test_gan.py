"""The adversarial models: their losses against formulas written out, and what they learn to generate."""

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch.nn import functional  # noqa: E402

from ecgkern.generate._sampler import Sampler, interpolate  # noqa: E402
from ecgkern.torch.data import Signals  # noqa: E402
from ecgkern.torch.models import GAN, LSTMVAE, VAEGAN, load, save  # noqa: E402
from ecgkern.torch.training import fit  # noqa: E402

_gan = sys.modules[GAN.__module__]
SMALL = {"latent": 5, "width": 4, "hidden": 6}
GANS = {
    "conv": {"length": 70, **SMALL},
    "conv, wgan-gp, 2 leads": {"length": 70, "n_leads": 2, "loss": "wgan-gp", **SMALL},
    "bilstm, classes": {"length": 60, "generator": "bilstm", "n_classes": 3, **SMALL},
    "conv, classes": {"length": 61, "n_classes": 3, **SMALL},
}
AUTOENCODER = {"latent": 3, "hidden": 6, "projected": 7, "merge_out": 4}
VAEGANS = {
    "one lead": {"length": 60, "width": 4, **AUTOENCODER},
    "2 leads, wgan-gp": {"length": 60, "n_leads": 2, "width": 4, "loss": "wgan-gp", **AUTOENCODER},
    "classes": {"length": 60, "n_classes": 3, "width": 4, "penalty": 0.5, "adversarial": 0.1, **AUTOENCODER},
}
MODELS = [(GAN, form) for form in GANS.values()] + [(VAEGAN, form) for form in VAEGANS.values()]
IDS = [f"GAN, {name}" for name in GANS] + [f"VAEGAN, {name}" for name in VAEGANS]


@pytest.fixture(autouse=True)
def same_random_numbers():
    torch.manual_seed(0)


@pytest.fixture(params=MODELS, ids=IDS)
def model(request):
    kind, form = request.param
    return kind(**form).double()


def batch_of(model, n=4):
    config = model.config
    batch = {"x": torch.randn(n, config["length"], config["n_leads"], dtype=torch.float64)}
    if config["n_classes"]:
        batch["condition"] = torch.arange(n) % config["n_classes"]
    return batch


def critic(discriminator, x, condition=None):
    """How real records are, by the parts of the discriminator."""
    x = x.transpose(1, 2) / _gan.SCALE
    h = torch.cat([kernel(x) for kernel in discriminator.kernels.conv_kernels], dim=1).relu()
    h = functional.leaky_relu(discriminator.kernels.conv_merge(h), 0.2)
    place = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype)
    h = discriminator.layers(torch.cat([h, place.expand(len(h), 1, -1)], dim=1)).mean(dim=2)
    spread = ((h - h.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean()
    real = discriminator.output(torch.cat([h, spread.expand(len(h), 1)], dim=1))[:, 0]
    if condition is not None:
        real = real + (discriminator.classes.weight[condition] * h).sum(dim=1)
    return real


# --- what is computed -------------------------------------------------------------------------------------------------


def test_shapes_and_config(model):
    batch = batch_of(model)
    condition = batch.get("condition")
    assert model.sample(4, condition=condition).shape == batch["x"].shape
    again = type(model)(**json.loads(json.dumps(model.config))).double()
    assert again.config == model.config
    again.load_state_dict(model.state_dict())
    first, second, other = (
        each.sample(4, condition=condition, generator=torch.Generator().manual_seed(seed))
        for each, seed in ((model, 1), (again, 1), (again, 2))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert not first.requires_grad


def test_the_discriminator_equals_its_parts(model):
    batch = batch_of(model)
    x, condition = batch["x"], batch.get("condition")
    torch.testing.assert_close(
        model.discriminator(x, condition), critic(model.discriminator, x, condition), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("penalised", [True, False])
def test_the_losses_of_the_discriminator(model, penalised, monkeypatch):
    batch, judge = batch_of(model), model.discriminator
    x, condition = batch["x"], batch.get("condition")
    fake = torch.randn_like(x)
    share = torch.rand(len(x), 1, 1, dtype=x.dtype)
    draws = iter([torch.tensor(0.2 if penalised else 0.3), share])
    monkeypatch.setattr(torch, "rand", lambda *_, **__: next(draws))
    found = judge.losses(x, fake, condition)
    monkeypatch.undo()
    of_real, of_fake = critic(judge, x, condition), critic(judge, fake, condition)
    if model.config["loss"] == "wgan-gp":
        loss = (of_fake - of_real).mean()
        at = (share * x + (1 - share) * fake).requires_grad_()
    else:
        loss = (1 + (-of_real).exp()).log().mean() + (1 + of_fake.exp()).log().mean()
        at = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(judge, at, condition).sum(), at, create_graph=True)
    norm = _gan.SCALE * slope.flatten(1).norm(dim=1)
    weight = model.config["penalty"]
    excess = (norm - 1).square().mean() if model.config["loss"] == "wgan-gp" else norm.square().mean() / 2
    times = 1 if model.config["loss"] == "wgan-gp" else 4 * penalised  # R1 is left out of three steps in four
    expected = loss + times * weight * excess
    torch.testing.assert_close(found["loss"], expected, rtol=1e-9, atol=1e-12)
    parameters = list(judge.parameters())
    ours, plain = (
        torch.autograd.grad(each, parameters, allow_unused=True, materialize_grads=True)
        for each in (found["loss"], expected)
    )
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8 * float(other.abs().max() + 1))
    assert float(found["of_real"]) == pytest.approx(of_real.mean().item())
    assert float(found["of_fake"]) == pytest.approx(of_fake.mean().item())


def test_the_loss_of_a_generator(model):
    batch = batch_of(model)
    condition, judge = batch.get("condition"), model.discriminator
    torch.manual_seed(3)
    found = model.losses("generator", batch, beta=0.1)
    torch.manual_seed(3)
    weight, rest = 1.0, 0.0
    if isinstance(model, VAEGAN):
        weight, rest = model.config["adversarial"], LSTMVAE._terms(model, batch, 0.1)["loss"]
    said = critic(judge, model.sample(4, condition=condition), condition)
    doubt = -said.mean() if model.config["loss"] == "wgan-gp" else (1 + (-said).exp()).log().mean()
    torch.testing.assert_close(found["loss"], rest + weight * doubt, rtol=1e-9, atol=0)


def test_gradients_reach_the_parameters_of_a_phase(model):
    model.discriminator.penalty = 0.0  # which comes in some steps only
    phases, batch = model.phases(), batch_of(model, 6)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted(names) == sorted(id(parameter) for parameters in phases.values() for parameter in parameters)
    for phase, parameters in phases.items():
        model.zero_grad()
        model.losses(phase, batch, beta=1e-2)["loss"].backward()
        untouched = {names[id(p)] for p in parameters if p.grad is None or not bool(p.grad.abs().sum() > 0)}
        # What is added to the numbers of real and generated records alike does not change their difference.
        assert untouched <= ({"discriminator.output.bias"} if model.config["loss"] == "wgan-gp" else set())
        if phase == "discriminator":
            assert all(p.grad is None for p in phases["generator"])


def test_losses_of_a_stretch_of_records():
    for kind, form in ((GAN, GANS["conv"]), (GAN, GANS["bilstm, classes"]), (VAEGAN, VAEGANS["one lead"])):
        model = kind(**form)
        batch = {"x": torch.randn(3, 40, 1)} | ({"condition": torch.zeros(3).long()} if "n_classes" in form else {})
        for phase in model.phases():
            assert bool(model.losses(phase, batch, beta=1e-3)["loss"].isfinite())


@pytest.mark.parametrize("n", [4, 1])
def test_losses_under_autocast_and_of_a_single_record(model, n, monkeypatch):
    model = model.float()
    model.discriminator.penalty_every = 1
    batch = {name: value.float() if name == "x" else value for name, value in batch_of(model, n).items()}
    for phase, parameters in model.phases().items():
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.losses(phase, batch, beta=1e-3)["loss"]
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in parameters if p.grad is not None)


# --- what is learned --------------------------------------------------------------------------------------------------


def pulses(n, rng):
    """Class 0: a pulse of 1 mV in the first half. Class 1: one of -1 mV in the second. Each of its own height."""
    label = np.arange(n) % 2
    t = np.arange(40)
    place = np.where(label, 28, 12)[:, None]
    height = np.where(label, -1, 1)[:, None] * rng.uniform(0.6, 1.4, (n, 1))
    x = height * np.exp(-0.5 * np.square((t - place) / 2))
    sines = Signals.sines(n, length=40)
    who = np.arange(n).astype(str)
    return Signals(
        x[..., None].astype(np.float32),
        sines.r_peaks,
        who,
        label,
        100.0,
        ("II",),
        ("up", "down"),
        sines.parts,
        "pulses",
    )


@pytest.mark.parametrize(("generator", "epochs", "rate"), [("conv", 14, 3e-3), ("bilstm", 20, 5e-3)])
def test_a_gan_learns_classes_and_how_they_vary(generator, epochs, rate, tmp_path):
    signals = pulses(600, np.random.default_rng(0))
    model = GAN(40, generator=generator, patch=10, latent=4, width=8, hidden=24, n_classes=2)
    train, validation, _ = signals.split()
    result = fit(
        model, train, validation, out=tmp_path, epochs=epochs, batch_size=32, learning_rate=rate, clip=0,
        adam_betas=(0.0, 0.99), average=0.95, threads=1,
    )  # fmt: skip
    assert result.curve[-1]["validation"]["mmd2"] < 0.1 * result.curve[0]["validation"]["mmd2"]
    condition = torch.arange(400) % 2
    x = model.sample(400, condition=condition)[..., 0]
    up, down = x[::2, 12], x[1::2, 28]
    assert 0.85 < float(up.mean()) < 1.15
    assert -1.15 < float(down.mean()) < -0.85
    assert 0.04 < float(up.std()) < 0.3  # 0.23 in the data
    assert float(x[::2, 28].abs().mean()) < 0.1


# --- files and errors -------------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back(model, tmp_path):
    save(model, tmp_path / "model.safetensors", fs=100.0, leads=["II"])
    again = load(tmp_path / "model.safetensors")
    condition = batch_of(model).get("condition")
    one, other = (
        each.sample(4, condition=condition, generator=torch.Generator().manual_seed(0)) for each in (model, again)
    )
    assert type(again) is type(model)
    assert torch.equal(one, other)


@pytest.mark.parametrize("generator", ["conv", "bilstm"])
def test_records_lie_between_others(generator):
    model = GAN(60, generator=generator, n_classes=2, **SMALL)
    sampler = Sampler(model, {"fs": 100.0, "leads": ["II"], "classes": ["N", "V"]}, condition="V")
    between = interpolate(sampler, 0, 1, steps=5)
    np.testing.assert_allclose(between[0], sampler([0])[0], atol=1e-3)
    steps = np.abs(np.diff(between, axis=0)).max(axis=(1, 2))
    assert 0 < steps.min() <= steps.max() < 3 * steps.min()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (GAN, {"length": 0}, "length must be from 1 to"),
        (GAN, {"generator": "transformer"}, "generator must be one of 'conv', 'bilstm'"),
        (GAN, {"generator": "bilstm", "length": 30}, "length must be a multiple of patch, 20, got 30"),
        (GAN, {"loss": "hinge"}, "loss must be one of 'non-saturating', 'wgan-gp'"),
        (GAN, {"penalty": -1.0}, "penalty must not be negative, got -1"),
        (GAN, {"width": 0}, "width must be from 1 to"),
        (GAN, {"n_classes": -1}, "n_classes must be from 1 to"),
        (VAEGAN, {"preset": "seed"}, "preset must be 'patches' for a VAEGAN, got 'seed'"),
        (VAEGAN, {"adversarial": 0.0}, "adversarial must be finite and greater than 0, got 0"),
        (VAEGAN, {"length": 55}, "length must be a multiple of patch, 10, got 55"),
        (VAEGAN, {"loss": "hinge"}, "loss must be one of 'non-saturating', 'wgan-gp'"),
    ],
)
def test_arguments_of_the_models(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_arguments_of_calls():
    conv, bilstm, classes = GAN(**GANS["conv"]), GAN(60, generator="bilstm", **SMALL), GAN(**GANS["conv, classes"])
    with pytest.raises(ValueError, match="phase must be one of 'discriminator', 'generator'; got 'model'"):
        conv.losses("model", {"x": torch.zeros(2, 70, 1)}, beta=0.0)
    for shape in ((2, 70), (2, 70, 2), (2, 71, 1), (2, 0, 1)):
        with pytest.raises(ValueError, match=r"x must have shape \(n, length, 1\) with a length of at most 70"):
            conv.losses("generator", {"x": torch.zeros(shape)}, beta=0.0)
    for shape in ((2, 60), (2, 5, 1), (2, 60, 2)):
        for phase in ("discriminator", "generator"):
            with pytest.raises(
                ValueError, match=r"x must have shape \(n, length, 1\) with a length that is a multiple"
            ):
                VAEGAN(60).losses(phase, {"x": torch.zeros(shape)}, beta=0.0)
    with pytest.raises(ValueError, match=r"z must have shape \(n, 5\), got \(2, 4\)"):
        conv.decode(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="noise must be None with the generator 'conv'"):
        conv.decode(torch.zeros(2, 5), noise=torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match=r"noise must have shape \(n, steps, 5\) with the generator 'bilstm'"):
        bilstm.decode(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"noise must have shape \(2, steps, 5\), got \(3, 4, 5\)"):
        bilstm.decode(torch.zeros(2, 5), noise=torch.zeros(3, 4, 5))
    with pytest.raises(ValueError, match="condition must be None: this model has no classes"):
        conv.sample(2, condition=torch.zeros(2).long())
    with pytest.raises(ValueError, match="condition must have the class of each of the 2 records, from 0 to 2"):
        classes.sample(2)
    with pytest.raises(ValueError, match="condition must be from 0 to 2, got 0 to 3"):
        classes.sample(2, condition=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="n must be from 1 to"):
        conv.sample(0)
