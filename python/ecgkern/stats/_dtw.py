"""Dynamic time warping: how far two signals are apart when time may run faster here and slower there.

.. math:: D_{ij} = |x_i - y_j|^2 + \\min(D_{i-1,j}, D_{i,j-1}, D_{i-1,j-1}), \\qquad d(x, y) = \\sqrt{D_{nm}}

(H. Sakoe and S. Chiba, IEEE Trans. Acoust. Speech Signal Process. 26 (1978) 43). The compiled kernels warp 16 pairs
side by side in vector registers.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate


def dtw(
    x: Any,
    y: Any,
    *,
    window: int | None = None,
    squared: bool = False,
    multivariate: bool = False,
    backend: str | None = None,
) -> Any:
    r"""Return the dynamic time warping distance of signals, pair by pair.

    .. math:: d(x, y) = \min_{\text{paths}} \sqrt{\sum_{(i, j)} |x_i - y_j|^2}

    over the paths from (1, 1) to (n, m) whose steps are (1, 0), (0, 1) or (1, 1).

    Parameters
    ----------
    x, y : array_like, shape (..., length), or with `multivariate` (..., length, dims)
        The signals; their lengths may differ, and the axes before broadcast. With `multivariate`, one path is sought
        for all dimensions together ("dependent" warping) and the differences are Euclidean.
    window : int, optional
        Width of the Sakoe-Chiba band, at least 1: ``|i - j| < window`` for signals of equal length, which with
        ``window=1`` leaves the Euclidean distance. Where lengths differ the band is as much wider, on the side of the
        longer signal. (dtaidistance means the same by ``window``; tslearn's ``sakoe_chiba_radius`` is one less.)
    squared : bool, default False
        Return the sum of the squared differences, without the root.
    multivariate : bool, default False
        Whether the last axis is the dimensions of a signal and not its time.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Returns
    -------
    float64 scalar or array
        A distance for each pair, in the unit of the signals (squared, with `squared`).

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range, or holds NaN or infinity; the message names the first index.
    BackendUnavailableError
        If the backend asked for is not ready.

    Notes
    -----
    Arithmetic and result are float64, float32 signals included; backends agree to 1e-13 of the distance. The kernels
    (fortran, numba) take time in proportion to length x length (or x window) and memory to length; 16 pairs or more are
    many times faster than as many calls with one. Results are the same bits for every number of threads.

    References
    ----------
    H. Sakoe and S. Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE Trans. Acoust.
    Speech Signal Process. 26 (1978) 43-49.

    Examples
    --------
    >>> from ecgkern.stats import dtw
    >>> float(dtw([0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 2.0]))
    0.0
    >>> dtw([[0.0, 1.0], [0.0, 4.0]], [0.0, 1.0], squared=True).tolist()  # two signals against one
    [0.0, 9.0]
    """
    library = _dispatch.array_library(x=x, y=y)
    module = _dispatch.load("stats", backend)
    a, b = _signals(x, "x", multivariate), _signals(y, "y", multivariate)
    shape = _validate.broadcast_shape(x=a.shape[:-2], y=b.shape[:-2])
    a, b = (
        np.broadcast_to(s, shape + s.shape[-2:]).reshape(-1, *s.shape[-2:]) if 0 not in shape else s for s in (a, b)
    )
    return _dispatch.scalar_or_array(_warp(module, a, b, False, shape, window, squared), library)


def cdist_dtw(
    x: Any,
    y: Any,
    *,
    window: int | None = None,
    squared: bool = False,
    multivariate: bool = False,
    backend: str | None = None,
) -> Any:
    """Return the dynamic time warping distance of every signal of `x` to every signal of `y`.

    Parameters
    ----------
    x, y : array_like, shape (n, length), or with `multivariate` (n, length, dims)
        The signals; lengths and numbers of signals may differ.
    window, squared, multivariate, backend
        As for :func:`dtw`.

    Returns
    -------
    float64 array, shape (n, m)
        ``dtw(x[i], y[j])`` at [i, j].

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`dtw`.

    Examples
    --------
    >>> from ecgkern.stats import cdist_dtw
    >>> cdist_dtw([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]], [[0.0, 2.0]], squared=True).tolist()
    [[1.0], [11.0]]
    """
    library = _dispatch.array_library(x=x, y=y)
    module = _dispatch.load("stats", backend)
    a, b = _signals(x, "x", multivariate), _signals(y, "y", multivariate)
    for array, name in ((a, "x"), (b, "y")):
        if array.ndim != 3:
            expected = "(n, length, dims)" if multivariate else "(n, length)"
            shape = array.shape if multivariate else array.shape[:-1]
            raise ValueError(f"{name} must have shape {expected}, got {shape}")
    shape = (a.shape[0], b.shape[0])
    return _dispatch.from_numpy(_warp(module, a, b, True, shape, window, squared), library)


def _signals(value: Any, name: str, multivariate: bool) -> NDArray[Any]:
    """Signals as (..., length, dims), finite, float32 or float64."""
    signals = _validate.float_values(_dispatch.to_numpy(value, name), name)
    if multivariate and signals.ndim < 2:
        raise ValueError(f"{name} must have shape (..., length, dims), got {signals.shape}")
    if 0 in signals.shape[-2 if multivariate else -1 :]:
        raise ValueError(f"{name} must have signals of at least one value, got shape {signals.shape}")
    _validate.finite(signals, name)
    return signals if multivariate else signals[..., None]


def _warp(
    module: ModuleType,
    x: NDArray[Any],
    y: NDArray[Any],
    all_pairs: bool,
    shape: tuple[int, ...],
    window: int | None,
    squared: bool,
) -> NDArray[np.float64]:
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must have as many dimensions per signal, got {x.shape[-1]} and {y.shape[-1]}")
    longest = max(x.shape[-2], y.shape[-2])
    width = longest if window is None else min(longest, _validate.positive_integer(window, "window"))
    distance = np.empty(shape)
    if distance.size:
        dtype = np.result_type(x, y)
        x, y = (np.ascontiguousarray(s, dtype) for s in (x, y))
        module.dtw(x, y, all_pairs, width, distance.reshape(-1))
    return distance if squared else np.sqrt(distance)
