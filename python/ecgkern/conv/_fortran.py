"""Convolution kernels in Fortran: fortran/conv.f90. C-order arrays pass as their transposes, without a copy."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern._memory import aligned
from ecgkern.conv import _fft
from ecgkern.conv._problem import Problem, Sums, zero_sums

# What the kernels work on at a time, on any processor; at most, where it depends on the processor.
STEP = 48  # moments: a multiple of `span` in fortran/conv_kernels.inc
LONGEST = 21 * STEP  # moments of a segment: ten seconds at 100 Hz
ROWS, PANEL = 8, 32  # channels: `tile_rows`, `panel`
SPARE_ROWS, SPARE_COLUMNS = 4, 5  # what the products read, and do nothing with, beyond the last channel and tap
SPARE = 64  # and beyond the last moment
GROUP = 64  # bytes of a moment of the channels that are transformed together: `group_size` in fortran/conv_fft.inc
GAP = 12  # moments: `gap`
TOGETHER = 8  # units that are worked on at a time, at most

METHODS = ("direct", "fft")

_kernels = extension.conv
_FORWARD = {np.dtype(np.float32): _kernels.multiscale_conv1d_f32, np.dtype(np.float64): _kernels.multiscale_conv1d_f64}
_GRADIENT = {
    np.dtype(np.float32): _kernels.multiscale_conv1d_grad_f32,
    np.dtype(np.float64): _kernels.multiscale_conv1d_grad_f64,
}
_FFT_FORWARD = {
    np.dtype(np.float32): _kernels.multiscale_conv1d_fft_f32,
    np.dtype(np.float64): _kernels.multiscale_conv1d_fft_f64,
}
_FFT_GRADIENT = {
    np.dtype(np.float32): _kernels.multiscale_conv1d_fft_grad_f32,
    np.dtype(np.float64): _kernels.multiscale_conv1d_fft_grad_f64,
}


def convolve(problem: Problem, out: NDArray[Any]) -> None:
    """Write the convolutions, merged if there is a merge, to out (n_records, n_out, length)."""
    by_fft = _fft.chosen(problem, "none")
    if not by_fft.any() or (problem.method == "auto" and not _fft.is_safe(problem)):
        _convolve(problem, out)
        return
    if not by_fft.all():
        _convolve(problem.part(~by_fft), out)
    elif problem.merge_weight is not None:
        out[:] = problem.merge_bias[:, None]
    _convolve_by_fft(problem, by_fft, out)


def differentiate(problem: Problem, grad_out: NDArray[Any], sums: Sums, grad_x: NDArray[Any] | None) -> None:
    """Add the gradients of sum(grad_out * result) to `sums` and write that of x to `grad_x`."""
    by_fft = _fft.chosen(problem, "weights" if grad_x is None else "all")
    if not by_fft.any() or (problem.method == "auto" and not _fft.is_safe(problem, grad_out)):
        _differentiate(problem, grad_out, sums, grad_x)
        return
    if by_fft.all():
        if problem.merge_weight is not None:
            for chunk, records in enumerate(itertools.starmap(slice, itertools.pairwise(sums.bounds))):
                sums.merge_bias[chunk] = grad_out[records].sum(axis=(0, 2), dtype=np.float64)
        if grad_x is not None:
            grad_x[:] = 0
    else:
        _differentiate_part(problem, ~by_fft, grad_out, sums, grad_x)
    _differentiate_by_fft(problem, by_fft, grad_out, sums, grad_x)


def _differentiate_part(
    problem: Problem, kernels: NDArray[np.bool_], grad_out: NDArray[Any], sums: Sums, grad_x: NDArray[Any] | None
) -> None:
    """As `differentiate`, for some of the kernels, directly."""
    part, (channels, weights) = problem.part(kernels), problem.places(kernels)
    own = zero_sums(part, sums.bounds)
    _differentiate(part, grad_out, own, grad_x)
    sums.weights[:, weights], sums.biases[:, channels] = own.weights, own.biases
    sums.merge_weight[:, :, channels], sums.merge_bias[:] = own.merge_weight, own.merge_bias


def _convolve(problem: Problem, out: NDArray[Any]) -> None:
    n_records, _, length = problem.x.shape
    dtype, n_threads = out.dtype, _threads.threads_for(problem.work)
    # Few records are cut into more segments, so that no thread is left without work.
    segment = _steps(min(LONGEST, max(2 * STEP, -(-n_records * length // (4 * n_threads)))), length)
    merge_weight, merge_bias = _merge(problem)
    _FORWARD[dtype](
        problem.dilation, problem.padding, segment, int(problem.relu), int(problem.merge_weight is not None),
        problem.channels, problem.sizes, problem.weights, problem.biases, merge_weight.T, merge_bias, problem.x.T,
        *_tables(problem, problem.n_channels), *_packed(problem, merge_weight),
        aligned((n_threads, _padded(problem, segment)), dtype).T,
        aligned((n_threads, problem.n_channels, STEP), dtype).T, aligned((n_threads, merge_bias.size, STEP), dtype).T,
        out.T,
    )  # fmt: skip


def _differentiate(problem: Problem, grad_out: NDArray[Any], sums: Sums, grad_x: NDArray[Any] | None) -> None:
    dtype, segment = grad_out.dtype, _steps(LONGEST, problem.x.shape[-1])
    n_threads = min(_threads.threads_for(problem.work), sums.bounds.size - 1)
    merge_weight, merge_bias = _merge(problem)
    with_merge, need_x = problem.merge_weight is not None, grad_x is not None
    merge_sums, merge_bias_sums = sums.merge_weight, sums.merge_bias
    if not with_merge:  # f2py takes no array without elements
        merge_sums, merge_bias_sums = np.empty((len(merge_sums), 1, problem.n_channels)), np.empty((len(merge_sums), 1))
    _GRADIENT[dtype](
        problem.dilation, problem.padding, int(problem.relu), int(with_merge), int(need_x),
        problem.channels, problem.sizes, problem.weights, problem.biases, merge_weight.T, sums.bounds, problem.x.T,
        grad_out.T, *_tables(problem, max(PANEL, merge_bias.size)), *_packed(problem, merge_weight),
        np.empty(problem.weights.size if need_x else 1, dtype),
        aligned((n_threads, _padded(problem, segment)), dtype).T,
        *(
            aligned((n_threads, n, segment), dtype).T
            for n in (merge_bias.size + SPARE_COLUMNS, ROWS + SPARE_ROWS, PANEL + SPARE_ROWS, ROWS)
        ),
        sums.weights.T, sums.biases.T, merge_sums.T, merge_bias_sums.T,
        (np.empty((1, *problem.x.shape[1:]), dtype) if grad_x is None else grad_x).T,
    )  # fmt: skip


def _convolve_by_fft(problem: Problem, by_fft: NDArray[np.bool_], out: NDArray[Any]) -> None:
    """Add the part of some kernels to out; without a merge, write it."""
    n_threads = _threads.threads_for(problem.work)
    p, tables, spectra = _spectral(problem, by_fft)
    units = len(problem.x) * p.n_units
    batch = min(_fft.batch(problem.x.shape[1]), -(-units // n_threads))
    merge_weight, _ = _merge(problem)
    together = min(batch, TOGETHER, problem.x.shape[1])
    scratch = (p.period + GAP) * (_group(problem) * together + 2 * batch * problem.x.shape[1])
    _FFT_FORWARD[out.dtype](
        problem.dilation, p.period, p.n_segments, p.step, p.lead, batch, together,
        int(problem.relu), int(problem.merge_weight is not None), *tables,
        problem.weights, problem.biases, merge_weight.T, problem.x.T, spectra,
        aligned((n_threads, scratch), out.dtype).T, out.T,
    )  # fmt: skip


def _differentiate_by_fft(
    problem: Problem, by_fft: NDArray[np.bool_], grad_out: NDArray[Any], sums: Sums, grad_x: NDArray[Any] | None
) -> None:
    """Add the gradients of some kernels to `sums`, and their part of that of x to `grad_x`."""
    dtype, n_inputs = grad_out.dtype, problem.x.shape[1]
    n_threads = min(_threads.threads_for(problem.work), sums.bounds.size - 1)
    p, tables, spectra = _spectral(problem, by_fft)
    batch = min(_fft.batch(n_inputs), int(np.diff(sums.bounds).max()) * p.n_units)
    together = min(batch, TOGETHER, n_inputs)
    merge_weight, merge_bias = _merge(problem)
    with_merge, need_x, group = problem.merge_weight is not None, grad_x is not None, _group(problem)
    scratch = (p.period + GAP) * (group * (together + n_inputs) + 2 * batch * n_inputs * (1 + need_x))
    _FFT_GRADIENT[dtype](
        problem.dilation, p.period, p.n_segments, p.step, p.lead, batch, together,
        int(problem.relu), int(with_merge), int(need_x), *tables,
        problem.weights, problem.biases, merge_weight.T, sums.bounds, problem.x.T, grad_out.T, spectra,
        aligned((n_threads, scratch), dtype).T,
        np.empty((n_threads, group * (1 + merge_bias.size))).T,
        sums.weights.T, sums.biases.T,
        (sums.merge_weight if with_merge else np.empty((len(sums.biases), 1, problem.n_channels))).T,
        (np.empty((1, *problem.x.shape[1:]), dtype) if grad_x is None else grad_x).T,
    )  # fmt: skip


def _spectral(problem: Problem, by_fft: NDArray[np.bool_]) -> tuple[_fft.Plan, tuple[Any, ...], NDArray[Any]]:
    """Plan, tables of the channels and of the transform, and room for the spectra of kernels, biases and merge."""
    dtype, (_, n_inputs, length) = problem.x.dtype, problem.x.shape
    p = _fft.plan(length, problem.dilation, int(problem.sizes[by_fft].max()) // 2)
    chosen = np.flatnonzero(problem.places(by_fft)[0])
    sizes = np.repeat(problem.sizes, problem.channels)
    starts = np.cumsum(n_inputs * sizes) - n_inputs * sizes
    tables = chosen + 1, starts[chosen], sizes[chosen], np.array(p.radices, np.int64), _fft.roots_of_unity(p, dtype)
    n_rows = -(-chosen.size // _group(problem)) * _group(problem)
    room = n_rows * (p.period * n_inputs + 1 + max(1, problem.merge_bias.size))
    return p, tables, aligned((room,), dtype)


def _group(problem: Problem) -> int:
    """Channels that are transformed together, at most."""
    return GROUP // problem.x.dtype.itemsize


def _steps(n: int, length: int) -> int:
    return -(-min(n, length) // STEP) * STEP


def _padded(problem: Problem, segment: int) -> int:
    """Values of a segment of all inputs with what the longest kernel reaches beyond it."""
    beyond = problem.dilation * SPARE_COLUMNS if problem.padding else 0
    return int(problem.x.shape[1] * (segment + 2 * problem.padding) + beyond + SPARE)


def _merge(problem: Problem) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and biases of the merge, not read where there is none."""
    if problem.merge_weight is None:
        return np.zeros((1, problem.n_channels), problem.x.dtype), np.zeros(1, problem.x.dtype)
    return problem.merge_weight, problem.merge_bias


def _tables(problem: Problem, n_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.empty(problem.x.shape[1] * int(problem.sizes.sum()), np.int64), np.empty(n_rows, np.int64)


def _packed(problem: Problem, merge_weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.empty(problem.weights.size, problem.x.dtype), np.empty(merge_weight.size, problem.x.dtype)
