"""`gaussian_waves` as an operator.

    ecgkern::gaussian_waves            y, by ecgkern.waveform.gaussian_waves
    ecgkern::gaussian_waves_backward   gradients of r_peaks, amplitude, delay, width and lead_gain, by
                                       ecgkern.waveform.gaussian_waves_grad

The gradient of the second is that of the composite, `gaussian_waves_composite`. R peaks and waves are float64 in all of
them, so that peaks late in a long record are as exact as early ones; only the samples have the type asked for.
"""

# mypy: allow-untyped-decorators

import functools
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ecgkern import _cuda, _dispatch, waveform
from ecgkern.torch import _tensors
from ecgkern.waveform import PHYSIO, Waves
from ecgkern.waveform._problem import Problem


def gaussian_waves(
    r_peaks: Any,
    *,
    fs: float,
    length: int,
    waves: Waves = PHYSIO,
    amplitude: Tensor | None = None,
    delay: Tensor | None = None,
    width: Tensor | None = None,
    lead_gain: Tensor | None = None,
    row_offsets: Any = None,
    cutoff: float = 6.0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Synthesise a batch of ECGs as sums of Gaussian waves placed at R peaks, differentiable in all of them.

    .. math:: y_{nct} = \sum_{b \in n} \sum_w G_{cw} A_{bw} \exp\left(-\frac{(t - m_{bw})^2}{2 s_{bw}^2}\right),
              \qquad m_{bw} = r_b + f_s d_{bw}, \quad s_{bw} = f_s \cdot \mathrm{width}_{bw}

    Parameters
    ----------
    r_peaks : list of 1-D Tensors, 1-D Tensor with `row_offsets`, or ecgkern.data.RPeaks
        R peaks of each record in samples from its start; fractions, any order, and peaks outside the record are fine.
        Lists of numbers and arrays are taken as well, as constants.
    fs : float
        Sampling rate in Hz.
    length : int
        Samples per record.
    waves : Waves, default PHYSIO
        Amplitudes, delays and widths that are not given as tensors.
    amplitude, delay, width : Tensor, shape (n_waves,) or (n_beats, n_waves), optional
        Heights in mV, delays after the R peak in s, and standard deviations in s, above 0, in place of those of
        `waves`. They broadcast: amplitudes per beat go with one set of widths.
    lead_gain : Tensor, shape (n_leads, n_waves), optional
        Gain of each wave in each lead. By default there is one lead with all gains 1.
    row_offsets : Tensor of int, shape (n_records + 1,), optional
        Record n has the peaks ``r_peaks[row_offsets[n]:row_offsets[n + 1]]``.
    cutoff : float, default 6
        Each wave is cut off `cutoff` standard deviations from its centre.
    dtype : torch.dtype, optional
        Type of the result. By default what `amplitude`, `delay`, `width` and `lead_gain` promote to, or
        ``torch.get_default_dtype()`` where none of them is given.

    Returns
    -------
    Tensor, shape (n_records, length) or, with `lead_gain`, (n_records, n_leads, length)
        In mV, on the device of `r_peaks`.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong rank, type or range; the message names it. In the backward pass, if the gradient
        that comes in is not finite.

    Warns
    -----
    UserWarning
        If a wave is narrower than one sample.

    See Also
    --------
    ecgkern.waveform.gaussian_waves : the same on arrays, with its accuracy.

    Notes
    -----
    The samples are computed in float32 or float64, the half types in float32; R peaks and waves are float64
    throughout, under autocast too. The backward pass gives all gradients in one pass, in the type of each argument;
    windows are cut as in the forward pass, and count as fixed. Gradients of gradients, of any order, are those of
    plain PyTorch. So is everything under ``torch.func.grad`` and its kin, in forward mode and on devices other than CPU
    and CUDA. The values of widths and offsets are checked on the CPU only; elsewhere what is not a number makes the
    record one. On MPS, which has no float64, times are float32.

    Examples
    --------
    Fit the height of the R wave (the third) to an ECG that is twice as tall:

    >>> import torch
    >>> from ecgkern.torch import gaussian_waves
    >>> from ecgkern.waveform import PHYSIO
    >>> amplitude = torch.tensor(PHYSIO.amplitude.tolist(), requires_grad=True)
    >>> ecg = gaussian_waves([[50.0, 150.0]], fs=100.0, length=200, amplitude=amplitude)
    >>> ecg.shape
    torch.Size([1, 200])
    >>> (ecg - 2 * ecg.detach()).square().sum().backward()
    >>> bool(amplitude.grad[2] < 0)  # taller is better
    True
    """
    named = {"amplitude": amplitude, "delay": delay, "width": width, "lead_gain": lead_gain}
    given = {name: _tensors.floating(tensor, name) for name, tensor in named.items() if tensor is not None}
    device = next((tensor.device for tensor in given.values()), torch.device("cpu"))  # of peaks that are not on any
    peaks, offsets = _joined(r_peaks, row_offsets, device)
    _tensors.same_device({"r_peaks": peaks, "row_offsets": offsets, **given})
    sets = [
        given[name] if name in given else torch.tensor(getattr(waves, name).tolist(), dtype=torch.float64)
        for name in ("amplitude", "delay", "width")
    ]
    _check_shapes(peaks, sets, lead_gain)
    times = _tensors.double(peaks.device)
    amplitude, delay, width = torch.broadcast_tensors(*(each.to(peaks.device, times) for each in sets))
    if dtype is None:
        dtype = _promoted([tensor.dtype for tensor in given.values()])
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a floating-point type, got {dtype}")
    synthesise = _gaussian_waves if _tensors.native(peaks.device) else gaussian_waves_composite
    gain = None if lead_gain is None else lead_gain.to(times)
    working = _tensors.working(dtype)
    y = synthesise(
        peaks.to(times),
        offsets,
        amplitude,
        delay,
        width,
        gain,
        float(fs),
        operator.index(length),
        float(cutoff),
        working,
    )
    return y.to(dtype)


def _joined(r_peaks: Any, row_offsets: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Flat R peaks and offsets, (n_beats,) and (n_records + 1,)."""

    def tensor(value: Any, dtype: torch.dtype | None = None) -> Tensor:
        return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=dtype, device=device)

    if hasattr(r_peaks, "row_offsets"):
        if row_offsets is not None:
            raise ValueError("row_offsets must be left out where r_peaks is an RPeaks, which has its own")
        r_peaks, row_offsets = r_peaks.values, r_peaks.row_offsets
    if row_offsets is not None:
        peaks = tensor(r_peaks, _tensors.double(device))
        offsets = tensor(row_offsets)
        if peaks.dim() != 1 or offsets.dim() != 1 or len(offsets) == 0:
            raise ValueError(
                "r_peaks must be 1-D and row_offsets 1-D with n_records + 1 entries, got shapes "
                f"{tuple(peaks.shape)} and {tuple(offsets.shape)}"
            )
        if offsets.is_floating_point():
            raise TypeError(f"row_offsets must hold integers, got {offsets.dtype}")
        return peaks, offsets.to(peaks.device, torch.int64)
    if not isinstance(r_peaks, list | tuple):
        raise TypeError(
            "r_peaks must be a list of 1-D tensors, one per record, or 1-D values with row_offsets; got "
            f"{type(r_peaks).__name__} without row_offsets"
        )
    rows = [tensor(row, _tensors.double(device)) for row in r_peaks]
    ends = [0]
    for i, row in enumerate(rows):
        if row.dim() != 1:
            raise ValueError(f"r_peaks[{i}] must have 1 dimension, got shape {tuple(row.shape)}")
        ends.append(ends[-1] + len(row))
    peaks = torch.cat(rows) if rows else torch.zeros(0, dtype=_tensors.double(device), device=device)
    return peaks, torch.tensor(ends, device=peaks.device)


def _check_shapes(peaks: Tensor, sets: list[Tensor], lead_gain: Tensor | None) -> None:
    n_beats, n_waves = len(peaks), sets[0].shape[-1] if sets[0].dim() else 0
    for name, each in zip(("amplitude", "delay", "width"), sets, strict=True):
        if n_waves == 0 or each.shape not in ((n_waves,), (n_beats, n_waves)):
            raise ValueError(
                "amplitude, delay and width must have shapes (n_waves,) or (n_beats, n_waves), with n_beats = "
                f"{n_beats} and one n_waves, got {name} {tuple(each.shape)} beside amplitude {tuple(sets[0].shape)}"
            )
    if lead_gain is not None and (lead_gain.dim() != 2 or lead_gain.shape[0] == 0 or lead_gain.shape[1] != n_waves):
        raise ValueError(f"lead_gain must have shape (n_leads, {n_waves}), got {tuple(lead_gain.shape)}")


def _promoted(dtypes: list[torch.dtype]) -> torch.dtype:
    if not dtypes:
        return torch.get_default_dtype()
    return functools.reduce(torch.promote_types, dtypes)


def gaussian_waves_composite(
    r_peaks: Tensor,
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    length: int,
    cutoff: float,
    dtype: torch.dtype,
) -> Tensor:
    """The operator in plain PyTorch: every wave over a window as long as that of the widest."""
    n_records, n_beats, n_waves = len(row_offsets) - 1, len(r_peaks), amplitude.shape[-1]
    device = r_peaks.device
    centre = r_peaks[:, None] + fs * delay  # (n_beats, n_waves)
    s = (fs * width).expand_as(centre)
    first = (centre - cutoff * s).detach().ceil().clamp(0, length)
    last = (centre + cutoff * s).detach().floor().clamp(-1, length - 1)
    span = length
    if n_beats and not torch.compiler.is_compiling() and "Vmap" not in _tensors.func_transforms():
        span = max(int((last - first).max()) + 1, 0)  # those cannot read a number out of a tensor
    t = first[:, :, None] + torch.arange(span, device=device)
    inside = t <= last[:, :, None]
    x = ((t - centre[:, :, None]) / s[:, :, None]).where(inside, 0.0).to(dtype)
    y = (amplitude.expand_as(centre)[:, :, None] * (-0.5 * x.square()).exp()).where(inside, 0.0).to(dtype)
    record = torch.repeat_interleave(torch.arange(n_records, device=device), row_offsets.diff(), output_size=n_beats)
    row = record[:, None] * n_waves + torch.arange(n_waves, device=device)
    sample = row[:, :, None] * length + t.clamp(max=length - 1).long()
    basis = torch.zeros(n_records * n_waves * length, dtype=dtype, device=device)
    basis = basis.index_add(0, sample.flatten(), y.flatten()).view(n_records, n_waves, length)
    return basis.sum(dim=1) if lead_gain is None else torch.einsum("cw,nwt->nct", lead_gain.to(dtype), basis)


# --- operators: schema, native kernel, shapes, autograd, vmap ---------------------------------------------------------


@torch.library.custom_op("ecgkern::gaussian_waves", mutates_args=(), device_types=("cpu", "cuda"))
def _gaussian_waves(
    r_peaks: Tensor,
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    length: int,
    cutoff: float,
    dtype: torch.dtype,
) -> Tensor:
    if (device := _cuda.of(r_peaks)) is not None:
        problem = _on_card(r_peaks, row_offsets, amplitude, delay, width, lead_gain, fs, cutoff)
        y = r_peaks.new_empty(problem.shape(length), dtype=dtype)
        module = _dispatch.load("waveform", None, device)
        module.gaussian_waves(device, problem, y.view(problem.n_records, problem.n_leads, length))
        return y
    return waveform.gaussian_waves(
        r_peaks.detach(),
        **_native(row_offsets, amplitude, delay, width, lead_gain, fs, cutoff),
        length=length,
        dtype=dtype,
    )


@torch.library.custom_op("ecgkern::gaussian_waves_backward", mutates_args=(), device_types=("cpu", "cuda"))
def _backward(
    grad_out: Tensor,
    r_peaks: Tensor,
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    cutoff: float,
) -> list[Tensor]:
    if (device := _cuda.of(r_peaks)) is not None:
        problem = _on_card(r_peaks, row_offsets, amplitude, delay, width, lead_gain, fs, cutoff)
        rows = grad_out.contiguous().view(problem.n_records, problem.n_leads, grad_out.shape[-1])
        found = _dispatch.load("waveform", None, device).gaussian_waves_grad(device, problem, rows, fs)
        of_waves = (found.waves[..., i].reshape(amplitude.shape) for i in range(3))
        every = [found.r_peaks, *of_waves, *([] if lead_gain is None else [found.lead_gain])]
        return [grad.to(r_peaks.dtype, memory_format=torch.contiguous_format, copy=True) for grad in every]
    grads = waveform.gaussian_waves_grad(
        grad_out.detach(),
        r_peaks.detach(),
        **_native(row_offsets, amplitude, delay, width, lead_gain, fs, cutoff),
    )
    return [grad.to(r_peaks.dtype) for grad in grads if grad is not None]


def _on_card(
    r_peaks: Tensor,
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    cutoff: float,
) -> Problem:
    """What the CUDA kernels take: everything stays on the card, in samples and double precision."""

    def sets(values: Tensor) -> Tensor:
        return torch.atleast_2d(values).double().contiguous()

    gain = None if lead_gain is None else lead_gain.double().contiguous()
    waves = sets(amplitude), sets(delay * fs), sets(width * fs)
    return Problem(row_offsets.contiguous(), r_peaks.double().contiguous(), *waves, gain, cutoff)


def _native(
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    cutoff: float,
) -> dict[str, Any]:
    """Arguments of ecgkern.waveform."""
    name = [f"wave {i}" for i in range(amplitude.shape[-1])]
    return {
        "row_offsets": row_offsets,
        "waves": Waves(name, *(each.numpy(force=True) for each in (amplitude, delay, width))),
        "lead_gain": None if lead_gain is None else lead_gain.detach(),
        "fs": fs,
        "cutoff": cutoff,
    }


@_gaussian_waves.register_fake
def _(
    r_peaks: Tensor,
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    length: int,
    cutoff: float,
    dtype: torch.dtype,
) -> Tensor:
    leads = [] if lead_gain is None else [lead_gain.shape[0]]
    return r_peaks.new_empty([row_offsets.shape[0] - 1, *leads, length], dtype=dtype)


@_backward.register_fake
def _(
    grad_out: Tensor,
    r_peaks: Tensor,
    row_offsets: Tensor,
    amplitude: Tensor,
    delay: Tensor,
    width: Tensor,
    lead_gain: Tensor | None,
    fs: float,
    cutoff: float,
) -> list[Tensor]:
    inputs = [r_peaks, amplitude, delay, width, lead_gain]
    return [each.new_empty(each.shape) for each in inputs if each is not None]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:6])
    ctx.fs, _, ctx.cutoff, _ = inputs[6:]


def _differentiate(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    r_peaks, *waves = _backward(grad_out, *ctx.saved_tensors, ctx.fs, ctx.cutoff)
    return r_peaks, None, *waves, *[None] * (8 - len(waves))


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:7])
    ctx.fs, ctx.cutoff = inputs[7:]
    ctx.set_materialize_grads(False)  # None for gradients that nobody has used


def _differentiate_backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    if all(grad is None for grad in grads):
        return (None,) * 9
    grad_out, r_peaks, row_offsets, *waves = ctx.saved_tensors
    waves = [each for each in waves if each is not None]

    def composite(r_peaks: Tensor, *waves: Tensor) -> Tensor:
        amplitude, delay, width, lead_gain = [*waves, None][:4]
        options = ctx.fs, grad_out.shape[-1], ctx.cutoff, grad_out.dtype
        return gaussian_waves_composite(r_peaks, row_offsets, amplitude, delay, width, lead_gain, *options)

    of_grad_out, of_r_peaks, *of_waves = _tensors.differentiate_gradient(composite, (r_peaks, *waves), grad_out, grads)
    return of_grad_out, of_r_peaks, None, *of_waves, *[None] * (6 - len(of_waves))


_gaussian_waves.register_autograd(_differentiate, setup_context=_keep)
_gaussian_waves.register_vmap(_tensors.one_by_one(_gaussian_waves))
_backward.register_autograd(_differentiate_backward, setup_context=_keep_backward)
_backward.register_vmap(_tensors.one_by_one(_backward))
