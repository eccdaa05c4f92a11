"""The stats kernels in Numba: the algorithms of fortran/stats_*.inc and stats_kernels.f90, which explain them.

The functions release the GIL and work on a range of items, so that `_threads.run_ranges` can spread them over threads.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ecgkern import _threads
from ecgkern._memory import aligned
from ecgkern._numba_math import exp2, jit
from ecgkern.stats import _kernels
from ecgkern.stats._kernels import CITYBLOCK, LOG2_E, SQUARED, Functions
from ecgkern.stats._numpy import CLOSE, OUTSTANDING
from ecgkern.stats._pool import FORMS, PADDING, TILE, Pool, Totals, sums_of_chunks

Floats = NDArray[np.float64]

DEPTH_IN_DTYPE = 1024
FEATURES = 200  # of the columns that gradients take together
LN_2 = 1.0 / LOG2_E
_u = np.uintp
_i64, _f64 = np.int64, np.float64
(EXPONENTIAL, EXPONENTIAL_OF_ROOT, RATIONAL_QUADRATIC, INVERSE_MULTIQUADRIC, MATERN_3_2, MATERN_5_2, ENERGY) = (
    _kernels.EXPONENTIAL, _kernels.EXPONENTIAL_OF_ROOT, _kernels.RATIONAL_QUADRATIC, _kernels.INVERSE_MULTIQUADRIC,
    _kernels.MATERN_3_2, _kernels.MATERN_5_2, _kernels.ENERGY,
)  # fmt: skip

_inlined = numba.njit(inline="always", error_model="numpy", fastmath={"contract", "reassoc"})


def centre(x: NDArray[Any], shift: NDArray[Any], z: NDArray[Any], norms: Floats) -> None:
    """Write the rows of x less shift to z, padded by zeros, and their squared lengths."""
    _threads.run_ranges(len(x), _threads.threads_for(z.size), lambda i, end: _centre(i, end, x, shift, z, norms))


def pass_over_pairs(
    samples: Pool, f: Functions, chunks: Any, wanted: Any, mixes: Any, rows: bool, signs: Any
) -> Totals:
    """Sums of the kernels over the pairs of the tile rows in `chunks`; `ecgkern.stats._pool` says of what."""
    groups, n_rows = len(samples.sizes), samples.norms.size
    with_forms = signs is not None
    n_mixes = 0 if mixes is None else len(mixes)
    mixes = np.zeros((0, f.scales.size)) if mixes is None else np.ascontiguousarray(mixes)
    signs = np.zeros((0, 1), np.int8) if signs is None else signs
    sums = np.zeros((len(chunks), groups, groups, f.scales.size))
    row_sums = np.zeros((len(chunks), n_mixes if rows else 0, groups, n_rows))
    forms = np.zeros((len(chunks), n_mixes, len(signs)))
    close = CLOSE[samples.z.dtype]

    def work(first: int, end: int) -> None:
        layers = aligned((1 + n_mixes, TILE, TILE), np.float64)
        spread_signs = aligned((FORMS if with_forms else 1, TILE), np.float64)
        _sum_pairs(
            first, end, samples.direct, f.measure, f.function, f.exponent, f.coef0, close, samples.z, samples.norms,
            samples.tiles, samples.tile_group, wanted, chunks, f.scales, f.squarings, mixes, rows, with_forms, signs,
            layers, spread_signs, sums, row_sums, forms,
        )  # fmt: skip

    _threads.run_ranges(len(chunks), min(len(chunks), _threads.threads_for(samples.n**2)), work)
    return Totals(sums_of_chunks(sums), sums_of_chunks(row_sums), sums_of_chunks(forms))


def measures(samples: Pool, i: slice, j: slice, measure: int, out: Floats) -> None:
    """Write the measure of the pairs of samples i with samples j."""
    close = CLOSE[samples.z.dtype]
    across = -(-out.shape[1] // TILE)

    def work(first: int, end: int) -> None:
        tile = np.empty((TILE, TILE))
        for item in range(first, end):
            p, q = item // across * TILE, item % across * TILE
            part = out[p : p + TILE, q : q + TILE]
            a = np.array([i.start + p, i.start + p + part.shape[0]])
            b = np.array([j.start + q, j.start + q + part.shape[1]])
            _measure_tile(samples.direct, measure, close, samples.z, samples.norms, a, b, tile)
            part[...] = tile[: part.shape[0], : part.shape[1]]

    _threads.run_ranges(across * -(-out.shape[0] // TILE), _threads.threads_for(out.size), work)


def slopes(
    samples: Pool, f: Functions, a: tuple[int, int], b: tuple[int, int], weights: Floats, factor: float,
    with_diagonal: bool, slopes: NDArray[Any], transposed: NDArray[Any],
) -> Floats:  # fmt: skip
    """Write factor f'(v) between the samples of tiles a and b, and the transpose; return the sums of f per pair."""
    sums = np.zeros((a[1] - a[0], b[1] - b[0]))
    close = CLOSE[samples.z.dtype]

    def work(first: int, end: int) -> None:
        _differentiate(
            first, end, samples.direct, f.measure, f.function, f.exponent, f.coef0, close, with_diagonal, factor,
            samples.z, samples.norms, samples.tiles, a, b, f.scales, f.squarings, weights, slopes, transposed, sums,
        )  # fmt: skip

    _threads.run_ranges(sums.size, min(sums.size, _threads.threads_for(slopes.size)), work)
    return sums


def add_slopes(
    measure: int, rows: slice, others: slice, slopes: NDArray[Any], columns: NDArray[Any], row_sums: Floats, out: Any
) -> None:
    """Add sums over the samples j of `others`, of w_ij z_j (or w_ij times a sign) to out and of w_ij to row_sums."""
    n, n_others = rows.stop - rows.start, others.stop - others.start
    per_row = -(-out.shape[1] // FEATURES)

    def work(first: int, end: int) -> None:
        _add_slopes(
            first, end, per_row, measure, rows.start, n, others.start, n_others, slopes, columns, out,
        )  # fmt: skip

    def prepare(first: int, end: int) -> None:
        _add_outstanding(first, end, measure, rows.start, others.start, n_others, slopes, columns, row_sums, out)

    _threads.run_ranges(n, _threads.threads_for(slopes.size), prepare)
    _threads.run_ranges(per_row * -(-n // TILE), _threads.threads_for(slopes.size), work)


@jit
def _centre(first, end, x, shift, z, norms):  # type: ignore[no-untyped-def]
    for i in range(first, end):
        norm = 0.0
        for k in range(x.shape[1]):
            value = x[_u(i), _u(k)] - shift[_u(k)]
            z[_u(i), _u(k)] = value
            norm += _f64(value) * _f64(value)
        z[i, x.shape[1] :] = 0
        norms[i] = norm


@jit
def _sum_pairs(  # type: ignore[no-untyped-def]
    first_chunk, end_chunk, direct, measure, function, exponent, coef0, close, z, norms, tiles, tile_group, wanted,
    chunks, scales, squarings, mixes, with_rows, with_forms, signs, layers, spread_signs, sums, rows, forms,
):  # fmt: skip
    v, k = layers[0], np.empty(TILE)
    for chunk in range(first_chunk, end_chunk):
        for t in range(chunks[chunk, 0], chunks[chunk, 1]):
            a, g = tiles[t], tile_group[t]
            for u in range(t, tiles.shape[0]):
                b, h = tiles[u], tile_group[u]
                if not wanted[g, h]:
                    continue
                _measure_tile(direct, measure, close, z, norms, a, b, v)
                both_orders = g == h and t != u
                _sum_tile(
                    function, exponent, coef0, a, b, both_orders, scales, squarings, mixes, layers, v, k,
                    sums[chunk, g, h],
                )  # fmt: skip
                if with_rows:
                    _sum_rows(a, b, g, h, layers, rows[chunk])
                if with_forms:
                    _sum_forms(a, b, signs, layers, spread_signs, forms[chunk])


@jit
def _measure_tile(direct, measure, close, z, norms, a, b, v):  # type: ignore[no-untyped-def]
    if direct:
        _measure_directly(measure, z, a, b, v)
        return
    _products(measure == CITYBLOCK, z, a, b, v)
    if measure == SQUARED:
        _to_distances(close, z, norms, a, b, v)


@jit
def _measure_directly(measure, z, a, b, v):  # type: ignore[no-untyped-def]
    n, start = b[1] - b[0], b[0]
    for i in range(a[1] - a[0]):
        for j in range(n):
            v[i, j] = 0.0
        for k in range(z.shape[0] - PADDING):
            z_i = z[k, a[0] + i]
            if measure == SQUARED:
                for j in range(n):
                    difference = z_i - z[_u(k), _u(start + j)]
                    v[_u(i), _u(j)] += difference * difference
            elif measure == CITYBLOCK:
                for j in range(n):
                    v[_u(i), _u(j)] += abs(z_i - z[_u(k), _u(start + j)])
            else:
                for j in range(n):
                    v[_u(i), _u(j)] += z_i * z[_u(k), _u(start + j)]


@jit
def _products(differences, z, a, b, v):  # type: ignore[no-untyped-def]
    depth = z.shape[1]
    for k in range(0, depth, DEPTH_IN_DTYPE):
        end = min(k + DEPTH_IN_DTYPE, depth)
        for j in range(0, b[1] - b[0], 5):
            for i in range(0, a[1] - a[0], 4):
                if k == 0:
                    for p in range(4):
                        for q in range(5):
                            v[i + p, j + q] = 0.0
                if differences:
                    _cityblock_4_x_5(z, a[0] + i, b[0] + j, k, end, v, i, j)
                else:
                    _products_4_x_5(z, a[0] + i, k, z, b[0] + j, k, end - k, v, i, j)


@jit
def _products_4_x_5(x, i, k, y, j, m, n, v, p, q):  # type: ignore[no-untyped-def]
    """v[p:p+4, q:q+5] += x[i:i+4, k:k+n] @ y[j:j+5, m:m+n].T; spelled out, because only scalars stay in registers."""
    zero = x.dtype.type(0)
    s00 = s01 = s02 = s03 = s04 = zero
    s10 = s11 = s12 = s13 = s14 = zero
    s20 = s21 = s22 = s23 = s24 = zero
    s30 = s31 = s32 = s33 = s34 = zero
    for f in range(n):
        x0, x1, x2, x3 = (
            x[_u(i + 0), _u(k + f)], x[_u(i + 1), _u(k + f)], x[_u(i + 2), _u(k + f)], x[_u(i + 3), _u(k + f)],
        )  # fmt: skip
        y0 = y[_u(j + 0), _u(m + f)]
        s00 += x0 * y0
        s10 += x1 * y0
        s20 += x2 * y0
        s30 += x3 * y0
        y1 = y[_u(j + 1), _u(m + f)]
        s01 += x0 * y1
        s11 += x1 * y1
        s21 += x2 * y1
        s31 += x3 * y1
        y2 = y[_u(j + 2), _u(m + f)]
        s02 += x0 * y2
        s12 += x1 * y2
        s22 += x2 * y2
        s32 += x3 * y2
        y3 = y[_u(j + 3), _u(m + f)]
        s03 += x0 * y3
        s13 += x1 * y3
        s23 += x2 * y3
        s33 += x3 * y3
        y4 = y[_u(j + 4), _u(m + f)]
        s04 += x0 * y4
        s14 += x1 * y4
        s24 += x2 * y4
        s34 += x3 * y4
    v[p + 0, q + 0] += s00
    v[p + 0, q + 1] += s01
    v[p + 0, q + 2] += s02
    v[p + 0, q + 3] += s03
    v[p + 0, q + 4] += s04
    v[p + 1, q + 0] += s10
    v[p + 1, q + 1] += s11
    v[p + 1, q + 2] += s12
    v[p + 1, q + 3] += s13
    v[p + 1, q + 4] += s14
    v[p + 2, q + 0] += s20
    v[p + 2, q + 1] += s21
    v[p + 2, q + 2] += s22
    v[p + 2, q + 3] += s23
    v[p + 2, q + 4] += s24
    v[p + 3, q + 0] += s30
    v[p + 3, q + 1] += s31
    v[p + 3, q + 2] += s32
    v[p + 3, q + 3] += s33
    v[p + 3, q + 4] += s34


@jit
def _cityblock_4_x_5(z, i, j, k, end, v, p, q):  # type: ignore[no-untyped-def]
    """v[p:p+4, q:q+5] += sum over features k to end of |z[i:i+4] - z[j:j+5]|."""
    zero = z.dtype.type(0)
    s00 = s01 = s02 = s03 = s04 = zero
    s10 = s11 = s12 = s13 = s14 = zero
    s20 = s21 = s22 = s23 = s24 = zero
    s30 = s31 = s32 = s33 = s34 = zero
    for f in range(k, end):
        x0, x1, x2, x3 = (
            z[_u(i + 0), _u(f)], z[_u(i + 1), _u(f)], z[_u(i + 2), _u(f)], z[_u(i + 3), _u(f)],
        )  # fmt: skip
        y0 = z[_u(j + 0), _u(f)]
        s00 += abs(x0 - y0)
        s10 += abs(x1 - y0)
        s20 += abs(x2 - y0)
        s30 += abs(x3 - y0)
        y1 = z[_u(j + 1), _u(f)]
        s01 += abs(x0 - y1)
        s11 += abs(x1 - y1)
        s21 += abs(x2 - y1)
        s31 += abs(x3 - y1)
        y2 = z[_u(j + 2), _u(f)]
        s02 += abs(x0 - y2)
        s12 += abs(x1 - y2)
        s22 += abs(x2 - y2)
        s32 += abs(x3 - y2)
        y3 = z[_u(j + 3), _u(f)]
        s03 += abs(x0 - y3)
        s13 += abs(x1 - y3)
        s23 += abs(x2 - y3)
        s33 += abs(x3 - y3)
        y4 = z[_u(j + 4), _u(f)]
        s04 += abs(x0 - y4)
        s14 += abs(x1 - y4)
        s24 += abs(x2 - y4)
        s34 += abs(x3 - y4)
    v[p + 0, q + 0] += s00
    v[p + 0, q + 1] += s01
    v[p + 0, q + 2] += s02
    v[p + 0, q + 3] += s03
    v[p + 0, q + 4] += s04
    v[p + 1, q + 0] += s10
    v[p + 1, q + 1] += s11
    v[p + 1, q + 2] += s12
    v[p + 1, q + 3] += s13
    v[p + 1, q + 4] += s14
    v[p + 2, q + 0] += s20
    v[p + 2, q + 1] += s21
    v[p + 2, q + 2] += s22
    v[p + 2, q + 3] += s23
    v[p + 2, q + 4] += s24
    v[p + 3, q + 0] += s30
    v[p + 3, q + 1] += s31
    v[p + 3, q + 2] += s32
    v[p + 3, q + 3] += s33
    v[p + 3, q + 4] += s34


@jit
def _to_distances(close, z, norms, a, b, v):  # type: ignore[no-untyped-def]
    n, start = b[1] - b[0], b[0]
    for i in range(a[1] - a[0]):
        norm = norms[a[0] + i]
        least = np.inf
        for j in range(n):
            both = norm + norms[_u(start + j)]
            distance = both - 2.0 * v[_u(i), _u(j)]
            v[_u(i), _u(j)] = distance
            least = min(least, distance - close * both)
        if least >= 0.0:
            continue
        for j in range(n):
            if v[i, j] < close * (norm + norms[start + j]):
                distance = 0.0
                for k in range(z.shape[1]):
                    difference = _f64(z[_u(a[0] + i), _u(k)]) - _f64(z[_u(start + j), _u(k)])
                    distance += difference * difference
                v[i, j] = distance


@jit
def _sum_tile(  # type: ignore[no-untyped-def]
    function, exponent, coef0, a, b, both_orders, scales, squarings, mixes, layers, v, k, sums
):
    n = b[1] - b[0]
    times = 2.0 if both_orders else 1.0
    for i in range(a[1] - a[0]):
        layers[1:, i] = 0.0
        for s in range(scales.size):
            _next_kernel(function, exponent, coef0, scales[s], squarings[s], v, i, n, k)
            if a[0] == b[0]:
                k[i] = 0.0
            total = 0.0
            for j in range(n):
                total += k[_u(j)]
            sums[s] += times * total
            for m in range(mixes.shape[0]):
                weight = mixes[m, s]
                if weight != 0.0:
                    for j in range(n):
                        layers[_u(1 + m), _u(i), _u(j)] += weight * k[_u(j)]


@jit
def _next_kernel(function, exponent, coef0, scale, squarings, v, i, n, k):  # type: ignore[no-untyped-def]
    if squarings == 0:
        _evaluate(function, exponent, coef0, scale, v, i, n, k)
    for _ in range(squarings):
        for j in range(n):
            k[_u(j)] *= k[_u(j)]


@jit
def _evaluate(function, exponent, coef0, scale, v, i, n, k):  # type: ignore[no-untyped-def]
    i = _u(i)
    if function == EXPONENTIAL:
        for j in range(n):
            k[_u(j)] = exp2(-scale * v[i, _u(j)])
    elif function == EXPONENTIAL_OF_ROOT:
        for j in range(n):
            k[_u(j)] = exp2(-scale * np.sqrt(v[i, _u(j)]))
    elif function == RATIONAL_QUADRATIC:
        for j in range(n):
            k[_u(j)] = exp2(-exponent * _log2(1.0 + scale * v[i, _u(j)]))
    elif function == INVERSE_MULTIQUADRIC:
        for j in range(n):
            k[_u(j)] = 1.0 / np.sqrt(1.0 + scale * v[i, _u(j)])
    elif function == MATERN_3_2:
        for j in range(n):
            r = scale * np.sqrt(v[i, _u(j)])
            k[_u(j)] = (1.0 + r) * exp2(-LOG2_E * r)
    elif function == MATERN_5_2:
        for j in range(n):
            r = scale * np.sqrt(v[i, _u(j)])
            k[_u(j)] = (1.0 + r + r * r / 3.0) * exp2(-LOG2_E * r)
    elif function == ENERGY:
        for j in range(n):
            k[_u(j)] = -np.sqrt(v[i, _u(j)])
    else:
        for j in range(n):
            k[_u(j)] = 1.0
        for _ in range(int(exponent)):
            for j in range(n):
                k[_u(j)] *= scale * v[i, _u(j)] + coef0


@_inlined
def _log2(x):  # type: ignore[no-untyped-def]
    bits = _f64(x).view(_i64) - _i64(4604544271217802189)
    e = bits >> _i64(52)
    m = _i64((bits & _i64(4503599627370495)) + _i64(4604544271217802189)).view(_f64)
    s = (m - 1.0) / (m + 1.0)
    s2 = s * s
    series = 1 / 17 + s2 * (1 / 19 + s2 / 21)
    series = 1 / 9 + s2 * (1 / 11 + s2 * (1 / 13 + s2 * (1 / 15 + s2 * series)))
    series = 1 + s2 * (1 / 3 + s2 * (1 / 5 + s2 * (1 / 7 + s2 * series)))
    return _f64(e) + 2.0 * LOG2_E * s * series


@jit
def _sum_rows(a, b, g, h, layers, rows):  # type: ignore[no-untyped-def]
    n = b[1] - b[0]
    for m in range(rows.shape[0]):
        for i in range(a[1] - a[0]):
            total = 0.0
            for j in range(n):
                total += layers[_u(1 + m), _u(i), _u(j)]
            rows[m, h, a[0] + i] += total
            if a[0] != b[0]:
                for j in range(n):
                    rows[_u(m), _u(g), _u(b[0] + j)] += layers[_u(1 + m), _u(i), _u(j)]


@jit
def _sum_forms(a, b, signs, layers, spread_signs, forms):  # type: ignore[no-untyped-def]
    times = 1.0 if a[0] == b[0] else 2.0
    width = spread_signs.shape[0]
    c = np.empty((4, 5))
    for first in range(0, signs.shape[0], width):
        n = min(width, signs.shape[0] - first)
        spread_signs[:] = 0.0
        for f in range(n):
            for j in range(b[1] - b[0]):
                spread_signs[_u(f), _u(j)] = _f64(signs[_u(first + f), _u(b[0] + j)])
        for m in range(forms.shape[0]):
            mixture = layers[1 + m]
            for i in range(0, a[1] - a[0], 4):
                for f in range(0, n, 5):
                    c[:] = 0.0
                    _products_4_x_5(mixture, i, 0, spread_signs, f, 0, TILE, c, 0, 0)
                    for p in range(min(4, a[1] - a[0] - i)):
                        for q in range(min(5, n - f)):
                            forms[m, first + f + q] += times * signs[first + f + q, a[0] + i + p] * c[p, q]


@jit
def _differentiate(  # type: ignore[no-untyped-def]
    first, end, direct, measure, function, exponent, coef0, close, with_diagonal, factor, z, norms, tiles, a, b, scales,
    squarings, weights, slopes, transposed, sums,
):  # fmt: skip
    v, k, mixture, slope = np.empty((TILE, TILE)), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for item in range(first, end):
        s, t = item // (b[1] - b[0]), item % (b[1] - b[0])
        of_a, of_b = tiles[a[0] + s], tiles[b[0] + t]
        if a[0] == b[0] and t < s:
            continue
        _measure_tile(direct, measure, close, z, norms, of_a, of_b, v)
        sums[s, t] = _slopes_of_tile(
            function, exponent, coef0, of_a, of_b, with_diagonal, factor, scales, squarings, weights, v, k, mixture,
            slope,
        )  # fmt: skip
        i, j = of_a[0] - tiles[a[0], 0], of_b[0] - tiles[b[0], 0]
        n, m = of_a[1] - of_a[0], of_b[1] - of_b[0]
        slopes[i : i + n, j : j + m] = v[:n, :m]
        if a[0] != b[0]:
            transposed[j : j + m, i : i + n] = v[:n, :m].T
        elif s != t:
            slopes[j : j + m, i : i + n] = v[:n, :m].T


@jit
def _slopes_of_tile(  # type: ignore[no-untyped-def]
    function, exponent, coef0, a, b, with_diagonal, factor, scales, squarings, weights, v, k, mixture, slope
):
    n, total = b[1] - b[0], 0.0
    for i in range(a[1] - a[0]):
        mixture[:] = 0.0
        slope[:] = 0.0
        for s in range(scales.size):
            weight = weights[s]
            _next_kernel(function, exponent, coef0, scales[s], squarings[s], v, i, n, k)
            for j in range(n):
                mixture[_u(j)] += weight * k[_u(j)]
            _add_slope(function, exponent, coef0, scales[s], weight, v, i, n, k, slope)
        if a[0] == b[0]:
            mixture[i] = 0.0
            if not with_diagonal:
                slope[i] = 0.0
        for j in range(n):
            total += mixture[_u(j)]
        for j in range(n):
            v[_u(i), _u(j)] = factor * slope[_u(j)]
    return total


@jit
def _add_slope(function, exponent, coef0, scale, weight, v, i, n, k, slope):  # type: ignore[no-untyped-def]
    i = _u(i)
    if function == EXPONENTIAL:
        w = -weight * scale * LN_2
        for j in range(n):
            slope[_u(j)] += w * k[_u(j)]
    elif function == EXPONENTIAL_OF_ROOT:
        w = -0.5 * weight * scale * LN_2
        for j in range(n):
            if v[i, _u(j)] > 0.0:
                slope[_u(j)] += w * k[_u(j)] / np.sqrt(v[i, _u(j)])
    elif function == RATIONAL_QUADRATIC:
        w = -weight * exponent * scale
        for j in range(n):
            slope[_u(j)] += w * k[_u(j)] / (1.0 + scale * v[i, _u(j)])
    elif function == INVERSE_MULTIQUADRIC:
        w = -0.5 * weight * scale
        for j in range(n):
            slope[_u(j)] += w * k[_u(j)] / (1.0 + scale * v[i, _u(j)])
    elif function == MATERN_3_2:
        w = -0.5 * weight * scale**2
        for j in range(n):
            slope[_u(j)] += w * k[_u(j)] / (1.0 + scale * np.sqrt(v[i, _u(j)]))
    elif function == MATERN_5_2:
        w = -weight * scale**2 / 6.0
        for j in range(n):
            r = scale * np.sqrt(v[i, _u(j)])
            slope[_u(j)] += w * k[_u(j)] * (1.0 + r) / (1.0 + r + r * r / 3.0)
    elif function == ENERGY:
        for j in range(n):
            if v[i, _u(j)] > 0.0:
                slope[_u(j)] -= 0.5 * weight / np.sqrt(v[i, _u(j)])
    else:
        for j in range(n):
            power = weight * exponent * scale
            for _ in range(int(exponent) - 1):
                power *= scale * v[i, _u(j)] + coef0
            slope[_u(j)] += power


@jit
def _add_outstanding(  # type: ignore[no-untyped-def]
    first_row, end_row, measure, first_i, first, n, slopes, columns, row_sums, out
):
    for i in range(first_row, end_row):
        if measure == SQUARED:
            total = largest = slopes.dtype.type(0)
            for j in range(n):
                total += abs(slopes[_u(i), _u(j)])
            for j in range(n):
                largest = max(largest, abs(slopes[_u(i), _u(j)]))
            others = slopes.dtype.type(max(1, n - 1))
            if largest * others > OUTSTANDING * (total - largest):
                for j in range(n):
                    w = slopes[i, j]
                    if abs(w) * others > OUTSTANDING * (total - abs(w)):
                        for k in range(out.shape[1]):
                            out[first_i + i, k] -= w * (columns[k, first_i + i] - columns[k, first + j])
                        slopes[i, j] = 0
        row_sum = 0.0
        for j in range(n):
            row_sum += _f64(slopes[_u(i), _u(j)])
        row_sums[first_i + i] += row_sum


@jit
def _add_slopes(  # type: ignore[no-untyped-def]
    first_item, end_item, per_row, measure, first_i, n, first, n_others, slopes, columns, out
):
    length = -(-n_others // PADDING) * PADDING
    c = np.empty((4, 5), out.dtype)
    for item in range(first_item, end_item):
        i_begin, k_begin = item // per_row * TILE, item % per_row * FEATURES
        i_end, k_end = min(i_begin + TILE, n), min(k_begin + FEATURES, out.shape[1])
        if measure == CITYBLOCK:
            _add_signs(columns, first_i, i_begin, i_end, k_begin, k_end, first, n_others, slopes, out)
            continue
        for k in range(k_begin, k_end, 5):
            for i in range(i_begin, i_end, 4):
                c[:] = 0
                _products_4_x_5(slopes, i, 0, columns, k, first, length, c, 0, 0)
                for p in range(min(4, i_end - i)):
                    for q in range(min(5, k_end - k)):
                        out[first_i + i + p, k + q] += c[p, q]


@jit
def _add_signs(columns, first_i, i_begin, i_end, k_begin, k_end, first, n, slopes, out):  # type: ignore[no-untyped-def]
    for i in range(i_begin, i_end):
        for k in range(k_begin, k_end):
            here = columns[k, first_i + i]
            w = 0.0
            for j in range(n):
                difference = here - columns[_u(k), _u(first + j)]
                w += slopes[_u(i), _u(j)] * ((difference > 0) - (difference < 0))
            out[first_i + i, k] += w


# ---- Kolmogorov-Smirnov and dynamic time warping ---------------------------------------------------------------------

_BLOCK = 64  # differences compared in vector code before any is looked at


def ks_merge(
    first: NDArray[Any],
    second: NDArray[Any],
    largest: NDArray[np.float64],
    smallest: NDArray[np.float64],
    at_largest: NDArray[Any],
    at_smallest: NDArray[Any],
) -> None:
    """Write, for each row, the largest and smallest F1 - F2 and where they are; the rows end with a sentinel."""
    _merge_samples(first, second, largest, smallest, at_largest, at_smallest)


def ks_paths(n1: int, n2: int, heights: NDArray[np.int64], two_sided: bool) -> NDArray[np.float64]:
    """Return the share of the lattice paths to (n1, n2) that leave a strip, for each of its half-widths."""
    share = np.empty(heights.size)
    g = int(np.gcd(n1, n2))

    def work(first: int, end: int) -> None:
        _share_outside(first, end, two_sided, n1, n2, n1 // g, n2 // g, heights, share)

    _threads.run_ranges(heights.size, _threads.threads_for(heights.size * (n1 + n2)), work)
    return share


def dtw(x: NDArray[Any], y: NDArray[Any], all_pairs: bool, window: int, distance: NDArray[np.float64]) -> None:
    """Write the sums of squared differences for pairs of rows (n, length, dims), or for all pairs."""

    def work(first: int, end: int) -> None:
        _warp_pairs(first, end, all_pairs, window, x, y, distance)

    n_threads = _threads.threads_for(distance.size * x.shape[1] * y.shape[1])
    _threads.run_ranges(distance.size, n_threads, work)


@jit
def _merge_samples(first, second, largest, smallest, at_largest, at_smallest):  # type: ignore[no-untyped-def]
    n1, n2 = first.shape[1] - 1, second.shape[1] - 1
    not_above, below = np.empty((2, n1 + 1), np.int32), np.empty((2, n2 + 1), np.int32)
    for begin in range(0, first.shape[0], 2):
        pair = (begin, min(begin + 1, first.shape[0] - 1))
        a0, b0, a1, b1 = first[pair[0]], second[pair[0]], first[pair[1]], second[pair[1]]
        i0, j0, i1, j1 = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)  # unsigned: none counts from the end
        for _ in range(n1 + n2):  # two features side by side, and no branch, which would be guessed wrong half the time
            not_above[0, i0], below[0, j0] = j0, i0
            not_above[1, i1], below[1, j1] = j1, i1
            from_b0, from_b1 = np.uint64(b0[j0] <= a0[i0]), np.uint64(b1[j1] <= a1[i1])
            j0 += from_b0
            j1 += from_b1
            i0 += np.uint64(1) - from_b0
            i1 += np.uint64(1) - from_b1
        for k, f in enumerate(pair):
            _largest_difference(f, first[f], n2, not_above[k], largest, at_largest)
            _smallest_difference(f, first[f], second[f], not_above[k], below[k], smallest, at_smallest)


@jit
def _largest_difference(f, a, n2, not_above, largest, at_largest):  # type: ignore[no-untyped-def]
    n1 = a.size - 1
    extreme, negative = n1 * n2 + 1, 2.0
    for begin in range(0, n1, _BLOCK):
        end = min(begin + _BLOCK, n1)
        if _lowest(not_above, n1, -n2, begin, end) > extreme:
            continue
        for i in range(begin, end):
            scaled = n1 * not_above[i] - n2 * (i + 1)
            if scaled <= extreme:
                difference = not_above[i] / n2 - (i + 1) / n1
                if scaled < extreme or difference < negative:
                    extreme, negative, at_largest[f] = scaled, difference, a[i]
    largest[f] = 0.0 - negative  # and not -negative, which may be -0.0


@jit
def _smallest_difference(f, a, b, not_above, below, smallest, at_smallest):  # type: ignore[no-untyped-def]
    n1, n2 = a.size - 1, b.size - 1
    extreme, lowest = n1 * n2 + 1, 2.0
    for begin in range(0, n1, _BLOCK):
        end = min(begin + _BLOCK, n1)
        if _lowest(not_above, -n1, n2, begin, end) > extreme:
            continue
        for i in range(begin, end):
            scaled = n2 * (i + 1) - n1 * not_above[i]
            if scaled <= extreme and (i == n1 - 1 or a[i] < a[i + 1]):
                difference = (i + 1) / n1 - not_above[i] / n2
                if scaled < extreme or difference < lowest:
                    extreme, lowest, at_smallest[f] = scaled, difference, a[i]
    for begin in range(0, n2, _BLOCK):
        end = min(begin + _BLOCK, n2)
        if _lowest(below, n2, -n1, begin, end) > extreme:
            continue
        for j in range(begin, end):
            scaled = n2 * below[j] - n1 * (j + 1)
            if scaled <= extreme and (below[j] == n1 or a[below[j]] > b[j]):
                difference = below[j] / n1 - (j + 1) / n2
                if scaled < extreme or difference < lowest:
                    extreme, lowest, at_smallest[f] = scaled, difference, b[j]
    smallest[f] = lowest


@jit
def _lowest(counts, per_count, per_index, begin, end):  # type: ignore[no-untyped-def]
    lowest = per_count * counts[begin] + per_index * (begin + 1)
    for k in range(begin, end):
        lowest = min(lowest, per_count * counts[k] + per_index * (k + 1))
    return lowest


@jit
def _share_outside(first, end, two_sided, n1, n2, step2, step1, heights, share):  # type: ignore[no-untyped-def]
    before, after = np.empty(n1 + 3), np.empty(n1 + 3)  # the entry of i is at i + 1
    for k in range(first, end):
        height = heights[k]
        before[:], after[:] = 1.0, 1.0
        before[1] = 0.0
        inside = True
        for s in range(1, n1 + n2 + 1):
            low = max(0, s - n2)
            if two_sided and step2 * s >= height:
                low = max(low, (step2 * s - height) // (step1 + step2) + 1)
            high = min(n1, s, (step2 * s + height - 1) // (step1 + step2))
            if low > high:
                inside = False
                break
            for i in range(low, high + 1):
                after[i + 1] = (i * before[i] + (s - i) * before[i + 1]) / s
            after[low] = 1.0
            after[high + 2] = 1.0
            before, after = after, before
        share[k] = before[n1 + 1] if inside else 1.0


@jit
def _warp_pairs(first, end, all_pairs, window, x, y, distance):  # type: ignore[no-untyped-def]
    """By diagonals i + j = s, where nothing depends on anything: LLVM takes long loops, not lanes of a few pairs."""
    n, m, dims = x.shape[1], y.shape[1], x.shape[2]
    xs, ys = np.empty((dims, n + 1)), np.empty((dims, m))  # x[i - 1] at i; y backwards, so that both ascend with i
    cost, before, last, current = np.empty(n + 2), np.empty(n + 2), np.empty(n + 2), np.empty(n + 2)
    back, ahead = max(0, n - m) + window - 1, max(0, m - n) + window - 1
    for pair in range(first, end):
        xs[:, 1:] = x[pair // y.shape[0] if all_pairs else pair].T
        ys[:, ::-1] = y[pair % y.shape[0] if all_pairs else pair].T
        before[:], last[:] = np.inf, np.inf
        before[0] = 0.0
        for s in range(2, n + m + 1):
            low = max(1, s - m, (s - ahead + 1) // 2)
            high = min(n, s - 1, (s + back) // 2)
            start, count = np.uintp(low), np.uintp(max(0, high - low + 1))
            for d in range(dims):
                _add_squares(cost, xs[d], ys[d], start, np.uintp(m - s + low), count, d == 0)
            _extend_paths(current, cost, before, last, start, count)
            current[low - 1] = np.inf
            current[high + 1] = np.inf
            before, last, current = last, current, before
        distance[pair] = last[n]


@_inlined
def _add_squares(cost, x, y, start, start_y, count, anew):  # type: ignore[no-untyped-def]
    if anew:
        for k in range(count):
            cost[start + k] = (x[start + k] - y[start_y + k]) ** 2
    else:
        for k in range(count):
            cost[start + k] += (x[start + k] - y[start_y + k]) ** 2


@_inlined
def _extend_paths(current, cost, before, last, start, count):  # type: ignore[no-untyped-def]
    one = np.uintp(1)
    for k in range(count):
        up, left, diagonal = last[start + k - one], last[start + k], before[start + k - one]
        best = up if up < left else left
        current[start + k] = cost[start + k] + (diagonal if diagonal < best else best)
