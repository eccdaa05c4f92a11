"""Comparison of samples: n v n normal samples of d values, float32, the second shifted; the truth is in float64."""

import functools

import numpy as np
import peers_stats as peers
import pytest
from measure import Peer, extra_mb

from ecgkern.stats import dtw, ks_2samp, median_bandwidth, mmd2, mmd2_grad, mmd_test

N, D, SHIFT = 2000, 1000, 0.05
RESAMPLES = 100
MILLISECONDS = "milliseconds per call"


@functools.cache
def samples(n, d):
    x, y = np.random.default_rng(0).standard_normal((2, n, d), dtype=np.float32)
    y += np.float32(SHIFT)
    return x, y


@functools.cache
def mixture(d):
    """Five bandwidths around the distance between two samples, √(2d)."""
    return tuple(np.sqrt(2 * d) * 2.0 ** np.arange(-2, 3))


def problem(n, d, sigmas=mixture):
    return *samples(n, d), sigmas(d)


@functools.cache
def memory_of(method, n, d, sigmas):
    return extra_mb(method, functools.partial(problem, 64, d, sigmas), functools.partial(problem, n, d, sigmas))


def relative(value, truth):
    """Largest difference in units of the largest true value."""
    return np.max(np.abs(np.asarray(value) - truth)) / np.max(np.abs(truth))


def compare_methods(compare, ours, theirs, n, d, *, error, sigmas=mixture, **options):
    """Compare functions of (x, y, sigmas), their memory included."""
    arguments = problem(n, d, sigmas)
    methods = {"ours": ours, **theirs}
    return compare(
        lambda: ours(*arguments),
        peers={name: Peer(functools.partial(method, *arguments)) for name, method in theirs.items()},
        unit=MILLISECONDS,
        size=f"2 x {n} x {d}",
        error=error,
        memory=lambda name: memory_of(methods[name], n, d, sigmas),
        **options,
    )


def our_value(x, y, sigmas, backend):
    return mmd2(x, y, bandwidth=sigmas, backend=backend)


def our_gradient(x, y, sigmas, backend):
    return mmd2_grad(x, y, bandwidth=sigmas, backend=backend)


def our_test(x, y, sigmas, backend):
    return mmd_test(x, y, bandwidth=sigmas, n_resamples=RESAMPLES, rng=0, backend=backend)


@functools.cache
def true_value(n, d, sigmas=mixture):
    return peers.mmd2_truth(*problem(n, d, sigmas))


@functools.cache
def true_gradient():
    x, y, sigmas = problem(N, D)
    return peers.mmd2_grad_autograd(np.float64(x), np.float64(y), sigmas)


VALUE = {
    "numpy": peers.mmd2_numpy,
    "torch addmm": peers.mmd2_addmm,
    "torch cdist": peers.mmd2_cdist,
    "scikit-learn": peers.mmd2_sklearn,
    "alibi-detect": peers.mmd2_alibi,
}


def bench_mmd2(compare, backend):
    row = compare_methods(
        compare,
        functools.partial(our_value, backend=backend),
        VALUE,
        N,
        D,
        floor=peers.triangle(N, D),
        error=lambda value: relative(value, true_value(N, D)),
    )
    assert row["rel_error"] < 2e-6


def one_bandwidth(d):
    return (np.sqrt(2 * d),)


def bench_mmd2_12_dimensions(compare, backend):
    row = compare_methods(
        compare,
        functools.partial(our_value, backend=backend),
        VALUE,
        N,
        12,
        sigmas=one_bandwidth,
        floor=peers.triangle(N, 12, exp=True),
        error=lambda value: relative(value, true_value(N, 12, one_bandwidth)),
    )
    assert row["rel_error"] < 2e-6


def bench_mmd2_large(compare, backend, pytestconfig):
    if not pytestconfig.getoption("--large"):
        pytest.skip("takes minutes, most of them for the truth: ecgkern bench --large")
    row = compare_methods(
        compare,
        functools.partial(our_value, backend=backend),
        {},  # 40 000 x 40 000 distances take over 6 GB
        20_000,
        D,
        floor=peers.triangle(20_000, D),
        error=lambda value: relative(value, true_value(20_000, D)),
        rounds=1,
    )
    assert row["rel_error"] < 2e-6


def bench_mmd2_grad(compare, backend):
    def error(result):
        return max(map(relative, result, true_gradient()))

    row = compare_methods(
        compare,
        functools.partial(our_gradient, backend=backend),
        {"torch autograd": peers.mmd2_grad_autograd},  # by addmm, which is faster than by cdist
        N,
        D,
        floor=peers.triangle(N, D, times=3),
        error=error,
        rounds=7,
    )
    assert row["rel_error"] < 1e-4


def bench_mmd_test(compare, backend):
    def error(result):
        return relative(result.statistic if hasattr(result, "statistic") else result[0], true_value(N, D))

    x, y, sigmas = problem(N, D)
    few, few_shifted = samples(64, D)
    alibi = functools.partial(peers.mmd_test_alibi, sigmas=sigmas, n_resamples=RESAMPLES)
    row = compare(
        lambda: our_test(x, y, sigmas, backend),
        peers={"alibi-detect": Peer(lambda: alibi(x, y), warm=lambda: alibi(few, few_shifted))},
        floor=peers.triangle(N, D + RESAMPLES),  # the kernel matrix times the labels needs RESAMPLES more a pair
        unit=MILLISECONDS,
        size=f"2 x {N} x {D}, {RESAMPLES} permutations",
        error=error,
        memory=lambda name: memory_of(
            functools.partial(our_test, backend=backend)
            if name == "ours"
            else functools.partial(peers.mmd_test_alibi, n_resamples=RESAMPLES),
            N,
            D,
            mixture,
        ),
        rounds=5,
    )
    assert row["rel_error"] < 2e-6
    assert our_test(x, y, sigmas, backend).pvalue == 1 / (RESAMPLES + 1)  # a shift by 0.05 in 1000 dimensions is plain


@pytest.mark.parametrize("method", ["auto", "asymp"])
def bench_ks_2samp(compare, backend, method):
    stats = pytest.importorskip("scipy.stats")
    x, y = samples(N, D)
    truth = stats.ks_2samp(np.float64(x), np.float64(y), method=method)

    def error(result):
        statistic, pvalue = result
        return max(relative(statistic, truth.statistic), relative(pvalue, truth.pvalue))

    row = compare(
        lambda: ks_2samp(x, y, method=method, backend=backend),
        peers={
            "scipy": Peer(lambda: stats.ks_2samp(x, y, method=method)),
            **({"alibi-detect": Peer(lambda: peers.ks_alibi(x, y))} if method == "asymp" else {}),
        },
        floor=lambda: peers.read(x, y),
        unit=MILLISECONDS,
        size=f"2 x {N} x {D}, {'exact' if method == 'auto' else 'asymptotic'} p",
        error=error,
        rounds=5,
    )
    assert row["rel_error"] < 1e-9


def bench_median_bandwidth(compare, backend):
    x, y = samples(N, D)
    few = samples(64, D)
    truth = peers.median_pdist(x, y)  # in float64
    row = compare(
        lambda: median_bandwidth(x, y, backend=backend),
        peers={
            "numpy": Peer(lambda: peers.median_numpy(x, y)),
            "scipy pdist": Peer(lambda: peers.median_pdist(x, y), warm=lambda: peers.median_pdist(*few)),
        },
        floor=peers.triangle(N, D),
        unit=MILLISECONDS,
        size=f"{2 * N} x {D}",
        error=lambda value: relative(value, truth),
        rounds=5,
    )
    assert row["rel_error"] < 1e-6


def bench_dtw(compare, backend):
    x, y = np.random.default_rng(0).standard_normal((2, 128, D)).cumsum(axis=-1)
    truth = peers.dtw_truth(x, y)
    row = compare(
        lambda: dtw(x, y, backend=backend),
        peers={"dtaidistance": Peer(lambda: peers.dtw_dtaidistance(x, y))},
        unit=MILLISECONDS,
        size=f"128 pairs of {D}, float64",
        error=lambda distances: relative(distances, truth),
        rounds=5,
    )
    assert row["rel_error"] < 1e-12
