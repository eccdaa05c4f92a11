"""The Kolmogorov-Smirnov test on a GPU: cuda/ks.cu between a sort of the array library and the p-values."""

from typing import Any

import numpy as np

from ecgkern._cuda import C_TYPES, Device

_THREADS, _WARP, _TILE = 128, 32, 32  # test_threads, warp_size, tile
_PART = 512  # part_values
ALTERNATIVES = ("two-sided", "less", "greater")

KERNELS = (
    *(f"{kernel}<{c_type}>" for c_type in C_TYPES.values() for kernel in ("rows", "differences", "extremes")),
    "p_values<0>",
)


def rows(device: Device, values: Any, axis: int) -> Any:
    """Return values as (n_features, n), the observations along the axis as rows."""
    shape = tuple(values.shape)
    n, n_after = shape[axis], int(np.prod(shape[axis + 1 :]))
    n_features = int(np.prod(shape[:axis])) * n_after
    values = values.reshape((n_features, n) if n_after == 1 else (-1,)) if n_features else values
    if n_after == 1 or not n_features:
        return values
    turned = device.empty((n_features, n), device.dtype(values))
    kernel = f"rows<{C_TYPES[device.dtype(values)]}>"
    n_tiles = n_features // n_after * -(-n // _TILE) * -(-n_after // _TILE)
    device.launch("ks", kernel, n_tiles, _TILE * 8, n, n_after, values, turned)
    return turned


def statistics(
    device: Device, a: Any, b: Any, row_a: Any, row_b: Any, n_features: int, alternative: str
) -> tuple[Any, Any, Any]:
    """Return statistic, location and sign of each feature of sorted rows: row_a[f] of a or row f, and the same of b."""
    n1, n2 = a.shape[-1], b.shape[-1]
    c_type = C_TYPES[device.dtype(a)]
    n_parts = -(-(n1 + n2) // _PART)
    values = device.empty((n_features, n_parts, 2), np.float64)
    places = device.empty((n_features, n_parts, 2), np.int64)
    statistic, sign = device.empty(n_features, np.float64), device.empty(n_features, np.float64)
    location = device.empty(n_features, device.dtype(a))
    samples = n_features, n_parts, n1, n2, a, b, row_a, row_b, values, places
    of_block = _THREADS // _WARP
    device.launch("ks", f"differences<{c_type}>", -(-n_features * n_parts // of_block), _THREADS, *samples)
    device.launch(
        "ks", f"extremes<{c_type}>", -(-n_features // of_block), _THREADS,
        *samples, ALTERNATIVES.index(alternative), statistic, location, sign,
    )  # fmt: skip
    return statistic, location, sign


def asymptotic(
    device: Device, statistic: Any, n1: int, n2: int, lcm: int, two_sided: bool, round_statistic: bool
) -> Any:
    """Return asymptotic p-values, and with `round_statistic` make the statistics multiples of 1/lcm."""
    p_value = device.empty(len(statistic), np.float64)
    m, n = float(max(n1, n2)), float(min(n1, n2))
    numbers = int(two_sided), float(lcm), m, n, m * n / (m + n), int(round_statistic)
    device.launch("ks", "p_values<0>", len(statistic), _THREADS, *numbers, statistic, p_value)
    return p_value
