"""The conv kernels in Numba: dilated convolutions as sums and products of shifted rows.

A tile of a record stands in rows with what lies around it, zeros beyond the ends, so that tap k of input i is nothing
but the row of input i from another sample on. With such rows s_q and weights in blocks of 4 x 4, all the work is in two
loops over time that LLVM turns into vectors:

    out_p[t] += sum_q w[p, q] s_q[t]     for the convolution, the merge, and the gradients of what goes into them,
    sum_t g_p[t] s_q[t]                  for the gradients of weights.

The functions release the GIL and work on a range of items, so that `_threads.run_ranges` can spread them over threads.
Every sum has one order, whatever the number of threads and the length of the tiles of the forward pass.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _threads
from ecgkern._memory import aligned
from ecgkern._numba_math import jit, jit_in_order
from ecgkern.conv._problem import Problem, Sums

Array = NDArray[Any]

BLOCK = 4  # rows of a block of weights, and its columns
PANEL = 32  # channels of a kernel whose gradients together give that of the input
LANES = 16  # samples that a loop is rounded up to, so that vectors leave none over
TILE = 1024  # samples: four rows of float32 take half of a first-level cache of 32 KB
LEAST_TILE = 128
# Loads wait for stores just made at an address with the same last 12 bits. Rows this far apart, 4672 bytes or 9344 in
# float64, stay 576 bytes from that; rows of 1040 samples take up to 2.5 times as long on AMD Zen 4, by where they lie.
ROW = TILE + 9 * LANES
MOST_VALUES = 2**17  # of all inputs in a tile
_u = np.uintp


def convolve(problem: Problem, out: Array) -> None:
    """Write the convolutions, merged if there is a merge, to out (n_records, n_out, length)."""
    n_records, _, length = problem.x.shape
    n_threads = _threads.threads_for(problem.work)
    tile = _tile(problem, -(-n_records * length // (4 * n_threads)))  # short, so that no thread is left without work
    channels, sizes, panels = _panels(problem)
    taps, kernels = _taps(problem, sizes, tile), _blocks(panels)
    arguments = (
        tile, problem.padding, problem.relu, channels, sizes, taps, _starts(problem), kernels, problem.biases.copy(),
        _blocks(_merge(problem, channels)), problem.merge_bias.copy(), _read_only(problem.x),
    )  # fmt: skip

    def work(first: int, end: int) -> None:
        rows = _zeros((problem.x.shape[1] + 1) * _width(problem, tile), out.dtype)
        h, y = _zeros(BLOCK * ROW, out.dtype), _zeros(_filled(problem.merge_bias.size) * ROW, out.dtype)
        _convolve(first, end, *arguments, rows, h, y, out)

    _threads.run_ranges(n_records * -(-length // tile), n_threads, work)


def differentiate(problem: Problem, grad_out: Array, sums: Sums, grad_x: Array | None) -> None:
    """Add the gradients of sum(grad_out * result) to `sums` and write that of x to `grad_x`."""
    n_chunks, dtype = len(sums.bounds) - 1, grad_out.dtype
    tile = _tile(problem, TILE)
    channels, sizes, panels = _panels(problem)
    taps, kernels = _taps(problem, sizes, tile), _blocks(panels)
    merge = _blocks([part.T for part in _merge(problem, channels)])
    transposed = kernels if grad_x is None else _blocks([panel.T for panel in panels])
    arguments = (
        tile, problem.padding, problem.dilation, problem.relu, channels, sizes, taps, _starts(problem), kernels,
        transposed, problem.biases.copy(), merge, _read_only(problem.x), _read_only(grad_out),
    )  # fmt: skip
    grad_x = np.empty((0, 0, 0), dtype) if grad_x is None else grad_x

    def work(first: int, end: int) -> None:
        rows = _zeros((problem.x.shape[1] + 1) * _width(problem, tile), dtype)
        upstream = _zeros(_filled(problem.merge_bias.size) * ROW, dtype)
        h, g = _zeros(BLOCK * ROW, dtype), _zeros(PANEL * ROW, dtype)
        products = np.empty((BLOCK, BLOCK), dtype)
        _differentiate(first, end, *arguments, rows, upstream, h, g, products, *sums, grad_x)

    _threads.run_ranges(n_chunks, min(n_chunks, _threads.threads_for(problem.work)), work)


def _tile(problem: Problem, most: int) -> int:
    """Return the samples of a tile, a multiple of `LANES`."""
    n_inputs, length = map(int, problem.x.shape[1:])
    n_tiles = -(-length // max(LEAST_TILE, min(TILE, MOST_VALUES // n_inputs, most)))
    return LANES * -(-length // (n_tiles * LANES))


def _width(problem: Problem, tile: int) -> int:
    """Return the samples of a tile with those around it, in whole vectors."""
    return LANES * -(-(tile + 2 * problem.padding) // LANES)


def _panels(problem: Problem) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Array]]:
    """Return the channels and the kernel size of each panel, and its weights (channels, n_inputs * size)."""
    panels = [kernel[c : c + PANEL] for kernel in problem.kernels() for c in range(0, len(kernel), PANEL)]
    channels, _, sizes = np.array([panel.shape for panel in panels]).T.copy()
    return channels, sizes, [panel.reshape(len(panel), -1) for panel in panels]


def _taps(problem: Problem, sizes: NDArray[np.int64], tile: int) -> NDArray[np.int64]:
    """Return where in the rows of a tile the taps of each panel start; those that fill up a block see zeros."""
    n_inputs, width = problem.x.shape[1], _width(problem, tile)
    zeros = n_inputs * width
    taps = []
    for size in sizes:
        shifts = problem.padding + problem.dilation * np.arange(-(size // 2), size // 2 + 1)
        starts = (width * np.arange(n_inputs)[:, None] + shifts).ravel()
        taps += [starts, np.full(_filled(starts.size) - starts.size, zeros)]
    return np.concatenate(taps)


def _starts(problem: Problem) -> NDArray[np.int64]:
    """Return where the rows start that stand `ROW` samples apart."""
    return np.arange(max(PANEL, _filled(problem.merge_bias.size))) * ROW


def _merge(problem: Problem, channels: NDArray[np.int64]) -> list[Array]:
    """Return the weights of the merge, if there is one, for the channels of each panel (n_merged, channels)."""
    weight = np.empty((0, problem.n_channels), problem.x.dtype)
    if problem.merge_weight is not None:
        weight = problem.merge_weight
    return np.split(weight, np.cumsum(channels)[:-1], axis=1)


def _blocks(matrices: list[Array]) -> Array:
    """Return all matrices, filled up with zeros, in blocks: (n, 4, 4)."""
    blocks = []
    for matrix in matrices:
        rows, columns = _filled(matrix.shape[0]), _filled(matrix.shape[1])
        filled = np.zeros((rows, columns), matrix.dtype)
        filled[: matrix.shape[0], : matrix.shape[1]] = matrix
        in_blocks = filled.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).swapaxes(1, 2)
        blocks.append(in_blocks.reshape(-1, BLOCK, BLOCK))
    return np.ascontiguousarray(np.concatenate(blocks))  # of views, it has whatever order they have


def _filled(n: int) -> int:
    return -(-n // BLOCK) * BLOCK


def _zeros(n: int, dtype: np.dtype[Any]) -> Array:
    values = aligned((n,), dtype)
    values[:] = 0
    return values


def _read_only(values: Array) -> Array:
    """Return a view that cannot be written to: Numba compiles anew for every kind of array."""
    view = values.view()
    view.flags.writeable = False
    return view


# ---- compiled --------------------------------------------------------------------------------------------------------


@jit_in_order
def _convolve(  # type: ignore[no-untyped-def]
    first, end, tile, padding, relu, channels, sizes, taps, starts, kernels, biases, merge, merge_bias, x,
    rows, h, y, out,
):  # fmt: skip
    n_inputs, length = x.shape[1:]
    n_tiles = -(-length // tile)
    merged_groups = -(-merge_bias.size // BLOCK)
    width = rows.size // (n_inputs + 1)
    for item in range(first, end):
        record, begin = item // n_tiles, item % n_tiles * tile
        n = min(tile, length - begin)
        _load(x[record], begin - padding, n + 2 * padding, width, rows)
        for m in range(merge_bias.size):
            _fill(m, m + 1, merge_bias[m], n, y)
        channel, block, kernel, tap = 0, 0, 0, 0
        for panel in range(channels.size):
            n_channels, n_taps = channels[panel], n_inputs * sizes[panel]
            n_blocks, n_groups = -(-n_channels // BLOCK), -(-n_taps // BLOCK)
            for b in range(n_blocks):
                c = channel + b * BLOCK
                bias = biases[c : min(c + BLOCK, channel + n_channels)]
                _filter(kernels, kernel + b * n_groups, n_groups, rows, taps, tap, bias, n, h)
                if relu:
                    _rectify(h, n)
                for m in range(merged_groups):
                    part = block * merged_groups + m * n_blocks + b
                    _add(merge, part, h, starts, 0, n, y[m * BLOCK * ROW :])
                if merged_groups == 0:
                    _store(h, bias.size, n, out[record], c, begin)
            channel += n_channels
            block += n_blocks
            kernel += n_blocks * n_groups
            tap += n_groups * BLOCK
        _store(y, merge_bias.size, n, out[record], 0, begin)


@jit_in_order
def _differentiate(  # type: ignore[no-untyped-def]
    first, end, tile, padding, dilation, relu, channels, sizes, taps, starts, kernels, transposed, biases, merge, x,
    grad_out, rows, upstream, h, g, products, bounds, weight_sums, bias_sums, merge_sums, merge_bias_sums,
    grad_x,
):  # fmt: skip
    n_inputs, length = x.shape[1:]
    n_tiles = -(-length // tile)
    width = rows.size // (n_inputs + 1)
    with_merge, need_x = merge_bias_sums.shape[1] > 0, grad_x.size > 0
    for chunk in range(first, end):
        for item in range(n_tiles * bounds[chunk], n_tiles * bounds[chunk + 1]):
            record, begin = item // n_tiles, item % n_tiles * tile
            n = min(tile, length - begin)
            _load(x[record], begin - padding, n + 2 * padding, width, rows)
            if with_merge:
                _load(grad_out[record], begin, n, ROW, upstream)
                _add_sums_over_time(upstream, n, merge_bias_sums[chunk])
            if need_x and begin == 0:
                grad_x[record] = 0
            channel, block, kernel, tap, weight = 0, 0, 0, 0, 0
            for panel in range(channels.size):
                n_channels, n_taps = channels[panel], n_inputs * sizes[panel]
                n_blocks, n_groups = -(-n_channels // BLOCK), -(-n_taps // BLOCK)
                weights = weight_sums[chunk, weight : weight + n_channels * n_taps].reshape(n_channels, n_taps)
                for b in range(n_blocks):
                    c = b * BLOCK
                    g_own = g[c * ROW : (c + BLOCK) * ROW]
                    n_own = min(BLOCK, n_channels - c)
                    own = slice(channel + c, channel + c + n_own)
                    if relu or with_merge:
                        _filter(kernels, kernel + b * n_groups, n_groups, rows, taps, tap, biases[own], n, h)
                    if relu:
                        _rectify(h, n)
                    if with_merge:
                        sums = merge_sums[chunk, :, own]
                        _through_merge(h, merge, block + b, upstream, starts, n, products, sums, g_own)
                    else:
                        _load(grad_out[record, own], begin, n, ROW, g_own)
                    _fill(n_own, BLOCK, 0, n, g_own)
                    if relu:
                        _mask(h, n, g_own)
                    _add_sums_over_time(g_own, n, bias_sums[chunk, own])
                    for q in range(0, n_taps, BLOCK):
                        _multiply(g_own, rows, taps, tap + q, n, products)
                        _add_products(products, weights[c : c + BLOCK, q : q + BLOCK])
                if need_x:
                    _through_kernel(
                        transposed, kernel, n_channels, sizes[panel], dilation, g, starts, n, h, begin, grad_x[record]
                    )
                channel += n_channels
                block += n_blocks
                kernel += n_blocks * n_groups
                tap += n_groups * BLOCK
                weight += n_channels * n_taps


@jit_in_order
def _load(x, begin, n, width, rows):  # type: ignore[no-untyped-def]
    """Write n samples of x from `begin` on to rows that stand `width` apart, zeros for those beyond the ends of x."""
    before, after = max(0, -begin), min(n, x.shape[1] - begin)
    for i in range(x.shape[0]):
        row = rows[i * width : i * width + n]
        row[:before] = 0
        row[before:after] = x[i, begin + before : begin + after]
        row[after:] = 0


@jit_in_order
def _store(rows, n_rows, n, out, channel, begin):  # type: ignore[no-untyped-def]
    for i in range(n_rows):
        out[channel + i, begin : begin + n] = rows[i * ROW : i * ROW + n]


@jit_in_order
def _fill(first, end, value, n, rows):  # type: ignore[no-untyped-def]
    for i in range(first, end):
        rows[i * ROW : i * ROW + _whole(n)] = value


@jit_in_order
def _whole(n):  # type: ignore[no-untyped-def]
    return -(-n // LANES) * LANES


@jit_in_order
def _filter(kernels, kernel, n_groups, rows, taps, tap, biases, n, h):  # type: ignore[no-untyped-def]
    """Write the convolutions of a block of channels to h, and zeros for the channels that fill it up."""
    for i in range(biases.size):
        _fill(i, i + 1, biases[i], n, h)
    for group in range(n_groups):
        _add(kernels, kernel + group, rows, taps, tap + group * BLOCK, n, h)
    _fill(biases.size, BLOCK, 0, n, h)


@jit_in_order
def _rectify(h, n):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        row = h[i * ROW : i * ROW + n]
        for t in range(row.size):
            row[t] = 0 if row[t] <= 0 else row[t]  # NaN stays


@jit_in_order
def _mask(h, n, g):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        row, g_row = h[i * ROW : i * ROW + n], g[i * ROW : i * ROW + n]
        for t in range(row.size):
            g_row[t] = 0 if row[t] <= 0 else g_row[t]


@jit_in_order
def _through_merge(h, merge, block, upstream, starts, n, products, sums, g):  # type: ignore[no-untyped-def]
    """Add the gradients of the weights between a block of channels and all merged ones, and write those of h to g."""
    _fill(0, BLOCK, 0, n, g)
    n_groups = -(-sums.shape[0] // BLOCK)
    for group in range(n_groups):
        _multiply(h, upstream, starts, group * BLOCK, n, products)
        _add_products(products, sums[group * BLOCK : (group + 1) * BLOCK].T)
        _add(merge, block * n_groups + group, upstream, starts, group * BLOCK, n, g)


@jit_in_order
def _through_kernel(  # type: ignore[no-untyped-def]
    transposed, block, n_channels, size, dilation, g, starts, n, terms, begin, grad_x
):
    """Add the gradients of the inputs, tap by tap: that of each tap, summed over channels, shifted back."""
    for q in range(0, grad_x.shape[0] * size, BLOCK):
        _fill(0, BLOCK, 0, n, terms)
        for c in range(0, n_channels, BLOCK):
            _add(transposed, block, g, starts, c, n, terms)
            block += 1
        for j in range(min(BLOCK, grad_x.shape[0] * size - q)):
            i, k = divmod(q + j, size)
            _add_shifted(terms[j * ROW : j * ROW + n], begin + dilation * (k - size // 2), grad_x[i])


@jit
def _add_sums_over_time(rows, n, sums):  # type: ignore[no-untyped-def]
    for i in range(sums.size):
        row, total = rows[i * ROW :], rows.dtype.type(0)
        for t in range(_u(n)):
            total += row[t]
        sums[i] += total


@jit_in_order
def _add_products(products, sums):  # type: ignore[no-untyped-def]
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[i, j] += products[i, j]


@jit_in_order
def _add_shifted(row, begin, out):  # type: ignore[no-untyped-def]
    """out[begin : begin + n] += row, less what lies beyond the ends of out."""
    cut = max(0, -begin)
    inside = out[begin + cut : max(begin + cut, begin + row.size)]
    kept = row[cut:]
    for t in range(inside.size):
        inside[t] += kept[t]


@jit_in_order
def _add(weights, block, source, starts, q, n, out):  # type: ignore[no-untyped-def]
    """out[p ROW + t] += sum over q of weights[block, p, q] source[starts[q] + t].

    LLVM keeps weights that are read in the loop in registers, but not those that come from outside.
    """
    w = weights[block]
    s0, s1, s2, s3 = _u(starts[q]), _u(starts[q + 1]), _u(starts[q + 2]), _u(starts[q + 3])
    for t in range(_u(_whole(n))):
        x0, x1, x2, x3 = source[s0 + t], source[s1 + t], source[s2 + t], source[s3 + t]
        out[t] = out[t] + w[0, 0] * x0 + w[0, 1] * x1 + w[0, 2] * x2 + w[0, 3] * x3
        t1, t2, t3 = t + _u(ROW), t + _u(2 * ROW), t + _u(3 * ROW)
        out[t1] = out[t1] + w[1, 0] * x0 + w[1, 1] * x1 + w[1, 2] * x2 + w[1, 3] * x3
        out[t2] = out[t2] + w[2, 0] * x0 + w[2, 1] * x1 + w[2, 2] * x2 + w[2, 3] * x3
        out[t3] = out[t3] + w[3, 0] * x0 + w[3, 1] * x1 + w[3, 2] * x2 + w[3, 3] * x3


@jit
def _multiply(g, source, starts, q, n, products):  # type: ignore[no-untyped-def]
    """products[p, q] = sum over t of g[p ROW + t] source[starts[q] + t]; only scalars stay in registers."""
    zero = g.dtype.type(0)
    p00 = p01 = p02 = p03 = zero
    p10 = p11 = p12 = p13 = zero
    p20 = p21 = p22 = p23 = zero
    p30 = p31 = p32 = p33 = zero
    s0, s1, s2, s3 = _u(starts[q]), _u(starts[q + 1]), _u(starts[q + 2]), _u(starts[q + 3])
    for t in range(_u(n)):
        g0, g1, g2, g3 = g[t], g[t + _u(ROW)], g[t + _u(2 * ROW)], g[t + _u(3 * ROW)]
        x0 = source[s0 + t]
        p00 += g0 * x0
        p10 += g1 * x0
        p20 += g2 * x0
        p30 += g3 * x0
        x1 = source[s1 + t]
        p01 += g0 * x1
        p11 += g1 * x1
        p21 += g2 * x1
        p31 += g3 * x1
        x2 = source[s2 + t]
        p02 += g0 * x2
        p12 += g1 * x2
        p22 += g2 * x2
        p32 += g3 * x2
        x3 = source[s3 + t]
        p03 += g0 * x3
        p13 += g1 * x3
        p23 += g2 * x3
        p33 += g3 * x3
    products[0, 0], products[0, 1], products[0, 2], products[0, 3] = p00, p01, p02, p03
    products[1, 0], products[1, 1], products[1, 2], products[1, 3] = p10, p11, p12, p13
    products[2, 0], products[2, 1], products[2, 2], products[2, 3] = p20, p21, p22, p23
    products[3, 0], products[3, 1], products[3, 2], products[3, 3] = p30, p31, p32, p33
