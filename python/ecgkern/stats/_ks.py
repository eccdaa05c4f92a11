"""The two-sample Kolmogorov-Smirnov test of many features at once.

.. math:: D^+ = \\max_v F_1(v) - F_2(v), \\quad D^- = \\max_v F_2(v) - F_1(v), \\quad D = \\max(D^+, D^-)

with the empirical distribution functions F of both samples. The statistics come from sorting and one merge per feature.
A p-value depends on the statistic alone, which only takes multiples of 1/lcm(n1, n2), so each is computed once for all
features that share it. Exact p-values are shares of lattice paths from (0, 0) to (n1, n2) that leave a strip
(J. L. Hodges, Arkiv för Matematik 3 (1958) 469).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd, lgamma, log, prod
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern._cuda import Device
from ecgkern.stats import _cuda_ks
from ecgkern.stats._sorting import by_blocks, paired_features

Floats = NDArray[np.float64]

_LARGEST_AUTO = 10_000  # observations up to which method="auto" is exact
_LARGEST_LCM = 2**31 - 1  # beyond, method="exact" gives up, as SciPy does
_LARGEST_LOG = log(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class KSResult:
    """Statistic, p-value, and where and with which sign F1 - F2 attains it; unpacks to ``(statistic, pvalue)``."""

    statistic: Any
    pvalue: Any
    statistic_location: Any
    statistic_sign: Any

    def __iter__(self) -> Iterator[Any]:
        return iter((self.statistic, self.pvalue))


def ks_2samp(
    data1: Any,
    data2: Any,
    *,
    alternative: str = "two-sided",
    method: str = "auto",
    axis: int | None = 0,
    nan_policy: str = "propagate",
    keepdims: bool = False,
    backend: str | None = None,
) -> KSResult:
    r"""Test, feature by feature, whether two samples come from the same distribution (Kolmogorov-Smirnov).

    .. math:: D = \max_v |F_1(v) - F_2(v)|, \qquad F(v) = \frac{\#\{x_i \le v\}}{n}

    Parameters
    ----------
    data1, data2 : array_like
        The samples, with their observations along `axis`; the other axes are features and broadcast. float32 is
        compared as such, everything else as float64.
    alternative : {"two-sided", "less", "greater"}, default "two-sided"
        "greater" uses :math:`D^+ = \max F_1 - F_2`, "less" :math:`D^- = \max F_2 - F_1`.
    method : {"auto", "exact", "asymp"}, default "auto"
        How the p-value is computed; "auto" is exact up to 10000 observations in the larger sample.
    axis : int or None, default 0
        The axis of the observations, of both arrays after the one with fewer dimensions got more in front; None takes
        all values as one sample.
    nan_policy : {"propagate", "omit", "raise"}, default "propagate"
        A feature with NaN gives NaN, or is tested without them, or raises.
    keepdims : bool, default False
        Keep `axis` with length 1.
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default "cuda" for arrays on a GPU and else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    KSResult
        ``statistic``, ``pvalue``, ``statistic_location`` (the observation at which it is attained) and
        ``statistic_sign`` (+1 where F1 exceeds F2 there, else -1), of the shape of the features: NumPy scalars for one
        feature, else arrays, of the library of the input. Unpacks to ``(statistic, pvalue)``.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range, if a sample is empty, or if there is NaN and `nan_policy` is
        "raise".
    ImportError
        If a two-sided asymptotic p-value is needed and SciPy is missing.
    BackendUnavailableError
        If the backend asked for is not ready.

    Warns
    -----
    RuntimeWarning
        If an exact p-value is out of reach and the asymptotic one is returned: the least common multiple of the sample
        sizes exceeds 2**31, or, one-sided with unequal sizes, the number of ways to mix the samples exceeds float64
        (from about 1030 observations together). Also if no observation is left after omitting NaN; the result is NaN.

    Notes
    -----
    Statistic, location and sign are those of :func:`scipy.stats.ks_2samp`, which is also where the names, the defaults
    and the rules for falling back come from. P-values agree with SciPy's to 1e-12, and with the exact rational numbers
    to 1e-11 of their value, on every backend; where SciPy's sum comes out above 1 by rounding, for which it returns the
    asymptotic p-value, this one is 1. The asymptotic two-sided p-value is that of the one-sample test
    (:data:`scipy.stats.kstwo`) for :math:`n_1 n_2 / (n_1 + n_2)` observations, rounded; the one-sided one is Hodges'
    eq. 5.3.

    Memory beside arguments and results is about 4 MB for each thread, and one value per distinct statistic. Results are
    the same bits for every number of threads.

    Arrays on a GPU, CuPy's or torch's, stay there, and so do the results, arrays for one feature too. Values are not
    looked at before the kernels do, so `nan_policy` must be "propagate". Asymptotic p-values are computed there, to
    1e-10 of SciPy's and without it. Exact ones are computed on the host from the statistics, which waits for the GPU.

    References
    ----------
    J. L. Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för Matematik 3 (1958) 469-486.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.stats import ks_2samp
    >>> x = np.arange(20.0).reshape(10, 2)  # 10 observations of 2 features
    >>> statistic, pvalue = ks_2samp(x, x + [0.0, 8.0])
    >>> statistic.tolist()
    [0.0, 0.4]
    >>> pvalue.round(6).tolist()
    [1.0, 0.417524]
    """
    library = _dispatch.array_library(data1=data1, data2=data2)
    device = _dispatch.device(data1=data1, data2=data2)
    _validate.choice(alternative, "alternative", ("two-sided", "less", "greater"))
    _validate.choice(method, "method", ("auto", "exact", "asymp"))
    _validate.choice(nan_policy, "nan_policy", ("propagate", "omit", "raise"))
    module = _dispatch.load("stats", backend, device)
    if device is not None:
        return _on_device(device, data1, data2, alternative, method, axis, nan_policy, keepdims)
    x = _validate.float_values(_dispatch.to_numpy(data1, "data1"), "data1")
    y = _validate.float_values(_dispatch.to_numpy(data2, "data2"), "data2")
    ndim = max(x.ndim, y.ndim)
    all_axes = axis is None
    if all_axes:
        x, y = x.ravel(), y.ravel()
    x, y, shape, number = paired_features(x, y, 0 if all_axes else axis, ("data1", "data2"))
    if nan_policy == "raise":
        _validate.no_nan(x, "data1")
        _validate.no_nan(y, "data2")
    if nan_policy == "omit":
        columns = _without_nan(module, x, y, alternative, method)
    else:
        columns = _test(module, x, y, alternative, method)
    if keepdims:
        shape = (1,) * ndim if all_axes else (*shape[:number], 1, *shape[number:])
    results = [_dispatch.scalar_or_array(column.reshape(shape), library) for column in columns]
    if library == "numpy" and shape == () and not np.isnan(results[3]):
        results[3] = np.int8(results[3])
    return KSResult(*results)


def _test(
    module: ModuleType, x: NDArray[Any], y: NDArray[Any], alternative: str, method: str
) -> tuple[Floats, Floats, NDArray[Any], Floats]:
    """Statistic, p-value, location and sign for each row of x (n_features, n1) and y (n_features, n2)."""
    n_features = x.shape[0]
    largest, smallest = np.empty(n_features), np.empty(n_features)
    at_largest, at_smallest = np.empty(n_features, x.dtype), np.empty(n_features, x.dtype)

    def work(features: slice, a: NDArray[Any], b: NDArray[Any]) -> None:
        has_nan = np.isnan(a[:, -2]) | np.isnan(b[:, -2])
        a[has_nan], b[has_nan] = 0, 0
        # The merge then needs no look at its position: +inf leaves the rest to b, and NaN, never below, to a.
        a[:, -1], b[:, -1] = np.inf, np.nan
        module.ks_merge(a, b, largest[features], smallest[features], at_largest[features], at_smallest[features])
        largest[features][has_nan] = np.nan

    by_blocks(x, y, work)
    below = np.maximum(-smallest, 0.0)
    use_below = below > largest if alternative == "two-sided" else np.full(n_features, alternative == "less")
    statistic = np.where(use_below, below, largest)
    location = np.where(use_below, at_smallest, at_largest)
    sign = np.where(use_below, -1.0, 1.0)
    missing = np.isnan(largest)
    for column in (statistic, location, sign):
        column[missing] = np.nan
    pvalue = np.full(n_features, np.nan)
    n1, n2 = x.shape[1], y.shape[1]
    if not missing.all():
        statistic[~missing], pvalue[~missing] = _p_values(module, n1, n2, statistic[~missing], alternative, method)
    return statistic, pvalue, location, sign


def _without_nan(
    module: ModuleType, x: NDArray[Any], y: NDArray[Any], alternative: str, method: str
) -> tuple[Floats, Floats, NDArray[Any], Floats]:
    """As `_test`, with the NaN of each feature left out: features with the same numbers of observations go together."""
    sizes = np.stack([x.shape[1] - np.isnan(x).sum(axis=1), y.shape[1] - np.isnan(y).sum(axis=1)])
    if (sizes == [[x.shape[1]], [y.shape[1]]]).all():
        return _test(module, x, y, alternative, method)
    x, y = np.sort(x, axis=1), np.sort(y, axis=1)  # NaN last
    results = tuple(np.full(x.shape[0], np.nan, dtype) for dtype in (float, float, x.dtype, float))
    groups, member = np.unique(sizes, axis=1, return_inverse=True)
    member = member.ravel()
    for k, (n1, n2) in enumerate(groups.T.tolist()):
        if min(n1, n2) == 0:
            warnings.warn(
                "no observations are left after omitting NaN: the result is NaN", RuntimeWarning, stacklevel=3
            )
            continue
        chosen = np.flatnonzero(member == k)
        for result, column in zip(
            results, _test(module, x[chosen, :n1], y[chosen, :n2], alternative, method), strict=True
        ):
            result[chosen] = column
    return results  # type: ignore[return-value]


def _p_values(
    module: ModuleType, n1: int, n2: int, statistic: Floats, alternative: str, method: str
) -> tuple[Floats, Floats]:
    """Statistic (as a multiple of 1/lcm where exact) and p-value."""
    lcm, exact, round_statistic = _rule(n1, n2, alternative, method)
    height = np.rint(statistic * lcm)
    if exact:
        return height / lcm, _exact(module, n1, n2, height, alternative)
    # What differs by rounding alone has one p-value; beyond 2**53 the heights are no whole numbers and all differ.
    p_values = _once_each(height / lcm, partial(_asymptotic, float(n1), float(n2), alternative=alternative))
    return height / lcm if round_statistic else statistic, p_values


def _rule(n1: int, n2: int, alternative: str, method: str) -> tuple[int, bool, bool]:
    """The least common multiple, whether p-values are exact, and whether statistics become multiples of 1/lcm."""
    lcm = n1 // gcd(n1, n2) * n2
    exact = method == "exact" or (method == "auto" and max(n1, n2) <= _LARGEST_AUTO)
    if method == "exact" and lcm > _LARGEST_LCM:
        exact = False
        _warn_of_asymptotic(f"with sample sizes {n1} and {n2}")
    if exact and alternative != "two-sided" and n1 != n2 and _log_binomial(n1, n2) > _LARGEST_LOG:
        _warn_of_asymptotic(f"one-sided with sample sizes {n1} and {n2}")
        return lcm, False, True
    return lcm, exact, exact


def _exact(module: ModuleType, n1: int, n2: int, height: Floats, alternative: str) -> Floats:
    """Exact p-values of statistics that are `height` times 1/lcm."""
    p_value = partial(_equal_sizes, n1) if n1 == n2 else partial(_unequal_sizes, module, n1, n2)
    return _once_each(height.astype(np.int64), partial(p_value, two_sided=alternative == "two-sided"))


def _once_each(values: NDArray[Any], p_value: Callable[[NDArray[Any]], Floats]) -> Floats:
    """p_value(values), called with every distinct value once."""
    distinct, member = np.unique(values, return_inverse=True)
    return np.clip(p_value(distinct), 0.0, 1.0)[member.ravel()]


def _warn_of_asymptotic(why: str) -> None:
    level = _validate.outside("ecgkern")
    warnings.warn(f"no exact p-value {why}: the asymptotic one is returned", RuntimeWarning, stacklevel=level)


def _log_binomial(n1: int, n2: int) -> float:
    return lgamma(n1 + n2 + 1) - lgamma(n1 + 1) - lgamma(n2 + 1)


def _equal_sizes(n: int, height: NDArray[np.int64], two_sided: bool) -> Floats:
    """Exact p-values by reflection: T[h] = C(2n, n - h) / C(2n, n) one-sided, 2 (T[h] - T[2h] + ...) two-sided."""
    j = np.arange(n)
    table = np.concatenate([[1.0], np.cumprod((n - j) / (n + 1.0 + j))])
    if not two_sided:
        return table[height]
    total = table[height]
    k = 2
    active = np.flatnonzero((height > 0) & (2 * height <= n))
    while active.size:
        term = table[k * height[active]]
        total[active] += term if k % 2 else -term
        k += 1
        # The terms fall ever faster; those below rounding change nothing.
        active = active[(term > 1e-18 * table[height[active]]) & (k * height[active] <= n)]
    return np.where(height == 0, 1.0, 2.0 * total)


def _unequal_sizes(module: ModuleType, n1: int, n2: int, height: NDArray[np.int64], two_sided: bool) -> Floats:
    pvalue = np.ones(height.size)
    above = height > 0
    if above.any():
        pvalue[above] = module.ks_paths(n1, n2, height[above], two_sided)
    return pvalue


def _asymptotic(n1: float, n2: float, statistic: Floats, alternative: str) -> Floats:
    m, n = max(n1, n2), min(n1, n2)
    effective = m * n / (m + n)
    if alternative == "two-sided":
        kstwo = _dispatch.require_scipy("scipy.stats", "the asymptotic two-sided p-value").kstwo
        with np.errstate(divide="ignore"):  # two single values: round(0.5) observations, and NaN
            return np.asarray(kstwo.sf(statistic, np.round(effective)))
    z = np.sqrt(effective) * statistic
    return np.asarray(np.exp(-2.0 * z**2 - 2.0 * z * (m + 2.0 * n) / np.sqrt(m * n * (m + n)) / 3.0))


# ---- on a GPU --------------------------------------------------------------------------------------------------------


def _on_device(
    device: Device, data1: Any, data2: Any, alternative: str, method: str, axis: int | None, nan_policy: str,
    keepdims: bool,
) -> KSResult:  # fmt: skip
    """As :func:`ks_2samp`, of checked options, where the arrays are."""
    if nan_policy != "propagate":
        raise ValueError(
            f"nan_policy must be 'propagate' for arrays on a GPU, whose values are not looked at; got {nan_policy!r}"
        )
    x, y = (device.values(value, name) for value, name in ((data1, "data1"), (data2, "data2")))
    ndim = max(x.ndim, y.ndim, 1)
    all_axes = axis is None
    if all_axes:
        x, y = x.reshape((-1,)), y.reshape((-1,))
    n_axes = 1 if all_axes else ndim
    number = _validate.axis_index(0 if all_axes else axis, n_axes)
    dtype = np.result_type(device.dtype(x), device.dtype(y))
    x, y = (
        device.contiguous(array, dtype).reshape((1,) * (n_axes - array.ndim) + tuple(array.shape)) for array in (x, y)
    )
    for array, name in ((x, "data1"), (y, "data2")):
        if not 1 <= array.shape[number] < 2**31 - 1:
            found = array.shape[number]
            raise ValueError(f"{name} must have at least one observation along axis {number}, got {found}")
    (n1, own1), (n2, own2) = ((array.shape[number], _without(array.shape, number)) for array in (x, y))
    shape = _validate.broadcast_shape(data1=own1, data2=own2)
    n_features = prod(shape)
    if n_features:
        a, b = (device.sort(_cuda_ks.rows(device, array, number)) for array in (x, y))
        row_a, row_b = (None if own == shape else device.upload(_row_numbers(own, shape)) for own in (own1, own2))
        statistic, *where = _cuda_ks.statistics(device, a, b, row_a, row_b, n_features, alternative)
        columns = [*_p_values_on(device, n1, n2, statistic, alternative, method), *where]
    else:
        columns = [device.empty(0, kind) for kind in (np.float64, np.float64, dtype, np.float64)]
    if keepdims:
        shape = (1,) * ndim if all_axes else (*shape[:number], 1, *shape[number:])
    return KSResult(*(column.reshape(shape) for column in columns))


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _row_numbers(own: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Which of the features of one sample each feature of both is."""
    return np.broadcast_to(np.arange(prod(own), dtype=np.int64).reshape(own), shape).ravel()


def _p_values_on(device: Device, n1: int, n2: int, statistic: Any, alternative: str, method: str) -> tuple[Any, Any]:
    """As `_p_values`, of statistics on a GPU; exact p-values come from the host."""
    lcm, exact, round_statistic = _rule(n1, n2, alternative, method)
    if not exact:
        two_sided = alternative == "two-sided"
        return statistic, _cuda_ks.asymptotic(device, statistic, n1, n2, lcm, two_sided, round_statistic)
    height = np.rint(device.download(statistic) * lcm)
    known = ~np.isnan(height)
    p_values = np.full(height.shape, np.nan)
    if known.any():
        p_values[known] = _exact(_dispatch.load("stats", None), n1, n2, height[known], alternative)
    return device.upload(height / lcm), device.upload(p_values)
