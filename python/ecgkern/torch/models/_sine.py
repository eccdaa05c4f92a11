"""The first model of the blog: a variational autoencoder of sine waves of one frequency and random phase.

Sines of amplitude 1 that differ in phase alone lie on a circle, sin(wt + phi) = cos(phi) sin(wt) + sin(phi) cos(wt),
so that two latent numbers, the angle of which is the phase, hold all there is to know.
"""

# mypy: allow-subclassing-any, allow-untyped-decorators, no-warn-return-any

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ecgkern import _validate
from ecgkern.torch.losses import kl_divergence


class Output(NamedTuple):
    """What a variational autoencoder makes of a batch."""

    reconstruction: Tensor
    mean: Tensor
    log_var: Tensor


class SineVAE(nn.Module):
    """A variational autoencoder of linear layers, for sines or any other short signals.

    Parameters
    ----------
    length : int, default 100
        Samples of a signal.
    n_leads : int, default 1
        Leads of a signal.
    latent : int, default 2
        Latent dimensions.
    hidden : sequence of int, default (64, 32)
        Widths of the encoder's layers; the decoder has them the other way round.

    Attributes
    ----------
    config : dict
        These arguments.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch.models import SineVAE
    >>> model = SineVAE()
    >>> model.sample(3).shape
    torch.Size([3, 100, 1])
    """

    def __init__(self, length: int = 100, n_leads: int = 1, latent: int = 2, hidden: Sequence[int] = (64, 32)) -> None:
        super().__init__()
        widths = [_validate.positive_integer(width, "hidden") for width in hidden]
        if not widths:
            raise ValueError("hidden must have at least one width, got none")
        self.config: dict[str, Any] = {
            "length": _validate.positive_integer(length, "length"),
            "n_leads": _validate.positive_integer(n_leads, "n_leads"),
            "latent": _validate.positive_integer(latent, "latent"),
            "hidden": widths,
        }
        self.encoder = _layers([length * n_leads, *widths])
        self.fc_mean = nn.Linear(widths[-1], latent)
        self.fc_log_var = nn.Linear(widths[-1], latent)
        self.decoder = nn.Sequential(*_layers([latent, *widths[::-1]]), nn.Linear(widths[0], length * n_leads))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of z, (n, latent) each, for x (n, length, n_leads)."""
        if x.dim() != 3 or x.shape[1:] != (self.config["length"], self.config["n_leads"]):
            raise ValueError(
                f"x must have shape (n, {self.config['length']}, {self.config['n_leads']}), got {tuple(x.shape)}"
            )
        features = self.encoder(x.flatten(1))
        return self.fc_mean(features), self.fc_log_var(features).clamp(-10, 10)

    def decode(self, z: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the signals (n, length, n_leads) of z (n, latent); this decoder takes no noise."""
        if noise is not None:
            raise ValueError("noise must be None: the decoder of SineVAE takes none")
        return self.decoder(z).unflatten(1, (self.config["length"], self.config["n_leads"]))

    def forward(self, x: Tensor) -> Output:
        """Return reconstruction, mean and log variance; z is drawn in training and is the mean in evaluation."""
        mean, log_var = self.encode(x)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp() if self.training else mean
        return Output(self.decode(z), mean, log_var)

    @torch.no_grad()
    def sample(self, n: int, *, condition: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Return n signals decoded from normal random numbers, as in evaluation.

        Parameters
        ----------
        n : int
            How many.
        condition : None
            There are no classes.
        generator : torch.Generator, optional
            Random numbers, on the device of the model.
        """
        if condition is not None:
            raise ValueError("condition must be None: SineVAE has no classes")
        weight = self.fc_mean.weight
        z = torch.randn(n, self.config["latent"], generator=generator, device=weight.device, dtype=weight.dtype)
        return self.decode(z)

    def phases(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the one phase of training."""
        return {"model": list(self.parameters())}

    def losses(self, phase: str, batch: dict[str, Tensor], *, beta: float) -> dict[str, Tensor]:
        """Return the loss of a batch and its parts: the mean squared error, and the KL divergence per sample and lead.

        With `beta` = 2 sigma**2 it is, to a factor, the evidence lower bound for noise of standard deviation sigma.
        """
        x = batch["x"]
        output = self(x)
        error = (x - output.reconstruction).square().mean(dim=2)
        weight = batch.get("weight", torch.ones_like(error))
        reconstruction = (weight * error).sum() / weight.sum()
        kl = kl_divergence(output.mean, output.log_var) / x[0].numel()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction.detach(), "kl": kl.detach()}


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)
