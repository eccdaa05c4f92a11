"""`gaussian_waves`, its gradient and `dirac_delta`: check the arguments, choose the backend, wrap the result."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ecgkern import _dispatch, _validate
from ecgkern.waveform import _problem
from ecgkern.waveform._waves import PHYSIO, Waves


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
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default, for arrays on a GPU "cuda", else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    array, shape (n_records, length) or, with `lead_gain`, (n_records, n_leads, length)
        In mV, of the library of `r_peaks` and on their device.

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
    ascend. On a GPU the values of peaks, offsets and gains are not looked at: a peak that is not a number makes its
    record one, and offsets are kept within the peaks. Flat `r_peaks` in float64 with `row_offsets` and an `out` made
    beforehand are the fastest way to call.

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
    r_peaks, row_offsets = _problem.flat_if_joined(r_peaks, row_offsets)
    library = _dispatch.array_library(r_peaks=r_peaks, lead_gain=lead_gain, row_offsets=row_offsets, out=out)
    device = _dispatch.device(r_peaks=r_peaks, lead_gain=lead_gain, row_offsets=row_offsets, out=out)
    length = _validate.positive_integer(length, "length")
    module = _dispatch.load("waveform", backend, device)
    result_dtype = _validate.float_dtype(dtype)
    problem = _problem.check(r_peaks, fs, waves, lead_gain, row_offsets, cutoff, device)
    _problem.check_magnitude(problem, result_dtype)
    if device is not None:
        y = device.output(out, problem.shape(length), result_dtype, problem._asdict())
        module.gaussian_waves(device, problem, y.reshape((problem.n_records, problem.n_leads, length)))
        return y
    host_out = _dispatch.to_numpy(out, "out")
    inputs = {"r_peaks": problem.r_peaks, "row_offsets": problem.row_offsets, "lead_gain": problem.lead_gain}
    y = _validate.output(host_out, problem.shape(length), result_dtype, inputs)
    if y.size:
        module.gaussian_waves(_problem.in_order(problem), y.reshape(problem.n_records, problem.n_leads, length))
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
    and 1e-11 in float64. On a GPU values are not looked at, and a gradient beyond the type comes out as infinity.

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
    r_peaks, row_offsets = _problem.flat_if_joined(r_peaks, row_offsets)
    library = _dispatch.array_library(grad_out=grad_out, r_peaks=r_peaks, lead_gain=lead_gain, row_offsets=row_offsets)
    device = _dispatch.device(grad_out=grad_out, r_peaks=r_peaks, lead_gain=lead_gain, row_offsets=row_offsets)
    module = _dispatch.load("waveform", backend, device)
    problem = _problem.check(r_peaks, fs, waves, lead_gain, row_offsets, cutoff, device)
    per_beat = waves.width.ndim == 2
    if device is not None:
        grad = _problem.upstream_on(device, grad_out, problem)
        _problem.check_magnitude(problem, device.dtype(grad))
        found = module.gaussian_waves_grad(device, problem, grad, float(fs))
        counts = None if row_offsets is not None else [len(row) for row in r_peaks]
        return _of_device(found, per_beat, counts)
    upstream = _problem.upstream(_dispatch.to_numpy(grad_out, "grad_out"), problem)
    _problem.check_magnitude(problem, upstream.dtype)
    chunks = _problem.chunks(problem)
    sums = _problem.zero_sums(problem, chunks, per_beat, upstream.dtype)
    if problem.r_peaks.size:
        with np.errstate(over="ignore"):  # reported below
            module.gaussian_waves_grad(problem, upstream, chunks, sums)

    def rounded(gradient: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            result = np.ascontiguousarray(gradient, dtype=upstream.dtype)
        if not np.isfinite(result).all():
            raise ValueError(f"the gradient exceeds {upstream.dtype}: scale grad_out, amplitude or lead_gain down")
        return result

    def wrap(gradient: NDArray[np.float64]) -> Any:
        return _dispatch.from_numpy(rounded(gradient), library)

    per_wave = sums.waves if per_beat else sums.waves.sum(axis=0)
    rows = rounded(sums.r_peaks)
    if row_offsets is None:
        starts = problem.row_offsets[:-1].tolist()
        ends = problem.row_offsets[1:].tolist()
        r_peaks_grad = [_dispatch.from_numpy(rows[i:j], library) for i, j in zip(starts, ends, strict=True)]
    else:
        r_peaks_grad = _dispatch.from_numpy(rows, library)
    return Gradients(
        r_peaks=r_peaks_grad,
        amplitude=wrap(per_wave[..., 0]),
        delay=wrap(per_wave[..., 1] * float(fs)),
        width=wrap(per_wave[..., 2] * float(fs)),
        lead_gain=None if lead_gain is None else wrap(sums.gain.sum(axis=0)),
    )


def _of_device(found: Any, per_beat: bool, counts: list[int] | None) -> Gradients:
    """Shape gradients on a GPU as the caller gave the arguments; `counts` are the peaks of each record in a list."""
    amplitude, delay, width = (found.waves[..., i] if per_beat else found.waves[0, :, i] for i in range(3))
    r_peaks = found.r_peaks
    if counts is not None:
        ends = np.cumsum([0, *counts]).tolist()
        r_peaks = [found.r_peaks[i:j] for i, j in pairwise(ends)]
    return Gradients(r_peaks, amplitude, delay, width, found.lead_gain)


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
    library, device = _dispatch.array_library(x=x), _dispatch.device(x=x)
    epsilon = _validate.positive(epsilon, "epsilon")
    if normalization not in ("peak", "area"):
        raise ValueError(f'normalization must be "peak" or "area", got {normalization!r}')
    height = 1.0 if normalization == "peak" else 1.0 / (epsilon * np.sqrt(2.0 * np.pi))
    if not np.isfinite(height):
        raise ValueError(f"epsilon = {epsilon} is too small: the peak of unit area would be infinite")
    if device is not None:
        return _dispatch.load("waveform", None, device).dirac_delta(device, device.values(x, "x"), epsilon, height)
    points = _validate.real_values(_dispatch.to_numpy(x, "x"), "x")
    dtype = points.dtype if points.dtype == np.float32 else np.dtype(np.float64)
    values = height * np.exp(-0.5 * (points.astype(np.float64) / epsilon) ** 2)
    return _dispatch.from_numpy(np.asarray(values, dtype=dtype), library)
