"""Convolution kernels in Fortran: fortran/conv.f90. C-order arrays pass as their transposes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern._memory import aligned
from ecgkern.conv._problem import Problem, Sums

# What the kernels work on at a time, on any processor; at most, where it depends on the processor.
STEP = 48  # moments: a multiple of `span` in fortran/conv_kernels.inc
LONGEST = 21 * STEP  # moments of a segment: ten seconds at 100 Hz
ROWS, PANEL = 8, 32  # channels: `tile_rows`, `panel`
SPARE_ROWS, SPARE_COLUMNS = 4, 5  # what the products read, and do nothing with, beyond the last channel and tap
SPARE = 64  # and beyond the last moment

_kernels = extension.conv
_FORWARD = {np.dtype(np.float32): _kernels.multiscale_conv1d_f32, np.dtype(np.float64): _kernels.multiscale_conv1d_f64}
_GRADIENT = {
    np.dtype(np.float32): _kernels.multiscale_conv1d_grad_f32,
    np.dtype(np.float64): _kernels.multiscale_conv1d_grad_f64,
}


def convolve(problem: Problem, out: NDArray[Any]) -> None:
    """Write the convolutions, merged if there is a merge, to out (n_records, n_out, length)."""
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


def differentiate(problem: Problem, grad_out: NDArray[Any], sums: Sums, grad_x: NDArray[Any] | None) -> None:
    """Add the gradients of sum(grad_out * result) to `sums` and write that of x to `grad_x`."""
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
