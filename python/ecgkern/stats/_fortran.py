"""The stats kernels in Fortran: fortran/stats.f90. C-order arrays pass as their transposes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecgkern._fortran as extension
from ecgkern import _threads
from ecgkern.stats._kernels import Functions
from ecgkern.stats._pool import FORMS, TILE, Pool, Totals, sums_of_chunks

Floats = NDArray[np.float64]

_kernels = extension.stats
_CENTRE = {np.dtype(np.float32): _kernels.centre_f32, np.dtype(np.float64): _kernels.centre_f64}
_PASS = {np.dtype(np.float32): _kernels.pass_over_pairs_f32, np.dtype(np.float64): _kernels.pass_over_pairs_f64}
_MEASURES = {np.dtype(np.float32): _kernels.measures_f32, np.dtype(np.float64): _kernels.measures_f64}
_SLOPES = {np.dtype(np.float32): _kernels.slopes_f32, np.dtype(np.float64): _kernels.slopes_f64}
_ADD_SLOPES = {np.dtype(np.float32): _kernels.add_slopes_f32, np.dtype(np.float64): _kernels.add_slopes_f64}


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


def slopes(
    samples: Pool, f: Functions, a: tuple[int, int], b: tuple[int, int], weights: Floats, factor: float,
    with_diagonal: bool, slopes: NDArray[Any], transposed: NDArray[Any],
) -> Floats:  # fmt: skip
    """Write factor f'(v) between the samples of tiles a and b, and the transpose; return the sums of f per pair."""
    sums = np.empty((a[1] - a[0], b[1] - b[0]))
    scratch = np.empty((min(sums.size, _threads.threads_for(slopes.size)), TILE, TILE))
    _SLOPES[samples.z.dtype](
        int(samples.direct), f.measure, f.function, int(with_diagonal), f.exponent, f.coef0, factor, samples.z.T,
        samples.norms, samples.tiles.T, a, b, f.scales, f.squarings, weights, scratch.T, slopes.T, transposed.T, sums.T,
    )  # fmt: skip
    return sums


def add_slopes(
    measure: int, rows: slice, others: slice, slopes: NDArray[Any], columns: NDArray[Any], row_sums: Floats, out: Any
) -> None:
    """Add sums over the samples j of `others`, of w_ij z_j (or w_ij times a sign) to out and of w_ij to row_sums."""
    _ADD_SLOPES[out.dtype](
        _threads.threads_for(slopes.size), measure, rows.start, rows.stop - rows.start, others.start,
        others.stop - others.start, slopes.T, columns.T, row_sums, out.T,
    )  # fmt: skip


# ---- Kolmogorov-Smirnov and dynamic time warping: fortran/stats_series.inc -------------------------------------------

_KS_LANES, _DTW_LANES = 4, 16  # ks_lanes and dtw_lanes there
_MERGE = {np.dtype(np.float32): _kernels.ks_merge_f32, np.dtype(np.float64): _kernels.ks_merge_f64}
_WARP = {np.dtype(np.float32): _kernels.dtw_f32, np.dtype(np.float64): _kernels.dtw_f64}


def ks_merge(
    first: NDArray[Any],
    second: NDArray[Any],
    largest: NDArray[np.float64],
    smallest: NDArray[np.float64],
    at_largest: NDArray[Any],
    at_smallest: NDArray[Any],
) -> None:
    """Write, for each row, the largest and smallest F1 - F2 and where they are; the rows end with a sentinel."""
    scratch = np.empty((_KS_LANES, first.shape[1] + second.shape[1]), np.int32)
    _MERGE[first.dtype](first.T, second.T, scratch.T, largest, smallest, at_largest, at_smallest)


def ks_paths(n1: int, n2: int, heights: NDArray[np.int64], two_sided: bool) -> NDArray[np.float64]:
    """Return the share of the lattice paths to (n1, n2) that leave a strip, for each of its half-widths."""
    share = np.empty(heights.size)
    n_threads = min(heights.size, _threads.threads_for(heights.size * (n1 + n2)))
    scratch = np.empty((n_threads, 2, n1 + 3))
    _kernels.ks_paths(int(two_sided), n1, n2, int(np.gcd(n1, n2)), heights, scratch.T, share)
    return share


def dtw(x: NDArray[Any], y: NDArray[Any], all_pairs: bool, window: int, distance: NDArray[np.float64]) -> None:
    """Write the sums of squared differences for pairs of rows (n, length, dims), or for all pairs."""
    n_groups = -(-distance.size // _DTW_LANES)
    n_threads = min(n_groups, _threads.threads_for(distance.size * x.shape[1] * y.shape[1]))
    per_pair = x.shape[1] * x.shape[2] + y.shape[1] * y.shape[2] + y.shape[1] + 1
    scratch = np.empty((n_threads, _DTW_LANES * per_pair))
    _WARP[x.dtype](int(all_pairs), window, x.T, y.T, scratch.T, distance)
