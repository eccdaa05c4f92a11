"""`multiscale_conv1d`, its gradient and `collapse`: check the arguments, choose the backend, wrap the result."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _cuda, _dispatch, _validate
from ecgkern.conv._problem import Problem, Sums, trimmed, zero_sums

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Gradients(NamedTuple):
    """Gradients with respect to the arguments of `multiscale_conv1d`, each shaped like its argument, None without."""

    x: Any | None
    weights: list[Any]
    biases: list[Any] | None
    merge_weight: Any | None
    merge_bias: Any | None


class _Layer(NamedTuple):
    """Weights, or their gradients; zeros stand for biases that were not given."""

    kernels: list[Array]  # each (c_out, c_in, k)
    bias: Array  # (n_channels,)
    merge_weight: Array | None  # (n_merged, n_channels)
    merge_bias: Array  # (n_merged,), or (0,) without a merge

    @property
    def dtype(self) -> np.dtype[Any]:
        merge = [] if self.merge_weight is None else [self.merge_weight]
        return np.result_type(*self.kernels, self.bias, *merge, self.merge_bias)

    def per_kernel(self, values: Array) -> list[Array]:
        """Split values, one for each channel, into those of each kernel."""
        return np.split(values, np.cumsum([len(kernel) for kernel in self.kernels])[:-1])


class _Arguments(NamedTuple):
    """Checked arguments, each array in its own floating-point type."""

    x: Array
    given: _Layer
    seen: _Layer  # less the taps that only meet the zeros beyond the ends of a record
    computed: _Layer  # `seen`, or the one kernel that it collapses to
    dilation: int
    relu: bool
    method: str

    def problem(self, dtype: np.dtype[Any]) -> Problem:
        """Return what the backends are given for a result of this type."""
        working = np.result_type(dtype, np.float32)
        layer, kernels = self.computed, self.computed.kernels
        return Problem(
            x=_contiguous(self.x, working),
            channels=np.array([len(kernel) for kernel in kernels], np.int64),
            sizes=np.array([kernel.shape[2] for kernel in kernels], np.int64),
            weights=_rounded(np.concatenate([kernel.ravel() for kernel in kernels]), working),
            biases=_contiguous(layer.bias, working),
            dilation=self.dilation,
            relu=self.relu,
            merge_weight=None if layer.merge_weight is None else _contiguous(layer.merge_weight, working),
            merge_bias=_contiguous(layer.merge_bias, working),
            method=self.method,
        )


def multiscale_conv1d(
    x: Any,
    weights: Any,
    biases: Any = None,
    *,
    dilation: int = 2,
    activation: str | None = None,
    merge_weight: Any = None,
    merge_bias: Any = None,
    method: str = "auto",
    precision: str = "highest",
    backend: str | None = None,
) -> Any:
    r"""Convolve a batch of signals with kernels of several sizes, apply a ReLU and merge the channels.

    .. math:: h_{nc}(t) = b_c + \sum_i \sum_{j=0}^{k_c-1} w_{ci}(j)\, x_{ni}\!\left(t + d\left(j - r_c\right)\right),
              \quad r_c = \tfrac{k_c - 1}{2}, \qquad
              y_{nm}(t) = \mu_m + \sum_c M_{mc}\, \phi(h_{nc}(t))

    with :math:`\phi(h) = \max(h, 0)` or h. Signals are 0 beyond their ends, so the result is as long as `x`. This is
    the cross-correlation of ``torch.nn.functional.conv1d(x, w, b, padding=d * r, dilation=d)``, for all kernels at
    once; their channels stand one after another in the order of `weights`.

    Parameters
    ----------
    x : array, shape (n_records, c_in, length)
        Signals.
    weights : list of arrays, shapes (c_out, c_in, k)
        Kernels, of odd sizes k.
    biases : list of arrays, shapes (c_out,), optional
        One for each kernel; by default 0.
    dilation : int, default 2
        Distance between neighbouring taps of a kernel, in samples.
    activation : {"relu"}, optional
        By default none.
    merge_weight : array, shape (m, C) or (m, C, 1), optional
        Weights M of the merge, a convolution of size 1, where C is the number of channels of all kernels.
    merge_bias : array, shape (m,), optional
        By default 0.
    method : {"auto", "direct", "fft"}, default "auto"
        Sums over taps, or products of Fourier transforms, of all kernels. On the backend fortran "auto" takes the
        transforms for those kernels for which they are quicker, elsewhere "direct". The backend numba has no "fft".
    precision : {"highest", "high", "medium"}, default "highest"
        What a GPU may compute float32 with, in the words of ``torch.set_float32_matmul_precision``: "high" and
        "medium" take its tensor cores, which round the factors of products to TF32, 10 bits after the point. CPUs
        always compute at the highest, and so does a GPU where a layer is too large for its tensor cores' kernels.
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default, for arrays on a GPU "cuda", else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    array, shape (n_records, C, length) or, with `merge_weight`, (n_records, m, length)
        Of the library of `x` (NumPy, CuPy or torch) and on its device, and of the type that all arrays together
        promote to, where integers count as float64.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong rank, type or range; the message names it, what was expected and what came.
    BackendUnavailableError
        If the backend asked for is not ready.

    Notes
    -----
    float64 and float32 are computed in their own precision, as PyTorch does, and float16 in float32. Backends agree
    to 1e-12 of the largest value in float64 and to 1e-5 in float32. Results are the same bits for every number of
    threads. NaN and infinity in `x` reach the samples that depend on them, and a NaN passes the ReLU.

    Rounding errors of a sum over taps are relative to the samples that the taps see, those of a Fourier transform to
    the largest samples of the record (of several thousand samples around, in a long one): a quiet stretch beside an
    artefact a million times as large is lost in float32. So that nothing else differs, "auto" is "direct" for a call
    whose arrays hold NaN, infinity or values so large that a transform might overflow; "fft" spreads these over the
    record.

    Kernels of 75 and 119 taps, and with twelve inputs also of 25, are faster by Fourier transform for most batches: a
    transform takes as long as some 20 taps of one input, and serves all inputs.

    The channels before the merge, 160 times the signal for five kernels of 32 channels, are never stored by the
    compiled backends.

    The host never looks at the values of arrays on a GPU, so nothing waits for it. There a linear layer is computed
    as it is, `method` is "auto" or "direct", and it takes no memory but for the result and copies of the weights.

    Without an activation a merge leaves the layer linear. It is then computed as one convolution with the kernel that
    :func:`collapse` returns, rounded to the type of the result, where that takes fewer multiplications. Taps that only
    meet the zeros beyond the ends of a record are left out.

    References
    ----------
    Dilated convolutions: F. Yu, V. Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016,
    arXiv:1511.07122.

    Examples
    --------
    Ten seconds of 12 leads at 100 Hz, kernels that see from 50 ms to 2.4 s, and a merge into 3 channels:

    >>> import numpy as np
    >>> from ecgkern.conv import multiscale_conv1d
    >>> rng = np.random.default_rng(0)
    >>> ecg = rng.standard_normal((4, 12, 1000), np.float32)
    >>> weights = [rng.standard_normal((8, 12, k), np.float32) for k in (3, 11, 25, 75, 119)]
    >>> merge = rng.standard_normal((3, 40), np.float32)
    >>> multiscale_conv1d(ecg, weights, activation="relu", merge_weight=merge).shape
    (4, 3, 1000)

    The differences between neighbours two samples away:

    >>> multiscale_conv1d([[[1.0, 2.0, 4.0, 8.0, 16.0]]], [[[[-1.0, 0.0, 1.0]]]]).tolist()
    [[[4.0, 8.0, 15.0, -2.0, -4.0]]]
    """
    given = {"x": x, "weights": weights, "biases": biases, "merge_weight": merge_weight, "merge_bias": merge_bias}
    library, device = _dispatch.array_library(**given), _dispatch.device(**given)
    module = _dispatch.load("conv", backend, device)
    _validate.choice(precision, "precision", _cuda.PRECISIONS)
    arguments = _arguments(device, **given, dilation=dilation, activation=activation, method=_method(method, module))
    dtype = np.result_type(arguments.given.dtype, arguments.x)
    if device is not None:
        return module.convolve(device, arguments, dtype, precision, **given)
    problem = arguments.problem(dtype)
    out = np.empty((len(problem.x), problem.n_out, problem.x.shape[2]), problem.x.dtype)
    if out.size:
        module.convolve(problem, out)
    return _dispatch.from_numpy(_rounded(out, dtype), library)


def multiscale_conv1d_grad(
    grad_out: Any,
    x: Any,
    weights: Any,
    biases: Any = None,
    *,
    dilation: int = 2,
    activation: str | None = None,
    merge_weight: Any = None,
    merge_bias: Any = None,
    need_x: bool = True,
    method: str = "auto",
    precision: str = "highest",
    backend: str | None = None,
) -> Gradients:
    r"""Return the gradients of ``sum(grad_out * multiscale_conv1d(x, weights, ...))``.

    With :math:`\partial y = \partial L / \partial y` and the gradient of the channels before the activation,
    :math:`\partial h_{nc}(t) = \phi'(h_{nc}(t)) \sum_m M_{mc}\, \partial y_{nm}(t)`, all in the words of
    :func:`multiscale_conv1d`,

    .. math:: \frac{\partial L}{\partial w_{ci}(j)} = \sum_{nt} \partial h_{nc}(t)\, x_{ni}(t + d(j - r_c)), \quad
              \frac{\partial L}{\partial x_{ni}(t)} = \sum_{cj} w_{ci}(j)\, \partial h_{nc}(t - d(j - r_c)), \quad
              \frac{\partial L}{\partial b_c} = \sum_{nt} \partial h_{nc}(t),

    .. math:: \frac{\partial L}{\partial M_{mc}} = \sum_{nt} \partial y_{nm}(t)\, \phi(h_{nc}(t)), \quad
              \frac{\partial L}{\partial \mu_m} = \sum_{nt} \partial y_{nm}(t).

    Parameters
    ----------
    grad_out : array, shape (n_records, C or m, length)
        Gradient of the loss with respect to the result of :func:`multiscale_conv1d`.
    x, weights, biases, dilation, activation, merge_weight, merge_bias, method, precision, \
    backend
        As for :func:`multiscale_conv1d`.
    need_x : bool, default True
        Whether to compute the gradient of `x`, which takes about a third of the time.

    Returns
    -------
    Gradients
        ``x`` (None without `need_x`), ``weights`` and ``biases`` (lists), ``merge_weight`` and ``merge_bias``; None for
        an argument that was not given. Each has the shape of its argument, the library of `x`, and the type that all
        arrays, `grad_out` too, promote to.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`multiscale_conv1d`, and if `grad_out` does not have the shape of its result.

    Notes
    -----
    The channels before the merge are computed again rather than kept from the forward pass. Sums over time and records
    are collected in float64, in an order that does not depend on the number of threads. Backends agree to 1e-12 of the
    largest gradient in float64 and to 1e-5 in float32, unless a value of h is so near 0 that its rounding decides
    whether the ReLU passes it. At h = 0 the gradient of the ReLU is 0.

    On a GPU sums over some 1000 moments are in the type of the arithmetic, and those over all such in float64. It takes
    at most 64 MB for these, and 128 MB for the gradients of h on their way to those of `x`, or what one record and 8
    channels need. With a lower `precision` only the gradients of `x` are still computed from them at the highest.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.conv import multiscale_conv1d_grad
    >>> grad = multiscale_conv1d_grad(np.ones((1, 1, 4)), [[[1.0, 2.0, 4.0, 8.0]]], [[[[-1.0, 0.0, 1.0]]]], [[0.0]])
    >>> grad.weights[0].tolist()  # sums of what each tap has seen
    [[[3.0, 15.0, 12.0]]]
    >>> grad.biases[0].tolist()
    [4.0]
    """
    arrays = {"x": x, "weights": weights, "biases": biases, "merge_weight": merge_weight, "merge_bias": merge_bias}
    library = _dispatch.array_library(grad_out=grad_out, **arrays)
    device = _dispatch.device(grad_out=grad_out, **arrays)
    module = _dispatch.load("conv", backend, device)
    _validate.choice(precision, "precision", _cuda.PRECISIONS)
    arguments = _arguments(device, **arrays, dilation=dilation, activation=activation, method=_method(method, module))
    given, seen, computed = arguments.given, arguments.seen, arguments.computed
    upstream = _values(_stand_in(device, grad_out, "grad_out"), "grad_out", (3,))
    dtype = np.result_type(given.dtype, arguments.x, upstream)
    n_out = len(given.bias if given.merge_weight is None else given.merge_weight)
    shape = (len(arguments.x), n_out, arguments.x.shape[2])
    if upstream.shape != shape:
        raise ValueError(f"grad_out must have the shape of the result, {shape}, got {upstream.shape}")
    if device is not None:
        return Gradients(*module.differentiate(device, arguments, dtype, precision, grad_out, need_x, **arrays))
    problem = arguments.problem(dtype)

    sums = zero_sums(problem)
    grad_x = np.zeros_like(problem.x) if need_x else None
    if upstream.size:
        module.differentiate(problem, _contiguous(upstream, problem.x.dtype), sums, grad_x)
    grad = _of_layer(sums, problem)
    if computed is not seen:
        grad = _through_collapse(seen, grad)

    def wrap(gradient: Array | None) -> Any:
        return None if gradient is None else _dispatch.from_numpy(_rounded(gradient, dtype), library)

    sizes = [kernel.shape[2] for kernel in given.kernels]
    return Gradients(
        x=wrap(grad_x),
        weights=[wrap(_widened(kernel, k)) for kernel, k in zip(grad.kernels, sizes, strict=True)],
        biases=None if biases is None else [wrap(part) for part in given.per_kernel(grad.bias)],
        merge_weight=None if grad.merge_weight is None else wrap(grad.merge_weight.reshape(np.shape(merge_weight))),
        merge_bias=None if merge_bias is None else wrap(grad.merge_bias),
    )


def collapse(weights: Any, biases: Any = None, merge_weight: Any = None, merge_bias: Any = None) -> tuple[Any, Any]:
    r"""Return kernel and bias of the one convolution that equals `multiscale_conv1d` without an activation.

    .. math:: W_{mi}(j) = \sum_c M_{mc}\, w_{ci}\!\left(j - \tfrac{K - k_c}{2}\right), \qquad
              B_m = \mu_m + \sum_c M_{mc} b_c, \qquad K = \max_c k_c

    where w is 0 beyond its ends. All dilations are served by the same W.

    Parameters
    ----------
    weights, biases, merge_weight, merge_bias
        As for :func:`multiscale_conv1d`. Without `merge_weight`, the kernels are padded to one size.

    Returns
    -------
    weight : array, shape (m or C, c_in, K)
        Kernel.
    bias : array, shape (m or C,)
        Bias; zeros where none was given.

        Both are of the library of `weights` and of the type that all arrays promote to, at least float32; integers
        count as float64.

    Raises
    ------
    ValueError, TypeError
        As :func:`multiscale_conv1d`.

    Notes
    -----
    Computed in float64 on the host, which for arrays on a GPU waits for it, then rounded. Convolving with W takes
    :math:`m\, c_{in} K` multiplications per sample instead of :math:`\sum_c c_{in} k_c + m C`: 119 instead of 7616 for
    five kernels of 3, 11, 25, 75 and 119 taps, 32 channels each, merged into one.

    Examples
    --------
    >>> from ecgkern.conv import collapse
    >>> weight, bias = collapse([[[[2.0]]], [[[1.0, 0.0, -1.0]]]], [[1.0], [5.0]], merge_weight=[[1.0, 10.0]])
    >>> weight.tolist(), bias.tolist()
    ([[[10.0, 2.0, -10.0]]], [51.0])
    """
    arrays = {"weights": weights, "biases": biases, "merge_weight": merge_weight, "merge_bias": merge_bias}
    library, device = _dispatch.array_library(**arrays), _dispatch.device(**arrays)
    layer = _layer(*(_fetched(device, value, name) for name, value in arrays.items()))
    dtype = np.result_type(layer.dtype, np.float32)
    one = _collapsed(layer)
    weight, bias = _rounded(one.kernels[0], dtype), _rounded(one.bias, dtype)
    if device is not None:
        return device.upload(weight), device.upload(bias)
    return _dispatch.from_numpy(weight, library), _dispatch.from_numpy(bias, library)


def _arguments(
    device: _cuda.Device | None, *, dilation: Any, activation: Any, method: str, **arrays: Any
) -> _Arguments:
    """Check all arguments and choose what to compute; arrays that are not on the host are not read."""
    x, *of_layer = (_stand_in(device, value, name) for name, value in arrays.items())
    given = _layer(*of_layer)
    n_inputs = given.kernels[0].shape[1]
    x = _values(x, "x", (3,))
    if x.shape[1] != n_inputs:
        raise ValueError(f"x must have shape (n_records, {n_inputs}, length) to fit weights[0], got {x.shape}")
    dilation = _validate.positive_integer(dilation, "dilation")
    if activation is not None and not (isinstance(activation, str) and activation == "relu"):
        raise ValueError(f"activation must be None or 'relu', got {activation!r}")

    seen = given._replace(kernels=[trimmed(kernel, dilation, x.shape[2]) for kernel in given.kernels])
    computed = seen
    if activation is None and seen.merge_weight is not None and device is None:
        n_merged, n_channels = seen.merge_weight.shape
        longest = max(kernel.shape[2] for kernel in seen.kernels)
        as_one = n_merged * n_inputs * longest
        if as_one < sum(kernel.size for kernel in seen.kernels) + n_merged * n_channels:
            computed = _collapsed(seen)
    return _Arguments(x, given, seen, computed, dilation, activation == "relu", method)


def _stand_in(device: _cuda.Device | None, value: Any, name: str) -> Any:
    """Return zeros, without memory, that have shape and type of an array on a device; anything else unchanged."""

    def zeros(array: Any) -> Array:
        assert device is not None
        dtype = device.dtype(array)
        return np.broadcast_to(np.zeros((), np.float64 if dtype.kind in "iu" else dtype), tuple(array.shape))

    return _of_device(device, value, name, zeros)


def _fetched(device: _cuda.Device | None, value: Any, name: str) -> Any:
    """Return an array on a device as one on the host; anything else unchanged."""
    return value if device is None else _of_device(device, value, name, device.download)


def _of_device(device: _cuda.Device | None, value: Any, name: str, read: Callable[[Any], Array]) -> Any:
    """Return what `read` makes of arrays on a device, themselves or in lists; anything else unchanged."""
    if device is None:
        return value
    if isinstance(value, list | tuple):
        return [_of_device(device, member, f"{name}[{i}]", read) for i, member in enumerate(value)]
    if _cuda.of(value) is None:
        return value
    if getattr(value, "requires_grad", False):
        raise TypeError(
            f"{name} requires grad, which this function does not record; pass {name}.detach(), or use ecgkern.torch"
        )
    return read(value)


def _method(method: Any, module: ModuleType) -> str:
    """Check the method, which not every backend has."""
    if not isinstance(method, str) or method not in ("auto", "direct", "fft"):
        raise ValueError(f"method must be 'auto', 'direct' or 'fft', got {method!r}")
    if method == "fft" and "fft" not in getattr(module, "METHODS", ("direct",)):
        name = module.__name__.rpartition("._")[2]
        raise ValueError(
            f"method must be 'auto' or 'direct' on the backend {name}, got 'fft', which fortran and numpy have"
        )
    return method


def _layer(weights: Any, biases: Any, merge_weight: Any, merge_bias: Any) -> _Layer:
    """Check the weights."""
    members = _members(weights, "weights", "kernels (c_out, c_in, k)")
    if not members:
        raise ValueError("weights must hold at least one kernel, got an empty list")
    kernels = [_values(kernel, f"weights[{i}]", (3,)) for i, kernel in enumerate(members)]
    n_inputs = kernels[0].shape[1]
    for i, kernel in enumerate(kernels):
        if kernel.shape[2] % 2 == 0:
            raise ValueError(f"weights[{i}] must have an odd size k in shape (c_out, c_in, k), got {kernel.shape}")
        if kernel.shape[1] != n_inputs:
            raise ValueError(f"weights[{i}] must have c_in = {n_inputs} as weights[0] has, got shape {kernel.shape}")
        _validate.not_empty(kernel, f"weights[{i}]")
    n_channels = sum(len(kernel) for kernel in kernels)

    bias = _zeros(n_channels)
    if biases is not None:
        parts = _members(biases, "biases", "arrays (c_out,), one for each kernel")
        if len(parts) != len(kernels):
            raise ValueError(f"biases must hold one array for each of the {len(kernels)} kernels, got {len(parts)}")
        parts = [_values(part, f"biases[{i}]", (1,)) for i, part in enumerate(parts)]
        for i, (part, kernel) in enumerate(zip(parts, kernels, strict=True)):
            if part.size != len(kernel):
                raise ValueError(f"biases[{i}] must have shape ({len(kernel)},) as weights[{i}] has, got {part.shape}")
        bias = np.concatenate(parts)

    if merge_weight is None:
        if merge_bias is not None:
            raise ValueError("merge_bias must be left out without merge_weight")
        return _Layer(kernels, bias, None, _zeros(0))
    merge = _values(merge_weight, "merge_weight", (2, 3))
    if not len(merge) or merge.shape[1:] not in ((n_channels,), (n_channels, 1)):
        raise ValueError(
            f"merge_weight must have shape (m, {n_channels}) or (m, {n_channels}, 1) for {n_channels} channels of all "
            f"kernels, got {merge.shape}"
        )
    merge = merge.reshape(len(merge), n_channels)
    if merge_bias is None:
        return _Layer(kernels, bias, merge, _zeros(len(merge)))
    shift = _values(merge_bias, "merge_bias", (1,))
    if shift.size != len(merge):
        raise ValueError(f"merge_bias must have shape ({len(merge)},) as merge_weight has rows, got {shift.shape}")
    return _Layer(kernels, bias, merge, shift)


def _members(value: Any, name: str, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a list of {what}, got {type(value).__name__}")
    return list(value)


def _values(value: Any, name: str, ndim: tuple[int, ...]) -> Array:
    """Return an array with one of the ranks in `ndim`: float16 and float32 kept, every other real type as float64."""
    array = _validate.real_values(_dispatch.to_numpy(value, name), name)
    if array.ndim not in ndim:
        ranks = " or ".join(str(n) for n in ndim)
        raise ValueError(f"{name} must have {ranks} dimension{'s' if ranks != '1' else ''}, got shape {array.shape}")
    half = array.dtype.kind == "f" and array.dtype.itemsize == 2
    return array.astype(np.float16, copy=False) if half else _validate.float_values(array, name)


def _zeros(n: int) -> Array:
    """Return zeros of the type that promotes to all others."""
    return np.zeros(n, np.float16)


def _contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `array` as the backends take it, itself if it is so already."""
    return np.require(_rounded(array, dtype), requirements=("C", "A"))


def _rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `array` in this type, infinite where it exceeds it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype, copy=False)


def _widened(kernel: Array, k: int) -> Array:
    """Return a copy of a kernel with zeros on either side, k taps in all."""
    more = (k - kernel.shape[2]) // 2
    return np.pad(kernel, ((0, 0), (0, 0), (more, more)))


def _side_by_side(kernels: list[Array]) -> Floats:
    """Return all kernels as one (n_channels, n_inputs, K), in float64."""
    longest = max(kernel.shape[2] for kernel in kernels)
    return np.concatenate([_widened(kernel, longest) for kernel in kernels], dtype=np.float64)


@np.errstate(over="ignore", invalid="ignore")
def _collapsed(layer: _Layer) -> _Layer:
    """Return the layer of one kernel, without a merge, that equals this one without an activation; in float64."""
    weight, bias = _side_by_side(layer.kernels), layer.bias.astype(np.float64)
    if layer.merge_weight is not None:
        merge = layer.merge_weight.astype(np.float64)
        weight, bias = np.tensordot(merge, weight, 1), layer.merge_bias + merge @ bias
    return _Layer([weight], bias, None, _zeros(0))


@np.errstate(over="ignore", invalid="ignore")
def _through_collapse(layer: _Layer, grad: _Layer) -> _Layer:
    """Return the gradients of a layer from those of the layer that it collapses to."""
    assert layer.merge_weight is not None
    weight, bias, merge = _side_by_side(layer.kernels), layer.bias.astype(np.float64), layer.merge_weight
    grad_one = grad.kernels[0]
    grad_weight = np.tensordot(merge.T.astype(np.float64), grad_one, 1)
    grad_merge = np.tensordot(grad_one, weight, ((1, 2), (1, 2))) + np.outer(grad.bias, bias)
    cut = [
        part[:, :, (part.shape[2] - kernel.shape[2]) // 2 :][:, :, : kernel.shape[2]]
        for part, kernel in zip(layer.per_kernel(grad_weight), layer.kernels, strict=True)
    ]
    return _Layer(cut, merge.T.astype(np.float64) @ grad.bias, grad_merge, grad.bias)


@np.errstate(over="ignore", invalid="ignore")
def _of_layer(sums: Sums, problem: Problem) -> _Layer:
    """Return the gradients of a layer from those of all chunks of records."""
    weights, bias, merge_weight, merge_bias = (part.sum(axis=0) for part in sums[1:])
    kernels = problem._replace(weights=weights).kernels()
    return _Layer(kernels, bias, None if problem.merge_weight is None else merge_weight, merge_bias)
