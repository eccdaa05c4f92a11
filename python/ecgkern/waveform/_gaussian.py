"""`gaussian_waves`, its gradient and `dirac_delta`: check the arguments, choose the backend, wrap the result."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ecgkern import _dispatch, _validate
from ecgkern.waveform._waves import PHYSIO, Waves

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
        return int(self.row_offsets.size) - 1

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
    """What a backend writes for the gradient, all float64, zero to begin with."""

    r_peaks: NDArray[np.float64]  # (n_beats,)
    waves: NDArray[np.float64]  # (n_beats or, for one shared set, n_chunks; n_waves; 3: amplitude, delay, width)
    gain: NDArray[np.float64]  # (n_chunks, n_leads, n_waves)


class Gradients(NamedTuple):
    """Gradients with respect to the arguments of `gaussian_waves`, each shaped like its argument."""

    r_peaks: Any
    amplitude: Any
    delay: Any
    width: Any
    lead_gain: Any | None


def gaussian_waves(
    r_peaks: Any,
    *,
    fs: float,
    length: int,
    waves: Waves = PHYSIO,
    lead_gain: Any = None,
    row_offsets: Any = None,
    cutoff: float = 6.0,
    out: Any = None,
    dtype: DTypeLike = np.float32,
    backend: str | None = None,
) -> Any:
    r"""Synthesise a batch of ECGs as sums of Gaussian waves placed at R peaks.

    .. math:: y_{nct} = \sum_{b \in n} \sum_w G_{cw} A_{bw} \exp\left(-\frac{(t - m_{bw})^2}{2 s_{bw}^2}\right),
              \qquad m_{bw} = r_b + f_s d_{bw}, \quad s_{bw} = f_s \cdot \mathrm{width}_{bw}

    Parameters
    ----------
    r_peaks : list of 1-D arrays, 1-D array with `row_offsets`, or ecgkern.data.RPeaks
        R peaks of each record in samples from its start; fractions, any order, and peaks outside the record are fine.
    fs : float
        Sampling rate in Hz.
    length : int
        Samples per record.
    waves : Waves, default PHYSIO
        One set of waves for all beats, or one per beat in the order of the (flattened) R peaks.
    lead_gain : array_like, shape (n_leads, n_waves), optional
        Gain of each wave in each lead. The exponentials are computed once for all leads. By default there is one lead
        with all gains 1.
    row_offsets : array_like of int, shape (n_records + 1,), optional
        Record n has the peaks ``r_peaks[row_offsets[n]:row_offsets[n + 1]]``.
    cutoff : float, default 6
        Each wave is cut off `cutoff` standard deviations from its centre.
    out : array, optional
        Where to write: of the result's shape and `dtype`, C-contiguous.
    dtype : float32 or float64, default float32
        Type of the result and of the arithmetic.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Returns
    -------
    array, shape (n_records, length) or, with `lead_gain`, (n_records, n_leads, length)
        In mV, of the library of `r_peaks` (NumPy or torch, on the CPU).

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong rank, type or range; the message names it and the first offending index.
    BackendUnavailableError
        If the backend asked for is not ready.

    Warns
    -----
    UserWarning
        If a wave is narrower than one sample: it is then not resolved, and its height depends on where between two
        samples it falls.

    Notes
    -----
    The cut-off changes a sample by at most :math:`|G A| e^{-\kappa^2/2}` for each wave cut there: 1.5e-8 of the
    amplitude at the default :math:`\kappa` = 6 (below float32 resolution), 3.4e-4 at 4, 2.6e-18 at 9. All backends cut
    at the same sample. They agree to 2e-6 in float32 and 1e-12 in float64, times the sum of :math:`|G A|` over the
    waves that overlap at a sample. Times are float64 throughout: a peak late in a day-long record is placed as exactly
    as an early one. Results are the same bits for every number of threads.

    The kernels (fortran, numba) use at most 1 MB per thread beside arguments and result. A set of waves per beat is
    turned into samples first, which takes two float64 values per beat and wave; so does sorting beats that do not
    ascend. Flat `r_peaks` in float64 with `row_offsets` and an `out` made beforehand are the fastest way to call.

    Examples
    --------
    Two records, 100 Hz, with two beats and one beat:

    >>> from ecgkern.waveform import gaussian_waves
    >>> ecg = gaussian_waves([[50.0, 150.0], [60.0]], fs=100.0, length=200)
    >>> ecg.shape
    (2, 200)
    >>> int(ecg[1].argmax())
    60
    """
    r_peaks, row_offsets = _flat_if_joined(r_peaks, row_offsets)
    library = _dispatch.array_library(r_peaks=r_peaks, lead_gain=lead_gain, row_offsets=row_offsets, out=out)
    length = _validate.positive_integer(length, "length")
    module = _dispatch.load("waveform", backend)
    result_dtype = _validate.float_dtype(dtype)
    problem = _problem(r_peaks, fs, waves, lead_gain, row_offsets, cutoff)
    _check_magnitude(problem, result_dtype)
    host_out = _dispatch.to_numpy(out, "out")
    inputs = {"r_peaks": problem.r_peaks, "row_offsets": problem.row_offsets, "lead_gain": problem.lead_gain}
    y = _validate.output(host_out, problem.shape(length), result_dtype, inputs)
    if y.size:
        module.gaussian_waves(_in_order(problem), y.reshape(problem.n_records, problem.n_leads, length))
    return _dispatch.from_numpy(y, library) if out is None else out


def gaussian_waves_grad(
    grad_out: Any,
    r_peaks: Any,
    *,
    fs: float,
    waves: Waves = PHYSIO,
    lead_gain: Any = None,
    row_offsets: Any = None,
    cutoff: float = 6.0,
    backend: str | None = None,
) -> Gradients:
    r"""Return the gradients of ``sum(grad_out * gaussian_waves(r_peaks, ...))``.

    With :math:`u = \sum_c G_{cw}\, \partial L/\partial y_c`, :math:`x = t - m` and
    :math:`g = \exp(-x^2 / 2 s^2)`, all in samples,

    .. math:: \frac{\partial L}{\partial A} = \sum_t u g, \quad
              \frac{\partial L}{\partial m} = \frac{A}{s^2} \sum_t u g x, \quad
              \frac{\partial L}{\partial s} = \frac{A}{s^3} \sum_t u g x^2, \quad
              \frac{\partial L}{\partial G_{cw}} = \sum_t \frac{\partial L}{\partial y_c} A g .

    Parameters
    ----------
    grad_out : array, shape (n_records, length) or, with `lead_gain`, (n_records, n_leads, length)
        Gradient of the loss with respect to the result of :func:`gaussian_waves`; float32 or float64.
    r_peaks, fs, waves, lead_gain, row_offsets, cutoff, backend
        As for :func:`gaussian_waves`.

    Returns
    -------
    Gradients
        ``r_peaks`` (per sample; a list of arrays if `r_peaks` is a list), ``amplitude`` (per mV), ``delay`` and
        ``width`` (per second), ``lead_gain`` (None without). Each has the shape of its argument and the dtype and
        library of `grad_out`; where all beats share one set of waves, theirs are sums over the beats.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`gaussian_waves`, and if `grad_out` does not have the shape of its result.

    Notes
    -----
    Windows are cut as in the forward pass, which changes a term by at most :math:`e^{-\kappa^2/2}` times 1,
    :math:`\kappa |A|/s` and :math:`\kappa^2 |A|/s` for amplitude, delay and width. Sums over beats are in float64, in
    an order that does not depend on the number of threads. Backends agree to 1e-5 of the largest gradient in float32
    and 1e-11 in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.waveform import gaussian_waves_grad
    >>> grad = gaussian_waves_grad(np.ones((1, 200)), [[100.0]], fs=100.0)
    >>> grad.amplitude.shape  # one shared set of waves
    (6,)
    >>> bool(abs(grad.r_peaks[0][0]) < 1e-6)  # shifting the beat does not change the sum
    True
    """
    r_peaks, row_offsets = _flat_if_joined(r_peaks, row_offsets)
    library = _dispatch.array_library(grad_out=grad_out, r_peaks=r_peaks, lead_gain=lead_gain, row_offsets=row_offsets)
    module = _dispatch.load("waveform", backend)
    problem = _problem(r_peaks, fs, waves, lead_gain, row_offsets, cutoff)
    upstream = _upstream(_dispatch.to_numpy(grad_out, "grad_out"), problem)
    _check_magnitude(problem, upstream.dtype)
    per_beat = waves.width.ndim == 2
    chunks = _chunks(problem)
    n_chunks, n_beats = chunks.records.size, problem.r_peaks.size
    sums = Sums(
        np.zeros(n_beats),
        np.zeros((n_beats if per_beat else n_chunks, problem.n_waves, 3)),
        np.zeros((n_chunks, problem.n_leads, problem.n_waves)),
    )
    if n_beats:
        module.gaussian_waves_grad(problem, upstream, chunks, sums)

    fs = float(fs)
    per_wave = sums.waves if per_beat else sums.waves.sum(axis=0)
    rows: Any = sums.r_peaks
    if row_offsets is None:
        rows = np.split(rows, problem.row_offsets[1:-1]) if problem.n_records else []

    def wrap(array: Any) -> Any:
        with np.errstate(over="ignore"):
            gradient = np.ascontiguousarray(array, dtype=upstream.dtype)
        if not np.isfinite(gradient).all():
            raise ValueError(f"the gradient exceeds {upstream.dtype}: scale grad_out, amplitude or lead_gain down")
        return _dispatch.from_numpy(gradient, library)

    return Gradients(
        r_peaks=[wrap(row) for row in rows] if isinstance(rows, list) else wrap(rows),
        amplitude=wrap(per_wave[..., 0]),
        delay=wrap(per_wave[..., 1] * fs),
        width=wrap(per_wave[..., 2] * fs),
        lead_gain=None if lead_gain is None else wrap(sums.gain.sum(axis=0)),
    )


def dirac_delta(x: ArrayLike, epsilon: float, *, normalization: str = "peak") -> Any:
    r"""Return a Gaussian of width `epsilon`, the smoothed Dirac delta that ECG waves are made of.

    .. math:: \delta_\epsilon(x) = e^{-x^2 / 2\epsilon^2} \;\text{("peak")}, \qquad
              \delta_\epsilon(x) = \frac{e^{-x^2 / 2\epsilon^2}}{\epsilon\sqrt{2\pi}} \;\text{("area")}

    Parameters
    ----------
    x : array_like
        Where to evaluate it.
    epsilon : float
        Standard deviation, in the unit of `x`, above zero.
    normalization : {"peak", "area"}, default "peak"
        Whether its peak or its integral is 1.

    Returns
    -------
    array of the shape of `x`
        float32 for float32 input, else float64; of the library of `x`.

    Raises
    ------
    ValueError
        If `epsilon` is not finite and above zero or `normalization` is unknown.
    TypeError
        If `x` does not hold real numbers.

    Examples
    --------
    >>> from ecgkern.waveform import dirac_delta
    >>> dirac_delta([0.0, 1.0], 1.0).round(4).tolist()
    [1.0, 0.6065]
    >>> round(float(dirac_delta(0.0, 0.5, normalization="area")), 4)
    0.7979
    """
    library = _dispatch.array_library(x=x)
    epsilon = _validate.positive(epsilon, "epsilon")
    if normalization not in ("peak", "area"):
        raise ValueError(f'normalization must be "peak" or "area", got {normalization!r}')
    points = _validate.real_values(_dispatch.to_numpy(x, "x"), "x")
    dtype = points.dtype if points.dtype == np.float32 else np.dtype(np.float64)
    height = 1.0 if normalization == "peak" else 1.0 / (epsilon * np.sqrt(2.0 * np.pi))
    if not np.isfinite(height):
        raise ValueError(f"epsilon = {epsilon} is too small: the peak of unit area would be infinite")
    values = height * np.exp(-0.5 * (points.astype(np.float64) / epsilon) ** 2)
    return _dispatch.from_numpy(np.asarray(values, dtype=dtype), library)


def _flat_if_joined(r_peaks: Any, row_offsets: Any) -> tuple[Any, Any]:
    """Unpack `ecgkern.data.RPeaks`, which as a plain tuple would look like a list of two records."""
    if not hasattr(r_peaks, "row_offsets"):
        return r_peaks, row_offsets
    if row_offsets is not None:
        raise ValueError("row_offsets must be left out where r_peaks is an RPeaks, which has its own")
    return r_peaks.values, r_peaks.row_offsets


def _problem(r_peaks: Any, fs: Any, waves: Any, lead_gain: Any, row_offsets: Any, cutoff: Any) -> Problem:
    rate = _validate.positive(fs, "fs", "Hz")
    peaks, offsets = _validate.ragged(
        _dispatch.to_numpy(r_peaks, "r_peaks"), _dispatch.to_numpy(row_offsets, "row_offsets"), "r_peaks"
    )
    if not isinstance(waves, Waves):
        raise TypeError(f"waves must be ecgkern.waveform.Waves, got {type(waves).__name__}")
    n_waves = len(waves.name)
    if waves.width.ndim == 2 and waves.width.shape[0] != peaks.size:
        raise ValueError(f"waves has {waves.width.shape[0]} sets, one per beat, but r_peaks has {peaks.size} beats")
    gain = None
    if lead_gain is not None:
        gain = _validate.real_array(_dispatch.to_numpy(lead_gain, "lead_gain"), "lead_gain", (2,))
        if gain.shape[1] != n_waves or gain.shape[0] == 0:
            raise ValueError(f"lead_gain must have shape (n_leads, {n_waves}), got {gain.shape}")
    with np.errstate(over="ignore"):  # what is infinite in samples is reported in the caller's words
        delay = _validate.finite(waves.delay * rate, "delay * fs")
        width = _validate.finite(waves.width * rate, "width * fs")
    _check_resolution(waves, width, rate)
    return Problem(
        offsets,
        peaks,
        waves.amplitude.reshape(-1, n_waves),
        delay.reshape(-1, n_waves),
        width.reshape(-1, n_waves),
        gain,
        _validate.positive(cutoff, "cutoff", "standard deviations"),
    )


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


def _check_magnitude(problem: Problem, dtype: np.dtype[Any]) -> None:
    amplitude, gain = np.abs(problem.amplitude).max(initial=0.0), np.abs(problem.gain).max()
    limit = _LARGEST[dtype]
    if max(amplitude, gain) > limit or amplitude * gain > limit:
        raise ValueError(
            f"amplitude, lead_gain and their product must be at most {limit:g} in {dtype}, got {amplitude:g}, {gain:g}"
        )


def _in_order(problem: Problem) -> Problem:
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


def _upstream(grad_out: Any, problem: Problem) -> NDArray[Any]:
    """Check grad_out; return it as (n_records, n_leads, length >= 16)."""
    grad = np.asarray(grad_out)
    _validate.float_dtype(grad.dtype, "the dtype of grad_out")
    expected = "(n_records, length)" if problem.lead_gain is None else "(n_records, n_leads, length)"
    if grad.ndim == 0 or grad.shape != problem.shape(grad.shape[-1]) or grad.shape[-1] == 0:
        raise ValueError(
            f"grad_out must have shape {expected} = {problem.shape(-1)} with -1 for any length of at least 1, "
            f"got {grad.shape}"
        )
    _validate.finite(grad, "grad_out")
    grad = np.ascontiguousarray(grad).reshape(problem.n_records, problem.n_leads, -1 if grad.size else grad.shape[-1])
    missing = LANES - grad.shape[-1]
    return grad if missing <= 0 else np.pad(grad, ((0, 0), (0, 0), (0, missing)))


def _chunks(problem: Problem) -> Chunks:
    n_beats = problem.r_peaks.size
    n_chunks = max(1, min(256, -(-n_beats // 64)))
    bounds = np.arange(n_chunks + 1, dtype=np.int64) * n_beats // n_chunks
    return Chunks(bounds, np.searchsorted(problem.row_offsets, bounds[:-1], side="right") - 1)
