"""How far two samples of signals are apart: MMD and its tests.

The squared maximum mean discrepancy of two distributions is

.. math:: \\mathrm{MMD}^2 = E\\, k(x, x') + E\\, k(y, y') - 2 E\\, k(x, y)

with a kernel k. Samples are the rows of (n, d) arrays: flatten records of several leads with ``x.reshape(len(x), -1)``.
"""

from ecgkern.stats._kernels import Kernel
from ecgkern.stats._mmd import (
    KernelSums,
    KIDResult,
    kernel_sums,
    kid,
    median_bandwidth,
    mmd,
    mmd2,
    mmd2_grad,
    mmd_witness,
)
from ecgkern.stats._reference import MMDReference
from ecgkern.stats._two_sample import MMDAggResult, MMDTestResult, mmd_test, mmdagg

__all__ = [
    "KIDResult",
    "Kernel",
    "KernelSums",
    "MMDAggResult",
    "MMDReference",
    "MMDTestResult",
    "kernel_sums",
    "kid",
    "median_bandwidth",
    "mmd",
    "mmd2",
    "mmd2_grad",
    "mmd_test",
    "mmd_witness",
    "mmdagg",
]
