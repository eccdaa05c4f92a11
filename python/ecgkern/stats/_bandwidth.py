"""The median distance between samples, the usual bandwidth of a kernel, without storing the distances."""

import math
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern._cuda import Device
from ecgkern.stats import _kernels, _pool
from ecgkern.stats._kernels import Kernel
from ecgkern.stats._pool import Pool

Floats = NDArray[np.float64]

# Distances kept of those in the bracket around the median: 16 MB.
_MOST_KEPT = 1 << 21
# Rows of a block of distances that are looked at together.
_BLOCK = 1024
# Bins of the histogram in which too many distances are counted instead.
_BINS = 4096


def median_bandwidth(
    x: Any,
    y: Any = None,
    *,
    metric: str = "euclidean",
    subsample: int | None = None,
    rng: Any = None,
    backend: str | None = None,
) -> Any:
    r"""Return the median distance between different samples, :math:`\mathrm{median}_{i<j} \|z_i - z_j\|`.

    It is the usual bandwidth :math:`\sigma` of :math:`\exp(-d^2 / 2\sigma^2)` (Gretton's rule). For an even number of
    pairs the two middle distances are averaged.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Samples.
    y : array_like, shape (m, d), optional
        More samples, pooled with `x`.
    metric : {"euclidean", "cityblock"}
        "cityblock" for the kernel ``laplacian_l1``.
    subsample : int, optional
        Take the median of so many random pairs instead of all.
    rng : numpy.random.Generator, int or None
        Random numbers for `subsample`.
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default, for samples on a GPU "cuda", else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    float
        For samples on a GPU an array of no dimensions there, float64, which nothing has waited for; it can be the
        `bandwidth` of the functions of this module.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range, or there are fewer than two samples.

    Warns
    -----
    RuntimeWarning
        If the median is 0, because most samples are equal. The mean distance is returned instead, or 1 if all are
        equal; on a GPU without a warning.

    Notes
    -----
    Exact, without storing the distances: a random sample brackets the median, and one pass counts the distances below
    the bracket and keeps those within; many equal ones take a pass or two more. On a GPU the pass counts those within
    in 4096 bins with their extremes: of more than 2048 samples the median is exact to about 1e-6, or exact where
    distances take few values. 200 000 random pairs give it to about 0.1 %; random pairs beat random samples. To compare
    several synthetic samples with one real one, take the bandwidth of the real one, lest it follow what is measured.

    Examples
    --------
    >>> from ecgkern.stats import median_bandwidth
    >>> median_bandwidth([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    2.0
    """
    _validate.choice(metric, "metric", ("euclidean", "cityblock"))
    _dispatch.array_library(x=x, y=y)
    device = _dispatch.device(x=x, y=y)
    if device is not None:
        return _on_device(device, x, y, metric, subsample, rng, backend)
    module = _dispatch.load("stats", backend)
    groups = [_pool.samples(x, "x")]
    if y is not None:
        groups.append(_pool.samples(y, "y"))
        _pool.same_features(groups[0], groups[1])
    kernel = Kernel("laplacian_l1" if metric == "cityblock" else "gaussian")
    if subsample is not None:
        subsample = _validate.positive_integer(subsample, "subsample")
    return median_of(tuple(groups), kernel, module, subsample, _validate.generator(rng))


def _on_device(
    device: Device, x: Any, y: Any, metric: str, subsample: int | None, rng: Any, backend: str | None
) -> Any:
    module = _dispatch.load("stats", backend, device)
    groups = [_pool.samples_on_device(device, x, "x")]
    if y is not None:
        groups.append(_pool.samples_on_device(device, y, "y"))
        _pool.same_features(groups[0], groups[1])
    n = sum(map(len, groups))
    _two_samples(n)
    samples = module.pool(device, groups, _kernels.CITYBLOCK if metric == "cityblock" else _kernels.SQUARED)
    if subsample is None:
        return module.median(samples)
    pairs = random_pairs(n, _validate.positive_integer(subsample, "subsample"), _validate.generator(rng))
    return module.median(samples, tuple(map(device.upload, pairs)))


def _two_samples(n: int) -> None:
    if n < 2:
        raise ValueError(f"the median distance needs at least two samples, got {n}")


def random_pairs(n: int, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of random pairs of different samples."""
    i = rng.integers(n, size=count)
    return i, (i + rng.integers(1, n, size=count)) % n


def median_of(
    groups: tuple[NDArray[Any], ...],
    kernel: Kernel,
    module: ModuleType,
    subsample: int | None = None,
    rng: np.random.Generator | None = None,
) -> float:
    pool = _pool.pool(groups, kernel.measure, module)
    _two_samples(pool.n)
    n_pairs = pool.n * (pool.n - 1) // 2
    if subsample is not None:
        v = np.sort(_random_measures(pool, kernel, subsample, rng or np.random.default_rng()))
        middle = v[[(v.size - 1) // 2, v.size // 2]]
    else:
        middle = _order_statistics(pool, kernel, module, ((n_pairs - 1) // 2, n_pairs // 2))
    squared = kernel.measure == _kernels.SQUARED
    median = float(np.mean(np.sqrt(middle) if squared else middle))
    if median > 0:
        return median
    total = sum(float(np.sum(np.sqrt(v) if squared else v)) for v in _all_measures(pool, kernel, module))
    replacement = total / n_pairs if total > 0 else 1.0
    warnings.warn(
        f"the median distance between samples is 0, because most of them are equal: {replacement:.6g}"
        f"{', the mean distance,' if total > 0 else ''} is used as the bandwidth",
        RuntimeWarning,
        stacklevel=_validate.outside("ecgkern.stats"),
    )
    return replacement


def _random_measures(pool: Pool, kernel: Kernel, count: int, rng: np.random.Generator) -> Floats:
    """Squared (or city-block) distances of random pairs of different samples."""
    rows = np.concatenate([np.r_[pool.group(g)] for g in range(len(pool.sizes))])
    i, j = (rows[index] for index in random_pairs(pool.n, count, rng))
    z = pool.rows()
    step = max(1, (1 << 20) // pool.n_features)
    v = np.empty(count)
    for k in range(0, count, step):
        part = slice(k, k + step)
        v[part] = lengths(z[i[part]].astype(np.float64) - z[j[part]], kernel.measure)
    return v


def _order_statistics(pool: Pool, kernel: Kernel, module: ModuleType, ranks: tuple[int, int]) -> Floats:
    """The measures of these two neighbouring ranks (from 0) among all pairs i < j."""
    n_pairs = pool.n * (pool.n - 1) // 2
    low, high = -np.inf, np.inf
    if n_pairs > _MOST_KEPT:
        # The ranks lie within five standard deviations of the same quantile of a random sample, nearly always.
        count = int(np.clip((10 * n_pairs / _MOST_KEPT) ** 2, 2000, 200_000))
        guess = np.sort(_random_measures(pool, kernel, count, np.random.default_rng(0)))
        spread = 2.5 * math.sqrt(count)
        low, high = (float(guess[min(max(int(count / 2 + s * spread), 0), count - 1)]) for s in (-1, 1))
        low, high = low * (1 - 1e-5), high * (1 + 1e-5)
    while True:
        below, within, kept, (least, most), counts = _between(pool, kernel, module, low, high)
        if not below <= ranks[0] < ranks[1] + 1 <= below + within:
            low, high = -np.inf, np.inf  # the sample misled
        elif within == kept.size:
            kept.partition([rank - below for rank in ranks])
            return kept[[rank - below for rank in ranks]]
        elif least == most:
            return np.array([least, least])
        elif not _divisible(low, high):
            if math.isfinite(low) and math.isfinite(high):  # a few neighbouring numbers, each many times
                return _of_few_values(pool, kernel, module, low, high, np.array(ranks) - below)
            low, high = least, most
        else:  # too many to keep: on to the bins that hold the ranks
            edges = np.linspace(low, high, _BINS + 1)
            first, last = np.searchsorted(np.cumsum(counts), np.array(ranks) - below, side="right")
            if first != last:  # a bin for each: the two are searched for one by one
                return np.array([_order_statistics(pool, kernel, module, (rank, rank))[0] for rank in ranks])
            low = max(float(np.nextafter(edges[first], -np.inf)), least)
            high = min(float(np.nextafter(edges[last + 1], np.inf)), most)


def _divisible(low: float, high: float) -> bool:
    """Whether there are enough numbers between the two for the bins of a histogram."""
    return math.isfinite(low) and math.isfinite(high) and high - low > 4 * _BINS * np.spacing(high)


def _of_few_values(
    pool: Pool, kernel: Kernel, module: ModuleType, low: float, high: float, ranks: NDArray[np.int64]
) -> Floats:
    """The measures of these ranks among those from `low` to `high`, which take few different values."""
    found: dict[float, int] = {}
    for v in _all_measures(pool, kernel, module):
        for value, count in zip(*np.unique(v[(v >= low) & (v <= high)], return_counts=True), strict=True):
            found[float(value)] = found.get(float(value), 0) + int(count)
    values = np.array(sorted(found))
    return np.asarray(values[np.searchsorted(np.cumsum([found[v] for v in values]), ranks, side="right")])


def _between(
    pool: Pool, kernel: Kernel, module: ModuleType, low: float, high: float
) -> tuple[int, int, Floats, tuple[float, float], NDArray[np.int64]]:
    """How many pairs lie below `low` and from there to `high`; of these some measures, range and histogram."""
    below, within, kept, size = 0, 0, [], 0
    least, most = math.inf, -math.inf
    counts = np.zeros(_BINS, np.int64)
    for v in _all_measures(pool, kernel, module):
        below += int(np.count_nonzero(v < low))
        inside = v[(v >= low) & (v <= high)]
        within += inside.size
        if inside.size:
            least, most = min(least, float(inside.min())), max(most, float(inside.max()))
        if size <= _MOST_KEPT:
            kept.append(inside)
            size += inside.size
        if _divisible(low, high):
            counts += np.histogram(inside, bins=_BINS, range=(low, high))[0]
    return below, within, np.concatenate(kept), (least, most), counts


def _all_measures(pool: Pool, kernel: Kernel, module: ModuleType) -> Iterator[Floats]:
    """The measures of all pairs i < j, a block after the other in one place."""
    block = np.empty((_BLOCK, 4 * _BLOCK))
    for i, j in _blocks_of_pairs(pool):
        v = block.ravel()[: (i.stop - i.start) * (j.stop - j.start)].reshape(i.stop - i.start, -1)
        module.measures(pool, i, j, kernel.measure, v)
        above = np.arange(j.start, j.stop) > np.arange(i.start, i.stop)[:, None]
        yield v.ravel() if above.all() else v[above]


def _blocks_of_pairs(pool: Pool) -> Iterator[tuple[slice, slice]]:
    """Ranges of rows that hold all pairs i < j."""
    for g in range(len(pool.sizes)):
        for h in range(g, len(pool.sizes)):
            of_g, of_h = pool.group(g), pool.group(h)
            for first in range(of_g.start, of_g.stop, _BLOCK):
                for start in range(first if g == h else of_h.start, of_h.stop, 4 * _BLOCK):
                    yield slice(first, min(first + _BLOCK, of_g.stop)), slice(start, min(start + 4 * _BLOCK, of_h.stop))


def lengths(differences: Floats, measure: int) -> Any:
    """The measure of each row of differences."""
    if measure == _kernels.CITYBLOCK:
        return np.abs(differences).sum(axis=1)
    return np.einsum("ij,ij->i", differences, differences)
