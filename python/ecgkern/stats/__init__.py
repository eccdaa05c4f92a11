"""How far two samples of signals are apart.

`mmd2` and the tests `mmd_test` and `mmdagg` compare distributions by the maximum mean discrepancy,

.. math:: \\mathrm{MMD}^2 = E\\, k(x, x') + E\\, k(y, y') - 2 E\\, k(x, y)

with a kernel k; `ks_2samp` tests every feature at once; `frechet_distance`, `kid`, `wasserstein_distance`,
`sliced_wasserstein_distance`, `energy_distance` and `psd_distance` compare distributions as the papers on synthetic
ECGs do; `dtw`, `cdist_dtw`, `rmse` and `prd` compare signals one by one. Samples are the rows of (n, d) arrays: flatten
records of several leads with ``x.reshape(len(x), -1)``.
"""

from ecgkern.stats._bandwidth import median_bandwidth
from ecgkern.stats._distances import (
    energy_distance,
    frechet_distance,
    frechet_distance_from_stats,
    prd,
    psd_distance,
    rmse,
    sliced_wasserstein_distance,
    wasserstein_distance,
)
from ecgkern.stats._dtw import cdist_dtw, dtw
from ecgkern.stats._kernels import Kernel
from ecgkern.stats._ks import KSResult, ks_2samp
from ecgkern.stats._mmd import (
    KernelSums,
    KIDResult,
    kernel_sums,
    kid,
    mmd,
    mmd2,
    mmd2_grad,
    mmd_witness,
)
from ecgkern.stats._reference import MMDReference
from ecgkern.stats._two_sample import MMDAggResult, MMDTestResult, mmd_test, mmdagg

__all__ = [
    "KIDResult",
    "KSResult",
    "Kernel",
    "KernelSums",
    "MMDAggResult",
    "MMDReference",
    "MMDTestResult",
    "cdist_dtw",
    "dtw",
    "energy_distance",
    "frechet_distance",
    "frechet_distance_from_stats",
    "kernel_sums",
    "kid",
    "ks_2samp",
    "median_bandwidth",
    "mmd",
    "mmd2",
    "mmd2_grad",
    "mmd_test",
    "mmd_witness",
    "mmdagg",
    "prd",
    "psd_distance",
    "rmse",
    "sliced_wasserstein_distance",
    "wasserstein_distance",
]
