"""What the waveform backends are given: checked arguments, in samples, and where to write.

`check` turns the arguments of the public functions into a `Problem`; the rest is what the kernels need beside it.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern._cuda import Device
from ecgkern.waveform._waves import Waves

LANES = 16  # samples that the compiled kernels compute together; `lanes` in fortran/waveform_kernels.inc
_WIDTHS = (1e-6, 1e9)  # samples; what float32 arithmetic on distances and their squares can hold
_LARGEST = {np.dtype(np.float32): 1e30, np.dtype(np.float64): 1e300}  # of amplitude, gain and their product


def tile_length(n_rows: int, out: NDArray[Any]) -> int:
    """Samples of a record that a kernel works on at a time: `n_rows` of them fit into 1 MB, and mostly into cache."""
    most = 2**20 // (n_rows * out.itemsize) - LANES
    return int(min(out.shape[-1], 2048, max(most, LANES)))


class Problem(NamedTuple):
    """Checked arguments as the backends take them: C-contiguous, float64, times in samples."""

    row_offsets: NDArray[np.int64]  # (n_records + 1,)
    r_peaks: NDArray[np.float64]  # (n_beats,)
    amplitude: NDArray[np.float64]  # (1 or n_beats, n_waves)
    delay: NDArray[np.float64]
    width: NDArray[np.float64]
    lead_gain: NDArray[np.float64] | None  # (n_leads, n_waves)
    cutoff: float

    @property
    def n_records(self) -> int:
        return len(self.row_offsets) - 1

    @property
    def n_waves(self) -> int:
        return int(self.width.shape[1])

    @property
    def n_leads(self) -> int:
        return 1 if self.lead_gain is None else self.lead_gain.shape[0]

    @property
    def gain(self) -> NDArray[np.float64]:
        """Lead gains, all 1 where there are none."""
        return np.ones((1, self.n_waves)) if self.lead_gain is None else self.lead_gain

    def reach(self) -> tuple[float, float]:
        """How far, in samples, any wave extends before and after its R peak; 1 more for rounding."""
        before = np.max(self.cutoff * self.width - self.delay, initial=0.0)
        after = np.max(self.cutoff * self.width + self.delay, initial=0.0)
        return float(before) + 1.0, float(after) + 1.0

    def shape(self, length: int) -> tuple[int, ...]:
        """Shape of the batch of records as the caller sees it."""
        return (self.n_records, length) if self.lead_gain is None else (self.n_records, self.n_leads, length)


class Chunks(NamedTuple):
    """Runs of beats whose gradients are summed one after another; the order depends on the number of beats alone."""

    beats: NDArray[np.int64]  # (n_chunks + 1,) bounds
    records: NDArray[np.int64]  # (n_chunks,) the record of the first beat


class Sums(NamedTuple):
    """What a backend writes for the gradient, zero to begin with."""

    r_peaks: NDArray[Any]  # (n_beats,), of the dtype of grad_out; the others, which are summed further, float64
    waves: NDArray[np.float64]  # (n_beats or, for one shared set, n_chunks; n_waves; 3: amplitude, delay, width)
    gain: NDArray[np.float64]  # (n_chunks, n_leads, n_waves)


def flat_if_joined(r_peaks: Any, row_offsets: Any) -> tuple[Any, Any]:
    """Unpack `ecgkern.data.RPeaks`, which as a plain tuple would look like a list of two records."""
    if not hasattr(r_peaks, "row_offsets"):
        return r_peaks, row_offsets
    if row_offsets is not None:
        raise ValueError("row_offsets must be left out where r_peaks is an RPeaks, which has its own")
    return r_peaks.values, r_peaks.row_offsets


def check(
    r_peaks: Any, fs: Any, waves: Any, lead_gain: Any, row_offsets: Any, cutoff: Any, device: Device | None = None
) -> Problem:
    """Check the arguments of the public functions and turn times into samples; peaks and gains stay on the device."""
    rate = _validate.positive(fs, "fs", "Hz")
    if device is None:
        peaks, offsets = _validate.ragged(
            _dispatch.to_numpy(r_peaks, "r_peaks"), _dispatch.to_numpy(row_offsets, "row_offsets"), "r_peaks"
        )
    else:
        peaks, offsets = _on_device(device, r_peaks, row_offsets)
    if not isinstance(waves, Waves):
        raise TypeError(f"waves must be ecgkern.waveform.Waves, got {type(waves).__name__}")
    n_waves = len(waves.name)
    if waves.width.ndim == 2 and waves.width.shape[0] != len(peaks):
        raise ValueError(f"waves has {waves.width.shape[0]} sets, one per beat, but r_peaks has {len(peaks)} beats")
    gain = None
    if lead_gain is not None:
        if device is None:
            gain = _validate.real_array(_dispatch.to_numpy(lead_gain, "lead_gain"), "lead_gain", (2,))
        else:
            gain = device.values(lead_gain, "lead_gain", (2,), np.float64)
        if gain.shape[1] != n_waves or gain.shape[0] == 0:
            raise ValueError(f"lead_gain must have shape (n_leads, {n_waves}), got {tuple(gain.shape)}")
    with np.errstate(over="ignore"):  # what is infinite in samples is reported in the caller's words
        delay = _validate.finite(waves.delay * rate, "delay * fs")
        width = _validate.finite(waves.width * rate, "width * fs")
    _check_resolution(waves, width, rate)
    return Problem(
        offsets,
        peaks,
        _sets(waves.amplitude),
        _sets(delay),
        _sets(width),
        gain,
        _validate.positive(cutoff, "cutoff", "standard deviations"),
    )


def _on_device(device: Device, r_peaks: Any, row_offsets: Any) -> tuple[Any, Any]:
    """Flat R peaks and row offsets on the device; the kernels clamp offsets, whose values nobody looks at here."""
    if row_offsets is not None:
        peaks = device.values(r_peaks, "r_peaks", (1,), np.float64)
        offsets = device.values(row_offsets, "row_offsets", (1,), np.int64)
        if len(offsets) == 0:
            raise ValueError("row_offsets must have n_records + 1 entries, got none")
        return peaks, offsets
    if not isinstance(r_peaks, list | tuple):
        raise TypeError(
            "r_peaks must be a list of 1-D arrays, one per record, or 1-D values with row_offsets; got "
            f"{type(r_peaks).__name__} of shape {tuple(r_peaks.shape)} without row_offsets"
        )
    rows = [device.values(row, f"r_peaks[{i}]", (1,), np.float64) for i, row in enumerate(r_peaks)]
    return device.concatenate(rows), device.upload(np.cumsum([0, *map(len, rows)]).astype(np.int64))


def _sets(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_sets, n_waves); a set per beat of no beats becomes one set that nobody uses, as f2py takes no empty array."""
    return np.atleast_2d(values) if values.size else np.ones((1, values.shape[-1]))


def _check_resolution(waves: Waves, width: NDArray[np.float64], fs: float) -> None:
    """Warn of waves that the sampling rate does not resolve; `width` is in samples."""
    narrowest, widest = np.min(width, initial=1.0), np.max(width, initial=1.0)
    if narrowest < _WIDTHS[0] or widest > _WIDTHS[1]:
        raise ValueError(
            f"width must be from {_WIDTHS[0]:g} to {_WIDTHS[1]:g} samples, got {narrowest:g} to {widest:g} samples at "
            f"fs = {fs:g} Hz"
        )
    narrow = (width < 1.0 - 1e-9).reshape(-1, len(waves.name)).any(axis=0)  # one sample, give or take rounding, is fine
    if narrow.any():
        names = ", ".join(np.asarray(waves.name)[narrow])
        warnings.warn(
            f"{names} narrower than one sample at fs = {fs:g} Hz (down to {narrowest:.3g} samples): not resolved; "
            "raise fs or the width",
            stacklevel=4,
        )


def check_magnitude(problem: Problem, dtype: np.dtype[Any]) -> None:
    """Refuse what would overflow in the arithmetic of `dtype`, where infinity times zero is NaN."""
    amplitude = np.abs(problem.amplitude).max(initial=0.0)
    gain = np.abs(problem.gain).max() if isinstance(problem.gain, np.ndarray) else 0.0
    limit = _LARGEST[dtype]
    if max(amplitude, gain) > limit or amplitude * gain > limit:
        raise ValueError(
            f"amplitude, lead_gain and their product must be at most {limit:g} in {dtype}, got {amplitude:g}, {gain:g}"
        )


def in_order(problem: Problem) -> Problem:
    """Sort the beats within each record, which lets the kernels find those that reach a stretch of a long record."""
    falls = problem.r_peaks[1:] < problem.r_peaks[:-1]
    starts = problem.row_offsets[1:-1]
    falls[starts[(starts > 0) & (starts < problem.r_peaks.size)] - 1] = False
    if not falls.any():
        return problem
    record = np.repeat(np.arange(problem.n_records), np.diff(problem.row_offsets))
    order = np.lexsort((problem.r_peaks, record))
    sets = order if problem.width.shape[0] > 1 else slice(None)
    return problem._replace(
        r_peaks=problem.r_peaks[order],
        amplitude=problem.amplitude[sets],
        delay=problem.delay[sets],
        width=problem.width[sets],
    )


def upstream(grad_out: Any, problem: Problem) -> NDArray[Any]:
    """Check grad_out; return it as (n_records, n_leads, length >= 16)."""
    grad = np.asarray(grad_out)
    _validate.float_dtype(grad.dtype, "the dtype of grad_out")
    if grad.ndim == 0 or grad.shape != problem.shape(grad.shape[-1]) or grad.shape[-1] == 0:
        raise _wrong_upstream(problem, grad.shape)
    _validate.finite(grad, "grad_out")
    grad = np.ascontiguousarray(grad).reshape(problem.n_records, problem.n_leads, -1 if grad.size else grad.shape[-1])
    missing = LANES - grad.shape[-1]
    return grad if missing <= 0 else np.pad(grad, ((0, 0), (0, 0), (0, missing)))


def upstream_on(device: Device, grad_out: Any, problem: Problem) -> Any:
    """Check grad_out on the device; return it as (n_records, n_leads, length)."""
    grad = device.values(grad_out, "grad_out")
    _validate.float_dtype(device.dtype(grad_out), "the dtype of grad_out")
    if grad.ndim == 0 or tuple(grad.shape) != problem.shape(grad.shape[-1]) or grad.shape[-1] == 0:
        raise _wrong_upstream(problem, tuple(grad.shape))
    return grad.reshape((problem.n_records, problem.n_leads, grad.shape[-1]))


def _wrong_upstream(problem: Problem, shape: tuple[int, ...]) -> ValueError:
    expected = "(n_records, length)" if problem.lead_gain is None else "(n_records, n_leads, length)"
    return ValueError(
        f"grad_out must have shape {expected} = {problem.shape(-1)} with -1 for any length of at least 1, got {shape}"
    )


def chunks(problem: Problem) -> Chunks:
    """Divide the beats into chunks of about 64, at most 256 of them."""
    n_beats = problem.r_peaks.size
    n_chunks = max(1, min(256, -(-n_beats // 64)))
    bounds = np.arange(n_chunks + 1, dtype=np.int64) * n_beats // n_chunks
    return Chunks(bounds, np.searchsorted(problem.row_offsets, bounds[:-1], side="right") - 1)


def zero_sums(problem: Problem, chunks: Chunks, per_beat: bool, dtype: np.dtype[Any]) -> Sums:
    """Make the arrays that the gradient kernels add to."""
    n_beats, n_chunks = problem.r_peaks.size, chunks.records.size
    return Sums(
        np.zeros(n_beats, dtype),
        np.zeros((n_beats if per_beat else n_chunks, problem.n_waves, 3)),
        np.zeros((n_chunks, problem.n_leads, problem.n_waves)),
    )
