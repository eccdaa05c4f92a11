r"""Adversarial models: a GAN with a convolutional or a recurrent generator, and the LSTM-VAE with a discriminator.

    z -> generator -> x',    x or x' -> kernels of five sizes -> convolutions of stride 2 -> how real

The discriminator looks at a record through the same kernels as the LSTM-VAE's encoder, with ReLU before their merge.
"""

# mypy: allow-subclassing-any, allow-untyped-decorators, no-warn-return-any

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgkern import _validate
from ecgkern.torch.models._lstm_vae import CHANNELS, DILATION, KERNEL_SIZES, LSTMVAE, class_vectors
from ecgkern.torch.nn import MultiScaleConv1d

LOSSES = ("non-saturating", "wgan-gp")
SCALE = 0.25  # mV, of what the networks see and say as 1: about the standard deviation of an ECG
SLOPE = 0.2  # of LeakyReLU, below zero
HALVINGS = 4  # of the length in the discriminator, doublings in the generator
KERNEL = 5  # taps of their convolutions
TINY = 1e-8  # of a variance, so that its root has a slope where records are the same
PENALTY_EVERY = {"non-saturating": 4, "wgan-gp": 1}  # steps on average, with as many times the weight


class GAN(nn.Module):
    r"""A generative adversarial network of ECGs.

    Parameters
    ----------
    length : int, default 80
        Samples of a record: with `generator` "bilstm" a multiple of `patch`.
    n_leads : int, default 1
        Leads of a record.
    generator : {"conv", "bilstm"}
        "conv" doubles the length of a short signal of many channels four times, with a convolution after each: for
        beats. "bilstm" is an LSTM in both directions that writes a patch of samples at each step, from a noise of its
        own and from z, which is also its first state: for records of many beats, of any length.
    latent : int, default 32
        Numbers of z, and of the noise of a step.
    width : int, default 16
        Channels of the discriminator after the kernels, and of the convolutional generator before its output; where the
        signals are shorter there are two and four times as many.
    hidden : int, default 64
        Width of the LSTM, in each direction.
    patch : int, default 20
        Samples of a step of the LSTM.
    loss : {"non-saturating", "wgan-gp"}
        What discriminator and generator minimise; see Notes.
    penalty : float, optional
        Weight of the penalty on the discriminator's gradient: 1, or 10 for "wgan-gp".
    n_classes : int, default 0
        Classes that `sample` can be asked for.

    Attributes
    ----------
    config : dict
        These arguments, each with its value.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range; the message names it.

    Notes
    -----
    With :math:`D(x)` what the discriminator says of a record in units of 0.25 mV, x real and x' generated, the losses
    are those of Goodfellow et al. (2014, arXiv:1406.2661) with the penalty R1 of Mescheder et al. (2018,
    arXiv:1801.04406),

    .. math::
        L_D = \mathrm{softplus}(-D(x)) + \mathrm{softplus}(D(x')) + \tfrac{\gamma}{2} |\nabla D(x)|^2, \qquad
        L_G = \mathrm{softplus}(-D(x')),

    or those of Gulrajani et al. (2017, arXiv:1704.00028), with :math:`\hat x` anywhere between x and x',

    .. math:: L_D = D(x') - D(x) + \gamma (|\nabla D(\hat x)| - 1)^2, \qquad L_G = -D(x').

    The penalty takes a second derivative of the kernels, the time of four steps. R1 is computed in a quarter of the
    steps, drawn at random, with four times the weight; without the other in each step D would grow beyond all bounds.
    Classes enter the generator beside z and the discriminator by their product with its features (Miyato and Koyama
    2018, arXiv:1802.05637), which also tells how much the records of a batch differ, so that a generator of one record
    only is found out (Karras et al. 2018, arXiv:1710.10196).

    Generators are judged, and kept, as the running mean of their weights: option `average` of
    :func:`ecgkern.torch.training.fit`.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch.models import GAN
    >>> GAN(n_classes=2).sample(3, condition=torch.tensor([0, 1, 1])).shape
    torch.Size([3, 80, 1])
    >>> GAN(1000, generator="bilstm").sample(2).shape
    torch.Size([2, 1000, 1])
    """

    def __init__(
        self,
        length: int = 80,
        n_leads: int = 1,
        *,
        generator: str = "conv",
        latent: int = 32,
        width: int = 16,
        hidden: int = 64,
        patch: int = 20,
        loss: str = "non-saturating",
        penalty: float | None = None,
        n_classes: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"length": length, "n_leads": n_leads, "latent": latent, "width": width, "hidden": hidden}
        self.config: dict[str, Any] = {
            **{name: _validate.positive_integer(size, name) for name, size in sizes.items()},
            "patch": _validate.positive_integer(patch, "patch"),
            "generator": _validate.choice(generator, "generator", tuple(_GENERATORS)),
            "n_classes": n_classes and _validate.positive_integer(n_classes, "n_classes"),
        }
        if generator == "bilstm" and length % patch:
            raise ValueError(f"length must be a multiple of patch, {patch}, got {length}")
        self.generator = _GENERATORS[generator](**{k: v for k, v in self.config.items() if k != "generator"})
        self.discriminator = Discriminator(n_leads, width, loss=loss, penalty=penalty, n_classes=n_classes)
        self.config |= {"loss": loss, "penalty": self.discriminator.penalty}

    def decode(self, z: Tensor, *, noise: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return the records (n, length, n_leads) of z (n, latent).

        Parameters
        ----------
        z : Tensor, shape (n, latent)
            What a record is made of.
        noise : Tensor, shape (n, steps, latent), optional
            For the steps of the LSTM, of which there may be any number; the convolutional generator takes none.
        condition : Tensor of int64, shape (n,), optional
            Classes.
        """
        latent = self.config["latent"]
        if z.dim() != 2 or z.shape[1] != latent:
            raise ValueError(f"z must have shape (n, {latent}), got {tuple(z.shape)}")
        recurrent = self.config["generator"] == "bilstm"
        if (noise is not None) != recurrent:
            wanted = f"have shape (n, steps, {latent})" if recurrent else "be None"
            raise ValueError(f"noise must {wanted} with the generator {self.config['generator']!r}")
        if noise is not None and (noise.dim() != 3 or noise.shape[::2] != z.shape):
            raise ValueError(f"noise must have shape ({z.shape[0]}, steps, {latent}), got {tuple(noise.shape)}")
        return SCALE * self.generator(z, noise, condition)

    @torch.no_grad()
    def sample(self, n: int, *, condition: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Return new records.

        Parameters
        ----------
        n : int
            How many.
        condition : Tensor of int64, shape (n,), optional
            Their classes; needed where the model has classes.
        generator : torch.Generator, optional
            Random numbers, on the device of the model.

        Returns
        -------
        Tensor, shape (n, length, n_leads)
        """
        return self._fakes(_validate.positive_integer(n, "n"), self.config["length"], condition, generator)

    def _fakes(self, n: int, length: int, condition: Tensor | None, generator: torch.Generator | None = None) -> Tensor:
        """Return n records, of this length or more."""
        like = next(self.generator.parameters())
        options: dict[str, Any] = {"generator": generator, "dtype": like.dtype, "device": like.device}
        z, noise = torch.randn(n, self.config["latent"], **options), None
        if self.config["generator"] == "bilstm":
            noise = torch.randn(n, -(-length // self.config["patch"]), self.config["latent"], **options)
        return self.decode(z, noise=noise, condition=condition)

    def phases(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the two phases of training."""
        return {
            "discriminator": list(self.discriminator.parameters()),
            "generator": list(self.generator.parameters()),
        }

    def losses(self, phase: str, batch: Mapping[str, Tensor], *, beta: float) -> dict[str, Tensor]:
        """Return what a phase minimises, under "loss", and its parts.

        Parameters
        ----------
        phase : {"discriminator", "generator"}
            Which of the two.
        batch : mapping of str to Tensor
            "x" (n, length, n_leads), records or stretches of such, and where there are classes "condition" (n,).
        beta : float
            Not used: there is no divergence.
        """
        _validate.choice(phase, "phase", tuple(self.phases()))
        x, condition = batch["x"], batch.get("condition")
        if x.dim() != 3 or x.shape[2] != self.config["n_leads"] or not 0 < x.shape[1] <= self.config["length"]:
            raise ValueError(
                f"x must have shape (n, length, {self.config['n_leads']}) with a length of at most "
                f"{self.config['length']}, got {tuple(x.shape)}"
            )
        fakes = self._fakes(x.shape[0], x.shape[1], condition)
        if fakes.shape[1] > x.shape[1]:  # then x are stretches of records, from anywhere
            start = int(torch.randint(fakes.shape[1] - x.shape[1] + 1, ()))
            fakes = fakes[:, start : start + x.shape[1]]
        if phase == "generator":
            return {"loss": self.discriminator.doubt(fakes, condition)}
        return self.discriminator.losses(x, fakes.detach(), condition)


class VAEGAN(LSTMVAE):
    r"""The LSTM-VAE with a discriminator: an autoencoder whose samples must look real as well.

    Parameters
    ----------
    length, n_leads, patch, latent, hidden, projected, merge_out, pre_merge_activation, noise_scale, dropout, n_classes
        As of :class:`LSTMVAE`, in its default form.
    adversarial : float, default 1e-3
        Weight of the generator's loss beside that of the autoencoder, in mV².
    width, loss, penalty
        Of the discriminator, as of :class:`GAN`.

    Attributes
    ----------
    config : dict
        These arguments, each with its value.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range; the message names it.

    Notes
    -----
    Prior and decoder are the generator: the loss of the phase "generator" is that of :class:`LSTMVAE` plus
    `adversarial` times that of :class:`GAN`'s generator for records that are drawn from the prior. Larsen et al. (2016,
    arXiv:1512.09300), whose idea it is, have reconstructions judged as well, and measure their error by features of the
    discriminator; here it is that of the samples. The gradient of what the discriminator says goes through the decoder
    and through the normal distributions of the prior, not through the choice among them.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch.models import VAEGAN
    >>> model = VAEGAN(length=200)
    >>> model.sample(2).shape
    torch.Size([2, 200, 1])
    >>> sorted(model.losses("generator", {"x": torch.zeros(4, 200, 1)}, beta=1e-3))
    ['adversarial', 'kl', 'loss', 'reconstruction']
    """

    def __init__(
        self,
        length: int = 1000,
        n_leads: int = 1,
        *,
        adversarial: float = 1e-3,
        width: int = 16,
        loss: str = "non-saturating",
        penalty: float | None = None,
        n_classes: int = 0,
        **arguments: Any,
    ) -> None:
        super().__init__(length, n_leads, n_classes=n_classes, **arguments)
        if self._seed_form:
            raise ValueError("preset must be 'patches' for a VAEGAN, got 'seed'")
        width = _validate.positive_integer(width, "width")
        self.discriminator = Discriminator(n_leads, width, loss=loss, penalty=penalty, n_classes=n_classes)
        self.config |= {"adversarial": _validate.positive(adversarial, "adversarial"), "width": width}
        self.config |= {"loss": loss, "penalty": self.discriminator.penalty}

    def phases(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the two phases of training."""
        named = list(self.named_parameters())
        return {
            "discriminator": list(self.discriminator.parameters()),
            "generator": [parameter for name, parameter in named if not name.startswith("discriminator.")],
        }

    def losses(self, phase: str, batch: Mapping[str, Tensor], *, beta: float) -> dict[str, Tensor]:
        """Return what a phase minimises, under "loss", and its parts.

        Parameters
        ----------
        phase : {"discriminator", "generator"}
            Which of the two.
        batch : mapping of str to Tensor
            As :meth:`LSTMVAE.losses` takes it.
        beta : float
            Weight of the KL divergence, which is per sample and lead.
        """
        _validate.choice(phase, "phase", tuple(self.phases()))
        x, condition = batch["x"], batch.get("condition")
        self._check(x)
        terms = self._terms(batch, beta) if phase == "generator" else {}
        fakes = self.decode(self._draw(x.shape[0], x.shape[1] // self.config["patch"], condition))
        if phase == "discriminator":
            return self.discriminator.losses(x, fakes.detach(), condition)
        doubt = self.discriminator.doubt(fakes, condition)
        loss = terms["loss"] + self.config["adversarial"] * doubt
        return terms | {"loss": loss, "adversarial": doubt.detach()}


class Discriminator(nn.Module):
    """Tells how real records are: kernels of five sizes, convolutions of stride 2, a mean over time."""

    def __init__(self, n_leads: int, width: int, *, loss: str, penalty: float | None, n_classes: int) -> None:
        super().__init__()
        self.wasserstein = _validate.choice(loss, "loss", LOSSES) == "wgan-gp"
        self.penalty_every = PENALTY_EVERY[loss]
        usual = 10.0 if self.wasserstein else 1.0
        self.penalty = usual if penalty is None else _validate.real_number(penalty, "penalty")
        if self.penalty < 0:
            raise ValueError(f"penalty must not be negative, got {penalty}")
        self.kernels = MultiScaleConv1d(
            n_leads, CHANNELS, KERNEL_SIZES, dilation=DILATION, activation="relu", merge=width
        )
        widths = _widths(width)
        widths[0] += 1  # the place
        self.layers = nn.Sequential()
        for before, after in pairwise(widths):
            self.layers.append(nn.Conv1d(before, after, KERNEL, stride=2, padding=KERNEL // 2))
            self.layers.append(nn.LeakyReLU(SLOPE))
        self.output = nn.Linear(widths[-1] + 1, 1)
        self.classes = nn.Embedding(n_classes, widths[-1]) if n_classes else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return a number for each record of x (n, length, n_leads)."""
        h = functional.leaky_relu(self.kernels(x.transpose(1, 2) / SCALE), SLOPE)
        # Convolutions and the mean do not know where they are, but beats are cut out around their R peak.
        place = torch.linspace(-1, 1, h.shape[2], dtype=h.dtype, device=h.device).expand(h.shape[0], 1, -1)
        h = self.layers(torch.cat([h, place], dim=1)).mean(dim=2)
        spread = (h.var(dim=0, correction=0) + TINY).sqrt().mean().expand(h.shape[0], 1)
        real = self.output(torch.cat([h, spread], dim=1))[:, 0]
        wanted = class_vectors(self.classes, condition, x.shape[0])
        return real if wanted is None else real + (wanted * h).sum(dim=1)

    def losses(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> dict[str, Tensor]:
        """Return what the discriminator minimises, and its parts."""
        penalised = bool(self.penalty) and bool(torch.rand(()) < 1 / self.penalty_every)
        if self.wasserstein:
            of_real, of_fake = self(real, condition), self(fake, condition)
            distance = of_fake.mean() - of_real.mean()
            if penalised:
                share = torch.rand(real.shape[0], 1, 1, dtype=real.dtype, device=real.device)
                between = torch.lerp(fake.to(real.dtype), real, share).requires_grad_()
                excess = self._squared_gradient(self(between, condition), between).clamp(min=1e-12).sqrt() - 1
                penalty = self.penalty * excess.square().mean()
        else:
            real = real.detach().requires_grad_(penalised)
            of_real, of_fake = self(real, condition), self(fake, condition)
            distance = functional.softplus(-of_real).mean() + functional.softplus(of_fake).mean()
            if penalised:
                penalty = 0.5 * self.penalty * self._squared_gradient(of_real, real).mean()
        penalty = self.penalty_every * penalty if penalised else torch.zeros_like(distance)
        return {
            "loss": distance + penalty,
            "penalty": penalty.detach(),
            "of_real": of_real.mean().detach(),
            "of_fake": of_fake.mean().detach(),
        }

    def doubt(self, fake: Tensor, condition: Tensor | None) -> Tensor:
        """Return what a generator minimises."""
        said = self(fake, condition)
        return -said.mean() if self.wasserstein else functional.softplus(-said).mean()

    def _squared_gradient(self, said: Tensor, x: Tensor) -> Tensor:
        """Return the squared norm of each record's gradient, with respect to the record in units of `SCALE`."""
        (gradient,) = torch.autograd.grad(said.sum(), x, create_graph=True)
        return (SCALE * gradient).square().sum(dim=(1, 2))


class _ConvGenerator(nn.Module):
    """A short signal of many channels, doubled in length until it is a record."""

    def __init__(self, *, length: int, n_leads: int, latent: int, width: int, n_classes: int, **_: int) -> None:
        super().__init__()
        self.lengths = [length]
        for _step in range(HALVINGS):
            self.lengths.insert(0, -(-self.lengths[0] // 2))
        widths = _widths(width)[::-1]
        self.classes = nn.Embedding(n_classes, latent) if n_classes else None
        self.input = nn.Linear(latent * (2 if n_classes else 1), widths[0] * self.lengths[0])
        self.layers = nn.ModuleList(nn.Conv1d(a, b, KERNEL, padding=KERNEL // 2) for a, b in pairwise(widths))
        self.output = nn.Conv1d(widths[-1], n_leads, KERNEL, padding=KERNEL // 2)

    def forward(self, z: Tensor, noise: None, condition: Tensor | None) -> Tensor:
        wanted = class_vectors(self.classes, condition, z.shape[0])
        h = self.input(z if wanted is None else torch.cat([z, wanted], dim=1)).unflatten(1, (-1, self.lengths[0]))
        for layer, length in zip(self.layers, self.lengths[1:], strict=True):
            h = layer(functional.interpolate(functional.leaky_relu(h, SLOPE), size=length, mode="linear"))
        return self.output(functional.leaky_relu(h, SLOPE)).transpose(1, 2)


class _LSTMGenerator(nn.Module):
    """An LSTM in both directions that begins with z and hears z and noise at each step, and convolutions after it."""

    def __init__(
        self, *, n_leads: int, latent: int, width: int, hidden: int, patch: int, n_classes: int, **_: int
    ) -> None:
        super().__init__()
        self.width = width
        self.classes = nn.Embedding(n_classes, latent) if n_classes else None
        known = latent * (2 if n_classes else 1)
        self.latent_to_hidden = nn.Linear(known, 2 * hidden)
        self.lstm = nn.LSTM(known + latent, hidden, batch_first=True, bidirectional=True)
        self.patches = nn.Linear(2 * hidden, patch * width)
        # Without these a wave is drawn where a patch begins rather than across two.
        self.layers = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2),
            nn.LeakyReLU(SLOPE),
            nn.Conv1d(width, n_leads, KERNEL, padding=KERNEL // 2),
        )

    def forward(self, z: Tensor, noise: Tensor, condition: Tensor | None) -> Tensor:
        wanted = class_vectors(self.classes, condition, z.shape[0])
        known = z if wanted is None else torch.cat([z, wanted], dim=1)
        start = self.latent_to_hidden(known).unflatten(1, (2, -1)).transpose(0, 1).contiguous()
        every = known[:, None].expand(-1, noise.shape[1], -1)
        states, _ = self.lstm(torch.cat([every, noise], dim=2), (start, torch.zeros_like(start)))
        h = self.patches(states).reshape(z.shape[0], -1, self.width)
        return self.layers(h.transpose(1, 2)).transpose(1, 2)


_GENERATORS: dict[str, Any] = {"conv": _ConvGenerator, "bilstm": _LSTMGenerator}


def _widths(width: int) -> list[int]:
    """Return the channels at each length, from the longest on."""
    return [min(width << i, 4 * width) for i in range(HALVINGS + 1)]
