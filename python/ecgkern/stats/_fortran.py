"""The stats kernels in Fortran: fortran/stats.f90. C-order arrays pass as their transposes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern.stats._kernels import Functions
from ecgkern.stats._pool import FORMS, PADDING, STRIP, TILE, Pool, Totals, sums_of_chunks

Floats = NDArray[np.float64]

_kernels = extension.stats
_CENTRE = {np.dtype(np.float32): _kernels.centre_f32, np.dtype(np.float64): _kernels.centre_f64}
_PASS = {np.dtype(np.float32): _kernels.pass_over_pairs_f32, np.dtype(np.float64): _kernels.pass_over_pairs_f64}
_MEASURES = {np.dtype(np.float32): _kernels.measures_f32, np.dtype(np.float64): _kernels.measures_f64}
_GRADIENT = {np.dtype(np.float32): _kernels.gradient_f32, np.dtype(np.float64): _kernels.gradient_f64}


def centre(x: NDArray[Any], shift: NDArray[Any], z: NDArray[Any], norms: Floats) -> None:
    """Write the rows of x less shift to z, padded by zeros, and their squared lengths."""
    _CENTRE[z.dtype](_threads.threads_for(z.size), x.T, shift, z.T, norms)


def pass_over_pairs(
    samples: Pool, f: Functions, chunks: Any, wanted: Any, mixes: Any, rows: bool, signs: Any
) -> Totals:
    """Sums of the kernels over the pairs of the tile rows in `chunks`; `ecgkern.stats._pool` says of what."""
    groups, n_rows = len(samples.sizes), samples.norms.size
    n_threads = min(len(chunks), _threads.threads_for(samples.n**2))
    if mixes is None:
        mixes = np.zeros((1, f.scales.size))
    with_forms = signs is not None
    if signs is None:
        signs = np.zeros((1, 1), np.int8)
    n_mixes = len(mixes)
    scratch = np.empty((n_threads, 1 + n_mixes, TILE, TILE))
    spread_signs = np.empty((n_threads, FORMS if with_forms else 1, TILE))
    sums = np.empty((len(chunks), groups, groups, f.scales.size))
    row_sums = np.empty((len(chunks), n_mixes, groups, n_rows if rows else 1))
    forms = np.empty((len(chunks), n_mixes, len(signs)))
    _PASS[samples.z.dtype](
        int(samples.direct), f.measure, f.function, f.exponent, f.coef0, samples.z.T, samples.norms, samples.tiles.T,
        samples.tile_group, wanted.T, chunks.T, f.scales, f.squarings, mixes.T, int(rows), int(with_forms), signs.T,
        scratch.T, spread_signs.T, sums.T, row_sums.T, forms.T,
    )  # fmt: skip
    return Totals(
        sums_of_chunks(sums),
        sums_of_chunks(row_sums) if rows else np.zeros((0, groups, n_rows)),
        sums_of_chunks(forms) if with_forms else np.zeros((n_mixes, 0)),
    )


def measures(samples: Pool, i: slice, j: slice, measure: int, out: Floats) -> None:
    """Write the measure of the pairs of samples i with samples j."""
    scratch = np.empty((_threads.threads_for(out.size), TILE, TILE))
    _MEASURES[samples.z.dtype](
        int(samples.direct), measure, samples.z.T, samples.norms, i.start, j.start, scratch.T, out.T
    )


def gradient(
    samples: Pool, columns: Any, f: Functions, part: slice, weights: Any, factors: Any, with_diagonal: bool,
    sums: Floats, out: NDArray[Any],
) -> None:  # fmt: skip
    """Write derivatives by the samples of some tiles to out, and the sums of the mixture over their pairs to sums."""
    dtype = samples.z.dtype
    n_threads = min(len(sums), _threads.threads_for(samples.n**2))
    scratch = np.empty((n_threads, TILE, TILE))
    slopes = np.zeros((n_threads, TILE, STRIP), dtype)
    gradients = np.empty((n_threads, TILE, samples.n_features + PADDING))
    _GRADIENT[dtype](
        int(samples.direct), f.measure, f.function, int(with_diagonal), f.exponent, f.coef0, part.start, samples.z.T,
        columns.T, samples.norms, samples.tiles.T, samples.tile_group, factors.T, f.scales, f.squarings, weights,
        scratch.T, slopes.T, gradients.T, sums.T, out.T,
    )  # fmt: skip
