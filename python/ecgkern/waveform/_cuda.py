"""Waveform kernels on a GPU: cuda/waveform.cu. Arrays are on the card; waves may be on the host and are small then."""

import math
from typing import Any, NamedTuple

import numpy as np

from ecgkern._cuda import C_TYPES, Device
from ecgkern.waveform._problem import Problem

# Leads that a pass over the waves computes, and tiles of 32 samples that each warp then holds.
_GROUPS = {1: 8, 12: 1}
_GRADIENT_GROUPS = (1, 4)
_THREADS, _WARPS, _TILE, _BEATS = 128, 4, 32, 16  # block_threads, warps, tile, beats_of_block
_PARTS = 32  # into which long sums are divided
_MOST_WAVES = 64  # of a beat: what the gradients of a block have room for

KERNELS = tuple(
    kernel
    for c_type in C_TYPES.values()
    for kernel in (
        *(f"waves<{c_type}, {group}, {tiles}>" for group, tiles in _GROUPS.items()),
        *(f"waves_gradient<{c_type}, {group}>" for group in _GRADIENT_GROUPS),
        f"sum_rows<{c_type}>",
        f"delta<{c_type}>",
    )
)


class Gradients(NamedTuple):
    """What the gradient kernels leave on the card, of the type of grad_out; delays and widths per second."""

    r_peaks: Any  # (n_beats,)
    waves: Any  # (n_beats or, for one shared set, 1; n_waves; 3: amplitude, delay, width)
    lead_gain: Any | None  # (n_leads, n_waves)


def gaussian_waves(device: Device, problem: Problem, out: Any) -> None:
    """Write the records to out (n_records, n_leads, length)."""
    n_records, n_leads, length = out.shape
    group = 1 if n_leads == 1 else 12
    kernel = f"waves<{C_TYPES[device.dtype(out)]}, {group}, {_GROUPS[group]}>"
    stretches = -(-length // (_GROUPS[group] * _WARPS * _TILE))
    # A grid has at most 65535 blocks in y: long records are cut there, and many leads are taken group by group.
    if stretches > 65535:
        raise ValueError(f"length must be at most {65535 * _GROUPS[group] * _WARPS * _TILE} on a GPU, got {length}")
    waves, gain = _on(device, problem)
    host = isinstance(problem.width, np.ndarray)
    before, after = problem.reach() if host else (float("inf"), float("inf"))
    for lead in range(0, n_leads, group):
        device.launch(
            "waveform", kernel, (n_records, stretches), _THREADS,
            problem.row_offsets, problem.r_peaks, *waves, gain, out, len(problem.r_peaks), problem.width.shape[0],
            problem.n_waves, n_leads, lead, length, problem.cutoff, before, after,
        )  # fmt: skip


def gaussian_waves_grad(device: Device, problem: Problem, grad_out: Any, fs: float) -> Gradients:
    """Return the gradients of sum(grad_out * y)."""
    n_records, n_leads, length = grad_out.shape
    n_beats, n_sets, n_waves = len(problem.r_peaks), problem.width.shape[0], problem.n_waves
    c_type = C_TYPES[device.dtype(grad_out)]
    group = 1 if n_leads == 1 else 4
    n_blocks = -(-n_beats // _BEATS)
    waves, gain = _on(device, problem)
    of_peaks = device.zeros(n_beats, np.float64)
    of_waves = device.zeros((n_beats, n_waves, 3) if n_sets > 1 else (1,), np.float64)
    block_waves = device.zeros((max(1, n_blocks), n_waves, 3), np.float64)
    block_gain = None if gain is None else device.zeros((max(1, n_blocks), n_leads, n_waves), np.float64)
    for lead in range(0, n_leads, group):
        device.launch(
            "waveform", f"waves_gradient<{c_type}, {group}>", n_blocks, _THREADS,
            problem.row_offsets, problem.r_peaks, *waves, gain, grad_out, of_peaks, of_waves, block_waves, block_gain,
            n_records, n_beats, n_sets, n_waves, n_leads, lead, length, problem.cutoff, fs,
            shared=8 * (3 + group) * n_waves * _BEATS,
        )  # fmt: skip

    def summed(parts: Any, shape: tuple[int, ...]) -> Any:
        total, n_columns = device.empty(shape, device.dtype(grad_out)), math.prod(shape)
        if len(parts) > _PARTS * _THREADS:  # first the sums of some parts, on all of the card
            some = device.empty((_PARTS, n_columns), np.float64)
            device.launch(
                "waveform", "sum_rows<double>", (n_columns, _PARTS), _THREADS, parts, some, len(parts), n_columns
            )
            parts = some
        device.launch("waveform", f"sum_rows<{c_type}>", n_columns, _THREADS, parts, total, len(parts), n_columns)
        return total

    def rounded(values: Any) -> Any:
        return device.contiguous(values, device.dtype(grad_out))

    return Gradients(
        rounded(of_peaks),
        rounded(of_waves) if n_sets > 1 else summed(block_waves, (1, n_waves, 3)),
        None if gain is None else summed(block_gain, (n_leads, n_waves)),
    )


def dirac_delta(device: Device, x: Any, epsilon: float, height: float) -> Any:
    """Return height * exp(-(x / epsilon)**2 / 2)."""
    out, n = device.empty(tuple(x.shape), device.dtype(x)), int(np.prod(x.shape))
    device.launch(
        "waveform", f"delta<{C_TYPES[device.dtype(x)]}>", -(-n // _THREADS), _THREADS, x, out, n, 1.0 / epsilon, height
    )
    return out


def _on(device: Device, problem: Problem) -> tuple[list[Any], Any]:
    """Amplitude, delay, width and 1 / width, and the gain of the leads or None, on the card in double precision."""
    if problem.n_waves > _MOST_WAVES:
        raise ValueError(f"waves must be at most {_MOST_WAVES} per beat on a GPU, got {problem.n_waves}")
    sets = [problem.amplitude, problem.delay, problem.width, 1.0 / problem.width]
    if isinstance(problem.width, np.ndarray):
        together = device.upload(np.stack([np.broadcast_to(each, problem.width.shape) for each in sets]))
        sets = [together[i] for i in range(4)]
    gain = problem.lead_gain
    return sets, device.upload(gain) if isinstance(gain, np.ndarray) else gain
