"""Maximum mean discrepancy: estimators, bandwidth, witness function and gradient.

With :math:`S_{xx} = \\sum_{ij} k(x_i, x_j)`, :math:`S_{xy}`, :math:`S_{yy}` and the traces :math:`t_x`, :math:`t_y`,
every estimator is a line of algebra; one pass over the pairs of the pooled samples gives the sums. Definitions:
Gretton et al., J. Mach. Learn. Res. 13 (2012) 723-773.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _cuda, _dispatch, _validate
from ecgkern._cuda import Device
from ecgkern.stats import _kernels, _pool
from ecgkern.stats._bandwidth import lengths, median_of
from ecgkern.stats._kernels import PRODUCT, Functions, Kernel
from ecgkern.stats._pool import Pool

Floats = NDArray[np.float64]

ESTIMATORS = ("unbiased", "biased", "paired", "linear", "block", "incomplete")

# Beyond these means of k over pairs of different samples, the kernel no longer sees the data.
_LEAST_MEAN, _LARGEST_MEAN = 1e-6, 1 - 1e-6


@dataclass(frozen=True, eq=False)
class KernelSums:
    """Sums of a kernel over all pairs of samples, an entry per bandwidth, in float64.

    ``xx``, ``yy`` and ``xy`` include the pairs of a sample with itself, whose sums are ``trace_x`` and ``trace_y``. The
    sums of shards add up with ``+`` and :func:`sum`.
    """

    xx: Floats
    yy: Floats
    xy: Floats
    trace_x: Floats
    trace_y: Floats

    def __add__(self, other: "KernelSums") -> "KernelSums":
        return KernelSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __radd__(self, other: Any) -> "KernelSums":
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __iter__(self) -> Iterator[Floats]:
        return (getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True)
class Problem:
    """The checked arguments that most functions here share."""

    x: NDArray[Any]
    y: NDArray[Any]
    kernel: Kernel
    bandwidths: Floats
    weights: Floats
    module: ModuleType
    library: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the samples, and of results."""
        return np.result_type(self.x, self.y)

    @property
    def sizes(self) -> tuple[int, int]:
        """Samples in x and in y."""
        return len(self.x), len(self.y)

    @property
    def functions(self) -> Functions:
        """The kernel at every bandwidth."""
        return _kernels.functions(self.kernel, self.bandwidths, self.x.shape[1])

    def mixture(self) -> Floats:
        """Weights of the bandwidths in the order of `functions`."""
        return np.asarray(self.weights[self.functions.order])

    def pool(self) -> Pool:
        """x and y laid out for the kernels."""
        return _pool.pool((self.x, self.y), self.kernel.measure, self.module)

    def scalar(self, value: float) -> Any:
        """A result in the caller's precision and library."""
        return _dispatch.scalar_or_array(np.asarray(value, self.dtype), self.library)


def check(x: Any, y: Any, kernel: Any, bandwidth: Any, weights: Any, backend: str | None) -> Problem:
    """Check the arguments that most functions share, and find the median bandwidth if asked."""
    library = _dispatch.array_library(x=x, y=y)
    module = _dispatch.load("stats", backend)
    found = _kernels.checked(kernel)
    bandwidths = _kernels.checked_bandwidths(bandwidth, found)
    x, y = _pool.samples(x, "x"), _pool.samples(y, "y")
    _pool.same_features(x, y)
    if bandwidths is None:
        bandwidths = np.array([median_of((x, y), found, module)])
    return Problem(x, y, found, bandwidths, _kernels.checked_weights(weights, bandwidths.size), module, library)


@dataclass(frozen=True)
class ProblemOnDevice:
    """The same for samples on a GPU, as `ecgkern.stats._cuda` lays them out; bandwidths may be there, too."""

    module: ModuleType
    kernel: Kernel
    samples: Any
    table: Any
    bandwidths: Any

    @property
    def sizes(self) -> tuple[int, int]:
        """Samples in x and in y."""
        n, m = self.samples.sizes[-2:]
        return n, m


def device_of(bandwidth: Any = None, **samples: Any) -> Device | None:
    """Return the GPU that samples are on, None for the host; a bandwidth on a GPU must be on theirs."""
    arrays = samples if _cuda.of(bandwidth) is None else {**samples, "bandwidth": bandwidth}
    _dispatch.array_library(**arrays)
    return _dispatch.device(**arrays)


def check_on_device(
    device: Device,
    groups: dict[str, Any],
    kernel: Any,
    bandwidth: Any,
    weights: Any,
    backend: str | None,
    *,
    precision: str = "highest",
    centred: bool = True,
) -> ProblemOnDevice:
    """As `check` for samples on a GPU, whose values are not read: x and y, or points, x and y."""
    module = _dispatch.load("stats", backend, device)
    found = _kernels.checked(kernel)
    bandwidths = _kernels.checked_bandwidths(bandwidth, found, device)
    arrays = [_pool.samples_on_device(device, value, name) for name, value in groups.items()]
    for one, other in pairwise(zip(arrays, groups, strict=True)):
        _pool.same_features(one[0], other[0], (one[1], other[1]))
    samples = module.pool(device, arrays, found.measure, centred=centred and found.name != "polynomial",
                          precision=precision)  # fmt: skip
    if bandwidths is None:
        pooled = samples if len(arrays) == 2 else module.pool(device, arrays[1:], found.measure)
        bandwidths = module.median(pooled).reshape((1,))
    shares = _kernels.checked_weights(weights, len(bandwidths))
    return ProblemOnDevice(module, found, samples, module.table(samples, found, bandwidths, shares), bandwidths)


def kernel_sums(
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "gaussian",
    bandwidth: Any = "median",
    shard: tuple[int, int] = (0, 1),
    backend: str | None = None,
) -> KernelSums:
    r"""Return the sums of a kernel over all pairs of samples, at several bandwidths at once.

    .. math:: S_{xx} = \sum_{i,j} k(x_i, x_j), \quad S_{yy} = \sum_{i,j} k(y_i, y_j), \quad
              S_{xy} = \sum_{i,j} k(x_i, y_j), \quad t_x = \sum_i k(x_i, x_i), \quad t_y = \sum_i k(y_i, y_i)

    Parameters
    ----------
    x : array_like, shape (n, d)
        Samples; float32 and float64 are kept.
    y : array_like, shape (m, d)
        Samples to compare with.
    kernel : str or Kernel, default "gaussian"
        See :class:`Kernel`.
    bandwidth : "median", float or sequence of float
        :math:`\sigma` of the kernel; several are computed in one pass. "median" is :func:`median_bandwidth` of x and y.
        For samples on a GPU an array there, too: it is not read back.
    shard : (int, int), default (0, 1)
        (k, m) computes the k-th of m parts of the sums, for jobs on several machines. It takes all of `x` and `y`; the
        sums of all parts add up to the whole. Give each the same numeric `bandwidth`.
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default, for samples on a GPU "cuda", else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    KernelSums
        ``xx``, ``yy``, ``xy``, ``trace_x``, ``trace_y``: float64 arrays with an entry per bandwidth, on the device of
        the samples.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range; the message names it.
    BackendUnavailableError
        If the backend asked for is not ready.

    Notes
    -----
    One pass over the tiles of the upper triangle of the pooled samples: about (n + m)² d multiply-adds / 2, and
    nothing of size n x n. Distances of float32 samples are formed in float32 from samples centred on their mean (in
    float64 where d <= 16, and anew from the differences where they would cancel); the kernels and sums are float64.
    Gaussian bandwidths in ratio 2 cost one exponential. Error of the sums: 1e-7 of their largest for float32 samples,
    1e-13 for float64, where samples are about as far from the middle of all as from each other (clusters R apart with a
    spread of s: R/s times as much); backends agree to the same. Extra memory: a padded copy of the samples and some
    100 kB per thread.

    On a GPU nothing is copied to the host and nothing waits: samples are not looked at, NaN in them gives NaN, and
    there is no warning about bandwidths. float32 samples of more than 16 features are split into two float16 each and
    multiplied on tensor cores, to the same accuracy; their size should be between 1e-15 and 1e15. The split copy takes
    as much memory as the samples, and pooling them as much again. Results are the same bits from run to run.

    Examples
    --------
    >>> from ecgkern.stats import kernel_sums
    >>> sums = kernel_sums([[0.0], [1.0]], [[2.0]], bandwidth=[1.0, 2.0])
    >>> sums.xx.round(4).tolist()
    [3.2131, 3.765]
    >>> sums.xy.round(4).tolist()
    [0.7419, 1.489]
    """
    device = device_of(bandwidth, x=x, y=y)
    if device is not None:
        part, linear = _checked_shard(shard), _kernels.checked(kernel).name == "linear"
        on_device = check_on_device(device, {"x": x, "y": y}, kernel, bandwidth, None, backend, centred=not linear)
        sums = on_device.module.kernel_sums(on_device.samples, on_device.table, part)
        return KernelSums(sums[0], sums[1], sums[2], sums[3], sums[4])
    problem = check(x, y, kernel, bandwidth, None, backend)
    part = _checked_shard(shard)
    if problem.kernel.name == "linear":
        return _linear_sums(problem, part)
    pool = problem.pool()
    f = problem.functions
    sums = np.zeros((2, 2, f.scales.size))
    sums[:, :, f.order] = _pool.run(pool, f, problem.module, shard=part).sums
    trace_x, trace_y = (trace * (part[0] == 0) for trace in traces_of(problem))
    return KernelSums(sums[0, 0] + trace_x, sums[1, 1] + trace_y, sums[0, 1], trace_x, trace_y)


def _checked_shard(shard: Any) -> tuple[int, int]:
    try:
        k, m = shard
        if isinstance(k, bool):
            raise TypeError
        k, m = _validate.positive_integer(k + 1, "shard[0] + 1") - 1, _validate.positive_integer(m, "shard[1]")
    except (TypeError, ValueError):
        raise ValueError(f"shard must be two integers (k, m), the k-th of m parts from 0, got {shard!r}") from None
    if k >= m:
        raise ValueError(f"shard must be (k, m) with k from 0 to m - 1, got {shard!r}")
    return k, m


def _linear_sums(problem: Problem, shard: tuple[int, int]) -> KernelSums:
    """Sums of x · y are products of sums: no pairs needed."""
    x, y = (np.asarray(np.sum(s, axis=0, dtype=np.float64)) * (shard[0] == 0) for s in (problem.x, problem.y))
    traces = [
        np.full(1, np.einsum("ij,ij->", s, s, dtype=np.float64)) * (shard[0] == 0) for s in (problem.x, problem.y)
    ]
    return KernelSums(np.array([x @ x]), np.array([y @ y]), np.array([x @ y]), *traces)


def traces_of(problem: Problem) -> list[Floats]:
    """Sums of k(x_i, x_i) over each group, per bandwidth."""
    return [self_kernels(problem, group).sum(axis=1) for group in (problem.x, problem.y)]


def traces(problem: Problem) -> Floats:
    """Sums of the mixture at (x_i, x_i) over each group."""
    return np.array([trace @ problem.weights for trace in traces_of(problem)])


def self_kernels(problem: Problem, group: NDArray[Any]) -> Floats:
    """k(x_i, x_i), (n_bandwidths, n)."""
    if problem.kernel.measure != PRODUCT:
        return np.full((problem.bandwidths.size, len(group)), problem.kernel.at_zero())
    return np.array(problem.functions.values(np.einsum("ij,ij->i", group, group, dtype=np.float64)))


def mmd2(
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "gaussian",
    bandwidth: Any = "median",
    estimator: str = "unbiased",
    weights: Any = None,
    block_size: int | None = None,
    n_subdiagonals: int | None = None,
    precision: str = "highest",
    backend: str | None = None,
) -> Any:
    r"""Return the squared maximum mean discrepancy (MMD²) of two samples.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Samples of the first distribution, say real records; float32 and float64 are kept.
    y : array_like, shape (m, d)
        Samples of the second, say synthetic records.
    kernel : str or Kernel, default "gaussian"
        See :class:`Kernel`.
    bandwidth : "median", float or sequence of float
        :math:`\sigma` of the kernel. Several make a mixture, the (weighted) mean of the kernels, so that the result
        does not grow with their number. "median" is :func:`median_bandwidth` of x and y; to compare several samples
        with one reference pass ``median_bandwidth(reference)`` or use :class:`MMDReference`. For samples on a GPU an
        array there, too: it is not read back.
    estimator : str
        ==============  =============================================================================================
        ``unbiased``    :math:`\frac{S_{xx} - t_x}{n(n-1)} + \frac{S_{yy} - t_y}{m(m-1)} - \frac{2 S_{xy}}{nm}`;
                        may be negative
        ``biased``      :math:`S_{xx}/n^2 + S_{yy}/m^2 - 2 S_{xy}/nm`; never negative
        ``paired``      mean of :math:`h_{ij} = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)` over
                        :math:`i \ne j`; n = m
        ``linear``      mean of :math:`h_{12}, h_{34}, \ldots`; n = m; O(n d)
        ``block``       mean of ``unbiased`` over blocks of `block_size` samples, the rest left out; n = m
        ``incomplete``  mean of :math:`h_{i,i+r}` over :math:`r = 1 \ldots` `n_subdiagonals`; n = m
        ==============  =============================================================================================

        On a GPU "unbiased" or "biased".
    weights : array_like, shape (n_bandwidths,), optional
        Weights of a mixture; equal by default, and scaled to sum to 1.
    block_size : int, optional
        Samples per block; by default :math:`\lfloor\sqrt n\rfloor`, at least 2.
    n_subdiagonals : int, optional
        min(100, n - 1) by default.
    precision : {"highest", "high", "medium"}
        Least precision of matrix products. The CPU always computes with the highest. A GPU takes one product of
        float16 for one of float32 at "high" and "medium": as exact as TF32, to about 1e-4 of MMD², at a third of the
        work.
    backend : {"fortran", "numba", "numpy", "cuda"}, optional
        By default, for samples on a GPU "cuda", else the first of the others that is ready; see
        :func:`ecgkern.backends`.

    Returns
    -------
    scalar
        In the precision and library of the samples; on a GPU an array of no dimensions, which nothing has waited for.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range; the message names it.
    BackendUnavailableError
        If the backend asked for is not ready.

    Warns
    -----
    RuntimeWarning
        If there are too few samples for the estimator, whose result is then NaN. Of samples on the host: if the kernel
        is almost 0, or almost 1, for all pairs: the bandwidth does not fit the data; if the median distance is 0.

    See Also
    --------
    mmd_test : whether the difference is significant.

    Notes
    -----
    Accuracy and cost as in :func:`kernel_sums`: for float32 samples of 1000 features a relative error below 1e-6 where
    MMD² is 0.002. The biased estimate of a distribution with itself is not 0 but about 1/n + 1/m times (1 - mean k).
    The median of more than 2048 samples on a GPU is that of a histogram, to about 1e-6.

    References
    ----------
    Gretton et al., J. Mach. Learn. Res. 13 (2012) 723-773 (biased, unbiased, linear). Zaremba, Gretton & Blaschko,
    NeurIPS 2013 (block). Schrab et al., NeurIPS 2022 (incomplete).

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.stats import mmd2
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(200, 5)), rng.normal(0.5, size=(300, 5))
    >>> round(float(mmd2(x, y)), 4)
    0.0749
    >>> round(float(mmd2(x, y, kernel="energy", estimator="biased")), 4)  # squared energy distance
    0.4429
    """
    _validate.choice(estimator, "estimator", ESTIMATORS)
    _validate.choice(precision, "precision", _cuda.PRECISIONS)
    for name, value, of in (("block_size", block_size, "block"), ("n_subdiagonals", n_subdiagonals, "incomplete")):
        if value is not None and estimator != of:
            raise ValueError(f"{name} is for estimator={of!r}, got estimator={estimator!r}")
    device = device_of(bandwidth, x=x, y=y)
    if device is not None:
        return _mmd2_on_device(device, x, y, kernel, bandwidth, estimator, weights, precision, backend)
    problem = check(x, y, kernel, bandwidth, weights, backend)
    return problem.scalar(estimate(problem, estimator, block_size, n_subdiagonals))


def _mmd2_on_device(
    device: Device, x: Any, y: Any, kernel: Any, bandwidth: Any, estimator: str, weights: Any, precision: str,
    backend: str | None,
) -> Any:  # fmt: skip
    """MMD² as a 0-d array on the card."""
    if estimator not in ("unbiased", "biased"):
        raise ValueError(f'estimator must be "unbiased" or "biased" for samples on a GPU, got {estimator!r}')
    problem = check_on_device(device, {"x": x, "y": y}, kernel, bandwidth, weights, backend, precision=precision)
    if estimator == "unbiased" and min(problem.sizes) < 2:
        too_few(estimator, *problem.sizes)
    return problem.module.mmd2(problem.samples, problem.table, estimator)


def estimate(
    problem: Problem, estimator: str, block_size: int | None = None, n_subdiagonals: int | None = None
) -> float:
    """MMD² in float64."""
    n, m = len(problem.x), len(problem.y)
    if estimator not in ("unbiased", "biased"):
        same_number(problem, estimator)
    problem = centred(problem)
    if min(n, m) < (1 if estimator == "biased" else 2):
        too_few(estimator, n, m)
        return math.nan
    if estimator == "linear":
        return float(np.mean(core_terms(problem, np.arange(0, n - 1, 2), np.arange(1, n, 2))))
    if estimator == "incomplete":
        return float(np.mean(core_terms(problem, *_subdiagonals(n, n_subdiagonals))))
    if estimator == "block":
        return float(np.mean(of_blocks(problem, block_size)))
    sums, own = mixture_sums(problem)
    if estimator == "paired":
        crossed = at_pairs(problem, np.arange(n), n + np.arange(n)).sum()
        return float(sums[0, 0] + sums[1, 1] - 2.0 * (sums[0, 1] - crossed)) / (n * (n - 1))
    return float(combine(sums, own, n, m, estimator))


def centred(problem: Problem) -> Problem:
    """The problem with a linear kernel of moved samples, whose products do not cancel; any other unchanged."""
    if problem.kernel.name != "linear":
        return problem
    shift = _pool.centre((problem.x, problem.y))
    return replace(problem, x=problem.x - shift, y=problem.y - shift)


def mixture_sums(problem: Problem) -> tuple[Floats, Floats]:
    """Sums over pairs of different samples (2, 2) and traces (2,) of the mixture; warns where the kernel is blind."""
    n, m = len(problem.x), len(problem.y)
    if problem.kernel.name == "linear":
        s = _linear_sums(problem, (0, 1))
        sums = np.array([[s.xx - s.trace_x, s.xy], [s.xy, s.yy - s.trace_y]])[:, :, 0]
        return sums, np.array([s.trace_x[0], s.trace_y[0]])
    pool = problem.pool()
    per_bandwidth = _pool.run(pool, problem.functions, problem.module).sums
    warn_if_blind(problem.kernel, mean_kernel(per_bandwidth, n + m))
    return per_bandwidth @ problem.mixture(), traces(problem)


def combine(sums: Floats, own: Floats, n: Any, m: Any, estimator: str) -> Any:
    """MMD² from sums over pairs of different samples and over samples with their own; vectorised over trailing axes."""
    if estimator == "unbiased":
        return sums[0, 0] / (n * (n - 1)) + sums[1, 1] / (m * (m - 1)) - 2.0 * sums[0, 1] / (n * m)
    return (sums[0, 0] + own[0]) / n**2 + (sums[1, 1] + own[1]) / m**2 - 2.0 * sums[0, 1] / (n * m)


def mean_kernel(sums: Floats, n: int) -> Floats:
    """Mean of k over all pairs of n different samples, from the sums over xx, yy (both orders) and xy (one)."""
    return np.asarray((sums[0, 0] + sums[1, 1] + 2.0 * sums[0, 1]) / max(1, n * (n - 1)))


def warn_if_blind(kernel: Kernel, mean: Any) -> None:
    """Warn if k is almost 0, or almost 1, on average, at every bandwidth."""
    if not kernel.has_bandwidth:  # without one k is not between 0 and 1
        return
    if np.all(mean < _LEAST_MEAN):
        trouble, advice = "almost 0 (its mean is below 1e-6)", "larger"
    elif np.all(mean > _LARGEST_MEAN):
        trouble, advice = "almost 1 (its mean is above 1 - 1e-6)", "smaller"
    else:
        return
    warnings.warn(
        f"the {kernel.name} kernel is {trouble} between different samples, so that MMD does not see the data: use a "
        f'{advice} bandwidth, or bandwidth="median"',
        RuntimeWarning,
        stacklevel=_validate.outside("ecgkern.stats"),
    )


def too_few(estimator: str, n: int, m: int) -> None:
    warnings.warn(
        f"the {estimator} estimator needs at least two samples in x and in y, got {n} and {m}: the result is NaN",
        RuntimeWarning,
        stacklevel=_validate.outside("ecgkern.stats"),
    )


def same_number(problem: Problem, estimator: str) -> None:
    if len(problem.x) != len(problem.y):
        raise ValueError(
            f"the {estimator} estimator needs as many samples in y as in x, got {len(problem.x)} and {len(problem.y)}"
        )


def core_terms(problem: Problem, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """h_ij = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i) for pairs of indices."""
    n = len(problem.x)
    same = at_pairs(problem, i, j) + at_pairs(problem, n + i, n + j)
    across = at_pairs(problem, i, n + j) + at_pairs(problem, j, n + i)
    warn_if_blind(problem.kernel, np.mean(same + across) / 4.0)
    return np.asarray(same - across)


def _subdiagonals(n: int, wanted: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    most = n - 1
    count = min(100, most) if wanted is None else _validate.positive_integer(wanted, "n_subdiagonals")
    if count > most:
        raise ValueError(f"n_subdiagonals must be at most n - 1 = {most}, got {count}")
    i = np.concatenate([np.arange(n - r) for r in range(1, count + 1)])
    j = np.concatenate([np.arange(r, n) for r in range(1, count + 1)])
    return i, j


def of_blocks(problem: Problem, block_size: int | None) -> Floats:
    """MMD² (unbiased) of each block."""
    n = len(problem.x)
    size = max(2, math.isqrt(n)) if block_size is None else _validate.positive_integer(block_size, "block_size")
    if not 2 <= size <= n:
        raise ValueError(f"block_size must be from 2 to the number of samples, {n}, got {size}")
    mixture, f, measure = problem.mixture(), problem.functions, problem.kernel.measure

    def one(first: int) -> Floats:
        block = (problem.x[first : first + size], problem.y[first : first + size])
        return _pool.run(_pool.pool(block, measure, problem.module), f, problem.module).sums @ mixture

    sums = np.array([one(first) for first in range(0, n - size + 1, size)])
    warn_if_blind(problem.kernel, mean_kernel(sums.mean(axis=0), 2 * size))
    return np.asarray(combine(np.moveaxis(sums, 0, -1), np.zeros((2, 1)), size, size, "unbiased"))


def at_pairs(problem: Problem, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """The mixture at pairs of indices into the pooled samples, in float64 from the differences."""
    n, d = len(problem.x), problem.x.shape[1]
    step = max(1, (1 << 21) // d)  # values at a time: 16 MB

    def pick(index: NDArray[np.int64]) -> Floats:
        return np.where((index < n)[:, None], problem.x[np.minimum(index, n - 1)], problem.y[np.maximum(index - n, 0)])

    def measure(part: slice) -> Floats:
        a, b = (pick(index[part]).astype(np.float64) for index in (i, j))
        if problem.kernel.measure == PRODUCT:
            return np.asarray(np.einsum("ij,ij->i", a, b))
        a -= b
        return np.asarray(lengths(a, problem.kernel.measure))

    v = np.concatenate([measure(slice(k, k + step)) for k in range(0, i.size, step)]) if i.size else np.zeros(0)
    return np.asarray(np.tensordot(problem.mixture(), np.array(problem.functions.values(v)), 1))


def mmd(x: Any, y: Any, **options: Any) -> Any:
    r"""Return the maximum mean discrepancy, :math:`\sqrt{\max(0, \mathrm{MMD}^2)}`, by default of the biased estimator.

    Parameters
    ----------
    x, y : array_like, shapes (n, d) and (m, d)
        Samples.
    **options
        As for :func:`mmd2`; ``estimator`` is "biased" by default here, which is never negative.

    Returns
    -------
    scalar
        In the precision and library of the samples.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`mmd2`.

    Examples
    --------
    >>> from ecgkern.stats import mmd
    >>> round(float(mmd([[0.0], [1.0]], [[2.0], [3.0]], bandwidth=1.0)), 4)
    1.0781
    """
    squared = mmd2(x, y, **{"estimator": "biased", **options})
    device = _dispatch.device(x=x, y=y)
    if device is not None:
        return _dispatch.load("stats", None, device).root(device, squared)
    if isinstance(squared, np.generic):
        return np.sqrt(np.maximum(squared, squared.dtype.type(0)))
    return squared.clamp(min=0).sqrt()


def mmd_witness(
    points: Any,
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "gaussian",
    bandwidth: Any = "median",
    weights: Any = None,
    backend: str | None = None,
) -> Any:
    r"""Return the witness function of the MMD at some points.

    .. math:: f(t) = \frac1n \sum_i k(t, x_i) - \frac1m \sum_j k(t, y_j)

    It is positive where x has more mass than y and negative where y has more: among synthetic samples y those with the
    smallest values are the least realistic. Its mean over x less its mean over y is the biased MMD².

    Parameters
    ----------
    points : array_like, shape (p, d)
        Where to evaluate it.
    x, y : array_like, shapes (n, d) and (m, d)
        Samples.
    kernel, bandwidth, weights, backend
        As for :func:`mmd2`.

    Returns
    -------
    array, shape (p,)
        In the precision and library of the samples.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`mmd2`.

    Examples
    --------
    >>> from ecgkern.stats import mmd_witness
    >>> mmd_witness([[0.0], [4.0]], [[0.0], [1.0]], [[3.0], [4.0]], bandwidth=1.0).round(3).tolist()
    [0.798, -0.798]
    """
    library = _dispatch.array_library(points=points, x=x, y=y)
    device = device_of(bandwidth, points=points, x=x, y=y)
    if device is not None:
        given = {"points": points, "x": x, "y": y}
        on_device = check_on_device(device, given, kernel, bandwidth, weights, backend)
        return on_device.module.witness(on_device.samples, on_device.table)
    problem = check(x, y, kernel, bandwidth, weights, backend)
    t = _pool.samples(points, "points")
    _pool.same_features(t, problem.x, ("points", "x"))
    groups = _pool.pool((t, problem.x, problem.y), problem.kernel.measure, problem.module)
    totals = _pool.run(
        groups,
        problem.functions,
        problem.module,
        wanted=[[0, 1, 1], [0, 0, 0], [0, 0, 0]],
        mixes=problem.mixture()[None],
        rows=True,
    )
    warn_if_blind(problem.kernel, totals.sums[0, 1:].sum(axis=0) / (len(t) * (len(problem.x) + len(problem.y))))
    means = totals.rows[0, :, groups.group(0)] / np.array(groups.sizes)[:, None]
    return _dispatch.from_numpy(np.ascontiguousarray(means[1] - means[2], np.result_type(t, problem.dtype)), library)


def mmd2_grad(
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "gaussian",
    bandwidth: Any = "median",
    estimator: str = "unbiased",
    weights: Any = None,
    precision: str = "highest",
    backend: str | None = None,
) -> tuple[Any, Any, Any]:
    r"""Return MMD² and its gradients with respect to both samples, in one pass and O((n + m) d) memory.

    With :math:`g'` the derivative of the kernel by :math:`d^2`, :math:`A` the weight of the pairs within x (1/n² or
    1/n(n-1)) and :math:`C = 1/nm`,

    .. math:: \frac{\partial\, \mathrm{MMD}^2}{\partial x_i} =
              4A \sum_j g'(x_i, x_j)(x_i - x_j) - 4C \sum_j g'(x_i, y_j)(x_i - y_j) .

    Parameters
    ----------
    x, y : array_like, shapes (n, d) and (m, d)
        Samples.
    kernel, bandwidth, weights, precision, backend
        As for :func:`mmd2`. The bandwidth counts as a constant, "median" too.
    estimator : {"unbiased", "biased"}
        They differ only in the weights, A.

    Returns
    -------
    value : scalar
        MMD².
    grad_x : array, shape (n, d)
        In the precision and library of the samples.
    grad_y : array, shape (m, d)

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`mmd2`; also if there are fewer than two samples for the unbiased estimator.

    Notes
    -----
    Where two samples coincide the kernels ``laplacian``, ``laplacian_l1``, ``matern`` with nu = 0.5 and ``energy``
    have a cusp; the pair contributes 0 there, so that gradients are always finite. The gradients of kernels of
    distances sum to 0 over all samples. Error: 1e-5 of the largest gradient in float32, 1e-11 in float64; backends
    agree to the same. On a GPU as :func:`kernel_sums`: no waiting and no looking at values; for float32 samples of more
    than 16 features the extra memory is four times the samples and 35 MB.

    Examples
    --------
    >>> from ecgkern.stats import mmd2_grad
    >>> value, grad_x, grad_y = mmd2_grad([[0.0], [1.0]], [[2.0], [3.0]], bandwidth=1.0)
    >>> grad_x.round(4).ravel().tolist(), grad_y.round(4).ravel().tolist()
    ([0.4545, -1.0451], [1.0451, -0.4545])
    """
    _validate.choice(estimator, "estimator", ("unbiased", "biased"))
    _validate.choice(precision, "precision", _cuda.PRECISIONS)
    device = device_of(bandwidth, x=x, y=y)
    if device is not None:
        given_there = {"x": x, "y": y}
        on_device = check_on_device(device, given_there, kernel, bandwidth, weights, backend, precision=precision)
        factors, less = _factors(*on_device.sizes, estimator)
        found: tuple[Any, Any, Any] = on_device.module.mmd2_grad(
            on_device.samples, on_device.table, estimator, (factors[0, 0], factors[1, 1], factors[0, 1]), not less
        )
        return found
    given = check(x, y, kernel, bandwidth, weights, backend)
    problem = centred(given)
    n, m = problem.sizes
    factors, less = _factors(n, m, estimator)
    pool = problem.pool()
    sums, out = _pool.gradient(pool, problem.functions, problem.module, problem.mixture(), factors, not less)
    warn_if_blind(problem.kernel, mean_kernel(sums, n + m))
    out = out.astype(given.dtype, copy=False)
    value = combine(sums, traces(problem), n, m, estimator)
    return (
        given.scalar(value),
        _dispatch.from_numpy(out[pool.group(0)], problem.library),
        _dispatch.from_numpy(out[pool.group(1)], problem.library),
    )


def _factors(n: int, m: int, estimator: str) -> tuple[Floats, int]:
    """Weights of the pairs of each pair of groups, in both orders, and 1 if those of a sample with itself are out."""
    if estimator == "unbiased" and min(n, m) < 2:
        raise ValueError(f"the unbiased estimator needs at least two samples in x and in y, got {n} and {m}")
    less = 1 if estimator == "unbiased" else 0
    return np.array([[1 / (n * (n - less)), -1 / (n * m)], [-1 / (n * m), 1 / (m * (m - less))]]), less


def kid(
    x: Any,
    y: Any,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    subsets: int | None = 100,
    subset_size: int = 1000,
    rng: Any = None,
    backend: str | None = None,
) -> "KIDResult":
    r"""Return the kernel inception distance: the unbiased MMD² with a polynomial kernel, over random subsets.

    .. math:: k(x, y) = (\gamma\, x \cdot y + c_0)^p

    Parameters
    ----------
    x, y : array_like, shapes (n, d) and (m, d)
        Features of real and synthetic samples.
    degree, gamma, coef0
        p (3), :math:`\gamma` (1 / d) and :math:`c_0` (1) of the kernel.
    subsets : int or None, default 100
        Number of random subsets; None takes all samples once.
    subset_size : int, default 1000
        Samples of x and of y in a subset, drawn without replacement.
    rng : numpy.random.Generator, int or None
        Random numbers.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Returns
    -------
    KIDResult
        ``mean`` and ``std`` over the subsets.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`mmd2`; also if there are fewer than `subset_size` samples.

    References
    ----------
    Bińkowski, Sutherland, Arbel & Gretton, ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.stats import kid
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(300, 8)), rng.normal(0.5, size=(300, 8))
    >>> round(float(kid(x, y, subset_size=100, subsets=20, rng=1).mean), 2)
    1.35
    """
    kernel = Kernel("polynomial", degree=degree, gamma=gamma, coef0=coef0)
    problem = check(x, y, kernel, "median", None, backend)
    if subsets is None:
        whole = estimate(problem, "unbiased")
        return KIDResult(problem.scalar(whole), problem.scalar(0.0 * whole))
    subsets = _validate.positive_integer(subsets, "subsets")
    size = _validate.positive_integer(subset_size, "subset_size")
    if not 2 <= size <= min(len(problem.x), len(problem.y)):
        raise ValueError(
            f"subset_size must be from 2 to the number of samples, {len(problem.x)} and {len(problem.y)}, got {size}; "
            "subsets=None takes all of them"
        )
    generator = _validate.generator(rng)

    def one() -> float:
        x, y = (s[generator.choice(len(s), size, replace=False)] for s in (problem.x, problem.y))
        return estimate(replace(problem, x=x, y=y), "unbiased")

    values = [one() for _ in range(subsets)]
    return KIDResult(problem.scalar(float(np.mean(values))), problem.scalar(float(np.std(values))))


class KIDResult(NamedTuple):
    """Result of :func:`kid`."""

    mean: Any
    std: Any
