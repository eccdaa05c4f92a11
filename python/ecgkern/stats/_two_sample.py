"""Two-sample tests on the MMD: permutations, wild bootstrap, and the aggregated test.

Kernels are computed once. With K the kernel matrix without its diagonal, r = K 1, S = 1ᵀ r and z the 0/1 indicator of
the samples that a permutation puts first, the sums of the permuted groups are

    S_xx = zᵀ K z,   S_xy = zᵀ r - zᵀ K z,   S_yy = S - 2 zᵀ r + zᵀ K z,

so that all permutations together are one product with K, taken tile by tile: K itself is never stored.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern.stats import _kernels, _mmd, _pool
from ecgkern.stats._kernels import Kernel
from ecgkern.stats._mmd import Problem, ProblemOnDevice

Floats = NDArray[np.float64]
Signs = NDArray[np.int8]

# Statistics that differ by no more than this times the sum of |k| behind them count as equal.
_TIE = 1e-12
# Signs held at a time: 256 MB.
_MOST_SIGNS = 1 << 28


@dataclass(frozen=True, eq=False)
class MMDTestResult:
    """Result of :func:`mmd_test`; unpacks into statistic and p-value.

    Attributes
    ----------
    statistic : float
        MMD² of the samples as they are.
    pvalue : float
        How likely a statistic at least as large is if both samples come from one distribution.
    null_distribution : ndarray
        The statistics of the permutations (or of the bootstrap, or empty).
    bandwidth : ndarray
        Bandwidths of the kernel.
    n_resamples : int
        Length of `null_distribution`.
    method : str
        "permutation", "exact" (all permutations), "wild_bootstrap" or "asymptotic".
    """

    statistic: float
    pvalue: float
    null_distribution: Floats
    bandwidth: Floats
    n_resamples: int
    method: str

    def __iter__(self) -> Iterator[float]:
        return iter((self.statistic, self.pvalue))


@dataclass(frozen=True, eq=False)
class MMDAggResult:
    """Result of :func:`mmdagg`.

    Attributes
    ----------
    reject : bool
        Whether the samples differ at level alpha.
    alpha : float
        The level.
    kernels : list of str
        Kernel of each of the single tests.
    bandwidth, statistic, pvalue, threshold, weight : ndarray
        Of each single test: its bandwidth, MMD², p-value, the p-value at or below which it rejects, and its weight.
    """

    reject: bool
    alpha: float
    kernels: list[str]
    bandwidth: Floats
    statistic: Floats
    pvalue: Floats
    threshold: Floats
    weight: Floats

    def __bool__(self) -> bool:
        return self.reject


def mmd_test(
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "gaussian",
    bandwidth: Any = "median",
    estimator: str | None = None,
    weights: Any = None,
    method: str = "permutation",
    n_resamples: int = 999,
    groups_x: Any = None,
    groups_y: Any = None,
    permutations: Any = None,
    rng: Any = None,
    backend: str | None = None,
) -> MMDTestResult:
    r"""Test whether two samples come from one distribution, by their MMD².

    Parameters
    ----------
    x, y : array_like, shapes (n, d) and (m, d)
        Samples.
    kernel, bandwidth, weights, backend
        As for :func:`mmd2`. "median" is the median of the pooled samples, which no permutation changes, so that the
        level stays exact; a bandwidth chosen on one of the samples does not have that property.
    estimator : {"unbiased", "biased", "paired", "linear", "block"}, optional
        By default "unbiased", or what the method needs.
    method : {"permutation", "wild_bootstrap", "asymptotic"}
        Of samples on a GPU "permutation".

        ``permutation``
            Samples are dealt anew to the two groups; valid for any n and m. All divisions are taken if there are no
            more than `n_resamples` of them.
        ``wild_bootstrap``
            n = m, the "paired" estimator with random signs; four times cheaper per resample.
        ``asymptotic``
            Normal approximation for the "linear" and "block" estimators.
    n_resamples : int, default 999
        Permutations or sign vectors.
    groups_x, groups_y : array_like, shapes (n,) and (m,), optional
        Labels, such as patients, of samples that belong together. Several beats of one patient are not exchangeable
        one by one, so whole patients are permuted.
    permutations : array_like, shape (n_resamples, n + m), optional
        Permutations to use instead of random ones: indices into the pooled samples, of which the first n go to the
        first group, or booleans that are true for those. They should form a group, or be drawn at random.
    rng : numpy.random.Generator, int or None
        Random numbers.

    Returns
    -------
    MMDTestResult
        ``statistic``, ``pvalue``, ``null_distribution``, ``bandwidth``, ``n_resamples``, ``method``; unpacks into the
        first two.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range; the message names it.
    BackendUnavailableError
        If the backend asked for is not ready.

    Warns
    -----
    RuntimeWarning
        If a label is in both `groups_x` and `groups_y`: that patient's samples are not independent of the division,
        and the p-value is not to be trusted. As :func:`mmd2` for the kernel and for too few samples, where the p-value
        is NaN.

    Notes
    -----
    Of resamples the p-value is :math:`(1 + \#\{\text{resampled} \ge \text{observed}\}) / (1 + B)`, never 0, and under
    the null hypothesis at most :math:`\alpha` with probability at most :math:`\alpha`, for every n and m. Where the
    permutations contain the division as it is (all of them, or a group) it is the plain share. Values that differ by
    rounding count as equal. The cost is that of :func:`mmd2` and :math:`(n + m)^2 B` multiply-adds; K is not stored.
    Permutations are drawn on the host, so every backend gives the same p-value for the same `rng`.

    On a GPU, too, the result is of numbers on the host: the call waits for it. Sums of permutations are exact there, of
    kernels rounded to 31 bits, so that equal divisions tie; the memory is that of :func:`kernel_sums`, a byte for each
    sample and permutation (256 MB at most at a time), and 34 kB a permutation.

    References
    ----------
    Gretton et al., J. Mach. Learn. Res. 13 (2012) 723-773. Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39
    (the p-value). Chwialkowski et al., NeurIPS 2014 (wild bootstrap).

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.stats import mmd_test
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(40, 3)), rng.normal(1.0, size=(50, 3))
    >>> statistic, pvalue = mmd_test(x, y, rng=1)
    >>> pvalue
    0.001
    """
    device = _mmd.device_of(bandwidth, x=x, y=y)
    return run_test(
        _mmd.check(x, y, kernel, bandwidth, weights, backend)
        if device is None
        else _mmd.check_on_device(device, {"x": x, "y": y}, kernel, bandwidth, weights, backend),
        estimator=estimator,
        method=method,
        n_resamples=n_resamples,
        groups_x=groups_x,
        groups_y=groups_y,
        permutations=permutations,
        rng=rng,
    )


def run_test(
    problem: Problem | ProblemOnDevice,
    *,
    estimator: str | None = None,
    method: str = "permutation",
    n_resamples: int = 999,
    groups_x: Any = None,
    groups_y: Any = None,
    permutations: Any = None,
    rng: Any = None,
) -> MMDTestResult:
    """`mmd_test` of checked samples."""
    _validate.choice(method, "method", tuple(ESTIMATORS_OF_METHOD))
    estimator = ESTIMATORS_OF_METHOD[method][0] if estimator is None else estimator
    if estimator not in ESTIMATORS_OF_METHOD[method]:
        possible = " or ".join(ESTIMATORS_OF_METHOD[method])
        raise ValueError(f"estimator must be {possible} for method={method!r}, got {estimator!r}")
    n_resamples = _validate.positive_integer(n_resamples, "n_resamples")
    generator = _validate.generator(rng)
    if method != "permutation" and not (groups_x is None and groups_y is None and permutations is None):
        raise ValueError('groups_x, groups_y and permutations need method="permutation"')
    n, m = problem.sizes
    if isinstance(problem, Problem):
        problem = _mmd.centred(problem)
        if method != "permutation":
            _mmd.same_number(problem, estimator)
    elif method != "permutation":
        raise ValueError(f'method must be "permutation" for samples on a GPU, got {method!r}')
    if min(n, m) < (1 if estimator == "biased" else 2):
        _mmd.too_few(estimator, n, m)
        return MMDTestResult(math.nan, math.nan, np.zeros(0), _bandwidths(problem), 0, method)
    if isinstance(problem, Problem) and method == "asymptotic":
        return _asymptotic(problem, estimator)
    if isinstance(problem, Problem) and method == "wild_bootstrap":
        signs = _random_signs(generator, n_resamples, n)
        statistics = _wild_statistics(problem, signs)
        return _result(problem, statistics, math.inf, method)
    firsts, kind = _divisions(n, m, groups_x, groups_y, permutations, n_resamples, generator)
    if isinstance(problem, Problem):
        statistics, scale = _permuted_statistics(problem, estimator, firsts)
    else:
        statistics, scale = _permuted_on_device(problem, estimator, firsts)
    complete = kind == "exact" or (permutations is not None and bool((firsts[1:] == firsts[0]).all(axis=1).any()))
    return _result(problem, statistics, scale, kind, complete)


ESTIMATORS_OF_METHOD = {
    "permutation": ("unbiased", "biased"),
    "wild_bootstrap": ("paired",),
    "asymptotic": ("linear", "block"),
}


def _bandwidths(problem: Problem | ProblemOnDevice) -> Floats:
    """The bandwidths on the host; those that a GPU has found are waited for."""
    if isinstance(problem, Problem) or isinstance(problem.bandwidths, np.ndarray):
        return np.asarray(problem.bandwidths)
    return np.asarray(problem.samples.device.download(problem.bandwidths))


def _result(
    problem: Problem | ProblemOnDevice, statistics: Floats, scale: float, method: str, complete: bool = False
) -> MMDTestResult:
    """The result from statistics, the observed one first; `complete` if it is among the others as well."""
    observed, null = float(statistics[0]), statistics[1:]
    ties = _TIE * (scale if math.isfinite(scale) else abs(observed))
    count = int(np.count_nonzero(null >= observed - ties))
    pvalue = count / null.size if complete else (1 + count) / (1 + null.size)
    return MMDTestResult(observed, pvalue, null, _bandwidths(problem), null.size, method)


def _divisions(
    n: int, m: int, groups_x: Any, groups_y: Any, permutations: Any, n_resamples: int, rng: np.random.Generator
) -> tuple[Signs, str]:
    """Which samples go first: row 0 as they are, a row per permutation; and the method."""
    observed = np.repeat(np.array([1, 0], np.int8), (n, m))
    if permutations is not None:
        if groups_x is not None or groups_y is not None:
            raise ValueError("permutations and groups_x, groups_y exclude each other: permute whole groups yourself")
        return np.concatenate([observed[None], _given(permutations, n, m)]), "permutation"
    units, of_unit = _units(n, m, groups_x, groups_y)
    first = int(of_unit.sum())
    if math.comb(of_unit.size, first) <= n_resamples:
        chosen = np.zeros((math.comb(of_unit.size, first), of_unit.size), np.int8)
        for row, members in zip(chosen, combinations(range(of_unit.size), first), strict=True):
            row[list(members)] = 1
        method = "exact"
    else:
        chosen = np.tile(of_unit, (n_resamples, 1))
        rng.permuted(chosen, axis=1, out=chosen)
        method = "permutation"
    return np.concatenate([observed[None], chosen[:, units]]), method


def _units(n: int, m: int, groups_x: Any, groups_y: Any) -> tuple[NDArray[np.int64], Signs]:
    """The exchangeable unit of each pooled sample, and for each unit whether it is of x."""
    if groups_x is None and groups_y is None:
        return np.arange(n + m), np.repeat(np.array([1, 0], np.int8), (n, m))
    if groups_x is None or groups_y is None:
        raise ValueError("groups_x and groups_y must be given together")
    labels = [_labels(groups_x, n, "groups_x"), _labels(groups_y, m, "groups_y")]
    (names_x, units_x), (names_y, units_y) = (np.unique(part, return_inverse=True) for part in labels)
    shared = np.intersect1d(names_x, names_y)
    if shared.size:
        some = ", ".join(str(name) for name in shared[:5]) + (", ..." if shared.size > 5 else "")
        warnings.warn(
            f"{shared.size} label{'s are' if shared.size > 1 else ' is'} in both groups_x and groups_y ({some}): "
            "samples of one patient on both sides are not independent, and the p-value is not to be trusted; keep each "
            "patient on one side",
            RuntimeWarning,
            stacklevel=_validate.outside("ecgkern.stats"),
        )
    if min(names_x.size, names_y.size) < 2:
        raise ValueError(
            f"groups_x and groups_y must hold at least two different labels each, got {names_x.size} and {names_y.size}"
        )
    of_unit = np.repeat(np.array([1, 0], np.int8), (names_x.size, names_y.size))
    return np.concatenate([units_x, names_x.size + units_y]), of_unit


def _labels(value: Any, n: int, name: str) -> NDArray[Any]:
    labels = np.asarray(_dispatch.to_numpy(value, name))
    if labels.shape != (n,):
        raise ValueError(f"{name} must have one label per sample, shape ({n},), got shape {labels.shape}")
    for i, label in enumerate(labels.tolist()):
        if label is None or label != label:
            raise ValueError(f"{name} must not hold missing labels, got {label} at [{i}]")
    return labels.astype(str) if labels.dtype == object else labels


def _given(permutations: Any, n: int, m: int) -> Signs:
    """Permutations of the caller as indicators of the first group."""
    given = np.asarray(_dispatch.to_numpy(permutations, "permutations"))
    if given.ndim != 2 or given.shape[1] != n + m or not len(given):
        raise ValueError(f"permutations must have shape (n_resamples, {n + m}), got {given.shape}")
    if given.dtype == bool:
        wrong = given.sum(axis=1) != n
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"permutations must be true {n} times a row, got {int(given[row].sum())} in row {row}")
        return given.astype(np.int8)
    if given.dtype.kind not in "iu":
        raise TypeError(f"permutations must hold integers or booleans, got dtype {given.dtype}")
    wrong = (np.sort(given, axis=1) != np.arange(n + m)).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"permutations must hold each of 0 to {n + m - 1} once a row, row {int(np.argmax(wrong))} does not"
        )
    firsts = np.zeros(given.shape, np.int8)
    np.put_along_axis(firsts, given[:, :n].astype(np.int64), 1, axis=1)
    return firsts


def _permuted_statistics(problem: Problem, estimator: str, firsts: Signs) -> tuple[Floats, float]:
    """MMD² for each row of indicators, and the scale of its rounding."""
    q, rows, total, per_bandwidth = _forms(problem, firsts, problem.mixture()[None])
    _mmd.warn_if_blind(problem.kernel, _mmd.mean_kernel(per_bandwidth, firsts.shape[1]))
    return _statistics(problem, estimator, firsts, q[0], rows[0], total[0], problem.weights)


def _permuted_on_device(problem: ProblemOnDevice, estimator: str, firsts: Signs) -> tuple[Floats, float]:
    q, a, total, of_sizes = problem.module.forms(problem.samples, problem.table, firsts)
    if not math.isfinite(of_sizes):
        raise ValueError("x and y must be finite, and the kernel of them: it is not, summed over all pairs")
    own = problem.module.self_kernels(problem.samples, problem.table) if estimator == "biased" else None
    return _combined(estimator, firsts, q, a, total, own), 2.0 * float(of_sizes) / _least(firsts) ** 2


def _statistics(
    problem: Problem, estimator: str, firsts: Signs, q: Floats, rows: Floats, total: float, weights: Floats
) -> tuple[Floats, float]:
    own = None
    if estimator == "biased":
        own = weights @ np.concatenate([_mmd.self_kernels(problem, g) for g in (problem.x, problem.y)], axis=1)
    # All statistics of one division of equal samples are a sum of the same numbers in different orders.
    scale = (np.abs(rows).sum() + abs(total)) / _least(firsts) ** 2
    return _combined(estimator, firsts, q, _product(firsts, rows), total, own), float(scale)


def _least(firsts: Signs) -> int:
    """The fewest samples of a group in any division; where whole patients are dealt, numbers vary."""
    n = firsts.sum(axis=1, dtype=np.int64)
    return int(min(n.min(), (firsts.shape[1] - n).min()))


def _combined(estimator: str, firsts: Signs, q: Floats, a: Floats, total: float, own: Floats | None) -> Floats:
    """MMD² of each division from zᵀ K z, zᵀ r and S, and for the biased estimator k of each sample with itself."""
    n, m = firsts.sum(axis=1, dtype=np.int64), (1 - firsts).sum(axis=1, dtype=np.int64)
    sums = np.array([[q, a - q], [a - q, total - 2.0 * a + q]])
    traces = np.zeros((2, 1))
    if own is not None:
        first = _product(firsts, own)
        traces = np.array([first, own.sum() - first])
    return np.asarray(_mmd.combine(sums, traces, n, m, estimator))


def _product(signs: Signs, values: Floats) -> Floats:
    """signs @ values, some rows at a time; without BLAS, whose bits depend on its number of threads."""
    step = max(1, (1 << 22) // values.size)
    parts = (signs[k : k + step].astype(np.float64) for k in range(0, len(signs), step))
    return np.concatenate([np.einsum("ij,j->i", part, values) for part in parts])


def _forms(problem: Problem, signs: Signs, mixes: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """For each mixture: quadratic forms of the signs, row sums and total of K; and the sums per bandwidth."""
    pool = problem.pool()
    where = np.concatenate([np.r_[pool.group(0)], np.r_[pool.group(1)]])
    n_rows = pool.norms.size
    step = max(1, _MOST_SIGNS // n_rows)
    q = np.empty((len(mixes), len(signs)))
    for first in range(0, len(signs), step):
        part = signs[first : first + step]
        spread = np.zeros((len(part), n_rows), np.int8)
        spread[:, where] = part
        totals = _pool.run(pool, problem.functions, problem.module, mixes=mixes, rows=first == 0, signs=spread)
        q[:, first : first + step] = totals.forms
        if first == 0:
            rows = totals.rows.sum(axis=1)[:, where]
            per_bandwidth = totals.sums
    return q, rows, rows.sum(axis=1), per_bandwidth


def _random_signs(rng: np.random.Generator, count: int, n: int) -> Signs:
    """Random +1 and -1, (count + 1, n), a first row of +1."""
    signs = rng.integers(0, 2, size=(count + 1, n), dtype=np.int8)
    signs *= 2
    signs -= 1
    signs[0] = 1
    return signs


def _wild_statistics(problem: Problem, signs: Signs) -> Floats:
    """The paired statistic with each row of signs: sum over i != j of s_i s_j h_ij / n(n - 1)."""
    mixes = problem.mixture()[None]
    q, _, _, per_bandwidth = _forms(problem, np.concatenate([signs, -signs], axis=1), mixes)
    n = len(problem.x)
    _mmd.warn_if_blind(problem.kernel, _mmd.mean_kernel(per_bandwidth, 2 * n))
    crossed = _mmd.at_pairs(problem, np.arange(n), n + np.arange(n)).sum()
    return np.asarray((q[0] + 2.0 * crossed) / (n * (n - 1)))


def _asymptotic(problem: Problem, estimator: str) -> MMDTestResult:
    n = len(problem.x)
    h = (
        _mmd.core_terms(problem, np.arange(0, n - 1, 2), np.arange(1, n, 2))
        if estimator == "linear"
        else _mmd.of_blocks(problem, None)
    )
    if h.size < 2:
        raise ValueError(f'method="asymptotic" needs at least two terms, got {h.size} from {n} samples')
    mean, error = float(h.mean()), float(h.std(ddof=1)) / math.sqrt(h.size)
    z = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    return MMDTestResult(mean, 0.5 * math.erfc(z / math.sqrt(2.0)), np.zeros(0), problem.bandwidths, 0, "asymptotic")


def mmdagg(
    x: Any,
    y: Any,
    *,
    alpha: float = 0.05,
    kernels: tuple[str, ...] = ("laplacian_l1", "gaussian"),
    n_bandwidths: int = 10,
    weights: str = "uniform",
    n_resamples: tuple[int, int] = (2000, 2000),
    n_bisect: int = 50,
    method: str | None = None,
    rng: Any = None,
    backend: str | None = None,
) -> MMDAggResult:
    r"""Test whether two samples come from one distribution, at many bandwidths and kernels at once (MMDAgg).

    No bandwidth has to be chosen and no data has to be set aside: single tests at all of them are combined, with a
    correction found by simulation that keeps the level at alpha for every sample size.

    Parameters
    ----------
    x, y : array_like, shapes (n, d) and (m, d)
        Samples.
    alpha : float, default 0.05
        Level.
    kernels : sequence of str
        Names of kernels with a bandwidth.
    n_bandwidths : int, default 10
        Bandwidths per kernel, geometric from half the least to twice the largest distance between x and y (of the
        first 500 of each).
    weights : {"uniform", "centred", "increasing", "decreasing"}
        Weights of the bandwidths: equal, or falling by 1/rank from the middle one, the largest or the smallest.
    n_resamples : (int, int), default (2000, 2000)
        Resamples for the quantiles and for the correction of the level. The first has to be many times the number of
        single tests over alpha, or no p-value can be small enough.
    n_bisect : int, default 50
        Bisection steps for the correction.
    method : {"wild_bootstrap", "permutation"}, optional
        By default "wild_bootstrap" where n = m.
    rng : numpy.random.Generator, int or None
        Random numbers.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Returns
    -------
    MMDAggResult
        ``reject``, and for each single test its kernel, bandwidth, statistic, p-value, threshold and weight.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range; the message names it.
    BackendUnavailableError
        If the backend asked for is not ready.

    Notes
    -----
    Single test :math:`\lambda` rejects where its p-value is at most :math:`u\, w_\lambda`; u is the largest number for
    which the second half of the resamples rejects with frequency at most alpha. Bandwidths are those of
    :class:`Kernel`: MMDAgg writes the Gaussian :math:`\exp(-d^2/b^2)`, with :math:`b = \sqrt2\,\sigma`.

    References
    ----------
    Schrab, Kim, Albert, Laurent, Guedj & Gretton, J. Mach. Learn. Res. 24 (2023) 194.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.stats import mmdagg
    >>> rng = np.random.default_rng(0)
    >>> mmdagg(rng.normal(size=(50, 2)), rng.normal(0.8, size=(50, 2)), rng=1).reject
    True
    """
    level = _validate.positive(alpha, "alpha")
    if level >= 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    if isinstance(kernels, str) or not (kernels := tuple(kernels)):
        raise ValueError(f"kernels must be a sequence of names, got {kernels!r}")
    n_bandwidths = _validate.positive_integer(n_bandwidths, "n_bandwidths")
    n_bisect = _validate.positive_integer(n_bisect, "n_bisect")
    try:
        first, second = (_validate.positive_integer(v, "n_resamples") for v in n_resamples)
    except (TypeError, ValueError):
        raise ValueError(f"n_resamples must be two integers above 0, got {n_resamples!r}") from None
    shares = _validate.choice(weights, "weights", tuple(_SHARES))
    problems = [_mmd.check(x, y, _with_bandwidth(name), 1.0, None, backend) for name in kernels]
    n, m = len(problems[0].x), len(problems[0].y)
    if min(n, m) < 2:
        raise ValueError(f"x and y must hold at least two samples each, got {n} and {m}")
    method = ("wild_bootstrap" if n == m else "permutation") if method is None else method
    _validate.choice(method, "method", ("wild_bootstrap", "permutation"))
    if method == "wild_bootstrap":
        _mmd.same_number(problems[0], "paired")
    generator = _validate.generator(rng)
    draw = _random_signs(generator, first + second, n) if method == "wild_bootstrap" else None
    if draw is None:
        draw = np.tile(np.repeat(np.array([1, 0], np.int8), (n, m)), (first + second + 1, 1))
        generator.permuted(draw[1:], axis=1, out=draw[1:])
    collection = [_collection(problem, n_bandwidths) for problem in problems]
    statistics = np.concatenate([_aggregated_statistics(problem, method, draw) for problem in collection])
    weight = np.tile(_SHARES[shares](n_bandwidths) / len(kernels), len(kernels))
    correction = _correction(statistics, weight, level, first, n_bisect)
    observed = statistics[:, :1]
    null = statistics[:, : first + 1]
    tie = _TIE * np.abs(null).max(axis=1, keepdims=True)
    pvalue = np.mean(null >= observed - tie, axis=1)
    threshold = correction * weight
    return MMDAggResult(
        bool((pvalue <= threshold).any()),
        level,
        [problem.kernel.name for problem in collection for _ in range(n_bandwidths)],
        np.concatenate([problem.bandwidths for problem in collection]),
        observed[:, 0],
        pvalue,
        threshold,
        weight,
    )


_SHARES: dict[str, Callable[[int], Floats]] = {
    "uniform": lambda n: np.full(n, 1.0 / n),
    "increasing": lambda n: _falling(np.arange(n)[::-1]),
    "decreasing": lambda n: _falling(np.arange(n)),
    "centred": lambda n: _falling(np.abs(2 * np.arange(n) - (n - 1)) // 2),
}


def _falling(rank: NDArray[np.int64]) -> Floats:
    share = 1.0 / (rank + 1.0)
    return np.asarray(share / share.sum())


def _with_bandwidth(name: Any) -> Kernel:
    kernel = _kernels.checked(name)
    if not kernel.has_bandwidth:
        raise ValueError(f"kernels must have a bandwidth, {kernel.name} has none")
    return kernel


def _collection(problem: Problem, n_bandwidths: int) -> Problem:
    """The problem at the bandwidths of the collection."""
    few = _pool.pool((problem.x[:500], problem.y[:500]), problem.kernel.measure, problem.module)
    v = np.empty((few.sizes[0], few.sizes[1]))
    problem.module.measures(few, few.group(0), few.group(1), problem.kernel.measure, v)
    d = np.sort(np.sqrt(v, out=v).ravel() if problem.kernel.measure == _kernels.SQUARED else v.ravel())
    if not d[-1] > 0:
        low = high = 1.0
    else:
        low, high = d[0], d[-1]
        if low < 0.01 * high:  # near duplicates say nothing of the scale of the data
            low = max(d[d.size // 20], 0.01 * high)
    # MMDAgg's Gaussian is exp(-d^2 / b^2).
    unit = 1.0 / math.sqrt(2.0) if problem.kernel.name == "gaussian" else 1.0
    bandwidths = unit * np.geomspace(low / 2.0, 2.0 * high, n_bandwidths)
    return replace(problem, bandwidths=bandwidths, weights=np.full(n_bandwidths, 1.0 / n_bandwidths))


def _aggregated_statistics(problem: Problem, method: str, draw: Signs) -> Floats:
    """The statistic at each bandwidth (rows) for each resample (columns), the observed one first."""
    f = problem.functions
    n_bandwidths = f.scales.size
    signs = np.concatenate([draw, -draw], axis=1) if method == "wild_bootstrap" else draw
    q, rows, total, _ = _forms(problem, signs, np.eye(n_bandwidths)[np.argsort(f.order)])
    if method == "permutation":
        each = zip(q, rows, total, np.eye(n_bandwidths), strict=True)
        return np.array([_statistics(problem, "unbiased", draw, *parts)[0] for parts in each])
    n = len(problem.x)
    i = np.arange(n)
    crossed = [
        _mmd.at_pairs(replace(problem, bandwidths=problem.bandwidths[b : b + 1], weights=np.ones(1)), i, n + i).sum()
        for b in range(n_bandwidths)
    ]
    return np.asarray((q + 2.0 * np.array(crossed)[:, None]) / (n * (n - 1)))


def _correction(statistics: Floats, weight: Floats, alpha: float, first: int, n_bisect: int) -> float:
    """The largest u for which the second resamples reject with frequency at most alpha."""
    quantiles = np.sort(statistics[:, : first + 1], axis=1)
    second = statistics[:, first + 1 :]

    def level(u: float) -> float:
        index = np.ceil((first + 1) * (1.0 - u * weight)).astype(np.int64) - 1
        critical = np.take_along_axis(quantiles, np.maximum(index, 0)[:, None], axis=1)
        return float(np.mean((second > critical).any(axis=0)))

    low, high = 0.0, float(np.min(1.0 / weight))
    for _ in range(n_bisect):
        u = (low + high) / 2.0
        low, high = (u, high) if level(u) <= alpha else (low, u)
    return low
