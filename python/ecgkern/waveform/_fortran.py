"""Waveform kernels in Fortran: fortran/waveform.f90. C-order arrays pass as their transposes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern.waveform._gaussian import Chunks, Problem, Sums

_kernels = extension.waveform
_FORWARD = {np.dtype(np.float32): _kernels.gaussian_waves_f32, np.dtype(np.float64): _kernels.gaussian_waves_f64}
_GRADIENT = {
    np.dtype(np.float32): _kernels.gaussian_waves_grad_f32,
    np.dtype(np.float64): _kernels.gaussian_waves_grad_f64,
}


def gaussian_waves(problem: Problem, out: NDArray[Any]) -> None:
    """Write the records to out (n_records, n_leads, length)."""
    _FORWARD[out.dtype](*_waves(problem), *problem.reach(), _threads.get_num_threads(), out.T)


def gaussian_waves_grad(problem: Problem, grad_out: NDArray[Any], chunks: Chunks, sums: Sums) -> None:
    """Write the gradients of sum(grad_out * y) to sums."""
    _GRADIENT[grad_out.dtype](
        *_waves(problem), chunks.beats, chunks.records + 1, _threads.get_num_threads(), grad_out.T,
        sums.r_peaks, sums.waves.T, sums.gain.T,
    )  # fmt: skip


def _waves(problem: Problem) -> tuple[Any, ...]:
    return (
        int(problem.lead_gain is not None), problem.row_offsets, problem.r_peaks,
        problem.amplitude.T, problem.delay.T, problem.width.T, problem.gain.T, problem.cutoff,
    )  # fmt: skip
