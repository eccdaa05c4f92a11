r"""The LSTM-VAE of the blog, and what keeps its R peaks: patches, and latent numbers along the record.

    x -> kernels of five sizes -> merge -> LSTM -> mean, log variance -> z -> LSTM -> x'

The seed's form steps through the record sample by sample, holds all of it in one vector z and feeds its decoder white
noise beside z. The default form steps from patch to patch: each patch of `patch` samples has a vector z of its own, the
decoder gets nothing but these, and a linear layer writes the samples of a patch. What is normal for z the model learns
too: its prior is an LSTM that tells the distribution of each z from those before it, and new records come from there.
"""

# mypy: allow-subclassing-any, allow-untyped-decorators, no-warn-return-any

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgkern import _validate
from ecgkern.torch._conv import multiscale_conv1d
from ecgkern.torch.losses import kl_divergence
from ecgkern.torch.models._sine import Output

KERNEL_SIZES = (3, 11, 25, 75, 119)
CHANNELS = 32  # of each kernel, and between the two convolutions of the merge
DILATION = 2
# Normal distributions in the prior of a patch. With a single one z takes an eighth more nats for the same error, and
# the RR intervals of generated records vary half as much again (ten seconds of lead II, 1400 steps).
MIXTURE = 8

# What the arguments that are None stand for. The seed's merge_out is n_leads.
_PRESETS: dict[str, dict[str, Any]] = {
    "patches": {"patch": 10, "latent": 4, "hidden": 64, "projected": 128, "merge_out": 32, "noise_scale": 0.0},
    "seed": {"patch": 1, "latent": 32, "hidden": 128, "projected": 32, "merge_out": None, "noise_scale": 1.0},
}


class LSTMVAE(nn.Module):
    r"""A variational autoencoder of ECGs: convolutions of five sizes and an LSTM each way.

    Parameters
    ----------
    length : int, default 1000
        Samples of a record, a multiple of `patch`.
    n_leads : int, default 1
        Leads of a record.
    preset : {"patches", "seed"}
        The form, and what the arguments stand for that are None. "seed" is the blog's model, whose ``state_dict`` it
        takes: a step for each sample, one vector z for the whole record, white noise beside z, LSTMs in one direction.
    patch : int, optional
        Samples of a step of the LSTMs, each step with a vector z of its own: 10. The seed's is always 1.
    latent : int, optional
        Latent dimensions, 4 for each patch; in the seed's form 32 for the record.
    hidden : int, optional
        Width of an LSTM: 64 in each of its two directions, seed 128.
    projected : int, optional
        Width of what enters the encoder's LSTM at each step: 128, seed 32.
    merge_out : int, optional
        Channels after the merge: 32; the seed has as many as leads.
    pre_merge_activation : {"identity", "relu"}
        What the channels of the kernels pass before the merge. With identity, kernels and merge are computed as the
        one convolution that they amount to.
    noise_scale : float, optional
        Standard deviation of the white noise that the decoder's LSTM gets beside z, a number for each sample and lead:
        0, which is none; seed 1.
    dropout : float, default 0.1
        Of the encoder's summary, in training.
    n_classes : int, default 0
        Classes that `sample` can be asked for; they enter the prior. Not in the seed's form.

    Attributes
    ----------
    config : dict
        These arguments, each with its value.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or does not go with the others; the message names it.

    Notes
    -----
    The loss of a batch, of which `losses` gives the parts, is

    .. math:: L = \frac{\sum_t w_t (x_t - x'_t)^2}{\sum_t w_t}
              + \frac{\beta}{N} \mathrm{KL}\left(q(z|x)\,\|\,p(z)\right)

    with the number N of samples and leads, so that :math:`\beta = 2 \sigma^2` for a noise of standard deviation
    :math:`\sigma` (in mV) whatever the length: 2e-3 stands for 32 µV. The prior p is N(0, 1) in the seed's form, and

    .. math:: p(z_1, ..., z_T) = \prod_t p(z_t | z_1, ..., z_{t-1})

    with patches, a mixture of 8 normal distributions at each step, from an LSTM (in the manner of Chung et al., A
    Recurrent Latent Variable Model for Sequential Data, NeurIPS 2015, arXiv:1506.02216). Its KL divergence is estimated
    from the z that are drawn. N(0, 1) would have the patches of a record know nothing of each other.

    What squashes the R peaks of the seed's form: of lead II of PTB-XL, held-out patients, reconstructions have so much
    of their height and correlate so far with the records. Beats are windows of 1 s.

    =================================================  =====  =================  =================
    form                                               steps  height             correlation
    =================================================  =====  =================  =================
    beats: seed's, three trainings                     700 +  0.06, 0.06, 0.88   0.18, 0.16, 0.74
    without white noise, two trainings                 700    0.99, 0.93         0.78, 0.76
    with it, merge_out=32                              700    1.02               0.77
    with it, weights around the waves                  700    0.97               0.80
    with it, patches of 20 samples, two trainings      700    1.00, 1.01         0.94, 0.94
    patches, a z for each: this class                  700    0.99               0.99
    (the mean beat in place of every beat)                    1.07               0.88
    ten seconds: patches of 20, one z                  1500   0.04               0.36
    patches, a z for each: this class                  2500   0.99               0.99
    =================================================  =====  =================  =================

    So it is the many steps of the LSTM from one z, by which a beat comes out worse than the mean beat: the place and
    the shape of a few samples have to be counted out by what the recurrence remembers, and white noise makes the
    training stick before it has learned to. Of ten seconds one z, even of 400 numbers, does not come to hold where the
    beats are.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch.models import LSTMVAE
    >>> model = LSTMVAE(length=200).eval()
    >>> output = model(torch.randn(4, 200, 1))
    >>> output.reconstruction.shape, output.mean.shape
    (torch.Size([4, 200, 1]), torch.Size([4, 20, 4]))
    >>> model.sample(2, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 200, 1])
    >>> LSTMVAE(preset="seed").config["latent"]
    32
    """

    def __init__(
        self,
        length: int = 1000,
        n_leads: int = 1,
        *,
        preset: str = "patches",
        patch: int | None = None,
        latent: int | None = None,
        hidden: int | None = None,
        projected: int | None = None,
        merge_out: int | None = None,
        pre_merge_activation: str = "identity",
        noise_scale: float | None = None,
        dropout: float = 0.1,
        n_classes: int = 0,
    ) -> None:
        super().__init__()
        _validate.choice(preset, "preset", tuple(_PRESETS))
        given = {"patch": patch, "latent": latent, "hidden": hidden, "projected": projected, "merge_out": merge_out}
        usual = _PRESETS[preset] | ({} if preset != "seed" else {"merge_out": n_leads})
        sizes: dict[str, Any] = {"length": length, "n_leads": n_leads}
        sizes |= {name: usual[name] if size is None else size for name, size in given.items()}
        self.config: dict[str, Any] = {
            "preset": preset,
            **{name: _validate.positive_integer(size, name) for name, size in sizes.items()},
            "pre_merge_activation": _validate.choice(
                pre_merge_activation, "pre_merge_activation", ("identity", "relu")
            ),
            "noise_scale": _validate.real_number(
                usual["noise_scale"] if noise_scale is None else noise_scale, "noise_scale"
            ),
            "dropout": _validate.real_number(dropout, "dropout"),
            "n_classes": n_classes and _validate.positive_integer(n_classes, "n_classes"),
        }
        self._seed_form = preset == "seed"
        step = self.config["patch"]
        if self.config["noise_scale"] < 0:
            raise ValueError(f"noise_scale must not be negative, got {noise_scale}")
        if not 0 <= self.config["dropout"] < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout}")
        if self._seed_form and (step > 1 or n_classes):
            raise ValueError(
                f"patch must be 1 and n_classes 0 in the seed's form, which has neither, got {step} and {n_classes}"
            )
        if length % step:
            raise ValueError(f"length must be a multiple of patch, {step}, got {length}")
        self._build()

    def _build(self) -> None:
        leads, latent, hidden = (self.config[name] for name in ("n_leads", "latent", "hidden"))
        merge_out, projected = self.config["merge_out"], self.config["projected"]
        both = not self._seed_form  # directions of time
        samples = leads * self.config["patch"]
        width = hidden * (2 if both else 1)
        self.conv_kernels = nn.ModuleList(
            nn.Conv1d(leads, CHANNELS, k, padding=DILATION * (k // 2), dilation=DILATION) for k in KERNEL_SIZES
        )
        channels = CHANNELS * len(KERNEL_SIZES)
        self.conv_merge = nn.Sequential(nn.Conv1d(channels, CHANNELS, 1), nn.ReLU(), nn.Conv1d(CHANNELS, merge_out, 1))
        self.merge_project = nn.Linear(merge_out * self.config["patch"], projected)
        self.merge_activation = nn.ReLU()
        self.encoder_lstm = nn.LSTM(projected, hidden, batch_first=True, bidirectional=both)
        self.encoder_norm = nn.LayerNorm(width)
        self.dropout_latent = nn.Dropout(self.config["dropout"])
        self.fc_mean = nn.Linear(width, latent)
        self.fc_log_var = nn.Linear(width, latent)
        if not both:
            self.latent_to_hidden = nn.Linear(latent, hidden)
            self.latent_to_cell = nn.Linear(latent, hidden)
        noisy = samples if self.config["noise_scale"] else 0
        self.decoder_lstm = nn.LSTM(latent + noisy, hidden, batch_first=True, bidirectional=both)
        self.fc_decoder_output = nn.Linear(width, samples)
        self.final_activation = nn.Identity()
        if both:
            self.prior = Prior(latent, 2 * hidden, self.config["n_classes"])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of z for the records x.

        Parameters
        ----------
        x : Tensor, shape (n, length, n_leads)
            Records, of any length that is a multiple of `patch`; in the seed's form of the model's length.

        Returns
        -------
        mean, log_var : Tensor, shape (n, length / patch, latent) or, in the seed's form, (n, latent)
        """
        self._check(x)
        first, *others = self.conv_merge
        y = multiscale_conv1d(
            x.transpose(1, 2),
            [kernel.weight for kernel in self.conv_kernels],
            [kernel.bias for kernel in self.conv_kernels],
            dilation=DILATION,
            activation="relu" if self.config["pre_merge_activation"] == "relu" else None,
            merge_weight=first.weight,
            merge_bias=first.bias,
        )
        for layer in others:
            y = layer(y)
        steps = y.transpose(1, 2).reshape(x.shape[0], x.shape[1] // self.config["patch"], -1)
        states, (last, _) = self.encoder_lstm(self.merge_activation(self.merge_project(steps)))
        summary = last[-1] if self._seed_form else states
        summary = self.dropout_latent(self.encoder_norm(summary))
        return self.fc_mean(summary), self.fc_log_var(summary).clamp(-10, 10)

    def _check(self, x: Tensor) -> None:
        """Raise unless x are records for this model."""
        patch, leads, length = (self.config[name] for name in ("patch", "n_leads", "length"))
        if self._seed_form:
            fits, wanted = x.shape[1:] == (length, leads), f"(n, {length}, {leads})"
        else:
            fits = x.dim() == 3 and x.shape[2] == leads and x.shape[1] > 0 and x.shape[1] % patch == 0
            wanted = f"(n, length, {leads}) with a length that is a multiple of {patch}"
        if not fits:
            raise ValueError(f"x must have shape {wanted}, got {tuple(x.shape)}")

    def reparameterize(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Return z, drawn from the normal distribution in training, its mean in evaluation."""
        return mean + torch.randn_like(mean) * (0.5 * log_var).exp() if self.training else mean

    def decode(self, z: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the records of z.

        Parameters
        ----------
        z : Tensor, shape (n, steps, latent) or, in the seed's form, (n, latent)
            A vector for each patch, or for the record.
        noise : Tensor, shape (n, length, n_leads), optional
            White noise of standard deviation 1, where `noise_scale` is not 0; by default drawn anew.

        Returns
        -------
        Tensor, shape (n, length, n_leads)
        """
        if z.dim() != (2 if self._seed_form else 3) or z.shape[-1] != self.config["latent"]:
            form = "(n, latent)" if self._seed_form else "(n, steps, latent)"
            raise ValueError(f"z must have shape {form} with latent = {self.config['latent']}, got {tuple(z.shape)}")
        length = self.config["length"] if self._seed_form else z.shape[1] * self.config["patch"]
        shape = (z.shape[0], length, self.config["n_leads"])
        state = None
        if self._seed_form:
            state = self.latent_to_hidden(z)[None], self.latent_to_cell(z)[None]
            z = z[:, None].expand(-1, length, -1)
        if self.config["noise_scale"]:
            noise = torch.randn(shape, dtype=z.dtype, device=z.device) if noise is None else noise
            if noise.shape != shape:
                raise ValueError(f"noise must have shape {shape}, got {tuple(noise.shape)}")
            z = torch.cat([z, self.config["noise_scale"] * noise.reshape(z.shape[0], z.shape[1], -1)], dim=2)
        elif noise is not None:
            raise ValueError("noise must be None with noise_scale=0: this decoder takes none")
        states, _ = self.decoder_lstm(z, state)
        return self.final_activation(self.fc_decoder_output(states)).reshape(shape)

    def forward(self, x: Tensor) -> Output:
        """Return reconstruction, mean and log variance; z is drawn in training and is the mean in evaluation."""
        mean, log_var = self.encode(x)
        return Output(self.decode(self.reparameterize(mean, log_var)), mean, log_var)

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
        n = _validate.positive_integer(n, "n")
        options = self._random(generator)
        length, leads = self.config["length"], self.config["n_leads"]
        if self._seed_form:
            if condition is not None:
                raise ValueError("condition must be None: this model has no classes")
            z = torch.randn(n, self.config["latent"], **options)
        else:
            z = self._draw(n, length // self.config["patch"], condition, generator)
        noise = torch.randn(n, length, leads, **options) if self.config["noise_scale"] else None
        return self.decode(z, noise=noise)

    def _draw(self, n: int, steps: int, condition: Tensor | None, generator: torch.Generator | None = None) -> Tensor:
        """Return z (n, steps, latent) from the learned prior."""
        latent, options = self.config["latent"], self._random(generator)
        normal, uniform = torch.randn(n, steps, latent, **options), torch.rand(n, steps, 1, **options)
        return self.prior.draw(normal, uniform, condition)

    def _random(self, generator: torch.Generator | None) -> dict[str, Any]:
        """Return how to draw numbers like the weights."""
        weight = self.fc_mean.weight
        return {"generator": generator, "dtype": weight.dtype, "device": weight.device}

    def phases(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the one phase of training."""
        return {"model": list(self.parameters())}

    def losses(self, phase: str, batch: Mapping[str, Tensor], *, beta: float) -> dict[str, Tensor]:
        """Return the loss of a batch, "reconstruction" + `beta` * "kl", under "loss", and these parts.

        Parameters
        ----------
        phase : {"model"}
            There is but one.
        batch : mapping of str to Tensor
            "x" (n, length, n_leads), and where there are any, "weight" (n, length) of the squared errors and
            "condition" (n,), the classes.
        beta : float
            Weight of the KL divergence, which is per sample and lead.
        """
        _validate.choice(phase, "phase", tuple(self.phases()))
        return self._terms(batch, beta)

    def _terms(self, batch: Mapping[str, Tensor], beta: float) -> dict[str, Tensor]:
        """Return the loss of an autoencoder and its parts."""
        x = batch["x"]
        mean, log_var = self.encode(x)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()  # in evaluation too: the divergence needs it
        error = (x - self.decode(z)).square().mean(dim=2)
        weight = batch.get("weight", torch.ones_like(error))
        reconstruction = (weight * error).sum() / weight.sum()
        if self._seed_form:
            kl = kl_divergence(mean, log_var)
        else:
            entropy = 0.5 * (log_var + math.log(2 * math.pi) + 1).sum(dim=(1, 2))
            kl = -(self.prior(z, batch.get("condition")) + entropy).mean()
        kl = kl / x[0].numel()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction.detach(), "kl": kl.detach()}

    @classmethod
    def from_seed(cls, path: str | Path, *, length: int = 1000, pre_merge_activation: str = "identity") -> "LSTMVAE":
        """Load a ``state_dict`` of the seed's form that ``torch.save`` has written.

        Only tensors are read (``weights_only=True``), so that the file cannot run code. Sizes are those of the tensors.

        Parameters
        ----------
        path : path
            The file, usually .pt or .pth.
        length : int, default 1000
            Samples of a record, which the weights do not tell.
        pre_merge_activation : {"identity", "relu"}
            Nor do they tell this.

        Returns
        -------
        LSTMVAE
            In evaluation mode.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, holds anything but tensors, or other tensors than this model has.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # damage and pickles meet torch.load in many ways
            raise ValueError(
                f"{path} is damaged or holds more than tensors, which is not loaded as it could run code; write it "
                "with torch.save(model.state_dict(), path)"
            ) from error
        if not isinstance(state, Mapping):
            raise ValueError(
                f"{path} must hold a state_dict, a mapping of names to tensors, got {type(state).__name__}"
            )
        try:
            config = {
                "n_leads": state["conv_kernels.0.weight"].shape[1],
                "latent": state["fc_mean.weight"].shape[0],
                "hidden": state["encoder_lstm.weight_hh_l0"].shape[1],
                "projected": state["merge_project.weight"].shape[0],
                "merge_out": state["merge_project.weight"].shape[1],
            }
            noisy = state["decoder_lstm.weight_ih_l0"].shape[1] > config["latent"]
            model = LSTMVAE(
                length,
                preset="seed",
                pre_merge_activation=pre_merge_activation,
                noise_scale=float(noisy),
                **config,
            )
            model.load_state_dict(state)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise ValueError(
                f"{path} does not hold the state_dict of an LSTM-VAE of the seed's form: {error}"
            ) from error
        return model.eval()


class Prior(nn.Module):
    """The distribution of each vector z of a record, given those before it: a mixture of normals, from an LSTM."""

    def __init__(self, latent: int, hidden: int, n_classes: int) -> None:
        super().__init__()
        self.latent = latent
        self.classes = nn.Embedding(n_classes, hidden) if n_classes else None
        self.lstm = nn.LSTM(latent, hidden, batch_first=True)
        self.output = nn.Linear(hidden, MIXTURE * (1 + 2 * latent))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the logarithm of the density of each record's z (n, steps, latent)."""
        before = functional.pad(z[:, :-1], (0, 0, 1, 0))  # nothing is known before the first
        states, _ = self.lstm(before, self._start(z, condition))
        log_weight, mean, log_var = self._mixture(states)
        square = (z[:, :, None] - mean).square() * (-log_var).exp()
        log_normal = -0.5 * (square + log_var + math.log(2 * math.pi)).sum(dim=-1)
        return (log_weight + log_normal).logsumexp(dim=-1).sum(dim=1)

    def draw(self, normal: Tensor, uniform: Tensor, condition: Tensor | None = None) -> Tensor:
        """Turn random numbers, normal (n, steps, latent) and uniform (n, steps, 1), into z (n, steps, latent)."""
        z, state = torch.zeros_like(normal[:, :1]), self._start(normal, condition)
        drawn = []
        for number, share in zip(normal.split(1, dim=1), uniform.split(1, dim=1), strict=True):
            states, state = self.lstm(z, state)
            log_weight, mean, log_var = self._mixture(states)
            below = log_weight.exp().cumsum(dim=-1)[..., :-1] < share
            chosen = below.sum(dim=-1)[..., None, None].expand(-1, -1, 1, self.latent)
            z = mean.gather(2, chosen)[:, :, 0] + number * (0.5 * log_var.gather(2, chosen)[:, :, 0]).exp()
            drawn.append(z)
        return torch.cat(drawn, dim=1)

    def _mixture(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logarithms of weights (n, steps, k), means and log variances (n, steps, k, latent)."""
        log_weight, others = self.output(states).split([MIXTURE, 2 * MIXTURE * self.latent], dim=-1)
        mean, log_var = others.unflatten(-1, (MIXTURE, 2 * self.latent)).chunk(2, dim=-1)
        return log_weight.log_softmax(dim=-1), mean, log_var.clamp(-10, 10)

    def _start(self, z: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Return the LSTM's first state, which knows the class."""
        start = class_vectors(self.classes, condition, z.shape[0])
        return None if start is None else (start[None], torch.zeros_like(start[None]))


def class_vectors(classes: nn.Embedding | None, condition: Tensor | None, n: int) -> Tensor | None:
    """Return the vector of each of n records' class, for a model that has classes."""
    if classes is None:
        if condition is not None:
            raise ValueError("condition must be None: this model has no classes")
        return None
    if condition is None or condition.shape != (n,):
        raise ValueError(
            f"condition must have the class of each of the {n} records, from 0 to {classes.num_embeddings - 1}, "
            f"got {None if condition is None else tuple(condition.shape)}"
        )
    inside = (condition >= 0) & (condition < classes.num_embeddings)
    if not torch.compiler.is_compiling() and not bool(inside.all()):
        raise ValueError(
            f"condition must be from 0 to {classes.num_embeddings - 1}, got {int(condition.min())} to "
            f"{int(condition.max())}"
        )
    return classes(condition)
