"""The same cases on the GPU and on the CPU, one table: waveform, stats, conv and geomag at sizes that fill a card.

Arrays are there before the clock starts, on the card or on the host, and it stops when the result is. The peers of the
card are PyTorch's own operations on it; its floor is what the bytes or the multiplications alone would take at the
measured rates: a copy on the card, and products of 8192 x 8192 matrices. Runs where CUDA is ready: `make gpu`.
"""

import functools

import numpy as np
import peers_conv
import peers_gpu as peers
import pytest
from measure import BACKENDS, Peer

from ecgkern import conv, geomag, stats, waveform

MILLISECONDS = "milliseconds per call"
FS, LENGTH, BEATS = 100.0, 1000, 12
EVERYWHERE = pytest.mark.parametrize("backend", ["cuda", *BACKENDS])


def at_precisions(*precisions):
    """The card at each precision, and the CPU, which has one."""
    places = [("cuda", precision) for precision in precisions] + [(backend, "highest") for backend in BACKENDS]
    return pytest.mark.parametrize(("backend", "precision"), places)


def there(backend, array):
    """The array where the backend computes: a torch tensor on the card, a NumPy array on the host."""
    return peers.on_card(array) if backend == "cuda" else array


def back(array):
    """The array as NumPy's."""
    return array.cpu().numpy() if hasattr(array, "cpu") else np.asarray(array)


def close(found, expected, tolerance):
    """Check values to a tolerance relative to the largest that was expected."""
    np.testing.assert_allclose(back(found), expected, rtol=0, atol=tolerance * np.abs(expected).max())


def finished(backend, call):
    return peers.finished(call) if backend == "cuda" else call


def run(compare, backend, call, *, size, theirs=None, share=1, floor=None, error=None, rounds=11):
    """Compare a call; peers, floor and memory are those of the card and are left out on the host.

    share: the part of the work that the peers do, as their memory does not hold all of it.
    """
    on_card = backend == "cuda"
    calls = {"ours": call, **(theirs or {})}
    return compare(
        finished(backend, call),
        peers={name: Peer(peers.finished(peer), share) for name, peer in (theirs or {}).items()} if on_card else {},
        floor=peers.finished(floor) if on_card and floor else None,
        unit=MILLISECONDS,
        size=size,
        rounds=rounds if on_card else 2,  # which take seconds each
        error=error,
        memory=(lambda name: peers.extra_mb(calls[name])) if on_card else None,
    )


# ---- waveform --------------------------------------------------------------------------------------------------------


def beats(backend, n):
    peaks = np.sort(np.random.default_rng(0).uniform(0, LENGTH, (n, BEATS)), axis=1)
    return there(backend, peaks.ravel()), {"row_offsets": there(backend, BEATS * np.arange(n + 1)), "fs": FS}


@EVERYWHERE
def bench_waveform(compare, backend, n=65536):
    peaks, options = beats(backend, n)
    out = there(backend, np.empty((n, LENGTH), np.float32))
    share = 1 / 16
    some = peaks[: int(n * share) * BEATS]
    run(
        compare,
        backend,
        lambda: waveform.gaussian_waves(peaks, length=LENGTH, out=out, **options, backend=backend),
        size=f"{n} x {LENGTH}",
        theirs={"dense torch": functools.partial(peers.dense_waves, some, BEATS, LENGTH, FS)},
        share=share,
        floor=peers.copy_of(4 * n * LENGTH),
    )
    few = {"row_offsets": BEATS * np.arange(5), "fs": FS, "length": LENGTH}
    close(out[:4], waveform.gaussian_waves(back(peaks[: 4 * BEATS]), backend="numpy", **few), 2e-6)


@EVERYWHERE
def bench_waveform_gradient(compare, backend, n=65536):
    peaks, options = beats(backend, n)
    upstream = there(backend, np.random.default_rng(1).standard_normal((n, LENGTH), dtype=np.float32))
    run(
        compare,
        backend,
        lambda: waveform.gaussian_waves_grad(upstream, peaks, **options, backend=backend),
        size=f"{n} x {LENGTH}",
        floor=peers.copy_of(4 * n * LENGTH),
    )
    grad = waveform.gaussian_waves_grad(upstream, peaks, **options, backend=backend).r_peaks
    few = {"row_offsets": BEATS * np.arange(5), "fs": FS, "backend": "numpy"}
    exact = waveform.gaussian_waves_grad(back(upstream[:4]), back(peaks[: 4 * BEATS]), **few).r_peaks
    close(grad[: 4 * BEATS], exact, 1e-5)


# ---- stats -----------------------------------------------------------------------------------------------------------


@functools.cache
def samples(n, d):
    x, y = np.random.default_rng(0).standard_normal((2, n, d), dtype=np.float32)
    return x, y + np.float32(0.05)


def mixture(d):
    return tuple(np.sqrt(2 * d) * 2.0 ** np.arange(-2, 3))


@pytest.mark.parametrize("d", [12, 100, 1000])
@at_precisions("highest", "high", "medium")
def bench_mmd2(compare, backend, d, precision, n=10_000):
    x, y = (there(backend, each) for each in samples(n, d))
    sigmas = mixture(d)
    # In float64, by the CPU's backend in float64 arithmetic on fewer samples: what precision costs.
    few = [each[:1000] for each in samples(n, d)]
    truth = stats.mmd2(*(each.astype(np.float64) for each in few), bandwidth=sigmas, backend=BACKENDS[0])
    of_few = stats.mmd2(*(there(backend, each) for each in few), bandwidth=sigmas, precision=precision, backend=backend)
    run(
        compare,
        backend,
        lambda: stats.mmd2(x, y, bandwidth=sigmas, precision=precision, backend=backend),
        size=f"2 x {n} x {d}, {precision}",
        theirs={"torch": functools.partial(peers.naive_mmd2, x, y, sigmas)} if precision == "highest" else {},
        floor=functools.partial(peers.half_products, 2 * n, d, 3 if precision == "highest" else 1),
        error=lambda _: abs(float(of_few) - float(truth)) / abs(float(truth)),
    )


@pytest.mark.parametrize("n", [100_000])
def bench_mmd2_beyond_memory(compare, n, d=1000):
    """The matrix of all pairs would be 160 GB."""
    x, y = (peers.normal((n, d), seed) for seed in (0, 1))
    run(
        compare,
        "cuda",
        lambda: stats.mmd2(x, y, bandwidth=mixture(d)),
        size=f"2 x {n} x {d}",
        floor=functools.partial(peers.half_products, 2 * n, d, 3),
        rounds=3,
    )


@EVERYWHERE
def bench_mmd2_gradient(compare, backend, n=4000, d=1000):
    x, y = (there(backend, each) for each in samples(n, d))
    run(
        compare,
        backend,
        lambda: stats.mmd2_grad(x, y, bandwidth=mixture(d), backend=backend),
        size=f"2 x {n} x {d}",
        theirs={"torch": functools.partial(peers.naive_mmd2_gradient, x, y, mixture(d))},
        floor=functools.partial(peers.half_products, 2 * n, d, 9),
    )
    few = [each[:200] for each in (x, y)]
    exact = stats.mmd2_grad(*map(back, few), bandwidth=mixture(d), backend="numpy")
    close(stats.mmd2_grad(*few, bandwidth=mixture(d), backend=backend)[1], exact[1], 1e-5)


@EVERYWHERE
def bench_permutations(compare, backend, n=2000, d=1000):
    x, y = (there(backend, each) for each in samples(n, d))
    run(
        compare,
        backend,
        lambda: stats.mmd_test(x, y, bandwidth=mixture(d), n_resamples=999, rng=0, backend=backend),
        size=f"2 x {n} x {d}, 999 permutations",
    )
    few = [each[:100] for each in (x, y)]
    options = {"bandwidth": mixture(d), "n_resamples": 99, "rng": 0}
    exact = stats.mmd_test(*map(back, few), **options, backend="numpy").pvalue
    assert float(stats.mmd_test(*few, **options, backend=backend).pvalue) == float(exact)


@EVERYWHERE
def bench_ks(compare, backend, n=2000, features=1000):
    x, y = (there(backend, each) for each in samples(n, features))
    run(
        compare,
        backend,
        lambda: stats.ks_2samp(x, y, method="asymp", backend=backend),
        size=f"2 x {n} x {features}",
    )
    few = [each[:, :10] for each in (x, y)]
    exact = stats.ks_2samp(*map(back, few), method="asymp", backend="numpy").statistic
    close(stats.ks_2samp(*few, method="asymp", backend=backend).statistic, exact, 1e-12)


# ---- conv ------------------------------------------------------------------------------------------------------------


def layer(backend, n, n_in):
    rng = np.random.default_rng(0)

    def normal(*shape, scale=1.0):
        return there(backend, scale * rng.standard_normal(shape, dtype=np.float32))

    weights = [normal(32, n_in, k, scale=(n_in * k) ** -0.5) for k in (3, 11, 25, 75, 119)]
    biases = [normal(32) for _ in weights]
    parameters = peers_conv.Layer(weights, biases, normal(1, 160, scale=160**-0.5), normal(1), 2, True)
    return normal(n, n_in, LENGTH), parameters


def arguments(parameters):
    return {
        "biases": parameters.biases, "dilation": parameters.dilation, "activation": "relu",
        "merge_weight": parameters.merge_weight, "merge_bias": parameters.merge_bias,
    }  # fmt: skip


@pytest.mark.parametrize("n_in", [1, 12])
@at_precisions("highest", "high")
def bench_conv(compare, backend, precision, n_in, n=1024):
    x, parameters = layer(backend, n, n_in)
    run(
        compare,
        backend,
        lambda: conv.multiscale_conv1d(
            x, parameters.weights, precision=precision, backend=backend, **arguments(parameters)
        ),
        size=f"{n} x {n_in} x {LENGTH}, {precision}",
        theirs={"eager": functools.partial(peers.eager, x, parameters, precision == "high")},
        floor=peers.multiplications(n * LENGTH * 32 * 233 * n_in, precision),
    )
    options = {"precision": precision, "backend": backend, **arguments(parameters)}
    found = conv.multiscale_conv1d(x[:2], parameters.weights, **options)
    of_host = parameters.map(back)
    exact = conv.multiscale_conv1d(back(x[:2]), of_host.weights, backend="numpy", **arguments(of_host))
    close(found, exact, 1e-5 if precision == "highest" else 1e-2)


@pytest.mark.parametrize("n_in", [1, 12])
@at_precisions("highest", "high")
def bench_conv_train(compare, backend, precision, n_in, n=1024):
    """Forward pass and the gradients of the weights."""
    x, parameters = layer(backend, n, n_in)
    options = {"precision": precision, "backend": backend, **arguments(parameters)}

    def step():
        y = conv.multiscale_conv1d(x, parameters.weights, **options)
        return conv.multiscale_conv1d_grad(y, x, parameters.weights, need_x=False, **options)

    run(
        compare,
        backend,
        step,
        size=f"{n} x {n_in} x {LENGTH}, {precision}",
        theirs={"eager": functools.partial(peers.eager_step, x, parameters, precision == "high")},
        floor=peers.multiplications(2 * n * LENGTH * 32 * 233 * n_in, precision),
    )
    of_host = parameters.map(back)
    upstream = there(backend, np.random.default_rng(1).standard_normal((2, 1, LENGTH), dtype=np.float32))
    found = conv.multiscale_conv1d_grad(upstream, x[:2], parameters.weights, need_x=False, **options)
    exact = conv.multiscale_conv1d_grad(
        back(upstream), back(x[:2]), of_host.weights, need_x=False, backend="numpy", **arguments(of_host)
    )
    # Where h is all but 0, rounding decides whether the ReLU passes it on.
    close(found.weights[4], exact.weights[4], 1e-3 if precision == "highest" else 1e-1)


# ---- geomag ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10**6, 10**8])
@EVERYWHERE
def bench_geo_to_cd(compare, backend, n):
    rng = np.random.default_rng(0)
    lat, lon = there(backend, rng.uniform(-90, 90, n)), there(backend, rng.uniform(-180, 180, n))
    run(
        compare,
        backend,
        lambda: geomag.geo_to_cd(lat, lon, epoch=2020.0, coords="geocentric", backend=backend),
        size=f"{n} points",
        floor=peers.copy_of(8 * 5 * n),  # two numbers in, three out
    )
    few = [each[:1000] for each in (lat, lon)]
    found = geomag.geo_to_cd(*few, epoch=2020.0, coords="geocentric", backend=backend)
    exact = geomag.geo_to_cd(*map(back, few), epoch=2020.0, coords="geocentric", backend="numpy")
    close(found.lat, exact.lat, 1e-12)
