"""Convolution kernels on a GPU: cuda/conv.cu. Arrays stay where they are, nothing waits for the GPU."""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _cuda
from ecgkern._cuda import Device

_TILES = {
    "float": ((8, 8, False), (1, 16, True), (4, 8, True)),
    "double": ((4, 8, False), (1, 16, True), (4, 8, True)),
}
_OTHERS = ("pack", "differentiate", "add_up")
KERNELS = (
    *(f"convolve<{real}, {channels}, {steps}, {str(transposed).lower()}>"
      for real, tiles in _TILES.items() for channels, steps, transposed in tiles),
    *(f"{kernel}<{real}>" for real in _TILES for kernel in _OTHERS),
    "convolve_tf32<0>",
    "differentiate_tf32<0>",
)  # fmt: skip

STEPS, MOST_TAPS, SPAN = 8, 128, 64  # as in conv.cu
_SHARED = 64 * 1024  # bytes of a block: what cards of compute capability 7.5 have
_MULTIPROCESSORS, _SHARED_OF_ALL, _MOST_WARPS = 132, 227 * 1024, 16  # of an H100, for which work is divided
_TF32_THREADS, _TF32_SPANS = 128, 8  # of a block
_LARGEST = 2**30  # of what the kernels count in 32 bits
_MOST_CHUNKS, _MOST_SUMS, _MOST_WORK = 128, 2**26, 2**27  # of partial sums, and bytes of them and of gradients of h


class Layer(NamedTuple):
    """What a layer is, apart from its values."""

    n_inputs: int
    channels: tuple[int, ...]  # of each kernel
    sizes: tuple[int, ...]
    taps: tuple[int, ...]  # of each kernel, less those that never meet a sample
    dilation: int
    relu: bool
    n_merged: int  # 0 without a merge

    @property
    def n_channels(self) -> int:
        return sum(self.channels)


class Arrays(NamedTuple):
    """Arrays on the card: those given, or their gradients."""

    x: Any
    weights: list[Any]
    biases: list[Any] | None
    merge_weight: Any | None
    merge_bias: Any | None


class _Tiles(NamedTuple):
    """How the rows of the samples, one for each record and phase, are divided among blocks."""

    threads: int
    rows: int
    units: int
    tiles_of_row: int
    n_tiles: int


class _Forward(NamedTuple):
    tiles: _Tiles
    slices: int
    most_merged: int
    halo: int
    stride: int
    x_values: int
    weight_values: int
    all_x: bool
    all_weights: bool
    shared: int


class _Products(NamedTuple):
    """How products on the tensor cores are divided; `n_parts` is of the backward pass, the others of the forward."""

    tiles: _Tiles
    stride: int
    shared: int
    most_merged: int = 0
    halo: int = 0
    weight_values: int = 0
    all_weights: bool = False
    n_parts: int = 1


class _Backward(NamedTuple):
    tiles: _Tiles
    passes: tuple[tuple[int, int], ...]  # of each group: inputs at a time, columns of each
    stride: int
    x_values: int
    all_x: bool
    shared: int


def convolve(device: Device, arguments: Any, result_dtype: np.dtype[Any], precision: str, **arrays: Any) -> Any:
    """Return the convolutions, merged if there is a merge, of this type."""
    dtype = np.result_type(result_dtype, np.float32)
    layer = _layer(arguments)
    given = _put(device, dtype, **arrays)
    y = _convolve(device, layer, dtype, given, precision)
    return device.contiguous(y, result_dtype)


def _convolve(device: Device, layer: Layer, dtype: np.dtype[Any], arrays: Arrays, precision: str) -> Any:
    x, n_out = arrays.x, layer.n_merged or layer.n_channels
    n_records, _, length = x.shape
    y = device.empty((n_records, n_out, length), dtype)
    if 0 in y.shape:
        return y
    packed = _pack(device, layer, dtype, arrays, _groups(layer, dtype.itemsize))
    tile, dilation = _group_size(dtype), _dilation(layer)
    merge_bias = arrays.merge_bias
    if layer.n_merged and merge_bias is None:
        merge_bias = device.zeros(n_out, dtype)
    products = _forward_products(layer, n_records, length) if _rounds(dtype, precision) else None
    if products is not None:
        tiles = products.tiles
        device.launch(
            "conv", "convolve_tf32<0>", (tiles.n_tiles, -(-layer.n_merged // max(1, products.most_merged)) or 1),
            tiles.threads, x, packed.weights, packed.groups, packed.biases, packed.merge, merge_bias, y,
            n_records, layer.n_inputs, length, dilation, packed.n_groups, packed.n_pairs, n_out, int(layer.relu),
            products.most_merged, tiles.rows, tiles.units, tiles.tiles_of_row, products.halo, products.stride,
            products.weight_values, int(products.all_weights), shared=products.shared,
        )  # fmt: skip
        return y
    plan = _forward(layer, dtype.itemsize, n_records, length)
    _launch(
        device, plan, f"convolve<{_real(dtype)}, {tile}, {STEPS}, false>",
        (x, packed.weights, packed.groups, packed.biases, packed.merge, merge_bias, y,
         n_records, layer.n_inputs, length, dilation, packed.n_groups, n_out, int(layer.relu), 0),
        (0, 0),
    )  # fmt: skip
    return y


def differentiate(
    device: Device,
    arguments: Any,
    result_dtype: np.dtype[Any],
    precision: str,
    grad_y: Any,
    need_x: bool,
    **arrays: Any,
) -> Arrays:
    """Return the gradients of sum(grad_y * result), of this type, None for arguments that were not given."""
    dtype = np.result_type(result_dtype, np.float32)
    layer = _layer(arguments)
    given = _put(device, dtype, **arrays)
    grads = _differentiate(device, layer, dtype, _on(device, grad_y, dtype), given, need_x, precision)
    merge_weight = grads.merge_weight

    def rounded(grad: Any) -> Any:
        return device.contiguous(grad, result_dtype)

    return Arrays(
        rounded(grads.x) if need_x else None,
        [rounded(grad) for grad in grads.weights],
        None if given.biases is None else [rounded(grad) for grad in grads.biases or []],
        None if merge_weight is None else rounded(merge_weight.reshape(_shape(arrays["merge_weight"]))),
        None if given.merge_bias is None else rounded(grads.merge_bias),
    )


def _differentiate(
    device: Device, layer: Layer, dtype: np.dtype[Any], grad_y: Any, arrays: Arrays, need_x: bool, precision: str
) -> Arrays:
    x = arrays.x
    n_records, n_inputs, length = x.shape
    blank = device.zeros if 0 in x.shape else device.empty
    grad_x = blank((n_records, n_inputs, length), dtype) if need_x else None
    grads = Arrays(
        grad_x,
        [
            (blank if taps == size else device.zeros)((n, n_inputs, size), dtype)
            for n, size, taps in zip(layer.channels, layer.sizes, layer.taps, strict=True)
        ],
        [blank(n, dtype) for n in layer.channels],
        blank((layer.n_merged, layer.n_channels), dtype) if layer.n_merged else None,
        blank(layer.n_merged, dtype) if layer.n_merged else None,
    )
    if 0 in x.shape:
        return grads
    real, tile, dilation = _real(dtype), _group_size(dtype), _dilation(layer)
    work = _MOST_WORK // dtype.itemsize
    groups = _groups(layer, dtype.itemsize)
    n_groups, n_weights = len(groups), int(_n_weights(layer, dtype.itemsize))
    # Gradients of h pass through memory on their way to those of x: of some records, or of some groups of one.
    records_at_once = max(1, min(n_records, work // (n_groups * tile * length))) if need_x else n_records
    groups_at_once = max(1, min(n_groups, work // (tile * length))) if need_x else n_groups
    plan = _backward(layer, dtype.itemsize, records_at_once, length)
    groups[:, 7:9] = plan.passes
    packed = _pack(device, layer, dtype, arrays, groups, need_x)

    by_products = _rounds(dtype, precision) and groups_at_once == n_groups
    products = _backward_products(layer, records_at_once, length) if by_products else None
    tiles, parts_of_chunk = (plan.tiles, 1) if products is None else (products.tiles, products.n_parts)
    n_of_part = (layer.n_merged + 1) * n_groups * tile + layer.n_merged
    of_chunk = 8 * (parts_of_chunk * n_weights + tiles.threads // 32 * n_of_part)  # bytes
    n_chunks = max(1, min(tiles.n_tiles, _MOST_CHUNKS, _MOST_SUMS // of_chunk))
    n_parts = n_chunks * tiles.threads // 32
    weight_sums = device.zeros((n_chunks * parts_of_chunk, n_weights), np.float64)
    row_sums = device.zeros((n_parts, n_of_part), np.float64)
    grad_h = device.empty(records_at_once * groups_at_once * tile * length, dtype) if need_x else None
    for first in range(0, n_records, records_at_once):
        n = min(records_at_once, n_records - first)
        n_tiles = -(-n * dilation // tiles.rows) * tiles.tiles_of_row
        for group in range(0, n_groups, groups_at_once):
            n_here = min(groups_at_once, n_groups - group)
            operands = (
                grad_y[first : first + n], x[first : first + n], packed.weights, packed.groups, packed.biases,
                packed.merge, weight_sums, row_sums, grad_h, n, n_inputs, length, dilation,
            )  # fmt: skip
            tiling = (tiles.rows, tiles.units, tiles.tiles_of_row, n_tiles)
            if products is not None:
                device.launch(
                    "conv", "differentiate_tf32<0>", (n_chunks, packed.n_pairs), tiles.threads, *operands, n_groups,
                    layer.n_channels, layer.n_merged, int(layer.relu), *tiling, products.stride, n_weights, n_of_part,
                    products.n_parts, shared=products.shared,
                )  # fmt: skip
            else:
                device.launch(
                    "conv", f"differentiate<{real}>", (n_chunks, n_here), tiles.threads, *operands, group, n_groups,
                    layer.n_channels, layer.n_merged, int(layer.relu), *tiling, plan.stride, plan.x_values, n_weights,
                    n_of_part, int(plan.all_x), shared=plan.shared,
                )  # fmt: skip
            if grad_x is not None:
                channels, steps = _transposed(n_inputs, dtype)
                back = _inputs(layer, dtype.itemsize, n, length)
                _launch(
                    device, back, f"convolve<{real}, {channels}, {steps}, true>",
                    (grad_h, packed.transposed, packed.groups[group:], None, None, None, grad_x[first : first + n],
                     n, n_here * tile, length, dilation, -(-n_inputs // channels), n_inputs, 0, int(group > 0)),
                    (n_here, packed.all_taps),
                )  # fmt: skip

    starts = {int(row[0]): i for i, row in enumerate(groups)}
    channel = 0
    for weights, bias in zip(grads.weights, grads.biases or [], strict=True):
        n, _, size = weights.shape
        group = starts[channel]
        taps, begin = int(groups[group, 2]), int(groups[group, 3])
        n_blocks = -(-(-(-n // tile) * tile * n_inputs * taps) // 32) + n * (layer.n_merged + 1)
        merge = grads.merge_weight
        device.launch(
            "conv", f"add_up<{real}>", n_blocks + (layer.n_merged if channel == 0 else 0), 256,
            weight_sums.reshape((-1,))[begin:], row_sums, weights, bias,
            None if merge is None else merge.reshape((-1,))[channel:], grads.merge_bias,
            n_chunks * parts_of_chunk, n_weights, n_parts, n_of_part, n_groups * tile, group * tile,
            n, n_inputs, taps, size, layer.n_merged, layer.n_channels,
        )  # fmt: skip
        channel += n
    return grads


def _layer(arguments: Any) -> Layer:
    """Return what checked arguments, ecgkern.conv._multiscale._Arguments, say of the layer."""
    given, seen = arguments.given, arguments.seen
    layer = Layer(
        arguments.x.shape[1],
        tuple(len(kernel) for kernel in given.kernels),
        tuple(kernel.shape[2] for kernel in given.kernels),
        tuple(kernel.shape[2] for kernel in seen.kernels),
        arguments.dilation,
        arguments.relu,
        0 if given.merge_weight is None else len(given.merge_weight),
    )
    n_records, _, length = arguments.x.shape
    largest = max(n_records * _dilation(layer), length, _n_weights(layer, 4), layer.n_merged * layer.n_channels)
    if largest >= _LARGEST:
        raise ValueError(
            f"on a GPU, n_records * dilation, length and the number of weights must be below {_LARGEST}, got {largest}"
        )
    return layer


def _on(device: Device, value: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array, or plain numbers, on the card, in C order and of this type."""
    if _cuda.of(value) is None:
        return device.upload(np.asarray(value, dtype, order="C"))
    return device.contiguous(value, dtype)


def _put(
    device: Device, dtype: np.dtype[Any], x: Any, weights: Any, biases: Any, merge_weight: Any, merge_bias: Any
) -> Arrays:
    def on(value: Any) -> Any:
        return _on(device, value, dtype)

    return Arrays(
        on(x),
        [on(weight) for weight in weights],
        None if biases is None else [on(bias) for bias in biases],
        None if merge_weight is None else on(merge_weight),
        None if merge_bias is None else on(merge_bias),
    )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


class _Packed(NamedTuple):
    groups: Any
    weights: Any
    biases: Any
    merge: Any | None
    transposed: Any | None
    n_groups: int
    n_pairs: int
    all_taps: int


def _pack(
    device: Device,
    layer: Layer,
    dtype: np.dtype[Any],
    arrays: Arrays,
    groups: NDArray[np.int64],
    transpose: bool = False,
) -> _Packed:
    """Put the values of a layer into the order of groups."""

    def flat(parts: list[Any]) -> Any:
        values = [part.reshape((-1,)) for part in parts]
        return values[0] if len(values) == 1 else device.concatenate(values)

    n_groups, tile, merge = len(groups), _group_size(dtype), arrays.merge_weight
    inputs_of_block = _transposed(layer.n_inputs, dtype)[0]
    all_taps = int(groups[-1, 6] + tile * groups[-1, 2])
    packed = _Packed(
        device.upload(groups),
        device.empty(_n_weights(layer, dtype.itemsize), dtype),
        device.empty(n_groups * tile, dtype),
        None if merge is None else device.empty((layer.n_merged, n_groups * tile), dtype),
        device.empty(-(-layer.n_inputs // inputs_of_block) * inputs_of_block * all_taps, dtype) if transpose else None,
        n_groups,
        int((groups[:, 9] >= 0).sum()),
        all_taps,
    )
    device.launch(
        "conv", f"pack<{_real(dtype)}>", n_groups, 256,
        flat(arrays.weights), None if arrays.biases is None else flat(arrays.biases),
        merge, packed.groups, packed.weights, packed.biases,
        packed.merge, packed.transposed, layer.n_inputs, n_groups, layer.n_channels, layer.n_merged, inputs_of_block,
        all_taps,
    )  # fmt: skip
    return packed


def _launch(
    device: Device,
    plan: _Forward,
    kernel: str,
    arguments: tuple[Any, ...],
    sections: tuple[int, int],
) -> None:
    """Launch a convolution; `sections` are the groups that gradients of inputs come from, and taps of all channels."""
    n_out, tiles = arguments[12], plan.tiles
    chunks = 1 if arguments[4] is None else -(-n_out // plan.most_merged)
    device.launch(
        "conv", kernel, (tiles.n_tiles, chunks), (tiles.threads, plan.slices), *arguments, plan.most_merged,
        tiles.rows, tiles.units, tiles.tiles_of_row, plan.halo, plan.stride, plan.x_values, plan.weight_values,
        int(plan.all_x), int(plan.all_weights), *sections, shared=plan.shared,
    )  # fmt: skip


def _real(dtype: np.dtype[Any]) -> str:
    return "float" if dtype == np.float32 else "double"


def _group_size(dtype: np.dtype[Any]) -> int:
    return 32 // dtype.itemsize


def _transposed(n_inputs: int, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Inputs, and moments of each, that a thread computes the gradients of."""
    channels, steps, _ = _TILES[_real(dtype)][1 if n_inputs == 1 else 2]
    return channels, steps


def _dilation(layer: Layer) -> int:
    return layer.dilation if max(layer.taps) > 1 else 1


def _groups(layer: Layer, itemsize: int) -> NDArray[np.int64]:
    """Return the table of groups of channels, those of long kernels first."""
    tile, rows, weights, taps_before = 32 // itemsize, [], 0, 0
    channels, sources = (
        np.cumsum((0, *layer.channels)),
        np.cumsum([0, *(c * layer.n_inputs * size for c, size in zip(layer.channels, layer.sizes, strict=True))]),
    )
    for k in sorted(range(len(layer.taps)), key=lambda k: -layer.taps[k]):
        n_taps, size = layer.taps[k], layer.sizes[k]
        for c in range(0, layer.channels[k], tile):
            source = int(sources[k]) + c * layer.n_inputs * size
            rows.append((channels[k] + c, min(tile, layer.channels[k] - c), n_taps, weights, source, size, taps_before))
            weights += layer.n_inputs * n_taps * tile
            taps_before += n_taps * tile
    table = np.zeros((len(rows), 11), np.int64)
    table[:, :7] = rows
    table[:, 9] = -1  # no such pair
    group = pair = 0
    while group < len(rows):
        second = group + 1 < len(rows) and table[group, 2] == table[group + 1, 2]
        table[pair, 9:] = group, second
        group, pair = group + 1 + second, pair + 1
    return table


def _rounds(dtype: np.dtype[Any], precision: str) -> bool:
    return dtype == np.float32 and precision != "highest"


def _n_weights(layer: Layer, itemsize: int) -> int:
    """Weights of all groups, filled up."""
    tile = 32 // itemsize
    return layer.n_inputs * sum(-(-c // tile) * tile * k for c, k in zip(layer.channels, layer.taps, strict=True))


def _tiles(threads: int, steps: int, n_rows: int, samples: int) -> _Tiles:
    """Divide rows of samples among blocks of so many threads, one for each unit."""
    units_of_row = -(-samples // steps)
    tiles_of_row = -(-units_of_row // threads)
    units = -(-units_of_row // tiles_of_row)
    rows = min(n_rows, threads // units)
    return _Tiles(threads, rows, units, tiles_of_row, -(-n_rows // rows) * tiles_of_row)


def _worth(tiles: _Tiles, steps: int, n_samples: int, slices: int, shared: int, loads: float, sums: float) -> float:
    """Return a guess at the part of the card's speed that a division into tiles reaches.

    `loads` and `sums`: values that a block puts into shared memory, and multiply-adds of each of its threads.
    """
    warps = slices * tiles.threads // 32
    at_once = min(_MOST_WARPS // warps, _SHARED_OF_ALL // (shared + 1024), -(-tiles.n_tiles // _MULTIPROCESSORS))
    busy = min(1.0, tiles.n_tiles / (_MULTIPROCESSORS * max(1, at_once)))
    in_flight = max(1, at_once) * warps
    useful = n_samples / (tiles.n_tiles * tiles.threads * steps)
    return useful * busy * in_flight / (in_flight + 2) * sums / (sums + 10 * loads / (32 * warps))


@functools.lru_cache(maxsize=256)
def _forward(layer: Layer, itemsize: int, n_records: int, length: int) -> _Forward:
    n_groups = sum(-(-c // (32 // itemsize)) for c in layer.channels)
    return _plan(
        itemsize, n_records, length, _dilation(layer), layer.n_inputs, max(layer.taps), 32 // itemsize, STEPS, n_groups,
        _n_weights(layer, itemsize), layer.n_merged, False,
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _inputs(layer: Layer, itemsize: int, n_records: int, length: int) -> _Forward:
    channels, steps = _transposed(layer.n_inputs, np.dtype(f"f{itemsize}"))
    return _plan(
        itemsize, n_records, length, _dilation(layer), layer.n_channels, max(layer.taps), channels, steps,
        -(-layer.n_inputs // channels), _n_weights(layer, itemsize), 0, True,
    )  # fmt: skip


def _plan(
    itemsize: int, n_records: int, length: int, dilation: int, n_inputs: int, taps: int, tile: int, steps: int,
    n_groups: int, n_weights: int, n_merged: int, transposed: bool,
) -> _Forward:  # fmt: skip
    """Choose how a convolution is divided among blocks, and what of it they keep in shared memory."""
    best, best_worth = None, -1.0
    n_rows, samples = n_records * dilation, -(-length // dilation)
    halo = -(-(taps // 2) // steps) * steps
    for threads in range(32, 257, 32):
        tiles = _tiles(threads, steps, n_rows, samples)
        for all_x, all_weights in ((False, False),) if transposed else ((True, True), (True, False), (False, False)):
            across = tiles.units + (2 * halo // steps if all_x else -(-MOST_TAPS // steps)) + 1
            stride = across * (steps + 1)
            for slices in (1, 2, 4, 8) if all_weights or transposed else (1,):
                copies = slices if transposed else 1
                x_values = _whole(tiles.rows * stride * (n_inputs if all_x else copies))
                weight_values = n_weights if all_weights else copies * MOST_TAPS * tile
                result = slices * tiles.rows * tiles.units * (steps + 1)
                left = (_SHARED // itemsize - x_values - weight_values) // result
                if left < (1 if n_merged else tile) or slices * threads > 2048 // itemsize:
                    continue
                most_merged = min(n_merged, left)
                n_results = most_merged or tile
                shared = (x_values + weight_values + n_results * result) * itemsize
                loads = n_weights / 4 + (1 if all_x else n_groups) * n_inputs * tiles.rows * tiles.units * steps
                worth = _worth(tiles, steps, n_records * length, slices, shared, loads, n_weights * steps / slices)
                if not transposed:
                    worth *= n_groups / (slices * -(-n_groups // slices))
                worth /= -(-n_merged // most_merged) if n_merged else 1
                if worth > best_worth:
                    best_worth = worth
                    best = _Forward(
                        tiles, slices, most_merged, halo, stride, x_values, weight_values, all_x, all_weights, shared
                    )
    assert best is not None  # blocks of 32 threads always fit
    return best


@functools.lru_cache(maxsize=256)
def _backward(layer: Layer, itemsize: int, n_records: int, length: int) -> _Backward:
    """Choose how the gradients are divided among blocks, and what of x they keep in shared memory."""
    best, best_worth = None, -1.0
    tile, dilation, n_inputs = 32 // itemsize, _dilation(layer), layer.n_inputs
    n_rows, samples, n_columns = n_records * dilation, -(-length // dilation), -(-max(layer.taps) // STEPS)
    all_taps = [int(taps) for taps in _groups(layer, itemsize)[:, 2]]
    for threads in range(32, 129, 32):
        tiles = _tiles(threads, STEPS, n_rows, samples)
        n_units = tiles.rows * tiles.units
        fixed = MOST_TAPS * tile + n_units * (STEPS * tile + 16 // itemsize) + 8 // itemsize * STEPS * threads
        left = _SHARED // itemsize - fixed - -(-4 * n_units // itemsize)
        for all_x in (True, False):
            window = n_columns if all_x else min(n_columns, max(MOST_TAPS // STEPS, 16))
            stride = (tiles.units + max(window, 0 if all_x else MOST_TAPS // STEPS)) * (STEPS + 1)
            at_once = n_inputs if all_x else min(n_inputs, left // (tiles.rows * stride))
            x_values = _whole(at_once * tiles.rows * stride)
            if at_once < 1 or x_values > left:
                continue
            passes, spent, needed = {}, 0.0, 0.0
            for taps in all_taps:
                if taps not in passes:
                    passes[taps] = _passes(-(-taps // STEPS), n_inputs, at_once, window, threads, n_units)
                spent += n_inputs * taps * tiles.threads + threads * passes[taps][1]
                needed += 2 * n_inputs * taps * n_units
            shared = (fixed + x_values) * itemsize + 4 * n_units
            loads = n_inputs * tiles.rows * tiles.units * STEPS * (1 if all_x else 2)
            sums = n_inputs * sum(all_taps) / len(all_taps) * 2 * STEPS * tile
            worth = _worth(tiles, STEPS, n_records * length, 1, shared, loads, sums) * needed / spent
            if worth > best_worth:
                best_worth = worth
                best = _Backward(tiles, tuple(passes[taps][0] for taps in all_taps), stride, x_values, all_x, shared)
    assert best is not None
    return best


def _passes(
    n_columns: int, n_inputs: int, inputs_at_once: int, columns_at_once: int, threads: int, n_units: int
) -> tuple[tuple[int, int], float]:
    """Return how many inputs, and columns of each, to take at a time, and a channel's multiply-adds in a thread."""
    columns = min(n_columns, columns_at_once, threads)
    best, least = (1, columns), np.inf
    for inputs in range(1, min(inputs_at_once, n_inputs, threads // columns) + 1):
        spent = 0.0
        for n in (min(inputs, n_inputs - first) for first in range(0, n_inputs, inputs)):
            parts = threads // (n * columns)
            spent += -(-n_columns // columns) * (STEPS * STEPS * -(-n_units // parts) / STEPS + 64)
        if spent < least:
            best, least = (inputs, columns), spent
    return best, least


def _tiles_of_spans(n_spans: int, layer: Layer, n_records: int, length: int) -> _Tiles:
    """Divide rows of samples among blocks of at most so many spans."""
    dilation = _dilation(layer)
    tiles = _tiles(n_spans, SPAN, n_records * dilation, -(-length // dilation))
    return tiles._replace(threads=_TF32_THREADS)


@functools.lru_cache(maxsize=256)
def _forward_products(layer: Layer, n_records: int, length: int) -> _Products | None:
    """Return how a convolution is divided among blocks, None if its samples do not fit into their shared memory."""
    tiles = _tiles_of_spans(_TF32_SPANS, layer, n_records, length)
    if tiles.n_tiles < 4 * _MULTIPROCESSORS:
        tiles = _tiles_of_spans(_TF32_THREADS // 32, layer, n_records, length)
    halo, n_weights = _whole(max(layer.taps) // 2), _n_weights(layer, 4)
    stride = tiles.units * SPAN + 2 * halo + 16
    result = 2 * STEPS * _TF32_THREADS
    for all_weights in (True, False):
        weight_values = n_weights + SPAN if all_weights else 2 * MOST_TAPS * STEPS
        left = _SHARED // 4 - layer.n_inputs * tiles.rows * stride - weight_values
        most_merged = min(layer.n_merged, left // result)
        if left >= 0 and (most_merged == layer.n_merged or (not all_weights and most_merged > 0)):
            shared = 4 * (layer.n_inputs * tiles.rows * stride + weight_values + most_merged * result)
            return _Products(tiles, stride, shared, most_merged, halo, weight_values, all_weights)
    return None


@functools.lru_cache(maxsize=256)
def _backward_products(layer: Layer, n_records: int, length: int) -> _Products | None:
    """Return how gradients are divided among blocks, None if their samples do not fit into their shared memory."""
    n_spans = _TF32_SPANS
    while n_spans:
        tiles = _tiles_of_spans(n_spans, layer, n_records, length)
        stride = (tiles.units + -(-max(layer.taps) // SPAN)) * SPAN + 16
        gradients = 2 * tiles.rows * tiles.units * SPAN * STEPS
        shared = 4 * (layer.n_inputs * tiles.rows * stride + 2 * MOST_TAPS * STEPS + gradients)
        if shared <= _SHARED:
            n_parts = max(1, min(tiles.units, _TF32_THREADS // 32 // layer.n_inputs))
            return _Products(tiles, stride, shared, n_parts=n_parts)
        n_spans //= 2
    return None


def _whole(n: int) -> int:
    return -(-n // 4) * 4
