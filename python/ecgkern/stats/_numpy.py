"""The specification of the stats kernels: plain NumPy in float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern.stats._kernels import CITYBLOCK, PRODUCT, SQUARED, Functions
from ecgkern.stats._pool import Pool, Totals

Floats = NDArray[np.float64]

# Where the expansion |a|² + |b|² - 2 a·b cancels more than this, the distance is computed from the differences.
CLOSE = {np.dtype(np.float32): 1e-2, np.dtype(np.float64): 1e-6}
# Slopes so many times as large as the mean of the others in their row are taken from the differences: they would cancel
# in the sums.
OUTSTANDING = 8.0


def centre(x: NDArray[Any], shift: NDArray[Any], z: NDArray[Any], norms: Floats) -> None:
    """Write the rows of x less shift to z, padded by zeros, and their squared lengths."""
    z[:, : x.shape[1]] = x - shift
    z[:, x.shape[1] :] = 0
    norms[:] = np.einsum("ij,ij->i", z, z, dtype=np.float64)


def pass_over_pairs(
    samples: Pool, f: Functions, chunks: Any, wanted: Any, mixes: Any, rows: bool, signs: Any
) -> Totals:
    """Sums of the kernels over the pairs of the tile rows in `chunks`; `ecgkern.stats._pool` says of what."""
    groups = len(samples.sizes)
    n_mixes = 0 if mixes is None else len(mixes)
    sums = np.zeros((groups, groups, f.scales.size))
    row_sums = np.zeros((n_mixes if rows else 0, groups, samples.norms.size))
    forms = np.zeros((n_mixes, 0 if signs is None else len(signs)))
    for a in (a for first, end in chunks for a in range(first, end)):
        g, i = samples.tile_group[a], slice(*samples.tiles[a])
        for b in range(a, samples.tile_group.size):
            h, j = samples.tile_group[b], slice(*samples.tiles[b])
            if not wanted[g, h]:
                continue
            k = np.array(f.values(_measures(samples, i, j, f.measure)))
            if a == b:
                np.einsum("bii->bi", k)[:] = 0.0
            twice = 2.0 if a != b else 1.0
            sums[g, h] += k.sum(axis=(1, 2)) * (twice if g == h else 1.0)
            for m in range(n_mixes):
                mix = np.tensordot(mixes[m], k, 1)
                if rows:
                    row_sums[m, h, i] += mix.sum(axis=1)
                    if a != b:
                        row_sums[m, g, j] += mix.sum(axis=0)
                if signs is not None:
                    forms[m] += twice * np.einsum("fi,fi->f", signs[:, i] @ mix, signs[:, j])
    return Totals(sums, row_sums, forms)


def measures(samples: Pool, i: slice, j: slice, measure: int, out: Floats) -> None:
    """Write the measure of the pairs of samples i with samples j."""
    out[...] = _measures(samples, i, j, measure)


def _measures(samples: Pool, i: slice, j: slice, measure: int) -> Floats:
    z = samples.rows()
    a, b = z[i].astype(np.float64), z[j].astype(np.float64)
    if measure == PRODUCT:
        return np.asarray(a @ b.T)
    if measure == CITYBLOCK:
        return np.stack([np.abs(row - b).sum(axis=1) for row in a])
    if samples.direct:
        return np.stack([((row - b) ** 2).sum(axis=1) for row in a])
    both = samples.norms[i, None] + samples.norms[None, j]
    v = np.maximum(both - 2.0 * (a @ b.T), 0.0)
    for p, q in np.argwhere(v < CLOSE[samples.z.dtype] * both):
        v[p, q] = ((a[p] - b[q]) ** 2).sum()
    return v


def slopes(
    samples: Pool,
    f: Functions,
    a: tuple[int, int],
    b: tuple[int, int],
    weights: Floats,
    factor: float,
    with_diagonal: bool,
    slopes: NDArray[Any],
    transposed: NDArray[Any],
) -> Floats:
    """Write factor f'(v) between the samples of tiles a and b, and the transpose; return the sums of f per pair.

    Where a and b are one, sums below the diagonal are 0.
    """
    sums = np.zeros((a[1] - a[0], b[1] - b[0]))
    for s, t in np.ndindex(sums.shape):
        i, j = slice(*samples.tiles[a[0] + s]), slice(*samples.tiles[b[0] + t])
        v = _measures(samples, i, j, f.measure)
        k, slope = (np.tensordot(weights, values, 1) for values in (f.values(v), f.slopes(v)))
        if i == j:
            np.fill_diagonal(k, 0.0)
            slope[np.diag_indices(len(slope))] *= with_diagonal
        sums[s, t] = k.sum() if a != b or t >= s else 0.0
        in_a, in_b = (
            slice(part.start - samples.tiles[panel[0], 0], part.stop - samples.tiles[panel[0], 0])
            for part, panel in ((i, a), (j, b))
        )
        slopes[in_a, in_b] = factor * slope
        transposed[in_b, in_a] = factor * slope.T
    return sums


def add_slopes(
    measure: int, rows: slice, others: slice, slopes: NDArray[Any], columns: NDArray[Any], row_sums: Floats, out: Any
) -> None:
    """Add sums over the samples j of `others`, of w_ij z_j (or w_ij times a sign) to out and of w_ij to row_sums."""
    w = slopes[: rows.stop - rows.start, : others.stop - others.start].astype(np.float64)
    z = columns[: out.shape[1]].T.astype(np.float64)
    if measure == SQUARED:
        size = np.abs(w)
        rest = size.sum(axis=1, keepdims=True) - size
        for i, j in np.argwhere(size * max(1, w.shape[1] - 1) > OUTSTANDING * rest):
            out[rows.start + i] -= w[i, j] * (z[rows.start + i] - z[others.start + j])
            w[i, j] = 0.0
    row_sums[rows] += w.sum(axis=1)
    if measure == CITYBLOCK:
        out[rows] += np.stack([w_i @ np.sign(z_i - z[others]) for w_i, z_i in zip(w, z[rows], strict=True)])
    else:
        out[rows] += w @ z[others]


# ---- Kolmogorov-Smirnov and dynamic time warping ---------------------------------------------------------------------


def ks_merge(
    first: NDArray[Any],
    second: NDArray[Any],
    largest: NDArray[np.float64],
    smallest: NDArray[np.float64],
    at_largest: NDArray[Any],
    at_smallest: NDArray[Any],
) -> None:
    """Write, for each row, the largest and smallest F1 - F2 and where they are; the rows end with a sentinel."""
    n1, n2 = first.shape[1] - 1, second.shape[1] - 1
    pooled = np.concatenate([first[:, :-1], second[:, :-1]], axis=1)
    order = np.argsort(pooled, axis=1, kind="stable")
    ascending = np.take_along_axis(pooled, order, axis=1)
    # Counts are taken at the last of equal values.
    at = np.broadcast_to(np.arange(n1 + n2), pooled.shape).copy()
    at[:, :-1][ascending[:, 1:] == ascending[:, :-1]] = n1 + n2
    at = np.minimum.accumulate(at[:, ::-1], axis=1)[:, ::-1]
    of_first = np.take_along_axis(np.cumsum(order < n1, axis=1), at, axis=1)
    difference = np.empty(pooled.shape)
    np.put_along_axis(difference, order, of_first / n1 - (at + 1 - of_first) / n2, axis=1)
    for choose, value, place in (
        (np.argmax, largest, at_largest),
        (np.argmin, smallest, at_smallest),
    ):
        index = choose(difference, axis=1)[:, None]
        value[:] = np.take_along_axis(difference, index, axis=1)[:, 0]
        place[:] = np.take_along_axis(pooled, index, axis=1)[:, 0]


def ks_paths(n1: int, n2: int, heights: NDArray[np.int64], two_sided: bool) -> NDArray[np.float64]:
    """Return the share of the lattice paths to (n1, n2) that leave a strip, for each of its half-widths.

    By diagonals i + j = s: p(i, j) = (i p(i - 1, j) + j p(i, j - 1)) / s inside the strip and 1 outside.
    """
    g = np.gcd(n1, n2)
    i = np.arange(n1 + 1)
    share = np.zeros((heights.size, n1 + 1))
    share[:, 1:] = 1.0
    for s in range(1, n1 + n2 + 1):
        excess = (n2 // g) * i - (n1 // g) * (s - i)
        outside = (np.abs(excess) if two_sided else excess) >= heights[:, None]
        share[:, 1:] = (i[1:] * share[:, :-1] + (s - i[1:]) * share[:, 1:]) / s
        share[outside] = 1.0
    return share[:, -1]


def dtw(x: NDArray[Any], y: NDArray[Any], all_pairs: bool, window: int, distance: NDArray[np.float64]) -> None:
    """Write the sums of squared differences for pairs of rows (n, length, dims), or for all pairs."""
    n, m = x.shape[1], y.shape[1]
    back, ahead = max(0, n - m) + window - 1, max(0, m - n) + window - 1
    for p in range(distance.size):
        a, b = (x[p // len(y)], y[p % len(y)]) if all_pairs else (x[p], y[p])
        with np.errstate(over="ignore"):  # a square beyond float64 is infinite, on every backend
            cost = ((a[:, None].astype(np.float64) - b) ** 2).sum(axis=-1)
        offset = np.arange(m) - np.arange(n)[:, None]
        cost[(offset < -back) | (offset > ahead)] = np.inf
        # before[i] and last[i] are D(i, j) on the diagonals i + j = s - 2 and s - 1.
        before, last = np.full(n + 1, np.inf), np.full(n + 1, np.inf)
        before[0] = 0.0
        for s in range(2, n + m + 1):
            i = np.arange(max(1, s - m), min(n, s - 1) + 1)
            current = np.full(n + 1, np.inf)
            current[i] = cost[i - 1, s - i - 1] + np.minimum(before[i - 1], np.minimum(last[i - 1], last[i]))
            before, last = last, current
        distance[p] = last[n]
