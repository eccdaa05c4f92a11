"""MMD: estimators, sums, bandwidth, witness, gradient and tests, against published values and direct sums."""

import json
import math
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkern
from ecgkern.stats import (
    Kernel,
    KernelSums,
    MMDReference,
    kernel_sums,
    kid,
    median_bandwidth,
    mmd,
    mmd2,
    mmd2_grad,
    mmd_test,
    mmd_witness,
    mmdagg,
)

GOLDEN = json.loads((Path(__file__).parent / "golden/stats_mmd.json").read_text())
BOTH = ("biased", "unbiased")
WITH_BANDWIDTH = ("gaussian", "laplacian", "laplacian_l1", "rational_quadratic", "imq", "matern")
WITHOUT = ("polynomial", "linear", "energy")


def sine(n, m, d):
    i, j = np.arange(max(n, m))[:, None], np.arange(d)
    return np.sin(0.37 * i + 0.11 * j)[:n], (1.1 * np.cos(0.29 * i + 0.17 * j) + 0.1)[:m]


def normal(n, m, d, shift=0.1, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(dtype), (rng.normal(size=(m, d)) + shift).astype(dtype)


def direct(kernel, a, b, sigma=1.0):
    """k(a_i, b_j) by its formula, one pair at a time."""
    k = Kernel(kernel) if isinstance(kernel, str) else kernel
    a, b = np.asarray(a, float), np.asarray(b, float)
    difference = a[:, None] - b[None]
    d = np.sqrt((difference**2).sum(-1))
    l1 = np.abs(difference).sum(-1)
    r3, r5 = math.sqrt(3) * d / sigma, math.sqrt(5) * d / sigma
    gamma = 1 / a.shape[1] if k.gamma is None else k.gamma
    return {
        "gaussian": lambda: np.exp(-(d**2) / (2 * sigma**2)),
        "laplacian": lambda: np.exp(-d / sigma),
        "laplacian_l1": lambda: np.exp(-l1 / sigma),
        "rational_quadratic": lambda: (1 + d**2 / (2 * k.alpha * sigma**2)) ** -k.alpha,
        "imq": lambda: (1 + d**2 / sigma**2) ** -0.5,
        "matern": lambda: {
            0.5: np.exp(-d / sigma),
            1.5: (1 + r3) * np.exp(-r3),
            2.5: (1 + r5 + r5**2 / 3) * np.exp(-r5),
        }[k.nu],
        "polynomial": lambda: (gamma * a @ b.T + k.coef0) ** k.degree,
        "linear": lambda: a @ b.T,
        "energy": lambda: -d,
    }[k.name]()


def direct_mmd2(kernel, x, y, sigma=1.0, estimator="unbiased"):
    kxx, kyy, kxy = direct(kernel, x, x, sigma), direct(kernel, y, y, sigma), direct(kernel, x, y, sigma)
    n, m = len(x), len(y)
    if estimator == "biased":
        return kxx.mean() + kyy.mean() - 2 * kxy.mean()
    off = ((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kxx, kyy))
    return sum(off) - 2 * kxy.sum() / (n * m)


# ---- published values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("case", GOLDEN["estimators"]["cases"], ids=lambda c: f"{c['kernel']}-{c['bandwidth']}")
def test_published_estimates(backend, case, size):
    x, y = sine(*GOLDEN["estimators"]["samples"][size])
    for estimator, expected in zip(BOTH, case[size], strict=True):
        options = {"kernel": case["kernel"], "bandwidth": case["bandwidth"], "estimator": estimator, "backend": backend}
        assert mmd2(x, y, **options) == pytest.approx(expected, rel=1e-10)
        single = mmd2(x.astype(np.float32), y.astype(np.float32), **options)
        assert single.dtype == np.float32
        assert single == pytest.approx(expected, abs=3e-7)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("case", GOLDEN["estimators"]["cases"], ids=lambda c: f"{c['kernel']}-{c['bandwidth']}")
def test_published_estimates_among_many_features(backend, case, size):
    """Features of zeros change no distance, and lead through the code for many features."""
    x, y = sine(*GOLDEN["estimators"]["samples"][size])
    kernel = Kernel("polynomial", gamma=1 / x.shape[1]) if case["kernel"] == "polynomial" else case["kernel"]
    x, y = (np.concatenate([s, np.zeros((len(s), 30))], axis=1) for s in (x, y))
    for estimator, expected in zip(BOTH, case[size], strict=True):
        options = {"kernel": kernel, "bandwidth": case["bandwidth"], "estimator": estimator, "backend": backend}
        assert mmd2(x, y, **options) == pytest.approx(expected, rel=1e-10)
        assert mmd2(x.astype("f4"), y.astype("f4"), **options) == pytest.approx(expected, abs=5e-7)


def test_published_conventions(backend):
    x, y = sine(50, 40, 12)
    default = GOLDEN["estimators"]["scikit_learn_default_gamma_large"]
    for estimator, expected in zip(BOTH, default["values"], strict=True):
        got = mmd2(x, y, bandwidth=default["bandwidth"], estimator=estimator, backend=backend)
        assert got == pytest.approx(expected, rel=1e-10)
    for size, shape in GOLDEN["estimators"]["samples"].items():
        for estimator, total in zip(BOTH, GOLDEN["estimators"]["sum_of_three_bandwidths"][size], strict=True):
            mean = mmd2(*sine(*shape), bandwidth=[0.5, 1, 2], estimator=estimator, backend=backend)
            assert 3 * mean == pytest.approx(total, rel=1e-10)
    half = GOLDEN["geomloss"]
    for kernel, digits in (("gaussian", 1e-10), ("laplacian", 2e-6), ("energy", 1e-7)):
        bandwidth = "median" if kernel == "energy" else 1.0
        got = mmd2(x, y, kernel=kernel, bandwidth=bandwidth, estimator="biased", backend=backend) / 2
        # geomloss keeps d² above 1e-8, which shifts the laplacian as well
        assert got == pytest.approx(half[kernel], rel=max(digits, 1e-10), abs=0 if kernel == "gaussian" else 3e-6)


def phi_inverse(p):
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(float(v)) for v in p])


@pytest.mark.parametrize("case", GOLDEN["quantiles"]["cases"], ids=str)
def test_samples_at_quantiles_approach_the_closed_form(backend, case):
    n, m = case["n"], case["m"]
    x = phi_inverse((np.arange(n) + 0.5) / n)[:, None]
    y = case["mu"] + case["s"] * phi_inverse((np.arange(m) + 0.5) / m)[:, None]
    for estimator in BOTH:
        if estimator in case:
            got = mmd2(x, y, bandwidth=1.0, estimator=estimator, backend=backend)
            assert got == pytest.approx(case[estimator], rel=1e-10)
    limit = GOLDEN["quantiles"]["closed_form"][f"{case['mu']},{case['s']}"]
    assert got == pytest.approx(limit, abs=2 / min(n, m))


@pytest.mark.parametrize("case", GOLDEN["closed_forms"]["cases"], ids=str)
def test_closed_form_of_gaussians_within_sampling_error(case):
    d, delta2, s1, s2, sigma2, expected = case

    def e(v, distance2=0.0):
        return (1 + v / sigma2) ** (-d / 2) * math.exp(-distance2 / (2 * (sigma2 + v)))

    assert e(2 * s1**2) + e(2 * s2**2) - 2 * e(s1**2 + s2**2, delta2) == pytest.approx(expected, rel=1e-9)
    d = int(d)
    rng = np.random.default_rng(1)
    values = [
        mmd2(
            s1 * rng.normal(size=(300, d)),
            math.sqrt(delta2 / d) + s2 * rng.normal(size=(300, d)),
            bandwidth=math.sqrt(sigma2),
        )
        for _ in range(20)
    ]
    assert abs(np.mean(values) - expected) < 4.5 * np.std(values, ddof=1) / math.sqrt(20)


def test_closed_forms_of_laplacian_and_energy():
    n = 4000
    x = phi_inverse((np.arange(n) + 0.5) / n)[:, None]
    cases = ("laplacian", 1.0, "laplacian_1d"), ("laplacian_l1", 1.0, "laplacian_1d"), ("energy", "median", "energy_1d")
    for kernel, bandwidth, name in cases:
        got = mmd2(x, x + 1, kernel=kernel, bandwidth=bandwidth, estimator="biased")
        assert got == pytest.approx(GOLDEN["closed_forms"][name]["value"], rel=1e-3)


def test_published_medians(backend):
    golden = GOLDEN["medians"]
    for size, shape in GOLDEN["estimators"]["samples"].items():
        x, y = sine(*shape)
        assert median_bandwidth(x, y, backend=backend) == pytest.approx(golden[size], rel=1e-10)
        both = np.concatenate([x, y])
        assert median_bandwidth(both, backend=backend) == pytest.approx(golden[size], rel=1e-10)
        # The median of the squares is not the square of the median where two distances are averaged.
        d2 = ((both[:, None] - both[None]) ** 2).sum(-1)[np.triu_indices(len(both), 1)]
        assert np.median(d2) == pytest.approx(golden[f"squared_{size}"], rel=1e-10)
        own = ((x[:, None] - x[None]) ** 2).sum(-1)[np.triu_indices(len(x), 1)]
        assert np.median(own) == pytest.approx(golden[f"x_only_squared_{size}"], rel=1e-10)
        assert median_bandwidth(x, backend=backend) == pytest.approx(np.median(np.sqrt(own)), rel=1e-12)


def test_published_aggregated_test(backend):
    golden = GOLDEN["mmdagg"]
    x, y = sine(50, 40, 12)
    result = mmdagg(x, y, kernels=("gaussian",), n_resamples=(20, 20), rng=0, backend=backend)
    np.testing.assert_allclose(result.bandwidth * math.sqrt(2), golden["bandwidths"], rtol=1e-10)
    np.testing.assert_allclose(result.statistic, golden["mmd2"], rtol=1e-10)
    paired = golden["paired"]
    x, y = sine(paired["n"], paired["n"], 12)
    sigma = paired["bandwidth"] / math.sqrt(2)
    got = mmd2(x, y, bandwidth=sigma, estimator="paired", backend=backend)
    assert got == pytest.approx(paired["value"], rel=2e-9)  # the bandwidth is known to ten digits


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("features", [0, 30])
def test_published_gradients(backend, estimator, features):
    golden = GOLDEN["gradient"][estimator]
    x, y = (np.concatenate([s, np.zeros((len(s), features))], axis=1) for s in sine(7, 5, 3))
    value, grad_x, grad_y = mmd2_grad(x, y, bandwidth=1.0, estimator=estimator, backend=backend)
    assert value == pytest.approx(mmd2(x, y, bandwidth=1.0, estimator=estimator, backend=backend), rel=1e-12)
    for name, row in (("x0", grad_x[0]), ("x3", grad_x[3]), ("y0", grad_y[0])):
        if name in golden:
            np.testing.assert_allclose(row[:3], golden[name], rtol=0, atol=1e-12)
    assert np.linalg.norm(grad_x) == pytest.approx(golden["norm_x"], rel=1e-10)
    assert np.linalg.norm(grad_y) == pytest.approx(golden["norm_y"], rel=1e-10)
    np.testing.assert_allclose(grad_x.sum(axis=0) + grad_y.sum(axis=0), 0, atol=1e-15)


def test_published_witness(backend):
    x, y = sine(7, 5, 3)
    golden = GOLDEN["witness"]
    got = mmd_witness(np.array([x[0], y[0], [0, 0, 0]]), x, y, bandwidth=1.0, backend=backend)
    np.testing.assert_allclose(got, golden["values"], rtol=1e-10)
    means = [mmd_witness(s, x, y, bandwidth=1.0, backend=backend).mean() for s in (x, y)]
    assert means[0] - means[1] == pytest.approx(golden["mean_difference"], rel=1e-10)


@pytest.mark.parametrize("case", GOLDEN["permutations"]["cases"], ids=lambda c: f"{c['n']}v{c['m']}")
def test_published_exact_pvalues(backend, case):
    x, y = sine(case["n"], case["m"], case["d"])
    result = mmd_test(x, y, bandwidth=1.0, backend=backend)
    assert result.method == "exact"
    assert result.n_resamples == result.null_distribution.size == case["total"]
    assert result.statistic == pytest.approx(case["statistic"], rel=1e-10)
    assert result.pvalue == pytest.approx(case["pvalue"], rel=1e-9)
    assert result.null_distribution.max() == pytest.approx(case["null_max"], rel=1e-10)
    assert result.null_distribution.min() == pytest.approx(case["null_min"], rel=1e-10)
    assert result.null_distribution.mean() == pytest.approx(0, abs=1e-15)
    assert tuple(result) == (result.statistic, result.pvalue)


def test_published_permutations_of_the_caller(backend):
    golden = GOLDEN["permutations"]["affine"]
    x, y = sine(6, 5, 3)
    affine = np.array([[(a * i + c) % 11 for i in range(11)] for a in range(1, 11) for c in range(11)])
    result = mmd_test(x, y, bandwidth=1.0, permutations=affine, backend=backend)
    assert result.statistic == pytest.approx(golden["statistic"], rel=1e-10)
    assert result.null_distribution[0] == pytest.approx(golden["statistic"], rel=1e-10)
    assert result.null_distribution[11] == pytest.approx(golden["a2_c0"], rel=1e-10)
    assert result.null_distribution[26] == pytest.approx(golden["a3_c4"], rel=1e-10)
    assert result.null_distribution.sum() == pytest.approx(0, abs=1e-13)
    assert result.pvalue == golden["count"] / golden["total"]  # the division as it is belongs to the group
    firsts = np.zeros(affine.shape, bool)
    np.put_along_axis(firsts, affine[:, :6], True, axis=1)
    as_booleans = mmd_test(x, y, bandwidth=1.0, permutations=firsts, backend=backend)
    np.testing.assert_array_equal(as_booleans.null_distribution, result.null_distribution)


# ---- direct sums ----------------------------------------------------------------------------------------------------

KERNELS = [
    *WITH_BANDWIDTH,
    Kernel("matern", nu=0.5),
    Kernel("matern", nu=2.5),
    Kernel("rational_quadratic", alpha=0.3),
    Kernel("rational_quadratic", alpha=4.0),
    Kernel("polynomial", degree=2, gamma=0.5, coef0=-0.3),
    Kernel("polynomial", degree=5),
    *WITHOUT,
]


def bandwidths_of(kernel, values):
    name = kernel if isinstance(kernel, str) else kernel.name
    return values if name in WITH_BANDWIDTH else "median"


@pytest.mark.parametrize("d", [1, 5, 16, 17, 70])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_sums_against_direct_sums(backend, kernel, d):
    x, y = normal(131, 122, d, seed=d)  # a tile of 120 and some
    sigmas = bandwidths_of(kernel, [0.7 * math.sqrt(d), 1.9 * math.sqrt(d)])
    sums = kernel_sums(x, y, kernel=kernel, bandwidth=sigmas, backend=backend)
    for b, sigma in enumerate([1.0] if sigmas == "median" else sigmas):
        kxx, kyy, kxy = (direct(kernel, *pair, sigma) for pair in ((x, x), (y, y), (x, y)))
        expected = [kxx.sum(), kyy.sum(), kxy.sum(), np.trace(kxx), np.trace(kyy)]
        scale = max(np.abs(kxx).sum(), np.abs(kxy).sum())
        np.testing.assert_allclose([s[b] for s in sums], expected, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("d", [5, 70])
@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradients_against_finite_differences(backend, kernel, estimator, d):
    if backend == "numpy" and d > 16:
        d = 20
    x, y = normal(9, 7, d, shift=0.4)
    bandwidth = bandwidths_of(kernel, [math.sqrt(d), 0.6 * math.sqrt(d)])
    options = {"kernel": kernel, "bandwidth": bandwidth, "estimator": estimator, "backend": backend}
    value, grad_x, grad_y = mmd2_grad(x, y, **options)
    assert value == pytest.approx(mmd2(x, y, **options), rel=1e-11, abs=1e-14)
    step = 1e-6
    for sample, gradient, i, k in ((x, grad_x, 2, 1), (x, grad_x, 8, d - 1), (y, grad_y, 0, 0), (y, grad_y, 6, 3)):
        keep = sample[i, k]
        sample[i, k] = keep + step
        above = mmd2(x, y, **options)
        sample[i, k] = keep - step
        below = mmd2(x, y, **options)
        sample[i, k] = keep
        assert gradient[i, k] == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=2e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [*WITH_BANDWIDTH, *WITHOUT])
def test_gradients_of_all_backends_agree(backend, kernel, dtype):
    x, y = normal(260, 301, 40, dtype=dtype)
    options = {"kernel": kernel, "bandwidth": bandwidths_of(kernel, [12.0, 6.0, 3.0])}
    _, *expected = mmd2_grad(x.astype("f8"), y.astype("f8"), backend="numpy", **options)
    _, *got = mmd2_grad(x, y, backend=backend, **options)
    largest = max(np.abs(g).max() for g in expected)
    for mine, wanted in zip(got, expected, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=largest * (1e-5 if dtype == np.float32 else 1e-11))


def h_matrix(kernel, x, y, sigma):
    kxy = direct(kernel, x, y, sigma)
    return direct(kernel, x, x, sigma) + direct(kernel, y, y, sigma) - kxy - kxy.T


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("kernel", [*WITH_BANDWIDTH, *WITHOUT])
def test_estimators_for_equal_numbers(backend, kernel, n):
    x, y = normal(n, n, 6, shift=0.5)
    sigma = 1.7
    options = {"kernel": kernel, "bandwidth": bandwidths_of(kernel, sigma), "backend": backend}
    h = h_matrix(kernel, x, y, sigma)
    paired = (h.sum() - np.trace(h)) / (n * (n - 1))
    linear = np.mean([h[i, i + 1] for i in range(0, n - 1, 2)])
    incomplete = np.mean([h[i, i + r] for r in range(1, 4) for i in range(n - r)])
    blocks = [direct_mmd2(kernel, x[i : i + 6], y[i : i + 6], sigma) for i in range(0, n - 5, 6)]
    assert mmd2(x, y, estimator="paired", **options) == pytest.approx(paired, rel=1e-11)
    assert mmd2(x, y, estimator="linear", **options) == pytest.approx(linear, rel=1e-11)
    assert mmd2(x, y, estimator="incomplete", n_subdiagonals=3, **options) == pytest.approx(incomplete, rel=1e-11)
    assert mmd2(x, y, estimator="block", block_size=6, **options) == pytest.approx(np.mean(blocks), rel=1e-10)
    all_of_them = mmd2(x, y, estimator="incomplete", n_subdiagonals=n - 1, **options)
    assert all_of_them == pytest.approx(paired, rel=1e-11)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_precision_is_a_lower_bound(precision):
    x, y = normal(50, 60, 30, dtype=np.float32)
    assert mmd2(x, y, bandwidth=5.0, precision=precision) == mmd2(x, y, bandwidth=5.0)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 260),
    m=st.integers(2, 260),
    d=st.sampled_from([1, 2, 15, 16, 17, 31, 64, 100]),
    kernel=st.sampled_from([*WITH_BANDWIDTH, *WITHOUT]),
    single=st.booleans(),
    offset=st.sampled_from([0.0, 10.0, -300.0]),
    seed=st.integers(0, 5),
)
def test_all_backends_agree(n, m, d, kernel, single, offset, seed):
    dtype = np.float32 if single else np.float64
    x, y = normal(n, m, d, seed=seed)
    if kernel not in ("polynomial", "linear"):
        x, y = x + offset, y + offset
    x, y = x.astype(dtype), y.astype(dtype)
    options = {"kernel": kernel, "bandwidth": bandwidths_of(kernel, [3.0, 1.5, 0.75 * d])}
    results = [kernel_sums(x, y, backend=b, **options) for b in ("numpy", "numba", "fortran") if ready(b)]
    expected = kernel_sums(x.astype("f8"), y.astype("f8"), backend="numpy", **options)
    largest = max(np.abs(s).max() for s in expected)
    for result in results:
        for mine, wanted in zip(result, expected, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=largest * (1e-6 if single else 1e-12))


def ready(backend):
    return ecgkern.backends()[backend].available


def test_float32_estimate_of_thousand_features(backend):
    """The relative error of a small MMD² from float32 samples, five bandwidths in ratio 2."""
    x, y = normal(300, 280, 1000, shift=0.05, dtype=np.float32)
    sigmas = math.sqrt(2000) * np.array([0.25, 0.5, 1, 2, 4])
    exact = mmd2(x.astype("f8"), y.astype("f8"), bandwidth=sigmas, backend="numpy")
    for offset in (0, 5):
        shifted = mmd2(x + np.float32(offset), y + np.float32(offset), bandwidth=sigmas, backend=backend)
        rounding = 3e-6 if offset else 1e-6  # adding 5 in float32 rounds the data
        assert shifted == pytest.approx(exact, rel=rounding)


def test_wide_bandwidths_do_not_cancel(backend):
    x, y = normal(100, 90, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        wide = mmd2(x, y, bandwidth=3000.0, estimator="biased", backend=backend)
    delta = x.mean(axis=0) - y.mean(axis=0)
    assert wide == pytest.approx(delta @ delta / 3000.0**2, rel=1e-4)


@pytest.mark.parametrize(
    "sigmas", [[8, 4, 2, 1], [1, 2, 4, 8], [4, 2 * math.sqrt(2), 2], [1, 3, 2], [5] * 3, 2.0 ** np.arange(12)]
)
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "laplacian_l1"])
def test_squared_exponentials_are_the_single_ones(backend, kernel, sigmas):
    x, y = normal(40, 30, 25)
    together = kernel_sums(x, y, kernel=kernel, bandwidth=sigmas, backend=backend)
    for b, sigma in enumerate(sigmas):
        alone = kernel_sums(x, y, kernel=kernel, bandwidth=float(sigma), backend=backend)
        np.testing.assert_allclose([s[b] for s in together], [s[0] for s in alone], rtol=1e-12)


def test_weights_of_a_mixture(backend):
    x, y = normal(40, 30, 5)
    singles = np.array([mmd2(x, y, bandwidth=s, backend=backend) for s in (1.0, 3.0)])
    assert mmd2(x, y, bandwidth=[1, 3], backend=backend) == pytest.approx(singles.mean(), rel=1e-12)
    assert mmd2(x, y, bandwidth=[1, 3], weights=[1, 3], backend=backend) == pytest.approx(
        singles @ [0.25, 0.75], rel=1e-12
    )
    assert mmd2(x, y, bandwidth=[3, 1], weights=[3, 1], backend=backend) == pytest.approx(
        singles @ [0.25, 0.75], rel=1e-12
    )


def test_shards_add_up(backend):
    x, y = normal(700, 500, 20)
    options = {"bandwidth": [3.0, 6.0], "backend": backend}
    whole = kernel_sums(x, y, **options)
    parts = [kernel_sums(x, y, shard=(k, 3), **options) for k in range(3)]
    assert all((part.xy > 0).all() for part in parts)
    total = parts[0] + parts[1] + parts[2]
    assert isinstance(total, KernelSums)
    for got, expected in zip(total, whole, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13)
    linear = [kernel_sums(x, y, kernel="linear", shard=(k, 2), backend=backend) for k in range(2)]
    np.testing.assert_allclose((linear[0] + linear[1]).xx, kernel_sums(x, y, kernel="linear").xx, rtol=1e-13)


def test_translation_rotation_and_order_do_not_matter(backend):
    x, y = normal(60, 50, 20)
    value = mmd2(x, y, backend=backend)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
    assert mmd2(x @ rotation, y @ rotation, backend=backend) == pytest.approx(value, rel=1e-10)
    assert mmd2(x + 7, y + 7, backend=backend) == pytest.approx(value, rel=1e-10)
    assert mmd2(x[::-1], y[::-1], backend=backend) == pytest.approx(value, rel=1e-12)
    assert mmd2(y, x, backend=backend) == pytest.approx(value, rel=1e-12)
    assert mmd2(3 * x, 3 * y, backend=backend) == pytest.approx(value, rel=1e-10)  # the median scales along


def test_linear_kernel_is_the_distance_of_the_means():
    x, y = normal(60, 50, 20)
    delta = x.mean(axis=0) - y.mean(axis=0)
    assert mmd2(x, y, kernel="linear", estimator="biased") == pytest.approx(delta @ delta, rel=1e-12)


def test_energy_kernel_is_the_energy_distance():
    scipy_stats = pytest.importorskip("scipy.stats")
    x, y = normal(60, 50, 1, shift=1.0)
    expected = scipy_stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    assert mmd2(x, y, kernel="energy", estimator="biased") == pytest.approx(expected, rel=1e-12)


def test_mmd_is_the_root_of_the_biased_estimate():
    x, y = normal(30, 20, 4)
    assert mmd(x, y) == pytest.approx(math.sqrt(mmd2(x, y, estimator="biased")), rel=1e-12)
    assert mmd(x, x, estimator="unbiased") == 0.0
    assert mmd(x.astype("f4"), y.astype("f4")).dtype == np.float32


@pytest.mark.parametrize("n", [2, 3, 4, 61])
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_median_against_numpy(backend, n, d, metric):
    x, _ = normal(n, 1, d, seed=n)
    difference = (x[:, None] - x[None])[np.triu_indices(n, 1)]
    d_all = np.sqrt((difference**2).sum(-1)) if metric == "euclidean" else np.abs(difference).sum(-1)
    assert median_bandwidth(x, metric=metric, backend=backend) == pytest.approx(np.median(d_all), rel=1e-12)


@pytest.mark.parametrize("kind", ["spread", "clusters", "duplicates"])
def test_median_of_many_pairs_is_exact(backend, kind, monkeypatch):
    """With more pairs than are kept at once, the bracket is found from random pairs."""
    from ecgkern.stats import _bandwidth

    monkeypatch.setattr(_bandwidth, "_MOST_KEPT", 1000)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 20))
    if kind == "clusters":
        x = 0.01 * x + 10 * rng.integers(0, 2, size=(400, 1))
    if kind == "duplicates":
        x[:300] = x[0]
    difference = (x[:, None] - x[None])[np.triu_indices(400, 1)]
    expected = np.median(np.sqrt((difference**2).sum(-1)))
    if kind == "duplicates":
        with pytest.warns(RuntimeWarning, match="median distance between samples is 0"):
            assert median_bandwidth(x[:200], x[200:], backend=backend) > 0
    else:
        assert median_bandwidth(x[:200], x[200:], backend=backend) == pytest.approx(expected, rel=1e-9)


def test_median_of_random_pairs(backend):
    x, y = normal(400, 300, 30)
    exact = median_bandwidth(x, y, backend=backend)
    about = median_bandwidth(x, y, subsample=20_000, rng=3, backend=backend)
    assert about != exact
    assert about == pytest.approx(exact, rel=0.01)
    assert median_bandwidth(x, y, subsample=20_000, rng=3) == about


def test_witness_against_direct_sums(backend):
    x, y = normal(150, 130, 20, dtype=np.float32)
    points = np.concatenate([x[:5], y[:125] + 1])
    expected = direct("gaussian", points, x, 4.0).mean(axis=1) - direct("gaussian", points, y, 4.0).mean(axis=1)
    got = mmd_witness(points, x, y, bandwidth=4.0, backend=backend)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_reference_gives_what_mmd2_gives(backend):
    x, y = normal(200, 130, 25)
    z = y[:40] + 1
    for kernel in ("gaussian", "polynomial", "energy", "linear", "laplacian_l1"):
        reference = MMDReference(x, kernel=kernel, backend=backend)
        bandwidth = reference.bandwidth if kernel in WITH_BANDWIDTH else "median"
        for sample in (y, z):
            for estimator in BOTH:
                expected = mmd2(x, sample, kernel=kernel, bandwidth=bandwidth, estimator=estimator, backend=backend)
                assert reference.mmd2(sample, estimator=estimator) == pytest.approx(expected, rel=1e-10)
    reference = MMDReference(x, bandwidth=[2.0, 4.0], weights=[1, 2], backend=backend)
    expected = mmd_test(x, y, bandwidth=[2.0, 4.0], weights=[1, 2], n_resamples=50, rng=0, backend=backend)
    assert reference.test(y, n_resamples=50, rng=0).pvalue == expected.pvalue
    assert MMDReference(x).bandwidth[0] == pytest.approx(median_bandwidth(x), rel=1e-12)


def test_kid(backend):
    x, y = sine(50, 40, 12)
    whole = kid(x, y, subsets=None, backend=backend)
    assert whole.mean == pytest.approx(GOLDEN["estimators"]["cases"][8]["large"][1], rel=1e-10)
    x, y = normal(200, 150, 10, shift=0.5)
    mean, std = kid(x, y, subsets=30, subset_size=60, rng=2, backend=backend)
    values = []
    rng = np.random.default_rng(2)
    for _ in range(30):
        a, b = (s[rng.choice(len(s), 60, replace=False)] for s in (x, y))
        values.append(direct_mmd2("polynomial", a, b))
    assert (mean, std) == (pytest.approx(np.mean(values), rel=1e-10), pytest.approx(np.std(values), rel=1e-10))


# ---- tests ----------------------------------------------------------------------------------------------------------


def test_permuted_statistics_are_those_of_the_permuted_samples(backend):
    x, y = normal(130, 125, 20)
    pooled = np.concatenate([x, y])
    rng = np.random.default_rng(0)
    orders = np.array([rng.permutation(255) for _ in range(70)])  # more than are taken at once
    for estimator in BOTH:
        for kernel, bandwidth in (("gaussian", [2.0, 5.0]), ("polynomial", "median")):
            options = {"kernel": kernel, "bandwidth": bandwidth, "estimator": estimator, "backend": backend}
            result = mmd_test(x, y, permutations=orders, **options)
            assert result.statistic == pytest.approx(mmd2(x, y, **options), rel=1e-10)
            for p in (0, 33, 69):
                expected = mmd2(pooled[orders[p, :130]], pooled[orders[p, 130:]], **options)
                assert result.null_distribution[p] == pytest.approx(expected, rel=1e-9, abs=1e-13)
            larger = np.count_nonzero(result.null_distribution >= result.statistic)
            assert result.pvalue == (1 + larger) / 71


def test_pvalue_is_the_same_on_every_backend():
    x, y = normal(60, 70, 20, shift=0.15, dtype=np.float32)
    results = [mmd_test(x, y, rng=5, backend=b) for b in ("numpy", "numba", "fortran") if ready(b)]
    assert len({r.pvalue for r in results}) == 1
    assert 0.001 <= results[0].pvalue < 1
    assert results[0].n_resamples == 999
    assert results[0].bandwidth == pytest.approx(median_bandwidth(x, y), rel=1e-6)


def test_wild_bootstrap_against_direct_sums(backend):
    n = 130
    x, y = normal(n, n, 20, shift=0.2)
    result = mmd_test(x, y, bandwidth=4.0, method="wild_bootstrap", n_resamples=200, rng=1, backend=backend)
    assert result.statistic == pytest.approx(mmd2(x, y, bandwidth=4.0, estimator="paired"), rel=1e-10)
    h = h_matrix("gaussian", x, y, 4.0)
    np.fill_diagonal(h, 0)
    signs = 2 * np.random.default_rng(1).integers(0, 2, size=(201, n), dtype=np.int8).astype(float) - 1
    expected = np.einsum("fi,ij,fj->f", signs[1:], h, signs[1:]) / (n * (n - 1))
    np.testing.assert_allclose(result.null_distribution, expected, rtol=0, atol=1e-13)
    assert result.pvalue == (1 + np.count_nonzero(expected >= result.statistic)) / 201


def test_asymptotic_test():
    x, y = normal(400, 400, 5)
    h = h_matrix("gaussian", x, y, 2.0)
    terms = np.array([h[i, i + 1] for i in range(0, 400, 2)])
    z = terms.mean() / (terms.std(ddof=1) / math.sqrt(200))
    result = mmd_test(x, y, bandwidth=2.0, method="asymptotic")
    assert result.method == "asymptotic"
    assert result.pvalue == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)), rel=1e-10)
    assert mmd_test(x, y + 1, bandwidth=2.0, method="asymptotic", estimator="block").pvalue < 1e-10


# Central 99.9 % of the binomial distribution of rejections in 1000 repetitions, at levels 0.05 and 0.01.
REPETITIONS, BOUNDS = 1000, {0.05: (29, 74), 0.01: (2, 22)}


def test_bounds_are_those_of_the_binomial_distribution():
    for level, (low, high) in BOUNDS.items():
        mass = [math.comb(REPETITIONS, k) * level**k * (1 - level) ** (REPETITIONS - k) for k in range(REPETITIONS + 1)]
        assert sum(mass[:low]) <= 0.0005 < sum(mass[: low + 1])
        assert sum(mass[high + 1 :]) <= 0.0005 < sum(mass[high:])


@pytest.mark.parametrize("method", ["permutation", "wild_bootstrap", "groups"])
def test_level_over_a_thousand_null_repetitions(method):
    rng = np.random.default_rng(11)
    rejected = dict.fromkeys(BOUNDS, 0)
    for _ in range(REPETITIONS):
        x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
        options = {"n_resamples": 199, "rng": rng, "bandwidth": 1.5}
        if method == "groups":  # beats of one patient share most of their value
            labels = np.repeat(np.arange(10), 2)
            x, y = (0.2 * s + rng.normal(size=(10, 3))[labels] for s in (x, y))
            options |= {"groups_x": labels, "groups_y": 100 + labels}
        else:
            options["method"] = method
        p = mmd_test(x, y, **options).pvalue
        for level in rejected:
            rejected[level] += p <= level
    for level, (low, high) in BOUNDS.items():
        assert low <= rejected[level] <= high, (level, rejected)


def test_ignoring_the_patients_would_reject_far_too_often():
    """Why groups are there: the same data as above, permuted beat by beat."""
    rng = np.random.default_rng(12)
    labels = np.repeat(np.arange(4), 8)
    rejected = 0
    for _ in range(60):
        x, y = (0.2 * rng.normal(size=(32, 3)) + rng.normal(size=(4, 3))[labels] for _ in range(2))
        rejected += mmd_test(x, y, n_resamples=99, rng=rng, bandwidth=1.5).pvalue <= 0.05
    assert rejected > 20


def test_whole_patients_are_permuted(backend):
    x, y = normal(7, 6, 3)
    groups_x, groups_y = ["a", "a", "b", "c", "c", "c", "c"], ["d", "d", "e", "e", "f", "f"]
    result = mmd_test(x, y, bandwidth=1.0, groups_x=groups_x, groups_y=groups_y, backend=backend)
    assert (result.method, result.n_resamples) == ("exact", math.comb(6, 3))
    pooled, labels = np.concatenate([x, y]), np.array(groups_x + groups_y)
    first = np.isin(labels, ["a", "d", "e"])
    expected = mmd2(pooled[first], pooled[~first], bandwidth=1.0, backend=backend)
    assert np.isclose(result.null_distribution, expected, rtol=1e-10).any()
    assert 1 / 20 <= result.pvalue <= 1


def test_a_shift_is_found_and_its_absence_is_not(backend):
    x, y = normal(60, 60, 30, shift=0.5)
    assert mmd_test(x, y, n_resamples=199, rng=0, backend=backend).pvalue == 1 / 200
    assert mmd_test(x, y, n_resamples=199, rng=0, method="wild_bootstrap", backend=backend).pvalue == 1 / 200
    assert mmd_test(x, y - 0.5, n_resamples=199, rng=0, backend=backend).pvalue > 0.05


def test_identical_samples_have_p_1(backend):
    x, _ = normal(30, 1, 5)
    assert mmd_test(x, x, n_resamples=200, rng=0, backend=backend, bandwidth=1.0).pvalue > 0.9
    same = np.ones((10, 40), np.float32)
    with pytest.warns(RuntimeWarning, match="almost 1"):
        assert mmd_test(same, same, n_resamples=50, rng=0, backend=backend, bandwidth=1.0).pvalue == 1


def test_aggregated_test_keeps_its_level():
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(150):
        x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
        rejected += mmdagg(x, y, n_resamples=(150, 150), n_bandwidths=4, rng=rng).reject
    assert rejected <= 19  # 99.9 % of the binomial distribution at 0.05


@pytest.mark.parametrize("method", ["permutation", "wild_bootstrap"])
@pytest.mark.parametrize("weights", ["uniform", "centred", "increasing", "decreasing"])
def test_aggregated_test_finds_a_difference(backend, method, weights):
    x, y = normal(60, 60, 3, shift=0.9)
    result = mmdagg(x, y, n_resamples=(1000, 300), method=method, weights=weights, rng=0, backend=backend)
    assert result.reject
    assert bool(result)
    assert result.weight.sum() == pytest.approx(1)
    assert result.kernels == ["laplacian_l1"] * 10 + ["gaussian"] * 10
    assert ((result.pvalue > 0) & (result.pvalue <= 1)).all()
    for b, kernel in ((3, "laplacian_l1"), (14, "gaussian")):
        estimator = "unbiased" if method == "permutation" else "paired"
        expected = mmd2(x, y, kernel=kernel, bandwidth=result.bandwidth[b], estimator=estimator)
        assert result.statistic[b] == pytest.approx(expected, rel=1e-10)


# ---- threads, memory, array libraries -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [6, 50])
def test_same_bits_for_every_number_of_threads(backend, dtype, d):
    x, y = normal(500, 460, d, dtype=dtype)

    def everything():
        return [
            *kernel_sums(x, y, bandwidth=[2.0, 4.0, 5.0], backend=backend),
            *mmd2_grad(x, y, bandwidth=4.0, backend=backend)[1:],
            mmd_test(x, y, bandwidth=4.0, n_resamples=20, rng=0, backend=backend).null_distribution,
            mmd_witness(x[:30], x, y, bandwidth=4.0, backend=backend),
            median_bandwidth(x, y, backend=backend),
        ]

    ecgkern.set_num_threads(1)
    expected = everything()
    for threads in (1, 2, 3):
        ecgkern.set_num_threads(threads)
        for got, wanted in zip(everything(), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_calls_from_several_python_threads(backend):
    x, y = normal(300, 300, 30)
    expected = mmd2(x, y, bandwidth=5.0, backend=backend)
    got = []
    workers = [
        threading.Thread(target=lambda: got.append(mmd2(x, y, bandwidth=5.0, backend=backend))) for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == [expected] * 6


@pytest.mark.parametrize("fast", ["numba", "fortran"])
def test_memory_is_that_of_the_samples(fast):
    if not ready(fast):
        pytest.skip(f"backend {fast}")
    n, d = 3000, 200
    x, y = normal(n, n, d, dtype=np.float32)
    of_samples, of_all_pairs = 2 * n * d * 4, (2 * n) ** 2 * 4

    def peak(work):
        work()
        tracemalloc.start()
        work()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    options = {"bandwidth": [20.0, 10.0], "backend": fast}
    assert peak(lambda: mmd2(x, y, **options)) < 1.5 * of_samples + 2e6
    assert peak(lambda: mmd_test(x, y, n_resamples=50, rng=0, **options)) < 1.5 * of_samples + 10e6 < of_all_pairs / 5
    assert peak(lambda: mmd2_grad(x, y, **options)) < 4 * of_samples + 4e6


def test_torch_tensors_in_torch_tensors_out(backend):
    torch = pytest.importorskip("torch")
    x, y = normal(20, 30, 18, dtype=np.float32)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    value = mmd2(tx, ty, bandwidth=4.0, backend=backend)
    assert isinstance(value, torch.Tensor)
    assert value.dtype == torch.float32
    assert value.item() == mmd2(x, y, bandwidth=4.0, backend=backend)
    _, grad_x, _ = mmd2_grad(tx, ty, bandwidth=4.0, backend=backend)
    np.testing.assert_array_equal(grad_x.numpy(), mmd2_grad(x, y, bandwidth=4.0, backend=backend)[1])
    assert isinstance(mmd_witness(tx, tx, ty, bandwidth=4.0, backend=backend), torch.Tensor)
    assert mmd(tx, ty, bandwidth=4.0).item() == mmd(x, y, bandwidth=4.0)
    assert isinstance(MMDReference(tx).mmd2(ty), torch.Tensor)
    with pytest.raises(TypeError, match="one library, but x is torch, y is numpy"):
        mmd2(tx, y)
    with pytest.raises(TypeError, match=r"x requires grad.*x\.detach"):
        mmd2(tx.clone().requires_grad_(), ty)


def test_any_layout_and_real_type(backend):
    x, y = normal(40, 30, 24)
    expected = mmd2(x, y, backend=backend)
    wide = np.zeros((80, 48))
    wide[::2, ::2] = x
    assert mmd2(wide[::2, ::2], np.asfortranarray(y), backend=backend) == pytest.approx(expected, rel=1e-12)
    assert mmd2(x.tolist(), y.tolist(), backend=backend) == pytest.approx(expected, rel=1e-12)
    whole = np.arange(40).reshape(20, 2) % 7
    assert mmd2(whole, whole + 1, backend=backend).dtype == np.float64
    half = mmd2(x.astype(np.float16), y.astype(np.float16), backend=backend)
    assert half.dtype == np.float32
    assert half == pytest.approx(expected, abs=2e-3)
    x.flags.writeable = False
    assert mmd2(x, y, backend=backend) == expected


# ---- samples that are hard, and input that is wrong -----------------------------------------------------------------


@pytest.mark.parametrize("d", [3, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [*WITH_BANDWIDTH, *WITHOUT])
def test_duplicates_and_constant_features(backend, kernel, dtype, d):
    x, y = normal(30, 25, d, dtype=dtype)
    x[:, 0] = y[:, 0] = 3.0
    x[5:15] = x[4]
    y[:10] = x[4]
    bandwidth = bandwidths_of(kernel, math.sqrt(d))
    options = {"kernel": kernel, "bandwidth": bandwidth, "backend": backend}
    value, grad_x, grad_y = mmd2_grad(x, y, **options)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    expected = direct_mmd2(kernel, x, y, math.sqrt(d))
    scale = np.abs(direct(kernel, x, y, math.sqrt(d))).max()
    assert value == pytest.approx(expected, abs=3 * tolerance * scale)
    assert np.isfinite(grad_x).all()
    assert np.isfinite(grad_y).all()


@pytest.mark.parametrize("kernel", ["laplacian", "energy", "gaussian"])
def test_close_samples_far_from_the_mean(backend, kernel):
    """|a|² + |b|² - 2 a·b would lose the distance of neighbours here."""
    rng = np.random.default_rng(0)
    centres = 100 * rng.normal(size=(2, 200))
    x = (centres[rng.integers(0, 2, 40)] + 1e-3 * rng.normal(size=(40, 200))).astype(np.float32)
    y = (centres[rng.integers(0, 2, 40)] + 2e-3 * rng.normal(size=(40, 200))).astype(np.float32)
    sigma = 0.03
    got = mmd2(x, y, kernel=kernel, bandwidth="median" if kernel == "energy" else sigma, backend=backend)
    expected = direct_mmd2(kernel, x, y, sigma)
    assert got == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15, 1e30])
def test_large_and_small_numbers(backend, scale):
    x, y = normal(30, 25, 30)
    expected = mmd2(x, y, backend=backend)
    small = (scale * x).astype(np.float32), (scale * y).astype(np.float32)
    assert mmd2(*small, backend=backend) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="their squares exceed float64; scale them down"):
        mmd2(1e200 * x, y, backend=backend)


def test_a_kernel_that_does_not_see_the_data_is_reported(backend):
    x, y = normal(30, 25, 1000)
    with pytest.warns(RuntimeWarning, match="almost 0.*larger bandwidth"):
        mmd2(x, y, bandwidth=1.0, backend=backend)
    with pytest.warns(RuntimeWarning, match="almost 1.*smaller bandwidth"):
        mmd2(x, y, bandwidth=1e6, backend=backend)
    with pytest.warns(RuntimeWarning, match="almost 0"):
        mmd_test(x, y, bandwidth=1.0, n_resamples=9, backend=backend)
    with pytest.warns(RuntimeWarning, match="almost 0") as caught:
        MMDReference(x, bandwidth=1.0, backend=backend).mmd2(y)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mmd2(x, y, bandwidth=[1.0, 45.0], backend=backend)  # one of them sees it
        mmd2(x, y, backend=backend)


def test_median_of_zero_is_reported(backend):
    x = np.zeros((20, 3))
    with pytest.warns(RuntimeWarning, match="median distance between samples is 0.*: 1 is used"):
        assert median_bandwidth(x, backend=backend) == 1.0
    x[0] = 1.0
    with pytest.warns(RuntimeWarning, match="the mean distance, is used") as caught:
        assert 0 < median_bandwidth(x, backend=backend) < 1
    assert caught[0].filename == __file__


def test_one_sample(backend):
    x, y = normal(1, 20, 4)
    with pytest.warns(RuntimeWarning, match="at least two samples in x and in y, got 1 and 20: the result is NaN"):
        assert math.isnan(mmd2(x, y, bandwidth=1.0, backend=backend))
    assert mmd2(x, y, bandwidth=1.0, estimator="biased", backend=backend) == pytest.approx(
        direct_mmd2("gaussian", x, y, estimator="biased"), rel=1e-12
    )
    with pytest.warns(RuntimeWarning, match="at least two samples"):
        result = mmd_test(x, y, bandwidth=1.0, backend=backend)
    assert math.isnan(result.pvalue)
    assert math.isnan(result.statistic)
    with pytest.raises(ValueError, match="at least two samples in x and in y, got 1 and 20"):
        mmd2_grad(x, y, bandwidth=1.0, backend=backend)
    with pytest.raises(ValueError, match="at least two samples, got 1"):
        median_bandwidth(x, backend=backend)


def test_a_patient_on_both_sides_is_reported():
    x, y = normal(6, 6, 3)
    with pytest.warns(RuntimeWarning, match=r"1 label is in both groups_x and groups_y \(7\).*keep each patient"):
        mmd_test(x, y, groups_x=[1, 1, 2, 2, 7, 7], groups_y=[7, 7, 8, 8, 9, 9], rng=0)


NAN = np.array([[0.0, 1.0], [np.nan, 2.0], [3.0, 4.0]])
GOOD = np.arange(6.0).reshape(3, 2) ** 2
BAD_CALLS = [
    (lambda f: f(NAN, GOOD), ValueError, r"x must be finite, got nan at \[1, 0\]"),
    (lambda f: f(GOOD, np.full((2, 2), np.inf)), ValueError, r"y must be finite, got inf at \[0, 0\]"),
    (lambda f: f(GOOD, GOOD[:, :1]), ValueError, "same number of features, got 2 and 1"),
    (lambda f: f(GOOD[:, 0], GOOD), ValueError, r"x must be 2-D, .*got shape \(3,\); pass x\[:, None\]"),
    (lambda f: f(GOOD, GOOD.reshape(3, 1, 2)), ValueError, r"y must be 2-D.*pass y.reshape\(len\(y\), -1\)"),
    (lambda f: f(GOOD[:0], GOOD), ValueError, r"x must hold at least one sample of at least one feature.*\(0, 2\)"),
    (lambda f: f(GOOD, GOOD[:, :0]), ValueError, r"y must hold at least one sample.*\(3, 0\)"),
    (lambda f: f(5.0, GOOD), ValueError, "x must be 2-D"),
    (lambda f: f(GOOD + 1j, GOOD), TypeError, "x must hold real numbers, got dtype complex128"),
    (lambda f: f(GOOD.astype(object), GOOD), TypeError, "x must hold real numbers, got dtype object"),
    (lambda f: f(GOOD.astype(str), GOOD), TypeError, "x must hold real numbers"),
    (lambda f: f(np.ma.masked_array(GOOD), GOOD), TypeError, "x is a masked array"),
    (lambda f: f([[1, 2], [3]], GOOD), ValueError, "x must be a rectangular array"),
    (lambda f: f(GOOD, GOOD, kernel="rbf"), ValueError, "kernel must be one of gaussian, .*got 'rbf'"),
    (lambda f: f(GOOD, GOOD, kernel=3), TypeError, "kernel must be a name or a Kernel, got int"),
    (lambda f: f(GOOD, GOOD, bandwidth=0), ValueError, r"bandwidth must be greater than 0, got 0.0 at \[0\]"),
    (lambda f: f(GOOD, GOOD, bandwidth=[1, -2]), ValueError, r"bandwidth must be greater than 0, got -2.0 at \[1\]"),
    (lambda f: f(GOOD, GOOD, bandwidth=np.nan), ValueError, "bandwidth must be finite"),
    (lambda f: f(GOOD, GOOD, bandwidth=[]), ValueError, "bandwidth must hold at least one number"),
    (lambda f: f(GOOD, GOOD, bandwidth="mean"), ValueError, "bandwidth must be \"median\", a number.*got 'mean'"),
    (lambda f: f(GOOD, GOOD, bandwidth=1e-200), ValueError, "bandwidth must be between"),
    (lambda f: f(GOOD, GOOD, bandwidth=None), TypeError, "bandwidth must hold real numbers"),
    (lambda f: f(GOOD, GOOD, kernel="energy", bandwidth=2.0), ValueError, "kernel 'energy' has no bandwidth"),
    (lambda f: f(GOOD, GOOD, backend="gpu"), ValueError, "backend must be None or one of"),
]


@pytest.mark.parametrize("function", [mmd2, kernel_sums, mmd2_grad, mmd_test], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS, ids=[m for _, _, m in BAD_CALLS])
def test_bad_samples_kernels_and_bandwidths(function, call, error, message):
    with pytest.raises(error, match=message):
        call(function)


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS[:13], ids=[m for _, _, m in BAD_CALLS[:13]])
def test_bad_samples_of_the_aggregated_test(call, error, message):
    with pytest.raises(error, match=message):
        call(mmdagg)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mmd2(GOOD, GOOD, estimator="best"), ValueError, "estimator must be one of 'unbiased', .*got 'best'"),
        (lambda: mmd2(GOOD, GOOD, precision="tf32"), ValueError, "precision must be one of 'highest'"),
        (lambda: mmd2(GOOD, GOOD[:2], estimator="paired"), ValueError, "paired estimator needs as many.*3 and 2"),
        (
            lambda: mmd2(GOOD, GOOD, estimator="block", block_size=4),
            ValueError,
            "block_size must be from 2 to .*3, got 4",
        ),
        (lambda: mmd2(GOOD, GOOD, estimator="block", block_size=2.5), TypeError, "block_size must be an integer"),
        (lambda: mmd2(GOOD, GOOD, estimator="incomplete", n_subdiagonals=3), ValueError, "at most n - 1 = 2, got 3"),
        (lambda: mmd2(GOOD, GOOD, bandwidth=[1, 2], weights=[1]), ValueError, "weights must have one entry per band"),
        (lambda: mmd2(GOOD, GOOD, bandwidth=[1, 2], weights=[1, -1]), ValueError, "weights must not be negative"),
        (lambda: mmd2(GOOD, GOOD, bandwidth=[1, 2], weights=[0, 0]), ValueError, "must not all be 0"),
        (lambda: Kernel("gauss"), ValueError, "kernel must be one of"),
        (lambda: Kernel("matern", nu=2.0), ValueError, "nu must be 0.5, 1.5 or 2.5, got 2.0"),
        (lambda: Kernel("rational_quadratic", alpha=0), ValueError, "alpha must be finite and greater than 0"),
        (lambda: Kernel("polynomial", degree=0), ValueError, "degree must be from 1"),
        (lambda: Kernel("polynomial", degree=100), ValueError, "degree must be at most 64"),
        (lambda: Kernel("polynomial", gamma=-1), ValueError, "gamma must be finite and greater than 0"),
        (lambda: Kernel("polynomial", coef0=np.inf), ValueError, "coef0 must be finite, got inf"),
        (lambda: kernel_sums(GOOD, GOOD, shard=(2, 2)), ValueError, "k from 0 to m - 1"),
        (lambda: kernel_sums(GOOD, GOOD, shard=3), ValueError, "shard must be two integers"),
        (lambda: kernel_sums(GOOD, GOOD, shard=(-1, 2)), ValueError, "shard must be two integers"),
        (
            lambda: mmd2_grad(GOOD, GOOD, estimator="linear"),
            ValueError,
            "estimator must be one of 'unbiased', 'biased'",
        ),
        (lambda: mmd_test(GOOD, GOOD, method="bootstrap"), ValueError, "method must be one of 'permutation'"),
        (
            lambda: mmd_test(GOOD, GOOD, estimator="linear"),
            ValueError,
            "estimator must be unbiased or biased for method",
        ),
        (lambda: mmd_test(GOOD, GOOD, n_resamples=0), ValueError, "n_resamples must be from 1"),
        (lambda: mmd_test(GOOD, GOOD[:2], method="wild_bootstrap"), ValueError, "needs as many samples in y as in x"),
        (lambda: mmd_test(GOOD, GOOD, groups_x=[1, 2, 3]), ValueError, "groups_x and groups_y must be given together"),
        (lambda: mmd_test(GOOD, GOOD, groups_x=[1, 2], groups_y=[3, 4, 5]), ValueError, r"groups_x must have .*\(3,\)"),
        (
            lambda: mmd_test(GOOD, GOOD, groups_x=[1] * 3, groups_y=[3, 4, 5]),
            ValueError,
            "at least two different labels",
        ),
        (lambda: mmd_test(GOOD, GOOD, permutations=[[0, 1, 2]]), ValueError, r"permutations must have shape"),
        (lambda: mmd_test(GOOD, GOOD, permutations=[[0, 1, 2, 3, 4, 4]]), ValueError, "once a row, row 0 does not"),
        (lambda: mmd_test(GOOD, GOOD, permutations=[[0.0] * 6]), TypeError, "must hold integers or booleans"),
        (lambda: mmd_test(GOOD, GOOD, permutations=[[True] * 6]), ValueError, "true 3 times a row, got 6 in row 0"),
        (
            lambda: mmd_test(GOOD, GOOD, permutations=[range(6)], groups_x=[1, 2, 3], groups_y=[4, 5, 6]),
            ValueError,
            "exclude each other",
        ),
        (
            lambda: mmd_test(GOOD, GOOD, method="wild_bootstrap", groups_x=[1] * 3),
            ValueError,
            'need method="permutation"',
        ),
        (lambda: mmdagg(GOOD, GOOD, alpha=1.0), ValueError, "alpha must be between 0 and 1"),
        (lambda: mmdagg(GOOD, GOOD, kernels="gaussian"), ValueError, "kernels must be a sequence of names"),
        (lambda: mmdagg(GOOD, GOOD, kernels=("energy",)), ValueError, "energy has none"),
        (lambda: mmdagg(GOOD, GOOD, n_resamples=100), ValueError, "n_resamples must be two integers"),
        (lambda: mmdagg(GOOD, GOOD, weights="equal"), ValueError, "weights must be one of 'uniform'"),
        (lambda: mmdagg(GOOD, GOOD[:2], method="wild_bootstrap"), ValueError, "as many samples"),
        (lambda: kid(GOOD, GOOD), ValueError, "subset_size must be from 2 to .*subsets=None"),
        (lambda: median_bandwidth(GOOD, metric="cosine"), ValueError, "metric must be one of 'euclidean', 'cityblock'"),
        (lambda: median_bandwidth(GOOD, subsample=0), ValueError, "subsample must be from 1"),
        (
            lambda: mmd_witness(GOOD[:, :1], GOOD, GOOD),
            ValueError,
            "points and x must have the same number of features",
        ),
        (lambda: MMDReference(NAN), ValueError, "x must be finite"),
        (lambda: MMDReference(GOOD).mmd2(GOOD[:, :1]), ValueError, "same number of features"),
        (lambda: MMDReference(GOOD).mmd2(GOOD, estimator="paired"), ValueError, "estimator must be one of"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_options(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- what once went wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [3, 30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", ["energy", "laplacian"])
def test_gradients_of_near_copies(backend, kernel, dtype, d):
    """Where y nearly copies x, as from a generator that memorises, slopes are huge and differences small."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, d)).astype(dtype)
    for closeness in (1e-2, 1e-4, 1e-6):
        y = (x + closeness * rng.normal(size=x.shape)).astype(dtype)
        z = np.concatenate([x, y]).astype(np.longdouble)
        difference = z[:, None] - z[None]
        distance = np.sqrt((difference**2).sum(-1))
        slope = np.where(distance > 0, -0.5 / np.where(distance > 0, distance, 1), 0)
        if kernel == "laplacian":
            slope *= np.exp(-distance / 2) / 2
        weight = np.full((80, 80), 1 / (40 * 39))
        weight[:40, 40:] = weight[40:, :40] = -1 / 40**2
        expected = 4 * ((weight * slope)[:, :, None] * difference).sum(1)
        bandwidth = 2.0 if kernel == "laplacian" else "median"
        got = np.concatenate(mmd2_grad(x, y, kernel=kernel, bandwidth=bandwidth, backend=backend)[1:])
        tolerance = 1e-5 if dtype == np.float32 else 1e-11
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * float(np.abs(expected).max()))


@pytest.mark.parametrize("d", [3, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_sample_far_away_does_not_cost_the_others_their_digits(backend, d, dtype):
    x, y = normal(60, 50, d, dtype=dtype)
    x[0, 0] = 1e12
    pooled = np.concatenate([x, y]).astype("f8")
    distances = np.sqrt(((pooled[:, None] - pooled[None]) ** 2).sum(-1))[np.triu_indices(110, 1)]
    assert median_bandwidth(x, y, backend=backend) == pytest.approx(np.median(distances), rel=1e-6)
    expected = direct_mmd2("gaussian", x, y, 3.0)
    assert mmd2(x, y, bandwidth=3.0, backend=backend) == pytest.approx(expected, abs=1e-6)


def test_float32_near_its_limit(backend):
    x = (1e38 * (1 + np.random.default_rng(0).random((10, 3)))).astype(np.float32)
    expected = mmd2(x / 1e30, x / 2e30, bandwidth=1e8, backend=backend)
    assert mmd2(x, x / 2, bandwidth=1e38, backend=backend) == pytest.approx(expected, rel=1e-5)
    with pytest.warns(RuntimeWarning, match="median distance between samples is 0"):
        assert median_bandwidth(np.full((10, 3), 3e38, np.float32), backend=backend) == 1.0
    with pytest.raises(ValueError, match="vanish in float64; scale them up"):
        median_bandwidth(1e-170 * np.random.default_rng(0).normal(size=(10, 3)), backend=backend)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_kernel_of_samples_with_an_offset(backend, dtype):
    x, y = normal(60, 50, 30, shift=0.5)
    expected = mmd2(x, y, kernel="linear", backend=backend)
    pvalue = mmd_test(x, y, kernel="linear", rng=0, backend=backend).pvalue
    x, y = (x + 1e4).astype(dtype), (y + 1e4).astype(dtype)
    close = pytest.approx(expected, rel=1e-7 if dtype == np.float64 else 5e-3)  # 1e4 in float32 has steps of 0.001
    options = {"kernel": "linear", "backend": backend}
    assert mmd2(x, y, **options) == close
    assert mmd2_grad(x, y, **options)[0] == close
    assert MMDReference(x, **options).mmd2(y) == close
    assert mmd_test(x, y, rng=0, **options).statistic == close
    assert mmd_test(x, y, rng=0, **options).pvalue == pytest.approx(pvalue, abs=0.01)


def test_median_of_many_equal_distances_keeps_few(backend, monkeypatch):
    from ecgkern.stats import _bandwidth

    monkeypatch.setattr(_bandwidth, "_MOST_KEPT", 500)
    monkeypatch.setattr(_bandwidth, "_BLOCK", 16)
    rng = np.random.default_rng(0)
    one_hot = np.eye(20)[rng.integers(20, size=300)]
    assert median_bandwidth(one_hot, backend=backend) == pytest.approx(math.sqrt(2), rel=1e-15)
    whole = rng.integers(0, 3, size=(300, 4)).astype(float)
    distances = np.sqrt(((whole[:, None] - whole[None]) ** 2).sum(-1))[np.triu_indices(300, 1)]
    assert median_bandwidth(whole, backend=backend) == pytest.approx(np.median(distances), rel=1e-14)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 90), d=st.sampled_from([1, 2, 20]), levels=st.integers(1, 50), seed=st.integers(0, 10**6))
def test_median_of_any_ties(n, d, levels, seed):
    from ecgkern.stats import _bandwidth

    x = np.random.default_rng(seed).integers(0, levels + 1, size=(n, d)).astype(float)
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))[np.triu_indices(n, 1)]
    expected = np.median(distances)
    if expected == 0:
        expected = distances.mean() or 1.0
    keep = _bandwidth._MOST_KEPT, _bandwidth._BLOCK
    _bandwidth._MOST_KEPT, _bandwidth._BLOCK = 50, 8
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            assert median_bandwidth(x) == pytest.approx(expected, rel=1e-12)
    finally:
        _bandwidth._MOST_KEPT, _bandwidth._BLOCK = keep


@pytest.mark.parametrize("two", [[2.0, np.nextafter(2.0, 3.0)], [42.0, 43.0]])
def test_median_of_two_numbers_each_many_times(monkeypatch, two):
    """The search has to end where nothing lies between them, as where rounding makes two numbers of one distance."""
    from types import SimpleNamespace

    from ecgkern.stats import Kernel, _bandwidth, _numpy, _pool

    monkeypatch.setattr(_bandwidth, "_MOST_KEPT", 100)
    monkeypatch.setattr(_bandwidth, "_BLOCK", 8)
    two = np.array(two)

    def measures(pool, i, j, measure, out):
        rows, columns = np.arange(i.start, i.stop)[:, None], np.arange(j.start, j.stop)
        out[...] = two[(rows * columns % 3 == 0).astype(int)]

    x = np.random.default_rng(0).normal(size=(200, 3))
    i, j = np.triu_indices(200, 1)
    expected = np.median(two[(i * j % 3 == 0).astype(int)])
    monkeypatch.setattr(_bandwidth, "_random_measures", lambda pool, kernel, count, rng: np.resize(two, count))
    module = SimpleNamespace(measures=measures, centre=_numpy.centre)
    pool = _pool.pool((x,), 0, module)
    got = _bandwidth._order_statistics(pool, Kernel("gaussian"), module, (i.size // 2, i.size // 2))
    assert got.tolist() == [expected, expected]
    lower = np.count_nonzero(i * j % 3)
    got = _bandwidth._order_statistics(pool, Kernel("gaussian"), module, (lower - 1, lower))
    assert got.tolist() == two.tolist()
    for rank in (0, np.count_nonzero(i * j % 3) - 1, np.count_nonzero(i * j % 3), i.size - 1):
        got = _bandwidth._order_statistics(pool, Kernel("gaussian"), module, (rank, rank))
        assert got[0] == two[int(rank >= np.count_nonzero(i * j % 3))]


def test_reference_keeps_its_library_and_its_bandwidth():
    torch = pytest.importorskip("torch")
    x, y = normal(30, 20, 4)
    reference = MMDReference(torch.from_numpy(x))
    assert reference.test(torch.from_numpy(y), n_resamples=9, rng=0).n_resamples == 9
    with pytest.raises(TypeError, match="one library"):
        reference.mmd2(y)
    assert isinstance(MMDReference(x.tolist()).mmd2(torch.from_numpy(y)), torch.Tensor)
    bandwidth = np.array([2.0])
    fixed = MMDReference(x, bandwidth=bandwidth)
    before = fixed.mmd2(y)
    bandwidth *= 2
    assert fixed.mmd2(y) == before
    with pytest.raises(ValueError, match="read-only"):
        fixed.bandwidth[0] = 1.0


def test_shards_add_up_by_sum_and_results_compare():
    x, y = normal(30, 20, 4)
    parts = [kernel_sums(x, y, bandwidth=2.0, shard=(k, 2)) for k in range(2)]
    assert sum(parts).xx == pytest.approx(kernel_sums(x, y, bandwidth=2.0).xx)
    assert parts[0] != parts[1]
    assert len({parts[0], parts[1]}) == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mmd_test(GOOD, GOOD, groups_x=[1, np.nan, 2], groups_y=[3, 4, 5]),
            ValueError,
            "missing labels, got nan",
        ),
        (
            lambda: mmd_test(GOOD, GOOD, groups_x=["a", None, "b"], groups_y=[3, 4, 5]),
            ValueError,
            "missing labels, got Non",
        ),
        (lambda: Kernel("polynomial", coef0="a"), TypeError, "coef0 must be a real number, got str"),
        (lambda: Kernel("matern", nu=np.ones(2)), TypeError, "nu must be a real number, got ndarray"),
        (lambda: Kernel(["gaussian"]), ValueError, "kernel must be one of"),
        (lambda: Kernel("rational_quadratic", alpha=1e9), ValueError, "alpha must be at most 1e6"),
        (lambda: mmd2(np.array([[2**53 + 1]]), [[0]]), ValueError, r"integers that float64 holds"),
        (lambda: mmd2(GOOD, GOOD, block_size=2), ValueError, "block_size is for estimator='block'"),
        (lambda: mmd2(GOOD, GOOD, n_subdiagonals=2), ValueError, "n_subdiagonals is for estimator='incomplete'"),
        (lambda: kernel_sums(GOOD, GOOD, shard=(True, 2)), ValueError, "shard must be two integers"),
        (lambda: mmd_test(GOOD, GOOD, rng="seed"), TypeError, "rng must be a numpy.random.Generator"),
        (lambda: mmd_test(GOOD, GOOD, rng=True), TypeError, "rng must be a numpy.random.Generator"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_details(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_large_weights_do_not_overflow():
    x, y = normal(30, 20, 4)
    expected = mmd2(x, y, bandwidth=[1.0, 2.0])
    assert mmd2(x, y, bandwidth=[1.0, 2.0], weights=[1e308, 1e308]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("estimator", ["linear", "block", "incomplete", "paired"])
def test_blindness_is_reported_by_every_estimator(estimator):
    x, y = normal(30, 30, 4)
    with pytest.warns(RuntimeWarning, match="almost 0"):
        mmd2(x, y, bandwidth=1e-3, estimator=estimator)


def test_blindness_is_reported_by_gradient_and_witness():
    x, y = normal(30, 30, 4)
    with pytest.warns(RuntimeWarning, match="almost 0"):
        mmd2_grad(x, y, bandwidth=1e-3)
    with pytest.warns(RuntimeWarning, match="almost 0"):
        mmd_witness(x + 1, x, y, bandwidth=1e-3)


def test_bits_do_not_depend_on_the_threads_of_blas(tmp_path):
    import hashlib
    import os
    import subprocess
    import sys

    code = (
        "import hashlib, numpy as np; from ecgkern.stats import mmd_test; rng = np.random.default_rng(0);"
        "r = mmd_test(rng.normal(size=(700, 30)), rng.normal(size=(600, 30)), bandwidth=5.0, estimator='biased',"
        "n_resamples=50, rng=0); print(hashlib.md5(r.null_distribution.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == len(hashlib.md5().hexdigest())
