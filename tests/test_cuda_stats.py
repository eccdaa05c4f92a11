"""MMD on a GPU, or on the emulated one, against the numpy backend; and the products of cuda/mma.cuh by their layout."""

import ctypes

import emulator
import numpy as np
import pytest

from ecgkern.stats import (
    Kernel,
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
from ecgkern.stats import _cuda as stats_cuda

KERNELS = (
    "gaussian",
    "laplacian",
    "laplacian_l1",
    Kernel("rational_quadratic", alpha=1.7),
    "imq",
    "matern",
    Kernel("matern", nu=2.5),
    Kernel("matern", nu=0.5),
    "energy",
    "polynomial",
    "linear",
)
ALL_KERNELS = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k if isinstance(k, str) else f"{k.name}{k.nu}")
# Tensor cores take more than 16 float32 features; 33 and 70 leave a last block of them unfilled.
SHAPES = pytest.mark.parametrize(
    ("dtype", "d"),
    [(np.float32, 33), (np.float32, 5), (np.float64, 33), (np.float64, 3)],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
# Of kernel sums by the largest of them, of MMD² by the mean of the kernel, of gradients by the largest.
# The emulator stays three times below those of float32; tensor cores round less well than it does.
TOLERANCE = {np.float32: 3e-7, np.float64: 1e-13}
OF_GRADIENTS = {np.float32: 1e-5, np.float64: 1e-11}


def samples(n, m, d, dtype=np.float32, *, offset=0.0, shift=0.3, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)) + offset, 1.1 * rng.normal(size=(m, d)) + shift + offset
    return x.astype(dtype), y.astype(dtype)


def name_of(kernel):
    return kernel if isinstance(kernel, str) else kernel.name


def widths(kernel, d, *factors):
    """Bandwidths that suit d features, for kernels that have one."""
    scale = d if kernel == "laplacian_l1" else np.sqrt(d)
    has = name_of(kernel) not in ("energy", "polynomial", "linear")
    return {"kernel": kernel, "bandwidth": [f * scale for f in factors]} if has else {"kernel": kernel}


def wide(*arrays):
    return [array.astype(np.float64) for array in arrays]


@SHAPES
@ALL_KERNELS
def test_sums_of_kernels(gpu, kernel, dtype, d):
    x, y = samples(130, 71, d, dtype)
    # Ratios of 2 (chains), of 3 and in no order; more than are summed at once.
    options = widths(kernel, d, 1.0, 0.5, 4.0, 2.0, 3.0, 8.0, 16.0, 0.7, 32.0)
    expected = kernel_sums(*wide(x, y), backend="numpy", **options)
    found = kernel_sums(gpu.array(x), gpu.array(y), **options)
    for name in ("xx", "yy", "xy", "trace_x", "trace_y"):
        wanted, got = getattr(expected, name), gpu.get(getattr(found, name))
        assert got.dtype == np.float64
        largest = np.abs(expected.xx if name_of(kernel) == "linear" else wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE[dtype] * largest, err_msg=name)


@SHAPES
@ALL_KERNELS
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_mmd2(gpu, kernel, estimator, dtype, d):
    x, y = samples(70, 131, d, dtype)
    options = {"estimator": estimator, **widths(kernel, d, 1.0, 0.5)}
    if len(options) == 3:
        options["weights"] = [1.0, 3.0]
    expected = mmd2(*wide(x, y), backend="numpy", **options)
    value = mmd2(gpu.array(x), gpu.array(y), **options)
    assert type(value) is type(gpu.array(x))
    found = gpu.get(value)
    assert found.shape == ()
    assert found.dtype == dtype
    means = kernel_sums(*wide(x, y), backend="numpy", **widths(kernel, d, 1.0))
    of_kernel = abs(means.xy[0]) / (70 * 131)
    assert abs(found - expected) <= TOLERANCE[dtype] * of_kernel + np.finfo(dtype).eps * abs(expected)


def relative_error(gpu, x, y, **options):
    expected = mmd2(*wide(x, y), backend="numpy", **options)
    return abs(gpu.get(mmd2(gpu.array(x), gpu.array(y), **options)) / expected - 1)


@pytest.mark.parametrize("offset", [10.0, 1e4])
def test_samples_off_zero(gpu, offset):
    x, y = samples(140, 90, 40, offset=offset)
    assert relative_error(gpu, x, y, bandwidth=[4.0, 8.0]) < 3e-6


@pytest.mark.parametrize("kernel", [Kernel("polynomial", coef0=1), Kernel("rational_quadratic", alpha=2)])
def test_parameters_that_are_integers(gpu, kernel):
    x, y = samples(9, 8, 3, np.float64)
    options = {"kernel": kernel, **({"bandwidth": 1} if kernel.has_bandwidth else {})}
    found = mmd2(gpu.array(x), gpu.array(y), **options)
    assert float(gpu.get(found)) == pytest.approx(float(mmd2(x, y, **options, backend="numpy")))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian"])
def test_many_bandwidths(gpu, kernel, dtype):
    """More than a pass over the pairs takes, each but the first a power of the one before."""
    x, y = samples(9, 8, 20, dtype)
    sigma = 2.0 ** np.arange(-1, 10)
    expected = kernel_sums(x, y, kernel=kernel, bandwidth=sigma, backend="numpy")
    found = kernel_sums(gpu.array(x), gpu.array(y), kernel=kernel, bandwidth=sigma)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(gpu.get(one), other, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_the_median_of_two_samples_and_of_products_of_halves(gpu, monkeypatch):
    x, y = samples(1, 1, 5)
    found = mmd2(gpu.array(x), gpu.array(y), estimator="biased")
    assert float(gpu.get(found)) == pytest.approx(float(mmd2(x, y, estimator="biased", backend="numpy")), rel=1e-5)
    monkeypatch.setattr(stats_cuda, "_MOST_STORED", 10)
    x, y = samples(40, 30, 20)
    found = mmd2(gpu.array(x), gpu.array(y), precision="high")
    assert float(gpu.get(found)) == pytest.approx(float(mmd2(x, y, backend="numpy")), abs=1e-3)


def test_samples_that_are_nearly_copies(gpu):
    x, y = samples(60, 60, 40)
    y[:] = x * np.float32(1 + 1e-3)
    for kernel, bandwidth in (("gaussian", 0.02), ("laplacian", 0.05), ("energy", None)):
        options = {"kernel": kernel} | ({} if bandwidth is None else {"bandwidth": bandwidth})
        expected = kernel_sums(*wide(x, y), backend="numpy", **options)
        found = kernel_sums(gpu.array(x), gpu.array(y), **options)
        np.testing.assert_allclose(gpu.get(found.xy), expected.xy, rtol=1e-6)


def test_one_outlier_and_features_of_different_size(gpu):
    x, y = samples(100, 150, 40)
    x[7, 3] = 1e5
    assert relative_error(gpu, x, y, bandwidth=[4.0, 8.0]) < 3e-6
    x, y = samples(100, 150, 40)
    assert relative_error(gpu, 1e-9 * x, 1e-9 * y, bandwidth=[4e-9, 8e-9]) < 3e-6
    assert relative_error(gpu, 1e9 * x, 1e9 * y, bandwidth=[4e9, 8e9]) < 3e-6


def test_two_clusters_far_apart(gpu):
    x, y = samples(65, 65, 40)
    x[::2] += 300.0
    y[::2] += 300.0
    assert relative_error(gpu, x, y, bandwidth=[4.0, 8.0]) < 1e-5


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_less_precision_where_it_is_asked_for(gpu, precision):
    x, y = samples(140, 90, 70)
    expected = mmd2(*wide(x, y), bandwidth=8.0, backend="numpy")
    error = abs(gpu.get(mmd2(gpu.array(x), gpu.array(y), bandwidth=8.0, precision=precision)) / expected - 1)
    assert 1e-7 < error < 1e-3
    _, *expected = mmd2_grad(*wide(x, y), bandwidth=8.0, backend="numpy")
    _, *found = mmd2_grad(gpu.array(x), gpu.array(y), bandwidth=8.0, precision=precision)
    for wanted, got in zip(expected, map(gpu.get, found), strict=True):
        assert 1e-6 < np.abs(got - wanted).max() / np.abs(wanted).max() < 2e-3


def test_parts_add_up_and_bits_repeat(gpu):
    x, y = map(gpu.array, samples(300, 140, 20))
    whole = kernel_sums(x, y, bandwidth=[4.0, 1.0])
    parts = [kernel_sums(x, y, bandwidth=[4.0, 1.0], shard=(k, 3)) for k in range(3)]
    for name in ("xx", "yy", "xy", "trace_x", "trace_y"):
        added = sum(gpu.get(getattr(part, name)) for part in parts)
        np.testing.assert_allclose(added, gpu.get(getattr(whole, name)), rtol=1e-14)
    again = kernel_sums(x, y, bandwidth=[4.0, 1.0])
    assert gpu.get(again.xx).tobytes() == gpu.get(whole.xx).tobytes()


def test_more_tiles_than_blocks(gpu, monkeypatch):
    monkeypatch.setattr(stats_cuda, "_BLOCKS", 5)
    monkeypatch.setattr(stats_cuda, "_BLOCKS_OF_FORMS", 5)
    x, y = samples(900, 700, 2)  # 14 + 11 tiles: bands of 12
    expected = kernel_sums(*wide(x, y), bandwidth=1.0, backend="numpy")
    found = kernel_sums(gpu.array(x), gpu.array(y), bandwidth=1.0)
    for name in ("xx", "yy", "xy"):
        np.testing.assert_allclose(gpu.get(getattr(found, name)), getattr(expected, name), rtol=1e-7)


def test_a_bandwidth_on_the_card_and_the_square_root(gpu):
    x, y = samples(40, 50, 20)
    sigma = median_bandwidth(gpu.array(x))
    assert gpu.get(sigma).shape == ()
    expected = mmd(*wide(x, y), bandwidth=median_bandwidth(x.astype(float), backend="numpy"), backend="numpy")
    np.testing.assert_allclose(gpu.get(mmd(gpu.array(x), gpu.array(y), bandwidth=sigma)), expected, rtol=1e-6)
    several = gpu.array(np.array([3.0, 20.0, 6.0]))
    for kernel in ("gaussian", "laplacian", "imq", "matern"):
        expected = kernel_sums(*wide(x, y), kernel=kernel, bandwidth=[3.0, 20.0, 6.0], backend="numpy")
        found = kernel_sums(gpu.array(x), gpu.array(y), kernel=kernel, bandwidth=several)
        np.testing.assert_allclose(gpu.get(found.xy), expected.xy, rtol=1e-7)
    assert gpu.get(mmd(gpu.array(x), gpu.array(x), estimator="unbiased")) == 0.0  # the root of a number below 0


@SHAPES
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_median_distance(gpu, metric, dtype, d, monkeypatch):
    x, y = samples(75, 64, d, dtype)
    expected = median_bandwidth(*wide(x, y), metric=metric, backend="numpy")
    rtol = 2e-7 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(
        gpu.get(median_bandwidth(gpu.array(x), gpu.array(y), metric=metric)), expected, rtol=rtol
    )
    drawn = median_bandwidth(*wide(x, y), metric=metric, subsample=51, rng=3, backend="numpy")
    found = median_bandwidth(gpu.array(x), gpu.array(y), metric=metric, subsample=51, rng=3)
    np.testing.assert_allclose(gpu.get(found), drawn, rtol=rtol)
    # As for many samples: guesses bracket the median, and the distances in the bracket are counted.
    monkeypatch.setattr(stats_cuda, "_MOST_STORED", 10)
    monkeypatch.setattr(stats_cuda, "_GUESSES", 1 << 10)
    counted = gpu.get(median_bandwidth(gpu.array(x), gpu.array(y), metric=metric))
    np.testing.assert_allclose(counted, expected, rtol=2e-5)


def test_median_distance_of_few_values(gpu, monkeypatch):
    rng = np.random.default_rng(0)
    grid = rng.integers(0, 3, size=(80, 20)).astype(np.float32)
    same = np.ones((90, 20), np.float32)
    mostly = same.copy()
    mostly[:9] = 3.0
    for most in (1 << 21, 10):
        monkeypatch.setattr(stats_cuda, "_MOST_STORED", most)
        monkeypatch.setattr(stats_cuda, "_GUESSES", 1 << 10)
        expected = median_bandwidth(grid, backend="numpy")
        np.testing.assert_allclose(gpu.get(median_bandwidth(gpu.array(grid))), expected, rtol=1e-7)
        assert gpu.get(median_bandwidth(gpu.array(same))) == 1.0
        with pytest.warns(RuntimeWarning, match="median distance"):
            mean = median_bandwidth(mostly, backend="numpy")
        np.testing.assert_allclose(gpu.get(median_bandwidth(gpu.array(mostly))), mean, rtol=1e-6)


@SHAPES
@ALL_KERNELS
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_gradients(gpu, kernel, estimator, dtype, d):
    x, y = samples(40, 75, d, dtype)
    options = {"estimator": estimator, **widths(kernel, d, 1.0, 0.5, 0.2)}
    value, *expected = mmd2_grad(*wide(x, y), backend="numpy", **options)
    found_value, *found = mmd2_grad(gpu.array(x), gpu.array(y), **options)
    assert gpu.get(found_value).dtype == dtype
    np.testing.assert_allclose(gpu.get(found_value), value, rtol=1e-5 if dtype == np.float32 else 1e-11)
    largest = max(np.abs(part).max() for part in expected)
    for wanted, got in zip(expected, map(gpu.get, found), strict=True):
        assert got.dtype == dtype
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=OF_GRADIENTS[dtype] * largest)


@pytest.mark.parametrize(("dtype", "d"), [(np.float32, 130), (np.float64, 3), (np.float32, 3)])
def test_gradients_panel_by_panel(gpu, dtype, d, monkeypatch):
    monkeypatch.setattr(stats_cuda, "_PANEL_ROWS", 128)
    monkeypatch.setattr(stats_cuda, "_PANEL_COLUMNS", 256)
    x, y = samples(150, 140, d, dtype)
    value, *expected = mmd2_grad(*wide(x, y), bandwidth=10.0, backend="numpy")
    found_value, *found = mmd2_grad(gpu.array(x), gpu.array(y), bandwidth=10.0)
    np.testing.assert_allclose(gpu.get(found_value), value, rtol=1e-5)
    for wanted, got in zip(expected, map(gpu.get, found), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=OF_GRADIENTS[dtype] * np.abs(wanted).max())


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy", "matern"])
def test_gradients_of_near_copies_and_copies(gpu, kernel):
    x, y = samples(50, 60, 40)
    y[:50] = x + 1e-3 * y[:50]
    y[50] = x[0]
    y[51] = y[52]
    options = widths(kernel, 40, 1.0)
    _, *expected = mmd2_grad(*wide(x, y), backend="numpy", **options)
    _, *found = mmd2_grad(gpu.array(x), gpu.array(y), **options)
    for wanted, got in zip(expected, map(gpu.get, found), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@SHAPES
@ALL_KERNELS
def test_witness(gpu, kernel, dtype, d):
    x, y = samples(70, 65, d, dtype)
    points, _ = samples(131, 1, d, dtype, seed=5)
    options = widths(kernel, d, 1.0, 0.6)
    expected = mmd_witness(*wide(points, x, y), backend="numpy", **options)
    found = gpu.get(mmd_witness(gpu.array(points), gpu.array(x), gpu.array(y), **options))
    assert found.dtype == dtype
    size = np.abs(kernel_sums(*wide(points, x), backend="numpy", **options).xy).max() / (131 * 70)
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-6 if dtype == np.float32 else 1e-12) * (1 + size))
    by_median = mmd_witness(gpu.array(points), gpu.array(x), gpu.array(y))
    np.testing.assert_allclose(gpu.get(by_median), mmd_witness(*wide(points, x, y), backend="numpy"), rtol=0, atol=1e-6)


@SHAPES
@pytest.mark.parametrize("kernel", ["gaussian", "energy", Kernel("polynomial", degree=2), "linear"], ids=str)
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_permutation_test(gpu, kernel, estimator, dtype, d):
    x, y = samples(70, 60, d, dtype, shift=0.05)
    options = {"estimator": estimator, "n_resamples": 21, **widths(kernel, d, 1.0, 0.6)}
    expected = mmd_test(*wide(x, y), rng=7, backend="numpy", **options)
    found = mmd_test(gpu.array(x), gpu.array(y), rng=7, **options)
    assert found.pvalue == expected.pvalue
    # A kernel of products is rounded to 31 bits of the largest squared length.
    size = 0 if name_of(kernel) in ("gaussian", "energy") else (wide(x)[0] ** 2).sum(axis=1).max()
    atol = (2e-7 if dtype == np.float32 else 1e-9) * (1 + size)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=0, atol=atol)
    np.testing.assert_allclose(found.null_distribution, expected.null_distribution, rtol=0, atol=atol)
    np.testing.assert_allclose(found.bandwidth, expected.bandwidth)


def test_permutations_that_are_the_same_division_tie(gpu):
    """All divisions of 4 + 4: each has the value of its complement, which rounding must not part."""
    x, y = samples(4, 4, 20, shift=0.5)
    expected = mmd_test(*wide(x, y), backend="numpy")
    found = mmd_test(gpu.array(x), gpu.array(y))
    assert found.method == "exact"
    assert found.n_resamples == 70
    assert found.pvalue == expected.pvalue
    np.testing.assert_allclose(found.bandwidth, expected.bandwidth, rtol=1e-6)


def test_patients_are_dealt_whole_and_signs_come_in_parts(gpu, monkeypatch):
    monkeypatch.setattr(stats_cuda, "_MOST_SIGNS", 1)
    x, y = samples(30, 40, 3, np.float64, shift=0.0)
    options = {"groups_x": np.arange(30) // 4, "groups_y": 100 + np.arange(40) // 3, "n_resamples": 30, "rng": 1}
    expected = mmd_test(x, y, backend="numpy", **options)
    found = mmd_test(gpu.array(x), gpu.array(y), **options)
    assert found.pvalue == expected.pvalue
    np.testing.assert_allclose(found.null_distribution, expected.null_distribution, rtol=0, atol=1e-9)


@pytest.mark.parametrize("d", [3, 20])
def test_nan_in_gives_nan_out(gpu, d):
    x, y = samples(30, 40, d)
    x[3, 1] = np.nan
    assert np.isnan(gpu.get(mmd2(gpu.array(x), gpu.array(y), bandwidth=2.0)))
    assert np.isnan(gpu.get(mmd2(gpu.array(x), gpu.array(y))))
    assert np.isnan(gpu.get(median_bandwidth(gpu.array(x))))
    value, _, grad_y = mmd2_grad(gpu.array(x), gpu.array(y), bandwidth=2.0)
    assert np.isnan(gpu.get(value))
    assert np.isnan(gpu.get(grad_y)).any()
    with pytest.raises(ValueError, match="x and y must be finite"):
        mmd_test(gpu.array(x), gpu.array(y), bandwidth=2.0)


def test_types_of_samples(gpu):
    x, y = samples(30, 40, 20)
    both = mmd2(gpu.array(x), gpu.array(y.astype(np.float64)), bandwidth=4.0)
    assert gpu.get(both).dtype == np.float64
    half = x.astype(np.float16)
    found = gpu.get(mmd2(gpu.array(half), gpu.array(y), bandwidth=4.0))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mmd2(*wide(half, y), bandwidth=4.0, backend="numpy"), rtol=1e-5)
    strided = np.ascontiguousarray(x.T)
    assert gpu.get(mmd2(gpu.array(strided[:5]), gpu.array(strided[5:]), bandwidth=4.0)).dtype == np.float32


def test_errors_name_the_argument(gpu):
    x, y = map(gpu.array, samples(30, 40, 20))
    with pytest.raises(
        ValueError, match=r"x must be 2-D, \(n_samples, n_features\), got shape \(30,\); pass x\[:, None\]"
    ):
        mmd2(x[:, 0], y)
    with pytest.raises(ValueError, match="at least one sample"):
        mmd2(x[:0], y)
    with pytest.raises(ValueError, match="same number of features, got 5 and 20"):
        kernel_sums(x[:, :5], y)
    with pytest.raises(ValueError, match="points and x must have the same number of features, got 5 and 20"):
        mmd_witness(x[:, :5], x, y)
    with pytest.raises(ValueError, match='estimator must be "unbiased" or "biased" for samples on a GPU'):
        mmd2(x, x, estimator="linear")
    with pytest.raises(ValueError, match='method must be "permutation" for samples on a GPU'):
        mmd_test(x, x, method="wild_bootstrap")
    with pytest.raises(ValueError, match="unbiased estimator needs at least two samples"):
        mmd2_grad(x[:1], y)
    with pytest.raises(ValueError, match="bandwidth must be greater than 0"):
        mmd2(x, y, bandwidth=-1.0)
    with pytest.raises(ValueError, match="has no bandwidth"):
        mmd2(x, y, kernel="energy", bandwidth=1.0)
    with pytest.raises(ValueError, match="at least two samples, got 1"):
        median_bandwidth(x[:1])
    with pytest.raises(TypeError, match="all arrays must"):
        mmd2(x, gpu.get(y))
    with pytest.raises(TypeError, match="all arrays must"):
        mmd2(gpu.get(x), gpu.get(y), bandwidth=median_bandwidth(x))
    with pytest.raises(ValueError, match="precision must be one of"):
        mmd2_grad(x, y, precision="low")
    with pytest.raises(TypeError, match="backend 'numpy' takes"):
        mmd2(x, y, backend="numpy")
    with pytest.warns(RuntimeWarning, match="at least two samples"):
        assert np.isnan(gpu.get(mmd2(x[:1], y, bandwidth=1.0)))


@pytest.mark.parametrize("gpu", ["emulated-cupy"], indirect=True)
@pytest.mark.parametrize("function", [kid, mmdagg])
def test_what_has_no_kernels_says_so(gpu, function):
    x, y = map(gpu.array, samples(30, 40, 20))
    with pytest.raises(TypeError, match=r"computes on the host; pass x\.get\(\)"):
        function(x, y)


# The fragments of cuda/mma.cuh written out index by index, as the PTX manual does, for i the values that a lane holds.
LAYOUT = r"""
namespace ecgkern {
__global__ void by_the_manual(const unsigned short *a, const unsigned short *b, float *c, const unsigned char *bytes_a,
                              const signed char *bytes_b, int *of_bytes, int *of_signed, unsigned *differing) {
    __align__(16) __shared__ unsigned short rows_a[16 * 16], rows_b[16 * 16];
    const int lane = threadIdx.x, group = lane >> 2, in_group = lane % 4;
    for (int i = lane; i < 256; i += 32) rows_a[i] = a[i], rows_b[i] = b[i];
    __syncwarp();
    unsigned of_a[4] = {}, of_b[2][2] = {}, loaded[4];
    for (int i = 0; i < 8; ++i) {
        const int row = i < 2 || (4 <= i && i < 6) ? group : group + 8;
        const int column = in_group * 2 + (i & 1) + (i < 4 ? 0 : 8);
        of_a[i / 2] |= unsigned(a[row * 16 + column]) << 16 * (i % 2);
    }
    for (int n = 0; n < 2; ++n)
        for (int i = 0; i < 4; ++i) {
            const int row = in_group * 2 + (i & 1) + (i < 2 ? 0 : 8);
            of_b[n][i / 2] |= unsigned(b[(8 * n + group) * 16 + row]) << 16 * (i % 2);
        }
    load_matrices(loaded, rows_a + lane % 16 * 16 + lane / 16 * 8);
    for (int r = 0; r < 4; ++r) differing[lane] += loaded[r] != of_a[r];
    load_matrices(loaded, rows_b + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
    for (int r = 0; r < 4; ++r) differing[lane] += loaded[r] != of_b[r / 2][r % 2];
    for (int n = 0; n < 2; ++n) {
        float d[4] = {};
        multiply_halves(d, of_a, of_b[n]);
        for (int i = 0; i < 4; ++i)
            c[(i < 2 ? group : group + 8) * 16 + 8 * n + in_group * 2 + (i & 1)] = d[i];
    }
    unsigned wide_a[4] = {}, wide_b[2] = {};
    for (int i = 0; i < 16; ++i) {
        const int row = i < 4 || (8 <= i && i < 12) ? group : group + 8;
        const int column = in_group * 4 + (i & 3) + (i < 8 ? 0 : 16);
        wide_a[i / 4] |= unsigned(bytes_a[row * 32 + column]) << 8 * (i % 4);
    }
    for (int i = 0; i < 8; ++i)
        wide_b[i / 4] |= unsigned((unsigned char)bytes_b[group * 32 + in_group * 4 + (i & 3) + (i < 4 ? 0 : 16)])
                         << 8 * (i % 4);
    int plain[4] = {}, with_sign[4] = {};
    multiply_bytes<false>(plain, wide_a, wide_b);
    multiply_bytes<true>(with_sign, wide_a, wide_b);
    for (int i = 0; i < 4; ++i) {
        const int place = (i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1);
        of_bytes[place] = plain[i], of_signed[place] = with_sign[i];
    }
}
}  // namespace ecgkern
extern "C" void by_the_manual(void **arguments) {
    emulator::launch(emulator::entry<&ecgkern::by_the_manual>("by_the_manual"), {1, 1, 1}, {32, 1, 1}, 0, arguments);
}
"""


def test_products_by_the_layout_of_the_manual():
    source = (emulator.ROOT / "cuda" / "stats.cu").read_text() + LAYOUT
    library = emulator.library("stats", source=source)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(16, 16)).astype(np.float16) for _ in range(2))
    bytes_a = rng.integers(0, 256, size=(16, 32), dtype=np.uint8)
    bytes_b = rng.integers(-128, 128, size=(8, 32), dtype=np.int8)
    c, differing = np.zeros((16, 16), np.float32), np.zeros(32, np.uint32)
    of_bytes, of_signed = np.zeros((16, 8), np.int32), np.zeros((16, 8), np.int32)
    arrays = [a, b, c, bytes_a, bytes_b, of_bytes, of_signed, differing]
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    library.by_the_manual((ctypes.c_void_p * len(arrays))(*map(ctypes.addressof, addresses)))
    assert not differing.any()
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.T.astype(np.float64), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(of_bytes, bytes_a.astype(int) @ bytes_b.T.astype(int))
    np.testing.assert_array_equal(of_signed, bytes_a.view(np.int8).astype(int) @ bytes_b.T.astype(int))
