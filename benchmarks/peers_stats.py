"""What ecgkern.stats is compared with: the same work as a user would do it today, and the limits of the machine.

Unless said otherwise x and y are float32 arrays, the kernel is the mean of exp(-d² / 2σ²) over the sigmas, and
d² = |a|² + |b|² - 2 a·b.
"""

import time

import numpy as np


def unbiased(x, y, kernel_sum):
    """MMD² from the sum of a kernel over all pairs; k(a, a) = 1."""
    n, m = len(x), len(y)
    within = (kernel_sum(x, x) - n) / (n * (n - 1)) + (kernel_sum(y, y) - m) / (m * (m - 1))
    return within - 2 * kernel_sum(x, y) / (n * m)


def squared_distances_numpy(a, b):
    d2 = a @ b.T
    d2 *= -2
    d2 += np.einsum("ij,ij->i", a, a)[:, None]
    d2 += np.einsum("ij,ij->i", b, b)
    return np.maximum(d2, 0, out=d2)


def mean_of_gaussians_numpy(d2, sigmas):
    return np.mean([np.exp(d2 * d2.dtype.type(-0.5 / s**2)).sum(dtype=np.float64) for s in sigmas])


def mmd2_numpy(x, y, sigmas):
    return unbiased(x, y, lambda a, b: mean_of_gaussians_numpy(squared_distances_numpy(a, b), sigmas))


def mmd2_truth(x, y, sigmas, rows=2000):
    """The same in float64, some rows at a time."""

    def kernel_sum(a, b):
        blocks = (squared_distances_numpy(a[i : i + rows], b) for i in range(0, len(a), rows))
        return sum(mean_of_gaussians_numpy(d2, sigmas) for d2 in blocks)

    return unbiased(np.float64(x), np.float64(y), kernel_sum)


def mmd2_sklearn(x, y, sigmas):
    from sklearn.metrics.pairwise import euclidean_distances

    return unbiased(x, y, lambda a, b: mean_of_gaussians_numpy(euclidean_distances(a, b, squared=True), sigmas))


def mmd2_of_tensors(x, y, sigmas, squared_distances):
    import torch

    def kernel_sum(a, b):
        d2 = squared_distances(a, b)
        return sum(torch.exp(d2 * (-0.5 / s**2)).sum(dtype=torch.float64) for s in sigmas) / len(sigmas)

    return unbiased(x, y, kernel_sum)


def addmm(a, b):
    import torch

    return torch.addmm((b * b).sum(1), a, b.T, alpha=-2).add_((a * a).sum(1)[:, None]).clamp_min_(0)


def cdist(a, b):
    import torch

    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist").square()


def mmd2_addmm(x, y, sigmas):
    import torch

    return mmd2_of_tensors(torch.from_numpy(x), torch.from_numpy(y), sigmas, addmm).item()


def mmd2_cdist(x, y, sigmas):
    import torch

    return mmd2_of_tensors(torch.from_numpy(x), torch.from_numpy(y), sigmas, cdist).item()


def mmd2_grad_autograd(x, y, sigmas, squared_distances=addmm):
    """(value, gradient of x, gradient of y); exact to 1e-12 or so for float64 arrays."""
    import torch

    leaves = [torch.tensor(z, requires_grad=True) for z in (x, y)]
    value = mmd2_of_tensors(*leaves, sigmas, squared_distances)
    value.backward()
    return value.item(), *(leaf.grad.numpy() for leaf in leaves)


def _alibi_kernel(sigmas):
    import torch
    from alibi_detect.utils.pytorch.kernels import GaussianRBF

    return GaussianRBF(sigma=torch.tensor(sigmas, dtype=torch.float32))


def mmd2_alibi(x, y, sigmas):
    import torch
    from alibi_detect.utils.pytorch.distance import mmd2

    with torch.no_grad():
        return mmd2(torch.from_numpy(x), torch.from_numpy(y), kernel=_alibi_kernel(sigmas)).item()


def mmd_test_alibi(x, y, sigmas, n_resamples):
    """(statistic, p) of the whole permutation test."""
    from alibi_detect.cd import MMDDrift

    drift = MMDDrift(
        x,
        backend="pytorch",
        device="cpu",
        sigma=np.float32(sigmas),  # given as kernel= they would be replaced by a median of its own
        n_permutations=n_resamples,
    )
    data = drift.predict(y, return_p_val=True, return_distance=True)["data"]
    return float(data["distance"]), float(data["p_val"])


def ks_alibi(x, y):
    """(statistic, p) of every feature, p asymptotic."""
    from alibi_detect.cd import KSDrift

    data = KSDrift(x).predict(y, drift_type="feature")["data"]
    return data["distance"], data["p_val"]


def median_numpy(x, y):
    z = np.concatenate([x, y])
    d2 = squared_distances_numpy(z, z)
    return np.median(np.sqrt(d2[np.triu_indices(len(z), 1)]))


def median_pdist(x, y):
    from scipy.spatial.distance import pdist

    return np.median(pdist(np.concatenate([x, y])))


def dtw_dtaidistance(x, y):
    """Pair by pair, in C, one thread."""
    from dtaidistance import dtw

    return np.array([dtw.distance_fast(a, b) for a, b in zip(x, y, strict=True)])


def dtw_truth(x, y):
    """D[i, j] = (x_i - y_j)² + min(D[i-1, j], D[i, j-1], D[i-1, j-1]), an antidiagonal of all pairs at a time."""
    n, m = x.shape[1], y.shape[1]
    before, last = (np.full((len(x), n + 1), np.inf) for _ in range(2))  # D on two antidiagonals, by i + 1
    before[:, 0] = 0
    for k in range(n + m - 1):
        i = np.arange(max(0, k - m + 1), min(k, n - 1) + 1)
        this = np.full_like(last, np.inf)
        least = np.minimum(np.minimum(last[:, i], last[:, i + 1]), before[:, i])
        this[:, i + 1] = (x[:, i] - y[:, k - i]) ** 2 + least
        before, last = last, this
    return np.sqrt(last[:, n])


def triangle(n, d, times=1, exp=False, side=2000):
    """The floor: `times` as many multiplications as the pairs i < j of 2n samples have, 4n²d flop, in matrix products.

    By the faster of the libraries of NumPy and torch, in blocks small enough for their best rate. With exp also one
    exponential a pair.
    """
    import torch

    side = min(side, n)
    a, b = np.random.default_rng(0).standard_normal((2, side, d), dtype=np.float32)
    out = np.empty((side, side), np.float32)
    exponent, result = torch.zeros(out.shape), torch.from_numpy(out)

    def by_numpy():
        np.matmul(a, b.T, out=out)

    def by_torch():
        torch.mm(torch.from_numpy(a), torch.from_numpy(b).T, out=result)

    def run():
        for _ in range(times * 2 * (n // side) ** 2):
            product()
            if exp:
                torch.exp(exponent, out=result)

    product = min(by_numpy, by_torch, key=_best_of_five)
    return run


def _best_of_five(call):
    def seconds():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return min(seconds() for _ in range(5))


def read(*arrays):
    """The floor: every byte read once, by as many threads as the kernels use."""
    import torch

    for array in arrays:
        torch.from_numpy(array).sum()
