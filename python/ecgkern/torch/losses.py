"""Terms of the loss of a variational autoencoder, and their schedule."""

import math

import torch
from torch import Tensor

from ecgkern import _validate


def kl_divergence(mean: Tensor, log_var: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Return the Kullback-Leibler divergence of normal distributions from the standard normal one.

    .. math:: \mathrm{KL} = -\tfrac12 \sum_j \left(1 + \log\sigma_j^2 - \mu_j^2 - \sigma_j^2\right)

    Parameters
    ----------
    mean, log_var : Tensor, shape (..., n_latent)
        :math:`\mu` and :math:`\log\sigma^2`.
    reduction : {"mean", "sum", "none"}
        Over the records; the sum over the latent dimensions is always taken.

    Returns
    -------
    Tensor, shape () or, with "none", (...)
        Accurate to rounding near 0, where the terms cancel.

    Raises
    ------
    ValueError
        If the shapes differ or `reduction` is unknown.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch import kl_divergence
    >>> kl_divergence(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    tensor(0.5000)
    """
    if mean.shape != log_var.shape or mean.dim() == 0:
        raise ValueError(
            f"mean and log_var must share a shape (..., n_latent), got {tuple(mean.shape)} and {tuple(log_var.shape)}"
        )
    divergence = 0.5 * (torch.expm1(log_var) - log_var + mean.square()).sum(dim=-1)
    if reduction == "none":
        return divergence
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')
    return divergence.mean() if reduction == "mean" else divergence.sum()


def cyclical_beta(step: int, *, n_steps: int, n_cycles: int = 4, ratio: float = 0.5, beta_max: float = 1.0) -> float:
    r"""Return the weight of the KL divergence at a step of training, rising anew in every cycle.

    .. math:: \beta = \beta_{\max} \min(1, \tau / R), \qquad
              \tau = \frac{(t - 1) \bmod \lceil T / M \rceil}{T / M}

    It keeps decoders from learning to ignore the latent variables while beta is small (Fu et al. 2019).

    Parameters
    ----------
    step : int
        t, from 1.
    n_steps : int
        T, steps of the whole training.
    n_cycles : int, default 4
        M.
    ratio : float, default 0.5
        R, the part of a cycle in which beta rises; above 0, at most 1.
    beta_max : float, default 1
        Its largest value.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range; the message names it.

    References
    ----------
    H. Fu et al., Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing, NAACL 2019,
    arXiv:1903.10145.

    Examples
    --------
    >>> from ecgkern.torch import cyclical_beta
    >>> [cyclical_beta(t, n_steps=16, n_cycles=2) for t in range(1, 10)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.0]
    """
    step, n_steps = _validate.positive_integer(step, "step"), _validate.positive_integer(n_steps, "n_steps")
    n_cycles = _validate.positive_integer(n_cycles, "n_cycles")
    ratio = _validate.positive(ratio, "ratio")
    if ratio > 1.0:
        raise ValueError(f"ratio must be at most 1, got {ratio}")
    cycle = n_steps / n_cycles
    tau = (step - 1) % math.ceil(cycle) / cycle
    return _validate.real_number(beta_max, "beta_max") * min(1.0, tau / ratio)
