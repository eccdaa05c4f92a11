"""The batched Kolmogorov-Smirnov test: SciPy's numbers, on every backend."""

import json
import warnings
from fractions import Fraction
from math import comb, gcd
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkern
from ecgkern.stats import KSResult, ks_2samp

scipy_stats = pytest.importorskip("scipy.stats")

GOLDEN = json.loads((Path(__file__).parent / "golden" / "stats_ks.json").read_text())
ALTERNATIVES = ("two-sided", "less", "greater")
NAN, INF = float("nan"), float("inf")


def formula(text):
    return eval(text, {name: getattr(np, name) for name in ("sin", "cos", "arange", "array", "round", "nan")})


def fields(result):
    return [result.statistic, result.pvalue, result.statistic_location, result.statistic_sign]


def assert_as_scipy(ours, theirs, rtol=1e-12):
    for mine, wanted in zip(fields(ours), fields(theirs), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=1e-300)
        assert np.shape(mine) == np.shape(wanted)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_golden(backend, name, dtype):
    case = GOLDEN[name]
    data1, data2 = (formula(case[key]).astype(dtype) for key in ("data1", "data2"))
    for wanted in case["results"]:
        ours = ks_2samp(
            data1,
            data2,
            alternative=wanted["alternative"],
            method=wanted["method"],
            nan_policy=case.get("nan_policy", "propagate"),
            backend=backend,
        )
        # float32 keeps the order and so the statistic; the location is rounded to it.
        tolerance = 1e-10
        for key, tol in (("statistic", tolerance), ("pvalue", tolerance), ("location", max(tolerance, 1e-6))):
            if key in wanted:
                expected = np.array(wanted[key], float)
                mine = getattr(ours, {"location": "statistic_location"}.get(key, key))
                np.testing.assert_allclose(mine, expected, rtol=tol if dtype == np.float32 else tolerance, atol=0)
        if "sign" in wanted:
            assert ours.statistic_sign == wanted["sign"]


@pytest.mark.parametrize(
    ("n1", "n2"), [(1, 1), (1, 4), (3, 2), (7, 7), (40, 50), (64, 64), (65, 129), (300, 200), (500, 499)]
)
@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("method", ["auto", "exact", "asymp"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_batch_is_scipy_feature_by_feature(backend, n1, n2, alternative, method, dtype):
    rng = np.random.default_rng(n1 + n2)
    x, y = rng.normal(size=(n1, 11)).astype(dtype), rng.normal(0.1, 1.0, (n2, 11)).astype(dtype)
    x[:, 5:], y[:, 5:] = x[:, 5:].round(1), y[:, 5:].round(1)  # ties
    x[:, 10], y[:, 10] = 0.0, -0.0
    options = {"alternative": alternative, "method": method}
    # SciPy's own one-sided exact p-values lose digits to cancellation.
    loose = alternative != "two-sided" and n1 != n2 and method != "asymp"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ours = ks_2samp(x, y, **options, backend=backend)
        theirs = scipy_stats.ks_2samp(x, y, **options, axis=0)
    assert ours.statistic_location.dtype == dtype
    assert ours.statistic.dtype == ours.pvalue.dtype == np.float64
    assert_as_scipy(ours, theirs, 1e-10 if loose else 1e-12)


def exact_share(n1, n2, height, two_sided):
    """The p-value as a rational number: paths that stay inside, counted one by one."""
    g = gcd(n1, n2)
    row = [0] * (n2 + 1)
    for i in range(n1 + 1):
        for j in range(n2 + 1):
            excess = n2 // g * i - n1 // g * j
            if (abs(excess) if two_sided else excess) >= height:
                row[j] = 0
            elif i == j == 0:
                row[j] = 1
            else:
                row[j] += row[j - 1] if j else 0
    return float(1 - Fraction(row[n2], comb(n1 + n2, n1)))


@pytest.mark.parametrize(("n1", "n2"), [(1, 2), (5, 5), (12, 8), (30, 20), (61, 60), (200, 100)])
@pytest.mark.parametrize("two_sided", [True, False])
def test_exact_p_values_are_the_rational_numbers(backend, n1, n2, two_sided):
    lcm = n1 // gcd(n1, n2) * n2
    rng = np.random.default_rng(0)
    shift = np.linspace(0, 4, 40)
    x, y = rng.normal(size=(n1, 40)), rng.normal(size=(n2, 40)) + shift
    ours = ks_2samp(x, y, alternative="two-sided" if two_sided else "greater", backend=backend)
    heights = np.rint(ours.statistic * lcm).astype(int)
    expected = [exact_share(n1, n2, h, two_sided) if h > 0 else 1.0 for h in heights]
    np.testing.assert_allclose(ours.pvalue, expected, rtol=1e-11)


def test_infinities_ties_and_signed_zeros(backend):
    x = np.array([-INF, -0.0, 0.0, 1.0, INF, INF])
    for y in ([INF], [-INF, -INF, 2.0], [0.0, INF], [-INF, -0.0, 1.0, INF], [5.0, 6.0, INF, INF], [1.0] * 6):
        for alternative in ALTERNATIVES:
            ours = ks_2samp(x, y, alternative=alternative, backend=backend)
            assert_as_scipy(ours, scipy_stats.ks_2samp(x, y, alternative=alternative))
            ours = ks_2samp(y, x, alternative=alternative, backend=backend)
            assert_as_scipy(ours, scipy_stats.ks_2samp(y, x, alternative=alternative))


def test_large_samples_fall_back_as_scipy_does(backend):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=10_001), rng.normal(size=3_000)
    assert_as_scipy(ks_2samp(x, y, backend=backend), scipy_stats.ks_2samp(x, y))
    big, odd = rng.normal(size=65_537), rng.normal(size=40_003)
    with pytest.warns(RuntimeWarning, match="no exact p-value with sample sizes 65537 and 40003"):
        ours = ks_2samp(big, odd, method="exact", backend=backend)
    assert_as_scipy(ours, scipy_stats.ks_2samp(big, odd, method="asymp"))
    with pytest.warns(RuntimeWarning, match="one-sided with sample sizes 3000 and 1000"):
        ours = ks_2samp(x[:3000], y[:1000], alternative="less", backend=backend)
    with pytest.warns(RuntimeWarning):
        theirs = scipy_stats.ks_2samp(x[:3000], y[:1000], alternative="less")
    assert_as_scipy(ours, theirs)


values = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, INF, -INF]))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(values, min_size=1, max_size=12), st.lists(values, min_size=1, max_size=12), st.sampled_from(ALTERNATIVES)
)
def test_any_samples_give_what_scipy_gives(x, y, alternative):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs = scipy_stats.ks_2samp(x, y, alternative=alternative)
    for name in ("numpy", "fortran", "numba"):
        if ecgkern.backends()[name].available:
            ours = ks_2samp(x, y, alternative=alternative, backend=name)
            assert ours.statistic == theirs.statistic
            assert ours.statistic_location == theirs.statistic_location
            assert ours.statistic_sign == theirs.statistic_sign
            if caught:  # SciPy's p-value came out as 1 + 2e-16, for which it takes the asymptotic one
                assert ours.pvalue == pytest.approx(1, abs=1e-12)
            else:
                assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-11)


# --- manners ----------------------------------------------------------------------------------------------------------


def test_nan_policy(backend):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(9, 30)), rng.normal(size=(7, 30))
    x[rng.random(x.shape) < 0.1] = NAN
    y[rng.random(y.shape) < 0.1] = NAN
    for policy in ("propagate", "omit"):
        ours = ks_2samp(x, y, nan_policy=policy, backend=backend)
        assert_as_scipy(ours, scipy_stats.ks_2samp(x, y, axis=0, nan_policy=policy))
    with pytest.raises(ValueError, match="data1 must not hold NaN, got nan at"):
        ks_2samp(x, y, nan_policy="raise", backend=backend)
    with pytest.warns(RuntimeWarning, match="no observations are left after omitting NaN"):
        ours = ks_2samp(np.full((3, 1), NAN), y[:, :1], nan_policy="omit", backend=backend)
    assert np.isnan(ours.statistic).all()
    assert np.isnan(ours.statistic_sign).all()


def test_axes_broadcast_and_keepdims_as_in_scipy(backend):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(3, 20, 4)), rng.normal(size=(1, 15, 4))
    for options in ({"axis": 1}, {"axis": -2, "keepdims": True}, {"axis": None}, {"axis": None, "keepdims": True}):
        assert_as_scipy(ks_2samp(x, y, **options, backend=backend), scipy_stats.ks_2samp(x, y, **options))
    assert_as_scipy(ks_2samp(x[0], x[1, :, :1], backend=backend), scipy_stats.ks_2samp(x[0], x[1, :, :1], axis=0))
    view = rng.normal(size=(40, 9))[::2, ::3]
    assert_as_scipy(ks_2samp(view, view + 0.1, backend=backend), scipy_stats.ks_2samp(view, view + 0.1, axis=0))
    assert ks_2samp(np.empty((5, 0)), np.empty((4, 0)), backend=backend).pvalue.shape == (0,)


def test_result_unpacks_and_one_feature_gives_scalars(backend):
    result = ks_2samp([1, 2, 3], [2, 3, 4, 5], backend=backend)
    statistic, pvalue = result
    assert isinstance(result, KSResult)
    assert type(statistic) is type(pvalue) is np.float64
    assert (statistic, pvalue) == (result.statistic, result.pvalue)
    assert type(result.statistic_sign) is np.int8


def test_same_bits_for_every_number_of_threads(backend):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(700, 150)), rng.normal(size=(511, 150))
    results = []
    for n in (1, 2, 3):
        ecgkern.set_num_threads(n)
        results.append(fields(ks_2samp(x, y, backend=backend)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_input_is_not_changed(backend):
    x, y = np.array([[3.0], [NAN], [1.0]]), np.array([[2.0], [0.0]])
    before = x.copy(), y.copy()
    ks_2samp(x, y, backend=backend)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_torch_in_torch_out(backend):
    torch = pytest.importorskip("torch")
    x, y = torch.arange(12.0).reshape(6, 2), torch.arange(8.0).reshape(4, 2)
    ours = ks_2samp(x, y, backend=backend)
    assert all(isinstance(value, torch.Tensor) for value in fields(ours))
    assert ours.statistic_location.dtype == torch.float32
    np.testing.assert_array_equal(ours.pvalue.numpy(), ks_2samp(x.numpy(), y.numpy(), backend=backend).pvalue)
    with pytest.raises(TypeError, match="one library, but data1 is torch, data2 is numpy"):
        ks_2samp(x, y.numpy())


BAD = [
    ({"data1": []}, ValueError, "data1 must have at least one observation along axis 0, got 0"),
    ({"data1": ["a"]}, TypeError, "data1 must hold real numbers"),
    ({"data2": [1j]}, TypeError, "data2 must hold real numbers, got dtype complex128"),
    ({"data2": np.array([None, 1.0])}, TypeError, "data2 must hold real numbers, got dtype object"),
    ({"data2": [[1.0], [1.0, 2.0]]}, ValueError, "data2 must be a rectangular array"),
    ({"data1": np.ma.array([1.0, 2.0], mask=[0, 1])}, TypeError, "data1 is a masked array"),
    ({"data1": [2**53 + 1]}, ValueError, r"data1 must hold integers .* got 9007199254740993 at \[0\]"),
    ({"data1": np.ones((3, 2)), "data2": np.ones((3, 4))}, ValueError, r"shapes of data1 and data2 must broadcast"),
    ({"alternative": "bigger"}, ValueError, "alternative must be one of 'two-sided', 'less', 'greater'; got 'bigger'"),
    ({"method": "asymptotic"}, ValueError, "method must be one of 'auto', 'exact', 'asymp'"),
    ({"nan_policy": None}, ValueError, "nan_policy must be one of"),
    ({"axis": 1}, ValueError, "axis must be from -1 to 0 for 1 dimensions, got 1"),
    ({"axis": 0.0}, TypeError, "axis must be an integer, got float"),
    ({"axis": True}, TypeError, "axis must be an integer, got bool"),
    ({"backend": "fpga"}, ValueError, "backend must be None or one of"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_arguments(change, error, message):
    with pytest.raises(error, match=message):
        ks_2samp(**{"data1": [1.0, 2.0], "data2": [1.5, 2.5], **change})


def test_without_scipy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.stats", None)
    assert ks_2samp([1.0, 2.0], [3.0]).pvalue == pytest.approx(2 / 3)
    with pytest.raises(ImportError, match=r'pip install "ecgkern\[stats\]"'):
        ks_2samp([1.0, 2.0], [3.0], method="asymp")
