"""The Kolmogorov-Smirnov test on a GPU, or on the emulated one, against the numpy backend."""

import warnings
from math import sqrt

import numpy as np
import pytest

from ecgkern import _cuda
from ecgkern.stats import KSResult, _cuda_ks, ks_2samp

ALTERNATIVES = ("two-sided", "less", "greater")
NAN, INF = float("nan"), float("inf")


def fields(result):
    return [result.statistic, result.pvalue, result.statistic_location, result.statistic_sign]


def assert_as_host(gpu, x, y, rtol=1e-10, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = ks_2samp(x, y, **options, backend="numpy")
        found = ks_2samp(gpu.array(x), gpu.array(y), **options)
    assert isinstance(found, KSResult)
    for name, mine, wanted in zip(
        ("statistic", "pvalue", "location", "sign"), fields(found), fields(expected), strict=True
    ):
        assert type(mine) is type(gpu.array(np.zeros(1)))
        mine, wanted = gpu.get(mine), np.asarray(wanted)
        assert mine.shape == wanted.shape
        assert name == "sign" or mine.dtype == wanted.dtype
        if name == "pvalue":
            np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=1e-300)
        else:
            np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize(
    ("n1", "n2"), [(1, 1), (1, 4), (3, 2), (7, 7), (40, 50), (64, 64), (300, 211), (500, 499), (2000, 37)]
)
@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_batch_is_that_of_the_host(gpu, n1, n2, alternative, dtype):
    rng = np.random.default_rng(n1 + n2)
    x, y = rng.normal(size=(n1, 35)).astype(dtype), rng.normal(0.1, 1.0, (n2, 35)).astype(dtype)
    x[:, 5:], y[:, 5:] = x[:, 5:].round(1), y[:, 5:].round(1)  # ties
    x[:, 10], y[:, 10] = 0.0, -0.0
    x[:, 11], y[:, 11] = INF, -INF
    x[0, 12] = y[0, 13] = NAN
    for method in ("auto", "asymp"):
        assert_as_host(gpu, x, y, alternative=alternative, method=method)


def test_one_feature_of_many_values(gpu):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=10_007), rng.normal(0.02, 1, 3_001)
    for alternative in ALTERNATIVES:
        assert_as_host(gpu, x, y, alternative=alternative)
    assert_as_host(gpu, x.round(1), y.round(1))
    assert_as_host(gpu, np.array([[3.0, 1.0]]), np.array([[2.0]]), axis=1)


@pytest.mark.parametrize("effective", [1, 2, 9, 77, 140, 141, 500, 4_000, 30_000, 120_000, 2_000_000])
def test_asymptotic_p_values(gpu, effective):
    """Each of the formulas that share the two-sided p-value, and their borders."""
    kstwo = pytest.importorskip("scipy.stats").kstwo
    device = _cuda.of(gpu.array(np.zeros(1)))
    x = np.concatenate([np.geomspace(0.3, 12, 60) / sqrt(effective), [0.0, 0.5 / effective, 0.9 / effective, 1, NAN]])
    x = np.concatenate([x, 1 - np.array([0.3, 0.9, 1.1]) / effective])
    n1 = n2 = 2 * effective
    statistic = gpu.array(x)
    found = gpu.get(_cuda_ks.asymptotic(device, statistic, n1, n2, 2**52, True, False))
    expected = np.clip(kstwo.sf(np.rint(x * 2**52) / 2**52, effective), 0, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-290)


def test_axes_broadcast_and_keepdims(gpu):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(3, 20, 4)), rng.normal(size=(1, 15, 4))
    for options in ({"axis": 1}, {"axis": -2, "keepdims": True}, {"axis": None}, {"axis": None, "keepdims": True}):
        assert_as_host(gpu, x, y, **options)
    assert_as_host(gpu, x[0], y[0, :, :1])
    assert_as_host(gpu, x[0, :, :1], y[0])
    assert_as_host(gpu, rng.normal(size=67), rng.normal(size=(45, 67)))
    assert_as_host(gpu, rng.normal(size=(40, 65)), rng.normal(size=(2, 33, 65)), axis=-2)
    assert_as_host(gpu, np.empty((5, 0)), np.empty((4, 0)))
    assert_as_host(gpu, np.arange(12).reshape(6, 2), np.arange(8.0).astype(np.float32).reshape(4, 2))
    view = rng.normal(size=(40, 9))
    found = ks_2samp(gpu.array(view)[::2, ::3], gpu.array(view)[1::2, ::3])
    expected = ks_2samp(view[::2, ::3], view[1::2, ::3], backend="numpy")
    np.testing.assert_array_equal(gpu.get(found.statistic), expected.statistic)


def test_falls_back_as_on_the_host(gpu):
    rng = np.random.default_rng(1)
    x, y = gpu.array(rng.normal(size=3000)), gpu.array(rng.normal(size=1000))
    with pytest.warns(RuntimeWarning, match="one-sided with sample sizes 3000 and 1000") as caught:
        ks_2samp(x, y, alternative="less")
    assert caught[0].filename == __file__
    assert_as_host(gpu, gpu.get(x), gpu.get(y), alternative="less")


def test_the_input_is_not_changed(gpu):
    x = np.array([[3.0], [NAN], [1.0]])
    card = gpu.array(x)
    statistic, pvalue = ks_2samp(card, card)
    np.testing.assert_array_equal(gpu.get(card), x)
    assert np.isnan(gpu.get(statistic)).all()
    assert np.isnan(gpu.get(pvalue)).all()


def test_bad_arguments(gpu):
    x = gpu.array(np.ones((3, 2)))
    for policy in ("omit", "raise"):
        with pytest.raises(ValueError, match=r"nan_policy must be 'propagate' for arrays on a GPU.* got '"):
            ks_2samp(x, x, nan_policy=policy)
    with pytest.raises(ValueError, match="data2 must have at least one observation along axis 0, got 0"):
        ks_2samp(x, x[:0])
    with pytest.raises(ValueError, match="shapes of data1 and data2 must broadcast"):
        ks_2samp(x, gpu.array(np.ones((3, 3))))
    with pytest.raises(ValueError, match="axis must be from -2 to 1 for 2 dimensions, got 2"):
        ks_2samp(x, x, axis=2)
    with pytest.raises(TypeError, match="data2 must hold real numbers, got dtype complex128"):
        ks_2samp(x, gpu.array(np.ones((3, 2), complex)))
    with pytest.raises(TypeError, match="the arrays are on a GPU, and backend 'numpy' takes"):
        ks_2samp(x, x, backend="numpy")
    with pytest.raises(TypeError, match="all arrays must"):
        ks_2samp(x, np.ones((3, 2)))
