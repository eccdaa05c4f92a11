"""The models against plain compositions of PyTorch's modules, what they keep of an ECG and generate, their files."""

import json
import os
import re
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import safetensors.torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal  # noqa: E402

from ecgkern.torch import gaussian_waves  # noqa: E402
from ecgkern.torch.models import LSTMVAE, SineVAE, load, save  # noqa: E402
from ecgkern.torch.models._lstm_vae import MIXTURE, Prior  # noqa: E402
from ecgkern.waveform import PHYSIO  # noqa: E402

LSTM_KEYS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
LAYERS = (
    *(f"conv_kernels.{i}" for i in range(5)),
    *("conv_merge.0", "conv_merge.2", "merge_project", "encoder_norm", "fc_mean", "fc_log_var"),
    *("latent_to_hidden", "latent_to_cell", "fc_decoder_output"),
)
SEED_KEYS = {f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")} | {
    f"{lstm}.{key}" for lstm in ("encoder_lstm", "decoder_lstm") for key in LSTM_KEYS
}

# Both forms, with several leads, with and without what is optional.
FORMS = {
    "patches": {"length": 60},
    "patches, 2 leads, relu, noise": {
        **{"length": 60, "n_leads": 2, "patch": 5, "latent": 3, "hidden": 8, "projected": 6, "merge_out": 4},
        **{"pre_merge_activation": "relu", "noise_scale": 0.5},
    },
    "seed": {"length": 60, "preset": "seed"},
    "seed, 2 leads, relu, merge_out": {
        **{"length": 60, "n_leads": 2, "preset": "seed", "latent": 5, "hidden": 7, "projected": 6, "merge_out": 3},
        "pre_merge_activation": "relu",
    },
}


@pytest.fixture(autouse=True)
def same_random_numbers():
    torch.manual_seed(0)


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def form(request):
    return request.param


def records(form, n=3, dtype=torch.float32):
    return torch.randn(n, form["length"], form.get("n_leads", 1), dtype=dtype)


def noise_of(model, n):
    """The decoder's white noise, where it takes any."""
    shape = n, model.config["length"], model.config["n_leads"]
    return torch.randn(shape, dtype=model.fc_mean.weight.dtype) if model.config["noise_scale"] else None


def composite(model, x, noise):
    """Reconstruction, mean and log variance by the parts of the model, as the blog's text has them."""
    config = model.config
    h = torch.cat([kernel(x.transpose(1, 2)) for kernel in model.conv_kernels], dim=1)
    assert h.shape[2] == x.shape[1]  # the padding keeps the length
    if config["pre_merge_activation"] == "relu":
        h = h.relu()
    h = model.conv_merge(h).transpose(1, 2)
    n_steps = x.shape[1] // config["patch"]
    h = model.merge_activation(model.merge_project(h.reshape(len(x), n_steps, -1)))
    states, (last, _) = model.encoder_lstm(h)
    h = model.encoder_norm(last[-1] if config["preset"] == "seed" else states)
    mean, log_var = model.fc_mean(h), model.fc_log_var(h).clamp(-10, 10)
    parts, state = [mean], None
    if config["preset"] == "seed":
        parts = [mean[:, None].repeat(1, n_steps, 1)]
        state = model.latent_to_hidden(mean)[None], model.latent_to_cell(mean)[None]
    if noise is not None:
        parts.append(config["noise_scale"] * noise.reshape(len(x), n_steps, -1))
    states, _ = model.decoder_lstm(torch.cat(parts, dim=2), state)
    return model.fc_decoder_output(states).reshape(x.shape), mean, log_var


def gradients(model, value):
    parameters = [parameter for name, parameter in model.named_parameters() if not name.startswith("prior.")]
    return torch.autograd.grad(value, parameters)


# --- what is computed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_it_equals_the_composite(form, dtype, tolerance):
    model, x = LSTMVAE(**form).to(dtype).eval(), records(form, dtype=dtype)
    noise = noise_of(model, len(x))
    mean, log_var = model.encode(x)
    ours = model.decode(mean, noise=noise), mean, log_var
    plain = composite(model, x, noise)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
    of_ours, of_plain = (gradients(model, sum(part.square().sum() for part in parts)) for parts in (ours, plain))
    for one, other in zip(of_ours, of_plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=10 * tolerance * float(other.abs().max() + 1))


def test_the_seed_has_the_parameters_of_the_blog():
    model = LSTMVAE(preset="seed")
    assert sum(parameter.numel() for parameter in model.parameters()) == 196354
    assert set(model.state_dict()) == SEED_KEYS
    assert [tuple(kernel.weight.shape) for kernel in model.conv_kernels] == [(32, 1, k) for k in (3, 11, 25, 75, 119)]
    assert model.decoder_lstm.input_size == 32 + 1


def test_shapes(form):
    model, x = LSTMVAE(**form), records(form)
    output = model(x)
    assert output.reconstruction.shape == x.shape
    assert output.mean.shape == output.log_var.shape
    seed = model.config["preset"] == "seed"
    steps = () if seed else (60 // model.config["patch"],)
    assert output.mean.shape == (3, *steps, model.config["latent"])
    assert model.sample(2).shape == (2, *x.shape[1:])
    again = LSTMVAE(**json.loads(json.dumps(model.config)))
    assert again.config == model.config
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }


def test_patches_take_records_of_other_lengths():
    model = LSTMVAE(200).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 310, 1)).reconstruction.shape == (2, 310, 1)


def test_random_numbers_follow_from_seeds(form):
    def run():
        torch.manual_seed(5)
        model = LSTMVAE(**form)
        return model, model(torch.ones(2, 60, form.get("n_leads", 1))).reconstruction

    (model, first), (_, second) = run(), run()
    assert torch.equal(first, second)
    samples = [model.sample(2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])
    assert not samples[0].requires_grad


def test_z_is_drawn_in_training_and_the_mean_in_evaluation(form):
    model = LSTMVAE(**form, dropout=0.0)
    mean, log_var = torch.full((20000,), 3.0), torch.full((20000,), 2 * torch.tensor(0.5).log())
    z = model.reparameterize(mean, log_var)
    assert float(z.mean()) == pytest.approx(3.0, abs=0.02)
    assert float(z.std()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(model.eval().reparameterize(mean, log_var), mean)


def test_white_noise_is_scaled_and_may_be_given():
    model = LSTMVAE(60, preset="seed").eval()
    z, noise = torch.randn(2, 32), torch.randn(2, 60, 1)
    assert torch.equal(model.decode(z, noise=noise), model.decode(z, noise=noise))
    assert not torch.equal(model.decode(z), model.decode(z))
    half = LSTMVAE(60, preset="seed", noise_scale=0.5).eval()
    half.load_state_dict(model.state_dict())
    torch.testing.assert_close(half.decode(z, noise=2 * noise), model.decode(z, noise=noise))


# --- training ---------------------------------------------------------------------------------------------------------


def test_gradients_reach_every_parameter(form):
    model = LSTMVAE(**form)
    (parameters,) = model.phases().values()
    assert {id(parameter) for parameter in parameters} == {id(parameter) for parameter in model.parameters()}
    losses = model.losses("model", {"x": records(form)}, beta=1e-2)
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    losses["loss"].backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert untouched == []


@pytest.mark.parametrize("preset", ["patches", "seed"])
def test_the_loss_is_its_parts(preset):
    model, x = LSTMVAE(60, n_leads=2, preset=preset, noise_scale=0.0).eval(), torch.randn(3, 60, 2)
    mean, log_var = model.encode(x)
    encoded = Normal(mean, (0.5 * log_var).exp())
    weight = torch.rand(3, 60)
    for batch, w in (({"x": x}, torch.ones(3, 60)), ({"x": x, "weight": weight}, weight)):
        torch.manual_seed(3)
        losses = model.losses("model", batch, beta=0.25)
        torch.manual_seed(3)
        z = encoded.mean + encoded.stddev * torch.randn_like(mean)
        reconstruction = (w[:, :, None] * (x - model.decode(z)).square()).sum() / (2 * w.sum())
        if preset == "seed":
            kl = torch.distributions.kl_divergence(encoded, Normal(0.0, 1.0)).sum() / x.numel()
        else:
            kl = -(encoded.entropy().sum() + model.prior(z).sum()) / x.numel()
        torch.testing.assert_close(losses["reconstruction"], reconstruction.detach())
        torch.testing.assert_close(losses["kl"], kl.detach())
        torch.testing.assert_close(losses["loss"], reconstruction + 0.25 * kl)


@pytest.mark.parametrize("preset", ["patches", "seed"])
def test_losses_under_autocast(preset):
    model = LSTMVAE(60, preset=preset)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.losses("model", {"x": torch.randn(3, 60, 1)}, beta=1e-3)["loss"]
    loss.backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in model.parameters())


def test_it_keeps_r_peaks_that_it_has_not_seen():
    """Beats of other heights and places than it was trained with."""

    def beats(n):
        r_peak = 35 + 10 * torch.rand(n)
        amplitude = torch.tensor(PHYSIO.amplitude.tolist()) * (0.5 + torch.rand(n, 1))
        rows = torch.arange(n + 1)
        return gaussian_waves(r_peak, row_offsets=rows, fs=100.0, length=100, amplitude=amplitude)[..., None]

    model = LSTMVAE(100, hidden=32, projected=32, merge_out=8)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = model.losses("model", {"x": beats(32)}, beta=1e-3)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x = beats(200)
    with torch.no_grad():
        y = model.eval()(x).reconstruction
    r = x.argmax(dim=1, keepdim=True)
    ratio = (y.gather(1, r) / x.gather(1, r)).flatten()
    assert 0.9 < float(ratio.median()) < 1.1
    assert float(ratio.quantile(0.05)) > 0.8
    assert float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]) > 0.98


# --- the prior --------------------------------------------------------------------------------------------------------


def mixtures_of(prior, z, condition):
    """The distribution of each z given those before it, by torch.distributions."""
    start = prior.classes(condition)[None]
    before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)
    states, _ = prior.lstm(before, (start, torch.zeros_like(start)))
    k, latent = MIXTURE, z.shape[2]
    output = prior.output(states)
    normals = output[..., k:].reshape(*z.shape[:2], k, 2, latent)
    each = Independent(Normal(normals[..., 0, :], (0.5 * normals[..., 1, :]).exp()), 1)
    return MixtureSameFamily(Categorical(logits=output[..., :k]), each)


def test_the_density_of_the_prior():
    prior = Prior(latent=3, hidden=5, n_classes=2)
    z, condition = torch.randn(4, 6, 3), torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(prior(z, condition), mixtures_of(prior, z, condition).log_prob(z).sum(dim=1))
    assert bool((prior(z, condition) != prior(z, 1 - condition)).all())


def test_the_prior_draws_from_its_density():
    """Each step, given those before it, has the distribution function of its mixture: one of uniform shares."""
    prior = Prior(latent=1, hidden=4, n_classes=1)
    with torch.no_grad():
        prior.output.weight.mul_(4.0)  # so that the normals lie apart and a step depends on the one before
        prior.output.bias.mul_(4.0)
        condition = torch.zeros(20000, dtype=torch.int64)
        z = prior.draw(torch.randn(20000, 3, 1), torch.rand(20000, 3, 1), condition)
        told = mixtures_of(prior, z, condition)
        normal = told.component_distribution.base_dist
        share = (told.mixture_distribution.probs * normal.cdf(z[..., None])[..., 0]).sum(dim=-1)
    expected = torch.linspace(0.05, 0.95, 19)
    for step in range(3):
        found = torch.quantile(share[:, step], expected)
        assert float((found - expected).abs().max()) < 0.015  # four standard errors
    assert float(torch.corrcoef(share.T)[0, 1].abs()) < 0.03


def test_samples_are_of_the_class_that_is_asked_for():
    """Records of class 0 are negative, of class 1 positive."""
    model = LSTMVAE(40, hidden=16, projected=16, merge_out=4, latent=2, n_classes=2)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        condition = torch.randint(2, (32,))
        x = (2.0 * condition - 1)[:, None, None] * (0.5 + torch.rand(32, 1, 1)).expand(-1, 40, -1)
        optimiser.zero_grad()
        model.losses("model", {"x": x, "condition": condition}, beta=1e-2)["loss"].backward()
        optimiser.step()
    model.eval()
    condition = torch.arange(200) % 2
    x = model.sample(200, condition=condition, generator=torch.Generator().manual_seed(1)).mean(dim=(1, 2))
    assert float(((x > 0) == (condition == 1)).float().mean()) > 0.97
    assert 0.5 < float(x.abs().mean()) < 1.5


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_model_comes_back(form, dtype, tmp_path):
    model, x = LSTMVAE(**form).to(dtype).eval(), records(form, dtype=dtype)
    save(model, tmp_path / "model.safetensors", fs=100.0, leads=["II"], classes=None)
    again = load(tmp_path / "model.safetensors")
    assert type(again) is LSTMVAE
    assert not again.training
    assert again.config == model.config
    assert again.facts == {"fs": 100.0, "leads": ["II"], "classes": None}
    noise = noise_of(model, len(x))
    with torch.no_grad():
        assert torch.equal(model.encode(x)[0], again.encode(x)[0])
        z = model.encode(x)[0]
        assert torch.equal(model.decode(z, noise=noise), again.decode(z, noise=noise))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_files_of_the_sine_model(tmp_path):
    model = SineVAE(length=50, latent=3).eval()
    save(model, str(tmp_path / "sine.safetensors"))
    again = load(str(tmp_path / "sine.safetensors"))
    assert type(again) is SineVAE
    assert again.facts == {}
    z = torch.randn(2, 3)
    assert torch.equal(model.decode(z), again.decode(z))


def test_save_says_what_it_cannot_write(tmp_path):
    with pytest.raises(TypeError, match=r"model must be one of GAN, LSTMVAE, SineVAE.*, got Linear"):
        save(nn.Linear(1, 1), tmp_path / "a")
    with pytest.raises(TypeError, match="facts must be of what JSON can hold"):
        save(SineVAE(), tmp_path / "a", fs=torch.ones(1))
    with pytest.raises(FileNotFoundError):
        save(SineVAE(), tmp_path / "no folder" / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save(SineVAE(), path, fs=100)
    before = path.read_bytes()

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save(SineVAE(), path, fs=200)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert load(path).facts == {"fs": 100}


def test_load_refuses_pickles(tmp_path):
    for name, options in (("new", {}), ("old", {"_use_new_zipfile_serialization": False})):
        torch.save(SineVAE().state_dict(), tmp_path / name, **options)
        with pytest.raises(ValueError, match=re.escape(f"{tmp_path / name} is a pickle, as torch.save writes it")):
            load(tmp_path / name)


def test_no_size_of_the_header_is_taken_for_a_pickle(tmp_path):
    """The size stands first in the file: of 640 bytes its first two are those of a pickle of protocol 2."""
    path, sizes = tmp_path / "model.safetensors", set()
    for n in range(0, 2048, 8):
        save(SineVAE(), path, more="a" * n)
        sizes.add(path.read_bytes()[0])
        assert load(path).facts == {"more": "a" * n}
    assert 0x80 in sizes


def _rewritten(content, change):
    """A file of ours with another description of the model."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    description = json.loads(header["__metadata__"]["ecgkern"])
    change(description)
    header["__metadata__"]["ecgkern"] = json.dumps(description)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def test_load_says_what_is_wrong_with_a_file(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError):
        load(path)
    save(SineVAE(), path)
    content = path.read_bytes()

    for damaged in (b"", content[:5], content[:100], content[:-1], b"{}" + content, os.urandom(2000)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged or no safetensors file"):
            load(path)

    path.write_bytes(safetensors.torch.save({"a": torch.ones(1)}))
    with pytest.raises(ValueError, match=r"not of a model that ecgkern\.torch\.models\.save has written"):
        load(path)

    def put(name, value):
        return lambda description: description.update({name: value})

    for change, message in (
        (put("class", "GPT"), "holds a GPT; this ecgkern knows GAN, LSTMVAE"),
        (put("class", "LSTMVAE"), "does not fit this ecgkern's LSTMVAE"),
        (put("config", {"length": 0}), "does not fit this ecgkern's SineVAE: length must be from 1 to"),
        (put("config", {"length": 99}), "does not fit this ecgkern's SineVAE"),
        (put("config", 3), "does not fit this ecgkern's SineVAE"),
        (lambda description: description.pop("class"), "is damaged: its description of the model cannot be read"),
    ):
        path.write_bytes(_rewritten(content, change))
        with pytest.raises(ValueError, match=message):
            load(path)


def test_without_safetensors_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for call in (lambda: save(SineVAE(), tmp_path / "a"), lambda: load(tmp_path / "a")):
        with pytest.raises(ImportError, match=r'pip install "ecgkern\['):
            call()


# --- files of the seed's form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"n_leads": 2, "latent": 5, "hidden": 7, "projected": 6, "merge_out": 3}])
def test_a_state_dict_of_the_seed_is_loaded(options, tmp_path):
    model = LSTMVAE(60, preset="seed", pre_merge_activation="relu", **options).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    again = LSTMVAE.from_seed(tmp_path / "weights.pth", length=60, pre_merge_activation="relu")
    assert again.config == model.config
    x = torch.randn(2, 60, options.get("n_leads", 1))
    noise = torch.randn_like(x)
    with torch.no_grad():
        mean, _ = model.encode(x)
        assert torch.equal(mean, again.encode(x)[0])
        assert torch.equal(model.decode(mean, noise=noise), again.decode(mean, noise=noise))


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_from_seed_runs_no_code_and_says_what_is_wrong(tmp_path):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    with pytest.raises(FileNotFoundError):
        LSTMVAE.from_seed(path)
    torch.save({"a": RunsCode(str(trace))}, path)
    with pytest.raises(ValueError, match=r"weights\.pth is damaged or holds more than tensors"):
        LSTMVAE.from_seed(path)
    assert not trace.exists()
    torch.save(LSTMVAE(60, preset="seed"), path)  # the model, not its state_dict
    with pytest.raises(ValueError, match=r"torch\.save\(model\.state_dict\(\), path\)"):
        LSTMVAE.from_seed(path)

    good = LSTMVAE(60, preset="seed").state_dict()
    torch.save(good, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="is damaged or holds more than tensors"):
        LSTMVAE.from_seed(path)
    torch.save([torch.ones(1)], path)
    with pytest.raises(ValueError, match=r"must hold a state_dict, a mapping of names to tensors, got list"):
        LSTMVAE.from_seed(path)
    for state in (
        {},
        {"fc_mean.weight": torch.ones(1)},
        {key: value for key, value in good.items() if key != "fc_mean.bias"},
        good | {"more": torch.ones(1)},
        good | {"fc_mean.weight": torch.ones(3)},
        good | {"conv_kernels.4.weight": torch.ones(32, 1, 7)},
        LSTMVAE(60).state_dict(),
    ):
        torch.save(state, path)
        with pytest.raises(ValueError, match="does not hold the state_dict of an LSTM-VAE of the seed's form"):
            LSTMVAE.from_seed(path)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be from 1 to"),
        ({"length": 95}, "length must be a multiple of patch, 10, got 95"),
        ({"n_leads": 0}, "n_leads must be from 1 to"),
        ({"preset": "blog"}, "preset must be one of 'patches', 'seed'"),
        ({"preset": "seed", "patch": 20}, "patch must be 1 and n_classes 0 in the seed's form"),
        ({"preset": "seed", "n_classes": 2}, "patch must be 1 and n_classes 0 in the seed's form"),
        ({"n_classes": -1}, "n_classes must be from 1 to"),
        ({"latent": 0}, "latent must be from 1 to"),
        ({"pre_merge_activation": "tanh"}, "pre_merge_activation must be one of 'identity', 'relu'"),
        ({"noise_scale": -0.5}, "noise_scale must not be negative, got -0.5"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, got 1.0"),
    ],
)
def test_arguments_of_the_model(options, message):
    with pytest.raises(ValueError, match=message):
        LSTMVAE(**options)


def test_arguments_of_calls():
    model, seed, classes = LSTMVAE(60), LSTMVAE(60, preset="seed"), LSTMVAE(60, n_classes=2)
    for shape in ((60, 1), (2, 60, 2), (2, 55, 1), (2, 0, 1)):
        with pytest.raises(
            ValueError, match=r"x must have shape \(n, length, 1\) with a length that is a multiple of 10"
        ):
            model.encode(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 60, 1\), got \(2, 50, 1\)"):
        seed.encode(torch.zeros(2, 50, 1))
    with pytest.raises(ValueError, match=r"z must have shape \(n, steps, latent\) with latent = 4, got \(2, 4\)"):
        model.decode(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"z must have shape \(n, latent\) with latent = 32, got \(2, 31\)"):
        seed.decode(torch.zeros(2, 31))
    with pytest.raises(ValueError, match=r"noise must have shape \(2, 60, 1\), got \(2, 60\)"):
        seed.decode(torch.zeros(2, 32), noise=torch.zeros(2, 60))
    with pytest.raises(ValueError, match="noise must be None with noise_scale=0"):
        model.decode(torch.zeros(2, 6, 4), noise=torch.zeros(2, 60, 1))
    with pytest.raises(ValueError, match="n must be from 1 to"):
        model.sample(0)
    for unclassed in (model, seed):
        with pytest.raises(ValueError, match="condition must be None: this model has no classes"):
            unclassed.sample(2, condition=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(
        ValueError, match="condition must have the class of each of the 2 records, from 0 to 1, got None"
    ):
        classes.sample(2)
    with pytest.raises(ValueError, match="condition must be from 0 to 1, got 0 to 2"):
        classes.sample(2, condition=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="phase must be one of 'model'; got 'prior'"):
        seed.losses("prior", {"x": torch.zeros(1, 60, 1)}, beta=1.0)
