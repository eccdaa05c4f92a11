"""Waveform synthesis: records of 1000 samples with 12 beats, PHYSIO waves, float32 unless the name says otherwise."""

import numpy as np
import peers_waveform as peers
import pytest
from measure import Peer

from ecgkern.waveform import PHYSIO, gaussian_waves, gaussian_waves_grad

FS, LENGTH, BEATS = 100.0, 1000, 12
FEW = 64  # records of one call of a slow peer


def batch(n):
    peaks = np.sort(np.random.default_rng(0).uniform(0, LENGTH, (n, BEATS)), axis=1)
    return peaks, {"row_offsets": BEATS * np.arange(n + 1), "fs": FS}


def tensors(peaks, dtype, grad=False):
    torch = pytest.importorskip("torch")
    values = (peaks, PHYSIO.amplitude, PHYSIO.delay, PHYSIO.width)
    return [torch.tensor(value, dtype=getattr(torch, dtype), requires_grad=grad) for value in values]


def slow_peers(peaks):
    few = peaks[:FEW]
    inputs = tensors(few, "float32")
    return {
        "neurokit2": Peer(lambda: peers.neurokit(int(FS), LENGTH)),
        "dense numpy": Peer(lambda: peers.dense_numpy(few, FS, LENGTH), FEW),
        "dense torch": Peer(lambda: peers.dense_torch(*inputs, FS, LENGTH), FEW),
    }


@pytest.mark.parametrize("n", [64, 4096, 65536])
def bench_forward(compare, backend, n):
    peaks, options = batch(n)
    out = np.empty((n, LENGTH), np.float32)
    flat = peaks.ravel()
    compare(
        lambda: gaussian_waves(flat, length=LENGTH, out=out, backend=backend, **options),
        n,
        floor=lambda: peers.fill(out),
        peers=slow_peers(peaks) if n == 4096 else {},
    )
    gaussian_waves(flat, length=LENGTH, out=out, backend=backend, **options)
    expected = peers.dense_torch(*tensors(peaks[:FEW], "float64"), FS, LENGTH).numpy()
    np.testing.assert_allclose(out[:FEW], expected, rtol=0, atol=2e-6)


def bench_forward_float64(compare, backend):
    peaks, options = batch(4096)
    out = np.empty((4096, LENGTH))
    compare(
        lambda: gaussian_waves(peaks.ravel(), length=LENGTH, out=out, dtype="f8", cutoff=9, backend=backend, **options),
        4096,
        floor=lambda: peers.fill(out),
        peers={"dense torch": Peer(lambda: peers.dense_torch(*tensors(peaks[:FEW], "float64"), FS, LENGTH), FEW)},
    )
    expected = peers.dense_torch(*tensors(peaks[:FEW], "float64"), FS, LENGTH).numpy()
    np.testing.assert_allclose(out[:FEW], expected, rtol=0, atol=1e-12)


def bench_forward_12_leads(compare, backend):
    peaks, options = batch(1024)
    gain = np.random.default_rng(1).normal(size=(12, 6))
    out = np.empty((1024, 12, LENGTH), np.float32)
    compare(
        lambda: gaussian_waves(peaks.ravel(), length=LENGTH, lead_gain=gain, out=out, backend=backend, **options),
        1024,
        floor=lambda: peers.fill(out),
        peers={},
    )
    few = {"row_offsets": BEATS * np.arange(5), "fs": FS, "length": LENGTH, "lead_gain": gain}
    np.testing.assert_allclose(out[:4], gaussian_waves(peaks[:4].ravel(), backend="numpy", **few), rtol=0, atol=2e-5)


def dense_gradient(peaks, upstream, dtype):
    leaves = tensors(peaks, dtype, grad=True)
    peers.dense_torch(*leaves, FS, LENGTH).backward(upstream)
    return [leaf.grad.numpy() for leaf in leaves]


@pytest.mark.parametrize("n", [4096, 65536])
def bench_gradient(compare, backend, n):
    torch = pytest.importorskip("torch")
    peaks, options = batch(n)
    upstream = np.random.default_rng(2).normal(size=(n, LENGTH)).astype(np.float32)
    few = torch.from_numpy(upstream[:FEW])
    compare(
        lambda: gaussian_waves_grad(upstream, peaks.ravel(), backend=backend, **options),
        n,
        floor=lambda: upstream.sum(),  # the gradient reads what the forward pass writes
        peers={"dense torch": Peer(lambda: dense_gradient(peaks[:FEW], few, "float32"), FEW)} if n == 4096 else {},
    )
    ours = gaussian_waves_grad(
        upstream[:FEW], peaks[:FEW].ravel(), row_offsets=options["row_offsets"][: FEW + 1], fs=FS, backend=backend
    )
    expected = dense_gradient(peaks[:FEW], few.double(), "float64")
    for mine, wanted in zip(ours[:4], expected, strict=True):
        np.testing.assert_allclose(mine, wanted.ravel(), rtol=0, atol=1e-5 * np.abs(wanted).max())
