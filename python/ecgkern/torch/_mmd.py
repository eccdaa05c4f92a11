"""`mmd2` as an operator.

    ecgkern::mmd2        MMD², by ecgkern.stats.mmd2
    ecgkern::mmd2_grad   MMD² and its gradients by x and y in one pass, by ecgkern.stats.mmd2_grad

The gradient of the first is the second; that of the second is made of its own results and, where a gradient of
gradients is wanted, the composite, `mmd2_composite`. Where x or y needs a gradient, the second is called at once.
"""

# mypy: allow-untyped-decorators

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ecgkern import _validate, stats
from ecgkern._cuda import PRECISIONS
from ecgkern.stats import Kernel
from ecgkern.torch import _tensors


def mmd2(
    x: Tensor,
    y: Tensor,
    *,
    kernel: str | Kernel = "gaussian",
    bandwidth: Any = "median",
    estimator: str = "unbiased",
    weights: Any = None,
    precision: str = "highest",
) -> Tensor:
    r"""Return the squared maximum mean discrepancy (MMD²) of two samples, differentiable in both.

    .. math:: \frac{S_{xx} - t_x}{n(n-1)} + \frac{S_{yy} - t_y}{m(m-1)} - \frac{2 S_{xy}}{nm}
              \;\text{("unbiased")}, \qquad
              \frac{S_{xx}}{n^2} + \frac{S_{yy}}{m^2} - \frac{2 S_{xy}}{nm} \;\text{("biased")}

    with :math:`S_{xy} = \sum_{ij} k(x_i, y_j)` and the traces :math:`t_x = \sum_i k(x_i, x_i)`.

    Parameters
    ----------
    x, y : Tensor, shapes (n, d) and (m, d)
        Samples.
    kernel : str or ecgkern.stats.Kernel, default "gaussian"
        See :class:`ecgkern.stats.Kernel`.
    bandwidth : "median", float or sequence of float
        :math:`\sigma` of the kernel; several make a mixture, the (weighted) mean of the kernels. "median" is the
        median distance between all samples of x and y. It counts as a constant, "median" too: no gradient flows
        through it.
    estimator : {"unbiased", "biased"}
        The unbiased one may be negative. It takes two samples of each.
    weights : sequence of float, shape (n_bandwidths,), optional
        Weights of a mixture; equal by default, and scaled to sum to 1.
    precision : {"highest", "high", "medium"}, default "highest"
        What a GPU may compute float32 with: see :func:`ecgkern.stats.mmd2`.

    Returns
    -------
    Tensor, shape ()
        Of the type that x and y promote to, on their device.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range; the message names it.

    Warns
    -----
    RuntimeWarning
        As :func:`ecgkern.stats.mmd2`, if the bandwidth does not fit the data.

    See Also
    --------
    ecgkern.stats.mmd2 : the same on arrays, with its accuracy and more estimators.

    Notes
    -----
    Value and gradients are computed in one pass of O((n + m) d) memory and kept, so that the backward pass only scales
    them. Gradients of gradients, of any order, take plain PyTorch and its O((n + m)²) memory, O((n + m)² d) for
    ``laplacian_l1``; so does everything under ``torch.func.grad`` and its kin, in forward mode and on other devices
    than the CPU. Where two samples coincide, kernels with a cusp contribute 0 to the gradient.

    float16 and bfloat16 are computed in float32 and rounded at the end, under autocast too. Errors: those of
    :func:`ecgkern.stats.mmd2_grad`, 1e-5 of the largest gradient in float32 and 1e-11 in float64.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch import mmd2
    >>> x = torch.tensor([[0.0], [1.0]], requires_grad=True)
    >>> value = mmd2(x, torch.tensor([[2.0], [3.0]]), bandwidth=1.0)
    >>> value.backward()
    >>> x.grad.flatten()
    tensor([ 0.4545, -1.0451])
    """
    _tensors.floating(x, "x"), _tensors.floating(y, "y")
    _tensors.same_device({"x": x, "y": y})
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must have shapes (n, d) and (m, d), got {tuple(x.shape)} and {tuple(y.shape)}")
    if estimator not in ("unbiased", "biased"):
        raise ValueError(f'estimator must be "unbiased" or "biased", got {estimator!r}')
    least = 2 if estimator == "unbiased" else 1
    if x.shape[0] < least or y.shape[0] < least:
        raise ValueError(
            f"the {estimator} estimator needs at least {least} samples in x and in y, got {x.shape[0]} and {y.shape[0]}"
        )
    dtype = torch.promote_types(x.dtype, y.dtype)
    x, y = x.to(_tensors.working(dtype)), y.to(_tensors.working(dtype))
    arguments = (*_of_kernel(kernel), _of_bandwidth(bandwidth), estimator, _floats(weights, "weights"))
    _validate.choice(precision, "precision", PRECISIONS)
    if not _tensors.native(x.device):
        value = mmd2_composite(x, y, *arguments)
    elif torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
        value = _mmd2_grad(x, y, *arguments, precision)[0]
    else:
        value = _mmd2(x, y, *arguments, precision)
    return value.to(dtype)


def _of_kernel(kernel: Any) -> tuple[str, list[float]]:
    """Name and parameters, which an operator takes in place of a Kernel."""
    if isinstance(kernel, Kernel):
        gamma = math.nan if kernel.gamma is None else kernel.gamma
        return kernel.name, [kernel.alpha, kernel.nu, float(kernel.degree), gamma, kernel.coef0]
    if not isinstance(kernel, str):
        raise TypeError(f"kernel must be a name or a Kernel, got {type(kernel).__name__}")
    return kernel, []


def _kernel(name: str, parameters: Sequence[float]) -> Kernel:
    if not parameters:
        return Kernel(name)
    alpha, nu, degree, gamma, coef0 = parameters
    return Kernel(name, alpha, nu, int(degree), None if math.isnan(gamma) else gamma, coef0)


def _of_bandwidth(bandwidth: Any) -> list[float]:
    """The bandwidths; none for "median"."""
    if isinstance(bandwidth, str):
        if bandwidth != "median":
            raise ValueError(f'bandwidth must be "median", a number above 0 or several of them; got {bandwidth!r}')
        return []
    values = _floats(bandwidth, "bandwidth")
    if not values:
        raise ValueError("bandwidth must hold at least one number, got none")
    return values


def _floats(values: Any, name: str) -> list[float]:
    if values is None:
        return []
    if isinstance(values, Tensor) and values.requires_grad:
        raise TypeError(f"{name} requires grad, but counts as a constant; pass {name}.detach()")
    numbers = values.tolist() if hasattr(values, "tolist") else values
    return [float(number) for number in numbers] if isinstance(numbers, list | tuple) else [float(numbers)]


def mmd2_composite(
    x: Tensor,
    y: Tensor,
    kernel: str,
    parameters: Sequence[float],
    bandwidth: Sequence[float],
    estimator: str,
    weights: Sequence[float],
) -> Tensor:
    """The operator in plain PyTorch: distances in the type of x and y, kernels and sums in float64."""
    k = _kernel(kernel, parameters)
    n, m = x.shape[0], y.shape[0]
    with _tensors.full_precision(x.device):
        z = torch.cat([x, y])
        if k.name != "polynomial":  # the others depend on differences alone, or their MMD does
            z = z - z.detach().mean(dim=0)
        measure = _measure(z, k)
        widths = list(bandwidth) if k.has_bandwidth else [1.0]
        widths = widths or [_median(measure.detach(), k)]
        shares = torch.tensor(weights or [1.0] * len(widths), dtype=measure.dtype, device=z.device)
        if k.name == "polynomial" and k.gamma is None:
            measure = measure / x.shape[1]
        matrix = sum(share * _value(measure, k, sigma) for share, sigma in zip(shares, widths, strict=True))
        matrix = matrix / shares.sum()
        if estimator == "unbiased":
            matrix = matrix.masked_fill(torch.eye(n + m, dtype=torch.bool, device=z.device), 0.0)
        less = 1 if estimator == "unbiased" else 0
        within = matrix[:n, :n].sum() / (n * (n - less)) + matrix[n:, n:].sum() / (m * (m - less))
        return (within - 2.0 * matrix[:n, n:].sum() / (n * m)).to(x.dtype)


def _measure(z: Tensor, kernel: Kernel) -> Tensor:
    """The number per pair that the kernel is a function of: squared distance, city-block distance or product."""
    wide = _tensors.double(z.device)
    if kernel.name in ("linear", "polynomial"):
        return (z @ z.mT).to(wide)
    if kernel.name == "laplacian_l1":
        return (z[:, None] - z).abs().sum(dim=-1).to(wide)
    square = z.square().sum(dim=-1)
    distance = (square[:, None] + square - 2.0 * (z @ z.mT)).clamp_min(0.0)
    return distance.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), 0.0).to(wide)


def _value(v: Tensor, kernel: Kernel, sigma: float) -> Tensor:
    """k at the measure v, as the table in ecgkern.stats.Kernel has it."""
    name = kernel.name
    if name == "gaussian":
        return (-v / (2.0 * sigma**2)).exp()
    if name == "laplacian_l1":
        return (-v / sigma).exp()
    if name == "rational_quadratic":
        return (1.0 + v / (2.0 * kernel.alpha * sigma**2)) ** -kernel.alpha
    if name == "imq":
        return (1.0 + v / sigma**2).rsqrt()
    if name == "polynomial":
        return ((kernel.gamma or 1.0) * v + kernel.coef0) ** kernel.degree
    if name == "linear":
        return v
    d = v.where(v > 0, 1.0).sqrt().where(v > 0, 0.0)  # a derivative of 0 at the cusp, not infinity
    if name == "energy":
        return -d
    if name == "laplacian" or kernel.nu == 0.5:
        return (-d / sigma).exp()
    r = math.sqrt(2.0 * kernel.nu) / sigma * d
    return (1.0 + r + (r * r / 3.0 if kernel.nu == 2.5 else 0.0)) * (-r).exp()


def _median(measure: Tensor, kernel: Kernel) -> float:
    """Median distance between different samples; where it is 0 the mean, or 1, as in ecgkern.stats."""
    i, j = torch.triu_indices(*measure.shape, offset=1, device=measure.device)
    distances = measure[i, j] if kernel.name == "laplacian_l1" else measure[i, j].sqrt()
    ordered = distances.sort().values
    middle = float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0)
    return middle or float(ordered.mean()) or 1.0


# --- operators: schema, native kernel, shapes, autograd, vmap ---------------------------------------------------------


@torch.library.custom_op("ecgkern::mmd2", mutates_args=(), device_types=("cpu", "cuda"))
def _mmd2(
    x: Tensor,
    y: Tensor,
    kernel: str,
    parameters: Sequence[float],
    bandwidth: Sequence[float],
    estimator: str,
    weights: Sequence[float],
    precision: str,
) -> Tensor:
    return stats.mmd2(x.detach(), y.detach(), **_native(kernel, parameters, bandwidth, estimator, weights, precision))


@torch.library.custom_op("ecgkern::mmd2_grad", mutates_args=(), device_types=("cpu", "cuda"))
def _mmd2_grad(
    x: Tensor,
    y: Tensor,
    kernel: str,
    parameters: Sequence[float],
    bandwidth: Sequence[float],
    estimator: str,
    weights: Sequence[float],
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    options = _native(kernel, parameters, bandwidth, estimator, weights, precision)
    return stats.mmd2_grad(x.detach(), y.detach(), **options)


def _native(
    kernel: str,
    parameters: Sequence[float],
    bandwidth: Sequence[float],
    estimator: str,
    weights: Sequence[float],
    precision: str,
) -> dict[str, Any]:
    """Arguments of ecgkern.stats."""
    return {
        "kernel": _kernel(kernel, parameters),
        "bandwidth": list(bandwidth) or "median",
        "estimator": estimator,
        "weights": list(weights) or None,
        "precision": precision,
    }


@_mmd2.register_fake
def _(x: Tensor, y: Tensor, *_: Any) -> Tensor:
    return x.new_empty(())


@_mmd2_grad.register_fake
def _(x: Tensor, y: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(()), x.new_empty(x.shape), y.new_empty(y.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, y, *ctx.arguments = inputs
    ctx.save_for_backward(x, y)


def _differentiate(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    _, grad_x, grad_y = _mmd2_grad(*ctx.saved_tensors, *ctx.arguments)
    return grad_out * grad_x, grad_out * grad_y, *[None] * len(ctx.arguments)


def _keep_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, y, *ctx.arguments = inputs
    ctx.save_for_backward(x, y, *output[1:])
    ctx.set_materialize_grads(False)  # None for gradients that nobody has used


def _differentiate_gradients(
    ctx: Any, grad_value: Tensor | None, grad_grad_x: Tensor | None, grad_grad_y: Tensor | None
) -> tuple[Any, ...]:
    x, y, grad_x, grad_y = ctx.saved_tensors
    of_x = of_y = None
    if grad_value is not None:
        of_x, of_y = grad_value * grad_x, grad_value * grad_y
    if grad_grad_x is not None or grad_grad_y is not None:

        def composite(x: Tensor, y: Tensor) -> Tensor:
            return mmd2_composite(x, y, *ctx.arguments[:-1])  # of one precision

        _, more_x, more_y = _tensors.differentiate_gradient(
            composite, (x, y), x.new_ones(()), (grad_grad_x, grad_grad_y)
        )
        of_x, of_y = (more if of is None else of + more for of, more in ((of_x, more_x), (of_y, more_y)))
    return of_x, of_y, *[None] * len(ctx.arguments)


_mmd2.register_autograd(_differentiate, setup_context=_keep)
_mmd2.register_vmap(_tensors.one_by_one(_mmd2))
_mmd2_grad.register_autograd(_differentiate_gradients, setup_context=_keep_gradients)
_mmd2_grad.register_vmap(_tensors.one_by_one(_mmd2_grad))
