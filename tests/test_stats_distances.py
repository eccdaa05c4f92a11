"""Distances between distributions and between signals: the peers' values, formulas and manners."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkern
from ecgkern import stats
from ecgkern.stats import (
    cdist_dtw,
    dtw,
    energy_distance,
    frechet_distance,
    frechet_distance_from_stats,
    prd,
    psd_distance,
    rmse,
    sliced_wasserstein_distance,
    wasserstein_distance,
)

scipy_stats = pytest.importorskip("scipy.stats")

GOLDEN = json.loads((Path(__file__).parent / "golden" / "stats_distances.json").read_text())
FLOAT32 = 1e-5  # relative, of golden values: the rounding of the input to float32
NAN, INF = float("nan"), float("inf")


def formula(text):
    return eval(text, {name: getattr(np, name) for name in ("sin", "cos", "arange", "eye")})


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("case", GOLDEN, ids=[f"{i}-{case['function']}" for i, case in enumerate(GOLDEN)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, FLOAT32)])
def test_golden(backend, case, dtype, tolerance):
    options = dict(case["options"])
    if "projections" in options:
        options["projections"] = formula(options["projections"])
    if case["function"] in ("dtw", "energy_distance"):
        options["backend"] = backend
    x, y = (formula(case[key]).astype(dtype) for key in ("x", "y"))
    value = getattr(stats, case["function"])(x, y, **options)
    assert type(value) is np.float64
    assert value ** case.get("power", 1) == pytest.approx(case["value"], rel=tolerance)


# --- Fréchet ----------------------------------------------------------------------------------------------------------


def test_frechet_distance_is_the_formula_of_the_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = numbers(0, 60, 5), 0.3 + 1.5 * numbers(1, 40, 5) @ numbers(2, 5, 5)
    for ddof in (0, 1):
        cx, cy = np.cov(x.T, ddof=ddof), np.cov(y.T, ddof=ddof)
        root = linalg.sqrtm(cx @ cy).real
        expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * root)
        assert frechet_distance(x, y, ddof=ddof) == pytest.approx(expected, rel=1e-12)
        ours = frechet_distance_from_stats(x.mean(0), cx, y.mean(0), cy)
        assert ours == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(5, 4, 9), (30, 4, 9), (4, 30, 9), (30, 40, 9), (2, 2, 1)])
def test_frechet_distance_of_few_samples_is_that_of_their_stats(n, m, d):
    x, y = numbers(n, n, d), 1 + numbers(m, m, d)
    expected = frechet_distance_from_stats(x.mean(0), np.atleast_2d(np.cov(x.T)), y.mean(0), np.atleast_2d(np.cov(y.T)))
    # The roots of eigenvalues that should be 0 are known to 1e-8 only.
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
    rotation = np.linalg.qr(numbers(7, d, d))[0]
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(frechet_distance(x, y), rel=1e-12)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-12)


def test_frechet_distance_of_a_sample_moved_and_scaled_is_known():
    x = numbers(3, 11, 2000)  # far fewer observations than features
    trace = x.var(axis=0, ddof=1).sum()
    assert frechet_distance(x, x) <= 1e-12 * trace
    assert frechet_distance(x, x + 2.0) == pytest.approx(4 * 2000, rel=1e-12)
    centred = x - x.mean(axis=0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * trace, rel=1e-12)


# --- Wasserstein, sliced, energy --------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=15), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=15))
def test_wasserstein_and_energy_of_any_samples_are_scipys(u, v):
    scale = max(map(abs, u + v))
    assert wasserstein_distance(u, v) == pytest.approx(scipy_stats.wasserstein_distance(u, v), abs=1e-13 * scale)
    ours = energy_distance(u, v)
    assert ours == pytest.approx(scipy_stats.energy_distance(u, v), abs=1e-7 * scale**0.5 + 1e-12 * scale)
    assert energy_distance(u, v, squared=True) == pytest.approx(ours**2, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (6, 4), (12, 12), (7, 10)])
@pytest.mark.parametrize("p", [1, 1.5, 2, 5])
def test_wasserstein_is_that_of_equal_samples_with_every_value_repeated(n, m, p):
    u, v = numbers(n, n, 3), numbers(m + 100, m, 3)
    long_u, long_v = (np.sort(np.repeat(s, k, axis=0), axis=0) for s, k in ((u, m), (v, n)))
    expected = (np.abs(long_u - long_v) ** p).mean(axis=0) ** (1 / p)
    np.testing.assert_allclose(wasserstein_distance(u, v, p=p), expected, rtol=1e-13)
    np.testing.assert_allclose(wasserstein_distance(u.T, v.T, p=p, axis=1), expected, rtol=1e-13)
    np.testing.assert_allclose(wasserstein_distance(u, v[:, :1], p=p)[0], expected[0], rtol=1e-13)
    np.testing.assert_allclose(wasserstein_distance(1e200 * u, 1e200 * v, p=p), 1e200 * expected, rtol=1e-13)
    assert wasserstein_distance(u, u, p=p).tolist() == [0.0, 0.0, 0.0]


def test_sliced_wasserstein_is_the_mean_over_projections():
    x, y, theta = numbers(0, 20, 4), numbers(1, 30, 4), numbers(2, 4, 7)
    each = [wasserstein_distance(x @ t, y @ t, p=3) ** 3 for t in theta.T]
    expected = np.mean(each) ** (1 / 3)
    assert sliced_wasserstein_distance(x, y, p=3, projections=theta) == pytest.approx(expected, rel=1e-13)
    seeded = sliced_wasserstein_distance(x, y, rng=5)
    assert seeded == sliced_wasserstein_distance(x, y, rng=np.random.default_rng(5))
    assert seeded != sliced_wasserstein_distance(x, y, rng=6)
    # In 1-D every direction is +1 or -1.
    assert sliced_wasserstein_distance(x[:, :1], y[:, :1], rng=0) == pytest.approx(
        wasserstein_distance(x[:, 0], y[:, 0], p=2), rel=1e-13
    )
    assert sliced_wasserstein_distance(x, x, rng=0) == 0.0


def test_energy_distance_is_its_definition():
    x, y = numbers(0, 31).round(1), numbers(1, 17).round(1)

    def mean_distance(a, b):
        return np.abs(a[:, None] - b).mean()

    expected = 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
    assert energy_distance(x, y, squared=True) == pytest.approx(expected, rel=1e-12)
    assert energy_distance(x[:, None], y[:, None], squared=True) == pytest.approx(expected, rel=1e-12)


# --- spectra, RMSE, PRD -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relative", [False, True])
def test_psd_distance_is_its_formula(relative):
    signal = pytest.importorskip("scipy.signal")
    x, y = numbers(0, 5, 3, 700), 2 * numbers(1, 4, 3, 400).cumsum(axis=-1)
    options = {"fs": 250.0, "window": "hann", "nperseg": 128, "noverlap": 64, "detrend": "constant"}
    f, px = signal.welch(x, **options)
    py = signal.welch(y, **options)[1]
    inside = (f >= 5) & (f <= 40)
    px, py = px.mean(axis=0)[:, inside], py.mean(axis=0)[:, inside]
    if relative:
        px, py = px / px.mean(axis=1, keepdims=True), py / py.mean(axis=1, keepdims=True)
    expected = np.sqrt(((10 * np.log10(px / py)) ** 2).mean(axis=1))
    ours = psd_distance(x, y, fs=250, band=(5, 40), nperseg=128, relative=relative)
    np.testing.assert_allclose(ours, expected, rtol=1e-10)
    one = psd_distance(x[:, 1], y[:, 1], fs=250, band=(5, 40), nperseg=128, relative=relative)
    assert one == pytest.approx(expected[1], rel=1e-10)


def test_psd_distance_bounds_what_one_set_lacks():
    tone = np.sin(2 * np.pi * 0.125 * np.arange(512))[None]
    silent = np.zeros((1, 512))
    assert psd_distance(tone, silent, fs=8.0, band=(1, 1), floor=1e-6) == pytest.approx(60.0)
    assert psd_distance(tone, tone, fs=8.0) == 0.0
    with pytest.raises(ValueError, match="no power in the band"):
        psd_distance(silent, silent, fs=8.0)
    with pytest.raises(ValueError, match="y has no power in the band"):
        psd_distance(tone, silent, fs=8.0, relative=True)


def test_rmse_and_prd_are_their_formulas():
    x, y = 1 + numbers(0, 4, 50), numbers(1, 50)
    np.testing.assert_allclose(rmse(x, y), np.sqrt(((x - y) ** 2).mean(axis=1)), rtol=1e-14)
    assert rmse(x, y, axis=None) == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
    np.testing.assert_allclose(prd(x, y), 100 * np.linalg.norm(x - y, axis=1) / np.linalg.norm(x, axis=1), rtol=1e-14)
    np.testing.assert_allclose(
        prd(x, y, normalization="mean"), 100 * np.linalg.norm(x - y, axis=1) / (x.std(axis=1) * 50**0.5), rtol=1e-13
    )
    assert prd([0.0, 0.0], [1.0, 0.0]) == INF
    assert rmse(np.float32([1, 2]), [1, 4]) == pytest.approx(2**0.5)


# --- dynamic time warping ---------------------------------------------------------------------------------------------


def warped(x, y, window=None):
    """The recurrence, cell by cell, of (n, dims) and (m, dims)."""
    n, m = len(x), len(y)
    window = max(n, m) if window is None else window
    table = np.full((n + 1, m + 1), INF)
    table[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            if -max(0, n - m) - window < j - i < max(0, m - n) + window:
                before = min(table[i - 1, j], table[i, j - 1], table[i - 1, j - 1])
                table[i, j] = ((x[i - 1] - y[j - 1]) ** 2).sum() + before
    return table[n, m]


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 6), (6, 1), (9, 9), (12, 20), (20, 13)])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("window", [None, 1, 2, 3, 7, 1000])
def test_dtw_is_the_recurrence(backend, n, m, dims, window):
    x, y = numbers(n, 19, n, dims), numbers(m + 50, 19, m, dims)
    expected = [warped(a, b, window) for a, b in zip(x, y, strict=True)]
    ours = dtw(x, y, window=window, squared=True, multivariate=True, backend=backend)
    np.testing.assert_allclose(ours, expected, rtol=1e-13)
    if dims == 1:
        ours = dtw(x[..., 0], y[..., 0], window=window, backend=backend)
        np.testing.assert_allclose(ours, np.sqrt(expected), rtol=1e-13)


def test_dtw_with_the_narrowest_window_is_euclidean(backend):
    x, y = numbers(0, 33, 50), numbers(1, 33, 50)
    np.testing.assert_allclose(dtw(x, y, window=1, backend=backend), np.linalg.norm(x - y, axis=1), rtol=1e-13)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 7), (17, 5), (1, 40)])
def test_cdist_dtw_is_dtw_of_all_pairs(backend, n, m):
    x, y = numbers(0, n, 23), numbers(1, m, 31).astype(np.float32)
    ours = cdist_dtw(x, y, window=9, backend=backend)
    assert ours.shape == (n, m)
    assert ours.dtype == np.float64
    np.testing.assert_array_equal(ours, dtw(x[:, None], y, window=9, backend=backend))
    np.testing.assert_allclose(ours[-1, -1], warped(x[-1][:, None], y[-1][:, None], 9) ** 0.5, rtol=1e-13)
    np.testing.assert_array_equal(
        cdist_dtw(x[..., None], y[..., None], window=9, multivariate=True, backend=backend), ours
    )


def test_dtw_shapes_broadcast_and_may_be_empty(backend):
    assert dtw(numbers(0, 2, 1, 8), numbers(1, 3, 9), backend=backend).shape == (2, 3)
    assert type(dtw([1.0, 2.0], [1], backend=backend)) is np.float64
    assert dtw(np.empty((0, 8)), numbers(1, 9), backend=backend).shape == (0,)
    assert cdist_dtw(np.empty((0, 8)), numbers(1, 2, 9), backend=backend).shape == (0, 2)
    strided = numbers(2, 6, 20)[::2, ::-2]
    np.testing.assert_array_equal(cdist_dtw(strided, strided, backend=backend).diagonal(), [0.0, 0.0, 0.0])


def test_dtw_of_values_whose_squares_overflow_is_infinite(backend):
    assert dtw([1e200], [-1e200], backend=backend) == INF


# --- manners ----------------------------------------------------------------------------------------------------------


def test_same_bits_for_every_number_of_threads(backend):
    x, y = numbers(0, 40, 300), numbers(1, 40, 290)
    results = []
    for n in (1, 2, 3):
        ecgkern.set_num_threads(n)
        results.append((cdist_dtw(x, y, backend=backend), wasserstein_distance(x.T, y.T, p=2)))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][0], other[0])
        np.testing.assert_array_equal(results[0][1], other[1])


def test_torch_in_torch_out(backend):
    torch = pytest.importorskip("torch")
    x, y = (torch.tensor(numbers(k, 6, 20)) for k in (0, 1))
    for ours, theirs in (
        (cdist_dtw(x, y, backend=backend), cdist_dtw(x.numpy(), y.numpy(), backend=backend)),
        (frechet_distance(x, y), frechet_distance(x.numpy(), y.numpy())),
        (wasserstein_distance(x, y), wasserstein_distance(x.numpy(), y.numpy())),
        (sliced_wasserstein_distance(x, y, rng=0), sliced_wasserstein_distance(x.numpy(), y.numpy(), rng=0)),
        (energy_distance(x[:, 0], y[:, 0]), energy_distance(x[:, 0].numpy(), y[:, 0].numpy())),
        (psd_distance(x, y, fs=100.0), psd_distance(x.numpy(), y.numpy(), fs=100.0)),
        (rmse(x, y), rmse(x.numpy(), y.numpy())),
        (prd(x, y), prd(x.numpy(), y.numpy())),
    ):
        assert isinstance(ours, torch.Tensor)
        np.testing.assert_array_equal(ours.numpy(), theirs)
    with pytest.raises(TypeError, match="one library"):
        dtw(x, y.numpy())


TWO = np.arange(6.0).reshape(3, 2)
BAD = [
    (frechet_distance, (TWO, TWO[0]), {}, ValueError, r"y must have 2 dimensions, got shape \(2,\)"),
    (frechet_distance, (TWO, TWO[:, :1]), {}, ValueError, "x and y must have as many features, got 2 and 1"),
    (frechet_distance, (TWO[:1], TWO), {}, ValueError, "x must have more than 1 observations with ddof = 1, got 1"),
    (frechet_distance, (TWO, TWO), {"ddof": 2}, ValueError, "ddof must be 0 or 1, got 2"),
    (frechet_distance, (TWO, TWO * NAN), {}, ValueError, r"y must be finite, got nan at \[0, 0\]"),
    (frechet_distance, (np.empty((0, 2)), TWO), {}, ValueError, r"x must not be empty, got shape \(0, 2\)"),
    (frechet_distance_from_stats, ([0, 0], [[1]], [0], [[1]]), {}, ValueError, r"cov1 must have shape \(2, 2\)"),
    (frechet_distance_from_stats, ([0], [[1]], [0, 0], np.eye(2)), {}, ValueError, "must have the same length"),
    (frechet_distance_from_stats, ([0], [[-1]], [0], [[1]]), {}, ValueError, "cov1 must be positive semi-definite"),
    (frechet_distance_from_stats, ([0, 0], [[1, 2], [0, 1]], [0, 0], np.eye(2)), {}, ValueError, "be symmetric"),
    (wasserstein_distance, ([1.0], [INF]), {}, ValueError, r"v must be finite, got inf at \[0\]"),
    (wasserstein_distance, ([], [1.0]), {}, ValueError, "u must have at least one observation"),
    (wasserstein_distance, ([1.0], [1.0]), {"p": 0.5}, ValueError, "p must be at least 1, got 0.5"),
    (wasserstein_distance, ([1.0], [1.0]), {"p": "2"}, TypeError, "p must be a real number"),
    (wasserstein_distance, (TWO, TWO), {"axis": 2}, ValueError, "axis must be from -2 to 1"),
    (sliced_wasserstein_distance, (TWO, TWO), {"projections": np.eye(3)}, ValueError, r"projections .* \(2, n_proj"),
    (sliced_wasserstein_distance, (TWO, TWO), {"n_projections": 0}, ValueError, "n_projections must be from 1"),
    (energy_distance, ([1.0, NAN], [1.0]), {}, ValueError, r"x must be finite, got nan at \[1\]"),
    (energy_distance, (["a"], [1.0]), {}, TypeError, "x must hold real numbers"),
    (psd_distance, (TWO[0], TWO), {"fs": 1}, ValueError, r"x must have shape \(n, ..., length\), got \(2,\)"),
    (psd_distance, (TWO, TWO), {"fs": 0}, ValueError, "fs must be finite and greater than 0 Hz"),
    (psd_distance, (TWO, TWO), {"fs": 1, "nperseg": 3}, ValueError, "nperseg must be from 2 to .* 2, got 3"),
    (psd_distance, (TWO, TWO), {"fs": 1, "band": (0.1, 0.2)}, ValueError, "band must hold a multiple of fs / nperseg"),
    (psd_distance, (TWO, TWO), {"fs": 1, "band": (0.3, 0.7)}, ValueError, "band must be two frequencies"),
    (rmse, ([1.0, 2.0], [1.0, 2.0, 3.0]), {}, ValueError, r"shapes of x and y must broadcast, got x \(2,\), y \(3,\)"),
    (rmse, ([], []), {}, ValueError, "x and y must have at least one value"),
    (prd, ([1.0], [2.0]), {"normalization": "max"}, ValueError, "normalization must be one of 'raw', 'mean'"),
    (dtw, ([1.0, NAN], [1.0]), {}, ValueError, r"x must be finite, got nan at \[1\]"),
    (dtw, ([], [1.0]), {}, ValueError, r"x must have signals of at least one value, got shape \(0,\)"),
    (dtw, ([1.0], [1.0]), {"window": 0}, ValueError, "window must be from 1"),
    (dtw, ([1.0], [1.0]), {"window": 2.0}, TypeError, "window must be an integer"),
    (dtw, ([1.0], [1.0]), {"multivariate": True}, ValueError, r"x must have shape \(..., length, dims\), got \(1,\)"),
    (dtw, (np.ones((4, 2)), np.ones((4, 3))), {"multivariate": True}, ValueError, "as many dimensions .* 2 and 3"),
    (dtw, (np.ones((4, 2)), np.ones((3, 2))), {}, ValueError, "the shapes of x and y must broadcast"),
    (dtw, ([1j], [1.0]), {}, TypeError, "x must hold real numbers, got dtype complex128"),
    (dtw, ([1.0], np.ma.array([1.0])), {}, TypeError, "y is a masked array"),
    (cdist_dtw, ([1.0], [[1.0]]), {}, ValueError, r"x must have shape \(n, length\), got \(1,\)"),
    (cdist_dtw, ([[1.0]], [[1.0]]), {"backend": "fpga"}, ValueError, "backend must be None or one of"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "options", "error", "message"),
    BAD,
    ids=[f"{i}-{case[0].__name__}" for i, case in enumerate(BAD)],
)
def test_bad_arguments(function, arguments, options, error, message):
    with pytest.raises(error, match=message):
        function(*arguments, **options)


def test_without_scipy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.signal", None)
    with pytest.raises(ImportError, match=r'psd_distance needs SciPy: pip install "ecgkern\[stats\]"'):
        psd_distance(TWO, TWO, fs=1)
