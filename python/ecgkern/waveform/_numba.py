"""Waveform kernels in Numba: the algorithm of fortran/waveform_kernels.inc, which explains it.

The functions release the GIL and work on a range of items, so that `_threads.run_ranges` can spread them over threads.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ecgkern import _threads
from ecgkern._numba_math import exp2, jit
from ecgkern.waveform._problem import LANES, Chunks, Problem, Sums, tile_length

ROOT_HALF_LOG2_E = 0.84932180028801904272  # g = 2**(-(z*z)) with z = (t - m) * sqrt(log2(e)/2) / s

_inlined = numba.njit(inline="always", error_model="numpy", fastmath={"contract", "reassoc"})


def gaussian_waves(problem: Problem, out: NDArray[Any]) -> None:
    """Write the records to out (n_records, n_leads, length)."""
    tile = tile_length(1 if problem.lead_gain is None else problem.n_waves, out)
    n_items = problem.n_records * -(-out.shape[-1] // tile)
    before, after = problem.reach()
    waves, inside = _waves(problem), _inside(out.dtype)

    def work(first: int, end: int) -> None:
        _synthesise(first, end, tile, problem.lead_gain is not None, *waves, before, after, inside, out)

    _threads.run_ranges(n_items, _threads.threads_for(out.size), work)


def gaussian_waves_grad(problem: Problem, grad_out: NDArray[Any], chunks: Chunks, sums: Sums) -> None:
    """Write the gradients of sum(grad_out * y) to sums."""
    waves, inside = _waves(problem), _inside(grad_out.dtype)

    def work(first: int, end: int) -> None:
        _differentiate(first, end, problem.lead_gain is not None, *waves, *chunks, inside, grad_out, *sums)

    _threads.run_ranges(chunks.records.size, _threads.threads_for(grad_out.size), work)


def _waves(problem: Problem) -> tuple[Any, ...]:
    return (
        problem.row_offsets, problem.r_peaks, problem.amplitude, problem.delay, problem.width, problem.gain,
        problem.cutoff,
    )  # fmt: skip


def _inside(dtype: np.dtype[Any]) -> NDArray[Any]:
    """A window over this switches off the lanes that lie before or beyond the cut-off."""
    return np.repeat(np.array([0, 1, 0], dtype), LANES)


@jit
def _synthesise(  # type: ignore[no-untyped-def]
    first_item, end_item, tile, has_gain, row_offsets, r_peaks, amplitude, delay, width, gain, cutoff,
    reach_before, reach_after, inside, out,
):  # fmt: skip
    n_leads, length = out.shape[1:]
    n_waves = width.shape[1]
    n_tiles = -(-length // tile)
    rows = np.empty((n_waves if has_gain else 1, tile + LANES), out.dtype)
    gain = gain.astype(out.dtype)
    for item in range(first_item, end_item):
        record = item // n_tiles
        first = item % n_tiles * tile
        last = min(first + tile, length) - 1
        begin, end = row_offsets[record], row_offsets[record + 1]
        peaks = r_peaks[begin:end]
        first_beat = begin + np.searchsorted(peaks, first - reach_after)
        end_beat = begin + np.searchsorted(peaks, last + reach_before)
        rows[:, :] = 0
        for w in range(n_waves):
            row = rows[w if has_gain else 0]
            for b in range(first_beat, end_beat):
                i = min(b, width.shape[0] - 1)
                _add_wave(r_peaks[b] + delay[i, w], width[i, w], amplitude[i, w], cutoff, first, last, inside, row)
        for lead in range(n_leads):
            y = out[record, lead, first : last + 1]
            if has_gain:
                _mix(rows, gain[lead], y)
            else:
                y[:] = rows[0, : y.size]


@jit
def _mix(rows, gain, y):  # type: ignore[no-untyped-def]
    for t in range(y.size):
        y[t] = gain[0] * rows[0, t]
    for w in range(1, rows.shape[0]):
        for t in range(y.size):
            y[t] += gain[w] * rows[w, t]


@_inlined
def _add_wave(centre, s, amplitude, cutoff, first, last, inside, row):  # type: ignore[no-untyped-def]
    reach = cutoff * s
    if not (centre + reach >= first and centre - reach <= last):
        return
    real = row.dtype.type
    begin = int(np.ceil(max(centre - reach, float(first))))
    end = int(np.floor(min(centre + reach, float(last))))
    scale, a = real(ROOT_HALF_LOG2_E / s), real(amplitude)
    for k in range(begin, end + 1, LANES):
        mask = LANES + max(0, k + LANES - 1 - end)
        start = real(k - centre)
        y, keep = row[k - first : k - first + LANES], inside[mask : mask + LANES]
        for j in range(LANES):
            z = (start + real(j)) * scale
            y[j] += a * keep[j] * exp2(-(z * z))


@jit
def _differentiate(  # type: ignore[no-untyped-def]
    first_chunk, end_chunk, has_gain, row_offsets, r_peaks, amplitude, delay, width, gain, cutoff,
    chunk_beats, chunk_records, inside, grad_out, r_sums, wave_sums, gain_sums,
):  # fmt: skip
    n_waves, per_beat = width.shape[1], width.shape[0] > 1
    g, u = np.empty(LANES, grad_out.dtype), np.empty(LANES, grad_out.dtype)
    gain = gain.astype(grad_out.dtype)
    for chunk in range(first_chunk, end_chunk):
        record = chunk_records[chunk]
        for b in range(chunk_beats[chunk], chunk_beats[chunk + 1]):
            while b >= row_offsets[record + 1]:
                record += 1
            i = min(b, width.shape[0] - 1)
            shift = 0.0
            for w in range(n_waves):
                a, s = amplitude[i, w], width[i, w]
                zeroth, first, second = _moments(
                    r_peaks[b] + delay[i, w], s, a, cutoff, has_gain, gain[:, w], inside, grad_out[record], g, u,
                    gain_sums[chunk, :, w],
                )  # fmt: skip
                row = b if per_beat else chunk
                wave_sums[row, w, 0] += zeroth
                wave_sums[row, w, 1] += a / (s * s) * first
                wave_sums[row, w, 2] += a / (s * s * s) * second
                shift += a / (s * s) * first
            r_sums[b] = shift


@_inlined
def _moments(centre, s, a, cutoff, has_gain, gain, inside, grad_out, g, u, gain_sums):  # type: ignore[no-untyped-def]
    """Sums over the window of u*g, u*g*x and u*g*x*x."""
    n_leads, length = grad_out.shape
    reach = cutoff * s
    if not (centre + reach >= 0 and centre - reach <= length - 1):
        return 0.0, 0.0, 0.0
    real = grad_out.dtype.type
    begin = int(np.ceil(max(centre - reach, 0.0)))
    end = int(np.floor(min(centre + reach, length - 1.0)))
    scale = real(ROOT_HALF_LOG2_E / s)
    zeroth, first, second = real(0), real(0), real(0)
    for k in range(begin, end + 1, LANES):
        block = min(k, length - LANES)
        back = k - block
        beyond, before = LANES + max(0, block + LANES - 1 - end), LANES - back
        start = real(k - centre)
        not_beyond, not_before = inside[beyond : beyond + LANES], inside[before : before + LANES]
        # The branches repeat three sums on purpose: LLVM vectorises the plain one only without arrays to choose from.
        if has_gain:
            for j in range(LANES):
                z = (start + real(j - back)) * scale
                g[j] = not_beyond[j] * not_before[j] * exp2(-(z * z))
            u[:] = 0
            for lead in range(n_leads):
                total = real(0)
                for j in range(LANES):  # indexed and not sliced: a slice counts references, twice for every lead
                    upstream = grad_out[lead, np.uintp(block) + np.uintp(j)]
                    u[j] += gain[lead] * upstream
                    total += g[j] * upstream
                gain_sums[lead] += a * total
            for j in range(LANES):
                x = start + real(j - back)
                ug = u[j] * g[j]
                zeroth += ug
                first += ug * x
                second += ug * x * x
        else:
            upstream = grad_out[0, block : block + LANES]
            for j in range(LANES):
                x = start + real(j - back)
                z = x * scale
                ug = not_beyond[j] * not_before[j] * exp2(-(z * z)) * upstream[j]
                zeroth += ug
                first += ug * x
                second += ug * x * x
    return float(zeroth), float(first), float(second)
