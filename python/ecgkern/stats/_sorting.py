"""Samples laid out feature by feature and sorted, a few features at a time: what the statistics of ranks start from."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _threads, _validate

_BLOCK = 1 << 20  # bytes of both samples in one block, which so stays in cache from the copy to the last use


def paired_features(
    first: NDArray[Any], second: NDArray[Any], axis: Any, names: tuple[str, str]
) -> tuple[NDArray[Any], NDArray[Any], tuple[int, ...], int]:
    """Return both samples as (n_features, n) of one float type, the shape of the features, and the axis from 0.

    The axes other than `axis` broadcast; an array of fewer dimensions first gets more of them in front.
    """
    ndim = max(first.ndim, second.ndim)
    number = _validate.axis_index(axis, ndim)
    x, y = (
        np.moveaxis(array.reshape((1,) * (ndim - array.ndim) + array.shape), number, -1) for array in (first, second)
    )
    for array, name in zip((x, y), names, strict=True):
        if not 1 <= array.shape[-1] < 2**31 - 1:
            raise ValueError(f"{name} must have at least one observation along axis {number}, got {array.shape[-1]}")
    shape = _validate.broadcast_shape(**{names[0]: x.shape[:-1], names[1]: y.shape[:-1]})
    n_features, dtype = prod(shape), np.result_type(x, y)
    x, y = (
        np.broadcast_to(array, (*shape, array.shape[-1])).reshape(n_features, array.shape[-1]).astype(dtype, copy=False)
        for array in (x, y)
    )
    return x, y, shape, number


def by_blocks(x: NDArray[Any], y: NDArray[Any], work: Callable[[slice, NDArray[Any], NDArray[Any]], None]) -> None:
    """Call ``work(features, sorted_x, sorted_y)`` for blocks of features that together are all of them, on threads.

    The sorted rows are copies, NaN at their end, with room for one value more.
    """
    n_features, n = x.shape[0], x.shape[1] + y.shape[1]
    block = max(1, min(64, _BLOCK // (n * x.itemsize)))
    n_blocks = -(-n_features // block)

    def work_range(first: int, end: int) -> None:
        for begin in range(first * block, min(end * block, n_features), block):
            features = slice(begin, min(begin + block, n_features))
            work(features, _sorted(x[features]), _sorted(y[features]))

    _threads.run_ranges(n_blocks, _threads.threads_for(n_features * n), work_range)


def _sorted(rows: NDArray[Any]) -> NDArray[Any]:
    copy = np.empty((rows.shape[0], rows.shape[1] + 1), rows.dtype)
    copy[:, :-1] = rows
    copy[:, :-1].sort(axis=1)
    return copy
