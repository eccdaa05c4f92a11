"""Waveform kernels in Fortran: fortran/waveform.f90. C-order arrays pass as their transposes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern.waveform._problem import LANES, Chunks, Problem, Sums, tile_length

_kernels = extension.waveform
_FORWARD = {np.dtype(np.float32): _kernels.gaussian_waves_f32, np.dtype(np.float64): _kernels.gaussian_waves_f64}
_GRADIENT = {
    np.dtype(np.float32): _kernels.gaussian_waves_grad_f32,
    np.dtype(np.float64): _kernels.gaussian_waves_grad_f64,
}


def gaussian_waves(problem: Problem, out: NDArray[Any]) -> None:
    """Write the records to out (n_records, n_leads, length)."""
    n_rows = 1 if problem.lead_gain is None else problem.n_waves
    row = tile_length(n_rows, out) + LANES
    scratch = np.empty((_threads.threads_for(out.size), n_rows, row), out.dtype)
    _FORWARD[out.dtype](*_waves(problem), *problem.reach(), scratch.T, out.T)


def gaussian_waves_grad(problem: Problem, grad_out: NDArray[Any], chunks: Chunks, sums: Sums) -> None:
    """Write the gradients of sum(grad_out * y) to sums."""
    n_threads, n_waves = _threads.threads_for(grad_out.size), problem.n_waves
    wave_lanes = np.empty((n_threads, n_waves, 3, LANES))
    gain_lanes = np.empty((n_threads, problem.n_leads, n_waves, LANES))
    _GRADIENT[grad_out.dtype](
        *_waves(problem), chunks.beats, chunks.records + 1, wave_lanes.T, gain_lanes.T, grad_out.T,
        sums.r_peaks, sums.waves.T, sums.gain.T,
    )  # fmt: skip


def _waves(problem: Problem) -> tuple[Any, ...]:
    return (
        int(problem.lead_gain is not None), problem.row_offsets, problem.r_peaks,
        problem.amplitude.T, problem.delay.T, problem.width.T, problem.gain.T, problem.cutoff,
    )  # fmt: skip
