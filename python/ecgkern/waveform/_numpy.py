"""The waveform kernels in plain NumPy: the float64 specification that every other backend is tested against.

Wave by wave, a few beats at a time: row i of an array of samples is a stretch of the window of beat i.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern.waveform._problem import Chunks, Problem, Sums

_BEATS, _SAMPLES = 64, 128  # of one stretch


class _Stretch(NamedTuple):
    beats: slice
    wave: int
    samples: NDArray[np.int64]  # (n_beats, n_samples), clipped to the record
    amplitude: NDArray[np.float64]  # (n_beats, 1)
    width: NDArray[np.float64]
    x: NDArray[np.float64]  # distance from the centre of the wave, in samples
    g: NDArray[np.float64]  # exp(-x**2 / 2 width**2), 0 outside the window


def gaussian_waves(problem: Problem, out: NDArray[Any]) -> None:
    """Write the records to out (n_records, n_leads, length)."""
    length = out.shape[-1]
    for record in range(problem.n_records):
        basis = np.zeros((problem.n_waves, length))
        for part in _stretches(problem, record, length):
            np.add.at(basis[part.wave], part.samples, part.amplitude * part.g)
        with np.errstate(over="ignore"):  # an amplitude beyond float32 is infinite there, on every backend
            out[record] = problem.gain @ basis


def gaussian_waves_grad(problem: Problem, grad_out: NDArray[Any], chunks: Chunks, sums: Sums) -> None:
    """Write the gradients of sum(grad_out * y) to sums."""
    shared = problem.width.shape[0] == 1
    for record in range(problem.n_records):
        upstream = grad_out[record].astype(np.float64)
        for part in _stretches(problem, record, grad_out.shape[-1]):
            ug = (problem.gain[:, part.wave] @ upstream)[part.samples] * part.g
            per_beat = np.stack(
                [
                    ug.sum(axis=1),
                    (part.amplitude / part.width**2 * ug * part.x).sum(axis=1),
                    (part.amplitude / part.width**3 * ug * part.x**2).sum(axis=1),
                ],
                axis=1,
            )
            sums.r_peaks[part.beats] += per_beat[:, 1]
            if shared:
                sums.waves[0, part.wave] += per_beat.sum(axis=0)
            else:
                sums.waves[part.beats, part.wave] += per_beat
            sums.gain[0, :, part.wave] += (upstream[:, part.samples] * (part.amplitude * part.g)).sum(axis=(1, 2))


def _stretches(problem: Problem, record: int, length: int) -> Iterator[_Stretch]:
    first, end = problem.row_offsets[record : record + 2]
    for begin in range(first, end, _BEATS):
        beats = slice(begin, min(begin + _BEATS, end))
        sets = beats if problem.width.shape[0] > 1 else slice(0, 1)
        for wave in range(problem.n_waves):
            width = problem.width[sets, wave, None]
            centre = problem.r_peaks[beats, None] + problem.delay[sets, wave, None]
            # Clipped before they become integers: a peak may lie anywhere.
            lowest = np.ceil(np.clip(centre - problem.cutoff * width, 0, length)).astype(np.int64)
            highest = np.floor(np.clip(centre + problem.cutoff * width, -1, length - 1)).astype(np.int64)
            span = int((highest - lowest).max()) + 1
            for start in range(0, span, _SAMPLES):
                samples = lowest + np.arange(start, min(start + _SAMPLES, span))
                inside = samples <= highest
                x = np.where(inside, samples - centre, 0.0)
                g = np.where(inside, np.exp(-0.5 * (x / width) ** 2), 0.0)
                samples = np.minimum(samples, length - 1)
                yield _Stretch(beats, wave, samples, problem.amplitude[sets, wave, None], width, x, g)
