"""Memory that the kernels work in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An empty array that starts on a cache line, so that no vector is read from two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return np.asarray(raw[offset : offset + size].view(dtype).reshape(shape))
