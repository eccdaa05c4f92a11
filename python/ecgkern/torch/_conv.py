"""`multiscale_conv1d` as an operator: the native kernel forward and backward, plain PyTorch for what lies beyond.

    ecgkern::multiscale_conv1d            y, by ecgkern.conv.multiscale_conv1d
    ecgkern::multiscale_conv1d_backward   gradients of x, weights, biases, merge, by ecgkern.conv.multiscale_conv1d_grad

The gradient of the second, which a gradient penalty needs, is that of the composite, `multiscale_conv1d_composite`.
`biases` is empty or has one for each weight, `merge` holds nothing, a weight (m, C), or a weight and a bias.
"""

# mypy: allow-untyped-decorators, no-warn-return-any

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ecgkern import _validate, conv
from ecgkern._cuda import PRECISIONS
from ecgkern.torch import _tensors


def multiscale_conv1d(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None = None,
    *,
    dilation: int = 2,
    activation: str | None = None,
    merge_weight: Tensor | None = None,
    merge_bias: Tensor | None = None,
    precision: str = "highest",
) -> Tensor:
    r"""Convolve a batch of signals with kernels of several sizes, apply a ReLU and merge the channels.

    .. math:: h_{nc}(t) = b_c + \sum_i \sum_{j=0}^{k_c-1} w_{ci}(j)\, x_{ni}\!\left(t + d\left(j - r_c\right)\right),
              \quad r_c = \tfrac{k_c - 1}{2}, \qquad
              y_{nm}(t) = \mu_m + \sum_c M_{mc}\, \phi(h_{nc}(t))

    with :math:`\phi(h) = \max(h, 0)` or h, and signals that are 0 beyond their ends: in PyTorch's words ``conv1d``
    with ``padding=dilation * (k - 1) // 2`` for each kernel, ``cat``, ``relu`` and a ``conv1d`` of size 1.

    Parameters
    ----------
    x : Tensor, shape (n_records, c_in, length)
        Signals, of any floating type and any strides.
    weights : list of Tensor, shapes (c_out, c_in, k)
        Kernels, of odd sizes k.
    biases : list of Tensor, shapes (c_out,), optional
        One for each kernel; by default 0.
    dilation : int, default 2
        Distance between neighbouring taps of a kernel, in samples.
    activation : {"relu"}, optional
        By default none.
    merge_weight : Tensor, shape (m, C) or (m, C, 1), optional
        Weights M of the merge, where C is the number of channels of all kernels.
    merge_bias : Tensor, shape (m,), optional
        By default 0.
    precision : {"highest", "high", "medium"}, default "highest"
        What a GPU may compute float32 with: see :func:`ecgkern.conv.multiscale_conv1d`.

    Returns
    -------
    Tensor, shape (n_records, C, length) or, with `merge_weight`, (n_records, m, length)
        Of the type and on the device of `x`.

    Raises
    ------
    ValueError, TypeError
        If a shape, type or device does not fit; the message names the argument, what was expected and what came.

    See Also
    --------
    ecgkern.conv.multiscale_conv1d : the same on arrays, with its accuracy.

    Notes
    -----
    float16 and bfloat16 are computed in float32 and rounded once, at the end. All tensors must have the type of `x`,
    save under autocast, where they may differ; there too the arithmetic is float32 or float64, and the result has the
    type of `x`.

    Gradients reach all tensors; that of `x`, a third of the work, is left out where it is not needed. The channels
    before the merge are not kept for the backward pass but computed again. Gradients of gradients, of any order, are
    those of plain PyTorch, which does keep these channels meanwhile. ``vmap`` over `x` alone is one call; over
    anything else it is one call for each member. Under ``torch.func.grad`` and its kin, in forward mode and on
    devices other than CPU and CUDA all is plain PyTorch.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch import multiscale_conv1d
    >>> ecg = torch.randn(4, 1, 1000)
    >>> weights = [torch.randn(8, 1, k, requires_grad=True) for k in (3, 11, 25)]
    >>> y = multiscale_conv1d(ecg, weights, activation="relu", merge_weight=torch.randn(2, 24))
    >>> y.shape
    torch.Size([4, 2, 1000])
    >>> y.square().mean().backward()
    >>> weights[2].grad.shape
    torch.Size([8, 1, 25])
    """
    merge = [tensor for tensor in (merge_weight, merge_bias) if tensor is not None]
    parts = [list(weights), [] if biases is None else list(biases), merge]
    _check(x, parts[0], parts[1], dilation, activation, merge_weight, merge_bias)
    if merge_weight is not None:
        merge[0] = merge_weight.flatten(1)
    dtype = _tensors.working(x.dtype)
    working = [[tensor.to(dtype) for tensor in part] for part in parts]
    convolve: Callable[..., Tensor] = _multiscale_conv1d if _tensors.native(x.device) else multiscale_conv1d_composite
    options = operator.index(dilation), activation == "relu", _validate.choice(precision, "precision", PRECISIONS)
    return convolve(x.to(dtype), *working, *options).to(x.dtype)


def multiscale_conv1d_composite(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    merge: Sequence[Tensor],
    dilation: int,
    relu: bool,
    precision: str = "highest",
) -> Tensor:
    """The operator in plain PyTorch, which has but one precision."""
    with _tensors.full_precision(x.device):
        paddings = [dilation * (weight.shape[2] // 2) for weight in weights]
        channels = [
            functional.conv1d(x, weight, bias, padding=padding, dilation=dilation)
            for weight, bias, padding in zip(weights, biases or [None] * len(weights), paddings, strict=True)
        ]
        h = torch.cat(channels, dim=1)
        if relu:
            h = h.relu()
        return functional.conv1d(h, merge[0][:, :, None], *merge[1:]) if merge else h


def _check(
    x: Any,
    weights: list[Any],
    biases: list[Any],
    dilation: Any,
    activation: Any,
    merge_weight: Any,
    merge_bias: Any,
) -> None:
    tensors = {"x": x}
    tensors |= {f"weights[{i}]": weight for i, weight in enumerate(weights)}
    tensors |= {f"biases[{i}]": bias for i, bias in enumerate(biases)}
    tensors |= {"merge_weight": merge_weight} if merge_weight is not None else {}
    tensors |= {"merge_bias": merge_bias} if merge_bias is not None else {}
    for name, tensor in tensors.items():
        _tensors.floating(tensor, name)
    _tensors.same_device(tensors)
    if not _tensors.autocasts(x.device):
        for name, tensor in tensors.items():
            if tensor.dtype != x.dtype:
                raise TypeError(f"{name} must have the dtype of x, {x.dtype}, got {tensor.dtype}")

    if x.dim() != 3 or x.shape[1] == 0 or x.shape[2] == 0:
        raise ValueError(
            f"x must have shape (n_records, c_in, length), with at least one channel and sample, got {tuple(x.shape)}"
        )
    if not weights:
        raise ValueError("weights must hold at least one kernel, got none")
    for i, weight in enumerate(weights):
        if weight.dim() != 3 or weight.shape[0] == 0 or weight.shape[1] != x.shape[1]:
            raise ValueError(
                f"weights[{i}] must have shape (c_out, c_in, k) with c_in = {x.shape[1]}, the channels of x, got "
                f"{tuple(weight.shape)}"
            )
        if weight.shape[2] % 2 == 0:
            raise ValueError(f"weights[{i}] must have an odd number of taps, got {weight.shape[2]}")
    if biases and len(biases) != len(weights):
        raise ValueError(f"biases must have one entry for each of the {len(weights)} weights, got {len(biases)}")
    for i, (bias, weight) in enumerate(zip(biases, weights, strict=False)):
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"biases[{i}] must have shape ({weight.shape[0]},), got {tuple(bias.shape)}")
    n_channels = sum(weight.shape[0] for weight in weights)
    if merge_weight is not None and (
        merge_weight.shape not in ((len(merge_weight), n_channels), (len(merge_weight), n_channels, 1))
        or merge_weight.shape[0] == 0
    ):
        raise ValueError(
            f"merge_weight must have shape (m, {n_channels}) or (m, {n_channels}, 1), with a column for each channel "
            f"of the weights, got {tuple(merge_weight.shape)}"
        )
    if merge_bias is not None:
        if merge_weight is None:
            raise ValueError("merge_bias needs merge_weight, got None")
        if merge_bias.shape != merge_weight.shape[:1]:
            raise ValueError(f"merge_bias must have shape ({merge_weight.shape[0]},), got {tuple(merge_bias.shape)}")
    if isinstance(dilation, bool) or not hasattr(dilation, "__index__"):
        raise TypeError(f"dilation must be an integer, got {type(dilation).__name__}")
    if operator.index(dilation) < 1:
        raise ValueError(f"dilation must be at least 1, got {dilation}")
    if activation is not None and activation != "relu":
        raise ValueError(f'activation must be None or "relu", got {activation!r}')


# --- operators: schema, native kernel, shapes, autograd, vmap ---------------------------------------------------------


@torch.library.custom_op("ecgkern::multiscale_conv1d", mutates_args=(), device_types=("cpu", "cuda"))
def _multiscale_conv1d(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    merge: Sequence[Tensor],
    dilation: int,
    relu: bool,
    precision: str,
) -> Tensor:
    return conv.multiscale_conv1d(x.detach(), **_native(weights, biases, merge, dilation, relu, precision))


@torch.library.custom_op("ecgkern::multiscale_conv1d_backward", mutates_args=(), device_types=("cpu", "cuda"))
def _backward(
    grad_out: Tensor,
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    merge: Sequence[Tensor],
    dilation: int,
    relu: bool,
    precision: str,
    need_x: bool,
) -> list[Tensor]:
    grads = conv.multiscale_conv1d_grad(
        grad_out.detach(), x.detach(), **_native(weights, biases, merge, dilation, relu, precision), need_x=need_x
    )
    of_merge = [grads.merge_weight, grads.merge_bias][: len(merge)]
    return [*([grads.x] if need_x else []), *grads.weights, *(grads.biases or []), *of_merge]


def _native(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    merge: Sequence[Tensor],
    dilation: int,
    relu: bool,
    precision: str,
) -> dict[str, Any]:
    """Arguments of ecgkern.conv, whose arrays share the memory of the tensors."""
    merge_weight, merge_bias = [*(t.detach() for t in merge), None, None][:2]
    return {
        "weights": [t.detach() for t in weights],
        "biases": [t.detach() for t in biases] or None,
        "dilation": dilation,
        "activation": "relu" if relu else None,
        "merge_weight": merge_weight,
        "merge_bias": merge_bias,
        "precision": precision,
    }


@_multiscale_conv1d.register_fake
def _(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    merge: Sequence[Tensor],
    dilation: int,
    relu: bool,
    precision: str,
) -> Tensor:
    n_out = merge[0].shape[0] if merge else sum(weight.shape[0] for weight in weights)
    return x.new_empty(x.shape[0], n_out, x.shape[2])


@_backward.register_fake
def _(
    grad_out: Tensor,
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    merge: Sequence[Tensor],
    dilation: int,
    relu: bool,
    precision: str,
    need_x: bool,
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in [*([x] if need_x else []), *weights, *biases, *merge]]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep the arguments, from x on, for the backward pass of either operator."""
    *grad_out, x, weights, biases, merge, dilation, relu, precision = inputs
    ctx.save_for_backward(*grad_out, x, *weights, *biases, *merge)
    ctx.counts = len(weights), len(biases), len(merge)
    ctx.form = dilation, relu, precision


def _parts(tensors: Sequence[Any], counts: tuple[int, int, int]) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """Divide x, weights, biases and merge, one after another, into the arguments of the operator."""
    n, m, _ = counts
    return tensors[0], list(tensors[1 : 1 + n]), list(tensors[1 + n : 1 + n + m]), list(tensors[1 + n + m :])


def _differentiate(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    need_x = ctx.needs_input_grad[0]
    grads = _backward(grad_out, *_parts(ctx.saved_tensors, ctx.counts), *ctx.form, need_x)
    return *_parts(grads if need_x else [None, *grads], ctx.counts), None, None, None


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *others, need_x = inputs
    _keep(ctx, tuple(others), output)
    ctx.need_x = need_x
    ctx.set_materialize_grads(False)  # None for gradients that nobody has used


def _differentiate_backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    grad_out, *inputs = ctx.saved_tensors
    of_inputs = list(grads) if ctx.need_x else [None, *grads]
    if all(grad is None for grad in of_inputs):
        return None, *_parts([None] * len(inputs), ctx.counts), *[None] * 4

    def composite(*inputs: Tensor) -> Tensor:
        return multiscale_conv1d_composite(*_parts(inputs, ctx.counts), *ctx.form)

    of_grad_out, *of_inputs = _tensors.differentiate_gradient(composite, inputs, grad_out, of_inputs)
    return of_grad_out, *_parts(of_inputs, ctx.counts), *[None] * 4


def _batch_of_signals(info: Any, in_dims: Sequence[Any], x: Tensor, *others: Any) -> tuple[Tensor, int]:
    """A batch of batches of signals is one batch, unless each has weights of its own."""
    if any(d is not None for dims in in_dims[1:4] for d in (dims or [])):
        return _tensors.one_by_one(_multiscale_conv1d)(info, in_dims, x, *others)
    batches = x.movedim(in_dims[0], 0)
    return _multiscale_conv1d(batches.flatten(0, 1), *others).unflatten(0, batches.shape[:2]), 0


_multiscale_conv1d.register_autograd(_differentiate, setup_context=_keep)
_multiscale_conv1d.register_vmap(_batch_of_signals)
_backward.register_autograd(_differentiate_backward, setup_context=_keep_backward)
_backward.register_vmap(_tensors.one_by_one(_backward))
