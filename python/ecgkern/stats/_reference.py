"""One fixed reference sample, such as the real records, against which many synthetic ones are compared."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern.stats import _bandwidth, _kernels, _mmd, _pool, _two_sample
from ecgkern.stats._kernels import Kernel
from ecgkern.stats._mmd import Problem
from ecgkern.stats._two_sample import MMDTestResult


class MMDReference:
    """A reference sample with everything that depends on it alone computed once: bandwidth, centre and its own sums.

    Parameters
    ----------
    x : array_like, shape (n, d)
        The reference, say real records. It is copied.
    kernel : str or Kernel, default "gaussian"
        See :class:`Kernel`.
    bandwidth : "median", float or sequence of float
        "median" is the median distance within the reference: it stays the same for every sample compared with it, which
        the pooled median of :func:`mmd2` does not.
    weights : array_like, optional
        Weights of a mixture of bandwidths.
    backend : {"fortran", "numba", "numpy"}, optional
        By default the first of these that is ready; see :func:`ecgkern.backends`.

    Attributes
    ----------
    bandwidth : ndarray
        Bandwidths of the kernel.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape, type or range; the message names it.
    BackendUnavailableError
        If the backend asked for is not ready.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.stats import MMDReference
    >>> rng = np.random.default_rng(0)
    >>> real = MMDReference(rng.normal(size=(200, 3)))
    >>> [round(float(real.mmd2(rng.normal(shift, size=(100, 3)))), 3) for shift in (0.5, 1.0)]
    [0.064, 0.218]
    """

    def __init__(
        self,
        x: Any,
        *,
        kernel: str | Kernel = "gaussian",
        bandwidth: Any = "median",
        weights: Any = None,
        backend: str | None = None,
    ) -> None:
        self._specimen = x[:0] if hasattr(x, "dtype") else None  # of the library of x; a list goes with any
        self._module = _dispatch.load("stats", backend)
        self._kernel = _kernels.checked(kernel)
        bandwidths = _kernels.checked_bandwidths(bandwidth, self._kernel)
        self._x: NDArray[Any] = _pool.samples(x, "x").copy()
        if bandwidths is None:
            bandwidths = np.array([_bandwidth.median_of((self._x,), self._kernel, self._module)])
        self.bandwidth = bandwidths
        self._weights = _kernels.checked_weights(weights, bandwidths.size)
        self._shift = _pool.centre((self._x,))
        alone = _pool.pool((self._x,), self._kernel.measure, self._module, self._centre())
        f = _kernels.functions(self._kernel, bandwidths, self._x.shape[1])
        self._sum = _pool.run(alone, f, self._module).sums[0, 0]

    def _centre(self) -> Any:
        return np.zeros_like(self._shift) if self._kernel.name == "polynomial" else self._shift

    def _problem(self, y: Any) -> Problem:
        library = _dispatch.array_library(x=self._specimen, y=y)
        found = _pool.samples(y, "y")
        _pool.same_features(self._x, found)
        return Problem(self._x, found, self._kernel, self.bandwidth, self._weights, self._module, library)

    def mmd2(self, y: Any, *, estimator: str = "unbiased") -> Any:
        """Return the MMD² of the reference and `y`, the "unbiased" or "biased" estimate; as :func:`mmd2`."""
        _validate.choice(estimator, "estimator", ("unbiased", "biased"))
        problem = self._problem(y)
        n, m = len(self._x), len(problem.y)
        if estimator == "unbiased" and min(n, m) < 2:
            return problem.scalar(_mmd.estimate(problem, estimator))  # NaN, with a warning
        pool = _pool.pool((self._x, problem.y), self._kernel.measure, self._module, self._centre())
        sums = _pool.run(pool, problem.functions, self._module, wanted=[[0, 1], [0, 1]]).sums
        sums[0, 0] = self._sum
        _mmd.warn_if_blind(self._kernel, _mmd.mean_kernel(sums, n + m))
        own = _mmd.traces(self._moved(problem))
        return problem.scalar(_mmd.combine(sums @ problem.mixture(), own, n, m, estimator))

    def _moved(self, problem: Problem) -> Problem:
        """The problem of which `traces` are to be taken: products are those of the centred samples."""
        if self._kernel.name != "linear":
            return problem
        return replace(problem, x=problem.x - self._shift, y=problem.y - self._shift)

    def test(self, y: Any, **options: Any) -> MMDTestResult:
        """Test whether `y` has the distribution of the reference; options as :func:`mmd_test`, the bandwidth fixed."""
        return _two_sample.run_test(self._problem(y), **options)
